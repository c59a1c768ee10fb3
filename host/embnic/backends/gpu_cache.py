# SPDX-License-Identifier: Apache-2.0
"""Hold the rows in pinned host memory and the hot ones in a cache in GPU memory.

The cache is flat over all tables and set-associative, 32 ways, least recently used first out. Tables whose rows have
the same size share its sets; the bytes are shared out in proportion to theirs. A row that finds no free line is read
from host memory by the pooling kernel itself.

Everything that changes tags, stamps and lines runs on one lane, the *side* lane, in the order of the requests:
`prefetch` brings a batch's rows in while the caller's lane works on the batch before.

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
cache meanwhile. Such rows of batches that are not released stay in host memory.
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
_PROBE, _COPY = 32, 128  # keys of a program that probes, words that a program copies at a time


@dataclass
class Batch:
    """Hold where the rows of a prefetched request are, and lock their lines until it is released."""

    number: int
    flat: FlatBags
    units: Any  # int64 [L]
    slots: Any  # int64 [L]: lines of the cache, or -1
    keys: Any  # int64 [L]: rows among all rows, or -1
    ready: Any  # point of the side lane
    in_host: Any = None  # int64: keys without a line, where rows will be changed
    released: bool = field(default=False)


class CachedMemory:
    """Hold all rows in host memory and `cache_bytes` of lines on the device."""

    mode = "cached"

    def __init__(self, device: Device, layout: Layout, cache_bytes: int) -> None:
        """Allocate both; torch's errors pass through."""
        self._device, self._layout = device, layout
        self._kernels = importlib.import_module("embnic.backends.gpu_cache_kernels")
        torch = device.torch
        self.host = device.host_bytes(layout.units * UNIT)
        self._sets = _share_sets(layout, cache_bytes)
        total, units = sum(sets for sets, _ in self._sets.values()), 0
        lines: dict[int, tuple[int, int]] = {}  # row units -> first set, units before its lines
        first = 0
        for stride, (sets, _) in self._sets.items():
            lines[stride] = (first, units)
            first, units = first + sets, units + sets * WAYS * stride
        self.memory = device.empty(units * UNIT, torch.uint8)
        kind = torch.int32 if layout.rows < 1 << 31 else torch.int64
        self._tags = torch.full((total * WAYS,), -1, dtype=kind, device=device.torch_device)
        self._stamps = torch.zeros(total * WAYS, dtype=torch.int32, device=device.torch_device)
        self.dirty = torch.zeros(total * WAYS, dtype=torch.uint8, device=device.torch_device)
        self._counters = torch.zeros(3, dtype=torch.int64, device=device.torch_device)
        self._lines = device.put(self._table_lines(lines))
        self._index = {name: at for at, name in enumerate(layout.tables)}
        self._requests: dict[tuple[str, ...], Any] = {}
        self._key_bits = max(layout.rows.bit_length(), 1)
        self._now = 0
        self._open: dict[int, Batch] = {}
        self._released: list[Any] = []
        self._counts = {
            "cache_calls": 0,
            "cache_keys": 0,
            "cache_misses": 0,
            "cache_unique_misses": 0,
        }
        self._bytes = {"device_bytes": units * UNIT, "host_bytes": layout.units * UNIT}
        self._tables = len(layout.tables)
        self._steps = (self._tables - 1).bit_length()

    def _table_lines(self, lines: Mapping[int, tuple[int, int]]) -> NDArray[np.int64]:
        """Return the descriptors that the kernels read."""
        rows = []
        for name, table in self._layout.tables.items():
            stride = row_units(table)
            padding = -1 if table.padding_idx is None else table.padding_idx
            first, at = lines[stride]
            host = self.host_unit(table)
            rows.append(
                [
                    self._layout.first_row[name],
                    table.rows,
                    padding,
                    first,
                    self._sets[stride][0],
                    at,
                    stride,
                    host,
                ]
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
        held = ((self._tags >= first) & (self._tags < first + table.rows)).nonzero().reshape(-1)
        self.dirty[held] = 0
        write_rows(self._device.torch, self._host_rows(table), table, stored)
        self._move(held, self._tags[held].to(self._device.torch.int64), fetch=True, stamp=False)
        self._device.synchronize()

    def update(self, table: Table, ids: NDArray[np.int64], stored: NDArray[Any]) -> None:
        """Overwrite rows in host memory and in the lines that hold them; waits for both lanes."""
        self._device.synchronize()
        torch = self._device.torch
        keys = self._device.put(ids + self._layout.first_row[table.name])
        slots = self._find(keys)
        kept = slots[slots >= 0]
        self.dirty[kept] = 0
        rows = self._host_rows(table)
        fresh = torch.empty((len(ids), rows.shape[1]), dtype=rows.dtype)
        write_rows(torch, fresh, table, stored)
        rows[torch.from_numpy(ids)] = fresh
        self._move(kept, keys[slots >= 0], fetch=True, stamp=False)
        self._device.synchronize()

    def rows(self, table: Table) -> Any:
        """Return the rows in host memory as a tensor [rows, dim], after writing all dirty lines back."""
        self.flush()
        return self._host_rows(table)

    def flush(self) -> None:
        """Write all dirty lines back; they stay in the cache."""
        self._device.synchronize()
        slots = self.dirty.nonzero().reshape(-1)
        self._move(slots, slots, fetch=False, stamp=False)
        self._device.synchronize()

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
            self._now += 1
            batch = self._resolve(flat, flags)
            if change:
                batch.in_host = (batch.keys[(batch.slots < 0) & (batch.keys >= 0)]).unique()
            for tensor in (flat.ids, flat.offsets):
                side.keep(tensor)
            batch.ready = side.mark()
        self._open[batch.number] = batch
        return batch

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

    def _resolve(self, flat: FlatBags, flags: Any) -> Batch:
        torch, total = self._device.torch, int(flat.ids.shape[0])
        keys, slots, units, wanted = (self._device.empty(total, torch.int64) for _ in range(4))
        starts, request = self._request(flat)
        if total:
            self._kernels.probe_kernel[(-(-total // _PROBE),)](
                flat.ids, starts, request, self._lines, self._tags, self._stamps, keys, slots, units, wanted, flags,
                total, self._now, self._key_bits, len(flat.names), (len(flat.names) - 1).bit_length(), WAYS, _PROBE,
            )  # fmt: skip
        missed = (wanted >= 0).nonzero().reshape(-1)
        self._counts["cache_calls"] += 1
        self._counts["cache_keys"] += total
        self._counts["cache_misses"] += int(missed.shape[0])
        batch = Batch(self._now, flat, units, slots, keys, None)
        if missed.shape[0]:
            self._insert(batch, missed, wanted[missed])
        return batch

    def _insert(self, batch: Batch, missed: Any, wanted: Any) -> None:
        """Give the different keys among `wanted` lines and bring their rows in."""
        torch = self._device.torch
        different, inverse = torch.unique(wanted, return_inverse=True)
        count = int(different.shape[0])
        self._counts["cache_unique_misses"] += count
        keys = different & ((1 << self._key_bits) - 1)
        sets = different >> self._key_bits
        place = torch.arange(count, device=sets.device) - torch.searchsorted(sets, sets)
        victims = self._device.empty(count, torch.int64)
        oldest = min(self._open, default=self._now)
        self._kernels.choose_kernel[(count,)](
            different, place, self._stamps, victims, oldest, self._key_bits, WAYS, num_warps=1
        )
        for other in self._open.values():
            if other.in_host is not None and other.in_host.shape[0]:
                victims.masked_fill_(torch.isin(keys, other.in_host), -1)
        self._counters[2] += (victims < 0).sum()
        self._move(victims, keys, fetch=True, stamp=True)
        total = int(missed.shape[0])
        self._kernels.fill_kernel[(-(-total // _PROBE),)](
            missed, inverse, victims, batch.keys, self._lines, batch.slots, batch.units, total,
            self._tables, self._steps, WAYS, _PROBE, num_warps=1,
        )  # fmt: skip

    def _move(self, slots: Any, keys: Any, *, fetch: bool, stamp: bool) -> None:
        """Write dirty lines back and bring rows in; without `stamp` the lines look as if never used."""
        if slots.shape[0] == 0:
            return
        with self._device.scope():
            self._kernels.move_kernel[(int(slots.shape[0]),)](
                self.memory, slots, keys, self._lines, self._tags, self._stamps, self.dirty, self._counters,
                self._now if stamp else 0, fetch, stamp, self._tables, self._steps, WAYS, _COPY, num_warps=1,
            )  # fmt: skip

    def _find(self, keys: Any) -> Any:
        """Return the slots of keys, -1 where they are not in the cache."""
        total = int(keys.shape[0])
        slots = self._device.empty(total, self._device.torch.int64)
        if total:
            with self._device.scope():
                self._kernels.find_kernel[(-(-total // _PROBE),)](
                    keys,
                    self._lines,
                    self._tags,
                    slots,
                    total,
                    self._tables,
                    self._steps,
                    WAYS,
                    _PROBE,
                )
        return slots

    def _request(self, flat: FlatBags) -> tuple[Any, Any]:
        """Return where the keys of each table start [T + 1], and the numbers of the tables [T]."""
        key = (*flat.names, *map(str, flat.counts))
        if key not in self._requests:
            if len(self._requests) > 256:
                self._requests.clear()
            ends = np.cumsum((0, *flat.counts))
            tables = np.array([self._index[name] for name in flat.names], np.int64)
            self._requests[key] = (self._device.put(ends), self._device.put(tables))
        ends, tables = self._requests[key]
        return flat.offsets[ends], tables

    def counters(self) -> Mapping[str, int]:
        """Return the counters and the bytes held; waits for the device.

        `cache_misses` are keys that were not in the cache, `cache_unique_misses` different ones, of which
        `cache_conflicts` found no line.
        """
        evictions, written, conflicts = self._counters.tolist()
        moved = {
            "cache_evictions": evictions,
            "cache_write_backs": written,
            "cache_conflicts": conflicts,
        }
        return {**self._bytes, **self._counts, **moved}


def _share_sets(layout: Layout, cache_bytes: int) -> dict[int, tuple[int, int]]:
    """Return for each size of a row, in units, the sets and the bytes of all its rows.

    Every size gets sets in proportion to its bytes, at least one and at most what its rows fill.
    """
    rows: dict[int, int] = {}
    for table in layout.tables.values():
        rows[row_units(table)] = rows.get(row_units(table), 0) + table.rows
    total = layout.units * UNIT
    shares: dict[int, tuple[int, int]] = {}
    for stride, count in rows.items():
        size = count * stride * UNIT
        line = WAYS * stride * UNIT
        sets = min(int(cache_bytes * (size / total)) // line, -(-count // WAYS))
        shares[stride] = (max(sets, 1), size)
    least = sum(WAYS * stride * UNIT for stride in rows)
    if cache_bytes < least:
        raise ConfigError(
            f"The row cache has {cache_bytes} bytes.",
            allowed=f"at least {least}: one set of {WAYS} rows for every size of a row.",
            do="Give more device memory, or use target='cpu'.",
        )
    return shares
