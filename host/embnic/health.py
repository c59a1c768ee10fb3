# SPDX-License-Identifier: Apache-2.0
"""Say how a card is: where its cycles go, what went wrong last, and whether its counters add up.

Everything here works on numbers that were read from a card; nothing here reads one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .gen.wire import DropReason, Opcode, Status

__all__ = ["STAGES", "ErrorRecord", "Histogram", "broken_identities"]

# The stages of `LATENCY_COUNT`, in its order.
STAGES = ("frame_to_admission", "admission_to_complete", "complete_to_sent", "memory_read")
ERROR_ANSWER = 16  # a kind from here on is a status, below a drop reason


@dataclass(frozen=True)
class Histogram:
    """Samples by the power of two they lie in, in cycles.

    `counts[0]` counts the value 0, `counts[b]` the values 2**(b-1) to 2**b - 1, the last all above.
    """

    counts: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        """Return the number of samples."""
        return sum(self.counts)

    def bounds(self, share: float) -> tuple[int, int] | None:
        """Return the least and the greatest value that the `share` quantile can have; None without samples.

        >>> Histogram((0, 0, 3, 0, 1)).bounds(0.5)
        (2, 3)
        """
        rank, seen = share * self.total, 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= rank:
                return (1 << bucket >> 1, max((1 << bucket) - 1, 0))
        return None

    def __str__(self) -> str:
        """Print the samples and the bounds of the median and the 99th percentile."""
        parts = [f"{self.total} samples"]
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            found = self.bounds(share)
            if found is not None:
                parts.append(f"{name} {found[0]} to {found[1]}")
        return ", ".join(parts)


@dataclass(frozen=True)
class ErrorRecord:
    """A dropped frame or an ERROR answer, as the card's log keeps it.

    `cycle` is the card's clock since reset, modulo 2**48. `drop` or `status` says what happened, the other is None.
    `ip_low` is the low half of the source address. Of a frame that was dropped the fields are what its bytes say.
    """

    cycle: int
    drop: DropReason | None
    status: Status | None
    opcode: int
    request_id: int
    ip_low: int
    port: int
    tenant: int
    payload_bytes: int

    @classmethod
    def decode(cls, words: Sequence[int]) -> ErrorRecord:
        """Read the words of `ERROR_WORD`."""
        low, second, request_id, source, last = words
        kind = second >> 16 & 0xFF
        return cls(
            cycle=low | (second & 0xFFFF) << 32,
            drop=DropReason(kind) if kind < ERROR_ANSWER else None,
            status=Status(kind - ERROR_ANSWER) if kind >= ERROR_ANSWER else None,
            opcode=second >> 24,
            request_id=request_id,
            ip_low=source >> 16,
            port=source & 0xFFFF,
            tenant=last & 0xFFFF,
            payload_bytes=last >> 16,
        )

    def __str__(self) -> str:
        """Print one line."""
        what = f"dropped {self.drop.name}" if self.drop is not None else ""
        if self.status is not None:
            what = f"answered ERROR {self.status.name}"
        known = {int(opcode): opcode.name for opcode in Opcode}
        return (
            f"cycle {self.cycle}: {what}: {known.get(self.opcode, f'opcode 0x{self.opcode:02x}')} "
            f"request 0x{self.request_id:08x} of {self.payload_bytes} bytes from "
            f"*.*.{self.ip_low >> 8}.{self.ip_low & 0xFF} port {self.port}, tenant {self.tenant}"
        )


def broken_identities(counters: Mapping[str, int]) -> list[str]:
    """Return the conservation laws that the counters of an idle card break, one sentence each.

    Every frame received is accepted or dropped for one reason; every accepted request is answered once, or was thrown
    away by a soft reset; every key is null, padding, refused, a hit or a miss, or was thrown away so. Until the first
    soft reset every line asked of another card is answered, or given up because it is late or broken.
    """
    drops = sum(value for name, value in counters.items() if name.startswith("drop_"))
    laws = {
        "rx_frames": (("rx_accepted",), drops),
        "rx_accepted": (("replies", "partials", "errors", "acks", "abandoned"), 0),
        "keys": (
            (
                "keys_null",
                "keys_padding",
                "keys_refused",
                "row_hits",
                "row_misses",
                "keys_abandoned",
            ),
            0,
        ),
    }
    if not counters["soft_resets"]:
        laws["remote_fetches"] = (("remote_answers", "remote_timeouts", "remote_broken"), 0)
    broken = []
    for whole, (names, more) in laws.items():
        parts = sum(counters[name] for name in names) + more
        if counters[whole] != parts:
            shown = " + ".join(f"{name} {counters[name]}" for name in names)
            extra = f" + drops {drops}" if whole == "rx_frames" else ""
            broken.append(f"{whole} {counters[whole]} is not {shown}{extra} = {parts}")
    return broken
