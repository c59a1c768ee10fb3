# SPDX-License-Identifier: Apache-2.0
"""Keep rows in the card's cache: which are pinned, and the requests that fetch, hold and release them.

A card forgets what it holds whenever its cache is emptied: at a load, a change of its settings, a reset. `Residency`
remembers the pins for it, in their order, so that asking again holds the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .config import Table
from .exchange import Exchange, Pending, Reply
from .gen.wire import FRAME_OVERHEAD, KEY_TABLE_SHIFT, Hold, Opcode
from .wire import Entries, FrameBatch, Route, encode_prefetch, new_headers

__all__ = [
    "PrefetchFrame",
    "PrefetchRequest",
    "Prefetched",
    "Residency",
    "distinct",
    "prefetch_requests",
]


@dataclass(frozen=True)
class Prefetched:
    """What became of rows that were prefetched, pinned or released; repeated ids count once.

    `granted` rows are as asked for: in the cache, held there, or were held and are released. `there` rows were in the
    cache before. Of rows that were to be held, the rest was fetched without a hold: their sets have no way left for it.
    On a target without such a cache both are 0.

    >>> Prefetched(rows=3, granted=3, there=1) + Prefetched(rows=1, granted=0, there=0)
    Prefetched(rows=4, granted=3, there=1)
    """

    rows: int
    granted: int = 0
    there: int = 0

    def __add__(self, other: Prefetched) -> Prefetched:
        """Return both together."""
        return Prefetched(
            self.rows + other.rows, self.granted + other.granted, self.there + other.there
        )


@dataclass(frozen=True)
class PrefetchFrame:
    """The table of PREFETCH frames, its number on the card, and how many keys one frame takes."""

    table: Table
    number: int
    keys: int


class PrefetchRequest(Pending):
    """Ask for rows of one table to be fetched, held or released; idempotent."""

    def __init__(self, frame: FrameBatch, request_id: int, size: int, *, rows: int) -> None:
        super().__init__(frame, request_id, size)
        self.result = Prefetched(rows)

    def accept(self, reply: Reply) -> bool | None:
        """Take the ACK and its two counts."""
        if reply.opcode != Opcode.ACK or len(reply.payload) < 16:
            return None
        granted, there = reply.payload[:16].view("<u8").tolist()
        if max(granted, there) > self.result.rows:
            return None
        self.result = Prefetched(self.result.rows, granted, there)
        self.complete = True
        return True

    def describe(self) -> str:
        """Name the request."""
        return f"prefetch of {self.result.rows} rows"


def distinct(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each id once, in the order of their first places.

    >>> distinct(np.array([7, 3, 7, 5])).tolist()
    [7, 3, 5]
    """
    return ids[np.sort(np.unique(ids, return_index=True)[1])]


def prefetch_requests(
    route: Route, exchange: Exchange, ids: NDArray[np.int64], *, hold: Hold, frame: PrefetchFrame
) -> list[PrefetchRequest]:
    """Return the requests for the rows `ids` [n], which differ."""
    keys = ids.view(np.uint64) | np.uint64(frame.number << KEY_TABLE_SHIFT)
    starts = range(0, len(keys), frame.keys)
    requests = []
    for request_id, start in zip(exchange.next_ids(len(starts)).tolist(), starts, strict=True):
        part = keys[start : start + frame.keys]
        headers = new_headers(1, Opcode.PREFETCH)
        headers["request_id"], headers["first_bag"] = request_id, hold
        headers["dtype"], headers["dim"] = frame.table.dtype, frame.table.dim
        batch = encode_prefetch(route, headers, Entries(part, np.array([0, len(part)], np.int64)))
        size = batch.nbytes - FRAME_OVERHEAD
        requests.append(PrefetchRequest(batch, request_id, size, rows=len(part)))
    return requests


class Residency:
    """Remember which rows are pinned.

    >>> pins = Residency()
    >>> pins.pin("item", np.array([4, 2, 4]))
    >>> pins.pin("item", np.array([9, 2]))
    >>> pins.unpin("item", np.array([4]))
    >>> pins["item"].tolist()
    [2, 9]
    """

    def __init__(self) -> None:
        self._pinned: dict[str, NDArray[np.int64]] = {}

    def __iter__(self) -> Iterator[str]:
        """Yield the tables that have pinned rows."""
        return iter([name for name, ids in self._pinned.items() if len(ids)])

    def __getitem__(self, name: str) -> NDArray[np.int64]:
        """Return the pinned rows of a table, in the order in which they were pinned."""
        return self._pinned.get(name, np.zeros(0, np.int64))

    def pin(self, name: str, ids: NDArray[np.int64]) -> None:
        """Add rows."""
        self._pinned[name] = distinct(np.concatenate([self[name], ids]))

    def unpin(self, name: str, ids: NDArray[np.int64]) -> None:
        """Take rows out; those that are not pinned are left alone."""
        self._pinned[name] = self[name][~np.isin(self[name], ids)]

    def forget(self, name: str) -> None:
        """Take all rows of a table out."""
        self._pinned.pop(name, None)
