"""Run a compiled model on a board, real or simulated, through the driver.

Starts with the artifact's self-test. A real board needs pynq and a bitstream.

example:
  hessbit run model.hbit --images images.npz --count 10
  hessbit run model.hbit --board pynq --bitstream hessbit-z7020.bit
"""

from __future__ import annotations

import argparse
from typing import Any

from hessbit.cli import _options as options
from hessbit.cli._ui import Ui
from hessbit.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    parser.add_argument("artifact", metavar="MODEL.hbit", help="from hessbit compile")
    parser.add_argument(
        "--board", choices=("sim", "pynq"), default="sim", help="(default: %(default)s)"
    )
    parser.add_argument("--bitstream", metavar="FILE.bit", help="for --board pynq")
    parser.add_argument("--model", metavar="MODEL.hbq", help="compare with the quantized model")
    options.add_images(parser)
    parser.add_argument(
        "--bus-fault", choices=("error", "dead"),
        help="let the simulated bus answer with errors, or never, to see what the driver says",
    )  # fmt: skip


def run(args: argparse.Namespace, ui: Ui) -> dict[str, Any]:
    """Open the board, self-test, run, write the outputs."""
    import numpy as np

    from hessbit import flow
    from hessbit.deploy import Accelerator, Artifact, open_board, simulated_board

    artifact = Artifact.load(args.artifact)
    data = options.images(args)
    flow.check_images(artifact, data.images, args.artifact)
    if args.board == "pynq":
        if not args.bitstream:
            raise ConfigError("--board pynq needs --bitstream FILE.bit")
        if args.bus_fault:
            raise ConfigError("--bus-fault needs --board sim")
        board = open_board(args.bitstream)
    elif args.bus_fault:
        board = flow.faulty_board(artifact.config, args.bus_fault)
    else:
        board = simulated_board(artifact.config)
    expected = flow.reference(args.model, data.images) if args.model else None
    accelerator = Accelerator(board, artifact)
    report = accelerator.self_test()
    outputs = []
    with ui.progress(args.board) as progress:
        for i, image in enumerate(data.images):
            outputs.append(accelerator.run(image).reshape(-1))
            progress(f"image {i + 1}", (i + 1) / len(data.images))
    ui.say(f"{board.name}: self-test passed, {report.cycles:,} cycles = {report.latency_ms:.3f} ms")
    ui.table(
        ["engine", "busy", "waiting", "stalled on input", "stalled on output", "instructions"],
        [[n, e.busy, e.wait, e.stall_in, e.stall_out, e.done] for n, e in report.engines.items()],
    )
    result: dict[str, Any] = {
        "board": board.name, "images": len(outputs), "cycles": report.cycles,
        "latency_ms": report.latency_ms, "read_bytes": report.read_bytes,
        "write_bytes": report.write_bytes,
    }  # fmt: skip
    return options.conclude(args, ui, result, np.stack(outputs), data.labels, expected)
