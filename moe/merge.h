/* merge.h - joins neighbours in a text, the best pair first: what SPM and byte BPE have in common.
 *
 *     struct merge m;
 *     merge_init(&m, len_max);
 *     ... write up to len_max bytes to m.text ...
 *     merge_run(&m, len, score, user);
 *     for (int32_t i = merge_first(&m); i >= 0; i = m.symbols[i].right) ... m.text + start, len ...
 *     merge_free(&m);
 *
 * The text is cut into UTF-8 characters; again and again the two neighbours with the highest score are joined (ties:
 * leftmost), until no pair has one. A heap: n log n.
 */
#ifndef MOE_MERGE_H
#define MOE_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A stretch of text that is a character or has been joined; a list through the text. */
struct symbol {
	uint32_t start, len; /* len 0: joined into its left neighbour */
	int32_t left, right; /* -1 at the ends */
};

struct join;

struct merge {
	char *text;
	struct symbol *symbols;
	struct join *heap; /* best join first */
	size_t n_heap;
	size_t n_symbols; /* of the text in work, before anything is joined */
};

/* May these neighbours, of `left` and `right` bytes, be joined, and how good is that? */
typedef bool merge_score_fn(const void *user, const char *text, size_t left, size_t right, float *score);

/* 0 or -ENOMEM; may be freed after either. */
int merge_init(struct merge *m, size_t len_max);
void merge_free(struct merge *m);

/* Works on the first len bytes of m->text. */
void merge_run(struct merge *m, size_t len, merge_score_fn *score, const void *user);

/* The leftmost symbol, -1 if the text is empty. */
static inline int32_t merge_first(const struct merge *m)
{
	return m->n_symbols ? 0 : -1;
}

#endif
