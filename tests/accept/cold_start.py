"""Cold start: every random seed is attached, one block each way passed, within 1 s of virtual time.

cold_start.py [SEEDS [MODEL]]: SEEDS (default 100) for one device and again for eight. 5 dB mean SNR in both directions, TDL-A 100 ns, 3 km/h,
carrier offset of each device uniform in +-7.5 kHz, switched on anywhere within two frames, fractions of a sample included.
"""
import sys

from lib import gate

SEEDS = int(sys.argv[1]) if len(sys.argv) > 1 else 100
MODEL = sys.argv[2] if len(sys.argv) > 2 else "moe/models/wdmoe-tiny.gguf"
CASES = {"one_device": ("testbed/scenarios/cold-start-one.yaml", 1), "eight_devices": ("testbed/scenarios/cold-start.yaml", 1001)}


def one(case):
    scenario, seed = case
    r = gate.wdmoe("attach", scenario, "--trials", SEEDS, "--seed", seed, "--cfo-hz", 7500, "--within-s", 1, "--set", f"model.path={MODEL}")
    keys = ("version", "seed", "trials", "n_devices", "trials_within", "share_within", "share_within_interval", "all_attached_s",
            "device_steps_s", "missing")
    return {"scenario": scenario} | {k: r[k] for k in keys}


figures = dict(zip(CASES, gate.each(one, CASES.values())))
gate.finish("cold start", {"snr_db": 5, "channel": "tdl-a", "delay_spread_ns": 100, "speed_kmh": 3, "cfo_hz": 7500, "scs_hz": 30e3,
                           "within_s": 1}, figures, all(f["trials_within"] == f["trials"] for f in figures.values()))
