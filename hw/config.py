"""Sizes of the accelerator: one record feeds compiler, cost model, RTL parameters and driver."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from hessbit.errors import ConfigError

BANKS = 8
"""Banks of one half of the activation store: words that one fetch returns."""
PACK_LANES = 16
"""Granularity of channels in feature maps and of segments in a column, in lanes."""


@dataclass(frozen=True, kw_only=True)
class AcceleratorConfig:
    """Parameters of one overlay; see docs/microarchitecture.md for what each one sizes.

    Attributes
    ----------
    name : str
        Preset name.
    dm, dn, k : int
        Array: output channels x pixels x lanes.
    r : int
        Requantiser lanes.
    act_rows : int
        Rows of each of the 2 x 8 banks of the activation store; a row is one word of ``k/2`` bits.
    weight_rows : int
        Wide words (``dm * k`` bits) of the weight memory.
    col_rows : int
        Rows of each of the four banks of one column memory, all tile buffers together.
    param_channels : int
        Entries of the requantiser's parameter memory.
    clk_mhz : float
        Assumed clock in MHz; latency = cycles / clk.
    """

    name: str
    dm: int
    dn: int
    k: int
    r: int
    act_rows: int
    weight_rows: int
    col_rows: int
    param_channels: int
    clk_mhz: float = 150.0

    def __post_init__(self) -> None:
        def need(ok: bool, what: str) -> None:
            if not ok:
                raise ConfigError(f"configuration {self.name!r}: {what}")

        need(self.k in (32, 64, 128), f"k must be 32, 64 or 128, not {self.k}")
        need(self.dm in (4, 8, 16), f"dm must be 4, 8 or 16, not {self.dm}")
        need(2 <= self.dn <= 16, f"dn must be 2..16, not {self.dn}")
        need(self.r >= 1 and self.dm % self.r == 0, f"r must divide dm={self.dm}, not {self.r}")
        need(self.dm * self.k % 64 == 0, "dm * k must be a multiple of 64")
        need(64 <= self.act_rows * BANKS <= 32768, "act_rows must be 8..4096")
        need(16 <= self.weight_rows <= 65536, "weight_rows must be 16..65536")
        even = self.col_rows % 4 == 0
        need(4 <= self.col_rows <= 4096 and even, "col_rows must be a multiple of 4, 4..4096")
        need(self.param_channels % self.dm == 0, "param_channels must be a multiple of dm")
        need(self.clk_mhz > 0, "clk_mhz must be positive")

    @property
    def word(self) -> int:
        """Lanes of one activation or column word, ``k / 2``."""
        return self.k // 2

    @property
    def half_words(self) -> int:
        """Words in one half of the activation store."""
        return BANKS * self.act_rows

    @property
    def weight_row_bytes(self) -> int:
        """Bytes of one wide weight word."""
        return self.dm * self.k // 8

    @property
    def hash(self) -> int:
        """64-bit hash of everything that decides whether a program fits the bitstream."""
        from hessbit.hw.isa import ISA_VERSION

        sizes = {k: v for k, v in asdict(self).items() if k not in ("name", "clk_mhz")}
        text = json.dumps({"isa": ISA_VERSION, **sizes}, sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")

    def rtl_parameters(self) -> dict[str, int]:
        """Parameters of the SystemVerilog module ``hb_top``."""
        return {
            "Dm": self.dm,
            "Dn": self.dn,
            "K": self.k,
            "R": self.r,
            "ActRows": self.act_rows,
            "WeightRows": self.weight_rows,
            "ColRows": self.col_rows,
            "ParamChannels": self.param_channels,
            "CfgHashLo": self.hash & 0xFFFFFFFF,
            "CfgHashHi": self.hash >> 32,
        }


PRESETS: dict[str, AcceleratorConfig] = {
    c.name: c
    for c in (
        AcceleratorConfig(
            name="tiny", dm=4, dn=4, k=32, r=2,
            act_rows=512, weight_rows=1024, col_rows=256, param_channels=128,
        ),
        AcceleratorConfig(
            name="ci", dm=8, dn=4, k=64, r=4,
            act_rows=1536, weight_rows=2048, col_rows=512, param_channels=512,
        ),
        AcceleratorConfig(
            name="z7020", dm=16, dn=8, k=128, r=16,
            act_rows=1536, weight_rows=512, col_rows=512, param_channels=1024,
        ),
    )
}  # fmt: skip


def preset(name: str) -> AcceleratorConfig:
    """The preset called ``name``; ConfigError lists those there are."""
    try:
        return PRESETS[name]
    except KeyError:
        raise ConfigError(f"no preset {name!r}; there are {', '.join(PRESETS)}") from None
