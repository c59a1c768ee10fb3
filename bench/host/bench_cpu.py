#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure the CPU backend beside torch and FBGEMM: the speed table.

    python bench/host/bench_cpu.py --quick           20 shapes and all other parts, a few minutes
    python bench/host/bench_cpu.py                   all 192 shapes
    python bench/host/bench_cpu.py --only tails      grid, small, int8, tails, imports

Everything runs in one process over the same pages, in turns, on requests that no call before has just brought into the
caches; a figure is the median, in processor time of one thread (`tails` and `imports`: in time). Bounds checks are on.
torch 2.13 is needed; FBGEMM (fbgemm-gpu-cpu 1.8, which fits it) is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
import peers
from traffic import HOST, SEED, Ids, Shape, geomean, grid, names, seconds_beside

REQUESTS = 8
TAIL_SECONDS = 15.0  # of one implementation
FBGEMM = importlib.util.find_spec("fbgemm_gpu") is not None


def requests_of(shape: Shape, ids: Ids, count: int = REQUESTS) -> list[peers.Request]:
    """Return a few requests of the shape."""
    offsets = np.arange(shape.batch + 1, dtype=np.int64) * shape.length
    length = shape.batch * shape.length
    return [
        {name: (ids.take(length, at), offsets) for at, name in enumerate(names(shape.tables))}
        for _ in range(count)
    ]


def random_rows(rows: int, dim: int) -> Any:
    """Return float32 [rows, dim]."""
    return np.random.default_rng(SEED).random((rows, dim), np.float32)


class Grid:
    """Time every shape on embnic, torch, torch on small pages and FBGEMM."""

    def __init__(self, shapes: list[Shape], budget: float) -> None:
        """Take the shapes; `budget` seconds each."""
        self.shapes, self.budget = shapes, budget
        self.results: dict[Shape, dict[str, float]] = {}

    def run(self) -> None:
        """Print a line for each shape."""
        print(
            "ns a lookup: embnic, then how many times as long the others take; share of the limit of reading\n"
        )
        header = f"{'shape':34} {'embnic':>7} {'torch':>6} {'4 KB':>6} {'Split':>6} {'limit':>6}"
        print(header)
        tables = itertools.groupby(self.shapes, key=lambda s: (s.tables, s.rows, s.dim))
        for (count, rows, dim), group in tables:
            backend = peers.backend_of(count, random_rows(rows, dim), dim=dim)
            small = peers.small_page_weights(backend)
            for zipf, shapes in itertools.groupby(group, key=lambda s: s.zipf):
                ids = Ids(rows, zipf)
                for shape in shapes:
                    self._one(shape, backend, small, requests_of(shape, ids))
            del small
            backend.close()

    def _one(self, shape: Shape, backend: Any, small: Any, requests: list[peers.Request]) -> None:
        calls = {
            "embnic": peers.embnic_call(backend, requests),
            "torch": peers.torch_call(peers.shared_weights(backend), requests),
            "small": peers.torch_call(small, requests),
        }
        if FBGEMM:
            calls["split"] = peers.split_call(backend, requests)
        limits = peers.limit_calls(backend, requests) if shape.length >= 20 else []
        calls.update({f"limit{at}": call for at, call in enumerate(limits)})
        timed = seconds_beside(list(calls.values()), requests=REQUESTS, budget=self.budget)
        seconds = dict(zip(calls, timed, strict=True))
        if limits:
            seconds["limit"] = min(seconds[f"limit{at}"] for at in range(len(limits)))
        self.results[shape] = seconds
        ratios = [
            f"{seconds[key] / seconds['embnic']:6.2f}" if key in seconds else f"{'':6}"
            for key in ("torch", "small", "split", "limit")
        ]
        print(
            f"{shape!s:34} {seconds['embnic'] / shape.lookups * 1e9:7.1f} {' '.join(ratios)}",
            flush=True,
        )

    def summary(self) -> None:
        """Print what the shapes amount to."""

        def ratios(key: str, **only: Any) -> list[float]:
            return [
                seconds[key] / seconds["embnic"]
                for shape, seconds in self.results.items()
                if key in seconds
                and all(getattr(shape, axis) == value for axis, value in only.items())
            ]

        print(
            f"\n{len(self.results)} shapes, geometric means of how many times as long the others take"
        )
        for key, title in (
            ("torch", "torch, same pages"),
            ("small", "torch, its own pages of 4 KB"),
            ("split", "FBGEMM Split TBE"),
        ):
            if found := ratios(key):
                by_batch = ", ".join(
                    f"B{batch} {geomean(ratios(key, batch=batch)):.2f}" for batch in (64, 1024)
                )
                by_length = ", ".join(
                    f"L{n} {geomean(ratios(key, length=n)):.2f}" for n in (1, 20, 80)
                )
                print(
                    f"{title}: {geomean(found):.2f}, worst {min(found):.2f} ({by_batch}; {by_length})"
                )
        if found := ratios("limit"):
            torch = [s["limit"] / s["torch"] for s in self.results.values() if "limit" in s]
            print(
                f"share of the limit, L >= 20: {geomean(found):.1%}, worst {min(found):.1%}; torch {geomean(torch):.1%}"
            )


def small_batches(budget: float) -> None:
    """B = 1 and 64 on 8 tables like those of recommendation models."""
    print("\n8 tables of 250,000 rows, ids Zipf 1.05, calls in a row: us a call")
    for batch in (1, 64):
        found = {"torch": [], "split": []}
        for dim, length in ((64, 80), (128, 20), (64, 1), (32, 80)):
            shape = Shape(8, 250_000, dim, length, batch, 1.05)
            backend = peers.backend_of(8, random_rows(shape.rows, dim), dim=dim)
            count = (
                256 if batch == 1 else 16
            )  # so that most rows are not in the L2 cache from the last time
            requests = requests_of(shape, Ids(shape.rows, shape.zipf), count)
            calls = [
                peers.embnic_call(backend, requests),
                peers.torch_call(peers.shared_weights(backend), requests),
            ]
            if FBGEMM:
                calls.append(peers.split_call(backend, requests))
            repeats = 32 if batch == 1 else 4
            ours, *others = seconds_beside(calls, requests=count, budget=budget, repeats=repeats)
            for key, theirs in zip(found, others, strict=False):
                found[key].append(theirs / ours)
            shown = ", ".join(
                f"{key} {each * 1e6:.1f}" for key, each in zip(found, others, strict=False)
            )
            print(f"B{batch} dim {dim} L{length}: embnic {ours * 1e6:.1f}, {shown}", flush=True)
            backend.close()
        print(
            f"B{batch}: "
            + ", ".join(f"{key} {geomean(v):.1f}x as long" for key, v in found.items() if v)
        )


def int8_rows(budget: float, quick: bool) -> None:
    """int8 rows against FBGEMM's IntNBit inference tables."""
    if not FBGEMM:
        print("\nint8: FBGEMM is not installed")
        return
    print("\nint8 rows, 8 tables, against FBGEMM IntNBit: ns a lookup")
    found = []
    rows_of = (100_000,) if quick else (100_000, 1_000_000)
    for rows, dim in itertools.product(rows_of, (32, 64, 128)):
        backend = peers.backend_of(8, random_rows(rows, dim), dim=dim, dtype="int8_front")
        stored = backend.rows("t0")
        for length, batch, zipf in itertools.product((1, 20, 80), (64, 1024), (0.0, 1.05)):
            shape = Shape(8, rows, dim, length, batch, zipf)
            requests = requests_of(shape, Ids(rows, zipf))
            calls = [
                peers.embnic_call(backend, requests),
                peers.nbit_call("INT8", 8, stored, dim, requests),
            ]
            ours, theirs = seconds_beside(calls, requests=REQUESTS, budget=budget)
            found.append(theirs / ours)
            each = 1e9 / shape.lookups
            print(
                f"{shape!s:34} {ours * each:6.1f} {theirs * each:6.1f} {theirs / ours:6.2f}",
                flush=True,
            )
        backend.close()
    print(f"int8: geometric mean {geomean(found):.2f}, worst {min(found):.2f}")


def _spin(core: int) -> None:
    os.sched_setaffinity(0, {core})
    while True:
        pass


def tails(calls: int) -> None:
    """The 95th percentile of a call, B = 64, L = 20, with a busy process on one core."""
    import torch

    shape = Shape(8, 500_000, 64, 20, 64, 1.05)
    backend = peers.backend_of(8, random_rows(shape.rows, 64), dim=64, threads=2)
    requests = requests_of(shape, Ids(shape.rows, shape.zipf))
    torch.set_num_threads(2)
    ours = peers.embnic_call(backend, requests)
    theirs = peers.torch_call(peers.shared_weights(backend), requests)
    print(f"\n{shape}, 2 threads, a busy process pinned to core 1: us a call, in time")
    hog = multiprocessing.get_context("spawn").Process(target=_spin, args=(1,), daemon=True)
    hog.start()
    time.sleep(1.0)
    for name, call in (("embnic", ours), ("torch", theirs)):
        taken: list[float] = []
        while len(taken) < calls and sum(taken) < TAIL_SECONDS:
            begin = time.perf_counter()
            call(len(taken) % REQUESTS)
            taken.append(time.perf_counter() - begin)
        p50, p95, p99 = np.percentile(taken, (50, 95, 99)) * 1e6
        print(
            f"{name:6} p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f} ({len(taken)} calls)", flush=True
        )
    hog.kill()
    hog.join()
    torch.set_num_threads(1)
    backend.close()


def imports() -> None:
    """Import the package with numpy alone."""
    program = (
        f"import sys, time; sys.path.insert(0, {str(HOST)!r}); t = time.process_time(); import embnic; "
        "print(time.process_time() - t, 'torch' in sys.modules)"
    )
    taken = []
    for _ in range(9):
        ran = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        seconds, with_torch = ran.stdout.split()
        assert with_torch == "False"
        taken.append(float(seconds))
    print(
        f"\nimport embnic: {statistics.median(taken) * 1e3:.0f} ms of processor time, without torch"
    )


def main() -> None:
    """Print the parts that are asked for."""
    parts = ("grid", "small", "int8", "tails", "imports")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="20 shapes")
    parser.add_argument(
        "--only", choices=parts, action="append", help="this part alone; may be repeated"
    )
    parser.add_argument("--budget", type=float, default=1.0, help="seconds a shape takes")
    args = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        sys.exit("torch is not installed: pip install torch==2.13.0 (the CPU build)")
    import torch

    torch.set_num_threads(1)
    wanted = args.only or parts
    native = peers.backend_of(1, random_rows(10, 8), dim=8).native
    print(
        f"{platform.processor() or platform.machine()}, {native.isa}, {os.cpu_count()} cores, torch {torch.__version__}"
    )
    if "grid" in wanted:
        measured = Grid(grid(args.quick), args.budget)
        measured.run()
        measured.summary()
    if "small" in wanted:
        small_batches(args.budget)
    if "int8" in wanted:
        int8_rows(args.budget / 2, args.quick)
    if "tails" in wanted:
        tails(2000)
    if "imports" in wanted:
        imports()


if __name__ == "__main__":
    main()
