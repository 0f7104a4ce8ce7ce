"""Fading channels: no floor above 1e-3 up to 64QAM, channel estimates within -(SNR + 5) dB, estimation costs 1 dB at most.

phy_fading.py [BLOCKS [PARTS [CHANNEL]]]: first transmissions of each figure (default 6000, dealt over independent links of 20 scored slots; fewer than
3000 are a quick look, which judges a floor by 1e-2 and a loss by 1.5 dB); PARTS: some of floors,csi,losses (default all; the losses take most of
the time); CHANNEL: those whose names begin so. TDL-A 100 ns and EPA at 10 Hz, TDL-C 300 ns at 70 Hz, at 15 and 30 kHz, both directions;
7.68 MS/s. Floors: at 45 dB, where about one fade in a thousand takes what the highest of them needs. At 60 kHz the echoes of TDL-C pass the prefix:
shown, not judged.
"""
import sys

from lib import gate

BLOCKS = int(sys.argv[1]) if len(sys.argv) > 1 else 6000
PARTS = sys.argv[2].split(",") if len(sys.argv) > 2 else ["floors", "csi", "losses"]
ONLY = sys.argv[3] if len(sys.argv) > 3 else ""
FULL = BLOCKS >= 3000
CHANNELS = ("tdl-a,100ns,10hz", "epa,10hz", "tdl-c,300ns,70hz")
PROFILES = ("7.68M-15k", "7.68M-30k")
FLOOR_SNR_DB = 45
NMSE_SNR_DB = "0:5:25"
SEED = 1


def bler(case, *args):
    channel, profile, direction = case
    return gate.wdmoe("phy", "bler", "--channel", channel, "--profile", profile, "--dir", direction, "--warmup", 100, "--seed", SEED,
                      "--threads", 1, "--stop-errors", 0, *args)


def table():
    r = gate.wdmoe("phy", "bler", "--snr-db", 40, "--trials", 1, "--slots", 2, "--warmup", 0, "--estimate", "off")
    return r["curves"], r["version"]


CURVES, VERSION = table()


def of(bits, rate):
    """The MCS of so many bits a symbol with the rate nearest to that one."""
    return min((c for c in CURVES if c["bits_per_symbol"] == bits), key=lambda c: abs(c["rate"] - rate))["mcs"]


def floors(case):
    mcs = [of(2, 0.5), of(4, 0.6), of(6, 0.65), of(6, 0.95)]
    points = bler(case, "--mcs", ",".join(map(str, mcs)), "--snr-db", FLOOR_SNR_DB, "--trials", BLOCKS)["points"]
    return [{k: p[k] for k in ("mcs", "snr_db", "blocks", "errors", "bler", "bler_interval", "wrong_blocks", "runs_without_sync")}
            for p in points]


def estimates(case):
    points = bler(case, "--mcs", of(2, 0.5), "--snr-db", NMSE_SNR_DB, "--trials", max(BLOCKS // 4, 400))["points"]
    return [{"snr_db": p["snr_db"], "csi_nmse_db": p["csi_nmse_db"], "limit_db": -(p["snr_db"] + 5)} for p in points]


def losses(case):
    """On and off see the same fading and noise, so that little of the scatter of fading is left in the difference."""
    out = []
    for mcs in (of(2, 0.5), of(4, 0.6), of(6, 0.7)):
        at = {}
        for estimate in ("on", "off"):
            c = bler(case, "--mcs", mcs, "--estimate", estimate, "--snr-db", "auto:1", "--auto-to", 0.1, "--trials",
                     max(BLOCKS // 4, 400))["curves"][0]
            at[estimate] = c["snr_db_at_10_percent"]
        known = None not in at.values()
        out.append({"mcs": mcs, "snr_db_at_10_percent": at, "loss_db": at["on"] - at["off"] if known else None})
    return out


def one(case):
    f = {"channel": case[0], "profile": case[1], "dir": case[2]}
    if "floors" in PARTS:
        f["floors"] = floors(case)
        f["floors_passed"] = all(p["bler"] <= (1e-3 if FULL else 1e-2) and p["wrong_blocks"] == 0 for p in f["floors"])
    if "csi" in PARTS:
        f["csi"] = estimates(case)
        f["csi_passed"] = all(p["csi_nmse_db"] is not None and p["csi_nmse_db"] <= p["limit_db"] for p in f["csi"])
    if "losses" in PARTS:
        f["losses"] = losses(case)
        f["losses_passed"] = all(p["loss_db"] is not None and p["loss_db"] <= (1 if FULL else 1.5) for p in f["losses"])
    return f


cases = [(c, p, d) for c in CHANNELS if c.startswith(ONLY) for p in PROFILES for d in ("dl", "ul")]
figures = gate.each(one, cases)
beyond = ("tdl-c,300ns,70hz", "7.68M-60k", "dl")
shown = {"channel": beyond[0], "profile": beyond[1], "dir": beyond[2], "floors": floors(beyond)}
gate.finish("fading channels", {"blocks": BLOCKS, "parts": PARTS, "seed": SEED, "floor_snr_db": FLOOR_SNR_DB, "version": VERSION},
            {"judged": figures, "prefix_too_short": shown},
            all(f[part + "_passed"] for part in PARTS for f in figures))
