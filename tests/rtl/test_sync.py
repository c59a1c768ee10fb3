# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_sync: a level arrives after two edges, whatever its bits, from any clock."""

from collections import deque
from typing import Any

import cocotb
import pytest
from cocotb.triggers import Timer

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure


class SyncModel:
    """What was at the input two edges ago is at the output now."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.history: deque[int] = deque()
        self.board = bench.scoreboard("dst_level")

    def reset(self) -> None:
        """There is no reset: the output follows the input."""

    def tick(self) -> None:
        """One clock edge."""
        if len(self.history) == 2:
            self.board.expect(self.history.popleft())
            self.board.check(self.bench.read("dst_level"))
        self.history.append(self.bench.read("src_level"))


def make_bench(dut: Any) -> tuple[Bench, SyncModel]:
    """Return a bench with the model watching."""
    bench = Bench(dut, reset=None, clock="clk_dst")
    bench.drive(src_level=0)
    return bench, bench.add(SyncModel(bench))


@cocotb.test()
async def one_level(dut: Any) -> None:
    """A level is seen after two edges, and not before."""
    bench, _ = make_bench(dut)
    width = int(bench.params["WIDTH"])
    await bench.cycles(4)
    bench.drive(src_level=(1 << width) - 1)
    seen = []
    for _ in range(4):
        await bench.cycles()
        seen.append(bench.read("dst_level") != 0)
    # An edge shows what was there before it.
    assert seen == [False, False, True, True], seen
    await bench.drain()


@cocotb.test()
async def random_moments(dut: Any) -> None:
    """Random levels that change at any moment between the edges."""
    bench, model = make_bench(dut)
    width = int(bench.params["WIDTH"])
    for _ in range(1500):
        await Timer(bench.random.randrange(1, 9000), unit="ps")
        bench.drive(src_level=bench.random.getrandbits(width))
    await bench.drain()
    assert model.board.compared > 1000


@pytest.mark.parametrize("width", [1, 7])
def test_sync(width: int) -> None:
    """One level, and several."""
    build_and_test("embnic_sync", "test_sync", params={"WIDTH": width})


def test_illegal_width_does_not_build() -> None:
    """There is nothing to take over without a bit."""
    expect_build_failure("embnic_sync", {"WIDTH": 0}, "WIDTH must be at least 1")
