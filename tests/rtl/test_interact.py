# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_interact: samples of any shape against the reference's dot products, bit for bit."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from embnic.compute import ReferenceKernels
from embnic_sim.bench import Bench
from embnic_sim.golden import Command, golden_for, pack_lanes
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS

LOOP = 9  # cycles from a pair's beat to its next, at least
SPECIALS = np.array(
    [0, 1 << 31, 1, 0x007FFFFF, 0x00800000, 0x3F800000, 0xBF800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC12345],
    np.uint32,
)  # fmt: skip


class InteractBench(Bench):
    """Samples in, pairs out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.lanes = self.params["DATA_W"] // 32
        self.most_vectors, self.most_beats = self.params["MAX_VECTORS"], self.params["MAX_BEATS"]
        self.reference = ReferenceKernels(lanes=self.lanes)
        self.source = self.stream_source("s_axis_vec", fields=["tdata", "tlast"])
        self.board = self.scoreboard("pairs")
        self.sink = self.stream_sink("m_axis_pair", self._pair, fields=["tdata", "tlast", "tuser"])
        self.refused, self.work = self.count("evt_refused"), self.count("evt_work")
        self.bad = 0
        self.numbers = np.random.default_rng(self.random.getrandbits(64))
        constants = {
            "kLanes": self.lanes,
            "kMaxVectors": self.most_vectors,
            "kBeats": self.most_beats,
        }
        self.golden = golden_for("embnic_interact", constants)
        self.twin: list[tuple[int, int, int]] = []
        self.choose(3, 1)

    def choose(self, vectors: int, beats: int) -> None:
        """Set the shape of the samples."""
        self.vectors, self.beats = vectors, beats
        self.drive(cfg_vectors=vectors, cfg_beats=beats)
        if self.golden is not None:
            self.golden.command(Command.RESET)
            self.golden.command(Command.SETTING, [vectors, beats])
            self.twin.clear()

    def sample(self, special: float) -> NDArray[np.float32]:
        """Return a sample [vectors, beats * lanes]: moderate numbers that cancel, sometimes special ones."""
        shape = (self.vectors, self.beats * self.lanes)
        values = self.numbers.standard_normal(shape, np.float32)
        odd = self.numbers.random(shape) < special
        values.view(np.uint32)[odd] = self.numbers.choice(SPECIALS, odd.sum())
        return values

    def send(self, sample: NDArray[np.float32], cut: int = 0) -> None:
        """Send a sample, or one with so many beats too few or too many, and expect its pairs."""
        rows = sample.reshape(-1, self.lanes)
        rows = np.concatenate([rows, rows])[: len(rows) - cut] if cut else rows
        for at, row in enumerate(rows):
            data, last = int.from_bytes(row.tobytes(), "little"), int(at == len(rows) - 1)
            self.source.send((data, last))
            if self.golden is not None:
                self.golden.command(Command.TAKE, [last, *pack_lanes(data, self.lanes)])
        if cut:
            self.bad += 1
            self.board.expect((0, 1, 1))
        else:
            dots = self.reference.interact(sample[np.newaxis])[0].view(np.uint32).tolist()
            self.board.expect(*((dot, int(at == len(dots) - 1), 0) for at, dot in enumerate(dots)))
        if self.golden is not None:
            self.twin += [(dot, last, bad) for dot, last, bad in self.golden.beats(3)]

    def _pair(self, word: tuple[int, int, int]) -> None:
        self.board.check(word)
        if self.golden is not None:
            assert word == self.twin.pop(0), "the HLS core gives another word"
            self.golden.compared += 1


@cocotb.test()
async def directed(dut: Any) -> None:
    """Small whole numbers whose products can be seen."""
    bench = InteractBench(dut)
    await bench.reset()
    bench.choose(3, 1)
    sample = np.zeros((3, bench.lanes), np.float32)
    sample[:, :2] = [[1, 2], [3, 4], [5, 6]]
    assert bench.reference.interact(sample[np.newaxis])[0].tolist() == [11, 17, 39]
    bench.send(sample)
    bench.send(sample, cut=1)
    bench.send(sample, cut=-1)
    bench.send(sample)
    await bench.drain()
    assert bench.refused.total == bench.bad == 2


@cocotb.test()
async def shapes(dut: Any) -> None:
    """Every number of vectors around the edges, even and odd, with special numbers."""
    bench = InteractBench(dut)
    most = bench.most_vectors
    for vectors in sorted(
        {2, 3, 4, 5, LOOP - 1, LOOP, LOOP + 1, most - 1, most} & set(range(2, most + 1))
    ):
        for beats in (1, bench.random.randint(1, bench.most_beats)):
            await bench.reset()
            bench.choose(vectors, beats)
            for special in (0.0, 0.05, 0.5):
                bench.send(bench.sample(special))
            await bench.drain()


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Good and refused samples under every pair of stalls."""
    bench = InteractBench(dut)
    for source in STALLS:
        for sink in STALLS:
            await bench.reset()
            bench.choose(
                bench.random.randint(2, min(7, bench.most_vectors)), bench.random.randint(1, 2)
            )
            bench.source.stall, bench.sink.stall = bench.stall(source), bench.stall(sink)
            for _ in range(4):
                whole = bench.vectors * bench.beats
                cut = bench.random.choice((0, 0, 0, 1, -1, whole - 1))
                bench.send(bench.sample(0.02), cut=cut if cut < whole else 0)
            await bench.drain()
    assert bench.refused.total == bench.bad > 0


@cocotb.test()
async def cycles_of_a_sample(dut: Any) -> None:
    """Samples follow each other without a gap, each in the cycles that the header says."""
    bench = InteractBench(dut)
    await bench.reset()
    units, most = bench.params["UNITS"], bench.most_vectors
    vectors, beats = min(27, most), bench.most_beats
    bench.choose(vectors, beats)
    samples = 6
    for _ in range(samples):
        bench.send(bench.sample(0.0))
    start = bench.cycle
    await bench.drain()
    passes = -(-(vectors // 2) // units)
    each = max(passes * max(vectors, LOOP) * beats, vectors * beats, vectors * (vectors - 1) // 2)
    assert bench.work.total == samples * passes * max(vectors, LOOP) * beats
    taken = bench.cycle - start
    dut._log.info(
        f"{vectors} vectors of {beats} beats: {taken} cycles for {samples} samples, {each} each"
    )
    assert taken <= (samples + 1) * each + vectors * beats + 150
    if (vectors, beats, units) == (27, 8, 7):
        assert each == 432 == 2 * 27 * 128 // 16


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset at any moment leaves nothing behind."""
    bench = InteractBench(dut)

    def start() -> None:
        bench.choose(4, 2)
        for _ in range(3):
            bench.send(bench.sample(0.05), cut=bench.random.choice((0, 0, 1)))

    await bench.reset_in_traffic(start, times=8, within=120)


def sim_parameters(config: str) -> dict[str, int]:
    """Of `make sim`: lanes enough for the demo's widths, not what a configuration says."""
    del config
    return {"DATA_W": 128, "MAX_VECTORS": 8, "MAX_BEATS": 4, "UNITS": 2}


def test_interact() -> None:
    """Four lanes, two units."""
    build_and_test("embnic_interact", "test_interact", params=sim_parameters(""))


@pytest.mark.timeout(1800)
def test_interact_of_dlrm_and_the_hls_core() -> None:
    """27 vectors of 128 with 16 lanes and 7 units; the HLS core gives every word that the RTL gives."""
    params = {"DATA_W": 512, "MAX_VECTORS": 32, "MAX_BEATS": 8, "UNITS": 7}
    build_and_test(
        "embnic_interact", "test_interact", params=params, extra_env={"EMBNIC_GOLDEN": "hls"}
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"DATA_W": 48}, "DATA_W must be a power of two, 64 to 512"),
        ({"MAX_VECTORS": 6}, "MAX_VECTORS must be a power of two, 4 to 64"),
        ({"MAX_BEATS": 3}, "MAX_BEATS must be a power of two, 2 to 64"),
        ({"UNITS": 33}, "UNITS must be 1 to 32"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """By name."""
    expect_build_failure("embnic_interact", params, message)
