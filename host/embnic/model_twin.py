# SPDX-License-Identifier: Apache-2.0
"""The Python twin of host/native/model_*.cpp: the same classes, steps and integers, much slower.

`embnic.model` uses it where the extension was not built. The names of parameters are said there.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CardModel", "FbgemmCache", "LruCache", "Sketch", "TagCache"]

NEVER = 1 << 62
LINEAR = (1 << 37) - 1  # of an address: the byte of card memory
PAGE = 4096  # a page has one channel
NULL_ROW = (1 << 48) - 1
MASK64 = (1 << 64) - 1


DROP, LOOK, RELEASE, FETCH, LOCK, PIN = range(6)  # commands to the tag stage
ALLOCATES, HIT, EVICT, KEPT, NO_WAY, REFUSED, PINNED, HELD = (1 << bit for bit in range(8))


class Sketch:
    """Estimate as `embnic_cache_sketch` how often a key was looked up lately."""

    def __init__(self, words: int) -> None:
        self._words, self._width = words, words.bit_length() - 1
        self._counts = [[0] * 8 for _ in range(self._words)]
        self._touched = [0] * self._words
        self._epoch = self._ticks = 0

    def look(self, key: int, count: bool) -> int:
        """Estimate, after counting the lookup if `count`."""
        at = _fold(key, self._width)
        low, high = _fold(key, self._width + 1) & 3, 4 + (_fold(key, self._width + 2) & 3)
        age = (self._epoch - self._touched[at]) & 3
        counts = [value >> age for value in self._counts[at]]
        if count:
            for lane in (low, high):
                counts[lane] = min(counts[lane] + 1, 15)
            self._counts[at], self._touched[at] = counts, self._epoch
            self._ticks += 1
            if self._ticks == 8 * self._words:
                self._ticks, self._epoch = 0, (self._epoch + 1) & 3
        return min(counts[low], counts[high])


def _fold(key: int, width: int) -> int:
    folded = 0
    while key:
        folded ^= key & ((1 << width) - 1)
        key >>= width
    return folded


@dataclass
class _Set:
    """The ways of one set; `keys` of those that are neither valid nor pinned mean nothing."""

    keys: list[int]
    valid: list[bool]
    pinned: list[bool]
    locked: list[bool]
    frequency: list[int]
    tree: int = 0

    @property
    def held(self) -> list[bool]:
        return [pin or lock for pin, lock in zip(self.pinned, self.locked, strict=True)]

    @property
    def used(self) -> list[bool]:
        return [valid or pin for valid, pin in zip(self.valid, self.pinned, strict=True)]


class TagCache:
    """Decide as `embnic_cache_tags`: XOR-fold set; lowest unused way, else tree PLRU over the ways not held."""

    def __init__(self, ways: int, sets: int) -> None:
        self._ways, self._sets, self._width = ways, sets, sets.bit_length() - 1
        self._cached_ways, self._admission = 1, False
        self._sketch = Sketch(ways * sets)
        self.clear()

    def configure(self, cached_ways: int, admission: bool) -> None:
        """Say how many ways of each set holds must leave, and whether the filter is asked."""
        self._cached_ways, self._admission = cached_ways, admission

    def clear(self) -> None:
        """Drop everything; what was counted stays."""
        ways = self._ways
        self._held_sets = [
            _Set([-1] * ways, [False] * ways, [False] * ways, [False] * ways, [0] * ways)
            for _ in range(self._sets)
        ]

    def _victim(self, tree: int, held: list[bool]) -> int:
        node, way, half = 0, 0, self._ways // 2
        while half:
            left, right = not all(held[way:][:half]), not all(held[way + half :][:half])
            side = int(right and (bool(tree >> node & 1) or not left))
            way, node, half = way + half * side, 2 * node + 1 + side, half // 2
        return way

    def _touched(self, tree: int, way: int) -> int:
        node, half = 0, self._ways // 2
        while half:
            right = int(bool(way & half))
            tree = tree & ~(1 << node) | (1 - right) << node
            node, half = 2 * node + 1 + right, half // 2
        return tree

    def execute(self, key: int, command: int) -> tuple[int, int]:
        """Return line (-1: none to be read) and flags of a command."""
        index = _fold(key, self._width)
        found = self._held_sets[index]
        held, used = found.held, found.used
        mine = [w for w in range(self._ways) if used[w] and found.keys[w] == key]
        hit = bool(mine) and found.valid[mine[0]]
        flags = HIT * hit | PINNED * (hit and found.pinned[mine[0]])
        if command in (DROP, RELEASE):
            return -1, flags | KEPT * self._let_go(found, mine, command)
        flags |= ALLOCATES
        estimate = self._sketch.look(key, command == LOOK) if self._admission else 0
        if mine:
            way = mine[0]
        elif all(held):
            return -1, flags | NO_WAY
        elif not all(used):
            way = used.index(False)
        else:
            way = self._victim(found.tree, held)
            if self._admission and command == LOOK and estimate <= found.frequency[way]:
                found.frequency[way] = max(found.frequency[way] - 1, 0)
                return -1, flags | REFUSED
            flags |= EVICT
        found.keys[way], found.valid[way], found.frequency[way] = key, True, estimate
        found.tree = self._touched(found.tree, way)
        flags |= KEPT | HELD * self._hold(found, way, held, command)
        return index * self._ways + way, flags

    def _let_go(self, found: _Set, mine: list[int], command: int) -> bool:
        """Drop or release a line; return whether a release found it held."""
        held = bool(mine) and found.held[mine[0]]
        for way in mine:
            found.locked[way] = False
            if command == DROP:
                found.valid[way] = False
            else:
                found.pinned[way] = False
        return held and command == RELEASE

    def _hold(self, found: _Set, way: int, held: list[bool], command: int) -> bool:
        """End the lock of a line that is looked up, or hold one; return whether it was granted."""
        if command == LOOK:
            found.locked[way] = False
        if command not in (LOCK, PIN):
            return False
        if not held[way] and held.count(False) <= self._cached_ways:
            return False
        (found.pinned if command == PIN else found.locked)[way] = True
        return True

    def feed(self, keys: NDArray[np.uint64]) -> tuple[int, int]:
        """Return hits and evictions of lookups in order."""
        flags = [self.execute(key, LOOK)[1] for key in keys.tolist()]
        return sum(bool(bits & HIT) for bits in flags), sum(bool(bits & EVICT) for bits in flags)

    def decide(
        self,
        keys: NDArray[np.uint64],
        commands: NDArray[np.int64],
        lines: NDArray[np.int64],
        flags: NDArray[np.int64],
    ) -> None:
        """Write line and flags of each command."""
        for at, (key, command) in enumerate(zip(keys.tolist(), commands.tolist(), strict=True)):
            lines[at], flags[at] = self.execute(key, command)


class LruCache:
    """Fully associative, least recently used."""

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._held: OrderedDict[int, None] = OrderedDict()

    def clear(self) -> None:
        """Drop everything."""
        self._held.clear()

    def feed(self, keys: NDArray[np.uint64]) -> tuple[int, int]:
        """Return hits and evictions of lookups in order."""
        hits = evictions = 0
        for key in keys.tolist():
            if key in self._held:
                self._held.move_to_end(key)
                hits += 1
                continue
            if len(self._held) == self._lines:
                self._held.popitem(last=False)
                evictions += 1
            self._held[key] = None
        return hits, evictions


class FbgemmCache:
    """FBGEMM's UVM cache: see model_caches.cpp."""

    def __init__(self, ways: int, sets: int) -> None:
        self._ways, self._sets = ways, sets
        self.clear()

    def clear(self) -> None:
        """Drop everything and count from zero."""
        self._keys = [[-1] * self._ways for _ in range(self._sets)]
        self._times = [[0] * self._ways for _ in range(self._sets)]
        self._counts = [0] * 6

    def _set(self, key: int) -> int:
        key ^= key >> 33
        key = key * 0xFF51AFD7ED558CCD & MASK64
        key ^= key >> 33
        key = key * 0xC4CEB9FE1A85EC53 & MASK64
        return (key ^ key >> 33) % self._sets

    def call(self, keys: NDArray[np.uint64]) -> tuple[int, ...]:
        """Look up a batch; return the six counters."""
        counts = self._counts
        counts[0] += 1
        now = counts[0]
        requested = keys.tolist()
        unique = sorted(set(requested))
        misses = []
        for key in unique:
            index = self._set(key)
            if key in self._keys[index]:
                self._times[index][self._keys[index].index(key)] = now
            else:
                misses.append(key)
        for key in misses:
            index = self._set(key)
            oldest = min(self._times[index])
            if oldest == now:
                counts[4] += 1
                continue
            way = self._times[index].index(oldest)
            self._keys[index][way], self._times[index][way] = key, now
        counts[1] += len(requested)
        counts[2] += len(unique)
        counts[3] += len(misses)
        counts[5] += sum(key not in self._keys[self._set(key)] for key in requested)
        return tuple(counts)


class _RoundRobin:
    """The lowest set bit above the last one taken, else the lowest."""

    def __init__(self) -> None:
        self._last = -1

    def take(self, requests: int) -> int:
        high = requests >> (self._last + 1) << (self._last + 1)
        chosen = high or requests
        self._last = (chosen & -chosen).bit_length() - 1
        return self._last


class _Wheel:
    """Slots to be looked at in a later cycle."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []

    def put(self, now: int, when: int, slot: int) -> None:
        heapq.heappush(self._heap, (max(now + 1, when), slot))

    def take(self, now: int) -> Iterator[int]:
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[1]

    def next(self) -> int:
        return self._heap[0][0] if self._heap else NEVER


class _Line(NamedTuple):
    fetch_beats: int
    beats: int
    beat_base: int
    offset: int


@dataclass
class _Table:
    lines: list[_Line]
    base: int
    stride: int
    rows: int
    padding: int
    long_format: bool
    mean: bool
    tree: int  # running sums; 0: no tree
    combine_long: bool
    remote: bool  # its rows are another card's


@dataclass
class _Operation:
    ready: int
    beats: int
    request: int
    row: bool
    waits: bool
    long_format: bool
    first_line: bool
    last: bool
    mean: bool
    keeps_long: bool  # what follows in its slot keeps the long distance
    spread: int = 0  # of a combine or product, whose beats take two cycles: the vector's beats
    line: int = 0
    fills: int = 0
    reads: int = 0
    miss: bool = False
    fill: bool = False

    @property
    def has_line(self) -> bool:
        """Say whether it reads or fills a line: a miss that does not fill has none."""
        return not self.miss or self.fill


@dataclass
class _Stamps:
    fills: int = 0
    reads: int = 0
    done_fills: int = 0
    done_reads: int = 0
    filled: int = 0


@dataclass
class _Request:
    vec64: int
    flags: int
    bags: int
    bags_left: int
    done: int = 0
    walked: bool = False

    @property
    def weighted(self) -> bool:
        return bool(self.flags & 1)

    @property
    def init(self) -> bool:
        return bool(self.flags & 2)

    @property
    def partial(self) -> bool:
        return bool(self.flags & 4)

    @property
    def after(self) -> bool:
        return bool(self.flags & 8)

    @property
    def product(self) -> bool:
        return bool(self.flags & 16)

    @property
    def merges(self) -> int:
        return self.flags >> 8


@dataclass
class _Slot:
    ring: dict[int, _Operation] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)
    issued: int = 0
    started: int = 0
    free: int = 0
    row_start: int = 0
    row_long: bool = False
    key: int = 0
    end: int = 0
    request: int = 0
    init: bool = False
    any: bool = False
    first: int = 0
    first_at: int = -1
    tail: int = 0
    rows: int = 0
    half: bool = False  # of a pair: its first row was read
    pair: int = 0  # of a product: 0 first row, 1 second, 2 multiply, 3 add


COUNTS = (
    *("requests", "bags", "keys", "keys_null", "keys_padding", "row_hits", "row_misses"),
    *("line_hits", "line_misses", "evictions", "fetch_beats", "exec_beats", "exec_fetch"),
    *("exec_hazard", "tx_frames", "tx_bytes", "replies", "partials"),
    *("pinned_hits", "joins", "fetches", "no_free_way", "not_admitted"),
    *("prefetches", "prefetch_rows", "remote_fetches", "remote_beats"),
)
NOTHING, MEMORY, ACCUMULATOR = range(3)


class CardModel:
    """The card: see model_card.cpp, step by step."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._p = dict(parameters)
        p = self._p
        self._tags = TagCache(p["ways"], p["sets"])
        self._tables: dict[int, _Table] = {}
        self._slots = [_Slot() for _ in range(p["slots"])]
        self._lines = [_Stamps() for _ in range(p["ways"] * p["sets"])]
        self._popped = deque([-1] * p["key_queue"])
        self._fetched = deque([-1] * p["fetches"])
        self._remote_bags: deque[tuple[int, int, int, int]] = deque()  # ready, key, end, request
        self._remote_slots = (1 << p["remote_slots"]) - 1
        self._remote = self._remote_slot = 0
        self._remote_free = self._kept = self._walk_remote = False
        self._remote_order = _RoundRobin()
        self._remote_fetched = deque([-1] * p["remote_fetches"])
        self._remote_asked = self._remote_delivered = -1
        self._bank_ready = [0] * p["banks"] * p["channels"]
        self._open_row = [-1] * p["banks"] * p["channels"]
        self._asked, self._bus_free = -1, [0] * p["channels"]
        self._delivered = -1
        self._now = 0
        self._rx_next = self._tx_next = 0.0
        self._arrived, self._tx_free, self._last_reply = -1, 0, 0
        self._walk_at = self._walk_end = self._accept_before = 0
        self._busy = self._taken = self._room = self._ready = self._sleeping = 0
        self._ending: deque[tuple[int, int]] = deque()
        self._free_slot, self._free_valid = 0, False
        self._picked, self._picked_at, self._last_out, self._exec_free = 0, -2, -1, 0
        self._free_order, self._pick_order, self._exec_order = (_RoundRobin() for _ in range(3))
        self._wheel, self._room_wheel = _Wheel(), _Wheel()
        self._due, self._why = [0] * 64, [NOTHING] * 64
        self._recorded: list[tuple[int, int, int]] = []
        self._record_left = 0
        self._counts = dict.fromkeys(COUNTS, 0)

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
        cut = [_Line(*line) for line in lines.tolist()]
        base, stride, rows, padding, tree, combine_long, remote = where.tolist()
        if remote and not self._p["remote_fetches"]:
            raise ValueError("the card has no remote tables")
        self._tables[number] = _Table(
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
        self._keys, self._splits = keys.tolist(), splits.tolist()
        ends = np.concatenate(
            [np.zeros(1, np.int64), np.cumsum(keys >> np.uint64(63), dtype=np.int64)]
        )
        bags = np.diff(ends[splits])
        parts = zip(vec64.tolist(), flags.tolist(), bags.tolist(), strict=True)
        self._requests = [_Request(units, bits, count, count) for units, bits, count in parts]
        self._rx_next = max(self._rx_next, float(self._now))
        self._sent = self._walked = self._replied = self._freed = 0
        self._space_used = self._start_floor = 0
        self._bytes_from = self._bytes_flying = 0
        self._replied_at = [NEVER] * len(self._requests)
        self._accepted_at = [0] * len(self._requests)
        self._walk_key = self._walk_stop = 0
        self._walk_ready, self._walk_last = NEVER, False
        self._remote_free = self._kept = False
        while self._replied < len(self._requests):
            self._step()
        self._now = max(self._now, self._last_reply)
        self._wheel, self._room_wheel = _Wheel(), _Wheel()
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
        filled = self._fetch(table, self._now, addr, beats) + beats
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
        for slot in self._wheel.take(now):
            self._schedule(slot, self._due[slot])
        for slot in self._room_wheel.take(now):
            self._find_room(slot)
        following = NEVER
        if self._ready and now >= self._exec_free:
            self._execute()
        if self._ready:
            following = max(now + 1, self._exec_free)
        while self._ending and self._ending[0][0] <= now:
            self._taken &= ~(1 << self._ending.popleft()[1])
        taken = self._taken
        rest = 1 << self._picked if self._picked_at == now - 1 else 0
        wanted = self._busy & self._room & ~rest
        if wanted and self._popped[0] < now:
            self._pick(self._pick_order.take(wanted))
        self._walk()
        self._give_slots(taken)
        if self._replied == len(self._requests):
            return
        if self._remote_bags and (self._remote_bags[0][0] > now or self._remote_free):
            following = min(following, max(now + 1, self._remote_bags[0][0]))
        if self._walk_remote and self._walk_ready != NEVER:
            following = min(following, max(now + 1, self._walk_ready))
        if self._free_valid and self._walk_ready != NEVER:
            following = min(following, max(now + 1, self._walk_ready))
        if self._busy & self._room:
            following = min(following, max(now + 1, self._popped[0] + 1))
        if self._ending:
            following = min(following, self._ending[0][0])
        following = min(following, self._wheel.next(), self._room_wheel.next())
        if following == NEVER:
            raise RuntimeError("the model waits for nothing")
        self._now = following

    def _give_slots(self, taken: int) -> None:
        """Give the bags that wait their slots, and choose those of the next ones."""
        now = self._now
        waits = bool(self._remote_bags) and self._remote_bags[0][0] <= now
        had, had_remote, before = self._free_valid, self._remote_free, self._remote_slot
        due = self._walk_ready <= now
        remote = had_remote and waits and not self._kept
        self._kept = remote and had and due and not self._walk_remote
        if remote:
            self._accept_remote()
        if due and (self._walk_remote or (had and not remote)):
            self._accept()
            self._walk()
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

    # -- requests in

    def _walk(self) -> None:
        p = self._p
        while self._sent < len(self._requests) and self._may_send(self._sent):
            self._send(self._sent)
        if self._walk_ready != NEVER or self._walked >= self._sent:
            return
        request = self._requests[self._walked]
        first = self._splits[self._walked]
        if self._walk_key == first and not request.walked and not self._begin(request):
            return
        stop = self._walk_key
        while not self._keys[stop] >> 63:
            stop += 1
        stop += 1
        width, words = 1 + request.weighted, p["bus_bytes"] // 8
        begin, end = (self._walk_key - first) * width, (stop - first) * width
        touched = (end - 1) // words - begin // words + 1
        self._walk_at = max(self._walk_at + touched, self._accept_before)
        self._walk_ready, self._walk_stop = self._walk_at, stop
        self._walk_remote = self._tables[self._keys[stop - 1] >> 48 & 0x7FFF].remote
        self._walk_last = stop == self._splits[self._walked + 1]

    def _begin(self, request: _Request) -> bool:
        """Begin the walk over a request if it finds a context and room for its reply."""
        p, number = self._p, self._walked
        start = max(self._accepted_at[number] + p["decode"], self._walk_end + p["request_gap"])
        space = request.bags * request.vec64
        while self._space_used + space > p["reply_units_space"]:
            if self._freed >= self._replied:
                return False
            done = self._requests[self._freed]
            self._space_used -= done.bags * done.vec64
            self._start_floor = max(self._start_floor, self._replied_at[self._freed])
            self._freed += 1
        if number >= p["contexts"]:
            if number - p["contexts"] >= self._replied:
                return False
            start = max(start, self._replied_at[number - p["contexts"]])
        self._space_used += space
        self._walk_at = max(start, self._start_floor) - 1
        request.walked = True
        units = request.vec64 * (request.init + request.merges)
        vectors = request.init + request.merges
        self._walk_at += units * 64 // p["bus_bytes"] + vectors + (p["copy"] if vectors else 0)
        return True

    def _may_send(self, number: int) -> bool:
        p = self._p
        if number >= p["window"] and number - p["window"] >= self._replied:
            return False
        if self._requests[number].after and number > 0 and number - 1 >= self._replied:
            return False
        while (
            self._bytes_flying > 0
            and self._bytes_flying + self._payload(number) > p["window_bytes"]
        ):
            if self._bytes_from >= self._replied:
                return False
            self._bytes_flying -= self._payload(self._bytes_from)
            self._bytes_from += 1
        return True

    def _payload(self, number: int) -> int:
        request = self._requests[number]
        entries: int = self._splits[number + 1] - self._splits[number]
        held = (request.vec64 + 1) * 64 * (request.init + request.merges)
        return entries * (16 if request.weighted else 8) + held

    def _send(self, number: int) -> None:
        p = self._p
        nbytes = self._payload(number) + p["frame_overhead"]
        start = max(self._rx_next, float(self._arrived + 1))
        answered = []
        if number >= p["window"]:
            answered.append(number - p["window"])
        if self._requests[number].after and number > 0:
            answered.append(number - 1)
        if self._bytes_from > 0:
            answered.append(self._bytes_from - 1)
        for before in answered:
            start = max(start, float(self._replied_at[before] + p["host"]))
        bus = p["bus_bytes"]
        self._arrived = int(start) + (nbytes + bus - 1) // bus - 1
        self._rx_next = start + float(nbytes + p["wire_overhead"]) / p["line_bytes_per_cycle"]
        self._accepted_at[number] = self._arrived
        self._bytes_flying += self._payload(number)
        self._sent += 1

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
        if self._walk_remote:
            ready = now + self._p["remote_queue"]
            self._remote_bags.append((ready, self._walk_key, self._walk_stop, self._walked))
        else:
            self._free_valid = False
            self._open(self._free_slot, self._walk_key, self._walk_stop, self._walked)
        self._accept_before = now + 1
        self._walk_ready = NEVER
        self._walk_key = self._walk_stop
        if self._walk_last:
            self._walked += 1
            self._walk_end = now

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
                op = _Operation(
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
        self, op: _Operation, table: _Table, number: int, row: int, seg: int, out: int
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
        op.ready = self._fetch(table, out, addr, line.fetch_beats)
        return False

    def _keep(self, name: int, line: int, flags: int) -> None:
        if self._record_left > 0:
            self._recorded.append((name, line, flags))
            self._record_left -= 1

    def _count_line(self, flags: int) -> None:
        self._counts["evictions"] += bool(flags & EVICT)
        self._counts["no_free_way"] += bool(flags & NO_WAY)
        self._counts["not_admitted"] += bool(flags & REFUSED)

    def _push(self, number: int, op: _Operation) -> None:
        slot = self._slots[number]
        slot.ring[slot.issued % self._p["places"]] = op
        slot.issued += 1
        if slot.issued == slot.started + 1:
            self._head(number)

    # -- memory

    def _fetch(self, table: _Table, out: int, addr: int, beats: int) -> int:
        p = self._p
        self._counts["fetches"] += 1
        if table.remote:
            return self._fetch_remote(out, beats)
        self._counts["fetch_beats"] += beats
        asked = max(out + p["fetch"], self._asked + 1, self._fetched.popleft() + 1)
        last = 0
        arrival: int = p["arrival"]
        while beats > 0:
            page = (4096 - addr % 4096) // p["bus_bytes"]
            part = min(beats, p["max_burst"], page)
            last = self._deliver(asked, addr, part)
            self._asked = asked
            asked += 1
            addr += part * p["bus_bytes"]
            beats -= part
        self._fetched.append(last)
        return last + arrival

    def _fetch_remote(self, out: int, beats: int) -> int:
        p, arrival = self._p, int(self._p["arrival"])
        self._counts["remote_fetches"] += 1
        self._counts["remote_beats"] += beats
        room = self._remote_fetched.popleft() + 1
        self._remote_asked = max(out + p["fetch"], self._remote_asked + 1, room)
        begin = max(self._remote_asked + p["remote"], self._remote_delivered + 1)
        self._remote_delivered = begin + beats - 1
        self._remote_fetched.append(self._remote_delivered)
        return self._remote_delivered + arrival

    def _deliver(self, asked: int, addr: int, beats: int) -> int:
        p = self._p
        page = (addr & LINEAR) // PAGE
        channel = page % p["channels"]
        stripe = (page // p["channels"] * PAGE + addr % PAGE) // p["row_bytes"]
        row, bank = divmod(stripe, p["banks"])
        bank += channel * p["banks"]
        issue = max(asked, self._bank_ready[bank])
        if p["refresh_period"] > 0 and (phase := issue % p["refresh_period"]) < p["refresh_cycles"]:
            issue += p["refresh_cycles"] - phase
        hit = self._open_row[bank] == row
        self._open_row[bank] = row
        self._bank_ready[bank] = issue + (1 if hit else p["bank_busy"])
        found = issue + (p["hit_latency"] if hit else p["miss_latency"])
        width = p["bytes_per_cycle"]
        self._bus_free[channel] = (
            max(found, self._bus_free[channel]) + (beats * p["bus_bytes"] + width - 1) // width
        )
        first: int = max(
            self._bus_free[channel] + p["jitter_mean"] + p["base_latency"], self._delivered + 1
        )
        last = first + beats - 1
        self._delivered = last
        return last

    # -- the pool's turn

    def _head(self, number: int) -> None:
        p, slot = self._p, self._slots[number]
        op = slot.ring[slot.started % p["places"]]
        when = max(op.ready, slot.free)
        self._why[number] = MEMORY if op.miss else NOTHING
        if op.waits and op.first_line:
            near = slot.row_start + (p["loop_long"] if slot.row_long else p["loop"])
            if near > when:
                when, self._why[number] = near, ACCUMULATOR
        self._schedule(number, when)

    def _schedule(self, number: int, when: int) -> None:
        self._due[number] = when
        if when <= self._now:
            self._ready |= 1 << number
        else:
            self._wheel.put(self._now, when, number)

    def _execute(self) -> None:
        while self._ready:
            number = self._exec_order.take(self._ready)
            self._ready &= ~(1 << number)
            slot = self._slots[number]
            op = slot.ring[slot.started % self._p["places"]]
            if not op.row or not op.has_line or self._line_is_ready(number, op):
                self._start(number, slot, op)
                return

    def _line_is_ready(self, number: int, op: _Operation) -> bool:
        stamps = self._lines[op.line]
        if stamps.done_fills != op.fills or (op.fill and stamps.done_reads != op.reads):
            self._why[number] = MEMORY
            self._sleeping |= 1 << number
            return False
        if stamps.filled > self._now:
            self._why[number] = MEMORY
            self._schedule(number, stamps.filled)
            return False
        return True

    def _start(self, number: int, slot: _Slot, op: _Operation) -> None:
        p, now, counts = self._p, self._now, self._counts
        gap = now - self._exec_free
        if gap > 0 and self._why[number] != NOTHING:
            counts["exec_fetch" if self._why[number] == MEMORY else "exec_hazard"] += gap
        counts["exec_beats"] += op.beats
        self._exec_free = now + op.beats
        slot.ended[slot.started % p["places"]] = self._exec_free
        slot.started += 1
        slot.free = max(self._exec_free, now + p["alone"])
        if op.first_line:
            slot.row_start, slot.row_long = now + op.spread, op.keeps_long
        if op.row and op.has_line:
            self._read_or_fill(op)
        if op.last:
            self._bag_done(op)
        if self._remote >> number & 1 and slot.started == slot.issued:
            self._room_wheel.put(now, self._exec_free + p["remote_quiet"], number)
        if slot.started < slot.issued:
            self._head(number)
        if not self._room >> number & 1:
            self._find_room(number)

    def _read_or_fill(self, op: _Operation) -> None:
        stamps = self._lines[op.line]
        if op.fill:
            stamps.done_fills += 1
            stamps.done_reads = 0
            stamps.filled = self._exec_free + self._p["filled"]
        else:
            stamps.done_reads += 1
        for other, waiting in enumerate(self._slots):
            if not self._sleeping >> other & 1:
                continue
            if waiting.ring[waiting.started % self._p["places"]].line == op.line:
                self._sleeping &= ~(1 << other)
                self._schedule(other, max(self._now + 1, stamps.filled))

    # -- replies

    def _bag_done(self, op: _Operation) -> None:
        p, request = self._p, self._requests[op.request]
        done = self._exec_free + p["pool"]
        done += (p["pool_long"] if op.long_format else 0) + (p["divide"] if op.mean else 0)
        request.done = max(request.done, done)
        request.bags_left -= 1
        while self._replied < len(self._requests) and not self._requests[self._replied].bags_left:
            self._reply(self._replied)
            self._replied += 1

    def _reply(self, number: int) -> None:
        p, request = self._p, self._requests[number]
        begin = max(request.done + p["reply"], self._tx_free)
        for units in _frames(request, p["reply_units"]):
            nbytes = p["frame_overhead"] + units * 64
            start = max(self._tx_next, float(begin))
            begin = int(start) + (nbytes + p["bus_bytes"] - 1) // p["bus_bytes"] + p["frame_gap"]
            self._tx_next = start + float(nbytes + p["wire_overhead"]) / p["line_bytes_per_cycle"]
            self._counts["tx_frames"] += 1
            self._counts["tx_bytes"] += nbytes
        self._counts["partials" if request.partial else "replies"] += 1
        self._tx_free = begin
        self._replied_at[number] = self._last_reply = begin - p["frame_gap"]


def _frames(request: _Request, most: int) -> Iterator[int]:
    """Yield the 64-byte units of each frame of a reply."""
    each = most // request.vec64
    if request.partial or each == 0:
        total = (request.bags * request.vec64 + request.partial) // request.bags
        for _ in range(request.bags):
            yield from (min(left, most) for left in range(total, 0, -most))
    else:
        yield from (min(left, each) * request.vec64 for left in range(request.bags, 0, -each))
