# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_axi_ram: random bursts and host accesses against a memory of bytes."""

from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS, Sink, Source


class RamBench(Bench):
    """A master of AXI bursts, a host, and what memory must hold."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.lanes = int(self.params["DATA_W"]) // 8
        self.size = int(self.params["BYTES"])
        self.store: dict[int, bytes] = {}  # by beat; what is not there was never written
        pin = self.pin

        def source(channel: str, *names: str) -> Source:
            made = Source(
                pin(f"{channel}valid"), pin(f"{channel}ready"), [pin(channel + n) for n in names]
            )
            self.add(made)
            return made

        def sink(channel: str, call: Any, *names: str) -> Sink:
            made = Sink(
                pin(f"{channel}valid"),
                pin(f"{channel}ready"),
                [pin(channel + n) for n in names],
                call,
            )
            self.add(made)
            return made

        self.ar = source("s_axi_ar", "id", "addr", "len")
        self.aw = source("s_axi_aw", "id", "addr", "len")
        self.w = source("s_axi_w", "data", "strb", "last")
        self.beats = self.scoreboard("beats")
        self.answers = self.scoreboard("write answers")
        self.r = sink("s_axi_r", self.beats.check, "id", "data", "resp", "last")
        self.b = sink("s_axi_b", self.answers.check, "id", "resp")
        self.host_wr = source("mem_wr_", "addr", "data")
        self.host_rd = source("mem_rd_", "addr")
        self.host = self.scoreboard("host")
        self.monitor("mem_data_valid", ["mem_data"], self.host.check)
        self.agents = [self.ar, self.aw, self.w, self.host_wr, self.host_rd]

    def word(self, addr: int) -> int:
        """Return the beat at an address."""
        return int.from_bytes(self.store[addr // self.lanes], "little")

    def write(self, addr: int, data: bytes, strobes: int) -> None:
        """Change what memory must hold."""
        at = addr // self.lanes
        old = self.store.get(at, bytes(self.lanes))
        self.store[at] = bytes(
            new if strobes >> i & 1 else before
            for i, (new, before) in enumerate(zip(data, old, strict=True))
        )

    async def fill(self) -> None:
        """Write all of memory through the host's port."""
        for addr in range(0, self.size, self.lanes):
            data = self.random.randbytes(self.lanes)
            self.write(addr, data, -1)
            self.host_wr.send((addr, int.from_bytes(data, "little")))
        await self.until(lambda: self.host_wr.empty, timeout=50_000)
        await self.cycles(4)

    def addresses(self, beats: int) -> int:
        """Return where a burst may begin that stays inside."""
        return self.random.randrange(self.size // self.lanes - beats + 1) * self.lanes

    def read_burst(self) -> None:
        """Ask for a burst and expect it."""
        beats, ident = self.random.randrange(1, 9), self.random.randrange(8)
        addr = self.addresses(beats)
        self.ar.send((ident, addr, beats - 1))
        for at in range(beats):
            self.beats.expect((ident, self.word(addr + at * self.lanes), 0, int(at == beats - 1)))

    def write_burst(self) -> None:
        """Write a burst with random strobes."""
        beats, ident = self.random.randrange(1, 9), self.random.randrange(8)
        addr = self.addresses(beats)
        self.aw.send((ident, addr, beats - 1))
        for at in range(beats):
            data = self.random.randbytes(self.lanes)
            strobes = self.random.choice(
                [(1 << self.lanes) - 1, 0, self.random.getrandbits(self.lanes)]
            )
            self.write(addr + at * self.lanes, data, strobes)
            self.w.send((int.from_bytes(data, "little"), strobes, int(at == beats - 1)))
        self.answers.expect((ident, 0))

    async def finished(self) -> None:
        """Wait until everything asked was answered."""
        boards = (self.beats, self.answers, self.host)
        await self.until(
            lambda: all(a.empty for a in self.agents) and not any(b.expected for b in boards),
            timeout=100_000,
        )
        await self.cycles(10)


@cocotb.test()
async def random_traffic(dut: Any) -> None:
    """Writes, then reads of the core and the host at once, under every stall of both sides."""
    bench = RamBench(dut)
    await bench.reset()
    await bench.fill()
    for stall in STALLS:
        for agent in (*bench.agents, bench.r, bench.b):
            agent.stall = bench.stall(stall)
        for _ in range(25):
            bench.write_burst()
        await bench.finished()
        for _ in range(25):
            bench.read_burst()
            addr = bench.addresses(1)
            bench.host_rd.send(addr)
            bench.host.expect(bench.word(addr))
        await bench.finished()
    assert bench.beats.compared > 400
    assert bench.answers.compared > 100
    assert bench.host.compared > 100


@cocotb.test()
async def a_beat_every_cycle(dut: Any) -> None:
    """Eight bursts of 16 beats: one cycle between bursts, and a few to begin."""
    bench = RamBench(dut)
    await bench.reset()
    await bench.fill()
    start = bench.cycle
    for _ in range(8):
        bench.ar.send((1, 0, 15))
        for at in range(16):
            bench.beats.expect((1, bench.word(at * bench.lanes), 0, int(at == 15)))
    await bench.until(lambda: not bench.beats.expected, timeout=1000)
    assert bench.cycle - start <= 8 * 18 + 12


@cocotb.test()
async def outside_of_memory(dut: Any) -> None:
    """Reads and writes beyond the end answer DECERR; nothing inside changes; the host reads zeros."""
    bench = RamBench(dut)
    await bench.reset()
    await bench.fill()
    for addr in (bench.size, 1 << 37, bench.size + (bench.size >> 1) // bench.lanes * bench.lanes):
        bench.aw.send((2, addr, 0))
        bench.w.send((bench.random.getrandbits(8 * bench.lanes), (1 << bench.lanes) - 1, 1))
        bench.answers.expect((2, 3))
        await bench.finished()
        bench.ar.send((3, addr, 0))
        await bench.until(lambda: bench.ar.empty, timeout=100)
        seen: list[Any] = []
        bench.r._callback = seen.append
        await bench.cycles(20)
        bench.r._callback = bench.beats.check
        assert [(ident, resp, last) for ident, _, resp, last in seen] == [(3, 3, 1)]
    # The last beat inside and the first outside, in one burst.
    bench.aw.send((4, bench.size - bench.lanes, 1))
    inside = bench.random.randbytes(bench.lanes)
    bench.write(bench.size - bench.lanes, inside, -1)
    for at, data in enumerate((inside, bench.random.randbytes(bench.lanes))):
        bench.w.send((int.from_bytes(data, "little"), (1 << bench.lanes) - 1, at))
    bench.answers.expect((4, 3))
    await bench.finished()
    bench.host_wr.send((bench.size, 1))
    await bench.until(lambda: bench.host_wr.empty, timeout=100)
    bench.host_rd.send(bench.size)
    bench.host.expect(0)
    for addr in range(0, bench.size, bench.lanes):
        bench.host_rd.send(addr)
        bench.host.expect(bench.word(addr))
    await bench.finished()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """What was under way is forgotten; memory stays as it was written."""
    bench = RamBench(dut)
    await bench.reset()
    await bench.fill()
    kept = dict(bench.store)
    for _ in range(15):
        for _ in range(4):
            bench.read_burst()
        await bench.cycles(bench.random.randrange(1, 40))
        await bench.reset()
        assert bench.read("s_axi_rvalid") == 0
        assert bench.read("s_axi_bvalid") == 0
        bench.read_burst()
        await bench.finished()
    assert bench.store == kept


@pytest.mark.parametrize(("width", "size"), [(128, 4096), (32, 512)])
def test_axi_ram(width: int, size: int) -> None:
    """All coroutines, at the board's width and at a narrow one."""
    build_and_test(
        "embnic_axi_ram",
        "test_axi_ram",
        params={"DATA_W": width, "BYTES": size, "ID_W": 3, "STYLE": 0},
    )


def test_illegal_parameters_do_not_build() -> None:
    """Sizes that are no power of two."""
    expect_build_failure("embnic_axi_ram", {"BYTES": 3000}, "BYTES must be a power of two")
    expect_build_failure("embnic_axi_ram", {"DATA_W": 96}, "DATA_W must be 8 times a power of two")
