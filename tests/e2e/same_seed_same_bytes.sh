# Two runs of one seed leave the same report (wall clock apart) and the same journal, for any number of threads; another seed
# leaves others.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

run() { # OUT ARGS...
	out=$1
	shift
	succeeds "$WDMOE" run "$SOURCE_DIR/testbed/scenarios/default.yaml" --model "$MODEL_MINI" --prompt "one two" --n-tokens 3 \
		--ignore-eos --out "$out" --json "$out.json" "$@"
	# The one object that holds the wall clock goes.
	sed '/"wall_clock": {/,/}/d' "$out.json" >"$out.clean"
}

run a --set threads=1
run b --set threads=1
run c --set threads=2
run d --seed 2
test -s a/journal.wdj || fail "no journal"
grep -q '"tokens"' a.clean || fail "no tokens in the report"
for other in b c; do
	cmp -s a.clean $other.clean || fail "reports a and $other differ: $(diff a.clean $other.clean | head -5)"
	cmp -s a/journal.wdj $other/journal.wdj || fail "journals a and $other differ"
done
cmp -s a/journal.wdj d/journal.wdj && fail "another seed left the same journal"

# What the journal holds, by its own tool.
succeeds "$WDMOE" csi info a --json info.json
says "complete"
grep -q '"complete": true' info.json || fail "csi info does not call the journal complete"
for device in 0 1 2 3 4 5 6 7; do
	grep -q "\"device\": $device" info.json || fail "no CSI of device $device"
done
strings -n 5 a/journal.wdj 2>/dev/null | grep -qF "$PWD" && fail "the journal holds a path of this machine"

# The log of CSI can be thinned or left out; events stay.
run e --set csi_log=off
succeeds "$WDMOE" csi info e
says " 0 CSI"
run f --set "csi_log=every 10 slots"
test "$(wc -c <f/journal.wdj)" -lt $(($(wc -c <a/journal.wdj) / 5)) || fail "every 10 slots is hardly less than full"

diff a.clean f.clean | grep '^[<>]' | grep -qv csi_log && fail "logging less changed the report"

finish
