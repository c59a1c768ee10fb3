# SPDX-License-Identifier: Apache-2.0
"""What the card of the Python twin is made of: tables, requests, slots and their operations, arbiters and wheels.

The structures of host/native/model_card.hpp, for `model_card` and the parts that it steps. Times are cycles.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = [
    "COUNTS",
    "NEVER",
    "Line",
    "Operation",
    "Request",
    "RoundRobin",
    "Slot",
    "Stamps",
    "Table",
    "Wheel",
]

NEVER = 1 << 62
COUNTS = (
    *("requests", "bags", "keys", "keys_null", "keys_padding", "row_hits", "row_misses"),
    *("line_hits", "line_misses", "evictions", "fetch_beats", "exec_beats", "exec_fetch"),
    *("exec_hazard", "tx_frames", "tx_bytes", "replies", "partials"),
    *("pinned_hits", "joins", "fetches", "no_free_way", "not_admitted"),
    *("prefetches", "prefetch_rows", "remote_fetches", "remote_beats"),
)


class RoundRobin:
    """The lowest set bit above the last one taken, else the lowest."""

    def __init__(self) -> None:
        self._last = -1

    def take(self, requests: int) -> int:
        """Take one of the bits."""
        high = requests >> (self._last + 1) << (self._last + 1)
        chosen = high or requests
        self._last = (chosen & -chosen).bit_length() - 1
        return self._last


class Wheel:
    """Slots to be looked at in a later cycle."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []

    def put(self, now: int, when: int, slot: int) -> None:
        """Look at a slot when it is due, not before the next cycle."""
        heapq.heappush(self._heap, (max(now + 1, when), slot))

    def take(self, now: int) -> Iterator[int]:
        """Yield the slots that are due."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[1]

    def next(self) -> int:
        """Return when the next slot is due."""
        return self._heap[0][0] if self._heap else NEVER


class Line(NamedTuple):
    """A line of a row: its beats in memory and in the pool, where they begin, and its first byte."""

    fetch_beats: int
    beats: int
    beat_base: int
    offset: int


@dataclass
class Table:
    """A table as its descriptor places it; see `embnic.model` for the numbers."""

    lines: list[Line]
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
class Operation:
    """What the pool does at a time: a line of a row, or a step of a bag that reads none."""

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
class Stamps:
    """Fills and reads of a cache line: those asked for, those done, and when it was filled last."""

    fills: int = 0
    reads: int = 0
    done_fills: int = 0
    done_reads: int = 0
    filled: int = 0


@dataclass
class Request:
    """A request: the 64-byte units of its vectors, its flags, its bags, and when the last was done."""

    vec64: int
    flags: int
    bags: int
    bags_left: int
    done: int = 0
    walked: bool = False

    @property
    def weighted(self) -> bool:
        """Say whether each key has a weight."""
        return bool(self.flags & 1)

    @property
    def init(self) -> bool:
        """Say whether it begins with an accumulator."""
        return bool(self.flags & 2)

    @property
    def partial(self) -> bool:
        """Say whether it is answered with an accumulator."""
        return bool(self.flags & 4)

    @property
    def after(self) -> bool:
        """Say whether it is sent when the request before it was answered."""
        return bool(self.flags & 8)

    @property
    def product(self) -> bool:
        """Say whether it holds pairs."""
        return bool(self.flags & 16)

    @property
    def merges(self) -> int:
        """Return the partials to merge."""
        return self.flags >> 8


@dataclass
class Slot:
    """An open bag: its operations (`ring`), when each has `ended`, and where its keys are."""

    ring: dict[int, Operation] = field(default_factory=dict)
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
