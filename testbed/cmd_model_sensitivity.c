/* wdmoe model sensitivity: how far the model's predictions move, layer by layer, when an expert is left out. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/calibration.h"
#include "testbed/cli.h"
#include "testbed/divergence.h"
#include "testbed/engine.h"

enum { BINS = 5, CHUNK_ROWS = 64 };

/* What leaving out the lightest choice did, in one layer, where its share of the token's weight was in a bin. */
struct bin {
	uint64_t n;
	double share, square, kl; /* sums: of shares, of their squares, of the divergences of all positions */
};

struct sensitivity {
	const struct moe_model *m;
	size_t layer, bin; /* under test */
	struct bin *bins;  /* [n_layer][BINS] */
	uint64_t n_positions;
};

static struct bin *bin_of(const struct sensitivity *s)
{
	return &s->bins[s->layer * BINS + s->bin];
}

/* A moe_select_fn: in the layer under test every row whose lightest choice is in the bin loses it. */
static size_t leave_out(void *user, size_t layer, size_t row, const float *probs, const struct moe_choice *topk,
                        struct moe_choice *chosen)
{
	struct sensitivity *s = user;
	size_t n = s->m->shape.n_expert_used;
	double sum = 0;
	(void)row, (void)probs;
	memcpy(chosen, topk, n * sizeof *chosen);
	for (size_t i = 0; i < n; i++)
		sum += (double)topk[i].prob;
	double share = sum > 0 ? (double)topk[n - 1].prob / sum : 1;
	if (layer != s->layer || n < 2 || (size_t)(share * 2 * BINS) != s->bin)
		return n;
	struct bin *b = bin_of(s);
	b->n++;
	b->share += share;
	b->square += share * share;
	moe_renormalise(s->m, chosen, n - 1);
	return n - 1;
}

static int measure(struct sensitivity *s, struct moe_forward *f, const struct calibration_text *t)
{
	struct divergence d;
	int rc = divergence_init(&d, s->m, s->m->shape.n_ctx,
	                         CHUNK_ROWS < s->m->shape.n_ctx ? CHUNK_ROWS : s->m->shape.n_ctx);
	for (size_t i = 0; i < t->n && !rc && !cli_interrupted(); i++)
		rc = divergence_add(&d, f, t->line[i].ids, t->line[i].n, 0);
	if (rc)
		return rc;
	bin_of(s)->kl = d.kl;
	s->n_positions = d.n;
	divergence_free(&d);
	return 0;
}

/* Divergence over the squares of the shares left out; the exponent that fits best: slope of log(divergence) over log(share), of the
 * layer's bins, each counting as often as it was seen. */
static double of_layer(const struct bin *b)
{
	double kl = 0, square = 0;
	for (size_t i = 0; i < BINS; i++) {
		kl += b[i].kl;
		square += b[i].square;
	}
	return square > 0 ? kl / square : NAN;
}

static double exponent(const struct sensitivity *s)
{
	double n = 0, xx = 0, xy = 0;
	for (size_t layer = 0; layer < s->m->shape.n_layer; layer++) {
		const struct bin *b = s->bins + layer * BINS;
		double w = 0, x = 0, y = 0;
		for (size_t i = 0; i < BINS; i++)
			if (b[i].n && b[i].kl > 0) {
				w += (double)b[i].n;
				x += (double)b[i].n * log(b[i].share / (double)b[i].n);
				y += (double)b[i].n * log(b[i].kl / (double)b[i].n);
			}
		for (size_t i = 0; i < BINS; i++)
			if (b[i].n && b[i].kl > 0) {
				double dx = log(b[i].share / (double)b[i].n) - x / w;
				xx += (double)b[i].n * dx * dx;
				xy += (double)b[i].n * dx * (log(b[i].kl / (double)b[i].n) - y / w);
			}
		n += w;
	}
	return n > 0 && xx > 0 ? xy / xx : NAN;
}

static json_t *bins_json(const struct bin *b)
{
	json_t *list = json_array();
	for (size_t i = 0; i < BINS; i++)
		json_array_append_new(list, json_pack("{s:f, s:f, s:I, s:o, s:o}", "share_from", (double)i / (2 * BINS),
		                                      "share_to", (double)(i + 1) / (2 * BINS), "left_out",
		                                      (json_int_t)b[i].n, "share_mean",
		                                      json_real_or_null(b[i].share / (double)b[i].n), "kl_each_nats",
		                                      json_real_or_null(b[i].kl / (double)b[i].n)));
	return list;
}

static int report(const struct sensitivity *s, const struct json_out *out)
{
	size_t n = s->m->shape.n_layer;
	json_t *layers = json_array(), *relative = json_array();
	char hash[MOE_HASH_HEX];
	double mean = 0;
	moe_model_hash_hex(s->m, hash);
	for (size_t i = 0; i < n; i++)
		mean += of_layer(s->bins + i * BINS) / (double)n;
	for (size_t i = 0; i < n; i++) {
		double nats = of_layer(s->bins + i * BINS);
		fprintf(json_out_text(out), "layer %3zu: %.4g nats for a share of 1, %.2f of the mean\n", i, nats,
		        nats / mean);
		json_array_append_new(relative, json_real_or_null(nats / mean));
		json_array_append_new(layers,
		                      json_pack("{s:I, s:o, s:o}", "layer", (json_int_t)i, "nats",
		                                json_real_or_null(nats), "bins", bins_json(s->bins + i * BINS)));
	}
	fprintf(json_out_text(out), "divergence grows as share^%.2f (%llu positions)\n", exponent(s),
	        (unsigned long long)s->n_positions);
	return json_out_write(out, json_pack("{s:i, s:s, s:s, s:I, s:o, s:o, s:o, s:o}", "schema", 1, "version",
	                                     cli_version(), "model_hash", hash, "positions", (json_int_t)s->n_positions,
	                                     "exponent", json_real_or_null(exponent(s)), "nats_mean",
	                                     json_real_or_null(mean), "sensitivity", relative, "layers", layers));
}

static int run(const struct moe_model *m, const struct calibration_text *t, const struct engine *e,
               const struct json_out *out)
{
	struct sensitivity s = { .m = m, .bins = calloc(m->shape.n_layer * BINS, sizeof *s.bins) };
	struct moe_forward *f = moe_forward_create(
	        m, &(struct moe_ctx_options){ .n_ctx = m->shape.n_ctx,
	                                      .max_rows = CHUNK_ROWS < m->shape.n_ctx ? CHUNK_ROWS : m->shape.n_ctx,
	                                      .compute = e->how });
	size_t n = m->shape.n_layer * BINS;
	int rc = f && s.bins ? 0 : -ENOMEM, status;
	if (!rc)
		moe_forward_set_select(f, leave_out, &s);
	for (size_t i = 0; i < n && !rc && !cli_interrupted(); i++) {
		s.layer = i / BINS;
		s.bin = i % BINS;
		rc = measure(&s, f, t);
		fprintf(stderr, "\r\033[K%zu of %zu runs%s", i + 1, n, i + 1 == n || rc ? "\n" : "");
	}
	if (rc)
		status = cli_failed("model sensitivity: %s", strerror(-rc));
	else
		status = cli_interrupted() ? CLI_INTERRUPTED : report(&s, out);
	moe_forward_destroy(f);
	free(s.bins);
	return status;
}

int cmd_model_sensitivity(int argc, char **argv)
{
	return calibration_command(argc, argv,
	                           "How far the probabilities of the next token move (KL, nats) when in one layer the "
	                           "lightest expert of a token is\n"
	                           "left out, over the square of its share of the token's weight. A sequence a line. "
	                           "The JSON file is what\n"
	                           "scheduler.sensitivity takes.",
	                           run);
}
