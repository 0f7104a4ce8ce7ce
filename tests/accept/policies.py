"""wdmoe + minmax against vanilla + equal and vanilla + round-robin on the shipped scenario: layer latency and held-out accuracy.

policies.py [N_SEEDS] [ITEMS_PER_SEED]: the held-out items are dealt over the seeds; every contender gets the same (item, seed)
pairs, so differences are taken pair by pair. Intervals are Student's t over the seeds' means: items of one seed share a channel.
Reports what it is; it fails only if the comparison could not be made as stated.
"""
import statistics
import sys

from lib import gate

N_SEEDS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
ITEMS = int(sys.argv[2]) if len(sys.argv) > 2 else 100
HELD_OUT, N_HELD_OUT = "moe/models/heldout.jsonl", 5000
CONTENDERS = {
    "wdmoe+minmax": ("wdmoe", "minmax"),
    "vanilla+equal": ("vanilla", "equal"),
    "vanilla+round-robin": ("vanilla", "round-robin"),
    "vanilla+minmax": ("vanilla", "minmax"),
    "wdmoe+round-robin": ("wdmoe", "round-robin"),
}
MEASURES = ["prompt_layer_ms", "decode_layer_ms", "total_ms", "right"]


def job(what):
    name, seed = what
    policy, allocator = CONTENDERS[name]
    stride = N_HELD_OUT // (N_SEEDS * ITEMS)
    report = gate.wdmoe("eval", "tasks", HELD_OUT, "--link", "--first", (seed - 1) * stride, "--stride", stride * N_SEEDS,
                        "--items", ITEMS, "--seed", seed, "--per-item", "--set", f"scheduler.policy={policy}",
                        "--set", f"scheduler.allocator={allocator}")
    return name, seed, report


def mean_of(report, measure):
    values = [float(i[measure]) for i in report["per_item"] if i[measure] is not None]
    return statistics.fmean(values) if values else None


jobs = [(name, seed) for seed in range(1, N_SEEDS + 1) for name in CONTENDERS]
reports = {(name, seed): report for name, seed, report in gate.each(job, jobs)}
seeds = range(1, N_SEEDS + 1)
for seed in seeds:
    asked = {tuple(i["item"] for i in reports[name, seed]["per_item"]) for name in CONTENDERS}
    if len(asked) != 1:
        raise SystemExit(f"seed {seed}: the contenders were not asked the same items")

figures = {"each": {}, "against": {}}
for name in CONTENDERS:
    mine = [reports[name, s] for s in seeds]
    figures["each"][name] = {m: gate.interval([mean_of(r, m) for r in mine]) for m in MEASURES}
    figures["each"][name]["experts_dropped_share"] = sum(r["experts_dropped"] for r in mine) / sum(
        r["experts_dropped"] + r["expert_rows"] for r in mine)
    figures["each"][name]["p95_ms"] = {k: statistics.fmean(r["layer_latency"][k]["p95_ms"] for r in mine) for k in ("prompt", "decode")}
for name in list(CONTENDERS)[1:]:
    figures["against"][name] = {
        m: gate.interval([mean_of(reports["wdmoe+minmax", s], m) - mean_of(reports[name, s], m) for s in seeds]) for m in MEASURES}
    for m in MEASURES[:3]:
        figures["against"][name][m.replace("_ms", "_ratio")] = gate.interval(
            [mean_of(reports["wdmoe+minmax", s], m) / mean_of(reports[name, s], m) for s in seeds])
n = len(jobs) // len(CONTENDERS) * ITEMS
gate.finish("policies", {"scenario": "testbed/scenarios/default.yaml", "seeds": N_SEEDS, "items": n, "held_out": HELD_OUT,
                         "confidence": 0.95, "version": reports[jobs[0]]["version"]},
            figures, N_SEEDS >= 10 and n >= 1000 or len(sys.argv) > 1)
