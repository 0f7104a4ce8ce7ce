# Before going on the air, on the double of a USRP in a loop: what it can do, levels and EVM as theory has them, gains and full scales.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

export LD_LIBRARY_PATH="$(dirname "$BIN")/uhd_double"
set -- --set radio.backend=uhd --set radio.profile=1.92M-15k

export UHD_DOUBLE=devices=0
succeeds "$WDMOE" radio probe
says "uhd_find_devices"
status=0
"$WDMOE" radio selftest "$@" >out 2>err || status=$?
test $status = 1 || fail "a selftest without a device: $status"

export UHD_DOUBLE=loop_db=-40
succeeds "$WDMOE" radio probe --json probe.json
says "receives: 1 channels, 50 to 6000 MHz, gain 0 to 76 dB, antennas TX/RX RX2"
succeeds "$WDMOE" radio selftest "$@" --json selftest.json
says "clean up to a transmit gain of 43.4 dB"
succeeds "$WDMOE" radio calibrate "$@" --loop-db 40 --json loop.json
says "tx_full_scale_dbm: "
succeeds "$WDMOE" radio calibrate "$@" --level-dbfs -30 --reference-dbm -60 --json reference.json
says "rx_full_scale_dbm: "
python3 - <<'EOF' || fail "figures"
import json
probe, test, loop, reference = (json.load(open(f"{n}.json")) for n in ("probe", "selftest", "loop", "reference"))
assert probe["devices"][0]["rx"]["antennas"] == ["TX/RX", "RX2"] and probe["devices"][0]["clock_sources"][1] == "external"
# Amplitude 0.5 through 40 dB, noise at -80 dBFS: sums of four uniforms, of known power.
assert abs(test["noise_dbfs"] + 80) < 0.1 and abs(test["tone_dbfs"] + 46.02) < 0.05, test
assert test["image_db"] < -60 and test["leakage_dbfs"] < -110
first, last = test["steps"][0], test["steps"][-1]
assert abs(first["level_dbfs"] + 40 + 15.56) < 0.1 and abs(first["evm_db"] - (-80 - first["level_dbfs"])) < 0.3, first
assert first["delay_samples"] == 0 and first["samples_overloaded"] == 0 and last["samples_overloaded"] > 10000 and last["evm_db"] > -10
assert abs(loop["level_dbfs"] + 20) < 0.6 and abs(loop["tx_full_scale_dbm"]) < 0.05, loop
assert abs(reference["level_dbfs"] + 30) < 0.6 and abs(reference["rx_full_scale_dbm"] - (-60 + 80)) < 0.2, reference
EOF
status=0
"$WDMOE" radio calibrate "$@" --level-dbfs -1 >out 2>err || status=$?
test $status = 1 && grep -q "the level cannot be had" err || fail "an impossible level: $status $(cat err)"
refuses "--amplitude" "$WDMOE" radio selftest "$@" --amplitude 2
finish
