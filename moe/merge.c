#include "moe/merge.h"

#include <errno.h>
#include <stdlib.h>

/* Two neighbours that could be joined. */
struct join {
	float score;
	int32_t left, right;
	uint32_t len; /* of both together: a join is stale when they have changed */
};

/* Every pair with a score enters the heap: at most one for each pair at the start and two after each join, 3 n in all. */
int merge_init(struct merge *m, size_t len_max)
{
	*m = (struct merge){
		.text = malloc(len_max + 1),
		.symbols = malloc((len_max + 1) * sizeof *m->symbols),
		.heap = malloc(3 * (len_max + 1) * sizeof *m->heap),
	};
	return m->text && m->symbols && m->heap ? 0 : -ENOMEM;
}

void merge_free(struct merge *m)
{
	free(m->heap);
	free(m->symbols);
	free(m->text);
}

static bool better(const struct join *a, const struct join *b)
{
	return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static void heap_push(struct merge *m, struct join j)
{
	size_t i = m->n_heap++;
	for (; i && better(&j, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
		m->heap[i] = m->heap[(i - 1) / 2];
	m->heap[i] = j;
}

static struct join heap_pop(struct merge *m)
{
	struct join top = m->heap[0], last = m->heap[--m->n_heap];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= m->n_heap)
			break;
		if (child + 1 < m->n_heap && better(&m->heap[child + 1], &m->heap[child]))
			child++;
		if (!better(&m->heap[child], &last))
			break;
		m->heap[i] = m->heap[child];
		i = child;
	}
	m->heap[i] = last;
	return top;
}

struct scorer {
	merge_score_fn *score;
	const void *user;
};

static void offer(struct merge *m, const struct scorer *s, int32_t left, int32_t right)
{
	if (left < 0 || right < 0)
		return;
	const struct symbol *a = &m->symbols[left], *b = &m->symbols[right];
	float score;
	if (s->score(s->user, m->text + a->start, a->len, b->len, &score))
		heap_push(m, (struct join){ score, left, right, a->len + b->len });
}

/* Length of a character by its first byte; what is no UTF-8 is cut at the end of the text at the latest. */
static uint32_t character_len(const char *text, size_t room)
{
	static const uint8_t by_high_bits[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4 };
	uint32_t len = by_high_bits[(unsigned char)*text >> 4];
	return len < room ? len : (uint32_t)room;
}

static int32_t split_characters(struct merge *m, size_t len)
{
	int32_t n = 0;
	for (size_t at = 0; at < len; n++) {
		uint32_t c = character_len(m->text + at, len - at);
		m->symbols[n] = (struct symbol){ (uint32_t)at, c, n - 1, n + 1 };
		at += c;
	}
	if (n)
		m->symbols[n - 1].right = -1;
	m->n_symbols = (size_t)n;
	return n;
}

void merge_run(struct merge *m, size_t len, merge_score_fn *score, const void *user)
{
	const struct scorer how = { score, user };
	struct symbol *s = m->symbols;
	int32_t n = split_characters(m, len);
	m->n_heap = 0;
	for (int32_t i = 1; i < n; i++)
		offer(m, &how, i - 1, i);
	while (m->n_heap) {
		struct join j = heap_pop(m);
		if (!s[j.left].len || !s[j.right].len || s[j.left].len + s[j.right].len != j.len)
			continue;
		s[j.left].len = j.len;
		s[j.right].len = 0;
		s[j.left].right = s[j.right].right;
		if (s[j.left].right >= 0)
			s[s[j.left].right].left = j.left;
		offer(m, &how, s[j.left].left, j.left);
		offer(m, &how, j.left, s[j.left].right);
	}
}
