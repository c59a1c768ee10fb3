# SPDX-License-Identifier: Apache-2.0
"""The Triton kernels of the row cache; see `gpu_cache` for what they do together.

Letters: `T` tables, `L` keys of a request, `M` different keys that missed. A *key* is the number of a row among the
rows of all tables; a *slot* is a line of the cache, `set * WAYS + way`; a *unit* is 16 bytes.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .gpu_kernels import ABSENT, NULL_ROW

__all__ = [
    "CACHE_FIELDS",
    "choose_kernel",
    "fill_kernel",
    "find_kernel",
    "move_kernel",
    "probe_kernel",
]

# Fields of a table: int64 [T, CACHE_FIELDS], in the order of the layout, so by ascending first key.
CACHE_FIELDS = tl.constexpr(8)
_FIRST_KEY = tl.constexpr(0)
_ROWS = tl.constexpr(1)
_PADDING = tl.constexpr(2)
_FIRST_SET = tl.constexpr(3)  # of the sets that the table's lines go to
_SETS = tl.constexpr(4)
_LINES = tl.constexpr(5)  # units from the start of the cache to the line of the first of these sets
_STRIDE = tl.constexpr(6)  # units of a row and of a line
_HOST = tl.constexpr(7)  # units from the start of the cache to row 0 in host memory


@triton.jit
def _table_of(key, lines, STEPS: tl.constexpr, tables):
    """Return the line of the table that a key belongs to, by bisection of the first keys."""
    low = key * 0
    high = low + tables
    for _ in tl.static_range(STEPS):
        middle = (low + high) // 2
        go = tl.load(lines + middle * CACHE_FIELDS + _FIRST_KEY) <= key
        low = tl.where(go, middle, low)
        high = tl.where(go, high, middle)
    return lines + low * CACHE_FIELDS


@triton.jit
def _set_of(key, line):
    """Return the set of a key."""
    wide = key.to(tl.uint64)
    mixed = (((wide ^ (wide >> 32)) & 0xFFFFFFFF) * 0x9E3779B1) & 0xFFFFFFFF
    chosen = (mixed * tl.load(line + _SETS).to(tl.uint64)) >> 32
    return tl.load(line + _FIRST_SET) + chosen.to(tl.int64)


@triton.jit
def _line_at(slot, line, WAYS: tl.constexpr):
    """Return where the line of a slot starts, in units."""
    return tl.load(line + _LINES) + (slot - tl.load(line + _FIRST_SET) * WAYS) * tl.load(
        line + _STRIDE
    )


@triton.jit
def _row_at(key, line):
    """Return where a row starts in host memory, in units from the start of the cache."""
    return tl.load(line + _HOST) + (key - tl.load(line + _FIRST_KEY)) * tl.load(line + _STRIDE)


@triton.jit(
    do_not_specialize=["total", "now", "key_bits"],
    do_not_specialize_on_alignment=["ids", "key_starts"],
)
def probe_kernel(
    ids, key_starts, request, lines, tags, stamps, keys, slots, units, wanted, flags, total, now, key_bits,
    tables: tl.constexpr, STEPS: tl.constexpr, WAYS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Look every key of a request up.

    `key_starts` [T + 1]: the first key position of each of the request's tables; `request` [T]: which tables they are.
    Writes `keys` (-1: contributes nothing), `slots` (-1: not in the cache), `units` (where the row starts; ABSENT) and
    `wanted`: -1, or for a key that missed its set and itself in one number. Lines that hit are stamped `now`.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = at < total
    low = tl.zeros((BLOCK,), tl.int32)
    high = low + tables
    for _ in tl.static_range(STEPS):
        middle = (low + high) // 2
        go = tl.load(key_starts + middle).to(tl.int64) <= at
        low = tl.where(go, middle, low)
        high = tl.where(go, high, middle)
    line = lines + tl.load(request + low) * CACHE_FIELDS
    row = tl.load(ids + at, mask=live, other=0).to(tl.int64)
    known = (row >= 0) & (row < tl.load(line + _ROWS))
    ok = live & known & (row != tl.load(line + _PADDING))
    key = tl.where(ok, tl.load(line + _FIRST_KEY) + row, 0)
    chosen = _set_of(key, line)
    ways = tl.arange(0, WAYS)
    tag = tl.load(tags + chosen[:, None] * WAYS + ways[None, :]).to(tl.int64)
    way = tl.max(tl.where(tag == key[:, None], ways[None, :], -1), axis=1)
    hit = ok & (way >= 0)
    slot = chosen * WAYS + way
    tl.store(stamps + slot, now, mask=hit)
    tl.store(keys + at, tl.where(ok, key, -1), mask=live)
    tl.store(slots + at, tl.where(hit, slot, -1), mask=live)
    tl.store(units + at, tl.where(hit, _line_at(slot, line, WAYS), ABSENT), mask=live)
    tl.store(wanted + at, tl.where(ok & (way < 0), (chosen << key_bits) | key, -1), mask=live)
    outside = live & (known == 0) & (row != NULL_ROW)
    if tl.max(outside.to(tl.int32)) > 0:
        tl.store(flags, 1)


@triton.jit(do_not_specialize=["oldest", "key_bits"], do_not_specialize_on_alignment=["wanted"])
def choose_kernel(wanted, place, stamps, victims, oldest, key_bits, WAYS: tl.constexpr):
    """Choose a line for each missed key: the `place`-th of its set by last use that nobody uses, or none (-1).

    A line is in use when it was stamped by a batch that is not released: with `oldest` or later.
    """
    at = tl.program_id(0)
    chosen = tl.load(wanted + at) >> key_bits
    ways = tl.arange(0, WAYS)
    stamp = tl.load(stamps + chosen * WAYS + ways)
    free = stamp < oldest
    # Other ways that come before this one: used longer ago, or as long ago and lower.
    before = (stamp[None, :] < stamp[:, None]) | (
        (stamp[None, :] == stamp[:, None]) & (ways[None, :] < ways[:, None])
    )
    rank = tl.sum((before & free[None, :]).to(tl.int32), axis=1)
    mine = free & (rank == tl.load(place + at))
    way = tl.max(tl.where(mine, ways, -1), axis=0)
    tl.store(victims + at, tl.where(way >= 0, chosen * WAYS + way, -1))


@triton.jit
def _copy(memory, source, target, stride, BLOCK: tl.constexpr):
    """Copy `stride` units inside the memory."""
    words = memory.to(tl.pointer_type(tl.int32))
    for first in range(0, stride * 4, BLOCK):
        at = first + tl.arange(0, BLOCK)
        tl.store(
            words + target * 4 + at,
            tl.load(words + source * 4 + at, mask=at < stride * 4),
            mask=at < stride * 4,
        )


@triton.jit(do_not_specialize=["now"], do_not_specialize_on_alignment=["slots", "keys"])
def move_kernel(
    memory, slots, keys, lines, tags, stamps, dirty, counters, now,
    FETCH: tl.constexpr, STAMP: tl.constexpr, tables: tl.constexpr, STEPS: tl.constexpr, WAYS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Write dirty lines back to host memory, and with FETCH bring the rows `keys` [M] into the lines `slots` [M].

    With STAMP the rows are new in their lines; without, the lines hold these rows already. `counters` int64:
    evictions, write-backs.
    """
    at = tl.program_id(0)
    slot = tl.load(slots + at).to(tl.int64)
    if slot >= 0:
        old = tl.load(tags + slot).to(tl.int64)
        if old >= 0:
            if tl.load(dirty + slot) != 0:
                line = _table_of(old, lines, STEPS, tables)
                _copy(
                    memory,
                    _line_at(slot, line, WAYS),
                    _row_at(old, line),
                    tl.load(line + _STRIDE).to(tl.int32),
                    BLOCK,
                )
                tl.store(dirty + slot, 0)
                tl.atomic_add(counters + 1, 1)
            if STAMP:
                tl.atomic_add(counters, 1)
        if FETCH:
            key = tl.load(keys + at)
            line = _table_of(key, lines, STEPS, tables)
            _copy(
                memory,
                _row_at(key, line),
                _line_at(slot, line, WAYS),
                tl.load(line + _STRIDE).to(tl.int32),
                BLOCK,
            )
            if STAMP:
                tl.store(tags + slot, key)
                tl.store(stamps + slot, now)


@triton.jit(do_not_specialize=["total"], do_not_specialize_on_alignment=["missed"])
def fill_kernel(
    missed, inverse, victims, keys, lines, slots, units, total,
    tables: tl.constexpr, STEPS: tl.constexpr, WAYS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Say where the rows of the keys that missed are now: in their new line, or in host memory."""
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = index < total
    at = tl.load(missed + index, mask=live, other=0)
    slot = tl.load(victims + tl.load(inverse + index, mask=live, other=0), mask=live, other=-1).to(
        tl.int64
    )
    key = tl.load(keys + at, mask=live, other=0)
    line = _table_of(key, lines, STEPS, tables)
    tl.store(slots + at, slot, mask=live)
    tl.store(
        units + at, tl.where(slot >= 0, _line_at(slot, line, WAYS), _row_at(key, line)), mask=live
    )


@triton.jit(do_not_specialize=["total"], do_not_specialize_on_alignment=["keys"])
def find_kernel(
    keys, lines, tags, slots, total,
    tables: tl.constexpr, STEPS: tl.constexpr, WAYS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Find the slots of keys without using their lines: -1 where they are not in the cache."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = at < total
    key = tl.load(keys + at, mask=live, other=0)
    chosen = _set_of(key, _table_of(key, lines, STEPS, tables))
    ways = tl.arange(0, WAYS)
    tag = tl.load(tags + chosen[:, None] * WAYS + ways[None, :]).to(tl.int64)
    way = tl.max(tl.where(tag == key[:, None], ways[None, :], -1), axis=1)
    tl.store(slots + at, tl.where(way >= 0, chosen * WAYS + way, -1), mask=live)
