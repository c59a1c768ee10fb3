# SPDX-License-Identifier: Apache-2.0
"""Serve the embedding bags of PyTorch models from an engine, with torch's bits, forward and backward.

This package imports torch; `import embnic` does not import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import BackendUnavailable
from .functional import serve
from .mirror import Mirror
from .modules import EmbeddingBag
from .offloading import Offload, offload

if TYPE_CHECKING:
    from .collection import EmbeddingBagCollection

__all__ = [
    "EmbeddingBag",
    "EmbeddingBagCollection",
    "Mirror",
    "Offload",
    "offload",
    "serve",
]


def __getattr__(name: str) -> Any:
    """Import the part that needs torchrec when it is asked for."""
    if name != "EmbeddingBagCollection":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from .collection import EmbeddingBagCollection
    except (ImportError, OSError) as error:
        raise BackendUnavailable(
            "torchrec",
            reason=f"EmbeddingBagCollection needs torchrec: {error}.",
            remedy="install torchrec with a fbgemm-gpu that fits torch (see docs/torch.md).",
        ) from error
    return EmbeddingBagCollection
