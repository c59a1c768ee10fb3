# SPDX-License-Identifier: Apache-2.0
"""Say what tables take of host and card memory before any of it is taken.

Letters: a *line* is what the card's cache holds at once; a row may take a part of one or several.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .arithmetic import STORAGE
from .config import Table, tables_by_name
from .errors import CapacityError, ConfigError
from .gen.configs import CONFIGS, CoreConfig
from .quantised import row_columns
from .targets import Choice, choose

__all__ = [
    "Estimate",
    "TableEstimate",
    "check_host_room",
    "estimate",
    "estimate_choice",
    "free_memory",
    "host_available",
    "host_bytes",
]

ALIGN = 4096  # of a table in card memory
SMALL = 64 << 20  # bytes that are taken without asking how much there is
CARDS = ("rtl", "hls", "model", "pynq", "serial", "xrt")
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class TableEstimate:
    """What one table takes. `cache_lines` is for all its rows."""

    name: str
    host_bytes: int
    card_bytes: int
    cache_lines: int


@dataclass(frozen=True)
class Estimate:
    """What tables take on a target, against what is there; None where that cannot be known.

    `host_bytes` are the rows in host memory: those that are served, or the master copy of a card.
    """

    target: str
    tables: tuple[TableEstimate, ...]
    host_available: int | None
    card_available: int | None
    cache_lines_available: int | None

    @property
    def host_bytes(self) -> int:
        """Return the bytes of all tables in host memory."""
        return sum(table.host_bytes for table in self.tables)

    @property
    def card_bytes(self) -> int:
        """Return the bytes of all tables in card memory."""
        return sum(table.card_bytes for table in self.tables)

    @property
    def cache_lines(self) -> int:
        """Return the cache lines of all rows."""
        return sum(table.cache_lines for table in self.tables)

    @property
    def fits(self) -> bool:
        """Return whether host and card memory are enough, as far as that is known. Rows need not fit the cache."""
        return all(
            available is None or needed <= available
            for needed, available in (
                (self.host_bytes, self.host_available),
                (self.card_bytes, self.card_available),
            )
        )

    def check(self) -> None:
        """Raise CapacityError when the tables do not fit."""
        for where, needed, available in (
            ("host memory", self.host_bytes, self.host_available),
            ("card memory", self.card_bytes, self.card_available),
        ):
            if available is not None and needed > available:
                raise CapacityError(
                    f"{len(self.tables)} tables on the target {self.target!r}: {where}",
                    needed=needed,
                    available=available,
                    do="Use fewer rows, or a smaller dtype such as 'int8'.",
                )

    def __str__(self) -> str:
        """Print a line a table, and one for all of them."""
        width = max((len(table.name) for table in self.tables), default=0)
        lines = [f"target {self.target}: {'fits' if self.fits else 'DOES NOT FIT'}"]
        for table in self.tables:
            parts = [f"{table.host_bytes:>15,} bytes on the host"]
            if self.card_available is not None or table.card_bytes:
                parts.append(f"{table.card_bytes:>15,} on the card")
                parts.append(f"{table.cache_lines:>13,} cache lines")
            lines.append(f"  {table.name:{width}} " + ", ".join(parts))
        lines.append(f"  host memory: {_share(self.host_bytes, self.host_available)} bytes")
        if self.card_bytes:
            lines.append(f"  card memory: {_share(self.card_bytes, self.card_available)} bytes")
            lines.append(
                f"  card cache: {_share(self.cache_lines, self.cache_lines_available)} lines"
            )
        return "\n".join(lines)


def _share(needed: int, available: int | None) -> str:
    return f"{needed:,} of " + ("an unknown number of" if available is None else f"{available:,}")


def estimate(tables: Iterable[Table], target: str = "auto") -> Estimate:
    """Return what `tables` would take on `target`; nothing is opened or allocated.

    >>> item = Table("item", rows=1_000_000, dim=64, dtype="int8", pooling="sum")
    >>> found = estimate([item], target="model:line100")
    >>> found.host_bytes, found.card_bytes, found.fits
    (72000000, 128000000, True)
    """
    return estimate_choice(tables, choose(target, os.environ))


def estimate_choice(tables: Iterable[Table], choice: Choice) -> Estimate:
    """Return what `tables` would take on a target that was chosen."""
    on_card = choice.name in CARDS
    # Where the target names a port or a file, the board that has it names the configuration.
    given = {"serial": "mini", "xrt": "line100"}.get(choice.name, choice.configuration)
    config = CONFIGS[_configuration(choice.name, given)] if on_card else None
    shown = f"{choice.name}:{config.name}" if config else choice.name
    return Estimate(
        target=shown,
        tables=tuple(_of(table, config) for table in tables_by_name(tables).values()),
        host_available=host_available(),
        card_available=_simulated_memory() if choice.name == "rtl" else None,
        cache_lines_available=None if config is None else config.sets * config.ways,
    )


def _configuration(name: str, given: str) -> str:
    chosen = given or {"rtl": "tiny", "hls": "tiny", "model": "line100"}.get(name, "line100")
    if chosen not in CONFIGS:
        raise ConfigError(
            f"The configuration is {chosen!r}.",
            allowed=f"{', '.join(CONFIGS)}.",
            do="Choose one of these.",
        )
    return chosen


def _of(table: Table, config: CoreConfig | None) -> TableEstimate:
    if config is None:
        return TableEstimate(table.name, host_bytes(table), 0, 0)
    card = -(-table.nbytes // ALIGN) * ALIGN
    lines = table.rows * -(-table.stride_bytes // config.line_bytes)
    return TableEstimate(table.name, host_bytes(table), card, lines)


def _simulated_memory() -> int | None:
    """Return the bytes of the simulated card's memory; None where the simulation is not installed."""
    try:
        from embnic_sim.card_models import DramModel
    except ImportError:
        return None
    return int(DramModel().size)


def host_bytes(table: Table) -> int:
    """Return the bytes of a table's rows in host memory, in its storage type."""
    columns = row_columns(table.dtype, table.dim) if table.quantised else table.dim
    return table.rows * columns * STORAGE[table.dtype].itemsize


def host_available() -> int | None:
    """Return the bytes of memory that this process can still get: the system's, or less in a cgroup; None: unknown."""
    found = []
    try:
        fields = dict(
            line.split(":", 1) for line in MEMINFO.read_text(encoding="ascii").splitlines()
        )
        found.append(int(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        pass
    try:
        limit = int((CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        found.append(max(limit - used + _cached(CGROUP / "memory.stat"), 0))
    except (OSError, ValueError):  # no cgroup, or no limit ("max")
        pass
    return min(found, default=None)


def _cached(stat: Path) -> int:
    """Return the bytes of a cgroup that are copies of files: they are given up when memory is short."""
    try:
        lines = [line.split() for line in stat.read_text(encoding="ascii").splitlines()]
    except OSError:
        return 0
    return sum(int(words[1]) for words in lines if words[0] in ("inactive_file", "active_file"))


def check_host_room(table: Table) -> None:
    """Raise CapacityError when the rows of a table do not fit beside what is there already."""
    needed = host_bytes(table)
    if needed <= SMALL:
        return
    available = host_available()
    if available is not None and needed > available:
        raise CapacityError(
            f"Table {table.name!r}",
            needed=needed,
            available=available,
            do="Use fewer rows, or a smaller dtype such as 'int8'.",
        )


def free_memory() -> Mapping[str, int | None]:
    """Return the bytes that tables can take, by where they would be."""
    return {"host": host_available(), "simulated card": _simulated_memory()}
