#include "moe/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct place {
	struct generation *generation; /* NULL: free */
	int32_t *prompt;
	size_t n_prompt, n_fed; /* tokens of the prompt; of these and of those picked, what was fed */
	size_t last_row;        /* of this chunk, if `picks` */
	bool fresh;             /* what the sequence held before is still to be forgotten */
	bool picks;             /* the chunk's last row of it has logits that a token is picked from */
};

struct moe_batch {
	struct moe_ctx *ctx;
	struct place *places;
	size_t n_places;
	struct moe_row *rows; /* of a chunk */
	size_t *logits_rows;
	size_t n_rows;
	bool has_prompt;
};

struct moe_batch *moe_batch_create(struct moe_ctx *ctx)
{
	if (moe_max_rows(ctx) < moe_n_sequences(ctx)) {
		errno = EINVAL;
		return NULL;
	}
	struct moe_batch *b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	b->ctx = ctx;
	b->n_places = moe_n_sequences(ctx);
	b->places = calloc(b->n_places, sizeof *b->places);
	b->rows = calloc(moe_max_rows(ctx), sizeof *b->rows);
	b->logits_rows = calloc(b->n_places, sizeof *b->logits_rows);
	if (b->places && b->rows && b->logits_rows)
		return b;
	moe_batch_destroy(b);
	errno = ENOMEM;
	return NULL;
}

void moe_batch_destroy(struct moe_batch *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n_places && b->places; i++)
		moe_batch_release(b, i);
	free(b->logits_rows);
	free(b->rows);
	free(b->places);
	free(b);
}

size_t moe_batch_n_places(const struct moe_batch *b)
{
	return b->n_places;
}

size_t moe_batch_n_free(const struct moe_batch *b)
{
	size_t n = 0;
	for (size_t i = 0; i < b->n_places; i++)
		n += !b->places[i].generation;
	return n;
}

int moe_batch_start(struct moe_batch *b, const int32_t *tokens, size_t n, const struct generation_options *options)
{
	size_t i = 0;
	while (i < b->n_places && b->places[i].generation)
		i++;
	if (i == b->n_places)
		return -EBUSY;
	if (!n || n > moe_n_ctx(b->ctx))
		return -EINVAL;
	struct place p = { .n_prompt = n, .fresh = true, .prompt = malloc(n * sizeof *tokens) };
	if (!p.prompt)
		return -ENOMEM;
	p.generation = generation_create(moe_ctx_model(b->ctx)->tokenizer, n, moe_n_ctx(b->ctx), options);
	if (!p.generation) {
		int rc = -errno;
		free(p.prompt);
		return rc;
	}
	memcpy(p.prompt, tokens, n * sizeof *tokens);
	b->places[i] = p;
	return (int)i;
}

/* ---- a chunk ---- */

static bool goes_on(const struct place *p)
{
	return p->generation && generation_stop(p->generation) == GENERATION_GOES_ON;
}

static bool in_prompt(const struct place *p)
{
	return p->n_fed < p->n_prompt;
}

/* The token to be fed next. */
static int32_t next_token(const struct place *p)
{
	size_t n;
	return in_prompt(p) ? p->prompt[p->n_fed] : generation_tokens(p->generation, &n)[p->n_fed - p->n_prompt];
}

/* Puts n tokens of a place behind the chunk's rows. */
static void feed(struct moe_batch *b, size_t place, size_t n)
{
	struct place *p = &b->places[place];
	for (size_t i = 0; i < n; i++, p->n_fed++)
		b->rows[b->n_rows++] = (struct moe_row){ .token = next_token(p), .sequence = (uint32_t)place };
	p->picks = !in_prompt(p);
	p->last_row = b->n_rows - 1;
}

const struct moe_row *moe_batch_fill(struct moe_batch *b, size_t *n)
{
	b->n_rows = 0;
	b->has_prompt = false;
	for (size_t i = 0; i < b->n_places; i++) {
		b->places[i].picks = false;
		if (b->places[i].fresh)
			moe_rewind(b->ctx, i, 0);
		b->places[i].fresh = false;
		if (goes_on(&b->places[i]) && !in_prompt(&b->places[i]))
			feed(b, i, 1);
	}
	for (size_t i = 0; i < b->n_places; i++) {
		const struct place *p = &b->places[i];
		size_t room = moe_max_rows(b->ctx) - b->n_rows;
		if (!goes_on(p) || !in_prompt(p) || !room)
			continue;
		feed(b, i, p->n_prompt - p->n_fed < room ? p->n_prompt - p->n_fed : room);
		b->has_prompt = true;
	}
	*n = b->n_rows;
	return b->rows;
}

size_t moe_batch_n_picks(const struct moe_batch *b)
{
	size_t n = 0;
	for (size_t i = 0; i < b->n_places; i++)
		n += b->places[i].picks;
	return n;
}

bool moe_batch_has_prompt(const struct moe_batch *b)
{
	return b->has_prompt;
}

/* Picks tokens for n places whose rows are in logits_rows. */
static int pick(struct moe_batch *b, const size_t *places, size_t n)
{
	size_t n_vocab = moe_ctx_model(b->ctx)->shape.n_vocab;
	const float *logits = moe_logits_rows(b->ctx, b->logits_rows, n);
	if (!logits)
		return -errno;
	for (size_t i = 0; i < n; i++) {
		int32_t id = generation_next(b->places[places[i]].generation, logits + i * n_vocab);
		if (id < 0)
			return id;
	}
	return 0;
}

int moe_batch_pick(struct moe_batch *b)
{
	enum { AT_ONCE = 64 };
	size_t places[AT_ONCE], most = moe_logits_rows_max(b->ctx), n = 0;
	most = most < AT_ONCE ? most : AT_ONCE;
	int rc = 0;
	for (size_t i = 0; i < b->n_places && !rc; i++) {
		if (b->places[i].picks) {
			b->logits_rows[n] = b->places[i].last_row;
			places[n++] = i;
		}
		if (n && (n == most || i + 1 == b->n_places)) {
			rc = pick(b, places, n);
			n = 0;
		}
	}
	return rc;
}

int moe_batch_step(struct moe_batch *b, struct moe_forward *f)
{
	size_t n;
	const struct moe_row *rows = moe_batch_fill(b, &n);
	if (!n)
		return 0;
	int rc = moe_forward_rows(f, rows, n);
	if (!rc)
		rc = moe_batch_pick(b);
	return rc ? rc : (int)n;
}

bool moe_batch_ended(const struct moe_batch *b, size_t place)
{
	return b->places[place].generation && !goes_on(&b->places[place]);
}

size_t moe_batch_n_under_way(const struct moe_batch *b)
{
	size_t n = 0;
	for (size_t i = 0; i < b->n_places; i++)
		n += goes_on(&b->places[i]);
	return n;
}

const struct generation *moe_batch_generation(const struct moe_batch *b, size_t place)
{
	return b->places[place].generation;
}

void moe_batch_release(struct moe_batch *b, size_t place)
{
	generation_destroy(b->places[place].generation);
	free(b->places[place].prompt);
	b->places[place] = (struct place){ 0 };
}
