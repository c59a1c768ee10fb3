# SPDX-License-Identifier: Apache-2.0
"""Reach the card's registers by name.

>>> class Echo:                                     # a bus that answers with the last word written
...     value = 0
...     def read32(self, offset): return self.value
...     def write32(self, offset, value): self.value = value
>>> regs = Registers(Echo())
>>> regs.SCRATCH.write(0x1234)
>>> hex(regs.SCRATCH.read())
'0x1234'
>>> regs.CONTROL.write_fields(enable=1)
>>> regs.CONTROL.fields()["enable"]
1
"""

from __future__ import annotations

from .errors import ConfigError
from .gen.registers import COUNTERS, REGISTERS
from .gen.registers import Register as Layout
from .ports import Bus

__all__ = ["COUNTER_NAMES", "CARD_MAGIC", "Register", "Registers"]

COUNTER_NAMES = tuple(counter.name for counter in COUNTERS)
CARD_MAGIC = REGISTERS["MAGIC"].fields["value"].reset or 0
_WORD = 0xFFFFFFFF


class Register:
    """One 32-bit register, or the `index`-th of several."""

    __slots__ = ("_bus", "_layout", "_offset", "name")

    def __init__(self, bus: Bus, name: str, layout: Layout, index: int = 0) -> None:
        if not 0 <= index < layout.count:
            raise ConfigError(
                f"{name}[{index}] is asked for.",
                allowed=f"0 to {layout.count - 1}.",
                do="See docs/gen/registers.md.",
            )
        self.name = name
        self._bus = bus
        self._layout = layout
        self._offset = layout.offset + 4 * index

    def __getitem__(self, index: int) -> Register:
        """Return the `index`-th of several registers of this name."""
        return Register(self._bus, self.name, self._layout, index)

    def read(self) -> int:
        """Return the whole word."""
        return self._bus.read32(self._offset)

    def write(self, value: int) -> None:
        """Write the whole word."""
        if "w" not in self._layout.access:
            raise ConfigError(
                f"{self.name} is written.", allowed="reading it.", do="See docs/gen/registers.md."
            )
        if not 0 <= value <= _WORD:
            raise ConfigError(
                f"{self.name} gets {value}.", allowed="0 to 2**32 - 1.", do="Write one 32-bit word."
            )
        self._bus.write32(self._offset, value)

    def field(self, name: str) -> int:
        """Read the register and return one field of it."""
        return self._extract(self.read(), name)

    def fields(self) -> dict[str, int]:
        """Read the register once and return all its fields."""
        word = self.read()
        return {name: self._extract(word, name) for name in self._layout.fields}

    def write_fields(self, **values: int) -> None:
        """Read the register, replace the named fields, and write it back; pulses not named stay 0."""
        word = self.read()
        for name, layout in self._layout.fields.items():
            mask = ((1 << layout.width) - 1) << layout.low
            if layout.pulse or name in values:
                word &= ~mask
            value = values.pop(name, 0)
            if not 0 <= value < 1 << layout.width:
                raise ConfigError(
                    f"{self.name}.{name} gets {value}.",
                    allowed=f"0 to {(1 << layout.width) - 1}.",
                    do="Write a value that fits.",
                )
            word |= value << layout.low
        if values:
            raise ConfigError(
                f"{self.name} has no field {', '.join(values)}.",
                allowed=", ".join(self._layout.fields) + ".",
                do="See docs/gen/registers.md.",
            )
        self.write(word)

    def _extract(self, word: int, name: str) -> int:
        layout = self._layout.fields.get(name)
        if layout is None:
            raise ConfigError(
                f"{self.name} has no field {name}.",
                allowed=", ".join(self._layout.fields) + ".",
                do="See docs/gen/registers.md.",
            )
        return word >> layout.low & ((1 << layout.width) - 1)


class Registers:
    """Give every register of the card as an attribute, and its counters as numbers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def __getattr__(self, name: str) -> Register:
        """Return the register of that name."""
        layout = REGISTERS.get(name)
        if layout is None:
            raise AttributeError(f"the card has no register {name!r}; see docs/gen/registers.md")
        return Register(self._bus, name, layout)

    def __getitem__(self, name: str) -> Register:
        """Return the register whose name is computed."""
        if name not in REGISTERS:
            raise ConfigError(
                f"register {name!r}.",
                allowed="the names of gen/registers.py.",
                do="See docs/gen/registers.md.",
            )
        return Register(self._bus, name, REGISTERS[name])

    def counters(self) -> dict[str, int]:
        """Take a snapshot of all counters at one cycle and return them by name."""
        self.CONTROL.write_fields(snapshot=1)
        read = self._bus.read32
        return {
            counter.name: read(counter.offset) | read(counter.offset + 4) << 32
            for counter in COUNTERS
        }

    def latency(self, buckets: int) -> list[tuple[int, ...]]:
        """Return the counts of the four latency histograms, `buckets` each, as last copied."""
        rows = []
        stages = REGISTERS["LATENCY_COUNT"].count
        for bucket in range(buckets):
            self.LATENCY_BUCKET.write(bucket)
            rows.append([self.LATENCY_COUNT[stage].read() for stage in range(stages)])
        return list(zip(*rows, strict=True))

    def errors(self, entries: int) -> list[tuple[int, ...]]:
        """Return the words of the errors in the log of `entries` places, the oldest first.

        An entry that the card may have overwritten while it was read is left out.
        """
        total = self.ERROR_TOTAL.read()
        words = REGISTERS["ERROR_WORD"].count
        found = []
        for number in range(max(total - entries, 0), total):
            self.ERROR_SEL.write(number % entries)
            found.append((number, tuple(self.ERROR_WORD[at].read() for at in range(words))))
        oldest = self.ERROR_TOTAL.read() - entries
        return [entry for number, entry in found if number >= oldest]
