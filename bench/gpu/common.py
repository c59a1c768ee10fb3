# SPDX-License-Identifier: Apache-2.0
"""What the GPU benches share: the device, traffic made on it, timing, one JSON file a bench.

`--tiny` shrinks everything so that a bench runs in Triton's interpreter: its figures then mean nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "host"))

import torch

from embnic.backends.gpu_layout import FlatBags
from embnic.backends.gpu_tables import GpuTables
from embnic.config import Table

SEED = 1
TINY = "--tiny" in sys.argv
DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"


def options(text: str, **defaults: int) -> argparse.Namespace:
    """Parse the command line of a bench: one whole number for each default."""
    parser = argparse.ArgumentParser(description=text.strip().splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="for the interpreter")
    parser.add_argument(
        "--out", type=Path, default=Path("build/bench/gpu"), help="folder for the JSON file"
    )
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    return parser.parse_args()


def synchronize() -> None:
    """Wait for the device."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], Any], *, repeats: int = 20, warm: int = 3) -> float:
    """Return the median seconds of one call on the device, by events around each call."""
    if TINY:
        repeats, warm = 1, 1
    for _ in range(warm):
        work()
    synchronize()
    if DEVICE != "cuda":
        return wall(work, repeats=repeats, warm=0)
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    marks[0].record()
    for mark in marks[1:]:
        work()
        mark.record()
    synchronize()
    return statistics.median(a.elapsed_time(b) for a, b in itertools.pairwise(marks)) / 1e3


def wall(work: Callable[[], Any], *, repeats: int = 20, warm: int = 3) -> float:
    """Return the seconds of one call by the wall clock, over back-to-back calls and the wait at the end."""
    if TINY:
        repeats, warm = 1, 0
    for _ in range(warm):
        work()
    synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    synchronize()
    return (time.perf_counter() - start) / repeats


def profile(work: Callable[[], Any], *, lines: int = 14) -> None:
    """Print the device time of one call, by kernel."""
    from torch import profiler

    activities = [profiler.ProfilerActivity.CUDA, profiler.ProfilerActivity.CPU]
    with profiler.profile(activities=activities) as found:
        work()
        synchronize()
    events = [event for event in found.key_averages() if event.device_time_total]
    for event in sorted(events, key=lambda event: -event.self_device_time_total)[:lines]:
        print(f"   {event.self_device_time_total:9,.0f} us {event.count:5} x {event.key[:80]}")


def copy_bytes_per_second() -> float:
    """Return the bytes read plus written per second by the device's copy of a large tensor."""
    size = 1 << (20 if TINY else 32)
    source = torch.empty(size, dtype=torch.uint8, device=DEVICE).random_(0, 256)
    target = torch.empty_like(source)
    return 2 * size / seconds(lambda: target.copy_(source))


def fill(tables: GpuTables, *, scale: float = 1.0) -> None:
    """Load random rows into every table, made on the device a piece at a time."""
    for table in tables.tables.values():
        rows = torch.empty((table.rows, table.dim), dtype=torch.float32, device=DEVICE).normal_(
            0, scale
        )
        if table.quantised:
            tables.load(table.name, rows.cpu().numpy())
        else:
            kinds = {"FP16": torch.float16, "BF16": torch.bfloat16}
            tables.load(table.name, rows.to(kinds.get(table.dtype.name, torch.float32)))


def uniform_bags(tables: list[Table], bags: int, length: int) -> FlatBags:
    """Return `bags` bags of `length` uniform ids for every table."""
    ids = torch.cat(
        [torch.randint(0, table.rows, (bags * length,), device=DEVICE) for table in tables]
    )
    return flat_of(tables, ids, bags, length)


class Zipf:
    """Draw ids with P(rank k) ~ k**-exponent, the ranks scattered over the rows."""

    def __init__(self, rows: int, exponent: float) -> None:
        weights = torch.arange(1, rows + 1, dtype=torch.float64, device=DEVICE) ** -exponent
        self.edges = torch.cumsum(weights, 0) / weights.sum()
        self.rows = rows

    def draw(self, count: int, order: Any) -> Any:
        """Return `count` ids; `order` [rows] says which row has which rank."""
        points = torch.rand(count, dtype=torch.float64, device=DEVICE)
        return order[torch.searchsorted(self.edges, points).clamp(max=self.rows - 1)]


def flat_of(tables: list[Table], ids: Any, bags: int, length: int) -> FlatBags:
    """Return bags of one length from ids, table after table."""
    offsets = torch.arange(bags * len(tables) + 1, device=DEVICE) * length
    return FlatBags(tuple(t.name for t in tables), (bags,) * len(tables), ids, offsets)


def machine() -> dict[str, str]:
    """Name the machine and the versions."""
    import triton

    card = torch.cuda.get_device_name() if DEVICE == "cuda" else "Triton's interpreter"
    return {
        "card": card,
        "torch": torch.__version__,
        "triton": triton.__version__,
        "python": platform.python_version(),
    }


def save(name: str, out: Path, found: dict[str, Any]) -> None:
    """Write the figures as JSON."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(
        json.dumps({**machine(), **found}, indent=1) + "\n", encoding="utf-8"
    )
