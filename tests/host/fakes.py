# SPDX-License-Identifier: Apache-2.0
"""Fakes behind the driver's three ports.

`ListedBus` expects an exact list of register accesses. `FakeCard` is a whole card in plain Python: it parses and builds
frames with `struct` (not with the package's codec), pools with the reference's arithmetic, and fails on request.
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from embnic.arithmetic import OUTPUT, widen
from embnic.backends.card import CardBackend
from embnic.backends.reference import accumulate, finish, merge, unpooled
from embnic.config import Table
from embnic.driver import Driver
from embnic.engine import Engine
from embnic.exchange import Timing
from embnic.gen.configs import CONFIGS
from embnic.gen.registers import COUNTERS, REGISTERS
from embnic.gen.wire import (
    CONTRACT_HASH,
    DESCRIPTOR_FIELDS,
    NULL_ROW,
    DType,
    Flag,
    Hold,
    Opcode,
    Order,
    Pooling,
    Status,
)
from embnic.rows import unpack
from embnic.wire import FrameBatch

REQUESTS = (1, 2, 5, 6, 8, 9, 10, 11)
SUM64 = 64


def crc32c(data: bytes) -> int:
    """CRC32C bit by bit over a table made here."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc_entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC_TABLE = [_crc_entry(n) for n in range(256)]


class ListedBus:
    """Expect exactly these accesses, in order; complain at the end of `with` about any that is left.

    An access is ("read", name, value) or ("write", name, value); `name` may end in `[3]`.
    """

    def __init__(self, *accesses: tuple[str, str, int]) -> None:
        self._left = [(kind, self._offset(name), name, value) for kind, name, value in accesses]
        self.seen = 0

    @staticmethod
    def _offset(name: str) -> int:
        for counter in COUNTERS:
            if name in (f"{counter.name}.lo", f"{counter.name}.hi"):
                return counter.offset + 4 * name.endswith(".hi")
        base, _, index = name.partition("[")
        return REGISTERS[base].offset + 4 * int(index.rstrip("]") or 0)

    def _next(self, kind: str, offset: int) -> tuple[str, int, str, int]:
        if not self._left:
            raise AssertionError(f"{kind} of 0x{offset:03x}, but nothing more is expected")
        expected = self._left.pop(0)
        if expected[:2] != (kind, offset):
            raise AssertionError(
                f"{kind} of 0x{offset:03x}, expected {expected[0]} of {expected[2]}"
            )
        self.seen += 1
        return expected

    def read32(self, offset: int) -> int:
        return self._next("read", offset)[3]

    def write32(self, offset: int, value: int) -> None:
        expected = self._next("write", offset)
        if expected[3] != value:
            raise AssertionError(f"{expected[2]} gets 0x{value:x}, expected 0x{expected[3]:x}")

    def __enter__(self) -> ListedBus:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if error is None and self._left:
            raise AssertionError(
                f"{len(self._left)} accesses left, the first is {self._left[0][0]} {self._left[0][2]}"
            )


@dataclass
class Faults:
    """What goes wrong, as probabilities per frame and direction, and when the card dies.

    `die` names an event and its number, counted from 1: ("request", 3) is before the third LOOKUP is looked at, "miss"
    after it was, "reply" after half of its reply frames left, "update" after rows were written and before the ACK,
    "bus" and "memory" at a register or memory access. `status` answers the n-th LOOKUP or UPDATE with that status.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    die: tuple[str, int] | None = None
    status: dict[int, Status] = field(default_factory=dict)
    bus_error: bool = False  # a dead card's bus raises OSError; otherwise it reads as all ones


class FakeCard:
    """A whole card behind Bus, Memory and Link."""

    FRAME_SECONDS = 2e-6
    KEY_SECONDS = 2e-8
    ACCESS_SECONDS = 1e-7

    def __init__(
        self, config: str = "tiny", *, seed: int = 1, faults: Faults | None = None, **identity: int
    ) -> None:
        self.config = CONFIGS[config]
        self.faults = faults or Faults()
        self.identity = identity
        self.random = random.Random(seed)
        self.now = 0.0
        self.memory = np.zeros(1 << 16, np.uint8)
        self.allocated = 4096
        self.dead = False
        self.events: Counter[str] = Counter()
        self.closed = False
        self.reset()

    # -- life -----------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget everything but the memory, as after a power cycle."""
        c = self.config
        self.dead = False
        self.registers: dict[int, int] = {}
        self.descriptors: dict[int, dict[str, int]] = {}
        self.counters: Counter[str] = Counter()
        self.shadow: dict[str, int] = {}
        self.clients: dict[int, tuple[int, set[int]]] = {}
        self.cached: dict[int, int] = {}  # key (table, row) -> Hold, of rows that were prefetched
        self.prefetched: list[tuple[int, list[int]]] = []  # Hold and keys of each PREFETCH
        self.busy_until = 0.0
        self.working: list[float] = []
        self.outbox: list[tuple[float, int, bytes]] = []
        self.serial = 0
        self.lookups = 0
        caps = {
            "DATA_W": c.data_w,
            "SLOTS": c.slots,
            "MAX_VEC64": c.max_vec64,
            "LINE_BYTES": c.line_bytes,
            "WAYS": c.ways,
            "SETS": c.sets,
            "FETCHES": c.fetches,
            "TABLES": c.tables,
            "KS_BYTES": c.ks_beats * c.data_w // 8,
            "REPLY_VEC64": c.reply_vec64,
            "CTXS": c.ctxs,
            "CLIENTS": c.clients,
            "MERGE_UNITS": 2 * c.max_vec64,
            "TREE_K": 16,
            "CHANNELS": 1,
            "FEATURES": 0,
            "BUCKETS": 32,
            "ERROR_LOG": 64,
        }
        values = {
            "CONTRACT_HASH": CONTRACT_HASH,
            "CONFIG_ID": c.config_id,
            **{f"CAP_{k}": v for k, v in caps.items()},
        }
        for name, register in REGISTERS.items():
            value = sum((f.reset or 0) << f.low for f in register.fields.values())
            for index in range(register.count):
                at = register.offset + 4 * index
                self.registers[at] = self.identity.get(name, values.get(name, value))

    def revive(self) -> None:
        """Come back from the dead with all state kept (the outage was the cable's)."""
        self.dead = False
        self.faults = Faults()

    def close(self) -> None:
        self.closed = True

    def _event(self, name: str) -> bool:
        """Count an event; return True when the card died of it."""
        self.events[name] += 1
        if self.faults.die == (name, self.events[name]):
            self.dead = True
        return self.dead

    def reg(self, name: str) -> int:
        return self.registers[REGISTERS[name].offset]

    # -- Bus ------------------------------------------------------------------------------------------------------

    def _bus(self) -> bool:
        self.now += self.ACCESS_SECONDS
        if self._event("bus") and self.faults.bus_error:
            raise OSError(5, "the bus does not answer")
        return not self.dead

    def read32(self, offset: int) -> int:
        if not self._bus():
            return 0xFFFFFFFF
        if offset == REGISTERS["STATUS"].offset:
            # bits: idle, flush_busy, drained, commit_busy
            return 0b0101 if self.now >= self.busy_until else 0b1010
        for counter in COUNTERS:
            if offset in (counter.offset, counter.offset + 4):
                return (
                    self.shadow.get(counter.name, 0) >> (32 * (offset != counter.offset))
                    & 0xFFFFFFFF
                )
        return self.registers[offset]

    def write32(self, offset: int, value: int) -> None:
        if not self._bus():
            return
        if offset == REGISTERS["CONTROL"].offset:
            if value & 4:
                self.shadow = {**self.counters, "cycles": int(self.now * 250e6)}
            if value & 2:
                self.cached.clear()
            value &= 0b1001
        if offset == REGISTERS["TABLE_COMMIT"].offset:
            words = [
                self.registers.get(REGISTERS["TABLE_WORD"].offset + 4 * n, 0) for n in range(8)
            ]
            bits = sum(word << 32 * n for n, word in enumerate(words))
            self.descriptors[self.reg("TABLE_SEL")] = {
                name: bits >> f.low & ((1 << f.width) - 1) for name, f in DESCRIPTOR_FIELDS.items()
            }
            self.cached.clear()
            value = 0
        self.registers[offset] = value

    # -- Memory ---------------------------------------------------------------------------------------------------

    def alloc(self, nbytes: int, align: int = 4096) -> int:
        addr = -(-self.allocated // align) * align
        self.allocated = addr + nbytes
        if self.allocated > len(self.memory):
            self.memory = np.concatenate([self.memory, np.zeros(self.allocated, np.uint8)])
        return addr

    def read(self, addr: int, nbytes: int) -> np.ndarray:
        return self.memory[addr : addr + nbytes].copy()

    def write(self, addr: int, data: np.ndarray) -> None:
        assert data.dtype == np.uint8 and data.ndim == 1
        if not self._event("memory"):
            self.memory[addr : addr + len(data)] = data

    def sync(self) -> None:
        if self.dead and self.faults.bus_error:
            raise OSError(5, "the bus does not answer")

    # -- Link -----------------------------------------------------------------------------------------------------

    def clock(self) -> float:
        return self.now

    def send(self, frames: FrameBatch) -> None:
        for frame in self._carry(frames.to_list()):
            if not self.dead:
                self._receive(frame)

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        self.outbox.sort()
        limit = self.now + timeout
        if self.outbox and self.outbox[0][0] <= limit:
            self.now = max(self.now, self.outbox[0][0])
        else:
            self.now = limit
        ready = [item for item in self.outbox if item[0] <= self.now][:max_frames]
        self.outbox = self.outbox[len(ready) :]
        return FrameBatch.from_list([frame for _, _, frame in ready])

    def _carry(self, frames: list[bytes]) -> list[bytes]:
        """Lose, repeat, damage and reorder frames on the way."""
        f, rnd, carried = self.faults, self.random, []
        for frame in frames:
            if rnd.random() < f.loss:
                continue
            if rnd.random() < f.corrupt:
                at = rnd.randrange(42, len(frame))
                frame = frame[:at] + bytes([frame[at] ^ 1 << rnd.randrange(8)]) + frame[at + 1 :]
            carried += [frame] * (2 if rnd.random() < f.duplicate else 1)
        for at in range(len(carried) - 1):
            if rnd.random() < f.reorder:
                other = rnd.randrange(len(carried))
                carried[at], carried[other] = carried[other], carried[at]
        return carried

    # -- the card -------------------------------------------------------------------------------------------------

    def _receive(self, frame: bytes) -> None:
        self.counters["rx_frames"] += 1
        self.counters["rx_bytes"] += len(frame)
        reason = self._check(frame)
        if reason is None:
            self.working = [end for end in self.working if end > self.now]
            if len(self.working) >= self.config.rx_frames + self.config.ctxs:
                reason = "overload"
        if reason is not None:
            self.counters[f"drop_{reason}"] += 1
            return
        self.counters["rx_accepted"] += 1
        length = struct.unpack_from(">H", frame, 38)[0] - 8 - 22 - 4
        replies = self._serve(frame, frame[64 : 64 + length])
        start = max(self.now, self.busy_until)
        self.busy_until = start + self.FRAME_SECONDS + self.KEY_SECONDS * length / 8
        self.working.append(self.busy_until)
        for reply in self._carry(replies):
            self.serial += 1
            delay = (
                self.random.random() * 1e-4 if self.random.random() < self.faults.reorder else 0.0
            )
            self.outbox.append((self.busy_until + delay, self.serial, reply))

    def _check(self, frame: bytes) -> str | None:
        if len(frame) < 68 or frame[12:14] != b"\x08\x00" or frame[14] != 0x45 or frame[23] != 17:
            return "not_ours"
        if (
            struct.unpack_from(">H", frame, 36)[0] != self.reg("UDP_PORT")
            or frame[42:44] != b"\x1c\xeb"
        ):
            return "not_ours"
        if not self.reg("CONTROL") & 1:
            return "overload"
        udp_length = struct.unpack_from(">H", frame, 38)[0]
        ip_length = struct.unpack_from(">H", frame, 16)[0]
        end = 34 + udp_length
        if (
            ip_length != udp_length + 20
            or end > len(frame)
            or udp_length < 34
            or (udp_length - 34) % 8
        ):
            return "length"
        words = struct.unpack_from(">10H", frame, 14)
        total = sum(words)
        total = (total & 0xFFFF) + (total >> 16)
        if (total & 0xFFFF) + (total >> 16) != 0xFFFF:
            return "ip_checksum"
        if frame[44] != self.identity.get("wire_version", 1):
            return "version"
        if frame[45] not in REQUESTS or frame[46] & 0x80:
            return "header"
        if crc32c(frame[42 : end - 4]) != struct.unpack_from("<I", frame, end - 4)[0]:
            return "crc"
        return None

    def _serve(self, frame: bytes, payload: bytes) -> list[bytes]:
        opcode = frame[45]
        if opcode == Opcode.PING:
            self.counters["replies"] += 1
            return [self._reply(frame, Opcode.REPLY, b"", flags=Flag.FINAL)]
        if self.reg("CONTROL") & 0b1000:
            return [self._error(frame, Status.BUSY)]
        self.lookups += 1
        if self.lookups in self.faults.status:
            return [self._error(frame, self.faults.status[self.lookups])]
        if opcode in (Opcode.LOOKUP, Opcode.MERGE):
            return self._lookup(frame, payload)
        if opcode == Opcode.PREFETCH:
            return self._prefetch(frame, payload)
        if opcode in (Opcode.UPDATE, Opcode.FILL, Opcode.INVALIDATE):
            return self._update(frame, payload, rows=opcode != Opcode.INVALIDATE)
        return [self._error(frame, Status.UNSUPPORTED)]

    def _error(self, frame: bytes, status: Status) -> bytes:
        self.counters["errors"] += 1
        first, bags = struct.unpack_from("<HH", frame, 54)
        return self._reply(
            frame, Opcode.ERROR, b"", flags=Flag.FINAL, status=status, first=first, bags=bags
        )

    def _reply(self, frame, opcode, body, *, flags, status=0, first=0, bags=0, beat=0) -> bytes:
        dim = struct.unpack_from("<H", frame, 60)[0]
        vectors = opcode in (Opcode.REPLY, Opcode.PARTIAL)
        dtype = DType.FIXED if vectors and frame[47] & 15 == DType.FIXED else DType.FP32
        tenant = struct.unpack_from("<H", frame, 48)[0]
        ours = struct.pack("<HBBBBH", 0xEB1C, 1, opcode, flags, status << 4 | dtype, tenant)
        ours += frame[50:54] + struct.pack("<HHHHH", first, bags, beat, dim, 0)
        ours += body
        ours += struct.pack("<I", crc32c(ours))
        ip = (
            struct.pack(">BBHHHBBH", 0x45, 0, 28 + len(ours), 0, 0x4000, 64, 17, 0)
            + frame[30:34]
            + frame[26:30]
        )
        total = sum(struct.unpack(">10H", ip))
        total = (total & 0xFFFF) + (total >> 16)
        total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        ip = ip[:10] + struct.pack(">H", total) + ip[12:]
        udp = frame[36:38] + frame[34:36] + struct.pack(">HH", 8 + len(ours), 0)
        self.counters["tx_frames"] += 1
        return frame[6:12] + frame[:6] + b"\x08\x00" + ip + udp + ours

    def _lookup(self, frame: bytes, payload: bytes) -> list[bytes]:
        if self._event("request"):
            return []
        flags, dtype = frame[46], frame[47] & 15
        first, bags, count, dim = struct.unpack_from("<HHHH", frame, 54)
        vec64 = -(-dim * 4 // SUM64)
        self.counters["requests"] += 1
        special = flags & (Flag.ACCUMULATOR | Flag.CONTINUES | Flag.PARTIAL_WANTED)
        merging, number = frame[45] == Opcode.MERGE, bags
        most = 2 * self.config.max_vec64 if merging else self.config.reply_vec64
        units = (number + bool(merging and flags & Flag.ACCUMULATOR)) * vec64
        if vec64 > self.config.max_vec64 or units > most:
            return [self._error(frame, Status.TOO_LARGE)]
        init, partials = None, []
        if flags & Flag.ACCUMULATOR:
            held = struct.unpack_from("<I", payload)[0]
            kind = "<i4" if dtype == DType.FIXED else "<f4"
            init = (np.frombuffer(payload, kind, dim, 64).copy(), held)
            payload = payload[64 + 64 * vec64 :]
        if merging:
            bags = min(number, 1)
            kind = "<i4" if dtype == DType.FIXED else "<f4"
            step = 64 + 64 * vec64
            for at in range(0, min(number * step, len(payload)), step):
                held = struct.unpack_from("<I", payload, at)[0]
                partials.append((np.frombuffer(payload, kind, dim, at + 64), held))
            payload = payload[number * step :]
        size = 16 if flags & Flag.WEIGHTED else 8
        if len(payload) != size * count or bags < 1 or count < bags or (special and bags != 1):
            return [self._error(frame, Status.BAD_REQUEST)]
        entries = np.frombuffer(payload, "<u8").reshape(count, size // 8)
        keys = entries[:, 0]
        weights = np.ascontiguousarray(entries[:, 1]).view("<f4")[::2] if size == 16 else None
        ends = np.flatnonzero(keys >> np.uint64(63)) + 1
        if len(ends) != bags or ends[-1] != count:
            return [self._error(frame, Status.BAD_REQUEST)]
        vectors, start = [], 0
        for end in ends.tolist():
            part = None if weights is None else weights[start:end]
            found = self._pool(keys[start:end], part, init, (dim, dtype, special))
            if merging and not isinstance(found, Status):
                found = self._merged(*found, partials)
            if isinstance(found, Status):
                return [self._error(frame, found)]
            vectors.append(found)
            start = end
        self.counters["bags"] += bags
        self.counters["keys"] += count
        if self._event("miss"):
            return []
        partial = flags & (Flag.CONTINUES | Flag.PARTIAL_WANTED)
        replies = self._replies(frame, vectors, first, vec64, bool(partial))
        if self._event("reply"):
            return replies[: len(replies) // 2]
        return replies

    @staticmethod
    def _merged(table: Table, acc, count, partials):
        if table.order is not Order.SPLIT or table.pooling is Pooling.NONE:
            return Status.UNSUPPORTED
        return table, *merge(table, [(acc, count), *partials])

    def _pool(self, keys, weights, init, header):
        dim, dtype, special = header
        number = int(keys[0] >> np.uint64(48)) & 0x7FFF
        rows = keys & np.uint64(NULL_ROW)
        descriptor = self.descriptors.get(number)
        if descriptor is None or not descriptor["valid"]:
            return Status.UNKNOWN_TABLE
        if (descriptor["dim"], descriptor["dtype"]) != (dim, dtype) or (
            ((keys >> np.uint64(48)) & np.uint64(0x7FFF)) != number
        ).any():
            return Status.TABLE_MISMATCH
        real = rows != NULL_ROW
        ids = rows[real].astype(np.int64)
        if (ids >= descriptor["rows"]).any():
            return Status.OUT_OF_RANGE
        table = self._table(descriptor)
        if table.order is Order.TREE and special & (Flag.ACCUMULATOR | Flag.CONTINUES):
            return Status.UNSUPPORTED
        base = descriptor["base"]
        stored = unpack(table, self.memory[base : base + table.nbytes])
        if table.pooling is Pooling.NONE:
            if len(keys) > 1 or init is not None:
                return Status.BAD_REQUEST
            return table, self._row(table, stored, ids), len(ids)
        acc, count = accumulate(
            table, stored, ids, None if weights is None else weights[real], init
        )
        return table, acc, count

    @staticmethod
    def _row(table: Table, stored: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Return a row as it is sent; `ids` are one or none."""
        if table.dtype is not DType.FIXED:
            row = unpooled(table, stored, ids) if len(ids) else np.zeros((1, table.dim))
            return widen(row[0].astype(OUTPUT[table.dtype]), table.dtype)
        skipped = not len(ids) or ids[0] == table.padding_idx
        return np.zeros(table.dim, np.int32) if skipped else stored[ids[0]]

    @staticmethod
    def _table(descriptor: dict[str, int]) -> Table:
        padding = descriptor["padding_row"] if descriptor["has_padding"] else None
        dtype, exponent = DType(descriptor["dtype"]), descriptor["fixed_scale_exp"]
        made = Table(
            "card",
            rows=descriptor["rows"],
            dim=descriptor["dim"],
            dtype=dtype,
            pooling=Pooling(descriptor["pooling"]),
            padding_idx=padding,
            order=Order(descriptor["order"]),
            tree_k=1 << descriptor["tree_k_log2"] if descriptor["order"] == Order.TREE else None,
            fixed_scale_exp=(exponent ^ 128) - 128 if dtype is DType.FIXED else None,
        )
        assert descriptor["mul_then_add"] == made.mul_then_add
        return made

    def _replies(self, frame, vectors, first, vec64, partial) -> list[bytes]:
        self.counters["partials" if partial else "replies"] += 1
        pieces = []  # (first bag, bags, first beat, body)
        units = self.reg("REPLY_BEATS64")
        if partial:
            _, acc, count = vectors[0]
            block, body = struct.pack("<I60x", count), self._padded(acc, vec64)
            step = units - 1
            pieces = [
                (first, 1, beat, block + body[64 * beat : 64 * (beat + step)])
                for beat in range(0, vec64, step)
            ]
        elif vec64 > units:
            for at, (table, acc, count) in enumerate(vectors):
                body = self._padded(self._answer(table, acc, count), vec64)
                pieces += [
                    (first + at, 1, b, body[64 * b : 64 * (b + units)])
                    for b in range(0, vec64, units)
                ]
        else:
            bodies = [
                self._padded(self._answer(table, acc, count), vec64)
                for table, acc, count in vectors
            ]
            step = units // vec64
            pieces = [
                (first + at, len(bodies[at : at + step]), 0, b"".join(bodies[at : at + step]))
                for at in range(0, len(bodies), step)
            ]
        opcode = Opcode.PARTIAL if partial else Opcode.REPLY
        return [
            self._reply(
                frame,
                opcode,
                body,
                flags=Flag.FINAL if at == len(pieces) - 1 else 0,
                first=bag,
                bags=bags,
                beat=beat,
            )
            for at, (bag, bags, beat, body) in enumerate(pieces)
        ]

    @staticmethod
    def _answer(table: Table, acc: np.ndarray, count: int) -> np.ndarray:
        """Return a bag's result as it is sent: fp32, or the raw int32 of a `fixed` table."""
        if table.dtype is DType.FIXED or table.pooling is Pooling.NONE:
            return acc
        return widen(finish(table, acc, count), table.dtype)

    @staticmethod
    def _padded(vector: np.ndarray, vec64: int) -> bytes:
        return vector.tobytes().ljust(64 * vec64, b"\0")

    @staticmethod
    def _row_bytes(dtype: int, dim: int) -> int:
        """Return the bytes of a row in card memory, as spec/wire.toml says."""
        if dtype in (DType.FP32, DType.FIXED):
            return 4 * dim
        if dtype in (DType.FP16, DType.BF16):
            return 2 * dim
        return 16 + (dim if dtype in (DType.INT8, DType.INT8_FRONT) else -(-dim // 2))

    def _prefetch(self, frame: bytes, payload: bytes) -> list[bytes]:
        """Hold what is asked for in an endless cache."""
        hold, bags, count, dim = struct.unpack_from("<HHHH", frame, 54)
        if len(payload) != 8 * count or bags or not count or hold > Hold.RELEASE:
            return [self._error(frame, Status.BAD_REQUEST)]
        keys = np.frombuffer(payload, "<u8").tolist()
        for key in keys:
            descriptor = self.descriptors.get(key >> 48 & 0x7FFF)
            if descriptor is None:
                return [self._error(frame, Status.UNKNOWN_TABLE)]
            if (descriptor["dim"], descriptor["dtype"]) != (dim, frame[47] & 15):
                return [self._error(frame, Status.TABLE_MISMATCH)]
            if key & NULL_ROW >= descriptor["rows"]:
                return [self._error(frame, Status.OUT_OF_RANGE)]
        there = sum(key in self.cached for key in keys)
        granted = len(keys)
        if hold == Hold.RELEASE:
            granted = sum(self.cached.get(key, 0) > 0 for key in keys)
            self.cached |= {key: 0 for key in keys if key in self.cached}
        else:
            self.cached |= {key: max(self.cached.get(key, 0), hold) for key in keys}
        self.prefetched.append((hold, keys))
        self.counters["prefetches"] += 1
        self.counters["prefetch_rows"] += granted
        self.counters["acks"] += 1
        ack = struct.pack("<QQ48x", granted, there)
        return [self._reply(frame, Opcode.ACK, ack, flags=Flag.FINAL)]

    def _update(self, frame: bytes, payload: bytes, *, rows: bool) -> list[bytes]:
        client, sequence = struct.unpack_from("<QQ", payload)
        count, dim = struct.unpack_from("<HH", frame, 58)
        dtype = frame[47] & 15
        stride = -(-self._row_bytes(dtype, dim) // 64) * 64
        head = -(-(16 + 8 * count) // 64) * 64
        if len(payload) != head + (count * stride if rows else 0):
            return [self._error(frame, Status.BAD_REQUEST)]
        high, seen = self.clients.get(client, (0, set()))
        if client not in self.clients and len(self.clients) >= self.config.clients:
            return [self._error(frame, Status.CLIENTS_FULL)]
        ack = self._reply(
            frame, Opcode.ACK, struct.pack("<QQ48x", client, sequence), flags=Flag.FINAL
        )
        if sequence <= high or sequence in seen:
            self.counters["update_duplicates"] += 1
            self.counters["acks"] += 1
            return [ack]
        if sequence > high + 64:
            return [self._error(frame, Status.SEQUENCE_WINDOW)]
        keys = np.frombuffer(payload, "<u8", count, 16)
        for key in keys.tolist():
            descriptor = self.descriptors.get(key >> 48 & 0x7FFF)
            if descriptor is None:
                return [self._error(frame, Status.UNKNOWN_TABLE)]
            if (descriptor["dim"], descriptor["dtype"]) != (dim, dtype):
                return [self._error(frame, Status.TABLE_MISMATCH)]
            if key & NULL_ROW >= descriptor["rows"]:
                return [self._error(frame, Status.OUT_OF_RANGE)]
        if rows:
            for at, key in enumerate(keys.tolist()):
                addr = self.descriptors[key >> 48 & 0x7FFF]["base"] + (key & NULL_ROW) * stride
                body = payload[head + at * stride : head + (at + 1) * stride]
                self.memory[addr : addr + len(body)] = np.frombuffer(body, np.uint8)
        seen = seen | {sequence}
        while high + 1 in seen:
            high += 1
            seen.discard(high)
        self.clients[client] = (high, seen)
        self.counters["updates"] += 1
        self.counters["acks"] += 1
        self.counters["update_rows"] += count
        return [] if self._event("update") else [ack]


FAKE_TIMING = Timing(retry=2e-4, patience=4e-3)


def fake_driver(
    card: FakeCard, *, timing: Timing = FAKE_TIMING, mtu: int = 1500, **pools: Any
) -> Driver:
    """Return a driver of a fake card, not attached yet; `pools` are the driver's dtypes and orders."""
    return Driver(card, card, card, timing=timing, mtu=mtu, config=card.config.name, **pools)


EVERY_FORMAT = {"dtypes": frozenset(DType), "orders": frozenset(Order) - {Order.MEMO}}


def fake_engine(
    tables: list[Table],
    card: FakeCard,
    *,
    mtu: int = 1500,
    fallback: bool = True,
    timing: Timing = FAKE_TIMING,
    **pools: Any,
) -> Engine:
    """Open an engine on a fake card; `pools` are the driver's dtypes and orders."""
    driver = fake_driver(card, timing=timing, mtu=mtu, **pools)
    backend = CardBackend(tables, driver, name="fake", release=card.close)
    return Engine(tables, backend, fallback=fallback)
