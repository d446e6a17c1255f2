"""hb_axi_rd: two clients and a slow memory, burst by burst against the twin; flush and errors."""

from __future__ import annotations

import random
from collections import deque

import cocotb
from bus import seeded
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from twins.axi import OUTSTANDING, split


def word_at(address: int) -> int:
    """What the memory holds."""
    return (address * 0x9E3779B97F4A7C15 + 12345) & (2**64 - 1)


class Bench:
    """Clients, memory and scoreboard; :meth:`cycle` is one clock."""

    def __init__(self, dut, rng: random.Random) -> None:
        self.dut, self.rng = dut, rng
        self.requests: list[deque[tuple[int, int]]] = [deque(), deque()]
        self.bursts: list[deque[tuple[int, int]]] = [deque(), deque()]  # taken, not yet on AR
        self.beats: deque[tuple[int, bool, int]] = deque()  # memory owes: address, last, client
        self.want: list[deque[int]] = [deque(), deque()]
        self.open = self.beats_seen = self.bad = 0
        self.order: list[int] = []
        self.p_ready, self.p_mem, self.flush = 0.7, 0.7, False
        self.held: tuple[int, int] | None = None
        self.r_valid = False

    async def cycle(self) -> None:
        """Drive at the falling edge, look at the settled handshakes."""
        dut, rng = self.dut, self.rng
        await FallingEdge(dut.clk_i)
        addresses = beats = valid = 0
        for c in range(2):
            if self.requests[c]:
                valid |= 1 << c
                addresses |= self.requests[c][0][0] << (40 * c)
                beats |= self.requests[c][0][1] << (24 * c)
        dut.req_valid_i.value = valid
        dut.req_addr_i.value = addresses
        dut.req_beats_i.value = beats
        dut.flush_i.value = self.flush
        dut.rsp_ready_i.value = sum((rng.random() < self.p_ready) << c for c in range(2))
        dut.m_axi_arready.value = rng.random() < self.p_mem
        self.r_valid = bool(self.beats) and (self.r_valid or rng.random() < self.p_mem)
        dut.m_axi_rvalid.value = self.r_valid
        if self.r_valid:
            dut.m_axi_rdata.value = word_at(self.beats[0][0])
            dut.m_axi_rlast.value = self.beats[0][1]
            dut.m_axi_rresp.value = 2 if self.beats[0][0] == self.bad else 0
        await ReadOnly()
        taken = int(dut.req_ready_o.value) & valid
        for c in range(2):
            if taken >> c & 1:
                address, n = self.requests[c].popleft()
                self.bursts[c].extend(split(address, n))
                self.want[c].extend(address + 8 * i for i in range(n))
        if self.r_valid and dut.m_axi_rready.value:
            address, last, client = self.beats.popleft()
            self.r_valid = False
            self.beats_seen += 1
            self.open -= last
            passed = int(dut.rsp_valid_o.value) & (3 if not self.flush else 0)
            if not self.flush:
                assert passed == 1 << client
                assert self.want[client].popleft() == address
                assert int(dut.rsp_data_o.value) == word_at(address)
        if self.flush:
            assert int(dut.rsp_valid_o.value) == 0
        if dut.m_axi_arvalid.value:
            burst = (int(dut.m_axi_araddr.value), int(dut.m_axi_arlen.value) + 1)
            assert self.held in (None, burst), "the address changed before it was taken"
            self.held = burst
            if dut.m_axi_arready.value:
                self.held = None
                self.accept(burst)
        else:
            assert self.held is None, "the address was withdrawn"

    def accept(self, burst: tuple[int, int]) -> None:
        """The memory takes a burst."""
        heads = [c for c in range(2) if self.bursts[c] and self.bursts[c][0] == burst]
        assert heads, f"burst {burst} was not due"
        client = heads[0]
        self.bursts[client].popleft()
        self.order.append(client)
        self.open += 1
        assert self.open <= OUTSTANDING
        address, n = burst
        self.beats.extend((address + 8 * i, i == n - 1, client) for i in range(n))


async def make(dut) -> Bench:
    """Reset and an idle bench."""
    Clock(dut.clk_i, 10, "ns").start()
    for name in ("rst_ni", "flush_i", "req_valid_i", "rsp_ready_i", "m_axi_arready",
                 "m_axi_rvalid", "m_axi_rlast", "m_axi_rresp"):  # fmt: skip
        getattr(dut, name).value = 0
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    return Bench(dut, seeded())


def ask(bench: Bench, client: int, longest: int) -> None:
    """A request; client 1 has the upper half of memory."""
    address = 8 * bench.rng.randrange(1 << 14) + (client << 30)
    bench.requests[client].append((address, bench.rng.randint(1, longest)))


@cocotb.test()
async def two_clients(dut) -> None:
    """Every word reaches its client; nobody starves."""
    bench = await make(dut)
    for p_ready, p_mem in ((0.7, 0.7), (1.0, 1.0), (0.3, 1.0), (1.0, 0.3)):
        bench.p_ready, bench.p_mem = p_ready, p_mem
        for _ in range(6):
            ask(bench, 0, 16)
            ask(bench, 1, 90)
        for _ in range(4000):
            await bench.cycle()
            if not any(bench.requests) and not any(bench.want):
                break
        assert not any(bench.want), "words are missing"
    await bench.cycle()
    assert not dut.busy_o.value
    assert not dut.error_o.value


@cocotb.test()
async def turns(dut) -> None:
    """While both have bursts to issue, they alternate."""
    bench = await make(dut)
    bench.requests[0].append((0, 320))
    bench.requests[1].append((1 << 30, 320))
    for _ in range(2500):
        await bench.cycle()
    assert len(bench.order) == 40
    assert all(a != b for a, b in zip(bench.order[1:36], bench.order[2:36], strict=False))


@cocotb.test()
async def full_rate(dut) -> None:
    """A willing memory and client move one word a cycle."""
    bench = await make(dut)
    bench.p_ready = bench.p_mem = 1.0
    bench.requests[1].append((1 << 30, 400))
    for _ in range(400 + 12):
        await bench.cycle()
    assert not bench.want[1]


@cocotb.test()
async def flush_and_error(dut) -> None:
    """A flush forgets requests, drains started bursts, clears the error."""
    bench = await make(dut)
    for _ in range(10):
        ask(bench, 0, 16)
        ask(bench, 1, 200)
        bench.bad = 8 * ((bench.requests[1][0][0] >> 3) + 1)
        for _ in range(bench.rng.randint(5, 120)):
            await bench.cycle()
        bench.flush = True
        bench.requests = [deque(), deque()]
        for _ in range(300):
            await bench.cycle()
            if not dut.busy_o.value:
                break
        assert not dut.busy_o.value
        assert not bench.beats and bench.open == 0
        await bench.cycle()
        assert not dut.error_o.value
        bench.flush = False
        bench.bursts, bench.want = [deque(), deque()], [deque(), deque()]
    bench.requests[1].append((1 << 30, 4))
    bench.bad = (1 << 30) + 16
    for _ in range(60):
        await bench.cycle()
    assert dut.error_o.value
