# SPDX-License-Identifier: Apache-2.0
"""Read and make row-wise quantised rows: integers with a scale and a bias for each row.

The element `q` of a row stands for `scale * q + bias`. Four layouts are known; `S` is the scale and
`B` the bias, little-endian; int4 has two elements a byte, the first in the low four bits.

```text
 INT8        | q0 q1 ... q(dim-1)     | f32 S | f32 B |   FloatToFused8BitRowwiseQuantized, torch's byte_prepack
 INT8_FRONT  | f16 S | f16 B | q0 q1 ... q(dim-1) |       FBGEMM's inference tables
 INT4        | f16 S | f16 B | q1:q0 q3:q2 ...    |       FBGEMM's inference tables
 INT4_END    | q1:q0 q3:q2 ...    | f16 S | f16 B |       FloatToFusedNBitRowwiseQuantizedSBHalf, torch's 4bit_prepack
```

Letters in shapes: `n` rows, `D` dim.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arithmetic import fma
from .gen.wire import DType

__all__ = ["QuantisedRows", "dequantise", "join", "quantise", "row_columns", "split"]


class _Layout(NamedTuple):
    """Bits of an element, type of scale and bias, whether these stand at the front."""

    bits: int
    scale: np.dtype[Any]
    front: bool


LAYOUTS = {
    DType.INT8: _Layout(8, np.dtype("<f4"), front=False),
    DType.INT8_FRONT: _Layout(8, np.dtype("<f2"), front=True),
    DType.INT4: _Layout(4, np.dtype("<f2"), front=True),
    DType.INT4_END: _Layout(4, np.dtype("<f2"), front=False),
}
EPSILON = np.float32(1e-8)  # FBGEMM's: keeps the inverse scale of a constant row finite


class QuantisedRows(NamedTuple):
    """Hold rows of any layout, taken apart: `q` uint8 [n, D], one element a byte."""

    scale: NDArray[np.float32]  # [n]
    bias: NDArray[np.float32]  # [n]
    q: NDArray[np.uint8]


def row_columns(dtype: DType, dim: int) -> int:
    """Return the bytes of a row in the layout `dtype`."""
    layout = LAYOUTS[dtype]
    return 2 * layout.scale.itemsize + packed_bytes(dtype, dim)


def packed_bytes(dtype: DType, dim: int) -> int:
    """Return the bytes that the elements of a row take."""
    return -(-dim * LAYOUTS[dtype].bits // 8)


def split(stored: NDArray[np.uint8], dtype: DType, dim: int) -> QuantisedRows:
    """Take rows uint8 [n, columns] apart; fp16 scales and biases widen exactly."""
    layout = LAYOUTS[dtype]
    head = 2 * layout.scale.itemsize
    cut = head if layout.front else stored.shape[1] - head
    first, second = stored[:, :cut], stored[:, cut:]
    affine, packed = (first, second) if layout.front else (second, first)
    pairs = np.ascontiguousarray(affine).view(layout.scale).astype(np.float32)
    return QuantisedRows(pairs[:, 0], pairs[:, 1], unpack_elements(packed, dtype, dim))


def join(rows: QuantisedRows, dtype: DType) -> NDArray[np.uint8]:
    """Put rows together again: uint8 [n, columns]; scale and bias round to the layout's type."""
    layout = LAYOUTS[dtype]
    pairs = np.stack([rows.scale, rows.bias], axis=1)
    with np.errstate(all="ignore"):
        affine = np.ascontiguousarray(pairs.astype(layout.scale)).view(np.uint8)
    packed = pack_elements(rows.q, dtype)
    return np.concatenate([affine, packed] if layout.front else [packed, affine], axis=1)


def unpack_elements(packed: NDArray[np.uint8], dtype: DType, dim: int) -> NDArray[np.uint8]:
    """Return the elements [n, D] of packed ones; the spare half of a last byte is ignored."""
    if LAYOUTS[dtype].bits == 8:
        return packed
    pairs = np.stack([packed & np.uint8(15), packed >> np.uint8(4)], axis=2)
    return np.ascontiguousarray(pairs.reshape(len(packed), -1)[:, :dim])


def pack_elements(q: NDArray[np.uint8], dtype: DType) -> NDArray[np.uint8]:
    """Return elements [n, D] as they are stored; the spare half of a last byte is zero."""
    if LAYOUTS[dtype].bits == 8:
        return q
    packed: NDArray[np.uint8] = q[:, 0::2].copy()
    packed[:, : q.shape[1] // 2] |= q[:, 1::2] << np.uint8(4)
    return packed


def dequantise(rows: QuantisedRows) -> NDArray[np.float32]:
    """Return the elements float32 [n, D]: `fma(scale, q, bias)`, rounded once."""
    scale, bias = rows.scale[:, np.newaxis], rows.bias[:, np.newaxis]
    return fma(scale, rows.q.astype(np.float32), bias)


def quantise(values: NDArray[np.float32], dtype: DType) -> NDArray[np.uint8]:
    """Quantise rows float32 [n, D] to uint8 [n, columns], each between its own least and largest
    element.

    The bits are FBGEMM's (and torch's prepack's): int8 scales with fp32 `(max - min) / 255` and
    rounds `(x - min) * (255 / (max - min + 1e-8))`; INT8_FRONT rounds scale and bias to fp16
    afterwards. int4 rounds the bias and then the scale `(max - bias) / 15` to fp16 first and
    quantises with these. A row of equal elements has scale 0 in int8 and 1 in int4. A row whose
    range the scale's type cannot hold comes out with an infinite scale or bias. A bias of zero is
    +0, whatever the signs of the row's zeros.
    """
    least, largest = values.min(axis=1) + np.float32(0), values.max(axis=1)
    with np.errstate(all="ignore"):
        if LAYOUTS[dtype].bits == 8:
            span = largest - least
            scale, bias = span / np.float32(255), least
            inverse = np.float32(255) / (span + EPSILON)
        else:
            bias = least.astype(np.float16).astype(np.float32) + np.float32(0)
            span = largest - bias
            steps = np.where(span == 0, np.float32(1), span / np.float32(15))
            scale = steps.astype(np.float16).astype(np.float32)
            scale = np.where(scale == 0, np.float32(1), scale)
            inverse = np.float32(1) / scale
        steps = np.rint((values - bias[:, np.newaxis]) * inverse[:, np.newaxis])
        top = (1 << LAYOUTS[dtype].bits) - 1
        q = np.clip(np.nan_to_num(steps), 0, top).astype(np.uint8)
    return join(QuantisedRows(scale, bias, q), dtype)
