# SPDX-License-Identifier: Apache-2.0
"""The card of HLS cores beside the core: the same frames, good and bad, get the same answers and the same counts."""

from __future__ import annotations

import shutil
import struct

import numpy as np
import pytest
from cases import seeded
from test_card import counters, frame

from embnic.gen.registers import REGISTERS
from embnic.wire import FrameBatch
from embnic_sim.card import SimCard
from embnic_sim.hls_card import HlsCard

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None, reason="no g++: the cores cannot be built"
)

TABLE, ROWS, DIM = 1, 20, 20
SAME = ("rx_frames", "rx_accepted", "requests", "bags", "keys", "keys_null", "keys_padding", "keys_refused", "row_hits",
        "row_misses", "line_hits", "line_misses", "replies", "partials", "errors", "acks", "updates", "update_rows",
        "update_duplicates", "tx_frames")  # fmt: skip


def corpus(rng: np.random.Generator, count: int) -> list[bytes]:
    """Return requests, most of them nearly right, some spoilt."""
    frames = []
    for number in range(count):
        keys = int(rng.integers(1, 9))
        rows = rng.integers(0, ROWS + 1, keys).astype(object)
        words = [int(row) if row < ROWS else (1 << 48) - 1 for row in rows]
        words = [word | TABLE << 48 for word in words]
        bags = int(rng.integers(1, min(keys, 3) + 1))
        for end in (*range(bags - 1), keys - 1):
            words[end] |= 1 << 63
        more = {"bags": bags, "keys": keys, "dim": DIM, "request_id": number}
        kind = rng.integers(0, 12)
        if kind == 0:
            words[0] = ROWS + 5 | TABLE << 48 | words[0] & 1 << 63
        elif kind == 1:
            words[-1] = 3 | 6 << 48 | 1 << 63
        elif kind == 2:
            more["dim"] = int(rng.integers(0, 200))
        elif kind == 3:
            more["bags"] = bags + 1
        elif kind == 4:
            more["flags"] = int(rng.integers(0, 64)) & ~2
        elif kind == 5:
            more["dtype"] = int(rng.integers(0, 16))
        payload = b"".join(struct.pack("<Q", word) for word in words)
        opcode = 2
        if kind == 6:
            opcode, payload, more["bags"] = (
                6,
                struct.pack("<QQ", 9, int(rng.integers(1, 6))) + payload,
                0,
            )
            payload = payload.ljust(-(-len(payload) // 64) * 64, b"\0")
            payload += rng.standard_normal(keys * 32).astype("<f4").tobytes()
        elif kind == 7:
            opcode = int(rng.choice([1, 5, 9]))
        made = bytearray(frame(opcode, payload, **more))
        if rng.random() < 0.1:
            made[int(rng.integers(12, len(made)))] ^= 1 << int(rng.integers(0, 8))
        frames.append(bytes(made))
    return frames


def set_up(card: SimCard | HlsCard, rows: np.ndarray) -> None:
    """Load the table and enable the card."""
    base = card.alloc(rows.nbytes)
    card.write(base, rows.view(np.uint8).reshape(-1))
    words = [1 | DIM << 16, 0, base & 0xFFFFFFFF, base >> 32, ROWS, 0, 0, 0]
    card.write32(REGISTERS["TABLE_SEL"].offset, TABLE)
    for at, word in enumerate(words):
        card.write32(REGISTERS["TABLE_WORD"].offset + 4 * at, word)
    card.write32(REGISTERS["TABLE_COMMIT"].offset, 1)
    card.write32(REGISTERS["CONTROL"].offset, 1)


def answers(card: SimCard | HlsCard, frames: list[bytes]) -> dict[int, list[bytes]]:
    """Return the answers to each request, one request at a time."""
    found: dict[int, list[bytes]] = {}
    for number, sent in enumerate(frames):
        card.send(FrameBatch.from_list([sent]))
        found[number] = []
        while True:
            got = card.recv(16, timeout=40e-6).to_list()
            if not got:
                break
            found[number] += got
    return found


def compared(card: SimCard | HlsCard) -> dict[str, int]:
    """Return the counters that have to agree, by name."""
    found = counters(card)
    return {name: n for name, n in found.items() if name in SAME or name.startswith("drop_")}


def test_good_and_bad_frames_are_answered_as_by_the_core() -> None:
    """Bit for bit, and counted alike: drops by reason, refusals by status, hits and misses."""
    rng = seeded()
    rows = rng.standard_normal((ROWS, 32)).astype(np.float32)
    rows[:, DIM:] = 0
    frames = corpus(rng, 400)
    results = []
    for card in (SimCard("tiny"), HlsCard("tiny")):
        with card:
            set_up(card, rows)
            results.append((answers(card, frames), compared(card)))
    (core, core_counts), (hls, hls_counts) = results
    different = [number for number in core if core[number] != hls[number]]
    assert not different, (frames[different[0]].hex(), core[different[0]], hls[different[0]])
    assert core_counts == hls_counts
    assert sum(len(each) for each in core.values()) > 200
    assert (
        core_counts["errors"] > 20
        and sum(n for c, n in core_counts.items() if c.startswith("drop_")) > 10
    )
