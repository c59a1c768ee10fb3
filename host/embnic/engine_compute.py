# SPDX-License-Identifier: Apache-2.0
"""Compute beside lookups: gradients summed by row, the best of scored rows, DLRM's interaction.

What each result means is `embnic.compute`'s; the bits are the same on every target. Who computes: the card where it has
the kernels (CAP_FEATURES bit 3), the HLS cores on the target `hls`, their twin in numpy elsewhere and when the card is
lost. Rows are changed by their gradients on the host, and reach the card as an update. What does not fit a kernel goes
to the twin, counted as `kernel_too_large` in `stats().fallback_total`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .backends.base import Backend
from .compute import (
    BestRows,
    Floats,
    Kernels,
    Optimizer,
    ReferenceKernels,
    RowGradients,
    check_gradients,
    check_scores,
    check_vectors,
)
from .config import Table
from .engine_cache import CacheEngine
from .errors import ConfigError
from .gen.wire import DType

__all__ = ["ComputeEngine"]

_TWIN = ReferenceKernels()
_T = TypeVar("_T")


class ComputeEngine(CacheEngine):
    """Add to an engine the kernels beyond pooling."""

    def __init__(self, tables: Iterable[Table], backend: Backend, *, fallback: bool = True) -> None:
        super().__init__(tables, backend, fallback=fallback)
        self._optimizer_state: dict[str, Floats] = {}

    def accumulate(
        self, name: str, ids: Any, grads: Any, *, optimizer: Optimizer | None = None
    ) -> RowGradients:
        """Sum the gradients [n, D] of every different row of `ids` [n]; with an `optimizer` change these rows once.

        Returns the rows in the order of their first gradients, and their sums. `RowwiseAdagrad` keeps a number for each
        row in the engine; `load` and `drop_table` forget them. The table's rows are float32 then.

        >>> import embnic
        >>> item = embnic.Table("item", rows=3, dim=1, pooling="sum")
        >>> with embnic.open([item], target="cpu") as engine:
        ...     engine.load("item", np.float32([[1], [2], [3]]))
        ...     grads = np.float32([[4], [2], [8]])
        ...     found = engine.accumulate("item", np.array([2, 0, 2]), grads, optimizer=embnic.Sgd(0.5))
        ...     found.rows.tolist(), found.sums.tolist(), engine.host_rows("item").tolist()
        ([2, 0], [[12.0], [2.0]], [[0.0], [2.0], [-3.0]])
        """
        with self._change("accumulate"):
            table = self._table(name)
            numbers, values = check_gradients(ids, grads, rows=table.rows, dim=table.dim)
            if not len(numbers):
                return RowGradients(numbers, values)
            found = self._compute(
                "accumulate",
                lambda kernels: kernels.accumulate(numbers, values),
                lambda: _TWIN.accumulate(numbers, values),
            )
            if optimizer is not None:
                self._train(table, found, optimizer)
                self._counts.event("updates")
            return found

    def topk(self, scores: Any, k: int) -> BestRows:
        """Return the places of the best `k` of the scores float32 [n], the best first, and their scores.

        Equal ones keep their order, NaNs are left out; NO_ROW and minus infinity stand where there are fewer than k.
        """
        self._check_open("topk")
        values = check_scores(scores, k)
        if not len(values):
            return _TWIN.topk(values, k)
        return self._compute(
            "topk", lambda kernels: kernels.topk(values, k), lambda: _TWIN.topk(values, k)
        )

    def interact(self, vectors: Any) -> Floats:
        """Return the dot products of each sample's vectors float32 [B, V, D]: of (1, 0), (2, 0), (2, 1) and so on."""
        self._check_open("interact")
        values = check_vectors(vectors)
        return self._compute(
            "interact", lambda kernels: kernels.interact(values), lambda: _TWIN.interact(values)
        )

    def _compute(
        self, call: str, action: Callable[[Kernels], _T | None], twin: Callable[[], _T]
    ) -> _T:
        """Let the target's kernels compute, or the twin what they do not: it does not fit, or the card is lost."""
        served = self._on_card
        if served is None or not served.card.driver.capabilities.compute:
            found = action(self._kernels)
        else:
            with self._alone():  # a card's driver is synchronous
                self._check_open(call)
                found = served.compute(call, action)
                if found is None and served.lost is not None:
                    return twin()
        if found is None:
            self._counts.fallback("kernel_too_large")
            found = twin()
        return found

    @property
    def _kernels(self) -> Kernels:
        kernels: Kernels = getattr(self._backend, "kernels", _TWIN)
        return kernels

    def _train(self, table: Table, found: RowGradients, optimizer: Optimizer) -> None:
        """Change the rows of `found` in the table, whoever serves it."""
        if table.dtype is not DType.FP32:
            raise ConfigError(
                f"Table {table.name!r}: rows of dtype {table.dtype.name.lower()!r} are changed by gradients.",
                allowed="'fp32'.",
                do="Take the sums, and update() the rows as you quantise them.",
            )
        state = self._optimizer_state.get(table.name, np.zeros(0, np.float32))
        state = np.concatenate([state, np.zeros(table.rows - len(state), np.float32)])
        with self._alone():
            rows = self._stored(table)[found.rows]
            done = self._kernels.apply(found, rows, state[found.rows], optimizer)
            if done is None:
                self._counts.fallback("kernel_too_large")
                done = _TWIN.apply(found, rows, state[found.rows], optimizer)
            self._server.update(table.name, found.rows, done[0])
            state[found.rows] = done[1]
            self._optimizer_state[table.name] = state

    def _stored(self, table: Table) -> NDArray[Any]:
        """Return the stored rows of a loaded table, as they are now."""
        holder: Any = self._backend if self._on_card is None else self._on_card.master
        if not hasattr(holder, "rows"):
            raise ConfigError(
                f"Gradients change rows on the target {self._backend.name!r}.",
                allowed="'cpu', 'reference' and the targets with a card.",
                do="Use one of these; the gpu target has optimizers of its own.",
            )
        rows: NDArray[Any] = holder.rows(table.name)
        return rows

    def _forget_state(self, name: str) -> None:
        self._optimizer_state.pop(name, None)
