"""Every named numerology, slots of 14 and of 7 symbols: whole slots, peaks, clipping, 12-bit conversion, adjacent channel, overhead.

phy_numerology.py [SLOTS]: slots of each signal at FFT length 256 (default 500), fewer at longer ones. Each signal of the air interface is sent
at full power through the real transmitters. Limits: adjacent channel -35 dBc (phy/spectrum.h says what it is); what clipping and the
12-bit converter add moves a threshold at 27 dB, that of 256QAM at rate 0.93, by 0.2 dB at most; no signal has more of its samples
clipped than the full-band one of its profile, to four deviations; block error rates of the highest MCS, clipped and converted at both ends,
reach 10 and 1 % within 0.2 dB of those in floats; sync, pilots, sounding and control take 35 % of the resource elements of either
direction at 7.68 MS/s and 30 kHz at most.
"""
import math
import sys

from lib import gate

SLOTS = int(sys.argv[1]) if len(sys.argv) > 1 else 500
SEED = 1
DEFAULT = "7.68M-30k"
ADJACENT_DBC, SHIFT_DB, OVERHEAD = -35, 0.2, 0.35
TOP_MCS, BLER_TRIALS, BLER_SNRS = 26, 1000, {"dl": "23:0.25:25.5", "ul": "24.5:0.25:28"}
OVERHEADS = ("sync", "pilots", "sounding", "control")
FULL = {"downlink": "downlink, full", "uplink": "uplink, full"}


def levels(case):
    profile, n_symbols = case
    slots = max(60, SLOTS * 256 // profile["n_fft"])
    return gate.wdmoe("phy", "levels", "--profile", profile["name"], "--symbols", n_symbols, "--slots", slots, "--seed", SEED)


def clips_more(signal, full):
    """More than full by four deviations; clipped samples come in pairs and threes, so their counts spread twice as wide as Poisson's."""
    usual = max(full["clipped_share"], 1e-5)
    spread = 2 * math.sqrt(usual / full["n_samples"] + usual / signal["n_samples"])
    return signal["clipped_share"] > full["clipped_share"] + 4 * spread


def judge(report):
    signals = {s["signal"]: s for s in report["signals"]}
    more = [name for name, s in signals.items() if clips_more(s, signals[FULL[name.split(",")[0]]])]
    return {
        "profile": report["profile"], "n_symbols": report["n_symbols"], "slots": report["slots"],
        "adjacent_db_worst": max(s["adjacent_db"] for s in signals.values()),
        "threshold_shift_db_worst": max(s["threshold_shift_db"] for s in signals.values()),
        "error_db_worst": max(s["error_db"] for s in signals.values()),
        "clip_more_than_full": more,
    }


def thresholds(direction, *converters):
    """SNR at 10 and 1 % block errors of the highest MCS."""
    r = gate.wdmoe("phy", "bler", "--mcs", TOP_MCS, "--snr-db", BLER_SNRS[direction], "--dir", direction, "--trials", BLER_TRIALS, "--seed", SEED,
                   *converters)
    return [r["curves"][0][f"snr_db_at_{share}_percent"] for share in (10, 1)]


def moved(direction, level_dbfs):
    clean = thresholds(direction)
    real = thresholds(direction, "--bits", 12, "--rms-dbfs", level_dbfs)
    known = None not in clean + real
    return {"clean_db": clean, "clipped_12_bit_db": real, "shift_db": max(b - a for a, b in zip(clean, real)) if known else None}


def passes(row):
    return row["adjacent_db_worst"] <= ADJACENT_DBC and row["threshold_shift_db_worst"] <= SHIFT_DB and not row["clip_more_than_full"]


listed = {n: gate.wdmoe("phy", "profiles", "--symbols", n)["profiles"] for n in (14, 7)}
cases = [(p, n) for n, profiles in listed.items() for p in profiles]
reports = gate.each(levels, cases)
rows = [judge(r) for r in reports]
default = next(p for p in listed[14] if p["name"] == DEFAULT)
overhead = {d: sum(default[f"{d}_shares"][use] for use in OVERHEADS) for d in ("downlink", "uplink")}
whole = all(p["slot_samples"] * 14 == p["n_fft"] * 15 * n and 128 <= p["n_fft"] <= 2048 for p, n in cases)
peaks = next(r for r in reports if r["profile"] == DEFAULT and r["n_symbols"] == 14)["signals"]
bler = {d: moved(d, reports[0]["level_dbfs"]) for d in BLER_SNRS}
gate.finish("phy numerology", {
    "slots": SLOTS, "seed": SEED, "bits": 12, "level_dbfs": reports[0]["level_dbfs"], "adjacent_limit_dbc": ADJACENT_DBC,
    "shift_limit_db": SHIFT_DB, "top_mcs": TOP_MCS, "bler_trials": BLER_TRIALS, "top_snr_db": reports[0]["top_snr_db"], "overhead_limit": OVERHEAD,
}, {
    "top_mcs": bler, "whole_slots": whole, "n_profiles": len(listed[14]), "profiles": rows,
    "default": {"shares": {d: default[f"{d}_shares"] for d in overhead}, "overhead": overhead, "signals": peaks},
}, whole and all(map(passes, rows)) and all(o <= OVERHEAD for o in overhead.values())
            and all(m["shift_db"] is not None and m["shift_db"] <= SHIFT_DB for m in bler.values()))
