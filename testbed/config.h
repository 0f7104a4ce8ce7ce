/* config.h - what a run is told: scenario, policy, model, prompt.
 *
 *     struct config c;                                    // large: static or on the heap
 *     const char *sets[] = { "seed=7", "devices[3].snr_db=12", "devices.osc_ppm=0", "profiles.board.fixed_us=500" };
 *     if (config_load(&c, "testbed/scenarios/default.yaml", sets, 4, err, sizeof err) < 0)
 *             return cli_bad_input("%s", err);            // "default.yaml:12: radio.scs_hz: 7 is not between ..."
 *
 * Every key is one row of the table in config_keys.c {path, type, where, range, default, unit and help}; reading YAML,
 * --set, the dump into reports and `wdmoe config` all follow it. What the file leaves out has its default. An unknown
 * key, a wrong type, a number out of range, a key twice, or parts that contradict each other are refused with one line
 * that names file, line and key.
 */
#ifndef TESTBED_CONFIG_H
#define TESTBED_CONFIG_H

#include "phy/numerology.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	CONFIG_DEVICES_MAX = 16,
	CONFIG_PROFILES_MAX = 32,
	CONFIG_EXPERTS_MAX = 128, /* listed for one device */
	CONFIG_NAME_MAX = 64,
	CONFIG_PATH_MAX = 1024,
	CONFIG_TEXT_MAX = 8192,
};

struct config_model {
	char path[CONFIG_PATH_MAX];     /* GGUF file; see cli_find_file */
	char held_out[CONFIG_PATH_MAX]; /* JSON lines: default prompts with their answers; "" for none */
	char prompt[CONFIG_TEXT_MAX];   /* "": an item of held_out */
	int64_t n_tokens;               /* at most */
	double temp;                    /* 0: greedy */
	double top_p;
	bool ignore_eos;
};

struct config_radio {
	const char *backend;
	const char *profile; /* phy/profile.h: set rate, spacing and resource blocks where it stood */
	double rate_hz, scs_hz;
	int64_t n_rb, n_symbols;
	int64_t pilot_step;     /* 0: usual for n_symbols */
	int64_t taper_samples;  /* -1: usual for the FFT length */
	int64_t tx_ahead_slots; /* between the slot a node receives and the one it then sends */
	double dl_hz, ul_hz;    /* carriers */
	int64_t cell_id;
};

/* An ether in a process of its own, for `wdmoe ether`, `bs` and `device`. */
struct config_ether {
	char address[CONFIG_PATH_MAX]; /* where radios connect, as ZeroMQ has them */
	char control[CONFIG_PATH_MAX]; /* where it takes commands; "": nowhere */
	bool paced;                    /* by wall clock; otherwise it waits for everybody */
	int64_t tick_samples;          /* 0: a slot */
	double timeout_ms;             /* who says nothing for so long is gone */
};

/* A peer over ZeroMQ as srsRAN and GNU Radio speak it, for `wdmoe bs` and `device`: of this process. */
struct config_zmq {
	char tx_address[CONFIG_PATH_MAX], rx_address[CONFIG_PATH_MAX];
	double path_loss_db; /* that amplitudes which pass as they are stand for */
	bool noise;          /* of the receiver's noise figure */
};

/* A USRP, for `wdmoe bs` and `device`: of this host. */
struct config_uhd {
	char args[CONFIG_TEXT_MAX];
	double master_clock_hz, lo_offset_hz, bandwidth_hz;
	double tx_gain_db, rx_gain_db;
	int64_t tx_channel, rx_channel;
	char tx_antenna[CONFIG_NAME_MAX], rx_antenna[CONFIG_NAME_MAX];
	const char *clock_source, *time_source;
	double lock_timeout_ms;
	double tx_full_scale_dbm, rx_full_scale_dbm; /* at gain 0 dB */
};

/* Nodes in processes of their own. */
struct config_realtime {
	int64_t priority; /* of the slot loop, SCHED_FIFO; 0: as all */
	int64_t cpu;      /* that it runs on; -1: any */
	bool lock_memory;
	const char *on_lost; /* radio gone: wait for it, or end */
	double agc_dbfs;     /* level that devices keep by their receive gain; 0: gains stay */
};

struct config_bs {
	const char *csi;     /* estimated, known */
	double tx_power_dbm; /* of a full band */
	double noise_figure_db;
	double osc_ppm;
	double range_m;                /* how far away devices are heard when they ask for access */
	char profile[CONFIG_NAME_MAX]; /* what computes attention, router and head */
};

struct config_ul {
	double target_snr_db;      /* aim of the open-loop power control, SNR of a data RE at the BS */
	const char *comb_boost_db; /* of control and sounding over it: auto, 0, 3, 6, 9 */
};

struct config_channel {
	const char *model; /* as radio/tdl.h names them */
	double delay_spread_ns;
	double speed_kmh;
	double rice_k_db;              /* model "rice" */
	double outage_per_s;           /* rate at which each link goes dark in both directions; 0: never */
	double outage_ms;              /* how long it then stays dark */
	const char *path_loss;         /* "snr": what gives a device its snr_db; or as radio/path_loss.h names them */
	const char *line_of_sight;     /* yes, no, draw; not with "snr" */
	double shadow_db;              /* below 0: as path_loss has it, with "snr" none */
	double shadow_decorrelation_m; /* 0: as path_loss has it, with "snr" 10 */
};

/* Imperfections of all nodes' hardware, both directions, where the medium is emulated. */
struct config_hardware {
	double iq_gain_db, iq_phase_deg;
	double leakage_dbfs;       /* -200: none */
	double phase_noise_dbc_hz; /* -200: none */
	double phase_noise_corner_hz;
	int64_t converter_bits; /* 0: ideal */
};

/* SigMF recordings of all radios, in the run's folder. */
struct config_record {
	const char *streams;  /* off, received, sent, both */
	double from_s, for_s; /* for_s 0: to the end */
};

/* Experts of layers, all of the bounds included. */
struct config_experts {
	int64_t layer_first, layer_last; /* layer_last -1: to the last one */
	int64_t expert_first, expert_last;
};

struct config_device {
	double snr_db;       /* mean downlink SNR of a data RE; gives the path loss */
	double tx_power_dbm; /* most that the device can send */
	double noise_figure_db;
	double osc_ppm;
	double distance_m; /* propagation delay */
	char profile[CONFIG_NAME_MAX];
	double call_us;   /* added to the fixed part of its profile */
	double memory_mb; /* of experts at most; 0: as many as it is given */
	/* trials: out of reach from dark_at_s on for dark_for_s, slower by a factor from slow_at_s on, reporting channels off by
	 * lie_db from lie_at_s on; below 0: never */
	double dark_at_s, dark_for_s, slow_at_s, slow_factor, lie_at_s, lie_db;
	char trace_dl[CONFIG_PATH_MAX], trace_ul[CONFIG_PATH_MAX]; /* channel.model "trace": files of taps (taps.h) */
	bool experts_auto;                                         /* as moe.placement says; otherwise these: */
	int64_t n_experts;
	struct config_experts experts[CONFIG_EXPERTS_MAX];
};

/* What a computation costs in time: see compute.h. */
struct config_profile {
	char name[CONFIG_NAME_MAX];
	double memory_gb_s;
	double gflop_s;
	double fixed_us;
	double jitter;
};

struct config_scheduler {
	const char *policy;    /* of scheduler/select.h */
	const char *allocator; /* of scheduler/allocate.h */
	double bler_target;    /* of first transmissions */
	int64_t max_tx;        /* transmissions of a block before it is lost for good */
	double mcs_margin_db;  /* taken off the measured SNR before the outer loop has learned */
	double wlr_gain;       /* wdmoe: least relative gain of the weight-to-latency ratio to go on dropping */
	double theta_start, theta_step, theta_max; /* wdmoe: cosine threshold */
	double gamma, loss_max;
	const char *on_silence; /* wait, drop, next */
	const char *give_up;    /* no, yes */
	const char *multicast;  /* no, yes */
	double price;           /* times the layer's own latency */
	double latency_ms;      /* below 0: not given */
	double loss_exponent;
	char sensitivity[CONFIG_PATH_MAX], similarity[CONFIG_PATH_MAX]; /* calibration.h; "": none */
};

struct config_moe {
	const char *codec_down, *codec_up; /* f32, f16, int8, int4 */
	int64_t sequences;                 /* answers at once */
	int64_t call_rows_max;             /* rows of one expert call */
	int64_t chunk_rows;                /* prompt tokens worked on at once */
	char experts[CONFIG_NAME_MAX];     /* override of the selection: "" or top2, top1, drop<W, random, dead:K */
	const char *mode;                  /* exact, fast */
	const char *combine;               /* auto, each, device */
	const char *placement;             /* modulo, balanced */
	int64_t replicas;
};

struct config_timers {
	double call_timeout_ms;   /* an expert call unanswered: the run ends */
	double attach_timeout_ms; /* a device not attached by then: the run ends */
	double suspect_ms;        /* nothing heard for so long: its calls go elsewhere */
	double lost_after_ms;     /* nothing decoded for so long: the link counts as lost */
};

struct config {
	char name[CONFIG_NAME_MAX]; /* file name without folder and ending */
	uint64_t seed;
	int64_t threads;
	char out[CONFIG_PATH_MAX]; /* folder of the journal; "": runs/<name>-<UTC time> */
	int64_t csi_log_every;     /* slots; 0: off, 1: full */
	struct config_model model;
	struct config_radio radio;
	struct config_ether ether;
	struct config_zmq zmq;
	struct config_uhd uhd;
	struct config_realtime realtime;
	struct config_bs bs;
	struct config_ul ul;
	struct config_channel channel;
	struct config_hardware hardware;
	struct config_record record;
	struct config_scheduler scheduler;
	struct config_moe moe;
	struct config_timers timers;
	size_t n_devices;
	struct config_device devices[CONFIG_DEVICES_MAX];
	size_t n_profiles;
	struct config_profile profiles[CONFIG_PROFILES_MAX]; /* the built-in ones, then those of the file */
};

/* One device, all defaults. */
void config_defaults(struct config *c);

/* Defaults, then the file (path NULL: none; sought as cli_find_file does), then sets[n_sets] in order, then the checks
 * that need the whole. Returns 0, or -EINVAL, -ENOENT, -EIO ... with one line in err, and *c is then undefined. */
int config_load(struct config *c, const char *path, const char *const *sets, size_t n_sets, char *err, size_t err_len);

/* One "key=value", or key and value apart, on a loaded config, without the checks that need the whole. */
int config_set(struct config *c, const char *set, char *err, size_t err_len);
int config_put(struct config *c, const char *key, const char *value, char *err, size_t err_len);

/* Checks that need the whole: numerology, profiles that exist, experts that lie somewhere. config_load has done them.
 */
int config_check(const struct config *c, char *err, size_t err_len);

/* The numerology that the keys of radio come to. 0, or -EINVAL with one line in err. */
int config_numerology(const struct config_radio *r, struct numerology *num, char *err, size_t err_len);

/* Profile by name, NULL if there is none. */
const struct config_profile *config_profile(const struct config *c, const char *name);

/* Are nodes in processes of their own bound to the wall clock? Not at peers that wait for each other: time is virtual then. */
bool config_is_real_time(const struct config *c);

/* Do devices add up their experts' outputs? moe.combine, auto being what moe.mode asks for. */
bool config_combines(const struct config_moe *m);

/* The whole effective configuration as an object nested like the YAML. Keys that tell where things lie or how fast they
 * go but not what comes out (paths, threads) only if `local`: journals and comparable reports leave them out. */
json_t *config_json(const struct config *c, bool local);

/* All keys with type, range, default and help, for people. */
void config_print_keys(FILE *f);

#endif
