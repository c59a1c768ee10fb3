# SPDX-License-Identifier: Apache-2.0
"""The Triton kernels of the row cache; see `gpu_cache` for what they do together.

Letters: `T` tables, `L` keys of a request, `R` regions of the cache. A *key* is the number of a row among the rows of
all tables; a *slot* is a line of the cache; a *window* is WAYS slots one after the other; a *unit* is 16 bytes.

`where` int32 [rows of all tables] says of every row, in one number: 0 or more, the slot that holds it; -2 - n, it was
last asked for by batch n (-1: never); MARK - n, batch n changes it in host memory.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .gpu_kernels import ABSENT, NULL_ROW

__all__ = [
    "CACHE_FIELDS",
    "COUNTERS",
    "choose_kernel",
    "fill_kernel",
    "insert_kernel",
    "move_kernel",
    "probe_kernel",
]

# Fields of a table: int64 [T, CACHE_FIELDS], in the order of the layout, so by ascending first key.
CACHE_FIELDS = tl.constexpr(8)
_FIRST_KEY = tl.constexpr(0)
_ROWS = tl.constexpr(1)
_PADDING = tl.constexpr(2)
_REGION = tl.constexpr(
    3
)  # where rows go that were not asked for lately; the next region takes the others
_FIRST_SLOT = tl.constexpr(4)  # of these two regions
_LINES = tl.constexpr(5)  # units from the start of the cache to the line of that slot
_STRIDE = tl.constexpr(6)  # units of a row and of a line
_HOST = tl.constexpr(7)  # units from the start of the cache to row 0 in host memory

MARK = tl.constexpr(-(1 << 30))
COUNTERS = (
    "cache_misses",
    "cache_unique_misses",
    "cache_evictions",
    "cache_write_backs",
    "cache_conflicts",
)


@triton.jit
def _table_of(key, lines, STEPS: tl.constexpr, tables):
    """Return the descriptor of the table that a key belongs to, by bisection of the first keys."""
    low = key * 0
    high = low + tables
    for _ in tl.static_range(STEPS):
        middle = (low + high) // 2
        go = tl.load(lines + middle * CACHE_FIELDS + _FIRST_KEY) <= key
        low = tl.where(go, middle, low)
        high = tl.where(go, high, middle)
    return lines + low * CACHE_FIELDS


@triton.jit
def _table_at(at, key_starts, request, lines, STEPS: tl.constexpr, tables):
    """Return the descriptor of the table that the key at a position of the request is of."""
    low = at * 0
    high = low + tables
    for _ in tl.static_range(STEPS):
        middle = (low + high) // 2
        go = tl.load(key_starts + middle).to(tl.int64) <= at
        low = tl.where(go, middle, low)
        high = tl.where(go, high, middle)
    return lines + tl.load(request + low) * CACHE_FIELDS


@triton.jit
def _line_at(slot, line):
    """Return where the line of a slot starts, in units."""
    return tl.load(line + _LINES) + (slot - tl.load(line + _FIRST_SLOT)) * tl.load(line + _STRIDE)


@triton.jit
def _row_at(key, line):
    """Return where a row starts in host memory, in units from the start of the cache."""
    return tl.load(line + _HOST) + (key - tl.load(line + _FIRST_KEY)) * tl.load(line + _STRIDE)


@triton.jit(
    do_not_specialize=["total", "now", "oldest", "recent"],
    do_not_specialize_on_alignment=["ids", "key_starts"],
)
def probe_kernel(
    ids, key_starts, request, lines, where, stamps, keys, slots, units, wanted, counts, counters, flags,
    total, now, oldest, recent,
    tables: tl.constexpr, STEPS: tl.constexpr, REGIONS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Look every key of a request up.

    `key_starts` [T + 1]: the first key position of each of the request's tables; `request` [T]: which tables they are.
    Writes `keys` (-1: contributes nothing), `slots` (-1: not in the cache) and `units` (where the row starts; ABSENT).
    Lines that hit are stamped `now`. Each different key that missed is put once into the list of its region: `wanted`
    [R, L], `counts` [R] long. It goes to the second region of its table if it was asked for in the last `recent`
    batches. Rows that a batch from `oldest` on changes in host memory are not put into a list.
    """
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    live = at < total
    line = _table_at(at, key_starts, request, lines, STEPS, tables)
    row = tl.load(ids + at, mask=live, other=0).to(tl.int64)
    known = (row >= 0) & (row < tl.load(line + _ROWS))
    ok = live & known & (row != tl.load(line + _PADDING))
    key = tl.where(ok, tl.load(line + _FIRST_KEY) + row, 0)
    state = tl.load(where + key, mask=ok, other=0)
    hit = ok & (state >= 0)
    slot = state.to(tl.int64)
    tl.store(stamps + slot, now, mask=hit)
    tl.store(keys + at, tl.where(ok, key, -1), mask=live)
    tl.store(slots + at, tl.where(hit, slot, -1), mask=live)
    tl.store(units + at, tl.where(hit, _line_at(slot, line), ABSENT), mask=live)
    missed = ok & (state < 0)
    changed = state <= MARK
    claimed = missed & ((changed == 0) | (MARK - state < oldest))
    before = tl.atomic_xchg(where + key, tl.zeros((BLOCK,), tl.int32) - 2 - now, mask=claimed)
    first = claimed & (before != -2 - now)
    last = tl.where(before <= MARK, MARK - before, -2 - before)
    region = tl.load(line + _REGION) + (now - last <= recent).to(tl.int64)
    for r in tl.static_range(REGIONS):
        mine = (first & (region == r)).to(tl.int32)
        many = tl.sum(mine)
        if many > 0:
            place = tl.atomic_add(counts + r, many) + tl.cumsum(mine, axis=0) - 1
            tl.store(wanted + tl.cast(total, tl.int64) * r + place, key, mask=mine > 0)
    misses = tl.sum(missed.to(tl.int32))
    if misses > 0:
        tl.atomic_add(counters, misses.to(tl.int64))
    outside = live & (known == 0) & (row != NULL_ROW)
    if tl.max(outside.to(tl.int32)) > 0:
        tl.store(flags, 1)


@triton.jit(do_not_specialize=["total", "oldest", "shift"])
def choose_kernel(
    counts, regions, stamps, victims, total, oldest, shift, WAYS: tl.constexpr, PROGRAMS: tl.constexpr
):  # fmt: skip
    """Choose a slot for each wanted key of a region (the grid's second axis), or none (-1).

    The i-th key takes the window i + shift, modulo the windows of the region; when all windows are taken, the next
    round takes the second of each, and so on, by last use. A line that was stamped by a batch from `oldest` on is in
    use. `regions` [R, 2]: first slot, windows.
    """
    region = tl.program_id(1)
    listed = tl.cast(total, tl.int64) * region
    count = tl.load(counts + region)
    first = tl.load(regions + region * 2)
    windows = tl.load(regions + region * 2 + 1)
    ways = tl.arange(0, WAYS)
    for at in range(tl.program_id(0), count, PROGRAMS):
        window = first + ((at + shift) % windows) * WAYS
        stamp = tl.load(stamps + window + ways)
        free = stamp < oldest
        older = (stamp[None, :] < stamp[:, None]) | (
            (stamp[None, :] == stamp[:, None]) & (ways[None, :] < ways[:, None])
        )
        rank = tl.sum((older & free[None, :]).to(tl.int32), axis=1)
        way = tl.max(tl.where(free & (rank == at // windows), ways, -1), axis=0)
        tl.store(victims + listed + at, tl.where(way >= 0, window + way, -1))


@triton.jit
def _copy(memory, source, target, stride, BLOCK: tl.constexpr):
    """Copy `stride` units inside the memory."""
    words = memory.to(tl.pointer_type(tl.int32))
    for first in range(0, stride * 4, BLOCK):
        at = first + tl.arange(0, BLOCK)
        mask = at < stride * 4
        tl.store(words + target * 4 + at, tl.load(words + source * 4 + at, mask=mask), mask=mask)


@triton.jit(do_not_specialize=["total", "now"])
def insert_kernel(
    memory, counts, wanted, victims, lines, where, owners, stamps, dirty, counters, total, now,
    tables: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr, PROGRAMS: tl.constexpr,
):  # fmt: skip
    """Bring the wanted rows of a region (the grid's second axis) into their lines; write dirty ones back before."""
    region = tl.program_id(1)
    listed = tl.cast(total, tl.int64) * region
    count = tl.load(counts + region)
    evicted = count * 0
    written = count * 0
    refused = count * 0
    for at in range(tl.program_id(0), count, PROGRAMS):
        slot = tl.load(victims + listed + at)
        key = tl.load(wanted + listed + at)
        if slot >= 0:
            old = tl.load(owners + slot)
            if old >= 0:
                evicted += 1
                tl.store(where + old, -2 - tl.load(stamps + slot))
                if tl.load(dirty + slot) != 0:
                    line = _table_of(old, lines, STEPS, tables)
                    _copy(
                        memory,
                        _line_at(slot, line),
                        _row_at(old, line),
                        tl.load(line + _STRIDE).to(tl.int32),
                        BLOCK,
                    )
                    tl.store(dirty + slot, 0)
                    written += 1
            line = _table_of(key, lines, STEPS, tables)
            _copy(
                memory,
                _row_at(key, line),
                _line_at(slot, line),
                tl.load(line + _STRIDE).to(tl.int32),
                BLOCK,
            )
            tl.store(owners + slot, key)
            tl.store(stamps + slot, now)
            tl.store(where + key, slot.to(tl.int32))
        else:
            refused += 1
    if tl.program_id(0) == 0:
        tl.atomic_add(counters + 1, count.to(tl.int64))
    if evicted > 0:
        tl.atomic_add(counters + 2, evicted.to(tl.int64))
    if written > 0:
        tl.atomic_add(counters + 3, written.to(tl.int64))
    if refused > 0:
        tl.atomic_add(counters + 4, refused.to(tl.int64))


@triton.jit(do_not_specialize=["total", "now"], do_not_specialize_on_alignment=["key_starts"])
def fill_kernel(
    key_starts, request, lines, where, keys, slots, units, total, now,
    CHANGE: tl.constexpr, tables: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Say where the rows of the keys that missed are now: in their new line, or in host memory.

    With CHANGE the latter are marked: batch `now` changes them there.
    """
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    live = at < total
    key = tl.load(keys + at, mask=live, other=-1)
    missed = (key >= 0) & (tl.load(slots + at, mask=live, other=0) < 0)
    if tl.max(missed.to(tl.int32)) > 0:
        line = _table_at(at, key_starts, request, lines, STEPS, tables)
        slot = tl.load(where + key, mask=missed, other=-1).to(tl.int64)
        held = slot >= 0
        tl.store(slots + at, tl.where(held, slot, -1), mask=missed)
        tl.store(units + at, tl.where(held, _line_at(slot, line), _row_at(key, line)), mask=missed)
        if CHANGE:
            tl.store(
                where + key, tl.zeros((BLOCK,), tl.int32) + MARK - now, mask=missed & (held == 0)
            )


@triton.jit
def move_kernel(
    memory, slots, owners, lines, dirty,
    BACK: tl.constexpr, tables: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Copy the lines `slots` to host memory (BACK), or their rows from there; they are clean then."""
    slot = tl.load(slots + tl.program_id(0))
    key = tl.load(owners + slot)
    line = _table_of(key, lines, STEPS, tables)
    stride = tl.load(line + _STRIDE).to(tl.int32)
    if BACK:
        _copy(memory, _line_at(slot, line), _row_at(key, line), stride, BLOCK)
    else:
        _copy(memory, _row_at(key, line), _line_at(slot, line), stride, BLOCK)
    tl.store(dirty + slot, 0)
