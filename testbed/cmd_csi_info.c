/* wdmoe csi info: what the journal of a run holds. */
#include "testbed/cli.h"
#include "testbed/journal.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

enum { DEVICES = 256, DIRECTIONS = 2, PATH_BYTES = 4096 };

static const char *const direction_names[DIRECTIONS] = { "dl", "ul" };

/* Records of one link and direction. */
struct link_info {
	uint64_t records, valid;
	uint64_t first_slot, last_slot;
	uint64_t step_min, step_max; /* between neighbouring records, slots; 0 before the second */
	double snr_sum;              /* of the valid ones, linear */
	double cfo_sum, timing_sum;
};

struct info {
	struct link_info links[DIRECTIONS][DEVICES];
	uint64_t records, csi, events, unknown, backwards;
	bool complete; /* has its end record, and that counts what is there */
	uint64_t dropped;
	size_t n_sc, n_rb;
	bool damaged;
	uint64_t offset;  /* of the damage, or the end */
	json_t *by_event; /* {name: count} */
};

static void count_csi(struct info *info, const struct journal_csi_view *csi)
{
	struct link_info *l = &info->links[csi->direction][csi->device];
	info->csi++;
	info->n_sc = csi->n_sc;
	info->n_rb = csi->n_rb;
	uint64_t step = csi->slot - l->last_slot;
	if (l->records == 0) {
		l->first_slot = csi->slot;
	} else if (csi->slot <= l->last_slot) {
		info->backwards++;
	} else {
		l->step_min = l->step_min == 0 || step < l->step_min ? step : l->step_min;
		l->step_max = step > l->step_max ? step : l->step_max;
	}
	l->last_slot = csi->slot;
	l->records++;
	if (csi->valid) {
		l->valid++;
		l->snr_sum += pow(10, csi->snr_mean_db / 10);
		l->cfo_sum += csi->cfo_hz;
		l->timing_sum += csi->timing_samples;
	}
}

static void count_event(struct info *info, const struct journal_record *rec)
{
	json_t *event = json_loadb((const char *)rec->payload, rec->size, 0, NULL);
	const char *name = json_string_value(json_object_get(event, "event"));
	if (!name)
		name = event ? "(without a name)" : "(not JSON)";
	json_int_t so_far = json_integer_value(json_object_get(info->by_event, name));
	json_object_set_new(info->by_event, name, json_integer(so_far + 1));
	json_decref(event);
	info->events++;
}

static void count_record(struct info *info, const struct journal_record *rec)
{
	struct journal_csi_view csi;
	uint64_t end[2];
	info->complete = false;
	if (rec->type == JOURNAL_CSI && journal_read_csi(rec, &csi) == 0) {
		count_csi(info, &csi);
	} else if (rec->type == JOURNAL_EVENT) {
		count_event(info, rec);
	} else if (rec->type == JOURNAL_END && rec->size == sizeof end) {
		memcpy(end, rec->payload, sizeof end);
		info->complete = end[0] == info->records;
		info->dropped = end[1];
		return;
	} else {
		info->unknown++;
	}
	info->records++;
}

/* Slots between first and last that should be there by the smallest step seen, and are not. */
static uint64_t missing(const struct link_info *l)
{
	uint64_t expected = l->step_min > 0 ? (l->last_slot - l->first_slot) / l->step_min + 1 : l->records;
	return expected > l->records ? expected - l->records : 0;
}

static double mean_snr_db(const struct link_info *l)
{
	return l->valid > 0 ? 10 * log10(l->snr_sum / (double)l->valid) : NAN;
}

static json_t *link_json(const struct link_info *l, size_t direction, size_t device)
{
	double n = l->valid > 0 ? (double)l->valid : NAN;
	json_t *o =
	        json_pack("{s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "device", (int)device, "direction",
	                  direction_names[direction], "records", (json_int_t)l->records, "valid", (json_int_t)l->valid,
	                  "first_slot", (json_int_t)l->first_slot, "last_slot", (json_int_t)l->last_slot, "step_slots",
	                  (json_int_t)l->step_min, "missing", (json_int_t)missing(l));
	json_object_set_new(o, "longest_step_slots", json_integer((json_int_t)l->step_max));
	json_object_set_new(o, "snr_mean_db", json_real_or_null(mean_snr_db(l)));
	json_object_set_new(o, "cfo_mean_hz", json_real_or_null(l->cfo_sum / n));
	json_object_set_new(o, "timing_mean_samples", json_real_or_null(l->timing_sum / n));
	return o;
}

static json_t *info_json(const struct info *info, const json_t *metadata)
{
	json_t *links = json_array();
	for (size_t d = 0; d < DEVICES; d++)
		for (size_t dir = 0; dir < DIRECTIONS; dir++)
			if (info->links[dir][d].records > 0)
				json_array_append_new(links, link_json(&info->links[dir][d], dir, d));
	json_t *o = json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:I}", "schema", 1, "format_version",
	                      JOURNAL_VERSION, "records", (json_int_t)info->records, "csi_records",
	                      (json_int_t)info->csi, "event_records", (json_int_t)info->events, "unknown_records",
	                      (json_int_t)info->unknown, "dropped", (json_int_t)info->dropped, "complete",
	                      info->complete, "damaged", info->damaged, "bytes_good", (json_int_t)info->offset);
	json_object_set_new(o, "n_sc", json_integer((json_int_t)info->n_sc));
	json_object_set_new(o, "n_rb", json_integer((json_int_t)info->n_rb));
	json_object_set_new(o, "slots_backwards", json_integer((json_int_t)info->backwards));
	json_object_set_new(o, "links", links);
	json_object_set(o, "events", info->by_event);
	json_object_set_new(o, "metadata", json_deep_copy(metadata));
	return o;
}

static void print_info(FILE *f, const struct info *info)
{
	fprintf(f, "%llu records: %llu CSI (%zu subcarriers, %zu resource blocks), %llu events; %s\n",
	        (unsigned long long)info->records, (unsigned long long)info->csi, info->n_sc, info->n_rb,
	        (unsigned long long)info->events, info->complete ? "complete" : "the end is missing");
	if (info->csi > 0)
		fprintf(f, "\ndevice  dir  records   valid       slots            every  missing  longest  mean SNR dB "
		           " mean CFO Hz\n");
	for (size_t d = 0; d < DEVICES; d++) {
		for (size_t dir = 0; dir < DIRECTIONS; dir++) {
			const struct link_info *l = &info->links[dir][d];
			if (l->records == 0)
				continue;
			fprintf(f, "%6zu  %3s  %7llu  %5.1f %%  %8llu..%-8llu  %5llu  %7llu  %7llu  %11.1f  %11.1f\n",
			        d, direction_names[dir], (unsigned long long)l->records,
			        100 * (double)l->valid / (double)l->records, (unsigned long long)l->first_slot,
			        (unsigned long long)l->last_slot, (unsigned long long)l->step_min,
			        (unsigned long long)missing(l), (unsigned long long)l->step_max, mean_snr_db(l),
			        l->valid > 0 ? l->cfo_sum / (double)l->valid : NAN);
		}
	}
	const char *name;
	json_t *count;
	json_object_foreach(info->by_event, name, count)
	        fprintf(f, "%sevent %-24s %lld\n",
	                count == json_object_iter_value(json_object_iter(info->by_event)) ? "\n" : "", name,
	                (long long)json_integer_value(count));
}

static int read_all(struct journal_reader *r, struct info *info)
{
	struct journal_record rec;
	int got;
	while ((got = journal_reader_next(r, &rec)) > 0 && !cli_interrupted())
		count_record(info, &rec);
	info->damaged = got == -EBADMSG;
	info->offset = journal_reader_offset(r);
	return got == -EIO ? -EIO : 0;
}

static int report(struct journal_reader *r, const struct json_out *out, const char *path)
{
	static struct info info; /* one run of the command a process; too large for a stack */
	info = (struct info){ .by_event = json_object() };
	int status = CLI_DONE;
	if (read_all(r, &info) < 0) {
		status = cli_failed("%s: %s", path, strerror(EIO));
	} else if (cli_interrupted()) {
		status = CLI_INTERRUPTED;
	} else {
		print_info(json_out_text(out), &info);
		status = json_out_write(out, info_json(&info, journal_reader_metadata(r)));
	}
	if (status == CLI_DONE && info.damaged)
		status = cli_failed("%s: damaged or cut off at byte %llu; told is what stands before", path,
		                    (unsigned long long)info.offset);
	json_decref(info.by_event);
	return status;
}

int cmd_csi_info(int argc, char **argv)
{
	struct cli_list logs = { .n = 0 };
	const char *json = NULL;
	const struct cli_option options[] = {
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"LOG",
		"Tells what the journal of a run holds, a file or the run's folder: for each device and direction the\n"
		"records of estimated channels, their slots, validity, gaps and mean SNR; and the events by name.\n"
		"Exit status 1 if the journal is damaged. The format is in notes/journal.md.",
		options,
		1,
		&logs,
		1,
		1,
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	struct json_out out;
	status = json_out_open(&out, json);
	if (status != CLI_DONE)
		return status;
	char buffer[PATH_BYTES], err[PATH_BYTES + 128];
	const char *path = journal_path(logs.items[0], buffer, sizeof buffer);
	struct journal_reader *r;
	if (journal_reader_open(path, &r, err, sizeof err) < 0)
		return cli_bad_input("%s", err);
	cli_catch_interrupt();
	status = report(r, &out, path);
	journal_reader_close(r);
	return status;
}
