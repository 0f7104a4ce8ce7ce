#include "testbed/ledger.h"

#include <math.h>

static const double SHORTEST_S = 1e-6;
enum { IN_AN_OCTAVE = 8 };

static unsigned class_of(double seconds)
{
	double octaves = seconds > SHORTEST_S ? log2(seconds / SHORTEST_S) : 0;
	unsigned c = (unsigned)(octaves * IN_AN_OCTAVE);
	return c < LEDGER_CLASSES ? c : LEDGER_CLASSES - 1;
}

static double upper_s(unsigned class)
{
	return SHORTEST_S * exp2((double)(class + 1) / IN_AN_OCTAVE);
}

void ledger_note(struct ledger *l, unsigned stage, double seconds, uint64_t slot)
{
	struct ledger_stage *s = &l->stage[stage];
	uint64_t ns = (uint64_t)(seconds > 0 ? 1e9 * seconds : 0);
	atomic_fetch_add_explicit(&s->count[class_of(seconds)], 1, memory_order_relaxed);
	if (ns > atomic_load_explicit(&s->worst_ns, memory_order_relaxed)) {
		atomic_store_explicit(&s->worst_ns, ns, memory_order_relaxed);
		atomic_store_explicit(&s->worst_slot, slot, memory_order_relaxed);
	}
}

static double percentile_s(const uint64_t *count, uint64_t n, double share)
{
	uint64_t rank = (uint64_t)ceil(share * (double)n), seen = 0;
	for (unsigned c = 0; c < LEDGER_CLASSES && n; c++) {
		seen += count[c];
		if (seen >= rank)
			return upper_s(c);
	}
	return NAN;
}

struct ledger_line ledger_read(struct ledger *l, unsigned stage, struct ledger_counts *before)
{
	struct ledger_stage *s = &l->stage[stage];
	uint64_t count[LEDGER_CLASSES], n = 0;
	for (unsigned c = 0; c < LEDGER_CLASSES; c++) {
		uint64_t now = atomic_load_explicit(&s->count[c], memory_order_relaxed);
		count[c] = now - (before ? before->count[c] : 0);
		if (before)
			before->count[c] = now;
		n += count[c];
	}
	return (struct ledger_line){
		.n = n,
		.p50_s = percentile_s(count, n, 0.5),
		.p99_s = percentile_s(count, n, 0.99),
		.p999_s = percentile_s(count, n, 0.999),
		.worst_s = 1e-9 * (double)atomic_load_explicit(&s->worst_ns, memory_order_relaxed),
		.worst_slot = atomic_load_explicit(&s->worst_slot, memory_order_relaxed),
	};
}
