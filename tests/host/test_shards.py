# SPDX-License-Identifier: Apache-2.0
"""Row-wise shards: what the owners' partials make together, by the reference and through a card."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from cases import FORMATS, difficult_rows, random_bags, same_bits, seeded, table_of
from fakes import FakeCard, fake_driver

from embnic.backends.card import CardBackend
from embnic.backends.reference import ReferenceBackend, accumulate, finish, merge
from embnic.bags import Bags, TableBags
from embnic.config import Table
from embnic.errors import ConfigError
from embnic.lookup import Partials
from embnic.rows import to_storage
from embnic.shards import Owner, RowShards

WAYS = (
    {"pooling": "sum"},
    {"pooling": "sum", "padding_idx": 2},
    {"pooling": "mean"},
    {"pooling": "mean", "padding_idx": 29},
    {"pooling": "max", "padding_idx": 0},
)


def split_by_hand(table, stored, bounds, bags):
    """Pool by the words of `split`: each owner's keys in order, then merged by ascending owner."""
    pooled = []
    for bag in range(len(bags)):
        ids, weights = bags.bag(bag)
        parts = []
        for low, high in pairwise(bounds):
            mine = (ids >= low) & (ids < high)
            chosen = None if weights is None else weights[mine]
            parts.append(accumulate(table, stored, ids[mine], chosen))
        pooled.append(finish(table, *merge(table, parts)))
    return np.stack(pooled)


def cases(rng):
    """Yield tables of every format and way, bounds, rows and bags."""
    for dtype in FORMATS:
        for at, way in enumerate(WAYS):
            table = table_of(dtype, rows=30, dim=int(rng.integers(1, 40)), **way)
            cuts = sorted(rng.choice(np.arange(1, 30), size=int(rng.integers(0, 4)), replace=False))
            kind = ("wide", "ties", "special")[at % 3]
            stored = to_storage(table, difficult_rows(rng, table, kind), rows=30)
            weighted = "wide" if way == WAYS[0] and table.fixed_scale_exp is None else None
            bags = random_bags(rng, table, 6, longest=12, weighted=weighted)[table.name]
            yield table, [0, *map(int, cuts), 30], stored, bags


def check(backend_of, rng):
    compared = 0
    for table, bounds, stored, bags in cases(rng):
        shards = RowShards(table, bounds)
        backend = backend_of(shards.tables)
        owners = [Owner(backend, shard.name) for shard in shards.tables]
        shards.load(owners, stored)
        got = shards.lookup(owners, bags)
        assert same_bits(got, split_by_hand(table, stored, bounds, bags)), (table, bounds)
        backend.close()
        compared += len(bags)
    assert compared == 6 * len(FORMATS) * len(WAYS)


def test_the_reference_merges_as_the_words_say():
    check(ReferenceBackend, seeded())


def test_a_card_merges_as_the_words_say():
    check(lambda tables: CardBackend(tables, fake_driver(FakeCard())), seeded())


def test_more_partials_than_a_frame_holds_are_continued():
    rng = seeded()
    table = Table("t", rows=40, dim=100, pooling="mean", order="split")
    local = rng.standard_normal((40, 100), dtype=np.float32)
    card, host = CardBackend([table], fake_driver(FakeCard())), ReferenceBackend([table])
    for backend in (card, host):
        backend.load("t", local)
    bags = random_bags(rng, table, 5, longest=300)
    count = len(bags["t"])
    owners = [
        Partials(rng.standard_normal((count, 100), dtype=np.float32), rng.integers(0, 3, count))
        for _ in range(11)
    ]
    got = card.merge(bags, {"t": owners})["t"]
    assert same_bits(got, host.merge(bags, {"t": owners})["t"])
    assert card.link_counters.requests > 5 * 4


def test_one_shard_is_the_whole_table():
    rng = seeded()
    table = Table("t", rows=30, dim=9, pooling="mean")
    stored = rng.standard_normal((30, 9), dtype=np.float32)
    shards, host = RowShards(table, [0, 30]), ReferenceBackend([table])
    backend = ReferenceBackend(shards.tables)
    shards.load([Owner(backend, "t.0")], stored)
    host.load("t", stored)
    bags = random_bags(rng, table, 20, longest=9)
    assert same_bits(shards.lookup([Owner(backend, "t.0")], bags["t"]), host.lookup(bags)["t"])


@pytest.mark.parametrize("bounds", [[0], [0, 5], [1, 30], [0, 9, 9, 30], [0, 20, 10, 30]])
def test_bounds_that_do_not_cut_the_rows(bounds):
    with pytest.raises(ConfigError, match="bounds are"):
        RowShards(Table("t", rows=30, dim=2, pooling="sum"), bounds)


def test_what_cannot_be_sharded():
    for table in (
        Table("t", rows=30, dim=2, pooling="none"),
        Table("t", rows=30, dim=2, pooling="sum", order="tree", tree_k=4),
    ):
        with pytest.raises(ConfigError, match="Leave such a table whole"):
            RowShards(table, [0, 30])
    shards = RowShards(Table("t", rows=30, dim=2, pooling="sum"), [0, 10, 30])
    with pytest.raises(ConfigError, match="1 owners"):
        shards.lookup(
            [Owner(ReferenceBackend(shards.tables), "t.0")],
            TableBags(np.zeros(0, np.int64), np.zeros(1, np.int64)),
        )


@pytest.mark.parametrize(
    "of", [ReferenceBackend, lambda t: CardBackend(t, fake_driver(FakeCard()))]
)
def test_partials_are_merged_in_order_split_only(of):
    table = Table("t", rows=30, dim=2, pooling="sum")
    backend = of([table])
    backend.load("t", np.ones((30, 2), np.float32))
    with pytest.raises(ConfigError, match="merged in order 'sequential'"):
        backend.merge(Bags.from_lists({"t": [[1]]}), {})
