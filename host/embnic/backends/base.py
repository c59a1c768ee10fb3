# SPDX-License-Identifier: Apache-2.0
"""Say what every backend can do, in the same words."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..arithmetic import OUTPUT
from ..bags import Bags, TableBags
from ..config import MAX_DIM, Table, tables_by_name
from ..errors import ClosedError, ConfigError
from ..gen.wire import DType, Hold, Order, Pooling
from ..products import ProductBags
from ..rows import check_ids, to_storage

MAX_TREE_K = 16

if TYPE_CHECKING:
    from ..residency import Prefetched

__all__ = [
    "BagsAt",
    "EVERYTHING",
    "Backend",
    "Capabilities",
    "HostTables",
    "LiveTables",
    "MultipliesRows",
    "OnHost",
    "RowHolder",
    "Staged",
    "output_arrays",
]


_OUTPUT = [OUTPUT[dtype] for dtype in sorted(DType)]  # by code: hashing an enum member is slow
_NONE = Pooling.NONE
assert sorted(DType) == list(range(len(DType)))


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
    remote: bool = True  # rows may be held by another card; on a host that makes no difference
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
        if table.remote and not self.remote:
            raise ConfigError(
                f"{where} its rows are held by card {table.owner}, and {target!r} fetches no rows of others.",
                allowed="tables without an owner here.",
                do="Use a card that says CAP_REMOTE_FETCHES and is given their owners' memory, or leave `owner` out.",
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


@runtime_checkable
class RowHolder(Protocol):
    """A backend with a row cache that can be told what to keep."""

    def hold_rows(self, table: str, ids: Any, hold: Hold) -> Prefetched:
        """Fetch rows into the cache, hold or release them: `ids` [n]."""
        ...

    def fill(self, table: str, ids: Any, rows: Any, hold: Hold) -> None:
        """Overwrite rows, which are in the cache afterwards, held so where there is room."""
        ...

    def configure_cache(self, *, cached_ways: int = 1, admission: bool = False) -> None:
        """Set how many ways of every set held rows leave to others, and the admission filter."""
        ...


@runtime_checkable
class MultipliesRows(Protocol):
    """A backend that sums products of two tables' rows."""

    def product(self, pairs: ProductBags) -> NDArray[np.float32]:
        """Return the sums float32 [B, dim] of bags of pairs."""
        ...


class BagsAt(NamedTuple):
    """Say where the bags of a table lie in memory, and where their vectors go; all of it contiguous.

    `offsets` says where the bags start, int64 [bags], and when `closed` where the last one ends, too: [bags + 1].
    """

    table: str
    ids: int  # address of int64 [total]
    total: int
    offsets: int  # address
    bags: int
    closed: bool
    weights: int  # address of float32 [total], or 0
    out: int  # address of [bags, D] in the type of the table's results


class Staged(NamedTuple):
    """A table whose rows are ready to be served, and are not yet."""

    table: Table
    rows: NDArray[Any]  # [rows, columns] in the storage type, the receiver's own


@runtime_checkable
class LiveTables(Protocol):
    """Change tables while lookups run.

    `stage` and `stage_grown` take their time beside lookups; `commit` and `drop` are quick and run between two of them.
    """

    def stage(self, table: Table, weights: Any) -> Any:
        """Return a table with all its rows, to be added or to replace the one of its name."""
        ...

    def stage_grown(self, table: Table, more: Any | None) -> Any:
        """Return the loaded table of that name with the rows `more` [n, dim] behind its own; None: rows of zeros."""
        ...

    def commit(self, staged: Any) -> None:
        """Serve what was staged from now on."""
        ...

    def drop(self, name: str) -> None:
        """Forget a table."""
        ...


class HostTables:
    """Hold tables in host memory, each as one array [rows, columns] of its storage type; columns
    are the dim, or the bytes of a quantised row.

    What every backend that computes on the host shares: checks, load, update, counters.
    """

    def __init__(
        self,
        tables: Iterable[Table],
        owner: str,
        *,
        copy_of: Callable[[NDArray[Any]], NDArray[Any]] = np.copy,
    ) -> None:
        """Take the tables; no memory is used before `load`, which keeps `copy_of` the rows."""
        self._copy_of = copy_of
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
        self._mutex = threading.Lock()  # of the counters: lookups may run in several threads

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
        self.commit(self.stage(self.table(name), weights))

    def stage(self, table: Table, weights: Any) -> Staged:
        """Return a table with its own copy of `weights` [rows, dim]; see `LiveTables`."""
        self.check_open("load")
        return Staged(table, self._copy_of(to_storage(table, weights, rows=table.rows)))

    def stage_grown(self, table: Table, more: Any | None) -> Staged:
        """Return a loaded table with more rows behind its own; see `LiveTables`."""
        self.check_open("grow")
        held = self.rows(table.name)
        rows = self._copy_of(np.zeros((table.rows, held.shape[1]), held.dtype))
        rows[: len(held)] = held
        if more is not None:
            rows[len(held) :] = to_storage(table, more, rows=table.rows - len(held))
        return Staged(table, rows)

    def commit(self, staged: Staged) -> None:
        """Serve a staged table; see `LiveTables`."""
        self.check_open("load")
        name = staged.table.name
        self.tables = {**self.tables, name: staged.table}
        self._rows[name] = staged.rows

    def drop(self, name: str) -> None:
        """Forget a table; see `LiveTables`."""
        self.check_open("drop_table")
        self.table(name)
        self.tables = {known: table for known, table in self.tables.items() if known != name}
        self._rows.pop(name, None)

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

    def count(self, bags: Bags, *, saturations: int = 0, lookups: int = 1) -> None:
        """Count a lookup (0: another part of it was counted) and the elements of its additions that saturated."""
        total, keys = bags.bags_total, bags.keys_total
        with self._mutex:
            self.counters["lookups"] += lookups
            self.counters["bags"] += total
            self.counters["keys"] += keys
            self.counters["saturations"] += saturations

    def close(self) -> None:
        """Free the rows."""
        self._rows.clear()
        self._closed = True


class OnHost:
    """Be `LiveTables` with the `HostTables` that a backend holds as `_host`."""

    _host: HostTables

    def stage(self, table: Table, weights: Any) -> Staged:
        """Return a table with all its rows."""
        return self._host.stage(table, weights)

    def stage_grown(self, table: Table, more: Any | None) -> Staged:
        """Return a loaded table with more rows."""
        return self._host.stage_grown(table, more)

    def commit(self, staged: Staged) -> None:
        """Serve what was staged."""
        self._host.commit(staged)

    def drop(self, name: str) -> None:
        """Forget a table."""
        self._host.drop(name)


def output_arrays(
    tables: Mapping[str, Table], bags: Bags, out: Mapping[str, NDArray[Any]] | None
) -> dict[str, NDArray[Any]]:
    """Return an array [B, dim], or [L, dim] without pooling, of the type of its results for each
    table, from `out` where given.
    """
    if out is None:
        return {name: np.empty(*_result(tables[name], part)) for name, part in bags.items()}
    for name in out:
        if name not in bags:
            raise ConfigError(
                f"out has an array for {name!r}, for which there are no bags.",
                allowed=", ".join(repr(known) for known in bags) + ".",
                do="Name the arrays as the bags are named.",
            )
    arrays: dict[str, NDArray[Any]] = {}
    for name, part in bags.items():
        shape, dtype = _result(tables[name], part)
        if name not in out:
            arrays[name] = np.empty(shape, dtype)
            continue
        array = out[name]
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


def _result(table: Table, bags: TableBags) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Return the shape and type of a table's results."""
    unpooled = table.pooling is _NONE
    count = len(bags.values) if unpooled else len(bags.offsets) - 1
    return (count, table.dim), _OUTPUT[table.dtype]


def _names(members: Iterable[enum.IntEnum]) -> str:
    return ", ".join(repr(m.name.lower()) for m in sorted(members))
