# A run's radios recorded and played again: a device on its recording decodes and sends the very same; a part of a run; bad input.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

set -- --set model.path="$MODEL_MINI" --set devices.snr_db=20
succeeds "$WDMOE" run "$@" --set model.prompt=x --set model.n_tokens=2 --set record.streams=both --set out=run
succeeds "$WDMOE" run "$@" --set model.prompt=x --set model.n_tokens=2 --set out=plain
cmp -s run/journal.wdj plain/journal.wdj || fail "recording changed the run"
for k in 0 5; do
	succeeds "$WDMOE" replay run/device-$k-received "$@" --device $k --sent again-$k --json again-$k.json
	cmp -s again-$k.sigmf-data run/device-$k-sent.sigmf-data || fail "device $k sends something else"
	python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); sys.exit(not (r["state"] == "attached" and r["downlink_blocks_good"] > 0))' \
		again-$k.json || fail "device $k did not get far"
done
test -s run/bs-received.sigmf-meta && test -s run/bs-sent.sigmf-meta || fail "nothing of the base station"

succeeds "$WDMOE" run "$@" --set model.prompt=x --set model.n_tokens=2 --set record.streams=received --set record.from_s=0.02 \
	--set record.for_s=0.03 --set out=part
test "$(stat -c %s part/bs-received.sigmf-data)" = $((8 * 7680 * 30)) || fail "not 30 ms: $(stat -c %s part/bs-received.sigmf-data)"
test ! -e part/bs-sent.sigmf-data || fail "recorded what was not asked for"
succeeds "$WDMOE" replay part/device-3-received "$@" --device 3
says "blocks"

# Another program's recording: noise alone.
head -c 800000 /dev/zero >zero.sigmf-data
echo '{"global": {"core:datatype": "cf32_le", "core:sample_rate": 7.68e6, "core:version": "1.0.0"}, "captures": [], "annotations": []}' >zero.sigmf-meta
succeeds "$WDMOE" replay zero "$@"
says "at the end search"

refuses "nowhere.sigmf-meta" "$WDMOE" replay nowhere "$@"
refuses "recorded at 7.68e+06 Hz" "$WDMOE" replay zero "$@" --set radio.profile=15.36M-30k
refuses "--device 9" "$WDMOE" replay zero "$@" --device 9
refuses "again-0" "$WDMOE" replay zero "$@" --sent again-0
finish
