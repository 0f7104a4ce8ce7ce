/* Held-out items from JSON lines, and what counts as a right answer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "testbed/items.h"

static char err[512];

/* Loads a file that holds this text; *n_items may be read after a failure too. */
static int load(const char *text, struct items *items)
{
	char path[] = "/tmp/wdmoe-test-items-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	*items = (struct items){ 0 };
	*err = 0;
	int rc = items_load(items, path, err, sizeof err);
	unlink(path);
	return rc;
}

static void lines_become_items_in_order(void **state)
{
	(void)state;
	struct items items;
	assert_int_equal(load("{\"family\": \"sums\", \"prompt\": \"1+1=\", \"answer\": \"2\"}\n"
	                      "\n  \r\n"
	                      "{\"answer\": \"b \\u00e4\", \"prompt\": \"say\\nb\", \"family\": \"echo\", \"id\": 7}",
	                      &items),
	                 0);
	assert_int_equal(items.n, 2);
	assert_string_equal(items.item[0].family, "sums");
	assert_string_equal(items.item[0].prompt, "1+1=");
	assert_string_equal(items.item[0].answer, "2");
	assert_string_equal(items.item[1].family, "echo");
	assert_string_equal(items.item[1].prompt, "say\nb");
	assert_string_equal(items.item[1].answer, "b \xc3\xa4");
	items_free(&items);
	assert_int_equal(items.n, 0);
}

static void many_lines_and_files_add_up(void **state)
{
	(void)state;
	enum { N = 1000 };
	char path[] = "/tmp/wdmoe-test-items-XXXXXX";
	FILE *f = fdopen(mkstemp(path), "w");
	struct items items = { 0 };
	for (int i = 0; i < N; i++)
		fprintf(f, "{\"family\": \"f\", \"prompt\": \"p%d\", \"answer\": \"a%d\"}\n", i, i);
	fclose(f);
	assert_int_equal(items_load(&items, path, err, sizeof err), 0);
	assert_int_equal(items_load(&items, path, err, sizeof err), 0);
	unlink(path);
	assert_int_equal(items.n, 2 * N);
	for (size_t i = 0; i < items.n; i++)
		assert_int_equal(atoi(items.item[i].answer + 1), i % N);
	items_free(&items);
}

static void a_bad_line_is_named_and_what_came_before_stays(void **state)
{
	(void)state;
	static const char good[] = "{\"family\": \"f\", \"prompt\": \"p\", \"answer\": \"a\"}\n";
	static const char *const bad[] = {
		"{\"family\": \"f\", \"prompt\": \"p\"}",
		"{\"family\": \"f\", \"prompt\": \"p\", \"answer\": 3}",
		"[1]",
		"x",
		"{",
		"{\"family\": \"f\", \"prompt\": \"p\", \"answer\": \"a\"} more",
		"{\"family\": \"\\u0000\", \"prompt\": \"p\", \"answer\": \"a\"}",
		"{\"family\": \"f\", \"prompt\": \"\xff\", \"answer\": \"a\"}",
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct items items;
		char text[512];
		snprintf(text, sizeof text, "%s\n%s%s\n%s", good, good, bad[i], good);
		assert_int_equal(load(text, &items), -EINVAL);
		assert_int_equal(items.n, 2);
		assert_non_null(strstr(err, ":4: "));
		assert_null(strchr(err, '\n'));
		items_free(&items);
	}
}

static void files_that_cannot_be_read_are_named(void **state)
{
	(void)state;
	struct items items = { 0 };
	assert_int_equal(items_load(&items, "/nowhere/items.jsonl", err, sizeof err), -ENOENT);
	assert_non_null(strstr(err, "/nowhere/items.jsonl"));
	assert_int_equal(items_load(&items, "/tmp", err, sizeof err), -EIO);
	assert_non_null(strstr(err, "/tmp"));
	items_free(&items);
}

static void an_answer_is_the_first_line_without_the_space_around_it(void **state)
{
	(void)state;
	char two_words[] = "two words", nothing[] = "";
	struct item item = { .answer = two_words }, empty = { .answer = nothing };
	assert_true(item_is_right(&item, "two words"));
	assert_true(item_is_right(&item, " \t two words \r\nand more"));
	assert_false(item_is_right(&item, "two  words"));
	assert_false(item_is_right(&item, "two words."));
	assert_false(item_is_right(&item, "two word"));
	assert_false(item_is_right(&item, "Two words"));
	assert_false(item_is_right(&item, "\ntwo words"));
	assert_false(item_is_right(&item, ""));
	assert_true(item_is_right(&empty, " \nx"));
	assert_false(item_is_right(&empty, "x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_become_items_in_order),
		cmocka_unit_test(many_lines_and_files_add_up),
		cmocka_unit_test(a_bad_line_is_named_and_what_came_before_stays),
		cmocka_unit_test(files_that_cannot_be_read_are_named),
		cmocka_unit_test(an_answer_is_the_first_line_without_the_space_around_it),
	};
	return cmocka_run_group_tests_name("items", tests, NULL, NULL);
}
