"""How long a slot's decision takes: `wdmoe bench scheduler`, 8 devices, one core.

sched_speed.py [RUNS]: the whole decision (links, prediction, horizon, MCS, grants both ways) within 100 us at 20 resource blocks and 350 us
at 50, 99 of 100 slots; the better of RUNS runs, for the machine may be shared. That nothing is allocated is a test
(tests/testbed/test_allocations.c).
"""
import sys

from lib import gate

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
ASKED = {20: 100, 50: 350}

reports = [gate.wdmoe("bench", "scheduler") for _ in range(RUNS)]
best = {}
for r in reports:
    for s in r["slots"]:
        if s["rb"] not in best or s["p99_us"] < best[s["rb"]]["p99_us"]:
            best[s["rb"]] = s
figures = {"slots": [dict(s, asked_p99_us=ASKED[rb]) for rb, s in best.items()], "layers": reports[0]["layers"]}
gate.finish("sched_speed", {"runs": RUNS, "seed": reports[0]["seed"], "version": reports[0]["version"]}, figures,
            all(best[rb]["p99_us"] <= us for rb, us in ASKED.items()))
