/* ledger.h - how long the stages of a slot loop take: percentiles, the worst and when.
 *
 *     static struct ledger l;                                  // all zero
 *     ledger_note(&l, STAGE, seconds, slot);                   the slot loop
 *     struct ledger_line line = ledger_read(&l, STAGE, &before);   another thread, at any time
 *
 * Durations are counted in classes an eighth of an octave wide, so that a percentile is at most 9 % above the true one. `before`: what
 * was read last time, for what has come since; NULL: since the beginning.
 */
#ifndef TESTBED_LEDGER_H
#define TESTBED_LEDGER_H

#include <stdatomic.h>
#include <stdint.h>

enum { LEDGER_STAGES = 8, LEDGER_CLASSES = 8 * 24 /* 1 us .. 16 s */ };

struct ledger_stage {
	atomic_uint_least64_t count[LEDGER_CLASSES];
	atomic_uint_least64_t worst_ns, worst_slot;
};

struct ledger {
	struct ledger_stage stage[LEDGER_STAGES];
};

struct ledger_counts {
	uint64_t count[LEDGER_CLASSES];
};

struct ledger_line {
	uint64_t n;
	double p50_s, p99_s, p999_s; /* NAN if there is nothing */
	double worst_s;              /* since the beginning */
	uint64_t worst_slot;
};

void ledger_note(struct ledger *l, unsigned stage, double seconds, uint64_t slot);
struct ledger_line ledger_read(struct ledger *l, unsigned stage, struct ledger_counts *before);

#endif
