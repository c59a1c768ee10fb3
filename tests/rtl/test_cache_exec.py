# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_cache_exec: beats, fills, errors and distances against a data RAM in plain Python."""

import itertools
from typing import Any

import cocotb
import pytest

from embnic_sim.bench import STALLS, Bench, Scoreboard, load_structs
from embnic_sim.paths import rtl_root
from embnic_sim.runner import build_and_test, expect_build_failure

COPIED = ("slot", "ctx", "first", "load", "flush", "last", "dim", "pooling", "partial")
COPIED = (*COPIED, "mul_then_add", "weight", "count")


class ExecBench(Bench):
    """Looked-up operations and fill beats in; (info, data, error) of every beat and dropped keys out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        root = rtl_root()
        names = ("gen/embnic_wire_pkg.sv", "embnic_pkg.sv", "lookup/embnic_cache_pkg.sv")
        structs = load_structs([root / name for name in names])
        self.lookup_t, self.beat_t, self.consts = (
            structs["lookup_t"],
            structs["beat_t"],
            structs.consts,
        )
        self.width, self.line_beats = int(self.params["DATA_W"]), int(self.params["LINE_BEATS"])
        self.lines, self.slots = int(self.params["LINES"]), int(self.params["SLOTS"])
        self.ops = self.stream_source("s_axis_lookup")
        self.fills = self.stream_source("s_axis_fill", fields=["tdata", "tlast"])
        self.board = self.scoreboard("beats")
        self.drops = Scoreboard("drops")  # not every run has some: idle() sees to the rest
        self.monitor(
            "beat_valid",
            ["beat_info", "beat_data", "err_valid", "err_ctx", "err_status"],
            self._beat,
        )
        self.monitor("drop_valid", ["drop_key"], self.drops.check)
        self.ram_read_port(
            "init_rd", lambda addr: (addr + 1) * 0x0123456789ABCDEF & ((1 << self.width) - 1)
        )
        self.releases = self.count("init_release")
        self.exec = [
            self.count(f"evt_exec_{name}") for name in ("beat", "empty", "fetch", "hazard")
        ]
        self.error_rate = 0.0
        self.wanted_releases = 0
        self.model: list[list[int]] = []
        self.issued: dict[tuple[int, int], int] = {}
        self.waits: set[tuple[int, ...]] = set()

    async def reset(self, cycles: int = 4) -> None:
        """Forget all lines and beats."""
        self.model = [[] for _ in range(self.lines)]
        self.issued.clear()
        self.drops.reset()
        await super().reset(cycles)

    def idle(self) -> bool:
        """The stage is idle, nothing waits at its input, every line in error was named."""
        waiting = self.read("s_axis_lookup_tvalid") or self.drops.expected
        return bool(self.read("sts_idle")) and not waiting

    def _beat(self, word: tuple[int, int, int, int, int]) -> None:
        info, data, error, ctx, status = word
        self.board.check((info, data, 1, ctx, status) if error else (info, data, 0, None, None))
        beat = self.beat_t.unpack(info)
        place = (beat["slot"], beat["beat"])
        if not beat["first"] and not beat["load"] and place in self.issued:
            assert self.cycle - self.issued[place] >= self.consts["ACC_LOOP_CYCLES"], (
                f"{place} too early"
            )
        self.issued[place] = self.cycle

    def send(
        self, number: int, kinds: str = "miss hit hit hit load flush", length: int = 0, **fixed: int
    ) -> None:
        """Queue rows of one line with their fills, and expect their beats."""
        rng = self.random
        for _ in range(number):
            line = fixed.get("line", rng.randrange(self.lines))
            kind = rng.choice(kinds.split())
            if kind == "hit" and not self.model[line]:
                kind = "miss"
            beats = (
                len(self.model[line])
                if kind == "hit"
                else length or rng.randrange(self.line_beats) + 1
            )
            op = {
                "key": rng.getrandbits(71), "line": line, "miss": kind == "miss", "load": kind == "load",
                "flush": kind == "flush", "beats_m1": beats - 1, "beat_base": 0, "last_seg": rng.getrandbits(1),
                "slot": rng.randrange(self.slots), "ctx": rng.getrandbits(6), "first": rng.getrandbits(1),
                "last": rng.getrandbits(1), "dim": rng.getrandbits(16), "pooling": rng.randrange(4),
                "partial": rng.getrandbits(1), "mul_then_add": rng.getrandbits(1), "weight": rng.getrandbits(32),
                "count": rng.getrandbits(32), "rsp_addr": rng.getrandbits(14),
            } | fixed  # fmt: skip
            op["wait_slot"] = int(not op["first"] and kind != "load")
            self.ops.send(self.lookup_t.pack(op))
            self._expect(op, kind, beats)

    def _expect(self, op: dict[str, Any], kind: str, beats: int) -> None:
        rng, poison = self.random, 1 << self.width
        words = [0] * beats
        if kind == "load":
            words = [(beat + 1) * 0x0123456789ABCDEF & (poison - 1) for beat in range(beats)]
            self.wanted_releases += op["last_seg"]
        elif kind == "hit":
            words = self.model[op["line"]]
        elif kind == "miss":
            words = [
                rng.getrandbits(self.width) | (poison if rng.random() < self.error_rate else 0)
                for _ in range(beats)
            ]
            self.model[op["line"]] = words
            for beat, word in enumerate(words):
                self.fills.send((word, int(beat == beats - 1)))
                if word & poison:
                    self.drops.expect(op["key"])
        for beat, word in enumerate(words):
            info = {name: op[name] for name in COPIED} | {"beat": beat}
            info |= {"rsp_addr": (op["rsp_addr"] + beat) % (1 << 14)}
            info |= {"done": int(op["last"] and op["last_seg"] and beat == beats - 1)}
            error = (
                (1, op["ctx"], self.consts["STATUS_MEMORY_ERROR"])
                if word & poison
                else (0, None, None)
            )
            self.board.expect((self.beat_t.pack(info), 0 if word & poison else word, *error))


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
    """Every stall pattern of operations and fills, with errors."""
    bench = ExecBench(dut)
    bench.error_rate = 0.05
    for op_stall in STALLS:
        for fill_stall in STALLS:
            await bench.reset()
            bench.ops.stall, bench.fills.stall = bench.stall(op_stall), bench.stall(fill_stall)
            bench.send(60)
            await bench.drain()
    assert bench.releases.total == bench.wanted_releases
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
    assert bench.exec[3].total > 50


@cocotb.test()
async def distance_is_exact(dut: Any) -> None:
    """Rows of every length follow each other in a slot after ACC_LOOP_CYCLES or their own length, not a cycle later."""
    bench = ExecBench(dut)
    await bench.reset()
    beats: list[int] = []
    bench.monitor("beat_valid", ["beat_valid"], lambda _: beats.append(bench.cycle))
    for length in range(1, bench.line_beats + 1):
        beats.clear()
        bench.send(1, "miss", length, line=1, slot=0, first=1)
        bench.send(3, "hit", line=1, slot=0, first=0)
        await bench.drain(quiet=1)
        starts = beats[::length]
        gaps = [after - before for before, after in itertools.pairwise(starts)]
        assert gaps == [max(bench.consts["ACC_LOOP_CYCLES"], length)] * 3, (
            f"rows of {length} beats start {gaps} apart"
        )


@cocotb.test()
async def no_bubbles(dut: Any) -> None:
    """Operations that wait for nothing leave in consecutive cycles."""
    bench = ExecBench(dut)
    bench.error_rate = 0.2
    await bench.reset()
    beats: list[int] = []
    bench.monitor("beat_valid", ["beat_valid"], lambda _: beats.append(bench.cycle))
    bench.send(600, first=1)
    await bench.drain()
    assert len(beats) / (beats[-1] - beats[0] + 1) > 0.98


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset forgets everything but the RAM."""
    bench = ExecBench(dut)
    bench.error_rate = 0.3
    bench.fills.stall = bench.stall("bursty")

    def start() -> None:
        bench.model = [[] for _ in range(bench.lines)] if not bench.board.expected else bench.model
        bench.send(40)

    await bench.reset_in_traffic(start, times=15, within=100)


@pytest.mark.parametrize(
    ("data_w", "line_beats", "lines", "slots", "style"),
    [(128, 4, 16, 4, 0), (512, 1, 8, 32, 3), (128, 32, 4, 1, 2)],
)
def test_cache_exec(data_w: int, line_beats: int, lines: int, slots: int, style: int) -> None:
    """All coroutines: lines of four beats, of one, and longer than the distance."""
    params = {
        "DATA_W": data_w,
        "LINE_BEATS": line_beats,
        "LINES": lines,
        "SLOTS": slots,
        "RAM_STYLE": style,
    }
    build_and_test("embnic_cache_exec", "test_cache_exec", params=params)


@pytest.mark.parametrize("slots", [0, 65])
def test_illegal_slots_do_not_build(slots: int) -> None:
    """SLOTS outside 1 .. 64 is refused."""
    expect_build_failure("embnic_cache_exec", {"SLOTS": slots}, "SLOTS must be 1 to 64")
