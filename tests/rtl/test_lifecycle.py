# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_lifecycle: a model of the core sends its events; idle, drained and the sums of a reset.

The model takes frames, gives verdicts, admits requests in order (work or not), answers each with one
to three frames, and sends them. It says itself what is in flight; the DUT must agree.
"""

from collections import deque
from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS

EVENTS = (
    *("rx_valid", "rx_last", "evt_rx_frame", "evt_rx_accept", "alloc", "alloc_work"),
    *("evt_tx_frame", "reply_done", "tx_valid", "tx_beat", "tx_last", "key_open", "key_closed"),
)

TOTALS = (
    *("ended", "verdicts", "lost", "accepted", "answered", "abandoned", "opened", "closed", "keys"),
)


class Core:
    """The core's life: frames in, requests, frames out."""

    def __init__(self, bench: "LifeBench") -> None:
        self.bench = bench
        self.rx = self.tx = bench.stall("half")
        self.running = False
        self.quiesce = self.enable = False
        self.totals: dict[str, int] = {}
        self.reset()

    def reset(self) -> None:
        """As after a reset of everything."""
        self.running, self.mid, self.stop_rx = False, 0, False
        self.quiesce, self.enable = False, True
        self.totals = dict.fromkeys(TOTALS, 0)
        self.empty()
        self.silent = False
        self.now = dict.fromkeys(EVENTS, 0)
        self.was_in_flight = self.was_working = self.open_for = 0
        self.bench.drive(
            **self.now,
            decode_work=0,
            lookup_idle=1,
            memory_rest=0,
            cfg_enable=1,
            cfg_quiesce=0,
            cfg_soft_reset=0,
        )

    def empty(self) -> None:
        """The data path forgets what it holds."""
        self.crc: deque[int] = deque()  # cycles to the verdict
        self.queue: deque[int] = deque()  # accepted: frames of the answer
        self.decoded: bool | None = None  # a request at the decoder: work or not
        self.flight: deque[list[int]] = deque()  # admitted: [work, frames left, cycles]
        self.out: deque[list[int]] = deque()  # frames formed: [work, beats left]
        self.keys = 0  # that want a row

    def in_flight(self) -> bool:
        """Return whether anything is between the first beat in and the last beat out."""
        return bool(
            self.mid
            or self.crc
            or self.queue
            or self.decoded is not None
            or self.flight
            or self.out
        )

    def working(self) -> bool:
        """Return whether any request that is executed is in flight."""
        return bool(
            self.decoded
            or any(work for work, *_ in self.flight)
            or any(work for work, _ in self.out)
        )

    def tick(self) -> None:
        """One clock edge: compare, then make the next cycle."""
        bench, rng, t = self.bench, self.bench.random, self.totals
        # All that is read is of the cycle that ended, in which `self.now` was driven.
        in_reset = bool(bench.read("dp_rst"))
        for name in ("lost", "abandoned", "keys"):
            t[name] += bench.read(f"evt_{name}")
        if in_reset:
            self.empty()
        elif self.now["rx_last"]:
            self.crc.append(5)
        self.compare(in_reset)
        now = dict.fromkeys(EVENTS, 0)
        # frames in: the line does not know of resets
        if self.mid or (self.running and not self.stop_rx and self.rx()):
            self.mid = self.mid or rng.randrange(1, 5)
            self.mid -= 1
            now["rx_valid"], now["rx_last"] = 1, int(self.mid == 0)
            t["ended"] += now["rx_last"]
        self.advance(now, bool(bench.read("rx_enable")), bool(bench.read("tx_closed")))
        self.now = now
        bench.drive(
            **now,
            decode_work=int(bool(self.decoded) or (now["alloc"] and now["alloc_work"])),
            lookup_idle=int(not any(work for work, *_ in self.flight)),
            memory_rest=int(
                bool(bench.read("memory_close")) and not self.silent and rng.random() < 0.1
            ),
        )
        t["verdicts"] += now["evt_rx_frame"]
        t["accepted"] += now["evt_rx_accept"]
        t["answered"] += now["reply_done"]
        t["opened"] += now["key_open"]
        t["closed"] += now["key_closed"]

    def advance(self, now: dict[str, int], accepting: bool, closed: bool) -> None:
        """What the data path does in the next cycle."""
        rng = self.bench.random
        now["key_open"] = int(bool(self.flight) and rng.random() < 0.6)
        now["key_closed"] = int(self.keys > 0 and (rng.random() < 0.5 or not self.flight))
        self.keys += now["key_open"] - now["key_closed"]
        if self.out and not closed:
            now["tx_valid"] = 1
            if self.tx():
                now["tx_beat"] = 1
                self.out[0][1] -= 1
                now["tx_last"] = int(self.out[0][1] == 0)
                if now["tx_last"]:
                    self.out.popleft()
        if self.flight:
            head = self.flight[0]
            head[2] -= 1
            if head[2] <= 0 and len(self.out) < 8:
                head[1] -= 1
                head[2] = rng.randrange(1, 6)
                now["evt_tx_frame"] = 1
                self.out.append([head[0], rng.randrange(1, 4)])
                if not head[1]:
                    now["reply_done"] = 1
                    self.flight.popleft()
        if self.decoded is not None and rng.random() < 0.5 and len(self.flight) < 6:
            now["alloc"], now["alloc_work"] = 1, int(self.decoded)
            self.flight.append([int(self.decoded), rng.randrange(1, 4), rng.randrange(2, 9)])
            self.decoded = None
        elif self.decoded is None and self.queue and rng.random() < 0.5:
            self.queue.popleft()
            self.decoded = not self.quiesce and rng.random() < 0.7
        self.crc = deque(left - 1 for left in self.crc)
        if self.crc and self.crc[0] <= 0:
            self.crc.popleft()
            now["evt_rx_frame"] = 1
            if accepting and len(self.queue) < 8 and rng.random() < 0.8:
                now["evt_rx_accept"] = 1
                self.queue.append(1)

    def compare(self, in_reset: bool) -> None:
        """Hold the DUT to account: what it says is at most two cycles old."""
        bench = self.bench
        moving = any(value for name, value in self.now.items() if not name.startswith("key_"))
        busy = self.in_flight() or moving
        working = self.working() or bool(self.now["alloc"] and self.now["alloc_work"])
        may_drain = self.quiesce or not self.enable
        self.open_for = 0 if may_drain else self.open_for + 1
        if bench.read("sts_idle"):
            assert not (busy and self.was_in_flight > 2), "idle with something in flight"
        if bench.read("sts_drained"):
            assert self.open_for < 4, "drained, neither quiesced nor disabled"
            if self.quiesce:
                assert not (working and self.was_working > 2), "drained with work in flight"
        elif self.quiesce and not working and not bench.read("sts_reset_busy"):
            assert self.was_working > -5, "not drained without work"
        if (
            not busy
            and not bench.read("sts_idle")
            and not bench.read("sts_reset_busy")
            and not in_reset
        ):
            assert self.was_in_flight > -5, "not idle without anything in flight"
        self.was_in_flight = (
            max(self.was_in_flight, 0) + 1 if busy else min(self.was_in_flight, 0) - 1
        )
        self.was_working = max(self.was_working, 0) + 1 if working else min(self.was_working, 0) - 1
        if in_reset or bench.read("sts_reset_busy"):
            self.was_in_flight = self.was_working = 0


class LifeBench(Bench):
    """The DUT and its core."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.board = self.scoreboard("sums")
        self.resets = self.count("evt_reset")
        self.timeouts = self.count("evt_timeout")
        self.core = self.add(Core(self))

    def idle(self) -> bool:
        """The DUT says so."""
        return bool(self.read("sts_idle"))

    async def rest(self) -> None:
        """Let no frame come, wait for idle, and compare the sums."""
        self.core.stop_rx = True
        await self.cycles(4)  # what the DUT says is a little old
        await self.until(self.idle, timeout=5000, what="idle")
        await self.until(lambda: not self.core.keys, what="rows")
        await self.cycles(2)
        assert not self.core.in_flight()
        t = self.core.totals
        self.board.expect((t["ended"], t["accepted"], t["opened"]))
        self.board.check(
            (t["verdicts"] + t["lost"], t["answered"] + t["abandoned"], t["closed"] + t["keys"])
        )
        self.core.running = self.core.stop_rx = False

    async def soft_reset(self) -> None:
        """Reset, and wait for its end."""
        self.drive(cfg_soft_reset=1)
        await self.cycles(1)
        self.drive(cfg_soft_reset=0)
        await self.cycles(1)
        await self.until(
            lambda: not self.read("sts_reset_busy"), timeout=5000, what="end of the reset"
        )

    async def quiesce(self, on: bool) -> None:
        """Quiesce or resume."""
        self.core.quiesce = on
        self.drive(cfg_quiesce=int(on))
        self.core.was_working = 0
        await self.cycles(3)


@cocotb.test()
async def rates(dut: Any) -> None:
    """Every rate of frames in with every rate of beats out: idle and drained are right in every cycle."""
    bench = LifeBench(dut)
    for rx in STALLS:
        for tx in STALLS:
            await bench.reset()
            bench.core.rx, bench.core.tx = bench.stall(rx), bench.stall(tx)
            bench.core.running = True
            await bench.cycles(150)
            await bench.quiesce(True)
            await bench.until(lambda: bool(bench.read("sts_drained")), timeout=5000, what="drained")
            await bench.cycles(60)
            await bench.quiesce(False)
            await bench.cycles(60)
            await bench.rest()
            assert bench.core.totals["answered"] > 3
    await bench.drain()


@cocotb.test()
async def disabled(dut: Any) -> None:
    """Disabled, drained says that every accepted frame is answered."""
    bench = LifeBench(dut)
    await bench.reset()
    for _ in range(10):
        bench.core.running = True
        await bench.cycles(bench.random.randrange(20, 120))
        bench.core.enable = False
        bench.drive(cfg_enable=0)
        await bench.until(lambda: bool(bench.read("sts_drained")), timeout=5000, what="drained")
        core = bench.core
        assert not (core.queue or core.flight or core.out or core.decoded is not None)
        bench.core.enable = True
        bench.drive(cfg_enable=1)
        await bench.cycles(4)
    await bench.rest()
    await bench.drain()


@cocotb.test()
async def soft_resets(dut: Any) -> None:
    """At any moment, memory quick or silent: every frame and request is accounted for."""
    bench = LifeBench(dut)
    await bench.reset()
    abandoned = lost = 0
    for turn in range(40):
        bench.core.running = True
        await bench.cycles(bench.random.randrange(1, 150))
        bench.core.silent = turn % 4 == 3
        await bench.soft_reset()
        bench.core.silent = False
        await bench.cycles(bench.random.randrange(1, 60))
        await bench.rest()
        abandoned, lost = bench.core.totals["abandoned"], bench.core.totals["lost"]
    assert bench.resets.total == 40 and bench.timeouts.total == 10
    assert abandoned > 10 and lost > 10
    await bench.drain()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """After a reset of everything nothing is in flight."""
    bench = LifeBench(dut)
    for _ in range(20):
        await bench.reset()
        bench.core.running = True
        await bench.cycles(bench.random.randrange(1, 100))
        if bench.random.random() < 0.3:
            bench.drive(cfg_soft_reset=1)
            await bench.cycles(2)
        await bench.reset(bench.random.randrange(1, 4))
        assert not bench.read("sts_reset_busy") and not bench.read("dp_rst")
        bench.core.running = True
        await bench.cycles(80)
        await bench.rest()
    await bench.drain()


@pytest.mark.parametrize(("timeout", "cycles"), [(60, 2), (200, 8)])
def test_lifecycle(timeout: int, cycles: int) -> None:
    """The shortest reset, and that of the core with a shorter patience."""
    params = {"TIMEOUT": timeout, "RESET_CYCLES": cycles}
    build_and_test("embnic_lifecycle", "test_lifecycle", params=params)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"TIMEOUT": 1}, "TIMEOUT must be at least 2"),
        ({"RESET_CYCLES": 1}, "RESET_CYCLES must be 2 to 255"),
        ({"RESET_CYCLES": 256}, "RESET_CYCLES must be 2 to 255"),
    ],
)
def test_illegal_parameters_do_not_build(wrong: dict[str, int], message: str) -> None:
    """Each is refused by our message."""
    expect_build_failure("embnic_lifecycle", wrong, message)
