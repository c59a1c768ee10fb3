# SPDX-License-Identifier: Apache-2.0
"""The report of a run: one self-contained HTML page and a Chrome trace, made of registered scenes."""

from __future__ import annotations

from .page import render_page
from .perfetto import render_trace
from .run import Check, FormatRun, Loss, Overlap, RunRecord
from .scenes import SCENES, Scene

__all__ = [
    "SCENES",
    "Check",
    "FormatRun",
    "Loss",
    "Overlap",
    "RunRecord",
    "Scene",
    "render_page",
    "render_trace",
]
