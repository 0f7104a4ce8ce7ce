/* Expert selection: a case worked by hand, and properties against a plain second implementation on random layers. */
#include "scheduler/select.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { TOKENS_MAX = 64, USED_MAX = 4, EXPERTS = 8 };

static uint64_t rng_state = 1;

static double uniform(void)
{
	rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
	return (double)(rng_state >> 11) * 0x1p-53;
}

struct layer {
	uint16_t ids[TOKENS_MAX * USED_MAX];
	float weights[TOKENS_MAX * USED_MAX];
	uint8_t device_of[EXPERTS];
	struct select_input in;
};

static void random_layer(struct layer *l, size_t n_tokens, size_t n_used)
{
	*l = (struct layer){
		.in = { .n_tokens = n_tokens, .n_experts = EXPERTS, .n_used = n_used, .n_devices = EXPERTS }
	};
	l->in.ids = l->ids;
	l->in.weights = l->weights;
	l->in.device_of = l->device_of;
	l->in.params = select_params_default();
	l->in.params.renormalised_wlr = uniform() < 0.5;
	for (size_t e = 0; e < EXPERTS; e++) {
		l->device_of[e] = (uint8_t)e;
		l->in.fixed_s[e] = 1e-3 * uniform() * 5;
		l->in.per_token_s[e] = 1e-4 + 1e-3 * uniform() * 5;
	}
	for (size_t j = 0; j < n_tokens; j++) {
		float sum = 0;
		for (size_t i = 0; i < n_used; i++) {
			size_t at = j * n_used + i;
			bool again = true;
			while (again) {
				l->ids[at] = (uint16_t)(uniform() * EXPERTS);
				again = false;
				for (size_t o = j * n_used; o < at; o++)
					again = again || l->ids[o] == l->ids[at];
			}
			l->weights[at] = (float)exp(-2.0 * (double)i * uniform());
			sum += l->weights[at];
		}
		for (size_t i = 0; i < n_used; i++)
			l->weights[j * n_used + i] /= sum;
	}
}

/* WLR the long way round: renormalised weights written out, device by device. */
static double plain_wlr(const struct select_input *in, const bool *keep)
{
	float w[TOKENS_MAX * USED_MAX];
	memcpy(w, in->weights, in->n_tokens * in->n_used * sizeof *w);
	if (in->params.renormalised_wlr)
		select_renormalise(in, keep, w);
	double total = 0;
	for (size_t d = 0; d < in->n_devices; d++) {
		double sum = 0, q = 0;
		for (size_t at = 0; at < in->n_tokens * in->n_used; at++) {
			if (keep[at] && in->device_of[in->ids[at]] == d) {
				sum += w[at];
				q++;
			}
		}
		if (q > 0)
			total += sum / (in->fixed_s[d] + q * in->per_token_s[d]);
	}
	return total;
}

static const struct select_policy *wdmoe(void)
{
	return select_policy_find("wdmoe");
}

static void policies_are_found_by_name(void **state)
{
	(void)state;
	size_t n;
	const struct select_policy *all = select_policies(&n);
	assert_true(n >= 2);
	for (size_t i = 0; i < n; i++)
		assert_ptr_equal(select_policy_find(all[i].name), &all[i]);
	assert_null(select_policy_find("no such policy"));
}

static void vanilla_serves_every_choice(void **state)
{
	(void)state;
	static struct layer l;
	random_layer(&l, 64, 2);
	bool keep[TOKENS_MAX * USED_MAX] = { false };
	struct select_output out;
	assert_int_equal(select_policy_find("vanilla")->select(&l.in, keep, &out), 0);
	for (size_t at = 0; at < 128; at++)
		assert_true(keep[at]);
	assert_int_equal(out.n_dropped, 0);
	assert_true(out.kept_weight == 1);
	assert_true(out.latency_after_s == out.latency_before_s && out.wlr_after == out.wlr_before);
	assert_true(fabs(out.wlr_after - plain_wlr(&l.in, keep)) < 1e-6 * out.wlr_after);
}

/* Two devices: 0 with 1 s a token, 1 with 10 s. Token A: weights .9 on 0, .1 on 1: S = 1.9 / (.9055 * 10.05) = 0.2088
 * < 0.5. Token B: .1 on 0, .9 on 1: S = 9.1 / (.9055 * 10.05) = 1.0000 (0.99999..: .1 1 and .9 10 are not quite
 * parallel: 0.99994). WLR before: device 0: 1.0 / 2 = .5, device 1: 1.0 / 20 = .05; sum .55.
 * theta .5 drops A's second: device 0: (1 + .1) / 2 = .55, device 1: .9 / 10 = .09; sum .64: kept. No change at .6 ..
 * .9; theta 1.0 would drop B's choice 0: device 0: 1 / 1, device 1: 1 / 10; sum 1.1: kept as well. */
static void the_case_worked_by_hand_comes_out(void **state)
{
	(void)state;
	const uint16_t ids[] = { 0, 1, 1, 0 };
	const float weights[] = { 0.9f, 0.1f, 0.9f, 0.1f };
	const uint8_t device_of[] = { 0, 1 };
	struct select_input in = { .n_tokens = 2, .n_experts = 2, .n_used = 2, .n_devices = 2 };
	in.ids = ids;
	in.weights = weights;
	in.device_of = device_of;
	in.per_token_s[0] = 1;
	in.per_token_s[1] = 10;
	in.params = select_params_default();
	in.params.theta_max = 0.9;
	bool keep[4];
	struct select_output out;
	assert_int_equal(wdmoe()->select(&in, keep, &out), 0);
	assert_true(keep[0] && !keep[1] && keep[2] && keep[3]);
	assert_true(fabs(out.wlr_before - 0.55) < 1e-6);
	assert_true(fabs(out.wlr_after - 0.64) < 1e-6);
	assert_true(fabs(out.latency_before_s - 20) < 1e-9 && fabs(out.latency_after_s - 10) < 1e-9);
	assert_true(fabs(out.theta - 0.5) < 1e-9);
	assert_true(fabs(out.kept_weight - 0.95) < 1e-6);
	assert_int_equal(out.n_dropped, 1);
	assert_int_equal(out.n_tokens_on[0], 2);
	assert_int_equal(out.n_tokens_on[1], 1);
	in.params.theta_max = 1;
	assert_int_equal(wdmoe()->select(&in, keep, &out), 0);
	assert_true(keep[0] && !keep[1] && keep[2] && !keep[3]);
	assert_true(fabs(out.wlr_after - 1.1) < 1e-6);
	/* With the router's own weights theta 1.0 gives .9 / 1 + .9 / 10 = .99 and is kept too; theta .5 gives 1.0 /
	 * 2 + .09 = .59. */
	in.params.renormalised_wlr = false;
	assert_int_equal(wdmoe()->select(&in, keep, &out), 0);
	assert_true(fabs(out.wlr_after - 0.99) < 1e-6);
}

static void every_token_keeps_an_expert_and_the_wlr_never_falls(void **state)
{
	(void)state;
	static struct layer l;
	size_t n_changed = 0;
	for (int trial = 0; trial < 2000; trial++) {
		size_t n_used = 1 + (size_t)(uniform() * USED_MAX), n_tokens = (size_t)(uniform() * (TOKENS_MAX + 1));
		random_layer(&l, n_tokens, n_used);
		bool keep[TOKENS_MAX * USED_MAX], all[TOKENS_MAX * USED_MAX];
		struct select_output out;
		assert_int_equal(wdmoe()->select(&l.in, keep, &out), 0);
		memset(all, true, sizeof all);
		double before = plain_wlr(&l.in, all), after = plain_wlr(&l.in, keep);
		assert_true(fabs(out.wlr_before - before) <= 1e-5 * before &&
		            fabs(out.wlr_after - after) <= 1e-5 * after);
		if (out.n_dropped)
			assert_true(after >= 1.01 * before * (1 - 1e-6));
		assert_true(out.latency_after_s <= out.latency_before_s);
		n_changed += out.n_dropped > 0;
		for (size_t j = 0; j < n_tokens; j++) {
			size_t kept = 0;
			float lowest_kept = 2, highest_dropped = -1;
			for (size_t i = 0; i < n_used; i++) {
				float w = l.weights[j * n_used + i];
				kept += keep[j * n_used + i];
				if (keep[j * n_used + i])
					lowest_kept = fminf(lowest_kept, w);
				else
					highest_dropped = fmaxf(highest_dropped, w);
			}
			assert_true(kept >= 1);
			assert_true(highest_dropped <= lowest_kept);
		}
	}
	assert_true(n_changed > 500);
}

/* Second implementation of the loop, with the keep arrays of every step written out. */
static void plain_wdmoe(const struct select_input *in, bool *keep)
{
	size_t k = in->n_used;
	memset(keep, true, in->n_tokens * k);
	for (int tenth = 5; tenth <= 10; tenth++) {
		bool trial[TOKENS_MAX * USED_MAX];
		memcpy(trial, keep, in->n_tokens * k);
		for (size_t j = 0; j < in->n_tokens; j++) {
			double dot = 0, w2 = 0, t2 = 0, low = 2;
			size_t n = 0, low_at = 0;
			for (size_t at = j * k; at < (j + 1) * k; at++) {
				if (!keep[at])
					continue;
				double t = in->fixed_s[in->device_of[in->ids[at]]] +
				           in->per_token_s[in->device_of[in->ids[at]]];
				dot += in->weights[at] * t;
				w2 += pow(in->weights[at], 2);
				t2 += t * t;
				n++;
				if (in->weights[at] <= low) {
					low = in->weights[at];
					low_at = at;
				}
			}
			if (n > 1 && dot / sqrt(w2) / sqrt(t2) < tenth / 10.0)
				trial[low_at] = false;
		}
		if (memcmp(trial, keep, in->n_tokens * k) == 0)
			continue;
		if (plain_wlr(in, trial) < 1.01 * plain_wlr(in, keep))
			return;
		memcpy(keep, trial, in->n_tokens * k);
	}
}

static void a_second_implementation_agrees(void **state)
{
	(void)state;
	static struct layer l;
	for (int trial = 0; trial < 2000; trial++) {
		random_layer(&l, (size_t)(uniform() * TOKENS_MAX), 1 + (size_t)(uniform() * USED_MAX));
		bool keep[TOKENS_MAX * USED_MAX], plain[TOKENS_MAX * USED_MAX];
		struct select_output out;
		assert_int_equal(wdmoe()->select(&l.in, keep, &out), 0);
		plain_wdmoe(&l.in, plain);
		assert_memory_equal(keep, plain, l.in.n_tokens * l.in.n_used);
	}
}

static void equal_devices_and_equal_weights_leave_a_lone_token_alone(void **state)
{
	(void)state;
	static struct layer l;
	random_layer(&l, 1, 2);
	l.weights[0] = l.weights[1] = 0.5f;
	for (size_t d = 0; d < EXPERTS; d++) {
		l.in.fixed_s[d] = 1e-3;
		l.in.per_token_s[d] = 1e-4;
	}
	bool keep[2];
	struct select_output out;
	l.in.params.renormalised_wlr = true;
	assert_int_equal(wdmoe()->select(&l.in, keep, &out), 0);
	assert_true(keep[0] && keep[1]);
}

static void a_device_out_of_reach_loses_the_low_weights(void **state)
{
	(void)state;
	static struct layer l;
	random_layer(&l, 1, 2);
	l.in.params.renormalised_wlr = true;
	l.weights[0] = 0.8f;
	l.weights[1] = 0.2f;
	const double bad[] = { INFINITY, NAN, -1, 1e9 };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		l.in.per_token_s[l.ids[1]] = bad[i];
		bool keep[2];
		struct select_output out;
		assert_int_equal(wdmoe()->select(&l.in, keep, &out), 0);
		assert_true(keep[0] && !keep[1]);
		assert_true(isfinite(out.latency_before_s) && out.latency_before_s >= SELECT_UNREACHABLE_S);
	}
}

static void served_weights_are_scaled_to_one_and_untouched_tokens_keep_their_bits(void **state)
{
	(void)state;
	static struct layer l;
	random_layer(&l, 3, 3);
	bool keep[9] = { true, true, true, true, false, true, false, true, false };
	float w[9];
	select_renormalise(&l.in, keep, w);
	assert_memory_equal(w, l.weights, 3 * sizeof *w);
	assert_true(w[4] == 0 && w[6] == 0 && w[8] == 0);
	assert_true(fabsf(w[3] + w[5] - 1) < 1e-6f && fabsf(w[3] / w[5] - l.weights[3] / l.weights[5]) < 1e-4f);
	assert_true(w[7] == 1);
}

static void impossible_input_is_refused(void **state)
{
	(void)state;
	static struct layer l;
	bool keep[TOKENS_MAX * USED_MAX];
	struct select_output out;
	size_t n;
	const struct select_policy *all = select_policies(&n);
	for (size_t i = 0; i < n; i++) {
		random_layer(&l, 4, 2);
		l.weights[3] = NAN;
		assert_int_equal(all[i].select(&l.in, keep, &out), -EINVAL);
		random_layer(&l, 4, 2);
		l.weights[2] = l.weights[3] = 0;
		assert_int_equal(all[i].select(&l.in, keep, &out), -EINVAL);
		random_layer(&l, 4, 2);
		l.ids[1] = EXPERTS;
		assert_int_equal(all[i].select(&l.in, keep, &out), -EINVAL);
		random_layer(&l, 4, 2);
		l.in.n_devices = 3;
		l.device_of[l.ids[0]] = 3;
		assert_int_equal(all[i].select(&l.in, keep, &out), -EINVAL);
		random_layer(&l, 4, 2);
		l.in.n_used = 0;
		assert_int_equal(all[i].select(&l.in, keep, &out), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies_are_found_by_name),
		cmocka_unit_test(vanilla_serves_every_choice),
		cmocka_unit_test(the_case_worked_by_hand_comes_out),
		cmocka_unit_test(every_token_keeps_an_expert_and_the_wlr_never_falls),
		cmocka_unit_test(a_second_implementation_agrees),
		cmocka_unit_test(equal_devices_and_equal_weights_leave_a_lone_token_alone),
		cmocka_unit_test(a_device_out_of_reach_loses_the_low_weights),
		cmocka_unit_test(served_weights_are_scaled_to_one_and_untouched_tokens_keep_their_bits),
		cmocka_unit_test(impossible_input_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
