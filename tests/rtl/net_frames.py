# SPDX-License-Identifier: Apache-2.0
"""Frames for the benches of the network modules, byte by byte; shares no code with the host."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field, replace
from typing import Any

PORT = 0x454E
MAGIC = 0xEB1C
PING, LOOKUP, REPLY, PARTIAL, ROWS, UPDATE, ACK, FILL, INVALIDATE, PREFETCH, MERGE, ERROR = (
    *range(1, 12),
    15,
)
ACCUMULATE, TOPK, INTERACT = 12, 13, 14
REQUESTS = (
    PING,
    LOOKUP,
    ROWS,
    UPDATE,
    FILL,
    INVALIDATE,
    PREFETCH,
    MERGE,
    ACCUMULATE,
    TOPK,
    INTERACT,
)
WEIGHTED, TAG, ACCUMULATOR, CONTINUES, FINAL, PARTIAL_WANTED, PRODUCT = (
    1 << bit for bit in range(7)
)
HEADER = struct.Struct("<HBBBBHIHHHHH")
assert HEADER.size == 22


def _eight_bits(state: int) -> int:
    for _ in range(8):
        state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state


_TABLE = [_eight_bits(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    """Return the Castagnoli CRC."""
    state = 0xFFFFFFFF
    for byte in data:
        state = state >> 8 ^ _TABLE[(state ^ byte) & 0xFF]
    return state ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def ip_checksum(header: bytes) -> int:
    """Return the ones' complement checksum over 20 bytes, bytes 10 and 11 taken as zero."""
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, 20, 2) if at != 10)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


@dataclass(frozen=True)
class Frame:
    """One frame of ours; `build()` gives its bytes. The fields in the second half spoil it."""

    opcode: int = LOOKUP
    payload: bytes = b""
    flags: int = 0
    dtype: int = 0
    status: int = 0
    tenant: int = 0x1234
    request_id: int = 0xA1B2C3D4
    first_bag: int = 0
    bags: int = 1
    keys: int = 1
    dim: int = 16
    snapshot: int = 0
    mac_dst: int = 0x02_00_00_00_00_01
    mac_src: int = 0x02_00_00_00_00_02
    ip_src: int = 0x0A000002
    ip_dst: int = 0x0A000001
    port_src: int = 40000
    port_dst: int = PORT
    magic: int = MAGIC
    version: int = 1

    ether_type: int = 0x0800
    version_ihl: int = 0x45
    fragment: int = 0x4000
    protocol: int = 17
    ttl: int = 64
    ident: int = 0
    udp_length_error: int = 0
    ip_length_error: int = 0
    checksum_error: int = 0
    crc_error: int = 0
    tag_bytes: int = 0  # instead of the CRC
    padding: bytes = b""
    cut: int = 0  # bytes missing at the end

    def header(self) -> bytes:
        """Return our 22 bytes."""
        kind = self.dtype & 15 | (self.status & 15) << 4
        return HEADER.pack(
            self.magic,
            self.version,
            self.opcode,
            self.flags,
            kind,
            self.tenant,
            self.request_id,
            self.first_bag,
            self.bags,
            self.keys,
            self.dim,
            self.snapshot,
        )

    def build(self) -> bytes:
        """Return the frame."""
        message = self.header() + self.payload
        trailer = bytes(range(self.tag_bytes)) or struct.pack(
            "<I", crc32c(message) ^ self.crc_error
        )
        udp_length = 8 + len(message) + len(trailer) + self.udp_length_error
        udp = struct.pack(">HHHH", self.port_src, self.port_dst, udp_length & 0xFFFF, 0)
        total = 20 + 8 + len(message) + len(trailer) + self.ip_length_error + self.udp_length_error
        ip = bytearray(
            struct.pack(
                ">BBHHHBBHII",
                self.version_ihl,
                0,
                total & 0xFFFF,
                self.ident,
                self.fragment,
                self.ttl,
                self.protocol,
                0,
                self.ip_src,
                self.ip_dst,
            )
        )
        ip[10:12] = (ip_checksum(bytes(ip)) ^ self.checksum_error).to_bytes(2, "big")
        ethernet = (
            self.mac_dst.to_bytes(6, "big")
            + self.mac_src.to_bytes(6, "big")
            + struct.pack(">H", self.ether_type)
        )
        frame = ethernet + bytes(ip) + udp + message + trailer + self.padding
        return frame[: len(frame) - self.cut]

    def but(self, **changes: Any) -> Frame:
        """Return a copy with other fields."""
        return replace(self, **changes)


def random_frame(rng: random.Random, max_words: int = 40, opcode: int | None = None) -> Frame:
    """Return a good request with random fields and up to `max_words` 8-byte words of payload."""
    return Frame(
        opcode=rng.choice(REQUESTS) if opcode is None else opcode,
        payload=rng.randbytes(8 * rng.randrange(max_words + 1)),
        flags=rng.getrandbits(7) & ~TAG,
        dtype=rng.getrandbits(4),
        status=rng.getrandbits(4),
        tenant=rng.getrandbits(16),
        request_id=rng.getrandbits(32),
        first_bag=rng.getrandbits(16),
        bags=rng.getrandbits(16),
        keys=rng.getrandbits(16),
        dim=rng.getrandbits(16),
        snapshot=rng.getrandbits(16),
        mac_dst=rng.getrandbits(48),
        mac_src=rng.getrandbits(48),
        ip_src=rng.getrandbits(32),
        ip_dst=rng.getrandbits(32),
        port_src=rng.getrandbits(16),
        ttl=rng.getrandbits(8),
        ident=rng.getrandbits(16),
        fragment=rng.choice((0, 0x4000)),
        padding=rng.randbytes(rng.choice((0, 0, 0, 1, 7, 60, 200))),
    )


def beats(data: bytes, width: int, rubbish: bytes = b"") -> list[tuple[int, int, int]]:
    """Cut a frame into (tdata, tkeep, tlast); behind its end the bus shows `rubbish`, else 0xA5."""
    step = width // 8
    result = []
    for at in range(0, max(len(data), 1), step):
        piece = data[at : at + step]
        filled = (piece + rubbish + b"\xa5" * step)[:step] if len(piece) < step else piece
        result.append(
            (int.from_bytes(filled, "little"), (1 << len(piece)) - 1, int(at + step >= len(data)))
        )
    return result


@dataclass
class Gatherer:
    """Puts the beats (tdata, tkeep, tlast) of a stream together to frames."""

    width: int
    frames: list[bytes] = field(default_factory=list)
    _parts: list[bytes] = field(default_factory=list)

    def take(self, beat: tuple[int, int, int]) -> bytes | None:
        """Add a beat; return the frame that it ends."""
        data, keep, last = beat
        step = self.width // 8
        count = keep.bit_length()
        assert keep == (1 << count) - 1, f"tkeep {keep:#x} has holes"
        assert last or count == step, f"tkeep {keep:#x} in the middle of a frame"
        self._parts.append(data.to_bytes(step, "little")[:count])
        if not last:
            return None
        frame = b"".join(self._parts)
        self._parts.clear()
        self.frames.append(frame)
        return frame

    def reset(self) -> None:
        """Forget the beats of an unfinished frame."""
        self._parts.clear()
