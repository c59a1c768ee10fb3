# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_unpack: stored beats of every format, chunk by chunk, against numpy's conversions."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
import pytest

from embnic_sim.bench import Bench
from embnic_sim.golden import Command, golden_for, lanes_of, pack_lanes
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS
from embnic_sim.structs import load_structs

LATENCY = 2
EXPAND = {
    "FP32": 0,
    "FIXED": 0,
    "FP16": 1,
    "BF16": 1,
    "INT8": 2,
    "INT8_FRONT": 2,
    "INT4": 3,
    "INT4_END": 3,
}


class UnpackBench(Bench):
    """Stored beats in, vector beats out, two cycles later."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        structs = load_structs()
        self.beat_t, self.enums = structs["beat_t"], structs.enums["dtype_e"]
        self.lanes, self.slots = self.params["DATA_W"] // 32, self.params["SLOTS"]
        self.source = self.pulse_source("beat", ["beat_info", "beat_data"])
        self.board = self.scoreboard("vector beats")
        self.monitor("vec_valid", ["vec_info", "vec_data", "vec_scale", "vec_bias"], self._seen)
        self.golden = golden_for("embnic_unpack", {"kLanes": self.lanes, "kSlots": self.slots})
        self.kept: dict[int, tuple[int, int]] = {}  # scale and bias by slot
        self.twin: list[tuple[int, int, int, int]] = []
        self.forget()

    def forget(self) -> None:
        """The bench was reset; headers stay."""
        self.twin.clear()

    def widened(self, dtype: str, sub: int, data: bytes) -> int:
        """Return a chunk's elements as words."""
        lanes = self.lanes
        if EXPAND[dtype] == 0:
            words = np.frombuffer(data, np.uint32)
        elif dtype == "FP16":
            halves = np.frombuffer(data, np.uint16)[sub * lanes : (sub + 1) * lanes]
            words = halves.view(np.float16).astype(np.float32).view(np.uint32)
            nan = (halves & 0x7FFF) > 0x7C00
            exact = (
                (halves.astype(np.uint32) & 0x8000) << 16
                | 0x7F800000
                | (halves.astype(np.uint32) & 0x3FF) << 13
            )
            words = np.where(nan, exact, words)
        elif dtype == "BF16":
            words = (
                np.frombuffer(data, np.uint16)[sub * lanes : (sub + 1) * lanes].astype(np.uint32)
                << 16
            )
        else:
            elements = np.frombuffer(data, np.uint8)
            if EXPAND[dtype] == 3:
                elements = np.stack([elements & 15, elements >> 4], axis=1).reshape(-1)
            words = elements[sub * lanes : (sub + 1) * lanes].astype(np.float32).view(np.uint32)
        return int.from_bytes(words.astype("<u4").tobytes(), "little")

    def send(self, dtype: str, slot: int, **fields: int) -> None:
        """Send a beat of random data, and expect its chunk."""
        data = self.random.getrandbits(32 * self.lanes)
        if fields.pop("plain", 0):  # numbers with extreme exponents and fractions
            data = int.from_bytes(
                bytes(self.random.choice((0, 1, 0x7C, 0x80, 0xFF)) for _ in range(4 * self.lanes)),
                "little",
            )
        info = {
            "dtype": self.enums[f"DTYPE_{dtype}"],
            "slot": slot,
            "dim": self.random.getrandbits(16),
            **fields,
        }
        self.source.send((self.beat_t.pack(info), data))
        if fields.get("header"):
            self.kept[slot] = (data & 0xFFFFFFFF, data >> 32 & 0xFFFFFFFF)
        row = not any(fields.get(name) for name in ("load", "flush", "combine", "fetch"))
        if not fields.get("bare"):
            shown = self.widened(
                dtype if row else "FP32",
                fields.get("sub", 0),
                data.to_bytes(4 * self.lanes, "little"),
            )
            scale, bias = self.kept.get(slot, (0, 0))
            self.board.expect((self.beat_t.pack(info), shown, scale, bias))
        if self.golden is not None:
            self._give_golden(info, data)

    def _give_golden(self, info: dict[str, int], data: int) -> None:
        golden = self.golden
        assert golden is not None
        names, words = golden.fields, (self.lanes + 1) // 2
        golden.command(
            Command.TAKE, [*(info.get(name, 0) for name in names), *pack_lanes(data, self.lanes)]
        )
        for beat in golden.beats(len(names) + words + 2):
            given = dict(zip(names, beat, strict=False))
            self.twin.append(
                (self.beat_t.pack(given), lanes_of(beat[len(names) : -2]), beat[-2], beat[-1])
            )

    def _seen(self, word: tuple[int, int, int, int]) -> None:
        if self.board.expected and EXPAND_OF[self.beat_t.unpack(word[0])["dtype"]] < 2:
            wanted = self.board.expected[0]  # scale and bias of others mean nothing
            word = (*word[:2], *wanted[2:])
        self.board.check(word)
        if self.golden is not None:
            info, data, scale, bias = self.twin.pop(0)
            assert word[:2] == (info, data), "the HLS core gives another beat"
            if EXPAND_OF[self.beat_t.unpack(info)["dtype"]] >= 2:
                assert word[2:] == (scale, bias), "the HLS core keeps other factors"
            self.golden.compared += 1

    def row(self, dtype: str, slot: int, *, plain: int = 0) -> None:
        """Send some beats of a row, its header first where it has one."""
        expand = EXPAND[dtype]
        chunks = 1 << expand
        if expand >= 2:
            chunk_bytes = 4 * self.lanes >> expand
            first = 16 // chunk_bytes % chunks
            bare = int(4 * self.lanes == 16)
            self.send(dtype, slot, header=1, bare=bare, sub=0 if bare else first)
        for sub in range(chunks):
            self.send(dtype, slot, sub=sub, plain=plain)


EXPAND_OF = [
    EXPAND[name]
    for name in ("FP32", "FP16", "BF16", "INT8", "INT8_FRONT", "INT4", "INT4_END", "FIXED")
]


@cocotb.test()
async def every_format(dut: Any) -> None:
    """Rows of every format in every slot, slots alternating, with gaps; accumulators and flushes between."""
    bench = UnpackBench(dut)
    assert [bench.enums[f"DTYPE_{name}"] for name in EXPAND] != [], "the formats have codes"
    for gap in STALLS:
        await bench.reset()
        bench.forget()
        bench.source.stall = bench.stall(gap)
        for _ in range(60):
            dtype, slot = bench.random.choice(list(EXPAND)), bench.random.randrange(bench.slots)
            bench.row(dtype, slot, plain=bench.random.getrandbits(1))
            if bench.random.random() < 0.2:
                kind = bench.random.choice(("load", "flush", "combine", "fetch"))
                bench.send(dtype, slot, **{kind: 1})
        await bench.drain()


@cocotb.test()
async def all_halves(dut: Any) -> None:
    """Every binary16 there is."""
    bench = UnpackBench(dut)
    await bench.reset()
    step = 2 * bench.lanes
    for first in range(0, 1 << 16, step):
        data = b"".join((first + at).to_bytes(2, "little") for at in range(step))
        for sub in (0, 1):
            info = {"dtype": bench.enums["DTYPE_FP16"], "sub": sub}
            bench.source.send((bench.beat_t.pack(info), int.from_bytes(data, "little")))
            bench.board.expect(
                (
                    bench.beat_t.pack(info),
                    bench.widened("FP16", sub, data),
                    *bench.kept.get(0, (0, 0)),
                )
            )
            if bench.golden is not None:
                bench._give_golden(info, int.from_bytes(data, "little"))
    await bench.drain()


@cocotb.test()
async def latency(dut: Any) -> None:
    """A beat takes two cycles."""
    bench = UnpackBench(dut)
    await bench.reset()
    bench.send("FP32", 0)
    await bench.until(lambda: bool(bench.read("beat_valid")))
    start = bench.cycle
    await bench.until(lambda: bool(bench.read("vec_valid")))
    assert bench.cycle - start == LATENCY
    await bench.drain()


@pytest.mark.parametrize("golden", ["", "hls"])
def test_unpack(golden: str) -> None:
    """Sixteen lanes; with and without the HLS core."""
    params = {"DATA_W": 512, "SLOTS": 8}
    build_and_test(
        "embnic_unpack", "test_unpack", params=params, extra_env={"EMBNIC_GOLDEN": golden}
    )


def test_unpack_of_a_narrow_bus() -> None:
    """Four lanes, where a header takes a beat of its own, and one slot."""
    build_and_test("embnic_unpack", "test_unpack", params={"DATA_W": 128, "SLOTS": 1})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"DATA_W": 32}, "DATA_W must be a power of two, 64 to 512"),
        ({"SLOTS": 65}, "SLOTS must be 1 to 64"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """By name."""
    expect_build_failure("embnic_unpack", params, message)
