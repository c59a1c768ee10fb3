# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_row_cache: every beat, its data, its error and every event against plain Python.

The model follows the operations in the order in which they are accepted: tags at once, and of every line the
number of the read that filled it last. Within a slot beats come in that order; slots in any. Since every read of
memory brings other contents (LineMemory), a beat shows which fill it came from.
"""

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cocotb
import pytest
from cache_model import (
    DROP,
    FETCH,
    LOCK,
    LOOK,
    PIN,
    RELEASE,
    Found,
    Layout,
    RemotePeer,
    SketchModel,
    TagModel,
    Ticker,
    add_memory,
    key_of,
    set_of,
)
from test_remote_fetch import Epochs

from embnic_sim.bench import Bench
from embnic_sim.golden import Command, golden_for, lanes_of, pack_lanes
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.scoreboard import Scoreboard
from embnic_sim.streams import STALLS
from embnic_sim.structs import load_structs

LATENCY = 10  # accepted operation to first beat, on a hit whose slot is quiet
MISS_LATENCY = 14  # last beat from memory to first beat
COPIED = ("slot", "ctx", "first", "last", "dim", "dtype", "pooling", "partial")
COPIED = (*COPIED, "mul_then_add", "weight", "count")
EVENTS = ("row_hit", "row_miss", "line_hit", "line_miss", "evict", "fetch", "fetch_beat")
HELD_EVENTS = ("line_pinned", "no_way", "refused")
ALL_EVENTS = (*EVENTS, *HELD_EVENTS)
EXEC = ("exec_beat", "exec_empty", "exec_fetch", "exec_hazard")
EXPAND = {"FP32": 0, "FIXED": 0, "FP16": 1, "BF16": 1, "INT8": 2, "INT8_FRONT": 2}
EXPAND |= {"INT4": 3, "INT4_END": 3}
FORMATS = ("FP32", "FP16", "INT8", "INT4", "BF16", "INT4_END")


@dataclass
class Row:
    """The operations of one row, which follow each other directly, and the places that they take."""

    slot: int
    places: int
    words: list[int] = field(default_factory=list)


class Issuer:
    """Sends rows as embnic_bag_issue does: only with a credit for each operation, in order within a slot."""

    def __init__(self, bench: "CacheBench") -> None:
        self.bench, self.rows = bench, deque[Row]()
        names = ("s_axis_op_tvalid", "s_axis_op_tready", "s_axis_op_tdata")
        self._valid, self._ready, self._data = (bench.pin(name) for name in names)
        self._credit, self._credit_slot = bench.pin("op_credit_valid"), bench.pin("op_credit_slot")
        self.stall: Callable[[], bool] = lambda: True
        self.window = 64  # rows that may be looked at for one whose slot has room
        self.places = bench.params["OPQ_DEPTH"] // bench.slots
        self.reset()

    def reset(self) -> None:
        """Forget what is queued."""
        self.rows.clear()
        self.credits = [self.places] * self.bench.slots
        self._words: deque[int] = deque()
        self._busy = False
        self._valid.write(0)

    @property
    def empty(self) -> bool:
        """Nothing is left to send."""
        return not self.rows and not self._words

    @property
    def all_back(self) -> bool:
        """Every place was given back."""
        return self.credits == [self.places] * self.bench.slots

    def _choose(self) -> None:
        passed = set()
        for number, row in enumerate(itertools.islice(self.rows, self.window)):
            if row.slot not in passed and row.places <= self.credits[row.slot]:
                self.credits[row.slot] -= row.places
                self._words.extend(row.words)
                del self.rows[number]
                return
            passed.add(row.slot)

    def tick(self) -> None:
        """One clock edge."""
        if self._credit.read():
            slot = self._credit_slot.read()
            self.credits[slot] += 1
            assert self.credits[slot] <= self.places, f"slot {slot} got a credit too many"
        if self._busy:
            if not self._ready.read():
                return
            self._words.popleft()
            self._busy = False
        if not self._words:
            self._choose()
        if self._words and self.stall():
            self._data.write(self._words[0])
            self._busy = True
        self._valid.write(int(self._busy))


class CacheBench(Bench):
    """Operations in; (info, data, error) of every beat out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        params = self.params
        structs = load_structs()
        self.op_t, self.beat_t, self.consts = structs["op_t"], structs["beat_t"], structs.consts
        self.row, self.flush_kind = self.consts["OP_ROW"], self.consts["OP_FLUSH"]
        self.init_kind, self.invalidate = self.consts["OP_INIT"], self.consts["OP_INVALIDATE"]
        self.loop = self.consts["ACC_LOOP_CYCLES"]
        self.long_loop, self.extra = self.loop + 7, 7
        assert self.consts["INT_EXTRA_CYCLES"] == self.extra
        self.bytes, self.slots = params["DATA_W"] // 8, params["SLOTS"]
        self.line_bytes, self.line_beats = params["LINE_BYTES"], params["LINE_BYTES"] // self.bytes
        self.lines = params["WAYS"] * params["SETS"]
        self.tags = TagModel(params["WAYS"], params["SETS"])
        self.want = dict.fromkeys(ALL_EVENTS, 0)
        self.lengths: list[int] = []
        self.longest = max(self.layout(table).vec_beats for table in range(5))
        self.sketch = SketchModel(self.lines)
        self.drive(cfg_flush=0, cfg_cached_ways=1, cfg_admission=0, port_rst=0)
        self.remote_tables: frozenset[int] = frozenset()  # held by other cards
        self.remote_number = 0  # lines asked of them

        self.golden = golden_for(
            "embnic_row_cache",
            {
                "kLanes": self.bytes // 4,
                "kSlots": self.slots,
                "kLineBeats": self.line_beats,
                "kWays": params["WAYS"],
                "kSets": params["SETS"],
                "kFetches": params["FETCHES"],
                "kInitBeats": 512,
            },
        )
        self.issuer = self.add(Issuer(self))
        self.board = self.scoreboard("beats")
        self.add(Ticker(self._watch, self._forget))
        # In the order in which things happen at one edge: cfg_flush comes after an operation accepted with it.
        self.monitor(
            "s_axis_op_tvalid", ["s_axis_op_tdata"], self._accepted, ready="s_axis_op_tready"
        )
        self.monitor("drop_valid", ["drop_key"], self._dropped)
        self.monitor("cfg_flush", ["cfg_flush"], self._flushed)
        self.pf_board = Scoreboard("prefetched rows")  # not every run has some: idle() sees to it
        self.monitor("pf_valid", ["pf_there", "pf_granted"], self.pf_board.check)
        self.joins, self.pf_errors = self.count("evt_join"), self.count("pf_err_valid")
        self.memory = add_memory(self, lambda line: self.lengths[line])
        self.peer = RemotePeer(self, structs["remote_line_t"])
        self.add(self.peer)
        self.remote_epochs = self.add(Epochs(self, "remote_"))
        self.monitor(
            "beat_valid",
            ["beat_info", "beat_data", "err_valid", "err_ctx", "err_status"],
            self._beat,
        )
        self.monitor("err_valid", ["beat_valid"], self._error)
        self.ram_read_port("init_rd", self.init_word)
        self.monitor("init_release", ["init_release"], self._released)
        self.seen = {name: self.count(f"evt_{name}") for name in (*ALL_EVENTS, *EXEC)}
        self._forget()

    # What must come

    def configure(self, cached_ways: int, admission: bool) -> None:
        """Set what is quasi-static, while the cache is idle."""
        self.drive(cfg_cached_ways=cached_ways, cfg_admission=int(admission))
        self.tags.cached_ways, self.tags.admission = cached_ways, admission
        self._set_golden()

    def _set_golden(self) -> None:
        if self.golden is not None:
            self.golden.command(Command.SETTING, [self.tags.cached_ways, int(self.tags.admission)])

    def _dropped(self, key: int) -> None:
        self.tags.lookup(key, False)
        if self.golden is not None:
            self.golden.command(Command.DROP, [key & (1 << 56) - 1, key >> 56])

    def _flushed(self, _: int) -> None:
        self.tags.clear()
        if self.golden is not None:
            self.golden.command(Command.FLUSH)

    def _give_golden(self, op: dict[str, int]) -> None:
        """Let the HLS core do an operation that the model has done; keep its beats."""
        golden = self.golden
        assert golden is not None
        golden.command(Command.TAKE, [op[name] for name in golden.fields])
        asked, *words = golden.words()
        if asked:
            number = len(self.lengths) - 1
            for data in self.memory.line(number, op["addr"]):
                lanes = pack_lanes(data or 0, self.bytes // 4)
                golden.command(Command.MEMORY, [*lanes, int(data is None)])
            words = golden.words()
        names = [name for name, _, _ in self.beat_t.fields]
        step, lanes = len(names) + self.bytes // 8 + 1, len(names)
        for at in range(0, len(words), step):
            beat = words[at : at + step]
            info = dict(zip(names, beat[:lanes], strict=True))
            data = (
                self.init_word((op["row"] + info["beat"]) % 512)
                if info["load"]
                else lanes_of(beat[lanes:-1])
            )
            error = (
                (1, op["ctx"], self.consts["STATUS_MEMORY_ERROR"]) if beat[-1] else (0, None, None)
            )
            self.twin[op["slot"]].append((self.beat_t.pack(info), data, *error))

    async def reset(self, cycles: int = 4) -> None:
        """Also take back what is on offer to other cards."""
        self.drive(port_rst=1)
        await super().reset(cycles)
        self.drive(port_rst=0)

    def _forget(self) -> None:
        self.remote_number = 0
        self.tags.clear()
        self.sketch.clear()
        self.pf_board.reset()
        self.want_pf_errors = self.pf_errors.total
        self.pf_row = (True, True)  # of the row so far: there, granted
        self.twin: dict[int, deque[tuple[Any, ...]]] = {s: deque() for s in range(self.slots)}
        if self.golden is not None:
            self.golden.command(Command.RESET)
            self._set_golden()
        self.data: dict[int, list[int | None]] = {}  # line -> beats of its last fill
        self.lengths.clear()
        self.row_hit = True
        self.inits = 0  # releases of the init RAM to come
        self.beats: dict[int, deque[tuple[Any, ...]]] = {s: deque() for s in range(self.slots)}
        self.issued: dict[tuple[int, int], tuple[int, int]] = {}
        self.long_at: set[int] = set()
        self.accepted_at: list[int] = []
        self.first_beat_at: list[int] = []
        self.slots_seen: list[int] = []
        self.awake = 0
        self.base = {name: counter.total for name, counter in getattr(self, "seen", {}).items()}
        self.want = dict.fromkeys(ALL_EVENTS, 0)

    def init_word(self, addr: int) -> int:
        """Return a beat of the init RAM."""
        return ((addr + 1) * 0x9E3779B97F4A7C15 << 64 | addr) & ((1 << self.bytes * 8) - 1)

    def _released(self, _: int) -> None:
        self.inits -= 1
        assert self.inits >= 0, "a bank is released by the OP_INIT that says so"

    def _accepted(self, word: int) -> None:
        op = self.op_t.unpack(word)
        self.accepted_at.append(self.cycle)
        key = key_of(op["tbl"], op["row"], op["seg"])
        self._model(op, key)
        if self.golden is not None:
            self._give_golden(op)

    def _model(self, op: dict[str, int], key: int) -> None:
        """Do an operation and expect its beats."""
        if op["kind"] == self.invalidate:
            self.tags.lookup(key, False)
            return
        if op["kind"] >= self.consts["OP_RELEASE"]:
            self._prefetch(op, key)
            return
        for info, data in self._beats_of(op, key):
            error = (0, None, None)
            if data is None:
                status = "STATUS_REMOTE_ERROR" if op["remote"] else "STATUS_MEMORY_ERROR"
                error = (1, op["ctx"], self.consts[status])
            self.beats[op["slot"]].append((self.beat_t.pack(info), data or 0, *error))
            self.board.expect(0)

    def _beats_of(self, op: dict[str, int], key: int) -> list[tuple[dict[str, int], int | None]]:
        """Return the beats of an operation: what the pool is told, and the data."""
        row = op["kind"] == self.row
        expand = self.expand_of(op["dtype"]) if row else 0
        stored = self._row(op, key) if row else []
        shared = {name: op[name] for name in COPIED}
        shared |= {
            "load": op["kind"] == self.init_kind,
            "flush": op["kind"] == self.flush_kind,
        }
        beats: list[tuple[dict[str, int], int | None]] = []
        header = int(row and op["header"])
        if header and self.bytes == 16:
            first = {"header": 1, "bare": 1, "beat": op["beat_base"]}
            first["rsp_addr"] = (op["rsp_addr"] + op["beat_base"]) % (1 << 14)
            beats.append((shared | first, stored[0]))
        for number in range(op["beats"]):
            chunk, beat = op["chunk"] + number, op["beat_base"] + number
            data: int | None = 0
            if row:
                data = stored[chunk >> expand]
            elif shared["load"]:
                data = self.init_word((op["row"] + beat) % 512)
            end = number == op["beats"] - 1
            own = {"beat": beat, "rsp_addr": (op["rsp_addr"] + beat) % (1 << 14)}
            own["header"] = int(header and self.bytes == 64 and number == 0)
            own["sub"] = chunk % (1 << expand)
            own["done"] = int(op["last"] and op["last_seg"] and end)
            beats.append((shared | own, data))
        self.inits += int(bool(shared["load"]) and op["last_seg"] and op["row"] >> 9 & 1)
        return beats

    def _row(self, op: dict[str, int], key: int) -> Sequence[int | None]:
        """Look up a line; return its stored beats."""
        found = self._execute(key, LOOK)
        hit = found.hit
        self.want["line_hit" if hit else "line_miss"] += 1
        self.want["line_pinned"] += found.pinned
        self.row_hit = hit and (self.row_hit or bool(op["first_seg"]))
        if op["last_seg"]:
            self.want["row_hit" if self.row_hit else "row_miss"] += 1
        return self.data[found.line] if hit else self._fetch(op, found)

    def _execute(self, key: int, command: int) -> Found:
        """Do a command in the tag stage."""
        estimate = 0
        if self.tags.admission and command not in (DROP, RELEASE):
            estimate = self.sketch.look(key, command == LOOK)
        found = self.tags.execute(key, command, estimate)
        self.want["evict"] += found.evicted
        self.want["no_way"] += found.no_way
        self.want["refused"] += found.refused
        return found

    def _fetch(self, op: dict[str, int], found: Found) -> list[int | None]:
        """Ask memory for a line, and keep what comes if it has a way."""
        self.want["fetch"] += 1
        if op["remote"]:
            beats = self.peer.line(self.remote_number, op["addr"], op["fetch_beats"])
            self.remote_number += 1
        else:
            number = len(self.lengths)
            self.lengths.append(op["fetch_beats"])
            self.want["fetch_beat"] += op["fetch_beats"]
            beats = self.memory.line(number, op["addr"])
        if found.kept:
            self.data[found.line] = beats
        return beats

    def _prefetch(self, op: dict[str, int], key: int) -> None:
        """Bring a line, or release it; expect what is said of its row at the last one."""
        names = {"RELEASE": RELEASE, "PREFETCH": FETCH, "LOCK": LOCK, "PIN": PIN}
        command = {self.consts[f"OP_{name}"]: value for name, value in names.items()}[op["kind"]]
        found = self._execute(key, command)
        granted = found.held if command in (LOCK, PIN) else found.kept
        there, all_granted = (True, True) if op["first_seg"] else self.pf_row
        self.pf_row = (there and found.hit, all_granted and granted)
        if op["last_seg"]:
            self.pf_board.expect((int(self.pf_row[0]), int(self.pf_row[1])))
        if command == RELEASE:
            return
        if not found.hit:
            self.want_pf_errors += self._fetch(op, found).count(None)
        else:
            self.want_pf_errors += self.data[found.line][0] is None

    # What came

    def _beat(self, word: tuple[int, int, int, int, int]) -> None:
        info, data, error, ctx, status = word
        beat = self.beat_t.unpack(info)
        slot = beat["slot"]
        assert self.beats[slot], f"slot {slot}: a beat came, none was expected: {beat}"
        wanted = self.beats[slot].popleft()
        seen = (info, data, 1, ctx, status) if error else (info, data, 0, None, None)
        assert seen == wanted, self._difference(seen, wanted)
        if self.golden is not None:
            twin = self.twin[slot].popleft()
            assert seen == twin, "the HLS core: " + self._difference(seen, twin)
            self.golden.compared += 1
        self.board.check(0)
        self.first_beat_at.append(self.cycle)
        self.slots_seen.append(slot)
        if beat["bare"]:
            return
        place = (slot, beat["beat"])
        if beat["first"]:  # nothing of the bag before is read any more
            for later in range(beat["beat"], self.longest):
                self.issued.pop((slot, later), None)
        is_row = not beat["load"] and not beat["flush"]
        long = bool(is_row and self.expand_of(beat["dtype"]) >= 2)
        if not beat["first"] and place in self.issued:
            at, least = self.issued[place]
            assert self.cycle - at >= least, f"{place}: only {self.cycle - at} cycles apart"
        self.issued[place] = (self.cycle, self.long_loop if long else self.loop)
        if long:
            self.long_at.add(self.cycle)
        else:
            assert self.cycle - self.extra not in self.long_at, "two beats meet at the adder"

    def _difference(self, seen: tuple[Any, ...], wanted: tuple[Any, ...]) -> str:
        fields = [
            f"{name}: {got!r} for {self.beat_t.unpack(wanted[0])[name]!r}"
            for name, got in self.beat_t.unpack(seen[0]).items()
            if got != self.beat_t.unpack(wanted[0])[name]
        ]
        return f"beat differs in {fields}, data {seen[1]:#x} for {wanted[1]:#x}, {seen[2:]} for {wanted[2:]}"

    def _error(self, beat_valid: int) -> None:
        assert beat_valid, "an error is reported with its beat"

    def _watch(self) -> None:
        total = sum(self.read(f"evt_{name}") for name in EXEC)
        self.awake = 0 if self.read("sts_flush_busy") else self.awake + 1
        assert total <= 1 and (total == 1 or self.awake <= 2), (
            f"{total} of the evt_exec_* in one cycle"
        )
        assert not (self.read("sts_idle") and self.board.expected), "idle with beats to come"

    def idle(self) -> bool:
        """The cache is idle, all was sent and every place came back."""
        done = self.issuer.empty and self.issuer.all_back and not self.pf_board.expected
        return bool(self.read("sts_idle")) and done

    def check_events(self) -> None:
        """Compare all counts since the last reset."""
        seen = {name: self.seen[name].total - self.base[name] for name in ALL_EVENTS}
        assert seen == self.want, f"events seen {seen}, expected {self.want}"
        if self.golden is not None:
            twin = {name: self.golden.event(at) for at, name in enumerate(ALL_EVENTS)}
            assert twin == self.want, f"events of the HLS core {twin}, expected {self.want}"
        assert self.inits == 0, "a bank is released after its last OP_INIT"
        assert self.pf_errors.total == self.want_pf_errors, "errors of prefetches"

    async def finish(self, timeout: int = 60_000) -> None:
        """Drain and compare the counts."""
        await self.drain(timeout=timeout)
        self.check_events()

    async def finish_quietly(self) -> None:
        """Wait for operations that give no beats, and compare the counts."""
        await self.until(self.idle, timeout=60_000)
        await self.cycles(5)
        self.check_events()

    async def ready(self) -> None:
        """Reset, and wait until the cache takes operations."""
        await self.reset()
        await self.until(lambda: not self.read("sts_flush_busy"), timeout=5000)

    async def flush(self) -> None:
        """Pulse cfg_flush."""
        self.drive(cfg_flush=1)
        await self.cycles(1)
        self.drive(cfg_flush=0)

    # What goes in

    def expand_of(self, dtype: int) -> int:
        """Return how many times wider than a stored beat a vector is, as a power of two."""
        return {self.consts[f"DTYPE_{name}"]: value for name, value in EXPAND.items()}[dtype]

    def op(self, **fields: int) -> int:
        """Return an operation; what is not named is random."""
        rng = self.random
        given = {
            "slot": rng.randrange(self.slots), "ctx": rng.getrandbits(6), "beats": 1, "first": rng.getrandbits(1),
            "last": rng.getrandbits(1), "first_seg": 1, "last_seg": 1, "dim": rng.getrandbits(16),
            "pooling": rng.randrange(4), "partial": rng.getrandbits(1), "mul_then_add": rng.getrandbits(1),
            "weight": rng.getrandbits(32), "count": rng.getrandbits(32), "rsp_addr": rng.getrandbits(14),
        }  # fmt: skip
        given |= fields
        return self.op_t.pack({"spaced": 1 - given["first"], **given})

    def format_of(self, table: int) -> str:
        """Return how the rows of a table are stored: five tables of each format."""
        return FORMATS[table // 5 % len(FORMATS)]

    def layout(self, table: int) -> Layout:
        """Return the layout of a table's rows: 1, 2, 3, 5 wire beats of a vector, or about two and a half lines."""
        words = [1, 2, 3, 5, max(1, self.line_bytes * 5 // 128)][table % 5]
        beats = words * 64 // self.bytes
        return Layout(beats, EXPAND[self.format_of(table)], self.bytes, self.line_bytes)

    def address(self, table: int, row: int) -> int:
        """Return where a row begins."""
        return (table << 32) + row * self.layout(table).stored_bytes

    def send(self, kind: int, table: int, row: int, **fields: int) -> None:
        """Send the operations of one row (or flush, init, invalidation)."""
        shared = self.op_t.unpack(self.op(**fields))
        shared |= {"kind": kind, "tbl": table, "row": row}
        shared |= {
            "remote": int(table in self.remote_tables),
            "owner": table % 7,
            "generation": table,
        }
        shared["dtype"] = self.consts[f"DTYPE_{self.format_of(table)}"]
        lines = self.layout(table).lines()
        short = kind in (self.invalidate, self.consts["OP_RELEASE"])
        places = 0 if short else len(lines)
        sent = Row(shared["slot"], places)
        for line in lines:
            shared["addr"] = self.address(table, row) + line["seg"] * self.line_bytes
            if kind > self.consts["OP_RELEASE"]:  # as it is stored, whatever its elements are
                line |= {"beats": line["fetch_beats"], "beat_base": 0, "chunk": 0, "header": 0}
                shared |= {"dtype": 0, "first": 1}
            sent.words.append(self.op_t.pack(shared | line))
        self.issuer.rows.append(sent)

    def send_row(self, table: int, row: int, **fields: int) -> None:
        """Send the lines of one row; the table's number says its length and format."""
        self.send(self.row, table, row, **fields)

    def tables_that_fit(self) -> list[int]:
        """Return the fp32 tables whose row 0 hits in all its lines: they lie in different sets."""
        return [
            table
            for table in range(5)
            if len(self.layout(table).lines()) <= min(self.params["SETS"], self.issuer.places)
        ]

    def random_ops(self, number: int, rows: int, tables: int = 5 * len(FORMATS)) -> None:
        """Send rows of a pool, with flushes, inits and invalidations between."""
        for _ in range(number):
            dice = self.random.random()
            table, row = self.random.randrange(tables), self.random.randrange(rows)
            kind = self.row
            if dice > 0.85:
                kind = self.random.choice([self.flush_kind, self.init_kind, self.invalidate])
                row = self.random.getrandbits(10) if kind == self.init_kind else row
            self.send(kind, table, row)

    def random_holds(self, number: int, rows: int, tables: int) -> None:
        """Send rows of a pool with prefetches, locks, pins and releases among them."""
        names = ("OP_RELEASE", "OP_PREFETCH", "OP_LOCK", "OP_PIN", "OP_INVALIDATE")
        kinds = [self.consts[name] for name in names]
        for _ in range(number):
            table, row = self.random.randrange(tables), self.random.randrange(rows)
            kind = self.random.choice(kinds) if self.random.random() < 0.4 else self.row
            self.send(kind, table, row)

    def temper(self) -> None:
        """Draw another temper of the memory."""
        memory, rng = self.memory, self.random
        memory.latency = rng.choice([(2, 2), (2, 40), (30, 30), (1, 150)])
        memory.gap, memory.ready_rate = rng.choice([0.0, 0.0, 0.5]), rng.choice([1.0, 0.5, 0.1])
        memory.interleave, memory.reorder = rng.random() < 0.5, rng.random() < 0.8
        self.issuer.window = rng.choice([1, 8, 64])


@cocotb.test()
async def miss_then_hit(dut: Any) -> None:
    """A row misses, then hits; the latencies are the header's."""
    bench = CacheBench(dut)
    reads: list[int] = []
    came: list[int] = []
    bench.monitor("m_axi_arvalid", ["m_axi_araddr"], lambda _: reads.append(bench.cycle))
    bench.monitor("m_axi_rvalid", ["m_axi_rid"], lambda _: came.append(bench.cycle))
    await bench.ready()
    bench.send_row(0, 5)
    await bench.finish()
    assert reads[0] - bench.accepted_at[0] == 5
    latency = bench.first_beat_at[0] - came[-1]
    if len(bench.layout(0).lines()) == 1:
        assert latency == MISS_LATENCY, f"a miss takes {latency} cycles from its last beat"
    bench.accepted_at.clear()
    bench.first_beat_at.clear()
    bench.send_row(0, 5, first=1)
    await bench.finish()
    assert bench.want["line_hit"] == 1
    latency = bench.first_beat_at[0] - bench.accepted_at[0]
    assert latency == LATENCY, f"a hit takes {latency} cycles, the header says {LATENCY}"


@cocotb.test()
async def hits_overtake_misses(dut: Any) -> None:
    """With every fetch outstanding and memory silent the hits of other slots flow at their full rate."""
    bench = CacheBench(dut)
    places, fetches = bench.issuer.places, bench.params["FETCHES"]
    stuck = min(-(-fetches // places) + 1, bench.slots // 2)
    free = range(stuck, bench.slots)
    rates = []
    for frozen in (False, True):
        await bench.ready()
        bench.send_row(0, 0, slot=free[0])
        await bench.finish()
        bench.memory.frozen = frozen
        if frozen:
            sets = bench.params["SETS"]
            hot = set_of(key_of(0, 0, 0), sets)
            cold = (row for row in itertools.count(1) if set_of(key_of(0, row, 0), sets) != hot)
            for number in range(stuck * places):
                bench.send_row(0, next(cold), slot=number % stuck)
            await bench.until(lambda: bench.memory.outstanding == fetches)
            await bench.cycles(50)
            bench.send_row(0, 0, slot=free[0])
            await bench.cycles(100)
        bench.first_beat_at.clear()
        for number in range(200):
            bench.send_row(0, 0, slot=free[number % len(free)], first=1)
        await bench.until(lambda: bench.issuer.empty)
        await bench.until(lambda: not any(bench.beats[slot] for slot in free), timeout=1000)
        stuck_beats = len(bench.board.expected)
        assert bench.want["line_hit"] >= 100, "they were hits"
        assert bool(stuck_beats) == frozen
        cycles = bench.first_beat_at[-1] - bench.first_beat_at[0] + 1
        rates.append(len(bench.first_beat_at) / cycles)
        bench.memory.frozen = False
        await bench.finish()
    dut._log.info("hits alone %.4f, with all fetches outstanding %.4f beats per cycle", *rates)
    assert rates[1] >= 0.9 * rates[0]


@cocotb.test()
async def hits_overtake_remote_lines(dut: Any) -> None:
    """With all places of half the slots waiting for other cards, hits of the others go on at their full rate."""
    bench = CacheBench(dut)
    if not bench.params["REMOTE_FETCHES"]:
        return
    places, stuck = bench.issuer.places, bench.slots // 2
    free, sets = range(stuck, bench.slots), bench.params["SETS"]
    bench.remote_tables = frozenset({5})
    asked = min(stuck * places, bench.params["REMOTE_FETCHES"])
    rates = []
    for frozen in (False, True):
        await bench.ready()
        bench.peer.latency = (100_000, 100_000)
        if frozen:
            hot = set_of(key_of(0, 0, 0), sets)
            cold = (row for row in itertools.count(1) if set_of(key_of(5, row, 0), sets) != hot)
            for number in range(stuck * places):
                bench.send_row(5, next(cold), slot=number % stuck)
            await bench.until(lambda: bench.issuer.empty, timeout=5000)
            await bench.until(lambda: bench.read("sts_remote_waiting") == asked, timeout=5000)
        bench.send_row(0, 0, slot=free[0])
        await bench.until(lambda: bench.issuer.empty)
        await bench.cycles(100)
        bench.first_beat_at.clear()
        for number in range(300):
            bench.send_row(0, 0, slot=free[number % len(free)], first=1)
        await bench.until(lambda: bench.issuer.empty, timeout=30_000)
        await bench.until(lambda: not any(bench.beats[slot] for slot in free), timeout=30_000)
        cycles = bench.first_beat_at[-1] - bench.first_beat_at[0] + 1
        rates.append(len(bench.first_beat_at) / cycles)
        if frozen:
            assert bench.read("sts_remote_waiting") == asked
            for answer in bench.peer._queue:
                answer.due = 0
        await bench.finish()
    dut._log.info(
        "hits alone %.4f, with %d remote lines outstanding %.4f", rates[0], asked, rates[1]
    )
    assert rates[1] >= 0.95 * rates[0]


@cocotb.test()
async def remote_beside_memory(dut: Any) -> None:
    """Rows of memory and of other cards in one cache: each in its order, whatever becomes of an answer."""
    bench = CacheBench(dut)
    if not bench.params["REMOTE_FETCHES"]:
        return
    peer = bench.peer
    bench.remote_tables = frozenset(range(1, 5 * len(FORMATS), 2))
    for turn in range(8):
        await bench.ready()
        bench.temper()
        peer.latency = bench.random.choice([(2, 2), (2, 60), (100, 400)])
        peer.interleave, peer.ready_rate = (
            bench.random.random() < 0.5,
            bench.random.choice([1.0, 0.3]),
        )
        bench.memory.error_rate = bench.random.choice([0.0, 0.05])
        peer.error_rate = bench.random.choice([0.0, 0.05])
        peer.rates = dict.fromkeys(peer.rates, 0.0)
        bench.remote_epochs.length = 0
        if turn % 2:
            bench.remote_epochs.length = 3000
            peer.rates = {"lost": 0.01, "late": 0.01, "twice": 0.1, "broken": 0.02}
            peer.late = 4 * bench.remote_epochs.length
        bench.random_ops(300, bench.random.choice([2, bench.lines]))
        bench.random_holds(60, 4, 10)
        await bench.finish(timeout=200_000)
        await bench.until(lambda: peer.idle, timeout=60_000)
        assert bench.read("sts_remote_waiting") == 0
    assert bench.joins.total > 10


@cocotb.test()
async def join_waits_for_its_fill(dut: Any) -> None:
    """Rows of every slot on one line that is being fetched wait for it, and other rows do not."""
    bench = CacheBench(dut)
    for _ in range(3):
        await bench.ready()
        bench.send_row(0, 1, slot=0)
        await bench.finish()
        bench.memory.frozen, joins = True, bench.joins.total
        bench.send_row(0, 2, slot=0)
        for slot in range(bench.slots):
            bench.send_row(0, 2, slot=slot)
        await bench.until(lambda: bench.issuer.empty)
        await bench.cycles(50)
        before = bench.board.compared
        for slot in range(1, bench.slots):
            bench.send_row(0, 1, slot=slot)
        await bench.until(lambda: bench.issuer.empty)
        await bench.cycles(50)
        assert bench.board.compared == before, "all wait behind the line, each in its slot"
        assert bench.joins.total - joins == bench.slots, "each joined the fetch"
        bench.memory.frozen = False
        await bench.finish()
    assert bench.want["line_miss"] == 2


@cocotb.test()
async def hits_right_behind_their_miss(dut: Any) -> None:
    """Misses with hits of the same line in the next cycles: the hits see what the miss brought."""
    bench = CacheBench(dut)
    for _ in range(12):
        bench.temper()
        await bench.reset()
        for row in range(20):
            for _ in range(bench.random.randrange(1, 5)):
                bench.send_row(bench.random.choice([0, 4]), row % 7, first=1)
        await bench.finish()
    assert bench.seen["line_hit"].total > 100


@cocotb.test()
async def fills_wait_for_readers(dut: Any) -> None:
    """One hot set with more rows than ways: a fill must not overwrite what older hits have not read."""
    bench = CacheBench(dut)
    ways, sets = bench.params["WAYS"], bench.params["SETS"]
    rows: dict[int, list[int]] = {}
    for row in range(50 * sets):
        rows.setdefault(set_of(key_of(0, row, 0), sets), []).append(row)
    for surplus in (1, 2, 5):
        for _ in range(3):
            bench.temper()
            await bench.reset()
            hot = bench.random.choice(list(rows.values()))[: ways + surplus]
            for _ in range(150):
                row = bench.random.choice(hot if bench.random.random() < 0.8 else hot[:1])
                bench.send_row(0, row, first=1)
            await bench.finish()
    assert bench.seen["evict"].total > 300 and bench.seen["line_hit"].total > 100


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of the operations on memories of every temper, flushed now and then."""
    bench = CacheBench(dut)
    for source_stall in STALLS:
        for rows in (1, bench.lines // 2, 4 * bench.lines):
            bench.temper()
            await bench.reset()
            bench.issuer.stall = bench.stall(source_stall)
            bench.random_ops(40, max(1, rows))
            await bench.cycles(bench.random.randrange(200))
            await bench.flush()
            bench.random_ops(20, max(1, rows))
            await bench.finish()
    window = bench.memory.window
    assert bench.memory.splits > 0 or window >= 4096 or bench.line_bytes == bench.bytes
    assert all(bench.seen[name].total for name in (*EVENTS, *EXEC)), "every event was seen"


@cocotb.test()
async def random_traffic(dut: Any) -> None:
    """Long random traffic without a pause, pools around the size of the cache, all formats or fp32 alone."""
    bench = CacheBench(dut)
    for tables in (5, 5 * len(FORMATS)):
        for rows in (3, bench.lines // 4 + 1, bench.lines):
            bench.temper()
            await bench.reset()
            bench.random_ops(300, rows, tables)
            await bench.finish()


@cocotb.test()
async def formats(dut: Any) -> None:
    """Every format and length: a miss and hits of the same row, alone and mixed with others."""
    bench = CacheBench(dut)
    await bench.reset()
    for table in range(5 * len(FORMATS)):
        for _ in range(3):
            bench.send_row(table, 1, slot=table % bench.slots)
        await bench.finish()
    for _ in range(300):
        bench.send_row(bench.random.randrange(5 * len(FORMATS)), bench.random.randrange(2))
    await bench.finish()


@cocotb.test()
async def memory_errors(dut: Any) -> None:
    """A beat in error is reported by its miss and by every hit until the line is dropped; then it is read again."""
    bench = CacheBench(dut)
    for rate in (0.1, 0.5, 1.0):
        bench.memory.error_rate = rate
        bench.temper()
        await bench.reset()
        bench.random_ops(200, 4)
        await bench.finish()
    bench.memory.error_rate = 1.0
    await bench.reset()
    bench.send_row(0, 3)
    await bench.finish()
    bench.memory.error_rate = 0.0
    before = bench.want["line_miss"]
    bench.send_row(0, 3)
    await bench.finish()
    assert bench.want["line_miss"] > before, "the line in error was dropped"


@cocotb.test()
async def invalidate_during_fetch(dut: Any) -> None:
    """Rows accepted before an invalidation get the line that was being fetched, rows after it another one."""
    bench = CacheBench(dut)
    for wait in (0, 3, 30):
        await bench.ready()
        bench.issuer.window = 1
        bench.memory.latency = (40, 40)
        for _ in range(6):
            for slot in range(bench.slots):
                bench.send_row(0, 3, slot=slot)
            bench.send(bench.invalidate, 0, 3)
            await bench.cycles(wait)
        await bench.finish()
        lines = len(bench.layout(0).lines())
        assert bench.want["line_miss"] == 6 * lines, "each invalidation brought one miss a line"
        bench.random_ops(100, 2, 5)
        await bench.finish()


@cocotb.test()
async def holds(dut: Any) -> None:
    """Random rows, prefetches and holds at every split, with and without the filter, with errors."""
    bench = CacheBench(dut)
    for cached_ways in sorted({0, 1, bench.params["WAYS"]}):
        for admission in (False, True):
            bench.temper()
            bench.memory.error_rate = bench.random.choice([0.0, 0.05])
            bench.configure(cached_ways, admission)
            await bench.reset()
            bench.random_holds(250, max(2, bench.lines // 4), bench.random.choice([1, 5, 30]))
            await bench.finish()
            assert bench.want["fetch"] > bench.want["line_miss"], "some were prefetched"
    assert bench.seen["refused"].total and bench.seen["line_pinned"].total


@cocotb.test()
async def a_prefetched_row_is_a_hit(dut: Any) -> None:
    """A row that was prefetched and locked hits, whatever was looked up in between."""
    bench = CacheBench(dut)
    bench.configure(0, False)
    await bench.reset()
    table = bench.tables_that_fit()[-1]
    bench.send(bench.consts["OP_LOCK"], table, 0)
    await bench.finish_quietly()
    for row in range(1, 3 * bench.lines):
        bench.send_row(0, row)
    await bench.finish()
    before = bench.want["row_hit"]
    bench.send_row(table, 0)
    await bench.finish()
    assert bench.want["row_hit"] == before + 1, "it was kept until now"


@cocotb.test()
async def held_sets_stop_nobody(dut: Any) -> None:
    """With every way of a set pinned, other rows of it are answered, each fetched anew."""
    bench = CacheBench(dut)
    bench.configure(0, False)
    bench.memory.latency = (60, 60)
    await bench.reset()
    ways, sets = bench.params["WAYS"], bench.params["SETS"]
    index = set_of(key_of(0, 0, 0), sets)
    rows = [row for row in range(40 * sets * ways) if set_of(key_of(0, row, 0), sets) == index]
    for row in rows[:ways]:
        bench.send(bench.consts["OP_PIN"], 0, row)
    await bench.finish_quietly()
    for number in range(60):
        bench.send_row(0, rows[ways + number % 3])
        bench.send_row(0, rows[number % ways])
    await bench.finish()
    assert bench.want["no_way"] == 60 and bench.want["line_pinned"] == 60


@cocotb.test()
async def distance_is_exact(dut: Any) -> None:
    """Rows of one slot keep the distance and not one cycle more; rows that long do not wait at all."""
    bench = CacheBench(dut)
    await bench.reset()
    for table in bench.tables_that_fit():
        beats, lines = bench.layout(table).vec_beats, len(bench.layout(table).lines())
        if lines > 1 and bench.line_beats < 3:
            continue  # a slot alone gives a line in 3 cycles
        bench.send_row(table, 0, slot=0, first=1)
        await bench.finish()
        bench.first_beat_at.clear()
        for _ in range(5):
            bench.send_row(table, 0, slot=0, first=0)
        await bench.finish()
        starts = bench.first_beat_at[
            beats::beats
        ]  # the first finds the slot quiet, its second line not
        gaps = [after - before for before, after in itertools.pairwise(starts)]
        assert gaps == [max(bench.loop, beats)] * 3, f"rows of {beats} beats start {gaps} apart"


async def _rate(bench: CacheBench, table: int, number: int, keys: int) -> float:
    """Return beats per cycle of hits: bags of `keys` rows, one bag after the other in each slot."""
    await bench.ready()
    bench.send_row(table, 0, first=1)
    await bench.finish()
    bench.first_beat_at.clear()
    for count in range(number):
        first = int(count // bench.slots % keys == 0)
        bench.send_row(table, 0, slot=count % bench.slots, first=first)
    await bench.finish()
    return len(bench.first_beat_at) / (bench.first_beat_at[-1] - bench.first_beat_at[0] + 1)


@cocotb.test()
async def hits_at_full_rate(dut: Any) -> None:
    """A stream of hits is a beat in every cycle, with lines of one beat as of more, for bags of every length."""
    bench = CacheBench(dut)
    for table in bench.tables_that_fit():
        for keys in (1, 2, 20, 80):
            beats = bench.layout(table).vec_beats
            rate = await _rate(bench, table, 6 * bench.slots + 1600 // beats, keys)
            dut._log.info("hits, bags of %d rows of %d beats: %.4f beats/cycle", keys, beats, rate)
            assert rate >= 0.98


@cocotb.test()
async def slots_take_turns(dut: Any) -> None:
    """While all slots have hits to give, none waits much longer than the others."""
    bench = CacheBench(dut)
    await bench.ready()
    bench.send_row(0, 0, first=1)
    await bench.finish()
    bench.slots_seen.clear()
    for count in range(40 * bench.slots):
        bench.send_row(0, 0, slot=count % bench.slots, first=1)
    await bench.finish()
    beats = bench.layout(0).vec_beats
    last: dict[int, int] = {}
    gaps = []
    for number, slot in enumerate(bench.slots_seen[::beats]):
        gaps.append(number - last.get(slot, number))
        last[slot] = number
    assert max(gaps) <= 3 * bench.slots, f"a slot waited for {max(gaps)} rows of others"


@cocotb.test()
async def misses_keep_memory_busy(dut: Any) -> None:
    """Little's law: with 120 cycles of latency FETCHES lines are outstanding, or every cycle brings a beat."""
    bench = CacheBench(dut)
    memory, fetches = bench.memory, bench.params["FETCHES"]
    memory.latency, memory.interleave, memory.reorder = (120, 120), False, False
    await bench.ready()
    rows = 20 * fetches + 300
    for row in range(rows):
        bench.send_row(0, 1000 + row, slot=row % bench.slots, first=1)
    await bench.until(lambda: len(bench.first_beat_at) > 100)
    memory.outstanding_sum, memory.cycles, start, done = 0, 0, bench.cycle, len(bench.first_beat_at)
    await bench.until(lambda: bench.issuer.empty, timeout=60_000)
    mean = memory.outstanding_sum / memory.cycles
    beats = (len(bench.first_beat_at) - done) / (bench.cycle - start)
    bound = min(1.0, fetches * bench.layout(0).vec_beats / (120 + bench.layout(0).vec_beats))
    await bench.finish()
    dut._log.info("outstanding %.2f of %d, %.4f beats/cycle of %.4f", mean, fetches, beats, bound)
    assert beats >= 0.9 * bound


@cocotb.test()
async def idle_and_flush(dut: Any) -> None:
    """Flushes in traffic and when idle: everything misses afterwards, operations wait meanwhile."""
    bench = CacheBench(dut)
    await bench.reset()
    for _ in range(10):
        bench.random_ops(20, 3)
        if bench.random.random() < 0.5:
            await bench.finish()
        await bench.cycles(bench.random.randrange(40))
        await bench.flush()
        await bench.until(lambda: bool(bench.read("sts_flush_busy")), timeout=3)
        await bench.until(lambda: not bench.read("sts_flush_busy"))
    await bench.finish()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset of core and memory together at any moment, errors included."""
    bench = CacheBench(dut)
    bench.memory.latency, bench.memory.error_rate = (3, 60), 0.1
    await bench.reset_in_traffic(lambda: bench.random_ops(40, bench.lines), times=15, within=200)
    bench.check_events()


NAMES = ("DATA_W", "LINE_BYTES", "WAYS", "SETS", "FETCHES", "OPQ_DEPTH", "SLOTS", "RAM_STYLE")
NAMES = (*NAMES, "MAX_BURST", "REMOTE_FETCHES")


@pytest.mark.parametrize(
    "values",
    [
        (128, 64, 2, 8, 4, 32, 4, 0, 2, 16),
        (512, 256, 4, 4, 128, 512, 32, 3, 16, 320),
        pytest.param((512, 64, 1, 16, 64, 512, 64, 2, 256, 0), marks=pytest.mark.slow),
    ],
    ids=["tiny", "wide", "single_beat"],
)
def test_row_cache(values: tuple[int, ...]) -> None:
    """All coroutines: the tiny configuration, four ways of 512 bits, and lines of one beat without ways."""
    build_and_test(
        "embnic_row_cache", "test_row_cache", params=dict(zip(NAMES, values, strict=True))
    )


def test_row_cache_and_the_hls_core() -> None:
    """The HLS core gives the beats and the events of the RTL, slot by slot."""
    build_and_test(
        "embnic_row_cache",
        "test_row_cache",
        params=dict(zip(NAMES, (128, 64, 2, 8, 4, 32, 4, 0, 2, 0), strict=True)),
        extra_env={"EMBNIC_GOLDEN": "hls"},
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"DATA_W": 64}, "DATA_W must be 128 or 512"),
        ({"LINE_BYTES": 96}, "LINE_BYTES must be a power of two, 64 to 4096"),
        ({"WAYS": 6}, "WAYS must be 1, 2, 4 or 8"),
        ({"SETS": 1000}, "SETS must be a power of two, at least 2"),
        ({"FETCHES": 513}, "FETCHES must be 1 to PLACES"),
        ({"OPQ_DEPTH": 384}, "DEPTH must be a power of two, at least two places a slot"),
        ({"OPQ_DEPTH": 32}, "DEPTH must be a power of two, at least two places a slot"),
        ({"OPQ_DEPTH": 4096}, "DEPTH must be a power of two, at least two places a slot"),
        ({"SLOTS": 24}, "SLOTS must be a power of two, 2 to 64"),
        ({"SLOTS": 128}, "SLOTS must be a power of two, 2 to 64"),
        ({"REMOTE_FETCHES": 513}, "REMOTE_FETCHES must be 0 to PLACES"),
        ({"MAX_BURST": 24}, "MAX_BURST must be a power of two, 1 to 256"),
        ({"RAM_STYLE": 4}, "STYLE must be 0 (auto)"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Each is refused by its own message."""
    expect_build_failure("embnic_row_cache", params, message)
