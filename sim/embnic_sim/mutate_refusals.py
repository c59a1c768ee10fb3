# SPDX-License-Identifier: Apache-2.0
"""Traffic that is refused or dropped, for embnic_sim.mutate_workload: bad frames, requests, descriptors, sequences."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

import embnic
from embnic.gen.wire import (
    KEY_LAST_SHIFT,
    KEY_TABLE_SHIFT,
    DropReason,
    Flag,
    Hold,
    Opcode,
)
from embnic_sim.mutate_frames import Phase, Traffic, sealed
from embnic_sim.mutate_tables import CONFIG, ORDERS, TABLES

__all__ = ["Refusals"]

HEADERS = slice(12, 64)  # from the Ethernet type to the end of ours


class Refusals(Traffic):
    """Phases of what is refused or dropped, beside what is not."""

    # A client whose sequences are known here: the highest below which all are applied, and those above it that are.
    remembered: tuple[int, int, set[int]]

    def bad_frames(self, name: str) -> Phase:
        """Frames of every drop reason, each between two good ones, and frames with odd ends."""
        phase = Phase(name, line_gbps=0.0)
        good = lambda: self.lookup(phase, TABLES[0], 6)  # noqa: E731
        for reason in DropReason:
            for made, bad in self._dropped(reason):
                good()
                self.add(phase, made, bad)
        for extra in (1, 4, 15, 16, 30, 64, 100):  # bytes behind the UDP length do not count
            good()
            phase.frames[-1] += bytes(self.rng.integers(0, 256, extra, np.uint8))
        good()
        return phase

    def _dropped(self, reason: DropReason) -> Iterator[tuple[bytes, bool]]:
        def ping(**changes: tuple[int, bytes]) -> bytes:
            frame = bytearray(self.frame(Opcode.PING, bytes(16) if "body" in changes else b""))
            for at, data in changes.values():
                frame[at : at + len(data)] = data
            return bytes(frame)

        def checked(**changes: tuple[int, bytes]) -> bytes:
            return sealed(ping(**changes))

        if reason is DropReason.NOT_OURS:
            yield ping(port=(36, b"\x00\x35")), False
            yield ping(magic=(42, b"\x1d")), False
            yield ping(magic=(43, b"\xea")), False
            yield ping(ethertype=(12, b"\x86\xdd")), False
            yield ping(ethertype=(13, b"\x06")), False
            yield checked(version=(14, b"\x46")), False
            yield checked(fragment=(20, b"\x20\x00")), False
            yield checked(offset=(21, b"\x08")), False
            yield checked(protocol=(23, b"\x06")), False
            for size in (1, 14, 16, 33, 41, 48, 63):
                yield ping()[:size], False
        elif reason is DropReason.MAC_ERROR:
            yield ping(), True
            yield self.frame(Opcode.LOOKUP, bytes(200), keys=25, bags=1), True
        elif reason is DropReason.LENGTH:
            yield ping()[:66], False
            yield ping(udp=(38, b"\x00\x23")), False
            yield checked(ip=(16, b"\x00\x37")), False
            yield checked(ip=(16, b"\x00\x3a"), udp=(38, b"\x00\x26")) + bytes(8), False
            yield checked(ip=(16, b"\x00\x2e"), udp=(38, b"\x00\x1a")), False
            yield checked(ip=(16, b"\x45\x00"), udp=(38, b"\x44\xec")), False
            yield self.frame(Opcode.LOOKUP, bytes(320), keys=40, bags=1)[:200], False
            yield ping() + bytes(16_400), False
        elif reason is DropReason.IP_CHECKSUM:
            for at in (18, 24, 25, 26, 33):
                yield ping(bits=(at, b"\x5a")), False
        elif reason is DropReason.VERSION:
            yield ping(version=(44, b"\x02")), False
            yield ping(version=(44, b"\x00")), False
        elif reason is DropReason.HEADER:
            for opcode in (0, 3, 4, 7, 11, 15, 16, 17, 33, 0x82):
                yield self.frame(opcode), False
            yield self.frame(Opcode.PING, flags=0x80), False
            yield self.frame(Opcode.PING, flags=0xC0), False
        elif reason is DropReason.CRC:
            for at in (46, 49, 63, 64, 67):
                yield ping(bits=(at, b"\xa5")), False
            for size in (8, 16, 40, 56, 64, 104):
                frame = bytearray(
                    self.frame(Opcode.LOOKUP, bytes(size), keys=size // 8, bags=1, dim=16)
                )
                frame[64 + int(self.rng.integers(size))] ^= 1 << int(self.rng.integers(8))
                yield bytes(frame), False
        elif reason is DropReason.TAG:
            yield (
                checked(flags=(46, b"\x02"), ip=(16, b"\x00\x3a"), udp=(38, b"\x00\x26"))
                + bytes(4),
                False,
            )

    def header_bits(self, name: str) -> Phase:
        """Every bit of the headers flipped, the sums set right, so that each frame is wrong in one way at most."""
        phase = Phase(name, line_gbps=0.0, window=24)
        table = TABLES[0]
        for bit in range(8 * HEADERS.start, 8 * HEADERS.stop):
            payload = struct.pack("<Q", 1 << KEY_LAST_SHIFT | 7)
            frame = bytearray(self.frame(Opcode.LOOKUP, payload, bags=1, keys=1, dim=table.dim))
            frame[bit // 8] ^= 1 << bit % 8
            self.add(phase, sealed(frame))
        return phase

    def bad_requests(self, name: str) -> Phase:
        """Requests that are accepted and refused, each before a good one of the same table."""
        phase = Phase(name, rx_gap=1)
        table, wide = TABLES[0], TABLES[2]
        one = lambda row, number=0, last=1: struct.pack(  # noqa: E731
            "<Q", last << KEY_LAST_SHIFT | number << KEY_TABLE_SHIFT | row
        )
        sent = {"bags": 1, "keys": 1, "dim": table.dim}
        made = [
            self.frame(Opcode.LOOKUP, one(table.rows), **sent),
            self.frame(Opcode.LOOKUP, one(1 << 40), **sent),
            self.frame(Opcode.LOOKUP, one(1, number=7), **sent),
            self.frame(Opcode.LOOKUP, one(1, number=8), **sent),
            self.frame(Opcode.LOOKUP, one(1, number=0x7FFF), **sent),
            self.frame(Opcode.LOOKUP, one(1), **sent | {"dim": 17}),
            self.frame(Opcode.LOOKUP, one(1), **sent | {"dim": 0}),
            self.frame(Opcode.LOOKUP, one(1), **sent | {"dim": 16 * CONFIG.max_vec64 + 1}),
            self.frame(Opcode.LOOKUP, one(1), **sent | {"dim": 0xFFFF}),
            self.frame(Opcode.LOOKUP, one(1), **sent | {"dtype": 1}),
            self.frame(Opcode.LOOKUP, one(1), **sent | {"bags": 0}),
            self.frame(Opcode.LOOKUP, one(1), **sent | {"bags": 2}),
            self.frame(Opcode.LOOKUP, one(1), **sent | {"keys": 2}),
            self.frame(Opcode.LOOKUP, one(1) * 2, **sent),
            self.frame(Opcode.LOOKUP, one(1) * 3, bags=2, keys=3, dim=16),
            self.frame(Opcode.LOOKUP, one(1, last=0) * 3, bags=1, keys=3, dim=16),
            self.frame(Opcode.LOOKUP, one(1) + one(2, last=0), bags=1, keys=2, dim=16),
            self.frame(Opcode.LOOKUP, one(1, last=0) + one(1, number=6), bags=1, keys=2, dim=16),
            self.frame(Opcode.LOOKUP, one(1) + one(1, number=6), bags=2, keys=2, dim=16),
            self.frame(Opcode.LOOKUP, one(1, number=2) * 9, bags=9, keys=9, dim=wide.dim),
            self.frame(Opcode.LOOKUP, one(1) * 2, bags=2, keys=2, dim=16, flags=Flag.CONTINUES),
            self.frame(
                Opcode.LOOKUP, one(1) * 2, bags=2, keys=2, dim=16, flags=Flag.PARTIAL_WANTED
            ),
            self.frame(Opcode.LOOKUP, bytes(128) + one(1) * 2, bags=2, keys=2, dim=16, flags=4),
            self.frame(Opcode.LOOKUP, bytes(64) + one(1), **sent, flags=Flag.ACCUMULATOR),
            self.frame(Opcode.LOOKUP, one(1), **sent, flags=Flag.WEIGHTED),
            self.frame(Opcode.LOOKUP, one(1) * 65, bags=65, keys=65, dim=16),
            self.frame(Opcode.PING, bytes(8)),
            self.frame(Opcode.ROWS, one(1), **sent),
            self.frame(Opcode.FILL, one(1), **sent),
            self.frame(Opcode.PREFETCH, one(1), **sent),
            self.frame(Opcode.PREFETCH, one(table.rows), **sent | {"bags": 0}),
            self.frame(Opcode.PREFETCH, one(1), **sent | {"bags": 0, "first_bag": 4}),
            self.frame(Opcode.PREFETCH, one(1), **sent | {"bags": 0, "flags": Flag.WEIGHTED}),
            self.frame(Opcode.MERGE, bytes(128) + one(1), **sent),
        ]
        two, rows = np.array([1, 2]), self.values(2, table.dim)
        update = lambda ids=two, **values: self.stamped(  # noqa: E731
            Opcode.UPDATE, table, ids, (0xC11E_0000_0000_0001, 1 << 20), rows, **values
        )
        made += [
            update(dtype=2),
            update(dim=0),
            update(dim=32),
            update(dim=16 * CONFIG.max_vec64 + 1),
            update(keys=0),
            update(keys=1),
            update(bags=1),
            update(flags=Flag.WEIGHTED),
            update(flags=Flag.ACCUMULATOR),
            update(flags=Flag.CONTINUES),
            update(flags=Flag.PARTIAL_WANTED),
            update(ids=np.array([1, table.rows])),
            self.stamped(
                Opcode.FILL, table, two, (5, 1), rows, dim=table.dim, first_bag=Hold.RELEASE
            ),
            update(ids=np.array([1, 9 << KEY_TABLE_SHIFT])),
            self.stamped(Opcode.INVALIDATE, TABLES[1], two, (5, 1), dim=19),
        ]
        for frame in made:
            self.add(phase, frame)
            if self.rng.random() < 0.5:
                self.lookup(phase, table, 5)
        return phase

    def bad_orders(self, name: str) -> Phase:
        """Requests that tables of other orders refuse, each before a good one of the table."""
        phase = Phase(name, tables=ORDERS)
        tree, parts, rows = ORDERS[0], ORDERS[4], ORDERS[7]
        key = lambda table, last=1: struct.pack(  # noqa: E731
            "<Q", last << KEY_LAST_SHIFT | ORDERS.index(table) << KEY_TABLE_SHIFT | 1
        )
        block, two = bytes(64 * (1 + parts.vec64)), key(parts, 0) + key(parts)
        of_tree = {"bags": 1, "keys": 1, "dim": tree.dim}
        of_parts = {"bags": 1, "keys": 1, "dim": parts.dim}
        of_rows = {"bags": 1, "keys": 2, "dim": rows.dim, "dtype": int(rows.dtype)}
        many = 2 * CONFIG.max_vec64 // parts.vec64 + 1
        made = [
            (tree, Opcode.LOOKUP, bytes(128) + key(tree), of_tree | {"flags": Flag.ACCUMULATOR}),
            (tree, Opcode.LOOKUP, key(tree), of_tree | {"flags": Flag.CONTINUES}),
            (tree, Opcode.MERGE, bytes(128) + key(tree), of_tree),
            (parts, Opcode.MERGE, key(parts), of_parts | {"bags": 0}),
            (parts, Opcode.MERGE, block, of_parts | {"keys": 0}),
            (parts, Opcode.MERGE, block + two[:8] * 2, of_parts | {"keys": 2}),
            (parts, Opcode.MERGE, block + two, of_parts),
            (parts, Opcode.MERGE, block * many + key(parts), of_parts | {"bags": many}),
            (rows, Opcode.LOOKUP, key(rows, 0) + key(rows), of_rows),
            (rows, Opcode.LOOKUP, bytes(256) + key(rows), of_rows | {"keys": 1, "flags": 4}),
        ]
        for table, opcode, payload, values in made:
            self.add(phase, self.frame(opcode, payload, **values))
            self.lookup(phase, table, 5)
        return phase

    def odd_descriptors(self, name: str) -> Phase:
        """Descriptors that no lookup can be served from, and one that it can; keys of tables that are not there."""
        phase = Phase(name)
        plain = {"valid": 1, "dim": 16, "rows": 50, "base": 1 << 16}
        odd = (
            {"order": 1, "tree_k_log2": 3, "dim": 64},
            {"order": 1, "tree_k_log2": 4},
            {"order": 3},
            {"dtype": 9},
            {"valid": 0, "order": 1, "tree_k_log2": 2},
            {"order": 1, "tree_k_log2": 1},
            {"order": 1, "tree_k_log2": 2, "dim": 33},
            {"dim": 16 * CONFIG.max_vec64 + 1},
        )
        for number, values in enumerate(odd):
            phase.descriptors[number] = plain | values
            dim, dtype = (plain | values)["dim"], values.get("dtype", 0)
            for first in (0, 47):
                names = [number << KEY_TABLE_SHIFT | first + at for at in range(3)]
                payload = struct.pack("<3Q", *names[:2], names[2] | 1 << KEY_LAST_SHIFT)
                given = {"bags": 1, "keys": 3, "dim": dim, "dtype": dtype}
                self.add(phase, self.frame(Opcode.LOOKUP, payload, **given))
        for bit in range(3, 15):
            name = 1 << KEY_TABLE_SHIFT + bit | 5 << KEY_TABLE_SHIFT
            payload = struct.pack("<3Q", name, name | 1, name | 2 | 1 << KEY_LAST_SHIFT)
            self.add(phase, self.frame(Opcode.LOOKUP, payload, bags=1, keys=3, dim=16))
        return phase

    def sequences(self, name: str) -> Phase:
        """Repeated, late, early and unknown sequences of more clients than the card remembers."""
        phase = Phase(name, rx_gap=2)
        table, other = TABLES[0], 0x3EE1_FFFF_FFFF_FFFE  # each bit differs from the first client's
        order = [1, 3, 3, 2, 2, 5, 9, 4, 70, 66, 6, 7, 8, 10, 74, 75, 64, 11, 140, 1]
        state: dict[int, tuple[int, set[int]]] = {}
        for client, sequence in [(other, s) for s in order] + [(77, 1), (other, 12), (77, 2)]:
            ids = self.rng.integers(0, table.rows, 2)
            rows = self.values(2, table.dim)
            stamp = (client, sequence)
            self.add(phase, self.stamped(Opcode.UPDATE, table, ids, stamp, rows))
            high, seen = state.get(client, (0, set()))
            known = len(self._sequence) + len(state) < CONFIG.clients or client in state
            if not known or sequence <= high or sequence in seen or sequence > high + 64:
                continue
            seen.add(sequence)
            while high + 1 in seen:
                high += 1
            state[client] = (high, seen)
            for row, data in zip(ids.tolist(), rows, strict=True):
                self.rows[table.name][row] = data
        self.far_sequences(phase, table, (other, state[other][0]))
        self.remembered = other, *state[other]
        for _ in range(4):
            self.lookup(phase, table, 9)
        return phase

    def far_sequences(self, phase: Phase, table: embnic.Table, stamp: tuple[int, int]) -> None:
        """Sequences whose distance from `stamp` is a power of two, below and above."""
        client, high = stamp
        ids = np.array([1])
        for bit in (*range(5, 17), *range(20, 64, 3)):
            far = (high + (1 << bit)) % (1 << 64)
            if far > high + 64:
                rows = self.stored(table, 1)
                self.add(phase, self.stamped(Opcode.UPDATE, table, ids, (client, far), rows))
        for bit in (0, 1, 3, 9, 17, 31, 33, 47, 63):  # other clients: the card remembers two
            other = (client ^ 1 << bit, 1)
            self.add(phase, self.stamped(Opcode.INVALIDATE, table, ids, other))
