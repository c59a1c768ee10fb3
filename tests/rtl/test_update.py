# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_update: memory, cache operations and results of random updates against a model.

The model keeps what the contract says: rows are written in order and only when every key is good,
each (client, sequence) once, within a window of 64 above the highest contiguous one.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import cocotb
import pytest
from row_formats import DTYPES, row_units

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS, Stall
from embnic_sim.structs import load_structs

UPDATE, FILL, INVALIDATE, PREFETCH = 6, 8, 9, 10
NONE, LOCK, PIN, RELEASE = range(4)  # holds, in first_bag
OK, BAD_REQUEST, UNKNOWN_TABLE, TABLE_MISMATCH, OUT_OF_RANGE, TOO_LARGE = range(6)
UNSUPPORTED, MEMORY_ERROR, CLIENTS_FULL, SEQUENCE_WINDOW = 6, 7, 9, 10
OP_INVALIDATE = 3
OP_OF_HOLD = {NONE: 5, LOCK: 6, PIN: 7, RELEASE: 4}
EVENTS = (
    "evt_update",
    "evt_update_duplicate",
    "evt_update_row",
    "evt_prefetch",
    "evt_prefetch_row",
)
MEMORY = 1 << 20
NULL_ROW = (1 << 48) - 1


@dataclass
class Client:
    """What a card remembers of a client, as the contract puts it."""

    high: int = 0
    early: set[int] = field(default_factory=set)

    def record(self, sequence: int) -> None:
        """Note a sequence as applied."""
        self.early.add(sequence)
        while self.high + 1 in self.early:
            self.high += 1
            self.early.discard(self.high)


class IdleLookups:
    """Drives lookup_idle and checks that nothing is done before it was seen."""

    def __init__(self, bench: "UpdateBench") -> None:
        self.bench = bench
        self.stall: Stall = lambda: True
        self.reset()

    def reset(self) -> None:
        """Lookups are under way."""
        self.idle_before = self.was_idle = self.was_active = False
        self.bench.drive(lookup_idle=0)

    def tick(self) -> None:
        """One clock edge."""
        active = bool(self.bench.read("sts_active"))
        assert not active or self.was_active or self.idle_before, "an update began during lookups"
        if not active:
            names = ["ks_rd_en", "desc_rd_en", "m_axis_op_tvalid"]
            if not self.bench.read("sts_owed"):
                names += ["m_axi_awvalid", "m_axi_wvalid"]
            busy = [name for name in names if self.bench.read(name)]
            assert not busy, f"{busy} while lookups own the ports"
        self.idle_before = self.was_idle
        self.was_active = active
        # It stays while the update owns the lookup path, but for its own operations.
        self.was_idle = not self.bench.cache.busy if active else self.stall()
        self.bench.drive(lookup_idle=int(self.was_idle))


class Cache:
    """Takes operations: says 4 cycles later what became of a row, gives places back when a line has come.

    What becomes of a row depends on its number: a fifth are not granted, half were there; `bad_rows` fail.
    """

    def __init__(self, bench: "UpdateBench") -> None:
        self.bench = bench
        self.bad_rows: set[int] = set()
        self.most = 0
        self.reset()

    @staticmethod
    def granted(row: int) -> bool:
        """Say whether a row is held as asked."""
        return row % 5 != 2

    def reset(self) -> None:
        """Nothing is in the cache."""
        self.looked_up: list[tuple[int, int]] = []  # cycle of the answer, row
        self.coming: list[tuple[int, int]] = []  # cycle in which the line has come, row
        self.errors: list[int] = []  # cycles
        self.busy_until = 0
        self.bench.drive(op_credit_valid=0, pf_valid=0, pf_err_valid=0, pf_there=0, pf_granted=0)

    @property
    def busy(self) -> bool:
        """An operation is inside."""
        return bool(self.looked_up or self.coming) or self.bench.cycle < self.busy_until

    def take(self, op: dict[str, int]) -> None:
        """Take an operation."""
        bench = self.bench
        self.busy_until = bench.cycle + 3
        if op["kind"] < OP_OF_HOLD[RELEASE]:
            return
        if op["last_seg"]:
            self.looked_up.append((bench.cycle + 4, op["row"]))
        if op["kind"] != OP_OF_HOLD[RELEASE]:
            self.coming.append((bench.cycle + bench.random.randrange(8, 60), op["row"]))
            self.most = max(self.most, len(self.coming))
            assert len(self.coming) <= bench.params["PLACES"], "more operations than places"

    def tick(self) -> None:
        """One clock edge."""
        bench, now = self.bench, self.bench.cycle + 1  # what is driven is seen in the next cycle
        valid = bool(self.looked_up) and self.looked_up[0][0] <= now
        row = self.looked_up.pop(0)[1] if valid else 0
        bench.drive(pf_valid=int(valid), pf_there=row % 2, pf_granted=int(self.granted(row)))
        come = bool(self.coming) and self.coming[0][0] <= now  # in order, one a cycle
        if come and self.coming.pop(0)[1] in self.bad_rows:
            self.errors.append(now + 3)
            self.busy_until = max(self.busy_until, now + 4)
        bench.drive(op_credit_valid=int(come), pf_err_valid=int(now in self.errors))


class UpdateBench(Bench):
    """Key store, tables and card memory around the DUT, and the model."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        structs = load_structs()
        self.frame_t, self.done_t, self.op_t = (
            structs[name] for name in ("frame_t", "update_done_t", "op_t")
        )
        self.descriptor_t = structs["descriptor_t"]
        self.width = int(self.params["DATA_W"])
        self.line_bytes = int(self.params["LINE_BYTES"])
        self.ks_beats, self.tables = int(self.params["KS_BEATS"]), int(self.params["TABLES"])
        self.max_vec64, self.clients_n = int(self.params["MAX_VEC64"]), int(self.params["CLIENTS"])
        self.store: dict[int, int] = {}
        self.ks_addr = 0
        self.pending_beats: list[dict[int, int]] = []  # payloads of the frames not yet finished
        self.descriptors: dict[int, dict[str, int]] = {}
        self.cache = self.add(Cache(self))
        self.idle_lookups = self.add(IdleLookups(self))
        self.source = self.stream_source("s_axis_upd")
        self.source.on_sent = self.next_frame
        self.board = self.scoreboard("results", struct=self.done_t)
        self.done_sink = self.stream_sink("m_axis_upd_done", self.take_done)
        self.ops = self.scoreboard("ops", struct=self.op_t)
        self.op_sink = self.stream_sink("m_axis_op", self.take_op)
        self.ram_read_port("ks_rd", self.store)
        self.ram_read_port("desc_rd", lambda addr: self.descriptor_t.pack(self.desc(addr)))
        self.memory = self.axi_memory("m_axi", MEMORY)
        self.memory.window = min(4096, int(self.params["MAX_BURST"]) * self.width // 8)
        self.memory.errors = lambda addr: addr in self.bad_bursts
        self.bad_bursts: set[int] = set()
        self.image = bytearray(self.random.randbytes(MEMORY))
        self.memory.data[:] = self.image
        self.counts = {name: self.count(name) for name in EVENTS}
        self.expected_counts: Counter[str] = Counter()
        self.drive(keep_clients=0, epoch_on=0, epoch=0)
        self.clients: dict[int, Client] = {}
        self.statuses: Counter[int] = Counter()

    def idle(self) -> bool:
        """Nothing is being applied."""
        return not self.read("sts_active")

    async def reset(self, cycles: int = 4) -> None:
        """Reset the DUT: clients are forgotten, memory is what the DUT made of it."""
        await super().reset(cycles)
        self.clients.clear()
        self.pending_beats.clear()
        self.image[:] = self.memory.data
        self.expected_counts = Counter({name: count.total for name, count in self.counts.items()})

    # Surroundings

    def desc(self, table: int) -> dict[str, int]:
        """Return the descriptor of a table; one that was never written is garbage, not valid."""
        garbage = self.descriptor_t.unpack(self.random.getrandbits(self.descriptor_t.width))
        return self.descriptors.get(table, {**garbage, "valid": 0})

    def add_table(self, table: int, dim: int, rows: int = 10, **fields: int) -> None:
        """Write a descriptor of a table somewhere in memory."""
        stride = -(-dim // 16) * 64
        base = self.random.randrange((MEMORY - rows * stride) // 64) * 64
        given = {
            "valid": 1,
            "dim": dim,
            "rows": rows,
            "base": base,
            "pooling": self.random.randrange(4),
        }
        self.descriptors[table] = {**given, **fields}

    def take_op(self, word: int) -> None:
        """Compare an operation and give it to the cache."""
        self.ops.check(word)
        self.cache.take(self.op_t.unpack(word))

    def take_done(self, word: int) -> None:
        """Compare a result; memory must be right already."""
        self.statuses[self.done_t.unpack(word)["status"]] += 1
        self.board.check(word)

    # Model

    def send(
        self,
        keys: list[tuple[int, int]],
        client: int,
        sequence: int,
        *,
        opcode: int = UPDATE,
        dim: int = 16,
        dtype: int = 0,
        wrong: dict[str, Any] | None = None,
    ) -> None:
        """Send a frame and expect what must come of it; `wrong` overrides header fields or the payload."""
        rows = [self.random.randbytes(row_units(dtype, dim) * 64) for _ in keys]
        payload = b""
        if opcode != PREFETCH:
            payload = client.to_bytes(8, "little") + sequence.to_bytes(8, "little")
        for table, row in keys:
            last = self.random.getrandbits(1) << 63  # to be ignored
            payload += (last | table << 48 | row).to_bytes(8, "little")
        if opcode != PREFETCH:
            payload += bytes(-len(payload) % 64)
        if opcode in (UPDATE, FILL):
            payload += b"".join(rows)
        hdr = {"opcode": opcode, "keys": len(keys), "dim": dim, "dtype": dtype, **(wrong or {})}
        payload = hdr.pop("payload", payload)
        status = self.header_status(hdr, payload)
        if status:
            self.board.expect(self.done_t.pack(status=status))
        else:
            if opcode == PREFETCH:
                client, sequence, status = self.fetch(hdr, keys, row_units(dtype, dim) * 64)
            else:
                status = self.apply(hdr, keys, rows, client, sequence)
            self.board.expect(self.done_t.pack(status=status, client=client, seq=sequence))
        self.put(hdr, payload)

    def put(self, hdr: dict[str, int], payload: bytes) -> None:
        """Put the payload in the key store and send the frame."""
        size = self.width // 8
        beats = -(-len(payload) // size)
        assert beats <= self.ks_beats, "the test's frame is larger than the key store"
        fill = payload + self.random.randbytes(beats * size - len(payload))
        addr = self.ks_addr
        # A frame's beats are written when it reaches the input: the ring is reused while earlier ones are applied.
        beat_of = {
            (addr + number) % self.ks_beats: int.from_bytes(
                fill[number * size : (number + 1) * size], "little"
            )
            for number in range(beats)
        }
        self.pending_beats.append(beat_of)
        if len(self.pending_beats) == 1:
            self.store.update(beat_of)
        self.ks_addr = (addr + beats) % self.ks_beats
        fields = {
            "hdr": {"magic": 0xEB1C, "request_id": self.random.getrandbits(32), **hdr},
            "payload_len": len(payload),
            "ks_addr": addr,
            "ks_beats": beats,
        }
        self.source.send(self.frame_t.pack(fields))

    def next_frame(self, _: int) -> None:
        """A frame is finished: put the next one's payload in place."""
        self.pending_beats.pop(0)
        if self.pending_beats:
            self.store.update(self.pending_beats[0])

    def header_status(self, hdr: dict[str, int], payload: bytes) -> int:
        """Return what the header earns."""
        vec64 = -(-hdr["dim"] // 16)
        length = -(-(16 + 8 * hdr["keys"]) // 64) * 64
        if hdr["opcode"] == PREFETCH:
            length = 8 * hdr["keys"]
        if hdr["opcode"] in (UPDATE, FILL):
            length += hdr["keys"] * row_units(hdr["dtype"], hdr["dim"]) * 64
        if hdr["dtype"] not in DTYPES:
            return UNSUPPORTED
        if not hdr["dim"] or not hdr["keys"] or hdr.get("bags") or hdr.get("flags", 0) & 0x6D:
            return BAD_REQUEST
        most = {FILL: PIN, PREFETCH: RELEASE}.get(hdr["opcode"], 0xFFFF)
        if hdr.get("first_bag", 0) > most:
            return BAD_REQUEST
        if vec64 > self.max_vec64:
            return TOO_LARGE
        return OK if len(payload) == length else BAD_REQUEST

    def key_status(self, table: int, row: int, dim: int, dtype: int) -> int:
        """Return what a key earns."""
        desc = self.descriptors.get(table)
        if desc is None or not desc["valid"]:
            return UNKNOWN_TABLE
        if desc.get("remote"):
            return UNSUPPORTED
        if desc["dim"] != dim or desc.get("dtype", 0) != dtype:
            return TABLE_MISMATCH
        return OUT_OF_RANGE if row >= desc["rows"] else OK

    def apply(
        self,
        hdr: dict[str, int],
        keys: list[tuple[int, int]],
        rows: list[bytes],
        client: int,
        sequence: int,
    ) -> int:
        """Apply a frame to the model; return its status."""
        for table, row in keys:
            if status := self.key_status(table, row, hdr["dim"], hdr["dtype"]):
                return status
        if client not in self.clients and len(self.clients) == self.clients_n:
            return CLIENTS_FULL
        known = self.clients.get(client, Client())
        if sequence <= known.high or sequence in known.early:
            self.expected_counts["evt_update_duplicate"] += 1
            return OK
        if sequence > known.high + 64:
            return SEQUENCE_WINDOW
        for (table, row), data in zip(keys, rows, strict=True):
            addr = self.descriptors[table]["base"] + row * len(data)
            self.expect_ops(table, row, addr, len(data), hdr)
            if hdr["opcode"] in (UPDATE, FILL) and not self.write(addr, data):
                return MEMORY_ERROR
            if hdr["opcode"] == FILL:
                self.expect_ops(
                    table, row, addr, len(data), hdr, OP_OF_HOLD[hdr.get("first_bag", 0)]
                )
                self.expected_counts["evt_prefetch_row"] += self.cache.granted(row)
            self.expected_counts["evt_update_row"] += 1
        if hdr["opcode"] == FILL and any(row in self.cache.bad_rows for _, row in keys):
            return MEMORY_ERROR
        self.expected_counts["evt_update"] += 1
        self.clients.setdefault(client, known).record(sequence)
        return OK

    def fetch(
        self, hdr: dict[str, int], keys: list[tuple[int, int]], size: int
    ) -> tuple[int, int, int]:
        """Apply a PREFETCH of rows of `size` bytes; return the two numbers of its ACK, and its status."""
        for table, row in keys:
            if status := self.key_status(table, row, hdr["dim"], hdr["dtype"]):
                return 0, 0, status
        hold = hdr.get("first_bag", 0)
        for table, row in keys:
            addr = self.descriptors[table]["base"] + row * size
            self.expect_ops(table, row, addr, size, hdr, OP_OF_HOLD[hold])
        granted = sum(self.cache.granted(row) for _, row in keys)
        self.expected_counts["evt_prefetch_row"] += granted
        failed = hold != RELEASE and any(row in self.cache.bad_rows for _, row in keys)
        self.expected_counts["evt_prefetch"] += not failed
        return granted, sum(row % 2 for _, row in keys), MEMORY_ERROR if failed else OK

    def write(self, addr: int, data: bytes) -> bool:
        """Write a row in bursts that end where their window ends; False when one of them fails."""
        good, done = True, 0
        while done < len(data):
            window = self.memory.window
            part = min(len(data) - done, window - (addr + done) % window)
            if addr + done in self.bad_bursts:
                good = False
            else:
                self.image[addr + done : addr + done + part] = data[done : done + part]
            done += part
        return good

    def expect_ops(
        self,
        table: int,
        row: int,
        addr: int,
        size: int,
        hdr: dict[str, int],
        kind: int = OP_INVALIDATE,
    ) -> None:
        """Expect the operations on a row's lines."""
        beat = self.width // 8
        number = -(-size // self.line_bytes)
        for seg in range(number):
            offset = seg * self.line_bytes
            self.ops.expect(
                self.op_t.pack(
                    kind=kind,
                    first=1,
                    tbl=table,
                    row=row,
                    seg=seg,
                    addr=addr + offset,
                    fetch_beats=min(self.line_bytes, size - offset) // beat,
                    beats=min(self.line_bytes, size - offset) // beat,
                    beat_base=offset // beat,
                    first_seg=int(seg == 0),
                    last_seg=int(seg == number - 1),
                    dim=hdr["dim"],
                    pooling=3,
                )
            )

    async def settle(self) -> None:
        """Drain, and compare memory and events."""
        await self.drain(timeout=60_000)
        assert self.memory.data == self.image, "card memory differs"
        totals = {name: count.total for name, count in self.counts.items()}
        assert totals == {name: self.expected_counts[name] for name in totals}

    # Random traffic

    def random_tables(self) -> tuple[int, int]:
        """Make good tables 0 and 1 of one dim and dtype, and a bad one; return dim and dtype."""
        most = 16 * self.max_vec64
        dim = self.random.choice([1, 16, min(40, most), self.random.randrange(1, most + 1), most])
        dtype = self.random.choice([0, self.random.choice(DTYPES)])
        self.add_table(0, dim, dtype=dtype)
        self.add_table(1, dim, rows=100, dtype=dtype)
        self.add_table(self.tables - 1, dim, dtype=dtype)
        self.descriptors[self.tables - 1] |= self.random.choice(
            [{"dim": dim + 1}, {"dtype": (dtype + 1) % 8}, {"remote": 1}]
        )
        return dim, dtype

    def send_one(self) -> None:
        """Send a frame without fault."""
        self.add_table(2, 16)
        self.send([(2, 3), (2, 4)], 7, 1)

    def random_frames(self, number: int, trouble: float = 0.1) -> None:
        """Send frames of few clients, some repeated, some early, some wrong."""
        dim, dtype = self.random_tables()
        rng = self.random
        most = max(1, min(6, self.ks_beats * self.width // 512 // (2 + -(-dim // 16))))
        for _ in range(number):
            client = rng.choice([7, 1 << 63, 0xABCDEF, 5]) if rng.random() < 0.3 else 7
            high = self.clients[client].high if client in self.clients else 0
            sequence = high + rng.choice([1, 1, 1, 2, 3, 0, rng.randrange(1, 70)])
            keys = [
                (rng.randrange(2), rng.randrange(10)) for _ in range(rng.randrange(1, most + 1))
            ]
            if rng.random() < trouble:
                table, row = rng.choice(
                    [(0, 10), (1, NULL_ROW), (self.tables - 1, 0), (self.tables, 0), (32767, 0)]
                )
                keys[rng.randrange(len(keys))] = (table, row)
            wrong: dict[str, Any] = {}
            if rng.random() < trouble:
                wrong = rng.choice(
                    [
                        {"dtype": 9},
                        {"bags": 1},
                        {"flags": 1},
                        {"flags": 4},
                        {"keys": 0},
                        {"keys": 65535},
                        {"payload": b""},
                        {"payload": rng.randbytes(72)},
                    ]
                )
            opcode = rng.choice([UPDATE, UPDATE, FILL, INVALIDATE, PREFETCH, PREFETCH])
            if opcode in (FILL, PREFETCH) or rng.random() < 0.1:
                wrong["first_bag"] = rng.choice([NONE, LOCK, PIN, RELEASE])
                if rng.random() < trouble / 4:
                    wrong["first_bag"] = rng.randrange(1 << 16)
            self.send(keys, client, sequence, opcode=opcode, dim=dim, dtype=dtype, wrong=wrong)


@cocotb.test()
async def directed(dut: Any) -> None:
    """A row written and dropped, the same frame again, an invalidation, a row that is out of range."""
    bench = UpdateBench(dut)
    await bench.reset()
    bench.add_table(0, 16)
    bench.send([(0, 3)], 1, 1)
    bench.send([(0, 3)], 1, 1)
    bench.send([(0, 4), (0, 3)], 1, 2, opcode=INVALIDATE)
    bench.send([(0, 4), (0, 10)], 1, 3)
    bench.send([(0, 4), (0, 9)], 1, 3)
    await bench.settle()
    assert bench.statuses == {OK: 4, OUT_OF_RANGE: 1}
    assert bench.counts["evt_update"].total == 3


@cocotb.test()
async def prefetches(dut: Any) -> None:
    """Rows fetched, locked, pinned and released, more of them than there are places; a FILL writes first."""
    bench = UpdateBench(dut)
    await bench.reset()
    dim = 16 * bench.max_vec64
    bench.add_table(0, dim, rows=8)
    keys = [(0, row % 8) for row in range(min(30, bench.ks_beats * bench.width // 64 // 2))]
    for hold in (NONE, LOCK, PIN, RELEASE):
        bench.send(keys, 0, 0, opcode=PREFETCH, dim=dim, wrong={"first_bag": hold})
        await bench.settle()
    assert bench.counts["evt_prefetch"].total == 4 and not bench.memory.writes
    if len(bench.ops.expected) == 0 and bench.max_vec64 * 64 > bench.line_bytes:
        assert bench.cache.most == bench.params["PLACES"], "the places were never all taken"
    if bench.ks_beats * bench.width // 8 > bench.max_vec64 * 64 + 64:
        for sequence in (1, 1):
            bench.send([(0, 1)], 3, sequence, opcode=FILL, dim=dim, wrong={"first_bag": PIN})
        await bench.settle()
        assert bench.counts["evt_update_duplicate"].total == 1


@cocotb.test()
async def a_fetch_that_fails(dut: Any) -> None:
    """MEMORY_ERROR when all rows were tried; a FILL may be sent again with its sequence."""
    bench = UpdateBench(dut)
    await bench.reset()
    bench.add_table(0, 16)
    bench.cache.bad_rows = {4}
    bench.send([(0, 3), (0, 4), (0, 5)], 0, 0, opcode=PREFETCH)
    bench.send([(0, 3), (0, 4)], 5, 1, opcode=FILL)
    await bench.settle()
    assert bench.statuses == {MEMORY_ERROR: 2}
    bench.cache.bad_rows = set()
    bench.send([(0, 4)], 0, 0, opcode=PREFETCH)
    bench.send([(0, 4)], 5, 1, opcode=FILL)
    await bench.settle()
    assert bench.statuses == {MEMORY_ERROR: 2, OK: 2}


@cocotb.test()
async def every_refusal(dut: Any) -> None:
    """Each rule on its own; nothing is written, the sequence is still free."""
    bench = UpdateBench(dut)
    await bench.reset()
    top = bench.tables - 1
    most = 16 * bench.max_vec64
    bench.add_table(0, 16)
    bench.add_table(1, 16, valid=0)
    bench.add_table(top, 16, remote=1)
    cases: list[tuple[list[tuple[int, int]], dict[str, Any], int]] = [
        ([(0, 1)], {"dtype": 8}, UNSUPPORTED),
        ([(0, 1)], {"dtype": 15}, UNSUPPORTED),
        ([(0, 1)], {"dtype": 7}, TABLE_MISMATCH),
        ([(0, 1)], {"dim": 0}, BAD_REQUEST),
        ([], {}, BAD_REQUEST),
        ([(0, 1)], {"bags": 1}, BAD_REQUEST),
        ([(0, 1)], {"flags": 1}, BAD_REQUEST),
        ([(0, 1)], {"flags": 4}, BAD_REQUEST),
        ([(0, 1)], {"flags": 8}, BAD_REQUEST),
        ([(0, 1)], {"flags": 32}, BAD_REQUEST),
        ([(0, 1)], {"flags": 64}, BAD_REQUEST),
        ([(0, 1)], {"dim": most + 1}, TOO_LARGE),
        ([(0, 1)], {"dim": 65535, "payload": bytes(128)}, TOO_LARGE),
        ([(0, 1)], {"payload": bytes(64)}, BAD_REQUEST),
        ([(0, 1)], {"payload": bytes(192)}, BAD_REQUEST),
        ([(0, 1)], {"keys": 65535}, BAD_REQUEST),
        ([(0, 1)], {"opcode": INVALIDATE, "payload": bytes(128)}, BAD_REQUEST),
        ([(0, 1), (1, 1)], {}, UNKNOWN_TABLE),
        ([(bench.tables, 1)], {}, UNKNOWN_TABLE),
        ([(0, 1), (top, 1), (0, 2)], {}, UNSUPPORTED),
        ([(0, 1)], {"dim": 15}, TABLE_MISMATCH),
        ([(0, 1), (0, 10)], {"opcode": INVALIDATE}, OUT_OF_RANGE),
        ([(0, NULL_ROW)], {}, OUT_OF_RANGE),
        ([(0, 1)], {"opcode": FILL, "first_bag": RELEASE}, BAD_REQUEST),
        ([(0, 1)], {"opcode": FILL, "first_bag": 1 << 15}, BAD_REQUEST),
        ([(0, 1)], {"opcode": PREFETCH, "first_bag": 4}, BAD_REQUEST),
        ([(0, 1)], {"opcode": PREFETCH, "bags": 1}, BAD_REQUEST),
        ([(0, 1)], {"opcode": PREFETCH, "payload": bytes(64)}, BAD_REQUEST),
        ([(0, 1), (0, 10)], {"opcode": PREFETCH}, OUT_OF_RANGE),
        ([(0, 1), (1, 1)], {"opcode": PREFETCH, "first_bag": PIN}, UNKNOWN_TABLE),
    ]
    bench.send([(0, 0)], 9, 1)
    await bench.settle()
    for keys, wrong, status in cases:
        bench.statuses.clear()
        opcode = wrong.pop("opcode", UPDATE)
        bench.send(keys, 9, 2, opcode=opcode, wrong=wrong)
        await bench.settle()
        assert bench.statuses == {status: 1}, (
            f"{keys} {wrong}: {dict(bench.statuses)}, expected {status}"
        )
    bench.send([(0, 1)], 9, 2)
    await bench.settle()
    assert bench.counts["evt_update"].total == 2


@cocotb.test()
async def sequences(dut: Any) -> None:
    """The window: early ones once, the far end, one too far, the hole filled; clients up to the last entry."""
    bench = UpdateBench(dut)
    await bench.reset()
    bench.add_table(0, 16)
    for sequence in (65, 64, 64, 66, 2, 0, 3, 2, 1, 1, 3, 4, 64, 68, 69, 67, 66, 131, 132):
        bench.send([(0, 1)], 1, sequence)
    for sequence in range(5, 64):
        bench.send([(0, 2)], 1, sequence, opcode=INVALIDATE)
    for sequence in (64, 65, 66, 129, 132, 133):
        bench.send([(0, 3)], 1, sequence)
    for client in range(2, bench.clients_n + 3):
        bench.send([(0, 4)], client << 32, 1)
        bench.send([(0, 4)], client << 32, 3)
    bench.send([(0, 5)], 1 << 32, 1)
    bench.send([(0, 5)], 2 << 32, 2)
    bench.send([(0, 5)], 2 << 32, 3)
    await bench.settle()
    assert bench.statuses[SEQUENCE_WINDOW] >= 4
    assert bench.statuses[CLIENTS_FULL] >= 4
    assert bench.counts["evt_update_duplicate"].total >= 8


@cocotb.test()
async def soft_reset(dut: Any) -> None:
    """A reset of the data path forgets the frame at work and no client: an old sequence is still known."""
    bench = UpdateBench(dut)
    await bench.reset()
    bench.add_table(0, 16)
    for turn in range(1, 8):
        bench.send([(0, 1), (0, 2)], 5, turn)
        await bench.settle()
        header = {"opcode": UPDATE, "dim": 16, "keys": 1}
        cut = bench.frame_t.pack({"hdr": header, "payload_len": 128})
        bench.source.send(cut)  # 14 cycles at least to its end
        await bench.cycles(bench.random.randrange(2, 10))
        bench.drive(rst=1, keep_clients=1)
        bench.source.reset()
        await bench.cycles(3)
        bench.drive(rst=0, keep_clients=0)
        assert not bench.read("sts_active")
        bench.send([(0, 3)], 5, turn)
        await bench.settle()
        assert bench.counts["evt_update_duplicate"].total == turn
    assert bench.counts["evt_update"].total == 7


@cocotb.test()
async def memory_errors(dut: Any) -> None:
    """A failed write: MEMORY_ERROR, later rows are not written, the sequence is free; the repetition is applied."""
    bench = UpdateBench(dut)
    await bench.reset()
    dim = 16 * bench.max_vec64
    bench.add_table(0, dim)
    stride = bench.max_vec64 * 64
    base = bench.descriptors[0]["base"]
    for row in (0, 1):
        bench.bad_bursts = {base + row * stride}
        bench.send(
            [(0, 0), (0, 1)] if bench.ks_beats * bench.width // 8 > 2 * stride + 64 else [(0, row)],
            5,
            1,
            dim=dim,
        )
        await bench.settle()
    assert bench.statuses == {MEMORY_ERROR: 2}
    bench.bad_bursts = set()
    bench.send([(0, 1)], 5, 1, dim=dim)
    await bench.settle()
    assert bench.statuses[OK] == 1
    assert bench.counts["evt_update"].total == 1


@cocotb.test()
async def late_writes(dut: Any) -> None:
    """Memory that does not answer in time, wherever it stops: MEMORY_ERROR; no other write begins."""
    bench = UpdateBench(dut)
    dim = 16 * bench.max_vec64
    stride = bench.max_vec64 * 64
    gave_up = bench.count("evt_timeout")
    late = bench.count("evt_late")
    turns = 0
    for turn in range(24):
        await bench.reset()
        bench.memory.latency = (2, 2)
        bench.add_table(0, dim)
        base = bench.descriptors[0]["base"]
        torn = base + (turn % 3) * stride
        bench.memory.ready_rate = bench.random.choice([1.0, 0.5])
        bench.send([(0, turn % 3)], 5, 1, dim=dim)
        # What the model wrote is not there; how much of the row is, is not said.
        await bench.until(lambda: bool(bench.read("m_axi_awvalid") or bench.read("m_axi_wvalid")))
        await bench.cycles(bench.random.randrange(bench.max_vec64 * 512 // bench.width + 4))
        bench.memory.mute = bench.random.random() < 0.5
        bench.memory.ready_rate = 1.0 if bench.memory.mute else 0.0
        await bench.cycles(8)  # a response on its way comes
        if not bench.read("sts_row_open") and not bench.read("m_axi_awvalid"):
            bench.memory.ready_rate, bench.memory.mute = 1.0, False
            await bench.settle()
            continue  # the row was written before memory went
        turns += 1
        expected = bench.board.expected
        assert len(expected) == 1
        expected[0] = bench.done_t.pack(status=MEMORY_ERROR, client=5, seq=1)
        bench.expected_counts.subtract(evt_update=1, evt_update_row=1)
        bench.clients.clear()
        bench.drive(epoch_on=1)
        for epoch in (1, 2):
            assert not bench.read("sts_owed")
            await bench.cycles(30)
            bench.drive(epoch=epoch)
        await bench.until(lambda: not bench.board.expected)
        assert bench.read("sts_owed") == 1
        # A write is refused meanwhile, an invalidation is not.
        writes = len(bench.memory.writes)
        refused, bench.apply = bench.apply, lambda *_: MEMORY_ERROR
        bench.send([(0, 5)], 5, 1, dim=dim)
        bench.apply = refused
        bench.send([(0, 4)], 5, 1, dim=dim, opcode=INVALIDATE)
        await bench.until(lambda: not bench.board.expected)
        assert len(bench.memory.writes) == writes
        bench.memory.ready_rate, bench.memory.mute = 1.0, False
        await bench.until(lambda: not bench.read("sts_owed"))
        bench.image[torn : torn + stride] = bench.memory.data[torn : torn + stride]
        bench.drive(epoch_on=0)
        bench.send(
            [(0, turn % 3), (0, 7)][: 1 + (bench.ks_beats * bench.width // 8 > 2 * stride + 64)],
            5,
            2,
            dim=dim,
        )
        await bench.settle()
    assert turns > 6 and gave_up.total == late.total == turns


@cocotb.test()
async def window_boundaries(dut: Any) -> None:
    """Rows on both sides of a burst's window are cut there, and nowhere else."""
    bench = UpdateBench(dut)
    await bench.reset()
    dim = 16 * bench.max_vec64
    for number in range(2 * bench.max_vec64):
        bench.add_table(0, dim, rows=1)
        bench.descriptors[0]["base"] = 8192 - 64 * number
        bench.send([(0, 0)], 5, 1 + number, dim=dim)
        await bench.settle()
    window, size = bench.memory.window, 64 * bench.max_vec64
    bursts = [
        (base + size - 1) // window - base // window + 1
        for base in (8192 - 64 * number for number in range(2 * bench.max_vec64))
    ]
    assert len(bench.memory.writes) == sum(bursts)
    assert max(bursts) > 1 or window > 64, "no row was cut"


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of the operations with every one of the results; memory and lookups stall too."""
    bench = UpdateBench(dut)
    for op_stall in STALLS:
        for done_stall in STALLS:
            await bench.reset()
            bench.op_sink.stall, bench.done_sink.stall = (
                bench.stall(op_stall),
                bench.stall(done_stall),
            )
            bench.source.stall = bench.stall(bench.random.choice(list(STALLS)))
            bench.idle_lookups.stall = bench.stall(bench.random.choice(list(STALLS)))
            bench.memory.ready_rate = bench.random.choice([1.0, 0.5, 0.1])
            bench.send_one()
            bench.random_frames(5)
            await bench.settle()


@cocotb.test()
async def random_updates(dut: Any) -> None:
    """Long runs of right and wrong frames."""
    bench = UpdateBench(dut)
    for _ in range(6):
        await bench.reset()
        for _ in range(5):
            bench.memory.ready_rate = bench.random.choice([1.0, 0.5])
            bench.random_frames(12, trouble=bench.random.choice([0.0, 0.1, 0.4]))
            await bench.settle()


@cocotb.test()
async def write_rate(dut: Any) -> None:
    """Within a burst a beat goes out in every cycle."""
    bench = UpdateBench(dut)
    await bench.reset()
    bench.memory.latency = (1, 1)
    bursts: list[list[int]] = [[]]

    def beat(last: int) -> None:
        bursts[-1].append(bench.cycle)
        if last:
            bursts.append([])

    bench.monitor("m_axi_wvalid", ["m_axi_wlast"], beat, ready="m_axi_wready")
    dim = 16 * bench.max_vec64
    bench.add_table(0, dim, rows=1, base=0)
    bench.send([(0, 0)], 5, 1, dim=dim)
    await bench.settle()
    assert sum(map(len, bursts)) == bench.max_vec64 * 512 // bench.width
    for beats in bursts[:-1]:
        assert beats[-1] - beats[0] + 1 == len(beats), (
            f"{len(beats)} beats in {beats[-1] - beats[0] + 1} cycles"
        )


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """After a reset at any moment no client is known and nothing of the frame before is left."""
    bench = UpdateBench(dut)
    for _ in range(15):
        await bench.reset()
        bench.random_frames(3)
        await bench.cycles(bench.random.randrange(1, 200))
        await bench.reset(bench.random.randrange(1, 4))
        bench.random_frames(3)
        bench.send_one()
        await bench.settle()


NAMES = (
    "DATA_W",
    "CLIENTS",
    "TABLES",
    "LINE_BYTES",
    "KS_BEATS",
    "MAX_VEC64",
    "MAX_BURST",
    "PLACES",
)
SETS = [
    dict(zip(NAMES, values, strict=True))
    for values in [
        (128, 2, 8, 64, 512, 8, 2, 8),
        (512, 8, 256, 256, 256, 64, 16, 16),
        (128, 3, 4, 512, 64, 1, 256, 1),
    ]
]


@pytest.mark.parametrize(
    "params",
    [*SETS[:2], pytest.param(SETS[2], marks=pytest.mark.slow)],
    ids=["tiny", "line100", "smallest"],
)
def test_update(params: dict[str, int]) -> None:
    """All coroutines as in tiny, as in line100, and with rows of one unit."""
    build_and_test("embnic_update", "test_update", params=params)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DATA_W", 64, "DATA_W must be 128 or 512"),
        ("CLIENTS", 1, "CLIENTS must be 2 to 256"),
        ("TABLES", 12, "TABLES must be a power of two, at least 2"),
        ("LINE_BYTES", 32, "LINE_BYTES must be a power of two from 64 to 4096"),
        ("KS_BEATS", 1000, "KS_BEATS must be a power of two up to 16,384"),
        ("MAX_VEC64", 0, "MAX_VEC64 must be 1 to 64"),
        ("MAX_VEC64", 65, "MAX_VEC64 must be 1 to 64"),
        ("MAX_BURST", 24, "MAX_BURST must be a power of two, 1 to 256"),
        ("MAX_BURST", 512, "MAX_BURST must be a power of two, 1 to 256"),
    ],
)
def test_illegal_parameters_do_not_build(name: str, value: int, message: str) -> None:
    """Each illegal parameter is refused in its own words."""
    expect_build_failure("embnic_update", {name: value}, message)
