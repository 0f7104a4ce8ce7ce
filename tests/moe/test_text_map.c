/* Numbers by text, against a list that is searched from the front. */
#include "moe/text_map.h"
#include "support.h"

enum { N_TEXTS = 5000 };

static void each_text_has_the_number_it_was_put_with(void **state)
{
	(void)state;
	struct text_map m;
	char(*texts)[16] = calloc(N_TEXTS, sizeof *texts);
	assert_int_equal(text_map_init(&m, N_TEXTS), 0);
	for (int i = 0; i < N_TEXTS; i++) {
		snprintf(texts[i], sizeof texts[i], "text %d", i * 7);
		text_map_put(&m, texts[i], strlen(texts[i]), i);
	}
	for (int i = 0; i < N_TEXTS; i++) {
		char absent[16];
		assert_int_equal(text_map_find(&m, texts[i], strlen(texts[i])), i);
		snprintf(absent, sizeof absent, "text %d", i * 7 + 1);
		assert_int_equal(text_map_find(&m, absent, strlen(absent)), -1);
	}
	text_map_free(&m);
	free(texts);
}

static void of_equal_texts_the_first_counts(void **state)
{
	(void)state;
	struct text_map m;
	assert_int_equal(text_map_init(&m, 2), 0);
	text_map_put(&m, "twin", 4, 3);
	text_map_put(&m, "twin", 4, 9);
	assert_int_equal(text_map_find(&m, "twin", 4), 3);
	text_map_free(&m);
}

static void length_counts_not_a_terminator(void **state)
{
	(void)state;
	struct text_map m;
	assert_int_equal(text_map_init(&m, 3), 0);
	text_map_put(&m, "a\0b", 3, 1);
	text_map_put(&m, "a", 1, 2);
	text_map_put(&m, "", 0, 4);
	assert_int_equal(text_map_find(&m, "a\0b", 3), 1);
	assert_int_equal(text_map_find(&m, "a\0c", 3), -1);
	assert_int_equal(text_map_find(&m, "abc", 1), 2);
	assert_int_equal(text_map_find(&m, "x", 0), 4);
	text_map_free(&m);
}

static void an_empty_map_finds_nothing(void **state)
{
	(void)state;
	struct text_map m;
	assert_int_equal(text_map_init(&m, 0), 0);
	assert_int_equal(text_map_find(&m, "a", 1), -1);
	text_map_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_text_has_the_number_it_was_put_with),
		cmocka_unit_test(of_equal_texts_the_first_counts),
		cmocka_unit_test(length_counts_not_a_terminator),
		cmocka_unit_test(an_empty_map_finds_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
