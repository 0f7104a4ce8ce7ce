/* The control symbols of both directions without the rest of the slot: the channel is known and is 1, noise is added to
 * the grid. Every band, every level, messages where they do not belong; what is read at which SNR. */
#include "phy/dl_control.h"
#include "phy/mcs.h"
#include "phy/ul_control.h"
#include "tests/phy/channel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CELL = 300, DEVICE = 6, RE_MAX = PHY_SYMBOLS_MAX * PHY_SC_MAX };

struct region {
	struct numerology num;
	struct layout *layout;
	struct dl_control_tx *tx;
	struct dl_control_rx *rx;
	struct ul_control *ul;
	struct rng rng;
	struct dl_result res;
	struct dl_rx_stats stats;
};

static float complex grid[RE_MAX], ones[RE_MAX];
static float rb_noise[PHY_RB_MAX];

static struct region region_open(size_t n_rb, size_t n_symbols)
{
	struct region g = { .rng = { 7 } };
	char err[128];
	size_t n_fft = 128;
	while (n_fft < n_rb * PHY_RB_SC + 1)
		n_fft *= 2;
	assert_int_equal(numerology_init(&g.num, 30e3 * (double)n_fft, 30e3, n_rb, n_symbols, err, sizeof err), 0);
	g.layout = layout_create(&g.num, err, sizeof err);
	assert_non_null(g.layout);
	g.tx = dl_control_tx_create(g.layout, CELL);
	g.rx = dl_control_rx_create(g.layout, CELL, DEVICE);
	g.ul = ul_control_create(g.layout, CELL);
	assert_true(g.tx && g.rx && g.ul);
	for (size_t i = 0; i < RE_MAX; i++)
		ones[i] = 1;
	return g;
}

static void region_close(struct region *g)
{
	ul_control_destroy(g->ul);
	dl_control_rx_destroy(g->rx);
	dl_control_tx_destroy(g->tx);
	layout_destroy(g->layout);
}

static void add_noise(struct region *g, double snr_db)
{
	size_t n = g->num.n_symbols * g->num.n_sc;
	for (size_t rb = 0; rb < g->num.n_rb; rb++)
		rb_noise[rb] = (float)pow(10, -snr_db / 10);
	for (size_t i = 0; i < n; i++)
		grid[i] += (float complex)(pow(10, -snr_db / 20) * rng_normal(&g->rng));
}

/* What was added to the control symbols, through noise. */
static void receive(struct region *g, uint64_t slot, double snr_db)
{
	memset(grid, 0, sizeof grid);
	memset(&g->res, 0, sizeof g->res);
	dl_control_write(g->tx, 1, grid);
	add_noise(g, snr_db);
	struct block_channel channel = { .h = ones, .noise_var = rb_noise };
	dl_control_read(g->rx, slot, grid, &channel, rb_noise[0], &g->res, &g->stats);
}

static struct grant whole_band(const struct region *g, unsigned mcs)
{
	struct grant w = { .mcs = (uint8_t)mcs, .harq_id = 11, .ndi = 1, .rv = 2 };
	rb_set_add_range(&w.rbs, 0, g->num.n_rb);
	return w;
}

static struct dci message_of(const struct region *g, enum dci_size size, uint8_t device, unsigned mcs)
{
	return (struct dci){ .device = device,
		             .has_dl = true,
		             .has_ul = size == DCI_LONG,
		             .dl = whole_band(g, mcs),
		             .ul = whole_band(g, mcs) };
}

static int add_message(struct region *g, const struct dci *d, unsigned level)
{
	uint8_t payload[DCI_BYTES_MAX];
	assert_int_equal(dci_pack(d, g->num.n_rb, payload), 0);
	return dl_control_add(g->tx, dci_size_of(d), payload, d->device + 1u, level);
}

/* ---- levels ---- */

static void levels_are_powers_of_two_and_the_whole_region_up_to_16(void **state)
{
	(void)state;
	static const struct {
		size_t n_rb, n_symbols, n_cce, n;
		unsigned levels[DL_LEVELS_MAX];
	} cases[] = {
		{ 18, 14, 12, 5, { 12, 8, 4, 2, 1 } },
		{ 18, 7, 8, 4, { 8, 4, 2, 1 } },
		{ 6, 7, 2, 2, { 2, 1 } },
		{ 9, 14, 6, 4, { 6, 4, 2, 1 } },
		{ 24, 14, 16, 5, { 16, 8, 4, 2, 1 } },
		{ 110, 14, 73, 5, { 16, 8, 4, 2, 1 } },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct region g = region_open(cases[i].n_rb, cases[i].n_symbols);
		unsigned levels[DL_LEVELS_MAX];
		assert_int_equal(layout_n_cce(g.layout), cases[i].n_cce);
		assert_int_equal(dl_levels(g.layout, levels), cases[i].n);
		for (size_t k = 0; k < cases[i].n; k++)
			assert_int_equal(levels[k], cases[i].levels[k]);
		assert_int_equal(dl_level_max(g.layout), levels[0]);
		assert_false(dl_level_ok(g.layout, 3));
		region_close(&g);
	}
}

static void the_level_is_the_smallest_whose_threshold_the_snr_passes(void **state)
{
	(void)state;
	struct region g = region_open(18, 14);
	for (size_t size = 0; size < DCI_SIZES; size++) {
		unsigned last = dl_level_max(g.layout);
		for (float snr_db = -20; snr_db < 20; snr_db += 0.3f) {
			unsigned level = dl_level_for(g.layout, (enum dci_size)size, snr_db);
			assert_true(level <= last);
			assert_true(level == 12 || dl_level_snr_db((enum dci_size)size, level) <= snr_db);
			assert_true(level == 1 ||
			            dl_level_snr_db((enum dci_size)size, level == 12 ? 8 : level / 2) > snr_db);
			last = level;
		}
		assert_int_equal(last, 1);
		assert_int_equal(dl_level_for(g.layout, (enum dci_size)size, NAN), 12);
	}
	/* A decibel below the weakest data at the least, for grants and for system information on 8 CCEs. */
	assert_true(dl_level_snr_db(DCI_LONG, 8) <= mcs_get(0)->snr_db - 1);
	assert_true(dl_level_snr_db(DCI_SHORT, 8) <= mcs_get(0)->snr_db - 2);
	region_close(&g);
}

/* Missed of `trials` at that SNR. */
static size_t missed(struct region *g, enum dci_size size, unsigned level, double snr_db, size_t trials)
{
	size_t n = 0;
	for (size_t i = 0; i < trials; i++) {
		struct dci d = message_of(g, size, DEVICE, i % 32);
		dl_control_begin(g->tx);
		assert_int_equal(add_message(g, &d, level), 0);
		receive(g, 1, snr_db);
		n += !g->res.has_dci;
		if (g->res.has_dci)
			assert_true(g->res.dci.has_ul == d.has_ul && g->res.dci.dl.mcs == d.dl.mcs);
	}
	return n;
}

/* Half a decibel above its threshold a level misses a few in a thousand; two below, one in ten at least. */
static void the_table_of_thresholds_holds(void **state)
{
	(void)state;
	struct region g = region_open(18, 14);
	unsigned levels[DL_LEVELS_MAX];
	size_t n = dl_levels(g.layout, levels);
	for (size_t size = 0; size < DCI_SIZES; size++)
		for (size_t i = 0; i < n; i++) {
			double at_db = (double)dl_level_snr_db((enum dci_size)size, levels[i]);
			size_t above = missed(&g, (enum dci_size)size, levels[i], at_db + 0.5, 400);
			size_t below = missed(&g, (enum dci_size)size, levels[i], at_db - 2, 100);
			print_message("%s, level %u: %zu of 400 missed at %.1f dB, %zu of 100 at %.1f dB\n",
			              size ? "long" : "short", levels[i], above, at_db + 0.5, below, at_db - 2);
			assert_true(above <= 6);
			assert_true(below >= 10);
		}
	region_close(&g);
}

/* ---- bands ---- */

static void every_level_of_every_band_is_read_at_20_db(void **state)
{
	(void)state;
	static const size_t symbols[] = { 7, 14 };
	for (size_t n_rb = PHY_RB_MIN; n_rb <= PHY_RB_MAX; n_rb += n_rb < 30 ? 1 : 10)
		for (size_t s = 0; s < 2; s++) {
			struct region g = region_open(n_rb, symbols[s]);
			unsigned levels[DL_LEVELS_MAX];
			size_t n = dl_levels(g.layout, levels);
			for (size_t i = 0; i < 2 * n; i++)
				assert_int_equal(missed(&g, (enum dci_size)(i % 2), levels[i / 2], 20, 2), 0);
			region_close(&g);
		}
}

static void uplink_control_of_every_band_is_read_at_20_db(void **state)
{
	(void)state;
	static const size_t symbols[] = { 7, 14 };
	for (size_t n_rb = PHY_RB_MIN; n_rb <= PHY_RB_MAX; n_rb += n_rb < 30 ? 1 : 10)
		for (size_t s = 0; s < 2; s++) {
			struct region g = region_open(n_rb, symbols[s]);
			struct uci sent[8], got;
			memset(grid, 0, sizeof grid);
			for (uint8_t d = 0; d < 8; d++) {
				sent[d] = (struct uci){ .ack = (enum uci_ack)(d % 3),
					                .multicast_ack = (enum uci_ack)(d / 3),
					                .buffer_bytes = uci_bsr_bytes(d),
					                .turn = uci_turn(40 + n_rb, n_rb),
					                .value_db = (float)d };
				assert_int_equal(ul_control_write(g.ul, d, 40 + n_rb, &sent[d], grid), 0);
				assert_int_equal(ul_control_write(g.ul, d, 44 + n_rb, &sent[d], grid),
				                 sent[d].turn.topic == UCI_SNR_BAND ? 0 : -EINVAL);
			}
			add_noise(&g, 20);
			struct block_channel channel = { .h = ones, .noise_var = rb_noise };
			for (uint8_t d = 0; d < 8; d++) {
				assert_int_equal(ul_control_read(g.ul, d, 40 + n_rb, grid, &channel, &got), 0);
				assert_true(got.ack == sent[d].ack && got.multicast_ack == sent[d].multicast_ack &&
				            got.buffer_bytes == sent[d].buffer_bytes &&
				            got.value_db == sent[d].value_db);
				assert_int_equal(
				        ul_control_read(g.ul, (uint8_t)(d + 8), 40 + n_rb, grid, &channel, &got),
				        -EBADMSG);
			}
			region_close(&g);
		}
}

/* ---- rooms ---- */

/* Whatever is added, in whatever order: as long as the sum of levels is no more than the region it fits and is read,
 * and not a CCE more. */
static void messages_fit_if_their_levels_sum_up_to_the_region(void **state)
{
	(void)state;
	struct region g = region_open(18, 14);
	for (size_t trial = 0; trial < 200; trial++) {
		size_t mine = rng_u64(&g.rng) % 3, n = 0, sum = 0;
		dl_control_begin(g.tx);
		while (sum < 12) {
			unsigned level = 1u << rng_u64(&g.rng) % 4;
			struct dci d = message_of(&g, (enum dci_size)(rng_u64(&g.rng) % 2),
			                          n == mine ? DEVICE : (uint8_t)(rng_u64(&g.rng) % DEVICE), 3);
			int rc = add_message(&g, &d, level);
			assert_int_equal(rc, sum + level <= 12 ? 0 : -ENOSPC);
			sum += rc ? 0 : level;
			n += !rc;
			assert_int_equal(dl_control_left(g.tx), 12 - sum);
		}
		receive(&g, 1, 15);
		assert_int_equal(g.res.has_dci, n > mine);
	}
	assert_int_equal(g.stats.cut_short, 0);
	region_close(&g);
}

/* ---- messages where they do not belong ---- */

static void legal_messages_in_the_wrong_place_are_refused(void **state)
{
	(void)state;
	struct region g = region_open(18, 14);
	uint8_t shorty[DCI_BYTES_MAX], sysinfo[DCI_BYTES_MAX], multicast[DCI_BYTES_MAX];
	struct dci d = message_of(&g, DCI_SHORT, DEVICE, 3);
	struct sysinfo si = {
		.slot = 20, .n_groups = 1, .ack_delay = 2, .grant_delay = 2, .round_trip = 5, .cell_id = CELL
	};
	struct multicast m = { .devices = 1 << DEVICE, .grant = whole_band(&g, 4) };
	assert_int_equal(dci_pack(&d, 18, shorty), 0);
	assert_int_equal(sysinfo_pack(&si, sysinfo), 0);
	assert_int_equal(multicast_pack(&m, 18, multicast), 0);
	const struct {
		enum dci_size size;
		const uint8_t *payload;
		uint32_t address;
		uint64_t slot;
		bool right;
	} cases[] = {
		{ DCI_LONG, sysinfo, DCI_ADDRESS_ALL, 20, true },
		{ DCI_LONG, sysinfo, DCI_ADDRESS_ALL, 21, false }, /* no sync slot */
		{ DCI_SHORT, shorty, DCI_ADDRESS_ALL, 20, false },
		{ DCI_SHORT, shorty, DEVICE + 1, 20, true },
		{ DCI_SHORT, shorty, DCI_ADDRESS_MULTICAST, 20, false },
		{ DCI_LONG, multicast, DCI_ADDRESS_MULTICAST, 21, true },
		{ DCI_LONG, multicast, DCI_ADDRESS_ALL, 20, false },
		{ DCI_SHORT, shorty, DCI_ADDRESS_MULTICAST + 1, 20, false }, /* nobody's address */
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		dl_control_begin(g.tx);
		assert_int_equal(dl_control_add(g.tx, cases[i].size, cases[i].payload, cases[i].address, 4), 0);
		receive(&g, cases[i].slot, 20);
		assert_int_equal(g.res.has_dci || g.res.has_sysinfo || g.res.has_multicast, cases[i].right);
	}
	assert_true(g.stats.bad_contents == 4 && g.stats.strangers >= 1);
	region_close(&g);
}

static void items_of_several_messages_add_up_and_the_second_of_a_kind_is_refused(void **state)
{
	(void)state;
	struct region g = region_open(18, 14);
	struct dci dl = message_of(&g, DCI_SHORT, DEVICE, 3), ul = { .device = DEVICE, .has_ul = true, .ul = dl.dl };
	struct dci command = { .device = DEVICE, .has_command = true, .command.timing = -5 };
	dl_control_begin(g.tx);
	assert_int_equal(add_message(&g, &dl, 1), 0);
	assert_int_equal(add_message(&g, &ul, 2), 0);
	assert_int_equal(add_message(&g, &command, 4), 0);
	receive(&g, 1, 20);
	assert_true(g.res.has_dci && g.res.dci.has_dl && g.res.dci.has_ul && g.res.dci.has_command);
	assert_true(g.res.dci.dl.mcs == 3 && g.res.dci.ul.mcs == 3 && g.res.dci.command.timing == -5);
	assert_int_equal(g.stats.bad_contents, 0);
	dl_control_begin(g.tx);
	assert_int_equal(add_message(&g, &dl, 2), 0);
	dl.dl.mcs = 4;
	assert_int_equal(add_message(&g, &dl, 1), 0);
	receive(&g, 1, 20);
	assert_true(g.res.has_dci && g.res.dci.dl.mcs == 3); /* the longer one is read first */
	assert_int_equal(g.stats.bad_contents, 1);
	region_close(&g);
}

/* ---- what is read where nothing was sent ---- */

/* Noise that looks like messages, at any SNR the receiver may believe in: the CRC alone stands against it. */
static void noise_of_any_strength_is_no_message(void **state)
{
	(void)state;
	struct region g = region_open(18, 14);
	for (size_t i = 0; i < 60; i++) {
		memset(grid, 0, sizeof grid);
		memset(&g.res, 0, sizeof g.res);
		add_noise(&g, 0);
		for (size_t rb = 0; rb < 18; rb++)
			rb_noise[rb] = (float)pow(10, -0.1 * (double)(i % 20)); /* less than there is */
		struct block_channel channel = { .h = ones, .noise_var = rb_noise };
		dl_control_read(g.rx, i, grid, &channel, rb_noise[0], &g.res, &g.stats);
		assert_false(g.res.has_dci || g.res.has_sysinfo || g.res.has_multicast);
	}
	assert_true(g.stats.candidates > 60); /* the gates did let it through */
	region_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_are_powers_of_two_and_the_whole_region_up_to_16),
		cmocka_unit_test(the_level_is_the_smallest_whose_threshold_the_snr_passes),
		cmocka_unit_test(the_table_of_thresholds_holds),
		cmocka_unit_test(every_level_of_every_band_is_read_at_20_db),
		cmocka_unit_test(uplink_control_of_every_band_is_read_at_20_db),
		cmocka_unit_test(messages_fit_if_their_levels_sum_up_to_the_region),
		cmocka_unit_test(legal_messages_in_the_wrong_place_are_refused),
		cmocka_unit_test(items_of_several_messages_add_up_and_the_second_of_a_kind_is_refused),
		cmocka_unit_test(noise_of_any_strength_is_no_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
