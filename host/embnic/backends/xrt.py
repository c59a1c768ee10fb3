# SPDX-License-Identifier: Apache-2.0
"""Serve lookups on an Alveo card (U50, U55C, U280) through XRT: the only module that imports `pyxrt`.

The xclbin holds one kernel `embnic` (bitstreams/boards/u55c): its register window has the core's registers, and those
of an AXI DMA that carries this host's frames. Card memory is the HBM that the kernel's argument 0 is connected to.

**Calls checked, behaviour not**: the tests run this on a stand-in for pyxrt that checks every call; no card has run it.
Registers need `kernel.read_register`, which the pyxrt of some XRT releases does not bind: opening says so.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Table
from ..driver import Driver
from ..errors import BackendUnavailable, CapacityError, ConfigError, DeviceFault
from ..wire import FrameBatch
from .axi_dma import FRAME_BYTES, Broken, DmaLink, board_timing
from .card import CardBackend

__all__ = ["DMA_OFFSET", "KERNEL", "XrtBackend", "XrtPorts", "import_pyxrt", "open_xrt"]

KERNEL = "embnic"
MEMORY_ARGUMENT = 0  # of the kernel: the pointer whose bank holds card memory
DMA_OFFSET = 0x1_0000  # of the DMA's registers in the kernel's window; the core's begin at 0
UNIT = 64  # bytes; what the PCIe DMA moves begins and ends at such multiples


def import_pyxrt() -> ModuleType:
    """Import pyxrt, which comes with XRT and not from a package index."""
    try:
        return importlib.import_module("pyxrt")
    except ImportError as error:
        raise BackendUnavailable(
            "xrt",
            reason=f"pyxrt does not import ({error}).",
            remedy="install XRT and source its setup.sh, which puts pyxrt on PYTHONPATH.",
        ) from error


class _Window:
    """Registers of the kernel from an offset on."""

    def __init__(self, kernel: Any, base: int) -> None:
        self._kernel, self._base = kernel, base

    def read(self, offset: int) -> int:
        return int(self._kernel.read_register(self._base + offset)) & 0xFFFF_FFFF

    def write(self, offset: int, value: int) -> None:
        self._kernel.write_register(self._base + offset, value)


class _Buffer:
    """A buffer object of whole units, and what of it is moved."""

    def __init__(self, pyxrt: Any, device: Any, nbytes: int, group: int) -> None:
        self.size = -(-max(nbytes, 1) // UNIT) * UNIT
        self._to, self._from = (
            pyxrt.xclBOSyncDirection.XCL_BO_SYNC_BO_TO_DEVICE,
            pyxrt.xclBOSyncDirection.XCL_BO_SYNC_BO_FROM_DEVICE,
        )
        self._bo = pyxrt.bo(device, self.size, pyxrt.bo.flags.normal, group)
        self.address = int(self._bo.address())

    def write(self, at: int, data: NDArray[np.uint8]) -> None:
        """Write bytes from `at` on and move them to the card."""
        if not data.size:
            return
        first, end = at // UNIT * UNIT, -(-(at + data.size) // UNIT) * UNIT
        if first < at or at + data.size < end:  # the rest of the units stays as the card has it
            self._bo.sync(self._from, end - first, first)
        self._bo.write(np.ascontiguousarray(data), at)
        self._bo.sync(self._to, end - first, first)

    def read(self, at: int, nbytes: int) -> NDArray[np.uint8]:
        """Move bytes from the card and return a copy."""
        if not nbytes:
            return np.empty(0, np.uint8)
        first, end = at // UNIT * UNIT, -(-(at + nbytes) // UNIT) * UNIT
        self._bo.sync(self._from, end - first, first)
        return np.array(self._bo.read(nbytes, at), copy=True).view(np.uint8)

    def put(self, data: NDArray[np.uint8]) -> None:
        """As `FrameBuffer` says."""
        self.write(0, data)

    def get(self, nbytes: int) -> NDArray[np.uint8]:
        """As `FrameBuffer` says."""
        return self.read(0, nbytes)


class XrtPorts:
    """Bus, Memory and Link of the kernel in an xclbin."""

    def __init__(self, xclbin: str | Path, *, device: str = "0") -> None:
        """Load `xclbin` onto a card; `device` is its number or its PCIe address (0000:3b:00.1)."""
        pyxrt = self._pyxrt = import_pyxrt()
        file = Path(xclbin)
        if not file.is_file():
            raise ConfigError(
                f"The xclbin {file} does not exist.",
                do="Build it (bitstreams/boards/u55c/README.md) or fetch it, and name it: target='xrt:FILE'.",
            )
        if not hasattr(pyxrt.kernel, "read_register"):
            raise BackendUnavailable(
                "xrt",
                reason="this pyxrt binds no kernel.read_register, so registers cannot be reached.",
                remedy="use an XRT release whose pyxrt binds it.",
            )
        try:
            self._device = pyxrt.device(int(device) if device.isdecimal() else device)
            uuid = self._device.load_xclbin(str(file.resolve()))
            self._kernel = pyxrt.kernel(self._device, uuid, KERNEL, pyxrt.kernel.exclusive)
            self._group = int(self._kernel.group_id(MEMORY_ARGUMENT))
        except (RuntimeError, OSError) as error:
            raise BackendUnavailable(
                "xrt",
                reason=f"XRT cannot load {file.name} on card {device} ({error}).",
                remedy="`xbutil examine` lists cards and platforms; the xclbin must be built for this platform.",
            ) from error
        self._core = _Window(self._kernel, 0)
        self._regions: dict[int, _Buffer] = {}
        self._bases: NDArray[np.int64] = np.empty(0, np.int64)
        self._dma = DmaLink(
            _Window(self._kernel, DMA_OFFSET),
            self._allocate(FRAME_BYTES),
            self._allocate(FRAME_BYTES),
        )
        self.recover()

    def recover(self) -> None:
        """Reset the DMA and wait for frames again."""
        with Broken("resetting the DMA"):
            self._dma.reset()

    def close(self) -> None:
        """Let go of the buffers; may be called twice. The card is free when the last reference to it is gone."""
        self._regions.clear()
        self._bases = np.empty(0, np.int64)

    # Bus

    def read32(self, offset: int) -> int:
        """Return the register's value."""
        with Broken(f"reading register {offset:#05x}"):
            return self._core.read(offset)

    def write32(self, offset: int, value: int) -> None:
        """Write the register."""
        with Broken(f"writing register {offset:#05x}"):
            self._core.write(offset, value)

    def write_window(self, offset: int, value: int) -> None:
        """Write a register of the kernel's window beside the core's: of the DMA or, for its set-up, of the MAC."""
        with Broken(f"writing {offset:#x} of the kernel's window"):
            self._kernel.write_register(offset, value)

    # Memory

    def alloc(self, nbytes: int, align: int = 4096) -> int:
        """Return the address of `nbytes` unused bytes of the card's memory."""
        if align > 4096 or align & (align - 1):
            raise ConfigError(
                f"align is {align}.", allowed="a power of two up to 4096.", do="Correct it."
            )
        buffer = self._allocate(nbytes)
        if buffer.address % align:
            raise DeviceFault(
                f"memory at {buffer.address:#x} is not aligned to {align}",
                code=0,
                do="report it to XRT.",
            )
        self._regions[buffer.address] = buffer
        self._bases = np.array(sorted(self._regions), np.int64)
        return buffer.address

    def read(self, addr: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of `nbytes` bytes from `addr`."""
        with Broken("reading card memory"):
            buffer, at = self._find(addr, nbytes)
            return buffer.read(at, nbytes)

    def write(self, addr: int, data: NDArray[np.uint8]) -> None:
        """Write `data` at `addr`; the core sees it when this returns."""
        with Broken("writing card memory"):
            buffer, at = self._find(addr, data.size)
            buffer.write(at, data)

    def sync(self) -> None:
        """Return when earlier writes are visible to the core: they already are."""

    def _find(self, addr: int, nbytes: int) -> tuple[_Buffer, int]:
        index = int(np.searchsorted(self._bases, addr, side="right")) - 1
        if index >= 0:
            base = int(self._bases[index])
            if addr - base + nbytes <= self._regions[base].size:
                return self._regions[base], addr - base
        raise ConfigError(
            f"{nbytes:,} bytes at {addr:#x} are not all inside memory that was allocated.",
            do="Use an address from alloc().",
        )

    def _allocate(self, nbytes: int) -> _Buffer:
        try:
            return _Buffer(self._pyxrt, self._device, nbytes, self._group)
        except (RuntimeError, MemoryError, OSError) as error:
            raise CapacityError(
                f"{nbytes:,} bytes of the card's memory ({error})",
                needed=nbytes,
                available=0,
                do="use fewer rows, or connect the kernel to more banks (embnic_u55c.cfg).",
            ) from error

    # Link

    @property
    def moved_bytes(self) -> int:
        """Bytes of frames that the DMA moved, both ways."""
        return self._dma.moved_bytes

    def send(self, frames: FrameBatch) -> None:
        """Hand frames to the core, a transfer each."""
        with Broken("sending frames"):
            self._dma.send(frames)

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        """Return frames of the core, waiting at most `timeout` seconds for the first."""
        with Broken("receiving frames"):
            return self._dma.recv(max_frames, timeout)

    def clock(self) -> float:
        """Return seconds of the host's monotonic clock."""
        return time.monotonic()


class XrtBackend(CardBackend):
    """A card behind XRT."""

    def __init__(self, tables: Iterable[Table], ports: XrtPorts, driver: Driver) -> None:
        self.ports = ports
        super().__init__(tables, driver, name="xrt", release=ports.close)

    def reattach(self) -> None:
        """Reset the DMA, check the card's identity again, define the tables."""
        self.ports.recover()
        super().reattach()


def open_xrt(
    tables: Iterable[Table],
    xclbin: str | Path,
    *,
    config: str | None = None,
    deadline: float | None = None,
    mtu: int = 1500,
) -> XrtBackend:
    """Load an xclbin onto the card that EMBNIC_XRT_DEVICE names (0 without it) and attach to it."""
    if not str(xclbin):
        raise BackendUnavailable(
            "xrt",
            reason="no xclbin is named.",
            remedy="name it, as in target='xrt:embnic_u55c.xclbin'.",
        )
    ports = XrtPorts(xclbin, device=os.environ.get("EMBNIC_XRT_DEVICE", "") or "0")
    try:
        driver = Driver(ports, ports, ports, timing=board_timing(deadline), mtu=mtu, config=config)
        return XrtBackend(tables, ports, driver)
    except BaseException:
        ports.close()
        raise
