"""wdmoe eval mc against likelihoods put together here from `tokenize` and `logits`, in the fields of each data set."""
import array
import json
import math
import os
import statistics
import subprocess
import sys

WDMOE, MODEL = os.environ["WDMOE"], os.environ["MODEL_MINI"]
NAMES = ["the radio", "carries", "a token to it", "nothing", "the sum of all\u2014so far", "two"]
RECORDS = {
    "piqa": [{"goal": f"send {a}", "sol1": b, "sol2": a + " " + b, "label": i % 2} for i, (a, b) in enumerate(zip(NAMES, NAMES[1:]))],
    "arc": [{"id": "x", "question": f"what is {a}?", "choices": {"text": NAMES[i:] + NAMES[:i], "label": list("ABCDEF")}, "answerKey": "ACBFED"[i]}
            for i, a in enumerate(NAMES)],
    "boolq": [{"passage": f"{a} is {b}.", "question": f"is {b} {a}", "label": i % 2} for i, (a, b) in enumerate(zip(NAMES, NAMES[2:]))],
    "mmlu": [{"question": f" which is {a}? ", "subject": "s", "choices": NAMES[i:i + 4], "answer": i} for i, a in enumerate(NAMES[:3])],
    "generic": [{"context": f"{a} and  ", "choices": NAMES[:4], "gold": i % 4} for i, a in enumerate(NAMES)],
}


def asked(task, r):
    """(context, choices, the right one)"""
    if task == "piqa":
        return f"Question: {r['goal']}\nAnswer:", [r["sol1"], r["sol2"]], r["label"]
    if task == "arc":
        return f"Question: {r['question']}\nAnswer:", r["choices"]["text"], r["choices"]["label"].index(r["answerKey"])
    if task == "boolq":
        return f"{r['passage']}\nQuestion: {r['question']}?\nAnswer:", ["no", "yes"], r["label"]
    if task == "mmlu":
        lines = [f"{letter}. {c}" for letter, c in zip("ABCD", r["choices"])]
        return "\n".join([r["question"].strip(), *lines, "Answer:"]), list("ABCD"), r["answer"]
    return r["context"], r["choices"], r["gold"]


def ids_of(text):
    with open("text", "w") as f:
        f.write(text)
    said = subprocess.run([WDMOE, "tokenize", "--plain", "--model", MODEL, "text"], check=True, capture_output=True, text=True)
    return [1] + json.loads(said.stdout)


def likelihood(context, choice):
    ids, n_context = ids_of(context + " " + choice), len(ids_of(context.rstrip()))
    with open("ids", "w") as f:
        f.write(" ".join(map(str, ids)))
    subprocess.run([WDMOE, "logits", "--model", MODEL, "--tokens", "ids", "--out", "logits"], check=True, stdout=subprocess.DEVNULL)
    logits = array.array("f")
    with open("logits", "rb") as f:
        logits.frombytes(f.read())
    n_vocab, total = len(logits) // len(ids), 0.0
    for i in range(n_context, len(ids)):
        row = logits[(i - 1) * n_vocab:i * n_vocab]
        top = max(row)
        total += row[ids[i]] - top - math.log(sum(math.exp(x - top) for x in row))
    return total


def check(task):
    with open(task + ".jsonl", "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in RECORDS[task])
    subprocess.run([WDMOE, "eval", "mc", task + ".jsonl", "--task", task, "--model", MODEL, "--per-item", "--json", "out.json"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open("out.json") as f:
        said = json.load(f)
    right, right_norm = [], []
    for record, item in zip(RECORDS[task], said["per_item"]):
        context, choices, gold = asked(task, record)
        ours = [likelihood(context, c) for c in choices]
        assert item["gold"] == gold, (task, item)
        assert max(abs(a - b) for a, b in zip(ours, item["log_likelihood_nats"])) < 1e-3, (task, item, ours)
        norm = [x / len(c) for x, c in zip(ours, choices)]
        right.append(float(ours.index(max(ours)) == gold))
        right_norm.append(float(norm.index(max(norm)) == gold))
    for name, values in (("acc", right), ("acc_norm", right_norm)):
        assert abs(said[name] - statistics.fmean(values)) < 1e-9, (task, name)
        assert abs(said[name + "_stderr"] - statistics.stdev(values) / math.sqrt(len(values))) < 1e-9, (task, name)
    assert said["n"] == len(RECORDS[task])


def refused(name, content, word, task="piqa"):
    with open(name, "w") as f:
        f.write(content)
    done = subprocess.run([WDMOE, "eval", "mc", name, "--task", task, "--model", MODEL], capture_output=True, text=True)
    assert done.returncode == 2 and word in done.stderr and done.stderr.count("\n") == 1, (name, done.stderr)


for task in RECORDS:
    check(task)
good = json.dumps(RECORDS["piqa"][0]) + "\n"
refused("empty", "", "no question")
refused("cut", good + good[:20], "cut:2:")
refused("other", good, "other:1:", "arc")
refused("label", good.replace('"label": 0', '"label": 2'), "label:1:")
refused("long", json.dumps({"context": "x", "choices": ["y", "z " * 200], "gold": 0}), "question 0", "generic")
sys.exit(0)
