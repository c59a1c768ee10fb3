# SPDX-License-Identifier: Apache-2.0
"""`Engine.lookup_at`: bags from and into memory at addresses give what `lookup` gives, or False; `Engine.host_rows`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import same_bits, seeded

import embnic
from embnic.backends.base import BagsAt
from embnic.backends.cpu import native_module

TABLES = [
    embnic.Table("sum", rows=50, dim=8, pooling="sum"),
    embnic.Table("mean", rows=30, dim=5, dtype="fp16", pooling="mean", padding_idx=3),
    embnic.Table("none", rows=30, dim=5, pooling="none"),
]

needs_native = pytest.mark.skipif(native_module() is None, reason="the extension is not built")


@pytest.fixture
def engine() -> Any:
    """Return an engine on the CPU with loaded tables."""
    rng = np.random.default_rng(1)
    with embnic.open(TABLES, target="cpu") as opened:
        for table in TABLES:
            opened.load(table.name, rng.standard_normal((table.rows, table.dim), np.float32))
        yield opened


class Asked:
    """Hold the arrays of one part while it is looked up."""

    def __init__(self, name: str, lists: list[list[int]], *, closed: bool, weighted: bool = False):
        table = next(table for table in TABLES if table.name == name)
        self.ids = np.array([one for ids in lists for one in ids], np.int64)
        ends = np.concatenate([[0], np.cumsum([len(ids) for ids in lists])]).astype(np.int64)
        self.offsets = ends if closed else ends[:-1].copy()
        self.weights = np.linspace(-1, 1, len(self.ids), dtype=np.float32) if weighted else None
        self.out = np.full((len(lists), table.dim), 7, np.float16 if name == "mean" else np.float32)
        self.bags = embnic.Bags.from_torch(
            {name: (self.ids, ends, self.weights)}, include_last_offset=True
        )
        self.part = BagsAt(
            name,
            self.ids.ctypes.data,
            len(self.ids),
            self.offsets.ctypes.data,
            len(lists),
            closed,
            0 if self.weights is None else self.weights.ctypes.data,
            self.out.ctypes.data,
        )


@needs_native
def test_it_equals_lookup(engine: embnic.Engine) -> None:
    rng = seeded()
    for _ in range(200):
        asked = [
            Asked(
                name,
                [rng.integers(0, 30, int(rng.integers(0, 5))).tolist() for _ in range(bags)],
                closed=bool(rng.integers(2)),
                weighted=name == "sum" and bool(rng.integers(2)),
            )
            for name in rng.choice(["sum", "mean"], int(rng.integers(1, 4)))
            for bags in [int(rng.integers(0, 6))]
        ]
        before = engine.stats()
        assert engine.lookup_at([each.part for each in asked])
        counted = engine.stats()
        assert counted.bags - before.bags == sum(len(each.out) for each in asked)
        assert counted.card["lookups"] == before.card["lookups"] + 1
        for each in asked:
            assert same_bits(each.out, engine.lookup(each.bags)[each.part.table])


@needs_native
@pytest.mark.parametrize(
    "change",
    [
        {"table": "other"},
        {"table": "none"},
        {"total": 2},
        {"total": -1},
        {"bags": -1},
        {"weights": 1, "table": "mean"},
    ],
)
def test_what_is_not_right_is_left_to_lookup(engine: embnic.Engine, change: dict[str, Any]) -> None:
    asked = Asked("sum", [[1, 2], [3]], closed=True)
    assert not engine.lookup_at([asked.part._replace(**change)])
    assert engine.stats().bags == 0


@needs_native
@pytest.mark.parametrize("wrong", [-1, 50, 1 << 60])
def test_a_wrong_id_is_left_to_lookup(engine: embnic.Engine, wrong: int) -> None:
    asked = Asked("sum", [[1, 2], [3]], closed=False)
    asked.ids[1] = wrong
    assert not engine.lookup_at([asked.part])


@needs_native
@pytest.mark.parametrize("offsets", [[1, 2, 3], [0, 3, 2], [0, 2, 1 << 60], [0, -1, 3]])
def test_wrong_offsets_are_left_to_lookup(engine: embnic.Engine, offsets: list[int]) -> None:
    asked = Asked("sum", [[1, 2], [3]], closed=True)
    asked.offsets[:] = offsets
    assert not engine.lookup_at([asked.part])


def test_engines_that_cannot_say_so() -> None:
    asked = Asked("sum", [[1, 2], [3]], closed=True)
    for target in ("reference", "model:tiny"):
        with embnic.open(TABLES[:1], target=target) as opened:
            opened.load("sum", np.ones((50, 8), np.float32))
            assert not opened.lookup_at([asked.part])
    with embnic.open(TABLES[:1], target="cpu", batching=embnic.Batching()) as opened:
        opened.load("sum", np.ones((50, 8), np.float32))
        assert not opened.lookup_at([asked.part])
    assert not opened.lookup_at([asked.part])  # closed


def test_host_rows_are_a_view_that_cannot_be_written(engine: embnic.Engine) -> None:
    rows = engine.host_rows("sum")
    assert rows is not None and rows.shape == (50, 8)
    engine.update("sum", np.array([4]), np.full((1, 8), 9, np.float32))
    assert (rows[4] == 9).all()
    with pytest.raises(ValueError, match="read-only"):
        rows[0] = 1
    with embnic.open(TABLES[:1], target="reference") as other:
        other.load("sum", np.ones((50, 8), np.float32))
        assert other.host_rows("sum") is None
