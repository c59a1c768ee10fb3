# SPDX-License-Identifier: Apache-2.0
"""Serve lookups and updates on the chosen target, and go on serving them when the card is lost.

Which target `open` takes is decided by the one table of precedence in `targets.py`; the environment is read then, not
at import.

Losing the card in the middle of a run (DeviceTimeout, DeviceFault, LinkError, ContractMismatch, OSError) moves the
traffic to the CPU: bags that the card had answered keep their answer, the rest of the call and all later calls are
computed from the master copy that the engine keeps in host memory. Every update reaches the master first, so none is
lost. The event is counted by reason and logged once. `reattach()` moves back: it checks the card's identity again and
reloads the tables.

```text
   new ──open()──► open ──card lost──► fallback ──reattach()──► open
                    └────────────── close() ──────┴──► closed
```

Any number of threads may call one engine. Every answer is that of the rows between two changes: a lookup sees a change
whole or not at all. What runs at the same time:

| target | lookups | `update` | `load`, `add_table`, `drop_table`, `grow` |
|---|---|---|---|
| `cpu`, `reference`, a card in fallback | side by side | alone | beside lookups until the last step, which runs alone |
| a card (`rtl`), `gpu`, `model`, `select` | one at a time | alone | the same; a card is written alone |
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends.base import Backend, BagsAt
from .bags import Bags
from .batching import Batcher, Batching
from .config import OutOfRange, Table, enum_member, tables_by_name
from .engine_compute import ComputeEngine
from .errors import ConfigError
from .opening import create_backend
from .products import ProductBags
from .targets import choose

__all__ = ["Engine", "open"]

_log = logging.getLogger("embnic.engine")
_capacity_log = logging.getLogger("embnic.capacity")
_RAISE = OutOfRange.RAISE
DEFAULT_MTU = 1500


def open(
    tables: Iterable[Table],
    target: str = "auto",
    *,
    deadline: float | None = None,
    mtu: int = DEFAULT_MTU,
    fallback: bool = True,
    batching: Batching | None = None,
) -> Engine:
    """Open an engine for `tables` on `target` (see `targets.py` for the precedence).

    `deadline` is the longest a call may wait for the card, in seconds of the card's clock (simulated seconds for
    `rtl`); None leaves it to the target's patience: so long without any answer. `mtu` is the link's, in bytes from the
    IPv4 header. With `fallback=False` a lost card raises instead of moving the traffic to the CPU. `batching` merges
    lookups of several threads (see `Batching`); None does not.

    >>> import numpy as np
    >>> item = Table("item", rows=4, dim=2, pooling="sum")
    >>> with open([item], target="cpu") as engine:
    ...     engine.load("item", np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.float32))
    ...     engine.lookup(Bags.from_lists({"item": [[0, 3, 3], []]}))["item"].tolist()
    [[15.0, 18.0], [0.0, 0.0]]
    """
    named = tables_by_name(tables)
    choice = choose(target, os.environ)
    if choice.why == "EMBNIC_DISABLE=1" and target not in ("auto", "cpu"):
        _log.warning("EMBNIC_DISABLE=1: the target %r that was asked for is not used", target)
    _log.info("%s", choice)
    _check_deadline(deadline)
    _check_mtu(mtu)
    if _log.isEnabledFor(logging.INFO):
        from .capacity import estimate_choice

        _capacity_log.info("%s", estimate_choice(named.values(), choice))
    backend = create_backend(choice.name, choice.configuration, list(named.values()), deadline, mtu)
    try:
        return Engine(named.values(), backend, fallback=fallback, batching=batching)
    except BaseException:
        backend.close()
        raise


def _check_mtu(mtu: int) -> None:
    if mtu != DEFAULT_MTU:  # the frames' module is not needed for the rest of it
        from .framing import check_mtu

        check_mtu(mtu)


def _check_deadline(deadline: float | None) -> None:
    if deadline is None:
        return
    if (
        isinstance(deadline, bool)
        or not isinstance(deadline, (int, float))
        or not 0 < deadline < float("inf")
    ):
        raise ConfigError(
            f"deadline is {deadline!r}.",
            allowed="seconds of the card's clock, above 0, or None.",
            do="Give for example deadline=1e-3, or leave it out.",
        )


class Engine(ComputeEngine):
    """Serve tables on one backend; a context manager.

    `embnic.open` makes the backend; who has one already (a test, a demo with its own card) gives it here. The engine
    owns it from then on and closes it.
    """

    def __init__(
        self,
        tables: Iterable[Table],
        backend: Backend,
        *,
        fallback: bool = True,
        batching: Batching | None = None,
    ) -> None:
        super().__init__(tables, backend, fallback=fallback)
        if batching is not None:
            self._batcher = Batcher(batching, self)

    # -- rows ---------------------------------------------------------------------------------------------------------

    def load(self, name: str, weights: Any) -> None:
        """Set all rows of a table: [rows, D], float32 or the table's storage type.

        A table that is loaded already is replaced under traffic: every request is answered from the old rows or from
        the new ones. Raises CapacityError, and keeps the old rows, when the new ones do not fit beside them.
        """
        with self._change("load"):
            self._server.install(self._table(name), weights, self._alone)
            self._forget_state(name)

    def update(self, name: str, ids: Any, rows: Any) -> None:
        """Overwrite the rows `ids` [n] with `rows` [n, D]; a repeated id keeps its last row.

        When this returns, every later lookup sees the new rows, whoever answers it.
        """
        with self._change("update"):
            self._table(name)
            with self._alone():
                self._server.update(name, ids, rows)
            self._counts.event("updates")

    def add_table(self, table: Table, weights: Any) -> None:
        """Add a table with its rows [rows, D] while lookups run; it can be looked up when this returns."""
        with self._change("add_table"):
            if table.name in self.tables:
                raise ConfigError(
                    f"The table {table.name!r} exists.",
                    allowed="a new name.",
                    do="Use load() for new rows, grow() for more of them, or drop_table() before.",
                )
            self._server.install(table, weights, self._alone)
            self._counts.event("tables_changed")

    def drop_table(self, name: str) -> None:
        """Forget a table and its rows; a lookup that comes later is refused."""
        with self._change("drop_table"):
            self._table(name)
            if len(self.tables) == 1:
                raise ConfigError(
                    f"The table {name!r} is the last one.",
                    allowed="dropping all but one.",
                    do="Close the engine, or add another table before.",
                )
            with self._alone():
                self._server.drop(name)
            self._forget_state(name)
            self._counts.event("tables_changed")

    def grow(self, name: str, rows: int, weights: Any | None = None) -> None:
        """Let a loaded table have `rows` rows while lookups run.

        The new ones are `weights` [rows - old, D], or zeros. Until this returns, their ids are out of range.
        """
        with self._change("grow"):
            old = self._table(name)
            grown = replace(old, rows=rows)
            if grown.rows <= old.rows:
                raise ConfigError(
                    f"Table {name!r}: grow to {rows} rows.",
                    allowed=f"more than the {old.rows} that it has.",
                    do="Give the number of all rows; drop and add the table to make it smaller.",
                )
            self._server.grow(grown, weights, self._alone)
            self._counts.event("tables_changed")

    def host_rows(self, name: str) -> NDArray[Any] | None:
        """Return the stored rows of a loaded table, [rows, columns]: a read-only view of the copy in host memory; None
        where only the device holds them.
        """
        self._check_open("host_rows")
        self._table(name)
        holder: Any = self._backend if self._on_card is None else self._on_card.master
        if holder.name != "cpu":
            return None
        view: NDArray[Any] = holder.rows(name).view()
        view.flags.writeable = False
        return view

    # -- lookups ------------------------------------------------------------------------------------------------------

    def lookup(
        self,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None = None,
        *,
        out_of_range: OutOfRange | str = _RAISE,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag; return for each table of `bags` an array [B, D] of its storage type.

        `out` gives arrays to fill, by table name. `out_of_range` says what becomes of an id the table does not have.
        `deadline`, in seconds, is for the target `select`: it takes a path that answers in time, if one can.
        """
        if deadline is not None:
            self._check_lookup_deadline(deadline)
        if type(bags) is not Bags and not isinstance(bags, Bags):
            raise ConfigError(
                f"bags are a {type(bags).__name__}.",
                allowed="embnic.Bags.",
                do="Build them with Bags.from_lists, from_torch or from_kjt.",
            )
        policy = _RAISE
        if out_of_range is not _RAISE:
            policy = enum_member(
                OutOfRange, out_of_range, "out_of_range", do="Choose one of these."
            )
        if self._batcher is not None:
            return self._batcher.lookup(bags, out, policy, deadline)
        return self.serve(bags, out, policy, deadline)

    def serve(
        self,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None,
        policy: OutOfRange,
        deadline: float | None,
    ) -> dict[str, NDArray[Any]]:
        """Answer one request, beside others where the target can; `lookup` without its checks and merging."""
        server, lock = self._server, self._lock
        if server.shared:
            lock.acquire_read()
            try:
                if server.shared and not self._closed:  # a reattachment may have been between
                    return server.lookup(bags, out, policy, deadline)
            finally:
                lock.release_read()
        self._check_open("lookup")
        with lock.writing():
            self._check_open("lookup")
            return server.lookup(bags, out, policy, deadline)

    def lookup_at(self, parts: Sequence[BagsAt]) -> bool:
        """Answer bags from and into memory at addresses, without a copy: what `embnic.torch` calls on the CPU.

        The caller keeps the memory until this returns. False where the target cannot do it or something is wrong with
        the bags: `lookup` can, or says what. Results may have been written then.
        """
        server, lock = self._server, self._lock
        if self._batcher is not None or not server.shared:
            return False
        lock.acquire_read()
        try:
            if self._closed or not server.shared:
                return False
            return server.lookup_at(parts)
        finally:
            lock.release_read()

    def lookup_product(self, pairs: ProductBags) -> NDArray[np.float32]:
        """Return the sums float32 [B, D] of products of rows of two tables (see `ProductBags`).

        A card multiplies in its pool where it was built to; what it does not take the CPU answers.

        >>> import numpy as np
        >>> tables = [Table(name, rows=3, dim=2, pooling="sum") for name in ("q", "r")]
        >>> with open(tables, target="cpu") as engine:
        ...     engine.load("q", np.array([[1, 1], [2, 2], [3, 3]], np.float32))
        ...     engine.load("r", np.array([[1, 2], [3, 4], [5, 6]], np.float32))
        ...     bags = Bags.from_lists({"item": [[0, 8], []]})["item"]
        ...     engine.lookup_product(ProductBags.split("q", "r", bags, divisor=3)).tolist()
        [[16.0, 20.0], [0.0, 0.0]]
        """
        if not isinstance(pairs, ProductBags):
            raise ConfigError(
                f"pairs are a {type(pairs).__name__}.",
                allowed="embnic.ProductBags.",
                do="Build them with ProductBags.split, or from ids of both tables.",
            )
        server, lock = self._server, self._lock
        if server.shared:
            lock.acquire_read()
            try:
                if server.shared and not self._closed:  # a reattachment may have been between
                    return server.product(pairs)
            finally:
                lock.release_read()
        with self._asking("lookup_product"):
            return server.product(pairs)

    async def alookup(
        self,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None = None,
        *,
        out_of_range: OutOfRange | str = _RAISE,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Do `lookup` without holding up the event loop; see `AsyncEngine`, whose defaults it takes."""
        self._check_open("alookup")
        if self._front is None:
            from .aio import AsyncEngine

            with self._changing:
                self._check_open("alookup")
                self._front = self._front or AsyncEngine(self)
        return await self._front.lookup(bags, out, out_of_range=out_of_range, deadline=deadline)

    def _check_lookup_deadline(self, deadline: float | None) -> None:
        _check_deadline(deadline)
        if self._backend.name != "select":
            raise ConfigError(
                f"lookup(deadline={deadline:g}) on the target {self._backend.name!r}.",
                allowed="deadlines of a lookup on the target 'select'.",
                do="Open target='select', or give open() the deadline of a card.",
            )
