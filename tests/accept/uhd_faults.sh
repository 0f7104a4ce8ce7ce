#!/bin/sh
# The UHD backend under 1000 randomised schedules of faults (tests/radio/uhd_schedule.h says what must hold after each).
set -e
faults=$BIN/accept_uhd_faults
[ -x "$faults" ] || exit 77 # built by the target `accept`
"$faults" "${1:-1000}" >"$RESULT" || rc=1
cat "$RESULT"
exit ${rc:-0}
