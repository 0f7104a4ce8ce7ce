/* The base station against a device of the test's own, which says what no good device would: what is wrong is refused
 * and counted, and what is right is served. */
#include "tests/testbed/wire.h"

#include "moe/expert.h"
#include "moe/forward.h"
#include "phy/tb.h"
#include "testbed/call.h"
#include "testbed/crc32c.h"

enum { PROCESSES = 16, BLOCK_MAX = 1 << 14 };

/* What the test's device does with a call; returns whether it answers at all. */
struct fake;
typedef void answer_fn(struct fake *f, const struct message *call, const uint8_t *payload);

struct fake {
	struct wire *w;
	struct dl_rx *rx;
	struct ul_tx *tx;
	struct arq *arq;
	struct tb_soft *soft[PROCESSES];
	uint8_t ndi[PROCESSES], dl_ndi[PROCESSES];
	bool dl_done[PROCESSES];
	uint8_t block[PROCESSES][BLOCK_MAX];
	struct moe_expert_ctx *expert;
	bool connected, babble; /* babble: uplink blocks full of random bytes */
	uint64_t random;
	unsigned got[MESSAGE_TYPES];
	uint8_t refusal; /* status of the last refusal */
	answer_fn *answer;
	void *arg;
	unsigned answered;
};

static struct fake *fake_create(void)
{
	struct fake *f = calloc(1, sizeof *f);
	f->w = wire_create(false, mini_path);
	f->rx = dl_rx_create(f->w->layout, CELL_ID, 0);
	f->tx = ul_tx_create(f->w->layout, CELL_ID, 0);
	f->arq = arq_create(1 << 20);
	for (size_t i = 0; i < PROCESSES; i++)
		f->soft[i] = tb_soft_create(dl_tb_bytes_max(f->w->layout));
	f->expert = moe_expert_ctx_create(f->w->half, 8, NULL);
	return f;
}

static void fake_destroy(struct fake *f)
{
	moe_expert_ctx_destroy(f->expert);
	for (size_t i = 0; i < PROCESSES; i++)
		tb_soft_destroy(f->soft[i]);
	arq_destroy(f->arq);
	ul_tx_destroy(f->tx);
	dl_rx_destroy(f->rx);
	wire_destroy(f->w);
	free(f);
}

static void fake_read(struct fake *f)
{
	size_t n;
	const uint8_t *stream, *payload;
	struct message m;
	ssize_t used;
	while ((stream = arq_peek(f->arq, &n)) && (used = message_decode(stream, n, &m, &payload)) > 0) {
		f->got[m.type]++;
		if (m.type == MESSAGE_REFUSE)
			f->refusal = m.status;
		if (m.type == MESSAGE_CALL && f->answer)
			f->answer(f, &m, payload);
		arq_consume(f->arq, (size_t)used);
	}
}

static enum uci_ack fake_take(struct fake *f, const struct grant *g)
{
	uint8_t tb[BLOCK_MAX];
	size_t n, p = g->harq_id;
	if (f->dl_ndi[p] == g->ndi && f->dl_done[p])
		return UCI_ACK;
	if (f->dl_ndi[p] != g->ndi || !g->rv)
		tb_soft_reset(f->soft[p]);
	f->dl_ndi[p] = g->ndi;
	f->dl_done[p] = !dl_rx_data(f->rx, g, f->soft[p], tb, &n, NULL);
	if (!f->dl_done[p])
		return UCI_NACK;
	arq_receive(f->arq, tb, n, f->w->n);
	fake_read(f);
	return UCI_ACK;
}

static void fake_send(struct fake *f, const struct grant *g, uint64_t slot)
{
	size_t n = ul_tb_bytes(f->w->layout, slot, g), p = g->harq_id;
	if (f->ndi[p] != g->ndi) {
		arq_block_done(f->arq, (unsigned)p, true, f->w->n);
		arq_fill(f->arq, f->block[p], n, (unsigned)p, f->w->n);
		for (size_t i = 0; f->babble && i < n; i++)
			f->block[p][i] = (uint8_t)(i ? wire_draw(&f->random) : wire_draw(&f->random) % 4);
		f->ndi[p] = g->ndi;
	}
	assert_int_equal(ul_tx_data(f->tx, g, f->block[p], n), 0);
}

/* The device's part of slot w->n, then the base station's. */
static void fake_slot(struct fake *f)
{
	struct wire *w = f->w;
	struct dl_result res;
	struct slot_time when = { .slot = w->n, .t_samples = w->n * w->num.slot_len };
	uint64_t slot = w->n + 2;
	struct uci u = { .turn = uci_turn(slot, w->num.n_rb) };
	u.value_db = u.turn.topic == UCI_HEADROOM ? 0 : 22;
	wire_read(w, w->dl, w->n * w->num.slot_len, w->num.slot_len, w->rx);
	wire_add_noise(w, w->rx, w->num.slot_len);
	dl_rx_slot(f->rx, w->rx, &when, &res);
	if (res.has_dci && res.dci.has_command && res.dci.command.access_answer) {
		f->connected = true;
		memset(f->ndi, 2, sizeof f->ndi);
		memset(f->dl_ndi, 2, sizeof f->dl_ndi);
	}
	ul_tx_begin(f->tx, slot);
	if (res.has_dci && res.dci.has_dl)
		u.ack = fake_take(f, &res.dci.dl);
	if (res.has_dci && res.dci.has_ul && f->connected)
		fake_send(f, &res.dci.ul, slot);
	u.buffer_bytes = (uint32_t)arq_backlog(f->arq, w->n) + (f->babble ? 500 : 0);
	if (f->connected)
		ul_tx_control(f->tx, &u);
	else if (layout_is_access_slot(slot))
		ul_tx_access(f->tx);
	float a = power_re_amplitude(re_dbm, full_scale_dbm, w->num.n_fft);
	struct ul_amplitudes amplitudes = { .data = a, .comb = a * sqrtf(8), .access = a };
	if (ul_tx_finish(f->tx, &amplitudes, w->tx))
		wire_write(w, w->ul, slot * w->num.slot_len, w->num.slot_len, w->tx);
	wire_slot(w);
}

static void fake_run(struct fake *f, unsigned n_slots)
{
	while (n_slots--)
		fake_slot(f);
}

static void fake_say(struct fake *f, const struct message *m, const void *payload)
{
	uint8_t bytes[1 << 15];
	size_t n = message_encode(m, payload, bytes, sizeof bytes);
	assert_true(n > 0);
	assert_int_equal(arq_send(f->arq, bytes, n), 0);
}

static void fake_connect(struct fake *f)
{
	for (int i = 0; i < 50 && !f->connected; i++)
		fake_slot(f);
	assert_true(f->connected);
	assert_int_equal(cell_state(bs_cell(f->w->bs), 0), CELL_ANSWERED);
}

static struct hello good_hello(struct fake *f)
{
	const struct moe_model *m = f->w->half;
	struct hello h = { .device = 0,
		           .n_layer = (uint16_t)m->shape.n_layer,
		           .n_expert = (uint16_t)m->shape.n_expert };
	memcpy(h.model_hash, m->hash, sizeof h.model_hash);
	for (size_t layer = 0; layer < m->shape.n_layer; layer++)
		for (size_t e = 0; e < m->shape.n_expert; e++)
			hello_hold(&h, layer, e);
	return h;
}

static void say_hello(struct fake *f, const struct hello *h)
{
	uint8_t payload[1024];
	fake_say(f,
	         &(struct message){ .type = MESSAGE_HELLO,
	                            .n_payload = (uint32_t)hello_encode(h, payload, sizeof payload) },
	         payload);
}

static void fake_attach(struct fake *f)
{
	struct hello h = good_hello(f);
	fake_connect(f);
	say_hello(f, &h);
	fake_run(f, 30);
	assert_int_equal(f->got[MESSAGE_WELCOME], 1);
	assert_int_equal(cell_state(bs_cell(f->w->bs), 0), CELL_ATTACHED);
}

/* ---- attaching ---- */

static void a_good_hello_is_welcomed(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	assert_false(inference_ready(bs_inference(f->w->bs)));
	fake_attach(f);
	assert_int_equal(bs_stats(f->w->bs).welcomed, 1);
	assert_int_equal(bs_stats(f->w->bs).messages_bad, 0);
	assert_true(inference_ready(bs_inference(f->w->bs)));
	fake_destroy(f);
}

static void expect_model_refused(const struct hello *h, struct fake *f)
{
	fake_connect(f);
	say_hello(f, h);
	fake_run(f, 30);
	assert_int_equal(f->got[MESSAGE_WELCOME], 0);
	assert_int_equal(f->got[MESSAGE_REFUSE], 1);
	assert_int_equal(f->refusal, MESSAGE_OTHER_MODEL);
	assert_int_equal(bs_stats(f->w->bs).refused, 1);
	assert_int_equal(bs_stats(f->w->bs).welcomed, 0);
	fake_run(f, 2 * LOST_AFTER); /* though it goes on sending control */
	assert_int_equal(cell_state(bs_cell(f->w->bs), 0), CELL_ABSENT);
	fake_destroy(f);
}

static void another_model_is_refused(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	struct hello h = good_hello(f);
	h.model_hash[31] ^= 1;
	expect_model_refused(&h, f);
}

static void a_model_of_another_shape_is_refused(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	struct hello h = good_hello(f);
	h.n_layer++;
	expect_model_refused(&h, f);
}

static void another_version_is_told_so(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	uint8_t bytes[200] = { MESSAGE_VERSION + 1, MESSAGE_HELLO };
	fake_connect(f);
	assert_int_equal(arq_send(f->arq, bytes, sizeof bytes), 0);
	fake_run(f, 30);
	assert_int_equal(f->got[MESSAGE_REFUSE], 1);
	assert_int_equal(f->refusal, MESSAGE_OTHER_VERSION);
	assert_int_equal(arq_send(f->arq, bytes, sizeof bytes), 0); /* it goes on talking, to nobody */
	fake_run(f, 2 * LOST_AFTER);
	assert_int_equal(f->got[MESSAGE_REFUSE], 1);
	assert_int_equal(f->got[MESSAGE_WELCOME], 0);
	assert_int_equal(cell_device_stats(bs_cell(f->w->bs), 0).messages_bad, 1);
	assert_int_equal(cell_state(bs_cell(f->w->bs), 0), CELL_ABSENT);
	fake_destroy(f);
}

static void a_hello_that_contradicts_itself_is_dropped_and_its_timer_runs(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	struct hello h = good_hello(f);
	uint8_t payload[1024];
	size_t n = hello_encode(&h, payload, sizeof payload);
	fake_connect(f);
	fake_say(f, &(struct message){ .type = MESSAGE_HELLO, .n_payload = (uint32_t)n - 1 }, payload);
	h.device = 3;
	say_hello(f, &h);
	fake_run(f, 30);
	assert_int_equal(bs_stats(f->w->bs).messages_bad, 2);
	assert_int_equal(cell_state(bs_cell(f->w->bs), 0), CELL_ANSWERED);
	fake_run(f, LOST_AFTER);
	assert_int_equal(cell_state(bs_cell(f->w->bs), 0), CELL_ABSENT);
	assert_int_equal(f->got[MESSAGE_WELCOME] + f->got[MESSAGE_REFUSE], 0);
	fake_destroy(f);
}

static void a_device_that_never_says_hello_is_given_up(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	fake_connect(f);
	fake_run(f, LOST_AFTER + 10);
	assert_int_equal(cell_state(bs_cell(f->w->bs), 0), CELL_ABSENT);
	assert_true(cell_device_stats(bs_cell(f->w->bs), 0).controls_ok >
	            LOST_AFTER / 2); /* it was heard all the time */
	fake_destroy(f);
}

/* ---- out of place, damaged ---- */

static void messages_out_of_place_are_counted_and_dropped(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	struct hello h = good_hello(f);
	fake_connect(f);
	fake_say(f, &(struct message){ .type = MESSAGE_RESULT, .seq = 1 }, NULL); /* not attached yet */
	say_hello(f, &h);
	say_hello(f, &h); /* once is enough */
	fake_run(f, 30);
	assert_int_equal(bs_stats(f->w->bs).messages_bad, 2);
	static const uint8_t wrong[] = { MESSAGE_WELCOME, MESSAGE_REFUSE, MESSAGE_CALL };
	for (size_t i = 0; i < sizeof wrong; i++)
		fake_say(f, &(struct message){ .type = wrong[i] }, NULL);
	fake_say(f, &(struct message){ .type = MESSAGE_RESULT, .seq = 1 }, NULL);
	fake_run(f, 30);
	assert_int_equal(bs_stats(f->w->bs).messages_bad, 5);
	assert_int_equal(inference_stats(bs_inference(f->w->bs)).stale, 1);
	assert_int_equal(cell_state(bs_cell(f->w->bs), 0), CELL_ATTACHED);
	assert_int_equal(bs_stats(f->w->bs).welcomed, 1);
	fake_destroy(f);
}

static void a_stream_that_makes_no_sense_ends_the_connection(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	uint8_t garbage[100] = { MESSAGE_VERSION, MESSAGE_RESULT };
	memset(garbage + 2, 0xa5, 26);
	fake_attach(f);
	assert_int_equal(arq_send(f->arq, garbage, sizeof garbage), 0);
	fake_run(f, 20);
	assert_int_equal(cell_state(bs_cell(f->w->bs), 0), CELL_ABSENT);
	assert_int_equal(cell_device_stats(bs_cell(f->w->bs), 0).messages_bad, 1);
	f->connected = false; /* it asks for access again */
	arq_reset(f->arq);
	f->got[MESSAGE_WELCOME] = 0;
	fake_attach(f);
	fake_destroy(f);
}

static void blocks_of_nonsense_do_no_harm(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	fake_attach(f);
	f->babble = true;
	f->random = 5;
	for (int i = 0; i < 600; i++) {
		fake_slot(f);
		f->connected = cell_state(bs_cell(f->w->bs), 0) != CELL_ABSENT;
	}
	assert_true(cell_device_stats(bs_cell(f->w->bs), 0).arq.malformed > 50);
	f->babble = f->connected = false;
	fake_run(f, 2 * LOST_AFTER);
	f->connected = false;
	arq_reset(f->arq);
	f->got[MESSAGE_WELCOME] = 0;
	fake_attach(f);
	fake_destroy(f);
}

/* ---- results ---- */

static const int32_t prompt[] = { 1, 276, 277, 298, 279 };
enum {
	N_PROMPT = sizeof prompt / sizeof prompt[0],
	N_TOKENS = 2,
	CHOICES_MAX = 16,
	RESULT_MAX = CHOICES_MAX * 512 * 4
};

/* The right answer to a call, payload and all: each choice by itself. */
static struct message right_answer(struct fake *f, const struct message *call, const uint8_t *payload, uint8_t *result)
{
	const struct codec *c = codec_by_id(call->codec);
	size_t n_embd = f->w->half->shape.n_embd, bytes = codec_bytes(c, n_embd);
	struct call_choice choices[CHOICES_MAX];
	float x[512], y[512];
	ssize_t table = call_decode(payload, call->n_payload, call, choices, CHOICES_MAX);
	assert_true(table > 0);
	for (size_t i = 0; i < call->choices; i++) {
		assert_int_equal(c->decode(payload + (size_t)table + choices[i].row * bytes, n_embd, x), 0);
		assert_int_equal(moe_expert_forward(f->expert, call->layer, choices[i].expert, x, 1, y), 0);
		assert_int_equal(c->encode(y, n_embd, result + i * bytes), 0);
	}
	struct message m = *call;
	m.type = MESSAGE_RESULT;
	m.slot = (uint32_t)f->w->n;
	m.n_payload = (uint32_t)(call->choices * bytes);
	return m;
}

static void answer_well(struct fake *f, const struct message *call, const uint8_t *payload)
{
	uint8_t result[RESULT_MAX];
	struct message m = right_answer(f, call, payload, result);
	fake_say(f, &m, result);
	f->answered++;
}

static void start(struct fake *f)
{
	struct generation_options options = { .n_tokens = N_TOKENS, .top_p = 1, .seed = 1, .ignore_eos = true };
	double now_s = (double)f->w->n * numerology_slot_s(&f->w->num);
	inference_release(bs_inference(f->w->bs), 0);
	assert_int_equal(inference_start(bs_inference(f->w->bs), prompt, N_PROMPT, &options, now_s), 0);
}

static enum inference_status run_to_end(struct fake *f)
{
	for (int i = 0; i < 2000 && inference_status(bs_inference(f->w->bs)) == INFERENCE_RUNNING; i++)
		fake_slot(f);
	return inference_status(bs_inference(f->w->bs));
}

static void assert_answer_of_the_unsplit_model(struct fake *f)
{
	struct generation_options options = { .n_tokens = N_TOKENS, .top_p = 1, .seed = 1, .ignore_eos = true };
	struct moe_model *m;
	char err[256], here[LOGITS_HASH_HEX], air[LOGITS_HASH_HEX];
	assert_int_equal(moe_model_open(mini_path, NULL, &m, err, sizeof err), 0);
	struct moe_forward *forward =
	        moe_forward_create(m, &(struct moe_ctx_options){ .n_ctx = m->shape.n_ctx, .max_rows = 16 });
	struct generation *g = generation_create(m->tokenizer, N_PROMPT, m->shape.n_ctx, &options);
	moe_forward_run(forward, prompt, N_PROMPT);
	int32_t id = generation_next(g, moe_forward_logits(forward));
	moe_forward_run(forward, &id, 1);
	generation_next(g, moe_forward_logits(forward));
	generation_hash_hex(g, here);
	generation_hash_hex(inference_generation(bs_inference(f->w->bs), 0), air);
	assert_string_equal(air, here);
	generation_destroy(g);
	moe_forward_destroy(forward);
	moe_model_close(m);
}

static void good_results_give_the_answer_of_the_unsplit_model(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	fake_attach(f);
	f->answer = answer_well;
	start(f);
	assert_int_equal(run_to_end(f), INFERENCE_DONE);
	assert_answer_of_the_unsplit_model(f);
	assert_int_equal(inference_stats(bs_inference(f->w->bs)).calls, f->answered);
	fake_destroy(f);
}

/* Before each right answer come wrong ones, after it the same again. */
static void answer_with_noise_around(struct fake *f, const struct message *call, const uint8_t *payload)
{
	uint8_t result[RESULT_MAX];
	struct message good = right_answer(f, call, payload, result);
	struct message wrong[8];
	for (size_t i = 0; i < 8; i++)
		wrong[i] = good;
	wrong[0].seq--;       /* stale */
	wrong[1].seq += 1000; /* never asked */
	wrong[2].layer ^= 1;
	wrong[3].choices ^= 1;
	wrong[4].rows++;
	wrong[5].codec = codec_by_name("f16")->id;
	wrong[6].n_payload -= 4;
	wrong[7].combined = true;
	for (size_t i = 0; i < 8; i++)
		fake_say(f, &wrong[i], result);
	static const uint8_t not_finite[2][4] = { { 0x7f, 0xc0, 0, 0 }, { 0x7f, 0x80, 0, 0 } };
	uint8_t kept[4];
	memcpy(kept, result + 8, 4);
	for (size_t i = 0; i < 2; i++) {
		memcpy(result + 8, not_finite[i], 4);
		fake_say(f, &good, result);
	}
	memcpy(result + 8, kept, 4);
	fake_say(f, &good, result);
	fake_say(f, &good, result);
	f->answered++;
}

static void wrong_results_are_counted_dropped_and_change_no_bit(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	fake_attach(f);
	f->answer = answer_with_noise_around;
	start(f);
	assert_int_equal(run_to_end(f), INFERENCE_DONE);
	fake_run(f, 40);
	assert_answer_of_the_unsplit_model(f);
	struct inference_stats s = inference_stats(bs_inference(f->w->bs));
	assert_int_equal(s.stale, 3 * f->answered);   /* of two sequence numbers, and the repetition */
	assert_int_equal(s.refused, 8 * f->answered); /* six that contradict the call, two not finite */
	fake_destroy(f);
}

/* A time that lies far outside the call must not make parts of the latency negative or larger than the whole. */
static void answer_with_wild_times(struct fake *f, const struct message *call, const uint8_t *payload)
{
	static const uint32_t wild[] = { 0, 1, 1000, UINT32_MAX };
	uint8_t result[RESULT_MAX];
	struct message m = right_answer(f, call, payload, result);
	m.slot = wild[f->answered % 4];
	m.queue_us = wild[f->answered / 2 % 4];
	m.compute_us = wild[f->answered / 3 % 4];
	fake_say(f, &m, result);
	f->answered++;
}

static void times_that_a_device_makes_up_stay_within_the_call(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	struct layer_record r;
	unsigned n = 0;
	fake_attach(f);
	f->answer = answer_with_wild_times;
	for (int i = 0; i < 4; i++) {
		start(f);
		assert_int_equal(run_to_end(f), INFERENCE_DONE);
	}
	while (inference_take_record(bs_inference(f->w->bs), &r)) {
		n++;
		assert_true(r.latency_s > 0 && r.latency_s < 0.2);
		assert_true(r.downlink_s >= 0 && r.compute_s >= 0 && r.uplink_s >= 0);
		assert_true(r.waiting_s > -1e-9);
		assert_true(fabs(r.downlink_s + r.compute_s + r.uplink_s + r.waiting_s - r.latency_s) < 1e-9);
		assert_true(isfinite(r.predicted_s));
	}
	assert_int_equal(n, 4 * N_TOKENS * f->w->base->shape.n_layer);
	fake_destroy(f);
}

static void answer_with_status(struct fake *f, const struct message *call, const uint8_t *payload)
{
	struct message m = *call;
	(void)payload;
	m.type = MESSAGE_RESULT;
	m.status = *(const uint8_t *)f->arg;
	m.n_payload = 0;
	fake_say(f, &m, NULL);
}

static void a_call_that_a_device_cannot_serve_ends_the_run_with_one_line(void **state)
{
	(void)state;
	uint8_t statuses[] = { MESSAGE_BAD_CALL, MESSAGE_NON_FINITE, 200 };
	for (size_t i = 0; i < sizeof statuses; i++) {
		struct fake *f = fake_create();
		unsigned layer, expert, device;
		char why[64] = "";
		fake_attach(f);
		f->answer = answer_with_status;
		f->arg = &statuses[i];
		start(f);
		assert_int_equal(run_to_end(f), INFERENCE_FAILED);
		assert_int_equal(sscanf(inference_error(bs_inference(f->w->bs)),
		                        "layer %u expert %u: device %u answered: %63[^\n]", &layer, &expert, &device,
		                        why),
		                 4);
		assert_string_equal(why, message_status_name(statuses[i]));
		assert_true(inference_stats(bs_inference(f->w->bs)).refused >= 1);
		fake_run(f, 30); /* the answers to the other calls */
		f->answer = answer_well;
		start(f); /* and the next run is not harmed */
		assert_int_equal(run_to_end(f), INFERENCE_DONE);
		assert_answer_of_the_unsplit_model(f);
		fake_destroy(f);
	}
}

static void a_call_never_answered_ends_the_run_in_time(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	fake_attach(f);
	uint64_t began = f->w->n;
	start(f);
	assert_int_equal(run_to_end(f), INFERENCE_FAILED);
	assert_string_equal(inference_error(bs_inference(f->w->bs)) + strlen("layer 0 expert 0"),
	                    " on device 0: no answer in 200 ms");
	assert_in_range(f->w->n - began, 400, 410); /* slots of half a millisecond, and what attention took */
	fake_destroy(f);
}

/* ---- samples that are not numbers ---- */

static void poison_uplink(struct wire *w, uint64_t slot, float complex *samples)
{
	if (slot % 7 == 0)
		samples[slot % w->num.slot_len] = slot % 2 ? CMPLXF(NAN, 0) : CMPLXF(0, INFINITY);
}

static void uplink_samples_that_are_not_finite_cost_their_slot_only(void **state)
{
	(void)state;
	struct fake *f = fake_create();
	fake_attach(f);
	f->w->on_uplink = poison_uplink;
	f->answer = answer_well;
	start(f);
	assert_int_equal(run_to_end(f), INFERENCE_DONE);
	assert_answer_of_the_unsplit_model(f);
	assert_true(cell_stats(bs_cell(f->w->bs)).non_finite > 3);
	while (f->w->n % 7)
		fake_slot(f);
	fake_slot(f);
	assert_int_equal(f->w->bs_rc, -EINVAL);
	assert_null(cell_csi(bs_cell(f->w->bs), 0));
	fake_slot(f);
	assert_int_equal(f->w->bs_rc, 0);
	assert_non_null(cell_csi(bs_cell(f->w->bs), 0));
	fake_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_hello_is_welcomed),
		cmocka_unit_test(another_model_is_refused),
		cmocka_unit_test(a_model_of_another_shape_is_refused),
		cmocka_unit_test(another_version_is_told_so),
		cmocka_unit_test(a_hello_that_contradicts_itself_is_dropped_and_its_timer_runs),
		cmocka_unit_test(a_device_that_never_says_hello_is_given_up),
		cmocka_unit_test(messages_out_of_place_are_counted_and_dropped),
		cmocka_unit_test(a_stream_that_makes_no_sense_ends_the_connection),
		cmocka_unit_test(blocks_of_nonsense_do_no_harm),
		cmocka_unit_test(good_results_give_the_answer_of_the_unsplit_model),
		cmocka_unit_test(wrong_results_are_counted_dropped_and_change_no_bit),
		cmocka_unit_test(times_that_a_device_makes_up_stay_within_the_call),
		cmocka_unit_test(a_call_that_a_device_cannot_serve_ends_the_run_with_one_line),
		cmocka_unit_test(a_call_never_answered_ends_the_run_in_time),
		cmocka_unit_test(uplink_samples_that_are_not_finite_cost_their_slot_only),
	};
	return cmocka_run_group_tests_name("bs", tests, NULL, NULL);
}
