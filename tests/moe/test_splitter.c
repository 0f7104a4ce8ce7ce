/* The rules by which byte BPE cuts a text: worked out by hand from the published expressions, and whole for any bytes. */
#include "moe/splitter.h"
#include "support.h"

enum { PIECES_MAX = 64 };

static struct splitter *splitter_of(const char *rule)
{
	const struct splitter_rule *r = splitter_rule_find(rule, strlen(rule));
	assert_non_null(r);
	struct splitter *s = splitter_create(r);
	assert_non_null(s);
	return s;
}

/* pieces: NULL at the end. */
static void check(const char *rule, const char *text, const char *const *pieces)
{
	struct splitter *s = splitter_of(rule);
	struct splitter_walk *w = splitter_begin(s, text, strlen(text));
	const char *piece;
	size_t len;
	for (; *pieces; pieces++) {
		assert_true(splitter_next(w, &piece, &len));
		if (len != strlen(*pieces) || memcmp(piece, *pieces, len))
			fail_msg("%s: '%.*s', not '%s'", rule, (int)len, piece, *pieces);
	}
	assert_false(splitter_next(w, &piece, &len));
	splitter_end(w);
	splitter_destroy(s);
}

static const char sample[] = "Hello world's 12345  x\n\n y!?\nHE'LL na\xc3\xafve";

static void every_rule_cuts_as_published(void **state)
{
	(void)state;
	check("gpt-2", sample,
	      (const char *[]){ "Hello", " world", "'s", " 12345", " ", " x", "\n\n", " y", "!?", "\n", "HE", "'", "LL",
	                        " na\xc3\xafve", NULL });
	check("olmo", "I'll go", (const char *[]){ "I", "'ll", " go", NULL });
	check("refact", sample, (const char *[]){ "Hello",
	                                          " world",
	                                          "'s",
	                                          " ",
	                                          "1",
	                                          "2",
	                                          "3",
	                                          "4",
	                                          "5",
	                                          " ",
	                                          " x",
	                                          "\n\n",
	                                          " y",
	                                          "!?",
	                                          "\n",
	                                          "HE",
	                                          "'",
	                                          "LL",
	                                          " na\xc3\xafve",
	                                          NULL });
	check("llama3", sample,
	      (const char *[]){ "Hello", " world", "'s", " ", "123", "45", " ", " x", "\n\n", " y", "!?\n", "HE", "'LL",
	                        " na\xc3\xafve", NULL });
	check("qwen2", sample,
	      (const char *[]){ "Hello", " world", "'s", " ", "1", "2", "3", "4", "5", " ", " x", "\n\n", " y", "!?\n",
	                        "HE", "'LL", " na\xc3\xafve", NULL });
	check("default", "a$b 1234.5", (const char *[]){ "a", "$", "b", " ", "123", "4", ".", "5", NULL });
	assert_null(splitter_rule_find("no such rule", 12));
}

static size_t count_whole(const struct splitter *s, const char *text, size_t len)
{
	struct splitter_walk *w = splitter_begin(s, text, len);
	const char *piece, *at = text;
	size_t n, count = 0;
	for (; splitter_next(w, &piece, &n); count++, at += n) {
		assert_ptr_equal(piece, at);
		assert_true(n > 0);
	}
	assert_ptr_equal(at, text + len);
	splitter_end(w);
	return count;
}

static void pieces_of_any_bytes_are_the_text(void **state)
{
	(void)state;
	static const char *const rules[] = { "default", "gpt-2", "starcoder", "qwen2", "llama3" };
	uint64_t seed = 11;
	for (size_t k = 0; k < sizeof rules / sizeof rules[0]; k++) {
		struct splitter *s = splitter_of(rules[k]);
		for (int round = 0; round < 200; round++) {
			char text[150];
			for (size_t i = 0; i < sizeof text; i++)
				text[i] = (char)(draw(&seed) * (round % 2 ? 128 : 40));
			count_whole(s, text, (size_t)round % sizeof text);
		}
		splitter_destroy(s);
	}
}

static void a_megabyte_of_one_character_is_cut_in_time(void **state)
{
	(void)state;
	enum { LEN = 1 << 20 };
	static const char *const rules[] = { "default", "gpt-2", "qwen2", "llama3" };
	static const char characters[] = "a 1.\n";
	char *text = malloc(LEN);
	for (size_t k = 0; k < sizeof rules / sizeof rules[0]; k++) {
		struct splitter *s = splitter_of(rules[k]);
		for (const char *c = characters; *c; c++) {
			memset(text, *c, LEN);
			size_t n = count_whole(s, text, LEN);
			assert_true(*c == '1' ? n >= 1 : n == 1);
		}
		splitter_destroy(s);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule_cuts_as_published),
		cmocka_unit_test(pieces_of_any_bytes_are_the_text),
		cmocka_unit_test(a_megabyte_of_one_character_is_cut_in_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
