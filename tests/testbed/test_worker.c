/* A device's model side: exact results, at the time its profile says, in order, once; what it cannot serve is answered
 * so. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "moe/codec.h"
#include "moe/expert.h"
#include "testbed/call.h"
#include "testbed/worker.h"

enum { ROWS_MAX = 4, CALLS_MAX = 3, N_EMBD_MAX = 512 };

static const struct compute_profile steady = { .fixed_s = 0.002, .bytes_per_s = 1e12, .flops_per_s = 1e15 };

struct fixture {
	struct moe_model *whole, *half; /* half: experts 1 and 3 of layer 0, expert 2 of layer 1 */
	struct worker *w;
	struct states *states;
	size_t n_embd;
	uint8_t payload[256 + ROWS_MAX * N_EMBD_MAX * 4];
	float x[ROWS_MAX * N_EMBD_MAX];
};

static int set_up(void **state)
{
	static const struct moe_expert_id held[] = { { 0, 1 }, { 1, 2 }, { 0, 3 } };
	static const char path[] = SOURCE_DIR "/tests/moe/data/mini.gguf";
	struct fixture *f = calloc(1, sizeof *f);
	char err[256];
	if (moe_model_open(path, NULL, &f->whole, err, sizeof err) ||
	    moe_model_open(path, &(struct moe_half){ .held = held, .n_held = 3 }, &f->half, err, sizeof err))
		return -1;
	f->n_embd = f->whole->shape.n_embd;
	f->states = states_create(4096 * 4);
	f->w = worker_create(&(struct worker_params){ .model = f->half,
	                                              .states = f->states,
	                                              .profile = steady,
	                                              .seed = 1,
	                                              .rows_max = ROWS_MAX,
	                                              .calls_max = CALLS_MAX });
	for (size_t i = 0; i < ROWS_MAX * f->n_embd; i++)
		f->x[i] = (float)((i * 37 + 11) % 101) / 50.0f - 1.0f;
	*state = f;
	return f->w && f->n_embd <= N_EMBD_MAX ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	worker_destroy(f->w);
	states_destroy(f->states);
	moe_model_close(f->half);
	moe_model_close(f->whole);
	free(f);
	return 0;
}

/* A call of n choices on the first rows of x. */
static struct message make_choices(struct fixture *f, uint32_t seq, unsigned layer, const struct call_choice *choices,
                                   size_t n, bool combined, const char *codec)
{
	const struct codec *c = codec_by_name(codec);
	size_t rows = choices[n - 1].row + 1u, at = call_encode(choices, n, rows, combined, f->payload);
	for (size_t r = 0; r < rows; r++, at += codec_bytes(c, f->n_embd))
		assert_int_equal(c->encode(f->x + r * f->n_embd, f->n_embd, f->payload + at), 0);
	return (struct message){ .type = MESSAGE_CALL,
		                 .codec = c->id,
		                 .reply_codec = c->id,
		                 .combined = combined,
		                 .seq = seq,
		                 .layer = (uint16_t)layer,
		                 .rows = (uint16_t)rows,
		                 .choices = (uint16_t)n,
		                 .n_payload = (uint32_t)at };
}

/* All rows want the same expert. */
static struct message make_call(struct fixture *f, uint32_t seq, unsigned layer, unsigned expert, unsigned rows,
                                const char *codec)
{
	struct call_choice choices[ROWS_MAX];
	for (unsigned r = 0; r < rows; r++)
		choices[r] = (struct call_choice){ (uint16_t)r, (uint16_t)expert, 1 };
	return make_choices(f, seq, layer, choices, rows, false, codec);
}

/* The answer that is there at t_s. */
static struct message answer_at(struct fixture *f, double t_s, const uint8_t **payload)
{
	const uint8_t *bytes;
	struct message m;
	size_t n = worker_poll(f->w, t_s, &bytes);
	assert_true(n > 0);
	assert_int_equal(message_decode(bytes, n, &m, payload), n);
	assert_int_equal(m.type, MESSAGE_RESULT);
	return m;
}

static enum message_status status_of(struct fixture *f, const struct message *call)
{
	const uint8_t *payload;
	assert_int_equal(worker_take(f->w, call, f->payload, 0, 0), 0);
	struct message m = answer_at(f, 0, &payload); /* a refusal takes no time */
	assert_int_equal(m.seq, call->seq);
	assert_int_equal(m.n_payload, 0);
	assert_int_equal(m.compute_us, 0);
	return m.status;
}

/* The second of two rows comes by multicast: until it is there the call lacks it; then the answer is as if it had come whole. */
static void states_may_come_by_multicast(void **state)
{
	struct fixture *f = *state;
	const struct codec *c = codec_by_name("f32");
	size_t row = codec_bytes(c, f->n_embd);
	struct call_choice choices[2] = { { 0, 1, 1 },
		                          { .row = 1, .expert = 1, .weight = 1, .heard = true, .number = 2 } };
	struct message whole = make_call(f, 100, 0, 1, 2, "f32"), call = whole;
	const uint8_t *payload;
	uint8_t tb[N_EMBD_MAX * 4 + STATES_HEADER], first[N_EMBD_MAX * 4];
	assert_int_equal(worker_take(f->w, &whole, f->payload, 0, 0), 0);
	struct message m = answer_at(f, 1e9, &payload);
	uint8_t *wanted = malloc(m.n_payload);
	memcpy(wanted, payload, m.n_payload);

	worker_reset(f->w);
	c->encode(f->x, f->n_embd, first);
	size_t at = call_encode(choices, 2, 2, false, f->payload);
	memcpy(f->payload + at, first, row);
	call.set = 7;
	call.seq = 101;
	call.n_payload = (uint32_t)(at + row);
	assert_true(worker_lacks(f->w, &call, f->payload));
	assert_int_equal(status_of(f, &call), MESSAGE_NOT_HEARD);
	assert_int_equal(worker_stats(f->w).not_heard, 1);

	uint8_t second[N_EMBD_MAX * 4];
	c->encode(f->x + f->n_embd, f->n_embd, second);
	memset(tb, 0, sizeof tb);
	size_t n_tb = states_write_segment(6, (uint32_t)(2 * row), second, row, tb);
	assert_int_equal(states_take(f->states, tb, n_tb), 0);
	assert_true(worker_lacks(f->w, &call, f->payload)); /* of another set */
	states_write_segment(7, (uint32_t)(2 * row), second, row, tb);
	assert_int_equal(states_take(f->states, tb, n_tb), 0);
	assert_false(worker_lacks(f->w, &call, f->payload));
	call.seq = 102;
	assert_int_equal(worker_take(f->w, &call, f->payload, 0, 0), 0);
	m = answer_at(f, 1e9, &payload);
	assert_int_equal(m.status, MESSAGE_OK);
	assert_memory_equal(payload, wanted, m.n_payload);
	free(wanted);

	worker_reset(f->w);
	call.seq = 103;
	call.n_payload--; /* cut short */
	assert_int_equal(status_of(f, &call), MESSAGE_BAD_CALL);
}

static void results_are_those_of_the_expert_to_the_bit(void **state)
{
	struct fixture *f = *state;
	struct moe_expert_ctx *expert = moe_expert_ctx_create(f->whole, ROWS_MAX, NULL);
	float y[ROWS_MAX * N_EMBD_MAX], got[N_EMBD_MAX];
	const struct codec *c = codec_by_name("f32");
	const uint8_t *payload;
	for (unsigned rows = 1; rows <= ROWS_MAX; rows++)
		for (unsigned layer = 0; layer < 2; layer++) {
			struct message call = make_call(f, 10 * rows + layer, layer, 1 + layer, rows, "f32");
			assert_int_equal(worker_take(f->w, &call, f->payload, 77, 0), 0);
			struct message m = answer_at(f, 1e9, &payload);
			assert_int_equal(m.status, MESSAGE_OK);
			assert_int_equal(m.slot, 77);
			assert_int_equal(m.rows, rows);
			assert_int_equal(m.layer, layer);
			assert_int_equal(m.choices, rows);
			assert_int_equal(moe_expert_forward(expert, layer, 1 + layer, f->x, rows, y), 0);
			for (unsigned r = 0; r < rows; r++) {
				assert_int_equal(c->decode(payload + r * codec_bytes(c, f->n_embd), f->n_embd, got), 0);
				assert_memory_equal(got, y + r * f->n_embd, f->n_embd * sizeof *got);
			}
		}
	moe_expert_ctx_destroy(expert);
}

static void results_are_expected_for_when_they_come(void **state)
{
	struct fixture *f = *state;
	size_t n = MESSAGE_HEADER + f->n_embd * 4;
	const uint8_t *bytes;
	for (uint32_t seq = 1; seq <= 2; seq++) { /* 2 ms each, one after the other */
		struct message call = make_call(f, seq, 0, 1, 1, "f32");
		assert_int_equal(worker_take(f->w, &call, f->payload, 0, 1), 0);
	}
	assert_int_equal(worker_expects(f->w, 1.0019), 0);
	assert_int_equal(worker_expects(f->w, 1.0021), n);
	assert_int_equal(worker_expects(f->w, 1.0039), n);
	assert_int_equal(worker_expects(f->w, 1.0041), 2 * n);
	assert_int_equal(worker_poll(f->w, 1.0021, &bytes), n);
	assert_int_equal(worker_expects(f->w, 1.0041), n); /* what was taken is no longer to come */
}

static void the_reply_has_the_codec_that_the_call_asks_for(void **state)
{
	struct fixture *f = *state;
	struct message call = make_call(f, 1, 0, 1, 2, "f32");
	const uint8_t *payload;
	call.reply_codec = codec_by_name("int8")->id;
	assert_int_equal(worker_take(f->w, &call, f->payload, 0, 0), 0);
	struct message m = answer_at(f, 1, &payload);
	assert_int_equal(m.codec, codec_by_name("int8")->id);
	assert_int_equal(m.n_payload, 2 * codec_bytes(codec_by_name("int8"), f->n_embd));
}

static void a_result_appears_when_its_time_has_come(void **state)
{
	struct fixture *f = *state;
	const uint8_t *bytes;
	struct message call = make_call(f, 1, 0, 1, 1, "f32");
	assert_int_equal(worker_take(f->w, &call, f->payload, 0, 5.0), 0);
	assert_int_equal(worker_poll(f->w, 5.0 + 0.99 * steady.fixed_s, &bytes), 0);
	struct message m = answer_at(f, 5.0 + 1.01 * steady.fixed_s, &bytes);
	assert_int_equal(m.queue_us, 0);
	assert_in_range(m.compute_us, 2000, 2001); /* fixed part, and next to nothing for the bytes */
	assert_int_equal(worker_poll(f->w, 1e9, &bytes), 0);
}

static void the_time_charged_is_that_of_the_weights_read(void **state)
{
	struct fixture *f = *state;
	struct compute_profile slow = { .bytes_per_s = 1e6, .flops_per_s = 1e15 };
	struct worker *w = worker_create(
	        &(struct worker_params){ .model = f->half, .profile = slow, .rows_max = 1, .calls_max = 1 });
	struct message call = make_call(f, 1, 0, 1, 1, "f32"), m;
	const uint8_t *bytes, *payload;
	double expected_us = (double)moe_model_expert_bytes(f->half, 0); /* at 1 MB/s a byte is a microsecond */
	assert_int_equal(worker_take(w, &call, f->payload, 0, 0), 0);
	size_t n = worker_poll(w, 1e9, &bytes);
	assert_int_equal(message_decode(bytes, n, &m, &payload), n);
	assert_in_range(m.compute_us, (uint32_t)expected_us - 1, (uint32_t)expected_us + 1);
	worker_destroy(w);
}

static void calls_queue_one_behind_the_other(void **state)
{
	struct fixture *f = *state;
	const uint8_t *bytes;
	for (uint32_t seq = 1; seq <= 3; seq++) {
		struct message call = make_call(f, seq, 0, 1, 1, "f32");
		assert_int_equal(worker_take(f->w, &call, f->payload, seq, 1.0), 0);
	}
	for (uint32_t seq = 1; seq <= 3; seq++) {
		assert_int_equal(worker_poll(f->w, 1.0 + (seq - 0.01) * steady.fixed_s, &bytes), 0);
		struct message m = answer_at(f, 1.0 + (seq + 0.01) * steady.fixed_s, &bytes);
		assert_int_equal(m.seq, seq);
		assert_int_equal(m.slot, seq);
		assert_in_range(m.queue_us, 2000 * (seq - 1), 2000 * (seq - 1) + 3);
	}
	assert_true(fabs(worker_stats(f->w).busy_s - 3 * steady.fixed_s) < 1e-6);
}

static void a_refusal_does_not_overtake_what_came_before(void **state)
{
	struct fixture *f = *state;
	struct message good = make_call(f, 1, 0, 1, 1, "f32"), bad;
	const uint8_t *payload;
	assert_int_equal(worker_take(f->w, &good, f->payload, 0, 0), 0);
	bad = make_call(f, 2, 0, 0, 1, "f32");
	assert_int_equal(worker_take(f->w, &bad, f->payload, 0, 0), 0);
	assert_int_equal(worker_poll(f->w, 0, &payload), 0);
	assert_int_equal(answer_at(f, 1, &payload).seq, 1);
	assert_int_equal(answer_at(f, 1, &payload).status, MESSAGE_BAD_CALL);
}

static void old_and_repeated_sequence_numbers_are_dropped(void **state)
{
	struct fixture *f = *state;
	static const uint32_t stale[] = { 0, 1, 4, 5 };
	const uint8_t *payload;
	struct message call = make_call(f, 5, 0, 1, 1, "f32");
	assert_int_equal(worker_take(f->w, &call, f->payload, 0, 0), 0);
	answer_at(f, 1, &payload);
	for (size_t i = 0; i < 4; i++) {
		call.seq = stale[i];
		assert_int_equal(worker_take(f->w, &call, f->payload, 0, 1), -EALREADY);
	}
	assert_int_equal(worker_poll(f->w, 1e9, &payload), 0);
	assert_int_equal(worker_stats(f->w).dropped, 4);
	assert_int_equal(worker_stats(f->w).calls, 1);
	call.seq = 6;
	assert_int_equal(worker_take(f->w, &call, f->payload, 0, 1), 0);
}

static void calls_that_cannot_be_served_are_answered_so(void **state)
{
	struct fixture *f = *state;
	uint32_t seq = 0;
	const struct message good = make_call(f, 0, 0, 1, 2, "f32");
	struct message bad[11];
	for (size_t i = 0; i < 11; i++) {
		bad[i] = good;
		bad[i].seq = ++seq;
	}
	bad[0].codec = 0;
	bad[1].codec = 200;
	bad[2].reply_codec = 0;
	bad[3].rows = 0;
	bad[4].rows = ROWS_MAX + 1;
	bad[5].rows = 1; /* and two rows of payload */
	bad[6].n_payload--;
	bad[7].choices = 1;
	bad[8].choices = 65535;
	bad[9].combined = true; /* and no weights */
	bad[10].layer = 65535;
	for (size_t i = 0; i < 11; i++)
		assert_int_equal(status_of(f, &bad[i]), MESSAGE_BAD_CALL);
	static const unsigned not_held[] = { 2, 4, 65535 };
	for (size_t i = 0; i < 3; i++) {
		struct message m = make_call(f, ++seq, 0, not_held[i], 2, "f32");
		assert_int_equal(status_of(f, &m), MESSAGE_BAD_CALL);
	}
	struct worker_stats s = worker_stats(f->w);
	assert_int_equal(s.refused, 14);
	assert_int_equal(s.rows, 0);
	assert_true(s.busy_s == 0);
}

/* Three rows: the first wants both experts of layer 0, the others one each. */
static const struct call_choice mixed[] = { { 0, 3, 0.75f }, { 0, 1, 0.25f }, { 1, 1, 1.0f }, { 2, 3, 0.5f } };
enum { N_MIXED = 4, N_MIXED_ROWS = 3 };

/* Row by row what each choice gives. */
static void run_mixed(struct fixture *f, float *y)
{
	struct moe_expert_ctx *expert = moe_expert_ctx_create(f->whole, 1, NULL);
	for (size_t i = 0; i < N_MIXED; i++)
		assert_int_equal(moe_expert_forward(expert, 0, mixed[i].expert, f->x + mixed[i].row * f->n_embd, 1,
		                                    y + i * f->n_embd),
		                 0);
	moe_expert_ctx_destroy(expert);
}

static void a_call_of_several_experts_returns_each_to_the_bit(void **state)
{
	struct fixture *f = *state;
	float y[N_MIXED * N_EMBD_MAX], got[N_EMBD_MAX];
	const struct codec *c = codec_by_name("f32");
	const uint8_t *payload;
	struct message call = make_choices(f, 1, 0, mixed, N_MIXED, false, "f32");
	run_mixed(f, y);
	assert_int_equal(worker_take(f->w, &call, f->payload, 0, 0), 0);
	struct message m = answer_at(f, 1e9, &payload);
	assert_int_equal(m.status, MESSAGE_OK);
	assert_int_equal(m.rows, N_MIXED_ROWS);
	assert_int_equal(m.choices, N_MIXED);
	assert_int_equal(m.n_payload, N_MIXED * codec_bytes(c, f->n_embd));
	assert_in_range(m.compute_us, 4000, 4002); /* two experts */
	for (size_t i = 0; i < N_MIXED; i++) {
		assert_int_equal(c->decode(payload + i * codec_bytes(c, f->n_embd), f->n_embd, got), 0);
		assert_memory_equal(got, y + i * f->n_embd, f->n_embd * sizeof *got);
	}
	assert_int_equal(worker_stats(f->w).rows, N_MIXED);
}

static void combined_it_returns_one_weighted_sum_a_row(void **state)
{
	struct fixture *f = *state;
	float y[N_MIXED * N_EMBD_MAX], got[N_EMBD_MAX];
	const struct codec *c = codec_by_name("f32");
	const uint8_t *payload;
	struct message call = make_choices(f, 1, 0, mixed, N_MIXED, true, "f32");
	run_mixed(f, y);
	assert_int_equal(worker_take(f->w, &call, f->payload, 0, 0), 0);
	struct message m = answer_at(f, 1e9, &payload);
	assert_int_equal(m.status, MESSAGE_OK);
	assert_int_equal(m.n_payload, N_MIXED_ROWS * codec_bytes(c, f->n_embd));
	for (size_t row = 0; row < N_MIXED_ROWS; row++) {
		assert_int_equal(c->decode(payload + row * codec_bytes(c, f->n_embd), f->n_embd, got), 0);
		for (size_t k = 0; k < f->n_embd; k++) {
			double sum = 0;
			for (size_t i = 0; i < N_MIXED; i++)
				sum += mixed[i].row == row ? (double)mixed[i].weight * (double)y[i * f->n_embd + k] : 0;
			assert_true(fabs((double)got[k] - sum) <= 1e-6 * fmax(1, fabs(sum)));
		}
	}
}

static void activations_that_are_not_finite_are_refused(void **state)
{
	struct fixture *f = *state;
	static const uint8_t nan_be[4] = { 0x7f, 0xc0, 0, 0 }, inf_be[4] = { 0xff, 0x80, 0, 0 };
	struct message call = make_call(f, 1, 0, 1, 2, "f32");
	size_t table = call_table_bytes(2, 2, false);
	memcpy(f->payload + table + 4 * (f->n_embd + 3), nan_be, 4);
	assert_int_equal(status_of(f, &call), MESSAGE_NON_FINITE);
	call = make_call(f, 2, 0, 1, 2, "f32");
	memcpy(f->payload + table, inf_be, 4);
	assert_int_equal(status_of(f, &call), MESSAGE_NON_FINITE);
	assert_int_equal(worker_stats(f->w).non_finite, 2);
}

/* Finite hidden states so large that the expert's output is not, or does not fit the codec back. */
static void an_output_that_overflows_is_refused(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < f->n_embd; i++)
		f->x[i] = 1e30f;
	struct message call = make_call(f, 1, 0, 1, 1, "f32");
	assert_int_equal(status_of(f, &call), MESSAGE_NON_FINITE);
	for (size_t i = 0; i < f->n_embd; i++)
		f->x[i] = i ? 0 : 1e5f;
	call = make_call(f, 2, 0, 1, 1, "f32");
	call.reply_codec = codec_by_name("f16")->id;
	assert_int_equal(status_of(f, &call), MESSAGE_NON_FINITE);
}

static void a_full_queue_takes_no_more_until_there_is_room(void **state)
{
	struct fixture *f = *state;
	const uint8_t *payload;
	struct message call = make_call(f, 0, 0, 1, 1, "f32");
	for (call.seq = 1; call.seq <= CALLS_MAX; call.seq++) {
		assert_true(worker_has_room(f->w));
		assert_int_equal(worker_take(f->w, &call, f->payload, 0, 0), 0);
	}
	assert_false(worker_has_room(f->w));
	assert_int_equal(worker_take(f->w, &call, f->payload, 0, 0), -ENOBUFS);
	assert_int_equal(answer_at(f, 1, &payload).seq, 1);
	assert_int_equal(worker_take(f->w, &call, f->payload, 0, 1), 0); /* the refused one was not counted as seen */
	for (uint32_t seq = 2; seq <= CALLS_MAX + 1; seq++)
		assert_int_equal(answer_at(f, 2, &payload).seq, seq);
}

static void a_reset_forgets_calls_and_sequence_numbers(void **state)
{
	struct fixture *f = *state;
	const uint8_t *payload;
	struct message call = make_call(f, 9, 0, 1, 1, "f32");
	assert_int_equal(worker_take(f->w, &call, f->payload, 0, 100), 0);
	worker_reset(f->w);
	assert_int_equal(worker_poll(f->w, 1e9, &payload), 0);
	call.seq = 1;
	assert_int_equal(worker_take(f->w, &call, f->payload, 0, 0), 0);
	assert_int_equal(answer_at(f, 1.01 * steady.fixed_s, &payload).seq, 1); /* nor is it still busy */
}

static void parameters_out_of_range_are_refused(void **state)
{
	struct fixture *f = *state;
	static const size_t bad[][2] = { { 0, 1 }, { 1025, 1 }, { 1, 0 }, { 1, 4097 } };
	for (size_t i = 0; i < 4; i++) {
		struct worker_params p = {
			.model = f->half, .profile = steady, .rows_max = bad[i][0], .calls_max = bad[i][1]
		};
		errno = 0;
		assert_null(worker_create(&p));
		assert_int_equal(errno, EINVAL);
	}
}

#define WITH_WORKER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* The same answers, by a thread; what was asked for before a reset is forgotten. */
static void real_time_gives_the_same_answers(void **state)
{
	struct fixture *f = *state;
	struct worker *w = worker_create(&(struct worker_params){
	        .model = f->half, .profile = steady, .rows_max = ROWS_MAX, .calls_max = CALLS_MAX, .real_time = true });
	const uint8_t *bytes = NULL, *payload, *again;
	struct message call, m, n;
	assert_non_null(w);
	for (uint32_t seq = 1; seq <= 20; seq++) {
		size_t size;
		call = make_call(f, seq, 0, 1 + 2 * (seq & 1), 1 + seq % ROWS_MAX, "f32");
		assert_int_equal(worker_take(w, &call, f->payload, 9, 0), 0);
		if (seq == 10) { /* its answer never comes */
			worker_reset(w);
			continue;
		}
		assert_true(worker_expects(w, 1e9) > 0);
		while (!(size = worker_poll(w, 0, &bytes)))
			nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
		assert_int_equal(message_decode(bytes, size, &m, &payload), size);
		assert_int_equal(m.seq, seq);
		assert_int_equal(m.slot, 9);
		call.seq += 1000; /* the virtual one has its own count */
		assert_int_equal(worker_take(f->w, &call, f->payload, 9, 0), 0);
		n = answer_at(f, 1e9, &again);
		assert_int_equal(m.n_payload, n.n_payload);
		assert_memory_equal(payload, again, n.n_payload);
	}
	assert_int_equal(worker_stats(w).calls, 20);
	worker_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORKER(states_may_come_by_multicast),
		WITH_WORKER(results_are_those_of_the_expert_to_the_bit),
		WITH_WORKER(results_are_expected_for_when_they_come),
		WITH_WORKER(the_reply_has_the_codec_that_the_call_asks_for),
		WITH_WORKER(a_result_appears_when_its_time_has_come),
		WITH_WORKER(the_time_charged_is_that_of_the_weights_read),
		WITH_WORKER(calls_queue_one_behind_the_other),
		WITH_WORKER(a_refusal_does_not_overtake_what_came_before),
		WITH_WORKER(old_and_repeated_sequence_numbers_are_dropped),
		WITH_WORKER(calls_that_cannot_be_served_are_answered_so),
		WITH_WORKER(a_call_of_several_experts_returns_each_to_the_bit),
		WITH_WORKER(combined_it_returns_one_weighted_sum_a_row),
		WITH_WORKER(activations_that_are_not_finite_are_refused),
		WITH_WORKER(an_output_that_overflows_is_refused),
		WITH_WORKER(a_full_queue_takes_no_more_until_there_is_room),
		WITH_WORKER(a_reset_forgets_calls_and_sequence_numbers),
		WITH_WORKER(parameters_out_of_range_are_refused),
		WITH_WORKER(real_time_gives_the_same_answers),
	};
	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
