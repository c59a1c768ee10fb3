# SPDX-License-Identifier: Apache-2.0
"""Awaited lookups: answers, cancellation, back-pressure, closing."""

from __future__ import annotations

import asyncio
import doctest
import threading

import numpy as np
import pytest
from cases import difficult_rows, random_bags, same_bits, seeded

import embnic
import embnic.aio as aio_module
from embnic.backends.cpu import CpuBackend
from embnic.backends.reference import ReferenceBackend

WAIT = 30.0
ITEM = embnic.Table("item", rows=50, dim=9, pooling="sum")
BAGS = embnic.Bags.from_lists({"item": [[1, 2], [3]]})


class Held(CpuBackend):
    """A CPU whose lookups wait until they are let go."""

    def __init__(self, tables) -> None:
        super().__init__(tables)
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.answered = 0

    def lookup(self, bags, out=None):
        self.begun.release()
        assert self.go.wait(WAIT)
        self.answered += 1
        return super().lookup(bags, out)


def held(**options):
    backend = Held([ITEM])
    engine = embnic.Engine([ITEM], backend, **options)
    engine.load("item", np.ones((50, 9), np.float32))
    return engine, backend


def run(main):
    return asyncio.run(asyncio.wait_for(main, WAIT))


def test_answers_are_those_of_lookup_while_rows_change():
    rng = seeded()
    reference = ReferenceBackend([ITEM])
    rows = difficult_rows(rng, ITEM, "special")
    reference.load("item", rows)
    given = [random_bags(rng, ITEM, 5, longest=8) for _ in range(60)]

    async def main():
        async with embnic.AsyncEngine(engine, limit=100) as front:
            await front.load("item", rows)
            found = await asyncio.gather(*(front.lookup(bags) for bags in given))
            await front.update("item", [3], np.ones((1, 9), np.float32))
            after = await front.lookup(embnic.Bags.from_lists({"item": [[3]]}))
        return found, after

    with embnic.open([ITEM], "cpu") as engine:
        found, after = run(main())
        assert engine.stats().bags == 301
        again = run(engine.alookup(given[0]))
        assert dict(engine.stats().waiting) == {
            "calls": 1,
            "most": 1,
            "cancelled": 0,
            "overloaded": 0,
        }
    for bags, pooled in zip([*given, given[0]], [*found, again], strict=True):
        expected = reference.lookup(bags)["item"]
        changed = np.array([3 in bags["item"].bag(at)[0] for at in range(5)])
        keep = ~changed if pooled is again else slice(None)
        assert same_bits(pooled["item"][keep], expected[keep])
    assert after["item"].tolist() == [[1.0] * 9]


def test_out_and_the_policy_pass_through():
    async def main():
        out = {"item": np.zeros((1, 9), np.float32)}
        bags = embnic.Bags.from_lists({"item": [[1, 99]]})
        found = await engine.alookup(bags, out, out_of_range="zero")
        assert found["item"] is out["item"]
        assert out["item"].tolist() == [[1.0] * 9]
        with pytest.raises(embnic.ConfigError, match="out of range"):
            await engine.alookup(bags)
        with pytest.raises(embnic.ConfigError, match=r"out\['item'\]"):
            await engine.alookup(bags, {"item": np.zeros((2, 9), np.float32)})
        with pytest.raises(embnic.ConfigError, match="deadline"):
            await engine.alookup(bags, deadline=1.0)

    with embnic.open([ITEM], "cpu") as engine:
        engine.load("item", np.ones((50, 9), np.float32))
        run(main())


def test_one_call_too_many_is_refused_and_there_is_room_again_afterwards():
    engine, backend = held()

    async def main():
        front = embnic.AsyncEngine(engine, limit=3, threads=1)
        calls = [asyncio.ensure_future(front.lookup(BAGS)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(embnic.Overloaded, match=r"3 calls wait.*Allowed: 3 at a time.*Do: "):
            await front.lookup(BAGS)
        backend.go.set()
        assert len(await asyncio.gather(*calls)) == 3
        await front.lookup(BAGS)
        assert front.counters() == {"calls": 4, "most": 3, "cancelled": 0, "overloaded": 1}
        await front.close()
        with pytest.raises(embnic.ClosedError):
            await front.lookup(BAGS)

    with engine:
        run(main())


def test_a_cancelled_call_that_has_not_begun_never_does_and_gives_its_place_back():
    engine, backend = held()

    async def main():
        front = embnic.AsyncEngine(engine, limit=2, threads=1)
        first = asyncio.ensure_future(front.lookup(BAGS))
        await asyncio.to_thread(backend.begun.acquire, timeout=WAIT)
        second = asyncio.ensure_future(front.lookup(BAGS))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        third = asyncio.ensure_future(front.lookup(BAGS))  # there is room for it
        await asyncio.sleep(0)
        backend.go.set()
        await asyncio.gather(first, third)
        await front.close()
        assert backend.answered == 2
        assert front.counters()["cancelled"] == 1

    with engine:
        run(main())


def test_a_cancelled_call_that_has_begun_ends_and_does_not_touch_out():
    engine, backend = held()
    out = {"item": np.full((2, 9), 7, np.float32)}

    async def main():
        front = embnic.AsyncEngine(engine, limit=1)
        call = asyncio.ensure_future(front.lookup(BAGS, out))
        await asyncio.to_thread(backend.begun.acquire, timeout=WAIT)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        with pytest.raises(embnic.Overloaded):  # it is still inside
            await front.lookup(BAGS)
        backend.go.set()
        await front.close()

    with engine:
        run(main())
        assert backend.answered == 1
        assert (out["item"] == 7).all()
        engine.lookup(BAGS)


def test_a_time_limit_ends_the_wait():
    engine, backend = held()

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(engine.alookup(BAGS), 0.02)
        backend.go.set()
        assert (await engine.alookup(BAGS))["item"].shape == (2, 9)

    with engine:
        run(main())


def test_closing_the_engine_ends_the_calls_that_wait():
    engine, backend = held()
    calls = []

    async def main():
        calls.extend(asyncio.ensure_future(engine.alookup(BAGS)) for _ in range(9))
        for _ in range(4):  # the threads of the front
            await asyncio.to_thread(backend.begun.acquire, timeout=WAIT)
        closing = asyncio.ensure_future(asyncio.to_thread(engine.close))
        while engine.state != "closed":
            await asyncio.sleep(0)
        backend.go.set()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        await closing
        assert [type(end) for end in ends] == [dict] * 4 + [embnic.ClosedError] * 5
        with pytest.raises(embnic.ClosedError, match="alookup"):
            await engine.alookup(BAGS)

    run(main())


def test_awaiting_callers_are_merged():
    engine, backend = held(batching=embnic.Batching(max_wait_us=1_000_000, max_bags=8))
    backend.go.set()

    async def main():
        await asyncio.gather(*(engine.alookup(BAGS) for _ in range(4)))

    with engine:
        engine.lookup(BAGS)  # another thread than those of the front: there is somebody to wait for
        run(main())
        assert backend.answered == 2
        assert engine.stats().batching["merged_lookups"] == 4


@pytest.mark.parametrize("options", [{"limit": 0}, {"threads": 0}, {"limit": 1.5}, {"limit": True}])
def test_wrong_options_are_refused(options):
    with embnic.open([ITEM], "cpu") as engine, pytest.raises(embnic.ConfigError, match=" is "):
        embnic.AsyncEngine(engine, **options)


def test_the_documentation_runs():
    failed, tried = doctest.testmod(aio_module)
    assert tried > 0
    assert failed == 0
