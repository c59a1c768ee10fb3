# SPDX-License-Identifier: Apache-2.0
"""The card of the Python twin: the steps and integers of host/native/model_card.cpp, much slower.

`embnic.model` uses it where the extension was not built; the names of parameters are said there. Requests come and
replies leave by `model_link`; `model_walk` finds their bags, which `CardModel` gives slots and cuts into operations;
`model_memory` fetches rows, `model_pool` does the operations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .model_caches import (
    DROP,
    EVICT,
    FETCH,
    HELD,
    HIT,
    KEPT,
    LOOK,
    NO_WAY,
    PINNED,
    REFUSED,
    RELEASE,
    TagCache,
)
from .model_link import Link
from .model_memory import Memory
from .model_pool import Pool
from .model_state import (
    COUNTS,
    NEVER,
    Line,
    Operation,
    Request,
    RoundRobin,
    Slot,
    Stamps,
    Table,
    Wheel,
)
from .model_walk import Walk

__all__ = ["CardModel"]

NULL_ROW = (1 << 48) - 1


class CardModel:
    """The card: see model_card.cpp, step by step."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._p = dict(parameters)
        p = self._p
        self._counts = dict.fromkeys(COUNTS, 0)
        self._tags = TagCache(p["ways"], p["sets"])
        self._tables: dict[int, Table] = {}
        self._slots = [Slot() for _ in range(p["slots"])]
        self._lines = [Stamps() for _ in range(p["ways"] * p["sets"])]
        self._link = Link(p, self._counts)
        self._walk = Walk(p, self._tables, self._link)
        self._memory = Memory(p, self._counts)
        self._pool = Pool(p, self._slots, self._lines, self._counts)
        self._popped = deque([-1] * p["key_queue"])
        self._remote_bags: deque[tuple[int, int, int, int]] = deque()  # ready, key, end, request
        self._remote_slots = (1 << p["remote_slots"]) - 1
        self._remote = self._remote_slot = 0
        self._remote_free = self._kept = False
        self._now = 0
        self._busy = self._taken = self._room = 0
        self._ending: deque[tuple[int, int]] = deque()
        self._free_slot, self._free_valid = 0, False
        self._picked, self._picked_at, self._last_out = 0, -2, -1
        self._free_order, self._pick_order, self._remote_order = (RoundRobin() for _ in range(3))
        self._room_wheel = Wheel()
        self._recorded: list[tuple[int, int, int]] = []
        self._record_left = 0

    def define(
        self,
        number: int,
        lines: NDArray[np.int64],
        where: NDArray[np.int64],
        long_format: bool,
        mean: bool,
    ) -> None:
        """Take a table."""
        if len(lines) > self._p["places"]:
            raise ValueError("a row must not have more lines than a slot has places")
        cut = [Line(*line) for line in lines.tolist()]
        base, stride, rows, padding, tree, combine_long, remote = where.tolist()
        if remote and not self._p["remote_fetches"]:
            raise ValueError("the card has no remote tables")
        self._tables[number] = Table(
            cut,
            base,
            stride,
            rows,
            padding,
            long_format,
            mean,
            tree,
            bool(combine_long),
            bool(remote),
        )

    def run(
        self,
        keys: NDArray[np.uint64],
        splits: NDArray[np.int64],
        vec64: NDArray[np.int64],
        flags: NDArray[np.int64],
    ) -> None:
        """Serve requests."""
        self._keys, limits = keys.tolist(), splits.tolist()
        ends = np.concatenate(
            [np.zeros(1, np.int64), np.cumsum(keys >> np.uint64(63), dtype=np.int64)]
        )
        bags = np.diff(ends[splits])
        parts = zip(vec64.tolist(), flags.tolist(), bags.tolist(), strict=True)
        self._requests = [Request(units, bits, count, count) for units, bits, count in parts]
        self._link.begin(self._requests, limits, self._now)
        self._walk.begin(self._requests, self._keys, limits)
        self._remote_free = self._kept = False
        while self._link.replied < len(self._requests):
            self._step()
        self._now = max(self._now, self._link.last_reply)
        self._pool.forget()
        self._room_wheel = Wheel()
        self._counts["requests"] += len(self._requests)

    def invalidate(self, number: int, rows: NDArray[np.int64]) -> None:
        """Drop the lines of rows."""
        for row in rows.tolist():
            for seg in range(len(self._tables[number].lines)):
                self._tags.execute(number << 56 | row << 8 | seg, DROP)
        self._now += self._p["update"] * len(rows)

    def configure(self, cached_ways: int, admission: bool) -> None:
        """Take what the host wrote to the register CACHE."""
        self._tags.configure(cached_ways, admission)

    def prefetch(
        self, number: int, rows: NDArray[np.int64], command: int, fill: bool
    ) -> tuple[int, int]:
        """Fetch, lock, pin or release rows, with `fill` written before; return those as asked for, and those there."""
        granted = there = 0
        end = self._now
        for row in rows.tolist():
            self._now += self._p["prefetch"] + (self._p["update"] if fill else 0)
            for seg in range(len(self._tables[number].lines) if fill else 0):
                self._tags.execute(number << 56 | row << 8 | seg, DROP)
            found = [
                self._prefetch_line(number, row, seg, command)
                for seg in range(len(self._tables[number].lines))
            ]
            wanted = KEPT if command in (FETCH, RELEASE) else HELD
            granted += all(flags & wanted for flags, _ in found)
            there += all(flags & HIT for flags, _ in found)
            end = max(end, *(come for _, come in found))
        self._now = max(self._now, end)
        self._counts["prefetches"] += not fill
        self._counts["prefetch_rows"] += granted
        return granted, there

    def _prefetch_line(self, number: int, row: int, seg: int, command: int) -> tuple[int, int]:
        """Return flags of a line, and when it has been filled."""
        table, name = self._tables[number], number << 56 | row << 8 | seg
        line_number, flags = self._tags.execute(name, command)
        self._keep(name, line_number, flags)
        if command == RELEASE:
            return flags, 0
        self._count_line(flags)
        ends = [line.offset for line in table.lines[1:]] + [table.stride]
        line = table.lines[seg]
        beats = 1 if flags & HIT else (ends[seg] - line.offset) // self._p["bus_bytes"]
        self._counts["exec_beats"] += beats
        if flags & HIT:
            return flags, 0
        addr = table.base + row * table.stride + line.offset
        filled = self._memory.fetch(table, self._now, addr, beats) + beats
        if flags & KEPT:
            stamps = self._lines[line_number]
            stamps.fills += 1
            stamps.done_fills = stamps.fills
            stamps.reads = stamps.done_reads = 0
            stamps.filled = filled
        return flags, filled

    def flush(self) -> None:
        """Drop all lines."""
        self._tags.clear()

    def record(self, most: int) -> None:
        """Keep the next decisions."""
        self._recorded, self._record_left = [], most

    def recorded(self) -> int:
        """Return how many were kept."""
        return len(self._recorded)

    def decisions(
        self, keys: NDArray[np.uint64], lines: NDArray[np.int64], flags: NDArray[np.int64]
    ) -> None:
        """Write what was kept."""
        for at, found in enumerate(self._recorded):
            keys[at], lines[at], flags[at] = found

    def counters(self) -> dict[str, int]:
        """Return the counters."""
        counts = dict(self._counts)
        used = counts["exec_beats"] + counts["exec_fetch"] + counts["exec_hazard"]
        counts["remote_answers"] = counts["remote_fetches"]
        return {"cycles": self._now, **counts, "exec_empty": self._now - used}

    # -- the loop

    def _step(self) -> None:
        now = self._now
        self._pool.wake(now)
        for slot in self._room_wheel.take(now):
            self._find_room(slot)
        following = NEVER
        if self._pool.ready and now >= self._pool.free:
            self._execute()
        if self._pool.ready:
            following = max(now + 1, self._pool.free)
        while self._ending and self._ending[0][0] <= now:
            self._taken &= ~(1 << self._ending.popleft()[1])
        taken = self._taken
        rest = 1 << self._picked if self._picked_at == now - 1 else 0
        wanted = self._busy & self._room & ~rest
        if wanted and self._popped[0] < now:
            self._pick(self._pick_order.take(wanted))
        self._find_bag()
        self._give_slots(taken)
        if self._link.replied == len(self._requests):
            return
        if self._remote_bags and (self._remote_bags[0][0] > now or self._remote_free):
            following = min(following, max(now + 1, self._remote_bags[0][0]))
        if self._walk.remote and self._walk.ready != NEVER:
            following = min(following, max(now + 1, self._walk.ready))
        if self._free_valid and self._walk.ready != NEVER:
            following = min(following, max(now + 1, self._walk.ready))
        if self._busy & self._room:
            following = min(following, max(now + 1, self._popped[0] + 1))
        if self._ending:
            following = min(following, self._ending[0][0])
        following = min(following, self._pool.next(), self._room_wheel.next())
        if following == NEVER:
            raise RuntimeError("the model waits for nothing")
        self._now = following

    def _execute(self) -> None:
        """Let the pool start an operation, which may end a bag and leave a place free."""
        number = self._pool.execute(self._now)
        if number is None:
            return
        slot, p = self._slots[number], self._p
        op = slot.ring[(slot.started - 1) % p["places"]]
        if op.last:
            done = self._pool.free + p["pool"]
            done += (p["pool_long"] if op.long_format else 0) + (p["divide"] if op.mean else 0)
            self._link.bag_done(op.request, done)
        if self._remote >> number & 1 and slot.started == slot.issued:
            self._room_wheel.put(self._now, self._pool.free + p["remote_quiet"], number)
        if not self._room >> number & 1:
            self._find_room(number)

    def _find_bag(self) -> None:
        self._link.send()
        self._walk.step()

    def _give_slots(self, taken: int) -> None:
        """Give the bags that wait their slots, and choose those of the next ones."""
        now = self._now
        waits = bool(self._remote_bags) and self._remote_bags[0][0] <= now
        had, had_remote, before = self._free_valid, self._remote_free, self._remote_slot
        due = self._walk.ready <= now
        remote = had_remote and waits and not self._kept
        self._kept = remote and had and due and not self._walk.remote
        if remote:
            self._accept_remote()
        if due and (self._walk.remote or (had and not remote)):
            self._accept()
            self._find_bag()
        choose = waits and (remote or not had_remote)
        self._remote_free = had_remote and waits
        if choose:
            free = ~taken & self._remote_slots
            if had:
                free &= ~(1 << self._free_slot)
            if had_remote:
                free &= ~(1 << before)
            self._remote_free = bool(free)
            if free:
                self._remote_slot = self._remote_order.take(free)
        if not self._free_valid:
            free = ~taken & ((1 << len(self._slots)) - 1) & ~self._tainted()
            if had:
                free &= ~(1 << self._free_slot)
            if had_remote:
                free &= ~(1 << before)
            if choose:
                free &= ~self._remote_slots
            if free:
                self._free_slot, self._free_valid = self._free_order.take(free), True

    # -- bags, keys

    def _open(self, number: int, key: int, end: int, request: int) -> None:
        slot = self._slots[number]
        slot.key, slot.end, slot.request = key, end, request
        slot.init, slot.any = self._requests[request].init, False
        slot.first, slot.first_at, slot.rows = slot.key, -1, 0
        slot.tail = self._requests[request].merges
        slot.half, slot.pair = False, 0
        slot.free = max(slot.free, self._now)
        self._busy |= 1 << number
        self._taken |= 1 << number
        self._find_room(number)

    def _tainted(self) -> int:
        for number, slot in enumerate(self._slots):
            if not self._remote >> number & 1 or self._taken >> number & 1:
                continue
            last = slot.ended[(slot.issued - 1) % self._p["places"]] if slot.issued else 0
            if slot.started == slot.issued and last + self._p["remote_quiet"] <= self._now:
                self._remote &= ~(1 << number)
        return self._remote

    def _accept_remote(self) -> None:
        _, key, end, request = self._remote_bags.popleft()
        self._remote |= 1 << self._remote_slot
        self._open(self._remote_slot, key, end, request)

    def _accept(self) -> None:
        now = self._now
        if self._walk.remote:
            ready = now + self._p["remote_queue"]
            self._remote_bags.append((ready, self._walk.key, self._walk.stop, self._walk.number))
        else:
            self._free_valid = False
            self._open(self._free_slot, self._walk.key, self._walk.stop, self._walk.number)
        self._walk.accept(now)

    def _find_room(self, number: int) -> None:
        slot, bit, places = self._slots[number], 1 << number, self._p["places"]
        self._room &= ~bit
        if not self._busy & bit:
            return
        product = self._requests[slot.request].product
        if slot.first_at >= 0 and slot.end - slot.key <= 1 and not product:
            known = slot.first_at + self._p["known"]
            if self._now < known:
                self._room_wheel.put(self._now, known, number)
                return
        lines = len(self._tables[self._keys[slot.end - 1] >> 48 & 0x7FFF].lines)
        if slot.issued + lines <= places:
            self._room |= bit
            return
        needed = slot.issued + lines - places - 1
        if needed >= slot.started:
            return
        when = slot.ended[needed % places] + self._p["credit"]
        if when <= self._now:
            self._room |= bit
        else:
            self._room_wheel.put(self._now, when, number)

    def _pick(self, number: int) -> None:
        p, slot, counts, now = self._p, self._slots[number], self._counts, self._now
        key = self._keys[min(slot.key, slot.end - 1)]
        table_number, row_number = key >> 48 & 0x7FFF, key & NULL_ROW
        table = self._tables[table_number]
        request = self._requests[slot.request]
        init, last, row, sums = slot.init, False, False, table.tree
        if slot.first_at < 0:
            slot.first_at = now
        combine, partial, waits, makes = False, False, slot.any, False
        times = unpooled = False  # a row that is multiplied; one that is kept
        if init:
            slot.init = False
        elif request.product:
            pair, brief = slot.pair, not (request.weighted or table.long_format)
            ends = pair == (1 if brief else 3)
            null = row_number == NULL_ROW
            padding = not null and row_number == table.padding
            there = not null and not padding and row_number < table.rows and (not pair or slot.half)
            slot.half, slot.pair = there, 0 if ends else pair + 1
            slot.key += not pair or ends
            last = slot.key == slot.end and ends
            if pair < 2:
                counts["keys"] += 1
                counts["keys_null"] += null or (pair == 1 and not padding and not there)
                counts["keys_padding"] += padding
            row, combine = there and pair < 2, there and pair >= 2
            times, unpooled = row and ends, row and not ends
            waits = pair >= 2 or ends
            slot.any = slot.any or (there and ends)
        elif slot.key < slot.end:
            slot.key += 1
            if slot.key == slot.end and sums and slot.end - slot.first > 1:
                slot.tail = sums - 1
            last = slot.key == slot.end and not slot.tail
            null = row_number == NULL_ROW
            padding = not null and row_number == table.padding
            counts["keys"] += 1
            counts["keys_null"] += null
            counts["keys_padding"] += padding
            row = not null and not padding and row_number < table.rows
            if row and sums:
                waits = slot.rows >= sums and slot.rows % sums == 0
            slot.rows += row
        else:
            source, held = slot.tail, min(slot.rows, sums)
            slot.tail -= 1
            last = not slot.tail
            partial = not sums
            combine = not partial and source < held
            if combine:
                waits = source & (source + 1) == 0 or source == held - 1
        makes = init or row or combine or partial or last
        out = max(now + p["issue"], self._last_out)
        long_format = times or (table.combine_long if combine else row and table.long_format)
        if makes:
            all_hit = True
            for seg, line in enumerate(table.lines):
                out = max(out, self._last_out + 1)
                self._last_out = out
                op = Operation(
                    ready=out + p["tag"],
                    beats=2 * line.beats if combine or times else line.beats,
                    request=slot.request,
                    row=row,
                    waits=waits,
                    long_format=long_format,
                    keeps_long=long_format or unpooled,
                    first_line=seg == 0,
                    last=last and seg + 1 == len(table.lines),
                    mean=table.mean and not request.partial,
                    spread=sum(each.beats for each in table.lines) if combine or times else 0,
                )
                if row:
                    all_hit &= self._look_up(op, table, table_number, row_number, seg, out)
                self._push(number, op)
            if row:
                counts["row_hits" if all_hit else "row_misses"] += 1
        slot.any = slot.any or init or (row and not request.product) or partial
        self._popped.popleft()
        self._popped.append(out if makes else now + p["issue"])
        self._picked, self._picked_at = number, now
        if last:
            counts["bags"] += 1
            self._ending.append((now + 2, number))
            self._busy &= ~(1 << number)
            self._room &= ~(1 << number)
        else:
            self._find_room(number)

    def _look_up(
        self, op: Operation, table: Table, number: int, row: int, seg: int, out: int
    ) -> bool:
        counts, name = self._counts, number << 56 | row << 8 | seg
        line_number, flags = self._tags.execute(name, LOOK)
        self._keep(name, line_number, flags)
        hit = bool(flags & HIT)
        stamps = self._lines[line_number]
        op.line, op.miss, op.fill = line_number, not hit, not hit and bool(flags & KEPT)
        op.fills, op.reads = stamps.fills, stamps.reads
        self._count_line(flags)
        counts["line_hits" if hit else "line_misses"] += 1
        if hit:
            counts["pinned_hits"] += bool(flags & PINNED)
            counts["joins"] += stamps.done_fills != stamps.fills or stamps.filled > out
            stamps.reads += 1
            return True
        if op.fill:
            stamps.fills += 1
            stamps.reads = 0
        line = table.lines[seg]
        addr = table.base + row * table.stride + line.offset
        op.ready = self._memory.fetch(table, out, addr, line.fetch_beats)
        return False

    def _keep(self, name: int, line: int, flags: int) -> None:
        if self._record_left > 0:
            self._recorded.append((name, line, flags))
            self._record_left -= 1

    def _count_line(self, flags: int) -> None:
        self._counts["evictions"] += bool(flags & EVICT)
        self._counts["no_free_way"] += bool(flags & NO_WAY)
        self._counts["not_admitted"] += bool(flags & REFUSED)

    def _push(self, number: int, op: Operation) -> None:
        slot = self._slots[number]
        slot.ring[slot.issued % self._p["places"]] = op
        slot.issued += 1
        if slot.issued == slot.started + 1:
            self._pool.head(number, self._now)
