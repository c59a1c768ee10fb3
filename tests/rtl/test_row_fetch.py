# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_row_fetch: every line is told complete once and lies in its place, whatever memory does."""

from collections import deque
from typing import Any

import cocotb
import pytest
from cache_model import RemotePeer, add_memory
from test_remote_fetch import Epochs

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS
from embnic_sim.structs import load_structs


class Requests:
    """Asks for lines in random free places."""

    def __init__(self, bench: "FetchBench") -> None:
        self.bench = bench
        self.queue: deque[tuple[int, int, bool]] = deque()
        self.stall: Any = lambda: True
        self.valid = False
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.queue.clear()
        self.free = list(range(self.bench.places))
        self.valid = False
        self.bench.drive(req_valid=0)

    def tick(self) -> None:
        """One clock edge."""
        if self.valid:
            self.bench.requested(*self.asked)
        self.valid = bool(self.queue and self.free) and self.stall()
        self.bench.drive(req_valid=int(self.valid))
        if self.valid:
            addr, beats, remote = self.queue.popleft()
            place = self.free.pop(self.bench.random.randrange(len(self.free)))
            self.asked = (place, addr, beats, remote)
            self.bench.drive(req_place=place, req_addr=addr, req_beats_m1=beats - 1)
            line = {"addr": addr, "beats_m1": beats - 1}
            self.bench.drive(req_remote=int(remote), req_line=self.bench.line_t.pack(line))


class Reader:
    """Reads complete lines, beat by beat in any order, and compares each 2 cycles later."""

    def __init__(self, bench: "FetchBench") -> None:
        self.bench = bench
        self.stall: Any = lambda: True
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.complete: list[tuple[int, int]] = []
        self.beats: list[tuple[int, int]] = []
        self.pipe: deque[tuple[int, int] | None] = deque([None] * 3)
        self.bench.drive(rd_en=0)

    def tick(self) -> None:
        """One clock edge."""
        bench = self.bench
        came = self.pipe.popleft()
        if came is not None:
            bench.compare(*came)
        if not self.beats and self.complete and self.stall():
            place, beats = self.complete.pop(bench.random.randrange(len(self.complete)))
            self.beats = [(place, beat) for beat in range(beats)]
            bench.random.shuffle(self.beats)
        read = self.beats.pop() if self.beats and self.stall() else None
        bench.drive(rd_en=int(read is not None))
        if read is not None:
            bench.drive(rd_place=read[0], rd_beat=read[1])
        self.pipe.append(read)


class FetchBench(Bench):
    """Requests in, complete lines out. Every line has an address of its own."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.places = int(self.params["PLACES"])
        self.bytes = int(self.params["DATA_W"]) // 8
        self.beats = int(self.params["LINE_BYTES"]) // self.bytes
        self.lengths: dict[int, int] = {}  # by address
        self.lines: dict[int, int] = {}  # address of the line in a place
        self.given_up: dict[int, bool] = {}  # by place, once a beat was read
        self.left: dict[int, int] = {}
        self.remotes = int(self.params["REMOTE_FETCHES"])
        self.line_t = load_structs()["remote_line_t"]
        self.drive(port_rst=0)
        self.requests = self.add(Requests(self))
        self.board = self.scoreboard("beats")
        self.monitor("line_valid", ["line_place"], self._complete)
        self.reader = self.add(Reader(self))
        self.memory = add_memory(self, lambda line: self.lengths[self.memory.addresses[line]])
        self.peer = RemotePeer(self, self.line_t)
        self.add(self.peer)
        self.remote_share = 0.4 if self.remotes else 0.0
        self.remote: set[int] = set()  # addresses of lines of other cards
        self.of_memory = 0  # beats compared
        self.epochs = self.add(Epochs(self))
        self.remote_epochs = self.add(Epochs(self, "remote_"))
        self.arrived, self.timeouts, self.late = (
            self.count(name) for name in ("evt_fetch_beat", "evt_timeout", "evt_late")
        )
        self.errors = self.failed = self.remote_errors = 0
        self.silenced: set[int] = set()  # lines that memory was silent about for a while

    async def reset(self, cycles: int = 4) -> None:
        """Also forget what was asked, and wait until the counts are cleared."""
        self.lengths.clear()
        self.lines.clear()
        self.given_up.clear()
        self.remote.clear()
        self.drive(port_rst=1)
        await super().reset(cycles)
        self.drive(port_rst=0)
        start = self.cycle
        await self.until(lambda: not self.read("sts_clearing"))
        most = max(4 * self.memory.fetches, self.places + 2 if self.remotes else 0)
        assert self.cycle - start <= most + 1, "one ID, or one place, is cleared per cycle"

    def idle(self) -> bool:
        """Nothing queued here either."""
        return not self.requests.queue and len(self.requests.free) == self.places

    def requested(self, place: int, addr: int, beats: int, remote: bool) -> None:
        """A request was made in this cycle: expect its beats."""
        if remote:
            self.remote.add(addr)
        self.lengths[addr] = beats
        self.lines[place] = addr
        self.left[place] = beats
        self.board.expect(*[0] * beats)

    def _complete(self, place: int) -> None:
        assert place in self.lines, f"{place} is not asked"
        assert all(place != other for other, _ in self.reader.complete), f"{place} is told twice"
        self.reader.complete.append((place, self.lengths[self.lines[place]]))

    def compare(self, place: int, beat: int) -> None:
        """Compare the beat that was read with the line asked for."""
        word, addr = self.read("rd_data"), self.lines[place]
        if addr in self.remote:
            self._compare_remote(word, addr, beat)
            self._compared(place)
            return
        self.of_memory += 1
        asked = self.memory.addresses.index(addr) if addr in self.memory.addresses else None
        wanted = None if asked is None else self.memory.line(asked, addr)[beat]
        self.errors += wanted is None
        error, data = word >> self.bytes * 8, word & ((1 << self.bytes * 8) - 1)
        if self.epochs.length and wanted is not None:
            # A line is given up whole, and only when memory was silent about it.
            assert self.given_up.setdefault(place, bool(error)) == bool(error)
            assert error or asked not in self.memory.muted
            assert not error or asked in self.silenced
            wanted = None if error else wanted
        assert error == int(wanted is None), f"place {place} beat {beat}: error {error}"
        assert wanted is None or data == wanted, f"place {place} beat {beat}: {data:#x}"
        self._compared(place)

    def _compare_remote(self, word: int, addr: int, beat: int) -> None:
        """Compare a beat of a line of another card."""
        numbers = [number for number, line in enumerate(self.peer.lines) if line["addr"] == addr]
        assert len(numbers) <= 1, f"{addr:#x} is asked for twice"
        beats = self.lengths[addr]
        line = self.peer.line(numbers[0], addr, beats) if numbers else [None] * beats
        error, data = word >> self.bytes * 8, word & ((1 << self.bytes * 8) - 1)
        assert error == int(line[beat] is None), f"remote {addr:#x} beat {beat}: error {error}"
        assert error or data == line[beat], f"remote {addr:#x} beat {beat}: {data:#x}"
        self.remote_errors += error

    def _compared(self, place: int) -> None:
        self.board.check(0)
        self.left[place] -= 1
        if not self.left[place]:
            del self.lines[place]
            self.failed += self.given_up.pop(place, False)
            self.requests.free.append(place)

    def send(self, number: int) -> None:
        """Queue random requests, many near the end of a page."""
        for _ in range(number):
            page = self.random.getrandbits(20) << 12
            near_end = 4096 - 64 * self.random.randrange(
                1, 2 + int(self.params["LINE_BYTES"]) // 64
            )
            offset = self.random.choice([near_end, 64 * self.random.randrange(64)])
            beats = self.random.randrange(1, self.beats + 1)
            queued = {addr for addr, _, _ in self.requests.queue}
            if page + offset not in self.lengths and page + offset not in queued:
                beats, remote = self.random.choice([beats, self.beats]), self.random.random()
                self.requests.queue.append((page + offset, beats, remote < self.remote_share))


@cocotb.test()
async def one_line(dut: Any) -> None:
    """One request: AR a cycle later, told complete 3 cycles after its last beat."""
    bench = FetchBench(dut)
    bench.memory.latency = (5, 5)
    times: dict[str, list[int]] = {}
    for name in ("req_valid", "m_axi_arvalid", "m_axi_rvalid", "line_valid"):
        bench.monitor(
            name, [name], lambda _, name=name: times.setdefault(name, []).append(bench.cycle)
        )
    await bench.reset()
    bench.requests.queue.append((0x1000, bench.beats, False))
    await bench.drain()
    assert times["m_axi_arvalid"][0] - times["req_valid"][0] == 1
    assert times["line_valid"][0] - times["m_axi_rvalid"][-1] == 3


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of requests and reads, on memory of every temper."""
    bench = FetchBench(dut)
    for source_stall in STALLS:
        for reader_stall in STALLS:
            bench.memory.gap = bench.random.choice([0.0, 0.3, 0.8])
            bench.memory.ready_rate = bench.random.choice([1.0, 0.4, 0.1])
            bench.memory.interleave = bench.random.random() < 0.5
            bench.memory.latency = bench.random.choice([(2, 2), (2, 60), (40, 40)])
            bench.peer.gap = bench.random.choice([0.0, 0.3, 0.8])
            bench.peer.ready_rate = bench.random.choice([1.0, 0.4, 0.1])
            bench.peer.interleave = bench.random.random() < 0.5
            bench.peer.latency = bench.random.choice([(1, 1), (2, 60), (200, 300)])
            await bench.reset()
            bench.requests.stall = bench.stall(source_stall)
            bench.reader.stall = bench.stall(reader_stall)
            bench.send(25)
            await bench.drain(timeout=60_000)
    assert bench.memory.splits > 20 or int(bench.params["LINE_BYTES"]) == 64
    assert bench.arrived.total == bench.of_memory
    assert bool(bench.remotes) == (bench.board.compared > bench.of_memory)


@cocotb.test()
async def errors_keep_their_beat(dut: Any) -> None:
    """The error bit belongs to the very beat that was answered with an error."""
    bench = FetchBench(dut)
    bench.memory.error_rate = bench.peer.error_rate = 0.3
    await bench.reset()
    bench.send(200)
    await bench.drain()
    assert bench.errors > 10 and (bench.remote_errors > 10 or not bench.remotes)


@cocotb.test()
async def silent_memory(dut: Any) -> None:
    """While memory is silent every place can be asked for; FETCHES lines are outstanding, the others wait."""
    bench = FetchBench(dut)
    await bench.reset()
    bench.memory.frozen = True
    bench.remote_share = 0.0
    bench.send(bench.places)
    await bench.until(lambda: not bench.requests.queue and not bench.requests.valid)
    await bench.cycles(8 * bench.memory.fetches + 50)
    assert bench.memory.outstanding == bench.memory.fetches
    bench.memory.frozen = False
    await bench.drain()


@cocotb.test()
async def late_lines(dut: Any) -> None:
    """Lines answered too late are given up whole; their beats meet no other line, whatever memory does with them."""
    bench = FetchBench(dut)
    memory = bench.memory
    # Whatever may be asked of memory at once is answered within an epoch, however slow it is.
    scale = 1 + 4 * memory.fetches * bench.beats // 200
    rounds = 0
    while rounds < 6 or min(bench.late.total, bench.failed) <= 10:
        rounds += 1
        assert rounds <= 60, "nothing was late"
        await bench.reset()
        memory.most = 4 * memory.fetches
        memory.latency = bench.random.choice([(2, 2), (2, 60)])
        memory.interleave = bench.random.random() < 0.5
        memory.ready_rate = bench.random.choice([1.0, 0.4])
        bench.requests.stall = bench.stall(bench.random.choice(list(STALLS)))
        bench.epochs.length = scale * bench.random.choice([400, 600])
        bench.silenced.clear()
        bench.send(300)
        while bench.requests.queue:
            await bench.cycles(bench.random.randrange(1, 100))
            outstanding = {entry.miss for entry in memory._queue if entry.beat == 0}
            if outstanding and len(memory.muted) < memory.fetches:
                memory.muted.add(bench.random.choice(sorted(outstanding)))
                bench.silenced |= memory.muted
            # Some of those that are silent speak before their time is over, some after it.
            if bench.random.random() < min(0.4, len(memory.muted) / 40):
                memory.muted.discard(bench.random.choice(sorted(memory.muted)))
        await bench.cycles(4 * bench.epochs.length)
        memory.muted.clear()
        await bench.until(lambda: memory.idle)
        await bench.drain(timeout=60_000)
        assert bench.read("sts_quarantine") == 0
    assert bench.timeouts.total >= bench.late.total > 10
    assert bench.timeouts.total >= bench.failed > 10
    dut._log.info("given up %d, answered late %d", bench.timeouts.total, bench.late.total)


@cocotb.test()
async def dead_memory(dut: Any) -> None:
    """Memory that answers nothing, or takes nothing: every line is given up; when it wakes up all is as ever."""
    bench = FetchBench(dut)
    memory = bench.memory
    for ready_rate in (1.0, 0.0):
        await bench.reset()
        memory.most, memory.latency = 4 * memory.fetches, (2, 2)
        bench.epochs.length = 200
        memory.frozen, memory.ready_rate = True, ready_rate
        bench.silenced = set(range(100_000))
        before = bench.failed, bench.timeouts.total
        bench.remote_share = 0.0
        bench.send(4 * bench.places)
        asked = len(bench.requests.queue)
        await bench.until(lambda: bench.idle() and not bench.requests.valid, timeout=60_000)
        assert bench.timeouts.total - before[1] == asked
        owed = bench.read("sts_quarantine")
        assert owed >= (memory.outstanding if ready_rate else 1)
        assert owed == memory.outstanding or not ready_rate
        memory.frozen, memory.ready_rate = False, 1.0
        await bench.until(lambda: not bench.read("sts_quarantine"), timeout=60_000)
        bench.epochs.length = 0
        bench.send(50)
        await bench.drain()


@cocotb.test()
async def outstanding_lines(dut: Any) -> None:
    """With 120 cycles of latency FETCHES lines are outstanding: so many come in every latency."""
    bench = FetchBench(dut)
    bench.memory.latency, bench.memory.interleave, bench.memory.reorder = (120, 120), False, False
    await bench.reset()
    fetches, number = bench.memory.fetches, 10 * bench.memory.fetches
    for line in range(number):
        bench.requests.queue.append((line * int(bench.params["LINE_BYTES"]), bench.beats, False))
    start = bench.cycle
    await bench.drain(quiet=1)
    rate = number / (bench.cycle - start)
    bound = min(fetches / (121 + bench.beats), 1 / bench.beats)
    dut._log.info("lines per cycle %.4f of at most %.4f", rate, bound)
    assert bench.memory.outstanding_max == fetches
    assert rate > 0.8 * bound


@cocotb.test()
async def lost_beside_late(dut: Any) -> None:
    """Answers of other cards are lost, late, repeated, broken while memory is late: each line has its own fate."""
    bench = FetchBench(dut)
    if not bench.remotes:
        return
    peer, memory = bench.peer, bench.memory
    for _ in range(4):
        await bench.reset()
        memory.most = 4 * memory.fetches
        bench.epochs.length = bench.remote_epochs.length = 1200 + 16 * bench.places * bench.beats
        peer.late = 4 * bench.remote_epochs.length
        peer.rates = {"lost": 0.1, "late": 0.05, "twice": 0.2, "broken": 0.1}
        bench.silenced.clear()
        bench.send(300)
        while bench.requests.queue:
            await bench.cycles(bench.random.randrange(1, 400))
            outstanding = {entry.miss for entry in memory._queue if entry.beat == 0}
            if outstanding and len(memory.muted) < max(memory.fetches // 2, 1):
                memory.muted.add(bench.random.choice(sorted(outstanding)))
                bench.silenced |= memory.muted
        await bench.cycles(4 * bench.epochs.length)
        memory.muted.clear()
        await bench.until(lambda: memory.idle and peer.idle, timeout=100_000)
        await bench.drain(timeout=60_000)
        assert bench.read("sts_quarantine") == bench.read("sts_remote_waiting") == 0
    assert bench.remote_errors > 10 and bench.failed > 2


@cocotb.test()
async def neither_starves(dut: Any) -> None:
    """With beats of memory in every cycle a remote one has a turn in nine; and memory has all turns but these."""
    bench = FetchBench(dut)
    if not bench.remotes or bench.memory.fetches * bench.beats < 32:
        return
    bench.memory.latency, bench.peer.latency = (2, 2), (1, 1)
    bench.memory.interleave = False
    await bench.reset()
    bench.send(4000 // bench.beats)
    beats = {"m_axi": [0], "s_axis_remote": [0]}

    def both() -> bool:
        return bool(bench.memory.outstanding and bench.peer.waiting)

    bench.monitor(
        "m_axi_rvalid", ["m_axi_rready"], lambda ready: _add(beats["m_axi"], ready and both())
    )
    bench.monitor(
        "s_axis_remote_tvalid",
        ["s_axis_remote_tready"],
        lambda ready: _add(beats["s_axis_remote"], ready and both()),
    )
    await bench.drain(timeout=60_000)
    memory, remote = beats["m_axi"][0], beats["s_axis_remote"][0]
    dut._log.info("beats of memory %d, of other cards %d", memory, remote)
    assert remote > memory / 12 and memory > 100


def _add(count: list[int], one: bool) -> None:
    count[0] += int(one)


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset of core and memory together at any moment."""
    bench = FetchBench(dut)
    bench.memory.latency = (3, 40)
    bench.reader.stall = bench.stall("bursty")
    await bench.reset_in_traffic(lambda: bench.send(25), times=15, within=120)


@pytest.mark.parametrize(
    ("data_w", "line_bytes", "fetches", "places", "burst", "remotes"),
    [(128, 1024, 4, 8, 16, 0), (512, 256, 16, 64, 2, 48), (512, 64, 1, 2, 256, 1)],
)
def test_row_fetch(
    data_w: int, line_bytes: int, fetches: int, places: int, burst: int, remotes: int
) -> None:
    """All coroutines; lines of 1 to 64 beats, bursts of 2 to 64; without and with remote lines."""
    params = {
        "DATA_W": data_w,
        "LINE_BYTES": line_bytes,
        "FETCHES": fetches,
        "PLACES": places,
        "MAX_BURST": burst,
        "REMOTE_FETCHES": remotes,
    }
    build_and_test("embnic_row_fetch", "test_row_fetch", params=params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"DATA_W": 256}, "DATA_W must be 128 or 512"),
        ({"LINE_BYTES": 32}, "LINE_BYTES must be a power of two, 64 to 4096"),
        ({"LINE_BYTES": 192}, "LINE_BYTES must be a power of two, 64 to 4096"),
        ({"LINE_BYTES": 8192}, "LINE_BYTES must be a power of two, 64 to 4096"),
        ({"FETCHES": 0}, "FETCHES must be 1 to PLACES"),
        ({"FETCHES": 600}, "FETCHES must be 1 to PLACES"),
        ({"PLACES": 384}, "PLACES must be a power of two, at least 2"),
        ({"REMOTE_FETCHES": 600}, "REMOTE_FETCHES must be 0 to PLACES"),
        ({"MAX_BURST": 12}, "MAX_BURST must be a power of two, 1 to 256"),
        ({"MAX_BURST": 512}, "MAX_BURST must be a power of two, 1 to 256"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Each is refused by its own message."""
    expect_build_failure("embnic_row_fetch", params, message)
