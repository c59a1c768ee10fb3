# SPDX-License-Identifier: Apache-2.0
"""Answer lookups on the CPU: native code when the extension was compiled, else numpy; the same bits
with both.

The numpy twin handles all bags of a table together: first the first key of every bag, then the
second of every bag that has one, and so on. So each bag still sees its keys in order, and the
Python loop is as long as the longest bag.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arithmetic import STORAGE, canonical, fma, narrow, storage_count, widen
from ..bags import Bags, TableBags
from ..config import Table
from ..errors import ConfigError
from ..gen.wire import DType, Pooling
from .base import Capabilities, HostTables, output_arrays

__all__ = ["CpuBackend", "native_module", "pool_native", "pool_numpy"]

_log = logging.getLogger("embnic.cpu")

CHUNK_BYTES = 8 << 20  # accumulators that the numpy twin works on at a time


def native_module() -> ModuleType | None:
    """Return the compiled extension, or None where it was not built."""
    try:
        return importlib.import_module("embnic._native")
    except ImportError:
        return None


class CpuBackend:
    """Answer lookups on the CPU.

    `engine` says which code runs: "native", "numpy", or "auto" for the first of them that is there.
    """

    name = "cpu"
    capabilities = Capabilities(dtypes=frozenset(STORAGE))

    def __init__(self, tables: Iterable[Table], *, engine: str = "auto") -> None:
        """Take the tables; `load` gives them rows."""
        self._host = HostTables(tables, "CpuBackend")
        for table in self._host.tables.values():
            self.capabilities.check(table, self.name)
        self._native = _choose(engine)
        self.engine = "numpy" if self._native is None else "native"
        _log.debug("lookups run in %s code", self.engine)

    def load(self, table: str, weights: Any) -> None:
        """Set all rows of a table: [rows, dim]."""
        self._host.load(table, weights)

    def update(self, table: str, ids: Any, rows: Any) -> None:
        """Overwrite rows: `ids` [n], `rows` [n, dim]; a repeated id keeps its last row."""
        self._host.update(table, ids, rows)

    def rows(self, table: str) -> NDArray[Any]:
        """Return the stored rows of a table, [rows, dim]: a view, do not change it."""
        return self._host.rows(table)

    def lookup(
        self, bags: Bags, out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag: for each table of `bags` an array [B, dim]."""
        self._host.check_open("lookup")
        bags = bags.validate_against(self._host.tables.values())
        pooled = output_arrays(self._host.tables, bags, out)
        for name, given in bags.items():
            table, weights = self._host.table(name), self._host.rows(name)
            if self._native is None:
                pool_numpy(table, weights, given, pooled[name])
            else:
                pool_native(self._native, table, weights, given, pooled[name])
        self._host.count(bags)
        return pooled

    def stats(self) -> dict[str, int]:
        """Return the counters since the start."""
        return dict(self._host.counters)

    def close(self) -> None:
        """Give the tables back; may be called twice."""
        self._host.close()


def pool_native(
    native: ModuleType,
    table: Table,
    weights: NDArray[Any],
    bags: TableBags,
    out: NDArray[Any],
    *,
    isa: str = "auto",
) -> None:
    """Pool every bag into `out` [B, dim] with the extension; `isa` picks its instructions, with the
    same bits.
    """
    direct = table.dtype is DType.FP32
    acc = out if direct else np.empty(out.shape, np.float32)
    counts = np.empty(len(bags), np.int64)
    native.pool(
        weights if direct else weights.view(np.uint16),
        int(table.dtype),
        bags.values,
        bags.offsets,
        bags.weights,
        padding=-1 if table.padding_idx is None else table.padding_idx,
        max=table.pooling is Pooling.MAX,
        mul_then_add=table.mul_then_add,
        divide=direct and table.pooling is Pooling.MEAN,
        out=acc,
        counts=counts,
        isa=isa,
    )
    if not direct:
        out[...] = _finish(table, acc, counts)


def pool_numpy(table: Table, weights: NDArray[Any], bags: TableBags, out: NDArray[Any]) -> None:
    """Pool every bag into `out` [B, dim] with numpy alone."""
    ids, starts, w = _without_padding(table, bags)
    step = max(1, CHUNK_BYTES // (4 * table.dim))
    for first in range(0, len(bags), step):
        part = slice(first, min(first + step, len(bags)))
        lengths = np.diff(starts[part.start : part.stop + 1])
        acc = _accumulate(table, weights, ids, w, starts[part], lengths)
        out[part] = _finish(table, acc, lengths)


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


def _accumulate(
    table: Table,
    weights: NDArray[Any],
    ids: NDArray[np.int64],
    w: NDArray[np.float32] | None,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the accumulators [B, dim] of bags of which bag b has the ids from `starts[b]`,
    `lengths[b]` of them.
    """
    longest_first = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[longest_first], lengths[longest_first]
    acc = np.zeros((len(starts), table.dim), np.float32)
    with np.errstate(all="ignore"):
        for k in range(int(lengths[0]) if len(lengths) else 0):
            live = int(np.searchsorted(-lengths, -k, side="left"))  # bags with more than k keys
            at = starts[:live] + k
            x = widen(weights[ids[at]], table.dtype)
            if table.pooling is Pooling.MAX:
                acc[:live] = x if k == 0 else np.where(x > acc[:live], x, acc[:live])
            elif w is None:
                acc[:live] += x
            elif table.mul_then_add:
                acc[:live] += w[at, np.newaxis] * x
            else:
                acc[:live] = fma(w[at, np.newaxis], x, acc[:live])
    in_order = np.empty_like(acc)
    in_order[longest_first] = acc
    return in_order if table.pooling is Pooling.MAX else canonical(in_order)


def _finish(table: Table, acc: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[Any]:
    """Return the vectors [B, dim] in the storage type; an empty bag's accumulator is zeros and
    stays so.
    """
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
