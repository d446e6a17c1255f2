"""Compile a QDQ ONNX file to one artifact for an accelerator.

The artifact holds program, weights, tensor map, hashes and a golden input with its output.

example:
  hessbit compile model.onnx --preset z7020
  hessbit compile model.onnx --preset ci --out model-ci.hbit
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hessbit.cli import _options as options
from hessbit.cli._ui import Ui


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    parser.add_argument(
        "model", metavar="MODEL.onnx", help="from hessbit export, or of the same form"
    )
    options.add_preset(parser)
    parser.add_argument("--out", metavar="FILE", help="(default: MODEL.hbit)")


def run(args: argparse.Namespace, ui: Ui) -> dict[str, Any]:
    """Compile and write the artifact."""
    from hessbit import flow
    from hessbit.hw.config import preset

    config = preset(args.preset)
    artifact = flow.compile_onnx(args.model, config)
    out = Path(args.out) if args.out else Path(args.model).with_suffix(".hbit")
    artifact.save(out)
    layers = flow.compare_layers(artifact)
    total = sum(row.cycles for row in layers)
    ui.table(
        ["layer", "W", "A", "cycles"],
        [[r.name, r.weight_bits, r.act_bits, r.cycles] for r in layers],
    )
    ui.say(
        f"\n{total:,} cycles predicted = {total / config.clk_mhz / 1000:.3f} ms at "
        f"{config.clk_mhz:g} MHz (assumed clock); {artifact.n_instructions} instructions, "
        f"{len(artifact.model):,} bytes of weights"
    )
    ui.say(f"wrote {out}")
    return {
        "preset": config.name, "clk_mhz": config.clk_mhz, "cycles": total,
        "layers": [
            {"name": r.name, "weight_bits": r.weight_bits, "act_bits": r.act_bits,
             "cycles": r.cycles}
            for r in layers
        ],
        "instructions": artifact.n_instructions, "model_bytes": len(artifact.model),
        "files": [str(out)],
    }  # fmt: skip
