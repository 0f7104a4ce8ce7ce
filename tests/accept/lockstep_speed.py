"""Lockstep against real time: 8 devices at 7.68 MS/s, TDL-A 100 ns, both directions, noise, all receivers, CSI of every slot into the journal.

lockstep_speed.py [TOKENS]   (default 300)
Seconds of the air for each second of the wall clock, on two threads: from the difference of a long and a short run (what starting takes is in
both). Three rounds, the fastest counts: the machine is shared. At least 1 is asked.
"""
import shutil
import sys
import tempfile

from lib import gate

TOKENS = int(sys.argv[1]) if len(sys.argv) > 1 else 300
folder = tempfile.mkdtemp()


def run(tokens, threads, tag):
    r = gate.wdmoe("run", "--n-tokens", tokens, "--ignore-eos", "--set", f"threads={threads}", "--set", "csi_log=full", "--out", f"{folder}/{tag}")
    shutil.rmtree(f"{folder}/{tag}")
    return r["virtual_time_s"], r["wall_clock"]["wall_s"]


rounds = {1: [], 2: []}
for i in range(3):
    for threads in rounds:
        (t0, w0), (t1, w1) = run(10, threads, f"short{i}{threads}"), run(TOKENS, threads, f"long{i}{threads}")
        rounds[threads].append((t1 - t0) / (w1 - w0))
shutil.rmtree(folder)
figures = {f"air_seconds_per_second_{threads}_threads": {"fastest": max(v), "each": v} for threads, v in rounds.items()}
gate.finish("lockstep_speed", {"tokens": TOKENS, "devices": 8, "rate_hz": 7.68e6}, figures, max(rounds[2]) >= 1)
