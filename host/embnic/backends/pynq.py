# SPDX-License-Identifier: Apache-2.0
"""Serve lookups on an FPGA board through PYNQ: the only module that imports `pynq`.

The overlay holds the core (`embnic.hwh`), whose registers PYNQ's driver of it reaches by MMIO, and whose frames an AXI
DMA carries in simple mode (Xilinx PG021): a transfer is a frame. Card memory is what `pynq.allocate` gives: the board's
DRAM, which the core reads by its own AXI port. Nothing here knows whether the device is a board; a module that defines
another `pynq.Device` (a PCIe card, a simulated one) is imported first when `EMBNIC_PYNQ_DEVICE` names it.

PYNQ's own DMA driver waits without end for a channel that does not start or finish. Here every wait has a deadline and
says what the status register held. Time is wall-clock time.
"""

from __future__ import annotations

import functools
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
from ..errors import (
    BackendUnavailable,
    ConfigError,
    ContractMismatch,
    DeviceFault,
)
from ..hwh import CORE_VLNV, DMA_VLNV
from ..wire import FrameBatch
from .axi_dma import FRAME_BYTES, Broken, DmaLink, board_timing
from .card import CardBackend

__all__ = ["PynqBackend", "PynqPorts", "import_pynq", "open_pynq"]


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


@functools.cache
def _core_driver(pynq: ModuleType) -> Any:
    """Return the driver that PYNQ binds to the core wherever an overlay holds it: `overlay.embnic_0` is one."""
    base: Any = pynq.DefaultIP

    class EmbnicCore(base):  # type: ignore[misc]  # pynq has no types
        """The core's registers: `read`, `write`, and by name in `register_map`."""

        bindto = (CORE_VLNV,)

    return EmbnicCore


class _Contiguous:
    """A buffer of `pynq.allocate` for the DMA."""

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer
        self.address = int(buffer.device_address)

    def put(self, data: NDArray[np.uint8]) -> None:
        """Write and flush."""
        part = self._buffer[: data.size]
        part[:] = data
        part.sync_to_device()

    def get(self, nbytes: int) -> NDArray[np.uint8]:
        """Invalidate and read."""
        part = self._buffer[:nbytes]
        part.sync_from_device()
        return np.array(part, dtype=np.uint8)


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
        driver = _core_driver(self._pynq)
        try:
            self._overlay = self._pynq.Overlay(str(bitfile.resolve()), device=device)
        except RuntimeError as error:
            raise BackendUnavailable(
                "pynq",
                reason=f"PYNQ cannot load {bitfile.name} ({error}).",
                remedy="run on a board with PYNQ; embnic doctor says what is missing.",
            ) from error
        name, _ = self._find(CORE_VLNV)
        self._core = functools.reduce(getattr, name.split("/"), self._overlay)
        if not isinstance(self._core, driver):
            raise ContractMismatch(
                f"driver of {name} in the overlay",
                device=type(self._core).__name__,
                package=driver.__name__,
            )
        self._buffers: list[Any] = []
        self._regions: dict[int, Any] = {}
        self._bases: NDArray[np.int64] = np.empty(0, np.int64)
        out, into = (
            _Contiguous(self._allocate(FRAME_BYTES)),
            _Contiguous(self._allocate(FRAME_BYTES)),
        )
        self._dma = DmaLink(self._map(DMA_VLNV), out, into)
        self.recover()

    def recover(self) -> None:
        """Reset the DMA and wait for frames again."""
        with Broken("resetting the DMA"):
            self._dma.reset()

    def close(self) -> None:
        """Give the memory back; may be called twice."""
        buffers, self._buffers = self._buffers, []
        self._regions.clear()
        for buffer in buffers:
            buffer.freebuffer()

    # Bus

    def read32(self, offset: int) -> int:
        """Return the register's value."""
        with Broken(f"reading register {offset:#05x}"):
            return int(self._core.read(offset))

    def write32(self, offset: int, value: int) -> None:
        """Write the register."""
        with Broken(f"writing register {offset:#05x}"):
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
        with Broken("reading card memory"):
            part = self._part(addr, nbytes)
            part.sync_from_device()
            return np.array(part, dtype=np.uint8)

    def write(self, addr: int, data: NDArray[np.uint8]) -> None:
        """Write `data` at `addr`; the core sees it when this returns."""
        with Broken("writing card memory"):
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

    def _map(self, vlnv: str) -> Any:
        _, ip = self._find(vlnv)
        return self._pynq.MMIO(ip["phys_addr"], ip["addr_range"], device=self._device)

    def _find(self, vlnv: str) -> tuple[str, Any]:
        kind = vlnv.rpartition(":")[0]
        found = [
            (name, ip)
            for name, ip in self._overlay.ip_dict.items()
            if ip.get("type", "").startswith(kind + ":")
        ]
        if len(found) != 1:
            raise ContractMismatch(
                f"IP {kind} in the overlay", device=f"{len(found)} of it", package="one"
            )
        return found[0]


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
