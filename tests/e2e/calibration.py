"""`wdmoe model sensitivity` and `similarity`, and a scenario that reads what they wrote."""
import json
import os
import subprocess
import sys

WDMOE, MINI, SOURCE = os.environ["WDMOE"], os.environ["MODEL_MINI"], os.environ["SOURCE_DIR"]
failures = 0


def check(what, ok):
    global failures
    if not ok:
        failures += 1
        print("FAIL:", what, file=sys.stderr)


def run(*args):
    return subprocess.run([WDMOE, *args], cwd=SOURCE, capture_output=True, text=True)


with open("text", "w") as f:
    f.write("joe key, tom fork, ian ball. fork? tom\n\n6+60=66\nred car, blue hat\n")
here = os.getcwd()
reports = {}
for what in ("sensitivity", "similarity"):
    done = run("model", what, f"{here}/text", "--model", MINI, "--json", f"{here}/{what}.json")
    check(f"{what}: exit status {done.returncode}: {done.stderr}", done.returncode == 0)
    with open(f"{what}.json") as f:
        reports[what] = json.load(f)
s, t = reports["sensitivity"], reports["similarity"]
n_layer, n_expert = t["n_layer"], t["n_expert"]
check("a sensitivity a layer", len(s["sensitivity"]) == n_layer == len(s["layers"]))
check("their mean is 1", abs(sum(s["sensitivity"]) / n_layer - 1) < 1e-9)
for layer, relative in zip(s["layers"], s["sensitivity"]):
    kl = sum(b["kl_each_nats"] * b["left_out"] for b in layer["bins"] if b["left_out"])
    check("leaving an expert out moves the model", kl > 0 and layer["nats"] > 0)
    check("relative to the mean", abs(layer["nats"] / s["nats_mean"] - relative) < 1e-9)
check("every pair of experts", len(t["similarity"]) == n_layer * n_expert**2)
for i in range(n_layer * n_expert):
    row = t["similarity"][i * n_expert:(i + 1) * n_expert]
    check("an expert is like itself", row[i % n_expert] == 1 and all(0 <= x <= 1 for x in row))

base = ["run", "--model", MINI, "--set", "csi_log=off", "--set", "model.n_tokens=2", "--set", f"out={here}/runs"]
done = run(*base, "--set", "scheduler.policy=frontier", "--set", f"scheduler.sensitivity={here}/sensitivity.json", "--json", f"{here}/run.json")
check(f"a run with sensitivities: {done.stderr}", done.returncode == 0)
done = run(*base[:-1], f"out={here}/runs2", "--set", "scheduler.policy=sift", "--set", f"scheduler.similarity={here}/similarity.json")
check(f"a run with similarities: {done.stderr}", done.returncode == 0)
done = run("run", "--set", f"scheduler.sensitivity={here}/sensitivity.json", "--set", f"out={here}/runs3")
check(f"of another model: {done.returncode} {done.stderr}", done.returncode == 2 and "another model" in done.stderr)
done = run("model", "sensitivity", "no such file")
check("no text", done.returncode == 2 and done.stderr.count("\n") == 1)

print(f"{failures} checks failed" if failures else "all checks passed")
sys.exit(1 if failures else 0)
