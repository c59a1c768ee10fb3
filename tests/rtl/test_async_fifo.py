# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_async_fifo: order, capacity, latency and rate between clocks of any ratio, with jitter."""

from typing import Any

import cocotb
import pytest
from cocotb.triggers import Timer

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS

# Periods of clk_wr and clk_rd in ps: equal, nearly equal, odd ratios, far apart.
RATIOS = ((4000, 4000), (4000, 4002), (4000, 3106), (3106, 4000), (10000, 1562), (1562, 10000))
RESET_CYCLES = 10  # of the slower clock, as the header says


class Domain(Bench):
    """One side: a clock whose period changes at will and whose edges jitter."""

    period_ps = 4000
    jitter = 0.0  # part of a half period by which an edge may be off

    def start_clock(self) -> None:
        cocotb.start_soon(self._toggle())

    async def _toggle(self) -> None:
        level = 0
        self._clock.value = 0
        while True:
            off = 1 + self.jitter * self.random.uniform(-1, 1)
            await Timer(max(2, round(self.period_ps / 2 * off)), unit="ps")
            level = 1 - level
            self._clock.value = level


class AsyncFifoBench(Domain):
    """The read side with the scoreboard; `writer` is the other side."""

    def __init__(self, dut: Any) -> None:
        self.writer = Domain(dut, reset="rst_wr", clock="clk_wr")
        super().__init__(dut, reset="rst_rd", clock="clk_rd")
        self.depth, self.width = int(self.params["DEPTH"]), int(self.params["WIDTH"])
        self.source = self.writer.stream_source("s_axis_wr")
        self.board = self.scoreboard("words")
        self.inside = self.most = 0
        self.sink = self.stream_sink("m_axis_rd", self.take)
        self.source.on_sent = self.put

    def put(self, _: int) -> None:
        """Count a word that went in."""
        self.inside += 1
        self.most = max(self.most, self.inside)

    def take(self, word: int) -> None:
        """Count and compare a word that came out."""
        self.inside -= 1
        self.board.check(word)

    def send(self, number: int) -> None:
        """Send and expect random words."""
        for _ in range(number):
            word = self.random.getrandbits(self.width)
            self.source.send(word)
            self.board.expect(word)

    def idle(self) -> bool:
        """Nothing is waiting to go in."""
        return self.source.empty

    def clocks(self, periods: tuple[int, int], jitter: float = 0.0) -> None:
        """Set both periods and the jitter of both."""
        self.writer.period_ps, self.period_ps = periods
        self.writer.jitter = self.jitter = jitter

    def reset_cycles(self, side: Domain) -> int:
        """Return how many cycles of this side its reset must last."""
        slower = max(self.period_ps, self.writer.period_ps)
        return 1 + round(RESET_CYCLES * slower * (1 + self.jitter) / side.period_ps)

    async def reset_both(self) -> None:
        """Reset both sides together; they end it when they do."""
        self.inside = 0
        other = cocotb.start_soon(self.writer.reset(self.reset_cycles(self.writer)))
        await self.reset(self.reset_cycles(self))
        await other
        await self.cycles(4)


@cocotb.test()
async def latency(dut: Any) -> None:
    """A word is at the output 3 or 4 edges of clk_rd after it went in, whatever the phase."""
    bench = AsyncFifoBench(dut)
    seen: list[int] = []
    put: list[int] = []
    bench.source.on_sent = lambda word: (put.append(bench.cycle), bench.put(word))
    bench.monitor("m_axis_rd_tvalid", ["m_axis_rd_tdata"], lambda word: seen.append(bench.cycle))
    for periods in RATIOS:
        bench.clocks(periods)
        await bench.reset_both()
        put.clear()
        seen.clear()
        bench.send(1)
        await bench.drain()
        # Sampled at an edge: the output was there from the edge before it on.
        assert 4 <= seen[0] - put[0] <= 5, f"{seen[0] - put[0]} edges at {periods}"


@cocotb.test()
async def fill_and_empty(dut: Any) -> None:
    """A stalled output lets DEPTH words and one more in, then none; all come out."""
    bench = AsyncFifoBench(dut)
    for periods in RATIOS:
        bench.clocks(periods)
        await bench.reset_both()
        bench.sink.stall = lambda: False
        bench.send(3 * bench.depth)
        await bench.writer.cycles(4 * bench.depth + 20)
        await bench.cycles(20)
        await bench.writer.cycles(20)
        assert bench.read("s_axis_wr_tready") == 0, "full, and still ready"
        assert bench.inside == bench.depth + 1, f"{bench.inside} words are inside"
        bench.sink.stall = lambda: True
        await bench.drain()


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """From DEPTH 16 on a word goes through in every cycle of the slower clock."""
    bench = AsyncFifoBench(dut)
    if bench.depth < 16:
        bench.clocks((4000, 4000))
        await bench.reset_both()
        bench.send(500)
        await bench.drain()
        return
    for periods in RATIOS:
        bench.clocks(periods)
        await bench.reset_both()
        slow = bench if bench.period_ps >= bench.writer.period_ps else bench.writer
        start = slow.cycle
        bench.send(500)
        await bench.until(lambda: not bench.board.expected, what="500 words")
        assert slow.cycle - start < 512, f"{slow.cycle - start} cycles for 500 words at {periods}"


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of the source with every one of the sink, clock ratios by turns, edges jittering."""
    bench = AsyncFifoBench(dut)
    turn = 0
    for source_stall in STALLS:
        for sink_stall in STALLS:
            bench.clocks(RATIOS[turn % len(RATIOS)], jitter=(0.0, 0.2, 0.45)[turn % 3])
            turn += 1
            await bench.reset_both()
            bench.source.stall = bench.stall(source_stall)
            bench.sink.stall = bench.stall(sink_stall)
            bench.send(4 * bench.depth + 60)
            await bench.drain()
    assert bench.most >= bench.depth, "the FIFO was never full"


@cocotb.test()
async def random_ratios(dut: Any) -> None:
    """Random words through random clock ratios that change in mid-traffic."""
    bench = AsyncFifoBench(dut)
    await bench.reset_both()
    for _ in range(30):
        bench.source.stall = bench.stall(bench.random.choice(sorted(STALLS)))
        bench.sink.stall = bench.stall(bench.random.choice(sorted(STALLS)))
        bench.send(60)
        for _ in range(4):
            periods = (bench.random.randrange(1500, 9000), bench.random.randrange(1500, 9000))
            bench.clocks(periods, jitter=bench.random.choice((0.0, 0.3)))
            await bench.cycles(20)
        await bench.drain()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset of both sides in mid-traffic leaves an empty FIFO."""
    bench = AsyncFifoBench(dut)
    await bench.reset_both()
    for turn in range(15):
        bench.clocks(RATIOS[turn % len(RATIOS)], jitter=0.2)
        bench.source.stall, bench.sink.stall = bench.stall("half"), bench.stall("half")
        bench.send(3 * bench.depth)
        await bench.cycles(bench.random.randrange(1, 4 * bench.depth))
        await bench.reset_both()
        bench.send(3 * bench.depth)
        await bench.drain()


@cocotb.test()
async def reset_of_one_side(dut: Any) -> None:
    """A reset of one side loses a run of words and no more: what comes afterwards is without gap or repetition."""
    bench = AsyncFifoBench(dut)
    bench.board.enabled = False
    received: list[int] = []
    bench.monitor(
        "m_axis_rd_tvalid", ["m_axis_rd_tdata"], received.append, ready="m_axis_rd_tready"
    )
    await bench.reset_both()
    for turn in range(24):
        bench.clocks(RATIOS[turn // 2 % len(RATIOS)], jitter=0.2)
        bench.source.stall, bench.sink.stall = bench.stall("half"), bench.stall("bursty")
        side = bench if turn % 2 else bench.writer
        words = list(range(200))
        for word in words:
            bench.source.send(word)
        await side.cycles(bench.random.randrange(1, 60))
        before = len(received)
        received.clear()
        await side.reset(bench.reset_cycles(side))
        if side is bench.writer:  # its source forgot what was queued
            assert received == words[before:][: len(received)], (
                "a word was lost or invented while the writer was in reset"
            )
            received.clear()
            for word in words:
                bench.source.send(word)
        await bench.until(lambda: bench.source.empty, what="all words sent")
        await bench.cycles(80 + 8 * bench.depth)
        assert received, (
            f"nothing came after the reset at {bench.writer.period_ps, bench.period_ps}"
        )
        assert received == words[-len(received) :], f"gaps or repetitions in {received}"
        if side is bench.writer:
            assert received == words, (
                f"{len(words) - len(received)} words sent after the reset were lost"
            )
        received.clear()
    bench.board.enabled = True
    bench.send(20)
    await bench.drain()


@pytest.mark.parametrize(("width", "depth"), [(8, 4), (512, 16)])
def test_async_fifo(width: int, depth: int) -> None:
    """All coroutines at the smallest depth and at the smallest with full rate."""
    build_and_test("embnic_async_fifo", "test_async_fifo", params={"WIDTH": width, "DEPTH": depth})


@pytest.mark.parametrize("depth", [2, 12])
def test_illegal_depth_does_not_build(depth: int) -> None:
    """DEPTH must be a power of two above two."""
    expect_build_failure(
        "embnic_async_fifo", {"DEPTH": depth}, "DEPTH must be a power of two, at least 4"
    )
