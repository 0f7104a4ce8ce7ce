/* medium.h - the medium that a configuration asks for: powers, path losses, clocks and channels as the ether wants them.
 *
 *     struct medium m;
 *     medium_open(&m, &config, &num, err, sizeof err);
 *     struct ether *ether = ether_create(&m.ether, err, sizeof err);
 *     ...
 *     ether_destroy(ether);
 *     medium_close(&m);
 *
 * A device's path loss follows from its mean SNR (`channel.path_loss: snr`), or from its distance by a model, with or without line of sight
 * as a draw or the configuration says. Where a device's clock starts, and who sees whom, is drawn from the seed.
 */
#ifndef TESTBED_MEDIUM_H
#define TESTBED_MEDIUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "phy/numerology.h"
#include "radio/ether.h"
#include "testbed/config.h"

/* Who draws what from the configuration's seed. */
enum medium_stream { MEDIUM_ETHER, MEDIUM_BS, MEDIUM_START = 100, MEDIUM_DEVICE = 200, MEDIUM_SIGHT = 300 };

/* One well-mixed number for each (seed, stream). */
uint64_t medium_seed(uint64_t seed, uint64_t stream);

/* Thermal noise on one subcarrier, and a downlink subcarrier's share of the base station's power. */
double medium_noise_re_dbm(const struct numerology *num, double noise_figure_db);
double medium_dl_re_dbm(const struct config *c, const struct numerology *num);

/* Of device k, shadow apart. *sight: whether it sees the base station (model "snr": false). */
double medium_path_loss_db(const struct config *c, const struct numerology *num, size_t k, bool *sight);

/* One node with the hardware that the configuration gives all of them; its clock starts at 0. */
struct ether_node_config medium_node(const struct config *c, double osc_ppm, double noise_figure_db,
                                     double tx_power_dbm);

struct medium {
	struct ether_config ether;
	struct channel_trace trace[CONFIG_DEVICES_MAX][2]; /* model "trace": [device][ETHER_DL, ETHER_UL], power 1 */
};

/* Reads the replays if the channel model asks for them. 0, or negative errno and one line in err; *m then needs no closing. An ether made
 * from it must go before it does. */
int medium_open(struct medium *m, const struct config *c, const struct numerology *num, char *err, size_t err_len);
void medium_close(struct medium *m); /* all zero is fine */

#endif
