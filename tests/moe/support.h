/* support.h - what the tests of moe/ share: temporary files, the small model with random weights, seeded numbers. */
#ifndef TESTS_MOE_SUPPORT_H
#define TESTS_MOE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "moe/model.h"

enum { ERR_LEN = 256 };

static const char *const mini_path = TEST_DATA_DIR "/mini.gguf";

/* Bytes of a file; the caller frees them. */
static inline uint8_t *read_bytes(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("%s is missing", path);
	fseek(f, 0, SEEK_END);
	*n = (size_t)ftell(f);
	rewind(f);
	uint8_t *bytes = malloc(*n + 1);
	assert_non_null(bytes);
	assert_int_equal(fread(bytes, 1, *n, f), *n);
	bytes[*n] = 0;
	fclose(f);
	return bytes;
}

/* A file in the folder for temporary files, its name in path. */
static inline void write_temporary(char path[64], const void *bytes, size_t n)
{
	strcpy(path, "/tmp/wdmoe-test-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

/* Ids of a file, white space between. */
static inline size_t read_ids(const char *path, int32_t *ids, size_t max)
{
	FILE *f = fopen(path, "r");
	if (!f)
		fail_msg("%s is missing", path);
	size_t n = 0;
	while (n < max && fscanf(f, "%d", &ids[n]) == 1)
		n++;
	fclose(f);
	return n;
}

static inline struct moe_model *open_model(const char *path, const struct moe_half *half)
{
	char err[ERR_LEN];
	struct moe_model *m = NULL;
	if (moe_model_open(path, half, &m, err, sizeof err))
		fail_msg("%s", err);
	return m;
}

/* Uniform in [-1, 1), from a seed that is advanced. */
static inline float draw(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (float)(int32_t)(*seed >> 32) * 0x1p-31f;
}

static inline void fill(float *x, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++)
		x[i] = draw(&seed);
}

/* One line: no control characters, not empty, terminated inside the buffer. */
static inline void assert_one_line(const char err[ERR_LEN])
{
	size_t n = strnlen(err, ERR_LEN);
	assert_in_range(n, 1, ERR_LEN - 1);
	for (size_t i = 0; i < n; i++)
		assert_false((unsigned char)err[i] < ' ');
}

#endif
