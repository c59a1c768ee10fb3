# SPDX-License-Identifier: Apache-2.0
"""Hold tables and answer lookups in the extension: one call for all tables of a request.

The kernels and their threads are in `host/native/cpu_*`; `docs/cpu.md` says how they work. Here a
`Table` becomes what they know: a format, a pooling and rows of bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bags import TableBags
from ..config import Table
from ..errors import ConfigError
from ..gen.wire import Order
from .base import BagsAt

__all__ = ["NativeTables", "default_threads"]

MOST_THREADS = 8  # that are taken unasked: a few cores fill the memory's bandwidth
TUNED_BYTES = 64 << 20  # tables from here on are worth 10 ms of trying prefetch distances


def default_threads() -> int:
    """Return how many threads a lookup uses: the processors of this process, at most 8."""
    affinity = getattr(os, "sched_getaffinity", None)
    usable = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return min(usable, MOST_THREADS)


class NativeTables:
    """Keep rows in huge pages and pool them with the extension, in sequential order."""

    def __init__(
        self, native: ModuleType, *, isa: str = "auto", threads: int | None = None
    ) -> None:
        """Start without tables; `isa` names the instructions, `threads` counts the caller."""
        count = default_threads() if threads is None else threads
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 1024:
            raise ConfigError(
                f"threads is {threads!r}.",
                allowed="1 to 1024, the calling thread among them.",
                do="Leave it out for the processors of this process.",
            )
        if isa != "auto" and isa not in native.isas():
            raise ConfigError(
                f"isa is {isa!r}.",
                allowed=f"'auto', {', '.join(repr(name) for name in native.isas())} here.",
                do="Leave it out for the best one.",
            )
        self._native = native
        self._tables = native.Tables(isa, count)
        self._arena = native.RowArena()
        self._names: set[str] = set()
        # Bags and results by table name (plain dictionaries); None where anything is wrong with them. The extension's
        # own function: a wrapper would cost a tenth of a small call.
        self.lookup: Callable[[Mapping[str, TableBags], Mapping[str, NDArray[Any]] | None], Any]
        self.lookup = self._tables.lookup
        self.lookup_at: Callable[[Sequence[BagsAt]], bool] = self._tables.lookup_at

    @property
    def isa(self) -> str:
        """Return the instructions in use: `avx512`, `avx2` or `portable`."""
        return str(self._tables.isa)

    @property
    def threads(self) -> int:
        """Return the threads that a large lookup may use, the caller among them."""
        return int(self._tables.threads)

    @staticmethod
    def takes(table: Table) -> bool:
        """Tell whether the kernels know the table's order; they know every format and pooling."""
        return table.order is not Order.TREE

    def holds(self, name: str) -> bool:
        """Tell whether rows of the table were set."""
        return name in self._names

    def copy_of(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of `rows` in the arena."""
        held: NDArray[Any] = self._arena.take(rows.nbytes).view(rows.dtype).reshape(rows.shape)
        held[...] = rows
        return held

    def set(self, table: Table, rows: NDArray[Any]) -> None:
        """Answer from `rows` [rows, columns], which are kept and not copied."""
        self._tables.set(
            table.name,
            rows.view(np.uint8),
            dtype=int(table.dtype),
            pooling=int(table.pooling),
            dim=table.dim,
            padding=-1 if table.padding_idx is None else table.padding_idx,
            mul_then_add=table.mul_then_add,
            scale_exp=table.fixed_scale_exp or 0,
            tuned=rows.nbytes >= TUNED_BYTES,
        )
        self._names.add(table.name)

    def drop(self, name: str) -> None:
        """Let go of a table's rows, if it has any here."""
        if name in self._names:
            self._names.discard(name)
            self._tables.drop(name)

    def distance(self, name: str) -> int:
        """Return how many rows of a table are asked for ahead."""
        return int(self._tables.distance(name))

    def counters(self) -> dict[str, int]:
        """Return lookups, bags, keys and saturations since the start."""
        names = ("lookups", "bags", "keys", "saturations")
        return dict(zip(names, self._tables.counters(), strict=True))

    def close(self) -> None:
        """Let go of all rows; the counters stay."""
        for name in self._names:
            self._tables.drop(name)
        self._names.clear()
