# SPDX-License-Identifier: Apache-2.0
"""Make seeded tables and bags full of difficult values, and compare results bit for bit."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embnic.arithmetic import STORAGE, narrow
from embnic.bags import Bags
from embnic.config import Table
from embnic.gen.wire import DType

DTYPES = (DType.FP32, DType.FP16, DType.BF16)


def seeded() -> np.random.Generator:
    """Return a generator; its seed is printed, and taken back from EMBNIC_SEED."""
    seed = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"replay with EMBNIC_SEED={seed}")
    return np.random.default_rng(seed)


def difficult_fp32(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> NDArray[Any]:
    """Return float32 values: `normal`, `wide` exponents, `subnormal`, or `special` (all of it, with
    inf and NaN).
    """
    normal = rng.standard_normal(shape).astype(np.float32)
    if kind == "normal":
        return normal
    if kind == "wide":
        return np.ldexp(normal, rng.integers(-140, 120, shape)).astype(np.float32)
    if kind == "ties":  # few bits and few exponents: sums cancel, and halfway cases come up
        steps = rng.integers(-8, 9, shape).astype(np.float32)
        return np.ldexp(steps, rng.integers(-12, 13, shape)).astype(np.float32)
    if kind == "subnormal":
        bits = rng.integers(0, 1 << 24, shape, dtype=np.uint32)
        return (bits | rng.integers(0, 2, shape, dtype=np.uint32) << np.uint32(31)).view(np.float32)
    assert kind == "special", kind
    corner = np.array(
        [
            0.0,
            -0.0,
            1.0,
            -1.0,
            np.inf,
            -np.inf,
            np.nan,
            1e-45,
            -1e-45,
            1.1754944e-38,
            3.4028235e38,
            -3.4028235e38,
        ],
        np.float32,
    )
    picked = corner[rng.integers(0, len(corner), shape)]
    return np.where(rng.random(shape) < 0.15, picked, normal).astype(np.float32)


def difficult_rows(rng: np.random.Generator, table: Table, kind: str) -> NDArray[Any]:
    """Return rows [rows, dim] in the table's storage type."""
    shape = (table.rows, table.dim)
    if table.dtype is DType.FP32:
        return difficult_fp32(rng, shape, kind)
    if kind in ("wide", "subnormal"):  # every bit pattern of the type, NaNs left out
        bits = rng.integers(0, 1 << 16, shape, dtype=np.uint16)
        largest = np.uint16(0x03FF if table.dtype is DType.FP16 else 0x007F)
        if kind == "subnormal":
            bits &= np.uint16(0x8000) | largest
        exponent = np.uint16(0x7C00 if table.dtype is DType.FP16 else 0x7F80)
        bits[(bits & exponent) == exponent] = 0
        return bits.view(STORAGE[table.dtype])
    with np.errstate(all="ignore"):
        return narrow(difficult_fp32(rng, shape, kind), table.dtype)


def random_bags(
    rng: np.random.Generator, table: Table, bags: int, *, longest: int, weighted: str | None = None
) -> Bags:
    """Return bags of 0 to `longest` ids with repeats, and padding where the table has it."""
    lengths = rng.integers(0, longest + 1, bags)
    lengths[rng.random(bags) < 0.1] = 0
    ids = rng.integers(0, table.rows, int(lengths.sum()))
    ids[rng.random(len(ids)) < 0.2] = 0  # a heavy hitter
    if table.padding_idx is not None:
        ids[rng.random(len(ids)) < 0.25] = table.padding_idx
    w = None if weighted is None else difficult_fp32(rng, ids.shape, weighted)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Bags.from_torch({table.name: (ids, offsets, w)}, include_last_offset=True)


def bits(array: NDArray[Any]) -> NDArray[Any]:
    """View an array as unsigned integers of its width."""
    return array.view({2: np.uint16, 4: np.uint32}[array.dtype.itemsize])


def same_bits(got: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Tell whether two arrays have one shape, type and every bit."""
    return (
        got.shape == expected.shape
        and got.dtype == expected.dtype
        and bool((bits(got) == bits(expected)).all())
    )
