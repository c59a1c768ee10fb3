# SPDX-License-Identifier: Apache-2.0
"""Lay tables, requests and results out for the kernels: where each row, bag and vector lies, and one launch for all.

A *unit* is 16 bytes. Every row, every table and the vectors of every table start on a unit, so that a thread loads 16
bytes at a time. Letters: `T` tables of a request, `N` bags of all its tables, `L` keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Table
from ..gen.wire import DType, Pooling
from .gpu_device import Device

__all__ = [
    "FORMATS",
    "UNIT",
    "FlatBags",
    "Layout",
    "Plan",
    "Tuning",
    "element_bytes",
    "make_plan",
    "row_units",
]

UNIT = 16
FORMATS: Mapping[DType, int] = {DType.FP32: 0, DType.FP16: 1, DType.BF16: 2}  # codes of the kernels
_WIDEST = 1024  # bytes of a row that one program takes; longer rows are cut into column blocks


def row_units(table: Table) -> int:
    """Return the units of a stored row."""
    return -(-table.row_bytes // UNIT)


def element_bytes(table: Table) -> int:
    """Return the bytes of an element of a pooled vector."""
    return table.element_bytes


@dataclass(frozen=True)
class Tuning:
    """How a launch is cut: bytes of rows that a program loads at a time, rows in flight, warps of a program."""

    tile_bytes: int = 512
    unroll: int = 8
    warps: int = 1


@dataclass(frozen=True)
class FlatBags:
    """Hold the bags of a request on the device, table after table.

    Bag `n` of all is `ids[offsets[n]:offsets[n + 1]]`; the first `counts[0]` bags are those of `names[0]`, and so on.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]  # bags of each table
    ids: Any  # int32 or int64 [L]
    offsets: Any  # int32 or int64 [N + 1]
    weights: Any = None  # float32 [L]


@dataclass(frozen=True)
class Layout:
    """Say where the rows of each table start: `base` and `stride` in units, and the number of row 0 among all rows."""

    tables: Mapping[str, Table]
    base: Mapping[str, int]
    first_row: Mapping[str, int]
    units: int  # of all tables
    rows: int  # of all tables

    @classmethod
    def of(cls, tables: Iterable[Table]) -> Layout:
        """Put the tables one behind the other."""
        base: dict[str, int] = {}
        first: dict[str, int] = {}
        units = rows = 0
        named = {table.name: table for table in tables}
        for name, table in named.items():
            base[name], first[name] = units, rows
            units += table.rows * row_units(table)
            rows += table.rows
        return cls(named, base, first, units, rows)


@dataclass(frozen=True)
class Plan:
    """Everything of a launch that depends on the tables and the numbers of bags only."""

    names: tuple[str, ...]
    counts: tuple[int, ...]
    variants: int
    variant_count: int
    grid: tuple[int, int]
    table: Any  # device int64 [T, FIELDS]
    first_bags: Any  # device int64 [T + 1]
    out_starts: Any  # device int64 [T], in units
    out_bytes: int
    starts: tuple[int, ...]  # of the vectors of each table, in bytes


def _block(table: Table) -> int:
    """Return the columns that a program takes: a power of two, at least a unit and at most `_WIDEST` bytes."""
    size = table.element_bytes
    return min(max(1 << (table.dim - 1).bit_length(), UNIT // size), _WIDEST // size)


def _variant(table: Table, *, weighted: bool) -> int:
    """Return the code that `gpu_kernels.pool_kernel` reads."""
    weighted = weighted and table.pooling is Pooling.SUM
    wide = table.dim % 8 == 0
    code = FORMATS[table.dtype] | (table.pooling is Pooling.MAX) << 3 | weighted << 4 | wide << 5
    return code | (_block(table).bit_length() - 1) << 6


def _tiles(table: Table, bags: int, tuning: Tuning) -> int:
    block = _block(table)
    per_tile = max(1, tuning.tile_bytes // (block * table.element_bytes))
    return -(-bags // per_tile) * -(-table.dim // block)


def make_plan(
    device: Device,
    layout: Layout,
    bags: tuple[tuple[str, ...], tuple[int, ...]],
    *,
    weighted: bool,
    tuning: Tuning,
) -> Plan:
    """Return the plan of the launch for `bags` (names and numbers of bags of the tables of a request)."""
    names, counts = bags
    tables = [layout.tables[name] for name in names]
    codes = [_variant(table, weighted=weighted) for table in tables]
    variants = sorted(set(codes))
    lines = [
        [
            layout.base[table.name],
            row_units(table),
            table.dim,
            -1 if table.padding_idx is None else table.padding_idx,
            table.pooling is Pooling.MEAN,
            table.mul_then_add,
            variants.index(code),
            table.rows,
        ]
        for table, code in zip(tables, codes, strict=True)
    ]
    sizes = [
        -(-count * table.dim * element_bytes(table) // UNIT)
        for table, count in zip(tables, counts, strict=True)
    ]
    first_bags, starts = _running(counts), _running(sizes)
    tiles = [_tiles(table, count, tuning) for table, count in zip(tables, counts, strict=True)]
    return Plan(
        names,
        counts,
        sum(code << (12 * at) for at, code in enumerate(variants)),
        len(variants),
        (max(tiles), len(tables)),
        device.put(np.array(lines, np.int64)),
        device.put(first_bags),
        device.put(starts[:-1]),
        int(starts[-1]) * UNIT,
        tuple((starts[:-1] * UNIT).tolist()),
    )


def _running(sizes: Iterable[int]) -> NDArray[np.int64]:
    """Return where each part starts when they lie one behind the other, and the end."""
    listed = np.fromiter(sizes, np.int64)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(listed)])
