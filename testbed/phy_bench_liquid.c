/* liquid-dsp's OFDM frames as a yardstick: what a well-known library takes for the same FFT length, prefix and modulation,
 * without any coding. */
#include "phy/numerology.h"
#include "testbed/phy_bench.h"

#include <complex.h>
#include <errno.h>
#include <liquid/liquid.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES = 4, PAYLOAD = 6000, HEADER = 8 };

struct frames {
	ofdmflexframegen gen;
	ofdmflexframesync sync;
	float complex *samples; /* FRAMES of n */
	size_t n, n_symbol;
	unsigned char header[HEADER], payload[PAYLOAD];
	size_t right;
};

static int on_frame(unsigned char *header, int header_valid, unsigned char *payload, unsigned int payload_len,
                    int payload_valid, framesyncstats_s stats, void *arg)
{
	struct frames *f = arg;
	(void)header, (void)stats;
	f->right +=
	        header_valid && payload_valid && payload_len == PAYLOAD && memcmp(payload, f->payload, PAYLOAD) == 0;
	return 0;
}

static void generate(void *arg, size_t i)
{
	struct frames *f = arg;
	ofdmflexframegen_assemble(f->gen, f->header, f->payload, PAYLOAD);
	size_t at = 0;
	for (int last = 0; !last && at + f->n_symbol <= f->n; at += f->n_symbol)
		last = ofdmflexframegen_write(f->gen, f->samples + i * f->n + at, (unsigned)f->n_symbol);
}

static void receive(void *arg, size_t i)
{
	struct frames *f = arg;
	ofdmflexframesync_execute(f->sync, f->samples + i * f->n, (unsigned)f->n);
}

static int open_frames(struct frames *f, const struct numerology *num)
{
	ofdmflexframegenprops_s props;
	unsigned m = (unsigned)num->n_fft, cp = (unsigned)num->cp, taper = (unsigned)num->taper;
	*f = (struct frames){ .n_symbol = num->n_fft + num->cp };
	ofdmflexframegenprops_init_default(&props);
	props.check = LIQUID_CRC_32;
	props.fec0 = props.fec1 = LIQUID_FEC_NONE;
	props.mod_scheme = LIQUID_MODEM_QAM64;
	f->gen = ofdmflexframegen_create(m, cp, taper, NULL, &props);
	f->sync = ofdmflexframesync_create(m, cp, taper, NULL, on_frame, f);
	for (size_t i = 0; i < PAYLOAD; i++)
		f->payload[i] = (unsigned char)(i * 167 >> 3);
	if (!f->gen || !f->sync)
		return -ENOMEM;
	ofdmflexframegen_assemble(f->gen, f->header, f->payload, PAYLOAD);
	f->n = (ofdmflexframegen_getframelen(f->gen) + 1) * f->n_symbol;
	f->samples = calloc(FRAMES * f->n, sizeof *f->samples);
	return f->samples ? 0 : -ENOMEM;
}

static void close_frames(struct frames *f)
{
	free(f->samples);
	if (f->sync)
		ofdmflexframesync_destroy(f->sync);
	if (f->gen)
		ofdmflexframegen_destroy(f->gen);
}

int bench_liquid(const struct numerology *num, double seconds, struct bench_liquid_result *r)
{
	struct frames f;
	*r = (struct bench_liquid_result){ 0 };
	int rc = open_frames(&f, num);
	if (!rc)
		rc = bench_init(&r->send, "liquid ofdmflexframegen, no FEC", FRAMES, (double)f.n, 8.0 * PAYLOAD);
	if (!rc)
		rc = bench_init(&r->receive, "liquid ofdmflexframesync, no FEC", FRAMES, (double)f.n, 8.0 * PAYLOAD);
	if (!rc) {
		bench_run(&r->send, seconds, generate, &f);
		f.right = 0;
		bench_run(&r->receive, seconds, receive, &f);
		r->frame_samples = f.n;
		r->frames_right = f.right;
		r->frames = r->receive.n;
	}
	close_frames(&f);
	return rc;
}
