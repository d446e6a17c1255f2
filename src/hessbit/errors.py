"""The one error tree. Every message is a single line: what is wrong, the limit, what would work."""

from __future__ import annotations


class HessbitError(Exception):
    """Base of every error that hessbit raises on purpose; the command line prints one line."""


class ConfigError(HessbitError):
    """A configuration, option or file key that is unknown or out of range."""


class ModelError(HessbitError):
    """A checkpoint or model file that cannot be used: missing, corrupt, NaN, of another network."""


class ShapeError(HessbitError):
    """A tensor of the wrong shape or type."""


class UnsupportedError(HessbitError):
    """An operator, or a form of it, that hessbit does not carry.

    Parameters
    ----------
    op : str
        The operator, as its framework names it.
    node : str
        The node in the user's model.
    reason : str
        What is not supported, and what is.
    """

    def __init__(self, op: str, node: str, reason: str) -> None:
        super().__init__(f"unsupported operator {op} at node {node!r}: {reason}")
        self.op, self.node, self.reason = op, node, reason


class NumericsError(HessbitError):
    """Arithmetic that could overflow or be imprecise: accumulator, bias or multiplier bounds."""


class InfeasibleError(HessbitError):
    """A budget or a memory that cannot hold what is asked.

    Parameters
    ----------
    constraint : str
        What is limited, with the layer where there is one.
    have, need : float
        The limit and the least that would be needed, in the unit that ``constraint`` names.
    hint : str
        What would fit.
    """

    def __init__(self, constraint: str, have: float, need: float, hint: str = "") -> None:
        tail = f"; {hint}" if hint else ""
        super().__init__(f"{constraint}: have {have:g}, need {need:g}{tail}")
        self.constraint, self.have, self.need = constraint, have, need


class PassError(HessbitError):
    """A compiler pass that broke a rule of the IR (a fault of hessbit, not of the user)."""


class ArtifactError(HessbitError):
    """An artifact that is corrupt, truncated, of another version or for another configuration."""


class SimulationError(HessbitError):
    """A simulation that could not be built, did not finish or disagrees with the reference."""


class DeployError(HessbitError):
    """A board, overlay or bus that is absent or answers with an error."""
