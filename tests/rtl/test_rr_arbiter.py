# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_rr_arbiter: the next requester after the last taken, nobody starves."""

from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure


class ArbiterModel:
    """Plain loop over the requesters, from the one after the last taken."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.number = int(bench.params["N"])
        self.board = bench.scoreboard("grant")
        self.waiting = [0] * self.number
        self.last = self.number - 1

    def reset(self) -> None:
        """The first requester comes first."""
        self.last = self.number - 1
        self.waiting = [0] * self.number

    def tick(self) -> None:
        """One clock edge."""
        read = self.bench.read
        req, take = read("req"), read("take")
        order = [(self.last + 1 + step) % self.number for step in range(self.number)]
        grant = next((index for index in order if req >> index & 1), None)
        if grant is None:
            self.board.expect((0,))
            self.board.check((read("grant_valid"),))
        else:
            self.board.expect((1, grant, read("mark") >> grant & 1))
            self.board.check((read("grant_valid"), read("grant_idx"), read("grant_mark")))
        if not take or grant is None:
            return
        for index in range(self.number):
            self.waiting[index] = (
                self.waiting[index] + 1 if req >> index & 1 and index != grant else 0
            )
            assert self.waiting[index] < self.number, (
                f"requester {index} waited {self.waiting[index]} takes"
            )
        self.last = grant


@cocotb.test()
async def all_ask(dut: Any) -> None:
    """With everybody asking the grants go round."""
    bench = Bench(dut)
    model = bench.add(ArbiterModel(bench))
    bench.drive(req=0, mark=0, take=0)
    await bench.reset()
    bench.drive(req=(1 << model.number) - 1, mark=1, take=1)
    await bench.cycles(4 * model.number + 3)
    bench.drive(req=0, take=0)
    await bench.drain()


@cocotb.test()
async def random_requests(dut: Any) -> None:
    """Requests that stay until they are taken or go away, random takes, resets between."""
    bench = Bench(dut)
    model = bench.add(ArbiterModel(bench))
    bench.drive(req=0, mark=0, take=0)
    for density in (0.1, 0.5, 0.95):
        await bench.reset()
        for _ in range(1000):
            req = sum(
                1 << index for index in range(model.number) if bench.random.random() < density
            )
            mark = bench.random.getrandbits(model.number)
            bench.drive(req=req, mark=mark, take=bench.random.getrandbits(1))
            await bench.cycles()
        bench.drive(req=0, take=0)
    await bench.drain()
    assert model.board.compared > 2900


@pytest.mark.parametrize("number", [2, 5, 37])
def test_rr_arbiter(number: int) -> None:
    """The smallest, one that is no power of two, and a wide one."""
    build_and_test("embnic_rr_arbiter", "test_rr_arbiter", params={"N": number})


def test_illegal_number_does_not_build() -> None:
    """One requester needs no arbiter."""
    expect_build_failure("embnic_rr_arbiter", {"N": 1}, "N must be at least 2")
