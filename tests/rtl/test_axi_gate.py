# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_axi_gate: a core with reads and writes on one side, memory on the other.

The core checks that it gets exactly the answers to what it asked since its last reset; memory (the
bench's AxiMemory, which knows the rules) sees no access that is never answered. The payload that
goes around the gate in the core goes around it here: the bench drives it.
"""

from collections import deque
from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS


class Core:
    """Asks for reads of one to four beats and writes bursts, one at a time; a reset forgets all of it."""

    def __init__(self, bench: "GateBench") -> None:
        self.bench = bench
        self.reads = self.writes = bench.stall("half")
        self.running = False
        self.answered = 0
        self.reset()

    def reset(self) -> None:
        """Nothing is asked."""
        self.running = False
        self.open_reads: deque[int] = deque()  # beats still to come, of each burst
        self.ar, self.aw, self.w_left, self.b_wait = 0, False, 0, False
        self.bench.drive(
            s_axi_arvalid=0,
            s_axi_rready=1,
            s_axi_awvalid=0,
            s_axi_wvalid=0,
            s_axi_bready=1,
            s_axi_awlen=0,
        )

    def tick(self) -> None:
        """One clock edge: what was taken, then what is offered next."""
        bench, rng = self.bench, self.bench.random
        if bench.resetting:
            self.reset_core()
            return
        read = bench.read
        if self.ar and read("s_axi_arready"):
            self.open_reads.append(self.ar)
            self.ar = 0
        if read("s_axi_rvalid"):
            assert self.open_reads, "an answer that nobody asked for"
            self.open_reads[0] -= 1
            assert bool(read("m_axi_rlast")) == (self.open_reads[0] == 0)
            if not self.open_reads[0]:
                self.open_reads.popleft()
                self.answered += 1
        if self.aw and read("s_axi_awready"):
            self.aw, self.w_left = False, self.beats
        elif self.w_left and self.w_offered and read("s_axi_wready"):
            self.w_left -= 1
            self.b_wait = self.w_left == 0
        if read("s_axi_bvalid"):
            assert self.b_wait, "a response to nothing"
            self.b_wait = False
            self.answered += 1
        if not self.ar and self.running and self.reads():
            self.ar = rng.randrange(1, 5)
        if not (self.aw or self.w_left or self.b_wait) and self.running and self.writes():
            self.aw, self.beats = True, rng.randrange(1, 6)
        self.w_offered = self.w_left > 0
        bench.memory_pins(self.ar)
        bench.drive(
            s_axi_arvalid=int(self.ar > 0),
            s_axi_awvalid=int(self.aw),
            s_axi_awlen=self.beats - 1 if self.aw else 0,
            s_axi_wvalid=int(self.w_left > 0),
            s_axi_wlast=int(self.w_left == 1),
        )

    def reset_core(self) -> None:
        """What the core forgets in its reset."""
        running = self.running
        self.reset()
        self.running = running

    @property
    def rest(self) -> bool:
        """Everything asked was answered."""
        return not (self.open_reads or self.ar or self.aw or self.w_left or self.b_wait)

    beats = 1
    w_offered = False


class Memory:
    """Takes addresses and beats at a rate, and answers in order after a latency; may fall silent."""

    def __init__(self, bench: "GateBench") -> None:
        self.bench = bench
        self.ready = self.answer = bench.stall("half")
        self.latency = (1, 20)
        self.silent = False
        self.void_beats = 0
        self.reset()

    def reset(self) -> None:
        """Nothing is outstanding."""
        self.now = 0
        self.queue: deque[list[int]] = deque()  # [due, beats]
        self.bursts: deque[int] = deque()  # beats of write addresses
        self.beats: list[tuple[int, int]] = []
        self.responses: deque[int] = deque()
        self.driven = {"m_axi_arready": 0, "m_axi_awready": 0, "m_axi_wready": 0}
        self.driven |= {"m_axi_rvalid": 0, "m_axi_bvalid": 0, "m_axi_rlast": 0}
        self.held: dict[str, bool] = {"ar": False, "aw": False, "w": False}
        self.bench.drive(**self.driven)

    def _offer(self, channel: str) -> bool:
        """Return whether the channel transfers; an address once offered holds, but over a reset."""
        bench = self.bench
        valid = bool(bench.read(f"m_axi_{channel}valid"))
        if channel != "w" and self.held[channel] and not bench.resetting:
            assert valid, f"{channel}valid fell before {channel}ready"
        taken = valid and bool(self.driven[f"m_axi_{channel}ready"])
        self.held[channel] = valid and not taken
        return taken

    def tick(self) -> None:
        """One clock edge."""
        self.now += 1
        bench, rng, driven = self.bench, self.bench.random, self.driven
        if driven["m_axi_rvalid"] and bench.read("m_axi_rready"):
            self.queue[0][1] -= 1
            if not self.queue[0][1]:
                self.queue.popleft()
        if driven["m_axi_bvalid"] and bench.read("m_axi_bready"):
            self.responses.popleft()
        due = self.now + rng.randint(*self.latency)
        if self._offer("ar"):
            self.queue.append([due, bench.ar_beats])
        if self._offer("aw"):
            self.bursts.append(bench.read("s_axi_awlen") + 1)
        if self._offer("w"):
            self.beats.append((bench.read("m_axi_wlast"), bench.read("m_axi_wvoid")))
            self.void_beats += self.beats[-1][1]
        if self.bursts and len(self.beats) >= self.bursts[0]:
            count = self.bursts.popleft()
            burst, self.beats = self.beats[:count], self.beats[count:]
            assert [last for last, _ in burst] == [0] * (count - 1) + [1], (
                "wlast is not on the last"
            )
            self.responses.append(due)
        talk = not self.silent
        ready = talk and self.queue and self.queue[0][0] <= self.now and self.answer()
        keep_r = driven["m_axi_rvalid"] and not bench.read("m_axi_rready")
        answer = talk and self.responses and self.responses[0] <= self.now
        self.driven = {
            "m_axi_arready": int(self.ready()),
            "m_axi_awready": int(self.ready()),
            "m_axi_wready": int(self.ready()),
            "m_axi_rvalid": int(bool(ready or keep_r)),
            "m_axi_rlast": int(bool(self.queue) and self.queue[0][1] == 1),
            "m_axi_bvalid": int(bool(answer)),
        }
        bench.drive(**self.driven)

    @property
    def rest(self) -> bool:
        """Nothing is outstanding."""
        return not (self.queue or self.bursts or self.beats or self.responses)


class GateBench(Bench):
    """Core, gate, memory."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.resetting = False
        self.ar_beats = 1
        self.board = self.scoreboard("rest")
        self.drive(dp_rst=0, cfg_close=0, s_axi_row_open=0)
        self.memory = self.add(Memory(self))
        self.core = self.add(Core(self))

    def memory_pins(self, beats: int) -> None:
        """The payload of AR goes around the gate."""
        if beats:
            self.ar_beats = beats

    def idle(self) -> bool:
        """Nothing is under way on either side."""
        return self.core.rest and self.memory.rest and not self.read("sts_stuck")

    async def rest(self) -> None:
        """Stop asking and wait until everything was answered."""
        self.core.running = False
        await self.until(self.idle, timeout=5000, what="answers")
        self.board.expect(True)
        self.board.check(self.core.rest and self.memory.rest)

    async def close(self) -> None:
        """Close the gate; everything taken is answered, nothing new begins."""
        self.drive(cfg_close=1)
        await self.until(lambda: bool(self.read("sts_rest")), timeout=5000, what="sts_rest")
        assert self.memory.rest

    async def dp_reset(self, cycles: int) -> None:
        """Reset the core."""
        self.resetting = True
        self.drive(dp_rst=1)
        await self.cycles(cycles)
        self.drive(dp_rst=0)
        self.resetting = False


@cocotb.test()
async def rates(dut: Any) -> None:
    """Every rate of the core with every rate of memory; closed and opened in between."""
    bench = GateBench(dut)
    for core in STALLS:
        for memory in STALLS:
            await bench.reset()
            bench.core.reads, bench.core.writes = bench.stall(core), bench.stall(core)
            bench.memory.ready, bench.memory.answer = bench.stall(memory), bench.stall(memory)
            bench.core.running = True
            await bench.cycles(120)
            await bench.close()
            await bench.cycles(20)
            assert bench.memory.rest and bench.read("sts_rest")
            bench.drive(cfg_close=0)
            await bench.cycles(60)
            await bench.rest()
    assert bench.core.answered > 100
    await bench.drain()


@cocotb.test()
async def reset_of_the_core(dut: Any) -> None:
    """At any moment: stale answers are kept away, a cut write burst is finished with empty strobes."""
    bench = GateBench(dut)
    await bench.reset()
    stuck = 0
    for turn in range(60):
        bench.core.running = True
        await bench.cycles(bench.random.randrange(1, 80))
        if turn % 3 == 0:
            await bench.close()
        await bench.dp_reset(bench.random.randrange(2, 6))
        bench.drive(cfg_close=0)
        stuck += bench.read("sts_stuck")
        bench.core.running = True
        await bench.cycles(bench.random.randrange(1, 80))
        await bench.rest()
    assert stuck > 5 and bench.memory.void_beats > 0
    await bench.drain()


@cocotb.test()
async def silent_memory(dut: Any) -> None:
    """While old answers are owed no address leaves; when they came, the gate opens by itself."""
    bench = GateBench(dut)
    await bench.reset()
    for _ in range(5):
        bench.core.running = True
        await bench.until(lambda: bool(bench.memory.queue), what="a read")
        bench.memory.silent = True
        await bench.cycles(30)
        await bench.dp_reset(3)
        bench.core.running = True
        await bench.cycles(200)
        assert bench.read("sts_stuck") and not bench.read("m_axi_arvalid")
        bench.memory.silent = False
        await bench.rest()
        assert not bench.read("sts_stuck")
    await bench.drain()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset of everything, memory too, leaves the gate open and at rest."""
    bench = GateBench(dut)
    for _ in range(20):
        await bench.reset()
        bench.core.running = True
        await bench.cycles(bench.random.randrange(1, 80))
        await bench.reset(bench.random.randrange(1, 4))
        assert not bench.read("sts_stuck")
        bench.core.running = True
        await bench.cycles(60)
        await bench.rest()
    await bench.drain()


@pytest.mark.parametrize("reads", [128, 4096])
def test_axi_gate(reads: int) -> None:
    """As many reads as the bench ever has outstanding, and as the core is built with."""
    build_and_test("embnic_axi_gate", "test_axi_gate", params={"READS": reads})


@pytest.mark.parametrize("reads", [1, 100])
def test_illegal_reads_do_not_build(reads: int) -> None:
    """READS is a power of two."""
    expect_build_failure("embnic_axi_gate", {"READS": reads}, "READS must be a power of two")
