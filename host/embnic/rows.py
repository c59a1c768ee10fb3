# SPDX-License-Identifier: Apache-2.0
"""Turn rows into bytes as the card stores them, and back.

A row lies at `row * table.stride_bytes`, little-endian, filled with zeros up to a multiple of 64
bytes. fp32, fp16, bf16 and `fixed` (int32) elements stand in order from byte 0. A quantised row of
any layout is stored in one: a header, then the elements, one a byte for int8 and two for int4, the
first in the low four bits.

```text
 byte 0                                       row_bytes          stride_bytes (= stored_vec64 * 64)
 | e0 | e1 | e2 | ... | e(dim-1)              | 0 0 0 ... 0 0 |
 | f32 scale | f32 bias | 8 zeros | q0 q1 ... | 0 0 0 ... 0 0 |
 byte 0      4          8         16
```
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import STORAGE, as_numpy, narrow
from .config import HEADER_BYTES, Table
from .errors import ConfigError
from .gen.wire import DType
from .quantised import (
    QuantisedRows,
    join,
    pack_elements,
    packed_bytes,
    quantise,
    row_columns,
    split,
    unpack_elements,
)

__all__ = ["CHUNK_BYTES", "check_ids", "pack", "pack_chunks", "to_storage", "unpack"]

CHUNK_BYTES = 16 << 20  # memory that one chunk of packed rows may take
TAKEN = {
    DType.FP32: "float32",
    DType.FP16: "float16 or float32",
    DType.BF16: "bfloat16, its uint16 bits or float32",
    DType.FIXED: "int32 or float32",
}


def to_storage(table: Table, values: Any, *, rows: int) -> NDArray[Any]:
    """Return `values` [rows, dim] as a C-contiguous array of the table's storage type.

    Takes that type (bf16: uint16 bit patterns, an ml_dtypes or a torch bfloat16) or float32, which
    is rounded to nearest even. A quantised table takes whole rows uint8 [rows, columns] in its
    layout (see `quantised`) or float32 [rows, dim], which is quantised row by row. An array that
    fits already is returned as it is.
    """
    array = as_numpy(values)
    where = f"Table {table.name!r}: rows"
    whole_rows = table.quantised and array.dtype == np.uint8
    shape = (rows, row_columns(table.dtype, table.dim) if whole_rows else table.dim)
    if array.shape != shape:
        raise ConfigError(
            f"{where} have shape {list(array.shape)}.",
            allowed=f"{list(shape)}.",
            do="Give one line for every row.",
        )
    if array.dtype == STORAGE[table.dtype]:
        stored = np.ascontiguousarray(array, dtype=STORAGE[table.dtype])
        return _checked(table, stored) if table.quantised else stored
    if table.dtype is DType.BF16 and array.dtype.name == "bfloat16":
        return np.ascontiguousarray(array).view(np.uint16)
    if array.dtype != np.float32:
        columns = row_columns(table.dtype, table.dim) if table.quantised else 0
        taken = f"uint8 [{rows}, {columns}] or float32" if columns else TAKEN[table.dtype]
        raise ConfigError(
            f"{where} have dtype {array.dtype}.",
            allowed=f"{taken}.",
            do="Convert them before, knowing that it rounds.",
        )
    wide = np.ascontiguousarray(array, dtype=np.float32)
    if table.quantised:
        return _checked(table, quantise(wide, table.dtype))
    return _to_fixed(table, wide) if table.dtype is DType.FIXED else narrow(wide, table.dtype)


def _checked(table: Table, stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return quantised rows; refuse a scale or bias that is not a number."""
    scale, bias, _ = split(stored, table.dtype, table.dim)
    bad = ~(np.isfinite(scale) & np.isfinite(bias))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ConfigError(
            f"Table {table.name!r}: row {row} of those given has scale {scale[row]} and bias {bias[row]} "
            f"({int(bad.sum())} such rows).",
            allowed="finite scales and biases.",
            do="Correct the row; one that was quantised here holds NaN, infinity or too wide a range.",
        )
    return stored


def _to_fixed(table: Table, values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return `values / 2**fixed_scale_exp` rounded to nearest even, as int32."""
    assert table.fixed_scale_exp is not None
    units = np.rint(np.ldexp(values.astype(np.float64), -table.fixed_scale_exp))
    bad = ~((units >= -(1 << 31)) & (units < 1 << 31))
    if bad.any():
        row, column = (int(at[0]) for at in np.nonzero(bad))
        raise ConfigError(
            f"Table {table.name!r}: {values[row, column]} in row {row} of those given "
            f"({int(bad.sum())} such elements).",
            allowed=f"what 32 bits hold in units of 2**{table.fixed_scale_exp}.",
            do="Choose a larger fixed_scale_exp.",
        )
    return units.astype(np.int32)


def check_ids(table: Table, ids: Any) -> NDArray[np.int64]:
    """Return row numbers [n] as int64; refuse other types and shapes and rows outside the table."""
    array = as_numpy(ids)
    if array.size == 0 and not hasattr(ids, "dtype"):
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype not in (np.int32, np.int64):
        raise ConfigError(
            f"Table {table.name!r}: ids are {array.dtype} {list(array.shape)}.",
            allowed="int32 or int64 with one dimension.",
            do="Convert them before.",
        )
    bad = (array < 0) | (array >= table.rows)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise ConfigError(
            f"Table {table.name!r}: id {int(array[at])} at position {at} is out of range.",
            allowed=f"0 to {table.rows - 1}.",
            do="Correct the ids.",
        )
    return array.astype(np.int64, copy=False)


def pack(table: Table, stored: NDArray[Any]) -> NDArray[np.uint8]:
    """Return stored rows [n, columns] as card memory: uint8 [n, stride_bytes], the tail of each row
    zero.
    """
    packed = np.zeros((len(stored), table.stride_bytes), np.uint8)
    if table.quantised:
        rows = split(stored, table.dtype, table.dim)
        packed[:, :8] = np.stack([rows.scale, rows.bias], axis=1).astype("<f4").view(np.uint8)
        packed[:, HEADER_BYTES : table.row_bytes] = pack_elements(rows.q, table.dtype)
        return packed
    packed[:, : table.row_bytes] = (
        np.ascontiguousarray(stored).view(np.uint8).reshape(len(stored), table.row_bytes)
    )
    return packed


def pack_chunks(
    table: Table, stored: NDArray[Any], *, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Pack a large table in pieces: yield (byte offset in the table, uint8 [nbytes]), in order.

    Each piece holds whole rows and takes at most `chunk_bytes`, or one row if that is longer.
    """
    step = max(1, chunk_bytes // table.stride_bytes)
    for first in range(0, len(stored), step):
        yield first * table.stride_bytes, pack(table, stored[first : first + step]).reshape(-1)


def unpack(table: Table, packed: NDArray[np.uint8]) -> NDArray[Any]:
    """Return card memory (uint8, n * stride_bytes bytes) as stored rows [n, columns]."""
    if packed.size % table.stride_bytes:
        raise ConfigError(
            f"Table {table.name!r}: {packed.size} bytes are given.",
            allowed=f"a multiple of {table.stride_bytes}, the bytes of a stored row.",
            do="Read whole rows.",
        )
    rows = np.ascontiguousarray(packed).reshape(-1, table.stride_bytes)[:, : table.row_bytes]
    if table.quantised:
        scale, bias = np.ascontiguousarray(rows[:, :8]).view("<f4").T.astype(np.float32)
        elements = rows[:, HEADER_BYTES : HEADER_BYTES + packed_bytes(table.dtype, table.dim)]
        q = unpack_elements(elements, table.dtype, table.dim)
        return join(QuantisedRows(scale, bias, q), table.dtype)
    return np.ascontiguousarray(rows).view(STORAGE[table.dtype])
