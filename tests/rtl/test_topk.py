# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_topk: queries of any length and any scores, against a sort in plain Python."""

from __future__ import annotations

import struct
from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.golden import Command, golden_for
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS

INF, NAN, ONE, MINUS = 0x7F800000, 0x7FC00000, 0x3F800000, 0x80000000
SPECIALS = (0, MINUS, 1, MINUS | 1, ONE, MINUS | ONE, 0x7F7FFFFF, INF, INF | MINUS, NAN, 0xFF800001)


def number(bits: int) -> float:
    """Return the number of 32 bits."""
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])


class TopKBench(Bench):
    """Scores in, the best out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.places = self.params["K"]
        self.id_mask = (1 << self.params["ID_W"]) - 1
        self.source = self.stream_source("s_axis_score", fields=["tdata", "tuser", "tlast"])
        self.board = self.scoreboard("best")
        self.sink = self.stream_sink("m_axis_best", self._best, fields=["tdata", "tuser", "tlast"])
        self.refused = self.count("evt_refused")
        self.nans = 0
        self.golden = golden_for("embnic_topk", {"kMaxK": self.places})
        self.twin: list[tuple[int, int, int]] = []
        self.choose(min(4, self.places))

    def choose(self, k: int) -> None:
        """Set cfg_k."""
        self.k = k
        self.drive(cfg_k=k)
        if self.golden is not None:
            self.golden.command(Command.RESET)
            self.golden.command(Command.SETTING, [k])
            self.twin.clear()

    def query(self, scores: list[int]) -> None:
        """Send the scores of a query, named at random, and expect its best."""
        ids = [self.random.getrandbits(self.params["ID_W"]) for _ in scores]
        for at, (score, name) in enumerate(zip(scores, ids, strict=True)):
            last = int(at == len(scores) - 1)
            self.source.send((score, name, last))
            if self.golden is not None:
                self.golden.command(Command.TAKE, [score, name, last])
        known = [at for at, score in enumerate(scores) if score & 0x7FFFFFFF <= INF]
        self.nans += len(scores) - len(known)
        best = sorted(known, key=lambda at: -number(scores[at]))[: self.k]  # a stable sort
        words = [(scores[at], ids[at]) for at in best]
        words += [(INF | MINUS, self.id_mask)] * (self.k - len(words))
        self.board.expect(*((*word, int(at == self.k - 1)) for at, word in enumerate(words)))
        if self.golden is not None:
            self.twin += [(s, name & self.id_mask, last) for s, name, last in self.golden.beats(3)]

    def _best(self, word: tuple[int, int, int]) -> None:
        self.board.check(word)
        if self.golden is not None:
            assert word == self.twin.pop(0), "the HLS core gives another word"
            self.golden.compared += 1

    def score(self, special: float = 0.1) -> int:
        """Return a random score; often equal to others."""
        if self.random.random() < special:
            return self.random.choice(SPECIALS)
        return (
            self.random.getrandbits(1) << 31
            | self.random.randrange(126, 129) << 23
            | self.random.getrandbits(3) << 20
        )


@cocotb.test()
async def directed(dut: Any) -> None:
    """The sentences of the header, one by one."""
    bench = TopKBench(dut)
    await bench.reset()
    bench.choose(2)
    two = 0x40000000
    bench.query([ONE, two, 0])
    bench.query([ONE])  # filled up
    bench.query([NAN])  # nothing at all
    bench.query([0, MINUS, 0])  # ties keep the first, and its sign
    bench.query([MINUS, 0, MINUS])
    bench.query([NAN, INF, INF, NAN])
    bench.query([INF | MINUS, MINUS | two, MINUS | ONE])
    bench.query([ONE, ONE, two, two])
    await bench.drain()
    assert bench.refused.total == bench.nans == 3


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Random queries of every length under every pair of stalls, for every k."""
    bench = TopKBench(dut)
    for at, source in enumerate(STALLS):
        for other, sink in enumerate(STALLS):
            await bench.reset()
            bench.choose(1 + (at * len(STALLS) + other) % bench.places)
            bench.source.stall, bench.sink.stall = bench.stall(source), bench.stall(sink)
            for _ in range(12):
                bench.query([bench.score() for _ in range(bench.random.choice((1, 2, 3, 8, 40)))])
            await bench.drain()
    assert bench.refused.total == bench.nans > 0


@cocotb.test()
async def one_score_per_cycle(dut: Any) -> None:
    """Queries of at least k scores pass without a gap."""
    bench = TopKBench(dut)
    await bench.reset()
    bench.choose(bench.places)
    queries, length = 20, bench.places + 3
    for _ in range(queries):
        bench.query([bench.score(0.0) for _ in range(length)])
    start = bench.cycle
    await bench.until(lambda: bench.source.empty)
    assert bench.cycle - start <= queries * length + 3
    await bench.drain()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset at any moment leaves nothing behind."""
    bench = TopKBench(dut)

    def start() -> None:
        bench.choose(bench.k)
        for _ in range(4):
            bench.query([bench.score() for _ in range(bench.random.randint(1, 12))])

    await bench.reset_in_traffic(start, times=10, within=60)


@pytest.mark.parametrize(
    "params", [{"K": 16, "ID_W": 64}, {"K": 2, "ID_W": 1}], ids=["usual", "least"]
)
def test_topk(params: dict[str, int]) -> None:
    """A usual size and the smallest one."""
    build_and_test("embnic_topk", "test_topk", params=params)


def test_topk_and_the_hls_core() -> None:
    """The HLS core gives every word that the RTL gives."""
    build_and_test(
        "embnic_topk", "test_topk", params={"K": 16, "ID_W": 64}, extra_env={"EMBNIC_GOLDEN": "hls"}
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [({"K": 1}, "K must be at least 2"), ({"ID_W": 0}, "ID_W must be at least 1")],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """By name."""
    expect_build_failure("embnic_topk", params, message)
