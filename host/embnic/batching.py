# SPDX-License-Identifier: Apache-2.0
"""Merge the lookups of several threads into one request, within a bounded wait, and share out the answers.

There is no thread of its own: the first caller of a batch leads it. It waits for others, asks for all of them, and
wakes them up.

```text
 caller 1 ──lead──► wait ≤ max_wait_us, or until max_bags ──► one request ──► answers ─┬─► caller 1
 caller 2 ──join──►  │                                                                ├─► caller 2
 caller 3 ──join──►  ┘                                                                └─► caller 3
```

Bags are checked before they join, so what is wrong with them is the affair of their caller alone. A request that fails
all the same (a table was dropped meanwhile) is asked again caller by caller, and each gets its own answer or error. No
answer changes: a bag is pooled by itself. Weighted and unweighted bags of a table become weighted with ones, which has
the same bits: the product is exact.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .backends.base import output_arrays
from .bags import Bags, TableBags
from .config import OutOfRange, Table
from .errors import ConfigError
from .gen.wire import Pooling

__all__ = ["Batcher", "Batching", "Serves", "filled", "merge"]

_RAISE = OutOfRange.RAISE
LONGEST_WAIT_US = 1_000_000.0
SHARE = 0.5  # of a lookup's deadline that it may wait for others
SHORTEST = (
    1e-9  # seconds: a deadline that is over is the path's affair, not an option that is wrong
)


@dataclass(frozen=True)
class Batching:
    """Say how lookups are merged across callers.

    The first caller of a batch waits at most `max_wait_us` microseconds for others; a batch that has `max_bags` bags
    leaves at once, and larger lookups go alone. A lookup with a deadline waits at most half of it. While one thread is
    the only one that calls, it does not wait.

    >>> Batching(max_wait_us=100)
    Batching(max_wait_us=100, max_bags=1024)
    """

    max_wait_us: float = 200.0
    max_bags: int = 1024

    def __post_init__(self) -> None:
        """Refuse what cannot be waited for."""
        wait, bags = self.max_wait_us, self.max_bags
        if isinstance(wait, bool) or not isinstance(wait, (int, float)):
            wait = float("nan")
        if not 0 < wait <= LONGEST_WAIT_US:
            raise ConfigError(
                f"max_wait_us is {self.max_wait_us!r}.",
                allowed=f"above 0, up to {LONGEST_WAIT_US:g} microseconds.",
                do="Give what a lookup may wait for others, such as 200.",
            )
        if isinstance(bags, bool) or not isinstance(bags, int) or bags < 2:
            raise ConfigError(
                f"max_bags is {bags!r}.",
                allowed="a whole number from 2.",
                do="Give the bags of one merged request, such as 1024.",
            )


class Serves(Protocol):
    """What answers a merged request: an engine."""

    @property
    def tables(self) -> Mapping[str, Table]:
        """Return the tables by name."""
        ...

    def serve(
        self,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None,
        policy: OutOfRange,
        deadline: float | None,
    ) -> dict[str, NDArray[Any]]:
        """Answer one request."""
        ...


class _Call:
    """A lookup in a batch, and what came of it."""

    __slots__ = ("bags", "due", "error", "pooled")

    def __init__(self, bags: Bags, due: float | None) -> None:
        self.bags = bags
        self.due = due  # on time.monotonic
        self.pooled: dict[str, NDArray[Any]] | None = None
        self.error: Exception | None = None

    def left(self) -> float | None:
        """Return the seconds of the deadline that are left."""
        return None if self.due is None else max(self.due - time.monotonic(), SHORTEST)


class _Batch:
    """Lookups that will be one request; changed under the batcher's mutex."""

    def __init__(self, mutex: threading.Lock, leaves: float) -> None:
        self.calls: list[_Call] = []
        self.bags = 0
        self.leaves = leaves  # on time.monotonic
        self.full = False
        self.changed = threading.Condition(mutex)
        self.answered = threading.Event()


class Batcher:
    """Merge the lookups of an engine's callers."""

    def __init__(self, batching: Batching, engine: Serves) -> None:
        self._batching = batching
        self._engine = engine
        self._mutex = threading.Lock()
        self._open: _Batch | None = None
        self._caller: threading.Thread | None = None  # the thread that called last
        self._others = float("-inf")  # when another one than before called, on time.monotonic
        self._counts: Counter[str] = Counter()

    def counters(self) -> dict[str, int]:
        """Return: lookups, those that shared a request, requests asked, and requests asked again one by one."""
        with self._mutex:
            names = ("lookups", "merged_lookups", "requests", "asked_again")
            return {name: self._counts[name] for name in names}

    def lookup(
        self,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None,
        policy: OutOfRange,
        deadline: float | None,
    ) -> dict[str, NDArray[Any]]:
        """Answer one caller, in a batch unless it fills one alone."""
        tables = self._engine.tables
        checked = bags.validate_against(tables, out_of_range=policy)
        if out is not None:
            output_arrays(
                tables, checked, out
            )  # says what is wrong with it before others are asked
        total = checked.bags_total
        if total >= self._batching.max_bags:
            with self._mutex:
                self._counts.update(lookups=1, requests=1)
            return self._engine.serve(checked, out, _RAISE, deadline)
        now = time.monotonic()
        call = _Call(checked, None if deadline is None else now + deadline)
        batch, leads = self._join(call, total, now, deadline)
        if leads:
            self._lead(batch)
        else:
            batch.answered.wait()
        if call.error is not None:
            raise call.error
        pooled = call.pooled
        if pooled is None:  # who led was interrupted
            pooled = self._engine.serve(checked, None, _RAISE, call.left())
        return pooled if out is None else filled(out, pooled)

    def _join(
        self, call: _Call, total: int, now: float, deadline: float | None
    ) -> tuple[_Batch, bool]:
        """Put a call into the open batch, or open one; return it and whether the call leads it."""
        wait = self._batching.max_wait_us * 1e-6
        if deadline is not None:
            wait = min(wait, deadline * SHARE)
        thread = threading.current_thread()  # not its number, which a later thread may get
        with self._mutex:
            if self._caller is not thread and self._caller is not None:
                self._others = now
            self._caller = thread
            if now - self._others > wait:
                wait = 0.0  # nobody is there to wait for
            batch = self._open
            if batch is not None and batch.bags + total > self._batching.max_bags:
                self._launch(batch)
                batch = None
            leads = batch is None
            if batch is None:
                batch = self._open = _Batch(self._mutex, now + wait)
            elif now + wait < batch.leaves:
                batch.leaves = now + wait
                batch.changed.notify()
            batch.calls.append(call)
            batch.bags += total
            if batch.bags >= self._batching.max_bags:
                self._launch(batch)
        return batch, leads

    def _launch(self, batch: _Batch) -> None:
        """Let nobody join any more and wake who leads; the mutex is held."""
        batch.full = True
        if self._open is batch:
            self._open = None
        batch.changed.notify()

    def _lead(self, batch: _Batch) -> None:
        try:
            with self._mutex:
                while not batch.full:
                    left = batch.leaves - time.monotonic()
                    if left <= 0 or not batch.changed.wait(left):
                        break
            self._close(batch)
            self._answer(batch.calls)
        finally:  # also when this thread is interrupted: the others then ask for themselves
            self._close(batch)
            batch.answered.set()

    def _close(self, batch: _Batch) -> None:
        with self._mutex:
            self._launch(batch)

    def _answer(self, calls: Sequence[_Call]) -> None:
        merged = len(calls) > 1
        with self._mutex:
            self._counts.update(
                lookups=len(calls), requests=1, merged_lookups=len(calls) if merged else 0
            )
        if merged:
            try:
                self._answer_merged(calls)
                return
            except Exception:  # whose fault it is shows when each is asked for by itself
                with self._mutex:
                    self._counts.update(asked_again=1, requests=len(calls))
        for call in calls:
            try:
                call.pooled = self._engine.serve(call.bags, None, _RAISE, call.left())
            except Exception as error:
                call.error = error

    def _answer_merged(self, calls: Sequence[_Call]) -> None:
        before = self._engine.tables
        left = [seconds for call in calls if (seconds := call.left()) is not None]
        pooled = self._engine.serve(
            merge([call.bags for call in calls]), None, _RAISE, min(left, default=None)
        )
        known = (before, self._engine.tables)  # tables come and go meanwhile
        shares: list[dict[str, NDArray[Any]]] = [{} for _ in calls]
        for name, rows in pooled.items():
            unpooled = _unpooled(name, rows, calls, known)
            at = 0
            for call, share in zip(calls, shares, strict=True):
                part = call.bags.get(name)
                if part is not None:
                    count = len(part.values) if unpooled else len(part)
                    share[name] = rows[at : at + count]
                    at += count
        for call, share in zip(calls, shares, strict=True):
            call.pooled = {name: share[name] for name in call.bags}


def _unpooled(
    name: str,
    rows: NDArray[Any],
    calls: Sequence[_Call],
    known: Sequence[Mapping[str, Table]],
) -> bool:
    """Return whether the answer for a table has a row for each id, not for each bag."""
    parts = [part for call in calls if (part := call.bags.get(name)) is not None]
    bags, values = sum(map(len, parts)), sum(len(part.values) for part in parts)
    if bags != values:
        return len(rows) == values
    kinds = {tables[name].pooling is Pooling.NONE for tables in known if name in tables}
    if len(kinds) != 1:
        raise ConfigError(f"The table {name!r} was replaced by one of another kind.")
    return kinds.pop()


def filled(
    out: Mapping[str, NDArray[Any]], pooled: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Copy vectors into the caller's arrays; return those, and the vectors of the tables that have none."""
    for name, array in out.items():
        array[...] = pooled[name]
    return {**pooled, **out}


def merge(requests: Sequence[Bags]) -> Bags:
    """Return the bags of all requests, table by table, in the order of the requests.

    >>> one, two = Bags.from_lists({"item": [[3]]}), Bags.from_lists({"item": [[], [5, 5]], "user": [[1]]})
    >>> both = merge([one, two])
    >>> both["item"].values.tolist(), both["item"].offsets.tolist(), len(both["user"])
    ([3, 5, 5], [0, 1, 1, 3], 1)
    """
    parts: dict[str, list[TableBags]] = {}
    for bags in requests:
        for name, part in bags.items():
            parts.setdefault(name, []).append(part)
    return Bags({name: _joined(found) for name, found in parts.items()})


def _joined(parts: list[TableBags]) -> TableBags:
    if len(parts) == 1:
        return parts[0]
    lengths = np.concatenate([part.lengths for part in parts])
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    weights = None
    if any(part.weights is not None for part in parts):
        weights = np.concatenate(
            [
                np.ones(len(part.values), np.float32) if part.weights is None else part.weights
                for part in parts
            ]
        )
    return TableBags(np.concatenate([part.values for part in parts]), offsets, weights)
