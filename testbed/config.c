#include "testbed/config.h"

#include "phy/numerology.h"
#include "testbed/cli.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { PATH_BYTES = 256, WHY_BYTES = 256, LIST_TEXT_MAX = 1024 };

#define LIGHT_M_S 299792458.0

/* ---- the table ---- */

enum kind { REAL, INTEGER, SEED, YES_NO, WORD, NAME, PATH, TEXT, EXPERTS, EVERY };

enum { LOCAL = 1 }; /* tells where things lie or how fast they go, not what comes out */

struct key {
	const char *path; /* as in the YAML, below its group */
	enum kind kind;
	size_t offset;
	const char *initial; /* default, as one would write it */
	double min, max;     /* of numbers, both inclusive */
	const char *help;    /* with the unit */
	const char *const *words;
	unsigned flags;
};

static const char *const backends[] = { "ether", NULL };
static const char *const policies[] = { "vanilla", "wdmoe", NULL };
static const char *const allocators[] = { "equal", "round-robin", "minmax", "deadline", NULL };
static const char *const codecs[] = { "f32", "f16", "int8", NULL };
static const char *const channels[] = { "none",  "rayleigh", "rice", "tdl-a", "tdl-b", "tdl-c",
	                                "tdl-d", "tdl-e",    "epa",  "eva",   "etu",   NULL };

#define AT(field) offsetof(struct config, field)
static const struct key root_keys[] = {
	{ "seed", SEED, AT(seed), "1", 0, 0, "of everything random: channels, noise, clocks, jitter, sampling" },
	{ "threads", INTEGER, AT(threads), "1", 1, 64, "threads of the model's arithmetic; changes no result", NULL,
	  LOCAL },
	{ "out", PATH, AT(out), "", 0, 0, "folder of the journal; empty: runs/<name>-<UTC time>", NULL, LOCAL },
	{ "csi_log", EVERY, AT(csi_log_every), "full", 0, 0,
	  "how much CSI the journal keeps: full, off, every N slots" },

	{ "model.path", PATH, AT(model.path), "moe/models/wdmoe-tiny.gguf", 0, 0, "the model, a GGUF file", NULL,
	  LOCAL },
	{ "model.held_out", PATH, AT(model.held_out), "moe/models/heldout.jsonl", 0, 0,
	  "held-out items (JSON lines): where the prompt comes from when none is given", NULL, LOCAL },
	{ "model.prompt", TEXT, AT(model.prompt), "", 0, 0, "the prompt; empty: a held-out item" },
	{ "model.n_tokens", INTEGER, AT(model.n_tokens), "32", 1, 1e6, "tokens generated at most" },
	{ "model.temp", REAL, AT(model.temp), "0", 0, 100, "sampling temperature; 0: greedy" },
	{ "model.top_p", REAL, AT(model.top_p), "1", 1e-6, 1,
	  "sample from the most likely tokens of this total probability" },
	{ "model.ignore_eos", YES_NO, AT(model.ignore_eos), "false", 0, 0, "go on after the end-of-sequence token" },

	{ "radio.backend", WORD, AT(radio.backend), "ether", 0, 0, "where samples go and come from", backends },
	{ "radio.rate_hz", REAL, AT(radio.rate_hz), "7.68e6", 1e4, 2e8, "Hz: complex samples a second" },
	{ "radio.scs_hz", REAL, AT(radio.scs_hz), "30e3", 1e3, 1e6, "Hz: subcarrier spacing" },
	{ "radio.n_rb", INTEGER, AT(radio.n_rb), "18", PHY_RB_MIN, PHY_RB_MAX, "resource blocks of 12 subcarriers" },
	{ "radio.n_symbols", INTEGER, AT(radio.n_symbols), "14", 1, PHY_SYMBOLS_MAX, "OFDM symbols a slot" },
	{ "radio.dl_hz", REAL, AT(radio.dl_hz), "3.5e9", 1e6, 1e11, "Hz: downlink carrier" },
	{ "radio.ul_hz", REAL, AT(radio.ul_hz), "3.4e9", 1e6, 1e11, "Hz: uplink carrier" },
	{ "radio.cell_id", INTEGER, AT(radio.cell_id), "1", 0, 1007, "identity of the cell" },

	{ "bs.tx_power_dbm", REAL, AT(bs.tx_power_dbm), "24", -50, 60,
	  "dBm: power of a downlink with all subcarriers in use" },
	{ "bs.noise_figure_db", REAL, AT(bs.noise_figure_db), "5", 0, 40, "dB: noise figure of the receiver" },
	{ "bs.osc_ppm", REAL, AT(bs.osc_ppm), "0", -20, 20, "ppm: error of the oscillator" },
	{ "bs.profile", NAME, AT(bs.profile), "edge-server", 0, 0,
	  "compute profile of attention, router and output head" },

	{ "ul.target_snr_db", REAL, AT(ul.target_snr_db), "22", -20, 50,
	  "dB: SNR of an uplink data RE that the open-loop power control aims at" },

	{ "channel.model", WORD, AT(channel.model), "tdl-a", 0, 0, "power-delay profile and fading of all links",
	  channels },
	{ "channel.delay_spread_ns", REAL, AT(channel.delay_spread_ns), "100", 0, 20000,
	  "ns: RMS delay spread of the tdl models" },
	{ "channel.speed_kmh", REAL, AT(channel.speed_kmh), "3", 0, 500,
	  "km/h: speed of the devices, gives the Doppler" },
	{ "channel.rice_k_db", REAL, AT(channel.rice_k_db), "10", -40, 60, "dB: K factor of the model rice" },
	{ "channel.outage_per_s", REAL, AT(channel.outage_per_s), "0", 0, 1000,
	  "1/s: how often each link goes dark, both directions" },
	{ "channel.outage_ms", REAL, AT(channel.outage_ms), "2", 0, 10000, "ms: how long it then stays dark" },

	{ "scheduler.policy", WORD, AT(scheduler.policy), "wdmoe", 0, 0, "selection of experts", policies },
	{ "scheduler.allocator", WORD, AT(scheduler.allocator), "minmax", 0, 0, "sharing of resource blocks",
	  allocators },
	{ "scheduler.bler_target", REAL, AT(scheduler.bler_target), "0.1", 0.001, 0.9,
	  "block error rate of first transmissions that the outer loop aims at" },
	{ "scheduler.max_tx", INTEGER, AT(scheduler.max_tx), "4", 1, 16,
	  "transmissions of a block before it is lost for good" },
	{ "scheduler.mcs_margin_db", REAL, AT(scheduler.mcs_margin_db), "0", -20, 20,
	  "dB: taken off the measured SNR before the outer loop has learned" },
	{ "scheduler.wlr_gain", REAL, AT(scheduler.wlr_gain), "0.01", 0, 10,
	  "wdmoe: least relative gain of the weight-to-latency ratio to go on" },
	{ "scheduler.theta_max", REAL, AT(scheduler.theta_max), "1", -1, 1, "wdmoe: last cosine threshold tried" },
	{ "scheduler.theta_start", REAL, AT(scheduler.theta_start), "0.5", -1, 1, "wdmoe: first cosine threshold" },
	{ "scheduler.theta_step", REAL, AT(scheduler.theta_step), "0.1", 0.001, 2,
	  "wdmoe: step of the cosine threshold" },

	{ "moe.codec_down", WORD, AT(moe.codec_down), "f16", 0, 0, "activations to the devices", codecs },
	{ "moe.codec_up", WORD, AT(moe.codec_up), "f16", 0, 0, "activations back", codecs },
	{ "moe.call_rows_max", INTEGER, AT(moe.call_rows_max), "64", 1, 1024, "rows of one expert call at most" },
	{ "moe.chunk_rows", INTEGER, AT(moe.chunk_rows), "64", 1, 1024, "tokens of the prompt worked on at once" },
	{ "moe.experts", NAME, AT(moe.experts), "", 0, 0,
	  "wrong or fewer experts on purpose: top1, top2, drop<W, random, dead:K; empty: as the policy says" },

	{ "timers.call_timeout_ms", REAL, AT(timers.call_timeout_ms), "2000", 1, 1e6,
	  "ms: an expert call unanswered for so long ends the run" },
	{ "timers.attach_timeout_ms", REAL, AT(timers.attach_timeout_ms), "2000", 1, 1e6,
	  "ms: a device not attached by then ends the run" },
	{ "timers.lost_after_ms", REAL, AT(timers.lost_after_ms), "200", 1, 1e6,
	  "ms: a link counts as lost after hearing nothing for so long" },
};
#undef AT

#define AT(field) offsetof(struct config_device, field)
static const struct key device_keys[] = {
	{ "snr_db", REAL, AT(snr_db), "20", -20, 60, "dB: mean SNR of a downlink data RE; gives the path loss" },
	{ "tx_power_dbm", REAL, AT(tx_power_dbm), "23", -50, 60, "dBm: most that the device can send" },
	{ "noise_figure_db", REAL, AT(noise_figure_db), "7", 0, 40, "dB: noise figure of the receiver" },
	{ "osc_ppm", REAL, AT(osc_ppm), "0", -20, 20, "ppm: error of the oscillator" },
	{ "distance_m", REAL, AT(distance_m), "10", 0, 10000, "m: propagation delay" },
	{ "profile", NAME, AT(profile), "board", 0, 0, "compute profile of its experts" },
	{ "call_us", REAL, AT(call_us), "0", 0, 1e6, "us: added to the time of every expert call" },
	{ "experts", EXPERTS, AT(experts_auto), "auto", 0, 0,
	  "experts held, of every layer: [0, 5], or auto: expert e on device e modulo their number" },
};
#undef AT

#define AT(field) offsetof(struct config_profile, field)
static const struct key profile_keys[] = {
	{ "memory_gb_s", REAL, AT(memory_gb_s), "10", 1e-3, 1e5, "GB/s: weights read from memory" },
	{ "gflop_s", REAL, AT(gflop_s), "50", 1e-3, 1e7, "GFLOP/s: arithmetic" },
	{ "fixed_us", REAL, AT(fixed_us), "50", 0, 1e6, "us: fixed part of every piece of work" },
	{ "jitter", REAL, AT(jitter), "0.05", 0, 2, "standard deviation of the logarithm of the time" },
};
#undef AT

/* What devices.x=1 and profiles.name.x=1 reach into. */
struct group {
	const char *name;
	const struct key *keys;
	size_t n_keys;
	size_t offset, stride, offset_n, max;
	bool named; /* a mapping by name (the first field of its struct) rather than a sequence */
};

#define KEYS(table) table, sizeof table / sizeof table[0]
static const struct group groups[] = {
	{ "devices", KEYS(device_keys), offsetof(struct config, devices), sizeof(struct config_device),
	  offsetof(struct config, n_devices), CONFIG_DEVICES_MAX, false },
	{ "profiles", KEYS(profile_keys), offsetof(struct config, profiles), sizeof(struct config_profile),
	  offsetof(struct config, n_profiles), CONFIG_PROFILES_MAX, true },
};
enum { N_ROOT = sizeof root_keys / sizeof root_keys[0], N_GROUPS = sizeof groups / sizeof groups[0] };

/* Orders of magnitude: the memory bandwidth and arithmetic that small-batch inference gets out of such machines. */
static const struct config_profile built_in[] = {
	{ "edge-server", 40, 500, 20, 0.02 }, { "laptop", 20, 200, 50, 0.05 }, { "board", 8, 40, 100, 0.05 },
	{ "phone", 12, 60, 200, 0.10 },       { "none", 1e5, 1e7, 0, 0 },
};

/* ---- values as text ---- */

__attribute__((format(printf, 2, 3))) static bool refuse(char *why, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(why, WHY_BYTES, format, args);
	va_end(args);
	return false;
}

static bool store_real(const struct key *k, void *at, const char *text, char *why)
{
	char *end;
	double x = strtod(text, &end);
	if (end == text || *end || !isfinite(x))
		return refuse(why, "\"%s\" is not a number", text);
	if (x < k->min || x > k->max)
		return refuse(why, "%s is not between %g and %g", text, k->min, k->max);
	*(double *)at = x;
	return true;
}

static bool store_integer(const struct key *k, void *at, const char *text, char *why)
{
	char *end;
	errno = 0;
	long long x = strtoll(text, &end, 10);
	if (end == text || *end)
		return refuse(why, "\"%s\" is not a whole number", text);
	if (errno || (double)x < k->min || (double)x > k->max)
		return refuse(why, "%s is not between %g and %g", text, k->min, k->max);
	*(int64_t *)at = x;
	return true;
}

static bool store_seed(const struct key *k, void *at, const char *text, char *why)
{
	(void)k;
	char *end;
	errno = 0;
	unsigned long long x = strtoull(text, &end, 0);
	if (end == text || *end || errno || !isdigit((unsigned char)text[0]))
		return refuse(why, "\"%s\" is not a whole number from 0 to 2^64 - 1", text);
	*(uint64_t *)at = x;
	return true;
}

static bool store_yes_no(const struct key *k, void *at, const char *text, char *why)
{
	(void)k;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return refuse(why, "\"%s\" is neither true nor false", text);
	*(bool *)at = text[0] == 't';
	return true;
}

static bool store_word(const struct key *k, void *at, const char *text, char *why)
{
	size_t n = (size_t)snprintf(why, WHY_BYTES, "\"%s\" is none of", text);
	for (const char *const *word = k->words; *word; word++) {
		if (strcmp(*word, text) == 0) {
			*(const char **)at = *word;
			return true;
		}
		if (n < WHY_BYTES)
			n += (size_t)snprintf(why + n, WHY_BYTES - n, " %s", *word);
	}
	return false;
}

static bool store_chars(char *at, size_t size, const char *text, char *why)
{
	if (strlen(text) >= size)
		return refuse(why, "longer than %zu bytes", size - 1);
	memset(at, 0, size);
	memcpy(at, text, strlen(text));
	return true;
}

static bool store_name(const struct key *k, void *at, const char *text, char *why)
{
	(void)k;
	return store_chars(at, CONFIG_NAME_MAX, text, why);
}

static bool store_path(const struct key *k, void *at, const char *text, char *why)
{
	(void)k;
	return store_chars(at, CONFIG_PATH_MAX, text, why);
}

static bool store_text(const struct key *k, void *at, const char *text, char *why)
{
	(void)k;
	return store_chars(at, CONFIG_TEXT_MAX, text, why);
}

static struct config_device *device_of(void *at)
{
	return (void *)((char *)at - offsetof(struct config_device, experts_auto));
}

static bool store_experts(const struct key *k, void *at, const char *text, char *why)
{
	(void)k;
	struct config_device *d = device_of(at);
	d->experts_auto = strcmp(text, "auto") == 0;
	d->n_experts = 0;
	if (d->experts_auto)
		return true;
	for (const char *p = text + strspn(text, "[ "); *p && *p != ']';) {
		char *end;
		errno = 0;
		long long e = strtoll(p, &end, 10);
		if (end == p || errno || e < 0 || e > 65535)
			return refuse(why, "\"%s\" is neither auto nor a list of experts", text);
		if (d->n_experts == CONFIG_EXPERTS_MAX)
			return refuse(why, "more than %d experts", CONFIG_EXPERTS_MAX);
		d->experts[d->n_experts++] = e;
		p = end + strspn(end, ", ");
	}
	return true;
}

static bool store_every(const struct key *k, void *at, const char *text, char *why)
{
	(void)k;
	long long n = 0;
	int used = 0;
	if (strcmp(text, "full") == 0)
		n = 1;
	else if (strcmp(text, "off") != 0 && (sscanf(text, "every %lld slots%n", &n, &used) != 1 || text[used] ||
	                                      used == 0 || n < 1 || n > 1000000))
		return refuse(why, "\"%s\" is none of full, off, every N slots", text);
	*(int64_t *)at = n;
	return true;
}

/* ---- values as JSON ---- */

static json_t *dump_real(const void *at)
{
	return json_real(*(const double *)at);
}

static json_t *dump_integer(const void *at)
{
	return json_integer(*(const int64_t *)at);
}

/* JSON numbers are exact to 2^53 only in many readers: larger seeds go as text. */
static json_t *dump_seed(const void *at)
{
	uint64_t x = *(const uint64_t *)at;
	return x < UINT64_C(1) << 53 ? json_integer((json_int_t)x) : json_sprintf("%llu", (unsigned long long)x);
}

static json_t *dump_yes_no(const void *at)
{
	return json_boolean(*(const bool *)at);
}

static json_t *dump_word(const void *at)
{
	return json_string(*(const char *const *)at);
}

static json_t *dump_chars(const void *at)
{
	return json_text(at, strlen(at));
}

static json_t *dump_experts(const void *at)
{
	const struct config_device *d = device_of((void *)(uintptr_t)at);
	if (d->experts_auto)
		return json_string("auto");
	json_t *list = json_array();
	for (int64_t i = 0; i < d->n_experts; i++)
		json_array_append_new(list, json_integer(d->experts[i]));
	return list;
}

static json_t *dump_every(const void *at)
{
	int64_t n = *(const int64_t *)at;
	if (n > 1)
		return json_sprintf("every %lld slots", (long long)n);
	return json_string(n == 1 ? "full" : "off");
}

static const struct {
	const char *name;
	bool plain; /* not in quotes */
	bool (*store)(const struct key *k, void *at, const char *text, char *why);
	json_t *(*dump)(const void *at);
} kinds[] = {
	[REAL] = { "number", true, store_real, dump_real },
	[INTEGER] = { "whole number", true, store_integer, dump_integer },
	[SEED] = { "whole number", true, store_seed, dump_seed },
	[YES_NO] = { "true or false", true, store_yes_no, dump_yes_no },
	[WORD] = { "word", false, store_word, dump_word },
	[NAME] = { "name", false, store_name, dump_chars },
	[PATH] = { "path", false, store_path, dump_chars },
	[TEXT] = { "text", false, store_text, dump_chars },
	[EXPERTS] = { "list", false, store_experts, dump_experts },
	[EVERY] = { "words", false, store_every, dump_every },
};

/* ---- elements of groups ---- */

static void store_initial(const struct key *keys, size_t n, void *base)
{
	char why[WHY_BYTES];
	for (size_t i = 0; i < n; i++)
		kinds[keys[i].kind].store(&keys[i], (char *)base + keys[i].offset, keys[i].initial, why);
}

static size_t *count_of(const struct group *g, struct config *c)
{
	return (size_t *)(void *)((char *)c + g->offset_n);
}

static void *element(const struct group *g, const struct config *c, size_t i)
{
	return (char *)(uintptr_t)c + g->offset + i * g->stride;
}

/* A new element with its defaults; NULL if there is no room. */
static void *add_element(const struct group *g, struct config *c)
{
	size_t *n = count_of(g, c);
	if (*n == g->max)
		return NULL;
	void *e = element(g, c, (*n)++);
	memset(e, 0, g->stride);
	store_initial(g->keys, g->n_keys, e);
	return e;
}

static void *find_named(const struct group *g, struct config *c, const char *name)
{
	for (size_t i = 0; i < *count_of(g, c); i++)
		if (strcmp(element(g, c, i), name) == 0)
			return element(g, c, i);
	return NULL;
}

static const struct group *find_group(const char *name, size_t len)
{
	for (size_t i = 0; i < N_GROUPS; i++)
		if (strlen(groups[i].name) == len && memcmp(groups[i].name, name, len) == 0)
			return &groups[i];
	return NULL;
}

static const struct key *find_key(const struct key *keys, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(keys[i].path, path) == 0)
			return &keys[i];
	return NULL;
}

/* Is there a key below this path? */
static bool is_section(const struct key *keys, size_t n, const char *path)
{
	size_t len = strlen(path);
	for (size_t i = 0; i < n; i++)
		if (strncmp(keys[i].path, path, len) == 0 && keys[i].path[len] == '.')
			return true;
	return false;
}

void config_defaults(struct config *c)
{
	memset(c, 0, sizeof *c);
	snprintf(c->name, sizeof c->name, "built-in");
	store_initial(root_keys, N_ROOT, c);
	c->n_profiles = sizeof built_in / sizeof built_in[0];
	memcpy(c->profiles, built_in, sizeof built_in);
	add_element(&groups[0], c);
}

/* ---- YAML ---- */

struct reader {
	struct config *c;
	const char *file;
	yaml_document_t document;
	char *err;
	size_t err_len;
};

static int at_line(const struct reader *r, const yaml_node_t *node, const char *path, const char *message)
{
	snprintf(r->err, r->err_len, "%s:%zu: %s%s%s", r->file, node->start_mark.line + 1, path, *path ? ": " : "",
	         message);
	return -EINVAL;
}

/* Text of a scalar, NULL if the node is none or holds a zero byte. */
static const char *scalar_text(const yaml_node_t *node)
{
	if (node->type != YAML_SCALAR_NODE)
		return NULL;
	const char *text = (const char *)node->data.scalar.value;
	return strlen(text) == node->data.scalar.length ? text : NULL;
}

/* A sequence of scalars as text, its items with spaces between. */
static bool sequence_text(struct reader *r, const yaml_node_t *node, char *text, size_t size)
{
	size_t n = 0;
	for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
		const char *word = scalar_text(yaml_document_get_node(&r->document, *item));
		n += (size_t)snprintf(text + n, size - n, "%s ", word ? word : "?");
		if (n >= size)
			return false;
	}
	text[n] = '\0';
	return true;
}

static int read_value(struct reader *r, const struct key *k, void *base, const yaml_node_t *node, const char *path)
{
	char joined[LIST_TEXT_MAX] = "", why[WHY_BYTES];
	const char *text = scalar_text(node);
	if (k->kind == EXPERTS && node->type == YAML_SEQUENCE_NODE && sequence_text(r, node, joined, sizeof joined))
		text = joined;
	bool quoted = text && node->type == YAML_SCALAR_NODE && node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (!text || (quoted && kinds[k->kind].plain)) {
		snprintf(why, sizeof why, "must be a %s", kinds[k->kind].name);
		return at_line(r, node, path, why);
	}
	if (!kinds[k->kind].store(k, (char *)base + k->offset, text, why))
		return at_line(r, node, path, why);
	return 0;
}

/* A key of a mapping: plain text, not seen before in it. NULL after naming what is wrong. */
static const char *key_text(struct reader *r, const yaml_node_t *mapping, const yaml_node_pair_t *pair,
                            const char *path)
{
	const yaml_node_t *node = yaml_document_get_node(&r->document, pair->key);
	const char *text = scalar_text(node);
	if (!text || strlen(text) >= CONFIG_NAME_MAX) {
		at_line(r, node, path, "a key must be a short word");
		return NULL;
	}
	for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start; p < pair; p++) {
		const char *other = scalar_text(yaml_document_get_node(&r->document, p->key));
		if (other && strcmp(other, text) == 0) {
			char why[WHY_BYTES];
			snprintf(why, sizeof why, "key \"%s\" a second time", text);
			at_line(r, node, path, why);
			return NULL;
		}
	}
	return text;
}

static int read_group(struct reader *r, const struct group *g, const yaml_node_t *node);

/* prefix.word, cut off where it is too long: no key is. */
static void join(char out[static PATH_BYTES], const char *prefix, const char *word)
{
	int n = snprintf(out, PATH_BYTES, "%s%s%s", prefix, *prefix ? "." : "", word);
	if (n >= PATH_BYTES)
		out[PATH_BYTES - 1] = '\0';
}

/* A mapping below the group's element `base`. path: for messages, prefix: path inside the element ("" at its top). */
static int read_mapping(struct reader *r, const struct key *keys, size_t n_keys, void *base, const yaml_node_t *node,
                        const char *path, const char *prefix)
{
	if (node->type != YAML_MAPPING_NODE)
		return at_line(r, node, path, "must be a mapping of keys to values");
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		const char *word = key_text(r, node, pair, path);
		if (!word)
			return -EINVAL;
		char full[PATH_BYTES], inner[PATH_BYTES];
		join(full, path, word);
		join(inner, prefix, word);
		const yaml_node_t *value = yaml_document_get_node(&r->document, pair->value);
		const struct group *g = base == r->c && !*prefix ? find_group(word, strlen(word)) : NULL;
		const struct key *k = find_key(keys, n_keys, inner);
		int error;
		if (g)
			error = read_group(r, g, value);
		else if (k)
			error = read_value(r, k, base, value, full);
		else if (is_section(keys, n_keys, inner))
			error = read_mapping(r, keys, n_keys, base, value, full, inner);
		else
			error = at_line(r, yaml_document_get_node(&r->document, pair->key), full, "unknown key");
		if (error != 0)
			return error;
	}
	return 0;
}

static bool is_name(const char *text)
{
	size_t n = strlen(text);
	return n > 0 && n < CONFIG_NAME_MAX &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == n;
}

static int read_sequence(struct reader *r, const struct group *g, const yaml_node_t *node)
{
	if (node->type != YAML_SEQUENCE_NODE)
		return at_line(r, node, g->name, "must be a list");
	*count_of(g, r->c) = 0; /* the list of a file stands in place of the default one */
	for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
		char path[PATH_BYTES];
		snprintf(path, sizeof path, "%s[%zu]", g->name, *count_of(g, r->c));
		const yaml_node_t *value = yaml_document_get_node(&r->document, *item);
		void *e = add_element(g, r->c);
		if (!e)
			return at_line(r, value, path, "too many of them");
		int error = read_mapping(r, g->keys, g->n_keys, e, value, path, "");
		if (error != 0)
			return error;
	}
	return 0;
}

static int read_named(struct reader *r, const struct group *g, const yaml_node_t *node)
{
	if (node->type != YAML_MAPPING_NODE)
		return at_line(r, node, g->name, "must be a mapping of names");
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		const char *name = key_text(r, node, pair, g->name);
		if (!name)
			return -EINVAL;
		char path[PATH_BYTES];
		join(path, g->name, name);
		const yaml_node_t *value = yaml_document_get_node(&r->document, pair->value);
		if (!is_name(name))
			return at_line(r, value, path, "names are letters, digits, - and _");
		void *e = find_named(g, r->c, name);
		if (!e) {
			e = add_element(g, r->c);
			if (!e)
				return at_line(r, value, path, "too many of them");
			memcpy(e, name, strlen(name));
		}
		int error = read_mapping(r, g->keys, g->n_keys, e, value, path, "");
		if (error != 0)
			return error;
	}
	return 0;
}

static int read_group(struct reader *r, const struct group *g, const yaml_node_t *node)
{
	return g->named ? read_named(r, g, node) : read_sequence(r, g, node);
}

static int bad_yaml(const struct reader *r, const yaml_parser_t *parser)
{
	snprintf(r->err, r->err_len, "%s:%zu: not YAML: %s", r->file, parser->problem_mark.line + 1,
	         parser->problem ? parser->problem : "unreadable");
	return -EINVAL;
}

/* The one document of the file, or none. */
static int read_documents(struct reader *r, yaml_parser_t *parser)
{
	for (int n = 0;; n++) {
		if (!yaml_parser_load(parser, &r->document))
			return bad_yaml(r, parser);
		const yaml_node_t *root = yaml_document_get_root_node(&r->document);
		int error = 0;
		if (root && n > 0)
			error = at_line(r, root, "", "a second document in one file");
		else if (root)
			error = read_mapping(r, root_keys, N_ROOT, r->c, root, "", "");
		yaml_document_delete(&r->document);
		if (!root || error != 0)
			return error;
	}
}

static int read_file(struct config *c, const char *path, char *err, size_t err_len)
{
	struct reader r = { .c = c, .file = path, .err = err, .err_len = err_len };
	char found[CONFIG_PATH_MAX];
	int error = cli_find_file(path, found, sizeof found);
	FILE *f = error == 0 ? fopen(found, "rb") : NULL;
	if (!f) {
		error = error != 0 ? error : -errno;
		snprintf(err, err_len, "%s: %s", path, strerror(-error));
		return error;
	}
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser)) {
		fclose(f);
		snprintf(err, err_len, "%s: %s", path, strerror(ENOMEM));
		return -ENOMEM;
	}
	yaml_parser_set_input_file(&parser, f);
	error = read_documents(&r, &parser);
	yaml_parser_delete(&parser);
	fclose(f);
	return error;
}

/* The file's name without folder and ending, fit for a folder's name. */
static void name_after(struct config *c, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	const char *dot = strrchr(base, '.');
	size_t len = dot && dot > base ? (size_t)(dot - base) : strlen(base);
	snprintf(c->name, sizeof c->name, "%.*s", (int)len, base);
	for (char *p = c->name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
			*p = '_';
}

/* ---- --set ---- */

static bool set_key(const struct key *keys, size_t n, void *base, const char *path, const char *text, char *why)
{
	const struct key *k = find_key(keys, n, path);
	return k ? kinds[k->kind].store(k, (char *)base + k->offset, text, why) : refuse(why, "unknown key");
}

static bool set_all(const struct group *g, struct config *c, const char *path, const char *text, char *why)
{
	bool ok = true;
	for (size_t i = 0; ok && i < *count_of(g, c); i++)
		ok = set_key(g->keys, g->n_keys, element(g, c, i), path, text, why);
	return ok;
}

/* rest: what follows the group's name: "[3].key", ".name.key", ".key". */
static bool set_in_group(const struct group *g, struct config *c, const char *rest, const char *text, char *why)
{
	if (rest[0] == '[' && !g->named) {
		char *end;
		errno = 0;
		unsigned long long i = strtoull(rest + 1, &end, 10);
		if (end == rest + 1 || end[0] != ']' || end[1] != '.' || !isdigit((unsigned char)rest[1]))
			return refuse(why, "unknown key");
		if (errno || i >= *count_of(g, c))
			return refuse(why, "there are only %zu %s, counted from 0", *count_of(g, c), g->name);
		return set_key(g->keys, g->n_keys, element(g, c, i), end + 2, text, why);
	}
	if (rest[0] != '.')
		return refuse(why, "unknown key");
	const char *dot = strchr(rest + 1, '.');
	if (!g->named || !dot)
		return set_all(g, c, rest + 1, text, why);
	char name[CONFIG_NAME_MAX];
	snprintf(name, sizeof name, "%.*s", (int)(dot - rest - 1), rest + 1);
	void *e = find_named(g, c, name);
	return e ? set_key(g->keys, g->n_keys, e, dot + 1, text, why)
	         : refuse(why, "there is no \"%s\" in %s", name, g->name);
}

int config_put(struct config *c, const char *key, const char *value, char *err, size_t err_len)
{
	char why[WHY_BYTES];
	size_t first = strcspn(key, ".[");
	const struct group *g = find_group(key, first);
	bool ok = g ? set_in_group(g, c, key + first, value, why) : set_key(root_keys, N_ROOT, c, key, value, why);
	if (!ok)
		snprintf(err, err_len, "%s: %s", key, why);
	return ok ? 0 : -EINVAL;
}

int config_set(struct config *c, const char *set, char *err, size_t err_len)
{
	char key[PATH_BYTES], why[PATH_BYTES + WHY_BYTES];
	size_t len = strcspn(set, "=");
	if (set[len] != '=' || len >= sizeof key) {
		snprintf(err, err_len, "--set %.*s: must be key=value", (int)(len < sizeof key ? len : sizeof key),
		         set);
		return -EINVAL;
	}
	memcpy(key, set, len);
	key[len] = '\0';
	int error = config_put(c, key, set + len + 1, why, sizeof why);
	if (error != 0)
		snprintf(err, err_len, "--set %s", why);
	return error;
}

/* ---- the whole ---- */

const struct config_profile *config_profile(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_profiles; i++)
		if (strcmp(c->profiles[i].name, name) == 0)
			return &c->profiles[i];
	return NULL;
}

bool config_holds(const struct config *c, size_t d, size_t expert)
{
	const struct config_device *device = &c->devices[d];
	if (device->experts_auto)
		return expert % c->n_devices == d;
	for (int64_t i = 0; i < device->n_experts; i++)
		if ((size_t)device->experts[i] == expert)
			return true;
	return false;
}

static bool check_radio(const struct config *c, char *why)
{
	struct numerology num;
	char reason[WHY_BYTES - 64];
	const struct config_radio *r = &c->radio;
	if (numerology_init(&num, r->rate_hz, r->scs_hz, (size_t)r->n_rb, (size_t)r->n_symbols, reason,
	                    sizeof reason) != 0)
		return refuse(why, "radio: %s", reason);
	if (fabs(r->dl_hz - r->ul_hz) < r->rate_hz)
		return refuse(why, "radio: dl_hz and ul_hz are closer than rate_hz");
	for (size_t d = 0; d < c->n_devices; d++) {
		double round_trip = 2 * c->devices[d].distance_m / LIGHT_M_S * r->rate_hz;
		if (round_trip > (double)num.cp)
			return refuse(why,
			              "devices[%zu].distance_m: a round trip of %.1f samples is longer than the cyclic "
			              "prefix of %zu",
			              d, round_trip, num.cp);
	}
	return true;
}

static bool check_profiles(const struct config *c, char *why)
{
	if (!config_profile(c, c->bs.profile))
		return refuse(why, "bs.profile: there is no profile \"%s\"", c->bs.profile);
	for (size_t d = 0; d < c->n_devices; d++)
		if (!config_profile(c, c->devices[d].profile))
			return refuse(why, "devices[%zu].profile: there is no profile \"%s\"", d,
			              c->devices[d].profile);
	return true;
}

static bool check_devices(const struct config *c, char *why)
{
	if (c->n_devices == 0)
		return refuse(why, "devices: there are none");
	return true;
}

int config_check(const struct config *c, char *err, size_t err_len)
{
	static bool (*const checks[])(const struct config *, char *) = { check_devices, check_profiles, check_radio };
	char why[WHY_BYTES];
	for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
		if (!checks[i](c, why)) {
			snprintf(err, err_len, "%s", why);
			return -EINVAL;
		}
	return 0;
}

int config_load(struct config *c, const char *path, const char *const *sets, size_t n_sets, char *err, size_t err_len)
{
	config_defaults(c);
	int error = 0;
	if (path) {
		error = read_file(c, path, err, err_len);
		name_after(c, path);
	}
	for (size_t i = 0; error == 0 && i < n_sets; i++)
		error = config_set(c, sets[i], err, err_len);
	if (error != 0)
		return error;
	char why[WHY_BYTES];
	error = config_check(c, why, sizeof why);
	if (error != 0)
		snprintf(err, err_len, "%s: %s", path ? path : "configuration", why);
	return error;
}

/* ---- out ---- */

static void put(json_t *object, const char *path, json_t *value)
{
	const char *dot = strchr(path, '.');
	if (!dot) {
		json_object_set_new(object, path, value);
		return;
	}
	char section[CONFIG_NAME_MAX];
	snprintf(section, sizeof section, "%.*s", (int)(dot - path), path);
	json_t *below = json_object_get(object, section);
	if (!below) {
		below = json_object();
		json_object_set_new(object, section, below);
	}
	put(below, dot + 1, value);
}

static json_t *dump_keys(json_t *object, const struct key *keys, size_t n, const void *base, bool local)
{
	for (size_t i = 0; i < n; i++)
		if (local || !(keys[i].flags & LOCAL))
			put(object, keys[i].path, kinds[keys[i].kind].dump((const char *)base + keys[i].offset));
	return object;
}

json_t *config_json(const struct config *c, bool local)
{
	json_t *root = json_pack("{s:s}", "name", c->name);
	dump_keys(root, root_keys, N_ROOT, c, local);
	for (size_t i = 0; i < N_GROUPS; i++) {
		const struct group *g = &groups[i];
		json_t *all = g->named ? json_object() : json_array();
		for (size_t k = 0; k < *count_of(g, (struct config *)(uintptr_t)c); k++) {
			const void *e = element(g, c, k);
			json_t *one = dump_keys(json_object(), g->keys, g->n_keys, e, local);
			if (g->named)
				json_object_set_new(all, e, one);
			else
				json_array_append_new(all, one);
		}
		json_object_set_new(root, g->name, all);
	}
	return root;
}

static void print_keys(FILE *f, const char *prefix, const struct key *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct key *k = &keys[i];
		char path[PATH_BYTES];
		snprintf(path, sizeof path, "%s%s", prefix, k->path);
		fprintf(f, "%-28s %-10s %s", path, *k->initial ? k->initial : "\"\"", k->help);
		if (k->kind == REAL || k->kind == INTEGER)
			fprintf(f, " (%g .. %g)", k->min, k->max);
		for (const char *const *word = k->words; word && *word; word++)
			fprintf(f, "%s%s%s", word == k->words ? " (" : "", *word, word[1] ? ", " : ")");
		fputc('\n', f);
	}
}

void config_print_keys(FILE *f)
{
	fprintf(f, "%-28s %-10s %s\n", "key", "default", "meaning");
	print_keys(f, "", root_keys, N_ROOT);
	for (size_t i = 0; i < N_GROUPS; i++) {
		char prefix[PATH_BYTES];
		snprintf(prefix, sizeof prefix, "%s%s.", groups[i].name, groups[i].named ? ".NAME" : "[i]");
		print_keys(f, prefix, groups[i].keys, groups[i].n_keys);
	}
	fprintf(f, "\nprofiles that are there already:\n");
	for (size_t i = 0; i < sizeof built_in / sizeof built_in[0]; i++)
		fprintf(f, "  %-12s %g GB/s, %g GFLOP/s, %g us, jitter %g\n", built_in[i].name, built_in[i].memory_gb_s,
		        built_in[i].gflop_s, built_in[i].fixed_us, built_in[i].jitter);
}
