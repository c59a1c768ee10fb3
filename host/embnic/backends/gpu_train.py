# SPDX-License-Identifier: Apache-2.0
"""Change rows by the gradients of pooled vectors: sort by row, sum each row's gradients in order, change it once.

There are no atomic additions, and nothing waits for the host: keys are sorted by row (stable); the gradients of a row
are added in the order of its keys, 128 sorted keys (a window) at a time, and the sums of the windows in order too. So
the same request gives the same bits every time. They are not the bits of torch, whose order of additions is not
defined; see `gradient_bound`.

The formulas are FBGEMM's, `w` being a row, `g` the sum of its gradients over a request:

* `Sgd` (EXACT_SGD): `w = w - rate * g`
* `RowwiseAdagrad` (EXACT_ROWWISE_ADAGRAD): `h = h + mean(g * g)`, one number a row;
  `w = w - rate / (sqrt(h) + epsilon) * g`

The gradient of a key is that of its bag's vector, times its weight, and for a mean divided by the keys that count.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute import Optimizer, RowwiseAdagrad, Sgd, gradient_bound
from ..config import Table
from ..errors import ConfigError
from ..gen.wire import DType, Order, Pooling
from .gpu_device import Device
from .gpu_layout import FORMATS, FlatBags, Layout, row_units
from .gpu_memory import Resolved

__all__ = ["Optimizer", "RowwiseAdagrad", "Sgd", "Trainer", "gradient_bound"]

_PROBE = 256  # keys of a program that numbers them
_WIDEST = 512  # columns of a program
TRAINED = (DType.FP32, DType.FP16, DType.BF16)


class Trainer:
    """Change the rows of a memory; holds the state of the optimizer, float32 [rows of all tables]."""

    def __init__(self, device: Device, layout: Layout) -> None:
        """Take the layout; the state is allocated when an optimizer needs it."""
        self._device, self._layout = device, layout
        self._kernels = importlib.import_module("embnic.backends.gpu_train_kernels")
        torch = device.torch
        self._state: Any = None
        self._nothing = torch.zeros(1, dtype=torch.int64, device=device.torch_device)
        self._plans: dict[Any, tuple[Any, Any, Any, Any]] = {}

    def state(self, table: Table) -> Any:
        """Return the state of row-wise Adagrad, float32 [rows]; zeros before the first step."""
        if self._state is None:
            torch = self._device.torch
            self._state = torch.zeros(
                self._layout.rows, dtype=torch.float32, device=self._device.torch_device
            )
        first = self._layout.first_row[table.name]
        return self._state[first : first + table.rows]

    def step(
        self,
        flat: FlatBags,
        found: Resolved,
        grads: Mapping[str, Any],
        optimizer: Optimizer,
        *,
        memory: Any,
    ) -> Any:
        """Change every row of the request once; return its flags. `memory` holds the dirty flags."""
        tables = [self._layout.tables[name] for name in flat.names]
        _check(tables, optimizer)
        torch, total = self._device.torch, int(flat.ids.shape[0])
        flags = torch.zeros(2, dtype=torch.int64, device=self._device.torch_device)
        if not total:
            return flags
        with self._device.scope():
            gradients = self._joined(flat, tables, grads)
            lines, ranked, starts, bags = self._plan(flat, tables)
            keys = self._numbered(flat, starts, lines, flags)
            counts = self._counts(flat, keys, tables)
            ordered, order = torch.sort(keys, stable=True)
            lengths = flat.offsets[1:] - flat.offsets[:-1]
            vectors = torch.repeat_interleave(bags, lengths, output_size=total)[order]
            self._launch(
                tables,
                flat,
                found,
                (ranked, ordered, order, vectors, counts, gradients),
                optimizer,
                memory,
            )
        return flags

    # -- the parts of a step ------------------------------------------------------------------------------------------

    def _plan(self, flat: FlatBags, tables: list[Table]) -> tuple[Any, Any, Any, Any]:
        """Return the tables' descriptors in the request's order and by first key, where their keys start, all bags."""
        torch = self._device.torch
        key = (flat.names, flat.counts, flat.weights is not None)
        if key not in self._plans:
            if len(self._plans) >= 64:
                self._plans.clear()
            ends = np.cumsum((0, *flat.counts))
            lines = self._table_lines(flat, tables, ends)
            bags = torch.arange(int(ends[-1]), dtype=torch.int32, device=self._device.torch_device)
            ranked = lines[np.argsort(lines[:, 0], kind="stable")]
            self._plans[key] = (
                self._device.put(lines),
                self._device.put(ranked),
                self._device.put(ends),
                bags,
            )
        lines_put, ranked_put, ends_put, bags = self._plans[key]
        return lines_put, ranked_put, flat.offsets[ends_put], bags

    def _table_lines(
        self, flat: FlatBags, tables: list[Table], ends: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        lines, grads = [], 0
        for at, table in enumerate(tables):
            lines.append(
                [
                    self._layout.first_row[table.name],
                    table.rows,
                    -1 if table.padding_idx is None else table.padding_idx,
                    self._layout.base[table.name],
                    row_units(table),
                    table.dim,
                    FORMATS[table.dtype],
                    int(ends[at]),
                    grads,
                    table.pooling is Pooling.MEAN,
                    table.pooling is Pooling.SUM and flat.weights is not None,
                ]
            )
            grads += flat.counts[at] * table.dim
        return np.array(lines, np.int64)

    def _numbered(self, flat: FlatBags, starts: Any, lines: Any, flags: Any) -> Any:
        """Return for every key its row among all rows, or -1."""
        torch, total, tables = self._device.torch, int(flat.ids.shape[0]), len(flat.names)
        keys = self._device.empty(
            total, torch.int32 if self._layout.rows < 1 << 31 else torch.int64
        )
        self._kernels.keys_kernel[(-(-total // _PROBE),)](
            flat.ids, starts, lines, keys, flags, total, tables, (tables - 1).bit_length(), _PROBE
        )
        return keys

    def _joined(self, flat: FlatBags, tables: list[Table], grads: Mapping[str, Any]) -> Any:
        """Return the gradients of all tables in one float32 tensor."""
        torch, parts = self._device.torch, []
        for table, count in zip(tables, flat.counts, strict=True):
            given = grads.get(table.name)
            if (
                given is None
                or tuple(given.shape) != (count, table.dim)
                or given.device != self._device.torch_device
            ):
                got = "nothing" if given is None else f"{list(given.shape)} on {given.device}"
                raise ConfigError(
                    f"The gradients of {table.name!r} are {got}.",
                    allowed=f"a tensor {[count, table.dim]} on {self._device.torch_device}.",
                    do="Give the gradients of the vectors that the lookup returned.",
                )
            parts.append(given.reshape(-1).to(torch.float32))
        return parts[0].contiguous() if len(parts) == 1 else torch.cat(parts)

    def _counts(self, flat: FlatBags, keys: Any, tables: list[Table]) -> Any:
        """Return for every bag the keys that count, float32 [N], where a mean needs them."""
        torch = self._device.torch
        if all(table.pooling is not Pooling.MEAN for table in tables):
            return self._nothing
        zero = torch.zeros(1, dtype=torch.int64, device=self._device.torch_device)
        before = torch.cat([zero, torch.cumsum(keys >= 0, 0)])
        return (before[flat.offsets[1:]] - before[flat.offsets[:-1]]).clamp(min=1).to(torch.float32)

    def _launch(
        self, tables: list[Table], flat: FlatBags, found: Resolved, inputs: tuple[Any, ...], optimizer: Optimizer,
        memory: Any,
    ) -> None:  # fmt: skip
        kernels, total = self._kernels, int(flat.ids.shape[0])
        lines, keys, order, vectors, counts, gradients = inputs
        adagrad = isinstance(optimizer, RowwiseAdagrad)
        if adagrad:
            self.state(tables[0])
        widest = max(table.dim for table in tables)
        block = min(max(4, 1 << (widest - 1).bit_length()), _WIDEST)
        windows = -(-total // kernels.WINDOW.value)
        batch = found.batch
        where = (
            batch.units if found.direct else self._nothing,
            batch.slots if found.direct else self._nothing,
            memory.dirty if found.direct else self._nothing,
            self._device.empty(windows * 2 * widest, self._device.torch.float32),
            self._state if adagrad else self._nothing,
            float(optimizer.rate),
            float(optimizer.epsilon) if isinstance(optimizer, RowwiseAdagrad) else 0.0,
            total,
        )
        constants = {
            "FP32": any(table.dtype is DType.FP32 for table in tables),
            "HALF": any(table.dtype is not DType.FP32 for table in tables),
            "ADAGRAD": adagrad,
            "RESOLVED": found.direct,
            "BD": block,
            "WIDTH": widest,
            "INTERPRET": self._device.interpreted,
            "tables": len(tables),
            "STEPS": (len(tables) - 1).bit_length(),
        }
        kernels.run_kernel[(total,)](
            found.memory, lines, keys, order, vectors, self._nothing if flat.weights is None else flat.weights, counts,
            gradients, *where, WEIGHTED=flat.weights is not None,
            MEAN=any(table.pooling is Pooling.MEAN for table in tables),
            VEC=all(table.dim % 4 == 0 for table in tables), ONE=widest <= block,
            U=2 if self._device.interpreted else 4, num_warps=1, num_stages=1, **constants,
        )  # fmt: skip
        if windows > 1:
            kernels.join_kernel[(windows - 1,)](
                found.memory, lines, keys, order, *where, num_warps=1, num_stages=1, **constants
            )


def _check(tables: list[Table], optimizer: Optimizer) -> None:
    """Refuse tables that have no gradient here, and wrong numbers."""
    for table in tables:
        if (
            table.dtype not in TRAINED
            or table.pooling not in (Pooling.SUM, Pooling.MEAN)
            or table.order is not Order.SEQUENTIAL
        ):
            raise ConfigError(
                f"Table {table.name!r}: gradients of {table.dtype.name.lower()!r} rows with pooling "
                f"{table.pooling.name.lower()!r} and order {table.order.name.lower()!r}.",
                allowed="fp32, fp16 and bf16 rows, pooled by sum or mean in sequential order.",
                do="Train such a table elsewhere and update() its rows.",
            )
    if not isinstance(optimizer, (Sgd, RowwiseAdagrad)):
        raise ConfigError(
            f"The optimizer is {optimizer!r}.",
            allowed="Sgd or RowwiseAdagrad.",
            do="Give one of these.",
        )
