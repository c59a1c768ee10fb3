# SPDX-License-Identifier: Apache-2.0
"""Serve row-wise quantised weights: rows are bytes with scale and bias, at the end (torch) or in front (FBGEMM)."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import torch

from ..bags import Bags, TableBags
from ..config import Table
from ..engine import Engine
from ..engine import open as open_engine
from ..errors import ClosedError
from ..gen.wire import DType
from ..stats import Stats

__all__ = ["QuantisedTables", "quantised_dim", "row_bytes"]

# fp32 or fp16 scale and bias
_PARAMETER_BYTES = {DType.INT8: 8, DType.INT8_FRONT: 4, DType.INT4: 4, DType.INT4_END: 4}
_NIBBLES = (DType.INT4, DType.INT4_END)


def quantised_dim(length: int, dtype: DType) -> int:
    """Return the elements of a row of `length` bytes; 0 or less when it cannot be one.

    >>> quantised_dim(72, DType.INT8), quantised_dim(36, DType.INT4_END)
    (64, 64)
    """
    elements = length - _PARAMETER_BYTES[dtype]
    return 2 * elements if dtype in _NIBBLES else elements


def row_bytes(dim: int, dtype: DType) -> int:
    """Return the bytes of a row of `dim` elements.

    >>> row_bytes(64, DType.INT8), row_bytes(63, DType.INT4)
    (72, 36)
    """
    return _PARAMETER_BYTES[dtype] + (-(-dim // 2) if dtype in _NIBBLES else dim)


class _Held:
    """One weight and the state of it that its engine has."""

    def __init__(self, weight: torch.Tensor, engine: Engine) -> None:
        self.weight = weakref.ref(weight)
        self.engine = engine
        self.seen: tuple[int, int] | None = None


class QuantisedTables:
    """Hold quantised weights in engines, one each; a weight that changed is loaded again before it is looked up."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._held: dict[tuple[int, DType], _Held] = {}
        self._lock = threading.RLock()
        self._closed = False

    def prepare(self, weight: torch.Tensor, dtype: DType) -> None:
        """Bring the rows of `weight`, uint8 [N, row bytes], into an engine; raises ConfigError for rows it refuses."""
        self._current(weight, dtype)

    def lookup(self, weight: torch.Tensor, dtype: DType, bags: TableBags) -> torch.Tensor:
        """Return the sums of the bags, float32 [B, D]."""
        with self._lock:
            engine = self._current(weight, dtype).engine
            output = torch.empty((len(bags), engine.tables["weight"].dim), dtype=torch.float32)
            engine.lookup(Bags({"weight": bags}), {"weight": output.numpy()})
            return output

    def stats(self) -> list[Stats]:
        """Return the counters of every engine."""
        with self._lock:
            return [held.engine.stats() for held in self._held.values()]

    def close(self) -> None:
        """Close the engines; may be called twice."""
        with self._lock:
            self._closed = True
            for held in self._held.values():
                held.engine.close()
            self._held.clear()

    def _current(self, weight: torch.Tensor, dtype: DType) -> _Held:
        with self._lock:
            if self._closed:
                raise ClosedError("QuantisedTables.lookup")
            held = self._held.get((id(weight), dtype))
            if held is None or held.weight() is not weight:
                self._drop_gone()
                held = _Held(weight, self._open(weight, dtype))
                self._held[id(weight), dtype] = held
            state = (weight.data_ptr(), weight._version)
            if held.seen != state:
                held.engine.load("weight", np.ascontiguousarray(weight.detach().numpy()))
                held.seen = state
            return held

    def _drop_gone(self) -> None:
        for key in [key for key, held in self._held.items() if held.weight() is None]:
            self._held.pop(key).engine.close()

    def _open(self, weight: torch.Tensor, dtype: DType) -> Engine:
        rows, length = weight.shape
        dim = quantised_dim(int(length), dtype)
        table = Table("weight", rows=int(rows), dim=dim, dtype=dtype, pooling="sum")
        return open_engine([table], **self._options)
