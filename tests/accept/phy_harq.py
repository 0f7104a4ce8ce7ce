"""Repetition: what a second transmission gains, that a block lost four times is reported lost, and that none is ever delivered wrong.

phy_harq.py [BLOCKS]: blocks near the waterfall that must come out right or not at all (default 10^6; 10^4 are a quick look). AWGN, channel
known: gains are a matter of code and rate matching, and versions must be measured 7 dB below where sync is asked for. Gain: difference
of the SNRs of 10 % errors after one and after two transmissions. At least 4 dB for QPSK at rate 0.75 and above, 2.8 at 1/3 and below.
"""
import math
import sys

from lib import gate

BLOCKS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
GAIN_TRIALS = 1000 if BLOCKS >= 100000 else 200
LOW = 1 / 3
WATERFALL = ((2, 0.2), (2, 0.55), (4, 0.6), (6, 0.65), (6, 0.9), (8, 0.8))
SEED = 1


def bler(*args):
    return gate.wdmoe("phy", "bler", "--estimate", "off", "--seed", SEED, "--threads", 1, "--warmup", 0, "--stop-errors", 0, *args)


def table():
    r = bler("--snr-db", 40, "--trials", 1, "--slots", 2)
    return r["curves"], r["version"]


CURVES, VERSION = table()


def of(bits, rate):
    return min((c for c in CURVES if c["bits_per_symbol"] == bits), key=lambda c: abs(c["rate"] - rate))


def crossing(points, k, level=0.1):
    """Where the error rate after k + 1 transmissions falls through the level, on straight lines of its logarithm."""
    rates = [(p["snr_db"], max(p["bler_after"][k], 0.5 / p["blocks"])) for p in points]
    for (a, above), (b, below) in zip(rates, rates[1:]):
        if above > level >= below:
            return a + (b - a) * math.log(above / level) / math.log(above / below)
    return None


def gain(c):
    """Each of the two falls is looked for where it must be."""
    once = bler("--mcs", c["mcs"], "--snr-db", "auto:0.25", "--auto-to", 0.1, "--trials", GAIN_TRIALS)["curves"][0]["snr_db_at_10_percent"]
    points = bler("--mcs", c["mcs"], "--harq", 2, "--snr-db", f"{once - 8:.2f}:0.25:{once - 1.5:.2f}", "--trials", GAIN_TRIALS)["points"]
    twice = crossing(points, 1)
    need = 2.8 if c["rate"] <= LOW else 4
    g = None if twice is None else once - twice
    return {"mcs": c["mcs"], "rate": c["rate"], "snr_db_once": once, "snr_db_twice": twice, "gain_db": g, "limit_db": need,
            "passed": g is not None and g >= need}


def loss(c):
    """So few dB that some blocks stay wrong after all four."""
    p = bler("--mcs", c["mcs"], "--harq", 4, "--snr-db", f"{c['shannon_snr_db'] - 12:.2f}:1:{c['shannon_snr_db'] - 3:.2f}", "--trials",
             100)["points"]
    lost, blocks = sum(x["lost_blocks"] for x in p), sum(x["blocks"] for x in p)
    after = sum(x["bler_after"][3] * x["blocks"] for x in p)
    wrong = sum(x["wrong_blocks"] for x in p)
    return {"mcs": c["mcs"], "blocks": blocks, "lost": lost, "wrong_blocks": wrong,
            "passed": 0 < lost < blocks and round(after) == lost and wrong == 0}


def waterfall(case):
    """Eight devices at once, estimation on, where about every third block fails: many decisions a second."""
    bits, rate, seed = case
    mcs = of(bits, rate)["mcs"]
    few = ("--mcs", mcs, "--devices", 8, "--dir", "ul", "--threads", 1, "--warmup", 20, "--slots", 200)
    at = gate.wdmoe("phy", "bler", *few, "--snr-db", "auto:0.25", "--auto-to", 0.1, "--trials", 200, "--seed", seed)["curves"][0]
    snr = at["snr_db_at_10_percent"] - 0.25
    share = max(1, BLOCKS // (8 * len(WATERFALL) * 2))
    p = gate.wdmoe("phy", "bler", *few, "--snr-db", f"{snr:.2f}", "--trials", share, "--stop-errors", 0, "--seed", seed)["points"][0]
    return {"mcs": mcs, "snr_db": snr, "seed": seed, "blocks": p["blocks"], "errors": p["errors"], "wrong_blocks": p["wrong_blocks"]}


qpsk = [c for c in CURVES if c["bits_per_symbol"] == 2]
gains = gate.each(gain, [c for c in qpsk if c["rate"] <= LOW] + qpsk[-1:])  # the last has 0.76, counted over nominal REs with CRC
losses = gate.each(loss, [of(2, 0.2), of(2, 0.76), of(6, 0.7)])
falls = gate.each(waterfall, [(*w, seed) for w in WATERFALL for seed in (1, 2)])
blocks, wrong = sum(f["blocks"] for f in falls), sum(f["wrong_blocks"] for f in falls)
gate.finish("repetition", {"blocks": BLOCKS, "gain_trials": GAIN_TRIALS, "seed": SEED, "channel": "awgn", "version": VERSION},
            {"gains": gains, "lost_after_four": losses, "waterfall": falls, "waterfall_blocks": blocks, "waterfall_wrong": wrong},
            all(g["passed"] for g in gains) and all(x["passed"] for x in losses) and wrong == 0 and blocks >= BLOCKS)
