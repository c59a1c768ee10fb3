# SPDX-License-Identifier: Apache-2.0
"""Say whether this machine has a board that PYNQ can use, without importing pynq."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

__all__ = ["board_name", "pynq_missing"]

_MANAGER = Path("/sys/class/fpga_manager")


def pynq_missing() -> str:
    """Return why target `pynq` cannot run here, or an empty string when it can."""
    if importlib.util.find_spec("pynq") is None:
        return "pynq is not installed"
    if os.environ.get("EMBNIC_PYNQ_DEVICE", "") or (_MANAGER.is_dir() and any(_MANAGER.iterdir())):
        return ""
    return "no FPGA that Linux manages"


def board_name() -> str:
    """Return the board that PYNQ's image names in BOARD; `simulated` for the simulated device; else empty."""
    if os.environ.get("EMBNIC_PYNQ_DEVICE", "") == "embnic_sim.pynq_device":
        return "simulated"
    return os.environ.get("BOARD", "")
