# SPDX-License-Identifier: Apache-2.0
"""Build, check and checksum frames with numpy: the twin of the native codec.

Letters in shapes: `n` frames. The three functions are what `embnic._native` offers under the same
names, with the same arguments and the same results; `wire.py` picks one of the two. Outputs are
written into arrays of the caller.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from .gen.wire import (
    CRC_BYTES,
    CRC_INIT,
    CRC_POLY,
    CRC_XOROUT,
    DROP_PRIORITY,
    FIRST_PAYLOAD_BYTE,
    FLAGS_RESERVED,
    HEADER_BYTES,
    MAGIC,
    MAX_FRAME_BYTES,
    WIRE_VERSION,
    DropReason,
    Flag,
)

__all__ = ["crc32c_batch", "decode_frames", "encode_frames"]

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]

IP_BYTE = 14  # where IPv4 begins in an Ethernet frame
UDP_BYTE = 34
HEADER_BYTE = 42  # where our header begins
UDP_OVERHEAD = 8 + HEADER_BYTES  # of the UDP length, beside payload and trailer
TAG_BYTES = 8  # trailer of a tagged frame, in place of the CRC
CRC_CELLS = 1 << 21  # bytes that are checksummed at once, so that the work stays in the cache


def _crc_tables() -> NDArray[np.uint32]:
    """Return the tables of slicing-by-8 [8, 256]: table k steps a byte over k more zero bytes."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ np.where(table & 1, np.uint32(CRC_POLY), np.uint32(0))
    tables = [table]
    for _ in range(7):
        tables.append((tables[-1] >> np.uint32(8)) ^ table[tables[-1] & 255])
    return np.stack(tables)


def _apply(tables: NDArray[np.uint32], states: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return states after the zero bytes that `tables` [4, 256] stand for."""
    octets = np.ascontiguousarray(states).view(np.uint8).reshape(*states.shape, 4)
    return _look_up(tables, octets)


def _look_up(tables: NDArray[np.uint32], octets: Bytes) -> NDArray[np.uint32]:
    """Return the sum of `tables[k][octets[..., k]]` over k."""
    total = np.take(tables[0], octets[..., 0])
    for k in range(1, len(tables)):
        total ^= np.take(tables[k], octets[..., k])
    return total


def _zero_tables() -> list[NDArray[np.uint32]]:
    """Return for every k the tables [4, 256] that step a state over 2**k words of zeros."""
    found = [_BYTE_TABLES[7:3:-1]]
    while 8 << len(found) <= MAX_FRAME_BYTES:
        found.append(_apply(found[-1], found[-1]))
    return found


if sys.byteorder != "little":
    raise ImportError("embnic.wire_numpy: this machine is big-endian; build the native extension.")
_BYTE_TABLES = _crc_tables()
_WORD_TABLES = _BYTE_TABLES[::-1]  # the first byte of a word has seven behind it
_ZERO_TABLES = _zero_tables()


def crc32c_batch(data: Bytes, starts: Offsets, lengths: Offsets, out: NDArray[np.uint32]) -> None:
    """Write the CRC32C of `lengths[i]` bytes from `starts[i]` of `data` to `out[i]`.

    Every length is at least 4. The byte ranges are aligned at their ends, with zeros in front: a
    CRC that starts from state 0 does not see leading zeros, and starting from all ones is the same
    as inverting the first four bytes. All words are checksummed at once, then neighbours are joined
    pair by pair: the CRC of AB is that of A stepped over B's length of zeros, plus that of B.
    """
    words = -(-lengths // 8)
    order = np.argsort(words, kind="stable")
    first = 0
    while first < len(order):
        # Similar lengths go together: at most twice the shortest one's words, and CRC_CELLS bytes.
        limit = max(2 * int(words[order[first]]), 8)
        stop = int(np.searchsorted(words[order], limit, side="right"))
        stop = min(stop, first + max(CRC_CELLS // (8 * limit), 1))
        chosen = order[first:stop]
        out[chosen] = _crc_group(data, starts[chosen], lengths[chosen])
        first = stop


def _crc_group(data: Bytes, starts: Offsets, lengths: Offsets) -> NDArray[np.uint32]:
    columns = int(-(-lengths.max() // 8)) * 8
    at = (starts + lengths - columns)[:, None] + np.arange(columns)
    cells = data[np.maximum(at, 0)]
    cells[at < starts[:, None]] = 0
    first = (columns - lengths)[:, None] + np.arange(4)
    cells[np.arange(len(starts))[:, None], first] ^= np.uint8(CRC_INIT & 255)
    states = _look_up(_WORD_TABLES, cells.reshape(len(starts), -1, 8))
    for tables in _ZERO_TABLES:
        if states.shape[1] == 1:
            break
        if states.shape[1] % 2:
            states = np.concatenate([np.zeros((len(states), 1), np.uint32), states], axis=1)
        states = _apply(tables, states[:, 0::2]) ^ states[:, 1::2]
    crcs: NDArray[np.uint32] = states[:, 0] ^ np.uint32(CRC_XOROUT)
    return crcs


def encode_frames(
    prefix: Bytes, headers: Bytes, payload: Bytes, payload_offsets: Offsets, out: Bytes
) -> None:
    """Write frames one after the other to `out`.

    `prefix` [42] is Ethernet, IPv4 and UDP with lengths and checksums zero; `headers` [n, 22] are
    ours as bytes; frame `i` has the payload bytes `payload_offsets[i]` to `payload_offsets[i + 1]`,
    a multiple of 8.
    """
    sizes = np.diff(payload_offsets)
    count = len(sizes)
    lengths = sizes + (FIRST_PAYLOAD_BYTE + CRC_BYTES)
    starts = np.cumsum(lengths) - lengths
    head = np.empty((count, FIRST_PAYLOAD_BYTE), np.uint8)
    head[:, :HEADER_BYTE] = prefix
    head[:, HEADER_BYTE:] = headers
    ip_length = lengths - IP_BYTE
    head[:, 16:18] = _be16(ip_length)
    head[:, 38:40] = _be16(lengths - UDP_BYTE)
    base = int(prefix[IP_BYTE:UDP_BYTE].view(">u2").sum(dtype=np.int64))
    head[:, 24:26] = _be16(0xFFFF - _fold(ip_length + base))
    # Frames and payloads are whole 32-bit words, so that words are moved, not bytes.
    words = out.view(np.uint32)
    words[(starts // 4)[:, None] + np.arange(FIRST_PAYLOAD_BYTE // 4)] = head.view(np.uint32)
    moved = payload[payload_offsets[0] : payload_offsets[-1]].view(np.uint32)
    shift = (starts + FIRST_PAYLOAD_BYTE - (payload_offsets[:-1] - payload_offsets[0])) // 4
    words[np.arange(len(moved)) + np.repeat(shift, sizes // 4)] = moved
    crc = np.empty(count, np.uint32)
    crc32c_batch(out, starts + HEADER_BYTE, sizes + HEADER_BYTES, crc)
    words[(starts + lengths) // 4 - 1] = crc.astype("<u4").view(np.uint32)


def decode_frames(
    data: Bytes,
    offsets: Offsets,
    port: int,
    opcodes: Bytes,
    headers: Bytes,
    payloads: Offsets,
    reasons: NDArray[np.int8],
) -> None:
    """Check frames `data[offsets[i]:offsets[i + 1]]`.

    Takes the UDP destination `port` (-1: any) and the opcodes whose byte in `opcodes` [256] is not
    0. Writes our header to `headers` [n, 22], begin and end of the payload in `data` to `payloads`
    [n, 2], and -1 or the DropReason to `reasons` [n]. Header and payload of a frame that is not
    accepted are zero.
    """
    lengths = np.diff(offsets)
    head = _heads(data, offsets[:-1], lengths)
    udp_length = _word(head, 38)
    tagged = head[:, 46] & np.uint8(Flag.TAG) != 0
    size = udp_length - UDP_OVERHEAD - np.where(tagged, TAG_BYTES, CRC_BYTES)
    bad = {
        DropReason.NOT_OURS: ~_ours(head, port),
        DropReason.LENGTH: (_word(head, 16) != udp_length + 20)
        | (size < 0)
        | (size % 8 != 0)
        | (udp_length + UDP_BYTE > lengths)
        | (lengths > MAX_FRAME_BYTES),
        DropReason.IP_CHECKSUM: _fold(
            head[:, IP_BYTE:UDP_BYTE].view(">u2").sum(axis=1, dtype=np.int64)
        )
        != 0xFFFF,
        DropReason.VERSION: head[:, 44] != WIRE_VERSION,
        DropReason.HEADER: (head[:, 46] & np.uint8(FLAGS_RESERVED) != 0)
        | (opcodes[head[:, 45]] == 0),
        DropReason.TAG: tagged,
    }
    reasons[:] = -1
    for reason in reversed(DROP_PRIORITY):
        if reason in bad:
            reasons[bad[reason]] = reason
    good = np.flatnonzero(reasons == -1)
    crc = np.empty(len(good), np.uint32)
    begin = offsets[:-1] + FIRST_PAYLOAD_BYTE
    end = begin + size
    crc32c_batch(data, offsets[good] + HEADER_BYTE, size[good] + HEADER_BYTES, crc)
    found = data[end[good][:, None] + np.arange(CRC_BYTES)].view("<u4")[:, 0]
    reasons[good[found != crc]] = DropReason.CRC
    accepted = (reasons == -1)[:, None]
    headers[:] = np.where(accepted, head[:, HEADER_BYTE:], 0)
    payloads[:] = np.where(accepted, np.stack([begin, end], axis=1), 0)


def _heads(data: Bytes, starts: Offsets, lengths: Offsets) -> Bytes:
    """Return the first 64 bytes of every frame, zeros behind its end."""
    column = np.arange(FIRST_PAYLOAD_BYTE)
    inside = column < lengths[:, None]
    at = np.where(inside, starts[:, None] + column, 0)
    return np.where(inside, data[at] if len(data) else 0, 0).astype(np.uint8, copy=False)


def _ours(head: Bytes, port: int) -> NDArray[np.bool_]:
    """Return which frames are plain untagged IPv4 and UDP, to our port, with our magic."""
    ours: NDArray[np.bool_] = (
        (_word(head, 12) == 0x0800)
        & (head[:, 14] == 0x45)
        & (_word(head, 20) & 0x3FFF == 0)
        & (head[:, 23] == 17)
    )
    ours &= (head[:, 42] == MAGIC & 255) & (head[:, 43] == MAGIC >> 8)
    if port >= 0:
        ours &= _word(head, 36) == port
    return ours


def _word(head: Bytes, at: int) -> NDArray[np.int64]:
    """Return the big-endian 16-bit field at byte `at`."""
    return head[:, at].astype(np.int64) << 8 | head[:, at + 1]


def _be16(values: NDArray[np.int64]) -> Bytes:
    return values.astype(">u2").view(np.uint8).reshape(-1, 2)


def _fold(total: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return sums of 16-bit words in ones' complement."""
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)
