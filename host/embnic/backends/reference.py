# SPDX-License-Identifier: Apache-2.0
"""The meaning of every result: plain loops, one key after the other.

RTL, native code, numpy and GPU are compared with this file bit for bit. The only thing done in
parallel is the elements of a row, which never meet.

The rules, `x` being the stored element widened to float32 and `acc` a float32:

| pooling | a key that is not the padding row | the bag's end |
|---|---|---|
| sum | `acc = acc + x`, starting from +0 | round to the storage type |
| sum, weighted | `acc = fma(w, x, acc)` | round to the storage type |
| the same, table with a padding row | `acc = acc + round(w * x)` | round to the storage type |
| mean | as sum | round to the storage type; divide by the count; round again |
| max, first key | `acc = x` | as stored |
| max, later key | `acc = x` where `x > acc` | as stored |

The comparison of max is ordered: a NaN never wins, but stays once it was first. Rounding
is to nearest even, except for bf16 sums of a table without padding row, where ties go away from
zero (torch's two kernels differ). The count leaves the padding row out; it is rounded to the
storage type before it divides. A bag without keys is zeros. Subnormals are kept. A NaN made by
arithmetic is the canonical one; max keeps the bits of an fp32 NaN. The sign and payload of NaNs are
not compared with torch.

One bag:

>>> import numpy as np
>>> table = Table("item", rows=3, dim=2, pooling="mean", padding_idx=0)
>>> weights = np.array([[9, 9], [1, 2], [3, 6]], np.float32)
>>> pool_bag(table, weights, np.array([1, 0, 2]))
array([2., 4.], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arithmetic import STORAGE, canonical, fma, narrow, storage_count, widen
from ..bags import Bags
from ..config import Table
from ..gen.wire import DType, Pooling
from .base import Capabilities, HostTables, output_arrays

__all__ = ["ReferenceBackend", "accumulate", "finish", "pool_bag"]

Partial = tuple[NDArray[np.float32], int]  # a float32 accumulator [dim] and the keys it holds


def accumulate(
    table: Table,
    weights: NDArray[Any],
    ids: NDArray[np.int64],
    w: NDArray[np.float32] | None = None,
    init: Partial | None = None,
) -> Partial:
    """Return the accumulator and count of a bag, continuing `init` where given; unrounded and
    undivided.

    `weights` are stored rows [rows, dim], `ids` [n] lie within them, `w` [n] are per-key weights.
    An `init` with count 0 holds nothing.
    """
    acc, count = np.zeros(table.dim, np.float32), 0
    if init is not None and init[1] > 0:
        acc, count = init[0].copy(), init[1]
    before = count
    with np.errstate(all="ignore"):
        for at, row in enumerate(ids.tolist()):
            if row == table.padding_idx:
                continue
            x = widen(weights[row], table.dtype)
            if table.pooling is Pooling.MAX:
                acc = x.copy() if count == 0 else np.where(x > acc, x, acc)
            elif w is None:
                acc = acc + x
            elif table.mul_then_add:
                acc = acc + w[at] * x
            else:
                acc = fma(w[at], x, acc)
            count += 1
    if count > before and table.pooling is not Pooling.MAX:
        canonical(acc)  # once is enough: a NaN stays one through every later addition
    return acc, count


def finish(table: Table, acc: NDArray[np.float32], count: int) -> NDArray[Any]:
    """Return the vector [dim] of a bag in the storage type: divided for a mean, rounded, zeros when
    empty.
    """
    if count == 0:
        return np.zeros(table.dim, STORAGE[table.dtype])
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


def pool_bag(
    table: Table,
    weights: NDArray[Any],
    ids: NDArray[np.int64],
    w: NDArray[np.float32] | None = None,
) -> NDArray[Any]:
    """Return the pooled vector [dim] of one bag."""
    return finish(table, *accumulate(table, weights, ids, w))


class ReferenceBackend:
    """Answer lookups with the plain loops of this file."""

    name = "reference"
    capabilities = Capabilities(dtypes=frozenset(STORAGE))

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

    def lookup(
        self, bags: Bags, out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag: for each table of `bags` an array [B, dim]."""
        self._host.check_open("lookup")
        bags = bags.validate_against(self._host.tables.values())
        pooled = output_arrays(self._host.tables, bags, out)
        for name, given in bags.items():
            weights = self._host.rows(name)
            for index in range(len(given)):
                pooled[name][index] = pool_bag(self._host.table(name), weights, *given.bag(index))
        self._host.count(bags)
        return pooled

    def stats(self) -> dict[str, int]:
        """Return the counters since the start."""
        return dict(self._host.counters)

    def close(self) -> None:
        """Give the tables back; may be called twice."""
        self._host.close()
