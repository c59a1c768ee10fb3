# SPDX-License-Identifier: Apache-2.0
"""What a demo run leaves behind: the one input of every scene of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["PROBE_STAGES", "Check", "FormatRun", "Loss", "Overlap", "RunRecord"]

AR_BIT, R_BIT, POOL_BIT = 6, 7, 8  # of the same port, see below

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
class FormatRun:
    """The same bags pooled from one stored format: bytes read from card memory, bytes of frames in
    and out, and bags that are not equal bit for bit to the reference of this format.
    """

    dtype: str
    stride_bytes: int  # of a row in card memory
    bags: int
    keys: int
    fetched_bytes: int
    request_bytes: int
    reply_bytes: int
    mismatches: int


@dataclass(frozen=True)
class Loss:
    """A run that loses its card before batch ``lost_at`` and has it again from ``back_at`` on.

    ``card`` and ``cpu`` are the bags of each batch that each answered, ``wrong`` those of ``asked`` that are not equal
    bit for bit to the reference.
    """

    card: tuple[int, ...]
    cpu: tuple[int, ...]
    asked: int
    wrong: int
    lost_at: int
    back_at: int
    through: str

    @property
    def lost(self) -> int:
        """Bags that nobody answered."""
        return self.asked - sum(self.card) - sum(self.cpu)


@dataclass(frozen=True)
class Overlap:
    """Memory and pool at work at the same time, by cycle, over a whole run.

    ``waiting`` counts the cycles with a read outstanding (its address went to memory, its data is
    not all there), ``both`` those of them in which a row beat was pooled, ``pooling`` all cycles with
    a row beat, ``cycles`` all. The window from cycle ``start`` shows a part of it: ``outstanding``
    int64 reads, ``pooled`` bool, one a cycle.
    """

    cycles: int
    waiting: int
    pooling: int
    both: int
    start: int
    outstanding: npt.NDArray[np.int64]
    pooled: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls, probe: npt.NDArray[np.uint32], *, start: int, burst_beats: int, window: int
    ) -> Overlap:
        """Return the overlap in a probe that begins at rest, all its reads being bursts of
        ``burst_beats`` beats; the window is the one around the middle read.
        """
        asked = np.cumsum(probe >> np.uint32(AR_BIT) & np.uint32(1), dtype=np.int64)
        came = np.cumsum(probe >> np.uint32(R_BIT) & np.uint32(1), dtype=np.int64)
        outstanding = asked - came // burst_beats
        pooled = probe >> np.uint32(POOL_BIT) & np.uint32(1) == 1
        reads = int(asked[-1]) if len(asked) else 0
        middle = int(np.searchsorted(asked, reads // 2)) if reads else 0
        first = min(max(middle - window // 2, 0), max(len(probe) - window, 0))
        return cls(
            cycles=len(probe),
            waiting=int((outstanding > 0).sum()),
            pooling=int(pooled.sum()),
            both=int((pooled & (outstanding > 0)).sum()),
            start=start + first,
            outstanding=outstanding[first : first + window],
            pooled=pooled[first : first + window],
        )


@dataclass(frozen=True)
class RunRecord:
    """Everything a scene may draw. Cycles are simulated cycles, never measured time.

    ``counters`` are the card's counters over the whole run; ``batches`` the differences per batch of bags
    (same names); ``latency`` int64 cycles from the last beat of a request frame to its reply's first beat;
    ``probe`` uint32, one word a cycle of a window that starts at cycle ``probe_start``. ``formats`` is a small
    run of each stored format beside it; ``overlap`` is None when reads are bursts of different lengths, which
    the probe does not tell apart.
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
    formats: tuple[FormatRun, ...] = ()
    loss: Loss | None = None
    overlap: Overlap | None = None

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
        different = any(c.mismatches for c in self.checks) or any(
            f.mismatches for f in self.formats
        )
        return any(c.compared for c in self.checks) and not different

    @property
    def beats_per_cycle(self) -> float:
        """Row beats the pool took per cycle in which it had work, waits included."""
        c = self.counters
        busy = c["exec_beats"] + c["exec_fetch"] + c["exec_hazard"]
        return c["exec_beats"] / busy if busy else 0.0
