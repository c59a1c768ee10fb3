# SPDX-License-Identifier: Apache-2.0
"""Give tables card memory and descriptors, replace them under traffic, add, grow and drop them.

The card changes from one descriptor to another between two requests (docs/decisions/0004-operability.md), so that no
answer mixes the tables before and after. What a descriptor no longer names is free for other tables.
"""

from __future__ import annotations

import logging
from bisect import insort
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from .config import Table, tables_by_name
from .errors import ConfigError
from .exchange import Timing
from .gen.wire import DESCRIPTOR_FIELDS, DESCRIPTOR_WORDS, DType, Pooling
from .operate import Generated, Operations
from .ports import Bus, Link, Memory
from .residency import Residency
from .rows import pack_chunks

__all__ = ["CardMemory", "CardTables"]

_log = logging.getLogger("embnic.driver")

PAGE = 4096  # addresses and sizes of what is allocated


class CardMemory:
    """Allocate and free card memory; the port only allocates.

    What was freed is given out again first, the smallest piece that is large enough; neighbours are joined.
    """

    def __init__(self, port: Memory) -> None:
        self.port = port
        self._free: list[tuple[int, int]] = []  # address and bytes, by address

    def alloc(self, nbytes: int) -> int:
        """Return the address of `nbytes` bytes; raises ConfigError when there are none."""
        size = -(-nbytes // PAGE) * PAGE
        fitting = [piece for piece in self._free if piece[1] >= size]
        if not fitting:
            return self.port.alloc(size)
        address, length = min(fitting, key=lambda piece: (piece[1], piece[0]))
        self._free.remove((address, length))
        if length > size:
            insort(self._free, (address + size, length - size))
        return address

    def free(self, address: int, nbytes: int) -> None:
        """Take back what `alloc` gave."""
        insort(self._free, (address, -(-nbytes // PAGE) * PAGE))
        joined: list[tuple[int, int]] = []
        for start, length in self._free:
            if joined and sum(joined[-1]) == start:
                start, length = joined[-1][0], joined.pop()[1] + length
            joined.append((start, length))
        self._free = joined


class CardTables(Operations):
    """Hold the tables of a card; the part of the driver between its registers and its frames."""

    dtypes: frozenset[DType]

    def __init__(
        self, bus: Bus, memory: Memory, link: Link, timing: Timing, owners: Memory | None = None
    ) -> None:
        super().__init__(bus, link, timing)
        self._room = CardMemory(memory)
        self._owners_room = None if owners is None else CardMemory(owners)
        self._tables: dict[str, Table] = {}
        self._numbers: dict[str, int] = {}
        self._addresses: dict[str, int] = {}
        self._spares: dict[str, int | None] = {}  # where the next generation of a table goes
        self._generations: dict[str, int] = {}  # of a table: 0 until it was loaded
        self._residency = Residency()

    @property
    def takes_remote(self) -> bool:
        """Tell whether tables may be held by other cards: this one fetches their rows, and their memory is reached."""
        return bool(self.capabilities.remote_fetches) and self._owners_room is not None

    def _room_of(self, table: Table) -> CardMemory:
        """Return where the rows of a table lie: on the card, or with their owner."""
        if not table.remote:
            return self._room
        if self._owners_room is None:
            raise ConfigError(
                f"Table {table.name!r}: its rows are held by card {table.owner}.",
                allowed="tables without an owner: no other card's memory was given.",
                do="Give the driver its owners' memory, or leave `owner` out.",
            )
        return self._owners_room

    def _memory_of(self, table: Table) -> Memory:
        return self._room_of(table).port

    def define(self, tables: Sequence[Table]) -> None:
        """Give the tables card memory and descriptors; their rows are undefined until `load`.

        Tables of before that are not among them are forgotten.
        """
        named = tables_by_name(tables)
        self.check_tables(list(named.values()))
        with self._errors("defining tables"):
            gone = [name for name, held in self._tables.items() if named.get(name) != held]
            numbers = {self._numbers[name] for name in gone}
            for name in gone:
                if name not in named or named[name].rows < self._tables[name].rows:
                    self._residency.forget(name)
                self._forget(name)
            for name, table in named.items():
                if name not in self._tables:
                    self._place(table, self._room_of(table).alloc(table.nbytes))
            with self._quiet():
                for number in sorted(numbers - set(self._numbers.values())):
                    self._commit(number, _descriptor())
                for name in named:
                    self._write_descriptor(name)

    def _place(self, table: Table, address: int) -> None:
        """Note where a new table is, under the smallest number that is free."""
        name, taken = table.name, set(self._numbers.values())
        self._tables = {**self._tables, name: table}
        self._addresses[name] = address
        self._numbers[name] = next(n for n in range(len(taken) + 1) if n not in taken)
        self._generations[name] = 0

    def _forget(self, name: str) -> None:
        """Free the number and the memory of a table."""
        table = self._tables[name]
        self._tables = {known: table for known, table in self._tables.items() if known != name}
        del self._numbers[name], self._generations[name]
        self._release(self._addresses.pop(name), table)
        self._release(self._spares.pop(name, None), table)

    def _release(self, address: int | None, table: Table) -> None:
        if address is not None:
            self._room_of(table).free(address, table.nbytes)
            self._spares = {name: at for name, at in self._spares.items() if at is not None}

    def check_tables(self, tables: Sequence[Table]) -> None:
        """Raise ConfigError when the card cannot hold or pool the tables."""
        limits = self.capabilities
        if len(tables) > limits.tables:
            raise ConfigError(
                f"{len(tables)} tables are given.",
                allowed=f"at most {limits.tables} on this card.",
                do="Use a larger configuration.",
            )
        for table in tables:
            if table.remote and not limits.remote_fetches:
                raise ConfigError(
                    f"Table {table.name!r}: its rows are held by card {table.owner}.",
                    allowed="tables without an owner: this card fetches no rows of others (CAP_REMOTE_FETCHES is 0).",
                    do="Use a configuration with remote fetches, or leave `owner` out.",
                )
            if table.dtype not in self.dtypes:
                raise ConfigError(
                    f"Table {table.name!r}: dtype {table.dtype.name.lower()!r} on a card.",
                    allowed=", ".join(repr(d.name.lower()) for d in sorted(self.dtypes)) + ".",
                    do="Store it as one of these, or open target='cpu'.",
                )
            if table.vec64 > min(limits.max_vec64, limits.reply_vec64):
                raise ConfigError(
                    f"Table {table.name!r}: dim {table.dim}.",
                    allowed=f"at most {min(limits.max_vec64, limits.reply_vec64) * 16} on this card.",
                    do="Use a larger configuration, or open target='cpu'.",
                )

    def _write_descriptor(self, name: str) -> None:
        table = self._tables[name]
        words = _descriptor(
            valid=1,
            dtype=int(table.dtype),
            pooling=int(table.pooling),
            has_padding=int(table.padding_idx is not None),
            mul_then_add=int(table.mul_then_add),
            dim=table.dim,
            order=int(table.order),
            tree_k_log2=0 if table.tree_k is None else table.tree_k.bit_length() - 1,
            fixed_scale_exp=table.fixed_scale_exp or 0,
            remote=int(table.remote),
            owner=table.owner or 0,
            generation=self._generations[name] & 0xFF,
            base=self._addresses[name],
            rows=table.rows,
            padding_row=table.padding_idx or 0,
        )
        self._commit(self._numbers[name], words)

    def load(self, name: str, weights: NDArray[Any]) -> None:
        """Write all stored rows of a table [rows, columns].

        A table that was loaded before is replaced under traffic: the rows are written beside the old ones, and the
        card changes from one to the other between two requests, so that no answer mixes them. That takes the table's
        size in card memory once more; where it is not there, the card answers BUSY while the rows change in place.
        """
        with self._errors(f"loading table {name!r}"):
            spare = self._spare(name) if self._generations[name] else None
            if spare is not None:
                self._write_rows(self._tables[name], spare, weights)
                self._spares[name], self._addresses[name] = self._addresses[name], spare
                self._generations[name] += 1
                self._write_descriptor(name)
                self._restore_pins()
                return
            if self._generations[name]:
                with self._quiet():
                    self._write_rows(self._tables[name], self._addresses[name], weights)
            else:  # nobody may ask for it yet
                self._write_rows(self._tables[name], self._addresses[name], weights)
                self._flush()
            self._generations[name] += 1
            self._restore_pins()

    def add(self, table: Table, weights: NDArray[Any]) -> None:
        """Add a table with all its stored rows [rows, columns] while the card serves the others."""
        self.check_tables([*self._tables.values(), table])
        with self._errors(f"adding table {table.name!r}"):
            self._place(table, self._written(table, weights))
            self._generations[table.name] = 1
            try:
                self._write_descriptor(table.name)
            except BaseException:
                self._forget(table.name)
                raise
            self._restore_pins()

    def grow(self, table: Table, weights: NDArray[Any]) -> None:
        """Let a loaded table have more rows: `weights` are all of them [rows, columns], written beside the old ones."""
        name, old = table.name, self._tables[table.name]
        with self._errors(f"growing table {name!r}"):
            address = self._written(table, weights)
            before, spare = self._addresses[name], self._spares.pop(name, None)
            self._tables = {**self._tables, name: table}
            self._addresses[name] = address
            self._generations[name] += 1
            try:
                self._write_descriptor(name)
            finally:  # a card that failed over it reads nothing before it is attached and defined again
                self._release(before, old)
                self._release(spare, old)
            self._restore_pins()

    def drop(self, name: str) -> None:
        """Forget a table: when this returns, no request reads its rows any more."""
        with self._errors(f"dropping table {name!r}"):
            self._commit(self._numbers[name], _descriptor())
            self._residency.forget(name)
            self._forget(name)
            self._restore_pins()

    def _restore_pins(self) -> None:
        """Pin again what was pinned, after the cache was emptied; the driver's frames do it."""
        raise NotImplementedError

    def _written(self, table: Table, weights: NDArray[Any]) -> int:
        """Return the address of new memory that holds a table's rows."""
        address = self._room_of(table).alloc(table.nbytes)
        try:
            self._write_rows(table, address, weights)
        except BaseException:
            self._release(address, table)
            raise
        return address

    def _spare(self, name: str) -> int | None:
        """Return where a table fits beside itself, or None."""
        if name not in self._spares:
            try:
                self._spares[name] = self._room_of(self._tables[name]).alloc(
                    self._tables[name].nbytes
                )
            except ConfigError as error:
                self._spares[name] = None
                _log.info("table %r is replaced in place: %s", name, error)
        return self._spares[name]

    def _write_rows(self, table: Table, base: int, weights: NDArray[Any]) -> None:
        memory = self._memory_of(table)
        for offset, packed in pack_chunks(table, weights):
            memory.write(base + offset, packed)
        memory.sync()

    def generate(self, name: str, *, frames: int = 64) -> Generated:
        """Let the card ask itself for bags of a loaded table, without a link; return what became of it.

        Frames of the link are ignored meanwhile. Raises ConfigError when the card has no generator, and for a table
        that is not fp32 or not pooled: the generator makes no other frames.
        """
        table = self._tables[name]
        if table.dtype is not DType.FP32 or table.pooling is Pooling.NONE:
            raise ConfigError(
                f"Table {name!r} is {table.dtype.name.lower()} with pooling {table.pooling.name.lower()!r}.",
                allowed="fp32 tables that are pooled: the card's generator asks for nothing else.",
                do="Define a small fp32 table for the self-test.",
            )
        shape = {
            "number": self._numbers[name],
            "rows": table.rows,
            "dim": table.dim,
            "vec64": table.vec64,
        }
        return self._generate(shape, frames)


def _descriptor(**values: int) -> list[int]:
    """Return the words of a table descriptor; fields not named are 0."""
    bits = 0
    for name, value in values.items():
        field = DESCRIPTOR_FIELDS[name]
        bits |= (value & ((1 << field.width) - 1)) << field.low
    return [bits >> 32 * at & 0xFFFFFFFF for at in range(DESCRIPTOR_WORDS)]
