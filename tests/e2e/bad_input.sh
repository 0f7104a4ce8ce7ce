# A run that cannot be done is refused before it begins: one line that names the culprit, exit status 2, nothing written.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

run="$WDMOE run --model $MODEL_MINI --prompt abc"

refuses "missing.gguf" "$WDMOE" run --model missing.gguf --prompt abc
refuses "no/such.yaml" $run no/such.yaml
refuses "radio.scs_khz" $run --set radio.scs_khz=30
refuses "29000" $run --set radio.scs_hz=29000
refuses "n_rb" $run --set radio.n_rb=500
refuses "toaster" $run --set devices.profile=toaster
refuses "moe.experts" $run --set moe.experts=everything
refuses "no/such/report.json" $run --json no/such/report.json
refuses "n_tokens" $run --n-tokens 0
refuses "temp" $run --temp -1
refuses "seed" $run --seed few
refuses "--frobnicate" $run --frobnicate
refuses "unexpected argument" $run a.yaml b.yaml
refuses "context" "$WDMOE" run --model "$MODEL_MINI" --prompt "$(head -c 5000 /dev/zero | tr '\0' x)"
refuses "missing.txt" "$WDMOE" run --model "$MODEL_MINI" --tokens missing.txt

# A model cut off anywhere, or with a byte of its head turned, is refused by its name.
size=$(wc -c <"$MODEL_MINI")
for n in 0 3 100 5000 $((size / 2)) $((size - 1)); do
	head -c "$n" "$MODEL_MINI" >cut.gguf
	refuses "cut.gguf" "$WDMOE" run --model cut.gguf --prompt abc
done
{ printf 'GGUX'; tail -c +5 "$MODEL_MINI"; } >cut.gguf
refuses "cut.gguf" "$WDMOE" run --model cut.gguf --prompt abc
rm cut.gguf

echo 1 2 three >words.txt
echo 1 2 99999999 >beyond.txt
refuses "words.txt" "$WDMOE" run --model "$MODEL_MINI" --tokens words.txt
refuses "beyond.txt" "$WDMOE" run --model "$MODEL_MINI" --tokens beyond.txt
rm words.txt beyond.txt

# The commands that compute locally, the same way.
for command in generate "logits --out x.f32 --tokens /dev/null" "tokenize /dev/null"; do
	# shellcheck disable=SC2086 # options of the command are words of their own
	refuses "missing.gguf" "$WDMOE" $command --model missing.gguf
done
echo 1 2 three >words.txt
echo 1 2 99999999 >beyond.txt
refuses "words.txt" "$WDMOE" logits --model "$MODEL_MINI" --tokens words.txt --out x.f32
refuses "99999999" "$WDMOE" logits --model "$MODEL_MINI" --tokens beyond.txt --out x.f32
refuses "missing.txt" "$WDMOE" logits --model "$MODEL_MINI" --tokens missing.txt --out x.f32
refuses "missing.txt" "$WDMOE" tokenize --model "$MODEL_MINI" missing.txt
refuses "--n-tokens" "$WDMOE" generate --model "$MODEL_MINI" --n-tokens 0
refuses "context" "$WDMOE" generate --model "$MODEL_MINI" --prompt "$(head -c 5000 /dev/zero | tr '\0' x)"
refuses "missing.gguf" "$WDMOE" model info missing.gguf
rm words.txt beyond.txt

# A run's folder is never overwritten.
mkdir taken
touch taken/journal.wdj
refuses "taken" $run --out taken
touch file
refuses "file/run" $run --out file/run

finish
