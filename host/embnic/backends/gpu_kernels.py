# SPDX-License-Identifier: Apache-2.0
"""The Triton kernels of the GPU path.

A kernel is a function that Triton reads as source text, so this file imports triton at its top; everybody else imports
this file inside functions. With `TRITON_INTERPRET=1` in the environment before the import, the same functions run in
Triton's interpreter on the CPU.

Letters: `T` tables of a request, `B` bags, `L` keys, `S` rows of a memory. Every row starts on 16 bytes; a *unit* is 16
bytes. Rows are laid out as on the card: elements from byte 0, or for quantised rows a unit with scale and bias (fp32),
then the elements.

One launch pools all bags of all tables. Its grid is (tiles, T): a tile is `NB` bags times `BD` columns of one table.
What differs between tables is a *variant* (format, pooling, weights, tree, column block), and the launch is compiled
for the variants that its tables have; the branch between them is the same for a whole program. The keys of a bag are
added in order. Only their loads overlap: `U` rows are loaded before the first of them is added.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["ABSENT", "FIELDS", "INTERPRETED", "pool_kernel"]

# Fields of a table's descriptor: int64 [T, FIELDS].
FIELDS = tl.constexpr(10)
_BASE = tl.constexpr(0)  # units from the start of the memory to row 0
_STRIDE = tl.constexpr(1)  # units from a row to the next
_DIM = tl.constexpr(2)
_PADDING = tl.constexpr(3)  # the padding row, or -1
_MEAN = tl.constexpr(4)
_MUL_THEN_ADD = tl.constexpr(5)
_VARIANT = tl.constexpr(6)  # index into the launch's variants
_ROWS = tl.constexpr(7)
_SCALE = tl.constexpr(8)  # of `fixed`: the bits of 2**fixed_scale_exp as float32

NULL_ROW = tl.constexpr((1 << 48) - 1)  # the row number of a null key: it contributes nothing
ABSENT = tl.constexpr(-(1 << 62))  # instead of where a row starts: this key contributes nothing

# A variant, 14 bits: format [2:0], pooling [4:3], weighted [5], vector stores [6], log2 of the leaves of a tree [9:7],
# log2 of the column block [13:10].
_FP32 = tl.constexpr(0)
_FP16 = tl.constexpr(1)
_BF16 = tl.constexpr(2)
_INT8 = tl.constexpr(3)
_INT4 = tl.constexpr(4)
_FIXED = tl.constexpr(5)
_MAX = tl.constexpr(1)
_NONE = tl.constexpr(2)


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
def _load_row(memory, units, cols, half_cols, ok, inside, half_inside, FMT: tl.constexpr):
    """Load the stored elements [NB, BD] (int4: the bytes [NB, BD / 2]) of the rows that start at `units` [NB]."""
    mask = ok[:, None] & inside[None, :]
    if FMT == _FP32:
        at = units[:, None] * 4 + cols[None, :]
        raw = tl.load(memory.to(tl.pointer_type(tl.float32)) + at, mask=mask, other=0.0)
    elif FMT == _FIXED:
        at = units[:, None] * 4 + cols[None, :]
        raw = tl.load(memory.to(tl.pointer_type(tl.int32)) + at, mask=mask, other=0)
    elif FMT == _INT8:
        at = units[:, None] * 16 + 16 + cols[None, :]
        raw = tl.load(memory + at, mask=mask, other=0)
    elif FMT == _INT4:
        at = units[:, None] * 16 + 16 + half_cols[None, :]
        raw = tl.load(memory + at, mask=ok[:, None] & half_inside[None, :], other=0)
    else:
        at = units[:, None] * 8 + cols[None, :]
        raw = tl.load(memory.to(tl.pointer_type(tl.uint16)) + at, mask=mask, other=0)
    return raw


@triton.jit
def _load_affine(memory, units, ok, FMT: tl.constexpr):
    """Load scale and bias [NB] of quantised rows."""
    if FMT == _INT8 or FMT == _INT4:
        at = memory.to(tl.pointer_type(tl.float32)) + units * 4
        return tl.load(at, mask=ok, other=0.0), tl.load(at + 1, mask=ok, other=0.0)
    else:
        return 0.0, 0.0


@triton.jit
def _element(raw, FMT: tl.constexpr):
    """Return stored elements as numbers [NB, BD]: float32, `fixed` ones int32; quantised ones without their scale."""
    if FMT == _FP32 or FMT == _FIXED:
        x = raw
    elif FMT == _FP16:
        x = raw.to(tl.float16, bitcast=True).to(tl.float32)
    elif FMT == _BF16:
        x = _bf16_widen(raw)
    elif FMT == _INT8:
        x = raw.to(tl.float32)
    else:
        x = tl.interleave(raw & 15, raw >> 4).to(tl.float32)
    return x


@triton.jit
def _saturating(acc, x):
    """Add int32; return the sum, held at the limits, and where it was held."""
    total = acc + x
    over = ((acc ^ total) & (x ^ total)) < 0
    limit = tl.where(
        acc < 0,
        tl.full(total.shape, -2147483648, tl.int32),
        tl.full(total.shape, 2147483647, tl.int32),
    )
    return tl.where(over, limit, total), over


@triton.jit
def _add(
    acc, raw, scale, bias, w, ok, first, mul_then_add, FMT: tl.constexpr, POOL: tl.constexpr, WEIGHTED: tl.constexpr
):  # fmt: skip
    """Add one key to `acc` [NB, BD] where `ok`; return the sum and, for `fixed`, where it saturated.

    `ok` and `first` (nothing was added before) are [NB, 1]; `scale`, `bias` and the weight `w` too where they are used.
    """
    x = _element(raw, FMT)
    over = ok
    if POOL == _MAX:
        if FMT == _INT8 or FMT == _INT4:
            x = tl.fma(tl.broadcast_to(scale, x.shape), x, tl.broadcast_to(bias, x.shape))
        added = tl.where(ok & (first | (x > acc)), x, acc)
    elif FMT == _FIXED:
        added, over = _saturating(acc, x)  # a row that is not there is loaded as 0
    elif FMT == _INT8 or FMT == _INT4:
        if WEIGHTED:
            scale = scale * w
            bias = bias * w
        added = tl.where(ok, tl.fma(tl.broadcast_to(scale, x.shape), x, acc + bias), acc)
    elif WEIGHTED:
        factor = tl.broadcast_to(w, x.shape)
        # A fused product may underflow to -0, which a later +0 would turn around: so select, never add zeros.
        added = tl.where(ok, tl.where(mul_then_add, acc + factor * x, tl.fma(factor, x, acc)), acc)
    else:
        added = acc + x  # a row that is not there is loaded as +0, and a sum from +0 on is never -0
    return added, over


@triton.jit
def _add_leaf(
    leaves, raw, scale, bias, w, ok, count, mul_then_add,
    FMT: tl.constexpr, POOL: tl.constexpr, WEIGHTED: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """Add one key to the running sums [K, NB, BD] of a tree: the j-th key that counts goes to sum j mod K."""
    one = _element(raw, FMT)
    mine = (count % K)[None, :, None] == tl.arange(0, K)[:, None, None]
    chosen = ok[None, :, None] & mine
    x = tl.broadcast_to(one[None, :, :], leaves.shape)
    over = chosen
    if POOL == _MAX:
        if FMT == _INT8 or FMT == _INT4:
            x = tl.fma(
                tl.broadcast_to(scale[None, :, None], x.shape),
                x,
                tl.broadcast_to(bias[None, :, None], x.shape),
            )
        added = tl.where((count < K)[None, :, None] | (x > leaves), x, leaves)
    elif FMT == _FIXED:
        added, over = _saturating(leaves, x)
        over = over & chosen
    elif FMT == _INT8 or FMT == _INT4:
        if WEIGHTED:
            scale = scale * w
            bias = bias * w
        added = tl.fma(
            tl.broadcast_to(scale[None, :, None], x.shape), x, leaves + bias[None, :, None]
        )
    elif WEIGHTED:
        factor = tl.broadcast_to(w[None, :, None], x.shape)
        added = tl.where(mul_then_add, leaves + factor * x, tl.fma(factor, x, leaves))
    else:
        added = leaves + x
    return tl.where(chosen, added, leaves), over


@triton.jit
def _merge_leaves(
    leaves, count, FMT: tl.constexpr, POOL: tl.constexpr, H: tl.constexpr, NB: tl.constexpr, BD: tl.constexpr
):  # fmt: skip
    """Merge running sum i + H into sum i, for i < H, where it holds a key: [2 H, NB, BD] to [H, NB, BD]."""
    low, high = tl.split(tl.permute(tl.reshape(leaves, (2, H, NB, BD)), (1, 2, 3, 0)))
    present = (count[None, :] > tl.arange(0, H)[:, None] + H)[:, :, None]
    over = present
    if POOL == _MAX:
        merged = tl.where(present & (high > low), high, low)
    elif FMT == _FIXED:
        merged, over = _saturating(low, high)  # an absent one is 0
    else:
        merged = tl.where(present, low + high, low)
    return merged, over


@triton.jit
def _finish(
    acc,
    count,
    scale,
    mean,
    mul_then_add,
    FMT: tl.constexpr,
    POOL: tl.constexpr,
    INTERPRET: tl.constexpr,
):
    """Return the vectors [NB, BD] in the type of the results: float32, or bits of fp16 or bf16."""
    divisor = tl.maximum(count, 1).to(tl.float32)
    if FMT == _FIXED:
        acc = acc.to(tl.float32) * scale
    elif POOL != _MAX:
        acc = _canonical(acc)
    if FMT == _FP16:
        done = _fp16_bits(acc)
        if POOL != _MAX:
            if mean:
                by = tl.broadcast_to(divisor.to(tl.float16).to(tl.float32)[:, None], acc.shape)
                done = _fp16_bits(
                    _divide(done.to(tl.float16, bitcast=True).to(tl.float32), by, INTERPRET)
                )
    elif FMT == _BF16:
        if POOL == _MAX:
            done = _bf16_bits(acc, False)
        else:
            done = _bf16_bits(acc, mul_then_add == 0)
            if mean:
                by = tl.broadcast_to(_bf16_widen(_bf16_bits(divisor, False))[:, None], acc.shape)
                done = _bf16_bits(_divide(_bf16_widen(done), by, INTERPRET), False)
    else:
        done = acc
        if POOL != _MAX:
            if mean:
                done = _canonical(
                    _divide(acc, tl.broadcast_to(divisor[:, None], acc.shape), INTERPRET)
                )
    return done


@triton.jit
def _unpooled(raw, scale, bias, ok, fixed_scale, FMT: tl.constexpr):
    """Return one row a bag in the type of the results; zeros where there is none."""
    if FMT == _FIXED:
        done = raw.to(tl.float32) * fixed_scale
    elif FMT == _INT8 or FMT == _INT4:
        q = _element(raw, FMT)
        x = tl.fma(
            tl.broadcast_to(scale[:, None], q.shape), q, tl.broadcast_to(bias[:, None], q.shape)
        )
        done = tl.where(ok[:, None], x, 0.0)
    else:
        done = raw
    return done


@triton.jit
def _store(done, out, out_units, bag, live, dim, cols, FMT: tl.constexpr, WIDE: tl.constexpr):
    """Store [NB, BD] vectors of the bags `bag` [NB]."""
    if WIDE:
        dim = (dim // 8) * 8  # says to the compiler that vectors start on 8 elements
    at = bag.to(tl.int64)[:, None] * dim + cols[None, :]
    mask = live[:, None] & (cols < dim)[None, :]
    if FMT == _FP16 or FMT == _BF16:
        tl.store(out.to(tl.pointer_type(tl.uint16)) + out_units * 8 + at, done, mask=mask)
    else:
        tl.store(out.to(tl.pointer_type(tl.float32)) + out_units * 4 + at, done, mask=mask)


@triton.jit
def _locate(ids, at, has, base, stride, rows, padding, RESOLVED: tl.constexpr):
    """Return where the rows of the keys at `at` start, whether they contribute, whether they are outside the table."""
    key = tl.load(ids + at, mask=has, other=0).to(tl.int64)
    if RESOLVED:
        ok = has & (key != ABSENT)
        units = key
        outside = has & (has == 0)
    else:
        known = (key >= 0) & (key < rows)
        ok = has & known & (key != padding)
        outside = has & (known == 0) & (key != NULL_ROW)
        units = base + key * stride
    return units, ok, outside.to(tl.int32)


@triton.jit
def _pool_tile(
    memory, line, ids, offsets, weights, out, flags, keys, first_bag, bags, out_units,
    VARIANT: tl.constexpr, TILE_BYTES: tl.constexpr, U: tl.constexpr, RESOLVED: tl.constexpr, INTERPRET: tl.constexpr,
):  # fmt: skip
    """Pool `NB` bags times `BD` columns of one table."""
    FMT: tl.constexpr = VARIANT & 7
    POOL: tl.constexpr = (VARIANT >> 3) & 3
    WEIGHTED: tl.constexpr = (VARIANT >> 5) & 1
    WIDE: tl.constexpr = (VARIANT >> 6) & 1
    K: tl.constexpr = 1 << ((VARIANT >> 7) & 7)
    BD: tl.constexpr = 1 << ((VARIANT >> 10) & 15)
    PER_UNIT: tl.constexpr = (
        4 if FMT == 0 or FMT == 5 else (8 if FMT < 3 else (16 if FMT == 3 else 32))
    )
    ROW_BYTES: tl.constexpr = BD * 16 // PER_UNIT * K  # a tree holds K rows of every bag
    NB: tl.constexpr = TILE_BYTES // ROW_BYTES if TILE_BYTES > ROW_BYTES else 1
    base = tl.load(line + _BASE)
    stride = tl.load(line + _STRIDE)
    dim = tl.load(line + _DIM).to(tl.int32)
    rows = tl.load(line + _ROWS)
    padding = tl.load(line + _PADDING)
    mean = tl.load(line + _MEAN) != 0
    mul_then_add = tl.load(line + _MUL_THEN_ADD) != 0
    fixed_scale = tl.load(line + _SCALE).to(tl.int32).to(tl.float32, bitcast=True)
    blocks = tl.cdiv(dim, BD)
    tile = tl.program_id(0) // blocks
    cols = (tl.program_id(0) % blocks) * BD + tl.arange(0, BD)
    half_cols = (tl.program_id(0) % blocks) * (BD // 2) + tl.arange(0, BD // 2)
    # Whole units are loaded: what stands behind the last element of a row is never stored.
    header: tl.constexpr = 1 if FMT == 3 or FMT == 4 else 0
    room = (stride.to(tl.int32) - header) * PER_UNIT
    inside = cols < room
    half_inside = half_cols < (stride.to(tl.int32) - header) * 16
    bag = tile * NB + tl.arange(0, NB)
    if POOL == _NONE:
        # Every key is a bag of its own.
        begin = tl.load(offsets + first_bag).to(tl.int64)
        total = tl.load(offsets + first_bag + bags).to(tl.int64) - begin
        live = (bag < total) & (begin + bag >= 0) & (begin + bag < keys)
        units, ok, outside = _locate(ids, begin + bag, live, base, stride, rows, padding, RESOLVED)
        raw = _load_row(memory, units, cols, half_cols, ok, inside, half_inside, FMT)
        scale, bias = _load_affine(memory, units, ok, FMT)
        _store(
            _unpooled(raw, scale, bias, ok, fixed_scale, FMT),
            out,
            out_units,
            bag,
            live,
            dim,
            cols,
            FMT,
            WIDE,
        )
        if tl.max(outside) > 0:
            tl.store(flags, 1)
    elif tile * NB < bags:
        live = bag < bags
        begin = tl.load(offsets + first_bag + bag, mask=live, other=0).to(tl.int64)
        end = tl.load(offsets + first_bag + bag + 1, mask=live, other=0).to(tl.int64)
        # What the caller's offsets say is never trusted: nothing outside `ids` is read.
        start = tl.minimum(tl.maximum(begin, 0), keys)
        stop = tl.minimum(tl.maximum(end, start), keys)
        length = (stop - start).to(tl.int32)
        bad = ((start != begin) | (stop != end)).to(tl.int32) * 2
        count = tl.zeros((NB,), tl.int32)
        held = tl.zeros((NB, BD), tl.int32)  # saturations
        NUMBER: tl.constexpr = tl.int32 if FMT == 5 else tl.float32
        if K > 1:
            acc = tl.zeros((K, NB, BD), NUMBER)
        else:
            acc = tl.zeros((NB, BD), NUMBER)
        for k in range(0, tl.max(length), U):
            raws = ()
            scales = ()
            biases = ()
            ws = ()
            oks = ()
            for u in tl.static_range(U):
                has = k + u < length
                units, ok, outside = _locate(
                    ids, start + (k + u), has, base, stride, rows, padding, RESOLVED
                )
                bad = bad | outside
                raws = raws + (
                    _load_row(memory, units, cols, half_cols, ok, inside, half_inside, FMT),
                )
                scale, bias = _load_affine(memory, units, ok, FMT)
                scales = scales + (scale,)
                biases = biases + (bias,)
                oks = oks + (ok,)
                if WEIGHTED:
                    ws = ws + (tl.load(weights + start + (k + u), mask=ok, other=0.0),)
                else:
                    ws = ws + (0.0,)
            for u in tl.static_range(U):
                ok = oks[u]
                if K > 1:
                    acc, over = _add_leaf(
                        acc, raws[u], scales[u], biases[u], ws[u], ok, count, mul_then_add, FMT, POOL, WEIGHTED, K
                    )  # fmt: skip
                    if FMT == _FIXED and POOL != _MAX:
                        held += tl.sum(over.to(tl.int32), axis=0)
                else:
                    scale = scales[u]
                    bias = biases[u]
                    w = ws[u]
                    if FMT == _INT8 or FMT == _INT4:
                        scale = scale[:, None]
                        bias = bias[:, None]
                    if WEIGHTED:
                        w = w[:, None]
                    acc, over = _add(
                        acc, raws[u], scale, bias, w, ok[:, None], (count == 0)[:, None], mul_then_add,
                        FMT, POOL, WEIGHTED,
                    )  # fmt: skip
                    if FMT == _FIXED and POOL != _MAX:
                        held += over.to(tl.int32)
                count += ok.to(tl.int32)
        if K > 1:
            for level in tl.static_range((VARIANT >> 7) & 7):
                acc, over = _merge_leaves(acc, count, FMT, POOL, K >> (level + 1), NB, BD)
                if FMT == _FIXED and POOL != _MAX:
                    held += tl.sum(over.to(tl.int32), axis=0)
            acc = tl.reshape(acc, (NB, BD))
        done = _finish(acc, count, fixed_scale, mean, mul_then_add, FMT, POOL, INTERPRET)
        _store(done, out, out_units, bag, live, dim, cols, FMT, WIDE)
        if FMT == _FIXED and POOL != _MAX:
            saturated = tl.sum(tl.sum(tl.where((cols < dim)[None, :], held, 0), axis=1), axis=0)
            if saturated > 0:
                tl.atomic_add(flags + 1, saturated.to(tl.int64))
        worst = tl.max(bad)
        if worst > 0:
            tl.store(flags, worst)


@triton.jit(
    do_not_specialize=["keys"], do_not_specialize_on_alignment=["ids", "offsets", "weights"]
)
def pool_kernel(
    memory, table, ids, offsets, weights, out, first_bags, out_starts, flags, keys,
    VARIANTS: tl.constexpr, VARIANT_COUNT: tl.constexpr, TILE_BYTES: tl.constexpr, U: tl.constexpr,
    RESOLVED: tl.constexpr, INTERPRET: tl.constexpr,
):  # fmt: skip
    """Pool every bag of every table of a request.

    `memory` uint8: the rows. `table` int64 [T, FIELDS]: descriptors. `ids` [L]: row numbers, or with RESOLVED where
    each row starts, in units from `memory` (ABSENT: contributes nothing). `offsets` [bags of all tables + 1]. `weights`
    float32 [L] (unread when no variant is weighted). `out` uint8. `first_bags` int64 [T + 1]: the first bag of each
    table. `out_starts` int64 [T]: where the vectors of each table start in `out`, in units. `flags` int64 [2]: the
    first is set to 1 when an id is outside its table, to 2 or 3 when offsets decrease or go beyond `keys` = L (such ids
    are never read); additions of elements that saturated are added to the second.
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
                memory, line, ids, offsets, weights, out, flags, keys, first_bag, bags, out_units,
                (VARIANTS >> (v * 14)) & 16383, TILE_BYTES, U, RESOLVED, INTERPRET,
            )  # fmt: skip


INTERPRETED: bool = not isinstance(pool_kernel, triton.runtime.JITFunction)
