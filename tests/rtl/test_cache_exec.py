# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_cache_exec: beats, fills, errors and distances against a data RAM in plain Python."""

import itertools
from dataclasses import dataclass
from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.paths import rtl_root
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.scoreboard import Scoreboard
from embnic_sim.streams import STALLS
from embnic_sim.structs import load_structs

BANKS, INIT_BEATS = 4, 512
COPIED = (
    "slot",
    "ctx",
    "bank",
    "first",
    "load",
    "flush",
    "last",
    "dim",
    "dtype",
    "pooling",
    "partial",
)
COPIED = (*COPIED, "mul_then_add", "weight", "count")
EXPAND = {"FP32": 0, "FP16": 1, "INT8": 2, "INT4_END": 3}
LONGEST = 40  # vector beats of a line
FILL_TO_READ = 2  # cycles from filled_valid to a read of the line, as the scheduler keeps


@dataclass
class Line:
    """What lies in a line of the cache: format, where its vector beats lie, and the stored beats."""

    dtype: str
    header: int
    chunk: int
    beats: int
    words: list[int]


class Fetched:
    """Stands for the fetch buffer: answers fetch_rd_* two cycles later."""

    def __init__(self, bench: "ExecBench") -> None:
        self.bench = bench
        self.words: dict[int, list[int]] = {}
        self._read_q = 0

    def reset(self) -> None:
        """The buffer keeps its contents."""

    def tick(self) -> None:
        """One clock edge."""
        bench = self.bench
        bench.drive(fetch_rd_data=self._read_q)
        if bench.read("fetch_rd_en"):
            self._read_q = self.words[bench.read("fetch_rd_place")][bench.read("fetch_rd_beat")]


class ExecBench(Bench):
    """Operations in; (info, data, error) of every beat and dropped keys out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        root = rtl_root()
        names = ("gen/embnic_wire_pkg.sv", "embnic_pkg.sv", "lookup/embnic_cache_pkg.sv")
        structs = load_structs([root / name for name in names])
        self.lookup_t, self.beat_t = structs["lookup_t"], structs["beat_t"]
        self.consts = structs.consts
        self.width, self.line_beats = int(self.params["DATA_W"]), int(self.params["LINE_BEATS"])
        self.lines, self.slots = int(self.params["LINES"]), int(self.params["SLOTS"])
        self.places = int(self.params["PLACES"])
        self.long = {self.consts[f"DTYPE_{name}"] for name, e in EXPAND.items() if e >= 2}
        self.loop = self.consts["ACC_LOOP_CYCLES"]
        self.extra = self.consts["INT_EXTRA_CYCLES"]
        self.monitor("filled_valid", ["filled_line", "filled_fills"], self._filled)
        self.ops = self.stream_source("s_axis_lookup")
        self.ops.on_sent = self._sent
        self.fetched = self.add(Fetched(self))
        self.board = self.scoreboard("beats")
        self.drops = Scoreboard("drops")  # not every run has some: idle() sees to the rest
        self.ended, self.wanted_ends = 0, 0
        self.monitor("ended_valid", ["event_slot"], self._ended)
        self.started = self.count("started_valid")
        self.monitor(
            "beat_valid",
            ["beat_info", "beat_data", "err_valid", "err_ctx", "err_status"],
            self._beat,
        )
        self.monitor("drop_valid", ["drop_key"], self.drops.check)
        self.ram_read_port(
            "init_rd", lambda addr: (addr + 1) * 0x0123456789ABCDEF & ((1 << self.width) - 1)
        )
        self.releases = Scoreboard("releases")
        self.monitor("init_release", ["init_release_bank"], self.releases.check)
        self.exec = [self.count(f"evt_exec_{name}") for name in ("beat", "hold")]
        self.error_rate = 0.0
        self.silent_rate, self.silent_errors = 0.0, self.count("silent_err_valid")
        self.wanted_silent = 0
        self.place = 0
        self.forget()

    def forget(self) -> None:
        """Forget all lines and beats."""
        self.model: dict[int, Line] = {}
        self.issued: dict[tuple[int, int], tuple[int, int]] = {}
        self.long_at: set[int] = set()
        self.pair: int | None = None  # cycle of a combine whose fetch has not come
        self.filling: dict[int, int] = {}  # line -> fills that were sent and are not done
        self.filled_at: dict[int, int] = {}
        self.slots_sent: list[int] = []
        self.gap = self.stall("never")
        self.ops.stall = self.may_go

    async def reset(self, cycles: int = 4) -> None:
        """Forget all lines and beats."""
        self.forget()
        self.drops.reset()
        self.releases.reset()
        await super().reset(cycles)

    def idle(self) -> bool:
        """The stage is idle, nothing waits at its input, every line in error was named."""
        waiting = self.read("s_axis_lookup_tvalid") or self.drops.expected
        return bool(self.read("sts_idle")) and not waiting

    def may_go(self) -> bool:
        """Let a hit go only when the fill of its line is done for so long, as the scheduler does."""
        op = self.lookup_t.unpack(self.ops.queue[0])
        line = op["line"]
        if not (op["miss"] or op["load"] or op["flush"]):
            recent = self.cycle < self.filled_at.get(line, -FILL_TO_READ) + FILL_TO_READ
            if self.filling.get(line) or recent:
                return False
        if not self.gap():
            return False
        if op["fill"]:
            self.filling[line] = self.filling.get(line, 0) + 1
        return True

    def _sent(self, word: int) -> None:
        self.slots_sent.append(self.lookup_t.unpack(word)["slot"])

    def _filled(self, word: tuple[int, int]) -> None:
        line, fills = word
        assert fills == line % 512, "the stamp comes with the line"
        self.filling[line] -= 1
        self.filled_at[line] = self.cycle

    def _ended(self, slot: int) -> None:
        assert slot == self.slots_sent.pop(0), "an operation ends in the order given"
        self.ended += 1

    def _beat(self, word: tuple[int, int, int, int, int]) -> None:
        info, data, error, ctx, status = word
        self.board.check((info, data, 1, ctx, status) if error else (info, data, 0, None, None))
        beat = self.beat_t.unpack(info)
        if beat["bare"]:
            return
        if self.pair is not None:
            assert beat["fetch"] and self.cycle == self.pair + 1, (
                "a fetch is right behind its combine or product"
            )
        self.pair = self.cycle if beat["combine"] or beat["product"] else None
        if beat["fetch"]:
            return
        place = (beat["slot"], beat["beat"])
        if beat["first"]:  # nothing of the bag before is read any more
            for later in range(beat["beat"], LONGEST):
                self.issued.pop((beat["slot"], later), None)
        if not beat["first"] and place in self.issued:
            at, least = self.issued[place]
            assert self.cycle - at >= least, f"{place} too early"
        row = not (beat["load"] or beat["flush"] or beat["combine"])
        long = (row and (beat["dtype"] in self.long or bool(beat["product"]))) or bool(
            beat["combine"] and self.adds(beat)
        )
        of_pair = beat["pooling"] == self.consts["POOLING_NONE"] and beat["bank"]
        self.issued[place] = (self.cycle, self.loop + self.extra * int(long or bool(of_pair)))
        if long:
            self.long_at.add(self.cycle)
        else:
            assert self.cycle - self.extra not in self.long_at, "two beats meet at the adder"

    def adds(self, beat: dict[str, int]) -> bool:
        """A combine goes through the adder."""
        sums = (self.consts["POOLING_SUM"], self.consts["POOLING_MEAN"])
        return beat["pooling"] in sums and beat["dtype"] != self.consts["DTYPE_FIXED"]

    def new_line(self, dtype: str, length: int) -> Line:
        """Return a line to be filled, of `length` vector beats (0: random)."""
        rng, expand = self.random, EXPAND[dtype]
        header = int(expand >= 2 and rng.random() < 0.5)
        chunk = header * 16 // (self.width // 8 >> expand)
        room = (self.line_beats << expand) - chunk
        if room <= 0:
            header, chunk, room = 0, 0, self.line_beats << expand
        beats = length or rng.randrange(min(room, LONGEST)) + 1
        poison = 1 << self.width
        stored = -(-(chunk + beats) // (1 << expand))
        words = [
            rng.getrandbits(self.width) | (poison if rng.random() < self.error_rate else 0)
            for _ in range(stored)
        ]
        return Line(dtype, header, chunk, beats, words)

    def send(
        self,
        number: int,
        kinds: str = "miss hit hit hit pass load flush combine",
        length: int = 0,
        **fixed: int,
    ) -> None:
        """Queue rows of one line with what is in the fetch buffer, and expect their beats."""
        rng = self.random
        dtypes = ["FP32"] if length else list(EXPAND)
        for _ in range(number):
            number_of_line = fixed.get("line", rng.randrange(self.lines))
            kind = rng.choice(kinds.split())
            if kind == "hit" and number_of_line not in self.model:
                kind = "miss"
            line = self.model.get(number_of_line)
            if kind != "hit" or line is None:
                line = self.new_line(rng.choice(dtypes), length)
            self.place = (self.place + 1) % self.places
            if kind == "miss":
                self.model[number_of_line] = line
            if kind in ("miss", "pass"):
                self.fetched.words[self.place] = line.words
            op = {
                "key": rng.getrandbits(71), "line": number_of_line, "place": self.place, "fills": number_of_line % 512,
                "miss": kind in ("miss", "pass"), "fill": kind == "miss", "load": kind == "load",
                "flush": kind in ("flush", "combine"), "header": line.header,
                "bank": 0 if length else rng.getrandbits(4), "combine": kind == "combine",
                "chunk": line.chunk, "beats_m1": line.beats - 1, "beat_base": 0, "last_seg": rng.getrandbits(1),
                "slot": rng.randrange(self.slots), "ctx": rng.getrandbits(6), "first": rng.getrandbits(1),
                "last": rng.getrandbits(1), "dim": rng.getrandbits(16), "dtype": self.consts[f"DTYPE_{line.dtype}"],
                "pooling": rng.randrange(4), "partial": rng.getrandbits(1), "mul_then_add": rng.getrandbits(1),
                "weight": rng.getrandbits(32), "count": rng.getrandbits(32), "rsp_addr": rng.getrandbits(14),
            } | fixed  # fmt: skip
            if kind == "combine":
                op["first"] = 0
                op["product"] = int(rng.random() < 0.3)
            row = kind in ("miss", "hit", "pass")
            multiplied = row and EXPAND[line.dtype] < 2 and "pooling" not in fixed and not length
            if multiplied and rng.random() < 0.3:
                op |= {"product": 1, "pooling": self.consts["POOLING_SUM"]}
            if kind in ("load", "flush", "combine"):
                op |= {"header": 0, "chunk": 0}
            op["silent"] = int(row and not op.get("product") and rng.random() < self.silent_rate)
            # A silent row between two that are seen waits: whether its `first` ended the bag before cannot be seen.
            op["wait_slot"] = int(not op["first"] or op["silent"])
            self.ops.send(self.lookup_t.pack(op))
            self.wanted_ends += 1
            self._expect(op, kind, line)

    def _expect(self, op: dict[str, Any], kind: str, line: Line) -> None:
        poison, row = 1 << self.width, kind in ("miss", "pass", "hit")
        where = op["key"] >> 8 & 511  # of the init RAM: in the place of the row's number
        expand = EXPAND[line.dtype] if row else 0
        shared = {name: op[name] for name in COPIED} | {"combine": op["combine"]}
        shared["product"] = op.get("product", 0)
        shared["flush"] = kind == "flush"
        beats: list[tuple[dict[str, int], int]] = []
        bare = row and line.header and self.width == 128
        if bare:
            beats.append(({"header": 1, "bare": 1, "rsp_addr": op["rsp_addr"]}, line.words[0]))
        for beat in range(line.beats):
            chunk = line.chunk + beat
            data = line.words[chunk >> expand] if row else 0
            if kind == "load":
                data = ((where + beat) % INIT_BEATS + 1) * 0x0123456789ABCDEF & (poison - 1)
            done = int(op["last"] and op["last_seg"] and beat == line.beats - 1)
            own = {"beat": beat, "rsp_addr": (op["rsp_addr"] + beat) % (1 << 14), "done": done}
            own["sub"] = chunk % (1 << expand) if row else 0
            own["header"] = int(bool(row and line.header and not bare and beat == 0))
            beats.append((own, data))
            if kind == "combine" or shared["product"]:
                source = where & 15 if kind == "combine" else self.consts["PAIR_FIRST_BANK"]
                other = {"bank": source, "combine": 0, "product": 0, "fetch": 1, "first": 0}
                other |= {"last": 0, "done": 0, "sub": 0}
                beats.append((own | other, 0))
        if kind == "load" and op["last_seg"] and op["key"] >> 8 + 9 & 1:
            self.releases.expect(where * BANKS // INIT_BEATS)
        if kind == "miss":
            self.drops.expect(*[op["key"]] * sum(word >= poison for word in line.words))
        if op["silent"]:
            self.wanted_silent += sum(word >= poison for _, word in beats)
            return
        for own, word in beats:
            error: tuple[Any, ...] = (0, None, None)
            if word & poison:
                error = (1, op["ctx"], self.consts["STATUS_MEMORY_ERROR"])
            info = self.beat_t.pack(shared | own)
            self.board.expect((info, 0 if word & poison else word, *error))


@cocotb.test()
async def latency(dut: Any) -> None:
    """A beat leaves 4 cycles after its operation appears."""
    bench = ExecBench(dut)
    offered: list[int] = []
    seen: list[int] = []
    bench.monitor(
        "s_axis_lookup_tvalid", ["s_axis_lookup_tready"], lambda _: offered.append(bench.cycle)
    )
    bench.monitor("beat_valid", ["beat_valid"], lambda _: seen.append(bench.cycle))
    await bench.reset()
    bench.send(1, first=1)
    await bench.drain()
    assert seen[0] - offered[0] == 4, "the header says 4 cycles"


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of operations, every format, with errors."""
    bench = ExecBench(dut)
    bench.error_rate = 0.15
    bench.silent_rate = 0.15
    for op_stall in STALLS:
        for _ in range(3):
            await bench.reset()
            bench.gap = bench.stall(op_stall)
            bench.send(80)
            await bench.drain()
    assert bench.releases.compared and not bench.releases.expected
    assert bench.silent_errors.total == bench.wanted_silent > 0
    assert bench.started.total == bench.ended == bench.wanted_ends
    assert bench.drops.compared > 10
    assert all(counter.total for counter in bench.exec), "every kind of cycle was seen"


@cocotb.test()
async def one_slot(dut: Any) -> None:
    """All rows in one slot: the distance rules everything."""
    bench = ExecBench(dut)
    bench.error_rate = 0.5
    await bench.reset()
    bench.send(150, slot=bench.slots - 1, first=0)
    await bench.drain()
    assert bench.exec[1].total > 50


@cocotb.test()
async def distance_is_exact(dut: Any) -> None:
    """Rows of every length follow each other in a slot after ACC_LOOP_CYCLES or their own length, not a cycle later."""
    bench = ExecBench(dut)
    await bench.reset()
    beats: list[int] = []
    bench.monitor("beat_valid", ["beat_valid"], lambda _: beats.append(bench.cycle))
    unpooled = bench.consts["POOLING_NONE"]
    for length in range(1, bench.line_beats + 1):
        for pooling, bank, extra in (
            (bench.consts["POOLING_SUM"], 1, 0),
            (unpooled, 0, 0),
            (unpooled, 1, bench.extra),  # of a pair
        ):
            beats.clear()
            kind = {"pooling": pooling, "bank": bank}
            bench.send(1, "miss", length, line=1, slot=0, first=1, **kind)
            await bench.drain(quiet=5)
            bench.send(4, "hit", line=1, slot=0, first=0, **kind)
            await bench.drain(quiet=1)
            starts = beats[length::length]
            gaps = [after - before for before, after in itertools.pairwise(starts)]
            wanted = max(bench.loop + extra, length)
            assert gaps == [wanted] * 3, f"{kind}: rows of {length} beats start {gaps} apart"


@cocotb.test()
async def slots_near_in_time(dut: Any) -> None:
    """sts_near rises PICK_CYCLES before a row of the slot may be given, sts_blocked falls with it."""
    bench = ExecBench(dut)
    await bench.reset()
    near: list[int] = []
    free: list[int] = []
    fired: list[int] = []

    def watch(_: int) -> None:
        if fired and not bench.read("sts_near") & 1:
            near.append(bench.cycle)
        if fired and bench.read("sts_blocked") & 1:
            free.append(bench.cycle)

    bench.monitor("started_valid", ["started_valid"], lambda _: fired.append(bench.cycle))
    bench.monitor("clk", ["clk"], watch)
    bench.send(1, "flush", 1, slot=0, first=1)
    await bench.drain(quiet=30)
    # started_valid is one cycle behind the beat, which is issued in cycle 0.
    issue = fired[0] - 1
    assert free[-1] + 1 - issue == bench.loop, "blocked until the distance is kept"
    assert free[-1] - near[-1] == bench.consts["PICK_CYCLES"]


@cocotb.test()
async def no_bubbles(dut: Any) -> None:
    """Operations that wait for nothing leave in consecutive cycles."""
    bench = ExecBench(dut)
    bench.error_rate = 0.2
    await bench.reset()
    beats: list[int] = []
    bench.monitor("beat_valid", ["beat_valid"], lambda _: beats.append(bench.cycle))
    bench.send(600, "miss load flush", length=1, first=1)
    await bench.drain()
    assert len(beats) / (beats[-1] - beats[0] + 1) > 0.98


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset forgets everything but the RAM."""
    bench = ExecBench(dut)
    bench.error_rate = 0.3
    await bench.reset_in_traffic(lambda: bench.send(40), times=15, within=100)


@pytest.mark.parametrize(
    ("data_w", "line_beats", "lines", "slots", "places", "style"),
    [(128, 4, 16, 4, 1024, 0), (512, 1, 8, 32, 1024, 3), (128, 32, 4, 1, 1024, 2)],
)
def test_cache_exec(
    data_w: int, line_beats: int, lines: int, slots: int, places: int, style: int
) -> None:
    """All coroutines: lines of four beats, of one, and longer than the distance."""
    params = {
        "DATA_W": data_w,
        "LINE_BEATS": line_beats,
        "LINES": lines,
        "SLOTS": slots,
        "PLACES": places,
        "RAM_STYLE": style,
    }
    build_and_test("embnic_cache_exec", "test_cache_exec", params=params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"SLOTS": 0}, "SLOTS must be 1 to 64"),
        ({"SLOTS": 65}, "SLOTS must be 1 to 64"),
        ({"DATA_W": 256}, "DATA_W must be 128 or 512"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Each is refused by its own message."""
    expect_build_failure("embnic_cache_exec", params, message)
