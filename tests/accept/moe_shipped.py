"""The shipped model: what it knows, and what wrong, fewer and dead experts cost it.

moe_shipped.py [STRIDE]: every STRIDE-th of the held-out items (default 1: all 5000). Greedy answers of the unsplit model in exact mode. Costs are
differences of the mean over families in points, paired item by item: +- is their 95 % interval.
"""
import math
import sys

from lib import gate

STRIDE = int(sys.argv[1]) if len(sys.argv) > 1 else 1
ITEMS = 5000
EXPERTS = 8
SEED = 1
LIGHT = "drop<0.2"
MODES = ["top2", "top1", LIGHT, "random"] + [f"dead:{k}" for k in range(EXPERTS)]


def ask(mode):
    return gate.wdmoe("eval", "tasks", "moe/models/heldout.jsonl", "--experts", mode, "--stride", STRIDE, "--items", ITEMS // STRIDE,
                      "--seed", SEED, "--per-item")


def cost(whole, less):
    """Points lost, mean over the families, with its 95 % interval."""
    loss = {}
    for a, b in zip(whole["per_item"], less["per_item"]):
        assert a["item"] == b["item"]
        loss.setdefault(a["family"], []).append(100 * (a["right"] - b["right"]))
    mean = {f: sum(x) / len(x) for f, x in loss.items()}
    variance = sum(sum((v - mean[f]) ** 2 for v in x) / max(len(x) - 1, 1) / len(x) for f, x in loss.items()) / len(loss) ** 2
    points = sum(mean.values()) / len(mean)
    half = 1.96 * math.sqrt(variance)
    return {"points": points, "low": points - half, "high": points + half}


answers = dict(zip(MODES, gate.each(ask, MODES)))
whole = answers["top2"]
figures = {"accuracy_mean": whole["accuracy_mean"],
           "light_share_of_calls": answers[LIGHT]["experts_left_out"] / answers[LIGHT]["experts_routed"],
           "light_share_of_second_experts": 2 * answers[LIGHT]["experts_left_out"] / answers[LIGHT]["experts_routed"],
           "cost": {m: cost(whole, answers[m]) for m in MODES[1:]}}
dead = [figures["cost"][f"dead:{k}"]["points"] for k in range(EXPERTS)]
figures["dead_mean_points"] = sum(dead) / EXPERTS
figures["dead_least_points"] = min(dead)
figures["families"] = {m: {f: x["accuracy"] for f, x in answers[m]["families"].items()} for m in MODES}
figures["perplexity"] = {m: {"answer": answers[m]["perplexity_answer"], "all": answers[m]["perplexity_all"]} for m in MODES}
c = {m: x["points"] for m, x in figures["cost"].items()}
gate.finish("moe_shipped", {"items": whole["items"], "seed": SEED, "version": whole["version"]}, figures,
            figures["accuracy_mean"] >= 0.8 and 5 <= c["top1"] <= 15 and c[LIGHT] <= 1 and figures["light_share_of_calls"] >= 0.15
            and c["random"] >= 20 and figures["dead_mean_points"] >= 10)
