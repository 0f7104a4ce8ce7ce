#include "testbed/cli.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
	bool flag;
	const char *word;
	int64_t n;
	uint64_t seed;
	double x;
	struct cli_list sets, args;
} got;

static char dir[] = "/tmp/wdmoe-test-cli-XXXXXX";
static int saved_err;

/* Parses "test ARG..." and returns the status; -1: go on. What it complains of goes to a file. */
static int parse(int n, const char **words)
{
	got.flag = false;
	got.word = "a";
	got.n = 5;
	got.seed = 1;
	got.x = 0.5;
	got.sets.n = got.args.n = 0;
	const struct cli_option options[] = {
		{ "flag", CLI_FLAG, &got.flag, NULL, "a flag" },
		{ "word", CLI_STRING, &got.word, "W", "a word", .choices = "a|bc" },
		{ "n", CLI_INT, &got.n, "N", "a count", .min = 1, .max = 10 },
		{ "seed", CLI_UINT64, &got.seed, "S", "a seed" },
		{ "x", CLI_DOUBLE, &got.x, "X", "a number" },
		{ "set", CLI_REPEATED, &got.sets, "K=V", "a setting" },
	};
	const struct cli_syntax syntax = { "FILE", "test", options, 6, &got.args, 0, 2 };
	char *argv[16] = { (char[]){ "test" } };
	for (int i = 0; i < n; i++)
		argv[i + 1] = (char *)(uintptr_t)words[i];
	int status;
	return cli_parse(&syntax, n + 1, argv, &status) ? -1 : status;
}
#define PARSE(...)                                                                                                     \
	parse((int)(sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *)), (const char *[]){ __VA_ARGS__ })

static char *complaint_path(void)
{
	static char path[64];
	snprintf(path, sizeof path, "%s/stderr", dir);
	return path;
}

static int begin(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	return rmdir(dir);
}

static int catch_complaints(void **state)
{
	(void)state;
	fflush(stderr);
	saved_err = dup(2);
	int fd = open(complaint_path(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
	dup2(fd, 2);
	return close(fd);
}

static int release_complaints(void **state)
{
	(void)state;
	fflush(stderr);
	dup2(saved_err, 2);
	close(saved_err);
	return unlink(complaint_path());
}

static const char *complaint(void)
{
	static char text[4096];
	FILE *f = fopen(complaint_path(), "r");
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	return text;
}

static void options_are_stored_by_kind_in_both_spellings(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--flag", "--word", "bc", "--n=7", "--seed", "0xff", "--x=-1e3", "--set", "a=b",
	                       "--set=c=d=e", "f"),
	                 -1);
	assert_true(got.flag);
	assert_string_equal(got.word, "bc");
	assert_int_equal(got.n, 7);
	assert_int_equal(got.seed, 255);
	assert_true(got.x == -1000);
	assert_int_equal(got.sets.n, 2);
	assert_string_equal(got.sets.items[1], "c=d=e");
	assert_int_equal(got.args.n, 1);
	assert_string_equal(got.args.items[0], "f");
}

static void defaults_stay_where_nothing_is_given(void **state)
{
	(void)state;
	assert_int_equal(parse(0, NULL), -1);
	assert_true(!got.flag && got.n == 5 && got.seed == 1 && got.x == 0.5);
}

static void a_negative_number_is_a_value_not_an_option(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--x", "-7500"), -1);
	assert_true(got.x == -7500);
}

static void after_two_dashes_all_is_argument(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--", "--flag", "-"), -1);
	assert_false(got.flag);
	assert_int_equal(got.args.n, 2);
}

static void wrong_values_name_the_option_and_end_with_status_2(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--n", "11"), 2);
	assert_non_null(strstr(complaint(), "--n"));
	assert_int_equal(PARSE("--n", "0"), 2);
	assert_int_equal(PARSE("--n", "3x"), 2);
	assert_int_equal(PARSE("--n", ""), 2);
	assert_int_equal(PARSE("--word", "b"), 2);
	assert_int_equal(PARSE("--seed", "-1"), 2);
	assert_int_equal(PARSE("--seed", "18446744073709551616"), 2);
	assert_int_equal(PARSE("--x", "nan"), 2);
	assert_int_equal(PARSE("--x", "1e999"), 2);
	assert_int_equal(PARSE("--flag=1"), 2);
	assert_int_equal(PARSE("--n"), 2);
	assert_int_equal(PARSE("--fla"), 2);
	assert_int_equal(PARSE("-f"), 2);
	assert_int_equal(PARSE("a", "b", "c"), 2);
}

static void a_complaint_is_one_line_whatever_it_quotes(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--word", "two\nlines\033[31m"), 2);
	const char *text = complaint();
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	assert_null(strchr(text, '\033'));
}

static int first(int argc, char **argv)
{
	(void)argv;
	return 10 + argc;
}

static int nested(int argc, char **argv)
{
	return strcmp(argv[0], "phy csi") == 0 ? 20 + argc : -1;
}

static void commands_are_found_by_their_longest_name(void **state)
{
	(void)state;
	const struct cli_command commands[] = { { "phy", "short", first }, { "phy csi", "long", nested } };
	char *one[] = { (char[]){ "wdmoe" }, (char[]){ "phy" }, (char[]){ "x" } };
	char *two[] = { (char[]){ "wdmoe" }, (char[]){ "phy" }, (char[]){ "csi" }, (char[]){ "x" } };
	assert_int_equal(cli_main(commands, 2, 3, one), 12);
	assert_int_equal(cli_main(commands, 2, 4, two), 22);
	char *none[] = { (char[]){ "wdmoe" }, (char[]){ "phyx" } };
	assert_int_equal(cli_main(commands, 2, 2, none), 2);
}

static void a_report_replaces_the_old_one_and_leaves_nothing_else(void **state)
{
	(void)state;
	char path[64];
	snprintf(path, sizeof path, "%s/report.json", dir);
	for (int i = 1; i <= 2; i++) {
		struct json_out out;
		assert_int_equal(json_out_open(&out, path), CLI_DONE);
		assert_int_equal(json_out_write(&out, json_pack("{s:i}", "schema", i)), CLI_DONE);
	}
	json_t *back = json_load_file(path, 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(back, "schema")), 2);
	json_decref(back);
	assert_int_equal(unlink(path), 0); /* rmdir at the end then proves that nothing else was left */
}

static void a_report_that_cannot_be_written_is_refused_before_the_work(void **state)
{
	(void)state;
	struct json_out out;
	assert_int_equal(json_out_open(&out, "/no/such/folder/x.json"), 2);
	assert_int_equal(json_out_open(&out, "/tmp"), 2);
	assert_int_equal(json_out_open(&out, ""), 2);
}

static void a_special_file_is_written_to_not_replaced(void **state)
{
	(void)state;
	struct json_out out;
	assert_int_equal(json_out_open(&out, "/dev/null"), CLI_DONE);
	assert_int_equal(json_out_write(&out, json_object()), CLI_DONE);
	struct stat st;
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
}

static void with_the_report_on_standard_output_text_goes_to_standard_error(void **state)
{
	(void)state;
	struct json_out out;
	assert_int_equal(json_out_open(&out, "-"), CLI_DONE);
	assert_ptr_equal(json_out_text(&out), stderr);
	assert_int_equal(json_out_open(&out, NULL), CLI_DONE);
	assert_ptr_equal(json_out_text(&out), stdout);
}

static void what_is_not_finite_is_null(void **state)
{
	(void)state;
	json_t *a = json_reals((const double[]){ 1.5, NAN, INFINITY }, 3);
	assert_int_equal(json_array_size(a), 3);
	assert_true(json_real_value(json_array_get(a, 0)) == 1.5);
	assert_true(json_is_null(json_array_get(a, 1)) && json_is_null(json_array_get(a, 2)));
	json_decref(a);
}

static void text_that_is_not_utf8_becomes_utf8(void **state)
{
	(void)state;
	const struct {
		const char *bytes, *text;
	} cases[] = {
		{ "h\xc3\xa9", "h\xc3\xa9" },                               /* e acute */
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },                 /* four bytes */
		{ "\xc3", "\xef\xbf\xbd" },                                 /* cut off */
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },                 /* overlong */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* surrogate */
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		json_t *t = json_text(cases[i].bytes, strlen(cases[i].bytes));
		assert_string_equal(json_string_value(t), cases[i].text);
		json_decref(t);
	}
}

static void an_interrupt_sets_the_flag_once_caught(void **state)
{
	(void)state;
	cli_catch_interrupt();
	assert_false(cli_interrupted());
	raise(SIGINT);
	assert_true(cli_interrupted());
}

int main(void)
{
#define QUIET(test) cmocka_unit_test_setup_teardown(test, catch_complaints, release_complaints)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_stored_by_kind_in_both_spellings),
		cmocka_unit_test(defaults_stay_where_nothing_is_given),
		cmocka_unit_test(a_negative_number_is_a_value_not_an_option),
		cmocka_unit_test(after_two_dashes_all_is_argument),
		QUIET(wrong_values_name_the_option_and_end_with_status_2),
		QUIET(a_complaint_is_one_line_whatever_it_quotes),
		QUIET(commands_are_found_by_their_longest_name),
		cmocka_unit_test(a_report_replaces_the_old_one_and_leaves_nothing_else),
		QUIET(a_report_that_cannot_be_written_is_refused_before_the_work),
		cmocka_unit_test(a_special_file_is_written_to_not_replaced),
		cmocka_unit_test(with_the_report_on_standard_output_text_goes_to_standard_error),
		cmocka_unit_test(what_is_not_finite_is_null),
		cmocka_unit_test(text_that_is_not_utf8_becomes_utf8),
		cmocka_unit_test(an_interrupt_sets_the_flag_once_caught),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
