"""Four processes in real time: ether, base station, two devices, paced at 1.92 MS/s (testbed/scenarios/processes.yaml).

processes.py [SECONDS]     (default 60)
  generation  prompt after prompt for SECONDS: tokens and hash of all logits those of `wdmoe generate` for each prompt; slots with anything
              sent too late below 1 % on every node, and blocks that reached the ether too late; resident memory within 2 % after its first second
  device      kill -9 of a device while a prompt is at work, started again a second later: attached within 2 s of starting, answers go on
  ether       kill -9 of the ether: base station and devices say so and wait; when it is there again they go on; with realtime.on_lost=end they end with status 1
  bs          kill -9 of the base station: devices notice and search; when it is there again they attach
Run on a machine with nothing else to do: stalls of the machine are counted like any others. As root the loops run under SCHED_FIFO (priority 30).
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from lib import gate

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 60
SCENARIO = "testbed/scenarios/processes.yaml"
folder = tempfile.TemporaryDirectory()
count = 0


class Process:
    def __init__(self, name, *args):
        global count
        count += 1
        self.name = name
        self.json = os.path.join(folder.name, f"{count}.json")
        self.log_path = os.path.join(folder.name, f"{count}.log")
        self.begin = time.monotonic()
        self.out = open(self.log_path, "w")
        self.process = subprocess.Popen([gate.WDMOE, name, *map(str, args), "--json", self.json], cwd=gate.SOURCE, stdin=subprocess.DEVNULL,
                                        stdout=self.out, stderr=subprocess.STDOUT)

    def log(self):
        with open(self.log_path) as f:
            return f.read()

    def says(self, text, within_s):
        """Seconds from now until the log holds it; None: not in time."""
        begin = time.monotonic()
        while time.monotonic() - begin < within_s:
            if text in self.log():
                return time.monotonic() - begin
            time.sleep(0.01)
        return None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self, how=signal.SIGINT, within_s=20):
        """Exit status and report (None if it left none)."""
        if self.process.poll() is None and how:
            self.process.send_signal(how)
        try:
            status = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return None, None
        if not os.path.exists(self.json):
            return status, None
        with open(self.json) as f:
            return status, json.load(f)


def nodes(tag, *sets):
    """Starters of the four, at addresses of their own."""
    where = []
    for s in (f"ether.address=ipc://{folder.name}/{tag}", f"ether.control=ipc://{folder.name}/{tag}-control", "realtime.priority=30", *sets):
        where += ["--set", s]
    outs = iter(range(100))
    return {"ether": lambda: Process("ether", SCENARIO, *where),
            "bs": lambda *a: Process("bs", SCENARIO, *where, "--out", os.path.join(folder.name, f"{tag}-bs-{next(outs)}"), *a),
            "device": lambda k: Process("device", SCENARIO, *where, "--id", k)}


def alone(answer):
    """What `wdmoe generate` makes of the same prompt."""
    path = os.path.join(folder.name, f"prompt-{id(answer)}")
    with open(path, "w") as f:
        f.write(" ".join(map(str, answer["prompt_tokens"])))
    r = gate.wdmoe("generate", "--tokens", path, "--n-tokens", 32)
    return r["tokens"] == answer["tokens"] and r["logits_hash"] == answer["logits_hash"]


def generation():
    start = nodes("a")
    ether, devices = start["ether"](), [start["device"](k) for k in (0, 1)]
    status, bs = start["bs"]("--for", SECONDS).end(how=None, within_s=SECONDS + 60)
    reports = {"bs": bs} | {f"device {k}": d.end()[1] for k, d in enumerate(devices)}
    _, e = ether.end()
    same = gate.each(alone, bs["answers"])
    figures = {"status": status, "answered": bs["answered"], "failed": bs["failed"], "answers_the_same": sum(same), "ether_tick_us": e["tick"],
               "ether_stretched_s": e["stretched_s"], "ether_ticks_behind": e["ticks_behind"], "duration_s": e["duration_s"],
               "sends_late_share": max(n["blocks_late"] / max(1, n["blocks"]) for n in e["nodes"]), "nodes": {}}
    for name, r in reports.items():
        figures["nodes"][name] = {k: r[k] for k in ("slots", "slots_late", "slots_late_share", "memory_begin_kib", "memory_end_kib", "radio_events",
                                                    "stages")}
    passed = (status == 0 and bs["failed"] == 0 and bs["answered"] > 0 and all(same) and figures["sends_late_share"] < 0.01 and
              all(r["slots_late_share"] < 0.01 for r in reports.values()) and
              all(r["memory_end_kib"] <= 1.02 * r["memory_begin_kib"] for r in reports.values()))
    return figures, passed


def killed_device():
    start = nodes("b")
    ether, devices, bs = start["ether"](), [start["device"](k) for k in (0, 1)], start["bs"]("--for", 12)
    bs.says("device 1 attached", 10)
    time.sleep(2)
    devices[1].kill()
    time.sleep(1)
    devices[1] = start["device"](1)
    noticed = bs.says("device 1 gone", 1) is not None
    status, report = bs.end(how=None, within_s=60)
    _, back = devices[1].end()
    devices[0].end()
    ether.end()
    figures = {"bs_noticed": noticed, "attached_s": back["attached_s"], "calls_served_again": back["expert_calls"], "bs_status": status,
               "answered": report["answered"], "failed": report["failed"], "answers_the_same": sum(gate.each(alone, report["answers"]))}
    return figures, (noticed and back["attached_s"] is not None and back["attached_s"] <= 2 and back["expert_calls"] > 0 and status == 0 and
                     report["failed"] == 0 and figures["answers_the_same"] == report["answered"] > 0)


def killed_ether():
    figures = {}
    start = nodes("c")
    ether, devices, bs = start["ether"](), [start["device"](k) for k in (0, 1)], start["bs"]("--for", 15)
    bs.says("device 1 attached", 10)
    time.sleep(1)
    ether.kill()
    everybody = [bs, *devices]
    figures["seconds_until_they_say_so"] = [p.says("the radio is gone: waiting for it", 10) for p in everybody]
    ether = start["ether"]()
    status, report = bs.end(how=None, within_s=60)
    rest = [d.end()[1] for d in devices]
    ether.end()
    figures |= {"bs_status": status, "answered": report["answered"], "failed": report["failed"], "radios": [report["radios"], *[r["radios"] for r in rest]]}
    good = (None not in figures["seconds_until_they_say_so"] and status == 0 and report["answered"] > 0 and report["failed"] == 0 and
            figures["radios"] == [2, 2, 2])
    start = nodes("d", "realtime.on_lost=end")
    ether, everybody = start["ether"](), [start["bs"](), start["device"](0), start["device"](1)]
    everybody[0].says("device 1 attached", 10)
    ether.kill()
    figures["end_statuses"] = [p.end(how=None)[0] for p in everybody]
    return figures, good and figures["end_statuses"] == [1, 1, 1]


def killed_bs():
    start = nodes("e")
    ether, devices, bs = start["ether"](), [start["device"](k) for k in (0, 1)], start["bs"]()
    bs.says("device 1 attached", 10)
    bs.says("device 0 attached", 10)
    bs.kill()
    searching = [d.says(": search", 5) for d in devices]
    bs = start["bs"]("--prompts", 2)
    status, report = bs.end(how=None, within_s=30)
    for d in devices:
        d.end()
    _, e = ether.end()
    figures = {"seconds_until_devices_search": searching, "bs_status": status, "answered": report and report["answered"],
               "bs_joins": e["nodes"][0]["joins"]}
    return figures, None not in searching and status == 0 and report["answered"] == 2 and e["nodes"][0]["joins"] == 2


figures, passed = {}, True
for part in (generation, killed_device, killed_ether, killed_bs):
    figures[part.__name__], good = part()
    figures[part.__name__]["passed"] = good
    passed = passed and good
gate.finish("processes", {"scenario": SCENARIO, "rate_hz": 1.92e6, "seconds": SECONDS, "processors": os.cpu_count()}, figures, passed)
