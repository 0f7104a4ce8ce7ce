/* power_loop.h - closed-loop uplink power: what the base station tells a device so that it arrives at the target.
 *
 * The device sets its power from its own path loss (open loop, phy/power.h) plus a correction, to which commands add:
 *
 *     power_loop_begin(&p, first_slot);                       first uplink slot in which the last command is in force
 *     power_loop_observe(&p, &cfg, slot, received_db);        every sounding: power of a RE over the target
 *     power_loop_headroom(&p, headroom_db);                   as reported: what is left over the full band
 *     if ((step_db = power_loop_command(&p, &cfg)))
 *             ... it was sent ...
 *             power_loop_sent(&p, step_db, first_slot);
 *
 * and at the device
 *
 *     correction_db = power_loop_corrected(correction_db, step_db);
 *
 * What is steered is the mean of the received power (not of its dB: fading) since the last command took effect. The
 * fewer soundings are in it, the more fading has moved it, so the dead band is wide at first and narrow later: a wrong
 * path loss goes within two or three commands, fading is left alone. A step brings the error inside the narrowest
 * band, and none follows before it was measured anew: no oscillation. A device that has no power left is not asked for
 * more. Plain data; pure functions of it.
 */
#ifndef SCHEDULER_POWER_LOOP_H
#define SCHEDULER_POWER_LOOP_H

#include <stdint.h>

enum { POWER_LOOP_CORRECTION_MAX_DB = 15 };

struct power_loop_config {
	int step_min_db, step_max_db; /* a command: -4 .. 3 */
	float dead_band_db;           /* with a full window; 1 */
	float dead_band_first_db;     /* added with least_slots soundings, falling with their number; 3 */
	unsigned least_slots;         /* soundings before a command; 100 */
	unsigned window_slots;        /* memory of the mean; 400 */
};

struct power_loop_config power_loop_config_default(void);

struct power_loop {
	uint64_t from_slot;
	double received; /* mean power over the target, linear */
	unsigned n;
	float headroom_db;
	int correction_db; /* sum of the commands */
};

/* A new connection: no correction, headroom not known. */
void power_loop_begin(struct power_loop *p, uint64_t from_slot);

/* Each: 0, or -EINVAL when not finite: then nothing changes. */
int power_loop_observe(struct power_loop *p, const struct power_loop_config *cfg, uint64_t slot, double received_db);
int power_loop_headroom(struct power_loop *p, float headroom_db);

/* dB to add, step_min_db .. step_max_db, such that the sum stays within +-POWER_LOOP_CORRECTION_MAX_DB; 0: nothing
 * needs to be said. */
int power_loop_command(const struct power_loop *p, const struct power_loop_config *cfg);
void power_loop_sent(struct power_loop *p, int step_db, uint64_t from_slot);

/* The device's side. */
int power_loop_corrected(int correction_db, int step_db);

#endif
