#include "testbed/session.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/cli.h"
#include "testbed/run_log.h"

enum { INTERRUPT_SLOTS = 64 }; /* how often the interrupt flag is looked at */

struct session {
	const struct config *config;
	struct lockstep *lockstep;
	struct journal *journal;
	void (*on_slot)(void *arg, struct session *s);
	void *arg;
	double attached_s;
	struct layer_record *layers;
	size_t n_layers, capacity;
	enum device_state state[CONFIG_DEVICES_MAX]; /* as last logged */
};

int session_create(const struct config *config, struct session **out, char *err, size_t err_len)
{
	struct session *s = calloc(1, sizeof *s);
	if (!s) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	s->config = config;
	s->attached_s = NAN;
	int rc = lockstep_create(config, &s->lockstep, err, err_len);
	if (rc) {
		free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void session_destroy(struct session *s)
{
	if (!s)
		return;
	lockstep_destroy(s->lockstep);
	free(s->layers);
	free(s);
}

void session_set_journal(struct session *s, struct journal *journal)
{
	s->journal = journal;
	lockstep_set_journal(s->lockstep, journal);
}

void session_on_slot(struct session *s, void (*fn)(void *arg, struct session *s), void *arg)
{
	s->on_slot = fn;
	s->arg = arg;
}

/* ---- what the journal gets besides CSI ---- */

static int log_states(struct session *s)
{
	int rc = 0;
	for (size_t k = 0; k < lockstep_n_devices(s->lockstep) && !rc; k++) {
		enum device_state now = device_state(lockstep_device(s->lockstep, k));
		if (now == s->state[k])
			continue;
		rc = journal_event(s->journal,
		                   "{\"event\": \"device\", \"slot\": %" PRIu64 ", \"device\": %zu, \"state\": \"%s\"}",
		                   lockstep_n_slots(s->lockstep) - 1, k, device_state_name(now));
		s->state[k] = now;
	}
	return rc;
}

static int keep_layers(struct session *s)
{
	struct layer_record r;
	while (inference_take_record(bs_inference(lockstep_bs(s->lockstep)), &r)) {
		if (s->n_layers == s->capacity) {
			size_t more = s->capacity ? 2 * s->capacity : 256;
			struct layer_record *grown = realloc(s->layers, more * sizeof *grown);
			if (!grown)
				return -ENOMEM;
			s->layers = grown;
			s->capacity = more;
		}
		s->layers[s->n_layers++] = r;
		int rc = s->journal ? run_log_layer(s->journal, &r) : 0;
		if (rc)
			return rc;
	}
	return 0;
}

/* Choices that were not served as the router wanted. */
static int log_deviations(struct session *s)
{
	struct deviation d;
	int rc = 0;
	while (!rc && inference_take_deviation(bs_inference(lockstep_bs(s->lockstep)), &d))
		rc = run_log_deviation(s->journal, &d);
	return rc;
}

/* ---- running ---- */

static int one_slot(struct session *s)
{
	int rc = lockstep_slot(s->lockstep);
	if (!rc)
		rc = keep_layers(s);
	if (!rc && s->journal)
		rc = log_states(s);
	if (!rc && s->journal)
		rc = log_deviations(s);
	if (s->on_slot)
		s->on_slot(s->arg, s);
	if (!rc && lockstep_n_slots(s->lockstep) % INTERRUPT_SLOTS == 0 && cli_interrupted())
		rc = -EINTR;
	return rc;
}

static const char *reason(int rc)
{
	return rc == -EINTR ? "interrupted" : strerror(-rc);
}

/* Names the first device that is not there, and how far it came. */
static void name_missing(struct session *s, char *err, size_t err_len)
{
	for (size_t k = 0; k < lockstep_n_devices(s->lockstep); k++)
		if (cell_state(bs_cell(lockstep_bs(s->lockstep)), (unsigned)k) != CELL_ATTACHED) {
			snprintf(err, err_len, "device %zu is not attached after %.0f ms: its state is %s", k,
			         s->config->timers.attach_timeout_ms,
			         device_state_name(device_state(lockstep_device(s->lockstep, k))));
			return;
		}
	snprintf(err, err_len, "the attached devices do not hold all experts");
}

static bool all_attached(struct session *s)
{
	for (size_t k = 0; k < lockstep_n_devices(s->lockstep); k++)
		if (cell_state(bs_cell(lockstep_bs(s->lockstep)), (unsigned)k) != CELL_ATTACHED)
			return false;
	return inference_ready(bs_inference(lockstep_bs(s->lockstep)));
}

int session_attach(struct session *s, char *err, size_t err_len)
{
	double until_s = lockstep_time_s(s->lockstep) + 1e-3 * s->config->timers.attach_timeout_ms;
	while (!all_attached(s)) {
		int rc = lockstep_time_s(s->lockstep) < until_s ? one_slot(s) : -ETIMEDOUT;
		if (rc == -ETIMEDOUT)
			name_missing(s, err, err_len);
		else if (rc)
			snprintf(err, err_len, "%s", reason(rc));
		if (rc)
			return rc;
	}
	s->attached_s = lockstep_time_s(s->lockstep);
	return 0;
}

static struct inference *inference_of(struct session *s)
{
	return bs_inference(lockstep_bs(s->lockstep));
}

int session_ask(struct session *s, const int32_t *tokens, size_t n, const struct generation_options *options, char *err,
                size_t err_len)
{
	int place = inference_start(inference_of(s), tokens, n, options, lockstep_time_s(s->lockstep));
	if (place < 0)
		snprintf(err, err_len, "%s", reason(place));
	return place;
}

int session_go_on(struct session *s, char *err, size_t err_len)
{
	int rc = one_slot(s);
	if (rc) {
		snprintf(err, err_len, "%s", reason(rc));
	} else if (inference_status(inference_of(s)) == INFERENCE_FAILED) {
		snprintf(err, err_len, "%s", inference_error(inference_of(s)));
		rc = -EIO;
	}
	return rc;
}

int session_prompt(struct session *s, const int32_t *tokens, size_t n, const struct generation_options *options,
                   char *err, size_t err_len)
{
	for (size_t i = 0; i < inference_n_places(inference_of(s)); i++)
		inference_release(inference_of(s), i);
	int rc = session_ask(s, tokens, n, options, err, err_len);
	if (rc > 0)
		rc = 0;
	while (!rc && inference_status(inference_of(s)) == INFERENCE_RUNNING)
		rc = session_go_on(s, err, err_len);
	return rc;
}

int session_settle(struct session *s, size_t n_slots)
{
	int rc = 0;
	while (n_slots-- && !rc)
		rc = one_slot(s);
	return rc;
}

struct lockstep *session_lockstep(struct session *s)
{
	return s->lockstep;
}

double session_attached_s(const struct session *s)
{
	return s->attached_s;
}

const struct layer_record *session_layers(const struct session *s, size_t *n)
{
	*n = s->n_layers;
	return s->layers;
}
