"""What the model must compute, for the tests of the C engine: written small enough to ship with them.

    python3 reference.py mini FILE.gguf STEM       STEM.tokens and STEM.logits.f32 by a second, float64 forward pass
    python3 reference.py torch WEIGHTS STEM        STEM.tokens, STEM.torch-logits.f32 and STEM.score.json by torch in
                                                   float32; WEIGHTS is a checkpoint or a GGUF file
    python3 reference.py compare FILE.gguf A.f32   largest difference between logits in a file and torch on FILE.gguf

Logits are little-endian float32 [n_tokens][n_vocab].  Accuracy and perplexity are over the held-out items as
evaluate.py defines them.
"""
import json
import sys

import numpy as np
import torch

import corpus
import evaluate
import export
import gguf
import model
import tokenizer

N_TOKENS = 64


def some_tokens(tok, n):
    """n token ids of held-out items one after the other, each with its <s> and </s>."""
    ids = []
    for item in corpus.heldout_items(10):
        ids += [tokenizer.BOS] + tok.encode(item["prompt"]) + tok.encode_answer(item["answer"]) + [tokenizer.EOS]
    return ids[:n]


def write_tokens(path, ids):
    with open(path, "w", encoding="ascii") as out:
        out.write(" ".join(map(str, ids)) + "\n")


def forward_float64(r, ids):
    """Logits [n, n_vocab] of a GGUF file, position by position in float64, sharing no code with model.py."""
    get = lambda key: r.get("llama." + key)
    w = lambda name: r.tensor(name + ".weight").astype(np.float64)
    heads, kv_heads = get("attention.head_count"), get("attention.head_count_kv")
    hd = get("embedding_length") // heads
    norm = lambda x, name: x / np.sqrt(np.mean(x * x) + get("attention.layer_norm_rms_epsilon")) * w(name)
    theta = get("rope.freq_base") ** (-2.0 * np.arange(hd // 2) / hd)

    def rope(x, pos):
        z = (x[0::2] + 1j * x[1::2]) * np.exp(1j * pos * theta)
        return np.stack((z.real, z.imag), 1).reshape(-1)

    xs = [w("token_embd")[i] for i in ids]
    for layer in range(get("block_count")):
        blk = f"blk.{layer}."
        keys, values = [], []
        for pos, x in enumerate(xs):
            h = norm(x, blk + "attn_norm")
            q, k, v = (w(blk + "attn_" + c) @ h for c in "qkv")
            keys.append([rope(y, pos) for y in k.reshape(kv_heads, hd)])
            values.append(v.reshape(kv_heads, hd))
            out = []
            for i, qi in enumerate(q.reshape(heads, hd)):
                j = i * kv_heads // heads
                score = np.array([rope(qi, pos) @ kk[j] for kk in keys]) / np.sqrt(hd)
                p = np.exp(score - score.max())
                out.append(sum(pi * vv[j] for pi, vv in zip(p / p.sum(), values)))
            x = x + w(blk + "attn_output") @ np.concatenate(out)
            h = norm(x, blk + "ffn_norm")
            router = w(blk + "ffn_gate_inp") @ h
            p = np.exp(router - router.max())
            best = np.argsort(-p, kind="stable")[:get("expert_used_count")]
            for e in best:
                g = w(blk + "ffn_gate_exps")[e] @ h
                y = w(blk + "ffn_down_exps")[e] @ (g / (1 + np.exp(-g)) * (w(blk + "ffn_up_exps")[e] @ h))
                x = x + p[e] / p[best].sum() * y
            xs[pos] = x
    return np.array([w("output") @ norm(x, "output_norm") for x in xs])


def mini(file, stem):
    r = gguf.Reader(file)
    cfg, weights, tok = export.weights_of_gguf(file)
    ids = some_tokens(tok, N_TOKENS)
    logits = forward_float64(r, ids)
    by_torch = model.forward(weights, cfg, torch.tensor([ids]))[0].numpy()
    print("float64 against torch, largest difference:", np.abs(logits - by_torch).max())
    write_tokens(stem + ".tokens", ids)
    logits.astype("<f4").tofile(stem + ".logits.f32")


def by_torch(path, stem):
    cfg, weights, tok = export.load(path)
    ids = some_tokens(tok, N_TOKENS)
    write_tokens(stem + ".tokens", ids)
    model.forward(weights, cfg, torch.tensor([ids]))[0].numpy().astype("<f4").tofile(stem + ".torch-logits.f32")
    with open(stem + ".score.json", "w", encoding="ascii") as out:
        json.dump(evaluate.score(weights, cfg, tok, list(corpus.heldout_items()), model.top2), out, indent=1)
        out.write("\n")


def compare(file, logits):
    cfg, weights, tok = export.load(file)
    ids = some_tokens(tok, N_TOKENS)
    mine = model.forward(weights, cfg, torch.tensor([ids]))[0].numpy()
    print("largest difference:", np.abs(mine - np.fromfile(logits, "<f4").reshape(mine.shape)).max())


if __name__ == "__main__":
    commands = {"mini": mini, "torch": by_torch, "compare": compare}
    if len(sys.argv) != 4 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    commands[sys.argv[1]](*sys.argv[2:])
