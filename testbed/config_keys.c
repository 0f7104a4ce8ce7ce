#include "testbed/config_keys.h"

#include "phy/profile.h"
#include "testbed/cli.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the tables ---- */

static const char *const backends[] = { "ether", "uhd", "zmq", NULL };
static const char *const clocks[] = { "internal", "external", "gpsdo", NULL };
static const char *const losses[] = { "wait", "end", NULL };
static const char *const boosts[] = { "auto", "0", "3", "6", "9", NULL };
static const char *const silences[] = { "wait", "drop", "next", NULL };
static const char *const no_yes[] = { "no", "yes", NULL };
static const char *const csi_kinds[] = { "estimated", "known", NULL };
static const char *const policies[] = { "vanilla", "wdmoe",      "wdmoe-bottleneck", "des", "jesa",
	                                "sift",    "exhaustive", "frontier",         NULL };
static const char *const allocators[] = { "equal",   "round-robin", "proportional-fair", "minmax", "minmax-rb",
	                                  "horizon", NULL };
static const char *const codecs[] = { "f32", "f16", "int8", "int4", NULL };
static const char *const modes[] = { "exact", "fast", NULL };
static const char *const combinations[] = { "auto", "each", "device", NULL };
static const char *const placements[] = { "modulo", "balanced", NULL };
static const char *const channels[] = { "none",  "rayleigh", "rice", "tdl-a", "tdl-b", "tdl-c", "tdl-d",
	                                "tdl-e", "epa",      "eva",  "etu",   "trace", NULL };

static const char *const path_losses[] = { "snr",    "free-space", "umi",    "inh-mixed", "inh-open",
	                                   "inf-sl", "inf-dl",     "inf-sh", "inf-dh",    NULL };
static const char *const streams[] = { "off", "received", "sent", "both", NULL };
static const char *const sights[] = { "draw", "yes", "no", NULL };

#define AT(field) offsetof(struct config, field)
const struct config_key config_root_keys[] = {
	{ "seed", SEED, AT(seed), "1", 0, 0, "of everything random: channels, noise, clocks, jitter, sampling" },
	{ "threads", INTEGER, AT(threads), "1", 1, 64, "threads of the model's arithmetic; changes no result", NULL,
	  LOCAL },
	{ "out", PATH, AT(out), "", 0, 0, "folder of the journal; empty: runs/<name>-<UTC time>", NULL, LOCAL },
	{ "csi_log", EVERY, AT(csi_log_every), "full", 0, 0,
	  "how much CSI the journal keeps: full, off, every N slots" },

	{ "model.path", PATH, AT(model.path), "moe/models/wdmoe-tiny.gguf", 0, 0, "the model, a GGUF file", NULL,
	  LOCAL },
	{ "model.held_out", PATH, AT(model.held_out), "moe/models/heldout.jsonl", 0, 0,
	  "held-out items (JSON lines): where the prompt comes from when none is given", NULL, LOCAL },
	{ "model.prompt", TEXT, AT(model.prompt), "", 0, 0, "the prompt; empty: a held-out item" },
	{ "model.n_tokens", INTEGER, AT(model.n_tokens), "32", 1, 1e6, "tokens generated at most" },
	{ "model.temp", REAL, AT(model.temp), "0", 0, 100, "sampling temperature; 0: greedy" },
	{ "model.top_p", REAL, AT(model.top_p), "1", 1e-6, 1,
	  "sample from the most likely tokens of this total probability" },
	{ "model.ignore_eos", YES_NO, AT(model.ignore_eos), "false", 0, 0, "go on after the end-of-sequence token" },

	{ "radio.backend", WORD, AT(radio.backend), "ether", 0, 0,
	  "where samples go and come from; run: in-process ether; bs, device: an ether elsewhere, a USRP, a ZeroMQ "
	  "peer",
	  backends },
	{ "radio.profile", RADIO, AT(radio.profile), "7.68M-30k", 0, 0,
	  "shape by name (wdmoe phy profiles): sets rate_hz, scs_hz and n_rb", NULL, FIRST },
	{ "radio.rate_hz", REAL, AT(radio.rate_hz), "7.68e6", 1e4, 2e8, "Hz: complex samples a second" },
	{ "radio.scs_hz", REAL, AT(radio.scs_hz), "30e3", 1e3, 1e6, "Hz: subcarrier spacing" },
	{ "radio.n_rb", INTEGER, AT(radio.n_rb), "18", PHY_RB_MIN, PHY_RB_MAX, "resource blocks of 12 subcarriers" },
	{ "radio.n_symbols", INTEGER, AT(radio.n_symbols), "14", 1, PHY_SYMBOLS_MAX, "OFDM symbols a slot: 7 or 14" },
	{ "radio.pilot_step", INTEGER, AT(radio.pilot_step), "0", 0, PHY_RB_SC,
	  "downlink pilots on every so many subcarriers: 2, 3, 4 or 6; 0: 3, or 6 in slots of 7 symbols" },
	{ "radio.taper_samples", INTEGER, AT(radio.taper_samples), "-1", -1, 1000,
	  "samples of the prefix in which symbols cross-fade; -1: the 128th part of the FFT length" },
	{ "radio.tx_ahead_slots", INTEGER, AT(radio.tx_ahead_slots), "2", 1, 8,
	  "slots between the one a node has received and the one it then sends; devices: 2 at least" },
	{ "radio.dl_hz", REAL, AT(radio.dl_hz), "3.5e9", 1e6, 1e11, "Hz: downlink carrier" },
	{ "radio.ul_hz", REAL, AT(radio.ul_hz), "3.4e9", 1e6, 1e11, "Hz: uplink carrier" },
	{ "radio.cell_id", INTEGER, AT(radio.cell_id), "1", 0, 1007, "identity of the cell" },

	{ "ether.address", PATH, AT(ether.address), "tcp://127.0.0.1:5600", 0, 0,
	  "where an ether in a process of its own listens, as ZeroMQ has addresses", NULL, LOCAL },
	{ "ether.control", PATH, AT(ether.control), "tcp://127.0.0.1:5601", 0, 0,
	  "where it takes commands (wdmoe ether --tell); empty: nowhere", NULL, LOCAL },
	{ "ether.paced", YES_NO, AT(ether.paced), "true", 0, 0,
	  "by wall clock, waiting for nobody; otherwise time goes on when all nodes have said what they send", NULL,
	  LOCAL },
	{ "ether.tick_samples", INTEGER, AT(ether.tick_samples), "0", 0, 1e7, "what radios receive at once; 0: a slot",
	  NULL, LOCAL },
	{ "ether.timeout_ms", REAL, AT(ether.timeout_ms), "2000", 10, 1e6,
	  "ms: an ether or a radio that says nothing for so long is gone", NULL, LOCAL },

	{ "zmq.tx_address", PATH, AT(zmq.tx_address), "tcp://127.0.0.1:2000", 0, 0,
	  "where the peer asks for what this node transmits (bound)", NULL, LOCAL },
	{ "zmq.rx_address", PATH, AT(zmq.rx_address), "tcp://127.0.0.1:2001", 0, 0,
	  "where this node asks for what it receives (the peer's transmitter)", NULL, LOCAL },
	{ "zmq.path_loss_db", REAL, AT(zmq.path_loss_db), "90", 0, 300,
	  "dB: amplitudes pass as they are; this is what that stands for" },
	{ "zmq.noise", YES_NO, AT(zmq.noise), "true", 0, 0, "the receiver's own, by its noise figure" },

	{ "uhd.args", TEXT, AT(uhd.args), "", 0, 0, "which USRP and how, as UHD takes it; empty: the first found", NULL,
	  LOCAL },
	{ "uhd.master_clock_hz", REAL, AT(uhd.master_clock_hz), "0", 0, 1e9, "Hz; 0: as the device likes", NULL,
	  LOCAL },
	{ "uhd.lo_offset_hz", REAL, AT(uhd.lo_offset_hz), "0", -1e8, 1e8,
	  "Hz: oscillators lie so far above the carriers", NULL, LOCAL },
	{ "uhd.bandwidth_hz", REAL, AT(uhd.bandwidth_hz), "0", 0, 1e9, "Hz: analogue filters; 0: as the device likes",
	  NULL, LOCAL },
	{ "uhd.tx_gain_db", REAL, AT(uhd.tx_gain_db), "0", -100, 200, "dB", NULL, LOCAL },
	{ "uhd.rx_gain_db", REAL, AT(uhd.rx_gain_db), "0", -100, 200, "dB", NULL, LOCAL },
	{ "uhd.tx_channel", INTEGER, AT(uhd.tx_channel), "0", 0, 64, "of the device", NULL, LOCAL },
	{ "uhd.rx_channel", INTEGER, AT(uhd.rx_channel), "0", 0, 64, "of the device", NULL, LOCAL },
	{ "uhd.tx_antenna", NAME, AT(uhd.tx_antenna), "", 0, 0, "connector; empty: the device's first choice", NULL,
	  LOCAL },
	{ "uhd.rx_antenna", NAME, AT(uhd.rx_antenna), "", 0, 0, "connector; empty: the device's first choice", NULL,
	  LOCAL },
	{ "uhd.clock_source", WORD, AT(uhd.clock_source), "internal", 0, 0, "of its frequencies", clocks, LOCAL },
	{ "uhd.time_source", WORD, AT(uhd.time_source), "internal", 0, 0, "of its pulse a second", clocks, LOCAL },
	{ "uhd.lock_timeout_ms", REAL, AT(uhd.lock_timeout_ms), "5000", 0, 1e6,
	  "ms: for oscillators and external clocks", NULL, LOCAL },
	{ "uhd.tx_full_scale_dbm", REAL, AT(uhd.tx_full_scale_dbm), "-70", -300, 100,
	  "dBm radiated by amplitude 1 at gain 0 (wdmoe radio calibrate)", NULL, LOCAL },
	{ "uhd.rx_full_scale_dbm", REAL, AT(uhd.rx_full_scale_dbm), "0", -300, 100,
	  "dBm at the antenna that read as amplitude 1 at gain 0 (wdmoe radio calibrate)", NULL, LOCAL },

	{ "realtime.priority", INTEGER, AT(realtime.priority), "0", 0, 99,
	  "SCHED_FIFO priority of a node's slot loop; 0: as any thread", NULL, LOCAL },
	{ "realtime.cpu", INTEGER, AT(realtime.cpu), "-1", -1, 1023, "that it runs on; -1: any", NULL, LOCAL },
	{ "realtime.lock_memory", YES_NO, AT(realtime.lock_memory), "true", 0, 0, "keep the process in memory", NULL,
	  LOCAL },
	{ "realtime.on_lost", WORD, AT(realtime.on_lost), "wait", 0, 0,
	  "the radio, or the ether, is gone: wait for it to come back, or end", losses, LOCAL },
	{ "realtime.agc_dbfs", REAL, AT(realtime.agc_dbfs), "0", -60, 0,
	  "dBFS: mean level that devices keep by their receive gain, slowly, between slots; 0: gains stay", NULL,
	  LOCAL },

	{ "bs.tx_power_dbm", REAL, AT(bs.tx_power_dbm), "24", -50, 60,
	  "dBm: power of a downlink with all subcarriers in use" },
	{ "bs.noise_figure_db", REAL, AT(bs.noise_figure_db), "5", 0, 40, "dB: noise figure of the receiver" },
	{ "bs.osc_ppm", REAL, AT(bs.osc_ppm), "0", -20, 20, "ppm: error of the oscillator" },
	{ "bs.range_m", REAL, AT(bs.range_m), "1500", 0, 20000,
	  "m: devices this far away are heard when they ask for access; half a symbol at most" },
	{ "bs.csi", WORD, AT(bs.csi), "estimated", 0, 0,
	  "what the base station goes by: estimated from what it decoded, or known: the channel of the slot to come, "
	  "as no real one can "
	  "know it",
	  csi_kinds },
	{ "bs.profile", NAME, AT(bs.profile), "edge-server", 0, 0,
	  "compute profile of attention, router and output head" },

	{ "ul.target_snr_db", REAL, AT(ul.target_snr_db), "22", -20, 50,
	  "dB: SNR of an uplink data RE that the open-loop power control aims at" },
	{ "ul.comb_boost_db", WORD, AT(ul.comb_boost_db), "auto", 0, 0,
	  "dB: power of uplink control and sounding REs over data REs; auto: as the target asks", boosts },

	{ "channel.model", WORD, AT(channel.model), "tdl-a", 0, 0, "power-delay profile and fading of all links",
	  channels },
	{ "channel.delay_spread_ns", REAL, AT(channel.delay_spread_ns), "100", 0, 20000,
	  "ns: RMS delay spread of the tdl models" },
	{ "channel.speed_kmh", REAL, AT(channel.speed_kmh), "3", 0, 500,
	  "km/h: speed of the devices, gives the Doppler" },
	{ "channel.rice_k_db", REAL, AT(channel.rice_k_db), "10", -40, 60, "dB: K factor of the model rice" },
	{ "channel.outage_per_s", REAL, AT(channel.outage_per_s), "0", 0, 1000,
	  "1/s: how often each link goes dark, both directions" },
	{ "channel.outage_ms", REAL, AT(channel.outage_ms), "2", 0, 10000, "ms: how long it then stays dark" },
	{ "channel.path_loss", WORD, AT(channel.path_loss), "snr", 0, 0,
	  "mean loss: snr (what gives a device its snr_db), or by its distance as TR 38.901 has it", path_losses },
	{ "channel.line_of_sight", WORD, AT(channel.line_of_sight), "draw", 0, 0,
	  "whether devices see the base station; draw: with the model's probability, from the seed", sights },
	{ "channel.shadow_db", REAL, AT(channel.shadow_db), "-1", -1, 30,
	  "dB: standard deviation of the shadowing; below 0: the path loss model's, with snr none" },
	{ "channel.shadow_decorrelation_m", REAL, AT(channel.shadow_decorrelation_m), "0", 0, 10000,
	  "m: way over which the shadow's correlation falls to 1/e, 1 at least; 0: the path loss model's, with snr "
	  "10" },

	{ "hardware.iq_gain_db", REAL, AT(hardware.iq_gain_db), "0", -6, 6,
	  "dB: gain of the Q arm over the I arm, of every node, sending and receiving, where the medium is emulated" },
	{ "hardware.iq_phase_deg", REAL, AT(hardware.iq_phase_deg), "0", -30, 30,
	  "degrees: error of the right angle between them" },
	{ "hardware.leakage_dbfs", REAL, AT(hardware.leakage_dbfs), "-200", -200, 0,
	  "dB over full scale: what leaks at the carrier; -200: nothing" },
	{ "hardware.phase_noise_dbc_hz", REAL, AT(hardware.phase_noise_dbc_hz), "-200", -200, -40,
	  "dBc/Hz: phase noise of the oscillators below the corner; -200: none" },
	{ "hardware.phase_noise_corner_hz", REAL, AT(hardware.phase_noise_corner_hz), "100e3", 1, 1e8,
	  "Hz: beyond it phase noise falls by 20 dB a decade; from 1/2000 to 1/4 of the sampling rate" },
	{ "hardware.converter_bits", INTEGER, AT(hardware.converter_bits), "0", 0, 24,
	  "bits of the converters; 0: ideal ones" },

	{ "record.streams", WORD, AT(record.streams), "off", 0, 0,
	  "SigMF recordings of all radios in the run's folder: off, received, sent, both", streams, LOCAL },
	{ "record.from_s", REAL, AT(record.from_s), "0", 0, 1e6, "s: when they begin", NULL, LOCAL },
	{ "record.for_s", REAL, AT(record.for_s), "0", 0, 1e6, "s: how long they last; 0: to the end", NULL, LOCAL },

	{ "scheduler.policy", WORD, AT(scheduler.policy), "wdmoe", 0, 0, "selection of experts", policies },
	{ "scheduler.allocator", WORD, AT(scheduler.allocator), "minmax", 0, 0, "sharing of resource blocks",
	  allocators },
	{ "scheduler.bler_target", REAL, AT(scheduler.bler_target), "0.1", 0.001, 0.9,
	  "block error rate of first transmissions that the outer loop aims at" },
	{ "scheduler.max_tx", INTEGER, AT(scheduler.max_tx), "4", 1, 16,
	  "transmissions of a block before it is lost for good" },
	{ "scheduler.mcs_margin_db", REAL, AT(scheduler.mcs_margin_db), "0", -20, 20,
	  "dB: taken off the measured SNR before the outer loop has learned" },
	{ "scheduler.gamma", REAL, AT(scheduler.gamma), "0.9", 0.001, 1,
	  "des, jesa: layer l keeps gamma^l of the router's weight at least, l from 1" },
	{ "scheduler.loss_max", REAL, AT(scheduler.loss_max), "0.3", 0, 1,
	  "sift: most of a token's weight that may be lost" },
	{ "scheduler.price", REAL, AT(scheduler.price), "8", 0, 1e6,
	  "frontier, exhaustive: how many times its own latency a layer's loss of 1 (all weight of all tokens) is "
	  "worth" },
	{ "scheduler.loss_exponent", REAL, AT(scheduler.loss_exponent), "2", 0.1, 8,
	  "frontier, exhaustive: a choice left out costs the part of the token's weight it has, to this power" },
	{ "scheduler.sensitivity", PATH, AT(scheduler.sensitivity), "", 0, 0,
	  "what `wdmoe model sensitivity` wrote: weighs the layers' losses (frontier, exhaustive); empty: all alike",
	  NULL, LOCAL },
	{ "scheduler.similarity", PATH, AT(scheduler.similarity), "", 0, 0,
	  "what `wdmoe model similarity` wrote, for sift; empty: it only skips", NULL, LOCAL },
	{ "scheduler.latency_ms", REAL, AT(scheduler.latency_ms), "-1", -1, 1e6,
	  "ms: frontier, exhaustive: most weight within this; -1: by price" },
	{ "scheduler.on_silence", WORD, AT(scheduler.on_silence), "wait", 0, 0,
	  "what only a silent device holds: wait for it, drop the choice where the token keeps another, or the "
	  "next-best "
	  "expert",
	  silences },
	{ "scheduler.give_up", WORD, AT(scheduler.give_up), "no", 0, 0,
	  "calls that would hold up the layer by more than they are worth (scheduler.price) are given up in flight",
	  no_yes },
	{ "scheduler.multicast", WORD, AT(scheduler.multicast), "no", 0, 0,
	  "hidden states that several devices need go out once where the layer is forecast to be faster so", no_yes },
	{ "scheduler.wlr_gain", REAL, AT(scheduler.wlr_gain), "0.01", 0, 10,
	  "wdmoe: least relative gain of the weight-to-latency ratio to go on" },
	{ "scheduler.theta_max", REAL, AT(scheduler.theta_max), "1", -1, 1, "wdmoe: last cosine threshold tried" },
	{ "scheduler.theta_start", REAL, AT(scheduler.theta_start), "0.5", -1, 1, "wdmoe: first cosine threshold" },
	{ "scheduler.theta_step", REAL, AT(scheduler.theta_step), "0.1", 0.001, 2,
	  "wdmoe: step of the cosine threshold" },

	{ "moe.codec_down", WORD, AT(moe.codec_down), "f16", 0, 0, "activations to the devices", codecs },
	{ "moe.codec_up", WORD, AT(moe.codec_up), "f16", 0, 0, "activations back", codecs },
	{ "moe.sequences", INTEGER, AT(moe.sequences), "1", 1, 64, "answers in the making at once" },
	{ "moe.call_rows_max", INTEGER, AT(moe.call_rows_max), "64", 1, 1024, "rows of one expert call at most" },
	{ "moe.chunk_rows", INTEGER, AT(moe.chunk_rows), "64", 1, 1024, "tokens of the prompt worked on at once" },
	{ "moe.experts", NAME, AT(moe.experts), "", 0, 0,
	  "wrong or fewer experts on purpose: top1, top2, drop<W, random, dead:K; empty: as the policy says" },
	{ "moe.mode", WORD, AT(moe.mode), "exact", 0, 0,
	  "arithmetic of all nodes: exact, or fast with activations rounded to 8 bits", modes },
	{ "moe.combine", WORD, AT(moe.combine), "auto", 0, 0,
	  "each: a device returns each expert's output; device: their weighted sum; auto: device where moe.mode is "
	  "fast",
	  combinations },
	{ "moe.placement", WORD, AT(moe.placement), "modulo", 0, 0,
	  "where experts: auto puts them: expert e on device e modulo their number, or balanced by memory and speed",
	  placements },
	{ "moe.replicas", INTEGER, AT(moe.replicas), "1", 1, CONFIG_DEVICES_MAX,
	  "devices that experts: auto puts each expert on" },

	{ "timers.call_timeout_ms", REAL, AT(timers.call_timeout_ms), "2000", 1, 1e6,
	  "ms: an expert call unanswered for so long ends the run" },
	{ "timers.attach_timeout_ms", REAL, AT(timers.attach_timeout_ms), "2000", 1, 1e6,
	  "ms: a device not attached by then ends the run" },
	{ "timers.suspect_ms", REAL, AT(timers.suspect_ms), "50", 1, 1e6,
	  "ms: a device that nothing was heard of for so long is left by its calls, see scheduler.on_silence" },
	{ "timers.lost_after_ms", REAL, AT(timers.lost_after_ms), "200", 5, 1e6,
	  "ms: a link counts as lost after hearing nothing for so long" },
};
const size_t config_n_root_keys = sizeof config_root_keys / sizeof config_root_keys[0];
#undef AT

#define AT(field) offsetof(struct config_device, field)
static const struct config_key device_keys[] = {
	{ "trace_dl", PATH, AT(trace_dl), "", 0, 0,
	  "channel.model trace: file of the downlink's taps over time (wdmoe channel)", NULL, LOCAL },
	{ "trace_ul", PATH, AT(trace_ul), "", 0, 0, "channel.model trace: file of the uplink's taps over time", NULL,
	  LOCAL },
	{ "snr_db", REAL, AT(snr_db), "20", -20, 60, "dB: mean SNR of a downlink data RE; gives the path loss" },
	{ "tx_power_dbm", REAL, AT(tx_power_dbm), "23", -50, 60, "dBm: most that the device can send" },
	{ "noise_figure_db", REAL, AT(noise_figure_db), "7", 0, 40, "dB: noise figure of the receiver" },
	{ "osc_ppm", REAL, AT(osc_ppm), "0", -20, 20, "ppm: error of the oscillator" },
	{ "distance_m", REAL, AT(distance_m), "10", 0, 10000, "m: propagation delay" },
	{ "profile", NAME, AT(profile), "board", 0, 0, "compute profile of its experts" },
	{ "call_us", REAL, AT(call_us), "0", 0, 1e6, "us: added to the time of every expert call" },
	{ "memory_mb", REAL, AT(memory_mb), "0", 0, 1e6, "MB: expert weights that it holds at most; 0: no limit" },
	{ "dark_at_s", REAL, AT(dark_at_s), "-1", -1, 1e6,
	  "s: from then on nobody hears it, nor it anybody; below 0: never" },
	{ "dark_for_s", REAL, AT(dark_for_s), "1e6", 0, 1e6, "s: how long" },
	{ "slow_at_s", REAL, AT(slow_at_s), "-1", -1, 1e6, "s: from then on it computes slower; below 0: never" },
	{ "slow_factor", REAL, AT(slow_factor), "10", 0.001, 1e6, "so many times" },
	{ "lie_at_s", REAL, AT(lie_at_s), "-1", -1, 1e6,
	  "s: from then on its channel reports are off; below 0: never" },
	{ "lie_db", REAL, AT(lie_db), "60", -100, 100, "dB: by so much" },
	{ "experts", EXPERTS, AT(experts_auto), "auto", 0, 0,
	  "experts held: [0, 5] or [2-4] of every layer, [\"0-3:5\"] of some; auto: as moe.placement says" },
};
#undef AT

#define AT(field) offsetof(struct config_profile, field)
static const struct config_key profile_keys[] = {
	{ "memory_gb_s", REAL, AT(memory_gb_s), "10", 1e-3, 1e5, "GB/s: weights read from memory" },
	{ "gflop_s", REAL, AT(gflop_s), "50", 1e-3, 1e7, "GFLOP/s: arithmetic" },
	{ "fixed_us", REAL, AT(fixed_us), "50", 0, 1e6, "us: fixed part of every piece of work" },
	{ "jitter", REAL, AT(jitter), "0.05", 0, 2, "standard deviation of the logarithm of the time" },
};
#undef AT

#define KEYS(table) table, sizeof table / sizeof table[0]
const struct config_group config_groups[] = {
	{ "devices", KEYS(device_keys), offsetof(struct config, devices), sizeof(struct config_device),
	  offsetof(struct config, n_devices), CONFIG_DEVICES_MAX, false },
	{ "profiles", KEYS(profile_keys), offsetof(struct config, profiles), sizeof(struct config_profile),
	  offsetof(struct config, n_profiles), CONFIG_PROFILES_MAX, true },
};
const size_t config_n_groups = sizeof config_groups / sizeof config_groups[0];

/* Orders of magnitude: the memory bandwidth and arithmetic that small-batch inference gets out of such machines. */
const struct config_profile config_built_in[] = {
	{ "edge-server", 40, 500, 20, 0.02 }, { "laptop", 20, 200, 50, 0.05 }, { "board", 8, 40, 100, 0.05 },
	{ "phone", 12, 60, 200, 0.10 },       { "none", 1e5, 1e7, 0, 0 },
};
const size_t config_n_built_in = sizeof config_built_in / sizeof config_built_in[0];

/* ---- values as text ---- */

bool config_refuse(char *why, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(why, CONFIG_WHY_BYTES, format, args);
	va_end(args);
	return false;
}

static bool store_real(const struct config_key *k, void *at, const char *text, char *why)
{
	char *end;
	double x = strtod(text, &end);
	if (end == text || *end || !isfinite(x))
		return config_refuse(why, "\"%s\" is not a number", text);
	if (x < k->min || x > k->max)
		return config_refuse(why, "%s is not between %g and %g", text, k->min, k->max);
	*(double *)at = x;
	return true;
}

static bool store_integer(const struct config_key *k, void *at, const char *text, char *why)
{
	char *end;
	errno = 0;
	long long x = strtoll(text, &end, 10);
	if (end == text || *end)
		return config_refuse(why, "\"%s\" is not a whole number", text);
	if (errno || (double)x < k->min || (double)x > k->max)
		return config_refuse(why, "%s is not between %g and %g", text, k->min, k->max);
	*(int64_t *)at = x;
	return true;
}

static bool store_seed(const struct config_key *k, void *at, const char *text, char *why)
{
	(void)k;
	char *end;
	errno = 0;
	unsigned long long x = strtoull(text, &end, 0);
	if (end == text || *end || errno || !isdigit((unsigned char)text[0]))
		return config_refuse(why, "\"%s\" is not a whole number from 0 to 2^64 - 1", text);
	*(uint64_t *)at = x;
	return true;
}

static bool store_yes_no(const struct config_key *k, void *at, const char *text, char *why)
{
	(void)k;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return config_refuse(why, "\"%s\" is neither true nor false", text);
	*(bool *)at = text[0] == 't';
	return true;
}

static bool store_word(const struct config_key *k, void *at, const char *text, char *why)
{
	size_t n = (size_t)snprintf(why, CONFIG_WHY_BYTES, "\"%s\" is none of", text);
	for (const char *const *word = k->words; *word; word++) {
		if (strcmp(*word, text) == 0) {
			*(const char **)at = *word;
			return true;
		}
		if (n < CONFIG_WHY_BYTES)
			n += (size_t)snprintf(why + n, CONFIG_WHY_BYTES - n, " %s", *word);
	}
	return false;
}

static bool store_chars(char *at, size_t size, const char *text, char *why)
{
	if (strlen(text) >= size)
		return config_refuse(why, "longer than %zu bytes", size - 1);
	memset(at, 0, size);
	memcpy(at, text, strlen(text));
	return true;
}

static bool store_name(const struct config_key *k, void *at, const char *text, char *why)
{
	(void)k;
	return store_chars(at, CONFIG_NAME_MAX, text, why);
}

static bool store_path(const struct config_key *k, void *at, const char *text, char *why)
{
	(void)k;
	return store_chars(at, CONFIG_PATH_MAX, text, why);
}

static bool store_text(const struct config_key *k, void *at, const char *text, char *why)
{
	(void)k;
	return store_chars(at, CONFIG_TEXT_MAX, text, why);
}

/* What stands between and around the items of a list. */
static const char list_marks[] = "[], \"'";

static struct config_device *device_of(void *at)
{
	return (void *)((char *)at - offsetof(struct config_device, experts_auto));
}

/* "3" or "2-5" at *text, which is moved behind it. */
static bool read_range(const char **text, int64_t *first, int64_t *last)
{
	enum { LARGEST = 65535 };
	char *end;
	if (!isdigit((unsigned char)**text))
		return false;
	*first = *last = strtoll(*text, &end, 10);
	if (*end == '-' && isdigit((unsigned char)end[1]))
		*last = strtoll(end + 1, &end, 10);
	*text = end;
	return *first <= *last && *last <= LARGEST;
}

/* "5": of every layer; "0-3:5": of those. */
static bool read_experts(const char **text, struct config_experts *x)
{
	*x = (struct config_experts){ .layer_last = -1 };
	if (!read_range(text, &x->expert_first, &x->expert_last))
		return false;
	if (**text == ':') {
		++*text;
		x->layer_first = x->expert_first;
		x->layer_last = x->expert_last;
		if (!read_range(text, &x->expert_first, &x->expert_last))
			return false;
	}
	return !**text || strchr(list_marks, **text);
}

static bool store_experts(const struct config_key *k, void *at, const char *text, char *why)
{
	(void)k;
	struct config_device *d = device_of(at);
	d->experts_auto = strcmp(text, "auto") == 0;
	d->n_experts = 0;
	if (d->experts_auto)
		return true;
	for (const char *p = text + strspn(text, list_marks); *p; p += strspn(p, list_marks)) {
		if (d->n_experts == CONFIG_EXPERTS_MAX)
			return config_refuse(why, "more than %d items", CONFIG_EXPERTS_MAX);
		if (!read_experts(&p, &d->experts[d->n_experts++]))
			return config_refuse(why, "\"%s\" is neither auto nor a list of experts", text);
	}
	return true;
}

static bool store_every(const struct config_key *k, void *at, const char *text, char *why)
{
	(void)k;
	long long n = 0;
	int used = 0;
	if (strcmp(text, "full") == 0)
		n = 1;
	else if (strcmp(text, "off") != 0 && (sscanf(text, "every %lld slots%n", &n, &used) != 1 || text[used] ||
	                                      used == 0 || n < 1 || n > 1000000))
		return config_refuse(why, "\"%s\" is none of full, off, every N slots", text);
	*(int64_t *)at = n;
	return true;
}

static struct config_radio *radio_of(void *at)
{
	return (void *)((char *)at - offsetof(struct config_radio, profile));
}

static bool store_radio(const struct config_key *k, void *at, const char *text, char *why)
{
	(void)k;
	const struct numerology_profile *p = numerology_profile_find(text);
	if (!p)
		return config_refuse(why, "there is no profile \"%s\": wdmoe phy profiles lists them", text);
	const struct numerology_config c = numerology_profile_config(p, PHY_SYMBOLS_MAX);
	struct config_radio *r = radio_of(at);
	r->profile = p->name;
	r->rate_hz = c.rate_hz;
	r->scs_hz = c.scs_hz;
	r->n_rb = (int64_t)c.n_rb;
	return true;
}

/* ---- values as JSON ---- */

static json_t *dump_real(const void *at)
{
	return json_real(*(const double *)at);
}

static json_t *dump_integer(const void *at)
{
	return json_integer(*(const int64_t *)at);
}

/* JSON numbers are exact to 2^53 only in many readers: larger seeds go as text. */
static json_t *dump_seed(const void *at)
{
	uint64_t x = *(const uint64_t *)at;
	return x < UINT64_C(1) << 53 ? json_integer((json_int_t)x) : json_sprintf("%llu", (unsigned long long)x);
}

static json_t *dump_yes_no(const void *at)
{
	return json_boolean(*(const bool *)at);
}

static json_t *dump_word(const void *at)
{
	return json_string(*(const char *const *)at);
}

static json_t *dump_chars(const void *at)
{
	return json_text(at, strlen(at));
}

static size_t put_range(char *text, size_t size, int64_t first, int64_t last)
{
	return (size_t)snprintf(text, size, first == last ? "%lld" : "%lld-%lld", (long long)first, (long long)last);
}

/* A number where it is one expert of every layer, text otherwise. */
static json_t *dump_range(const struct config_experts *x)
{
	char text[96];
	size_t n = 0;
	if (x->layer_last < 0 && x->expert_first == x->expert_last)
		return json_integer(x->expert_first);
	if (x->layer_last >= 0) {
		n = put_range(text, sizeof text, x->layer_first, x->layer_last);
		text[n++] = ':';
	}
	put_range(text + n, sizeof text - n, x->expert_first, x->expert_last);
	return json_string(text);
}

static json_t *dump_experts(const void *at)
{
	const struct config_device *d = device_of((void *)(uintptr_t)at);
	if (d->experts_auto)
		return json_string("auto");
	json_t *list = json_array();
	for (int64_t i = 0; i < d->n_experts; i++)
		json_array_append_new(list, dump_range(&d->experts[i]));
	return list;
}

static json_t *dump_every(const void *at)
{
	int64_t n = *(const int64_t *)at;
	if (n > 1)
		return json_sprintf("every %lld slots", (long long)n);
	return json_string(n == 1 ? "full" : "off");
}

const struct config_kind_ops config_kinds[] = {
	[REAL] = { "number", true, store_real, dump_real },
	[INTEGER] = { "whole number", true, store_integer, dump_integer },
	[SEED] = { "whole number", true, store_seed, dump_seed },
	[YES_NO] = { "true or false", true, store_yes_no, dump_yes_no },
	[WORD] = { "word", false, store_word, dump_word },
	[NAME] = { "name", false, store_name, dump_chars },
	[PATH] = { "path", false, store_path, dump_chars },
	[TEXT] = { "text", false, store_text, dump_chars },
	[EXPERTS] = { "list", false, store_experts, dump_experts },
	[EVERY] = { "words", false, store_every, dump_every },
	[RADIO] = { "name", false, store_radio, dump_word },
};
