/* The LDPC codes of TS 38.212, 5.3.2: tables, encoder and decoder. */
#include "phy/ldpc.h"
#include "tests/phy/awgn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CODEWORD_MAX = LDPC_COLS_MAX * LDPC_Z_MAX, N_SIZES = 51, N_GRAPHS = 2 };

static const struct ldpc_graph *const graphs[N_GRAPHS] = { &ldpc_bg1, &ldpc_bg2 };

/* Table 5.3.2-1, as printed. */
static const uint16_t lifting_table[LDPC_SETS][8] = {
	{ 2, 4, 8, 16, 32, 64, 128, 256 }, { 3, 6, 12, 24, 48, 96, 192, 384 }, { 5, 10, 20, 40, 80, 160, 320 },
	{ 7, 14, 28, 56, 112, 224 },       { 9, 18, 36, 72, 144, 288 },        { 11, 22, 44, 88, 176, 352 },
	{ 13, 26, 52, 104, 208 },          { 15, 30, 60, 120, 240 },
};

static void lifting_sizes_are_those_of_the_table(void **state)
{
	int set_of[LDPC_Z_MAX + 2], n = 0;

	(void)state;
	for (size_t z = 0; z < LDPC_Z_MAX + 2; z++)
		set_of[z] = -EINVAL;
	for (int set = 0; set < LDPC_SETS; set++)
		for (int j = 0; j < 8; j++)
			if (lifting_table[set][j]) {
				set_of[lifting_table[set][j]] = set;
				n++;
			}
	assert_int_equal(n, N_SIZES);
	size_t next = 0;
	for (size_t z = LDPC_Z_MAX + 1; z > 0; z--) {
		assert_int_equal(ldpc_lifting_set(z), set_of[z]);
		next = set_of[z] >= 0 ? z : next;
		assert_int_equal(ldpc_lifting_size(z), next);
	}
}

/* Column by column, one line of the file against one row of the graph. */
static void assert_row_is(const struct ldpc_graph *g, size_t row, int set, char *line)
{
	const struct ldpc_edge *e = &g->edges[g->row_start[row]], *end = &g->edges[g->row_start[row + 1]];

	for (size_t col = 0; col < g->n_cols; col++) {
		long v = strtol(line, &line, 10);
		bool edge = e < end && e->col == col;
		assert_int_equal(v, edge ? e->shift[set] : -1);
		e += edge;
	}
	assert_ptr_equal(e, end);
}

static void the_graphs_are_the_tables_entry_by_entry(void **state)
{
	(void)state;
	for (int k = 0; k < N_GRAPHS * LDPC_SETS; k++) {
		const struct ldpc_graph *g = graphs[k / LDPC_SETS];
		int set = k % LDPC_SETS;
		char path[512], line[4096];
		size_t row = 0;
		snprintf(path, sizeof path, "%s/ldpc/nr_bg%d_set%d.txt", SHARED_DATA_DIR, 1 + k / LDPC_SETS, set);
		FILE *file = fopen(path, "r");
		if (!file) {
			print_message("%s is not there: not compared\n", path);
			skip();
		}
		while (fgets(line, sizeof line, file)) {
			if (line[0] == '#')
				continue;
			assert_true(row < g->n_rows);
			assert_row_is(g, row++, set, line);
		}
		fclose(file);
		assert_int_equal(row, g->n_rows);
	}
}

/* Sizes as section 5.3.2 gives them; the number of ones in table 5.3.2-2 and -3. */
static void the_graphs_have_the_sizes_of_the_standard(void **state)
{
	static const struct {
		uint8_t n_rows, n_cols, n_info;
		uint16_t n_edges;
	} size[N_GRAPHS] = { { 46, 68, 22, 316 }, { 42, 52, 10, 197 } };

	(void)state;
	for (int k = 0; k < N_GRAPHS; k++) {
		const struct ldpc_graph *g = graphs[k];
		assert_int_equal(g->n_rows, size[k].n_rows);
		assert_int_equal(g->n_cols, size[k].n_cols);
		assert_int_equal(g->n_info, size[k].n_info);
		assert_int_equal(g->row_start[0], 0);
		assert_int_equal(g->row_start[g->n_rows], size[k].n_edges);
		for (size_t r = 0; r < g->n_rows; r++)
			for (size_t e = g->row_start[r]; e + 1 < g->row_start[r + 1]; e++)
				assert_true(g->edges[e].col < g->edges[e + 1].col);
	}
}

/* H of a lifted code as dense rows of bits. */
static uint64_t *dense(const struct ldpc_code *code, size_t n_words)
{
	const struct ldpc_graph *g = code->graph;
	uint64_t *h = calloc(g->n_rows * code->z * n_words, sizeof *h);

	assert_non_null(h);
	for (size_t row = 0; row < g->n_rows; row++)
		for (size_t e = g->row_start[row]; e < g->row_start[row + 1]; e++)
			for (size_t i = 0; i < code->z; i++) {
				size_t bit = g->edges[e].col * code->z + (i + code->shift[e]) % code->z;
				h[(row * code->z + i) * n_words + bit / 64] ^= 1ull << bit % 64;
			}
	return h;
}

static size_t rank(uint64_t *h, size_t n_rows, size_t n_words)
{
	size_t found = 0;

	for (size_t bit = 0; bit < 64 * n_words && found < n_rows; bit++) {
		size_t pivot = found;
		while (pivot < n_rows && !(h[pivot * n_words + bit / 64] >> bit % 64 & 1))
			pivot++;
		if (pivot == n_rows)
			continue;
		for (size_t w = 0; w < n_words; w++) {
			uint64_t swap = h[pivot * n_words + w];
			h[pivot * n_words + w] = h[found * n_words + w];
			h[found * n_words + w] = swap;
		}
		for (size_t r = found + 1; r < n_rows; r++)
			for (size_t w = 0; h[r * n_words + bit / 64] >> bit % 64 & 1; w = 0)
				for (; w < n_words; w++)
					h[r * n_words + w] ^= h[found * n_words + w];
		found++;
	}
	return found;
}

static void the_parity_check_matrix_has_full_rank(void **state)
{
	static const size_t sizes[] = { 2, 3, 5, 7, 9, 11, 13, 15, 16, 24 }; /* one of each set and two larger */

	(void)state;
	for (size_t k = 0; k < N_GRAPHS * sizeof sizes / sizeof sizes[0]; k++) {
		const struct ldpc_graph *g = graphs[k % N_GRAPHS];
		size_t z = sizes[k / N_GRAPHS], n_words = (g->n_cols * z + 63) / 64;
		struct ldpc_code code;
		assert_int_equal(ldpc_code_init(&code, g, z), 0);
		uint64_t *h = dense(&code, n_words);
		assert_int_equal(rank(h, g->n_rows * z, n_words), g->n_rows * z);
		free(h);
	}
}

static void assert_checks_hold(const struct ldpc_code *code, const uint8_t *c, size_t n_rows)
{
	const struct ldpc_graph *g = code->graph;

	for (size_t row = 0; row < n_rows; row++)
		for (size_t i = 0; i < code->z; i++) {
			unsigned sum = 0;
			for (size_t e = g->row_start[row]; e < g->row_start[row + 1]; e++)
				sum ^= c[g->edges[e].col * code->z + (i + code->shift[e]) % code->z];
			assert_int_equal(sum, 0);
		}
}

static void random_codeword(const struct ldpc_code *code, struct awgn *g, uint8_t *c)
{
	awgn_bits(g, c, code->graph->n_info * code->z);
	ldpc_encode(code, c, code->graph->n_rows);
}

static void encoded_words_satisfy_every_check_at_every_lifting_size(void **state)
{
	static uint8_t c[CODEWORD_MAX];
	struct awgn g = { 5 };

	(void)state;
	for (size_t z = ldpc_lifting_size(1); z; z = ldpc_lifting_size(z + 1))
		for (int k = 0; k < 3 * N_GRAPHS; k++) {
			struct ldpc_code code;
			assert_int_equal(ldpc_code_init(&code, graphs[k % N_GRAPHS], z), 0);
			random_codeword(&code, &g, c);
			assert_checks_hold(&code, c, code.graph->n_rows);
		}
}

static void assert_fewer_rows_give_the_same_parity(const struct ldpc_graph *graph, size_t z, struct awgn *g)
{
	static uint8_t whole[CODEWORD_MAX], part[CODEWORD_MAX];
	struct ldpc_code code;

	ldpc_code_init(&code, graph, z);
	random_codeword(&code, g, whole);
	for (size_t rows = 4; rows <= graph->n_rows; rows++) {
		memset(part, 7, sizeof part);
		memcpy(part, whole, graph->n_info * z);
		ldpc_encode(&code, part, rows);
		assert_memory_equal(part, whole, (graph->n_info + rows) * z);
		for (size_t i = (graph->n_info + rows) * z; i < sizeof part; i++)
			assert_int_equal(part[i], 7);
	}
}

static void fewer_rows_give_the_same_parity_and_leave_the_rest_alone(void **state)
{
	struct awgn g = { 6 };

	(void)state;
	for (int k = 0; k < N_GRAPHS; k++)
		assert_fewer_rows_give_the_same_parity(graphs[k], 26, &g);
}

static void a_lift_that_is_no_lifting_size_is_refused(void **state)
{
	struct ldpc_code code;

	(void)state;
	assert_int_equal(ldpc_code_init(&code, &ldpc_bg2, 1), -EINVAL);
	assert_int_equal(ldpc_code_init(&code, &ldpc_bg2, 17), -EINVAL);
	assert_int_equal(ldpc_code_init(&code, &ldpc_bg2, 400), -EINVAL);
	assert_int_equal(ldpc_lifting_size(385), 0);
}

/* BPSK of unit power at ebn0_db for the rate that columns 2 .. n_cols - 1 make; the rest not received. 8 steps a unit
 * of LLR. */
static void receive(const struct ldpc_code *code, const uint8_t *c, size_t n_cols, double ebn0_db, struct awgn *g,
                    int8_t *llr)
{
	size_t z = code->z;
	double rate = (double)code->graph->n_info / (double)(n_cols - 2);
	double noise_var = 1 / (2 * rate * pow(10, ebn0_db / 10)); /* on the real axis */

	memset(llr, 0, code->graph->n_cols * z);
	for (size_t i = 2 * z; i < n_cols * z; i++) {
		double y = 1 - 2 * c[i] + sqrt(2 * noise_var) * (double)crealf(awgn_noise(g));
		llr[i] = (int8_t)fmax(-127, fmin(127, rint(LDPC_LLR_STEPS * 2 * y / noise_var)));
	}
}

/* Of n random codewords, those not decoded rightly. */
static int count_errors(const struct ldpc_graph *graph, size_t z, size_t n_cols, double ebn0_db, unsigned iterations,
                        int n, uint64_t random_seed)
{
	static uint8_t c[CODEWORD_MAX], bits[CODEWORD_MAX];
	static int8_t llr[CODEWORD_MAX];
	struct ldpc_decoder *d = ldpc_decoder_create();
	struct awgn g = { random_seed };
	struct ldpc_code code;
	int errors = 0;

	assert_non_null(d);
	assert_int_equal(ldpc_code_init(&code, graph, z), 0);
	for (int k = 0; k < n; k++) {
		random_codeword(&code, &g, c);
		receive(&code, c, n_cols, ebn0_db, &g, llr);
		int rc = ldpc_decode(d, &code, llr, bits, iterations);
		errors += rc < 0 || memcmp(bits, c, graph->n_info * z) != 0;
	}
	ldpc_decoder_destroy(d);
	return errors;
}

static void every_lifting_size_decodes_at_low_middle_and_high_rates(void **state)
{
	(void)state;
	for (size_t z = ldpc_lifting_size(1); z; z = ldpc_lifting_size(z + 1)) {
		/* Far above the waterfall, and the shorter the code the farther. */
		double ebn0_db = z < 16 ? 12 : 5;
		assert_int_equal(count_errors(&ldpc_bg2, z, 52, ebn0_db, 20, 4, z), 0);
		assert_int_equal(count_errors(&ldpc_bg2, z, 22, ebn0_db, 20, 4, z), 0);
		assert_int_equal(count_errors(&ldpc_bg2, z, 15, ebn0_db + 2, 20, 4, z), 0);
		assert_int_equal(count_errors(&ldpc_bg1, z, 68, ebn0_db, 20, 2, z), 0);
		assert_int_equal(count_errors(&ldpc_bg1, z, 35, ebn0_db, 20, 2, z), 0);
		assert_int_equal(count_errors(&ldpc_bg1, z, 27, ebn0_db + 2, 20, 2, z), 0);
	}
}

/* BPSK at rate 1/2 reaches Shannon's limit of two dimensions at 0.19 dB of Eb/N0. Polyanskiy's normal approximation puts
 * 1 % of block errors 0.25 dB above that for n = 16896, and 0.4 dB for n = 7680; layered min-sum is known to need about
 * half a decibel more with 20 iterations. */
static void the_waterfall_at_rate_a_half_is_where_it_belongs(void **state)
{
	(void)state;
	assert_true(count_errors(&ldpc_bg2, 384, 22, 0.2, 20, 50, 1) >= 49);
	assert_true(count_errors(&ldpc_bg2, 384, 22, 1.3, 20, 200, 2) <= 6);
	assert_true(count_errors(&ldpc_bg2, 384, 22, 1.8, 8, 200, 3) <= 6);
	assert_true(count_errors(&ldpc_bg1, 384, 46, 0.4, 20, 20, 4) >= 19);
	assert_true(count_errors(&ldpc_bg1, 384, 46, 1.1, 20, 200, 5) <= 6);
}

/* Strong values leave no room in eight bits; neither they nor a few strong lies may do harm. */
static void saturated_values_decode_with_one_in_two_hundred_inverted(void **state)
{
	static uint8_t c[CODEWORD_MAX], bits[CODEWORD_MAX];
	static int8_t llr[CODEWORD_MAX];
	struct ldpc_decoder *d = ldpc_decoder_create();
	struct awgn g = { 14 };

	(void)state;
	assert_non_null(d);
	for (int k = 0; k < 200; k++) {
		const struct ldpc_graph *graph = graphs[k % N_GRAPHS];
		struct ldpc_code code;
		size_t z = k % 3 ? 384 : 208, end = (graph->n_info * 2 + 2) * z; /* rate 1/2 */
		ldpc_code_init(&code, graph, z);
		random_codeword(&code, &g, c);
		memset(llr, 0, sizeof llr);
		for (size_t i = 2 * z; i < end; i++)
			llr[i] = (c[i] != 0) == (awgn_uniform(&g) > 0.005) ? -127 : 127;
		assert_in_range(ldpc_decode(d, &code, llr, bits, 20), 1, 20);
		assert_memory_equal(bits, c, graph->n_info * z);
	}
	ldpc_decoder_destroy(d);
}

/* Half of the information is filler, told to the decoder as certain: what was sent at rate 1/2 is then of rate 1/3. */
static void known_filler_bits_help(void **state)
{
	static uint8_t c[CODEWORD_MAX], bits[CODEWORD_MAX];
	static int8_t llr[CODEWORD_MAX];
	struct ldpc_decoder *d = ldpc_decoder_create();
	struct awgn g = { 15 };
	struct ldpc_code code;
	size_t z = 96, known = 11 * z, end = 22 * z;

	(void)state;
	assert_non_null(d);
	ldpc_code_init(&code, &ldpc_bg1, z);
	for (int k = 0; k < 100; k++) {
		awgn_bits(&g, c, end);
		memset(c + known, 0, end - known);
		ldpc_encode(&code, c, ldpc_bg1.n_rows);
		receive(&code, c, 46, 0.0, &g, llr); /* without them, far below the waterfall */
		assert_int_equal(ldpc_decode(d, &code, llr, bits, 20), -EBADMSG);
		memset(llr + known, 127, end - known);
		assert_in_range(ldpc_decode(d, &code, llr, bits, 20), 1, 20);
		assert_memory_equal(bits, c, end);
	}
	ldpc_decoder_destroy(d);
}

/* At these SNR, half a decibel and more above the waterfall, only a floor can stop a block. */
static void no_error_floor_shows(void **state)
{
	(void)state;
	assert_int_equal(count_errors(&ldpc_bg1, 384, 29, 3.7, 20, 1000, 6), 0);
	assert_int_equal(count_errors(&ldpc_bg2, 52, 52, 2.0, 20, 1000, 7), 0);
}

static void a_clean_word_takes_few_iterations_and_noise_takes_all_and_fails(void **state)
{
	static uint8_t c[CODEWORD_MAX], bits[CODEWORD_MAX];
	static int8_t llr[CODEWORD_MAX];
	struct ldpc_decoder *d = ldpc_decoder_create();
	struct awgn g = { 12 };
	struct ldpc_code code;

	(void)state;
	assert_non_null(d);
	ldpc_code_init(&code, &ldpc_bg2, 60);
	random_codeword(&code, &g, c);
	receive(&code, c, 52, 20, &g, llr);
	assert_in_range(ldpc_decode(d, &code, llr, bits, 20), 1, 3);
	for (int k = 0; k < 50; k++) {
		for (size_t i = 0; i < ldpc_bg2.n_cols * code.z; i++)
			llr[i] = (int8_t)(awgn_u64(&g) >> 30);
		assert_int_equal(ldpc_decode(d, &code, llr, bits, 20), -EBADMSG);
	}
	ldpc_decoder_destroy(d);
}

static void what_was_decoded_before_leaves_no_trace(void **state)
{
	static uint8_t c[CODEWORD_MAX], first[CODEWORD_MAX], second[CODEWORD_MAX];
	static int8_t llr[CODEWORD_MAX], noise[CODEWORD_MAX];
	struct ldpc_decoder *fresh = ldpc_decoder_create(), *used = ldpc_decoder_create();
	struct awgn g = { 13 };

	(void)state;
	assert_true(fresh && used);
	for (size_t z = 2; z; z = ldpc_lifting_size(2 * z + 1)) {
		struct ldpc_code code, other;
		ldpc_code_init(&code, &ldpc_bg2, z);
		ldpc_code_init(&other, &ldpc_bg2, 384);
		random_codeword(&code, &g, c);
		receive(&code, c, 30, 1.0, &g, llr);
		for (size_t i = 0; i < sizeof noise; i++)
			noise[i] = (int8_t)(awgn_u64(&g) >> 30);
		ldpc_decode(used, &other, noise, second, 3);
		memset(first, 0, sizeof first);
		memset(second, 0, sizeof second);
		assert_int_equal(ldpc_decode(fresh, &code, llr, first, 5), ldpc_decode(used, &code, llr, second, 5));
		assert_memory_equal(first, second, sizeof first);
		ldpc_decoder_destroy(fresh);
		fresh = ldpc_decoder_create();
		assert_non_null(fresh);
	}
	ldpc_decoder_destroy(fresh);
	ldpc_decoder_destroy(used);
}

enum input { NOISY, RANDOM, EXTREME, N_INPUTS };

static void make_input(const struct ldpc_code *code, enum input input, struct awgn *g, int8_t *llr)
{
	static uint8_t c[CODEWORD_MAX];
	const struct ldpc_graph *graph = code->graph;
	size_t n = graph->n_cols * code->z;

	random_codeword(code, g, c);
	receive(code, c, graph->n_info + 12, 2.5, g, llr);
	for (size_t i = 0; i < n && input != NOISY; i++) {
		int8_t x = (int8_t)(awgn_u64(g) >> 40);
		llr[i] = input == RANDOM ? x : x < -10 ? -128 : x < 10 ? 0 : 127;
	}
}

/* After one iteration the posteriors differ in every bit that a wrong lane would touch; after several, all over. */
static void assert_same_as_portable(struct ldpc_decoder *d, struct ldpc_decoder *portable)
{
	static uint8_t expected[CODEWORD_MAX], bits[CODEWORD_MAX];
	static int8_t llr[CODEWORD_MAX];
	struct awgn g = { 16 };

	for (size_t z = ldpc_lifting_size(1); z; z = ldpc_lifting_size(z + 1))
		for (int k = 0; k < N_GRAPHS * N_INPUTS; k++) {
			struct ldpc_code code;
			ldpc_code_init(&code, graphs[k % N_GRAPHS], z);
			make_input(&code, (enum input)(k / N_GRAPHS), &g, llr);
			for (unsigned iterations = 1; iterations <= 6; iterations += 5) {
				int rc = ldpc_decode(portable, &code, llr, expected, iterations);
				assert_int_equal(ldpc_decode(d, &code, llr, bits, iterations), rc);
				assert_memory_equal(bits, expected, code.graph->n_info * z);
			}
		}
}

static void every_kernel_gives_the_same_bits(void **state)
{
	static const char *const names[] = { "avx512", "avx2" };
	struct ldpc_decoder *portable = ldpc_decoder_create_kernel("portable");

	(void)state;
	assert_non_null(portable);
	assert_string_equal(ldpc_kernel_name(portable), "portable");
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct ldpc_decoder *d = ldpc_decoder_create_kernel(names[i]);
		if (!d) {
			assert_int_equal(errno, ENOTSUP);
			print_message("this machine does not run the kernel %s: not compared\n", names[i]);
			continue;
		}
		assert_string_equal(ldpc_kernel_name(d), names[i]);
		assert_same_as_portable(d, portable);
		ldpc_decoder_destroy(d);
	}
	ldpc_decoder_destroy(portable);
}

static void a_kernel_of_another_name_is_refused(void **state)
{
	(void)state;
	errno = 0;
	assert_null(ldpc_decoder_create_kernel("avx"));
	assert_int_equal(errno, ENOTSUP);
}

/* One parity bit is inverted, and so strong that its row, the only one that has it, can't mend it at once. (The row that is
 * visited last, the first one behind the core, can: its columns are the punctured ones, whom all others have told much.) */
static void success_is_a_codeword_in_every_row_that_was_received(void **state)
{
	static uint8_t c[CODEWORD_MAX], bits[CODEWORD_MAX];
	static int8_t llr[CODEWORD_MAX];
	struct ldpc_decoder *d = ldpc_decoder_create();
	struct awgn g = { 17 };

	(void)state;
	assert_non_null(d);
	for (int k = 0; k < N_GRAPHS; k++) {
		const struct ldpc_graph *graph = graphs[k];
		struct ldpc_code code;
		ldpc_code_init(&code, graph, 40);
		random_codeword(&code, &g, c);
		for (size_t i = 0; i < graph->n_cols * code.z; i++)
			llr[i] = c[i] ? -5 : 5;
		assert_int_equal(ldpc_decode(d, &code, llr, bits, 1), 1);
		for (size_t row = LDPC_CORE_ROWS + 1; row < graph->n_rows; row++) {
			size_t i = (graph->n_info + row) * code.z + row % code.z; /* parity of this row alone */
			llr[i] = c[i] ? 127 : -127;
			assert_int_equal(ldpc_decode(d, &code, llr, bits, 1), -EBADMSG);
			llr[i] = c[i] ? -5 : 5;
		}
	}
	ldpc_decoder_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lifting_sizes_are_those_of_the_table),
		cmocka_unit_test(the_graphs_are_the_tables_entry_by_entry),
		cmocka_unit_test(the_graphs_have_the_sizes_of_the_standard),
		cmocka_unit_test(the_parity_check_matrix_has_full_rank),
		cmocka_unit_test(encoded_words_satisfy_every_check_at_every_lifting_size),
		cmocka_unit_test(fewer_rows_give_the_same_parity_and_leave_the_rest_alone),
		cmocka_unit_test(a_lift_that_is_no_lifting_size_is_refused),
		cmocka_unit_test(every_lifting_size_decodes_at_low_middle_and_high_rates),
		cmocka_unit_test(the_waterfall_at_rate_a_half_is_where_it_belongs),
		cmocka_unit_test(saturated_values_decode_with_one_in_two_hundred_inverted),
		cmocka_unit_test(known_filler_bits_help),
		cmocka_unit_test(no_error_floor_shows),
		cmocka_unit_test(every_kernel_gives_the_same_bits),
		cmocka_unit_test(a_kernel_of_another_name_is_refused),
		cmocka_unit_test(success_is_a_codeword_in_every_row_that_was_received),
		cmocka_unit_test(a_clean_word_takes_few_iterations_and_noise_takes_all_and_fails),
		cmocka_unit_test(what_was_decoded_before_leaves_no_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
