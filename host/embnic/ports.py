# SPDX-License-Identifier: Apache-2.0
"""Say what the driver may see of a device: registers, card memory and frames.

A board, the Verilated core and the fakes of the tests implement these three Protocols. `driver.py` sees nothing else,
so there is one driver for all of them.

Time is the device's own: `Link.clock()` counts simulated seconds for a simulated card and wall-clock seconds for a
board, and every timeout given to a port is measured on it.

An implementation reports a broken path by raising `DeviceTimeout`, `DeviceFault` or `LinkError`. `OSError`, which a
kernel driver raises, is turned into `LinkError` by the driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:  # names only: the frame batch is defined one layer above
    import numpy as np
    from numpy.typing import NDArray

    from .wire import FrameBatch

__all__ = ["Bus", "Link", "Memory"]


@runtime_checkable
class Bus(Protocol):
    """Read and write the card's 32-bit registers.

    `offset` is a byte offset in the register space, a multiple of 4; `value` is 0 .. 2**32 - 1.
    """

    def read32(self, offset: int) -> int:
        """Return the register's value."""
        ...

    def write32(self, offset: int, value: int) -> None:
        """Write the register; return when the card has taken the value."""
        ...


@runtime_checkable
class Memory(Protocol):
    """Allocate, read and write the card's memory (DRAM or HBM).

    Addresses are card byte addresses. `write` may be posted: `sync` returns when every earlier write is visible to the
    core. What was allocated stays allocated until the device is closed.
    """

    def alloc(self, nbytes: int, align: int = 4096) -> int:
        """Return the address of `nbytes` unused bytes, a multiple of `align`."""
        ...

    def read(self, addr: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of `nbytes` bytes from `addr`: uint8, shape [nbytes]."""
        ...

    def write(self, addr: int, data: NDArray[np.uint8]) -> None:
        """Write `data` (uint8, C-contiguous, one-dimensional) at `addr`."""
        ...

    def sync(self) -> None:
        """Return when every earlier `write` is visible to the core."""
        ...


@runtime_checkable
class Link(Protocol):
    """Send frames to the card and receive the card's frames, in batches.

    A frame is a whole Ethernet frame without preamble and FCS. Frames may be lost, repeated and reordered on the way;
    the driver lives with that.
    """

    def send(self, frames: FrameBatch) -> None:
        """Hand all `frames` over in order; they may still be queued when this returns."""
        ...

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        """Return 1 .. `max_frames` received frames, or an empty batch after `timeout` seconds of `clock()`.

        A `timeout` of 0 returns what is already there. Everything available is returned at once: the call waits for
        the first frame, not for `max_frames`.
        """
        ...

    def clock(self) -> float:
        """Return seconds on the device's own clock; never decreases."""
        ...
