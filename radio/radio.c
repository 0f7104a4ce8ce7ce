#include "radio/radio.h"

#include <errno.h>
#include <math.h>
#include <string.h>

void radio_raise(struct radio *r, enum radio_event_type type, uint64_t t_samples)
{
	r->stats.events[type]++;
	if (r->on_event)
		r->on_event(r->event_arg, &(struct radio_event){ .type = type, .t_samples = t_samples });
}

/* Looks at exponent bits, so that the loop vectorises and needs no floating-point comparison. */
static int all_finite(const float complex *x, size_t n)
{
	const float *v = (const float *)x;
	uint32_t bad = 0;
	for (size_t i = 0; i < 2 * n; i++) {
		uint32_t bits;
		memcpy(&bits, &v[i], sizeof bits);
		bad |= (bits & 0x7f800000u) == 0x7f800000u;
	}
	return !bad;
}

int radio_recv(struct radio *r, float complex *x, size_t n, uint64_t t_samples)
{
	if (!r || (!x && n) || t_samples > INT64_MAX || n > INT64_MAX - t_samples)
		return -EINVAL;
	return n ? r->ops->recv(r, x, n, t_samples) : 0;
}

int radio_send(struct radio *r, const float complex *x, size_t n, uint64_t t_samples)
{
	if (!r || (!x && n) || t_samples > INT64_MAX || n > INT64_MAX - t_samples)
		return -EINVAL;
	if (!all_finite(x, n)) {
		radio_raise(r, RADIO_REFUSED, t_samples);
		return -EINVAL;
	}
	return n ? r->ops->send(r, x, n, t_samples) : 0;
}

int radio_set_rx_gain(struct radio *r, double gain_db)
{
	struct radio_info info;
	radio_get_info(r, &info);
	if (!(gain_db >= info.rx_gain_min_db && gain_db <= info.rx_gain_max_db))
		return -EINVAL;
	return r->ops->set_rx_gain(r, gain_db);
}

int radio_set_tx_gain(struct radio *r, double gain_db)
{
	struct radio_info info;
	radio_get_info(r, &info);
	if (!(gain_db >= info.tx_gain_min_db && gain_db <= info.tx_gain_max_db))
		return -EINVAL;
	return r->ops->set_tx_gain(r, gain_db);
}

void radio_get_info(const struct radio *r, struct radio_info *info)
{
	r->ops->get_info(r, info);
}

void radio_get_stats(const struct radio *r, struct radio_stats *stats)
{
	*stats = r->stats;
}

void radio_on_event(struct radio *r, radio_event_fn *fn, void *arg)
{
	r->on_event = fn;
	r->event_arg = arg;
}

void radio_destroy(struct radio *r)
{
	if (r)
		r->ops->destroy(r);
}
