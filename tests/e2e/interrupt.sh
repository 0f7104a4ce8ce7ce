# Ctrl-C: exit status 130, and what was asked for is there and whole: report and journal.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

# Long enough to be still running when the signal comes: 200 tokens with every channel logged.
"$WDMOE" run --model "$MODEL_MINI" --prompt "one two" --n-tokens 200 --ignore-eos --out run --json report.json >out 2>err &
pid=$!
for _ in $(seq 100); do
	test -s run/journal.wdj && break
	sleep 0.05
done
kill -INT $pid
status=0
wait $pid || status=$?
test "$status" = 130 || fail "exit status $status, not 130: $(cat err)"
test "$(tail -c 2 report.json)" = "}" || fail "the report is not whole"
ls | grep -q tmp && fail "a temporary file was left"
succeeds "$WDMOE" csi info run --json info.json
grep -q '"complete": true' info.json || fail "the journal was not closed in order"

finish
