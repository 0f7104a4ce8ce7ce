/* A model file: whatever its bytes, it is refused with one line or it can be used: its tokenizer, and, where it is small, its
 * arithmetic in both modes. */
#include "tests/fuzz/input.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "moe/forward.h"

enum { ERR_LEN = 256, N_CTX = 6, SMALL = 512, LAYERS_MAX = 4 };

/* One line, terminated. */
static void check_complaint(const char *err)
{
	size_t n = strnlen(err, ERR_LEN);
	must(n > 0 && n < ERR_LEN);
	for (size_t i = 0; i < n; i++)
		must((unsigned char)err[i] >= ' ');
}

static void use_tokenizer(const struct tokenizer *t)
{
	static const char text[] = "the <s>\xc3\xa9\xff 12</s>  a";
	int32_t ids[4 * sizeof text];
	char back[8 * sizeof text];
	ssize_t n = tokenizer_encode(t, text, sizeof text - 1, TOKENIZER_BOS | TOKENIZER_SPECIAL, ids, 4 * sizeof text);
	must(n >= 0 && n <= (ssize_t)(3 * sizeof text + 5));
	for (ssize_t i = 0; i < n; i++)
		must(ids[i] >= 0 && (size_t)ids[i] < tokenizer_n_vocab(t));
	must(tokenizer_decode(t, ids, (size_t)n, back, sizeof back) >= 0);
}

static bool is_small(const struct moe_shape *s)
{
	return s->n_layer <= LAYERS_MAX && s->n_embd <= SMALL && s->n_ff <= SMALL && s->n_ff_shared <= SMALL &&
	       s->n_vocab <= SMALL && s->n_head * s->head_dim_k <= SMALL && s->n_head * s->head_dim_v <= SMALL &&
	       s->n_expert <= SMALL;
}

/* Numbers may be anything, so it may end anywhere with -EDOM. */
static void use_model(const struct moe_model *m, enum moe_mode mode)
{
	size_t n = m->shape.n_ctx < N_CTX ? m->shape.n_ctx : N_CTX;
	struct moe_forward *f = moe_forward_create(
	        m, &(struct moe_ctx_options){ .n_ctx = n, .max_rows = n, .compute = { .mode = mode } });
	if (!f)
		return;
	int32_t tokens[N_CTX];
	for (size_t i = 0; i < n; i++)
		tokens[i] = (int32_t)(i * 7 % m->shape.n_vocab);
	if (!moe_forward_run(f, tokens, n))
		moe_forward_logits(f);
	moe_forward_destroy(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], err[ERR_LEN];
	struct moe_model *m = NULL;
	int fd = memfd_create("model", MFD_CLOEXEC);
	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	memset(err, 'x', sizeof err);
	if (moe_model_open(path, NULL, &m, err, sizeof err)) {
		check_complaint(err);
	} else {
		use_tokenizer(m->tokenizer);
		for (int mode = MOE_EXACT; is_small(&m->shape) && mode <= MOE_FAST; mode++)
			use_model(m, (enum moe_mode)mode);
	}
	moe_model_close(m);
	close(fd);
	return 0;
}
