# SPDX-License-Identifier: Apache-2.0
"""The card's registers. Generated from spec/registers.rdl by spec/generate.py; do not edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["ADDRESS_BYTES", "COUNTERS", "Counter", "REGISTERS", "Register", "RegisterField"]


class RegisterField(NamedTuple):
    """Bits [low + width - 1 : low] of a register; `pulse`: a written 1 acts once and reads as 0."""

    low: int
    width: int
    reset: int | None
    pulse: bool


@dataclass(frozen=True)
class Register:
    """A 32-bit register at byte `offset`; `count` of them, four bytes apart."""

    offset: int
    access: str
    count: int
    fields: dict[str, RegisterField]


class Counter(NamedTuple):
    """A 64-bit counter: bits 31:0 at `offset`, bits 63:32 four bytes above."""

    name: str
    offset: int


ADDRESS_BYTES: Final = 4096

REGISTERS: Final[dict[str, Register]] = {
    # Says that this is an embnic card: "NBME" in memory order.
    "MAGIC": Register(
        0x000,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, 0x454D424E, False),
        },
    ),
    # First 32 bits of the SHA-256 over this file and wire.toml: package and card must agree.
    "CONTRACT_HASH": Register(
        0x004,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Which named configuration was built (configs.toml).
    "CONFIG_ID": Register(
        0x008,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Version of the core.
    "VERSION": Register(
        0x00C,
        "ro",
        1,
        {
            "patch": RegisterField(0, 8, 0x0, False),
            "minor": RegisterField(8, 8, 0x1, False),
            "major": RegisterField(16, 8, 0x0, False),
        },
    ),
    # First 32 bits of the commit the card was built from; 0 when unknown.
    "GIT_HASH": Register(
        0x010,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Free for the host: a write and a read prove the path.
    "SCRATCH": Register(
        0x014,
        "rw",
        1,
        {
            "value": RegisterField(0, 32, 0x0, False),
        },
    ),
    # Lines of remote rows that are asked of their owners and not settled.
    "REMOTE_WAITING": Register(
        0x018,
        "ro",
        1,
        {
            "lines": RegisterField(0, 16, None, False),
        },
    ),
    # How long the owner of a remote row may take. A line not answered after one to two of these becomes REMOTE_ERROR.
    "REMOTE_TIMEOUT": Register(
        0x01C,
        "rw",
        1,
        {
            "kilocycles": RegisterField(0, 16, 0x40, False),
        },
    ),
    # Bus width in bits.
    "CAP_DATA_W": Register(
        0x020,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Open bags.
    "CAP_SLOTS": Register(
        0x024,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Longest vector or row, in 64-byte units.
    "CAP_MAX_VEC64": Register(
        0x028,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Bytes of a cache line.
    "CAP_LINE_BYTES": Register(
        0x02C,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Cache ways.
    "CAP_WAYS": Register(
        0x030,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Cache sets.
    "CAP_SETS": Register(
        0x034,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Row fetches outstanding.
    "CAP_FETCHES": Register(
        0x038,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Table descriptors.
    "CAP_TABLES": Register(
        0x03C,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Bytes of the key store: payloads of accepted frames.
    "CAP_KS_BYTES": Register(
        0x040,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Largest reply of one request, in 64-byte units: bags * vec64.
    "CAP_REPLY_VEC64": Register(
        0x044,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Requests in flight.
    "CAP_CTXS": Register(
        0x048,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Updating clients remembered.
    "CAP_CLIENTS": Register(
        0x04C,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Lets the next word written to a memory be stored with a wrong bit. Only with bit 1 of CAP_FEATURES.
    "INJECT": Register(
        0x050,
        "rw",
        1,
        {
            "memory": RegisterField(0, 3, 0x0, False),
            "place": RegisterField(4, 3, 0x0, False),
            "arm": RegisterField(8, 1, 0x0, True),
        },
    ),
    # The channel that CHANNEL_READS shows.
    "CHANNEL_SEL": Register(
        0x054,
        "rw",
        1,
        {
            "channel": RegisterField(0, 5, 0x0, False),
        },
    ),
    # Read bursts that the channel has taken and not answered.
    "CHANNEL_READS": Register(
        0x058,
        "ro",
        1,
        {
            "bursts": RegisterField(0, 16, None, False),
        },
    ),
    # How the row cache keeps rows; to be written while the card is idle.
    "CACHE": Register(
        0x05C,
        "rw",
        1,
        {
            "cached_ways": RegisterField(0, 4, 0x1, False),
            "admission": RegisterField(4, 1, 0x0, False),
        },
    ),
    # Channels of card memory.
    "CAP_CHANNELS": Register(
        0x060,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Row fetches outstanding at other cards; 0: no remote tables.
    "CAP_REMOTE_FETCHES": Register(
        0x064,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # 64-byte units of partials, its accumulator included, that one request may carry.
    "CAP_MERGE_UNITS": Register(
        0x068,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Most running sums of a table of order TREE, and at most CAP_MAX_VEC64 / vec64 of them; 0: none.
    "CAP_TREE_K": Register(
        0x06C,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Built: bit 0 frame generator, checker; 1 parity of memories; 2 PRODUCT; 3 ACCUMULATE, TOPK, INTERACT.
    "CAP_FEATURES": Register(
        0x070,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Buckets of each latency histogram.
    "CAP_BUCKETS": Register(
        0x074,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # Entries that the error log keeps.
    "CAP_ERROR_LOG": Register(
        0x078,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # What the card is to do.
    "CONTROL": Register(
        0x080,
        "rw",
        1,
        {
            "enable": RegisterField(0, 1, 0x0, False),
            "flush": RegisterField(1, 1, 0x0, True),
            "snapshot": RegisterField(2, 1, 0x0, True),
            "quiesce": RegisterField(3, 1, 0x0, False),
            "soft_reset": RegisterField(4, 1, 0x0, True),
            "generator": RegisterField(5, 1, 0x0, False),
            "latency_clear": RegisterField(6, 1, 0x0, True),
            "errors_clear": RegisterField(7, 1, 0x0, True),
        },
    ),
    # What the card is doing.
    "STATUS": Register(
        0x084,
        "ro",
        1,
        {
            "idle": RegisterField(0, 1, None, False),
            "flush_busy": RegisterField(1, 1, None, False),
            "drained": RegisterField(2, 1, None, False),
            "commit_busy": RegisterField(3, 1, None, False),
            "reset_busy": RegisterField(4, 1, None, False),
            "memory_stuck": RegisterField(5, 1, None, False),
            "generating": RegisterField(6, 1, None, False),
        },
    ),
    # UDP destination port of requests.
    "UDP_PORT": Register(
        0x088,
        "rw",
        1,
        {
            "port": RegisterField(0, 16, 0x454E, False),
        },
    ),
    # 64-byte units of payload a reply frame may carry; 22 fits an MTU of 1,500 bytes.
    "REPLY_BEATS64": Register(
        0x08C,
        "rw",
        1,
        {
            "units": RegisterField(0, 8, 0x16, False),
        },
    ),
    # The table whose keys the generator makes.
    "GEN_TABLE": Register(
        0x090,
        "rw",
        1,
        {
            "table_number": RegisterField(0, 15, 0x0, False),
        },
    ),
    # Rows are 32 pseudo-random bits under this mask.
    "GEN_ROW_MASK": Register(
        0x094,
        "rw",
        1,
        {
            "value": RegisterField(0, 32, 0x0, False),
        },
    ),
    # The LOOKUP frames that the generator makes.
    "GEN_SHAPE": Register(
        0x098,
        "rw",
        1,
        {
            "dim": RegisterField(0, 16, 0x0, False),
            "beats": RegisterField(16, 8, 0x1, False),
            "length_log2": RegisterField(24, 4, 0x0, False),
            "window": RegisterField(28, 4, 0x1, False),
        },
    ),
    # Frames to send after CONTROL.generator was set; 0: without end.
    "GEN_FRAMES": Register(
        0x09C,
        "rw",
        1,
        {
            "value": RegisterField(0, 32, 0x0, False),
        },
    ),
    # The table that TABLE_COMMIT writes.
    "TABLE_SEL": Register(
        0x0A0,
        "rw",
        1,
        {
            "table_number": RegisterField(0, 32, 0x0, False),
        },
    ),
    # The eight words of the descriptor that TABLE_COMMIT writes; they hold until STATUS.commit_busy falls.
    "TABLE_WORD": Register(
        0x0A4,
        "rw",
        8,
        {
            "value": RegisterField(0, 32, 0x0, False),
        },
    ),
    # Writes TABLE_WORD as the descriptor of TABLE_SEL between two requests, and empties the row cache with it.
    "TABLE_COMMIT": Register(
        0x0C4,
        "rw",
        1,
        {
            "commit": RegisterField(0, 1, 0x0, True),
        },
    ),
    # How long card memory may take. An access not answered after one to two of these becomes MEMORY_ERROR.
    "MEMORY_TIMEOUT": Register(
        0x0C8,
        "rw",
        1,
        {
            "kilocycles": RegisterField(0, 16, 0x10, False),
        },
    ),
    # What memory still owes of accesses that were given up.
    "MEMORY_OWED": Register(
        0x0CC,
        "ro",
        1,
        {
            "reads": RegisterField(0, 16, None, False),
            "write": RegisterField(16, 1, None, False),
        },
    ),
    # The bucket that LATENCY_COUNT shows: 0 counts 0 cycles, b counts 2**(b-1) to 2**b - 1, the last all above.
    "LATENCY_BUCKET": Register(
        0x0D0,
        "rw",
        1,
        {
            "bucket": RegisterField(0, 8, 0x0, False),
        },
    ),
    # Samples of the bucket: frame in to admitted, admitted to complete, complete to sent, memory reads.
    "LATENCY_COUNT": Register(
        0x0D4,
        "ro",
        4,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # The entry that ERROR_WORD shows: the n-th error since the log was emptied, modulo CAP_ERROR_LOG.
    "ERROR_SEL": Register(
        0x0E4,
        "rw",
        1,
        {
            "entry": RegisterField(0, 8, 0x0, False),
        },
    ),
    # Errors logged since the log was emptied; the last CAP_ERROR_LOG of them are kept.
    "ERROR_TOTAL": Register(
        0x0E8,
        "ro",
        1,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
    # cycle; cycle[47:32], kind << 16, opcode << 24; request_id; port, ip << 16; tenant, payload bytes << 16.
    "ERROR_WORD": Register(
        0x0EC,
        "ro",
        5,
        {
            "value": RegisterField(0, 32, None, False),
        },
    ),
}

# In the order of the registers, without gaps: one block read from the first to the last.
COUNTERS: Final[tuple[Counter, ...]] = (
    # clock cycles since reset
    Counter("cycles", 0x100),
    # frames received
    Counter("rx_frames", 0x108),
    # bytes received, without preamble and frame check sequence
    Counter("rx_bytes", 0x110),
    # requests accepted
    Counter("rx_accepted", 0x118),
    # dropped: not untagged IPv4 UDP to our port with our magic
    Counter("drop_not_ours", 0x120),
    # dropped: marked bad by the MAC
    Counter("drop_mac_error", 0x128),
    # dropped: truncated or lengths disagree
    Counter("drop_length", 0x130),
    # dropped: IPv4 header checksum
    Counter("drop_ip_checksum", 0x138),
    # dropped: another wire version
    Counter("drop_version", 0x140),
    # dropped: reserved flags, or not a request
    Counter("drop_header", 0x148),
    # dropped: CRC32C
    Counter("drop_crc", 0x150),
    # dropped: no room, card disabled, or under a soft reset
    Counter("drop_overload", 0x158),
    # dropped: tag trailer without a tenant key
    Counter("drop_tag", 0x160),
    # LOOKUP requests
    Counter("requests", 0x168),
    # bags
    Counter("bags", 0x170),
    # keys, null keys included
    Counter("keys", 0x178),
    # null keys
    Counter("keys_null", 0x180),
    # keys that named the padding row
    Counter("keys_padding", 0x188),
    # rows of which every line was in the cache
    Counter("row_hits", 0x190),
    # rows of which a line was not in the cache
    Counter("row_misses", 0x198),
    # lines found in the cache
    Counter("line_hits", 0x1A0),
    # lines not found in the cache
    Counter("line_misses", 0x1A8),
    # valid lines replaced
    Counter("evictions", 0x1B0),
    # bus beats read from card memory
    Counter("fetch_beats", 0x1B8),
    # cycles in which the cache gave a beat of a row, headers of quantised rows and prefetched lines included
    Counter("exec_beats", 0x1C0),
    # cycles without an operation to give, those on their way through the cache included
    Counter("exec_empty", 0x1C8),
    # cycles in which all there is waits for card memory or an older operation of its line
    Counter("exec_fetch", 0x1D0),
    # cycles waiting for an accumulator, or for an adder that a quantised row takes
    Counter("exec_hazard", 0x1D8),
    # cycles a request waited for room for its reply
    Counter("stall_reply_space", 0x1E0),
    # frames sent
    Counter("tx_frames", 0x1E8),
    # bytes sent, without preamble and frame check sequence
    Counter("tx_bytes", 0x1F0),
    # requests answered by REPLY
    Counter("replies", 0x1F8),
    # requests answered by PARTIAL
    Counter("partials", 0x200),
    # requests answered by ERROR
    Counter("errors", 0x208),
    # requests answered by ACK
    Counter("acks", 0x210),
    # UPDATE, FILL and INVALIDATE requests applied
    Counter("updates", 0x218),
    # rows written or invalidated
    Counter("update_rows", 0x220),
    # UPDATE, FILL and INVALIDATE requests acknowledged without being applied again
    Counter("update_duplicates", 0x228),
    # beats given to the pool that memory had answered with an error or not in time; failed writes are not in it
    Counter("memory_errors", 0x230),
    # keys that failed a check: no such table, row beyond it, not the frame's dim, dtype or pooling
    Counter("keys_refused", 0x238),
    # of ERRORS: requests refused with BUSY
    Counter("errors_busy", 0x240),
    # accepted requests that a soft reset threw away
    Counter("abandoned", 0x248),
    # soft resets
    Counter("soft_resets", 0x250),
    # of SOFT_RESETS: memory or MAC did not come to rest in time
    Counter("reset_timeouts", 0x258),
    # descriptors written
    Counter("table_commits", 0x260),
    # frames made by the generator
    Counter("gen_sent", 0x268),
    # answers other than ERROR with a good CRC that its checker took
    Counter("gen_replies", 0x270),
    # ERROR answers with a good CRC that its checker took
    Counter("gen_errors", 0x278),
    # frames with a wrong CRC that its checker took
    Counter("gen_bad", 0x280),
    # keys whose row a soft reset threw away before it was a hit or a miss
    Counter("keys_abandoned", 0x288),
    # elements of FIXED sums that were clipped to the range of int32
    Counter("saturations", 0x290),
    # of LINE_HITS: lines that are pinned
    Counter("pinned_hits", 0x298),
    # of LINE_HITS: lines still on their way from card memory
    Counter("joins", 0x2A0),
    # lines asked of card memory: LINE_MISSES, and those of PREFETCH and FILL
    Counter("fetches", 0x2A8),
    # of FETCHES: not kept, because every way of the set is pinned or locked
    Counter("no_free_way", 0x2B0),
    # of LINE_MISSES: not kept, because the admission filter refused it
    Counter("not_admitted", 0x2B8),
    # PREFETCH requests executed
    Counter("prefetches", 0x2C0),
    # rows that PREFETCH and FILL brought, held or released as asked
    Counter("prefetch_rows", 0x2C8),
    # line reads and write bursts that card memory did not answer in time
    Counter("memory_timeouts", 0x2D0),
    # of MEMORY_TIMEOUTS: those whose answer came later, and was thrown away
    Counter("memory_late", 0x2D8),
    # beats of rows that row cache or fetch buffer gave with a wrong bit: MEMORY_ERROR, and the line is dropped
    Counter("parity_rows", 0x2E0),
    # lookups that met a wrong tag or state: what it named is dropped
    Counter("parity_tags", 0x2E8),
    # beats of the key store with a wrong bit: MEMORY_ERROR
    Counter("parity_keys", 0x2F0),
    # beats of the reply buffer with a wrong bit: their frame leaves with a wrong CRC
    Counter("parity_replies", 0x2F8),
    # wrong bits that INJECT stored
    Counter("injected", 0x300),
    # of FETCHES: lines asked of other cards, those that were given up before they left included
    Counter("remote_fetches", 0x308),
    # of REMOTE_FETCHES: answered whole, with or without an error of the owner
    Counter("remote_answers", 0x310),
    # bus beats of lines of other cards
    Counter("remote_beats", 0x318),
    # of REMOTE_FETCHES: not answered in time, REMOTE_ERROR
    Counter("remote_timeouts", 0x320),
    # of REMOTE_FETCHES: answered with too few or too many beats, REMOTE_ERROR
    Counter("remote_broken", 0x328),
    # answers that nobody waited for, late, twice or from before a reset: thrown away
    Counter("remote_strays", 0x330),
    # pieces of ACCUMULATE, TOPK and INTERACT jobs that were taken, once each
    Counter("compute_frames", 0x338),
    # jobs whose last piece was worked out, refused ones included
    Counter("compute_jobs", 0x340),
    # jobs that ended before their last piece was worked out, those of a soft reset left out
    Counter("compute_abandoned", 0x348),
)
