# SPDX-License-Identifier: Apache-2.0
"""Make keys of bags, and say which keys go into which frame.

Letters in shapes: `n` frames of a batch, `K` keys of all its frames, `B` bags, `L` rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError
from .gen.wire import (
    KEY_BYTES,
    KEY_LAST_SHIFT,
    KEY_TABLE_BITS,
    KEY_TABLE_SHIFT,
    NULL_ROW,
    WEIGHTED_BYTES,
)

__all__ = ["BagKeys", "Entries", "make_keys"]

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]
LAST = np.uint64(1 << KEY_LAST_SHIFT)


class BagKeys(NamedTuple):
    """The entries of bags: an empty bag has one null key.

    `keys` uint64 [K] with last bits, `offsets` int64 [B + 1], `positions` int64 [L]: where each of
    the rows went.
    """

    keys: NDArray[np.uint64]
    offsets: Offsets
    positions: Offsets


def make_keys(table: int, rows: NDArray[np.integer], offsets: NDArray[np.integer]) -> BagKeys:
    """Return the keys of bags: bag `b` holds `rows[offsets[b]:offsets[b + 1]]` of `table`.

    >>> [hex(key) for key in make_keys(3, np.array([5, 6]), np.array([0, 2, 2])).keys]
    ['0x3000000000005', '0x8003000000000006', '0x8003ffffffffffff']
    """
    rows = np.asarray(rows, np.int64)
    starts = np.asarray(offsets, np.int64)
    if not 0 <= table < 1 << KEY_TABLE_BITS:
        raise ConfigError(f"table is {table}.", allowed=f"0 to {(1 << KEY_TABLE_BITS) - 1:,}.")
    if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= NULL_ROW):
        raise ConfigError(
            f"rows are {int(rows.min())} to {int(rows.max())}.", allowed=f"0 to {NULL_ROW - 1:,}."
        )
    lengths = np.diff(starts)
    if not len(starts) or starts[0] != 0 or starts[-1] != len(rows) or (lengths < 0).any():
        raise ConfigError(
            "offsets do not cut the rows.", allowed=f"0, never decreasing, up to {len(rows)}."
        )
    empty = lengths == 0
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(empty, dtype=np.int64)])
    ends = starts + before
    positions = np.arange(len(rows)) + np.repeat(before[:-1], lengths)
    high = np.uint64(table << KEY_TABLE_SHIFT)
    keys = np.full(int(ends[-1]), high | np.uint64(NULL_ROW), np.uint64)
    keys[positions] = rows.view(np.uint64) | high
    keys[ends[1:] - 1] |= LAST
    return BagKeys(keys, ends, positions)


@dataclass(frozen=True, eq=False)
class Entries:
    """The keys of a batch of frames, and their weights if there are any.

    Frame `i` has `keys[splits[i]:splits[i + 1]]`.
    `keys` uint64 [K] with last bits, `splits` int64 [n + 1], `weights` float32 [K] or None.
    """

    keys: NDArray[np.uint64]
    splits: Offsets
    weights: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Refuse types that would be cast and splits that do not cut the keys."""
        if self.keys.dtype != np.uint64 or self.splits.dtype != np.int64:
            raise ConfigError(
                f"keys are {self.keys.dtype}, splits {self.splits.dtype}.",
                allowed="uint64 and int64.",
            )
        edges = self.splits
        if (
            not len(edges)
            or edges[0] != 0
            or edges[-1] != len(self.keys)
            or (np.diff(edges) < 0).any()
        ):
            raise ConfigError(
                "splits do not cut the keys.",
                allowed=f"0, never decreasing, up to {len(self.keys)}.",
            )
        weights = self.weights
        if weights is not None and (
            weights.dtype != np.float32 or weights.shape != self.keys.shape
        ):
            raise ConfigError(
                f"weights are {weights.dtype} {weights.shape}.",
                allowed=f"float32 {self.keys.shape}.",
            )

    def counts(self) -> Offsets:
        """Return the entries of each frame: int64 [n]."""
        return np.diff(self.splits)

    def bags(self) -> Offsets:
        """Return the last bits in each frame: int64 [n]."""
        lasts = np.flatnonzero(self.keys >= LAST)
        return np.diff(np.searchsorted(lasts, self.splits))

    def edges(self) -> Offsets:
        """Return where each frame's entries begin and end in `payload()`: int64 [n + 1]."""
        return self.splits * (KEY_BYTES if self.weights is None else WEIGHTED_BYTES)

    def payload(self) -> Bytes:
        """Return the entries as on the wire."""
        if self.weights is None:
            return np.ascontiguousarray(self.keys.astype("<u8", copy=False)).view(np.uint8)
        pairs = np.empty((len(self.keys), 2), "<u8")
        pairs[:, 0] = self.keys
        pairs[:, 1] = self.weights.view(np.uint32)
        return pairs.view(np.uint8).reshape(-1)
