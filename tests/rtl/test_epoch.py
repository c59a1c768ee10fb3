# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_epoch: epochs of the length that the register says, at once when it changes, and none when off."""

from itertools import pairwise
from typing import Any

import cocotb

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test

UNIT = 1024


class EpochBench(Bench):
    """Notes the cycles in which the epoch turns; compares their distances."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.board = self.scoreboard("distances")

    async def turns(self, cycles: int) -> list[int]:
        """Return the cycles of the turns within so many cycles."""
        seen, last = [], self.read("epoch")
        for cycle in range(cycles):
            await self.cycles(1)
            now = self.read("epoch")
            if now != last:
                assert now == (last + 1) % 8
                seen.append(cycle)
            last = now
        return seen


@cocotb.test()
async def lengths(dut: Any) -> None:
    """Turns are as far apart as the length says, whatever it was before."""
    bench = EpochBench(dut)
    bench.drive(cfg_kilocycles=0)
    await bench.reset()
    for kilocycles in (1, 0, 3, 2, 0, 1, 2):
        bench.drive(cfg_kilocycles=kilocycles)
        await bench.cycles(4)
        assert bench.read("epoch_on") == (kilocycles > 0)
        seen = await bench.turns((kilocycles * 4 or 6) * UNIT)
        if not kilocycles:
            assert not seen
            continue
        assert seen[0] <= kilocycles * UNIT
        bench.board.expect(*[kilocycles * UNIT] * (len(seen) - 1))
        for before, after in pairwise(seen):
            bench.board.check(after - before)
    bench.drive(cfg_kilocycles=65535)
    await bench.cycles(4 * UNIT)
    bench.drive(cfg_kilocycles=1)
    assert len(await bench.turns(3 * UNIT)) == 3
    await bench.drain()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset begins an epoch 0 anew."""
    bench = EpochBench(dut)
    bench.drive(cfg_kilocycles=1)
    await bench.reset()
    await bench.cycles(UNIT * 3 + 17)
    assert bench.read("epoch") == 3
    await bench.reset()
    bench.board.expect(0)
    bench.board.check(bench.read("epoch"))
    assert len(await bench.turns(UNIT - 20)) == 0
    await bench.drain()


def test_epoch() -> None:
    """All coroutines."""
    build_and_test("embnic_epoch", "test_epoch")
