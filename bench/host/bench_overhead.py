#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure what a call costs beside its work: one bag of one id of dim 64, the import, merging, awaiting.

    python bench/host/bench_overhead.py

Each line is measured in blocks of 100 calls; the blocks of all lines take turns in one process, so that a slow moment
of the machine is one for all of them. Printed are the median and the least block, in microseconds a call. torch's
`nn.EmbeddingBag` (one thread, no gradients) takes its turns too, if torch is installed. All vectors are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

HOST = Path(__file__).resolve().parents[2] / "host"
sys.path.insert(0, str(HOST))

import embnic  # noqa: E402
from embnic.bag_arrays import NATIVE  # noqa: E402

ROWS, DIM, BLOCK, SEED = 100_000, 64, 100, 1
TIMED_IMPORT = """
import time
wall, used = time.perf_counter(), time.process_time()
import {name}
print(1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - used))
"""


def calls(engine: embnic.Engine, rows: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name; each answers the same bag."""
    ids, starts = np.array([4711], np.int64), np.array([0], np.int64)
    bags = embnic.Bags.from_torch({"item": (ids, starts)})
    out = {"item": np.empty((1, DIM), np.float32)}
    found: dict[str, Callable[[], object]] = {
        "Engine.lookup": lambda: engine.lookup(bags)["item"],
        "Engine.lookup, out=": lambda: engine.lookup(bags, out)["item"],
        "Bags.from_torch + Engine.lookup": lambda: engine.lookup(
            embnic.Bags.from_torch({"item": (ids, starts)})
        )["item"],
        "Bags.from_torch": lambda: embnic.Bags.from_torch({"item": (ids, starts)}),
    }
    try:
        import torch
    except ImportError:
        return found
    torch.set_num_threads(1)
    module = torch.nn.EmbeddingBag(ROWS, DIM, mode="sum", _weight=torch.from_numpy(rows))
    module.requires_grad_(False)
    torch_ids, torch_starts = torch.from_numpy(ids), torch.from_numpy(starts)
    found["torch nn.EmbeddingBag"] = lambda: module(torch_ids, torch_starts)
    return found


def overhead(blocks: int) -> None:
    """Print the lines of single calls."""
    rows = np.random.default_rng(SEED).standard_normal((ROWS, DIM), dtype=np.float32)
    with embnic.open([embnic.Table("item", rows=ROWS, dim=DIM, pooling="sum")], "cpu") as engine:
        engine.load("item", rows)
        measured = calls(engine, rows)
        taken: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(blocks):
            for name, call in measured.items():
                start = time.perf_counter()
                for _ in range(BLOCK):
                    vectors = call()
                taken[name].append((time.perf_counter() - start) / BLOCK * 1e6)
                if not isinstance(vectors, embnic.Bags):
                    assert np.array_equal(np.asarray(vectors), rows[4711:4712]), name
    peer = float(np.median(taken.get("torch nn.EmbeddingBag", [np.nan])))
    code = "numpy" if NATIVE is None else "native"
    print(f"one bag of one id, dim {DIM}, target cpu ({code} code), {blocks} blocks of {BLOCK}:")
    for name, times in taken.items():
        middle = float(np.median(times))
        print(
            f"  {name:32} median {middle:6.2f} us, least {min(times):6.2f} us, "
            f"{middle / peer:5.2f} of torch's"
        )


def imports(repeats: int) -> None:
    """Print how long the imports take, each in a fresh process, by turns; bytecode is there, as when installed."""
    taken: dict[str, list[list[float]]] = {"numpy": [], "embnic": []}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(HOST), "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for repeat in range(-1, repeats):
            for name, times in taken.items():
                command = [sys.executable, "-c", TIMED_IMPORT.format(name=name)]
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, check=True
                )
                if repeat >= 0:
                    times.append([float(word) for word in done.stdout.split()])
    for name, times in taken.items():
        (wall, used), (least, _) = np.median(times, axis=0), np.min(times, axis=0)
        print(
            f"import {name:7} median {wall:6.1f} ms, least {least:6.1f} ms; {used:6.1f} ms of processor time"
            + (" (numpy among it)" if name == "embnic" else "")
        )


def side_by_side(seconds: float) -> None:
    """Print lookups a second of several threads on one engine, alone and merged, and awaited ones."""
    rng = np.random.default_rng(SEED)
    rows = rng.standard_normal((ROWS, DIM), dtype=np.float32)
    table = embnic.Table("item", rows=ROWS, dim=DIM, pooling="sum")
    batchings = {"alone": None, "merged": embnic.Batching(max_wait_us=200, max_bags=1024)}
    for bags, length in ((1, 1), (64, 20)):
        ids = rng.integers(0, ROWS, (bags, length))
        request = embnic.Bags.from_torch({"item": (ids,)})
        for name, batching in batchings.items():
            with embnic.open([table], "cpu", batching=batching) as engine:
                engine.load("item", rows)
                rates = [_rate(engine, request, threads, seconds) for threads in (1, 2, 8)]
            shown = " / ".join(f"{rate:,.0f}" for rate in rates)
            print(f"{bags} bags of {length}, {name}: {shown} lookups/s with 1 / 2 / 8 threads")
    with embnic.open([table], "cpu") as engine:
        engine.load("item", rows)
        request = embnic.Bags.from_torch({"item": (rng.integers(0, ROWS, (1, 1)),)})
        print(
            f"awaited, 64 at a time: {asyncio.run(_awaited(engine, request, seconds)):,.0f} a second"
        )


def _rate(engine: embnic.Engine, bags: embnic.Bags, threads: int, seconds: float) -> float:
    end, counts = time.perf_counter() + seconds, [0] * threads

    def ask(at: int) -> None:
        while time.perf_counter() < end:
            engine.lookup(bags)
            counts[at] += 1

    workers = [threading.Thread(target=ask, args=(at,)) for at in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / seconds


async def _awaited(engine: embnic.Engine, bags: embnic.Bags, seconds: float) -> float:
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        await asyncio.gather(*(engine.alookup(bags) for _ in range(64)))
        count += 64
    return count / seconds


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=300)
    parser.add_argument("--imports", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each line with threads")
    given = parser.parse_args()
    overhead(given.blocks)
    imports(given.imports)
    side_by_side(given.seconds)


if __name__ == "__main__":
    main()
