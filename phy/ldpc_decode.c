#include "phy/ldpc.h"
#include "phy/ldpc_plan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* No channel value is stronger than one message can be: a row must be able to mend its own parity column. */
enum { CHANNEL_MAX = LDPC_MAGNITUDE_MAX - LDPC_OFFSET - LDPC_NEAR - 1 };

enum { PLANS = 4 };

struct ldpc_decoder {
	const struct ldpc_kernel *kernel;
	struct ldpc_plan plan[PLANS]; /* blocks of a slot have few sizes, which come again and again */
	size_t oldest;
	struct ldpc_room room;
};

static bool runs_anywhere(void)
{
	return true;
}

#ifdef __x86_64__
static bool runs_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

static bool runs_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}
#endif

static const struct {
	const struct ldpc_kernel *kernel;
	bool (*runs)(void); /* on this processor */
} kernels[] = {
/* the fastest first */
#ifdef __x86_64__
	{ &ldpc_kernel_avx512, runs_avx512 },
	{ &ldpc_kernel_avx2, runs_avx2 },
#endif
	{ &ldpc_kernel_portable, runs_anywhere },
};

static const struct ldpc_kernel *find_kernel(const char *name)
{
	for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
		if (kernels[i].runs() && (!name || !strcmp(name, kernels[i].kernel->name)))
			return kernels[i].kernel;
	return NULL;
}

struct ldpc_decoder *ldpc_decoder_create_kernel(const char *kernel)
{
	const struct ldpc_kernel *found = find_kernel(kernel);
	struct ldpc_decoder *d = NULL;
	int rc = found ? posix_memalign((void **)&d, 64, sizeof *d) : ENOTSUP;

	if (rc) {
		errno = rc;
		return NULL;
	}
	memset(d, 0, sizeof *d);
	d->kernel = found;
	return d;
}

struct ldpc_decoder *ldpc_decoder_create(void)
{
	return ldpc_decoder_create_kernel(NULL);
}

const char *ldpc_kernel_name(const struct ldpc_decoder *d)
{
	return d->kernel->name;
}

void ldpc_decoder_destroy(struct ldpc_decoder *d)
{
	free(d);
}

enum { WIDE = 32 }; /* what is copied or decided in one go: up to WIDE - 1 too many are read and written */

static void copy_clipped(int8_t *restrict to, const int8_t *restrict llr, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int8_t x = llr[i] < CHANNEL_MAX ? llr[i] : CHANNEL_MAX;
		to[i] = x > -CHANNEL_MAX ? x : -CHANNEL_MAX;
	}
}

static void copy_clipped_wide(int8_t *restrict to, const int8_t *restrict llr, size_t n)
{
	for (size_t i = 0; i < n; i += WIDE)
		copy_clipped(to + i, llr + i, WIDE);
}

static void decide_wide(uint8_t *restrict bits, const int8_t *restrict posterior, size_t n)
{
	for (size_t i = 0; i < n; i += WIDE)
		for (size_t k = i; k < i + WIDE; k++)
			bits[k] = posterior[k] < 0;
}

static const struct ldpc_plan *choose_plan(struct ldpc_decoder *d, const struct ldpc_code *code, const int8_t *llr)
{
	struct ldpc_choice choice = ldpc_choose_rows(code, llr);

	for (size_t i = 0; i < PLANS; i++)
		if (ldpc_same_choice(&choice, &d->plan[i].choice))
			return &d->plan[i];
	struct ldpc_plan *p = &d->plan[d->oldest];
	d->oldest = (d->oldest + 1) % PLANS;
	ldpc_plan_set(p, &choice, code, &d->room);
	return p;
}

static void load(struct ldpc_room *room, const struct ldpc_plan *p, const int8_t *llr)
{
	const struct ldpc_choice *c = &p->choice;

	for (size_t col = 0; col < (size_t)c->graph->n_info + LDPC_CORE_ROWS; col++) {
		int8_t *ring = room->ring + ldpc_ring_at(col, p->first_other[col]), first[LDPC_PAD];
		size_t turn = p->first_turn[col];
		copy_clipped_wide(ring, llr + col * c->z + turn, c->z - turn); /* there are columns behind these */
		copy_clipped_wide(ring + c->z - turn, llr + col * c->z, turn);
		memcpy(first, ring, sizeof first); /* z of them count */
		memcpy(ring + c->z, first, sizeof first);
	}
	for (size_t r = LDPC_CORE_ROWS; r < c->n_rows; r++)
		copy_clipped(room->parity[c->rows[r] - LDPC_CORE_ROWS], llr + (c->graph->n_info + c->rows[r]) * c->z,
		             c->z);
}

static void iterate(struct ldpc_decoder *d, const struct ldpc_plan *p, unsigned iteration)
{
	for (size_t r = iteration < p->core_from ? LDPC_CORE_ROWS : 0; r < p->choice.n_rows; r++) {
		bool fresh = iteration == (r < LDPC_CORE_ROWS ? p->core_from : 0);
		d->kernel->update(&p->row[r], d->room.ring, p->choice.z, iteration % 2, fresh);
	}
}

/* iteration: the next. suspect: the row that failed last, where it looks first. */
static bool is_codeword(const struct ldpc_decoder *d, const struct ldpc_plan *p, unsigned iteration, size_t *suspect)
{
	for (size_t r = 0; r < p->choice.n_rows; r++) {
		if (!d->kernel->holds(&p->row[*suspect], d->room.ring, p->choice.z, iteration % 2))
			return false;
		*suspect = *suspect + 1 < p->choice.n_rows ? *suspect + 1 : 0;
	}
	return true;
}

static void decide(const struct ldpc_room *room, const struct ldpc_plan *p, unsigned iteration, uint8_t *bits)
{
	size_t z = p->choice.z, n_info = p->choice.graph->n_info;
	uint8_t last[LDPC_Z_MAX + WIDE];

	for (size_t col = 0; col < n_info; col++) {
		const int8_t *ring = room->ring + ldpc_ring_at(col, iteration % 2 && p->odd[col]);
		uint8_t *to =
		        (n_info - col - 1) * z < WIDE ? last : bits + col * z; /* columns behind it bear too much */
		size_t turn = p->turn[col];
		decide_wide(to, ring + z - turn, turn);
		decide_wide(to + turn, ring, z - turn);
		if (to == last)
			memcpy(bits + col * z, last, z);
	}
}

int ldpc_decode(struct ldpc_decoder *d, const struct ldpc_code *code, const int8_t *llr, uint8_t *bits,
                unsigned max_iterations)
{
	const struct ldpc_plan *p = choose_plan(d, code, llr);
	unsigned iteration = 0;
	size_t suspect = 0;
	bool done = false;

	load(&d->room, p, llr);
	while (!done && iteration < max_iterations) {
		iterate(d, p, iteration);
		iteration++;
		done = is_codeword(d, p, iteration, &suspect);
	}
	decide(&d->room, p, iteration, bits);
	return done ? (int)iteration : -EBADMSG;
}
