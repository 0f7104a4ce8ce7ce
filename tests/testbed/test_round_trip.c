/* However far ahead the nodes transmit, one device alone fills every slot of both directions: there are processes for
 * the whole round trip, and acknowledgements and grants find their slots. */
#include "testbed/call.h"
#include "tests/testbed/wire.h"

enum { SLOTS = 200, WARM_UP = 150, CALLS = 1600, ROWS = 8 };

/* Little is lost on the wire: the outer loop has no reason to try what might not come through. */
static const struct wire_options calm = {
	.tx_ahead = 2, .bler_target = 0.001, .mcs_margin_db = 6, .call_s = 1e-6, .tx_max_dbm = 27
};

/* Calls with more to carry up than down, and far more of both than the run can: the uplink does not run dry when a
 * block of the downlink comes late. */
static void queue_calls(struct wire *w)
{
	const struct codec *down = codec_by_name("f16");
	struct call_choice choices[ROWS];
	size_t table = call_table_bytes(ROWS, ROWS, false),
	       n_payload = table + ROWS * codec_bytes(down, w->base->shape.n_embd);
	uint8_t *payload = calloc(1, n_payload);
	for (uint16_t row = 0; row < ROWS; row++)
		choices[row] = (struct call_choice){ .row = row, .expert = 0 };
	call_encode(choices, ROWS, ROWS, false, payload);
	struct message call = { .type = MESSAGE_CALL,
		                .codec = down->id,
		                .reply_codec = codec_by_name("f32")->id,
		                .rows = ROWS,
		                .choices = ROWS,
		                .n_payload = (uint32_t)n_payload };
	for (call.seq = 1; call.seq <= CALLS; call.seq++)
		assert_int_equal(cell_send(bs_cell(w->bs), 0, &call, payload), 0);
	free(payload);
}

static void every_slot_is_filled(unsigned tx_ahead)
{
	struct wire_options o = calm;
	o.tx_ahead = tx_ahead;
	struct wire *w = wire_create_with(true, mini_path, &o);
	wire_attach(w);
	queue_calls(w);
	wire_run(w, WARM_UP);
	struct cell_device_stats before = cell_device_stats(bs_cell(w->bs), 0);
	wire_run(w, SLOTS);
	struct cell_device_stats after = cell_device_stats(bs_cell(w->bs), 0);
	for (int dir = 0; dir < 2; dir++) {
		uint64_t again = after.harq[dir].n_again - before.harq[dir].n_again;
		assert_int_equal(after.blocks[dir] - before.blocks[dir] + again, SLOTS);
		assert_in_range(after.harq[dir].n_delivered - before.harq[dir].n_delivered, SLOTS - 10, SLOTS + 10);
		assert_in_range(again, 0, 10);
		assert_int_equal(after.harq[dir].n_silent, 0);
	}
	/* and full of the stream, not of nothing */
	assert_true(after.blocks_empty == before.blocks_empty);
	assert_true(cell_dl_backlog(bs_cell(w->bs), 0) > 0);
	assert_int_equal(after.losses, 0);
	assert_int_equal(device_stats(w->device).dl_blocks_repeated, 0);
	wire_destroy(w);
}

static void with_1_slot_ahead_every_slot_is_filled(void **state)
{
	(void)state;
	every_slot_is_filled(1);
}

static void with_2_slots_ahead_every_slot_is_filled(void **state)
{
	(void)state;
	every_slot_is_filled(2);
}

static void with_3_slots_ahead_every_slot_is_filled(void **state)
{
	(void)state;
	every_slot_is_filled(3);
}

static void with_5_slots_ahead_every_slot_is_filled(void **state)
{
	(void)state;
	every_slot_is_filled(5);
}

static void with_8_slots_ahead_every_slot_is_filled(void **state)
{
	(void)state;
	every_slot_is_filled(8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_1_slot_ahead_every_slot_is_filled),
		cmocka_unit_test(with_2_slots_ahead_every_slot_is_filled),
		cmocka_unit_test(with_3_slots_ahead_every_slot_is_filled),
		cmocka_unit_test(with_5_slots_ahead_every_slot_is_filled),
		cmocka_unit_test(with_8_slots_ahead_every_slot_is_filled),
	};
	return cmocka_run_group_tests_name("round_trip", tests, NULL, NULL);
}
