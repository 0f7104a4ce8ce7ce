/* radio.h - the one radio interface: samples at times, gains, events, counters.
 *
 * A node (base station or device) talks to whatever carries its samples through `struct radio`. Backends make one
 * (radio/ether.h: in-process medium with channel models); from then on only this header is needed:
 *
 *     struct radio_info info;
 *     radio_get_info(r, &info);
 *     radio_recv(r, rx, 3840, t);                // samples t .. t+3839 of this node's own clock
 *     radio_send(r, tx, 3840, t + 4 * 3840 - 5); // any number, at any sample: here a timing advance of 5
 *
 * Time is a uint64_t count of samples of this node's own clock since its start, the same count for both directions.
 * Receiving defines "now": the end of the latest receive. What is sent must lie at or after now; what is never sent
 * is silence. Receive and transmit carriers are separate (FDD): both directions run at once.
 *
 * Amplitude 1.0 is full scale. What that is in dBm is in radio_info, for the gains set at the time of asking:
 *   tx_full_scale_dbm  power radiated by a constant envelope of amplitude 1.0
 *   rx_full_scale_dbm  power at the antenna that reads as a constant envelope of amplitude 1.0
 * so a block of mean power P (mean of |x|^2) is 10 log10(P) + full scale dBm.
 *
 * One thread at a time per radio; different radios may be used by different threads.
 */
#ifndef RADIO_RADIO_H
#define RADIO_RADIO_H

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

enum radio_event_type {
	RADIO_OVERFLOW,  /* received samples were lost before they were read (hardware backends) */
	RADIO_UNDERFLOW, /* the transmitter ran dry inside a burst (hardware backends) */
	RADIO_LATE,      /* a send began before now, or before the end of an earlier send: all or part not sent */
	RADIO_PAST,      /* a receive asked for samples older than the history kept: zeros were returned */
	RADIO_REFUSED,   /* a send held samples that are not finite: nothing sent */
	RADIO_UNLOCKED, /* an external clock is gone: times and carriers are the device's own from here (hardware backends) */
	RADIO_LOST, /* the device, or the peer behind it, is gone: every call is -EIO from here on */
	RADIO_EVENT_TYPES
};

struct radio_event {
	enum radio_event_type type;
	uint64_t t_samples; /* first sample concerned, own clock */
};

/* Called from inside the radio_recv or radio_send (hardware: possibly another thread) that met the event. It must not
 * block and must not call the radio. */
typedef void radio_event_fn(void *arg, const struct radio_event *event);

struct radio_info {
	double rate_hz;      /* samples a second, nominal */
	double tx_hz, rx_hz; /* carrier centre frequencies, nominal */
	double tx_gain_db, tx_gain_min_db, tx_gain_max_db;
	double rx_gain_db, rx_gain_min_db, rx_gain_max_db;
	double tx_full_scale_dbm, rx_full_scale_dbm; /* at the present gains */
};

struct radio_stats {
	uint64_t samples_received;
	uint64_t samples_sent;    /* accepted for transmission */
	uint64_t samples_clipped; /* sent samples with |re| > 1 or |im| > 1: that component was clipped to +-1 */
	uint64_t events[RADIO_EVENT_TYPES]; /* by type */
	uint64_t samples_overloaded; /* received samples of which a component was beyond the converter's full scale */
};

struct radio;

/* What a backend provides. Arguments are already checked by the radio_* functions below; meanings are theirs. */
struct radio_ops {
	int (*recv)(struct radio *r, float complex *x, size_t n, uint64_t t_samples);
	int (*send)(struct radio *r, const float complex *x, size_t n, uint64_t t_samples);
	int (*set_rx_gain)(struct radio *r, double gain_db);
	int (*set_tx_gain)(struct radio *r, double gain_db);
	void (*get_info)(const struct radio *r, struct radio_info *info);
	void (*destroy)(struct radio *r);
};

/* First member of every backend's own struct. Users do not touch the fields. */
struct radio {
	const struct radio_ops *ops;
	radio_event_fn *on_event;
	void *event_arg;
	struct radio_stats stats;
};

/* Receive x[0..n-1] = samples t_samples .. t_samples+n-1. Waits until they have been (ether: computes them at once).
 * Any n (0 does nothing), any time, again and in any order as far back as the backend keeps history.
 * Returns 0; -EINVAL for a NULL pointer or a time that overflows; -ETIME if it begins before the history kept: counted,
 * event RADIO_PAST, x is zeros; a backend's own errors (hardware lost: -EIO; a recording at its end: -ENODATA). */
int radio_recv(struct radio *r, float complex *x, size_t n, uint64_t t_samples);

/* Transmit x[0..n-1] at samples t_samples .. t_samples+n-1. Copies x. Sends must be in order of time.
 * Returns 0; -EINVAL for a NULL pointer, a time that overflows or a sample that is not finite (event RADIO_REFUSED,
 * nothing sent); -ETIME if it begins before now (the end of the latest receive) or wholly before the end of an earlier
 * send: event RADIO_LATE, nothing sent. If only its first samples overlap an earlier send (a slot moved early by the
 * tracker), those are dropped, the rest is sent, event RADIO_LATE, returns 0. */
int radio_send(struct radio *r, const float complex *x, size_t n, uint64_t t_samples);

/* Gains count from the next recv or send. Returns 0, or -EINVAL outside the range in radio_info (nothing changes). */
int radio_set_rx_gain(struct radio *r, double gain_db);
int radio_set_tx_gain(struct radio *r, double gain_db);

void radio_get_info(const struct radio *r, struct radio_info *info);
void radio_get_stats(const struct radio *r, struct radio_stats *stats);

/* One callback per radio; NULL for none. */
void radio_on_event(struct radio *r, radio_event_fn *fn, void *arg);

/* Frees the radio (NULL is fine). Radios of an ether belong to the ether: for them this does nothing. */
void radio_destroy(struct radio *r);

/* For backends: count the event and tell the callback. */
void radio_raise(struct radio *r, enum radio_event_type type, uint64_t t_samples);

#endif
