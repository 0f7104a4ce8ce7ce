# Truth over the air: with policy vanilla and codec f32, tokens and logits_hash through fading, losing channels are those of
# `wdmoe generate`, for 20 seeds of 32 tokens each, with 5 to 30 % of first transmissions lost and at least one block lost for
# good, one grant and one acknowledgement lost in every run. SEEDS="3 4" runs only those.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

scenario=testbed/scenarios/truth.yaml
n_tokens=32
seeds=${SEEDS:-$(seq 1 20)}

check_seed() { # SEED: one line of JSON to ./runs.json, failures to standard error
	common="--seed $1 --n-tokens $n_tokens --ignore-eos"
	# shellcheck disable=SC2086 # options are words of their own
	succeeds "$WDMOE" generate $common --json here.json
	# shellcheck disable=SC2086
	succeeds "$WDMOE" run "$SOURCE_DIR/$scenario" $common --set csi_log=off --out "run$1" --json air.json
	for key in prompt_tokens tokens logits_hash stop; do
		test -n "$(value $key here.json)" || fail "seed $1: no $key in the report of generate"
		test "$(value $key here.json)" = "$(value $key air.json)" || fail "seed $1: $key differs"
	done
	loss=$(value first_transmission_loss air.json)
	awk "BEGIN { exit !($loss >= 0.05 && $loss <= 0.30) }" || fail "seed $1: first transmissions lost: $loss"
	for key in blocks_lost grants_lost acks_lost; do
		test "$(value $key air.json)" -ge 1 || fail "seed $1: $key is 0"
	done
	printf '{"seed": %s, "same": %s, "first_transmission_loss": %s, "blocks_lost": %s, "grants_lost": %s, "acks_lost": %s, "logits_hash": %s}\n' \
		"$1" "$(test "$(value logits_hash here.json)" = "$(value logits_hash air.json)" && echo true || echo false)" "$loss" \
		"$(value blocks_lost air.json)" "$(value grants_lost air.json)" "$(value acks_lost air.json)" \
		"$(value logits_hash air.json)" >>runs.json
	tail -1 runs.json
}

: >runs.json
for seed in $seeds; do
	check_seed "$seed"
done
printf '{\n  "schema": 1,\n  "gate": "truth",\n  "scenario": "%s",\n  "n_tokens": %s,\n  "failures": %s,\n  "runs": [\n    %s\n  ]\n}\n' \
	"$scenario" "$n_tokens" "$failures" "$(sed '$!s/$/,/' runs.json | sed '2,$s/^/    /')" >"$RESULT"

finish
