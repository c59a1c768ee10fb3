# SPDX-License-Identifier: Apache-2.0
"""Traffic of seldom met combinations, for embnic_sim.mutate_workload: rows of many lines, trees of narrow floats, pairs
behind trees, great counts, tables that are not there beside those that are."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np

import embnic
from embnic.backends.reference import Partial, accumulate, merge
from embnic.gen.wire import (
    KEY_LAST_SHIFT,
    KEY_TABLE_SHIFT,
    NULL_ROW,
    DType,
    Flag,
    Hold,
    Opcode,
    Order,
    Pooling,
)
from embnic_sim.card_models import PeerModel
from embnic_sim.mutate_frames import Phase
from embnic_sim.mutate_remote import Remotes
from embnic_sim.mutate_tables import CONFIG, ORDERS, PAIRS, REMOTES, TABLES

__all__ = ["Corners"]

MEAN, MAX = int(Pooling.MEAN), int(Pooling.MAX)
TREE, SPLIT = int(Order.TREE), int(Order.SPLIT)


class Corners(Remotes):
    """Phases of combinations. Most have descriptors of their own: what they answer is compared between cards only."""

    def corner_phases(self) -> Iterator[Phase]:
        """Yield them."""
        yield self._long_rows("narrow rows of many lines")
        yield self._narrow_trees("trees of narrow floats")
        yield self._pairs_behind_trees("pairs behind trees")
        yield self._weighted("weights that do not count")
        yield self._great_counts("great counts")
        yield self._long_merges("partials that wait")
        yield self._beside_unknown("tables beside unknown ones")
        for bit in range((CONFIG.tables - 1).bit_length()):
            for value in (0, 1):
                yield self._some_tables(f"tables of bit {bit} at {value}", bit, value)
        yield self._staged("descriptors that are not committed")
        held = self._phase(
            "no way may be held",
            lookups=10,
            updates=14,
            tables=(0, 5, 1),
            holds=(Hold.PIN, Hold.LOCK),
            cached_ways=CONFIG.ways,
            count=True,
        )
        held.expected.clear()  # rows that phases before this one could not write
        yield held
        yield self._filtered_often("filtered for many periods")
        yield self._behind_remotes("prefetches behind rows of other cards")
        fetched = self._phase(
            "filtered beside prefetches",
            lookups=24,
            updates=24,
            tables=(0, 5),
            holds=(Hold.NONE,),
            admission=1,
            flush=True,
            longest=16,
            count=True,
        )
        fetched.expected.clear()  # rows that phases before this one could not write
        yield fetched

    def _ask_keys(
        self,
        phase: Phase,
        bags: Sequence[Sequence[tuple[int, int]]],
        flags: int = 0,
        **values: int,
    ) -> None:
        """Add a LOOKUP of bags of keys, (table, row) each, with weights where the flags say so."""
        payload, count = b"", 0
        for keys in bags:
            for at, (number, row) in enumerate(keys):
                last = int(at == len(keys) - 1)
                payload += struct.pack(
                    "<Q", last << KEY_LAST_SHIFT | number << KEY_TABLE_SHIFT | row
                )
                if flags & Flag.WEIGHTED:
                    payload += struct.pack("<f4x", self.values(1)[0])
            count += len(keys)
        given = {"bags": len(bags), "keys": count, "flags": int(flags)} | values
        self.add(phase, self.frame(Opcode.LOOKUP, payload, **given))

    def _keys(self, number: int, rows: int, count: int) -> list[tuple[int, int]]:
        """Return so many keys of a table of `rows` rows."""
        return [(number, row) for row in self.rng.integers(0, rows, count).tolist()]

    def _describe_all(
        self, phase: Phase, plain: dict[str, int], kinds: Sequence[dict[str, int]]
    ) -> None:
        """Give a phase descriptors, `plain` ones but for what `kinds` say."""
        for number, kind in enumerate(kinds):
            phase.descriptors[number] = plain | kind

    def _ask_each(self, phase: Phase, times: int, longest: int) -> None:
        """Add bags of every table of a phase in turn, some of them weighted."""
        for at in range(times):
            for number, values in phase.descriptors.items():
                weighted = not values.get("pooling") and at % 2 == 1
                keys = self._keys(number, values["rows"], int(self.rng.integers(1, longest + 1)))
                shape = {"dim": values["dim"], "dtype": values.get("dtype", 0)}
                self._ask_keys(phase, [keys], Flag.WEIGHTED * weighted, **shape)

    def _long_rows(self, name: str) -> Phase:
        """Rows of one and two bytes an element, and of half a byte, that are as long as rows may be."""
        phase = Phase(name, line_gbps=0.0, count=True)
        int8, int4 = {"dtype": int(DType.INT8)}, {"dtype": int(DType.INT4)}
        plain = {"valid": 1, "rows": 40, "base": self.base[REMOTES[7].name], "dim": 128}
        kinds = (
            int8,
            int8 | {"dim": 113},
            int4,
            int4 | {"dim": 97},
            int8 | {"pooling": MEAN, "dim": 112},
            int4 | {"pooling": MAX, "dim": 96},
            {"dtype": int(DType.FP16), "pooling": MEAN},
            {"dtype": int(DType.BF16), "dim": 98, "mul_then_add": 1},
        )
        self._describe_all(phase, plain, kinds)
        self._ask_each(phase, 4, 4)
        return phase

    def _narrow_trees(self, name: str) -> Phase:
        """Trees of all formats, whose means are rounded behind the last sum."""
        phase = Phase(name, line_gbps=0.0)
        brain, half, whole = PAIRS[5], PAIRS[4], PAIRS[0]

        def of(table: embnic.Table, log2: int, **values: int) -> dict[str, int]:
            shape = {"dim": table.dim, "dtype": int(table.dtype), "rows": table.rows}
            return shape | {"base": self.base[table.name], "tree_k_log2": log2} | values

        kinds = (
            of(brain, 2, pooling=MEAN),
            of(brain, 1, pooling=MEAN, mul_then_add=1),
            of(half, 2, pooling=MEAN),
            of(half, 1, mul_then_add=1),
            of(whole, 3, pooling=MEAN),
            of(brain, 2, pooling=MAX),
            of(PAIRS[2], 2, pooling=MEAN),
            of(ORDERS[3], 3, pooling=MEAN),
        )
        self._describe_all(phase, {"valid": 1, "order": TREE}, kinds)
        self._ask_each(phase, 4, 9)
        return phase

    def _pairs_behind_trees(self, name: str) -> Phase:
        """Bags of pairs in slots that had a tree before, and bags of partials there."""
        phase = Phase(name, line_gbps=0.0)
        first, second, other = PAIRS[0], PAIRS[1], TABLES[0]
        plain = {"valid": 1, "dim": 16, "rows": 20}
        kinds = (
            {"base": self.base[first.name]},
            {"base": self.base[second.name]},
            {"base": self.base[other.name], "order": TREE, "tree_k_log2": 1},
            {"base": self.base[other.name], "order": TREE, "tree_k_log2": 3},
            {"base": self.base[other.name], "order": SPLIT, "pooling": MEAN},
        )
        self._describe_all(phase, plain, kinds)
        for at in range(6):
            for number in (2, 3, 3, 2, 3):
                self._ask_keys(phase, [self._keys(number, 20, 3 + at)], dim=16)
            for pairs in (1, 2, 1, 3, 1):
                keys = [*self._keys(0, 20, pairs), *self._keys(1, 20, pairs)]
                keys[::2], keys[1::2] = keys[:pairs], keys[pairs:]
                flags = Flag.PRODUCT | Flag.WEIGHTED * (at % 2)
                self._ask_keys(phase, [keys], flags, dim=16)
            self._ask_keys(phase, [self._keys(4, 20, 2)], dim=16)
        return phase

    def _weighted(self, name: str) -> Phase:
        """Weighted bags of tables that are not summed, each before a good one."""
        phase = Phase(name, count=True)
        for number in (1, 2, 6, 1):
            table = TABLES[number]
            keys = self._keys(number, table.rows, 2)
            shape = {"dim": table.dim, "dtype": int(table.dtype)}
            self._ask_keys(phase, [keys], Flag.WEIGHTED, **shape)
            self._ask_keys(phase, [keys[:1]], Flag.WEIGHTED, **shape)
            self.lookup(phase, table, 4)
        return phase

    def _great_counts(self, name: str) -> Phase:
        """Accumulators and partials of as many keys as can be counted."""
        phase = Phase(name, tables=ORDERS)
        for bit in range(12, 32):
            count = 1 << bit | int(self.rng.integers(1 << bit - 1))
            for table in (ORDERS[4], ORDERS[6]):
                acc = self.values(table.dim)
                for opcode in (Opcode.LOOKUP, Opcode.MERGE):
                    self._counted(phase, table, opcode, [(acc, count)], bit % 2 == 0)
        return phase

    def _counted(
        self,
        phase: Phase,
        table: embnic.Table,
        opcode: Opcode,
        parts: Sequence[Partial],
        partial: bool,
        keys: int = 1,
        carried: bool = False,
    ) -> None:
        """Add a bag with partials, sums and counts, the first of which is `carried` or is that of a LOOKUP."""
        payload = b""
        for acc, count in parts:
            padded = np.zeros(table.vec64 * 16, np.float32)
            padded[: table.dim] = acc
            payload += struct.pack("<I60x", count) + padded.tobytes()
        carried = carried or opcode is Opcode.LOOKUP
        init, owners = (parts[0], parts[1:]) if carried else (None, parts)
        ids = self.rng.integers(0, table.rows, keys)
        entries, named = self._entries(table, ids, None)
        flags = Flag.ACCUMULATOR * carried | Flag.PARTIAL_WANTED * partial
        bags = len(owners) if opcode is Opcode.MERGE else 1
        values = {"bags": bags, "keys": named, "flags": int(flags)}
        local = accumulate(table, self.rows[table.name], ids, None, init)
        wanted = [merge(table, [local, *owners])] if owners else [local]
        self._ask(phase, opcode, table, payload + entries, wanted, values)

    def _long_merges(self, name: str) -> Phase:
        """Bags with partials that wait long for their rows, beside others that take the banks behind theirs.

        Then bags of each number of partials.
        """
        phase = Phase(name, tables=ORDERS, memory_stall=0.5, window=12, window_bytes=1 << 20)
        table = ORDERS[4]

        def part() -> Partial:
            return self.values(table.dim), 1

        for owners in (1, 2, 1, 3):
            parts = [part() for _ in range(owners + 1)]
            self._counted(phase, table, Opcode.MERGE, parts, False, keys=70, carried=True)
            for _ in range(11):
                self._counted(phase, table, Opcode.MERGE, [part()], False)
        table = ORDERS[6]
        for owners in range(1, 16):
            self._counted(phase, table, Opcode.MERGE, [part() for _ in range(owners)], False)
        return phase

    def _beside_unknown(self, name: str) -> Phase:
        """Bags of a table that is not there, before and behind those of one that is, of each pooling."""
        phase = Phase(name, line_gbps=0.0, count=True)
        plain = {"dim": 16, "rows": 30, "base": self.base[TABLES[0].name]}
        kinds = [{"pooling": at % 3, "valid": int(at < 3)} for at in range(6)]
        self._describe_all(phase, plain, kinds)
        for there in range(3):
            for unknown in (3, 4, 5, 9, 16):
                one, other = self._keys(there, 30, 2), self._keys(unknown, 30, 1)
                for bags in ([other, one], [one, other], [other, one, one[:1]], [one + other]):
                    self._ask_keys(phase, bags, dim=16)
            for other_one in range(3):  # of one pooling and another
                keys = [self._keys(number, 30, 1) for number in (there, other_one, there)]
                self._ask_keys(phase, keys, dim=16)
                self._ask_keys(phase, [keys[0] * 2, keys[1] * 2], dim=16)
        return phase

    def _some_tables(self, name: str, bit: int, value: int) -> Phase:
        """Every table named, half of which are there, some of each half on another card."""
        phase = Phase(name)
        for number in range(CONFIG.tables):
            phase.descriptors[number] = {
                "valid": int(number >> bit & 1 == value),
                "remote": number.bit_count() & 1,
                "owner": 31 * number,
                "generation": 7 * number,
                "dim": 16,
                "rows": 30,
                "base": self.base[REMOTES[0].name],
            }
            self._ask_keys(phase, [self._keys(number, 30, 2)], dim=16)
        return phase

    def _staged(self, name: str) -> Phase:
        """Descriptors of tables beyond the last, and one that is written but not committed."""
        phase = Phase(name)
        base = self.base[TABLES[0].name]
        for number in (2, 3):
            phase.descriptors[number] = {"valid": 1, "dim": 16, "rows": 30, "base": base}
        for bit in range(3, 32):
            other = {"valid": bit % 2, "dim": 16, "rows": 29, "base": base + 64 * bit}
            phase.descriptors[2 + bit % 2 | 1 << bit] = other
        phase.staged = 3, {"valid": 1, "dim": 16, "rows": 28, "base": base + 64}
        for _ in range(3):
            for number in (2, 3):
                self._ask_keys(phase, [[(number, 29)], self._keys(number, 30, 2)], dim=16)
        return phase

    def _filtered_often(self, name: str) -> Phase:
        """Rows through the filter for many of its periods, the same ones often right behind each other."""
        phase = Phase(name, admission=1, flush=True, line_gbps=0.0, count=True)
        plain = {"valid": 1, "dim": 16, "rows": NULL_ROW, "base": 1 << 20}
        self._describe_all(phase, plain, [{}, {"dim": 48, "base": 1 << 26}])
        # Of a row's bits those from 34 on lie beyond the 2**40 bytes of an address.
        rows = self.rng.integers(1 << 14, size=40) << 34 | self.rng.integers(1 << 18, size=40)
        chance = 1.0 / (1 + np.arange(len(rows)))
        for at in range(16):
            number = int(at % 4 == 3)
            chosen = self.rng.choice(np.roll(rows, 5 * at), 60, p=chance / chance.sum())
            chosen = np.repeat(chosen, self.rng.integers(1, 3, len(chosen)))
            half = len(chosen) // 2
            keys = [(number, row) for row in chosen.tolist()]
            bags = [keys[:half]] * 2 + [keys[half:]] * 2  # neighbours ask for the same rows
            self._ask_keys(phase, bags, dim=48 if number else 16)
        return phase

    def _behind_remotes(self, name: str) -> Phase:
        """Bags of rows of another card, more than there are slots for, and what waits for the last of them."""
        phase = Phase(name, tables=REMOTES, peer=PeerModel(60, 60), line_gbps=0.0, window=3)
        there, here = REMOTES[0], REMOTES[7]
        for bags in range(3, 15):
            keys = self._keys(0, there.rows, bags)
            self._ask_keys(phase, [[key] for key in keys], dim=there.dim)
            payload = self._names(here, self.rng.integers(0, here.rows, 1))
            self.add(phase, self.frame(Opcode.PREFETCH, payload, first_bag=0, keys=1, dim=here.dim))
            self.lookup(phase, here, 2)
        phase.expected.clear()
        return phase
