/* gguf.h - reads a GGUF model file (version 3, little-endian) without copying it.
 *
 *     char err[256];
 *     struct gguf *g;
 *     if (gguf_open("model.gguf", &g, err, sizeof err) < 0)
 *             complain(err);                     // one line that names the culprit
 *     uint64_t n_layer;
 *     gguf_get_u64(g, "llama.block_count", &n_layer);
 *     const struct gguf_tensor *t = gguf_find(g, "output.weight");
 *     gguf_close(g);
 *
 * The file is mapped, and only what is asked for is touched: a program that reads one expert's weights has no
 * other expert in memory. All of the header is checked at open, before anything of it is used: counts, lengths
 * and shapes that overflow, keys that are empty or occur twice, offsets out of line or past the end. What gguf_open
 * has accepted can be read without further checks.
 *
 * A model in several files ("NAME-00001-of-00003.gguf", ...) is opened by the first, which holds the keys; tensors are in
 * any of them.
 *
 * Format: github.com/ggml-org/ggml, docs/gguf.md. Nested arrays, big-endian files and tensor types that
 * tensor.h does not list are refused. The object is immutable and may be shared between threads.
 */
#ifndef MOE_GGUF_H
#define MOE_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moe/tensor.h"

struct gguf;

enum { GGUF_MAX_DIMS = 4 };

/* A string of the file: not terminated, may hold any bytes. */
struct gguf_str {
	const char *bytes;
	size_t len;
};

struct gguf_tensor {
	struct gguf_str name;
	const struct tensor_type *type;
	uint32_t n_dims;
	uint64_t ne[GGUF_MAX_DIMS]; /* ne[0] runs fastest; 1 beyond n_dims */
	size_t part;                /* of a model in several files: which of them */
	uint64_t file_offset;       /* of the data, from the start of that file */
	size_t n_bytes;
	const void *data; /* in the mapping */
};

/* Value types as numbered in the file. */
enum gguf_type {
	GGUF_U8 = 0,
	GGUF_I8,
	GGUF_U16,
	GGUF_I16,
	GGUF_U32,
	GGUF_I32,
	GGUF_F32,
	GGUF_BOOL,
	GGUF_STR,
	GGUF_ARRAY,
	GGUF_U64,
	GGUF_I64,
	GGUF_F64,
	GGUF_N_TYPES
};

/* An array of the file: fixed-size elements are packed and unaligned (read them with memcpy); strings are read
 * in order with gguf_next_str. */
struct gguf_array {
	enum gguf_type type;
	size_t n;
	const uint8_t *bytes;
};

/* Opens and checks the file at path, and with the first file of a split model all its others. Returns 0 and *out, which the caller frees with gguf_close, or negative errno
 * (-ENOENT, -EINVAL for a damaged file, ...) with one line in err (cut to err_len). */
int gguf_open(const char *path, struct gguf **out, char *err, size_t err_len);
void gguf_close(struct gguf *g); /* NULL is fine */

/* Of the first file. */
const char *gguf_path(const struct gguf *g);
size_t gguf_n_parts(const struct gguf *g);

/* Tensors in order of their names (bytewise), so that the order does not depend on who wrote the file. */
size_t gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i);
const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name); /* NULL if there is none */

/* Values by key. Each returns 0, -ENOENT if the key is missing, -EINVAL if its value has another type or range;
 * then *value is as before. u64 reads every integer type that is not negative, f64 both float types. */
int gguf_get_u64(const struct gguf *g, const char *key, uint64_t *value);
int gguf_get_f64(const struct gguf *g, const char *key, double *value);
int gguf_get_bool(const struct gguf *g, const char *key, bool *value);
int gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *value);
int gguf_get_array(const struct gguf *g, const char *key, enum gguf_type type, struct gguf_array *value);

/* Takes the next string off the front of an array of GGUF_STR. The caller counts: n calls, no more. */
struct gguf_str gguf_next_str(struct gguf_array *a);

bool gguf_str_is(struct gguf_str s, const char *text);

/* Reads n bytes of a tensor's data, from byte `at`, into buf without touching the mapping (a hash over a file must not
 * make all of it resident). Returns 0 or negative errno. */
int gguf_read_tensor(const struct gguf *g, const struct gguf_tensor *t, size_t at, void *buf, size_t n);

#endif
