# SPDX-License-Identifier: Apache-2.0
"""Both ends of a serial line for benches: bytes to bits on one pin, bits on another pin to bytes."""

from collections import deque
from collections.abc import Callable
from typing import Any

from embnic_sim.bench import Bench


class LineSource:
    """Drives a pin with bytes: a start bit, eight data bits, a stop bit, and sometimes a pause.

    `skew` is by how much a bit is longer than `divisor` cycles, as of another oscillator.
    """

    def __init__(self, bench: Bench, pin: str, divisor: int) -> None:
        self._pin = bench.pin(pin)
        self._random, self.divisor = bench.random, divisor
        self.skew = 0.0
        self.pause = 0.0  # probability of an idle line before a byte
        self.bytes: deque[tuple[int, bool]] = deque()  # and whether the stop bit is good
        self.reset()
        bench.add(self)

    def reset(self) -> None:
        """The line is idle."""
        self.bytes.clear()
        self._levels: list[int] = []
        self._at, self._left = 0.0, 0
        self._pin.write(1)

    def send(self, data: bytes, *, broken: int | None = None) -> None:
        """Queue bytes; the one at `broken` gets a stop bit of 0."""
        self.bytes.extend((byte, index == broken) for index, byte in enumerate(data))

    @property
    def empty(self) -> bool:
        """All was sent."""
        return not self.bytes and not self._levels

    def tick(self) -> None:
        """One clock edge."""
        if not self._levels:
            self._at = 0.0
            if self._left:
                self._left -= 1
                return
            if not self.bytes:
                return
            byte, broken = self.bytes.popleft()
            if self._random.random() < self.pause:
                self._left = self._random.randrange(1, 12 * self.divisor)
            # After a stop bit that is 0 the line must rise before the next start bit.
            self._levels = [0, *(byte >> bit & 1 for bit in range(8)), int(not broken)] + [
                1
            ] * broken
        self._pin.write(self._levels[0])
        self._at += 1.0
        if self._at >= self.divisor * (1.0 + self.skew):
            self._at -= self.divisor * (1.0 + self.skew)
            self._levels.pop(0)


class LineSink:
    """Reads bytes off a pin, and checks that every bit lasts `divisor` cycles and every stop bit is 1."""

    def __init__(
        self, bench: Bench, pin: str, divisor: int, callback: Callable[[int], None]
    ) -> None:
        self._pin, self._divisor, self._callback = bench.pin(pin), divisor, callback
        self.reset()
        bench.add(self)

    def reset(self) -> None:
        """The line is idle."""
        self._samples: list[int] = []

    @property
    def idle(self) -> bool:
        """No byte is half there."""
        return not self._samples

    def tick(self) -> None:
        """One clock edge."""
        level = self._pin.read()
        if not self._samples and level:
            return
        self._samples.append(level)
        if len(self._samples) == 10 * self._divisor:
            bits = [
                self._samples[at * self._divisor : (at + 1) * self._divisor] for at in range(10)
            ]
            assert all(len(set(bit)) == 1 for bit in bits), f"a bit changed in its middle: {bits}"
            assert bits[9][0] == 1, "no stop bit"
            self._callback(sum(bits[at + 1][0] << at for at in range(8)))
            self._samples = []


class SerialBench(Bench):
    """A bench with both ends of a line."""

    def __init__(self, dut: Any, divisor: int) -> None:
        super().__init__(dut)
        self.divisor = divisor
        self.line = LineSource(self, "uart_rx", divisor)
        self.received: list[int] = []
        self.listener = LineSink(self, "uart_tx", divisor, self.received.append)

    async def settle(self, *, timeout: int = 400_000) -> None:
        """Wait until both directions of the line have been idle for 30 bits."""
        quiet = 0
        for _ in range(timeout):
            await self.cycles(1)
            quiet = quiet + 1 if self.line.empty and self.listener.idle else 0
            if quiet > 30 * self.divisor:
                return
        raise AssertionError("the line did not come to rest")
