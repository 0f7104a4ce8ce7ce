"""The model engine's speed as ratios to what memory and OpenBLAS give in the same run, a device half's memory, and throughput among busy neighbours.

moe_speed.py [ROUNDS]: of each measurement, the best counts (default 10). Nothing else should run. A model of 791 M random weights is made under
/tmp for each type and removed again.
"""
import os
import subprocess
import sys

from lib import gate

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
os.environ.pop("OPENBLAS_CORETYPE", None)  # the program chooses, as it does for users
CORES = os.cpu_count()
DECODE = {("F16", "fast"): 0.85, ("Q8_0", "fast"): 0.85, ("Q4_K", "fast"): 0.70}
PROMPT = 0.70
SEQUENCES = {("F16", "exact"): 3.3, ("Q8_0", "fast"): 3.3}
MEMORY_BYTES = 20e6
CONTENDED = 0.40


def bench(*args):
    return gate.wdmoe("bench", "moe", *args)


def short(run):
    return {k: v for k, v in run.items() if k != "expert_calls"}


speed = bench("--types", "F16,Q8_0,Q4_K", "--threads", 1, "--rounds", ROUNDS)
runs = {(t["type"], r["mode"]): r for t in speed["types"] for r in t["runs"]}
judged = {f"decode {t} {m} over read": (runs[t, m]["decode_over_read"], least) for (t, m), least in DECODE.items()}
judged |= {f"prompt {t} fast over sgemm": (runs[t, "fast"]["prompt_over_sgemm"], PROMPT) for t in ("F16", "Q8_0", "Q4_K")}
judged |= {f"16 sequences {t} {m} over one": (runs[t, m]["sequences_over_one"], least) for (t, m), least in SEQUENCES.items()}

memory = bench("--half", "device", "--experts", 0, "--types", "Q8_0")
more = memory["vm_hwm_bytes"] - memory["idle_vm_hwm_bytes"]
allowed = memory["expert_bytes"] / 8 + MEMORY_BYTES

free = bench("--types", "Q8_0", "--threads", CORES, "--mode", "fast", "--rounds", ROUNDS)["types"][0]["runs"][0]["decode_mean_tokens_s"]
busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(CORES)]
try:
    among = bench("--types", "Q8_0", "--threads", CORES, "--mode", "fast", "--rounds", ROUNDS)["types"][0]["runs"][0]["decode_mean_tokens_s"]
finally:
    for p in busy:
        p.kill()
judged["decode among busy neighbours over alone"] = (among / free, CONTENDED)

figures = {"judged": {k: {"value": v, "at_least": least, "passed": v >= least} for k, (v, least) in judged.items()},
           "device_half": memory | {"more_than_idle_bytes": more, "allowed_bytes": allowed, "passed": more <= allowed},
           "decode_mean_tokens_s": {"alone": free, "among_busy": among}, "read_gb_s": speed["read_gb_s"],
           "runs": {f"{t} {m}": short(r) for (t, m), r in runs.items()},
           "expert_calls": {f"{t} {m}": r["expert_calls"] for (t, m), r in runs.items()}}
gate.finish("moe_speed", {"rounds": ROUNDS, "threads": 1, "cores": CORES, "kernels": speed["kernels"], "blas_core": speed["blas_core"],
                          "version": speed["version"], "seed": speed["seed"]}, figures,
            more <= allowed and all(v >= least for v, least in judged.values()))
