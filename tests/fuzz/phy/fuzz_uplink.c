/* The base station's receiver: uplink slots of two devices bent by the fuzzer, asked for devices and grants at random. */
#include "tests/fuzz/phy/grant.h"

#include "phy/ul.h"

#include <errno.h>

enum { DEVICES = 2, RBS = 8 };

static struct {
	struct numerology num;
	struct layout *layout;
	struct ul_tx *tx[DEVICES];
	struct ul_rx *rx;
	struct tb_soft *soft;
	float complex *samples, *one;
	uint8_t *tb;
} f;

static void set_up(void)
{
	char why[128];
	if (f.tb)
		return;
	must(!numerology_init(&f.num, 1.92e6, 15e3, RBS, 14, why, sizeof why));
	f.layout = layout_create(&f.num, why, sizeof why);
	must(f.layout);
	for (uint8_t d = 0; d < DEVICES; d++)
		must((f.tx[d] = ul_tx_create(f.layout, 1, d)));
	f.rx = ul_rx_create(f.layout, 1);
	f.soft = tb_soft_create(dl_tb_bytes_max(f.layout));
	f.samples = calloc(f.num.slot_len, sizeof *f.samples);
	f.one = calloc(f.num.slot_len, sizeof *f.one);
	f.tb = calloc(dl_tb_bytes_max(f.layout), 1);
	must(f.rx && f.soft && f.samples && f.one && f.tb);
}

/* Adds what a device might send, at any power. */
static void add_device(struct fuzz_input *in, uint8_t d, uint64_t slot, const struct grant *g)
{
	struct uci uci = { .ack = fuzz_byte(in) % 3,
		           .multicast_ack = fuzz_byte(in) % 3,
		           .buffer_bytes = fuzz_u32(in),
		           .turn = uci_turn(slot, f.num.n_rb),
		           .value_db = fuzz_byte(in) };
	uint8_t what = fuzz_byte(in);
	float a = ldexpf(0.1f, -(fuzz_byte(in) % 16));
	struct ul_amplitudes amplitudes = { .data = a, .comb = 2.8f * a, .access = a };
	ul_tx_begin(f.tx[d], slot);
	if (what & 1)
		ul_tx_control(f.tx[d], &uci);
	if (what & 2)
		ul_tx_data(f.tx[d], g, f.tb, ul_tb_bytes(f.layout, slot, g));
	if (what & 4)
		ul_tx_access(f.tx[d]);
	ul_tx_finish(f.tx[d], &amplitudes, f.one);
	for (size_t i = 0; i < f.num.slot_len; i++)
		f.samples[i] += f.one[i];
}

static void read_slot(struct fuzz_input *in, struct grant *g)
{
	struct uci uci;
	struct csi csi;
	struct ul_access found[PHY_DEVICES_MAX];
	struct rx_info info;
	size_t n;
	for (uint8_t d = 0; d < PHY_DEVICES_MAX + 1; d++) {
		uint8_t how = fuzz_byte(in);
		struct rb_set all = { { 0 } };
		rb_set_add_range(&all, 0, RBS);
		if (how & 4)
			ul_rx_expect(f.rx, d, how & 8 ? &all : &g->rbs);
		if (how > 250 && d < PHY_DEVICES_MAX)
			ul_rx_set_comb_boost(f.rx, d, how & 3);
		int rc = ul_rx_control(f.rx, d, &uci, how % 4 ? &csi : NULL);
		must(rc == 0 || rc == -EBADMSG || rc == -ENODATA || (rc == -EINVAL && d == PHY_DEVICES_MAX));
	}
	for (unsigned i = 0; i < 2; i++) {
		int rc = ul_rx_data(f.rx, fuzz_byte(in) % 20, g, fuzz_byte(in) % 2 ? f.soft : NULL, f.tb, &n, &info);
		must(rc == 0 || rc == -EBADMSG || rc == -EINVAL || rc == -ENODATA);
		*g = fuzz_grant(in, RBS);
	}
	ul_rx_access(f.rx, found, &n);
	must(n <= PHY_DEVICES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	set_up();
	ul_rx_reset(f.rx);
	tb_soft_reset(f.soft);
	struct fuzz_input in = { data, size };
	for (unsigned i = 0; i < 6 && (in.size || !i); i++) {
		struct slot_time when = { .slot = fuzz_u32(&in), .t_samples = fuzz_u32(&in) };
		struct grant g = fuzz_grant(&in, RBS);
		memset(f.samples, 0, f.num.slot_len * sizeof *f.samples);
		for (uint8_t d = 0; d < DEVICES; d++)
			add_device(&in, d, when.slot, &g);
		if (fuzz_byte(&in) % 4)
			fuzz_samples(&in, f.samples, f.num.slot_len);
		int rc = ul_rx_slot(f.rx, f.samples, &when);
		must(rc == 0 || rc == -EINVAL);
		read_slot(&in, &g);
	}
	return 0;
}
