"""Speed on one core, whole chains of a full slot of 64QAM and the LDPC decoder, at the SNR of 1 % block errors.

phy_speed.py [SECONDS]: of each measurement (default 2). Rates by the mean over the slots of each one's shortest time (wdmoe phy bench):
other programs on the machine disturb that little, but they do. Nothing else should run. Judged: the default profile and MCS (7.68 MS/s,
64QAM at rate 0.76). Shown beside it: 64QAM at its highest rate there, and at 15.36 MS/s.
"""
import sys

from lib import gate

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 2
LIMITS = {"receive_msps": 60, "receive_all_devices_msps": 60, "transmit_msps": 120, "receive_over_liquid": 4, "ldpc_half_mbit_s": 200,
          "ldpc_five_sixths_mbit_s": 400}

CHAINS = ("receive_msps", "receive_all_devices_msps", "transmit_msps", "receive_over_liquid")
TOP_64QAM = 20


def bench(seconds, *args):
    return gate.wdmoe("phy", "bench", "--seconds", seconds, *args)


r = bench(SECONDS)
figures = {k: r[k] for k in CHAINS}
figures["ldpc_half_mbit_s"], figures["ldpc_five_sixths_mbit_s"] = (x["time"]["mbit_s"] for x in r["ldpc"][:2])
others = [bench(SECONDS / 2, "--mcs", TOP_64QAM, "--profile", p) for p in ("7.68M-30k", "15.36M-30k")]
shown = {"others": [{k: o[k] for k in ("rate_hz", "mcs") + CHAINS} for o in others], "rows": r["rows"], "liquid_receive": r["liquid_receive"]}
ldpc = [{k: x[k] for k in ("rate", "snr_db", "bler", "iterations_limit", "iterations_mean")} | {"mbit_s": x["time"]["mbit_s"]} for x in r["ldpc"]]
gate.finish("speed", {"seconds": SECONDS, "limits": LIMITS, "mcs": r["mcs"], "scenes": r["scenes"], "version": r["version"], "ldpc": ldpc},
            figures | shown, all(figures[k] >= LIMITS[k] for k in LIMITS))
