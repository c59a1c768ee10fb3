# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_cache_tags: what every lookup finds, against the rules in plain Python."""

from typing import Any

import cocotb
import pytest
from cache_model import (
    DROP,
    FETCH,
    KEY_BITS,
    LOCK,
    LOOK,
    PIN,
    RELEASE,
    TagModel,
    Ticker,
    key_of,
    set_of,
)

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS

RESULTS = ("hit", "evict", "kept", "no_way", "refused", "pinned", "held", "line")


class TagsBench(Bench):
    """Lookups in; all results out, the line only when it means something.

    `estimate` is random in every cycle; the model gets what the header says: that of 2 cycles after the lookup.
    """

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.ways, self.sets = int(self.params["WAYS"]), int(self.params["SETS"])
        self.model = TagModel(self.ways, self.sets)
        self.source = self.pulse_source("lookup", ["lookup_key", "lookup_cmd"])
        self.board = self.scoreboard("results")
        self.add(Ticker(self._each_cycle, lambda: None))
        self.monitor("lookup_valid", ["lookup_key", "lookup_cmd"], self._looked_up)
        self.monitor("result_valid", [f"result_{name}" for name in RESULTS], self._result)
        self.waiting: list[tuple[int, int, int]] = []  # cycle of the lookup, key, command
        self.most = 15  # of the estimates
        self.before = self.now = 0
        self.seen = dict.fromkeys(RESULTS, 0)
        self.drive(cfg_clear=0, cfg_cached_ways=1, cfg_admission=0, estimate=0)

    @property
    def hits(self) -> int:
        """Hits since the start."""
        return self.seen["hit"]

    @property
    def evictions(self) -> int:
        """Evictions since the start."""
        return self.seen["evict"]

    def configure(self, cached_ways: int, admission: bool) -> None:
        """Set what is quasi-static."""
        self.drive(cfg_cached_ways=cached_ways, cfg_admission=int(admission))
        self.model.cached_ways, self.model.admission = cached_ways, admission

    async def reset(self, cycles: int = 4) -> None:
        """Also clear the model, and wait until the sets are cleared."""
        self.model.clear()
        self.waiting.clear()
        await super().reset(cycles)
        start = self.cycle
        await self.until(lambda: not self.read("sts_clearing"))
        assert self.cycle - start <= self.sets + 1, "one set is cleared per cycle"

    def _each_cycle(self) -> None:
        self.before, self.now = self.now, self.read("estimate")
        self.drive(estimate=self.random.randint(0, self.most))

    def _looked_up(self, word: tuple[int, int]) -> None:
        self.waiting.append((self.cycle, *word))
        self.board.expect(0)

    def _result(self, word: tuple[int, ...]) -> None:
        cycle, key, command = self.waiting.pop(0)
        assert self.cycle - cycle == 3, "the header says 3 cycles"
        found = self.model.execute(key, command, self.before)
        flags = (found.hit, found.evicted, found.kept, found.no_way, found.refused, found.pinned)
        wanted = dict(zip(RESULTS, (*map(int, flags), int(found.held), found.line), strict=True))
        seen = dict(zip(RESULTS, word, strict=True))
        if command in (DROP, RELEASE) or not found.kept:
            del wanted["line"], seen["line"]
        assert seen == wanted, f"key {key:#x}, command {command}: {seen} for {wanted}"
        self.board.check(0)
        for name, value in zip(RESULTS, word, strict=True):
            self.seen[name] += value

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
        self.random_commands(number, pool, {LOOK: 1 - drop_rate, DROP: drop_rate})

    def random_commands(self, number: int, pool: list[int], rates: dict[int, float]) -> None:
        """Queue commands at their rates on keys drawn from a pool, often the same key again."""
        key = pool[0]
        for _ in range(number):
            if self.random.random() > 0.3:
                key = self.random.choice(pool)
            (command,) = self.random.choices(list(rates), list(rates.values()))
            self.source.send((key, command))


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


HOLDS = {LOOK: 10.0, DROP: 2.0, RELEASE: 1.0, FETCH: 2.0, LOCK: 1.0, PIN: 1.0}


@cocotb.test()
async def holds(dut: Any) -> None:
    """Every command at every split of the ways, with and without the filter, on few sets and on many."""
    bench = TagsBench(dut)
    for cached_ways in range(bench.ways + 1):
        for admission in (False, True):
            bench.configure(cached_ways, admission)
            await bench.reset()
            bench.source.stall = bench.stall(bench.random.choice(list(STALLS)))
            bench.most = bench.random.choice([1, 15])
            bench.random_commands(400, bench.keys_of_one_set(bench.ways + 2), HOLDS)
            wide = [key_of(1, row, 0) for row in range(3 * bench.ways * bench.sets)]
            bench.random_commands(400, wide, HOLDS)
            await bench.drain(quiet=5)
    assert all(bench.seen[name] > 20 for name in RESULTS), bench.seen


@cocotb.test()
async def a_pinned_row_stays(dut: Any) -> None:
    """Whatever is looked up, a pinned row hits; after a drop it misses once and gets its own line again."""
    bench = TagsBench(dut)
    bench.configure(0, False)
    await bench.reset()
    keys = bench.keys_of_one_set(bench.ways + 8)
    pinned, others = keys[0], keys[1:]
    bench.source.send((pinned, PIN))
    for _ in range(20):
        bench.random_commands(15, others, {LOOK: 3, FETCH: 1, LOCK: 1, DROP: 1, RELEASE: 1})
        bench.source.send((pinned, LOOK))
    await bench.drain(quiet=5)
    assert bench.seen["pinned"] == 20
    bench.source.send((pinned, DROP))
    bench.random_commands(30, others, {LOOK: 1})
    for _ in range(2):
        bench.source.send((pinned, LOOK))
    await bench.drain(quiet=5)
    assert bench.seen["pinned"] == 22, "the drop itself was a hit, then one miss, one hit"


@cocotb.test()
async def a_locked_set_still_answers(dut: Any) -> None:
    """With every way held lookups of other keys get no way, and nothing is replaced; releases end it."""
    bench = TagsBench(dut)
    bench.configure(0, True)
    await bench.reset()
    keys = bench.keys_of_one_set(2 * bench.ways)
    held, others = keys[: bench.ways], keys[bench.ways :]
    for number, key in enumerate(held):
        bench.source.send((key, LOCK if number % 2 else PIN))
    for key in others:
        bench.source.send((key, LOOK))
        bench.source.send((key, PIN))
    await bench.drain(quiet=5)
    assert bench.seen["no_way"] == 2 * len(others) and bench.seen["evict"] == 0
    assert bench.seen["held"] == bench.ways
    for key in held:
        bench.source.send((key, RELEASE))
    for key in others:
        bench.source.send((key, FETCH))
    await bench.drain(quiet=5)
    assert bench.seen["evict"] == len(others)


@cocotb.test()
async def the_filter_gives_way(dut: Any) -> None:
    """A line that nobody looks up is replaced in the end, however often it was looked up before."""
    bench = TagsBench(dut)
    bench.configure(1, True)
    await bench.reset()
    keys = bench.keys_of_one_set(bench.ways + 1)
    for key in keys[: bench.ways]:
        for _ in range(40):
            bench.source.send((key, LOOK))
    await bench.drain(quiet=5)
    bench.most = 1
    before = bench.seen["refused"]
    for _ in range(20 * bench.ways):
        bench.source.send((keys[-1], LOOK))
    await bench.drain(quiet=5)
    assert bench.seen["refused"] - before > 0 and bench.seen["evict"] == 1


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


@pytest.mark.parametrize(
    ("ways", "sets"),
    [
        pytest.param(1, 2, marks=pytest.mark.slow),
        (2, 8),
        (4, 16),
        pytest.param(8, 4, marks=pytest.mark.slow),
    ],
)
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
