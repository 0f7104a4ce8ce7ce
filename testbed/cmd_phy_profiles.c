/* wdmoe phy profiles: the named numerologies and what they come to. */
#include "phy/dl.h"
#include "phy/mcs.h"
#include "phy/profile.h"
#include "testbed/cli.h"

#include <errno.h>
#include <string.h>

struct shape {
	const struct numerology_profile *profile;
	struct numerology num;
	double peak_bit_s;            /* of one direction: every RB, the highest MCS, no slot lost */
	double share[2][LAYOUT_USES]; /* of the REs: downlink, uplink */
};

static const char *const use_names[LAYOUT_USES] = {
	[LAYOUT_DATA] = "data", [LAYOUT_PILOTS] = "pilots",     [LAYOUT_CONTROL] = "control",
	[LAYOUT_SYNC] = "sync", [LAYOUT_SOUNDING] = "sounding", [LAYOUT_ACCESS] = "access",
};

static int make_shape(const struct numerology_profile *p, size_t n_symbols, struct shape *s)
{
	const struct numerology_config c = numerology_profile_config(p, n_symbols);
	char err[NUMEROLOGY_WHY_BYTES];
	if (numerology_create(&s->num, &c, err, sizeof err))
		return cli_failed("%s: %s", p->name, err);
	struct layout *layout = layout_create(&s->num, err, sizeof err);
	if (!layout)
		return cli_failed("%s: %s", p->name, err);
	s->profile = p;
	s->peak_bit_s = 8 * (double)dl_tb_bytes_max(layout) / numerology_slot_s(&s->num);
	for (int uplink = 0; uplink < 2; uplink++)
		layout_shares(layout, uplink, s->share[uplink]);
	layout_destroy(layout);
	return CLI_DONE;
}

/* Hz from the first used subcarrier to the last. */
static double used_hz(const struct numerology *n)
{
	return (double)(n->n_sc + 1) * n->scs_hz;
}

static void print_head(FILE *f)
{
	fprintf(f, "%-11s %9s %11s %5s %4s %9s %8s %10s %10s %8s %9s\n", "profile", "rate", "spacing", "FFT", "RB",
	        "used", "symbols", "slot", "slot", "prefix", "peak");
	fprintf(f, "%-11s %9s %11s %5s %4s %9s %8s %10s %10s %8s %9s\n", "", "MS/s", "kHz", "", "", "MHz", "",
	        "samples", "us", "us", "Mb/s");
}

static void print_shape(FILE *f, const struct shape *s)
{
	const struct numerology *n = &s->num;
	fprintf(f, "%-11s %9.2f %11.6g %5zu %4zu %9.3f %8zu %10zu %10.5g %8.3f %9.2f\n", s->profile->name,
	        n->rate_hz / 1e6, n->scs_hz / 1e3, n->n_fft, n->n_rb, used_hz(n) / 1e6, n->n_symbols, n->slot_len,
	        1e6 * numerology_slot_s(n), 1e6 * (double)n->cp / n->rate_hz, s->peak_bit_s / 1e6);
}

static void print_overhead_head(FILE *f)
{
	fprintf(f, "%-11s %-9s", "profile", "direction");
	for (size_t use = 0; use < LAYOUT_USES; use++)
		fprintf(f, " %9s", use_names[use]);
	fprintf(f, "   (%% of the resource elements)\n");
}

static void print_overhead(FILE *f, const struct shape *s)
{
	for (int uplink = 0; uplink < 2; uplink++) {
		fprintf(f, "%-11s %-9s", s->profile->name, uplink ? "uplink" : "downlink");
		for (size_t use = 0; use < LAYOUT_USES; use++)
			fprintf(f, " %9.2f", 100 * s->share[uplink][use]);
		fprintf(f, "\n");
	}
}

static json_t *shares_json(const double share[LAYOUT_USES])
{
	json_t *o = json_object();
	for (size_t use = 0; use < LAYOUT_USES; use++)
		json_object_set_new(o, use_names[use], json_real(share[use]));
	return o;
}

static json_t *shape_json(const struct shape *s)
{
	const struct numerology *n = &s->num;
	return json_pack("{s:s, s:f, s:f, s:I, s:I, s:I, s:f, s:I, s:I, s:f, s:I, s:I, s:f, s:I, s:I, s:f, s:o, s:o}",
	                 "name", s->profile->name, "rate_hz", n->rate_hz, "scs_hz", n->scs_hz, "n_fft",
	                 (json_int_t)n->n_fft, "n_rb", (json_int_t)n->n_rb, "n_sc", (json_int_t)n->n_sc, "used_hz",
	                 used_hz(n), "n_symbols", (json_int_t)n->n_symbols, "slot_samples", (json_int_t)n->slot_len,
	                 "slot_s", numerology_slot_s(n), "prefix_samples", (json_int_t)n->cp, "first_prefix_samples",
	                 (json_int_t)n->cp_first, "prefix_s", (double)n->cp / n->rate_hz, "pilot_step",
	                 (json_int_t)n->pilot_step, "taper_samples", (json_int_t)n->taper, "peak_bit_s", s->peak_bit_s,
	                 "downlink_shares", shares_json(s->share[0]), "uplink_shares", shares_json(s->share[1]));
}

static int list(const struct json_out *out, size_t n_symbols, bool overhead)
{
	json_t *rows = json_array();
	(overhead ? print_overhead_head : print_head)(json_out_text(out));
	for (size_t i = 0; numerology_profile_at(i); i++) {
		struct shape s;
		int status = make_shape(numerology_profile_at(i), n_symbols, &s);
		if (status != CLI_DONE) {
			json_decref(rows);
			return status;
		}
		(overhead ? print_overhead : print_shape)(json_out_text(out), &s);
		json_array_append_new(rows, shape_json(&s));
	}
	return json_out_write(out, json_pack("{s:i, s:o}", "schema", 1, "profiles", rows));
}

int cmd_phy_profiles(int argc, char **argv)
{
	const char *json = NULL;
	int64_t n_symbols = PHY_SYMBOLS_MAX;
	bool overhead = false;
	const struct cli_option options[] = {
		{ "symbols", CLI_INT, &n_symbols, "N", "OFDM symbols a slot: 7 or 14", .min = 1,
		  .max = PHY_SYMBOLS_MAX },
		{ "overhead", CLI_FLAG, &overhead, NULL,
		  "what share of the resource elements goes to data, pilots, control, sync, sounding and access" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"",
		"The numerologies that have a name, for radio.profile. Peak: of one direction, with every resource "
		"block and "
		"the highest MCS\n"
		"in every slot. Other shapes: radio.rate_hz, radio.scs_hz, radio.n_rb.",
		options,
		sizeof options / sizeof options[0],
		NULL,
		0,
		0,
	};
	int status;
	struct json_out out;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	if (!slot_format_find((size_t)n_symbols))
		return cli_bad_input("--symbols %lld: 7 and 14 are possible", (long long)n_symbols);
	status = json_out_open(&out, json);
	return status == CLI_DONE ? list(&out, (size_t)n_symbols, overhead) : status;
}
