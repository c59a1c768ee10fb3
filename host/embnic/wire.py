# SPDX-License-Identifier: Apache-2.0
"""Turn requests into frames and frames into replies, in batches.

Letters in shapes: `n` frames of a batch, `K` keys of all its frames, `B` bags. Frames lie one after the other in one
uint8 array, so that a batch crosses to C++, to a socket or to the simulated card without being copied.

The native extension does the work when it is built, numpy otherwise; the bytes are the same. Nothing here raises
because of what was received: `decode` gives every frame that is not accepted a `DropReason`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import AddressValueError, IPv4Address
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from . import wire_numpy
from .errors import ConfigError
from .gen.wire import (
    ACCEPTED_REQUESTS,
    CRC_BYTES,
    CRC_INIT,
    CRC_POLY,
    CRC_XOROUT,
    DEFAULT_UDP_PORT,
    DTYPE_MASK,
    FRAME_OVERHEAD,
    HEADER_BYTES,
    HEADER_DTYPE,
    HEADER_VALUES,
    KEY_LAST_SHIFT,
    KEY_TABLE_BITS,
    KEY_TABLE_SHIFT,
    MAGIC,
    MAX_FRAME_BYTES,
    NULL_ROW,
    STATUS_SHIFT,
    UNIT_BYTES,
    WIRE_VERSION,
    DropReason,
    Flag,
    Opcode,
)

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
    "encode_update",
    "encode_invalidate",
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
PREFIX_BYTES = 42  # Ethernet, IPv4, UDP
LAST = np.uint64(1 << KEY_LAST_SHIFT)


class Codec(Protocol):
    """What does the work on bytes: the module `_native` or `wire_numpy`, which describes the arguments."""

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
        from . import _native
    except ImportError:
        return cast(Codec, wire_numpy)
    return cast(Codec, _native if hasattr(_native, "decode_frames") else wire_numpy)


_codec = _load_codec()


def codec_name() -> str:
    """Return which codec works: "native" or "numpy"."""
    return "numpy" if _codec is cast(Codec, wire_numpy) else "native"


# --- frames ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Endpoint:
    """One end of a link.

    >>> Endpoint("02:00:00:00:00:01", "10.0.0.1").port
    17742
    """

    mac: str
    ip: str
    port: int = DEFAULT_UDP_PORT

    def __post_init__(self) -> None:
        """Refuse addresses that are none."""
        parts = self.mac.split(":")
        if len(parts) != 6 or not all(len(p) == 2 and set(p) <= set("0123456789abcdefABCDEF") for p in parts):
            raise ConfigError(f"mac is {self.mac!r}.", allowed='six bytes like "02:00:00:00:00:01".')
        try:
            IPv4Address(self.ip)
        except AddressValueError as error:
            raise ConfigError(f"ip is {self.ip!r}.", allowed='an IPv4 address like "10.0.0.1".') from error
        if not 0 < self.port < 1 << 16:
            raise ConfigError(f"port is {self.port}.", allowed="1 to 65,535.")

    @property
    def mac_bytes(self) -> bytes:
        """Return the MAC address as on the wire."""
        return bytes.fromhex(self.mac.replace(":", ""))

    @property
    def ip_bytes(self) -> bytes:
        """Return the IP address as on the wire."""
        return IPv4Address(self.ip).packed


@dataclass(frozen=True)
class Route:
    """Where frames come from and go to."""

    source: Endpoint
    destination: Endpoint

    @cached_property
    def prefix(self) -> Bytes:
        """Return Ethernet, IPv4 and UDP headers with lengths and checksums zero: uint8 [42]."""
        here, there = self.source, self.destination
        ethernet = there.mac_bytes + here.mac_bytes + b"\x08\x00"
        ip = bytes((0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0)) + here.ip_bytes + there.ip_bytes
        udp = here.port.to_bytes(2, "big") + there.port.to_bytes(2, "big") + bytes(4)
        return np.frombuffer(ethernet + ip + udp, np.uint8)


class FrameBatch:
    """Frames one after the other in `data`: frame `i` is `data[offsets[i]:offsets[i + 1]]`.

    >>> batch = FrameBatch.from_list([b"ab", b"cde"])
    >>> len(batch), batch.nbytes, batch[1:].to_list()
    (2, 5, [b'cde'])
    """

    __slots__ = ("data", "offsets")

    def __init__(self, data: Bytes, offsets: Offsets) -> None:
        """Take `data` uint8 and `offsets` int64 [n + 1] as they are: both C-contiguous, offsets never decreasing."""
        self.data = data
        self.offsets = offsets

    @classmethod
    def from_list(cls, frames: Sequence[bytes | bytearray | memoryview | Bytes]) -> FrameBatch:
        """Return a batch with a copy of `frames`."""
        sizes = np.fromiter((len(frame) for frame in frames), np.int64, len(frames))
        data = np.frombuffer(b"".join(bytes(frame) for frame in frames), np.uint8)
        return cls(data, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]))

    @classmethod
    def empty(cls) -> FrameBatch:
        """Return a batch without frames."""
        return cls(np.empty(0, np.uint8), np.zeros(1, np.int64))

    def to_list(self) -> list[bytes]:
        """Return every frame as bytes."""
        whole, at = self.data.tobytes(), self.offsets.tolist()
        return [whole[first:stop] for first, stop in zip(at[:-1], at[1:], strict=True)]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.offsets) - 1

    @property
    def nbytes(self) -> int:
        """Return the bytes of all frames."""
        return int(self.offsets[-1] - self.offsets[0])

    def frame(self, index: int) -> Bytes:
        """Return a view of one frame."""
        return self.data[self.offsets[index] : self.offsets[index + 1]]

    def __getitem__(self, chosen: slice) -> FrameBatch:
        """Return neighbouring frames as a batch on the same bytes."""
        first, stop, step = chosen.indices(len(self))
        if step != 1:
            raise ConfigError(f"step is {step}.", allowed="1: frames that lie side by side.")
        offsets = self.offsets[first : max(stop, first) + 1]
        return FrameBatch(self.data[offsets[0] : offsets[-1]], offsets - offsets[0])

    def __repr__(self) -> str:
        """Return the numbers of frames and bytes."""
        return f"FrameBatch({len(self)} frames, {self.nbytes} bytes)"


def concat(batches: Sequence[FrameBatch]) -> FrameBatch:
    """Return the frames of all `batches` in order, copied."""
    if not batches:
        return FrameBatch.empty()
    sizes = np.concatenate([np.diff(batch.offsets) for batch in batches])
    data = np.concatenate([batch.data[batch.offsets[0] : batch.offsets[-1]] for batch in batches])
    return FrameBatch(data, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]))


# --- keys --------------------------------------------------------------------------------------------------------------
class BagKeys(NamedTuple):
    """The entries of bags: an empty bag has one null key.

    `keys` uint64 [K] with last bits, `offsets` int64 [B + 1], `positions` int64 [L]: where each of the rows went.
    """

    keys: NDArray[np.uint64]
    offsets: Offsets
    positions: Offsets


def make_keys(table: int, rows: NDArray[np.integer], offsets: NDArray[np.integer]) -> BagKeys:
    """Return the keys of bags: bag `b` holds `rows[offsets[b]:offsets[b + 1]]` of `table`.

    >>> [hex(key) for key in make_keys(3, np.array([5, 6]), np.array([0, 2, 2])).keys]
    ['0x3000000000005', '0x8003000000000006', '0x8003ffffffffffff']
    """
    rows = np.asarray(rows, np.int64)
    starts = np.asarray(offsets, np.int64)
    if not 0 <= table < 1 << KEY_TABLE_BITS:
        raise ConfigError(f"table is {table}.", allowed=f"0 to {(1 << KEY_TABLE_BITS) - 1:,}.")
    if len(rows) and not (0 <= int(rows.min()) and int(rows.max()) < NULL_ROW):
        raise ConfigError(f"rows are {int(rows.min())} to {int(rows.max())}.", allowed=f"0 to {NULL_ROW - 1:,}.")
    lengths = np.diff(starts)
    if not len(starts) or starts[0] != 0 or starts[-1] != len(rows) or (lengths < 0).any():
        raise ConfigError("offsets do not cut the rows.", allowed=f"0, never decreasing, up to {len(rows)}.")
    empty = lengths == 0
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(empty, dtype=np.int64)])
    ends = starts + before
    positions = np.arange(len(rows)) + np.repeat(before[:-1], lengths)
    high = np.uint64(table << KEY_TABLE_SHIFT)
    keys = np.full(int(ends[-1]), high | np.uint64(NULL_ROW), np.uint64)
    keys[positions] = rows.view(np.uint64) | high
    keys[ends[1:] - 1] |= LAST
    return BagKeys(keys, ends, positions)


@dataclass(frozen=True, eq=False)
class Entries:
    """The keys of a batch of frames: frame `i` has `keys[splits[i]:splits[i + 1]]`, and their `weights` if there are any.

    `keys` uint64 [K] with last bits, `splits` int64 [n + 1], `weights` float32 [K] or None.
    """

    keys: NDArray[np.uint64]
    splits: Offsets
    weights: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Refuse types that would be cast and splits that do not cut the keys."""
        if self.keys.dtype != np.uint64 or self.splits.dtype != np.int64:
            raise ConfigError(f"keys are {self.keys.dtype}, splits {self.splits.dtype}.", allowed="uint64 and int64.")
        edges = self.splits
        if not len(edges) or edges[0] != 0 or edges[-1] != len(self.keys) or (np.diff(edges) < 0).any():
            raise ConfigError("splits do not cut the keys.", allowed=f"0, never decreasing, up to {len(self.keys)}.")
        weights = self.weights
        if weights is not None and (weights.dtype != np.float32 or weights.shape != self.keys.shape):
            raise ConfigError(f"weights are {weights.dtype} {weights.shape}.", allowed=f"float32 {self.keys.shape}.")

    def counts(self) -> Offsets:
        """Return the entries of each frame: int64 [n]."""
        return np.diff(self.splits)

    def bags(self) -> Offsets:
        """Return the last bits in each frame: int64 [n]."""
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.keys >> np.uint64(KEY_LAST_SHIFT), dtype=np.int64)])
        return np.diff(before[self.splits])

    def payload(self) -> Bytes:
        """Return the entries as on the wire."""
        if self.weights is None:
            return np.ascontiguousarray(self.keys.astype("<u8", copy=False)).view(np.uint8)
        pairs = np.empty((len(self.keys), 2), "<u8")
        pairs[:, 0] = self.keys
        pairs[:, 1] = self.weights.view(np.uint32)
        return pairs.view(np.uint8).reshape(-1)


# --- requests ----------------------------------------------------------------------------------------------------------
def new_headers(count: int, opcode: Opcode) -> NDArray[np.void]:
    """Return `count` headers with magic, version and opcode set: structured, `HEADER_VALUES`."""
    headers = np.zeros(count, HEADER_VALUES)
    headers["magic"] = MAGIC
    headers["version"] = WIRE_VERSION
    headers["opcode"] = opcode
    return headers


def encode(route: Route, headers: NDArray[np.void], payload: Bytes, payload_offsets: Offsets) -> FrameBatch:
    """Return frames: `headers` [n] as given, payload `payload[payload_offsets[i]:payload_offsets[i + 1]]`."""
    sizes = np.diff(payload_offsets)
    if len(sizes) != len(headers):
        raise ConfigError(f"{len(headers)} headers and {len(sizes)} payloads.", allowed="one payload a header.")
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
    _codec.encode_frames(route.prefix, _header_bytes(headers), flat, np.ascontiguousarray(payload_offsets), out)
    return FrameBatch(out, offsets)


def encode_lookup(
    route: Route, headers: NDArray[np.void], entries: Entries, *, accumulators: Bytes | None = None
) -> FrameBatch:
    """Return LOOKUP frames for `entries`.

    Of `headers` [n] the columns opcode, bags, keys and the flags WEIGHTED and ACCUMULATOR are filled in here.
    `accumulators` uint8 [n, (1 + vec64) * 64]: count block and accumulator of every frame.
    """
    headers = _with_counts(headers, Opcode.LOOKUP, entries, entries.bags())
    if entries.weights is not None:
        headers["flags"] |= np.uint8(Flag.WEIGHTED)
    edges = entries.splits * (8 if entries.weights is None else 16)
    if accumulators is None:
        return encode(route, headers, entries.payload(), edges)
    headers["flags"] |= np.uint8(Flag.ACCUMULATOR)
    return _encode_parts(route, headers, [_rows(accumulators), (entries.payload(), edges)])


def encode_update(
    route: Route, headers: NDArray[np.void], entries: Entries, *, stamps: NDArray[np.uint64], rows: Bytes
) -> FrameBatch:
    """Return UPDATE frames that write `rows` to the keys of `entries`.

    `stamps` uint64 [n, 2]: client and sequence of every frame; `rows` uint8 [K, vec64 * 64], as stored.
    """
    headers = _with_counts(headers, Opcode.UPDATE, entries, np.zeros(len(headers), np.int64))
    if rows.ndim != 2 or len(rows) != len(entries.keys) or rows.shape[1] % UNIT_BYTES:
        raise ConfigError(
            f"rows are {rows.dtype} {rows.shape}.", allowed=f"uint8 [{len(entries.keys)}, a multiple of {UNIT_BYTES}]."
        )
    body = (np.ascontiguousarray(rows, np.uint8).reshape(-1), entries.splits * rows.shape[1])
    return _encode_parts(route, headers, [*_stamped(stamps, entries), body])


def encode_invalidate(
    route: Route, headers: NDArray[np.void], entries: Entries, *, stamps: NDArray[np.uint64]
) -> FrameBatch:
    """Return INVALIDATE frames for the keys of `entries`; `stamps` as in `encode_update`."""
    headers = _with_counts(headers, Opcode.INVALIDATE, entries, np.zeros(len(headers), np.int64))
    return _encode_parts(route, headers, _stamped(stamps, entries))


def encode_ping(route: Route, request_ids: NDArray[np.uint32]) -> FrameBatch:
    """Return a PING frame for every request id."""
    headers = new_headers(len(request_ids), Opcode.PING)
    headers["request_id"] = request_ids
    return encode(route, headers, np.empty(0, np.uint8), np.zeros(len(request_ids) + 1, np.int64))


Part = tuple[Bytes, Offsets]  # bytes, and where each frame's share begins and ends


def _with_counts(headers: NDArray[np.void], opcode: Opcode, entries: Entries, bags: Offsets) -> NDArray[np.void]:
    """Return a copy of `headers` with opcode, bags and keys filled in."""
    counts = entries.counts()
    if len(counts) != len(headers):
        raise ConfigError(f"{len(headers)} headers and entries for {len(counts)} frames.", allowed="as many of each.")
    if len(counts) and counts.max() > 0xFFFF:
        raise ConfigError(f"a frame has {int(counts.max())} keys.", allowed="at most 65,535.", do="Split it.")
    headers = headers.copy()
    headers["opcode"] = opcode
    headers["bags"] = bags
    headers["keys"] = counts
    return headers


def _rows(values: Bytes) -> Part:
    """Return a part of the same size for every frame: uint8 [n, size]."""
    if values.ndim != 2 or values.shape[1] % UNIT_BYTES:
        raise ConfigError(f"accumulators are {values.shape}.", allowed=f"[frames, a multiple of {UNIT_BYTES}].")
    flat = np.ascontiguousarray(values, np.uint8).reshape(-1)
    return flat, np.arange(len(values) + 1) * values.shape[1]


def _stamped(stamps: NDArray[np.uint64], entries: Entries) -> list[Part]:
    """Return client and sequence, keys, zeros up to a multiple of 64 bytes."""
    frames = len(entries.splits) - 1
    if stamps.shape != (frames, 2):
        raise ConfigError(f"stamps are {stamps.shape}.", allowed=f"({frames}, 2): client and sequence.")
    if entries.weights is not None:
        raise ConfigError("an update has weights.", allowed="none.")
    padding = np.concatenate([np.zeros(1, np.int64), np.cumsum(-(16 + 8 * entries.counts()) % UNIT_BYTES)])
    stamp = (stamps.astype("<u8").reshape(-1).view(np.uint8), np.arange(frames + 1) * 16)
    return [stamp, (entries.payload(), entries.splits * 8), (np.zeros(int(padding[-1]), np.uint8), padding)]


def _encode_parts(route: Route, headers: NDArray[np.void], parts: list[Part]) -> FrameBatch:
    """Return frames whose payloads are the parts one after the other; all parts are whole 8-byte words."""
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


# --- replies -----------------------------------------------------------------------------------------------------------
class Decoded:
    """What `decode` found in a batch.

    `headers` [n] structured `HEADER_VALUES`, zero where not accepted; `reasons` int8 [n], -1 where accepted, else the
    DropReason; `payloads` int64 [n, 2], where each payload begins and ends in `frames.data`.
    """

    __slots__ = ("frames", "headers", "payloads", "reasons")

    def __init__(
        self, frames: FrameBatch, headers: NDArray[np.void], payloads: Offsets, reasons: NDArray[np.int8]
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
        """Return how many frames were not accepted, by reason; reasons that did not occur are left out."""
        counts = np.bincount(self.reasons[self.reasons >= 0], minlength=len(DropReason))
        return {reason: int(counts[reason]) for reason in DropReason if counts[reason]}

    def __iter__(self) -> Iterator[tuple[int, tuple[int, ...], Bytes]]:
        """Return request id, (opcode, status, first_bag, bags, keys, dim) and payload of each accepted frame."""
        chosen = np.flatnonzero(self.valid)
        headers = self.headers[chosen]
        names = ("opcode", "status", "first_bag", "bags", "keys", "dim")
        columns = zip(*(headers[name].tolist() for name in names), strict=True)
        edges, data = self.payloads[chosen].tolist(), self.frames.data
        for request_id, header, (begin, end) in zip(headers["request_id"].tolist(), columns, edges, strict=True):
            yield request_id, header, data[begin:end]


def decode(frames: FrameBatch, *, port: int | None = None, opcodes: Collection[Opcode] = REPLIES) -> Decoded:
    """Check every frame and return what it holds; payloads are views, nothing is raised for a bad frame.

    Accepted are frames to the UDP `port` (None: any) with one of `opcodes`, as `DropReason` describes and in its priority.
    """
    count = len(frames)
    taken = np.zeros(256, np.uint8)
    taken[[int(opcode) for opcode in opcodes]] = 1
    raw = np.empty((count, HEADER_BYTES), np.uint8)
    payloads = np.empty((count, 2), np.int64)
    reasons = np.empty(count, np.int8)
    if count:
        _codec.decode_frames(frames.data, frames.offsets, -1 if port is None else port, taken, raw, payloads, reasons)
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
