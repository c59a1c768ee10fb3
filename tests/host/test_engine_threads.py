# SPDX-License-Identifier: Apache-2.0
"""Many threads on one engine: every answer is that of one version of the rows, and no call is lost.

Every row of a version holds the number of the version, so a vector says which rows it was pooled from. A change in the
middle of which a lookup runs shows as two numbers in one answer.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from cases import seeded
from fakes import FakeCard, fake_engine

import embnic
from embnic.backends.cpu import CpuBackend, native_module
from embnic.locks import ReadWriteLock

LENGTH = 6  # ids of a bag
WAIT = 60.0  # seconds after which a thread counts as stuck


def table(name: str, rows: int, dim: int = 20) -> embnic.Table:
    return embnic.Table(name, rows=rows, dim=dim, pooling="sum")


def rows_of(rows: int, dim: int, version: int) -> np.ndarray:
    return np.full((rows, dim), version, np.float32)


class Storm:
    """Threads that look up, update, load, grow, add and drop at random; `wrong` collects what must not be."""

    def __init__(self, engine: embnic.Engine, rng: np.random.Generator, *, bags: int = 8) -> None:
        self.engine, self.bags = engine, bags
        self.dim = engine.tables["item"].dim
        self.seeds = rng
        self.changing = threading.Lock()  # versions of this test, not the engine's
        self.begun = self.done = 1
        self.rows = engine.tables["item"].rows
        self.guests = 0
        self.asked = self.compared = self.changes = 0
        self.counting = threading.Lock()
        self.wrong: list[str] = []
        engine.load("item", rows_of(self.rows, self.dim, 1))

    def run(self, *, readers: int, changers: int, operations: int) -> None:
        jobs = [(self.read, operations)] * readers + [(self.change, operations // 4)] * changers
        threads = [
            threading.Thread(target=self._loop, args=(job, count, self.seeds.spawn(1)[0]))
            for job, count in jobs
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert not any(thread.is_alive() for thread in threads), "a thread is stuck"

    def _loop(self, job, count, rng) -> None:
        try:
            for _ in range(count):
                job(rng)
                if self.wrong:
                    return
        except BaseException as error:
            self.wrong.append(f"{type(error).__name__}: {error}")

    def read(self, rng) -> None:
        oldest = self.done
        names = ["item"] if rng.random() < 0.7 else ["item", "guest"]
        ids = {name: rng.integers(0, 40, (self.bags, LENGTH)) for name in names}
        bags = embnic.Bags.from_torch({name: (values,) for name, values in ids.items()})
        try:
            found = self.engine.lookup(bags)
        except embnic.ConfigError as error:  # the guest is there at times
            if "'guest'" not in str(error):
                self.wrong.append(str(error))
            return
        versions = {int(v) for v in np.unique(found["item"] / LENGTH)}
        if len(versions) != 1 or not oldest <= min(versions) <= self.begun:
            self.wrong.append(f"versions {versions}, allowed {oldest} to {self.begun}")
        if "guest" in found:
            guests = np.unique(found["guest"])
            if len(guests) != 1 or guests[0] % LENGTH:
                self.wrong.append(f"a guest mixed from {guests}")
        with self.counting:
            self.asked += bags.bags_total
            self.compared += 1

    def change(self, rng) -> None:
        with self.changing:
            self.changes += 1
            kind = rng.choice(["update", "update", "load", "grow", "guest"])
            if kind == "guest":
                self._guest()
                return
            version = self.begun + 1
            if kind == "grow":  # the new rows are of the version in force
                self.rows += 4
                self.engine.grow("item", self.rows, rows_of(4, self.dim, self.done))
                return
            self.begun = version
            if kind == "update":
                ids = rng.permutation(self.rows)
                self.engine.update("item", ids, rows_of(self.rows, self.dim, version))
            else:
                self.engine.load("item", rows_of(self.rows, self.dim, version))
            self.done = version

    def _guest(self) -> None:
        if "guest" in self.engine.tables:
            self.engine.drop_table("guest")
            return
        self.guests += 1
        self.engine.add_table(table("guest", 40, 12), rows_of(40, 12, self.guests))

    def check(self, *, exact: bool = True) -> None:
        assert not self.wrong, self.wrong[:3]
        assert self.compared > 0
        assert self.changes > 0
        ids = np.arange(40).reshape(-1, 1)
        last = self.engine.lookup(embnic.Bags.from_torch({"item": (ids,)}))["item"]
        assert (last == self.done).all()
        stats = self.engine.stats()
        assert stats.bags == stats.bags_by_card + stats.bags_by_cpu
        if exact:
            assert stats.bags == self.asked + 40


def _cpu(**options):
    return embnic.open([table("item", 40), table("still", 3)], "cpu", **options)


def _numpy():
    tables = [table("item", 40), table("still", 3)]
    return embnic.Engine(tables, CpuBackend(tables, engine="numpy"))


def _reference():
    return embnic.open([table("item", 40), table("still", 3)], "reference")


def _model():
    return embnic.open([table("item", 40), table("still", 3)], "model:tiny")


def _card():
    return fake_engine([table("item", 40), table("still", 3)], FakeCard())


def _merging():
    return _cpu(batching=embnic.Batching(max_wait_us=300, max_bags=24))


@pytest.mark.parametrize("make", [_cpu, _numpy, _reference, _model, _card, _merging])
def test_every_answer_of_a_storm_is_of_one_version(make):
    with make() as engine:
        storm = Storm(engine, seeded())
        many = make in (_cpu, _numpy, _merging)
        storm.run(readers=5, changers=3, operations=300 if many else 60)
        storm.check()


def test_large_lookups_and_updates_in_native_code_do_not_mix():
    """The extension pools without the interpreter's lock, so an update could really run beside it."""
    if native_module() is None:
        pytest.skip("the native extension is not built")
    tables = [table("item", 4000, 64), table("still", 3)]
    with embnic.open(tables, "cpu") as engine:
        storm = Storm(engine, seeded(), bags=300)
        storm.run(readers=3, changers=2, operations=120)
        storm.check()


def test_the_card_is_lost_in_a_storm_and_comes_back():
    card = FakeCard()
    with fake_engine([table("item", 40), table("still", 3)], card) as engine:
        storm = Storm(engine, seeded())
        storm.run(readers=3, changers=1, operations=20)
        card.dead = True
        storm.run(readers=4, changers=2, operations=60)
        assert engine.state == "fallback"
        assert sum(engine.stats().fallback_total.values()) == 1
        card.revive()
        back = threading.Timer(0.02, engine.reattach)
        back.start()
        storm.run(readers=4, changers=2, operations=60)
        back.join(WAIT)
        assert engine.state == "open"
        storm.run(readers=2, changers=1, operations=20)
        storm.check()


# -- locks ------------------------------------------------------------------------------------------------------------


class Watched(CpuBackend):
    """A backend that notices a change beside a lookup, and lookups beside each other."""

    def __init__(self, tables) -> None:
        super().__init__(tables)
        self.mutex = threading.Lock()
        self.readers = self.most = self.overlaps = 0
        self.changing = False

    def lookup(self, bags, out=None):
        with self.mutex:
            self.readers += 1
            self.most = max(self.most, self.readers)
            self.overlaps += self.changing
        time.sleep(0.002)
        try:
            return super().lookup(bags, out)
        finally:
            with self.mutex:
                self.readers -= 1

    def update(self, name, ids, rows):
        with self._change():
            super().update(name, ids, rows)

    def commit(self, staged):
        with self._change():
            super().commit(staged)

    def drop(self, name):
        with self._change():
            super().drop(name)

    @contextmanager
    def _change(self):
        with self.mutex:
            self.overlaps += self.readers > 0 or self.changing
            self.changing = True
        time.sleep(0.002)
        yield
        with self.mutex:
            self.changing = False


def watched_storm() -> Watched:
    tables = [table("item", 40), table("still", 3)]
    backend = Watched(tables)
    with embnic.Engine(tables, backend) as engine:
        storm = Storm(engine, seeded())
        storm.run(readers=4, changers=2, operations=40)
        if not backend.overlaps:
            storm.check()
    return backend


def test_lookups_run_side_by_side_and_changes_alone():
    backend = watched_storm()
    assert backend.overlaps == 0
    assert backend.most > 1


@pytest.mark.parametrize("side", ["acquire_read", "writing"])
def test_without_one_side_of_the_lock_the_storm_notices(side, monkeypatch):
    @contextmanager
    def nothing(self):
        yield

    if side == "writing":
        monkeypatch.setattr(ReadWriteLock, "writing", nothing)
    else:
        monkeypatch.setattr(ReadWriteLock, "acquire_read", lambda self: None)
        monkeypatch.setattr(ReadWriteLock, "release_read", lambda self: None)
    assert watched_storm().overlaps > 0


def test_a_writer_that_waits_comes_before_later_readers():
    lock, order = ReadWriteLock(), []
    lock.acquire_read()

    def write():
        with lock.writing():
            order.append("writer")

    def read():
        lock.acquire_read()
        order.append("reader")
        lock.release_read()

    writer = threading.Thread(target=write)
    writer.start()
    while not lock._waiting:
        time.sleep(0.001)
    reader = threading.Thread(target=read)
    reader.start()
    reader.join(0.05)
    assert order == []
    lock.release_read()
    writer.join(WAIT)
    reader.join(WAIT)
    assert order == ["writer", "reader"]


def test_close_waits_for_the_calls_under_way_and_refuses_the_others():
    tables = [table("item", 40)]
    backend = Watched(tables)
    engine = embnic.Engine(tables, backend)
    engine.load("item", rows_of(40, 20, 1))
    bags = embnic.Bags.from_lists({"item": [[1, 2]]})
    outcomes = []

    def ask():
        for _ in range(20):
            try:
                outcomes.append(float(engine.lookup(bags)["item"][0, 0]))
            except embnic.ClosedError as error:
                outcomes.append(error.call)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.01)
    engine.close()
    assert backend.readers == 0
    for thread in threads:
        thread.join(WAIT)
    assert set(outcomes) == {2.0, "Engine.lookup"}
