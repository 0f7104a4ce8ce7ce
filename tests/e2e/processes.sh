# Base station, devices and the ether as processes: the answers of a model that nobody split; live commands; what cannot be; a USRP that is
# not there, and one that is a double.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

here="ipc://$PWD/air"
control="ipc://$PWD/control"
set -- "$SOURCE_DIR/testbed/scenarios/processes.yaml" --set ether.address="$here" --set ether.control="$control" --set ether.paced=false \
	--set model.path="$MODEL_MINI" --set model.prompt="a cat" --set model.n_tokens=4 --set realtime.lock_memory=false

"$WDMOE" ether "$@" --json ether.json >ether.log 2>&1 &
ether=$!
"$WDMOE" device "$@" --id 0 --json d0.json --out d0 --set csi_log=full >d0.log 2>&1 &
d0=$!
"$WDMOE" device "$@" --id 1 --json d1.json --out d1 --set record.streams=both >d1.log 2>&1 &
d1=$!
tries=0
until "$WDMOE" ether "$@" --tell "show 1" >/dev/null 2>&1 || [ $((tries += 1)) = 50 ]; do
	sleep 0.1
done
succeeds "$WDMOE" ether "$@" --tell "path-loss 1 90"
says "ok"
succeeds "$WDMOE" ether "$@" --tell "show 1" --json told.json
says "path loss 90.00 dB"
grep -q '"answer": "ok: path loss 90.00 dB' told.json || fail "what is told is not in the report"
printf '0,90\n0.05,95\n' >walk
succeeds "$WDMOE" ether "$@" --tell "mobility 0 $PWD/walk"
succeeds "$WDMOE" ether "$@" --tell "outage 0 both 5"
refuses "there is no such device" "$WDMOE" ether "$@" --tell "path-loss 2 90"
refuses "there is no such command" "$WDMOE" ether "$@" --tell "sing 1"
refuses "there is no such model" "$WDMOE" ether "$@" --tell "fading 1 marble"
refuses "is outside 0 .. 300" "$WDMOE" ether "$@" --tell "path-loss 1 900"
succeeds "$WDMOE" bs "$@" --prompts 2 --out bs --json bs.json
says "2 answered, 0 failed"
kill -INT $d0 $d1
wait $d0
test $? = 130 || fail "an interrupted device"
wait $d1
kill -INT $ether
wait $ether
test $? = 130 || fail "an interrupted ether"
succeeds "$WDMOE" generate --model "$MODEL_MINI" --prompt "a cat" --n-tokens 4 --json alone.json
python3 - <<'EOF' || fail "reports"
import json
alone, bs, d0, ether = (json.load(open(f"{n}.json")) for n in ("alone", "bs", "d0", "ether"))
assert [a["tokens"] for a in bs["answers"]] == [alone["tokens"]] * 2, bs["answers"]
assert all(a["logits_hash"] == alone["logits_hash"] for a in bs["answers"])
assert bs["slots_late"] == 0 and d0["slots_late"] == 0 and d0["expert_calls"] > 0 and d0["attached_s"] > 0
assert [s["stage"] for s in bs["stages"]] == ["waiting", "work", "sending", "after", "turnaround"]
assert ether["nodes"][0]["blocks"] > 0 and not any(n["blocks_late"] for n in ether["nodes"])
EOF
succeeds "$WDMOE" csi info bs/journal.wdj
succeeds "$WDMOE" csi info d0/journal.wdj
says "dl"
python3 -c 'import json; assert json.load(open("d1.json"))["recordings"] == 1' || fail "recordings are not counted"
test -s d1/device-1-sent-0.sigmf-data || fail "nothing sent was recorded"
succeeds "$WDMOE" replay d1/device-1-received-0 --config "$SOURCE_DIR/testbed/scenarios/processes.yaml" --set model.path="$MODEL_MINI" --device 1 \
	--json replay.json
python3 -c 'import json; r = json.load(open("replay.json")); assert r["downlink_blocks_good"] > 0 and r["expert_calls"] > 0, r' ||
	fail "a recording is not what the device received"
grep -q "path-loss 1 90: ok" ether.log || fail "the ether does not say what it was told"

refuses "--id 2" "$WDMOE" device "$@" --id 2
refuses "ether.tick_samples" "$WDMOE" ether "$@" --set ether.tick_samples=-1
refuses "nowhere://x" "$WDMOE" ether "$@" --set ether.address=nowhere://x

# A USRP. The double is found by its name, UHD's own.
double="$(dirname "$BIN")/uhd_double"
usrp() {
	LD_LIBRARY_PATH="$double" UHD_DOUBLE="$1" timeout --foreground --preserve-status -s INT 2 "$WDMOE" device "$SOURCE_DIR/testbed/scenarios/processes.yaml" \
		--set radio.backend=uhd --set model.path="$MODEL_MINI" --set realtime.agc_dbfs=-40 --set csi_log=off --json usrp.json --out "usrp-$1" \
		>usrp.log 2>&1
}
usrp devices=0
test $? = 1 || fail "without a USRP"
grep -q "uhd_find_devices" usrp.log || fail "does not say how to look"
usrp loop_db=-30
test $? = 130 || fail "interrupted with a USRP: $(cat usrp.log)"
python3 -c 'import json; r = json.load(open("usrp.json")); assert r["slots"] > 100 and r["radio_events"]["lost"] == 0 and 37 <= r["rx_gain_db"] <= 43, r' ||
	fail "a USRP's slots, or its gain: noise of -80 dBFS at gain 0 to be brought to -40"
grep -aq '"event": "gain"' "usrp-loop_db=-30/journal.wdj" || fail "gains are not in the journal"
finish
