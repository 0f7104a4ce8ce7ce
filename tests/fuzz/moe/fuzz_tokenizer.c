/* Any text, by the vocabularies of both kinds and by every splitting rule: ids are in range, no more than promised, and byte BPE gives the
 * text back. */
#include "tests/fuzz/input.h"

#include <stdio.h>

#include "moe/model.h"

static const char *const files[] = { "mini", "olmoe", "granitemoe", "qwen2moe" };
enum { N_FILES = sizeof files / sizeof files[0], TEXT_MAX = 4096 };

static struct moe_model *models[N_FILES];

static void open_models(void)
{
	for (size_t i = 0; i < N_FILES; i++) {
		char path[512], err[256];
		snprintf(path, sizeof path, TEST_DATA_DIR "/%s.gguf", files[i]);
		must(!moe_model_open(path, NULL, &models[i], err, sizeof err));
	}
}

static void check(const struct tokenizer *t, const char *text, size_t len, unsigned flags, bool comes_back)
{
	static int32_t ids[3 * TEXT_MAX + 5];
	static char back[8 * TEXT_MAX];
	ssize_t n = tokenizer_encode(t, text, len, flags, ids, 3 * TEXT_MAX + 5);
	must(n >= 0 && n <= (ssize_t)(3 * len + 5));
	for (ssize_t i = 0; i < n; i++)
		must(ids[i] >= 0 && (size_t)ids[i] < tokenizer_n_vocab(t));
	ssize_t got = tokenizer_decode(t, ids, (size_t)n, back, sizeof back);
	must(got >= 0);
	if (comes_back)
		must(got == (ssize_t)len && !memcmp(back, text, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	unsigned flags = fuzz_byte(&in) % 4;
	size_t len = in.size < TEXT_MAX ? in.size : TEXT_MAX;
	if (!models[0])
		open_models();
	for (size_t i = 0; i < N_FILES; i++)
		check(models[i]->tokenizer, (const char *)in.data, len, flags, i > 0 && !flags);
	return 0;
}
