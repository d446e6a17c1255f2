"""Random networks with random bits on the RTL, under random DDR timing, against the reference.

    python -m benchmarks.soak --seconds 120            # tiny, ci and z7020, two minutes each
    python -m benchmarks.soak --preset tiny --seed 17 --count 1    # one network again

Every network (2..8 layers, 1..8 bits, strides, residuals, pools) is compiled with its golden input
and output from the integer reference; the driver runs it twice on the Verilated overlay with a
random latency, bandwidth and stall rate of the DDR model. A failure prints the seed that replays
it. Writes benchmarks/results/soak.json.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks._results import write
from hessbit.deploy import Accelerator
from hessbit.deploy.simulated import board_of
from hessbit.errors import HessbitError, InfeasibleError, NumericsError
from hessbit.hw.compiler import compile_graph
from hessbit.hw.config import AcceleratorConfig, preset
from hessbit.sim.rtl import DdrModel, RtlSimulator, build_model

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from networks import random_graph


def soak(config: AcceleratorConfig, seed: int, seconds: float, count: int | None) -> dict[str, Any]:
    """Networks ``seed, seed+1, ...`` until the time or the count is over."""
    build_model(config)
    sim = RtlSimulator(config)
    begin = time.monotonic()
    done = refused = 0
    failed: list[int] = []
    current = seed
    while time.monotonic() - begin < seconds and (count is None or current < seed + count):
        rng = random.Random(current)
        graph = random_graph(
            current,
            layers=rng.randint(2, 8),
            max_c=rng.choice((16, 40, 70, 130)),
            max_bits=rng.choice((2, 4, 8)),
        )
        ddr = DdrModel(
            stall_percent=rng.choice((0, 0, 20, 60)),
            latency_cycles=rng.choice((1, 40, 200)),
            bandwidth_gbs=rng.choice((0.2, 1.6, 10.0)),
            seed=current,
        )
        try:
            artifact = compile_graph(graph, config, bands=rng.random() < 0.7).artifact
        except (NumericsError, InfeasibleError):
            refused += 1
        else:
            sim.set_ddr(ddr)
            done += 1
            try:
                accelerator = Accelerator(board_of(sim), artifact)
                accelerator.self_test()
                accelerator.self_test()
            except HessbitError as error:
                failed.append(current)
                print(f"{config.name} seed {current}: {error}", flush=True)
                sim = RtlSimulator(config)
        current += 1
    return {
        "first_seed": seed, "networks": done, "identical": done - len(failed),
        "failed_seeds": failed, "refused": refused,
        "seconds": round(time.monotonic() - begin),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--preset", action="append", help="(default: tiny, ci and z7020)")
    parser.add_argument("--seconds", type=float, default=120, help="for each preset")
    parser.add_argument("--count", type=int, help="at most so many networks")
    parser.add_argument("--seed", type=int, default=0, help="of the first network")
    args = parser.parse_args()
    result = {}
    for name in args.preset or ["tiny", "ci", "z7020"]:
        row = result[name] = soak(preset(name), args.seed, args.seconds, args.count)
        print(f"{name}: {row['identical']} of {row['networks']} networks identical", flush=True)
    if args.count is None:
        write("soak", {"presets": result})
    if any(row["failed_seeds"] for row in result.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
