"""The engine against an outside truth: the reference models (needs $WDMOE_ORACLE) and the torch model that the shipped file came from.

Logits of 64 positions against a float64 reference and against llama.cpp, greedy continuations, tokenizer ids, perplexity, metadata keys of
the shipped file.
The comparison with torch (F32 export and the file as shipped) needs Debian's python3-torch and is told apart when it is missing.
"""
import array
import glob
import json
import os
import struct
import subprocess
import sys
import tempfile

from lib import gate

ORACLE = os.environ.get("WDMOE_ORACLE", "")
SHIPPED = "moe/models/wdmoe-tiny.gguf"
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's torch
TOLERANCE = {"mixtral-f32": 5e-5, "olmoe-f32": 5e-5, "granitemoe-f32": 5e-5, "qwen2moe-f32": 5e-5, "qwen3moe-f32": 5e-5,
             "mixtral-f16": 1e-4, "mixtral-q8_0": 1e-4, "mixtral-q4_k": 1e-4}
PERPLEXITY, PERPLEXITY_TOLERANCE = 7662.62, 0.05  # of eval/text.txt on mixtral-f32 in chunks of 128


def floats(path):
    values = array.array("f")
    with open(path, "rb") as f:
        values.frombytes(f.read())
    return values


def largest_difference(a, b):
    return max(abs(x - y) for x, y in zip(a, b)) if len(a) == len(b) else float("inf")


def run(command):
    done = subprocess.run(command, cwd=gate.SOURCE, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-600:]}")
    return done.stdout


def logits_of(model, tokens):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "logits.f32")
        subprocess.run([gate.WDMOE, "logits", "--model", model, "--tokens", tokens, "--out", out], check=True, cwd=gate.SOURCE,
                       stdout=subprocess.DEVNULL)
        return floats(out)


def reference_models():
    figures = {}
    for name, tolerance in TOLERANCE.items():
        ours = logits_of(f"{ORACLE}/{name}.gguf", f"{ORACLE}/{name}.tokens")
        llama = f"{ORACLE}/{name}.deq-logits.f32"
        figures[name] = {"against_float64": largest_difference(ours, floats(f"{ORACLE}/{name}.exact.f32")),
                         "against_llama_cpp": largest_difference(ours, floats(llama if os.path.exists(llama) else f"{ORACLE}/{name}.logits.f32")),
                         "tolerance": tolerance}
    return figures


def tokenizer_files():
    right = total = 0
    for ids in sorted(glob.glob(f"{ORACLE}/tok/*.ids")):
        which, model = os.path.basename(ids).split(".")[:2]
        text = os.path.join(ORACLE, "tok", which + ".txt")
        plain = ["--plain"] if ids.endswith(".plain.ids") else []
        done = subprocess.run([gate.WDMOE, "tokenize", *plain, "--model", f"{ORACLE}/{model}.gguf", text], capture_output=True, text=True)
        with open(ids) as f:
            right += json.loads(done.stdout) == json.loads(f.read())
        total += 1
    return {"files": total, "equal": right}


def greedy_continuations():
    """Of the first 16 tokens, 32 more: how many models continue as the reference does."""
    equal = {}
    for name in (n for n in TOLERANCE if n.endswith("f32")):
        with open(f"{ORACLE}/{name}.tokens") as f, tempfile.NamedTemporaryFile("w", suffix=".tokens") as prompt:
            prompt.write(" ".join(f.read().split()[:16]))
            prompt.flush()
            said = gate.wdmoe("generate", "--model", f"{ORACLE}/{name}.gguf", "--tokens", prompt.name, "--n-tokens", 32, "--ignore-eos")
        with open(f"{ORACLE}/{name}.greedy.txt") as f:
            right = [int(line.split()[0]) for line in f]
        equal[name] = said["tokens"] == right
    return equal


def perplexity():
    said = gate.wdmoe("eval", "ppl", "--model", f"{ORACLE}/mixtral-f32.gguf", "--chunk", 128, f"{ORACLE}/eval/text.txt")
    return {k: said[k] for k in ("perplexity", "stderr", "n_scored")} | {"right": PERPLEXITY, "tolerance": PERPLEXITY_TOLERANCE}


def metadata_keys(path):
    """The keys of a GGUF file, without their values."""
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    with open(path, "rb") as f:
        number = lambda fmt: struct.unpack("<" + fmt, f.read(struct.calcsize("<" + fmt)))[0]
        string = lambda: f.read(number("Q"))

        def skip(kind):
            if kind == 8:
                string()
            elif kind == 9:
                of, n = number("I"), number("Q")
                for _ in range(n):
                    skip(of)
            else:
                f.read(sizes[kind])

        assert f.read(4) == b"GGUF" and number("I") == 3
        number("Q")
        keys = set()
        for _ in range(number("Q")):
            keys.add(string().decode())
            skip(number("I"))
    return keys


def torch_model():
    """The shipped weights once more as F32, here and in torch; and the perplexity of the shipped file against that of the float32 weights
    it was made from, which torch left in tests/moe/data when it was exported."""
    with open(os.path.join(gate.SOURCE, "tests/moe/data/tiny.score.json")) as f:
        torch_perplexity = json.load(f)["perplexity"]["all"]
    perplexity = gate.wdmoe("eval", "tasks", "moe/models/heldout.jsonl", "--model", SHIPPED)["perplexity_all"]
    figures = {"perplexity_torch_f32": torch_perplexity, "perplexity_shipped": perplexity,
               "perplexity_ratio": perplexity / torch_perplexity, "tolerance": 0.005}
    figures["passed"] = abs(figures["perplexity_ratio"] - 1) <= 0.005
    if subprocess.run([PYTHON, "-c", "import torch"], capture_output=True).returncode:
        return figures | {"skipped": "logits against torch: no python3-torch"}
    with tempfile.TemporaryDirectory() as folder:
        f32, ours = os.path.join(folder, "f32.gguf"), os.path.join(folder, "ours.f32")
        tokens = "tests/moe/data/tiny.tokens"
        run([PYTHON, "moe/train/export.py", SHIPPED, f32, "--type", "f32"])
        run([gate.WDMOE, "logits", "--model", f32, "--tokens", tokens, "--out", ours])
        said = run([PYTHON, "moe/train/reference.py", "compare", f32, ours])
    figures["f32_export_largest_difference"] = float(said.split(":")[1])
    figures["passed"] &= figures["f32_export_largest_difference"] <= 1e-3
    return figures


if not ORACLE or not os.path.isdir(ORACLE):
    print("skipped: no reference models (set WDMOE_ORACLE)", file=sys.stderr)
    sys.exit(77)
models, tokenizer, torch = reference_models(), tokenizer_files(), torch_model()
greedy, chunks = greedy_continuations(), perplexity()
passed_more = all(greedy.values()) and abs(chunks["perplexity"] - PERPLEXITY) <= PERPLEXITY_TOLERANCE
passed = passed_more and all(max(m["against_float64"], m["against_llama_cpp"]) <= m["tolerance"] for m in models.values())
passed &= tokenizer["files"] > 0 and tokenizer["equal"] == tokenizer["files"]
passed &= torch["passed"]
reference_keys, shipped_keys = metadata_keys(f"{ORACLE}/mixtral-f32.gguf"), metadata_keys(os.path.join(gate.SOURCE, SHIPPED))
keys = {"missing": sorted(reference_keys - shipped_keys), "more": sorted(shipped_keys - reference_keys)}
passed &= not keys["missing"]
gate.finish("engine", {"shipped": SHIPPED}, {"reference_models": models, "greedy_equal": greedy, "perplexity": chunks, "tokenizer": tokenizer, "torch": torch, "metadata_keys": keys}, passed)
