"""The whole way: checkpoint to bit-exact RTL on test images, with a table at the end.

Without options: ResNet-8 for CIFAR-10, bits chosen by curvature under half the cycles of W8A8,
preset z7020, 100 test images in the Verilated RTL.

example:
  hessbit demo
  hessbit demo --preset ci --bits W4A4 --images 20
  hessbit demo --budget bytes=30000 --budget cycles=0.4x
  hessbit demo --model net.py:Net --checkpoint net.safetensors --data train.npz --test test.npz
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hessbit.cli import _options as options
from hessbit.cli._ui import Ui
from hessbit.errors import ConfigError, SimulationError

if TYPE_CHECKING:
    from hessbit.flow import RtlRun
    from hessbit.hw.artifact import Artifact
    from hessbit.hw.config import AcceleratorConfig
    from hessbit.quant import BitAssignment, FloatGraph


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    options.add_model(parser)
    options.add_calibration(parser)
    options.add_preset(parser)
    parser.add_argument(
        "--budget", action="append", metavar="KIND=LIMIT",
        help="bytes=, bops= or cycles=, a number or a share of W8A8 (default: cycles=0.5x)",
    )  # fmt: skip
    parser.add_argument("--bits", metavar="W4A4|FILE", help="use these widths, without choosing")
    parser.add_argument(
        "--test", metavar="NPZ", help="test images and labels (default: those that ship)"
    )
    parser.add_argument(
        "--images",
        type=options.positive,
        default=100,
        metavar="N",
        help="test images (default: %(default)s)",
    )
    parser.add_argument(
        "--probes", type=options.positive, default=20, metavar="N",
        help="most probes of the Hessian traces (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=options.positive, metavar="N", help="(default: one a core)"
    )
    parser.add_argument(
        "--out", default="out/demo", metavar="FOLDER", help="(default: %(default)s)"
    )


def run(args: argparse.Namespace, ui: Ui) -> dict[str, Any]:
    """All steps, each with its time; then the closing table."""

    from hessbit import flow, quant
    from hessbit.files import load_images, write_npy
    from hessbit.hw.config import preset

    if args.bits and args.budget:
        raise ConfigError("give --bits or --budget, not both")
    begin = time.monotonic()
    config = preset(args.preset)
    source = args.test or options.asset(options.TEST_IMAGES)
    test = load_images(source, args.images)
    options.check_images(args, test, source)
    model = options.float_model(args)
    graph = options.float_graph(args, model)
    batches = options.calibration(args)
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        name: folder / name
        for name in (
            "bits.json",
            "model.hbq",
            "model.onnx",
            "model.int.onnx",
            "model.hbit",
            "outputs.npy",
        )
    }
    steps = Steps(ui)

    steps.begin("capture", f"{args.model}: {len(quant.layer_names(graph))} layers")
    bits = _choose_bits(args, ui, steps, graph, batches[:4], config, files)

    steps.begin("quantize", f"{len(bits.layers)} layers to integers")
    with ui.progress("quantize") as progress:
        qmodel = quant.quantize(
            graph, bits, batches, input_scale=args.input_scale, seed=args.seed,
            input_zero_point=args.input_zero_point, progress=progress,
        )  # fmt: skip
    bits.save(files["bits.json"])
    qmodel.save(files["model.hbq"])
    steps.begin("export", "QDQ ONNX and integer ONNX")
    quant.export_qdq(qmodel, files["model.onnx"])
    quant.export_integer(qmodel, files["model.int.onnx"])
    steps.begin("compile", f"for preset {config.name}")
    artifact = flow.compile_onnx(files["model.onnx"], config)
    artifact.save(files["model.hbit"])

    steps.begin("integers", f"integer model and onnxruntime on {len(test.images)} images")
    expected = qmodel.run(test.images)
    exact = flow.run_integer_onnx(files["model.int.onnx"], test.images)
    onnx_same = int((exact == expected).all(1).sum())

    steps.begin("build", f"Verilated RTL of {config.name}, cached for later")
    flow.build_rtl(config)
    steps.begin("simulate", f"RTL on {len(test.images)} images")
    with ui.progress("RTL") as progress:
        rtl = flow.run_rtl(
            files["model.hbit"], test.images, workers=args.workers, progress=progress
        )
    outputs = rtl.outputs.reshape(expected.shape)
    write_npy(files["outputs.npy"], outputs)
    same = int((outputs == expected).all(1).sum())
    steps.end()

    result = _closing(ui, artifact, rtl, bits)
    n = len(test.images)
    if test.labels is not None:
        x = options.to_float(args, test.images)
        result["accuracy"] = {
            "float": flow.accuracy(flow.run_float(model, x), test.labels),
            "quantized": flow.accuracy(expected, test.labels),
            "rtl": flow.accuracy(outputs, test.labels),
        }
        words = ", ".join(f"{k} {v:.2f} %" for k, v in result["accuracy"].items())
        ui.say(f"accuracy on these {n} images: {words}")
    ui.say(f"integer ONNX in onnxruntime: {onnx_same} of {n} images identical to the integer model")
    ui.say(f"RTL: {same} of {n} images identical to the integer model")
    ui.say("files: " + ", ".join(str(f) for f in files.values() if f.exists()))
    ui.say(f"{time.monotonic() - begin:.0f} s in all")
    result |= {
        "images": n, "rtl_identical": same, "integer_onnx_identical": onnx_same,
        "seconds": round(time.monotonic() - begin, 1), "step_seconds": steps.seconds,
        "cycles_per_second": round(sum(rtl.cycles) / rtl.seconds), "workers": rtl.workers,
        "files": [str(f) for f in files.values() if f.exists()],
    }  # fmt: skip
    if same != n or onnx_same != n:
        raise SimulationError(
            f"of {n} images {n - same} differ in RTL and {n - onnx_same} in onnxruntime from the "
            "integer model"
        )
    return result


class Steps:
    """Says each step with the seconds that it took."""

    def __init__(self, ui: Ui) -> None:
        self._ui, self._name, self._start = ui, "", 0.0
        self.seconds: dict[str, float] = {}

    def begin(self, name: str, text: str) -> None:
        """End the step before and begin one."""
        self._close()
        self._name, self._start = name, time.monotonic()
        self._ui.say(f"{name:<9} {text}")

    def end(self) -> None:
        """End the last step."""
        self._close()
        self._ui.say(
            "          " + ", ".join(f"{k} {v:.0f} s" for k, v in self.seconds.items() if v >= 1)
        )
        self._ui.say()

    def _close(self) -> None:
        if self._name:
            self.seconds[self._name] = round(time.monotonic() - self._start, 1)
        self._name = ""


def _choose_bits(
    args: argparse.Namespace, ui: Ui, steps: Steps, graph: FloatGraph, batches: list[Any],
    config: AcceleratorConfig, files: dict[str, Path],
) -> BitAssignment:  # fmt: skip
    """The assignment that the options name, or the best one under the budgets by curvature."""
    from hessbit import quant

    if args.bits:
        return options.parse_bits(args.bits, graph)
    steps.begin(
        "analyze",
        f"Hessian traces of {len(quant.layer_names(graph))} layers and their activations, "
        f"{sum(len(b[0]) if isinstance(b, tuple) else len(b) for b in batches)} images",
    )
    with ui.progress("analyze") as progress:
        report = quant.analyze(
            graph, batches, max_probes=args.probes, min_probes=min(10, args.probes), seed=args.seed,
            progress=progress,
        )  # fmt: skip
        table = quant.sensitivities(graph, report, batches)
    files["curvature.json"] = Path(args.out) / "curvature.json"
    files["sensitivity.json"] = Path(args.out) / "sensitivity.json"
    report.save(files["curvature.json"])
    table.save(files["sensitivity.json"])
    ui.table(
        ["  layer", "trace of H", "std error", "probes"],
        [[f"  {n}", e.trace, e.stderr, e.probes] for n, e in report.layers.items()],
    )
    budgets = args.budget or ["cycles=0.5x"]
    steps.begin(
        "allocate",
        "exactly, under " + " and ".join(budgets) + (" of W8A8" if "x" in budgets[0] else ""),
    )
    return options.choose_bits(graph, table, config, budgets).bits


def _closing(ui: Ui, artifact: Artifact, rtl: RtlRun, bits: BitAssignment) -> dict[str, Any]:
    """The table of layers: bits, predicted and counted cycles, utilisation; latency."""
    from hessbit import flow

    rows = flow.compare_layers(artifact, rtl.report.layer_cycles())
    ui.table(
        ["layer", "W", "A", "predicted cycles", "RTL cycles", "utilisation"],
        [
            [
                r.name,
                r.weight_bits,
                r.act_bits,
                r.predicted,
                r.cycles,
                f"{100 * r.utilisation:.0f} %",
            ]
            for r in rows
        ],
    )
    cycles = sum(rtl.cycles) / len(rtl.cycles)
    predicted = int(artifact.manifest["cycles"])
    clk = artifact.config.clk_mhz
    ui.say()
    ui.say(
        f"latency {cycles / clk / 1000:.3f} ms at {clk:g} MHz (assumed clock): {cycles:,.0f} "
        f"cycles from start to done, {predicted:,} predicted "
        f"({100 * (predicted / cycles - 1):+.1f} %)"
    )
    return {
        "preset": artifact.config.name, "clk_mhz": clk, "cycles": cycles,
        "predicted_cycles": predicted,
        "latency_ms": cycles / clk / 1000,
        "layers": [
            {
                "name": r.name, "weight_bits": r.weight_bits, "act_bits": r.act_bits,
                "predicted_cycles": r.predicted, "cycles": r.cycles, "utilisation": r.utilisation,
            }
            for r in rows
        ],
    }  # fmt: skip
