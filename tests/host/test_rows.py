# SPDX-License-Identifier: Apache-2.0
"""Rows as card memory: layout, padding, chunks, types."""

from __future__ import annotations

import numpy as np
import pytest
from cases import DTYPES, difficult_rows, same_bits, seeded

from embnic.arithmetic import STORAGE
from embnic.config import Table
from embnic.errors import ConfigError
from embnic.gen.wire import DType
from embnic.rows import check_ids, pack, pack_chunks, to_storage, unpack


def test_layout_of_one_row() -> None:
    """Elements little-endian from the start, zeros to the next multiple of 64."""
    table = Table("t", rows=2, dim=17, pooling="sum")
    rows = np.arange(34, dtype=np.float32).reshape(2, 17)
    packed = pack(table, rows)
    assert packed.shape == (2, 128)
    assert packed[1, :4].tobytes() == np.float32(17).tobytes()
    assert bytes(packed[0, :68]) == rows[0].astype("<f4").tobytes()
    assert not packed[:, 68:].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 16, 31, 32, 33, 100])
def test_pack_and_unpack_are_inverse(dtype: DType, dim: int) -> None:
    """All bits survive, NaN payloads included, whole and in chunks."""
    table = Table("t", rows=23, dim=dim, pooling="sum", dtype=dtype)
    rows = difficult_rows(seeded(), table, "special")
    packed = pack(table, rows).reshape(-1)
    assert packed.size == table.nbytes
    assert same_bits(unpack(table, packed), rows)
    for chunk_bytes in (1, table.stride_bytes, 5 * table.stride_bytes + 3, 1 << 20):
        memory = np.full(table.nbytes, 0xAA, np.uint8)
        pieces = 0
        for offset, piece in pack_chunks(table, rows, chunk_bytes=chunk_bytes):
            assert piece.ndim == 1
            assert piece.size <= max(chunk_bytes, table.stride_bytes)
            memory[offset : offset + piece.size] = piece
            pieces += 1
        assert (memory == packed).all()
        assert pieces == -(-23 // max(1, chunk_bytes // table.stride_bytes))


def test_a_slice_of_columns_packs_too() -> None:
    """Rows that are not contiguous."""
    table = Table("t", rows=3, dim=2, pooling="sum")
    wide = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert same_bits(unpack(table, pack(table, wide[:, ::2])), np.ascontiguousarray(wide[:, ::2]))


def test_unpack_wants_whole_rows() -> None:
    """A cut row is refused."""
    with pytest.raises(ConfigError, match=r"65 bytes are given.*multiple of 64"):
        unpack(Table("t", rows=3, dim=2, pooling="sum"), np.zeros(65, np.uint8))


def test_to_storage_takes_the_type_itself_and_float32() -> None:
    """No copy when it fits; float32 rounds to nearest even on the way."""
    exact = np.array([[1.0, 2.0]], np.float32)
    fp32 = Table("t", rows=1, dim=2, pooling="sum")
    assert to_storage(fp32, exact, rows=1) is exact
    fp16 = Table("t", rows=1, dim=2, pooling="sum", dtype="fp16")
    assert to_storage(fp16, np.array([[2049, 2051]], np.float32), rows=1).tolist() == [[2048, 2052]]
    half = np.ones((1, 2), np.float16)
    assert to_storage(fp16, half, rows=1) is half
    bf16 = Table("t", rows=1, dim=2, pooling="sum", dtype="bf16")
    assert to_storage(bf16, np.array([[257, 259]], np.float32), rows=1).tolist() == [
        [0x4380, 0x4382]
    ]
    patterns = np.array([[0x3F80, 0x4000]], np.uint16)
    assert to_storage(bf16, patterns, rows=1) is patterns


@pytest.mark.torch
def test_to_storage_takes_tensors() -> None:
    """torch tensors of the three types, a bf16 one exactly."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for dtype, kind in (
        (DType.FP32, torch.float32),
        (DType.FP16, torch.float16),
        (DType.BF16, torch.bfloat16),
    ):
        table = Table("t", rows=50, dim=40, pooling="sum", dtype=dtype)
        weight = torch.randn(50, 40, generator=torch.Generator().manual_seed(1)).to(kind)
        stored = to_storage(table, weight, rows=50)
        assert stored.dtype == STORAGE[dtype]
        view = torch.int32 if kind == torch.float32 else torch.int16
        assert (stored.view(f"i{stored.itemsize}") == weight.view(view).numpy()).all()


@pytest.mark.parametrize(
    ("dtype", "values", "said"),
    [
        ("fp32", np.zeros((1, 3), np.float32), r"shape \[1, 3\].*Allowed: \[1, 2\]"),
        ("fp32", np.zeros(2, np.float32), r"shape \[2\]"),
        ("fp32", np.zeros((1, 2)), "dtype float64.*Allowed: float32"),
        ("fp32", np.zeros((1, 2), np.float16), "dtype float16.*Allowed: float32"),
        ("fp32", np.zeros((1, 2), ">f4"), "dtype >f4.*Allowed: float32"),
        ("fp16", np.zeros((1, 2), np.uint16), "dtype uint16.*float16 or float32"),
        ("bf16", np.zeros((1, 2), np.int16), "dtype int16.*bfloat16, its uint16 bits or float32"),
    ],
)
def test_to_storage_refuses(dtype: str, values: np.ndarray, said: str) -> None:
    """Shapes and types that would need a guess."""
    with pytest.raises(ConfigError, match=said):
        to_storage(Table("t", rows=1, dim=2, pooling="sum", dtype=dtype), values, rows=1)


def test_check_ids() -> None:
    """int32 and int64 within the table; an empty list too."""
    table = Table("t", rows=4, dim=2, pooling="sum")
    assert check_ids(table, np.array([3, 0], np.int32)).dtype == np.int64
    assert check_ids(table, []).shape == (0,)
    for wrong, said in (
        ([4], "id 4 at position 0"),
        ([0, -1], "id -1 at position 1"),
        ([1.0], "float64"),
        ([[1]], "ids are"),
    ):
        with pytest.raises(ConfigError, match=said):
            check_ids(table, np.array(wrong))
