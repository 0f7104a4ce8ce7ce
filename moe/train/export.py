"""Trained weights become a GGUF file of architecture `llama` with experts.

    python3 export.py runs/train/checkpoint.pt FILE.gguf [--type q8_0|f16|f32]
    python3 export.py A.gguf B.gguf --type f32   the same weights in another type
    python3 export.py --mini FILE.gguf       a tiny model with random weights, for unit tests

Nothing is permuted or transposed: names, shapes and the order of RoPE pairs are those of the file already.  Norms and
routers stay F32 in every type.  The file is written beside its name and moved there in one step.
"""
import argparse
import os

import torch

import gguf
import model
import tokenizer

TYPES = {"f32": (gguf.F32, 0), "f16": (gguf.F16, 1), "q8_0": (gguf.Q8_0, 7)}     # tensor type, general.file_type
MINI = model.Config(n_vocab=320, n_ctx=128, n_embd=32, n_layer=2, n_head=4, n_head_kv=2, n_expert=4, n_ff=32)


def keys(cfg, tok, name, file_type):
    """All keys of the file."""
    u32, f32, text = gguf.U32, gguf.F32_VALUE, gguf.STRING
    return [
        ("general.architecture", text, "llama"),
        ("general.name", text, name),
        ("general.quantization_version", u32, 2),
        ("general.file_type", u32, file_type),
        ("llama.block_count", u32, cfg.n_layer),
        ("llama.context_length", u32, cfg.n_ctx),
        ("llama.embedding_length", u32, cfg.n_embd),
        ("llama.feed_forward_length", u32, cfg.n_ff),
        ("llama.attention.head_count", u32, cfg.n_head),
        ("llama.attention.head_count_kv", u32, cfg.n_head_kv),
        ("llama.attention.layer_norm_rms_epsilon", f32, cfg.eps),
        ("llama.rope.freq_base", f32, cfg.rope_base),
        ("llama.expert_count", u32, cfg.n_expert),
        ("llama.expert_used_count", u32, 2),
        ("llama.vocab_size", u32, cfg.n_vocab),
        ("llama.rope.dimension_count", u32, cfg.head_dim),
        ("tokenizer.ggml.model", text, "llama"),
        ("tokenizer.ggml.pre", text, "default"),
        ("tokenizer.ggml.tokens", gguf.ARRAY, (gguf.STRING, tok.pieces)),
        ("tokenizer.ggml.scores", gguf.ARRAY, (gguf.F32_VALUE, tok.scores)),
        ("tokenizer.ggml.token_type", gguf.ARRAY, (gguf.I32, tok.types)),
        ("tokenizer.ggml.bos_token_id", u32, tokenizer.BOS),
        ("tokenizer.ggml.eos_token_id", u32, tokenizer.EOS),
        ("tokenizer.ggml.unknown_token_id", u32, tokenizer.UNK),
        ("tokenizer.ggml.add_bos_token", gguf.BOOL, True),
        ("tokenizer.ggml.add_eos_token", gguf.BOOL, False),
    ]


def export(path, cfg, weights, tok, name, kind):
    """Writes weights (name -> float32 tensor) as a GGUF file of kind f32, f16 or q8_0."""
    tensor_type, file_type = TYPES[kind]
    tensors = [(n + ".weight", gguf.F32 if model.is_precise(n) else tensor_type, weights[n].numpy())
               for n in cfg.shapes()]
    gguf.write(path + ".part", keys(cfg, tok, name, file_type), tensors)
    os.replace(path + ".part", path)


def weights_of_checkpoint(path, cfg):
    """name -> float32 tensor."""
    flat = torch.load(path)["flat"]
    sizes = [torch.Size(s).numel() for s in cfg.shapes().values()]
    return {n: t.view(s) for (n, s), t in zip(cfg.shapes().items(), flat.split(sizes))}


def weights_of_gguf(path):
    """(Config, name -> float32 tensor, Tokenizer) of a file that export() wrote."""
    r = gguf.Reader(path)
    get = lambda key: r.get("llama." + key)
    cfg = model.Config(n_vocab=get("vocab_size"), n_ctx=get("context_length"), n_embd=get("embedding_length"),
                       n_layer=get("block_count"), n_head=get("attention.head_count"),
                       n_head_kv=get("attention.head_count_kv"), n_expert=get("expert_count"),
                       n_ff=get("feed_forward_length"), eps=get("attention.layer_norm_rms_epsilon"),
                       rope_base=get("rope.freq_base"))
    tok = tokenizer.Tokenizer(*(r.get("tokenizer.ggml." + k) for k in ("tokens", "scores", "token_type")))
    return cfg, {n: torch.from_numpy(r.tensor(n + ".weight").copy()) for n in cfg.shapes()}, tok


def load(path):
    """(Config, name -> float32 tensor, Tokenizer) of a checkpoint or of a file that export() wrote."""
    if path.endswith(".gguf"):
        return weights_of_gguf(path)
    cfg = model.Config()
    return cfg, weights_of_checkpoint(path, cfg), tokenizer.Tokenizer.of_size(cfg.n_vocab)


def mini_weights(cfg):
    """Random weights large enough that every part of the model moves the logits, norms included."""
    g = torch.Generator().manual_seed(5)
    out = {}
    for name, shape in cfg.shapes().items():
        x = torch.randn(shape, generator=g)
        out[name] = 1 + 0.1 * x if name.endswith("norm") else x * 1.5 / shape[-1] ** 0.5
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weights", nargs="?")
    p.add_argument("file")
    p.add_argument("--type", choices=TYPES, default="q8_0")
    p.add_argument("--mini", action="store_true")
    args = p.parse_args()
    if args.mini:
        tok = tokenizer.Tokenizer.of_size(MINI.n_vocab)
        export(args.file, MINI, mini_weights(MINI), tok, "wdmoe mini, random weights", "f32")
        return
    cfg, weights, tok = load(args.weights)
    export(args.file, cfg, weights, tok, "wdmoe tiny", args.type)


if __name__ == "__main__":
    main()
