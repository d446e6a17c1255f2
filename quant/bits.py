"""Bit assignments: weight and activation widths of every layer, and their JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hessbit.errors import ConfigError
from hessbit.files import write_json
from hessbit.quant.graph import FloatGraph, layer_names
from hessbit.quant.store import read_json


@dataclass(frozen=True)
class LayerBits:
    """Widths of one layer: its weights and its **input** tensor, each 1..8."""

    weight_bits: int
    act_bits: int


@dataclass(frozen=True)
class BitAssignment:
    """Widths of all layers, by layer name."""

    layers: Mapping[str, LayerBits]

    @staticmethod
    def uniform(
        graph: FloatGraph,
        weight_bits: int,
        act_bits: int,
        first_last: tuple[int, int] | None = (8, 8),
    ) -> BitAssignment:
        """The same widths everywhere.

        Parameters
        ----------
        graph : FloatGraph
        weight_bits, act_bits : int
            1..8.
        first_last : tuple of int, optional
            Weight and activation bits of the first and of the last layer, or None. Layers that read
            the network's input have 8 activation bits in any case, and where layers share an
            input tensor the wider request holds.
        """
        names = layer_names(graph)
        weights = dict.fromkeys(names, weight_bits)
        acts = dict.fromkeys(names, act_bits)
        if first_last is not None:
            for name in (names[0], names[-1]):
                weights[name], acts[name] = first_last
        for tensor, readers in graph.groups().items():
            wide = 8 if tensor in graph.byte_tensors() else max(acts[n] for n in readers)
            acts.update(dict.fromkeys(readers, wide))
        bits = BitAssignment({n: LayerBits(weights[n], acts[n]) for n in names})
        bits.check(graph)
        return bits

    def check(self, graph: FloatGraph) -> None:
        """Raise ConfigError unless the assignment fits the network.

        Raises
        ------
        ConfigError
            For unknown or missing layers, widths outside 1..8, layers that read one tensor with
            different widths, and an 8-bit tensor with another width.
        """
        names = layer_names(graph)
        unknown = [n for n in self.layers if n not in names]
        missing = [n for n in names if n not in self.layers]
        if unknown or missing:
            what = f"unknown layer {unknown[0]!r}" if unknown else f"nothing for {missing[0]!r}"
            raise ConfigError(f"bit assignment: {what}; the layers are {', '.join(names)}")
        for name, b in self.layers.items():
            for word, value in (("weight_bits", b.weight_bits), ("act_bits", b.act_bits)):
                if not 1 <= value <= 8:
                    raise ConfigError(f"{name}: {word} is {value}, must be 1 to 8")
        for tensor, readers in graph.groups().items():
            widths = {self.layers[n].act_bits for n in readers}
            if len(widths) > 1:
                raise ConfigError(
                    f"layers {', '.join(readers)} read one tensor: their act_bits must be equal, "
                    f"not {sorted(widths)}"
                )
            if tensor in graph.byte_tensors() and widths != {8}:
                raise ConfigError(
                    f"{readers[0]}: act_bits is {widths.pop()}, must be 8: the network's input and "
                    "output are bytes"
                )

    def tensor_bits(self, graph: FloatGraph) -> dict[str, int]:
        """Width of every stored tensor; 8 where no layer reads it."""
        self.check(graph)
        readers = graph.groups()
        out = {}
        for tensor in ("input", *(r.name for r in graph.regions)):
            root = graph.root(tensor)
            group = readers.get(root)
            byte = group is None or root in graph.byte_tensors()
            out[tensor] = 8 if byte or group is None else self.layers[group[0]].act_bits
        return out

    def to_dict(self) -> dict[str, dict[str, dict[str, int]]]:
        """The JSON object of `save`."""
        return {
            "layers": {
                n: {"weight_bits": b.weight_bits, "act_bits": b.act_bits}
                for n, b in self.layers.items()
            }
        }

    def save(self, path: str | Path) -> None:
        """Write the bits JSON."""
        write_json(path, self.to_dict())

    @staticmethod
    def load(path: str | Path) -> BitAssignment:
        """Read the bits JSON.

        Raises
        ------
        ArtifactError
            When the file cannot be read.
        ConfigError
            For unknown keys or values that are not integers.
        """
        data = read_json(path)
        if set(data) != {"layers"} or not isinstance(data["layers"], dict):
            raise ConfigError(f"{path}: the one key must be 'layers', an object")
        layers = {}
        for name, entry in data["layers"].items():
            keys = {"weight_bits", "act_bits"}
            if (
                not isinstance(entry, dict)
                or set(entry) != keys
                or not all(type(v) is int for v in entry.values())
            ):
                raise ConfigError(f"{path}: layer {name!r} needs integers weight_bits and act_bits")
            layers[name] = LayerBits(entry["weight_bits"], entry["act_bits"])
        return BitAssignment(layers)
