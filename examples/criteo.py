# SPDX-License-Identifier: Apache-2.0
"""Criteo's click logs, as in Kaggle's `train.txt` and the Terabyte `day_0` to `day_23`: write some, read any.

A line is a sample: the label, 13 whole numbers, 26 categories in hexadecimal, separated by tabs. Every field but the
label may be empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

INTEGERS, CATEGORIES = 13, 26


@dataclass(frozen=True)
class Batch:
    """Samples as DLRM takes them: dense float32 [B, 13]; ids and offsets of one bag a sample for each table."""

    dense: torch.Tensor
    ids: list[torch.Tensor]
    offsets: list[torch.Tensor]
    labels: torch.Tensor  # float32 [B]


def write_clicks(path: Path, samples: int, *, seed: int) -> None:
    """Write samples whose clicks can be learned: the first four categories and the first number change the odds.

    About one field in twenty is empty.
    """
    world = np.random.default_rng(1)  # the effects are those of one world, whatever the seed
    values = world.integers(0, 1 << 32, (CATEGORIES, 40), dtype=np.uint64)
    effects = np.zeros((CATEGORIES, 40))
    effects[:4] = world.normal(0, 1.5, (4, 40))
    rng = np.random.default_rng(seed)
    popular = 1 / np.arange(1, 41)
    which = rng.choice(40, (samples, CATEGORIES), p=popular / popular.sum())
    numbers = rng.negative_binomial(1, 0.05, (samples, INTEGERS)) - 1  # from -1, as Criteo's
    empty = rng.random((samples, INTEGERS + CATEGORIES)) < 0.05
    column = np.arange(CATEGORIES)
    odds = np.where(empty[:, INTEGERS:], 0, effects[column, which]).sum(axis=1)
    odds += 0.5 * (np.log1p(np.maximum(numbers[:, 0], 0)) * ~empty[:, 0] - 2)
    clicked = rng.random(samples) < 1 / (1 + np.exp(-odds))
    with path.open("w", encoding="ascii") as file:
        for at in range(samples):
            fields = [str(n) for n in numbers[at]]
            fields += [f"{int(v):08x}" for v in values[column, which[at]]]
            kept = ["" if gone else text for text, gone in zip(fields, empty[at], strict=True)]
            file.write("\t".join([str(int(clicked[at])), *kept]) + "\n")


def read_clicks(path: Path, rows: list[int]) -> Batch:
    """Read a whole file; category `t` is taken modulo `rows[t]`, an empty one is an empty bag.

    Numbers become log(1 + x); empty and negative ones 0. Categories beyond `rows` are left out.
    """
    labels, dense = [], []
    ids: list[list[int]] = [[] for _ in rows]
    ends: list[list[int]] = [[0] for _ in rows]
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), start=1):
        fields = line.split("\t")
        if len(fields) != 1 + INTEGERS + CATEGORIES or fields[0] not in ("0", "1"):
            raise ValueError(f"{path}, line {number}: not a label and 39 fields")
        labels.append(float(fields[0]))
        dense.append([max(int(text), 0) if text else 0 for text in fields[1 : 1 + INTEGERS]])
        for table, text in enumerate(fields[1 + INTEGERS :][: len(rows)]):
            if text:
                ids[table].append(int(text, 16) % rows[table])
            ends[table].append(len(ids[table]))
    return Batch(
        torch.log1p(torch.tensor(dense, dtype=torch.float32)),
        [torch.tensor(found, dtype=torch.int64) for found in ids],
        [torch.tensor(starts[:-1]) for starts in ends],
        torch.tensor(labels),
    )


def part(batch: Batch, start: int, stop: int) -> Batch:
    """Return the samples `start` to `stop`."""
    ids, offsets = [], []
    for values, starts in zip(batch.ids, batch.offsets, strict=True):
        first = int(starts[start])
        last = int(starts[stop]) if stop < len(starts) else len(values)
        ids.append(values[first:last])
        offsets.append(starts[start:stop] - first)
    return Batch(batch.dense[start:stop], ids, offsets, batch.labels[start:stop])
