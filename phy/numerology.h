/* numerology.h - the shape of a slot: sample rate, subcarriers, symbols, cyclic prefixes, resource blocks, pilots.
 *
 * A numerology is plain data that everything in phy/ is created from:
 *
 *     struct numerology num;
 *     char why[NUMEROLOGY_WHY_BYTES];
 *     const struct numerology_config c = { .rate_hz = 7.68e6, .scs_hz = 30e3, .n_rb = 18, .n_symbols = 14 };
 *     if (numerology_create(&num, &c, why, sizeof why))
 *             fail(why);
 *
 * phy/profile.h has shapes that fit usual radios, by name.
 *
 * Any rate and any spacing go together whose ratio is a length for an FFT. A slot of 14 symbols lasts 15 / scs, as in
 * TS 38.211 section 4 (0.5 ms at 30 kHz, 0.768 ms at 19.53 kHz), one of 7 half of that; what the symbols leave is
 * cyclic prefix, shared equally, the first symbol of a slot takes the remainder. Subcarrier k = 0 .. n_sc-1 runs from
 * the lowest frequency to the highest and skips DC.
 */
#ifndef PHY_NUMEROLOGY_H
#define PHY_NUMEROLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PHY_RB_SC = 12, /* subcarriers of a resource block */
	PHY_RB_MAX = 110,
	PHY_SC_MAX = PHY_RB_MAX * PHY_RB_SC,
	PHY_RB_MIN = 6, /* the access preamble needs 72 subcarriers */
	PHY_SYMBOLS_MAX = 14,
	PHY_DEVICES_MAX = 16,
	PHY_PILOT_STEP_MIN = 2, /* the densest pilots: every second subcarrier */
	NUMEROLOGY_WHY_BYTES = 160,
};

/* Which symbol of a slot is for what: one row for each number of symbols a slot can have (notes/phy.md). */
struct slot_format {
	uint8_t n_symbols;
	uint8_t n_control;  /* downlink control: symbols 0 .. n_control - 1 */
	uint8_t pilot[2];   /* downlink pilots */
	uint8_t sync;       /* the sync sequence, in sync slots: midway between the pilot symbols */
	uint8_t n_ul_data;  /* uplink data and access preambles: symbols 0 .. n_ul_data - 1 */
	uint8_t dmrs[2];    /* uplink data pilots */
	uint8_t uci[2];     /* uplink control */
	uint8_t sounding;   /* uplink sounding */
	uint8_t pilot_step; /* usual distance of downlink pilots in subcarriers */
};

/* The row of 7 or 14 symbols; NULL for another number. */
const struct slot_format *slot_format_find(size_t n_symbols);

/* All that a numerology is made from. */
struct numerology_config {
	double rate_hz;    /* complex samples a second */
	double scs_hz;     /* subcarrier spacing */
	size_t n_rb;       /* resource blocks: PHY_RB_MIN .. PHY_RB_MAX, 12 * n_rb + 1 <= FFT length */
	size_t n_symbols;  /* of a slot: 7 or 14 */
	size_t pilot_step; /* downlink pilots on every pilot_step-th subcarrier: 2, 3, 4 or 6; 0: usual for n_symbols */
	int taper;         /* samples of a symbol's soft edge, 0 .. half a prefix; TAPER_USUAL: n_fft / 128 */
};

enum { TAPER_USUAL = -1 };

struct numerology {
	double rate_hz;   /* complex samples a second */
	double scs_hz;    /* subcarrier spacing */
	size_t n_fft;     /* rate / scs */
	size_t cp_first;  /* samples of cyclic prefix of symbol 0 */
	size_t cp;        /* of the other symbols */
	size_t taper;     /* samples of the prefix in which a symbol rises and the one before falls */
	size_t n_symbols; /* a slot */
	size_t n_rb;
	size_t n_sc;       /* used subcarriers: 12 a resource block */
	size_t slot_len;   /* samples of a slot */
	size_t pilot_step; /* downlink pilots on every pilot_step-th subcarrier: 2, 3, 4 or 6 */
	size_t sync_len;   /* subcarriers of the sync sequence: 127, or 63 in a band too narrow for it */
	const struct slot_format *format;
};

/* rate_hz / scs_hz: the FFT length, a whole number 128 .. 4096 of small prime factors (2, 3, 5), even with slots of 7
 * symbols (they would not be a whole number of samples). The rest: see the struct. Returns 0, or -EINVAL and one line
 * of reason in err (err may be NULL). */
int numerology_create(struct numerology *n, const struct numerology_config *c, char *err, size_t errlen);

/* The same with the usual pilots and taper. */
int numerology_init(struct numerology *n, double rate_hz, double scs_hz, size_t n_rb, size_t n_symbols, char *err,
                    size_t errlen);

/* Index of the FFT bin of subcarrier k < n_sc, 1 .. n_fft-1. */
static inline size_t numerology_bin(const struct numerology *n, size_t k)
{
	size_t half = n->n_sc / 2;
	return k < half ? n->n_fft - half + k : k - half + 1;
}

/* Its distance from DC in subcarriers: -n_sc/2 .. -1, 1 .. n_sc/2. */
static inline int numerology_offset(const struct numerology *n, size_t k)
{
	int half = (int)(n->n_sc / 2);
	return (int)k < half ? (int)k - half : (int)k - half + 1;
}

static inline double numerology_freq_hz(const struct numerology *n, size_t k)
{
	return numerology_offset(n, k) * n->scs_hz;
}

/* First sample of the cyclic prefix of symbol l <= n_symbols, counted from the start of the slot (l = n_symbols: the
 * slot's end). */
static inline size_t numerology_symbol_start(const struct numerology *n, size_t l)
{
	return l ? n->cp_first - n->cp + l * (n->n_fft + n->cp) : 0;
}

/* First sample after the cyclic prefix of symbol l. */
static inline size_t numerology_symbol_body(const struct numerology *n, size_t l)
{
	return n->cp_first + l * (n->n_fft + n->cp);
}

/* Middle of symbol l in samples from the start of the slot: where a channel measured on it holds. */
static inline double numerology_symbol_middle(const struct numerology *n, size_t l)
{
	return (double)numerology_symbol_body(n, l) + 0.5 * (double)n->n_fft;
}

static inline double numerology_slot_s(const struct numerology *n)
{
	return (double)n->slot_len / n->rate_hz;
}

/* Samples of a prefix that hold one symbol only: so long may the echoes be that do not interfere. */
static inline size_t numerology_clean_prefix(const struct numerology *n)
{
	return n->cp - n->taper;
}

/* How far before its nominal place a receiver starts the FFT window, so that arrivals up to this many samples early are
 * still without interference between symbols: a quarter of the clean prefix. Echoes may then come up to three quarters
 * of it late. */
static inline size_t numerology_backoff(const struct numerology *n)
{
	return numerology_clean_prefix(n) / 4;
}

/* A set of resource blocks, as a bitmap: RB b is bit b % 64 of bits[b / 64]. An all-zero struct is the empty set. */
struct rb_set {
	uint64_t bits[2];
};

static inline bool rb_set_has(const struct rb_set *s, size_t rb)
{
	return (s->bits[rb / 64] >> (rb % 64)) & 1;
}

/* The first RB of the set from this one on; 128 when there is none. To go through a set:
 * for (rb = rb_set_next(&s, 0); rb < n_rb; rb = rb_set_next(&s, rb + 1)) */
static inline size_t rb_set_next(const struct rb_set *s, size_t rb)
{
	for (; rb < 128; rb = (rb / 64 + 1) * 64) {
		uint64_t left = s->bits[rb / 64] >> (rb % 64);
		if (left)
			return rb + (size_t)__builtin_ctzll(left);
	}
	return rb;
}

static inline void rb_set_add(struct rb_set *s, size_t rb)
{
	s->bits[rb / 64] |= UINT64_C(1) << (rb % 64);
}

static inline void rb_set_remove(struct rb_set *s, size_t rb)
{
	s->bits[rb / 64] &= ~(UINT64_C(1) << (rb % 64));
}

/* Adds first .. first+count-1. */
static inline void rb_set_add_range(struct rb_set *s, size_t first, size_t count)
{
	for (size_t rb = first; rb < first + count; rb++)
		rb_set_add(s, rb);
}

static inline size_t rb_set_count(const struct rb_set *s)
{
	return (size_t)__builtin_popcountll(s->bits[0]) + (size_t)__builtin_popcountll(s->bits[1]);
}

static inline bool rb_set_empty(const struct rb_set *s)
{
	return !(s->bits[0] | s->bits[1]);
}

static inline bool rb_set_overlap(const struct rb_set *a, const struct rb_set *b)
{
	return (a->bits[0] & b->bits[0]) | (a->bits[1] & b->bits[1]);
}

static inline bool rb_set_equal(const struct rb_set *a, const struct rb_set *b)
{
	return a->bits[0] == b->bits[0] && a->bits[1] == b->bits[1];
}

/* Is every RB of the set below n_rb? What a receiver asks of a grant before believing it. */
static inline bool rb_set_within(const struct rb_set *s, size_t n_rb)
{
	for (size_t w = 0; w < 2; w++) {
		uint64_t allowed = n_rb >= 64 * (w + 1) ? UINT64_MAX
		                   : n_rb <= 64 * w     ? 0
		                                        : (UINT64_C(1) << (n_rb - 64 * w)) - 1;
		if (s->bits[w] & ~allowed)
			return false;
	}
	return true;
}

#endif
