# The whole cell, from cold start to the answer, at other rates, spacings and slot lengths than the default: nothing is tied to 30 kHz,
# half a millisecond or 18 resource blocks.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

cat >cell.yaml <<'END'
channel: { model: none, speed_kmh: 0 }
devices:
  - { snr_db: 25, osc_ppm: 1, distance_m: 20 }
  - { snr_db: 15, osc_ppm: -2, distance_m: 50 }
scheduler: { policy: vanilla }
moe: { codec_down: f32, codec_up: f32 }
END

succeeds "$WDMOE" generate --model "$MODEL_MINI" --prompt "one two" --n-tokens 4 --ignore-eos --json here.json
for shape in "1.92M-15k 14" "7.68M-60k 7" "10M-512 14" "15.36M-30k 7"; do
	profile=${shape% *} symbols=${shape#* }
	succeeds "$WDMOE" run cell.yaml --model "$MODEL_MINI" --prompt "one two" --n-tokens 4 --ignore-eos --out "run-$profile" \
		--set "radio.profile=$profile" --set "radio.n_symbols=$symbols" --json air.json
	test "$(value logits_hash here.json)" = "$(value logits_hash air.json)" || fail "$profile, $symbols symbols: other logits than here"
done
test -n "$(value logits_hash here.json)" || fail "no logits_hash in the report of generate"

refuses "there is no profile" "$WDMOE" run cell.yaml --set radio.profile=7M
refuses "symbols" "$WDMOE" run cell.yaml --set radio.n_symbols=10

succeeds "$WDMOE" phy profiles --overhead
says "7.68M-30k"
succeeds "$WDMOE" phy levels --slots 3 --json levels.json
says "uplink, sounding"
refuses "--profile" "$WDMOE" phy levels --profile nothing
finish
