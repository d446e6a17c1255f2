"""Generate the program and the model image: loads, layers in bands and groups, waits.

Waits are counts of completed instructions of each engine, and every wait is for instructions
earlier in the program, so a program always ends. Three hazards decide them: an operand that is not
yet written (weights, parameters, rows of the input or residual map), memory that is still being
read when it is written again, and weight or parameter memory reused for a later layer.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from hessbit.errors import InfeasibleError
from hessbit.hw.config import AcceleratorConfig
from hessbit.hw.images import Bits
from hessbit.hw.ir import Conv, Graph, Output, Tensor, dilation_of, kernel_of
from hessbit.hw.isa import LAYOUT, TARGETS, Base, Engine, Instruction, LoadKind, Opcode, PoolOp
from hessbit.hw.plan import Place, ceil_div, lanes_of, pad_to
from hessbit.hw.schedule import Unit, schedule

LOOKAHEAD = 2
"""Layers whose loads are issued before the current one: two loads each fill the queue of four."""
LOOKAHEAD_SHARED = 4
"""The same where one load brings all parameters and each layer needs one load of weights."""


@dataclass(kw_only=True)
class Program:
    """The instructions, the model image and, for each layer, its units and instruction numbers."""

    instructions: list[Instruction]
    model: Bits
    units: list[Unit]
    layer_instructions: dict[int, list[int]]


def generate(
    graph: Graph, config: AcceleratorConfig, places: dict[str, Place], *, bands: bool = True
) -> Program:
    """The program of a planned network.

    Parameters
    ----------
    graph : Graph
    config : AcceleratorConfig
    places : dict
        From :func:`hessbit.hw.plan.allocate`.
    bands : bool
        Split layers into bands of rows, so that consecutive layers overlap.

    Raises
    ------
    InfeasibleError
        Naming the layer and the memory or instruction field that cannot hold it.
    """
    return _Generator(graph, config, places, bands).run()


class _Generator:
    def __init__(
        self, graph: Graph, config: AcceleratorConfig, places: dict[str, Place], bands: bool
    ) -> None:
        self.graph, self.config, self.places = graph, config, places
        self.out: list[Instruction] = []
        self.count = dict.fromkeys(Engine, 0)
        self.image: list[Bits] = []
        self.image_bytes = 0
        self.written: dict[str, list[tuple[int, Engine, int]]] = defaultdict(list)
        self.read: dict[str, dict[Engine, int]] = defaultdict(dict)
        self.by_layer: dict[int, list[int]] = defaultdict(list)
        self.load_done: dict[int, int] = {}
        self.plan = schedule(graph, config, places, bands=bands)

    # Instructions --------------------------------------------------------------------------------

    def _push(
        self,
        name: str,
        opcode: Opcode,
        fields: dict[str, int],
        layer: int,
        waits: dict[Engine, int],
    ) -> None:
        for f in LAYOUT[opcode]:
            low, high = f.range
            if not low <= fields[f.name] <= high:
                raise InfeasibleError(
                    f"layer {name}: instruction field {f.name} ({f.doc})",
                    high if fields[f.name] > 0 else low,
                    fields[f.name],
                    "use a smaller layer",
                )
        self.by_layer[layer].append(len(self.out))
        self.out.append(Instruction(opcode, fields, layer, tuple(waits.get(e, 0) for e in Engine)))
        for e in TARGETS[opcode]:
            self.count[e] += 1
            if self.count[e] > 0xFFFF:
                raise InfeasibleError(
                    f"layer {name}: instructions of {e.name}", 0xFFFF, self.count[e]
                )

    def _store_image(self, data: Bits) -> int:
        at = self.image_bytes
        flat = data.reshape(-1)
        self.image += [flat, np.zeros(-len(flat) % 64, np.uint8)]
        self.image_bytes += pad_to(len(flat), 64)
        return at

    def _load(
        self, unit: Unit, kind: LoadKind, data: Bits, dst: int, waits: dict[Engine, int]
    ) -> None:
        self._push(
            unit.op.name,
            Opcode.LOAD,
            {
                "kind": kind,
                "base": Base.MODEL,
                "ddr": self._store_image(data),
                "dst": dst,
                "beats": data.size // 8,
                "rows": 0,
                "row_bytes": 0,
                "bits": 0,
            },
            unit.layer,
            waits,
        )

    def _load_input(self, first: int, last: int) -> None:
        """Rows ``first..last-1`` of the input image."""
        x = self.graph.input
        place, row = self.places[x.name], x.w * x.c
        self._push(
            "input",
            Opcode.LOAD,
            {
                "kind": LoadKind.ACTS,
                "base": Base.INPUT,
                "ddr": first * row,
                "dst": place.address + first * place.row_words,
                "beats": ceil_div((last - first) * row, 8),
                "rows": last - first,
                "row_bytes": row,
                "bits": x.bits,
            },
            0,
            {},
        )
        self.written[x.name].append((first, Engine.LOAD, self.count[Engine.LOAD]))

    def run(self) -> Program:
        x, units, shared = self.graph.input, self.plan.units, self.plan.shared_params
        self._load_input(0, self.plan.head_rows)
        loaded = 0
        done: list[dict[Engine, int]] = []
        for u, unit in enumerate(units):
            ahead = (LOOKAHEAD_SHARED if shared else LOOKAHEAD) if u else 0
            while loaded < len(units) and loaded <= u + ahead:
                following = units[loaded]
                if max(following.w_after, following.p_after) >= u:
                    break
                self._load_weights(following, done)
                if not shared or loaded == 0:
                    self._load_params([following], done)
                elif loaded == 1:
                    self._load_params(units[1:], done)
                self.load_done[loaded] = self.count[Engine.LOAD]
                loaded += 1
            if u == 0 and self.plan.head_rows < x.h:
                self._load_input(self.plan.head_rows, x.h)
            for first, last in unit.bands:
                self._compute(unit, first, last, {Engine.LOAD: self.load_done[u]})
            done.append(dict(self.count))
        self._finish()
        model = np.concatenate(self.image) if self.image else np.zeros(0, np.uint8)
        return Program(
            instructions=self.out, model=model, units=units, layer_instructions=dict(self.by_layer)
        )

    def _load_weights(self, unit: Unit, done: list[dict[Engine, int]]) -> None:
        if unit.weights is not None:
            after = unit.w_after
            waits = {Engine.ARRAY: done[after][Engine.ARRAY]} if after >= 0 else {}
            self._load(unit, LoadKind.WEIGHTS, unit.weights, unit.w_base, waits)

    def _load_params(self, units: list[Unit], done: list[dict[Engine, int]]) -> None:
        """One load for neighbours in the parameter memory."""
        after = units[0].p_after
        waits = {Engine.REQUANT: done[after][Engine.REQUANT]} if after >= 0 else {}
        data = np.concatenate([unit.params for unit in units])
        self._load(units[0], LoadKind.PARAMS, data, units[0].p_base, waits)

    def _rows_written(self, tensor: str, last_row: int, waits: dict[Engine, int]) -> None:
        for first_row, engine, count in self.written[tensor]:
            if first_row <= last_row:
                waits[engine] = max(waits.get(engine, 0), count)

    def _compute(self, unit: Unit, first: int, last: int, waits: dict[Engine, int]) -> None:
        op, k = unit.op, unit.op.constants
        x, y = self.graph.tensors[op.input], self.graph.tensors[op.output]
        src, dst = self.places[op.input], self.places[op.output]
        row = (last - 1) // y.w
        reach = row * op.stride[0] - op.pad[0] + dilation_of(op)[0] * (kernel_of(op)[0] - 1)
        self._rows_written(op.input, min(max(reach, 0), x.h - 1), waits)
        if op.skip is not None:
            self._rows_written(op.skip, row, waits)
        for name, place in self.places.items():
            if name != op.output and place.overlaps(dst):
                for engine, count in self.read[name].items():
                    if engine != Engine.REQUANT:  # it works in order
                        waits[engine] = max(waits.get(engine, 0), count)
        skip = self.places[op.skip] if op.skip else None
        skip_type = self.graph.tensors[op.skip] if op.skip else None
        fields = {
            "npix": last - first,
            "oy0": first // y.w,
            "ox0": first % y.w,
            "out_w": y.w,
            "n_groups": unit.groups,
            "p_base": unit.p_base,
            "out_base": dst.address,
            "out_row_words": dst.row_words,
            "out_c": dst.lanes_c,
            "out_c0": unit.group0 * self.config.dm,
            "ob": y.bits,
            "zp_out": k.zp,
            "lo": k.lo,
            "hi": k.hi,
            "skip_en": int(skip is not None),
            "skip_base": skip.address if skip else 0,
            "skip_row_words": skip.row_words if skip else 0,
            "skip_bits": skip_type.bits if skip_type else 1,
            "skip_zp": skip_type.zero_point if skip_type else 0,
            "in_base": src.address,
            "in_row_words": src.row_words,
            "in_h": x.h,
            "ab": x.bits,
            "kh": kernel_of(op)[0],
            "stride_y": op.stride[0],
            "y0": -op.pad[0],
        }
        fields |= (
            self._conv_fields(unit, op, x, src)
            if isinstance(op, Conv)
            else {
                "in_w": x.w,
                "in_c": src.lanes_c,
                "kw": op.kernel[1],
                "stride_x": op.stride[1],
                "x0": -op.pad[1],
                "pool_op": PoolOp.SUM if op.op == "sum" else PoolOp.MAX,
            }
        )
        opcode = Opcode.CONV if isinstance(op, Conv) else Opcode.POOL
        self._push(op.name, opcode, fields, unit.layer, waits)
        self.written[op.output].append((first // y.w, Engine.REQUANT, self.count[Engine.REQUANT]))
        reader = Engine.GATHER if isinstance(op, Conv) else Engine.POOL
        self.read[op.input][reader] = self.count[reader]
        if op.skip is not None:
            self.read[op.skip][Engine.REQUANT] = self.count[Engine.REQUANT]

    def _conv_fields(self, unit: Unit, op: Conv, x: Tensor, src: Place) -> dict[str, int]:
        shape = unit.shape
        assert shape is not None
        return {
            "in_row_lanes": x.w * src.lanes_c,
            "zp_in": x.zero_point,
            "dil_y": op.dilation[0],
            "step_x": op.stride[1] * src.lanes_c,
            "x0": -op.pad[1] * src.lanes_c,
            "n_seg": shape.n_seg,
            "seg_lanes": shape.seg_lanes,
            "seg_step": shape.seg_step,
            "kwords": shape.kwords,
            "wb": op.weight_bits,
            "bipolar": int(op.bipolar),
            "lane_mode": shape.lane_mode,
            "w_base": unit.w_base,
            "w_stride": shape.w_stride,
        }

    def _finish(self) -> None:
        op = next(op for op in self.graph.ops if isinstance(op, Output))
        y, place = self.graph.tensors[op.input], self.places[op.input]
        waits: dict[Engine, int] = {}
        self._rows_written(op.input, y.h - 1, waits)
        layer = len(self.graph.compute)
        self._push(
            op.name,
            Opcode.STORE,
            {
                "base": Base.OUTPUT,
                "ddr": 0,
                "src": place.address,
                "rows": y.h,
                "row_lanes": y.w * lanes_of(self.graph, y),
                "bits": y.bits,
            },
            layer,
            waits,
        )
        self._push(op.name, Opcode.END, {}, layer, {})
