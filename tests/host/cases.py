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
from embnic.config import QUANTISED, Table
from embnic.gen.wire import DType
from embnic.quantised import LAYOUTS, QuantisedRows, join

DTYPES = (DType.FP32, DType.FP16, DType.BF16)
FORMATS = tuple(DType)


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


def table_of(dtype: DType, **changes: Any) -> Table:
    """Return a table `t` of any dtype; a `fixed` one gets a scale where none is given."""
    if dtype is DType.FIXED:
        changes = {"fixed_scale_exp": -8, **changes}
    return Table("t", dtype=dtype, **changes)


def difficult_fixed(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> NDArray[Any]:
    """Return int32 elements: `wide` and `special` ones saturate soon."""
    limits = np.iinfo(np.int32)
    bound = {"normal": 1 << 20, "ties": 9, "subnormal": 2}.get(kind)
    if bound is not None:
        return rng.integers(-bound, bound, shape, np.int32, endpoint=True)
    whole = rng.integers(limits.min, limits.max, shape, np.int32, endpoint=True)
    corner = np.array([limits.min, limits.max, 0, -1, 1], np.int32)
    picked = corner[rng.integers(0, len(corner), shape)]
    return np.where(rng.random(shape) < (0.3 if kind == "special" else 0), picked, whole)


def difficult_affine(
    rng: np.random.Generator, dtype: DType, rows: int, kind: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return finite scales and biases float32 [rows] of a quantised dtype; `normal` ones cancel
    elements against the bias.
    """
    half = LAYOUTS[dtype].scale == np.float16
    if kind == "normal":
        scale = np.exp2(rng.uniform(-12, 0, rows)).astype(np.float32)
        bias = -scale * rng.uniform(0, 1 << LAYOUTS[dtype].bits, rows).astype(np.float32)
    elif half and kind in ("wide", "subnormal"):  # every finite pattern of fp16
        patterns = rng.integers(0, 1 << 16, (2, rows), dtype=np.uint16)
        patterns &= np.uint16(0x83FF if kind == "subnormal" else 0xFFFF)
        patterns[(patterns & 0x7C00) == 0x7C00] = 0
        scale, bias = patterns.view(np.float16).astype(np.float32)
    else:
        scale, bias = difficult_fp32(rng, (2, rows), kind)
    with np.errstate(all="ignore"):
        if half:
            scale, bias = (a.astype(np.float16).astype(np.float32) for a in (scale, bias))
    for part in (scale, bias):
        part[~np.isfinite(part)] = 0
    return scale, bias


def difficult_rows(rng: np.random.Generator, table: Table, kind: str) -> NDArray[Any]:
    """Return rows [rows, columns] in the table's storage type."""
    shape = (table.rows, table.dim)
    if table.dtype is DType.FIXED:
        return difficult_fixed(rng, shape, kind)
    if table.dtype in QUANTISED:
        scale, bias = difficult_affine(rng, table.dtype, table.rows, kind)
        q = rng.integers(0, 1 << LAYOUTS[table.dtype].bits, shape, np.uint8)
        return join(QuantisedRows(scale, bias, q), table.dtype)
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
    return array.view({1: np.uint8, 2: np.uint16, 4: np.uint32}[array.dtype.itemsize])


def same_bits(got: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Tell whether two arrays have one shape, type and every bit."""
    return (
        got.shape == expected.shape
        and got.dtype == expected.dtype
        and bool((bits(got) == bits(expected)).all())
    )
