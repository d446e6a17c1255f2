"""Run a compiled model in simulation: integer model, instruction simulator or Verilated RTL.

All levels give the same integers; `rtl` also counts cycles.

example:
  hessbit simulate model.hbit --level rtl --images images.npz --count 10
  hessbit simulate model.hbit --level rtl --count 1 --trace wave.fst
  hessbit simulate model.hbit --level reference --model model.hbq --out outputs.npy
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hessbit.cli import _options as options
from hessbit.cli._ui import Ui
from hessbit.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    parser.add_argument("artifact", metavar="MODEL.hbit", help="from hessbit compile")
    parser.add_argument("--level", choices=("reference", "instruction", "rtl"), default="rtl")
    parser.add_argument(
        "--model", metavar="MODEL.hbq",
        help="the quantized model: --level reference runs it, other levels are compared with it",
    )  # fmt: skip
    options.add_images(parser)
    parser.add_argument(
        "--workers", type=options.positive, metavar="N", help="(default: one a core)"
    )
    parser.add_argument("--trace", metavar="FILE.fst", help="write a waveform of the run (rtl)")
    parser.add_argument(
        "--stalls", type=int, metavar="SEED", help="stall the simulated bus at random, 30 %% (rtl)"
    )


def run(args: argparse.Namespace, ui: Ui) -> dict[str, Any]:
    """Simulate, compare, write the outputs."""
    import numpy as np

    from hessbit import flow
    from hessbit.deploy import Artifact

    if args.level != "rtl" and (args.trace or args.stalls is not None):
        raise ConfigError("--trace and --stalls need --level rtl")
    if args.level == "reference" and not args.model:
        raise ConfigError("--level reference runs the quantized model: give --model MODEL.hbq")
    artifact = Artifact.load(args.artifact)
    data = options.images(args)
    flow.check_images(artifact, data.images, args.artifact)
    expected = flow.reference(args.model, data.images) if args.model else None
    result: dict[str, Any] = {"level": args.level, "images": len(data.images)}
    with ui.progress(args.level) as progress:
        if args.level == "reference":
            outputs = expected
        elif args.level == "instruction":
            outputs = flow.run_instructions(artifact, data.images, progress)
        else:
            ddr = flow.ddr_model(stalls=args.stalls)
            trace = Path(args.trace) if args.trace else None
            done = flow.run_rtl(
                args.artifact,
                data.images,
                ddr=ddr,
                workers=args.workers,
                trace=trace,
                progress=progress,
            )
            outputs = done.outputs
            cycles = float(np.mean(done.cycles))
            clk = artifact.config.clk_mhz
            result |= {
                "cycles_per_image": cycles, "latency_ms": cycles / clk / 1000, "clk_mhz": clk,
                "seconds": done.seconds, "cycles_per_second": sum(done.cycles) / done.seconds,
                "workers": done.workers,
            }  # fmt: skip
            ui.say(
                f"{cycles:,.0f} cycles an image = {cycles / clk / 1000:.3f} ms at {clk:g} MHz "
                f"(assumed clock); simulated {result['cycles_per_second']:,.0f} cycles/s "
                f"in {done.workers} processes"
            )
    assert outputs is not None
    return options.conclude(args, ui, result, outputs, data.labels, expected)
