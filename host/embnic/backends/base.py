# SPDX-License-Identifier: Apache-2.0
"""Say what every backend can do, in the same words."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..arithmetic import OUTPUT
from ..bags import Bags
from ..config import MAX_DIM, Table, tables_by_name
from ..errors import ClosedError, ConfigError
from ..gen.wire import DType, Order, Pooling
from ..rows import check_ids, to_storage

MAX_TREE_K = 16

__all__ = ["EVERYTHING", "Backend", "Capabilities", "HostTables", "output_arrays"]


@dataclass(frozen=True)
class Capabilities:
    """State what a backend takes, so that the engine can refuse the rest in its own words.

    >>> Capabilities(max_dim=128).check(Table("item", rows=10, dim=256, pooling="sum"), "tiny")
    Traceback (most recent call last):
    embnic.errors.ConfigError: Table 'item': dim 256 does not fit the target 'tiny'. ...
    """

    dtypes: frozenset[DType] = frozenset({DType.FP32})
    poolings: frozenset[Pooling] = frozenset({Pooling.SUM, Pooling.MEAN, Pooling.MAX})
    orders: frozenset[Order] = frozenset({Order.SEQUENTIAL})
    weighted: bool = True
    max_dim: int = MAX_DIM
    max_tree_k: int = MAX_TREE_K
    tree_vec64: int | None = None  # tree_k vectors take so many 64-byte units at most; None: any
    peer_to_peer: bool = False  # a card writes GPU memory by itself; no backend claims it

    def check(self, table: Table, target: str) -> None:
        """Refuse a table that the backend cannot hold."""
        do = "Choose a target that takes it, such as 'cpu'."
        where = f"Table {table.name!r}:"
        for what, member, taken in (
            ("dtype", table.dtype, self.dtypes),
            ("pooling", table.pooling, self.poolings),
            ("order", table.order, self.orders),
        ):
            if member not in taken:
                raise ConfigError(
                    f"{where} {what} {member.name.lower()!r} is not built for {target!r}.",
                    allowed=f"{_names(taken)}.",
                    do=do,
                )
        if table.tree_k is not None:
            most = self.max_tree_k
            if self.tree_vec64 is not None:
                most = min(most, self.tree_vec64 // table.vec64)
            if table.tree_k > most:
                raise ConfigError(
                    f"{where} tree_k {table.tree_k} with dim {table.dim} does not fit the target {target!r}.",
                    allowed=f"up to {most} running sums of that dim."
                    if most > 1
                    else "smaller dims in order 'tree'.",
                    do=do,
                )
        if table.dim > self.max_dim:
            raise ConfigError(
                f"{where} dim {table.dim} does not fit the target {target!r}.",
                allowed=f"1 to {self.max_dim}.",
                do=do,
            )


EVERYTHING = Capabilities(
    dtypes=frozenset(DType),
    poolings=frozenset(Pooling),
    orders=frozenset(Order) - {Order.MEMO},
)


@runtime_checkable
class Backend(Protocol):
    """Hold tables and answer lookups.

    Rows go in and vectors come out in the table's storage type, as with torch: float32, float16,
    and for bf16 uint16 bit patterns. Quantised rows go in as uint8 and `fixed` ones as int32; their
    vectors are float32. `load` and `update` also take float32 and round or quantise it.
    """

    name: str
    capabilities: Capabilities

    def load(self, table: str, weights: Any) -> None:
        """Set all rows of a table: [rows, dim]."""
        ...

    def update(self, table: str, ids: Any, rows: Any) -> None:
        """Overwrite rows: `ids` [n], `rows` [n, dim]; a repeated id keeps its last row."""
        ...

    def lookup(
        self, bags: Bags, out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag: for each table of `bags` an array [B, dim], in `out` where given.

        A table without pooling gives the row of every id: [L, dim], in the order of the ids.
        """
        ...

    def stats(self) -> dict[str, int]:
        """Return the counters since the start."""
        ...

    def close(self) -> None:
        """Give the tables back; may be called twice."""
        ...


class HostTables:
    """Hold tables in host memory, each as one array [rows, columns] of its storage type; columns
    are the dim, or the bytes of a quantised row.

    What every backend that computes on the host shares: checks, load, update, counters.
    """

    def __init__(self, tables: Iterable[Table], owner: str) -> None:
        """Take the tables; no memory is used before `load`."""
        self.tables = tables_by_name(tables)
        self.counters = {
            "lookups": 0,
            "bags": 0,
            "keys": 0,
            "updates": 0,
            "update_rows": 0,
            "saturations": 0,
        }
        self._owner = owner
        self._rows: dict[str, NDArray[Any]] = {}
        self._closed = False

    def table(self, name: str) -> Table:
        """Return the table of that name."""
        if name not in self.tables:
            raise ConfigError(
                f"The table {name!r} does not exist.",
                allowed=", ".join(repr(n) for n in self.tables) + ".",
                do="Name a table that was given at the start.",
            )
        return self.tables[name]

    def check_open(self, call: str) -> None:
        """Refuse a call after close."""
        if self._closed:
            raise ClosedError(f"{self._owner}.{call}")

    def load(self, name: str, weights: Any) -> None:
        """Keep a copy of `weights` [rows, dim] in the storage type."""
        self.check_open("load")
        table = self.table(name)
        stored = to_storage(table, weights, rows=table.rows)
        self._rows[name] = np.array(stored, copy=True)

    def update(self, name: str, ids: Any, rows: Any) -> None:
        """Overwrite the rows `ids` in order."""
        self.check_open("update")
        table = self.table(name)
        checked = check_ids(table, ids)
        stored = to_storage(table, rows, rows=len(checked))
        held = self.rows(name)
        # numpy does not promise which of several equal indices wins; the last one has to.
        last = len(checked) - 1 - np.unique(checked[::-1], return_index=True)[1]
        held[checked[last]] = stored[last]
        self.counters["updates"] += 1
        self.counters["update_rows"] += len(checked)

    def rows(self, name: str) -> NDArray[Any]:
        """Return the stored rows of a table: [rows, columns]."""
        self.table(name)
        if name not in self._rows:
            raise ConfigError(
                f"The table {name!r} has no rows yet.",
                allowed="lookups and updates after load.",
                do=f"Call load({name!r}, weights) first.",
            )
        return self._rows[name]

    def count(self, bags: Bags, *, saturations: int = 0) -> None:
        """Count one lookup, and the elements of its additions that saturated."""
        self.counters["lookups"] += 1
        self.counters["bags"] += bags.bags_total
        self.counters["keys"] += bags.keys_total
        self.counters["saturations"] += saturations

    def close(self) -> None:
        """Free the rows."""
        self._rows.clear()
        self._closed = True


def output_arrays(
    tables: Mapping[str, Table], bags: Bags, out: Mapping[str, NDArray[Any]] | None
) -> dict[str, NDArray[Any]]:
    """Return an array [B, dim], or [L, dim] without pooling, of the type of its results for each
    table, from `out` where given.
    """
    given = {} if out is None else out
    for name in given:
        if name not in bags:
            raise ConfigError(
                f"out has an array for {name!r}, for which there are no bags.",
                allowed=", ".join(repr(known) for known in bags) + ".",
                do="Name the arrays as the bags are named.",
            )
    arrays: dict[str, NDArray[Any]] = {}
    for name in bags:
        table, part = tables[name], bags[name]
        count = len(part.values) if table.pooling is Pooling.NONE else len(part)
        shape, dtype = (count, table.dim), OUTPUT[table.dtype]
        if name not in given:
            arrays[name] = np.empty(shape, dtype)
            continue
        array = given[name]
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
            got = (
                f"{array.dtype} {list(array.shape)}"
                if isinstance(array, np.ndarray)
                else type(array).__name__
            )
            raise ConfigError(
                f"out[{name!r}] is {got}.",
                allowed=f"a numpy array, {dtype} {list(shape)}.",
                do="Allocate it with that shape and type, or leave it out.",
            )
        if not array.flags.writeable or not array.flags.c_contiguous:
            raise ConfigError(
                f"out[{name!r}] is read-only or not contiguous.",
                allowed="a writable array in C order.",
                do="Pass numpy.empty(...), or leave it out.",
            )
        arrays[name] = array
    return arrays


def _names(members: Iterable[enum.IntEnum]) -> str:
    return ", ".join(repr(m.name.lower()) for m in sorted(members))
