/* Hidden states that go out once for several devices: nothing of what is computed changes, whatever is lost on the way. */
#include "tests/testbed/scene.h"

#include <errno.h>
#include <math.h>

enum { N_TOKENS = 8 };

/* Answers are small, so that the downlink is what a layer waits for, and multicast pays. */
static const char *const down[] = { "moe.codec_up=int8", "scheduler.allocator=horizon", NULL };

static struct scene *run(const char *path, const char *const *sets, bool multicast, char hash[static LOGITS_HASH_HEX])
{
	const char *all[SETS_MAX] = { down[0], down[1],
		                      multicast ? "scheduler.multicast=yes" : "scheduler.multicast=no" };
	for (size_t n = 3; sets && *sets; n++)
		all[n] = *sets++;
	struct scene *s = scene_open(path, all);
	scene_attach(s);
	if (scene_prompt(s, N_TOKENS))
		fail_msg("%s", s->err);
	generation_hash_hex(inference_generation(scene_inference(s), 0), hash);
	return s;
}

static uint64_t bytes_down(struct scene *s, unsigned n_devices)
{
	uint64_t sum = cell_stats(scene_cell(s)).multicast.bytes_on_air;
	for (unsigned d = 0; d < n_devices; d++)
		sum += cell_device_stats(scene_cell(s), d).bytes_on_air[CELL_DL];
	return sum;
}

static void nothing_changes_but_what_it_takes(void **state)
{
	(void)state;
	char with[LOGITS_HASH_HEX], without[LOGITS_HASH_HEX];
	struct scene *a = run(two_devices, NULL, false, without), *b = run(two_devices, NULL, true, with);
	assert_string_equal(with, without);
	struct inference_stats stats = inference_stats(scene_inference(b));
	assert_int_equal(inference_stats(scene_inference(a)).multicast_rows, 0);
	assert_true(stats.multicast_rows > 0 && stats.multicast_layers > 0);
	assert_int_equal(stats.not_heard, 0);
	assert_true(bytes_down(b, 2) < bytes_down(a, 2));
	scene_close(a);
	scene_close(b);
}

/* Sounding in two groups: devices of different groups never answer the same block. */
static void devices_that_answer_in_other_slots_are_left_alone(void **state)
{
	(void)state;
	char with[LOGITS_HASH_HEX], without[LOGITS_HASH_HEX];
	struct scene *a = run(sixteen_devices, NULL, false, without), *b = run(sixteen_devices, NULL, true, with);
	assert_string_equal(with, without);
	assert_false(cell_multicast_can(scene_cell(b), 0x8001));
	assert_true(cell_multicast_can(scene_cell(b), 0x3));
	assert_false(cell_multicast_can(scene_cell(b), 0));
	scene_close(a);
	scene_close(b);
}

/* At 6 dB over fast fading with few transmissions a block HARQ gives up blocks; their segments go again. */
static void what_is_lost_comes_again(void **state)
{
	(void)state;
	static const char *const poor[] = { "devices[0].snr_db=7", "devices[1].snr_db=6",       "channel.speed_kmh=60",
		                            "scheduler.max_tx=1",  "scheduler.bler_target=0.4", NULL };
	char with[LOGITS_HASH_HEX], without[LOGITS_HASH_HEX];
	struct scene *a = run(two_devices, poor, false, without), *b = run(two_devices, poor, true, with);
	assert_string_equal(with, without);
	assert_true(cell_stats(scene_cell(b)).multicast.bytes_resent > 0);
	scene_close(a);
	scene_close(b);
}

/* Device 0 dies while multicast to it is under way; all its experts are held twice. */
static void a_device_that_dies_holds_nobody_up(void **state)
{
	(void)state;
	static const char *const alive[] = { "moe.replicas=2", NULL };
	char with[LOGITS_HASH_HEX], without[LOGITS_HASH_HEX], when[64];
	struct scene *a = run(two_devices, alive, false, without);
	scene_close(a);
	for (int ms = 40; ms < 60; ms += 9) {
		const char *dead[] = { when, "moe.replicas=2", "scheduler.bler_target=0.3", NULL };
		double longest_s = 0;
		size_t n;
		snprintf(when, sizeof when, "devices[0].dark_at_s=%.3f", 1e-3 * ms);
		struct scene *b = run(two_devices, dead, true, with);
		assert_string_equal(with, without);
		assert_true(inference_stats(scene_inference(b)).suspected > 0);
		const struct layer_record *layers = session_layers(b->session, &n);
		for (size_t i = 0; i < n; i++)
			longest_s = fmax(longest_s, layers[i].latency_s);
		assert_true(longest_s < 0.12); /* 50 ms until it is suspected, and the layer */
		scene_close(b);
	}
}

/* The base station forgets a set that calls refer to: the devices wait, ask, and get their calls whole. */
static void a_call_whose_states_never_come_comes_whole(void **state)
{
	(void)state;
	static const char *const sets[] = { "moe.codec_up=int8", "scheduler.allocator=horizon",
		                            "scheduler.multicast=yes", NULL };
	char with[LOGITS_HASH_HEX], without[LOGITS_HASH_HEX];
	scene_close(run(two_devices, NULL, false, without));
	struct scene *s = scene_open(two_devices, sets);
	struct inference *inf = scene_inference(s);
	struct generation_options options = greedy(N_TOKENS);
	scene_attach(s);
	assert_int_equal(inference_start(inf, prompt, N_PROMPT, &options, lockstep_time_s(scene_lockstep(s))), 0);
	while (!inference_stats(inf).multicast_layers && inference_status(inf) == INFERENCE_RUNNING)
		lockstep_slot(scene_lockstep(s));
	uint64_t slot = cell_stats(scene_cell(s)).slots;
	for (unsigned d = 0; d < 2; d++) { /* what is built already is not heard either */
		cell_multicast_leave(scene_cell(s), d);
		darken(s, d, ETHER_DL, (double)slot, (double)slot + 6);
	}
	for (int i = 0; i < 4000 && inference_status(inf) == INFERENCE_RUNNING; i++)
		lockstep_slot(scene_lockstep(s));
	assert_int_equal(inference_status(inf), INFERENCE_DONE);
	assert_true(inference_stats(inf).not_heard > 0);
	generation_hash_hex(inference_generation(inf, 0), with);
	assert_string_equal(with, without);
	scene_close(s);
}

static void sets_that_are_nonsense_are_refused(void **state)
{
	(void)state;
	char hash[LOGITS_HASH_HEX];
	struct scene *s = run(two_devices, NULL, true, hash);
	struct cell *c = scene_cell(s);
	uint8_t bytes[16] = { 0 };
	assert_int_equal(cell_multicast(c, 1000, bytes, 16, &(struct cell_segment){ 0, 16, 0x3 }, 1), 0);
	assert_int_equal(cell_multicast_left(c), 16);
	assert_int_equal(cell_multicast(c, 1001, bytes, 16, &(struct cell_segment){ 1, 16, 0x3 }, 1), -EINVAL);
	assert_int_equal(cell_multicast(c, 1001, bytes, 16, &(struct cell_segment){ 17, 1, 0x3 }, 1), -EINVAL);
	assert_int_equal(cell_multicast(c, 1001, bytes, 16, &(struct cell_segment){ 0, 0, 0x3 }, 1), -EINVAL);
	assert_int_equal(cell_multicast(c, 1001, bytes, 16, &(struct cell_segment){ 0, 16, 0x7 }, 1), -EINVAL);
	assert_int_equal(cell_multicast_left(c), 16); /* what was there is as it was */
	cell_multicast_leave(c, 0);
	assert_int_equal(cell_multicast_left(c), 16);
	cell_multicast_leave(c, 1);
	assert_int_equal(cell_multicast_left(c), 0);
	scene_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_changes_but_what_it_takes),
		cmocka_unit_test(devices_that_answer_in_other_slots_are_left_alone),
		cmocka_unit_test(what_is_lost_comes_again),
		cmocka_unit_test(a_device_that_dies_holds_nobody_up),
		cmocka_unit_test(a_call_whose_states_never_come_comes_whole),
		cmocka_unit_test(sets_that_are_nonsense_are_refused),
	};
	return cmocka_run_group_tests_name("multicast", tests, NULL, NULL);
}
