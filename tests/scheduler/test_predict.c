/* Latency prediction against synthetic devices whose law is known. */
#include "scheduler/predict.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static uint64_t rng_state;

static double uniform(void)
{
	rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
	return (double)(rng_state >> 11) * 0x1p-53;
}

static double gauss(void)
{
	return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

static void assert_near(double a, double b, double relative)
{
	if (!(fabs(a - b) <= relative * fabs(b)))
		fail_msg("%.9g is not within %g of %.9g", a, relative, b);
}

static void before_any_measurement_the_profile_speaks(void **state)
{
	(void)state;
	struct predict_config cfg = predict_config_default();
	struct predict_state s;
	predict_init(&s, &cfg);
	assert_near(predict_compute_s(&s, 10), cfg.fixed_prior_s + 10 * cfg.per_row_prior_s, 1e-12);
}

static void fixed_part_and_slope_are_learned_from_noisy_calls_of_mixed_size(void **state)
{
	(void)state;
	struct predict_config cfg = predict_config_default();
	struct predict_state s;
	predict_init(&s, &cfg);
	rng_state = 1;
	for (int i = 0; i < 200; i++) {
		double rows = 1 + floor(uniform() * 16);
		predict_observe_compute(&s, &cfg, rows, (2e-3 + 0.15e-3 * rows) * (1 + 0.05 * gauss()));
	}
	assert_near(predict_compute_s(&s, 1), 2.15e-3, 0.03);
	assert_near(predict_compute_s(&s, 16), 4.4e-3, 0.03);
	assert_near(s.theta[1], 0.15e-3, 0.1);
	assert_near(sqrt(s.residual_var), 0.05 * 3.3e-3, 0.5);
}

static void a_slowdown_is_followed_though_all_calls_have_one_row(void **state)
{
	(void)state;
	struct predict_config cfg = predict_config_default();
	struct predict_state s;
	predict_init(&s, &cfg);
	for (int i = 0; i < 5000; i++)
		predict_observe_compute(&s, &cfg, 1, 0.3e-3);
	assert_near(predict_compute_s(&s, 1), 0.3e-3, 0.01);
	/* the direction never excited neither blew up nor froze the other */
	assert_true(isfinite(s.cov[0][0]) && s.cov[0][0] >= 0 && s.cov[1][1] >= 0);
	for (int i = 0; i < 150; i++)
		predict_observe_compute(&s, &cfg, 1, 3e-3);
	assert_near(predict_compute_s(&s, 1), 3e-3, 0.06);
	for (int i = 0; i < 20; i++)
		predict_observe_compute(&s, &cfg, 1 + i % 8, 3e-3 + 0.2e-3 * (i % 8));
	assert_near(predict_compute_s(&s, 8), 4.4e-3, 0.1);
}

static void nonsense_is_refused_and_changes_nothing(void **state)
{
	(void)state;
	struct predict_config cfg = predict_config_default();
	struct predict_state s, before;
	predict_init(&s, &cfg);
	before = s;
	assert_int_equal(predict_observe_compute(&s, &cfg, 1, NAN), -EINVAL);
	assert_int_equal(predict_observe_compute(&s, &cfg, 1, -1), -EINVAL);
	assert_int_equal(predict_observe_compute(&s, &cfg, INFINITY, 1), -EINVAL);
	assert_int_equal(predict_observe_air(&s, &cfg, PREDICT_DOWN, 100, 0), -EINVAL);
	assert_int_equal(predict_observe_wait(&s, &cfg, PREDICT_UP, -1e-9), -EINVAL);
	assert_int_equal(predict_observe_call(&s, &cfg, INFINITY, 1), -EINVAL);
	assert_int_equal(s.n_refused, 6);
	s.n_refused = 0;
	assert_memory_equal(&s, &before, sizeof s);
}

static void the_parts_add_up_to_the_mean(void **state)
{
	(void)state;
	struct predict_config cfg = predict_config_default();
	struct predict_state s;
	struct prediction p;
	predict_init(&s, &cfg);
	predict_observe_call(&s, &cfg, 5e-3, 6e-3);
	struct predict_query q = { .n_rows = 4,
		                   .bytes = { 2000, 2100 },
		                   .backlog = { 300, 0 },
		                   .backlog_compute_s = 1e-3,
		                   .share_rb = { 4, 5 },
		                   .rate = { 40, 0 } };
	predict_latency(&s, &cfg, &q, &p);
	double sum = p.compute_s + p.turnaround_s + p.bias_s;
	for (int i = 0; i < 2; i++)
		sum += p.wait_s[i] + p.air_s[i];
	assert_near(p.mean_s, sum, 1e-12);
	assert_true(p.spread_s > 0);
	q.n_rows = 0;
	predict_latency(&s, &cfg, &q, &p);
	assert_true(p.mean_s == 0);
	q.n_rows = 1;
	q.share_rb[0] = 0;
	predict_latency(&s, &cfg, &q, &p);
	assert_true(isinf(p.mean_s));
}

/* A transfer as it happens: blocks of one slot, lost with probability p, sent again a round trip later; a slot holds
 * one block. Returns slots from the first block to the last success. */
static double simulate_transfer(double bytes, double per_slot, double p, int rtt)
{
	int left = (int)ceil(bytes / per_slot), again[4096] = { 0 };
	double done = 0;
	for (int slot = 0; slot < 4096 && (left > 0 || again[slot] >= 0); slot++) {
		bool resend = again[slot] > 0;
		if (!resend && left == 0) {
			bool any = false;
			for (int s = slot; s < 4096 && s < slot + 64; s++)
				any = any || again[s];
			if (!any)
				break;
			continue;
		}
		left -= !resend;
		if (resend && --again[slot] > 0) /* two repetitions due at once: one waits */
			again[slot + 1] += again[slot];
		if (uniform() < p && slot + rtt < 4096)
			again[slot + rtt]++;
		else
			done = slot + 1;
	}
	return done;
}

static void air_time_with_retransmissions_matches_a_simulated_link(void **state)
{
	(void)state;
	struct predict_config cfg = predict_config_default();
	struct predict_state s;
	predict_init(&s, &cfg);
	rng_state = 3;
	const double losses[] = { 0, 0.1, 0.3 };
	for (size_t i = 0; i < 3; i++) {
		s.bler[0] = losses[i];
		for (double bytes = 50; bytes < 5000; bytes *= 1.9) {
			double sum = 0, rtt = cfg.harq_rtt_s / cfg.slot_s;
			enum { N = 4000 };
			for (int n = 0; n < N; n++) /* the rate is never known better */
				sum += simulate_transfer(bytes * (0.75 + 0.5 * uniform()), 100, losses[i], (int)rtt);
			struct predict_query q = {
				.n_rows = 1, .bytes = { bytes, 0 }, .share_rb = { 2, 1 }, .rate = { 50, 50 }
			};
			struct prediction p;
			predict_latency(&s, &cfg, &q, &p);
			assert_near(p.air_s[0], sum / N * cfg.slot_s, 0.15);
		}
	}
}

static void rates_waits_and_losses_follow_what_is_measured(void **state)
{
	(void)state;
	struct predict_config cfg = predict_config_default();
	struct predict_state s;
	predict_init(&s, &cfg);
	rng_state = 5;
	for (int i = 0; i < 2000; i++) {
		predict_observe_air(&s, &cfg, PREDICT_UP, 80 * (1 + 0.2 * gauss()) * 7, 7);
		predict_observe_wait(&s, &cfg, PREDICT_UP, 2e-3 * uniform());
		predict_observe_block(&s, &cfg, PREDICT_UP, uniform() < 0.25);
	}
	assert_near(s.rate[PREDICT_UP].mean, 80, 0.2);
	assert_near(sqrt(s.rate[PREDICT_UP].var), 16, 0.5);
	assert_near(s.wait_s[PREDICT_UP].mean, 1e-3, 0.4);
	assert_near(s.bler[PREDICT_UP], 0.25, 0.5);
	assert_near(s.rate[PREDICT_DOWN].mean, cfg.rate_prior[PREDICT_DOWN], 1e-12);
}

static void what_the_model_misses_is_learned_from_whole_calls(void **state)
{
	(void)state;
	struct predict_config cfg = predict_config_default();
	struct predict_state s;
	struct prediction p = { .mean_s = 0 };
	predict_init(&s, &cfg);
	rng_state = 7;
	double error = 0, error2 = 0;
	enum { N = 3000, SETTLED = 200 };
	for (int i = 0; i < N; i++) {
		double rows = 1 + floor(uniform() * 8);
		struct predict_query q = {
			.n_rows = rows, .bytes = { 256 * rows, 256 * rows }, .share_rb = { 6, 6 }, .rate = { 40, 40 }
		};
		predict_latency(&s, &cfg, &q, &p);
		/* the truth: the model's parts with other constants, 1.7 ms that it knows nothing of, and noise of
		 * 0.4 ms */
		double compute = 1.1e-3 + 0.05e-3 * rows;
		double truth = p.mean_s - p.bias_s - p.compute_s + compute + 1.7e-3 + 0.4e-3 * gauss();
		predict_observe_compute(&s, &cfg, rows, compute);
		predict_observe_call(&s, &cfg, p.mean_s, truth);
		if (i >= SETTLED) {
			error += truth - p.mean_s;
			error2 += (truth - p.mean_s) * (truth - p.mean_s);
		}
	}
	assert_true(fabs(error / (N - SETTLED)) < 0.05e-3);
	assert_near(p.bias_s, 1.7e-3, 0.25);
	assert_near(p.spread_s, sqrt(error2 / (N - SETTLED)), 0.35);
}

/* The parts put together by hand come to the whole prediction where transfers are long and nothing is lost. */
static void the_parts_without_the_band_leave_what_the_band_decides(void **state)
{
	(void)state;
	struct predict_config cfg = predict_config_default();
	struct predict_state s;
	struct predict_parts parts;
	struct prediction p;
	cfg.target_bler = 0;
	predict_init(&s, &cfg);
	predict_parts(&s, &cfg, &parts);
	assert_true(parts.carried[0] == 1 && parts.carried[1] == 1);
	struct predict_query q = { .n_rows = 12, .bytes = { 3072, 4000 }, .share_rb = { 3, 3 }, .rate = { 35, 30 } };
	predict_latency(&s, &cfg, &q, &p);
	double air_s = (3072 / (3 * 35.0) + 4000 / (3 * 30.0)) * cfg.slot_s;
	assert_near(parts.fixed_s + 12 * parts.per_row_s + air_s, p.mean_s, 1e-9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_any_measurement_the_profile_speaks),
		cmocka_unit_test(fixed_part_and_slope_are_learned_from_noisy_calls_of_mixed_size),
		cmocka_unit_test(a_slowdown_is_followed_though_all_calls_have_one_row),
		cmocka_unit_test(nonsense_is_refused_and_changes_nothing),
		cmocka_unit_test(the_parts_add_up_to_the_mean),
		cmocka_unit_test(air_time_with_retransmissions_matches_a_simulated_link),
		cmocka_unit_test(rates_waits_and_losses_follow_what_is_measured),
		cmocka_unit_test(what_the_model_misses_is_learned_from_whole_calls),
		cmocka_unit_test(the_parts_without_the_band_leave_what_the_band_decides),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
