"""hb_axi_wr: requests through a slow memory, burst by burst against the twin; flush and errors."""

from __future__ import annotations

import random
from collections import deque

import cocotb
from bus import seeded
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from twins.axi import OUTSTANDING, split


class Bench:
    """Client, memory and scoreboard; :meth:`cycle` is one clock."""

    def __init__(self, dut, rng: random.Random) -> None:
        self.dut, self.rng = dut, rng
        self.requests: deque[tuple[int, int]] = deque()
        self.bursts: deque[tuple[int, int]] = deque()  # due on AW
        self.addresses: deque[tuple[int, int]] = deque()  # taken on AW, data to come
        self.early: deque[tuple[int, int, bool]] = deque()  # taken on W before their address
        self.data: deque[int] = deque()  # the client's words
        self.memory: dict[int, int] = {}
        self.want: dict[int, int] = {}
        self.sent = self.answers = self.open = self.done = self.moved = 0
        self.b_valid = self.flush = self.error = False
        self.p_data, self.p_mem = 0.7, 0.7
        self.held: dict[str, tuple[int, ...]] = {}

    def steady(self, name: str, valid: bool, ready: bool, payload: tuple[int, ...]) -> bool:
        """A channel's rule: once valid, nothing changes until ready. True when it moves."""
        if name in self.held:
            assert valid and self.held[name] == payload, f"{name} changed before it was taken"
        self.held.pop(name, None)
        if valid and not ready:
            self.held[name] = payload
        return valid and ready

    async def cycle(self) -> None:
        """Drive at the falling edge, look at the settled handshakes."""
        dut, rng = self.dut, self.rng
        await FallingEdge(dut.clk_i)
        dut.flush_i.value = self.flush
        dut.req_valid_i.value = bool(self.requests)
        if self.requests:
            dut.req_addr_i.value, dut.req_beats_i.value = self.requests[0]
        offered = bool(self.data) and rng.random() < self.p_data
        dut.data_valid_i.value = offered
        dut.data_i.value = self.data[0] if offered else rng.getrandbits(64)
        aw_ready, w_ready = rng.random() < self.p_mem, rng.random() < self.p_mem
        dut.m_axi_awready.value = aw_ready
        dut.m_axi_wready.value = w_ready
        self.b_valid = self.answers > 0 and (self.b_valid or rng.random() < self.p_mem)
        dut.m_axi_bvalid.value = self.b_valid
        dut.m_axi_bresp.value = 2 if self.error else 0
        await ReadOnly()
        if self.requests and dut.req_ready_o.value:
            address, n = self.requests.popleft()
            self.bursts.extend(split(address, n))
            for i in range(n):
                self.data.append(rng.getrandbits(64))
                self.want[address + 8 * i] = self.data[-1]
        if offered and dut.data_ready_o.value:
            self.data.popleft()
        self.done += int(dut.done_o.value)
        aw = (int(dut.m_axi_awaddr.value), int(dut.m_axi_awlen.value) + 1)
        if self.steady("AW", bool(dut.m_axi_awvalid.value), aw_ready, aw):
            assert self.bursts.popleft() == aw
            self.addresses.append(aw)
            self.open += 1
            assert self.open <= OUTSTANDING
        w = (int(dut.m_axi_wdata.value), int(dut.m_axi_wstrb.value), int(dut.m_axi_wlast.value))
        if self.steady("W", bool(dut.m_axi_wvalid.value), w_ready, w):
            self.early.append((w[0], w[1], bool(w[2])))
            self.moved += 1
        while self.addresses and self.early:
            address, n = self.addresses[0]
            data, strobe, last = self.early.popleft()
            assert last == (self.sent == n - 1), "wlast is wrong"
            if strobe == 0xFF:
                self.memory[address + 8 * self.sent] = data
            else:
                assert strobe == 0 and self.flush
            self.sent = 0 if last else self.sent + 1
            if last:
                self.addresses.popleft()
                self.answers += 1
        if self.b_valid and dut.m_axi_bready.value:
            self.b_valid = False
            self.answers -= 1
            self.open -= 1


async def make(dut) -> Bench:
    """Reset and an idle bench."""
    Clock(dut.clk_i, 10, "ns").start()
    for name in ("rst_ni", "flush_i", "req_valid_i", "data_valid_i", "m_axi_awready",
                 "m_axi_wready", "m_axi_bvalid", "m_axi_bresp"):  # fmt: skip
        getattr(dut, name).value = 0
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    return Bench(dut, seeded())


@cocotb.test()
async def requests(dut) -> None:
    """Every word lands at its address; done comes once a request, after the last answer."""
    bench = await make(dut)
    rates = ((0.7, 0.7), (1.0, 1.0), (0.3, 1.0), (1.0, 0.3))
    for rounds, (bench.p_data, bench.p_mem) in enumerate(rates, 1):
        for i in range(8):
            # apart from each other, so that no word is written twice
            address = (rounds * 8 + i << 16) + 8 * bench.rng.randrange(4096)
            beats = bench.rng.choice((1, 2, 40, bench.rng.randint(1, 150)))
            bench.requests.append((address, beats))
        for _ in range(6000):
            before, due = bench.done, len(bench.want)
            await bench.cycle()
            if bench.done > before:
                assert bench.open == 0 and len(bench.memory) == due
            if bench.done == 8 * rounds:
                break
        assert bench.done == 8 * rounds
        assert bench.memory == bench.want
    await bench.cycle()
    assert not dut.busy_o.value
    assert not dut.error_o.value


@cocotb.test()
async def full_rate(dut) -> None:
    """A willing memory and client move one word a cycle."""
    bench = await make(dut)
    bench.p_data = bench.p_mem = 1.0
    bench.requests.append((0, 400))
    for _ in range(400 + 12):
        await bench.cycle()
    assert bench.done == 1


@cocotb.test()
async def flush_and_error(dut) -> None:
    """A flush ends started bursts with strobe 0 and clears the error."""
    bench = await make(dut)
    for turn in range(10):
        bench.error = turn % 2 == 0
        address = (turn << 16) + 8 * bench.rng.randrange(4096)
        bench.requests.append((address, bench.rng.randint(1, 300)))
        for _ in range(bench.rng.randint(5, 150)):
            await bench.cycle()
        bench.flush = True
        bench.requests.clear()
        for _ in range(400):
            await bench.cycle()
            if not dut.busy_o.value:
                break
        assert not dut.busy_o.value
        assert bench.open == 0 and not bench.early and not bench.addresses
        await bench.cycle()
        assert not dut.error_o.value
        assert set(bench.memory.items()) <= set(bench.want.items())
        bench.flush = False
        bench.bursts.clear()
        bench.data.clear()
    bench.error = True
    bench.requests.append((0, 4))
    for _ in range(60):
        await bench.cycle()
    assert dut.error_o.value
