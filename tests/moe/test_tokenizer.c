/* The tokenizer on the small model's vocabulary: 3 specials, 256 bytes, the space mark, letters, merges. */
#include "moe/tokenizer.h"
#include "support.h"

#include <errno.h>

enum { MAX_IDS = 4096 };

static const unsigned full = TOKENIZER_BOS | TOKENIZER_SPECIAL;

static int set_up(void **state)
{
	*state = open_model(mini_path, NULL);
	return 0;
}

static int tear_down(void **state)
{
	moe_model_close(*state);
	return 0;
}

static const struct tokenizer *tokenizer_of(void **state)
{
	return ((const struct moe_model *)*state)->tokenizer;
}

static size_t encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags, int32_t *ids)
{
	ssize_t n = tokenizer_encode(t, text, len, flags, ids, MAX_IDS);
	assert_in_range(n, 0, MAX_IDS);
	return (size_t)n;
}

static void assert_comes_back(const struct tokenizer *t, const char *text, size_t len)
{
	int32_t ids[MAX_IDS];
	char back[MAX_IDS];
	size_t n = encode(t, text, len, 0, ids);
	assert_int_equal(tokenizer_decode(t, ids, n, back, sizeof back), len);
	assert_memory_equal(back, text, len);
}

static void text_comes_back_with_all_its_spaces(void **state)
{
	static const char *const texts[] = {
		"the radio carries the token", "  two  spaces   three\nlines\tand tabs\n",          " ", "   ",
		"UPPER case and 12345?",       "na\xc3\xafve \xe2\x80\x94 \xe6\x97\xa5\xe6\x9c\xac"
	};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		assert_comes_back(tokenizer_of(state), texts[i], strlen(texts[i]));
}

/* Spaces apart: a broken character swallows the mark of a space behind it, by the rule that the readers of GGUF share.
 */
static void any_bytes_but_spaces_come_back(void **state)
{
	uint64_t seed = 3;
	for (int round = 0; round < 300; round++) {
		char text[200];
		size_t len = (size_t)round % sizeof text;
		for (size_t i = 0; i < len; i++)
			do
				text[i] = (char)(draw(&seed) * 128);
			while (text[i] == ' ');
		assert_comes_back(tokenizer_of(state), text, len);
	}
}

static void an_empty_text_is_bos_alone(void **state)
{
	int32_t ids[4];
	assert_int_equal(encode(tokenizer_of(state), "", 0, full, ids), 1);
	assert_int_equal(ids[0], tokenizer_bos(tokenizer_of(state)));
	assert_int_equal(encode(tokenizer_of(state), "", 0, 0, ids), 0);
}

static void control_tokens_in_the_text_count_only_when_asked_for(void **state)
{
	const struct tokenizer *t = tokenizer_of(state);
	int32_t ids[MAX_IDS];
	const char text[] = "the</s>the";
	size_t n = encode(t, text, sizeof text - 1, TOKENIZER_SPECIAL, ids);
	assert_int_equal(n, 3);
	assert_int_equal(ids[1], tokenizer_eos(t));
	assert_int_equal(ids[0], ids[2]); /* a space prefix behind a control token too */
	n = encode(t, text, sizeof text - 1, 0, ids);
	for (size_t i = 0; i < n; i++)
		assert_int_not_equal(ids[i], tokenizer_eos(t));
}

static void a_byte_without_a_token_becomes_its_byte_token(void **state)
{
	const struct tokenizer *t = tokenizer_of(state);
	int32_t ids[MAX_IDS];
	size_t n = encode(t, "\xff\x01", 2, 0, ids);
	char piece;
	assert_int_equal(tokenizer_piece(t, ids[n - 1], &piece, 1), 1);
	assert_int_equal((unsigned char)piece, 0x01);
	assert_int_equal(tokenizer_piece(t, ids[n - 2], &piece, 1), 1);
	assert_int_equal((unsigned char)piece, 0xff);
}

/* The joins by the plain rule: look at all neighbours, join the best, start over. */
static size_t encode_plainly(const struct tokenizer *t, const struct gguf *g, const char *word, size_t len,
                             int32_t *ids)
{
	struct gguf_array texts, scores;
	gguf_get_array(g, "tokenizer.ggml.tokens", GGUF_STR, &texts);
	gguf_get_array(g, "tokenizer.ggml.scores", GGUF_F32, &scores);
	size_t n_vocab = tokenizer_n_vocab(t), starts[256], n = len;
	struct gguf_str vocab[1024];
	for (size_t i = 0; i < n_vocab; i++)
		vocab[i] = gguf_next_str(&texts);
	for (size_t i = 0; i <= len; i++)
		starts[i] = i;
	for (;;) {
		float best = -INFINITY;
		size_t at = n;
		for (size_t i = 0; i + 1 < n; i++)
			for (size_t v = 0; v < n_vocab; v++) {
				float score;
				memcpy(&score, scores.bytes + 4 * v, 4);
				if (vocab[v].len == starts[i + 2] - starts[i] && score > best &&
				    !memcmp(vocab[v].bytes, word + starts[i], vocab[v].len)) {
					best = score;
					at = i;
				}
			}
		if (at == n)
			break;
		memmove(starts + at + 1, starts + at + 2, (n - at - 1) * sizeof *starts);
		n--;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t v = 0; v < n_vocab; v++)
			if (vocab[v].len == starts[i + 1] - starts[i] &&
			    !memcmp(vocab[v].bytes, word + starts[i], vocab[v].len))
				ids[i] = (int32_t)v;
	return n;
}

static void joins_are_those_of_the_plain_rule(void **state)
{
	const struct moe_model *m = *state;
	uint64_t seed = 9;
	for (int round = 0; round < 40; round++) {
		char word[60], marked[64] = "\n"; /* the line break keeps the space prefix from joining with the word */
		int32_t ids[MAX_IDS], plain[256];
		for (size_t i = 0; i < sizeof word; i++)
			word[i] = "etaoinsrhtae"[(size_t)(fabsf(draw(&seed)) * 11.99f)];
		memcpy(marked + 1, word, sizeof word);
		size_t n = encode(m->tokenizer, marked, sizeof word + 1, 0, ids);
		size_t n_plain = encode_plainly(m->tokenizer, m->file, word, sizeof word, plain);
		assert_true(n > n_plain);
		assert_memory_equal(ids + n - n_plain, plain, n_plain * sizeof *plain);
	}
}

static void too_little_room_still_tells_how_much_is_needed(void **state)
{
	const struct tokenizer *t = tokenizer_of(state);
	const char text[] = "the radio carries";
	int32_t all[64], some[64];
	size_t n = encode(t, text, sizeof text - 1, full, all);
	memset(some, 0x55, sizeof some);
	assert_int_equal(tokenizer_encode(t, text, sizeof text - 1, full, some, 3), n);
	assert_memory_equal(some, all, 3 * sizeof *all);
	assert_int_equal(some[3], 0x55555555);
	char back[8] = "xxxxxxx";
	assert_int_equal(tokenizer_decode(t, all, n, back, 4), sizeof text - 1);
	assert_string_equal(back, "the xxx");
}

static void an_id_outside_the_vocabulary_is_refused(void **state)
{
	const struct tokenizer *t = tokenizer_of(state);
	char buf[8];
	assert_int_equal(tokenizer_piece(t, -1, buf, sizeof buf), -EINVAL);
	assert_int_equal(tokenizer_piece(t, (int32_t)tokenizer_n_vocab(t), buf, sizeof buf), -EINVAL);
	assert_int_equal(tokenizer_decode(t, (int32_t[]){ 5, INT32_MAX }, 2, buf, sizeof buf), -EINVAL);
}

static void a_hundred_thousand_letters_are_cut_in_time(void **state)
{
	enum { LEN = 100000 };
	char *text = malloc(LEN);
	memset(text, 'a', LEN);
	ssize_t n = tokenizer_encode(tokenizer_of(state), text, LEN, 0, NULL, 0);
	assert_in_range(n, LEN / 20, LEN + 1);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_comes_back_with_all_its_spaces),
		cmocka_unit_test(any_bytes_but_spaces_come_back),
		cmocka_unit_test(an_empty_text_is_bos_alone),
		cmocka_unit_test(control_tokens_in_the_text_count_only_when_asked_for),
		cmocka_unit_test(a_byte_without_a_token_becomes_its_byte_token),
		cmocka_unit_test(joins_are_those_of_the_plain_rule),
		cmocka_unit_test(too_little_room_still_tells_how_much_is_needed),
		cmocka_unit_test(an_id_outside_the_vocabulary_is_refused),
		cmocka_unit_test(a_hundred_thousand_letters_are_cut_in_time),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
