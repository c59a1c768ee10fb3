#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare one fused launch with torch's CUDA EmbeddingBag, called table by table, for 26 to 856 tables.

    python bench/gpu/bench_tables.py

Both get ids and offsets that are on the device; ours as one key-major list, as a KeyedJaggedTensor holds them, torch's
as views of it that were made before. Time is the wall clock of back-to-back calls, so what the host takes to launch
counts, for both. The vectors are compared too: torch's CUDA kernels may round otherwise.
"""

from __future__ import annotations

import common
import torch
import torch.nn.functional as functional

from embnic.backends.gpu_tables import GpuTables
from embnic.config import Table

COUNTS = (26, 104, 416, 856)
SHAPES = (
    (512, 20, 64),
    (2048, 20, 64),
    (2048, 1, 64),
    (512, 80, 128),
)  # bags of a table, ids of a bag, dim


def compare(count: int, shape: tuple[int, int, int], rows: int) -> dict[str, float]:
    """Return seconds of both for one shape, and how many vectors differ in a bit."""
    bags, length, dim = shape
    tables = [Table(f"t{at}", rows=rows, dim=dim, pooling="sum") for at in range(count)]
    held = GpuTables(tables)
    common.fill(held)
    flat = common.uniform_bags(tables, bags, length)
    ids = flat.ids.view(count, -1)
    starts = torch.arange(bags, device=common.DEVICE) * length
    weights = [held.rows(table.name) for table in tables]
    calls = list(zip(ids.unbind(0), weights, strict=True))

    def theirs() -> list[torch.Tensor]:
        return [functional.embedding_bag(i, w, starts, mode="sum") for i, w in calls]

    def ours() -> dict[str, torch.Tensor]:
        return held.lookup_flat(flat, check=False)

    with torch.no_grad():
        pairs = zip(theirs(), ours().values(), strict=True)
        differ = sum(int((a != b).any(1).sum()) for a, b in pairs)
        found = {"torch": common.wall(theirs), "embnic": common.wall(ours)}
    held.close()
    return {**found, "speedup": found["torch"] / found["embnic"], "vectors_that_differ": differ}


def main() -> None:
    """Print a line a shape."""
    given = common.options(__doc__, rows=50_000)
    torch.manual_seed(common.SEED)
    found = []
    for shape in SHAPES if not common.TINY else ((4, 3, 8),):
        for count in COUNTS if not common.TINY else (3,):
            rows = 50 if common.TINY else given.rows
            one = compare(count, shape, rows)
            bags, length, dim = shape
            found.append(
                {"tables": count, "bags": bags, "length": length, "dim": dim, "rows": rows, **one}
            )
            print(
                f"{count:4} tables, B {bags}, L {length}, dim {dim}: torch {one['torch'] * 1e6:9,.0f} us, "
                f"embnic {one['embnic'] * 1e6:9,.0f} us, {one['speedup']:.2f}x; "
                f"{one['vectors_that_differ']} of {count * bags} vectors differ in a bit",
                flush=True,
            )
    common.save("tables", given.out, {"runs": found})


if __name__ == "__main__":
    main()
