#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ask the fast model of `line100` what rows of other cards leave to local ones.

    python bench/bench_model_remote.py

Requests of 160 keys, bags of 20, those of both tables in random order. All of it is cycles of the
model, which is not the core: that is what `bench/rtl/bench_datapath.py --only remote` measures.
Lines outstanding are Little's law over the whole run.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from embnic.config import Table
from embnic.gen.configs import CONFIGS
from embnic.model import CardModel, Latencies, Requests

BAG, FRAME, ROUNDS = 20, 160, 12
LINE_GBPS = 10_000.0  # the line is no limit
HOT, FAR, COLD = range(3)
TABLES = (
    Table("hot", rows=256, dim=64, pooling="sum"),
    Table("far", rows=1 << 20, dim=16, pooling="sum", owner=1),
    Table("cold", rows=1 << 20, dim=64, pooling="sum"),
)
Frame = tuple[NDArray[np.uint64], int]


def frames(number: int, rows: NDArray[np.int64]) -> list[Frame]:
    """Return whole request frames for rows of a table."""
    keys = rows[: len(rows) // FRAME * FRAME].astype(np.uint64) | np.uint64(number << 48)
    keys[BAG - 1 :: BAG] |= np.uint64(1 << 63)
    return [(part, TABLES[number].vec64) for part in keys.reshape(-1, FRAME)]


def run(card: CardModel, sent: list[Frame]) -> dict[str, int]:
    """Serve frames; return what the counters grew by."""
    before = card.counters()
    keys = np.concatenate([part for part, _ in sent])
    splits = np.arange(len(sent) + 1, dtype=np.int64) * FRAME
    vec64 = np.array([units for _, units in sent], np.int64)
    card.run(Requests(keys, splits, vec64, np.zeros(len(sent), np.int64)))
    return {name: value - before[name] for name, value in card.counters().items()}


def made(latency: int) -> CardModel:
    """Return a card whose owners answer after `latency` cycles, and which holds the hot rows."""
    card = CardModel("line100", latencies=Latencies(remote=latency), line_gbps=LINE_GBPS)
    for number, table in enumerate(TABLES):
        card.define(number, table, (1 << 22) * (number + 1) ** 4)
    run(card, frames(HOT, np.arange(1280) % TABLES[HOT].rows))
    return card


def main() -> int:
    """Print a line a measurement."""
    pool = CONFIGS["line100"].remote_fetches
    rng = np.random.default_rng(1)
    for latency in (2000, 8000):
        far = frames(FAR, rng.permutation(TABLES[FAR].rows)[: pool * ROUNDS])
        found = run(made(latency), far)
        rate = found["remote_fetches"] / found["cycles"]
        print(
            f"owners at {latency:,} cycles: {rate:.3f} lines/cycle, {rate * latency:,.0f} outstanding"
        )
        count = (latency - pool) // 4 * ROUNDS
        for name, number in (("hits", HOT), ("misses", COLD)):
            rows = rng.permutation(1 << 20)[:count] % TABLES[number].rows
            alone = run(made(latency), frames(number, rows))
            both = frames(number, rows) + far
            mixed = run(made(latency), [both[at] for at in rng.permutation(len(both))])
            cycles = mixed["cycles"]
            local = (mixed["exec_beats"] - mixed["remote_beats"]) / cycles
            print(
                f"  local {name}: {local:.3f} beats/cycle beside remote {mixed['remote_beats'] / cycles:.3f}, "
                f"{mixed['remote_fetches'] / cycles * latency:,.0f} outstanding; "
                f"alone {alone['exec_beats'] / alone['cycles']:.3f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
