# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_pool: bags of any pooling, interleaved over the slots, against exact integers.

The pool cannot be stalled, so the stall matrix is one of idle gaps in front of it. The feeder
stands for the row cache: it issues the beats of a row one after the other and keeps ACC_LOOP_CYCLES
between two rows of a slot.
"""

from __future__ import annotations

import os
import random
import struct
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import cocotb
import pytest

from embnic_sim.bench import STALLS, Bench, load_structs
from embnic_sim.runner import build_and_test, expect_build_failure

NAN = 0x7FC00000
ONE = 0x3F800000
SUM_LATENCY, MEAN_LATENCY = 15, 49

# Arithmetic on bits, exact: a finite number is man * 2**exp.


def _is_nan(x: int) -> bool:
    return x & 0x7FFFFFFF > 0x7F800000


def _is_inf(x: int) -> bool:
    return x & 0x7FFFFFFF == 0x7F800000


def _parts(x: int) -> tuple[int, int]:
    exp, frac = x >> 23 & 255, x & 0x7FFFFF
    man = frac | 0x800000 if exp else frac
    return (-man if x >> 31 else man), max(exp, 1) - 150


def _round(negative: bool, man: int, exp: int, sticky: bool = False) -> int:
    """Round man * 2**exp (and a little more, with sticky) to nearest even."""
    lowest = max(man.bit_length() + exp - 24, -149)
    drop = lowest - exp
    if drop <= 0:
        kept, rest, half = man << -drop, 0, 1
    else:
        kept, rest, half = man >> drop, man & ((1 << drop) - 1), 1 << (drop - 1)
    if rest > half or (rest == half and (sticky or kept & 1)):
        kept += 1
    return int(negative) << 31 | min(kept + ((lowest + 149) << 23), 0x7F800000)


def fma(a: int, b: int, c: int) -> int:
    """Return a * b + c, rounded once."""
    if _is_nan(a) or _is_nan(b) or _is_nan(c):
        return NAN
    sign = (a ^ b) >> 31
    if _is_inf(a) or _is_inf(b):
        if not a << 1 & 0xFFFFFFFF or not b << 1 & 0xFFFFFFFF or (_is_inf(c) and c >> 31 != sign):
            return NAN
        return sign << 31 | 0x7F800000
    if _is_inf(c):
        return c
    (x, x_exp), (y, y_exp), (z, z_exp) = _parts(a), _parts(b), _parts(c)
    low = min(x_exp + y_exp, z_exp)
    total = (x * y << (x_exp + y_exp - low)) + (z << (z_exp - low))
    if not total:
        return (sign & c >> 31) << 31 if not x * y and not z else 0
    return _round(total < 0, abs(total), low)


def divide(a: int, count: int) -> int:
    """Return a / float(count)."""
    if _is_nan(a):
        return NAN
    if _is_inf(a) or not a << 1 & 0xFFFFFFFF:
        return a
    (x, x_exp), (y, y_exp) = _parts(a), _parts(_round(False, count, 0))
    quotient, rest = divmod(abs(x) << 90, y)
    return _round(x < 0, quotient, x_exp - 90 - y_exp, rest != 0)


def greater(x: int, y: int) -> bool:
    """Return x > y as an ordered compare."""
    left, right = struct.unpack("<2f", struct.pack("<2I", x, y))
    return bool(left > right)


def test_model_knows_known_results() -> None:
    """The model itself, on results that can be checked by hand."""
    assert fma(ONE, ONE, ONE) == 0x40000000
    assert fma(0x3F800001, 0x3F800001, 0xBF800002) == 0x28800000  # (1 + u)^2 - (1 + 2u) = u^2
    assert fma(0x00000001, 0x3F000000, 0) == 0  # half of the smallest: a tie, to even
    assert fma(0x00000003, 0x3F000000, 0) == 2  # 1.5 units: a tie, to even
    assert fma(0x80000000, ONE, 0x80000000) == 0x80000000
    assert fma(ONE, ONE, 0xBF800000) == 0
    assert fma(0x7F7FFFFF, 0x40000000, 0xFF800000) == 0xFF800000
    assert divide(ONE, 3) == 0x3EAAAAAB
    assert divide(0x00000001, 2) == 0
    assert divide(0x80000003, 2) == 0x80000002
    assert divide(ONE, (1 << 24) + 1) == 0x33800000


SPECIALS = (
    0, 1 << 31, 1, 0x80000001, 0x007FFFFF, 0x00800000, 0x80800000, ONE, 0xBF800000, 0x3F800001,
    0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7F800001, 0xFFC12345, NAN,
)  # fmt: skip


@dataclass
class Bag:
    """What one bag asks for: rows of whole beats, in order."""

    pooling: int
    vec_beats: int
    dim: int
    rows: list[list[int]]  # rows[k][element], bits
    weights: list[int]
    partial: bool = False
    mul_then_add: bool = False
    load: bool = False  # the first row is an accumulator
    flush: bool = False  # a flush ends the bag
    count: int = 0
    ctx: int = 0
    expected: list[int] = field(default_factory=list)


class PoolBench(Bench):
    """Feeds bags and checks every write."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.structs = load_structs()
        self.beat_t = self.structs["beat_t"]
        self.loop = self.structs.consts["ACC_LOOP_CYCLES"]
        self.poolings = self.structs.enums["pooling_e"]
        self.lanes = int(self.params["DATA_W"]) // 32
        self.slots = int(self.params["SLOTS"])
        self.vec_limit = int(self.params["MAX_VEC64"]) * 16 // self.lanes
        self.board = self.scoreboard("writes")
        self.paths: dict[bool, deque[tuple[int, tuple[int, ...]]]] = {False: deque(), True: deque()}
        self.mean_addrs: set[int] = set()
        self.rsp_addr = 0
        self.bags_done = 0
        self.mean_latencies: list[int] = []
        self.feeder = self.add(Feeder(self))
        self.monitor(
            "rsp_wr_en",
            ["rsp_wr_addr", "rsp_wr_data", "bag_done_valid", "bag_done_ctx", "bag_done_count"],
            self._written,
        )
        self.monitor("bag_done_valid", ["rsp_wr_en"], self._done)

    def _written(self, word: tuple[int, ...]) -> None:
        addr, data, done, ctx, count = word
        mean = addr in self.mean_addrs
        self.mean_addrs.discard(addr)
        assert self.paths[mean], f"a write to {addr:#x} came, nothing was expected"
        issued, expected = self.paths[mean].popleft()
        self.board.expect(expected)
        self.board.check((addr, data, done, ctx, count) if done else (addr, data, 0, 0, 0))
        latency = self.cycle - issued - 1
        if mean:
            self.mean_latencies.append(latency)
            assert latency >= MEAN_LATENCY
        else:
            assert latency == SUM_LATENCY, (
                f"a direct result took {latency} cycles, not {SUM_LATENCY}"
            )

    def _done(self, rsp_wr_en: int) -> None:
        assert rsp_wr_en, "bag_done comes with the last write"
        self.bags_done += 1

    def idle(self) -> bool:
        """Nothing to feed, nothing awaited, and the DUT says so."""
        return self.feeder.empty and not any(self.paths.values()) and bool(self.read("sts_idle"))

    # Bags

    def number(self, rng: random.Random, special: float) -> int:
        """Return the bits of an element: sometimes special, else moderate, so that sums cancel."""
        if rng.random() < special:
            return rng.choice(SPECIALS)
        return rng.getrandbits(1) << 31 | rng.randrange(110, 140) << 23 | rng.getrandbits(23)

    def bag(
        self, pooling: str, *, rows: int, vec_beats: int = 1, special: float = 0.05, **more: Any
    ) -> Bag:
        """Return a random bag."""
        rng = self.random
        low = (vec_beats - 1) * self.lanes + 1
        dim = int(more.pop("dim", rng.randint(low, vec_beats * self.lanes)))
        weighted = bool(more.pop("weighted", pooling == "SUM" and rng.random() < 0.5))
        size = vec_beats * self.lanes
        data = []
        for _ in range(rows):
            row = [self.number(rng, special) for _ in range(dim)]
            data.append(row + [0] * (size - dim))
        weights = [self.number(rng, special) if weighted else ONE for _ in range(rows)]
        bag = Bag(
            pooling=self.poolings[f"POOLING_{pooling}"],
            vec_beats=vec_beats,
            dim=dim,
            rows=data,
            weights=weights,
            ctx=rng.getrandbits(6),
            **more,
        )
        if not bag.count:
            bag.count = (
                rows if not bag.load else rng.randrange(rows, 1 << rng.choice((4, 16, 24, 32)))
            )
        bag.expected = self.result(bag)
        return bag

    def random_bag(self, rng: random.Random, limit: int) -> Bag:
        """Return any bag that the upstream modules can make."""
        pooling = rng.choice(("SUM", "MEAN", "MAX", "SUM", "MEAN", "MAX", "NONE"))
        flush = rng.random() < 0.2
        rows = rng.choice((1, 1, 2, 3, 8)) if not flush else rng.choice((0, 0, 1, 3))
        if pooling == "NONE":
            rows, flush = 1, False
        return self.bag(
            pooling,
            rows=rows,
            vec_beats=rng.randint(1, limit),
            partial=rng.random() < 0.2,
            mul_then_add=rng.random() < 0.4,
            load=rows > 0 and pooling != "NONE" and rng.random() < 0.2,
            flush=flush,
        )

    def result(self, bag: Bag) -> list[int]:
        """Return the elements that must be written."""
        names = {code: name for name, code in self.poolings.items()}
        pooling = names[bag.pooling]
        out = []
        for element in range(bag.dim):
            acc = 0
            for k, row in enumerate(bag.rows):
                x = row[element]
                if (bag.load and k == 0) or pooling == "POOLING_NONE":
                    acc = x
                elif pooling == "POOLING_MAX":
                    acc = x if k == 0 or greater(x, acc) else acc
                elif bag.mul_then_add:
                    w = bag.weights[k]
                    acc = fma(ONE, fma(w, x, (w ^ x) & 1 << 31), acc)
                else:
                    acc = fma(bag.weights[k], x, acc)
            if pooling == "POOLING_MEAN" and not bag.partial and bag.count:
                acc = divide(acc, bag.count)
            out.append(acc)
        return out + [0] * (bag.vec_beats * self.lanes - bag.dim)

    def pack(self, elements: Iterable[int]) -> int:
        """Return a beat's data."""
        word = 0
        for lane, bits in enumerate(elements):
            word |= bits << 32 * lane
        return word


class Feeder:
    """Gives each free slot the next bag and issues row after row, as the row cache does."""

    def __init__(self, bench: PoolBench) -> None:
        self.bench = bench
        self.valid, self.info, self.data = (
            bench.pin(f"beat_{n}") for n in ("valid", "info", "data")
        )
        self.go: Callable[[], bool] = lambda: True
        self.bags: deque[Bag] = deque()
        self.issued = 0
        self.first_cycle = self.last_cycle = 0
        self.in_turn = False  # strictly round robin; else any slot that may
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.bags.clear()
        self.open: dict[int, tuple[Bag, int]] = {}  # slot: bag, its next operation
        self.ready_at = [0] * self.bench.slots
        self.beats: deque[tuple[dict[str, int], int, tuple[int, ...] | None, bool]] = deque()
        self.bench.mean_addrs.clear()
        for path in self.bench.paths.values():
            path.clear()
        self.turn = 0
        self.valid.write(0)
        self.info.write(0)
        self.data.write(0)

    @property
    def empty(self) -> bool:
        """All is issued."""
        return not (self.bags or self.open or self.beats)

    def _choose(self) -> int | None:
        bench = self.bench
        for slot in range(bench.slots):
            if slot not in self.open and self.bags:
                self.open[slot] = (self.bags.popleft(), 0)
        ready = [s for s in self.open if self.open[s][1] == 0 or self.ready_at[s] <= bench.cycle]
        if not ready:
            return None
        if self.in_turn:
            return min(ready, key=lambda s: (s - self.turn) % bench.slots)
        return bench.random.choice(ready)

    def _start_row(self, slot: int) -> None:
        bench = self.bench
        bag, step = self.open[slot]
        operations = len(bag.rows) + bag.flush
        flush, last = bag.flush and step == len(bag.rows), step == operations - 1
        load = bag.load and step == 0 and not flush
        mean = bag.pooling == bench.poolings["POOLING_MEAN"] and not bag.partial and bag.count != 0
        row = None if flush else bag.rows[step]
        for beat in range(bag.vec_beats):
            done = last and beat == bag.vec_beats - 1
            lanes = slice(beat * bench.lanes, (beat + 1) * bench.lanes)
            info = {
                "slot": slot,
                "ctx": bag.ctx,
                "beat": beat,
                "first": int(step == 0 and not (load and bench.random.random() < 0.5)),
                "load": int(load),
                "flush": int(flush),
                "last": int(last),
                "done": int(done),
                "dim": bag.dim,
                "pooling": bag.pooling,
                "partial": int(bag.partial),
                "mul_then_add": int(bag.mul_then_add),
                "weight": ONE if flush else bag.weights[step],
                "count": bag.count,
                "rsp_addr": (bench.rsp_addr + beat) & 0x3FFF,
            }
            data = (
                bench.random.getrandbits(32 * bench.lanes)
                if row is None
                else bench.pack(row[lanes])
            )
            expected = None
            if last:
                tail = (1, bag.ctx, bag.count) if done else (0, 0, 0)
                expected = (info["rsp_addr"], bench.pack(bag.expected[lanes]), *tail)
            self.beats.append((info, data, expected, mean))
        if last:
            bench.rsp_addr += bag.vec_beats
            del self.open[slot]
        else:
            self.open[slot] = (bag, step + 1)
        self.turn = slot + 1

    def tick(self) -> None:
        """One clock edge."""
        bench = self.bench
        if self.go():
            if not self.beats:
                slot = self._choose()
                if slot is not None:
                    self._start_row(slot)
            if self.beats:
                info, data, expected, mean = self.beats.popleft()
                self.valid.write(1)
                self.info.write(bench.beat_t.pack(info))
                self.data.write(data)
                # Beat v of the next row comes at least ACC_LOOP_CYCLES after beat v of this one.
                self.ready_at[info["slot"]] = bench.cycle + bench.loop - info["beat"]
                if expected is not None:
                    bench.paths[mean].append((bench.cycle, expected))
                    if mean:
                        bench.mean_addrs.add(info["rsp_addr"])
                self.first_cycle = self.first_cycle or bench.cycle
                self.last_cycle = bench.cycle
                self.issued += 1
                return
        self.valid.write(0)
        self.info.write(bench.random.getrandbits(self.info.width))
        self.data.write(bench.random.getrandbits(self.data.width))


@cocotb.test()
async def directed(dut: Any) -> None:
    """The sentences of the header, one by one, on elements that tell the cases apart."""
    bench = PoolBench(dut)
    await bench.reset()

    def one(pooling: str, values: list[int], expected: int, **more: Any) -> None:
        rows = [[v] + [0] * (bench.lanes - 1) for v in values]
        weights = more.pop("weights", [ONE] * len(rows))
        bag = Bag(bench.poolings[f"POOLING_{pooling}"], 1, 1, rows, weights, **more)
        bag.count = bag.count or len(rows)
        bag.expected = [expected] + [0] * (bench.lanes - 1)
        assert bag.expected == bench.result(bag), "the model disagrees with the directed case"
        bench.feeder.bags.append(bag)

    inf, nan_bits, two, three = 0x7F800000, 0x7F812345, 0x40000000, 0x40400000
    one("SUM", [1 << 31], 0)  # a lone -0 is added to +0
    one("SUM", [nan_bits], NAN)
    one("SUM", [inf, inf | 1 << 31], NAN)
    one("SUM", [ONE, ONE], three, weights=[ONE, two])
    one("SUM", [], 0, flush=True)  # an empty bag
    one("MEAN", [], 0, flush=True)
    one("MAX", [], 0, flush=True)
    one("SUM", [ONE], ONE, weights=[ONE], flush=True)
    one("MEAN", [ONE, two], 0x3FC00000)
    one("MEAN", [ONE, two], three, partial=True)
    one("MEAN", [three], 0x3F800000, load=True, flush=True, count=3)
    one("MEAN", [inf], inf)
    one("MAX", [1 << 31, 0], 1 << 31)  # a tie keeps the first
    one("MAX", [nan_bits, inf], nan_bits)  # a NaN in the first row stays
    one("MAX", [ONE, nan_bits, two, nan_bits], two)  # a later one is ignored
    one("MAX", [0xBF800000, 0xC0000000], 0xBF800000)
    one("NONE", [nan_bits], nan_bits)
    one("SUM", [nan_bits], nan_bits, load=True, flush=True)  # a load keeps bits
    one("MAX", [ONE, two], two, load=True)
    one("SUM", [0xBF800002, 0x3F800001], 0x28800000, weights=[ONE, 0x3F800001])  # fused
    one("SUM", [0xBF800002, 0x3F800001], 0, weights=[ONE, 0x3F800001], mul_then_add=True)
    one("SUM", [ONE], inf, weights=[inf])  # and the padding stays zero
    await bench.drain()
    assert bench.bags_done == 22
    assert bench.feeder.issued > 22


@cocotb.test()
async def gap_matrix(dut: Any) -> None:
    """Random bags through every pattern of idle cycles."""
    bench = PoolBench(dut)
    for gap in STALLS:
        await bench.reset()
        bench.feeder.go = bench.stall(gap)
        for _ in range(60):
            bench.feeder.bags.append(bench.random_bag(bench.random, min(bench.vec_limit, 6)))
        await bench.drain()
    assert bench.bags_done == 60 * len(STALLS)


@cocotb.test()
async def longest_vectors(dut: Any) -> None:
    """The last accumulator of the last slot, and no mixing of slots."""
    bench = PoolBench(dut)
    await bench.reset()
    limit = min(bench.vec_limit, 64 if bench.lanes < 16 else bench.vec_limit)
    for pooling in ("SUM", "MAX", "MEAN"):
        for _ in range(bench.slots if bench.lanes < 16 else 2):
            bench.feeder.bags.append(bench.bag(pooling, rows=2, vec_beats=limit))
    await bench.drain()


@cocotb.test()
async def no_bubbles(dut: Any) -> None:
    """With enough beats in open slots one beat a cycle is taken, and all is right."""
    bench = PoolBench(dut)
    await bench.reset()
    vec_beats = -(-bench.loop // bench.slots)
    bench.feeder.in_turn = True
    bags = 6 * bench.slots
    for _ in range(bags):
        bench.feeder.bags.append(bench.bag("SUM", rows=5, vec_beats=vec_beats))
    await bench.drain()
    feeder = bench.feeder
    assert feeder.issued == bags * 5 * vec_beats
    assert feeder.last_cycle - feeder.first_cycle + 1 == feeder.issued, (
        "there was a cycle without a beat"
    )


@cocotb.test()
async def means_compete(dut: Any) -> None:
    """Bags of one key in every cycle: means wait for the port, sums never do, nothing is lost."""
    bench = PoolBench(dut)
    await bench.reset()
    for burst in (40, 120):
        for _ in range(burst):
            bench.feeder.bags.append(bench.bag("MEAN", rows=1))
        for _ in range(burst):
            bench.feeder.bags.append(bench.bag("MAX", rows=1))
    for _ in range(200):
        bench.feeder.bags.append(bench.bag(bench.random.choice(("SUM", "MEAN")), rows=1))
    await bench.drain()
    assert min(bench.mean_latencies) == MEAN_LATENCY
    assert max(bench.mean_latencies) > MEAN_LATENCY + 20, "no mean ever waited"
    assert bench.bags_done == 520


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset at any moment leaves nothing behind."""
    bench = PoolBench(dut)

    def start() -> None:
        for _ in range(12):
            bench.feeder.bags.append(bench.random_bag(bench.random, 3))

    await bench.reset_in_traffic(start, times=12, within=90)


@cocotb.test(skip="EMBNIC_POOL_TOO_EARLY" not in os.environ)
async def too_early(dut: Any) -> None:
    """A row that comes one cycle too early: the assertion of the rule must stop the run."""
    bench = PoolBench(dut)
    await bench.reset()
    bench.loop -= 1
    bench.feeder.bags.append(bench.bag("SUM", rows=3))
    await bench.drain()


@pytest.mark.parametrize(
    ("data_w", "slots", "max_vec64"), [(128, 2, 8), (512, 16, 4)], ids=["narrow", "wide"]
)
def test_pool(data_w: int, slots: int, max_vec64: int) -> None:
    """Four lanes with two slots, and sixteen lanes."""
    params = {"DATA_W": data_w, "SLOTS": slots, "MAX_VEC64": max_vec64}
    build_and_test("embnic_pool", "test_pool", params=params)


def test_pool_with_the_smallest_parameters() -> None:
    """One lane, one slot, one wire beat."""
    build_and_test("embnic_pool", "test_pool", params={"DATA_W": 32, "SLOTS": 1, "MAX_VEC64": 1})


def test_a_row_too_early_is_caught() -> None:
    """The rule on ACC_LOOP_CYCLES is asserted, not only written."""
    with pytest.raises(AssertionError, match="ACC_LOOP_CYCLES"):
        build_and_test(
            "embnic_pool",
            "test_pool",
            params={"DATA_W": 128, "SLOTS": 2, "MAX_VEC64": 8},
            testcase="too_early",
            extra_env={"EMBNIC_POOL_TOO_EARLY": "1"},
        )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"DATA_W": 96}, "DATA_W must be a power of two"),
        ({"DATA_W": 1024}, "DATA_W must be a power of two"),
        ({"SLOTS": 65}, "SLOTS must be 1 to 64"),
        ({"SLOTS": 0}, "SLOTS must be 1 to 64"),
        ({"MAX_VEC64": 3}, "MAX_VEC64 must be a power of two"),
        ({"DATA_W": 32, "MAX_VEC64": 32}, "its bus beats 2 to 256"),
        ({"DATA_W": 512, "MAX_VEC64": 1}, "its bus beats 2 to 256"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Each refused by name."""
    expect_build_failure("embnic_pool", params, message)
