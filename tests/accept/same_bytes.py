"""Same seed, same bytes: two runs with one seed leave the same report (wall clock apart) and the same journal, for any number of threads."""
import hashlib
import os
import sys
import tempfile

from lib import gate

SEEDS = range(1, 1 + (int(sys.argv[1]) if len(sys.argv) > 1 else 3))
THREADS = [1, 1, 2, 3, 5]
SCENARIO = "testbed/scenarios/default.yaml"


def run(job):
    seed, threads = job
    with tempfile.TemporaryDirectory() as out:
        report = gate.wdmoe("run", SCENARIO, "--seed", seed, "--n-tokens", 8, "--ignore-eos", "--out", out + "/run", "--set",
                            f"threads={threads}")
        with open(out + "/run/journal.wdj", "rb") as journal:
            data = journal.read()
    report.pop("wall_clock")
    return report, hashlib.sha256(data).hexdigest(), len(data)


figures = []
for seed in SEEDS:
    runs = [run((seed, threads)) for threads in THREADS]
    first = runs[0]
    figures.append({"seed": seed, "threads": THREADS, "reports_equal": all(r[0] == first[0] for r in runs),
                    "journals_equal": all(r[1] == first[1] for r in runs), "journal_bytes": first[2]})
other = run((SEEDS[-1] + 1, 1))
gate.finish("same seed, same bytes", {"scenario": SCENARIO, "n_tokens": 8, "csi_log": "full", "cpus": os.cpu_count()},
            {"per_seed": figures, "another_seed_differs": other[1] != first[1]},
            all(f["reports_equal"] and f["journals_equal"] for f in figures) and other[1] != first[1])
