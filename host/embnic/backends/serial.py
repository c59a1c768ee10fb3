# SPDX-License-Identifier: Apache-2.0
"""Serve lookups on a card at a serial line: frames, registers and card memory in SLIP packets (RFC 1055).

The other end is `rtl/link/embnic_uart_slip.sv`, whose header describes the packets. A request that is not answered in
time is sent again; each may be repeated. Frames are not answered on the line: the driver knows what it asked for.

The line is a file descriptor of a terminal: a USB serial port, or a pseudo-terminal with a simulated card behind it.
"""

from __future__ import annotations

import binascii
import contextlib
import itertools
import os
import select
import struct
import termios
import time
import tty
from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..config import Table
from ..driver import Driver
from ..errors import (
    BackendUnavailable,
    CapacityError,
    ConfigError,
    DeviceFault,
    DeviceTimeout,
    LinkError,
)
from ..exchange import Timing
from ..wire import FrameBatch
from .card import CardBackend

__all__ = [
    "BAUD",
    "SerialBackend",
    "SerialPorts",
    "decode_slip",
    "encode_packet",
    "open_serial",
    "serial_timing",
]

BAUD = 2_000_000  # of the ecpix5 board
UNIT = 64  # bytes; memory is read and written in whole units, a multiple of every beat
PAYLOAD_BYTES = 2048  # of a packet at most
MTU_BYTES = PAYLOAD_BYTES - 14  # an Ethernet header goes into the packet, too
CHUNK = 1024  # bytes of memory in a packet
TRIES = 4  # of a request before the card counts as silent

FRAME, REGISTER_READ, REGISTER_WRITE, MEMORY_READ, MEMORY_WRITE, INFO = range(1, 7)
TO_HOST, REFUSED = 0x80, 0x40
_END, _ESC, _ESC_END, _ESC_ESC = b"\xc0", b"\xdb", b"\xdb\xdc", b"\xdb\xdd"
_HEADER = struct.Struct("<BBHI")  # kind, tag, length, address


def serial_timing(baud: int = BAUD, deadline: float | None = None) -> Timing:
    """Return how long to wait for a card at a line of `baud` bits a second."""
    window = 10 * 40_000 / baud  # a window of frames and their replies
    retry, patience = max(0.5, 2 * window), max(5.0, 20 * window)
    if deadline is None:
        return Timing(retry=retry, patience=patience)
    return Timing(
        retry=min(retry, deadline / 4), patience=min(patience, deadline), deadline=deadline
    )


def encode_packet(kind: int, tag: int, length: int, address: int, payload: bytes = b"") -> bytes:
    """Return a packet as it goes over the line.

    >>> encode_packet(INFO, 1, 0, 0).hex()
    'c006010000000000000994c0'
    """
    body = _HEADER.pack(kind, tag, length, address) + payload
    body += binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "big")
    return _END + body.replace(_ESC, _ESC_ESC).replace(_END, _ESC_END) + _END


def decode_slip(body: bytes) -> bytes | None:
    """Return what stands between two END bytes without its CRC, or None when it is broken.

    >>> decode_slip(encode_packet(INFO, 1, 0, 0)[1:-1]).hex()
    '0601000000000000'
    """
    escapes = body.count(_ESC)
    if body.count(_ESC_END) + body.count(_ESC_ESC) != escapes:
        return None
    packet = body.replace(_ESC_END, _END).replace(_ESC_ESC, _ESC) if escapes else body
    if len(packet) < _HEADER.size + 2 or binascii.crc_hqx(packet, 0xFFFF):
        return None
    return packet[:-2]


class SerialPorts:
    """Bus, Memory and Link of a card at a terminal."""

    def __init__(self, device: str, *, baud: int = BAUD) -> None:
        """Open `device`, for example /dev/ttyUSB1, at `baud` bits a second, and ask the card who it is."""
        self._device = device
        self.baud = baud
        self._fd = _open(device, baud)
        self._buffer = bytearray()
        self._frames: deque[bytes] = deque()
        self._tag = 0
        self._next = 4096  # address 0 is nobody's, so that a forgotten base shows
        self.moved_bytes = 0  # over the line, both ways
        self.broken_packets = 0  # that came
        try:
            _, _, self.memory_bytes = self._ask(INFO, 0, 0)
        except BaseException:
            self.close()
            raise

    def recover(self) -> None:
        """Open the terminal anew and forget what was on its way."""
        self.close()
        self._fd = _open(self._device, self.baud)
        self._buffer.clear()
        self._frames.clear()

    def close(self) -> None:
        """Give the terminal back; may be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def dropped(self) -> int:
        """Return how many packets the card has dropped since its reset, at most 65,535."""
        return self._ask(INFO, 0, 0)[1]

    # Bus

    def read32(self, offset: int) -> int:
        """Return the register's value."""
        return int.from_bytes(self._ask(REGISTER_READ, 0, offset)[0], "little")

    def write32(self, offset: int, value: int) -> None:
        """Write the register; return when the card took it."""
        self._ask(REGISTER_WRITE, 4, offset, value.to_bytes(4, "little"))

    # Memory

    def alloc(self, nbytes: int, align: int = 4096) -> int:
        """Return the address of `nbytes` unused bytes of card memory."""
        if align < UNIT or align & (align - 1):
            raise ConfigError(
                f"align is {align}.", allowed=f"a power of two from {UNIT}.", do="Correct it."
            )
        at = -(-self._next // align) * align
        if at + nbytes > self.memory_bytes:
            raise CapacityError(
                "Tables on the card",
                needed=nbytes,
                available=max(self.memory_bytes - at, 0),
                do="use fewer or shorter rows: this card has its memory on the chip.",
            )
        self._next = at + nbytes
        return at

    def read(self, addr: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of `nbytes` bytes from `addr`."""
        first, end = self._units(addr, nbytes)
        parts = []
        for at in range(first, end, CHUNK):
            size = min(CHUNK, end - at)
            part = self._ask(MEMORY_READ, size, at)[0]
            if len(part) != size:
                raise LinkError(
                    f"{size} bytes of card memory were asked for, {len(part)} came. Do: reattach."
                )
            parts.append(part)
        whole = np.frombuffer(b"".join(parts), np.uint8)
        wanted: NDArray[np.uint8] = whole[addr - first : addr - first + nbytes].copy()
        return wanted

    def write(self, addr: int, data: NDArray[np.uint8]) -> None:
        """Write `data` at `addr`; the card has it when this returns."""
        if not data.size:
            return
        first, end = self._units(addr, data.size)
        whole = np.empty(end - first, np.uint8)
        if first < addr:  # the card takes whole units
            whole[:UNIT] = self.read(first, UNIT)
        if addr + data.size < end:
            whole[-UNIT:] = self.read(end - UNIT, UNIT)
        whole[addr - first : addr - first + data.size] = data
        for at in range(0, whole.size, CHUNK):
            part = whole[at : at + CHUNK].tobytes()
            self._ask(MEMORY_WRITE, len(part), first + at, part)

    def sync(self) -> None:
        """Return when earlier writes are visible to the core: they already are."""

    def _units(self, addr: int, nbytes: int) -> tuple[int, int]:
        if addr < 0 or nbytes < 0 or addr + nbytes > self.memory_bytes:
            raise ConfigError(
                f"{nbytes:,} bytes at {addr:#x} are not all inside the card's {self.memory_bytes:,} bytes.",
                do="Use an address from alloc().",
            )
        return addr // UNIT * UNIT, -(-(addr + nbytes) // UNIT) * UNIT

    # Link

    def send(self, frames: FrameBatch) -> None:
        """Hand frames to the line; return when they are in the system's buffer."""
        for first, end in itertools.pairwise(frames.offsets.tolist()):
            if end - first > PAYLOAD_BYTES:
                raise ConfigError(
                    f"A frame of {end - first} bytes is given.",
                    allowed=f"at most {PAYLOAD_BYTES} over this line.",
                    do=f"Open with mtu={MTU_BYTES} or less.",
                )
            self._write(encode_packet(FRAME, 0, end - first, 0, frames.data[first:end].tobytes()))

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        """Return frames of the card, waiting at most `timeout` seconds for the first."""
        until = time.monotonic() + timeout
        self._take(0.0)
        while not self._frames and (left := until - time.monotonic()) > 0:
            self._take(left)
        count = min(max_frames, len(self._frames))
        return FrameBatch.from_list([self._frames.popleft() for _ in range(count)])

    def clock(self) -> float:
        """Return seconds of the host's monotonic clock."""
        return time.monotonic()

    # Packets

    def _ask(
        self, kind: int, length: int, address: int, payload: bytes = b""
    ) -> tuple[bytes, int, int]:
        """Send a request until it is answered; return the answer's payload, length and address."""
        self._tag = (self._tag + 1) & 0xFF
        packet = encode_packet(kind, self._tag, length, address, payload)
        wait = 0.2 + 10 * 4 * (len(packet) + length) / self.baud
        for _ in range(TRIES):
            self._write(packet)
            until = time.monotonic() + wait
            while (left := until - time.monotonic()) > 0:
                for answer in self._take(left):
                    found, tag, size, where = _HEADER.unpack_from(answer)
                    if tag != self._tag or found & 0x3F != kind:
                        continue  # of a request that was given up
                    if found & REFUSED:
                        raise DeviceFault(
                            f"address {address:#x} (request {kind} over the serial line)",
                            code=found,
                            do="use an address of the register map.",
                        )
                    return answer[_HEADER.size :], size, where
            wait *= 2
        raise DeviceTimeout(
            f"waiting for the card at {self._device} to answer request {kind}",
            waited=wait,
            do="check the cable and the speed, and that the bitstream is loaded.",
        )

    def _take(self, timeout: float) -> list[bytes]:
        """Read what is there within `timeout` seconds; keep frames, return answers."""
        try:
            ready, _, _ = select.select([self._fd], [], [], timeout)
            data = os.read(self._fd, 1 << 16) if ready else b""
        except BlockingIOError:
            return []
        except (OSError, ValueError) as error:
            raise LinkError(f"{self._device} cannot be read ({error}). Do: reattach.") from error
        if ready and not data:
            raise LinkError(f"{self._device} was closed at its other end. Do: reattach.")
        self.moved_bytes += len(data)
        *bodies, rest = (bytes(self._buffer) + data).split(_END)
        self._buffer = bytearray(rest)
        answers = []
        for body in filter(None, bodies):
            packet = decode_slip(body)
            if packet is None:
                self.broken_packets += 1
            elif packet[0] == FRAME | TO_HOST:
                self._frames.append(packet[_HEADER.size :])
            elif packet[0] & TO_HOST:
                answers.append(packet)
        return answers

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        until = time.monotonic() + 5.0 + 20 * len(data) / self.baud
        try:
            while rest:
                _, ready, _ = select.select([], [self._fd], [], max(until - time.monotonic(), 0.0))
                if not ready:
                    raise DeviceTimeout(
                        f"writing to {self._device}", waited=5.0, do="check the cable; reattach."
                    )
                with contextlib.suppress(BlockingIOError):
                    rest = rest[os.write(self._fd, rest) :]
        except (OSError, ValueError) as error:
            if isinstance(error, DeviceTimeout):
                raise
            raise LinkError(f"{self._device} cannot be written ({error}). Do: reattach.") from error
        self.moved_bytes += len(data)


def _open(device: str, baud: int) -> int:
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise ConfigError(
            f"The speed is {baud} bits a second.",
            allowed="speeds that this system's termios names, such as 115200 or 2000000.",
            do="Correct it.",
        )
    try:
        fd = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise BackendUnavailable(
            "serial",
            reason=f"{device} cannot be opened ({error.strerror}).",
            remedy="name the card's serial port, as in target='serial:/dev/ttyUSB1'.",
        ) from error
    try:
        tty.setraw(fd)
        settings = termios.tcgetattr(fd)
        settings[2] |= termios.CLOCAL | termios.CREAD
        settings[2] &= ~(termios.CSTOPB | termios.PARENB)
        settings[4] = settings[5] = speed
        termios.tcsetattr(fd, termios.TCSANOW, settings)
        termios.tcflush(fd, termios.TCIOFLUSH)
    except termios.error as error:
        os.close(fd)
        raise BackendUnavailable(
            "serial",
            reason=f"{device} is no terminal ({error}).",
            remedy="name the card's serial port, as in target='serial:/dev/ttyUSB1'.",
        ) from error
    return fd


class SerialBackend(CardBackend):
    """A card at a serial line."""

    def __init__(self, tables: Iterable[Table], ports: SerialPorts, driver: Driver) -> None:
        self.ports = ports
        super().__init__(tables, driver, name="serial", release=ports.close)

    def reattach(self) -> None:
        """Open the terminal anew, check the card's identity, define the tables."""
        self.ports.recover()
        super().reattach()


def open_serial(
    tables: Iterable[Table],
    device: str,
    *,
    baud: int | None = None,
    deadline: float | None = None,
    mtu: int = 1500,
) -> SerialBackend:
    """Attach to the card at a serial port; without `baud`, EMBNIC_BAUD says the speed, else it is 2,000,000."""
    if not device:
        raise BackendUnavailable(
            "serial",
            reason="no serial port is named.",
            remedy="name it, as in target='serial:/dev/ttyUSB1'.",
        )
    if mtu > MTU_BYTES:
        raise ConfigError(f"mtu is {mtu}.", allowed=f"at most {MTU_BYTES} over a serial line.")
    if baud is None:
        text = os.environ.get("EMBNIC_BAUD", "") or str(BAUD)
        if not text.isdecimal():
            raise ConfigError(f"EMBNIC_BAUD is {text!r}.", allowed="a number of bits a second.")
        baud = int(text)
    ports = SerialPorts(device, baud=baud)
    try:
        driver = Driver(ports, ports, ports, timing=serial_timing(baud, deadline), mtu=mtu)
        return SerialBackend(tables, ports, driver)
    except BaseException:
        ports.close()
        raise
