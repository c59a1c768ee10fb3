# SPDX-License-Identifier: Apache-2.0
"""The Triton kernels of the GPU path.

A kernel is a function that Triton reads as source text, so this file imports triton at its top; everybody else imports
this file inside functions. With `TRITON_INTERPRET=1` in the environment before the import, the same functions run in
Triton's interpreter on the CPU.

Letters: `T` tables of a request, `B` bags, `L` keys, `S` rows of a memory. Every row starts on 16 bytes; a *unit* is 16
bytes.

One launch pools all bags of all tables. Its grid is (tiles, T): a tile is `NB` bags times `BD` columns of one table.
What differs between tables is a *variant* (format, pooling, weights, column block), and the launch is compiled for
the variants that its tables have; the branch between them is the same for a whole program. The keys of a bag are
added in order. Only their loads overlap: `U` rows are loaded before the first of them is added.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["FIELDS", "INTERPRETED", "VARIANT_BITS", "pool_kernel"]

# Fields of a table's descriptor: int64 [T, FIELDS].
FIELDS = tl.constexpr(8)
_BASE = tl.constexpr(0)  # units from the start of the memory to row 0
_STRIDE = tl.constexpr(1)  # units from a row to the next
_DIM = tl.constexpr(2)
_PADDING = tl.constexpr(3)  # the padding row, or -1
_MEAN = tl.constexpr(4)
_MUL_THEN_ADD = tl.constexpr(5)
_VARIANT = tl.constexpr(6)  # index into the launch's variants
_ROWS = tl.constexpr(7)

VARIANT_BITS = tl.constexpr(12)
ABSENT = tl.constexpr(-(1 << 62))  # instead of where a row starts: this key contributes nothing
# A variant: format [2:0], max [3], weighted [4], vector stores [5], log2 of the column block [9:6].

_FP32 = tl.constexpr(0)
_FP16 = tl.constexpr(1)
_BF16 = tl.constexpr(2)


@triton.jit
def _canonical(x):
    """Replace NaNs by the canonical one."""
    return tl.where(x != x, tl.full(x.shape, 0x7FC00000, tl.uint32).to(tl.float32, bitcast=True), x)


@triton.jit
def _divide(a, b, INTERPRET: tl.constexpr):
    """Divide, rounded to nearest even, subnormals kept (`tl.div_rn` flushes them)."""
    if INTERPRET:
        return a / b
    else:
        return tl.inline_asm_elementwise(
            "div.rn.f32 $0, $1, $2;", "=f,f,f", [a, b], dtype=tl.float32, is_pure=True, pack=1
        )


@triton.jit
def _bf16_bits(x, half_up):
    """Round float32 to bf16 bits (uint16): ties away from zero where `half_up`, else to even."""
    bits = x.to(tl.uint32, bitcast=True)
    even = tl.full(x.shape, 0x7FFF, tl.uint32) + ((bits >> 16) & 1)
    up = tl.where(half_up, tl.full(x.shape, 0x8000, tl.uint32), even)
    rounded = ((bits + up) >> 16).to(tl.uint16)
    return tl.where(x != x, tl.full(x.shape, 0x7FC0, tl.uint16), rounded)


@triton.jit
def _bf16_widen(bits):
    return (bits.to(tl.uint32) << 16).to(tl.float32, bitcast=True)


@triton.jit
def _fp16_bits(x):
    """Round float32 to fp16 bits (uint16), nearest even."""
    bits = x.to(tl.float16).to(tl.uint16, bitcast=True)
    return tl.where(x != x, tl.full(x.shape, 0x7E00, tl.uint16), bits)


@triton.jit
def _load_row(memory, units, cols, mask, FMT: tl.constexpr):
    """Load elements [NB, BD] of the rows that start at `units` [NB], widened to float32."""
    if FMT == _FP32:
        at = units[:, None] * 4 + cols[None, :]
        x = tl.load(memory.to(tl.pointer_type(tl.float32)) + at, mask=mask, other=0.0)
    elif FMT == _FP16:
        at = units[:, None] * 8 + cols[None, :]
        x = tl.load(memory.to(tl.pointer_type(tl.float16)) + at, mask=mask, other=0.0).to(
            tl.float32
        )
    else:
        at = units[:, None] * 8 + cols[None, :]
        x = _bf16_widen(tl.load(memory.to(tl.pointer_type(tl.uint16)) + at, mask=mask, other=0))
    return x


@triton.jit
def _add(
    acc,
    x,
    w,
    ok,
    seen,
    mul_then_add,
    MAX: tl.constexpr,
    WEIGHTED: tl.constexpr,
    NB: tl.constexpr,
    BD: tl.constexpr,
):
    """Add one key to every bag of the tile; `ok` [NB] says which bags have one."""
    if MAX:
        acc = tl.where(ok[:, None] & ((seen == 0)[:, None] | (x > acc)), x, acc)
    elif WEIGHTED:
        factor = tl.broadcast_to(w[:, None], (NB, BD))
        # A fused product may underflow to -0, which a later +0 would turn around: so select, never add zeros.
        added = tl.where(mul_then_add, acc + factor * x, tl.fma(factor, x, acc))
        acc = tl.where(ok[:, None], added, acc)
    else:
        acc = acc + x  # a row that is not there is loaded as +0, and a sum from +0 on is never -0
    return acc


@triton.jit
def _finish_and_store(
    acc, count, out, at, mask, mean, mul_then_add,
    FMT: tl.constexpr, MAX: tl.constexpr, INTERPRET: tl.constexpr,
):  # fmt: skip
    """Divide, round and store [NB, BD] at the element `at` of the output."""
    if not MAX:
        acc = _canonical(acc)
    divisor = tl.maximum(count, 1).to(tl.float32)
    if FMT == _FP32:
        if not MAX:
            if mean:
                by = tl.broadcast_to(divisor[:, None], acc.shape)
                acc = _canonical(_divide(acc, by, INTERPRET))
        tl.store(out.to(tl.pointer_type(tl.float32)) + at, acc, mask=mask)
    else:
        if FMT == _FP16:
            bits = _fp16_bits(acc)
            if not MAX:
                if mean:
                    by = tl.broadcast_to(divisor.to(tl.float16).to(tl.float32)[:, None], acc.shape)
                    stored = bits.to(tl.float16, bitcast=True).to(tl.float32)
                    bits = _fp16_bits(_divide(stored, by, INTERPRET))
        else:
            if MAX:
                bits = _bf16_bits(acc, False)
            else:
                bits = _bf16_bits(acc, mul_then_add == 0)
                if mean:
                    by = tl.broadcast_to(
                        _bf16_widen(_bf16_bits(divisor, False))[:, None], acc.shape
                    )
                    bits = _bf16_bits(_divide(_bf16_widen(bits), by, INTERPRET), False)
        tl.store(out.to(tl.pointer_type(tl.uint16)) + at, bits, mask=mask)


@triton.jit
def _pool_tile(
    memory, line, ids, offsets, weights, out, wrong, keys, first_bag, bags, out_units,
    VARIANT: tl.constexpr, TILE_BYTES: tl.constexpr, U: tl.constexpr, RESOLVED: tl.constexpr, INTERPRET: tl.constexpr,
):  # fmt: skip
    """Pool `NB` bags times `BD` columns of one table."""
    FMT: tl.constexpr = VARIANT & 7
    MAX: tl.constexpr = (VARIANT >> 3) & 1
    WEIGHTED: tl.constexpr = (VARIANT >> 4) & 1
    WIDE: tl.constexpr = (VARIANT >> 5) & 1
    BD: tl.constexpr = 1 << ((VARIANT >> 6) & 15)
    ROW_BYTES: tl.constexpr = BD * (4 if FMT == 0 else 2)
    NB: tl.constexpr = TILE_BYTES // ROW_BYTES if TILE_BYTES > ROW_BYTES else 1
    tile = tl.program_id(0)
    base = tl.load(line + _BASE)
    stride = tl.load(line + _STRIDE)
    dim = tl.load(line + _DIM).to(tl.int32)
    rows = tl.load(line + _ROWS)
    padding = tl.load(line + _PADDING)
    mean = tl.load(line + _MEAN) != 0
    mul_then_add = tl.load(line + _MUL_THEN_ADD) != 0
    blocks = tl.cdiv(dim, BD)
    cols = (tile % blocks) * BD + tl.arange(0, BD)
    bag = (tile // blocks) * NB + tl.arange(0, NB)
    if (tile // blocks) * NB < bags:
        live = bag < bags
        begin = tl.load(offsets + first_bag + bag, mask=live, other=0).to(tl.int64)
        end = tl.load(offsets + first_bag + bag + 1, mask=live, other=0).to(tl.int64)
        # What the caller's offsets say is never trusted: nothing outside `ids` is read.
        start = tl.minimum(tl.maximum(begin, 0), keys)
        stop = tl.minimum(tl.maximum(end, start), keys)
        length = (stop - start).to(tl.int32)
        bad = ((start != begin) | (stop != end)).to(tl.int32) * 2
        # Whole units are loaded: what stands behind the last element of a row is never stored.
        if FMT == _FP32:
            inside = cols < stride.to(tl.int32) * 4
        else:
            inside = cols < stride.to(tl.int32) * 8
        acc = tl.zeros((NB, BD), tl.float32)
        count = tl.zeros((NB,), tl.int32)
        for k in range(0, tl.max(length), U):
            xs = ()
            ws = ()
            oks = ()
            for u in tl.static_range(U):
                has = k + u < length
                key = tl.load(ids + start + (k + u), mask=has, other=0).to(tl.int64)
                if RESOLVED:
                    ok = has & (key != ABSENT)
                    units = key
                else:
                    known = (key >= 0) & (key < rows)
                    ok = has & known & (key != padding)
                    bad = bad | (has & (known == 0)).to(tl.int32)
                    units = base + key * stride
                xs = xs + (_load_row(memory, units, cols, ok[:, None] & inside[None, :], FMT),)
                oks = oks + (ok,)
                if WEIGHTED:
                    ws = ws + (tl.load(weights + start + (k + u), mask=ok, other=0.0),)
                else:
                    ws = ws + (0,)
            for u in tl.static_range(U):
                acc = _add(acc, xs[u], ws[u], oks[u], count, mul_then_add, MAX, WEIGHTED, NB, BD)
                count += oks[u].to(tl.int32)
        if WIDE:
            at = bag.to(tl.int64)[:, None] * ((dim // 8) * 8) + cols[None, :]
            mask = live[:, None] & (cols < (dim // 8) * 8)[None, :]
        else:
            at = bag.to(tl.int64)[:, None] * dim + cols[None, :]
            mask = live[:, None] & (cols < dim)[None, :]
        if FMT == _FP32:
            at += out_units * 4
        else:
            at += out_units * 8
        _finish_and_store(acc, count, out, at, mask, mean, mul_then_add, FMT, MAX, INTERPRET)
        worst = tl.max(bad)
        if worst > 0:
            tl.store(wrong, worst)


@triton.jit
def pool_kernel(
    memory, table, ids, offsets, weights, out, first_bags, out_starts, wrong, keys,
    VARIANTS: tl.constexpr, VARIANT_COUNT: tl.constexpr, TILE_BYTES: tl.constexpr, U: tl.constexpr,
    RESOLVED: tl.constexpr, INTERPRET: tl.constexpr,
):  # fmt: skip
    """Pool every bag of every table of a request.

    `memory` uint8: the rows. `table` int64 [T, FIELDS]: descriptors. `ids` [L]: row numbers, or with RESOLVED where
    each row starts, in units from `memory` (ABSENT: contributes nothing). `offsets` [bags of all tables + 1]. `weights`
    float32 [L] (unread when no variant is weighted). `out` uint8. `first_bags` int64 [T + 1]: the first bag of each
    table. `out_starts` int64 [T]: where the vectors of each table start in `out`, in units. `wrong` int32 [1]: set to 1
    when an id is outside its table, to 2 or 3 when offsets decrease or go beyond `keys` = L; such ids are never read.
    """
    at = tl.program_id(1)
    line = table + at * FIELDS
    variant = tl.load(line + _VARIANT)
    first_bag = tl.load(first_bags + at)
    bags = (tl.load(first_bags + at + 1) - first_bag).to(tl.int32)
    out_units = tl.load(out_starts + at)
    for v in tl.static_range(VARIANT_COUNT):
        if variant == v:
            _pool_tile(
                memory, line, ids, offsets, weights, out, wrong, keys, first_bag, bags, out_units,
                (VARIANTS >> (v * 12)) & 4095, TILE_BYTES, U, RESOLVED, INTERPRET,
            )  # fmt: skip


INTERPRETED: bool = not isinstance(pool_kernel, triton.runtime.JITFunction)
