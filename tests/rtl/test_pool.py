# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_pool: bags of any format and pooling, interleaved over the slots, against exact
integers.

The pool cannot be stalled, so the stall matrix is one of idle gaps in front of it. The feeder
stands for the row cache: it issues the beats of a row one after the other, keeps ACC_LOOP_CYCLES
(after quantised rows ACC_LOOP_LONG_CYCLES) between two rows of a slot, and gives no beat of another
kind INT_EXTRA_CYCLES after one of a quantised row.
"""

from __future__ import annotations

import itertools
import os
import random
import struct
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.golden import Command, golden_for, lanes_of, pack_lanes
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS
from embnic_sim.structs import load_structs

NAN = 0x7FC00000
ONE = 0x3F800000
INF = 0x7F800000
MINUS_ZERO = 0x80000000
SUM_LATENCY, MEAN_LATENCY = 15, 39

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


def multiply(a: int, b: int) -> int:
    """Return a * b, rounded once."""
    return fma(a, b, (a ^ b) & MINUS_ZERO)  # a zero of the product's own sign changes nothing


def narrow(a: int, storage: str, away: bool = False) -> int:
    """Return a rounded to a storage type, as fp32; ties to even, of bf16 or away from zero."""
    if storage not in ("FP16", "BF16") or _is_nan(a) or _is_inf(a) or not a << 1 & 0xFFFFFFFF:
        return a
    precision, smallest = {"FP16": (11, -24), "BF16": (8, -133)}[storage]
    man, exp = _parts(a)
    unit = max(abs(man).bit_length() + exp - precision, smallest)
    drop = unit - exp
    if drop <= 0:
        return a
    kept, rest = abs(man) >> drop, abs(man) & ((1 << drop) - 1)
    if 2 * rest > 1 << drop or (
        2 * rest == 1 << drop and (kept & 1 or (away and storage == "BF16"))
    ):
        kept += 1
    if storage == "FP16" and kept << (unit + 24) >= 1 << 40:  # 2**16: beyond 65,504
        return a & MINUS_ZERO | INF
    return _round(man < 0, kept, unit) if kept else a & MINUS_ZERO


def divide(a: int, count: int, storage: str = "FP32", away: bool = False) -> int:
    """Return a / float(count), both rounded to the storage type first."""
    if _is_nan(a):
        return NAN
    a = narrow(a, storage, away)
    divisor = narrow(_round(False, count, 0), storage)
    if _is_inf(divisor):
        return NAN if _is_inf(a) else a & MINUS_ZERO
    if _is_inf(a) or not a << 1 & 0xFFFFFFFF:
        return a
    (x, x_exp), (y, y_exp) = _parts(a), _parts(divisor)
    quotient, rest = divmod(abs(x) << 90, y)
    return _round(x < 0, quotient, x_exp - 90 - y_exp, rest != 0)


def integer(n: int) -> int:
    """Return a small integer as fp32."""
    return _round(False, n, 0) if n else 0


def signed(x: int) -> int:
    """Return 32 bits as a two's complement integer."""
    return x - (1 << 32) if x >> 31 else x


def saturated(x: int) -> int:
    """Return the nearest int32."""
    return min(max(x, -1 << 31), (1 << 31) - 1)


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
    assert multiply(0x3F800001, 0x3F800001) == 0x3F800002
    assert multiply(MINUS_ZERO, ONE) == MINUS_ZERO
    assert narrow(0x477FEFFF, "FP16") == 0x477FE000  # just below 65,520
    assert narrow(0x477FF000, "FP16") == INF
    assert narrow(0x33000000, "FP16") == 0  # half of the smallest: a tie, to even
    assert narrow(0x33000001, "FP16") == 0x33800000
    assert narrow(0x33C00000, "FP16") == 0x34000000  # 1.5 units: a tie, to even
    assert narrow(0x3F808000, "BF16") == 0x3F800000
    assert narrow(0x3F808000, "BF16", away=True) == 0x3F810000
    assert narrow(0x00018000, "BF16") == 0x00020000
    assert divide(ONE, 2049, "FP16") == 0x3A000000
    assert divide(ONE, 65520, "FP16") == 0
    assert divide(INF, 65520, "FP16") == NAN
    assert divide(ONE, 257, "BF16") == 0x3B800000
    assert saturated(1 << 31) == 0x7FFFFFFF
    assert saturated(-(1 << 31) - 1) == -(1 << 31)


SPECIALS = (
    0, 1 << 31, 1, 0x80000001, 0x007FFFFF, 0x00800000, 0x80800000, ONE, 0xBF800000, 0x3F800001,
    0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7F800001, 0xFFC12345, NAN,
)  # fmt: skip


Kind = tuple[bool, bool]


@dataclass
class Bag:
    """What one bag asks for: rows of whole beats, in order."""

    pooling: int
    vec_beats: int
    dim: int
    rows: list[list[int]]  # rows[k][element], bits of fp32, or of int32
    weights: list[int]
    dtype: str = "FP32"
    scales: list[int] = field(default_factory=list)  # of a quantised row
    biases: list[int] = field(default_factory=list)
    partial: bool = False
    mul_then_add: bool = False
    load: bool = False  # the first row is an accumulator
    merges: int = 0  # so many rows at the end are partials of others
    tree: int = 0  # running sums; 0: one, not a TREE
    product: str = (
        ""  # rows 2 n and 2 n + 1 are a pair: "short" is multiplied as it comes, "long" in banks
    )
    dropped: frozenset[int] = frozenset()  # pairs whose second key contributes nothing
    flush: bool = False  # a flush ends the bag
    count: int = 0
    ctx: int = 0
    expected: list[int] = field(default_factory=list)
    clipped: int = 0  # elements of sums that saturate

    def is_partial(self, k: int) -> bool:
        """Row k is an accumulator or a partial."""
        return (self.load and k == 0) or k >= len(self.rows) - self.merges

    @property
    def quantised(self) -> bool:
        """The rows are integers with a scale and a bias: their beats take the long way."""
        return self.dtype.startswith("INT")


class PoolBench(Bench):
    """Feeds bags and checks every write."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.structs = load_structs()
        self.beat_t = self.structs["beat_t"]
        self.loop = self.structs.consts["ACC_LOOP_CYCLES"]
        self.extra = self.structs.consts["INT_EXTRA_CYCLES"]
        self.loop_long = self.structs.consts["ACC_LOOP_LONG_CYCLES"]
        self.poolings = self.structs.enums["pooling_e"]
        self.dtypes = {
            n.removeprefix("DTYPE_"): v for n, v in self.structs.enums["dtype_e"].items()
        }
        self.lanes = int(self.params["DATA_W"]) // 32
        self.slots = int(self.params["SLOTS"])
        self.vec_limit = int(self.params["MAX_VEC64"]) * 16 // self.lanes
        self.board = self.scoreboard("writes")
        # A mean or not, after a long beat or not: within each of the four writes keep their order.
        self.paths: dict[Kind, deque[tuple[int, tuple[int, ...]]]] = {
            kind: deque() for kind in itertools.product((False, True), repeat=2)
        }
        self.kind_of: dict[int, Kind] = {}
        self.rsp_addr = 0
        self.bags_done = 0
        self.mean_latencies: list[int] = []
        self.saturations = self.count("evt_saturate")
        self.clipped = 0  # expected, of all bags made
        # Vectors of the HLS core are as long as any: where running sums lie in it is nobody's business.
        constants = {"kLanes": self.lanes, "kSlots": 64, "kVecBeats": 256}
        self.golden = golden_for("embnic_pool", constants)
        self.twin: dict[int, tuple[int, ...]] = {}  # what it wrote, by address
        self.feeder = self.add(Feeder(self))
        self.monitor(
            "rsp_wr_en",
            ["rsp_wr_addr", "rsp_wr_data", "bag_done_valid", "bag_done_ctx", "bag_done_count"],
            self._written,
        )
        self.monitor("bag_done_valid", ["rsp_wr_en"], self._done)

    def _written(self, word: tuple[int, ...]) -> None:
        addr, data, done, ctx, count = word
        kind = self.kind_of.pop(addr, None)
        assert kind is not None, f"a write to {addr:#x} came, nothing was expected"
        issued, expected = self.paths[kind].popleft()
        self.board.expect(expected)
        self.board.check((addr, data, done, ctx, count) if done else (addr, data, 0, 0, 0))
        if self.golden is not None:
            wanted = self.twin.pop(addr)
            assert (data, done, *((ctx, count) if done else (0, 0))) == wanted, (
                "the HLS core differs"
            )
            self.golden.compared += 1
        mean, late = kind
        latency = self.cycle - issued - 1 - (self.extra if late else 0)
        if mean:
            self.mean_latencies.append(latency)
            assert latency >= MEAN_LATENCY
        else:
            assert latency == SUM_LATENCY, (
                f"a direct result took {latency} cycles, not {SUM_LATENCY} (late: {late})"
            )

    def give_golden(self, info: dict[str, int], data: int, scale: int, bias: int) -> None:
        """Give a beat to the HLS core, and keep what it writes."""
        golden = self.golden
        assert golden is not None
        fields = [info.get(name, 0) for name in golden.fields]
        golden.command(Command.TAKE, [*fields, *pack_lanes(data, self.lanes), scale, bias])
        words = (self.lanes + 1) // 2
        for addr, *beat in golden.beats(words + 4):
            done, ctx, count = beat[words:]
            self.twin[addr] = (lanes_of(beat[:words]), done, *((ctx, count) if done else (0, 0)))

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

    def element(self, rng: random.Random, dtype: str, special: float) -> int:
        """Return an element as the pool gets it: fp32 of what is stored, or int32."""
        if dtype == "FP16":
            half = rng.getrandbits(16)
            while half >> 10 & 31 == 31 and rng.random() >= special:
                half = rng.getrandbits(16)
            if half >> 10 & 31 == 31:
                return half >> 15 << 31 | INF | (half & 0x3FF) << 13
            return int.from_bytes(
                struct.pack("<f", struct.unpack("<e", half.to_bytes(2, "little"))[0]), "little"
            )
        if dtype == "BF16":
            return self.number(rng, special) & 0xFFFF0000
        if dtype.startswith("INT"):
            return integer(rng.randrange(256 if dtype.startswith("INT8") else 16))
        if dtype == "FIXED":
            if rng.random() < special:
                return rng.choice((0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x80000001))
            return rng.getrandbits(32) >> rng.choice((0, 0, 1, 8))
        return self.number(rng, special)

    def bag(
        self, pooling: str, *, rows: int, vec_beats: int = 1, special: float = 0.05, **more: Any
    ) -> Bag:
        """Return a random bag."""
        rng = self.random
        dtype = more.get("dtype", "FP32")
        low = (vec_beats - 1) * self.lanes + 1
        dim = int(more.pop("dim", rng.randint(low, vec_beats * self.lanes)))
        may_weigh = pooling == "SUM" and dtype != "FIXED"
        weighted = bool(more.pop("weighted", may_weigh and rng.random() < 0.5))
        size = vec_beats * self.lanes
        load, merges = bool(more.get("load", False)), int(more.get("merges", 0))
        data = []
        for k in range(rows):
            partial = (load and k == 0) or k >= rows - merges
            kind = ("FIXED" if dtype == "FIXED" else "FP32") if partial else dtype
            row = [self.element(rng, kind, special) for _ in range(dim)]
            data.append(row + [0] * (size - dim))
        quantised = dtype.startswith("INT")
        bag = Bag(
            pooling=self.poolings[f"POOLING_{pooling}"],
            vec_beats=vec_beats,
            dim=dim,
            rows=data,
            weights=[self.number(rng, special) if weighted else ONE for _ in range(rows)],
            scales=[self.number(rng, special) if quantised else 0 for _ in range(rows)],
            biases=[self.number(rng, special) if quantised else 0 for _ in range(rows)],
            ctx=rng.getrandbits(6),
            **more,
        )
        if not bag.count:
            bag.count = (
                rows
                if not (bag.load or bag.merges)
                else rng.randrange(rows, 1 << rng.choice((4, 12, 16, 24, 32)))
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
        merges = tree = 0
        if pooling != "NONE" and not flush and rng.random() < 0.2:
            merges = rng.randint(1, rows)
        trees = [k for k in (2, 4, 8, 16) if k <= self.vec_limit]
        if pooling != "NONE" and not merges and trees and rng.random() < 0.3:
            tree = rng.choice(trees)
            rows = rng.choice((0, 1, 2, 3, 4, 7, 8, 9, 20))
            limit, flush = min(limit, self.vec_limit // tree), rows < 2
        return self.bag(
            pooling,
            rows=rows,
            vec_beats=rng.randint(1, limit),
            dtype=rng.choice(list(self.dtypes)),
            partial=rng.random() < 0.2,
            mul_then_add=rng.random() < 0.4,
            load=rows > 0 and pooling != "NONE" and not tree and rng.random() < 0.2,
            merges=merges,
            tree=tree,
            flush=flush,
        )

    def product(self, *, pairs: int, vec_beats: int = 1, special: float = 0.05, **more: Any) -> Bag:
        """Return a random bag of pairs, of which some may be dropped in the middle."""
        rng, pool = self.random, self.poolings["POOLING_SUM"]
        dtype = more.pop("dtype", rng.choice([n for n in self.dtypes if n != "FIXED"]))
        weighted = bool(more.pop("weighted", rng.random() < 0.5))
        bag = self.bag(
            "SUM",
            rows=2 * pairs,
            vec_beats=vec_beats,
            special=special,
            dtype=dtype,
            weighted=weighted,
            **more,
        )
        assert bag.pooling == pool
        bag.product = "long" if weighted or bag.quantised else "short"
        bag.dropped = frozenset(n for n in range(pairs) if rng.random() < 0.15)
        bag.flush = not pairs or pairs - 1 in bag.dropped
        bag.count = pairs - len(bag.dropped)
        bag.expected = self.result(bag)
        return bag

    def pairs(self, bag: Bag, element: int) -> int:
        """Return an element of a bag of pairs."""
        acc = 0
        for n in range(len(bag.rows) // 2):
            if n in bag.dropped:
                continue
            factors = []
            for k in (2 * n, 2 * n + 1):
                x = bag.rows[k][element]
                factors.append(fma(bag.scales[k], x, bag.biases[k]) if bag.quantised else x)
            acc = fma(bag.weights[2 * n + 1], multiply(*factors), acc)
        return acc

    def _row(self, bag: Bag, k: int, x: int, acc: int, first: bool) -> int:
        """Return the accumulator after element x of row k."""
        names = {code: name.removeprefix("POOLING_") for name, code in self.poolings.items()}
        pooling, w = names[bag.pooling], bag.weights[k]
        if bag.is_partial(k):
            if first:
                return x
            w = ONE
        elif bag.quantised:
            if pooling in ("SUM", "MEAN"):
                shifted = fma(ONE, acc, multiply(bag.biases[k], w))
                return fma(multiply(bag.scales[k], w), x, shifted)
            x = fma(bag.scales[k], x, bag.biases[k])
        if pooling == "NONE" or (pooling == "MAX" and first):
            return x
        if bag.dtype == "FIXED":
            if pooling == "MAX":
                return x if signed(x) > signed(acc) else acc
            total = signed(acc) + signed(x)
            bag.clipped += total != saturated(total)
            return saturated(total) & 0xFFFFFFFF
        if pooling == "MAX":
            return x if greater(x, acc) else acc
        return fma(ONE, multiply(w, x), acc) if bag.mul_then_add else fma(w, x, acc)

    def combine(self, bag: Bag, acc: int, other: int) -> int:
        """Return two running sums added, or the larger."""
        fixed = bag.dtype == "FIXED"
        if bag.pooling == self.poolings["POOLING_MAX"]:
            more = signed(other) > signed(acc) if fixed else greater(other, acc)
            return other if more else acc
        if not fixed:
            return fma(ONE, other, acc)
        total = signed(acc) + signed(other)
        bag.clipped += total != saturated(total)
        return saturated(total) & 0xFFFFFFFF

    def tree(self, bag: Bag, element: int) -> int:
        """Return an element of a bag in the order TREE, undivided."""
        sums: list[int] = []
        for j, row in enumerate(bag.rows):
            if j < bag.tree:
                sums.append(self._row(bag, j, row[element], 0, True))
            else:
                at = j % bag.tree
                sums[at] = self._row(bag, j, row[element], sums[at], False)
        apart = bag.tree // 2
        while apart:
            for i in range(apart):
                if i + apart < len(sums):
                    sums[i] = self.combine(bag, sums[i], sums[i + apart])
            apart //= 2
        return sums[0] if sums else 0

    def result(self, bag: Bag) -> list[int]:
        """Return the elements that must be written; count what saturates."""
        divided = bag.pooling == self.poolings["POOLING_MEAN"] and bag.dtype != "FIXED"
        out = []
        bag.clipped = 0
        for element in range(bag.dim):
            acc = 0
            for k, row in enumerate(bag.rows):
                x = row[element]
                acc = 0 if bag.tree or bag.product else self._row(bag, k, x, acc, k == 0)
            if bag.tree:
                acc = self.tree(bag, element)
            elif bag.product:
                acc = self.pairs(bag, element)
            if divided and not bag.partial and bag.count:
                acc = divide(acc, bag.count, bag.dtype, away=not bag.mul_then_add)
            out.append(acc)
        self.clipped += bag.clipped
        return out + [0] * (bag.vec_beats * self.lanes - bag.dim)

    def pack(self, elements: Iterable[int]) -> int:
        """Return a beat's data."""
        word = 0
        for lane, bits in enumerate(elements):
            word |= bits << 32 * lane
        return word


@dataclass
class Beat:
    """A beat to give, and the write that must follow."""

    info: dict[str, int]
    data: int
    expected: tuple[int, ...] | None
    kind: Kind
    factors: tuple[int, int] | None  # scale and bias
    fetch: bool = False  # the second half of a combine or product

    @property
    def late(self) -> bool:
        """It takes the long way."""
        return self.kind[1]


class Feeder:
    """Gives each free slot the next bag and issues row after row, as the row cache does."""

    def __init__(self, bench: PoolBench) -> None:
        self.bench = bench
        self.valid, self.info, self.data, self.scale, self.bias = (
            bench.pin(f"beat_{n}") for n in ("valid", "info", "data", "scale", "bias")
        )
        self.go: Callable[[], bool] = lambda: True
        self.bags: deque[Bag] = deque()
        self.issued = 0
        self.first_cycle = self.last_cycle = 0
        self.in_turn = False  # strictly round robin; else any slot that may
        self.careless = False  # lets short beats meet long ones
        self.yielded = 0  # cycles in which a short beat had to wait for a long one
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.bags.clear()
        self.open: dict[int, tuple[Bag, int]] = {}  # slot: bag, its next operation
        self.ready_at = [0] * self.bench.slots
        self.beats: deque[Beat] = deque()
        self.long_at: set[int] = set()  # cycles in which long beats were given
        self.bench.kind_of.clear()
        for path in self.bench.paths.values():
            path.clear()
        if self.bench.golden is not None:
            self.bench.golden.command(Command.RESET)
            self.bench.twin.clear()
        self.turn = 0
        for pin in (self.valid, self.info, self.data, self.scale, self.bias):
            pin.write(0)

    @property
    def empty(self) -> bool:
        """All is issued."""
        return not (self.bags or self.open or self.beats)

    def _choose(self) -> int | None:
        bench = self.bench
        for slot in range(bench.slots):
            if slot not in self.open and self.bags:
                self.open[slot] = (self.bags.popleft(), 0)
        ready = [s for s in self.open if not self.spaced(s) or self.ready_at[s] <= bench.cycle]
        if not ready:
            return None
        if self.in_turn:
            return min(ready, key=lambda s: (s - self.turn) % bench.slots)
        return bench.random.choice(ready)

    def _start_combine(self, slot: int, bag: Bag, step: int) -> None:
        """Queue the pairs of beats that add one running sum to another."""
        bench = self.bench
        there = min(len(bag.rows), bag.tree)
        source = there - 1 - (step - len(bag.rows))
        to = source - (1 << source.bit_length() - 1)
        last = source == 1
        late = bag.dtype != "FIXED" and bag.pooling != bench.poolings["POOLING_MAX"]
        for beat in range(bag.vec_beats):
            done = last and beat == bag.vec_beats - 1
            info = self.info_of(bag, slot, beat) | {
                "bank": to,
                "combine": 1,
                "last": int(last),
                "done": int(done),
                "weight": ONE,
            }
            expected = None
            if last:
                lanes = slice(beat * bench.lanes, (beat + 1) * bench.lanes)
                tail = (1, bag.ctx, bag.count) if done else (0, 0, 0)
                expected = (info["rsp_addr"], bench.pack(bag.expected[lanes]), *tail)
            kind = (self.divides(bag), late)
            noise = bench.random.getrandbits(32 * bench.lanes)
            self.beats.append(Beat(info, noise, expected, kind, None))
            other = info | {"bank": source, "combine": 0, "fetch": 1, "last": 0, "done": 0}
            self.beats.append(Beat(other, noise, None, (False, False), None, fetch=True))

    def steps_of(self, bag: Bag) -> list[tuple[str, int]]:
        """Return the operations of a bag of pairs, each with the number of its row or pair."""
        steps = []
        for n in range(len(bag.rows) // 2):
            steps.append(("row", 2 * n))
            if n in bag.dropped:
                continue
            if bag.product == "short":
                steps.append(("times", 2 * n + 1))
            else:
                steps += [("row", 2 * n + 1), ("multiply", n), ("add", n)]
        return [*steps, ("flush", 0)] if bag.flush else steps

    def _start_product(self, slot: int, bag: Bag, step: int) -> None:
        """Queue the beats of an operation of a bag of pairs."""
        bench = self.bench
        steps = self.steps_of(bag)
        kind, at = steps[step]
        last = step == len(steps) - 1
        earlier = [name for name, _ in steps[:step]]
        first = not ({"times", "add"} & set(earlier))
        late = kind in ("times", "multiply", "add") or (kind == "row" and bag.quantised)
        for beat in range(bag.vec_beats):
            lanes = slice(beat * bench.lanes, (beat + 1) * bench.lanes)
            done = last and beat == bag.vec_beats - 1
            info = self.info_of(bag, slot, beat) | {"last": int(last), "done": int(done)}
            info |= {"first": int(first), "weight": ONE}
            data, factors, source = bench.random.getrandbits(32 * bench.lanes), None, 0
            if kind in ("row", "times"):
                data = bench.pack(bag.rows[at][lanes])
                info |= {"sub": bench.random.getrandbits(3), "header": bench.random.getrandbits(1)}
            if kind == "row":
                info |= {"pooling": bench.poolings["POOLING_NONE"], "bank": 1 + at % 2}
                factors = (bag.scales[at], bag.biases[at])
            elif kind == "times":
                info |= {"product": 1}
                source = 1
            elif kind == "multiply":
                info |= {"combine": 1, "product": 1, "bank": 1, "first": 0}
                source = 2
            elif kind == "add":
                info |= {"combine": 1, "weight": bag.weights[2 * at + 1]}
                source = 1
            else:
                info |= {"flush": 1}
            expected = None
            if last:
                tail = (1, bag.ctx, bag.count) if done else (0, 0, 0)
                expected = (info["rsp_addr"], bench.pack(bag.expected[lanes]), *tail)
            self.beats.append(Beat(info, data, expected, (False, late), factors))
            if source:
                other = info | {"bank": source, "first": 0, "last": 0, "done": 0, "fetch": 1}
                other |= {"combine": 0, "product": 0, "sub": 0, "header": 0}
                noise = bench.random.getrandbits(32 * bench.lanes)
                self.beats.append(Beat(other, noise, None, (False, False), None, fetch=True))
        self._next(slot, bag, step, last)

    def divides(self, bag: Bag) -> bool:
        """Whether the result goes through the divider."""
        mean = bag.pooling == self.bench.poolings["POOLING_MEAN"] and bag.dtype != "FIXED"
        return mean and not bag.partial and bag.count != 0

    def info_of(self, bag: Bag, slot: int, beat: int) -> dict[str, int]:
        """Return what all beats of a bag say."""
        bench = self.bench
        return {
            "dtype": bench.dtypes[bag.dtype],
            "slot": slot,
            "ctx": bag.ctx,
            "beat": beat,
            "dim": bag.dim,
            "pooling": bag.pooling,
            "partial": int(bag.partial),
            "mul_then_add": int(bag.mul_then_add),
            "count": bag.count,
            "rsp_addr": (bench.rsp_addr + beat) & 0x3FFF,
        }

    def _next(self, slot: int, bag: Bag, step: int, last: bool) -> None:
        if last:
            self.bench.rsp_addr += bag.vec_beats
            del self.open[slot]
        else:
            self.open[slot] = (bag, step + 1)
        self.turn = slot + 1

    def spaced(self, slot: int) -> bool:
        """Whether the slot's next operation keeps the distance from the one before."""
        bag, step = self.open[slot]
        if bag.product:
            return self.steps_of(bag)[step][0] != "row"
        if not bag.tree:
            return step > 0
        if step < len(bag.rows):
            return step >= bag.tree and step % bag.tree == 0
        source = min(len(bag.rows), bag.tree) - 1 - (step - len(bag.rows))
        return bag.flush or step == len(bag.rows) or source & source + 1 == 0

    def _start_row(self, slot: int) -> None:
        bench = self.bench
        bag, step = self.open[slot]
        if bag.product:
            self._start_product(slot, bag, step)
            return
        if bag.tree and not bag.flush and step >= len(bag.rows):
            last = step == len(bag.rows) + min(len(bag.rows), bag.tree) - 2
            self._start_combine(slot, bag, step)
            self._next(slot, bag, step, last)
            return
        operations = len(bag.rows) + bag.flush
        flush, last = bag.flush and step == len(bag.rows), step == operations - 1
        last = last and (not bag.tree or flush)
        load = not flush and bag.is_partial(step)
        mean = self.divides(bag)
        late = bag.quantised and not flush and not load
        row = None if flush else bag.rows[step]
        for beat in range(bag.vec_beats):
            done = last and beat == bag.vec_beats - 1
            lanes = slice(beat * bench.lanes, (beat + 1) * bench.lanes)
            info = self.info_of(bag, slot, beat) | {
                "sub": bench.random.getrandbits(3),
                "header": bench.random.getrandbits(1),
                "bank": step % bag.tree if bag.tree and not flush else 0,
                "first": int(step < bag.tree if bag.tree and not flush else step == 0),
                "load": int(load),
                "flush": int(flush),
                "last": int(last),
                "done": int(done),
                "weight": ONE
                if load
                else bench.random.getrandbits(32)
                if flush
                else bag.weights[step],
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
            factors = (bag.scales[step], bag.biases[step]) if late else None
            self.beats.append(Beat(info, data, expected, (mean, late), factors))
        self._next(slot, bag, step, last)

    def tick(self) -> None:
        """One clock edge."""
        if (self.beats and self.beats[0].fetch) or self.go():
            if not self.beats:
                slot = self._choose()
                if slot is not None:
                    self._start_row(slot)
            if self.beats and not self._meets():
                self._give(self.beats.popleft())
                return
        self.valid.write(0)
        self._noise()

    def _meets(self) -> bool:
        """Whether the next beat would meet a long one at the adder."""
        meets = (
            not (self.beats[0].late or self.beats[0].fetch)
            and self.bench.cycle - self.bench.extra in self.long_at
        )
        self.yielded += meets
        return meets and not self.careless

    def _give(self, beat: Beat) -> None:
        bench, info = self.bench, beat.info
        self.valid.write(1)
        self.info.write(bench.beat_t.pack(info))
        self.data.write(beat.data)
        scale, bias = beat.factors or (bench.random.getrandbits(32), bench.random.getrandbits(32))
        self.scale.write(scale)
        self.bias.write(bias)
        if bench.golden is not None:
            bench.give_golden(info, beat.data, scale, bias)
        # Beat v of the next row comes at least this many cycles after beat v of this one.
        # A row of a pair keeps the long one, whatever its own: a product may be under way before it.
        distance = bench.loop_long if beat.late or info.get("bank") else bench.loop
        if not beat.fetch:
            self.ready_at[info["slot"]] = bench.cycle + distance - info["beat"]
        self.long_at.discard(bench.cycle - bench.extra - 1)
        if beat.late:
            self.long_at.add(bench.cycle)
        if beat.expected is not None:
            bench.paths[beat.kind].append((bench.cycle, beat.expected))
            bench.kind_of[info["rsp_addr"]] = beat.kind
        self.first_cycle = self.first_cycle or bench.cycle
        self.last_cycle = bench.cycle
        self.issued += 1

    def _noise(self) -> None:
        for pin in (self.info, self.data, self.scale, self.bias):
            pin.write(self.bench.random.getrandbits(pin.width))


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
    one("SUM", [ONE, two], three, merges=1)
    one("SUM", [1 << 31], 1 << 31, merges=1)  # the first of all is taken as it is
    one("SUM", [nan_bits], nan_bits, merges=1)
    one("SUM", [ONE, nan_bits], NAN, merges=1)
    one("MEAN", [ONE, two], 0x3F000000, merges=2, count=6)  # counts of others
    one("MEAN", [ONE, two], three, merges=1, count=6, partial=True)
    one("MAX", [ONE, two, nan_bits], two, merges=2)
    one("SUM", [ONE, two], three, weights=[ONE, two], merges=1, mul_then_add=True)
    one("SUM", [0xBF800002, 0x3F800001], 0x28800000, weights=[ONE, 0x3F800001])  # fused
    big, u = 0x4B800000, ONE  # 2**24 and 1: (2**24 + 1) + 1 is 2**24, 2**24 + (1 + 1) is more
    one("SUM", [big, u, big | 1 << 31, u], two, tree=2)  # (2**24 - 2**24) + (1 + 1)
    one("SUM", [u, big, u, big | 1 << 31], two, tree=2)
    one("SUM", [big, u, u], big, tree=4)  # sums 0 and 2, then 1: rounded twice
    one("SUM", [u, big, u], big + 1, tree=4)  # (1 + 1) + 2**24
    one("MAX", [nan_bits, two, ONE], nan_bits, tree=2)
    one("MAX", [ONE, nan_bits, two], two, tree=2)
    one("MEAN", [ONE, ONE, ONE, ONE, two, two], 0x3FAAAAAB, tree=4)
    one("SUM", [1 << 31, 1 << 31], 0, tree=2)
    one("SUM", [0xBF800002, 0x3F800001], 0, weights=[ONE, 0x3F800001], mul_then_add=True)
    one("SUM", [ONE], inf, weights=[inf])  # and the padding stays zero

    def quantised(
        pooling: str, q: list[int], scale: int, bias: int, expected: int, **more: Any
    ) -> None:
        values = [integer(n) for n in q]
        factors = {"scales": [scale] * len(q), "biases": [bias] * len(q)}
        one(pooling, values, expected, **factors, **{"dtype": "INT8", **more})

    half, minus = 0x3F000000, 0xBF800000
    quantised("SUM", [200], half, ONE, 0x42CA0000)  # 200 / 2 + 1 = 101
    quantised("SUM", [3, 5], ONE, minus, 0x40C00000)  # 3 - 1 + 5 - 1 = 6
    quantised("SUM", [3, 5], ONE, minus, 0x41400000, weights=[two, two])
    quantised("MEAN", [3, 5], ONE, minus, three)
    quantised("MEAN", [3, 5], ONE, minus, 0x40C00000, partial=True)
    quantised("SUM", [0], minus, MINUS_ZERO, 0)  # +0 + -0 + -0
    quantised("NONE", [0], minus, MINUS_ZERO, MINUS_ZERO)
    quantised("MAX", [0], minus, MINUS_ZERO, MINUS_ZERO)
    quantised("MAX", [3, 255, 7], ONE, ONE, 0x43800000)  # 256
    quantised("MAX", [0, 3], inf, ONE, NAN)  # 0 * inf first: the NaN stays
    quantised("MAX", [3, 0], inf, ONE, inf)
    quantised("SUM", [15], ONE, MINUS_ZERO, 0x41700000, dtype="INT4", flush=True)
    quantised("SUM", [], ONE, ONE, 0, dtype="INT4_END", flush=True)
    # The accumulator meets the bias before the product: 2**24 + 1 is 2**24, then 2**24 + 1 again.
    one(
        "SUM",
        [0x4B800000, ONE],
        0x4B800000,
        load=True,
        dtype="INT8",
        scales=[0, ONE],
        biases=[0, ONE],
    )
    # mul_then_add means nothing here: scale * q has 25 bits.
    quantised("SUM", [3], 0x3F800001, 0xC0400000, 0x34C00000, mul_then_add=True)

    top, bottom = 0x7FFFFFFF, 0x80000000
    fixed = {"dtype": "FIXED"}
    one("SUM", [top, 1, 0xFFFFFFFF], 0x7FFFFFFE, **fixed)  # clipped, then one less
    one("SUM", [bottom, 0xFFFFFFFF], bottom, **fixed)
    one("MEAN", [5, 0xFFFFFFFE], 3, **fixed)  # not divided here
    one("MAX", [0xFFFFFFFF, 1, bottom], 1, **fixed)
    one("NONE", [bottom], bottom, **fixed)
    one("SUM", [top, 1], top, load=True, flush=True, **fixed)
    one("SUM", [1, top], top, merges=1, **fixed)
    one("MAX", [0xFFFFFFFF, 1], 1, merges=1, **fixed)
    one(
        "SUM", [integer(3), two], 0x40A00000, merges=1, dtype="INT8", scales=[ONE, 0], biases=[0, 0]
    )
    one("MAX", [integer(3), two], three, merges=1, dtype="INT4", scales=[ONE, 0], biases=[0, 0])
    one("MEAN", [0x3F802000, 0], half | 0x2000, merges=2, dtype="FP16")

    one("MEAN", [0x3F802000, 0], half | 0x2000, dtype="FP16")  # 1 + 2**-10 is an fp16
    one("SUM", [0x3F801000], 0x3F801000, dtype="FP16")  # a sum is not rounded
    one("MEAN", [0x3F801000], ONE, dtype="FP16")  # a tie, to even
    one("MEAN", [ONE], 0x3A000000, load=True, dtype="FP16", count=2049)
    one("MEAN", [ONE], 0, load=True, dtype="FP16", count=65520)
    one("MEAN", [0x477FF000], inf, dtype="FP16")
    one("MEAN", [0x3F808000], 0x3F810000, dtype="BF16")
    one("MEAN", [0x3F808000], ONE, dtype="BF16", mul_then_add=True)
    one("MEAN", [0x3F808000], 0x3F808000, dtype="BF16", partial=True)
    await bench.drain()
    assert bench.bags_done == 22 + 8 + 8 + 15 + 6 + 5 + 9
    assert bench.feeder.issued > bench.bags_done
    assert bench.saturations.total == bench.clipped == 4


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
    assert bench.golden is None or bench.golden.compared == bench.board.compared


@cocotb.test()
async def every_combination(dut: Any) -> None:
    """Each format with each pooling, weighted, partial, with and without a padding row."""
    bench = PoolBench(dut)
    await bench.reset()
    limit = min(bench.vec_limit, 3)
    cases = itertools.product(bench.dtypes, ("SUM", "MEAN", "MAX", "NONE"), *[(False, True)] * 3)
    made = 0
    for dtype, pooling, weighted, partial, mul_then_add in cases:
        if weighted and (pooling != "SUM" or dtype == "FIXED"):
            continue
        for load, flush, merges in (
            (False, False, 0),
            (True, False, 0),
            (False, True, 0),
            (False, False, 1),
            (False, False, 2),
        ):
            if pooling == "NONE" and (load or flush or merges):
                continue
            bench.feeder.bags.append(
                bench.bag(
                    pooling,
                    rows=1 if pooling == "NONE" else bench.random.randint(max(1, merges), 4),
                    vec_beats=bench.random.randint(1, limit),
                    special=0.2,
                    dtype=dtype,
                    weighted=weighted,
                    partial=partial,
                    mul_then_add=mul_then_add,
                    load=load,
                    merges=merges,
                    flush=flush,
                )
            )
            made += 1
    bench.random.shuffle(bench.feeder.bags)
    await bench.drain()
    assert bench.bags_done == made == 8 * 4 * (5 + 5 + 5 + 1) + 7 * 4 * 5
    assert bench.saturations.total == bench.clipped > 0


@cocotb.test()
async def products(dut: Any) -> None:
    """Pairs of every format, with and without weights, dropped pairs, beside bags of every other kind."""
    bench = PoolBench(dut)
    limit = bench.vec_limit // 4
    if not limit:
        return  # no room for the banks
    await bench.reset()

    def one(values: list[int], expected: int, product: str, **more: Any) -> None:
        rows = [[v] + [0] * (bench.lanes - 1) for v in values]
        given = {"weights": [ONE] * len(rows), "scales": [ONE] * len(rows), **more}
        given.setdefault("biases", [MINUS_ZERO] * len(rows))
        bag = Bag(bench.poolings["POOLING_SUM"], 1, 1, rows, product=product, **given)
        bag.count = len(rows) // 2 - len(bag.dropped)
        bag.expected = [expected] + [0] * (bench.lanes - 1)
        assert bag.expected == bench.result(bag), "the model disagrees with the directed case"
        bench.feeder.bags.append(bag)

    two, three, six, u = 0x40000000, 0x40400000, 0x40C00000, 0x3F800001
    minus_two = 0x80000000 | 0x3F800002  # -(1 + 2u), what (1 + u)**2 is rounded to
    for way in ("short", "long"):
        one([two, three], six, way)
        one([u, u, minus_two, ONE], 0, way)  # the product is rounded before it is added
        one([MINUS_ZERO, ONE], 0, way)
        one([two, three, ONE, INF, ONE, ONE], 0x40E00000, way, dropped=frozenset({1}))
        one([0, INF], NAN, way)
        one([0x7F812345, ONE], NAN, way)
        one([ONE, two], 0, way, dropped=frozenset({0}), flush=True)
        one([], 0, way, flush=True)
    one([two, three], 0x41400000, "long", weights=[INF, two])  # the weight of the second counts
    one([ONE, ONE, ONE, u], 0x28800000, "long", weights=[0, minus_two, 0, u])  # and is fused
    tiny = 0x00800000  # 2**-126: fma of two of them underflows to a zero with its sign
    one([ONE, tiny], MINUS_ZERO, "long", weights=[ONE, tiny | MINUS_ZERO])
    one([ONE, tiny, ONE, MINUS_ZERO], MINUS_ZERO, "long", weights=[0, tiny | MINUS_ZERO, 0, ONE])
    one([ONE, INF], 0xFF800000, "long", weights=[0, 0xC0000000])  # no bias turns into a NaN
    one([ONE, ONE], 0xFF800000, "long", weights=[0, 0xFF800000])
    three_q = [integer(3), integer(5)]
    one(
        three_q,
        0x40000000,
        "long",
        dtype="INT8",
        scales=[ONE, ONE],
        biases=[0xBF800000, 0xC0800000],
    )
    directed = len(bench.feeder.bags)
    await bench.drain()
    assert bench.bags_done == directed == 16 + 7
    for dtype in bench.dtypes:
        if dtype == "FIXED":
            continue
        for weighted in (False, True):
            for pairs in (0, 1, 2, 3, 7):
                beats = bench.random.randint(1, min(limit, 4))
                more = {"dtype": dtype, "weighted": weighted, "special": 0.2}
                bench.feeder.bags.append(bench.product(pairs=pairs, vec_beats=beats, **more))
                bench.feeder.bags.append(bench.random_bag(bench.random, min(bench.vec_limit, 6)))
    bench.random.shuffle(bench.feeder.bags)
    bench.feeder.go = bench.stall("half")
    await bench.drain()
    assert bench.bags_done == directed + 7 * 2 * 5 * 2
    # A slot alone, and vectors so short and so long that everything depends on the distance.
    for beats in sorted({1, min(2, limit), limit}):
        for _ in range(12):
            more = {"dtype": bench.random.choice(["FP32", "BF16", "INT4"]), "vec_beats": beats}
            bench.feeder.bags.append(bench.product(pairs=bench.random.randrange(4), **more))
    bench.feeder.go = lambda: True
    await bench.drain()


@cocotb.test()
async def longest_vectors(dut: Any) -> None:
    """The last accumulator of the last slot, and no mixing of slots."""
    bench = PoolBench(dut)
    await bench.reset()
    limit = min(bench.vec_limit, 64 if bench.lanes < 16 else bench.vec_limit)
    for pooling, dtype in (("SUM", "FP32"), ("MAX", "FIXED"), ("MEAN", "INT8"), ("MEAN", "FP16")):
        for _ in range(bench.slots if bench.lanes < 16 else 2):
            bench.feeder.bags.append(bench.bag(pooling, rows=2, vec_beats=limit, dtype=dtype))
    await bench.drain()


@cocotb.test()
async def no_bubbles(dut: Any) -> None:
    """With enough beats in open slots one beat a cycle is taken, of rows and of partials, and all is right."""
    bench = PoolBench(dut)
    for loop, dtypes in (
        (bench.loop, ("FP32", "FP16", "BF16", "FIXED")),
        (bench.loop_long, ("INT8", "INT8_FRONT", "INT4", "INT4_END")),
    ):
        await bench.reset()
        feeder = bench.feeder
        feeder.issued = feeder.first_cycle = 0
        vec_beats = -(-loop // bench.slots)
        feeder.in_turn = True
        bags = 6 * bench.slots
        for _ in range(bags):
            dtype = bench.random.choice(dtypes)
            merges = bench.random.choice((0, 2, 5)) if loop == bench.loop else 0
            feeder.bags.append(
                bench.bag("SUM", rows=5, vec_beats=vec_beats, dtype=dtype, merges=merges)
            )
        await bench.drain()
        assert feeder.issued == bags * 5 * vec_beats
        assert feeder.last_cycle - feeder.first_cycle + 1 == feeder.issued, (
            "there was a cycle without a beat"
        )


@cocotb.test()
async def long_and_short(dut: Any) -> None:
    """Formats mixed beat by beat: a beat in every cycle but those that the rule forbids."""
    bench = PoolBench(dut)
    await bench.reset()
    feeder = bench.feeder
    vec_beats = -(-bench.loop_long // bench.slots)
    feeder.in_turn = True
    bags = max(8 * bench.slots, 40)
    for _ in range(bags):
        dtype = bench.random.choice(("INT8", "INT4_END", "FP32", "FP16", "FIXED"))
        feeder.bags.append(bench.bag("SUM", rows=5, vec_beats=vec_beats, dtype=dtype))
    await bench.drain()
    assert feeder.issued == bags * 5 * vec_beats
    assert feeder.last_cycle - feeder.first_cycle + 1 == feeder.issued + feeder.yielded
    assert feeder.yielded > 0


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
    bench.loop_long -= 1
    bench.feeder.bags.append(bench.bag("SUM", rows=3, dtype=os.environ["EMBNIC_POOL_TOO_EARLY"]))
    await bench.drain()


@cocotb.test(skip="EMBNIC_POOL_MEET" not in os.environ)
async def meet(dut: Any) -> None:
    """A short beat that meets a long one: the assertion of the rule must stop the run."""
    bench = PoolBench(dut)
    await bench.reset()
    bench.feeder.careless = True
    bench.feeder.in_turn = True
    for dtype in ("INT8", "FP32"):
        bench.feeder.bags.append(bench.bag("NONE", rows=1, vec_beats=bench.extra, dtype=dtype))
    await bench.drain()


@pytest.mark.parametrize(
    ("data_w", "slots", "max_vec64"), [(128, 2, 8), (512, 16, 4)], ids=["narrow", "wide"]
)
def test_pool(data_w: int, slots: int, max_vec64: int) -> None:
    """Four lanes with two slots, and sixteen lanes."""
    params = {"DATA_W": data_w, "SLOTS": slots, "MAX_VEC64": max_vec64}
    build_and_test("embnic_pool", "test_pool", params=params)


def test_pool_and_the_hls_core() -> None:
    """The HLS core writes what the RTL writes."""
    build_and_test(
        "embnic_pool",
        "test_pool",
        params={"DATA_W": 128, "SLOTS": 2, "MAX_VEC64": 8},
        extra_env={"EMBNIC_GOLDEN": "hls"},
    )


def test_pool_with_the_smallest_parameters() -> None:
    """One lane, one slot, vectors just long enough to fill the loop."""
    build_and_test("embnic_pool", "test_pool", params={"DATA_W": 32, "SLOTS": 1, "MAX_VEC64": 2})


@pytest.mark.parametrize("dtype", ["FP32", "INT8"])
def test_a_row_too_early_is_caught(dtype: str) -> None:
    """The rule on ACC_LOOP_CYCLES, or ACC_LOOP_LONG_CYCLES, is asserted, not only written."""
    with pytest.raises(AssertionError, match="ACC_LOOP_CYCLES"):
        build_and_test(
            "embnic_pool",
            "test_pool",
            params={"DATA_W": 128, "SLOTS": 2, "MAX_VEC64": 8},
            testcase="too_early",
            extra_env={"EMBNIC_POOL_TOO_EARLY": dtype},
        )


def test_a_short_beat_that_meets_a_long_one_is_caught() -> None:
    """The rule on INT_EXTRA_CYCLES, too."""
    with pytest.raises(AssertionError, match="INT_EXTRA_CYCLES after a long one"):
        build_and_test(
            "embnic_pool",
            "test_pool",
            params={"DATA_W": 128, "SLOTS": 2, "MAX_VEC64": 8},
            testcase="meet",
            extra_env={"EMBNIC_POOL_MEET": "1"},
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
