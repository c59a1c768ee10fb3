# SPDX-License-Identifier: Apache-2.0
"""Build and dissect embnic frames with scapy, for tests only.

Written from the description of the wire, not generated: it imports nothing of the contract, so that
it and the generated codecs check each other. Needs the `sim` extra.

A frame is `Ether / IP / UDP / Embnic / body`. `Embnic` appends the CRC32C when it is built, and
keeps the one that was received in `crc` when it is dissected; `verify` compares. The bodies are
`Keys` (LOOKUP, ROWS, PREFETCH), `Merge`, `Rows` (UPDATE, FILL, INVALIDATE), `Vectors` (REPLY), `Partial` and
`Ack`; PING and ERROR have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from scapy.fields import (
    BitEnumField,
    ByteEnumField,
    ByteField,
    ConditionalField,
    Field,
    FieldListField,
    FlagsField,
    LEIntField,
    LELongField,
    LEShortField,
    PacketListField,
    StrFixedLenField,
    StrLenField,
    XLEShortField,
)
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import NoPayload, Packet, Padding, Raw, bind_layers

__all__ = [
    "Ack",
    "Embnic",
    "Entry",
    "Key",
    "Keys",
    "NULL",
    "Partial",
    "Rows",
    "Unit",
    "Vectors",
    "WeightedKey",
    "crc32c",
    "dissect",
    "flatten",
    "frame",
    "key_word",
    "padding",
    "units",
    "verify",
]

PORT = 17742
NULL = (1 << 48) - 1  # the row of a key that contributes nothing

OPCODES = {
    1: "PING",
    2: "LOOKUP",
    3: "REPLY",
    4: "PARTIAL",
    5: "ROWS",
    6: "UPDATE",
    7: "ACK",
    8: "FILL",
    9: "INVALIDATE",
    10: "PREFETCH",
    11: "MERGE",
    12: "ACCUMULATE",
    13: "TOPK",
    14: "INTERACT",
    15: "ERROR",
}
DTYPES = {
    0: "FP32",
    1: "FP16",
    2: "BF16",
    3: "INT8",
    4: "INT8_FRONT",
    5: "INT4",
    6: "INT4_END",
    7: "FIXED",
}
STATUSES = dict(
    enumerate(
        (
            "OK",
            "BAD_REQUEST",
            "UNKNOWN_TABLE",
            "TABLE_MISMATCH",
            "OUT_OF_RANGE",
            "TOO_LARGE",
            "UNSUPPORTED",
            "MEMORY_ERROR",
            "SNAPSHOT_GONE",
            "CLIENTS_FULL",
            "SEQUENCE_WINDOW",
            "BUSY",
            "REMOTE_ERROR",
            "JOB_GONE",
        )
    )
)
FLAGS = [
    "WEIGHTED",
    "TAG",
    "ACCUMULATOR",
    "CONTINUES",
    "FINAL",
    "PARTIAL_WANTED",
    "PRODUCT",
    "bit7",
]


def crc32c(data: bytes) -> int:
    """Return the CRC32C of `data`, one bit after the other."""
    remainder = 0xFFFFFFFF
    for byte in data:
        for position in range(8):
            feedback = (remainder ^ byte >> position) & 1
            remainder >>= 1
            if feedback:
                remainder ^= 0x82F63B78
    return remainder ^ 0xFFFFFFFF


class _Body(Packet):  # type: ignore[misc]
    """What follows our header."""

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        return b"", s


class Key(Packet):  # type: ignore[misc]
    """A key: `last` in bit 63, the table in bits 62 to 48, the row below."""

    name = "key"
    fields_desc: ClassVar[list[Any]] = [LELongField("word", 0)]

    @property
    def row(self) -> int:
        return int(self.word) % (1 << 48)

    @property
    def table(self) -> int:
        return (int(self.word) >> 48) % (1 << 15)

    @property
    def last(self) -> bool:
        return int(self.word) >> 63 == 1

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        return b"", s


class WeightedKey(Key):
    """A key, its fp32 weight, four zero bytes."""

    name = "weighted key"
    fields_desc: ClassVar[list[Any]] = [
        LELongField("word", 0),
        Field("weight", 1.0, "<f"),
        LEIntField("zero", 0),
    ]


Entry = Key | WeightedKey


class Unit(Packet):  # type: ignore[misc]
    """64 bytes of a vector or row: sixteen fp32."""

    name = "unit"
    fields_desc: ClassVar[list[Any]] = [
        FieldListField("values", [0.0] * 16, Field("value", 0.0, "<f"), count_from=lambda _: 16)
    ]

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        return b"", s


def key_word(table: int, row: int, last: bool = False) -> int:
    """Return the 64 bits of a key."""
    return int(last) * 2**63 + table * 2**48 + row


def units(values: Sequence[float]) -> list[Unit]:
    """Return a vector as units, zeros behind its end."""
    padded = [*values, *[0.0] * (-len(values) % 16)]
    return [Unit(values=padded[at : at + 16]) for at in range(0, len(padded), 16)]


def padding(keys: int) -> bytes:
    """Return the zeros behind client, sequence and so many keys: up to a multiple of 64 bytes."""
    return bytes(-(16 + 8 * keys) % 64)


def _header(body: Packet) -> Packet:
    return body.underlayer if body.underlayer is not None else Embnic()


def _carries_accumulator(body: Packet) -> bool:
    return bool(_header(body).flags.ACCUMULATOR)


def _accumulator_units(body: Packet) -> int:
    """Return the 64-byte units of the header's dim, as fp32."""
    return -(-int(_header(body).dim) // 16)


def _partial_units(body: Packet) -> int:
    """Return the 64-byte units of the partials and their count blocks."""
    return int(_header(body).bags) * (_accumulator_units(body) + 1)


class Keys(_Body):
    """LOOKUP, ROWS, PREFETCH: an accumulator if the flag says so, then keys or weighted keys."""

    name = "keys"
    fields_desc: ClassVar[list[Any]] = [
        ConditionalField(LEIntField("count", 0), _carries_accumulator),
        ConditionalField(StrFixedLenField("block_zeros", bytes(60), 60), _carries_accumulator),
        ConditionalField(
            PacketListField("accumulator", [], Unit, count_from=_accumulator_units),
            _carries_accumulator,
        ),
        PacketListField(
            "entries",
            [],
            next_cls_cb=lambda body, *_: WeightedKey if _header(body).flags.WEIGHTED else Key,
        ),
    ]


class Merge(Keys):
    """MERGE: as LOOKUP, with the partials, each its count block and vector in units, before the keys."""

    name = "merge"
    fields_desc: ClassVar[list[Any]] = [
        *Keys.fields_desc[:-1],
        PacketListField("partials", [], Unit, count_from=_partial_units),
        Keys.fields_desc[-1],
    ]


class Rows(_Body):
    """UPDATE, FILL: client, sequence, keys, zeros up to 64 bytes, rows; INVALIDATE without rows."""

    name = "rows"
    fields_desc: ClassVar[list[Any]] = [
        LELongField("client", 0),
        LELongField("sequence", 1),
        PacketListField(
            "entries", [], Key, count_from=lambda body: _header(body)["Embnic"].getfieldval("keys")
        ),
        StrLenField(
            "zeros", b"", length_from=lambda body: len(padding(_header(body).getfieldval("keys")))
        ),
        PacketListField("rows", [], Unit),
    ]


_PIECE: list[Any] = [
    LELongField("client", 0),
    LELongField("job", 1),
    LEIntField("piece", 0),
    StrFixedLenField("block_zeros", bytes(44), 44),
]


def _keys(body: Packet) -> int:
    return int(_header(body).getfieldval("keys"))


class Gradients(_Body):
    """ACCUMULATE: a piece of a job; names of rows, zeros up to 64 bytes, gradients."""

    name = "gradients"
    fields_desc: ClassVar[list[Any]] = [
        *_PIECE,
        PacketListField("entries", [], Key, count_from=_keys),
        StrLenField("zeros", b"", length_from=lambda body: -8 * _keys(body) % 64),
        PacketListField("rows", [], Unit),
    ]


class Scores(_Body):
    """TOPK: a piece of a job; fp32 scores, zeros up to 8 bytes."""

    name = "scores"
    fields_desc: ClassVar[list[Any]] = [
        *_PIECE,
        FieldListField("scores", [], Field("score", 0.0, "<f"), count_from=_keys),
        StrLenField("zeros", b"", length_from=lambda body: -4 * _keys(body) % 8),
    ]


class Samples(_Body):
    """INTERACT: a piece of a job; vectors in units."""

    name = "samples"
    fields_desc: ClassVar[list[Any]] = [*_PIECE, PacketListField("vectors", [], Unit)]


class Vectors(_Body):
    """REPLY: vectors, or a piece of one, in units."""

    name = "vectors"
    fields_desc: ClassVar[list[Any]] = [PacketListField("vectors", [], Unit)]


class Partial(_Body):
    """PARTIAL: how many keys, then the accumulator or a piece of it, in units."""

    name = "partial"
    fields_desc: ClassVar[list[Any]] = [
        LEIntField("count", 0),
        StrFixedLenField("block_zeros", bytes(60), 60),
        PacketListField("vectors", [], Unit),
    ]


class Ack(_Body):
    """ACK: the client and sequence that were acknowledged."""

    name = "ack"
    fields_desc: ClassVar[list[Any]] = [
        LELongField("client", 0),
        LELongField("sequence", 0),
        StrFixedLenField("zeros", bytes(48), 48),
    ]


BODIES: dict[int, type[Packet]] = {
    2: Keys,
    3: Vectors,
    4: Partial,
    5: Keys,
    6: Rows,
    7: Ack,
    8: Rows,
    9: Rows,
    10: Keys,
    11: Merge,
    12: Gradients,
    13: Scores,
    14: Samples,
}


class Embnic(Packet):  # type: ignore[misc]
    """The 22 bytes of our header, and the CRC32C behind the payload.

    `crc`: None: computed when built; else the 4 bytes that are appended, or that were found.
    """

    name = "Embnic"
    __slots__ = ("crc",)
    fields_desc: ClassVar[list[Any]] = [
        XLEShortField("magic", 0xEB1C),
        ByteField("version", 1),
        ByteEnumField("opcode", 1, OPCODES),
        FlagsField("flags", 0, 8, FLAGS),
        BitEnumField("status", 0, 4, STATUSES),
        BitEnumField("dtype", 0, 4, DTYPES),
        LEShortField("tenant", 0),
        LEIntField("request_id", 0),
        LEShortField("first_bag", 0),
        LEShortField("bags", 0),
        LEShortField("keys", 0),
        LEShortField("dim", 0),
        LEShortField("snapshot", 0),
    ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.crc: bytes | None = None
        super().__init__(*args, **kwargs)

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        whole = pkt + pay
        return whole + (crc32c(whole).to_bytes(4, "little") if self.crc is None else self.crc)

    def do_dissect_payload(self, s: bytes) -> None:
        self.crc = s[-4:]
        super().do_dissect_payload(s[:-4])

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        return BODIES.get(self.opcode, Raw)


bind_layers(UDP, Embnic, dport=PORT)
bind_layers(UDP, Embnic, sport=PORT)


def verify(packet: Embnic) -> bool:
    """Return whether a dissected frame's CRC32C is right."""
    kept, packet.crc = packet.crc, b""
    behind = packet.getlayer(Padding)
    whole = bytes(packet)[: -len(behind.load) or None] if behind else bytes(packet)
    packet.crc = kept
    return kept == crc32c(whole).to_bytes(4, "little")


def frame(layers: Packet, *, reply: bool = False) -> bytes:
    """Return an Ethernet frame around `layers`, from 10.0.0.1:40000 to 10.0.0.2 or back."""
    requester, card = (
        ("02:00:00:00:00:01", "10.0.0.1", 40000),
        ("02:00:00:00:00:02", "10.0.0.2", PORT),
    )
    here, there = (card, requester) if reply else (requester, card)
    ip = IP(src=here[1], dst=there[1], id=0, flags="DF")
    udp = UDP(sport=here[2], dport=there[2], chksum=0)
    return bytes(Ether(src=here[0], dst=there[0]) / ip / udp / layers)


def dissect(data: bytes) -> Embnic | None:
    """Return our part of a frame, None when there is none."""
    packet = Ether(data)
    found = packet.getlayer(Embnic)
    return None if found is None or isinstance(found, NoPayload) else found


def flatten(found: Iterable[Unit]) -> list[float]:
    """Return the values of units one after the other."""
    return [value for unit in found for value in unit.values]
