# SPDX-License-Identifier: Apache-2.0
"""Let the GPU path run in Triton's interpreter where there is no GPU.

Triton reads the variable when it is imported, which no test module does by itself.
"""

from __future__ import annotations

import os

from embnic.gpu_probe import gpu_missing

if gpu_missing():
    os.environ.setdefault("TRITON_INTERPRET", "1")
