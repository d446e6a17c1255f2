"""Options that several commands share, and the objects that they name."""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hessbit.errors import ConfigError

if TYPE_CHECKING:
    from hessbit.cli._ui import Ui
    from hessbit.files import Images
    from hessbit.hw.config import AcceleratorConfig
    from hessbit.quant import BitAssignment, Cost, FloatGraph, SensitivityTable

ZOO_MODEL = "hessbit.quant.zoo:ResNet8"
CHECKPOINT = "resnet8-cifar10.safetensors"
TEST_IMAGES = "cifar10-test.npz"
CALIBRATION_IMAGES = "cifar10-calibration.npz"
BUDGET_KINDS = ("bytes", "bops", "cycles")


def add_model(parser: argparse.ArgumentParser) -> None:
    """``--model --checkpoint --input-shape --input-scale --input-zero-point``."""
    group = parser.add_argument_group("network")
    group.add_argument(
        "--model", default=ZOO_MODEL, metavar="SPEC",
        help="package.module:Class or file.py:Class, called without arguments; its code runs "
        "(default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--checkpoint", metavar="FILE",
        help="its weights, .safetensors or a torch file without code (default: the one that ships)",
    )  # fmt: skip
    group.add_argument(
        "--input-shape", default="3,32,32", metavar="C,H,W", help="one image (default: %(default)s)"
    )
    group.add_argument(
        "--input-scale", type=float, default=1 / 64, metavar="S",
        help="a byte p enters as (p - zero point) * S (default: 1/64)",
    )  # fmt: skip
    group.add_argument(
        "--input-zero-point", type=int, default=128, metavar="Z", help="(default: 128)"
    )


def add_calibration(parser: argparse.ArgumentParser) -> None:
    """``--data --count``."""
    group = parser.add_argument_group("calibration images")
    group.add_argument(
        "--data", metavar="NPZ",
        help="images uint8 (N, H, W, C) and, for curvature, labels (default: those that ship)",
    )  # fmt: skip
    group.add_argument("--count", type=positive, metavar="N", help="take the first N images only")


def add_preset(parser: argparse.ArgumentParser) -> None:
    """``--preset``."""
    parser.add_argument(
        "--preset",
        default="z7020",
        metavar="NAME",
        help="accelerator: tiny, ci or z7020 (default: %(default)s)",
    )


def positive(text: str) -> int:
    """An integer of 1 or more, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return value


def asset(name: str) -> Path:
    """A file that ships with hessbit."""
    from hessbit.files import ASSETS

    return ASSETS / name


def float_model(args: argparse.Namespace) -> Any:
    """The torch network that the options name, with its weights."""
    from hessbit import quant

    checkpoint = args.checkpoint
    if checkpoint is None:
        if args.model != ZOO_MODEL:
            raise ConfigError(f"--model {args.model} needs its weights: give --checkpoint FILE")
        checkpoint = asset(CHECKPOINT)
    return quant.load_model(args.model, checkpoint)


def input_shape(args: argparse.Namespace) -> tuple[int, int, int]:
    """``(C, H, W)`` of one image."""
    match = re.fullmatch(r"(\d+),(\d+),(\d+)", args.input_shape)
    if not match or "0" in match.groups():
        raise ConfigError(f"--input-shape {args.input_shape!r}: write three sizes, like 3,32,32")
    c, h, w = (int(g) for g in match.groups())
    return c, h, w


def float_graph(args: argparse.Namespace, model: Any = None) -> FloatGraph:
    """The captured and fused graph of the network that the options name."""
    import torch

    from hessbit import quant

    torch.manual_seed(args.seed)
    model = float_model(args) if model is None else model
    return quant.capture(model, torch.zeros(1, *input_shape(args)))


def to_float(args: argparse.Namespace, images: Any) -> Any:
    """Bytes ``(N, H, W, C)`` as the network's float input ``(N, C, H, W)``."""
    import torch

    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    return (x - args.input_zero_point) * args.input_scale


def check_images(args: argparse.Namespace, data: Images, source: object) -> None:
    """Raise ShapeError unless the images have the network's input shape."""
    from hessbit.errors import ShapeError

    c, h, w = input_shape(args)
    if data.images.shape[1:] != (h, w, c):
        raise ShapeError(
            f"{source}: images are {data.images.shape}; the network takes (N, {h}, {w}, {c})"
        )


def calibration(args: argparse.Namespace, batch: int = 32) -> list[Any]:
    """Calibration batches ``(x, y)`` or ``x``."""
    import torch

    from hessbit.files import load_images

    path = args.data or asset(CALIBRATION_IMAGES)
    data = load_images(path, args.count)
    check_images(args, data, path)
    x = to_float(args, data.images)
    if data.labels is None:
        return list(x.split(batch))
    y = torch.from_numpy(data.labels)
    return list(zip(torch.split(x, batch), torch.split(y, batch), strict=True))


def parse_bits(text: str, graph: FloatGraph) -> BitAssignment:
    """``W4A4`` (first and last layer 8 bits), or the path of a bits file."""
    from hessbit import quant

    match = re.fullmatch(r"[wW](\d)[aA](\d)", text)
    if match:
        wb, ab = int(match[1]), int(match[2])
        if not (1 <= wb <= 8 and 1 <= ab <= 8):
            raise ConfigError(f"--bits {text}: widths must be 1 to 8")
        return quant.BitAssignment.uniform(graph, wb, ab)
    if not Path(text).is_file():
        raise ConfigError(f"--bits {text!r}: write a width like W4A4 or the path of a bits file")
    bits = quant.BitAssignment.load(text)
    bits.check(graph)
    return bits


def parse_fixed(items: list[str] | None) -> dict[str, tuple[int | None, int | None]]:
    """``LAYER=W4A8``, ``LAYER=W4`` or ``LAYER=A8``."""
    out: dict[str, tuple[int | None, int | None]] = {}
    for item in items or []:
        match = re.fullmatch(r"(.+)=(?:[wW]([1-8]))?(?:[aA]([1-8]))?", item)
        if not match or not (match[2] or match[3]):
            raise ConfigError(f"--fix {item!r}: write LAYER=W4A8, LAYER=W4 or LAYER=A8")
        out[match[1]] = (int(match[2]) if match[2] else None, int(match[3]) if match[3] else None)
    return out


def parse_budgets(items: list[str], reference: Any) -> dict[str, float]:
    """Budgets as ``bytes=40000``, ``bops=2e9`` or ``cycles=0.5x`` (a share of uniform W8A8).

    Parameters
    ----------
    items : list of str
    reference : Cost
        Of uniform W8A8, for shares.

    Returns
    -------
    dict of str to float
        By kind: bytes, BOPS, cycles.
    """
    out: dict[str, float] = {}
    for item in items:
        kind, equals, text = item.partition("=")
        share = text.lower().endswith("x")
        try:
            value = float(text[:-1] if share else text)
        except ValueError:
            value = -1.0
        if not equals or kind not in BUDGET_KINDS or not 0 < value < math.inf:
            raise ConfigError(
                f"--budget {item!r}: write bytes=, bops= or cycles= and a number, "
                "or a share of W8A8 like 0.5x"
            )
        if kind in out:
            raise ConfigError(f"--budget {kind} is given twice")
        out[kind] = value * float(getattr(reference, kind)) if share else value
    return out


@dataclass(frozen=True)
class Choice:
    """Chosen widths, the limits that they keep, and the cost of uniform W8A8 to compare with."""

    bits: BitAssignment
    limits: dict[str, float]
    reference: Cost
    cost: Cost
    cycles: dict[tuple[str, int, int], int]


def choose_bits(
    graph: FloatGraph,
    table: SensitivityTable,
    config: AcceleratorConfig,
    budgets: list[str],
    fixed: dict[str, tuple[int | None, int | None]] | None = None,
) -> Choice:
    """The best assignment under budgets as `parse_budgets` reads them."""
    from hessbit import flow, quant

    cycles = flow.cycle_table(graph, config)
    reference = quant.cost(graph, quant.BitAssignment.uniform(graph, 8, 8), cycles)
    limits = parse_budgets(budgets, reference)
    bits = quant.allocate(
        graph, table, cycles=cycles, fixed=fixed,
        max_bytes=limits.get("bytes"), max_bops=limits.get("bops"), max_cycles=limits.get("cycles"),
    )  # fmt: skip
    return Choice(bits, limits, reference, quant.cost(graph, bits, cycles), cycles)


def add_images(parser: argparse.ArgumentParser) -> None:
    """``--images --count --out`` of commands that run a compiled model."""
    parser.add_argument(
        "--images", metavar="NPZ",
        help="images uint8 (N, H, W, C) and perhaps labels (default: the test images that ship)",
    )  # fmt: skip
    parser.add_argument("--count", type=positive, metavar="N", help="take the first N images only")
    parser.add_argument("--out", metavar="FILE.npy", help="write the output integers")


def images(args: argparse.Namespace) -> Images:
    """The images that ``--images`` and ``--count`` name."""
    from hessbit.files import load_images

    return load_images(args.images or asset(TEST_IMAGES), args.count)


def conclude(
    args: argparse.Namespace,
    ui: Ui,
    result: dict[str, Any],
    outputs: Any,
    labels: Any,
    expected: Any,
) -> dict[str, Any]:
    """Compare outputs with the integer model, say the accuracy, write them; the result for JSON.

    Raises
    ------
    SimulationError
        When an image's outputs differ from the integer model.
    """
    from hessbit import flow
    from hessbit.errors import SimulationError
    from hessbit.files import write_npy

    outputs = outputs.reshape(len(outputs), -1)
    if expected is not None:
        same = int((outputs == expected.reshape(outputs.shape)).all(1).sum())
        result["identical_images"] = same
        if same != len(outputs):
            raise SimulationError(
                f"{len(outputs) - same} of {len(outputs)} images differ from the "
                f"integer model of {args.model}"
            )
        ui.say(f"{same} of {len(outputs)} images identical to the integer model")
    if labels is not None:
        result["accuracy"] = flow.accuracy(outputs, labels)
        ui.say(f"accuracy {result['accuracy']:.2f} % on {len(outputs)} images")
    if args.out:
        write_npy(args.out, outputs)
        result["files"] = [str(args.out)]
        ui.say(f"wrote {args.out}")
    elif labels is None:
        ui.say("classes: " + " ".join(str(c) for c in outputs.argmax(1)))
    return result
