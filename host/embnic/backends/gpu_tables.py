# SPDX-License-Identifier: Apache-2.0
"""Hold tables on a GPU and pool bags there: one fused launch for all tables of a request, with the reference's bits.

`GpuTables` is the whole GPU path: tables in GPU memory (or behind a row cache in it, when they do not fit), lookups of
host arrays or of tensors that are already on the device, gradients. `GpuBackend` is the same as a target of the engine.

```text
 Bags (numpy) ──one copy──► FlatBags (device) ──one launch──► vectors (device) ──one copy──► numpy
 tensors, DLPack ───────────────┘                                 └────────────► tensors, DLPack (no copy)
```
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bags import Bags
from ..config import Table
from ..errors import BackendUnavailable, ConfigError, DeviceError
from ..gen.wire import DType, Pooling
from ..rows import check_ids, to_storage
from .base import HostTables, output_arrays
from .gpu_cache import CachedMemory
from .gpu_device import Device, open_device
from .gpu_inputs import Inputs, check_device
from .gpu_layout import UNIT, FlatBags, Layout, Plan, Tuning, make_plan
from .gpu_memory import DeviceMemory, Memory, Resolved, torch_dtype
from .gpu_train import Optimizer, Trainer

__all__ = ["GpuTables", "Prefetched"]

_log = logging.getLogger("embnic.gpu")

_CACHE_SHARE = 0.8  # of the free device memory, for a cache that nobody gave a size
_PLANS = 256  # launches whose tables of descriptors stay on the device
_INTERPRETED = Tuning(tile_bytes=8192, unroll=2)  # few, large programs: each is a Python loop


@dataclass(frozen=True)
class Prefetched:
    """A request whose rows are on their way to the device, and locked there."""

    flat: FlatBags
    batch: Any


class GpuTables:
    """Hold tables on a GPU and pool bags there.

    `device` names a CUDA device; without it the current one. Under `TRITON_INTERPRET=1` the kernels run on the CPU.
    Work goes to the stream that is current when a method is called.
    """

    def __init__(
        self,
        tables: Iterable[Table],
        *,
        device: str | None = None,
        device_bytes: int | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        """Take the tables; no device memory is used before `load`.

        `device_bytes` is what the rows may take of the device's memory. Tables that need more, or more than there is,
        are held in pinned host memory behind a row cache of that size (see `gpu_cache`).
        """
        self._host = HostTables(tables, "GpuTables")
        self._host.counters["backwards"] = 0
        self.tables: Mapping[str, Table] = self._host.tables
        self.device: Device = open_device(device)
        self.tuning = tuning or (_INTERPRETED if self.device.interpreted else Tuning())
        self.layout = Layout.of(self.tables.values())
        self.launches = 0
        self._unpooled = any(table.pooling is Pooling.NONE for table in self.tables.values())
        self._device_bytes = _checked_bytes(device_bytes)
        self._memory: Memory | None = None
        self._trainer: Trainer | None = None
        self._loaded: set[str] = set()
        self._plans: OrderedDict[Any, Plan] = OrderedDict()
        torch = self.device.torch
        self._flags = torch.zeros(2, dtype=torch.int64, device=self.device.torch_device)
        self._inputs = Inputs(self.device, self._host, self._flags)
        self._no_weights = torch.zeros(4, dtype=torch.float32, device=self.device.torch_device)

    # -- rows ---------------------------------------------------------------------------------------------------------

    @property
    def memory(self) -> Memory:
        """Return what holds the rows; it is allocated at the first use."""
        if self._memory is None:
            self._memory = self._allocate()
        return self._memory

    def _allocate(self) -> Memory:
        needed, given = self.layout.units * UNIT, self._device_bytes
        if given is None or needed <= given:
            try:
                return DeviceMemory(self.device, self.layout)
            except RuntimeError as error:
                if not self.device.out_of_memory(error):
                    raise
            given, why = int(self.device.free_bytes() * _CACHE_SHARE), "the GPU's memory is used up"
        else:
            why = f"device_bytes={given}"
        try:
            memory = CachedMemory(self.device, self.layout, given)
        except RuntimeError as error:
            raise BackendUnavailable(
                "gpu",
                reason=f"{needed} bytes of rows fit neither the GPU ({why}) nor pinned host memory ({error}).",
                remedy="open fewer or smaller tables, or target='cpu'.",
            ) from error
        _log.warning("%d bytes of rows are cached: %s; the cache has %d bytes", needed, why, given)
        return memory

    def load(self, name: str, weights: Any) -> None:
        """Set all rows of a table [rows, dim]: numpy or a tensor (on this device it stays there)."""
        self._host.check_open("load")
        table = self._host.table(name)
        self.memory.load(table, self._stored(table, weights, table.rows))
        self._loaded.add(name)

    def update(self, name: str, ids: Any, rows: Any) -> None:
        """Overwrite the rows `ids` [n] with `rows` [n, dim]; a repeated id keeps its last row."""
        self._host.check_open("update")
        table = self._host.table(name)
        checked = check_ids(table, ids)
        stored = to_storage(table, rows, rows=len(checked))
        self._check_loaded(name)
        last = len(checked) - 1 - np.unique(checked[::-1], return_index=True)[1]
        self.memory.update(table, checked[last], stored[last])
        self._host.counters["updates"] += 1
        self._host.counters["update_rows"] += len(checked)

    def rows(self, name: str) -> Any:
        """Return the rows of a table as a tensor [rows, dim] that shares their memory."""
        self._host.check_open("rows")
        table = self._host.table(name)
        self._check_loaded(name)
        return self.memory.rows(table)

    def _stored(self, table: Table, weights: Any, rows: int) -> Any:
        """Return weights in the storage type: a tensor of it as it is, everything else as a numpy array."""
        torch = self.device.torch
        kind = torch_dtype(torch, table.dtype)
        if isinstance(weights, torch.Tensor) and weights.dtype == kind and not table.quantised:
            if tuple(weights.shape) != (rows, table.dim):
                raise ConfigError(
                    f"Table {table.name!r}: rows have shape {list(weights.shape)}.",
                    allowed=f"{[rows, table.dim]}.",
                    do="Give one line for every row.",
                )
            check_device(self.device, weights, f"Table {table.name!r}: rows", also_host=True)
            return weights.detach()
        return to_storage(table, weights, rows=rows)

    def _check_all_loaded(self, flat: FlatBags) -> None:
        if not self._loaded.issuperset(flat.names):
            for name in flat.names:
                self._check_loaded(name)

    def _check_loaded(self, name: str) -> None:
        if name not in self._loaded:
            raise ConfigError(
                f"The table {name!r} has no rows yet.",
                allowed="lookups and updates after load.",
                do=f"Call load({name!r}, weights) first.",
            )

    # -- requests -----------------------------------------------------------------------------------------------------

    def put(self, bags: Bags) -> FlatBags:
        """Copy checked host bags to the device, in one transfer."""
        return self._inputs.put(bags)

    def flat(
        self,
        names: Sequence[str],
        values: Any,
        offsets: Any,
        *,
        weights: Any = None,
        counts: Sequence[int] | None = None,
    ) -> FlatBags:
        """Take the parts of a key-major KeyedJaggedTensor that is on the device already: see `Inputs.flat`."""
        return self._inputs.flat(names, values, offsets, weights=weights, counts=counts)

    def from_dlpack(self, inputs: Mapping[str, Any]) -> FlatBags:
        """Take tensors, or what has `__dlpack__`, of each table: see `Inputs.from_dlpack`."""
        return self._inputs.from_dlpack(inputs)

    # -- lookups ------------------------------------------------------------------------------------------------------

    def prefetch(self, bags: Bags | FlatBags, *, change: bool = False) -> Prefetched:
        """Begin to bring the rows of a request to the device and lock them there; look it up later, in the same order.

        Of tables that are wholly on the device nothing is brought. With `change` `backward` will change the rows.
        """
        self._host.check_open("prefetch")
        flat = (
            self.put(bags.validate_against(self.tables.values()))
            if isinstance(bags, Bags)
            else bags
        )
        self._check_all_loaded(flat)
        return Prefetched(flat, self.memory.prefetch(flat, self._flags, change=change))

    def lookup_flat(
        self, bags: FlatBags | Prefetched, *, check: bool = True, keep: bool = False
    ) -> dict[str, Any]:
        """Pool every bag in one launch; return for each table a tensor [B, dim] of its storage type.

        With `keep` a prefetched request stays locked until `backward`.

        The tensors are views of one buffer. Without `check` nothing waits for the device, and ids outside their table
        are reported by the next `check_errors` only (they are never read).
        """
        self._host.check_open("lookup")
        held = bags if isinstance(bags, Prefetched) else self.prefetch(bags)
        flat = held.flat
        plan = self.plan(flat)
        out = self._vectors(plan.out_bytes)
        found = self.memory.use(held.batch)
        if plan.grid[0]:
            with self.device.scope():
                self.launch(plan, flat, found, out)
        if not keep:
            self.memory.release(held.batch)
        self._count(flat)
        if check:
            self.check_errors(flat)
        return self.views(plan, out)

    def lookup_dlpack(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Pool bags given by `from_dlpack`'s inputs; return tensors, which have `__dlpack__` themselves."""
        return self.lookup_flat(self.from_dlpack(inputs))

    def lookup(
        self, bags: Bags, out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Pool host bags into host arrays [B, dim]."""
        self._host.check_open("lookup")
        bags = bags.validate_against(self.tables.values())
        arrays = output_arrays(self.tables, bags, out)
        pooled = self.lookup_flat(self.put(bags), check=False)
        torch = self.device.torch
        for name, array in arrays.items():
            found = pooled[name].cpu()
            bits = found.view(torch.int16) if found.dtype == torch.bfloat16 else found
            array[...] = bits.numpy().view(array.dtype)
        return arrays

    def backward(
        self, bags: FlatBags | Prefetched, grads: Mapping[str, Any], *, optimizer: Optimizer
    ) -> None:
        """Change the rows of a request by the gradients of its vectors: a tensor [B, dim] for each table.

        A request that was looked up with `keep=True` is unlocked. See `gpu_train` for the formulas.
        """
        self._host.check_open("backward")
        held = bags if isinstance(bags, Prefetched) else self.prefetch(bags, change=True)
        found = self.memory.use(held.batch)
        self._flags += self.trainer.step(held.flat, found, grads, optimizer, memory=self.memory)
        self.memory.release(held.batch)
        self._host.counters["backwards"] += 1

    @property
    def trainer(self) -> Trainer:
        """Return what changes rows and holds the optimizer's state."""
        if self._trainer is None:
            self._trainer = Trainer(self.device, self.layout)
        return self._trainer

    def _vectors(self, size: int) -> Any:
        try:
            return self.device.empty(size, self.device.torch.uint8)
        except RuntimeError as error:
            if not self.device.out_of_memory(error):
                raise
            raise DeviceError(
                f"The GPU has no memory for {size} bytes of vectors. "
                "Do: look fewer bags up at a time, or give the rows less with device_bytes."
            ) from error

    def check_errors(self, flat: FlatBags | None = None) -> None:
        """Wait for the device and refuse ids or offsets that a lookup since the last check found to be wrong."""
        if not int(self._flags[0].item()):
            return
        self._flags[0] = 0
        if flat is not None:
            self._inputs.explain(flat)
        raise ConfigError(
            "A lookup had ids outside their table, or offsets that decrease or pass the last id.",
            allowed="ids from 0 to rows - 1, offsets from 0 to the number of ids.",
            do="Look up with check=True to hear which.",
        )

    def launch(self, plan: Plan, flat: FlatBags, found: Resolved, out: Any) -> None:
        self.device.kernels.pool_kernel[plan.grid](
            found.memory,
            plan.table,
            found.keys,
            flat.offsets,
            self._no_weights if flat.weights is None else flat.weights,
            out,
            plan.first_bags,
            plan.out_starts,
            self._flags,
            int(flat.ids.shape[0]),
            plan.variants,
            plan.variant_count,
            self.tuning.tile_bytes,
            self.tuning.unroll,
            found.direct,
            self.device.interpreted,
            num_warps=self.tuning.warps,
            num_stages=1,
            enable_fp_fusion=False,
        )
        self.launches += 1

    def plan(self, flat: FlatBags) -> Plan:
        """Return the plan of a launch; the last ones are kept on the device."""
        outputs = self._outputs(flat)
        key = (flat.names, flat.counts, outputs, flat.weights is not None)
        plan = self._plans.get(key)
        if plan is None:
            plan = make_plan(self.device, self.layout, flat, outputs=outputs, tuning=self.tuning)
            self._plans[key] = plan
            while len(self._plans) > _PLANS:
                self._plans.popitem(last=False)
        return plan

    def forget_plans(self) -> None:
        """Drop the plans that are kept: `tuning` was changed."""
        self._plans.clear()

    def _outputs(self, flat: FlatBags) -> tuple[int, ...]:
        """Return the vectors of each table; where nothing is pooled they are its keys, which the offsets say."""
        if not self._unpooled:
            return flat.counts
        ends = np.cumsum((0, *flat.counts))
        edges = flat.offsets[self.device.put(ends)].cpu().numpy().clip(0, int(flat.ids.shape[0]))
        keys = np.diff(edges).clip(0).tolist()
        return tuple(
            keys[at] if self.tables[name].pooling is Pooling.NONE else count
            for at, (name, count) in enumerate(zip(flat.names, flat.counts, strict=True))
        )

    def views(self, plan: Plan, out: Any) -> dict[str, Any]:
        """Return the vectors of each table as a view of `out`; tables of one shape are cut apart together."""
        torch = self.device.torch
        views: list[Any] = []
        for group in plan.groups:
            table = self.tables[plan.names[group.first]]
            kind = (
                torch_dtype(torch, table.dtype)
                if table.dtype in (DType.FP16, DType.BF16)
                else torch.float32
            )
            part = out[group.start : group.start + group.nbytes].view(kind)
            views += part.view(group.tables, group.outputs, table.dim).unbind(0)
        return dict(zip(plan.names, views, strict=True))

    def _count(self, flat: FlatBags) -> None:
        counters = self._host.counters
        counters["lookups"] += 1
        counters["bags"] += sum(flat.counts)
        counters["keys"] += int(flat.ids.shape[0])

    # -- the rest -----------------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, int]:
        """Return the counters since the start; waits for the device. `cached` is 1 when rows are cached."""
        self._host.counters["saturations"] = int(self._flags[1].item())
        memory = {} if self._memory is None else self._memory.counters()
        cached = int(self._memory is not None and self._memory.mode == "cached")
        return {**self._host.counters, "launches": self.launches, "cached": cached, **memory}

    def close(self) -> None:
        """Give the device memory back; may be called twice."""
        self._host.close()
        self._memory = None
        self._trainer = None
        self._plans.clear()


def _checked_bytes(given: int | None) -> int | None:
    if given is None or (isinstance(given, int) and not isinstance(given, bool) and given > 0):
        return given
    raise ConfigError(
        f"device_bytes is {given!r}.",
        allowed="a whole number of bytes, or None for as much as there is.",
        do="Leave it out.",
    )
