# SPDX-License-Identifier: Apache-2.0
"""The caches of the Python twin: the classes and integers of host/native/model_caches.cpp, much slower.

`embnic.model` uses them, and `model_card`, where the extension was not built.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ALLOCATES",
    "DROP",
    "EVICT",
    "FETCH",
    "HELD",
    "HIT",
    "KEPT",
    "LOCK",
    "LOOK",
    "NO_WAY",
    "PIN",
    "PINNED",
    "REFUSED",
    "RELEASE",
    "FbgemmCache",
    "LruCache",
    "Sketch",
    "TagCache",
]

DROP, LOOK, RELEASE, FETCH, LOCK, PIN = range(6)  # commands to the tag stage
ALLOCATES, HIT, EVICT, KEPT, NO_WAY, REFUSED, PINNED, HELD = (1 << bit for bit in range(8))
MASK64 = (1 << 64) - 1


class Sketch:
    """Estimate as `embnic_cache_sketch` how often a key was looked up lately."""

    def __init__(self, words: int) -> None:
        self._words, self._width = words, words.bit_length() - 1
        self._counts = [[0] * 8 for _ in range(self._words)]
        self._touched = [0] * self._words
        self._epoch = self._ticks = 0

    def look(self, key: int, count: bool) -> int:
        """Estimate, after counting the lookup if `count`."""
        at = _fold(key, self._width)
        low, high = _fold(key, self._width + 1) & 3, 4 + (_fold(key, self._width + 2) & 3)
        age = (self._epoch - self._touched[at]) & 3
        counts = [value >> age for value in self._counts[at]]
        if count:
            for lane in (low, high):
                counts[lane] = min(counts[lane] + 1, 15)
            self._counts[at], self._touched[at] = counts, self._epoch
            self._ticks += 1
            if self._ticks == 8 * self._words:
                self._ticks, self._epoch = 0, (self._epoch + 1) & 3
        return min(counts[low], counts[high])


def _fold(key: int, width: int) -> int:
    folded = 0
    while key:
        folded ^= key & ((1 << width) - 1)
        key >>= width
    return folded


@dataclass
class _Set:
    """The ways of one set; `keys` of those that are neither valid nor pinned mean nothing."""

    keys: list[int]
    valid: list[bool]
    pinned: list[bool]
    locked: list[bool]
    frequency: list[int]
    tree: int = 0

    @property
    def held(self) -> list[bool]:
        return [pin or lock for pin, lock in zip(self.pinned, self.locked, strict=True)]

    @property
    def used(self) -> list[bool]:
        return [valid or pin for valid, pin in zip(self.valid, self.pinned, strict=True)]


class TagCache:
    """Decide as `embnic_cache_tags`: XOR-fold set; lowest unused way, else tree PLRU over the ways not held."""

    def __init__(self, ways: int, sets: int) -> None:
        self._ways, self._sets, self._width = ways, sets, sets.bit_length() - 1
        self._cached_ways, self._admission = 1, False
        self._sketch = Sketch(ways * sets)
        self.clear()

    def configure(self, cached_ways: int, admission: bool) -> None:
        """Say how many ways of each set holds must leave, and whether the filter is asked."""
        self._cached_ways, self._admission = cached_ways, admission

    def clear(self) -> None:
        """Drop everything; what was counted stays."""
        ways = self._ways
        self._held_sets = [
            _Set([-1] * ways, [False] * ways, [False] * ways, [False] * ways, [0] * ways)
            for _ in range(self._sets)
        ]

    def _victim(self, tree: int, held: list[bool]) -> int:
        node, way, half = 0, 0, self._ways // 2
        while half:
            left, right = not all(held[way:][:half]), not all(held[way + half :][:half])
            side = int(right and (bool(tree >> node & 1) or not left))
            way, node, half = way + half * side, 2 * node + 1 + side, half // 2
        return way

    def _touched(self, tree: int, way: int) -> int:
        node, half = 0, self._ways // 2
        while half:
            right = int(bool(way & half))
            tree = tree & ~(1 << node) | (1 - right) << node
            node, half = 2 * node + 1 + right, half // 2
        return tree

    def execute(self, key: int, command: int) -> tuple[int, int]:
        """Return line (-1: none to be read) and flags of a command."""
        index = _fold(key, self._width)
        found = self._held_sets[index]
        held, used = found.held, found.used
        mine = [w for w in range(self._ways) if used[w] and found.keys[w] == key]
        hit = bool(mine) and found.valid[mine[0]]
        flags = HIT * hit | PINNED * (hit and found.pinned[mine[0]])
        if command in (DROP, RELEASE):
            return -1, flags | KEPT * self._let_go(found, mine, command)
        flags |= ALLOCATES
        estimate = self._sketch.look(key, command == LOOK) if self._admission else 0
        if mine:
            way = mine[0]
        elif all(held):
            return -1, flags | NO_WAY
        elif not all(used):
            way = used.index(False)
        else:
            way = self._victim(found.tree, held)
            if self._admission and command == LOOK and estimate <= found.frequency[way]:
                found.frequency[way] = max(found.frequency[way] - 1, 0)
                return -1, flags | REFUSED
            flags |= EVICT
        found.keys[way], found.valid[way], found.frequency[way] = key, True, estimate
        found.tree = self._touched(found.tree, way)
        flags |= KEPT | HELD * self._hold(found, way, held, command)
        return index * self._ways + way, flags

    def _let_go(self, found: _Set, mine: list[int], command: int) -> bool:
        """Drop or release a line; return whether a release found it held."""
        held = bool(mine) and found.held[mine[0]]
        for way in mine:
            found.locked[way] = False
            if command == DROP:
                found.valid[way] = False
            else:
                found.pinned[way] = False
        return held and command == RELEASE

    def _hold(self, found: _Set, way: int, held: list[bool], command: int) -> bool:
        """End the lock of a line that is looked up, or hold one; return whether it was granted."""
        if command == LOOK:
            found.locked[way] = False
        if command not in (LOCK, PIN):
            return False
        if not held[way] and held.count(False) <= self._cached_ways:
            return False
        (found.pinned if command == PIN else found.locked)[way] = True
        return True

    def feed(self, keys: NDArray[np.uint64]) -> tuple[int, int]:
        """Return hits and evictions of lookups in order."""
        flags = [self.execute(key, LOOK)[1] for key in keys.tolist()]
        return sum(bool(bits & HIT) for bits in flags), sum(bool(bits & EVICT) for bits in flags)

    def decide(
        self,
        keys: NDArray[np.uint64],
        commands: NDArray[np.int64],
        lines: NDArray[np.int64],
        flags: NDArray[np.int64],
    ) -> None:
        """Write line and flags of each command."""
        for at, (key, command) in enumerate(zip(keys.tolist(), commands.tolist(), strict=True)):
            lines[at], flags[at] = self.execute(key, command)


class LruCache:
    """Fully associative, least recently used."""

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._held: OrderedDict[int, None] = OrderedDict()

    def clear(self) -> None:
        """Drop everything."""
        self._held.clear()

    def feed(self, keys: NDArray[np.uint64]) -> tuple[int, int]:
        """Return hits and evictions of lookups in order."""
        hits = evictions = 0
        for key in keys.tolist():
            if key in self._held:
                self._held.move_to_end(key)
                hits += 1
                continue
            if len(self._held) == self._lines:
                self._held.popitem(last=False)
                evictions += 1
            self._held[key] = None
        return hits, evictions


class FbgemmCache:
    """FBGEMM's UVM cache: see model_caches.cpp."""

    def __init__(self, ways: int, sets: int) -> None:
        self._ways, self._sets = ways, sets
        self.clear()

    def clear(self) -> None:
        """Drop everything and count from zero."""
        self._keys = [[-1] * self._ways for _ in range(self._sets)]
        self._times = [[0] * self._ways for _ in range(self._sets)]
        self._counts = [0] * 6

    def _set(self, key: int) -> int:
        key ^= key >> 33
        key = key * 0xFF51AFD7ED558CCD & MASK64
        key ^= key >> 33
        key = key * 0xC4CEB9FE1A85EC53 & MASK64
        return (key ^ key >> 33) % self._sets

    def call(self, keys: NDArray[np.uint64]) -> tuple[int, ...]:
        """Look up a batch; return the six counters."""
        counts = self._counts
        counts[0] += 1
        now = counts[0]
        requested = keys.tolist()
        unique = sorted(set(requested))
        misses = []
        for key in unique:
            index = self._set(key)
            if key in self._keys[index]:
                self._times[index][self._keys[index].index(key)] = now
            else:
                misses.append(key)
        for key in misses:
            index = self._set(key)
            oldest = min(self._times[index])
            if oldest == now:
                counts[4] += 1
                continue
            way = self._times[index].index(oldest)
            self._keys[index][way], self._times[index][way] = key, now
        counts[1] += len(requested)
        counts[2] += len(unique)
        counts[3] += len(misses)
        counts[5] += sum(key not in self._keys[self._set(key)] for key in requested)
        return tuple(counts)
