#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure `embnic.torch` beside torch: a lookup of one bag, with gradients, fused tables, a step of training.

    python bench/host/bench_torch.py

Target cpu. torch and embnic take turns, block by block, in one process, so that a slow moment of the machine is one for
both. Printed are the least and the median block, in microseconds of processor time a call. All results are compared.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "host"))

import torch
from torch import nn

from embnic.torch import EmbeddingBag, Mirror
from embnic.torch.modules import lookup_together

ROWS, DIM, TABLES = 100_000, 64, 8
Pair = dict[str, Callable[[], object]]


def bags(count: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and offsets of `count` bags of `length` ids."""
    return torch.randint(0, ROWS, (count * length,)), torch.arange(0, count * length, length)


def one_table(count: int, length: int, *, grad: bool) -> Pair:
    """Look one table up through the module; with `grad` in a graph, without backward."""
    theirs = nn.EmbeddingBag(ROWS, DIM, mode="sum")
    ours = EmbeddingBag(ROWS, DIM, mode="sum", _weight=theirs.weight.detach(), target="cpu")
    for module in (theirs, ours):
        module.requires_grad_(grad)
    given = bags(count, length)
    assert torch.equal(ours(*given), theirs(*given))
    return {"torch": lambda: theirs(*given), "embnic": lambda: ours(*given)}


def many_tables(count: int, length: int) -> Pair:
    """Look eight tables up: one module after the other, and fused."""
    theirs = [nn.EmbeddingBag(ROWS, DIM, mode="sum").requires_grad_(False) for _ in range(TABLES)]
    mirror = Mirror("cpu")
    ours = [EmbeddingBag.from_torch(module, mirror) for module in theirs]
    given = [bags(count, length) for _ in range(TABLES)]
    inputs = [(module, *pair, None) for module, pair in zip(ours, given, strict=True)]

    def by(modules: list[nn.EmbeddingBag]) -> list[torch.Tensor]:
        return [module(*pair) for module, pair in zip(modules, given, strict=True)]

    for pooled in (by(ours), lookup_together(inputs)):
        assert all(torch.equal(a, b) for a, b in zip(pooled, by(theirs), strict=True))
    return {
        "torch": lambda: by(theirs),
        "embnic": lambda: by(ours),
        "embnic, fused": lambda: lookup_together(inputs),
    }


def training(*, sparse: bool) -> Pair:
    """Do a step of SGD on 64 bags of 20 ids."""
    theirs = nn.EmbeddingBag(ROWS, DIM, mode="sum", sparse=sparse)
    weight = theirs.weight.detach().clone()
    ours = EmbeddingBag(ROWS, DIM, mode="sum", sparse=sparse, _weight=weight, target="cpu")
    given = bags(64, 20)

    def step(module: nn.EmbeddingBag, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        module(*given).sum().backward()
        optimizer.step()

    pairs = {"torch": theirs, "embnic": ours}
    made = {name: torch.optim.SGD(module.parameters(), lr=1e-3) for name, module in pairs.items()}
    for name, module in pairs.items():
        step(module, made[name])
    assert torch.equal(ours(*given), theirs(*given))
    return {
        "torch": lambda: step(theirs, made["torch"]),
        "embnic": lambda: step(ours, made["embnic"]),
    }


def measure(calls: Pair, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return microseconds a call of every block; a block takes about `seconds` of the processor."""
    start = time.process_time()
    calls["torch"]()
    calls["torch"]()
    repeats = max(1, int(seconds / max(1e-7, (time.process_time() - start) / 2)))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            for _ in range(repeats):
                call()
            found[name].append((time.process_time() - start) / repeats * 1e6)
    return found


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.02, help="of a block")
    chosen = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(1)
    cases: dict[str, Pair] = {
        "1 bag of 1 id": one_table(1, 1, grad=False),
        "1 bag of 1 id, in a graph": one_table(1, 1, grad=True),
        "64 bags of 20 ids": one_table(64, 20, grad=False),
        "8 tables, 1 bag of 20 ids": many_tables(1, 20),
        "8 tables, 64 bags of 20 ids": many_tables(64, 20),
        "step of SGD, dense gradient": training(sparse=False),
        "step of SGD, sparse gradient": training(sparse=True),
    }
    print(
        f"{ROWS} rows of {DIM} fp32, torch {torch.__version__}, least (median) us of processor time"
    )
    for what, calls in cases.items():
        found = measure(calls, chosen.rounds, chosen.seconds)
        shown = "  ".join(
            f"{name} {min(taken):9.1f} ({statistics.median(taken):.1f})"
            for name, taken in found.items()
        )
        print(f"{what:30s} {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
