#include "scheduler/select.h"

#include <errno.h>
#include <math.h>
#include <string.h>

struct select_params select_params_default(void)
{
	return (struct select_params){
		.theta_start = 0.5,
		.theta_step = 0.1,
		.theta_max = 1.0,
		.min_gain = 0.01,
		.renormalised_wlr = true,
	};
}

/* What the served choices add up to on each device. */
struct load {
	double weight[PHY_DEVICES_MAX];
	uint32_t tokens[PHY_DEVICES_MAX];
};

static double sane_s(double s)
{
	return s >= 0 && s < SELECT_UNREACHABLE_S ? s : SELECT_UNREACHABLE_S;
}

static double device_latency_s(const struct select_input *in, size_t device, uint32_t tokens)
{
	if (!tokens)
		return 0;
	double s = sane_s(in->fixed_s[device]) + tokens * sane_s(in->per_token_s[device]);
	return s > 0 ? s : SELECT_UNREACHABLE_S;
}

static size_t device_of(const struct select_input *in, size_t token, size_t choice)
{
	return in->device_of[in->ids[token * in->n_used + choice]];
}

/* Adds a token to the load; choice `without` is left out (n_used: none). */
static void add_token(const struct select_input *in, const bool *keep, size_t token, size_t without, struct load *load)
{
	const float *w = in->weights + token * in->n_used;
	const bool *k = keep + token * in->n_used;
	double served = 0;
	for (size_t i = 0; i < in->n_used; i++)
		served += k[i] && i != without ? w[i] : 0;
	double scale = in->params.renormalised_wlr && served > 0 ? 1 / served : 1;
	for (size_t i = 0; i < in->n_used; i++) {
		if (!k[i] || i == without)
			continue;
		size_t d = device_of(in, token, i);
		load->weight[d] += w[i] * scale;
		load->tokens[d]++;
	}
}

static double load_wlr(const struct select_input *in, const struct load *load)
{
	double wlr = 0;
	for (size_t d = 0; d < in->n_devices; d++)
		if (load->tokens[d])
			wlr += load->weight[d] / device_latency_s(in, d, load->tokens[d]);
	return wlr;
}

static double load_latency_s(const struct select_input *in, const struct load *load)
{
	double worst = 0;
	for (size_t d = 0; d < in->n_devices; d++)
		worst = fmax(worst, device_latency_s(in, d, load->tokens[d]));
	return worst;
}

static struct load load_of(const struct select_input *in, const bool *keep)
{
	struct load load = { .tokens = { 0 } };
	for (size_t j = 0; j < in->n_tokens; j++)
		add_token(in, keep, j, in->n_used, &load);
	return load;
}

double select_wlr(const struct select_input *in, const bool *keep)
{
	struct load load = load_of(in, keep);
	return load_wlr(in, &load);
}

double select_latency_s(const struct select_input *in, const bool *keep)
{
	struct load load = load_of(in, keep);
	return load_latency_s(in, &load);
}

static int check_token(const struct select_input *in, size_t token)
{
	double sum = 0;
	for (size_t i = 0; i < in->n_used; i++) {
		float w = in->weights[token * in->n_used + i];
		size_t expert = in->ids[token * in->n_used + i];
		if (!(w >= 0) || !isfinite(w) || expert >= in->n_experts || in->device_of[expert] >= in->n_devices)
			return -EINVAL;
		sum += w;
	}
	return sum > 0 ? 0 : -EINVAL;
}

static int check(const struct select_input *in)
{
	if (in->n_experts < 1 || in->n_experts > SELECT_EXPERTS_MAX || in->n_used < 1 || in->n_used > SELECT_USED_MAX ||
	    in->n_used > in->n_experts || in->n_devices < 1 || in->n_devices > PHY_DEVICES_MAX)
		return -EINVAL;
	for (size_t j = 0; j < in->n_tokens; j++)
		if (check_token(in, j) < 0)
			return -EINVAL;
	return 0;
}

static void keep_all(const struct select_input *in, bool *keep)
{
	memset(keep, true, in->n_tokens * in->n_used * sizeof *keep);
}

static double kept_weight(const struct select_input *in, const bool *keep)
{
	if (!in->n_tokens)
		return 1;
	double kept = 0;
	for (size_t j = 0; j < in->n_tokens; j++) {
		double all = 0, served = 0;
		for (size_t i = j * in->n_used; i < (j + 1) * in->n_used; i++) {
			all += in->weights[i];
			served += keep[i] ? in->weights[i] : 0;
		}
		kept += served / all;
	}
	return kept / (double)in->n_tokens;
}

static void report_before(const struct select_input *in, const bool *keep, struct select_output *out)
{
	struct load load = load_of(in, keep);
	*out = (struct select_output){ .latency_before_s = load_latency_s(in, &load),
		                       .wlr_before = load_wlr(in, &load) };
}

static void report_after(const struct select_input *in, const bool *keep, struct select_output *out)
{
	struct load load = load_of(in, keep);
	out->latency_after_s = load_latency_s(in, &load);
	out->wlr_after = load_wlr(in, &load);
	out->kept_weight = kept_weight(in, keep);
	out->n_dropped = (uint32_t)(in->n_tokens * in->n_used);
	memcpy(out->n_tokens_on, load.tokens, sizeof out->n_tokens_on);
	for (size_t d = 0; d < in->n_devices; d++)
		out->n_dropped -= load.tokens[d];
}

static int select_vanilla(const struct select_input *in, bool *keep, struct select_output *out)
{
	if (check(in) < 0)
		return -EINVAL;
	keep_all(in, keep);
	report_before(in, keep, out);
	report_after(in, keep, out);
	return 0;
}

/* The choice that a token loses at this threshold; n_used: none. Renormalising does not turn the weight vector, so
 * the router's weights will do for the cosine. */
static size_t choice_lost(const struct select_input *in, const bool *keep, size_t token, double theta)
{
	double wt = 0, ww = 0, tt = 0;
	size_t n = 0, lowest = in->n_used;
	for (size_t i = 0; i < in->n_used; i++) {
		if (!keep[token * in->n_used + i])
			continue;
		double w = in->weights[token * in->n_used + i];
		double t = device_latency_s(in, device_of(in, token, i), 1);
		wt += w * t;
		ww += w * w;
		tt += t * t;
		n++;
		if (lowest == in->n_used || w <= in->weights[token * in->n_used + lowest]) /* ties: the later choice */
			lowest = i;
	}
	return n > 1 && wt < theta * sqrt(ww * tt) * (1 - 1e-12) ? lowest : in->n_used; /* parallel is never below */
}

static int select_wdmoe(const struct select_input *in, bool *keep, struct select_output *out)
{
	if (check(in) < 0 || !(in->params.theta_step > 0))
		return -EINVAL;
	keep_all(in, keep);
	report_before(in, keep, out);

	double wlr = out->wlr_before;
	for (int step = 0;; step++) {
		double theta = in->params.theta_start + step * in->params.theta_step;
		if (!(theta <= in->params.theta_max + 1e-9))
			break;
		struct load trial = { .tokens = { 0 } };
		size_t n_lost = 0;
		for (size_t j = 0; j < in->n_tokens; j++) {
			size_t lost = choice_lost(in, keep, j, theta);
			n_lost += lost < in->n_used;
			add_token(in, keep, j, lost, &trial);
		}
		if (!n_lost)
			continue;
		double gained = load_wlr(in, &trial);
		if (!(gained >= wlr * (1 + in->params.min_gain)))
			break;
		for (size_t j = 0; j < in->n_tokens; j++) {
			size_t lost = choice_lost(in, keep, j, theta);
			if (lost < in->n_used)
				keep[j * in->n_used + lost] = false;
		}
		wlr = gained;
		out->theta = theta;
	}
	report_after(in, keep, out);
	return 0;
}

static const struct select_policy policies[] = {
	{ "vanilla", "every expert that the router chose", select_vanilla },
	{ "wdmoe", "weight-to-latency ratio with cosine threshold (arXiv 2405.03131)", select_wdmoe },
};

const struct select_policy *select_policies(size_t *n)
{
	*n = sizeof policies / sizeof policies[0];
	return policies;
}

const struct select_policy *select_policy_find(const char *name)
{
	for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
		if (strcmp(policies[i].name, name) == 0)
			return &policies[i];
	return NULL;
}

void select_renormalise(const struct select_input *in, const bool *keep, float *weights)
{
	for (size_t j = 0; j < in->n_tokens; j++) {
		const float *w = in->weights + j * in->n_used;
		const bool *k = keep + j * in->n_used;
		float *out = weights + j * in->n_used;
		float served = 0;
		bool all = true;
		for (size_t i = 0; i < in->n_used; i++) {
			served += k[i] ? w[i] : 0;
			all = all && k[i];
		}
		for (size_t i = 0; i < in->n_used; i++)
			out[i] = all ? w[i] : k[i] && served > 0 ? w[i] / served : 0;
	}
}
