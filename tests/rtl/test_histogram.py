# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_histogram: counts by powers of two against a model, snapshots, clears.

There are no streams to stall; every rate of samples takes the place of the stall matrix.
"""

from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS


class Samples:
    """Drives samples at a rate, few buckets or all, and counts them as the header says."""

    def __init__(self, bench: "HistogramBench") -> None:
        self.bench = bench
        self.go = bench.stall("half")
        self.running = False
        self.width = bench.sample_w
        self.script: list[int] = []
        self.reset()

    def reset(self) -> None:
        """Nothing was counted."""
        self.counts = [0] * self.bench.buckets
        self.script.clear()
        self.running = False
        self.bench.drive(sample_valid=0, cfg_clear=0, cfg_snapshot=0)

    def tick(self) -> None:
        """One clock edge."""
        valid, value = 0, self.bench.random.getrandbits(self.bench.sample_w)
        if self.script:
            valid, value = 1, self.script.pop(0)
        elif self.running and self.go():
            valid, value = (
                1,
                self.bench.random.getrandbits(self.bench.random.randint(1, self.width)),
            )
        self.bench.drive(sample_valid=valid, sample=value)
        if valid:
            bucket = min(value.bit_length(), self.bench.buckets - 1)
            self.counts[bucket] = min(self.counts[bucket] + 1, self.bench.full)


class HistogramBench(Bench):
    """The DUT, its samples, and what it shows."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.buckets = int(self.params["BUCKETS"])
        self.sample_w = int(self.params["SAMPLE_W"])
        self.full = (1 << int(self.params["COUNT_W"])) - 1
        self.board = self.scoreboard("counts")
        self.samples = self.add(Samples(self))
        self.drive(rd_bucket=0)

    async def pulse(self, name: str) -> None:
        """Raise a pulse for one cycle."""
        self.drive(**{name: 1})
        await self.cycles(1)
        self.drive(**{name: 0})

    async def shown(self) -> list[int]:
        """Return what the registers would show."""
        counts = []
        for bucket in range(self.buckets):
            self.drive(rd_bucket=bucket)
            await self.cycles(4)
            counts.append(self.read("rd_count"))
        return counts

    async def compare(self) -> None:
        """Take a snapshot at rest and compare every bucket."""
        self.samples.running = False
        await self.until(lambda: not self.samples.script, what="samples")
        await self.cycles(5)
        await self.pulse("cfg_snapshot")
        await self.cycles(self.buckets + 3)
        self.board.expect(*self.samples.counts)
        for count in await self.shown():
            self.board.check(count)
        await self.drain()


@cocotb.test()
async def directed(dut: Any) -> None:
    """The bounds of every bucket; the same bucket in successive cycles; nothing before a snapshot."""
    bench = HistogramBench(dut)
    await bench.reset()
    edges = [value for b in range(bench.sample_w) for value in (1 << b, (2 << b) - 1)]
    bench.samples.script = [0, *edges, 0, 0, 0, 1, 0, 1, 1]
    await bench.cycles(2)
    assert await bench.shown() == [0] * bench.buckets
    await bench.compare()
    assert bench.samples.counts[0] == min(5, bench.full)


@cocotb.test()
async def rates(dut: Any) -> None:
    """Random samples at every rate, of few buckets and of all."""
    bench = HistogramBench(dut)
    for pattern in STALLS:
        for width in (1, 2, bench.sample_w):
            await bench.reset()
            bench.samples.width = width
            bench.samples.go = bench.stall(pattern)
            bench.samples.running = True
            await bench.cycles(150)
            await bench.compare()


@cocotb.test()
async def snapshots_in_traffic(dut: Any) -> None:
    """A snapshot under samples misses or adds those of its own cycles only, and loses none for later."""
    bench = HistogramBench(dut)
    await bench.reset()
    bench.samples.go = bench.stall("never")
    for _ in range(8):
        bench.samples.running = True
        await bench.cycles(bench.random.randrange(20, 80))
        before = list(bench.samples.counts)
        await bench.pulse("cfg_snapshot")
        await bench.cycles(bench.buckets + 4)
        after = list(bench.samples.counts)
        for low, count, high in zip(before, await bench.shown(), after, strict=True):
            assert max(low - 4, 0) <= count <= high
        await bench.compare()


@cocotb.test()
async def clear_and_reset_in_traffic(dut: Any) -> None:
    """Both empty everything, at any moment."""
    bench = HistogramBench(dut)
    for turn in range(16):
        await bench.reset()
        bench.samples.running = True
        await bench.cycles(bench.random.randrange(1, 120))
        await bench.pulse("cfg_snapshot")
        await bench.cycles(bench.random.randrange(1, 60))
        if turn % 2:
            await bench.reset(bench.random.randrange(1, 4))
        else:
            bench.samples.running = False
            await bench.cycles(4)
            await bench.pulse("cfg_clear")
            bench.samples.counts = [0] * bench.buckets
        assert await bench.shown() == [0] * bench.buckets
        bench.samples.running = True
        await bench.cycles(40)
        await bench.compare()


@pytest.mark.parametrize(("buckets", "sample_w", "count_w"), [(4, 2, 1), (32, 32, 32), (8, 20, 5)])
def test_histogram(buckets: int, sample_w: int, count_w: int) -> None:
    """Smallest, as in the core, and counts that become full."""
    params = {"BUCKETS": buckets, "SAMPLE_W": sample_w, "COUNT_W": count_w}
    build_and_test("embnic_histogram", "test_histogram", params=params)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"BUCKETS": 12}, "BUCKETS must be 4, 8, 16 or 32"),
        ({"BUCKETS": 64}, "BUCKETS must be 4, 8, 16 or 32"),
        ({"SAMPLE_W": 1}, "SAMPLE_W must be 2 to 32"),
        ({"COUNT_W": 0}, "COUNT_W must be at least 1"),
    ],
)
def test_illegal_parameters_do_not_build(wrong: dict[str, int], message: str) -> None:
    """Each is refused by our message."""
    expect_build_failure("embnic_histogram", wrong, message)
