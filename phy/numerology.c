#include "phy/numerology.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { FFT_MIN = 128, FFT_MAX = 4096, SYNC_LONG = 127, SYNC_SHORT = 63, TAPER_SHARE = 128 };

/* clang-format off */
static const struct slot_format formats[] = {
	{ .n_symbols = 14, .n_control = 3, .pilot = { 3, 11 }, .sync = 7, .n_ul_data = 11, .dmrs = { 2, 8 }, .uci = { 11, 12 }, .sounding = 13, .pilot_step = 3 },
	{ .n_symbols = 7, .n_control = 2, .pilot = { 2, 6 }, .sync = 4, .n_ul_data = 4, .dmrs = { 0, 3 }, .uci = { 4, 5 }, .sounding = 6, .pilot_step = 6 },
};
/* clang-format on */

const struct slot_format *slot_format_find(size_t n_symbols)
{
	for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
		if (formats[i].n_symbols == n_symbols)
			return &formats[i];
	return NULL;
}

static int refuse(char *err, size_t errlen, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int refuse(char *err, size_t errlen, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (err && errlen)
		vsnprintf(err, errlen, format, args);
	va_end(args);
	return -EINVAL;
}

static bool is_smooth(size_t n)
{
	static const size_t primes[] = { 2, 3, 5 };
	for (size_t i = 0; i < sizeof primes / sizeof primes[0]; i++)
		while (n % primes[i] == 0)
			n /= primes[i];
	return n == 1;
}

static size_t slot_samples(size_t n_fft, size_t n_symbols)
{
	return n_fft * (PHY_SYMBOLS_MAX + 1) * n_symbols / PHY_SYMBOLS_MAX;
}

static int check_spectrum(const struct numerology_config *c, char *err, size_t errlen)
{
	if (!(isfinite(c->rate_hz) && isfinite(c->scs_hz) && c->rate_hz > 0 && c->scs_hz > 0))
		return refuse(err, errlen, "sample rate %g and subcarrier spacing %g must be positive", c->rate_hz,
		              c->scs_hz);
	double ratio = c->rate_hz / c->scs_hz;
	if (fabs(ratio - round(ratio)) > 1e-9 * ratio)
		return refuse(err, errlen, "rate %.10g Hz is no whole multiple of the spacing %.10g Hz", c->rate_hz,
		              c->scs_hz);
	if (ratio < FFT_MIN || ratio > FFT_MAX || !is_smooth((size_t)llround(ratio)))
		return refuse(err, errlen, "rate / spacing = %.0f is no FFT length: %d .. %d with factors 2, 3, 5",
		              ratio, FFT_MIN, FFT_MAX);
	if (c->n_rb < PHY_RB_MIN || c->n_rb > PHY_RB_MAX)
		return refuse(err, errlen, "%zu resource blocks: from %d to %d are possible", c->n_rb, PHY_RB_MIN,
		              PHY_RB_MAX);
	if (c->n_rb * PHY_RB_SC + 1 > (size_t)llround(ratio))
		return refuse(err, errlen, "%zu resource blocks are %zu subcarriers and DC: more than FFT length %.0f",
		              c->n_rb, c->n_rb * PHY_RB_SC, ratio);
	return 0;
}

static int check_slot(const struct numerology_config *c, char *err, size_t errlen)
{
	size_t n_fft = (size_t)llround(c->rate_hz / c->scs_hz);
	if (!slot_format_find(c->n_symbols))
		return refuse(err, errlen, "%zu symbols a slot: 7 and 14 are possible", c->n_symbols);
	if (n_fft * (PHY_SYMBOLS_MAX + 1) * c->n_symbols % PHY_SYMBOLS_MAX)
		return refuse(err, errlen, "a slot of %zu symbols of FFT length %zu would be %zu and a half samples",
		              c->n_symbols, n_fft, slot_samples(n_fft, c->n_symbols));
	if (c->pilot_step != 0 && c->pilot_step != 2 && c->pilot_step != 3 && c->pilot_step != 4 && c->pilot_step != 6)
		return refuse(err, errlen, "pilots on every %zu. subcarrier: 2, 3, 4 and 6 are possible",
		              c->pilot_step);
	if (c->taper < TAPER_USUAL || c->taper > (int)(n_fft / PHY_SYMBOLS_MAX / 2))
		return refuse(err, errlen, "a taper of %d samples: at most half a prefix, %zu, is possible", c->taper,
		              n_fft / PHY_SYMBOLS_MAX / 2);
	return 0;
}

int numerology_create(struct numerology *n, const struct numerology_config *c, char *err, size_t errlen)
{
	if (check_spectrum(c, err, errlen) || check_slot(c, err, errlen))
		return -EINVAL;
	const struct slot_format *format = slot_format_find(c->n_symbols);
	size_t n_fft = (size_t)llround(c->rate_hz / c->scs_hz), n_sc = c->n_rb * PHY_RB_SC;
	size_t slot_len = slot_samples(n_fft, c->n_symbols), prefixes = slot_len - c->n_symbols * n_fft;
	size_t cp = prefixes / c->n_symbols;
	*n = (struct numerology){
		.rate_hz = c->rate_hz,
		.scs_hz = c->scs_hz,
		.n_fft = n_fft,
		.cp_first = prefixes - (c->n_symbols - 1) * cp,
		.cp = cp,
		.taper = c->taper == TAPER_USUAL ? n_fft / TAPER_SHARE : (size_t)c->taper,
		.n_symbols = c->n_symbols,
		.n_rb = c->n_rb,
		.n_sc = n_sc,
		.slot_len = slot_len,
		.pilot_step = c->pilot_step ? c->pilot_step : format->pilot_step,
		.sync_len = n_sc > SYNC_LONG ? SYNC_LONG : SYNC_SHORT,
		.format = format,
	};
	return 0;
}

int numerology_init(struct numerology *n, double rate_hz, double scs_hz, size_t n_rb, size_t n_symbols, char *err,
                    size_t errlen)
{
	const struct numerology_config c = {
		.rate_hz = rate_hz,
		.scs_hz = scs_hz,
		.n_rb = n_rb,
		.n_symbols = n_symbols,
		.taper = TAPER_USUAL,
	};
	return numerology_create(n, &c, err, errlen);
}
