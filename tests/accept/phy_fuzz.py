"""Every decoder of the PHY under libFuzzer with ASan and UBSan: no finding in 10 CPU minutes.

phy_fuzz.py [SECONDS]: CPU seconds over all targets (default 600).
"""
import sys

from lib import fuzz

fuzz.hunt_layers("phy_fuzz", ["phy"], int(sys.argv[1]) if len(sys.argv) > 1 else 600)
