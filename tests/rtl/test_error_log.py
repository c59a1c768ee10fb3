# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_error_log: the last entries against a model, word by word.

There are no streams to stall; every rate of drops with every rate of errors takes their place.
"""

from typing import Any

import cocotb
import pytest

from embnic.gen.wire import DropReason, Status
from embnic.health import ErrorRecord
from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS
from embnic_sim.structs import StructType, load_structs


class Events:
    """Drops and errors at given rates; models the log. A drop that waits is logged after the errors."""

    def __init__(self, bench: "LogBench") -> None:
        self.bench = bench
        self.drops = self.errors = bench.stall("half")
        self.running = False
        self.reset()

    def reset(self) -> None:
        """Nothing happened; the clock of the log starts anew."""
        self.running = False
        self.now = 0
        self.waiting: list[tuple[Any, ...]] = []
        self.log: list[tuple[Any, ...]] = []
        # What was driven in the cycle before, and in the one before that: it is written now.
        self.last: tuple[Any, ...] | None = None
        self.held: tuple[Any, ...] | None = None
        self.lost = 0
        self.bench.drive(drop=0, err_valid=0, cfg_clear=0)

    def tick(self) -> None:
        """One clock edge: what was driven two cycles before is taken, then drive the next."""
        bench, rng = self.bench, self.bench.random
        self.now += 1
        if self.held is not None:
            drop, error = self.held
            had = len(self.waiting)
            if error is not None:
                self.log.append(error)
            elif self.waiting:
                self.log.append(self.waiting.pop(0))
            if drop is not None and had < 2:
                self.waiting.append(drop)
            elif drop is not None:
                self.lost += 1
        drop = error = None
        values = {"drop": 0, "err_valid": 0}
        if self.running and self.drops():
            reason = rng.randrange(len(DropReason))
            frame = rng.getrandbits(bench.frame_t.width)
            values |= {"drop": 1 << reason, "drop_frame": frame}
            if reason != DropReason.NOT_OURS:
                drop = (self.now, reason, frame)
        if self.running and self.errors():
            status, frame = rng.randrange(1, len(Status)), rng.getrandbits(bench.frame_t.width)
            values |= {"err_valid": 1, "err_status": status, "err_frame": frame}
            error = (self.now, 16 + status, frame)
        bench.drive(**values)
        self.held, self.last = self.last, (drop, error)


class LogBench(Bench):
    """The DUT, its events, and what it shows."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.entries = int(self.params["ENTRIES"])
        self.frame_t: StructType = load_structs()["frame_t"]
        self.board = self.scoreboard("entries")
        self.events = self.add(Events(self))
        self.drive(rd_entry=0)

    def record(self, entry: tuple[int, int, int]) -> ErrorRecord:
        """Return the model's entry as the host names its fields."""
        cycle, kind, bits = entry
        frame = self.frame_t.unpack(bits)
        header = frame["hdr"]
        return ErrorRecord(
            cycle=cycle,
            drop=DropReason(kind) if kind < 16 else None,
            status=Status(kind - 16) if kind >= 16 else None,
            opcode=int(header["opcode"]),
            request_id=header["request_id"],
            ip_low=frame["ip_src"] & 0xFFFF,
            port=frame["port_src"],
            tenant=header["tenant"],
            payload_bytes=frame["payload_len"],
        )

    async def compare(self) -> None:
        """Stop, and compare every entry that is kept."""
        self.events.running = False
        await self.cycles(3)  # what is on its way through the registers may still wait then
        await self.until(lambda: not self.events.waiting, what="waiting drops")
        await self.cycles(3)
        total = self.read("total")
        assert total == len(self.events.log)
        for number in range(max(total - self.entries, 0), total):
            self.drive(rd_entry=number % self.entries)
            await self.cycles(4)
            word = self.read("rd_words")
            words = [word >> 32 * at & 0xFFFFFFFF for at in range(5)]
            self.board.expect(self.record(self.events.log[number]))
            self.board.check(ErrorRecord.decode(words))


@cocotb.test()
async def directed(dut: Any) -> None:
    """More errors than entries: the last are kept; frames that are not ours are not logged."""
    bench = LogBench(dut)
    await bench.reset()
    assert bench.read("total") == 0
    bench.events.drops, bench.events.errors = bench.stall("mostly"), bench.stall("mostly")
    bench.events.running = True
    await bench.until(lambda: len(bench.events.log) > bench.entries + 5, timeout=20_000, what="log")
    await bench.compare()
    assert bench.events.lost == 0 or bench.entries > 64
    await bench.drain()


@cocotb.test()
async def rates(dut: Any) -> None:
    """Every rate of drops with every rate of errors."""
    bench = LogBench(dut)
    lost = 0
    for drops in STALLS:
        for errors in STALLS:
            await bench.reset()
            bench.events.drops, bench.events.errors = bench.stall(drops), bench.stall(errors)
            bench.events.running = True
            await bench.cycles(60)
            await bench.compare()
            lost += bench.events.lost
    assert lost > 0
    await bench.drain()


@cocotb.test()
async def clear_and_reset_in_traffic(dut: Any) -> None:
    """Both empty the log; a clear leaves the clock alone."""
    bench = LogBench(dut)
    for turn in range(12):
        await bench.reset()
        bench.events.running = True
        await bench.cycles(bench.random.randrange(1, 90))
        if turn % 2:
            await bench.reset(bench.random.randrange(1, 4))
        else:
            await bench.compare()
            bench.drive(cfg_clear=1)
            await bench.cycles(1)
            bench.drive(cfg_clear=0)
            bench.events.log.clear()
        await bench.cycles(2)
        assert bench.read("total") == 0
        bench.events.running = True
        await bench.cycles(30)
        await bench.compare()
    await bench.drain()


@pytest.mark.parametrize("entries", [2, 64])
def test_error_log(entries: int) -> None:
    """The smallest log and that of the core."""
    build_and_test("embnic_error_log", "test_error_log", params={"ENTRIES": entries})


@pytest.mark.parametrize("entries", [1, 48, 512])
def test_illegal_entries_do_not_build(entries: int) -> None:
    """ENTRIES is a power of two in its range."""
    message = "ENTRIES must be a power of two from 2 to 256"
    expect_build_failure("embnic_error_log", {"ENTRIES": entries}, message)
