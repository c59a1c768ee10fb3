# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_fp32_sqrt: any operand against numpy's square root, under stalls."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test
from embnic_sim.streams import STALLS

NAN = 0x7FC00000
SPECIALS = (
    0, 1 << 31, 1, 0x80000001, 0x007FFFFF, 0x00800000, 0x3F800000, 0xBF800001, 0x7F7FFFFF, 0x7F800000, 0xFF800000, NAN,
    0xFF800001,
)  # fmt: skip


def root(a: int) -> int:
    """Return the square root, rounded to nearest even, as bits."""
    with np.errstate(all="ignore"):
        result = np.sqrt(np.array([a], np.uint32).view(np.float32))
    return NAN if np.isnan(result[0]) else int(result.view(np.uint32)[0])


class SqrtBench(Bench):
    """Operands in, roots out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.source = self.stream_source("s_axis_a", fields=["tdata"])
        self.board = self.scoreboard("roots")
        self.sink = self.stream_sink("m_axis_root", self.board.check)

    def send(self, a: int) -> None:
        """Queue an operand."""
        self.source.send(a)
        self.board.expect(root(a))

    def number(self) -> int:
        """Return any bits, or some with an exponent near one's or the smallest."""
        exponent = self.random.choice((self.random.randrange(256), 127, self.random.randrange(3)))
        return self.random.getrandbits(1) << 31 | exponent << 23 | self.random.getrandbits(23)


@cocotb.test()
async def special_values(dut: Any) -> None:
    """Every special value, and squares with their neighbours."""
    bench = SqrtBench(dut)
    await bench.reset()
    for a in SPECIALS:
        bench.send(a)
    for whole in range(1, 200):
        square = int(np.float32(whole * whole).view(np.uint32))
        for near in (-1, 0, 1):
            bench.send(square + near)
    await bench.drain()


@cocotb.test()
async def random_operands(dut: Any) -> None:
    """Under every pair of stalls."""
    bench = SqrtBench(dut)
    for source in STALLS:
        await bench.reset()
        bench.source.stall, bench.sink.stall = bench.stall(source), bench.stall("half")
        for _ in range(400):
            bench.send(bench.number() >> bench.random.getrandbits(1) & 0x7FFFFFFF)
        await bench.drain()


def test_fp32_sqrt() -> None:
    """The unit has no parameters."""
    build_and_test("embnic_fp32_sqrt", "test_fp32_sqrt")
