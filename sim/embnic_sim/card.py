# SPDX-License-Identifier: Apache-2.0
"""The simulated card: the Verilated core behind the host's Bus, Memory and Link.

    with SimCard("tiny") as card:
        card.write32(0x014, 7)                  # SCRATCH
        addr = card.alloc(4096)
        card.write(addr, rows)
        card.send(frames)
        replies = card.recv(64, timeout=1e-4)   # seconds of the card's own clock

Nothing runs between calls: the core's clock advances only in `step`, `recv` and register accesses.
Host writes to card memory take no time. A card that was stopped (`stop_after`, `stop_on`) is dead:
registers and memory raise DeviceTimeout and no frame comes out any more, while its clock for
timeouts goes on; frames that had left whole before are still received.
"""

from __future__ import annotations

import ctypes
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embnic.errors import ClosedError, ConfigError, DeviceFault, DeviceTimeout
from embnic.gen.configs import CONFIGS, CoreConfig
from embnic.wire import FrameBatch
from embnic_sim.card_build import BuiltCard, build_card
from embnic_sim.card_library import (
    DECISION,
    STOPPED_BY_MODEL,
    CardStats,
    CardStruct,
    DramStruct,
    PeerStruct,
    Phase,
    StatsStruct,
    load_library,
)
from embnic_sim.card_models import DramModel, OwnerMemory, PeerModel
from embnic_sim.channels import Regions
from embnic_sim.frame_stamps import FrameStamps

__all__ = ["SimCard"]

_LOG = logging.getLogger("embnic.sim")

RESET_CYCLES = 16
REGISTER_TIMEOUT_CYCLES = 4096
# After the first frame of a receive, as a NIC's interrupt moderation waits for those close behind.
LINGER_CYCLES = 256
SLICE_CYCLES = 100_000  # simulated between two looks at the keyboard
PROBE_BITS = 32
LINE_GBPS = {"tiny": 25.0, "edge": 10.0, "line100": 100.0, "mini": 1.0}


class SimCard:
    """A card in this process: Bus, Memory and Link in one object, with knobs and faults.

    config    "tiny", "edge" or "line100".
    build     "fast" (assertions off) or "checked" (assertions on, random initial state).
    trace     file for waveforms of the whole run, or None.
    dram      timing and size of card memory.
    peer      timing of the other cards, which hold the rows of remote tables: `owners` is their memory.
    line_gbps line rate of both directions; None takes the configuration's, 0 a beat in every cycle.

    `model_seconds` is the wall-clock time spent inside the model; `build_name` says which build
    ran.
    """

    def __init__(
        self,
        config: str = "tiny",
        *,
        build: str = "fast",
        trace: str | Path | None = None,
        seed: int = 1,
        dram: DramModel | None = None,
        peer: PeerModel | None = None,
        line_gbps: float | None = None,
    ) -> None:
        if config not in CONFIGS:
            raise ConfigError(
                f"The configuration is {config!r}.",
                allowed=f"{', '.join(CONFIGS)}.",
                do="Choose one of these.",
            )
        self.config: CoreConfig = CONFIGS[config]
        self.dram = dram or DramModel()
        if self.dram.bytes_per_cycle == 0:
            self.dram = replace(self.dram, bytes_per_cycle=self.config.data_w // 8)
        built = self._built(build, trace is not None)
        self.build_name = built.name
        self.build_seconds = built.built_seconds
        self.clock_hz = self.config.clock_mhz * 1e6
        self.model_seconds = 0.0
        self.idle_skip = True
        self._calls = load_library(built.library)
        rate = (LINE_GBPS[config] if line_gbps is None else line_gbps) * 1e9 / 8 / self.clock_hz
        self._knobs = CardStruct(rx_bytes_per_cycle=rate, tx_bytes_per_cycle=rate, seed=seed)
        dram_config = DramStruct(*(getattr(self.dram, field.name) for field in fields(DramModel)))
        self._handle: int | None = self._calls["create"](
            ctypes.byref(self._knobs), ctypes.byref(dram_config)
        )
        self.owners = OwnerMemory(self._call, self.dram.size)
        self.configure_peer(peer or PeerModel())
        self._regions = Regions(self.dram.size, self.config.channels)
        self._stamps = FrameStamps(self._call)
        if trace is not None:
            self._trace(Path(trace))
        self.reset()

    def _built(self, build: str, traced: bool) -> BuiltCard:
        """Return the library to load; mutation testing loads another one."""
        return build_card(self.config.name, build=build, trace=traced)

    def __enter__(self) -> SimCard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the model and finish the waveform file; safe to call twice."""
        if self._handle is not None:
            self._calls["destroy"](self._handle)
            self._handle = None

    def _call(self, name: str, *arguments: Any) -> Any:
        if self._handle is None:
            raise ClosedError(f"SimCard.{name}")
        return self._calls[name](self._handle, *arguments)

    @contextmanager
    def _model_time(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.model_seconds += time.perf_counter() - started

    def _check_model(self) -> None:
        """Raise when the model stopped itself: an assertion of the RTL, a broken AXI rule."""
        if self._call("stopped") == STOPPED_BY_MODEL:
            raise DeviceFault(
                f"the simulated card ({self._call('message').decode()})",
                code=STOPPED_BY_MODEL,
                do="run again with trace=... and look at the last cycles.",
            )

    def _trace(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self._call("trace", str(path).encode()):
            raise ConfigError(
                f"The waveform file {path} cannot be written.",
                do="Give a path in a folder that exists.",
            )
        _LOG.info("waveforms in %s", path)

    def _refuse_if_dead(self, doing: str) -> None:
        if self.stopped:
            waited = REGISTER_TIMEOUT_CYCLES / self.clock_hz
            self._call("step", REGISTER_TIMEOUT_CYCLES)
            self._check_model()
            raise DeviceTimeout(doing, waited=waited, do="reset or replace the card.")

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
        word = ctypes.c_uint32(value or 0)
        with self._model_time():
            result = self._call(
                "register",
                int(value is not None),
                offset,
                ctypes.byref(word),
                REGISTER_TIMEOUT_CYCLES,
            )
        doing = f"{'reading' if value is None else 'writing'} register {offset:#05x}"
        if result == 1:
            self._check_model()
            raise DeviceTimeout(
                doing,
                waited=REGISTER_TIMEOUT_CYCLES / self.clock_hz,
                do="reset or replace the card.",
            )
        if result == 2:
            raise DeviceFault(doing, code=2, do="use an offset of the register map.")
        return int(word.value)

    # Memory

    def alloc(self, nbytes: int, align: int = 4096, *, channel: int | None = None) -> int:
        """Return the address of `nbytes` unused bytes of card memory: of one channel, or spread over
        all by pages.
        """
        self._refuse_if_dead("allocating card memory")
        if channel is not None:
            return self._regions.in_channel(channel, nbytes, align)
        return self._regions.spread(nbytes, align)

    def channel_stats(self, channel: int) -> tuple[int, int, int]:
        """Return read bursts, write bursts and bytes of a channel so far."""
        out = np.zeros(3, np.uint64)
        self._call("channel_stats", channel, out.ctypes.data)
        return int(out[0]), int(out[1]), int(out[2])

    def read(self, addr: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of `nbytes` bytes from `addr`: uint8, shape [nbytes]."""
        self._refuse_if_dead(f"reading card memory at {addr:#x}")
        out = np.empty(nbytes, dtype=np.uint8)
        if addr < 0 or self._call("memory_read", addr, out.ctypes.data, nbytes):
            raise self._outside(addr, nbytes)
        return out

    def write(self, addr: int, data: NDArray[np.uint8]) -> None:
        """Write `data` (uint8, one-dimensional) at `addr`."""
        self._refuse_if_dead(f"writing card memory at {addr:#x}")
        if data.dtype != np.uint8:
            raise ConfigError(
                f"The data are {data.dtype}.", allowed="uint8.", do="Use data.view(numpy.uint8)."
            )
        flat = np.ascontiguousarray(data).reshape(-1)
        if addr < 0 or self._call("memory_write", addr, flat.ctypes.data, flat.size):
            raise self._outside(addr, flat.size)

    def sync(self) -> None:
        """Return when earlier writes are visible to the core: they already are."""
        self._refuse_if_dead("synchronising card memory")

    def _outside(self, addr: int, nbytes: int) -> ConfigError:
        return ConfigError(
            f"{nbytes:,} bytes at {addr:#x} are not all inside card memory.",
            allowed=f"addresses 0 .. {self.dram.size - 1:#x}.",
            do="Use an address from alloc().",
        )

    # Link

    def send(self, frames: FrameBatch, *, bad: NDArray[np.bool_] | None = None) -> None:
        """Queue frames towards the card; `bad[i]` marks frame i as damaged on the line (the MAC's
        tuser).
        """
        data = np.ascontiguousarray(frames.data, dtype=np.uint8)
        offsets = np.ascontiguousarray(frames.offsets, dtype=np.int64)
        count = len(offsets) - 1
        if count < 1:
            return
        if (np.diff(offsets) < 1).any() or offsets[0] < 0 or offsets[-1] > data.size:
            raise ConfigError(
                "The offsets of the frames do not rise from within the data.",
                do="Build the batch with embnic.wire.",
            )
        flags = None if bad is None else np.ascontiguousarray(bad, dtype=np.uint8)
        self._call(
            "push",
            data.ctypes.data,
            offsets.ctypes.data,
            count,
            None if flags is None else flags.ctypes.data,
        )
        self._stamps.note_requests(data, offsets)

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        """Return up to `max_frames` frames, waiting at most `timeout` seconds of the card's clock
        for the first.
        """
        # Any wait takes at least one cycle, so that a caller's loop on clock() ends.
        limit = max(math.ceil(timeout * self.clock_hz - 1e-3), 1) if timeout > 0 else 0
        self.run_until(1, limit)
        return self._pull(max_frames)

    def clock(self) -> float:
        """Return seconds on the card's clock."""
        return int(self._call("cycle")) / self.clock_hz

    def _pull(self, most: int) -> FrameBatch:
        nbytes = ctypes.c_uint64()
        count = int(self._call("waiting", max(most, 0), ctypes.byref(nbytes)))
        data = np.empty(nbytes.value, dtype=np.uint8)
        offsets = np.zeros(count + 1, dtype=np.int64)
        stamps = np.empty((count, 2), dtype=np.int64)
        if count:
            self._call("pull", count, data.ctypes.data, offsets.ctypes.data, stamps.ctypes.data)
            self._stamps.note_replies(data, offsets, stamps)
        return FrameBatch(data, offsets)

    # Time

    @property
    def cycle(self) -> int:
        """Cycles of the card's clock since it was made."""
        return int(self._call("cycle"))

    def reset(self) -> None:
        """Hold the reset of core and memory controller for some cycles.

        Frames, reads and writes under way are lost; card memory keeps its contents.
        """
        with self._model_time():
            self._call("reset", RESET_CYCLES)
        self._check_model()

    def step(self, cycles: int) -> None:
        """Advance the clock."""
        with self._model_time():
            self._call("step", cycles)
        self._check_model()

    def run_until(self, frames: int, limit: int, *, linger: int = LINGER_CYCLES) -> int:
        """Run until `frames` frames wait to be received, then `linger` cycles more, at most `limit`
        cycles in all.

        Returns how many frames wait. A core at rest is not simulated for the rest of the limit
        (`idle_skip`).
        """
        while True:
            part = min(limit, SLICE_CYCLES)
            with self._model_time():
                self._call("run_until", frames, part, linger, int(self.idle_skip))
            self._check_model()
            limit -= part
            waiting = int(self._call("waiting", (1 << 63) - 1, ctypes.byref(ctypes.c_uint64())))
            if waiting >= frames or limit <= 0:
                return waiting

    # ---- knobs and faults
    # -------------------------------------------------------------------------------------------

    def configure(
        self,
        *,
        tx_stall: float | None = None,
        memory_stall: float | None = None,
        rx_gap: int | None = None,
    ) -> None:
        """Set probabilities of a stalled transmit or memory cycle (0 .. 1), and idle cycles between
        received frames.
        """
        for name, value in (("tx_stall", tx_stall), ("memory_stall", memory_stall)):
            if value is None:
                continue
            if not 0.0 <= value < 1.0:
                raise ConfigError(
                    f"{name} is {value}.", allowed="0 up to but not 1.", do="Give a probability."
                )
            setattr(self._knobs, name, value)
        if rx_gap is not None:
            self._knobs.rx_gap = rx_gap
        self._call("configure", ctypes.byref(self._knobs))

    def configure_peer(self, peer: PeerModel) -> None:
        """Let the owners of remote rows answer so from now on."""
        values = (getattr(peer, field.name) for field in fields(PeerModel))
        self._call("remote_configure", ctypes.byref(PeerStruct(self.dram.size, *values)))

    def set_line_rate(self, gbps: float) -> None:
        """Set the line rate of both directions; 0 is a beat in every cycle."""
        self._knobs.rx_bytes_per_cycle = self._knobs.tx_bytes_per_cycle = (
            gbps * 1e9 / 8 / self.clock_hz
        )
        self._call("configure", ctypes.byref(self._knobs))

    def fail_memory(self, addr: int, nbytes: int) -> None:
        """Answer every burst that starts in this range with SLVERR; 0 bytes makes all memory good
        again.
        """
        self._call("memory_fault", addr, addr + nbytes)

    def mute_memory(self, addr: int, nbytes: int) -> None:
        """Answer no burst that starts in this range any more; 0 bytes lets all answers come that were
        kept back.
        """
        self._call("memory_mute", addr, addr + nbytes)

    def deafen_memory(self, on: bool) -> None:
        """Let memory take no address and no beat while `on`."""
        self._call("memory_deaf", int(on))

    def stop_after(self, cycles: int) -> None:
        """Let the card die `cycles` cycles from now."""
        self._call("stop_after", cycles)

    def stop_on(self, phase: Phase | str, nth: int = 1, *, delay: int = 0) -> None:
        """Let the card die at the `nth` next time that `phase` is reached, `delay` cycles after."""
        code = Phase[phase.upper()] if isinstance(phase, str) else phase
        if nth < 1:
            raise ConfigError(f"nth is {nth}.", allowed="1 or more.", do="Count from 1.")
        self._call("stop_on", int(code), nth, delay)

    @property
    def stopped(self) -> bool:
        """Whether the card is dead."""
        return bool(self._call("stopped"))

    # Observation

    def stats(self) -> CardStats:
        """Return what the harness counted."""
        raw = StatsStruct()
        self._call("stats", ctypes.byref(raw))
        return CardStats(*(int(getattr(raw, field.name)) for field in fields(CardStats)))

    def keep_digest(self, on: bool) -> None:
        """Begin or end to mix every cycle into `digest`."""
        self._call("keep_digest", int(on))

    def digest(self) -> int:
        """Return a digest of all outputs to MAC, memory and other cards and of sts_probe, cycle by cycle."""
        return int(self._call("digest"))

    def probe_counts(self) -> NDArray[np.uint64]:
        """Return in how many cycles each bit of sts_probe was set: uint64, shape [32]."""
        out = np.zeros(PROBE_BITS, dtype=np.uint64)
        self._call("probe_counts", out.ctypes.data)
        return out

    def record_probe(self, cycles: int, *, skip: int = 0) -> None:
        """Keep sts_probe of `cycles` cycles, beginning `skip` cycles from now."""
        self._call("probe_record", cycles, skip)

    def probe(self) -> tuple[int, NDArray[np.uint32]]:
        """Return the window's first cycle and its words so far: uint32, one a cycle."""
        start = ctypes.c_uint64()
        count = int(self._call("probe_window", None, ctypes.byref(start)))
        out = np.empty(count, dtype=np.uint32)
        self._call("probe_window", out.ctypes.data, ctypes.byref(start))
        return int(start.value), out

    def record_decisions(self, lookups: int) -> None:
        """Keep what the tag stage decides of the next `lookups` lookups; call it on an idle core."""
        self._call("decisions_record", lookups)

    def decisions(self) -> NDArray[np.void]:
        """Return the lookups of the tag stage that were kept, in their order: DECISION, shape [n]."""
        out = np.empty(int(self._call("decisions", None)), DECISION)
        self._call("decisions", out.ctypes.data)
        return out

    def record_frames(self, on: bool) -> None:
        """Begin (forgetting the past) or end the recording of frame times for `frame_stamps`."""
        if on:
            self._stamps.begin(self.stats().rx_waiting)
        else:
            self._stamps.end()

    def frame_stamps(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return cycles of frames since `record_frames(True)`: (received, sent, answers), each
        int64.

        `received[i]` is the cycle of the last beat of the i-th frame into the card, `sent[j]` that
        of the first beat of the j-th frame out of it, `answers[j]` the i whose request_id frame j
        carries, or -1.
        """
        return self._stamps.read()
