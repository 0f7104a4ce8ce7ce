"""Every decoder under libFuzzer with ASan and UBSan: no finding in 10 CPU minutes.

phy_fuzz.py [SECONDS]: CPU seconds over all targets (default 600). Builds the targets of tests/fuzz with clang in a folder of its own, starts
from the committed corpus and works on a copy of it. The seed is fixed; what libFuzzer finds still depends on the machine's speed.
"""
import os
import re
import shutil
import subprocess
import sys

from lib import gate

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 600
SEED = 1
BUILD = os.path.abspath("build-fuzz")
FUZZ = os.path.join(gate.SOURCE, "tests", "fuzz")


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}: {done.stdout[-2000:]}")


def hunt(name):
    work = os.path.abspath(f"corpus-{name}")
    shutil.copytree(os.path.join(FUZZ, "corpus", name), work, dirs_exist_ok=True)
    before = len(os.listdir(work))
    done = subprocess.run([os.path.join(BUILD, "bin", f"fuzz_{name}"), f"-max_total_time={SECONDS // len(TARGETS)}", f"-seed={SEED}",
                           "-max_len=4096", "-len_control=0", "-rss_limit_mb=4096", "-timeout=60", "-print_final_stats=1",
                           f"-artifact_prefix={os.path.abspath(name)}-", work], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace")
    runs = re.search(r"number_of_executed_units: (\d+)", done.stdout)
    coverage = re.findall(r"cov: (\d+)", done.stdout)
    if done.returncode:
        print(done.stdout[-4000:], file=sys.stderr)
    return {"exit_status": done.returncode, "inputs_tried": int(runs.group(1)) if runs else None,
            "edges_covered": int(coverage[-1]) if coverage else None, "corpus_before": before, "corpus_after": len(os.listdir(work))}


TARGETS = sorted(f[len("fuzz_"):-2] for f in os.listdir(FUZZ) if f.startswith("fuzz_") and f.endswith(".c"))
run("cmake", "-S", gate.SOURCE, "--preset", "fuzz", "-B", BUILD)
run("cmake", "--build", BUILD, "--target", "fuzz")
figures = dict(zip(TARGETS, gate.each(hunt, TARGETS)))
gate.finish("phy_fuzz", {"cpu_seconds": SECONDS, "seed": SEED, "sanitizers": "address, undefined"}, figures,
            all(f["exit_status"] == 0 and f["inputs_tried"] for f in figures.values()))
