# SPDX-License-Identifier: Apache-2.0
"""The path selector, with paths of known cost and a clock that only they move."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from cases import difficult_rows, random_bags, same_bits, seeded
from fakes import FakeCard, fake_driver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import embnic
from embnic.backends.card import CardBackend
from embnic.backends.cpu import CpuBackend
from embnic.backends.reference import ReferenceBackend
from embnic.bags import Bags
from embnic.config import Table
from embnic.errors import ClosedError, ConfigError, DeviceTimeout
from embnic.selector import HALF_LIFE, Cost, Path, SelectBackend, Work, fit, work_of
from embnic.targets import TARGETS, choose, select_paths

TABLES = [
    Table("item", rows=60, dim=16, pooling="sum"),
    Table("user", rows=40, dim=8, pooling="mean", padding_idx=1),
    Table("raw", rows=20, dim=4, pooling="none"),
]
CPU = Cost(10e-6, 100e-9, 0.1e-9, 0.0)
GPU = Cost(200e-6, 1e-9, 0.01e-9, 0.0)
CARD = Cost(60e-6, 20e-9, 0.05e-9, 0.0)


class Clock:
    """A clock that moves only when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class TimedBackend(CpuBackend):
    """The CPU, taking the time of a line times `slow`; can fail, once it is told to."""

    def __init__(self, tables, clock, cost, name):
        super().__init__(tables, engine="numpy")
        self.name = name
        self.clock, self.cost, self.slow, self.jitter = clock, cost, 1.0, None
        self.fails, self.tier, self.calls = None, "here", 0

    def lookup(self, bags, out=None):
        self.calls += 1
        self.fail()
        took = self.cost.seconds(work_of(self._host.tables, bags)) * self.slow
        self.clock.now += took * (
            1.0 if self.jitter is None else float(self.jitter.uniform(0.9, 1.1))
        )
        return super().lookup(bags, out)

    def update(self, table, ids, rows):
        self.fail()
        super().update(table, ids, rows)

    def fail(self):
        if self.fails is not None:
            raise self.fails


def selector(costs, tables=TABLES, **changes):
    """Return a selector over paths of the given costs, loaded with random rows, and the rows."""
    clock = Clock()
    paths = [Path(name, TimedBackend(tables, clock, cost, name)) for name, cost in costs.items()]
    for path in paths:
        for name, value in changes.items():
            setattr(path.backend, name, value)
    chosen = SelectBackend(tables, paths, clock=clock)
    rng = seeded()
    rows = {table.name: difficult_rows(rng, table, "normal") for table in tables}
    for name, stored in rows.items():
        chosen.load(name, stored)
    return chosen, rows, rng


def bags_of(bags, length, rng, tables=TABLES):
    return Bags.from_lists(
        {t.name: rng.integers(0, t.rows, (bags, length)).tolist() for t in tables}
    )


ALL = {"cpu": CPU, "gpu": GPU, "card": CARD}


def test_the_fit_finds_the_line_that_made_the_times():
    samples = [
        (Work(keys, size), CARD.seconds(Work(keys, size)))
        for keys, size in [(1, 64), (64, 64), (64, 9000), (5000, 999_999)]
    ]
    found = fit(samples)
    assert found[:3] == pytest.approx(CARD[:3], rel=1e-6)
    assert found.error < 1e-9


def test_no_part_of_a_fit_is_negative_and_one_sample_is_enough():
    rng = seeded()
    for _ in range(200):
        samples = [
            (
                Work(int(rng.integers(1, 10_000)), int(rng.integers(1, 1 << 20))),
                float(rng.uniform(1e-6, 1)),
            )
            for _ in range(5)
        ]
        found = fit(samples)
        assert min(found[:3]) >= 0
        assert found.seconds(Work(100, 1000)) > 0
    assert fit([(Work(1, 64), 3e-6)]).seconds(Work(1, 64)) == pytest.approx(3e-6)


def test_small_requests_go_to_the_cpu_and_large_ones_to_the_gpu():
    chosen, _, rng = selector(ALL)
    took = {}
    for bags, length in ((1, 1), (40, 10), (400, 60)):
        before = dict(chosen.stats())
        chosen.lookup(bags_of(bags, length, rng))
        after = chosen.stats()
        took[bags] = [
            name
            for name in ALL
            if after[f"select_{name}_requests"] > before[f"select_{name}_requests"]
        ]
    assert took == {1: ["cpu"], 40: ["card"], 400: ["gpu"]}


def test_the_mix_is_within_ten_per_cent_of_the_best_single_path():
    """And with jitter of 10 % in every call, over requests of 3 to 60,000 keys."""
    rng = seeded()
    sizes = [
        (int(b), int(n))
        for b, n in zip(rng.integers(1, 300, 60), rng.integers(1, 70, 60), strict=True)
    ]
    single = {
        name: sum(
            cost.seconds(work_of({t.name: t for t in TABLES}, bags_of(b, n, rng))) for b, n in sizes
        )
        for name, cost in ALL.items()
    }
    chosen, _, _ = selector(ALL, jitter=np.random.default_rng(1))
    start = chosen._clock()
    for bags, length in sizes:
        chosen.lookup(bags_of(bags, length, rng))
    assert chosen._clock() - start <= 1.1 * min(single.values())


def test_a_busy_path_is_left_and_found_again_when_it_is_free():
    chosen, _, rng = selector(ALL)
    gpu, clock = chosen.paths["gpu"], chosen._clock
    large = bags_of(400, 60, rng)
    gpu.backend.slow = 40.0
    for _ in range(6):
        chosen.lookup(large)
    calls = gpu.backend.calls
    chosen.lookup(large)
    assert gpu.backend.calls == calls
    gpu.backend.slow = 1.0
    clock.now += 8 * HALF_LIFE
    chosen.lookup(large)
    assert gpu.backend.calls == calls + 1


def test_one_call_that_was_held_up_changes_nothing():
    chosen, _, rng = selector(ALL)
    gpu = chosen.paths["gpu"]
    large = bags_of(400, 60, rng)
    gpu.backend.slow = 1000.0
    chosen.lookup(large)
    gpu.backend.slow = 1.0
    calls = gpu.backend.calls
    for _ in range(3):
        chosen.lookup(large)
    assert gpu.backend.calls == calls + 3


def test_queued_work_counts():
    chosen, _, rng = selector(ALL)
    bags = bags_of(3, 5, rng)
    assert chosen._work(bags) == work_of(chosen.tables, bags)
    large = work_of(chosen.tables, bags_of(400, 60, rng))
    assert chosen.order(large)[0].name == "gpu"
    chosen.paths["gpu"].queued = lambda: 1.0
    assert [path.name for path in chosen.order(large)] == ["card", "cpu", "gpu"]


def test_a_deadline_prefers_a_path_that_is_sure_to_meet_it():
    chosen, _, _ = selector({"cpu": CPU, "gpu": GPU})
    work = Work(1000, 100_000)
    cpu, gpu = chosen.paths["cpu"], chosen.paths["gpu"]
    cpu.cost, gpu.cost = Cost(100e-6, 0, 0, 0.5), Cost(120e-6, 0, 0, 0.01)
    assert chosen.order(work)[0] is cpu
    assert chosen.order(work, deadline=130e-6)[0] is gpu
    assert chosen.order(work, deadline=200e-6)[0] is cpu
    assert chosen.stats()["select_deadline_unsure"] == 0
    assert chosen.order(work, deadline=50e-6)[0] is cpu  # nobody: the soonest
    assert chosen.stats()["select_deadline_unsure"] == 1


def test_a_path_whose_rows_moved_is_timed_again():
    chosen, _, rng = selector(ALL)
    gpu = chosen.paths["gpu"]
    large = bags_of(400, 60, rng)
    gpu.backend.cost, gpu.backend.tier = Cost(5e-3, 1e-6, 0, 0), "cached"
    chosen.lookup(large)
    assert gpu.tier == "cached"
    assert gpu.cost.seconds(work_of(chosen.tables, large)) == pytest.approx(
        gpu.backend.cost.seconds(work_of(chosen.tables, large)), rel=0.01
    )
    calls = gpu.backend.calls
    chosen.lookup(large)
    assert gpu.backend.calls == calls


def test_a_path_that_fails_is_left_out_and_the_answer_comes_from_another(caplog):
    chosen, rows, rng = selector(ALL)
    reference = ReferenceBackend(TABLES)
    for name, stored in rows.items():
        reference.load(name, stored)
    bags = bags_of(400, 60, rng)
    want = reference.lookup(bags)
    gpu = chosen.paths["gpu"]
    gpu.backend.fails = DeviceTimeout("waiting", waited=1.0)
    with caplog.at_level(logging.WARNING, logger="embnic.select"):
        for _ in range(2):
            got = chosen.lookup(bags)
            assert all(same_bits(got[name], want[name]) for name in want)
    assert [r.message for r in caplog.records] == [
        "path gpu is left out: DeviceTimeout: No answer after 1 s while waiting."
    ]
    assert chosen.stats()["select_lost"] == 1
    assert any("DeviceTimeout" in line for line in chosen.describe())
    # It misses an update, and has it after reattach.
    chosen.update("item", [3], np.ones((1, 16), np.float32))
    gpu.backend.fails = None
    chosen.reattach()
    assert not gpu.lost
    assert np.array_equal(gpu.backend.rows("item")[3], np.ones(16))


def test_a_path_that_misses_an_update_never_answers_again():
    chosen, _, rng = selector(ALL)
    gpu = chosen.paths["gpu"]
    for broken in (DeviceTimeout("waiting", waited=1.0), KeyboardInterrupt()):
        gpu.backend.fails = broken
        if isinstance(broken, KeyboardInterrupt):
            with pytest.raises(KeyboardInterrupt):
                chosen.update("item", [3], np.ones((1, 16), np.float32))
        else:
            chosen.update("item", [3], np.ones((1, 16), np.float32))
        gpu.backend.fails = None
        assert gpu.lost
        got = chosen.lookup(Bags.from_lists({"item": [[3]] * 5000}))
        assert got["item"].min() == got["item"].max() == 1
        chosen.reattach()
        assert not gpu.lost
    del rng


def test_reloading_rows_times_no_path_again():
    chosen, rows, _ = selector(ALL)
    calls = [path.backend.calls for path in chosen.paths.values()]
    chosen.load("item", rows["item"])
    assert [path.backend.calls for path in chosen.paths.values()] == calls
    chosen.measure(again=True)
    assert [path.backend.calls for path in chosen.paths.values()] > calls


def test_a_timed_call_that_is_too_long_for_the_cards_deadline_loses_no_path():
    clock = Clock()
    paths = [Path(name, TimedBackend(TABLES, clock, cost, name)) for name, cost in ALL.items()]
    card = paths[2].backend
    lookup = card.lookup

    def impatient(bags, out=None):
        if bags.keys_total > 200:
            raise DeviceTimeout("waiting", waited=1e-6)
        return lookup(bags, out)

    card.lookup = impatient
    chosen = SelectBackend(TABLES, paths, clock=clock)
    for table in TABLES:
        chosen.load(table.name, np.ones((table.rows, table.dim), np.float32))
    assert not chosen.paths["card"].lost
    assert chosen.paths["card"].cost is not None


def test_a_refused_update_changes_no_path():
    chosen, rows, _ = selector(ALL)
    with pytest.raises(ConfigError):
        chosen.update("item", [60], np.ones((1, 16), np.float32))
    with pytest.raises(ConfigError):
        chosen.load("item", np.ones((2, 2), np.float32))
    for path in chosen.paths.values():
        assert not path.lost
        assert np.array_equal(path.backend.rows("item"), rows["item"])


def test_what_a_path_refuses_is_answered_by_the_cpu():
    chosen, _, rng = selector({"cpu": CPU, "card": Cost(1e-9, 0, 0, 0)})
    chosen.paths["card"].backend.fails = ConfigError("too long.", allowed="short.", do="Cut.")
    got = chosen.lookup(bags_of(3, 3, rng))
    assert got["item"].shape == (3, 16)
    assert chosen.stats()["select_refused"] == 1
    assert chosen.stats()["select_cpu_requests"] == 1
    with pytest.raises(ConfigError, match="out of range"):
        chosen.lookup(Bags.from_lists({"item": [[60]]}))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("lookup"), st.integers(0, 40), st.integers(0, 12)),
        st.tuples(st.just("update"), st.integers(0, 2), st.integers(0, 30)),
        st.tuples(st.just("load"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("slow"), st.sampled_from([0, 1, 2]), st.sampled_from([0, 1, 30])),
        st.tuples(st.just("fail"), st.sampled_from([1, 2]), st.just(0)),
        st.tuples(st.just("heal"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@given(steps=STEPS, seed=st.integers(0, 1 << 30))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_happens_the_answer_is_the_references(steps, seed):
    """Paths of random speed, slowed down, failing, healed, updated: every lookup has the reference's bits."""
    rng = np.random.default_rng(seed)
    clock = Clock()
    costs = {name: Cost(*rng.uniform(0, [1e-4, 1e-6, 1e-9]).tolist(), 0.0) for name in ALL}
    backends = {name: TimedBackend(TABLES, clock, cost, name) for name, cost in costs.items()}
    chosen = SelectBackend(
        TABLES, [Path(name, backend) for name, backend in backends.items()], clock=clock
    )
    reference = ReferenceBackend(TABLES)
    for table in TABLES:
        rows = difficult_rows(rng, table, "special")
        chosen.load(table.name, rows)
        reference.load(table.name, rows)
    for what, first, second in steps:
        if what == "lookup":
            parts = [random_bags(rng, table, first, longest=second) for table in TABLES]
            bags = Bags({name: part[name] for part in parts for name in part})
            got, want = chosen.lookup(bags), reference.lookup(bags)
            assert all(same_bits(got[name], want[name]) for name in want)
        elif what in ("update", "load"):
            table = TABLES[first]
            rows = difficult_rows(rng, table, "special")
            if what == "load":
                chosen.load(table.name, rows)
                reference.load(table.name, rows)
            else:
                ids = rng.integers(0, table.rows, min(second, table.rows))
                for backend in (chosen, reference):
                    backend.update(table.name, ids, rows[: len(ids)])
        elif what == "slow":
            list(backends.values())[first].slow = float(second)
        elif what == "fail":
            list(backends.values())[first].fails = DeviceTimeout("waiting", waited=1.0)
        else:
            for backend in backends.values():
                backend.fails = None
            chosen.reattach()


# -- as a target -------------------------------------------------------------------------------------------------------


def test_a_card_is_a_path_and_its_bags_are_counted_as_the_cards():
    tables = TABLES[:2]
    card = FakeCard()
    paths = [
        Path("cpu", CpuBackend(tables)),
        Path("fake", CardBackend(tables, fake_driver(card), name="fake", release=card.close)),
    ]
    rng = seeded()
    reference = ReferenceBackend(tables)
    with embnic.Engine(tables, SelectBackend(tables, paths)) as engine:
        for table in tables:
            rows = difficult_rows(rng, table, "normal")
            engine.load(table.name, rows)
            reference.load(table.name, rows)
        select = engine._backend
        select.paths["fake"].cost, select.paths["cpu"].cost = Cost(1e-9, 0, 0, 0), Cost(1, 0, 0, 0)
        bags = bags_of(6, 4, rng, tables)
        got, want = engine.lookup(bags, deadline=10.0), reference.lookup(bags)
        assert all(same_bits(got[name], want[name]) for name in want)
        assert (engine.stats().bags_by_card, engine.stats().bags_by_cpu) == (12, 0)
        engine.reattach()
        assert engine.stats().reattached == 1


def test_open_takes_the_paths_that_are_named():
    with embnic.open(TABLES, target="select:cpu") as engine:
        assert engine.target == "select"
        for table in TABLES:
            engine.load(table.name, np.ones((table.rows, table.dim), np.float32))
        assert engine.lookup(Bags.from_lists({"item": [[1, 2]]}), deadline=1.0)[
            "item"
        ].tolist() == [[2.0] * 16]
        assert engine.stats().card["select_cpu_requests"] == 1
    with pytest.raises(ClosedError):
        engine.lookup(Bags.from_lists({"item": [[1]]}))


def test_a_deadline_of_a_lookup_needs_the_selector():
    with embnic.open(TABLES, target="cpu") as engine:
        engine.load("item", np.ones((60, 16), np.float32))
        with pytest.raises(ConfigError, match="on the target 'cpu'"):
            engine.lookup(Bags.from_lists({"item": [[1]]}), deadline=1.0)


def test_the_names_of_paths_are_checked():
    assert select_paths("rtl+cpu") == ["rtl", "cpu"]
    assert select_paths("gpu") == ["gpu", "cpu"]
    assert "cpu" in select_paths("")
    assert choose("select:rtl+cpu", {}).configuration == "rtl+cpu"
    assert TARGETS["select"].asked_only
    for wrong in ("fpga", "cpu+cpu", "select", "reference"):
        with pytest.raises(ConfigError, match="joined by"):
            select_paths(wrong)
    assert select_paths("pynq") == ["pynq", "cpu"]


def test_the_cpu_must_be_one_of_the_paths():
    with pytest.raises(ConfigError, match="'cpu' among them"):
        SelectBackend(TABLES, [Path("gpu", CpuBackend(TABLES))])
