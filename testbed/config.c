#include "testbed/config.h"

#include "phy/ul_access.h"
#include "radio/path_loss.h"
#include "testbed/cli.h"
#include "testbed/config_keys.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { PATH_BYTES = 256, LIST_TEXT_MAX = 4096 };

#define LIGHT_M_S 299792458.0

/* ---- elements of groups ---- */

static void store_initial(const struct config_key *keys, size_t n, void *base)
{
	char why[CONFIG_WHY_BYTES];
	for (size_t i = 0; i < n; i++)
		config_kinds[keys[i].kind].store(&keys[i], (char *)base + keys[i].offset, keys[i].initial, why);
}

static size_t *count_of(const struct config_group *g, struct config *c)
{
	return (size_t *)(void *)((char *)c + g->offset_n);
}

static void *element(const struct config_group *g, const struct config *c, size_t i)
{
	return (char *)(uintptr_t)c + g->offset + i * g->stride;
}

/* A new element with its defaults; NULL if there is no room. */
static void *add_element(const struct config_group *g, struct config *c)
{
	size_t *n = count_of(g, c);
	if (*n == g->max)
		return NULL;
	void *e = element(g, c, (*n)++);
	memset(e, 0, g->stride);
	store_initial(g->keys, g->n_keys, e);
	return e;
}

static void *find_named(const struct config_group *g, struct config *c, const char *name)
{
	for (size_t i = 0; i < *count_of(g, c); i++)
		if (strcmp(element(g, c, i), name) == 0)
			return element(g, c, i);
	return NULL;
}

static const struct config_group *find_group(const char *name, size_t len)
{
	for (size_t i = 0; i < config_n_groups; i++)
		if (strlen(config_groups[i].name) == len && memcmp(config_groups[i].name, name, len) == 0)
			return &config_groups[i];
	return NULL;
}

static const struct config_key *find_key(const struct config_key *keys, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(keys[i].path, path) == 0)
			return &keys[i];
	return NULL;
}

/* Is there a key below this path? */
static bool is_section(const struct config_key *keys, size_t n, const char *path)
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
	store_initial(config_root_keys, config_n_root_keys, c);
	c->n_profiles = config_n_built_in;
	memcpy(c->profiles, config_built_in, config_n_built_in * sizeof config_built_in[0]);
	add_element(&config_groups[0], c);
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

static int read_value(struct reader *r, const struct config_key *k, void *base, const yaml_node_t *node,
                      const char *path)
{
	char joined[LIST_TEXT_MAX] = "", why[CONFIG_WHY_BYTES];
	const char *text = scalar_text(node);
	if (k->kind == EXPERTS && node->type == YAML_SEQUENCE_NODE && sequence_text(r, node, joined, sizeof joined))
		text = joined;
	bool quoted = text && node->type == YAML_SCALAR_NODE && node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (!text || (quoted && config_kinds[k->kind].plain)) {
		snprintf(why, sizeof why, "must be a %s", config_kinds[k->kind].name);
		return at_line(r, node, path, why);
	}
	if (!config_kinds[k->kind].store(k, (char *)base + k->offset, text, why))
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
			char why[CONFIG_WHY_BYTES];
			snprintf(why, sizeof why, "key \"%s\" a second time", text);
			at_line(r, node, path, why);
			return NULL;
		}
	}
	return text;
}

static int read_group(struct reader *r, const struct config_group *g, const yaml_node_t *node);
static int read_mapping(struct reader *r, const struct config_key *keys, size_t n_keys, void *base,
                        const yaml_node_t *node, const char *path, const char *prefix);

/* prefix.word, cut off where it is too long: no key is. */
static void join(char out[static PATH_BYTES], const char *prefix, const char *word)
{
	int n = snprintf(out, PATH_BYTES, "%s%s%s", prefix, *prefix ? "." : "", word);
	if (n >= PATH_BYTES)
		out[PATH_BYTES - 1] = '\0';
}

/* The pairs of a mapping whose keys set others (FIRST), or those that do not; the rest as in read_mapping. */
static int read_pairs(struct reader *r, const struct config_key *keys, size_t n_keys, void *base,
                      const yaml_node_t *node, const char *path, const char *prefix, unsigned first)
{
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		const char *word = key_text(r, node, pair, path);
		if (!word)
			return -EINVAL;
		char full[PATH_BYTES], inner[PATH_BYTES];
		join(full, path, word);
		join(inner, prefix, word);
		const yaml_node_t *value = yaml_document_get_node(&r->document, pair->value);
		const struct config_group *g = base == r->c && !*prefix ? find_group(word, strlen(word)) : NULL;
		const struct config_key *k = find_key(keys, n_keys, inner);
		int error;
		if ((k ? k->flags & FIRST : 0) != first)
			continue;
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

/* A mapping below the group's element `base`. path: for messages, prefix: path inside the element ("" at its top). Keys
 * that stand for several others are read before them, wherever they stand. */
static int read_mapping(struct reader *r, const struct config_key *keys, size_t n_keys, void *base,
                        const yaml_node_t *node, const char *path, const char *prefix)
{
	if (node->type != YAML_MAPPING_NODE)
		return at_line(r, node, path, "must be a mapping of keys to values");
	int error = read_pairs(r, keys, n_keys, base, node, path, prefix, FIRST);
	return error ? error : read_pairs(r, keys, n_keys, base, node, path, prefix, 0);
}

static bool is_name(const char *text)
{
	size_t n = strlen(text);
	return n > 0 && n < CONFIG_NAME_MAX &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == n;
}

static int read_sequence(struct reader *r, const struct config_group *g, const yaml_node_t *node)
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

static int read_named(struct reader *r, const struct config_group *g, const yaml_node_t *node)
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

static int read_group(struct reader *r, const struct config_group *g, const yaml_node_t *node)
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
			error = read_mapping(r, config_root_keys, config_n_root_keys, r->c, root, "", "");
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

static bool set_key(const struct config_key *keys, size_t n, void *base, const char *path, const char *text, char *why)
{
	const struct config_key *k = find_key(keys, n, path);
	return k ? config_kinds[k->kind].store(k, (char *)base + k->offset, text, why)
	         : config_refuse(why, "unknown key");
}

static bool set_all(const struct config_group *g, struct config *c, const char *path, const char *text, char *why)
{
	bool ok = true;
	for (size_t i = 0; ok && i < *count_of(g, c); i++)
		ok = set_key(g->keys, g->n_keys, element(g, c, i), path, text, why);
	return ok;
}

/* rest: what follows the group's name: "[3].key", ".name.key", ".key". */
static bool set_in_group(const struct config_group *g, struct config *c, const char *rest, const char *text, char *why)
{
	if (rest[0] == '[' && !g->named) {
		char *end;
		errno = 0;
		unsigned long long i = strtoull(rest + 1, &end, 10);
		if (end == rest + 1 || end[0] != ']' || end[1] != '.' || !isdigit((unsigned char)rest[1]))
			return config_refuse(why, "unknown key");
		if (errno || i >= *count_of(g, c))
			return config_refuse(why, "there are only %zu %s, counted from 0", *count_of(g, c), g->name);
		return set_key(g->keys, g->n_keys, element(g, c, i), end + 2, text, why);
	}
	if (rest[0] != '.')
		return config_refuse(why, "unknown key");
	const char *dot = strchr(rest + 1, '.');
	if (!g->named || !dot)
		return set_all(g, c, rest + 1, text, why);
	char name[CONFIG_NAME_MAX];
	snprintf(name, sizeof name, "%.*s", (int)(dot - rest - 1), rest + 1);
	void *e = find_named(g, c, name);
	return e ? set_key(g->keys, g->n_keys, e, dot + 1, text, why)
	         : config_refuse(why, "there is no \"%s\" in %s", name, g->name);
}

int config_put(struct config *c, const char *key, const char *value, char *err, size_t err_len)
{
	char why[CONFIG_WHY_BYTES];
	size_t first = strcspn(key, ".[");
	const struct config_group *g = find_group(key, first);
	bool ok = g ? set_in_group(g, c, key + first, value, why)
	            : set_key(config_root_keys, config_n_root_keys, c, key, value, why);
	if (!ok)
		snprintf(err, err_len, "%s: %s", key, why);
	return ok ? 0 : -EINVAL;
}

int config_set(struct config *c, const char *set, char *err, size_t err_len)
{
	char key[PATH_BYTES], why[PATH_BYTES + CONFIG_WHY_BYTES];
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

bool config_is_real_time(const struct config *c)
{
	return strcmp(c->radio.backend, "uhd") == 0 || (strcmp(c->radio.backend, "ether") == 0 && c->ether.paced);
}

bool config_combines(const struct config_moe *m)
{
	bool is_auto = strcmp(m->combine, "auto") == 0;
	return is_auto ? strcmp(m->mode, "fast") == 0 : strcmp(m->combine, "device") == 0;
}

int config_numerology(const struct config_radio *r, struct numerology *num, char *err, size_t err_len)
{
	const struct numerology_config c = {
		.rate_hz = r->rate_hz,
		.scs_hz = r->scs_hz,
		.n_rb = (size_t)r->n_rb,
		.n_symbols = (size_t)r->n_symbols,
		.pilot_step = (size_t)r->pilot_step,
		.taper = (int)r->taper_samples,
	};
	return numerology_create(num, &c, err, err_len);
}

static bool check_radio(const struct config *c, char *why)
{
	struct numerology num;
	char reason[CONFIG_WHY_BYTES - 64];
	const struct config_radio *r = &c->radio;
	if (config_numerology(r, &num, reason, sizeof reason) != 0)
		return config_refuse(why, "radio: %s", reason);
	if (fabs(r->dl_hz - r->ul_hz) < r->rate_hz)
		return config_refuse(why, "radio: dl_hz and ul_hz are closer than rate_hz");
	double symbol_m = 0.5 * ul_access_range_max(&num) / r->rate_hz * LIGHT_M_S;
	double range_m = fmin(c->bs.range_m, symbol_m);
	for (size_t d = 0; d < c->n_devices; d++)
		if (c->devices[d].distance_m > range_m)
			return config_refuse(
			        why,
			        "devices[%zu].distance_m: %g m is out of range: %.0f m, the lesser of bs.range_m "
			        "and a round trip of half a symbol",
			        d, c->devices[d].distance_m, range_m);
	return true;
}

static bool check_channel(const struct config *c, char *why)
{
	const struct config_channel *ch = &c->channel;
	const struct path_loss_model *m = path_loss_find(ch->path_loss);
	double corner_hz = c->hardware.phase_noise_corner_hz, rate_hz = c->radio.rate_hz;
	if (ch->shadow_decorrelation_m > 0 && ch->shadow_decorrelation_m < 1)
		return config_refuse(why, "channel.shadow_decorrelation_m: %g m is neither 0 nor 1 at least",
		                     ch->shadow_decorrelation_m);
	if (c->hardware.phase_noise_dbc_hz > -200 && (corner_hz < rate_hz / 2000 || corner_hz > rate_hz / 4))
		return config_refuse(why,
		                     "hardware.phase_noise_corner_hz: %g Hz is outside %g .. %g for this radio.rate_hz",
		                     corner_hz, rate_hz / 2000, rate_hz / 4);
	for (size_t d = 0; m && d < c->n_devices; d++)
		if (c->devices[d].distance_m > m->distance_max_m)
			return config_refuse(
			        why, "devices[%zu].distance_m: %g m is beyond the %g m of channel.path_loss: %s", d,
			        c->devices[d].distance_m, m->distance_max_m, m->name);
	return true;
}

static bool check_profiles(const struct config *c, char *why)
{
	if (!config_profile(c, c->bs.profile))
		return config_refuse(why, "bs.profile: there is no profile \"%s\"", c->bs.profile);
	for (size_t d = 0; d < c->n_devices; d++)
		if (!config_profile(c, c->devices[d].profile))
			return config_refuse(why, "devices[%zu].profile: there is no profile \"%s\"", d,
			                     c->devices[d].profile);
	return true;
}

static bool check_devices(const struct config *c, char *why)
{
	if (c->n_devices == 0)
		return config_refuse(why, "devices: there are none");
	return true;
}

int config_check(const struct config *c, char *err, size_t err_len)
{
	static bool (*const checks[])(const struct config *, char *) = { check_devices, check_profiles, check_radio,
		                                                         check_channel };
	char why[CONFIG_WHY_BYTES];
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
	char why[CONFIG_WHY_BYTES];
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

static json_t *dump_keys(json_t *object, const struct config_key *keys, size_t n, const void *base, bool local)
{
	for (size_t i = 0; i < n; i++)
		if (local || !(keys[i].flags & LOCAL))
			put(object, keys[i].path, config_kinds[keys[i].kind].dump((const char *)base + keys[i].offset));
	return object;
}

json_t *config_json(const struct config *c, bool local)
{
	json_t *root = json_pack("{s:s}", "name", c->name);
	dump_keys(root, config_root_keys, config_n_root_keys, c, local);
	for (size_t i = 0; i < config_n_groups; i++) {
		const struct config_group *g = &config_groups[i];
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

static void print_keys(FILE *f, const char *prefix, const struct config_key *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct config_key *k = &keys[i];
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
	print_keys(f, "", config_root_keys, config_n_root_keys);
	for (size_t i = 0; i < config_n_groups; i++) {
		char prefix[PATH_BYTES];
		snprintf(prefix, sizeof prefix, "%s%s.", config_groups[i].name,
		         config_groups[i].named ? ".NAME" : "[i]");
		print_keys(f, prefix, config_groups[i].keys, config_groups[i].n_keys);
	}
	fprintf(f, "\nprofiles that are there already:\n");
	for (size_t i = 0; i < config_n_built_in; i++)
		fprintf(f, "  %-12s %g GB/s, %g GFLOP/s, %g us, jitter %g\n", config_built_in[i].name,
		        config_built_in[i].memory_gb_s, config_built_in[i].gflop_s, config_built_in[i].fixed_us,
		        config_built_in[i].jitter);
}
