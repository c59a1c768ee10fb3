# SPDX-License-Identifier: Apache-2.0
"""The kernels beyond pooling through the engine: what they mean, their bounds against torch, wrong input."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from cases import seeded

import embnic
from embnic.compute import (
    NO_ROW,
    ReferenceKernels,
    RowwiseAdagrad,
    Sgd,
    gradient_bound,
    interact_bound,
)
from embnic.errors import ConfigError

TARGETS = ["cpu", "reference"] + (["hls:tiny"] if shutil.which("g++") else [])
DIM = 24


def opened(target, rows=50, **more):
    table = embnic.Table("item", rows=rows, dim=DIM, pooling="sum", **more)
    return embnic.open([table], target=target, fallback=False)


def bits(values):
    return np.ascontiguousarray(values).view(np.uint32)


@pytest.mark.parametrize("target", TARGETS)
def test_gradients_are_summed_by_row_in_the_order_of_trees(target):
    rng = seeded()
    ids, grads = rng.integers(0, 9, 200), rng.standard_normal((200, DIM)).astype(np.float32)
    with opened(target) as engine:
        engine.load("item", np.zeros((50, DIM), np.float32))
        found = engine.accumulate("item", ids, grads)
    want = ReferenceKernels().accumulate(ids, grads)
    assert (found.rows == want.rows).all() and (bits(found.sums) == bits(want.sums)).all()
    for row, total in zip(found.rows, found.sums, strict=True):
        mine = [np.zeros(DIM, np.float32) for _ in range(4)]
        for j, grad in enumerate(grads[ids == row]):
            mine[j % 4] = mine[j % 4] + grad
        assert (bits((mine[0] + mine[2]) + (mine[1] + mine[3])) == bits(total)).all()


@pytest.mark.parametrize("target", TARGETS)
def test_training_changes_the_rows_that_lookups_see(target):
    rng = seeded()
    weights = rng.standard_normal((50, DIM)).astype(np.float32)
    twin, state, kernels = weights.copy(), np.zeros(50, np.float32), ReferenceKernels()
    with opened(target) as engine:
        engine.load("item", weights)
        for step, optimizer in enumerate(
            (Sgd(0.1), RowwiseAdagrad(0.05), RowwiseAdagrad(0.05), Sgd(1e-3))
        ):
            ids, grads = rng.integers(0, 50, 60), rng.standard_normal((60, DIM)).astype(np.float32)
            engine.accumulate("item", ids, grads, optimizer=optimizer)
            found = kernels.accumulate(ids, grads)
            rows, after = kernels.apply(found, twin[found.rows], state[found.rows], optimizer)
            twin[found.rows], state[found.rows] = rows, after
            got = engine.lookup(embnic.Bags.from_lists({"item": [[row] for row in range(50)]}))[
                "item"
            ]
            assert (bits(got) == bits(twin + np.float32(0))).all(), step
        assert engine.stats().updates == 4
        assert not engine.stats().fallback_total


def test_loading_a_table_forgets_the_state_of_its_optimizer():
    grads, ids = np.ones((1, DIM), np.float32), np.array([3])
    with opened("cpu") as engine:
        results = []
        for _ in range(2):
            engine.load("item", np.zeros((50, DIM), np.float32))
            engine.accumulate("item", ids, grads, optimizer=RowwiseAdagrad(1.0))
            results.append(engine.host_rows("item")[3].copy())
        engine.accumulate("item", ids, grads, optimizer=RowwiseAdagrad(1.0))
        assert (bits(results[0]) == bits(results[1])).all()
        assert engine.host_rows("item")[3, 0] > 2 * results[0][0]  # the second step is shorter


@pytest.mark.parametrize("target", TARGETS)
def test_the_best_keep_the_order_of_equals(target):
    scores = np.float32([1, np.nan, 3, -0.0, 0.0, 3, -np.inf])
    with opened(target) as engine:
        assert engine.topk(scores, 4).ids.tolist() == [2, 5, 0, 3]
        assert engine.topk(scores, 9).ids.tolist() == [2, 5, 0, 3, 4, 6, NO_ROW, NO_ROW, NO_ROW]
        assert engine.topk(np.zeros(0, np.float32), 2).ids.tolist() == [NO_ROW, NO_ROW]


@pytest.mark.parametrize("target", TARGETS)
def test_interaction_of_pooled_vectors(target):
    rng = seeded()
    vectors = rng.standard_normal((3, 5, DIM)).astype(np.float32)
    with opened(target) as engine:
        dots = engine.interact(vectors)
    assert dots.shape == (3, 10)
    assert (bits(dots) == bits(ReferenceKernels().interact(vectors))).all()
    exact = np.einsum("bid,bjd->bij", vectors.astype(float), vectors.astype(float))
    high, low = np.tril_indices(5, -1)
    assert (np.abs(dots - exact[:, high, low]) <= interact_bound(vectors)).all()


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_what_is_too_large_for_the_cores_is_counted():
    with opened("hls:tiny") as engine:
        engine.interact(np.ones((1, 2, 200), np.float32))
        engine.topk(np.ones(100, np.float32), 70)
        assert dict(engine.stats().fallback_total) == {"kernel_too_large": 2}


@pytest.mark.torch
def test_interaction_is_torchs_within_the_named_bound():
    torch = pytest.importorskip("torch")
    rng = seeded()
    vectors = rng.standard_normal((64, 27, 128)).astype(np.float32)
    dots = ReferenceKernels().interact(vectors)
    wide = torch.from_numpy(vectors)
    high, low = np.tril_indices(27, -1)
    theirs = torch.bmm(wide, wide.transpose(1, 2)).numpy()[:, high, low]
    assert (np.abs(dots.astype(float) - theirs) <= 2 * interact_bound(vectors)).all()
    assert np.abs(dots - theirs).max() > 0  # the bound is not idle: the orders differ


@pytest.mark.torch
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_training_is_torchs_within_the_named_bound(optimizer):
    torch = pytest.importorskip("torch")
    rng = seeded()
    weights = rng.standard_normal((40, DIM)).astype(np.float32)
    ids = rng.zipf(1.2, 300) % 40
    grads = rng.standard_normal((300, DIM)).astype(np.float32)
    parameter = torch.nn.Parameter(torch.from_numpy(weights.copy()))
    rate = 0.1
    with opened("cpu", rows=40) as engine:
        engine.load("item", weights)
        if optimizer == "sgd":
            found = engine.accumulate("item", ids, grads, optimizer=Sgd(rate))
        else:
            found = engine.accumulate("item", ids, grads, optimizer=RowwiseAdagrad(rate))
        mine = engine.host_rows("item").copy()
    (parameter[torch.from_numpy(ids)] * torch.from_numpy(grads)).sum().backward()
    gradient = parameter.grad
    if optimizer == "sgd":
        torch.optim.SGD([parameter], lr=rate).step()
    else:  # row-wise Adagrad is FBGEMM's, not torch.optim's: its formula in torch
        with torch.no_grad():
            state = gradient.pow(2).mean(dim=1, keepdim=True)
            parameter -= rate / (state.sqrt() + 1e-8) * gradient
    theirs = parameter.detach().numpy()
    for row in found.rows:
        own = np.abs(grads[ids == row].astype(float))
        scale = (
            rate
            if optimizer == "sgd"
            else rate / max(np.sqrt((gradient[row].numpy() ** 2).mean()), 1e-8)
        )
        slack = gradient_bound(
            len(own) + (0 if optimizer == "sgd" else DIM), scale * own.sum(axis=0), weights[row]
        )
        assert (np.abs(mine[row].astype(float) - theirs[row]) <= 2 * slack).all(), row
    untouched = np.setdiff1d(np.arange(40), found.rows)
    assert (bits(mine[untouched]) == bits(weights[untouched])).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.accumulate("item", [0.5], np.ones((1, DIM), np.float32)), "ids of the gradients are float64"),
        (lambda e: e.accumulate("item", [1], np.ones((1, 3), np.float32)), r"float32 \[1, 3\].*float32 \[1, 24\]"),
        (lambda e: e.accumulate("item", [50], np.ones((1, DIM), np.float32)), "row 50.*0 to 49"),
        (lambda e: e.accumulate("other", [0], np.ones((1, DIM), np.float32)), "'other' does not exist"),
        (lambda e: e.topk([1, 2], 1), r"scores are int64 \[2\]"),
        (lambda e: e.topk(np.ones(3, np.float32), 0), "k is 0"),
        (lambda e: e.interact(np.ones((2, 3), np.float32)), r"vectors are float32 \[2, 3\]"),
    ],
)  # fmt: skip
def test_wrong_input_is_refused_in_words(call, message):
    with opened("cpu") as engine:
        engine.load("item", np.zeros((50, DIM), np.float32))
        with pytest.raises(ConfigError, match=message):
            call(engine)


def test_quantised_rows_are_not_trained():
    with opened("cpu", dtype="int8") as engine:
        engine.load("item", np.zeros((50, DIM), np.float32))
        assert engine.accumulate("item", [1], np.ones((1, DIM), np.float32)).rows.tolist() == [1]
        with pytest.raises(ConfigError, match="changed by gradients"):
            engine.accumulate("item", [1], np.ones((1, DIM), np.float32), optimizer=Sgd(0.1))
