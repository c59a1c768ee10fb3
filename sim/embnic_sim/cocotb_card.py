# SPDX-License-Identifier: Apache-2.0
"""The core inside a cocotb bench behind the host's Bus, Memory and Link: the same driver runs there.

    bench = Bench(dut)
    card = CocotbCard(bench)                      # puts agents on the ports of embnic_core
    await bench.reset()

    def host():                                   # plain blocking code, the host's own
        with Engine(tables, attach_rtl(tables, card, config="tiny")) as engine:
            engine.load("items", rows)
            return engine.lookup(bags)

    pooled = await cocotb.task.bridge(host)()

The blocking methods (`read32`, `write32`, `recv` with a timeout) run only in a function that was
started with `cocotb.task.bridge`; the others work anywhere. Time is the simulation's: it advances
while a blocking method waits and while the bench's own coroutines wait, and never else. Host writes
to card memory take no time. A register access that is not answered raises DeviceTimeout; a call
after the end of the simulated test raises ClosedError.

`card.memory` is the AXI memory and `card.rx`, `card.tx` are the ends of the frame streams, with
their knobs; `card.stall` holds up the register channels in random cycles.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from cocotb.task import resume
from numpy.typing import NDArray

from embnic.errors import ClosedError, ConfigError, DeviceFault, DeviceTimeout
from embnic.wire import FrameBatch
from embnic_sim.bench import Bench
from embnic_sim.channels import Regions
from embnic_sim.streams import Sink, Source, Stall

__all__ = ["REGISTER_TIMEOUT_CYCLES", "CardPins", "CocotbCard"]

REGISTER_TIMEOUT_CYCLES = 4096
_OKAY = 0


class _Access:
    """One register access: what came back, once it has."""

    def __init__(self) -> None:
        self.response: int | None = None
        self.value = 0


@dataclass(frozen=True)
class CardPins:
    """Names of the pins: those of embnic_core, or of a shell's wrapper around it."""

    rx: str = "s_axis_rx"
    tx: str = "m_axis_tx"
    axil: str = "s_axil"
    memory: str = "m_axi"
    data_w: int = 0  # bits of a beat; 0: the parameter DATA_W of the module
    register_step: int = 4  # bytes of the bus between two registers


class CocotbCard:
    """Bus, Memory and Link of the embnic_core that `bench` drives.

    bench         of embnic_core or a wrapper; its reset is the card's.
    memory_bytes  size of card memory; an access of the core outside of it fails the test.
    memory        what stands behind a wrapper's other port of memory; its `data` are the bytes.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        memory_bytes: int = 1 << 20,
        pins: CardPins | None = None,
        memory: Any = None,
    ) -> None:
        pins = pins or CardPins()
        self._bench = bench
        self._cycle_seconds = bench.clock_ns * 1e-9
        self._ended = False
        self.memory = bench.axi_memory(pins.memory, memory_bytes) if memory is None else memory
        self._regions = Regions(len(self.memory.data), larger="CocotbCard(memory_bytes=...)")
        self._step = (pins.data_w or int(bench.params["DATA_W"])) // 8
        self._register_step = pins.register_step
        self.rx: Source = bench.stream_source(pins.rx)
        self.tx: Sink = bench.stream_sink(
            pins.tx, self._take_beat, fields=("tdata", "tkeep", "tlast")
        )
        self._rx_fields = 4 if bench.has(f"{pins.rx}_tuser") else 3
        self._parts: list[bytes] = []
        self._received: deque[bytes] = deque()
        self.received = 0  # frames that left the core whole, since it was made

        pin = bench.pin
        self._sources = {
            channel: bench.add(
                Source(
                    pin(f"{pins.axil}_{channel}valid"),
                    pin(f"{pins.axil}_{channel}ready"),
                    [
                        pin(f"{pins.axil}_{channel}{name}")
                        for name in names
                        if bench.has(f"{pins.axil}_{channel}{name}")
                    ],
                )
            )
            for channel, names in {
                "aw": ("addr", "prot"),
                "w": ("data", "strb"),
                "ar": ("addr", "prot"),
            }.items()
        }
        self._sinks = {
            channel: bench.add(
                Sink(
                    pin(f"{pins.axil}_{channel}valid"),
                    pin(f"{pins.axil}_{channel}ready"),
                    [pin(f"{pins.axil}_{channel}{name}") for name in names],
                    answered,
                )
            )
            for channel, names, answered in (
                ("b", ("resp",), self._written),
                ("r", ("resp", "data"), self._read),
            )
        }
        self._reads: deque[_Access] = deque()
        self._writes: deque[_Access] = deque()
        bench.add(self)

    # Agent of the bench

    def tick(self) -> None:
        """One clock edge: the agents of the ports do the work."""

    def reset(self) -> None:
        """Forget what was under way; frames that had left whole are still received."""
        self._parts.clear()
        self._reads.clear()
        self._writes.clear()

    def stall(self, pattern: Callable[[], Stall]) -> None:
        """Hold up every register channel by its own `pattern()`."""
        for agent in (*self._sources.values(), *self._sinks.values()):
            agent.stall = pattern()

    def _take_beat(self, beat: tuple[int, int, int]) -> None:
        data, keep, last = beat
        count = keep.bit_length()
        assert keep and keep == (1 << count) - 1, f"m_axis_tx_tkeep {keep:#x} has holes"
        assert last or count == self._step, f"m_axis_tx_tkeep {keep:#x} within a frame"
        self._parts.append(data.to_bytes(self._step, "little")[:count])
        if last:
            self._received.append(b"".join(self._parts))
            self._parts.clear()
            self.received += 1

    def _written(self, response: int) -> None:
        access = self._writes.popleft()
        access.response = response

    def _read(self, word: tuple[int, int]) -> None:
        access = self._reads.popleft()
        access.response, access.value = word

    # Waiting

    def _wait(self, condition: Callable[[], bool], cycles: int) -> bool:
        """Let the simulation run until `condition()`, at most `cycles`; return what it is then."""
        self._refuse_if_ended("waiting")
        return bool(resume(self._wait_in_simulation)(condition, cycles))

    async def _wait_in_simulation(self, condition: Callable[[], bool], cycles: int) -> bool:
        finished = False
        try:
            for _ in range(cycles):
                if condition():
                    break
                await self._bench.cycles(1)
            finished = True
        finally:
            # The test ended under us: the host's thread must find its way out without simulation.
            self._ended = self._ended or not finished
        return condition()

    def _refuse_if_ended(self, call: str) -> None:
        if self._ended:
            raise ClosedError(f"CocotbCard: {call}")

    # Bus

    def read32(self, offset: int) -> int:
        """Return a register's value."""
        return self._register(offset, None)

    def write32(self, offset: int, value: int) -> None:
        """Write a register; returns when the core answered."""
        self._register(offset, value)

    def _register(self, offset: int, value: int | None) -> int:
        if offset % 4 or not 0 <= offset < 4096 or not 0 <= (value or 0) < 1 << 32:
            raise ConfigError(
                f"Register offset {offset:#x}, value {value}.",
                allowed="offsets 0 .. 0xffc in steps of 4, values of 32 bits.",
                do="Use the names of embnic.registers.",
            )
        doing = f"{'reading' if value is None else 'writing'} register {offset:#05x}"
        self._refuse_if_ended(doing)
        access = _Access()
        # One that timed out stays in the queue, so that a late answer goes to it and to no other.
        place = offset // 4 * self._register_step
        if value is None:
            self._reads.append(access)
            self._ask("ar", place, 0)
        else:
            self._writes.append(access)
            self._ask("aw", place, 0)
            self._ask("w", value, 0xF)
        if not self._wait(lambda: access.response is not None, REGISTER_TIMEOUT_CYCLES):
            raise DeviceTimeout(
                doing,
                waited=REGISTER_TIMEOUT_CYCLES * self._cycle_seconds,
                do="reset the core, then reattach().",
            )
        if access.response != _OKAY:
            raise DeviceFault(
                doing, code=access.response or 0, do="use an offset of the register map."
            )
        return access.value

    def _ask(self, channel: str, *word: int) -> None:
        source = self._sources[channel]
        source.send(word[0] if source.fields == 1 else word)

    # Memory

    def alloc(self, nbytes: int, align: int = 4096) -> int:
        """Return the address of `nbytes` unused bytes of card memory."""
        return self._regions.spread(nbytes, align)

    def read(self, addr: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of `nbytes` bytes from `addr`: uint8, shape [nbytes]."""
        self._check_inside(addr, nbytes)
        return np.frombuffer(bytes(self.memory.data[addr : addr + nbytes]), np.uint8).copy()

    def write(self, addr: int, data: NDArray[np.uint8]) -> None:
        """Write `data` (uint8, one-dimensional) at `addr`."""
        if data.dtype != np.uint8:
            raise ConfigError(
                f"The data are {data.dtype}.", allowed="uint8.", do="Use data.view(numpy.uint8)."
            )
        raw = np.ascontiguousarray(data).tobytes()
        self._check_inside(addr, len(raw))
        self.memory.data[addr : addr + len(raw)] = raw

    def sync(self) -> None:
        """Return when earlier writes are visible to the core: they already are."""
        self._refuse_if_ended("synchronising card memory")

    def _check_inside(self, addr: int, nbytes: int) -> None:
        self._refuse_if_ended("card memory")
        if addr < 0 or nbytes < 0 or addr + nbytes > len(self.memory.data):
            raise ConfigError(
                f"{nbytes:,} bytes at {addr:#x} are not all inside card memory.",
                allowed=f"addresses 0 .. {len(self.memory.data) - 1:#x}.",
                do="Use an address from alloc().",
            )

    # Link

    def send(self, frames: FrameBatch, *, bad: NDArray[np.bool_] | None = None) -> None:
        """Queue frames towards the core; `bad[i]` marks frame i as damaged on the line (tuser)."""
        self._refuse_if_ended("send")
        step = self._step
        for number, frame in enumerate(frames.to_list()):
            if not frame:
                raise ConfigError(
                    f"Frame {number} is empty.",
                    allowed="frames of 1 byte and more.",
                    do="Build the batch with embnic.wire.",
                )
            end = (len(frame) - 1) // step * step
            tail = frame[end:]
            words = [
                (int.from_bytes(frame[at : at + step], "little"), (1 << step) - 1, 0, 0)[
                    : self._rx_fields
                ]
                for at in range(0, end, step)
            ]
            damaged = int(bad is not None and bool(bad[number]))
            last = (int.from_bytes(tail, "little"), (1 << len(tail)) - 1, 1, damaged)
            self.rx.send(*words, last[: self._rx_fields])

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        """Return up to `max_frames` frames, waiting at most `timeout` simulated seconds for the
        first.
        """
        self._refuse_if_ended("recv")
        if timeout > 0 and not self._received:
            # Any wait takes at least one cycle, so that a caller's loop on clock() ends.
            cycles = max(math.ceil(timeout / self._cycle_seconds - 1e-3), 1)
            self._wait(lambda: bool(self._received), cycles)
        count = min(max(max_frames, 0), len(self._received))
        if not count:
            return FrameBatch.empty()
        return FrameBatch.from_list([self._received.popleft() for _ in range(count)])

    def clock(self) -> float:
        """Return seconds on the simulation's clock, which go on in reset."""
        return self._bench.cycle * self._cycle_seconds

    def close(self) -> None:
        """Give the card back: frames that nobody took are dropped. The bench keeps running."""
        self._received.clear()
