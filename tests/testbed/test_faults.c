/* Devices that fall silent, slow down or lie, on small scenes: the run goes on, and what was not served as wanted is noted. */
#include "tests/testbed/scene.h"

#include <errno.h>

enum { N_TOKENS = 10 };

/* Deviations since the start, by reason; instead: how many of them another expert served. */
static size_t count_deviations(struct scene *s, enum deviation_reason reason, size_t *instead)
{
	struct deviation d;
	size_t n = 0;
	*instead = 0;
	while (inference_take_deviation(scene_inference(s), &d)) {
		assert_true(d.share >= 0 && d.share <= 1);
		assert_true(d.expert != (int)d.wanted);
		n += d.reason == reason;
		*instead += d.reason == reason && d.expert >= 0;
	}
	return n;
}

/* Device 0 dies while the prompt is at work; nobody else holds its experts. */
static struct scene *run_without_device_0(const char *on_silence)
{
	char how[64];
	const char *sets[] = { how, "devices[0].dark_at_s=0.05", "timers.call_timeout_ms=400", NULL };
	snprintf(how, sizeof how, "scheduler.on_silence=%s", on_silence);
	struct scene *s = scene_open(two_devices, sets);
	scene_attach(s);
	return s;
}

static void waiting_for_a_dead_device_ends_the_run(void **state)
{
	(void)state;
	struct scene *s = run_without_device_0("wait");
	assert_int_equal(scene_prompt(s, N_TOKENS), -EIO);
	assert_non_null(strstr(s->err, "device 0"));
	scene_close(s);
}

static void choices_that_only_a_dead_device_holds_are_dropped(void **state)
{
	(void)state;
	struct scene *s = run_without_device_0("drop");
	size_t n_tokens, instead;
	assert_int_equal(scene_prompt(s, N_TOKENS), 0);
	generation_tokens(inference_generation(scene_inference(s), 0), &n_tokens);
	assert_int_equal(n_tokens, N_TOKENS);
	struct inference_stats stats = inference_stats(scene_inference(s));
	assert_true(stats.given_up > 0 && stats.suspected > 0);
	size_t n = count_deviations(s, DEVIATION_SILENCE, &instead), n_layers, n_less = 0;
	assert_int_equal(n - instead, stats.given_up); /* each is in the log */
	const struct layer_record *layers = session_layers(s->session, &n_layers);
	for (size_t i = 0; i < n_layers; i++)
		n_less += layers[i].kept_weight < 1 - 1e-6;
	assert_true(n_less > 0); /* and not counted as kept */
	scene_close(s);
}

static void or_the_next_best_experts_serve(void **state)
{
	(void)state;
	struct scene *s = run_without_device_0("next");
	size_t n_tokens, instead;
	assert_int_equal(scene_prompt(s, N_TOKENS), 0);
	generation_tokens(inference_generation(scene_inference(s), 0), &n_tokens);
	assert_int_equal(n_tokens, N_TOKENS);
	assert_int_equal(inference_stats(scene_inference(s)).given_up, 0);
	size_t n = count_deviations(s, DEVIATION_SILENCE, &instead);
	assert_true(n > 0 && n == instead);
	scene_close(s);
}

/* Where loss costs nothing, every call that holds up a layer and can be done without is given up; each token keeps an expert. */
static void late_calls_are_given_up_at_their_price(void **state)
{
	(void)state;
	static const char *const sets[] = { "scheduler.give_up=yes", "scheduler.price=0", "devices[0].slow_at_s=0",
		                            "devices[0].slow_factor=50", NULL };
	struct scene *s = scene_open(two_devices, sets);
	size_t n_tokens, instead;
	scene_attach(s);
	assert_int_equal(scene_prompt(s, N_TOKENS), 0);
	generation_tokens(inference_generation(scene_inference(s), 0), &n_tokens);
	assert_int_equal(n_tokens, N_TOKENS);
	struct inference_stats stats = inference_stats(scene_inference(s));
	assert_true(stats.given_up > 0);
	assert_int_equal(count_deviations(s, DEVIATION_LATE, &instead), stats.given_up);
	assert_int_equal(instead, 0);
	scene_close(s);
}

static void slow_and_lying_devices_change_no_bit(void **state)
{
	(void)state;
	static const char *const faults[][3] = { { "devices[1].slow_at_s=0.02", NULL },
		                                 { "devices[1].lie_at_s=0.02", "devices[1].lie_db=60", NULL },
		                                 { "devices[1].lie_at_s=0.02", "devices[1].lie_db=-60", NULL } };
	for (size_t i = 0; i < 3; i++) {
		struct scene *s = scene_open(two_devices, faults[i]);
		scene_attach(s);
		if (scene_prompt(s, N_TOKENS))
			fail_msg("%s", s->err);
		assert_same_as_unsplit(s, N_TOKENS);
		scene_close(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiting_for_a_dead_device_ends_the_run),
		cmocka_unit_test(choices_that_only_a_dead_device_holds_are_dropped),
		cmocka_unit_test(or_the_next_best_experts_serve),
		cmocka_unit_test(late_calls_are_given_up_at_their_price),
		cmocka_unit_test(slow_and_lying_devices_change_no_bit),
	};
	return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
