# SPDX-License-Identifier: Apache-2.0
"""Turn rows into bytes as the card stores them, and back.

A row lies at `row * table.stride_bytes`: its elements in order, little-endian, then zeros up to a
multiple of 64 bytes.

```text
 byte 0                        row_bytes          stride_bytes (= vec64 * 64)
 | e0 | e1 | e2 | ... | e(dim-1) | 0 0 0 ... 0 0 |
```
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import STORAGE, as_numpy, narrow
from .config import Table
from .errors import ConfigError
from .gen.wire import DType

__all__ = ["CHUNK_BYTES", "check_ids", "pack", "pack_chunks", "to_storage", "unpack"]

CHUNK_BYTES = 16 << 20  # memory that one chunk of packed rows may take


def to_storage(table: Table, values: Any, *, rows: int) -> NDArray[Any]:
    """Return `values` [rows, dim] as a C-contiguous array of the table's storage type.

    Takes that type (bf16: uint16 bit patterns, an ml_dtypes or a torch bfloat16) or float32, which
    is rounded to nearest even. An array that fits already is returned as it is.
    """
    array = as_numpy(values)
    where = f"Table {table.name!r}: rows"
    shape = (rows, table.dim)
    if array.shape != shape:
        raise ConfigError(
            f"{where} have shape {list(array.shape)}.",
            allowed=f"{list(shape)}.",
            do="Give one line for every row.",
        )
    storage = STORAGE[table.dtype]
    if array.dtype == storage:
        return np.ascontiguousarray(array, dtype=storage)
    if table.dtype is DType.BF16 and array.dtype.name == "bfloat16":
        return np.ascontiguousarray(array).view(np.uint16)
    if array.dtype == np.float32:
        return narrow(np.ascontiguousarray(array, dtype=np.float32), table.dtype)
    names = {
        DType.FP32: "float32",
        DType.FP16: "float16 or float32",
        DType.BF16: "bfloat16, its uint16 bits or float32",
    }
    raise ConfigError(
        f"{where} have dtype {array.dtype}.",
        allowed=f"{names[table.dtype]}.",
        do="Convert them before, knowing that it rounds.",
    )


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
    """Return stored rows [n, dim] as card memory: uint8 [n, stride_bytes], the tail of each row
    zero.
    """
    packed = np.zeros((len(stored), table.stride_bytes), np.uint8)
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
    """Return card memory (uint8, n * stride_bytes bytes) as stored rows [n, dim]."""
    if packed.size % table.stride_bytes:
        raise ConfigError(
            f"Table {table.name!r}: {packed.size} bytes are given.",
            allowed=f"a multiple of {table.stride_bytes}, the bytes of a stored row.",
            do="Read whole rows.",
        )
    rows = np.ascontiguousarray(packed).reshape(-1, table.stride_bytes)[:, : table.row_bytes]
    return np.ascontiguousarray(rows).view(STORAGE[table.dtype])
