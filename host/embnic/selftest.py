# SPDX-License-Identifier: Apache-2.0
"""A few seconds of lookups and updates on a target, compared with the reference bit for bit."""

from __future__ import annotations

import numpy as np

from .backends.reference import ReferenceBackend
from .bags import Bags
from .config import Table
from .engine import Engine

__all__ = ["SelfTestFailure", "run_selftest", "selftest_tables"]

ROWS, DIM, BAGS = 300, 40, 60
GENERATED = 32  # frames of a card's generator, for each table


class SelfTestFailure(Exception):
    """A target gave other bits than the reference; the text says where."""


def selftest_tables() -> list[Table]:
    """Return the tables that an engine to be tested must have been opened with."""
    return [
        Table("sum", rows=ROWS, dim=DIM, pooling="sum"),
        Table("mean", rows=ROWS, dim=DIM, pooling="mean", padding_idx=7),
        Table("max", rows=ROWS, dim=DIM, pooling="max"),
    ]


def run_selftest(engine: Engine, *, seed: int = 1) -> str:
    """Check an engine; return one line that says what was compared, or raise SelfTestFailure."""
    rng = np.random.default_rng(seed)
    tables = selftest_tables()
    reference = ReferenceBackend(tables)
    for table in tables:
        rows = rng.standard_normal((ROWS, DIM), dtype=np.float32)
        reference.load(table.name, rows)
        engine.load(table.name, rows)
    compared = 0
    for after in ("load", "update"):
        lengths = {t.name: rng.integers(0, 30, BAGS).tolist() for t in tables}
        bags = Bags.from_lists(
            {name: [rng.integers(0, ROWS, n).tolist() for n in ns] for name, ns in lengths.items()}
        )
        expected, found = reference.lookup(bags), engine.lookup(bags)
        for name in bags:
            wrong = np.any(expected[name].view(np.uint32) != found[name].view(np.uint32), axis=1)
            if wrong.any():
                raise SelfTestFailure(
                    f"target {engine.target}, table {name!r}, after the {after}: {int(wrong.sum())} of {BAGS} bags "
                    f"differ from the reference, the first is bag {int(wrong.argmax())} (seed {seed})"
                )
            compared += BAGS
        ids = rng.choice(ROWS, 10, replace=False)
        rows = rng.standard_normal((10, DIM), dtype=np.float32)
        reference.update("sum", ids, rows)
        engine.update("sum", ids, rows)
    served = engine.stats()
    if served.bags_by_card + served.bags_by_cpu != compared or (served.link and served.bags_by_cpu):
        raise SelfTestFailure(
            f"{compared} bags were asked, {served.bags_by_card} answered by the card, {served.bags_by_cpu} by the CPU"
        )
    engine.check_conservation()
    generated = _loopback(engine, tables)
    done = f"{compared} bags, {served.updates} updates"
    return f"selftest: target {engine.target}: {done}: bit-equal to the reference{generated}"


def _loopback(engine: Engine, tables: list[Table]) -> str:
    """Let a card with a frame generator ask itself; return what to add to the outcome."""
    total = 0
    for table in tables:
        made = engine.generate(table.name, frames=GENERATED)
        if made is None:
            return ""
        if not made.good:
            raise SelfTestFailure(
                f"target {engine.target}: the card's own frames for table {table.name!r}: {made}"
            )
        total += made.replies
    engine.check_conservation()
    return f"; {total} frames of its own generator answered"
