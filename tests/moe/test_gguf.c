/* The GGUF reader on well-formed and on damaged files. */
#include "moe/gguf.h"
#include "support.h"

#include <errno.h>

/* A file in the making. */
struct draft {
	uint8_t bytes[2048];
	size_t n;
};

static void put(struct draft *d, const void *bytes, size_t n)
{
	assert_true(d->n + n <= sizeof d->bytes);
	memcpy(d->bytes + d->n, bytes, n);
	d->n += n;
}

static void put_u32(struct draft *d, uint32_t v)
{
	put(d, &v, sizeof v);
}

static void put_u64(struct draft *d, uint64_t v)
{
	put(d, &v, sizeof v);
}

static void put_str(struct draft *d, const char *s)
{
	put_u64(d, strlen(s));
	put(d, s, strlen(s));
}

static void put_header(struct draft *d, uint64_t n_tensors, uint64_t n_keys)
{
	put(d, "GGUF", 4);
	put_u32(d, 3);
	put_u64(d, n_tensors);
	put_u64(d, n_keys);
}

static void put_key_u32(struct draft *d, const char *key, uint32_t v)
{
	put_str(d, key);
	put_u32(d, GGUF_U32);
	put_u32(d, v);
}

static void put_tensor(struct draft *d, const char *name, uint64_t ne0, uint64_t ne1, uint32_t type, uint64_t offset)
{
	put_str(d, name);
	put_u32(d, 2);
	put_u64(d, ne0);
	put_u64(d, ne1);
	put_u32(d, type);
	put_u64(d, offset);
}

static void put_data(struct draft *d, size_t n)
{
	static const uint8_t zeros[1024];
	put(d, zeros, (32 - d->n % 32) % 32);
	for (size_t i = 0; i < n; i++)
		put(d, &(uint8_t){ (uint8_t)i }, 1);
}

static int open_draft(const struct draft *d, size_t n, struct gguf **g, char err[ERR_LEN])
{
	char path[64];
	write_temporary(path, d->bytes, n);
	*g = NULL;
	memset(err, 'x', ERR_LEN);
	int rc = gguf_open(path, g, err, ERR_LEN);
	unlink(path);
	return rc;
}

/* Refused with one line that holds the word. */
static void assert_refused(const struct draft *d, const char *word)
{
	struct gguf *g;
	char err[ERR_LEN];
	assert_int_equal(open_draft(d, d->n, &g, err), -EINVAL);
	assert_null(g);
	assert_one_line(err);
	if (!strstr(err, word))
		fail_msg("\"%s\" does not say \"%s\"", err, word);
}

/* One of everything: integers, floats, bool, string, arrays of both kinds, two tensors. */
static void put_sample(struct draft *d)
{
	d->n = 0;
	put_header(d, 2, 7);
	put_key_u32(d, "general.alignment", 32);
	put_str(d, "size");
	put_u32(d, GGUF_U64);
	put_u64(d, 1u << 30);
	put_str(d, "below");
	put_u32(d, GGUF_I32);
	put_u32(d, (uint32_t)-5);
	put_str(d, "eps");
	put_u32(d, GGUF_F32);
	put(d, &(float){ 0.25f }, 4);
	put_str(d, "flag");
	put_u32(d, GGUF_BOOL);
	put(d, &(uint8_t){ 1 }, 1);
	put_str(d, "words");
	put_u32(d, GGUF_ARRAY);
	put_u32(d, GGUF_STR);
	put_u64(d, 2);
	put_str(d, "one");
	put_str(d, "");
	put_str(d, "numbers");
	put_u32(d, GGUF_ARRAY);
	put_u32(d, GGUF_I32);
	put_u64(d, 3);
	for (uint32_t i = 0; i < 3; i++)
		put_u32(d, i);
	put_tensor(d, "weights", 4, 2, 0, 32);
	put_tensor(d, "bias", 4, 1, 0, 0);
	put_data(d, 64);
}

static void what_was_written_is_read(void **state)
{
	(void)state;
	struct draft d;
	struct gguf *g;
	char err[ERR_LEN];
	put_sample(&d);
	assert_int_equal(open_draft(&d, d.n, &g, err), 0);
	uint64_t u = 0;
	double f = 0;
	bool flag = false;
	struct gguf_array a;
	assert_int_equal(gguf_get_u64(g, "size", &u), 0);
	assert_int_equal(u, 1u << 30);
	assert_int_equal(gguf_get_f64(g, "eps", &f), 0);
	assert_true(f == 0.25);
	assert_int_equal(gguf_get_bool(g, "flag", &flag), 0);
	assert_true(flag);
	assert_int_equal(gguf_get_array(g, "words", GGUF_STR, &a), 0);
	assert_int_equal(a.n, 2);
	assert_true(gguf_str_is(gguf_next_str(&a), "one"));
	assert_true(gguf_str_is(gguf_next_str(&a), ""));
	const struct gguf_tensor *t = gguf_find(g, "weights");
	assert_non_null(t);
	assert_int_equal(t->ne[0], 4);
	assert_int_equal(t->ne[1], 2);
	assert_int_equal(t->n_bytes, 32);
	assert_int_equal(((const uint8_t *)t->data)[0], 32);
	assert_true(gguf_str_is(gguf_tensor_at(g, 0)->name, "bias"));
	gguf_close(g);
}

static void a_value_of_another_type_or_sign_is_not_converted(void **state)
{
	(void)state;
	struct draft d;
	struct gguf *g;
	char err[ERR_LEN];
	put_sample(&d);
	assert_int_equal(open_draft(&d, d.n, &g, err), 0);
	uint64_t u = 77;
	struct gguf_str s;
	struct gguf_array a;
	assert_int_equal(gguf_get_u64(g, "missing", &u), -ENOENT);
	assert_int_equal(gguf_get_u64(g, "below", &u), -EINVAL);
	assert_int_equal(gguf_get_u64(g, "eps", &u), -EINVAL);
	assert_int_equal(u, 77);
	assert_int_equal(gguf_get_str(g, "size", &s), -EINVAL);
	assert_int_equal(gguf_get_array(g, "numbers", GGUF_F32, &a), -EINVAL);
	assert_null(gguf_find(g, "weight"));
	gguf_close(g);
}

static void a_file_cut_at_any_byte_is_refused(void **state)
{
	(void)state;
	struct draft d;
	struct gguf *g;
	char err[ERR_LEN];
	put_sample(&d);
	for (size_t n = 0; n < d.n; n++) {
		assert_true(open_draft(&d, n, &g, err) < 0);
		assert_one_line(err);
	}
}

static void another_magic_or_version_is_refused(void **state)
{
	(void)state;
	struct draft d;
	put_sample(&d);
	d.bytes[0] = 'g';
	assert_refused(&d, "not a GGUF file");
	put_sample(&d);
	d.bytes[4] = 2;
	assert_refused(&d, "version 2");
	put_sample(&d);
	memcpy(d.bytes + 4, "\0\0\0\3", 4);
	assert_refused(&d, "version");
}

static void counts_that_the_file_cannot_hold_are_refused(void **state)
{
	(void)state;
	static const uint64_t counts[] = { 1000, 1ull << 32, 1ull << 60, 1ull << 63, UINT64_MAX };
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		struct draft d;
		put_sample(&d);
		memcpy(d.bytes + 8, &counts[i], 8);
		assert_refused(&d, "tensors");
		put_sample(&d);
		memcpy(d.bytes + 16, &counts[i], 8);
		assert_refused(&d, "keys");
	}
}

static void lengths_that_overflow_are_refused(void **state)
{
	(void)state;
	static const uint64_t lengths[] = { 5000, 1ull << 62, 1ull << 63, UINT64_MAX - 7, UINT64_MAX };
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		struct draft d = { .n = 0 };
		put_header(&d, 0, 1);
		put_u64(&d, lengths[i]);
		put(&d, "some text that is no key", 24);
		assert_refused(&d, "a key");
		for (uint32_t element = GGUF_U8; element <= GGUF_F64; element++) {
			if (element == GGUF_ARRAY)
				continue;
			d.n = 0;
			put_header(&d, 0, 1);
			put_str(&d, "list");
			put_u32(&d, GGUF_ARRAY);
			put_u32(&d, element);
			put_u64(&d, lengths[i]);
			put_data(&d, 64);
			assert_refused(&d, element == GGUF_STR ? "array" : "list");
		}
	}
}

static void types_that_do_not_exist_are_refused(void **state)
{
	(void)state;
	static const uint32_t types[] = { GGUF_N_TYPES, 1000, UINT32_MAX };
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		struct draft d = { .n = 0 };
		put_header(&d, 0, 1);
		put_str(&d, "odd");
		put_u32(&d, types[i]);
		put_data(&d, 64);
		assert_refused(&d, "odd");
		d.n = 0;
		put_header(&d, 0, 1);
		put_str(&d, "odd");
		put_u32(&d, GGUF_ARRAY);
		put_u32(&d, types[i]);
		put_u64(&d, 1);
		put_data(&d, 64);
		assert_refused(&d, "odd");
	}
}

static void an_array_of_arrays_is_refused(void **state)
{
	(void)state;
	struct draft d = { .n = 0 };
	put_header(&d, 0, 1);
	put_str(&d, "nested");
	put_u32(&d, GGUF_ARRAY);
	put_u32(&d, GGUF_ARRAY);
	put_u64(&d, 1);
	put_data(&d, 64);
	assert_refused(&d, "nested");
}

static void empty_and_repeated_names_are_refused(void **state)
{
	(void)state;
	struct draft d = { .n = 0 };
	put_header(&d, 0, 1);
	put_key_u32(&d, "", 1);
	assert_refused(&d, "empty");
	d.n = 0;
	put_header(&d, 0, 3);
	put_key_u32(&d, "twin", 1);
	put_key_u32(&d, "other", 1);
	put_key_u32(&d, "twin", 2);
	assert_refused(&d, "'twin' occurs twice");
	d.n = 0;
	put_header(&d, 1, 0);
	put_tensor(&d, "", 4, 1, 0, 0);
	put_data(&d, 64);
	assert_refused(&d, "no name");
	d.n = 0;
	put_header(&d, 2, 0);
	put_tensor(&d, "twin", 4, 1, 0, 0);
	put_tensor(&d, "twin", 4, 1, 0, 32);
	put_data(&d, 64);
	assert_refused(&d, "'twin' occurs twice");
}

static void shapes_that_are_empty_or_overflow_are_refused(void **state)
{
	(void)state;
	static const uint64_t shapes[][2] = { { 0, 4 },          { 4, 0 },          { 1ull << 32, 1ull << 32 },
		                              { 1ull << 63, 2 }, { UINT64_MAX, 1 }, { 1ull << 61, 1 << 2 } };
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		struct draft d = { .n = 0 };
		put_header(&d, 1, 0);
		put_tensor(&d, "w", shapes[i][0], shapes[i][1], 0, 0);
		put_data(&d, 64);
		assert_refused(&d, "'w'");
	}
}

static void a_number_of_dimensions_other_than_1_to_4_is_refused(void **state)
{
	(void)state;
	static const uint32_t n_dims[] = { 0, 5, 1000, UINT32_MAX };
	for (size_t i = 0; i < sizeof n_dims / sizeof n_dims[0]; i++) {
		struct draft d = { .n = 0 };
		put_header(&d, 1, 0);
		put_str(&d, "w");
		put_u32(&d, n_dims[i]);
		put_data(&d, 256);
		assert_refused(&d, "dimensions");
	}
}

static void a_tensor_type_that_is_not_read_is_named(void **state)
{
	(void)state;
	struct draft d = { .n = 0 };
	put_header(&d, 1, 0);
	put_tensor(&d, "w", 256, 1, 11, 0);
	put_data(&d, 144);
	assert_refused(&d, "Q3_K");
	d.n = 0;
	put_header(&d, 1, 0);
	put_tensor(&d, "w", 256, 1, UINT32_MAX, 0);
	put_data(&d, 144);
	assert_refused(&d, "unknown");
}

static void rows_that_are_no_whole_blocks_are_refused(void **state)
{
	(void)state;
	struct draft d = { .n = 0 };
	put_header(&d, 1, 0);
	put_tensor(&d, "w", 40, 1, 8, 0);
	put_data(&d, 128);
	assert_refused(&d, "whole blocks");
}

static void offsets_out_of_line_or_past_the_end_are_refused(void **state)
{
	(void)state;
	static const uint64_t offsets[] = { 1, 64, 1ull << 40, 1ull << 63, UINT64_MAX - 31 };
	for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
		struct draft d = { .n = 0 };
		put_header(&d, 1, 0);
		put_tensor(&d, "w", 4, 1, 0, offsets[i]);
		put_data(&d, 64);
		assert_refused(&d, "'w'");
	}
}

static void an_alignment_that_is_no_power_of_two_is_refused(void **state)
{
	(void)state;
	static const uint32_t alignments[] = { 0, 1, 3, 48, UINT32_MAX };
	for (size_t i = 0; i < sizeof alignments / sizeof alignments[0]; i++) {
		struct draft d = { .n = 0 };
		put_header(&d, 1, 1);
		put_key_u32(&d, "general.alignment", alignments[i]);
		put_tensor(&d, "w", 4, 1, 0, 0);
		put_data(&d, 64);
		assert_refused(&d, "alignment");
	}
}

static void a_name_with_line_breaks_stays_on_one_line(void **state)
{
	(void)state;
	struct draft d = { .n = 0 };
	put_header(&d, 0, 2);
	put_key_u32(&d, "a\nb\x1b[31m", 1);
	put_key_u32(&d, "a\nb\x1b[31m", 1);
	assert_refused(&d, "a?b?");
}

static void what_is_no_file_is_refused(void **state)
{
	(void)state;
	struct gguf *g;
	char err[ERR_LEN];
	assert_int_equal(gguf_open("/nonexistent/model.gguf", &g, err, sizeof err), -ENOENT);
	assert_non_null(strstr(err, "/nonexistent/model.gguf"));
	assert_true(gguf_open("/tmp", &g, err, sizeof err) < 0);
	assert_one_line(err);
}

/* --- models split over several files --- */

/* A folder with the parts of a model, each from a draft. */
struct parts {
	char folder[64], *names[3];
	size_t n;
};

static void open_folder(struct parts *p)
{
	p->n = 0;
	strcpy(p->folder, "/tmp/wdmoe-test-XXXXXX");
	assert_non_null(mkdtemp(p->folder));
}

static void add_part(struct parts *p, const char *name, const struct draft *d)
{
	char *path;
	assert_true(asprintf(&path, "%s/%s", p->folder, name) > 0);
	p->names[p->n++] = path;
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(d->bytes, 1, d->n, f), d->n);
	fclose(f);
}

static void close_folder(struct parts *p)
{
	for (size_t i = 0; i < p->n; i++) {
		unlink(p->names[i]);
		free(p->names[i]);
	}
	rmdir(p->folder);
}

static void put_part(struct draft *d, uint32_t no, uint32_t count, uint32_t n_tensors, const char *tensor)
{
	d->n = 0;
	put_header(d, 1, 3);
	put_key_u32(d, "split.no", no);
	put_key_u32(d, "split.count", count);
	put_key_u32(d, "split.tensors.count", n_tensors);
	put_tensor(d, tensor, 4, 1, 0, 0);
	put_data(d, 16);
}

/* Opens the first of two parts; the second is named `name` and says what it is given. */
static int open_two(const char *name, uint32_t no, uint32_t count, uint32_t n_tensors, const char *tensor,
                    struct gguf **g, char err[ERR_LEN])
{
	struct parts p;
	struct draft d;
	open_folder(&p);
	put_part(&d, 0, 2, n_tensors, "first");
	add_part(&p, "m-00001-of-00002.gguf", &d);
	put_part(&d, no, count, n_tensors, tensor);
	add_part(&p, name, &d);
	*g = NULL;
	int rc = gguf_open(p.names[0], g, err, ERR_LEN);
	close_folder(&p);
	return rc;
}

static void parts_are_found_beside_the_first(void **state)
{
	(void)state;
	struct gguf *g;
	char err[ERR_LEN];
	assert_int_equal(open_two("m-00002-of-00002.gguf", 1, 2, 2, "another", &g, err), 0);
	assert_int_equal(gguf_n_parts(g), 2);
	assert_int_equal(gguf_n_tensors(g), 2);
	assert_int_equal(gguf_find(g, "first")->part, 0);
	assert_int_equal(gguf_find(g, "another")->part, 1);
	assert_true(gguf_str_is(gguf_tensor_at(g, 0)->name, "another"));
	gguf_close(g);
}

static void parts_that_do_not_belong_together_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		uint32_t no, count, n_tensors;
		const char *tensor, *word;
		int rc;
	} cases[] = {
		{ "m-00003-of-00002.gguf", 1, 2, 2, "another", "m-00002-of-00002.gguf", -ENOENT },
		{ "m-00002-of-00002.gguf", 0, 2, 2, "another", "is part 1 of 2, not 2 of 2", -EINVAL },
		{ "m-00002-of-00002.gguf", 1, 3, 2, "another", "is part 2 of 3, not 2 of 2", -EINVAL },
		{ "m-00002-of-00002.gguf", 2, 2, 2, "another", "split.no", -EINVAL },
		{ "m-00002-of-00002.gguf", 0, 0, 2, "another", "split.count", -EINVAL },
		{ "m-00002-of-00002.gguf", 1, 2, 3, "another", "split.tensors.count", -EINVAL },
		{ "m-00002-of-00002.gguf", 1, 2, 2, "first", "'first' is in two parts", -EINVAL },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gguf *g;
		char err[ERR_LEN];
		assert_int_equal(open_two(cases[i].name, cases[i].no, cases[i].count, cases[i].n_tensors,
		                          cases[i].tensor, &g, err),
		                 cases[i].rc);
		assert_null(g);
		assert_one_line(err);
		if (!strstr(err, cases[i].word))
			fail_msg("\"%s\" does not say \"%s\"", err, cases[i].word);
	}
}

static void a_part_by_itself_is_refused(void **state)
{
	(void)state;
	struct draft d;
	put_part(&d, 0, 2, 2, "first");
	assert_refused(&d, "not named");
	put_part(&d, 0, UINT32_MAX, 2, "first");
	assert_refused(&d, "split.count");
	struct parts p;
	struct gguf *g;
	char err[ERR_LEN];
	open_folder(&p);
	put_part(&d, 1, 2, 2, "first");
	add_part(&p, "m-00002-of-00002.gguf", &d);
	assert_int_equal(gguf_open(p.names[0], &g, err, sizeof err), -EINVAL);
	assert_non_null(strstr(err, "open the first"));
	close_folder(&p);
}

static void a_damaged_part_is_named(void **state)
{
	(void)state;
	struct draft first, second;
	put_part(&first, 0, 2, 2, "first");
	put_part(&second, 1, 2, 2, "second");
	for (size_t n = 0; n < second.n; n += 3) {
		struct parts p;
		struct gguf *g;
		struct draft cut = second;
		char err[ERR_LEN];
		cut.n = n;
		open_folder(&p);
		add_part(&p, "m-00001-of-00002.gguf", &first);
		add_part(&p, "m-00002-of-00002.gguf", &cut);
		assert_int_equal(gguf_open(p.names[0], &g, err, sizeof err), -EINVAL);
		assert_non_null(strstr(err, "m-00002-of-00002.gguf"));
		close_folder(&p);
	}
}

/* Headers with random bytes changed: refused or read, never a crash (the sanitizers watch). */
static void a_model_with_random_damage_is_refused_or_read(void **state)
{
	(void)state;
	enum { ROUNDS = 2000, HEADER = 9000 };
	size_t n;
	uint8_t *bytes = read_bytes(mini_path, &n);
	uint64_t seed = 1;
	for (int round = 0; round < ROUNDS; round++) {
		uint8_t saved[4];
		size_t at[4];
		for (int i = 0; i < 4; i++) {
			at[i] = (size_t)(fabsf(draw(&seed)) * HEADER);
			saved[i] = bytes[at[i]];
			bytes[at[i]] = (uint8_t)(draw(&seed) * 128);
		}
		char path[64], err[ERR_LEN];
		write_temporary(path, bytes, n);
		struct moe_model *m = NULL;
		if (moe_model_open(path, NULL, &m, err, sizeof err))
			assert_one_line(err);
		moe_model_close(m);
		unlink(path);
		for (int i = 3; i >= 0; i--)
			bytes[at[i]] = saved[i];
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(a_value_of_another_type_or_sign_is_not_converted),
		cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
		cmocka_unit_test(another_magic_or_version_is_refused),
		cmocka_unit_test(counts_that_the_file_cannot_hold_are_refused),
		cmocka_unit_test(lengths_that_overflow_are_refused),
		cmocka_unit_test(types_that_do_not_exist_are_refused),
		cmocka_unit_test(an_array_of_arrays_is_refused),
		cmocka_unit_test(empty_and_repeated_names_are_refused),
		cmocka_unit_test(shapes_that_are_empty_or_overflow_are_refused),
		cmocka_unit_test(a_number_of_dimensions_other_than_1_to_4_is_refused),
		cmocka_unit_test(a_tensor_type_that_is_not_read_is_named),
		cmocka_unit_test(rows_that_are_no_whole_blocks_are_refused),
		cmocka_unit_test(offsets_out_of_line_or_past_the_end_are_refused),
		cmocka_unit_test(an_alignment_that_is_no_power_of_two_is_refused),
		cmocka_unit_test(a_name_with_line_breaks_stays_on_one_line),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(parts_are_found_beside_the_first),
		cmocka_unit_test(parts_that_do_not_belong_together_are_refused),
		cmocka_unit_test(a_part_by_itself_is_refused),
		cmocka_unit_test(a_damaged_part_is_named),
		cmocka_unit_test(a_model_with_random_damage_is_refused_or_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
