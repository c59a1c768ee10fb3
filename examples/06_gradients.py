# SPDX-License-Identifier: Apache-2.0
"""Train an embedding table: the gradients of a batch are summed by row on the simulated card, each row is changed once,
and after every step the table is torch's within the named bound.

Gradients of one batch name hot rows again and again (Zipf 1.05 here). torch adds them in an order of its own, the
card in the order `tree`. So both tables start a step alike, and may then differ by what rounding allows.
"""

import sys

import numpy as np
import torch

import embnic
from embnic.compute import gradient_bound

target = sys.argv[1] if len(sys.argv) > 1 else "rtl"
ROWS, DIM, BATCH, STEPS, RATE = 300, 32, 512, 40, 0.005
rng = np.random.default_rng(1)
chance = 1 / np.arange(1, ROWS + 1) ** 1.05
start = rng.standard_normal((ROWS, DIM)).astype(np.float32)
wanted = rng.standard_normal((ROWS, DIM)).astype(np.float32)  # what the rows should become

item = embnic.Table("item", rows=ROWS, dim=DIM, pooling="sum")
model = torch.nn.Embedding(ROWS, DIM, _weight=torch.from_numpy(start.copy()))
optimizer = torch.optim.SGD(model.parameters(), lr=RATE)

with embnic.open([item], target=target) as engine:
    engine.load("item", start)
    losses, worst = [], 0.0
    for _ in range(STEPS):
        ids = rng.choice(ROWS, BATCH, p=chance / chance.sum())
        before = engine.host_rows("item").copy()
        with torch.no_grad():
            model.weight.copy_(torch.from_numpy(before))  # both begin alike
        looked_up = model(torch.from_numpy(ids))
        looked_up.retain_grad()
        loss = ((looked_up - torch.from_numpy(wanted[ids])) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))

        grads = looked_up.grad.numpy()
        found = engine.accumulate("item", ids, grads, optimizer=embnic.Sgd(RATE))
        mine, theirs = engine.host_rows("item"), model.weight.detach().numpy()
        for row in found.rows:
            own = grads[ids == row].astype(float)
            bound = 2 * gradient_bound(len(own), RATE * np.abs(own).sum(axis=0), before[row])
            share = (np.abs(mine[row].astype(float) - theirs[row]) / bound).max()
            worst = max(worst, float(share))
        untouched = np.setdiff1d(np.arange(ROWS), found.rows)
        assert (mine[untouched] == theirs[untouched]).all()
    assert worst <= 1, f"a row is {worst} times the bound from torch's"
    assert losses[-1] < losses[0] / 2
    assert not engine.stats().fallback_total  # nothing was left to the CPU
    print(
        f"{STEPS} steps of {BATCH} gradients on {engine.target}: loss {losses[0]:.0f} to {losses[-1]:.0f}"
    )
    print(f"rows changed as by torch.optim.SGD: at most {worst:.2f} of the named bound apart")
