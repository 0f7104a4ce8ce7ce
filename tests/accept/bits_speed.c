/* bits_speed - what the bits side of the PHY costs an RE, by stage: all of block_send and block_receive but the LDPC code.
 *
 *     bits_speed [mcs]        default: the 64QAM entry nearest to rate 0.7
 *
 * One thread, least of 25 repeats of each stage over one full downlink slot of 75 RB (30.72 MS/s, 30 kHz, 14 symbols).
 * "receive, decoded before" is block_receive of a block that is right already: everything but adding soft bits, decoding,
 * packing and the CRCs of code blocks, which are listed on their own.
 */
#include "phy/block.h"
#include "phy/code_block.h"
#include "phy/crc.h"
#include "phy/gold.h"
#include "phy/mcs.h"
#include "phy/soften.h"
#include "tests/phy/awgn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bench {
	struct numerology num;
	struct layout *layout;
	struct block *block;
	struct tb_soft *soft;
	struct grant grant;
	const struct mcs *mcs;
	size_t n_re, n_bytes, n_grid;
	uint8_t *tb, *scramble, *symbols;
	float complex *grid, *h;
	float noise_var[PHY_RB_MAX];
	struct soften soften;
	struct code_block code;
	struct crc crc;
	uint8_t word[CODE_BLOCK_WORD_MAX], bytes[CODE_BLOCK_MAX_BITS / 8];
	int8_t llr[CODE_BLOCK_WORD_MAX];
	volatile uint32_t sink;
};

static void list(struct bench *b)
{
	layout_dl_data(b->layout, 1, &b->grant.rbs, block_re(b->block));
}

static void send(struct bench *b)
{
	block_send(b->block, &b->grant, 1, b->n_re, 1, b->tb, b->n_bytes, b->grid);
}

static void encode(struct bench *b)
{
	size_t n_info = 8 * b->n_bytes;
	for (size_t i = 0; i < n_info; i += b->code.n_bits)
		code_block_encode(&b->code, b->word, 0, b->n_re * b->mcs->bits * b->code.n_bits / n_info);
}

static void receive(struct bench *b)
{
	struct block_channel channel = { b->h, b->noise_var };
	struct rx_info info;
	size_t n_bytes;
	block_receive(b->block, &b->grant, 1, b->n_re, b->grid, &channel, b->soft, b->tb, &n_bytes, &info);
}

static void scramble(struct bench *b)
{
	gold_symbols(1, b->mcs->bits, b->scramble, b->n_re);
}

static void demap(struct bench *b)
{
	for (size_t i = 0; i + SOFTEN_RE <= b->n_re; i += SOFTEN_RE)
		soften(&b->soften, b->mcs->bits, SOFTEN_RE);
}

static void add(struct bench *b)
{
	size_t place = 0;
	for (size_t i = 0; i + SOFTEN_RE <= b->n_re; i += SOFTEN_RE)
		for (unsigned k = 0; k < b->mcs->bits; k++, place += SOFTEN_RE)
			code_block_add(&b->code, b->llr, place, b->soften.llr[k], SOFTEN_RE);
}

static void open_and_close(struct bench *b)
{
	for (size_t i = 0; i < 8 * b->n_bytes; i += b->code.n_bits) {
		code_block_clear(&b->code, b->llr);
		code_block_pack(b->word, b->bytes, b->code.n_bits);
		b->sink = crc_bytes(&b->crc, 0, b->bytes, b->code.n_bits / 8);
	}
}

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double ns_per_re(struct bench *b, void (*stage)(struct bench *))
{
	double least = 1e9;
	for (int repeat = 0; repeat < 25; repeat++) {
		double start = now_s();
		for (int i = 0; i < 5; i++)
			stage(b);
		double s = (now_s() - start) / 5;
		least = s < least ? s : least;
	}
	return 1e9 * least / (double)b->n_re;
}

static int prepare(struct bench *b, size_t mcs)
{
	char why[128];
	b->mcs = mcs_get(mcs);
	if (!b->mcs || numerology_init(&b->num, 30.72e6, 30e3, 75, 14, why, sizeof why))
		return -1;
	b->layout = layout_create(&b->num, why, sizeof why);
	b->block = block_create(&b->num);
	b->soft = tb_soft_create(block_bytes_max(&b->num));
	b->grant.mcs = (uint8_t)mcs;
	rb_set_add_range(&b->grant.rbs, 0, b->num.n_rb);
	b->n_bytes = block_bytes(&b->num, &b->grant);
	b->n_grid = b->num.n_symbols * b->num.n_sc;
	b->tb = calloc(1, b->n_bytes);
	b->scramble = calloc(1, b->n_grid);
	b->grid = calloc(b->n_grid, sizeof *b->grid);
	b->h = calloc(b->n_grid, sizeof *b->h);
	if (!b->layout || !b->block || !b->soft || !b->tb || !b->scramble || !b->grid || !b->h)
		return -1;
	b->n_re = layout_dl_data(b->layout, 1, &b->grant.rbs, block_re(b->block));
	for (size_t i = 0; i < b->n_grid; i++)
		b->h[i] = 1;
	for (size_t rb = 0; rb < PHY_RB_MAX; rb++)
		b->noise_var[rb] = 1e-3f;
	for (size_t i = 0; i < SOFTEN_RE; i++) {
		b->soften.y[i] = b->grid[i];
		b->soften.h[i] = 1;
		b->soften.inverse_noise[i] = 1e3f;
	}
	code_block_init(&b->code, &ldpc_bg1, CODE_BLOCK_MAX_BITS, CODE_BLOCK_MAX_BITS);
	crc_init(&b->crc, &crc24b);
	return 0;
}

static void report(const struct bench *b, const char *name, double ns)
{
	double per_sample = (double)b->n_re / (double)b->num.slot_len;
	printf("%-26s %6.2f ns %8.0f M RE/s %8.0f Msps\n", name, ns, 1e3 / ns, 1e3 / ns / per_sample);
}

int main(int argc, char **argv)
{
	static struct bench b;
	size_t mcs = 0;
	for (size_t i = 0; i < mcs_count(); i++)
		if (mcs_get(i)->bits == 6 && mcs_get(i)->rate < 0.71f)
			mcs = i;
	if (prepare(&b, argc > 1 ? strtoul(argv[1], NULL, 10) : mcs))
		return 1;
	printf("%u bits an RE, rate %.3f, %zu RE of a slot of %zu samples\n", b.mcs->bits, (double)b.mcs->rate, b.n_re,
	       b.num.slot_len);
	double list_ns = ns_per_re(&b, list), send_ns = ns_per_re(&b, send), encode_ns = ns_per_re(&b, encode);
	receive(&b);
	double receive_ns = ns_per_re(&b, receive), add_ns = ns_per_re(&b, add),
	       close_ns = ns_per_re(&b, open_and_close);
	report(&b, "list of REs", list_ns);
	report(&b, "send", send_ns);
	report(&b, "  of it LDPC", encode_ns);
	report(&b, "send and list, no LDPC", list_ns + send_ns - encode_ns);
	report(&b, "receive, decoded before", receive_ns);
	report(&b, "  of it scrambling", ns_per_re(&b, scramble));
	report(&b, "  of it soft bits", ns_per_re(&b, demap));
	report(&b, "add soft bits", add_ns);
	report(&b, "clear, pack, CRC24B", close_ns);
	report(&b, "receive and list, no LDPC", list_ns + receive_ns + add_ns + close_ns);
	return 0;
}
