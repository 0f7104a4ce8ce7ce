/* The decoder of transport blocks: any format, any soft bits (not-a-numbers among them), a soft buffer that may hold
 * another block. A block is delivered only if it was sent: random soft bits never pass. */
#include "input.h"

#include "phy/mcs.h"
#include "phy/tb.h"

#include <errno.h>

enum { BYTES_MAX = 2500, CODED_MAX = 30000 };

static float kind_of_llr(struct fuzz_input *in, unsigned kind, uint32_t *seed)
{
	float f;
	switch (kind) {
	case 0:
		fuzz_bytes(in, &f, sizeof f);
		return f;
	case 1:
		return (float)(int8_t)fuzz_byte(in);
	default:
		return 8 * fuzz_noise(seed);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tb_coder *coder;
	static struct tb_soft *soft;
	static uint8_t tb[BYTES_MAX], sent[BYTES_MAX], bits[CODED_MAX];
	static float llr[CODED_MAX];
	if (!coder) {
		coder = tb_coder_create(BYTES_MAX, CODED_MAX);
		soft = tb_soft_create(BYTES_MAX);
		if (!coder || !soft)
			abort();
	}
	struct fuzz_input in = { data, size };
	tb_soft_reset(soft);
	for (unsigned i = 0; i < 4 && (in.size || !i); i++) {
		struct tb_format f = {
			.n_bytes = fuzz_u32(&in) % (BYTES_MAX + 2),
			.n_coded = fuzz_u32(&in) % (CODED_MAX + 2),
			.qm = fuzz_byte(&in) % 12,
			.rv = fuzz_byte(&in) % 5,
		};
		unsigned kind = fuzz_byte(&in) % 4;
		uint32_t seed = fuzz_u32(&in);
		if (kind) { /* mostly formats that can be */
			f.n_bytes = mcs_tbs_bytes(mcs_get(seed % mcs_count()), f.n_coded / 8 % 3000);
			f.qm = mcs_get(seed % mcs_count())->bits;
			f.n_coded -= f.n_coded % f.qm;
			f.rv %= 4;
		}
		for (size_t b = 0; b < CODED_MAX; b++)
			llr[b] = kind_of_llr(&in, kind, &seed);
		int encoded = -EINVAL;
		if (kind == 3) { /* a real block under noise */
			for (size_t b = 0; b < BYTES_MAX; b++)
				sent[b] = (uint8_t)(seed >> b % 24);
			encoded = tb_encode(coder, &f, sent, bits);
			for (size_t b = 0; !encoded && b < f.n_coded; b++)
				llr[b] += bits[b] ? -6.0f : 6.0f;
		}
		struct tb_stats st;
		int rc = tb_decode(coder, &f, llr, fuzz_byte(&in) % 2 ? soft : NULL, tb, &st);
		must(rc == 0 || rc == -EBADMSG || rc == -EINVAL);
		if (rc == 0 && !encoded)
			must(!memcmp(tb, sent, f.n_bytes));
		if (fuzz_byte(&in) % 2)
			tb_soft_reset(soft);
	}
	return 0;
}
