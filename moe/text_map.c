#include "moe/text_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int text_map_init(struct text_map *m, size_t n_texts)
{
	size_t n = 4;
	while (n < 2 * n_texts)
		n *= 2;
	m->places = malloc(n * sizeof *m->places);
	m->n = m->places ? n : 0;
	for (size_t i = 0; i < m->n; i++)
		m->places[i].value = -1;
	return m->places ? 0 : -ENOMEM;
}

void text_map_free(struct text_map *m)
{
	free(m->places);
}

static size_t hash_text(const char *text, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
	return (size_t)(h ^ h >> 32);
}

/* Where the text is, or belongs. */
static struct text_place *place_of(const struct text_map *m, const char *text, size_t len)
{
	size_t i = hash_text(text, len) & (m->n - 1);
	while (m->places[i].value >= 0) {
		const struct text_place *p = &m->places[i];
		if (p->len == len && !memcmp(p->text, text, len))
			break;
		i = (i + 1) & (m->n - 1);
	}
	return &m->places[i];
}

void text_map_put(struct text_map *m, const char *text, size_t len, int32_t value)
{
	struct text_place *p = place_of(m, text, len);
	if (p->value < 0)
		*p = (struct text_place){ text, len, value };
}

int32_t text_map_find(const struct text_map *m, const char *text, size_t len)
{
	return place_of(m, text, len)->value;
}
