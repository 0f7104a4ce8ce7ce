#include "phy/ul_access.h"

#include "phy/ofdm.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ul_access_rx {
	struct numerology num;
	struct ofdm *ofdm;
	struct access_detector *detector;
	uint32_t candidates;
	size_t n_windows;
	float complex *samples; /* a slot, and silence after it as far as the last window reaches */
	float complex *grid;
};

double ul_access_range_max(const struct numerology *num)
{
	return 0.5 * (double)num->n_fft;
}

struct ul_access_rx *ul_access_create(const struct numerology *num, uint32_t cell_id)
{
	struct ul_access_rx *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->num = *num;
	a->detector = access_detector_create(num, cell_id);
	int error = errno;
	a->ofdm = ofdm_create(num, numerology_backoff(num));
	a->samples = calloc(num->slot_len + num->n_fft, sizeof *a->samples);
	a->grid = calloc(num->n_symbols * num->n_sc, sizeof *a->grid);
	ul_access_set(a, UINT32_MAX, 0);
	if (a->detector && a->ofdm && a->samples && a->grid)
		return a;
	bool detector = a->detector;
	ul_access_destroy(a);
	errno = detector ? ENOMEM : error;
	return NULL;
}

void ul_access_destroy(struct ul_access_rx *a)
{
	if (!a)
		return;
	free(a->grid);
	free(a->samples);
	ofdm_destroy(a->ofdm);
	access_detector_destroy(a->detector);
	free(a);
}

/* What the detector reaches in every window: a prefix less the backoff. */
void ul_access_set(struct ul_access_rx *a, uint32_t candidates, double range_samples)
{
	double beyond =
	        fmin(range_samples, ul_access_range_max(&a->num)) - (double)(a->num.cp - numerology_backoff(&a->num));
	a->candidates = candidates & ((UINT32_C(1) << PHY_DEVICES_MAX) - 1);
	a->n_windows = 1 + (size_t)ceil(fmax(beyond, 0) / (double)a->num.cp);
}

void ul_access_take(struct ul_access_rx *a, const float complex *samples)
{
	memcpy(a->samples, samples, a->num.slot_len * sizeof *samples);
}

/* Sorts one more device in, or what is better known of one already there. */
static size_t keep(struct access_found *found, size_t n, const struct access_found *one)
{
	size_t at = 0;
	while (at < n && found[at].device != one->device)
		at++;
	if (at < n && found[at].snr_db >= one->snr_db)
		return n;
	n += at == n;
	while (at > 0 && found[at - 1].power < one->power) {
		found[at] = found[at - 1];
		at--;
	}
	found[at] = *one;
	return n;
}

size_t ul_access_find(struct ul_access_rx *a, struct access_found *found)
{
	struct access_found heard[PHY_DEVICES_MAX];
	size_t n = 0;
	if (!a->candidates)
		return 0;
	for (size_t w = 0; w < a->n_windows; w++) {
		size_t shift = w * a->num.cp;
		ofdm_demodulate(a->ofdm, a->samples + shift, a->grid);
		size_t n_heard = access_detect(a->detector, a->grid, a->candidates, heard);
		for (size_t i = 0; i < n_heard; i++) {
			heard[i].delay_samples += (float)shift;
			n = keep(found, n, &heard[i]);
		}
	}
	return n;
}
