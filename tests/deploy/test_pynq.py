"""The real pynq package on the simulated board: Overlay, MMIO and allocate work unchanged."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from networks import random_graph

from hessbit.deploy import Accelerator, overlay_board, pynq_device
from hessbit.errors import DeployError
from hessbit.hw.compiler import compile_graph
from hessbit.hw.config import preset
from hessbit.sim.rtl import RtlSimulator

pynq = pytest.importorskip("pynq", reason="the board extra is not installed")


def test_overlay_on_the_simulated_device(tmp_path: Path) -> None:
    artifact = compile_graph(random_graph(4), preset("tiny")).artifact
    bitfile = tmp_path / "hessbit.bit"
    bitfile.write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        device = pynq_device(RtlSimulator(preset("tiny")))
        overlay = pynq.Overlay(str(bitfile), device=device)
    buffer = pynq.allocate((4, 4), np.uint16, target=device)
    buffer[:] = 7
    assert device.sim.memory[buffer.device_address - device.sim.memory_base] == 7
    board = overlay_board(overlay)
    accelerator = Accelerator(board, artifact)
    report = accelerator.self_test()
    assert report.cycles > 0
    with pytest.raises(DeployError, match="no IP 'dma'; it holds hb_top_0"):
        overlay_board(overlay, "dma")
