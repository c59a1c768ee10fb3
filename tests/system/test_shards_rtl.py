# SPDX-License-Identifier: Apache-2.0
"""Row-wise shards through the simulated core: it answers partials and merges them, bit for bit."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from cases import FORMATS, difficult_rows, random_bags, same_bits, seeded, table_of

from embnic.backends.card import CardBackend
from embnic.backends.hls import open_hls
from embnic.backends.reference import ReferenceBackend
from embnic.backends.rtl import attach_rtl
from embnic.bags import Bags
from embnic.config import Table
from embnic.lookup import Partials
from embnic.rows import to_storage
from embnic.shards import Owner, RowShards
from embnic_sim.card import SimCard

KINDS = ("wide", "ties", "special")
WAYS: tuple[dict[str, Any], ...] = (
    {"pooling": "sum"},
    {"pooling": "mean", "padding_idx": 29},
    {"pooling": "max"},
    {"pooling": "sum", "padding_idx": 2},
    {"pooling": "mean"},
)

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None, reason="no g++: the core cannot be built"
)


def open_card(target: str, tables: list[Table]) -> CardBackend:
    """Return the small card: the simulated core, or the HLS cores."""
    if target == "hls":
        return open_hls(tables, "tiny")
    return attach_rtl(tables, SimCard("tiny"), config="tiny")


BOTH = pytest.mark.parametrize("target", ["rtl", "hls"])


@BOTH
def test_shards_of_every_format_on_one_card(target):
    rng = seeded()
    saturations = compared = 0
    for number, dtype in enumerate(FORMATS):
        for at, way in enumerate(WAYS[number % 2 :: 2] if number else WAYS):
            table = table_of(dtype, rows=30, dim=int(rng.integers(1, 129)), **way)
            shards = RowShards(table, [0, int(rng.integers(1, 15)), int(rng.integers(15, 29)), 30])
            stored = to_storage(table, difficult_rows(rng, table, KINDS[at % 3]), rows=30)
            weighted = "wide" if way == WAYS[0] and table.fixed_scale_exp is None else None
            bags = random_bags(rng, table, 12, longest=12, weighted=weighted)[table.name]
            card, host = (
                open_card(target, shards.tables),
                ReferenceBackend(shards.tables),
            )
            found = []
            for backend in (card, host):
                owners = [Owner(backend, shard.name) for shard in shards.tables]
                shards.load(owners, stored)
                found.append(shards.lookup(owners, bags))
                saturations += backend.stats()["saturations"]
                backend.close()
            assert same_bits(*found), (table, way)
            compared += len(bags)
    assert compared == 12 * (5 + sum(len(WAYS[n % 2 :: 2]) for n in range(1, len(FORMATS))))


@BOTH
def test_long_bags_and_many_partials(target):
    """Keys and partials over several frames, of which four bags have some in the core at a time."""
    rng = seeded()
    tables = [
        Table("t", rows=40, dim=100, pooling="mean", order="split"),
        Table(
            "i", rows=40, dim=33, pooling="sum", dtype="fixed", fixed_scale_exp=-8, order="split"
        ),
    ]
    card, host = open_card(target, tables), ReferenceBackend(tables)
    rows = {
        "t": rng.standard_normal((40, 100), dtype=np.float32),
        "i": rng.integers(-(1 << 31), 1 << 31, (40, 33)).astype(np.int32),
    }
    for backend in (card, host):
        for name, values in rows.items():
            backend.load(name, values)
    parts, owners = {}, {}
    for table in tables:
        parts |= random_bags(rng, table, 12, longest=300)
        count, shape = len(parts[table.name]), (len(parts[table.name]), table.dim)
        kind = rows[table.name].dtype
        values = [
            rng.integers(-(1 << 31), 1 << 31, shape).astype(kind)
            if kind == np.int32
            else rng.standard_normal(shape, dtype=np.float32)
            for _ in range(9)
        ]
        owners[table.name] = [Partials(each, rng.integers(0, 3, count)) for each in values]
    bags = Bags(parts)
    got, want = card.merge(bags, owners), host.merge(bags, owners)
    for table in tables:
        assert same_bits(got[table.name], want[table.name]), table
    counters = card.stats()
    assert counters["saturations"] == host.stats()["saturations"] > 0
    assert counters["partials"] > 24, "no bag was continued"
    card.close()
