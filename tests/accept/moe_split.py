"""Split = unsplit: whatever device holds which expert, a run over the air computes the bits of the model in one piece.

moe_split.py [N_MAPS]: for 1, 3 and 8 devices N_MAPS expert maps each, drawn layer by layer with one to three holders an expert (and, as
one map each, the automatic placements), on the shipped model and on the reference models where $WDMOE_ORACLE has them. exact mode, codec
f32, policy vanilla: logits must be the same to the bit; so must fast mode be to fast mode where devices return each output. Beside it,
reported only: what `combine: device` and fast mode change.
"""
import os
import random
import sys
import tempfile

from lib import gate

N_MAPS = int(sys.argv[1]) if len(sys.argv) > 1 else 8
N_TOKENS, SEED = 12, 4
ORACLE = os.environ.get("WDMOE_ORACLE", "")
NAMES = ["mixtral-f32", "mixtral-q8_0", "mixtral-q4_k", "olmoe-f32", "granitemoe-f32", "qwen2moe-f32", "qwen3moe-f32"]
AUTOMATIC = [{"placement": "modulo", "replicas": 1}, {"placement": "balanced", "replicas": 2}]


def models():
    """[(name, arguments)]: the shipped model on a prompt of its own, the others on their first tokens."""
    found = [("shipped", ["--prompt", "joe key, tom fork, ian ball. fork?"])]
    for name in NAMES:
        if os.path.exists(f"{ORACLE}/{name}.gguf"):
            found.append((name, ["--model", f"{ORACLE}/{name}.gguf", "--tokens", f"{FOLDER}/{name}.tokens"]))
            with open(f"{ORACLE}/{name}.tokens") as tokens, open(f"{FOLDER}/{name}.tokens", "w") as prompt:
                prompt.write(" ".join(tokens.read().split()[:24]))
    return found


def shape(arguments):
    path = arguments[1] if arguments[0] == "--model" else "moe/models/wdmoe-tiny.gguf"
    info = gate.wdmoe("model", "info", path)
    return info["n_layer"], info["n_expert"]


def drawn_map(rng, n_devices, n_layer, n_expert):
    """[["layer:expert", ...] of each device]: one to three holders an expert."""
    held = [[] for _ in range(n_devices)]
    for layer in range(n_layer):
        for expert in range(n_expert):
            for device in rng.sample(range(n_devices), min(n_devices, rng.choice([1, 1, 2, 3]))):
                held[device].append(f'"{layer}:{expert}"')
    return held


def scenario(path, n_devices, held, extra):
    """A file: n devices at 10 to 24 dB with unlike clocks and speeds over a fading channel."""
    with open(path, "w") as out:
        out.write("csi_log: off\nscheduler: { policy: vanilla }\nradio: { profile: 3.84M-30k }\n")
        out.write("moe: { codec_down: f32, codec_up: f32" + "".join(f", {k}: {v}" for k, v in extra.items()) + " }\ndevices:\n")
        for d in range(n_devices):
            experts = f"[{', '.join(held[d])}]" if held else "auto"
            out.write(f"  - {{ snr_db: {24 - 2 * d}, osc_ppm: {d % 5 - 2}, distance_m: {20 + 30 * d}, call_us: {100 * d}, experts: {experts} }}\n")
    return path


def one(job):
    name, arguments, n_devices, number, held, extra = job
    with tempfile.TemporaryDirectory() as out:
        path = scenario(f"{out}/split.yaml", n_devices, held, extra)
        air = gate.wdmoe("run", path, *arguments, "--n-tokens", N_TOKENS, "--ignore-eos", "--seed", SEED + number, "--out", out + "/run")
    return {"model": name, "devices": n_devices, "map": number if held is not None else extra, "air": air}


FOLDER = tempfile.mkdtemp()
found = models()
whole, fast = ({name: gate.wdmoe("generate", *arguments, "--n-tokens", N_TOKENS, "--ignore-eos", "--mode", mode) for name, arguments in found}
               for mode in ("exact", "fast"))
reference = lambda r: (fast if isinstance(r["map"], dict) and r["map"].get("mode") == "fast" else whole)[r["model"]]
rng, jobs, others = random.Random(SEED), [], []
for name, arguments in found:
    n_layer, n_expert = shape(arguments)
    for n_devices in (1, 3, 8):
        for number in range(N_MAPS if n_devices > 1 else 1):
            jobs.append((name, arguments, n_devices, number, drawn_map(rng, n_devices, n_layer, n_expert), {}))
        if n_devices > 1:
            jobs += [(name, arguments, n_devices, 0, None, extra) for extra in AUTOMATIC]
    jobs.append((name, arguments, 3, 0, None, {"mode": "fast", "combine": "each"}))
    others += [(name, arguments, 3, 0, None, extra) for extra in ({"combine": "each"}, {"combine": "device"}, {"mode": "fast"})]
runs = gate.each(one, jobs)
wrong = [{k: r[k] for k in ("model", "devices", "map")} for r in runs
         if r["air"]["logits_hash"] != reference(r)["logits_hash"] or len(r["air"]["tokens"]) != N_TOKENS]
per_size = {f"devices_{n}": sum(r["devices"] == n for r in runs) for n in (1, 3, 8)}
beside = [{"model": r["model"], "moe": r["map"], "bytes_on_air_per_token": r["air"]["bytes_on_air_per_token"],
           "same_tokens": sum(a == b for a, b in zip(r["air"]["tokens"], whole[r["model"]]["tokens"])), "tokens": N_TOKENS}
          for r in gate.each(one, others)]
gate.finish("split", {"n_tokens": N_TOKENS, "policy": "vanilla", "codec": "f32", "mode": "exact", "first_seed": SEED,
                      "models": [n for n, _ in found], "version": runs[0]["air"]["version"]},
            {"runs": len(runs), "identical": len(runs) - len(wrong), **per_size, "wrong": wrong, "combined_and_fast": beside},
            not wrong and len(runs) > 0)
