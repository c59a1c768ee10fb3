# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_axil_async: every access arrives once, its answer comes back to it, whatever the two clocks are."""

from typing import Any

import cocotb
import pytest
from cocotb.clock import Clock

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test
from embnic_sim.streams import STALLS, Sink, Source


class Side(Bench):
    """One clock; `period` in picoseconds."""

    period = 4000

    def __init__(self, dut: Any, side: str, period: int) -> None:
        self.period = period
        super().__init__(dut, reset=f"rst_{side}", clock=f"clk_{side}")

    def start_clock(self) -> None:
        """Clocks that are no multiples of each other."""
        Clock(self._clock, self.period, unit="ps").start(start_high=False)

    def source(self, channel: str, *names: str) -> Source:
        """Return the driver of a channel."""
        pins = [self.pin(channel + name) for name in names]
        return self.add(Source(self.pin(f"{channel}valid"), self.pin(f"{channel}ready"), pins))

    def sink(self, channel: str, call: Any, *names: str) -> Sink:
        """Return the taker of a channel."""
        pins = [self.pin(channel + name) for name in names]
        return self.add(Sink(self.pin(f"{channel}valid"), self.pin(f"{channel}ready"), pins, call))


async def crossing(dut: Any, periods: tuple[int, int]) -> None:
    """200 reads and writes under every stall."""
    master, slave = Side(dut, "s", periods[0]), Side(dut, "m", periods[1])
    boards = {name: master.scoreboard(name) for name in ("aw", "w", "b", "ar", "r")}
    aw, w = master.source("s_axil_aw", "addr"), master.source("s_axil_w", "data", "strb")
    ar = master.source("s_axil_ar", "addr")
    b = master.sink("s_axil_b", boards["b"].check, "resp")
    r = master.sink("s_axil_r", boards["r"].check, "data", "resp")
    answers, values = slave.source("m_axil_b", "resp"), slave.source("m_axil_r", "data", "resp")

    def written(word: Any) -> None:
        boards["w"].check(word)
        answers.send(master.random.randrange(4))
        boards["b"].expect(answers.queue[-1])

    def read(addr: int) -> None:
        boards["ar"].check(addr)
        values.send((master.random.getrandbits(32), master.random.randrange(4)))
        boards["r"].expect(values.queue[-1])

    sinks = [
        slave.sink("m_axil_aw", boards["aw"].check, "addr"),
        slave.sink("m_axil_w", written, "data", "strb"),
        slave.sink("m_axil_ar", read, "addr"),
    ]
    for stall in STALLS:
        for side in (master, slave):
            side.pin(side._reset_name or "").write(1)
        await master.cycles(20)
        await slave.cycles(20)
        for agent in (*master._agents, *slave._agents):
            agent.reset()
        for side in (master, slave):
            side.pin(side._reset_name or "").write(0)
            side._in_reset = False
        await master.cycles(12)
        await slave.cycles(12)
        for agent in (aw, w, ar, b, r, answers, values, *sinks):
            agent.stall = master.stall(stall)
        for _ in range(40):
            word = (master.random.getrandbits(32), master.random.getrandbits(4))
            for source, board, value in (
                (aw, "aw", master.random.getrandbits(12)),
                (w, "w", word),
                (ar, "ar", master.random.getrandbits(12)),
            ):
                source.send(value)
                boards[board].expect(value)
        count = boards["b"].compared + 40, boards["r"].compared + 40
        await master.until(
            lambda c=count: (boards["b"].compared, boards["r"].compared) == c, timeout=60_000
        )
    assert not any(board.expected for board in boards.values())


@cocotb.test()
async def slow_to_fast(dut: Any) -> None:
    """125 MHz to 250 MHz, not in step."""
    await crossing(dut, (8200, 4000))


@cocotb.test()
async def fast_to_slow(dut: Any) -> None:
    """The other way."""
    await crossing(dut, (3000, 7100))


@pytest.mark.parametrize("width", [12])
def test_axil_async(width: int) -> None:
    """All coroutines."""
    build_and_test("embnic_axil_async", "test_axil_async", params={"ADDR_W": width})
