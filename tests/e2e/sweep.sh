# wdmoe sweep: all combinations and seeds, an interrupted sweep goes on, another one is refused, bad values before anything begins.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"
cat >items.jsonl <<EOF
{"family": "a", "prompt": "joe key, tom fork. tom?", "answer": "fork"}
{"family": "a", "prompt": "6+60=", "answer": "66"}
{"family": "b", "prompt": "ian ball, kim cup. kim?", "answer": "cup"}
{"family": "b", "prompt": "red car, blue hat", "answer": "x"}
EOF
sweep() {
	"$WDMOE" sweep items.jsonl --config "$SOURCE_DIR/testbed/scenarios/one-device-flat.yaml" --set "model.path=$MODEL_MINI" \
		--vary scheduler.allocator=round-robin,horizon --seeds 2 --items 2 --out state.jsonl "$@"
}
succeeds sweep --csv one.csv --json one.json
says "scheduler.allocator=horizon"
test "$(wc -l <state.jsonl)" = 5 || fail "not a line for each of 4 runs, and one at the head"
test "$(grep -c '^round-robin,\|^horizon,' one.csv)" = 2 || fail "not a row a combination"
test "$(value seeds one.json)" = 2 || fail "seeds: $(value seeds one.json)"

# two runs are lost, one half written: they are done again, and all comes out the same
head -3 state.jsonl >kept
sed -n 4p state.jsonl | cut -c 1-40 >>kept
cp kept state.jsonl
succeeds sweep --csv two.csv
cmp one.csv two.csv || fail "an interrupted sweep came out otherwise"
succeeds sweep --csv two.csv
cmp one.csv two.csv || fail "a finished sweep came out otherwise"
ls | grep -q part && fail "left files behind"

rm -f out err
refuses "another sweep" sweep --seed 7
rm -f state.jsonl
refuses "scheduler.allocator" sweep --vary scheduler.allocator=best
refuses "--vary" sweep --vary nothing
finish
