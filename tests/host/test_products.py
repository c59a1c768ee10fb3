# SPDX-License-Identifier: Apache-2.0
"""Bags of pairs: what they hold, what is refused, and that every target of the host gives the reference's bits."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from cases import FORMATS, difficult_fp32, difficult_rows, same_bits, seeded
from fakes import FakeCard, fake_engine

import embnic
from embnic.backends.base import MultipliesRows
from embnic.backends.cpu import CpuBackend, native_module
from embnic.backends.model import ModelBackend
from embnic.backends.reference import ReferenceBackend, RowKeys, pool_product
from embnic.bags import Bags, TableBags
from embnic.config import Table
from embnic.errors import ClosedError, ConfigError
from embnic.framing import FrameLimits, product_group
from embnic.gen.wire import NULL_ROW, DType
from embnic.products import ProductBags

MULTIPLIED = [dtype for dtype in FORMATS if dtype is not DType.FIXED]
KINDS = ("normal", "wide", "ties", "subnormal", "special")


def two_tables(dtype=DType.FP32, dim=5, **changes):
    """Return tables `q` and `r`."""
    return [
        Table("q", rows=9, dim=dim, dtype=dtype, pooling="sum", **changes),
        Table("r", rows=4, dim=dim, dtype=dtype, pooling="sum"),
    ]


def random_pairs(rng, tables, bags, *, longest=6, weighted=None):
    """Return bags of 0 to `longest` pairs with padding and null keys on either side."""
    lengths = rng.integers(0, longest + 1, bags)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    sides = []
    for table in tables:
        ids = rng.integers(0, table.rows, int(offsets[-1]))
        if table.padding_idx is not None:
            ids[rng.random(len(ids)) < 0.15] = table.padding_idx
        ids[rng.random(len(ids)) < 0.1] = NULL_ROW
        sides.append(ids)
    w = None if weighted is None else difficult_fp32(rng, sides[0].shape, weighted)
    names = [table.name for table in tables]
    return ProductBags(*names, TableBags(sides[0], offsets, w), sides[1])


def backends(tables):
    """Return everything on the host that multiplies rows."""
    found = [CpuBackend(tables, engine="numpy"), ModelBackend(tables, "tiny")]
    if native_module() is not None:
        found.append(CpuBackend(tables, engine="native"))
    if importlib.util.find_spec("torch") and importlib.util.find_spec("triton"):
        from embnic.backends.gpu import GpuBackend

        found.append(GpuBackend(tables))
    return found


def test_ids_are_split_into_quotients_and_remainders():
    bags = Bags.from_lists({"item": [[7, 2], [], [9]]}, {"item": [[1, 2], [], [3]]})["item"]
    pairs = ProductBags.split("q", "r", bags, divisor=4)
    assert (
        len(pairs) == 3
        and repr(pairs) == "ProductBags('q', 'r', TableBags(3 bags, 3 ids, weighted))"
    )
    assert (pairs.quotients.values * 4 + pairs.remainders).tolist() == [7, 2, 9]
    assert pairs.quotients.weights.tolist() == [1, 2, 3]
    chosen = pairs.select(np.array([False, True, True]))
    assert (chosen.quotients.offsets.tolist(), chosen.remainders.tolist()) == ([0, 0, 1], [1])


@pytest.mark.parametrize("dtype", MULTIPLIED, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("weighted", [None, "wide"])
def test_every_backend_gives_the_references_bits(dtype, weighted):
    rng = seeded()
    compared = 0
    for number, kind in enumerate(KINDS):
        tables = two_tables(dtype, int(rng.integers(1, 33)), padding_idx=number % 3 or None)
        rows = {table.name: difficult_rows(rng, table, kind) for table in tables}
        pairs = random_pairs(rng, tables, 25, weighted=weighted)
        reference = ReferenceBackend(tables)
        for name, values in rows.items():
            reference.load(name, values)
        want = reference.product(pairs)
        for bag in range(0, 25, 6):
            ids, w = pairs.quotients.bag(bag)
            others = pairs.remainders[pairs.quotients.offsets[bag] :][: len(ids)]
            sides = RowKeys(tables[0], rows["q"], ids), RowKeys(tables[1], rows["r"], others)
            assert same_bits(want[bag], pool_product(*sides, w))
        for backend in backends(tables):
            assert isinstance(backend, MultipliesRows)
            for name, values in rows.items():
                backend.load(name, values)
            assert same_bits(backend.product(pairs), want), (backend.name, kind)
            backend.close()
            compared += len(pairs)
    assert compared >= 2 * 25 * len(KINDS)


def test_products_are_what_an_embedding_of_all_products_sums():
    torch = pytest.importorskip("torch", reason="compared with torch's EmbeddingBag")
    rng = seeded()
    tables = two_tables(dim=16)
    rows = [rng.standard_normal((table.rows, 16), dtype=np.float32) for table in tables]
    bags = Bags.from_lists(
        {"t": [rng.integers(0, 36, n).tolist() for n in rng.integers(0, 9, 60)]}
    )["t"]
    weights = rng.standard_normal(len(bags.values), dtype=np.float32)
    whole = torch.from_numpy((rows[0][:, None] * rows[1][None]).reshape(36, 16))
    with embnic.open(tables, target="cpu") as engine:
        for table, values in zip(tables, rows, strict=True):
            engine.load(table.name, values)
        for w in (None, weights):
            given = TableBags(bags.values, bags.offsets, w)
            got = engine.lookup_product(ProductBags.split("q", "r", given, divisor=4))
            want = torch.nn.functional.embedding_bag(
                torch.from_numpy(bags.values.copy()),
                whole,
                torch.from_numpy(bags.offsets[:-1].copy()),
                mode="sum",
                per_sample_weights=None if w is None else torch.from_numpy(w),
            )
            assert same_bits(got, want.numpy())
        assert engine.stats().bags_by_cpu == 2 * 60


def test_one_pair_is_dlrms_product_of_pooled_vectors():
    """QREmbeddingBag multiplies pooled vectors: the same for one id, up to a zero's sign; not for several."""
    rng = seeded()
    tables = two_tables(dim=8)
    rows = [rng.standard_normal((table.rows, 8), dtype=np.float32) for table in tables]
    cpu = CpuBackend(tables)
    for table, values in zip(tables, rows, strict=True):
        cpu.load(table.name, values)
    one = ProductBags("q", "r", TableBags(np.arange(9), np.arange(10)), np.arange(9) % 4)
    sides = {"q": one.quotients, "r": TableBags(one.remainders, one.quotients.offsets)}
    pooled = cpu.lookup(Bags(sides))
    assert np.array_equal(cpu.product(one), pooled["q"] * pooled["r"])
    two = ProductBags("q", "r", TableBags(np.array([0, 1]), np.array([0, 2])), [2, 3])
    sums = cpu.lookup(Bags.from_lists({"q": [[0, 1]], "r": [[2, 3]]}))
    assert not np.array_equal(cpu.product(two), sums["q"] * sums["r"])


def test_what_cannot_be_multiplied_is_refused():
    ids = TableBags(np.array([1, 2]), np.array([0, 2]))
    with pytest.raises(ConfigError, match="1 ids of 'r' are given for 2 of 'q'"):
        ProductBags("q", "r", ids, [1])
    with pytest.raises(ConfigError, match="divisor is 0"):
        ProductBags.split("q", "r", ids, divisor=0)
    cases = [
        ({"dim": 6}, "dim 5, dtype 'fp32' and dim 6"),
        ({"dtype": "fp16"}, "dtype 'fp32' and dim 5, dtype 'fp16'"),
        ({"pooling": "mean"}, "takes part in a product"),
        ({"order": "split"}, "takes part in a product"),
    ]
    for changes, message in cases:
        fields = {"rows": 4, "dim": 5, "pooling": "sum", **changes}
        named = {"q": two_tables()[0], "r": Table("r", **fields)}
        with pytest.raises(ConfigError, match=message):
            ProductBags("q", "r", ids, [1, 2]).check(named)
    fixed = Table("f", rows=4, dim=5, pooling="sum", dtype="fixed", fixed_scale_exp=0)
    with pytest.raises(ConfigError, match="any dtype but 'fixed'"):
        ProductBags("f", "f", ids, [1, 2]).check({"f": fixed})
    named = {table.name: table for table in two_tables()}
    with pytest.raises(ConfigError, match="'other', which does not exist"):
        ProductBags("q", "other", ids, [1, 2]).check(named)
    with pytest.raises(ConfigError, match="Table 'r': id 4 at position 0 is out of range"):
        ProductBags("q", "r", ids, [NULL_ROW, 4]).check(named)
    engine = embnic.open(two_tables(), target="cpu")
    with pytest.raises(ConfigError, match="pairs are a Bags"):
        engine.lookup_product(Bags.from_lists({"q": [[1]]}))
    with pytest.raises(ConfigError, match="has no rows yet"):
        engine.lookup_product(ProductBags("q", "r", ids, [1, 2]))
    engine.close()
    with pytest.raises(ClosedError, match="lookup_product"):
        engine.lookup_product(ProductBags("q", "r", ids, [1, 2]))


def test_frames_hold_whole_pairs_and_an_empty_bag_is_two_null_keys():
    named = {table.name: table for table in two_tables()}
    ids = TableBags(np.array([3, NULL_ROW]), np.array([0, 1, 1, 2]), np.array([7, 8], np.float32))
    group = product_group(ProductBags("q", "r", ids, [1, 2]), named, {"q": 5, "r": 6})
    assert [hex(key) for key in group.keys.tolist()] == [
        *("0x5000000000003", "0x8006000000000001"),
        *("0x5ffffffffffff", "0x8006ffffffffffff"),
        *("0x5ffffffffffff", "0x8006000000000002"),
    ]
    assert group.offsets.tolist() == [0, 2, 4, 6] and group.product
    assert group.weights.tolist() == [7, 7, 0, 0, 8, 8]
    limits = FrameLimits(payload=8 * 9, reply_vec64=64, reply_units=22)
    assert limits.keys(weighted=False) == 9
    assert limits.keys(weighted=False, product=True) == 8


def test_a_card_without_products_leaves_them_to_the_cpu():
    rng = seeded()
    tables = two_tables()
    rows = {table.name: difficult_rows(rng, table, "normal") for table in tables}
    pairs = random_pairs(rng, tables, 10)
    reference = ReferenceBackend(tables)
    for name, values in rows.items():
        reference.load(name, values)
    with fake_engine(tables, FakeCard()) as engine:
        for name, values in rows.items():
            engine.load(name, values)
        assert same_bits(engine.lookup_product(pairs), reference.product(pairs))
        stats = engine.stats()
        assert stats.fallback_total == {"product": 10} and stats.bags_by_cpu == 10
    with fake_engine(tables, FakeCard(), fallback=False) as engine:
        for name, values in rows.items():
            engine.load(name, values)
        with pytest.raises(ConfigError, match="Products of rows of dim 5 on the target 'fake'"):
            engine.lookup_product(pairs)


def test_the_selector_answers_on_the_cpu():
    rng = seeded()
    tables = two_tables()
    pairs = random_pairs(rng, tables, 10)
    with embnic.open(tables, target="select") as engine, embnic.open(tables, target="cpu") as cpu:
        for table in tables:
            values = difficult_rows(rng, table, "normal")
            engine.load(table.name, values)
            cpu.load(table.name, values)
        assert same_bits(engine.lookup_product(pairs), cpu.lookup_product(pairs))
