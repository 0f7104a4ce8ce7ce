/* Whole runs through the medium: what the model computes, what passes between nodes, and what a link that goes dark
 * does. */
#include "tests/testbed/scene.h"

#include <errno.h>

#include "testbed/journal.h"
#include "testbed/report.h"

static const double for_ever = 1e9;

/* ---- the model's answer ---- */

static void one_device_answers_as_the_unsplit_model(void **state)
{
	(void)state;
	struct scene *s = scene_open(one_device, NULL);
	scene_attach(s);
	assert_int_equal(scene_prompt(s, 6), 0);
	assert_same_as_unsplit(s, 6);
	scene_close(s);
}

static void two_devices_over_fading_channels_answer_as_the_unsplit_model(void **state)
{
	(void)state;
	struct scene *s = scene_open(two_devices, NULL);
	scene_attach(s);
	assert_int_equal(scene_prompt(s, 6), 0);
	assert_same_as_unsplit(s, 6);
	for (size_t d = 0; d < 2; d++)
		assert_true(device_worker_stats(lockstep_device(scene_lockstep(s), d)).calls > 0);
	scene_close(s);
}

/* However the prompt is cut into chunks and the calls into messages, down to a row each, more than a device queues. */
static void the_cut_into_chunks_and_calls_changes_no_bit(void **state)
{
	(void)state;
	static const char *const cuts[][3] = {
		{ "moe.chunk_rows=1", "moe.call_rows_max=64" },
		{ "moe.chunk_rows=5", "moe.call_rows_max=3" },
		{ "moe.chunk_rows=64", "moe.call_rows_max=1" },
	};
	for (size_t i = 0; i < 3; i++) {
		struct scene *s = scene_open(one_device, cuts[i]);
		scene_attach(s);
		assert_int_equal(scene_prompt(s, 2), 0);
		assert_same_as_unsplit(s, 2);
		scene_close(s);
	}
}

/* Any map of experts to devices, with several of a row on one device, and with replicas. */
static void the_expert_map_changes_no_bit(void **state)
{
	(void)state;
	static const char *const maps[][5] = {
		{ "devices[0].experts=0:0-3 1:1", "devices[1].experts=1:0 1:2-3" },
		{ "devices[0].experts=0-1", "devices[1].experts=1-3" },
		{ "moe.replicas=2", "moe.placement=balanced" },
		{ "devices[0].experts=0-1:0-3", "devices[1].experts=[]" },
		{ "devices[0].experts=0-3", "devices[1].experts=0:0-2 1:3", "moe.call_rows_max=5" },
	};
	for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
		struct scene *s = scene_open(two_devices, maps[i]);
		scene_attach(s);
		assert_int_equal(scene_prompt(s, 4), 0);
		assert_same_as_unsplit(s, 4);
		scene_close(s);
	}
}

/* A hidden state goes down once for all of a device's experts, and comes back once where they are combined. */
static void rows_travel_once_for_all_experts_of_a_device(void **state)
{
	(void)state;
	enum { N_EMBD = 32, N_LAYER = 2, N_USED = 2 };
	static const char *const modes[] = { "moe.combine=each", "moe.combine=device" };
	for (size_t i = 0; i < 2; i++) {
		const char *sets[] = { modes[i], NULL };
		struct scene *s = scene_open(one_device, sets);
		scene_attach(s);
		assert_int_equal(scene_prompt(s, 1), 0);
		struct inference_stats stats = inference_stats(scene_inference(s));
		size_t rows = N_LAYER * N_PROMPT, table = rows + rows * N_USED * (i ? 6 : 2);
		assert_int_equal(stats.calls, N_LAYER);
		assert_int_equal(stats.rows, rows * N_USED);
		assert_int_equal(stats.bytes_down, N_LAYER * MESSAGE_HEADER + table + rows * N_EMBD * 4);
		assert_int_equal(stats.bytes_up, N_LAYER * MESSAGE_HEADER + rows * (i ? 1 : N_USED) * N_EMBD * 4);
		scene_close(s);
	}
}

/* Fewer experts than the router chose, down to none for some rows: the same rows get the same over the air. */
static void experts_left_out_on_purpose_are_left_out_alike(void **state)
{
	(void)state;
	static const char *const modes[] = { "moe.experts=top1", "moe.experts=drop<0.45", "moe.experts=dead:2" };
	char whole[LOGITS_HASH_HEX], hash[LOGITS_HASH_HEX];
	unsplit_hash(3, "", whole);
	for (size_t i = 0; i < 3; i++) {
		const char *const sets[] = { modes[i], NULL };
		struct scene *s = scene_open(two_devices, sets);
		scene_attach(s);
		assert_int_equal(scene_prompt(s, 3), 0);
		assert_same_as_unsplit(s, 3);
		generation_hash_hex(inference_generation(scene_inference(s), 0), hash);
		assert_string_not_equal(hash, whole);
		assert_true(inference_stats(scene_inference(s)).dropped > 0);
		scene_close(s);
	}
}

static void a_second_prompt_starts_afresh(void **state)
{
	(void)state;
	struct scene *s = scene_open(one_device, NULL);
	scene_attach(s);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(scene_prompt(s, 2), 0);
		assert_same_as_unsplit(s, 2);
	}
	scene_close(s);
}

static void prompts_that_cannot_be_run_are_refused_and_the_next_one_runs(void **state)
{
	(void)state;
	struct scene *s = scene_open(one_device, NULL);
	struct generation_options options = greedy(1);
	size_t n_ctx = lockstep_model(scene_lockstep(s))->shape.n_ctx;
	int32_t *many = calloc(n_ctx + 1, sizeof *many), wrong[] = { 1, 1 << 20 };
	assert_int_equal(scene_prompt(s, 1), -ENOTCONN); /* nobody has told yet what it holds */
	scene_attach(s);
	assert_int_equal(session_prompt(s->session, many, n_ctx + 1, &options, s->err, sizeof s->err), -ENOSPC);
	assert_int_equal(session_prompt(s->session, many, 0, &options, s->err, sizeof s->err), -EINVAL);
	assert_int_equal(session_prompt(s->session, wrong, 2, &options, s->err, sizeof s->err), -EIO);
	assert_non_null(strstr(s->err, "token"));
	assert_int_equal(scene_prompt(s, 1), 0);
	assert_same_as_unsplit(s, 1);
	free(many);
	scene_close(s);
}

/* ---- latency ---- */

static void the_parts_of_a_layers_latency_sum_to_the_whole(void **state)
{
	(void)state;
	struct scene *s = scene_open(two_devices, NULL);
	size_t n;
	scene_attach(s);
	assert_int_equal(scene_prompt(s, 5), 0);
	const struct layer_record *layers = session_layers(s->session, &n);
	assert_int_equal(n, 5 * lockstep_model(scene_lockstep(s))->shape.n_layer);
	double end_s = inference_start_s(scene_inference(s), 0);
	for (size_t i = 0; i < n; i++) {
		const struct layer_record *r = &layers[i];
		double sum = r->waiting_s + r->downlink_s + r->compute_s + r->uplink_s;
		assert_true(sum > r->latency_s - 1e-9 && sum < r->latency_s + 1e-9);
		assert_true(r->waiting_s >= -1e-9 && r->downlink_s > 0 && r->compute_s > 0 && r->uplink_s > 0);
		assert_int_equal(r->index, i);
		assert_true(r->t_start_s >= end_s); /* one layer after the other */
		end_s = r->t_start_s + r->latency_s;
		assert_int_equal(r->n_tokens, i < 2 ? N_PROMPT : 1);
		assert_int_equal(r->prompt, i < 2);
	}
	assert_true(inference_end_s(scene_inference(s), 0) >= end_s);
	scene_close(s);
}

/* ---- nothing passes but samples ---- */

static void dark_from_the_start(enum ether_dir dir, const char *device_state)
{
	static const char *const sets[] = { "timers.attach_timeout_ms=150", NULL };
	struct scene *s = scene_open(two_devices, sets);
	char expected[128];
	darken(s, 1, dir, 0, for_ever);
	assert_int_equal(session_attach(s->session, s->err, sizeof s->err), -ETIMEDOUT);
	snprintf(expected, sizeof expected, "device 1 is not attached after 150 ms: its state is %s", device_state);
	assert_string_equal(s->err, expected);
	assert_int_equal(cell_state(scene_cell(s), 0), CELL_ATTACHED);
	assert_int_equal(cell_state(scene_cell(s), 1), CELL_ABSENT);
	scene_close(s);
}

static void a_device_that_hears_nothing_never_attaches(void **state)
{
	(void)state;
	dark_from_the_start(ETHER_DL, "search");
}

static void a_device_that_nobody_hears_never_attaches(void **state)
{
	(void)state;
	dark_from_the_start(ETHER_UL, "access");
}

/* From the slot after attaching on. The line names layer, expert and device, and only the one in the dark. */
static void dark_from_now_on(enum ether_dir dir)
{
	static const char *const sets[] = { "timers.call_timeout_ms=100", NULL };
	struct scene *s = scene_open(two_devices, sets);
	unsigned layer, expert, device;
	scene_attach(s);
	darken(s, 1, dir, (double)lockstep_n_slots(scene_lockstep(s)), for_ever);
	uint64_t before = device_worker_stats(lockstep_device(scene_lockstep(s), 1)).calls;
	assert_int_equal(scene_prompt(s, 4), -EIO);
	assert_int_equal(
	        sscanf(s->err, "layer %u expert %u on device %u: no answer in 100 ms", &layer, &expert, &device), 3);
	assert_null(strchr(s->err, '\n'));
	assert_int_equal(device, 1);
	assert_int_equal(expert % 2, 1);
	assert_true(expert < 4 && layer < 2);
	if (dir == ETHER_DL)
		assert_int_equal(device_worker_stats(lockstep_device(scene_lockstep(s), 1)).calls, before);
	size_t n;
	generation_tokens(inference_generation(scene_inference(s), 0), &n);
	assert_int_equal(n, 0);
	scene_close(s);
}

static void without_downlink_service_stops(void **state)
{
	(void)state;
	dark_from_now_on(ETHER_DL);
}

static void without_uplink_service_stops(void **state)
{
	(void)state;
	dark_from_now_on(ETHER_UL);
}

static void a_device_that_dies_in_a_run_ends_it_with_one_line(void **state)
{
	(void)state;
	static const char *const sets[] = { "timers.call_timeout_ms=150", NULL };
	struct scene *s = scene_open(two_devices, sets);
	unsigned layer, expert, device;
	size_t n_tokens, n_layers;
	scene_attach(s);
	double dies = (double)lockstep_n_slots(scene_lockstep(s)) + 120; /* 60 ms: some tokens are out by then */
	darken(s, 0, ETHER_DL, dies, for_ever);
	darken(s, 0, ETHER_UL, dies, for_ever);
	assert_int_equal(scene_prompt(s, 100), -EIO);
	assert_int_equal(
	        sscanf(s->err, "layer %u expert %u on device %u: no answer in 150 ms", &layer, &expert, &device), 3);
	assert_int_equal(device, 0);
	generation_tokens(inference_generation(scene_inference(s), 0), &n_tokens);
	session_layers(s->session, &n_layers);
	assert_true(n_tokens > 0);
	assert_int_equal(n_layers, 2 * n_tokens + layer); /* everything up to there is kept */
	scene_close(s);
}

/* ---- lost, and back ---- */

/* Both directions of device 0 dark for n slots, in the middle of a call. */
static struct scene *run_through_an_outage(double n_slots, const char *const *sets)
{
	struct scene *s = scene_open(two_devices, sets);
	scene_attach(s);
	double from = (double)lockstep_n_slots(scene_lockstep(s)) + 20;
	darken(s, 0, ETHER_DL, from, from + n_slots);
	darken(s, 0, ETHER_UL, from, from + n_slots);
	if (scene_prompt(s, 20))
		fail_msg("%s", s->err);
	assert_same_as_unsplit(s, 20);
	return s;
}

static void a_lost_device_comes_back_through_access(void **state)
{
	(void)state;
	static const char *const sets[] = { "timers.lost_after_ms=20", NULL };
	struct scene *s = run_through_an_outage(120, sets);
	struct device_stats d = device_stats(lockstep_device(scene_lockstep(s), 0));
	struct cell_device_stats c = cell_device_stats(scene_cell(s), 0);
	assert_true(d.transitions[DEVICE_ACCESS] >= 2);
	assert_int_equal(d.transitions[DEVICE_SEARCH], 0); /* it starts there, and never came back to it */
	assert_true(c.losses >= 1);
	assert_int_equal(c.attaches, c.losses + 1);
	assert_true(inference_stats(scene_inference(s)).calls_sent_again >= 1);
	assert_int_equal(cell_device_stats(scene_cell(s), 1).losses, 0);
	scene_close(s);
}

/* Both devices hold everything: the other one takes over what the lost one was asked for. */
static void replicas_take_over_from_a_device_that_dies(void **state)
{
	(void)state;
	static const char *const sets[] = { "moe.replicas=2", "timers.lost_after_ms=20", "timers.call_timeout_ms=150",
		                            NULL };
	struct scene *s = scene_open(two_devices, sets);
	scene_attach(s);
	double dies = (double)lockstep_n_slots(scene_lockstep(s)) + 20;
	darken(s, 0, ETHER_DL, dies, for_ever);
	darken(s, 0, ETHER_UL, dies, for_ever);
	if (scene_prompt(s, 10))
		fail_msg("%s", s->err);
	assert_same_as_unsplit(s, 10);
	assert_int_equal(cell_state(scene_cell(s), 0), CELL_ABSENT);
	assert_true(inference_ready(scene_inference(s)));
	assert_true(inference_stats(scene_inference(s)).calls_moved >= 1);
	scene_close(s);
}

static void a_device_dark_for_long_comes_back_through_search(void **state)
{
	(void)state;
	struct scene *s = run_through_an_outage(900, NULL);
	struct device_stats d = device_stats(lockstep_device(scene_lockstep(s), 0));
	assert_true(d.transitions[DEVICE_SEARCH] >= 1);
	assert_true(cell_device_stats(scene_cell(s), 0).attaches >= 2);
	assert_true(inference_stats(scene_inference(s)).calls_sent_again >= 1);
	scene_close(s);
}

static void so_does_one_whose_clock_is_20_ppm_off(void **state)
{
	(void)state;
	static const char *const sets[] = { "devices[0].osc_ppm=20", NULL };
	struct scene *s = run_through_an_outage(900, sets);
	assert_true(device_stats(lockstep_device(scene_lockstep(s), 0)).transitions[DEVICE_SEARCH] >= 1);
	assert_true(cell_device_stats(scene_cell(s), 0).attaches >= 2);
	scene_close(s);
}

static void a_short_fade_costs_time_but_no_connection(void **state)
{
	(void)state;
	struct scene *s = run_through_an_outage(60, NULL); /* 30 ms of the 200 after which a link counts as lost */
	assert_int_equal(cell_device_stats(scene_cell(s), 0).losses, 0);
	assert_int_equal(inference_stats(scene_inference(s)).calls_sent_again, 0);
	scene_close(s);
}

/* Lost between two prompts: the next one waits for it. */
static void a_device_lost_while_idle_is_waited_for(void **state)
{
	(void)state;
	static const char *const sets[] = { "timers.lost_after_ms=20", NULL };
	struct scene *s = scene_open(two_devices, sets);
	scene_attach(s);
	double from = (double)lockstep_n_slots(scene_lockstep(s));
	darken(s, 0, ETHER_DL, from, from + 150);
	darken(s, 0, ETHER_UL, from, from + 150);
	assert_int_equal(session_settle(s->session, 100), 0);
	assert_int_equal(cell_state(scene_cell(s), 0), CELL_ABSENT);
	assert_false(inference_ready(scene_inference(s)));
	if (scene_prompt(s, 2))
		fail_msg("%s", s->err);
	assert_same_as_unsplit(s, 2);
	scene_close(s);
}

/* ---- single slots lost ---- */

enum { HITS = 20, SPARED = 3 }; /* one of three chances is taken, so many times */

struct saboteur {
	struct scene *scene;
	uint64_t chances, hits, blocks_seen;
};

static bool takes(struct saboteur *b)
{
	bool now = b->chances++ % SPARED == 0 && b->hits < HITS;
	b->hits += now;
	return now;
}

/* A new block for device 0 is in the slot built last: that slot will not reach it. */
static void hide_grants(void *arg, struct session *session)
{
	struct saboteur *b = arg;
	double built =
	        (double)lockstep_n_slots(session_lockstep(session)) - 1 + (double)b->scene->config.radio.tx_ahead_slots;
	uint64_t blocks = cell_device_stats(scene_cell(b->scene), 0).blocks[CELL_DL];
	if (blocks != b->blocks_seen && takes(b))
		darken(b->scene, 0, ETHER_DL, built, built + 1);
	b->blocks_seen = blocks;
}

/* The same for a grant of the uplink: the device stays silent where it was to send. */
static void hide_uplink_grants(void *arg, struct session *session)
{
	struct saboteur *b = arg;
	double built =
	        (double)lockstep_n_slots(session_lockstep(session)) - 1 + (double)b->scene->config.radio.tx_ahead_slots;
	uint64_t blocks = cell_device_stats(scene_cell(b->scene), 0).blocks[CELL_UL];
	if (blocks != b->blocks_seen && takes(b))
		darken(b->scene, 0, ETHER_DL, built, built + 1);
	b->blocks_seen = blocks;
}

/* Device 0 has decoded a block, in the latest slot or the one before: the uplink slot two later is lost. */
static void hide_acknowledgements(void *arg, struct session *session)
{
	struct saboteur *b = arg;
	double next = (double)lockstep_n_slots(session_lockstep(session));
	uint64_t blocks = device_stats(lockstep_device(session_lockstep(session), 0)).dl_blocks_ok;
	if (blocks != b->blocks_seen && takes(b))
		darken(b->scene, 0, ETHER_UL, next, next + 2);
	b->blocks_seen = blocks;
}

static struct scene *run_with_saboteur(void (*on_slot)(void *arg, struct session *session))
{
	struct scene *s = scene_open(two_devices, NULL);
	struct saboteur b = { .scene = s };
	scene_attach(s);
	session_on_slot(s->session, on_slot, &b);
	if (scene_prompt(s, 40))
		fail_msg("%s", s->err);
	assert_same_as_unsplit(s, 40);
	assert_int_equal(b.hits, HITS);
	assert_int_equal(cell_device_stats(scene_cell(s), 0).losses, 0);
	return s;
}

static void lost_grants_are_repaired(void **state)
{
	(void)state;
	struct scene *s = run_with_saboteur(hide_grants);
	assert_true(cell_device_stats(scene_cell(s), 0).harq[CELL_DL].n_silent >=
	            HITS / 2); /* no answer to a block nobody saw */
	scene_close(s);
}

static void lost_uplink_grants_are_told_from_lost_blocks(void **state)
{
	(void)state;
	struct scene *s = run_with_saboteur(hide_uplink_grants);
	struct cell_device_stats c = cell_device_stats(scene_cell(s), 0);
	assert_true(c.harq[CELL_UL].n_silent >= HITS / 2); /* silence, not a NACK: from version 0 again */
	assert_int_equal(device_stats(lockstep_device(scene_lockstep(s), 0)).ul_blocks_unknown, 0);
	assert_int_equal(c.messages_bad, 0);
	scene_close(s);
}

static void lost_acknowledgements_are_repaired(void **state)
{
	(void)state;
	struct scene *s = run_with_saboteur(hide_acknowledgements);
	assert_true(cell_device_stats(scene_cell(s), 0).harq[CELL_DL].n_silent >= HITS / 2);
	/* It was delivered: the device knows the block when it comes again. */
	assert_true(device_stats(lockstep_device(scene_lockstep(s), 0)).dl_blocks_repeated >= HITS / 2);
	scene_close(s);
}

/* ---- determinism ---- */

struct footprint {
	char hash[LOGITS_HASH_HEX];
	struct layer_record *layers;
	size_t n_layers;
	uint8_t *journal;
	size_t n_journal;
	double attached_s;
};

static struct footprint leave_footprint(const char *threads, const char *seed)
{
	const char *const sets[] = { threads, seed, "csi_log=every 3 slots", NULL };
	struct footprint f = { 0 };
	char dir[] = "/tmp/wdmoe-test-lockstep-XXXXXX", path[128], err[256];
	struct journal *journal;
	struct scene *s = scene_open(two_devices, sets);
	assert_non_null(mkdtemp(dir));
	json_t *metadata = json_object();
	assert_int_equal(journal_create(dir, metadata, JOURNAL_WAIT, &journal, err, sizeof err), 0);
	json_decref(metadata);
	session_set_journal(s->session, journal);
	scene_attach(s);
	f.attached_s = session_attached_s(s->session);
	assert_int_equal(scene_prompt(s, 4), 0);
	assert_int_equal(journal_close(journal), 0);
	generation_hash_hex(inference_generation(scene_inference(s), 0), f.hash);
	const struct layer_record *layers = session_layers(s->session, &f.n_layers);
	f.layers = malloc(f.n_layers * sizeof *layers);
	memcpy(f.layers, layers, f.n_layers * sizeof *layers);
	scene_close(s);
	snprintf(path, sizeof path, "%s/" JOURNAL_FILE_NAME, dir);
	FILE *file = fopen(path, "rb");
	fseek(file, 0, SEEK_END);
	f.n_journal = (size_t)ftell(file);
	rewind(file);
	f.journal = malloc(f.n_journal);
	assert_int_equal(fread(f.journal, 1, f.n_journal, file), f.n_journal);
	fclose(file);
	remove(path);
	remove(dir);
	return f;
}

static bool same_layers(const struct footprint *a, const struct footprint *b)
{
	bool same = a->n_layers == b->n_layers;
	for (size_t i = 0; same && i < a->n_layers; i++)
		same = a->layers[i].latency_s == b->layers[i].latency_s &&
		       a->layers[i].compute_s == b->layers[i].compute_s &&
		       a->layers[i].uplink_s == b->layers[i].uplink_s &&
		       a->layers[i].downlink_s == b->layers[i].downlink_s &&
		       a->layers[i].t_start_s == b->layers[i].t_start_s &&
		       a->layers[i].predicted_s == b->layers[i].predicted_s;
	return same;
}

static void forget(struct footprint *f)
{
	free(f->layers);
	free(f->journal);
}

static void one_seed_leaves_the_same_bytes_for_any_number_of_threads(void **state)
{
	(void)state;
	struct footprint a = leave_footprint("threads=1", "seed=5"), b = leave_footprint("threads=3", "seed=5");
	assert_string_equal(a.hash, b.hash);
	assert_true(a.attached_s == b.attached_s);
	assert_true(same_layers(&a, &b));
	assert_true(a.n_journal > 100000); /* there is something in it */
	assert_int_equal(a.n_journal, b.n_journal);
	assert_memory_equal(a.journal, b.journal, a.n_journal);
	forget(&a);
	forget(&b);
}

static void another_seed_is_another_run_of_the_same_answer(void **state)
{
	(void)state;
	struct footprint a = leave_footprint("threads=1", "seed=5"), b = leave_footprint("threads=1", "seed=6");
	assert_string_equal(a.hash, b.hash);
	assert_false(same_layers(&a, &b));
	assert_false(a.n_journal == b.n_journal && !memcmp(a.journal, b.journal, a.n_journal));
	forget(&a);
	forget(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_device_answers_as_the_unsplit_model),
		cmocka_unit_test(two_devices_over_fading_channels_answer_as_the_unsplit_model),
		cmocka_unit_test(the_cut_into_chunks_and_calls_changes_no_bit),
		cmocka_unit_test(the_expert_map_changes_no_bit),
		cmocka_unit_test(rows_travel_once_for_all_experts_of_a_device),
		cmocka_unit_test(experts_left_out_on_purpose_are_left_out_alike),
		cmocka_unit_test(a_second_prompt_starts_afresh),
		cmocka_unit_test(prompts_that_cannot_be_run_are_refused_and_the_next_one_runs),
		cmocka_unit_test(the_parts_of_a_layers_latency_sum_to_the_whole),
		cmocka_unit_test(a_device_that_hears_nothing_never_attaches),
		cmocka_unit_test(a_device_that_nobody_hears_never_attaches),
		cmocka_unit_test(without_downlink_service_stops),
		cmocka_unit_test(without_uplink_service_stops),
		cmocka_unit_test(a_device_that_dies_in_a_run_ends_it_with_one_line),
		cmocka_unit_test(a_lost_device_comes_back_through_access),
		cmocka_unit_test(replicas_take_over_from_a_device_that_dies),
		cmocka_unit_test(a_device_dark_for_long_comes_back_through_search),
		cmocka_unit_test(so_does_one_whose_clock_is_20_ppm_off),
		cmocka_unit_test(a_short_fade_costs_time_but_no_connection),
		cmocka_unit_test(a_device_lost_while_idle_is_waited_for),
		cmocka_unit_test(lost_grants_are_repaired),
		cmocka_unit_test(lost_uplink_grants_are_told_from_lost_blocks),
		cmocka_unit_test(lost_acknowledgements_are_repaired),
		cmocka_unit_test(one_seed_leaves_the_same_bytes_for_any_number_of_threads),
		cmocka_unit_test(another_seed_is_another_run_of_the_same_answer),
	};
	return cmocka_run_group_tests_name("lockstep", tests, NULL, NULL);
}
