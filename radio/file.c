#include "radio/file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "radio/sigmf.h"

struct file_radio {
	struct radio radio; /* first */
	struct radio_info info;
	struct sigmf_recording rec;
	uint64_t now, sent_end;
};

static const struct sigmf_capture *capture_at(const struct sigmf_recording *rec, uint64_t t)
{
	size_t i = rec->n_captures - 1;
	while (i > 0 && rec->capture[i].t > t)
		i--;
	return &rec->capture[i];
}

static int file_recv(struct radio *r, float complex *x, size_t n, uint64_t t)
{
	struct file_radio *f = (struct file_radio *)r;
	const struct sigmf_capture *c = capture_at(&f->rec, t);
	if (t + n > f->now)
		f->now = t + n;
	r->stats.samples_received += n;
	if (isfinite(c->full_scale_dbm))
		f->info.rx_full_scale_dbm = c->full_scale_dbm;
	sigmf_read(&f->rec, x, n, t);
	return t < sigmf_end(&f->rec) ? 0 : -ENODATA;
}

static int file_send(struct radio *r, const float complex *x, size_t n, uint64_t t)
{
	struct file_radio *f = (struct file_radio *)r;
	(void)x;
	if (t < f->now || t + n <= f->sent_end) {
		radio_raise(r, RADIO_LATE, t);
		return -ETIME;
	}
	if (t < f->sent_end)
		radio_raise(r, RADIO_LATE, t);
	r->stats.samples_sent += t + n - (t < f->sent_end ? f->sent_end : t);
	f->sent_end = t + n;
	return 0;
}

/* The range is the gain itself: nothing else gets here. */
static int file_set_gain(struct radio *r, double gain_db)
{
	(void)r;
	(void)gain_db;
	return 0;
}

static void file_get_info(const struct radio *r, struct radio_info *info)
{
	*info = ((const struct file_radio *)r)->info;
}

static void file_destroy(struct radio *r)
{
	struct file_radio *f = (struct file_radio *)r;
	sigmf_free(&f->rec);
	free(f);
}

static const struct radio_ops ops = {
	.recv = file_recv,
	.send = file_send,
	.set_rx_gain = file_set_gain,
	.set_tx_gain = file_set_gain,
	.get_info = file_get_info,
	.destroy = file_destroy,
};

static void fill_info(struct file_radio *f, const struct radio_info *info)
{
	const struct sigmf_capture *c = &f->rec.capture[0];
	f->info = *info;
	f->info.rate_hz = f->rec.rate_hz;
	if (isfinite(c->carrier_hz))
		f->info.rx_hz = c->carrier_hz;
	if (isfinite(c->full_scale_dbm))
		f->info.rx_full_scale_dbm = c->full_scale_dbm;
	f->info.rx_gain_min_db = f->info.rx_gain_max_db = f->info.rx_gain_db;
	f->info.tx_gain_min_db = f->info.tx_gain_max_db = f->info.tx_gain_db;
}

struct radio *file_radio_create(const char *name, const struct radio_info *info, char *err, size_t err_len)
{
	struct file_radio *f = calloc(1, sizeof *f);
	int rc = f ? sigmf_open(name, &f->rec, err, err_len) : -ENOMEM;
	if (!rc && info->rate_hz > 0 && fabs(f->rec.rate_hz / info->rate_hz - 1) > 1e-9) {
		snprintf(err, err_len, "%s: recorded at %g Hz, wanted is %g Hz", name, f->rec.rate_hz, info->rate_hz);
		sigmf_free(&f->rec);
		rc = -EINVAL;
	}
	if (rc) {
		if (!f)
			snprintf(err, err_len, "%s: %s", name, strerror(-rc));
		free(f);
		errno = -rc;
		return NULL;
	}
	f->radio.ops = &ops;
	fill_info(f, info);
	return &f->radio;
}

uint64_t file_radio_begin(const struct radio *r)
{
	return ((const struct file_radio *)r)->rec.capture[0].t;
}

uint64_t file_radio_end(const struct radio *r)
{
	return sigmf_end(&((const struct file_radio *)r)->rec);
}
