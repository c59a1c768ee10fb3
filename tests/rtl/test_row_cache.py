# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_row_cache: every beat, its data, its error and every event against plain Python.

The model follows the operations in the order in which they are accepted: tags at once, data in the same order.
That this is all there is to know about the cache is its design.
"""

import itertools
from collections.abc import Callable
from typing import Any

import cocotb
import pytest
from cache_model import TagModel, add_memory, key_of

from embnic_sim.bench import STALLS, Bench, load_structs
from embnic_sim.runner import build_and_test, expect_build_failure

LATENCY = 8  # accepted operation to first beat, on a hit
COPIED = ("slot", "ctx", "first", "last", "dim", "pooling", "partial")
COPIED = (*COPIED, "mul_then_add", "weight", "count")
EVENTS = ("row_hit", "row_miss", "line_hit", "line_miss", "evict", "fetch_beat")
EXEC = ("exec_beat", "exec_empty", "exec_fetch", "exec_hazard")


class Ticker:
    """Calls functions at every clock edge and at every reset."""

    def __init__(self, tick: Callable[[], None], reset: Callable[[], None]) -> None:
        self.tick, self.reset = tick, reset


class CacheBench(Bench):
    """Operations in; (info, data, error) of every beat out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        params = self.params
        structs = load_structs()
        self.op_t, self.beat_t, self.consts = structs["op_t"], structs["beat_t"], structs.consts
        self.row, self.flush_kind = self.consts["OP_ROW"], self.consts["OP_FLUSH"]
        self.init_kind, self.invalidate = self.consts["OP_INIT"], self.consts["OP_INVALIDATE"]
        self.bytes, self.slots = params["DATA_W"] // 8, params["SLOTS"]
        self.line_bytes, self.line_beats = params["LINE_BYTES"], params["LINE_BYTES"] // self.bytes
        self.lines = params["WAYS"] * params["SETS"]
        self.tags = TagModel(params["WAYS"], params["SETS"])
        self.want = dict.fromkeys(EVENTS, 0)
        self.stride: dict[int, int] = {}  # table -> beats of its rows
        self.lengths: list[int] = []
        self.drive(cfg_flush=0)

        self.source = self.stream_source("s_axis_op")
        self.board = self.scoreboard("beats")
        self.add(Ticker(self._watch, self._forget))
        # In the order in which things happen at one edge: cfg_flush comes after an operation accepted with it.
        self.monitor(
            "s_axis_op_tvalid", ["s_axis_op_tdata"], self._accepted, ready="s_axis_op_tready"
        )
        self.monitor("drop_valid", ["drop_key"], lambda key: self.tags.lookup(key, False))
        self.monitor("cfg_flush", ["cfg_flush"], lambda _: self.tags.clear())
        self.memory = add_memory(self, lambda line: self.lengths[line])
        self.monitor(
            "beat_valid",
            ["beat_info", "beat_data", "err_valid", "err_ctx", "err_status"],
            self._beat,
        )
        self.monitor("err_valid", ["beat_valid"], self._error)
        self.init_epoch = 0
        self.ram_read_port("init_rd", lambda addr: self.init_word(addr, self.init_epoch))
        self.monitor("init_release", ["init_release"], self._released)
        self.seen = {name: self.count(f"evt_{name}") for name in (*EVENTS, *EXEC)}
        self._forget()

    # What must come

    def _forget(self) -> None:
        self.tags.clear()
        self.data: dict[int, list[int | None]] = {}
        self.lengths.clear()
        self.row_hit = True
        self.inits = self.init_epoch
        self.issued: dict[tuple[int, int], int] = {}
        self.accepted_at: list[int] = []
        self.first_beat_at: list[int] = []
        self.awake = 0
        self.base = {name: counter.total for name, counter in getattr(self, "seen", {}).items()}
        self.want = dict.fromkeys(EVENTS, 0)

    def init_word(self, addr: int, epoch: int) -> int:
        """Return a beat of the accumulator that waits in the init RAM the n-th time."""
        return ((addr + 1 + epoch * 1000) * 0x9E3779B97F4A7C15 << 64 | addr) & (
            (1 << self.bytes * 8) - 1
        )

    def _released(self, _: int) -> None:
        self.init_epoch += 1

    def _accepted(self, word: int) -> None:
        op = self.op_t.unpack(word)
        self.accepted_at.append(self.cycle)
        key = key_of(op["tbl"], op["row"], op["seg"])
        if op["kind"] == self.invalidate:
            self.tags.lookup(key, False)
            return
        for beat, data in enumerate(self._data_of(op, key)):
            number = op["beat_base"] + beat
            end = beat == op["beats"] - 1
            info = {name: op[name] for name in COPIED}
            info |= {"beat": number, "rsp_addr": (op["rsp_addr"] + number) % (1 << 14)}
            info |= {"load": op["kind"] == self.init_kind, "flush": op["kind"] == self.flush_kind}
            info["done"] = int(op["last"] and op["last_seg"] and end)
            error = (
                (1, op["ctx"], self.consts["STATUS_MEMORY_ERROR"])
                if data is None
                else (0, None, None)
            )
            self.board.expect((self.beat_t.pack(info), data or 0, *error))

    def _data_of(self, op: dict[str, int], key: int) -> list[int | None]:
        if op["kind"] == self.flush_kind:
            return [0] * op["beats"]
        if op["kind"] == self.init_kind:
            first = op["beat_base"]
            words = [self.init_word(first + beat, self.inits) for beat in range(op["beats"])]
            self.inits += op["last_seg"]
            return words
        hit, line, evicted = self.tags.lookup(key, True)
        self.want["line_hit" if hit else "line_miss"] += 1
        self.want["evict"] += evicted
        self.row_hit = hit and (self.row_hit or bool(op["first_seg"]))
        if op["last_seg"]:
            self.want["row_hit" if self.row_hit else "row_miss"] += 1
        if not hit:
            number = len(self.lengths)
            self.lengths.append(op["beats"])
            self.want["fetch_beat"] += op["beats"]
            bad = self.memory.errors(number)
            self.data[line] = [
                None if bad >> beat & 1 else self.memory.word(op["addr"] + beat * self.bytes)
                for beat in range(op["beats"])
            ]
        return self.data[line]

    # What came

    def _beat(self, word: tuple[int, int, int, int, int]) -> None:
        info, data, error, ctx, status = word
        self.board.check((info, data, 1, ctx, status) if error else (info, data, 0, None, None))
        beat = self.beat_t.unpack(info)
        self.first_beat_at.append(self.cycle)
        place = (beat["slot"], beat["beat"])
        if not beat["first"] and not beat["load"] and place in self.issued:
            distance = self.cycle - self.issued[place]
            assert distance >= self.consts["ACC_LOOP_CYCLES"], (
                f"slot, beat {place}: only {distance} cycles apart"
            )
        self.issued[place] = self.cycle

    def _error(self, beat_valid: int) -> None:
        assert beat_valid, "an error is reported with its beat"

    def _watch(self) -> None:
        total = sum(self.read(f"evt_{name}") for name in EXEC)
        self.awake = 0 if self.read("sts_flush_busy") else self.awake + 1
        assert total <= 1 and (total == 1 or self.awake <= 2), (
            f"{total} of the evt_exec_* in one cycle"
        )
        assert not (self.read("sts_idle") and self.board.expected), "idle with beats to come"

    def check_events(self) -> None:
        """Compare all counts since the last reset."""
        seen = {name: self.seen[name].total - self.base[name] for name in EVENTS}
        assert seen == self.want, f"events seen {seen}, expected {self.want}"

    async def finish(self, timeout: int = 30_000) -> None:
        """Drain and compare the counts."""
        await self.drain(timeout=timeout)
        self.check_events()

    async def flush(self) -> None:
        """Pulse cfg_flush."""
        self.drive(cfg_flush=1)
        await self.cycles(1)
        self.drive(cfg_flush=0)

    # What goes in

    def op(self, **fields: int) -> int:
        """Return an operation; what is not named is random."""
        rng = self.random
        given = {
            "slot": rng.randrange(self.slots), "ctx": rng.getrandbits(6), "beats": 1, "first": rng.getrandbits(1),
            "last": rng.getrandbits(1), "first_seg": 1, "last_seg": 1, "dim": rng.getrandbits(16),
            "pooling": rng.randrange(4), "partial": rng.getrandbits(1), "mul_then_add": rng.getrandbits(1),
            "weight": rng.getrandbits(32), "count": rng.getrandbits(32), "rsp_addr": rng.getrandbits(14),
        }  # fmt: skip
        return self.op_t.pack(given | fields)

    def lines_of(self, kind: int, table: int, row: int, beats: int, **fields: int) -> None:
        """Send the operations of one row (or flush, or init) of so many beats."""
        shared = self.op_t.unpack(self.op(**fields))
        count = -(-beats // self.line_beats)
        for seg in range(count):
            base = seg * self.line_beats
            shared |= {"kind": kind, "tbl": table, "row": row, "seg": seg, "beat_base": base}
            shared |= {"first_seg": int(seg == 0), "last_seg": int(seg == count - 1)}
            shared["beats"] = min(self.line_beats, beats - base)
            shared["addr"] = (table << 30) + row * beats * self.bytes + seg * self.line_bytes
            self.source.send(self.op_t.pack(shared))

    def send_row(self, table: int, row: int, **fields: int) -> None:
        """Send the lines of one row; the table's number says how long its rows are."""
        self.lines_of(self.row, table, row, self.row_beats(table), **fields)

    def row_beats(self, table: int) -> int:
        """Return the beats of a table's rows: 1, 2, 3, 5 wire beats, or about two and a half lines."""
        words = [1, 2, 3, 5, max(1, self.line_bytes * 5 // 128)][table % 5]
        return words * 64 // self.bytes

    def tables_that_fit(self) -> list[int]:
        """Return the tables whose row 0 hits in all its lines: they lie in different sets."""
        return [
            table
            for table in range(5)
            if self.row_beats(table) <= self.line_beats * self.params["SETS"]
        ]

    def random_ops(self, number: int, rows: int) -> None:
        """Send rows of a pool, with flushes, inits and invalidations between."""
        for _ in range(number):
            dice = self.random.random()
            table, row = self.random.randrange(5), self.random.randrange(rows)
            if dice < 0.85:
                self.send_row(table, row)
            elif dice < 0.9:
                self.lines_of(self.flush_kind, 0, 0, self.row_beats(table))
            elif dice < 0.95:
                self.lines_of(self.init_kind, 0, 0, self.row_beats(table))
            else:
                self.lines_of(self.invalidate, table, row, self.row_beats(table))

    def temper(self) -> None:
        """Draw another temper of the memory."""
        memory, rng = self.memory, self.random
        memory.latency = rng.choice([(2, 2), (2, 40), (30, 30), (1, 150)])
        memory.gap, memory.ready_rate = rng.choice([0.0, 0.0, 0.5]), rng.choice([1.0, 0.5, 0.1])
        memory.interleave, memory.reorder = rng.random() < 0.5, rng.random() < 0.8


@cocotb.test()
async def miss_then_hit(dut: Any) -> None:
    """A row misses, then hits; latency of the hit and of the read address are the header's."""
    bench = CacheBench(dut)
    reads: list[int] = []
    bench.monitor("m_axi_arvalid", ["m_axi_araddr"], lambda _: reads.append(bench.cycle))
    await bench.reset()
    await bench.until(lambda: not bench.read("sts_flush_busy"))
    bench.send_row(0, 5)
    await bench.finish()
    assert reads[0] - bench.accepted_at[0] == 4
    bench.accepted_at.clear()
    bench.first_beat_at.clear()
    bench.send_row(0, 5, first=1)
    await bench.finish()
    assert bench.want["line_hit"] == 1
    latency = bench.first_beat_at[0] - bench.accepted_at[0]
    assert latency == LATENCY, f"a hit takes {latency} cycles, the header says {LATENCY}"


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
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of the operations on memories of every temper, flushed now and then."""
    bench = CacheBench(dut)
    for source_stall in STALLS:
        for rows in (1, bench.lines // 2, 4 * bench.lines):
            bench.temper()
            await bench.reset()
            bench.source.stall = bench.stall(source_stall)
            bench.random_ops(40, max(1, rows))
            await bench.cycles(bench.random.randrange(200))
            await bench.flush()
            bench.random_ops(20, max(1, rows))
            await bench.finish()
    assert bench.memory.splits > 0 or bench.line_bytes == 64
    assert all(bench.seen[name].total for name in (*EVENTS, *EXEC)), "every event was seen"


@cocotb.test()
async def random_traffic(dut: Any) -> None:
    """Long random traffic without a pause, pools around the size of the cache."""
    bench = CacheBench(dut)
    for rows in (3, bench.lines // 4 + 1, bench.lines):
        bench.temper()
        await bench.reset()
        bench.random_ops(300, rows)
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
    bench.memory._errors.clear()
    bench.send_row(0, 3)
    await bench.finish()
    assert bench.want["line_miss"] > before, "the line in error was dropped"


@cocotb.test()
async def update_then_invalidate(dut: Any) -> None:
    """Memory changes while the cache is idle, its keys are invalidated: the new contents are seen."""
    bench = CacheBench(dut)
    await bench.reset()
    for version in range(1, 6):
        for row in range(4):
            bench.send_row(2, row)
        await bench.finish()
        length = bench.row_beats(2) * bench.bytes
        for addr in range((2 << 30) + length, (2 << 30) + 2 * length, bench.bytes):
            bench.memory.version[addr] = version
        bench.lines_of(bench.invalidate, 2, 1, bench.row_beats(2))
    assert bench.want["line_miss"] >= 5


@cocotb.test()
async def distance_is_exact(dut: Any) -> None:
    """Rows of one slot keep ACC_LOOP_CYCLES and not one cycle more; rows that long do not wait at all."""
    bench = CacheBench(dut)
    loop = bench.consts["ACC_LOOP_CYCLES"]
    await bench.reset()
    for table in bench.tables_that_fit():
        beats = bench.row_beats(table)
        bench.send_row(table, 0, slot=0, first=1)
        await bench.finish()
        bench.first_beat_at.clear()
        for _ in range(3):
            bench.send_row(table, 0, slot=0, first=0)
        await bench.finish()
        starts = bench.first_beat_at[::beats]
        assert [b - a for a, b in itertools.pairwise(starts)] == [max(loop, beats)] * 2, starts


async def _rate(bench: CacheBench, table: int, number: int) -> float:
    """Return beats per cycle of a stream of hits."""
    await bench.reset()
    bench.send_row(table, 0, first=1)
    await bench.finish()
    bench.first_beat_at.clear()
    for count in range(number):
        bench.send_row(table, 0, slot=count % bench.slots, first=1)
    await bench.finish()
    return len(bench.first_beat_at) / (bench.first_beat_at[-1] - bench.first_beat_at[0] + 1)


@cocotb.test()
async def hits_at_full_rate(dut: Any) -> None:
    """A stream of hits is a beat in every cycle, with lines of one beat as of more."""
    bench = CacheBench(dut)
    for table in bench.tables_that_fit():
        rate = await _rate(bench, table, 400)
        dut._log.info("hits, rows of %d beats: %.4f beats per cycle", bench.row_beats(table), rate)
        assert rate >= 0.98


@cocotb.test()
async def misses_keep_the_ring_full(dut: Any) -> None:
    """Little's law: with 120 cycles of latency FETCHES lines are outstanding."""
    bench = CacheBench(dut)
    memory, fetches = bench.memory, bench.params["FETCHES"]
    memory.latency, memory.interleave, memory.reorder = (120, 120), False, False
    await bench.reset()
    await bench.until(lambda: not bench.read("sts_flush_busy"))
    table = 0 if bench.line_bytes == 64 else 1
    rows = 20 * fetches
    for row in range(rows):
        bench.send_row(table, 1000 + row, first=1)
    await bench.until(lambda: memory.outstanding_max == fetches)
    memory.outstanding_sum, memory.cycles, start, done = 0, 0, bench.cycle, len(bench.first_beat_at)
    await bench.until(lambda: bench.source.empty, timeout=60_000)
    mean = memory.outstanding_sum / memory.cycles
    beats = (len(bench.first_beat_at) - done) / (bench.cycle - start)
    await bench.finish()
    dut._log.info("outstanding %.2f of %d, %.4f beats per cycle", mean, fetches, beats)
    assert mean >= 0.9 * fetches


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


@pytest.mark.parametrize(
    "values",
    [(128, 64, 2, 8, 4, 8, 4, 0), (512, 256, 4, 4, 8, 16, 32, 3), (512, 64, 1, 4, 16, 32, 64, 2)],
    ids=["tiny", "wide", "single_beat"],
)
def test_row_cache(values: tuple[int, ...]) -> None:
    """All coroutines: the tiny configuration, four ways of 512 bits, and lines of one beat without ways."""
    build_and_test(
        "embnic_row_cache", "test_row_cache", params=dict(zip(NAMES, values, strict=True))
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"DATA_W": 64}, "DATA_W must be 128 or 512"),
        ({"LINE_BYTES": 96}, "LINE_BYTES must be a power of two, 64 to 4096"),
        ({"WAYS": 6}, "WAYS must be 1, 2, 4 or 8"),
        ({"SETS": 1000}, "SETS must be a power of two, at least 2"),
        ({"FETCHES": 3}, "FETCHES must be a power of two, at least 2"),
        ({"OPQ_DEPTH": 100}, "OPQ_DEPTH must be a power of two, at least 2"),
        ({"SLOTS": 65}, "SLOTS must be 1 to 64"),
        ({"RAM_STYLE": 4}, "STYLE must be 0 (auto)"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Each is refused by its own message."""
    expect_build_failure("embnic_row_cache", params, message)
