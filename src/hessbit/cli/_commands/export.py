"""Write a quantized model as QDQ ONNX (for compilers) and as integer ONNX (bit-exact anywhere).

example:
  hessbit export model.hbq
  hessbit export model.hbq --qdq model.onnx --integer model.int.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hessbit.cli._ui import Ui


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    parser.add_argument("model", metavar="MODEL.hbq", help="from hessbit quantize")
    parser.add_argument("--qdq", metavar="FILE", help="(default: MODEL.onnx)")
    parser.add_argument("--integer", metavar="FILE", help="(default: MODEL.int.onnx)")


def run(args: argparse.Namespace, ui: Ui) -> dict[str, Any]:
    """Export both forms."""
    from hessbit import quant

    model = quant.load(args.model)
    qdq = Path(args.qdq) if args.qdq else Path(args.model).with_suffix(".onnx")
    integer = Path(args.integer) if args.integer else Path(args.model).with_suffix(".int.onnx")
    quant.export_qdq(model, qdq)
    quant.export_integer(model, integer)
    ui.say(f"wrote {qdq}, {integer}")
    return {"files": [str(qdq), str(integer)]}
