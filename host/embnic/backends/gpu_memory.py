# SPDX-License-Identifier: Apache-2.0
"""Hold the rows in GPU memory, all tables in one allocation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..arithmetic import STORAGE
from ..config import Table
from ..gen.wire import DType
from ..rows import pack, unpack
from .gpu_device import Device
from .gpu_layout import UNIT, FlatBags, Layout, row_units

__all__ = [
    "DeviceMemory",
    "Memory",
    "Resolved",
    "packed",
    "torch_dtype",
    "typed_rows",
    "unpacked",
    "write_rows",
]

_CHUNK_BYTES = 64 << 20  # of rows that are copied to the device at a time


class Resolved(NamedTuple):
    """Where the rows of a request are: a kernel adds `keys` to `memory`.

    Plain row numbers when `direct` is false; else units from the start of `memory`.
    """

    memory: Any
    keys: Any
    direct: bool
    batch: Any = None


class Memory(Protocol):
    """What holds the rows: GPU memory, or a cache of pinned host memory."""

    mode: str

    def load(self, table: Table, stored: Any) -> None:
        """Set all rows of a table from its storage type: a numpy array or a tensor [rows, dim]."""
        ...

    def update(self, table: Table, ids: NDArray[np.int64], stored: NDArray[Any]) -> None:
        """Overwrite rows; `ids` are all different."""
        ...

    def rows(self, table: Table) -> Any:
        """Return the rows as a tensor [rows, dim] that shares their memory."""
        ...

    def prefetch(self, flat: FlatBags, flags: Any, *, change: bool = False) -> Any:
        """Begin to bring the rows of a request to the device; with `change` they will be changed."""
        ...

    def use(self, batch: Any) -> Resolved:
        """Return where the rows of a prefetched request are."""
        ...

    def release(self, batch: Any) -> None:
        """End the use of a prefetched request."""
        ...

    def counters(self) -> Mapping[str, int]:
        """Return what is counted, by name."""
        ...


def torch_dtype(torch: Any, dtype: DType) -> Any:
    """Return the torch type of a stored element; quantised rows are bytes."""
    kinds = {
        DType.FP32: torch.float32,
        DType.FP16: torch.float16,
        DType.BF16: torch.bfloat16,
        DType.FIXED: torch.int32,
    }
    return kinds.get(dtype, torch.uint8)


def packed(table: Table, stored: NDArray[Any]) -> NDArray[Any]:
    """Return rows of the storage type as they lie in memory: quantised ones uint8 [n, row_bytes]."""
    return pack(table, stored)[:, : table.row_bytes] if table.quantised else stored


def unpacked(table: Table, taken: Any) -> NDArray[Any]:
    """Return rows on the host, a tensor of the shape that `typed_rows` gives, as rows of the storage type."""
    if table.quantised:
        padded = np.zeros((len(taken), table.stride_bytes), np.uint8)
        padded[:, : table.row_bytes] = taken.numpy()
        return unpack(table, padded)
    if table.dtype is DType.BF16:  # numpy knows the bits only
        taken = taken.view(taken.new_empty(0).short().dtype)
    rows: NDArray[Any] = taken.numpy()
    return rows.view(STORAGE[table.dtype])


def typed_rows(torch: Any, memory: Any, table: Table, base: int) -> Any:
    """Return the rows of a table that lie from unit `base` of `memory` (uint8) as a tensor [rows, dim].

    Quantised rows are uint8 [rows, row_bytes], in the card's layout.
    """
    typed = memory.view(torch_dtype(torch, table.dtype))
    per_unit = UNIT // typed.element_size()
    return torch.as_strided(
        typed,
        (table.rows, table.row_bytes // typed.element_size()),
        (row_units(table) * per_unit, 1),
        base * per_unit,
    )


def write_rows(torch: Any, rows: Any, table: Table, stored: Any) -> None:
    """Copy rows of the storage type, a numpy array or a tensor, into what `typed_rows` returned, in pieces."""
    step = max(1, _CHUNK_BYTES // max(1, rows.shape[1] * rows.element_size()))
    for first in range(0, rows.shape[0], step):
        part = stored[first : first + step]
        if isinstance(part, np.ndarray):
            part = torch.from_numpy(np.ascontiguousarray(packed(table, part)))
            if part.dtype != rows.dtype:
                part = part.view(rows.dtype)  # bf16 comes as its bits
        rows[first : first + step].copy_(part)


class DeviceMemory:
    """Hold all rows in GPU memory."""

    mode = "device"

    def __init__(self, device: Device, layout: Layout) -> None:
        """Allocate the memory of all tables; torch's OutOfMemoryError passes through."""
        self._device, self._layout = device, layout
        self.memory = device.empty(layout.units * UNIT, device.torch.uint8)

    def load(self, table: Table, stored: Any) -> None:
        """Set all rows of a table."""
        write_rows(self._device.torch, self.rows(table), table, stored)
        self._device.synchronize()

    def update(self, table: Table, ids: NDArray[np.int64], stored: NDArray[Any]) -> None:
        """Overwrite rows, behind everything that was asked for before."""
        self._device.synchronize()
        rows = self.rows(table)
        fresh = self._device.put(packed(table, stored))
        rows[self._device.put(ids)] = fresh if fresh.dtype == rows.dtype else fresh.view(rows.dtype)
        self._device.synchronize()

    def rows(self, table: Table) -> Any:
        """Return the rows as a tensor [rows, dim] that shares their memory."""
        return typed_rows(self._device.torch, self.memory, table, self._layout.base[table.name])

    def prefetch(self, flat: FlatBags, flags: Any, *, change: bool = False) -> FlatBags:
        """Return the request: the rows are there."""
        del flags, change
        return flat

    def use(self, batch: FlatBags) -> Resolved:
        """Return where the rows of a request are: at their row numbers."""
        return Resolved(self.memory, batch.ids, direct=False)

    def release(self, batch: FlatBags) -> None:
        """Do nothing: rows never move."""
        del batch

    def counters(self) -> Mapping[str, int]:
        """Return the bytes held."""
        return {"device_bytes": self._layout.units * UNIT}
