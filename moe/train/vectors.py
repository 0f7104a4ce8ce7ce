"""Small models with random weights of every architecture but llama, and what they must compute, for the unit tests.

    python3 vectors.py FOLDER [SEED]

For each architecture FOLDER/NAME.gguf and NAME.logits.f32 ([64][n_vocab], little-endian float32, computed in float64);
qwen3moe is written as a model split over two files.  bpe.tokens holds the 64 ids, which are bpe.txt by the vocabulary
that all share: 256 bytes, joins, one control token.  The forward pass follows the papers and shares no code with model.py.
"""
import os
import re
import sys

import numpy as np

import gguf

N_TOKENS, N_LAYER, N_EMBD, N_HEAD, N_FF, N_EXPERT, N_USED, N_SHARED = 64, 2, 32, 4, 16, 5, 2, 24
TEXT = "the radio carries the tokens to the experts and the experts carry the sums to the radio at the other end of the lane where the sea"
JOINS = "t h|th e|Ġ the|e r|Ġ t|o n|r a|d i|ra di|radi o|Ġ radio|e x|Ġ ex|er t|Ġex p|Ġexp ert|Ġexpert s|c a|Ġ ca|Ġca rr|r r"
CONTROL = "<|endoftext|>"

# Per architecture: rule for words, key-value heads, width of a head, what is peculiar.
ARCHS = {
    "olmoe": dict(pre="olmo", kv=4, hd=8, halves=True, qk_norm="whole"),
    "granitemoe": dict(pre="refact", kv=2, hd=8, renormalise=True, tied=True, shared="plain",
                       scales=dict(embedding_scale=3.0, residual_scale=0.25, attention=0.0625, logit_scale=0.375)),
    "qwen2moe": dict(pre="qwen2", kv=4, hd=8, halves=True, shared="gated", bias=True),
    "qwen3moe": dict(pre="qwen2", kv=2, hd=12, halves=True, qk_norm="head", renormalise=True, parts=2),
}
EPS, ROPE_BASE = 1e-5, 50000.0


# --- vocabulary ---

def byte_characters():
    """A printable character for each byte: itself if Latin-1 prints it, else the next from U+0100."""
    printable = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def vocabulary():
    joins = JOINS.split("|")
    return [*byte_characters().values(), *(j.replace(" ", "") for j in joins), CONTROL], joins


def encode(text):
    """By the plain rule: in each word the pair that comes first in the list is joined, until none is left."""
    tokens, joins = vocabulary()
    characters, ids = byte_characters(), []
    for word in re.findall(r" ?[a-z]+", text):
        parts = [characters[b] for b in word.encode()]
        while True:
            pairs = [f"{a} {b}" for a, b in zip(parts, parts[1:])]
            known = [p for p in pairs if p in joins]
            if not known:
                break
            i = pairs.index(min(known, key=joins.index))
            parts[i:i + 2] = [parts[i] + parts[i + 1]]
        ids += [tokens.index(p) for p in parts]
    return ids


# --- files ---

def keys(name, a):
    u32, f32, text = gguf.U32, gguf.F32_VALUE, gguf.STRING
    tokens, joins = vocabulary()
    scales = a.get("scales", {})
    own = [("block_count", u32, N_LAYER), ("context_length", u32, 128), ("embedding_length", u32, N_EMBD),
           ("feed_forward_length", u32, N_FF), ("attention.head_count", u32, N_HEAD),
           ("attention.head_count_kv", u32, a["kv"]), ("attention.key_length", u32, a["hd"]),
           ("attention.value_length", u32, a["hd"]), ("attention.layer_norm_rms_epsilon", f32, EPS),
           ("rope.freq_base", f32, ROPE_BASE), ("expert_count", u32, N_EXPERT), ("expert_used_count", u32, N_USED),
           ("expert_feed_forward_length", u32, N_FF)]
    own += [("attention.scale" if k == "attention" else k, f32, v) for k, v in scales.items()]
    if "shared" in a:
        own.append(("expert_shared_feed_forward_length", u32, N_SHARED))
    end = tokens.index(CONTROL)
    return [("general.architecture", text, name)] + [(f"{name}.{k}", kind, v) for k, kind, v in own] + [
        ("tokenizer.ggml.model", text, "gpt2"), ("tokenizer.ggml.pre", text, a["pre"]),
        ("tokenizer.ggml.tokens", gguf.ARRAY, (gguf.STRING, tokens)),
        ("tokenizer.ggml.token_type", gguf.ARRAY, (gguf.I32, [1] * end + [3])),
        ("tokenizer.ggml.merges", gguf.ARRAY, (gguf.STRING, joins)),
        ("tokenizer.ggml.bos_token_id", u32, end), ("tokenizer.ggml.eos_token_id", u32, end)]


def weights(a, rng):
    """[(name, type, array)]: matrices as F16, everything else as F32."""
    n_vocab, hd = len(vocabulary()[0]), a["hd"]
    tensors = []

    def add(name, *shape, around=0.0, spread=None, kind=gguf.F16):
        spread = spread or 1 / np.sqrt(shape[-1])
        x = around + spread * rng.standard_normal(shape)
        tensors.append((name, kind, x.astype("<f2" if kind == gguf.F16 else "<f4").astype(np.float32)))

    def norm(name, n):
        add(name + ".weight", n, around=1.0, spread=0.2, kind=gguf.F32)

    add("token_embd.weight", n_vocab, N_EMBD, spread=1.0)
    norm("output_norm", N_EMBD)
    if not a.get("tied"):
        add("output.weight", n_vocab, N_EMBD)
    for layer in range(N_LAYER):
        b = f"blk.{layer}."
        norm(b + "attn_norm", N_EMBD)
        for c, heads in (("q", N_HEAD), ("k", a["kv"]), ("v", a["kv"])):
            add(f"{b}attn_{c}.weight", heads * hd, N_EMBD)
            if a.get("bias"):
                add(f"{b}attn_{c}.bias", heads * hd, spread=0.3, kind=gguf.F32)
            if c != "v" and "qk_norm" in a:
                norm(f"{b}attn_{c}_norm", heads * hd if a["qk_norm"] == "whole" else hd)
        add(b + "attn_output.weight", N_EMBD, N_HEAD * hd)
        norm(b + "ffn_norm", N_EMBD)
        add(b + "ffn_gate_inp.weight", N_EXPERT, N_EMBD, kind=gguf.F32)
        add(b + "ffn_gate_exps.weight", N_EXPERT, N_FF, N_EMBD)
        add(b + "ffn_up_exps.weight", N_EXPERT, N_FF, N_EMBD)
        add(b + "ffn_down_exps.weight", N_EXPERT, N_EMBD, N_FF)
        if "shared" in a:
            add(b + "ffn_gate_shexp.weight", N_SHARED, N_EMBD)
            add(b + "ffn_up_shexp.weight", N_SHARED, N_EMBD)
            add(b + "ffn_down_shexp.weight", N_EMBD, N_SHARED)
        if a.get("shared") == "gated":
            add(b + "ffn_gate_inp_shexp.weight", N_EMBD, kind=gguf.F32)
    return tensors


def write(folder, name, a, tensors):
    parts = a.get("parts", 1)
    if parts == 1:
        gguf.write(os.path.join(folder, name + ".gguf"), keys(name, a), tensors)
        return
    u16, each = 2, -(-len(tensors) // parts)
    for no in range(parts):
        split = [("split.no", u16, no), ("split.count", u16, parts), ("split.tensors.count", gguf.I32, len(tensors))]
        gguf.write(os.path.join(folder, f"{name}-{no + 1:05}-of-{parts:05}.gguf"), (keys(name, a) if no == 0 else []) + split,
                   tensors[no * each:(no + 1) * each])


# --- what they compute ---

def rms(x, w):
    return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + np.float64(np.float32(EPS))) * w


def rotate(x, pos, halves):
    """x: [heads][hd]."""
    n = x.shape[1] // 2
    angle = pos * ROPE_BASE ** (-np.arange(n) / n)
    a, b = (x[:, :n], x[:, n:]) if halves else (x[:, 0::2], x[:, 1::2])
    re, im = a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)
    return np.concatenate((re, im), 1) if halves else np.stack((re, im), 2).reshape(x.shape)


def swiglu(h, gate, up, down):
    g = gate @ h
    return down @ (g / (1 + np.exp(-g)) * (up @ h))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def attend(w, b, a, xs, scale):
    """Attention's output at every position; xs: normed."""
    hd, out, ks, vs = a["hd"], [], [], []
    for pos, x in enumerate(xs):
        q, k, v = (w[f"{b}attn_{c}.weight"] @ x + w.get(f"{b}attn_{c}.bias", 0) for c in "qkv")
        q, k = (rms(y, w[f"{b}attn_{c}_norm.weight"]) if a.get("qk_norm") == "whole" else y for c, y in (("q", q), ("k", k)))
        q, k, v = q.reshape(N_HEAD, hd), k.reshape(-1, hd), v.reshape(-1, hd)
        q, k = (rms(y, w[f"{b}attn_{c}_norm.weight"]) if a.get("qk_norm") == "head" else y for c, y in (("q", q), ("k", k)))
        ks.append(rotate(k, pos, a.get("halves")))
        vs.append(v)
        q = rotate(q, pos, a.get("halves"))
        heads = []
        for i in range(N_HEAD):
            j = i * a["kv"] // N_HEAD
            p = softmax(np.array([q[i] @ kk[j] for kk in ks]) * scale)
            heads.append(sum(pi * vv[j] for pi, vv in zip(p, vs)))
        out.append(w[b + "attn_output.weight"] @ np.concatenate(heads))
    return out


def feed_forward(w, b, a, h):
    p = softmax(w[b + "ffn_gate_inp.weight"] @ h)
    best = np.argsort(-p)[:N_USED]
    total = p[best].sum() if a.get("renormalise") else 1.0
    y = sum(p[e] / total * swiglu(h, *(w[f"{b}ffn_{c}_exps.weight"][e] for c in ("gate", "up", "down"))) for e in best)
    if "shared" in a:
        gate = 1 / (1 + np.exp(-w[b + "ffn_gate_inp_shexp.weight"] @ h)) if a["shared"] == "gated" else 1.0
        y = y + gate * swiglu(h, *(w[f"{b}ffn_{c}_shexp.weight"] for c in ("gate", "up", "down")))
    return y


def forward(a, tensors, ids):
    w = {name: x.astype(np.float64) for name, _, x in tensors}
    s = dict(embedding_scale=1.0, residual_scale=1.0, attention=a["hd"] ** -0.5, logit_scale=1.0) | a.get("scales", {})
    xs = [w["token_embd.weight"][i] * s["embedding_scale"] for i in ids]
    for layer in range(N_LAYER):
        b = f"blk.{layer}."
        out = attend(w, b, a, [rms(x, w[b + "attn_norm.weight"]) for x in xs], s["attention"])
        xs = [x + y * s["residual_scale"] for x, y in zip(xs, out)]
        xs = [x + s["residual_scale"] * feed_forward(w, b, a, rms(x, w[b + "ffn_norm.weight"])) for x in xs]
    head = w.get("output.weight", w["token_embd.weight"])
    return np.array([head @ rms(x, w["output_norm.weight"]) for x in xs]) / s["logit_scale"]


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder, rng = sys.argv[1], np.random.default_rng(int(sys.argv[2]) if len(sys.argv) == 3 else 1)
    ids = encode(TEXT)
    if len(ids) < N_TOKENS:
        sys.exit(f"the text has {len(ids)} tokens only")
    for name, text in (("bpe.txt", TEXT), ("bpe.tokens", " ".join(map(str, ids)) + "\n")):
        with open(os.path.join(folder, name), "w", encoding="ascii") as out:
            out.write(text)
    for name, a in ARCHS.items():
        tensors = weights(a, rng)
        write(folder, name, a, tensors)
        forward(a, tensors, ids[:N_TOKENS]).astype("<f4").tofile(os.path.join(folder, name + ".logits.f32"))


if __name__ == "__main__":
    main()
