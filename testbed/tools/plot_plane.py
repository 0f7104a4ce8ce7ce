#!/usr/bin/env python3
"""Draws what policies do on the plane of layer latency and accuracy, with confidence intervals.

    python3 testbed/tools/plot_plane.py notes/results/sched_live.json plane.svg

Reads the answer of tests/accept/sched_live.py, or any JSON object {"figures": {"plane": {name: {"layer_ms": {"mean", "low", "high"},
"right": {...}}}}}.
"""
import json
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "wdmoe"  # the same picture from the same numbers
import matplotlib.pyplot as plt


def points(figures):
    """(name, measures) of everything on the plane; the scenario's own three come first."""
    default = figures.get("scenarios", {}).get("default", {})
    own = [(n, m) for n, m in default.items() if isinstance(m, dict) and "layer_ms" in m]
    return own + list(figures["plane"].items())


def main(path, out):
    with open(path, encoding="utf-8") as f:
        answer = json.load(f)
    figure, axes = plt.subplots(figsize=(9, 6))
    for i, (name, m) in enumerate(points(answer["figures"])):
        x, y = m["layer_ms"], m["right"]
        axes.errorbar(x["mean"], 100 * y["mean"], xerr=[[x["mean"] - x["low"]], [x["high"] - x["mean"]]],
                      yerr=[[100 * (y["mean"] - y["low"])], [100 * (y["high"] - y["mean"])]], fmt="osD^vP*Xh<>"[i % 11], capsize=3, label=name)
    axes.set(xscale="log", xlabel="mean layer latency (ms)", ylabel="right answers (%)", title="Policies over the air, eight answers at once")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
