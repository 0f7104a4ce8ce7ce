/* A device's receiver: slots of a base station bent by the fuzzer, and grants that nobody should believe. */
#include "tests/fuzz/phy/grant.h"

#include "phy/dl.h"

#include <errno.h>

enum { RBS = 6 };

static struct {
	struct numerology num;
	struct layout *layout;
	struct dl_tx *tx;
	struct dl_rx *rx;
	struct tb_soft *soft;
	float complex *samples;
	uint8_t *tb;
} f;

static void set_up(void)
{
	char why[128];
	if (f.tb)
		return;
	must(!numerology_init(&f.num, 1.92e6, 15e3, RBS, 14, why, sizeof why));
	f.layout = layout_create(&f.num, why, sizeof why);
	f.tx = f.layout ? dl_tx_create(f.layout, 1, 0.1f) : NULL;
	f.rx = f.layout ? dl_rx_create(f.layout, 1, 0) : NULL;
	f.soft = f.layout ? tb_soft_create(dl_tb_bytes_max(f.layout)) : NULL;
	f.samples = calloc(f.num.slot_len, sizeof *f.samples);
	f.tb = calloc(dl_tb_bytes_max(f.layout), 1);
	must(f.tx && f.rx && f.soft && f.samples && f.tb);
}

/* A slot as a base station makes it, with a grant if it takes it. */
static void send(struct fuzz_input *in, uint64_t slot, const struct grant *g)
{
	struct dci dci = { .device = fuzz_byte(in) % 2, .has_dl = true, .dl = *g };
	struct multicast m = { .devices = fuzz_byte(in), .grant = *g };
	struct sysinfo si = { .slot = (uint32_t)slot,
		              .n_groups = 1,
		              .ack_delay = 2,
		              .grant_delay = 2,
		              .round_trip = 8,
		              .cell_id = 1,
		              .version = DCI_VERSION };
	uint32_t seed = fuzz_u32(in);
	dl_tx_begin(f.tx, slot);
	dl_tx_sysinfo(f.tx, &si, 2);
	dl_tx_dci(f.tx, &dci, 1u << fuzz_byte(in) % 4);
	dl_tx_multicast(f.tx, &m, 1u << fuzz_byte(in) % 4);
	size_t n = dl_tb_bytes(f.layout, g);
	for (size_t i = 0; i < n; i++)
		f.tb[i] = (uint8_t)(seed >> i % 24);
	if (m.devices % 4)
		dl_tx_multicast_data(f.tx, g, f.tb, n);
	else
		dl_tx_data(f.tx, dci.device, g, f.tb, n);
	dl_tx_finish(f.tx, f.samples);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	set_up();
	dl_rx_reset(f.rx);
	tb_soft_reset(f.soft);
	struct fuzz_input in = { data, size };
	for (unsigned i = 0; i < 6 && (in.size || !i); i++) {
		struct slot_time when = { .slot = fuzz_u32(&in), .t_samples = fuzz_u32(&in) };
		struct grant g = fuzz_grant(&in, RBS);
		struct dl_result res;
		struct rx_info info;
		size_t n;
		send(&in, when.slot, &g);
		if (fuzz_byte(&in) % 4)
			fuzz_samples(&in, f.samples, f.num.slot_len);
		int rc = dl_rx_slot(f.rx, f.samples, &when, &res);
		must(rc == 0 || rc == -EINVAL);
		must(rc == 0 || !res.csi.valid);
		for (size_t k = 0; res.csi.valid && k < f.num.n_sc; k++)
			must(isfinite(crealf(res.csi.h[k])) && isfinite(cimagf(res.csi.h[k])));
		if (fuzz_byte(&in) % 2 && res.has_dci && res.dci.has_dl)
			g = res.dci.dl;
		else if (fuzz_byte(&in) % 2)
			g = fuzz_grant(&in, RBS);
		rc = dl_rx_data(f.rx, &g, fuzz_byte(&in) % 2 ? f.soft : NULL, f.tb, &n, &info);
		must(rc == 0 || rc == -EBADMSG || rc == -EINVAL || rc == -ENODATA);
		if (res.has_multicast) {
			g = res.multicast.grant;
			rc = dl_rx_multicast_data(f.rx, &g, fuzz_byte(&in) % 2 ? f.soft : NULL, f.tb, &n, &info);
			must(rc == 0 || rc == -EBADMSG || rc == -EINVAL || rc == -ENODATA);
		}
	}
	return 0;
}
