# SPDX-License-Identifier: Apache-2.0
"""Pins and prefetches: what the driver sends, what the engine promises, the hazards of FBGEMM issue 1893 by name."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
from fakes import FakeCard, fake_driver, fake_engine
from hypothesis import given, settings
from hypothesis import strategies as st

import embnic
from embnic.backends.cpu import native_module
from embnic.backends.model import ModelBackend
from embnic.engine import Engine
from embnic.errors import ConfigError
from embnic.gen.wire import KEY_TABLE_SHIFT, Hold
from embnic.model import CacheModel, Geometry
from embnic.residency import Prefetched

ITEM = embnic.Table("item", rows=200, dim=16, pooling="sum")
USER = embnic.Table("user", rows=100, dim=40, pooling="sum", dtype="int8")
ENGINES = ["native", "python"] if native_module() else ["python"]
DROP, LOOK, RELEASE, FETCH, LOCK, PIN = range(6)
HIT, EVICT, KEPT, NO_WAY, REFUSED, PINNED, HELD = (2 << bit for bit in range(7))


def rows_of(table: embnic.Table, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((table.rows, table.dim), np.float32)


def on_a_fake():
    card = FakeCard()
    engine = fake_engine([ITEM, USER], card)
    for table in (ITEM, USER):
        engine.load(table.name, rows_of(table))
    return card, engine


def test_pins_travel_in_frames_of_one_table_and_each_id_once():
    card, engine = on_a_fake()
    ids = np.arange(200)
    found = engine.pin("item", np.concatenate([ids, ids[:50]]))
    assert found == Prefetched(rows=200, granted=200, there=0)
    assert [hold for hold, _ in card.prefetched] == [Hold.PIN] * 2, "180 keys fit a frame"
    assert sorted(key for _, keys in card.prefetched for key in keys) == ids.tolist()
    assert engine.prefetch("item", [3, 4]) == Prefetched(rows=2, granted=2, there=2)
    assert engine.unpin("item", [3]) == Prefetched(rows=1, granted=1, there=1)
    assert engine.stats().card["prefetch_rows"] == 203
    engine.close()


def test_pins_come_back_after_everything_that_empties_the_cache():
    card, engine = on_a_fake()
    engine.pin("user", [7, 5, 9])
    engine.pin("item", [1])
    engine.unpin("user", [5])
    wanted = {1 << KEY_TABLE_SHIFT | 7, 1 << KEY_TABLE_SHIFT | 9, 1}

    def pinned() -> set[int]:
        return {key for key, hold in card.cached.items() if hold == Hold.PIN}

    assert pinned() == wanted
    engine.load("item", rows_of(ITEM, 1))
    assert pinned() == wanted
    engine.configure_cache(cached_ways=0, admission=True)
    assert pinned() == wanted and card.reg("CACHE") == 0x10
    card.reset()
    engine.reattach()
    assert pinned() == wanted and card.reg("CACHE") == 0x10
    card.dead = True
    engine.lookup(embnic.Bags.from_lists({"item": [[1]]}))  # the card is lost here
    assert engine.state == "fallback"
    assert engine.pin("item", [2]) == Prefetched(rows=1), "nothing holds it now"
    card.revive()
    engine.reattach()
    assert pinned() == wanted | {2}
    engine.close()


def test_a_fill_writes_and_brings_the_rows():
    _, engine = on_a_fake()
    new = rows_of(ITEM, 5)[:2]
    engine.fill("item", [3, 4], new, hold="pin")
    got = engine.lookup(embnic.Bags.from_lists({"item": [[3], [4]]}))["item"]
    assert np.array_equal(got, new)
    assert engine.stats().updates == 1
    engine.close()


@pytest.mark.parametrize("target", ["reference", "cpu", "model"])
def test_every_target_takes_pins_and_answers_the_same(target):
    rows = rows_of(ITEM)
    bags = embnic.Bags.from_lists({"item": [[1, 2, 2], [], [199]]})
    with embnic.open([ITEM], target=target) as engine:
        engine.load("item", rows)
        before = engine.lookup(bags)["item"]
        found = engine.pin("item", [1, 2, 2])
        assert found.rows == 2 and found.granted == (2 if target == "model" else 0)
        engine.configure_cache(cached_ways=2, admission=True)
        engine.fill("item", [5], rows[:1], hold="lock")
        assert np.array_equal(engine.lookup(bags)["item"], before)
        engine.unpin("item", [1])
        for wrong in ([200], [-1]):
            with pytest.raises(ConfigError, match="out of range"):
                engine.pin("item", wrong)
        with pytest.raises(ConfigError, match="does not exist"):
            engine.prefetch("nobody", [1])
        with pytest.raises(ConfigError, match="release"):
            engine.fill("item", [5], rows[:1], hold="release")


def test_a_split_beyond_the_ways_is_refused():
    driver = fake_driver(FakeCard())
    driver.attach()
    with pytest.raises(ConfigError, match="cached_ways"):
        driver.configure_cache(cached_ways=3)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pinned_row_hits_through_updates_and_pressure(engine):
    """On the model: every later lookup of a pinned row but the first after an update is a hit."""
    backend = ModelBackend([ITEM], "tiny", engine=engine)
    with Engine([ITEM], backend) as served:
        served.load("item", rows_of(ITEM))
        assert served.pin("item", [0, 1, 2]).granted == 3
        for turn in range(4):
            served.update("item", [1], rows_of(ITEM, turn)[:1])
            served.lookup(embnic.Bags.from_lists({"item": [list(range(10, 190))]}))
            before = served.stats().card
            served.lookup(
                embnic.Bags.from_lists(
                    {
                        "item": [[0, 1, 2]],
                    }
                )
            )
            after = served.stats().card
            assert after["pinned_hits"] - before["pinned_hits"] == 2, "the updated row missed"
            served.lookup(embnic.Bags.from_lists({"item": [[1]]}))
            assert served.stats().card["pinned_hits"] - after["pinned_hits"] == 1
        assert served.stats().card["prefetch_rows"] == 3


# The hazards of prefetching that FBGEMM issue 1893 lists, as properties of the tag rules that RTL and model share.
# Keys of two sets; commands in any order.

KEYS = [row << 8 for row in range(12)]
STEPS = st.lists(
    st.tuples(st.sampled_from([DROP, LOOK, RELEASE, FETCH, LOCK, PIN]), st.sampled_from(KEYS)),
    min_size=1,
    max_size=120,
)


def decide(steps, *, ways, cached_ways, admission):
    cache = CacheModel(Geometry(ways, 2), engine="python")
    cache.configure(cached_ways=cached_ways, admission=admission)
    keys = np.array([key for _, key in steps], np.uint64)
    return cache.decide(keys, np.array([command for command, _ in steps]))


@settings(max_examples=150, deadline=None, derandomize=os.environ.get("CI") == "1")
@given(STEPS, st.sampled_from([2, 4]), st.integers(0, 4), st.booleans())
def test_hazard_premature_eviction(steps, ways, cached_ways, admission):
    """A locked row stays until it is looked up, dropped or released; a pinned one until it is released."""
    lines, flags = decide(steps, ways=ways, cached_ways=cached_ways, admission=admission)
    locked: dict[int, int] = {}
    pinned: dict[int, int] = {}
    valid: set[int] = set()
    for (command, key), line, found in zip(steps, lines.tolist(), flags.tolist(), strict=True):
        if command == LOOK and key in locked and key in valid:
            assert found & HIT and line == locked[key], "evicted before it was used"
        if command == LOOK and key in pinned:
            assert line == pinned[key] and bool(found & HIT) == (key in valid)
        if line >= 0:
            assert line not in {**locked, **pinned}.values() or line in (
                locked.get(key),
                pinned.get(key),
            ), "a held line was given to another row"
            valid.add(key)
        if command in (LOOK, DROP, RELEASE):
            locked.pop(key, None)
        if command == DROP:
            valid.discard(key)
        if command == RELEASE:
            pinned.pop(key, None)
        if found & HELD:
            (locked if command == LOCK else pinned)[key] = line


@settings(max_examples=150, deadline=None, derandomize=os.environ.get("CI") == "1")
@given(STEPS, st.sampled_from([2, 4]), st.booleans())
def test_hazard_a_set_without_a_way_left(steps, ways, admission):
    """Holds leave the ways that they must: every lookup and fetch finds a way, unless the filter refuses it."""
    for cached_ways in range(1, ways + 1):
        lines, flags = decide(steps, ways=ways, cached_ways=cached_ways, admission=admission)
        for (command, _), line, found in zip(steps, lines.tolist(), flags.tolist(), strict=True):
            assert not found & NO_WAY
            if command not in (DROP, RELEASE):
                assert (line >= 0) != bool(found & REFUSED)
            if command == PIN and cached_ways == ways:
                assert not found & HELD


@settings(max_examples=25, deadline=None, derandomize=os.environ.get("CI") == "1")
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["lookup", "update", "fill", "prefetch", "pin", "unpin"]),
            st.lists(st.integers(0, 19), min_size=1, max_size=6),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_hazard_dirty_line(steps):
    """Whatever is held when a row is written, the next lookup sees what was written: no line is ever dirty."""
    table = embnic.Table("item", rows=20, dim=16, pooling="sum")
    backend = ModelBackend([table], "tiny", engine="python")
    held = np.zeros((20, 16), np.float32)
    dropped: set[int] = set()
    with Engine([table], backend) as engine:
        engine.load("item", held)
        for number, (action, ids) in enumerate(steps):
            ids = list(dict.fromkeys(ids))
            if action in ("update", "fill"):
                rows = np.full((len(ids), 16), number + 1, np.float32)
                held[ids] = rows
                getattr(engine, action)("item", ids, rows)
                dropped = dropped | set(ids) if action == "update" else dropped - set(ids)
            elif action == "lookup":
                before = engine.stats().card["row_hits"]
                got = engine.lookup(embnic.Bags.from_lists({"item": [[row] for row in ids]}))
                assert np.array_equal(got["item"], held[ids])
                hits = engine.stats().card["row_hits"] - before
                assert hits <= len(set(ids) - dropped), "a row that was written hit"
                dropped -= set(ids)
            elif action == "prefetch":
                engine.prefetch("item", ids, hold="lock")
                dropped -= set(ids)
            else:
                getattr(engine, action)("item", ids)
                dropped -= set(ids) if action == "pin" else set()


@pytest.mark.skipif(not native_module(), reason="the extension was not built")
@pytest.mark.parametrize("ways", [1, 2, 4, 8])
def test_the_twin_decides_as_the_native_code(ways):
    seed = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 30))
    print(f"replay with EMBNIC_SEED={seed}")
    rng = np.random.default_rng(seed)
    for cached_ways in range(ways + 1):
        for admission in (False, True):
            pair = [CacheModel(Geometry(ways, 4), engine=name) for name in ENGINES]
            keys = (rng.zipf(1.3, 3000) % 60).astype(np.uint64) << np.uint64(8)
            commands = rng.choice(
                [DROP, LOOK, RELEASE, FETCH, LOCK, PIN], 3000, p=[0.05, 0.75, *[0.05] * 4]
            )
            found = []
            for cache in pair:
                cache.configure(cached_ways=cached_ways, admission=admission)
                found.append(cache.decide(keys, commands))
            assert all(np.array_equal(x, y) for x, y in zip(*found, strict=True))
            seen = np.bitwise_or.reduce(found[0][1])
            assert seen & (HIT | EVICT | KEPT) == HIT | EVICT | KEPT
            assert bool(seen & REFUSED) == admission
