# SPDX-License-Identifier: Apache-2.0
"""Count what happened, on the card, on the link and in the engine.

`Stats` is a snapshot: it never changes after it was taken. Counters only grow; rates are the reader's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TypeVar

from .health import Histogram

__all__ = ["LinkCounters", "Stats"]


@dataclass
class LinkCounters:
    """What the driver sent and received. Mutable: the driver owns it, everybody else gets a copy."""

    frames_sent: int = 0
    frames_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    requests: int = 0  # requests given to the link, retries not counted
    answered: int = 0  # requests whose whole answer arrived
    retries: int = 0  # frames sent again after the retry time
    duplicates: int = 0  # reply frames that brought nothing new
    late: int = 0  # reply frames of requests no longer waited for
    bad_frames: int = 0  # frames that did not decode: length, magic, checksum
    timeouts: int = 0  # requests given up at the deadline
    updates: int = 0  # UPDATE requests acknowledged
    direct_rows: int = 0  # rows written through the memory port, then a cache flush
    continued_bags: int = 0  # bags longer than a frame

    def copy(self) -> LinkCounters:
        """Return an independent copy."""
        return LinkCounters(**self.as_dict())

    def as_dict(self) -> dict[str, int]:
        """Return the counters by name."""
        return {item.name: int(getattr(self, item.name)) for item in fields(self)}


_T = TypeVar("_T")


def _frozen(value: Mapping[str, _T]) -> Mapping[str, _T]:
    return MappingProxyType(dict(value))


@dataclass(frozen=True)
class Stats:
    """A snapshot of all counters of an engine.

    `bags_by_card + bags_by_cpu == bags`: every bag is counted once, by who answered it. (`bags_by_cpu` counts the bags
    of every target that is not a card.) `fallback_total` says, by reason, how often traffic left the card: the error's
    class name for a failed card, `bag_too_long` for bags that do not fit the card's frames. `latency` has the card's
    histograms by stage, in cycles of its clock: simulated cycles on a simulated card, never time. `batching` counts
    what was merged across callers, `waiting` the calls of the asyncio front.
    """

    target: str
    bags: int = 0
    bags_by_card: int = 0
    bags_by_cpu: int = 0
    updates: int = 0
    reattached: int = 0
    tables_changed: int = 0  # added, dropped or grown
    fallback_total: Mapping[str, int] = field(default_factory=dict)
    card: Mapping[str, int] = field(default_factory=dict)
    link: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[str, Histogram] = field(default_factory=dict)
    batching: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("fallback_total", "card", "link", "batching", "waiting"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        object.__setattr__(self, "latency", _frozen(self.latency))

    def __str__(self) -> str:
        """Print the counters that are not zero, one group a line."""
        head = (
            f"target {self.target}: {self.bags} bags ({self.bags_by_card} by the card, {self.bags_by_cpu} by the cpu), "
            f"{self.updates} updates"
        )
        groups = {
            "fallback": self.fallback_total,
            "card": self.card,
            "link": self.link,
            "batching": self.batching,
            "waiting": self.waiting,
        }
        lines = [
            f"  {title}: " + ", ".join(f"{name} {value}" for name, value in group.items() if value)
            for title, group in groups.items()
            if any(group.values())
        ]
        cycles = "simulated cycles" if self.target == "rtl" else "cycles"
        lines += [
            f"  {name}: {histogram} {cycles}"
            for name, histogram in self.latency.items()
            if histogram.total
        ]
        return "\n".join([head, *lines])
