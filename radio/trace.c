#include "radio/trace.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

int channel_trace_init(struct channel_trace *tr, size_t n_taps, size_t n_times)
{
	*tr = (struct channel_trace){ .n_taps = n_taps, .n_times = n_times };
	if (n_taps < 1 || n_taps > TDL_MAX_TAPS || n_times < 2)
		return -EINVAL;
	tr->re = calloc(n_times, n_taps * sizeof *tr->re);
	tr->im = calloc(n_times, n_taps * sizeof *tr->im);
	if (tr->re && tr->im)
		return 0;
	channel_trace_free(tr);
	return -ENOMEM;
}

void channel_trace_free(struct channel_trace *tr)
{
	free(tr->re);
	free(tr->im);
	*tr = (struct channel_trace){ 0 };
}

double channel_trace_power(const struct channel_trace *tr)
{
	double sum = 0;
	for (size_t i = 0; i < tr->n_times * tr->n_taps; i++)
		sum += (double)tr->re[i] * (double)tr->re[i] + (double)tr->im[i] * (double)tr->im[i];
	return sum / (double)tr->n_times;
}

int channel_trace_normalise(struct channel_trace *tr)
{
	double power = channel_trace_power(tr);
	if (!(power > 0 && isfinite(power)))
		return -EDOM;
	float scale = (float)(1 / sqrt(power));
	for (size_t i = 0; i < tr->n_times * tr->n_taps; i++) {
		tr->re[i] *= scale;
		tr->im[i] *= scale;
	}
	return 0;
}

double channel_trace_doppler_hz(const struct channel_trace *tr)
{
	double largest = 0;
	for (size_t row = 1; row < tr->n_times; row++) {
		double change = 0;
		for (size_t i = row * tr->n_taps; i < (row + 1) * tr->n_taps; i++) {
			double a = (double)(tr->re[i] - tr->re[i - tr->n_taps]),
			       b = (double)(tr->im[i] - tr->im[i - tr->n_taps]);
			change += a * a + b * b;
		}
		largest = fmax(largest, change);
	}
	return largest > 0 ? sqrt(largest / channel_trace_power(tr)) / (2 * M_PI * tr->step_s) : 0;
}

void channel_trace_gains(const struct channel_trace *tr, double t, float *re, float *im)
{
	double last = (double)(tr->n_times - 1), at = fmod(t / tr->step_s, 2 * last);
	at = at > last ? 2 * last - at : at;
	size_t row = (size_t)at;
	row = row < tr->n_times - 1 ? row : tr->n_times - 2;
	float part = (float)(at - (double)row);
	const float *a = &tr->re[row * tr->n_taps], *b = &tr->im[row * tr->n_taps];
	for (size_t i = 0; i < tr->n_taps; i++) {
		re[i] = a[i] + part * (a[i + tr->n_taps] - a[i]);
		im[i] = b[i] + part * (b[i + tr->n_taps] - b[i]);
	}
}
