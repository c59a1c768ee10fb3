# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_cache_order: stamps, checks and wakes against lists of what was issued on each line."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import cocotb
import pytest
from cache_model import Ticker

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.scoreboard import Scoreboard
from embnic_sim.streams import STALLS

WAKE_CYCLES = 3  # from filled_valid to wake_fill_valid


@dataclass
class Op:
    """An operation between its issue and its end."""

    line: int
    fill: bool
    fills: int = 0  # of its line, before it
    reads: int = 0
    seen_fills: int = 0  # of its line, that its check can see
    done_fills: int = 0  # of its line, that its issue can see


@dataclass
class Counts:
    """Fills and reads of one line, without end."""

    fills: int = 0
    reads: int = 0


class OrderBench(Bench):
    """Issues, checks and fills as the scheduler makes them, many at a time."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        params = self.params
        self.places = int(params["PLACES"])
        self.lines = int(params["LINES"])
        self.mask = self.places - 1
        self.most = min(self.places, 32)  # operations at a time: checks choose among them at random
        self.board = self.scoreboard("checks")
        self.wakes = {name: Scoreboard(f"wake_{name}", ordered=False) for name in ("read", "fill")}
        for name, board in self.wakes.items():
            fields = [f"wake_{name}_line", f"wake_{name}_count"]
            self.monitor(f"wake_{name}_valid", fields, self._woken(name, board))
        self.add(Ticker(self.tick, self.forget))
        self.issue_stall = self.check_stall = self.fill_stall = self.stall("never")
        self.lines_used = range(self.lines)
        self.passes = self.fails = 0
        self.forget()

    def _woken(self, name: str, board: Scoreboard) -> Any:
        def came(word: tuple[int, int]) -> None:
            board.check((*word, self.cycle))

        return came

    def forget(self) -> None:
        """Forget all operations."""
        self.issued: defaultdict[int, Counts] = defaultdict(Counts)
        self.done: defaultdict[int, Counts] = defaultdict(Counts)
        self.left = 0  # operations to be issued
        self.waiting: list[Op] = []
        self.filling: list[Op] = []
        self.issuing: Op | None = None
        self.stamping: Op | None = None
        self.reading: Op | None = None
        self.checking: Op | None = None
        self.filled: Op | None = None
        for board in self.wakes.values():
            board.reset()
        self.drive(issue_valid=0, check_valid=0, filled_valid=0)

    async def reset(self, cycles: int = 4) -> None:
        """Also wait until the counts are cleared."""
        await super().reset(cycles)
        start = self.cycle
        await self.until(lambda: not self.read("sts_clearing"))
        assert self.cycle - start <= self.lines + 1, "one line is cleared per cycle"

    def idle(self) -> bool:
        """Everything was issued, checked and filled, and every wake came."""
        busy = self.issuing or self.stamping or self.reading or self.checking or self.filled
        wakes = any(board.expected for board in self.wakes.values())
        return not (self.left or self.waiting or self.filling or busy or wakes)

    def tick(self) -> None:
        """One clock edge: what the cycle before showed, then what this one drives."""
        if self.read("sts_clearing"):
            return
        self._stamp()
        self._check()
        # A fill told in the cycle before is seen by checks whose line is driven from now on.
        if self.filled is not None:
            self.done[self.filled.line].fills += 1
            self.filled = None
        self._drive_check()
        self._drive_fill()
        self._drive_issue()

    def _stamp(self) -> None:
        if self.stamping is not None:
            op, self.stamping = self.stamping, None
            counts = self.issued[op.line]
            op.fills, op.reads = counts.fills, counts.reads
            assert bool(self.read("stamp_joins")) == (op.fills != op.done_fills), "an open fill"
            seen = (self.read("stamp_fills"), self.read("stamp_reads"))
            wanted = (op.fills & self.mask, op.reads & self.mask)
            assert seen == wanted, f"line {op.line}: stamp {seen}, expected {wanted}"
            counts.fills += op.fill
            counts.reads += not op.fill
            self.waiting.append(op)
        self.stamping, self.issuing = self.issuing, None

    def _check(self) -> None:
        if self.checking is not None:
            op, self.checking = self.checking, None
            seen = self.read("check_pass")
            lacks_fills = op.seen_fills != op.fills
            done = self.done[op.line]
            wanted = not lacks_fills and (not op.fill or done.reads == op.reads)
            assert seen == wanted, f"{op}: pass {seen}, expected {wanted}"
            assert self.read("check_lacks_fills") == lacks_fills
            self.board.check(0)
            self.passes += wanted
            self.fails += not wanted
            if not wanted:
                self.waiting.append(op)
            elif op.fill:
                self.filling.append(op)
            else:
                done.reads += 1
                self.wakes["read"].expect((op.line, done.reads & self.mask, self.cycle + 1))
        if self.reading is not None:
            self.checking, self.reading = self.reading, None
            op = self.checking
            self.drive(
                check_valid=1,
                check_fill=int(op.fill),
                check_fills=op.fills & self.mask,
                check_reads=op.reads & self.mask,
            )
            self.board.expect(0)
        else:
            self.drive(check_valid=0)

    def _drive_check(self) -> None:
        if self.waiting and self.check_stall():
            op = self.waiting.pop(self.random.randrange(len(self.waiting)))
            op.seen_fills = self.done[op.line].fills
            self.reading = op
            self.drive(check_line=op.line)

    def _drive_fill(self) -> None:
        go = bool(self.filling) and self.fill_stall()
        self.drive(filled_valid=int(go))
        if go:
            op = self.filling.pop(self.random.randrange(len(self.filling)))
            self.filled = op
            self.drive(filled_line=op.line, filled_fills=op.fills & self.mask)
            # filled_valid is seen at the next edge, its wake WAKE_CYCLES later.
            wake = (op.line, op.fills + 1 & self.mask, self.cycle + 1 + WAKE_CYCLES)
            self.wakes["fill"].expect(wake)

    def _drive_issue(self) -> None:
        held = len(self.waiting) + len(self.filling)
        held += sum(
            op is not None
            for op in (self.issuing, self.stamping, self.reading, self.checking, self.filled)
        )
        go = self.left > 0 and held < self.most and self.issue_stall()
        self.drive(issue_valid=int(go))
        if go:
            self.left -= 1
            line = self.random.choice(self.lines_used)
            fresh = not self.issued[line].fills
            self.issuing = Op(line, fresh or self.random.random() < 0.3)
            self.issuing.done_fills = self.done[line].fills
            self.drive(issue_line=line, issue_fill=int(self.issuing.fill))


@cocotb.test()
async def directed(dut: Any) -> None:
    """A fill, a read behind it, a fill behind that: each goes when the one before is done."""
    bench = OrderBench(dut)
    await bench.reset()
    bench.lines_used = range(1)
    bench.left = 40
    await bench.drain(quiet=5)
    assert bench.passes == 40 and bench.fails > 0


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of issues, checks and fills, on few lines and on many."""
    bench = OrderBench(dut)
    for issue in STALLS:
        for check in STALLS:
            for lines in (1, 2, bench.lines):
                await bench.reset()
                bench.lines_used = range(min(lines, bench.lines))
                bench.issue_stall, bench.check_stall = bench.stall(issue), bench.stall(check)
                bench.fill_stall = bench.stall(bench.random.choice(list(STALLS)))
                bench.left = 60
                await bench.drain(quiet=5)


@cocotb.test()
async def counts_wrap(dut: Any) -> None:
    """Many more fills and reads of a line than a count can tell."""
    bench = OrderBench(dut)
    await bench.reset()
    for lines in (1, 3, bench.lines):
        bench.lines_used = range(min(lines, bench.lines))
        bench.left = 1500
        await bench.drain(quiet=5)
    assert bench.passes == 4500


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset at any moment clears every count."""
    bench = OrderBench(dut)

    def start() -> None:
        bench.left = 60

    await bench.reset_in_traffic(start, times=15, within=60)


@pytest.mark.parametrize(
    ("lines", "places"), [(16, 32), pytest.param(2, 2, marks=pytest.mark.slow), (32, 64)]
)
def test_cache_order(lines: int, places: int) -> None:
    """All coroutines; two places, and more than a count of a line ever reaches."""
    params = {"LINES": lines, "PLACES": places}
    build_and_test("embnic_cache_order", "test_cache_order", params=params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"LINES": 12}, "LINES must be a power of two, 2 to 65,536"),
        ({"LINES": 1}, "LINES must be a power of two, 2 to 65,536"),
        ({"PLACES": 100}, "PLACES must be a power of two, 2 to 2,048"),
        ({"PLACES": 4096}, "PLACES must be a power of two, 2 to 2,048"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Each is refused by its own message."""
    expect_build_failure("embnic_cache_order", params, message)
