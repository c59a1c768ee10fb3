# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_cache_tags: hit, line and eviction of every lookup against the rules in plain Python."""

from typing import Any

import cocotb
import pytest
from cache_model import KEY_BITS, TagModel, key_of, set_of

from embnic_sim.bench import STALLS, Bench
from embnic_sim.runner import build_and_test, expect_build_failure


class TagsBench(Bench):
    """Lookups in; (hit, evicted, line) out, the line only when it means something."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.ways, self.sets = int(self.params["WAYS"]), int(self.params["SETS"])
        self.model = TagModel(self.ways, self.sets)
        self.source = self.pulse_source("lookup", ["lookup_key", "lookup_alloc"])
        self.board = self.scoreboard("results")
        self.monitor("lookup_valid", ["lookup_key", "lookup_alloc"], self._looked_up)
        self.monitor("result_valid", ["result_hit", "result_evict", "result_line"], self._result)
        self.alloc_order: list[bool] = []
        self.hits = self.evictions = 0
        self.latency: list[int] = []
        self.drive(cfg_clear=0)

    async def reset(self, cycles: int = 4) -> None:
        """Also clear the model, and wait until the sets are cleared."""
        self.model.clear()
        self.alloc_order.clear()
        self.latency.clear()
        await super().reset(cycles)
        start = self.cycle
        await self.until(lambda: not self.read("sts_clearing"))
        assert self.cycle - start <= self.sets + 1, "one set is cleared per cycle"

    def _looked_up(self, word: tuple[int, int]) -> None:
        key, alloc = word
        hit, line, evicted = self.model.lookup(key, bool(alloc))
        self.hits += hit
        self.evictions += evicted
        self.alloc_order.append(bool(alloc))
        self.latency.append(self.cycle)
        self.board.expect((int(hit), int(evicted), line))

    def _result(self, word: tuple[int, int, int]) -> None:
        hit, evicted, line = word
        assert self.cycle - self.latency.pop(0) == 3, "the header says 3 cycles"
        self.board.check((hit, evicted, line if self.alloc_order.pop(0) else 0))

    def keys_of_one_set(self, number: int) -> list[int]:
        """Return different keys that share a set, some of which differ in one high bit only."""
        keys: list[int] = []
        start = self.random.getrandbits(KEY_BITS)
        wanted = set_of(start, self.sets)
        width = self.sets.bit_length() - 1
        keys.append(start)
        for bit in range(
            width, KEY_BITS
        ):  # flip a tag bit and mend the index with the lowest piece
            if len(keys) == number:
                break
            other = start ^ 1 << bit
            keys.append(other ^ set_of(other, self.sets) ^ wanted)
        assert all(set_of(key, self.sets) == wanted for key in keys)
        return keys

    def random_lookups(self, number: int, pool: list[int], drop_rate: float = 0.1) -> None:
        """Queue lookups drawn from a pool, often the same key again."""
        key = pool[0]
        for _ in range(number):
            if self.random.random() > 0.3:
                key = self.random.choice(pool)
            self.source.send((key, int(self.random.random() >= drop_rate)))


@cocotb.test()
async def one_key(dut: Any) -> None:
    """A miss, a hit, dropped, a miss again."""
    bench = TagsBench(dut)
    await bench.reset()
    for alloc in (1, 1, 0, 1):
        bench.source.send((key_of(3, 77, 1), alloc))
        await bench.drain(quiet=3)
    assert bench.hits == 2 and bench.evictions == 0


@cocotb.test()
async def same_set_every_cycle(dut: Any) -> None:
    """Lookups of one set in consecutive cycles, at every distance, with more keys than ways."""
    bench = TagsBench(dut)
    for stall in STALLS:
        for surplus in (0, 1, 3):
            await bench.reset()
            bench.source.stall = bench.stall(stall)
            bench.random_lookups(400, bench.keys_of_one_set(bench.ways + surplus))
            await bench.drain(quiet=5)
    assert bench.hits > 500 and bench.evictions > 100


@cocotb.test()
async def every_tag_bit(dut: Any) -> None:
    """Keys that differ in one bit are never confused."""
    bench = TagsBench(dut)
    await bench.reset()
    keys = bench.keys_of_one_set(KEY_BITS)
    for other in keys[1:]:
        for key in (keys[0], other, keys[0]):
            bench.source.send((key, 1))
    await bench.drain()


@cocotb.test()
async def random_against_model(dut: Any) -> None:
    """Pools of every size, random gaps and drops."""
    bench = TagsBench(dut)
    lines = bench.ways * bench.sets
    for pool_size in (2, lines // 2 + 1, lines + 2, 4 * lines):
        for stall in ("never", "half", "bursty"):
            await bench.reset()
            pool = [
                key_of(bench.random.getrandbits(2), bench.random.getrandbits(8), 0)
                for _ in range(pool_size)
            ]
            bench.source.stall = bench.stall(stall)
            bench.random_lookups(600, pool, bench.random.choice([0.0, 0.05, 0.4]))
            await bench.drain()
    assert bench.hits > 1000


@cocotb.test()
async def clear(dut: Any) -> None:
    """cfg_clear forgets everything, also the PLRU bits."""
    bench = TagsBench(dut)
    await bench.reset()
    for _ in range(6):
        bench.random_lookups(150, bench.keys_of_one_set(bench.ways + 1) + bench.keys_of_one_set(2))
        await bench.drain(quiet=5)
        bench.drive(cfg_clear=1)
        await bench.cycles(1)
        bench.drive(cfg_clear=0)
        await bench.cycles(2)
        assert bench.read("sts_clearing") or bench.sets == 2
        await bench.until(lambda: not bench.read("sts_clearing"))
        bench.model.clear()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset at any moment; everything is a miss afterwards."""
    bench = TagsBench(dut)
    pool = bench.keys_of_one_set(bench.ways + 2)
    await bench.reset_in_traffic(lambda: bench.random_lookups(60, pool), times=20, within=50)


@pytest.mark.parametrize(("ways", "sets"), [(1, 2), (2, 8), (4, 16), (8, 4)])
def test_cache_tags(ways: int, sets: int) -> None:
    """All coroutines, with every number of ways."""
    build_and_test("embnic_cache_tags", "test_cache_tags", params={"WAYS": ways, "SETS": sets})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"WAYS": 3}, "WAYS must be 1, 2, 4 or 8"),
        ({"WAYS": 16}, "WAYS must be 1, 2, 4 or 8"),
        ({"SETS": 12}, "SETS must be a power of two, at least 2"),
        ({"SETS": 1}, "SETS must be a power of two, at least 2"),
        ({"WAYS": 8, "SETS": 16384}, "must not exceed 65,536 lines"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Each is refused by its own message."""
    expect_build_failure("embnic_cache_tags", params, message)
