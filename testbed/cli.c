#include "testbed/cli.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048, PATH_BYTES = 4096 };

/* ---- messages ---- */

static void complain(const char *format, va_list args)
{
	char line[LINE_MAX_BYTES];
	vsnprintf(line, sizeof line, format, args);
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' '; /* what came from a file or an argument must not break the line or the terminal */
	fprintf(stderr, "wdmoe: %s\n", line);
}

int cli_bad_input(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	complain(format, args);
	va_end(args);
	return CLI_BAD_INPUT;
}

int cli_failed(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	complain(format, args);
	va_end(args);
	return CLI_FAILED;
}

const char *cli_version(void)
{
	return WDMOE_VERSION;
}

/* ---- options ---- */

static bool word_of(const char *words, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = words; n > 0 && (p = strstr(p, word)) != NULL; p += n)
		if ((p == words || p[-1] == '|') && (p[n] == '\0' || p[n] == '|'))
			return true;
	return false;
}

static bool in_range(const struct cli_option *o, double x)
{
	return (o->min == 0 && o->max == 0) || (x >= o->min && x <= o->max);
}

static bool store_string(const struct cli_option *o, const char *text)
{
	if (o->choices && !word_of(o->choices, text))
		return false;
	*(const char **)o->value = text;
	return true;
}

static bool store_int(const struct cli_option *o, const char *text)
{
	char *end;
	errno = 0;
	long long x = strtoll(text, &end, 10);
	if (errno || end == text || *end || !in_range(o, (double)x))
		return false;
	*(int64_t *)o->value = x;
	return true;
}

static bool store_uint64(const struct cli_option *o, const char *text)
{
	char *end;
	errno = 0;
	unsigned long long x = strtoull(text, &end, 0);
	if (errno || end == text || *end || strchr(text, '-'))
		return false;
	*(uint64_t *)o->value = x;
	return true;
}

static bool store_double(const struct cli_option *o, const char *text)
{
	char *end;
	double x = strtod(text, &end);
	if (end == text || *end || !isfinite(x) || !in_range(o, x))
		return false;
	*(double *)o->value = x;
	return true;
}

static bool store_repeated(const struct cli_option *o, const char *text)
{
	struct cli_list *list = o->value;
	if (list->n == CLI_LIST_MAX)
		return false;
	list->items[list->n++] = text;
	return true;
}

static void show_none(FILE *f, const void *value)
{
	(void)f, (void)value;
}

static void show_string(FILE *f, const void *value)
{
	const char *text = *(const char *const *)value;
	if (text)
		fprintf(f, " [%s]", text);
}

static void show_int(FILE *f, const void *value)
{
	fprintf(f, " [%lld]", (long long)*(const int64_t *)value);
}

static void show_uint64(FILE *f, const void *value)
{
	fprintf(f, " [%llu]", (unsigned long long)*(const uint64_t *)value);
}

static void show_double(FILE *f, const void *value)
{
	if (isfinite(*(const double *)value))
		fprintf(f, " [%g]", *(const double *)value);
}

static const struct {
	const char *what; /* for "is not ..." */
	bool (*store)(const struct cli_option *o, const char *text);
	void (*show_default)(FILE *f, const void *value);
} kinds[] = {
	[CLI_FLAG] = { "a flag", NULL, show_none },
	[CLI_STRING] = { "a word", store_string, show_string },
	[CLI_INT] = { "a whole number", store_int, show_int },
	[CLI_UINT64] = { "a whole number from 0 to 2^64 - 1", store_uint64, show_uint64 },
	[CLI_DOUBLE] = { "a number", store_double, show_double },
	[CLI_REPEATED] = { "one of at most 256 values", store_repeated, show_none },
};

static int bad_value(const struct cli_option *o, const char *text)
{
	if (o->choices)
		return cli_bad_input("--%s: \"%s\" is none of %s", o->name, text, o->choices);
	if (o->min == 0 && o->max == 0)
		return cli_bad_input("--%s: \"%s\" is not %s", o->name, text, kinds[o->kind].what);
	return cli_bad_input("--%s: \"%s\" is not %s from %g to %g", o->name, text, kinds[o->kind].what, o->min,
	                     o->max);
}

static void print_help(const struct cli_syntax *s, const char *command)
{
	printf("usage: wdmoe %s%s%s%s\n\n%s\n", command, s->n_options > 0 ? " [options]" : "",
	       *s->positional ? " " : "", s->positional, s->about);
	if (s->n_options > 0)
		printf("\noptions (defaults in brackets):\n");
	for (size_t i = 0; i < s->n_options; i++) {
		const struct cli_option *o = &s->options[i];
		int width = printf("  --%s%s%s", o->name, o->metavar ? " " : "", o->metavar ? o->metavar : "");
		printf("%*s%s", width < 26 ? 26 - width : 1, "", o->help);
		if (o->choices)
			printf(" (%s)", o->choices);
		if (o->min != 0 || o->max != 0)
			printf(" (%g .. %g)", o->min, o->max);
		if (!o->given)
			kinds[o->kind].show_default(stdout, o->value);
		printf("%s\n", o->kind == CLI_REPEATED ? " (may be repeated)" : "");
	}
}

static const struct cli_option *find_option(const struct cli_syntax *s, const char *name, size_t len)
{
	for (size_t i = 0; i < s->n_options; i++)
		if (strlen(s->options[i].name) == len && memcmp(s->options[i].name, name, len) == 0)
			return &s->options[i];
	return NULL;
}

/* One option at argv[*i], advancing over its value. CLI_DONE or CLI_BAD_INPUT. */
static int take_option(const struct cli_syntax *s, int argc, char **argv, int *i)
{
	const char *name = argv[*i] + 2;
	size_t len = strcspn(name, "=");
	const struct cli_option *o = find_option(s, name, len);
	if (!o)
		return cli_bad_input("unknown option --%.*s (see wdmoe %s --help)", (int)len, name, argv[0]);
	if (o->given)
		*o->given = true;
	if (o->kind == CLI_FLAG) {
		if (name[len] == '=')
			return cli_bad_input("--%s takes no value", o->name);
		*(bool *)o->value = true;
		return CLI_DONE;
	}
	if (name[len] != '=' && *i + 1 == argc)
		return cli_bad_input("--%s needs a value", o->name);
	const char *text = name[len] == '=' ? name + len + 1 : argv[++*i];
	return kinds[o->kind].store(o, text) ? CLI_DONE : bad_value(o, text);
}

/* -x, but neither "-" (standard input or output) nor a negative number. */
static bool looks_like_option(const char *arg)
{
	return arg[0] == '-' && arg[1] != '\0' && !(arg[1] >= '0' && arg[1] <= '9') && arg[1] != '.';
}

static int take_positional(const struct cli_syntax *s, const char *text)
{
	size_t max = s->max_args < CLI_LIST_MAX ? s->max_args : CLI_LIST_MAX;
	if (!s->args || s->args->n >= max)
		return cli_bad_input("unexpected argument \"%s\"", text);
	s->args->items[s->args->n++] = text;
	return CLI_DONE;
}

static bool asks_for_help(const char *arg)
{
	return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

bool cli_parse(const struct cli_syntax *s, int argc, char **argv, int *status)
{
	bool options_end = false;
	*status = CLI_DONE;
	for (int i = 1; i < argc && *status == CLI_DONE; i++) {
		if (!options_end && asks_for_help(argv[i])) {
			print_help(s, argv[0]);
			return false;
		}
		if (!options_end && strcmp(argv[i], "--") == 0)
			options_end = true;
		else if (!options_end && strncmp(argv[i], "--", 2) == 0)
			*status = take_option(s, argc, argv, &i);
		else if (!options_end && looks_like_option(argv[i]))
			*status = cli_bad_input("unknown option %s (see wdmoe %s --help)", argv[i], argv[0]);
		else
			*status = take_positional(s, argv[i]);
	}
	if (*status == CLI_DONE && s->args && s->args->n < s->min_args)
		*status = cli_bad_input("missing argument: wdmoe %s %s", argv[0], s->positional);
	return *status == CLI_DONE;
}

/* ---- commands ---- */

/* How many of the arguments the words of the command's name match; 0 if not all words do. */
static int match_words(const char *name, int argc, char **argv)
{
	int n = 0;
	while (n < argc) {
		size_t len = strcspn(name, " ");
		if (strlen(argv[n]) != len || memcmp(argv[n], name, len) != 0)
			return 0;
		n++;
		if (name[len] == '\0')
			return n;
		name += len + 1;
	}
	return 0;
}

static bool first_word_is(const char *name, const char *word)
{
	size_t len = strlen(word);
	return strncmp(name, word, len) == 0 && name[len] == ' ';
}

/* under: NULL for all commands, or the first word of those to list. */
static void list_commands(const struct cli_command *commands, size_t n, const char *under)
{
	printf("usage: wdmoe COMMAND [arguments]\n\ncommands (wdmoe COMMAND --help tells more):\n");
	for (size_t i = 0; i < n; i++)
		if (!under || first_word_is(commands[i].name, under))
			printf("  %-12s %s\n", commands[i].name, commands[i].help);
	if (!under)
		printf("\n  wdmoe --version, wdmoe --help\n"
		       "\nexit status: 0 done, 1 failed while running, 2 bad input, 130 interrupted\n");
}

static int no_such_command(const struct cli_command *commands, size_t n, int argc, char **argv)
{
	for (size_t i = 0; i < n; i++) {
		if (!first_word_is(commands[i].name, argv[0]))
			continue;
		if (argc < 2)
			return cli_bad_input("%s what? (see wdmoe %s --help)", argv[0], argv[0]);
		if (asks_for_help(argv[1])) {
			list_commands(commands, n, argv[0]);
			return CLI_DONE;
		}
		return cli_bad_input("no command \"%s %s\" (see wdmoe %s --help)", argv[0], argv[1], argv[0]);
	}
	return cli_bad_input("no command \"%s\" (see wdmoe --help)", argv[0]);
}

/* Output that could not be written is a failure, whatever the command thinks. */
static int flushed(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	return status == CLI_DONE ? cli_failed("standard output: %s", strerror(errno)) : status;
}

int cli_main(const struct cli_command *commands, size_t n, int argc, char **argv)
{
	if (argc < 2)
		return cli_bad_input("no command (see wdmoe --help)");
	if (asks_for_help(argv[1]) || strcmp(argv[1], "help") == 0) {
		list_commands(commands, n, NULL);
		return flushed(CLI_DONE);
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("wdmoe %s\n", cli_version());
		return flushed(CLI_DONE);
	}
	const struct cli_command *best = NULL;
	int words = 0;
	for (size_t i = 0; i < n; i++) {
		int matched = match_words(commands[i].name, argc - 1, argv + 1);
		if (matched > words) {
			words = matched;
			best = &commands[i];
		}
	}
	if (!best)
		return flushed(no_such_command(commands, n, argc - 1, argv + 1));
	char name[64];
	snprintf(name, sizeof name, "%s", best->name);
	argv[words] = name;
	return flushed(best->run(argc - words, argv + words));
}

/* ---- interruption ---- */

static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number)
{
	(void)signal_number;
	interrupted = 1;
}

void cli_catch_interrupt(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

bool cli_interrupted(void)
{
	return interrupted != 0;
}

/* ---- files ---- */

int cli_find_file(const char *path, char *found, size_t size)
{
	static const char *const roots[] = { "", WDMOE_SOURCE_DIR "/" };
	size_t n_roots = path[0] == '/' ? 1 : sizeof roots / sizeof roots[0];
	for (size_t i = 0; i < n_roots; i++) {
		if ((size_t)snprintf(found, size, "%s%s", roots[i], path) >= size)
			return -ENAMETOOLONG;
		if (access(found, F_OK) == 0)
			return 0;
	}
	snprintf(found, size, "%s", path);
	return -ENOENT;
}

/* ---- JSON reports ---- */

static bool is_standard_output(const char *path)
{
	return path && strcmp(path, "-") == 0;
}

/* A terminal, pipe or device: written to directly, it cannot be replaced. */
static bool is_special(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

static int check_writable(const char *path)
{
	struct stat st;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return -EISDIR;
	if (is_special(path))
		return access(path, W_OK) == 0 ? 0 : -errno;
	char dir[PATH_BYTES];
	if ((size_t)snprintf(dir, sizeof dir, "%s", path) >= sizeof dir)
		return -ENAMETOOLONG;
	char *slash = strrchr(dir, '/');
	if (slash)
		slash[1] = '\0';
	return access(slash ? dir : ".", W_OK | X_OK) == 0 ? 0 : -errno;
}

int json_out_open(struct json_out *o, const char *path)
{
	*o = (struct json_out){ .path = path, .text = is_standard_output(path) ? stderr : stdout };
	if (!path || is_standard_output(path))
		return CLI_DONE;
	int error = *path ? check_writable(path) : -ENOENT;
	return error == 0 ? CLI_DONE : cli_bad_input("--json %s: %s", path, strerror(-error));
}

FILE *json_out_text(const struct json_out *o)
{
	return o->text;
}

static int dump(const json_t *root, FILE *f)
{
	if (json_dumpf(root, f, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) < 0)
		return -EIO;
	return fputc('\n', f) == EOF || fflush(f) != 0 ? -EIO : 0;
}

static int dump_to_special(const json_t *root, const char *path)
{
	FILE *f = fopen(path, "w");
	if (!f)
		return -errno;
	int error = dump(root, f);
	return fclose(f) != 0 && error == 0 ? -EIO : error;
}

static int dump_to_file(const json_t *root, const char *path)
{
	char temporary[PATH_BYTES];
	if ((size_t)snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid()) >= sizeof temporary)
		return -ENAMETOOLONG;
	FILE *f = fopen(temporary, "wx");
	if (!f)
		return -errno;
	int error = dump(root, f);
	if (error == 0 && fsync(fileno(f)) != 0)
		error = -errno;
	if (fclose(f) != 0 && error == 0)
		error = -EIO;
	if (error == 0 && rename(temporary, path) != 0)
		error = -errno;
	if (error != 0)
		unlink(temporary);
	return error;
}

int json_out_write(const struct json_out *o, json_t *root)
{
	int error = 0;
	if (!root)
		error = -ENOMEM;
	else if (is_standard_output(o->path))
		error = dump(root, stdout);
	else if (o->path)
		error = is_special(o->path) ? dump_to_special(root, o->path) : dump_to_file(root, o->path);
	json_decref(root);
	return error == 0 ? CLI_DONE : cli_failed("--json %s: %s", o->path ? o->path : "", strerror(-error));
}

json_t *json_real_or_null(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

/* Bytes of the UTF-8 character at p, at most n; 0 if there is none (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_character(const unsigned char *p, size_t n)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
	bool beyond = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
	return overlong || beyond ? 0 : len;
}

json_t *json_text(const char *bytes, size_t n)
{
	static const char replacement[] = "\xef\xbf\xbd";
	char *text = malloc(3 * n + 1);
	if (!text)
		return NULL;
	size_t out = 0;
	for (size_t i = 0; i < n;) {
		size_t len = utf8_character((const unsigned char *)bytes + i, n - i);
		memcpy(text + out, len > 0 ? bytes + i : replacement, len > 0 ? len : 3);
		out += len > 0 ? len : 3;
		i += len > 0 ? len : 1;
	}
	json_t *string = json_stringn(text, out);
	free(text);
	return string;
}

json_t *json_reals(const double *x, size_t n)
{
	json_t *array = json_array();
	for (size_t i = 0; array && i < n; i++)
		json_array_append_new(array, json_real_or_null(x[i]));
	return array;
}
