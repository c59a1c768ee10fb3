# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_grad_accumulate (and embnic_grad_step): batches of any ids against the reference, bit for bit.

The bench also stands for whoever brings rows and states: it answers m_axis_fetch in its order.
"""

from __future__ import annotations

import itertools
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from embnic.compute import ReferenceKernels, RowwiseAdagrad, Sgd
from embnic_sim.bench import Bench
from embnic_sim.golden import Command, golden_for, lanes_of, pack_lanes
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS

LOOP = 9  # cycles from the read of a sum to the next one that sees what was added
SUM, SGD, ADAGRAD = range(3)
KEY_BITS = 63
SPECIALS = np.array(
    [0, 1 << 31, 1, 0x007FFFFF, 0x3F800000, 0xBF800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC12345], np.uint32
)  # fmt: skip
ZIPF = 1.05


def set_of(key: int, sets: int) -> int:
    """Return the set of a row: XOR of its name's index-wide pieces."""
    width, index = sets.bit_length() - 1, 0
    while key:
        index ^= key & (sets - 1)
        key >>= width
    return index


class GradBench(Bench):
    """Gradients in, rows out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        p = self.params
        self.lanes, self.most_beats = p["DATA_W"] // 32, p["MAX_BEATS"]
        self.sets, self.ways, self.banks = p["SETS"], p["WAYS"], p["BANKS"]
        self.reference = ReferenceKernels(lanes=self.lanes, banks=self.banks)
        self.grads = self.stream_source("s_axis_grad", fields=["tdata", "tuser", "tlast"])
        self.states = self.stream_source("s_axis_state")
        self.rows = self.stream_source("s_axis_row")
        self.board, self.state_board = self.scoreboard("rows"), self.scoreboard("states")
        self.fetch_board, self.done_board = self.scoreboard("fetches"), self.scoreboard("batches")
        self.sinks = [
            self.stream_sink("m_axis_row", self._row, fields=["tdata", "tuser", "tlast"]),
            self.stream_sink("m_axis_state", self.state_board.check),
            self.stream_sink("m_axis_fetch", self._fetch),
            self.stream_sink("m_axis_done", self._done),
        ]
        self.waits, self.refused = self.count("evt_wait"), self.count("evt_refused")
        self.numbers = np.random.default_rng(self.random.getrandbits(64))
        constants = {
            "kLanes": self.lanes,
            "kBeats": self.most_beats,
            "kSets": self.sets,
            "kWays": self.ways,
            "kBanks": self.banks,
        }
        self.golden = golden_for("embnic_grad_accumulate", constants)
        self.twin: list[tuple[int, int, int]] = []
        self.twin_done: list[int] = []
        self.answers: list[tuple[int, list[int]]] = []  # state and beats of the rows to be fetched
        self.choose(SUM, 1)

    def choose(self, rule: int, beats: int, dim: int | None = None, **more: float) -> None:
        """Set what is quasi-static; the bench is idle."""
        self.rule, self.beats = rule, beats
        self.dim = dim or self.random.randint((beats - 1) * self.lanes + 1, beats * self.lanes)
        self.rate, self.epsilon = (
            np.float32(more.get("rate", 0.05)),
            np.float32(more.get("epsilon", 1e-8)),
        )
        bits = [int(value.view(np.uint32)) for value in (self.rate, self.epsilon)]
        self.drive(
            cfg_rule=rule, cfg_beats=beats, cfg_dim=self.dim, cfg_rate=bits[0], cfg_epsilon=bits[1]
        )
        self.answers.clear()
        if self.golden is not None:
            self.golden.command(Command.RESET)
            self.golden.command(Command.SETTING, [rule, beats, self.dim, *bits])
            self.twin.clear()
            self.twin_done.clear()

    def vectors(self, count: int, special: float = 0.0) -> NDArray[np.float32]:
        """Return vectors [count, dim]: numbers that cancel, sometimes special ones."""
        values = self.numbers.standard_normal((count, self.dim), np.float32)
        odd = self.numbers.random(values.shape) < special
        values.view(np.uint32)[odd] = self.numbers.choice(SPECIALS, int(odd.sum()))
        return values

    def beats_of(self, vectors: NDArray[np.float32]) -> list[list[int]]:
        """Return the beats of every vector, filled with zeros."""
        whole = np.zeros((len(vectors), self.beats * self.lanes), np.float32)
        whole[:, : self.dim] = vectors
        return [
            [
                int.from_bytes(beat.tobytes(), "little")
                for beat in row.reshape(self.beats, self.lanes)
            ]
            for row in whole
        ]

    def fits(self, keys: list[int]) -> int:
        """Return how many gradients find no place."""
        held: dict[int, set[int]] = {}
        refused = 0
        for key in keys:
            mine = held.setdefault(set_of(key, self.sets), set())
            if key not in mine and len(mine) == self.ways:
                refused += 1
            else:
                mine.add(key)
        return refused

    def batch(self, keys: list[int], special: float = 0.0, cut: bool = False) -> None:
        """Send the gradients of a batch and expect what must come; `cut` leaves the last beat out."""
        grads = self.vectors(len(keys), special)
        words = [
            (beat, key, 0)
            for key, beats in zip(keys, self.beats_of(grads), strict=True)
            for beat in beats
        ]
        words = words[: len(words) - cut]
        words[-1] = (*words[-1][:2], 1)
        self.grads.send(*words)
        refused = self.fits(keys) + int(cut)
        known, names = np.unique(np.array(keys, np.uint64), return_inverse=True)
        found = self.reference.accumulate(names.astype(np.int64), grads)
        order = [int(known[row]) for row in found.rows]
        rows, states = self.vectors(len(order), special / 4), np.abs(self.vectors(len(order))[:, 0])
        if not refused:
            self._expect(found, order, rows, states)
        self.done_board.expect(refused << 32 | (0 if refused else len(order)))
        if self.golden is not None:
            self._twin(words, self.beats_of(rows), states)

    def _expect(
        self, found: Any, order: list[int], rows: NDArray[np.float32], states: NDArray[np.float32]
    ) -> None:
        result = found.sums
        if self.rule == SGD:
            result, _ = self.reference.apply(found, rows, states, Sgd(float(self.rate)))
        if self.rule == ADAGRAD:
            optimizer = RowwiseAdagrad(float(self.rate), float(self.epsilon))
            result, after = self.reference.apply(found, rows, states, optimizer)
            self.state_board.expect(*after.view(np.uint32).tolist())
        for key, beats in zip(order, self.beats_of(result), strict=True):
            self.board.expect(
                *((beat, key, int(at == self.beats - 1)) for at, beat in enumerate(beats))
            )
        self.fetch_board.expect(*order)
        self.answers += [
            (state, beats)
            for state, beats in zip(
                states.view(np.uint32).tolist(), self.beats_of(rows), strict=True
            )
        ]

    def _fetch(self, key: int) -> None:
        self.fetch_board.check(key)
        state, beats = self.answers.pop(0)
        if self.rule == ADAGRAD:
            self.states.send(state)
        if self.rule != SUM:
            self.rows.send(*beats)

    def _row(self, word: tuple[int, int, int]) -> None:
        self.board.check(word)
        if self.golden is not None:
            assert word == self.twin.pop(0), "the HLS core gives another beat"
            self.golden.compared += 1

    def _done(self, word: int) -> None:
        self.done_board.check(word)
        if self.golden is not None:
            assert word == self.twin_done.pop(0), "the HLS core counts otherwise"

    def _twin(
        self, words: list[tuple[int, int, int]], rows: list[list[int]], states: NDArray[np.float32]
    ) -> None:
        """Give the batch to the HLS core."""
        golden = self.golden
        assert golden is not None
        for data, key, last in words:
            golden.command(Command.TAKE, [key, last, *pack_lanes(data, self.lanes)])
        count, *_ = golden.words()
        memory: list[int] = states.view(np.uint32).tolist()[:count] if self.rule == ADAGRAD else []
        if self.rule != SUM:
            memory += [
                word
                for beats in rows[:count]
                for beat in beats
                for word in pack_lanes(beat, self.lanes)
            ]
        golden.command(Command.MEMORY, memory)
        given = golden.words()
        given = given[count if self.rule == ADAGRAD else 0 :]
        *beats, left, refused = given
        step = 2 + (self.lanes + 1) // 2
        for at in range(0, len(beats), step):
            key, last, *data = beats[at : at + step]
            self.twin.append((lanes_of(data), key, last))
        self.twin_done.append(refused << 32 | left)

    def keys(self, count: int, rows: int) -> list[int]:
        """Return names of `count` gradients of at most `rows` rows, which all find a place."""
        names: list[int] = []
        while len(names) < rows:
            name = self.random.getrandbits(KEY_BITS)
            if not self.fits([*names, name]):
                names.append(name)
        return [self.random.choice(names) for _ in range(count)]

    @property
    def room(self) -> int:
        """Rows that may well find places."""
        return self.sets * self.ways // 2

    def _finished(self) -> bool:
        quiet = not self.done_board.expected and not self.fetch_board.expected
        return super()._finished() and quiet

    async def finish(self) -> None:
        """Drain; scoreboards that this rule does not use need not have compared."""
        await self.until(self._finished, timeout=400_000, what="drain")
        await self.cycles(40)
        assert self._finished()
        assert self.board.compared


@cocotb.test()
async def directed(dut: Any) -> None:
    """Small whole numbers: three gradients of one row and one of another."""
    bench = GradBench(dut)
    await bench.reset()
    bench.choose(SUM, 1, dim=1)
    bench.vectors = lambda count, special=0.0: np.arange(1, count + 1, dtype=np.float32)[
        :, np.newaxis
    ]  # type: ignore[method-assign]
    bench.batch([7, 7, 9, 7])
    assert [number for number, _, _ in bench.board.expected] == [
        0x40E00000,
        0x40400000,
    ]  # 1 + 2 + 4, 3
    await bench.finish()
    bench.choose(SGD, 1, dim=1, rate=0.5)
    bench.batch([5, 5])
    await bench.finish()
    bench.choose(ADAGRAD, 1, dim=1, rate=1.0, epsilon=1.0)
    bench.batch([5, 6])
    await bench.finish()


@cocotb.test()
async def rules_and_shapes(dut: Any) -> None:
    """Every rule with every number of beats, special numbers, many gradients of few rows and few of many."""
    bench = GradBench(dut)
    for rule in (SUM, SGD, ADAGRAD):
        for beats in sorted({1, 2, 3, bench.most_beats} & set(range(1, bench.most_beats + 1))):
            await bench.reset()
            bench.choose(rule, beats, rate=bench.random.choice((0.01, 1e-30, 3e8)))
            for count, rows, special in ((1, 1, 0.0), (60, 3, 0.0), (40, min(20, bench.room), 0.2)):
                bench.batch(bench.keys(count, rows), special)
            await bench.finish()


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stream under every pair of stalls."""
    bench = GradBench(dut)
    for at, source in enumerate(STALLS):
        for sink in STALLS:
            await bench.reset()
            bench.choose((SUM, SGD, ADAGRAD)[at % 3], bench.random.randint(1, 2))
            for each in (bench.grads, bench.rows, bench.states):
                each.stall = bench.stall(source)
            for each in bench.sinks:
                each.stall = bench.stall(sink)
            for _ in range(2):
                bench.batch(bench.keys(10, 4), 0.02)
            await bench.finish()


@cocotb.test()
async def a_full_set_refuses_the_batch(dut: Any) -> None:
    """One row too many for a set, and a batch cut short: nothing leaves, and the next batch is right."""
    bench = GradBench(dut)
    await bench.reset()
    bench.choose(SGD, 2)
    mine = [key for key in range(1, bench.sets * (bench.ways + 3)) if set_of(key, bench.sets) == 1]
    bench.batch(mine[: bench.ways])
    bench.batch([*mine[: bench.ways], mine[bench.ways], mine[0], mine[bench.ways + 1]])
    bench.batch(mine[1 : bench.ways + 1])
    bench.batch([3, 4, 5], cut=True)
    bench.batch([3, 4, 5])
    await bench.finish()
    assert bench.refused.total == 3


@cocotb.test()
async def no_stall_on_a_zipf_stream(dut: Any) -> None:
    """A gradient beat in every cycle on ids of Zipf 1.05, hot rows and all, when BANKS * beats >= LOOP."""
    bench = GradBench(dut)
    await bench.reset()
    least = -(-LOOP // bench.banks)
    for beats in sorted({least, bench.most_beats}):
        bench.choose(SUM, beats)
        rows = min(bench.room // 2, 200)
        chance = 1 / np.arange(1, rows + 1) ** ZIPF
        names = sorted(set(bench.keys(40 * rows, rows)), key=lambda key: key & 0xFFFF)
        drawn = bench.numbers.choice(
            len(names), 600, p=chance[: len(names)] / chance[: len(names)].sum()
        )
        keys = [names[at] for at in drawn]
        again = sum(a == b for a, b in itertools.pairwise(keys))
        await bench.until(lambda: bool(bench.read("s_axis_grad_tready")))  # names are cleared
        waited, start = bench.waits.total, bench.cycle
        bench.batch(keys)
        await bench.until(lambda: bench.grads.empty)
        taken = bench.cycle - start
        dut._log.info(
            f"{beats} beats: {len(keys) * beats} beats in {taken} cycles, {again} gradients of the row before"
        )
        assert again > 10
        assert bench.waits.total == waited
        assert taken <= len(keys) * beats + 8
        await bench.finish()


@cocotb.test()
async def one_hot_row_waits_for_its_sums(dut: Any) -> None:
    """With fewer beats than the loop takes a row alone waits, and is right all the same."""
    bench = GradBench(dut)
    await bench.reset()
    bench.choose(SUM, 1)
    bench.batch([1234] * 50)
    await bench.finish()
    assert (bench.waits.total > 0) == (bench.banks < LOOP)


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset at any moment leaves nothing behind."""
    bench = GradBench(dut)
    for _ in range(6):
        await bench.reset()
        bench.choose(bench.random.choice((SUM, SGD, ADAGRAD)), 2)
        bench.batch(bench.keys(12, 5))
        await bench.cycles(bench.random.randrange(1, 200))
        await bench.reset(bench.random.randrange(1, 4))
        bench.choose(bench.rule, 2)
        bench.batch(bench.keys(12, 5))
        await bench.finish()


def sim_parameters(config: str) -> dict[str, int]:
    """Of `make sim`: four lanes and few rows, not what a configuration says."""
    del config
    return {"DATA_W": 128, "MAX_BEATS": 4, "SETS": 8, "WAYS": 4, "BANKS": 4, "RAM_STYLE": 0}


def test_grad_accumulate() -> None:
    """Four lanes, 32 rows."""
    build_and_test("embnic_grad_accumulate", "test_grad_accumulate", params=sim_parameters(""))


def test_grad_accumulate_of_sixteen_sums() -> None:
    """A gradient of one beat in every cycle: sixteen running sums, the fewest rows."""
    params = {"DATA_W": 64, "MAX_BEATS": 2, "SETS": 4, "WAYS": 4, "BANKS": 16, "RAM_STYLE": 0}
    build_and_test("embnic_grad_accumulate", "test_grad_accumulate", params=params)


@pytest.mark.timeout(1800)
def test_grad_accumulate_of_the_large_core_and_the_hls_core() -> None:
    """Sixteen lanes, 1,024 rows; the HLS core gives every beat that the RTL gives."""
    params = {"DATA_W": 512, "MAX_BEATS": 8, "SETS": 128, "WAYS": 8, "BANKS": 4, "RAM_STYLE": 0}
    build_and_test(
        "embnic_grad_accumulate",
        "test_grad_accumulate",
        params=params,
        extra_env={"EMBNIC_GOLDEN": "hls"},
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"DATA_W": 96}, "DATA_W must be a power of two, 64 to 512"),
        ({"MAX_BEATS": 5}, "MAX_BEATS must be a power of two, 2 to 64"),
        ({"SETS": 3}, "SETS must be a power of two, 2 to 1024"),
        ({"WAYS": 17}, "WAYS must be 2 to 16"),
        ({"BANKS": 3}, "BANKS must be 2, 4, 8 or 16"),
        ({"SETS": 2, "WAYS": 4}, "SETS * WAYS must be 16 at least"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """By name."""
    expect_build_failure("embnic_grad_accumulate", params, message)
