/* inference_inner.h - what the files of the base station's model side share: inference.c (life, chunks, the machine), inference_layer.c
 * (which experts serve a layer), inference_calls.c (their calls and results), inference_multicast.c (hidden states for several devices).
 */
#ifndef TESTBED_INFERENCE_INNER_H
#define TESTBED_INFERENCE_INNER_H

#include "moe/batch.h"
#include "moe/bs_half.h"
#include "scheduler/predict.h"
#include "testbed/call.h"
#include "testbed/helper.h"
#include "testbed/inference.h"
#include "testbed/plan.h"

enum { RECORDS = 64, RESCUE_SLOTS = 4 };

enum phase {
	PHASE_BEGIN,     /* the next chunk is to be embedded, if there is one */
	PHASE_COMPUTING, /* attention and router of a layer, until they are done */
	PHASE_CALLING,   /* experts are at work */
	PHASE_HEAD,      /* output head, likewise */
};

enum call_state { CALL_UNSENT, CALL_SENT, CALL_DONE };

struct call {
	struct plan_call plan;
	enum call_state state;
	uint32_t seq;
	uint32_t stream_begin; /* where the message starts in the device's stream */
	size_t n_heard;        /* of its rows, those whose hidden states come by multicast */
	/* Of the multicast set, what is sent for its sake: bytes from .. on, and what they take of the band. */
	size_t cast_from, cast_bytes;
	double cast_slots;
	bool started;
	bool given_up;    /* nothing of it is needed any more */
	double started_s; /* start of the first downlink slot with a byte of it */
	double done_s;
	double downlink_end_s, compute_s, uplink_start_s; /* from the result */
};

/* What goes out by multicast in this layer. */
struct multicast_plan {
	size_t n_rows;                /* in the set */
	int32_t *number;              /* [chunk_rows] in the set; -1: not in it */
	uint32_t *needed_by;          /* [chunk_rows] bit d: by device d */
	uint8_t *weakest;             /* [chunk_rows] of these the one with the least rate */
	double *unicast;              /* [chunk_rows] slots a byte takes to go to each of them */
	bool *sent;                   /* [chunk_rows] scratch */
	double rate[PHY_DEVICES_MAX]; /* bytes a slot, to all that need rows of which this device is the weakest */
	struct cell_segment segments[CELL_SEGMENTS_MAX];
	size_t n_segments;
	uint8_t *states; /* [chunk_rows] coded: the set */
	uint32_t set;    /* counts */
};

struct inference {
	struct inference_params params;
	const struct moe_shape *shape;
	struct moe_ctx *ctx;
	struct selector *selector;
	struct compute_clock clock;
	const struct predict_config *predict_config;
	struct expert_chooser chooser;
	uint32_t *holders; /* [n_layer][n_expert] bit d: device d ever said that it holds it */

	enum inference_status status;
	char error[256];
	struct moe_batch *batch;
	double *start_s, *end_s;    /* [n_sequences] */
	const struct moe_row *rows; /* of the chunk */
	enum phase phase;
	size_t layer, n_rows;
	double ready_s, now_s;
	/* In real time: the thread's work, what it came to, how long it took. */
	bool under_way[INFERENCE_SEQUENCES_MAX]; /* before the head picked tokens */
	struct helper *helper;
	uint64_t ticket;
	int computed;
	double spent_s;

	/* the layer in work, as the scheduler sees it */
	struct layer problem;
	struct layer_device devices[PHY_DEVICES_MAX];
	double block_bps[PHY_DEVICES_MAX][2][PHY_RB_MAX];
	uint8_t *holds;              /* [n_expert][n_devices] */
	double *weights;             /* [chunk_rows][n_expert] the router's, what was not chosen on purpose left out */
	struct layer_choice *picked; /* [chunk_rows][n_used] */
	struct moe_choice
	        *routed; /* [chunk_rows][n_used] as routed, or chosen on purpose: weight 0 where there are fewer */
	struct bandwidth split; /* that the prediction is made with */
	enum flow_sharing sharing;
	struct predict_config went_config;
	struct predict_state went[2]; /* layers without and with prompts: forecast and measured */
	double lasts_s[2];            /* the same layers, running mean */
	double forecast_s, predicted_s, predicted_sd_s;
	uint32_t tokens_on[PHY_DEVICES_MAX];
	uint32_t n_dropped;
	struct place *places, *scratch; /* [chunk_rows * n_used], the served choices by call */
	size_t n_places;
	float *y; /* [places][n_embd]; combined: a row's sum where its first place is */
	struct plan_call *plans;
	struct call *calls;
	size_t n_calls, n_done;
	struct multicast_plan cast;
	struct call_choice *choices; /* of a message */
	uint8_t *payload;
	uint32_t seq;

	struct layer_record records[RECORDS];
	uint64_t n_records, n_taken;
	double sensitivity; /* of this layer */
	struct deviation deviations[INFERENCE_DEVIATIONS];
	uint64_t n_deviations, n_deviations_taken;
	struct inference_stats stats;
};

/* The run has failed: one line why. */
void inference_fail(struct inference *inf, const char *format, ...) __attribute__((format(printf, 2, 3)));
double inference_slot_s(const struct inference *inf);
/* How long layers like this one last, in slots: what is planned for one is planned for as long. */
double inference_lasts_slots(const struct inference *inf);
/* Bit d: device d is attached. */
uint32_t inference_attached(const struct inference *inf);
/* The same without those that were silent for too long. */
uint32_t inference_able(const struct inference *inf);
/* Of a call. */
size_t inference_payload_bytes(const struct inference_params *p, size_t n_embd, size_t n_rows, size_t n_choices,
                               size_t n_heard);

/* After the router: chooses experts, deals calls. */
void inference_start_layer(struct inference *inf);

/* The served choices of a row with the weights they are combined with, and their devices; returns how many. */
size_t inference_served_choices(const struct inference *inf, size_t row, struct moe_choice *choices, uint8_t *devices);

/* Calls for n places from `first` on; the first of them goes where *at stands, the others behind all there are. */
void inference_make_calls(struct inference *inf, size_t first, size_t n, struct call *at);
void inference_send_calls(struct inference *inf);
/* What is left of the layer on each device, for the allocators. */
void inference_update_loads(struct inference *inf);
size_t inference_result_bytes(const struct inference *inf, const struct call *c);
/* Bytes of its message; as a job of a flow shop, from beginning to end. */
double inference_dl_bytes(const struct inference *inf, const struct call *c);
struct flow_job inference_job(const struct inference *inf, const struct call *c);
/* Of the layer, all of its calls, from now on; how it sees the band shared. */
enum flow_sharing inference_sharing(const struct inference *inf);
double inference_forecast_slots(const struct inference *inf);
/* Decides what goes out by multicast and gives it to the cell; calls then leave it out. */
void inference_plan_multicast(struct inference *inf);
/* Deals the first n places of an unanswered call anew among the devices that can be reached; what only others hold waits for them. */
void inference_deal_again(struct inference *inf, struct call *c, size_t n, uint32_t able);

/* inference_rescue.c: a device is left, its open calls go elsewhere; every slot while calls are out; into the log. */
void inference_leave(struct inference *inf, unsigned device, uint32_t able, double t_s);
void inference_rescue(struct inference *inf, uint64_t slot, double t_s);
void inference_note(struct inference *inf, uint32_t row, uint32_t wanted, int expert, double share,
                    enum deviation_reason reason);

/* For messages: the first expert that a call asks for. */
unsigned inference_expert_of(const struct inference *inf, const struct call *c);

#endif
