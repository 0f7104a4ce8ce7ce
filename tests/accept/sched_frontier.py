"""frontier against every selection there is, found here once more in Python; and where that is too much, against the other policies.

sched_frontier.py [N_SMALL] [N_LARGE]
  small   random problems of 3 to 6 tokens, 3 or 4 devices, one to two holders an expert: at every latency on the curve of all selections the
          weight that frontier keeps within it, at most 1 % less. The latency of each selection is the least T at which both bands suffice, by
          bisection over T on the feasibility of the convex problem, which has a closed form only here: the bands' trade-off is searched.
  large   64 tokens, 8 experts on 8 devices: no policy's (latency, weight) under the same allocator is better in both than the curve.
"""
import itertools
import math
import statistics
import sys

from lib import gate, layers

N_SMALL = int(sys.argv[1]) if len(sys.argv) > 1 else 60
N_LARGE = int(sys.argv[2]) if len(sys.argv) > 2 else 300
OTHERS = ["vanilla", "wdmoe", "wdmoe-bottleneck", "des", "jesa", "sift"]


def least_latency(need):
    """need: [(downlink, uplink, compute)] in seconds with the whole band; least T with sum x <= 1, sum y <= 1, dl / x + s + ul / y <= T."""

    def bands(t, ratio):
        """Both sums when each device minimises x + ratio^2 y."""
        x = y = 0
        for a, b, s in need:
            root = math.sqrt(a * b)
            x += (a + ratio * root) / (t - s)
            y += (b + root / ratio) / (t - s)
        return x, y

    def possible(t):
        low, high = 1e-9, 1e9
        for _ in range(120):  # the largest ratio that the downlink can bear leaves the uplink most room
            mid = math.sqrt(low * high)
            if bands(t, mid)[0] <= 1:
                low = mid
            else:
                high = mid
        x, y = bands(t, low)
        return x <= 1 and y <= 1

    if not need:
        return 0.0
    low = max(a + b + s for a, b, s in need)
    high = low
    while not possible(high * 1.0000001):
        high *= 2
    for _ in range(60):
        mid = (low + high) / 2
        low, high = (low, mid) if possible(mid * 1.0000001) else (mid, high)
    return high


def all_selections(p):
    """{counts of the devices: most weight kept}."""
    n, rates = len(p["devices"]), p["weights"]
    best = {(0,) * n: 0.0}
    for w in rates:
        top = sorted(range(len(w)), key=lambda e: (-w[e], e))[:p["top_k"]]
        whole = sum(w[e] for e in top)
        ways = []
        for serve in itertools.product(*[[None] + [d for d in range(n) if e in p["devices"][d]["experts"]] for e in top]):
            if any(d is not None for d in serve):
                ways.append((serve, sum(w[e] for e, d in zip(top, serve) if d is not None) / whole / len(rates)))
        after = {}
        for q, kept in best.items():
            for serve, more in ways:
                r = list(q)
                for d in serve:
                    if d is not None:
                        r[d] += 1
                r = tuple(r)
                after[r] = max(after.get(r, 0), kept + more)
        best = after
    return best


def small(seed):
    """How much less weight frontier keeps, at worst, along the curve."""
    p = layers.problem(f"small {seed}", 3 + seed % 2, 50, False, n_tokens=3 + seed % 4, replicas=seed // 4 % 2)
    points = []
    for q, kept in all_selections(p).items():
        need = [(k * p["payload_bits"]["dl"] / layers.rate(p, d, "dl", 50), k * p["payload_bits"]["ul"] / layers.rate(p, d, "ul", 50),
                 layers.compute_s(p, d, k)) for d, k in enumerate(q) if k]
        points.append((least_latency(need), kept))
    points.sort(key=lambda x: (x[0], -x[1]))
    curve = layers.solve(p, policy="frontier")["curve"]
    worst, most = 0.0, 0.0
    for t, kept in points:
        if kept <= most:
            continue
        most = kept
        ours = max((c["kept_weight"] for c in curve if c["layer_latency_s"] <= t * (1 + 1e-5)), default=0)
        worst = max(worst, 1 - ours / kept)
    return worst


def large(seed):
    """By how much the best of the other policies beats the curve, in weight; negative: it does not."""
    p = layers.problem(f"large {seed}", 8, 50, False, n_tokens=64, replicas=seed % 2)
    curve = layers.solve(p, policy="frontier")["curve"]
    most = -1.0
    for policy in OTHERS:
        a = layers.solve(p, policy=policy)
        ours = max((c["kept_weight"] for c in curve if c["layer_latency_s"] <= a["layer_latency_s"] * (1 + 1e-9)), default=0)
        most = max(most, a["kept_weight"] - ours)
    return most


short = gate.each(small, range(N_SMALL))
beaten = gate.each(large, range(N_LARGE))
figures = {"small": {"problems": N_SMALL, "worst_less_weight": max(short), "mean_of_worst": statistics.fmean(short), "asked": 0.01},
           "large": {"problems": N_LARGE, "policies": OTHERS, "beaten_by_at_most": max(beaten), "times_beaten": sum(x > 1e-6 for x in beaten)}}
gate.finish("sched_frontier", {"rb": 50, "method": "minmax"}, figures, max(short) <= 0.01 and not any(x > 1e-6 for x in beaten))
