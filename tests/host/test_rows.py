# SPDX-License-Identifier: Apache-2.0
"""Rows as card memory: layout, padding, chunks, types."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from cases import FORMATS, difficult_fp32, difficult_rows, same_bits, seeded, table_of

from embnic.arithmetic import STORAGE
from embnic.config import Table
from embnic.errors import ConfigError
from embnic.gen.wire import DType
from embnic.quantised import dequantise, quantise, split
from embnic.rows import check_ids, pack, pack_chunks, to_storage, unpack

KINDS = ("normal", "wide", "ties", "subnormal", "special")


def test_layout_of_one_row() -> None:
    """Elements little-endian from the start, zeros to the next multiple of 64."""
    table = Table("t", rows=2, dim=17, pooling="sum")
    rows = np.arange(34, dtype=np.float32).reshape(2, 17)
    packed = pack(table, rows)
    assert packed.shape == (2, 128)
    assert packed[1, :4].tobytes() == np.float32(17).tobytes()
    assert bytes(packed[0, :68]) == rows[0].astype("<f4").tobytes()
    assert not packed[:, 68:].any()


QUANTISED_ROWS = [
    ("int8", [7, 8, 9, *struct.pack("<ff", 0.5, -2)]),
    ("int8_front", [*struct.pack("<ee", 0.5, -2), 7, 8, 9]),
    ("int4", [*struct.pack("<ee", 0.5, -2), 0x87, 0x09]),
    ("int4_end", [0x87, 0x09, *struct.pack("<ee", 0.5, -2)]),
]


@pytest.mark.parametrize(("dtype", "given"), QUANTISED_ROWS)
def test_layout_of_a_quantised_row(dtype: str, given: list[int]) -> None:
    """All four layouts are one on the card: fp32 scale and bias, 8 zeros, elements, zeros."""
    table = Table("t", rows=1, dim=3, pooling="sum", dtype=dtype)
    stored = to_storage(table, np.array([given], np.uint8), rows=1)
    elements = bytes([0x87, 0x09]) if "int4" in dtype else bytes([7, 8, 9])
    expected = (struct.pack("<ff8x", 0.5, -2) + elements).ljust(64, b"\0")
    assert pack(table, stored).tobytes() == expected
    assert unpack(table, pack(table, stored).reshape(-1)).tolist() == [given]


def test_the_spare_half_byte_of_an_odd_int4_row_is_ignored() -> None:
    """It comes out as zero."""
    table = Table("t", rows=1, dim=1, pooling="sum", dtype="int4_end")
    stored = np.array([[0xF3, *struct.pack("<ee", 1, 0)]], np.uint8)
    assert pack(table, stored)[0, 16] == 3


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("dim", [1, 16, 31, 32, 33, 100])
def test_pack_and_unpack_are_inverse(dtype: DType, dim: int) -> None:
    """All bits survive, NaN payloads included, whole and in chunks."""
    table = table_of(dtype, rows=23, dim=dim, pooling="sum")
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


def test_float32_is_quantised_between_the_ends_of_its_row() -> None:
    """Least and largest element come back, the others to half a step; equal elements exactly."""
    rng = seeded()
    for dtype, steps in (("int8", 255), ("int8_front", 255), ("int4", 15), ("int4_end", 15)):
        table = Table("t", rows=60, dim=9, pooling="sum", dtype=dtype)
        values = difficult_fp32(rng, (60, 9), "normal")
        values[7] = 0.25
        stored = to_storage(table, values, rows=60)
        apart = split(stored, table.dtype, 9)
        step = (values.max(axis=1) - values.min(axis=1)) / steps
        error = np.abs(dequantise(apart) - values).max(axis=1)
        assert (error <= step * 0.51 + 0.004 * np.abs(values).max(axis=1)).all()
        assert apart.q.min() == 0
        assert apart.q.max() == steps
        assert (dequantise(apart)[7] == 0.25).all()


@pytest.mark.parametrize("dtype", ["int8", "int8_front", "int4", "int4_end"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_scale_or_bias_that_is_no_number_is_refused(dtype: str, wrong: float) -> None:
    """Given as such, or made from a row that holds one."""
    table = Table("t", rows=4, dim=6, pooling="sum", dtype=dtype)
    good = difficult_rows(seeded(), table, "normal")
    kind = np.float32 if dtype == "int8" else np.float16
    value = np.array([wrong], kind).view(np.uint8)
    edge = 0 if dtype in ("int8_front", "int4") else len(good[0]) - 2 * len(value)
    for at in (edge, edge + len(value)):  # scale, bias
        rows = good.copy()
        rows[2, at : at + len(value)] = value
        with pytest.raises(ConfigError, match=r"row 2 of those given has .*(nan|inf).*1 such rows"):
            to_storage(table, rows, rows=4)
    values = np.ones((4, 6), np.float32)
    values[3, 1] = wrong
    with pytest.raises(ConfigError, match="row 3 of those given has scale"):
        to_storage(table, values, rows=4)


def test_a_range_that_fp16_cannot_hold_is_refused() -> None:
    """int8 with fp32 scales takes it, the others name the row."""
    values = np.array([[0, 1e6]], np.float32) * 100
    for dtype in ("int8_front", "int4", "int4_end"):
        with pytest.raises(ConfigError, match="row 0 of those given has scale inf"):
            to_storage(Table("t", rows=1, dim=2, pooling="sum", dtype=dtype), values, rows=1)
    to_storage(Table("t", rows=1, dim=2, pooling="sum", dtype="int8"), values, rows=1)


def test_fixed_takes_int32_and_float32() -> None:
    """float32 rounds to the nearest unit, ties to even; what does not fit 32 bits is refused."""
    table = Table("t", rows=1, dim=4, pooling="sum", dtype="fixed", fixed_scale_exp=-1)
    values = np.array([[0.25, 0.75, -1.25, 1e9]], np.float32)
    assert to_storage(table, values, rows=1).tolist() == [[0, 2, -2, 2_000_000_000]]
    units = np.array([[1, 2, 3, 4]], np.int32)
    assert to_storage(table, units, rows=1) is units
    for wrong in (2e9, np.nan, -np.inf):
        values[0, 3] = wrong
        with pytest.raises(ConfigError, match=r"in row 0 .*1 such elements.*2\*\*-1"):
            to_storage(table, values, rows=1)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["normal", "wide", "ties", "subnormal", "constant", "narrow"])
def test_float32_is_quantised_as_torch_does(kind: str) -> None:
    """The bits of torch's prepack where torch has one: int8 and int4 with scale and bias behind."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng, compared = seeded(), 0
    for dim in (2, 4, 8, 30, 32, 64, 100, 256):
        values = difficult_fp32(rng, (200, dim), kind if kind in KINDS else "normal")
        values = values[:, :1] + 0 * values if kind == "constant" else values
        values = values * np.float32(1e-4) + np.float32(30) if kind == "narrow" else values
        for dtype, prepack in (
            (DType.INT8, torch.ops.quantized.embedding_bag_byte_prepack),
            (DType.INT4_END, torch.ops.quantized.embedding_bag_4bit_prepack),
        ):
            want, got = prepack(torch.from_numpy(values)).numpy(), quantise(values, dtype)
            a, b = split(want, dtype, dim), split(got, dtype, dim)
            finite = np.isfinite(b.scale) & np.isfinite(b.bias)  # the others are refused
            assert (a.q == b.q)[finite].all()
            assert (a.scale == b.scale)[finite].all()
            assert (a.bias == b.bias)[finite].all()  # a zero's sign apart
            compared += int(finite.sum())
    assert compared >= 8 * 200


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
        ("int8", np.zeros((1, 2), np.int8), r"dtype int8.*uint8 \[1, 10\] or float32"),
        ("int8", np.zeros((1, 9), np.uint8), r"shape \[1, 9\].*\[1, 10\]"),
        ("int8_front", np.zeros((1, 10), np.uint8), r"shape \[1, 10\].*\[1, 6\]"),
        ("int4", np.zeros((1, 2), np.uint8), r"shape \[1, 2\].*\[1, 5\]"),
        ("int4_end", np.zeros((1, 5), np.float32), r"shape \[1, 5\].*\[1, 2\]"),
        ("fixed", np.zeros((1, 2), np.int64), "dtype int64.*int32 or float32"),
    ],
)
def test_to_storage_refuses(dtype: str, values: np.ndarray, said: str) -> None:
    """Shapes and types that would need a guess."""
    with pytest.raises(ConfigError, match=said):
        to_storage(table_of(DType[dtype.upper()], rows=1, dim=2, pooling="sum"), values, rows=1)


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
