"""Accuracy and perplexity of a model on the held-out sets, with all experts or some of them wrong.

    python3 evaluate.py WEIGHTS [--n ITEMS] [--experts top2,top1,drop<0.2,random,dead:0] [--json FILE]

WEIGHTS is a checkpoint or a GGUF file.  An answer is right when greedy text equals it, which is so when, along the
right answer, the most likely token is the right one each time, <eos> included: one pass tells, without generating.
Perplexity is over the tokens of answers, <eos> included, and over all tokens of the items after <s>.

Expert policies, as of `wdmoe eval tasks`: top2 as trained; top1 without the second expert; drop<W without the second
expert where its weight is below W; random: experts drawn at random, with the router's weights; random2: only the second
is drawn; dead:K: expert K is left out.  What is left when experts are left out has weights that sum to 1 again.
"""
import argparse
import json
import math
import sys

import torch
import torch.nn.functional as F

import corpus
import export
import model
import tokenizer

BATCH = 100


def policy(name):
    """A route for model.forward from a policy's name."""
    if name == "top2":
        return model.top2

    def route(logits, layer):
        weight, chosen = model.top2(logits, layer)
        if name == "top1":
            weight = torch.tensor([1.0, 0.0]).expand_as(weight)
        elif name.startswith("drop<"):
            light = weight[:, 1:] < float(name[5:])
            weight = torch.where(light, torch.tensor([1.0, 0.0]), weight)
        elif name == "random":
            chosen = torch.rand_like(logits).topk(2).indices
        elif name == "random2":
            other = torch.rand_like(logits).scatter(1, chosen[:, :1], -1.0).argmax(1)
            chosen = torch.stack((chosen[:, 0], other), 1)
        elif name.startswith("dead:"):
            weight = weight * (chosen != int(name[5:]))
            weight = weight / weight.sum(1, keepdim=True)
        else:
            raise ValueError(f"unknown expert policy {name}")
        return weight.contiguous(), chosen

    return route


def batches(tok, items):
    """Items of like length together: (items, their sequences of ids, where the answers start)."""
    coded = []
    for item in items:
        prompt = [tokenizer.BOS] + tok.encode(item["prompt"])
        answer = tok.encode_answer(item["answer"]) + [tokenizer.EOS]
        coded.append((item, prompt + answer, len(prompt)))
    coded.sort(key=lambda c: (c[2], len(c[1])))
    for i in range(0, len(coded), BATCH):
        yield coded[i:i + BATCH]


def score(weights, cfg, tok, items, route):
    """One pass over the items: {"accuracy": {family: part}, "mean", "perplexity": {"answer", "all"}, "tokens": ...}."""
    total, count = {"answer": 0.0, "all": 0.0}, {"answer": 0, "all": 0}
    right, asked = {}, {}
    for batch in batches(tok, items):
        longest = max(len(ids) for _, ids, _ in batch)
        ids = torch.tensor([ids + [tokenizer.EOS] * (longest - len(ids)) for _, ids, _ in batch])
        logits = model.forward(weights, cfg, ids[:, :-1], route=route)
        loss = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none").double()
        best = logits.argmax(-1) == ids[:, 1:]
        for row, hit, (item, whole, start) in zip(loss, best, batch):
            for what, first in (("answer", start - 1), ("all", 0)):
                total[what] += float(row[first:len(whole) - 1].sum())
                count[what] += len(whole) - 1 - first
            family = item["family"]
            asked[family] = asked.get(family, 0) + 1
            right[family] = right.get(family, 0) + bool(hit[start - 1:len(whole) - 1].all())
    accuracy = {f: right[f] / asked[f] for f in corpus.FAMILIES if f in asked}
    return {"accuracy": accuracy, "mean": sum(accuracy.values()) / len(accuracy),
            "perplexity": {k: math.exp(total[k] / count[k]) for k in total}, "tokens": count}


def second_weights(weights, cfg, tok, items):
    """Parts of the second expert's weights below 0.1, 0.2, 0.3, 0.4 and 0.5."""
    seen = []
    for batch in batches(tok, items):
        shortest = min(len(ids) for _, ids, _ in batch)
        model.forward(weights, cfg, torch.tensor([ids[:shortest] for _, ids, _ in batch]), seen=seen)
    second = torch.cat([w[:, 1] for _, w, _, _ in seen])
    return {f"<{t / 10}": round(float((second < t / 10).float().mean()), 4) for t in range(1, 6)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weights")
    p.add_argument("--n", type=int, default=corpus.N_HELDOUT)
    p.add_argument("--experts", default="top2,top1,drop<0.2,random,dead:0")
    p.add_argument("--json")
    args = p.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    cfg, weights, tok = export.load(args.weights)
    items = list(corpus.heldout_items(args.n))
    report = {"n": args.n, "second_weight": second_weights(weights, cfg, tok, items)}
    print("second weight", report["second_weight"])
    print(f"{'':10}", *(f"{f[:9]:>9}" for f in corpus.FAMILIES), f"{'mean':>7} {'ppl':>7} {'ppl all':>8}")
    for name in args.experts.split(","):
        torch.manual_seed(1)
        report[name] = r = score(weights, cfg, tok, items, policy(name))
        print(f"{name:10}", *(f"{100 * a:9.1f}" for a in r["accuracy"].values()), f"{100 * r['mean']:7.2f}",
              f"{r['perplexity']['answer']:7.4f} {r['perplexity']['all']:8.4f}", flush=True)
    if args.json:
        with open(args.json, "w", encoding="ascii") as out:
            json.dump(report, out, indent=1)
            out.write("\n")


if __name__ == "__main__":
    main()
