#include "moe/gguf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "moe/complaint.h"
#include "moe/gguf_part.h"

struct gguf {
	struct gguf_part *parts; /* the first has the keys */
	size_t n_parts;
	struct gguf_tensor *tensors; /* of all parts, in order of name */
	size_t n_tensors;
};

/* --- parts --- */

/* A part's place among the others: "split.no" of "split.count"; a file without these keys is the first of one. */
struct place {
	uint64_t no, count;
};

static int read_place(const struct gguf_part *part, const struct complaint *c, struct place *place)
{
	enum { MAX_PARTS = 99999 }; /* five digits */
	*place = (struct place){ .no = 0, .count = 1 };
	int count_rc = gguf_entry_u64(gguf_part_find(part, "split.count"), &place->count);
	int no_rc = gguf_entry_u64(gguf_part_find(part, "split.no"), &place->no);
	if (count_rc == -EINVAL || place->count < 1 || place->count > MAX_PARTS)
		return complain(c, "key split.count is not a number from 1 to %d", MAX_PARTS);
	if (no_rc == -EINVAL || place->no >= place->count)
		return complain(c, "key split.no is not a number below split.count");
	return 0;
}

/* Where the number of a part stands in the name of a part: "NAME-00001-of-00003.gguf" counts from 1. */
static int part_name(const char *path, size_t no, uint64_t count, char **name)
{
	char tail[32];
	size_t len = strlen(path);
	int n = snprintf(tail, sizeof tail, "-%05zu-of-%05u.gguf", no + 1, (unsigned)count);
	if (len < (size_t)n)
		return -EINVAL;
	*name = strdup(path);
	if (!*name)
		return -ENOMEM;
	memcpy(*name + len - (size_t)n, tail, (size_t)n);
	return 0;
}

/* Opens part `no` beside the first one, whose place is known. */
static int open_part(struct gguf *g, const struct complaint *c, size_t no, uint64_t count)
{
	char *name = NULL;
	int rc = part_name(g->parts[0].path, no, count, &name);
	if (!rc)
		rc = gguf_part_open(name, &g->parts[no], c->text, c->len);
	free(name);
	if (rc)
		return rc;
	g->n_parts++;
	struct place place;
	const struct complaint of_part = { c->text, c->len, g->parts[no].path };
	rc = read_place(&g->parts[no], &of_part, &place);
	if (!rc && (place.no != no || place.count != count))
		return complain(&of_part, "is part %llu of %llu, not %zu of %llu", (unsigned long long)place.no + 1,
		                (unsigned long long)place.count, no + 1, (unsigned long long)count);
	return rc;
}

/* Opens the first part, which knows how many there are, and the others. */
static int open_parts(struct gguf *g, const struct complaint *c)
{
	struct place place;
	char *name = NULL;
	g->parts = calloc(1, sizeof *g->parts);
	if (!g->parts)
		return -ENOMEM;
	int rc = gguf_part_open(c->path, &g->parts[0], c->text, c->len);
	if (rc)
		return rc;
	g->n_parts = 1;
	rc = read_place(&g->parts[0], c, &place);
	if (rc || place.count == 1)
		return rc;
	rc = part_name(c->path, place.no, place.count, &name);
	if (rc == -EINVAL || (!rc && strcmp(name, c->path)))
		rc = complain(c, "is part %llu of %llu, but not named ...-%05llu-of-%05llu.gguf",
		              (unsigned long long)place.no + 1, (unsigned long long)place.count,
		              (unsigned long long)place.no + 1, (unsigned long long)place.count);
	free(name);
	if (!rc && place.no)
		return complain(c, "is part %llu of a model in %llu files: open the first",
		                (unsigned long long)place.no + 1, (unsigned long long)place.count);
	if (rc)
		return rc;
	struct gguf_part *parts = realloc(g->parts, place.count * sizeof *parts);
	if (!parts)
		return -ENOMEM;
	g->parts = parts;
	for (size_t no = 1; no < place.count && !rc; no++)
		rc = open_part(g, c, no, place.count);
	return rc;
}

/* One list of the tensors of all parts, each known by its part. */
static int join_tensors(struct gguf *g, const struct complaint *c)
{
	uint64_t wanted;
	for (size_t part = 0; part < g->n_parts; part++)
		g->n_tensors += g->parts[part].n_tensors;
	int rc = gguf_get_u64(g, "split.tensors.count", &wanted);
	if (rc == -EINVAL || (!rc && wanted != g->n_tensors))
		return complain(c, "the parts hold %zu tensors, which is not split.tensors.count", g->n_tensors);
	g->tensors = calloc(g->n_tensors + 1, sizeof *g->tensors);
	if (!g->tensors)
		return -ENOMEM;
	struct gguf_tensor *t = g->tensors;
	for (size_t part = 0; part < g->n_parts; part++)
		for (size_t i = 0; i < g->parts[part].n_tensors; i++, t++) {
			*t = g->parts[part].tensors[i];
			t->part = part;
		}
	qsort(g->tensors, g->n_tensors, sizeof *g->tensors, gguf_tensor_by_name);
	for (t = g->tensors; t + 1 < g->tensors + g->n_tensors; t++)
		if (!gguf_tensor_by_name(t, t + 1))
			return complain(c, "tensor '%.*s' is in two parts", gguf_shown(t->name), t->name.bytes);
	return 0;
}

int gguf_open(const char *path, struct gguf **out, char *err, size_t err_len)
{
	const struct complaint c = { err, err_len, path };
	struct gguf *g = calloc(1, sizeof *g);
	int rc = g ? open_parts(g, &c) : -ENOMEM;
	if (!rc)
		rc = join_tensors(g, &c);
	if (rc == -ENOMEM)
		complain(&c, "out of memory");
	if (rc) {
		gguf_close(g);
		return rc;
	}
	*out = g;
	return 0;
}

void gguf_close(struct gguf *g)
{
	if (!g)
		return;
	for (size_t part = 0; part < g->n_parts; part++)
		gguf_part_close(&g->parts[part]);
	free(g->parts);
	free(g->tensors);
	free(g);
}

/* --- access --- */

const char *gguf_path(const struct gguf *g)
{
	return g->parts[0].path;
}

size_t gguf_n_parts(const struct gguf *g)
{
	return g->n_parts;
}

size_t gguf_n_tensors(const struct gguf *g)
{
	return g->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i)
{
	return &g->tensors[i];
}

const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name)
{
	struct gguf_tensor wanted = { .name = { name, strlen(name) } };
	return bsearch(&wanted, g->tensors, g->n_tensors, sizeof wanted, gguf_tensor_by_name);
}

/* Keys are those of the first part. */
static const struct gguf_entry *find_entry(const struct gguf *g, const char *key)
{
	return gguf_part_find(&g->parts[0], key);
}

int gguf_get_u64(const struct gguf *g, const char *key, uint64_t *value)
{
	return gguf_entry_u64(find_entry(g, key), value);
}

int gguf_get_f64(const struct gguf *g, const char *key, double *value)
{
	const struct gguf_entry *e = find_entry(g, key);
	if (!e)
		return -ENOENT;
	float f;
	if (e->type == GGUF_F32) {
		memcpy(&f, e->value, sizeof f);
		*value = (double)f;
	} else if (e->type == GGUF_F64) {
		memcpy(value, e->value, sizeof *value);
	} else {
		return -EINVAL;
	}
	return 0;
}

int gguf_get_bool(const struct gguf *g, const char *key, bool *value)
{
	const struct gguf_entry *e = find_entry(g, key);
	if (!e)
		return -ENOENT;
	if (e->type != GGUF_BOOL)
		return -EINVAL;
	*value = *e->value;
	return 0;
}

int gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *value)
{
	const struct gguf_entry *e = find_entry(g, key);
	if (!e)
		return -ENOENT;
	if (e->type != GGUF_STR)
		return -EINVAL;
	struct gguf_array a = { GGUF_STR, 1, e->value };
	*value = gguf_next_str(&a);
	return 0;
}

int gguf_get_array(const struct gguf *g, const char *key, enum gguf_type type, struct gguf_array *value)
{
	const struct gguf_entry *e = find_entry(g, key);
	if (!e)
		return -ENOENT;
	uint32_t element;
	uint64_t n;
	if (e->type != GGUF_ARRAY)
		return -EINVAL;
	memcpy(&element, e->value, sizeof element);
	memcpy(&n, e->value + sizeof element, sizeof n);
	if (element != type)
		return -EINVAL;
	*value = (struct gguf_array){ type, n, e->value + sizeof element + sizeof n };
	return 0;
}

struct gguf_str gguf_next_str(struct gguf_array *a)
{
	uint64_t len;
	memcpy(&len, a->bytes, sizeof len);
	struct gguf_str s = { (const char *)a->bytes + sizeof len, len };
	a->bytes += sizeof len + len;
	return s;
}

bool gguf_str_is(struct gguf_str s, const char *text)
{
	return s.len == strlen(text) && !memcmp(s.bytes, text, s.len);
}

int gguf_read_tensor(const struct gguf *g, const struct gguf_tensor *t, size_t at, void *buf, size_t n)
{
	uint8_t *to = buf;
	while (n) {
		ssize_t got = pread(g->parts[t->part].fd, to, n, (off_t)(t->file_offset + at));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -EIO;
		to += got;
		at += (size_t)got;
		n -= (size_t)got;
	}
	return 0;
}
