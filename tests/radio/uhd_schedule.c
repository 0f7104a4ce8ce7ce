#include "uhd_schedule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "radio/uhd_radio.h"

enum { SLOT = 960, LEAD = 4, N_FAULTY = 300, N_RECOVER = 160, N_CLEAN = 80, N_FAULTS_MAX = 6 };
enum { N_SLOTS = N_FAULTY + N_FAULTS_MAX * N_RECOVER + N_RECOVER + N_CLEAN };

struct run {
	uint64_t rng;
	struct uhd_double_fault faults[N_FAULTS_MAX];
	struct uhd_double_plan plan;
	struct radio *radio;
	const char *wrong;
	bool lost, without_end; /* the burst never has an end of its own */
	size_t clean;           /* the slot from which on all must be well: not before the last fault has come */
	uint64_t radiated_wrong;
	/* By slot: sent and accepted; samples radiated. */
	bool sent[N_SLOTS + 2 * LEAD];
	size_t radiated[N_SLOTS + 2 * LEAD];
};

static uint32_t draw(struct run *run, uint32_t n)
{
	run->rng = run->rng * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((run->rng >> 33) * n >> 31);
}

static float complex sent_sample(uint64_t t)
{
	return -conjf(uhd_double_sample(t));
}

static void on_radiated(void *arg, uint64_t t, const float complex *x, size_t n)
{
	struct run *run = arg;
	for (size_t i = 0; i < n; i++) {
		size_t slot = (t + i) / SLOT;
		if (x[i] != sent_sample(t + i) || slot >= N_SLOTS + 2 * LEAD || !run->sent[slot])
			run->radiated_wrong++;
		else
			run->radiated[slot]++;
	}
}

static int by_time(const void *a, const void *b)
{
	const struct uhd_double_fault *x = a, *y = b;
	return (x->t > y->t) - (x->t < y->t);
}

/* Sizes such that the device lives, but for the disconnect. */
static void draw_faults(struct run *run)
{
	static const uint32_t most[UHD_DOUBLE_FAULT_TYPES] = {
		[UHD_DOUBLE_OVERFLOW] = 20000, [UHD_DOUBLE_SEQUENCE] = 5000, [UHD_DOUBLE_TIMEOUT] = 8,
		[UHD_DOUBLE_LATE_COMMAND] = 4, [UHD_DOUBLE_NO_ACK] = 3,      [UHD_DOUBLE_TX_STALL] = 3,
		[UHD_DOUBLE_UNLOCK] = 50000,
	};
	run->plan.n_faults = 1 + draw(run, N_FAULTS_MAX);
	for (size_t i = 0; i < run->plan.n_faults; i++) {
		struct uhd_double_fault *f = &run->faults[i];
		f->type = draw(run, draw(run, 8) ? UHD_DOUBLE_DISCONNECT : UHD_DOUBLE_FAULT_TYPES);
		f->t = draw(run, N_FAULTY * SLOT);
		f->n = 1 + draw(run, most[f->type] ? most[f->type] : 1);
	}
	qsort(run->faults, run->plan.n_faults, sizeof *run->faults, by_time);
	run->plan.faults = run->faults;
	run->plan.packet = 100 + draw(run, 1400);
	run->plan.radiated = on_radiated;
	run->plan.arg = run;
}

static void receive(struct run *run, uint64_t t, struct uhd_schedule_result *res)
{
	static float complex x[SLOT];
	bool clean = t >= (uint64_t)run->clean * SLOT;
	int rc = radio_recv(run->radio, x, SLOT, t);
	run->lost = rc == -EIO;
	if (rc && rc != -EIO)
		run->wrong = "a receive failed";
	for (size_t i = 0; i < SLOT && !rc; i++) {
		res->samples++;
		res->zeros += x[i] == 0;
		if (x[i] != uhd_double_sample(t + i) && (x[i] != 0 || clean))
			run->wrong = x[i] == 0 ? "samples lost without a fault" : "a received sample of another time";
	}
}

static void send(struct run *run, size_t slot)
{
	static float complex x[SLOT];
	uint64_t t = (uint64_t)slot * SLOT;
	for (size_t i = 0; i < SLOT; i++)
		x[i] = sent_sample(t + i);
	run->sent[slot] = true; /* part of it may go out even if the rest does not */
	int rc = radio_send(run->radio, x, SLOT, t);
	if (rc && slot >= run->clean + LEAD && rc != -EIO)
		run->wrong = "a send refused long after the last fault";
}

static size_t run_slots(struct run *run, struct uhd_schedule_result *res)
{
	struct uhd_double_seen seen;
	size_t slot = 0;
	run->clean = N_SLOTS - N_CLEAN;
	for (size_t left = 0; slot < run->clean + N_CLEAN && !run->wrong && !run->lost; slot++) {
		uhd_double_look(&seen);
		if (seen.faults_done == run->plan.n_faults && slot + N_RECOVER < run->clean)
			run->clean = slot + N_RECOVER;
		receive(run, (uint64_t)slot * SLOT, res);
		if (!left)
			left = draw(run, 12);
		if ((left > 4 || run->without_end) && !run->lost)
			send(run, slot + LEAD);
		left -= left > 0;
	}
	return slot;
}

/* Every slot of the clean end that was sent, and whose time has come. */
static void check_radiated(struct run *run, size_t end, struct uhd_schedule_result *res)
{
	if (run->radiated_wrong)
		run->wrong = "a sample radiated at another time";
	for (size_t slot = 0; slot < end; slot++) {
		res->accepted += run->sent[slot] ? SLOT : 0;
		res->radiated += run->radiated[slot];
		if (slot >= run->clean + LEAD && slot < end && run->sent[slot] && run->radiated[slot] != SLOT &&
		    !run->lost)
			run->wrong = "a send that was not radiated long after the last fault";
	}
}

static void check_lost(struct run *run)
{
	float complex x[SLOT] = { 0 };
	if (radio_recv(run->radio, x, SLOT, 0) == 0 &&
	    radio_recv(run->radio, x, SLOT, (uint64_t)N_SLOTS * SLOT * 2) != -EIO)
		run->wrong = "a receive from a lost device";
	if (radio_send(run->radio, x, SLOT, (uint64_t)N_SLOTS * SLOT * 4) != -EIO)
		run->wrong = "a send to a lost device";
}

static void check_end(struct run *run, const struct uhd_double_seen *seen, uint64_t samples)
{
	uint64_t calls = samples / run->plan.packet + 1000;
	if (seen->handles)
		run->wrong = "handles not freed";
	if (seen->n_calls > calls)
		run->wrong = "more receive calls than the schedule explains";
	if (seen->receiving)
		run->wrong = "a stream left on";
	if (seen->transmitting && !run->lost)
		run->wrong = "a burst left open";
}

const char *uhd_schedule_run(uint64_t seed, struct uhd_schedule_result *res)
{
	char err[256];
	struct run run = { .rng = seed * 0x9e3779b97f4a7c15u + 1 };
	struct uhd_radio_config config = UHD_RADIO_DEFAULTS;
	struct uhd_double_seen seen;
	struct radio_stats stats;
	config.rate_hz = 1.92e6;
	config.rx_hz = 2.45e9;
	config.tx_hz = 2.49e9;
	config.spare = SLOT;
	*res = (struct uhd_schedule_result){ 0 };
	draw_faults(&run);
	run.without_end = draw(&run, 2);
	config.clock_source = draw(&run, 8) ? "internal" : "external";
	uhd_double_reset(&run.plan);
	run.radio = uhd_radio_create(&config, err, sizeof err);
	if (!run.radio)
		return "the radio could not be made";
	check_radiated(&run, run_slots(&run, res), res);
	if (run.lost)
		check_lost(&run);
	radio_get_stats(run.radio, &stats);
	memcpy(res->events, stats.events, sizeof res->events);
	uhd_double_look(&seen);
	res->n_faults = seen.faults_done;
	for (size_t i = 0; i < seen.faults_done; i++)
		res->faults[run.faults[i].type]++;
	if (stats.events[RADIO_LOST] != (run.lost ? 1 : 0))
		run.wrong = "RADIO_LOST not told as often as it was";
	radio_destroy(run.radio);
	uhd_double_look(&seen);
	check_end(&run, &seen, res->samples);
	return run.wrong;
}
