"""Synchronisation: cold starts far off in carrier and clock, false alarms on noise, a clock 20 ppm off, access preambles.

phy_sync.py [TRIALS [NOISE_SLOTS]]: cold starts a channel (default 5000) and slots of noise each way (default 3200000); with fewer it is a
quick look: a figure then passes by its estimate, in full by the end of its 95 % interval (no false alarm in 3e6 slots says fewer than 1e-6).
Numerology: the default, 7.68 MS/s and 30 kHz, carrier offset within +-75 kHz (2.5 subcarriers), the sampling clock off by the same ppm; noise also with
the cheapest one. A cold start counts when the lock lies within half a prefix and in what tracking pulls in; after a wrong lock the device
loses six sync periods.
"""
import sys

from lib import gate

TRIALS = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
NOISE_SLOTS = int(sys.argv[2]) if len(sys.argv) > 2 else 3_200_000
QUICK = TRIALS < 4000 or NOISE_SLOTS < 3_000_000
CFO_HZ = 75e3
PPM_20_HZ = 20e-6 * 3.5e9
CHEAPEST = ["--set", "radio.rate_hz=1.92e6", "--set", "radio.scs_hz=15e3", "--set", "radio.n_rb=6", "--set", "radio.n_symbols=7"]
LIMITS = {  # channel: {within_s: share missed}
    "awgn": {0.02: 1e-3},
    "tdl-a": {0.02: 0.1, 0.5: 1e-3},
}
CHANNELS = {"awgn": ["--channel", "none"], "tdl-a": ["--channel", "tdl-a", "--delay-spread-ns", 100, "--doppler-hz", 10]}


def acquire(*args):
    return gate.wdmoe("phy", "acquire", *args)


def cold_starts(channel):
    r = acquire(*CHANNELS[channel], "--snr-db", -3, "--cfo-hz", CFO_HZ, "--trials", TRIALS, "--within-ms", "20,500", "--periods", 100)
    figure = {k: r[k] for k in ("version", "seed", "snr_db", "trials", "found", "false_locks", "time_to_lock_s", "cfo_error_hz",
                                "timing_error_samples", "snr_error_db")}
    figure["passed"] = True
    for within in r["within"]:
        limit = LIMITS[channel].get(within["within_s"])
        missed = {"within_s": within["within_s"], "missed": 1 - within["probability"], "limit": limit,
                  "missed_interval": [1 - x for x in reversed(within["probability_interval"])]}
        figure.setdefault("missed", []).append(missed)
        if limit is not None:
            figure["passed"] &= (missed["missed"] if QUICK else missed["missed_interval"][1]) <= limit
    return figure


def noise(direction, extra, slots):
    r = acquire("--noise-only", "--dir", direction, "--trials", slots, "--seed", 100, *extra)
    figure = {k: r.get(k) for k in ("noise_slots", "false_alarms", "false_alarm_bound", "noise_periods", "noise_levels")}
    figure["passed"] = r["false_alarms"] == 0
    for level in r.get("noise_levels") or []:  # the law, where it can be measured
        figure["passed"] &= level["periods"] <= 3 + 1.5 * level["asked"] * r["noise_periods"]
    return figure


def held(channel):
    r = acquire(*CHANNELS[channel], "--snr-db", 15, "--cfo-hz", PPM_20_HZ, "--cfo-fixed", "--trials", 2, "--follow-s", 1 if QUICK else 10)
    keys = ("found", "slots_followed", "slots_lost", "sync_lost", "follow_timing_error_max_samples", "follow_cfo_error_rms_hz",
            "follow_clock_error_ppm")
    figure = {k: r[k] for k in keys}
    figure["passed"] = r["found"] == 2 and r["sync_lost"] == 0 and (channel != "awgn" or r["slots_lost"] == 0)
    return figure


def preambles():
    """SNR of a preamble RE: 4.77 dB above that of a full-band data RE. Late by up to half a prefix more than data can bear: 440 m."""
    boost = 4.77
    r = acquire("--dir", "ul", "--channel", "none", "--snr-db", f"{-16 - boost}:2:{0 - boost}", "--cfo-hz", 150, "--distance-m", 440,
                "--trials", TRIALS)
    fading = acquire("--dir", "ul", *CHANNELS["tdl-a"], "--snr-db", f"{-15 - boost}:3:{6 - boost}", "--cfo-hz", 150, "--trials", TRIALS)
    curve = lambda points: [{"preamble_re_snr_db": round(p["snr_db"] + boost, 2), "found": p["probability"],
                             "interval": p["probability_interval"], "delay_error_sd_samples": p["timing_error_samples"]["sd"]} for p in points]
    figure = {"awgn": curve(r["points"]), "tdl-a": curve(fading["points"]),
              "false_alarms": sum(p["false_alarms_silent"] + p["false_alarms_others"] for p in r["points"] + fading["points"])}
    at_0_db = figure["awgn"][-1]
    figure["passed"] = at_0_db["delay_error_sd_samples"] < 0.25 and at_0_db["found"] == 1 and figure["false_alarms"] == 0
    return figure


figures = {
    "cold_start": {channel: cold_starts(channel) for channel in LIMITS},
    "noise": {"dl": noise("dl", [], NOISE_SLOTS // 10), "dl_cheapest": noise("dl", CHEAPEST, NOISE_SLOTS),
              "ul": noise("ul", [], NOISE_SLOTS)},
    "clock_20_ppm": {channel: held(channel) for channel in CHANNELS},
    "preambles": preambles(),
}
passed = figures["preambles"]["passed"] and all(f["passed"] for part in ("cold_start", "noise", "clock_20_ppm") for f in figures[part].values())
gate.finish("phy sync", {"trials": TRIALS, "noise_slots": NOISE_SLOTS, "cfo_hz": CFO_HZ, "quick": QUICK, "snr_db": -3}, figures, passed)
