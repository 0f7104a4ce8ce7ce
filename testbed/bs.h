/* bs.h - the base station node: cell below, inference above, driven once a slot.
 *
 *     struct bs *b = bs_create(&params, err, sizeof err);
 *     for (uint64_t n = 0;; n++) {
 *             radio_recv(radio, rx, slot_len, n * slot_len);
 *             bs_slot(b, n, rx, tx);
 *             radio_send(radio, tx, slot_len, (n + ahead) * slot_len);
 *     }
 *
 * ahead is params.cell.tx_ahead: slots 0 .. ahead - 1 are never sent. It takes in devices that say hello with this protocol's version and this
 * model's hash, and refuses others.
 */
#ifndef TESTBED_BS_H
#define TESTBED_BS_H

#include <complex.h>
#include <stdint.h>

#include "testbed/cell.h"
#include "testbed/inference.h"

struct bs_params {
	struct cell_params cell;           /* user is filled in by bs_create */
	struct inference_params inference; /* cell likewise */
};

struct bs_stats {
	uint64_t welcomed, refused;
	uint64_t messages_bad; /* of a kind that a device must not send now */
};

struct bs;

/* NULL with errno and one line in err. */
struct bs *bs_create(const struct bs_params *p, char *err, size_t err_len);
void bs_destroy(struct bs *b); /* NULL is fine */

/* rx: uplink slot `slot` as received; tx: filled with downlink slot `slot` + tx_ahead. slot_len each. Returns 0, or
 * -EINVAL if a received sample is not finite (the slot counts as empty; tx is good). */
int bs_slot(struct bs *b, uint64_t slot, const float complex *rx, float complex *tx);

struct cell *bs_cell(struct bs *b);
struct inference *bs_inference(struct bs *b);
struct bs_stats bs_stats(const struct bs *b);

#endif
