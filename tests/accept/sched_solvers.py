"""The bandwidth allocators against solvers that have nothing to do with them (SciPy: SLSQP, and the HiGHS mixed-integer solver).

sched_solvers.py [N_CONVEX] [N_INTEGER] [SECONDS]
  minmax     N_CONVEX random problems of 2 to 16 devices, half of them with total power: no worse than SLSQP's by more than 1e-6, and that
             not better by more (a solver that stops early is worse, and proves nothing).
  minmax-rb  8 devices and 50 blocks. 10 N_INTEGER flat problems against the optimum. N_INTEGER fading ones against the lower bound that HiGHS
             proves in SECONDS for the integer problem, hyperbolas by tangents from below (what lies between is its gap as well as ours), and
             against its own solution.
  times      medians of the allocator alone: 8 and 256 devices, 8 devices x 50 blocks.
Needs python3-scipy.
"""
import os
import statistics
import sys

try:
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp, minimize
except ImportError:
    sys.path = [p for p in sys.path if "python3" not in p] + ["/usr/lib/python3/dist-packages"]
    try:
        import numpy as np
        from scipy.optimize import Bounds, LinearConstraint, milp, minimize
    except ImportError:
        print("skipped: needs python3-scipy")
        sys.exit(77)

from lib import gate, layers

N_CONVEX = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
N_INTEGER = int(sys.argv[2]) if len(sys.argv) > 2 else 20
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 60


def convex(seed):
    """How far minmax is above SLSQP's optimum, relative; None where SLSQP failed."""
    n = 2 + seed % 15
    p = layers.problem(seed, n, 50, False, power="total" if seed % 2 else "psd")
    answer = layers.solve(p)
    q = layers.counts(p, answer)
    busy = [d for d in range(n) if q[d]]
    k, ours = len(busy), answer["layer_latency_s"]

    def latency(z, i):
        d = busy[i]
        x, y = z[i] * p["rb"], z[k + i] * p["rb"]
        t = q[d] * p["payload_bits"]["dl"] / layers.rate(p, d, "dl", x) + layers.compute_s(p, d, q[d])
        return (t + q[d] * p["payload_bits"]["ul"] / layers.rate(p, d, "ul", y)) / ours

    z0 = np.concatenate([np.full(2 * k, 1 / k), [3.0]])
    z0[-1] = max(latency(z0, i) for i in range(k))
    constraints = [{"type": "ineq", "fun": lambda z, i=i: z[-1] - latency(z, i)} for i in range(k)]
    constraints += [{"type": "ineq", "fun": lambda z, a=a: 1 - z[a:a + k].sum()} for a in (0, k)]
    found = minimize(lambda z: z[-1], z0, method="SLSQP", constraints=constraints, bounds=[(1e-4, 1)] * (2 * k) + [(0, None)],
                     options={"maxiter": 1000, "ftol": 1e-13})
    theirs = max(latency(found.x, i) for i in range(k))
    over_band = max(found.x[:k].sum(), found.x[k:2 * k].sum())
    return float(1 / (theirs * max(over_band, 1)) - 1) if np.isfinite(theirs) else None


def integer(seed):
    """Latency of minmax-rb over what HiGHS proves to be a lower bound, and over HiGHS's own solution."""
    p = layers.problem(seed, 8, 50, True, n_tokens=16)
    answer = layers.solve(p, method="minmax-rb")
    q = layers.counts(p, answer)
    busy = [d for d in range(8) if q[d]]
    k, n_rb, ours, low = len(busy), p["rb"], answer["layer_latency_s"], answer["lower_bound_s"]
    # variables: x[dir][i][rb] binary, u[dir][i] air time over `ours`, t
    n_bin = 2 * k * n_rb
    n = n_bin + 2 * k + 1
    rows, lower, upper = [], [], []

    def row(entries, lo, hi):
        r = np.zeros(n)
        for j, v in entries:
            r[j] += v
        rows.append(r)
        lower.append(lo)
        upper.append(hi)

    for a, direction in enumerate(("dl", "ul")):
        for rb in range(n_rb):
            row([((a * k + i) * n_rb + rb, 1) for i in range(k)], -np.inf, 1)
        for i, d in enumerate(busy):
            rates = layers.block_rates(p, d, direction)
            bits = q[d] * p["payload_bits"][direction]
            held = sum(rates[rb] for rb in answer["blocks"][direction][d])
            for f in np.concatenate([np.linspace(0.55, 0.9, 8), np.linspace(0.92, 1.1, 19), np.linspace(1.15, 1.8, 12)]):
                r0 = f * held  # u >= bits / r for r = sum of rates, by the tangent at r0
                slope = bits / r0**2 / ours
                row([(n_bin + a * k + i, 1)] + [((a * k + i) * n_rb + rb, slope * rates[rb]) for rb in range(n_rb)],
                    2 * bits / r0 / ours, np.inf)
    for i, d in enumerate(busy):
        row([(n - 1, 1), (n_bin + i, -1), (n_bin + k + i, -1)], layers.compute_s(p, d, q[d]) / ours, np.inf)
    cost = np.zeros(n)
    cost[-1] = 1
    found = milp(cost, integrality=np.concatenate([np.ones(n_bin), np.zeros(n - n_bin)]),
                 constraints=LinearConstraint(np.array(rows), lower, upper),
                 bounds=Bounds(np.zeros(n), np.concatenate([np.ones(n_bin), np.full(n - n_bin, np.inf)])),
                 options={"time_limit": SECONDS})
    bound = max(found.mip_dual_bound if found.mip_dual_bound is not None else 0, low / ours)
    theirs = None
    if found.x is not None:
        t = []
        for i, d in enumerate(busy):
            s = layers.compute_s(p, d, q[d])
            for a, direction in enumerate(("dl", "ul")):
                rates = layers.block_rates(p, d, direction)
                got = sum(rates[rb] for rb in range(n_rb) if found.x[(a * k + i) * n_rb + rb] > 0.5)
                s += q[d] * p["payload_bits"][direction] / got if got else float("inf")
            t.append(s / ours)
        theirs = max(t)
    return {"over_bound": float(1 / bound - 1), "over_theirs": 1 / theirs - 1 if theirs else None,
            "relaxation": ours / low - 1}


def fewest(bits, rate, n_rb, seconds):
    """Blocks that carry so many bits in that time; None when that is more than there are."""
    if seconds <= 0:
        return None
    n = max(1, int(np.ceil(bits / rate / seconds - 1e-12)))
    return n if n <= n_rb else None


def flat(seed):
    """The same where blocks are alike and only their numbers count: the true optimum, by dynamic programming over the downlink's blocks."""
    p = layers.problem(seed, 8, 50, False, n_tokens=16)
    answer = layers.solve(p, method="minmax-rb")
    q, n_rb = layers.counts(p, answer), p["rb"]
    need = [(q[d] * p["payload_bits"]["dl"], layers.rate(p, d, "dl", 1), q[d] * p["payload_bits"]["ul"], layers.rate(p, d, "ul", 1),
             layers.compute_s(p, d, q[d])) for d in range(8) if q[d]]

    def possible(t):
        least = np.full(n_rb + 1, np.inf)  # uplink blocks, by downlink blocks given
        least[0] = 0
        for dl, dl_rate, ul, ul_rate, s in need:
            after = np.full(n_rb + 1, np.inf)
            for x in range(1, n_rb + 1):
                y = fewest(ul, ul_rate, n_rb, t - s - dl / (x * dl_rate))
                if y is not None:
                    after[x:] = np.minimum(after[x:], least[:n_rb + 1 - x] + y)
            least = after
        return least.min() <= n_rb

    low, high = answer["lower_bound_s"] * (1 - 1e-9), answer["layer_latency_s"] * (1 + 1e-12)
    while high - low > 1e-9 * high:
        mid = (low + high) / 2
        low, high = (low, mid) if possible(mid) else (mid, high)
    return answer["layer_latency_s"] / high - 1


def times():
    out = {}
    for name, n, method, most in (("minmax_8_us", 8, "minmax", 20), ("minmax_256_us", 256, "minmax", 1000),
                                  ("minmax_rb_8x50_us", 8, "minmax-rb", 300)):
        us = [layers.solve(layers.problem(s, n, 50, method == "minmax-rb" and s % 2 == 1), method=method)["allocate_us"] for s in range(20)]
        out[name] = {"median": statistics.median(us), "worst": max(us), "asked": most}
    return out


figures = {"times": times()}
over = [x for x in gate.each(convex, range(N_CONVEX)) if x is not None]
near = [x for x in over if abs(x) <= 1e-6]
figures["minmax"] = {"problems": N_CONVEX, "compared": len(over), "worst_above_theirs": max(over), "within_1e-6_of_theirs": len(near),
                     "theirs_worse_by_more": sum(x < -1e-6 for x in over)}
exact = gate.each(flat, range(10 * N_INTEGER))
results = gate.each(integer, range(N_INTEGER))
gaps = [r["over_bound"] for r in results]
theirs = [r["over_theirs"] for r in results if r["over_theirs"] is not None]
figures["minmax_rb"] = {
    "flat": {"problems": len(exact), "over_optimum_mean": statistics.fmean(exact), "over_optimum_worst": max(exact)},
    "fading": {"problems": N_INTEGER, "seconds_each": SECONDS, "over_bound_mean": statistics.fmean(gaps), "over_bound_worst": max(gaps),
               "over_theirs_mean": statistics.fmean(theirs) if theirs else None, "over_theirs_worst": max(theirs) if theirs else None,
               "over_relaxation_mean": statistics.fmean(r["relaxation"] for r in results)}}
passed = (max(over) <= 1e-6 and len(near) >= 0.9 * len(over) and max(gaps) <= 0.05 and statistics.fmean(gaps) <= 0.02
          and max(exact) <= 0.05 and statistics.fmean(exact) <= 0.02 and all(t["median"] <= t["asked"] for t in figures["times"].values()))
gate.finish("sched_solvers", {"cores": os.cpu_count(), "rb_hz": layers.RB_HZ}, figures, passed)
