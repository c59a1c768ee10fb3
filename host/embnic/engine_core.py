# SPDX-License-Identifier: Apache-2.0
"""Hold what an engine is made of: its state, its locks, its counters, and the life of its card.

`Engine` in `engine.py` adds what users call most: rows and lookups.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from .backends.base import Backend
from .config import Table, tables_by_name
from .errors import LOST, ClosedError, ConfigError, LinkError
from .locks import ReadWriteLock
from .serving import Counts, HostServer, Server
from .stats import Stats

if TYPE_CHECKING:
    from .aio import AsyncEngine
    from .backends.card import CardBackend
    from .backends.cpu import CpuBackend
    from .batching import Batcher
    from .failover import CardServer
    from .health import ErrorRecord
    from .operate import Generated

__all__ = ["EngineCore"]

_log = logging.getLogger("embnic.engine")
_Self = TypeVar("_Self", bound="EngineCore")


class EngineCore:
    """Own a backend, the server on top of it and the locks around it."""

    def __init__(
        self,
        tables: Iterable[Table],
        backend: Backend,
        *,
        fallback: bool = True,
    ) -> None:
        named = tables_by_name(tables)
        for table in named.values():
            backend.capabilities.check(table, backend.name)
        self._backend = backend
        self._counts = Counts()
        self._on_card: CardServer | None = None
        self._server: Server
        if hasattr(backend, "driver"):
            from .failover import CardServer

            card: Any = backend
            self._server = self._on_card = CardServer(card, named, self._counts, fallback=fallback)
        else:
            self._server = HostServer(backend, named, self._counts)
        self._closed = False
        self._lock = ReadWriteLock()  # lookups against changes
        self._changing = threading.Lock()  # changes against each other
        self._batcher: Batcher | None = None
        self._front: AsyncEngine | None = None

    # -- state --------------------------------------------------------------------------------------------------------

    @property
    def tables(self) -> Mapping[str, Table]:
        """Return the tables by name, as they are now."""
        return self._server.tables

    @property
    def state(self) -> str:
        """Return `open`, `fallback` (the card is lost, the CPU serves) or `closed`."""
        if self._closed:
            return "closed"
        return "fallback" if self._on_card is not None and self._on_card.shared else "open"

    @property
    def target(self) -> str:
        """Return what serves the next call: the opened target, or `cpu` after the card was lost."""
        return "cpu" if self.state == "fallback" else self._backend.name

    @property
    def _card(self) -> CardBackend | None:
        return None if self._on_card is None else self._on_card.card

    @property
    def _master(self) -> CpuBackend | None:
        return None if self._on_card is None else self._on_card.master

    def __enter__(self: _Self) -> _Self:
        """Return the engine."""
        self._check_open("__enter__")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the engine."""
        self.close()

    def close(self) -> None:
        """Give everything back when the calls under way have ended; may be called twice.

        A call that waits raises ClosedError. A card that is lost does not make it fail.
        """
        with self._changing:
            if self._closed:
                return
            self._closed = True
        if self._front is not None:
            self._front.shut_down()
        with self._lock.writing():
            if self._on_card is not None:
                self._on_card.master.close()
            try:
                self._backend.close()
            except LOST as error:
                _log.info("closing %s: %s", self._backend.name, error)

    def describe_paths(self) -> list[str]:
        """Return a line for each path of the target `select`: what it costs, or why it is left out; else nothing."""
        describe = getattr(self._backend, "describe", None)
        return [] if describe is None else list(describe())

    def __repr__(self) -> str:
        """Show target, state and tables."""
        return f"Engine(target={self.target!r}, state={self.state!r}, tables={list(self.tables)})"

    # -- the card's life ----------------------------------------------------------------------------------------------

    def reattach(self) -> None:
        """Move the traffic back to the card: check its identity, reload every table from the master copy.

        Raises what is wrong when the card still does not serve; the CPU then goes on serving.
        """
        with self._change("reattach"):
            again = getattr(self._on_card or self._backend, "reattach", None)
            if again is None:
                raise ConfigError(
                    f"reattach() on the target {self._backend.name!r}.",
                    allowed="targets with a card, and 'select'.",
                    do="Open target='rtl'.",
                )
            with self._alone():
                again()
            self._counts.event("reattached")

    # -- counters -----------------------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """Return a snapshot of the counters of the card, the link and the engine.

        The card's counters are those of its last snapshot that could be read; a lost card is not asked.
        """
        self._check_open("stats")
        parts: dict[str, Mapping[str, Any]] = {}
        served = self._on_card
        if served is None:
            parts["card"] = self._backend.stats()
        else:
            with self._alone():
                self._check_open("stats")
                if served.lost is None:
                    served.on_card(lambda found: found.refresh_counters())
                card = served.card
                parts["card"], parts["link"] = card.card_counters, card.link_counters.as_dict()
                parts["latency"] = card.card_latency
        if self._batcher is not None:
            parts["batching"] = self._batcher.counters()
        if self._front is not None:
            parts["waiting"] = self._front.counters()
        return self._counts.stats(self.target, **parts)

    def check_conservation(self) -> None:
        """Wait until the card is idle and check that its counters add up; nothing to check on other targets.

        Raises DeviceFault when they do not, LinkError when the card is lost.
        """
        served = self._on_card
        with self._asking("check_conservation"):
            if served is None:
                return
            if served.lost is not None:
                raise LinkError(f"check_conservation: {served.loss()}. Do: call reattach().")
            served.card.driver.check_conservation()

    def errors(self) -> list[ErrorRecord]:
        """Return the last errors that the card kept, the oldest first; none on other targets or a lost card."""
        served = self._on_card
        with self._asking("errors"):
            if served is None or served.lost is not None:
                return []
            return served.card.driver.errors()

    def generate(self, name: str, *, frames: int = 64) -> Generated | None:
        """Let the card ask itself for bags of a loaded table, without a link; None where it cannot.

        It cannot on a target that is not a card, on a card without a generator, or when the card is lost.
        """
        served = self._on_card
        with self._asking("generate"):
            self._table(name)
            if served is None or served.lost is not None:
                return None
            if not served.card.driver.capabilities.generator:
                return None
            served.rows(name)  # says that the table was never loaded
            return served.card.driver.generate(name, frames=frames)

    # -- checks and locks ---------------------------------------------------------------------------------------------

    @contextmanager
    def _change(self, call: str) -> Iterator[None]:
        """Let one change at a time in, on an open engine."""
        self._check_open(call)
        with self._changing:
            self._check_open(call)
            yield

    def _alone(self) -> AbstractContextManager[None]:
        """Enter with no other call under way."""
        return self._lock.writing()

    @contextmanager
    def _asking(self, call: str) -> Iterator[None]:
        """Ask an open engine with no other call under way."""
        self._check_open(call)
        with self._alone():
            self._check_open(call)
            yield

    def _check_open(self, call: str) -> None:
        if self._closed:
            raise ClosedError(f"Engine.{call}")

    def _table(self, name: str) -> Table:
        if name not in self.tables:
            raise ConfigError(
                f"The table {name!r} does not exist.",
                allowed=", ".join(repr(known) for known in self.tables) + ".",
                do="Name a table that was given to open().",
            )
        return self.tables[name]
