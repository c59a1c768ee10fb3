# SPDX-License-Identifier: Apache-2.0
"""The ends of a stream in a bench: what drives, takes, watches and counts words, and when it stalls.

A word of a stream is one int (the whole payload vector); with further fields it is a tuple in their order. A bench
makes these agents and calls their `tick` at every rising edge: embnic_sim.bench.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["STALLS", "Counter", "Monitor", "Pin", "Sink", "Source", "Stall", "Word"]

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
