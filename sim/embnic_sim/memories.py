# SPDX-License-Identifier: Apache-2.0
"""Memory at the DUT's ports in a bench: RAM read and write ports, and an AXI4 memory with its protocol checks.

A bench makes these agents and calls their `tick` at every rising edge: embnic_sim.bench.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

from embnic_sim.streams import Pin

__all__ = ["AxiMemory", "RamReadPort", "RamWritePort"]


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
