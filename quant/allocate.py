"""Exact bit allocation by mixed-integer programming.

::

    minimise    sum over layers and options (wb, ab) of Omega * z[layer, wb, ab]
    subject to  sum over options of z[layer, :, :] = 1                       for every layer
                sum over wb of z[i, wb, ab] = sum over wb of z[j, wb, ab]    i, j reading one tensor
                sum of bytes, BOPS, cycles of the chosen options <= budget   for each given budget
                z binary

solved to proven optimality by HiGHS through ``scipy.optimize.milp`` [1]_. The weights of a layer
take ``ceil(n * wb / 8)`` bytes; BOPS are ``MACs * wb * ab`` for one image; cycles come as a table.

References
----------
.. [1] Yao et al., HAWQ-V3, 2021, section 3.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hessbit.errors import ConfigError, InfeasibleError
from hessbit.quant.bits import BitAssignment, LayerBits
from hessbit.quant.graph import FloatGraph, Region, layer_names, macs
from hessbit.quant.sensitivity import SensitivityTable, monotone

Cycles = Mapping[tuple[str, int, int], float]
Fixed = Mapping[str, tuple[int | None, int | None]]
WIDTHS = (2, 3, 4, 5, 6, 7, 8)
CONSTRAINTS = ("bytes", "bops", "cycles")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Weight bytes, bit operations for one image, and cycles (None without a table)."""

    bytes: int
    bops: int
    cycles: float | None


@dataclass(frozen=True, kw_only=True)
class ParetoPoint:
    """One point of a sweep: the bound, the best assignment under it, its Omega and costs."""

    bound: float
    assignment: BitAssignment
    omega: float
    bytes: int
    bops: int
    cycles: float | None


def _layer_bytes(r: Region, wb: int) -> int:
    assert r.weight is not None
    return -(-r.weight.size * wb // 8)


def cost(graph: FloatGraph, bits: BitAssignment, cycles: Cycles | None = None) -> Cost:
    """Costs of an assignment.

    Raises
    ------
    ConfigError
        When the assignment does not fit the network or the cycle table lacks an entry.
    """
    bits.check(graph)
    chosen = [(r, bits.layers[r.name]) for r in graph.layers]
    return Cost(
        bytes=sum(_layer_bytes(r, b.weight_bits) for r, b in chosen),
        bops=sum(macs(r) * b.weight_bits * b.act_bits for r, b in chosen),
        cycles=None
        if cycles is None
        else sum(_cycles(cycles, r.name, b.weight_bits, b.act_bits) for r, b in chosen),
    )


def _cycles(table: Cycles, layer: str, wb: int, ab: int) -> float:
    try:
        return float(table[layer, wb, ab])
    except KeyError:
        raise ConfigError(f"the cycle table has no entry for {layer!r}, {wb} x {ab} bits") from None


@dataclass(frozen=True)
class _Problem:
    options: list[tuple[str, int, int]]
    omega: NDArray[np.float64]
    equal: NDArray[np.float64]
    equal_to: NDArray[np.float64]
    budgets: dict[str, tuple[float, NDArray[np.float64]]]

    def solve(
        self, objective: NDArray[np.float64], budgets: Iterable[str]
    ) -> NDArray[np.float64] | None:
        """Chosen options as 0/1, or None when there is no feasible choice."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        rows = [LinearConstraint(self.equal, self.equal_to, self.equal_to)]
        for name in budgets:
            bound, use = self.budgets[name]
            unit = max(float(np.abs(use).max()), 1.0)
            rows.append(LinearConstraint(use[None] / unit, -np.inf, bound / unit + 1e-9))
        scale = max(float(np.abs(objective).max()), 1e-300)
        found = milp(
            objective / scale,
            constraints=rows,
            integrality=np.ones(len(objective)),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0.0},
        )
        return None if found.x is None else np.asarray(np.rint(found.x))


def allocate(
    graph: FloatGraph,
    table: SensitivityTable,
    *,
    max_bytes: float | None = None,
    max_bops: float | None = None,
    max_cycles: float | None = None,
    cycles: Cycles | None = None,
    fixed: Fixed | None = None,
    weight_bits: Sequence[int] = WIDTHS,
    act_bits: Sequence[int] = WIDTHS,
) -> BitAssignment:
    """The assignment of least total sensitivity under all given budgets at once.

    Parameters
    ----------
    graph : FloatGraph
    table : SensitivityTable
        Clamped at 0 and made monotone before use. A tensor that several layers read counts once.
    max_bytes : float, optional
        Budget of weight bytes.
    max_bops : float, optional
        Budget of bit operations for one image.
    max_cycles : float, optional
        Budget of cycles for one image; needs ``cycles``.
    cycles : mapping, optional
        ``(layer, weight_bits, act_bits)`` to cycles.
    fixed : mapping, optional
        Layer name to ``(weight_bits, act_bits)``, either of which may be None (free).
    weight_bits, act_bits : sequence of int
        Widths to choose from. Layers on the network's input have 8 activation bits in any case.

    Returns
    -------
    BitAssignment

    Raises
    ------
    InfeasibleError
        Naming the budget, the bound and the least that is possible (for budgets that contradict
        each other, the least under the other budgets).
    ConfigError
        For unknown layers, widths out of range or a missing cycle table.
    """
    problem = _build(
        graph,
        table,
        bounds=(max_bytes, max_bops, max_cycles),
        cycles=cycles,
        fixed=fixed or {},
        weight_bits=weight_bits,
        act_bits=act_bits,
    )
    x = problem.solve(problem.omega, problem.budgets)
    if x is None:
        _explain(problem)
    assert x is not None
    chosen = [o for o, on in zip(problem.options, x, strict=True) if on]
    bits = BitAssignment({name: LayerBits(wb, ab) for name, wb, ab in chosen})
    bits.check(graph)
    return bits


def omega(table: SensitivityTable, bits: BitAssignment) -> float:
    """Total sensitivity of an assignment; a tensor that several layers read counts once."""
    acts = {table.inputs[n]: b.act_bits for n, b in bits.layers.items()}
    return sum(monotone(table.weights[n])[b.weight_bits] for n, b in bits.layers.items()) + sum(
        monotone(table.activations[t])[b] for t, b in acts.items()
    )


def _choices(
    graph: FloatGraph, fixed: Fixed, weight_bits: Sequence[int], act_bits: Sequence[int]
) -> dict[str, tuple[list[int], list[int]]]:
    """Allowed weight and activation widths of every layer."""
    names = layer_names(graph)
    for name, pair in fixed.items():
        if name not in names:
            raise ConfigError(f"fixed layer {name!r} is unknown; layers are {', '.join(names)}")
        if len(pair) != 2 or any(b is not None and not 1 <= b <= 8 for b in pair):
            raise ConfigError(f"fixed layer {name!r}: widths must be 1 to 8 or None")
    for word, widths in (("weight_bits", weight_bits), ("act_bits", act_bits)):
        if not widths or any(not 1 <= b <= 8 for b in widths):
            raise ConfigError(f"{word} {list(widths)}: each must be 1 to 8")
    out = {}
    for tensor, readers in graph.groups().items():
        asked = {fixed[n][1] for n in readers if n in fixed and fixed[n][1] is not None}
        if len(asked) > 1 or (tensor in graph.byte_tensors() and asked - {8}):
            raise ConfigError(
                f"fixed act_bits of {', '.join(readers)} contradict each other or the 8 bits of "
                "the network's input and output"
            )
        acts = (
            [8]
            if tensor in graph.byte_tensors()
            else ([b for b in asked if b is not None] or sorted(set(act_bits)))
        )
        for name in readers:
            wb = fixed[name][0] if name in fixed else None
            out[name] = ([wb] if wb is not None else sorted(set(weight_bits)), acts)
    return out


def _build(
    graph: FloatGraph,
    table: SensitivityTable,
    *,
    bounds: tuple[float | None, float | None, float | None],
    cycles: Cycles | None,
    fixed: Fixed,
    weight_bits: Sequence[int],
    act_bits: Sequence[int],
) -> _Problem:
    if bounds[2] is not None and cycles is None:
        raise ConfigError("max_cycles needs the table of cycles")
    regions = {r.name: r for r in graph.layers}
    choices = _choices(graph, fixed, weight_bits, act_bits)
    options = [(n, wb, ab) for n in regions for wb in choices[n][0] for ab in choices[n][1]]
    index = {option: i for i, option in enumerate(options)}
    groups = graph.groups()
    leaders = {readers[0]: tensor for tensor, readers in groups.items()}
    sense = np.zeros(len(options))
    try:
        weights = {n: monotone(table.weights[n]) for n in regions}
        acts = {n: monotone(table.activations[t]) for n, t in leaders.items()}
        for i, (n, wb, ab) in enumerate(options):
            sense[i] = weights[n][wb] + (acts[n][ab] if n in acts else 0.0)
    except KeyError as error:
        raise ConfigError(f"the sensitivity table lacks an entry for {error}") from None
    rows, right = [], []
    for n in regions:
        rows.append(np.asarray([float(o[0] == n) for o in options]))
        right.append(1.0)
    for readers in groups.values():
        for other in readers[1:]:
            for ab in choices[other][1]:
                row = np.zeros(len(options))
                for name, sign in ((readers[0], 1.0), (other, -1.0)):
                    for wb in choices[name][0]:
                        row[index[name, wb, ab]] += sign
                rows.append(row)
                right.append(0.0)
    budgets: dict[str, tuple[float, NDArray[np.float64]]] = {}
    for name, bound in zip(CONSTRAINTS, bounds, strict=True):
        if bound is None:
            continue
        use = np.zeros(len(options))
        for i, (n, wb, ab) in enumerate(options):
            if name == "bytes":
                use[i] = _layer_bytes(regions[n], wb)
            elif name == "bops":
                use[i] = macs(regions[n]) * wb * ab
            else:
                assert cycles is not None
                use[i] = _cycles(cycles, n, wb, ab)
        budgets[name] = (float(bound), use)
    return _Problem(options, sense, np.asarray(rows), np.asarray(right), budgets)


def _explain(problem: _Problem) -> None:
    """Raise InfeasibleError: a budget too small alone, else one too small beside the others."""
    names = list(problem.budgets)
    for others in ([], names):
        for name in names:
            bound, use = problem.budgets[name]
            x = problem.solve(use, [o for o in others if o != name])
            if x is None:
                continue
            least = float(use @ x)
            if least > bound * (1 + 1e-12):
                hint = f"raise it by {least - bound:g}, or allow fewer bits"
                raise InfeasibleError(
                    f"budget of {name}" + (" (under the other budgets)" if others else ""),
                    bound,
                    least,
                    hint,
                )
    raise InfeasibleError("all budgets together", 0, 1, "raise any of them")


def pareto(
    graph: FloatGraph,
    table: SensitivityTable,
    *,
    bounds: Iterable[float],
    constraint: str = "bytes",
    cycles: Cycles | None = None,
    fixed: Fixed | None = None,
    weight_bits: Sequence[int] = WIDTHS,
    act_bits: Sequence[int] = WIDTHS,
) -> list[ParetoPoint]:
    """Sweep one budget: the best assignment under each bound; infeasible bounds are left out.

    Parameters
    ----------
    constraint : str
        ``"bytes"``, ``"bops"`` or ``"cycles"``.
    bounds : iterable of float
        Others as `allocate`.

    Returns
    -------
    list of ParetoPoint
        By rising bound.

    Raises
    ------
    ConfigError
        For another constraint, and as `allocate`.
    """
    if constraint not in CONSTRAINTS:
        raise ConfigError(f"constraint {constraint!r}; choose from {', '.join(CONSTRAINTS)}")
    points = []
    for bound in sorted(bounds):
        limits = [bound if c == constraint else None for c in CONSTRAINTS]
        try:
            bits = allocate(
                graph,
                table,
                max_bytes=limits[0],
                max_bops=limits[1],
                max_cycles=limits[2],
                cycles=cycles,
                fixed=fixed,
                weight_bits=weight_bits,
                act_bits=act_bits,
            )
        except InfeasibleError:
            continue
        c = cost(graph, bits, cycles)
        points.append(
            ParetoPoint(
                bound=bound,
                assignment=bits,
                omega=omega(table, bits),
                bytes=c.bytes,
                bops=c.bops,
                cycles=c.cycles,
            )
        )
    return points
