# SPDX-License-Identifier: Apache-2.0
"""The driver on a fake card: identity, frames, loss, updates, errors."""

from itertools import pairwise

import numpy as np
import pytest
from cases import difficult_rows, random_bags, same_bits, seeded
from fakes import EVERY_FORMAT, FAKE_TIMING, FakeCard, Faults, ListedBus, fake_driver

from embnic.backends.reference import ReferenceBackend, pool_bag
from embnic.bags import Bags
from embnic.config import Table
from embnic.driver import Driver
from embnic.errors import (
    ConfigError,
    ContractMismatch,
    DeviceFault,
    DeviceTimeout,
    LinkError,
)
from embnic.exchange import Timing
from embnic.framing import FrameLimits, cut, payload_limit
from embnic.gen.configs import CONFIGS
from embnic.gen.wire import CONTRACT_HASH, DType, Order, Status
from embnic.rows import unpack

TABLES = [
    Table("sum", rows=60, dim=20, pooling="sum"),
    Table("mean", rows=40, dim=20, pooling="mean", padding_idx=3),
    Table("max", rows=40, dim=128, pooling="max"),
    Table("wide", rows=40, dim=128, pooling="sum", padding_idx=0),
    Table("one", rows=5, dim=1, pooling="sum"),
]


def loaded(card, rng, *, tables=TABLES, mtu=1500, timing=FAKE_TIMING, kind="special"):
    driver = fake_driver(card, mtu=mtu, timing=timing)
    driver.attach()
    driver.define(tables)
    reference = ReferenceBackend(tables)
    for table in tables:
        rows = difficult_rows(rng, table, kind)
        driver.load(table.name, rows)
        reference.load(table.name, rows)
    return driver, reference


def answer(driver, bags):
    result = driver.prepare(bags)
    driver.lookup(result)
    return result


def merged(*parts):
    return Bags({name: part[name] for part in parts for name in part})


def traffic(rng, tables=TABLES, *, bags=20, longest=40, weighted=True):
    parts = []
    for table in tables:
        kind = "normal" if weighted and table.pooling.name == "SUM" and rng.random() < 0.5 else None
        parts.append(random_bags(rng, table, bags, longest=longest, weighted=kind))
    return merged(*parts)


def check(driver, reference, bags):
    result, expected = answer(driver, bags), reference.lookup(bags)
    for name in bags:
        assert result.done(name).all()
        assert same_bits(result.values(name), expected[name]), name
    return result


# -- identity ---------------------------------------------------------------------------------------------------------


def test_attach_reads_the_identity_before_it_writes_anything():
    reads = [("read", "MAGIC", 0x454D424E), ("read", "CONTRACT_HASH", CONTRACT_HASH ^ 1)]
    card = FakeCard()
    with ListedBus(*reads) as bus, pytest.raises(ContractMismatch) as caught:
        Driver(bus, card, card, timing=FAKE_TIMING).attach()
    assert (caught.value.device, caught.value.package) == (CONTRACT_HASH ^ 1, CONTRACT_HASH)
    assert "contract hash" in str(caught.value)
    assert not card.events


@pytest.mark.parametrize(
    ("register", "value", "what"),
    [
        ("MAGIC", 0xFFFFFFFF, "magic"),
        ("CONTRACT_HASH", 0, "contract hash"),
        ("CONFIG_ID", 2, "configuration"),
    ],
)
def test_a_card_of_another_identity_is_refused(register, value, what):
    with pytest.raises(ContractMismatch, match=what) as caught:
        fake_driver(FakeCard(**{register: value})).attach()
    assert caught.value.device == value


def test_an_unknown_configuration_is_refused_even_when_any_would_do():
    card = FakeCard(CONFIG_ID=77)
    with pytest.raises(ContractMismatch, match="one of"):
        Driver(card, card, card, timing=FAKE_TIMING).attach()


def test_a_card_of_another_wire_version_is_named():
    with pytest.raises(ContractMismatch, match="wire version"):
        fake_driver(FakeCard(wire_version=2)).attach()


def test_a_card_that_never_answers_times_out():
    card = FakeCard(faults=Faults(loss=1.0))
    with pytest.raises(DeviceTimeout) as caught:
        fake_driver(card).attach()
    assert "PING" in caught.value.doing
    assert caught.value.waited == pytest.approx(FAKE_TIMING.patience, rel=0.3)


def test_capabilities_are_those_of_the_configuration():
    for name in CONFIGS:
        driver = fake_driver(FakeCard(name))
        driver.attach()
        found, config = driver.capabilities, CONFIGS[name]
        assert (found.max_vec64, found.reply_vec64) == (config.max_vec64, config.reply_vec64)
        assert driver.identity()["configuration"] == f"{name} ({config.config_id})"


def test_nothing_works_before_attach():
    with pytest.raises(LinkError, match="attach"):
        _ = fake_driver(FakeCard()).capabilities


@pytest.mark.parametrize("mtu", [0, 575, 9217, 1500.0, True, "1500"])
def test_an_impossible_mtu_is_refused(mtu):
    with pytest.raises(ConfigError, match="mtu"):
        fake_driver(FakeCard(), mtu=mtu)


@pytest.mark.parametrize("times", [(0, 1), (1, 0), (1, float("inf")), (float("nan"), 1), (1, 1, 0)])
def test_impossible_times_are_refused(times):
    with pytest.raises(ConfigError, match="finite"):
        Timing(*times)


# -- tables -----------------------------------------------------------------------------------------------------------


def test_tables_the_card_cannot_hold_are_refused():
    driver = fake_driver(FakeCard())
    driver.attach()
    with pytest.raises(ConfigError, match=r"dim 129.*at most 128"):
        driver.define([Table("t", rows=2, dim=129, pooling="sum")])
    with pytest.raises(ConfigError, match=r"9 tables are given.*at most 8"):
        driver.define([Table(f"t{n}", rows=2, dim=4, pooling="sum") for n in range(9)])


def test_the_descriptor_says_order_and_scale():
    card = FakeCard()
    driver = fake_driver(card, **EVERY_FORMAT)
    driver.attach()
    driver.define(
        [
            Table("a", rows=2, dim=4, pooling="sum", order="tree", tree_k=8),
            Table("b", rows=2, dim=4, pooling="sum", dtype="fixed", fixed_scale_exp=-3),
            Table("c", rows=2, dim=4, pooling="sum", dtype="int4", order="split", padding_idx=1),
        ]
    )
    said = [
        [
            card.descriptors[at][name]
            for name in ("order", "tree_k_log2", "fixed_scale_exp", "dtype")
        ]
        for at in range(3)
    ]
    assert said == [
        [Order.TREE, 3, 0, DType.FP32],
        [Order.SEQUENTIAL, 0, 256 - 3, DType.FIXED],
        [Order.SPLIT, 0, 0, DType.INT4],
    ]
    assert card.descriptors[2]["has_padding"]
    assert not card.descriptors[2]["mul_then_add"]


def test_long_tree_bags_are_left_out_and_counted():
    rng = seeded()
    plain = Table("plain", rows=40, dim=8, pooling="sum")
    tree = Table("tree", rows=40, dim=8, pooling="sum", order="tree", tree_k=4)
    driver = fake_driver(FakeCard(), **EVERY_FORMAT)
    driver.attach()
    driver.define([plain, tree])
    rows = difficult_rows(rng, plain, "normal")
    lists = [rng.integers(0, 40, length).tolist() for length in (9, 500, 0, 30)]
    bags = Bags.from_lists({"plain": lists, "tree": lists})
    for table in (plain, tree):
        driver.load(table.name, rows)
    result = driver.prepare(bags)
    driver.lookup(result)
    assert result.too_long == 1
    assert result.done("plain").tolist() == [True] * 4
    assert result.done("tree").tolist() == [True, False, True, True]
    for table in (plain, tree):
        for at in np.flatnonzero(result.done(table.name)):
            expected = pool_bag(table, rows, np.array(lists[at], np.int64))
            assert same_bits(result.values(table.name)[at], expected)


def test_updates_carry_rows_of_the_stored_size():
    """An int4 row of 88 elements takes one unit of 64 bytes, its result six."""
    card = FakeCard()
    driver = fake_driver(card, **EVERY_FORMAT)
    driver.attach()
    table = Table("t", rows=40, dim=88, pooling="sum", dtype="int4")
    assert (table.stored_vec64, table.vec64) == (1, 6)
    driver.define([table])
    rows = difficult_rows(seeded(), table, "normal")
    before = driver.link_counters.updates
    driver.update("t", np.arange(40), rows)
    per_frame = driver.limits.rows(1)
    assert driver.link_counters.updates - before == -(-40 // per_frame)
    base = card.descriptors[0]["base"]
    assert same_bits(unpack(table, card.memory[base : base + table.nbytes]), rows)


def test_defining_the_same_tables_again_takes_no_more_memory():
    card = FakeCard()
    driver, _ = loaded(card, np.random.default_rng(1))
    taken = card.allocated
    driver.define(TABLES)
    assert card.allocated == taken


# -- cutting ----------------------------------------------------------------------------------------------------------


def test_frames_hold_whole_bags_and_respect_both_limits():
    rng = seeded()
    for _ in range(200):
        lengths = rng.integers(1, 12, int(rng.integers(0, 40)))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        max_keys, max_bags = int(rng.integers(1, 20)), int(rng.integers(1, 6))
        bounds, long_bags = cut(offsets, max_keys=max_keys, max_bags=max_bags)
        assert bounds[0] == 0 and bounds[-1] == len(lengths)
        assert long_bags == np.flatnonzero(lengths > max_keys).tolist()
        for first, stop in pairwise(bounds):
            assert 0 < stop - first <= max_bags
            if stop - first > 1 or first not in long_bags:
                assert offsets[stop] - offsets[first] <= max_keys


def test_limits_follow_from_mtu_and_key_store():
    assert payload_limit(576, 1 << 20) == 520
    assert payload_limit(9000, 1 << 20) == 8944
    limits = FrameLimits(payload=1440, reply_vec64=64, reply_units=22)
    assert limits.keys(weighted=False) == 180
    assert limits.keys(weighted=True) == 90
    assert limits.keys(weighted=False, accumulator_vec64=8) == (1440 - 9 * 64) // 8
    assert limits.keys(weighted=False, accumulator_vec64=64) == 0
    assert limits.bags(4) == 16
    assert [limits.rows(vec64) for vec64 in (1, 4, 8, 22, 64)] == [19, 5, 2, 0, 0]


# -- lookups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mtu", [576, 1500, 9000])
@pytest.mark.parametrize("kind", ["normal", "wide", "special", "subnormal"])
def test_random_bags_are_bit_equal_to_the_reference(mtu, kind):
    rng = seeded()
    card = FakeCard()
    driver, reference = loaded(card, rng, mtu=mtu, kind=kind)
    for _ in range(3):
        bags = traffic(rng, longest=30 if mtu == 576 else 60)
        assert check(driver, reference, bags).too_long == 0
    assert card.counters["drop_overload"] == 0
    assert driver.link_counters.retries == 0


def test_no_frame_is_larger_than_the_mtu_in_either_direction():
    rng = seeded()
    for mtu in (576, 1500, 9000):
        card = FakeCard()
        driver, reference = loaded(card, rng, mtu=mtu)
        sizes = []
        send, recv = card.send, card.recv

        def spy_send(frames, send=send, sizes=sizes):
            sizes.extend(np.diff(frames.offsets).tolist())
            send(frames)

        def spy_recv(most, timeout, recv=recv, sizes=sizes):
            frames = recv(most, timeout)
            sizes.extend(np.diff(frames.offsets).tolist())
            return frames

        card.send, card.recv = spy_send, spy_recv
        check(driver, reference, traffic(rng, bags=40, longest=30))
        driver.update("max", np.arange(30), np.ones((30, 128), np.float32))
        assert 14 + mtu - 512 < max(sizes) <= 14 + mtu or mtu == 9000
        assert max(sizes) <= 14 + mtu


@pytest.mark.parametrize("weighted", [False, True])
def test_a_long_bag_is_continued_with_its_accumulator(weighted):
    rng = seeded()
    card = FakeCard()
    driver, reference = loaded(card, rng, kind="wide")
    bags = merged(
        *(
            random_bags(
                rng,
                t,
                6,
                longest=1500,
                weighted="wide" if weighted and t.pooling.name == "SUM" else None,
            )
            for t in TABLES
        )
    )
    check(driver, reference, bags)
    assert driver.link_counters.continued_bags > 5
    assert card.counters["partials"] >= driver.link_counters.continued_bags


@pytest.mark.parametrize("length", [179, 180, 181, 360, 361])
def test_a_bag_at_the_edge_of_a_frame(length):
    driver, reference = loaded(FakeCard(), np.random.default_rng(length), kind="normal")
    ids = np.arange(length) % 40
    check(
        driver,
        reference,
        Bags.from_lists({"sum": [ids.tolist(), [1]], "mean": [[2], ids.tolist()]}),
    )


def test_a_continued_bag_whose_first_piece_holds_nothing():
    driver, reference = loaded(FakeCard(), np.random.default_rng(3))
    lists = [[3] * 200 + [1, 2], [3] * 500, [1] + [3] * 400]
    check(driver, reference, Bags.from_lists({"mean": lists}))


def test_a_bag_that_cannot_be_continued_is_left_undone_and_counted():
    rng = seeded()
    tables = [Table("t", rows=20, dim=400, pooling="sum")]
    driver, reference = loaded(FakeCard("line100"), rng, tables=tables)
    bags = Bags.from_lists({"t": [[1, 2], [1] * 181, [], [5] * 180]})
    result, expected = answer(driver, bags), reference.lookup(bags)
    assert result.too_long == 1
    assert result.done("t").tolist() == [True, False, True, True]
    done = result.done("t")
    assert same_bits(result.values("t")[done], expected["t"][done])


def test_a_vector_longer_than_a_reply_frame_arrives_in_pieces():
    rng = seeded()
    tables = [
        Table("t", rows=20, dim=1024, pooling="mean"),
        Table("u", rows=20, dim=1001, pooling="max"),
    ]
    for mtu in (576, 1500):
        driver, reference = loaded(FakeCard("line100"), rng, tables=tables, mtu=mtu)
        check(driver, reference, traffic(rng, tables, bags=30, longest=8))
        assert driver.link_counters.frames_received > 2 * driver.link_counters.requests


def test_tables_of_one_shape_share_frames_and_keep_their_own_results():
    rng = seeded()
    tables = [Table(f"t{n}", rows=30, dim=8, pooling="sum") for n in range(8)]
    driver, reference = loaded(FakeCard(), rng, tables=tables)
    before = driver.link_counters.requests
    bags = merged(*(random_bags(rng, t, 3, longest=4) for t in tables))
    check(driver, reference, bags)
    assert driver.link_counters.requests - before == 1


def test_tables_may_have_different_numbers_of_bags_and_none():
    driver, reference = loaded(FakeCard(), np.random.default_rng(1))
    bags = merged(
        Bags.from_lists({"sum": [[1], [2, 2], []], "mean": [], "one": [[]]}),
    )
    result = answer(driver, bags)
    assert result.values("mean") is None and result.done("mean").shape == (0,)
    assert same_bits(result.values("sum"), reference.lookup(bags)["sum"])
    assert not result.values("one").any()


# -- a bad link -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        Faults(loss=0.2),
        Faults(duplicate=0.3),
        Faults(reorder=0.5),
        Faults(corrupt=0.2),
        Faults(loss=0.15, duplicate=0.2, reorder=0.4, corrupt=0.1),
    ],
    ids=["loss", "duplicate", "reorder", "corrupt", "all"],
)
def test_a_bad_link_changes_no_answer(faults):
    rng = seeded()
    patient = Timing(retry=2e-4, patience=0.2)
    card = FakeCard(seed=int(rng.integers(1 << 30)))
    driver, reference = loaded(card, rng, timing=patient)
    card.faults = faults
    for _ in range(4):
        bags = merged(*(random_bags(rng, t, 40, longest=12 if t.dim > 20 else 400) for t in TABLES))
        check(driver, reference, bags)
        ids = rng.integers(0, 40, 30)
        rows = difficult_rows(rng, Table("x", rows=30, dim=128, pooling="sum"), "normal")
        driver.update("wide", ids, rows)
        reference.update("wide", ids, rows)
    link = driver.link_counters
    if faults.loss or faults.corrupt:
        assert link.retries > 0
    if faults.duplicate:
        assert link.duplicates + link.late > 0
    if faults.corrupt:
        assert link.bad_frames > 0
    received = sum(value for name, value in card.counters.items() if name.startswith("drop_"))
    assert card.counters["rx_frames"] == card.counters["rx_accepted"] + received


def test_overload_drops_are_sent_again():
    rng = seeded()
    card = FakeCard()
    driver, reference = loaded(card, rng)
    check_frame, busy = card._check, iter([True, True, False, True] + [False] * 10_000)
    card._check = lambda frame: "overload" if next(busy) else check_frame(frame)
    check(driver, reference, traffic(rng))
    assert card.counters["drop_overload"] == 3
    assert driver.link_counters.retries >= 3


def test_no_more_is_in_flight_than_the_card_can_hold():
    rng = seeded()
    card = FakeCard()
    driver, reference = loaded(card, rng)
    flying, most = 0, 0
    send, recv = card.send, card.recv

    def spy_send(frames):
        nonlocal flying, most
        flying += len(frames)
        most = max(most, flying)
        send(frames)

    def spy_recv(count, timeout):
        nonlocal flying
        frames = recv(count, timeout)
        flying -= len(frames)
        return frames

    card.send, card.recv = spy_send, spy_recv
    tables = [Table("sum", rows=60, dim=20, pooling="sum")]
    check(driver, reference, merged(*(random_bags(rng, t, 200, longest=10) for t in tables)))
    assert 1 < most <= CONFIGS["tiny"].ctxs


def test_replies_of_a_call_given_up_are_late_and_harmless():
    rng = seeded()
    card = FakeCard()
    driver, reference = loaded(card, rng)
    FakeCard.FRAME_SECONDS, normal = 1.0, FakeCard.FRAME_SECONDS
    try:
        with pytest.raises(DeviceTimeout):
            answer(driver, traffic(rng))
    finally:
        FakeCard.FRAME_SECONDS = normal
    card.now = card.busy_until + 1
    for _ in range(3):
        check(driver, reference, traffic(rng))
    assert driver.link_counters.late > 0


# -- time -------------------------------------------------------------------------------------------------------------


def test_the_deadline_bounds_a_call_even_when_answers_trickle():
    rng = seeded()
    card = FakeCard()
    driver, _ = loaded(card, rng, timing=Timing(retry=1e-3, patience=1e-2, deadline=2e-4))
    start = card.clock()
    with pytest.raises(DeviceTimeout, match="lookups") as caught:
        answer(driver, merged(*(random_bags(rng, t, 3000, longest=20) for t in TABLES[:1])))
    assert 2e-4 <= card.clock() - start < 4e-4
    assert caught.value.waited >= 2e-4


def test_a_dead_card_is_given_up_after_the_patience():
    rng = seeded()
    card = FakeCard()
    driver, _ = loaded(card, rng)
    card.dead = True
    start = card.clock()
    with pytest.raises(DeviceTimeout) as caught:
        answer(driver, traffic(rng))
    assert card.clock() - start == pytest.approx(FAKE_TIMING.patience, rel=0.3)
    assert driver.link_counters.timeouts > 0
    assert "unanswered" in caught.value.doing


def test_waiting_for_the_flush_has_an_end():
    card = FakeCard()
    driver, _ = loaded(card, np.random.default_rng(1))
    card.busy_until = card.now + 1e9
    with pytest.raises(DeviceTimeout, match="commit"):
        driver.load("one", np.zeros((5, 1), np.float32))


# -- statuses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.OK, Status.BUSY)])
def test_an_error_status_becomes_a_device_fault(status):
    card = FakeCard()
    driver, _ = loaded(card, np.random.default_rng(1))
    card.faults = Faults(status={card.lookups + 1: status})
    with pytest.raises(DeviceFault, match=status.name) as caught:
        answer(driver, Bags.from_lists({"sum": [[1]]}))
    assert caught.value.code == status
    assert "'sum'" in caught.value.where


def test_busy_is_tried_again():
    card = FakeCard()
    driver, reference = loaded(card, np.random.default_rng(1))
    card.faults = Faults(status={card.lookups + n: Status.BUSY for n in (1, 2, 3)})
    check(driver, reference, Bags.from_lists({"sum": [[1, 2]]}))
    assert driver.link_counters.retries == 3


def test_ids_the_card_refuses_are_the_callers_fault_when_they_are_wrong():
    driver, _ = loaded(FakeCard(), np.random.default_rng(1))
    with pytest.raises(ConfigError, match="id 60 at position 1 is out of range"):
        answer(driver, Bags.from_lists({"sum": [[1, 60]]}))


# -- updates ----------------------------------------------------------------------------------------------------------


def test_updates_are_applied_once_and_the_last_of_a_repeated_id_stays():
    rng = seeded()
    card = FakeCard()
    driver, reference = loaded(card, rng)
    for name, dim, count in (("sum", 20, 500), ("wide", 128, 70), ("one", 1, 3), ("sum", 20, 0)):
        rows = rng.standard_normal((count, dim), dtype=np.float32)
        ids = rng.integers(0, driver._tables[name].rows, count)
        driver.update(name, ids, rows)
        reference.update(name, ids, rows)
    check(driver, reference, traffic(rng))
    assert card.counters["update_duplicates"] == 0
    assert card.counters["updates"] == driver.link_counters.updates


def test_more_than_64_updates_of_one_call_stay_within_the_window():
    rng = seeded()
    tables = [Table("t", rows=400, dim=128, pooling="sum")]
    card = FakeCard(seed=int(rng.integers(1 << 30)))
    driver, reference = loaded(card, rng, tables=tables, timing=Timing(retry=2e-4, patience=0.2))
    card.faults = Faults(loss=0.3, reorder=0.5, duplicate=0.2)
    rows = rng.standard_normal((400, 128), dtype=np.float32)
    driver.update("t", np.arange(400), rows)
    reference.update("t", np.arange(400), rows)
    check(driver, reference, traffic(rng, tables))
    assert card.counters["updates"] == 200
    assert card.counters["errors"] == 0


def test_a_full_client_table_turns_to_the_memory_port(caplog):
    card = FakeCard()
    driver, reference = loaded(card, np.random.default_rng(1))
    card.clients = {1: (0, set()), 2: (0, set())}
    for value in (1.0, 2.0):
        rows = np.full((3, 20), value, np.float32)
        driver.update("sum", np.array([4, 5, 9]), rows)
        reference.update("sum", np.array([4, 5, 9]), rows)
        check(driver, reference, Bags.from_lists({"sum": [[4], [5], [9], [6]]}))
    assert driver.link_counters.direct_rows == 6
    assert driver.link_counters.updates == 0
    assert caplog.text.count("no further client") == 1


def test_a_row_longer_than_a_frame_is_written_through_the_memory_port():
    tables = [Table("t", rows=9, dim=1024, pooling="sum")]
    rng = np.random.default_rng(1)
    driver, reference = loaded(FakeCard("line100"), rng, tables=tables)
    rows = rng.standard_normal((3, 1024), dtype=np.float32)
    driver.update("t", np.array([8, 0, 1]), rows)
    reference.update("t", np.array([8, 0, 1]), rows)
    check(driver, reference, Bags.from_lists({"t": [[n] for n in range(9)]}))
    assert driver.link_counters.direct_rows == 3


def test_after_a_lost_update_its_late_frame_is_never_applied():
    """The network keeps the frame of an update that was given up and delivers it after the tables were loaded again."""
    rng = np.random.default_rng(1)
    card = FakeCard()
    driver, reference = loaded(card, rng)
    driver.update("sum", np.array([1]), np.zeros((1, 20), np.float32))
    kept = []
    send, card.send = card.send, kept.append
    with pytest.raises(DeviceTimeout):
        driver.update("sum", np.array([2]), np.full((1, 20), 99, np.float32))
    card.send = send
    driver.attach()
    driver.define(TABLES)
    rows = difficult_rows(rng, TABLES[0], "normal")
    driver.load("sum", rows)
    reference.load("sum", rows)
    assert kept
    for frames in kept:
        card.send(frames)
    card.recv(256, 1.0)
    check(driver, reference, Bags.from_lists({"sum": [[2], [1]]}))
    assert card.counters["update_duplicates"] > 0


def test_a_card_that_was_reset_gets_a_new_client():
    rng = np.random.default_rng(1)
    card = FakeCard()
    driver, reference = loaded(card, rng)
    for n in range(100):
        driver.update("one", np.array([n % 5]), np.full((1, 1), n, np.float32))
    first = set(card.clients)
    card.reset()
    driver.attach()
    driver.define(TABLES)
    for table in TABLES:
        rows = difficult_rows(rng, table, "normal")
        driver.load(table.name, rows)
        reference.load(table.name, rows)
    driver.update("one", np.array([1]), np.full((1, 1), 7, np.float32))
    reference.update("one", np.array([1]), np.full((1, 1), 7, np.float32))
    check(driver, reference, traffic(rng))
    assert len(card.clients) == 1
    assert not first & set(card.clients)


# -- the end ----------------------------------------------------------------------------------------------------------


def test_a_bus_that_fails_is_a_link_error():
    card = FakeCard()
    driver, _ = loaded(card, np.random.default_rng(1))
    card.faults.bus_error, card.dead = True, True
    for call in (driver.counters, driver.detach, driver.attach):
        with pytest.raises(LinkError, match="bus does not answer"):
            call()


def test_detach_disables_the_card():
    card = FakeCard()
    driver, _ = loaded(card, np.random.default_rng(1))
    assert card.reg("CONTROL") == 1
    driver.detach()
    assert card.reg("CONTROL") == 0
