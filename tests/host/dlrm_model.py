# SPDX-License-Identifier: Apache-2.0
"""A plain torch DLRM laid out as facebookresearch/dlrm is: `emb_l`, `apply_emb`, dot interaction."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["DLRM", "random_batch"]


def tower(widths: Sequence[int], last: nn.Module) -> nn.Sequential:
    """Return linear layers with ReLU between them and `last` at the end."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    layers[-1] = last
    return nn.Sequential(*layers)


class DLRM(nn.Module):
    """Map dense features [B, F] and one bag a table to a click probability [B, 1]."""

    def __init__(
        self,
        rows: Sequence[int],
        dim: int,
        dense: int,
        *,
        sparse: bool = False,
        weighted: bool = False,
    ) -> None:
        super().__init__()
        self.emb_l = nn.ModuleList(
            nn.EmbeddingBag(count, dim, mode="sum", sparse=sparse) for count in rows
        )
        self.v_W_l = [torch.linspace(0.5, 1.5, count) if weighted else None for count in rows]
        self.bot_l = tower((dense, 2 * dim, dim), nn.ReLU())
        pairs = len(rows) * (len(rows) + 1) // 2
        self.top_l = tower((dim + pairs, 2 * dim, 1), nn.Sigmoid())

    def apply_emb(self, lS_o, lS_i, emb_l, v_W_l):
        """Pool the bags of every table."""
        pooled = []
        for k, ids in enumerate(lS_i):
            weights = None if v_W_l[k] is None else v_W_l[k].gather(0, ids)
            pooled.append(emb_l[k](ids, lS_o[k], per_sample_weights=weights))
        return pooled

    def interact_features(self, x: torch.Tensor, pooled: list[torch.Tensor]) -> torch.Tensor:
        """Return x beside the dot products of all pairs."""
        features = torch.cat([x, *pooled], dim=1).view(len(x), -1, x.shape[1])
        products = torch.bmm(features, features.transpose(1, 2))
        below = torch.tril_indices(features.shape[1], features.shape[1], offset=-1)
        return torch.cat([x, products[:, below[0], below[1]]], dim=1)

    def forward(self, dense_x, lS_o, lS_i):
        """Return click probabilities."""
        x = self.bot_l(dense_x)
        pooled = self.apply_emb(lS_o, lS_i, self.emb_l, self.v_W_l)
        return self.top_l(self.interact_features(x, pooled))


def random_batch(
    model: DLRM, bags: int, *, longest: int = 5, generator: torch.Generator
) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
    """Return dense features, offsets and ids of one batch."""
    offsets, ids = [], []
    for bag in model.emb_l:
        lengths = torch.randint(0, longest + 1, (bags,), generator=generator)
        offsets.append(torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)[:-1]]))
        ids.append(torch.randint(0, bag.num_embeddings, (int(lengths.sum()),), generator=generator))
    features = model.bot_l[0].in_features
    return torch.randn(bags, features, generator=generator), offsets, ids
