/* Contents of control messages and their codewords: whatever bits arrive, what is accepted is what a sender can make,
 * and packing it again gives the same bits. */
#include "tests/fuzz/input.h"

#include "phy/cw.h"
#include "phy/dci.h"
#include "phy/uci.h"

/* What is accepted of a payload must pack to the same bits; those beyond the message are cleared before. */
static void downlink(struct fuzz_input *in)
{
	uint8_t payload[DCI_BYTES_MAX], again[DCI_BYTES_MAX];
	size_t n_rb = PHY_RB_MIN + fuzz_byte(in) % (PHY_RB_MAX - PHY_RB_MIN + 1);
	enum dci_size size = fuzz_byte(in) % 2 ? DCI_LONG : DCI_SHORT;
	struct dci d;
	struct multicast m;
	struct sysinfo si;
	fuzz_bytes(in, payload, sizeof payload);
	for (size_t bit = dci_n_bits(size, n_rb); bit < 8 * DCI_BYTES_MAX; bit++)
		payload[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	if (!dci_unpack(payload, size, n_rb, fuzz_byte(in) % PHY_DEVICES_MAX, &d)) {
		must(dci_size_of(&d) == size);
		must(!dci_pack(&d, n_rb, again));
		must(!memcmp(payload, again, sizeof again));
	}
	if (size == DCI_LONG && !multicast_unpack(payload, n_rb, &m)) {
		must(!multicast_pack(&m, n_rb, again));
		must(!memcmp(payload, again, sizeof again));
	}
	if (size == DCI_LONG && !sysinfo_unpack(payload, 1, &si)) {
		must(!sysinfo_pack(&si, again));
		must(!memcmp(payload, again, sizeof again));
	}
}

static void uplink(struct fuzz_input *in)
{
	uint8_t payload[UCI_BYTES], again[UCI_BYTES];
	struct uci u;
	struct uci_turn turn = uci_turn(fuzz_byte(in), PHY_RB_MIN + fuzz_byte(in) % (PHY_RB_MAX - PHY_RB_MIN + 1));
	fuzz_bytes(in, payload, sizeof payload);
	payload[UCI_BYTES - 1] &= (uint8_t)(UCI_BITS % 8 ? 0xff00u >> UCI_BITS % 8 : 0xff);
	if (!uci_unpack(payload, turn, &u)) {
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
