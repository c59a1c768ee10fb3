#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare the path selector with every single path over a mix of requests, small and large.

    python bench/bench_selector.py

The paths are those of this machine: native code and numpy on the CPU (two paths, because their costs differ), and the
GPU if there is one. Each request runs on every path and through the selector, in random order, five times over; the
best of each counts, because other work on the machine makes single calls several times longer. All vectors are
compared. Printed are the seconds of the whole mix; the selector's include the choice, not the timed calls at the start.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path as File

import numpy as np

sys.path.insert(0, str(File(__file__).resolve().parents[1] / "host"))

from embnic.backends.cpu import CpuBackend, native_module
from embnic.bags import Bags
from embnic.config import Table
from embnic.gpu_probe import gpu_missing
from embnic.selector import Path, SelectBackend

SEED = 1
REPEATS = 5
TABLES = [Table(f"t{at}", rows=50_000, dim=64, pooling="sum") for at in range(4)]


def paths() -> list[Path]:
    """Return the paths of this machine, without rows."""
    found = [Path("cpu", CpuBackend(TABLES))]
    if native_module() is not None:
        found.append(Path("numpy", CpuBackend(TABLES, engine="numpy")))
    if not gpu_missing():
        from embnic.backends.gpu import GpuBackend

        found.append(Path("gpu", GpuBackend(TABLES)))
    return found


def mix(requests: int) -> list[Bags]:
    """Return requests of 4 to about 160,000 keys, as many small as large ones."""
    rng = np.random.default_rng(SEED)
    made = []
    for _ in range(requests):
        bags, length = int(2 ** rng.uniform(0, 11)), int(2 ** rng.uniform(0, 4.4))
        starts = np.arange(bags + 1, dtype=np.int64) * length
        ids = {table.name: (rng.integers(0, table.rows, bags * length), starts) for table in TABLES}
        made.append(Bags.from_torch(ids, include_last_offset=True))
    return made


def main() -> None:
    """Print a line a way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=200)
    given = parser.parse_args()
    chosen = SelectBackend(TABLES, paths())
    rng = np.random.default_rng(SEED)
    for table in TABLES:
        chosen.load(table.name, rng.standard_normal((table.rows, table.dim), dtype=np.float32))
    print("\n".join(chosen.describe()))
    spent = dict.fromkeys((*chosen.paths, "select"), 0.0)
    differ = 0
    for bags in mix(given.requests):
        answers: dict[str, dict[str, np.ndarray]] = {}
        best_of = dict.fromkeys(spent, float("inf"))
        for _ in range(REPEATS):
            for name in rng.permutation(list(spent)).tolist():
                backend = chosen if name == "select" else chosen.paths[name].backend
                start = time.perf_counter()
                answers[name] = backend.lookup(bags)
                best_of[name] = min(best_of[name], time.perf_counter() - start)
        for name, took in best_of.items():
            spent[name] += took
        want = answers["cpu"]
        differ += sum(
            not np.array_equal(found[name], want[name])
            for found in answers.values()
            for name in want
        )
    for name, took in spent.items():
        print(f"{name:8} {took:8.3f} s")
    best = min(took for name, took in spent.items() if name != "select")
    stats = chosen.stats()
    shares = ", ".join(f"{name} {stats[f'select_{name}_requests']}" for name in chosen.paths)
    print(
        f"select against the best single path: {spent['select'] / best:.3f} ({shares}); {differ} answers differ"
    )


if __name__ == "__main__":
    main()
