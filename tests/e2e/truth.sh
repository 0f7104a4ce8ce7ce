# What comes over a bad link is what the unsplit model computes: same tokens, same logits to the bit (policy vanilla, codec f32).
# Two seeds of a tiny model here; tests/accept/truth.py does it in full.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

for seed in 1 2; do
	succeeds "$WDMOE" generate --model "$MODEL_MINI" --prompt "one two" --n-tokens 12 --ignore-eos --seed $seed --json here.json
	succeeds "$WDMOE" run "$SOURCE_DIR/testbed/scenarios/truth.yaml" --model "$MODEL_MINI" --prompt "one two" --n-tokens 12 \
		--ignore-eos --seed $seed --out run$seed --json air.json
	for key in prompt_tokens tokens logits_hash stop text; do
		here=$(value $key here.json)
		test -n "$here" || fail "no $key in the report of generate"
		test "$here" = "$(value $key air.json)" || fail "seed $seed: $key differs: $here, $(value $key air.json)"
	done
	test "$(value blocks_lost air.json)" -gt 0 || fail "seed $seed: no block was lost for good: the link is too good to prove anything"
done

# With a codec that rounds, the logits must differ: the comparison can fail.
succeeds "$WDMOE" run "$SOURCE_DIR/testbed/scenarios/truth.yaml" --model "$MODEL_MINI" --prompt "one two" --n-tokens 12 \
	--ignore-eos --seed 2 --set moe.codec_up=int8 --out run-int8 --json int8.json
test "$(value logits_hash int8.json)" != "$(value logits_hash here.json)" || fail "int8 activations left the logits as they were"

finish
