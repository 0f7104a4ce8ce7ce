# A real USRP, in a loop by a cable with an attenuator of 30 dB at least, or by its antennas (ctest -L hardware). What it is, that streams hold for half a
# minute, and what a loop must come to. WDMOE_UHD_ARGS: which device ("": the first found); WDMOE_UHD_SET: further --set options.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

args=${WDMOE_UHD_ARGS:-}
"$WDMOE" radio probe --args "$args" --json probe.json >out 2>&1 || fail "probe: $(cat out)"
grep -q '"board"' probe.json 2>/dev/null || {
	echo "no USRP answers to \"$args\": skipped"
	exit 77
}
set -- --set radio.backend=uhd --set uhd.args="$args" --set radio.profile=7.68M-30k --set uhd.tx_gain_db=30 --set uhd.rx_gain_db=30 ${WDMOE_UHD_SET:-}
succeeds "$WDMOE" radio selftest "$@" --json selftest.json
status=0
timeout --foreground --preserve-status -s INT 30 "$WDMOE" device "$SOURCE_DIR/testbed/scenarios/hosts-device.yaml" "$@" --json device.json >out 2>&1 || status=$?
test $status = 130 || fail "a device on it: status $status: $(tail -3 out)"
python3 - <<'EOF' || fail "figures"
import json
test, device = json.load(open("selftest.json")), json.load(open("device.json"))
print(json.dumps({k: test[k] for k in ("noise_dbfs", "tone_dbfs", "image_db", "leakage_dbfs", "evm_db", "clean_tx_gain_max_db")}))
assert test["noise_dbfs"] < -50 and test["tone_dbfs"] > test["noise_dbfs"] + 20 and test["image_db"] < -25 and test["evm_db"] < -25, test
events = device["radio_events"]
assert device["slots"] > 50000 and events["lost"] == 0 and events["overflow"] <= 5, events
EOF
finish
