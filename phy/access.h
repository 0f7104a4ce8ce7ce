/* access.h - the access preamble: how a device that nobody knows yet says that it is there.
 *
 * In access slots (slot % 10 == 5) a device without a connection sends its own sequence on RBs 0..5 of the data symbols:
 * 72 subcarriers, QPSK from the Gold sequence of (cell id, device), symbol after symbol.
 *
 *     access_write(&num, cell_id, device, amplitude, grid);                   device, before ofdm_modulate
 *     struct access_detector *d = access_detector_create(&num, cell_id);      BS
 *     size_t n = access_detect(d, grid, candidates, found);                   after ofdm_demodulate
 *
 * Detection. Per candidate device the received RE are turned back by its sequence; a path of delay tau is then a
 * tone over the 72 subcarriers. For delays in the window the tones are matched, coherent over subcarriers, and their
 * powers added over the symbols, each normalised by the energy of its symbol: noise follows a sum of Beta(1, 71), below
 * the Gamma law of as many symbols. The strongest candidate is taken if noise would pass for any in fewer than 1e-6 of
 * slots; then its signal (the part of its turned-back RE that a channel inside the delay window can make) is taken away,
 * and the search goes on among the rest: a far device is found under a near one. The delay found is then refined
 * between the points of the grid.
 *
 * Delays. A device that has no timing advance yet is late by its round trip. The window reaches half a prefix further
 * than what data could bear, access_delay_max; up to there a preamble loses a few per cent of its energy to the next
 * symbol.
 */
#ifndef PHY_ACCESS_H
#define PHY_ACCESS_H

#include "phy/numerology.h"

#include <complex.h>

enum {
	ACCESS_SLOT = 5, /* slot % SYNC_PERIOD_SLOTS */
	ACCESS_RB = 6,   /* RBs 0 .. 5 */
	ACCESS_SC = ACCESS_RB * PHY_RB_SC,
	ACCESS_SYMBOLS_MAX = 11, /* those of uplink data: slot_format.n_ul_data */
};

/* Writes the preamble of a device (< PHY_DEVICES_MAX) with RE amplitude `amplitude` into its RE of the grid; the others
 * stay. */
void access_write(const struct numerology *num, uint32_t cell_id, unsigned device, float amplitude,
                  float complex *grid);

/* Delays found: from -numerology_backoff to this, numerology_clean_prefix - backoff + cp / 2 samples after the slot start. */
double access_delay_max(const struct numerology *num);

struct access_found {
	unsigned device;
	float delay_samples; /* strongest path after the nominal slot start of the BS, to a fraction */
	float power;         /* mean |RE|^2 of the preamble as received */
	float snr_db;        /* a RE, interference of those found before it removed */
};

struct access_detector;

/* NULL with errno EINVAL or ENOMEM; the caller frees it with access_detector_destroy. */
struct access_detector *access_detector_create(const struct numerology *num, uint32_t cell_id);
void access_detector_destroy(struct access_detector *d); /* NULL is fine */

/* Probability of finding anybody in an access slot of noise, 0 .. 1, both excluded: 1e-6 if nothing is said. */
void access_detector_set_false_alarm(struct access_detector *d, double false_alarm);

/* grid: demodulated access slot (n_symbols * n_sc; only read). candidates: bit d set: look for device d <
 * PHY_DEVICES_MAX. found: PHY_DEVICES_MAX entries, strongest first. Returns how many were found. */
size_t access_detect(struct access_detector *d, const float complex *grid, uint32_t candidates,
                     struct access_found *found);

#endif
