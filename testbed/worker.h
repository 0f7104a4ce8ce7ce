/* worker.h - the model side of a device: takes expert calls, answers with results when their time has come.
 *
 *     if (worker_lacks(w, &call, payload)) ...                hidden states that come by multicast are not all there
 *     worker_take(w, &call, payload, slot, t_s);              a call message that has arrived
 *     while ((n = worker_poll(w, t_s, &result)))              results that are ready by now, as messages
 *             arq_send(arq, result, n);
 *
 * Calls are worked on one after another, in the order of arrival, and the experts of a call one after another. The
 * arithmetic is real. The time it takes is charged from the device's compute profile (compute.h), so a result appears
 * when that device would have had it; with `real_time` a thread of the worker's own does it and it takes what it takes, and the profile is only a
 * guess of what is to come, corrected as it goes.
 * Times are seconds of the device's own clock. A call with a sequence number not above the last one's
 * is dropped; one that cannot be served is answered with a status. One thread at a time.
 */
#ifndef TESTBED_WORKER_H
#define TESTBED_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moe/expert.h"
#include "testbed/compute.h"
#include "testbed/message.h"
#include "testbed/states.h"

struct worker_params {
	const struct moe_model *model; /* at least the experts that calls will name; outlives the worker */
	struct compute_profile profile;
	uint64_t seed;
	size_t rows_max;             /* rows of the largest call, 1 .. 1024 */
	size_t calls_max;            /* calls waiting or worked on at once */
	const struct states *states; /* what comes by multicast; outlives the worker; NULL: nothing */
	enum moe_mode mode;
	bool real_time;
};

struct worker_stats {
	uint64_t calls, rows; /* rows: one for each expert that worked on it */
	uint64_t dropped;     /* stale or repeated */
	uint64_t refused;     /* answered with a status: not held, malformed */
	uint64_t non_finite;  /* answered so */
	uint64_t not_heard;   /* likewise */
	double busy_s;
};

struct worker;

/* NULL with errno. */
struct worker *worker_create(const struct worker_params *p);
void worker_destroy(struct worker *w);
void worker_reset(struct worker *w); /* forgets all calls; statistics are kept */

/* Does the call refer to hidden states that were not heard (yet)? Taken all the same it is answered with a status. */
bool worker_lacks(struct worker *w, const struct message *call, const uint8_t *payload);

/* May one more call be taken? */
bool worker_has_room(const struct worker *w);

/* slot: in which the call was complete, told in the result. 0, -EALREADY (dropped) or -ENOBUFS (too many calls
 * waiting). */
int worker_take(struct worker *w, const struct message *call, const uint8_t *payload, uint32_t slot, double t_s);

/* Size of the next result ready at t_s, 0 for none; *message is valid until the next call of worker_take or
 * worker_reset. */
size_t worker_poll(struct worker *w, double t_s, const uint8_t **message);
/* Bytes of the results still to come that should be ready at t_s, as far as the device's profile tells. */
size_t worker_expects(const struct worker *w, double t_s);

/* From now on everything takes so many times as long. */
void worker_slow_down(struct worker *w, double slowness);
struct worker_stats worker_stats(const struct worker *w);

#endif
