# SPDX-License-Identifier: Apache-2.0
"""Lookups of several threads as one request: answers, errors, bounds of the wait, counters."""

from __future__ import annotations

import doctest
import threading
import time

import numpy as np
import pytest
from cases import FORMATS, difficult_rows, random_bags, same_bits, seeded, table_of

import embnic
import embnic.batching as batching_module
from embnic.backends.cpu import CpuBackend
from embnic.backends.reference import ReferenceBackend
from embnic.batching import Batcher, merge
from embnic.selector import Path, SelectBackend

LONG = 1_000_000.0  # us: a batch that is not full would wait longer than the tests allow
WAIT = 30.0
ITEM = embnic.Table("item", rows=50, dim=9, pooling="sum")
USER = embnic.Table("user", rows=20, dim=5, pooling="mean")
KEYS = embnic.Table("keys", rows=20, dim=4, pooling="none")
TABLES = [ITEM, USER, KEYS]


class Counting(CpuBackend):
    """A CPU that notes the bags of every request."""

    def __init__(self, tables) -> None:
        super().__init__(tables)
        self.requests: list[int] = []

    def lookup(self, bags, out=None):
        self.requests.append(bags.bags_total)
        return super().lookup(bags, out)


def opened(rng, **options):
    backend = Counting(TABLES)
    engine = embnic.Engine(TABLES, backend, batching=embnic.Batching(**options))
    reference = ReferenceBackend(TABLES)
    for table in TABLES:
        rows = difficult_rows(rng, table, "special")
        engine.load(table.name, rows)
        reference.load(table.name, rows)
    elsewhere(lambda: engine.lookup(embnic.Bags.from_lists({"item": [[0]]})))
    backend.requests.clear()
    return engine, reference, backend


def elsewhere(call):
    """Call in another thread, so that there is somebody to wait for."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(WAIT)


def together(*calls):
    """Run calls in threads at once; return what each returned or raised."""
    outcomes: list[object] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(at, call):
        gate.wait(WAIT)
        try:
            outcomes[at] = call()
        except Exception as error:
            outcomes[at] = error

    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert not any(thread.is_alive() for thread in threads), "a caller is stuck"
    return outcomes


def asked(rng, *, weighted=None):
    """Return bags of some of the tables, four in all."""
    parts = {**random_bags(rng, ITEM, 2, longest=7, weighted=weighted)}
    parts |= dict(random_bags(rng, USER if rng.random() < 0.5 else KEYS, 2, longest=5))
    return embnic.Bags(parts)


def test_callers_share_a_request_and_each_gets_its_own_answer():
    rng = seeded()
    engine, reference, backend = opened(rng, max_wait_us=LONG, max_bags=16)
    with engine:
        for _ in range(8):
            bags = [asked(rng, weighted="special" if at % 2 else None) for at in range(4)]
            backend.requests.clear()
            found = together(*(lambda b=b: engine.lookup(b) for b in bags))
            assert backend.requests == [16]
            for given, pooled in zip(bags, found, strict=True):
                assert list(pooled) == list(given)
                for name, expected in reference.lookup(given).items():
                    assert same_bits(pooled[name], expected), name
        stats = engine.stats()
    assert dict(stats.batching) == {
        "lookups": 33,
        "merged_lookups": 32,
        "requests": 9,
        "asked_again": 0,
    }
    assert stats.bags == 129
    assert "batching: lookups 33" in str(stats)


@pytest.mark.parametrize("dtype", [dtype for dtype in FORMATS if dtype.name != "FIXED"])
@pytest.mark.parametrize("padding", [None, 3])
def test_ones_for_the_weights_that_others_have_change_no_bit(dtype, padding):
    rng = seeded()
    table = table_of(dtype, rows=30, dim=17, pooling="sum", padding_idx=padding)
    backend = ReferenceBackend([table])
    backend.load("t", difficult_rows(rng, table, "special"))
    one = random_bags(rng, table, 40, longest=9)
    two = random_bags(rng, table, 40, longest=9, weighted="special")
    both = merge([one, two])
    assert both["t"].weights is not None
    pooled = backend.lookup(both)["t"]
    assert same_bits(pooled[:40], backend.lookup(one)["t"])
    assert same_bits(pooled[40:], backend.lookup(two)["t"])


def test_out_is_filled_by_its_own_caller():
    rng = seeded()
    engine, reference, _ = opened(rng, max_wait_us=LONG, max_bags=8)
    with engine:
        bags = [asked(rng) for _ in range(2)]
        outs = [{"item": np.full((2, 9), 7, np.float32)} for _ in bags]
        found = together(
            *(lambda b=b, o=o: engine.lookup(b, o) for b, o in zip(bags, outs, strict=True))
        )
        for given, out, pooled in zip(bags, outs, found, strict=True):
            assert pooled["item"] is out["item"]
            assert list(pooled) == list(given)
            assert same_bits(out["item"], reference.lookup(given)["item"])
        with pytest.raises(embnic.ConfigError, match=r"out\['item'\]"):
            engine.lookup(bags[0], {"item": np.zeros((3, 9), np.float32)})


def test_an_error_of_one_caller_is_its_own():
    rng = seeded()
    engine, reference, backend = opened(rng, max_wait_us=LONG, max_bags=8)
    right = [asked(rng) for _ in range(2)]
    wrong = [
        embnic.Bags.from_lists({"item": [[99], [1]]}),
        embnic.Bags.from_lists({"nothing": [[1], [1]]}),
        embnic.Bags.from_lists({"user": [[1]]}, {"user": [[1.0]]}),
    ]
    with engine:
        found = together(*(lambda b=b: engine.lookup(b) for b in [*right, *wrong]))
    for pooled, given in zip(found, right, strict=False):
        assert same_bits(pooled["item"], reference.lookup(given)["item"])
    assert [type(error) for error in found[2:]] == [embnic.ConfigError] * 3
    assert backend.requests == [8]


def test_a_table_dropped_while_callers_wait_hurts_those_who_ask_for_it():
    rng = seeded()
    engine, reference, _ = opened(rng, max_wait_us=LONG, max_bags=6)
    one = embnic.Bags.from_lists({"item": [[1, 2], [3]]})
    two = embnic.Bags.from_lists({"user": [[1], [2, 2]]})
    with engine:
        found = []
        waiting = threading.Thread(target=lambda: found.extend(together(*calls)))

        def keep(bags):
            def call():
                return engine.lookup(bags)

            return call

        calls = (keep(one), keep(two))
        waiting.start()
        while engine._batcher._open is None or engine._batcher._open.bags < 4:
            time.sleep(0.001)
        engine.drop_table("user")
        last = engine.lookup(one)  # fills the batch, which then fails as a whole
        waiting.join(WAIT)
        assert engine.stats().batching["asked_again"] == 1
    assert same_bits(last["item"], reference.lookup(one)["item"])
    assert same_bits(found[0]["item"], reference.lookup(one)["item"])
    assert isinstance(found[1], embnic.ConfigError)
    assert "'user'" in str(found[1])


def test_a_caller_alone_waits_no_longer_than_it_was_told():
    engine, _, backend = opened(seeded(), max_wait_us=20_000, max_bags=64)
    with engine:
        start = time.monotonic()
        engine.lookup(embnic.Bags.from_lists({"item": [[1]]}))
        took = time.monotonic() - start
    assert backend.requests == [1]
    assert 0.02 <= took < WAIT / 2


def test_the_only_thread_that_calls_does_not_wait():
    engine, _, backend = opened(seeded(), max_wait_us=50_000, max_bags=64)
    bags = embnic.Bags.from_lists({"item": [[1]]})
    with engine:
        end = time.monotonic() + WAIT
        waits = 0
        while time.monotonic() < end:  # at first it waits for the thread of `opened`
            start = time.monotonic()
            engine.lookup(bags)
            if time.monotonic() - start < 0.04:
                break
            waits += 1
        assert waits >= 1
        start = time.monotonic()
        for _ in range(20):
            engine.lookup(bags)
        assert time.monotonic() - start < 20 * 0.05
    assert backend.requests == [1] * (21 + waits)


def test_a_batch_leaves_when_it_is_full_and_a_large_lookup_goes_alone():
    engine, _, backend = opened(seeded(), max_wait_us=LONG, max_bags=4)
    with engine:
        start = time.monotonic()
        engine.lookup(embnic.Bags.from_lists({"item": [[1]] * 4}))
        engine.lookup(embnic.Bags.from_lists({"item": [[1]] * 9}))
        # the second does not fit beside the first, which leaves without it; the third fills its batch
        three, two = (embnic.Bags.from_lists({"item": [[1]] * n}) for n in (3, 2))
        together(
            lambda: engine.lookup(three), lambda: engine.lookup(two), lambda: engine.lookup(two)
        )
        assert time.monotonic() - start < LONG * 1e-6 * 2.5
    assert backend.requests[:2] == [4, 9]
    assert sum(backend.requests[2:]) == 7
    assert max(backend.requests[2:]) <= 4


def test_a_deadline_shortens_the_wait_and_what_is_left_goes_to_the_paths(monkeypatch):
    tables = [ITEM]
    select = SelectBackend(tables, [Path("cpu", CpuBackend(tables))])
    engine = embnic.Engine(tables, select, batching=embnic.Batching(max_wait_us=LONG, max_bags=64))
    engine.load("item", np.ones((50, 9), np.float32))
    elsewhere(lambda: engine.lookup(embnic.Bags.from_lists({"item": [[0]]})))
    given: list[float | None] = []
    answer = select.lookup

    def noted(bags, out=None, *, deadline=None):
        given.append(deadline)
        return answer(bags, out, deadline=deadline)

    monkeypatch.setattr(select, "lookup", noted)
    bags = embnic.Bags.from_lists({"item": [[1]]})
    with engine:
        start = time.monotonic()
        together(lambda: engine.lookup(bags), lambda: engine.lookup(bags, deadline=0.1))
        assert time.monotonic() - start < LONG * 1e-6
        assert 0 < min(d for d in given if d is not None) <= 0.06
        assert engine.lookup(bags, deadline=1e-6)["item"].tolist() == [[1.0] * 9]


def test_who_leads_may_be_interrupted_without_hurting_those_who_follow(monkeypatch):
    engine, reference, _ = opened(seeded(), max_wait_us=LONG, max_bags=4)
    bags = embnic.Bags.from_lists({"item": [[1, 2], [3]]})

    def interrupted(self, calls):
        raise KeyboardInterrupt

    outcomes = []

    def ask():
        try:
            outcomes.append(engine.lookup(bags))
        except KeyboardInterrupt:
            outcomes.append("interrupted")

    with engine:
        monkeypatch.setattr(Batcher, "_answer", interrupted)
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
    assert len(outcomes) == 2
    assert outcomes.count("interrupted") == 1
    (pooled,) = (outcome for outcome in outcomes if outcome != "interrupted")
    assert same_bits(pooled["item"], reference.lookup(bags)["item"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_wait_us": 0}, "max_wait_us is 0"),
        ({"max_wait_us": "1"}, "max_wait_us is '1'"),
        ({"max_wait_us": float("nan")}, "max_wait_us"),
        ({"max_wait_us": 1e9}, "max_wait_us"),
        ({"max_bags": 1}, "max_bags is 1"),
        ({"max_bags": 2.5}, "max_bags is 2.5"),
        ({"max_bags": True}, "max_bags is True"),
    ],
)
def test_wrong_options_are_refused(options, says):
    with pytest.raises(embnic.ConfigError, match=says):
        embnic.Batching(**options)


def test_it_is_off_unless_asked_for():
    with embnic.open(TABLES, "cpu") as engine:
        assert engine._batcher is None
        assert dict(engine.stats().batching) == {}
    with embnic.open(TABLES, "cpu", batching=embnic.Batching()) as engine:
        engine.load("item", np.ones((50, 9), np.float32))
        engine.lookup(embnic.Bags.from_lists({"item": [[1]]}))
        assert engine.stats().batching["requests"] == 1


def test_the_documentation_runs():
    failed, tried = doctest.testmod(batching_module)
    assert tried > 0
    assert failed == 0
