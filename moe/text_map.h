/* text_map.h - finds small numbers by text.
 *
 *     struct text_map m;
 *     text_map_init(&m, n_texts);
 *     text_map_put(&m, text, len, 7);
 *     text_map_find(&m, text, len);         7, or -1
 *     text_map_free(&m);
 *
 * Open addressing, at most half full. The texts are not copied and must outlive the map.
 */
#ifndef MOE_TEXT_MAP_H
#define MOE_TEXT_MAP_H

#include <stddef.h>
#include <stdint.h>

struct text_place {
	const char *text;
	size_t len;
	int32_t value; /* -1: the place is free */
};

struct text_map {
	struct text_place *places; /* [n], a power of two */
	size_t n;
};

/* For at most n_texts. 0 or -ENOMEM; the map is then empty and may be freed. */
int text_map_init(struct text_map *m, size_t n_texts);
void text_map_free(struct text_map *m);

/* value: not negative. Of equal texts the first counts. */
void text_map_put(struct text_map *m, const char *text, size_t len, int32_t value);
int32_t text_map_find(const struct text_map *m, const char *text, size_t len);

#endif
