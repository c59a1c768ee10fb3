# SPDX-License-Identifier: Apache-2.0
"""Tables of order TREE through the simulated core, bit for bit."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from cases import FORMATS, difficult_rows, random_bags, same_bits, seeded, table_of

from embnic.backends.card import CardBackend
from embnic.backends.hls import open_hls
from embnic.backends.reference import pool_bag
from embnic.backends.rtl import attach_rtl
from embnic.bags import Bags
from embnic.config import Table
from embnic.errors import ConfigError
from embnic.gen.wire import DType, Pooling
from embnic_sim.card import SimCard

KINDS = ("wide", "ties", "special")
WAYS: tuple[dict[str, Any], ...] = (
    {"pooling": "sum"},
    {"pooling": "mean", "padding_idx": 29},
    {"pooling": "max"},
    {"pooling": "sum", "padding_idx": 2},
    {"pooling": "max", "padding_idx": 0},
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


def named(name: str, table: Table) -> Table:
    """Return the table under another name."""
    fields = {key: getattr(table, key) for key in Table.__dataclass_fields__}
    return Table(**{**fields, "name": name})


@BOTH
def test_trees_of_every_format_and_size(target):
    """Each format with each way and k, dims up to what leaves room, bags of 0 to 40 keys, some with padding."""
    rng = seeded()
    compared = saturations = 0
    for at, dtype in enumerate(FORMATS):
        tables = []
        for number, way in enumerate(WAYS):
            k = (2, 4, 8)[(at + number) % 3]
            most = 16 * (8 // k)
            dim = int(rng.choice([1, most, int(rng.integers(1, most + 1))]))
            tree = {"order": "tree", "tree_k": k}
            tables.append(named(f"t{number}", table_of(dtype, rows=30, dim=dim, **way, **tree)))
        with_rows = {t.name: difficult_rows(rng, t, KINDS[n % 3]) for n, t in enumerate(tables)}
        card = open_card(target, tables)
        for name, rows in with_rows.items():
            card.load(name, rows)
        for weighted in (None, "wide"):
            parts = {}
            for table in tables:
                takes = table.pooling is Pooling.SUM and dtype is not DType.FIXED
                kind = weighted if takes else None
                parts |= random_bags(rng, table, 10, longest=40, weighted=kind)
            got = card.lookup(Bags(parts))
            for table in tables:
                want = [
                    pool_bag(table, with_rows[table.name], *parts[table.name].bag(bag))
                    for bag in range(10)
                ]
                assert same_bits(got[table.name], np.stack(want)), (table, weighted)
                compared += 10
        saturations += card.stats()["saturations"]
        card.close()
    assert compared == len(FORMATS) * len(WAYS) * 2 * 10
    assert saturations > 0


@BOTH
def test_more_running_sums_than_fit_are_refused(target):
    for k, dim, most in ((16, 4, 8), (8, 17, 4), (2, 80, 1)):
        tree = Table("t", rows=4, dim=dim, pooling="sum", order="tree", tree_k=k)
        with pytest.raises(ConfigError, match=f"tree_k {k} with dim {dim}") as refused:
            open_card(target, [tree])
        assert (f"up to {most}" if most > 1 else "smaller dims") in str(refused.value)
