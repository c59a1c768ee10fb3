# SPDX-License-Identifier: Apache-2.0
"""Train a DLRM as it is and with its tables offloaded: the same AUC, and the same bits in every weight.

Usage: `04_dlrm_training.py [TARGET ...]`. The clicks have a pattern that can be learned (see criteo.py).
"""

import copy
import sys
import tempfile
from pathlib import Path

import torch
from criteo import Batch, part, read_clicks, write_clicks
from dlrm import DLRM, auc, scaled_rows

from embnic.torch import offload

BATCH = 64


def train(model: torch.nn.Module, clicks: Batch) -> None:
    """Take Adagrad steps over the samples, once and in order."""
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1)
    for start in range(0, len(clicks.labels), BATCH):
        batch = part(clicks, start, start + BATCH)
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(batch), batch.labels)
        loss.backward()
        optimizer.step()


def score(model: torch.nn.Module, clicks: Batch) -> float:
    """Return the AUC."""
    with torch.no_grad():
        return auc(clicks.labels, model(clicks))


torch.set_num_threads(1)  # the layers are small: threads would wait for each other
for target in sys.argv[1:] or ["cpu", "model", "rtl:tiny"]:
    torch.manual_seed(0)
    small = target.startswith("rtl")  # the simulated card `tiny` holds 8 tables
    rows = scaled_rows(tables=4 if small else 26, most=200)
    samples, held_out = (1024, 512) if small else (2048, 512)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        write_clicks(file, samples + held_out, seed=4)
        clicks = read_clicks(file, rows)
    seen, unseen = part(clicks, 0, samples), part(clicks, samples, samples + held_out)
    plain = DLRM(rows)
    twin = copy.deepcopy(plain)
    train(plain, seen)
    with offload(twin, target=target) as handle:
        train(handle.model, seen)
        area = score(handle.model, unseen)
    assert area == score(plain, unseen)
    assert area > 0.7
    for name, weight in plain.state_dict().items():
        assert torch.equal(twin.state_dict()[name], weight), name
    print(f"{target}: AUC {area:.4f} of unseen clicks, as without it; all weights equal")
