/* phy_link_inner.h - what the two directions of phy_link.h share: for phy_link*.c alone. */
#ifndef TESTBED_PHY_LINK_INNER_H
#define TESTBED_PHY_LINK_INNER_H

#include "phy/dl.h"
#include "phy/layout.h"
#include "phy/ul.h"
#include "radio/ring.h"
#include "testbed/phy_air.h"
#include "testbed/phy_link.h"

enum { PHY_LINK_CELL = PHY_LINK_CELL_ID };

/* A block under way, one for each slot number mod PHY_LINK_PROCESSES: that is the round trip. */
struct phy_link_process {
	uint8_t *sent, *got;
	size_t n_bytes;
	struct tb_soft *soft;
	uint64_t slot; /* of the latest transmission */
	struct grant grant;
	unsigned n_tx;
	bool open;  /* to be repeated if it can be */
	bool heard; /* the receiver has dealt with the latest transmission */
	bool scored, in_sync_slot;
};

/* Of one device. */
struct phy_link_station {
	struct phy_link_process process[PHY_LINK_PROCESSES];
	struct rb_set rbs;
	size_t n_followed, n_scored; /* slots */
	double gain_db;              /* that makes the energy of its REs that of REs of unit amplitude; negative */
	double spread_db;            /* its SNR above that of the point */
	uint8_t comb_boost;          /* uplink: log2 */
	double energy_db[DCI_BOOST_MAX + 1]; /* of its used REs over that of data REs, by boost; downlink: the first */
	bool over;
};

struct phy_link {
	struct phy_link_config config;
	struct layout *layout;
	double amplitude; /* of a data RE */
	double noise_var; /* of the run */
	const struct phy_link_point *point;
	uint64_t random; /* state of the data's generator */
	struct phy_link_station station[PHY_DEVICES_MAX];
	struct phy_link_counts *counts; /* of the run */
	float complex *sent, *received; /* slot_len */
	void (*look)(void *arg, const struct phy_link_look *look);
	void *look_arg;
	struct phy_link_dl *dl; /* one of the two */
	struct phy_link_ul *ul;
};

/* Boost and gain of every device at a point of that SNR. */
void phy_link_set_gains(struct phy_link *l, double snr_db);

/* The block to send in that slot: a new one, or the process's again. */
struct phy_link_process *phy_link_next_block(struct phy_link *l, size_t device, uint64_t slot, size_t n_bytes);

/* The receiver follows the device through one more slot. Returns whether the slot is a scored one. */
bool phy_link_follow(struct phy_link *l, size_t device);

/* The transmission of that slot as dl_rx_data or ul_rx_data has it; *process NULL: nothing of the kind was sent. decode
 * says whether its result is wanted at all. */
struct phy_link_process *phy_link_heard(struct phy_link *l, size_t device, uint64_t slot, bool scored, size_t n_re);
void phy_link_judge(struct phy_link *l, size_t device, struct phy_link_process *p, int rc, size_t n_bytes,
                    const struct rx_info *info);

/* The channel of every RE of a slot (h: n_symbols * n_sc) of samples as the receiver has turned them back. look: t_ref is
 * set here. */
void phy_link_truth(const struct phy_link *l, const struct phy_air *air, size_t link, struct phy_air_look look,
                    float complex *h);

/* Shows whoever watches a block that is about to be decoded, with the slot in l->received. */
void phy_link_show(struct phy_link *l, size_t device, const struct slot_time *when, const struct phy_link_process *p);

/* CSI against the truth. truth: n_sc. */
void phy_link_compare(struct phy_link *l, size_t device, const struct csi *csi, const double complex *truth);

/* The rest of the device's scored slots is lost: no sync. */
void phy_link_give_up(struct phy_link *l, size_t device);

/* Slots over, and no scored block still under way. */
bool phy_link_finished(const struct phy_link *l, size_t device);

double phy_link_uniform(struct phy_link *l, double low, double high);

/* Converters: rounds to n_bits, full scale being full_scale. */
void phy_link_convert(const struct phy_link *l, double full_scale, float complex *samples, size_t n);
/* A transmitter's way to its converter, if there is one: clipped in magnitude (phy/level.h), then rounded. */
void phy_link_send(const struct phy_link *l, float complex *samples, size_t n);

/* Mean energy of the used REs of those slots, of a grid that `meter` adds up. */
struct phy_link_meter {
	double energy;
	size_t n_re;
};
void phy_link_measure(struct phy_link_meter *m, const float complex *grid, size_t n, double amplitude);

/* The fading of the run's link of that device and its mean delay in samples. */
struct fading_link_config phy_link_fading(const struct phy_link *l, size_t device);
double phy_link_mean_delay(const struct phy_link *l);

/* The planner of FFTs is not thread-safe: all that makes or destroys one holds this. */
void phy_link_lock(void);
void phy_link_unlock(void);

struct phy_link_dl *phy_link_dl_create(struct phy_link *l);
void phy_link_dl_destroy(struct phy_link_dl *d, size_t n_devices);
double phy_link_dl_energy(struct phy_link *l);
int phy_link_dl_run(struct phy_link *l);
void phy_link_dl_slot(struct phy_link *l, uint64_t slot); /* into l->sent */
unsigned phy_link_dl_level(const struct phy_link *l);     /* CCEs of a grant */

struct phy_link_ul *phy_link_ul_create(struct phy_link *l);
void phy_link_ul_destroy(struct phy_link_ul *u, size_t n_devices);
double phy_link_ul_energy(struct phy_link *l, size_t device, uint8_t comb_boost);
int phy_link_ul_run(struct phy_link *l);
void phy_link_ul_slot(struct phy_link *l, size_t device, uint64_t slot);

#endif
