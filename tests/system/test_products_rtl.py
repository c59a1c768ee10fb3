# SPDX-License-Identifier: Apache-2.0
"""Products of two tables' rows through the simulated core, bit for bit; and what is wrong with a frame of pairs."""

from __future__ import annotations

import shutil
import struct

import numpy as np
import pytest
from cases import FORMATS, difficult_fp32, difficult_rows, same_bits, seeded
from test_card import ERROR, FINAL, LOOKUP, REPLY, counters, exchange, frame, header

import embnic
from embnic.backends.reference import ReferenceBackend
from embnic.backends.rtl import attach_rtl
from embnic.bags import Bags, TableBags
from embnic.config import Table
from embnic.engine import Engine
from embnic.errors import ConfigError
from embnic.gen.wire import NULL_ROW, DType, Flag, Status
from embnic.health import broken_identities
from embnic.products import ProductBags
from embnic_sim.card import SimCard

MULTIPLIED = [dtype for dtype in FORMATS if dtype is not DType.FIXED]
KINDS = ("normal", "wide", "ties", "subnormal", "special")
BAGS = 90  # of each of the batches
MOST = 32  # elements of a vector that `tiny` multiplies: a quarter of its longest

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None, reason="no g++: the core cannot be built"
)


def random_pairs(rng, tables, bags, *, longest, weighted=None, long=0):
    """Return bags of 0 to `longest` pairs, the first of `long`, with padding and null keys on either side."""
    lengths = rng.integers(0, longest + 1, bags)
    lengths[0] = long or lengths[0]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    sides = []
    for table in tables:
        ids = rng.integers(0, table.rows, int(offsets[-1]))
        if table.padding_idx is not None:
            ids[rng.random(len(ids)) < 0.1] = table.padding_idx
        ids[rng.random(len(ids)) < 0.05] = NULL_ROW
        sides.append(ids)
    w = None if weighted is None else difficult_fp32(rng, sides[0].shape, weighted)
    names = [table.name for table in tables]
    return ProductBags(*names, TableBags(sides[0], offsets, w), sides[1])


def test_5000_bags_of_pairs_of_every_format():
    """Dims with and without padding, weights, null keys and padding rows on either side, bags longer than a frame."""
    rng = seeded()
    compared = continued = 0
    for number, dtype in enumerate(MULTIPLIED):
        for turn in range(4):
            dim = int(rng.choice([1, 16, MOST, int(rng.integers(1, MOST + 1))]))
            paddings = [(None, None), (3, None), (None, 2), (0, 1)][turn]
            tables = [
                Table(name, rows=40, dim=dim, dtype=dtype, pooling="sum", padding_idx=padding)
                for name, padding in zip("qr", paddings, strict=True)
            ]
            card = attach_rtl(tables, SimCard("tiny"), config="tiny")
            reference = ReferenceBackend(tables)
            for at, table in enumerate(tables):
                values = difficult_rows(rng, table, KINDS[(number + turn + at) % 5])
                card.load(table.name, values)
                reference.load(table.name, values)
            for weighted in (None, KINDS[turn]):
                longest, long = (3, 0) if turn % 2 else (9, 200)
                pairs = random_pairs(
                    rng, tables, BAGS, longest=longest, weighted=weighted, long=long
                )
                got, want = card.product(pairs), reference.product(pairs)
                assert same_bits(got, want), (dtype, dim, weighted)
                compared += len(pairs)
                continued += card.link_counters.continued_bags
            found = card.stats()
            assert not broken_identities(found), broken_identities(found)
            assert found["keys_null"] > 0
            card.close()
    assert compared >= 5000
    assert continued >= 14


def test_products_beside_every_other_lookup():
    """Pairs and ordinary bags of longer vectors in turn, through the engine: slots and their banks are shared."""
    rng = seeded()
    tables = [
        Table("q", rows=30, dim=24, dtype="int8", pooling="sum"),
        Table("r", rows=30, dim=24, dtype="int8", pooling="sum", padding_idx=4),
        Table("a", rows=30, dim=9, pooling="sum"),
        Table("b", rows=30, dim=9, pooling="sum", padding_idx=2),
        Table("wide", rows=30, dim=128, pooling="max"),
        Table("tree", rows=30, dim=16, pooling="mean", order="tree", tree_k=8),
    ]
    card = attach_rtl(tables, SimCard("tiny"), config="tiny")
    with Engine(tables, card, fallback=False) as engine:
        reference = ReferenceBackend(tables)
        for table in tables:
            values = difficult_rows(rng, table, "normal")
            engine.load(table.name, values)
            reference.load(table.name, values)
        for _ in range(12):
            for names in ("qr", "ab"):
                pair = [table for table in tables if table.name in names]
                pairs = random_pairs(rng, pair, 8, longest=2)
                assert same_bits(engine.lookup_product(pairs), reference.product(pairs))
            ids = {name: rng.integers(0, 30, 10) for name in ("wide", "tree", "a")}
            bags = Bags.from_torch(
                {name: (part, np.array([0, 1, 4])) for name, part in ids.items()}
            )
            got, want = engine.lookup(bags), reference.lookup(bags)
            assert all(same_bits(got[name], want[name]) for name in bags)
        assert engine.stats().bags_by_cpu == 0


def test_fp32_products_are_torchs_sum_of_products():
    torch = pytest.importorskip("torch", reason="compared with torch's EmbeddingBag")
    rng = seeded()
    divisor = 7
    tables = [
        Table(name, rows=rows, dim=20, pooling="sum") for name, rows in (("q", 9), ("r", divisor))
    ]
    card = attach_rtl(tables, SimCard("tiny"), config="tiny")
    rows = [rng.standard_normal((table.rows, 20), dtype=np.float32) for table in tables]
    for table, values in zip(tables, rows, strict=True):
        card.load(table.name, values)
    lengths = rng.integers(0, 12, 200)
    ids = rng.integers(0, 9 * divisor, int(lengths.sum()))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    i = torch.from_numpy(ids)
    factors = [torch.from_numpy(values) for values in rows]
    products = factors[0][i // divisor] * factors[1][i % divisor]
    for w in (None, rng.standard_normal(len(ids), dtype=np.float32)):
        pairs = ProductBags.split("q", "r", TableBags(ids, offsets, w), divisor=divisor)
        want = torch.nn.functional.embedding_bag(
            torch.arange(len(ids)),
            products,
            torch.from_numpy(offsets[:-1].copy()),
            mode="sum",
            per_sample_weights=None if w is None else torch.from_numpy(w),
        )
        assert same_bits(card.product(pairs), want.numpy())
    card.close()


def test_vectors_without_room_for_a_pair_are_left_to_the_cpu():
    rng = seeded()
    tables = [Table(name, rows=5, dim=MOST + 1, pooling="sum") for name in "qr"]
    card = attach_rtl(tables, SimCard("tiny"), config="tiny")
    pairs = random_pairs(rng, tables, 5, longest=3)
    with Engine(tables, card) as engine, embnic.open(tables, target="cpu") as cpu:
        for table in tables:
            values = difficult_rows(rng, table, "normal")
            engine.load(table.name, values)
            cpu.load(table.name, values)
        assert same_bits(engine.lookup_product(pairs), cpu.lookup_product(pairs))
        assert engine.stats().fallback_total == {"product": 5}
        with pytest.raises(ConfigError, match="at most a quarter of their longest"):
            card.product(pairs)


def pair_frame(keys, *, bags=1, dim=20, dtype=0, flags=0):
    """Return a LOOKUP of pairs: `keys` are (table, row, last)."""
    words = [last << 63 | table << 48 | row for table, row, last in keys]
    payload = struct.pack(f"<{len(words)}Q", *words)
    fields = {"bags": bags, "keys": len(words), "dim": dim, "dtype": dtype}
    return frame(LOOKUP, payload, flags=int(Flag.PRODUCT) | flags, **fields)


def test_wrong_frames_are_answered_by_their_status_and_the_next_is_right():
    """Through the checked build: assertions of the RTL are on."""
    rng = seeded()
    tables = [
        Table("q", rows=10, dim=20, pooling="sum"),
        Table("r", rows=10, dim=20, pooling="sum", padding_idx=9),
        Table("mean", rows=10, dim=20, pooling="mean"),
        Table("none", rows=10, dim=20, pooling="none"),
        Table("split", rows=10, dim=20, pooling="sum", order="split"),
        Table("other", rows=10, dim=18, pooling="sum"),
        Table("half", rows=10, dim=20, pooling="sum", dtype="fp16"),
    ]
    q, r, mean, none, split, other, half = range(len(tables))
    sim = SimCard("tiny", build="checked")
    card = attach_rtl(tables, sim, config="tiny")
    reference = ReferenceBackend(tables)
    for table in tables:
        values = difficult_rows(rng, table, "normal")
        card.load(table.name, values)
        reference.load(table.name, values)
    good = ProductBags("q", "r", TableBags(np.array([1, 2]), np.array([0, 2])), [3, 4])
    good_frame = pair_frame([(q, 1, 0), (r, 3, 0), (q, 2, 0), (r, 4, 1)])
    cases = [
        (pair_frame([(q, 1, 1)]), Status.BAD_REQUEST),
        (pair_frame([(q, 1, 0), (r, 2, 0), (q, 3, 1)]), Status.BAD_REQUEST),
        (pair_frame([(q, 1, 0), (r, 2, 1), (q, 3, 1)], bags=2), Status.BAD_REQUEST),
        (pair_frame([(q, NULL_ROW, 1)]), Status.BAD_REQUEST),
        (pair_frame([(q, 1, 0), (7, 2, 1)]), Status.UNKNOWN_TABLE),
        (pair_frame([(q, 1, 0), (0x7FFF, 2, 1)]), Status.UNKNOWN_TABLE),
        (pair_frame([(7, 1, 0), (r, 2, 1)]), Status.UNKNOWN_TABLE),
        (pair_frame([(q, 1, 0), (other, 2, 1)]), Status.TABLE_MISMATCH),
        (pair_frame([(q, 1, 0), (half, 2, 1)]), Status.TABLE_MISMATCH),
        (pair_frame([(q, 1, 0), (r, 2, 0), (r, 1, 0), (q, 2, 1)]), Status.TABLE_MISMATCH),
        (pair_frame([(q, 1, 0), (mean, 2, 1)]), Status.UNSUPPORTED),
        (pair_frame([(none, 1, 0), (r, 2, 1)]), Status.UNSUPPORTED),
        (pair_frame([(split, 1, 0), (r, 2, 1)]), Status.UNSUPPORTED),
        (pair_frame([(q, 1, 0), (r, 10, 1)]), Status.OUT_OF_RANGE),
        (pair_frame([(q, 10, 0), (r, 1, 1)]), Status.OUT_OF_RANGE),
        (pair_frame([(q, 1, 0), (r, 2, 1)], dim=33), Status.TOO_LARGE),
        (pair_frame([(q, 1, 0), (r, 2, 1)], dtype=DType.FIXED), Status.UNSUPPORTED),
    ]
    before = counters(sim)
    for number, (wrong, status) in enumerate(cases):
        replies = exchange(sim, [wrong, good_frame])
        first, second = (header(reply) for reply in replies)
        assert (first["opcode"], first["dtype_status"] >> 4) == (ERROR, status), f"case {number}"
        assert (second["opcode"], second["flags"] & FINAL) == (REPLY, FINAL), f"case {number}"
        vector = np.frombuffer(replies[1][64 : 64 + 80], np.float32)
        assert same_bits(vector, reference.product(good)[0]), f"case {number}"
    after = counters(sim)
    assert after["errors"] - before["errors"] == len(cases)
    assert not broken_identities(after), broken_identities(after)
    card.close()
