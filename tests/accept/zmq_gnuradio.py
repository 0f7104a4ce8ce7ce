"""The zmq backend and GNU Radio (Debian packages gnuradio, python3): a pass-through flowgraph of its ZMQ blocks between base station and device.

zmq_gnuradio.py [PROMPTS]   (default 4)
  direct    base station and device over zmq, twice: journals equal to the byte up to the end of the shorter (samples and time are virtual)
  gnuradio  the same with the flowgraph in both directions: the same journal, the same answers, all those of `wdmoe generate`
  restart   kill -9 of the device while it serves, started again: attached again, answers go on. GNU Radio's REQ block waits for the answer of
            a peer that is dead for ever, so the flowgraph is killed and started again, too
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from lib import gate

PROMPTS = int(sys.argv[1]) if len(sys.argv) > 1 else 4
HEADER = "radio: { backend: zmq, profile: 1.92M-15k, tx_ahead_slots: 4 }"
CONFIG = f"""seed: 1
csi_log: every 10 slots
{HEADER}
devices:
  - {{ profile: board }}
scheduler: {{ policy: vanilla, allocator: minmax }}
moe: {{ codec_down: f32, codec_up: f32 }}
timers: {{ call_timeout_ms: 60000 }}
"""
if subprocess.run([sys.executable, "-c", "from gnuradio import zeromq"], stderr=subprocess.DEVNULL).returncode:
    print("GNU Radio is not installed: apt-get install --no-install-recommends gnuradio")
    sys.exit(77)
folder = tempfile.mkdtemp()
config = os.path.join(folder, "one.yaml")
with open(config, "w") as f:
    f.write(CONFIG)


def start(*args, log=os.devnull):
    with open(log, "w") as out:
        return subprocess.Popen(list(map(str, args)), cwd=gate.SOURCE, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


class Pair:
    """Base station and device, with a flowgraph between if asked for."""

    def __init__(self, tag, through, *bs_options):
        self.at = {k: f"ipc://{folder}/{tag}-{k}" for k in ("bs", "device", "to-device", "to-bs")}
        self.graph = None
        self.through = through
        if not through:
            self.at["to-device"], self.at["to-bs"] = self.at["bs"], self.at["device"]
        self.start_graph()
        self.out, self.report = os.path.join(folder, tag), os.path.join(folder, f"{tag}.json")
        self.log = os.path.join(folder, f"{tag}.log")
        self.start_device()
        self.bs = start(gate.WDMOE, "bs", config, "--set", f"zmq.tx_address={self.at['bs']}", "--set", f"zmq.rx_address={self.at['to-bs']}", "--out",
                        self.out, "--json", self.report, "--set", "ether.timeout_ms=20000", *bs_options, log=self.log)

    def start_graph(self):
        if self.through:
            self.graph = start(sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "passthrough.py"), self.at["bs"],
                               self.at["to-device"], self.at["device"], self.at["to-bs"])

    def start_device(self):
        self.device = start(gate.WDMOE, "device", config, "--set", f"zmq.tx_address={self.at['device']}", "--set",
                            f"zmq.rx_address={self.at['to-device']}", "--set", "ether.timeout_ms=20000")

    def end(self, within_s=100):
        try:
            status = self.bs.wait(within_s)
        except subprocess.TimeoutExpired:
            self.bs.kill()
            status = None
        for p in (self.device, self.graph):
            if p:
                p.send_signal(signal.SIGINT)
                try:
                    p.wait(10)
                except subprocess.TimeoutExpired:
                    p.kill()
        if status != 0:
            return {"status": status}
        with open(self.report) as f:
            return json.load(f) | {"status": status}

    def times_attached(self):
        with open(self.log) as f:
            return f.read().count("device 0 attached")

    def journal(self):
        with open(os.path.join(self.out, "journal.wdj"), "rb") as f:
            return f.read()


def alone(answer):
    path = os.path.join(folder, f"prompt-{id(answer)}")
    with open(path, "w") as f:
        f.write(" ".join(map(str, answer["prompt_tokens"])))
    r = gate.wdmoe("generate", "--tokens", path, "--n-tokens", 32)
    return r["tokens"] == answer["tokens"] and r["logits_hash"] == answer["logits_hash"]


def same_journals(a, b):
    """Equal bytes up to the end record of the shorter one."""
    n = min(len(a), len(b)) - 64
    return a[:n] == b[:n], n


figures = {}
# One answer each: all of it is decided before the first slot, in virtual time.
runs = {}
for name, through in (("direct", False), ("again", False), ("gnuradio", True)):
    runs[name] = Pair(name, through, "--prompts", 1)
    runs[name].end()
figures["direct_twice"], figures["direct_bytes"] = same_journals(runs["direct"].journal(), runs["again"].journal())
figures["through_gnuradio"], figures["gnuradio_bytes"] = same_journals(runs["direct"].journal(), runs["gnuradio"].journal())
answers = Pair("answers", True, "--prompts", PROMPTS)
report = answers.end()
figures["answers"] = report.get("answered")
figures["answers_the_same"] = sum(gate.each(alone, report.get("answers", [])))
figures["restart"] = {}
for name, through in (("direct", False), ("gnuradio", True)):
    pair = Pair(f"restart-{name}", through, "--prompts", 5 * PROMPTS)
    while not pair.times_attached() and pair.bs.poll() is None:
        time.sleep(0.01)
    for p in (pair.device, pair.graph):
        if p:
            p.kill()
            p.wait()
    time.sleep(1)
    pair.start_graph()
    pair.start_device()
    r = pair.end()
    figures["restart"][name] = {"status": r["status"], "times_attached": pair.times_attached(), "answered": r.get("answered"), "failed": r.get("failed"),
                                "answers_the_same": sum(gate.each(alone, r.get("answers", [])))}
shutil.rmtree(folder)
passed = (figures["direct_twice"] and figures["through_gnuradio"] and figures["direct_bytes"] > 10000 and figures["gnuradio_bytes"] > 10000 and
          figures["answers"] == figures["answers_the_same"] == PROMPTS and
          all(r["status"] == 0 and r["times_attached"] == 2 and r["answered"] == r["answers_the_same"] == 5 * PROMPTS for r in figures["restart"].values()))
gate.finish("zmq_gnuradio", {"prompts": PROMPTS}, figures, passed)
