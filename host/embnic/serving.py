# SPDX-License-Identifier: Apache-2.0
"""Serve tables on a backend that is not a card, and say what a server owes the engine.

A server holds the tables and answers; the engine locks, counts what callers see and closes. What it may do at the same
time is in one word, `shared`: lookups of several threads side by side, or one call at a time.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .backends.base import Backend, BagsAt, LiveTables, MultipliesRows
from .bags import Bags
from .config import OutOfRange, Table
from .errors import CapacityError, ConfigError
from .products import ProductBags
from .stats import Stats

__all__ = ["Counts", "HostServer", "Server", "staged"]

_RAISE = OutOfRange.RAISE
_T = TypeVar("_T")

Alone = Callable[[], AbstractContextManager[None]]  # enters with no other call under way


class Counts:
    """Count what an engine did, from any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._by_card = self._by_cpu = 0
        self._events: Counter[str] = Counter()
        self._fallbacks: Counter[str] = Counter()

    def answered(self, by_cpu: int, by_card: int) -> None:
        """Count the bags of a lookup by who answered them."""
        with self._mutex:
            self._by_cpu += by_cpu
            self._by_card += by_card

    def event(self, name: str) -> None:
        """Count an update or a reattachment."""
        with self._mutex:
            self._events[name] += 1

    def fallback(self, reason: str, count: int = 1) -> None:
        """Count what left the card."""
        with self._mutex:
            self._fallbacks[reason] += count

    def stats(self, target: str, **parts: Mapping[str, Any]) -> Stats:
        """Return a snapshot; `parts` are the mappings of `Stats` that others counted."""
        with self._mutex:
            return Stats(
                target=target,
                bags=self._by_card + self._by_cpu,
                bags_by_card=self._by_card,
                bags_by_cpu=self._by_cpu,
                updates=self._events["updates"],
                reattached=self._events["reattached"],
                tables_changed=self._events["tables_changed"],
                fallback_total=dict(self._fallbacks),
                **parts,
            )


class Server(Protocol):
    """Hold tables and answer for the engine."""

    tables: dict[str, Table]

    @property
    def shared(self) -> bool:
        """Return whether lookups may run side by side. It changes only while no other call is under way."""
        ...

    def lookup(
        self,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None,
        policy: OutOfRange,
        deadline: float | None,
    ) -> dict[str, NDArray[Any]]:
        """Answer; the engine holds the lock."""
        ...

    def lookup_at(self, parts: Sequence[BagsAt]) -> bool:
        """Answer bags at addresses; False where that is not possible. The engine holds the lock."""
        ...

    def product(self, pairs: ProductBags) -> NDArray[np.float32]:
        """Answer bags of pairs; the engine holds the lock."""
        ...

    def update(self, name: str, ids: Any, rows: Any) -> None:
        """Overwrite rows; the engine holds the lock, alone."""
        ...

    def install(self, table: Table, weights: Any, alone: Alone) -> None:
        """Load or add a table; what needs no lock is done before `alone`."""
        ...

    def grow(self, table: Table, more: Any | None, alone: Alone) -> None:
        """Put rows behind those of a loaded table; `table` says how many there are then."""
        ...

    def drop(self, name: str) -> None:
        """Forget a table; the engine holds the lock, alone."""
        ...


class HostServer:
    """Serve on a backend that computes here, simulates counters (`model`) or chooses (`select`)."""

    def __init__(self, backend: Backend, tables: dict[str, Table], counts: Counts) -> None:
        self.backend = backend
        self.tables = tables
        self.shared: bool = getattr(backend, "parallel", False)
        self._counts = counts
        self._select: Any = backend if backend.name == "select" else None
        self._at: Callable[[Sequence[BagsAt]], bool] | None = getattr(backend, "lookup_at", None)

    def lookup(
        self,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None,
        policy: OutOfRange,
        deadline: float | None,
    ) -> dict[str, NDArray[Any]]:
        """Answer on the backend, which checks the bags; here they are checked only to be corrected."""
        if self._select is not None:
            return self._lookup_select(bags, out, policy, deadline)
        if policy is not _RAISE:
            bags = bags.validate_against(self.tables, out_of_range=policy)
        pooled = self.backend.lookup(bags, out)
        self._counts.answered(bags.bags_total, 0)
        return pooled

    def lookup_at(self, parts: Sequence[BagsAt]) -> bool:
        """Answer bags at addresses; False where the backend cannot, or something is wrong with them."""
        if self._at is None or not self._at(parts):
            return False
        self._counts.answered(sum([part.bags for part in parts]), 0)
        return True

    def product(self, pairs: ProductBags) -> NDArray[np.float32]:
        """Answer bags of pairs on the backend, which checks them."""
        if not isinstance(self.backend, MultipliesRows):
            raise ConfigError(
                f"Products of rows on the target {self.backend.name!r}.",
                allowed="targets whose backend has product().",
                do="Use target='cpu'.",
            )
        pooled = self.backend.product(pairs)
        self._counts.answered(len(pairs), 0)
        return pooled

    def _lookup_select(
        self,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None,
        policy: OutOfRange,
        deadline: float | None,
    ) -> dict[str, NDArray[Any]]:
        """Check the bags before a path is chosen: what no path takes is no path's fault."""
        checked = bags.validate_against(self.tables, out_of_range=policy)
        before = self._select.bags_by_card
        pooled: dict[str, NDArray[Any]] = self._select.lookup(checked, out, deadline=deadline)
        by_card = self._select.bags_by_card - before
        self._counts.answered(checked.bags_total - by_card, by_card)
        return pooled

    def update(self, name: str, ids: Any, rows: Any) -> None:
        """Overwrite rows."""
        self.backend.update(name, ids, rows)

    def install(self, table: Table, weights: Any, alone: Alone) -> None:
        """Stage beside lookups where the backend can, and commit between two of them."""
        live = self.backend
        if not isinstance(live, LiveTables):
            if table.name not in self.tables:
                raise self._fixed()
            with alone():
                self.backend.load(table.name, weights)
            return
        self.backend.capabilities.check(table, self.backend.name)
        ready = staged(table, lambda: live.stage(table, weights))
        with alone():
            self._commit(live, table, ready)

    def grow(self, table: Table, more: Any | None, alone: Alone) -> None:
        """Stage the longer table beside lookups, and commit between two of them."""
        live = self._live()
        ready = staged(table, lambda: live.stage_grown(table, more))
        with alone():
            self._commit(live, table, ready)

    def _commit(self, live: LiveTables, table: Table, ready: Any) -> None:
        live.commit(ready)
        self.tables = {**self.tables, table.name: table}

    def drop(self, name: str) -> None:
        """Forget a table."""
        self._live().drop(name)
        self.tables = {known: table for known, table in self.tables.items() if known != name}

    def _live(self) -> LiveTables:
        if isinstance(self.backend, LiveTables):
            return self.backend
        raise self._fixed()

    def _fixed(self) -> ConfigError:
        return ConfigError(
            f"The tables of the target {self.backend.name!r} are those it was opened with.",
            allowed="add_table, drop_table and grow on reference, cpu, model and rtl.",
            do="Open another engine with the new tables.",
        )


def staged(table: Table, stage: Callable[[], _T]) -> _T:
    """Return what `stage` made; where memory ends meanwhile, say so: nothing was changed."""
    from .capacity import check_host_room, host_available, host_bytes

    check_host_room(table)
    try:
        return stage()
    except MemoryError as error:
        raise CapacityError(
            f"Table {table.name!r}",
            needed=host_bytes(table),
            available=host_available() or 0,
            do="Use fewer rows, or a smaller dtype such as 'int8'.",
        ) from error
