#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure tables four times the device budget, a tenth of their rows cached, ids Zipf 1.05.

    python bench/gpu/bench_cached.py

Against it: the same pooling kernel reading every row from pinned host memory. Prints NVE's line, where MKPS is million
keys per second and Algo BW is keys times row bytes. The vectors of both are compared bit for bit.
"""

from __future__ import annotations

import common
import torch

from embnic.backends.gpu_layout import FlatBags
from embnic.backends.gpu_memory import Resolved
from embnic.backends.gpu_tables import GpuTables
from embnic.config import Table

EXPONENT = 1.05
BATCHES = 12


def host_gather(held: GpuTables, flat: FlatBags, lines: list[list[int]]) -> dict[str, torch.Tensor]:
    """Pool with every row read from host memory."""
    plan = held.plan(flat)
    out = torch.empty(plan.out_bytes, dtype=torch.uint8, device=common.DEVICE)
    keys = flat.ids.view(len(flat.names), -1)
    host = torch.tensor(lines, device=common.DEVICE)
    units = (host[:, :1] + keys * host[:, 1:]).reshape(-1)
    with held.device.scope():
        held.launch(plan, flat, Resolved(held.memory.memory, units, direct=True), out)
    return held.views(plan, out)


def host_bytes_per_second() -> float:
    """Return the bytes per second of a large copy from pinned host memory."""
    size = 1 << (20 if common.TINY else 29)
    source = torch.empty(size, dtype=torch.uint8, pin_memory=common.DEVICE == "cuda")
    target = torch.empty(size, dtype=torch.uint8, device=common.DEVICE)
    return size / common.seconds(lambda: target.copy_(source, non_blocking=True), repeats=5)


def line(name: str, seconds: float, keys: int, row_bytes: int) -> str:
    """Return NVE's line."""
    mkps, bandwidth = keys / seconds / 1e6, keys * row_bytes / seconds / 1e9
    return (
        f"{name}: Time: {seconds * 1e3:.3f} ms, MKPS: {mkps:,.1f}, Algo BW: {bandwidth:,.1f} GB/s"
    )


def main() -> None:
    """Print a line a way."""
    given = common.options(
        __doc__, rows=2_000_000, tables=8, bags=8192, length=20, dim=128, warm=40, profile=0
    )
    torch.manual_seed(common.SEED)
    if common.TINY:
        given.rows, given.tables, given.bags, given.length, given.dim, given.warm = (
            400,
            2,
            8,
            5,
            32,
            2,
        )
    tables = [
        Table(f"t{at}", rows=given.rows, dim=given.dim, pooling="sum") for at in range(given.tables)
    ]
    total = sum(table.rows * table.row_bytes for table in tables)
    held = GpuTables(tables, device_bytes=total // 10)

    common.fill(held)
    zipf = common.Zipf(given.rows, EXPONENT)
    orders = [torch.randperm(given.rows, device=common.DEVICE) for _ in tables]
    keys = given.bags * given.length

    def batch() -> FlatBags:
        ids = torch.cat([zipf.draw(keys, order) for order in orders])
        return common.flat_of(tables, ids, given.bags, given.length)

    for _ in range(given.warm):
        held.lookup_flat(batch(), check=False)
    batches = [batch() for _ in range(2 if common.TINY else BATCHES)]
    different = sum(int(part.unique().shape[0]) for part in batches[0].ids.view(given.tables, -1))
    lines = [[held.memory.host_unit(table), table.row_bytes // 16] for table in tables]
    before = held.stats()
    cached = held.lookup_flat(batches[0])
    gathered = host_gather(held, batches[0], lines)
    differ = sum(int((cached[n] != gathered[n]).any(1).sum()) for n in cached)

    def each() -> None:
        for flat in batches:
            held.lookup_flat(flat, check=False)

    def ahead() -> None:
        nxt = held.prefetch(batches[0])
        for at in range(len(batches)):
            now = nxt
            if at + 1 < len(batches):
                nxt = held.prefetch(batches[at + 1])
            held.lookup_flat(now, check=False)

    def direct() -> None:
        for flat in batches:
            host_gather(held, flat, lines)

    per_batch = keys * len(tables)
    found = {
        "total_bytes": total,
        "cache_bytes": total // 10,
        "keys_per_batch": per_batch,
        "vectors_that_differ": differ,
    }
    for name, work in (
        ("pinned-host gather", direct),
        ("cached", each),
        ("cached, prefetched", ahead),
    ):
        start = held.stats()
        took = common.wall(work, repeats=2, warm=1) / len(batches)
        end = held.stats()
        found[name] = took
        print(line(name, took, per_batch, tables[0].row_bytes), flush=True)
        asked = end["cache_keys"] - start["cache_keys"]
        if asked:
            missed = end["cache_misses"] - start["cache_misses"]
            print(
                f"   {missed:,} of {asked:,} keys missed ({missed / asked:.1%}); "
                f"conflicts {end['cache_conflicts'] - start['cache_conflicts']:,}"
            )
    best = min(found["cached"], found["cached, prefetched"])
    found["speedup"] = found["pinned-host gather"] / best
    found["mkps"] = per_batch / best / 1e6
    found["counters"] = {name: held.stats()[name] - before.get(name, 0) for name in held.stats()}
    link = host_bytes_per_second()
    found["host_copy_gb_s"] = link / 1e9
    print(
        f"{different:,} different rows among the {per_batch:,} keys of a batch; "
        f"copy from pinned memory {link / 1e9:,.1f} GB/s"
    )
    print(
        f"cached against pinned-host gather: {found['speedup']:.2f}x; {differ} vectors differ in a bit"
    )
    common.save("cached", given.out, found)
    if given.profile:
        common.profile(ahead)


if __name__ == "__main__":
    main()
