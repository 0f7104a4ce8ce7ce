/* inference.h - the model side of the base station: prompts answered one or several at a time, their experts reached through a cell.
 *
 *     place = inference_start(inf, tokens, n, &options, t_s);         as many places as n_sequences
 *     each slot:
 *             cell_uplink(cell, n, rx);                      results arrive through inference_message
 *             inference_step(inf, n);                        goes on as far as it can, queues calls
 *             cell_downlink(cell, n + ahead, tx);
 *             inference_sent(inf, n + ahead);           notes what went out
 *     until inference_ended(inf, place), or inference_status(inf) == INFERENCE_FAILED
 *     inference_generation(inf, place) ... inference_release(inf, place)
 *
 * Answers under way go through the layers together, a row each, and so do prompts (moe/batch.h): a chunk. A prompt that comes
 * while a chunk is at work is in the next one.
 *
 * Every layer: attention and router of the base half; experts chosen by the policy from the router's weights and the
 * latency predicted for each device, with the device where several hold an expert (scheduler/select.h); hidden
 * states coded and sent as calls of at most call_rows_max rows, each once to a device, for all of its experts that want it;
 * with `multicast` states that several devices need go out once where that is faster;
 * results combined in router order when all are there. With `combine` a device answers with the weighted sum of its
 * experts' outputs instead of each of them: fewer bytes, but sums in another order.
 * When a device is lost, or silent for suspect_slots, its calls go to others that hold the same experts; where there are none, on_silence
 * says: they wait for it to come back, or the choice is left out where its token keeps another, or the token's next-best expert serves it.
 * Calls that would hold up the layer may be given up (give_up). Every choice that is not served as the router wanted is noted. A call that has
 * had no answer call_timeout_s after the router's output ends the run, with one line that names layer, expert and device. Time is the base station's clock. Its own computing is charged from a profile; with `real_time` a thread does attention, router and
 * output head, and the step after it has finished goes on.
 *
 * A layer's latency runs from the router's output to the combined result. Its split is that of the call that finished
 * last:
 *     waiting    for the first downlink slot; at the device for its turn; for the first uplink slot
 *     downlink   first slot with a byte of the call to the slot in which the device had all of it, as the device says
 *     compute    as the device says
 *     uplink     first uplink slot granted once the result was ready to the slot in which all of it was here
 */
#ifndef TESTBED_INFERENCE_H
#define TESTBED_INFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moe/codec.h"
#include "moe/generation.h"
#include "moe/model.h"
#include "scheduler/select.h"
#include "testbed/cell.h"
#include "testbed/compute.h"
#include "testbed/expert_mode.h"

enum { INFERENCE_SEQUENCES_MAX = 64, INFERENCE_DEVIATIONS = 4096 };
enum inference_status { INFERENCE_IDLE, INFERENCE_RUNNING, INFERENCE_DONE, INFERENCE_FAILED };

enum inference_silence { SILENCE_WAIT, SILENCE_DROP, SILENCE_NEXT };

struct inference_params {
	const struct moe_model *model; /* base half; outlives the object, as does the cell */
	struct cell *cell;
	const struct numerology *num;
	unsigned n_devices;
	const struct codec *codec_down, *codec_up;
	size_t n_sequences;               /* answers at once, 1 .. INFERENCE_SEQUENCES_MAX */
	size_t call_rows_max, chunk_rows; /* fewer are used where a message or the context holds fewer */
	const char *policy;
	struct select_params select;
	/* [n_layer], [n_layer][n_expert][n_expert] of testbed/calibration.h; outlive the object; NULL: not known */
	const double *sensitivity, *similarity;
	struct expert_mode experts;
	enum moe_mode mode;
	bool combine;
	struct compute_profile profile; /* of the base station */
	uint64_t seed;
	double call_timeout_s;
	unsigned suspect_slots;
	enum inference_silence on_silence; /* not with combine, whose sums cannot be taken apart */
	bool give_up;                      /* likewise */
	bool multicast;
	bool real_time; /* computing is done by a thread and takes what it takes */
};

/* One finished layer of one chunk. Seconds; the four parts sum to latency_s. */
struct layer_record {
	uint64_t index; /* counts layers since create */
	uint32_t layer, n_tokens;
	bool prompt; /* some of them of a prompt, not generated */
	double t_start_s, latency_s;
	double waiting_s, downlink_s, compute_s, uplink_s;
	uint32_t n_calls, n_rows, n_dropped;
	uint32_t n_multicast;  /* hidden states that went out once for several devices */
	uint32_t last_device;  /* whose result came last */
	double predicted_s;    /* when the experts had been chosen */
	double predicted_sd_s; /* how sure */
	double theta, kept_weight;
	uint32_t rows_on[PHY_DEVICES_MAX];
};

/* A choice of the router that was not served as wanted. */
enum deviation_reason { DEVIATION_POLICY, DEVIATION_LATE, DEVIATION_SILENCE };

struct deviation {
	uint64_t index; /* of the layer, as in its record */
	uint32_t layer, row, wanted;
	int expert;   /* that serves instead; -1: nobody */
	double share; /* of its token's weight */
	enum deviation_reason reason;
};

struct inference_stats {
	uint64_t layers, calls, rows, dropped;
	uint64_t given_up;         /* of the choices dropped, those that were so in flight */
	uint64_t suspected;        /* times that a silent device was left */
	uint64_t calls_sent_again; /* after a device was lost: to it, */
	uint64_t calls_moved;      /* or to others that hold the same experts */
	uint64_t stale;            /* results that no call waits for */
	uint64_t refused; /* results that contradict their call or are not finite, and calls answered with a status */
	uint64_t multicast_layers, multicast_rows; /* rows: hidden states that went out once for several devices */
	uint64_t not_heard;                        /* calls sent again whole: their states did not come so */
	uint64_t bytes_down, bytes_up;             /* of messages */
	double bs_compute_s;
};

struct inference;

/* NULL with errno and one line in err. */
struct inference *inference_create(const struct inference_params *p, char *err, size_t err_len);
void inference_destroy(struct inference *inf); /* NULL is fine */

/* A device says which experts it holds. It keeps them when it is lost: calls may wait for it to come back. */
void inference_device_holds(struct inference *inf, unsigned device, const struct hello *h);
/* Is every expert of every layer on an attached device? */
bool inference_ready(const struct inference *inf);

/* In real time: a thread is at work on the answers. Until it has finished none can be started, read or released. */
bool inference_computing(const struct inference *inf);

/* Begins a fresh sequence; tokens are copied. Returns its place, or -EAGAIN (inference_computing), -EBUSY (none is free), -EINVAL, -ENOSPC (longer than the
 * context), -ENOTCONN (an expert that no device ever said it holds), -ENOMEM. After a failure all places are free. */
int inference_start(struct inference *inf, const int32_t *tokens, size_t n, const struct generation_options *options,
                    double t_s);

/* The base station's work between receiving slot `slot` and building the next one. */
void inference_step(struct inference *inf, uint64_t slot);
void inference_sent(struct inference *inf, uint64_t slot); /* after cell_downlink for that slot */
void inference_message(struct inference *inf, unsigned device, const struct message *m, const uint8_t *payload,
                       uint64_t slot);
void inference_lost(struct inference *inf, unsigned device);

enum inference_status inference_status(const struct inference *inf);
const char *inference_error(const struct inference *inf); /* one line, after INFERENCE_FAILED */
size_t inference_n_places(const struct inference *inf);
/* Of the answer in a place; NULL if it is free. Owned by inf, until it is released. */
const struct generation *inference_generation(const struct inference *inf, size_t place);
bool inference_ended(const struct inference *inf, size_t place); /* taken, and its generation has stopped */
void inference_release(struct inference *inf, size_t place);
/* When the answer in that place, or the last one there, was asked for, and when its last token was picked. */
double inference_start_s(const struct inference *inf, size_t place);
double inference_end_s(const struct inference *inf, size_t place);

/* The oldest record not yet taken; false when there is none. At most 64 are kept. */
bool inference_take_record(struct inference *inf, struct layer_record *r);
/* The oldest deviation not yet taken; false when there is none. At most INFERENCE_DEVIATIONS are kept. */
bool inference_take_deviation(struct inference *inf, struct deviation *d);
const char *deviation_reason_name(enum deviation_reason r); /* policy, late, silence */
struct inference_stats inference_stats(const struct inference *inf);

#endif
