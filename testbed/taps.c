#include "testbed/taps.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DELAYS "# delays_s:"

/* ---- reading ---- */

struct reading {
	FILE *file;
	const char *path;
	char *line;
	size_t size, number; /* of the line at hand */
	char *err;
	size_t err_len;
};

static int refuse(const struct reading *r, const char *what)
{
	snprintf(r->err, r->err_len, "%s:%zu: %s", r->path, r->number, what);
	return -EINVAL;
}

/* Numbers between commas; how many there are if they are all finite and no more than max, else 0. */
static size_t numbers(const char *text, double *out, size_t max)
{
	for (size_t n = 0; n < max;) {
		char *end;
		out[n] = strtod(text, &end);
		if (end == text || !isfinite(out[n++]))
			return 0;
		end += strspn(end, " \t\r\n");
		if (!*end)
			return n;
		if (*end != ',')
			return 0;
		text = end + 1;
	}
	return 0;
}

/* 1: r->line is the next line; 0: there is none. */
static int next_line(struct reading *r)
{
	if (getline(&r->line, &r->size, r->file) < 0)
		return 0;
	r->number++;
	return 1;
}

static bool is_row(const char *line)
{
	return *line != '#' && line[strspn(line, " \t\r\n")];
}

static int read_delays(struct reading *r, double *delay_s, size_t *n_taps)
{
	if (*n_taps)
		return refuse(r, "delays a second time");
	*n_taps = numbers(r->line + strlen(DELAYS), delay_s, TDL_MAX_TAPS);
	for (size_t i = 0; i < *n_taps; i++)
		if (delay_s[i] < 0)
			return refuse(r, "a delay below 0");
	return *n_taps ? 0 : refuse(r, "not a list of delays, or too many of them");
}

/* Finds the taps' delays and the number of rows. */
static int look_through(struct reading *r, double *delay_s, size_t *n_taps, size_t *n_rows)
{
	int rc = 0;
	*n_taps = *n_rows = 0;
	while (!rc && next_line(r)) {
		if (strncmp(r->line, DELAYS, strlen(DELAYS)) == 0)
			rc = read_delays(r, delay_s, n_taps);
		else
			*n_rows += is_row(r->line);
	}
	if (!rc && (!*n_taps || *n_rows < 2))
		rc = refuse(r, *n_taps ? "fewer than two rows" : "no line \"" DELAYS " ...\"");
	return rc;
}

static int read_row(struct reading *r, struct channel_trace *tr, size_t row)
{
	double x[1 + 2 * TDL_MAX_TAPS];
	if (numbers(r->line, x, 1 + 2 * tr->n_taps) != 1 + 2 * tr->n_taps)
		return refuse(r, "not a time and two numbers for each tap");
	if (row == 0 && x[0] != 0)
		return refuse(r, "the first time is not 0");
	if (row == 1)
		tr->step_s = x[0];
	if (row >= 1 && !(tr->step_s > 0 && fabs(x[0] - (double)row * tr->step_s) < 0.01 * tr->step_s))
		return refuse(r, "times are not at equal steps");
	for (size_t i = 0; i < tr->n_taps; i++) {
		tr->re[row * tr->n_taps + i] = (float)x[1 + 2 * i];
		tr->im[row * tr->n_taps + i] = (float)x[2 + 2 * i];
	}
	return 0;
}

static int read_file(struct reading *r, struct channel_trace *tr)
{
	double delay_s[TDL_MAX_TAPS];
	size_t n_taps, n_rows;
	int rc = look_through(r, delay_s, &n_taps, &n_rows);
	if (rc)
		return rc;
	rc = channel_trace_init(tr, n_taps, n_rows);
	if (rc) {
		snprintf(r->err, r->err_len, "%s: %s", r->path, strerror(-rc));
		return rc;
	}
	memcpy(tr->delay_s, delay_s, n_taps * sizeof *delay_s);
	rewind(r->file);
	r->number = 0;
	for (size_t row = 0; !rc && row < n_rows && next_line(r);)
		if (is_row(r->line))
			rc = read_row(r, tr, row++);
	return rc;
}

int taps_read(const char *path, struct channel_trace *tr, char *err, size_t err_len)
{
	struct reading r = { .file = fopen(path, "r"), .path = path, .err = err, .err_len = err_len };
	int rc = r.file ? 0 : -errno;
	*tr = (struct channel_trace){ 0 };
	if (!rc)
		rc = read_file(&r, tr);
	else
		snprintf(err, err_len, "%s: %s", path, strerror(-rc));
	if (rc)
		channel_trace_free(tr);
	if (r.file)
		fclose(r.file);
	free(r.line);
	return rc;
}

/* ---- writing ---- */

static int write_rows(FILE *f, const struct channel_trace *tr, const char *remark)
{
	if (remark)
		fprintf(f, "# %s\n", remark);
	fprintf(f, "# time_s, then re and im of each tap\n" DELAYS);
	for (size_t i = 0; i < tr->n_taps; i++)
		fprintf(f, "%c%.12g", i ? ',' : ' ', tr->delay_s[i]);
	fputc('\n', f);
	for (size_t row = 0; row < tr->n_times; row++) {
		fprintf(f, "%.12g", tr->step_s * (double)row);
		for (size_t i = row * tr->n_taps; i < (row + 1) * tr->n_taps; i++)
			fprintf(f, ",%.9g,%.9g", (double)tr->re[i], (double)tr->im[i]);
		fputc('\n', f);
	}
	return fflush(f) || ferror(f) ? -EIO : 0;
}

int taps_write(const char *path, const struct channel_trace *tr, const char *remark, char *err, size_t err_len)
{
	char temporary[4096];
	int n = snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid());
	FILE *f = n < (int)sizeof temporary ? fopen(temporary, "wx") : NULL;
	int rc = n >= (int)sizeof temporary ? -ENAMETOOLONG : f ? write_rows(f, tr, remark) : -errno;
	if (f && fclose(f) && !rc)
		rc = -EIO;
	if (!rc && rename(temporary, path))
		rc = -errno;
	if (rc) {
		snprintf(err, err_len, "%s: %s", path, strerror(-rc));
		if (f)
			unlink(temporary);
	}
	return rc;
}
