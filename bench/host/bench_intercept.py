#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure what listening costs: a DLRM in torch, intercepted, shadowed, recorded; and operators that are no lookups.

    python bench/host/bench_intercept.py

One thread of torch, target `cpu`. The variants take turns in one process; printed are median and least processor
times of a call, all threads together, so that other load on the machine does not count. Every answer is compared with
torch's. A recording is salted and goes to a temporary file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "host"), str(ROOT / "examples")]

from dlrm import DLRM, multi_hot, scaled_rows  # noqa: E402

import embnic  # noqa: E402

LAYERS, CALLS = 50, 10


def measure(
    call: Callable[[], torch.Tensor],
    variants: dict[str, Callable[[], AbstractContextManager[object]]],
    rounds: int,
) -> None:
    """Print a line for each variant: `call` inside the context it makes."""
    expected = call()
    taken: dict[str, list[float]] = {name: [] for name in variants}
    opened = {name: make() for name, make in variants.items()}
    for number in range(rounds + 1):
        for name, context in opened.items():
            with context:
                call()  # opens the engine, fills caches
                start = time.process_time()
                for _ in range(CALLS):
                    got = call()
                if number:
                    taken[name].append((time.process_time() - start) / CALLS * 1e6)
            assert torch.equal(got, expected), name
            if name.startswith("recorded"):
                opened[name] = variants[name]()
    base = float(np.median(taken["torch"]))
    for name, times in taken.items():
        middle = float(np.median(times))
        print(
            f"  {name:12} median {middle:9.1f} us, least {min(times):9.1f} us, {middle / base:5.2f} of torch's"
        )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--samples", type=int, default=128)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = scaled_rows(26, 20_000)
    model = DLRM(rows).eval().requires_grad_(False)
    batch = multi_hot(rows, given.samples, seed=1)
    numbers = iter(range(10**9))
    with tempfile.TemporaryDirectory() as folder:
        variants: dict[str, Callable[[], AbstractContextManager[object]]] = {
            "torch": nullcontext,
            "intercepted": lambda: embnic.intercept(model, target="cpu", strict=True),
            "shadowed": lambda: embnic.testing.shadow(model, target="cpu"),
            "recorded": lambda: embnic.capture(model, Path(folder) / str(next(numbers))),
        }
        ids = sum(len(values) for values in batch.ids)
        print(f"DLRM, {len(rows)} tables, {given.samples} samples, {ids} ids a call:")
        measure(lambda: model(batch), variants, given.rounds)
    layers = torch.nn.Sequential(*(torch.nn.ReLU() for _ in range(LAYERS)))
    ones = torch.ones(8)
    plain = {"torch": nullcontext, "intercepted": lambda: embnic.intercept(target="cpu")}
    print(f"{LAYERS} operators that are no lookups:")
    measure(lambda: layers(ones), plain, given.rounds)


if __name__ == "__main__":
    main()
