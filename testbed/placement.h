/* placement.h - the expert map: which devices hold which expert of which layer.
 *
 *     struct placement p;
 *     if (placement_create(&p, &config, model, err, sizeof err) < 0)
 *             return cli_bad_input("%s", err);
 *     placement_holds(&p, device, layer, expert);
 *     placement_free(&p);
 *
 * Devices with a list in the configuration hold what it names. Those with `experts: auto` share what moe.placement says:
 *
 *     modulo     expert e of every layer on device e modulo their number, its replicas on the devices behind it
 *     balanced   layer by layer each expert on the device that would be done first with one row for each expert it has of
 *                the layer (compute profile), as far as memory_mb goes; room is kept for the layers to come. Every expert
 *                gets a first device before any gets a second.
 *
 * A device whose memory does not hold what it is given is named in the error. An expert that nobody holds is not: the run
 * says so when all devices are attached.
 */
#ifndef TESTBED_PLACEMENT_H
#define TESTBED_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moe/model.h"
#include "testbed/config.h"

struct placement {
	size_t n_layer, n_expert, n_devices;
	uint32_t *holders; /* [n_layer][n_expert] bit d: device d */
};

/* model: any half. 0, or -EINVAL, -ENOMEM with one line in err; then *p needs no placement_free. */
int placement_create(struct placement *p, const struct config *c, const struct moe_model *model, char *err,
                     size_t err_len);
void placement_free(struct placement *p);

bool placement_holds(const struct placement *p, size_t device, size_t layer, size_t expert);

/* Bytes of the expert weights that a device holds. */
size_t placement_bytes(const struct placement *p, const struct moe_model *model, size_t device);

#endif
