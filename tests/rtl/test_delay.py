# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_delay: each word comes out CYCLES later; with RESET a reset clears what is under
way.
"""

from collections import deque
from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure


class DelayModel:
    """What went in CYCLES ago must be visible now."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.cycles, self.clears = int(bench.params["CYCLES"]), bool(bench.params["RESET"])
        self.history: deque[int] = deque()
        self.board = bench.scoreboard("out")

    def reset(self) -> None:
        """After a reset the line holds zeros (with RESET) or unknown words."""
        self.history = deque([0] * self.cycles if self.clears else [])

    def tick(self) -> None:
        """One clock edge."""
        if len(self.history) == self.cycles:
            self.board.expect(self.history.popleft())
            self.board.check(self.bench.read("out"))
        self.history.append(self.bench.read("in"))


@cocotb.test()
async def random_words(dut: Any) -> None:
    """A new random word in every cycle, with resets between."""
    bench = Bench(dut)
    model = bench.add(DelayModel(bench))
    width = int(bench.params["WIDTH"])
    bench.drive(**{"in": 0})
    for _ in range(4):
        await bench.reset()
        for _ in range(300):
            bench.drive(**{"in": bench.random.getrandbits(width)})
            await bench.cycles()
        bench.drive(**{"in": 0})
        await bench.drain()
    assert model.board.compared > 1000


@pytest.mark.parametrize(("width", "cycles", "reset"), [(1, 1, 1), (32, 12, 0), (100, 5, 1)])
def test_delay(width: int, cycles: int, reset: int) -> None:
    """One stage, many without reset, some with."""
    build_and_test(
        "embnic_delay", "test_delay", params={"WIDTH": width, "CYCLES": cycles, "RESET": reset}
    )


def test_illegal_cycles_do_not_build() -> None:
    """A delay of zero cycles is a wire."""
    expect_build_failure("embnic_delay", {"CYCLES": 0}, "CYCLES must be at least 1")
