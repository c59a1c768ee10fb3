# SPDX-License-Identifier: Apache-2.0
"""What the benches of the RTL modules are made of: clock, streams, scoreboards, memories, structs.

One coroutine runs per bench: at every rising edge each agent (source, sink, monitor, memory)
samples its pins as they were before the edge and drives what follows it. An agent's `tick` is a
plain function, which is why 30,000 beats per second pass. A word of a stream is one int (the whole
payload vector); with further fields (tkeep, tlast, tuser) it is a tuple in the order of `fields`.
A complete bench, tests/rtl/test_example.py:

    import cocotb
    from embnic_sim.bench import STALLS, Bench, load_structs
    from embnic_sim.runner import build_and_test, expect_build_failure

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
from collections import deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from embnic_sim.structs import Structs, StructType, load_structs

__all__ = [
    "STALLS",
    "AxiMemory",
    "Bench",
    "Counter",
    "Monitor",
    "Pin",
    "Scoreboard",
    "Sink",
    "Source",
    "StructType",
    "Structs",
    "chunks",
    "load_structs",
]

Word = Any  # int, or a tuple of ints when the stream has several fields
Stall = Callable[[], bool]  # True: go in this cycle


def _always(_: random.Random) -> Stall:
    return lambda: True


def _half(rng: random.Random) -> Stall:
    return lambda: rng.random() < 0.5


def _rare(rng: random.Random) -> Stall:
    return lambda: rng.random() < 0.1


def _bursty(rng: random.Random) -> Stall:
    state = {"go": True, "left": 0}

    def go() -> bool:
        if state["left"] == 0:
            state["go"] = not state["go"]
            state["left"] = rng.randrange(1, 12)
        state["left"] -= 1
        return bool(state["go"])

    return go


def _alternate(_: random.Random) -> Stall:
    state = {"go": False}

    def go() -> bool:
        state["go"] = not state["go"]
        return state["go"]

    return go


# Named patterns for both sides of a stream; the stall matrix is every pair.
STALLS: Mapping[str, Callable[[random.Random], Stall]] = {
    "never": _always,
    "half": _half,
    "bursty": _bursty,
    "alternate": _alternate,
    "mostly": _rare,
}


class Pin:
    """One signal of the DUT, read and written as int; a write is skipped when the value did not
    change.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._read = handle._handle.get_signal_val_binstr
        self._last: int | None = None
        self.width = len(handle)
        self.name: str = handle._name

    def read(self) -> int:
        """Return the value; raises ValueError on an unknown bit."""
        return int(self._read(), 2)

    def write(self, value: int) -> None:
        """Drive from this edge on."""
        if value != self._last:
            self._handle.value = value
            self._last = value


class Source:
    """Drives a stream: `send` queues words, each held until taken. Without a ready pin every word
    lasts one cycle.
    """

    def __init__(self, valid: Pin, ready: Pin | None, fields: Sequence[Pin]) -> None:
        self._valid, self._ready, self._fields = valid, ready, list(fields)
        self._single = len(self._fields) == 1
        self.queue: deque[Word] = deque()
        self.stall: Stall = lambda: True
        self.sent = 0
        self.on_sent: Callable[[Word], None] | None = None
        self._busy = False
        self.idle_value: Callable[[], int] | None = (
            None  # what the fields carry while invalid; default: hold
        )
        self.reset()

    def send(self, *words: Word) -> None:
        """Queue words."""
        self.queue.extend(words)

    @property
    def fields(self) -> int:
        """How many fields a word has."""
        return len(self._fields)

    @property
    def empty(self) -> bool:
        """Nothing queued and nothing on the pins."""
        return not self.queue and not self._busy

    def reset(self) -> None:
        """Forget what is queued and drop valid."""
        self.queue.clear()
        self._busy = False
        self._valid.write(0)
        for pin in self._fields:
            pin.write(0)

    def tick(self) -> None:
        """One clock edge."""
        if self._busy:
            if self._ready is not None and not self._ready.read():
                return
            self._busy = False
            self.sent += 1
            word = self.queue.popleft()
            if self.on_sent is not None:
                self.on_sent(word)
        if self.queue and self.stall():
            word = self.queue[0]
            if self._single:
                self._fields[0].write(word)
            else:
                for pin, value in zip(self._fields, word, strict=True):
                    pin.write(value)
            self._valid.write(1)
            self._busy = True
        else:
            self._valid.write(0)
            if self.idle_value is not None:
                for pin in self._fields:
                    pin.write(self.idle_value() & ((1 << pin.width) - 1))


class Sink:
    """Takes words from a stream and hands each to `callback`; `stall` decides in which cycles ready
    is high.
    """

    def __init__(
        self, valid: Pin, ready: Pin, fields: Sequence[Pin], callback: Callable[[Word], None]
    ) -> None:
        self._valid, self._ready, self._fields = valid, ready, list(fields)
        self._single = len(self._fields) == 1
        self._callback = callback
        self.stall: Stall = lambda: True
        self.taken = 0
        self._is_ready = False
        self.reset()

    def reset(self) -> None:
        """Drop ready."""
        self._is_ready = False
        self._ready.write(0)

    def tick(self) -> None:
        """One clock edge."""
        if self._is_ready and self._valid.read():
            self.taken += 1
            if self._single:
                self._callback(self._fields[0].read())
            else:
                self._callback(tuple(pin.read() for pin in self._fields))
        self._is_ready = self.stall()
        self._ready.write(int(self._is_ready))


class Monitor:
    """Calls `callback` with the fields in every cycle in which `valid` (and `ready`, if given) is
    high.
    """

    def __init__(
        self,
        valid: Pin,
        fields: Sequence[Pin],
        callback: Callable[[Word], None],
        ready: Pin | None = None,
    ) -> None:
        self._valid, self._ready, self._fields, self._callback = (
            valid,
            ready,
            list(fields),
            callback,
        )
        self.seen = 0

    def reset(self) -> None:
        """Nothing to forget."""

    def tick(self) -> None:
        """One clock edge."""
        if self._valid.read() and (self._ready is None or self._ready.read()):
            self.seen += 1
            if len(self._fields) == 1:
                self._callback(self._fields[0].read())
            else:
                self._callback(tuple(pin.read() for pin in self._fields))


class Counter:
    """Sums an `evt_*` output over all cycles: pulses, or counts valid in their cycle. Reset does
    not clear it.
    """

    def __init__(self, pin: Pin) -> None:
        self._pin = pin
        self.total = 0

    def reset(self) -> None:
        """Nothing: totals are over the whole test."""

    def tick(self) -> None:
        """One clock edge."""
        self.total += self._pin.read()


class Scoreboard:
    """Expected words against words seen, in order; unordered with `ordered=False`."""

    def __init__(self, name: str, struct: StructType | None = None, ordered: bool = True) -> None:
        self.name, self.struct, self.ordered = name, struct, ordered
        self.expected: deque[Word] = deque()
        self.compared = 0
        self.enabled = True

    def expect(self, *words: Word) -> None:
        """Queue what must come."""
        self.expected.extend(words)

    def check(self, word: Word) -> None:
        """Compare one word seen with the next expected."""
        if not self.enabled:
            return
        if not self.expected:
            raise AssertionError(
                f"{self.name}: word {self.compared} = {self._text(word)} came, nothing was expected"
            )
        if not self.ordered:
            if word not in self.expected:
                raise AssertionError(
                    f"{self.name}: {self._text(word)} came, expected any of {len(self.expected)}"
                )
            self.expected.remove(word)
        else:
            wanted = self.expected.popleft()
            if word != wanted:
                raise AssertionError(
                    f"{self.name}: word {self.compared} differs\n{self._difference(word, wanted)}"
                )
        self.compared += 1

    def reset(self) -> None:
        """Forget what was expected; the number of comparisons stays."""
        self.expected.clear()

    def _text(self, word: Word) -> str:
        if isinstance(word, tuple):
            return (
                "("
                + ", ".join(
                    f"{value:#x}" if isinstance(value, int) else repr(value) for value in word
                )
                + ")"
            )
        return f"{word:#x}" if isinstance(word, int) else repr(word)

    def _difference(self, word: Word, wanted: Word) -> str:
        lines = [f"  seen     {self._text(word)}", f"  expected {self._text(wanted)}"]
        if self.struct is not None and isinstance(word, int) and isinstance(wanted, int):
            seen, want = self.struct.unpack(word), self.struct.unpack(wanted)
            lines += [
                f"  .{key}: seen {seen[key]!r}, expected {want[key]!r}"
                for key in seen
                if seen[key] != want[key]
            ]
        return "\n".join(lines)


class RamReadPort:
    """Answers <prefix>_en/_addr/_data as an embnic_ram_1r1w with OUT_REG does: data 2 cycles after
    enable.
    """

    def __init__(self, enable: Pin, addr: Pin, data: Pin, store: Any, latency: int) -> None:
        self._enable, self._addr, self._data, self._latency = enable, addr, data, latency
        self.store = store
        self._read_q = 0
        self.reads = 0

    def reset(self) -> None:
        """RAM keeps its contents."""

    def _fetch(self, addr: int) -> int:
        if callable(self.store):
            return int(self.store(addr))
        if isinstance(self.store, Mapping):
            return int(self.store.get(addr, 0))
        return int(self.store[addr])

    def tick(self) -> None:
        """One clock edge."""
        if self._latency == 2:
            self._data.write(self._read_q)
        if self._enable.read():
            self.reads += 1
            self._read_q = self._fetch(self._addr.read())
        if self._latency == 1:
            self._data.write(self._read_q)


class RamWritePort:
    """Keeps what <prefix>_en/_addr/_data write in a dict (or list); `callback(addr, data)` sees
    each write.
    """

    def __init__(
        self,
        enable: Pin,
        addr: Pin,
        data: Pin,
        store: Any,
        callback: Callable[[int, int], None] | None,
    ) -> None:
        self._enable, self._addr, self._data, self._callback = enable, addr, data, callback
        self.store: MutableMapping[int, int] | list[int] = store
        self.writes = 0

    def reset(self) -> None:
        """RAM keeps its contents."""

    def tick(self) -> None:
        """One clock edge."""
        if self._enable.read():
            addr, data = self._addr.read(), self._data.read()
            self.store[addr] = data
            self.writes += 1
            if self._callback is not None:
                self._callback(addr, data)


class AxiMemory:
    """AXI4 memory behind the DUT's master port; checks the protocol rules that bind the master.

    Knobs: `latency` (lowest, highest cycles from AR to first R and from last W to B), `reorder`
    (answers of different IDs overtake each other; those of one ID never), `gap` (probability that a
    cycle carries no R beat), `ready_rate` (probability of ARREADY, AWREADY, WREADY), `errors(addr)`
    -> True answers SLVERR, `mute` (keeps write responses back), `window` (bytes that a burst may not
    leave). Checked: INCR, full-width beats, aligned, inside window and memory, payload stable.
    """

    def __init__(self, pins: Mapping[str, Pin], size: int, rng: random.Random) -> None:
        self._pins, self._rng = pins, rng
        self.data = bytearray(size)
        self.latency = (4, 20)
        self.reorder = True
        self.gap = 0.0
        self.ready_rate = 1.0
        self.window = 4096
        self.mute = False
        self.errors: Callable[[int], bool] = lambda addr: False
        self.on_write: Callable[[int, bytes], None] | None = None
        self.reads: list[tuple[int, int]] = []  # (address, beats) of every AR
        self.writes: list[tuple[int, int]] = []  # (address, beats) of every AW
        self.max_outstanding = 0
        self._bytes = pins["rdata" if "rdata" in pins else "wdata"].width // 8
        self.has_read, self.has_write = "arvalid" in pins, "awvalid" in pins
        self.reset()

    def reset(self) -> None:
        """Forget what is outstanding; memory keeps its contents."""
        self._cycle = 0
        self._read_queue: list[list[int]] = []  # [due, id, addr, beats left, error]
        self._r_busy: list[int] | None = None
        self._ready = {"ar": False, "aw": False, "w": False}
        self._aw: deque[tuple[int, int, int]] = deque()
        self._w: list[tuple[int, ...]] = []
        self._b_queue: list[tuple[int, int, int]] = []
        self._held: dict[str, tuple[int, ...]] = {}
        for name in ("arready", "rvalid", "awready", "wready", "bvalid"):
            if name in self._pins:
                self._pins[name].write(0)
        self._r_valid = self._b_valid = False

    @property
    def idle(self) -> bool:
        """Nothing outstanding."""
        return not (
            self._read_queue
            or self._r_valid
            or self._aw
            or self._w
            or self._b_queue
            or self._b_valid
        )

    def _value(self, name: str, default: int = 0) -> int:
        return self._pins[name].read() if name in self._pins else default

    def _handshake(self, channel: str, fields: Sequence[str]) -> tuple[int, ...] | None:
        """Return the fields when the channel transfers in this cycle; check that they hold while
        waiting.
        """
        if not self._pins[f"{channel}valid"].read():
            if channel in self._held:
                raise AssertionError(f"AXI: {channel}valid fell before {channel}ready")
            return None
        now = tuple(self._value(name) for name in fields)
        if channel in self._held and self._held[channel] != now:
            raise AssertionError(
                f"AXI: {channel} payload changed while waiting: {self._held[channel]} -> {now}"
            )
        if self._ready[channel]:
            self._held.pop(channel, None)
            return now
        self._held[channel] = now
        return None

    def _check_burst(self, kind: str, addr: int, beats: int, size: int, burst: int) -> None:
        end = addr + beats * self._bytes
        if (1 << size) != self._bytes or (burst != 1 and beats > 1) or addr % self._bytes:
            raise AssertionError(
                f"AXI {kind}: {addr:#x} size {size} burst {burst}: only full-width aligned INCR"
            )
        if addr // self.window != (end - 1) // self.window:
            raise AssertionError(
                f"AXI {kind}: {beats} beats at {addr:#x} leave their window of {self.window} bytes"
            )
        if end > len(self.data):
            raise AssertionError(
                f"AXI {kind}: {beats} beats at {addr:#x} leave memory ({len(self.data):#x})"
            )

    def tick(self) -> None:
        """One clock edge."""
        self._cycle += 1
        if self.has_read:
            self._tick_read()
        if self.has_write:
            self._tick_write()

    def _set_ready(self, channel: str) -> None:
        self._ready[channel] = self.ready_rate >= 1.0 or self._rng.random() < self.ready_rate
        self._pins[f"{channel}ready"].write(int(self._ready[channel]))

    def _tick_read(self) -> None:
        pins = self._pins
        accepted = self._handshake("ar", ("arid", "araddr", "arlen", "arsize", "arburst"))
        if accepted:
            ident, addr, length, size, burst = accepted
            self._check_burst("AR", addr, length + 1, size, burst)
            self.reads.append((addr, length + 1))
            due = self._cycle + self._rng.randint(*self.latency)
            self._read_queue.append([due, ident, addr, length + 1, int(self.errors(addr))])
            self.max_outstanding = max(
                self.max_outstanding, len(self._read_queue) + (self._r_busy is not None)
            )
        self._set_ready("ar")
        if self._r_valid and not pins["rready"].read():
            return
        self._r_valid = False
        if self._r_busy is None:
            self._r_busy = self._choose_read()
        if self._r_busy is None or (self.gap and self._rng.random() < self.gap):
            pins["rvalid"].write(0)
            return
        _, ident, addr, left, error = self._r_busy
        pins["rdata"].write(int.from_bytes(self.data[addr : addr + self._bytes], "little"))
        pins["rvalid"].write(1)
        for name, value in (("rid", ident), ("rresp", 2 * error), ("rlast", int(left == 1))):
            if name in pins:
                pins[name].write(value)
        self._r_valid = True
        self._r_busy = [0, ident, addr + self._bytes, left - 1, error] if left > 1 else None

    def _choose_read(self) -> list[int] | None:
        oldest: dict[int, list[int]] = {}
        for entry in self._read_queue:
            oldest.setdefault(entry[1], entry)
        ready = [entry for entry in oldest.values() if entry[0] <= self._cycle]
        if not self.reorder:
            ready = [entry for entry in ready if entry is self._read_queue[0]]
        if not ready:
            return None
        chosen = self._rng.choice(ready) if self.reorder else ready[0]
        self._read_queue.remove(chosen)
        return chosen

    def _tick_write(self) -> None:
        pins = self._pins
        address = self._handshake("aw", ("awid", "awaddr", "awlen", "awsize", "awburst"))
        if address:
            ident, addr, length, size, burst = address
            self._check_burst("AW", addr, length + 1, size, burst)
            self.writes.append((addr, length + 1))
            self._aw.append((ident, addr, length + 1))
        beat = self._handshake("w", ("wdata", "wstrb", "wlast"))
        if beat:
            self._w.append(beat)
        self._commit_writes()
        self._set_ready("aw")
        self._set_ready("w")
        if self._b_valid and pins["bready"].read():
            self._b_valid = False
        if not self._b_valid:
            due = [entry for entry in self._b_queue if entry[0] <= self._cycle and not self.mute]
            if due:
                self._b_queue.remove(due[0])
                if "bid" in pins:
                    pins["bid"].write(due[0][1])
                pins["bresp"].write(due[0][2])
                self._b_valid = True
        pins["bvalid"].write(int(self._b_valid))

    def _commit_writes(self) -> None:
        while self._aw and len(self._w) >= self._aw[0][2]:
            ident, addr, beats = self._aw.popleft()
            burst, self._w = self._w[:beats], self._w[beats:]
            error = self.errors(addr)
            if [last for _, _, last in burst] != [0] * (beats - 1) + [1]:
                raise AssertionError(
                    f"AXI: wlast is not on the last of the {beats} beats of the burst at {addr:#x}"
                )
            for number, (data, strobe, _) in enumerate(burst):
                base = addr + number * self._bytes
                raw = data.to_bytes(self._bytes, "little")
                for lane in range(self._bytes):
                    if strobe >> lane & 1 and not error:
                        self.data[base + lane] = raw[lane]
                if self.on_write is not None and not error:
                    self.on_write(base, raw)
            self._b_queue.append(
                (self._cycle + self._rng.randint(*self.latency), ident, 2 * int(error))
            )


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


def chunks(data: bytes, width: int) -> Iterable[int]:
    """Yield `data` as little-endian ints of `width` bits, the last one filled with zeros."""
    step = width // 8
    for offset in range(0, len(data), step):
        yield int.from_bytes(data[offset : offset + step], "little")
