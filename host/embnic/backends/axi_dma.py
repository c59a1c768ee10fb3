# SPDX-License-Identifier: Apache-2.0
"""Carry frames over an AXI DMA in simple mode (Xilinx PG021): a transfer is a frame.

The DMA hangs on any register window: PYNQ's MMIO, an XRT kernel. Every wait has a deadline and says what the status
register held.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, DeviceFault, DeviceTimeout, LinkError
from ..exchange import Timing
from ..wire import FrameBatch

__all__ = ["FRAME_BYTES", "Broken", "DmaLink", "FrameBuffer", "board_timing"]

FRAME_BYTES = 16384  # of a DMA buffer: more than the longest frame
ANSWER_SECONDS = 1.0  # a DMA channel that does not move for so long is hung

# Registers of a channel, PG021 table 8; the receive channel lies 0x30 above the send channel.
_CONTROL, _STATUS, _ADDRESS, _ADDRESS_HIGH, _LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
_RUN, _RESET = 0x1, 0x4
_HALTED, _IDLE = 0x1, 0x2
_FAULTS = {
    0x10: "internal error (a length of 0?)",
    0x20: "slave error (the memory refused the access)",
    0x40: "decode error (no memory at the address)",
}
_ANY_FAULT = 0x70
_GONE = 0xFFFF_FFFF  # what a bus reads whose device is not there


def board_timing(deadline: float | None = None) -> Timing:
    """Return how long to wait for a board, in seconds.

    It counts as lost when it is silent for 5 seconds; EMBNIC_PATIENCE sets another time.
    """
    text = os.environ.get("EMBNIC_PATIENCE", "") or "5"
    try:
        patience = float(text)
        if not 0 < patience < 1e6:
            raise ValueError
    except ValueError as error:
        raise ConfigError(
            f"EMBNIC_PATIENCE is {text!r}.", allowed="seconds, above 0.", do="Correct it."
        ) from error
    if deadline is None:
        return Timing(retry=patience / 10, patience=patience)
    return Timing(
        retry=min(patience / 10, deadline / 4),
        patience=min(patience, deadline),
        deadline=deadline,
    )


class FrameBuffer(Protocol):
    """Memory that the DMA reads or writes, and the host too."""

    @property
    def address(self) -> int:
        """Where the DMA finds it."""
        ...

    def put(self, data: NDArray[np.uint8]) -> None:
        """Write from the buffer's start; the DMA sees it when this returns."""
        ...

    def get(self, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of the first bytes, as the DMA left them."""
        ...


class _Channel:
    """One direction of the DMA."""

    def __init__(self, mmio: Any, base: int, name: str) -> None:
        self._mmio, self._base, self._name = mmio, base, name

    def reset(self) -> None:
        """Stop whatever is under way, in the other direction too: a reset is of the whole DMA (PG021)."""
        self._write(_CONTROL, _RESET)
        self._until(lambda: not self._read(_CONTROL) & _RESET, "to come out of reset")

    def run(self) -> None:
        """Let transfers begin."""
        self._write(_CONTROL, _RUN)
        self._until(lambda: not self._read(_STATUS) & _HALTED, "to start")

    def start(self, address: int, nbytes: int) -> None:
        """Begin a transfer; the channel is idle."""
        self._write(_ADDRESS, address & 0xFFFF_FFFF)
        self._write(_ADDRESS_HIGH, address >> 32)
        self._write(_LENGTH, nbytes)

    def done(self) -> bool:
        """Return whether the transfer is over; raise DeviceFault when the channel reports an error."""
        status = self._read(_STATUS)
        if status == _GONE:
            raise DeviceFault(
                f"the {self._name} DMA reads as all ones",
                code=status,
                do="is the device still there?",
            )
        if status & _ANY_FAULT:
            words = ", ".join(text for bit, text in _FAULTS.items() if status & bit)
            raise DeviceFault(
                f"the {self._name} DMA: {words}",
                code=status,
                do="reattach, or load the bitstream again.",
            )
        if status & _HALTED:
            raise DeviceFault(
                f"the {self._name} DMA halted",
                code=status,
                do="reattach, or load the bitstream again.",
            )
        return bool(status & _IDLE)

    def wait(self) -> None:
        """Return when the transfer is over."""
        self._until(self.done, "to finish a transfer")

    @property
    def moved(self) -> int:
        """Bytes of the last transfer."""
        return self._read(_LENGTH)

    def _until(self, what: Callable[[], bool], doing: str) -> None:
        until, late = time.monotonic() + ANSWER_SECONDS, False
        while not what():
            if late:  # it was looked at once more: this process may have slept meanwhile
                raise DeviceTimeout(
                    f"waiting for the {self._name} DMA {doing} (status {self._read(_STATUS):#x})",
                    waited=ANSWER_SECONDS,
                    do="reattach, or load the bitstream again.",
                )
            late = time.monotonic() > until

    def _read(self, offset: int) -> int:
        return int(self._mmio.read(self._base + offset))

    def _write(self, offset: int, value: int) -> None:
        self._mmio.write(self._base + offset, value)


class DmaLink:
    """Send and receive frames; the half of a `Link` that needs no clock."""

    def __init__(self, mmio: Any, out: FrameBuffer, into: FrameBuffer) -> None:
        """`mmio` reads and writes the DMA's registers by their offset; the buffers are FRAME_BYTES long."""
        self._send_channel = _Channel(mmio, 0x00, "send")
        self._recv_channel = _Channel(mmio, 0x30, "receive")
        self._out, self._in = out, into
        self.moved_bytes = 0  # both ways

    def reset(self) -> None:
        """Stop whatever is under way and wait for frames again."""
        self._send_channel.reset()
        for channel in (self._send_channel, self._recv_channel):
            channel.run()
        self._listen()

    def send(self, frames: FrameBatch) -> None:
        """Hand frames to the core, a transfer each."""
        data = frames.data
        for first, end in itertools.pairwise(frames.offsets):
            size = int(end - first)
            self._out.put(data[first:end])
            self._send_channel.start(self._out.address, size)
            self._send_channel.wait()
            self.moved_bytes += size

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        """Return frames of the core, waiting at most `timeout` seconds for the first."""
        found: list[NDArray[np.uint8]] = []
        until = time.monotonic() + timeout
        while len(found) < max_frames:
            if self._recv_channel.done():
                size = self._recv_channel.moved
                found.append(self._in.get(size))
                self.moved_bytes += size
                self._listen()
            elif found or time.monotonic() >= until:
                break
        offsets = np.zeros(len(found) + 1, np.int64)
        np.cumsum([frame.size for frame in found], out=offsets[1:])
        return FrameBatch(np.concatenate(found) if found else np.empty(0, np.uint8), offsets)

    def _listen(self) -> None:
        self._recv_channel.start(self._in.address, FRAME_BYTES)


class Broken:
    """Turn what a vendor's library raises about a device that does not answer into LinkError."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, RuntimeError | OSError) and not isinstance(error, DeviceTimeout):
            raise LinkError(
                f"The device failed while {self._doing} ({error}). Do: reattach."
            ) from error
