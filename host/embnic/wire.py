# SPDX-License-Identifier: Apache-2.0
"""Turn requests into frames and frames into replies, in batches.

Letters in shapes: `n` frames of a batch, `K` keys of all its frames.

The native extension does the work when it is built, numpy otherwise; the bytes are the same.
Nothing here raises because of what was received: `decode` gives every frame that is not accepted a
`DropReason`.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from . import wire_numpy
from .errors import ConfigError
from .frames import Endpoint, FrameBatch, Route, concat
from .gen.wire import (
    ACCEPTED_REQUESTS,
    CRC_BYTES,
    CRC_INIT,
    CRC_POLY,
    CRC_XOROUT,
    DTYPE_MASK,
    FRAME_OVERHEAD,
    HEADER_BYTES,
    HEADER_DTYPE,
    HEADER_VALUES,
    MAGIC,
    MAX_FRAME_BYTES,
    STATUS_SHIFT,
    UNIT_BYTES,
    WIRE_VERSION,
    DropReason,
    Flag,
    Opcode,
)
from .keys import BagKeys, Entries, make_keys

__all__ = [
    "Endpoint",
    "Route",
    "FrameBatch",
    "concat",
    "BagKeys",
    "make_keys",
    "Entries",
    "new_headers",
    "encode",
    "encode_lookup",
    "encode_merge",
    "encode_update",
    "encode_invalidate",
    "encode_prefetch",
    "encode_ping",
    "Decoded",
    "decode",
    "crc32c",
    "codec_name",
    "REPLIES",
    "REQUESTS",
]

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]

REQUESTS = frozenset(ACCEPTED_REQUESTS)
REPLIES = frozenset((Opcode.REPLY, Opcode.PARTIAL, Opcode.ROWS, Opcode.ACK, Opcode.ERROR))


class Codec(Protocol):
    """What works on bytes: the module `_native` or `wire_numpy`, which describes the arguments."""

    def crc32c_batch(
        self, data: Bytes, starts: Offsets, lengths: Offsets, out: NDArray[np.uint32]
    ) -> None:
        """Checksum ranges of bytes."""
        ...

    def encode_frames(
        self, prefix: Bytes, headers: Bytes, payload: Bytes, payload_offsets: Offsets, out: Bytes
    ) -> None:
        """Write frames."""
        ...

    def decode_frames(
        self,
        data: Bytes,
        offsets: Offsets,
        port: int,
        opcodes: Bytes,
        headers: Bytes,
        payloads: Offsets,
        reasons: NDArray[np.int8],
    ) -> None:
        """Check frames."""
        ...


def _load_codec() -> Codec:
    try:
        return cast(Codec, importlib.import_module("embnic._native"))
    except ImportError:
        return cast(Codec, wire_numpy)


_codec = _load_codec()


def codec_name() -> str:
    """Return which codec works: "native" or "numpy"."""
    return "numpy" if _codec is cast(Codec, wire_numpy) else "native"


# --- requests ------------------------------------------------------------------------------------
def new_headers(count: int, opcode: Opcode) -> NDArray[np.void]:
    """Return `count` headers with magic, version and opcode set: structured, `HEADER_VALUES`."""
    headers = np.zeros(count, HEADER_VALUES)
    headers["magic"] = MAGIC
    headers["version"] = WIRE_VERSION
    headers["opcode"] = opcode
    return headers


def encode(
    route: Route, headers: NDArray[np.void], payload: Bytes, payload_offsets: Offsets
) -> FrameBatch:
    """Return frames with `headers` [n] as given.

    Frame `i` has the bytes `payload[payload_offsets[i]:payload_offsets[i + 1]]`, a multiple of 8.
    """
    sizes = np.diff(payload_offsets)
    if len(sizes) != len(headers):
        raise ConfigError(
            f"{len(headers)} headers and {len(sizes)} payloads.", allowed="one payload a header."
        )
    largest = MAX_FRAME_BYTES - FRAME_OVERHEAD
    if len(sizes) and (sizes.min() < 0 or sizes.max() > largest or (sizes % 8).any()):
        raise ConfigError(
            f"payloads have {int(sizes.min())} to {int(sizes.max())} bytes.",
            allowed=f"0 to {largest} bytes, multiples of 8.",
            do="Split the request into more frames.",
        )
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes + FRAME_OVERHEAD)])
    out = np.empty(int(offsets[-1]), np.uint8)
    flat = np.ascontiguousarray(payload, np.uint8)
    _codec.encode_frames(
        route.prefix, _header_bytes(headers), flat, np.ascontiguousarray(payload_offsets), out
    )
    return FrameBatch(out, offsets)


def encode_lookup(
    route: Route, headers: NDArray[np.void], entries: Entries, *, accumulators: Bytes | None = None
) -> FrameBatch:
    """Return LOOKUP frames for `entries`.

    Of `headers` [n] the columns opcode, bags, keys and the flags WEIGHTED and ACCUMULATOR are set
    here. `accumulators` uint8 [n, (1 + vec64) * 64]: count block and accumulator of every frame.
    """
    headers = _with_counts(headers, Opcode.LOOKUP, entries, entries.bags())
    if entries.weights is not None:
        headers["flags"] |= np.uint8(Flag.WEIGHTED)
    if accumulators is None:
        return encode(route, headers, entries.payload(), entries.edges())
    headers["flags"] |= np.uint8(Flag.ACCUMULATOR)
    return _encode_parts(
        route, headers, [_rows(accumulators), (entries.payload(), entries.edges())]
    )


def encode_merge(
    route: Route,
    headers: NDArray[np.void],
    entries: Entries,
    *,
    partials: Bytes,
    splits: Offsets,
    accumulators: Bytes | None = None,
) -> FrameBatch:
    """Return MERGE frames: of each one bag, whose `entries` are its local keys.

    `partials` uint8 [N, (1 + vec64) * 64] are count blocks and accumulators by ascending owner;
    those of frame `f` are `splits[f]` to `splits[f + 1]`, int64 [n + 1]. `headers` and
    `accumulators` as in `encode_lookup`.
    """
    if len(splits) != len(headers) + 1:
        raise ConfigError(
            f"partials are split for {len(splits) - 1} frames.", allowed=f"{len(headers)}."
        )
    headers = _with_counts(headers, Opcode.MERGE, entries, np.diff(splits))
    if entries.weights is not None:
        headers["flags"] |= np.uint8(Flag.WEIGHTED)
    flat, edges = _rows(partials)
    parts = [(flat, edges[splits]), (entries.payload(), entries.edges())]
    if accumulators is not None:
        headers["flags"] |= np.uint8(Flag.ACCUMULATOR)
        parts = [_rows(accumulators), *parts]
    return _encode_parts(route, headers, parts)


def encode_update(
    route: Route,
    headers: NDArray[np.void],
    entries: Entries,
    *,
    stamps: NDArray[np.uint64],
    rows: Bytes,
    fill: bool = False,
) -> FrameBatch:
    """Return UPDATE frames that write `rows` to the keys of `entries`, or FILL frames: first_bag is their `Hold`.

    `stamps` uint64 [n, 2]: client and sequence of every frame; `rows` uint8 [K, stored_vec64 * 64],
    as stored.
    """
    opcode = Opcode.FILL if fill else Opcode.UPDATE
    headers = _with_counts(headers, opcode, entries, np.zeros(len(headers), np.int64))
    if rows.ndim != 2 or len(rows) != len(entries.keys) or rows.shape[1] % UNIT_BYTES:
        raise ConfigError(
            f"rows are {rows.dtype} {rows.shape}.",
            allowed=f"uint8 [{len(entries.keys)}, a multiple of {UNIT_BYTES}].",
        )
    body = (np.ascontiguousarray(rows, np.uint8).reshape(-1), entries.splits * rows.shape[1])
    return _encode_parts(route, headers, [*_stamped(stamps, entries), body])


def encode_invalidate(
    route: Route, headers: NDArray[np.void], entries: Entries, *, stamps: NDArray[np.uint64]
) -> FrameBatch:
    """Return INVALIDATE frames for the keys of `entries`; `stamps` as in `encode_update`."""
    headers = _with_counts(headers, Opcode.INVALIDATE, entries, np.zeros(len(headers), np.int64))
    return _encode_parts(route, headers, _stamped(stamps, entries))


def encode_prefetch(route: Route, headers: NDArray[np.void], entries: Entries) -> FrameBatch:
    """Return PREFETCH frames for the keys of `entries`; the column first_bag is the `Hold`."""
    headers = _with_counts(headers, Opcode.PREFETCH, entries, np.zeros(len(headers), np.int64))
    return encode(route, headers, entries.payload(), entries.edges())


def encode_ping(route: Route, request_ids: NDArray[np.uint32]) -> FrameBatch:
    """Return a PING frame for every request id."""
    headers = new_headers(len(request_ids), Opcode.PING)
    headers["request_id"] = request_ids
    return encode(route, headers, np.empty(0, np.uint8), np.zeros(len(request_ids) + 1, np.int64))


Part = tuple[Bytes, Offsets]  # bytes, and where each frame's share begins and ends


def _with_counts(
    headers: NDArray[np.void], opcode: Opcode, entries: Entries, bags: Offsets
) -> NDArray[np.void]:
    """Return a copy of `headers` with opcode, bags and keys filled in."""
    counts = entries.counts()
    if len(counts) != len(headers):
        raise ConfigError(
            f"{len(headers)} headers and entries for {len(counts)} frames.",
            allowed="as many of each.",
        )
    if len(counts) and counts.max() > 0xFFFF:
        raise ConfigError(
            f"a frame has {int(counts.max())} keys.", allowed="at most 65,535.", do="Split it."
        )
    headers = headers.copy()
    headers["opcode"] = opcode
    headers["bags"] = bags
    headers["keys"] = counts
    return headers


def _rows(values: Bytes) -> Part:
    """Return a part of the same size for every frame: uint8 [n, size]."""
    if values.ndim != 2 or values.shape[1] % UNIT_BYTES:
        raise ConfigError(
            f"accumulators are {values.shape}.", allowed=f"[frames, a multiple of {UNIT_BYTES}]."
        )
    flat = np.ascontiguousarray(values, np.uint8).reshape(-1)
    return flat, np.arange(len(values) + 1) * values.shape[1]


def _stamped(stamps: NDArray[np.uint64], entries: Entries) -> list[Part]:
    """Return client and sequence, keys, zeros up to a multiple of 64 bytes."""
    frames = len(entries.splits) - 1
    if stamps.shape != (frames, 2):
        raise ConfigError(
            f"stamps are {stamps.shape}.", allowed=f"({frames}, 2): client and sequence."
        )
    if entries.weights is not None:
        raise ConfigError("an update has weights.", allowed="none.")
    padding = np.concatenate(
        [np.zeros(1, np.int64), np.cumsum(-(16 + 8 * entries.counts()) % UNIT_BYTES)]
    )
    stamp = (stamps.astype("<u8").reshape(-1).view(np.uint8), np.arange(frames + 1) * 16)
    return [
        stamp,
        (entries.payload(), entries.edges()),
        (np.zeros(int(padding[-1]), np.uint8), padding),
    ]


def _encode_parts(route: Route, headers: NDArray[np.void], parts: list[Part]) -> FrameBatch:
    """Return frames whose payloads are the parts one after the other, all whole 8-byte words."""
    edges = sum((part[1] for part in parts), np.zeros(len(headers) + 1, np.int64))
    payload = np.empty(int(edges[-1]) // 8, np.uint64)
    at = edges[:-1].copy()
    for data, part_edges in parts:
        sizes = np.diff(part_edges)
        words = data.view(np.uint64)
        payload[np.arange(len(words)) + np.repeat((at - part_edges[:-1]) // 8, sizes // 8)] = words
        at += sizes
    return encode(route, headers, payload.view(np.uint8), edges)


def _header_bytes(headers: NDArray[np.void]) -> Bytes:
    """Return headers as on the wire: uint8 [n, 22]."""
    packed = np.empty(len(headers), HEADER_DTYPE)
    for name in HEADER_DTYPE.names or ():
        if name != "dtype_status":
            packed[name] = headers[name]
    packed["dtype_status"] = (headers["dtype"] & DTYPE_MASK) | (headers["status"] << STATUS_SHIFT)
    return packed.view(np.uint8).reshape(-1, HEADER_BYTES)


# --- replies -------------------------------------------------------------------------------------
class Decoded:
    """What `decode` found in a batch.

    `headers` [n] structured `HEADER_VALUES`, zero where not accepted; `reasons` int8 [n], -1 where
    accepted, else the DropReason; `payloads` int64 [n, 2], where each payload begins and ends in
    `frames.data`.
    """

    __slots__ = ("frames", "headers", "payloads", "reasons")

    def __init__(
        self,
        frames: FrameBatch,
        headers: NDArray[np.void],
        payloads: Offsets,
        reasons: NDArray[np.int8],
    ) -> None:
        self.frames = frames
        self.headers = headers
        self.payloads = payloads
        self.reasons = reasons

    def __len__(self) -> int:
        """Return the number of frames, accepted or not."""
        return len(self.reasons)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Return which frames were accepted: bool [n]."""
        return self.reasons < 0

    @property
    def bad(self) -> int:
        """Return how many frames were not accepted."""
        return int(np.count_nonzero(self.reasons >= 0))

    def payload(self, index: int) -> Bytes:
        """Return a view of one frame's payload; empty when it was not accepted."""
        return self.frames.data[self.payloads[index, 0] : self.payloads[index, 1]]

    def drops(self) -> dict[DropReason, int]:
        """Return how many frames were not accepted, by the reasons that occurred."""
        counts = np.bincount(self.reasons[self.reasons >= 0], minlength=len(DropReason))
        return {reason: int(counts[reason]) for reason in DropReason if counts[reason]}

    def __iter__(self) -> Iterator[tuple[int, tuple[int, ...], Bytes]]:
        """Return request id, header and payload of each accepted frame.

        The header is (opcode, status, first_bag, bags, keys, dim).
        """
        chosen = np.flatnonzero(self.valid)
        headers = self.headers[chosen]
        names = ("opcode", "status", "first_bag", "bags", "keys", "dim")
        columns = zip(*(headers[name].tolist() for name in names), strict=True)
        edges, data = self.payloads[chosen].tolist(), self.frames.data
        for request_id, header, (begin, end) in zip(
            headers["request_id"].tolist(), columns, edges, strict=True
        ):
            yield request_id, header, data[begin:end]


def decode(
    frames: FrameBatch, *, port: int | None = None, opcodes: Collection[Opcode] = REPLIES
) -> Decoded:
    """Check every frame and return what it holds; payloads are views, nothing is raised.

    Accepted are frames to the UDP `port` (None: any) with one of `opcodes`; any other gets the
    first `DropReason` that holds, in the order of `DROP_PRIORITY`.
    """
    count = len(frames)
    taken = np.zeros(256, np.uint8)
    taken[[int(opcode) for opcode in opcodes]] = 1
    raw = np.empty((count, HEADER_BYTES), np.uint8)
    payloads = np.empty((count, 2), np.int64)
    reasons = np.empty(count, np.int8)
    if count:
        _codec.decode_frames(
            frames.data, frames.offsets, -1 if port is None else port, taken, raw, payloads, reasons
        )
    return Decoded(frames, _header_values(raw), payloads, reasons)


def _header_values(raw: Bytes) -> NDArray[np.void]:
    """Return headers as values from their bytes [n, 22]."""
    packed = raw.reshape(-1).view(HEADER_DTYPE)
    headers = np.empty(len(packed), HEADER_VALUES)
    for name in HEADER_DTYPE.names or ():
        if name != "dtype_status":
            headers[name] = packed[name]
    headers["dtype"] = packed["dtype_status"] & DTYPE_MASK
    headers["status"] = packed["dtype_status"] >> STATUS_SHIFT
    return headers


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """Return the CRC32C of `data`.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    if len(data) >= CRC_BYTES:
        out = np.empty(1, np.uint32)
        flat = np.frombuffer(data, np.uint8)
        _codec.crc32c_batch(flat, np.zeros(1, np.int64), np.full(1, len(flat), np.int64), out)
        return int(out[0])
    state = CRC_INIT
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (CRC_POLY if state & 1 else 0)
    return state ^ CRC_XOROUT
