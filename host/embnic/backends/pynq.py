# SPDX-License-Identifier: Apache-2.0
"""Serve lookups on an FPGA board through PYNQ: the only module that imports `pynq`.

The overlay holds the core (`embnic.hwh`), whose registers and whose frames this module reaches by MMIO and by an AXI
DMA in simple mode (Xilinx PG021): a transfer is a frame. Card memory is what `pynq.allocate` gives: the board's DRAM,
which the core reads by its own AXI port. Nothing here knows whether the device is a board; a module that defines
another `pynq.Device` (a PCIe card, a simulated one) is imported first when `EMBNIC_PYNQ_DEVICE` names it.

PYNQ's own DMA driver waits without end for a channel that does not start or finish. Here every wait has a deadline and
says what the status register held. Time is wall-clock time.
"""

from __future__ import annotations

import importlib
import itertools
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Table
from ..driver import Driver
from ..errors import (
    BackendUnavailable,
    ConfigError,
    ContractMismatch,
    DeviceFault,
    DeviceTimeout,
    LinkError,
)
from ..exchange import Timing
from ..hwh import CORE_VLNV, DMA_VLNV
from ..wire import FrameBatch
from .card import CardBackend

__all__ = ["PynqBackend", "PynqPorts", "board_timing", "import_pynq", "open_pynq"]

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
    """Return how long to wait for a board, in seconds."""
    if deadline is None:
        return Timing(retry=0.5, patience=5.0)
    return Timing(retry=min(0.5, deadline / 4), patience=min(5.0, deadline), deadline=deadline)


def import_pynq() -> ModuleType:
    """Import pynq and, when `EMBNIC_PYNQ_DEVICE` names a module, the devices it defines."""
    try:
        pynq = importlib.import_module("pynq")
    except ImportError as error:
        raise BackendUnavailable(
            "pynq",
            reason=f"pynq does not import ({error}).",
            remedy="pip install 'embnic[pynq]' in an environment with numpy < 2 (Python 3.12 or older).",
        ) from error
    if extra := os.environ.get("EMBNIC_PYNQ_DEVICE", ""):
        try:
            importlib.import_module(extra)
        except ImportError as error:
            raise BackendUnavailable(
                "pynq",
                reason=f"EMBNIC_PYNQ_DEVICE names {extra!r}, which does not import ({error}).",
                remedy="name a module that defines a pynq Device, or unset it.",
            ) from error
    return pynq


class _Channel:
    """One direction of the DMA."""

    def __init__(self, mmio: Any, base: int, name: str) -> None:
        self._mmio, self._base, self._name = mmio, base, name

    def reset(self) -> None:
        """Stop whatever is under way and start anew."""
        self._write(_CONTROL, _RESET)
        self._until(lambda: not self._read(_CONTROL) & _RESET, "to come out of reset")
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
        started = time.monotonic()
        while not what():
            if time.monotonic() - started > ANSWER_SECONDS:
                raise DeviceTimeout(
                    f"waiting for the {self._name} DMA {doing} (status {self._read(_STATUS):#x})",
                    waited=ANSWER_SECONDS,
                    do="reattach, or load the bitstream again.",
                )

    def _read(self, offset: int) -> int:
        return int(self._mmio.read(self._base + offset))

    def _write(self, offset: int, value: int) -> None:
        self._mmio.write(self._base + offset, value)


class PynqPorts:
    """Bus, Memory and Link of the core in an overlay.

    The bitstream is loaded when this is made. A call of PYNQ that raises is reported as LinkError: the path to the
    card is broken.
    """

    def __init__(self, bitfile: str | Path, *, device: Any = None) -> None:
        """Load `bitfile`; its `.hwh` lies beside it. `device` is a pynq.Device, or None for PYNQ's active one."""
        self._pynq = import_pynq()
        bitfile = Path(bitfile)
        for file, what in ((bitfile, "bitstream"), (bitfile.with_suffix(".hwh"), "metadata")):
            if not file.is_file():
                raise ConfigError(
                    f"The {what} {file} does not exist.",
                    allowed="a .bit file with the .hwh of the same name beside it.",
                    do="embnic bitstreams list shows what is known; embnic bitstreams fetch or build makes them.",
                )
        self._device = device
        try:
            self._overlay = self._pynq.Overlay(str(bitfile.resolve()), device=device)
        except RuntimeError as error:
            raise BackendUnavailable(
                "pynq",
                reason=f"PYNQ cannot load {bitfile.name} ({error}).",
                remedy="run on a board with PYNQ; embnic doctor says what is missing.",
            ) from error
        self._core = self._map(CORE_VLNV)
        dma = self._map(DMA_VLNV)
        self._send_channel = _Channel(dma, 0x00, "send")
        self._recv_channel = _Channel(dma, 0x30, "receive")
        self._buffers: list[Any] = []
        self._regions: dict[int, Any] = {}
        self._bases: NDArray[np.int64] = np.empty(0, np.int64)
        self._out, self._in = self._allocate(FRAME_BYTES), self._allocate(FRAME_BYTES)
        self.moved_bytes = 0  # by the DMA, both ways
        self.recover()

    def recover(self) -> None:
        """Reset the DMA and wait for frames again."""
        with _broken("resetting the DMA"):
            self._send_channel.reset()
            self._recv_channel.reset()
            self._listen()

    def close(self) -> None:
        """Give the memory back; may be called twice."""
        buffers, self._buffers = self._buffers, []
        self._regions.clear()
        for buffer in buffers:
            buffer.freebuffer()

    # Bus

    def read32(self, offset: int) -> int:
        """Return the register's value."""
        with _broken(f"reading register {offset:#05x}"):
            return int(self._core.read(offset))

    def write32(self, offset: int, value: int) -> None:
        """Write the register."""
        with _broken(f"writing register {offset:#05x}"):
            self._core.write(offset, value)

    # Memory

    def alloc(self, nbytes: int, align: int = 4096) -> int:
        """Return the address of `nbytes` unused bytes of the board's contiguous memory."""
        if align > 4096 or align & (align - 1):
            raise ConfigError(
                f"align is {align}.", allowed="a power of two up to 4096.", do="Correct it."
            )
        buffer = self._allocate(max(nbytes, 1))
        address = int(buffer.device_address)
        if address % align:
            raise DeviceFault(
                f"memory at {address:#x} is not aligned to {align}", code=0, do="report it to PYNQ."
            )
        self._regions[address] = buffer
        self._bases = np.array(sorted(self._regions), np.int64)
        return address

    def read(self, addr: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of `nbytes` bytes from `addr`."""
        with _broken("reading card memory"):
            part = self._part(addr, nbytes)
            part.sync_from_device()
            return np.array(part, dtype=np.uint8)

    def write(self, addr: int, data: NDArray[np.uint8]) -> None:
        """Write `data` at `addr`; the core sees it when this returns."""
        with _broken("writing card memory"):
            part = self._part(addr, data.size)
            part[:] = data
            part.sync_to_device()

    def sync(self) -> None:
        """Return when earlier writes are visible to the core: they already are."""

    def _part(self, addr: int, nbytes: int) -> Any:
        at = int(np.searchsorted(self._bases, addr, side="right")) - 1
        if at >= 0:
            base = int(self._bases[at])
            if addr - base + nbytes <= self._regions[base].size:
                return self._regions[base][addr - base : addr - base + nbytes]
        raise ConfigError(
            f"{nbytes:,} bytes at {addr:#x} are not all inside memory that was allocated.",
            do="Use an address from alloc().",
        )

    def _allocate(self, nbytes: int) -> Any:
        try:
            buffer = self._pynq.allocate((nbytes,), dtype="u1", target=self._device)
        except (RuntimeError, MemoryError, OSError) as error:
            raise ConfigError(
                f"{nbytes:,} bytes of contiguous memory are not to be had ({error}).",
                allowed="what the board's CMA region has free (cma= on the kernel's command line).",
                do="Use fewer rows, or enlarge the CMA region.",
            ) from error
        self._buffers.append(buffer)
        return buffer

    # Link

    def send(self, frames: FrameBatch) -> None:
        """Hand frames to the core, a transfer each."""
        data, offsets = frames.data, frames.offsets
        with _broken("sending frames"):
            for first, end in itertools.pairwise(offsets):
                size = int(end - first)
                self._out[:size] = data[first:end]
                self._out[:size].sync_to_device()
                self._send_channel.start(int(self._out.device_address), size)
                self._send_channel.wait()
                self.moved_bytes += size

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        """Return frames of the core, waiting at most `timeout` seconds for the first."""
        found: list[NDArray[np.uint8]] = []
        until = time.monotonic() + timeout
        with _broken("receiving frames"):
            while len(found) < max_frames:
                if self._recv_channel.done():
                    size = self._recv_channel.moved
                    part = self._in[:size]
                    part.sync_from_device()
                    found.append(np.array(part, dtype=np.uint8))
                    self.moved_bytes += size
                    self._listen()
                elif found or time.monotonic() >= until:
                    break
        offsets = np.zeros(len(found) + 1, np.int64)
        np.cumsum([frame.size for frame in found], out=offsets[1:])
        return FrameBatch(np.concatenate(found) if found else np.empty(0, np.uint8), offsets)

    def clock(self) -> float:
        """Return seconds of the host's monotonic clock."""
        return time.monotonic()

    def _listen(self) -> None:
        self._recv_channel.start(int(self._in.device_address), FRAME_BYTES)

    def _map(self, vlnv: str) -> Any:
        kind = vlnv.rpartition(":")[0]
        found = [
            ip for ip in self._overlay.ip_dict.values() if ip.get("type", "").startswith(kind + ":")
        ]
        if len(found) != 1:
            raise ContractMismatch(
                f"IP {kind} in the overlay", device=f"{len(found)} of it", package="one"
            )
        return self._pynq.MMIO(found[0]["phys_addr"], found[0]["addr_range"], device=self._device)


class _broken:
    """Turn what PYNQ raises about a device that does not answer into LinkError."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, RuntimeError | OSError) and not isinstance(error, DeviceTimeout):
            raise LinkError(
                f"The device failed while {self._doing} ({error}). Do: reattach."
            ) from error


class PynqBackend(CardBackend):
    """A card behind PYNQ."""

    def __init__(self, tables: Iterable[Table], ports: PynqPorts, driver: Driver) -> None:
        self.ports = ports
        super().__init__(tables, driver, name="pynq", release=ports.close)

    def reattach(self) -> None:
        """Reset the DMA, check the card's identity again, define the tables."""
        self.ports.recover()
        super().reattach()


def open_pynq(
    tables: Iterable[Table],
    bitfile: str | Path,
    *,
    config: str | None = None,
    device: Any = None,
    deadline: float | None = None,
    mtu: int = 1500,
) -> PynqBackend:
    """Load a bitstream and attach to the card in it."""
    ports = PynqPorts(bitfile, device=device)
    try:
        driver = Driver(ports, ports, ports, timing=board_timing(deadline), mtu=mtu, config=config)
        return PynqBackend(tables, ports, driver)
    except BaseException:
        ports.close()
        raise
