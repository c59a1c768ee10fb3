# SPDX-License-Identifier: Apache-2.0
"""Answer lookups with the CPU's bits and count what the card would have done: its fast model as a target.

Answers come at once; the counters, `cycles` among them, are those of `embnic.model.CardModel` for the same requests
that the driver would send. So a workload can be tried in seconds for which the simulated card takes hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from ..bags import Bags
from ..config import Table, tables_by_name
from ..errors import ConfigError
from ..framing import groups, one_key_bags
from ..gen.wire import DType, Order, Pooling
from ..model import CardModel, requests_of
from ..rows import check_ids
from .base import Capabilities
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
            orders=frozenset({Order.SEQUENTIAL, Order.SPLIT}),
            max_dim=self.card.config.max_vec64 * 16,
        )
        if len(self.tables) > self.card.config.tables:
            raise ConfigError(
                f"{len(self.tables)} tables.",
                allowed=f"up to {self.card.config.tables} in the configuration {config!r}.",
                do="Use fewer tables or another configuration.",
            )
        self._numbers = {name: number for number, name in enumerate(self.tables)}
        base = FIRST_ADDRESS * self.card.config.channels
        for name, table in self.tables.items():
            self.capabilities.check(table, self.name)
            self.card.define(self._numbers[name], table, base)
            base += -(-table.nbytes // ALIGN) * ALIGN

    def load(self, table: str, weights: Any) -> None:
        """Set all rows of a table: [rows, dim]. The card's cache is empty afterwards."""
        self._cpu.load(table, weights)
        self.card.flush()

    def update(self, table: str, ids: Any, rows: Any) -> None:
        """Overwrite rows: `ids` [n], `rows` [n, dim]; the card drops their lines."""
        self._cpu.update(table, ids, rows)
        self.card.invalidate(self._numbers[table], check_ids(self.tables[table], ids))

    def lookup(
        self, bags: Bags, out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag on the CPU: [B, dim] a table; the model counts what the card would do."""
        pooled = self._cpu.lookup(bags, out)
        checked = bags.validate_against(self.tables.values())
        singles = {
            name: one_key_bags(part) if self.tables[name].pooling is Pooling.NONE else part
            for name, part in checked.items()
        }
        found = groups(Bags(singles), self.tables, self._numbers)
        requests = requests_of(found, self.card.limits)
        if len(requests.vec64):
            self.card.run(requests)
        return pooled

    def stats(self) -> dict[str, int]:
        """Return the counters that the card would show, by its names."""
        return self.card.counters()

    def close(self) -> None:
        """Give the tables back; may be called twice."""
        self._cpu.close()
