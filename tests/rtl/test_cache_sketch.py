# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_cache_sketch: every estimate against counts in plain Python."""

from typing import Any

import cocotb
import pytest
from cache_model import KEY_BITS, SketchModel, Ticker, fold

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS


class SketchBench(Bench):
    """Lookups in; an estimate 2 cycles after each."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.words = int(self.params["WORDS"])
        self.model = SketchModel(self.words)
        self.source = self.pulse_source("lookup", ["lookup_key", "lookup_count"])
        self.board = self.scoreboard("estimates")
        self.due: dict[int, int] = {}
        self.add(Ticker(self._tick, self.due.clear))
        self.monitor("lookup_valid", ["lookup_key", "lookup_count"], self._looked_up)
        self.estimates: list[int] = []

    async def reset(self, cycles: int = 4) -> None:
        """Also clear the model, and wait until the words are cleared."""
        self.model.clear()
        await super().reset(cycles)
        start = self.cycle
        await self.until(lambda: not self.read("sts_clearing"))
        assert self.cycle - start <= self.words + 1, "one word is cleared per cycle"

    def _looked_up(self, word: tuple[int, int]) -> None:
        key, count = word
        self.due[self.cycle + 2] = self.model.look(key, bool(count))
        self.board.expect(0)

    def _tick(self) -> None:
        if self.cycle in self.due:
            wanted, seen = self.due.pop(self.cycle), self.read("estimate")
            assert seen == wanted, f"estimate {seen}, expected {wanted}"
            self.estimates.append(seen)
            self.board.check(0)

    def send(self, number: int, pool: list[int], count_rate: float = 0.9) -> None:
        """Queue lookups drawn from a pool, often the same key again."""
        key = pool[0]
        for _ in range(number):
            if self.random.random() > 0.3:
                key = self.random.choice(pool)
            self.source.send((key, int(self.random.random() < count_rate)))


@cocotb.test()
async def one_key(dut: Any) -> None:
    """Counted up to 15; an uncounted lookup only looks."""
    bench = SketchBench(dut)
    await bench.reset()
    key = bench.random.getrandbits(KEY_BITS)
    for _ in range(15):
        bench.source.send((key, 1))
    bench.source.send((key, 0))
    await bench.drain(quiet=4)
    if bench.words > 2:  # else a halving lies between
        assert bench.estimates == [*range(1, 16), 15]


@cocotb.test()
async def one_word_in_every_cycle(dut: Any) -> None:
    """Keys of one word in consecutive cycles, at every distance, counted or not."""
    bench = SketchBench(dut)
    start = bench.random.getrandbits(KEY_BITS)
    width = bench.words.bit_length() - 1
    keys = [
        other ^ fold(other, width) ^ fold(start, width)
        for other in (start ^ 1 << bit for bit in range(width, width + 8))
    ]
    for stall in STALLS:
        await bench.reset()
        bench.source.stall = bench.stall(stall)
        bench.send(300, keys[: bench.random.randrange(2, 8)])
        await bench.drain(quiet=4)


@cocotb.test()
async def halvings(dut: Any) -> None:
    """Over many periods, with words that miss none, some, or more than four halvings."""
    bench = SketchBench(dut)
    await bench.reset()
    hot = [bench.random.getrandbits(KEY_BITS) for _ in range(3)]
    cold = [bench.random.getrandbits(KEY_BITS) for _ in range(4 * bench.words)]
    for turn in range(min(12, 4000 // bench.words)):
        bench.send(8 * bench.words, hot if turn % 3 == 1 else hot + cold, 1.0)
    await bench.drain(timeout=100_000)
    assert bench.model.lookups > 20 * bench.words and max(bench.estimates) > 4


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset at any moment; nothing is known afterwards."""
    bench = SketchBench(dut)
    pool = [bench.random.getrandbits(KEY_BITS) for _ in range(5)]
    await bench.reset_in_traffic(lambda: bench.send(60, pool), times=20, within=50)


@pytest.mark.parametrize("words", [2, pytest.param(16, marks=pytest.mark.slow), 128])
def test_cache_sketch(words: int) -> None:
    """All coroutines, with the fewest words, few, and many."""
    build_and_test("embnic_cache_sketch", "test_cache_sketch", params={"WORDS": words})


@pytest.mark.parametrize("words", [1, 12])
def test_illegal_parameters_do_not_build(words: int) -> None:
    """Each is refused by its own message."""
    expect_build_failure(
        "embnic_cache_sketch", {"WORDS": words}, "WORDS must be a power of two, at least 2"
    )
