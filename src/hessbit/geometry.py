"""Shape of one layer, the common word of the quantizer, the compiler and the cost model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LayerGeometry:
    """One convolution or fully connected layer (a 1x1 convolution on a 1x1 map), batch 1.

    Sizes are counts of channels, pixels and lanes; ``has_skip`` says that a residual input is added
    before requantisation.
    """

    name: str
    c_in: int
    c_out: int
    kh: int
    kw: int
    stride: int
    pad: int
    h_in: int
    w_in: int
    has_skip: bool = False

    @property
    def h_out(self) -> int:
        """Rows of the output map."""
        return (self.h_in + 2 * self.pad - self.kh) // self.stride + 1

    @property
    def w_out(self) -> int:
        """Columns of the output map."""
        return (self.w_in + 2 * self.pad - self.kw) // self.stride + 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.c_out * self.c_in * self.kh * self.kw * self.h_out * self.w_out

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.c_out * self.c_in * self.kh * self.kw
