# SPDX-License-Identifier: Apache-2.0
"""A plain DLRM in torch (Naumov and others, 2019): it knows nothing of embnic. And the shape of MLPerf's DLRM-v2."""

from __future__ import annotations

import numpy as np
import torch
from criteo import INTEGERS, Batch
from torch import nn

# MLPerf DLRM-v2: ids a bag and rows of each of the 26 tables.
HOTS = [3, 2, 1, 2, 6, 1, 1, 1, 1, 7, 3, 8, 1, 6, 9, 5, 1, 1, 1, 12, 100, 27, 10, 3, 1, 1]
ROWS = [40_000_000, 39_060, 17_295, 7_424, 20_265, 3, 7_122, 1_543, 63, 40_000_000, 3_067_956, 405_282, 10,
        2_209, 11_938, 155, 4, 976, 14, 40_000_000, 40_000_000, 40_000_000, 590_152, 12_973, 108, 36]  # fmt: skip


class DLRM(nn.Module):
    """Numbers through an MLP, categories through tables, dot products of all pairs, an MLP on top."""

    def __init__(self, rows: list[int], *, dim: int = 16) -> None:
        super().__init__()
        self.emb_l = nn.ModuleList(nn.EmbeddingBag(n, dim, mode="sum") for n in rows)
        for table in self.emb_l:
            bound = table.num_embeddings**-0.5
            nn.init.uniform_(table.weight, -bound, bound)
        self.bottom = nn.Sequential(
            nn.Linear(INTEGERS, 32), nn.ReLU(), nn.Linear(32, dim), nn.ReLU()
        )
        vectors = 1 + len(rows)
        pairs = vectors * (vectors - 1) // 2
        self.top = nn.Sequential(nn.Linear(dim + pairs, 32), nn.ReLU(), nn.Linear(32, 1))
        self.register_buffer("pairs", torch.tril_indices(vectors, vectors, -1), persistent=False)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the logit of a click for every sample, [B]."""
        x = self.bottom(batch.dense)
        tables = zip(self.emb_l, batch.ids, batch.offsets, strict=True)
        vectors = torch.stack([x, *(table(ids, offsets) for table, ids, offsets in tables)], dim=1)
        dots = torch.bmm(vectors, vectors.transpose(1, 2))
        chosen = dots[:, self.pairs[0], self.pairs[1]]
        return self.top(torch.cat([x, chosen], dim=1)).squeeze(1)


def scaled_rows(tables: int, most: int) -> list[int]:
    """Return the rows of MLPerf's first tables, at most `most` each."""
    return [min(rows, most) for rows in ROWS[:tables]]


def multi_hot(rows: list[int], samples: int, *, seed: int) -> Batch:
    """Return samples with MLPerf's number of ids in every bag, popular rows drawn often."""
    rng = np.random.default_rng(seed)
    ids = []
    for n, hot in zip(rows, HOTS, strict=False):
        drawn = (rng.pareto(1.05, samples * hot) * 3).astype(np.int64) % n
        ids.append(torch.from_numpy(drawn))
    offsets = [torch.arange(samples) * hot for hot in HOTS[: len(rows)]]
    dense = torch.from_numpy(rng.random((samples, INTEGERS), np.float32))
    return Batch(dense, ids, offsets, torch.zeros(samples))


def auc(labels: torch.Tensor, scores: torch.Tensor) -> float:
    """Return the area under the ROC curve: how often a click scores higher than no click, ties by half."""
    _, place, count = np.unique(scores.numpy(), return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    clicks = labels.numpy() > 0.5
    positive, negative = int(clicks.sum()), int((~clicks).sum())
    return float((rank[clicks].sum() - positive * (positive + 1) / 2) / (positive * negative))
