# SPDX-License-Identifier: Apache-2.0
"""Answer lookups with the CPU's bits and count what the card would have done: its fast model as a target.

Answers come at once; the counters, `cycles` among them, are those of `embnic.model.CardModel` for the same requests
that the driver would send. So a workload can be tried in seconds for which the simulated card takes hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bags import Bags
from ..config import Table, tables_by_name
from ..errors import ConfigError
from ..framing import PAIR_BANKS, groups, one_key_bags, product_group
from ..gen.wire import DType, Hold, Order, Pooling
from ..model import CardModel, requests_of
from ..products import ProductBags
from ..residency import Prefetched, Residency, distinct
from ..rows import check_ids
from .base import Capabilities, Staged
from .cpu import CpuBackend

__all__ = ["ModelBackend"]

FIRST_ADDRESS, ALIGN = 4096, 4096  # of tables in card memory, as the simulated card gives it


class ModelBackend:
    """Hold tables on the host and a model of the card beside them.

    `config` is the card's configuration, `mtu` the link's; `engine` as in `embnic.model.CacheModel`.
    """

    name = "model"

    def __init__(
        self,
        tables: Iterable[Table],
        config: str = "line100",
        *,
        mtu: int = 1500,
        engine: str = "auto",
    ) -> None:
        """Take the tables; `load` gives them rows."""
        self.card = CardModel(config, mtu=mtu, engine=engine)
        self.tables = tables_by_name(tables)
        self._cpu = CpuBackend(
            self.tables.values(), engine="numpy" if engine == "python" else engine
        )
        self.capabilities = Capabilities(
            dtypes=frozenset(DType),
            poolings=frozenset(Pooling),
            orders=frozenset({Order.SEQUENTIAL, Order.SPLIT, Order.TREE}),
            max_dim=self.card.config.max_vec64 * 16,
            max_tree_k=self.card.config.tree_k,
            remote=self.card.config.remote_fetches > 0,
            tree_vec64=self.card.config.max_vec64,
        )
        self._residency, self._loaded = Residency(), set[str]()
        self._numbers: dict[str, int] = {}
        self._next_address = FIRST_ADDRESS * self.card.config.channels
        for table in self.tables.values():
            self._define(table)

    def _define(self, table: Table) -> None:
        """Give the modelled card a table, or new memory to one that it has, as the driver does."""
        self.capabilities.check(table, self.name)
        name, taken = table.name, set(self._numbers.values())
        if name not in self._numbers:
            if len(taken) == self.card.config.tables:
                raise ConfigError(
                    f"{len(taken) + 1} tables.",
                    allowed=f"up to {len(taken)} in the configuration {self.card.config.name!r}.",
                    do="Use fewer tables or another configuration.",
                )
            self._numbers[name] = next(n for n in range(len(taken) + 1) if n not in taken)
        self.card.define(self._numbers[name], table, self._next_address)
        self._next_address += -(-table.nbytes // ALIGN) * ALIGN

    def stage(self, table: Table, weights: Any) -> Staged:
        """Return a table with all its rows; see `LiveTables`."""
        return self._cpu.stage(table, weights)

    def stage_grown(self, table: Table, more: Any | None) -> Staged:
        """Return a loaded table with more rows; see `LiveTables`."""
        return self._cpu.stage_grown(table, more)

    def commit(self, staged: Staged) -> None:
        """Serve a staged table; the card's cache holds what is pinned afterwards, nothing else."""
        table = staged.table
        if self.tables.get(table.name) != table:
            self._define(table)
        self._cpu.commit(staged)
        self.tables = {**self.tables, table.name: table}
        self._loaded.add(table.name)
        self._flush()

    def drop(self, name: str) -> None:
        """Forget a table and its pins; the card's cache holds what else is pinned afterwards."""
        self._cpu.drop(name)
        self.tables = {known: table for known, table in self.tables.items() if known != name}
        del self._numbers[name]
        self._loaded.discard(name)
        self._residency.forget(name)
        self._flush()

    def load(self, table: str, weights: Any) -> None:
        """Set all rows of a table: [rows, dim]. The card's cache holds what is pinned afterwards, nothing else."""
        self.commit(self.stage(self.tables[table], weights))

    def _flush(self) -> None:
        self.card.flush()
        for name in self._residency:
            if name in self._loaded:
                self._prefetch(name, self._residency[name], Hold.PIN)

    def hold_rows(self, table: str, ids: Any, hold: Hold) -> Prefetched:
        """Fetch rows into the card's cache, hold or release them."""
        wanted = distinct(check_ids(self.tables[table], ids))
        found = self._prefetch(table, wanted, hold)
        if hold is Hold.PIN:
            self._residency.pin(table, wanted)
        elif hold is Hold.RELEASE:
            self._residency.unpin(table, wanted)
        return found

    def fill(self, table: str, ids: Any, rows: Any, hold: Hold) -> None:
        """Overwrite rows, which are in the card's cache afterwards, held so where there is room."""
        self._cpu.update(table, ids, rows)
        checked = np.unique(check_ids(self.tables[table], ids))  # as the driver sends them
        self.card.prefetch(self._numbers[table], checked, hold, fill=True)
        if hold is Hold.PIN:
            self._residency.pin(table, checked)

    def _prefetch(self, table: str, ids: NDArray[np.int64], hold: Hold) -> Prefetched:
        """Execute PREFETCH frames."""
        found, per_frame = Prefetched(0), self.card.limits.keys(weighted=False)
        for start in range(0, len(ids), per_frame):
            part = ids[start : start + per_frame]
            counts = self.card.prefetch(self._numbers[table], part, hold)
            found += Prefetched(len(part), *counts)
        return found

    def configure_cache(self, *, cached_ways: int = 1, admission: bool = False) -> None:
        """Set up the card's cache; it is emptied, what is pinned is fetched again."""
        self.card.configure(cached_ways=cached_ways, admission=admission)
        self._flush()

    def update(self, table: str, ids: Any, rows: Any) -> None:
        """Overwrite rows: `ids` [n], `rows` [n, dim]; the card drops their lines."""
        self._cpu.update(table, ids, rows)
        self.card.invalidate(self._numbers[table], check_ids(self.tables[table], ids))

    def lookup(
        self, bags: Bags, out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag on the CPU: [B, dim] a table; the model counts what the card would do."""
        pooled = self._cpu.lookup(bags, out)
        checked = bags.validate_against(self.tables)
        singles = {
            name: one_key_bags(part) if self.tables[name].pooling is Pooling.NONE else part
            for name, part in checked.items()
        }
        found = groups(Bags(singles), self.tables, self._numbers)
        requests = requests_of(found, self.card.limits)
        if len(requests.vec64):
            self.card.run(requests)
        return pooled

    def product(self, pairs: ProductBags) -> NDArray[np.float32]:
        """Return the sums float32 [B, dim] of bags of pairs from the CPU; the model counts what a card does."""
        pooled = self._cpu.product(pairs)
        config = self.card.config
        if len(pairs) and config.products:
            group = product_group(pairs, self.tables, self._numbers)
            if PAIR_BANKS * group.vec64 <= config.max_vec64:
                self.card.run(requests_of([group], self.card.limits))
        return pooled

    def stats(self) -> dict[str, int]:
        """Return the counters that the card would show, by its names."""
        return self.card.counters()

    def close(self) -> None:
        """Give the tables back; may be called twice."""
        self._cpu.close()
