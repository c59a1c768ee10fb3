# SPDX-License-Identifier: Apache-2.0
"""Share what the tests of `embnic.torch` need; importing it skips a test module where torch cannot be compared."""

from __future__ import annotations

import importlib.util
import os
import platform
import warnings
from typing import Any

import numpy as np
import pytest
from cases import DTYPES, difficult_rows

from embnic.config import Table
from embnic.gen.wire import DType

REQUIRED = os.environ.get("REQUIRE_TORCH") == "1"
if not REQUIRED and importlib.util.find_spec("torch") is None:
    pytest.skip(
        "torch is not installed; REQUIRE_TORCH=1 makes this a failure", allow_module_level=True
    )
if not REQUIRED and platform.machine() != "x86_64":
    pytest.skip("equality with torch is claimed on x86-64 only", allow_module_level=True)

import torch  # noqa: E402

torch.set_num_threads(
    1
)  # where cores are shared, threads that wait for each other cost milliseconds a call

KINDS = ("normal", "wide", "ties", "subnormal", "special")
DIMS = (1, 2, 3, 4, 7, 8, 16, 17, 33, 64)


def torchrec() -> Any:
    """Return torchrec, or skip the module; it warns a lot while it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import torchrec
        except (ImportError, OSError) as error:
            pytest.skip(f"torchrec cannot be imported: {error}", allow_module_level=True)
    return torchrec


def stored_tensor(stored: np.ndarray, dtype: DType) -> torch.Tensor:
    """Return stored rows as a tensor of the table's type."""
    tensor = torch.from_numpy(stored.view(np.int16) if dtype is DType.BF16 else stored)
    return tensor.view(torch.bfloat16) if dtype is DType.BF16 else tensor


def same(got: torch.Tensor | None, expected: torch.Tensor | None) -> bool:
    """Compare layout, type, shape and bits; NaNs by position."""
    if got is None or expected is None:
        return got is expected
    if (got.dtype, got.shape, got.layout) != (expected.dtype, expected.shape, expected.layout):
        return False
    if got.is_sparse:
        return same(got._indices(), expected._indices()) and same(got._values(), expected._values())
    if not got.is_floating_point():
        return torch.equal(got, expected)
    nan = torch.isnan(expected)
    whole = {8: torch.int64, 4: torch.int32, 2: torch.int16}[got.element_size()]
    ours, theirs = got.contiguous().view(whole), expected.contiguous().view(whole)
    return torch.equal(torch.isnan(got), nan) and torch.equal(ours[~nan], theirs[~nan])


def random_weight(rng: np.random.Generator, *, kinds: tuple[str, ...] = KINDS) -> torch.Tensor:
    """Return a weight of any type, kind of values and strides."""
    dtype = DTYPES[int(rng.integers(len(DTYPES)))]
    rows, dim = int(rng.integers(1, 40)), int(rng.choice(DIMS))
    layout = rng.choice(["plain", "plain", "plain", "columns", "narrow", "transposed"])
    wide = dim * 2 if layout == "columns" else dim + 3 if layout == "narrow" else dim
    table = Table("t", rows=rows, dim=wide, dtype=dtype, pooling="sum")
    weight = stored_tensor(difficult_rows(rng, table, str(rng.choice(kinds))), dtype)
    if layout == "columns":
        return weight[:, ::2]
    if layout == "narrow":
        return weight[:, 1 : dim + 1]
    return weight.t().contiguous().t() if layout == "transposed" else weight


def random_bags(
    rng: np.random.Generator, rows: int, *, most: int = 9, longest: int = 6
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and [B + 1] offsets, int32 or int64; many bags are empty."""
    bags = int(rng.integers(0, most))
    lengths = rng.integers(0, longest, bags) * rng.integers(0, 2, bags)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    index = rng.choice([torch.int32, torch.int64])
    ids = rng.integers(0, rows, int(ends[-1]))
    return torch.from_numpy(ids).to(index), torch.from_numpy(ends).to(index)


def random_samples(rng: np.random.Generator, ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return per_sample_weights for the ids, every other time strided."""
    weights = torch.from_numpy(rng.standard_normal(2 * len(ids)).astype(np.float32)).to(dtype)
    return weights[:: 1 + int(rng.integers(2))][: len(ids)]
