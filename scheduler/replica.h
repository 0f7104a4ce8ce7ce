/* replica.h - which device serves an expert that several hold.
 *
 *     replica_assign(&(struct replica_input){ ... }, device_of);
 *
 * The experts of a layer are taken in order of the rows that want them, the most wanted first (ties: the lower number), each
 * by that of its holders which would then be done first: list scheduling by longest job (Graham 1969) on machines of
 * different speed. A holder's time for q rows is the same line as in select.h. Pure: same input, same assignment.
 */
#ifndef SCHEDULER_REPLICA_H
#define SCHEDULER_REPLICA_H

#include <stddef.h>
#include <stdint.h>

#include "phy/numerology.h"

enum { REPLICA_NOBODY = 0xff };

struct replica_input {
	size_t n_experts, n_devices;
	const uint32_t *holders; /* [n_experts] bit d: device d holds the expert */
	uint32_t able;           /* bit d: device d can be reached; where no holder can, all holders count */
	const uint32_t *rows;    /* [n_experts] that want it */
	double fixed_s[PHY_DEVICES_MAX], per_token_s[PHY_DEVICES_MAX]; /* not finite: last choice */
};

/* device_of: [n_experts], written; REPLICA_NOBODY where there is no holder. Returns 0, or -EINVAL for more than
 * SELECT_EXPERTS_MAX experts or PHY_DEVICES_MAX devices. */
int replica_assign(const struct replica_input *in, uint8_t *device_of);

#endif
