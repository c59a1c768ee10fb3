# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_remote_fetch: every line is told once, and no beat but those of its own answer is taken for it."""

from collections import deque
from typing import Any

import cocotb
import pytest
from cache_model import RemotePeer

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS
from embnic_sim.structs import load_structs


class Requests:
    """Asks for lines in random free places."""

    def __init__(self, bench: "RemoteBench") -> None:
        self.bench = bench
        self.queue: deque[tuple[int, int]] = deque()
        self.stall: Any = lambda: True
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
            row, beats = self.queue.popleft()
            place = self.free.pop(self.bench.random.randrange(len(self.free)))
            self.asked = (place, row, beats)
            line = {"row": row, "beats_m1": beats - 1, "addr": row << 12, "tbl": row % 8}
            line |= {"seg": row % 4, "owner": row % 256, "generation": row // 3 % 256}
            self.bench.drive(req_place=place, req_line=self.bench.line_t.pack(line))


class Epochs:
    """Counts epochs of `length` cycles; 0: off."""

    def __init__(self, bench: Bench, prefix: str = "") -> None:
        self.bench, self.prefix = bench, prefix
        self.length = 0
        self.reset()

    def reset(self) -> None:
        """Off again."""
        self.length = self.cycle = self.number = 0
        self.bench.drive(**{f"{self.prefix}epoch_on": 0, f"{self.prefix}epoch": 0})

    def tick(self) -> None:
        """One clock edge."""
        self.cycle += 1
        if self.length and self.cycle >= self.length:
            self.cycle, self.number = 0, (self.number + 1) % 8
        on = int(self.length > 0)
        self.bench.drive(**{f"{self.prefix}epoch_on": on, f"{self.prefix}epoch": self.number})


class Slots:
    """Leaves cycles to answers."""

    def __init__(self, bench: "RemoteBench") -> None:
        self.bench, self.stall = bench, lambda: True
        self.reset()

    def reset(self) -> None:
        """None for now."""
        self.bench.drive(slot=0)

    def tick(self) -> None:
        """One clock edge."""
        self.bench.drive(slot=int(self.stall()))


class RemoteBench(Bench):
    """Requests in; what is written and told out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.places = int(self.params["PLACES"])
        self.beats = int(self.params["LINE_BEATS"])
        self.most = int(self.params["REMOTE_FETCHES"])
        self.line_t = load_structs()["remote_line_t"]
        self.drive(port_rst=0)
        self.requests = self.add(Requests(self))
        self.slots = self.add(Slots(self))
        self.board = self.scoreboard("lines", ordered=False)
        self.lines: dict[int, tuple[int, int, int]] = {}  # by place: row, beats, beats written
        self.failed = self.good = 0
        self.monitor("wr_valid", ["wr_place", "wr_beat"], self._written)
        self.monitor("tell_valid", ["tell_place", "tell_failed"], self._told)
        self.peer = RemotePeer(self, self.line_t)
        self.add(self.peer)
        self.epochs = self.add(Epochs(self))
        names = ("asked", "answer", "beat", "timeout", "broken", "stray")
        self.events = {name: self.count(f"evt_{name}") for name in names}
        self.numbers: dict[int, int] = {}  # by row: number of its request
        self.base = dict.fromkeys(names, 0)

    async def reset(self, cycles: int = 4) -> None:
        """Also take back what is on offer, and wait until the uses are moved on."""
        self.lines.clear()
        self.drive(port_rst=1)
        await super().reset(cycles)
        self.drive(port_rst=0)
        await self.until(lambda: not self.read("sts_clearing"))
        self.base = {name: count.total for name, count in self.events.items()}

    def seen(self, name: str) -> int:
        """Return how often an event came since the reset."""
        return self.events[name].total - self.base[name]

    def idle(self) -> bool:
        """Nothing queued here either."""
        return not self.requests.queue and len(self.requests.free) == self.places

    def requested(self, place: int, row: int, beats: int) -> None:
        """A request was made in this cycle: expect it to be told."""
        self.lines[place] = (row, beats, 0)
        self.board.expect(row)

    def number_of(self, row: int) -> int | None:
        """Return the number of the request for a row, if it left."""
        found = [n for n, line in enumerate(self.peer.lines) if line["row"] == row]
        assert len(found) <= 1, f"row {row} was asked for twice"
        return found[0] if found else None

    def _written(self, word: tuple[int, int]) -> None:
        place, beat = word
        row, beats, written = self.lines[place]
        assert beat == written < beats, f"beat {beat} of {beats} was written, {written} was due"
        self.lines[place] = (row, beats, written + 1)

    def _told(self, word: tuple[int, int]) -> None:
        place, failed = word
        row, beats, written = self.lines.pop(place)
        number = self.number_of(row)
        fate = "unsent" if number is None else self.peer.fate(number)
        if failed:
            assert fate not in ("answered", "twice") or self.peer.frozen, f"row {row} was {fate}"
        else:
            assert fate in ("answered", "twice") and written == beats, f"row {row}: {fate}"
        self.failed += failed
        self.good += not failed
        self.board.check(row)
        self.requests.free.append(place)

    def send(self, number: int) -> None:
        """Queue requests for rows that were never asked for."""
        for _ in range(number):
            self.row = getattr(self, "row", 0) + 1
            beats = self.random.choice([self.beats, self.random.randrange(1, self.beats + 1)])
            self.requests.queue.append((self.row, beats))

    async def finish(self, timeout: int = 100_000) -> None:
        """Drain; every line asked for is answered, given up or broken, and nothing is waited for."""
        await self.drain(timeout=timeout)
        assert self.read("sts_waiting") == 0
        settled = self.seen("answer") + self.seen("timeout") + self.seen("broken")
        assert self.seen("asked") == settled

    def temper(self) -> None:
        """Draw another temper of the peer."""
        peer, rng = self.peer, self.random
        peer.latency = rng.choice([(2, 2), (2, 60), (40, 40)])
        peer.gap, peer.ready_rate = rng.choice([0.0, 0.3]), rng.choice([1.0, 0.4, 0.1])
        peer.interleave, peer.reorder = rng.random() < 0.5, rng.random() < 0.8
        peer.rates = dict.fromkeys(peer.rates, 0.0)


@cocotb.test()
async def one_line(dut: Any) -> None:
    """One request: on offer 3 cycles later, its beats known 2 cycles after they are taken; told with the last."""
    bench = RemoteBench(dut)
    bench.peer.latency = (10, 10)
    times: dict[str, list[int]] = {}
    for name in (
        "req_valid",
        "m_axis_remote_tvalid",
        "s_axis_remote_tready",
        "wr_valid",
        "tell_valid",
    ):
        bench.monitor(
            name, [name], lambda _, name=name: times.setdefault(name, []).append(bench.cycle)
        )
    taken: list[int] = []
    bench.monitor(
        "s_axis_remote_tvalid", ["s_axis_remote_tid"], lambda _: taken.append(bench.cycle)
    )
    await bench.reset()
    taken.clear()
    bench.requests.queue.append((5, bench.beats))
    await bench.finish()
    assert times["m_axis_remote_tvalid"][0] - times["req_valid"][0] == 3
    assert times["wr_valid"][0] - taken[0] == 2
    assert times["tell_valid"] == [times["wr_valid"][-1]]
    line = bench.peer.lines[0]
    assert (line["row"], line["beats_m1"], line["owner"]) == (5, bench.beats - 1, 5)
    assert line["tag"] % bench.places < bench.places and line["unused"] == 0


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of requests and of free cycles, against peers of every temper."""
    bench = RemoteBench(dut)
    for source in STALLS:
        for slots in STALLS:
            bench.temper()
            await bench.reset()
            bench.requests.stall, bench.slots.stall = bench.stall(source), bench.stall(slots)
            bench.send(60)
            await bench.finish()
    assert bench.good == bench.board.compared > 1000 and not bench.failed


@cocotb.test()
async def answers_that_nobody_waits_for(dut: Any) -> None:
    """Lost, late, repeated and broken answers: their lines fail, each once, and nothing else; strays are counted."""
    bench = RemoteBench(dut)
    for _ in range(6):
        bench.temper()
        await bench.reset()
        bench.slots.stall = bench.stall(bench.random.choice(["never", "half"]))
        # Whatever is asked for at once is answered within an epoch.
        bench.epochs.length = 1200 + 8 * bench.most * bench.beats
        bench.peer.late = 4 * bench.epochs.length
        bench.peer.rates = {"lost": 0.05, "late": 0.05, "twice": 0.2, "broken": 0.1}
        bench.send(300)
        await bench.until(lambda: bench.idle() and not bench.requests.valid, timeout=200_000)
        fates = [bench.peer.fate(number) for number in range(len(bench.peer.lines))]
        await bench.until(lambda: bench.peer.idle, timeout=100_000)
        await bench.cycles(10)
        await bench.finish()
        count = {name: fates.count(name) for name in bench.peer.rates}
        assert bench.seen("timeout") == count["lost"] + count["late"] > 0
        assert bench.seen("broken") == count["broken"] > 0
        # Of a broken answer that is too long the rest is a stray, too.
        strays = bench.seen("stray") - count["late"] - count["twice"]
        assert 0 <= strays <= count["broken"], f"{bench.seen('stray')} strays of {count}"


@cocotb.test()
async def at_most_so_many(dut: Any) -> None:
    """REMOTE_FETCHES lines are waited for, further requests wait, and none of them is late."""
    bench = RemoteBench(dut)
    await bench.reset()
    bench.epochs.length = 0
    bench.peer.latency = (20 * bench.places + 200, 20 * bench.places + 200)
    bench.send(bench.places)
    await bench.cycles(3 * bench.places + 50)
    assert bench.peer.waiting == bench.read("sts_waiting") == min(bench.most, bench.places)
    await bench.finish()


@cocotb.test()
async def deaf_peer(dut: Any) -> None:
    """A port that takes nothing: all is given up, two of it as asked; when it wakes up all is as ever."""
    bench = RemoteBench(dut)
    await bench.reset()
    bench.epochs.length = 1100
    bench.peer.frozen = True
    bench.send(3 * bench.places)
    await bench.until(lambda: bench.idle() and not bench.requests.valid, timeout=100_000)
    await bench.cycles(2)
    assert bench.seen("timeout") == 3 * bench.places and not bench.peer.lines
    bench.peer.frozen = False
    await bench.until(lambda: bench.peer.idle and not bench.read("m_axis_remote_tvalid"))
    bench.epochs.length = 0  # a full pool of long lines takes longer than that to be answered
    bench.send(100)
    await bench.finish()
    assert bench.good >= 100


@cocotb.test()
async def reset_while_asked(dut: Any) -> None:
    """A reset that leaves the port alone: what was on offer is still asked, and every answer from before is a stray."""
    bench = RemoteBench(dut)
    for _ in range(10):
        await bench.reset()
        bench.peer.latency = (200, 600)
        bench.send(40)
        await bench.cycles(bench.random.randrange(5, 100))
        answers, held = list(bench.peer._queue), bench.peer._held
        lines = bench.peer.lines
        await Bench.reset(bench, 4)
        bench.lines.clear()
        bench.peer._queue, bench.peer._held = answers, held
        # Requests for rows from before may still leave.
        bench.peer.lines = [{**line, "row": -1} for line in lines]
        for answer in answers:
            bench.peer._fates[answer.number] = ("answered", 0)
        await bench.until(lambda: not bench.read("sts_clearing"))
        base, good = bench.events["stray"].total, bench.good
        bench.base = {name: count.total for name, count in bench.events.items()}
        bench.send(40)
        await bench.finish()
        await bench.until(lambda: bench.peer.idle, timeout=5000)
        await bench.cycles(10)
        late = bench.events["stray"].total - base
        assert late >= len({answer.tag for answer in answers}) and bench.good - good == 40


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset of everything at any moment."""
    bench = RemoteBench(dut)
    await bench.reset_in_traffic(lambda: bench.send(25), times=15, within=120)


@pytest.mark.parametrize(
    ("beats", "remotes", "places"),
    [(4, 12, 16), (1, 2, 2), pytest.param(64, 32, 32, marks=pytest.mark.slow)],
)
def test_remote_fetch(beats: int, remotes: int, places: int) -> None:
    """All coroutines."""
    params = {"LINE_BEATS": beats, "REMOTE_FETCHES": remotes, "PLACES": places}
    build_and_test("embnic_remote_fetch", "test_remote_fetch", params=params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"LINE_BEATS": 3}, "LINE_BEATS must be a power of two, 1 to 256"),
        ({"LINE_BEATS": 512}, "LINE_BEATS must be a power of two, 1 to 256"),
        ({"PLACES": 1, "REMOTE_FETCHES": 1}, "PLACES must be a power of two, 2 to 65,536"),
        ({"PLACES": 384}, "PLACES must be a power of two, 2 to 65,536"),
        ({"REMOTE_FETCHES": 0}, "REMOTE_FETCHES must be 1 to PLACES"),
        ({"REMOTE_FETCHES": 3000}, "REMOTE_FETCHES must be 1 to PLACES"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Each is refused by its own message."""
    expect_build_failure("embnic_remote_fetch", params, message)
