#include "moe/generation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "moe/sampler.h"

struct generation {
	const struct tokenizer *tokenizer;
	struct sampler *sampler;
	struct logits_hash hash;
	size_t n_prompt, n_ctx, n_max;
	bool ignore_eos;
	enum generation_stop stop;
	size_t n_tokens, text_len, text_cap;
	int32_t *tokens; /* [n_max] */
	char *text;      /* [text_cap], NUL at text_len */
};

/* Bytes of the vocabulary's longest piece. */
static size_t longest_piece(const struct tokenizer *t)
{
	ssize_t max = 0;
	for (size_t id = 0; id < tokenizer_n_vocab(t); id++) {
		ssize_t len = tokenizer_piece(t, (int32_t)id, NULL, 0);
		max = len > max ? len : max;
	}
	return (size_t)max;
}

struct generation *generation_create(const struct tokenizer *t, size_t n_prompt, size_t n_ctx,
                                     const struct generation_options *options)
{
	if (n_prompt < 1 || n_prompt > n_ctx || options->n_tokens < 1) {
		errno = EINVAL;
		return NULL;
	}
	struct generation *g =
	        aligned_alloc(_Alignof(struct generation), sizeof *g); /* the hash state asks for 64 bytes */
	if (!g)
		return NULL;
	memset(g, 0, sizeof *g);
	size_t room = n_ctx - n_prompt + 1; /* the last token need not be fed */
	g->tokenizer = t;
	g->n_prompt = n_prompt;
	g->n_ctx = n_ctx;
	g->n_max = options->n_tokens;
	g->ignore_eos = options->ignore_eos;
	room = room < g->n_max ? room : g->n_max;
	g->text_cap = room * longest_piece(t) + 1;
	logits_hash_init(&g->hash);
	g->sampler = sampler_create(tokenizer_n_vocab(t), options->temperature, options->top_p, options->seed);
	int error = errno;
	g->tokens = calloc(room, sizeof *g->tokens);
	g->text = calloc(g->text_cap, 1);
	if (!g->sampler || !g->tokens || !g->text) {
		error = g->sampler ? ENOMEM : error;
		generation_destroy(g);
		errno = error;
		return NULL;
	}
	return g;
}

void generation_destroy(struct generation *g)
{
	if (!g)
		return;
	free(g->text);
	free(g->tokens);
	sampler_destroy(g->sampler);
	free(g);
}

static enum generation_stop stop_after(const struct generation *g, int32_t id)
{
	if (id == tokenizer_eos(g->tokenizer) && !g->ignore_eos)
		return GENERATION_EOS;
	if (g->n_tokens == g->n_max)
		return GENERATION_LIMIT;
	return g->n_prompt + g->n_tokens > g->n_ctx ? GENERATION_CONTEXT : GENERATION_GOES_ON;
}

int32_t generation_next(struct generation *g, const float *logits)
{
	if (g->stop)
		return -EPROTO;
	int32_t id = sampler_pick(g->sampler, logits);
	if (id < 0)
		return id;
	logits_hash_add(&g->hash, logits, tokenizer_n_vocab(g->tokenizer));
	g->tokens[g->n_tokens++] = id;
	ssize_t len = tokenizer_piece(g->tokenizer, id, g->text + g->text_len, g->text_cap - 1 - g->text_len);
	g->text_len += (size_t)len;
	g->text[g->text_len] = 0;
	g->stop = stop_after(g, id);
	return id;
}

enum generation_stop generation_stop(const struct generation *g)
{
	return g->stop;
}

const char *generation_stop_name(enum generation_stop stop)
{
	static const char *const names[] = {
		[GENERATION_GOES_ON] = "",
		[GENERATION_EOS] = "eos",
		[GENERATION_LIMIT] = "limit",
		[GENERATION_CONTEXT] = "context",
	};
	return names[stop];
}

const int32_t *generation_tokens(const struct generation *g, size_t *n)
{
	*n = g->n_tokens;
	return g->tokens;
}

const char *generation_text(const struct generation *g, size_t *len)
{
	*len = g->text_len;
	return g->text;
}

void generation_hash_hex(const struct generation *g, char hex[static LOGITS_HASH_HEX])
{
	logits_hash_hex(&g->hash, hex);
}
