#include "testbed/problem.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phy/mcs.h"

/* ---- complaints: the first one counts ---- */

enum { PLACE_MAX = 96, PLACES = 4 };

struct reader {
	char place[PLACES][PLACE_MAX]; /* the last ones named */
	size_t n_places;
	char *err;
	size_t err_len;
	const char *path;
	bool failed;
};

static bool complain(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool complain(struct reader *r, const char *format, ...)
{
	if (!r->failed) {
		int n = snprintf(r->err, r->err_len, "%s: ", r->path);
		va_list args;
		va_start(args, format);
		if (n > 0 && (size_t)n < r->err_len)
			vsnprintf(r->err + n, r->err_len - (size_t)n, format, args);
		va_end(args);
	}
	r->failed = true;
	return false;
}

/* A place in the file, good until a few more have been named. */
static const char *place_of(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static const char *place_of(struct reader *r, const char *format, ...)
{
	char *at = r->place[r->n_places++ % PLACES];
	va_list args;
	va_start(args, format);
	vsnprintf(at, PLACE_MAX, format, args);
	va_end(args);
	return at;
}

/* ---- pieces ---- */

static double number(struct reader *r, const json_t *v, const char *place, double least)
{
	double x = json_number_value(v);
	if (!json_is_number(v))
		complain(r, "%s: %s", place, v ? "not a number" : "is missing");
	else if (!isfinite(x) || x < least)
		complain(r, "%s: %g is out of range", place, x);
	return x;
}

static size_t count(struct reader *r, const json_t *v, const char *place, size_t most)
{
	json_int_t n = json_integer_value(v);
	if (!json_is_integer(v))
		complain(r, "%s: %s", place, v ? "not a whole number" : "is missing");
	else if (n < 1 || (size_t)n > most)
		complain(r, "%s: must be 1 to %zu", place, most);
	return r->failed ? 0 : (size_t)n;
}

/* Only the keys of the list, words between blanks. */
static void only_keys(struct reader *r, const json_t *object, const char *place, const char *keys)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)object, key, value)
	{
		char word[64];
		if ((size_t)snprintf(word, sizeof word, " %s ", key) >= sizeof word || !strstr(keys, word))
			complain(r, "%s%s%s: there is no such key", place, *place ? "." : "", key);
	}
}

static const char *choice(struct reader *r, const json_t *v, const char *place, const char *one, const char *other)
{
	const char *word = v ? json_string_value(v) : one;
	if (word && strcmp(word, one) == 0)
		return one;
	if (!word || strcmp(word, other) != 0)
		complain(r, "%s: must be \"%s\" or \"%s\"", place, one, other);
	return other;
}

static void both_ways(struct reader *r, const json_t *v, const char *place, double least, double out[2])
{
	static const char *const direction[2] = { "dl", "ul" };
	if (!json_is_object(v))
		complain(r, "%s: %s", place, v ? "not an object with dl and ul" : "is missing");
	only_keys(r, v, place, " dl ul ");
	for (int dir = 0; dir < 2 && !r->failed; dir++) {
		out[dir] = number(r, json_object_get(v, direction[dir]), place_of(r, "%s.%s", place, direction[dir]),
		                  least);
	}
}

/* ---- rates ---- */

static double mcs_efficiency(double snr_db)
{
	if (!(snr_db >= (double)mcs_get(0)->snr_db))
		return 0;
	const struct mcs *m = mcs_get(mcs_for_snr((float)snr_db));
	return m->bits * (double)m->rate;
}

static double efficiency(bool mcs, double snr_db)
{
	return mcs ? mcs_efficiency(snr_db) : log2(1 + pow(10, snr_db / 10));
}

/* One direction of a device: a number, or one for each block. */
static void read_rates(struct reader *r, struct problem *p, const json_t *v, const char *place, bool mcs, double *bps,
                       struct layer_device *dev, int dir)
{
	const struct layer *l = &p->layer;
	if (!json_is_array(v)) {
		double snr_db = number(r, v, place, -INFINITY);
		dev->mean_bps[dir] = l->block_hz * efficiency(mcs, snr_db);
		dev->snr[dir] = pow(10, snr_db / 10);
		return;
	}
	if (l->power == LAYER_TOTAL) {
		complain(r, "%s: with power \"total\" one number for the whole band is needed", place);
		return;
	}
	if (json_array_size(v) != l->n_rb) {
		complain(r, "%s: %zu blocks, rb says %zu", place, json_array_size(v), l->n_rb);
		return;
	}
	for (size_t rb = 0; rb < l->n_rb && !r->failed; rb++) {
		double snr_db = number(r, json_array_get(v, rb), place_of(r, "%s[%zu]", place, rb), -INFINITY);
		bps[rb] = l->block_hz * efficiency(mcs, snr_db);
		dev->mean_bps[dir] += bps[rb] / (double)l->n_rb;
	}
	dev->block_bps[dir] = bps;
}

/* ---- devices ---- */

static void read_experts(struct reader *r, struct problem *p, size_t d, const json_t *list)
{
	size_t i;
	json_t *item;
	if (!json_is_array(list))
		complain(r, "devices[%zu].experts: %s", d, list ? "not a list" : "is missing");
	json_array_foreach(list, i, item)
	{
		if (!json_is_integer(item) || json_integer_value(item) < 0 ||
		    (size_t)json_integer_value(item) >= p->layer.n_experts) {
			complain(r, "devices[%zu].experts[%zu]: no expert of 0 to %zu", d, i, p->layer.n_experts - 1);
			return;
		}
		p->holds[(size_t)json_integer_value(item) * p->layer.n_devices + d] = 1;
	}
}

/* A time that may be left out. */
static double seconds(struct reader *r, const json_t *device, const char *key, size_t d)
{
	const json_t *v = json_object_get(device, key);
	return v ? number(r, v, place_of(r, "devices[%zu].%s", d, key), 0) : 0;
}

static void read_device(struct reader *r, struct problem *p, size_t d, const json_t *v, bool mcs)
{
	static const char *const direction[2] = { "dl", "ul" };
	struct layer_device *dev = &p->devices[d];
	const json_t *alive = json_object_get(v, "alive"), *backlog = json_object_get(v, "backlog_bits"),
	             *snr = json_object_get(v, "snr_db");
	if (!json_is_object(v)) {
		complain(r, "devices[%zu]: not an object", d);
		return;
	}
	only_keys(r, v, place_of(r, "devices[%zu]", d),
	          " experts snr_db compute_s_per_token compute_s_fixed backlog_bits alive ");
	read_experts(r, p, d, json_object_get(v, "experts"));
	dev->alive = !alive || json_is_true(alive);
	if (alive && !json_is_boolean(alive))
		complain(r, "devices[%zu].alive: must be true or false", d);
	dev->per_token_s = seconds(r, v, "compute_s_per_token", d);
	dev->fixed_s = seconds(r, v, "compute_s_fixed", d);
	if (backlog)
		both_ways(r, backlog, place_of(r, "devices[%zu].backlog_bits", d), 0, dev->backlog_bits);
	if (!json_is_object(snr))
		complain(r, "devices[%zu].snr_db: %s", d, snr ? "not an object with dl and ul" : "is missing");
	only_keys(r, snr, place_of(r, "devices[%zu].snr_db", d), " dl ul ");
	for (int dir = 0; dir < 2 && !r->failed; dir++)
		read_rates(r, p, json_object_get(snr, direction[dir]),
		           place_of(r, "devices[%zu].snr_db.%s", d, direction[dir]), mcs,
		           p->bps + (2 * d + (size_t)dir) * p->layer.n_rb, dev, dir);
}

/* ---- matrices ---- */

/* rows: a list of n lists of width numbers of 0 to most. */
static void read_matrix(struct reader *r, const json_t *rows, const char *place, size_t n, size_t width, double most,
                        double *x)
{
	for (size_t i = 0; i < n && !r->failed; i++) {
		const json_t *row = json_array_get(rows, i);
		if (!json_is_array(row) || json_array_size(row) != width)
			complain(r, "%s[%zu]: not a list of %zu numbers", place, i, width);
		for (size_t k = 0; k < width && !r->failed; k++) {
			const char *name = place_of(r, "%s[%zu][%zu]", place, i, k);
			double v = number(r, json_array_get(row, k), name, 0);
			if (v > most)
				complain(r, "%s: %g is out of range", name, v);
			x[i * width + k] = v;
		}
	}
}

/* ---- the whole ---- */

static void read_select(struct reader *r, struct problem *p, const json_t *v)
{
	struct select_params *s = &p->select;
	const char *name = v ? json_string_value(json_object_get(v, "policy")) : "vanilla";
	const json_t *theta = json_object_get(v, "theta"), *gamma = json_object_get(v, "gamma"),
	             *price = json_object_get(v, "price"), *latency = json_object_get(v, "latency_s"),
	             *loss = json_object_get(v, "loss_max");
	const struct select_policy *policy = name ? select_policy_find(name) : NULL;
	*s = select_params_default();
	if (v && !json_is_object(v))
		complain(r, "select: not an object");
	only_keys(r, v, "select", " policy theta gamma price latency_s loss_max ");
	if (!policy) {
		complain(r, "select.policy: there is no \"%s\"", name ? name : "");
		return;
	}
	p->policy = policy->name;
	s->theta_start = theta ? number(r, theta, "select.theta", 0) : s->theta_start;
	s->gamma = gamma ? number(r, gamma, "select.gamma", 0) : s->gamma;
	s->price_s = price ? number(r, price, "select.price", 0) : s->price_s;
	s->latency_s = latency ? number(r, latency, "select.latency_s", 0) : s->latency_s;
	s->loss_max = loss ? number(r, loss, "select.loss_max", 0) : s->loss_max;
	if (s->theta_start > 1)
		complain(r, "select.theta: %g is out of range", s->theta_start);
	if (!(s->gamma > 0 && s->gamma <= 1))
		complain(r, "select.gamma: %g is out of range", s->gamma);
	if (price && latency)
		complain(r, "select: price and latency_s exclude each other");
}

static void read_allocate(struct reader *r, struct problem *p, const json_t *v)
{
	const char *name = v ? json_string_value(json_object_get(v, "method")) : "minmax";
	if (v && !json_is_object(v))
		complain(r, "allocate: not an object");
	only_keys(r, v, "allocate", " method ");
	p->allocate = name ? bandwidth_method_find(name) : NULL;
	if (!p->allocate)
		complain(r, "allocate.method: there is no \"%s\"", name ? name : "");
}

static bool reserve(struct reader *r, struct problem *p, bool similar)
{
	const struct layer *l = &p->layer;
	p->devices = calloc(l->n_devices, sizeof *p->devices);
	p->weights = calloc(l->n_tokens * l->n_experts + 1, sizeof *p->weights);
	p->holds = calloc(l->n_experts * l->n_devices, sizeof *p->holds);
	p->bps = calloc(2 * l->n_devices * l->n_rb, sizeof *p->bps);
	if (similar)
		p->similar = calloc(l->n_experts * l->n_experts, sizeof *p->similar);
	if (p->devices && p->weights && p->holds && p->bps && (p->similar || !similar))
		return true;
	return complain(r, "%s", strerror(ENOMEM));
}

static void read_sizes(struct reader *r, struct problem *p, const json_t *root)
{
	struct layer *l = &p->layer;
	const json_t *weights = json_object_get(root, "weights"), *devices = json_object_get(root, "devices");
	if (!json_is_array(weights) || !json_array_size(weights) || json_array_size(weights) > LAYER_TOKENS_MAX)
		complain(r, "weights: %s", weights ? "not a list of 1 to 4096 tokens" : "is missing");
	else if (!json_is_array(json_array_get(weights, 0)) || !json_array_size(json_array_get(weights, 0)) ||
	         json_array_size(json_array_get(weights, 0)) > LAYER_EXPERTS_MAX)
		complain(r, "weights[0]: not a list of 1 to %d experts", LAYER_EXPERTS_MAX);
	if (!json_is_array(devices) || !json_array_size(devices) || json_array_size(devices) > LAYER_DEVICES_MAX)
		complain(r, "devices: %s", devices ? "not a list of 1 to 256 devices" : "is missing");
	l->n_tokens = json_array_size(weights);
	l->n_experts = json_array_size(json_array_get(weights, 0));
	l->n_devices = json_array_size(devices);
	l->n_rb = count(r, json_object_get(root, "rb"), "rb", LAYER_RB_MAX);
	l->top_k = count(r, json_object_get(root, "top_k"), "top_k",
	                 l->n_experts < LAYER_USED_MAX ? l->n_experts : LAYER_USED_MAX);
	l->block_hz = number(r, json_object_get(root, "rb_hz"), "rb_hz", 0);
	both_ways(r, json_object_get(root, "payload_bits"), "payload_bits", 0, l->token_bits);
}

static void read_root(struct reader *r, struct problem *p, const json_t *root)
{
	struct layer *l = &p->layer;
	const json_t *similarity = json_object_get(root, "similarity");
	if (!json_is_object(root))
		complain(r, "not a JSON object");
	only_keys(r, root, "", " top_k rb rb_hz payload_bits rate power devices weights similarity select allocate ");
	bool mcs = *choice(r, json_object_get(root, "rate"), "rate", "shannon", "mcs") == 'm';
	l->power = *choice(r, json_object_get(root, "power"), "power", "psd", "total") == 't' ? LAYER_TOTAL : LAYER_PSD;
	if (mcs && l->power == LAYER_TOTAL)
		complain(r, "power: \"total\" goes with rate \"shannon\" only");
	read_select(r, p, json_object_get(root, "select"));
	read_allocate(r, p, json_object_get(root, "allocate"));
	read_sizes(r, p, root);
	if (r->failed || !reserve(r, p, similarity))
		return;
	for (size_t d = 0; d < l->n_devices && !r->failed; d++)
		read_device(r, p, d, json_array_get(json_object_get(root, "devices"), d), mcs);
	read_matrix(r, json_object_get(root, "weights"), "weights", l->n_tokens, l->n_experts, INFINITY, p->weights);
	if (similarity)
		read_matrix(r, similarity, "similarity", l->n_experts, l->n_experts, 1, p->similar);
	l->device = p->devices;
	l->weights = p->weights;
	l->holds = p->holds;
	l->similar = p->similar;
	const char *complaint = r->failed ? NULL : layer_check(l);
	if (complaint)
		complain(r, "%s", complaint);
}

int problem_load(struct problem *p, const char *path, char *err, size_t err_len)
{
	struct reader r = { .err = err, .err_len = err_len, .path = path };
	json_error_t error;
	*p = (struct problem){ .policy = NULL };
	json_t *root = strcmp(path, "-") == 0 ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &error)
	                                      : json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!root && error.line < 1)
		complain(&r, "%s", error.text);
	else if (!root)
		complain(&r, "line %d: %s", error.line, error.text);
	else
		read_root(&r, p, root);
	json_decref(root);
	if (!r.failed)
		return 0;
	problem_free(p);
	return -EINVAL;
}

void problem_free(struct problem *p)
{
	free(p->bps);
	free(p->similar);
	free(p->holds);
	free(p->weights);
	free(p->devices);
	*p = (struct problem){ .policy = NULL };
}
