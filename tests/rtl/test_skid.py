# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_skid: nothing lost or reordered, one word a cycle, one cycle of latency."""

from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS


class SkidBench(Bench):
    """Words in, the same words out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.source = self.stream_source("s_axis")
        self.board = self.scoreboard("words")
        self.sink = self.stream_sink("m_axis", self.board.check)
        self.width = self.source._fields[0].width

    def send(self, number: int) -> None:
        """Send and expect `number` random words."""
        for _ in range(number):
            word = self.random.getrandbits(self.width)
            self.source.send(word)
            self.board.expect(word)


@cocotb.test()
async def one_word(dut: Any) -> None:
    """One word appears one cycle after it was taken."""
    bench = SkidBench(dut)
    await bench.reset()
    assert bench.read("s_axis_tready") == 1
    taken: list[int] = []
    seen: list[int] = []
    bench.source.on_sent = lambda word: taken.append(bench.cycle)
    bench.monitor("m_axis_tvalid", ["m_axis_tdata"], lambda word: seen.append(bench.cycle))
    bench.send(1)
    await bench.drain()
    assert seen[0] - taken[0] == 1, f"latency {seen[0] - taken[0]}, the header says 1"


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of the source with every one of the sink."""
    bench = SkidBench(dut)
    for source_stall in STALLS:
        for sink_stall in STALLS:
            await bench.reset()
            bench.source.stall, bench.sink.stall = (
                bench.stall(source_stall),
                bench.stall(sink_stall),
            )
            bench.send(150)
            await bench.drain()


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """1,000 words in 1,000 cycles (and a few)."""
    bench = SkidBench(dut)
    await bench.reset()
    start = bench.cycle
    bench.send(1000)
    await bench.drain(quiet=1)
    assert bench.cycle - start < 1010


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset forgets both registers; nothing of before comes out after it."""
    bench = SkidBench(dut)
    bench.sink.stall = bench.stall("half")
    await bench.reset_in_traffic(lambda: bench.send(40), times=20, within=60)


@pytest.mark.parametrize("width", [1, 32, 600])
def test_skid(width: int) -> None:
    """All coroutines, at the narrowest, an ordinary and a wide word."""
    build_and_test("embnic_skid", "test_skid", params={"WIDTH": width})


def test_illegal_width_does_not_build() -> None:
    """WIDTH 0 is refused by our message."""
    expect_build_failure("embnic_skid", {"WIDTH": 0}, "WIDTH must be at least 1")
