#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure gathered bytes per second against the device's copy (read + write) bytes per second, in the same run.

    python bench/gpu/bench_gather.py              L 80, dim 128, fp32, uniform ids, rows far larger than the L2 cache
    python bench/gpu/bench_gather.py --sweep 1    and how the launch is cut, and other formats and dims

Gathered bytes are keys times row bytes; the vectors written and the ids read are not counted.
"""

from __future__ import annotations

import common
import torch

from embnic.backends.gpu_layout import Tuning
from embnic.backends.gpu_tables import GpuTables
from embnic.config import Table

CUTS = (
    Tuning(512, 8, 1), Tuning(512, 4, 1), Tuning(512, 16, 1), Tuning(1024, 8, 1), Tuning(1024, 4, 1),
    Tuning(1024, 8, 2), Tuning(2048, 8, 4), Tuning(2048, 4, 4), Tuning(2048, 16, 4),
)  # fmt: skip
OTHERS = (
    ("fp32", 32),
    ("fp32", 64),
    ("fp32", 256),
    ("fp16", 64),
    ("fp16", 128),
    ("bf16", 128),
    ("int8", 128),
)


def tables_of(dtype: str, dim: int, bytes_total: int, count: int = 8) -> list[Table]:
    """Return `count` tables that take `bytes_total` together."""
    one = Table("t", rows=1, dim=dim, pooling="sum", dtype=dtype)
    rows = max(bytes_total // count // (-(-one.row_bytes // 16) * 16), 16)
    return [Table(f"t{at}", rows=rows, dim=dim, pooling="sum", dtype=dtype) for at in range(count)]


def measure(held: GpuTables, bags: int, length: int) -> float:
    """Return gathered bytes per second."""
    tables = list(held.tables.values())
    flats = [common.uniform_bags(tables, bags, length) for _ in range(2)]
    turn = [0]

    def work() -> None:
        turn[0] += 1
        held.lookup_flat(flats[turn[0] % 2], check=False)

    row = tables[0].row_bytes
    return len(tables) * bags * length * row / common.seconds(work)


def main() -> None:
    """Print a line a measurement."""
    given = common.options(__doc__, sweep=0, length=80, bags=8192)
    torch.manual_seed(common.SEED)
    bags, size = (4, 1 << 16) if common.TINY else (given.bags, 8 << 30)
    copied = common.copy_bytes_per_second()
    print(f"copy (read + write): {copied / 1e9:,.0f} GB/s on {common.machine()['card']}")
    found = {
        "copy_gb_s": copied / 1e9,
        "length": given.length,
        "bags_per_table": bags,
        "tables": 8,
        "runs": [],
    }
    tables = tables_of("fp32", 128, size)
    held = GpuTables(tables)
    common.fill(held)
    for cut in CUTS if given.sweep else (held.tuning,):
        held.tuning = cut
        held.forget_plans()
        rate = measure(held, bags, given.length)
        found["runs"].append(
            {
                "dtype": "fp32",
                "dim": 128,
                "cut": str(cut),
                "gb_s": rate / 1e9,
                "of_copy": rate / copied,
            }
        )
        print(
            f"fp32 dim 128, L {given.length}: {rate / 1e9:,.0f} GB/s gathered, {rate / copied:.1%} of copy   {cut}"
        )
    held.close()
    for dtype, dim in OTHERS if given.sweep else ():
        tables = tables_of(dtype, dim, size // 2)
        held = GpuTables(tables)
        common.fill(held)
        rate = measure(held, bags, given.length)
        found["runs"].append(
            {
                "dtype": dtype,
                "dim": dim,
                "cut": "default",
                "gb_s": rate / 1e9,
                "of_copy": rate / copied,
            }
        )
        print(
            f"{dtype} dim {dim}, L {given.length}: {rate / 1e9:,.0f} GB/s gathered, {rate / copied:.1%} of copy"
        )
        held.close()
    common.save("gather", given.out, found)


if __name__ == "__main__":
    main()
