/* The decoder of transport blocks: any format, any soft bits (not-a-numbers among them), a soft buffer that may hold
 * another block. A block is delivered only if it was sent: random soft bits never pass. */
#include "tests/fuzz/input.h"

#include "phy/code_block.h"
#include "phy/mcs.h"
#include "phy/tb.h"

#include <errno.h>

enum { BYTES_MAX = 2500, CODED_MAX = 30000, QM_MAX = 8 };

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

/* llr: as on the air, qm a symbol; fed in pieces. */
static int decode(struct tb_coder *coder, const struct tb_format *f, const float *llr, struct tb_soft *soft,
                  size_t piece, uint8_t *tb)
{
	static int8_t planes[QM_MAX][CODED_MAX];
	struct tb_stats st;
	int rc = tb_decode_begin(coder, f, soft);
	for (size_t i = 0, n; !rc && i < f->n_symbols; i += n) {
		n = f->n_symbols - i < piece ? f->n_symbols - i : piece;
		for (unsigned k = 0; k < f->qm; k++)
			code_block_quantise(llr + i * f->qm + k, f->qm, planes[k], n);
		tb_decode_feed(coder, planes[0], CODED_MAX, n);
	}
	return rc ? rc : tb_decode_end(coder, tb, &st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tb_coder *coder;
	static struct tb_soft *soft;
	static uint8_t tb[BYTES_MAX], sent[BYTES_MAX], symbols[CODED_MAX];
	static float llr[CODED_MAX];
	if (!coder) {
		coder = tb_coder_create(BYTES_MAX);
		soft = tb_soft_create(BYTES_MAX);
		if (!coder || !soft)
			abort();
	}
	struct fuzz_input in = { data, size };
	tb_soft_reset(soft);
	for (unsigned i = 0; i < 4 && (in.size || !i); i++) {
		uint32_t n_bytes = fuzz_u32(&in) % (BYTES_MAX + 2), n_coded = fuzz_u32(&in) % (CODED_MAX + 2);
		unsigned qm = fuzz_byte(&in) % 12;
		struct tb_format f = { n_bytes, qm ? n_coded / qm : 0, qm, fuzz_byte(&in) % 5, n_bytes % 4 };
		unsigned kind = fuzz_byte(&in) % 4;
		uint32_t seed = fuzz_u32(&in);
		if (kind) { /* mostly formats that can be */
			const struct mcs *m = mcs_get(seed % mcs_count());
			f.n_bytes = mcs_tbs_bytes(m, n_coded / 8 % 3000);
			f.qm = m->bits;
			f.n_symbols = n_coded / f.qm;
			f.rv %= 4;
			f.graph = tb_graph(f.n_bytes, m->rate);
		}
		for (size_t b = 0; b < CODED_MAX; b++)
			llr[b] = kind_of_llr(&in, kind, &seed);
		int encoded = -EINVAL;
		if (kind == 3) { /* a real block under noise */
			for (size_t b = 0; b < BYTES_MAX; b++)
				sent[b] = (uint8_t)(seed >> b % 24);
			tb_soft_reset(soft); /* the same size may have been there before */
			encoded = tb_encode(coder, &f, sent, symbols);
			for (size_t b = 0; !encoded && b < f.n_symbols * f.qm; b++)
				llr[b] += symbols[b / f.qm] >> b % f.qm & 1 ? -6.0f : 6.0f;
		}
		unsigned how = fuzz_byte(&in);
		int rc = decode(coder, &f, llr, how % 2 ? soft : NULL, 1 + how * 7u, tb);
		must(rc == 0 || rc == -EBADMSG || rc == -EINVAL);
		if (rc == 0 && !encoded)
			must(!memcmp(tb, sent, f.n_bytes));
		if (fuzz_byte(&in) % 2)
			tb_soft_reset(soft);
	}
	return 0;
}
