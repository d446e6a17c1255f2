"""Twin of hb_unit: three stages, each with its own controls."""

from __future__ import annotations

from twins.popcount import popcount


class Unit:
    """State of the stages; ``cycle`` is one clock edge with ``en_i``."""

    def __init__(self) -> None:
        self.low = self.high = self.sum = self.acc = self.res = 0

    def cycle(
        self,
        *,
        count_valid: int,
        low: int,
        high: int,
        sum_valid: int,
        sum_mode: int,
        acc_valid: int,
        acc_first: int,
        acc_shift: int,
        acc_neg: int,
        acc_last: int,
    ) -> None:
        """``low`` and ``high`` are the operands' ANDed halves."""
        base = 0 if acc_first else 2 * self.acc if acc_shift else self.acc
        acc = (base - self.sum if acc_neg else base + self.sum) % 2**32
        if acc_last:
            self.res = acc
        if acc_valid:
            self.acc = acc
        self.sum = (self.low + (2 * self.high if sum_mode else self.high)) if sum_valid else 0
        if count_valid:
            self.low, self.high = popcount(low), popcount(high)
