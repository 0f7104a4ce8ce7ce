#include "radio/uhd_tx.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

static const double SEND_TIMEOUT_S = 0.02;
static const double LISTEN_TIMEOUT_S = 0.1; /* how long stopping may take */
static const double ACK_S = 0.01;           /* of sample time */
enum { N_REPORTS = 256 };

enum tx_state { IDLE, IN_BURST, WAIT_ACK };

struct report {
	uhd_async_metadata_event_code_t code;
	bool timed;
	int64_t t;
};

struct uhd_tx {
	uhd_tx_streamer_handle streamer;
	uhd_tx_metadata_handle within, at_end;
	uhd_async_metadata_handle async;
	struct uhd_time time;
	struct radio *owner;
	float complex *packet; /* max_samps */
	size_t max_samps, spare;

	enum tx_state state;
	uint64_t begin, end; /* of the latest burst, so far */
	uint64_t waits_since;
	unsigned acks_due;
	bool lost;

	pthread_t listener;
	bool listening;
	atomic_bool stop;
	struct report reports[N_REPORTS]; /* one writer, the listener; one reader, the owner */
	atomic_uint written, read;
};

/* A full ring drops the report: the owner has long stopped looking. */
static void *listen(void *arg)
{
	struct uhd_tx *tx = arg;
	while (!atomic_load_explicit(&tx->stop, memory_order_relaxed)) {
		bool valid = false;
		struct report r = { 0 };
		int64_t full_s = 0;
		double frac_s = 0;
		if (uhd_tx_streamer_recv_async_msg(tx->streamer, &tx->async, LISTEN_TIMEOUT_S, &valid))
			break;
		unsigned at = atomic_load_explicit(&tx->written, memory_order_relaxed);
		if (!valid || at - atomic_load_explicit(&tx->read, memory_order_acquire) == N_REPORTS ||
		    uhd_async_metadata_event_code(tx->async, &r.code) ||
		    uhd_async_metadata_has_time_spec(tx->async, &r.timed) ||
		    uhd_async_metadata_time_spec(tx->async, &full_s, &frac_s))
			continue;
		r.t = uhd_time_samples(&tx->time, full_s, frac_s);
		tx->reports[at % N_REPORTS] = r;
		atomic_store_explicit(&tx->written, at + 1, memory_order_release);
	}
	return NULL;
}

struct uhd_tx *uhd_tx_create(uhd_tx_streamer_handle streamer, const struct uhd_time *time, size_t spare,
                             struct radio *owner)
{
	struct uhd_tx *tx = calloc(1, sizeof *tx);
	if (!tx) {
		uhd_tx_streamer_free(&streamer);
		errno = ENOMEM;
		return NULL;
	}
	*tx = (struct uhd_tx){ .streamer = streamer, .time = *time, .spare = spare, .owner = owner };
	int rc = 0;
	if (uhd_tx_streamer_max_num_samps(streamer, &tx->max_samps) || !tx->max_samps ||
	    uhd_tx_metadata_make(&tx->within, false, 0, 0, false, false) ||
	    uhd_tx_metadata_make(&tx->at_end, false, 0, 0, false, true) || uhd_async_metadata_make(&tx->async))
		rc = EIO;
	tx->packet = calloc(tx->max_samps + 1, sizeof *tx->packet);
	if (!rc && !tx->packet)
		rc = ENOMEM;
	if (!rc)
		rc = pthread_create(&tx->listener, NULL, listen, tx);
	tx->listening = !rc;
	if (rc) {
		uhd_tx_free(tx);
		errno = rc;
		return NULL;
	}
	return tx;
}

/* An empty packet. What the device makes of it comes as an acknowledgement. */
static void end_burst(struct uhd_tx *tx, enum tx_state then, uint64_t now)
{
	const void *buffers[1] = { tx->packet };
	size_t sent;
	if (uhd_tx_streamer_send(tx->streamer, buffers, 0, &tx->at_end, SEND_TIMEOUT_S, &sent))
		tx->lost = true;
	tx->acks_due++;
	tx->state = then;
	tx->waits_since = now;
}

/* A report may be about a burst that has already ended: to end the one under way for it costs little, to miss one would silence a burst
 * without end. */
static void heed(struct uhd_tx *tx, const struct report *r, uint64_t now)
{
	enum radio_event_type type = RADIO_UNDERFLOW;
	switch (r->code) {
	case UHD_ASYNC_METADATA_EVENT_CODE_BURST_ACK:
		tx->acks_due -= tx->acks_due > 0;
		return;
	case UHD_ASYNC_METADATA_EVENT_CODE_TIME_ERROR:
		type = RADIO_LATE;
		break;
	case UHD_ASYNC_METADATA_EVENT_CODE_UNDERFLOW:
	case UHD_ASYNC_METADATA_EVENT_CODE_UNDERFLOW_IN_PACKET:
	case UHD_ASYNC_METADATA_EVENT_CODE_SEQ_ERROR:
	case UHD_ASYNC_METADATA_EVENT_CODE_SEQ_ERROR_IN_BURST:
		break;
	default:
		return;
	}
	radio_raise(tx->owner, type, r->timed && r->t > 0 ? (uint64_t)r->t : tx->begin);
	if (tx->state == IN_BURST)
		end_burst(tx, WAIT_ACK, now);
}

static void hear(struct uhd_tx *tx, uint64_t now)
{
	unsigned at = atomic_load_explicit(&tx->read, memory_order_relaxed);
	while (at != atomic_load_explicit(&tx->written, memory_order_acquire)) {
		heed(tx, &tx->reports[at % N_REPORTS], now);
		atomic_store_explicit(&tx->read, ++at, memory_order_release);
	}
	bool waited = (double)(now - tx->waits_since) >= ACK_S * tx->time.rate_hz;
	if (tx->state == WAIT_ACK && (!tx->acks_due || waited)) {
		tx->acks_due = 0;
		tx->state = IDLE;
	}
}

static float clip(float v)
{
	return v > 1 ? 1 : v < -1 ? -1 : v;
}

static void clip_into_packet(struct uhd_tx *tx, const float complex *x, size_t n)
{
	const float *v = (const float *)x;
	float *p = (float *)tx->packet;
	uint64_t clipped = 0;
	for (size_t i = 0; i < n; i++) {
		p[2 * i] = clip(v[2 * i]);
		p[2 * i + 1] = clip(v[2 * i + 1]);
		clipped += (p[2 * i] != v[2 * i]) | (p[2 * i + 1] != v[2 * i + 1]);
	}
	tx->owner->stats.samples_clipped += clipped;
}

/* The first packet of a burst has metadata of its own: UHD's C interface has no way to set a time in what exists. */
static int send_packet(struct uhd_tx *tx, size_t n, uint64_t t)
{
	const void *buffers[1] = { tx->packet };
	uhd_tx_metadata_handle first = NULL;
	size_t sent = 0;
	int rc = 0;
	if (tx->state == IDLE) {
		int64_t full_s;
		double frac_s;
		uhd_time_device(&tx->time, t, &full_s, &frac_s);
		rc = uhd_tx_metadata_make(&first, true, full_s, frac_s, true, false);
		tx->begin = t;
		tx->state = IN_BURST;
	}
	rc = rc || uhd_tx_streamer_send(tx->streamer, buffers, n, first ? &first : &tx->within, SEND_TIMEOUT_S, &sent);
	if (first)
		uhd_tx_metadata_free(&first);
	tx->end = t + sent;
	tx->owner->stats.samples_sent += sent;
	return rc ? -EIO : sent < n ? -ETIME : 0;
}

int uhd_tx_send(struct uhd_tx *tx, const float complex *x, size_t n, uint64_t t, uint64_t now)
{
	hear(tx, now);
	if (tx->lost)
		return -EIO;
	if (t < tx->end)
		radio_raise(tx->owner, RADIO_LATE, t);
	size_t over = t < tx->end ? (size_t)(tx->end - t < n ? tx->end - t : n) : 0;
	if (t < now || over == n || tx->state == WAIT_ACK) {
		if (!over)
			radio_raise(tx->owner, RADIO_LATE, t);
		return -ETIME;
	}
	if (tx->state == IN_BURST && t > tx->end)
		end_burst(tx, IDLE, now);
	for (size_t i = over; i < n && !tx->lost;) {
		size_t piece = n - i < tx->max_samps ? n - i : tx->max_samps;
		clip_into_packet(tx, x + i, piece);
		int rc = send_packet(tx, piece, t + i);
		if (rc == -EIO)
			tx->lost = true;
		if (rc == -ETIME) { /* the device takes no more: begin anew once it does */
			radio_raise(tx->owner, RADIO_UNDERFLOW, tx->end);
			end_burst(tx, WAIT_ACK, now);
			return rc;
		}
		i += piece;
	}
	return tx->lost ? -EIO : 0;
}

void uhd_tx_turn(struct uhd_tx *tx, uint64_t now)
{
	hear(tx, now);
	if (tx->state == IN_BURST && !tx->lost && tx->end < now + tx->spare)
		end_burst(tx, IDLE, now);
}

void uhd_tx_free(struct uhd_tx *tx)
{
	if (!tx)
		return;
	if (tx->state == IN_BURST && !tx->lost)
		end_burst(tx, IDLE, tx->end);
	if (tx->listening) {
		atomic_store(&tx->stop, true);
		pthread_join(tx->listener, NULL);
	}
	if (tx->within)
		uhd_tx_metadata_free(&tx->within);
	if (tx->at_end)
		uhd_tx_metadata_free(&tx->at_end);
	if (tx->async)
		uhd_async_metadata_free(&tx->async);
	uhd_tx_streamer_free(&tx->streamer);
	free(tx->packet);
	free(tx);
}
