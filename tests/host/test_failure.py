# SPDX-License-Identifier: Apache-2.0
"""Losing a card in the middle of a run: no wrong answer, no lost answer, counted, logged once.

Here on the fake card, in every phase; `tests/system/test_card_failure.py` does it on the core.
"""

import dataclasses

import numpy as np
import pytest
from cases import FORMATS, difficult_rows, random_bags, same_bits, seeded, table_of
from fakes import EVERY_FORMAT, FakeCard, Faults, fake_engine

import embnic
from embnic.backends.reference import ReferenceBackend
from embnic.exchange import Timing
from embnic.gen.wire import Status

TABLES = [
    embnic.Table("item", rows=60, dim=20, pooling="sum"),
    embnic.Table("user", rows=40, dim=100, pooling="mean", padding_idx=2),
]


def traffic(rng, bags=25):
    parts = [random_bags(rng, table, bags, longest=60) for table in TABLES]
    return embnic.Bags({name: part[name] for part in parts for name in part})


class Run:
    """An engine on a fake card beside the reference; counts every bag asked for."""

    def __init__(self, rng, faults=None, **options):
        self.rng = rng
        self.card = FakeCard(seed=int(rng.integers(1 << 30)))
        self.engine = fake_engine(TABLES, self.card, **options)
        self.reference = ReferenceBackend(TABLES)
        for table in TABLES:
            rows = difficult_rows(rng, table, "special")
            self.engine.load(table.name, rows)
            self.reference.load(table.name, rows)
        self.card.events.clear()
        self.card.faults = faults or Faults()
        self.asked = 0

    def lookup(self):
        bags = traffic(self.rng)
        self.asked += bags.bags_total
        pooled, expected = self.engine.lookup(bags), self.reference.lookup(bags)
        for name in bags:
            assert same_bits(pooled[name], expected[name]), name

    def update(self):
        table = TABLES[int(self.rng.integers(len(TABLES)))]
        ids = self.rng.integers(0, table.rows, 12)
        rows = self.rng.standard_normal((12, table.dim), dtype=np.float32)
        self.engine.update(table.name, ids, rows)
        self.reference.update(table.name, ids, rows)

    def some(self):
        for _ in range(3):
            self.lookup()
            self.update()
        self.lookup()

    def check_counts(self):
        stats = self.engine.stats()
        assert stats.bags == self.asked == stats.bags_by_card + stats.bags_by_cpu
        return stats


@pytest.mark.parametrize("bus_error", [False, True], ids=["silent", "bus-error"])
@pytest.mark.parametrize("phase", ["request", "miss", "reply", "update", "bus"])
def test_a_card_that_dies_in_any_phase_costs_no_answer(phase, bus_error, caplog):
    rng = seeded()
    for trial in range(4):
        caplog.clear()
        last = 4 if phase == "update" else 6  # there are three updates, of a frame or more each
        run = Run(rng, Faults(die=(phase, int(rng.integers(1, last))), bus_error=bus_error))
        if phase == "bus":
            run.lookup()
            run.engine.stats()  # reads registers
        run.some()
        stats = run.check_counts()
        assert run.card.dead, f"{phase} was not reached in trial {trial}"
        if phase != "bus" or bus_error:
            assert sum(stats.fallback_total.values()) == 1
            assert stats.bags_by_cpu > 0
            assert run.engine.target == "cpu" and run.engine.state == "fallback"
            assert caplog.text.count("is lost") == 1
        run.engine.close()


def test_answers_that_came_before_the_loss_are_kept():
    rng = seeded()
    run = Run(rng, Faults(die=("request", 8)))
    run.lookup()
    stats = run.check_counts()
    assert 0 < stats.bags_by_card < stats.bags
    assert stats.bags_by_cpu > 0


@pytest.mark.parametrize("dtype", FORMATS)
def test_answers_of_every_format_are_kept_and_completed(dtype):
    """Some bags from the card, the rest from the CPU, also from rows quantised here."""
    rng = seeded()
    card = FakeCard()
    tables = [
        dataclasses.replace(
            table_of(dtype, rows=40, dim=21, pooling=pooling, padding_idx=2), name=pooling
        )
        for pooling in ("sum", "mean", "max")
    ]
    engine, reference = fake_engine(tables, card, **EVERY_FORMAT), ReferenceBackend(tables)
    for table in tables:
        rows, fresh = rng.standard_normal((2, 40, 21), dtype=np.float32)
        for target in (engine, reference):
            target.load(table.name, rows)
            target.update(table.name, np.arange(0, 40, 2), fresh[:20])
    card.events.clear()
    card.faults = Faults(die=("request", 5))
    parts = [random_bags(rng, table, 60, longest=40) for table in tables]
    bags = embnic.Bags({name: part[name] for part in parts for name in part})
    pooled, expected = engine.lookup(bags), reference.lookup(bags)
    for name in bags:
        assert same_bits(pooled[name], expected[name]), name
    stats = engine.stats()
    assert stats.bags_by_card > 0
    assert stats.bags_by_cpu > 0
    engine.close()


@pytest.mark.parametrize(
    "status",
    [
        Status.MEMORY_ERROR,
        Status.UNKNOWN_TABLE,
        Status.TABLE_MISMATCH,
        Status.OUT_OF_RANGE,
        Status.TOO_LARGE,
    ],
)
def test_a_status_that_the_caller_did_not_cause_moves_the_traffic(status):
    run = Run(seeded())
    run.lookup()
    run.card.faults = Faults(status={run.card.lookups + 3: status})
    run.some()
    stats = run.check_counts()
    assert dict(stats.fallback_total) == {"DeviceFault": 1}
    assert run.engine.state == "fallback"


def test_an_update_that_was_not_acknowledged_is_not_lost():
    for phase in ("update", "memory"):
        run = Run(seeded(), Faults(die=(phase, 1)))
        if phase == "memory":  # the client table is full, updates go through the memory port
            run.card.clients = {1: (0, set()), 2: (0, set())}
        run.update()
        assert run.card.dead
        assert run.engine.state == ("fallback" if phase == "update" else run.engine.state)
        run.some()
        assert run.check_counts().fallback_total


def test_reattach_moves_back_with_every_update():
    run = Run(seeded(), Faults(die=("update", 2)))
    run.some()
    assert run.engine.state == "fallback"
    by_card = run.check_counts().bags_by_card
    run.card.revive()
    run.engine.reattach()
    assert run.engine.state == "open" and run.engine.target == "fake"
    run.some()
    stats = run.check_counts()
    assert stats.bags_by_card - by_card == 4 * 50
    assert stats.reattached == 1


def test_reattach_after_a_reset_loads_everything_again():
    run = Run(seeded(), Faults(die=("reply", 1)))
    run.some()
    run.card.reset()
    run.card.faults = Faults()
    run.card.memory[:] = 0xA5
    run.engine.reattach()
    run.some()
    assert run.check_counts().bags_by_card > 0
    assert run.engine.state == "open"


def test_reattach_to_a_card_that_is_still_dead_raises_and_the_cpu_goes_on():
    run = Run(seeded(), Faults(die=("request", 1)))
    run.some()
    for _ in range(2):
        with pytest.raises((embnic.DeviceError, embnic.LinkError, embnic.ContractMismatch)):
            run.engine.reattach()
        assert run.engine.state == "fallback"
        run.some()
    run.check_counts()


def test_reattach_refuses_a_card_of_another_identity():
    run = Run(seeded(), Faults(die=("request", 1)))
    run.some()
    run.card.identity["CONTRACT_HASH"] = 0xBAD
    run.card.reset()
    with pytest.raises(embnic.ContractMismatch, match="contract hash"):
        run.engine.reattach()
    assert run.engine.state == "fallback"
    run.some()
    run.check_counts()


def test_losing_the_card_twice_is_counted_twice():
    run = Run(seeded(), Faults(die=("request", 2)))
    run.some()
    run.card.reset()
    run.card.events.clear()
    run.engine.reattach()
    run.some()
    assert dict(run.check_counts().fallback_total) == {"DeviceTimeout": 2}


def test_a_card_lost_during_load_still_has_its_rows_on_the_cpu():
    rng = seeded()
    run = Run(rng)
    run.card.events.clear()
    run.card.faults = Faults(die=("memory", 1), bus_error=True)
    rows = difficult_rows(rng, TABLES[0], "normal")
    run.engine.load("item", rows)
    run.reference.load("item", rows)
    assert run.engine.state == "fallback"
    run.some()
    run.check_counts()


def test_without_fallback_the_error_is_raised_until_reattach():
    run = Run(seeded(), Faults(die=("request", 1)), fallback=False)
    with pytest.raises(embnic.DeviceTimeout):
        run.lookup()
    with pytest.raises(embnic.LinkError, match="reattach"):
        run.lookup()
    with pytest.raises(embnic.LinkError, match="reattach"):
        run.update()
    run.card.revive()
    run.engine.reattach()
    run.asked = 0
    run.lookup()
    assert run.engine.stats().bags == 50


def test_without_fallback_an_update_that_failed_is_in_force_after_reattach():
    run = Run(seeded(), Faults(die=("update", 1)), fallback=False)
    rows = np.ones((1, 20), np.float32)
    with pytest.raises(embnic.DeviceTimeout):
        run.engine.update("item", [3], rows)
    run.reference.update("item", [3], rows)
    run.card.revive()
    run.engine.reattach()
    run.some()


def test_an_interrupted_update_leaves_no_old_row_in_force(monkeypatch):
    run = Run(seeded())

    def interrupted(*_):
        raise KeyboardInterrupt

    ids, rows = np.arange(60), np.ones((60, 20), np.float32)
    with monkeypatch.context() as patch:
        patch.setattr(run.card, "recv", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.engine.update("item", ids, rows)
    run.reference.update("item", ids, rows)
    assert run.engine.state == "fallback"
    run.lookup()
    run.engine.reattach()
    run.lookup()
    assert run.engine.state == "open"


def test_a_reattach_that_fails_on_a_serving_card_moves_the_traffic(monkeypatch):
    run = Run(seeded())
    with monkeypatch.context() as patch:
        patch.setattr(run.engine._card, "reattach", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run.engine.reattach()
    assert run.engine.state == "fallback"
    run.lookup()


def test_a_deadline_holds_while_a_long_bag_is_continued():
    timing = Timing(
        retry=2e-4, patience=4e-3, deadline=5e-5
    )  # the bag takes about 3e-4 on the fake card
    run = Run(seeded(), timing=timing, fallback=False)
    long_bag = embnic.Bags.from_lists({"item": [[1] * 9000]})
    with pytest.raises(embnic.DeviceTimeout):
        run.engine.lookup(long_bag)
