"""Capacity: processor time of a slot of base station and devices on one core, 1, 4 and 8 devices, rates up to 20 MS/s (`wdmoe bench nodes`).

node_speed.py [SLOTS]   (default 3000)
Asked: the base station with 8 devices under minmax, and a device, keep up with 15.36 MS/s (99th percentile of a slot's work below the slot),
and turn round within two slots: what is received in one slot leaves two later where the work is done within the slot between, 99.9 % of the time.
"""
import sys

from lib import gate

SLOTS = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
r = gate.wdmoe("bench", "nodes", "--slots", SLOTS)
table = [{"profile": l["profile"], "rate_hz": l["rate_hz"], "devices": l["devices"], "slot_us": l["slot_us"]} |
         {f"{who}_{k}": l[who][k] for who in ("bs", "device") for k in ("mean_us", "p99_us", "p999_us", "load", "keeps_up")} for l in r["lines"]]
highest = {f"{who}_{n}": max((l["rate_hz"] for l in table if l["devices"] == n and l[f"{who}_keeps_up"]), default=0) for who in ("bs", "device")
           for n in (1, 4, 8)}
asked = next(l for l in table if l["profile"] == "15.36M-30k" and l["devices"] == 8)
turnaround = {who: 1 + asked[f"{who}_p999_us"] / asked["slot_us"] for who in ("bs", "device")}
figures = {"allocator": r["allocator"], "highest_rate_hz": highest, "turnaround_slots_15.36M_8_devices": turnaround, "table": table}
gate.finish("node_speed", {"slots": SLOTS, "version": r["version"]}, figures,
            r["allocator"] == "minmax" and highest["bs_8"] >= 15.36e6 and highest["device_8"] >= 15.36e6 and all(t <= 2 for t in turnaround.values()))
