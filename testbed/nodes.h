/* nodes.h - base station and devices as a configuration describes them, whatever carries their samples.
 *
 *     struct nodes nodes;
 *     nodes_open(&nodes, &config, err, sizeof err);
 *     struct bs *bs = nodes_bs(&nodes, bs_radio, err, sizeof err);
 *     struct nodes_device d;
 *     nodes_device(&nodes, 3, radio, &d, err, sizeof err);
 *     ...
 *     nodes_device_close(&d);
 *     bs_destroy(bs);
 *     nodes_close(&nodes);
 *
 * What nodes of one scenario share lies in struct nodes: numerology, layout, the model's base half (a device needs its shape, and who holds
 * which expert). The configuration must outlive it, and it the nodes.
 */
#ifndef TESTBED_NODES_H
#define TESTBED_NODES_H

#include <stdbool.h>
#include <stddef.h>

#include "radio/radio.h"
#include "testbed/bs.h"
#include "testbed/config.h"
#include "testbed/device.h"
#include "testbed/placement.h"

struct nodes {
	const struct config *config;
	struct numerology num;
	struct layout *layout;
	struct moe_model *model; /* base half */
	struct placement placement;
	double *sensitivity, *similarity; /* calibration.h; NULL: none */
	bool real_time;                   /* arithmetic takes what it takes, on threads; set after nodes_open */
};

/* 0, or negative errno and one line in err; *nodes then needs no closing. */
int nodes_open(struct nodes *nodes, const struct config *config, char *err, size_t err_len);
void nodes_close(struct nodes *nodes); /* all zero is fine */

/* radio: its full scales and carriers are looked at, nothing is sent. NULL with errno and one line in err. */
struct bs *nodes_bs(const struct nodes *nodes, const struct radio *radio, char *err, size_t err_len);

struct nodes_device {
	struct moe_model *model; /* the experts that device k holds */
	struct device *device;
};

/* 0, or negative errno and one line in err; *d then needs no closing. */
int nodes_device(const struct nodes *nodes, size_t k, const struct radio *radio, struct nodes_device *d, char *err,
                 size_t err_len);
void nodes_device_close(struct nodes_device *d); /* all zero is fine */

#endif
