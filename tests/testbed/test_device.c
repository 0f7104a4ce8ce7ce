/* A device on a wire: its states from cold start on, what it sends and when it is silent, what it refuses. */
#include "testbed/call.h"
#include "tests/testbed/wire.h"

#include "phy/ofdm.h"

/* ---- attaching ---- */

static void a_device_goes_from_search_to_attached(void **state)
{
	(void)state;
	struct wire *w = wire_create(true, mini_path);
	assert_int_equal(device_state(w->device), DEVICE_SEARCH);
	wire_attach(w);
	struct device_stats s = device_stats(w->device);
	for (int i = DEVICE_LISTEN; i <= DEVICE_ATTACHED; i++)
		assert_int_equal(s.transitions[i], 1);
	assert_int_equal(bs_stats(w->bs).welcomed, 1);
	assert_true(inference_ready(bs_inference(w->bs)));
	assert_true(fabs((double)device_path_loss_db(w->device)) < 0.5);
	wire_destroy(w);
}

static void it_stays_attached_with_nothing_to_do(void **state)
{
	(void)state;
	struct wire *w = wire_create(true, mini_path);
	wire_attach(w);
	wire_run(w, 1000);
	assert_int_equal(device_state(w->device), DEVICE_ATTACHED);
	assert_int_equal(device_stats(w->device).transitions[DEVICE_ACCESS], 1);
	assert_int_equal(cell_device_stats(bs_cell(w->bs), 0).losses, 0);
	wire_destroy(w);
}

/* ---- silence ---- */

struct listener {
	struct ofdm *ofdm;
	unsigned sends;
	enum device_state state; /* in which the device was when it sent last */
	double wanted, stray;    /* energy where a preamble is, and everywhere else */
	bool only_access_slots;
};

static void deafen(struct wire *w, uint64_t slot, float complex *samples)
{
	(void)slot;
	memset(samples, 0, w->num.slot_len * sizeof *samples);
}

static void listen(struct wire *w, const struct device_tx *tx)
{
	struct listener *l = w->arg;
	float complex grid[PHY_SYMBOLS_MAX * 256];
	uint64_t slot = (tx->t_samples + w->num.slot_len / 2) / w->num.slot_len;
	ofdm_demodulate(l->ofdm, tx->samples, grid);
	l->sends++;
	l->state = device_state(w->device);
	l->only_access_slots = l->only_access_slots && layout_is_access_slot(slot);
	for (size_t symbol = 0; symbol < w->num.n_symbols; symbol++)
		for (size_t k = 0; k < w->num.n_sc; k++) {
			float complex re = grid[symbol * w->num.n_sc + k];
			double power = (double)(crealf(re) * crealf(re) + cimagf(re) * cimagf(re));
			*(symbol < w->num.format->n_ul_data && k < ACCESS_SC ? &l->wanted : &l->stray) += power;
		}
}

static void unattached_it_sends_preambles_and_nothing_else(void **state)
{
	(void)state;
	struct wire *w = wire_create(true, mini_path);
	struct listener l = { .ofdm = ofdm_create(&w->num, numerology_backoff(&w->num)), .only_access_slots = true };
	w->arg = &l;
	w->on_sent = listen;
	w->on_uplink = deafen; /* so that nobody ever answers */
	wire_run(w, 400);
	assert_int_equal(device_state(w->device), DEVICE_ACCESS);
	assert_in_range(l.sends, 30, 40); /* of the 40 access slots all after it had found the cell */
	assert_true(l.only_access_slots);
	assert_true(l.wanted > 0);
	assert_true(l.stray < 1e-8 * l.wanted); /* what its small frequency correction smears over */
	assert_int_equal(cell_device_stats(bs_cell(w->bs), 0).accesses, 0);
	ofdm_destroy(l.ofdm);
	wire_destroy(w);
}

static void without_a_cell_it_sends_nothing(void **state)
{
	(void)state;
	struct wire *w = wire_create(true, mini_path);
	struct listener l = { .ofdm = ofdm_create(&w->num, numerology_backoff(&w->num)) };
	w->arg = &l;
	w->on_sent = listen;
	w->on_downlink = deafen;
	wire_run(w, 400);
	assert_int_equal(device_state(w->device), DEVICE_SEARCH);
	assert_int_equal(l.sends, 0);
	ofdm_destroy(l.ofdm);
	wire_destroy(w);
}

/* ---- timing advance ---- */

/* What a device without a valid timing advance sends besides its preamble. */
struct witness {
	struct listener l;
	double stray; /* energy, while the advance was not valid */
	unsigned sends, sends_without;
};

static void watch_advance(struct wire *w, const struct device_tx *tx)
{
	struct witness *v = w->arg;
	double wanted = v->l.wanted, stray = v->l.stray;
	int units;
	w->arg = &v->l;
	listen(w, tx);
	w->arg = v;
	v->sends++;
	if (device_advance(w->device, &units)) {
		v->l.wanted = wanted;
		v->l.stray = stray;
		return;
	}
	v->sends_without++;
	assert_int_equal(device_state(w->device), DEVICE_ACCESS);
}

static struct witness witness(struct wire *w)
{
	return (struct witness){ .l = { .ofdm = ofdm_create(&w->num, numerology_backoff(&w->num)) } };
}

static void assert_only_preambles(struct witness *v, unsigned at_least)
{
	assert_true(v->sends_without >= at_least);
	assert_true(v->l.wanted > 0);
	assert_true(v->l.stray < 1e-6 * v->l.wanted);
	ofdm_destroy(v->l.ofdm);
}

/* Dark until the search begins anew: the old advance is not good any more, and nothing but preambles goes out before
 * the new answer. */
static void after_loss_of_sync_it_asks_for_access_before_anything_else(void **state)
{
	(void)state;
	struct wire *w = wire_create(true, mini_path);
	wire_attach(w);
	struct witness v = witness(w);
	w->arg = &v;
	w->on_sent = watch_advance;
	w->on_downlink = deafen;
	for (int i = 0; i < 1000 && device_state(w->device) != DEVICE_SEARCH; i++)
		wire_slot(w);
	assert_int_equal(device_state(w->device), DEVICE_SEARCH);
	int units;
	assert_false(device_advance(w->device, &units));
	w->on_downlink = NULL;
	wire_attach(w);
	assert_true(device_advance(w->device, &units));
	assert_only_preambles(&v, 1);
	wire_destroy(w);
}

/* ---- hybrid ARQ ---- */

/* Data symbols of the downlink arrive as noise; control, pilots and what they bring as ever. */
static void drown_data(struct wire *w, float complex *samples)
{
	const struct slot_format *f = w->num.format;
	for (size_t l = f->n_control; l < w->num.n_symbols; l++)
		if (l != f->pilot[0] && l != f->pilot[1])
			for (size_t i = numerology_symbol_start(&w->num, l);
			     i < numerology_symbol_start(&w->num, l + 1); i++)
				samples[i] = (float complex)(0.3 * (wire_uniform(&w->noise) - 0.5) +
				                             0.3 * I * (wire_uniform(&w->noise) - 0.5));
}

static void a_block_lost_every_time_is_reported_lost_and_the_message_still_arrives(void **state)
{
	(void)state;
	struct wire *w = wire_create(true, mini_path);
	const struct message call = { .type = MESSAGE_CALL, .seq = 1, .layer = 99 };
	wire_attach(w);
	w->on_heard = drown_data;
	assert_int_equal(cell_send(bs_cell(w->bs), 0, &call, NULL), 0);
	wire_run(w, 40);
	struct cell_device_stats c = cell_device_stats(bs_cell(w->bs), 0);
	uint64_t bad = device_stats(w->device).dl_blocks_bad;
	assert_true(c.harq[CELL_DL].n_failed > 0);
	assert_int_equal(c.arq.blocks_lost, c.harq[CELL_DL].n_failed);
	assert_true(bad >= 4 * c.harq[CELL_DL].n_failed);      /* each was sent four times, and refused four times */
	assert_int_equal(c.harq[CELL_DL].n_silent, 0);         /* by a NACK: it saw the grants */
	assert_int_equal(device_stats(w->device).messages, 1); /* the welcome */
	assert_int_equal(device_arq_stats(w->device).malformed, 0);
	w->on_heard = NULL;
	wire_run(w, 80);
	assert_int_equal(device_stats(w->device).messages, 2);
	assert_int_equal(device_worker_stats(w->device).calls, 1);
	assert_int_equal(device_state(w->device), DEVICE_ATTACHED);
	wire_destroy(w);
}

/* The small model with one bit of its last weight changed. */
static void write_other_model(char path[64])
{
	strcpy(path, "/tmp/wdmoe-test-model-XXXXXX");
	FILE *in = fopen(mini_path, "rb"), *out = fdopen(mkstemp(path), "wb");
	int c, before = EOF;
	while ((c = fgetc(in)) != EOF) {
		if (before != EOF)
			fputc(before, out);
		before = c;
	}
	fputc(before ^ 1, out);
	fclose(in);
	fclose(out);
}

static void a_device_with_another_model_is_refused_and_stays_silent(void **state)
{
	(void)state;
	char path[64];
	write_other_model(path);
	struct wire *w = wire_create(true, path);
	remove(path);
	struct listener l = { .ofdm = ofdm_create(&w->num, numerology_backoff(&w->num)) };
	wire_run(w, 150);
	assert_int_equal(device_state(w->device), DEVICE_REFUSED);
	assert_int_equal(bs_stats(w->bs).refused, 1);
	assert_int_equal(bs_stats(w->bs).welcomed, 0);
	assert_false(inference_ready(bs_inference(w->bs)));
	w->arg = &l;
	w->on_sent = listen;
	wire_run(w, 300);
	w->on_downlink = deafen; /* nor does it ask again when it has lost the cell and finds it anew */
	wire_run(w, 500);
	w->on_downlink = NULL;
	wire_run(w, 300);
	assert_int_equal(l.sends, 0);
	assert_int_equal(device_state(w->device), DEVICE_REFUSED);
	assert_int_equal(cell_state(bs_cell(w->bs), 0), CELL_ABSENT);
	assert_int_equal(bs_stats(w->bs).refused, 1);
	ofdm_destroy(l.ofdm);
	wire_destroy(w);
}

/* ---- a base station of the test's own ---- */

struct own_bs {
	struct dl_tx *tx;
	struct sysinfo sysinfo;
	struct dci dci;
	bool send_dci, send_data;
	uint64_t random;
	uint64_t granted;
	struct witness witness;
};

static void speak(struct wire *w, uint64_t slot, float complex *samples)
{
	struct own_bs *b = w->arg;
	uint8_t tb[1 << 14];
	dl_tx_begin(b->tx, slot);
	b->sysinfo.slot = (uint32_t)slot;
	if (layout_is_sync_slot(slot))
		assert_int_equal(dl_tx_sysinfo(b->tx, &b->sysinfo, 8), 0);
	else if (b->send_dci)
		assert_int_equal(dl_tx_dci(b->tx, &b->dci, 4), 0);
	size_t n = b->send_dci && b->send_data && b->dci.has_dl ? dl_tb_bytes(w->layout, &b->dci.dl) : 0;
	for (size_t i = 0; i < n; i++)
		tb[i] = (uint8_t)wire_draw(&b->random);
	if (n && !layout_is_sync_slot(slot)) {
		tb[0] = (uint8_t)(wire_draw(&b->random) % 4); /* a kind of PDU that exists, mostly */
		assert_int_equal(dl_tx_data(b->tx, 0, &b->dci.dl, tb, n), 0);
		b->granted++;
	}
	dl_tx_finish(b->tx, samples);
}

static struct wire *wire_with_own_bs(struct own_bs *b)
{
	struct wire *w = wire_create(true, mini_path);
	*b = (struct own_bs){
		.tx = dl_tx_create(w->layout, CELL_ID, power_re_amplitude(re_dbm, full_scale_dbm, w->num.n_fft)),
		.sysinfo = { .dl_re_dbm = (int8_t)re_dbm,
		             .ul_target_dbm = (int8_t)re_dbm,
		             .n_groups = 1,
		             .ack_delay = 2,
		             .grant_delay = 2,
		             .round_trip = 8,
		             .cell_id = CELL_ID,
		             .version = DCI_VERSION },
	};
	w->arg = b;
	w->on_downlink = speak;
	return w;
}

static void another_version_of_the_air_interface_is_not_asked_for_access(void **state)
{
	(void)state;
	struct own_bs b;
	struct wire *w = wire_with_own_bs(&b);
	b.sysinfo.version = DCI_VERSION + 1;
	wire_run(w, 200);
	assert_int_equal(device_state(w->device), DEVICE_REFUSED);
	assert_int_equal(device_stats(w->device).transitions[DEVICE_REFUSED], 1);
	assert_int_equal(device_stats(w->device).slots[DEVICE_ACCESS], 0);
	dl_tx_destroy(b.tx);
	wire_destroy(w);
}

static void system_information_of_another_cell_is_ignored(void **state)
{
	(void)state;
	struct own_bs b;
	struct wire *w = wire_with_own_bs(&b);
	dl_tx_destroy(b.tx);
	b.sysinfo.cell_id = CELL_ID + 3; /* the same sync sequence */
	b.tx = dl_tx_create(w->layout, b.sysinfo.cell_id, power_re_amplitude(re_dbm, full_scale_dbm, w->num.n_fft));
	wire_run(w, 50);
	assert_int_equal(device_state(w->device), DEVICE_LISTEN);
	dl_tx_destroy(b.tx);
	b.sysinfo.cell_id = CELL_ID;
	b.tx = dl_tx_create(w->layout, CELL_ID, power_re_amplitude(re_dbm, full_scale_dbm, w->num.n_fft));
	wire_run(w, 100);
	assert_int_equal(device_state(w->device), DEVICE_ACCESS);
	dl_tx_destroy(b.tx);
	wire_destroy(w);
}

static void watch_own(struct wire *w, const struct device_tx *tx)
{
	struct own_bs *b = w->arg;
	w->arg = &b->witness;
	watch_advance(w, tx);
	w->arg = b;
}

/* Grants go on, but no command ever comes: the advance runs out, and with it everything but preambles. */
static void an_advance_nobody_speaks_of_runs_out(void **state)
{
	(void)state;
	struct own_bs b;
	struct wire *w = wire_with_own_bs(&b);
	b.witness = witness(w);
	wire_run(w, 60);
	assert_int_equal(device_state(w->device), DEVICE_ACCESS);
	b.send_dci = true;
	b.dci = (struct dci){ .has_command = true, .command = { .access_answer = true, .timing = 5 } };
	wire_slot(w);
	b.dci = (struct dci){ .has_ul = true, .ul = { .rbs = { { 0x3ffff } }, .mcs = 3 } };
	wire_run(w, 4);
	int units;
	assert_true(device_advance(w->device, &units));
	assert_int_equal(units, 5);
	wire_run(w, LOST_AFTER + 4);
	assert_false(device_advance(w->device, &units));
	assert_int_equal(device_state(w->device), DEVICE_ACCESS);
	w->on_sent = watch_own;
	wire_run(w, 50);
	assert_only_preambles(&b.witness, 4);
	dl_tx_destroy(b.tx);
	wire_destroy(w);
}

static struct rb_set random_rbs(uint64_t *random)
{
	struct rb_set s = { { 0 } };
	do
		s.bits[0] = wire_draw(random) & wire_draw(random) & ((1u << 18) - 1);
	while (rb_set_empty(&s));
	return s;
}

static struct grant random_grant(uint64_t *random)
{
	return (struct grant){ .rbs = random_rbs(random),
		               .mcs = (uint8_t)(wire_draw(random) % 32),
		               .harq_id = (uint8_t)(wire_draw(random) % 16),
		               .ndi = (uint8_t)(wire_draw(random) % 2),
		               .rv = (uint8_t)(wire_draw(random) % 2 * (wire_draw(random) % 4)) };
}

/* Grants of any MCS, process, version and RBs, right or impossible, with blocks full of nonsense: the device lives, and
 * can still be reached. */
static void grants_and_blocks_of_nonsense_do_no_harm(void **state)
{
	(void)state;
	struct own_bs b;
	struct wire *w = wire_with_own_bs(&b);
	wire_run(w, 60);
	assert_int_equal(device_state(w->device), DEVICE_ACCESS);
	b.send_dci = true;
	b.dci = (struct dci){ .has_command = true, .command.access_answer = true };
	b.random = 3;
	wire_slot(w);
	for (int i = 0; i < 1500; i++) {
		bool answer = i % 50 == 49;
		b.dci = (struct dci){ .has_command = answer,
			              .command = { .access_answer = answer, .timing = (int8_t)(answer * (i % 128)) },
			              .has_dl = !answer,
			              .has_ul = !answer && i % 3 > 0 };
		b.dci.dl = random_grant(&b.random);
		b.dci.ul = random_grant(&b.random);
		b.send_data = b.dci.has_dl && dl_tb_bytes(w->layout, &b.dci.dl) > 0;
		wire_slot(w);
		assert_in_range(device_state(w->device), DEVICE_ACCESS, DEVICE_ATTACHED);
	}
	struct device_stats s = device_stats(w->device);
	assert_true(s.dl_blocks_ok > 200);
	assert_true(s.ul_grants > 600);
	assert_true(device_arq_stats(w->device).malformed > 100);
	assert_int_equal(s.transitions[DEVICE_ATTACHED], 0);
	w->on_downlink = NULL; /* the real one again: unknown to it, the device asks for access in time */
	wire_run(w, 2 * LOST_AFTER);
	wire_attach(w);
	dl_tx_destroy(b.tx);
	wire_destroy(w);
}

/* ---- messages out of place ---- */

static void tell(struct wire *w, const struct message *m, const void *payload)
{
	assert_int_equal(cell_send(bs_cell(w->bs), 0, m, payload), 0);
	wire_run(w, 12);
}

static void messages_that_do_not_belong_there_are_counted_and_dropped(void **state)
{
	(void)state;
	struct wire *w = wire_create(true, mini_path);
	static const uint8_t wrong[] = { MESSAGE_HELLO, MESSAGE_WELCOME, MESSAGE_REFUSE, MESSAGE_RESULT };
	wire_attach(w);
	for (size_t i = 0; i < sizeof wrong; i++) {
		tell(w, &(struct message){ .type = wrong[i] }, NULL);
		assert_int_equal(device_stats(w->device).messages_bad, i + 1);
		assert_int_equal(device_state(w->device), DEVICE_ATTACHED);
	}
	wire_destroy(w);
}

static void a_call_before_the_welcome_is_dropped(void **state)
{
	(void)state;
	struct wire *w = wire_create(true, mini_path);
	while (cell_state(bs_cell(w->bs), 0) != CELL_ANSWERED)
		wire_slot(w);
	assert_int_equal(cell_send(bs_cell(w->bs), 0, &(struct message){ .type = MESSAGE_CALL, .seq = 1 }, NULL), 0);
	wire_attach(w);
	wire_run(w, 20);
	assert_int_equal(device_stats(w->device).messages_bad, 1);
	assert_int_equal(device_worker_stats(w->device).calls, 0);
	wire_destroy(w);
}

static void calls_out_of_order_or_repeated_are_dropped_and_bad_ones_answered(void **state)
{
	(void)state;
	struct wire *w = wire_create(true, mini_path);
	struct message call = { .type = MESSAGE_CALL, .seq = 5, .layer = 99 };
	wire_attach(w);
	tell(w, &call, NULL);
	tell(w, &call, NULL);
	call.seq = 4;
	tell(w, &call, NULL);
	struct worker_stats s = device_worker_stats(w->device);
	assert_int_equal(s.calls, 1);
	assert_int_equal(s.refused, 1);
	assert_int_equal(s.dropped, 2);
	assert_int_equal(inference_stats(bs_inference(w->bs)).stale, 1); /* the answer: nobody waits for it */
	assert_int_equal(device_state(w->device), DEVICE_ATTACHED);
	wire_destroy(w);
}

/* More calls than a device queues wait in the stream and are all answered. */
static void a_flood_of_calls_waits_and_is_served(void **state)
{
	(void)state;
	enum { FLOOD = 600 };
	struct wire *w = wire_create(true, mini_path);
	const struct codec *f32 = codec_by_name("f32");
	size_t n_embd = w->base->shape.n_embd;
	size_t n_payload = call_table_bytes(1, 1, false) + codec_bytes(f32, n_embd);
	uint8_t *row = calloc(1, n_payload);
	call_encode(&(struct call_choice){ 0 }, 1, 1, false, row);
	struct message call = { .type = MESSAGE_CALL,
		                .codec = f32->id,
		                .reply_codec = codec_by_name("int8")->id,
		                .rows = 1,
		                .choices = 1,
		                .n_payload = (uint32_t)n_payload };
	wire_attach(w);
	for (call.seq = 1; call.seq <= FLOOD; call.seq++)
		assert_int_equal(cell_send(bs_cell(w->bs), 0, &call, row), 0);
	wire_run(w, 1200);
	assert_int_equal(device_worker_stats(w->device).calls, FLOOD);
	assert_int_equal(device_worker_stats(w->device).rows, FLOOD);
	assert_int_equal(inference_stats(bs_inference(w->bs)).stale, FLOOD);
	assert_int_equal(device_stats(w->device).transitions[DEVICE_ACCESS], 1);
	free(row);
	wire_destroy(w);
}

/* ---- samples that are not numbers ---- */

static void poison(struct wire *w, float complex *samples)
{
	unsigned *left = w->arg;
	if (!*left)
		return;
	samples[(*left * 977) % w->num.slot_len] = *left % 2 ? CMPLXF(NAN, 0) : CMPLXF(0, -INFINITY);
	--*left;
}

static void samples_that_are_not_finite_are_refused_and_counted(void **state)
{
	(void)state;
	struct wire *w = wire_create(true, mini_path);
	unsigned left = 0;
	w->arg = &left;
	w->on_heard = poison;
	wire_attach(w);
	for (unsigned i = 1; i <= 5; i++) {
		left = 1;
		wire_slot(w);
		assert_int_equal(w->device_rc, -EINVAL);
		assert_null(device_csi(w->device));
		assert_int_equal(device_stats(w->device).non_finite, i);
		wire_run(w, 3);
		assert_int_equal(w->device_rc, 0);
		assert_non_null(device_csi(w->device));
	}
	assert_int_equal(device_state(w->device), DEVICE_ATTACHED);
	assert_true(isfinite(device_cfo_hz(w->device)) && isfinite(device_path_loss_db(w->device)));
	wire_destroy(w);
}

static void a_cold_start_survives_samples_that_are_not_finite(void **state)
{
	(void)state;
	struct wire *w = wire_create(true, mini_path);
	unsigned left = 7;
	w->arg = &left;
	w->on_heard = poison;
	wire_slot(w);
	assert_int_equal(w->device_rc, -EINVAL);
	wire_attach(w);
	assert_int_equal(device_stats(w->device).non_finite, 7);
	wire_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_goes_from_search_to_attached),
		cmocka_unit_test(it_stays_attached_with_nothing_to_do),
		cmocka_unit_test(unattached_it_sends_preambles_and_nothing_else),
		cmocka_unit_test(without_a_cell_it_sends_nothing),
		cmocka_unit_test(after_loss_of_sync_it_asks_for_access_before_anything_else),
		cmocka_unit_test(an_advance_nobody_speaks_of_runs_out),
		cmocka_unit_test(a_block_lost_every_time_is_reported_lost_and_the_message_still_arrives),
		cmocka_unit_test(a_device_with_another_model_is_refused_and_stays_silent),
		cmocka_unit_test(another_version_of_the_air_interface_is_not_asked_for_access),
		cmocka_unit_test(system_information_of_another_cell_is_ignored),
		cmocka_unit_test(grants_and_blocks_of_nonsense_do_no_harm),
		cmocka_unit_test(messages_that_do_not_belong_there_are_counted_and_dropped),
		cmocka_unit_test(a_call_before_the_welcome_is_dropped),
		cmocka_unit_test(calls_out_of_order_or_repeated_are_dropped_and_bad_ones_answered),
		cmocka_unit_test(a_flood_of_calls_waits_and_is_served),
		cmocka_unit_test(samples_that_are_not_finite_are_refused_and_counted),
		cmocka_unit_test(a_cold_start_survives_samples_that_are_not_finite),
	};
	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
