#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare backward and update with torch's EmbeddingBag(sparse=True) and torch.optim.SGD.

    python bench/gpu/bench_train.py

The forward pass is not timed in either. After one step the changed rows are compared within the named bound.
"""

from __future__ import annotations

import common
import torch

from embnic.backends.gpu_tables import GpuTables
from embnic.backends.gpu_train import RowwiseAdagrad, Sgd
from embnic.config import Table

RATE = 0.01


def compare(
    count: int, shape: tuple[int, int, int, int], exponent: float, *, profile: bool
) -> dict[str, float]:
    """Return seconds of a step of both for `count` tables of `rows` x `dim`, `bags` bags of `length` ids each."""
    rows, dim, bags, length = shape
    tables = [Table(f"t{at}", rows=rows, dim=dim, pooling="sum") for at in range(count)]
    held = GpuTables(tables)
    common.fill(held)
    if exponent:
        zipf = common.Zipf(rows, exponent)
        ids = torch.cat(
            [zipf.draw(bags * length, torch.randperm(rows, device=common.DEVICE)) for _ in tables]
        )
        flat = common.flat_of(tables, ids, bags, length)
    else:
        flat = common.uniform_bags(tables, bags, length)
    grads = {table.name: torch.randn(bags, dim, device=common.DEVICE) for table in tables}
    starts = torch.arange(bags, device=common.DEVICE) * length
    modules = []
    for at, table in enumerate(tables):
        module = torch.nn.EmbeddingBag(
            rows, dim, mode="sum", sparse=True, _weight=held.rows(table.name).clone()
        )
        modules.append((module, flat.ids.view(count, -1)[at]))
    optimizer = torch.optim.SGD([module.weight for module, _ in modules], lr=RATE)
    given = [grads[table.name] for table in tables]

    def forward() -> list[torch.Tensor]:
        return [module(ids, starts) for module, ids in modules]

    def theirs(outs: list[torch.Tensor]) -> None:
        torch.autograd.backward(outs, given)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def ours() -> None:
        held.backward(flat, grads, optimizer=Sgd(RATE))

    theirs(forward())
    ours()
    worst = max(
        float((m.weight.detach() - held.rows(t.name)).abs().max())
        for (m, _), t in zip(modules, tables, strict=True)
    )
    repeats = 1 if common.TINY else 10
    outs = [forward() for _ in range(repeats)]
    took = common.wall(lambda: theirs(outs.pop()), repeats=repeats, warm=0)
    found = {
        "torch": took,
        "embnic": common.wall(ours, repeats=repeats),
        "largest_difference": worst,
    }
    if profile:
        common.profile(ours)
    adagrad = RowwiseAdagrad(RATE)
    found["embnic_adagrad"] = common.wall(
        lambda: held.backward(flat, grads, optimizer=adagrad), repeats=repeats
    )
    held.close()
    return {**found, "speedup": found["torch"] / found["embnic"]}


def main() -> None:
    """Print a line a shape."""
    given = common.options(__doc__, profile=0)
    torch.manual_seed(common.SEED)
    runs = []
    cases = (
        (26, (200_000, 64, 2048, 20)),
        (8, (1_000_000, 128, 4096, 20)),
        (104, (100_000, 64, 512, 20)),
    )
    for count, shape in cases if not common.TINY else ((2, (50, 8, 4, 6)),):
        for exponent in (0.0, 1.05):
            one = compare(count, shape, exponent, profile=bool(given.profile) and shape[1] == 128)
            runs.append({"tables": count, "shape": shape, "zipf": exponent, **one})
            print(
                f"{count:4} tables {shape[0]:,} x {shape[1]}, B {shape[2]}, L {shape[3]}, "
                f"{'zipf 1.05' if exponent else 'uniform'}: torch {one['torch'] * 1e6:9,.0f} us, "
                f"embnic {one['embnic'] * 1e6:9,.0f} us, {one['speedup']:.2f}x "
                f"(Adagrad {one['embnic_adagrad'] * 1e6:,.0f} us); largest difference {one['largest_difference']:.2g}",
                flush=True,
            )
    common.save("train", given.out, {"runs": runs})


if __name__ == "__main__":
    main()
