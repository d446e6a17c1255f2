"""Look into the activation store after any instruction, on anything that runs programs.

A probe is the program cut after an instruction, followed by STOREs of both halves of the activation
store to Base.OUTPUT. It needs no debug port: it runs on the instruction simulator, the RTL and a
board alike, and comparing two of them layer by layer finds the first instruction that differs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hessbit.deploy.artifact import Artifact
from hessbit.deploy.board import Board
from hessbit.deploy.driver import Accelerator
from hessbit.errors import DeployError
from hessbit.hw.config import BANKS
from hessbit.hw.isa import TARGETS, Base, Engine, Instruction, Opcode
from hessbit.sim.columns import HALF_BIT, Bits
from hessbit.sim.instruction import run

Bytes = NDArray[np.uint8]


def probe(artifact: Artifact, last: int) -> Artifact:
    """An artifact that runs instructions ``0 .. last`` and puts out the activation store.

    Its output tensor is (2 * half_words / 8, W, 1) bytes: bit ``p`` of a byte is a lane of word
    ``8 * row + p``. :func:`store_of` turns it back.
    """
    config = artifact.config
    program = artifact.instructions()[: last + 1]
    counts = [0] * len(Engine)
    for instruction in program:
        for engine in TARGETS[instruction.opcode]:
            counts[engine] += 1
    rows, lanes = config.half_words // BANKS, config.word
    for half in range(2):
        fields = {
            "base": int(Base.OUTPUT), "ddr": half * rows * lanes, "src": half << HALF_BIT,
            "rows": rows, "row_lanes": lanes, "bits": BANKS,
        }  # fmt: skip
        program.append(Instruction(Opcode.STORE, fields, 0xFFFF, tuple(counts)))
    program.append(Instruction(Opcode.END, {}))
    output = artifact.manifest["output"] | {
        "h": 2 * rows, "w": lanes, "c": 1, "lanes_c": 1, "bits": 8,
    }  # fmt: skip
    code = b"".join(i.encode() for i in program)
    return replace(
        artifact,
        program=np.frombuffer(code, np.uint8),
        manifest=artifact.manifest | {"output": output},
        golden_output=np.zeros((2 * rows, lanes, 1), np.uint8),
    )


def store_of(artifact: Artifact, output: Bytes) -> Bits:
    """The activation store ``(2, half_words, W)`` in the output of a probe."""
    word = artifact.config.word
    bits = np.unpackbits(output.reshape(-1, word, 1), axis=2, bitorder="little")
    return np.ascontiguousarray(bits.transpose(0, 2, 1)).reshape(2, -1, word)


def first_difference(artifact: Artifact, image: Bytes, board: Board) -> str | None:
    """Compare ``board`` with the instruction simulator after every instruction that writes maps.

    The board's activation store should start from zero, as that of a new simulator does.

    Returns
    -------
    str or None
        The first instruction whose activation store differs, and where; None when none does.
    """
    for last, instruction in enumerate(artifact.instructions()):
        if instruction.opcode not in (Opcode.LOAD, Opcode.CONV, Opcode.POOL):
            continue
        part = probe(artifact, last)
        where = f"instruction {last} ({instruction.opcode.name}, layer {instruction.layer})"
        try:
            have = store_of(part, Accelerator(board, part).run(image))
        except DeployError as error:
            return f"{where}: {error}"
        want = store_of(part, run(part, image))
        wrong = np.argwhere(have != want)
        if len(wrong):
            half, word, lane = (int(i) for i in wrong[0])
            return (
                f"{where}: {len(wrong)} bits of the activation store differ, first half {half} "
                f"word {word} lane {lane}, {want[half, word, lane]} is right"
            )
    return None
