"""Sync: found at -3 dB whatever the carrier offset, next to never in noise, and held under a clock that is off by 20 ppm.

phy_sync.py [TRIALS [NOISE_SLOTS [HOLD_SLOTS]]]: cold starts a case (default 20000; 300 are a quick look, judged by the rate alone), slots of
noise searched (default 4000000) and slots followed (default 20000: 10 s). 30 kHz; carrier offset uniform in +-2.5 subcarriers, the clock off
by the same ppm. Missed: at most 1e-3 in 20 ms in AWGN; on TDL-A 100 ns at 10 Hz 10 % in 20 ms, 1e-3 in 500 ms. Locks on noise: fewer than
one in 10^6 slots, by the upper end of the exact 95 % interval of a full run. Held: 20 ppm, 15 dB, not a block of QPSK lost.
"""
import sys

from lib import gate

TRIALS = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
NOISE_SLOTS = int(sys.argv[2]) if len(sys.argv) > 2 else 4000000
HOLD_SLOTS = int(sys.argv[3]) if len(sys.argv) > 3 else 20000
DL_HZ, DOPPLER_HZ = 3.5e9, 10
SPEED_KMH = 3.6 * DOPPLER_HZ / DL_HZ * 299792458
PERIOD_MS = 5
CASES = {
    "awgn_20_ms": ("none", 20, 1e-3),
    "tdl_a_20_ms": ("tdl-a", 20, 0.1),
    "tdl_a_500_ms": ("tdl-a", 500, 1e-3),
}
PARTS = 8


def search(case):
    channel, ms, limit, part = case
    n = max(TRIALS // PARTS, 1)
    r = gate.wdmoe("phy", "acquire", "--channel", channel, "--delay-spread-ns", 100, "--speed-kmh", SPEED_KMH, "--snr-db", -3, "--cfo-hz",
                   75000, "--periods", ms // PERIOD_MS, "--trials", n, "--seed", 1 + part * n)
    return r["trials"], r["found"], r["false_locks"], r["version"]


def starts(name):
    channel, ms, limit = CASES[name]
    parts = gate.each(search, [(channel, ms, limit, k) for k in range(PARTS)])
    trials, found, false = (sum(p[i] for p in parts) for i in range(3))
    return {"channel": channel, "within_ms": ms, "trials": trials, "missed": trials - found, "false_locks": false,
            "miss_rate": (trials - found) / trials, "limit": limit, "version": parts[0][3]}


def noise(part):
    periods = NOISE_SLOTS // (10 * PARTS)
    r = gate.wdmoe("phy", "acquire", "--noise-only", "--trials", max(periods // 100, 1), "--periods", 100, "--seed", 1 + part * 1000000)
    return r["noise_slots"], r["false_locks"]


def held():
    r = gate.wdmoe("phy", "bler", "--mcs", 4, "--snr-db", 15, "--clock-ppm", 20, "--slots", HOLD_SLOTS, "--trials", HOLD_SLOTS)
    p = r["points"][0]
    return {"slots_a_run": HOLD_SLOTS, "runs": p["runs"], "blocks": p["blocks"], "errors": p["errors"],
            "sync_slot_errors": p["sync_slot_errors"], "runs_without_sync": p["runs_without_sync"], "controls_missed":
            round(p["control_miss_rate"] * p["controls"])}


found = {name: starts(name) for name in CASES}
heard = gate.each(noise, range(PARTS))
slots, alarms = sum(h[0] for h in heard), sum(h[1] for h in heard)
upper = {0: 3.689, 1: 5.572, 2: 7.225, 3: 8.767}.get(alarms, 2 * alarms + 4) / slots  # Poisson, two-sided 95 %
hold = held()
full = NOISE_SLOTS >= 4000000
gate.finish("sync", {"snr_db": -3, "cfo_hz": 75000, "scs_hz": 30e3, "trials": TRIALS, "version": found["awgn_20_ms"]["version"]},
            {"cold_starts": found, "noise": {"slots": slots, "false_locks": alarms, "rate_upper": upper}, "held": hold},
            all(f["miss_rate"] <= f["limit"] for f in found.values()) and (upper < 1e-6 if full else alarms <= 1)
            and hold["errors"] == hold["sync_slot_errors"] == hold["runs_without_sync"] == 0)
