"""How near to Shannon every MCS is, synchronisation, channel and noise estimation running, and what estimation costs.

phy_awgn.py [TRIALS [FIRST-LAST]]: blocks a point (default 1000; a few hundred are a quick look), and MCSs to look at. Both directions, AWGN,
one device with the whole band; the narrowest of four bands that gives blocks of 3000 bits. SNR as phy bler has it: pilots and control pay
their share. Limits: 2.5 dB to the capacity at the spectral efficiency of the data REs where that is 0.5 bit/s/Hz or more, 3 dB below and
for 256QAM above rate 0.85; 0.5 dB to the same chain told the true channel. The uplink's devices pay for sounding and control
as far as these are boosted (notes/phy.md).
"""
import sys

from lib import gate

TRIALS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
RANGE = sys.argv[2].split("-") if len(sys.argv) > 2 else None
PROFILES = ("7.68M-30k", "15.36M-30k", "30.72M-30k", "30.72M-15k")
MIN_BITS = 3000
SEED = 1


def curves(profile, direction="dl"):
    """Of every MCS, with next to no work."""
    r = gate.wdmoe("phy", "bler", "--profile", profile, "--dir", direction, "--snr-db", 40, "--trials", 1, "--slots", 2, "--warmup", 0,
                   "--estimate", "off")
    return {c["mcs"]: c for c in r["curves"]}


def limit_db(c):
    return 3 if c["spectral_efficiency"] < 0.5 or (c["bits_per_symbol"] == 8 and c["rate"] > 0.85) else 2.5


def crossing(mcs, profile, direction, estimate):
    r = gate.wdmoe("phy", "bler", "--mcs", mcs, "--profile", profile, "--dir", direction, "--estimate", estimate, "--snr-db", "auto:0.25",
                   "--auto-to", 0.1, "--trials", TRIALS, "--slots", 50, "--seed", SEED, "--threads", 1)
    return r["curves"][0], sum(p["wrong_blocks"] for p in r["points"]), r["version"]


def one(case):
    mcs, profile, direction = case
    on, wrong, version = crossing(mcs, profile, direction, "on")
    off, wrong_off, _ = crossing(mcs, profile, direction, "off")
    gap, loss = on["gap_db_at_10_percent"], None
    if gap is not None and off["snr_db_at_10_percent"] is not None:
        loss = on["snr_db_at_10_percent"] - off["snr_db_at_10_percent"]
    return {
        "mcs": mcs, "profile": profile, "dir": direction, "bits_per_symbol": on["bits_per_symbol"], "rate": on["rate"],
        "spectral_efficiency": on["spectral_efficiency"], "block_bits": on["block_bits"], "shannon_snr_db": on["shannon_snr_db"],
        "snr_db_at_10_percent": on["snr_db_at_10_percent"], "gap_db": gap, "limit_db": limit_db(on), "estimation_loss_db": loss,
        "wrong_blocks": wrong + wrong_off, "version": version,
        "passed": gap is not None and loss is not None and gap <= limit_db(on) and loss <= 0.5 and wrong + wrong_off == 0,
    }


sizes = {p: curves(p) for p in PROFILES}
wanted = [m for m in sizes[PROFILES[0]] if not RANGE or int(RANGE[0]) <= m <= int(RANGE[-1])]
cases = [(m, next(p for p in PROFILES if sizes[p][m]["block_bits"] >= MIN_BITS), d) for d in ("dl", "ul") for m in wanted]
figures = gate.each(one, cases)
gate.finish("near Shannon in AWGN", {"trials": TRIALS, "seed": SEED, "channel": "awgn", "version": figures[0]["version"]}, figures,
            all(f["passed"] for f in figures))
