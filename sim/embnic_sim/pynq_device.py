# SPDX-License-Identifier: Apache-2.0
"""A PYNQ device whose fabric is the Verilated core: `EMBNIC_PYNQ_DEVICE=embnic_sim.pynq_device`.

    Overlay("embnic_edge.bit")              # a simulated bitstream: embnic bitstreams build --simulated edge

Behind PYNQ's device interface lie a `SimCard` and a model of the AXI DMA's registers in simple mode (PG021). Buffers of
`pynq.allocate` are host memory; the core sees what was flushed, the host what was invalidated, as with caches that are
not coherent. The core's clock advances while registers are accessed: polling is what makes time pass.

Faults for tests: `device.unplug()` (all reads are ones, writes go nowhere, as on a bus without the device),
`device.hang()` (the DMA never finishes), `device.fail_dma()` (it reports a decode error), `device.cut_sent()` and
`device.cut_received()` (one transfer stops in the middle of a frame; a reset of the DMA begins with the rest of it),
`device.plug()`. `device.strike(fault, accesses)` lets one come later.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pynq.buffer import PynqBuffer
from pynq.pl_server.device import Device
from pynq.pl_server.hwh_parser import _HWHUltrascale, get_hwh_name

from embnic.bitstreams import SIMULATED_LINE
from embnic.errors import ConfigError, DeviceTimeout
from embnic.gen.registers import ADDRESS_BYTES
from embnic.hwh import CORE_ADDRESS, DMA_ADDRESS
from embnic.wire import FrameBatch
from embnic_sim.card import SimCard

__all__ = ["SimulatedDevice", "active"]

POLL_CYCLES = 256  # of the core, for each look at the receive channel

_CONTROL, _STATUS, _ADDRESS, _ADDRESS_HIGH, _LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
_HALTED, _IDLE, _DECODE_ERROR, _DONE = 0x1, 0x2, 0x40, 0x1000


class _Channel:
    """Registers of one direction of the DMA."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.control, self.status = 0, _HALTED
        self.address = self.length = 0
        self.waiting = False  # a transfer was begun and is not over

    def write(self, offset: int, value: int) -> bool:
        """Take a register write; return whether it begins a transfer."""
        if offset == _CONTROL:
            if not value & 0x4:  # a reset is the device's: it stops both channels
                self.control = value
                self.status = self.status & ~_HALTED if value & 1 else self.status | _HALTED
        elif offset == _STATUS:
            self.status &= ~(value & 0x7000)
        elif offset == _ADDRESS:
            self.address = self.address >> 32 << 32 | value
        elif offset == _ADDRESS_HIGH:
            self.address = self.address & 0xFFFF_FFFF | value << 32
        elif offset == _LENGTH and not self.status & _HALTED:
            self.length, self.waiting = value, True
            self.status &= ~_IDLE
            return True
        return False

    def read(self, offset: int) -> int:
        """Return a register."""
        return {
            _CONTROL: self.control,
            _STATUS: self.status,
            _ADDRESS: self.address & 0xFFFF_FFFF,
            _ADDRESS_HIGH: self.address >> 32,
            _LENGTH: self.length,
        }.get(offset, 0)

    def finish(self, nbytes: int) -> None:
        """The transfer is over."""
        self.length, self.waiting = nbytes, False
        self.status |= _IDLE | _DONE

    def fail(self) -> None:
        """The transfer ends in a decode error; the channel halts."""
        self.waiting = False
        self.status |= _DECODE_ERROR | _HALTED


class SimulatedDevice(Device):  # type: ignore[misc]  # pynq has no types
    """A board of one simulated card."""

    _probe_priority_ = 10  # below those of real boards: asked for by name, it comes first

    @classmethod
    def _probe_(cls) -> list[SimulatedDevice]:
        return [cls()]

    def __init__(self, tag: str = "embnic-simulated") -> None:
        super().__init__(tag)
        self.name, self.arch, self.mem_dict = "simulated", "simulated", {}
        self.capabilities = {"REGISTER_RW": True}
        self.card: SimCard | None = None
        self._send, self._recv = _Channel(), _Channel()
        self._gone = self._hung = self._failing = False
        self._cut_sent = self._cut_received = False
        self._sent_half = np.empty(0, np.uint8)  # of a frame that the core has not whole
        self._rest = np.empty(0, np.uint8)  # of a frame that the host has not whole
        self._strike: tuple[Callable[[], None], int] | None = None
        self.accesses = 0  # of registers

    # Faults

    def strike(self, fault: Callable[[], None], accesses: int) -> None:
        """Let a fault come with one of the next accesses to registers, the next one being 1."""
        self._strike = (fault, self.accesses + accesses)

    def unplug(self) -> None:
        """Take the device off the bus."""
        self._gone = True

    def hang(self) -> None:
        """Let the DMA finish nothing any more."""
        self._hung = True

    def fail_dma(self) -> None:
        """Let the next transfers end in a decode error."""
        self._failing = True

    def cut_sent(self) -> None:
        """Let the next frame to the core stop in its middle; the DMA hangs until it is reset."""
        self._cut_sent = True

    def cut_received(self) -> None:
        """Let the next frame of the core stop in its middle; the DMA hangs until it is reset."""
        self._cut_received = True

    def plug(self) -> None:
        """Put the device back, reset as after power-up; card memory is kept."""
        self._gone = self._hung = self._failing = False
        self._cut_sent = self._cut_received = False
        self._strike = None
        self._sent_half = self._rest = np.empty(0, np.uint8)
        self._send.reset()
        self._recv.reset()
        if self.card is not None:
            self.card.reset()

    # What PYNQ asks for

    def get_bitfile_metadata(self, bitfile: str, partial: bool = False) -> Any:
        """Parse the .hwh beside a bitstream."""
        del partial
        parser = _HWHUltrascale(hwh_name=get_hwh_name(bitfile))
        parser.systemgraph, parser.clock_dict = None, {}
        return parser

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Load a simulated bitstream: start the card that it names."""
        path = Path(bitstream.bitfile_name)
        first, _, rest = path.read_bytes().partition(b"\n")
        if first + b"\n" != SIMULATED_LINE:
            raise RuntimeError(
                f"{path.name} is no simulated bitstream: a simulated device loads no other"
            )
        config = json.loads(rest)["config"]
        if self.card is None or self.card.config.name != config:
            if self.card is not None:
                self.card.close()
            self.card = SimCard(config)
        self.plug()
        super().post_download(bitstream, parser, self.name)

    def allocate(self, shape: Any, dtype: Any = "u4", **_: Any) -> PynqBuffer:
        """Return host memory with an address in card memory."""
        card = self._card()
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        try:
            address = card.alloc(nbytes)
        except (ConfigError, DeviceTimeout) as error:
            raise RuntimeError(f"Failed to allocate Memory! ({error})") from error
        return PynqBuffer(
            shape, dtype, buffer=np.zeros(nbytes, np.uint8).data, device=self, device_address=address,
            coherent=False, bo=address,
        )  # fmt: skip

    def flush(self, bo: int, offset: int, vaddr: int, nbytes: int) -> None:
        """Make what the host wrote visible to the card."""
        if self._gone:
            return
        self._card().write(bo + offset, np.array(_view(vaddr, nbytes)))

    def invalidate(self, bo: int, offset: int, vaddr: int, nbytes: int) -> None:
        """Make what the card wrote visible to the host."""
        if self._gone:
            return
        _view(vaddr, nbytes)[:] = self._card().read(bo + offset, nbytes)

    def read_registers(self, address: int, nbytes: int) -> bytes:
        """Read 32-bit registers of the core or the DMA."""
        return b"".join(
            self._read(address + at).to_bytes(4, "little") for at in range(0, nbytes, 4)
        )

    def write_registers(self, address: int, data: Any) -> None:
        """Write 32-bit registers of the core or the DMA."""
        words = bytes(data)
        for at in range(0, len(words), 4):
            self._write(address + at, int.from_bytes(words[at : at + 4], "little"))

    # The fabric

    def _access(self) -> None:
        self.accesses += 1
        if self._strike is not None and self.accesses >= self._strike[1]:
            fault, self._strike = self._strike[0], None
            fault()

    def _read(self, address: int) -> int:
        self._access()
        if self._gone:
            return 0xFFFF_FFFF
        if CORE_ADDRESS <= address < CORE_ADDRESS + ADDRESS_BYTES:
            return self._card().read32(address - CORE_ADDRESS)
        channel, offset = self._channel(address)
        if channel is self._recv and offset == _STATUS:
            self._receive()
        return channel.read(offset)

    def _write(self, address: int, value: int) -> None:
        self._access()
        if self._gone:
            return
        if CORE_ADDRESS <= address < CORE_ADDRESS + ADDRESS_BYTES:
            self._card().write32(address - CORE_ADDRESS, value)
            return
        channel, offset = self._channel(address)
        if offset == _CONTROL and value & 0x4:
            self._send.reset()
            self._recv.reset()
        elif channel.write(offset, value) and channel is self._send:
            self._transmit()

    def _transmit(self) -> None:
        if self._failing:
            self._send.fail()
        elif not self._hung:
            card, size = self._card(), self._send.length
            data = np.concatenate([self._sent_half, card.read(self._send.address, size)])
            if self._cut_sent:
                self._cut_sent, self._sent_half = False, data[: data.size // 2]
                return
            self._sent_half = np.empty(0, np.uint8)
            card.send(FrameBatch(data, np.array([0, data.size], np.int64)))
            self._send.finish(size)

    def _receive(self) -> None:
        if not self._recv.waiting or self._hung:
            return
        if self._failing:
            self._recv.fail()
            return
        card, data = self._card(), self._rest
        self._rest = np.empty(0, np.uint8)
        if not data.size:
            frames = card.recv(1, POLL_CYCLES / card.clock_hz)
            if len(frames.offsets) < 2:
                return
            data = frames.data
        if self._cut_received:
            self._cut_received, self._rest = False, data[data.size // 2 :]
            card.write(self._recv.address, data[: data.size // 2])
            self._recv.waiting = False
            return
        card.write(self._recv.address, data)
        self._recv.finish(data.size)

    def _channel(self, address: int) -> tuple[_Channel, int]:
        offset = address - DMA_ADDRESS
        if not 0 <= offset < 0x60:
            raise RuntimeError(f"no register at {address:#x}")
        return (self._recv, offset - 0x30) if offset >= 0x30 else (self._send, offset)

    def _card(self) -> SimCard:
        if self.card is None:
            raise RuntimeError("no bitstream was loaded")
        return self.card


def _view(address: int, nbytes: int) -> Any:
    import ctypes

    return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))


def active() -> SimulatedDevice:
    """Return the simulated device of this process."""
    device = Device.active_device
    assert isinstance(device, SimulatedDevice)
    return device
