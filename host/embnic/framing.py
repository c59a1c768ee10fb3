# SPDX-License-Identifier: Apache-2.0
"""Cut bags into request frames that the card and the link can carry.

Letters in shapes: `B` bags of a group, `L` keys of a group, `F` frames.

Tables of one (dim, dtype, pooling, order) and the same kind of entries form a `Group`: its bags lie one after the
other, table by table, in one array of keys, and share frames. A frame holds whole bags; a bag with more keys than fit
is *long* and is continued over several frames by the requester, which carries the running accumulator. A bag of the
order `tree` has no such accumulator and cannot be continued.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bags import Bags, TableBags
from .config import Table
from .errors import ConfigError
from .gen.wire import (
    FRAME_OVERHEAD,
    KEY_LAST_SHIFT,
    NULL_ROW,
    SEQUENCE_BYTES,
    UNIT_BYTES,
    DType,
    Order,
    Pooling,
)
from .products import ProductBags
from .wire import make_keys

__all__ = [
    "FrameLimits",
    "Group",
    "Span",
    "check_mtu",
    "cut",
    "groups",
    "one_key_bags",
    "PAIR_BANKS",
    "product_group",
    "payload_limit",
    "select",
    "spans",
]

ETHERNET_BYTES = 14  # an MTU counts from the IPv4 header
MAX_FRAME_BAGS = 0xFFFF
MAX_FRAME_KEYS = 0xFFFF
MIN_MTU, MAX_MTU = 576, 9216
PAIR_BANKS = 4  # vectors that the card keeps of a bag of pairs, the sum and a spare one included


@dataclass(frozen=True)
class FrameLimits:
    """What one request frame may hold.

    `payload` bytes, a multiple of 8; `reply_vec64` 64-byte units of vectors in its whole answer; `reply_units` 64-byte
    units of payload in one reply frame; `merge_units` 64-byte units of accumulator and partials in one request.
    """

    payload: int
    reply_vec64: int
    reply_units: int
    merge_units: int = 0

    def keys(self, *, weighted: bool, accumulator_vec64: int = 0, product: bool = False) -> int:
        """Return how many keys fit a frame, behind an accumulator of so many 64-byte units (0: none); of a product
        whole pairs.
        """
        used = (accumulator_vec64 + 1) * UNIT_BYTES if accumulator_vec64 else 0
        room = min(max((self.payload - used) // (16 if weighted else 8), 0), MAX_FRAME_KEYS)
        return room - room % 2 if product else room

    def bags(self, vec64: int) -> int:
        """Return how many bags with results of `vec64` units a frame may ask for."""
        return min(self.reply_vec64 // vec64, MAX_FRAME_BAGS)

    def partials(self, vec64: int, *, entries: int, weighted: bool, accumulator: bool) -> int:
        """Return how many partials of `vec64` units fit a frame before so many entries."""
        held = int(accumulator)
        room = self.payload - entries * (16 if weighted else 8)
        fit = room // ((vec64 + 1) * UNIT_BYTES) - held
        return max(min(fit, self.merge_units // vec64 - held), 0)

    def rows(self, stored_vec64: int) -> int:
        """Return how many rows of `stored_vec64` units an UPDATE frame carries: client, sequence, keys,
        padding to 64 bytes, rows.
        """
        row_bytes = stored_vec64 * UNIT_BYTES
        count = max((self.payload - SEQUENCE_BYTES) // (8 + row_bytes), 0)
        while count and _up64(SEQUENCE_BYTES + 8 * count) + count * row_bytes > self.payload:
            count -= 1
        return count


def _up64(value: int) -> int:
    return -(-value // UNIT_BYTES) * UNIT_BYTES


def payload_limit(mtu: int, key_store_bytes: int) -> int:
    """Return the payload bytes of the largest frame.

    The MTU counts from the IPv4 header. A frame takes at most half of the key store, so that the next one can arrive
    while it is worked on.

    >>> payload_limit(1500, 65536), payload_limit(9000, 8192)
    (1440, 4096)
    """
    return min(mtu - (FRAME_OVERHEAD - ETHERNET_BYTES), key_store_bytes // 2) // 8 * 8


def check_mtu(mtu: int) -> None:
    """Refuse an MTU that no Ethernet link has."""
    if isinstance(mtu, bool) or not isinstance(mtu, int) or not MIN_MTU <= mtu <= MAX_MTU:
        raise ConfigError(
            f"mtu is {mtu!r}.",
            allowed=f"{MIN_MTU} to {MAX_MTU} bytes.",
            do="Give the MTU of the link, such as 1500 or 9000.",
        )


@dataclass(frozen=True)
class Group:
    """Bags of several tables of one shape, one after the other.

    `keys` are the entries with their last bits; an empty bag has one null key. `offsets[b]` is the first
    entry of bag `b`. `parts` says which bags belong to which table. Of a `product` the entries are pairs, first and
    second key by turns, and `parts` names the first keys' table.
    """

    dim: int
    vec64: int
    dtype: DType
    pooling: Pooling
    order: Order
    keys: NDArray[np.uint64]  # [L]
    offsets: NDArray[np.int64]  # [B + 1]
    weights: NDArray[np.float32] | None  # [L]
    parts: Mapping[str, slice]
    product: bool = False

    @property
    def bags(self) -> int:
        """Return B."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the keys of each bag, at least 1: int64 [B]."""
        return np.diff(self.offsets)


def groups(bags: Bags, tables: Mapping[str, Table], numbers: Mapping[str, int]) -> list[Group]:
    """Return the bags by shape; `numbers` gives the card's table numbers. Empty batches are left out."""
    found: dict[tuple[int, DType, Pooling, Order, bool], list[str]] = {}
    for name, part in bags.items():
        table = tables[name]
        if len(part):
            weighted = part.weights is not None
            shape = (table.dim, table.dtype, table.pooling, table.order, weighted)
            found.setdefault(shape, []).append(name)
    return [_group(bags, names, tables[names[0]], numbers) for names in found.values()]


def _group(bags: Bags, names: list[str], table: Table, numbers: Mapping[str, int]) -> Group:
    entries = [_entries(bags[name], numbers[name]) for name in names]
    counts = np.cumsum([0] + [len(bags[name]) for name in names])
    starts = np.cumsum([0] + [len(keys) for keys, _, _ in entries])
    offsets = [part[:-1] + start for (_, part, _), start in zip(entries, starts, strict=False)]
    weights = [part for _, _, part in entries if part is not None]
    return Group(
        dim=table.dim,
        vec64=table.vec64,
        dtype=table.dtype,
        pooling=table.pooling,
        order=table.order,
        keys=np.concatenate([keys for keys, _, _ in entries]),
        offsets=np.concatenate([*offsets, starts[-1:]]).astype(np.int64, copy=False),
        weights=np.concatenate(weights) if weights else None,
        parts={name: slice(int(counts[at]), int(counts[at + 1])) for at, name in enumerate(names)},
    )


def _entries(
    part: TableBags, number: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float32] | None]:
    """Return keys [L'], offsets [B + 1] and weights [L'] with a null key in every empty bag."""
    made = make_keys(number, part.values, part.offsets)
    if part.weights is None:
        return made.keys, made.offsets, None
    weights = np.zeros(len(made.keys), np.float32)
    weights[made.positions] = part.weights
    return made.keys, made.offsets, weights


def product_group(
    pairs: ProductBags, tables: Mapping[str, Table], numbers: Mapping[str, int]
) -> Group:
    """Return bags of pairs as a group; an empty bag has a pair of null keys."""
    table, bags = tables[pairs.quotient], pairs.quotients
    sides = ((pairs.quotient, bags.values), (pairs.remainder, pairs.remainders))
    made = []
    for name, ids in sides:
        null = ids == NULL_ROW
        side = make_keys(numbers[name], np.where(null, 0, ids), bags.offsets)
        side.keys[side.positions[null]] |= np.uint64(NULL_ROW)
        made.append(side)
    keys = np.stack([side.keys for side in made], axis=1).reshape(-1)
    keys[0::2] &= ~np.uint64(1 << KEY_LAST_SHIFT)
    weights = None
    if bags.weights is not None:
        weights = np.zeros(len(keys), np.float32)
        for second in (0, 1):
            weights[2 * made[0].positions + second] = bags.weights
    return Group(
        dim=table.dim,
        vec64=table.vec64,
        dtype=table.dtype,
        pooling=table.pooling,
        order=table.order,
        keys=keys,
        offsets=2 * made[0].offsets,
        weights=weights,
        parts={table.name: slice(0, len(bags))},
        product=True,
    )


class Span(NamedTuple):
    """Bags `first` to `stop` of a group, in one frame."""

    first: int
    stop: int


def cut(
    offsets: NDArray[np.int64], *, max_keys: int, max_bags: int
) -> tuple[NDArray[np.int64], list[int]]:
    """Return the frames' first bags [F + 1] and the long bags.

    Frames are filled in order, greedily, to at most `max_keys` keys and `max_bags` bags. A long bag is a frame of its
    own in the first result and named in the second.

    >>> cut(np.array([0, 2, 4, 9, 10]), max_keys=4, max_bags=8)
    (array([0, 2, 3, 4]), [2])
    """
    count = len(offsets) - 1
    bounds, long_bags, at = [0], [], 0
    while at < count:
        stop = int(np.searchsorted(offsets, offsets[at] + max_keys, side="right")) - 1
        if stop <= at:
            long_bags.append(at)
            stop = at + 1
        at = min(stop, at + max_bags)
        bounds.append(at)
    return np.array(bounds, np.int64), long_bags


def spans(bounds: NDArray[np.int64]) -> Iterator[Span]:
    """Return the bags of each frame."""
    edges = bounds.tolist()
    return (Span(first, stop) for first, stop in pairwise(edges))


def one_key_bags(part: TableBags) -> TableBags:
    """Return a bag for every id of a table without pooling, an empty one for a null key.

    >>> one_key_bags(TableBags(np.array([3, NULL_ROW, 8]), np.array([0, 3]))).offsets.tolist()
    [0, 1, 1, 2]
    """
    there = part.values != NULL_ROW
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(there, dtype=np.int64)])
    return TableBags(part.values[there], offsets)


def select(part: TableBags, chosen: NDArray[np.bool_]) -> TableBags:
    """Return the chosen bags of a table, in order; `chosen` is bool [B].

    >>> part = TableBags(np.array([3, 8, 8, 5]), np.array([0, 3, 3, 4]))
    >>> select(part, np.array([False, True, True])).values.tolist()
    [5]
    """
    lengths = part.lengths
    taken = np.repeat(chosen, lengths)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[chosen], dtype=np.int64)])
    return TableBags(
        part.values[taken], offsets, None if part.weights is None else part.weights[taken]
    )
