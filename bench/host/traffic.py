# SPDX-License-Identifier: Apache-2.0
"""Shapes of lookups, seeded ids for them, and how calls are timed beside each other."""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HOST = Path(__file__).resolve().parents[2] / "host"
sys.path.insert(0, str(HOST))

SEED = 20261127
TABLE_BYTES = 2 << 30  # fp32 rows of all tables of a shape: what is asked for beyond is cut
POOL = 1 << 21  # ids drawn of each distribution; requests are windows of them


class Shape(NamedTuple):
    """Describe a request: `tables` of `rows` x `dim`, `batch` bags a table, `length` ids a bag, Zipf exponent."""

    tables: int
    rows: int
    dim: int
    length: int
    batch: int
    zipf: float

    @property
    def lookups(self) -> int:
        """Rows that a request gathers."""
        return self.tables * self.batch * self.length

    def __str__(self) -> str:
        """Show it in one short word a value."""
        return f"T{self.tables} {self.rows // 1000}k x {self.dim} L{self.length} B{self.batch} Z{self.zipf:g}"


def big_rows(tables: int, dim: int) -> int:
    """Return a million rows, or as many as fit TABLE_BYTES."""
    return min(1_000_000, TABLE_BYTES // (tables * dim * 4))


def grid(quick: bool) -> list[Shape]:
    """Return the shapes of the speed table; `quick` a subset that has every value of every axis."""
    shapes = [
        Shape(tables, rows if rows else big_rows(tables, dim), dim, length, batch, zipf)
        for tables, rows, dim, zipf, length, batch in itertools.product(
            (8, 32), (100_000, 0), (16, 32, 64, 128), (0.0, 1.05), (1, 20, 80), (64, 1024)
        )
    ]
    if quick:
        picked = np.random.default_rng(SEED).permutation(len(shapes))[:20]
        shapes = [shapes[at] for at in sorted(picked)]
    return shapes


def names(tables: int) -> list[str]:
    """Return the tables' names."""
    return [f"t{index}" for index in range(tables)]


class Ids:
    """Draw row numbers: Zipf-ranked, then scattered over the rows."""

    def __init__(self, rows: int, zipf: float) -> None:
        """Draw a pool of ids."""
        rng = np.random.default_rng(SEED + rows)
        if zipf == 0:
            self._pool = rng.integers(0, rows, POOL)
        else:
            share = np.cumsum(1 / np.arange(1, rows + 1) ** zipf)
            ranks = np.searchsorted(share / share[-1], rng.random(POOL))
            self._pool = rng.permutation(rows)[ranks]
        self._rows = rows
        self._rng = rng

    def take(self, count: int, table: int) -> NDArray[np.int64]:
        """Return `count` ids for a table; every table has its own hot rows."""
        start = int(self._rng.integers(0, POOL))
        drawn = np.take(self._pool, np.arange(start, start + count), mode="wrap")
        return (drawn + table * 7919) % self._rows


def seconds_beside(
    calls: Sequence[Callable[[int], object]],
    *,
    requests: int,
    budget: float,
    repeats: int = 1,
    clock: Callable[[], float] = time.thread_time,
) -> list[float]:
    """Return the median seconds of each call, taken in turns.

    In a round every call gets a request of its own, and another one in the next round, so that none gets what the call
    before it has just brought into the caches: give as many requests as calls. With `repeats` a turn is so many
    calls in a row on different requests: for short calls, whose code and objects are otherwise cold in every turn.
    `budget` bounds the seconds of all. The clock counts the processor time of this thread: what else runs on the
    machine is not counted, though it still takes cache and memory.
    """
    for call in calls:
        call(0)
    start = clock()
    for at, call in enumerate(calls):
        call(at % requests)
    once = max(clock() - start, 1e-6) * repeats
    rounds = min(max(int(budget / once), 7), 400)
    taken: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds):
        for at in range(len(calls)):
            which = (at + turn) % len(calls)
            call, first = calls[which], turn + which * requests // len(calls)
            begin = clock()
            for number in range(first, first + repeats):
                call(number % requests)
            taken[which].append((clock() - begin) / repeats)
    return [float(np.median(each)) for each in taken]


def geomean(values: Iterable[float]) -> float:
    """Return the geometric mean; nan of nothing."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan
