# SPDX-License-Identifier: Apache-2.0
"""The kernels beyond pooling on the HLS cores: `embnic.compute.Kernels` over the library of hls/bridge."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from embnic.compute import BestRows, Floats, Optimizer, RowGradients, RowwiseAdagrad
from embnic_sim.hls_card import bridge

__all__ = ["HlsKernels"]

LANES = 16
MOST_BEATS = 8  # of a vector
MOST_VECTORS = 32  # of a sample
MOST_K = 64
SUM, SGD, ADAGRAD = range(3)
_NOTHING = (1 << 64) - 1


class _Batch(ctypes.Structure):
    """`GradBatch` of hls/bridge/kernels.hpp."""

    _fields_ = [
        ("keys", ctypes.c_void_p),
        ("gradients", ctypes.c_void_p),
        ("count", ctypes.c_uint64),
        ("rows", ctypes.c_void_p),
        ("vectors", ctypes.c_void_p),
        ("states", ctypes.c_void_p),
    ]


def _padded(vectors: Floats) -> Floats:
    """Return vectors [n, D] with zeros up to whole beats."""
    beats = -(-vectors.shape[-1] // LANES)
    whole = np.zeros((*vectors.shape[:-1], beats * LANES), np.float32)
    whole[..., : vectors.shape[-1]] = vectors
    return whole


class HlsKernels:
    """Call the cores; None where something does not fit them."""

    name = "hls"

    def accumulate(self, ids: NDArray[np.int64], grads: Floats) -> RowGradients | None:
        """Return the sum of the gradients [n, D] of every different id [n]."""
        if grads.shape[1] > MOST_BEATS * LANES:
            return None
        done = self._run(ids, grads, SUM, np.float32(0), np.float32(0), None, None)
        return None if done is None else RowGradients(done[0], done[1])

    def apply(
        self, found: RowGradients, rows: Floats, state: Floats, optimizer: Optimizer
    ) -> tuple[Floats, Floats] | None:
        """Return rows [U, D] changed by their gradients, and the new state [U]."""
        if rows.shape[1] > MOST_BEATS * LANES:
            return None
        adagrad = isinstance(optimizer, RowwiseAdagrad)
        epsilon = np.float32(optimizer.epsilon if isinstance(optimizer, RowwiseAdagrad) else 0)
        rule = ADAGRAD if adagrad else SGD
        done = self._run(
            found.rows, found.sums, rule, np.float32(optimizer.rate), epsilon, rows, state
        )
        return None if done is None else (done[1], done[2])

    def _run(
        self,
        ids: NDArray[np.int64],
        grads: Floats,
        rule: int,
        rate: np.float32,
        epsilon: np.float32,
        rows: Floats | None,
        state: Floats | None,
    ) -> tuple[NDArray[np.int64], Floats, Floats] | None:
        calls, dim = bridge(), grads.shape[1]
        keys, gradients = np.ascontiguousarray(ids, np.uint64), _padded(grads)
        names = np.zeros(len(keys), np.uint64)
        vectors = np.zeros_like(gradients)
        states = np.zeros(len(keys), np.float32)
        if rows is not None and state is not None:
            vectors[: len(rows)], states[: len(state)] = _padded(rows), state
        batch = _Batch(
            keys.ctypes.data,
            gradients.ctypes.data,
            len(keys),
            names.ctypes.data,
            vectors.ctypes.data,
            states.ctypes.data,
        )
        core = calls["gradients_create"]()
        try:
            bits = [int(value.view(np.uint32)) for value in (rate, epsilon)]
            beats = gradients.shape[1] // LANES
            count = calls["gradients_take"](core, rule, beats, dim, *bits, ctypes.byref(batch))
            if count == _NOTHING or calls["gradients_give"](core, ctypes.byref(batch), count):
                return None
        finally:
            calls["gradients_destroy"](core)
        return names[:count].astype(np.int64), vectors[:count, :dim].copy(), states[:count]

    def topk(self, scores: Floats, k: int) -> BestRows | None:
        """Return the best k of the scores [n]; the ids are their places."""
        if k > MOST_K:
            return None
        ids, best = np.zeros(k, np.uint64), np.zeros(k, np.float32)
        bridge()["topk"](scores.ctypes.data, len(scores), k, ids.ctypes.data, best.ctypes.data)
        return BestRows(ids.view(np.int64), best)

    def interact(self, vectors: Floats) -> Floats | None:
        """Return the dot products [B, V * (V - 1) / 2] of each sample's vectors [B, V, D]."""
        samples, count, dim = vectors.shape
        if count > MOST_VECTORS or dim > MOST_BEATS * LANES:
            return None
        whole = _padded(vectors)
        out = np.zeros((samples, count * (count - 1) // 2), np.float32)
        beats = whole.shape[2] // LANES
        status = bridge()["interact"](whole.ctypes.data, samples, count, beats, out.ctypes.data)
        return None if status else out
