# SPDX-License-Identifier: Apache-2.0
"""Serve the embedding bags of PyTorch models from an engine, with torch's bits, forward and backward.

This package imports torch; `import embnic` does not import it.
"""

from __future__ import annotations

from .functional import serve
from .mirror import Mirror

__all__ = ["Mirror", "serve"]
