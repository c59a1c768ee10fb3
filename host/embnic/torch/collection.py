# SPDX-License-Identifier: Apache-2.0
"""Stand in for torchrec's `EmbeddingBagCollection`: one fused lookup for all its tables. Needs torchrec."""

from __future__ import annotations

from typing import Any

import torch
import torchrec.modules.embedding_modules as torchrec_modules
from torchrec.sparse.jagged_tensor import KeyedTensor
from torchrec.sparse.tensor_dict import maybe_td_to_kjt

from .mirror import Mirror
from .modules import EmbeddingBag, lookup_together

__all__ = ["EmbeddingBagCollection"]


class EmbeddingBagCollection(torchrec_modules.EmbeddingBagCollection):
    """Pool the features of a KeyedJaggedTensor as torchrec does, on a target of embnic; the same bits.

    `tables`, `is_weighted` and `device` are torchrec's. The last two, by keyword only, say who serves: `target` opens
    an engine for this module, `mirror` shares one with other modules. State dicts are torchrec's.
    """

    def __init__(
        self,
        tables: list[Any],
        is_weighted: bool = False,
        device: torch.device | None = None,
        *,
        target: str = "auto",
        mirror: Mirror | None = None,
    ) -> None:
        super().__init__(tables, is_weighted, device)
        shared = Mirror(target) if mirror is None else mirror
        for name, bag in list(self.embedding_bags.items()):
            self.embedding_bags[name] = EmbeddingBag.from_torch(bag, shared, name=name)

    def forward(self, features: Any) -> KeyedTensor:
        """Return the KeyedTensor [B, sum of dims] of the features; float32, as torchrec's."""
        features = maybe_td_to_kjt(features, None)
        inverse = torchrec_modules.reorder_inverse_indices(
            inverse_indices=features.inverse_indices_or_none(),
            feature_names=[name for names in self._feature_names for name in names],
        )
        by_name = features.to_dict()
        inputs = []
        for bag, names in zip(self.embedding_bags.values(), self._feature_names, strict=True):
            for name in names:
                given = by_name[name]
                weights = given.weights() if self._is_weighted else None
                inputs.append((bag, given.values(), given.offsets(), weights))
        pooled = [output.float() for output in lookup_together(inputs)]
        return KeyedTensor(
            keys=self._embedding_names,
            values=torchrec_modules.process_pooled_embeddings(
                pooled_embeddings=pooled, inverse_indices=inverse
            ),
            length_per_key=self._lengths_per_embedding,
        )
