# SPDX-License-Identifier: Apache-2.0
"""The recorded window as Chrome trace JSON, which Perfetto opens."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from .run import PROBE_STAGES, RunRecord
from .scenes import runs_of

__all__ = ["render_trace"]


def render_trace(run: RunRecord) -> str:
    """Return the window as JSON: one thread a pipeline stage, time in microseconds of the simulated clock."""
    events: list[dict[str, Any]] = [
        {
            "name": "process_name",
            "ph": "M",
            "pid": 1,
            "args": {"name": f"embnic {run.config_name} (simulated)"},
        }
    ]
    for tid, (name, bit, meaning) in enumerate(PROBE_STAGES, start=1):
        events.append(
            {"name": "thread_name", "ph": "M", "pid": 1, "tid": tid, "args": {"name": name}}
        )
        active = (run.probe >> np.uint32(bit)) & np.uint32(1) == 1
        events += [
            {
                "name": name,
                "cat": "stage",
                "ph": "X",
                "ts": (run.probe_start + begin) / run.clock_mhz,
                "dur": (end - begin) / run.clock_mhz,
                "pid": 1,
                "tid": tid,
                "args": {
                    "cycle": run.probe_start + begin,
                    "cycles": end - begin,
                    "meaning": meaning,
                },
            }
            for begin, end in runs_of(active)
        ]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns"})
