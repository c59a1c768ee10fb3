# SPDX-License-Identifier: Apache-2.0
"""Numbers beside those that count, for embnic_sim.mutate_workload: sizes, rows and sequences that differ in a bit."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

import embnic
from embnic.gen.wire import (
    BLOCK_BYTES,
    KEY_BYTES,
    KEY_LAST_SHIFT,
    KEY_TABLE_SHIFT,
    NULL_ROW,
    SEQUENCE_BYTES,
    SEQUENCE_WINDOW,
    UNIT_BYTES,
    WEIGHTED_BYTES,
    Flag,
    Opcode,
)
from embnic.rows import pack
from embnic_sim.mutate_corners import Corners
from embnic_sim.mutate_frames import Phase, sealed
from embnic_sim.mutate_tables import CONFIG, ORDERS, TABLES

__all__ = ["Edges"]

LONGEST_PAYLOAD = 1_024  # bytes, of frames whose headers ask for another size
COUNTS = 1 << 16  # keys, or bags, that a header cannot name
ADDRESS_BITS = 48
KEY_STORE = 5  # of the memories that INJECT names: the copy that requests are read from


class Edges(Corners):
    """Phases of numbers that differ little, or in one bit, from those that decide."""

    def edge_phases(self) -> Iterator[Phase]:
        """Yield them."""
        yield self.whole_window("a whole window of sequences")
        yield self.other_sizes("sizes that differ in a bit")
        yield self.last_rows("rows about the last of a table")
        yield self.far_writes("writes far away")
        yield self.updates_elsewhere("updates of tables that are not there")
        yield self.failing_holds("rows held that memory cannot read")
        yield self.silent_memory("silent memory")
        yield self.full_of_rows("a reply buffer full of rows")
        yield self.long_gaps("long ends with gaps", 1, (4_300, 9_000, 16_384))
        yield self.wrong_fronts("wrong bits before keys")
        yield self.owed_addresses("addresses owed")
        yield self.many_keys("updates of many keys")
        yield self.checksums("checksums off by a bit")
        yield self.long_gaps("ends of tens of thousands", 0, (40_000, 57_500, 65_520, 65_537))
        yield self.wrong_heads("wrong bits of updates")
        yield self.endless("bags without an end")
        yield self.two_faults("frames with two faults")
        yield self.far_port("a port of other bits")
        yield self.far_prefetches("prefetches from owners of all numbers")
        yield self.power_on("after power-on")
        yield self.last_endless("bags of which the last has no end")

    def whole_window(self, name: str) -> Phase:
        """The sequences of a client's window in any order, some again, the first at last; then ever farther ones."""
        phase = Phase(name, count=True, line_gbps=0.0)
        table = TABLES[0]
        client, high, seen = self.remembered

        def send(sequence: int) -> None:
            ids = self.rng.integers(0, table.rows, 1)
            self.add(phase, self.stamped(Opcode.INVALIDATE, table, ids, (client, sequence)))

        for sequence in range(high + 1, max(seen) + 1):
            send(sequence)
        high = max(seen)
        order = self.rng.permutation(np.arange(2, SEQUENCE_WINDOW + 1)).tolist()
        for at, ahead in enumerate(order):
            send(high + ahead)
            if at % 3 == 0:
                send(high + order[int(self.rng.integers(at + 1))])
        for ahead in (SEQUENCE_WINDOW + 1, SEQUENCE_WINDOW + 2, 1, 1, 2, SEQUENCE_WINDOW):
            send(high + ahead)
        high += SEQUENCE_WINDOW
        for bit in range(7, 64):
            send(high + (1 << bit))
        for back in (0, 1, 2, 3, 64, 65, high):
            send(high - back)
        self.remembered = client, high, set()
        return phase

    def _remembered_stamp(self) -> tuple[int, int]:
        """Return the client whose sequences `whole_window` made contiguous, and its next one."""
        client, high, _ = self.remembered
        self.remembered = client, high + 1, set()
        return client, high + 1

    def other_sizes(self, name: str) -> Phase:
        """Frames whose payload is a power of two too short, or too long, for what their header tells."""
        phase = Phase(name, rx_gap=1)
        stamp = (self.remembered[0], 1 << 40)
        # Opcode, flags, bytes of an entry, elements; of rows and of vectors in front of the entries the units follow.
        kinds = [
            (Opcode.LOOKUP, Flag(0), 16),
            (Opcode.LOOKUP, Flag.WEIGHTED, 16),
            (Opcode.LOOKUP, Flag.ACCUMULATOR, 49),
            (Opcode.LOOKUP, Flag.ACCUMULATOR | Flag.WEIGHTED, 128),
            (Opcode.MERGE, Flag(0), 20),
            (Opcode.MERGE, Flag.ACCUMULATOR, 20),
            (Opcode.UPDATE, Flag(0), 16),
            (Opcode.UPDATE, Flag(0), 128),
            (Opcode.FILL, Flag(0), 49),
            (Opcode.INVALIDATE, Flag(0), 16),
            (Opcode.PREFETCH, Flag(0), 16),
        ]
        for opcode, flags, dim in kinds:
            for bit in range(3, 21):
                for sign in (1, -1):
                    found = self._asking(opcode, flags, dim, sign << bit)
                    if found is None:
                        continue
                    keys, bags, size = found
                    payload = struct.pack("<QQ", *stamp).ljust(size, b"\0")[:size]
                    values = {"keys": keys, "bags": bags, "dim": dim, "flags": int(flags)}
                    self.add(phase, self.frame(opcode, payload, **values))
        return phase

    def _asking(
        self, opcode: Opcode, flags: Flag, dim: int, more: int
    ) -> tuple[int, int, int] | None:
        """Return keys and bags of a header that asks for `more` bytes than a payload has, and the payload's size."""
        units = -(-dim // 16)
        loads = Opcode.UPDATE, Opcode.FILL
        for _ in range(400):
            if opcode in (Opcode.LOOKUP, Opcode.MERGE):
                each = WEIGHTED_BYTES if flags & Flag.WEIGHTED else KEY_BYTES
                bags = int(self.rng.integers(1, 4)) if opcode is Opcode.MERGE else 1
                vectors = bags * (opcode is Opcode.MERGE) + bool(flags & Flag.ACCUMULATOR)
                fixed = vectors * (BLOCK_BYTES + units * UNIT_BYTES)
            else:
                bags, each, fixed = 0, KEY_BYTES + units * UNIT_BYTES * (opcode in loads), 0
            size = int(self.rng.integers(LONGEST_PAYLOAD // 8)) * 8
            keys = max((size + more - fixed) // each, 0)
            asked = keys * each + fixed
            if opcode in (*loads, Opcode.INVALIDATE):
                names = -(-(SEQUENCE_BYTES + keys * KEY_BYTES) // UNIT_BYTES) * UNIT_BYTES
                asked = names + keys * (each - KEY_BYTES)
            size = asked - more
            if 0 < keys < COUNTS and 0 < size <= LONGEST_PAYLOAD:
                return keys, bags, size
        return None

    def last_rows(self, name: str) -> Phase:
        """Updates of the last row, and of the one behind it, of tables with numbers of rows of all magnitudes."""
        phase = Phase(name, line_gbps=0.0)
        table = TABLES[0]
        for number in range(CONFIG.tables):
            rows = int(self.rng.integers(1 << 47, NULL_ROW)) >> (0, 1, 0, 7, 0, 25, 0, 24)[number]
            phase.descriptors[number] = {
                "valid": 1,
                "dim": table.dim,
                "rows": rows,
                "base": number << 20,
            }
            half = rows >> 24 << 24
            for row in (rows - 1, rows, rows + 1, half, max(half - 1, 0), half | 0xFF_FFFF):
                name_of = np.array([number << KEY_TABLE_SHIFT | row])
                stamp = (self.remembered[0], self.remembered[1] + 1)
                if row < rows:
                    self._remembered_stamp()
                self.add(phase, self.stamped(Opcode.INVALIDATE, table, name_of, stamp))
            for bit in range(48):
                row = rows ^ 1 << bit
                payload = struct.pack("<Q", number << KEY_TABLE_SHIFT | row)
                if row >= rows:
                    given = {"keys": 1, "dim": table.dim}
                    self.add(phase, self.frame(Opcode.PREFETCH, payload, first_bag=0, **given))
        return phase

    def far_writes(self, name: str) -> Phase:
        """Rows of all sizes that are written anywhere in the address space: there is memory in a small part of it."""
        phase = Phase(name)
        known, high, _ = self.remembered
        after = high
        for number, dim in enumerate((16, 33, 49, 70, 85, 97, 100, 128)):
            table = embnic.Table("far", rows=1, dim=dim, pooling="sum")
            base = int(self.rng.integers(1 << 30)) << 6
            phase.descriptors[number] = {"valid": 1, "dim": dim, "rows": NULL_ROW, "base": base}
            for bits in (30, 33, 34, 35, 36, 36, *self.rng.integers(37, ADDRESS_BITS + 1, 2)):
                place = int(self.rng.integers(1 << bits - 1, 1 << bits))
                row = max(place - base, 0) // table.stride_bytes
                after += 1
                payload = struct.pack("<QQQ", known, after, number << KEY_TABLE_SHIFT | row)
                payload = (
                    payload.ljust(UNIT_BYTES, b"\0") + pack(table, self.stored(table, 1)).tobytes()
                )
                opcode = Opcode.FILL if after % 4 == 0 else Opcode.UPDATE
                self.add(phase, self.frame(opcode, payload, keys=1, dim=dim, first_bag=0))
        # Which of them were written is not known here: what was not is made up for.
        table, ids = TABLES[0], np.array([1])
        for sequence in range(high + 1, after + 1):
            made = self.stamped(Opcode.INVALIDATE, table, ids, (known, sequence))
            self.add(phase, made)
        self.remembered = known, after, set()
        return phase

    def updates_elsewhere(self, name: str) -> Phase:
        """Updates of a row that is there and one of a table that is not, whose number has one bit too many."""
        phase = Phase(name)
        table, client, after = TABLES[0], self.remembered[0], self.remembered[1] + 1
        here, rows = 5, self.stored(table, 2)
        for bit in range((CONFIG.tables - 1).bit_length(), 15):
            there = here | 1 << KEY_TABLE_SHIFT + bit
            for ids in ([here, there], [there, here]):
                names = np.array(ids)
                for opcode, data in ((Opcode.INVALIDATE, None), (Opcode.UPDATE, rows)):
                    self.add(phase, self.stamped(opcode, table, names, (client, after), data))
                given = {"keys": 2, "dim": table.dim, "first_bag": 0}
                self.add(phase, self.frame(Opcode.PREFETCH, names.astype("<u8").tobytes(), **given))
        return phase

    def failing_holds(self, name: str) -> Phase:
        """Rows that are asked for, pinned, written and released, of which memory has some only.

        What the table holds behind it is not known here.
        """
        table = ORDERS[5]
        first = self.base[table.name] + 4 * table.stride_bytes
        phase = Phase(
            name,
            tables=ORDERS,
            faults=(first, first + 8 * table.stride_bytes),
            flush=True,
            count=True,
        )
        for at in range(24):
            ids = (3 + at // 2 + np.arange(1 + at % 3)) % table.rows
            values = {"dim": table.dim, "dtype": int(table.dtype), "first_bag": at % 4}
            if at % 4 == 1:
                known, after = self._remembered_stamp()
                rows = self.stored(table, len(ids))
                made = self.stamped(Opcode.FILL, table, ids, (known, after), rows, **values)
                self.add(phase, made)
                # Again: as a whole, whatever of it was written before.
                self.add(phase, self.stamped(Opcode.INVALIDATE, table, ids, (known, after)))
            else:
                names = self._names(table, ids)
                self.add(phase, self.frame(Opcode.PREFETCH, names, keys=len(ids), **values))
        return phase

    def silent_memory(self, name: str) -> Phase:
        """More rows than there are reads that may wait, of a memory that answers at the end only."""
        phase = Phase(
            name, mutes=(0, 1 << ADDRESS_BITS), timeout=1, flush=True, count=True, line_gbps=0.0
        )
        table = TABLES[2]
        for row in range(4):
            self.bag(phase, table, np.array([row + 1, row + 5]), None)
        phase.expected.clear()
        return phase

    def full_of_rows(self, name: str) -> Phase:
        """Replies of rows that fill the reply buffer, and some that begin anywhere in it."""
        phase = Phase(name, tx_stall=0.6, line_gbps=0.0, window_bytes=1 << 20)
        table, most = TABLES[0], CONFIG.reply_vec64
        for sizes in ((most, most - 1, 1), (most - 3, 5, 2), (most, 7, 9, most - 16), (33, 31, 64)):
            for bags in (*sizes, 3, most - 3, 1):
                self._short_bags(phase, table, self.rng.integers(0, table.rows, bags))
        return phase

    def long_gaps(self, name: str, gap: int, sizes: Sequence[int]) -> Phase:
        """Frames with bytes behind what their headers tell, with gaps between their beats."""
        phase = Phase(name, rx_gap=gap, line_gbps=0.0, count=True)
        for size in sizes:
            self.add(phase, self.frame(Opcode.PING).ljust(size, b"\x5a"))
            self.lookup(phase, TABLES[5], 3)
        phase.expected.clear()
        return phase

    def wrong_fronts(self, name: str) -> Phase:
        """Wrong bits of the key store in the first count block before the keys, and right ones."""
        phase = Phase(name, tables=ORDERS, inject=(KEY_STORE, 0), window=1, count=True)
        for at in range(20):
            self.merged(phase, ORDERS[(4, 5, 6)[at % 3]], 2, owners=3)
        phase.expected.clear()
        return phase

    def owed_addresses(self, name: str) -> Phase:
        """Writes whose addresses memory does not take in time, and rows that are dropped while they are owed."""
        phase = Phase(name, timeout=1, deaf=4_200, deaf_from=(0,) * 3, window=5, count=True)
        table, client = TABLES[2], self.remembered[0]
        for number in (2, 3, 6):  # each with the bits of the table's own number
            base = int(self.rng.integers(1 << 28)) << 6
            of = {"valid": 1, "dim": table.dim, "rows": NULL_ROW, "base": base}
            phase.descriptors[number] = of
            row = int(self.rng.integers(1 << 24))
            after = self.remembered[1] + 1
            names = np.array([number << KEY_TABLE_SHIFT | row])
            rows = self.stored(table, 1)
            self.add(phase, self.stamped(Opcode.UPDATE, table, names, (client, after), rows))
            for _ in range(4):  # the first makes up for the row that is not written
                stamp = self._remembered_stamp()
                self.add(phase, self.stamped(Opcode.INVALIDATE, table, names, stamp))
        return phase

    def many_keys(self, name: str) -> Phase:
        """As many rows dropped by one frame as the key store holds; some of its keys say that they are the last."""
        phase = Phase(name, window=1, count=True)
        table = TABLES[0]
        for count in (7, 2 * CONFIG.ks_beats - 16):
            names = self.rng.integers(0, table.rows, count).astype(np.uint64)
            names |= (self.rng.integers(0, 2, count).astype(np.uint64)) << np.uint64(KEY_LAST_SHIFT)
            payload = struct.pack("<QQ", *self._remembered_stamp()) + names.astype("<u8").tobytes()
            payload += bytes(-len(payload) % UNIT_BYTES)
            self.add(phase, self.frame(Opcode.INVALIDATE, payload, keys=count, dim=table.dim))
        return phase

    def checksums(self, name: str) -> Phase:
        """IP checksums that differ in one bit from the right ones, of headers whose sums differ."""
        phase = Phase(name, line_gbps=0.0)
        for bit in range(16):
            for _ in range(2):
                frame = bytearray(self.frame(Opcode.PING))
                frame[24 + bit // 8] ^= 1 << bit % 8
                self.add(phase, bytes(frame))
        return phase

    def endless(self, name: str) -> Phase:
        """Bags of more and more keys none of which is the last, behind right ones for which they wait."""
        phase = Phase(name, line_gbps=0.0)
        table = TABLES[0]
        for count in range(1, 25):
            names = self.rng.integers(0, table.rows, count).astype("<u8").tobytes()
            given = {"bags": 1, "keys": count, "dim": table.dim}
            self.add(phase, self.frame(Opcode.LOOKUP, names, **given))
            if count % 3 == 0:
                self._short_bags(phase, table, self.rng.integers(0, table.rows, count))
        return phase

    def last_endless(self, name: str) -> Phase:
        """More and more bags of a key, the last of which does not say that it is one."""
        phase = Phase(name, line_gbps=0.0)
        table = TABLES[0]
        for count in range(2, 20):
            names = self.rng.integers(0, table.rows, count).astype("<u8")
            names[:-1] |= np.uint64(1 << KEY_LAST_SHIFT)
            given = {"bags": count, "keys": count, "dim": table.dim}
            self.add(phase, self.frame(Opcode.LOOKUP, names.tobytes(), **given))
        return phase

    def two_faults(self, name: str) -> Phase:
        """Frames to be dropped for two reasons, of which the first counts."""
        phase = Phase(name, count=True)
        # Where a fault is, and the byte there; those of the sums come behind the sums.
        port, length, version = (36, 0x35), (39, 0x23), (44, 2)
        opcode, tag, checksum, crc = (45, 0), (46, 2), (24, 0x5A), (67, 0xA5)
        faults = (None, port, length, checksum, version, opcode, tag, crc)
        for one, other in combinations(faults, 2):
            frame = bytearray(self.frame(Opcode.PING))
            both = [fault for fault in (one, other) if fault is not None]
            if tag in both:  # a tag takes four bytes more than the CRC
                frame[16:18], frame[38:40] = b"\x00\x3a", b"\x00\x26"
                frame += bytes(4)
            for place, byte in both:
                frame[place] = byte
            frame = bytearray(sealed(bytes(frame)))
            for place, byte in both:
                if (place, byte) in (checksum, crc):
                    frame[place] ^= byte
            self.add(phase, bytes(frame), bad=one is None)
        return phase

    def far_port(self, name: str) -> Phase:
        """Requests to a port each bit of which differs from that of the others, answered while the MAC is slow."""
        port = 0xFFFF ^ Phase("").udp_port
        phase = Phase(name, udp_port=port, tx_stall=0.7, line_gbps=0.0, reply_units=9)
        for bags in (1, 2, 40, 1, 3, 33, 5, 50, 1, 1, 2, 7):
            self._short_bags(phase, TABLES[0], self.rng.integers(0, TABLES[0].rows, bags))
            frame = phase.frames[-1]
            phase.frames[-1] = frame[:36] + struct.pack(">H", port) + frame[38:]
        return phase

    def far_prefetches(self, name: str) -> Phase:
        """Rows asked for of owners, and in generations, each bit of whose numbers is 0 and 1."""
        phase = Phase(name)
        for number in range(CONFIG.tables):
            owner, generation = (
                (0x0F, 0x33, 0x55, 0x00)[number // 2],
                (0x5A, 0x0F, 0x33, 0)[number // 2],
            )
            other = 0xFF * (number % 2)
            phase.descriptors[number] = {
                "valid": 1,
                "dim": 16,
                "rows": NULL_ROW,
                "remote": 1,
                "owner": owner ^ other,
                "generation": generation ^ other,
            }
            names = self.rng.integers(0, NULL_ROW, 3) | number << KEY_TABLE_SHIFT
            given = {"keys": 3, "dim": 16, "first_bag": 0}
            self.add(phase, self.frame(Opcode.PREFETCH, names.astype("<u8").tobytes(), **given))
        return phase

    def wrong_heads(self, name: str) -> Phase:
        """Wrong bits of the key store in updates: in the beat of the client, or in the first of the keys."""
        phase = Phase(name, inject=(KEY_STORE,), window=1, count=True)
        for at in range(16):
            table = TABLES[0]
            ids = self.rng.integers(0, table.rows, 1 + at % 5)
            if at % 2:
                made = self.stamped(Opcode.INVALIDATE, table, ids, self._remembered_stamp())
            else:
                given = {"keys": len(ids), "dim": table.dim, "first_bag": 0}
                made = self.frame(Opcode.PREFETCH, self._names(table, ids), **given)
            self.add(phase, made)
        return phase

    def power_on(self, name: str) -> Phase:
        """Updates of clients that begin anew, and rows of most tables, behind the reset of the whole card."""
        self._sequence.clear()
        self.remembered = self.remembered[0], 0, set()
        tables = (0, 1, 2, 3, 4, 6)
        phase = self._phase(name, lookups=12, updates=9, tables=tables, power_on=True, count=True)
        for _ in range(3):
            ids = self.rng.integers(0, TABLES[0].rows, 2)
            stamp = self._remembered_stamp()
            self.add(phase, self.stamped(Opcode.INVALIDATE, TABLES[0], ids, stamp))
        return phase
