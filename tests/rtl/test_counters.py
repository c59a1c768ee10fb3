# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_counters: exact 64-bit sums, and snapshots of all at one moment."""

from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure


class Ones:
    """Agent: random increments and snapshots; models what `values` must show."""

    def __init__(self, bench: "CountersBench") -> None:
        self.bench = bench
        self.rate = 0.5
        self.snapshot_rate = 0.2
        self.forced: list[int] | None = None
        self.reset()

    def reset(self) -> None:
        """Counters and copies are zero."""
        n = self.bench.n
        self.pending, self.counts, self.shown = [0] * n, [0] * n, [0] * n
        self.given, self.snapshot = [0] * n, 0
        self.bench.drive(inc=0, snapshot=0)

    def tick(self) -> None:
        """One clock edge."""
        bench, rng = self.bench, self.bench.random
        # What the DUT does at this edge, with the pins as they were.
        if self.snapshot:
            self.shown = list(self.counts)
        self.counts = [
            (count + inc) % 2**64 for count, inc in zip(self.counts, self.pending, strict=True)
        ]
        self.pending = self.given
        bench.board.expect(bench.pack(self.shown))
        # What follows the edge.
        if self.forced is not None:
            self.given = list(self.forced)
        else:
            widths = [rng.choice((1, 1, 1, 16, 32)) for _ in range(bench.n)]
            self.given = [
                rng.getrandbits(width) if rng.random() < self.rate else 0 for width in widths
            ]
        self.snapshot = int(rng.random() < self.snapshot_rate)
        bench.drive(inc=bench.pack(self.given, 32), snapshot=self.snapshot)


class Show:
    """Agent: compares `values`, one edge after the model said what it must be."""

    def __init__(self, bench: "CountersBench") -> None:
        self.bench = bench

    def reset(self) -> None:
        """Nothing to forget."""

    def tick(self) -> None:
        """One clock edge."""
        if self.bench.board.expected:
            self.bench.board.check(self.bench.read("values"))


class CountersBench(Bench):
    """Increments in, snapshots out, compared in every cycle."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.n = self.params["N"]
        self.board = self.scoreboard("values")
        self.add(Show(self))
        self.model = self.add(Ones(self))

    @staticmethod
    def pack(values: list[int], width: int = 64) -> int:
        """Return one vector, element 0 lowest."""
        return sum(value << (width * index) for index, value in enumerate(values))

    def values(self) -> list[int]:
        """Return the counters shown."""
        word = self.read("values")
        return [word >> (64 * index) & (2**64 - 1) for index in range(self.n)]

    def idle(self) -> bool:
        """Nothing is outstanding: the board always holds the expectation of the next edge."""
        return True

    def _finished(self) -> bool:
        return len(self.board.expected) <= 1


@cocotb.test()
async def directed(dut: Any) -> None:
    """Known increments; nothing shows before a snapshot, and a snapshot does not clear."""
    bench = CountersBench(dut)
    bench.model.snapshot_rate = 0.0
    bench.model.forced = [5 * index + 1 for index in range(bench.n)]
    await bench.reset()
    await bench.cycles(10)
    assert bench.values() == [0] * bench.n
    bench.model.forced = [0] * bench.n
    await bench.cycles(4)
    bench.model.snapshot_rate = 1.0
    await bench.cycles(4)
    shown = bench.values()
    assert shown[0] > 0
    assert shown == [(5 * index + 1) * shown[0] for index in range(bench.n)]
    await bench.cycles(5)
    assert bench.values() == shown
    await bench.drain()


@cocotb.test()
async def all_together(dut: Any) -> None:
    """All counters count in every cycle: every snapshot shows equal values."""
    bench = CountersBench(dut)
    bench.model.forced = [1] * bench.n
    await bench.reset()
    seen = set()
    for _ in range(200):
        await bench.cycles(1)
        values = bench.values()
        assert len(set(values)) == 1, f"a snapshot shows counters of different cycles: {values}"
        seen.add(values[0])
    assert len(seen) > 20
    await bench.drain()


@cocotb.test()
async def random_against_model(dut: Any) -> None:
    """Random increments up to 32 bits at every rate, compared in every cycle."""
    bench = CountersBench(dut)
    await bench.reset()
    for bench.model.rate in (0.0, 0.1, 0.5, 1.0):
        for bench.model.snapshot_rate in (0.0, 0.1, 1.0):
            await bench.cycles(150)
    await bench.drain()


@cocotb.test()
async def carries(dut: Any) -> None:
    """The largest increments carry into the upper 32 bits."""
    bench = CountersBench(dut)
    bench.model.forced = [2**32 - 1] * bench.n
    await bench.reset()
    await bench.cycles(100)
    bench.model.snapshot_rate = 1.0
    await bench.cycles(5)
    assert all(value > 50 * 2**32 for value in bench.values())
    await bench.drain()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """Reset clears counters and copies."""
    bench = CountersBench(dut)
    await bench.reset()
    for _ in range(15):
        await bench.cycles(bench.random.randrange(1, 60))
        await bench.reset(bench.random.randrange(1, 4))
        assert bench.values() == [0] * bench.n
    await bench.cycles(50)
    await bench.drain()


@pytest.mark.parametrize("n", [1, 39])
def test_counters(n: int) -> None:
    """One counter, and as many as the core has."""
    build_and_test("embnic_counters", "test_counters", params={"N": n})


def test_no_counters_do_not_build() -> None:
    """N = 0 is refused by our message."""
    expect_build_failure("embnic_counters", {"N": 0}, "N must be at least 1")
