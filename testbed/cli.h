/* cli.h - the command line: commands, options, exit statuses, machine-readable output, interruption.
 *
 * A command is a row of the table in main.c and a function in cmd_<name>.c. Names may be nested ("phy csi"). The
 * function gets its own name as argv[0] and what follows it as argv[1..]:
 *
 *     int cmd_example(int argc, char **argv)
 *     {
 *             const char *json = NULL;
 *             double snr_db = 20;
 *             struct cli_list files = { .n = 0 };
 *             const struct cli_option options[] = {
 *                     { "snr-db", CLI_DOUBLE, &snr_db, "S", "signal-to-noise ratio in dB", .min = -20, .max = 60 },
 *                     { "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
 *             };
 *             const struct cli_syntax syntax = { "FILE...", "what it does, in a few lines", options, 2, &files, 1,
 * CLI_LIST_MAX }; struct json_out out; int status; if (!cli_parse(&syntax, argc, argv, &status)) return status; if
 * ((status = json_out_open(&out, json)) != CLI_DONE) return status; fprintf(json_out_text(&out), "for people\n");
 *             return json_out_write(&out, json_pack("{s:i, s:o}", "schema", 1, "snr_db", json_real_or_null(snr_db)));
 *     }
 *
 * Default values are what the variables hold before cli_parse; --help shows them. Bad input is one line on standard
 * error that names the culprit, and exit status 2 before anything is written.
 */
#ifndef TESTBED_CLI_H
#define TESTBED_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum cli_status {
	CLI_DONE = 0,
	CLI_FAILED = 1,    /* went wrong while running */
	CLI_BAD_INPUT = 2, /* nothing was begun */
	CLI_INTERRUPTED = 130,
};

struct cli_command {
	const char *name; /* words separated by one space */
	const char *help; /* one line */
	int (*run)(int argc, char **argv);
};

/* Runs the command that the longest run of leading words names; --help and --version of the program itself.
 * commands: [n]. Returns the exit status. */
int cli_main(const struct cli_command *commands, size_t n, int argc, char **argv);

enum { CLI_LIST_MAX = 256 };

/* Values of a repeated option, or positional arguments; they point into argv. */
struct cli_list {
	size_t n;
	const char *items[CLI_LIST_MAX];
};

enum cli_kind {
	CLI_FLAG,    /* bool, set to true; takes no value */
	CLI_STRING,  /* const char *, pointing into argv */
	CLI_INT,     /* int64_t */
	CLI_UINT64,  /* uint64_t, decimal or 0x...; min and max do not apply */
	CLI_DOUBLE,  /* double, finite */
	CLI_REPEATED /* struct cli_list */
};

struct cli_option {
	const char *name; /* without the leading -- */
	enum cli_kind kind;
	void *value; /* where it is stored, of the type its kind says */
	const char *metavar;
	const char *help;
	double min, max;     /* inclusive; both 0: any */
	const char *choices; /* strings only: the words allowed, separated by '|'; NULL: any */
	bool *given;         /* set to true if the option is there; its default is then not shown. NULL: not needed */
};

struct cli_syntax {
	const char *positional; /* as shown in the usage line, "" for none */
	const char *about;      /* for --help; may have several lines */
	const struct cli_option *options;
	size_t n_options;
	struct cli_list *args; /* positional arguments; may be NULL when max_args is 0 */
	size_t min_args, max_args;
};

/* Reads argv[1..] by the syntax: --name value, --name=value, -- ends options. False: return *status at once (--help was
 * shown: 0; bad input was named: 2). */
bool cli_parse(const struct cli_syntax *s, int argc, char **argv, int *status);

/* One line "wdmoe: ..." on standard error; control characters of the message are blanked. They return
 * CLI_BAD_INPUT and CLI_FAILED, so that a command can end with `return cli_bad_input(...)`. */
int cli_bad_input(const char *format, ...) __attribute__((format(printf, 1, 2)));
int cli_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* From this call on SIGINT and SIGTERM only set a flag, which the caller polls; a second one kills as usual. */
void cli_catch_interrupt(void);
bool cli_interrupted(void);

/* Version of the program, as in --version and reports. */
const char *cli_version(void);

/* A file of the distribution: `path` itself if it exists or is absolute, else the same path under the folder the
 * program was built from. Writes the path to use to `found`; -ENOENT (found is then `path`) or -ENAMETOOLONG. */
int cli_find_file(const char *path, char *found, size_t size);

/* ---- --json FILE ----
 * One object with "schema" (number), snake_case keys with units in their names, null for what is not finite. */
#define CLI_HELP_JSON "write the report as one JSON object; - is standard output, all else then goes to standard error"

struct json_out {
	const char *path; /* NULL: not asked for */
	FILE *text;       /* where output for people goes */
};

/* path: as given on the command line, NULL for none; must outlive *o. Checks that it can be written, writes nothing.
 * CLI_DONE, or CLI_BAD_INPUT after naming the culprit. */
int json_out_open(struct json_out *o, const char *path);
FILE *json_out_text(const struct json_out *o);

/* Writes the object, whole or not at all (a temporary name, then a rename), and gives up the reference to it. Without a
 * path it only does the latter. CLI_DONE, or CLI_FAILED after a line on standard error. root NULL is a failure
 * (json_pack without memory or with a bad format). */
int json_out_write(const struct json_out *o, json_t *root);

/* A number, null if it is NaN or Inf. */
json_t *json_real_or_null(double x);

/* A string of n bytes; what is not UTF-8 in them is replaced by U+FFFD. */
json_t *json_text(const char *bytes, size_t n);

/* Array of n numbers, each by json_real_or_null. */
json_t *json_reals(const double *x, size_t n);

#endif
