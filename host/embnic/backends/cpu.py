# SPDX-License-Identifier: Apache-2.0
"""Answer lookups on the CPU: native code when the extension was compiled, else numpy; the same bits
with both. The native code knows every format and pooling, in key order; the order `tree` is numpy's.

The numpy twin handles all bags of a table together: first the first key of every bag, then the
second of every bag that has one, and so on. So each bag still sees its keys in order, and the
Python loop is as long as the longest bag.
"""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arithmetic import canonical, fma, narrow, storage_count, widen
from ..bags import Bags, TableBags
from ..config import Table
from ..errors import ConfigError
from ..gen.wire import NULL_ROW, DType, Pooling
from ..products import ProductBags
from ..quantised import QuantisedRows, dequantise, split
from .base import EVERYTHING, BagsAt, HostTables, OnHost, Staged, output_arrays
from .cpu_native import NativeTables

__all__ = [
    "CpuBackend",
    "counted_keys",
    "finish_bags",
    "native_module",
    "pool_pairs",
    "pool_numpy",
    "unpool_numpy",
]

_log = logging.getLogger("embnic.cpu")

CHUNK_BYTES = 8 << 20  # accumulators, or products, that the numpy twin works on at a time
SATURATIONS = "saturations"
INT32 = np.iinfo(np.int32)

Take = Callable[[Table, NDArray[np.int64]], NDArray[Any]]  # stored rows [n, columns] of ids [n]
Accumulators = NDArray[Any]  # float32, or int32 for `fixed`: [B, dim]


def native_module() -> ModuleType | None:
    """Return the compiled extension, or None where it was not built."""
    try:
        return importlib.import_module("embnic._native")
    except ImportError:
        return None


class CpuBackend(OnHost):
    """Answer lookups on the CPU; those of several threads at once.

    `engine` says which code runs: "native", "numpy", or "auto" for the first of them that is there.
    `isa` and `threads` are the native code's: its instructions, and the threads of a large lookup.

    `lookup` checks bags itself, in the pass that reads them: no `validate_against` is needed before.
    After an error the contents of `out` are not defined.
    """

    name = "cpu"
    parallel = True
    capabilities = EVERYTHING

    def __init__(
        self,
        tables: Iterable[Table],
        *,
        engine: str = "auto",
        isa: str = "auto",
        threads: int | None = None,
    ) -> None:
        """Take the tables; `load` gives them rows."""
        native = _choose(engine)
        self.native = None if native is None else NativeTables(native, isa=isa, threads=threads)
        copy_of = np.copy if self.native is None else self.native.copy_of
        self._host = HostTables(tables, "CpuBackend", copy_of=copy_of)
        for table in self._host.tables.values():
            self.capabilities.check(table, self.name)
        self.engine = "numpy" if self.native is None else "native"
        _log.debug("lookups run in %s code", self.engine)

    def load(self, table: str, weights: Any) -> None:
        """Set all rows of a table: [rows, dim]."""
        self.commit(self.stage(self._host.table(table), weights))

    def commit(self, staged: Staged) -> None:
        """Serve what was staged."""
        super().commit(staged)
        if self.native is not None and self.native.takes(staged.table):
            self.native.set(staged.table, staged.rows)

    def drop(self, name: str) -> None:
        """Forget a table."""
        super().drop(name)
        if self.native is not None:
            self.native.drop(name)

    def update(self, table: str, ids: Any, rows: Any) -> None:
        """Overwrite rows: `ids` [n], `rows` [n, dim]; a repeated id keeps its last row."""
        self._host.update(table, ids, rows)

    def rows(self, table: str) -> NDArray[Any]:
        """Return the stored rows of a table, [rows, columns]: a view, do not change it."""
        return self._host.rows(table)

    def lookup(
        self, bags: Bags, out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag: for each table of `bags` an array [B, dim]; [L, dim] without pooling."""
        self._host.check_open("lookup")
        if self.native is not None:
            pooled: dict[str, NDArray[Any]] | None = self.native.lookup(bags.by_name, out)
            if pooled is not None:
                return pooled
        return self._lookup_checked(bags, out)

    def product(self, pairs: ProductBags) -> NDArray[np.float32]:
        """Return the sums float32 [B, dim] of bags of pairs, with numpy."""
        self._host.check_open("product")
        first, second = pairs.check(self._host.tables)
        for table in (first, second):
            self._host.rows(table.name)  # says that the table was never loaded
        pooled = pool_pairs(first, second, pairs, lambda table, ids: self.rows(table.name)[ids])
        asked = TableBags(
            np.repeat(pairs.quotients.values, 2), 2 * pairs.quotients.offsets
        )  # two keys a pair
        self._host.count(Bags({first.name: asked}))
        return pooled

    @property
    def lookup_at(self) -> Callable[[Sequence[BagsAt]], bool] | None:
        """Return what answers bags at addresses (see `Engine.lookup_at`); None without native code."""
        return None if self.native is None else self.native.lookup_at

    def _lookup_checked(
        self, bags: Bags, out: Mapping[str, NDArray[Any]] | None
    ) -> dict[str, NDArray[Any]]:
        """Say what is wrong with the request; or answer it, with numpy where native code does not."""
        bags = bags.validate_against(self._host.tables)
        pooled = output_arrays(self._host.tables, bags, out)
        rest, native = dict(bags.by_name), {}
        for name in bags:
            self._host.rows(name)  # says that the table was never loaded
            if self.native is not None and self.native.holds(name):
                native[name] = _plain(name, rest.pop(name))
        if self.native is not None and native:
            results = {name: pooled[name] for name in native}
            if self.native.lookup(native, results) is None:
                raise ConfigError(
                    f"The bags of {', '.join(map(repr, native))} changed during the lookup.",
                    allowed="arrays that stay as they are until it returns.",
                    do="Copy them, or wait.",
                )
        saturations = 0
        for name, given in rest.items():
            table, weights = self._host.table(name), self._host.rows(name)
            if table.pooling is Pooling.NONE:
                unpool_numpy(table, weights, given.values, pooled[name])
            else:
                saturations += pool_numpy(table, weights, given, pooled[name])
        if rest:
            counted = not native  # else the extension did
            self._host.count(Bags(rest), saturations=saturations, lookups=int(counted))
        return pooled

    def stats(self) -> dict[str, int]:
        """Return the counters since the start."""
        counted = Counter(self._host.counters)
        if self.native is not None:
            counted.update(self.native.counters())
        return dict(counted)

    def close(self) -> None:
        """Give the tables back; may be called twice."""
        self._host.close()
        if self.native is not None:
            self.native.close()


def _plain(name: str, given: TableBags) -> TableBags:
    """Return bags as aligned contiguous arrays with offsets that are right, or refuse them."""
    arrays = (given.values, given.offsets, given.weights)
    aligned = [
        None if each is None else np.require(each, requirements=["C", "A"]) for each in arrays
    ]
    return Bags.from_torch({name: tuple(aligned)}, include_last_offset=True)[name]


def unpool_numpy(
    table: Table, weights: NDArray[Any], ids: NDArray[np.int64], out: NDArray[Any]
) -> None:
    """Write the row of every id into `out` [L, dim]; zeros for null keys and the padding row."""
    absent = ids == NULL_ROW
    if table.padding_idx is not None:
        absent |= ids == table.padding_idx
    step = max(1, CHUNK_BYTES // (4 * table.dim))
    for first in range(0, len(ids), step):
        part = slice(first, first + step)
        stored = weights[np.where(absent[part], 0, ids[part])]
        if table.quantised or table.dtype is DType.FIXED:
            ones = np.ones(len(stored), np.int64)
            out[part] = finish_bags(table, _elements(table, stored), ones)
        else:
            out[part] = stored
        out[part][absent[part]] = 0


def pool_numpy(table: Table, weights: NDArray[Any], bags: TableBags, out: NDArray[Any]) -> int:
    """Pool every bag into `out` [B, dim] with numpy alone; return the additions that saturated."""
    ids, starts, w = _without_padding(table, bags)
    tally: Counter[str] = Counter()
    step = max(1, CHUNK_BYTES // (4 * table.dim * (table.tree_k or 1)))
    for first in range(0, len(bags), step):
        part = slice(first, min(first + step, len(bags)))
        lengths = np.diff(starts[part.start : part.stop + 1])
        run = _Run(table, weights, ids, w, tally)
        out[part] = finish_bags(table, run.accumulate(starts[part], lengths), lengths)
    return tally[SATURATIONS]


def pool_pairs(first: Table, second: Table, pairs: ProductBags, take: Take) -> NDArray[np.float32]:
    """Return the sums float32 [B, dim] of bags of pairs that fit the tables; `take` gives stored rows."""
    bags = pairs.quotients
    rows = Table("product", rows=max(len(bags.values), 1), dim=first.dim, pooling=Pooling.SUM)
    most = max(1, CHUNK_BYTES // (4 * first.dim))
    out = np.zeros((len(bags), first.dim), np.float32)
    at = 0
    while at < len(bags):
        stop = int(np.searchsorted(bags.offsets, bags.offsets[at] + most, side="right")) - 1
        stop = max(stop, at + 1)
        span = slice(int(bags.offsets[at]), int(bags.offsets[stop]))
        sides = ((first, bags.values[span]), (second, pairs.remainders[span]))
        there = np.ones(span.stop - span.start, np.bool_)
        for table, ids in sides:
            there &= (ids != NULL_ROW) & (ids != table.padding_idx)
        factors = [_elements(table, take(table, ids[there])) for table, ids in sides]
        with np.errstate(all="ignore"):
            products = factors[0] * factors[1]
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(there, dtype=np.int64)])
        weights = None if bags.weights is None else bags.weights[span][there]
        edges = before[bags.offsets[at : stop + 1] - span.start]
        kept = TableBags(np.arange(len(products)), edges, weights)
        pool_numpy(rows, products, kept, out[at:stop])
        at = stop
    return out


def counted_keys(table: Table, bags: TableBags) -> NDArray[np.int64]:
    """Return how many keys of each bag count, padding left out: int64 [B]."""
    return np.diff(_without_padding(table, bags)[1])


def _without_padding(
    table: Table, bags: TableBags
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32] | None]:
    """Return ids, offsets and weights with the padding row's keys left out."""
    if table.padding_idx is None:
        return bags.values, bags.offsets, bags.weights
    kept = bags.values != table.padding_idx
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])
    return (
        bags.values[kept],
        before[bags.offsets],
        None if bags.weights is None else bags.weights[kept],
    )


class _Run(NamedTuple):
    """Hold what the bags of a table are made of; padding has been left out."""

    table: Table
    weights: NDArray[Any]  # stored rows
    ids: NDArray[np.int64]
    w: NDArray[np.float32] | None
    tally: Counter[str]

    def accumulate(self, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Accumulators:
        """Return the accumulators of bags of which bag b has `lengths[b]` ids from `starts[b]`."""
        longest_first = np.argsort(-lengths, kind="stable")
        starts, lengths = starts[longest_first], lengths[longest_first]
        leaves = self.table.tree_k or 1
        kind = np.int32 if self.table.dtype is DType.FIXED else np.float32
        sums = [np.zeros((len(starts), self.table.dim), kind) for _ in range(leaves)]
        with np.errstate(all="ignore"):
            for k in range(int(lengths[0]) if len(lengths) else 0):
                live = int(np.searchsorted(-lengths, -k, side="left"))  # bags with more than k keys
                acc = sums[k % leaves]
                acc[:live] = self._add(starts[:live] + k, acc[:live], first=k < leaves)
            while len(sums) > 1:
                half = len(sums) // 2
                sums = [
                    self._merge(sums[at], sums[at + half], lengths > at + half)
                    for at in range(half)
                ]
        in_order: Accumulators = np.empty_like(sums[0])
        in_order[longest_first] = sums[0]
        if self.table.pooling is Pooling.MAX or self.table.dtype is DType.FIXED:
            return in_order
        return canonical(in_order)

    def _add(self, at: NDArray[np.int64], acc: Accumulators, *, first: bool) -> Accumulators:
        """Return `acc` with the key at position `at[b]` added to bag b."""
        table, stored = self.table, self.weights[self.ids[at]]
        w = None if self.w is None else self.w[at, np.newaxis]
        if table.pooling is Pooling.MAX:
            x = _elements(table, stored)
            return x if first else np.where(x > acc, x, acc)
        if table.dtype is DType.FIXED:
            return self._saturated(acc, stored)
        if table.quantised:
            rows = _apart(table, stored)
            scale, bias = rows.scale[:, np.newaxis], rows.bias[:, np.newaxis]
            if w is not None:
                scale, bias = scale * w, bias * w
            return fma(scale, rows.q.astype(np.float32), acc + bias)
        x = widen(stored, table.dtype)
        if w is None:
            return acc + x
        return acc + w * x if table.mul_then_add else fma(w, x, acc)

    def _merge(
        self, acc: Accumulators, other: Accumulators, present: NDArray[np.bool_]
    ) -> Accumulators:
        """Return `acc` with `other` merged in the bags where that holds a key."""
        if self.table.pooling is Pooling.MAX:
            return np.where(present[:, np.newaxis] & (other > acc), other, acc)
        if self.table.dtype is DType.FIXED:
            return self._saturated(acc, other)  # an absent one is zero
        return np.where(present[:, np.newaxis], acc + other, acc)

    def _saturated(self, acc: NDArray[np.int32], addend: NDArray[np.int32]) -> NDArray[np.int32]:
        exact = acc.astype(np.int64) + addend
        held = np.clip(exact, INT32.min, INT32.max)
        self.tally[SATURATIONS] += int((held != exact).sum())
        narrowed: NDArray[np.int32] = held.astype(np.int32)
        return narrowed


def _apart(table: Table, stored: NDArray[Any]) -> QuantisedRows:
    return split(stored, table.dtype, table.dim)


def _elements(table: Table, stored: NDArray[Any]) -> NDArray[Any]:
    """Return stored rows as the numbers that are compared: float32, or int32 for `fixed`."""
    if table.dtype is DType.FIXED:
        return stored
    if table.quantised:
        return canonical(dequantise(_apart(table, stored)))
    return widen(stored, table.dtype)


def finish_bags(table: Table, acc: Accumulators, counts: NDArray[np.int64]) -> NDArray[Any]:
    """Return the vectors [B, dim] in the type of the results: scaled if `fixed`, divided for a
    mean, rounded. `counts` [B] leave padding out; an empty bag's accumulator is zeros and stays so.
    """
    if table.fixed_scale_exp is not None:
        with np.errstate(all="ignore"):
            acc = np.ldexp(acc.astype(np.float32), table.fixed_scale_exp)
    half_up = (
        table.dtype is DType.BF16 and table.pooling is not Pooling.MAX and not table.mul_then_add
    )
    stored = narrow(acc, table.dtype, half_up=half_up)
    if table.pooling is not Pooling.MEAN:
        return stored
    divisor = storage_count(np.maximum(counts, 1), table.dtype)[:, np.newaxis]
    with np.errstate(all="ignore"):
        quotient = canonical(widen(stored, table.dtype) / divisor)
    return narrow(quotient, table.dtype)


def _choose(engine: str) -> ModuleType | None:
    if engine not in ("auto", "native", "numpy"):
        raise ConfigError(
            f"engine is {engine!r}.",
            allowed="'auto', 'native', 'numpy'.",
            do="Leave it out for the best one.",
        )
    if engine == "numpy":
        return None
    native = native_module()
    if native is None and engine == "native":
        raise ConfigError(
            "engine is 'native', but the extension embnic._native was not built.",
            allowed="'numpy' here.",
            do="Install a C++ compiler (apt install g++) and run `pip install .` again.",
        )
    return native
