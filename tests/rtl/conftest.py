"""Make ``runner``, the testbench modules (in the simulator too) and ``benchmarks`` importable."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]
