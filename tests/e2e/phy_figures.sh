# The gates of CSI and cold start in short: 100 slots each way, 10 seeds; and what their commands refuse.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

succeeds python3 "$SOURCE_DIR/tests/accept/csi.py" 100
says '"passed": true'
succeeds python3 "$SOURCE_DIR/tests/accept/cold_start.py" 10 "$MODEL_MINI"
says '"passed": true'

# On a flat channel with hardly any noise what is left is the estimate's own bias (notes/phy.md: -49 and -33.6 dB): the truth is the
# truth to the last term, whatever clocks, carriers and distance.
for dir in dl ul; do
	limit=$(test $dir = dl && echo -44 || echo -32)
	succeeds "$WDMOE" phy csi --channel none --snr-db 45 --dir $dir --cfo-hz -7500 --distance-m 60 --trials 40 --model "$MODEL_MINI" \
		--json flat.json
	nmse=$(value nmse_db flat.json)
	awk -v x="$nmse" -v limit="$limit" 'BEGIN { exit !(x < limit) }' || fail "$dir: $nmse dB on a flat channel at 45 dB"
done

# One number more or less, the other seed: reports repeat themselves, and a figure depends on what it says it does.
run() { # OUT ARGS...
	out=$1
	shift
	succeeds "$WDMOE" phy "$@" --json "$out"
}
run a.json acquire --trials 5 --cfo-hz 7500 --snr-db 0
run b.json acquire --trials 5 --cfo-hz 7500 --snr-db 0
run c.json acquire --trials 5 --cfo-hz 7500 --snr-db 0 --seed 2
cmp -s a.json b.json || fail "two searches of one seed differ"
cmp -s a.json c.json && fail "another seed left the same report"
grep -q '"found": 5' a.json || fail "the sync signal is not always found at 0 dB"
run d.json acquire --dir ul --trials 20 --snr-db 5
grep -q '"found": 20' d.json || fail "preambles are not always found at 5 dB"
run e.json acquire --dir ul --trials 20 --snr-db -40
grep -q '"found": 0' e.json || fail "preambles are found 40 dB below the noise"

run f.json acquire --trials 6 --channel none --cfo-hz 75000 --snr-db -3:3:3 --within-ms 20,500
run g.json acquire --trials 6 --channel none --cfo-hz 75000 --snr-db -3:3:3 --within-ms 20,500 --threads 1
cmp -s f.json g.json || fail "the outcome depends on the number of threads"
test "$(grep -c '"within_s": 0.02' f.json)" = 4 || fail "not a point for each SNR, and the first at the top"
grep -q '"found": 5' f.json && fail "the sync signal is not always found at -3 dB"
run h.json acquire --noise-only --trials 500
grep -q '"false_alarms": 0' h.json || fail "noise is taken for a cell"
refuses "within-ms" "$WDMOE" phy acquire --within-ms soon
refuses "snr-db" "$WDMOE" phy acquire --snr-db auto
refuses "range-hz" "$WDMOE" phy acquire --range-hz 1e6

refuses "tdl-x" "$WDMOE" phy csi --channel tdl-x
refuses "sideways" "$WDMOE" phy acquire --dir sideways
refuses "no-such.yaml" "$WDMOE" attach no-such.yaml

finish
