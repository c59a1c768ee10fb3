# SPDX-License-Identifier: Apache-2.0
"""Products of two tables' rows, for embnic_sim.mutate_workload: bags of pairs, right and wrong ones."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

import embnic
from embnic.arithmetic import widen
from embnic.backends.reference import Partial, accumulate, unpooled
from embnic.gen.wire import KEY_LAST_SHIFT, KEY_TABLE_SHIFT, NULL_ROW, DType, Flag, Hold, Opcode
from embnic_sim.mutate_frames import Phase, number_of
from embnic_sim.mutate_limits import Limits
from embnic_sim.mutate_tables import CONFIG, MULTIPLIED, PAIRS, TABLES

__all__ = ["Pairs"]


class Pairs(Limits):
    """Frames and phases of products."""

    def product(
        self, phase: Phase, first: embnic.Table, second: embnic.Table, longest: int
    ) -> None:
        """Add a LOOKUP of bags of pairs, with all that one may carry."""
        chance = self.rng.random
        partial, carried, weighted = chance() < 0.25, chance() < 0.25, chance() < 0.5
        room = CONFIG.reply_vec64 // first.vec64
        bags = 1 if partial or carried else int(self.rng.integers(1, min(4, room) + 1))
        sums = _sums(first)
        payload, init = self._carried(sums) if carried else (b"", None)
        wanted, keys = [], 0
        for _ in range(bags):
            ids = self._sides(first, second, int(self.rng.integers(0, longest + 1)))
            w = self.values(ids.shape[1]) if weighted else None
            payload += self._pairs(first, second, ids, w)
            keys += 2 * max(ids.shape[1], 1)
            wanted.append(self._pooled(first, second, ids, w, init))
        flags = Flag.PRODUCT | Flag.WEIGHTED * weighted | Flag.ACCUMULATOR * carried
        if partial:
            flags |= Flag.PARTIAL_WANTED if chance() < 0.5 else Flag.CONTINUES
        values = {"bags": bags, "keys": keys, "flags": int(flags)}
        self._ask(phase, Opcode.LOOKUP, first, payload, wanted, values, answered=sums)

    def long_pairs(self, name: str) -> Phase:
        """Bags of hundreds of pairs in one frame, most of them null on one side."""
        phase = Phase(name, window=1, tables=PAIRS)
        for numbers, weighted in (((0, 1), False), ((3, 2), True)):
            first, second = (PAIRS[number] for number in numbers)
            ids = self._sides(first, second, 100)
            ids[self.rng.integers(0, 2, 100), np.arange(100)] = NULL_ROW
            ids[:, ::9] = self.rng.integers(4, 20, (2, 12))
            w = self.values(100) if weighted else None
            values = {"bags": 1, "keys": 200, "flags": Flag.PRODUCT | Flag.WEIGHTED * weighted}
            wanted = [self._pooled(first, second, ids, w, None)]
            payload = self._pairs(first, second, ids, w)
            self._ask(phase, Opcode.LOOKUP, first, payload, wanted, values, answered=_sums(first))
        return phase

    def bad_pairs(self, name: str) -> Phase:
        """Wrong frames of pairs, each before a right one."""
        phase = Phase(name, tables=PAIRS, rx_gap=1)
        key = lambda number, row, last=0: struct.pack(  # noqa: E731
            "<Q", last << KEY_LAST_SHIFT | number << KEY_TABLE_SHIFT | row
        )
        pair = lambda a=1, b=1, first=0, second=1, last=1: (  # noqa: E731
            key(first, a) + key(second, b, last)
        )
        sent = {"bags": 1, "keys": 2, "dim": PAIRS[0].dim}
        entry = struct.pack("<Qf4x", 1, 1.0)
        made: list[tuple[bytes, dict[str, int]]] = [
            (key(0, 1, 1), sent | {"keys": 1}),
            (pair(last=0) + key(0, 1, 1), sent | {"keys": 3}),
            (pair() + key(0, 1, 1), sent | {"keys": 3, "bags": 2}),
            (key(0, 1, 1) + pair(), sent | {"keys": 3, "bags": 2}),
            (pair(last=0), sent),
            (key(0, 1, 1) + key(1, 1, 1), sent),
            (pair(PAIRS[0].rows), sent),
            (pair(1, PAIRS[1].rows), sent),
            (pair(1 << 33), sent),
            (pair(1, 1 << 33), sent),
            (pair(NULL_ROW, PAIRS[1].rows), sent),
            (pair(PAIRS[0].rows, NULL_ROW), sent),
            (pair(second=7), sent),
            (pair(first=7), sent),
            (pair(second=4), sent),
            (pair(first=5), sent),
            (pair(second=8), sent),
            (pair(first=8), sent),
            (pair(last=0) + pair(second=0), sent | {"keys": 4}),
            (pair(last=0) + pair(first=1), sent | {"keys": 4}),
            (pair(last=0, a=NULL_ROW) + pair(first=1), sent | {"keys": 4}),
            (pair(first=2, second=3), sent | {"dim": 29}),
            (pair(first=2, second=3), sent | {"dtype": int(DType.INT8)}),
            (pair(first=7, second=7), sent | {"dim": 100}),
            (pair(first=7, second=7), sent | {"dim": 33}),
            (pair(), sent | {"dtype": int(DType.FIXED)}),
            (pair() * 2, sent | {"bags": 2, "keys": 4, "flags": Flag.PARTIAL_WANTED}),
            (bytes(128) + pair() * 2, sent | {"bags": 2, "keys": 4, "flags": Flag.ACCUMULATOR}),
            (bytes(64) + pair(), sent | {"flags": Flag.ACCUMULATOR}),
            (entry + entry, sent | {"flags": Flag.WEIGHTED}),
        ]
        for payload, values in made:
            flags = values.get("flags", 0) | Flag.PRODUCT
            self.add(phase, self.frame(Opcode.LOOKUP, payload, **values | {"flags": flags}))
            self.product(phase, PAIRS[0], PAIRS[1], 3)
        for opcode, payload in ((Opcode.MERGE, bytes(128) + pair()), (Opcode.PING, b"")):
            self.add(phase, self.frame(opcode, payload, flags=Flag.PRODUCT, bags=1, keys=2, dim=16))
        # A bag that names no first table before it is over, or ends, and the next of its slot.
        self.product(phase, PAIRS[2], PAIRS[3], 3)
        return phase

    def odd_pairs(self, name: str) -> Phase:
        """Pairs of a right table and one that cannot be multiplied, on either side."""
        phase = Phase(name)
        plain = {"valid": 1, "dim": 16, "rows": 50, "base": 1 << 16}
        odd = (
            {},
            {"order": 1, "tree_k_log2": 1},
            {"order": 2},
            {"pooling": 1},
            {"pooling": 3},
            {"remote": 1},
            {"memo": 1},
            {"valid": 0},
        )
        for number, values in enumerate(odd):
            phase.descriptors[number] = plain | values
            for pair in ((0, number), (number, 0), (number, number)):
                names = [side << KEY_TABLE_SHIFT | int(self.rng.integers(50)) for side in pair * 2]
                names[3] |= 1 << KEY_LAST_SHIFT
                payload = struct.pack("<4Q", *names)
                given = {"bags": 1, "keys": 4, "dim": 16, "flags": Flag.PRODUCT}
                self.add(phase, self.frame(Opcode.LOOKUP, payload, **given))
        return phase

    def near_tables(self, name: str) -> Phase:
        """Bags whose tables differ in one bit of their numbers: those beyond the descriptors are not there."""
        phase = Phase(name, tables=PAIRS, line_gbps=0.0, count=True)
        key = lambda number, row: number << KEY_TABLE_SHIFT | row  # noqa: E731
        for bit in range(15):
            for names in ((1 << bit, 0, 0), (0, 1 << bit, 0)):
                # Each entry of names is the table of one key; of a pair, that of its first key, or of its second one.
                single = [key(number, 1 + at) for at, number in enumerate(names)]
                firsts = [key(number, 3) for one in names for number in (one, 1)]
                seconds = [key(number, 4) for one in names for number in (0, one ^ 1)]
                for keys, flags in ((single, 0), (firsts, Flag.PRODUCT), (seconds, Flag.PRODUCT)):
                    payload = struct.pack(
                        f"<{len(keys)}Q", *keys[:-1], keys[-1] | 1 << KEY_LAST_SHIFT
                    )
                    given = {"bags": 1, "keys": len(keys), "dim": PAIRS[0].dim, "flags": int(flags)}
                    self.add(phase, self.frame(Opcode.LOOKUP, payload, **given))
        return phase

    def failing_pairs(self, name: str, **settings: Any) -> Phase:
        """Pairs of rows that memory cannot read on one side or both, among others."""
        first, second = PAIRS[0], PAIRS[1]
        start = self.base[first.name] + 4 * first.stride_bytes
        phase = Phase(
            name, tables=PAIRS, faults=(start, start + 6 * first.stride_bytes), **settings
        )
        for at in range(10):
            sides = (second, first) if at % 3 == 2 else (first, second)
            self.product(phase, *sides, longest=4)
        phase.expected.clear()
        return phase

    def some_product(self, phase: Phase, longest: int) -> None:
        """Add a LOOKUP of pairs of any two tables that go together."""
        first, second = MULTIPLIED[int(self.rng.integers(len(MULTIPLIED)))]
        self.product(phase, PAIRS[first], PAIRS[second], longest)

    def _phase(
        self,
        name: str,
        *,
        lookups: int,
        tables: Any,
        updates: int = 0,
        merges: int = 0,
        pings: int = 0,
        products: int = 0,
        longest: int = 6,
        holds: tuple[Hold, ...] = (),
        of: tuple[embnic.Table, ...] = TABLES,
        **settings: Any,
    ) -> Phase:
        """Return a phase of so many frames of each kind in random order, of `tables`, numbers of those of `of`."""
        phase = Phase(name, tables=of, **settings)
        chosen = [of[number] for number in tables]
        kinds = ["lookup"] * lookups + ["update"] * updates + ["merge"] * merges + ["ping"] * pings
        kinds += ["product"] * products
        for at in self.rng.permutation(len(kinds)).tolist():
            table = chosen[int(self.rng.integers(len(chosen)))]
            if kinds[at] == "lookup":
                self.lookup(phase, table, longest)
            elif kinds[at] == "update":
                self.update(phase, table, holds)
            elif kinds[at] == "merge":
                self.merged(phase, table, longest)
            elif kinds[at] == "product":
                self.some_product(phase, longest)
            else:
                self.add(phase, self.frame(Opcode.PING))
        if phase.reset_after:
            # What was lost is not known here: the tables are written again, nothing is expected. Clients stay known.
            phase.expected.clear()
            self.rows = {name: rows.copy() for name, rows in self.initial.items()}
        return phase

    def _sides(self, first: embnic.Table, second: embnic.Table, pairs: int) -> NDArray[np.int64]:
        """Return the rows of so many pairs, int64 [2, pairs]: null keys and padding rows on either side."""
        sides = []
        for table in (first, second):
            ids = self.rng.integers(0, table.rows, pairs)
            ids[self.rng.random(pairs) < 0.3] %= 4
            ids[self.rng.random(pairs) < 0.08] = NULL_ROW
            sides.append(ids)
        return np.stack(sides)

    def _pairs(
        self,
        first: embnic.Table,
        second: embnic.Table,
        ids: NDArray[np.int64],
        w: NDArray[np.float32] | None,
    ) -> bytes:
        """Return the entries of a bag; one without pairs has a pair of null keys."""
        if not ids.shape[1]:
            ids, w = np.full((2, 1), NULL_ROW), None if w is None else self.values(1)
        payload, numbers = b"", (number_of(first), number_of(second))
        for at, rows in enumerate(ids.T.tolist()):
            for side, row in enumerate(rows):
                last = int(side == 1 and at == ids.shape[1] - 1)
                word = last << KEY_LAST_SHIFT | numbers[side] << KEY_TABLE_SHIFT | row
                payload += struct.pack("<Q", word)
                if w is not None:  # that of the first entry means nothing
                    payload += struct.pack("<f4x", w[at] if side else self.values(1)[0])
        return payload

    def _pooled(
        self,
        first: embnic.Table,
        second: embnic.Table,
        ids: NDArray[np.int64],
        w: NDArray[np.float32] | None,
        init: Partial | None,
    ) -> Partial:
        """Return what the reference has for a bag of pairs: products are the rows of an fp32 sum."""
        there, factors = np.ones(ids.shape[1], np.bool_), []
        for table, side in zip((first, second), ids, strict=True):
            there &= side != NULL_ROW
            if table.padding_idx is not None:
                there &= side != table.padding_idx
            factors.append(widen(unpooled(table, self.rows[table.name], side), table.dtype))
        with np.errstate(all="ignore"):
            products = factors[0] * factors[1]
        keys = np.where(there, np.arange(ids.shape[1]), NULL_ROW)
        return accumulate(_sums(first), products, keys, w, init)


def _sums(table: embnic.Table) -> embnic.Table:
    """Return the table that sums of products are answered as."""
    return embnic.Table("sums", rows=1, dim=table.dim, pooling="sum")
