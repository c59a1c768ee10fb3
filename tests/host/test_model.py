# SPDX-License-Identifier: Apache-2.0
"""The fast model: its Python twin, the tag rules, the other geometries, and the target."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

import embnic
from embnic.backends.cpu import native_module
from embnic.backends.model import ModelBackend
from embnic.errors import ConfigError
from embnic.gen import registers
from embnic.model import FBGEMM_COUNTERS, CacheModel, CardModel, Geometry, Requests
from embnic.traffic import BagLengths, read_rows

TRACE = Path(__file__).resolve().parents[3] / "shared" / "traces" / "meta_t500k_reuse_medium.txt"
ENGINES = ["native", "python"] if native_module() else ["python"]
needs_native = pytest.mark.skipif(not native_module(), reason="the extension was not built")


def seeded() -> np.random.Generator:
    seed = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 30))
    print(f"replay with EMBNIC_SEED={seed}")
    return np.random.default_rng(seed)


def tables(pooling: str) -> list[embnic.Table]:
    return [
        embnic.Table("a", rows=100, dim=64, pooling=pooling, padding_idx=3),
        embnic.Table("b", rows=5000, dim=24, pooling=pooling, dtype="int8"),
        embnic.Table("c", rows=300, dim=100, pooling=pooling, dtype="fp16"),
    ]


def traffic(rng, given, *, longest: int = 0) -> embnic.Bags:
    parts = {}
    for table in given:
        lengths = rng.integers(0, 30, 40)
        lengths[7] = max(longest, lengths[7])
        ids = (rng.random(int(lengths.sum())) ** 3 * table.rows).astype(np.int64)
        parts[table.name] = (ids, np.concatenate([[0], np.cumsum(lengths)]))
    return embnic.Bags.from_torch(parts, include_last_offset=True)


@needs_native
@pytest.mark.parametrize("config", ["tiny", "edge", "line100"])
@pytest.mark.parametrize("pooling", ["sum", "mean"])
def test_the_twin_takes_the_same_steps_as_the_native_code(config, pooling):
    rng, given = seeded(), tables(pooling)
    pair = [ModelBackend(given, config, engine=engine) for engine in ENGINES]
    for table in given:
        rows = rng.standard_normal((table.rows, table.dim), dtype=np.float32)
        for backend in pair:
            backend.load(table.name, rows)
    for longest in (0, 700):  # the second needs several frames
        bags = traffic(rng, given, longest=longest)
        for backend in pair:
            backend.card.record(1 << 20)
            backend.lookup(bags)
            backend.card.invalidate(0, np.arange(9))
        first, second = (backend.card.decisions() for backend in pair)
        assert len(first.keys) > 1000
        assert all(np.array_equal(x, y) for x, y in zip(first, second, strict=True))
        assert pair[0].stats() == pair[1].stats()


@needs_native
@pytest.mark.parametrize(
    "geometry",
    [
        *(Geometry(ways, sets) for ways in (1, 2, 4, 8) for sets in (2, 16)),
        Geometry(20, 1, "lru"),
        Geometry(32, 3, "fbgemm"),
    ],
    ids=str,
)
def test_the_twins_caches_count_as_the_native_ones(geometry):
    rng = seeded()
    pair = [CacheModel(geometry, engine=engine) for engine in ENGINES]
    for _ in range(5):
        keys = rng.integers(0, 200, 400).astype(np.uint64) << np.uint64(8)
        found = [cache.feed(keys) for cache in pair]
        assert found[0] == found[1]
    if geometry.kind == "card":
        keys, allocate = rng.integers(0, 100, 500).astype(np.uint64), rng.random(500) < 0.8
        first, second = (cache.decide(keys, allocate) for cache in pair)
        assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
        assert len(np.unique(first[1])) >= 3


@pytest.mark.parametrize("engine", ENGINES)
def test_fbgemm_counts_what_a_full_set_cannot_hold(engine):
    """Five rows of a one-set cache of four ways: one conflict, asked for twice."""
    cache = CacheModel(Geometry(4, 1, "fbgemm"), engine=engine)
    found = cache.feed(np.array([1, 2, 3, 4, 5, 5], np.uint64))
    assert list(found) == list(FBGEMM_COUNTERS)
    assert list(found.values()) == [1, 6, 5, 5, 1, 2]
    found = cache.feed(np.array([1, 5], np.uint64))  # row 1 stays, row 5 replaces the oldest other
    assert list(found.values()) == [2, 8, 7, 6, 1, 2]


@pytest.mark.skipif(not TRACE.is_file(), reason=f"the trace {TRACE.name} is not here")
@pytest.mark.parametrize(
    ("geometry", "least", "most"),
    [
        (Geometry(4, 1024), 0.662, 0.6728),
        (Geometry(8, 512), 0.668, 0.6728),
        (Geometry(4096, 1, "lru"), 0.67275, 0.67285),
    ],
    ids=["4-way", "8-way", "lru"],
)
def test_hit_rates_of_4096_rows_on_metas_trace(geometry, least, most):
    if not native_module() and geometry.kind == "card":
        pytest.skip("too slow without the extension")
    rows = read_rows(TRACE, BagLengths()).values
    found = CacheModel(geometry).feed(rows.astype(np.uint64) << np.uint64(8))
    rate = found["hits"] / found["lookups"]
    print(f"{geometry}: {rate:.4%} of {found['lookups']:,} rows")
    assert found["lookups"] == 429_951
    assert least <= rate <= most


def test_the_target_answers_with_the_cpus_bits_and_the_cards_counters():
    rng, given = seeded(), tables("sum")
    with (
        embnic.open(given, target="model:line100") as engine,
        embnic.open(given, target="cpu") as cpu,
    ):
        for table in given:
            rows = rng.standard_normal((table.rows, table.dim), dtype=np.float32)
            engine.load(table.name, rows)
            cpu.load(table.name, rows)
        bags = traffic(rng, given)
        first, second = engine.lookup(bags), cpu.lookup(bags)
        for name in bags:
            assert np.array_equal(first[name].view(np.uint8), second[name].view(np.uint8))
        card = engine.stats().card
        assert card["bags"] == bags.bags_total and card["requests"] > 0
        assert (
            card["row_hits"] + card["row_misses"] + card["keys_null"] + card["keys_padding"]
            == card["keys"]
        )
        parts = ("exec_beats", "exec_empty", "exec_fetch", "exec_hazard")
        assert sum(card[name] for name in parts) == card["cycles"] > 0
        assert min(card.values()) >= 0
        known = {counter.name for counter in registers.COUNTERS}
        assert set(card) <= known


@pytest.mark.skipif(not native_module(), reason="the native extension is not built")
def test_trees_and_merges_take_the_same_cycles_in_both_engines():
    rng = seeded()
    tables = [
        embnic.Table("tree", rows=90, dim=40, pooling="sum", order="tree", tree_k=8, padding_idx=3),
        embnic.Table("split", rows=90, dim=40, pooling="mean", order="split"),
    ]
    requests = []
    for number in range(2):
        lengths = rng.integers(1, 30, 50)
        rows = rng.integers(0, 90, int(lengths.sum())).astype(np.uint64)
        keys = rows | np.uint64(number << 48)
        keys[np.cumsum(lengths) - 1] |= np.uint64(1 << 63)
        flags = rng.integers(0, 4, 50) << 8 if number else np.zeros(50, np.int64)
        splits = np.concatenate([[0], np.cumsum(lengths)])
        requests.append(Requests(keys, splits, np.full(50, 3), flags))
    found = []
    for engine in ("native", "python"):
        card = CardModel("line100", engine=engine)
        for number, table in enumerate(tables):
            card.define(number, table, 4096 * (1 + number * 100))
        for asked in requests:
            card.run(asked)
        found.append(card.counters())
    assert found[0] == found[1]
    beats = 3 * int(sum(len(asked.keys) for asked in requests))
    assert found[0]["exec_beats"] > beats, "nothing was combined or merged"


@pytest.mark.parametrize("engine", ENGINES)
def test_an_update_drops_the_rows_lines(engine):
    table = embnic.Table("item", rows=10, dim=256, pooling="sum")  # four lines a row on line100
    backend = ModelBackend([table], "line100", engine=engine)
    backend.load("item", np.zeros((10, 256), np.float32))
    bags = embnic.Bags.from_lists({"item": [[1], [2]]})
    backend.lookup(bags)
    backend.update("item", [1], np.ones((1, 256), np.float32))
    before = backend.stats()
    assert backend.lookup(bags)["item"][:, 0].tolist() == [1, 0]
    after = backend.stats()
    assert after["line_misses"] - before["line_misses"] == 4
    assert after["line_hits"] - before["line_hits"] == 4


def test_wrong_geometries_and_configurations_are_refused():
    for wrong in (("card", 3, 8), ("card", 4, 6), ("lru", 8, 2), ("fbgemm", 65, 1), ("lfu", 4, 4)):
        with pytest.raises(ConfigError, match="The geometry is"):
            Geometry(wrong[1], wrong[2], wrong[0])
    with pytest.raises(ConfigError, match="The configuration is 'huge'"):
        CardModel("huge")
    with pytest.raises(ConfigError, match="engine is 'fpga'"):
        CacheModel(engine="fpga")
    with pytest.raises(ConfigError, match="keys are int64"):
        CacheModel().feed(np.zeros(3, np.int64))
