# SPDX-License-Identifier: Apache-2.0
"""The traffic that mutants of the core are judged by: frames of every kind, faults, stalls, resets, in phases.

`Workload` draws the phases once from a seed. `play` runs one on a card and returns what was seen: every frame that came
out, the counters and the tables in card memory (`content`), and when (`timing`). The unmutated card's replies are
compared with the reference (`check`), so that what mutants are compared with is itself right.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import embnic
from embnic.backends.reference import Partial, accumulate, finish
from embnic.errors import DeviceTimeout, EmbnicError
from embnic.gen.configs import CONFIGS
from embnic.gen.wire import (
    DESCRIPTOR_FIELDS,
    DESCRIPTOR_WORDS,
    KEY_LAST_SHIFT,
    KEY_TABLE_SHIFT,
    NULL_ROW,
    DropReason,
    DType,
    Flag,
    Opcode,
    Status,
)
from embnic.registers import Registers
from embnic.rows import pack, to_storage
from embnic.wire import Endpoint, FrameBatch, Route, decode, encode, new_headers
from embnic_sim.card import SimCard

__all__ = ["Expected", "Phase", "Seen", "Workload", "check", "play"]

CONFIG = CONFIGS["tiny"]
MEMORY = 1 << 20
LIMIT_CYCLES = 30_000  # a phase whose replies have not come then is taken to hang
LINGER_CYCLES = 60  # for what should not have come
ROUTE = Route(
    Endpoint("02:00:00:00:00:01", "10.1.2.3", 40_001),
    Endpoint("02:00:00:00:00:02", "10.1.2.9", 17_742),
)
# What a counter says about time and not about work.
TIMING_COUNTERS = frozenset(
    ("cycles", "exec_empty", "exec_fetch", "exec_hazard", "stall_reply_space")
)
TABLES = (
    embnic.Table("sum", rows=60, dim=16, pooling="sum"),
    embnic.Table("mean", rows=40, dim=20, pooling="mean", padding_idx=3),
    embnic.Table("max", rows=12, dim=16 * CONFIG.max_vec64, pooling="max", padding_idx=0),
    embnic.Table("odd", rows=20, dim=33, dtype="int8", pooling="sum", padding_idx=1),
    embnic.Table("one", rows=5, dim=1, dtype="fixed", fixed_scale_exp=-8, pooling="max"),
    embnic.Table("wide", rows=30, dim=64, dtype="fp16", pooling="sum"),
    embnic.Table("many", rows=500, dim=16, dtype="int4", pooling="mean"),
)
STATUSES = {status.value: status for status in Status}


@dataclass(frozen=True)
class Expected:
    """What one request is answered with, by the reference; None: it is only compared between runs."""

    request_id: int
    vectors: NDArray[np.uint32]


@dataclass
class Phase:
    """Frames sent together under one setting of the card and of what surrounds it."""

    name: str
    frames: list[bytes] = field(default_factory=list)
    bad: list[bool] = field(default_factory=list)  # the MAC found the frame bad
    expected: list[Expected] = field(default_factory=list)
    tx_stall: float = 0.0
    memory_stall: float = 0.0
    rx_gap: int = 0
    line_gbps: float = 25.0
    reply_units: int = 22
    udp_port: int = 17_742
    enable: int = 1
    faults: tuple[int, int] = (0, 0)  # address range in which memory answers with an error
    reset_after: int = 0  # cycles after which a soft reset is asked for, with everything under way
    flush: bool = False
    window: int = 8  # frames under way together at most
    window_bytes: int = 6_000  # and their bytes, so that the key store has room
    replies: list[int] | None = (
        None  # frames to wait for, per window; None: until the core is at rest
    )

    def windows(self) -> list[slice]:
        """Cut the frames into what is under way together."""
        cuts, size = [0], 0
        for at, frame in enumerate(self.frames):
            size += len(frame)
            if at - cuts[-1] == self.window or (size > self.window_bytes and at > cuts[-1]):
                cuts.append(at)
                size = len(frame)
        return [slice(*edge) for edge in pairwise([*cuts, len(self.frames)])]


@dataclass(frozen=True)
class Seen:
    """What a phase showed. Two cards do the same when both halves are equal."""

    content: tuple[Any, ...]
    timing: tuple[Any, ...]
    frames: tuple[bytes, ...]
    counts: tuple[int, ...]  # of frames, per window


class Workload:
    """The phases, drawn from a seed, and the state that the reference needs to follow them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.base: dict[str, int] = {}
        self.initial: dict[str, NDArray[Any]] = {}  # stored rows
        place = 4096
        for number, table in enumerate(TABLES):
            # Rows that cross 4 KB, lines that do not begin at a row.
            place += 64 * (number + 1)
            self.base[table.name] = place
            place += table.nbytes
            self.initial[table.name] = self.stored(table, table.rows)
        self.rows = {name: rows.copy() for name, rows in self.initial.items()}
        self._next_id = 0x1000
        self._sequence: dict[int, int] = {}
        self.phases = list(self._phases())

    def values(self, *shape: int) -> NDArray[np.float32]:
        """Return values of all magnitudes."""
        normal = self.rng.standard_normal(shape, dtype=np.float32)
        return np.ldexp(normal, self.rng.integers(-30, 30, shape)).astype(np.float32)

    def stored(self, table: embnic.Table, count: int) -> NDArray[Any]:
        """Return `count` rows as `table` stores them, of magnitudes that it can hold."""
        if table.dtype is DType.FP32:
            return self.values(count, table.dim)
        rows = self.rng.standard_normal((count, table.dim), dtype=np.float32) * 64
        return to_storage(table, rows, rows=count)

    # ---- phases ---------------------------------------------------------------------------------

    def _phases(self) -> Iterator[Phase]:
        yield self._phase("pings and short lookups", lookups=6, pings=2, tables=(0, 4))
        yield self._phase("every table", lookups=24, tables=range(7), line_gbps=0.0)
        yield self._phase("updates", lookups=12, updates=12, tables=range(7), memory_stall=0.2)
        yield self._bad_frames("frames to drop")
        yield self._phase(
            "stalled replies, cut vectors",
            lookups=16,
            tables=(2, 3, 5, 1),
            tx_stall=0.6,
            reply_units=3,
        )
        yield self._phase(
            "stalled memory", lookups=20, updates=6, tables=range(7), memory_stall=0.7, rx_gap=3
        )
        yield self._bad_requests("requests to refuse")
        yield self._phase(
            "smallest replies", lookups=10, tables=(2, 5, 6), reply_units=0, rx_gap=40
        )
        yield self._sequences("sequences and clients")
        yield self._phase(
            "many rows", lookups=30, tables=(6, 0, 5), line_gbps=0.0, longest=24, memory_stall=0.1
        )
        yield self._failing("memory in error", lookups=10, updates=4)
        yield self._phase("after the errors", lookups=10, tables=range(7), flush=True)
        yield self._phase(
            "reset in traffic",
            lookups=24,
            updates=3,
            tables=range(7),
            reset_after=400,
            window=100,
            window_bytes=1 << 20,
            line_gbps=0.0,
        )
        yield self._phase("after the reset", lookups=16, updates=4, tables=range(7), tx_stall=0.3)
        off = self._phase("disabled", lookups=4, pings=2, tables=(0,), enable=0)
        off.expected.clear()
        yield off
        other = self._phase("another port", lookups=3, pings=1, tables=(0,), udp_port=17_743)
        other.expected.clear()
        yield other
        flood = self._phase(
            "more than there is room for",
            lookups=60,
            tables=(2, 5),
            tx_stall=0.97,
            line_gbps=0.0,
            window=100,
            window_bytes=1 << 20,
        )
        flood.expected.clear()  # which are dropped is a matter of time
        yield flood
        yield self._phase("at the end", lookups=12, updates=2, pings=1, tables=range(7))

    def _phase(
        self,
        name: str,
        *,
        lookups: int,
        tables: Any,
        updates: int = 0,
        pings: int = 0,
        longest: int = 9,
        **settings: Any,
    ) -> Phase:
        phase = Phase(name, **settings)
        chosen = [TABLES[number] for number in tables]
        kinds = ["lookup"] * lookups + ["update"] * updates + ["ping"] * pings
        for at in self.rng.permutation(len(kinds)).tolist():
            table = chosen[int(self.rng.integers(len(chosen)))]
            if kinds[at] == "lookup":
                self._lookup(phase, table, longest)
            elif kinds[at] == "update":
                self._update(phase, table)
            else:
                self._add(phase, self.frame(Opcode.PING))
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
            self._lookup(phase, table, 5)
        for _ in range(updates):
            self._update(phase, table)
        phase.expected.clear()
        self.rows = before  # rows that could not be written are compared between runs only
        self._update_rows(phase, table, np.arange(table.rows // 2, table.rows))
        return phase

    # ---- frames ---------------------------------------------------------------------------------

    def _add(self, phase: Phase, frame: bytes, bad: bool = False) -> None:
        phase.frames.append(frame)
        phase.bad.append(bad)

    def frame(self, opcode: int, payload: bytes = b"", **values: int) -> bytes:
        """Return a frame; `values` are header fields."""
        headers = new_headers(1, Opcode.PING)
        self._next_id += 1
        headers["opcode"] = opcode
        headers["request_id"] = self._next_id
        headers["tenant"] = int(self.rng.integers(1 << 16))
        headers["first_bag"] = int(self.rng.integers(1 << 15))
        for name, value in values.items():
            headers[name] = value
        edges = np.array([0, len(payload)], np.int64)
        return encode(ROUTE, headers, np.frombuffer(payload, np.uint8), edges).to_list()[0]

    def _ids(self, table: embnic.Table, longest: int) -> NDArray[np.int64]:
        length = int(self.rng.integers(0, longest + 1))
        ids = self.rng.integers(0, table.rows, length)
        if table.padding_idx is not None:
            ids[self.rng.random(length) < 0.2] = table.padding_idx
        return ids

    def _lookup(self, phase: Phase, table: embnic.Table, longest: int) -> None:
        number = TABLES.index(table)
        room = CONFIG.reply_vec64 // table.vec64
        partial = self.rng.random() < 0.25
        carried = self.rng.random() < 0.25
        bags = 1 if partial or carried else int(self.rng.integers(1, min(8, room) + 1))
        weighted = table.pooling.name == "SUM" and self.rng.random() < 0.5
        payload, init = b"", None
        if carried:
            count = int(self.rng.integers(0, 3))
            fixed = table.dtype is DType.FIXED
            acc = self.stored(table, 1)[0] if fixed else self.values(table.dim)
            padded = np.zeros(table.vec64 * 16, acc.dtype)
            padded[: table.dim] = acc
            payload += struct.pack("<I60x", count) + padded.tobytes()
            init = (acc, count)
        wanted, keys = [], 0
        for _ in range(bags):
            ids = self._ids(table, longest)
            w = self.values(len(ids)) if weighted else None
            nulls = self.rng.random(len(ids) + 1) < 0.1
            entries: list[tuple[int, float]] = []
            for at, row in enumerate(ids.tolist()):
                if nulls[at]:
                    entries.append((NULL_ROW, 0.0))
                entries.append((row, float(w[at]) if w is not None else 0.0))
            if not entries or nulls[-1]:
                entries.append((NULL_ROW, 1.5))
            for at, (row, weight) in enumerate(entries):
                last = int(at == len(entries) - 1)
                payload += struct.pack(
                    "<Q", last << KEY_LAST_SHIFT | number << KEY_TABLE_SHIFT | row
                )
                payload += struct.pack("<f4x", weight) if weighted else b""
            keys += len(entries)
            wanted.append(accumulate(table, self.rows[table.name], ids, w, init))
        flags = Flag.WEIGHTED * weighted
        if partial:
            flags |= [Flag.CONTINUES, Flag.PARTIAL_WANTED][int(self.rng.integers(2))]
        flags |= Flag.ACCUMULATOR * carried
        made = self.frame(
            Opcode.LOOKUP,
            payload,
            bags=bags,
            keys=keys,
            dim=table.dim,
            dtype=int(table.dtype),
            flags=int(flags),
        )
        self._add(phase, made)
        phase.expected.append(Expected(self._next_id, self._answer(table, wanted, partial)))

    def _answer(
        self, table: embnic.Table, wanted: list[Partial], partial: bool
    ) -> NDArray[np.uint32]:
        # The card answers sums in fp32 and integers as they are; the host rounds and scales.
        raw = partial or table.dtype in (DType.FP16, DType.FIXED)
        vectors = np.zeros((len(wanted), table.vec64 * 16), np.uint32)
        for at, (acc, count) in enumerate(wanted):
            if partial or count:
                values = acc if raw else finish(table, acc, count)
                vectors[at, : table.dim] = values.view(np.uint32)
        return vectors.reshape(-1)

    def _update(self, phase: Phase, table: embnic.Table) -> None:
        count = int(self.rng.integers(1, 5))
        ids = self.rng.integers(0, table.rows, count)
        if self.rng.random() < 0.2:
            self._add(phase, self._stamped(Opcode.INVALIDATE, table, ids, self._stamp()))
        else:
            self._update_rows(phase, table, ids)

    def _update_rows(self, phase: Phase, table: embnic.Table, ids: NDArray[np.int64]) -> None:
        rows = self.stored(table, len(ids))
        self._add(phase, self._stamped(Opcode.UPDATE, table, ids, self._stamp(), rows))
        for row, data in zip(ids.tolist(), rows, strict=True):
            self.rows[table.name][row] = data

    def _stamp(self, client: int = 0xC11E_0000_0000_0001) -> tuple[int, int]:
        self._sequence[client] = self._sequence.get(client, 0) + 1
        return client, self._sequence[client]

    def _stamped(
        self,
        opcode: int,
        table: embnic.Table,
        ids: NDArray[np.int64],
        stamp: tuple[int, int],
        rows: NDArray[Any] | None = None,
        **values: int,
    ) -> bytes:
        number = TABLES.index(table)
        payload = struct.pack("<QQ", *stamp)
        payload += b"".join(
            struct.pack("<Q", number << KEY_TABLE_SHIFT | row) for row in ids.tolist()
        )
        payload += bytes(-len(payload) % 64)
        if rows is not None:
            payload += pack(table, rows).tobytes()
        given = {"keys": len(ids), "dim": table.dim, "dtype": int(table.dtype)} | values
        return self.frame(opcode, payload, **given)

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
            self._add(phase, self._stamped(Opcode.UPDATE, table, ids, stamp, rows))
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
            self._lookup(phase, table, 9)
        return phase

    # ---- what is wrong --------------------------------------------------------------------------

    def _bad_frames(self, name: str) -> Phase:
        """Frames of every drop reason, each between two good ones, and frames with odd ends."""
        phase = Phase(name, line_gbps=0.0)
        good = lambda: self._lookup(phase, TABLES[0], 6)  # noqa: E731
        for reason in DropReason:
            for made, bad in self._dropped(reason):
                good()
                self._add(phase, made, bad)
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
        ]
        two, rows = np.array([1, 2]), self.values(2, table.dim)
        update = lambda ids=two, **values: self._stamped(  # noqa: E731
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
            update(ids=np.array([1, 9 << KEY_TABLE_SHIFT])),
            self._stamped(Opcode.INVALIDATE, TABLES[1], two, (5, 1), dim=19),
        ]
        for frame in made:
            self._add(phase, frame)
            if self.rng.random() < 0.5:
                self._lookup(phase, table, 5)
        return phase


# ---- running ------------------------------------------------------------------------------------


def prepare(card: SimCard, workload: Workload) -> None:
    """Write tables and descriptors."""
    registers = Registers(card)
    for number, table in enumerate(TABLES):
        rows = pack(table, workload.initial[table.name])
        card.write(workload.base[table.name], rows.reshape(-1))
        values = {
            "valid": 1,
            "dtype": int(table.dtype),
            "pooling": int(table.pooling),
            "has_padding": int(table.padding_idx is not None),
            "mul_then_add": int(table.mul_then_add),
            "dim": table.dim,
            "base": workload.base[table.name],
            "rows": table.rows,
            "padding_row": table.padding_idx or 0,
        }
        _describe(card, registers, number, values)
    _describe(card, registers, len(TABLES), {"dim": 16, "rows": 100, "base": 4096})  # not valid


def _describe(card: SimCard, registers: Registers, number: int, values: dict[str, int]) -> None:
    bits = sum(value << DESCRIPTOR_FIELDS[name].low for name, value in values.items())
    registers.TABLE_SEL.write(number)
    for at in range(DESCRIPTOR_WORDS):
        registers.TABLE_WORD[at].write(bits >> 32 * at & 0xFFFFFFFF)
    registers.TABLE_COMMIT.write(1)
    _wait_status(card, registers, "commit_busy")


def _wait_status(card: SimCard, registers: Registers, busy: str) -> None:
    """Wait until a bit of STATUS falls: before that the next descriptor would take the place of this one."""
    end = card.cycle + LIMIT_CYCLES
    while registers.STATUS.field(busy):
        if card.cycle > end:
            raise DeviceTimeout(f"waiting for {busy}", waited=LIMIT_CYCLES / card.clock_hz)


def play(card: SimCard, workload: Workload, phase: Phase) -> Seen:
    """Run one phase and return what it showed; an exception of the card is part of it."""
    try:
        return _play(card, workload, phase)
    except EmbnicError as error:
        return Seen((type(error).__name__,), (card.cycle,), (), ())


def _play(card: SimCard, workload: Workload, phase: Phase) -> Seen:
    registers = Registers(card)
    card.configure(tx_stall=phase.tx_stall, memory_stall=phase.memory_stall, rx_gap=phase.rx_gap)
    card.set_line_rate(phase.line_gbps)
    card.fail_memory(0, 0)
    if phase.faults[0] != phase.faults[1]:
        card.fail_memory(phase.faults[0], phase.faults[1] - phase.faults[0])
    counts: list[int] = []
    registers.REPLY_BEATS64.write(phase.reply_units)
    registers.UDP_PORT.write(phase.udp_port)
    registers.CONTROL.write_fields(enable=phase.enable, flush=int(phase.flush))
    _wait_status(card, registers, "flush_busy")
    came: list[bytes] = []
    for at, window in enumerate(phase.windows()):
        batch = FrameBatch.from_list(phase.frames[window])
        card.send(batch, bad=np.array(phase.bad[window]))
        if phase.reset_after:
            card.step(phase.reset_after)
            registers.CONTROL.write_fields(soft_reset=1)
            _wait_status(card, registers, "reset_busy")
            _wait_status(card, registers, "flush_busy")
            prepare(card, workload)
        wanted = phase.replies[at] if phase.replies is not None else 1 << 30
        # Without replies to wait for, the frames themselves take this long at most.
        still = 200 + 4 * len(batch.data) // (CONFIG.data_w // 8)
        card.run_until(max(wanted, 1), LIMIT_CYCLES if wanted else still, linger=LINGER_CYCLES)
        counts.append(len(came))
        came += card.recv(1 << 16, 0.0).to_list()
        counts[-1] = len(came) - counts[-1]
    status = registers.STATUS.read()
    counters = registers.counters()
    kept = {key: value for key, value in counters.items() if key not in TIMING_COUNTERS}
    first, last = workload.base[TABLES[0].name], workload.base[TABLES[-1].name] + TABLES[-1].nbytes
    memory = card.read(first, last - first).tobytes()
    content = (tuple(came), status, tuple(sorted(kept.items())), memory)
    timing = (card.cycle, tuple(sorted(counters.items())), tuple(card.probe_counts().tolist()))
    return Seen(content, timing, tuple(came), tuple(counts))


def check(phase: Phase, seen: Seen) -> int:
    """Compare the replies of a phase with the reference; return how many requests were compared."""
    assert seen.content[0] != "DeviceFault", f"{phase.name}: the unmutated card fails"
    decoded = decode(FrameBatch.from_list(seen.frames))
    assert decoded.valid.all(), f"{phase.name}: a reply is malformed"
    vectors: dict[int, list[bytes]] = {}
    for at, (ident, header, payload) in enumerate(decoded):
        opcode, status = header[0], header[1]
        body = bytes(payload)[64:] if opcode == Opcode.PARTIAL else bytes(payload)
        if opcode in (Opcode.REPLY, Opcode.PARTIAL):
            assert status == Status.OK, (
                f"{phase.name}: reply {at} has status {STATUSES.get(status)}"
            )
            vectors.setdefault(ident, []).append(body)
    for wanted in phase.expected:
        assert wanted.request_id in vectors, (
            f"{phase.name}: request {wanted.request_id:#x} is not answered"
        )
        got = np.frombuffer(b"".join(vectors[wanted.request_id]), np.uint32)
        assert got.shape == wanted.vectors.shape, (
            f"{phase.name}: {wanted.request_id:#x} has another size"
        )
        assert (got == wanted.vectors).all(), f"{phase.name}: {wanted.request_id:#x} differs"
    return len(phase.expected)
