# SPDX-License-Identifier: Apache-2.0
"""Compare the reference, and the native CPU path on every instruction set, with torch's EmbeddingBag
on x86, bit for bit.

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
from cases import bits, difficult_rows, random_bags, same_bits, seeded

from embnic.arithmetic import narrow, widen
from embnic.backends.cpu import CpuBackend, native_module
from embnic.backends.reference import ReferenceBackend
from embnic.config import Table
from embnic.gen.wire import DType
from embnic.quantised import QuantisedRows, join, split

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

NATIVE = native_module()
ISAS = [] if NATIVE is None else NATIVE.isas()
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
    for isa in ISAS:
        native = CpuBackend([table], engine="native", isa=isa, threads=1)
        native.load(table.name, stored)
        assert same_bits(native.lookup(bags)[table.name], got), (table, isa)
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


# --- quantised rows ---

QUANTISED_OP = {
    DType.INT8: torch.ops.quantized.embedding_bag_byte_rowwise_offsets,
    DType.INT4_END: torch.ops.quantized.embedding_bag_4bit_rowwise_offsets,
}
KINDS = ("normal", "wide", "ties", "subnormal", "special")


def quantised_by_torch(table: Table, stored: Any, bags: Any) -> Any:
    """Return torch's pooled bags of quantised rows; its op always sums."""
    given = bags[table.name]
    return QUANTISED_OP[table.dtype](
        torch.from_numpy(stored),
        torch.from_numpy(given.values.copy()),
        torch.from_numpy(given.offsets.copy()),
        per_sample_weights=None
        if given.weights is None
        else torch.from_numpy(given.weights.copy()),
        include_last_offset=True,
    )


def wrong_elements(got: Any, expected: torch.Tensor) -> int:
    """Return the number of float32 elements that differ, NaNs compared by position."""
    both_nan = np.isnan(got) & torch.isnan(expected).numpy()
    return int((~both_nan & (bits(got) != torch_bits(expected))).sum())


def test_quantised_bags_equal_torch() -> None:
    """int8 and int4 over dims, weights, empty bags and difficult scales: 0 mismatches."""
    rng = seeded()
    compared = 0
    for dtype, weighted, kind in itertools.product(QUANTISED_OP, (False, True), KINDS):
        for _ in range(16):
            dim = int(rng.choice(DIMS)) if rng.random() < 0.7 else int(rng.integers(1, 769))
            dim += dim % 2 if dtype is DType.INT4_END else 0  # torch's op knows whole bytes only
            table = Table("t", rows=50, dim=dim, dtype=dtype, pooling="sum")
            stored = difficult_rows(rng, table, kind)
            bags = random_bags(
                rng, table, BAGS_PER_CASE, longest=9, weighted=kind if weighted else None
            )
            backend = ReferenceBackend([table])
            backend.load("t", stored)
            expected = quantised_by_torch(table, stored, bags)
            got = backend.lookup(bags)["t"]
            assert wrong_elements(got, expected) == 0, (table, kind, weighted)
            for isa in ISAS:
                native = CpuBackend([table], engine="native", isa=isa, threads=1)
                native.load("t", stored)
                assert same_bits(native.lookup(bags)["t"], got), (table, isa)
            compared += len(got)
    print(f"{compared} quantised bags compared with torch")
    assert compared >= 10_000


def test_a_quantised_layout_does_not_change_the_numbers() -> None:
    """INT4 and INT8_FRONT hold the rows of the layouts that torch knows, and give its bits."""
    rng = seeded()
    for other, known in ((DType.INT8_FRONT, DType.INT8), (DType.INT4, DType.INT4_END)):
        for weighted in (None, "normal"):
            table = Table("t", rows=50, dim=64, dtype=other, pooling="sum")
            stored = difficult_rows(rng, table, "normal")
            bags = random_bags(rng, table, 100, longest=9, weighted=weighted)
            backend = ReferenceBackend([table])
            backend.load("t", stored)
            rows = join(split(stored, other, 64), known)
            same = Table("t", rows=50, dim=64, dtype=known, pooling="sum")
            expected = quantised_by_torch(same, rows, bags)
            assert wrong_elements(backend.lookup(bags)["t"], expected) == 0


def test_elements_are_those_of_torch() -> None:
    """Rows without pooling: the stored floats, and what torch's unpack makes of quantised rows."""
    rng = seeded()
    unpacks = {
        DType.INT8: torch.ops.quantized.embedding_bag_byte_unpack,
        DType.INT4_END: torch.ops.quantized.embedding_bag_4bit_unpack,
    }
    for dtype, kind in itertools.product((*TORCH_DTYPE, *unpacks), KINDS):
        table = Table("t", rows=60, dim=34, dtype=dtype, pooling="none")
        stored = difficult_rows(rng, table, kind)
        bags = random_bags(rng, table, 100, longest=9)
        ids = torch.from_numpy(bags["t"].values.copy())
        whole = unpacks.get(dtype, torch.Tensor.clone)(tensor(stored, dtype))
        backend = ReferenceBackend([table])
        backend.load("t", stored)
        got = backend.lookup(bags)["t"]
        expected = functional.embedding(ids, whole)
        both_nan = np.isnan(widen(got, dtype)) & torch.isnan(expected).numpy()
        assert not (~both_nan & (bits(got) != torch_bits(expected))).any(), (dtype, kind)


def test_a_changed_quantised_rule_is_noticed() -> None:
    """The comparison can fail: unfused multiply and add differ, and so does the bias added last."""
    rng = seeded()
    table = Table("t", rows=50, dim=64, dtype="int8", pooling="sum")
    stored = difficult_rows(rng, table, "normal")
    bags = random_bags(rng, table, 100, longest=9)
    expected = quantised_by_torch(table, stored, bags).numpy()
    rows: QuantisedRows = split(stored, DType.INT8, 64)
    unfused, late = np.zeros_like(expected), np.zeros_like(expected)
    for index in range(len(bags["t"])):
        for row in bags["t"].bag(index)[0]:
            product = rows.scale[row] * rows.q[row].astype(np.float32)
            unfused[index] = (unfused[index] + rows.bias[row]) + product
            late[index] = (late[index] + product) + rows.bias[row]
    assert not same_bits(unfused, expected)
    assert not same_bits(late, expected)


# --- FBGEMM ---


def fbgemm_tables(dtype: DType, stored: Any, dim: int, pooling: Any) -> Any:
    """Return FBGEMM's inference tables with one table that holds `stored`, output float32."""
    from fbgemm_gpu.split_embedding_configs import SparseType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation
    from fbgemm_gpu.split_table_batched_embeddings_ops_inference import (
        IntNBitTableBatchedEmbeddingBagsCodegen,
    )

    kind = SparseType.INT8 if dtype is DType.INT8_FRONT else SparseType.INT4
    made = IntNBitTableBatchedEmbeddingBagsCodegen(
        [("t", len(stored), dim, kind, EmbeddingLocation.HOST)],
        pooling_mode=pooling,
        device="cpu",
        output_dtype=SparseType.FP32,
        indices_dtype=torch.int64,
    )
    made.fill_random_weights()
    rows = made.split_embedding_weights(split_scale_shifts=False)[0][0]
    rows.zero_()
    rows[:, : stored.shape[1]] = torch.from_numpy(stored)
    return made


def test_quantised_bags_equal_fbgemm() -> None:
    """FBGEMM's inference tables in both layouts: sum, weighted sum and rows without pooling.

    FBGEMM adds such a row to +0, so that a -0 which torch's unpack keeps comes out as +0.
    """
    try:
        from fbgemm_gpu.split_table_batched_embeddings_ops_common import PoolingMode
    except (ImportError, OSError) as error:
        pytest.skip(f"fbgemm-gpu-cpu is not installed or does not fit torch: {error}")
    rng = seeded()
    compared = 0
    for dtype, kind in itertools.product((DType.INT8_FRONT, DType.INT4), KINDS):
        for mode, weighted in (("sum", False), ("sum", True), ("none", False)):
            dim = int(rng.choice([4, 8, 24, 64, 100, 128, 256]))
            table = Table("t", rows=50, dim=dim, dtype=dtype, pooling=mode)
            stored = difficult_rows(rng, table, kind)
            bags = random_bags(rng, table, 300, longest=9, weighted=kind if weighted else None)
            backend = ReferenceBackend([table])
            backend.load("t", stored)
            given = bags["t"]
            expected = fbgemm_tables(dtype, stored, dim, PoolingMode[mode.upper()])(
                torch.from_numpy(given.values.copy()),
                torch.from_numpy(given.offsets.copy()),
                None if given.weights is None else torch.from_numpy(given.weights.copy()),
            )
            got = backend.lookup(bags)["t"] + np.float32(0)  # no sum is -0, whatever the rows
            assert wrong_elements(got, expected) == 0, (table, kind, weighted)
            compared += len(given)
    print(f"{compared} quantised bags compared with FBGEMM")
    assert compared >= 5_000
