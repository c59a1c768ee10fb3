# SPDX-License-Identifier: Apache-2.0
"""Look up a table whose rows are cut over several owners: row-wise shards.

Owner `o` holds the rows `bounds[o]` to `bounds[o + 1]` as a table of its own, of order `split`. The first owner is the
one that is asked: it pools its own keys in key order and merges what the others hold, by ascending owner; what is
divided or rounded is so once, by it. A card does both sides: it answers its partials, and it merges those of others.

>>> table = Table("item", rows=10, dim=2, pooling="sum")
>>> shards = RowShards(table, [0, 4, 10])
>>> [shard.rows for shard in shards.tables]
[4, 6]
>>> parts = shards.split(TableBags(np.array([3, 9, 4, 0]), np.array([0, 3, 3, 4])))
>>> [(part.values.tolist(), part.offsets.tolist()) for part in parts]
[([3, 0], [0, 1, 1, 2]), ([5, 0], [0, 2, 2, 2])]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .bags import Bags, TableBags
from .config import Table
from .errors import ConfigError
from .gen.wire import NULL_ROW, Order, Pooling
from .lookup import Partials

__all__ = ["Owner", "PartialBackend", "RowShards"]


class PartialBackend(Protocol):
    """Answer partials, and merge them: a card, or the reference."""

    def load(self, table: str, weights: Any) -> None:
        """Set all rows of a table."""
        ...

    def partials(self, bags: Bags) -> dict[str, Partials]:
        """Return what the backend holds of every bag."""
        ...

    def merge(
        self, bags: Bags, owners: Mapping[str, Sequence[Partials]]
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag with the partials of other owners."""
        ...


class Owner(NamedTuple):
    """Name a backend and the table there that holds a shard."""

    backend: PartialBackend
    table: str


class RowShards:
    """Cut a table into ranges of rows.

    A shard of a table with a padding row that does not hold it has one row more, which stands for it: how products and
    results are rounded depends on there being one.
    """

    def __init__(self, table: Table, bounds: Sequence[int]) -> None:
        """Take the first row of each shard, and the table's rows at the end."""
        edges = [int(row) for row in bounds]
        rising = all(low < high for low, high in pairwise(edges))
        if len(edges) < 2 or edges[0] != 0 or edges[-1] != table.rows or not rising:
            raise ConfigError(
                f"Table {table.name!r}: bounds are {edges}.",
                allowed=f"rising row numbers from 0 to {table.rows}.",
                do="Give the first row of each shard, and the number of rows.",
            )
        if table.pooling is Pooling.NONE or table.order not in (Order.SEQUENTIAL, Order.SPLIT):
            raise ConfigError(
                f"Table {table.name!r}: pooling {table.pooling.name.lower()!r} in order {table.order.name.lower()!r}.",
                allowed="pooled tables of order 'split'.",
                do="Leave such a table whole.",
            )
        self.table = table
        self._bounds = np.array(edges, np.int64)
        self.tables = [self._shard(at, low, high) for at, (low, high) in enumerate(pairwise(edges))]

    def _shard(self, at: int, low: int, high: int) -> Table:
        table, padding = self.table, self.table.padding_idx
        holds = padding is not None and low <= padding < high
        return Table(
            f"{table.name}.{at}",
            rows=high - low + int(padding is not None and not holds),
            dim=table.dim,
            dtype=table.dtype,
            pooling=table.pooling,
            order=Order.SPLIT,
            padding_idx=None if padding is None else padding - low if holds else high - low,
            fixed_scale_exp=table.fixed_scale_exp,
            owner=table.owner,
        )

    def rows(self, stored: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the stored rows of each shard, of `stored` [rows, columns]."""
        found = []
        for shard, low, high in zip(self.tables, self._bounds, self._bounds[1:], strict=False):
            rows = np.zeros((shard.rows, *stored.shape[1:]), stored.dtype)
            rows[: high - low] = stored[low:high]
            found.append(rows)
        return found

    def split(self, bags: TableBags) -> list[TableBags]:
        """Return each owner's keys of every bag, in key order and by its own row numbers; null keys are left out."""
        number = np.repeat(np.arange(len(bags)), bags.lengths)
        owner = np.searchsorted(self._bounds, bags.values, side="right") - 1
        owner[bags.values == NULL_ROW] = -1
        found = []
        for at, low in enumerate(self._bounds[:-1]):
            chosen = owner == at
            counts = np.bincount(number[chosen], minlength=len(bags))
            offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
            weights = None if bags.weights is None else bags.weights[chosen]
            found.append(TableBags(bags.values[chosen] - low, offsets, weights))
        return found

    def load(self, owners: Sequence[Owner], stored: NDArray[Any]) -> None:
        """Give each owner its rows of `stored` [rows, columns]."""
        self._check(owners)
        for owner, rows in zip(owners, self.rows(stored), strict=True):
            owner.backend.load(owner.table, rows)

    def lookup(self, owners: Sequence[Owner], bags: TableBags) -> NDArray[Any]:
        """Pool every bag [B, dim]: the first owner merges what the others hold."""
        self._check(owners)
        (first, *others), (local, *remote) = owners, self.split(bags)
        held = [
            owner.backend.partials(Bags({owner.table: part}))[owner.table]
            for owner, part in zip(others, remote, strict=True)
        ]
        return first.backend.merge(Bags({first.table: local}), {first.table: held})[first.table]

    def _check(self, owners: Sequence[Owner]) -> None:
        if len(owners) != len(self.tables):
            raise ConfigError(
                f"Table {self.table.name!r}: {len(owners)} owners are given.",
                allowed=f"{len(self.tables)}: one a shard.",
                do="Name a backend and its table for each shard.",
            )
