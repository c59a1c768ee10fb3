# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_fifo: order, capacity, count, one word a cycle, three cycles of latency."""

from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS

OUT_WORDS = 2  # words that may wait behind the RAM


class FifoBench(Bench):
    """Words in, the same words out; sts_count compared with the words inside in every cycle."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.depth = int(self.params["DEPTH"])
        self.width = int(self.params["WIDTH"])
        self.source = self.stream_source("s_axis")
        self.board = self.scoreboard("words")
        self.inside = 0
        self.most = 0
        self.sink = self.stream_sink("m_axis", self.take)
        self.source.on_sent = self.put

    def put(self, _: int) -> None:
        """Count a word that went in."""
        self.inside += 1

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


class CountCheck:
    """sts_count is the number of words taken and not yet given."""

    def __init__(self, bench: FifoBench) -> None:
        self.bench, self.pin, self.before = bench, bench.pin("sts_count"), 0

    def reset(self) -> None:
        """An empty FIFO."""
        self.bench.inside = self.before = 0

    def tick(self) -> None:
        """Runs after source and sink: `before` is what was inside before this edge."""
        count = self.pin.read()
        assert count == self.before, f"sts_count is {count}, {self.before} words are inside"
        self.before = self.bench.inside
        self.bench.most = max(self.bench.most, self.bench.inside)


def make_bench(dut: Any) -> FifoBench:
    """Return a bench with its count checked."""
    bench = FifoBench(dut)
    bench.add(CountCheck(bench))
    return bench


@cocotb.test()
async def latency(dut: Any) -> None:
    """The first word of an empty FIFO is at its output 3 cycles later."""
    bench = make_bench(dut)
    await bench.reset()
    put: list[int] = []
    seen: list[int] = []
    bench.source.on_sent = lambda word: (put.append(bench.cycle), bench.put(word))
    bench.monitor("m_axis_tvalid", ["m_axis_tdata"], lambda word: seen.append(bench.cycle))
    bench.send(1)
    await bench.drain()
    assert seen[0] - put[0] == 3, f"latency {seen[0] - put[0]}, the header says 3"


@cocotb.test()
async def fill_and_empty(dut: Any) -> None:
    """A stalled output lets DEPTH words in, and at most those on their way out besides."""
    bench = make_bench(dut)
    await bench.reset()
    bench.sink.stall = lambda: False
    bench.send(3 * bench.depth + 8)
    await bench.cycles(3 * bench.depth + 40)
    assert bench.read("s_axis_tready") == 0, "full, and still ready"
    assert bench.depth <= bench.inside <= bench.depth + OUT_WORDS, bench.inside
    bench.sink.stall = lambda: True
    await bench.drain()


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """1,000 words in 1,000 cycles (and a few)."""
    bench = make_bench(dut)
    await bench.reset()
    start = bench.cycle
    bench.send(1000)
    await bench.drain(quiet=1)
    limit = 1010 if bench.depth >= 4 else 3000
    assert bench.cycle - start < limit, f"{bench.cycle - start} cycles for 1,000 words"


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of the source with every one of the sink."""
    bench = make_bench(dut)
    for source_stall in STALLS:
        for sink_stall in STALLS:
            await bench.reset()
            bench.source.stall, bench.sink.stall = (
                bench.stall(source_stall),
                bench.stall(sink_stall),
            )
            bench.send(4 * bench.depth + 50)
            await bench.drain()
    assert bench.most >= bench.depth, "the FIFO was never full"


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """After a reset the FIFO is empty."""
    bench = make_bench(dut)
    bench.sink.stall = bench.stall("half")
    await bench.reset_in_traffic(
        lambda: bench.send(3 * bench.depth), times=20, within=4 * bench.depth
    )


@pytest.mark.parametrize(("width", "depth", "style"), [(8, 2, 0), (33, 16, 1), (512, 64, 2)])
def test_fifo(width: int, depth: int, style: int) -> None:
    """All coroutines at the smallest depth, an ordinary one and a wide block-RAM one."""
    build_and_test(
        "embnic_fifo", "test_fifo", params={"WIDTH": width, "DEPTH": depth, "STYLE": style}
    )


@pytest.mark.parametrize("depth", [1, 12])
def test_illegal_depth_does_not_build(depth: int) -> None:
    """DEPTH must be a power of two above one."""
    expect_build_failure(
        "embnic_fifo", {"DEPTH": depth}, "DEPTH must be a power of two, at least 2"
    )
