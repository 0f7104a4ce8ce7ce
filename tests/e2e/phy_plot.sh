# Pictures: every kind is a well-formed SVG with what it promises; bad input is refused.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

well_formed() {
	python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$1" || fail "$1 is no XML"
}

succeeds "$WDMOE" phy bler --mcs 1,2 --snr-db -3:1.5:0 --trials 20 --warmup 10 --slots 10 --json report.json
for kind in bler capacity; do
	succeeds "$WDMOE" phy plot $kind report.json --out $kind.svg
	well_formed $kind.svg
done
grep -q "MCS 2" bler.svg || fail "no curve of MCS 2 in the legend"
grep -q "Shannon" capacity.svg || fail "no limit beside the MCSs"

# Edges of symbols: what falls into the adjacent channels is at least 35 dB below the signal.
for dir in dl ul; do
	succeeds "$WDMOE" phy plot spectrum --dir $dir --out spectrum.svg
	well_formed spectrum.svg
	awk '{ exit !($3 < -35) }' out || fail "$dir: $(cat out)"
done
succeeds "$WDMOE" phy plot spectrum --rms-dbfs 0 --out spectrum.svg
awk '{ exit !($3 > -35) }' out || fail "clipping leaves no trace in the spectrum: $(cat out)"

for dir in dl ul; do
	succeeds "$WDMOE" phy plot constellation --dir $dir --mcs 4 --snr-db 25 --out stars.svg
	well_formed stars.svg
	test "$(wc -c <stars.svg)" -gt 10000 || fail "$dir: hardly a symbol"
done

refuses "flowers" "$WDMOE" phy plot flowers --out x.svg
refuses "--out" "$WDMOE" phy plot bler report.json
refuses "which reports" "$WDMOE" phy plot bler --out x.svg
refuses "missing.json" "$WDMOE" phy plot bler missing.json --out x.svg
refuses "not a report" "$WDMOE" phy plot bler "$SOURCE_DIR/CMakePresets.json" --out x.svg
refuses "tdl-x" "$WDMOE" phy plot constellation --channel tdl-x --out x.svg

finish
