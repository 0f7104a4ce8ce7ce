#include "moe/splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PATTERNS_MAX = 4 };

/* The rule of GPT-2 (Radford 2019), and of those who kept it. */
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
/* That of cl100k and its kin: case does not matter, a sign sticks to its word, line ends are apart; digits in groups. */
#define CL100K(digits)                                                                                                 \
	"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits              \
	"| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const char *const gpt2[] = { GPT2, NULL };
static const char *const starcoder[] = { "\\p{N}", GPT2, NULL }; /* digits one by one */
static const char *const llama3[] = { CL100K("\\p{N}{1,3}"), NULL };
static const char *const qwen2[] = { CL100K("\\p{N}"), NULL };
/* Files that name no rule. */
static const char *const plain[] = { "[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]", NULL };

static const struct splitter_rule rules[] = {
	{ "default", plain, false, false },       { "gpt-2", gpt2, false, false },
	{ "olmo", gpt2, false, false },           { "mpt", gpt2, false, false },
	{ "starcoder", starcoder, false, false }, { "refact", starcoder, false, false },
	{ "command-r", starcoder, false, false }, { "smollm", starcoder, false, false },
	{ "codeshell", starcoder, false, false }, { "qwen2", qwen2, false, false },
	{ "stablelm2", qwen2, false, false },     { "llama3", llama3, true, true },
	{ "llama-v3", llama3, true, true },       { "llama-bpe", llama3, true, true },
	{ "dbrx", llama3, false, false },         { "smaug-bpe", llama3, false, false },
};

const struct splitter_rule *splitter_rule_find(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
		if (strlen(rules[i].name) == len && !memcmp(rules[i].name, name, len))
			return &rules[i];
	return NULL;
}

struct splitter {
	pcre2_code *code[PATTERNS_MAX];
	size_t n;
};

struct splitter *splitter_create(const struct splitter_rule *rule)
{
	struct splitter *s = calloc(1, sizeof *s);
	for (; s && rule->patterns[s->n]; s->n++) {
		int error;
		PCRE2_SIZE at;
		s->code[s->n] = pcre2_compile((PCRE2_SPTR)rule->patterns[s->n], PCRE2_ZERO_TERMINATED,
		                              PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &error, &at, NULL);
		if (!s->code[s->n]) {
			splitter_destroy(s);
			errno = EINVAL;
			return NULL;
		}
		pcre2_jit_compile(s->code[s->n], PCRE2_JIT_COMPLETE); /* where the library has it; slower without */
	}
	return s;
}

void splitter_destroy(struct splitter *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		pcre2_code_free(s->code[i]);
	free(s);
}

/* What pattern i is cutting: of its stretch the bytes before `at` have been handed on. */
struct level {
	pcre2_match_data *match;
	const char *text;
	size_t len, at;
	size_t match_begin,
	        match_end; /* the next match, to be handed on after what lies before it; begin == len: none */
	bool searched;
};

struct splitter_walk {
	const struct splitter *s;
	struct level level[PATTERNS_MAX];
};

struct splitter_walk *splitter_begin(const struct splitter *s, const char *text, size_t len)
{
	struct splitter_walk *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->s = s;
	w->level[0].text = text;
	w->level[0].len = len;
	for (size_t i = 0; i < s->n; i++) {
		w->level[i].match = pcre2_match_data_create(1, NULL);
		if (!w->level[i].match) {
			splitter_end(w);
			errno = ENOMEM;
			return NULL;
		}
	}
	return w;
}

void splitter_end(struct splitter_walk *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->s->n; i++)
		pcre2_match_data_free(w->level[i].match);
	free(w);
}

/* No pattern matches nothing, so each match takes the walk on. A match that the library gives up on, for want of
 * memory, counts as none. */
static void find_match(const pcre2_code *code, struct level *l)
{
	l->searched = true;
	l->match_begin = l->match_end = l->len;
	if (pcre2_match(code, (PCRE2_SPTR)l->text, l->len, l->at, 0, l->match, NULL) < 0)
		return;
	const PCRE2_SIZE *span = pcre2_get_ovector_pointer(l->match);
	if (span[1] > span[0]) {
		l->match_begin = span[0];
		l->match_end = span[1];
	}
}

/* The next piece of level i, in terms of its own stretch. */
static bool next_of_level(const pcre2_code *code, struct level *l, const char **piece, size_t *len)
{
	if (l->at == l->len)
		return false;
	if (!l->searched)
		find_match(code, l);
	size_t end = l->at < l->match_begin ? l->match_begin : l->match_end;
	*piece = l->text + l->at;
	*len = end - l->at;
	l->searched = end == l->match_begin; /* what lay before the match came first */
	l->at = end;
	return true;
}

bool splitter_next(struct splitter_walk *w, const char **piece, size_t *len)
{
	for (size_t i = w->s->n; i-- > 0;) {
		if (!next_of_level(w->s->code[i], &w->level[i], piece, len))
			continue;
		for (; i + 1 < w->s->n; i++) {
			struct level *below = &w->level[i + 1];
			*below = (struct level){ .match = below->match, .text = *piece, .len = *len };
			next_of_level(w->s->code[i + 1], below, piece, len);
		}
		return true;
	}
	return false;
}
