# SPDX-License-Identifier: Apache-2.0
"""The Triton kernels of the gradients; see `gpu_train` for what they do together.

Letters: `T` tables of a request, `L` keys, sorted by row, `W` windows of WINDOW sorted keys. A *run* is what lies in
one window of the keys of a row.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["TRAIN_FIELDS", "WINDOW", "join_kernel", "keys_kernel", "run_kernel"]

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

WINDOW = tl.constexpr(128)


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
    order, vectors, weights, counts, grads, line, start, n, cols, inside,
    WEIGHTED: tl.constexpr, MEAN: tl.constexpr, VEC: tl.constexpr, U: tl.constexpr, BD: tl.constexpr,
    INTERPRET: tl.constexpr,
):  # fmt: skip
    """Sum the gradients [BD] of the sorted keys `start` to `start + n`, one after the other."""
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
            vector = tl.load(vectors + start + k + u, mask=has, other=0).to(tl.int64)
            row = tl.load(
                grads + base + (vector - first) * dim + cols, mask=k + u < limit, other=0.0
            )
            factor = 1.0
            if WEIGHTED:
                at = tl.load(order + start + k + u, mask=has, other=0)
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


@triton.jit
def _locate(key, at, line, units, slots, dirty, RESOLVED: tl.constexpr):
    """Return the unit where a row starts; in a cache, note that its line is changed. `at`: one of its keys."""
    if RESOLVED:
        unit = tl.load(units + at)
        slot = tl.load(slots + at)
        if slot >= 0:
            tl.store(dirty + slot, 1)
    else:
        unit = tl.load(line + _BASE) + (key - tl.load(line + _FIRST_KEY)) * tl.load(line + _STRIDE)
    return unit


@triton.jit
def _line_of(key, lines, STEPS: tl.constexpr, tables):
    """Return the descriptor of the table that a key belongs to; `lines` are by ascending first key."""
    low = key * 0
    high = low + tables
    for _ in tl.static_range(STEPS):
        middle = (low + high) // 2
        go = tl.load(lines + middle * TRAIN_FIELDS + _FIRST_KEY) <= key
        low = tl.where(go, middle, low)
        high = tl.where(go, high, middle)
    return lines + low * TRAIN_FIELDS


@triton.jit(do_not_specialize=["total"], do_not_specialize_on_alignment=["weights"])
def run_kernel(
    memory, lines, keys, order, vectors, weights, counts, grads, units, slots, dirty, parts, state, rate, epsilon,
    total,
    WEIGHTED: tl.constexpr, MEAN: tl.constexpr, VEC: tl.constexpr, FP32: tl.constexpr, HALF: tl.constexpr,
    ONE: tl.constexpr, ADAGRAD: tl.constexpr, RESOLVED: tl.constexpr, U: tl.constexpr, BD: tl.constexpr,
    WIDTH: tl.constexpr, INTERPRET: tl.constexpr, tables: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Sum the gradients of the run that begins at a sorted key (the program's number), if one does.

    A row whose keys are all in this run is changed at once; else the sum is left in `parts` [W, 2, WIDTH]: first the
    run that came from the window before, then the one that goes on in the next. `keys` [L] are sorted, `order` [L] says
    where they were, `vectors` [L] whose gradient they get. `lines` are by ascending first key.
    """
    here = tl.program_id(0)
    key = tl.load(keys + here).to(tl.int64)
    before = tl.load(keys + here - 1, mask=here > 0, other=-1).to(tl.int64)
    edge = here % 128 == 0
    if (key >= 0) & (edge | (key != before)):
        window = here // 128
        end = tl.minimum((window + 1) * 128, total)
        ahead = here + tl.arange(0, 128)
        same = (ahead < end) & (
            tl.load(keys + ahead, mask=ahead < end, other=-1).to(tl.int64) == key
        )
        n = tl.sum(same.to(tl.int32))
        following = tl.load(keys + end, mask=end < total, other=-1).to(tl.int64)
        goes_on = (here + n == end) & (following == key)
        came = edge & (before == key)
        line = _line_of(key, lines, STEPS, tables)
        dim = tl.load(line + _DIM).to(tl.int32)
        if VEC:
            dim = (dim // 4) * 4  # says to the compiler that rows of gradients start on 16 bytes
        if goes_on | came:
            row = (window * 2 + (came == 0).to(tl.int32)).to(tl.int64)
            for first in range(0, dim, BD):
                cols = first + tl.arange(0, BD)
                summed = _gradient(
                    order, vectors, weights, counts, grads, line, here, n, cols, cols < dim,
                    WEIGHTED, MEAN, VEC, U, BD, INTERPRET,
                )  # fmt: skip
                tl.store(parts + row * WIDTH + cols, summed, mask=cols < dim)
        else:
            fmt = tl.load(line + _FORMAT)
            at = here.to(tl.int64)
            if RESOLVED:
                at = tl.load(order + here)
            unit = _locate(key, at, line, units, slots, dirty, RESOLVED)
            squares = 0.0
            if ONE:
                cols = tl.arange(0, BD)
                # Whole units are read and written: nobody sees what stands behind the last element of a row.
                room = tl.cdiv(dim, 4) * 4
                x = _read(memory, unit, fmt, cols, cols < room, FP32, HALF)
                summed = _gradient(
                    order, vectors, weights, counts, grads, line, here, n, cols, cols < dim,
                    WEIGHTED, MEAN, VEC, U, BD, INTERPRET,
                )  # fmt: skip
                if ADAGRAD:
                    squares = tl.sum(summed * summed, axis=0)
                factor = _step(state, key, squares, dim, rate, epsilon, ADAGRAD, INTERPRET)
                _write(memory, unit, fmt, cols, cols < room, x - factor * summed, FP32, HALF)
            else:
                if ADAGRAD:
                    for first in range(0, dim, BD):
                        cols = first + tl.arange(0, BD)
                        summed = _gradient(
                            order, vectors, weights, counts, grads, line, here, n, cols, cols < dim,
                            WEIGHTED, MEAN, VEC, U, BD, INTERPRET,
                        )  # fmt: skip
                        squares += tl.sum(summed * summed, axis=0)
                factor = _step(state, key, squares, dim, rate, epsilon, ADAGRAD, INTERPRET)
                for first in range(0, dim, BD):
                    cols = first + tl.arange(0, BD)
                    summed = _gradient(
                        order, vectors, weights, counts, grads, line, here, n, cols, cols < dim,
                        WEIGHTED, MEAN, VEC, U, BD, INTERPRET,
                    )  # fmt: skip
                    x = _read(memory, unit, fmt, cols, cols < dim, FP32, HALF)
                    _write(memory, unit, fmt, cols, cols < dim, x - factor * summed, FP32, HALF)


@triton.jit
def _joined(parts, window, last, cols, inside, WIDTH: tl.constexpr):
    """Add the parts of a row: the last run of a window and the first ones of the next, up to `last`."""
    summed = tl.load(parts + (window * 2 + 1).to(tl.int64) * WIDTH + cols, mask=inside, other=0.0)
    for w in range(window + 1, last + 1):
        summed += tl.load(parts + tl.cast(w * 2, tl.int64) * WIDTH + cols, mask=inside, other=0.0)
    return summed


@triton.jit(do_not_specialize=["total"])
def join_kernel(
    memory, lines, keys, order, units, slots, dirty, parts, state, rate, epsilon, total,
    FP32: tl.constexpr, HALF: tl.constexpr, ADAGRAD: tl.constexpr, RESOLVED: tl.constexpr, BD: tl.constexpr,
    WIDTH: tl.constexpr, INTERPRET: tl.constexpr, tables: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Change the row whose keys begin in a window (the program's number) and go on in the next, if there is one."""
    window = tl.program_id(0)
    end = (window + 1) * 128
    if end < total:
        key = tl.load(keys + end - 1).to(tl.int64)
        goes_on = tl.load(keys + end).to(tl.int64) == key
        came = tl.load(keys + end - 129, mask=window > 0, other=-1).to(tl.int64) == key
        if (key >= 0) & goes_on & (came == 0):
            # The first sorted key that is larger ends the row.
            low = end
            high = tl.cast(total, tl.int32)
            while low < high:
                middle = (low + high) // 2
                equal = tl.load(keys + middle).to(tl.int64) == key
                low = tl.where(equal, middle + 1, low)
                high = tl.where(equal, high, middle)
            last = (low - 1) // 128
            line = _line_of(key, lines, STEPS, tables)
            dim = tl.load(line + _DIM).to(tl.int32)
            fmt = tl.load(line + _FORMAT)
            at = (end - 1).to(tl.int64)
            if RESOLVED:
                at = tl.load(order + end - 1)
            unit = _locate(key, at, line, units, slots, dirty, RESOLVED)
            squares = 0.0
            if ADAGRAD:
                for first in range(0, dim, BD):
                    cols = first + tl.arange(0, BD)
                    summed = _joined(parts, window, last, cols, cols < dim, WIDTH)
                    squares += tl.sum(summed * summed, axis=0)
            factor = _step(state, key, squares, dim, rate, epsilon, ADAGRAD, INTERPRET)
            for first in range(0, dim, BD):
                cols = first + tl.arange(0, BD)
                summed = _joined(parts, window, last, cols, cols < dim, WIDTH)
                x = _read(memory, unit, fmt, cols, cols < dim, FP32, HALF)
                _write(memory, unit, fmt, cols, cols < dim, x - factor * summed, FP32, HALF)
