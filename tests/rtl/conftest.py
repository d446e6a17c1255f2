"""Make ``runner`` and the testbench modules importable here and in the simulator's Python."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
