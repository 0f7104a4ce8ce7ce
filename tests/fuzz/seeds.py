"""First inputs of the fuzz targets of moe and testbed: python3 seeds.py writes them to corpus/gguf, tokenizer, codec and wire.

Model files of one layer and a handful of numbers, one for each architecture, tokenizer and some tensor types; texts; rows as the codecs
write them; a call and a hello.
"""
import os
import struct
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "moe", "train"))
import gguf  # noqa: E402

N_EMBD, N_FF, N_EXPERT = 4, 4, 2


def put(target, name, content):
    folder = os.path.join(HERE, "corpus", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as out:
        out.write(content)


def model(arch, tokenizer, rule, kind, width=N_EMBD, extra=()):
    """A file of one layer; kind: type of its matrices."""
    u32, f32, text = gguf.U32, gguf.F32_VALUE, gguf.STRING
    pieces = ["<unk>", "<s>", "</s>", "a", "b", "ab", "\u2581", "t"] if tokenizer == "llama" else ["a", "b", "ab", "\u0120", "t", "<s>"]
    types = [2, 3, 3] + [1] * 5 if tokenizer == "llama" else [1] * 5 + [3]
    keys = [("general.architecture", text, arch), *((f"{arch}.{k}", u32, v) for k, v in (
        ("block_count", 1), ("context_length", 8), ("embedding_length", width), ("feed_forward_length", width),
        ("attention.head_count", 2), ("attention.head_count_kv", 1), ("expert_count", N_EXPERT), ("expert_used_count", 1))),
            (f"{arch}.attention.layer_norm_rms_epsilon", f32, 1e-5), ("tokenizer.ggml.model", text, tokenizer),
            ("tokenizer.ggml.tokens", gguf.ARRAY, (text, pieces)), ("tokenizer.ggml.token_type", gguf.ARRAY, (gguf.I32, types)), *extra]
    if tokenizer == "llama":
        keys += [("tokenizer.ggml.scores", gguf.ARRAY, (f32, [float(-i) for i in range(len(pieces))])), ("tokenizer.ggml.unknown_token_id", u32, 0)]
    else:
        keys += [("tokenizer.ggml.merges", gguf.ARRAY, (text, ["a b"])), ("tokenizer.ggml.pre", text, rule)]
    rng = np.random.default_rng(1)
    tensors = []

    def add(name, *shape, precise=False):
        tensors.append((name, gguf.F32 if precise else kind, rng.standard_normal(shape).astype(np.float32)))

    add("token_embd.weight", len(pieces), width)
    add("output_norm.weight", width, precise=True)
    add("output.weight", len(pieces), width)
    b = "blk.0."
    for name in ("attn_norm", "ffn_norm"):
        add(f"{b}{name}.weight", width, precise=True)
    head = width // 2
    for name, rows, cols in (("q", width, width), ("k", head, width), ("v", head, width), ("output", width, width)):
        add(f"{b}attn_{name}.weight", rows, cols)
    if arch in ("olmoe", "qwen3moe"):
        add(f"{b}attn_q_norm.weight", width if arch == "olmoe" else head, precise=True)
        add(f"{b}attn_k_norm.weight", head, precise=True)
    add(b + "ffn_gate_inp.weight", N_EXPERT, width, precise=True)
    for name in ("gate", "up", "down"):
        add(f"{b}ffn_{name}_exps.weight", N_EXPERT, width, width)
    if arch == "qwen2moe":
        add(b + "ffn_gate_inp_shexp.weight", width, precise=True)
        for name in ("gate", "up", "down"):
            add(f"{b}ffn_{name}_shexp.weight", width, width)
    path = os.path.join(HERE, "corpus", "gguf", "part")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    gguf.write(path, keys, tensors)
    with open(path, "rb") as f:
        content = f.read()
    os.remove(path)
    return content


def main():
    put("gguf", "llama", model("llama", "llama", "", gguf.F32))
    put("gguf", "llama-q8", model("llama", "llama", "", gguf.Q8_0, width=32))
    put("gguf", "split", model("llama", "llama", "", gguf.F32, extra=[("split.no", 2, 0), ("split.count", 2, 2)]))
    for arch, rule in (("olmoe", "olmo"), ("granitemoe", "refact"), ("qwen2moe", "qwen2"), ("qwen3moe", "llama-bpe")):
        put("gguf", arch, model(arch, "gpt2", rule, gguf.F16))
    for i, text in enumerate(["the radio carries 1234 tokens, isn't it?\n\n  x", "na\u00efve \u2014 \u65e5\u672c\u8a9e </s><|endoftext|>", "\t  \r\n   "]):
        put("tokenizer", f"text{i}", bytes([i]) + text.encode())
    put("tokenizer", "bytes", bytes([0]) + bytes(range(256)))
    row = np.linspace(-2, 2, 40)
    put("codec", "f32", bytes([39]) + row.astype(">f4").tobytes())
    put("codec", "f16", bytes([39]) + row.astype(">f2").tobytes())
    put("codec", "int8", bytes([39]) + b"".join(struct.pack(">e", 0.01) + bytes(range(100, 132)) for _ in range(2)))
    head = lambda kind, rows, choices, combined: struct.pack(">BBBBIHBBHHIIIII", 2, kind, 1, 0, 1, 0, 1, combined, choices, rows, 0, 0, 0, 0, 0)
    put("wire", "call", head(4, 2, 3, 0) + bytes([2, 0, 1, 0, 2, 1, 0, 1]) + bytes(64))
    put("wire", "combined", head(4, 1, 2, 1) + bytes([2, 0, 1, 0, 2]) + struct.pack(">ff", 0.5, 0.5) + bytes(32))
    put("wire", "hello", head(1, 0, 0, 0) + struct.pack(">H32sHH", 3, bytes(32), 2, 8) + bytes([0xf0, 0x0f]))


if __name__ == "__main__":
    main()
