# The commands that compute locally: logits of a file of ids, token ids of a text, an answer and its report.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

data=$SOURCE_DIR/tests/moe/data

# Logits are those of the float64 reference, little-endian f32 and nothing else.
succeeds "$WDMOE" logits --model "$MODEL_MINI" --tokens "$data/mini.tokens" --out x.f32
test "$(wc -c <x.f32)" = "$(wc -c <"$data/mini.logits.f32")" || fail "logits: $(wc -c <x.f32) bytes"
od -An -v -w4 -tfF x.f32 >ours
od -An -v -w4 -tfF "$data/mini.logits.f32" | paste ours - |
	awk '{ d = $1 - $2; if (d < 0) d = -d; if (!(d <= 5e-5)) bad++ } END { exit bad > 0 || NR == 0 }' || fail "logits differ"

# Token ids: BOS and control tokens only without --plain; a space in front, bytes as they are.
printf 'a</s>\377' >text
succeeds "$WDMOE" tokenize --model "$MODEL_MINI" text
says "[1, "
says ", 2, "
says ", 258]"
succeeds "$WDMOE" tokenize --plain --model "$MODEL_MINI" text
grep -q '\[1, \|, 2, ' out && fail "tokenize --plain makes control tokens: $(cat out)"

# Greedy takes the largest logit: the last row of the logits file tells the first token.
succeeds "$WDMOE" generate --model "$MODEL_MINI" --tokens "$data/mini.tokens" --n-tokens 5 --ignore-eos --json a.json
best=$(tail -320 ours | awk 'NR == 1 || $1 > max { max = $1; id = NR - 1 } END { print id }')
case $(value tokens a.json) in "[$best,"*) ;; *) fail "first token of $(value tokens a.json) is not $best" ;; esac
test "$(value stop a.json)" = '"limit"' || fail "stop is $(value stop a.json)"

# One seed, the same bytes; another seed, another text. A full context ends an answer.
sample="$WDMOE generate --model $MODEL_MINI --prompt abc --temp 1 --top-p 0.9 --ignore-eos"
succeeds $sample --seed 1 --json b.json
succeeds $sample --seed 1 --json c.json
succeeds $sample --seed 2 --json d.json
cmp -s b.json c.json || fail "the same seed gives another report"
test "$(value tokens b.json)" != "$(value tokens d.json)" || fail "another seed gives the same tokens"
succeeds $sample --n-tokens 1000 --json e.json
test "$(value stop e.json)" = '"context"' || fail "stop is $(value stop e.json)"

# Perplexity of a text, every token once; in chunks half of each; modes and threads are words of their own.
printf 'the cup is in the bag and the key is not, for a while at least' >text
succeeds "$WDMOE" eval ppl --model "$MODEL_MINI" text --json f.json
test "$(value n_scored f.json)" = "$(value n_tokens f.json)" || fail "$(value n_scored f.json) of $(value n_tokens f.json) tokens scored"
succeeds "$WDMOE" eval ppl --model "$MODEL_MINI" text --threads 2 --json g.json
test "$(value perplexity f.json)" = "$(value perplexity g.json)" || fail "threads change the perplexity"
succeeds "$WDMOE" eval ppl --model "$MODEL_MINI" --chunk 8 text --json h.json
test "$(value n_scored h.json)" = "$((3 * $(value n_windows h.json)))" || fail "$(value n_scored h.json) tokens scored in chunks"
succeeds "$WDMOE" logits --model "$MODEL_MINI" --tokens "$data/mini.tokens" --out y.f32 --threads 2
cmp -s x.f32 y.f32 || fail "threads change the logits"
refuses --chunk "$WDMOE" eval ppl --model "$MODEL_MINI" --chunk 100000 text

# Several prompts at once: each answered as if it were alone.
printf 'the cup\n\nthe key is in the bag and\na\n' >prompts
succeeds "$WDMOE" generate --model "$MODEL_MINI" --prompts prompts --sequences 2 --n-tokens 6 --ignore-eos --json i.json
for prompt in 'the cup' 'the key is in the bag and' a; do
	succeeds "$WDMOE" generate --model "$MODEL_MINI" --prompt "$prompt" --n-tokens 6 --ignore-eos --json j.json
	grep -qF "$(value logits_hash j.json)" i.json || fail "answered otherwise among others: $prompt"
done
refuses none.txt "$WDMOE" generate --model "$MODEL_MINI" --prompts none.txt
refuses --prompts "$WDMOE" generate --model "$MODEL_MINI" --prompts prompts --prompt a

# How far other ways to compute are from the exact one: itself nothing, four bits something.
succeeds "$WDMOE" eval ppl --model "$MODEL_MINI" text --compare --json k.json
grep -q '"kl_mean_nats": 0.0,' k.json || fail "the exact model is apart from itself: $(cat k.json)"
succeeds "$WDMOE" eval ppl --model "$MODEL_MINI" text --compare --codec-up int4 --json l.json
grep -q '"kl_mean_nats": 0.0,' l.json && fail "int4 changes nothing"

succeeds "$WDMOE" model info "$MODEL_MINI"
says "2 layers"
succeeds "$WDMOE" model info "$data/qwen3moe-00001-of-00002.gguf"
says "and 1 more"
refuses "open the first" "$WDMOE" model info "$data/qwen3moe-00002-of-00002.gguf"

finish
