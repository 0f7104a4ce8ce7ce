#include "radio/sigmf.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "samples go to the file as they lie in memory");

enum { RING_BYTES = 16 << 20 };

static const char meta_suffix[] = ".sigmf-meta", data_suffix[] = ".sigmf-data";

/* NAME, whatever suffix it was given with, and another suffix. */
static int make_path(const char *name, const char *suffix, char path[SIGMF_PATH_MAX])
{
	size_t n = strlen(name), s = strlen(meta_suffix);
	if (n > s && (strcmp(name + n - s, meta_suffix) == 0 || strcmp(name + n - s, data_suffix) == 0))
		n -= s;
	return snprintf(path, SIGMF_PATH_MAX, "%.*s%s", (int)n, name, suffix) < SIGMF_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int complain(char *err, size_t err_len, const char *path, const char *what)
{
	snprintf(err, err_len, "%s: %s", path, what);
	return -EINVAL;
}

/* ---- writing ---- */

struct annotation {
	uint64_t t, n;
	char label[SIGMF_LABEL_MAX];
};

struct sigmf_writer {
	char meta_path[SIGMF_PATH_MAX];
	double rate_hz, carrier_hz;
	char description[256], recorder[64];
	struct spool *spool;
	struct sigmf_stats stats;
	uint64_t next_t;
	size_t n_captures, n_annotations;
	struct sigmf_capture capture[SIGMF_CAPTURES_MAX];
	struct annotation annotation[SIGMF_ANNOTATIONS_MAX];
};

static int open_data(struct sigmf_writer *w, const char *name, enum spool_when_full when_full)
{
	char path[SIGMF_PATH_MAX];
	int rc = make_path(name, meta_suffix, w->meta_path);
	rc = rc ? rc : make_path(name, data_suffix, path);
	if (!rc && access(w->meta_path, F_OK) == 0)
		rc = -EEXIST;
	if (rc)
		return rc;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	w->spool = spool_create(fd, RING_BYTES, when_full);
	if (w->spool)
		return 0;
	rc = -errno;
	close(fd);
	unlink(path);
	return rc;
}

static json_t *captures_json(const struct sigmf_writer *w)
{
	json_t *list = json_array();
	for (size_t i = 0; i < w->n_captures; i++) {
		const struct sigmf_capture *c = &w->capture[i];
		json_array_append_new(list, json_pack("{s:I, s:I, s:f, s:f}", "core:sample_start", (json_int_t)c->start,
		                                      "core:global_index", (json_int_t)c->t, "core:frequency",
		                                      w->carrier_hz, "wdmoe:full_scale_dbm", c->full_scale_dbm));
	}
	return list;
}

/* Index in the file of the sample of time t; false if it was not recorded. n_samples: in all. */
static bool index_of(const struct sigmf_capture *capture, size_t n_captures, uint64_t n_samples, uint64_t t,
                     uint64_t *index)
{
	for (size_t i = n_captures; i-- > 0;) {
		uint64_t end = i + 1 < n_captures ? capture[i + 1].start : n_samples;
		if (t >= capture[i].t) {
			*index = capture[i].start + (t - capture[i].t);
			return *index < end;
		}
	}
	return false;
}

static int by_index(const void *a, const void *b)
{
	json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "core:sample_start"));
	json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "core:sample_start"));
	return (x > y) - (x < y);
}

/* Sorted by their start, as the standard asks. */
static json_t *annotations_json(const struct sigmf_writer *w)
{
	json_t *list = json_array(), *sorted[SIGMF_ANNOTATIONS_MAX];
	size_t n = 0;
	for (size_t i = 0; i < w->n_annotations; i++) {
		const struct annotation *a = &w->annotation[i];
		uint64_t index;
		if (index_of(w->capture, w->n_captures, w->stats.samples, a->t, &index))
			sorted[n++] = json_pack("{s:I, s:I, s:s}", "core:sample_start", (json_int_t)index,
			                        "core:sample_count", (json_int_t)a->n, "core:label", a->label);
	}
	qsort(sorted, n, sizeof *sorted, by_index);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, sorted[i]);
	return list;
}

static int write_meta(const struct sigmf_writer *w)
{
	json_t *global = json_pack("{s:s, s:f, s:s, s:i, s:[{s:s, s:s, s:b}]}", "core:datatype", "cf32_le",
	                           "core:sample_rate", w->rate_hz, "core:version", "1.0.0", "core:num_channels", 1,
	                           "core:extensions", "name", "wdmoe", "version", "1.0.0", "optional", 1);
	if (global && *w->description)
		json_object_set_new(global, "core:description", json_string(w->description));
	if (global && *w->recorder)
		json_object_set_new(global, "core:recorder", json_string(w->recorder));
	json_t *root = json_pack("{s:o, s:o, s:o}", "global", global, "captures", captures_json(w), "annotations",
	                         annotations_json(w));
	int rc = root ? json_dump_file(root, w->meta_path, JSON_INDENT(2)) : -1;
	json_decref(root);
	return rc ? -EIO : 0;
}

/* The metadata is there from the beginning, without captures yet, so that a crash leaves a recording that can be read. */
struct sigmf_writer *sigmf_create(const char *name, const struct sigmf_what *what, enum spool_when_full when_full,
                                  char *err, size_t err_len)
{
	struct sigmf_writer *w = calloc(1, sizeof *w);
	int rc = w ? open_data(w, name, when_full) : -ENOMEM;
	if (!rc) {
		w->rate_hz = what->rate_hz;
		w->carrier_hz = what->carrier_hz;
		snprintf(w->description, sizeof w->description, "%s", what->description ? what->description : "");
		snprintf(w->recorder, sizeof w->recorder, "%s", what->recorder ? what->recorder : "");
		rc = write_meta(w);
		if (rc)
			spool_close(w->spool);
	}
	if (!rc)
		return w;
	complain(err, err_len, name, rc == -EEXIST ? "is there already, it is never overwritten" : strerror(-rc));
	free(w);
	errno = -rc;
	return NULL;
}

/* Whether samples from t on belong to the capture at hand, or to a new one for which there is room. */
static bool find_capture(struct sigmf_writer *w, uint64_t t, double full_scale_dbm)
{
	const struct sigmf_capture *last = w->n_captures ? &w->capture[w->n_captures - 1] : NULL;
	if (last && t == w->next_t && full_scale_dbm == last->full_scale_dbm)
		return true;
	if (w->n_captures == SIGMF_CAPTURES_MAX)
		return false;
	w->capture[w->n_captures++] =
	        (struct sigmf_capture){ .start = w->stats.samples, .t = t, .full_scale_dbm = full_scale_dbm };
	return true;
}

int sigmf_put(struct sigmf_writer *w, const float complex *x, size_t n, uint64_t t, double full_scale_dbm)
{
	size_t n_captures = w->n_captures;
	if (t < w->next_t)
		return -EINVAL;
	if (!find_capture(w, t, full_scale_dbm)) {
		w->stats.unmarked++;
		w->stats.dropped += n;
		return -ENOBUFS;
	}
	int rc = spool_put(w->spool, x, n * sizeof *x);
	if (rc == -ENOBUFS || rc == -EMSGSIZE) {
		w->n_captures = n_captures;
		w->stats.dropped += n;
		return rc;
	}
	w->stats.samples += n;
	w->next_t = t + n;
	return rc;
}

void sigmf_annotate(struct sigmf_writer *w, uint64_t t, uint64_t n, const char *label)
{
	if (w->n_annotations == SIGMF_ANNOTATIONS_MAX) {
		w->stats.unmarked++;
		return;
	}
	struct annotation *a = &w->annotation[w->n_annotations++];
	a->t = t;
	a->n = n;
	snprintf(a->label, sizeof a->label, "%s", label);
}

struct sigmf_stats sigmf_get_stats(const struct sigmf_writer *w)
{
	struct sigmf_stats s = w->stats;
	s.captures = w->n_captures;
	s.annotations = w->n_annotations;
	return s;
}

int sigmf_close(struct sigmf_writer *w)
{
	if (!w)
		return 0;
	int rc = spool_close(w->spool), meta = write_meta(w);
	free(w);
	return rc ? rc : meta;
}

/* ---- reading ---- */

static double number_or_nan(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	return json_is_number(v) ? json_number_value(v) : NAN;
}

static int read_captures(const json_t *list, struct sigmf_recording *rec)
{
	size_t n = json_array_size(list), i;
	json_t *o;
	rec->capture = calloc(n + 1, sizeof *rec->capture);
	if (!rec->capture)
		return -ENOMEM;
	json_array_foreach(list, i, o)
	{
		json_int_t start = -1, t = -1;
		struct sigmf_capture *c = &rec->capture[i];
		if (json_unpack(o, "{s:I, s?I}", "core:sample_start", &start, "core:global_index", &t) || start < 0)
			return -EINVAL;
		*c = (struct sigmf_capture){ .start = (uint64_t)start,
			                     .t = (uint64_t)(t < 0 ? start : t),
			                     .carrier_hz = number_or_nan(o, "core:frequency"),
			                     .full_scale_dbm = number_or_nan(o, "wdmoe:full_scale_dbm") };
		if (i && (c->start < c[-1].start || c->t < c[-1].t + (c->start - c[-1].start)))
			return -EINVAL;
	}
	if (n == 0)
		rec->capture[0] = (struct sigmf_capture){ .carrier_hz = NAN, .full_scale_dbm = NAN };
	rec->n_captures = n ? n : 1;
	return 0;
}

static int read_meta(const char *path, struct sigmf_recording *rec, char *err, size_t err_len)
{
	json_error_t where;
	const char *type = "";
	json_int_t channels = 1;
	json_t *root = json_load_file(path, 0, &where);
	if (!root) {
		snprintf(err, err_len, "%s: %s", path, where.text);
		return -EINVAL;
	}
	int rc = json_unpack(root, "{s:{s:s, s?F, s?I}}", "global", "core:datatype", &type, "core:sample_rate",
	                     &rec->rate_hz, "core:num_channels", &channels);
	if (rc)
		rc = complain(err, err_len, path, "not the metadata of a SigMF recording");
	else if (strcmp(type, "cf32_le") != 0 || channels != 1)
		rc = complain(err, err_len, path, "not one channel of cf32_le");
	else if (!(rec->rate_hz > 0))
		rc = complain(err, err_len, path, "core:sample_rate is missing");
	else if (read_captures(json_object_get(root, "captures"), rec))
		rc = complain(err, err_len, path, "its captures contradict each other");
	json_decref(root);
	return rc;
}

static int map_data(const char *path, struct sigmf_recording *rec, char *err, size_t err_len)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *map = MAP_FAILED;
	if (fd >= 0 && fstat(fd, &st) == 0) {
		rec->n_samples = (uint64_t)st.st_size / sizeof *rec->x;
		map = rec->n_samples ? mmap(NULL, rec->n_samples * sizeof *rec->x, PROT_READ, MAP_PRIVATE, fd, 0)
		                     : NULL;
	}
	int rc = map == MAP_FAILED ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (rc)
		complain(err, err_len, path, strerror(-rc));
	else if (!map || rec->capture[rec->n_captures - 1].start > rec->n_samples)
		rc = complain(err, err_len, path, map ? "shorter than its metadata says" : "no samples in it");
	rec->x = map == MAP_FAILED ? NULL : map;
	return rc;
}

int sigmf_open(const char *name, struct sigmf_recording *rec, char *err, size_t err_len)
{
	char meta[SIGMF_PATH_MAX], data[SIGMF_PATH_MAX];
	*rec = (struct sigmf_recording){ .rate_hz = 0 };
	if (make_path(name, meta_suffix, meta) || make_path(name, data_suffix, data))
		return complain(err, err_len, name, strerror(ENAMETOOLONG));
	int rc = read_meta(meta, rec, err, err_len);
	rc = rc ? rc : map_data(data, rec, err, err_len);
	if (rc)
		sigmf_free(rec);
	return rc;
}

void sigmf_free(struct sigmf_recording *rec)
{
	if (rec->x)
		munmap((void *)(uintptr_t)rec->x, rec->n_samples * sizeof *rec->x);
	free(rec->capture);
	*rec = (struct sigmf_recording){ .rate_hz = 0 };
}

uint64_t sigmf_end(const struct sigmf_recording *rec)
{
	const struct sigmf_capture *last = &rec->capture[rec->n_captures - 1];
	return last->t + (rec->n_samples - last->start);
}

size_t sigmf_read(const struct sigmf_recording *rec, float complex *x, size_t n, uint64_t t)
{
	size_t found = 0;
	memset(x, 0, n * sizeof *x);
	for (size_t i = 0; i < rec->n_captures; i++) {
		const struct sigmf_capture *c = &rec->capture[i];
		uint64_t count = (i + 1 < rec->n_captures ? c[1].start : rec->n_samples) - c->start;
		uint64_t from = t > c->t ? t : c->t, to = t + n < c->t + count ? t + n : c->t + count;
		if (from >= to)
			continue;
		memcpy(x + (from - t), rec->x + c->start + (from - c->t), (size_t)(to - from) * sizeof *x);
		found += (size_t)(to - from);
	}
	return found;
}
