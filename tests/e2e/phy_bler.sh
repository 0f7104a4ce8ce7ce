# Block error rates: reports repeat themselves whatever the threads, curves fall, bad input is refused, Ctrl-C leaves what is done.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

run() { # OUT ARGS...
	out=$1
	shift
	succeeds "$WDMOE" phy bler --json "$out" --csv points.csv "$@"
}
short="--warmup 10 --slots 10 --trials 60 --mcs 4"
# shellcheck disable=SC2086 # words of their own
for dir in dl ul; do
	run one.json $short --dir $dir --snr-db -1:2:1 --threads 1
	run three.json $short --dir $dir --snr-db -1:2:1 --threads 3
	cmp -s one.json three.json || fail "$dir: three threads make another report than one"
	run other.json $short --dir $dir --snr-db -1:2:1 --seed 2
	cmp -s one.json other.json && fail "$dir: another seed makes the same report"
	test "$(grep -c '"bler":' one.json)" = 2 || fail "$dir: not two points"
	test "$(wc -l <points.csv)" = 3 || fail "$dir: not two rows in the CSV"
	grep -q '"wrong_blocks": 0' one.json || fail "$dir: blocks were delivered wrong"
done

# The true channel needs less than the estimated one, and the 10 % point is where the table says to half a dB or so.
run on.json --mcs 4 --trials 150 --warmup 20
run off.json --mcs 4 --trials 150 --warmup 20 --estimate off
on=$(value snr_db_at_10_percent on.json)
off=$(value snr_db_at_10_percent off.json)
awk -v on="$on" -v off="$off" 'BEGIN { exit !(on > off && on - off < 1.5) }' || fail "10 % at $on dB estimated, at $off dB told"

# Several devices each have their own figures.
run many.json --dir ul --devices 3 --power-spread-db 10 --delay-spread-cp 0.5 --mcs 4 --snr-db -3 --warmup 10 --slots 10 --trials 20
test "$(grep -c '"bler":' many.json)" = 4 || fail "not all of three devices are reported"

# Ctrl-C: what is done is there and whole.
"$WDMOE" phy bler --mcs all --snr-db -10:1:30 --trials 100000 --stop-errors 10 --warmup 5 --slots 5 --json cut.json >out 2>err &
pid=$!
sleep 2
kill -INT $pid
status=0
wait $pid || status=$?
test "$status" = 130 || fail "exit status $status, not 130: $(cat err)"
grep -q '"interrupted": true' cut.json || fail "the report of an interrupted sweep does not say so"
test "$(tail -c 2 cut.json)" = "}" || fail "the report is not whole"

refuses "tdl-x" "$WDMOE" phy bler --channel tdl-x
refuses "30m" "$WDMOE" phy bler --channel tdl-a,30m
refuses "99" "$WDMOE" phy bler --mcs 99
refuses "1-" "$WDMOE" phy bler --mcs 1-
refuses "5:0:7" "$WDMOE" phy bler --snr-db 5:0:7
refuses "snr-db" "$WDMOE" phy bler --snr-db 7:1:5
refuses "trials" "$WDMOE" phy bler --trials 0
refuses "sideways" "$WDMOE" phy bler --dir sideways
refuses "8 devices of 3 RBs" "$WDMOE" phy bler --devices 8 --rbs 3
refuses "--mcs 0" "$WDMOE" phy bler --mcs 0 --devices 16 --rbs 1
refuses "--channel" "$WDMOE" phy bler --channel tdl-c,100000ns --mcs 4
refuses "resource blocks" "$WDMOE" phy bler --rb 100 --mcs 4

finish
