/* gguf_part.h - one file of a model: maps it and checks its header (used inside moe/: gguf.h joins the parts of a model
 * that was split over several files).
 *
 *     struct gguf_part part;
 *     if (gguf_part_open("model-00002-of-00003.gguf", &part, err, sizeof err) < 0)
 *             complain(err);
 *     const struct gguf_entry *e = gguf_part_find(&part, "split.no");
 *     gguf_part_close(&part);
 */
#ifndef MOE_GGUF_PART_H
#define MOE_GGUF_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moe/gguf.h"

/* A key and where its value is in the mapping. */
struct gguf_entry {
	struct gguf_str key;
	enum gguf_type type;
	const uint8_t *value;
};

struct gguf_part {
	char *path;
	int fd;
	const uint8_t *map;
	size_t size;
	struct gguf_entry *entries; /* in order of key */
	size_t n_entries;
	struct gguf_tensor *tensors; /* in order of name */
	size_t n_tensors;
};

/* As gguf_open; the caller closes *part, which after an error holds nothing. */
int gguf_part_open(const char *path, struct gguf_part *part, char *err, size_t err_len);
void gguf_part_close(struct gguf_part *part);

const struct gguf_entry *gguf_part_find(const struct gguf_part *part, const char *key); /* NULL if there is none */

/* Any integer type that is not negative. Returns 0, -ENOENT (e is NULL) or -EINVAL; then *value is as before. */
int gguf_entry_u64(const struct gguf_entry *e, uint64_t *value);

/* Order of tensors by name, for qsort. */
int gguf_tensor_by_name(const void *a, const void *b);

/* Bytes of a name that are shown in an error, as the precision of "%.*s": it may hold anything, of any length. */
int gguf_shown(struct gguf_str s);

#endif
