# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_cache_sched: every operation comes out once, in order within its slot and within its line.

The bench is tag stage, memory and consumer at once. A line's first operation is a fill; a fill may leave when all
older operations of its line have left, a read when the fill before it was told done.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import cocotb
import pytest
from cache_model import Ticker

from embnic_sim.bench import Bench
from embnic_sim.paths import rtl_root
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS
from embnic_sim.structs import load_structs

LATENCY_ROUND, LATENCY_RING = 3, 8  # cycles from entering to tvalid


@dataclass
class Op:
    """An operation, known by its key."""

    key: int
    slot: int
    line: int
    miss: bool
    row: bool  # reads or fills a line: no flush, and no miss that is not kept
    place: int = 0


class SchedBench(Bench):
    """Operations in at any time that their slot has a place; operations out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        root = rtl_root()
        names = ("gen/embnic_wire_pkg.sv", "embnic_pkg.sv", "lookup/embnic_cache_pkg.sv")
        self.lookup_t = load_structs([root / name for name in names])["lookup_t"]
        params = self.params
        self.slots, self.depth = int(params["SLOTS"]), int(params["DEPTH"])
        self.places = self.depth // self.slots
        self.lines = int(params["LINES"])
        self.board = self.scoreboard("operations")
        self.add(Ticker(self.tick, self.forget))
        self.sink = self.stream_sink("m_axis_lookup", self._left)
        self.enter_stall = self.line_stall = self.stall("never")
        self.miss_rate, self.lines_used = 0.3, self.lines
        self.pass_rate = 0.2  # of the misses: given and forgotten
        self.wait_rate = 0.5  # how often an operation keeps the distance
        self.quiet_rate = 1.0  # how often a quiet slot is told so
        self.seen: list[Op] = []
        self.forget()

    def forget(self) -> None:
        """Forget all operations."""
        self.todo: deque[tuple[int, int | None]] = deque()
        self.entering: tuple[Op, int] | None = None
        self.told: int | None = None  # the slot that was named a cycle ahead
        self.of_slot: dict[int, deque[Op]] = {slot: deque() for slot in range(self.slots)}
        self.of_line: dict[int, list[Op]] = {}
        self.known: set[int] = set()  # lines that were filled once
        self.held = [0] * self.slots
        self.free_at = [0] * self.slots  # cycle in which a slot gave its last place back
        self.positions = [0] * self.slots
        self.asked: list[int] = []  # places whose line was asked for in this cycle
        self.coming: list[int] = []  # places whose line is on its way
        self.silent = False
        self.ending: deque[Op] = deque()
        self.keys: dict[int, tuple[Op, int]] = {}
        self.number = 0
        self.seen.clear()
        self.entered_at: list[int] = []
        self.valid_at: list[int] = []
        self.drive(enter_valid=0, next_slot=0, line_valid=0, started_valid=0, filled_valid=0)
        self.drive(slot_near=(1 << self.slots) - 1, slot_blocked=0)

    async def reset(self, cycles: int = 4) -> None:
        """Also wait until the counts are cleared."""
        await super().reset(cycles)
        await self.until(lambda: not self.read("sts_clearing"))

    def idle(self) -> bool:
        """Nothing is left to enter, and every place is free."""
        return not self.todo and self.entering is None and not any(self.held)

    def send(self, number: int) -> None:
        """Queue operations of random slots and lines."""
        for _ in range(number):
            row = self.random.random() < 0.9
            line = self.random.randrange(self.lines_used) if row else None
            self.todo.append((self.random.randrange(self.slots), line))

    def tick(self) -> None:
        """One clock edge."""
        if self.entering is not None:
            (op, word), self.entering = self.entering, None
            self.entered_at.append(self.cycle)
            op.place = self.read("enter_place")
            wanted = op.slot * self.places + self.positions[op.slot] % self.places
            assert op.place == wanted, f"place {op.place}, expected {wanted}"
            self.positions[op.slot] += 1
            if op.miss:
                self.asked.append(op.place)
            self.keys[op.key] = (op, word)
        if self.read("m_axis_lookup_tvalid"):
            self.valid_at.append(self.cycle)
        self._end()
        self._line()
        self._enter()

    def _enter(self) -> None:
        go = bool(self.todo) and self.held[self.todo[0][0]] < self.places and self.enter_stall()
        go = go and self.told == self.todo[0][0]
        self.drive(enter_valid=int(go))
        if go:
            self._drive_operation(*self.todo.popleft())
        if self.todo:
            self.told = self.todo[0][0]
            self.drive(next_slot=self.told)

    def _drive_operation(self, slot: int, line: int | None) -> None:
        self.number += 1
        row = line is not None
        miss = row and (line not in self.known or self.random.random() < self.miss_rate)
        flush, fill = not row, miss and self.random.random() >= self.pass_rate
        row = row and (fill or not miss)
        op = Op(self.number, slot, line or 0, miss, row)
        if row:
            self.known.add(op.line)
            self.of_line.setdefault(op.line, []).append(op)
        self.of_slot[slot].append(op)
        quiet = not self.held[slot] and self.cycle > self.free_at[slot] + 2
        quiet = quiet and self.random.random() < self.quiet_rate
        self.held[slot] += 1
        word = self.lookup_t.pack(
            key=op.key, line=op.line, miss=op.miss, fill=fill, flush=flush, slot=slot, last_seg=1,
            wait_slot=int(self.random.random() < self.wait_rate), weight=self.random.getrandbits(32),
        )  # fmt: skip
        self.drive(enter_data=word, enter_quiet=int(quiet))
        self.entering = (op, word)
        self.board.expect(0)

    def _line(self) -> None:
        go = bool(self.coming) and not self.silent and self.line_stall()
        self.drive(line_valid=int(go))
        if go:
            place = self.coming.pop(self.random.randrange(len(self.coming)))
            self.drive(line_place=place)
        self.coming += self.asked
        self.asked.clear()

    def _end(self) -> None:
        """Say of the operation that left in the cycle before that it began and ended."""
        done = self.ending.popleft() if self.ending else None
        self.drive(started_valid=int(done is not None))
        self.drive(filled_valid=int(done is not None and done.miss and done.row))
        if done is not None:
            self.drive(started_slot=done.slot, filled_line=done.line, filled_fills=self.stamp)
            self.held[done.slot] -= 1
            self.free_at[done.slot] = self.cycle
            if done.row:
                self.of_line[done.line].remove(done)

    def _left(self, word: int) -> None:
        seen = self.lookup_t.unpack(word)
        op, sent = self.keys[seen["key"]]
        self.stamp = seen["fills"]
        given = self.lookup_t.unpack(sent)
        free = ("place", "fills", "reads")
        differ = {name for name in given if name not in free and seen[name] != given[name]}
        assert not differ, f"operation {op} changed in {differ}"
        assert seen["place"] == op.place
        assert self.of_slot[op.slot].popleft() is op, f"{op} left before an older one of its slot"
        if op.row:
            older = self.of_line[op.line][: self.of_line[op.line].index(op)]
            wrong = [other for other in older if other.miss or op.miss]
            # What left and is not told done yet is still in the list: a fill may follow reads that left.
            wrong = [other for other in wrong if other.miss or other not in self.ending]
            assert not wrong, f"{op} left before {wrong}"
        assert op.place not in self.coming + self.asked, f"{op} left before its line came"
        self.ending.append(op)
        self.seen.append(op)
        self.board.check(0)


@cocotb.test()
async def latency(dut: Any) -> None:
    """An operation of a quiet slot goes round the ring; another takes the ring."""
    bench = SchedBench(dut)
    for quiet, wanted in ((1.0, LATENCY_ROUND), (0.0, LATENCY_RING)):
        bench.quiet_rate = quiet
        await bench.reset()
        bench.todo.append((0, None))
        await bench.drain()
        cycles = bench.valid_at[0] - bench.entered_at[0]
        assert cycles == wanted, f"{cycles} cycles, the header says {wanted}"


@cocotb.test()
async def waiting_slots_hold_up_nobody(dut: Any) -> None:
    """While the lines of some slots do not come, and others wait behind them, the rest goes on."""
    bench = SchedBench(dut)
    bench.pass_rate = 0.0  # every miss fills a line that others then read
    await bench.reset()
    bench.miss_rate, bench.silent = 0.0, False
    bench.todo.append((0, 1))
    await bench.drain()
    bench.silent = True
    bench.todo.append((0, 0))  # its line is fetched
    bench.todo.extend((1, 0) for _ in range(bench.places))  # waits for that line
    last = bench.slots - 1
    if last > 1:
        bench.todo.extend((last, 1) for _ in range(bench.places))
        await bench.until(lambda: sum(op.slot == last for op in bench.seen) == bench.places)
    await bench.cycles(50)
    allowed = {0} | ({last} if last > 1 else set())
    assert {op.slot for op in bench.seen} == allowed, "nobody passed the fill of its line"
    bench.silent = False
    await bench.drain()


@cocotb.test()
async def distance_holds_back(dut: Any) -> None:
    """An operation that keeps the distance is not chosen while its slot is not near."""
    bench = SchedBench(dut)
    bench.quiet_rate = 0.0
    await bench.reset()
    bench.drive(slot_near=0, slot_blocked=(1 << bench.slots) - 1)
    for slot in range(bench.slots):
        bench.todo.append((slot, None))
    await bench.until(lambda: not bench.todo)
    await bench.cycles(30)
    held = [op for slot in bench.of_slot.values() for op in slot]
    waits = [bench.lookup_t.unpack(bench.keys[op.key][1])["wait_slot"] for op in held]
    assert all(waits), "only what keeps the distance waits"
    assert bench.read("sts_distance") == int(bool(held))
    bench.drive(slot_near=(1 << bench.slots) - 1, slot_blocked=0)
    await bench.drain()


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of entering and leaving; few lines and many, lines that come early or late."""
    bench = SchedBench(dut)
    for enter in STALLS:
        for leave in STALLS:
            bench.lines_used = bench.random.choice([1, 2, bench.lines])
            bench.miss_rate = bench.random.choice([0.1, 0.5])
            bench.quiet_rate = bench.random.choice([0.0, 0.5, 1.0])
            await bench.reset()
            bench.enter_stall, bench.sink.stall = bench.stall(enter), bench.stall(leave)
            bench.line_stall = bench.stall(bench.random.choice(list(STALLS)))
            bench.send(80)
            await bench.drain()


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """An operation leaves in every cycle when enough slots have some."""
    bench = SchedBench(dut)
    if bench.slots < 4:
        return  # a slot alone gives an operation in 3 cycles
    bench.wait_rate = 0.0
    await bench.reset()
    bench.todo.extend((number % bench.slots, None) for number in range(600))
    await bench.until(lambda: bool(bench.seen))
    start = bench.cycle
    await bench.drain(quiet=1)
    rate = 600 / (bench.cycle - start)
    dut._log.info("%.4f operations per cycle", rate)
    assert rate >= 0.95


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset at any moment forgets every operation."""
    bench = SchedBench(dut)
    bench.lines_used = min(3, bench.lines)
    bench.line_stall = bench.stall("half")
    await bench.reset_in_traffic(lambda: bench.send(60), times=15, within=80)


@pytest.mark.parametrize(
    ("lines", "slots", "depth"),
    [(16, 4, 32), (64, 32, 512), pytest.param(2, 2, 4, marks=pytest.mark.slow)],
)
def test_cache_sched(lines: int, slots: int, depth: int) -> None:
    """All coroutines: as in tiny, as in line100, and two slots of two places."""
    params = {"LINES": lines, "SLOTS": slots, "DEPTH": depth}
    build_and_test("embnic_cache_sched", "test_cache_sched", params=params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"SLOTS": 1}, "SLOTS must be a power of two, 2 to 64"),
        ({"SLOTS": 24}, "SLOTS must be a power of two, 2 to 64"),
        ({"DEPTH": 32}, "DEPTH must be a power of two, at least two places a slot"),
        ({"DEPTH": 768}, "DEPTH must be a power of two, at least two places a slot"),
        ({"DEPTH": 4096}, "DEPTH must be a power of two, at least two places a slot"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Each is refused by its own message."""
    expect_build_failure("embnic_cache_sched", params, message)
