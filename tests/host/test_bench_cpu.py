# SPDX-License-Identifier: Apache-2.0
"""The bench of the CPU path: its shapes, its ids, and the order in which calls are timed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "host"))
import itertools

import traffic


def test_the_grid_is_that_of_the_speed_table() -> None:
    """2 table counts, 2 sizes, 4 dims, 3 lengths, 2 batches, 2 distributions; the quick one has every value."""
    full, quick = traffic.grid(False), traffic.grid(True)
    assert len(set(full)) == 2 * 2 * 4 * 3 * 2 * 2
    assert set(quick) < set(full)
    for axis in ("tables", "dim", "length", "batch", "zipf"):
        assert {getattr(s, axis) for s in quick} == {getattr(s, axis) for s in full}
    assert max(s.tables * s.rows * s.dim * 4 for s in full) <= traffic.TABLE_BYTES


def test_ids_are_skewed_as_asked() -> None:
    """Uniform ids touch most rows; Zipf ids come back to a few; tables have hot rows of their own."""
    for zipf, least, most in ((0.0, 0.8, 1.0), (1.05, 0.0, 0.5)):
        ids = traffic.Ids(1000, zipf)
        drawn = ids.take(2000, 0)
        assert drawn.min() >= 0
        assert drawn.max() < 1000
        assert least < len(np.unique(drawn)) / 1000 <= most
        hot = [int(np.bincount(ids.take(2000, table), minlength=1000).argmax()) for table in (1, 2)]
        assert zipf == 0 or hot[0] != hot[1]


def test_no_call_gets_the_request_of_the_call_before_it() -> None:
    """In every round each call has a request of its own, and none has it twice in a row."""
    seen: list[tuple[int, int]] = []
    now = iter(range(1_000_000))
    calls = [lambda number, at=at: seen.append((at, number)) for at in range(3)]
    seconds = traffic.seconds_beside(calls, requests=8, budget=30.0, clock=lambda: float(next(now)))
    assert seconds == [1.0, 1.0, 1.0]
    rounds = seen[6:]
    assert len(rounds) >= 21
    for first in range(0, len(rounds), 3):
        assert len({number for _, number in rounds[first : first + 3]}) == 3
    for at in range(3):
        numbers = [number for who, number in rounds if who == at]
        assert all(a != b for a, b in itertools.pairwise(numbers))


def test_the_mean_of_ratios_is_geometric() -> None:
    """Twice and half as fast are one."""
    assert traffic.geomean([2.0, 0.5]) == pytest.approx(1.0)
