# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_barrier: changes happen only while requests are held and none is under way.

The environment plays requests and a cache: it begins none while `hold` is high, and ends those it
has after a random time. Every rate of requests with every rate of changes is the stall matrix.
"""

from typing import Any

import cocotb

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test
from embnic_sim.streams import STALLS


class Core:
    """Requests and the flush of a cache; checks the contract in every cycle."""

    def __init__(self, bench: "BarrierBench") -> None:
        self.bench = bench
        self.requests = self.changes = bench.stall("half")
        self.running = False
        self.reset()

    def reset(self) -> None:
        """At rest; the next generation of everything is 0."""
        self.running = False
        self.under_way, self.flushing, self.dp_left = 0, 0, 0
        self.commits_wanted = self.flushes_wanted = 0  # pulses not yet answered
        self.commits = self.flushes = 0
        self.script: list[str] = []
        self.driven = {"cfg_commit": 0, "cfg_flush": 0}
        self.bench.drive(cfg_commit=0, cfg_flush=0, reached=1, cache_flush_busy=0, dp_rst=0)

    def tick(self) -> None:
        """One clock edge."""
        bench, rng = self.bench, self.bench.random
        hold, commit = bench.read("hold"), bench.read("table_commit")
        flush = bench.read("cache_flush")
        if commit or flush:
            assert hold and not self.under_way and not self.dp_left, "a change under traffic"
            assert flush, "a commit without a flush"
            bench.board.expect((self.commits_wanted > 0, True))
            bench.board.check((bool(commit), bool(flush)))
            self.commits += commit
            self.flushes += 1
            self.commits_wanted = self.flushes_wanted = 0
            self.flushing = rng.randrange(1, 12)
        # A commit in the cycle of a change comes after it; a flush in it is that change's own.
        self.commits_wanted += self.driven["cfg_commit"]
        self.flushes_wanted += self.driven["cfg_commit"]
        if not flush:
            self.flushes_wanted += self.driven["cfg_flush"]
        # The next cycle
        self.under_way = max(self.under_way - 1, 0)
        if not hold and self.running and self.requests():
            self.under_way = rng.randrange(1, 8)
        self.flushing = max(self.flushing - 1, 0) if not (commit or flush) else self.flushing
        self.dp_left = max(self.dp_left - 1, 0)
        if self.running and rng.random() < 0.01:
            self.dp_left, self.under_way = rng.randrange(2, 6), 0
        self.driven = {"cfg_commit": 0, "cfg_flush": 0}
        if self.script:
            self.driven[self.script.pop(0)] = 1
        elif self.running and self.changes():
            self.driven[rng.choice(tuple(self.driven))] = 1
        bench.drive(
            **self.driven,
            reached=int(self.under_way == 0),
            cache_flush_busy=int(self.flushing > 0),
            dp_rst=int(self.dp_left > 0),
        )


class BarrierBench(Bench):
    """The DUT and its core."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.board = self.scoreboard("changes")
        self.core = self.add(Core(self))

    def idle(self) -> bool:
        """Nothing is pending."""
        return not (self.read("sts_commit_busy") or self.read("sts_flush_busy"))

    async def rest(self) -> None:
        """Stop, and see everything that was asked for happen."""
        self.core.running = False
        await self.cycles(2)
        await self.until(self.idle, what="end of the flush")
        await self.cycles(2)
        assert not self.core.commits_wanted and not self.core.flushes_wanted, "a change was lost"
        assert self.read("hold") == 0


@cocotb.test()
async def directed(dut: Any) -> None:
    """A commit: held at once, busy until its flush is done; a flush alone commits nothing."""
    bench = BarrierBench(dut)
    await bench.reset()
    assert bench.idle() and not bench.read("hold")
    bench.core.script = ["cfg_commit"]
    await bench.cycles(3)
    assert bench.read("hold") and bench.read("sts_commit_busy") and bench.read("sts_flush_busy")
    await bench.rest()
    bench.core.script = ["cfg_flush"]
    await bench.cycles(3)
    assert bench.read("hold") and bench.read("sts_flush_busy")
    await bench.rest()
    assert (bench.core.commits, bench.core.flushes) == (1, 2)
    await bench.drain()


@cocotb.test()
async def rates(dut: Any) -> None:
    """Every rate of requests with every rate of changes, resets of the data path in between."""
    bench = BarrierBench(dut)
    for requests in STALLS:
        for changes in STALLS:
            await bench.reset()
            bench.core.requests = bench.stall(requests)
            pattern = bench.stall(changes)
            bench.core.changes = lambda go=pattern: go() and bench.random.random() < 0.15
            bench.core.running = True
            await bench.cycles(300)
            await bench.rest()
            assert bench.core.flushes > 0
    assert bench.core.commits > 0
    await bench.drain()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """After a reset nothing is pending and requests may begin."""
    bench = BarrierBench(dut)
    for _ in range(20):
        await bench.reset()
        bench.core.running = True
        await bench.cycles(bench.random.randrange(1, 60))
        await bench.reset(bench.random.randrange(1, 4))
        assert bench.idle() and not bench.read("hold")
        bench.core.running = True
        await bench.cycles(100)
        await bench.rest()
    await bench.drain()


def test_barrier() -> None:
    """The module has no parameters: there is no boundary and nothing illegal to build."""
    build_and_test("embnic_barrier", "test_barrier", params={})
