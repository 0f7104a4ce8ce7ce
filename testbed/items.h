/* items.h - held-out items: JSON lines {"family", "prompt", "answer"}.
 *
 *     struct items items;
 *     if (items_load(&items, path, err, sizeof err)) ...
 *     items.item[i].prompt ...
 *     items_free(&items);
 */
#ifndef TESTBED_ITEMS_H
#define TESTBED_ITEMS_H

#include <stdbool.h>
#include <stddef.h>

struct item {
	char *family, *prompt, *answer;
};

struct items {
	struct item *item;
	size_t n;
};

/* Appends the lines of a file to *items (start from zeros). 0, or negative errno and one line naming file and line;
 * what was read before stays. */
int items_load(struct items *items, const char *path, char *err, size_t err_len);
void items_free(struct items *items);

/* Is the generated text right: up to the first newline, without white space around, equal to the answer? */
bool item_is_right(const struct item *item, const char *text);

#endif
