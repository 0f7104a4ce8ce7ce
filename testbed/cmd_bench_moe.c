/* wdmoe bench moe: how fast the model engine decodes, reads prompts, serves several sequences and runs experts, beside what
 * memory and OpenBLAS give in the same run; or how much memory a device's half takes. */
#include <cblas.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "testbed/cli.h"
#include "testbed/config.h"
#include "testbed/moe_bench.h"
#include "testbed/moe_bench_model.h"
#include "testbed/pool.h"

enum { LISTED_MAX = 8, EXPERTS_MAX = 64, READS = 5, PATH_LEN = CONFIG_PATH_MAX, ERR_LEN = PATH_LEN + 256 };

struct bench_moe {
	const char *folder, *model, *half;
	const struct tensor_type *types[LISTED_MAX];
	size_t n_types;
	size_t threads[LISTED_MAX], n_threads;
	size_t experts[EXPERTS_MAX], n_experts;
	bool modes[2];
	uint64_t seed;
	size_t rounds;
	double read_gb_s;
	struct json_out json;
};

static void tell(const char *what)
{
	fprintf(stderr, "\r\033[K%s", what);
	fflush(stderr);
}

/* --- lists of words --- */

/* Calls take for each word of "a,b,c"; false at the first it does not. */
static bool each_word(const char *list, bool (*take)(struct bench_moe *b, const char *word), struct bench_moe *b)
{
	char copy[256], *rest = copy, *word;
	if (strlen(list) >= sizeof copy)
		return false;
	strcpy(copy, list);
	while ((word = strsep(&rest, ",")))
		if (!take(b, word))
			return false;
	return true;
}

static bool take_type(struct bench_moe *b, const char *word)
{
	const struct tensor_type *t;
	for (size_t i = 0; (t = tensor_type_at(i)); i++)
		if (!strcasecmp(t->name, word) && b->n_types < LISTED_MAX) {
			b->types[b->n_types++] = t;
			return true;
		}
	return false;
}

static bool take_number(const char *word, size_t max, size_t *value)
{
	char *end;
	unsigned long v = strtoul(word, &end, 10);
	*value = v;
	return end > word && !*end && *word != '-' && v <= max;
}

static bool take_threads(struct bench_moe *b, const char *word)
{
	return b->n_threads < LISTED_MAX && take_number(word, 64, &b->threads[b->n_threads]) &&
	       b->threads[b->n_threads++];
}

static bool take_expert(struct bench_moe *b, const char *word)
{
	return b->n_experts < EXPERTS_MAX && take_number(word, 1023, &b->experts[b->n_experts]) && ++b->n_experts;
}

/* --- memory --- */

/* The most that this process ever had resident, kB; NaN where the system does not say. */
static double hwm_kb(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	double kb = NAN;
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmHWM: %lf", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

/* --- the read bandwidth --- */

/* Best of some sums over the mapped file, which is read through the cache of pages once before, and of *best. */
static int measure_read(const char *path, double *best)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st = { 0 };
	void *map =
	        fd >= 0 && !fstat(fd, &st) ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
	int rc = map == MAP_FAILED ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (rc)
		return rc;
	moe_bench_read_gb_s(map, (size_t)st.st_size);
	for (int i = 0; i < READS; i++)
		*best = fmax(*best, moe_bench_read_gb_s(map, (size_t)st.st_size));
	munmap(map, (size_t)st.st_size);
	return 0;
}

/* A gigabyte of anything: the smallest file that the bandwidth is taken from. */
static int write_scratch(const char *path)
{
	enum { PIECE = 1 << 20, PIECES = 1025 };
	uint8_t *piece = malloc(PIECE);
	FILE *f = piece ? fopen(path, "wb") : NULL;
	bool ok = f;
	for (size_t i = 0; i < PIECE && ok; i++)
		piece[i] = (uint8_t)(i * 31 >> 3);
	for (size_t i = 0; i < PIECES && ok; i++)
		ok = fwrite(piece, PIECE, 1, f) == 1;
	if (f && fclose(f))
		ok = false;
	free(piece);
	return ok ? 0 : -errno;
}

/* --- one type, mode and number of threads --- */

static json_t *calls_json(const struct moe_bench_result *r)
{
	json_t *list = json_array();
	for (size_t k = 0; k < MOE_BENCH_CALLS; k++)
		json_array_append_new(list,
		                      json_pack("{s:I, s:o, s:o, s:o}", "rows", (json_int_t)moe_bench_call_rows[k],
		                                "us", json_real_or_null(r->call_us[k]), "gflop_s",
		                                json_real_or_null(r->call_gflop_s[k]), "gb_s",
		                                json_real_or_null(r->call_gb_s[k])));
	return list;
}

static json_t *result_json(const char *mode, size_t threads, double read_gb_s, const struct moe_bench_result *r)
{
	return json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "mode", mode,
	                 "threads", (json_int_t)threads, "read_gb_s", json_real_or_null(read_gb_s), "decode_tokens_s",
	                 json_real_or_null(r->decode_tokens_s), "decode_mean_tokens_s",
	                 json_real_or_null(r->decode_mean_tokens_s), "decode_gb_s", json_real_or_null(r->decode_gb_s),
	                 "decode_over_read", json_real_or_null(r->decode_gb_s / read_gb_s), "prompt_tokens_s",
	                 json_real_or_null(r->prompt_tokens_s), "prompt_gflop_s", json_real_or_null(r->prompt_gflop_s),
	                 "sgemm_gflop_s", json_real_or_null(r->sgemm_gflop_s), "prompt_over_sgemm",
	                 json_real_or_null(r->prompt_gflop_s / r->sgemm_gflop_s), "sequences_tokens_s",
	                 json_real_or_null(r->sequences_tokens_s), "sequences_over_one",
	                 json_real_or_null(r->sequences_tokens_s / r->decode_tokens_s), "expert_calls", calls_json(r));
}

/* Reading, decoding and decoding of several take turns: what slows the machine for a while slows them all. */
static int take_turns(const struct moe_model *m, const struct moe_compute *how, size_t rounds, const char *path,
                      double *read_gb_s, struct moe_bench_result *best)
{
	int rc = 0;
	double mean_s = 0;
	for (size_t i = 0; i < rounds && !rc; i++) {
		struct moe_bench_result now = { 0 };
		rc = measure_read(path, read_gb_s);
		if (!rc)
			rc = moe_bench_decode(m, how, 1, &now);
		if (!rc)
			rc = moe_bench_sequences(m, how, 1, &now);
		best->decode_tokens_s = fmax(best->decode_tokens_s, now.decode_tokens_s);
		best->decode_gb_s = fmax(best->decode_gb_s, now.decode_gb_s);
		best->sequences_tokens_s = fmax(best->sequences_tokens_s, now.sequences_tokens_s);
		mean_s += 1 / now.decode_mean_tokens_s / (double)rounds;
	}
	best->decode_mean_tokens_s = 1 / mean_s;
	return rc;
}

static int run_one(struct bench_moe *b, const struct moe_model *m, const char *path, int mode, size_t threads,
                   json_t *list)
{
	static const char *const names[] = { [MOE_EXACT] = "exact", [MOE_FAST] = "fast" };
	struct pool *pool = pool_create(threads);
	struct moe_bench_result r = { 0 };
	if (!pool)
		return -errno;
	const struct moe_workers workers = { pool_run_any, pool, threads };
	struct moe_compute how = { .mode = (enum moe_mode)mode, .workers = threads > 1 ? &workers : NULL };
	double read_gb_s = 0;
	int rc = take_turns(m, &how, b->rounds, path, &read_gb_s, &r);
	b->read_gb_s = fmax(b->read_gb_s, read_gb_s);
	if (!rc)
		rc = moe_bench_prompt(m, &how, b->rounds, &r);
	if (!rc)
		rc = moe_bench_calls(m, &how, b->rounds, &r);
	pool_destroy(pool);
	if (rc)
		return rc;
	tell("");
	fprintf(json_out_text(&b->json),
	        "  %-5s %zu thread%s  decode %6.1f tokens/s (%.1f GB/s, %.0f %%)  prompt %7.1f tokens/s (%.0f GFLOP/s, "
	        "sgemm %.0f)  "
	        "%d sequences %7.1f tokens/s (%.2f x)\n",
	        names[mode], threads, threads > 1 ? "s" : " ", r.decode_tokens_s, r.decode_gb_s,
	        100 * r.decode_gb_s / read_gb_s, r.prompt_tokens_s, r.prompt_gflop_s, r.sgemm_gflop_s,
	        MOE_BENCH_SEQUENCES, r.sequences_tokens_s, r.sequences_tokens_s / r.decode_tokens_s);
	json_array_append_new(list, result_json(names[mode], threads, read_gb_s, &r));
	return 0;
}

/* --- the command --- */

static void path_in(const struct bench_moe *b, char path[PATH_LEN], const char *name)
{
	snprintf(path, PATH_LEN, "%s/wdmoe-bench-%d-%s", b->folder, (int)getpid(), name);
}

/* The model to be timed: the user's own, or one of random weights, which the caller removes. */
static int make_model(struct bench_moe *b, const struct tensor_type *type, char path[PATH_LEN], char *err,
                      size_t err_len)
{
	if (b->model) {
		snprintf(path, PATH_LEN, "%s", b->model);
		return 0;
	}
	char name[64];
	snprintf(name, sizeof name, "%s.gguf", type->name);
	path_in(b, path, name);
	tell("writing a model of random weights");
	return moe_bench_model_write(path, type, b->seed, err, err_len);
}

static int run_type(struct bench_moe *b, const struct tensor_type *type, const char *scratch, json_t *types, char *err,
                    size_t err_len)
{
	char path[PATH_LEN];
	struct moe_model *m = NULL;
	json_t *runs = json_array();
	int rc = make_model(b, type, path, err, err_len);
	if (!rc)
		rc = moe_model_open(path, NULL, &m, err, err_len);
	if (!rc)
		fprintf(json_out_text(&b->json), "\r\033[K%s: %.0f MB of weights a token\n",
		        b->model ? b->model : type->name, 1e-6 * moe_bench_token_bytes(m));
	for (size_t t = 0; t < b->n_threads && !rc; t++)
		for (int mode = MOE_EXACT; mode <= MOE_FAST && !rc; mode++)
			if (b->modes[mode]) {
				tell("timing");
				rc = run_one(b, m, scratch, mode, b->threads[t], runs);
				if (rc)
					snprintf(err, err_len, "%.*s: %s", (int)err_len / 2, path, strerror(-rc));
			}
	if (!rc)
		json_array_append_new(types, json_pack("{s:s, s:o, s:O}", "type", b->model ? "file" : type->name,
		                                       "token_bytes", json_real_or_null(moe_bench_token_bytes(m)),
		                                       "runs", runs));
	json_decref(runs);
	moe_model_close(m);
	if (!b->model)
		unlink(path);
	return rc;
}

static int finish(const struct bench_moe *b, int rc, const char *err, json_t *root)
{
	if (!rc)
		return json_out_write(&b->json, root);
	json_decref(root);
	tell("");
	return rc == -EINTR ? CLI_INTERRUPTED : cli_failed("%s", err);
}

static int bench_speed(struct bench_moe *b)
{
	char scratch[PATH_LEN], err[ERR_LEN] = "";
	json_t *types = json_array();
	path_in(b, scratch, "read");
	int rc = write_scratch(scratch);
	if (rc)
		snprintf(err, sizeof err, "%s: %s", scratch, strerror(-rc));
	for (size_t i = 0; i < b->n_types && !rc; i++)
		rc = run_type(b, b->types[i], scratch, types, err, sizeof err);
	unlink(scratch);
	if (!rc)
		fprintf(json_out_text(&b->json), "plain reading: %.1f GB/s on one thread\n", b->read_gb_s);
	return finish(b, rc, err,
	              json_pack("{s:i, s:s, s:s, s:s, s:I, s:o, s:o}", "schema", 1, "version", cli_version(), "kernels",
	                        kernels_best()->name, "blas_core", openblas_get_corename(), "seed", (json_int_t)b->seed,
	                        "read_gb_s", json_real_or_null(b->read_gb_s), "types", types));
}

/* Every held expert is called once with a row, so that all of its weights have been touched. */
static int call_all(const struct moe_model *m)
{
	struct moe_expert_ctx *e = moe_expert_ctx_create(m, 1, NULL);
	float *x = calloc(2 * m->shape.n_embd, sizeof *x);
	int rc = e && x ? 0 : -ENOMEM;
	for (size_t i = 0; i < m->shape.n_embd && !rc; i++)
		x[i] = 1;
	for (size_t layer = 0; layer < m->shape.n_layer && !rc; layer++)
		for (size_t k = 0; k < m->shape.n_expert && !rc; k++)
			if (moe_model_holds(m, layer, k))
				rc = moe_expert_forward(e, layer, k, x, 1, x + m->shape.n_embd);
	free(x);
	moe_expert_ctx_destroy(e);
	return rc;
}

static int open_half(const struct bench_moe *b, const char *path, struct moe_model **m, char *err, size_t err_len)
{
	enum { LAYERS = 1024 };
	struct moe_expert_id *held = calloc(LAYERS * b->n_experts + 1, sizeof *held);
	struct moe_model *shape = NULL;
	size_t n = 0;
	if (!held)
		return -ENOMEM;
	int rc = moe_model_open(path, &(struct moe_half){ .base = false }, &shape, err, err_len); /* for its layers */
	for (size_t layer = 0; !rc && layer < shape->shape.n_layer; layer++)
		for (size_t i = 0; i < b->n_experts; i++)
			held[n++] = (struct moe_expert_id){ (uint32_t)layer, (uint32_t)b->experts[i] };
	if (!rc)
		rc = moe_model_open(path,
		                    &(struct moe_half){ .base = !strcmp(b->half, "bs"), .held = held, .n_held = n }, m,
		                    err, err_len);
	moe_model_close(shape);
	free(held);
	return rc;
}

static int bench_memory(struct bench_moe *b)
{
	char path[PATH_LEN], err[ERR_LEN] = "";
	struct moe_model *m = NULL;
	double idle_kb = hwm_kb(), expert_bytes = 0, all_bytes = 0;
	int rc = make_model(b, b->types[0], path, err, sizeof err);
	if (!rc)
		rc = open_half(b, path, &m, err, sizeof err);
	if (!rc) {
		rc = call_all(m);
		if (rc)
			snprintf(err, sizeof err, "%s: an expert call failed: %s", path, strerror(-rc));
	}
	for (size_t layer = 0; !rc && layer < m->shape.n_layer; layer++)
		for (size_t e = 0; e < m->shape.n_expert; e++) {
			all_bytes += (double)moe_model_expert_bytes(m, layer);
			expert_bytes += moe_model_holds(m, layer, e) ? (double)moe_model_expert_bytes(m, layer) : 0;
		}
	double used_kb = hwm_kb();
	if (!rc)
		fprintf(json_out_text(&b->json),
		        "\r\033[K%s half, %.1f of %.1f MB of experts: %.1f MB resident at most, %.1f idle\n", b->half,
		        1e-6 * expert_bytes, 1e-6 * all_bytes, 1.024e-3 * used_kb, 1.024e-3 * idle_kb);
	moe_model_close(m);
	if (!b->model)
		unlink(path);
	return finish(b, rc, err,
	              json_pack("{s:i, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "schema", 1, "version", cli_version(),
	                        "half", b->half, "type", b->model ? "file" : b->types[0]->name, "held_expert_bytes",
	                        json_real_or_null(expert_bytes), "expert_bytes", json_real_or_null(all_bytes),
	                        "vm_hwm_bytes", json_real_or_null(1024 * used_kb), "idle_vm_hwm_bytes",
	                        json_real_or_null(1024 * idle_kb)));
}

int cmd_bench_moe(int argc, char **argv)
{
	const char *types = "F16,Q8_0,Q4_K", *threads = "1", *mode = "both", *experts = "0", *json = NULL;
	int64_t rounds = 5;
	struct bench_moe b = { .folder = "/tmp", .seed = 1 };
	const struct cli_option options[] = {
		{ "model", CLI_STRING, &b.model, "M", "a model file of your own in place of random weights" },
		{ "types", CLI_STRING, &types, "LIST",
		  "types of the random weights: F32, F16, BF16, Q8_0, Q4_0, Q4_K" },
		{ "threads", CLI_STRING, &threads, "LIST", "numbers of threads" },
		{ "mode", CLI_STRING, &mode, "MODE", "exact, fast or both", .choices = "exact|fast|both" },
		{ "rounds", CLI_INT, &rounds, "N", "of each measurement; the best counts", .min = 1, .max = 1000 },
		{ "half", CLI_STRING, &b.half, "HALF", "not the speed but the memory of one half: device or bs",
		  .choices = "device|bs" },
		{ "experts", CLI_STRING, &experts, "LIST", "experts of every layer that the half holds" },
		{ "dir", CLI_STRING, &b.folder, "DIR", "where files of up to 3.2 GB are made and removed again" },
		{ "seed", CLI_UINT64, &b.seed, "SEED", "of the weights" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"",
		"Times decoding, a prompt of 128 tokens, 16 sequences at once and expert calls on a Mixtral-style "
		"model of 791 M\n"
		"random weights, beside the read bandwidth and OpenBLAS's sgemm in the same run. With --half: the most "
		"memory that\n"
		"one half of the model takes once every expert it holds has been called.",
		options,
		sizeof options / sizeof options[0],
		NULL,
		0,
		0,
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	b.rounds = (size_t)rounds;
	b.modes[MOE_EXACT] = strcmp(mode, "fast") != 0;
	b.modes[MOE_FAST] = strcmp(mode, "exact") != 0;
	if (!each_word(types, take_type, &b))
		return cli_bad_input("--types: \"%s\" is not a list of types", types);
	if (!each_word(threads, take_threads, &b))
		return cli_bad_input("--threads: \"%s\" is not a list of numbers from 1 to 64", threads);
	if (!each_word(experts, take_expert, &b))
		return cli_bad_input("--experts: \"%s\" is not a list of experts", experts);
	if (b.model)
		b.n_types = 1;
	status = json_out_open(&b.json, json);
	if (status != CLI_DONE)
		return status;
	cli_catch_interrupt();
	return b.half ? bench_memory(&b) : bench_speed(&b);
}
