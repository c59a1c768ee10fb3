# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_latency: the samples of random traffic, bucket by bucket, against a model.

The model keeps its own times of every frame, answer and read. Every rate of frames in with every
rate of frames out is the stall matrix.
"""

from collections import deque
from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS

INPUTS = (
    *("evt_rx_accept", "evt_admit", "reply_valid", "reply_ready", "evt_tx_frame", "evt_tx_final"),
    *("evt_tx_left", "ar_take", "r_end"),
)


class Core:
    """Events of a core, with the distances that a real one keeps."""

    def __init__(self, bench: "LatencyBench") -> None:
        self.bench = bench
        self.rx = self.tx = bench.stall("half")
        self.running = False
        self.reset()

    def reset(self) -> None:
        """Nothing is in flight, nothing was counted."""
        self.running = False
        self.counts = [[0] * self.bench.buckets for _ in range(4)]
        self.now = self.given_up = 0
        self.bursts: dict[int, deque[int]] = {id: deque() for id in range(self.bench.ids)}
        self.asked: int | None = None  # ID of the last read address
        self.measured: tuple[int, int] | None = None  # the read that is measured: ID, since when
        self.empty()
        self.bench.drive(**dict.fromkeys(INPUTS, 0), ar_id=0, r_id=0, cfg_clear=0, cfg_snapshot=0)

    def empty(self) -> None:
        """The data path forgets what it holds; memory does not."""
        self.accepted: deque[int] = deque()
        self.admitted: deque[int] = deque()
        self.offered: int | None = None  # since when an answer is first in line
        self.sending: deque[list[int]] = deque()  # [frames left to form, complete, not before]
        self.formed: deque[tuple[bool, int, int]] = deque()  # last, complete, not before

    def sample(self, stage: int, cycles: int) -> None:
        """Count a sample."""
        self.counts[stage][min(cycles.bit_length(), self.bench.buckets - 1)] += 1

    def tick(self) -> None:
        """Make the next cycle."""
        bench, rng = self.bench, self.bench.random
        self.now += 1
        now = self.now
        pins = dict.fromkeys(INPUTS, 0)
        ids = {"ar_id": rng.randrange(bench.ids), "r_id": 0}
        go = self.running
        if go and len(self.accepted) < bench.rx_frames and self.rx():
            pins["evt_rx_accept"] = 1
            self.accepted.append(now)
        if (
            self.accepted
            and self.accepted[0] + 3 <= now
            and len(self.admitted) < bench.ctxs
            and rng.random() < 0.4
        ):
            pins["evt_admit"] = 1
            self.sample(0, now - self.accepted.popleft() + bench.rx_latency)
            self.admitted.append(now)
        if (
            self.offered is None
            and self.admitted
            and self.admitted[0] + 3 <= now
            and rng.random() < 0.5
        ):
            self.offered = now
        if self.offered is not None:
            pins["reply_valid"] = 1
            if len(self.sending) < 4 and self.tx():
                pins["reply_ready"] = 1
                self.sample(1, self.offered - self.admitted.popleft())
                self.sending.append([rng.randrange(1, 4), self.offered, now + 4])
                self.offered = None
        if (
            self.sending
            and self.sending[0][2] <= now
            and len(self.formed) < 10
            and rng.random() < 0.5
        ):
            head = self.sending[0]
            head[0] -= 1
            pins["evt_tx_frame"], pins["evt_tx_final"] = 1, int(head[0] == 0)
            self.formed.append((head[0] == 0, head[1], now + 6))
            if not head[0]:
                self.sending.popleft()
        if self.formed and self.formed[0][2] <= now and self.tx():
            last, complete, _ = self.formed.popleft()
            pins["evt_tx_left"] = 1
            if last:
                self.sample(2, now - complete)
        self.memory(pins, ids)
        bench.drive(**pins, **ids)

    def memory(self, pins: dict[str, int], ids: dict[str, int]) -> None:
        """Reads of every ID; up to three bursts of one, asked for one after the other; the answers overtake."""
        rng, now, limit = self.bench.random, self.now, self.bench.read_limit
        if self.asked is not None and rng.random() < 0.3:
            ids["ar_id"] = self.asked
        queue = self.bursts[ids["ar_id"]]
        again = ids["ar_id"] == self.asked
        start = self.running and len(queue) < (3 if again else 1) and rng.random() < 0.4
        measured = self.measured
        ready = [number for number, bursts in self.bursts.items() if bursts and bursts[0] <= now]
        if ready and rng.random() < 0.4:
            ids["r_id"] = rng.choice(ready)
            pins["r_end"] = 1
            self.bursts[ids["r_id"]].popleft()
            if measured and measured[0] == ids["r_id"]:
                self.sample(3, now - measured[1])
                self.measured = None
        if self.measured and now - self.measured[1] == limit:
            self.sample(3, limit)
            self.measured = None
            self.given_up += 1
        if start:
            pins["ar_take"] = 1
            # Some answers come after the limit only.
            queue.append(now + (2 * limit if rng.random() < self.bench.slow else 1))
            if measured is None and not again:
                self.measured = ids["ar_id"], now
            self.asked = ids["ar_id"]

    @property
    def rest(self) -> bool:
        """Nothing is in flight."""
        return not (
            self.accepted
            or self.admitted
            or self.offered is not None
            or self.sending
            or self.formed
            or any(self.bursts.values())
        )


class LatencyBench(Bench):
    """The DUT and its core."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.rx_frames, self.ctxs = int(self.params["RX_FRAMES"]), int(self.params["CTXS"])
        self.ids, self.buckets = int(self.params["IDS"]), int(self.params["BUCKETS"])
        self.rx_latency = int(self.params["RX_LATENCY"])
        self.read_limit = int(self.params["READ_LIMIT"])
        self.slow = 0.0  # share of the reads that take longer than READ_LIMIT
        self.board = self.scoreboard("buckets")
        self.core = self.add(Core(self))
        self.drive(rd_bucket=0, dp_rst=1)

    async def reset(self, cycles: int = 2) -> None:
        """Reset everything: the data path's reset includes it."""
        self.drive(dp_rst=1)
        await super().reset(cycles)
        self.drive(dp_rst=0)

    def idle(self) -> bool:
        """Nothing is in flight."""
        return self.core.rest

    async def compare(self) -> None:
        """Come to rest, take a snapshot, compare all buckets of all stages."""
        self.core.running = False
        await self.until(self.idle, timeout=5000, what="rest")
        await self.cycles(6)
        self.drive(cfg_snapshot=1)
        await self.cycles(1)
        self.drive(cfg_snapshot=0)
        await self.cycles(self.buckets + 4)
        for bucket in range(self.buckets):
            self.drive(rd_bucket=bucket)
            await self.cycles(4)
            word = self.read("rd_count")
            self.board.expect(tuple(stage[bucket] for stage in self.core.counts))
            self.board.check(tuple(word >> 32 * stage & 0xFFFFFFFF for stage in range(4)))


@cocotb.test()
async def rates(dut: Any) -> None:
    """Every rate of frames in with every rate of frames out."""
    bench = LatencyBench(dut)
    for rx in STALLS:
        for tx in STALLS:
            await bench.reset()
            bench.core.rx, bench.core.tx = bench.stall(rx), bench.stall(tx)
            bench.core.running = True
            await bench.cycles(150)
            await bench.compare()
            assert all(sum(stage) for stage in bench.core.counts)
    await bench.drain()


@cocotb.test()
async def slow_reads(dut: Any) -> None:
    """A read of READ_LIMIT cycles counts as that; the next one is measured."""
    bench = LatencyBench(dut)
    await bench.reset()
    bench.slow = 0.3
    bench.core.running = True
    await bench.cycles(20 * bench.read_limit)
    await bench.compare()
    assert bench.core.given_up >= 3
    await bench.drain()


@cocotb.test()
async def reset_of_the_data_path(dut: Any) -> None:
    """It forgets stamps, not counts; what memory still owes is measured all the same."""
    bench = LatencyBench(dut)
    await bench.reset()
    for _ in range(10):
        bench.core.running = True
        await bench.cycles(bench.random.randrange(10, 100))
        bench.core.running = False
        bench.core.tx = lambda: False
        await bench.cycles(40)
        bench.drive(dp_rst=1)
        bench.core.empty()
        await bench.cycles(3)
        bench.core.empty()
        bench.drive(dp_rst=0)
        bench.core.tx = bench.stall("half")
        bench.core.running = True
        await bench.cycles(60)
        await bench.compare()
    await bench.drain()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset of everything empties the counts too."""
    bench = LatencyBench(dut)
    for _ in range(10):
        await bench.reset()
        bench.core.running = True
        await bench.cycles(bench.random.randrange(1, 150))
        await bench.reset(bench.random.randrange(1, 4))
        bench.core.running = True
        await bench.cycles(50)
        await bench.compare()
    await bench.drain()


@pytest.mark.parametrize(
    ("frames", "ctxs", "ids", "buckets"),
    [pytest.param(2, 2, 2, 4, marks=pytest.mark.slow), (8, 4, 4, 32), (32, 32, 64, 32)],
)
def test_latency(frames: int, ctxs: int, ids: int, buckets: int) -> None:
    """The least, `tiny`, `line100`."""
    params = {"RX_FRAMES": frames, "CTXS": ctxs, "IDS": ids, "RX_LATENCY": 8, "BUCKETS": buckets}
    params["READ_LIMIT"] = 200
    build_and_test("embnic_latency", "test_latency", params=params)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"RX_FRAMES": 3}, "RX_FRAMES must be a power of two"),
        ({"CTXS": 1}, "CTXS must be a power of two"),
        ({"IDS": 12}, "IDS must be a power of two"),
        ({"READ_LIMIT": 0}, "READ_LIMIT must be at least 1"),
    ],
)
def test_illegal_parameters_do_not_build(wrong: dict[str, int], message: str) -> None:
    """Each is refused by our message."""
    expect_build_failure("embnic_latency", wrong, message)
