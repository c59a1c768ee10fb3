# SPDX-License-Identifier: Apache-2.0
"""Codes and bytes of the wire. Generated from spec/wire.toml by spec/generate.py; do not edit."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

import numpy as np

__all__ = [
    "ACCEPTED_REQUESTS",
    "BLOCK_BYTES",
    "BitField",
    "COMPUTE_K",
    "COMPUTE_KEYS",
    "COMPUTE_VEC64",
    "COMPUTE_VECTORS",
    "CONTRACT_HASH",
    "CRC_BYTES",
    "CRC_CHECK",
    "CRC_INIT",
    "CRC_POLY",
    "CRC_XOROUT",
    "DEFAULT_UDP_PORT",
    "DESCRIPTOR_FIELDS",
    "DESCRIPTOR_WORDS",
    "DROP_PRIORITY",
    "DTYPE_MASK",
    "DType",
    "DropReason",
    "FIRST_PAYLOAD_BYTE",
    "FLAGS_RESERVED",
    "FRAME_OVERHEAD",
    "Flag",
    "HEADER_BYTES",
    "HEADER_DTYPE",
    "HEADER_VALUES",
    "Hold",
    "KEY_BYTES",
    "KEY_LAST_BITS",
    "KEY_LAST_SHIFT",
    "KEY_ROW_BITS",
    "KEY_ROW_SHIFT",
    "KEY_TABLE_BITS",
    "KEY_TABLE_SHIFT",
    "MAGIC",
    "MAX_FRAME_BYTES",
    "NULL_ROW",
    "Opcode",
    "Order",
    "Pooling",
    "SEQUENCE_BYTES",
    "SEQUENCE_WINDOW",
    "STATUS_SHIFT",
    "Status",
    "UNIT_BYTES",
    "WEIGHTED_BYTES",
    "WIRE_VERSION",
]

CONTRACT_HASH: Final = 0x0C68E535

MAGIC: Final = 0xEB1C
WIRE_VERSION: Final = 1
DEFAULT_UDP_PORT: Final = 0x454E
HEADER_BYTES: Final = 22
FIRST_PAYLOAD_BYTE: Final = 64  # of a whole Ethernet frame
UNIT_BYTES: Final = 64  # vectors and rows are padded with zeros to a multiple of this
BLOCK_BYTES: Final = 64  # count block of PARTIAL and ACCUMULATOR, body of ACK
SEQUENCE_BYTES: Final = 16  # u64 client, u64 sequence
SEQUENCE_WINDOW: Final = 64  # sequences beyond the highest contiguous one that may arrive early
FRAME_OVERHEAD: Final = 68  # bytes of a frame that are not payload
MAX_FRAME_BYTES: Final = 16384  # longest frame, Ethernet header to CRC
COMPUTE_VEC64: Final = 8  # longest vector of ACCUMULATE and INTERACT, 64-byte units
COMPUTE_VECTORS: Final = 32  # most vectors of a sample of INTERACT
COMPUTE_K: Final = 16  # most that TOPK keeps
COMPUTE_KEYS: Final = 256  # most gradients of a frame

# CRC32C
# Castagnoli, reflected, over our header and payload
# 4 bytes little-endian directly after the payload.
CRC_BYTES: Final = 4
CRC_POLY: Final = 0x82F63B78
CRC_INIT: Final = 0xFFFFFFFF
CRC_XOROUT: Final = 0xFFFFFFFF
CRC_CHECK: Final = 0xE3069283  # of b"123456789"


class Opcode(IntEnum):
    """What a frame asks for or answers."""

    PING = 1  # request: are you there; answered by REPLY without vectors
    LOOKUP = 2  # request: bags of keys; answered by REPLY, PARTIAL or ERROR
    REPLY = 3  # reply: pooled, normalised vectors
    PARTIAL = 4  # reply: an unnormalised fp32 (FIXED: int32) accumulator and its count
    ROWS = 5  # request and reply: rows without pooling (reserved)
    UPDATE = 6  # request: write rows; answered by ACK or ERROR
    ACK = 7  # reply: an UPDATE, FILL, INVALIDATE or PREFETCH took effect
    FILL = 8  # request: write rows and bring them into the cache; answered by ACK or ERROR
    INVALIDATE = 9  # request: drop rows from the cache; answered by ACK or ERROR
    PREFETCH = 10  # request: bring rows into the cache, hold or release them; answered by ACK
    MERGE = 11  # request: a bag's keys and partials to be merged with them; answered by REPLY, PARTIAL or ERROR
    ACCUMULATE = 12  # request: gradients, summed by row; answered by REPLY or ERROR
    TOPK = 13  # request: scores, the best are kept; answered by REPLY or ERROR
    INTERACT = 14  # request: dot products of samples' vectors; answered by REPLY or ERROR
    ERROR = 15  # reply: the request was refused; see the status


class DType(IntEnum):
    """How a row is given; card memory holds all quantised layouts alike (see the payloads)."""

    FP32 = 0  # IEEE 754 binary32
    FP16 = 1  # IEEE 754 binary16
    BF16 = 2  # bfloat16
    INT8 = 3  # uint8 elements q, then fp32 scale and bias; an element is scale * q + bias
    INT8_FRONT = 4  # fp16 scale and bias, then uint8 elements
    INT4 = 5  # fp16 scale and bias, then 4-bit elements, the first of a byte in its low half
    INT4_END = 6  # 4-bit elements as INT4, then fp16 scale and bias
    FIXED = 7  # int32 elements in units of 2**fixed_scale_exp of the table; the card answers unscaled int32


class Status(IntEnum):
    """Why a request was refused."""

    OK = 0  # not refused
    BAD_REQUEST = 1  # the frame contradicts itself: counts, lengths, flags
    UNKNOWN_TABLE = 2  # no such table
    TABLE_MISMATCH = 3  # the table's dim, dtype or pooling is not the frame's
    OUT_OF_RANGE = 4  # a row number is not below the table's rows
    TOO_LARGE = 5  # the reply or a vector exceeds what the card can hold
    UNSUPPORTED = 6  # this card does not execute that
    MEMORY_ERROR = 7  # card memory answered with an error, or not in time
    SNAPSHOT_GONE = 8  # the snapshot named was retired
    CLIENTS_FULL = 9  # no room to remember another updating client
    SEQUENCE_WINDOW = 10  # the sequence number is too far ahead
    BUSY = 11  # try again later: the card is quiesced
    REMOTE_ERROR = 12  # the card that holds a row answered with an error, or not in time
    JOB_GONE = 13  # the card does not have the job that this piece belongs to: begin it again


class Pooling(IntEnum):
    """How the rows of a bag become one vector."""

    SUM = 0  # sum, weighted when the frame says so
    MEAN = 1  # sum divided by the keys that contributed; by the host for FIXED
    MAX = 2  # elementwise maximum
    NONE = 3  # no pooling: the row of every key, zeros for a null key and the padding row


class Order(IntEnum):
    """The order of the additions; a partial or a mean is divided and rounded once, after the last of them."""

    SEQUENTIAL = 0  # key order: acc = acc + row, from +0
    TREE = 1  # the j-th key that counts goes to sum j mod k, k = 2**tree_k_log2; sums are then added pairwise
    SPLIT = 2  # local rows in key order, then the owners' partials by ascending owner number
    MEMO = 3  # as the plan's memo rows say


class Hold(IntEnum):
    """What becomes of the lines of a PREFETCH or FILL; it stands in the header's first_bag."""

    NONE = 0  # brought into the cache, replaced like any other
    LOCK = 1  # kept until they are looked up, updated or released
    PIN = 2  # kept until they are released, through updates, too
    RELEASE = 3  # PREFETCH only: nothing is fetched; neither locked nor pinned any more


class DropReason(IntEnum):
    """Why a received frame was dropped, one reason a frame; the value is the bit in evt_rx_drop."""

    NOT_OURS = 0  # not untagged IPv4 UDP to our port with our magic
    MAC_ERROR = 1  # the MAC marked the frame bad
    LENGTH = 2  # truncated, lengths disagree, or payload not a multiple of 8
    IP_CHECKSUM = 3  # the IPv4 header checksum is wrong
    VERSION = 4  # another version of our header
    HEADER = 5  # reserved flags set, or an opcode this side does not take
    CRC = 6  # CRC32C over header and payload is wrong
    OVERLOAD = 7  # no room
    TAG = 8  # tag trailer, but the tenant has no key


class Flag(IntFlag):
    """Bits of the header's flags."""

    WEIGHTED = 1 << 0  # entries are 16 bytes: key, fp32 weight, zero
    TAG = 1 << 1  # an 8-byte SipHash-2-4 tag replaces the CRC
    ACCUMULATOR = 1 << 2  # the payload begins with the running accumulator of a continued bag
    CONTINUES = 1 << 3  # the last bag continues in another frame
    FINAL = 1 << 4  # last frame of the reply
    PARTIAL_WANTED = 1 << 5  # answer with PARTIAL
    PRODUCT = 1 << 6  # the keys of a bag are pairs of two tables, whose rows are multiplied


FLAGS_RESERVED: Final = 0x80

# The opcodes that a card takes; any other is dropped with DropReason.HEADER.
ACCEPTED_REQUESTS: Final = (
    Opcode.PING,
    Opcode.LOOKUP,
    Opcode.ROWS,
    Opcode.UPDATE,
    Opcode.FILL,
    Opcode.INVALIDATE,
    Opcode.PREFETCH,
    Opcode.MERGE,
    Opcode.ACCUMULATE,
    Opcode.TOPK,
    Opcode.INTERACT,
)

# When several reasons hold, the first of this list is counted.
DROP_PRIORITY: Final = (
    DropReason.MAC_ERROR,
    DropReason.NOT_OURS,
    DropReason.LENGTH,
    DropReason.IP_CHECKSUM,
    DropReason.VERSION,
    DropReason.HEADER,
    DropReason.TAG,
    DropReason.CRC,
    DropReason.OVERLOAD,
)

# Our header as its 22 bytes; dtype and status share a byte.
HEADER_DTYPE: Final = np.dtype(
    [
        ("magic", "<u2"),
        ("version", "u1"),
        ("opcode", "u1"),
        ("flags", "u1"),
        ("dtype_status", "u1"),
        ("tenant", "<u2"),
        ("request_id", "<u4"),
        ("first_bag", "<u2"),
        ("bags", "<u2"),
        ("keys", "<u2"),
        ("dim", "<u2"),
        ("snapshot", "<u2"),
    ]
)
DTYPE_MASK: Final = 0x0F  # of dtype_status
STATUS_SHIFT: Final = 4  # of dtype_status

# Our header as values, one column a field, in the machine's byte order.
HEADER_VALUES: Final = np.dtype(
    [
        ("magic", np.uint16),
        ("version", np.uint8),
        ("opcode", np.uint8),
        ("flags", np.uint8),
        ("dtype", np.uint8),
        ("status", np.uint8),
        ("tenant", np.uint16),
        ("request_id", np.uint32),
        ("first_bag", np.uint16),
        ("bags", np.uint16),
        ("keys", np.uint16),
        ("dim", np.uint16),
        ("snapshot", np.uint16),
    ]
)

# A key, one little-endian 64-bit word.
KEY_BYTES: Final = 8
WEIGHTED_BYTES: Final = 16  # key, fp32 weight, zero
NULL_ROW: Final = 0xFFFFFFFFFFFF
KEY_ROW_SHIFT: Final = 0  # row within the table; all ones: a null key, contributes nothing
KEY_ROW_BITS: Final = 48
KEY_TABLE_SHIFT: Final = 48  # table
KEY_TABLE_BITS: Final = 15
KEY_LAST_SHIFT: Final = 63  # last key of its bag in this frame
KEY_LAST_BITS: Final = 1


class BitField(NamedTuple):
    """Bits [low + width - 1 : low] of a table descriptor."""

    low: int
    width: int
    signed: bool


# A table descriptor: 8 words of 32 bits, word 0 in bits 31:0.
DESCRIPTOR_WORDS: Final = 8
DESCRIPTOR_FIELDS: Final = {
    "valid": BitField(0, 1, False),  # the table exists
    "dtype": BitField(1, 4, False),  # storage type
    "pooling": BitField(5, 2, False),  # pooling
    "has_padding": BitField(7, 1, False),  # padding_row is skipped and not counted
    "mul_then_add": BitField(8, 1, False),  # round weighted products, BF16 sums to even
    "dim": BitField(16, 16, False),  # elements of a row
    "order": BitField(32, 2, False),  # order of the additions
    "tree_k_log2": BitField(34, 4, False),  # log2 of a TREE's sums, 1 to 4; else 0
    "fixed_scale_exp": BitField(38, 8, True),  # log2 of the unit of FIXED; else 0
    "remote": BitField(46, 1, False),  # the rows live on another card, at base there
    "memo": BitField(47, 1, False),  # rows are stored partial sums
    "owner": BitField(48, 8, False),  # which owner holds the rows
    "generation": BitField(56, 8, False),  # changes whenever the table is replaced
    "base": BitField(64, 64, False),  # row 0, a multiple of 64; bits 39:37: log2 of its channels
    "rows": BitField(128, 64, False),  # rows, at most 2**48 - 1
    "padding_row": BitField(192, 64, False),  # the row that is skipped when has_padding
}
