# SPDX-License-Identifier: Apache-2.0
"""Hold the rows in pinned host memory and the hot ones in a cache in GPU memory.

Every row of all tables has a word in GPU memory that says which line of the cache holds it, or when it was last asked
for: so the cache is flat over all tables, and any row may go to any line of its size. Tables whose rows have the same
size share the lines; the bytes are shared out in proportion to theirs.

An eighth of the lines is for rows that were not asked for in the last four batches, the rest for those that were: a row
that comes once does not push out one that comes often (Johnson and Shasha, "2Q", 1994). The line given away is the one
not used for longest among 32, a *window* that moves on with every row. A row that finds no free line is read from host
memory by the pooling kernel itself.

Everything that changes the cache runs on one lane, the *side* lane, in the order of the requests, and nothing waits for
the host: `prefetch` brings a batch's rows in while the caller's lane works on the batch before.

```text
 side    ──[prefetch 1]──[prefetch 2]────────[wait until 1 is released][prefetch 3]──
                  │ready         │ready              ▲
 main    ─────────┴──[lookup 1]──┴──[lookup 2]       │
                            └─ released ─────────────┘
```

A batch is numbered when it is prefetched, and its lines are stamped with that number. Until the batch is released, no
line stamped with its number or a later one is given away: the lines are locked. So the three hazards of prefetching
(FBGEMM issue 1893) cannot happen:

* a prefetched line is evicted before its batch used it: impossible, it is locked;
* a dirty line is written back after its row was read again: writing back and reading a row are on one lane, in order;
* the lanes race: the main lane waits for `ready`, the side lane for what was released before it gives lines away.

One more, when rows are trained: a row that found no line and is changed in host memory must not be brought into the
cache meanwhile. Such rows are marked with the number of their batch and stay in host memory until it is released.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Table
from ..errors import ConfigError
from .gpu_device import Device
from .gpu_layout import UNIT, FlatBags, Layout, row_units
from .gpu_memory import Resolved, typed_rows, write_rows

__all__ = ["WAYS", "Batch", "CachedMemory"]

WAYS = 32
RECENT = 4  # batches within which a row that is asked for again is kept longer
_NEWCOMERS = 8  # one window of so many is for rows that were not asked for lately
_FILLED = 8  # keys asked for, for every line, after which the cache counts as filled
_ALWAYS = 1 << 29
_LAST_BATCH = 1 << 28  # batches are numbered from 1 again then
_PROBE, _COPY, _PROGRAMS = (
    128,
    128,
    4096,
)  # keys of a program, words it copies at a time, programs that share a list


@dataclass
class Batch:
    """Hold where the rows of a prefetched request are, and lock their lines until it is released."""

    number: int
    flat: FlatBags
    units: Any  # int64 [L]
    slots: Any  # int64 [L]: lines of the cache, or -1
    keys: Any  # int64 [L]: rows among all rows, or -1
    ready: Any = None  # point of the side lane
    released: bool = field(default=False)


class CachedMemory:
    """Hold all rows in host memory and `cache_bytes` of lines on the device."""

    mode = "cached"

    def __init__(self, device: Device, layout: Layout, cache_bytes: int) -> None:
        """Allocate both; torch's errors pass through."""
        self._device, self._layout = device, layout
        self._kernels = importlib.import_module("embnic.backends.gpu_cache_kernels")
        windows = _share_windows(layout, cache_bytes)
        total = sum(windows.values()) * WAYS
        units = sum(count * WAYS * stride for stride, count in windows.items())
        self.host = device.host_bytes(layout.units * UNIT)
        self.memory = device.empty(units * UNIT, device.torch.uint8)
        self._lines = device.put(self._table_lines(windows))
        self._regions = device.put(_regions(windows))
        int32, int64 = device.torch.int32, device.torch.int64
        self._where = self._full(layout.rows, -1, int32)
        self._owners = self._full(total, -1, int64)
        self._stamps = self._full(total, 0, int32)
        self.dirty = self._full(total, 0, device.torch.uint8)
        self._counters = self._full(len(self._kernels.COUNTERS), 0, int64)
        self._index = {name: at for at, name in enumerate(layout.tables)}
        self._requests: dict[Any, Any] = {}
        self._now = 0
        self._open: dict[int, Batch] = {}
        self._released: list[Any] = []
        self._calls = self._keys = 0
        self._slots = total
        self._bytes = {
            "device_bytes": units * UNIT + 4 * layout.rows + 13 * total,
            "host_bytes": layout.units * UNIT,
        }
        self._tables = len(layout.tables)
        self._steps = (self._tables - 1).bit_length()
        self._programs = 1 if device.interpreted else _PROGRAMS

    def _full(self, size: int, value: int, kind: Any) -> Any:
        return self._device.torch.full((size,), value, dtype=kind, device=self._device.torch_device)

    def _table_lines(self, windows: Mapping[int, int]) -> NDArray[np.int64]:
        """Return the descriptors that the kernels read."""
        lines: dict[
            int, tuple[int, int, int]
        ] = {}  # row units -> first region, first slot, units before its line
        slot = at = 0
        for number, (stride, count) in enumerate(windows.items()):
            lines[stride] = (2 * number, slot, at)
            slot, at = slot + count * WAYS, at + count * WAYS * stride
        rows = []
        for name, table in self._layout.tables.items():
            stride = row_units(table)
            padding = -1 if table.padding_idx is None else table.padding_idx
            first_key = self._layout.first_row[name]
            rows.append(
                [first_key, table.rows, padding, *lines[stride], stride, self.host_unit(table)]
            )
        return np.array(rows, np.int64)

    def host_unit(self, table: Table) -> int:
        """Return where row 0 of a table starts in host memory, in units from the start of `memory`."""
        behind = (self.host.data_ptr() - self.memory.data_ptr()) // UNIT
        return int(behind + self._layout.base[table.name])

    # -- rows ---------------------------------------------------------------------------------------------------------

    def load(self, table: Table, stored: Any) -> None:
        """Set all rows of a table; lines that hold some are refreshed."""
        self._device.synchronize()
        first = self._layout.first_row[table.name]
        held = ((self._owners >= first) & (self._owners < first + table.rows)).nonzero().reshape(-1)
        write_rows(self._device.torch, self._host_rows(table), table, stored)
        self._move(held, back=False)
        self._device.synchronize()

    def update(self, table: Table, ids: NDArray[np.int64], stored: NDArray[Any]) -> None:
        """Overwrite rows in host memory and in the lines that hold them; waits for both lanes."""
        self._device.synchronize()
        torch = self._device.torch
        rows = self._host_rows(table)
        fresh = torch.empty((len(ids), rows.shape[1]), dtype=rows.dtype)
        write_rows(torch, fresh, table, stored)
        rows[torch.from_numpy(ids)] = fresh
        slots = self._where[self._device.put(ids + self._layout.first_row[table.name])].to(
            torch.int64
        )
        self._move(slots[slots >= 0], back=False)
        self._device.synchronize()

    def rows(self, table: Table) -> Any:
        """Return the rows in host memory as a tensor [rows, dim], after writing all dirty lines back."""
        self.flush()
        return self._host_rows(table)

    def flush(self) -> None:
        """Write all dirty lines back; they stay in the cache."""
        self._device.synchronize()
        self._move(self.dirty.nonzero().reshape(-1), back=True)
        self._device.synchronize()

    def _move(self, slots: Any, *, back: bool) -> None:
        """Copy lines to host memory, or their rows from there."""
        if slots.shape[0]:
            with self._device.scope():
                self._kernels.move_kernel[(int(slots.shape[0]),)](
                    self.memory, slots, self._owners, self._lines, self.dirty, back, self._tables, self._steps, _COPY,
                    num_warps=1,
                )  # fmt: skip

    def _host_rows(self, table: Table) -> Any:
        return typed_rows(self._device.torch, self.host, table, self._layout.base[table.name])

    # -- batches ------------------------------------------------------------------------------------------------------

    def prefetch(self, flat: FlatBags, flags: Any, *, change: bool = False) -> Batch:
        """Bring the rows of a request into the cache and lock them, on the side lane.

        With `change` the caller will change the rows. `flags` is the pooling kernel's.
        """
        side = self._device.side
        inputs = self._device.main.mark()
        with self._device.scope(), side.run():
            side.wait(inputs)
            for point in self._released:
                side.wait(point)
            self._released.clear()
            if self._now >= _LAST_BATCH and not self._open:
                self._renumber()
            self._now += 1
            batch = self._resolve(flat, flags, change)
            for tensor in (flat.ids, flat.offsets):
                side.keep(tensor)
            batch.ready = side.mark()
        self._open[batch.number] = batch
        return batch

    def _renumber(self) -> None:
        """Forget when lines and rows were used, so that batches are numbered from 1 again."""
        self._stamps.zero_()
        self._where.masked_fill_(self._where < 0, -1)
        self._now = 0

    def use(self, batch: Batch) -> Resolved:
        """Let the main lane wait until the rows of a batch are there; return where."""
        if batch.released:
            raise ConfigError(
                f"Batch {batch.number} was released.",
                allowed="a batch once.",
                do="Call prefetch again for every lookup.",
            )
        main = self._device.main
        main.wait(batch.ready)
        for tensor in (batch.units, batch.slots, batch.keys):
            main.keep(tensor)
        return Resolved(self.memory, batch.units, direct=True, batch=batch)

    def release(self, batch: Batch) -> None:
        """Unlock the lines of a batch, after what the main lane was asked for until now."""
        if not batch.released:
            batch.released = True
            del self._open[batch.number]
            self._released.append(self._device.main.mark())

    def _resolve(self, flat: FlatBags, flags: Any, change: bool) -> Batch:
        torch, kernels, total = self._device.torch, self._kernels, int(flat.ids.shape[0])
        regions = int(self._regions.shape[0])
        keys, slots, units = self._device.empty(3 * total, torch.int64).view(3, total)
        batch = Batch(self._now, flat, units, slots, keys)
        self._calls += 1
        if not total:
            return batch
        wanted, victims = self._device.empty(2 * regions * total, torch.int64).view(
            2, regions * total
        )
        counts = self._full(regions, 0, torch.int32)
        starts, request = self._request(flat)
        blocks = -(-total // _PROBE)
        oldest = min(self._open, default=self._now)
        recent = (
            RECENT if self._keys > _FILLED * self._slots else _ALWAYS
        )  # an empty cache takes everything
        self._keys += total
        asked = len(flat.names)
        steps = (asked - 1).bit_length()
        kernels.probe_kernel[(blocks,)](
            flat.ids, starts, request, self._lines, self._where, self._stamps, keys, slots, units, wanted, counts,
            self._counters, flags, total, self._now, oldest, recent, asked, steps, regions, _PROBE,
        )  # fmt: skip
        kernels.choose_kernel[(self._programs, regions)](
            counts, self._regions, self._stamps, victims, total, oldest, self._now * 7919, WAYS, self._programs,
            num_warps=1,
        )  # fmt: skip
        kernels.insert_kernel[(self._programs, regions)](
            self.memory, counts, wanted, victims, self._lines, self._where, self._owners, self._stamps, self.dirty,
            self._counters, total, self._now, self._tables, self._steps, _COPY, self._programs, num_warps=1,
        )  # fmt: skip
        kernels.fill_kernel[(blocks,)](
            starts, request, self._lines, self._where, keys, slots, units, total, self._now,
            change, asked, steps, _PROBE,
        )  # fmt: skip
        return batch

    def _request(self, flat: FlatBags) -> tuple[Any, Any]:
        """Return where the keys of each table start [T + 1], and the numbers of the tables [T]."""
        key = (flat.names, flat.counts)
        if key not in self._requests:
            if len(self._requests) >= 256:
                self._requests.clear()
            tables = np.array([self._index[name] for name in flat.names], np.int64)
            self._requests[key] = (
                self._device.put(np.cumsum((0, *flat.counts))),
                self._device.put(tables),
            )
        ends, tables = self._requests[key]
        return flat.offsets[ends], tables

    def counters(self) -> Mapping[str, int]:
        """Return the counters and the bytes held; waits for the device.

        `cache_misses` are keys that were not in the cache, `cache_unique_misses` different ones, of which
        `cache_conflicts` found no line.
        """
        counted = dict(zip(self._kernels.COUNTERS, self._counters.tolist(), strict=True))
        return {**self._bytes, "cache_calls": self._calls, "cache_keys": self._keys, **counted}


def _share_windows(layout: Layout, cache_bytes: int) -> dict[int, int]:
    """Return the windows for each size of a row, in units: in proportion to the bytes of its rows, at least two, and no
    more than hold all of them.
    """
    rows: dict[int, int] = {}
    for table in layout.tables.values():
        rows[row_units(table)] = rows.get(row_units(table), 0) + table.rows
    least = sum(2 * WAYS * stride * UNIT for stride in rows)
    if cache_bytes < least:
        raise ConfigError(
            f"The row cache has {cache_bytes} bytes.",
            allowed=f"at least {least}: {2 * WAYS} rows of every size.",
            do="Give more device memory, or use target='cpu'.",
        )
    windows = {}
    for stride, count in rows.items():
        share = cache_bytes * count * stride // layout.units // (WAYS * stride * UNIT)
        windows[stride] = max(2, min(share, 2 * -(-count // WAYS)))
    return windows


def _regions(windows: Mapping[int, int]) -> NDArray[np.int64]:
    """Return first slot and windows of every region: of each size those for newcomers, then those for the others."""
    regions, slot = [], 0
    for count in windows.values():
        newcomers = max(1, count // _NEWCOMERS)
        for part in (newcomers, count - newcomers):
            regions.append([slot, part])
            slot += part * WAYS
    return np.array(regions, np.int64)
