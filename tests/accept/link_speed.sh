#!/bin/sh
# The channel emulator on one core, noise apart: 12 time-varying taps at any delay, at least 400 million link-samples a second compiled for
# AVX-512, 200 for AVX2 (built here a second time for that).
set -e
speed=$BIN/accept_link_speed
[ -x "$speed" ] || exit 77 # built by the target `accept`
${CC:-cc} -std=gnu11 -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math -fcx-limited-range -march=x86-64-v3 -D_GNU_SOURCE -I"$SOURCE_DIR" \
	"$SOURCE_DIR/tests/accept/link_speed.c" "$SOURCE_DIR"/radio/fading_link.c "$SOURCE_DIR"/radio/fracdelay.c "$SOURCE_DIR"/radio/ring.c \
	"$SOURCE_DIR"/radio/tdl.c "$SOURCE_DIR"/radio/tdl_profiles.c "$SOURCE_DIR"/radio/shadow.c "$SOURCE_DIR"/radio/gauss.c "$SOURCE_DIR"/radio/trace.c \
	-lm -o link_speed_avx2
{
	printf '{"gate": "link_speed", "schema": 1, "figures": {"native": '
	"$speed"
	printf ', "avx2": '
	./link_speed_avx2
	printf '}}\n'
} >"$RESULT"
cat "$RESULT"
python3 - "$RESULT" <<'EOF'
import json, sys
f = json.load(open(sys.argv[1]))["figures"]
sys.exit(not (f["avx2"]["msps"]["fastest"] >= 200 and (not f["native"]["avx512"] or f["native"]["msps"]["fastest"] >= 400)))
EOF
