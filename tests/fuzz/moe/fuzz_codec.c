/* Rows off the air through every codec: what is accepted is finite, and what is exact comes out of the encoder as it came in. */
#include "tests/fuzz/input.h"

#include "moe/codec.h"

enum { N_MAX = 200, BYTES_MAX = 4 * N_MAX };

static void check(const struct codec *c, struct fuzz_input in, size_t n)
{
	uint8_t bytes[BYTES_MAX] = { 0 }, again[BYTES_MAX];
	float x[N_MAX], y[N_MAX];
	size_t n_bytes = codec_bytes(c, n);
	must(n_bytes <= BYTES_MAX && n_bytes <= codec_bytes_max(n));
	fuzz_bytes(&in, bytes, n_bytes);
	if (c->decode(bytes, n, x))
		return;
	for (size_t i = 0; i < n; i++)
		must(isfinite(x[i]));
	if (c->encode(x, n, again)) /* a value may be too large for the codec only if it was scaled */
		must(c->block > 1);
	else if (c->block <= 1)
		must(!memcmp(bytes, again, n_bytes));
	else
		must(!c->decode(again, n, y));
}

/* Any floats into it: refused, or something finite comes back. */
static void check_floats(const struct codec *c, struct fuzz_input in, size_t n)
{
	uint8_t bytes[BYTES_MAX];
	float x[N_MAX], y[N_MAX];
	fuzz_bytes(&in, x, n * sizeof *x);
	if (!c->encode(x, n, bytes))
		must(!c->decode(bytes, n, y));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	size_t n = 1 + fuzz_byte(&in) % N_MAX;
	for (size_t i = 0; codec_at(i); i++) {
		check(codec_at(i), in, n);
		check_floats(codec_at(i), in, n);
	}
	return 0;
}
