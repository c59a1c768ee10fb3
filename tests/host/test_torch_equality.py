# SPDX-License-Identifier: Apache-2.0
"""Compare the reference with torch's EmbeddingBag on x86, bit for bit.

NaNs are compared by position: torch leaves whatever sign and payload the processor makes.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import platform
from typing import Any

import numpy as np
import pytest
from cases import bits, difficult_rows, random_bags, seeded

from embnic.arithmetic import narrow, widen
from embnic.backends.reference import ReferenceBackend
from embnic.config import Table
from embnic.gen.wire import DType

pytestmark = pytest.mark.torch

REQUIRED = os.environ.get("REQUIRE_TORCH") == "1"
if not REQUIRED and importlib.util.find_spec("torch") is None:
    pytest.skip(
        "torch is not installed; REQUIRE_TORCH=1 makes this a failure", allow_module_level=True
    )
if not REQUIRED and platform.machine() != "x86_64":
    pytest.skip("equality with torch is claimed on x86-64 only", allow_module_level=True)

import torch  # noqa: E402
import torch.nn.functional as functional  # noqa: E402

TORCH_DTYPE = {DType.FP32: torch.float32, DType.FP16: torch.float16, DType.BF16: torch.bfloat16}
DIMS = (
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    17,
    24,
    31,
    32,
    33,
    48,
    63,
    64,
    65,
    96,
    100,
    128,
    200,
    255,
    256,
    384,
    512,
    767,
    768,
)
BAGS_PER_CASE = 40


def tensor(stored: Any, dtype: DType) -> torch.Tensor:
    """Return stored rows as a tensor of the same type."""
    if dtype is DType.BF16:
        return torch.from_numpy(stored.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(stored)


def torch_bits(result: torch.Tensor) -> Any:
    """Return a tensor's bits as unsigned integers."""
    view = torch.int32 if result.dtype == torch.float32 else torch.int16
    return bits(result.contiguous().view(view).numpy())


def mismatches(table: Table, stored: Any, bags: Any) -> int:
    """Return the number of elements in which the reference and torch differ."""
    given = bags[table.name]
    weights = None
    if given.weights is not None:
        weights = tensor(narrow(given.weights.copy(), table.dtype), table.dtype)
    expected = functional.embedding_bag(
        torch.from_numpy(given.values.copy()),
        tensor(stored, table.dtype),
        torch.from_numpy(given.offsets.copy()),
        mode=table.pooling.name.lower(),
        per_sample_weights=weights,
        include_last_offset=True,
        padding_idx=table.padding_idx,
    )
    backend = ReferenceBackend([table])
    backend.load(table.name, stored)
    got = backend.lookup(bags)[table.name]
    assert got.shape == tuple(expected.shape)
    both_nan = np.isnan(widen(got, table.dtype)) & torch.isnan(expected).numpy()
    return int((~both_nan & (bits(got) != torch_bits(expected))).sum())


def rounded_weights(table: Table, bags: Any) -> Any:
    """Return the bags with weights that the storage type holds: torch wants both in one type."""
    given = bags[table.name]
    w = widen(narrow(given.weights, table.dtype), table.dtype)
    return type(bags).from_torch(
        {table.name: (given.values, given.offsets, w)}, include_last_offset=True
    )


def cases() -> Any:
    """Every mode, type, kind of padding and kind of value."""
    modes = (("sum", False), ("sum", True), ("mean", False), ("max", False))
    kinds = ("normal", "wide", "ties", "subnormal", "special")
    return itertools.product(modes, TORCH_DTYPE, ("none", "absent", "used"), kinds)


def test_reference_equals_torch_on_ten_thousand_bags() -> None:
    """0 mismatches over modes, dims 1 to 768, types, padding, weights, empty bags, repeats and
    difficult values.
    """
    rng = seeded()
    compared = wrong = empty = keys = 0
    dims = set()
    for (mode, weighted), dtype, padding, kind in cases():
        for _ in range(2):
            dim = int(rng.choice(DIMS)) if rng.random() < 0.7 else int(rng.integers(1, 769))
            rows = int(rng.integers(2, 60))
            padding_idx = {"none": None, "absent": rows - 1, "used": int(rng.integers(0, rows))}[
                padding
            ]
            table = Table(
                "t", rows=rows, dim=dim, dtype=dtype, pooling=mode, padding_idx=padding_idx
            )
            stored = difficult_rows(rng, table, kind)
            bags = random_bags(
                rng, table, BAGS_PER_CASE, longest=9, weighted=kind if weighted else None
            )
            if padding == "absent":
                bags = without(bags, rows - 1)
            if weighted:
                with np.errstate(all="ignore"):
                    bags = rounded_weights(table, bags)
            found = mismatches(table, stored, bags)
            assert found == 0, (
                f"{found} elements differ: {table} {kind} weighted={weighted} padding {padding}"
            )
            wrong += found
            compared += len(bags["t"])
            empty += int((bags["t"].lengths == 0).sum())
            keys += len(bags["t"].values)
            dims.add(dim)
    print(
        f"{compared} bags ({empty} empty), {keys} keys, {len(dims)} dims compared with torch: "
        f"{wrong} mismatches"
    )
    assert compared >= 10_000
    assert wrong == 0
    assert empty > 100


def without(bags: Any, row: int) -> Any:
    """Return the bags with another id where `row` stands."""
    given = bags["t"]
    values = np.where(given.values == row, 0, given.values)
    return type(bags).from_torch(
        {"t": (values, given.offsets, given.weights)}, include_last_offset=True
    )


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("dtype", list(TORCH_DTYPE))
def test_long_bags_equal_torch(mode: str, dtype: DType) -> None:
    """A count that the storage type cannot hold divides as torch divides: rounded, or infinite."""
    rng = seeded()
    for length in (257, 2049, 4099, 70_001):
        for padding_idx in (None, 3):
            table = Table("t", rows=50, dim=5, dtype=dtype, pooling=mode, padding_idx=padding_idx)
            stored = difficult_rows(rng, table, "normal")
            ids = rng.integers(0, 50, length)
            bags = random_bags(rng, table, 1, longest=1)
            bags = type(bags).from_torch({"t": (ids, np.array([0]))})
            assert mismatches(table, stored, bags) == 0, (table, length)


def test_a_changed_rule_is_noticed() -> None:
    """The comparison can fail: fused instead of rounded products, and the other bf16 rounding, both
    show.
    """
    rng = seeded()
    for dtype in (DType.FP32, DType.BF16):
        right = Table("t", rows=50, dim=64, dtype=dtype, pooling="sum")
        other = Table("t", rows=51, dim=64, dtype=dtype, pooling="sum", padding_idx=50)
        stored = difficult_rows(rng, other, "normal" if dtype is DType.FP32 else "ties")
        bags = random_bags(
            rng, right, 400, longest=9, weighted="normal" if dtype is DType.FP32 else "ties"
        )
        bags = rounded_weights(right, bags)
        a, b = ReferenceBackend([right]), ReferenceBackend([other])
        a.load("t", stored[:50].copy())
        b.load("t", stored)
        assert (bits(a.lookup(bags)["t"]) != bits(b.lookup(bags)["t"])).any()
