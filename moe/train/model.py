"""A Mixtral-style language model in a few functions of plain torch.

One layer: x += attention(rms(x)); x += experts(rms(x)).  Attention has grouped keys/values and rotates adjacent
pairs (RoPE), so that nothing is permuted on the way to a GGUF file.  The router takes the two best experts by logit
and weighs them by the softmax over just those two.  Weights are a dict of tensors with the names and shapes that
GGUF gives them ([out, in], experts first), in float32, or with bfloat16 matrices for speed: all else is float32.
"""
import dataclasses
import math

import torch
import torch.nn.functional as F


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of a model; the defaults are those of the shipped one."""
    n_vocab: int = 512
    n_ctx: int = 256
    n_embd: int = 256
    n_layer: int = 4
    n_head: int = 4
    n_head_kv: int = 2
    n_expert: int = 8
    n_ff: int = 384
    eps: float = 1e-5
    rope_base: float = 10000.0

    @property
    def head_dim(self):
        return self.n_embd // self.n_head

    def shapes(self):
        """Name -> shape of every tensor, in the order of the file."""
        d, kv = self.n_embd, self.n_head_kv * self.head_dim
        out = {"token_embd": (self.n_vocab, d), "output_norm": (d,), "output": (self.n_vocab, d)}
        for i in range(self.n_layer):
            out.update({f"blk.{i}.{name}": shape for name, shape in {
                "attn_norm": (d,), "attn_q": (d, d), "attn_k": (kv, d), "attn_v": (kv, d), "attn_output": (d, d),
                "ffn_norm": (d,), "ffn_gate_inp": (self.n_expert, d),
                "ffn_gate_exps": (self.n_expert, self.n_ff, d), "ffn_up_exps": (self.n_expert, self.n_ff, d),
                "ffn_down_exps": (self.n_expert, d, self.n_ff)}.items()})
        return out


def is_precise(name):
    """Tensors that stay float32 in training and in every file: norms and routers."""
    return name.endswith("norm") or name.endswith("ffn_gate_inp")


def initial_weights(cfg, seed):
    """Float32 weights to start training from."""
    g = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in cfg.shapes().items():
        if name.endswith("norm"):
            weights[name] = torch.ones(shape)
            continue
        std = 0.02 if name == "token_embd" else 1 / math.sqrt(shape[-1])
        if name.endswith("attn_output") or name.endswith("ffn_down_exps"):
            std /= math.sqrt(2 * cfg.n_layer)
        if name.endswith("ffn_gate_inp") or name == "output":
            std *= 0.5
        weights[name] = torch.randn(shape, generator=g) * std
    return weights


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rope_table(cfg, n):
    """cos and sin [n, head_dim/2] of position times frequency."""
    freq = cfg.rope_base ** (-torch.arange(0, cfg.head_dim, 2, dtype=torch.float64) / cfg.head_dim)
    angle = torch.arange(n, dtype=torch.float64)[:, None] * freq
    return angle.cos().float(), angle.sin().float()


def rotate(x, table):
    """RoPE on adjacent pairs of x [rows, heads, n, head_dim]."""
    cos, sin = table
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


def attention(w, cfg, x, mask, table):
    """x [rows, n, n_embd] -> same; mask [rows, 1, n, n] is added to the scores."""
    rows, n, d = x.shape
    x = x.to(w["attn_q"].dtype)
    split = lambda y, heads: y.view(rows, n, heads, cfg.head_dim).transpose(1, 2)
    q = rotate(split(F.linear(x, w["attn_q"]), cfg.n_head), table)
    k = rotate(split(F.linear(x, w["attn_k"]), cfg.n_head_kv), table)
    v = split(F.linear(x, w["attn_v"]), cfg.n_head_kv)
    group = cfg.n_head // cfg.n_head_kv
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = (q @ k.transpose(-1, -2)).float() / math.sqrt(cfg.head_dim) + mask
    y = torch.softmax(scores, -1).to(v.dtype) @ v
    return F.linear(y.transpose(1, 2).reshape(rows, n, d), w["attn_output"])


class Experts(torch.autograd.Function):
    """out[t, k] = expert[chosen[t, k]](x[t]), with its gradient written out.

    Rows are sorted by expert, each group padded to a multiple of 64 (oneDNN compiles a kernel for each shape), and
    every (token, choice) has one row of its own: back again is a gather too, never a scattered sum.
    """
    PAD = 64

    @staticmethod
    def forward(ctx, x, chosen, gate, up, down):
        n, top = chosen.shape
        n_expert = gate.shape[0]
        flat = chosen.reshape(-1)
        order = flat.argsort(stable=True)
        count = torch.bincount(flat, minlength=n_expert)
        padded = (count + Experts.PAD - 1) // Experts.PAD * Experts.PAD
        first, first_padded = count.cumsum(0) - count, padded.cumsum(0) - padded
        expert_sorted = flat[order]
        slot_sorted = torch.arange(n * top) - first[expert_sorted] + first_padded[expert_sorted]
        n_rows = int(padded.sum())
        source = torch.zeros(n_rows, dtype=torch.long)
        source[slot_sorted] = order
        real = torch.zeros(n_rows, 1, dtype=x.dtype)
        real[slot_sorted] = 1
        slot = torch.empty(n * top, dtype=torch.long)
        slot[order] = slot_sorted
        groups = [(e, int(a), int(a + m)) for e, (a, m) in enumerate(zip(first_padded, padded)) if m]

        xs = x.index_select(0, source // top)
        g, u = xs.new_empty(n_rows, gate.shape[1]), xs.new_empty(n_rows, gate.shape[1])
        out = torch.empty_like(xs)
        for e, a, b in groups:
            torch.mm(xs[a:b], gate[e].t(), out=g[a:b])
            torch.mm(xs[a:b], up[e].t(), out=u[a:b])
            h = torch.sigmoid(g[a:b]).mul_(g[a:b]).mul_(u[a:b])
            torch.mm(h, down[e].t(), out=out[a:b])
        ctx.save_for_backward(slot, source, real, xs, g, u, gate, up, down)
        ctx.groups, ctx.top = groups, top
        return out.index_select(0, slot).view(n, top, -1)

    @staticmethod
    def backward(ctx, dout):
        slot, source, real, xs, g, u, gate, up, down = ctx.saved_tensors
        dout = dout.reshape(-1, dout.shape[-1])
        dgate, dup, ddown = torch.zeros_like(gate), torch.zeros_like(up), torch.zeros_like(down)
        dxs = torch.empty_like(xs)
        for e, a, b in ctx.groups:
            ge, ue = g[a:b], u[a:b]
            do = dout.index_select(0, source[a:b]).mul_(real[a:b])
            s = torch.sigmoid(ge)
            silu = s * ge
            torch.mm(do.t(), silu * ue, out=ddown[e])
            dh = do @ down[e]
            dg = torch.rsub(s, 1).mul_(silu).add_(s).mul_(ue).mul_(dh)
            du = dh.mul_(silu)
            torch.mm(dg.t(), xs[a:b], out=dgate[e])
            torch.mm(du.t(), xs[a:b], out=dup[e])
            torch.mm(dg, gate[e], out=dxs[a:b])
            dxs[a:b] += du @ up[e]
        dx = dxs.index_select(0, slot[0::ctx.top])
        for k in range(1, ctx.top):
            dx += dxs.index_select(0, slot[k::ctx.top])
        return dx, None, dgate, dup, ddown


def top2(logits, layer):
    """The routing the model is trained for: (weights [n, 2], chosen [n, 2]) from router logits [n, n_expert]."""
    best = logits.topk(2, dim=-1)
    return torch.softmax(best.values, -1), best.indices


def forward(weights, cfg, ids, mask=None, route=top2, seen=None, pick=None):
    """Logits [rows, n, n_vocab] (float32) for ids [rows, n].

    mask: added to attention scores, causal if None.  route: logits, layer -> (weights, chosen).  seen: a list that
    collects (router logits, weights, chosen, the experts' outputs) of every layer.  pick: indices into rows * n; only
    their logits are computed, [len(pick), n_vocab].
    """
    rows, n = ids.shape
    if mask is None:
        mask = torch.full((n, n), -math.inf).triu(1)
    table = rope_table(cfg, n)
    x = F.embedding(ids, weights["token_embd"]).float()
    for i in range(cfg.n_layer):
        w = {k.split(".")[-1]: t for k, t in weights.items() if k.startswith(f"blk.{i}.")}
        x = x + attention(w, cfg, rms_norm(x, w["attn_norm"], cfg.eps), mask, table).float()
        h = rms_norm(x, w["ffn_norm"], cfg.eps).view(rows * n, -1)
        logits = F.linear(h, w["ffn_gate_inp"])
        weight, chosen = route(logits, i)
        out = Experts.apply(h.to(w["ffn_gate_exps"].dtype), chosen,
                            w["ffn_gate_exps"], w["ffn_up_exps"], w["ffn_down_exps"]).float()
        if seen is not None:
            seen.append((logits, weight, chosen, out))
        y = (out * weight.unsqueeze(-1)).sum(1)
        x = x + y.view(rows, n, -1)
    if pick is not None:
        x = x.view(rows * n, -1).index_select(0, pick)
    x = rms_norm(x, weights["output_norm"], cfg.eps)
    return F.linear(x.to(weights["output"].dtype), weights["output"]).float()
