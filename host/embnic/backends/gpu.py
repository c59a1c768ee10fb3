# SPDX-License-Identifier: Apache-2.0
"""The GPU as a target of the engine (`GpuBackend`), and the way of a card's replies to it (`stage`).

The tables, and how their bags are pooled, are `gpu_tables`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bags import Bags
from ..config import Table
from ..errors import DeviceError, EmbnicError
from ..products import ProductBags
from .base import EVERYTHING
from .cpu import pool_pairs
from .gpu_device import open_device
from .gpu_memory import unpacked
from .gpu_tables import GpuTables

__all__ = ["GpuBackend", "stage"]


class GpuBackend:
    """Answer the engine's lookups on the GPU."""

    name = "gpu"
    capabilities = EVERYTHING

    def __init__(self, tables: Iterable[Table], *, device: str | None = None) -> None:
        """Take the tables; `load` gives them rows."""
        self.tables = GpuTables(tables, device=device)
        for table in self.tables.tables.values():
            self.capabilities.check(table, self.name)

    @property
    def tier(self) -> str:
        """Return where the rows are: `device`, or `cached` (host memory behind a row cache)."""
        return self.tables.memory.mode

    def load(self, table: str, weights: Any) -> None:
        """Set all rows of a table: [rows, dim]."""
        with _named_failures("loading"):
            self.tables.load(table, weights)

    def update(self, table: str, ids: Any, rows: Any) -> None:
        """Overwrite rows: `ids` [n], `rows` [n, dim]; a repeated id keeps its last row."""
        with _named_failures("updating"):
            self.tables.update(table, ids, rows)

    def lookup(
        self, bags: Bags, out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag: for each table of `bags` an array [B, dim]."""
        with _named_failures("looking up"):
            return self.tables.lookup(bags, out)

    def product(self, pairs: ProductBags) -> NDArray[np.float32]:
        """Return the sums float32 [B, dim] of bags of pairs: rows taken where they are, the rest on the CPU."""
        with _named_failures("multiplying rows"):
            tables, torch = self.tables, self.tables.device.torch
            first, second = pairs.check(tables.tables)
            held = {table.name: tables.rows(table.name) for table in (first, second)}

            def take(table: Table, ids: NDArray[np.int64]) -> NDArray[Any]:
                rows = held[table.name]
                taken = rows[torch.from_numpy(ids).to(rows.device)].cpu()
                return unpacked(table, taken)

            return pool_pairs(first, second, pairs, take)

    def stats(self) -> dict[str, int]:
        """Return the counters since the start."""
        with _named_failures("reading the counters"):
            return self.tables.stats()

    def close(self) -> None:
        """Give the tables back; may be called twice."""
        self.tables.close()


@contextlib.contextmanager
def _named_failures(doing: str) -> Iterator[None]:
    """Turn what torch raises when the GPU fails (RuntimeError and its kind) into DeviceError."""
    try:
        yield
    except EmbnicError:
        raise
    except RuntimeError as error:
        raise DeviceError(
            f"The GPU failed while {doing}: {error}. Do: use target='cpu'."
        ) from error


def stage(pooled: Mapping[str, NDArray[Any]], *, device: str | None = None) -> dict[str, Any]:
    """Copy pooled host arrays (a card's replies) through pinned memory into GPU tensors, which have `__dlpack__`.

    The path is host-staged. A card that writes GPU memory by itself (peer to peer) is `Capabilities.peer_to_peer`,
    which no backend claims.
    """
    target = open_device(device)
    torch = target.torch
    staged = {}
    for name, array in pooled.items():
        contiguous = np.ascontiguousarray(array)
        pinned = target.host_bytes(contiguous.nbytes)
        pinned.numpy()[:] = contiguous.reshape(-1).view(np.uint8)
        kind = (
            torch.bfloat16 if array.dtype == np.uint16 else torch.from_numpy(contiguous[:0]).dtype
        )
        staged[name] = pinned.to(target.torch_device).view(kind).view(*array.shape)
    return staged
