"""What the gates share: running the program, a few statistics, the verdict.

A gate prints one JSON object {"gate", "figures", "conditions", "passed"}, leaves it in $RESULT too, and exits 1 when a figure is short.
The program is $WDMOE (default build/release/wdmoe), the repository $SOURCE_DIR.
"""
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

SOURCE = os.environ.get("SOURCE_DIR", os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))
WDMOE = os.environ.get("WDMOE", os.path.join(SOURCE, "build", "release", "wdmoe"))


def wdmoe(*args, may_fail=False):
    """Runs `wdmoe args --json FILE` and returns the object it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "report.json")
        done = subprocess.run([WDMOE, *map(str, args), "--json", path], cwd=SOURCE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode and not may_fail:
            raise SystemExit(f"wdmoe {' '.join(map(str, args))}: exit status {done.returncode}: {done.stderr[-400:]}")
        with open(path) as report:
            return json.load(report)


def each(work, items):
    """[work(item) ...], as many at a time as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, items))


def normal_quantile(p):
    return statistics.NormalDist().inv_cdf(p)


def t_quantile(p, dof):
    """Student's t by the Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5): better than 1e-3 from 5 degrees on."""
    z = normal_quantile(p)
    g = [(z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384]
    return z + sum(term / dof ** (i + 1) for i, term in enumerate(g))


def interval(values, confidence=0.95):
    """{"mean", "low", "high", "n"}: Student's t interval of the mean of independent values."""
    n = len(values)
    mean = statistics.fmean(values)
    if n < 2:
        return {"mean": mean, "low": None, "high": None, "n": n}
    half = t_quantile(0.5 + confidence / 2, n - 1) * statistics.stdev(values) / math.sqrt(n)
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def finish(name, conditions, figures, passed):
    result = {"gate": name, "schema": 1, "conditions": conditions, "figures": figures, "passed": bool(passed)}
    text = json.dumps(result, indent=2)
    print(text)
    if os.environ.get("RESULT"):
        with open(os.environ["RESULT"], "w") as out:
            out.write(text + "\n")
    sys.exit(0 if passed else 1)
