# SPDX-License-Identifier: Apache-2.0
"""Traffic at the limits, for embnic_sim.mutate_workload: what is far, near, long, full or often."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

import embnic
from embnic.backends.reference import accumulate
from embnic.gen.wire import (
    KEY_LAST_SHIFT,
    KEY_TABLE_SHIFT,
    NULL_ROW,
    Hold,
    Opcode,
    Pooling,
)
from embnic_sim.mutate_frames import Phase, number_of, sealed
from embnic_sim.mutate_refusals import Refusals
from embnic_sim.mutate_tables import CONFIG, ORDERS, TABLES

__all__ = ["Limits"]

LONGEST_FRAME = 16_384  # bytes
SEG_BITS = 8  # of the number of a line within its row
SET_BITS = (CONFIG.sets - 1).bit_length()


class Limits(Refusals):
    """Phases of extremes."""

    def long_frames(self, name: str) -> Phase:
        """Bags of hundreds of keys in one frame, most of them null; an update of many rows."""
        phase = Phase(name, window=1)
        for number, weighted, count in ((0, False, 520), (0, True, 300), (6, False, 900)):
            table = TABLES[number]
            ids = np.where(
                self.rng.random(count) < 0.06, self.rng.integers(0, table.rows, count), NULL_ROW
            )
            w = self.values(count) if weighted else None
            self.bag(phase, table, ids, w)
        table = TABLES[0]
        self.update_rows(phase, table, self.rng.integers(0, table.rows, 50))
        for _ in range(4):
            self.lookup(phase, table, 9)
        return phase

    def hot_lines(self, name: str) -> Phase:
        """The same few rows again and again, by bags side by side."""
        phase = Phase(name, line_gbps=0.0)
        for table, row in ((TABLES[0], 5), (TABLES[4], 2), (TABLES[0], 5), (TABLES[5], 1)):
            for _ in range(3):
                ids = np.full(int(self.rng.integers(17, 40)), row)
                ids[self.rng.random(len(ids)) < 0.1] = row + 1
                self.bag(phase, table, ids, None)
        return phase

    def filtered(self, name: str) -> Phase:
        """Rows of which some come often, through the filter: so many that its counts are halved several times."""
        phase = Phase(name, admission=1, flush=True, count=True)
        for at in range(12):
            table = TABLES[0] if at % 3 else TABLES[5]
            ids = self.rng.integers(0, table.rows, 55 if at % 3 else 20)
            often = self.rng.random(len(ids)) < 0.5
            ids[often] = (ids[often] + at) % 5
            self.bag(phase, table, ids, None)
        return phase

    def far_rows(self, name: str, *, remote: bool = False) -> Phase:
        """Rows of all magnitudes: memory, or the owner, has none of them, but is asked for the right ones."""
        phase = Phase(name, window=8)
        formats = ((0, 16, 0), (0, 128, 0), (3, 33, 0), (7, 20, 0), (5, 70, 0), (1, 100, 2))
        for number, (dtype, dim, pooling) in enumerate(formats):
            rows = int(self.rng.integers(1 << 47, 1 << 48)) if number % 2 else (1 << 40) + 977
            padding = int(self.rng.integers(rows))
            phase.descriptors[number] = {
                "valid": 1,
                "dtype": dtype,
                "pooling": pooling,
                "has_padding": 1,
                "dim": dim,
                "base": int(self.rng.integers(1 << 30)) << 6,
                "rows": rows,
                "padding_row": padding,
            }
            if remote:
                owner, generation = self.rng.integers(0, 256, 2).tolist()
                phase.descriptors[number] |= {
                    "remote": 1,
                    "owner": owner,
                    "generation": generation,
                }
            keys = [padding, rows - 1, rows, rows + 1]
            keys += [padding ^ 1 << bit for bit in range(0, 48, 3)]
            keys += [int(self.rng.integers(1 << bit)) for bit in range(4, 49, 2)]
            for key in keys[:: 1 + remote]:
                payload = struct.pack(
                    "<Q", 1 << KEY_LAST_SHIFT | number << KEY_TABLE_SHIFT | key % NULL_ROW
                )
                values = {"bags": 1, "keys": 1, "dim": dim, "dtype": dtype}
                self.add(phase, self.frame(Opcode.LOOKUP, payload, **values))
        if remote:
            return phase
        table = TABLES[0]  # the first of these tables, as far as an UPDATE can tell
        for bit in range(6, 40, 2):
            ids = np.array([1 << bit | int(self.rng.integers(1 << bit))])
            rows = self.stored(table, 1)
            self.add(phase, self.stamped(Opcode.UPDATE, table, ids, self.stamp(), rows))
        for bit in (
            *range(8, 27, 3),
            28,
            29,
            30,
        ):  # as far as there is memory: written and read again
            ids = np.array([1 << bit | int(self.rng.integers(1 << bit - 1))])
            rows, stamp = self.stored(table, 1), self.stamp()
            made = self.stamped(Opcode.FILL, table, ids, stamp, rows, first_bag=Hold.LOCK)
            self.add(phase, made)
        return phase

    def near_rows(self, name: str) -> Phase:
        """Rows of many lines that differ from one row in one bit, or in their table: no line is taken for another's."""
        phase = Phase(name, line_gbps=0.0, count=True)
        dim = 16 * CONFIG.max_vec64
        row = int(self.rng.integers(1 << 47))
        for number in (0, 1, 2, 4):
            base = number << 20
            phase.descriptors[number] = {"valid": 1, "dim": dim, "rows": NULL_ROW, "base": base}
        others = [(0, row ^ 1 << bit) for bit in range(48)] + [(1, row), (2, row), (4, row)]
        for number, other in others:
            names = [row, number << KEY_TABLE_SHIFT | other]
            payload = struct.pack("<2Q", *(1 << KEY_LAST_SHIFT | key for key in names))
            self.add(phase, self.frame(Opcode.LOOKUP, payload, bags=2, keys=2, dim=dim))
        return phase

    def near_lines(self, name: str) -> Phase:
        """Rows whose lines, one to three apart, fall into one set and differ in one bit of their tags."""
        phase = Phase(name, line_gbps=0.0)
        for lines in range(2, 8):
            values = {"dim": 16 * lines, "rows": NULL_ROW, "base": lines << 20}
            phase.descriptors[lines] = {"valid": 1} | values
        # A bit of the row is folded to one of the set. The bit of the line's number that is folded to the same one
        # makes up for it: 1, 2 or 4.
        sizes = {1: (2, 3), 2: (3, 4, 5), 4: (5, 6, 7)}
        for bit in range(48):
            for lines in sizes[1 << (SEG_BITS + bit) % SET_BITS]:
                row = int(self.rng.integers(NULL_ROW - 1))
                names = [lines << KEY_TABLE_SHIFT | one for one in (row, row ^ 1 << bit)]
                names[1] |= 1 << KEY_LAST_SHIFT
                values = {"bags": 1, "keys": 2, "dim": 16 * lines}
                self.add(phase, self.frame(Opcode.LOOKUP, struct.pack("<2Q", *names), **values))
        return phase

    def rounded_means(self, name: str) -> Phase:
        """Means of bf16 rows, whose sums are rounded in both ways before they are divided."""
        phase = Phase(name)
        table = ORDERS[5]
        of = {"valid": 1, "dtype": int(table.dtype), "pooling": int(Pooling.MEAN), "dim": table.dim}
        for number in (0, 1):
            place = {"rows": table.rows, "base": self.base[table.name], "mul_then_add": number}
            phase.descriptors[number] = of | place
        for at in range(12):
            ids = self.rng.integers(0, table.rows, int(self.rng.integers(2, 9)))
            names = (at % 2 << KEY_TABLE_SHIFT | ids).astype("<u8")
            names[-1] |= np.uint64(1 << KEY_LAST_SHIFT)
            values = {"bags": 1, "keys": len(ids), "dim": table.dim, "dtype": int(table.dtype)}
            self.add(phase, self.frame(Opcode.LOOKUP, names.tobytes(), **values))
        return phase

    def updates_of_nothing(self, name: str) -> Phase:
        """Frames that write or ask for no row, of the right size for that."""
        phase = Phase(name)
        table, none = TABLES[0], np.zeros(0, np.int64)
        rows = self.stored(table, 0)
        for opcode, data in ((Opcode.UPDATE, rows), (Opcode.FILL, rows), (Opcode.INVALIDATE, None)):
            self.add(phase, self.stamped(opcode, table, none, self.stamp(), data))
        self.add(phase, self.frame(Opcode.PREFETCH, keys=0, dim=table.dim))
        self.lookup(phase, table, 3)
        phase.expected.clear()
        return phase

    def carried_sums(self, name: str) -> Phase:
        """Frames whose answers have IP headers with sums about which the ones' complement carries twice."""
        phase = Phase(name)
        for low in range(0xFFF0, 0x1_0000):
            frame = bytearray(self.frame(Opcode.PING))
            frame[24:26] = frame[32:34] = b"\0\0"
            rest = low - sum(struct.unpack(">10H", frame[14:34]))
            frame[32:34] = struct.pack(">H", rest & 0xFFFF)
            self.add(phase, sealed(bytes(frame)))
        return phase

    def filtered_near(self, name: str) -> Phase:
        """Rows of all magnitudes through the filter, each beside one that differs in a bit and comes more often."""
        phase = Phase(name, admission=1, flush=True, line_gbps=0.0, count=True)
        for number in (0, 1):
            place = (number + 1) << 20
            phase.descriptors[number] = {"valid": 1, "dim": 16, "rows": NULL_ROW, "base": place}
        rows = self.rng.integers(1 << 47, size=4)
        for bit in (*range(48), *range(0, 48, 5)):
            often, seldom = rows[bit % 4], rows[bit % 4] ^ 1 << bit
            ids = self.rng.permutation([often] * 4 + [seldom] + rows.tolist())
            names = (bit % 2 << KEY_TABLE_SHIFT | ids).astype("<u8")
            names[-1] |= np.uint64(1 << KEY_LAST_SHIFT)
            values = {"bags": 1, "keys": len(names), "dim": 16}
            self.add(phase, self.frame(Opcode.LOOKUP, names.tobytes(), **values))
        return phase

    def full_key_store(self, name: str) -> Phase:
        """Keys up to the last beat of the key store, while memory takes nothing; then a beat more, and less."""
        window = 12
        phase = Phase(
            name,
            line_gbps=0.0,
            window=window,
            window_bytes=1 << 20,
            deaf=1_500,
            deaf_from=(0,) * 3,
            count=True,
        )
        table = TABLES[6]

        def beats(count: int) -> None:
            rows = np.full(2 * count, NULL_ROW)
            rows[:9] = self.rng.integers(0, table.rows, min(len(rows), 9))
            names = (number_of(table) << KEY_TABLE_SHIFT | rows).astype("<u8")
            names[-1] |= np.uint64(1 << KEY_LAST_SHIFT)
            values = {"bags": 1, "keys": 2 * count, "dim": table.dim, "dtype": int(table.dtype)}
            self.add(phase, self.frame(Opcode.LOOKUP, names.tobytes(), **values))

        for _ in phase.deaf_from:
            cuts = np.sort(self.rng.integers(90, 110, 4))
            left = CONFIG.ks_beats - int(cuts.sum())
            for count in cuts.tolist():
                beats(count)
            for more in (3, 1, 0):  # the last of these fits, and none behind it
                beats(left + more)
            for count in (1, 2, 4, 1, 3):
                beats(count)
        return phase

    def long_ends(self, name: str) -> Phase:
        """Frames with more and more bytes behind what their headers tell, up to the longest frame and beyond."""
        phase = Phase(name, line_gbps=0.0, count=True)
        for size in (2_100, 4_200, 8_300, 12_345, 16_384, 16_385, 66_000, 131_100):
            self.lookup(phase, TABLES[0], 6)
            phase.frames[-1] = phase.frames[-1].ljust(size, b"\x5a")
            if size > LONGEST_FRAME:
                phase.expected.pop()
            self.lookup(phase, TABLES[5], 3)
        return phase

    def saturated(self, name: str) -> Phase:
        """Sums that leave the range in one element, each in turn, upwards and downwards."""
        table = ORDERS[3]
        phase = Phase(name, tables=ORDERS, count=True)
        for at in range(table.dim):
            rows = self.rng.integers(-99, 99, (2, table.dim)).astype(np.int32)
            rows[0, at], rows[1, at] = 2**31 - 9, -(2**31) + 9
            ids = np.array([2 * at % table.rows, (2 * at + 1) % table.rows])
            self.add(phase, self.stamped(Opcode.UPDATE, table, ids, self.stamp(), rows))
            self.rows[table.name][ids] = rows
            for row in ids.tolist():
                self.bag(phase, table, np.full(5, row), None)
        return phase

    def full_reply_buffer(self, name: str) -> Phase:
        """Replies that fill the reply buffer to the last beat, and others that do not fit by the least there is."""
        phase = Phase(name, tx_stall=0.6, line_gbps=0.0, window_bytes=1 << 20, count=True)
        table, most = TABLES[0], CONFIG.reply_vec64
        for sizes in ((most, most - 1, 1), (most, most - 1, 2), (most, 7, 9, most - 16)):
            for bags in (*sizes, 3, most - 3, 5, 2):
                self._short_bags(phase, table, np.full(bags, NULL_ROW))
        return phase

    def many_vectors(self, name: str, units: int) -> Phase:
        """Replies of as many vectors as there is room for, in frames that hold them all, or all but a few."""
        phase = Phase(name, reply_units=units, line_gbps=0.0)
        for bags in (CONFIG.reply_vec64, 33, 47, 17, 59, 61):
            self._short_bags(phase, TABLES[0], self.rng.integers(0, TABLES[0].rows, bags))
        return phase

    def _short_bags(self, phase: Phase, table: embnic.Table, ids: NDArray[np.int64]) -> None:
        """Add a LOOKUP of bags of a key each, null ones among them."""
        names = (number_of(table) << KEY_TABLE_SHIFT | ids).astype("<u8")
        names |= np.uint64(1 << KEY_LAST_SHIFT)
        wanted = [
            accumulate(table, self.rows[table.name], ids[at : at + 1], None)
            for at in range(len(ids))
        ]
        values = {"bags": len(ids), "keys": len(ids), "flags": 0}
        self._ask(phase, Opcode.LOOKUP, table, names.tobytes(), wanted, values)

    def silent_writes(self, name: str) -> Phase:
        """Updates of rows whose writes are answered at the end only, and updates behind them."""
        table = ORDERS[5]
        first = self.base[table.name] + 4 * table.stride_bytes
        phase = Phase(
            name, tables=ORDERS, mutes=(first, first + table.stride_bytes), timeout=1, count=True
        )
        for ids in ([1, 2], [3, 4], [5], [4]):
            self.update_rows(phase, table, np.array(ids))
            self.lookup(phase, table, 3)
        phase.expected.clear()
        return phase

    def interrupted_writes(self, name: str) -> Phase:
        """Updates in the middle of which memory takes nothing any more."""
        table = ORDERS[5]
        phase = Phase(name, tables=ORDERS, deaf=3_300, deaf_from=(90, 97), timeout=1, window=1)
        for row in (6, 7, 8):
            self.update_rows(phase, table, np.array([row, row + 1]))
        return phase
