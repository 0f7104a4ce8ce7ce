#include "moe/gguf.h"

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

struct entry {
	struct gguf_str key;
	enum gguf_type type;
	const uint8_t *value;
};

struct gguf {
	char *path;
	int fd;
	const uint8_t *map;
	size_t size;
	struct entry *entries; /* in order of key */
	size_t n_entries;
	struct gguf_tensor *tensors; /* in order of name */
	size_t n_tensors;
};

/* Where the parser stands, and whom to tell. */
struct parser {
	struct gguf *g;
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

/* Bytes of a name that are shown in an error; it may hold anything, of any length. */
enum { SHOWN = 64 };

static int shown(struct gguf_str s)
{
	return s.len < SHOWN ? (int)s.len : SHOWN;
}

/* --- pieces of the header; `what` names the piece in errors --- */

static int take(struct parser *p, size_t n, const uint8_t **bytes, const char *what)
{
	if (n > p->g->size - p->at)
		return complain(&p->complaint, "file ends inside %s", what);
	*bytes = p->g->map + p->at;
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

static int skip_array(struct parser *p, const struct entry *e)
{
	uint32_t type = 0;
	uint64_t n = 0;
	int rc = take_u32(p, &type, "an array");
	if (!rc)
		rc = take_u64(p, &n, "an array");
	if (rc)
		return rc;
	if (type >= GGUF_N_TYPES || type == GGUF_ARRAY)
		return complain(&p->complaint, "key '%.*s' is an array of type %u", shown(e->key), e->key.bytes, type);
	struct gguf_str s;
	const uint8_t *b = NULL;
	if (type == GGUF_STR) {
		while (n-- && !rc)
			rc = take_str(p, &s, "an array of strings");
		return rc;
	}
	if (n > (p->g->size - p->at) / value_types[type].bytes)
		return complain(&p->complaint, "array '%.*s' goes past the end of the file", shown(e->key),
		                e->key.bytes);
	return take(p, n * value_types[type].bytes, &b, "an array");
}

static int take_entry(struct parser *p, struct entry *e)
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
		return complain(&p->complaint, "key '%.*s' has unknown type %u", shown(e->key), e->key.bytes, type);
	e->type = (enum gguf_type)type;
	e->value = p->g->map + p->at;
	struct gguf_str s;
	const uint8_t *b = NULL;
	if (type == GGUF_ARRAY)
		return skip_array(p, e);
	if (type == GGUF_STR)
		return take_str(p, &s, "a string");
	rc = take(p, value_types[type].bytes, &b, "a value");
	if (!rc && type == GGUF_BOOL && *b > 1)
		return complain(&p->complaint, "key '%.*s' is a bool of value %u", shown(e->key), e->key.bytes, *b);
	return rc;
}

/* Bytes of the tensor from its shape, every product checked. */
static int size_tensor(const struct parser *p, struct gguf_tensor *t)
{
	uint64_t n = 1;
	for (uint32_t d = 0; d < t->n_dims; d++)
		if (!t->ne[d] || t->ne[d] > INT64_MAX || __builtin_mul_overflow(n, t->ne[d], &n))
			return complain(&p->complaint, "shape of tensor '%.*s' is empty or overflows", shown(t->name),
			                t->name.bytes);
	if (t->ne[0] % t->type->block)
		return complain(&p->complaint, "tensor '%.*s': rows of %llu are no whole blocks of %s", shown(t->name),
		                t->name.bytes, (unsigned long long)t->ne[0], t->type->name);
	if (__builtin_mul_overflow(n / t->type->block, t->type->bytes, &t->n_bytes))
		return complain(&p->complaint, "size of tensor '%.*s' overflows", shown(t->name), t->name.bytes);
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
		return complain(&p->complaint, "tensor '%.*s' has %u dimensions, not 1 to %d", shown(t->name),
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
		return complain(&p->complaint, "tensor '%.*s' has type %u (%s), which is not supported", shown(t->name),
		                t->name.bytes, type, tensor_type_name(type));
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
	return compare(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

static int by_name(const void *a, const void *b)
{
	return compare(((const struct gguf_tensor *)a)->name, ((const struct gguf_tensor *)b)->name);
}

/* --- the file, part by part --- */

/* Room for n items that take at least min_bytes each in the file: a count that the file cannot hold is refused before
 * memory is asked for. */
static int make_room(struct parser *p, uint64_t n, size_t min_bytes, size_t item, void **room, const char *what)
{
	if (n > (p->g->size - p->at) / min_bytes)
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
	struct gguf *g = p->g;
	int rc = make_room(p, n, MIN_BYTES, sizeof *g->entries, (void **)&g->entries, "keys");
	for (; !rc && g->n_entries < n; g->n_entries++)
		rc = take_entry(p, &g->entries[g->n_entries]);
	if (rc)
		return rc;
	qsort(g->entries, n, sizeof *g->entries, by_key);
	for (size_t i = 1; i < n; i++)
		if (!by_key(&g->entries[i - 1], &g->entries[i]))
			return complain(&p->complaint, "key '%.*s' occurs twice", shown(g->entries[i].key),
			                g->entries[i].key.bytes);
	return 0;
}

static int read_tensors(struct parser *p, uint64_t n)
{
	enum { MIN_BYTES = 8 + 1 + 4 + 8 + 4 + 8 };
	struct gguf *g = p->g;
	int rc = make_room(p, n, MIN_BYTES, sizeof *g->tensors, (void **)&g->tensors, "tensors");
	for (; !rc && g->n_tensors < n; g->n_tensors++)
		rc = take_tensor(p, &g->tensors[g->n_tensors]);
	if (rc)
		return rc;
	qsort(g->tensors, n, sizeof *g->tensors, by_name);
	for (size_t i = 1; i < n; i++)
		if (!by_name(&g->tensors[i - 1], &g->tensors[i]))
			return complain(&p->complaint, "tensor '%.*s' occurs twice", shown(g->tensors[i].name),
			                g->tensors[i].name.bytes);
	return 0;
}

static int place_tensors(struct parser *p)
{
	struct gguf *g = p->g;
	uint64_t alignment = 32;
	int rc = gguf_get_u64(g, "general.alignment", &alignment);
	if (rc == -EINVAL || alignment < 8 || alignment > 1 << 20 || (alignment & (alignment - 1)))
		return complain(&p->complaint, "general.alignment is not a power of two between 8 and 2^20");
	uint64_t start = (p->at + alignment - 1) / alignment * alignment;
	for (size_t i = 0; i < g->n_tensors; i++) {
		struct gguf_tensor *t = &g->tensors[i];
		if (t->file_offset % alignment)
			return complain(&p->complaint, "offset of tensor '%.*s' is out of line", shown(t->name),
			                t->name.bytes);
		if (__builtin_add_overflow(t->file_offset, start, &t->file_offset) || t->file_offset > g->size ||
		    t->n_bytes > g->size - t->file_offset)
			return complain(&p->complaint, "data of tensor '%.*s' goes past the end of the file",
			                shown(t->name), t->name.bytes);
		t->data = g->map + t->file_offset;
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
	struct gguf *g = p->g;
	struct stat st;
	int rc = 0;
	g->fd = open(g->path, O_RDONLY | O_CLOEXEC);
	if (g->fd < 0 || fstat(g->fd, &st) < 0) {
		rc = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		complain(&p->complaint, "not a regular file");
		return -EINVAL;
	} else if (!st.st_size) {
		return complain(&p->complaint, "the file is empty");
	} else {
		g->size = (size_t)st.st_size;
		void *map = mmap(NULL, g->size, PROT_READ, MAP_SHARED, g->fd, 0);
		if (map == MAP_FAILED)
			rc = -errno;
		else
			g->map = map;
	}
	if (rc)
		complain(&p->complaint, "%s", strerror(-rc));
	return rc;
}

int gguf_open(const char *path, struct gguf **out, char *err, size_t err_len)
{
	struct gguf *g = calloc(1, sizeof *g);
	char *copy = strdup(path);
	if (!g || !copy) {
		snprintf(err, err_len, "%s: out of memory", path);
		free(g);
		free(copy);
		return -ENOMEM;
	}
	g->path = copy;
	g->fd = -1;
	struct parser p = { .g = g, .complaint = { err, err_len, g->path } };
	int rc = map_file(&p);
	if (!rc)
		rc = parse(&p);
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
	free(g->tensors);
	free(g->entries);
	if (g->map)
		munmap((void *)(uintptr_t)g->map, g->size);
	if (g->fd >= 0)
		close(g->fd);
	free(g->path);
	free(g);
}

/* --- access --- */

const char *gguf_path(const struct gguf *g)
{
	return g->path;
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
	return bsearch(&wanted, g->tensors, g->n_tensors, sizeof wanted, by_name);
}

static int find_entry(const struct gguf *g, const char *key, const struct entry **e)
{
	struct entry wanted = { .key = { key, strlen(key) } };
	*e = bsearch(&wanted, g->entries, g->n_entries, sizeof wanted, by_key);
	return *e ? 0 : -ENOENT;
}

int gguf_get_u64(const struct gguf *g, const char *key, uint64_t *value)
{
	const struct entry *e;
	int rc = find_entry(g, key, &e);
	if (rc)
		return rc;
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

int gguf_get_f64(const struct gguf *g, const char *key, double *value)
{
	const struct entry *e;
	int rc = find_entry(g, key, &e);
	if (rc)
		return rc;
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
	const struct entry *e;
	int rc = find_entry(g, key, &e);
	if (!rc && e->type != GGUF_BOOL)
		rc = -EINVAL;
	if (!rc)
		*value = *e->value;
	return rc;
}

int gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *value)
{
	const struct entry *e;
	int rc = find_entry(g, key, &e);
	if (!rc && e->type != GGUF_STR)
		rc = -EINVAL;
	if (rc)
		return rc;
	struct gguf_array a = { GGUF_STR, 1, e->value };
	*value = gguf_next_str(&a);
	return 0;
}

int gguf_get_array(const struct gguf *g, const char *key, enum gguf_type type, struct gguf_array *value)
{
	const struct entry *e;
	int rc = find_entry(g, key, &e);
	if (rc)
		return rc;
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

int gguf_pread(const struct gguf *g, uint64_t offset, void *buf, size_t n)
{
	uint8_t *at = buf;
	while (n) {
		ssize_t got = pread(g->fd, at, n, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -EIO;
		at += got;
		offset += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}
