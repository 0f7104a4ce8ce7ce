/* Contents of control messages and their codewords: whatever bits arrive, what is accepted is what a sender can make,
 * and packing it again gives the same bits. */
#include "input.h"

#include "phy/cw.h"
#include "phy/dci.h"
#include "phy/uci.h"

static void downlink(struct fuzz_input *in)
{
	uint8_t payload[DCI_BYTES_MAX], again[DCI_BYTES_MAX];
	size_t n_rb = 1 + fuzz_byte(in) % PHY_RB_MAX, n_bytes = (dci_n_bits(n_rb) + 7) / 8;
	struct dci d;
	struct sysinfo si;
	fuzz_bytes(in, payload, sizeof payload);
	if (dci_n_bits(n_rb) % 8)
		payload[n_bytes - 1] &= (uint8_t)(0xff00u >> dci_n_bits(n_rb) % 8);
	if (!dci_unpack(payload, n_rb, fuzz_byte(in) % PHY_DEVICES_MAX, &d)) {
		must(!dci_pack(&d, n_rb, again));
		must(!memcmp(payload, again, n_bytes));
	}
	if (!sysinfo_unpack(payload, n_rb, &si)) {
		must(!sysinfo_pack(&si, n_rb, again));
		must(!memcmp(payload, again, n_bytes));
	}
}

static void uplink(struct fuzz_input *in)
{
	uint8_t payload[UCI_BYTES], again[UCI_BYTES];
	struct uci u;
	fuzz_bytes(in, payload, sizeof payload);
	payload[UCI_BYTES - 1] &= (uint8_t)(UCI_BITS % 8 ? 0xff00u >> UCI_BITS % 8 : 0xff);
	if (!uci_unpack(payload, &u)) {
		must(!uci_pack(&u, again));
		must(!memcmp(payload, again, sizeof again));
	}
}

static void codeword(struct fuzz_input *in)
{
	enum { PAYLOAD = 64, CODED = 864 };
	static struct cw_coder *c;
	static float llr[CODED];
	uint8_t payload[PAYLOAD / 8];
	uint32_t address, seed = fuzz_u32(in);
	if (!c)
		must((c = cw_create(PAYLOAD, CODED)));
	for (size_t i = 0; i < CODED; i++) {
		llr[i] = 4 * fuzz_noise(&seed);
		if (in->size)
			fuzz_bytes(in, &llr[i], sizeof llr[i]);
	}
	int rc = cw_decode(c, llr, fuzz_u32(in) % (CODED + 4), 1 + fuzz_byte(in) % 16, payload, &address);
	must(rc || address < 1u << 24);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	downlink(&in);
	uplink(&in);
	codeword(&in);
	return 0;
}
