# Times of chains and stages: all that is promised is there and greater than nothing; what it may not be asked is refused. Wall clocks
# decide nothing here.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

succeeds "$WDMOE" phy bench --seconds 0.01 --snr-db 25 --devices 4 --json bench.json
python3 - <<'PY' || fail "the report lacks something"
import json
r = json.load(open("bench.json"))
assert r["receive_msps"] > 0 and r["receive_all_devices_msps"] > 0 and r["transmit_msps"] > 0 and r["receive_over_liquid"] > 0
assert all(row["best_us"] > 0 and row["p50_us"] <= row["p90_us"] <= row["p99_us"] for row in r["rows"])
assert [round(x["rate"], 2) for x in r["ldpc"]] == [0.5, 0.83, 0.75, 0.83] and all(x["bler"] < 0.1 and 1 < x["iterations_mean"] < x["iterations_limit"] for x in r["ldpc"])
assert r["liquid_frames_right"] > 0.5
assert all(s["bler"] == 0 for s in r["scenes"]) and max(s["blocks"] for s in r["scenes"]) > 0
PY
refuses "99" "$WDMOE" phy bench --mcs 99
refuses "devices" "$WDMOE" phy bench --devices 1
refuses "no-such" "$WDMOE" phy bench --profile no-such

finish
