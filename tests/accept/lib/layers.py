"""Problems for `wdmoe schedule`, drawn from a seed, and the layer's latency computed once more."""
import json
import math
import os
import random
import tempfile

from lib import gate

RB_HZ = 360e3


def problem(seed, n_devices, n_rb, fading, n_tokens=None, top_k=2, power="psd", replicas=0):
    """One expert a device; devices from -3 to 27 dB, flat or Rayleigh over the blocks, 0 to 3 ms a token."""
    rng = random.Random(f"layer {seed} {n_devices} {n_rb} {fading} {power}")

    def snr():
        mean = rng.uniform(-3, 27)
        return [mean + 10 * math.log10(rng.expovariate(1) + 1e-6) for _ in range(n_rb)] if fading else mean

    devices = [{"experts": sorted({d, *((d + 3 * i) % n_devices for i in range(1, replicas + 1))}),
                "snr_db": {"dl": snr(), "ul": snr()}, "compute_s_per_token": rng.uniform(0, 1e-3),
                "compute_s_fixed": rng.uniform(0, 1e-3)} for d in range(n_devices)]
    weights = []
    for _ in range(n_tokens or 4 * n_devices):
        w = [math.exp(rng.gauss(0, 1.5)) for _ in range(n_devices)]
        weights.append([x / sum(w) for x in w])
    return {"top_k": min(top_k, n_devices), "rb": n_rb, "rb_hz": RB_HZ, "power": power,
            "payload_bits": {"dl": rng.uniform(1e3, 65536), "ul": rng.uniform(1e3, 65536)}, "devices": devices, "weights": weights}


def solve(p, policy="vanilla", method="minmax", **select):
    p = dict(p, select={"policy": policy, **select}, allocate={"method": method})
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as f:
        json.dump(p, f)
    try:
        return gate.wdmoe("schedule", f.name)
    finally:
        os.unlink(f.name)


def counts(p, answer):
    """Tokens of each device."""
    q = [0] * len(p["devices"])
    for token in answer["selection"]:
        for call in token:
            q[call["device"]] += 1
    return q


def block_rates(p, d, direction):
    snr = p["devices"][d]["snr_db"][direction]
    snr = snr if isinstance(snr, list) else [snr] * p["rb"]
    return [p["rb_hz"] * math.log2(1 + 10 ** (x / 10)) for x in snr]


def rate(p, d, direction, x):
    """Bits a second of x blocks of average quality."""
    if p["power"] == "psd":
        return x * sum(block_rates(p, d, direction)) / p["rb"]
    return x * p["rb_hz"] * math.log2(1 + 10 ** (p["devices"][d]["snr_db"][direction] / 10) * p["rb"] / x)


def compute_s(p, d, q):
    dev = p["devices"][d]
    return dev["compute_s_fixed"] + q * dev["compute_s_per_token"] if q else 0.0
