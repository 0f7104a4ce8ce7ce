#include "testbed/csi_taps.h"

#include <complex.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phy/numerology.h"
#include "testbed/config.h"

/* LAPACK, from OpenBLAS: solves A X = B for a Hermitian positive definite A, column-major. */
void zposv_(const char *uplo, const int *n, const int *n_rhs, double complex *a, const int *lda, double complex *b,
            const int *ldb, int *info);

enum { LEAD = 6 }; /* taps before the channel's mean delay */

/* Counts slots by the receiver's clock: their numbers are not known before system information is. */
struct counter {
	bool begun;
	uint64_t t, index; /* of the record before */
};

static uint64_t count_slot(struct counter *c, const struct numerology *num, const struct journal_csi_view *csi)
{
	if (c->begun && csi->t_slot_samples > c->t)
		c->index += (csi->t_slot_samples - c->t + num->slot_len / 2) / num->slot_len;
	c->begun = true;
	c->t = csi->t_slot_samples;
	return c->index;
}

/* Sums over the valid records of the link: what fits them all. */
struct survey {
	const struct numerology *num;
	struct counter counter;
	size_t n;
	uint64_t first_slot;
	uint64_t last, step;         /* slots since the first record; step: the least between two */
	double t0;                   /* of the first record: times are counted from it */
	double x, y, xx, xy;         /* of slots and times since the first */
	double timing, power, noise; /* sums */
};

struct fit {
	struct numerology num;
	size_t n_taps;
	double clock, start;               /* t_slot of a slot = start + clock * (slot - first) */
	double first_delay;                /* samples after the slot's begin on that line */
	double complex *response, *pseudo; /* [n_sc][n_taps]: of the taps, and from responses to taps */
};

struct source {
	const char *path;
	enum journal_direction direction;
	unsigned device;
	char *err;
	size_t err_len;
};

static int complain(const struct source *s, int rc, const char *what)
{
	snprintf(s->err, s->err_len, "%s: %s", s->path, what);
	return rc;
}

/* Every valid record of the link goes to fn, in order, until it returns nonzero, which is then returned. */
static int each_record(const struct source *s, int (*fn)(void *arg, const struct journal_csi_view *csi), void *arg)
{
	struct journal_reader *r;
	struct journal_record rec;
	struct journal_csi_view csi;
	int rc = journal_reader_open(s->path, &r, s->err, s->err_len), got = 0;
	if (rc)
		return rc;
	while (!rc && (got = journal_reader_next(r, &rec)) > 0)
		if (rec.type == JOURNAL_CSI && !journal_read_csi(&rec, &csi) && csi.direction == s->direction &&
		    csi.device == s->device && csi.valid)
			rc = fn(arg, &csi);
	journal_reader_close(r);
	return !rc && got == -EIO ? complain(s, -EIO, strerror(EIO)) : rc;
}

static double square(double complex z)
{
	return creal(z) * creal(z) + cimag(z) * cimag(z);
}

static double complex response_at(const struct journal_csi_view *csi, size_t k)
{
	return (double)csi->h[2 * k] + I * (double)csi->h[2 * k + 1];
}

static int look_at(void *arg, const struct journal_csi_view *csi)
{
	struct survey *v = arg;
	uint64_t at = count_slot(&v->counter, v->num, csi);
	if (csi->n_sc != v->num->n_sc)
		return -EINVAL;
	if (v->n == 0) {
		v->first_slot = csi->slot;
		v->t0 = (double)csi->t_slot_samples;
	} else if (at == v->last) {
		return 0; /* a second look at a slot */
	} else if (v->step == 0 || at - v->last < v->step) {
		v->step = at - v->last;
	}
	double x = (double)at, y = (double)csi->t_slot_samples - v->t0;
	for (size_t k = 0; k < csi->n_sc; k++)
		v->power += square(response_at(csi, k)) / (double)csi->n_sc;
	v->last = at;
	v->n++;
	v->x += x;
	v->y += y;
	v->xx += x * x;
	v->xy += x * y;
	v->timing += (double)csi->timing_samples;
	v->noise += (double)csi->noise_var;
	return 0;
}

/* pseudo = (A' A + noise) \ A', where A[k][l] is the response of tap l at subcarrier k. */
static int make_pseudo(struct fit *f, double noise_over_power)
{
	size_t n = f->n_taps, n_sc = f->num.n_sc;
	int size = (int)n, n_rhs = (int)n_sc, info;
	double complex gram[TDL_MAX_TAPS * TDL_MAX_TAPS] = { 0 };
	f->response = calloc(n * n_sc, sizeof *f->response);
	f->pseudo = calloc(n * n_sc, sizeof *f->pseudo);
	if (!f->response || !f->pseudo)
		return -ENOMEM;
	for (size_t k = 0; k < n_sc; k++)
		for (size_t l = 0; l < n; l++) {
			double tau = (f->first_delay + (double)l) / f->num.rate_hz;
			f->response[k * n + l] = cexp(-2 * I * M_PI * numerology_freq_hz(&f->num, k) * tau);
			f->pseudo[k * n + l] = conj(f->response[k * n + l]);
		}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			for (size_t k = 0; k < n_sc; k++)
				gram[j * n + i] += conj(f->response[k * n + i]) * f->response[k * n + j];
			gram[j * n + i] += i == j ? noise_over_power * (double)n : 0;
		}
	zposv_("L", &size, &n_rhs, gram, &size, f->pseudo, &size, &info);
	return info ? -EDOM : 0;
}

static int make_fit(const struct survey *v, size_t n_taps, struct fit *f)
{
	double n = (double)v->n, det = n * v->xx - v->x * v->x;
	f->n_taps = n_taps;
	f->clock = (n * v->xy - v->x * v->y) / det;
	f->start = v->t0 + (v->y - f->clock * v->x) / n;
	f->first_delay = floor(v->timing / n) - fmin(LEAD, (double)n_taps / 3);
	return make_pseudo(f, fmax(v->noise / v->power, 1e-9));
}

/* One pass that fills the rows that have records. */
struct filling {
	const struct fit *fit;
	const struct survey *survey;
	struct counter counter;
	struct channel_trace *trace;
	bool *measured;       /* [n_times] */
	const float *last_re; /* the row before, NULL at the first */
	const float *last_im;
	double residual, power;
};

static void turn(float *re, float *im, size_t n, double complex by)
{
	for (size_t l = 0; l < n; l++) {
		double complex g = ((double)re[l] + I * (double)im[l]) * by;
		re[l] = (float)creal(g);
		im[l] = (float)cimag(g);
	}
}

/* The phase that fits the row before best. */
static void align(struct filling *fill, float *re, float *im)
{
	size_t n = fill->fit->n_taps;
	double complex product = 0;
	for (size_t l = 0; fill->last_re && l < n; l++)
		product +=
		        ((double)fill->last_re[l] + I * (double)fill->last_im[l]) * ((double)re[l] - I * (double)im[l]);
	if (cabs(product) > 0)
		turn(re, im, n, product / cabs(product));
	fill->last_re = re;
	fill->last_im = im;
}

/* The response as it would have been in a window on the line. */
static void put_on_the_line(const struct fit *f, const struct journal_csi_view *csi, uint64_t since, double complex *h)
{
	double late = (double)csi->t_slot_samples - f->start - f->clock * (double)since;
	for (size_t k = 0; k < csi->n_sc; k++) {
		h[k] = response_at(csi, k) *
		       cexp(-2 * I * M_PI * numerology_freq_hz(&f->num, k) * late / f->num.rate_hz);
	}
}

static void fit_taps(const struct fit *f, const double complex *h, double complex *tap)
{
	memset(tap, 0, f->n_taps * sizeof *tap);
	for (size_t k = 0; k < f->num.n_sc; k++)
		for (size_t l = 0; l < f->n_taps; l++)
			tap[l] += f->pseudo[k * f->n_taps + l] * h[k];
}

static void judge(struct filling *fill, const double complex *h, const double complex *tap)
{
	const struct fit *f = fill->fit;
	for (size_t k = 0; k < f->num.n_sc; k++) {
		double complex fitted = 0;
		for (size_t l = 0; l < f->n_taps; l++)
			fitted += tap[l] * f->response[k * f->n_taps + l];
		fill->power += square(h[k]);
		fill->residual += square(h[k] - fitted);
	}
}

static int fill_row(void *arg, const struct journal_csi_view *csi)
{
	struct filling *fill = arg;
	const struct fit *f = fill->fit;
	uint64_t since = count_slot(&fill->counter, &f->num, csi);
	size_t row = (size_t)(since / fill->survey->step), n = f->n_taps;
	double complex h[PHY_SC_MAX], tap[TDL_MAX_TAPS];
	if (since % fill->survey->step || fill->measured[row])
		return 0;
	put_on_the_line(f, csi, since, h);
	fit_taps(f, h, tap);
	judge(fill, h, tap);
	float *re = &fill->trace->re[row * n], *im = &fill->trace->im[row * n];
	for (size_t l = 0; l < n; l++) {
		re[l] = (float)creal(tap[l]);
		im[l] = (float)cimag(tap[l]);
	}
	align(fill, re, im);
	fill->measured[row] = true;
	return 0;
}

/* Rows without a record: on the line between their neighbours. The first and the last have one. */
static size_t fill_gaps(struct channel_trace *tr, const bool *measured)
{
	size_t n = tr->n_taps, n_filled = 0;
	for (size_t row = 1, before = 0; row < tr->n_times; row++) {
		if (!measured[row])
			continue;
		for (size_t between = before + 1; between < row; between++, n_filled++) {
			float part = (float)(between - before) / (float)(row - before);
			for (size_t l = 0; l < n; l++) {
				tr->re[between * n + l] =
				        tr->re[before * n + l] + part * (tr->re[row * n + l] - tr->re[before * n + l]);
				tr->im[between * n + l] =
				        tr->im[before * n + l] + part * (tr->im[row * n + l] - tr->im[before * n + l]);
			}
		}
		before = row;
	}
	return n_filled;
}

/* The numerology of the run that left the journal. */
static int read_numerology(const struct source *s, struct numerology *num)
{
	struct journal_reader *r;
	double rate_hz = 0, scs_hz = 0;
	int n_rb = 0, n_symbols = 0, rc = journal_reader_open(s->path, &r, s->err, s->err_len);
	if (rc)
		return rc;
	json_t *meta = (json_t *)(uintptr_t)journal_reader_metadata(r);
	rc = json_unpack(meta, "{s:{s:{s:F, s:F, s:i, s:i}}}", "config", "radio", "rate_hz", &rate_hz, "scs_hz",
	                 &scs_hz, "n_rb", &n_rb, "n_symbols", &n_symbols);
	journal_reader_close(r);
	if (rc)
		return complain(s, -EINVAL, "its metadata does not tell the numerology");
	return numerology_init(num, rate_hz, scs_hz, (size_t)n_rb, (size_t)n_symbols, s->err, s->err_len);
}

static int convert(const struct source *s, const struct survey *v, struct fit *f, struct csi_taps *out)
{
	size_t n_rows = (size_t)(v->last / v->step) + 1;
	struct filling fill = {
		.fit = f, .survey = v, .trace = &out->trace, .measured = calloc(n_rows, sizeof *fill.measured)
	};
	int rc = fill.measured ? channel_trace_init(&out->trace, f->n_taps, n_rows) : -ENOMEM;
	if (!rc)
		rc = each_record(s, fill_row, &fill);
	if (!rc) {
		out->trace.step_s = (double)v->step * numerology_slot_s(&f->num);
		for (size_t l = 0; l < f->n_taps; l++)
			out->trace.delay_s[l] = (double)l / f->num.rate_hz;
		out->first_slot = v->first_slot;
		out->n_filled = fill_gaps(&out->trace, fill.measured);
		out->n_measured = n_rows - out->n_filled;
		out->residual_db = 10 * log10(fill.residual / fill.power);
		out->noise_db = 10 * log10(v->noise / v->power);
		rc = channel_trace_normalise(&out->trace);
	}
	free(fill.measured);
	return rc ? complain(s, rc, strerror(-rc)) : 0;
}

int csi_taps_read(const char *journal, enum journal_direction direction, unsigned device, size_t n_taps,
                  struct csi_taps *out, char *err, size_t err_len)
{
	struct source s = { journal, direction, device, err, err_len };
	struct fit f = { 0 };
	struct survey v = { .num = &f.num };
	*out = (struct csi_taps){ 0 };
	if (n_taps < 1 || n_taps > TDL_MAX_TAPS)
		return complain(&s, -EINVAL, "number of taps out of range");
	int rc = read_numerology(&s, &f.num);
	rc = rc ? rc : each_record(&s, look_at, &v);
	if (!rc && v.n < 2)
		rc = complain(&s, -ENODATA, "fewer than two valid channel estimates of this link");
	if (!rc) {
		rc = make_fit(&v, n_taps, &f);
		rc = rc ? complain(&s, rc, strerror(-rc)) : convert(&s, &v, &f, out);
	}
	free(f.response);
	free(f.pseudo);
	if (rc)
		channel_trace_free(&out->trace);
	return rc;
}
