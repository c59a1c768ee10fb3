# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_unpack: every stored element of every format, headers of slots that alternate, any rate.

Nothing stalls this module; every rate of beats takes the place of the stall matrix.
"""

from __future__ import annotations

import struct
from typing import Any

import cocotb
import pytest
from row_formats import BF16, DTYPES, FP16, expand_log2

from embnic_sim.bench import STALLS, Bench, load_structs
from embnic_sim.runner import build_and_test, expect_build_failure

NO_ROWS = ("load", "flush", "combine", "fetch")
MASK = 0xFFFFFFFF


def widened(dtype: int, stored: int) -> int:
    """Return the fp32 bits of a stored element."""
    if dtype == BF16:
        return stored << 16
    if dtype == FP16:
        sign, exponent, fraction = stored >> 15, stored >> 10 & 31, stored & 1023
        if exponent == 31:  # infinities and NaNs, payloads kept
            return sign << 31 | 255 << 23 | fraction << 13
        (value,) = struct.unpack("<e", struct.pack("<H", stored))
        return int.from_bytes(struct.pack("<f", value), "little")
    if expand_log2(dtype) >= 2:
        return int.from_bytes(struct.pack("<f", stored), "little")
    return stored


class UnpackBench(Bench):
    """The DUT, a beat source and the vector beats that it must give, two cycles later."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.data_w, self.slots = int(self.params["DATA_W"]), int(self.params["SLOTS"])
        self.beat_t = load_structs()["beat_t"]
        self.lanes = self.data_w // 32
        self.source = self.pulse_source("beat", ["beat_info", "beat_data"])
        self.board = self.scoreboard("vectors")
        self.headers: dict[int, int] = {}
        self.quantised: list[bool] = []
        ports = ["vec_info", "vec_data", "vec_scale", "vec_bias"]
        self.monitor("vec_valid", ports, self._seen)

    async def start(self) -> None:
        """Reset, and forget the headers with it."""
        await self.reset()
        self.headers.clear()
        self.quantised.clear()

    def _seen(self, word: Any) -> None:
        info, data, scale, bias = word
        if not self.quantised.pop(0):
            scale = bias = 0  # mean nothing
        self.board.check((info, data, scale, bias))

    def beat(self, data: int, **fields: int) -> None:
        """Send a beat and expect its vector."""
        info = self.beat_t.pack(fields)
        self.source.send((info, data))
        slot = fields.get("slot", 0)
        if fields.get("header"):
            self.headers[slot] = data & (1 << 64) - 1
        if fields.get("bare"):
            return
        row = not any(fields.get(name) for name in NO_ROWS)
        dtype = fields["dtype"] if row else 0
        expand = expand_log2(dtype)
        width = 32 >> expand
        chunk = data >> fields.get("sub", 0) * self.lanes * width
        vector = 0
        for lane in range(self.lanes):
            stored = chunk >> lane * width & (1 << width) - 1
            vector |= widened(dtype, stored) << lane * 32
        quantised = row and expand >= 2
        kept = self.headers[slot] if quantised else 0
        self.quantised.append(quantised)
        self.board.expect((info, vector, kept & MASK, kept >> 32))

    def random_beat(self) -> None:
        """Send any legal beat; a slot's first beat of quantised rows brings its header."""
        rng = self.random
        dtype, slot = rng.choice(DTYPES), rng.randrange(self.slots)
        fields = {name: rng.getrandbits(1) for name in NO_ROWS if rng.random() < 0.1}
        row = not any(fields.values())
        expand = expand_log2(dtype) if row else 0
        fields |= {"dtype": dtype, "slot": slot, "sub": rng.randrange(1 << expand)}
        fields |= {"weight": rng.getrandbits(32), "last": rng.getrandbits(1)}
        if expand >= 2:
            fields["header"] = int(slot not in self.headers or rng.random() < 0.3)
            fields["bare"] = int(fields["header"] and rng.random() < 0.3)
        self.beat(rng.getrandbits(self.data_w), **fields)


@cocotb.test()
async def every_element(dut: Any) -> None:
    """All 65,536 halves, all bytes, all nibbles, each in some lane, and every chunk of a bus beat."""
    bench = UnpackBench(dut)
    await bench.start()
    for dtype in DTYPES:
        expand = expand_log2(dtype)
        width = 32 >> expand
        if expand >= 2:
            bench.beat(bench.random.getrandbits(bench.data_w), dtype=dtype, header=1, bare=1)
        values = list(range(1 << min(width, 16)))
        if width == 32:
            values = [bench.random.getrandbits(32) for _ in range(256)]
        bench.random.shuffle(values)
        each = bench.data_w // width
        for start in range(0, max(len(values), each), each):
            data = sum(values[(start + at) % len(values)] << at * width for at in range(each))
            for sub in range(1 << expand):
                bench.beat(data, dtype=dtype, sub=sub)
    await bench.drain()


@cocotb.test()
async def rates(dut: Any) -> None:
    """Every rate of beats: slots alternate, headers follow each other, bare ones end here."""
    bench = UnpackBench(dut)
    for stall in STALLS:
        await bench.start()
        bench.source.stall = bench.stall(stall)
        for _ in range(400):
            bench.random_beat()
        await bench.drain()


@cocotb.test()
async def latency_and_idle(dut: Any) -> None:
    """A vector stands two cycles after its beat; idle is low from the beat to the vector."""
    bench = UnpackBench(dut)
    await bench.start()
    for _ in range(20):
        assert bench.read("sts_idle") == 1
        bench.beat(bench.random.getrandbits(bench.data_w), dtype=FP16)
        await bench.until(lambda: bench.read("beat_valid") == 1, timeout=3, what="the beat")
        for valid in (0, 0, 1):
            assert bench.read("vec_valid") == valid
            assert bench.read("sts_idle") == 0
            await bench.cycles(1)
        await bench.drain()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset drops what is under way; headers come again."""
    bench = UnpackBench(dut)

    def start() -> None:
        bench.headers.clear()
        bench.quantised.clear()
        for _ in range(60):
            bench.random_beat()

    await bench.reset_in_traffic(start)


@pytest.mark.parametrize(("data_w", "slots"), [(512, 32), (128, 4), (64, 1)])
def test_unpack(data_w: int, slots: int) -> None:
    """The bus of the large configurations, that of the small ones, and the least of both."""
    build_and_test("embnic_unpack", "test_unpack", params={"DATA_W": data_w, "SLOTS": slots})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"DATA_W": 96}, "DATA_W must be a power of two, 64 to 512"),
        ({"DATA_W": 1024}, "DATA_W must be a power of two, 64 to 512"),
        ({"SLOTS": 0}, "SLOTS must be 1 to 64"),
        ({"SLOTS": 65}, "SLOTS must be 1 to 64"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Both parameters have their ranges."""
    expect_build_failure("embnic_unpack", params, message)
