"""Truth over the air: what comes through fading channels is, bit for bit, what the unsplit model computes.

truth.py [N_SEEDS]: policy vanilla, codec f32, 32 tokens a seed. In every run 5 to 30 % of first transmissions must have been lost, and at
least one block for good, one grant and one acknowledgement.
"""
import sys

from lib import gate

N_SEEDS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
SCENARIO = "testbed/scenarios/truth.yaml"
COMMON = ["--n-tokens", 32, "--ignore-eos"]


def one(seed):
    import tempfile
    with tempfile.TemporaryDirectory() as out:
        air = gate.wdmoe("run", SCENARIO, "--seed", seed, *COMMON, "--out", out + "/run", "--set", "csi_log=off")
    here = gate.wdmoe("generate", "--seed", seed, *COMMON)
    lost = air["losses"]
    return {
        "seed": seed,
        "same_tokens": air["tokens"] == here["tokens"],
        "same_logits": air["logits_hash"] == here["logits_hash"] and len(air["tokens"]) == 32,
        "first_transmission_loss": lost["first_transmission_loss"],
        "blocks_lost": lost["blocks_lost"], "grants_lost": lost["grants_lost"], "acks_lost": lost["acks_lost"],
        "version": air["version"],
    }


runs = gate.each(one, range(1, N_SEEDS + 1))
good = [r for r in runs if r["same_tokens"] and r["same_logits"]]
hard = [r for r in runs if 0.05 <= r["first_transmission_loss"] <= 0.30 and min(r["blocks_lost"], r["grants_lost"], r["acks_lost"]) >= 1]
gate.finish("truth over the air", {"scenario": SCENARIO, "seeds": [1, N_SEEDS], "n_tokens": 32, "policy": "vanilla", "codec": "f32",
                                   "version": runs[0]["version"]},
            {"runs": len(runs), "identical": len(good), "with_all_losses": len(hard), "per_seed": runs},
            len(good) == len(runs) and len(hard) == len(runs))
