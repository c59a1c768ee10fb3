# SPDX-License-Identifier: Apache-2.0
"""The Triton kernels of the gradients; see `gpu_train` for what they do together.

Letters: `T` tables of a request, `L` keys, `S` segments (different rows), `C` chunks of at most CHUNK keys of one.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["CHUNK", "TRAIN_FIELDS", "chunk_kernel", "keys_kernel", "merge_kernel"]

# Fields of a table of the request: int64 [T, TRAIN_FIELDS].
TRAIN_FIELDS = tl.constexpr(11)
_FIRST_KEY = tl.constexpr(0)  # number of row 0 among all rows
_ROWS = tl.constexpr(1)
_PADDING = tl.constexpr(2)
_BASE = tl.constexpr(3)  # units from the start of the memory to row 0
_STRIDE = tl.constexpr(4)
_DIM = tl.constexpr(5)
_FORMAT = tl.constexpr(6)
_FIRST_VECTOR = tl.constexpr(7)  # the number, among `vector_of`, of the table's first vector
_GRADS = tl.constexpr(8)  # element of the gradients where those of the table start
_MEAN = tl.constexpr(9)
_WEIGHTED = tl.constexpr(10)

CHUNK = tl.constexpr(128)


@triton.jit(do_not_specialize=["total"], do_not_specialize_on_alignment=["ids", "key_starts"])
def keys_kernel(
    ids, key_starts, lines, keys, flags, total, tables: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """Write for every key of a request its row among all rows; -1 where it contributes nothing."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = at < total
    low = tl.zeros((BLOCK,), tl.int32)
    high = low + tables
    for _ in tl.static_range(STEPS):
        middle = (low + high) // 2
        go = tl.load(key_starts + middle).to(tl.int64) <= at
        low = tl.where(go, middle, low)
        high = tl.where(go, high, middle)
    line = lines + low * TRAIN_FIELDS
    row = tl.load(ids + at, mask=live, other=0).to(tl.int64)
    known = (row >= 0) & (row < tl.load(line + _ROWS))
    ok = known & (row != tl.load(line + _PADDING))
    tl.store(keys + at, tl.where(ok, tl.load(line + _FIRST_KEY) + row, -1), mask=live)
    if tl.max((live & (known == 0)).to(tl.int32)) > 0:
        tl.store(flags, 1)


@triton.jit
def _root(x, INTERPRET: tl.constexpr):
    """Square root, rounded to nearest even."""
    if INTERPRET:
        return tl.sqrt(x)
    else:
        return tl.inline_asm_elementwise(
            "sqrt.rn.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )


@triton.jit
def _quotient(a, b, INTERPRET: tl.constexpr):
    if INTERPRET:
        return a / b
    else:
        return tl.inline_asm_elementwise(
            "div.rn.f32 $0, $1, $2;", "=f,f,f", [a, b], dtype=tl.float32, is_pure=True, pack=1
        )


@triton.jit
def _gradient(
    order, vector_of, weights, counts, grads, line, start, n, cols, inside,
    WEIGHTED: tl.constexpr, MEAN: tl.constexpr, VEC: tl.constexpr, U: tl.constexpr, BD: tl.constexpr,
    INTERPRET: tl.constexpr,
):  # fmt: skip
    """Sum the gradients [BD] of the keys `start` to `start + n` of the sorted order, one after the other."""
    dim = tl.load(line + _DIM)
    base = tl.load(line + _GRADS)
    if VEC:
        dim = (dim // 4) * 4
        base = (base // 4) * 4
    first = tl.load(line + _FIRST_VECTOR)
    mean = tl.load(line + _MEAN) != 0
    weighted = tl.load(line + _WEIGHTED) != 0
    total = tl.zeros((BD,), tl.float32)
    limit = tl.where(inside, n, 0)
    for k in range(0, n, U):
        rows = ()
        factors = ()
        for u in tl.static_range(U):
            has = k + u < n
            at = tl.load(order + start + k + u, mask=has, other=0)
            vector = tl.load(vector_of + at, mask=has, other=0).to(tl.int64)
            row = tl.load(
                grads + base + (vector - first) * dim + cols, mask=k + u < limit, other=0.0
            )
            factor = 1.0
            if WEIGHTED:
                factor = tl.where(weighted & has, tl.load(weights + at, mask=has, other=1.0), 1.0)
            by = 1.0
            if MEAN:
                by = tl.where(mean & has, tl.load(counts + vector, mask=has, other=1.0), 1.0)
            rows = rows + (row,)
            factors = factors + ((factor, by),)
        for u in tl.static_range(U):
            g = rows[u]
            if WEIGHTED:
                g = g * factors[u][0]
            if MEAN:
                g = _quotient(g, tl.zeros((BD,), tl.float32) + factors[u][1], INTERPRET)
            total += g
    return total


@triton.jit
def _read(memory, unit, fmt, cols, inside, FP32: tl.constexpr, HALF: tl.constexpr):
    """Read a row [BD] of the stored format as float32."""
    x = tl.zeros(cols.shape, tl.float32)
    if FP32:
        if fmt == 0:
            x = tl.load(
                memory.to(tl.pointer_type(tl.float32)) + unit * 4 + cols, mask=inside, other=0.0
            )
    if HALF:
        if fmt == 1:
            x = tl.load(
                memory.to(tl.pointer_type(tl.float16)) + unit * 8 + cols, mask=inside, other=0.0
            ).to(tl.float32)
        if fmt == 2:
            bits = tl.load(
                memory.to(tl.pointer_type(tl.uint16)) + unit * 8 + cols, mask=inside, other=0
            )
            x = (bits.to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    return x


@triton.jit
def _write(memory, unit, fmt, cols, inside, x, FP32: tl.constexpr, HALF: tl.constexpr):
    """Write a row [BD], rounded to nearest even."""
    if FP32:
        if fmt == 0:
            tl.store(memory.to(tl.pointer_type(tl.float32)) + unit * 4 + cols, x, mask=inside)
    if HALF:
        if fmt == 1:
            tl.store(
                memory.to(tl.pointer_type(tl.float16)) + unit * 8 + cols,
                x.to(tl.float16),
                mask=inside,
            )
        if fmt == 2:
            bits = x.to(tl.uint32, bitcast=True)
            even = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).to(tl.uint16)
            nan = tl.full(cols.shape, 0x7FC0, tl.uint16)
            tl.store(
                memory.to(tl.pointer_type(tl.uint16)) + unit * 8 + cols,
                tl.where(x != x, nan, even),
                mask=inside,
            )


@triton.jit
def _step(state, key, squares, dim, rate, epsilon, ADAGRAD: tl.constexpr, INTERPRET: tl.constexpr):
    """Return the factor of the gradient; row-wise Adagrad adds the mean of the squares to the row's state."""
    if ADAGRAD:
        held = tl.load(state + key) + _quotient(squares, dim.to(tl.float32), INTERPRET)
        tl.store(state + key, held)
        return _quotient(rate, _root(held, INTERPRET) + epsilon, INTERPRET)
    else:
        return rate


@triton.jit(
    do_not_specialize=[], do_not_specialize_on_alignment=["weights", "keys", "starts", "sizes"]
)
def chunk_kernel(
    memory, lines, order, vector_of, weights, counts, grads, keys, tables, starts, sizes, first_chunk, segment_of,
    units, slots, dirty, partials, partial_at, state, rate, epsilon,
    WEIGHTED: tl.constexpr, MEAN: tl.constexpr, VEC: tl.constexpr, FP32: tl.constexpr, HALF: tl.constexpr,
    ONE: tl.constexpr, ADAGRAD: tl.constexpr, RESOLVED: tl.constexpr, U: tl.constexpr, BD: tl.constexpr,
    WIDTH: tl.constexpr, INTERPRET: tl.constexpr,
):  # fmt: skip
    """Sum the gradients of one chunk; a segment of one chunk changes its row at once, others leave partial sums.

    A program takes a chunk. `keys`, `tables`, `starts`, `sizes`, `first_chunk` [S]: of each segment its row among all
    rows, its table in the request, where its keys start in `order`, how many there are, its first chunk. `segment_of`
    [C]. `partial_at` [S]: where the partial sums of a segment start in `partials` [., WIDTH].
    """
    chunk = tl.program_id(0)
    segment = tl.load(segment_of + chunk)
    within = chunk - tl.load(first_chunk + segment)
    size = tl.load(sizes + segment)
    start = tl.load(starts + segment) + within * 128
    n = tl.minimum(size - within * 128, 128).to(tl.int32)
    line = lines + tl.load(tables + segment) * TRAIN_FIELDS
    dim = tl.load(line + _DIM).to(tl.int32)
    if VEC:
        dim = (dim // 4) * 4  # says to the compiler that rows of gradients start on 16 bytes
    if size > 128:
        row = tl.load(partial_at + segment) + within
        for first in range(0, dim, BD):
            cols = first + tl.arange(0, BD)
            total = _gradient(
                order, vector_of, weights, counts, grads, line, start, n, cols, cols < dim,
                WEIGHTED, MEAN, VEC, U, BD, INTERPRET,
            )  # fmt: skip
            tl.store(partials + row * WIDTH + cols, total, mask=cols < WIDTH)
    else:
        key = tl.load(keys + segment)
        fmt = tl.load(line + _FORMAT)
        if RESOLVED:
            at = tl.load(order + start)
            unit = tl.load(units + at)
            slot = tl.load(slots + at)
            if slot >= 0:
                tl.store(dirty + slot, 1)
        else:
            unit = tl.load(line + _BASE) + (key - tl.load(line + _FIRST_KEY)) * tl.load(
                line + _STRIDE
            )
        squares = 0.0
        if ADAGRAD and not ONE:
            for first in range(0, dim, BD):
                cols = first + tl.arange(0, BD)
                total = _gradient(
                    order, vector_of, weights, counts, grads, line, start, n, cols, cols < dim,
                    WEIGHTED, MEAN, VEC, U, BD, INTERPRET,
                )  # fmt: skip
                squares += tl.sum(total * total, axis=0)
        if ONE:
            cols = tl.arange(0, BD)
            # Whole units are read and written: nobody sees what stands behind the last element of a row.
            total = _gradient(
                order, vector_of, weights, counts, grads, line, start, n, cols, cols < dim,
                WEIGHTED, MEAN, VEC, U, BD, INTERPRET,
            )  # fmt: skip
            if ADAGRAD:
                squares = tl.sum(total * total, axis=0)
            factor = _step(state, key, squares, dim, rate, epsilon, ADAGRAD, INTERPRET)
            room = tl.cdiv(dim, 4) * 4
            x = _read(memory, unit, fmt, cols, cols < room, FP32, HALF)
            _write(memory, unit, fmt, cols, cols < room, x - factor * total, FP32, HALF)
        else:
            factor = _step(state, key, squares, dim, rate, epsilon, ADAGRAD, INTERPRET)
            for first in range(0, dim, BD):
                cols = first + tl.arange(0, BD)
                total = _gradient(
                    order, vector_of, weights, counts, grads, line, start, n, cols, cols < dim,
                    WEIGHTED, MEAN, VEC, U, BD, INTERPRET,
                )  # fmt: skip
                x = _read(memory, unit, fmt, cols, cols < dim, FP32, HALF)
                _write(memory, unit, fmt, cols, cols < dim, x - factor * total, FP32, HALF)


@triton.jit(do_not_specialize=[], do_not_specialize_on_alignment=["keys", "starts", "sizes"])
def merge_kernel(
    memory, lines, order, keys, tables, starts, sizes, long_segments, units, slots, dirty, partials, partial_at, state,
    rate, epsilon,
    FP32: tl.constexpr, HALF: tl.constexpr, ADAGRAD: tl.constexpr, RESOLVED: tl.constexpr, BD: tl.constexpr,
    WIDTH: tl.constexpr, INTERPRET: tl.constexpr,
):  # fmt: skip
    """Add the partial sums of a segment in order and change its row; a program takes a segment."""
    segment = tl.load(long_segments + tl.program_id(0))
    line = lines + tl.load(tables + segment) * TRAIN_FIELDS
    dim = tl.load(line + _DIM).to(tl.int32)
    key = tl.load(keys + segment)
    fmt = tl.load(line + _FORMAT)
    chunks = tl.cdiv(tl.load(sizes + segment), 128).to(tl.int32)
    row = tl.load(partial_at + segment)
    if RESOLVED:
        at = tl.load(order + tl.load(starts + segment))
        unit = tl.load(units + at)
        slot = tl.load(slots + at)
        if slot >= 0:
            tl.store(dirty + slot, 1)
    else:
        unit = tl.load(line + _BASE) + (key - tl.load(line + _FIRST_KEY)) * tl.load(line + _STRIDE)
    squares = 0.0
    for first in range(0, dim, BD):
        cols = first + tl.arange(0, BD)
        total = tl.zeros((BD,), tl.float32)
        for k in range(chunks):
            total += tl.load(partials + (row + k) * WIDTH + cols, mask=cols < dim, other=0.0)
        squares += tl.sum(total * total, axis=0)
        tl.store(partials + row * WIDTH + cols, total, mask=cols < dim)
    factor = _step(state, key, squares, dim, rate, epsilon, ADAGRAD, INTERPRET)
    for first in range(0, dim, BD):
        cols = first + tl.arange(0, BD)
        total = tl.load(partials + row * WIDTH + cols, mask=cols < dim, other=0.0)
        x = _read(memory, unit, fmt, cols, cols < dim, FP32, HALF)
        _write(memory, unit, fmt, cols, cols < dim, x - factor * total, FP32, HALF)
