# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_row_fetch: beats leave in the order of the requests, whatever memory does."""

from typing import Any

import cocotb
import pytest
from cache_model import add_memory

from embnic_sim.bench import STALLS, Bench
from embnic_sim.runner import build_and_test, expect_build_failure


class Requests:
    """Offers requests while the ring has room, as its caller must."""

    def __init__(self, bench: "FetchBench") -> None:
        self.bench = bench
        self.queue: list[tuple[int, int]] = []
        self.stall = lambda: True
        self.room = bench.fetches
        self.valid = False

    def reset(self) -> None:
        """Forget everything."""
        self.queue.clear()
        self.room, self.valid = self.bench.fetches, False
        self.bench.drive(req_valid=0)

    def tick(self) -> None:
        """One clock edge."""
        if self.bench.read("slot_free"):
            self.room += 1
        if self.valid:
            self.bench.requested()
        self.valid = bool(self.queue) and self.room > 0 and self.stall()
        self.bench.drive(req_valid=int(self.valid))
        if self.valid:
            self.room -= 1
            addr, beats = self.queue.pop(0)
            self.bench.drive(req_addr=addr, req_beats_m1=beats - 1)


class FetchBench(Bench):
    """Requests in, {error, data} and last out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.fetches = int(self.params["FETCHES"])
        self.bytes = int(self.params["DATA_W"]) // 8
        self.beats = int(self.params["LINE_BYTES"]) // self.bytes
        self.lengths: list[int] = []
        self.requests = self.add(Requests(self))
        self.memory = add_memory(self, lambda line: self.lengths[line])
        self.board = self.scoreboard("fills")
        self.sink = self.stream_sink("m_axis_fill", self._fill, fields=["tdata", "tlast"])
        self.arrived = self.count("evt_fetch_beat")
        self.asked: list[int] = []
        self.errors = 0

    async def reset(self, cycles: int = 4) -> None:
        """Also forget the lengths of lines asked for."""
        self.lengths.clear()
        await super().reset(cycles)

    def idle(self) -> bool:
        """Nothing queued here either."""
        return not self.requests.queue and self.requests.room == self.fetches

    def requested(self) -> None:
        """A request was made in this cycle: expect its beats."""
        addr, beats = self.read("req_addr"), self.read("req_beats_m1") + 1
        line = len(self.lengths)
        self.lengths.append(beats)
        for beat in range(beats):
            bad = self.memory.errors(line) >> beat & 1
            self.errors += bad
            word = None if bad else self.memory.word(addr + beat * self.bytes)
            self.board.expect((bad, word, int(beat == beats - 1)))

    def _fill(self, word: tuple[int, int]) -> None:
        data, last = word
        bad = data >> self.bytes * 8
        self.board.check((bad, None if bad else data, last))

    def send(self, number: int) -> None:
        """Queue random requests, many near the end of a page."""
        for _ in range(number):
            page = self.random.getrandbits(20) << 12
            near_end = 4096 - 64 * self.random.randrange(
                1, 2 + int(self.params["LINE_BYTES"]) // 64
            )
            offset = self.random.choice([near_end, 64 * self.random.randrange(64)])
            beats = self.random.randrange(1, self.beats + 1)
            self.requests.queue.append((page + offset, self.random.choice([beats, self.beats])))


@cocotb.test()
async def one_line(dut: Any) -> None:
    """One request: AR a cycle later, its beats 3 cycles after they arrive."""
    bench = FetchBench(dut)
    bench.memory.latency = (5, 5)
    bench.sink.stall = bench.stall("never")
    times: dict[str, int] = {}
    for name in ("req_valid", "m_axi_arvalid", "m_axi_rvalid", "m_axis_fill_tvalid"):
        field = {"req_valid": "req_addr", "m_axi_arvalid": "m_axi_arid"}.get(name, name)
        bench.monitor(name, [field], lambda _, name=name: times.setdefault(name, bench.cycle))
    await bench.reset()
    bench.requests.queue.append((0x1000, bench.beats))
    await bench.drain()
    assert times["m_axi_arvalid"] - times["req_valid"] == 1
    assert times["m_axis_fill_tvalid"] - times["m_axi_rvalid"] == 3


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of requests and fills, on memory of every temper."""
    bench = FetchBench(dut)
    for source_stall in STALLS:
        for sink_stall in STALLS:
            bench.memory.gap = bench.random.choice([0.0, 0.3, 0.8])
            bench.memory.ready_rate = bench.random.choice([1.0, 0.4, 0.1])
            bench.memory.interleave = bench.random.random() < 0.5
            bench.memory.latency = bench.random.choice([(2, 2), (2, 60), (40, 40)])
            await bench.reset()
            bench.requests.stall, bench.sink.stall = (
                bench.stall(source_stall),
                bench.stall(sink_stall),
            )
            bench.send(40)
            await bench.drain(timeout=60_000)
    assert bench.memory.splits > 20 or int(bench.params["LINE_BYTES"]) == 64
    assert bench.arrived.total == bench.board.compared


@cocotb.test()
async def errors_keep_their_beat(dut: Any) -> None:
    """The error bit belongs to the very beat that was answered with an error."""
    bench = FetchBench(dut)
    bench.memory.error_rate = 0.3
    bench.sink.stall = bench.stall("half")
    await bench.reset()
    bench.send(200)
    await bench.drain()
    assert bench.errors > 10


@cocotb.test()
async def ring_stays_full(dut: Any) -> None:
    """With 120 cycles of latency all buffers are outstanding: FETCHES lines in every latency."""
    bench = FetchBench(dut)
    bench.memory.latency = (120, 120)
    bench.sink.stall = bench.stall("never")
    await bench.reset()
    for number in range(20 * bench.fetches):
        bench.requests.queue.append((number * int(bench.params["LINE_BYTES"]), bench.beats))
    start = bench.cycle
    await bench.drain(quiet=1)
    lines_per_cycle = 20 * bench.fetches / (bench.cycle - start)
    bound = min(bench.fetches / 120, 1 / bench.beats)
    dut._log.info("lines per cycle %.4f of at most %.4f", lines_per_cycle, bound)
    assert bench.memory.outstanding_max == bench.fetches
    assert lines_per_cycle > 0.85 * bound


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset of core and memory together at any moment."""
    bench = FetchBench(dut)
    bench.memory.latency = (3, 40)
    bench.sink.stall = bench.stall("bursty")
    await bench.reset_in_traffic(lambda: bench.send(25), times=15, within=120)


@pytest.mark.parametrize(
    ("data_w", "line_bytes", "fetches"), [(128, 1024, 4), (512, 256, 16), (512, 64, 2)]
)
def test_row_fetch(data_w: int, line_bytes: int, fetches: int) -> None:
    """All coroutines; lines of 1 to 64 beats."""
    params = {"DATA_W": data_w, "LINE_BYTES": line_bytes, "FETCHES": fetches}
    build_and_test("embnic_row_fetch", "test_row_fetch", params=params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"DATA_W": 256}, "DATA_W must be 128 or 512"),
        ({"LINE_BYTES": 32}, "LINE_BYTES must be a power of two, 64 to 4096"),
        ({"LINE_BYTES": 192}, "LINE_BYTES must be a power of two, 64 to 4096"),
        ({"LINE_BYTES": 8192}, "LINE_BYTES must be a power of two, 64 to 4096"),
        ({"FETCHES": 1}, "FETCHES must be a power of two, at least 2"),
        ({"FETCHES": 6}, "FETCHES must be a power of two, at least 2"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Each is refused by its own message."""
    expect_build_failure("embnic_row_fetch", params, message)
