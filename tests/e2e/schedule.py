"""`wdmoe schedule` as a user runs it: against the model computed once more, and what it refuses."""
import copy
import json
import math
import os
import subprocess
import sys

failures = 0


def check(what, ok):
    global failures
    if not ok:
        failures += 1
        print("FAIL:", what, file=sys.stderr)


def run(problem, *args):
    text = problem if isinstance(problem, str) else json.dumps(problem)
    return subprocess.run([os.environ["WDMOE"], "schedule", "-", *args], input=text, capture_output=True, text=True)


def answer(problem, *args):
    done = run(problem, *args)
    check(f"exit status {done.returncode} of {args}: {done.stderr}", done.returncode == 0)
    return json.loads(done.stdout)


PROBLEM = {
    "top_k": 2, "rb": 12, "rb_hz": 360e3, "payload_bits": {"dl": 4096, "ul": 8192},
    "devices": [
        {"experts": [0], "snr_db": {"dl": 20, "ul": 15}, "compute_s_per_token": 1e-4, "compute_s_fixed": 1e-3},
        {"experts": [1], "snr_db": {"dl": [3 + rb for rb in range(12)], "ul": 5}, "compute_s_per_token": 1e-4},
        {"experts": [2, 3], "snr_db": {"dl": 5, "ul": [9 - rb / 2 for rb in range(12)]}, "backlog_bits": {"dl": 100, "ul": 0}},
        {"experts": [3], "snr_db": {"dl": 25, "ul": 20}, "compute_s_per_token": 3e-4},
    ],
    "weights": [[0.5, 0.3, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25], [0.05, 0.15, 0.7, 0.1]],
    "similarity": [[1, 0.5, 0.2, 0.9], [0.5, 1, 0.3, 0.2], [0.2, 0.3, 1, 0.4], [0.9, 0.2, 0.4, 1]],
}
POLICIES = ["vanilla", "wdmoe", "wdmoe-bottleneck", "des", "jesa", "sift", "exhaustive", "frontier"]
METHODS = ["equal", "round-robin", "proportional-fair", "minmax", "minmax-rb", "horizon"]


def rates(d, direction):
    snr = PROBLEM["devices"][d]["snr_db"][direction]
    return [360e3 * math.log2(1 + 10 ** (x / 10)) for x in (snr if isinstance(snr, list) else [snr] * 12)]


def check_answer(a, what):
    q = [0] * 4
    kept, wlr = 0, 0
    for weights, token in zip(PROBLEM["weights"], a["selection"]):
        top = sorted(range(4), key=lambda e: (-weights[e], e))[:2]
        check(f"{what}: a token without an expert", 1 <= len(token) <= 2)
        kept += sum(weights[c["expert"]] for c in token if c["expert"] in top and "instead_of" not in c) / sum(weights[e] for e in top) / 4
        for c in token:
            check(f"{what}: device {c['device']} does not hold {c['expert']}", c["expert"] in PROBLEM["devices"][c["device"]]["experts"])
            q[c["device"]] += 1
            wlr += c["weight"] / a["device_latency_s"][c["device"]]
    check(f"{what}: kept_weight", abs(kept - a["kept_weight"]) < 1e-9)
    check(f"{what}: wlr", abs(wlr - a["wlr"]) < 1e-6 * wlr)
    for d, dev in enumerate(PROBLEM["devices"]):
        t = 0
        backlog = dev.get("backlog_bits", {"dl": 0, "ul": 0})
        if q[d] or backlog["dl"] or backlog["ul"]:
            t = (dev.get("compute_s_fixed", 0) + q[d] * dev.get("compute_s_per_token", 0)) if q[d] else 0
            for direction in ("dl", "ul"):
                r = rates(d, direction)
                got = a["bandwidth_hz"][direction][d] / 360e3 * sum(r) / 12
                if "blocks" in a:
                    got = sum(r[b] for b in a["blocks"][direction][d])
                bits = q[d] * PROBLEM["payload_bits"][direction] + backlog[direction]
                t += bits / got if bits else 0
        check(f"{what}: latency of device {d}", abs(t - a["device_latency_s"][d]) <= 1e-9 * max(t, 1e-9))
    check(f"{what}: layer_latency_s", a["layer_latency_s"] == max(a["device_latency_s"]))
    check(f"{what}: lower_bound_s", a["lower_bound_s"] <= a["layer_latency_s"] * (1 + 1e-9))
    for direction in ("dl", "ul"):
        check(f"{what}: more than the band", sum(a["bandwidth_hz"][direction]) <= 12 * 360e3 * (1 + 1e-9))
        if "blocks" in a:
            held = [b for blocks in a["blocks"][direction] for b in blocks]
            check(f"{what}: a block twice", len(held) == len(set(held)))
    check(f"{what}: schema", a["schema"] == 1 and a["solve_us"] > 0)


for policy in POLICIES:
    for method in METHODS:
        check_answer(answer(PROBLEM, "--policy", policy, "--allocate", method), f"{policy} + {method}")

ours, best = (answer(PROBLEM, "--policy", p)["curve"] for p in ("frontier", "exhaustive"))
check("frontier and exhaustive have the same curve", len(ours) == len(best) and all(
    abs(x["kept_weight"] - y["kept_weight"]) < 1e-9 and abs(x["layer_latency_s"] - y["layer_latency_s"]) < 1e-12 for x, y in zip(ours, best)))
target = dict(PROBLEM, select={"policy": "frontier", "latency_s": best[0]["layer_latency_s"] * 1.2})
check("within latency_s", answer(target)["layer_latency_s"] <= best[0]["layer_latency_s"] * 1.2)
check("price 0 is the fastest", abs(answer(dict(PROBLEM, select={"policy": "frontier", "price": 0}))["layer_latency_s"] -
                                    best[0]["layer_latency_s"]) < 1e-12)
mcs = answer(dict(PROBLEM, rate="mcs"))
check("the MCS table is below Shannon", mcs["layer_latency_s"] > answer(PROBLEM)["layer_latency_s"])
flat = copy.deepcopy(PROBLEM)
flat["devices"][1]["snr_db"]["dl"], flat["devices"][2]["snr_db"]["ul"], flat["power"] = 8, 5, "total"
psd = answer(dict(flat, power="psd"))
check("all power into fewer blocks is faster", answer(flat)["layer_latency_s"] < psd["layer_latency_s"])


def refused(culprit, change):
    p = copy.deepcopy(PROBLEM)
    change(p)
    done = run(p)
    check(f"{culprit}: exit status {done.returncode}", done.returncode == 2)
    check(f"{culprit}: not one line that names it: {done.stderr}", done.stderr.count("\n") == 1 and culprit in done.stderr)
    check(f"{culprit}: standard output", done.stdout == "")


def zero_rates(p):
    for dev in p["devices"]:
        dev["snr_db"] = {"dl": -1000, "ul": 10}


refused("weights[1][2]", lambda p: p["weights"][1].__setitem__(2, -0.1))
refused("weights[2]", lambda p: p["weights"][2].pop())
refused("devices[3].compute_s_per_token", lambda p: p["devices"][3].update(compute_s_per_token=-1))
refused("devices[1].snr_db.dl", lambda p: p["devices"][1]["snr_db"]["dl"].pop())
refused("devices[0].snr_db.ul", lambda p: p["devices"][0]["snr_db"].pop("ul"))
refused("devices[2].experts[0]", lambda p: p["devices"][2].update(experts=[9]))
refused("no device in reach", lambda p: [p["devices"][d].update(alive=False) for d in (0, 1)])
refused("no device in reach", zero_rates)
refused("rb", lambda p: p.update(rb=0))
refused("top_k", lambda p: p.update(top_k=5))
refused("select.policy", lambda p: p.update(select={"policy": "best"}))
refused("allocate.method", lambda p: p.update(allocate={"method": "best"}))
refused("select.price", lambda p: p.update(select={"policy": "frontier", "prize": 1}) or p["select"].update(price=-1) or p["select"].pop("prize"))
refused("select.prize", lambda p: p.update(select={"policy": "frontier", "prize": 1}))
refused("power", lambda p: p.update(power="total", rate="mcs"))
for text in ("", "[1", '{"top_k": NaN}', "[]", '{"top_k": 1e999}'):
    done = run(text)
    check(f"{text!r}: exit status {done.returncode}: {done.stderr}", done.returncode == 2 and done.stderr.count("\n") == 1)

print(f"{failures} checks failed" if failures else "all checks passed")
sys.exit(1 if failures else 0)
