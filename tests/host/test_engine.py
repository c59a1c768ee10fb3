# SPDX-License-Identifier: Apache-2.0
"""The engine: states, targets, what it refuses, and its counters, on the CPU and on a fake card."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from cases import difficult_rows, random_bags, same_bits, seeded
from fakes import FakeCard, fake_engine

import embnic
from embnic.backends.card import CardBackend
from embnic.backends.cpu import CpuBackend
from embnic.backends.reference import ReferenceBackend
from embnic.backends.rtl import rtl_timing
from embnic.stats import LinkCounters, Stats
from embnic.targets import TARGETS

TABLES = [
    embnic.Table("item", rows=50, dim=24, pooling="sum"),
    embnic.Table("user", rows=30, dim=24, pooling="mean", padding_idx=2),
    embnic.Table("cat", rows=30, dim=7, pooling="max"),
]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    monkeypatch.delenv("EMBNIC_TARGET", raising=False)
    monkeypatch.delenv("EMBNIC_DISABLE", raising=False)


def fill(engine, reference, rng):
    for table in TABLES:
        rows = difficult_rows(rng, table, "special")
        engine.load(table.name, rows)
        reference.load(table.name, rows)


def traffic(rng, bags=30, longest=25):
    parts = [random_bags(rng, table, bags, longest=longest) for table in TABLES]
    return embnic.Bags({name: part[name] for part in parts for name in part})


def check(engine, reference, bags):
    pooled, expected = engine.lookup(bags), reference.lookup(bags)
    assert list(pooled) == list(bags)
    for name in bags:
        assert same_bits(pooled[name], expected[name]), name


# -- open -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["cpu", "reference", "auto"])
def test_the_six_lines_of_the_readme(target):
    rng = seeded()
    reference = ReferenceBackend(TABLES)
    with embnic.open(TABLES, target=target) as engine:
        fill(engine, reference, rng)
        check(engine, reference, traffic(rng))
        stats = engine.stats()
    assert engine.target == {"auto": "cpu"}.get(target, target)
    assert (stats.bags, stats.bags_by_card, stats.bags_by_cpu) == (90, 0, 90)


@pytest.mark.parametrize("target", ["cpu", "reference"])
def test_a_table_without_pooling_gives_a_row_for_every_id(target):
    item = embnic.Table("item", rows=4, dim=2, pooling="none", padding_idx=0)
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    bags = embnic.Bags.from_lists({"item": [[3, 0], [], [7, 1]]})
    with embnic.open([item], target=target) as engine:
        engine.load("item", rows)
        out = {"item": np.full((4, 2), 9, np.float32)}
        assert engine.lookup(bags, out, out_of_range="zero")["item"] is out["item"]
        assert out["item"].tolist() == [[6, 7], [0, 0], [0, 0], [2, 3]]
        with pytest.raises(embnic.ConfigError, match=r"out\['item'\].*\[4, 2\]"):
            engine.lookup(bags, {"item": np.zeros((3, 2), np.float32)}, out_of_range="zero")
        empty = embnic.Bags.from_lists({"item": [[], []]})
        assert engine.lookup(empty)["item"].shape == (0, 2)
        assert engine.stats().bags == 5


@pytest.mark.parametrize("dtype", ["int8", "int8_front", "int4", "int4_end", "fixed"])
@pytest.mark.parametrize("target", ["cpu", "reference"])
def test_load_and_update_quantise_float32(target, dtype):
    exponent = -4 if dtype == "fixed" else None
    item = embnic.Table("item", rows=3, dim=2, pooling="sum", dtype=dtype, fixed_scale_exp=exponent)
    with embnic.open([item], target=target) as engine:
        engine.load("item", np.array([[1, -2], [3, 4], [0, 0]], np.float32))
        bags = embnic.Bags.from_lists({"item": [[0, 1], [2]]})
        assert engine.lookup(bags)["item"] == pytest.approx(np.array([[4, 2], [0, 0]]), abs=0.01)
        engine.update("item", [2], np.array([[5, -6]], np.float32))
        pooled = engine.lookup(bags)["item"]
        assert pooled.dtype == np.float32
        assert pooled == pytest.approx(np.array([[4, 2], [5, -6]]), abs=0.01)


def test_open_logs_one_line_that_says_which_and_why(caplog, monkeypatch):
    for name, reason in (("gpu", "no CUDA driver"), ("pynq", "no board")):
        absent = replace(TARGETS[name], unusable=lambda reason=reason: reason)
        monkeypatch.setitem(TARGETS, name, absent)
    with caplog.at_level(logging.INFO, logger="embnic.engine"):
        embnic.open(TABLES).close()
    assert [r.message for r in caplog.records if r.name == "embnic.engine"] == [
        "target cpu (auto); not pynq: no board; not rtl: only when asked for by name; not gpu: no CUDA driver"
    ]


def test_the_environment_is_read_at_open(monkeypatch, caplog):
    monkeypatch.setenv("EMBNIC_TARGET", "reference")
    assert embnic.open(TABLES).target == "reference"
    monkeypatch.setenv("EMBNIC_DISABLE", "1")
    assert embnic.open(TABLES, "reference").target == "cpu"
    assert "EMBNIC_DISABLE=1: the target 'reference' that was asked for is not used" in caplog.text


def test_a_named_target_never_falls_back_at_open(monkeypatch):
    for variable in ("BOARD", "EMBNIC_PYNQ_DEVICE"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(embnic.BackendUnavailable, match="BOARD is not set"):
        embnic.open(TABLES, "pynq")
    monkeypatch.setenv("EMBNIC_TARGET", "pynq")
    with pytest.raises(embnic.BackendUnavailable, match="BOARD is not set"):
        embnic.open(TABLES)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"deadline": 0}, "deadline is 0"),
        ({"deadline": -1.0}, "deadline"),
        ({"deadline": float("inf")}, "deadline"),
        ({"deadline": "1"}, "deadline"),
        ({"mtu": 100}, "mtu is 100"),
        ({"target": "fpga"}, "target is 'fpga'"),
        ({"target": "rtl:huge"}, "'huge'. Allowed: tiny"),
    ],
)
def test_wrong_options_are_refused(options, says):
    with pytest.raises(embnic.ConfigError, match=says):
        embnic.open(TABLES, **options)


def test_options_are_keyword_only_and_not_passed_through():
    with pytest.raises(TypeError):
        embnic.open(TABLES, "cpu", 1.0)
    with pytest.raises(TypeError):
        embnic.open(TABLES, "cpu", trace="x")


def test_duplicate_tables_and_none_are_refused():
    with pytest.raises(embnic.ConfigError, match="Two tables"):
        embnic.open([TABLES[0], TABLES[0]], "cpu")
    with pytest.raises(embnic.ConfigError, match="No table"):
        embnic.open([], "cpu")


def test_a_deadline_shortens_every_wait_of_the_simulated_card():
    free, bound = rtl_timing("tiny"), rtl_timing("tiny", 1e-4)
    assert free.deadline is None
    assert bound.deadline == bound.patience == 1e-4
    assert bound.retry < bound.patience < free.patience


def test_a_table_the_card_cannot_hold_is_refused_and_the_card_given_back():
    card = FakeCard()
    with pytest.raises(embnic.ConfigError, match=r"dim 200.*1 to 128"):
        fake_engine([embnic.Table("t", rows=2, dim=200, pooling="sum")], card)
    tree = embnic.Table("t", rows=2, dim=20, pooling="sum", order="tree", tree_k=2)
    with pytest.raises(embnic.ConfigError, match="'tree'"):
        fake_engine([tree], FakeCard(CAP_TREE_K=0))


# -- a card -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mtu", [576, 1500, 9000])
def test_load_lookup_update_lookup_on_a_card(mtu):
    rng = seeded()
    reference = ReferenceBackend(TABLES)
    with fake_engine(TABLES, FakeCard(), mtu=mtu) as engine:
        fill(engine, reference, rng)
        for _ in range(4):
            check(engine, reference, traffic(rng, longest=200))
            name = TABLES[int(rng.integers(3))].name
            table = engine.tables[name]
            ids = rng.integers(0, table.rows, 40)
            rows = rng.standard_normal((40, table.dim), dtype=np.float32)
            engine.update(name, ids, rows)
            reference.update(name, ids, rows)
        check(engine, reference, traffic(rng))
        stats = engine.stats()
    assert stats.target == "fake"
    assert stats.bags == stats.bags_by_card == 5 * 90
    assert stats.updates == 4
    assert stats.card["rx_accepted"] == stats.card["tx_frames"] - (
        stats.link["frames_received"] - stats.link["answered"]
    )
    assert not stats.fallback_total


def test_out_is_filled_and_returned():
    rng = seeded()
    reference = ReferenceBackend(TABLES)
    with fake_engine(TABLES, FakeCard()) as engine:
        fill(engine, reference, rng)
        bags = traffic(rng)
        out = {"user": np.full((30, 24), 7, np.float32)}
        pooled = engine.lookup(bags, out)
        assert pooled["user"] is out["user"]
        assert same_bits(out["user"], reference.lookup(bags)["user"])
        with pytest.raises(embnic.ConfigError, match=r"out\['user'\]"):
            engine.lookup(bags, {"user": np.zeros((29, 24), np.float32)})


def test_ids_out_of_range_follow_the_policy_and_never_reach_the_card():
    rng = seeded()
    card, reference = FakeCard(), ReferenceBackend(TABLES)
    bags = embnic.Bags.from_lists({"item": [[1, 50], [49], [99]]})
    with fake_engine(TABLES, card) as engine:
        fill(engine, reference, rng)
        with pytest.raises(embnic.ConfigError, match="id 50 at position 1"):
            engine.lookup(bags)
        zero = engine.lookup(bags, out_of_range="zero")["item"]
        clamp = engine.lookup(bags, out_of_range=embnic.OutOfRange.CLAMP)["item"]
        with pytest.raises(embnic.ConfigError, match="out_of_range is 'wrap'"):
            engine.lookup(bags, out_of_range="wrap")
    assert same_bits(
        zero, reference.lookup(embnic.Bags.from_lists({"item": [[1], [49], []]}))["item"]
    )
    assert same_bits(
        clamp, reference.lookup(embnic.Bags.from_lists({"item": [[1, 49], [49], [49]]}))["item"]
    )
    assert card.counters["errors"] == 0


def test_what_cannot_be_right_is_refused_before_the_card_sees_it():
    card = FakeCard()
    with fake_engine(TABLES, card) as engine:
        engine.load("item", np.zeros((50, 24), np.float32))
        sent = card.counters["rx_frames"]
        wrong = [
            lambda: engine.lookup({"item": [[1]]}),
            lambda: engine.lookup(embnic.Bags.from_lists({"nothing": [[1]]})),
            lambda: engine.lookup(embnic.Bags.from_lists({"user": [[1]]})),
            lambda: engine.load("nothing", np.zeros((1, 1), np.float32)),
            lambda: engine.load("item", np.zeros((50, 23), np.float32)),
            lambda: engine.load("item", np.zeros((50, 24), np.float64)),
            lambda: engine.update("item", [50], np.zeros((1, 24), np.float32)),
            lambda: engine.update("item", [-1], np.zeros((1, 24), np.float32)),
            lambda: engine.update("item", [1, 2], np.zeros((1, 24), np.float32)),
            lambda: engine.update("nothing", [1], np.zeros((1, 24), np.float32)),
        ]
        for call in wrong:
            with pytest.raises(embnic.ConfigError):
                call()
        assert card.counters["rx_frames"] == sent
        assert engine.state == "open"


def test_rows_given_to_the_engine_stay_the_callers():
    rng = seeded()
    with fake_engine(TABLES, FakeCard()) as engine:
        rows = rng.standard_normal((50, 24), dtype=np.float32)
        engine.load("item", rows)
        kept = rows.copy()
        rows[:] = 0
        bags = embnic.Bags.from_lists({"item": [[n] for n in range(50)]})
        assert same_bits(engine.lookup(bags)["item"], kept)
        engine._card.driver._link.dead = True
        assert same_bits(engine.lookup(bags)["item"], kept)


def test_a_bag_too_long_for_the_cards_frames_goes_to_the_cpu(caplog):
    tables = [embnic.Table("t", rows=20, dim=400, pooling="sum")]
    rng = seeded()
    rows = rng.standard_normal((20, 400), dtype=np.float32)
    bags = embnic.Bags.from_lists({"t": [[1, 2], [1, 3] * 200, [], [5] * 180]})
    reference = ReferenceBackend(tables)
    reference.load("t", rows)
    with fake_engine(tables, FakeCard("line100")) as engine:
        engine.load("t", rows)
        for _ in range(2):
            assert same_bits(engine.lookup(bags)["t"], reference.lookup(bags)["t"])
        stats = engine.stats()
        assert (stats.bags_by_card, stats.bags_by_cpu, engine.state) == (6, 2, "open")
        assert dict(stats.fallback_total) == {"bag_too_long": 2}
    assert caplog.text.count("too long") == 1
    with fake_engine(tables, FakeCard("line100"), fallback=False) as engine:
        engine.load("t", rows)
        with pytest.raises(embnic.ConfigError, match="mtu"):
            engine.lookup(bags)


# -- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [lambda: fake_engine(TABLES, FakeCard()), lambda: embnic.open(TABLES, "cpu")]
)
def test_after_close_every_call_says_so(make):
    engine = make()
    assert engine.state == "open"
    engine.close()
    engine.close()
    assert engine.state == "closed"
    bags = embnic.Bags.from_lists({"item": [[1]]})
    calls = {
        "lookup": lambda: engine.lookup(bags),
        "load": lambda: engine.load("item", np.zeros((50, 24), np.float32)),
        "update": lambda: engine.update("item", [1], np.zeros((1, 24), np.float32)),
        "stats": engine.stats,
        "reattach": engine.reattach,
        "__enter__": engine.__enter__,
    }
    for name, call in calls.items():
        with pytest.raises(embnic.ClosedError, match=rf"Engine\.{name}"):
            call()


def test_close_gives_the_card_back():
    card = FakeCard()
    with fake_engine(TABLES, card):
        assert card.reg("CONTROL") == 1
    assert card.closed and card.reg("CONTROL") == 0


def test_a_dead_card_does_not_keep_close_from_working():
    for bus_error in (False, True):
        card = FakeCard()
        engine = fake_engine(TABLES, card)
        card.faults.bus_error, card.dead = bus_error, True
        engine.close()
        assert card.closed and engine.state == "closed"


def test_a_card_backend_alone_passes_errors_through_and_closes():
    card = FakeCard()
    engine = fake_engine(TABLES, card)
    backend = engine._backend
    assert isinstance(backend, CardBackend)
    for call in (
        lambda: backend.load("nothing", None),
        lambda: backend.update("nothing", None, None),
    ):
        with pytest.raises(embnic.ConfigError, match="does not exist"):
            call()
    engine.close()
    backend.close()
    with pytest.raises(embnic.ClosedError, match=r"fake\.lookup"):
        backend.lookup(embnic.Bags.from_lists({"item": [[1]]}))


def test_reattach_needs_a_card():
    with embnic.open(TABLES, "cpu") as engine, pytest.raises(embnic.ConfigError, match="reattach"):
        engine.reattach()


def test_the_engine_prints_usefully():
    with fake_engine(TABLES, FakeCard()) as engine:
        assert repr(engine) == "Engine(target='fake', state='open', tables=['item', 'user', 'cat'])"


# -- counters ---------------------------------------------------------------------------------------------------------


def test_stats_are_a_snapshot_and_print_what_is_not_zero():
    counters = LinkCounters(frames_sent=3)
    stats = Stats(
        target="x",
        bags=2,
        bags_by_card=2,
        card={"rx_frames": 3, "errors": 0},
        link=counters.as_dict(),
    )
    counters.frames_sent = 9
    assert stats.link["frames_sent"] == 3
    with pytest.raises(TypeError):
        stats.card["rx_frames"] = 0
    assert str(stats).splitlines() == [
        "target x: 2 bags (2 by the card, 0 by the cpu), 0 updates",
        "  card: rx_frames 3",
        "  link: frames_sent 3",
    ]
    assert counters.copy() == counters and counters.copy() is not counters


def test_the_master_copy_is_a_cpu_backend():
    with fake_engine(TABLES, FakeCard()) as engine:
        assert isinstance(engine._master, CpuBackend)
    with embnic.open(TABLES, "cpu") as engine:
        assert engine._master is None
