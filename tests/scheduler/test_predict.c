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
	assert_int_equal(predict_observe_wait(&s, &cfg, PREDICT_UP, -1e-9), -EINVAL);
	assert_int_equal(predict_observe_call(&s, &cfg, INFINITY, 1), -EINVAL);
	assert_int_equal(s.n_refused, 5);
	s.n_refused = 0;
	assert_memory_equal(&s, &before, sizeof s);
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

/* The parts by hand; on the air, with the band for itself, they come to what a simulated link takes. */
static void the_parts_are_waits_computing_and_repetitions(void **state)
{
	(void)state;
	const double losses[] = { 0, 0.1, 0.3 };
	struct predict_config cfg = predict_config_default();
	rng_state = 3;
	for (size_t i = 0; i < 3; i++) {
		struct predict_state s;
		struct predict_parts parts;
		predict_init(&s, &cfg);
		predict_observe_compute(&s, &cfg, 1, 1e-3);
		s.bler[0] = losses[i];
		s.bler[1] = 0;
		predict_parts(&s, &cfg, &parts);
		assert_near(parts.carried[0], 1 - losses[i], 1e-12);
		assert_near(parts.carried[1], 1, 1e-12);
		assert_near(parts.fixed_s + 3 * parts.per_row_s - predict_compute_s(&s, 3) - cfg.turnaround_s -
		                    s.wait_s[0].mean - s.wait_s[1].mean,
		            cfg.slot_s + losses[i] / (1 - losses[i]) * cfg.harq_rtt_s, 1e-6);
		double air_s = parts.fixed_s - s.wait_s[0].mean - s.wait_s[1].mean - fmax(0, s.theta[0]) -
		               cfg.turnaround_s - 0.5 * cfg.slot_s; /* of the downlink but for the transfer */
		for (double bytes = 500; bytes < 20000; bytes *= 1.9) {
			enum { N = 2000 };
			double sum = 0, rtt = cfg.harq_rtt_s / cfg.slot_s;
			for (int n = 0; n < N; n++)
				sum += simulate_transfer(bytes * (0.75 + 0.5 * uniform()), 100, losses[i], (int)rtt);
			assert_near(air_s + bytes / (100 * parts.carried[0]) * cfg.slot_s, sum / N * cfg.slot_s, 0.25);
		}
	}
}

static void waits_and_losses_follow_what_is_measured(void **state)
{
	(void)state;
	struct predict_config cfg = predict_config_default();
	struct predict_state s;
	predict_init(&s, &cfg);
	rng_state = 5;
	for (int i = 0; i < 2000; i++) {
		predict_observe_wait(&s, &cfg, PREDICT_UP, 2e-3 * uniform());
		predict_observe_block(&s, &cfg, PREDICT_UP, uniform() < 0.25);
	}
	assert_near(s.wait_s[PREDICT_UP].mean, 1e-3, 0.4);
	assert_near(s.bler[PREDICT_UP], 0.25, 0.5);
	assert_near(s.bler[PREDICT_DOWN], cfg.target_bler, 1e-12);
}

static void what_the_model_misses_is_learned_from_whole_calls(void **state)
{
	(void)state;
	struct predict_config cfg = predict_config_default();
	struct predict_state s;
	struct predict_parts parts;
	predict_init(&s, &cfg);
	predict_parts(&s, &cfg, &parts);
	double before_s = parts.fixed_s;
	rng_state = 7;
	for (int i = 0; i < 3000; i++) {
		predict_parts(&s, &cfg, &parts);
		predict_observe_call(&s, &cfg, parts.fixed_s, before_s + 1.7e-3 + 0.4e-3 * gauss());
	}
	assert_near(parts.fixed_s - before_s, 1.7e-3, 0.25);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_any_measurement_the_profile_speaks),
		cmocka_unit_test(fixed_part_and_slope_are_learned_from_noisy_calls_of_mixed_size),
		cmocka_unit_test(a_slowdown_is_followed_though_all_calls_have_one_row),
		cmocka_unit_test(nonsense_is_refused_and_changes_nothing),
		cmocka_unit_test(the_parts_are_waits_computing_and_repetitions),
		cmocka_unit_test(waits_and_losses_follow_what_is_measured),
		cmocka_unit_test(what_the_model_misses_is_learned_from_whole_calls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
