# SPDX-License-Identifier: Apache-2.0
"""What a demo run leaves behind: the one input of every scene of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["PROBE_STAGES", "Check", "RunRecord"]

# Bits of the core's `sts_probe` port (rtl/embnic_core.sv), top to bottom as drawn: name, bit, meaning.
PROBE_STAGES: tuple[tuple[str, int, str], ...] = (
    ("frames in", 0, "a beat arrives from the network"),
    ("request", 2, "a request is admitted"),
    ("bag", 3, "a bag is handed to a slot"),
    ("lookup", 4, "a line is looked up in the cache"),
    ("miss", 5, "the line is not there"),
    ("fetch", 6, "a read burst goes to card memory"),
    ("memory", 7, "a beat comes from card memory"),
    ("pool", 8, "a row beat is accumulated"),
    ("wait memory", 10, "the pool waits for a fetch"),
    ("wait sum", 11, "the pool waits for its own accumulator"),
    ("bag done", 12, "a pooled vector is complete"),
    ("frames out", 14, "a beat leaves to the network"),
)


@dataclass(frozen=True)
class Check:
    """One comparison that ran: ``compared`` bags, ``mismatches`` of them not equal bit for bit."""

    name: str
    compared: int
    mismatches: int
    note: str = ""


@dataclass(frozen=True)
class RunRecord:
    """Everything a scene may draw. Cycles are simulated cycles, never measured time.

    ``counters`` are the card's counters over the whole run; ``batches`` the differences per batch of bags
    (same names); ``latency`` int64 cycles from the last beat of a request frame to its reply's first beat;
    ``probe`` uint32, one word a cycle of a window that starts at cycle ``probe_start``.
    """

    title: str
    trace: str
    config: Mapping[str, int]
    config_name: str
    build: str
    clock_mhz: float
    dim: int
    pooling: str
    mtu: int
    bags: int
    keys: int
    rows: int
    counters: Mapping[str, int]
    batches: tuple[Mapping[str, int], ...]
    checks: tuple[Check, ...]
    latency: npt.NDArray[np.int64]
    probe: npt.NDArray[np.uint32]
    probe_start: int
    seconds_total: float
    seconds_model: float
    command: str
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def row_bytes(self) -> int:
        """Bytes of one fp32 row as it would cross the network."""
        return 4 * self.dim

    @property
    def cycles(self) -> int:
        """Simulated cycles of the whole run."""
        return self.counters["cycles"]

    @property
    def wire_bytes_with(self) -> int:
        """Ethernet bytes in and out of the card."""
        return self.counters["rx_bytes"] + self.counters["tx_bytes"]

    @property
    def wire_bytes_without(self) -> int:
        """Ethernet bytes if the same request frames were answered with every row instead of every pooled vector.

        Rows are packed whole into frames of the same MTU, with the same headers.
        """
        per_frame = max(1, (self.mtu - 28 - 22 - 4) // self.row_bytes)
        frames = -(-self.keys // per_frame)
        return self.counters["rx_bytes"] + self.keys * self.row_bytes + frames * (14 + 28 + 22 + 4)

    @property
    def reply_bytes_without(self) -> int:
        """The reply part of :attr:`wire_bytes_without`."""
        return self.wire_bytes_without - self.counters["rx_bytes"]

    @property
    def equal(self) -> bool:
        """Whether every comparison that ran found no difference, and at least one compared something."""
        return any(c.compared for c in self.checks) and not any(c.mismatches for c in self.checks)

    @property
    def beats_per_cycle(self) -> float:
        """Row beats the pool took per cycle in which it had work, waits included."""
        c = self.counters
        busy = c["exec_beats"] + c["exec_fetch"] + c["exec_hazard"]
        return c["exec_beats"] / busy if busy else 0.0
