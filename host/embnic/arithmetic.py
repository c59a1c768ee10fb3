# SPDX-License-Identifier: Apache-2.0
"""Do the few IEEE operations that the arithmetic contract names and numpy does not have.

fp16 values are numpy float16; bf16 values are uint16 bit patterns, because numpy has no such type.
Every NaN that arithmetic makes is the canonical one (0x7FC00000, 0x7E00, 0x7FC0): payloads mean
nothing here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .gen.wire import DType

__all__ = [
    "NAN_BITS",
    "OUTPUT",
    "STORAGE",
    "as_numpy",
    "canonical",
    "fma",
    "narrow",
    "storage_count",
    "widen",
]

NAN_BITS = np.uint32(0x7FC00000)

STORAGE: dict[DType, np.dtype[Any]] = {
    DType.FP32: np.dtype("<f4"),
    DType.FP16: np.dtype("<f2"),
    DType.BF16: np.dtype("<u2"),
    DType.INT8: np.dtype("u1"),  # whole rows: scale, bias and elements; see quantised.py
    DType.INT8_FRONT: np.dtype("u1"),
    DType.INT4: np.dtype("u1"),
    DType.INT4_END: np.dtype("u1"),
    DType.FIXED: np.dtype("<i4"),
}

# The type of a result: that of the rows where they are floating-point numbers, else float32.
OUTPUT: dict[DType, np.dtype[Any]] = {
    dtype: storage if dtype in (DType.FP16, DType.BF16) else np.dtype("<f4")
    for dtype, storage in STORAGE.items()
}


def as_numpy(values: Any) -> NDArray[Any]:
    """Return a torch tensor or an array-like as a numpy array, without importing torch.

    A torch bfloat16 tensor comes as float32, which holds it exactly.
    """
    if not (hasattr(values, "detach") and hasattr(values, "cpu")):
        return np.asarray(values)
    tensor = values.detach().cpu()
    return np.asarray((tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy())


def fma(weight: Any, x: NDArray[np.float32], acc: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `weight * x + acc` rounded once to float32, nearest even; operands broadcast.

    The product of two float32 is exact in float64. Their sum with `acc` is rounded to odd: when the
    float64 addition was not exact (its error is found by Knuth's two-sum) and the result is even,
    it moves one unit towards the exact value. A value rounded to odd with at least two spare bits
    rounds on to float32 as the exact value would (Boldo and Melquiond, "Emulation of FMA and
    correctly rounded sums", 2008). Nothing here leaves float64's normal range.
    """
    with np.errstate(all="ignore"):
        product = np.multiply(weight, x, dtype=np.float64)
        addend = acc.astype(np.float64)
        total = np.asarray(product + addend)
        rest = total - product
        error = (product - (total - rest)) + (addend - rest)
        bits = total.view(np.int64)
        inexact = np.isfinite(total) & (error != 0) & ((bits & 1) == 0)
        towards = np.where((error > 0) == (total > 0), 1, -1)
        odd = np.where(inexact, bits + towards, bits).view(np.float64)
        fused: NDArray[np.float32] = odd.astype(np.float32)
    return fused


def canonical(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace every NaN of a float32 array by the canonical one, in place; return the array."""
    nan = np.isnan(values)
    if nan.any():
        values.view(np.uint32)[nan] = NAN_BITS
    return values


def widen(stored: NDArray[Any], dtype: DType) -> NDArray[np.float32]:
    """Return fp32, fp16 or bf16 elements as float32, exactly; a float32 array as it is."""
    if dtype is DType.BF16:
        wide: NDArray[np.uint32] = stored.astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32)
    return stored.astype(np.float32, copy=False)


def narrow(values: NDArray[np.float32], dtype: DType, *, half_up: bool = False) -> NDArray[Any]:
    """Round float32 to the type of a table's results (`OUTPUT`), nearest even; where that is
    float32, the array is returned as it is.

    `half_up` is torch's other rule for bf16: add half a unit to the bits and cut, so that ties go
    away from zero.
    """
    if OUTPUT[dtype] == np.float32:
        return values
    nan = np.isnan(values)
    if dtype is DType.FP16:
        with np.errstate(all="ignore"):
            halves: NDArray[Any] = values.astype(np.float16)
        halves.view(np.uint16)[nan] = 0x7E00
        return halves
    bits = values.view(np.uint32)
    # No overflow: the largest finite number is 0x7F7FFFFF, infinities end in zeros, and NaNs are
    # replaced below.
    up = (
        np.uint32(0x8000)
        if half_up
        else np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    )
    with np.errstate(over="ignore"):
        patterns: NDArray[Any] = ((bits + up) >> np.uint32(16)).astype(np.uint16)
    patterns[nan] = 0x7FC0
    return patterns


def storage_count(counts: NDArray[np.int64], dtype: DType) -> NDArray[np.float32]:
    """Return the divisors of a mean: the counts rounded to the type of the results, as float32.

    torch divides by a tensor of that type. So an fp16 mean of 2,049 rows divides by 2,048, and of
    65,520 rows by infinity.
    """
    return widen(narrow(counts.astype(np.float32), dtype), dtype)
