# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_cache_queue: a FIFO whose short way never overtakes."""

from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS


class QueueBench(Bench):
    """Words in, the same words out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.width, self.depth = int(self.params["WIDTH"]), int(self.params["DEPTH"])
        self.source = self.stream_source("s_axis")
        self.board = self.scoreboard("words")
        self.sink = self.stream_sink("m_axis", self.board.check)

    def send(self, number: int) -> None:
        """Send and expect random words."""
        for _ in range(number):
            word = self.random.getrandbits(self.width)
            self.source.send(word)
            self.board.expect(word)


@cocotb.test()
async def latency_and_capacity(dut: Any) -> None:
    """One cycle when empty; at least DEPTH words are taken while the output stalls."""
    bench = QueueBench(dut)
    await bench.reset()
    taken: list[int] = []
    seen: list[int] = []
    bench.source.on_sent = lambda _: taken.append(bench.cycle)
    bench.monitor("m_axis_tvalid", ["m_axis_tdata"], lambda _: seen.append(bench.cycle))
    bench.send(1)
    await bench.drain()
    assert seen[0] - taken[0] == 1
    bench.sink.stall = lambda: False
    bench.send(bench.depth + 20)
    await bench.cycles(2 * bench.depth + 40)
    assert len(taken) - 1 >= bench.depth, f"{len(taken) - 1} words taken"
    assert bench.read("s_axis_tready") == 0
    bench.sink.stall = bench.stall("never")
    await bench.drain()


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of the source with every one of the sink."""
    bench = QueueBench(dut)
    for source_stall in STALLS:
        for sink_stall in STALLS:
            await bench.reset()
            bench.source.stall, bench.sink.stall = (
                bench.stall(source_stall),
                bench.stall(sink_stall),
            )
            bench.send(100)
            await bench.drain()


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """1,000 words in 1,000 cycles (and a few), also when the queue began full."""
    bench = QueueBench(dut)
    await bench.reset()
    for start_full in (False, True):
        bench.sink.stall = lambda: False
        bench.send(1000)
        await bench.cycles(100 if start_full else 1)
        bench.sink.stall = bench.stall("never")
        start = bench.cycle
        await bench.drain(quiet=1)
        assert bench.cycle - start < 1010


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset empties it."""
    bench = QueueBench(dut)
    bench.sink.stall = bench.stall("half")
    await bench.reset_in_traffic(lambda: bench.send(40), times=20, within=60)


@pytest.mark.parametrize(("width", "depth"), [(1, 2), (300, 16)])
def test_cache_queue(width: int, depth: int) -> None:
    """All coroutines, the smallest and an ordinary queue."""
    build_and_test(
        "embnic_cache_queue", "test_cache_queue", params={"WIDTH": width, "DEPTH": depth}
    )


def test_illegal_depth_does_not_build() -> None:
    """A depth that is no power of two is refused."""
    expect_build_failure(
        "embnic_cache_queue", {"DEPTH": 12}, "DEPTH must be a power of two, at least 2"
    )
