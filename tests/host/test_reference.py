# SPDX-License-Identifier: Apache-2.0
"""Check the reference against hand-computed results and exact rational arithmetic."""

from __future__ import annotations

import doctest
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from cases import (
    DTYPES,
    FORMATS,
    bits,
    difficult_fp32,
    difficult_rows,
    random_bags,
    same_bits,
    seeded,
    table_of,
)

import embnic.backends.base as base_module
import embnic.backends.reference as reference_module
from embnic.arithmetic import NAN_BITS, OUTPUT, fma, narrow, storage_count, widen
from embnic.backends.base import Backend, Capabilities
from embnic.backends.reference import (
    ReferenceBackend,
    RowKeys,
    accumulate,
    finish,
    merge,
    pool_bag,
    pool_product,
)
from embnic.bags import Bags
from embnic.config import Table
from embnic.errors import ClosedError, ConfigError
from embnic.gen.wire import NULL_ROW, DType, Pooling
from embnic.quantised import QuantisedRows, join

INF, NAN = float("inf"), float("nan")


def f32(*values: float) -> np.ndarray:
    """Return a float32 array."""
    return np.array(values, np.float32)


def column(*values: float, **table: object) -> tuple[Table, np.ndarray]:
    """Return a table of one column and its rows."""
    made = Table("t", rows=len(values), dim=1, **{"pooling": "sum", **table})  # type: ignore[arg-type]
    return made, f32(*values).reshape(-1, 1)


def pooled(
    table: Table, rows: np.ndarray, ids: list[int], w: list[float] | None = None
) -> np.ndarray:
    """Pool one bag."""
    return pool_bag(table, rows, np.array(ids, np.int64), None if w is None else f32(*w))


def exact_round(value: Fraction) -> float:
    """Round a rational to float32, nearest even, with integers only."""
    if value == 0:
        return 0.0
    magnitude = abs(value)
    exponent = max(magnitude.numerator.bit_length() - magnitude.denominator.bit_length() - 1, -126)
    if magnitude >= Fraction(2) ** (exponent + 1):
        exponent += 1
    unit = Fraction(2) ** (exponent - 23)
    count = round(magnitude / unit)  # Python rounds halves to even
    result = count * unit
    if result >= Fraction(2) ** 128:
        return math.copysign(INF, value)
    return math.copysign(float(result), value)


def test_the_rational_rounding_is_right_where_it_is_known() -> None:
    """The yardstick itself: float64 to float32 by hardware rounds the same way."""
    rng = seeded()
    for value in np.ldexp(rng.standard_normal(3000), rng.integers(-160, 130, 3000)):
        with np.errstate(all="ignore"):
            expected = np.float32(value)
        assert f32(exact_round(Fraction(float(value))))[0] == expected, value


def stratified(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return operands of an fma in which the hard cases are common.

    A fifth each: wide exponents; an addend that cancels the product; an addend far above or below
    it; subnormal factors; a product a hair short of half a unit of the addend, which float64 rounds
    onto the tie.
    """
    w, x, acc = (difficult_fp32(rng, (count,), "wide") for _ in range(3))
    stratum = rng.integers(0, 5, count)
    with np.errstate(all="ignore"):
        product = w.astype(np.float64) * x
        cancel = (-product).astype(np.float32)  # what remains is the product's own rounding error
        gap = (product * np.ldexp(1.0, rng.integers(-60, 60, count))).astype(np.float32)
    scale = rng.integers(-60, 60, count)
    near = np.ldexp(rng.integers(1, 200, count), -23)  # (1 + near) * (1 - near) = 1 - near**2
    sign = rng.choice([-1.0, 1.0], count)
    tie = np.ldexp(1.0 + rng.integers(0, 1 << 23, count) * 2.0**-23, scale)
    tiny, hair = stratum == 3, stratum == 4
    w = np.where(
        tiny,
        difficult_fp32(rng, (count,), "subnormal"),
        np.where(hair, np.ldexp(1.0 + near, scale), w),
    )
    x = np.where(
        tiny,
        difficult_fp32(rng, (count,), "ties"),
        np.where(hair, (1.0 - near) * 2.0**-24 * sign, x),
    )
    acc = np.select([stratum == 1, stratum == 2, hair], [cancel, gap, tie], acc)
    return w.astype(np.float32), x.astype(np.float32), acc.astype(np.float32)


def test_fma_is_rounded_once() -> None:
    """fma equals exact rational arithmetic on stratified operands, and float64 alone would not
    have.
    """
    rng = seeded()
    w, x, acc = stratified(rng, 30_000)
    got = fma(w, x, acc)
    with np.errstate(all="ignore"):
        twice = (w.astype(np.float64) * x + acc).astype(np.float32)
    rounded_twice = 0
    for at in range(len(w)):
        if not (np.isfinite(w[at]) and np.isfinite(x[at]) and np.isfinite(acc[at])):
            continue
        exact = Fraction(float(w[at])) * Fraction(float(x[at])) + Fraction(float(acc[at]))
        expected = f32(exact_round(exact))[0]
        assert got[at] == expected, (w[at].hex(), x[at].hex(), acc[at].hex())
        rounded_twice += int(twice[at] != expected)
    print(f"float64 alone is wrong {rounded_twice} times")
    assert rounded_twice > 0  # the operands do reach the case that the correction is for


def test_fma_corners() -> None:
    """Signs of zero, infinities, and a double rounding that float64 alone gets wrong."""
    cases = [
        (1.0, -0.0, 0.0, 0.0),
        (1.0, -0.0, -0.0, -0.0),
        (-1.0, 0.0, -0.0, -0.0),
        (2.0, 3.0, -6.0, 0.0),
        (INF, 1.0, 5.0, INF),
        (3.4028235e38, 2.0, -3.4028235e38, 3.4028235e38),
        (3.4028235e38, 2.0, 0.0, INF),
        (2.0**-126, 2.0**-23, 0.0, 2.0**-149),
        (2.0**-75, 2.0**-75, 0.0, 0.0),  # half of the smallest subnormal: to even
        (2.0**-75, 2.0**-75, 2.0**-149, 2.0 * 2.0**-149),  # halfway between 1 and 2 units: to even
    ]
    for w, x, acc, expected in cases:
        got = fma(f32(w), f32(x), f32(acc))
        assert same_bits(got, f32(expected)), (w, x, acc, got)
    assert np.isnan(fma(f32(INF), f32(0.0), f32(1.0)))[0]
    # The product is half a unit of the addend less 2^-70: float64 rounds the sum onto the tie,
    # which would go up to even.
    got = fma(f32(1.0 + 2.0**-23), f32((1.0 - 2.0**-23) * 2.0**-24), f32(1.0 + 2.0**-23))
    assert got[0] == np.float32(1.0 + 2.0**-23)


def test_sum_starts_from_plus_zero() -> None:
    """A lone -0 row gives +0: the first row is added, not loaded."""
    table, rows = column(-0.0, 5.0)
    assert same_bits(pooled(table, rows, [0]), f32(0.0))


def test_sum_is_left_to_right() -> None:
    """1 is lost beside 2**24 in one order and not in the other."""
    table, rows = column(2.0**24, 1.0, -(2.0**24))
    assert pooled(table, rows, [0, 1, 2])[0] == 0.0
    assert pooled(table, rows, [0, 2, 1])[0] == 1.0


def test_weighted_sum_is_fused_without_a_padding_row() -> None:
    """(1 + 2^-12)^2 - 1 keeps its last bit only when the product is not rounded first."""
    value = 1.0 + 2.0**-12
    table, rows = column(value, -1.0)
    fused = pooled(table, rows, [1, 0], [1.0, value])
    assert fused[0] == np.float32(2.0**-11 + 2.0**-24)
    table, rows = column(value, -1.0, 9.0, padding_idx=2)
    assert table.mul_then_add
    assert pooled(table, rows, [1, 0], [1.0, value])[0] == np.float32(2.0**-11)


@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_empty_bag_is_zero(pooling: str, dtype: DType) -> None:
    """No ids, or only the padding row: zeros."""
    table = Table("t", rows=3, dim=5, pooling=pooling, dtype=dtype, padding_idx=1)
    rows = difficult_rows(seeded(), table, "normal")
    for ids in ([], [1], [1, 1]):
        assert not bits(pooled(table, rows, ids)).any()


def test_mean_counts_without_padding() -> None:
    """(1 + 2) / 2, the padding row counting nowhere."""
    table, rows = column(1.0, 2.0, 100.0, pooling="mean", padding_idx=-1)
    assert pooled(table, rows, [0, 2, 1, 2])[0] == 1.5


def test_max_rules() -> None:
    """The first row as is; later ones only when ordered and greater; ties keep the first."""
    table, rows = column(-0.0, 0.0, NAN, -INF, 3.0, pooling="max")
    assert same_bits(pooled(table, rows, [0, 1]), f32(-0.0))
    assert same_bits(pooled(table, rows, [1, 0]), f32(0.0))
    assert np.isnan(pooled(table, rows, [2, 4]))[0]
    assert pooled(table, rows, [4, 2])[0] == 3.0
    assert pooled(table, rows, [3])[0] == -INF


def test_max_keeps_the_bits_of_a_first_nan() -> None:
    """max does no arithmetic, so an fp32 NaN passes with its payload."""
    table = Table("t", rows=1, dim=1, pooling="max")
    rows = np.array([[0xFFC12345]], np.uint32).view(np.float32)
    assert bits(pooled(table, rows, [0]))[0] == 0xFFC12345


@pytest.mark.parametrize("pooling", ["sum", "mean"])
def test_a_nan_made_by_arithmetic_is_canonical(pooling: str) -> None:
    """Whatever NaN went in, or inf - inf: 0x7FC00000."""
    table, rows = column(INF, -INF, NAN, pooling=pooling)
    rows.view(np.uint32)[2] = 0xFFC12345
    for ids in ([0, 1], [2], [0, 2]):
        assert bits(pooled(table, rows, ids))[0] == NAN_BITS


def test_subnormals_are_kept() -> None:
    """The smallest subnormal, three times."""
    table, rows = column(1e-45)
    assert pooled(table, rows, [0, 0, 0])[0] == np.float32(4.2e-45)


def test_half_precision_rounds_once_at_the_end() -> None:
    """2048 + 1 + 1 is 2050 in fp16 when summed in fp32, but 2048 when each step rounds."""
    table = Table("t", rows=2, dim=1, pooling="sum", dtype="fp16")
    rows = np.array([[2048], [1]], np.float16)
    assert pooled(table, rows, [0, 1, 1])[0] == 2050


def test_bf16_ties_depend_on_the_padding_row() -> None:
    """256 + 1 lies halfway between two bf16 numbers: up without a padding row, to even with one."""
    rows = np.array([[0x4380], [0x3F80], [0]], np.uint16)  # 256, 1
    plain = Table("t", rows=3, dim=1, pooling="sum", dtype="bf16")
    padded = Table("t", rows=3, dim=1, pooling="sum", dtype="bf16", padding_idx=2)
    assert pooled(plain, rows, [0, 1])[0] == 0x4381
    assert pooled(padded, rows, [0, 1])[0] == 0x4380


def test_half_precision_mean_rounds_the_sum_first() -> None:
    """(2048 + 1) / 2 in fp16: the sum rounds to 2048 before it is divided."""
    table = Table("t", rows=2, dim=1, pooling="mean", dtype="fp16")
    assert pooled(table, np.array([[2048], [1]], np.float16), [0, 1])[0] == 1024


def test_narrow_to_16_bits_against_rational_rounding() -> None:
    """bf16 nearest even, bf16 half up, NaN and the largest numbers."""
    rng = seeded()
    values = np.concatenate(
        [difficult_fp32(rng, (5000,), kind) for kind in ("wide", "ties", "subnormal", "special")]
    )
    values = np.concatenate([values, f32(3.4028235e38, -3.4028235e38, INF, -INF, NAN)])
    even, up = narrow(values, DType.BF16), narrow(values, DType.BF16, half_up=True)
    for value, e, u in zip(values, even, up, strict=True):
        if np.isnan(value):
            assert (e, u) == (0x7FC0, 0x7FC0)
            continue
        whole = int(value.view(np.uint32))
        low, rest = whole >> 16, whole & 0xFFFF
        assert u == low + (rest >= 0x8000)
        assert e == low + (rest > 0x8000 or (rest == 0x8000 and low & 1 == 1))
    halves = narrow(values, DType.FP16)
    assert (halves[np.isnan(values)].view(np.uint16) == 0x7E00).all()


def test_widen_undoes_narrow() -> None:
    """Every 16-bit pattern that is not a NaN survives float32."""
    patterns = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    for dtype, stored in ((DType.FP16, patterns.view(np.float16)), (DType.BF16, patterns)):
        wide = widen(stored, dtype)
        number = ~np.isnan(wide)
        for half_up in (False, True):
            assert (bits(narrow(wide, dtype, half_up=half_up))[number] == patterns[number]).all()


def test_the_count_of_a_mean_has_the_storage_type() -> None:
    """fp16 holds 2048 but not 2049, and nothing from 65,520 up."""
    counts = np.array([1, 2048, 2049, 65_519, 65_520], np.int64)
    assert storage_count(counts, DType.FP16).tolist() == [1, 2048, 2048, 65_504, INF]
    assert storage_count(counts, DType.FP32).tolist() == counts.tolist()


@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_continued_bag_equals_the_whole_one(pooling: str, dtype: DType) -> None:
    """Cut anywhere, with the accumulator carried over: the same bits."""
    rng = seeded()
    compared = 0
    for padding_idx in (None, 2):
        table = Table("t", rows=20, dim=9, pooling=pooling, dtype=dtype, padding_idx=padding_idx)
        rows = difficult_rows(rng, table, "special")
        for _ in range(30):
            ids = rng.integers(0, 20, int(rng.integers(0, 12)))
            w = (
                difficult_fp32(rng, ids.shape, "normal")
                if pooling == "sum" and rng.random() < 0.5
                else None
            )
            cut = int(rng.integers(0, len(ids) + 1))
            left = accumulate(table, rows, ids[:cut], None if w is None else w[:cut])
            kept = left[0].copy()
            both = accumulate(table, rows, ids[cut:], None if w is None else w[cut:], left)
            assert same_bits(left[0], kept)  # the given accumulator is not written to
            assert same_bits(finish(table, *both), pool_bag(table, rows, ids, w))
            compared += 1
    assert compared == 60


def test_an_initial_accumulator_passes_unchanged_when_nothing_follows() -> None:
    """Loading and flushing keep bits, even a NaN's."""
    table = Table("t", rows=3, dim=2, pooling="sum", padding_idx=0)
    init = np.array([0xFFC12345, 0x80000000], np.uint32).view(np.float32)
    acc, count = accumulate(table, np.zeros((3, 2), np.float32), np.array([0]), None, (init, 4))
    assert same_bits(acc, init)
    assert count == 4
    empty = accumulate(table, np.zeros((3, 2), np.float32), np.array([], np.int64), None, (init, 0))
    assert same_bits(empty[0], f32(0, 0))
    assert empty[1] == 0


def test_backend_lookup_update_stats_close() -> None:
    """The whole life of a backend."""
    table = Table("item", rows=4, dim=2, pooling="sum")
    other = Table("user", rows=2, dim=3, pooling="max")
    backend = ReferenceBackend([table, other])
    assert isinstance(backend, Backend)
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    backend.load("item", rows)
    rows[:] = 99  # the backend has its own copy
    bags = Bags.from_lists({"item": [[0, 3], [], [1]]})
    assert backend.lookup(bags)["item"].tolist() == [[6, 8], [0, 0], [2, 3]]
    backend.update("item", [1, 0, 1], np.array([[5, 5], [7, 7], [6, 6]], np.float32))
    out = {"item": np.empty((3, 2), np.float32)}
    assert backend.lookup(bags, out)["item"] is out["item"]
    assert out["item"].tolist() == [[13, 14], [0, 0], [6, 6]]
    assert backend.stats() == {
        "lookups": 2,
        "bags": 6,
        "keys": 6,
        "updates": 1,
        "update_rows": 3,
        "saturations": 0,
    }
    with pytest.raises(ConfigError, match=r"'user' has no rows yet"):
        backend.lookup(Bags.from_lists({"user": [[0]]}))
    with pytest.raises(ConfigError, match=r"'shop' does not exist"):
        backend.load("shop", rows)
    backend.close()
    backend.close()
    with pytest.raises(ClosedError, match=r"ReferenceBackend\.lookup"):
        backend.lookup(bags)
    with pytest.raises(ClosedError):
        backend.load("item", rows)


def test_out_must_fit() -> None:
    """A wrong `out` is refused with what would be right."""
    backend = ReferenceBackend([Table("t", rows=2, dim=2, pooling="sum")])
    backend.load("t", np.zeros((2, 2), np.float32))
    bags = Bags.from_lists({"t": [[0]]})
    frozen = np.zeros((1, 2), np.float32)
    frozen.flags.writeable = False
    for wrong, said in (
        (np.zeros((2, 2), np.float32), r"float32 \[2, 2\]"),
        (np.zeros((1, 2), np.float64), r"float64 \[1, 2\]"),
        ([[0, 0]], "list"),
        (frozen, "read-only"),
        (np.zeros((1, 4), np.float32)[:, ::2], "not contiguous"),
    ):
        with pytest.raises(ConfigError, match=said):
            backend.lookup(bags, {"t": wrong})  # type: ignore[dict-item]


def test_random_sums_against_rational_arithmetic() -> None:
    """Every step of a weighted and an unweighted bag, recomputed with fractions."""
    rng = seeded()
    for padding_idx in (None, 0):
        table = Table("t", rows=30, dim=4, pooling="sum", padding_idx=padding_idx)
        rows = difficult_rows(rng, table, "ties")
        for weighted in (None, "wide"):
            bags = random_bags(rng, table, 40, longest=6, weighted=weighted)["t"]
            for index in range(len(bags)):
                ids, w = bags.bag(index)
                got = pool_bag(table, rows, ids, w)
                for lane in range(4):
                    acc = 0.0
                    for at, row in enumerate(ids.tolist()):
                        if row == padding_idx:
                            continue
                        product = Fraction(float(rows[row, lane])) * Fraction(
                            1.0 if w is None else float(w[at])
                        )
                        if padding_idx is not None:
                            rounded = exact_round(product)
                            acc = (
                                rounded + acc
                                if math.isinf(rounded)
                                else exact_round(Fraction(rounded) + Fraction(acc))
                            )
                        else:
                            acc = (
                                exact_round(product + Fraction(acc)) if math.isfinite(acc) else acc
                            )
                        if not math.isfinite(acc):
                            break
                    if math.isfinite(acc):
                        assert got[lane] == np.float32(acc)


def test_the_documentation_runs() -> None:
    """The examples of the reference and of what all backends share."""
    for module in (reference_module, base_module):
        failed, tried = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
        assert tried > 0
        assert failed == 0


def test_capabilities_refuse_in_plain_words() -> None:
    """Type, pooling and dim, each with what the target takes instead."""
    few = Capabilities(poolings=frozenset({Pooling.SUM}), max_dim=8)
    few.check(Table("t", rows=1, dim=8, pooling="sum"), "tiny")
    for table, said in (
        (Table("t", rows=1, dim=9, pooling="sum"), r"dim 9 does not fit the target 'tiny'.*1 to 8"),
        (Table("t", rows=1, dim=8, pooling="max"), r"pooling 'max' is not built for 'tiny'.*'sum'"),
        (
            Table("t", rows=1, dim=8, pooling="sum", dtype="bf16"),
            r"dtype 'bf16' is not built for 'tiny'.*'fp32'",
        ),
        (
            Table("t", rows=1, dim=8, pooling="sum", order="tree", tree_k=2),
            r"order 'tree' is not built for 'tiny'.*'sequential'",
        ),
    ):
        with pytest.raises(ConfigError, match=said):
            few.check(table, "tiny")


# --- quantised rows ---


def quantised_table(
    rows: list[tuple[float, float, list[int]]], dtype: str = "int8", **table: object
) -> tuple[Table, np.ndarray]:
    """Return a table and its stored rows, each given as scale, bias, elements."""
    scale, bias, q = (list(part) for part in zip(*rows, strict=True))
    made = Table("t", rows=len(rows), dim=len(q[0]), dtype=dtype, **{"pooling": "sum", **table})  # type: ignore[arg-type]
    return made, join(QuantisedRows(f32(*scale), f32(*bias), np.array(q, np.uint8)), made.dtype)


@pytest.mark.parametrize("dtype", ["int8", "int8_front", "int4", "int4_end"])
def test_quantised_sum_mean_max_and_rows(dtype: str) -> None:
    """Two rows of three elements by hand, in every layout."""
    rows = [(0.5, -1.0, [0, 3, 15]), (2.0, 0.25, [1, 0, 7])]
    for pooling, expected in (
        ("sum", [1.25, 0.75, 20.75]),
        ("mean", [0.625, 0.375, 10.375]),
        ("max", [2.25, 0.5, 14.25]),
        ("none", [[-1.0, 0.5, 6.5], [2.25, 0.25, 14.25]]),
    ):
        table, stored = quantised_table(rows, dtype, pooling=pooling)
        got = pooled(table, stored, [0, 1])
        assert got.dtype == np.float32
        assert got.tolist() == expected
    table, stored = quantised_table(rows, dtype)
    assert pooled(table, stored, [0, 1], [2.0, -1.0]).tolist() == [-4.25, 0.75, -1.25]


def test_a_quantised_bias_is_added_before_the_element() -> None:
    """`fma(s, q, acc + b)`: the bias meets the sum first, and the product is not rounded."""
    table, stored = quantised_table([(1.0, -(2.0**24), [1]), (1.0, 2.0**24, [0])])
    # 2^24, then 2^24 - 2^24 + 1: adding the product first would lose it.
    assert pooled(table, stored, [1, 0])[0] == 1.0
    table, stored = quantised_table([(1.0 + 2.0**-23, -1.0, [3]), (0.0, -2.0, [0])])
    # -2 - 1 + 3 * (1 + 2^-23): rounding the product would give 2^-21.
    assert pooled(table, stored, [1, 0])[0] == np.float32(3 * 2.0**-23)


def test_weights_multiply_a_quantised_rows_scale_and_bias_and_round() -> None:
    """`fma(round(s * w), q, acc + round(b * w))`, with and without a padding row."""
    w = 1.0 + 2.0**-12
    for padding_idx in (None, 1):
        table, stored = quantised_table([(w, -w, [1]), (1.0, 0.0, [0])], padding_idx=padding_idx)
        assert pooled(table, stored, [0], [w])[0] == 0.0  # both products round to the same
    table, stored = quantised_table([(w, -(w * w), [1])], pooling="none")
    assert pooled(table, stored, [0])[0, 0] == f32(w)[0] - f32(w * w)[0]


# --- fixed ---


def test_fixed_adds_integers_and_scales_at_the_end() -> None:
    """Sum, mean, max and rows of int32 elements; the unit is 1/4."""
    for pooling, expected in (
        ("sum", [-1.0]),
        ("mean", [-1.0 / 3]),
        ("max", [1.25]),
        ("none", [[0.5], [-2.75], [1.25]]),
    ):
        table = Table("t", rows=3, dim=1, dtype="fixed", pooling=pooling, fixed_scale_exp=-2)
        rows = np.array([[2], [-11], [5]], np.int32)
        assert same_bits(
            pooled(table, rows, [0, 1, 2]),
            f32(*expected) if pooling != "none" else np.array(expected, np.float32),
        )


def test_fixed_is_exact_where_float32_is_not() -> None:
    """Integer sums keep every bit until the one rounding to float32, nearest even."""
    table = Table("t", rows=3, dim=1, dtype="fixed", pooling="sum", fixed_scale_exp=0)
    rows = np.array([[1 << 24], [1], [-(1 << 24)]], np.int32)
    assert pooled(table, rows, [0, 1, 2])[0] == 1.0
    assert pooled(table, rows, [0, 1])[0] == 2.0**24  # 2^24 + 1 is a tie
    assert pooled(table, rows, [0, 1, 1, 1])[0] == 2.0**24 + 4


def test_fixed_saturates_counted_and_then_depends_on_the_order() -> None:
    """Each element of each addition that does not fit 32 bits counts once."""
    table = Table("t", rows=2, dim=2, dtype="fixed", pooling="sum", fixed_scale_exp=0)
    top = (1 << 31) - 1
    rows = np.array([[top, 5], [-7, -5]], np.int32)
    tally: Counter[str] = Counter()
    acc, count = accumulate(table, rows, np.array([0, 0, 1]), tally=tally)
    assert (acc.tolist(), count, acc.dtype) == ([top - 7, 5], 3, np.int32)
    assert tally["saturations"] == 1
    acc, _ = accumulate(table, rows, np.array([0, 1, 0]), tally=tally)
    assert acc.tolist() == [top, 5]
    assert tally["saturations"] == 2


def test_fixed_does_not_depend_on_the_order_without_saturation() -> None:
    """Any order of keys and any tree gives one result."""
    rng = seeded()
    tables = [table_of(DType.FIXED, rows=50, dim=6, pooling="sum")] + [
        table_of(DType.FIXED, rows=50, dim=6, pooling="sum", order="tree", tree_k=k)
        for k in (2, 4, 8, 16)
    ]
    rows = difficult_rows(rng, tables[0], "normal")
    for _ in range(20):
        ids = rng.integers(0, 50, 30)
        results = [pooled(t, rows, rng.permutation(ids).tolist()) for t in tables]
        assert all(same_bits(one, results[0]) for one in results)


@pytest.mark.parametrize(("exp", "expected"), [(127, INF), (-128, 3 * 2.0**-128)])
def test_the_fixed_scale_at_its_ends(exp: int, expected: float) -> None:
    """Subnormal results are exact; too large ones are infinite."""
    table = Table("t", rows=1, dim=1, dtype="fixed", pooling="sum", fixed_scale_exp=exp)
    assert pooled(table, np.array([[3]], np.int32), [0])[0] == np.float32(expected)


# --- no pooling ---


@pytest.mark.parametrize("dtype", FORMATS)
def test_rows_come_out_as_stored_and_zeros_for_padding_and_null_keys(dtype: DType) -> None:
    """One row for every key, in key order; float rows keep every bit, NaNs too."""
    rng = seeded()
    table = table_of(dtype, rows=9, dim=5, pooling="none", padding_idx=4)
    rows = difficult_rows(rng, table, "special")
    ids = [3, 4, 8, NULL_ROW, 3]
    backend = ReferenceBackend([table])
    backend.load("t", rows)
    got = backend.lookup(Bags.from_lists({"t": [ids[:2], [], ids[2:]]}))["t"]
    assert got.shape == (5, 5)
    assert got.dtype == OUTPUT[dtype]
    assert not bits(got[[1, 3]]).any()
    if dtype in DTYPES:
        assert same_bits(got[[0, 2, 4]], rows[[3, 8, 3]])
    else:
        one = table_of(dtype, rows=9, dim=5, pooling="max")
        expected = np.stack([pooled(one, rows, [row]) for row in (3, 8, 3)])
        assert same_bits(got[[0, 2, 4]], expected)


def test_null_keys_contribute_nothing_to_a_bag() -> None:
    """Not to the sum, not to the count."""
    table, rows = column(1.0, 2.0, pooling="mean")
    assert pooled(table, rows, [NULL_ROW, 0, NULL_ROW, 1])[0] == 1.5
    assert pooled(table, rows, [NULL_ROW])[0] == 0.0


# --- orders ---


def test_tree_adds_running_sums_pairwise() -> None:
    """Seven keys on four sums: ((0, 4) + (2, 6)) + ((1, 5) + (3)); 1 is lost beside 2**24."""
    values = [2.0**24, 1.0, -(2.0**24), 1.0, 1.0, 1.0, 1.0]
    table, rows = column(*values, order="tree", tree_k=4)
    # sums: 2^24 + 1 -> 2^24, 2, -2^24 + 1, 1; pairs: 1, 3; all: 4
    assert pooled(table, rows, list(range(7)))[0] == 4.0
    plain, _ = column(*values)
    assert pooled(table, rows, [0, 1, 4, 5])[0] == 2.0**24 + 2  # (2^24 + 1) + (1 + 1)
    assert pooled(plain, rows, [0, 1, 4, 5])[0] == 2.0**24


@pytest.mark.parametrize("k", [2, 4, 8, 16])
def test_tree_against_its_definition(k: int) -> None:
    """Any bag: j mod k, each sequential, then s = k/2 .. 1, absent sums left out; padding does not
    take a place.
    """
    rng = seeded()
    flat = Table("t", rows=40, dim=5, pooling="sum", padding_idx=7)
    tree = Table("t", rows=40, dim=5, pooling="sum", padding_idx=7, order="tree", tree_k=k)
    rows = difficult_rows(rng, flat, "ties")
    for length in range(40):
        ids = rng.integers(0, 40, length)
        held = ids[ids != 7]
        sums = {j: accumulate(flat, rows, held[j::k])[0] for j in range(k) if len(held[j::k])}
        s = k // 2
        while s:
            for i in range(s):
                if i + s in sums:
                    sums[i] = sums[i] + sums[i + s]
            s //= 2
        expected = sums[0] if sums else f32(0, 0, 0, 0, 0)
        assert same_bits(pooled(tree, rows, ids.tolist()), expected)
    with pytest.raises(ConfigError, match="a bag of order 'tree' is continued"):
        accumulate(tree, rows, ids, init=(f32(0, 0, 0, 0, 0), 1))


def test_split_is_sequential_until_there_are_partials() -> None:
    """Local keys in key order; then `merge` adds the owners' partials as whole numbers."""
    rng = seeded()
    for dtype in FORMATS:
        for pooling in ("sum", "mean", "max"):
            plain = table_of(dtype, rows=40, dim=5, pooling=pooling)
            split_table = table_of(dtype, rows=40, dim=5, pooling=pooling, order="split")
            rows = difficult_rows(rng, plain, "special")
            ids = rng.integers(0, 40, 9)
            local = accumulate(split_table, rows, ids)
            assert same_bits(finish(split_table, *local), pool_bag(plain, rows, ids))
            assert same_bits(
                finish(split_table, *merge(split_table, [local])), pool_bag(plain, rows, ids)
            )


def test_merge_adds_in_the_given_order_and_skips_what_is_empty() -> None:
    """The first that holds a key is taken as it is, a -0 too; finish divides once."""
    table = Table("t", rows=1, dim=1, pooling="mean", order="split")
    big, one, empty = (f32(2.0**24), 1), (f32(1.0), 2), (f32(9.0), 0)
    assert merge(table, [empty, big, one, one, empty]) == (f32(2.0**24), 5)
    assert merge(table, [one, one, big]) == (f32(2.0**24 + 2), 5)
    assert finish(table, *merge(table, [one, one]))[0] == 0.5
    assert same_bits(merge(table, [(f32(-0.0), 1), empty])[0], f32(-0.0))
    acc, count = merge(table, [empty])
    assert (acc.tolist(), count) == ([0.0], 0)


def test_merge_of_max_and_fixed() -> None:
    """max replaces where greater and keeps a first NaN; int32 saturates and counts."""
    table = Table("t", rows=1, dim=2, pooling="max")
    acc, count = merge(table, [(f32(NAN, 1.0), 2), (f32(3.0, 2.0), 1), (f32(4.0, NAN), 1)])
    assert np.isnan(acc[0])
    assert (acc[1], count) == (2.0, 4)
    fixed = Table("t", rows=1, dim=1, dtype="fixed", pooling="sum", fixed_scale_exp=0)
    top, tally = np.array([(1 << 31) - 1], np.int32), Counter[str]()
    acc, count = merge(fixed, [(top, 1), (top, 1)], tally=tally)
    assert (acc.tolist(), count, tally["saturations"]) == (top.tolist(), 2, 1)


# --- products ---


def test_a_product_of_rows_is_rounded_and_then_summed() -> None:
    """Quotient and remainder rows by hand; weights multiply the rounded product, fused."""
    value = 1.0 + 2.0**-12
    table, rows = column(value, -1.0)
    q = RowKeys(table, rows, np.array([1, 0]))
    r = RowKeys(table, f32(1.0, value).reshape(-1, 1)[::-1], np.array([1, 0]))
    assert pool_product(q, r)[0] == f32(-1.0)[0] + f32(value * value)[0]
    scaled = pool_product(q, r, f32(1.0, value))
    exact = Fraction(-1) + Fraction(value) * Fraction(float(f32(value * value)[0]))
    assert scaled[0] == f32(exact_round(exact))[0]


def test_a_product_skips_a_pair_with_a_padding_or_null_key() -> None:
    """Either side counts, even where the other is infinite."""
    table, rows = column(2.0, INF, padding_idx=0)
    plain, others = column(3.0, 5.0)
    ids = np.array([0, 1, 1])
    q = RowKeys(table, rows, ids)
    r = RowKeys(plain, others, np.array([1, NULL_ROW, 0]))
    assert pool_product(q, r)[0] == INF
    assert pool_product(q._replace(ids=ids[:2]), r._replace(ids=r.ids[:2]))[0] == 0.0
