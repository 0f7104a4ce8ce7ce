#include "testbed/report.h"

#include <math.h>
#include <stdlib.h>

#include "testbed/cli.h"
#include "testbed/stats.h"

enum { ALL, PROMPT, DECODE, KINDS };

static const char *const kind_names[KINDS] = { "all", "prompt", "decode" };

/* ---- losses ---- */

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

struct report_losses report_losses(struct session *s)
{
	struct lockstep *l = session_lockstep(s);
	struct report_losses sum = { 0 };
	for (size_t k = 0; k < lockstep_n_devices(l); k++) {
		struct cell_device_stats c = cell_device_stats(bs_cell(lockstep_bs(l)), (unsigned)k);
		struct device_stats d = device_stats(lockstep_device(l, k));
		uint64_t granted[2];
		for (int dir = 0; dir < 2; dir++) {
			granted[dir] = c.harq[dir].n_new + c.harq[dir].n_again;
			sum.first_transmissions += c.harq[dir].n_new;
			sum.first_lost += c.harq[dir].n_first_lost;
			sum.blocks_lost += c.harq[dir].n_failed;
			sum.bytes_on_air[dir] += c.bytes_on_air[dir];
		}
		sum.grants_lost += less(granted[CELL_DL], d.dl_grants) + less(granted[CELL_UL], d.ul_grants);
		sum.acks_lost += less(d.dl_grants, less(granted[CELL_DL], c.harq[CELL_DL].n_silent));
	}
	sum.bytes_on_air[CELL_DL] += cell_stats(bs_cell(lockstep_bs(l))).multicast.bytes_on_air;
	return sum;
}

/* ---- layer latency ---- */

struct latency {
	size_t n;
	double mean, p50, p95, p99, max;
	double waiting, downlink, compute, uplink; /* means; they sum to mean */
	double within_sd;                          /* part of the layers within the predicted spread */
	double predicted, error, bias;             /* mean; median of |predicted - measured| / measured; of the sums */
	double kept;                               /* mean weight kept */
};

static bool is_of(const struct layer_record *r, int which)
{
	return which == ALL || r->prompt == (which == PROMPT);
}

static struct latency summarise(const struct layer_record *layers, size_t n, int which)
{
	struct latency x = { .mean = NAN,
		             .p50 = NAN,
		             .p95 = NAN,
		             .p99 = NAN,
		             .max = NAN,
		             .waiting = NAN,
		             .downlink = NAN,
		             .compute = NAN,
		             .uplink = NAN,
		             .predicted = NAN,
		             .error = NAN,
		             .bias = NAN,
		             .kept = NAN,
		             .within_sd = NAN };
	double *ms = calloc(n + 1, sizeof *ms), *error = calloc(n + 1, sizeof *error);
	double waiting = 0, downlink = 0, compute = 0, uplink = 0, predicted = 0, kept = 0, within = 0;
	for (size_t i = 0; ms && error && i < n; i++) {
		const struct layer_record *r = &layers[i];
		if (!is_of(r, which))
			continue;
		error[x.n] = fabs(r->predicted_s - r->latency_s) / r->latency_s;
		ms[x.n++] = 1e3 * r->latency_s;
		predicted += 1e3 * r->predicted_s;
		kept += r->kept_weight;
		within += fabs(r->predicted_s - r->latency_s) <= r->predicted_sd_s;
		waiting += 1e3 * r->waiting_s;
		downlink += 1e3 * r->downlink_s;
		compute += 1e3 * r->compute_s;
		uplink += 1e3 * r->uplink_s;
	}
	if (x.n) {
		double count = (double)x.n;
		stats_sort(ms, x.n);
		stats_sort(error, x.n);
		x.predicted = predicted / count;
		x.error = stats_percentile(error, x.n, 50);
		x.kept = kept / count;
		x.within_sd = within / count;
		x.mean = stats_mean(ms, x.n);
		x.p50 = stats_percentile(ms, x.n, 50);
		x.p95 = stats_percentile(ms, x.n, 95);
		x.p99 = stats_percentile(ms, x.n, 99);
		x.max = ms[x.n - 1];
		x.waiting = waiting / count;
		x.downlink = downlink / count;
		x.compute = compute / count;
		x.uplink = uplink / count;
		x.bias = x.predicted / x.mean - 1;
	}
	free(error);
	free(ms);
	return x;
}

json_t *report_latency_json(const struct layer_record *layers, size_t n, int which)
{
	struct latency x = summarise(layers, n, which);
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "n",
	                 (json_int_t)x.n, "mean_ms", json_real_or_null(x.mean), "p50_ms", json_real_or_null(x.p50),
	                 "p95_ms", json_real_or_null(x.p95), "p99_ms", json_real_or_null(x.p99), "max_ms",
	                 json_real_or_null(x.max), "waiting_ms", json_real_or_null(x.waiting), "downlink_ms",
	                 json_real_or_null(x.downlink), "compute_ms", json_real_or_null(x.compute), "uplink_ms",
	                 json_real_or_null(x.uplink), "predicted_ms", json_real_or_null(x.predicted),
	                 "prediction_error_median", json_real_or_null(x.error), "prediction_bias",
	                 json_real_or_null(x.bias), "within_predicted_sd", json_real_or_null(x.within_sd),
	                 "kept_weight", json_real_or_null(x.kept));
}

/* ---- devices ---- */

struct device_row {
	double snr_db[2], mcs[2], bler[2];
	uint64_t blocks[2], lost[2], bytes[2], rows, calls;
	double busy_s;
};

static struct device_row device_row(struct lockstep *l, size_t k)
{
	struct cell_device_stats c = cell_device_stats(bs_cell(lockstep_bs(l)), (unsigned)k);
	struct worker_stats w = device_worker_stats(lockstep_device(l, k));
	struct device_row r = { .rows = w.rows, .calls = w.calls, .busy_s = w.busy_s };
	for (int dir = 0; dir < 2; dir++) {
		double blocks = (double)c.harq[dir].n_new;
		r.snr_db[dir] = c.snr_slots[dir] ? c.snr_sum_db[dir] / (double)c.snr_slots[dir] : NAN;
		r.mcs[dir] = c.blocks[dir] ? c.mcs_sum[dir] / (double)c.blocks[dir] : NAN;
		r.bler[dir] = blocks > 0 ? (double)c.harq[dir].n_first_lost / blocks : NAN;
		r.blocks[dir] = c.harq[dir].n_new;
		r.lost[dir] = c.harq[dir].n_failed;
		r.bytes[dir] = c.bytes_on_air[dir];
	}
	return r;
}

/* First transmissions by MCS, those in use. */
static json_t *by_mcs_json(const struct link *l)
{
	json_t *list = json_array();
	for (size_t m = 0; m < LINK_MCS_MAX; m++)
		if (l->mcs_first[m])
			json_array_append_new(list, json_pack("{s:I, s:I, s:f}", "mcs", (json_int_t)m, "blocks",
			                                      (json_int_t)l->mcs_first[m], "bler",
			                                      (double)l->mcs_first_lost[m] / l->mcs_first[m]));
	return list;
}

static json_t *direction_json(const struct device_row *r, const struct link *l, int dir)
{
	return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:o}", "snr_db", json_real_or_null(r->snr_db[dir]),
	                 "mcs_mean", json_real_or_null(r->mcs[dir]), "bler", json_real_or_null(r->bler[dir]), "blocks",
	                 (json_int_t)r->blocks[dir], "blocks_lost", (json_int_t)r->lost[dir], "bytes_on_air",
	                 (json_int_t)r->bytes[dir], "channel_memory_slots", json_real_or_null(link_memory_slots(l)),
	                 "by_mcs", by_mcs_json(l));
}

static json_t *experts_of_layer(const struct placement *p, size_t k, size_t layer)
{
	json_t *list = json_array();
	for (size_t e = 0; e < p->n_expert; e++)
		if (placement_holds(p, k, layer, e))
			json_array_append_new(list, json_integer((json_int_t)e));
	return list;
}

/* Those that it holds in every layer. */
static json_t *experts_json(const struct placement *p, size_t k)
{
	json_t *list = json_array();
	for (size_t e = 0; e < p->n_expert; e++) {
		size_t n = 0;
		for (size_t layer = 0; layer < p->n_layer; layer++)
			n += placement_holds(p, k, layer, e);
		if (n == p->n_layer)
			json_array_append_new(list, json_integer((json_int_t)e));
	}
	return list;
}

static void put_experts(json_t *device, struct lockstep *l, size_t k)
{
	const struct placement *p = lockstep_placement(l);
	json_t *by_layer = json_array();
	for (size_t layer = 0; layer < p->n_layer; layer++)
		json_array_append_new(by_layer, experts_of_layer(p, k, layer));
	json_object_set_new(device, "experts", experts_json(p, k));
	json_object_set_new(device, "experts_by_layer", by_layer);
	json_object_set_new(device, "expert_weight_bytes",
	                    json_integer((json_int_t)placement_bytes(p, lockstep_model(l), k)));
}

/* Where a device's uplink arrives, and what it was told about it. */
static void put_uplink_place(json_t *uplink, const struct cell_device_stats *c)
{
	json_object_set_new(uplink, "timing_advance_units", json_integer(c->advance_units));
	json_object_set_new(uplink, "late_samples", json_real_or_null((double)c->late_samples));
	json_object_set_new(uplink, "power_correction_db", json_integer(c->power_correction_db));
	json_object_set_new(uplink, "over_target_db", json_real_or_null((double)c->received_db));
	json_object_set_new(uplink, "commands", json_integer((json_int_t)c->commands));
}

/* Who wanted a grant, and what did not fit the control symbols of its slot. */
static json_t *control_json(struct lockstep *l)
{
	struct cell_stats c = cell_stats(bs_cell(lockstep_bs(l)));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "wanted", (json_int_t)c.wanted, "granted",
	                 (json_int_t)c.dcis, "rationed", (json_int_t)c.rationed, "unallocated",
	                 (json_int_t)c.unallocated, "answers_rationed", (json_int_t)c.rationed_answers,
	                 "commands_rationed", (json_int_t)c.rationed_commands);
}

static json_t *device_json(struct lockstep *l, size_t k)
{
	struct device_row r = device_row(l, k);
	struct device_stats d = device_stats(lockstep_device(l, k));
	struct cell_device_stats b = cell_device_stats(bs_cell(lockstep_bs(l)), (unsigned)k);
	json_t *uplink = direction_json(&r, cell_link(bs_cell(lockstep_bs(l)), (unsigned)k, CELL_UL), CELL_UL);
	put_uplink_place(uplink, &b);
	json_t *device = json_pack(
	        "{s:I, s:s, s:I, s:I, s:o, s:I, s:I, s:I, s:o, s:o}", "device", (json_int_t)k, "state",
	        device_state_name(device_state(lockstep_device(l, k))), "expert_calls", (json_int_t)r.calls,
	        "expert_rows", (json_int_t)r.rows, "compute_s", json_real_or_null(r.busy_s), "attaches",
	        (json_int_t)b.attaches, "losses", (json_int_t)b.losses, "slots_non_finite", (json_int_t)d.non_finite,
	        "downlink", direction_json(&r, cell_link(bs_cell(lockstep_bs(l)), (unsigned)k, CELL_DL), CELL_DL),
	        "uplink", uplink);
	put_experts(device, l, k);
	return device;
}

/* What was dropped instead of being believed; results: with the losses. */
static json_t *refused_json(struct lockstep *l)
{
	struct bs_stats bs = bs_stats(lockstep_bs(l));
	uint64_t messages = bs.messages_bad, dropped = 0, calls = 0, preambles = 0;
	for (size_t k = 0; k < lockstep_n_devices(l); k++) {
		struct cell_device_stats c = cell_device_stats(bs_cell(lockstep_bs(l)), (unsigned)k);
		struct worker_stats w = device_worker_stats(lockstep_device(l, k));
		messages += c.messages_bad + device_stats(lockstep_device(l, k)).messages_bad;
		dropped += w.dropped;
		calls += w.refused + w.non_finite;
		preambles += c.accesses_false;
	}
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "hellos", (json_int_t)bs.refused, "messages",
	                 (json_int_t)messages, "calls_stale", (json_int_t)dropped, "calls", (json_int_t)calls,
	                 "preambles", (json_int_t)preambles, "slots_non_finite",
	                 (json_int_t)cell_stats(bs_cell(lockstep_bs(l))).non_finite);
}

static double per(double x, size_t n)
{
	return n ? x / (double)n : NAN;
}

/* Hidden states that went out once for several devices. */
static json_t *multicast_json(struct lockstep *l)
{
	struct cell_multicast_stats m = cell_stats(bs_cell(lockstep_bs(l))).multicast;
	struct inference_stats inf = inference_stats(bs_inference(lockstep_bs(l)));
	json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "layers", (json_int_t)inf.multicast_layers, "rows",
	                      (json_int_t)inf.multicast_rows, "blocks", (json_int_t)m.blocks, "bytes_on_air",
	                      (json_int_t)m.bytes_on_air, "bytes_resent", (json_int_t)m.bytes_resent, "calls_not_heard",
	                      (json_int_t)inf.not_heard);
	json_object_set_new(o, "devices_mean", json_real_or_null(per((double)m.receivers, m.blocks)));
	json_object_set_new(o, "mcs_mean", json_real_or_null(per(m.mcs_sum, m.blocks)));
	json_object_set_new(o, "bler", json_real_or_null(per((double)m.harq.n_first_lost, m.harq.n_new)));
	return o;
}

/* ---- the whole ---- */

json_t *report_json(struct session *s, const struct config *c, size_t n_tokens, double time_s)
{
	struct lockstep *l = session_lockstep(s);
	struct report_losses x = report_losses(s);
	struct inference_stats inf = inference_stats(bs_inference(lockstep_bs(l)));
	size_t n;
	const struct layer_record *layers = session_layers(s, &n);
	json_t *latency = json_object(), *devices = json_array();
	for (int which = 0; which < KINDS; which++)
		json_object_set_new(latency, kind_names[which], report_latency_json(layers, n, which));
	for (size_t k = 0; k < lockstep_n_devices(l); k++)
		json_array_append_new(devices, device_json(l, k));
	json_t *losses = json_pack("{s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "first_transmissions",
	                           (json_int_t)x.first_transmissions, "first_transmissions_lost",
	                           (json_int_t)x.first_lost, "first_transmission_loss",
	                           json_real_or_null(per((double)x.first_lost, x.first_transmissions)), "blocks_lost",
	                           (json_int_t)x.blocks_lost, "grants_lost", (json_int_t)x.grants_lost, "acks_lost",
	                           (json_int_t)x.acks_lost, "results_stale", (json_int_t)inf.stale, "results_refused",
	                           (json_int_t)inf.refused, "calls_sent_again", (json_int_t)inf.calls_sent_again,
	                           "calls_moved", (json_int_t)inf.calls_moved);
	json_object_set_new(losses, "choices_given_up", json_integer((json_int_t)inf.given_up));
	json_object_set_new(losses, "devices_suspected", json_integer((json_int_t)inf.suspected));
	double bytes = (double)(x.bytes_on_air[CELL_DL] + x.bytes_on_air[CELL_UL]);
	return json_pack("{s:i, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}",
	                 "schema", 2, "version", cli_version(), "mode", "lockstep", "seed", (json_int_t)c->seed,
	                 "virtual_time_s", json_real_or_null(lockstep_time_s(l)), "attached_s",
	                 json_real_or_null(session_attached_s(s)), "generation_s", json_real_or_null(time_s),
	                 "time_per_token_ms", json_real_or_null(per(1e3 * time_s, n_tokens)), "bytes_on_air_per_token",
	                 json_real_or_null(per(bytes, n_tokens)), "layer_latency", latency, "expert_rows",
	                 (json_int_t)inf.rows, "experts_dropped", (json_int_t)inf.dropped, "losses", losses, "refused",
	                 refused_json(l), "control", control_json(l), "multicast", multicast_json(l), "devices",
	                 devices, "config", config_json(c, false));
}

static void print_latency(FILE *f, const char *name, const struct latency *x)
{
	if (x->n)
		fprintf(f, "  %-7s %6zu %8.2f %8.2f %8.2f %8.2f | %8.2f %8.2f %8.2f %8.2f\n", name, x->n, x->mean,
		        x->p50, x->p95, x->p99, x->waiting, x->downlink, x->compute, x->uplink);
}

/* "-" for what there is none of. */
static const char *figure(char text[static 32], int decimals, double x, const char *unit)
{
	snprintf(text, 32, isfinite(x) ? "%.*f%s" : "-", decimals, x, unit);
	return text;
}

#define FIGURE(decimals, x, unit) figure((char[32]){ 0 }, decimals, x, unit)

static void print_device(FILE *f, struct lockstep *l, size_t k)
{
	struct device_row r = device_row(l, k);
	fprintf(f, "  %3zu", k);
	for (int dir = CELL_DL; dir <= CELL_UL; dir++)
		fprintf(f, " %9s %5s %7s", FIGURE(1, r.snr_db[dir], ""), FIGURE(1, r.mcs[dir], ""),
		        FIGURE(1, 100 * r.bler[dir], "%"));
	fprintf(f, " %8llu %8llu %9.3f\n", (unsigned long long)r.calls, (unsigned long long)r.rows, r.busy_s);
}

void report_print(FILE *f, struct session *s, size_t n_tokens, double time_s)
{
	struct lockstep *l = session_lockstep(s);
	struct report_losses x = report_losses(s);
	size_t n;
	const struct layer_record *layers = session_layers(s, &n);
	fprintf(f, "tokens %zu, virtual time %s (attached after %s), %s a token\n", n_tokens, FIGURE(3, time_s, " s"),
	        FIGURE(3, session_attached_s(s), " s"), FIGURE(2, per(1e3 * time_s, n_tokens), " ms"));
	fprintf(f, "layer latency, ms; the split is that of the call that finished last\n");
	fprintf(f, "  %-7s %6s %8s %8s %8s %8s | %8s %8s %8s %8s\n", "", "layers", "mean", "p50", "p95", "p99",
	        "waiting", "downlink", "compute", "uplink");
	for (int which = 0; which < KINDS; which++) {
		struct latency latency = summarise(layers, n, which);
		print_latency(f, kind_names[which], &latency);
	}
	fprintf(f,
	        "on air %s bytes a token down, %s up; first transmissions lost %s, blocks lost for good %llu, "
	        "grants %llu, acknowledgements %llu\n",
	        FIGURE(0, per((double)x.bytes_on_air[CELL_DL], n_tokens), ""),
	        FIGURE(0, per((double)x.bytes_on_air[CELL_UL], n_tokens), ""),
	        FIGURE(1, 100 * per((double)x.first_lost, x.first_transmissions), " %"),
	        (unsigned long long)x.blocks_lost, (unsigned long long)x.grants_lost, (unsigned long long)x.acks_lost);
	fprintf(f, "  %3s %9s %5s %7s %9s %5s %7s %8s %8s %9s\n", "dev", "DL SNR dB", "MCS", "BLER", "UL SNR dB", "MCS",
	        "BLER", "calls", "rows", "busy s");
	for (size_t k = 0; k < lockstep_n_devices(l); k++)
		print_device(f, l, k);
}
