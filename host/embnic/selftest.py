# SPDX-License-Identifier: Apache-2.0
"""A few seconds of lookups and updates on a target, compared with the reference bit for bit."""

from __future__ import annotations

import numpy as np

from .backends.reference import ReferenceBackend
from .bags import Bags
from .config import Table
from .engine import open as open_engine

__all__ = ["SelfTestFailure", "run_selftest"]

ROWS, DIM, BAGS = 300, 40, 60


class SelfTestFailure(Exception):
    """A target gave other bits than the reference; the text says where."""


def run_selftest(target: str = "auto", *, seed: int = 1) -> str:
    """Check `target`; return one line that says what was compared, or raise SelfTestFailure."""
    rng = np.random.default_rng(seed)
    tables = [
        Table("sum", rows=ROWS, dim=DIM, pooling="sum"),
        Table("mean", rows=ROWS, dim=DIM, pooling="mean", padding_idx=7),
        Table("max", rows=ROWS, dim=DIM, pooling="max"),
    ]
    reference = ReferenceBackend(tables)
    compared = 0
    with open_engine(tables, target, fallback=False) as engine:
        for table in tables:
            rows = rng.standard_normal((ROWS, DIM), dtype=np.float32)
            reference.load(table.name, rows)
            engine.load(table.name, rows)
        for after in ("load", "update"):
            bags = Bags.from_lists(
                {
                    t.name: [
                        rng.integers(0, ROWS, int(n)).tolist() for n in rng.integers(0, 30, BAGS)
                    ]
                    for t in tables
                }
            )
            expected, found = reference.lookup(bags), engine.lookup(bags)
            for table in tables:
                wrong = np.any(
                    expected[table.name].view(np.uint32) != found[table.name].view(np.uint32),
                    axis=1,
                )
                if wrong.any():
                    raise SelfTestFailure(
                        f"target {engine.target}, table {table.name!r}, after the {after}: "
                        f"{int(wrong.sum())} of {BAGS} bags differ from the reference, "
                        f"the first is bag {int(wrong.argmax())} (seed {seed})"
                    )
                compared += BAGS
            ids = rng.choice(ROWS, 10, replace=False)
            rows = rng.standard_normal((10, DIM), dtype=np.float32)
            reference.update("sum", ids, rows)
            engine.update("sum", ids, rows)
        served = engine.stats()
        if served.bags_by_card + served.bags_by_cpu != compared:
            raise SelfTestFailure(
                f"{compared} bags were asked and {served.bags_by_card + served.bags_by_cpu} counted"
            )
        done = f"{compared} bags, {served.updates} updates"
        return f"selftest: target {engine.target}: {done}: bit-equal to the reference"
