"""What the fuzz gates share: building the targets of some layers with clang, ASan, UBSan and libFuzzer, and hunting for so many CPU seconds.

The targets start from the committed corpus and work on a copy of it. The seed is fixed; what libFuzzer finds still depends on the machine's
speed.
"""
import os
import re
import shutil
import subprocess
import sys

from lib import gate

SEED = 1
BUILD = os.path.abspath("build-fuzz")
FUZZ = os.path.join(gate.SOURCE, "tests", "fuzz")


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}: {done.stdout[-2000:]}")


def hunt(name, seconds, max_len):
    work = os.path.abspath(f"corpus-{name}")
    shutil.copytree(os.path.join(FUZZ, "corpus", name), work, dirs_exist_ok=True)
    before = len(os.listdir(work))
    done = subprocess.run([os.path.join(BUILD, "bin", f"fuzz_{name}"), f"-max_total_time={seconds}", f"-seed={SEED}", f"-max_len={max_len}",
                           "-len_control=0", "-rss_limit_mb=4096", "-timeout=60", "-print_final_stats=1",
                           f"-artifact_prefix={os.path.abspath(name)}-", work], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace")
    runs = re.search(r"number_of_executed_units: (\d+)", done.stdout)
    coverage = re.findall(r"cov: (\d+)", done.stdout)
    if done.returncode:
        print(done.stdout[-4000:], file=sys.stderr)
    return {"exit_status": done.returncode, "inputs_tried": int(runs.group(1)) if runs else None,
            "edges_covered": int(coverage[-1]) if coverage else None, "corpus_before": before, "corpus_after": len(os.listdir(work))}


def hunt_layers(gate_name, layers, seconds, max_len=4096):
    """Ends the gate: no finding of any target of these layers in so many CPU seconds over all."""
    targets = sorted(f[len("fuzz_"):-2] for layer in layers for f in os.listdir(os.path.join(FUZZ, layer))
                     if f.startswith("fuzz_") and f.endswith(".c"))
    run("cmake", "-S", gate.SOURCE, "--preset", "fuzz", "-B", BUILD)
    run("cmake", "--build", BUILD, "--target", *(f"fuzz_{t}" for t in targets))
    figures = dict(zip(targets, gate.each(lambda t: hunt(t, seconds // len(targets), max_len), targets)))
    gate.finish(gate_name, {"cpu_seconds": seconds, "seed": SEED, "sanitizers": "address, undefined"}, figures,
                all(f["exit_status"] == 0 and f["inputs_tried"] for f in figures.values()))
