"""Layer latency and accuracy over the air, eight answers at once: frontier + horizon against vanilla + equal and vanilla + round-robin.

sched_live.py [N_SEEDS] [ITEMS] [ITEMS_ACCURACY]
  latency    ITEMS a seed, the same for all contenders, on the shipped scenario and three more (all alike, one far, one slow); cut =
             1 - mean layer latency over that of the other, seed by seed, intervals over the seeds
  accuracy   ITEMS_ACCURACY a seed on the shipped scenario, the same items with the same seed; vanilla computes the same bits with any
             allocator, so round-robin stands for both
  plane      every published policy with the allocator that its paper asks for, or the nearest; frontier at lower prices, too
  decode     one answer at a time, where turnaround rules
  prediction median error and bias of the predicted layer latency
  clairvoyant the same with bs.csi: known, the channels of the slot to come: how much longer layers last without knowing them
Every run is kept (wdmoe sweep), so the gate goes on where it was: in $RESULT.d, or runs/sched_live.
"""
import os
import statistics
import sys

from lib import gate

N_SEEDS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
ITEMS = int(sys.argv[2]) if len(sys.argv) > 2 else 30
ITEMS_ACCURACY = int(sys.argv[3]) if len(sys.argv) > 3 else 150
STATE = os.environ["RESULT"] + ".d" if os.environ.get("RESULT") else os.path.join(gate.SOURCE, "runs", "sched_live")
SCENARIOS = ["default", "alike", "one-far", "one-slow"]
OURS = ["scheduler.policy=frontier", "scheduler.allocator=horizon", "scheduler.sensitivity=moe/models/wdmoe-tiny.sensitivity.json",
        "scheduler.give_up=yes", "scheduler.multicast=yes"]
EQUAL = ["scheduler.policy=vanilla", "scheduler.allocator=equal"]
ROUND_ROBIN = ["scheduler.policy=vanilla", "scheduler.allocator=round-robin"]
PLANE = {
    "vanilla + minmax": ["scheduler.policy=vanilla", "scheduler.allocator=minmax"],
    "vanilla + horizon": ["scheduler.policy=vanilla", "scheduler.allocator=horizon"],
    "wdmoe + minmax": ["scheduler.policy=wdmoe", "scheduler.allocator=minmax"],
    "wdmoe-bottleneck + minmax": ["scheduler.policy=wdmoe-bottleneck", "scheduler.allocator=minmax"],
    "des + minmax-rb": ["scheduler.policy=des", "scheduler.allocator=minmax-rb"],
    "jesa + minmax-rb": ["scheduler.policy=jesa", "scheduler.allocator=minmax-rb"],
    "sift + round-robin": ["scheduler.policy=sift", "scheduler.allocator=round-robin"],
}
PLANE |= {f"frontier + horizon, price {p}": OURS + [f"scheduler.price={p}"] for p in (1, 2, 4)}


def sweep(scenario, name, sets, items, sequences=8):
    os.makedirs(STATE, exist_ok=True)
    args = ["sweep", "--config", f"testbed/scenarios/{scenario}.yaml", "--seeds", N_SEEDS, "--items", items,
            "--out", os.path.join(STATE, f"{scenario} {name} {items} {sequences} {N_SEEDS}.jsonl".replace(" ", "_")),
            "--set", f"moe.sequences={sequences}"]
    for s in sets:
        args += ["--set", s]
    return gate.wdmoe(*args)["combinations"][0]["measures"]


def cut(ours, other):
    return gate.interval([1 - a / b for a, b in zip(ours["layer_ms"]["each"], other["layer_ms"]["each"])])


def told(m):
    return {k: {x: m[k][x] for x in ("mean", "low", "high")} for k in (
        "layer_ms", "prompt_layer_ms", "decode_layer_ms", "air_share", "right", "dropped_share", "kept_weight", "prediction_error_median",
        "prediction_bias")}


figures, passed = {"scenarios": {}}, True
for scenario in SCENARIOS:
    ours, equal, even = (sweep(scenario, n, s, ITEMS) for n, s in (("ours", OURS), ("equal", EQUAL), ("round-robin", ROUND_ROBIN)))
    f = {"frontier + horizon": told(ours), "vanilla + equal": told(equal), "vanilla + round-robin": told(even),
         "cut against equal": cut(ours, equal), "cut against round-robin": cut(ours, even)}
    figures["scenarios"][scenario] = f
    worse = f["cut against equal"]["mean"] < 0 or f["cut against round-robin"]["mean"] < 0
    passed &= not worse
    if scenario == "default":
        passed &= equal["air_share"]["mean"] >= 0.5
        passed &= f["cut against equal"]["mean"] >= 0.5 and f["cut against round-robin"]["mean"] >= 0.2
        passed &= abs(ours["prediction_bias"]["mean"]) <= 0.05 and ours["prediction_error_median"]["mean"] <= 0.10

ours, known = sweep("default", "ours", OURS, ITEMS), sweep("default", "known", OURS + ["bs.csi=known"], ITEMS)
figures["clairvoyant"] = {"known": told(known), "over it": gate.interval([a / b - 1 for a, b in zip(ours["layer_ms"]["each"],
                                                                                                       known["layer_ms"]["each"])])}
passed &= figures["clairvoyant"]["over it"]["mean"] <= 0.15
ours, even = (sweep("default", n, s, ITEMS_ACCURACY) for n, s in (("ours", OURS), ("round-robin", ROUND_ROBIN)))
loss = gate.interval([100 * (b - a) for a, b in zip(ours["right"]["each"], even["right"]["each"])])
figures["accuracy"] = {"items": N_SEEDS * ITEMS_ACCURACY, "frontier + horizon": ours["right"]["mean"], "vanilla": even["right"]["mean"],
                       "loss_points": loss, "prediction_error_median": ours["prediction_error_median"]["mean"],
                       "prediction_bias": ours["prediction_bias"]["mean"], "cut against round-robin": cut(ours, even)}
passed &= loss["mean"] <= 0.5
figures["plane"] = {name: told(sweep("default", name, sets, ITEMS)) for name, sets in PLANE.items()}
figures["one answer at a time"] = {n: told(sweep("default", n, s, max(2, ITEMS // 5), sequences=1))
                                   for n, s in (("frontier + horizon", OURS), ("vanilla + round-robin", ROUND_ROBIN))}
gate.finish("sched_live", {"seeds": N_SEEDS, "items_each": ITEMS, "sequences": 8, "confidence": 0.95}, figures,
            passed and N_SEEDS >= 20 and N_SEEDS * ITEMS_ACCURACY >= 3000)
