# SPDX-License-Identifier: Apache-2.0
"""The bench of an RTL module: clock, reset, and the agents and scoreboards around the DUT.

One coroutine runs per bench: at every rising edge each agent (source, sink, monitor, memory)
samples its pins as they were before the edge and drives what follows it. An agent's `tick` is a
plain function, which is why 30,000 beats per second pass. A word of a stream is one int (the whole
payload vector); with further fields (tkeep, tlast, tuser) it is a tuple in the order of `fields`.
A complete bench, tests/rtl/test_example.py:

    import cocotb
    from embnic_sim.bench import Bench
    from embnic_sim.runner import build_and_test, expect_build_failure
    from embnic_sim.streams import STALLS
    from embnic_sim.structs import load_structs

    class ScaleBench(Bench):
        def __init__(self, dut):
            super().__init__(dut)                            # starts the clock, prints the seed
            self.op_t = load_structs()["op_t"]
            self.source = self.stream_source("s_axis_op")    # drives tdata/tvalid, reads tready
            # The scoreboard prints fields when two words differ; the sink gives it every word.
            self.board = self.scoreboard("result", struct=self.op_t)
            self.sink = self.stream_sink("m_axis_result", self.board.check)
            self.rows = self.count("evt_row")                # self.rows.total: sum of the pulses
            # Answers desc_rd_en/addr/data 2 cycles later, from a dict, a list or a callable.
            self.table = self.ram_read_port("desc_rd", {3: 77})

        def send(self, word):                                # stimulus and expectation together
            self.source.send(word)
            self.board.expect(self.op_t.pack(self.op_t.unpack(word) | {"last": 1}))

    @cocotb.test()
    async def stall_matrix(dut):                             # NOT named test_*, for pytest's sake
        bench = ScaleBench(dut)
        for source_stall in STALLS:
            for sink_stall in STALLS:
                await bench.reset()                          # also empties sources, scoreboards
                bench.source.stall = bench.stall(source_stall)
                bench.sink.stall = bench.stall(sink_stall)
                for _ in range(200):
                    bench.send(bench.op_t.pack(row=bench.random.getrandbits(48), slot=3))
                await bench.drain()      # all sent, all expected seen, >= 1 compared, DUT quiet

    @cocotb.test()
    async def reset_in_traffic(dut):
        bench = ScaleBench(dut)
        await bench.reset_in_traffic(lambda: [bench.send(n) for n in range(50)], times=20)

    def test_example():
        for width in (1, 512):
            build_and_test("embnic_example", "test_example", params={"WIDTH": width})

    def test_bad_width():
        expect_build_failure("embnic_example", {"WIDTH": 0}, "WIDTH must be at least 1")

Further:

- `bench.drive(name=value, ...)` sets plain inputs, `bench.read("sts_count")` reads;
- `await bench.cycles(n)`; `await bench.until(lambda: ..., timeout=...)`;
- `bench.pulse_source("beat", ["beat_info", "beat_data"])` drives beat_valid and its fields;
- `bench.monitor("bag_done_valid", ["bag_done_ctx", ...], callback)` sees valid-only ports; the
  callback gets an int or a tuple;
- `bench.ram_write_port("ks_wr", store)` fills a dict;
- `bench.axi_memory("m_axi", size)` is card memory with latency, reordering, gaps and errors;
- `bench.idle` may be overridden to say when the DUT is idle (default: sts_idle if there is one);
- `bench.params` are the parameters the module was built with.
"""

from __future__ import annotations

import ast
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from embnic_sim.memories import AxiMemory, RamReadPort, RamWritePort
from embnic_sim.scoreboard import Scoreboard
from embnic_sim.streams import STALLS, Counter, Monitor, Pin, Sink, Source, Stall, Word
from embnic_sim.structs import StructType

__all__ = ["Bench"]


class Bench:
    """Clock, reset, agents and scoreboards of one bench; derive from it, or use it as it is."""

    clock_ns = 4

    def __init__(self, dut: Any, *, reset: str | None = "rst", clock: str = "clk") -> None:
        """`reset=None` is for a module without reset: it runs from the first edge.

        A module with two clocks has one bench a domain: `reset="rst_wr", clock="clk_wr"`.
        """
        self.dut = dut
        self._reset_name = reset
        self.seed = int(os.environ.get("EMBNIC_SEED", "1"))
        self.random = random.Random(self.seed)
        self.params: dict[str, Any] = ast.literal_eval(os.environ.get("EMBNIC_PARAMS", "{}"))
        self.cycle = 0
        self._pins: dict[str, Pin] = {}
        self._agents: list[Any] = []
        self._scoreboards: list[Scoreboard] = []
        self._sources: list[Source] = []
        self._in_reset = reset is not None
        dut._log.info("seed %d, parameters %s", self.seed, self.params)
        self._clock = getattr(dut, clock)
        self._edge = RisingEdge(self._clock)
        self.start_clock()
        if reset is not None:
            self.pin(reset).write(1)
        cocotb.start_soon(self._run())

    def start_clock(self) -> None:
        """Start the clock; override for another period."""
        Clock(self._clock, self.clock_ns, unit="ns").start(start_high=False)

    async def _run(self) -> None:
        edge, agents = self._edge, self._agents
        while True:
            await edge
            self.cycle += 1
            if not self._in_reset:
                for agent in agents:
                    agent.tick()

    # Pins

    def pin(self, name: str) -> Pin:
        """Return the pin of the DUT with this name."""
        if name not in self._pins:
            self._pins[name] = Pin(getattr(self.dut, name))
        return self._pins[name]

    def has(self, name: str) -> bool:
        """Return whether the DUT has a port or signal of this name."""
        try:
            return hasattr(self.dut, name)
        except AttributeError:
            return False

    def read(self, name: str) -> int:
        """Return a signal's value."""
        return self.pin(name).read()

    def drive(self, **values: int) -> None:
        """Drive plain inputs."""
        for name, value in values.items():
            self.pin(name).write(value)

    # Agents

    def add(self, agent: Any) -> Any:
        """Register an object with tick() and reset(); returns it."""
        self._agents.append(agent)
        if isinstance(agent, Source):
            self._sources.append(agent)
        return agent

    def stall(self, name: str) -> Stall:
        """Return a new stall pattern of STALLS, seeded from the bench."""
        return STALLS[name](random.Random(self.random.getrandbits(64)))

    def _stream_fields(self, prefix: str, fields: Sequence[str] | None) -> list[Pin]:
        if fields is None:
            fields = [
                name
                for name in ("tdata", "tkeep", "tlast", "tuser")
                if self.has(f"{prefix}_{name}")
            ]
        return [self.pin(f"{prefix}_{name}") for name in fields]

    def stream_source(self, prefix: str, *, fields: Sequence[str] | None = None) -> Source:
        """Drive stream `prefix`_tdata/tvalid/tready; words are ints, or tuples over tdata, tkeep,
        tlast, tuser.
        """
        ready = self.pin(f"{prefix}_tready") if self.has(f"{prefix}_tready") else None
        return self.add(
            Source(self.pin(f"{prefix}_tvalid"), ready, self._stream_fields(prefix, fields))
        )

    def stream_sink(
        self, prefix: str, callback: Callable[[Word], None], *, fields: Sequence[str] | None = None
    ) -> Sink:
        """Take the words of stream `prefix`."""
        pins = self._stream_fields(prefix, fields)
        return self.add(
            Sink(self.pin(f"{prefix}_tvalid"), self.pin(f"{prefix}_tready"), pins, callback)
        )

    def pulse_source(self, prefix: str, fields: Sequence[str]) -> Source:
        """Drive `prefix`_valid with these ports (full names), and wait for `prefix`_ready only if
        it exists.
        """
        ready = self.pin(f"{prefix}_ready") if self.has(f"{prefix}_ready") else None
        return self.add(
            Source(self.pin(f"{prefix}_valid"), ready, [self.pin(name) for name in fields])
        )

    def monitor(
        self,
        valid: str,
        fields: Sequence[str],
        callback: Callable[[Word], None],
        *,
        ready: str | None = None,
    ) -> Monitor:
        """Watch ports (full names) in cycles in which `valid` is high."""
        pins = [self.pin(name) for name in fields]
        return self.add(
            Monitor(self.pin(valid), pins, callback, self.pin(ready) if ready else None)
        )

    def count(self, name: str) -> Counter:
        """Sum an evt_* output."""
        return self.add(Counter(self.pin(name)))

    def scoreboard(
        self, name: str, *, struct: StructType | None = None, ordered: bool = True
    ) -> Scoreboard:
        """Return a scoreboard that `drain` will hold to account."""
        board = Scoreboard(name, struct, ordered)
        self._scoreboards.append(board)
        return board

    def ram_read_port(self, prefix: str, store: Any, *, latency: int = 2) -> RamReadPort:
        """Answer a RAM read port from a dict (absent = 0), list or callable."""
        pins = [self.pin(f"{prefix}_{name}") for name in ("en", "addr", "data")]
        return self.add(RamReadPort(*pins, store, latency))

    def ram_write_port(
        self, prefix: str, store: Any, callback: Callable[[int, int], None] | None = None
    ) -> RamWritePort:
        """Keep what a RAM write port writes. Register a read port of the same store first: a read
        sees the old word.
        """
        pins = [self.pin(f"{prefix}_{name}") for name in ("en", "addr", "data")]
        return self.add(RamWritePort(*pins, store, callback))

    def axi_memory(self, prefix: str, size: int) -> AxiMemory:
        """Put an AXI4 memory behind master port `prefix`: read channels, write channels, both."""
        names = [
            f"{channel}{field}"
            for channel, fields in {
                "ar": "valid ready addr len size burst id",
                "r": "valid ready data resp last id",
                "aw": "valid ready addr len size burst id",
                "w": "valid ready data strb last",
                "b": "valid ready resp id",
            }.items()
            for field in fields.split()
        ]
        pins = {
            name: self.pin(f"{prefix}_{name}") for name in names if self.has(f"{prefix}_{name}")
        }
        return self.add(AxiMemory(pins, size, random.Random(self.random.getrandbits(64))))

    # Time

    async def cycles(self, number: int = 1) -> None:
        """Wait for clock edges."""
        for _ in range(number):
            await self._edge

    async def until(
        self, condition: Callable[[], bool], *, timeout: int = 20_000, what: str = "condition"
    ) -> None:
        """Wait until `condition()` is true after an edge; AssertionError after `timeout` cycles."""
        for _ in range(timeout):
            if condition():
                return
            await self._edge
        raise AssertionError(f"{what} did not come true in {timeout} cycles; {self._state()}")

    async def reset(self, cycles: int = 4) -> None:
        """Hold rst for some cycles; sources, memories and scoreboards forget what they had."""
        assert self._reset_name is not None, "this bench was made without a reset"
        self._in_reset = True
        self.pin(self._reset_name).write(1)
        for agent in self._agents:
            agent.reset()
        for board in self._scoreboards:
            board.reset()
        await self.cycles(cycles)
        self.pin(self._reset_name).write(0)
        await self.cycles(1)
        self._in_reset = False

    async def reset_in_traffic(
        self,
        start: Callable[[], object],
        *,
        times: int = 10,
        within: int = 60,
        timeout: int = 20_000,
    ) -> None:
        """Reset at random moments of the traffic that `start()` queues, then check that a whole run
        is right.

        Before each reset and in the final run words are compared as always.
        """
        await self.reset()
        for _ in range(times):
            start()
            await self.cycles(self.random.randrange(1, within))
            await self.reset(self.random.randrange(1, 4))
            start()
            await self.drain(timeout=timeout)

    def idle(self) -> bool:
        """Return whether the DUT says it is idle; override when `sts_idle` is not enough."""
        return not self.has("sts_idle") or bool(self.read("sts_idle"))

    def _state(self) -> str:
        boards = ", ".join(
            f"{b.name}: {len(b.expected)} expected, {b.compared} compared"
            for b in self._scoreboards
        )
        queued = sum(len(source.queue) for source in self._sources)
        boards = boards or "no scoreboard"
        return f"{queued} words unsent; {boards}; idle {self.idle()}; seed {self.seed}"

    def _finished(self) -> bool:
        return (
            all(source.empty for source in self._sources)
            and not any(board.expected for board in self._scoreboards)
            and all(agent.idle for agent in self._agents if isinstance(agent, AxiMemory))
            and self.idle()
        )

    async def drain(self, *, timeout: int = 200_000, quiet: int = 40) -> None:
        """Wait until all is sent, all expected came and the DUT is idle, then watch `quiet` cycles
        for strays.

        Every scoreboard must have compared at least once since the bench began.
        """
        await self.until(self._finished, timeout=timeout, what="drain")
        await self.cycles(quiet)
        assert self._finished(), f"not idle after drain: {self._state()}"
        idle_boards = [board.name for board in self._scoreboards if not board.compared]
        assert self._scoreboards, "a bench needs at least one scoreboard"
        assert not idle_boards, f"nothing was compared by {idle_boards}"
