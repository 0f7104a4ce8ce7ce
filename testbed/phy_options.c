#include "testbed/phy_options.h"

#include "phy/mcs.h"
#include "phy/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CORES_MAX = 64, VALUES_MAX = 400 };

struct phy_options phy_options_default(void)
{
	return (struct phy_options){ .profile = "7.68M-30k", .carrier_hz = 3.5e9, .n_symbols = 14, .channel = "awgn" };
}

int64_t phy_options_cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : n > CORES_MAX ? CORES_MAX : n;
}

/* ---- channel ---- */

/* One figure with its unit. */
static bool take_figure(const char *text, struct phy_link_config *link)
{
	char *end;
	double x = strtod(text, &end);
	if (end == text || !isfinite(x))
		return false;
	if (strcmp(end, "ns") == 0 && x >= 0)
		link->delay_spread_s = 1e-9 * x;
	else if (strcmp(end, "hz") == 0 && x >= 0)
		link->doppler_hz = x;
	else if (strcmp(end, "db") == 0)
		link->k_db = x;
	else
		return false;
	return true;
}

static int take_channel(const char *text, struct phy_link_config *link)
{
	char copy[64], *rest = copy;
	if (strlen(text) >= sizeof copy)
		return cli_bad_input("--channel: \"%s\" is too long", text);
	strcpy(copy, text);
	const char *name = strsep(&rest, ",");
	link->profile = tdl_find(strcmp(name, "awgn") == 0 ? "none" : name);
	if (!link->profile)
		return cli_bad_input("--channel: no model \"%s\" (awgn, rayleigh, rice, tdl-a .. tdl-e, epa, eva, etu)",
		                     name);
	bool still = strcmp(link->profile->name, "none") == 0;
	link->delay_spread_s = 100e-9;
	link->k_db = 10;
	link->doppler_hz = still ? 0 : 10;
	while (rest) {
		const char *figure = strsep(&rest, ",");
		if (still || !take_figure(figure, link))
			return cli_bad_input("--channel %s: what is \"%s\"? (100ns, 30hz, 6db)", text, figure);
	}
	return CLI_DONE;
}

int phy_options_take(const struct phy_options *o, struct phy_link_config *link)
{
	char err[NUMEROLOGY_WHY_BYTES];
	const struct numerology_profile *p = numerology_profile_find(o->profile);
	if (!p)
		return cli_bad_input("--profile: there is no \"%s\" (see wdmoe phy profiles)", o->profile);
	struct numerology_config c = numerology_profile_config(p, (size_t)o->n_symbols);
	c.rate_hz = o->rate_hz > 0 ? o->rate_hz : c.rate_hz;
	c.scs_hz = o->scs_hz > 0 ? o->scs_hz : c.scs_hz;
	c.n_rb = o->n_rb ? (size_t)o->n_rb : c.n_rb;
	c.pilot_step = o->pilot_step ? (size_t)o->pilot_step : c.pilot_step;
	if (numerology_create(&link->num, &c, err, sizeof err))
		return cli_bad_input("%s", err);
	link->carrier_hz = o->carrier_hz;
	return take_channel(o->channel, link);
}

void phy_options_json(const struct phy_options *o, const struct numerology *num, json_t *report)
{
	json_object_set_new(report, "carrier_hz", json_real(o->carrier_hz));
	json_object_set_new(report, "rate_hz", json_real(num->rate_hz));
	json_object_set_new(report, "scs_hz", json_real(num->scs_hz));
	json_object_set_new(report, "n_fft", json_integer((json_int_t)num->n_fft));
	json_object_set_new(report, "n_rb", json_integer((json_int_t)num->n_rb));
	json_object_set_new(report, "n_symbols", json_integer((json_int_t)num->n_symbols));
	json_object_set_new(report, "pilot_step", json_integer((json_int_t)num->pilot_step));
}

/* ---- lists ---- */

int phy_options_mcs(const char *text, unsigned *mcs, size_t max, size_t *n)
{
	*n = 0;
	if (strcmp(text, "all") == 0) {
		for (; *n < mcs_count() && *n < max; ++*n)
			mcs[*n] = (unsigned)*n;
		return CLI_DONE;
	}
	for (const char *at = text;; at++) {
		char *end;
		unsigned long first = strtoul(at, &end, 10), last = first;
		bool ok = end != at && *at >= '0' && *at <= '9';
		if (ok && *end == '-') {
			at = end + 1;
			last = strtoul(at, &end, 10);
			ok = end != at && *at >= '0' && *at <= '9';
		}
		if (!ok || (*end && *end != ','))
			return cli_bad_input("--mcs: \"%s\" is neither \"all\" nor a list like 0,3,5-9", text);
		if (last >= mcs_count() || last < first || *n + last - first >= max)
			return cli_bad_input("--mcs: \"%s\" is not in 0 .. %zu", text, mcs_count() - 1);
		for (; first <= last; first++)
			mcs[(*n)++] = (unsigned)first;
		if (!*end)
			return CLI_DONE;
		at = end;
	}
}

static bool number(const char *text, double *x)
{
	char *end;
	*x = strtod(text, &end);
	return end != text && !*end && isfinite(*x) && fabs(*x) <= 100;
}

int phy_options_range(const char *option, const char *text, double step, struct phy_range *r)
{
	char copy[64], *rest = copy;
	const char *part[3] = { NULL };
	size_t n = 0;
	snprintf(copy, sizeof copy, "%s", text);
	while (rest && n < 3)
		part[n++] = strsep(&rest, ":");
	*r = (struct phy_range){ .automatic = strcmp(part[0], "auto") == 0, .step = step, .n = 1 };
	double last = 0;
	bool ok = strlen(text) < sizeof copy && !rest;
	if (r->automatic)
		ok = ok && n <= 2 && (n < 2 || (number(part[1], &r->step) && r->step >= 0.01));
	else if (n == 3)
		ok = ok && number(part[0], &r->from) && number(part[1], &r->step) && number(part[2], &last) &&
		     r->step >= 0.01 && last >= r->from;
	else
		ok = ok && n == 1 && number(part[0], &r->from);
	if (!ok)
		return cli_bad_input("--%s: \"%s\" is none of A, A:STEP:B (STEP >= 0.01), auto, auto:STEP", option,
		                     text);
	if (r->automatic)
		r->n = 0;
	else if (n == 3)
		r->n = (size_t)floor((last - r->from) / r->step + 1e-6) + 1;
	return r->n <= VALUES_MAX ? CLI_DONE : cli_bad_input("--%s: \"%s\" has more than 400 values", option, text);
}
