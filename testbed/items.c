#include "testbed/items.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool append(struct items *items, const char *family, const char *prompt, const char *answer)
{
	if (!(items->n & (items->n - 1))) { /* at every power of two */
		struct item *more = realloc(items->item, (items->n ? 2 * items->n : 1) * sizeof *more);
		if (!more)
			return false;
		items->item = more;
	}
	struct item it = { strdup(family), strdup(prompt), strdup(answer) };
	items->item[items->n++] = it;
	return it.family && it.prompt && it.answer;
}

static int take_line(struct items *items, const char *line, char *why, size_t why_len)
{
	json_error_t error;
	const char *family, *prompt, *answer;
	json_t *root = json_loads(line, 0, &error);
	int rc = 0;
	if (!root || json_unpack_ex(root, &error, 0, "{s:s, s:s, s:s}", "family", &family, "prompt", &prompt, "answer",
	                            &answer)) {
		snprintf(why, why_len, "%s", error.text);
		rc = -EINVAL;
	} else if (!append(items, family, prompt, answer)) {
		snprintf(why, why_len, "out of memory");
		rc = -ENOMEM;
	}
	json_decref(root);
	return rc;
}

int items_load(struct items *items, const char *path, char *err, size_t err_len)
{
	FILE *f = fopen(path, "r");
	if (!f) {
		int rc = -errno;
		snprintf(err, err_len, "%s: %s", path, strerror(-rc));
		return rc;
	}
	char *line = NULL, why[160];
	size_t room = 0, number = 0;
	int rc = 0;
	while (!rc && getline(&line, &room, f) >= 0) {
		number++;
		if (line[strspn(line, " \t\r\n")])
			rc = take_line(items, line, why, sizeof why);
	}
	if (rc) {
		snprintf(err, err_len, "%s:%zu: %s", path, number, why);
	} else if (ferror(f)) {
		rc = -EIO;
		snprintf(err, err_len, "%s: cannot be read", path);
	}
	free(line);
	fclose(f);
	return rc;
}

void items_free(struct items *items)
{
	for (size_t i = 0; i < items->n; i++) {
		free(items->item[i].family);
		free(items->item[i].prompt);
		free(items->item[i].answer);
	}
	free(items->item);
	*items = (struct items){ 0 };
}

bool item_is_right(const struct item *item, const char *text)
{
	size_t n = strcspn(text, "\n");
	while (n && isspace((unsigned char)*text))
		text++, n--;
	while (n && isspace((unsigned char)text[n - 1]))
		n--;
	return n == strlen(item->answer) && !memcmp(text, item->answer, n);
}
