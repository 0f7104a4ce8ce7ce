"""What goes wrong with a device while it is needed: it dies in mid-layer, leaves coverage for 2 s and comes back, becomes 10 times slower, reports
absurd channels.

faults.py [N_SEEDS]: `wdmoe run` on the shipped scenario, an answer of 24 to 150 tokens.
  with replicas (2 holders an expert) and vanilla   the tokens, and the logits to the bit, are those of the run without faults
  without                                           on_silence drop and next: the run goes on to its end, and the journal names what was
                                                    given up, each choice with its weight
"""
import os
import sys
import tempfile

from lib import gate

N_SEEDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
DEVICE = 2
FAULTS = {
    "dies": (["dark_at_s=0.15"], 24),
    "away for 2 s": (["dark_at_s=0.1", "dark_for_s=2"], 200),
    "10 times slower": (["slow_at_s=0.1"], 24),
    "reports 60 dB too much": (["lie_at_s=0.1", "lie_db=60"], 24),
    "reports 60 dB too little": (["lie_at_s=0.1", "lie_db=-60"], 24),
}


def run(seed, n_tokens, sets, folder):
    args = ["run", "--seed", seed, "--set", "csi_log=off", "--set", f"out={folder}", "--set", f"model.n_tokens={n_tokens}",
            "--set", "model.ignore_eos=true", "--set", "scheduler.policy=vanilla", "--set", "scheduler.allocator=horizon"]
    for s in sets:
        args += ["--set", s]
    return gate.wdmoe(*args, may_fail=True)


def deviations(folder):
    """Deviations in the journal, and those of them that silence led to and that carry a weight."""
    with open(os.path.join(folder, "journal.wdj"), "rb") as f:
        text = f.read()
    found = [e for e in text.split(b'{"event": "deviation"')[1:]]
    return len(found), sum(b'"reason": "silence"' in e[:300] and b'"share": ' in e[:300] for e in found)


def job(what):
    fault, seed, how = what
    keys, n_tokens = FAULTS[fault]
    sets = [f"devices[{DEVICE}].{k}" for k in keys]
    with tempfile.TemporaryDirectory() as folder:
        if how == "replicas":
            right = run(seed, n_tokens, ["moe.replicas=2"], folder + "/a")
            r = run(seed, n_tokens, ["moe.replicas=2"] + sets, folder + "/b")
            same = r["tokens"] == right["tokens"] and r["logits_hash"] == right["logits_hash"]
            back = r["devices"][DEVICE]["attaches"]
            return {"same": same, "error": r["error"], "moved": r["losses"]["calls_moved"], "suspected": r["losses"]["devices_suspected"],
                    "attaches": back, "slower": r["layer_latency"]["all"]["mean_ms"] / right["layer_latency"]["all"]["mean_ms"]}
        r = run(seed, n_tokens, [f"scheduler.on_silence={how}"] + sets, folder + "/c")
        n, by_silence = deviations(folder + "/c")
        return {"error": r["error"], "tokens": len(r["tokens"]), "asked": n_tokens, "given_up": r["losses"]["choices_given_up"],
                "in_the_log": by_silence, "deviations": n}


jobs = [(f, s, how) for f in FAULTS for s in range(1, N_SEEDS + 1) for how in ("replicas", "drop", "next")]
results = dict(zip(jobs, gate.each(job, jobs)))
figures, passed = {}, True
for fault in FAULTS:
    with_replicas = [results[fault, s, "replicas"] for s in range(1, N_SEEDS + 1)]
    figures[fault] = {"with replicas": {"identical": sum(r["same"] and not r["error"] for r in with_replicas), "of": N_SEEDS,
                                        "calls_moved": sum(r["moved"] for r in with_replicas),
                                        "attaches": [r["attaches"] for r in with_replicas],
                                        "latency_ratio": gate.interval([r["slower"] for r in with_replicas])}}
    passed &= all(r["same"] and not r["error"] for r in with_replicas)
    if fault == "away for 2 s":
        passed &= all(r["attaches"] >= 2 for r in with_replicas)
    for how in ("drop", "next"):
        without = [results[fault, s, how] for s in range(1, N_SEEDS + 1)]
        figures[fault]["without, " + how] = {"finished": sum(not r["error"] and r["tokens"] == r["asked"] for r in without), "of": N_SEEDS,
                                             "given_up": sum(r["given_up"] for r in without),
                                             "in_the_log": sum(r["in_the_log"] for r in without)}
        passed &= all(not r["error"] and r["tokens"] == r["asked"] for r in without)
        if fault in ("dies", "away for 2 s"):
            passed &= all(r["in_the_log"] > 0 and r["in_the_log"] >= r["given_up"] for r in without)
    for r in with_replicas + without:
        if r["error"]:
            figures[fault].setdefault("errors", []).append(r["error"])
gate.finish("faults", {"scenario": "testbed/scenarios/default.yaml", "seeds": N_SEEDS, "device": DEVICE}, figures, passed)
