# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_ram_parity: words come back as written, and one that was stored wrong says so, every time."""

from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure


class ParityBench(Bench):
    """Random writes, reads and injections against a dict; a read sees the word before a write of its cycle."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.width, self.depth = int(self.params["WIDTH"]), int(self.params["DEPTH"])
        self.ecc = bool(self.params["ECC"])
        self.latency = 1 + int(self.params["OUT_REG"])
        self.board = self.scoreboard("words")
        self.injected = self.count("evt_injected")
        self.words: dict[int, tuple[int, int]] = {}  # what is to be read, and the flipped bit

    async def run(self, number: int, rate: float) -> int:
        """Access the RAM `number` times; return how many words were stored wrong."""
        rng, wrong = self.random, 0
        armed, place, pipe = False, 0, [None] * self.latency
        self.drive(inject=0)
        for _ in range(number):
            write, addr = rng.random() < 0.5, rng.randrange(self.depth)
            word = rng.choice([0, (1 << self.width) - 1, rng.getrandbits(self.width)])
            read = rng.choice([None, *self.words]) if self.words else None
            self.drive(wr_en=int(write), wr_addr=addr, wr_data=word)
            self.drive(rd_en=int(read is not None), rd_addr=read or 0)
            pipe.append(None if read is None else self.words[read])
            inject = not armed and rng.random() < rate
            if inject:
                place = rng.randrange(8)
            self.drive(inject=int(inject), inject_place=place)
            if write:
                bit = (place * self.width // 8 + 5 * place) % self.width
                flipped = armed and self.ecc
                self.words[addr] = (word ^ (flipped << bit), int(flipped))
                wrong += flipped
                armed = False
            armed = armed or inject
            await self.cycles(1)
            came = pipe.pop(0)
            if came is not None:
                self.board.expect(came[0] | came[1] << self.width)
                self.board.check(self.read("rd_data") | self.read("rd_bad") << self.width)
        self.drive(wr_en=0, rd_en=0, inject=0)
        await self.cycles(self.latency + 1)
        return wrong


@cocotb.test()
async def random_words(dut: Any) -> None:
    """Without injection nothing is bad; with it exactly what was stored wrong is, in every place."""
    bench = ParityBench(dut)
    await bench.reset()
    assert not await bench.run(1000, 0.0)
    wrong = await bench.run(3000, 0.2)
    await bench.drain()
    assert bench.injected.total == wrong
    assert (wrong > 50) == bench.ecc


@cocotb.test()
async def reset_disarms(dut: Any) -> None:
    """What was armed before a reset is not injected after it."""
    bench = ParityBench(dut)
    await bench.reset()
    bench.drive(inject=1, inject_place=3)
    await bench.cycles(1)
    bench.drive(inject=0)
    await bench.reset()
    assert not await bench.run(300, 0.0)
    await bench.drain()
    assert bench.injected.total == 0


@pytest.mark.parametrize(
    ("width", "word", "out_reg", "ecc"),
    [(129, 32, 1, 1), (61, 61, 0, 1), (7, 32, 0, 0)],
)
def test_ram_parity(width: int, word: int, out_reg: int, ecc: int) -> None:
    """As the data RAM of `tiny`, as a tag RAM, and without parity."""
    params = {"WIDTH": width, "DEPTH": 16, "WORD": word, "OUT_REG": out_reg, "ECC": ecc}
    build_and_test("embnic_ram_parity", "test_ram_parity", params=params)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WORD", 0, "WORD must be at least 1"),
        ("DEPTH", 1, "DEPTH must be at least 2"),
        ("STYLE", 4, "STYLE must be 0"),
    ],
)
def test_illegal_parameters_do_not_build(name: str, value: int, message: str) -> None:
    """Each illegal parameter is refused in its own words."""
    expect_build_failure("embnic_ram_parity", {name: value}, message)
