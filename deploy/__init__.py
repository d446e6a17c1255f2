"""Running compiled models on a board, real or simulated. Needs numpy; pynq on a real board.

Public: :class:`Artifact`, :class:`Accelerator`, :func:`open_board`, :func:`simulated_board`.
"""

from hessbit.deploy.artifact import Artifact, TensorInfo
from hessbit.deploy.board import Board, open_board, overlay_board
from hessbit.deploy.driver import Accelerator, EngineCounters, LayerTiming, RunReport
from hessbit.deploy.simulated import pynq_device, simulated_board

__all__ = [
    "Accelerator",
    "Artifact",
    "Board",
    "EngineCounters",
    "LayerTiming",
    "RunReport",
    "TensorInfo",
    "open_board",
    "overlay_board",
    "pynq_device",
    "simulated_board",
]
