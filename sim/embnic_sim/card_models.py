# SPDX-License-Identifier: Apache-2.0
"""What stands around the core of a simulated card: how its memory and the owners of remote rows keep time, and the
owners' memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embnic.errors import ConfigError
from embnic_sim.channels import Regions

__all__ = ["DramModel", "OwnerMemory", "PeerModel"]


@dataclass(frozen=True)
class DramModel:
    """Timing of card memory, in cycles of the card's clock; of each channel by itself.

    The defaults give about 120 cycles from a read's address to its data at 250 MHz.
    """

    size: int = 16 << 30  # bytes of all channels; pages are allocated when they are written
    base_latency: int = 70  # controller and interconnect
    hit_latency: int = 30  # column access in an open row
    miss_latency: int = 60  # precharge, activate, column access
    write_latency: int = 40
    banks: int = 16
    row_bytes: int = 2048
    bank_busy: int = 12  # cycles a bank is taken by an access to a closed row
    bytes_per_cycle: int = 0  # bandwidth; 0: one bus beat per cycle
    refresh_period: int = 1950  # 7.8 us at 250 MHz; 0: no refresh
    refresh_cycles: int = 88
    reorder_window: int = 16  # of the oldest bursts, which may overtake each other; 1: in order
    jitter: int = 4  # random cycles added to a burst
    seed: int = 1

    def __post_init__(self) -> None:
        lowest = {"size": 1 << 16, "banks": 1, "row_bytes": 64, "reorder_window": 1}
        for field in fields(self):
            value = getattr(self, field.name)
            least = lowest.get(field.name, 0)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(
                    f"DramModel.{field.name} is {value!r}.",
                    allowed=f"a whole number from {least}.",
                    do="Correct it.",
                )
        if self.refresh_period and self.refresh_cycles >= self.refresh_period:
            raise ConfigError(
                f"refresh_cycles is {self.refresh_cycles} in a period of {self.refresh_period}.",
                allowed="less than the period.",
                do="Shorten the refresh.",
            )


@dataclass(frozen=True)
class PeerModel:
    """How the owners of remote rows answer, in cycles of the card's clock.

    Each line is answered `latency_min` to `latency_max` cycles after its request: answers overtake each other. Each
    comes whole, unless `mixed` says otherwise.
    """

    latency_min: int = 500
    latency_max: int = 500
    loss: float = 0.0  # probability that a request or its answer is lost
    twice: float = 0.0  # that an answer comes twice
    stall: float = 0.0  # that a request is not taken in a cycle, or a cycle carries no beat
    broken: float = 0.0  # that an answer has a beat too few or too many
    mixed: float = 0.0  # that, behind a beat, another answer that is due goes on
    seed: int = 1

    def __post_init__(self) -> None:
        odds = (self.loss, self.twice, self.stall, self.broken, self.mixed)
        if not 0 <= self.latency_min <= self.latency_max or not all(0 <= p <= 1 for p in odds):
            raise ConfigError(
                f"{self}.",
                allowed="0 <= latency_min <= latency_max, probabilities 0 to 1.",
                do="Correct it.",
            )


class OwnerMemory:
    """The memory of the cards that hold remote rows: the Memory port of a `SimCard`'s owners."""

    def __init__(self, call: Callable[..., Any], size: int) -> None:
        self._call, self._size = call, size
        self._regions = Regions(size, memory="the owners' memory")

    def alloc(self, nbytes: int, align: int = 4096) -> int:
        """Return the address of `nbytes` unused bytes."""
        return self._regions.spread(nbytes, align)

    def read(self, addr: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of `nbytes` bytes from `addr`: uint8, shape [nbytes]."""
        out = np.empty(nbytes, dtype=np.uint8)
        if addr < 0 or self._call("remote_read", addr, out.ctypes.data, nbytes):
            raise self._outside(addr, nbytes)
        return out

    def write(self, addr: int, data: NDArray[np.uint8]) -> None:
        """Write `data` (uint8, one-dimensional) at `addr`; it takes no time."""
        flat = np.ascontiguousarray(data, np.uint8).reshape(-1)
        if addr < 0 or self._call("remote_write", addr, flat.ctypes.data, flat.size):
            raise self._outside(addr, flat.size)

    def sync(self) -> None:
        """Return when earlier writes are visible to the owners: they already are."""

    def fail(self, addr: int, nbytes: int) -> None:
        """Answer lines that begin in this range with an error; 0 bytes makes all good again."""
        self._call("remote_fault", 0, addr, addr + nbytes)

    def lose(self, addr: int, nbytes: int) -> None:
        """Never answer lines that begin in this range; 0 bytes: lose none of those asked from now on."""
        self._call("remote_fault", 1, addr, addr + nbytes)

    def _outside(self, addr: int, nbytes: int) -> ConfigError:
        return ConfigError(
            f"{nbytes:,} bytes at {addr:#x} are not all inside the owners' memory.",
            allowed=f"addresses 0 .. {self._size - 1:#x}.",
            do="Use an address from alloc().",
        )
