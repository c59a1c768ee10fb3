# SPDX-License-Identifier: Apache-2.0
"""The pool of the twin's card: it does the operations of open bags, one at a time, when rows and lines are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .model_state import Operation, RoundRobin, Slot, Stamps, Wheel

__all__ = ["Pool"]

NOTHING, MEMORY, ACCUMULATOR = range(3)  # what an operation waits for


class Pool:
    """Choose among the slots whose oldest operation is ready; it is busy before cycle `free`."""

    def __init__(
        self,
        parameters: Mapping[str, Any],
        slots: list[Slot],
        lines: list[Stamps],
        counts: dict[str, int],
    ) -> None:
        self._p, self._slots, self._lines, self._counts = parameters, slots, lines, counts
        self._ready = self._sleeping = 0
        self.free = 0
        self._order, self._wheel = RoundRobin(), Wheel()
        self._due, self._why = [0] * 64, [NOTHING] * 64

    @property
    def ready(self) -> bool:
        """Say whether an operation waits for nothing but its turn."""
        return bool(self._ready)

    def wake(self, now: int) -> None:
        """Take the slots that are due."""
        for slot in self._wheel.take(now):
            self._schedule(slot, self._due[slot], now)

    def next(self) -> int:
        """Return when the next slot is due."""
        return self._wheel.next()

    def forget(self) -> None:
        """Forget the slots that would be due later: the run is over."""
        self._wheel = Wheel()

    def head(self, number: int, now: int) -> None:
        """Look when the oldest operation of a slot can be done."""
        p, slot = self._p, self._slots[number]
        op = slot.ring[slot.started % p["places"]]
        when = max(op.ready, slot.free)
        self._why[number] = MEMORY if op.miss else NOTHING
        if op.waits and op.first_line:
            near = slot.row_start + (p["loop_long"] if slot.row_long else p["loop"])
            if near > when:
                when, self._why[number] = near, ACCUMULATOR
        self._schedule(number, when, now)

    def _schedule(self, number: int, when: int, now: int) -> None:
        self._due[number] = when
        if when <= now:
            self._ready |= 1 << number
        else:
            self._wheel.put(now, when, number)

    def execute(self, now: int) -> int | None:
        """Start an operation that is ready, if there is one; return its slot."""
        while self._ready:
            number = self._order.take(self._ready)
            self._ready &= ~(1 << number)
            slot = self._slots[number]
            op = slot.ring[slot.started % self._p["places"]]
            if not op.row or not op.has_line or self._line_is_ready(number, op, now):
                self._start(number, slot, op, now)
                return number
        return None

    def _line_is_ready(self, number: int, op: Operation, now: int) -> bool:
        stamps = self._lines[op.line]
        if stamps.done_fills != op.fills or (op.fill and stamps.done_reads != op.reads):
            self._why[number] = MEMORY
            self._sleeping |= 1 << number
            return False
        if stamps.filled > now:
            self._why[number] = MEMORY
            self._schedule(number, stamps.filled, now)
            return False
        return True

    def _start(self, number: int, slot: Slot, op: Operation, now: int) -> None:
        p, counts = self._p, self._counts
        gap = now - self.free
        if gap > 0 and self._why[number] != NOTHING:
            counts["exec_fetch" if self._why[number] == MEMORY else "exec_hazard"] += gap
        counts["exec_beats"] += op.beats
        self.free = now + op.beats
        slot.ended[slot.started % p["places"]] = self.free
        slot.started += 1
        slot.free = max(self.free, now + p["alone"])
        if op.first_line:
            slot.row_start, slot.row_long = now + op.spread, op.keeps_long
        if op.row and op.has_line:
            self._read_or_fill(op, now)
        if slot.started < slot.issued:
            self.head(number, now)

    def _read_or_fill(self, op: Operation, now: int) -> None:
        stamps = self._lines[op.line]
        if op.fill:
            stamps.done_fills += 1
            stamps.done_reads = 0
            stamps.filled = self.free + self._p["filled"]
        else:
            stamps.done_reads += 1
        for other, waiting in enumerate(self._slots):
            if not self._sleeping >> other & 1:
                continue
            if waiting.ring[waiting.started % self._p["places"]].line == op.line:
                self._sleeping &= ~(1 << other)
                self._schedule(other, max(now + 1, stamps.filled), now)
