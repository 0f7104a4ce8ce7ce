"""The channel emulator against theory, by the list of what a trustworthy one is tested for; worked out here from `wdmoe channel`'s taps.

channel_models.py [SEEDS]    (default 20; needs python3-numpy)
  profiles   TDL-A..E, EPA, EVA, ETU: power of each tap within 0.5 dB of the standard's table (shared/data/channel-taps.csv, where it is), RMS delay
             spread within 2 %, total mean power within 5 %; over SEEDS seeds, 300 decorrelated draws each
  rayleigh   KS distance of |h|^2 to the exponential < 0.03; every seed's autocorrelation within 0.05 of J0 over two Doppler periods; level crossing rate
             at the rms level and P(fade below -10 dB) within 15 %; the spectrum's edge within 5 % of the Doppler
  rice       K = 10 dB: KS distance of |h| to the Rice distribution < 0.03
  noise      20 million samples: variance within 1 %, tails beyond 3, 4, 5 sigma as chance has them, no two samples in a row twice
  instances  two runs of one seed receive the same samples to the byte
"""
import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from lib import gate

SEEDS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
folder = tempfile.mkdtemp()


def taps(model, seed, speed_kmh, seconds, step_us, *more):
    """Delays in seconds, and gains [time][tap]."""
    path = os.path.join(folder, f"{model}-{seed}-{speed_kmh}.csv")
    r = gate.wdmoe("channel", "--model", model, "--seed", seed, "--speed-kmh", speed_kmh, "--seconds", seconds, "--step-us", step_us, "--out", path, *more)
    table = np.loadtxt(path, delimiter=",", ndmin=2)
    os.unlink(path)
    return np.array(r["delay_ns"]) * 1e-9, table[:, 1::2] + 1j * table[:, 2::2], r


def standard(model):
    """(delay, power in dB) of the table; None where it is not at hand. TDL delays are normalised."""
    beside = [os.path.join(gate.SOURCE, "..", "shared"), os.path.dirname(os.environ.get("WDMOE_ORACLE") or ".")]
    path = next((p for p in (os.path.join(b, "data", "channel-taps.csv") for b in beside) if os.path.exists(p)), None)
    if not path:
        return None
    with open(path) as f:
        rows = [r for r in csv.DictReader(line for line in f if not line.startswith("#"))]
    name = next(k for k in rows[0] if "profile" in k or "model" in k)
    power = next(k for k in rows[0] if "power" in k)
    return [float(r[power]) for r in rows if r[name].lower().replace("_", "-") == model] or None


def profile(model):
    draws = gate.each(lambda s: taps(model, s, 500, 2, 6700), range(1, SEEDS + 1))
    delay = draws[0][0]
    power = np.mean([np.mean(np.abs(g) ** 2, axis=0) for _, g, _ in draws], axis=0)
    share = power / power.sum()
    mean = (share * delay).sum()
    spread = np.sqrt((share * (delay - mean) ** 2).sum())
    out = {"total_power": power.sum(), "rms_delay_spread_ns": 1e9 * spread}
    table = standard(model)
    if table:
        linear = 10 ** (np.array(table) / 10)
        # A line-of-sight table lists the direct ray and the diffuse part of the first tap apart.
        if len(linear) == len(power) + 1:
            linear = np.concatenate([[linear[0] + linear[1]], linear[2:]])
        linear /= linear.sum()
        out["worst_tap_db"] = float(np.max(np.abs(10 * np.log10(share / linear))))
        expected = np.sqrt((linear * delay**2).sum() - (linear * delay).sum() ** 2)
    else:
        out["worst_tap_db"] = None
        expected = 100e-9 if model.startswith("tdl") else spread
    out["rms_delay_spread_off"] = abs(spread / expected - 1)
    out["passed"] = bool(abs(power.sum() - 1) < 0.05 and out["rms_delay_spread_off"] < 0.02 and (out["worst_tap_db"] is None or out["worst_tap_db"] < 0.5))
    return out


def bessel(order, x):
    """J or I of order 0 by its integral."""
    angle = (np.arange(2000) + 0.5) / 2000 * np.pi
    return np.mean(np.cos(np.multiply.outer(x, np.sin(angle))) if order == "J" else np.exp(np.multiply.outer(x, np.cos(angle))), axis=-1)


def ks(values, cdf):
    x = np.sort(values)
    n = len(x)
    f = cdf(x)
    return float(max(np.max(f - np.arange(n) / n), np.max(np.arange(1, n + 1) / n - f)))


def rayleigh():
    runs = gate.each(lambda s: taps("rayleigh", s, 30, 20, 250), range(1, SEEDS + 1))
    doppler = runs[0][2]["doppler_hz"]
    step = 250e-6
    h = [g[:, 0] for _, g, _ in runs]
    lags = np.arange(int(2 / doppler / step))
    j0 = bessel("J", 2 * np.pi * doppler * lags * step)
    worst, crossings, edges = 0, [], []
    for one in h:
        n = len(one) - len(lags)
        r = np.array([np.mean(one[k:k + n] * np.conj(one[:n])) for k in lags]) / np.mean(np.abs(one[:n]) ** 2)
        worst = max(worst, float(np.max(np.abs(r - j0))))
        level = np.abs(one)
        crossings.append(np.sum((level[:-1] < 1) & (level[1:] >= 1)) / (len(one) * step))
        window = np.hanning(len(one))
        spectrum = np.abs(np.fft.fft(one * window)) ** 2
        f = np.abs(np.fft.fftfreq(len(one), step))
        order = np.argsort(f)
        total = np.cumsum(spectrum[order]) / spectrum.sum()
        edges.append(float(f[order][np.searchsorted(total, 0.999)]))
    all_power = np.concatenate([np.abs(one) ** 2 for one in h])
    sparse = np.concatenate([np.abs(one[:: int(0.4 / doppler / step)]) ** 2 for one in h])
    out = {"doppler_hz": doppler, "ks": ks(sparse, lambda x: 1 - np.exp(-x)), "autocorrelation_off": worst, "mean_power": float(all_power.mean()),
           "level_crossings_over_theory": float(np.mean(crossings) / (np.sqrt(2 * np.pi) * doppler * np.exp(-1))),
           "fades_below_10_db": float(np.mean(all_power < 0.1)), "fades_theory": float(1 - np.exp(-0.1)), "edge_over_doppler": float(np.mean(edges) / doppler)}
    out["passed"] = bool(out["ks"] < 0.03 and worst < 0.05 and abs(out["mean_power"] - 1) < 0.05 and abs(out["level_crossings_over_theory"] - 1) < 0.15 and
                         abs(out["fades_below_10_db"] / out["fades_theory"] - 1) < 0.15 and abs(out["edge_over_doppler"] - 1) < 0.05)
    return out


def rice():
    k = 10.0
    runs = gate.each(lambda s: taps("rice", s, 30, 20, 2500, "--rice-k-db", 10), range(1, SEEDS + 1))
    level = np.concatenate([np.abs(g.sum(axis=1)) for _, g, _ in runs])  # direct ray and diffuse part are taps of one delay
    grid = np.linspace(0, 3, 3001)
    density = 2 * (k + 1) * grid * np.exp(-k - (k + 1) * grid**2) * bessel("I", 2 * np.sqrt(k * (k + 1)) * grid)
    cdf = np.cumsum((density[1:] + density[:-1]) / 2) * (grid[1] - grid[0])
    d = ks(level, lambda x: np.interp(x, grid[1:], cdf))
    return {"k_db": 10, "ks": d, "mean_power": float(np.mean(level**2)), "passed": bool(d < 0.03)}


def noise():
    program = os.path.join(os.environ.get("BIN", os.path.join(os.path.dirname(gate.WDMOE), "bin")), "accept_noise_stats")
    r = json.loads(subprocess.run([program], capture_output=True, text=True, check=True).stdout)
    r["passed"] = bool(abs(r["variance"] - 1) < 0.01 and abs(r["kurtosis"] - 3) < 0.01 and r["pairs_repeated"] == 0 and
                       all(abs(t["count"] - t["expected"]) < 5 * np.sqrt(t["expected"]) for t in r["tails"]))
    return r


def instances():
    digests = []
    for i in range(2):
        out = os.path.join(folder, f"run{i}")
        gate.wdmoe("run", "--set", "record.streams=received", "--set", f"out={out}", "--n-tokens", 2, "--set", f"threads={i + 1}")
        digest = hashlib.sha256()
        for name in sorted(n for n in os.listdir(out) if n.endswith("sigmf-data")):
            with open(os.path.join(out, name), "rb") as f:
                digest.update(f.read())
        digests.append((digest.hexdigest(), sum(os.path.getsize(os.path.join(out, n)) for n in os.listdir(out) if n.endswith("sigmf-data"))))
    return {"bytes": digests[0][1], "alike": digests[0] == digests[1], "passed": digests[0] == digests[1] and digests[0][1] > 0}


figures = {"profiles": {m: profile(m) for m in ("tdl-a", "tdl-b", "tdl-c", "tdl-d", "tdl-e", "epa", "eva", "etu")}, "rayleigh": rayleigh(), "rice": rice(),
           "noise": noise(), "instances": instances()}
passed = all(p["passed"] for p in figures["profiles"].values()) and all(figures[k]["passed"] for k in ("rayleigh", "rice", "noise", "instances"))
gate.finish("channel_models", {"seeds": SEEDS}, figures, passed)
