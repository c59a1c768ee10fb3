#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure the fast model: lookups a second on one core, and its hit rates on a trace.

    python bench/bench_model.py                            generated traffic
    python bench/bench_model.py --rows meta_t500k_reuse_medium.txt

Seconds are of processor time, so that a shared machine disturbs less. `decisions` is the tag stage alone, fed in order. `decisions and cycles` is the whole card (line100, bags of 20 rows of
16 fp32 elements): frames, order of bags, tags, memory, pool, replies. The best of the rounds counts.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "host"))

import embnic
from embnic.framing import groups
from embnic.model import CacheModel, CardModel, Geometry, requests_of
from embnic.traffic import BagLengths, read_rows

BAG, DIM, ROUNDS = 20, 16, 5


def best(work: Callable[[], object]) -> float:
    """Return the processor seconds of the fastest round."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def card_rate(rows: np.ndarray, table: embnic.Table) -> tuple[float, dict[str, int]]:
    """Return lookups a second of the whole card, and its counters after all rounds."""
    card = CardModel("line100")
    card.define(0, table, 4096)
    offsets = np.arange(0, len(rows) + 1, BAG)
    rows = rows[: offsets[-1]]
    bags = embnic.Bags.from_torch({table.name: (rows, offsets)}, include_last_offset=True)
    requests = requests_of(groups(bags, {table.name: table}, {table.name: 0}), card.limits)
    seconds = best(lambda: card.run(requests))
    return len(rows) / seconds, card.counters()


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, help="a trace of one row id a line")
    chosen = parser.parse_args()
    rng = np.random.default_rng(1)
    hits = rng.integers(0, 3000, 1_000_000)
    cases = {"all rows fit": hits, "one row in four fits": rng.integers(0, 16_384, 1_000_000)}
    if chosen.rows:
        cases[chosen.rows.name] = read_rows(chosen.rows, BagLengths()).values
    for name, rows in cases.items():
        keys = rows.astype(np.uint64) << np.uint64(8)
        cache = CacheModel()
        rate = len(keys) / best(lambda cache=cache, keys=keys: cache.feed(keys))
        print(f"{name}: decisions                {rate / 1e6:7.1f} M lookups/s")
        table = embnic.Table("item", rows=int(rows.max()) + 1, dim=DIM, pooling="sum")
        rate, found = card_rate(rows, table)
        share = found["row_hits"] / found["keys"]
        print(f"{name}: decisions and cycles     {rate / 1e6:7.1f} M lookups/s, {share:.1%} hits")
    if chosen.rows:
        keys = cases[chosen.rows.name].astype(np.uint64) << np.uint64(8)
        for geometry in (Geometry(4, 1024), Geometry(8, 512), Geometry(4096, 1, "lru")):
            found = CacheModel(geometry).feed(keys)
            print(f"{geometry}: {found['hits'] / found['lookups']:.2%} hits")
    return 0


if __name__ == "__main__":
    sys.exit(main())
