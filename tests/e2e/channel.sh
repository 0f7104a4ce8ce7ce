# Channels as taps: of a model, written down and read again; of a run, measured and replayed; bad input is refused.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

succeeds "$WDMOE" channel --model epa --speed-kmh 60 --seconds 5 --step-us 200 --seed 3 --out epa.csv --json epa.json
says "7 taps at 25001 times"
python3 - <<'END' || fail "the file does not say what the report says"
import json
import math

report = json.load(open("epa.json"))
rows = [[float(x) for x in line.split(",")] for line in open("epa.csv") if not line.startswith("#")]
assert len(rows) == report["n_times"] == 25001 and len(rows[0]) == 1 + 2 * report["n_taps"]
power = [sum(r[1 + 2 * l] ** 2 + r[2 + 2 * l] ** 2 for r in rows) / len(rows) for l in range(report["n_taps"])]
for l, p in enumerate(power):
    assert abs(10 * math.log10(p / sum(power)) - report["power_db"][l]) < 1e-3
    assert abs(report["power_db"][l] - report["power_db"][0] - [0, -1, -2, -3, -8, -17.2, -20.8][l]) < 2  # TS 36.104, one realisation
assert report["delay_ns"] == [0, 30, 70, 90, 110, 190, 410]
assert abs(report["doppler_hz"] - 60 / 3.6 / 299792458 * 3.5e9) < 1e-6
END
succeeds "$WDMOE" channel --file epa.csv
says "7 taps at 25001 times"
succeeds "$WDMOE" channel --model epa --speed-kmh 60 --seconds 5 --step-us 200 --seed 3 --out again.csv
cmp -s epa.csv again.csv || fail "the same seed gave another file"

# A run's measured channels, replayed in another run.
set -- --set model.path="$MODEL_MINI" --set model.prompt=x --set model.n_tokens=2 --set devices.snr_db=25
succeeds "$WDMOE" run "$@" --set out=run
for direction in dl ul; do
	succeeds "$WDMOE" channel --log run --device 0 --direction $direction --out $direction.csv --json $direction.json
	says "20 taps"
	python3 -c 'import json, sys; c = json.load(open(sys.argv[1]))["csi"]; sys.exit(not (c["residual_db"] < -20 and c["rows_measured"] > 20))' \
		$direction.json || fail "$direction: the taps do not fit"
done
succeeds "$WDMOE" run "$@" --set channel.model=trace --set devices.trace_dl=dl.csv --set devices.trace_ul=ul.csv --set out=replay
says "on air"

printf '# delays_s: 0\n0,1,0\n1,2\n' >broken.csv
refuses "broken.csv:3" "$WDMOE" channel --file broken.csv
refuses "broken.csv:3" "$WDMOE" run "$@" --set channel.model=trace --set devices.trace_dl=dl.csv --set devices.trace_ul=broken.csv
refuses "devices[0].trace_dl" "$WDMOE" run "$@" --set channel.model=trace
refuses "tdl-x" "$WDMOE" channel --model tdl-x
refuses "nowhere" "$WDMOE" channel --log nowhere
refuses "fewer than two" "$WDMOE" channel --log run --device 9
refuses "one will do" "$WDMOE" channel --log run --file dl.csv
refuses "1e8 rows" "$WDMOE" channel --seconds 1e5 --step-us 1
finish
