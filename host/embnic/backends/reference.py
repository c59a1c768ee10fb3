# SPDX-License-Identifier: Apache-2.0
"""The meaning of every result: plain loops, one key after the other.

RTL, native code, numpy and GPU are compared with this file bit for bit. The only thing done in
parallel is the elements of a row, which never meet.

The rules for fp32, fp16 and bf16 tables, `x` being the stored element widened to float32 and `acc`
a float32:

| pooling | a key that is not the padding row | the bag's end |
|---|---|---|
| sum | `acc = acc + x`, starting from +0 | round to the storage type |
| sum, weighted | `acc = fma(w, x, acc)` | round to the storage type |
| the same, table with a padding row | `acc = acc + round(w * x)` | round to the storage type |
| mean | as sum | round to the storage type; divide by the count; round again |
| max, first key | `acc = x` | as stored |
| max, later key | `acc = x` where `x > acc` | as stored |
| none | no bag: the row as it is stored | |

The comparison of max is ordered: a NaN never wins, but stays once it was first. Rounding
is to nearest even, except for bf16 sums of a table without padding row, where ties go away from
zero (torch's two kernels differ). The count leaves the padding row out; it is rounded to the
storage type before it divides. A bag without keys is zeros. Subnormals are kept. A NaN made by
arithmetic is the canonical one; max keeps the bits of an fp32 NaN. The sign and payload of NaNs are
not compared with torch.

Quantised tables, `q` being the integer of an element, `s` and `b` the row's scale and bias (fp16
ones widened exactly). The result is float32, and one rule holds for all four layouts, with and
without a padding row:

| pooling | a key that is not the padding row | the bag's end |
|---|---|---|
| sum | `acc = fma(s, q, acc + b)`, starting from +0 | as it is |
| sum, weighted | `acc = fma(round(s * w), q, acc + round(b * w))` | as it is |
| mean | as sum | divide by the count |
| max | as above with `x = fma(s, q, b)` | as it is |
| none | the row of `x = fma(s, q, b)` | |

`fixed` tables, `i` being the int32 element and `acc` an int32; the result is float32:

| pooling | a key that is not the padding row | the bag's end |
|---|---|---|
| sum | `acc = acc + i`, saturating and counted | `float32(acc) * 2**fixed_scale_exp` |
| mean | as sum | the same, then divide by the count |
| max | the largest `i` | as sum |
| none | the row of `float32(i) * 2**fixed_scale_exp` | |

The conversion rounds to nearest even; the product is exact or overflows to infinity. Weights are
refused. Without saturation the order of keys and partials does not matter.

Orders. `sequential` is the key order. In `tree` the j-th key that counts goes to running sum
`j mod k`, each of which follows the rule above from its own start; then those that got a key are
added pairwise, for s = k/2, k/4 .. 1: `acc[i] = acc[i] + acc[i + s]` (max: by its rule). In
`split` the local keys come first, in key order, then the owners' partials by ascending owner
number: `merge`. Whatever the order, dividing and rounding happen once, at the end.

A row number with all 48 bits set is the null key, which contributes nothing. Without pooling, it
and the padding row give a row of zeros.

One bag:

>>> import numpy as np
>>> table = Table("item", rows=3, dim=2, pooling="mean", padding_idx=0)
>>> weights = np.array([[9, 9], [1, 2], [3, 6]], np.float32)
>>> pool_bag(table, weights, np.array([1, 0, 2]))
array([2., 4.], dtype=float32)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arithmetic import OUTPUT, canonical, fma, narrow, storage_count, widen
from ..bags import Bags
from ..config import Table
from ..errors import ConfigError
from ..gen.wire import NULL_ROW, DType, Order, Pooling
from ..lookup import Partials
from ..products import ProductBags
from ..quantised import QuantisedRows, dequantise, split
from .base import EVERYTHING, HostTables, OnHost, output_arrays

__all__ = [
    "Partial",
    "ReferenceBackend",
    "RowKeys",
    "accumulate",
    "finish",
    "merge",
    "pool_bag",
    "pool_product",
    "unpooled",
]

Partial = tuple[NDArray[Any], int]  # float32 (`fixed`: int32) accumulator [dim], keys it holds
SATURATIONS = "saturations"  # the tally's name for additions of an element that saturated


def accumulate(
    table: Table,
    weights: NDArray[Any],
    ids: NDArray[np.int64],
    w: NDArray[np.float32] | None = None,
    init: Partial | None = None,
    *,
    tally: Counter[str] | None = None,
) -> Partial:
    """Return the accumulator and count of a bag, continuing `init` where given; unrounded and
    undivided.

    `weights` are stored rows [rows, columns], `ids` [n] lie within them or are null keys, `w` [n]
    are per-key weights. An `init` with count 0 holds nothing. A bag of a `tree` table cannot be
    continued: its running sums are not in the partial. `tally["saturations"]` grows by the
    elements that saturated.
    """
    tally = Counter() if tally is None else tally
    skipped = (table.padding_idx, NULL_ROW)
    keys = [(at, row) for at, row in enumerate(ids.tolist()) if row not in skipped]
    start = _nothing(table) if init is None or init[1] == 0 else (init[0].copy(), init[1])
    if table.order is not Order.TREE or table.tree_k is None:
        return _run(table, weights, keys, w=w, start=start, tally=tally)
    if start[1]:
        raise ConfigError(
            f"Table {table.name!r}: a bag of order 'tree' is continued.",
            allowed="whole bags, or the orders 'sequential' and 'split'.",
            do="Give all keys of the bag at once.",
        )
    k = table.tree_k
    sums = [
        _run(table, weights, keys[j::k], w=w, start=_nothing(table), tally=tally) for j in range(k)
    ]
    while len(sums) > 1:
        half = len(sums) // 2
        pairs = zip(sums[:half], sums[half:], strict=True)
        sums = [merge(table, pair, tally=tally) for pair in pairs]
    return sums[0]


def _nothing(table: Table) -> Partial:
    return np.zeros(table.dim, np.int32 if table.dtype is DType.FIXED else np.float32), 0


def _run(
    table: Table,
    weights: NDArray[Any],
    keys: Sequence[tuple[int, int]],
    *,
    w: NDArray[np.float32] | None,
    start: Partial,
    tally: Counter[str],
) -> Partial:
    """Return `start` with all `keys` added: pairs of the position among the weights and the row."""
    acc, count = start
    with np.errstate(all="ignore"):
        for at, row in keys:
            stored = weights[row]
            if table.pooling is Pooling.MAX:
                x = _element(table, stored)
                acc = x.copy() if count == 0 else np.where(x > acc, x, acc)
            elif table.dtype is DType.FIXED:
                acc = _saturated(acc, stored, tally)
            elif table.quantised:
                acc = _add_quantised(table, stored, acc, None if w is None else w[at])
            elif w is None:
                acc = acc + _element(table, stored)
            elif table.mul_then_add:
                acc = acc + w[at] * _element(table, stored)
            else:
                acc = fma(w[at], _element(table, stored), acc)
            count += 1
    if keys and table.pooling is not Pooling.MAX and table.dtype is not DType.FIXED:
        canonical(acc)  # once is enough: a NaN stays one through every later addition
    return acc, count


def _element(table: Table, stored: NDArray[Any]) -> NDArray[Any]:
    """Return a stored row as the numbers that are compared and added: float32 (`fixed`: int32)."""
    if table.dtype is DType.FIXED:
        return stored
    if table.quantised:
        return canonical(dequantise(_apart(table, stored))[0])
    return widen(stored, table.dtype)


def _apart(table: Table, stored: NDArray[Any]) -> QuantisedRows:
    return split(stored.reshape(1, -1), table.dtype, table.dim)


def _add_quantised(
    table: Table, stored: NDArray[Any], acc: NDArray[np.float32], w: np.float32 | None
) -> NDArray[np.float32]:
    row = _apart(table, stored)
    scale, bias, q = row.scale, row.bias, row.q[0].astype(np.float32)
    if w is not None:
        scale, bias = scale * w, bias * w
    return fma(scale, q, acc + bias)


def _saturated(
    acc: NDArray[np.int32], addend: NDArray[np.int32], tally: Counter[str]
) -> NDArray[np.int32]:
    exact = acc.astype(np.int64) + addend
    limit = np.iinfo(np.int32)
    held = np.clip(exact, limit.min, limit.max)
    tally[SATURATIONS] += int((held != exact).sum())
    narrowed: NDArray[np.int32] = held.astype(np.int32)
    return narrowed


def merge(
    table: Table, partials: Iterable[Partial], *, tally: Counter[str] | None = None
) -> Partial:
    """Return the partials merged in the given order: in `split`, the local one first, then the
    owners' by ascending number.

    The first that holds a key is taken as it is; each later one is added (max: replaces where it is
    greater).
    """
    tally = Counter() if tally is None else tally
    acc, count = _nothing(table)
    for part, held in partials:
        if held == 0:
            continue
        if count == 0:
            acc = part.copy()
        elif table.pooling is Pooling.MAX:
            acc = np.where(part > acc, part, acc)
        elif table.dtype is DType.FIXED:
            acc = _saturated(acc, part, tally)
        else:
            with np.errstate(all="ignore"):
                acc = canonical(acc + part)
        count += held
    return acc, count


def finish(table: Table, acc: NDArray[Any], count: int) -> NDArray[Any]:
    """Return the vector [dim] of a bag in the type of its results: scaled if `fixed`, divided for a
    mean, rounded, zeros when empty.
    """
    if count == 0:
        return np.zeros(table.dim, OUTPUT[table.dtype])
    if table.fixed_scale_exp is not None:
        with np.errstate(all="ignore"):
            acc = np.ldexp(acc.astype(np.float32), table.fixed_scale_exp)
    half_up = (
        table.dtype is DType.BF16 and table.pooling is not Pooling.MAX and not table.mul_then_add
    )
    stored = narrow(acc, table.dtype, half_up=half_up)
    if table.pooling is not Pooling.MEAN:
        return stored
    divisor = storage_count(np.array([count], np.int64), table.dtype)
    with np.errstate(all="ignore"):
        quotient = canonical(widen(stored, table.dtype) / divisor)
    return narrow(quotient, table.dtype)


def unpooled(table: Table, weights: NDArray[Any], ids: NDArray[np.int64]) -> NDArray[Any]:
    """Return the rows of the keys [n, dim] in the type of the results; zeros for null keys and the
    padding row.
    """
    rows = np.zeros((len(ids), table.dim), OUTPUT[table.dtype])
    for at, row in enumerate(ids.tolist()):
        if row in (table.padding_idx, NULL_ROW):
            continue
        if table.quantised or table.dtype is DType.FIXED:
            rows[at] = finish(table, _element(table, weights[row]), 1)
        else:
            rows[at] = weights[row]
    return rows


def pool_bag(
    table: Table,
    weights: NDArray[Any],
    ids: NDArray[np.int64],
    w: NDArray[np.float32] | None = None,
    *,
    tally: Counter[str] | None = None,
) -> NDArray[Any]:
    """Return the pooled vector [dim] of one bag; of a table without pooling its rows [n, dim]."""
    if table.pooling is Pooling.NONE:
        return unpooled(table, weights, ids)
    return finish(table, *accumulate(table, weights, ids, w, tally=tally))


class RowKeys(NamedTuple):
    """Name the rows of one table that take part in a product: stored rows, and keys [n]."""

    table: Table
    weights: NDArray[Any]
    ids: NDArray[np.int64]


def pool_product(
    quotient: RowKeys, remainder: RowKeys, w: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return the sum float32 [dim] of elementwise products of two tables' rows, as
    quotient-remainder embeddings need it.

    The j-th keys of both belong together. Their elements, as float32, are multiplied and rounded
    once; the products are then the rows of an fp32 sum, with weights `w` [n] if there are any. A
    pair with a padding or null key contributes nothing. The pooling of the tables does not matter here; `ProductBags`
    takes what a card can do.

    >>> import numpy as np
    >>> table, ids = Table("t", rows=2, dim=2, pooling="sum"), np.array([0, 1])
    >>> keys = RowKeys(table, np.array([[1, 2], [3, 4]], np.float32), ids)
    >>> pool_product(keys, keys)
    array([10., 20.], dtype=float32)
    """
    absent = np.zeros(len(quotient.ids), np.bool_)
    factors = []
    for table, weights, ids in (quotient, remainder):
        absent |= (ids == NULL_ROW) | (
            ids == (-1 if table.padding_idx is None else table.padding_idx)
        )
        factors.append(widen(unpooled(table, weights, ids), table.dtype))
    with np.errstate(all="ignore"):
        products = factors[0] * factors[1]
    rows = Table("product", rows=max(len(products), 1), dim=quotient.table.dim, pooling=Pooling.SUM)
    return pool_bag(rows, products, np.where(absent, NULL_ROW, np.arange(len(products))), w)


class ReferenceBackend(OnHost):
    """Answer lookups with the plain loops of this file; those of several threads at once."""

    name = "reference"
    parallel = True
    capabilities = EVERYTHING

    def __init__(self, tables: Iterable[Table]) -> None:
        """Take the tables; `load` gives them rows."""
        self._host = HostTables(tables, "ReferenceBackend")
        for table in self._host.tables.values():
            self.capabilities.check(table, self.name)

    def load(self, table: str, weights: Any) -> None:
        """Set all rows of a table: [rows, dim]."""
        self._host.load(table, weights)

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
        bags = bags.validate_against(self._host.tables)
        pooled = output_arrays(self._host.tables, bags, out)
        tally: Counter[str] = Counter()
        for name, given in bags.items():
            table, weights = self._host.table(name), self._host.rows(name)
            if table.pooling is Pooling.NONE:
                pooled[name][...] = unpooled(table, weights, given.values)
                continue
            for index in range(len(given)):
                pooled[name][index] = pool_bag(table, weights, *given.bag(index), tally=tally)
        self._host.count(bags, saturations=tally[SATURATIONS])
        return pooled

    def product(self, pairs: ProductBags) -> NDArray[np.float32]:
        """Return the sums float32 [B, dim] of bags of pairs."""
        self._host.check_open("product")
        first, second = pairs.check(self._host.tables)
        rows = [self._host.rows(table.name) for table in (first, second)]
        pooled = np.zeros((len(pairs), first.dim), np.float32)
        for index in range(len(pairs)):
            ids, w = pairs.quotients.bag(index)
            start = int(pairs.quotients.offsets[index])
            others = pairs.remainders[start : start + len(ids)]
            sides = RowKeys(first, rows[0], ids), RowKeys(second, rows[1], others)
            pooled[index] = pool_product(*sides, w)
        return pooled

    def partials(self, bags: Bags) -> dict[str, Partials]:
        """Return what this owner holds of every bag, for somebody else to merge."""
        self._host.check_open("partials")
        bags = bags.validate_against(self._host.tables.values())
        tally: Counter[str] = Counter()
        found = {}
        for name, given in bags.items():
            table, rows = self._host.table(name), self._host.rows(name)
            held = [accumulate(table, rows, *given.bag(b), tally=tally) for b in range(len(given))]
            values = np.zeros((len(held), table.dim), _nothing(table)[0].dtype)
            for bag, (acc, _) in enumerate(held):
                values[bag] = acc
            found[name] = Partials(values, np.array([count for _, count in held], np.int64))
        self._host.count(bags, saturations=tally[SATURATIONS])
        return found

    def merge(
        self, bags: Bags, owners: Mapping[str, Sequence[Partials]]
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag [B, dim] with the partials that other owners hold of it, by ascending
        owner; the tables' order is `split`.
        """
        pooled, tally = {}, Counter[str]()
        for name, local in self.partials(bags).items():
            table = self._host.table(name)
            if table.order is not Order.SPLIT:
                raise ConfigError(
                    f"Table {name!r}: partials are merged in order {table.order.name.lower()!r}.",
                    allowed="tables of order 'split'.",
                    do="Give the table order='split'.",
                )
            parts = [local, *owners.get(name, ())]
            pooled[name] = np.zeros((len(local.counts), table.dim), OUTPUT[table.dtype])
            for bag in range(len(local.counts)):
                held = [(part.values[bag], int(part.counts[bag])) for part in parts]
                pooled[name][bag] = finish(table, *merge(table, held, tally=tally))
        self._host.counters[SATURATIONS] += tally[SATURATIONS]
        return pooled

    def stats(self) -> dict[str, int]:
        """Return the counters since the start."""
        return dict(self._host.counters)

    def close(self) -> None:
        """Give the tables back; may be called twice."""
        self._host.close()
