#include "moe/gguf_part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "moe/complaint.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the weights of a GGUF file are used in place, which takes a little-endian machine"
#endif

/* Where the parser stands, and whom to tell. */
struct parser {
	struct gguf_part *part;
	size_t at;
	struct complaint complaint;
};

static const struct {
	size_t bytes; /* 0: not of fixed size */
	const char *name;
} value_types[GGUF_N_TYPES] = {
	[GGUF_U8] = { 1, "u8" },       [GGUF_I8] = { 1, "i8" },     [GGUF_U16] = { 2, "u16" },
	[GGUF_I16] = { 2, "i16" },     [GGUF_U32] = { 4, "u32" },   [GGUF_I32] = { 4, "i32" },
	[GGUF_F32] = { 4, "f32" },     [GGUF_BOOL] = { 1, "bool" }, [GGUF_STR] = { 0, "string" },
	[GGUF_ARRAY] = { 0, "array" }, [GGUF_U64] = { 8, "u64" },   [GGUF_I64] = { 8, "i64" },
	[GGUF_F64] = { 8, "f64" },
};

int gguf_shown(struct gguf_str s)
{
	enum { SHOWN = 64 };
	return s.len < SHOWN ? (int)s.len : SHOWN;
}

/* --- pieces of the header; `what` names the piece in errors --- */

static int take(struct parser *p, size_t n, const uint8_t **bytes, const char *what)
{
	if (n > p->part->size - p->at)
		return complain(&p->complaint, "file ends inside %s", what);
	*bytes = p->part->map + p->at;
	p->at += n;
	return 0;
}

static int take_u32(struct parser *p, uint32_t *v, const char *what)
{
	const uint8_t *b = NULL;
	int rc = take(p, sizeof *v, &b, what);
	if (!rc)
		memcpy(v, b, sizeof *v);
	return rc;
}

static int take_u64(struct parser *p, uint64_t *v, const char *what)
{
	const uint8_t *b = NULL;
	int rc = take(p, sizeof *v, &b, what);
	if (!rc)
		memcpy(v, b, sizeof *v);
	return rc;
}

static int take_str(struct parser *p, struct gguf_str *s, const char *what)
{
	uint64_t len = 0;
	const uint8_t *b = NULL;
	int rc = take_u64(p, &len, what);
	if (!rc)
		rc = take(p, len, &b, what);
	if (!rc)
		*s = (struct gguf_str){ (const char *)b, len };
	return rc;
}

static int skip_array(struct parser *p, const struct gguf_entry *e)
{
	uint32_t type = 0;
	uint64_t n = 0;
	int rc = take_u32(p, &type, "an array");
	if (!rc)
		rc = take_u64(p, &n, "an array");
	if (rc)
		return rc;
	if (type >= GGUF_N_TYPES || type == GGUF_ARRAY)
		return complain(&p->complaint, "key '%.*s' is an array of type %u", gguf_shown(e->key), e->key.bytes,
		                type);
	struct gguf_str s;
	const uint8_t *b = NULL;
	if (type == GGUF_STR) {
		while (n-- && !rc)
			rc = take_str(p, &s, "an array of strings");
		return rc;
	}
	if (n > (p->part->size - p->at) / value_types[type].bytes)
		return complain(&p->complaint, "array '%.*s' goes past the end of the file", gguf_shown(e->key),
		                e->key.bytes);
	return take(p, n * value_types[type].bytes, &b, "an array");
}

static int take_entry(struct parser *p, struct gguf_entry *e)
{
	uint32_t type = 0;
	int rc = take_str(p, &e->key, "a key");
	if (!rc)
		rc = take_u32(p, &type, "a key's type");
	if (rc)
		return rc;
	if (!e->key.len)
		return complain(&p->complaint, "a key is empty");
	if (type >= GGUF_N_TYPES)
		return complain(&p->complaint, "key '%.*s' has unknown type %u", gguf_shown(e->key), e->key.bytes,
		                type);
	e->type = (enum gguf_type)type;
	e->value = p->part->map + p->at;
	struct gguf_str s;
	const uint8_t *b = NULL;
	if (type == GGUF_ARRAY)
		return skip_array(p, e);
	if (type == GGUF_STR)
		return take_str(p, &s, "a string");
	rc = take(p, value_types[type].bytes, &b, "a value");
	if (!rc && type == GGUF_BOOL && *b > 1)
		return complain(&p->complaint, "key '%.*s' is a bool of value %u", gguf_shown(e->key), e->key.bytes,
		                *b);
	return rc;
}

/* Bytes of the tensor from its shape, every product checked. */
static int size_tensor(const struct parser *p, struct gguf_tensor *t)
{
	uint64_t n = 1;
	for (uint32_t d = 0; d < t->n_dims; d++)
		if (!t->ne[d] || t->ne[d] > INT64_MAX || __builtin_mul_overflow(n, t->ne[d], &n))
			return complain(&p->complaint, "shape of tensor '%.*s' is empty or overflows",
			                gguf_shown(t->name), t->name.bytes);
	if (t->ne[0] % t->type->block)
		return complain(&p->complaint, "tensor '%.*s': rows of %llu are no whole blocks of %s",
		                gguf_shown(t->name), t->name.bytes, (unsigned long long)t->ne[0], t->type->name);
	if (__builtin_mul_overflow(n / t->type->block, t->type->bytes, &t->n_bytes))
		return complain(&p->complaint, "size of tensor '%.*s' overflows", gguf_shown(t->name), t->name.bytes);
	return 0;
}

static int take_tensor(struct parser *p, struct gguf_tensor *t)
{
	uint32_t type = 0;
	int rc = take_str(p, &t->name, "a tensor's name");
	if (!rc)
		rc = take_u32(p, &t->n_dims, "a tensor's dimensions");
	if (rc)
		return rc;
	if (!t->name.len)
		return complain(&p->complaint, "a tensor has no name");
	if (t->n_dims < 1 || t->n_dims > GGUF_MAX_DIMS)
		return complain(&p->complaint, "tensor '%.*s' has %u dimensions, not 1 to %d", gguf_shown(t->name),
		                t->name.bytes, t->n_dims, GGUF_MAX_DIMS);
	for (uint32_t d = 0; d < GGUF_MAX_DIMS; d++)
		t->ne[d] = 1;
	for (uint32_t d = 0; d < t->n_dims && !rc; d++)
		rc = take_u64(p, &t->ne[d], "a tensor's shape");
	if (!rc)
		rc = take_u32(p, &type, "a tensor's type");
	if (!rc)
		rc = take_u64(p, &t->file_offset, "a tensor's offset");
	if (rc)
		return rc;
	t->type = tensor_type_by_id(type);
	if (!t->type)
		return complain(&p->complaint, "tensor '%.*s' has type %u (%s), which is not supported",
		                gguf_shown(t->name), t->name.bytes, type, tensor_type_name(type));
	return size_tensor(p, t);
}

/* --- names in order --- */

static int compare(struct gguf_str a, struct gguf_str b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = memcmp(a.bytes, b.bytes, n);
	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_key(const void *a, const void *b)
{
	return compare(((const struct gguf_entry *)a)->key, ((const struct gguf_entry *)b)->key);
}

int gguf_tensor_by_name(const void *a, const void *b)
{
	return compare(((const struct gguf_tensor *)a)->name, ((const struct gguf_tensor *)b)->name);
}

/* --- the file, piece by piece --- */

/* Room for n items that take at least min_bytes each in the file: a count that the file cannot hold is refused before
 * memory is asked for. */
static int make_room(struct parser *p, uint64_t n, size_t min_bytes, size_t item, void **room, const char *what)
{
	if (n > (p->part->size - p->at) / min_bytes)
		return complain(&p->complaint, "the file is too small for its %llu %s", (unsigned long long)n, what);
	*room = calloc(n ? n : 1, item);
	if (*room)
		return 0;
	complain(&p->complaint, "out of memory for %llu %s", (unsigned long long)n, what);
	return -ENOMEM;
}

static int read_entries(struct parser *p, uint64_t n)
{
	enum { MIN_BYTES = 8 + 1 + 4 + 1 };
	struct gguf_part *part = p->part;
	int rc = make_room(p, n, MIN_BYTES, sizeof *part->entries, (void **)&part->entries, "keys");
	for (; !rc && part->n_entries < n; part->n_entries++)
		rc = take_entry(p, &part->entries[part->n_entries]);
	if (rc)
		return rc;
	qsort(part->entries, n, sizeof *part->entries, by_key);
	for (size_t i = 1; i < n; i++)
		if (!by_key(&part->entries[i - 1], &part->entries[i]))
			return complain(&p->complaint, "key '%.*s' occurs twice", gguf_shown(part->entries[i].key),
			                part->entries[i].key.bytes);
	return 0;
}

static int read_tensors(struct parser *p, uint64_t n)
{
	enum { MIN_BYTES = 8 + 1 + 4 + 8 + 4 + 8 };
	struct gguf_part *part = p->part;
	int rc = make_room(p, n, MIN_BYTES, sizeof *part->tensors, (void **)&part->tensors, "tensors");
	for (; !rc && part->n_tensors < n; part->n_tensors++)
		rc = take_tensor(p, &part->tensors[part->n_tensors]);
	if (rc)
		return rc;
	qsort(part->tensors, n, sizeof *part->tensors, gguf_tensor_by_name);
	for (size_t i = 1; i < n; i++)
		if (!gguf_tensor_by_name(&part->tensors[i - 1], &part->tensors[i]))
			return complain(&p->complaint, "tensor '%.*s' occurs twice", gguf_shown(part->tensors[i].name),
			                part->tensors[i].name.bytes);
	return 0;
}

static int place_tensors(struct parser *p)
{
	struct gguf_part *part = p->part;
	uint64_t alignment = 32;
	int rc = gguf_entry_u64(gguf_part_find(part, "general.alignment"), &alignment);
	if (rc == -EINVAL || alignment < 8 || alignment > 1 << 20 || (alignment & (alignment - 1)))
		return complain(&p->complaint, "general.alignment is not a power of two between 8 and 2^20");
	uint64_t start = (p->at + alignment - 1) / alignment * alignment;
	for (size_t i = 0; i < part->n_tensors; i++) {
		struct gguf_tensor *t = &part->tensors[i];
		if (t->file_offset % alignment)
			return complain(&p->complaint, "offset of tensor '%.*s' is out of line", gguf_shown(t->name),
			                t->name.bytes);
		if (__builtin_add_overflow(t->file_offset, start, &t->file_offset) || t->file_offset > part->size ||
		    t->n_bytes > part->size - t->file_offset)
			return complain(&p->complaint, "data of tensor '%.*s' goes past the end of the file",
			                gguf_shown(t->name), t->name.bytes);
		t->data = part->map + t->file_offset;
	}
	return 0;
}

static int parse(struct parser *p)
{
	enum { VERSION = 3 };
	const uint8_t *magic = NULL;
	uint32_t version = 0;
	uint64_t n_tensors = 0, n_entries = 0;
	int rc = take(p, 4, &magic, "the magic number");
	if (!rc && memcmp(magic, "GGUF", 4))
		return complain(&p->complaint, "not a GGUF file");
	if (!rc)
		rc = take_u32(p, &version, "the version");
	if (!rc && version != VERSION)
		return complain(&p->complaint, "GGUF version %u, not %d", version, VERSION);
	if (!rc)
		rc = take_u64(p, &n_tensors, "the number of tensors");
	if (!rc)
		rc = take_u64(p, &n_entries, "the number of keys");
	if (!rc)
		rc = read_entries(p, n_entries);
	if (!rc)
		rc = read_tensors(p, n_tensors);
	if (!rc)
		rc = place_tensors(p);
	return rc;
}

static int map_file(struct parser *p)
{
	struct gguf_part *part = p->part;
	struct stat st;
	int rc = 0;
	part->fd = open(part->path, O_RDONLY | O_CLOEXEC);
	if (part->fd < 0 || fstat(part->fd, &st) < 0) {
		rc = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		complain(&p->complaint, "not a regular file");
		return -EINVAL;
	} else if (!st.st_size) {
		return complain(&p->complaint, "the file is empty");
	} else {
		part->size = (size_t)st.st_size;
		void *map = mmap(NULL, part->size, PROT_READ, MAP_SHARED, part->fd, 0);
		if (map == MAP_FAILED)
			rc = -errno;
		else
			part->map = map;
	}
	if (rc)
		complain(&p->complaint, "%s", strerror(-rc));
	return rc;
}

int gguf_part_open(const char *path, struct gguf_part *part, char *err, size_t err_len)
{
	struct parser p = { .part = part, .complaint = { err, err_len, path } };
	*part = (struct gguf_part){ .path = strdup(path), .fd = -1 };
	int rc = part->path ? map_file(&p) : -ENOMEM;
	if (!part->path)
		complain(&p.complaint, "out of memory");
	if (!rc)
		rc = parse(&p);
	if (rc)
		gguf_part_close(part);
	return rc;
}

void gguf_part_close(struct gguf_part *part)
{
	free(part->tensors);
	free(part->entries);
	if (part->map)
		munmap((void *)(uintptr_t)part->map, part->size);
	if (part->fd >= 0)
		close(part->fd);
	free(part->path);
	*part = (struct gguf_part){ .fd = -1 };
}

/* --- access --- */

const struct gguf_entry *gguf_part_find(const struct gguf_part *part, const char *key)
{
	struct gguf_entry wanted = { .key = { key, strlen(key) } };
	return part->n_entries ? bsearch(&wanted, part->entries, part->n_entries, sizeof wanted, by_key) : NULL;
}

int gguf_entry_u64(const struct gguf_entry *e, uint64_t *value)
{
	if (!e)
		return -ENOENT;
	size_t bytes = value_types[e->type].bytes;
	bool is_unsigned = e->type == GGUF_U8 || e->type == GGUF_U16 || e->type == GGUF_U32 || e->type == GGUF_U64;
	bool is_signed = e->type == GGUF_I8 || e->type == GGUF_I16 || e->type == GGUF_I32 || e->type == GGUF_I64;
	if (!is_unsigned && !(is_signed && !(e->value[bytes - 1] & 0x80)))
		return -EINVAL;
	uint64_t v = 0;
	memcpy(&v, e->value, bytes);
	*value = v;
	return 0;
}
