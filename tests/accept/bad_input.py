"""Bad input: one clear line that names the culprit, exit status 2, nothing written. The checks are those that `make test` runs."""
import os
import subprocess
import tempfile

from lib import gate

CHECKS = ["bad_input", "bad_config"]

figures = {}
environment = os.environ | {"WDMOE": gate.WDMOE, "SOURCE_DIR": gate.SOURCE,
                            "MODEL_MINI": os.path.join(gate.SOURCE, "tests/moe/data/mini.gguf")}
for checks in CHECKS:
    script = os.path.join(gate.SOURCE, "tests/e2e", checks + ".sh")
    with tempfile.TemporaryDirectory() as outer:
        folder = os.path.join(outer, "run")
        os.mkdir(folder)
        done = subprocess.run(["sh", script], cwd=folder, env=environment, capture_output=True, text=True)
    figures[checks] = {"passed": done.returncode == 0, "complaints": done.stderr.splitlines()}
gate.finish("bad input", {"checks": ["tests/e2e/" + c + ".sh" for c in CHECKS]}, figures, all(f["passed"] for f in figures.values()))
