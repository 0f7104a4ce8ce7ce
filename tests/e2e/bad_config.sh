# A configuration that is wrong is refused with one line that names file, line and key, and nothing is written.
. "$SOURCE_DIR/tests/e2e/lib/check.sh"

good=$SOURCE_DIR/testbed/scenarios/default.yaml

# bad CULPRIT TEXT: as a file.
bad() {
	printf '%b' "$2" >bad.yaml
	refuses "$1" "$WDMOE" config bad.yaml
}

bad "bad.yaml:2: radio.scs_khz: unknown key" 'radio:\n  scs_khz: 30\n'
bad "bad.yaml:1: sed: unknown key" 'sed: 1\n'
bad "bad.yaml:3: radio.scs_hz: \"wide\" is not a number" 'seed: 1\nradio:\n  scs_hz: wide\n'
bad "bad.yaml:1: seed: must be a whole number" 'seed: "1"\n'
bad "bad.yaml:1: seed: " 'seed: [1]\n'
bad "bad.yaml:1: radio: must be a mapping" 'radio: 7\n'
bad "bad.yaml:3: devices[1].snr_db: 99 is not between" 'devices:\n  - { snr_db: 1 }\n  - { snr_db: 99 }\n'
bad "bad.yaml:3: key \"seed\" a second time" 'seed: 1\nthreads: 1\nseed: 2\n'
bad "bad.yaml:2: not YAML" 'seed: [1\n'
bad "bad.yaml:1: scheduler.policy: \"magic\" is none of vanilla wdmoe" 'scheduler: { policy: magic }\n'
bad "devices[0].profile: there is no profile \"toaster\"" 'devices:\n  - { profile: toaster }\n'
bad "devices: there are none" 'devices: []\n'
bad "bad.yaml:1: csi_log" 'csi_log: every 0 slots\n'
bad "spacing" 'radio: { scs_hz: 29000 }\n'
bad "radio: " 'radio: { n_rb: 60 }\n'
bad "out of range" 'devices:\n  - { distance_m: 5000 }\n'
rm -f bad.yaml

refuses "missing.yaml" "$WDMOE" config missing.yaml
refuses "--set radio.scs_khz: unknown key" "$WDMOE" config "$good" --set radio.scs_khz=30
refuses "there are only 8 devices" "$WDMOE" config "$good" --set 'devices[8].snr_db=1'
refuses "must be key=value" "$WDMOE" config "$good" --set seed

finish
