#!/bin/sh
# What the ether costs on one core: 8 devices at 7.68 MS/s, TDL-A 100 ns at 3 km/h, both directions and noise, at most
# 0.6 ms of CPU time a slot of 0.5 ms. Also printed: devices silent, faster devices, flat links, 4 devices.
set -e
speed=$BIN/accept_ether_speed
[ -x "$speed" ] || exit 77 # built by the target `accept`
{
	printf '['
	"$speed"
	printf ","
	"$speed" -q
	printf ","
	"$speed" -v 33
	printf ","
	"$speed" -m none
	printf ","
	"$speed" -m epa -d 4
	printf ']\n'
} >"$RESULT"
cat "$RESULT"
sed -n '1s/.*"us_per_slot": {"fastest": \([0-9.]*\).*/\1/p' "$RESULT" | awk '{ exit !($1 <= 600) }'
