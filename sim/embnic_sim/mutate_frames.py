# SPDX-License-Identifier: Apache-2.0
"""What the traffic of embnic_sim.mutate_workload is made of: frames, and what the reference answers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import embnic
from embnic.arithmetic import canonical, storage_count
from embnic.backends.reference import Partial, accumulate, finish, merge, unpooled
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
from embnic.rows import pack, to_storage
from embnic.wire import Endpoint, Route, crc32c, encode, new_headers
from embnic_sim.card_models import PeerModel
from embnic_sim.mutate_tables import CONFIG, SETS, SPREAD, TABLES

__all__ = ["Expected", "Phase", "Traffic", "number_of", "sealed"]

PROMPT = PeerModel(20, 60)
# Zeros, the least and the greatest subnormal, the least and the greatest normal one, infinities, NaNs with payload.
ODD_FLOATS = np.array(
    [
        *(0, 1 << 31, 1, 0x807F_FFFF, 0x0080_0000, 0x7F7F_FFFF),
        *(0x7F80_0000, 0xFF80_0000, 0x7FC1_2345, 0xFF80_0001),
    ],
    np.uint32,
)
ODD_HALVES = np.array([0x8000, 1, 0x83FF, 0x0400, 0x7BFF, 0x7C00, 0xFC00, 0x7E12], np.uint16)


@dataclass(frozen=True)
class Expected:
    """What one request is answered with, by the reference."""

    request_id: int
    vectors: NDArray[np.uint32]


@dataclass
class Phase:
    """Frames sent under one setting of the card and of what surrounds it.

    `cycles` says how long each window of the unmutated card takes; it is empty before that was learnt.
    """

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
    tables: tuple[embnic.Table, ...] = TABLES
    cached_ways: int = 1
    admission: int = 0
    quiesce: int = 0
    timeout: int = 16  # of card memory, in units of 1,024 cycles
    faults: tuple[int, int] = (0, 0)  # address range in which memory answers with an error
    mutes: tuple[int, int] = (0, 0)  # and in which it answers at the end of the phase only
    deaf: int = 0  # cycles in which memory takes nothing
    deaf_from: tuple[int, ...] = (0,)  # when these begin, in each of the first windows
    peer: PeerModel = PROMPT  # how the owners of remote rows answer
    remote_timeout: int = 16  # of their answers, in units of 1,024 cycles
    remote_faults: tuple[int, int] = (
        0,
        0,
    )  # address range of theirs that they answer with an error
    remote_lost: tuple[int, int] = (0, 0)  # and that they do not answer
    inject: tuple[int, ...] = ()  # memories of INJECT that get a wrong bit, one a window
    reset_after: int = 0  # cycles after which a soft reset is asked for, with everything under way
    power_on: bool = False  # reset the whole card before it: registers and clients are forgotten
    flush: bool = False
    window: int = 8  # frames under way together at most
    window_bytes: int = 6_000  # and their bytes, so that the key store has room
    count: bool = False  # read the counters at the end
    histograms: bool = False  # and the latency histograms
    descriptors: dict[int, dict[str, int]] = field(default_factory=dict)  # instead of `tables`
    staged: tuple[int, dict[str, int]] | None = None  # then one that is written, and not committed
    cycles: list[int] = field(default_factory=list)

    def windows(self) -> list[slice]:
        """Cut the frames into what is under way together."""
        cuts, size = [0], 0
        for at, frame in enumerate(self.frames):
            size += len(frame)
            if at - cuts[-1] == self.window or (size > self.window_bytes and at > cuts[-1]):
                cuts.append(at)
                size = len(frame)
        return [slice(*edge) for edge in pairwise([*cuts, len(self.frames)])]


def number_of(table: embnic.Table) -> int:
    """Return the number that a table has on the card, in its set."""
    return next(tables.index(table) for tables in SETS if table in tables)


def sealed(frame: bytes) -> bytes:
    """Return a frame with the checksum and the CRC that its bytes ask for."""
    out = bytearray(frame)
    out[24:26] = b"\0\0"
    total = sum(struct.unpack(">10H", out[14:34]))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    out[24:26] = struct.pack(">H", total ^ 0xFFFF)
    out[-4:] = struct.pack("<I", crc32c(bytes(out[42:-4])))
    return bytes(out)


class Traffic:
    """Frames drawn from a seed, and the tables as the reference has them behind each."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.base: dict[str, int] = {}
        self.initial: dict[str, NDArray[Any]] = {}  # stored rows
        place = 4096
        for number, table in enumerate(table for tables in SETS for table in tables):
            # Rows that cross 4 KB, lines that do not begin at a row.
            place += 64 * (number + 1)
            # Those behind the first set are spread over both channels, beyond what it takes of the first. Owners have a
            # memory of their own.
            spread = table not in TABLES and not table.remote
            self.base[table.name] = place + SPREAD * spread
            place += table.nbytes
            self.initial[table.name] = self.stored(table, table.rows)
        self.rows = {name: rows.copy() for name, rows in self.initial.items()}
        self._next_id = 0x1000
        self._sequence: dict[int, int] = {}

    def values(self, *shape: int) -> NDArray[np.float32]:
        """Return values of all magnitudes, a few of them as odd as values can be."""
        normal = self.rng.standard_normal(shape, dtype=np.float32)
        values = np.ldexp(normal, self.rng.integers(-30, 30, shape)).astype(np.float32)
        return self._odd(values, ODD_FLOATS.view(np.float32))

    def _odd(self, values: NDArray[Any], odd: NDArray[Any]) -> NDArray[Any]:
        """Return values some of which are replaced by odd ones."""
        chosen = self.rng.random(values.shape) < 0.02
        values[chosen] = self.rng.choice(odd, int(chosen.sum()))
        return values

    def stored(self, table: embnic.Table, count: int) -> NDArray[Any]:
        """Return `count` rows as `table` stores them, of magnitudes that it can hold."""
        if table.dtype is DType.FP32:
            return self.values(count, table.dim)
        rows = self.rng.standard_normal((count, table.dim), dtype=np.float32) * 64
        stored = to_storage(table, rows, rows=count)
        if table.dtype is DType.FP16:
            self._odd(stored, ODD_HALVES.view(np.float16))
        if table.dtype is DType.FIXED:  # some so large that two of them leave the range
            stored[self.rng.random(stored.shape) < 0.2] = self.rng.choice([-(2**31), 2**31 - 9])
        return stored

    def add(self, phase: Phase, frame: bytes, bad: bool = False) -> None:
        """Add a frame; `bad`: the MAC found it bad."""
        phase.frames.append(frame)
        phase.bad.append(bad)

    def frame(self, opcode: int, payload: bytes = b"", **values: int) -> bytes:
        """Return a frame; `values` are header fields."""
        headers = new_headers(1, Opcode.PING)
        self._next_id += 1
        headers["opcode"] = opcode
        headers["request_id"] = self._request_id()
        headers["tenant"] = int(self.rng.integers(1 << 16))
        headers["snapshot"] = int(self.rng.integers(1 << 16))
        headers["first_bag"] = int(self.rng.integers(1 << 15))
        for name, value in values.items():
            headers[name] = value
        edges = np.array([0, len(payload)], np.int64)
        return encode(self._route(), headers, np.frombuffer(payload, np.uint8), edges).to_list()[0]

    def _request_id(self) -> int:
        """Return the latest request's ID: all 32 bits vary, none comes twice."""
        return self._next_id * 0x9E37_79B1 % (1 << 32)

    def _route(self) -> Route:
        """Return a way from anywhere to a card that goes by any address."""
        ends = []
        for port in (int(self.rng.integers(1, 1 << 16)), 17_742):
            mac = ":".join(f"{byte:02x}" for byte in self.rng.integers(0, 256, 6).tolist())
            ip = ".".join(str(byte) for byte in self.rng.integers(0, 256, 4).tolist())
            ends.append(Endpoint(mac, ip, port))
        return Route(ends[0], ends[1])

    def ids(self, table: embnic.Table, longest: int) -> NDArray[np.int64]:
        """Return up to `longest` rows, the padding row often."""
        length = int(self.rng.integers(0, longest + 1))
        ids = self.rng.integers(0, table.rows, length)
        ids[self.rng.random(length) < 0.4] %= 4  # some rows are asked for often
        if table.padding_idx is not None:
            ids[self.rng.random(length) < 0.2] = table.padding_idx
        return ids

    def lookup(self, phase: Phase, table: embnic.Table, longest: int) -> None:
        """Add a LOOKUP of bags of `table`, with all that one may carry."""
        chance = self.rng.random
        tree, rows = table.order is Order.TREE, table.pooling is Pooling.NONE
        partial = not rows and chance() < 0.25
        carried = not rows and not tree and chance() < 0.25
        room = CONFIG.reply_vec64 // table.vec64
        bags = 1 if partial or carried else int(self.rng.integers(1, min(5, room) + 1))
        weighted = (
            table.pooling is Pooling.SUM and table.dtype is not DType.FIXED and chance() < 0.5
        )
        payload, init = self._carried(table) if carried else (b"", None)
        wanted, keys = [], 0
        for _ in range(bags):
            ids = self.ids(table, 1 if rows else longest)
            w = self.values(len(ids)) if weighted else None
            entries, count = self._entries(table, ids, w, lone=rows)
            payload, keys = payload + entries, keys + count
            if rows:
                row = unpooled(table, self.rows[table.name], ids)
                wanted.append((row[0] if len(row) else np.zeros(table.dim, np.float32), len(row)))
            else:
                wanted.append(accumulate(table, self.rows[table.name], ids, w, init))
        flags = Flag.WEIGHTED * weighted | Flag.ACCUMULATOR * carried
        if partial:
            flags |= Flag.PARTIAL_WANTED if tree or chance() < 0.5 else Flag.CONTINUES
        values = {"bags": bags, "keys": keys, "flags": int(flags)}
        self._ask(phase, Opcode.LOOKUP, table, payload, wanted, values)

    def bag(
        self,
        phase: Phase,
        table: embnic.Table,
        ids: NDArray[np.int64],
        w: NDArray[np.float32] | None,
    ) -> None:
        """Add a LOOKUP of one bag with these keys, null ones among them."""
        entries, count = self._entries(table, ids, w)
        wanted = [accumulate(table, self.rows[table.name], ids, w)]
        values = {"bags": 1, "keys": count, "flags": int(Flag.WEIGHTED * (w is not None))}
        self._ask(phase, Opcode.LOOKUP, table, entries, wanted, values)

    def merged(self, phase: Phase, table: embnic.Table, longest: int, owners: int = 0) -> None:
        """Add a MERGE: a bag of `table` with the partials of so many owners; 0: of up to three."""
        carried, partial = self.rng.random() < 0.3, self.rng.random() < 0.3
        weighted = table.pooling is Pooling.SUM and self.rng.random() < 0.5
        payload, init = self._carried(table) if carried else (b"", None)
        parts = []
        for _ in range(owners or int(self.rng.integers(1, 4))):
            block, part = self._carried(table)
            payload += block
            parts.append(part)
        ids = self.ids(table, longest)
        w = self.values(len(ids)) if weighted else None
        entries, keys = self._entries(table, ids, w)
        local = accumulate(table, self.rows[table.name], ids, w, init)
        wanted = [merge(table, [local, *parts])]
        flags = Flag.WEIGHTED * weighted | Flag.ACCUMULATOR * carried
        if partial:
            flags |= [Flag.CONTINUES, Flag.PARTIAL_WANTED][int(self.rng.integers(2))]
        payload += entries
        values = {"bags": len(parts), "keys": keys, "flags": int(flags)}
        self._ask(phase, Opcode.MERGE, table, payload, wanted, values)

    def _ask(
        self,
        phase: Phase,
        opcode: Opcode,
        table: embnic.Table,
        payload: bytes,
        wanted: list[Partial],
        values: dict[str, int],
        answered: embnic.Table | None = None,
    ) -> None:
        """Add a request of rows of `table`, whose answer is as one of `answered`, and what it is."""
        partial = bool(values["flags"] & (Flag.CONTINUES | Flag.PARTIAL_WANTED))
        made = self.frame(opcode, payload, dim=table.dim, dtype=int(table.dtype), **values)
        self.add(phase, made)
        vectors = self._answer(answered or table, wanted, partial)
        phase.expected.append(Expected(self._request_id(), vectors))

    def _carried(self, table: embnic.Table) -> tuple[bytes, Partial]:
        """Return a partial of `table` with 0 to 2 keys, and its count block and vector."""
        count = int(self.rng.integers(0, 3))
        if self.rng.random() < 0.3:
            count = int(self.rng.integers(1 << 30) >> self.rng.choice([0, 0, 9, 18]))
        acc = self.stored(table, 1)[0] if table.dtype is DType.FIXED else self.values(table.dim)
        padded = np.zeros(table.vec64 * 16, acc.dtype)
        padded[: table.dim] = acc
        return struct.pack("<I60x", count) + padded.tobytes(), (acc, count)

    def _entries(
        self,
        table: embnic.Table,
        ids: NDArray[np.int64],
        w: NDArray[np.float32] | None,
        *,
        lone: bool = False,
    ) -> tuple[bytes, int]:
        """Return the entries of a bag, null keys strewn among them unless it is a `lone` one, and their number."""
        number = number_of(table)
        nulls = (self.rng.random(len(ids) + 1) < 0.1) & (not lone)
        entries: list[tuple[int, float]] = []
        for at, row in enumerate(ids.tolist()):
            if nulls[at]:
                entries.append((NULL_ROW, 0.0))
            entries.append((row, float(w[at]) if w is not None else 0.0))
        if not entries or nulls[-1]:
            entries.append((NULL_ROW, 1.5))
        payload = b""
        for at, (row, weight) in enumerate(entries):
            last = int(at == len(entries) - 1)
            payload += struct.pack("<Q", last << KEY_LAST_SHIFT | number << KEY_TABLE_SHIFT | row)
            payload += struct.pack("<f4x", weight) if w is not None else b""
        return payload, len(entries)

    def _answer(
        self, table: embnic.Table, wanted: list[Partial], partial: bool
    ) -> NDArray[np.uint32]:
        # The card answers sums in fp32 and integers as they are; the host rounds and scales. A mean is divided.
        raw = partial or table.dtype in (DType.FP16, DType.BF16, DType.FIXED)
        vectors = np.zeros((len(wanted), table.vec64 * 16), np.uint32)
        for at, (acc, count) in enumerate(wanted):
            if partial or count:
                as_it_is = raw or table.pooling is Pooling.NONE
                values = acc if as_it_is else finish(table, acc, count)
                if not partial and table.pooling is Pooling.MEAN and table.dtype is DType.FP16:
                    with np.errstate(all="ignore"):
                        total = acc.astype(np.float16).astype(np.float32)
                        values = total / storage_count(np.array([count]), table.dtype)
                    values = canonical(values)
                vectors[at, : table.dim] = values.view(np.uint32)
        return vectors.reshape(-1)

    def update(self, phase: Phase, table: embnic.Table, holds: Sequence[Hold] = ()) -> None:
        """Add an UPDATE or INVALIDATE of some rows; with `holds` an INVALIDATE, a FILL or a PREFETCH."""
        ids = self.rng.integers(0, 12 if holds else table.rows, int(self.rng.integers(1, 5)))
        ids %= table.rows
        hold = holds[int(self.rng.integers(len(holds)))] if holds else Hold.NONE
        kind = self.rng.random()
        if table.remote and holds and kind < 0.5:  # its owner writes it, not this card: refused
            opcode, values = (
                (Opcode.UPDATE, {}) if kind < 0.3 else (Opcode.FILL, {"first_bag": int(hold)})
            )
            rows, stamp = self.stored(table, len(ids)), (0xC11E_0000_0000_0001, 1 << 20)
            self.add(phase, self.stamped(opcode, table, ids, stamp, rows, **values))
        elif kind < 0.2 or (table.remote and not holds):
            self.add(phase, self.stamped(Opcode.INVALIDATE, table, ids, self.stamp()))
        elif not holds:
            self.update_rows(phase, table, ids)
        elif kind < 0.4 and hold is not Hold.RELEASE and not table.remote:
            self.update_rows(phase, table, ids, Opcode.FILL, first_bag=int(hold))
        else:
            values = {"keys": len(ids), "dim": table.dim, "dtype": int(table.dtype)}
            self.add(
                phase,
                self.frame(Opcode.PREFETCH, self._names(table, ids), first_bag=int(hold), **values),
            )

    def update_rows(
        self,
        phase: Phase,
        table: embnic.Table,
        ids: NDArray[np.int64],
        opcode: Opcode = Opcode.UPDATE,
        **values: int,
    ) -> None:
        """Add an UPDATE or a FILL that writes rows."""
        rows = self.stored(table, len(ids))
        self.add(phase, self.stamped(opcode, table, ids, self.stamp(), rows, **values))
        for row, data in zip(ids.tolist(), rows, strict=True):
            self.rows[table.name][row] = data

    def _names(self, table: embnic.Table, ids: NDArray[np.int64]) -> bytes:
        number = number_of(table)
        words = [struct.pack("<Q", number << KEY_TABLE_SHIFT | row) for row in ids.tolist()]
        return b"".join(words)

    def stamp(self, client: int = 0xC11E_0000_0000_0001) -> tuple[int, int]:
        """Return the next sequence of a client, with it."""
        self._sequence[client] = self._sequence.get(client, 0) + 1
        return client, self._sequence[client]

    def stamped(
        self,
        opcode: int,
        table: embnic.Table,
        ids: NDArray[np.int64],
        stamp: tuple[int, int],
        rows: NDArray[Any] | None = None,
        **values: int,
    ) -> bytes:
        """Return an UPDATE, FILL or INVALIDATE frame of the client and sequence `stamp`."""
        payload = struct.pack("<QQ", *stamp) + self._names(table, ids)
        payload += bytes(-len(payload) % 64)
        if rows is not None:
            payload += pack(table, rows).tobytes()
        given = {"keys": len(ids), "dim": table.dim, "dtype": int(table.dtype)} | values
        return self.frame(opcode, payload, **given)
