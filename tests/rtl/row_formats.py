# SPDX-License-Identifier: Apache-2.0
"""Stored row formats in plain Python, for the benches: sizes, lines and chunks of rows by their dtype code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = [
    "DTYPES",
    "FIXED",
    "FP32",
    "INT4",
    "INT8",
    "Line",
    "expand_log2",
    "lines_of",
    "row_units",
]

FP32, FP16, BF16, INT8, INT8_FRONT, INT4, INT4_END, FIXED = range(8)
DTYPES = range(8)
HEADER_BYTES = 16  # of a quantised row: fp32 scale, fp32 bias, zeros


class Line(NamedTuple):
    """A line of a row: bus beats to fetch, chunk at which its elements begin, vector beats it gives."""

    fetch_beats: int
    chunk: int
    beats: int
    beat_base: int


def expand_log2(dtype: int) -> int:
    """Return log2 of the vector beats that a stored bus beat holds."""
    return {FP16: 1, BF16: 1, INT8: 2, INT8_FRONT: 2, INT4: 3, INT4_END: 3}.get(dtype, 0)


def row_units(dtype: int, dim: int) -> int:
    """Return the 64-byte units of a row as stored."""
    expand = expand_log2(dtype)
    elements = -(-dim * 4 >> expand) if expand < 3 else -(-dim // 2)
    return -(-((HEADER_BYTES if expand >= 2 else 0) + elements) // 64)


def lines_of(dtype: int, dim: int, *, line_bytes: int, bus_bytes: int) -> Iterator[Line]:
    """Yield the lines of a row, by walking its chunks one after the other."""
    expand = expand_log2(dtype)
    chunk_bytes = bus_bytes >> expand
    header = HEADER_BYTES // chunk_bytes if expand >= 2 else 0
    vector = -(-dim // 16) * (64 // bus_bytes)
    stored = row_units(dtype, dim) * (64 // bus_bytes)
    per_line = line_bytes // bus_bytes
    for start in range(0, stored, per_line):
        fetch = min(per_line, stored - start)
        inside = [
            beat for beat in range(vector) if start <= (header + beat) >> expand < start + fetch
        ]
        needed = (header + inside[-1] >> expand) + 1 - start
        yield Line(needed, header if start == 0 else 0, len(inside), inside[0])
