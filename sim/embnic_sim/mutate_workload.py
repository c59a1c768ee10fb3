# SPDX-License-Identifier: Apache-2.0
"""The traffic that mutants of the core are judged by: frames of every kind, faults, stalls, resets, in phases.

`Workload` draws the phases once from a seed; embnic_sim.mutate_play runs them on a card and compares the replies of the
unmutated card with the reference, so that what mutants are compared with is itself right.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

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
from embnic_sim.mutate_frames import CONFIG, ORDERS, TABLES, Phase, Traffic

__all__ = ["Workload"]


class Workload(Traffic):
    """The phases, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.phases = list(self._phases())

    def _phases(self) -> Iterator[Phase]:
        """Yield the phases: what many mutants show first, then what few do and what takes long."""
        everything = range(7)
        yield self._phase("pings and short lookups", lookups=6, pings=2, tables=(0, 4))
        yield self._phase("every table", lookups=20, tables=everything, line_gbps=0.0)
        yield self._bad_frames("frames to drop")
        yield self._phase(
            "updates", lookups=12, updates=12, tables=everything, memory_stall=0.2, count=True
        )
        yield self._bad_requests("requests to refuse")
        yield self._phase(
            "stalled replies, cut vectors",
            lookups=14,
            tables=(2, 3, 5, 1),
            tx_stall=0.6,
            reply_units=3,
        )
        yield self._sequences("sequences and clients")
        yield self._phase(
            "stalled memory", lookups=16, updates=6, tables=everything, memory_stall=0.7, rx_gap=3
        )
        yield self._phase("smallest replies", lookups=8, tables=(2, 5, 6), reply_units=0, rx_gap=40)
        yield self._phase(
            "many rows", lookups=20, tables=(6, 0, 5), line_gbps=0.0, longest=16, memory_stall=0.1
        )
        yield self._phase(
            "rows held",
            lookups=12,
            holds=(*Hold, Hold.PIN),
            updates=12,
            tables=(0, 1, 5),
            count=True,
        )
        yield self._phase(
            "whole sets held",
            lookups=12,
            holds=(Hold.PIN, Hold.LOCK),
            updates=16,
            tables=(0, 5, 6),
            cached_ways=0,
            memory_stall=0.3,
        )
        yield self._phase(
            "filtered", lookups=20, tables=(0, 5), admission=1, flush=True, count=True
        )
        yield from self._wrong()
        yield from self._ordered()
        yield from self._late()

    def _wrong(self) -> Iterator[Phase]:
        """Yield phases of memory errors, wrong bits, resets, a card that is not to answer, and floods."""
        everything = range(7)
        yield self._failing("memory in error", lookups=8, updates=4)
        yield self._phase("after the errors", lookups=8, tables=everything, flush=True)
        wrong = self._phase(
            "wrong bits",
            lookups=26,
            updates=6,
            tables=(0, 1, 5),
            inject=(1, 2, 3, 4, 5, 6, 7, 3, 5, 1, 6),
            window=3,
            count=True,
        )
        wrong.expected.clear()  # which rows were wrong, or not written, is compared between runs only
        yield wrong
        busy = self._phase(
            "quiesced", lookups=3, updates=2, pings=1, tables=(0,), quiesce=1, count=True
        )
        busy.expected.clear()
        yield busy
        yield self._phase(
            "reset in traffic",
            lookups=20,
            updates=3,
            tables=everything,
            reset_after=400,
            window=100,
            window_bytes=1 << 20,
            line_gbps=0.0,
        )
        yield self._phase("after the reset", lookups=12, updates=4, tables=everything, tx_stall=0.3)
        off = self._phase("disabled", lookups=3, pings=1, tables=(0,), enable=0)
        off.expected.clear()
        yield off
        other = self._phase("another port", lookups=2, pings=1, tables=(0,), udp_port=17_743)
        other.expected.clear()
        yield other
        flood = self._phase(
            "more than there is room for",
            lookups=40,
            tables=(2, 5),
            tx_stall=0.6,
            line_gbps=0.0,
            window=100,
            window_bytes=1 << 20,
        )
        flood.expected.clear()  # which are dropped is a matter of time
        yield flood

    def _ordered(self) -> Iterator[Phase]:
        """Yield phases of tables with other orders, and of partials."""
        yield self._phase("trees", lookups=14, tables=range(4), of=ORDERS, longest=20)
        yield self._phase(
            "partials", lookups=6, merges=14, tables=(4, 5, 6), of=ORDERS, memory_stall=0.2
        )
        yield self._bad_orders("orders to refuse")
        yield self._phase(
            "rows and stalled trees",
            lookups=12,
            updates=3,
            tables=(7, 2, 1, 3),
            of=ORDERS,
            tx_stall=0.4,
            line_gbps=0.0,
            count=True,
        )

    def _late(self) -> Iterator[Phase]:
        """Yield phases of memory that is silent."""
        table = ORDERS[0]
        first = self.base[table.name] + 4 * table.stride_bytes
        silent = self._phase(
            "silent rows",
            lookups=7,
            updates=1,
            tables=(0,),
            of=ORDERS,
            mutes=(first, first + 6 * table.stride_bytes),
            timeout=1,
            count=True,
        )
        silent.expected.clear()
        yield silent
        deaf = self._phase(
            "deaf memory", lookups=8, tables=(0, 4), of=ORDERS, timeout=1, deaf=4_000
        )
        deaf.expected.clear()
        yield deaf
        last = self._phase(
            "at the end", lookups=10, pings=1, tables=(1, 2, 7), of=ORDERS, count=True
        )
        yield last

    def _phase(
        self,
        name: str,
        *,
        lookups: int,
        tables: Any,
        updates: int = 0,
        merges: int = 0,
        pings: int = 0,
        longest: int = 6,
        holds: tuple[Hold, ...] = (),
        of: tuple[embnic.Table, ...] = TABLES,
        **settings: Any,
    ) -> Phase:
        phase = Phase(name, tables=of, **settings)
        chosen = [of[number] for number in tables]
        kinds = ["lookup"] * lookups + ["update"] * updates + ["merge"] * merges + ["ping"] * pings
        for at in self.rng.permutation(len(kinds)).tolist():
            table = chosen[int(self.rng.integers(len(chosen)))]
            if kinds[at] == "lookup":
                self.lookup(phase, table, longest)
            elif kinds[at] == "update":
                self.update(phase, table, holds)
            elif kinds[at] == "merge":
                self.merged(phase, table, longest)
            else:
                self.add(phase, self.frame(Opcode.PING))
        if phase.reset_after:
            # What was lost is not known here: the tables are written again, nothing is expected. Clients stay known.
            phase.expected.clear()
            self.rows = {name: rows.copy() for name, rows in self.initial.items()}
        return phase

    def _failing(self, name: str, *, lookups: int, updates: int) -> Phase:
        table = TABLES[5]
        first = self.base[table.name] + 4 * table.stride_bytes
        phase = self._phase(
            name, lookups=0, tables=(5,), faults=(first, first + 8 * table.stride_bytes)
        )
        before = {key: rows.copy() for key, rows in self.rows.items()}
        for _ in range(lookups):
            self.lookup(phase, table, 5)
        for _ in range(updates):  # none of these rows is written
            self.update_rows(phase, table, 4 + self.rng.integers(0, 8, 2))
        phase.expected.clear()
        self.rows = before  # rows that could not be written are compared between runs only
        self.update_rows(phase, table, np.arange(table.rows // 2, table.rows))
        return phase

    # ---- frames ---------------------------------------------------------------------------------

    def _sequences(self, name: str) -> Phase:
        """Repeated, late, early and unknown sequences of more clients than the card remembers."""
        phase = Phase(name, rx_gap=2)
        table, other = TABLES[0], 0xFFFF_0000_1234_5678
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
        for _ in range(8):
            self.lookup(phase, table, 9)
        return phase

    # ---- what is wrong --------------------------------------------------------------------------

    def _bad_frames(self, name: str) -> Phase:
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
            frame = bytearray(ping(**changes))
            frame[24:26] = b"\0\0"
            words = struct.unpack(">10H", frame[14:34])
            total = sum(words)
            total = (total & 0xFFFF) + (total >> 16)
            total = (total & 0xFFFF) + (total >> 16)
            frame[24:26] = struct.pack(">H", total ^ 0xFFFF)
            return bytes(frame)

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
            for opcode in (0, 3, 4, 7, 11, 14, 15, 16, 33, 0x82):
                yield self.frame(opcode), False
            yield self.frame(Opcode.PING, flags=0x40), False
            yield self.frame(Opcode.PING, flags=0x80), False
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

    def _bad_orders(self, name: str) -> Phase:
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

    def _bad_requests(self, name: str) -> Phase:
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
