#include "uhd_double.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uhd.h>

enum { PACKET = 1000, N_PACKETS = 4096, N_REPORTS = 1024, AIR = 1 << 16 };
static const double MASTER_CLOCK_HZ = 61.44e6, GAIN_MAX_DB = 76;

struct packet {
	float complex *x;
	size_t n;
	bool timed, begins, ends;
	int64_t t;
};

struct report {
	uhd_async_metadata_event_code_t code;
	int64_t t;
};

struct uhd_usrp {
	int unused;
};
struct uhd_rx_metadata_t {
	uhd_rx_metadata_error_code_t code;
	bool timed, out_of_sequence;
	int64_t t;
};
struct uhd_tx_metadata_t {
	bool timed, begins, ends;
	int64_t full_s;
	double frac_s;
};
struct uhd_async_metadata_t {
	struct report report;
};
struct uhd_sensor_value_t {
	bool value;
};
struct uhd_string_vector_t {
	const char *text[4];
	size_t n;
};
struct uhd_meta_range_t {
	double first, last;
};
struct uhd_rx_streamer {
	int unused;
};
struct uhd_tx_streamer {
	int unused;
};

/* The one device. Everything in it belongs to the lock. Times are its own samples: interface samples + t0. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct uhd_double_plan plan;
	struct uhd_double_seen seen;
	double rate_hz, hz[2], gain_db[2];
	int64_t t0, now;

	bool streaming, stream_ended, late;
	int64_t stream_at;
	size_t timeouts, late_commands;
	bool out_of_sequence;
	int64_t unlocked_until;
	bool gone;

	struct packet queue[N_PACKETS];
	size_t head, n_queued, used; /* used: samples of the head already played */
	bool playing, discarding;
	int64_t at; /* where the burst under way is */
	size_t no_acks, stalls;
	bool late_burst, burst_open; /* burst_open: its end has not been sent */
	float complex air[AIR];      /* what was radiated, by its time */

	struct report reports[N_REPORTS];
	size_t report_head, n_reports;
	bool listener_busy;
	uint64_t noise;
} d = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void forget(void)
{
	for (size_t i = 0; i < d.n_queued; i++)
		free(d.queue[(d.head + i) % N_PACKETS].x);
	d.n_queued = 0;
}

void uhd_double_reset(const struct uhd_double_plan *plan)
{
	pthread_mutex_lock(&d.lock);
	forget();
	long handles = d.seen.handles;
	memset((char *)&d + offsetof(__typeof__(d), plan), 0, sizeof d - offsetof(__typeof__(d), plan));
	d.seen.handles = handles;
	d.plan = *plan;
	if (!d.plan.packet)
		d.plan.packet = PACKET;
	d.noise = 1;
	d.unlocked_until = INT64_MIN;
	pthread_mutex_unlock(&d.lock);
}

void uhd_double_look(struct uhd_double_seen *seen)
{
	pthread_mutex_lock(&d.lock);
	*seen = d.seen;
	seen->receiving = d.streaming;
	seen->transmitting = d.burst_open;
	pthread_mutex_unlock(&d.lock);
}

__attribute__((constructor)) static void plan_of_environment(void)
{
	struct uhd_double_plan plan = { 0 };
	const char *said = getenv("UHD_DOUBLE"), *loop = said ? strstr(said, "loop_db=") : NULL;
	plan.none = said && strstr(said, "devices=0");
	plan.loops = loop != NULL;
	plan.loop_db = loop ? atof(loop + 8) : 0;
	uhd_double_reset(&plan);
}

/* ---- the transmitter ---- */

static void report(uhd_async_metadata_event_code_t code, int64_t t)
{
	if (d.n_reports == N_REPORTS)
		abort();
	d.reports[(d.report_head + d.n_reports++) % N_REPORTS] = (struct report){ code, t };
	pthread_cond_broadcast(&d.changed);
}

static void acknowledge(int64_t t)
{
	if (d.no_acks)
		d.no_acks--;
	else
		report(UHD_ASYNC_METADATA_EVENT_CODE_BURST_ACK, t);
}

static void radiate(const float complex *x, size_t n)
{
	if (d.plan.radiated)
		d.plan.radiated(d.plan.arg, (uint64_t)(d.at - d.t0), x, n);
	for (size_t i = 0; i < n; i++)
		d.air[(size_t)(d.at + (int64_t)i) % AIR] = x[i];
	d.at += (int64_t)n;
	d.seen.radiated += n;
}

static void drop_head(void)
{
	free(d.queue[d.head].x);
	d.head = (d.head + 1) % N_PACKETS;
	d.n_queued--;
	d.used = 0;
}

static void stop_playing(uhd_async_metadata_event_code_t why, int64_t t)
{
	d.playing = false;
	d.discarding = true;
	report(why, t);
}

/* The head of the queue, at device time `until` at the latest: true if that moved anything. */
static bool play_head(int64_t until)
{
	struct packet *p = &d.queue[d.head];
	if (d.discarding) {
		if (p->ends) {
			d.discarding = false;
			acknowledge(until);
		}
		drop_head();
		return true;
	}
	if (!d.playing) {
		if (p->timed && p->t >= until && !d.late_burst)
			return false;
		if (p->timed && (p->t < d.now || d.late_burst)) {
			d.late_burst = false;
			stop_playing(UHD_ASYNC_METADATA_EVENT_CODE_TIME_ERROR, d.now);
			return true;
		}
		if (!p->n && p->ends && !p->begins) { /* the end of what has ended */
			acknowledge(d.now);
			drop_head();
			return true;
		}
		d.playing = true;
		d.at = p->timed ? p->t : d.now;
		d.seen.bursts++;
	}
	size_t left = p->n - d.used, n = until - d.at < (int64_t)left ? (size_t)(until - d.at) : left;
	radiate(p->x + d.used, n);
	d.used += n;
	if (d.used < p->n)
		return false;
	if (p->ends) {
		d.playing = false;
		acknowledge(d.at);
	}
	drop_head();
	return true;
}

/* Plays what is queued up to device time `until`; air that nothing is radiated into is silent. */
static void play(int64_t until)
{
	for (int64_t t = d.now; t < until; t++)
		d.air[(size_t)t % AIR] = 0;
	while (d.n_queued && play_head(until))
		;
	if (d.playing && !d.n_queued && d.at < until)
		stop_playing(UHD_ASYNC_METADATA_EVENT_CODE_UNDERFLOW, d.at);
}

/* ---- faults ---- */

static void lose_samples(size_t n)
{
	play(d.now + (int64_t)n);
	d.now += (int64_t)n;
}

/* What comes before anything else at this time; true when the receive call has its answer in *md. */
static bool fault_now(struct uhd_rx_metadata_t *md)
{
	const struct uhd_double_fault *f = &d.plan.faults[d.seen.faults_done];
	if (d.seen.faults_done == d.plan.n_faults || (int64_t)f->t + d.t0 > d.now)
		return false;
	bool answers = false;
	switch (f->type) {
	case UHD_DOUBLE_OVERFLOW:
		lose_samples(f->n);
		md->code = UHD_RX_METADATA_ERROR_CODE_OVERFLOW;
		answers = true;
		break;
	case UHD_DOUBLE_SEQUENCE:
		lose_samples(f->n);
		md->code = UHD_RX_METADATA_ERROR_CODE_OVERFLOW;
		md->out_of_sequence = true;
		answers = true;
		break;
	case UHD_DOUBLE_BAD_PACKET:
		lose_samples(d.plan.packet);
		md->code = UHD_RX_METADATA_ERROR_CODE_BAD_PACKET;
		answers = true;
		break;
	case UHD_DOUBLE_TIMEOUT:
		d.timeouts += f->n;
		break;
	case UHD_DOUBLE_STREAM_ENDS:
		d.stream_ended = true;
		d.streaming = false;
		md->code = UHD_RX_METADATA_ERROR_CODE_LATE_COMMAND;
		answers = true;
		break;
	case UHD_DOUBLE_LATE_COMMAND:
		d.late_commands += f->n;
		break;
	case UHD_DOUBLE_UNDERFLOW:
		if (!d.playing)
			return false;
		stop_playing(UHD_ASYNC_METADATA_EVENT_CODE_UNDERFLOW_IN_PACKET, d.at);
		break;
	case UHD_DOUBLE_LATE_BURST:
		d.late_burst = true;
		break;
	case UHD_DOUBLE_TX_SEQUENCE:
		if (!d.playing || !d.n_queued || d.queue[d.head].ends)
			return false;
		drop_head();
		stop_playing(UHD_ASYNC_METADATA_EVENT_CODE_SEQ_ERROR_IN_BURST, d.at);
		break;
	case UHD_DOUBLE_NO_ACK:
		d.no_acks += f->n;
		break;
	case UHD_DOUBLE_TX_STALL:
		d.stalls += f->n;
		break;
	case UHD_DOUBLE_UNLOCK:
		d.unlocked_until = d.now + (int64_t)f->n;
		break;
	case UHD_DOUBLE_DISCONNECT:
		d.gone = true;
		break;
	case UHD_DOUBLE_FAULT_TYPES:
		break;
	}
	d.seen.faults_done++;
	return answers;
}

/* ---- receiving ---- */

static double noise(void)
{
	double sum = 0;
	for (int i = 0; i < 4; i++) {
		d.noise = d.noise * 6364136223846793005u + 1442695040888963407u;
		sum += (double)(d.noise >> 11) * 0x1p-53 - 0.5;
	}
	return sum * 1.7320508 * 7.07e-5; /* -80 dBFS in both components together */
}

static float complex converted(float complex v)
{
	const float most = 32767.0f / 32768.0f;
	return fminf(fmaxf(crealf(v), -most), most) + fminf(fmaxf(cimagf(v), -most), most) * I;
}

static void fill_packet(float complex *x, size_t n)
{
	double gain = pow(10, d.gain_db[0] / 20), amplitude = gain * pow(10, (d.plan.loop_db + d.gain_db[1]) / 20);
	for (size_t i = 0; i < n; i++) {
		int64_t t = d.now + (int64_t)i;
		if (d.plan.loops)
			x[i] = converted(
			        (float complex)(amplitude * d.air[(size_t)t % AIR] + gain * (noise() + noise() * I)));
		else
			x[i] = uhd_double_sample((uint64_t)(t - d.t0));
	}
}

/* The listener has taken all reports and put them down: what is told next has an order. */
static void let_listener_listen(void)
{
	struct timespec end;
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 2;
	while ((d.n_reports || d.listener_busy) && !pthread_cond_timedwait(&d.changed, &d.lock, &end))
		;
}

static void receive(struct uhd_rx_metadata_t *md, float complex *x, size_t len, size_t *n)
{
	if (d.stream_ended || d.timeouts) {
		d.timeouts -= d.timeouts > 0;
		md->code = d.late ? UHD_RX_METADATA_ERROR_CODE_LATE_COMMAND : UHD_RX_METADATA_ERROR_CODE_TIMEOUT;
		d.late = false;
		return;
	}
	if (d.now < d.stream_at)
		lose_samples((size_t)(d.stream_at - d.now));
	*n = len < d.plan.packet ? len : d.plan.packet;
	play(d.now + (int64_t)*n);
	fill_packet(x, *n);
	md->timed = true;
	md->t = d.now;
	d.now += (int64_t)*n;
}

uhd_error uhd_rx_streamer_recv(uhd_rx_streamer_handle h, void **buffs, size_t samps_per_buff,
                               uhd_rx_metadata_handle *md, double timeout, bool one_packet, size_t *items_recvd)
{
	(void)h;
	(void)timeout;
	(void)one_packet;
	pthread_mutex_lock(&d.lock);
	**md = (struct uhd_rx_metadata_t){ .code = UHD_RX_METADATA_ERROR_CODE_NONE };
	*items_recvd = 0;
	d.seen.n_calls++;
	bool answered = d.streaming && d.now >= d.stream_at && fault_now(*md);
	if (!answered && !d.gone)
		receive(*md, buffs[0], samps_per_buff, items_recvd);
	let_listener_listen();
	bool gone = d.gone;
	pthread_mutex_unlock(&d.lock);
	return gone ? UHD_ERROR_IO : UHD_ERROR_NONE;
}

uhd_error uhd_rx_streamer_issue_stream_cmd(uhd_rx_streamer_handle h, const uhd_stream_cmd_t *cmd)
{
	(void)h;
	pthread_mutex_lock(&d.lock);
	bool starts = cmd->stream_mode == UHD_STREAM_MODE_START_CONTINUOUS;
	int64_t at = llround((double)cmd->time_spec_full_secs * d.rate_hz + cmd->time_spec_frac_secs * d.rate_hz);
	if (starts && !d.t0)
		d.t0 = at;
	d.late = starts && (d.late_commands > 0 || at < d.now);
	d.late_commands -= d.late_commands > 0;
	d.stream_ended = d.late;
	d.streaming = starts && !d.late;
	d.stream_at = at;
	bool gone = d.gone;
	pthread_mutex_unlock(&d.lock);
	return gone ? UHD_ERROR_IO : UHD_ERROR_NONE;
}

/* ---- sending ---- */

uhd_error uhd_tx_streamer_send(uhd_tx_streamer_handle h, const void **buffs, size_t samps_per_buff,
                               uhd_tx_metadata_handle *md, double timeout, size_t *items_sent)
{
	(void)h;
	(void)timeout;
	pthread_mutex_lock(&d.lock);
	bool stalls = d.stalls > 0 && samps_per_buff;
	*items_sent = stalls ? 0 : samps_per_buff;
	d.stalls -= stalls;
	if (!stalls && !d.gone && d.n_queued < N_PACKETS) {
		struct uhd_tx_metadata_t *m = *md;
		struct packet *p = &d.queue[(d.head + d.n_queued++) % N_PACKETS];
		*p = (struct packet){ .n = samps_per_buff, .timed = m->timed, .begins = m->begins, .ends = m->ends };
		p->t = llround((double)m->full_s * d.rate_hz + m->frac_s * d.rate_hz);
		p->x = malloc(samps_per_buff * sizeof *p->x + 1);
		memcpy(p->x, buffs[0], samps_per_buff * sizeof *p->x);
		d.burst_open = !m->ends;
	}
	bool gone = d.gone;
	pthread_mutex_unlock(&d.lock);
	return gone ? UHD_ERROR_IO : UHD_ERROR_NONE;
}

/* Comes back after a millisecond of waiting, whatever the timeout: the device's time is not the caller's. */
uhd_error uhd_tx_streamer_recv_async_msg(uhd_tx_streamer_handle h, uhd_async_metadata_handle *md, double timeout,
                                         bool *valid)
{
	(void)h;
	(void)timeout;
	struct timespec end;
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_nsec += 1000000;
	end.tv_sec += end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	pthread_mutex_lock(&d.lock);
	d.listener_busy = false;
	pthread_cond_broadcast(&d.changed);
	while (!d.n_reports && !pthread_cond_timedwait(&d.changed, &d.lock, &end))
		;
	*valid = d.n_reports > 0;
	if (*valid) {
		(*md)->report = d.reports[d.report_head];
		d.report_head = (d.report_head + 1) % N_REPORTS;
		d.n_reports--;
		d.listener_busy = true;
	}
	pthread_mutex_unlock(&d.lock);
	return UHD_ERROR_NONE;
}

/* ---- handles ---- */

static void *make(size_t size)
{
	pthread_mutex_lock(&d.lock);
	d.seen.handles++;
	pthread_mutex_unlock(&d.lock);
	return calloc(1, size);
}

static uhd_error unmake(void *handle)
{
	pthread_mutex_lock(&d.lock);
	d.seen.handles--;
	pthread_mutex_unlock(&d.lock);
	free(handle);
	return UHD_ERROR_NONE;
}

#define HANDLE(name, handle)                                                                                           \
	uhd_error name##_make(handle *h)                                                                               \
	{                                                                                                              \
		*h = make(sizeof **h);                                                                                 \
		return UHD_ERROR_NONE;                                                                                 \
	}                                                                                                              \
	uhd_error name##_free(handle *h)                                                                               \
	{                                                                                                              \
		uhd_error rc = unmake(*h);                                                                             \
		*h = NULL;                                                                                             \
		return rc;                                                                                             \
	}
HANDLE(uhd_rx_streamer, uhd_rx_streamer_handle)
HANDLE(uhd_tx_streamer, uhd_tx_streamer_handle)
HANDLE(uhd_rx_metadata, uhd_rx_metadata_handle)
HANDLE(uhd_async_metadata, uhd_async_metadata_handle)
HANDLE(uhd_sensor_value, uhd_sensor_value_handle)
HANDLE(uhd_string_vector, uhd_string_vector_handle)
HANDLE(uhd_meta_range, uhd_meta_range_handle)

uhd_error uhd_tx_metadata_make(uhd_tx_metadata_handle *h, bool has_time_spec, int64_t full_secs, double frac_secs,
                               bool start_of_burst, bool end_of_burst)
{
	*h = make(sizeof **h);
	**h = (struct uhd_tx_metadata_t){ has_time_spec, start_of_burst, end_of_burst, full_secs, frac_secs };
	return UHD_ERROR_NONE;
}

uhd_error uhd_tx_metadata_free(uhd_tx_metadata_handle *h)
{
	return unmake(*h);
}

uhd_error uhd_usrp_make(uhd_usrp_handle *h, const char *args)
{
	(void)args;
	*h = make(sizeof **h);
	return UHD_ERROR_NONE;
}

uhd_error uhd_usrp_free(uhd_usrp_handle *h)
{
	pthread_mutex_lock(&d.lock);
	forget();
	pthread_mutex_unlock(&d.lock);
	return unmake(*h);
}

/* ---- what is asked of metadata, lists, sensors ---- */

static void seconds(int64_t t, int64_t *full_s, double *frac_s)
{
	double whole = floor((double)t / d.rate_hz);
	*full_s = (int64_t)whole;
	*frac_s = ((double)t - whole * d.rate_hz) / d.rate_hz;
}

uhd_error uhd_rx_metadata_error_code(uhd_rx_metadata_handle h, uhd_rx_metadata_error_code_t *code)
{
	*code = h->code;
	return UHD_ERROR_NONE;
}

uhd_error uhd_rx_metadata_has_time_spec(uhd_rx_metadata_handle h, bool *is)
{
	*is = h->timed;
	return UHD_ERROR_NONE;
}

uhd_error uhd_rx_metadata_time_spec(uhd_rx_metadata_handle h, int64_t *full_s, double *frac_s)
{
	seconds(h->t, full_s, frac_s);
	return UHD_ERROR_NONE;
}

uhd_error uhd_async_metadata_event_code(uhd_async_metadata_handle h, uhd_async_metadata_event_code_t *code)
{
	*code = h->report.code;
	return UHD_ERROR_NONE;
}

uhd_error uhd_async_metadata_has_time_spec(uhd_async_metadata_handle h, bool *is)
{
	(void)h;
	*is = true;
	return UHD_ERROR_NONE;
}

uhd_error uhd_async_metadata_time_spec(uhd_async_metadata_handle h, int64_t *full_s, double *frac_s)
{
	seconds(h->report.t, full_s, frac_s);
	return UHD_ERROR_NONE;
}

uhd_error uhd_string_vector_size(uhd_string_vector_handle h, size_t *n)
{
	*n = h->n;
	return UHD_ERROR_NONE;
}

uhd_error uhd_string_vector_at(uhd_string_vector_handle h, size_t i, char *text, size_t len)
{
	snprintf(text, len, "%s", h->text[i]);
	return i < h->n ? UHD_ERROR_NONE : UHD_ERROR_INDEX;
}

uhd_error uhd_sensor_value_to_bool(uhd_sensor_value_handle h, bool *value)
{
	*value = h->value;
	return UHD_ERROR_NONE;
}

uhd_error uhd_meta_range_start(uhd_meta_range_handle h, double *v)
{
	*v = h->first;
	return UHD_ERROR_NONE;
}

uhd_error uhd_meta_range_stop(uhd_meta_range_handle h, double *v)
{
	*v = h->last;
	return UHD_ERROR_NONE;
}

uhd_error uhd_usrp_find(const char *args, uhd_string_vector_handle *list)
{
	(void)args;
	**list = (struct uhd_string_vector_t){ { "type=double,name=,serial=0000001,product=B210" },
		                               d.plan.none ? 0 : 1 };
	return UHD_ERROR_NONE;
}

uhd_error uhd_get_last_error(char *text, size_t len)
{
	snprintf(text, len, "%s", d.gone ? "IOError: the device is gone" : "None");
	return UHD_ERROR_NONE;
}

/* ---- control ---- */

static uhd_error alive(void)
{
	pthread_mutex_lock(&d.lock);
	bool gone = d.gone;
	pthread_mutex_unlock(&d.lock);
	return gone ? UHD_ERROR_IO : UHD_ERROR_NONE;
}

uhd_error uhd_rx_streamer_max_num_samps(uhd_rx_streamer_handle h, size_t *n)
{
	(void)h;
	*n = d.plan.packet;
	return alive();
}

uhd_error uhd_tx_streamer_max_num_samps(uhd_tx_streamer_handle h, size_t *n)
{
	(void)h;
	*n = d.plan.packet;
	return alive();
}

uhd_error uhd_usrp_get_rx_stream(uhd_usrp_handle h, uhd_stream_args_t *args, uhd_rx_streamer_handle out)
{
	(void)h;
	(void)out;
	return strcmp(args->cpu_format, "fc32") || strcmp(args->otw_format, "sc16") ? UHD_ERROR_VALUE : alive();
}

uhd_error uhd_usrp_get_tx_stream(uhd_usrp_handle h, uhd_stream_args_t *args, uhd_tx_streamer_handle out)
{
	(void)out;
	return strcmp(args->args, "underflow_policy=next_burst") ? UHD_ERROR_VALUE
	                                                         : uhd_usrp_get_rx_stream(h, args, NULL);
}

uhd_error uhd_usrp_get_master_clock_rate(uhd_usrp_handle h, size_t mboard, double *hz)
{
	(void)h;
	(void)mboard;
	*hz = MASTER_CLOCK_HZ;
	return alive();
}

uhd_error uhd_usrp_get_mboard_name(uhd_usrp_handle h, size_t mboard, char *name, size_t len)
{
	(void)h;
	(void)mboard;
	snprintf(name, len, "B210 (double)");
	return alive();
}

uhd_error uhd_usrp_get_time_now(uhd_usrp_handle h, size_t mboard, int64_t *full_s, double *frac_s)
{
	(void)h;
	(void)mboard;
	pthread_mutex_lock(&d.lock);
	seconds(d.now, full_s, frac_s);
	pthread_mutex_unlock(&d.lock);
	return alive();
}

uhd_error uhd_usrp_set_time_now(uhd_usrp_handle h, int64_t full_s, double frac_s, size_t mboard)
{
	(void)h;
	(void)mboard;
	pthread_mutex_lock(&d.lock);
	d.now = llround(((double)full_s + frac_s) * d.rate_hz);
	pthread_mutex_unlock(&d.lock);
	return alive();
}

uhd_error uhd_usrp_set_time_unknown_pps(uhd_usrp_handle h, int64_t full_s, double frac_s)
{
	return uhd_usrp_set_time_now(h, full_s, frac_s, 0);
}

static uhd_error known_source(const char *name)
{
	return strcmp(name, "internal") && strcmp(name, "external") && strcmp(name, "gpsdo") ? UHD_ERROR_VALUE
	                                                                                     : alive();
}

uhd_error uhd_usrp_set_clock_source(uhd_usrp_handle h, const char *name, size_t mboard)
{
	(void)h;
	(void)mboard;
	return known_source(name);
}

uhd_error uhd_usrp_set_time_source(uhd_usrp_handle h, const char *name, size_t mboard)
{
	return uhd_usrp_set_clock_source(h, name, mboard);
}

uhd_error uhd_usrp_get_mboard_sensor_names(uhd_usrp_handle h, size_t mboard, uhd_string_vector_handle *out)
{
	(void)h;
	(void)mboard;
	**out = (struct uhd_string_vector_t){ { "ref_locked", "gps_locked" }, 2 };
	return alive();
}

uhd_error uhd_usrp_get_clock_sources(uhd_usrp_handle h, size_t mboard, uhd_string_vector_handle *out)
{
	(void)h;
	(void)mboard;
	**out = (struct uhd_string_vector_t){ { "internal", "external", "gpsdo" }, 3 };
	return alive();
}

uhd_error uhd_usrp_get_time_sources(uhd_usrp_handle h, size_t mboard, uhd_string_vector_handle *out)
{
	return uhd_usrp_get_clock_sources(h, mboard, out);
}

uhd_error uhd_usrp_get_mboard_sensor(uhd_usrp_handle h, const char *name, size_t mboard, uhd_sensor_value_handle *out)
{
	(void)h;
	(void)name;
	(void)mboard;
	pthread_mutex_lock(&d.lock);
	(*out)->value = !d.plan.never_locks && d.now >= d.unlocked_until;
	pthread_mutex_unlock(&d.lock);
	return alive();
}

/* Both directions, of the same shapes. */
#define DIRECTION(dir, at)                                                                                             \
	uhd_error uhd_usrp_get_##dir##_num_channels(uhd_usrp_handle h, size_t *n)                                      \
	{                                                                                                              \
		(void)h;                                                                                               \
		*n = 1;                                                                                                \
		return alive();                                                                                        \
	}                                                                                                              \
	uhd_error uhd_usrp_set_##dir##_rate(uhd_usrp_handle h, double rate, size_t chan)                               \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)chan;                                                                                            \
		d.rate_hz = d.plan.rate_hz > 0 ? d.plan.rate_hz : rate;                                                \
		return alive();                                                                                        \
	}                                                                                                              \
	uhd_error uhd_usrp_get_##dir##_rate(uhd_usrp_handle h, size_t chan, double *rate)                              \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)chan;                                                                                            \
		*rate = d.rate_hz;                                                                                     \
		return alive();                                                                                        \
	}                                                                                                              \
	uhd_error uhd_usrp_set_##dir##_freq(uhd_usrp_handle h, uhd_tune_request_t *r, size_t chan,                     \
	                                    uhd_tune_result_t *result)                                                 \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)chan;                                                                                            \
		(void)result;                                                                                          \
		d.hz[at] = fmin(fmax(r->target_freq, 50e6), 6e9);                                                      \
		return alive();                                                                                        \
	}                                                                                                              \
	uhd_error uhd_usrp_get_##dir##_freq(uhd_usrp_handle h, size_t chan, double *hz)                                \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)chan;                                                                                            \
		*hz = d.hz[at];                                                                                        \
		return alive();                                                                                        \
	}                                                                                                              \
	uhd_error uhd_usrp_get_##dir##_freq_range(uhd_usrp_handle h, size_t chan, uhd_meta_range_handle out)           \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)chan;                                                                                            \
		*out = (struct uhd_meta_range_t){ 50e6, 6e9 };                                                         \
		return alive();                                                                                        \
	}                                                                                                              \
	uhd_error uhd_usrp_set_##dir##_gain(uhd_usrp_handle h, double gain, size_t chan, const char *name)             \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)chan;                                                                                            \
		(void)name;                                                                                            \
		pthread_mutex_lock(&d.lock);                                                                           \
		d.gain_db[at] = round(gain * 4) / 4;                                                                   \
		pthread_mutex_unlock(&d.lock);                                                                         \
		return alive();                                                                                        \
	}                                                                                                              \
	uhd_error uhd_usrp_get_##dir##_gain(uhd_usrp_handle h, size_t chan, const char *name, double *gain)            \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)chan;                                                                                            \
		(void)name;                                                                                            \
		*gain = d.gain_db[at];                                                                                 \
		return alive();                                                                                        \
	}                                                                                                              \
	uhd_error uhd_usrp_get_##dir##_gain_range(uhd_usrp_handle h, const char *name, size_t chan,                    \
	                                          uhd_meta_range_handle out)                                           \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)chan;                                                                                            \
		(void)name;                                                                                            \
		*out = (struct uhd_meta_range_t){ 0, GAIN_MAX_DB };                                                    \
		return alive();                                                                                        \
	}                                                                                                              \
	uhd_error uhd_usrp_set_##dir##_bandwidth(uhd_usrp_handle h, double hz, size_t chan)                            \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)hz;                                                                                              \
		(void)chan;                                                                                            \
		return alive();                                                                                        \
	}                                                                                                              \
	uhd_error uhd_usrp_set_##dir##_antenna(uhd_usrp_handle h, const char *name, size_t chan)                       \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)chan;                                                                                            \
		return strcmp(name, "TX/RX") && strcmp(name, "RX2") ? UHD_ERROR_VALUE : alive();                       \
	}                                                                                                              \
	uhd_error uhd_usrp_get_##dir##_antenna(uhd_usrp_handle h, size_t chan, char *name, size_t len)                 \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)chan;                                                                                            \
		snprintf(name, len, "TX/RX");                                                                          \
		return alive();                                                                                        \
	}                                                                                                              \
	uhd_error uhd_usrp_get_##dir##_antennas(uhd_usrp_handle h, size_t chan, uhd_string_vector_handle *out)         \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)chan;                                                                                            \
		**out = (struct uhd_string_vector_t){ { "TX/RX", "RX2" }, 2 };                                         \
		return alive();                                                                                        \
	}                                                                                                              \
	uhd_error uhd_usrp_get_##dir##_sensor_names(uhd_usrp_handle h, size_t chan, uhd_string_vector_handle *out)     \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)chan;                                                                                            \
		**out = (struct uhd_string_vector_t){ { "lo_locked" }, 1 };                                            \
		return alive();                                                                                        \
	}                                                                                                              \
	uhd_error uhd_usrp_get_##dir##_sensor(uhd_usrp_handle h, const char *name, size_t chan,                        \
	                                      uhd_sensor_value_handle *out)                                            \
	{                                                                                                              \
		(void)h;                                                                                               \
		(void)name;                                                                                            \
		(void)chan;                                                                                            \
		(*out)->value = !d.plan.never_locks;                                                                   \
		return alive();                                                                                        \
	}
DIRECTION(rx, 0)
DIRECTION(tx, 1)
