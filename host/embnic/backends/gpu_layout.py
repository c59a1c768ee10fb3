# SPDX-License-Identifier: Apache-2.0
"""Lay tables, requests and results out for the kernels: where each row, bag and vector lies, and one launch for all.

A *unit* is 16 bytes. Every row, every table and the vectors of every table start on a unit, so that a thread loads 16
bytes at a time. Letters: `T` tables of a request, `N` bags of all its tables, `L` keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arithmetic import OUTPUT
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
    "make_plan",
    "row_units",
    "vector_bytes",
]

UNIT = 16
# Codes of the kernels. All quantised rows of as many bits are stored in one layout, the card's.
FORMATS: Mapping[DType, int] = {
    DType.FP32: 0,
    DType.FP16: 1,
    DType.BF16: 2,
    DType.INT8: 3,
    DType.INT8_FRONT: 3,
    DType.INT4: 4,
    DType.INT4_END: 4,
    DType.FIXED: 5,
}
POOLINGS: Mapping[Pooling, int] = {Pooling.SUM: 0, Pooling.MEAN: 0, Pooling.MAX: 1, Pooling.NONE: 2}
VARIANT_BITS = 14
_PER_UNIT = (4, 8, 8, 16, 32, 4)  # elements in 16 bytes, by format code
_WIDEST = 1024  # bytes of a row that one program takes; longer rows are cut into column blocks
_MOST_COLUMNS = 512


def row_units(table: Table) -> int:
    """Return the units of a stored row."""
    return -(-table.row_bytes // UNIT)


def vector_bytes(table: Table) -> int:
    """Return the bytes of a pooled vector."""
    return int(table.dim * OUTPUT[table.dtype].itemsize)


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
    starts: tuple[
        int, ...
    ] = ()  # first key of each table, where it is known without reading offsets


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


class Group(NamedTuple):
    """Tables of a request, one after the other, whose vectors have one shape and type and lie without gaps."""

    first: int  # number of the first table
    tables: int
    outputs: int  # vectors of each
    start: int  # of the first table's vectors, in bytes
    nbytes: int  # of all of them


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
    outputs: tuple[int, ...]  # vectors of each table: its bags, or its keys where nothing is pooled
    out_bytes: int
    groups: tuple[Group, ...]


def _block(table: Table) -> int:
    """Return the columns that a program takes: a power of two, at least a unit and at most `_WIDEST` bytes."""
    unit = _PER_UNIT[FORMATS[table.dtype]]
    most = min(_WIDEST // UNIT * unit, _MOST_COLUMNS)
    return min(max(1 << (table.dim - 1).bit_length(), unit), most)


def _variant(table: Table, *, weighted: bool) -> int:
    """Return the code that `gpu_kernels.pool_kernel` reads."""
    weighted = weighted and table.pooling is Pooling.SUM
    wide = table.dim % 8 == 0
    leaves = (table.tree_k or 1).bit_length() - 1
    code = FORMATS[table.dtype] | POOLINGS[table.pooling] << 3 | weighted << 5 | wide << 6
    return code | leaves << 7 | (_block(table).bit_length() - 1) << 10


def _tiles(table: Table, outputs: int, tuning: Tuning) -> int:
    block = _block(table)
    row_bytes = block * UNIT // _PER_UNIT[FORMATS[table.dtype]] * (table.tree_k or 1)
    per_tile = max(1, tuning.tile_bytes // row_bytes)
    return -(-outputs // per_tile) * -(-table.dim // block)


def _line(table: Table, layout: Layout, variant: int) -> list[int]:
    """Return the descriptor of a table, as `gpu_kernels` names its fields."""
    scale = np.ldexp(np.float32(1), table.fixed_scale_exp or 0).astype(np.float32)
    return [
        layout.base[table.name],
        row_units(table),
        table.dim,
        -1 if table.padding_idx is None else table.padding_idx,
        table.pooling is Pooling.MEAN,
        table.mul_then_add,
        variant,
        table.rows,
        int(scale.view(np.uint32)),
        0,
    ]


def make_plan(
    device: Device, layout: Layout, bags: FlatBags, *, outputs: tuple[int, ...], tuning: Tuning
) -> Plan:
    """Return the plan of the launch for `bags`; `outputs` are the vectors of each table."""
    tables = [layout.tables[name] for name in bags.names]
    codes = [_variant(table, weighted=bags.weights is not None) for table in tables]
    variants = sorted(set(codes))
    lines = [
        _line(table, layout, variants.index(code))
        for table, code in zip(tables, codes, strict=True)
    ]
    sizes = [
        -(-count * vector_bytes(table) // UNIT)
        for table, count in zip(tables, outputs, strict=True)
    ]
    starts = _running(sizes)
    tiles = [_tiles(table, count, tuning) for table, count in zip(tables, outputs, strict=True)]
    return Plan(
        bags.names,
        bags.counts,
        sum(code << (VARIANT_BITS * at) for at, code in enumerate(variants)),
        len(variants),
        (max(tiles), len(tables)),
        device.put(np.array(lines, np.int64)),
        device.put(_running(bags.counts)),
        device.put(starts[:-1]),
        outputs,
        int(starts[-1]) * UNIT,
        _groups(tables, outputs, starts),
    )


def _groups(
    tables: list[Table], outputs: tuple[int, ...], starts: NDArray[np.int64]
) -> tuple[Group, ...]:
    """Return which tables' vectors can be cut apart together; `starts` are in units."""
    groups: list[Group] = []
    kind: tuple[Any, ...] = ()
    for at, (table, count) in enumerate(zip(tables, outputs, strict=True)):
        size, start, last = count * vector_bytes(table), int(starts[at]) * UNIT, kind
        kind = (OUTPUT[table.dtype], table.dim, count)
        if last == kind and groups[-1].start + groups[-1].nbytes == start:
            groups[-1] = groups[-1]._replace(
                tables=groups[-1].tables + 1, nbytes=groups[-1].nbytes + size
            )
        else:
            groups.append(Group(at, 1, count, start, size))
    return tuple(groups)


def _running(sizes: Iterable[int]) -> NDArray[np.int64]:
    """Return where each part starts when they lie one behind the other, and the end."""
    listed = np.fromiter(sizes, np.int64)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(listed)])
