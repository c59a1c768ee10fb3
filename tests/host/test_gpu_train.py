# SPDX-License-Identifier: Apache-2.0
"""Gradients on the GPU path: against exact arithmetic and torch within the named bound, the same bits every time."""

from __future__ import annotations

import os

import numpy as np
import pytest
from cases import difficult_rows, random_bags, same_bits, seeded

from embnic.arithmetic import widen
from embnic.bags import Bags
from embnic.config import Table
from embnic.errors import ConfigError
from embnic.gen.wire import DType

if os.environ.get("REQUIRE_TORCH") != "1":
    pytest.importorskip(
        "torch", reason="the GPU path needs torch; REQUIRE_TORCH=1 makes this a failure"
    )
    pytest.importorskip(
        "triton", reason="the GPU path needs triton; REQUIRE_TORCH=1 makes this a failure"
    )

import torch

from embnic.backends.gpu_tables import GpuTables
from embnic.backends.gpu_train import RowwiseAdagrad, Sgd, gradient_bound

TABLES = [
    Table("sum", rows=40, dim=8, pooling="sum"), Table("mean", rows=30, dim=6, pooling="mean", padding_idx=3),
    Table("half", rows=20, dim=12, pooling="sum", dtype="fp16"),
    Table("brain", rows=20, dim=5, pooling="mean", dtype="bf16"),
]  # fmt: skip
BAGS = 14


class Step:
    """One step over random bags: rows before and after, and the gradients."""

    def __init__(self, rng, optimizer, tables=TABLES, *, longest=9):
        self.held = GpuTables(tables)
        self.rows = {table.name: difficult_rows(rng, table, "normal") for table in tables}
        for name, rows in self.rows.items():
            self.held.load(name, rows)
        parts = [
            random_bags(
                rng, t, BAGS, longest=longest, weighted="normal" if t.name == "sum" else None
            )
            for t in tables
        ]
        self.bags = Bags({name: part[name] for part in parts for name in part})
        self.grads = {t.name: rng.standard_normal((BAGS, t.dim)).astype(np.float32) for t in tables}
        place = self.held.device.torch_device
        given = {name: torch.from_numpy(grad).to(place) for name, grad in self.grads.items()}
        self.held.backward(self.held.put(self.bags), given, optimizer=optimizer)

    def before(self, table):
        return widen(self.rows[table.name], table.dtype).astype(np.float64)

    def after(self, table):
        return self.held.rows(table.name).float().cpu().numpy()

    def exact(self, table):
        """Return the exact gradient float64 [rows, dim], the sum of magnitudes, and the keys of each row."""
        total = np.zeros((table.rows, table.dim))
        magnitude, keys = np.zeros_like(total), np.zeros(table.rows, int)
        for at in range(BAGS):
            ids, w = self.bags[table.name].bag(at)
            counted = ids != (-1 if table.padding_idx is None else table.padding_idx)
            for position in np.flatnonzero(counted):
                part = self.grads[table.name][at].astype(np.float64)
                part = part * (1.0 if w is None else float(w[position]))
                part = part / (counted.sum() if table.pooling.name == "MEAN" else 1)
                total[ids[position]] += part
                magnitude[ids[position]] += np.abs(part)
                keys[ids[position]] += 1
        return total, magnitude, keys


def half_unit(table, rows):
    """Return half a unit in the last place of the storage type."""
    bits = {DType.FP32: 24, DType.FP16: 11, DType.BF16: 8}[table.dtype]
    return np.exp2(np.floor(np.log2(np.maximum(np.abs(rows), 1e-4))) - bits)


def test_sgd_is_within_the_bound_of_exact_arithmetic_and_of_torch():
    rng, rate = seeded(), 0.125
    step = Step(rng, Sgd(rate))
    changed = 0
    for table in TABLES:
        gradient, magnitude, keys = step.exact(table)
        want = step.before(table) - rate * gradient
        slack = gradient_bound(
            keys[:, np.newaxis], rate * magnitude, np.abs(step.before(table)) + np.abs(want)
        )
        error = np.abs(step.after(table) - want)
        assert (error <= slack + half_unit(table, want)).all(), table
        untouched = keys == 0
        assert np.array_equal(
            step.after(table)[untouched], step.before(table)[untouched].astype(np.float32)
        )
        changed += int((~untouched).sum())
        if table.dtype is DType.FP32:
            theirs = torch_sgd(table, step, rate)
            assert (
                np.abs(step.after(table) - theirs) <= 2 * slack + half_unit(table, want)
            ).all(), table
    assert changed > 40


def torch_sgd(table, step, rate):
    """Return the rows after torch's sparse SGD."""
    module = torch.nn.EmbeddingBag(
        table.rows, table.dim, mode=table.pooling.name.lower(), sparse=True, include_last_offset=True,
        padding_idx=table.padding_idx, _weight=torch.from_numpy(step.rows[table.name].copy()),
    )  # fmt: skip
    given = step.bags[table.name]
    w = None if given.weights is None else torch.from_numpy(given.weights.copy())
    out = module(
        torch.from_numpy(given.values.copy()),
        torch.from_numpy(given.offsets.copy()),
        per_sample_weights=w,
    )
    out.backward(torch.from_numpy(step.grads[table.name]))
    torch.optim.SGD(module.parameters(), lr=rate).step()
    return module.weight.detach().numpy()


def test_row_wise_adagrad_is_fbgemms_formula():
    rng, optimizer = seeded(), RowwiseAdagrad(0.5, epsilon=1e-3)
    tables = TABLES[:2]
    step = Step(rng, optimizer, tables)
    for table in tables:
        gradient, _, keys = step.exact(table)
        state = (gradient**2).mean(axis=1)
        want = step.before(table) - (0.5 / (np.sqrt(state) + 1e-3))[:, np.newaxis] * gradient
        held = step.held.trainer.state(table).cpu().numpy()
        assert held == pytest.approx(state, rel=1e-5, abs=1e-12)
        assert step.after(table) == pytest.approx(want, rel=1e-5, abs=1e-5)
        assert (held[keys == 0] == 0).all()


def test_rows_with_hundreds_of_keys_are_summed_over_windows():
    rng = seeded()
    table = Table("sum", rows=3, dim=4, pooling="sum")
    held = GpuTables([table])
    rows = rng.standard_normal((3, 4), dtype=np.float32)
    held.load("sum", rows)
    ids = rng.permutation(np.repeat([0, 1, 2], [500, 3, 140]))
    bags = Bags.from_torch({"sum": (ids, np.arange(len(ids)))})
    grads = rng.standard_normal((len(ids), 4)).astype(np.float32)
    held.backward(
        held.put(bags),
        {"sum": torch.from_numpy(grads).to(held.device.torch_device)},
        optimizer=Sgd(1.0),
    )
    exact = np.stack([grads[ids == row].astype(np.float64).sum(axis=0) for row in range(3)])
    magnitude = np.stack(
        [np.abs(grads[ids == row]).astype(np.float64).sum(axis=0) for row in range(3)]
    )
    slack = gradient_bound(
        np.array([[500], [3], [140]]), magnitude, np.abs(rows).astype(np.float64)
    )
    assert (np.abs(held.rows("sum").cpu().numpy() - (rows - exact)) <= slack).all()


def test_the_same_step_gives_the_same_bits():
    seed = int(seeded().integers(1 << 30))
    first, second = (Step(np.random.default_rng(seed), Sgd(0.1), TABLES[:2]) for _ in range(2))
    for table in TABLES[:2]:
        assert same_bits(first.after(table), second.after(table))


def test_what_has_no_gradient_is_refused():
    place = GpuTables(TABLES).device.torch_device
    for table in (
        Table("t", rows=4, dim=4, pooling="max"), Table("t", rows=4, dim=4, pooling="sum", dtype="int8"),
        Table("t", rows=4, dim=4, pooling="sum", order="tree", tree_k=2),
    ):  # fmt: skip
        held = GpuTables([table])
        held.load("t", np.zeros((4, 4), np.float32))
        bags = held.put(Bags.from_lists({"t": [[1]]}))
        with pytest.raises(ConfigError, match="gradients of"):
            held.backward(bags, {"t": torch.zeros(1, 4, device=place)}, optimizer=Sgd(1.0))
    held = GpuTables([Table("t", rows=4, dim=4, pooling="sum")])
    held.load("t", np.zeros((4, 4), np.float32))
    bags = held.put(Bags.from_lists({"t": [[1]]}))
    for grads in ({}, {"t": torch.zeros(2, 4, device=place)}):
        with pytest.raises(ConfigError, match="The gradients of 't' are"):
            held.backward(bags, grads, optimizer=Sgd(1.0))
    with pytest.raises(ConfigError, match="Sgd or RowwiseAdagrad"):
        held.backward(bags, {"t": torch.zeros(1, 4, device=place)}, optimizer="sgd")
    held.backward(
        held.put(Bags.from_lists({"t": [[], []]})),
        {"t": torch.zeros(2, 4, device=place)},
        optimizer=Sgd(1.0),
    )
    assert not held.rows("t").any()
