# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_fp32_div: any operands against numpy's division, under stalls."""

from __future__ import annotations

import itertools
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


def quotient(a: int, b: int) -> int:
    """Return a / b, rounded to nearest even, as bits."""
    with np.errstate(all="ignore"):
        x, y = np.array([a, b], np.uint32).view(np.float32)
        result = np.float32(x / y)
    return NAN if np.isnan(result) else int(result.view(np.uint32))


class DivBench(Bench):
    """Operands in, quotients out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.valid, self.ready = self.pin("s_axis_a_tvalid"), self.pin("s_axis_a_tready")
        self.source = self.stream_source("s_axis_a", fields=["tdata"])
        self.board = self.scoreboard("quotients")
        self.sink = self.stream_sink("m_axis_quotient", self.board.check)
        self.divisors: list[int] = []
        self.source.on_sent = lambda _: self._next()

    def _next(self) -> None:
        self.divisors.pop(0)
        self.drive(s_axis_b_tdata=self.divisors[0] if self.divisors else 0)

    def send(self, a: int, b: int) -> None:
        """Queue a division."""
        if not self.divisors:
            self.drive(s_axis_b_tdata=b)
        self.divisors.append(b)
        self.source.send(a)
        self.board.expect(quotient(a, b))

    def number(self) -> int:
        """Return any bits, or some with an exponent near one's or the smallest."""
        exponent = self.random.choice((self.random.randrange(256), 127, self.random.randrange(3)))
        return self.random.getrandbits(1) << 31 | exponent << 23 | self.random.getrandbits(23)


@cocotb.test()
async def all_pairs_of_special_values(dut: Any) -> None:
    """Every special value by every other."""
    bench = DivBench(dut)
    await bench.reset()
    for a, b in itertools.product(SPECIALS, repeat=2):
        bench.send(a, b)
    await bench.drain()


@cocotb.test()
async def random_operands(dut: Any) -> None:
    """Under every pair of stalls."""
    bench = DivBench(dut)
    for source in STALLS:
        await bench.reset()
        bench.source.stall, bench.sink.stall = bench.stall(source), bench.stall("half")
        for _ in range(400):
            bench.send(bench.number(), bench.number())
        await bench.drain()


def test_fp32_div() -> None:
    """The divider has no parameters."""
    build_and_test("embnic_fp32_div", "test_fp32_div")
