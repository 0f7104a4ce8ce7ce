"""Model files, texts, coded rows and what passes between nodes under libFuzzer with ASan and UBSan: no finding in 10 CPU minutes.

moe_fuzz.py [SECONDS]: CPU seconds over all targets (default 600).
"""
import sys

from lib import fuzz

fuzz.hunt_layers("moe_fuzz", ["moe", "testbed"], int(sys.argv[1]) if len(sys.argv) > 1 else 600, max_len=16384)
