# SPDX-License-Identifier: Apache-2.0
"""Serve tables on a card, and go on serving them on the CPU when the card is lost.

The CPU holds a master copy of every row. A change reaches the master first, so that none is lost with the card.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .backends.base import BagsAt, Staged, output_arrays
from .backends.card import CardBackend
from .backends.cpu import CpuBackend
from .bags import Bags, TableBags
from .compute import Kernels
from .config import OutOfRange, Table
from .errors import LOST, ConfigError, LinkError
from .framing import select
from .gen.wire import Pooling
from .products import ProductBags
from .serving import Alone, Counts, staged

__all__ = ["CardServer"]

_log = logging.getLogger("embnic.engine")
_T = TypeVar("_T")


class CardServer:
    """Serve on a card with a master copy beside it.

    One call at a time while the card serves: its driver is synchronous. Lookups run side by side when it is lost.
    """

    def __init__(
        self, card: CardBackend, tables: dict[str, Table], counts: Counts, *, fallback: bool
    ) -> None:
        self.backend = self.card = card
        self.tables = tables
        self.master = CpuBackend(tables.values())
        self.fallback = fallback
        self.lost: BaseException | None = None
        self._loaded: set[str] = set()
        self._counts = counts
        self._logged: set[str] = set()

    @property
    def shared(self) -> bool:
        """Return whether the CPU answers everything."""
        return self.lost is not None and self.fallback

    # -- lookups ------------------------------------------------------------------------------------------------------

    def lookup(
        self,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None,
        policy: OutOfRange,
        deadline: float | None,
    ) -> dict[str, NDArray[Any]]:
        """Answer on the card, the rest on the CPU; the deadline is that of the driver."""
        del deadline  # the engine refuses one of a single lookup
        bags = bags.validate_against(self.tables, out_of_range=policy)
        for name in bags:
            if name not in self._loaded:
                self.master.rows(name)  # says that the table was never loaded
        arrays = output_arrays(self.tables, bags, out)
        answered = 0
        if self.serves("lookup"):
            answered = self._answer(bags, arrays)
        else:
            self.master.lookup(bags, arrays)
        self._counts.answered(bags.bags_total - answered, answered)
        return arrays

    def product(self, pairs: ProductBags) -> NDArray[np.float32]:
        """Answer on the card; the rest on the CPU, and what the card does not multiply."""
        for table in pairs.check(self.tables):
            if table.name not in self._loaded:
                self.master.rows(table.name)  # says that the table was never loaded
        if not self.serves("lookup_product"):
            self._counts.answered(len(pairs), 0)
            return self.master.product(pairs)
        try:
            self.card.check_product(pairs)
        except ConfigError:
            if not self.fallback:
                raise
            self._counts.fallback("product", len(pairs))
            self._counts.answered(len(pairs), 0)
            return self.master.product(pairs)
        result = self.card.prepare_product(pairs)
        try:
            self.card.answer(result)
        except LOST as error:
            self._lose(error)
        if result.too_long:
            self._count_too_long(result.too_long)
        values, done = result.values(pairs.quotient), result.done(pairs.quotient)
        if values is None:
            return self.master.product(pairs)
        if not done.all():
            values[~done] = self.master.product(pairs.select(~done))
        self._counts.answered(len(pairs) - int(done.sum()), int(done.sum()))
        return values

    def lookup_at(self, parts: Sequence[BagsAt]) -> bool:
        """Leave everything to `lookup`."""
        del parts
        return False

    def _answer(self, bags: Bags, arrays: dict[str, NDArray[Any]]) -> int:
        """Answer on the card, the rest on the CPU; return how many bags the card answered."""
        card, master = self.card, self.master
        result = card.prepare(bags)
        try:
            card.answer(result)
        except LOST as error:
            self._lose(error)
        if result.too_long:
            self._count_too_long(result.too_long)
        answered = 0
        for name in bags:
            values, done = card.vectors(result, name), result.done(name)
            if values is not None:
                arrays[name][...] = values
            if not done.all():
                rest = select(result.bags[name], ~done)
                missing = master.lookup(Bags({name: rest}))[name]
                if self.tables[name].pooling is Pooling.NONE:  # a bag without an id was a null key
                    keys = np.flatnonzero(~done)
                    arrays[name][keys] = 0
                    arrays[name][keys[rest.lengths > 0]] = missing
                else:
                    arrays[name][~done] = missing
            answered += _whole_bags(self.tables[name], bags[name], done)
        return answered

    def _count_too_long(self, bags: int) -> None:
        text = f"{bags} bags are too long to be continued over the card's frames at this MTU"
        if not self.fallback:
            raise ConfigError(
                f"{text}.",
                allowed="bags that fit one frame.",
                do="Raise mtu, or allow the fallback to the CPU.",
            )
        self._counts.fallback("bag_too_long", bags)
        if "bag_too_long" not in self._logged:
            self._logged.add("bag_too_long")
            _log.warning("%s; the CPU answers them (logged once)", text)

    def compute(self, call: str, action: Callable[[Kernels], _T | None]) -> _T | None:
        """Let the card's kernels compute; None: it is lost, and the CPU may do it, or it does not fit them."""
        if not self.serves(call):
            return None
        try:
            return action(self.card.kernels)
        except LOST as error:
            self._lose(error)
            return None

    # -- rows ---------------------------------------------------------------------------------------------------------

    def update(self, name: str, ids: Any, rows: Any) -> None:
        """Overwrite rows of the master, then of the card."""
        serves = self.serves("update")
        self.master.update(name, ids, rows)
        if serves:
            self.on_card(lambda card: card.update(name, ids, rows))

    def install(self, table: Table, weights: Any, alone: Alone) -> None:
        """Load or add a table: the master's rows, then the card's."""
        ready = staged(table, lambda: self.master.stage(table, weights))
        with alone():
            if table.name in self.tables:
                self.master.commit(ready)
                self._loaded.add(table.name)
                if self.serves("load"):
                    self.on_card(lambda card: card.load(table.name, self.rows(table.name)))
                return
            self.card.check_new(table)
            if self.serves("add_table"):
                self.on_card(lambda card: card.add(table, ready.rows))
            self._hold(ready)
            self._loaded.add(table.name)

    def grow(self, table: Table, more: Any | None, alone: Alone) -> None:
        """Put rows behind those of a loaded table, on the master and on the card."""
        ready = staged(table, lambda: self.master.stage_grown(table, more))
        with alone():
            if self.serves("grow"):
                self.on_card(lambda card: card.grow(table, ready.rows))
            self._hold(ready)

    def _hold(self, ready: Staged) -> None:
        """Let the master have what the card has, and the card know of it in case that it was lost."""
        self.master.commit(ready)
        self.tables = {**self.tables, ready.table.name: ready.table}
        self.card.note(self.tables)

    def drop(self, name: str) -> None:
        """Forget a table, first on the card: while it serves, it has what the master has."""
        if self.serves("drop_table"):
            self.on_card(lambda card: card.drop(name))
        self.master.drop(name)
        self._loaded.discard(name)
        self.tables = {known: table for known, table in self.tables.items() if known != name}
        self.card.note(self.tables)

    def holds(self, name: str) -> bool:
        """Return whether a table was loaded."""
        return name in self._loaded

    def rows(self, name: str) -> NDArray[Any]:
        """Return the master rows of a table."""
        return self.master.rows(name)

    # -- the card's life ----------------------------------------------------------------------------------------------

    def reattach(self) -> None:
        """Check the card's identity and reload every table from the master; raises what is still wrong."""
        card = self.card
        try:
            card.reattach()
            for name in self.tables:
                if name in self._loaded:
                    card.load(name, self.rows(name))
        except BaseException as error:
            self.lost = error  # also when it was serving until now
            raise
        self.lost = None
        _log.info("the card serves again as target %s", card.name)

    def on_card(self, action: Callable[[CardBackend], None]) -> None:
        """Do something on the card; when it is lost over it, the CPU serves from there on."""
        try:
            action(self.card)
        except LOST as error:
            self._lose(error)
        except ConfigError:
            raise  # refused before anything was sent
        except BaseException as error:
            # Interrupted: the card may hold some of the new rows only. The master has all, so it serves from here on.
            self.lost = error
            raise

    def _lose(self, error: Exception) -> None:
        """Note that the card is lost: count, log once, and raise when there is no fallback."""
        self.lost = error
        self._counts.fallback(type(error).__name__)
        if not self.fallback:
            raise error
        _log.warning(
            "the card (target %s) is lost, the cpu serves from here on: %s: %s",
            self.card.name,
            type(error).__name__,
            error,
        )

    def serves(self, call: str) -> bool:
        """Return whether the card serves; raise when it is lost and nobody else may."""
        if self.lost is None:
            return True
        if self.fallback:
            return False
        raise LinkError(f"{call}: {self.loss()} and fallback=False. Do: call reattach().")

    def loss(self) -> str:
        """Return how the card was lost."""
        return f"the card was lost before ({type(self.lost).__name__}: {self.lost})"


def _whole_bags(table: Table, bags: TableBags, done: NDArray[np.bool_]) -> int:
    """Return how many bags are answered; `done` is by bag, or by id of a table without pooling."""
    if table.pooling is not Pooling.NONE:
        return int(done.sum())
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(done, dtype=np.int64)])
    return int((before[bags.offsets[1:]] - before[bags.offsets[:-1]] == bags.lengths).sum())
