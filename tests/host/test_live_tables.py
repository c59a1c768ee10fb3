# SPDX-License-Identifier: Apache-2.0
"""Add, drop and grow tables while lookups run; also on a card, and on the CPU after the card was lost."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from cases import FORMATS, difficult_rows, random_bags, same_bits, seeded, table_of
from fakes import EVERY_FORMAT, FakeCard, Faults, fake_driver, fake_engine

import embnic
from embnic.backends.cpu import CpuBackend
from embnic.backends.reference import ReferenceBackend
from embnic.card_tables import CardMemory
from embnic.selector import Path, SelectBackend

FIRST = embnic.Table("first", rows=30, dim=20, pooling="sum")
SECOND = embnic.Table("second", rows=25, dim=7, pooling="mean", padding_idx=2)


def _numpy(tables):
    return embnic.Engine(tables, CpuBackend(tables, engine="numpy"))


def _card(tables):
    return fake_engine(tables, FakeCard(), **EVERY_FORMAT)


def _fallback(tables):
    engine = _card(tables)
    engine._card.driver._link.dead = True
    return engine


def _open(target):
    return lambda tables: embnic.open(tables, target)


TARGETS = {
    "reference": _open("reference"),
    "cpu": _open("cpu"),
    "numpy": _numpy,
    "model": _open("model:tiny"),
    "card": _card,
    "fallback": _fallback,
}


class Twin:
    """An engine beside rows kept here, from which a fresh reference is made for every comparison."""

    def __init__(self, make, rng) -> None:
        self.rng = rng
        self.tables = {"first": FIRST}
        self.rows = {"first": difficult_rows(rng, FIRST, "special")}
        self.engine = make([FIRST])
        self.engine.load("first", self.rows["first"])

    def add(self, table) -> None:
        self.tables[table.name] = table
        self.rows[table.name] = difficult_rows(self.rng, table, "special")
        self.engine.add_table(table, self.rows[table.name])

    def drop(self, name) -> None:
        del self.tables[name], self.rows[name]
        self.engine.drop_table(name)

    def grow(self, name, rows, *, filled) -> None:
        old = self.tables[name]
        self.tables[name] = table = dataclasses.replace(old, rows=rows)
        more = dataclasses.replace(old, rows=rows - old.rows, padding_idx=None)
        new = difficult_rows(self.rng, more, "special")
        if not filled:
            new = np.zeros_like(new)
        self.rows[name] = np.concatenate([self.rows[name], new])
        self.engine.grow(name, rows, new if filled else None)
        assert self.engine.tables[name] == table

    def update(self, name) -> None:
        table = self.tables[name]
        ids = self.rng.permutation(table.rows)[:9]
        new = difficult_rows(self.rng, dataclasses.replace(table, rows=9, padding_idx=None), "wide")
        self.rows[name][ids] = new
        self.engine.update(name, ids, new)

    def check(self) -> None:
        assert list(self.engine.tables.values()) == list(self.tables.values())
        reference = ReferenceBackend(self.tables.values())
        parts: dict[str, embnic.TableBags] = {}
        for name, table in self.tables.items():
            reference.load(name, self.rows[name])
            parts |= dict(random_bags(self.rng, table, 12, longest=10))
        bags = embnic.Bags(parts)
        pooled, expected = self.engine.lookup(bags), reference.lookup(bags)
        for name in bags:
            assert same_bits(pooled[name], expected[name]), name


@pytest.mark.parametrize("target", TARGETS)
def test_random_changes_of_tables_are_those_of_the_reference(target):
    rng = seeded()
    twin = Twin(TARGETS[target], rng)
    changes = 0
    with twin.engine:
        if target == "fallback":
            twin.check()
            assert twin.engine.state == "fallback"
        for step in range(30):
            names = list(twin.tables)
            name = names[int(rng.integers(len(names)))]
            kind = rng.choice(["add", "drop", "grow", "update"])
            if kind == "add" and len(names) < 4:
                other = FIRST if rng.random() < 0.5 else SECOND
                twin.add(dataclasses.replace(other, name=f"t{step}"))
            elif kind == "drop" and len(names) > 1:
                twin.drop(name)
            elif kind == "grow":
                filled = bool(rng.random() < 0.7)
                twin.grow(name, twin.tables[name].rows + int(rng.integers(1, 40)), filled=filled)
            else:
                twin.update(name)
                changes -= 1
            changes += 1
            twin.check()
        assert twin.engine.stats().tables_changed == changes


@pytest.mark.parametrize("target", ["reference", "cpu", "card"])
@pytest.mark.parametrize("dtype", FORMATS)
def test_tables_of_every_format_are_added_and_grow(target, dtype):
    twin = Twin(TARGETS[target], seeded())
    with twin.engine:
        twin.add(dataclasses.replace(table_of(dtype, rows=12, dim=21, pooling="sum"), name="t"))
        twin.check()
        twin.grow("t", 19, filled=True)
        twin.grow("t", 23, filled=False)
        twin.update("t")
        twin.check()


@pytest.mark.parametrize("target", TARGETS)
def test_what_cannot_be_right_is_refused_and_changes_nothing(target):
    rng = seeded()
    twin = Twin(TARGETS[target], rng)
    rows = difficult_rows(rng, SECOND, "normal")
    with twin.engine as engine:
        wrong = {
            "exists": lambda: engine.add_table(FIRST, twin.rows["first"]),
            "shape": lambda: engine.add_table(SECOND, rows[:-1]),
            "last one": lambda: engine.drop_table("first"),
            "does not exist": lambda: engine.drop_table("second"),
            "grow to 30": lambda: engine.grow("first", 30),
            "rows is 0": lambda: engine.grow("first", 0),
            "have shape": lambda: engine.grow("first", 32, twin.rows["first"][:1]),
        }
        for says, call in wrong.items():
            with pytest.raises(embnic.ConfigError, match=says):
                call()
        twin.check()
        assert engine.stats().tables_changed == 0
        engine.add_table(SECOND, rows)
        engine.drop_table("second")
        with pytest.raises(embnic.ConfigError, match="does not exist"):
            engine.lookup(embnic.Bags.from_lists({"second": [[1]]}))
    if target != "fallback":
        with (
            TARGETS[target]([FIRST]) as empty,
            pytest.raises(embnic.ConfigError, match="no rows yet"),
        ):
            empty.grow("first", 40)


def test_targets_with_fixed_tables_say_so():
    tables = [FIRST]
    select = SelectBackend(tables, [Path("cpu", CpuBackend(tables))])
    with embnic.Engine(tables, select) as engine:
        engine.load("first", np.zeros((30, 20), np.float32))
        for call in (
            lambda: engine.add_table(SECOND, np.zeros((25, 7), np.float32)),
            lambda: engine.grow("first", 40),
        ):
            with pytest.raises(embnic.ConfigError, match="'select' are those it was opened with"):
                call()


# -- a card -----------------------------------------------------------------------------------------------------------


def test_memory_of_dropped_and_outgrown_tables_is_used_again():
    card = FakeCard()
    twin = Twin(lambda tables: fake_engine(tables, card), seeded())
    with twin.engine:
        twin.engine.load("first", twin.rows["first"])  # its second generation
        highest = 0
        for round_ in range(12):
            twin.add(SECOND)
            twin.grow("second", 100, filled=True)
            twin.check()
            twin.drop("second")
            if round_ == 1:
                highest = card.allocated
        assert card.allocated == highest
        assert sum(d["valid"] for d in card.descriptors.values()) == 1


def test_more_tables_or_rows_than_the_card_has_are_refused_before_it_changes():
    card = FakeCard()
    twin = Twin(lambda tables: fake_engine(tables, card), seeded())
    with twin.engine as engine:
        with pytest.raises(embnic.ConfigError, match="dim 400"):
            engine.add_table(
                embnic.Table("wide", rows=2, dim=400, pooling="sum"), np.zeros((2, 400), np.float32)
            )
        for at in range(card.config.tables - 1):
            twin.add(embnic.Table(f"t{at}", rows=2, dim=4, pooling="sum"))
        commits = dict(card.descriptors)
        with pytest.raises(embnic.ConfigError, match=f"at most {card.config.tables} on this card"):
            engine.add_table(SECOND, np.zeros((25, 7), np.float32))

        def full(nbytes, align=4096):
            raise embnic.ConfigError("card memory is full.")

        card.alloc = full
        for call in (
            lambda: engine.grow("first", 5000),
            lambda: (
                twin.drop("t0"),
                engine.add_table(
                    embnic.Table("big", rows=5000, dim=4, pooling="sum"),
                    np.zeros((5000, 4), np.float32),
                ),
            ),
        ):
            with pytest.raises(embnic.ConfigError, match="full"):
                call()
        assert card.descriptors[0] == commits[0]
        assert engine.state == "open"
        twin.check()


@pytest.mark.parametrize("change", ["add", "grow", "drop"])
@pytest.mark.parametrize("event", ["memory", "bus"])
def test_a_card_that_dies_in_the_change_costs_nothing(change, event):
    card = FakeCard()
    twin = Twin(lambda tables: fake_engine(tables, card), seeded())
    twin.add(SECOND)
    with twin.engine as engine:
        twin.check()
        card.events.clear()
        card.faults = Faults(die=(event, 1), bus_error=True)
        if change == "add":
            twin.add(dataclasses.replace(SECOND, name="third"))
        elif change == "grow":
            twin.grow("first", 50, filled=True)
        else:
            twin.drop("first")
        twin.check()  # at the latest now the card is missed
        if (change, event) != ("drop", "memory"):  # a drop touches no memory
            assert engine.state == "fallback"
        twin.add(dataclasses.replace(FIRST, name="later"))
        twin.grow("second", 60, filled=False)
        twin.check()
        card.reset()
        card.faults = Faults()
        card.memory[:] = 0xA5
        engine.reattach()
        twin.check()
        twin.drop("second")
        twin.check()
        assert engine.state == "open"
        assert engine.stats().bags_by_card > 0


def test_without_fallback_a_change_that_failed_did_not_happen():
    card = FakeCard()
    twin = Twin(lambda tables: fake_engine(tables, card, fallback=False), seeded())
    card.events.clear()
    card.faults = Faults(die=("memory", 1), bus_error=True)
    rows = np.zeros((25, 7), np.float32)
    with twin.engine as engine:
        with pytest.raises((embnic.LinkError, embnic.DeviceError)):
            engine.add_table(SECOND, rows)
        with pytest.raises(embnic.LinkError, match="add_table"):
            engine.add_table(SECOND, rows)
        assert list(engine.tables) == ["first"]
        card.revive()
        engine.reattach()
        twin.check()
        engine.add_table(SECOND, rows)
        engine.drop_table("second")
        twin.check()


def test_updates_of_unknown_fate_are_settled_with_a_table_that_is_there():
    """The first table is gone, its number unused: the key that settles has to name another one."""
    card = FakeCard()
    twin = Twin(lambda tables: fake_engine(tables, card), seeded())
    with twin.engine as engine:
        twin.add(SECOND)
        twin.drop("first")
        card.events.clear()
        card.faults = Faults(die=("update", 1))
        twin.update("second")
        assert engine.state == "fallback"
        card.revive()
        engine.reattach()
        assert engine.state == "open"
        twin.update("second")
        twin.check()


def test_the_driver_forgets_tables_it_is_not_given_any_more():
    card = FakeCard()
    driver = fake_driver(card)
    driver.attach()
    driver.define([FIRST, SECOND])
    assert {n: d["valid"] for n, d in card.descriptors.items()} == {0: 1, 1: 1}
    driver.define([SECOND])
    assert {n: d["valid"] for n, d in card.descriptors.items()} == {0: 0, 1: 1}
    third = dataclasses.replace(FIRST, name="third")
    driver.define([SECOND, third])
    assert card.descriptors[0]["rows"] == FIRST.rows


def test_freed_memory_is_joined_and_the_smallest_piece_is_taken():
    card = FakeCard()
    room = CardMemory(card)
    size = 4096
    addresses = [room.alloc(size - 7) for _ in range(6)]
    assert len(set(addresses)) == 6
    for at in (1, 2, 4):
        room.free(addresses[at], size - 7)
    assert room.alloc(size) == addresses[4]  # the two that were joined stay for a large one
    assert room.alloc(2 * size) == addresses[1]
    room.free(addresses[1], 2 * size)
    assert room.alloc(size) == addresses[1]
    assert room.alloc(size) == addresses[2]
    top = card.allocated
    assert room.alloc(1) >= top
