"""Channel estimates against the true channel: NMSE <= -20 dB at 20 dB SNR, TDL-A 100 ns, 3 km/h, downlink and uplink from sounding.

csi.py [SLOTS]: slots per figure (default 2000; fewer than 1000 are a quick look), one cold start in ten slots, carrier offset 7.5 kHz. A
data RE has the mean SNR at full-band power; a sounding RE then has 9.03 dB more, so the uplink is also asked for -20 dB where the
sounding REs themselves have 20 dB (not in the quick look). The upper end of the 95 % interval must pass.
"""
import sys

from lib import gate

SLOTS = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
SOUNDING_BOOST_DB = 9.03
LIMIT_DB = -20
CASES = {
    "dl": ("dl", 20, 1),
    "ul": ("ul", 20, 1001),
}
if SLOTS >= 1000:
    CASES["ul_sounding_re_at_20_db"] = ("ul", 20 - SOUNDING_BOOST_DB, 2001)


def one(case):
    direction, snr_db, seed = case
    r = gate.wdmoe("phy", "csi", "--channel", "tdl-a", "--delay-spread-ns", 100, "--speed-kmh", 3, "--dir", direction, "--snr-db", snr_db,
                   "--cfo-hz", 7500, "--trials", SLOTS, "--cold-starts", max(10, SLOTS // 10), "--seed", seed, "--model",
                   "tests/moe/data/mini.gguf")
    keys = ("version", "seed", "snr_db", "true_snr_db", "trials", "cold_starts", "nmse_db", "nmse_db_interval", "slot_nmse_db_mean",
            "valid_share")
    return {k: r[k] for k in keys} | {k: r["figures"][k] for k in ("noise_var_error_db", "snr_error_db", "cfo_error_hz",
                                                                    "timing_error_samples")}


figures = dict(zip(CASES, gate.each(one, CASES.values())))
gate.finish("csi", {"channel": "tdl-a", "delay_spread_ns": 100, "speed_kmh": 3, "cfo_hz": 7500, "limit_db": LIMIT_DB}, figures,
            all(f["nmse_db_interval"][1] <= LIMIT_DB for f in figures.values()))
