"""Trains the shipped model, resumable: the same command goes on from the last checkpoint.

    python3 train.py [--tokens N] [--out DIR] [--workers N] [--minutes M] [--from FILE] [--lr RATE]

Workers are forked processes of one thread each.  They hold the weights and the optimiser's state in shared memory;
each computes the gradient of its own batch in bfloat16 on a copy and then applies it under a lock.  The learning
rate rises over the first steps, stays, and falls to zero over the last part of --tokens (which may be changed when
resuming).  --from starts from the weights of a checkpoint or GGUF file instead of random ones.  SIGINT and SIGTERM
stop it after a checkpoint.  DIR gets checkpoint.pt (replaced in one step) and log.jsonl.  With more than one worker
the order of updates is a race, so that weights differ a little from run to run.
"""
import argparse
import json
import os
import signal
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F

import corpus
import export
import model
import tokenizer

ROW, ROWS = 128, 32             # tokens of a row, rows of a step
LR, WARMUP, DECAY = 2e-3, 150, 0.35     # peak, steps of rise, part of the tokens in which it falls to zero
BETAS, EPS, WEIGHT_DECAY, CLIP = (0.9, 0.98), 1e-8, 0.05, 1.0
MOMENTUM, MUON_SCALE = 0.95, 0.2        # a step of Muon is as large as one of AdamW: 0.2 sqrt(longer side)
PROMPT_SHARE = 0.1              # of the tokens of prompts that count in the loss, drawn at random; of answers all do
BALANCE, Z_LOSS = 0.01, 1e-3    # router losses: even load, small logits
SECOND_LIGHT, SECOND_PULL = 0.42, 2.5   # part of the tokens with a light second expert; pull on the second weights
OPPOSITION, COSINE = 1.0, -0.75 # loss on the two experts of a token unless they contradict so much: what one says alone
                                # is too much, as it must be for the second to matter
DROP_BELOW = 0.2                # lighter second experts are dropped at random while LR falls: dropping gets harmless
JOINED = 0.25                   # part of the rows in which an item sees the items before it


def rows_of_items(tok, seed):
    """Endless rows (ids, chance to count in the loss, item number), items packed one after the other."""
    ids, counts, item, number = [], [], [], 0
    for texts in corpus.training_items(seed):
        parts = [(tok.encode(text), tok.encode_answer(answer) + [tokenizer.EOS]) for text, answer in texts]
        parts[0][0].insert(0, tokenizer.BOS)
        if len(ids) + sum(len(p) + len(a) for p, a in parts) > ROW + 1:
            pad = ROW + 1 - len(ids)
            yield ids + [tokenizer.EOS] * pad, counts + [0.0] * pad, item + [-1] * pad
            ids, counts, item = [], [], []
        for p, a in parts:
            ids += p + a
            counts += [PROMPT_SHARE] * len(p) + [1.0] * len(a)
            item += [number] * (len(p) + len(a))
        number += 1


def batches(tok, seed):
    """Endless (ids, targets, positions that count, which of them are answers, attention mask) of ROWS rows."""
    source = rows_of_items(tok, seed)
    g = torch.Generator().manual_seed(seed)
    causal = torch.ones(ROW, ROW, dtype=torch.bool).tril()
    while True:
        ids, counts, item = (torch.tensor(x) for x in zip(*(next(source) for _ in range(ROWS))))
        same = item[:, :-1, None] == item[:, None, :-1]
        joined = torch.rand(ROWS, generator=g) < JOINED
        see = causal & (same | joined[:, None, None])
        mask = torch.zeros(ROWS, 1, ROW, ROW).masked_fill_(~see[:, None], -1e9)
        chance = counts[:, 1:].reshape(-1)
        pick = (torch.rand(chance.shape, generator=g) < chance).nonzero()[:, 0]
        yield ids[:, :-1], ids[:, 1:].reshape(-1)[pick], pick, chance[pick] == 1, mask


def dropping_route(logits, layer):
    """top-2, but a second expert of little weight is left out half of the time."""
    weight, chosen = model.top2(logits, layer)
    drop = (weight[:, 1] < DROP_BELOW) & (torch.rand(len(weight)) < 0.5)
    keep = torch.stack((torch.ones_like(weight[:, 0]), torch.where(drop, 0.0, 1.0)), 1)
    weight = weight * keep
    return weight / weight.sum(1, keepdim=True), chosen


def cosine(out):
    """Cosine [n] between what the two experts of a token say."""
    return F.cosine_similarity(out[:, 0], out[:, 1], dim=-1, eps=1e-6)


def router_losses(seen, cfg):
    """Balance, size of logits, opposition of experts, pull on the second ones' weights, summed over the layers.

    The pull is towards a distribution, which token gets which weight being left to the router: weights from 0.05 to 0.2
    for SECOND_LIGHT of the tokens (there the second expert can be left out), from 0.4 to 0.5 for the others (there it
    matters).  Without it the router soon chooses one expert only.
    """
    loss = 0.0
    n = len(seen[0][0])
    n_light = int(SECOND_LIGHT * n)
    wanted = torch.cat((torch.linspace(0.05, DROP_BELOW, n_light), torch.linspace(0.4, 0.5, n - n_light)))
    for logits, weight, chosen, out in seen:
        p = torch.softmax(logits, -1)
        load = torch.bincount(chosen.reshape(-1), minlength=cfg.n_expert) / chosen.numel()
        second = torch.softmax(logits.topk(2).values, -1)[:, 1].sort().values
        loss = (loss + BALANCE * cfg.n_expert * (load * p.mean(0)).sum()
                + Z_LOSS * torch.logsumexp(logits, -1).pow(2).mean()
                + OPPOSITION * (cosine(out) - COSINE).pow(2)[weight[:, 1] > DROP_BELOW].sum() / n
                + SECOND_PULL * (second - wanted).pow(2).mean())
    return loss


class Shared:
    """Weights, the optimiser's state and counters in shared memory, with checkpoint and update."""

    def __init__(self, cfg, out):
        self.cfg, self.out = cfg, out
        self.lock = mp.get_context("fork").Lock()
        shapes = cfg.shapes()
        n = sum(torch.Size(s).numel() for s in shapes.values())
        self.flat, self.m, self.v = (torch.zeros(n).share_memory_() for _ in range(3))
        self.steps = torch.zeros(1, dtype=torch.long).share_memory_()
        self.tokens = torch.zeros(1, dtype=torch.long).share_memory_()
        self.stop = torch.zeros(1, dtype=torch.bool).share_memory_()
        self.named, at = {}, 0
        for name, shape in shapes.items():
            size = torch.Size(shape).numel()
            self.named[name] = self.flat[at:at + size].view(shape)
            at += size

    def load(self, seed, start):
        """The last checkpoint, or the weights of file start, or fresh ones."""
        path = os.path.join(self.out, "checkpoint.pt")
        if os.path.exists(path):
            c = torch.load(path)
            for key in ("flat", "m", "v", "steps", "tokens"):
                getattr(self, key).copy_(c[key])
            return
        weights = export.load(start)[1] if start else model.initial_weights(self.cfg, seed)
        for name, t in weights.items():
            self.named[name].copy_(t)

    def save(self):
        path = os.path.join(self.out, "checkpoint.pt")
        with self.lock:
            torch.save({k: getattr(self, k) for k in ("flat", "m", "v", "steps", "tokens")}, path + ".part")
        os.replace(path + ".part", path)

    def update(self, grad, lr, n_tokens):
        """One step with a clipped gradient [n]; returns the gradient's norm.  Muon for matrices, AdamW for the rest."""
        norm = float(grad.norm())
        grad.mul_(min(1.0, CLIP / (norm + 1e-6)))
        with self.lock:
            self.steps += 1
            self.tokens += n_tokens
            t = int(self.steps)
            for name, p in self.named.items():
                g, m = self.part(grad, name), self.part(self.m, name)
                if is_matrix(name):
                    g.add_(m.mul_(MOMENTUM).add_(g), alpha=MOMENTUM)
                    continue
                v = self.part(self.v, name)
                m.lerp_(g, 1 - BETAS[0])
                v.mul_(BETAS[1]).addcmul_(g, g, value=1 - BETAS[1])
                size = v.sqrt().div_((1 - BETAS[1] ** t) ** 0.5).add_(EPS)
                p.mul_(1 - lr * (0 if model.is_precise(name) else WEIGHT_DECAY))
                p.addcdiv_(m, size, value=-lr / (1 - BETAS[0] ** t))
        for name, p in self.named.items():
            if is_matrix(name):
                step = orthogonal(self.part(grad, name)).mul_(-lr * MUON_SCALE * max(p.shape[-2:]) ** 0.5)
                with self.lock:
                    p.mul_(1 - lr * WEIGHT_DECAY).add_(step)
        return norm

    def part(self, flat, name):
        """The tensor's part of a flat tensor of all."""
        p = self.named[name]
        return flat[p.storage_offset():p.storage_offset() + p.numel()].view(p.shape)


def is_matrix(name):
    """Matrices between hidden states; embeddings, norms and routers are none."""
    return name.startswith("blk") and not model.is_precise(name)


def orthogonal(g):
    """About U V^T of g = U S V^T [..., rows, columns], by five Newton-Schulz steps in bfloat16 (Jordan 2024, Muon)."""
    x = (g if g.dim() == 3 else g[None]).to(torch.bfloat16)
    tall = x.shape[-2] > x.shape[-1]
    x = x.transpose(-1, -2).contiguous() if tall else x
    x = x / (x.float().flatten(-2).norm(dim=-1)[:, None, None].to(x.dtype) + 1e-20)
    for _ in range(5):
        a = torch.bmm(x, x.transpose(-1, -2))
        x = torch.baddbmm(x, torch.baddbmm(a, a, a, beta=-4.775, alpha=2.0315), x, beta=3.4445)
    return (x.transpose(-1, -2).contiguous() if tall else x).view(g.shape).float()


def learning_rate(peak, step, tokens, total):
    """(Learning rate, whether it falls already)."""
    left = max(0.0, 1 - tokens / total) / DECAY
    return peak * min(1.0, (step + 1) / WARMUP, left), left < 1


def work(shared, tok, args, rank, stop_at):
    """One worker: batches until all tokens are seen or the time is over."""
    torch.set_num_threads(1)
    cfg = shared.cfg
    seed = args.seed + 1000 * rank + 7919 * int(shared.steps)
    torch.manual_seed(seed)
    grad = torch.zeros_like(shared.flat)
    local, grads, at = {}, {}, 0
    for name, t in shared.named.items():
        local[name] = t.to(torch.float32 if model.is_precise(name) else torch.bfloat16).clone().requires_grad_()
        grads[name] = grad[at:at + t.numel()].view(t.shape)
        at += t.numel()
    log = open(os.path.join(args.out, "log.jsonl"), "a") if rank == 0 else None
    begin, began, saved = time.time(), int(shared.tokens), time.time()
    for ids, target, pick, answer, mask in batches(tok, seed):
        if shared.stop or int(shared.tokens) >= args.tokens or time.time() > stop_at:
            break
        for name, t in local.items():
            t.data.copy_(shared.named[name])
            t.grad = None
        step, tokens = int(shared.steps), int(shared.tokens)
        lr, falling = learning_rate(args.lr, step, tokens, args.tokens)
        seen = []
        logits = model.forward(local, cfg, ids, mask, dropping_route if falling else model.top2, seen, pick)
        each = F.cross_entropy(logits, target, reduction="none")
        loss = each.mean()
        (loss + router_losses(seen, cfg)).backward()
        for name, t in local.items():
            grads[name].copy_(t.grad)
        norm = shared.update(grad, lr, ids.numel())
        if rank == 0 and (step // args.workers) % 10 == 0:
            second = torch.stack([w[:, 1].detach() for _, w, _, _ in seen])
            log.write(json.dumps({
                "step": step, "tokens": tokens, "lr": round(lr, 6), "norm": round(norm, 3),
                "loss": round(float(loss), 4), "answer_loss": round(float(each[answer].mean()), 4),
                "second_mean": [round(float(s.mean()), 3) for s in second],
                "second_below": round(float((second < DROP_BELOW).float().mean()), 3),
                "max_load": round(max(float(c.reshape(-1).bincount().max()) / c.numel() for _, _, c, _ in seen), 3),
                "cosine": [round(float(cosine(out).mean()), 3) for *_, out in seen],
                "tokens_per_s": round((tokens - began) / (time.time() - begin + 1e-9)),
                "time": round(time.time())}) + "\n")
            log.flush()
            if time.time() - saved > args.save_every:
                shared.save()
                saved = time.time()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tokens", type=int, default=35_000_000)
    p.add_argument("--out", default="runs/train")
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--minutes", type=float, default=1e6, help="stop (with a checkpoint) after that time")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--from", dest="start", metavar="FILE")
    p.add_argument("--lr", type=float, default=LR, help="peak")
    p.add_argument("--save-every", type=float, default=120, help="seconds")
    args = p.parse_args()
    torch.set_num_threads(1)
    os.makedirs(args.out, exist_ok=True)
    shared = Shared(model.Config(), args.out)
    shared.load(args.seed, args.start)
    tok = tokenizer.Tokenizer.of_size(shared.cfg.n_vocab)
    stop_at = time.time() + 60 * args.minutes
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, lambda *_: shared.stop.fill_(True))
    fork = mp.get_context("fork")
    others = [fork.Process(target=work, args=(shared, tok, args, r, stop_at)) for r in range(1, args.workers)]
    for o in others:
        o.start()
    work(shared, tok, args, 0, stop_at)
    for o in others:
        o.join()
    shared.save()


if __name__ == "__main__":
    main()
