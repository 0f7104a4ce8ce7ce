"""Eight devices in one uplink slot, 15 dB apart in power and half a cyclic prefix in delay: each needs at most 1 dB more than alone.

phy_uplink.py [BLOCKS]: of each device and point (default 1000; 200 are a quick look). AWGN, clocks 2 ppm apart, estimation on, two resource
blocks each. Of every device the SNR of 10 % errors is looked for, with the others above and below it by their steps of 15/7 dB, with
timing advance and without; alone: the same device by itself.
"""
import sys

from lib import gate

BLOCKS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
DEVICES, SPREAD_DB, DELAY_CP, STEP_DB = 8, 15, 0.5, 0.25
SEED = 1
COMMON = ("--dir", "ul", "--rbs", 2, "--seed", SEED, "--threads", 1, "--stop-errors", 0, "--warmup", 100)


def mcs_of(bits, rate):
    r = gate.wdmoe("phy", "bler", "--snr-db", 40, "--trials", 1, "--slots", 2, "--warmup", 0, "--estimate", "off", "--rbs", 2)
    return min((c for c in r["curves"] if c["bits_per_symbol"] == bits), key=lambda c: abs(c["rate"] - rate))["mcs"]


def alone(mcs):
    r = gate.wdmoe("phy", "bler", "--mcs", mcs, *COMMON, "--snr-db", f"auto:{STEP_DB}", "--auto-to", 0.1, "--trials", BLOCKS)
    return r["curves"][0]["snr_db_at_10_percent"], r["version"]


def together(case):
    """The SNR that device `index` needs, in its own terms."""
    mcs, advance, index, single = case
    above = SPREAD_DB * index / (DEVICES - 1)
    start = round((single - above - 2 * STEP_DB) / STEP_DB) * STEP_DB
    r = gate.wdmoe("phy", "bler", "--mcs", mcs, *COMMON, "--devices", DEVICES, "--power-spread-db", SPREAD_DB, "--delay-spread-cp", DELAY_CP,
                   "--timing-advance", advance, "--snr-db", f"{start:.2f}:{STEP_DB}:{start + 9 * STEP_DB:.2f}", "--trials", BLOCKS)
    at = r["curves"][0]["device_snr_db_at_10_percent"][index]
    wrong = sum(p["wrong_blocks"] for p in r["points"])
    return {"mcs": mcs, "timing_advance": advance, "device": index, "alone_snr_db": single, "wrong_blocks": wrong,
            "loss_db": None if at is None else at + above - single}


mcss = [mcs_of(2, 0.46), mcs_of(6, 0.65)]
singles = dict(zip(mcss, gate.each(alone, mcss)))
figures = gate.each(together, [(m, a, i, singles[m][0]) for m in mcss for a in ("on", "off") for i in range(DEVICES)])
gate.finish("eight devices in the uplink", {"blocks": BLOCKS, "seed": SEED, "devices": DEVICES, "power_spread_db": SPREAD_DB,
                                            "delay_spread_cp": DELAY_CP, "limit_db": 1, "version": singles[mcss[0]][1]}, figures,
            all(f["loss_db"] is not None and f["loss_db"] <= 1 and f["wrong_blocks"] == 0 for f in figures))
