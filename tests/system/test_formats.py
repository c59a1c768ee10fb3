# SPDX-License-Identifier: Apache-2.0
"""Every stored format and pooling through the simulated core and the HLS cores, in large numbers, bit for bit.

The bits are those of the cpu backend, which `tests/host/test_backends.py` compares with the reference; a sample of
every batch is compared with the reference itself.
"""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from cases import FORMATS, difficult_rows, random_bags, same_bits, seeded, table_of

import embnic
from embnic.backends.cpu import CpuBackend
from embnic.backends.reference import pool_bag
from embnic.bags import Bags
from embnic.config import Table
from embnic.gen.wire import DType, Pooling

WAYS = (
    {"pooling": "sum"},
    {"pooling": "sum", "padding_idx": 2},
    {"pooling": "mean"},
    {"pooling": "mean", "padding_idx": 0},
    {"pooling": "max", "padding_idx": 1},
    {"pooling": "none", "padding_idx": 3},
)
KINDS = ("normal", "wide", "ties", "subnormal", "special")

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None, reason="no g++: the core cannot be built"
)


def named(table: Table, name: str) -> Table:
    """Return the table under another name."""
    return Table(
        name,
        rows=table.rows,
        dim=table.dim,
        dtype=table.dtype,
        pooling=table.pooling,
        padding_idx=table.padding_idx,
        fixed_scale_exp=table.fixed_scale_exp,
    )


def random_tables(rng: np.random.Generator, largest: int) -> list[Table]:
    """Return a table of every format and way, of dims around the edges of chunks, beats and lines."""
    edges = [1, 15, 16, 17, 31, 32, 33, 48, 49, 64, 96, 97, 112, 113, 128, 240, 241, 496, 500]
    dims = [dim for dim in edges if dim <= largest] + [int(rng.integers(1, largest + 1))]
    return [
        named(table_of(dtype, rows=300, dim=int(rng.choice(dims)), **way), f"{dtype.name}-{at}")
        for dtype in FORMATS
        for at, way in enumerate(WAYS)
    ]


def batch(rng: np.random.Generator, tables: list[Table], bags: int, *, weighted: bool) -> Bags:
    """Return bags for every table, with weights where a table takes them."""
    parts = {}
    for table in tables:
        takes = weighted and table.pooling is Pooling.SUM and table.dtype is not DType.FIXED
        kind = "wide" if takes else None
        parts |= random_bags(rng, table, bags, longest=9, weighted=kind)
    return Bags(parts)


def run(target: str, *, rounds: int, bags: int, tables: int, largest: int) -> int:
    """Pool `rounds` batches; return how many bags were compared."""
    rng = seeded()
    some = random_tables(rng, largest)
    compared = 0
    for at in range(rounds):
        chosen = [some[i] for i in rng.permutation(len(some))[:tables]]
        host = CpuBackend(chosen)
        with embnic.open(chosen, target=target, fallback=False) as engine:
            rows = {
                t.name: difficult_rows(rng, t, KINDS[(at + n) % 5]) for n, t in enumerate(chosen)
            }
            for name, values in rows.items():
                engine.load(name, values)
                host.load(name, values)
            for weighted in (False, True):
                asked = batch(rng, chosen, bags, weighted=weighted)
                got, want = engine.lookup(asked), host.lookup(asked)
                for table in chosen:
                    assert same_bits(got[table.name], want[table.name]), (table, weighted)
                    part = asked[table.name]
                    first = pool_bag(table, rows[table.name], *part.bag(0))
                    mine = got[table.name][: int(part.offsets[1])]
                    mine = mine if table.pooling is Pooling.NONE else got[table.name][0]
                    assert same_bits(mine, first), (table, weighted)
                    compared += len(part)
            assert engine.stats().bags_by_cpu == 0
        host.close()
    return compared


@pytest.mark.parametrize("target", ["rtl:tiny", "hls:tiny", "hls:edge"])
def test_every_format_through_the_small_core(target):
    assert run(target, rounds=12, bags=25, tables=8, largest=128) == 12 * 2 * 25 * 8


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "target", [pytest.param("rtl:line100", marks=pytest.mark.slow), "hls:line100"]
)
def test_100_000_bags_of_every_format(target):
    compared = run(target, rounds=14, bags=80, tables=len(FORMATS) * len(WAYS), largest=500)
    assert compared >= 100_000
