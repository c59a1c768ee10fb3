# SPDX-License-Identifier: Apache-2.0
"""Serve lookups and updates on the chosen target, and go on serving them when the card is lost.

Which target `open` takes is decided by the one table of precedence in `targets.py`; the environment is read then, not
at import.

Losing the card in the middle of a run (DeviceTimeout, DeviceFault, LinkError, ContractMismatch, OSError) moves the
traffic to the CPU: bags that the card had answered keep their answer, the rest of the call and all later calls are
computed from the master copy that the engine keeps in host memory. Every update reaches the master first, so none is
lost. The event is counted by reason and logged once. `reattach()` moves back: it checks the card's identity again and
reloads the tables.

```text
   new ──open()──► open ──card lost──► fallback ──reattach()──► open
                    └────────────── close() ──────┴──► closed
```

An engine is used by one thread at a time.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends.base import Backend, RowHolder, output_arrays
from .backends.card import CardBackend
from .backends.cpu import CpuBackend
from .bags import Bags, TableBags
from .config import OutOfRange, Table, enum_member, tables_by_name
from .errors import LOST, BackendUnavailable, ClosedError, ConfigError, LinkError
from .framing import check_mtu, select
from .gen.wire import Hold, Pooling
from .health import ErrorRecord, Histogram
from .operate import Generated
from .residency import Prefetched, distinct
from .rows import check_ids
from .selector import Path, SelectBackend
from .stats import Stats
from .targets import choose, select_paths

__all__ = ["Engine", "open"]

_log = logging.getLogger("embnic.engine")


def open(
    tables: Iterable[Table],
    target: str = "auto",
    *,
    deadline: float | None = None,
    mtu: int = 1500,
    fallback: bool = True,
) -> Engine:
    """Open an engine for `tables` on `target` (see `targets.py` for the precedence).

    `deadline` is the longest a call may wait for the card, in seconds of the card's clock (simulated seconds for
    `rtl`); None leaves it to the target's patience: so long without any answer. `mtu` is the link's, in bytes from the
    IPv4 header. With `fallback=False` a lost card raises instead of moving the traffic to the CPU.

    >>> import numpy as np
    >>> item = Table("item", rows=4, dim=2, pooling="sum")
    >>> with open([item], target="cpu") as engine:
    ...     engine.load("item", np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.float32))
    ...     engine.lookup(Bags.from_lists({"item": [[0, 3, 3], []]}))["item"].tolist()
    [[15.0, 18.0], [0.0, 0.0]]
    """
    named = tables_by_name(tables)
    choice = choose(target, os.environ)
    if choice.why == "EMBNIC_DISABLE=1" and target not in ("auto", "cpu"):
        _log.warning("EMBNIC_DISABLE=1: the target %r that was asked for is not used", target)
    _log.info("%s", choice)
    _check_deadline(deadline)
    check_mtu(mtu)
    backend = _create(choice.name, choice.configuration, list(named.values()), deadline, mtu)
    try:
        return Engine(named.values(), backend, fallback=fallback)
    except BaseException:
        backend.close()
        raise


def _check_deadline(deadline: float | None) -> None:
    if deadline is None:
        return
    if (
        isinstance(deadline, bool)
        or not isinstance(deadline, (int, float))
        or not 0 < deadline < float("inf")
    ):
        raise ConfigError(
            f"deadline is {deadline!r}.",
            allowed="seconds of the card's clock, above 0, or None.",
            do="Give for example deadline=1e-3, or leave it out.",
        )


def _create(
    name: str, configuration: str, tables: list[Table], deadline: float | None, mtu: int
) -> Backend:
    if name == "cpu":
        return CpuBackend(tables)
    if name == "reference":
        from .backends.reference import ReferenceBackend

        return ReferenceBackend(tables)
    if name == "select":
        return _create_select(select_paths(configuration), tables, deadline, mtu)
    if name == "gpu":
        from .backends.gpu import GpuBackend

        return GpuBackend(tables)
    if name == "rtl":
        from .backends.rtl import open_rtl

        return open_rtl(tables, configuration or "tiny", deadline=deadline, mtu=mtu)
    if name == "model":
        from .backends.model import ModelBackend

        return ModelBackend(tables, configuration or "line100", mtu=mtu)
    raise BackendUnavailable(name, reason="nothing builds it.", remedy="open target='cpu'.")


def _create_select(
    names: list[str], tables: list[Table], deadline: float | None, mtu: int
) -> SelectBackend:
    """Open every path; one that cannot be opened closes the others and raises."""
    paths: list[Path] = []
    try:
        for name in names:
            paths.append(Path(name, _create(name, "", tables, deadline, mtu)))
        return SelectBackend(tables, paths)
    except BaseException:
        for path in paths:
            path.backend.close()
        raise


class Engine:
    """Serve tables on one backend; a context manager.

    `embnic.open` makes the backend; who has one already (a test, a demo with its own card) gives it here. The engine
    owns it from then on and closes it.
    """

    def __init__(self, tables: Iterable[Table], backend: Backend, *, fallback: bool = True) -> None:
        self.tables = tables_by_name(tables)
        for table in self.tables.values():
            backend.capabilities.check(table, backend.name)
        self._backend = backend
        self._card = backend if isinstance(backend, CardBackend) else None
        self._select = backend if isinstance(backend, SelectBackend) else None
        self._master = CpuBackend(self.tables.values()) if self._card else None
        self._fallback = fallback
        self._state = "open"
        self._lost: BaseException | None = None
        self._loaded: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._fallbacks: Counter[str] = Counter()
        self._logged: set[str] = set()

    # -- state --------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Return `open`, `fallback` (the card is lost, the CPU serves) or `closed`."""
        return (
            "fallback" if self._state == "open" and self._lost and self._fallback else self._state
        )

    @property
    def target(self) -> str:
        """Return what serves the next call: the opened target, or `cpu` after the card was lost."""
        return "cpu" if self.state == "fallback" else self._backend.name

    def __enter__(self) -> Engine:
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
        """Give everything back; may be called twice. A card that is lost does not make it fail."""
        if self._state == "closed":
            return
        self._state = "closed"
        if self._master is not None:
            self._master.close()
        try:
            self._backend.close()
        except LOST as error:
            _log.info("closing %s: %s", self._backend.name, error)

    def describe_paths(self) -> list[str]:
        """Return a line for each path of the target `select`: what it costs, or why it is left out; else nothing."""
        return [] if self._select is None else self._select.describe()

    def __repr__(self) -> str:
        """Show target, state and tables."""
        return f"Engine(target={self.target!r}, state={self.state!r}, tables={list(self.tables)})"

    # -- rows ---------------------------------------------------------------------------------------------------------

    def load(self, name: str, weights: Any) -> None:
        """Set all rows of a table: [rows, D], float32 or the table's storage type.

        On a card, a table that is loaded already is replaced under traffic: every request is answered from the old
        rows or from the new ones.
        """
        self._check_open("load")
        self._table(name)
        if self._card is None or self._master is None:
            self._backend.load(name, weights)
            return
        self._master.load(name, weights)
        self._loaded.add(name)
        if self._card_serves("load"):
            self._on_card(lambda card: card.load(name, self._rows(name)))

    def update(self, name: str, ids: Any, rows: Any) -> None:
        """Overwrite the rows `ids` [n] with `rows` [n, D]; a repeated id keeps its last row.

        When this returns, every later lookup sees the new rows, whoever answers it.
        """
        self._check_open("update")
        self._table(name)
        if self._card is None or self._master is None:
            self._backend.update(name, ids, rows)
        else:
            serves = self._card_serves("update")
            self._master.update(name, ids, rows)
            if serves:
                self._on_card(lambda card: card.update(name, ids, rows))
        self._counts["updates"] += 1

    # -- the cache of a card ------------------------------------------------------------------------------------------

    def prefetch(self, name: str, ids: Any, *, hold: Hold | str = Hold.NONE) -> Prefetched:
        """Fetch the rows `ids` [n] into the card's cache; return what became of them when they have come.

        `hold="lock"` keeps them there until each is looked up, updated or released. Answers are the same with and
        without: on a target without such a cache nothing happens.
        """
        return self._hold(
            "prefetch", name, ids, enum_member(Hold, hold, "hold", do="Choose one of these.")
        )

    def pin(self, name: str, ids: Any) -> Prefetched:
        """Keep the rows `ids` [n] in the card's cache until `unpin`, through updates, loads and a lost card."""
        return self._hold("pin", name, ids, Hold.PIN)

    def unpin(self, name: str, ids: Any) -> Prefetched:
        """Let the card's cache replace pinned or locked rows again."""
        return self._hold("unpin", name, ids, Hold.RELEASE)

    def fill(self, name: str, ids: Any, rows: Any, *, hold: Hold | str = Hold.NONE) -> None:
        """Overwrite rows as `update`; they are in the card's cache afterwards."""
        self._check_open("fill")
        checked = enum_member(Hold, hold, "hold", do="Choose one of these.")
        if checked is Hold.RELEASE:
            raise ConfigError(
                "fill(hold='release').",
                allowed="'none', 'lock', 'pin'.",
                do="Call unpin() to release rows.",
            )
        if self._card is None or self._master is None:
            if isinstance(self._backend, RowHolder):
                self._table(name)
                self._backend.fill(name, ids, rows, checked)
                self._counts["updates"] += 1
            else:
                self.update(name, ids, rows)
            return
        self._table(name)
        serves = self._card_serves("fill")
        self._master.update(name, ids, rows)
        if serves:
            self._on_card(lambda card: card.fill(name, ids, rows, checked))
        else:
            self._card.driver.remember(name, check_ids(self._table(name), ids), checked)
        self._counts["updates"] += 1

    def configure_cache(self, *, cached_ways: int = 1, admission: bool = False) -> None:
        """Set how many ways of every set of the card's cache pinned and locked rows leave to others, and its filter.

        With `admission` a miss replaces a line only if its row was looked up more often lately. The cache is emptied,
        what is pinned is fetched again. Nothing happens on a target without such a cache.
        """
        self._check_open("configure_cache")
        holder = self._backend
        if not isinstance(holder, RowHolder):
            return
        if self._card is None:
            holder.configure_cache(cached_ways=cached_ways, admission=admission)
        elif self._card_serves("configure_cache"):
            self._on_card(
                lambda card: card.configure_cache(cached_ways=cached_ways, admission=admission)
            )

    def _hold(self, call: str, name: str, ids: Any, hold: Hold) -> Prefetched:
        self._check_open(call)
        wanted = distinct(check_ids(self._table(name), ids))
        found = [Prefetched(len(wanted))]
        if self._card is None:
            if isinstance(self._backend, RowHolder):
                found.append(self._backend.hold_rows(name, wanted, hold))
            return found[-1]
        if self._card_serves(call) and name in self._loaded:
            self._on_card(lambda card: found.append(card.hold_rows(name, wanted, hold)))
        else:
            self._card.driver.remember(name, wanted, hold)
        return found[-1]

    # -- lookups ------------------------------------------------------------------------------------------------------

    def lookup(
        self,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None = None,
        *,
        out_of_range: OutOfRange | str = OutOfRange.RAISE,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag; return for each table of `bags` an array [B, D] of its storage type.

        `out` gives arrays to fill, by table name. `out_of_range` says what becomes of an id the table does not have.
        `deadline`, in seconds, is for the target `select`: it takes a path that answers in time, if one can.
        """
        self._check_open("lookup")
        self._check_lookup_deadline(deadline)
        if not isinstance(bags, Bags):
            raise ConfigError(
                f"bags are a {type(bags).__name__}.",
                allowed="embnic.Bags.",
                do="Build them with Bags.from_lists, from_torch or from_kjt.",
            )
        policy = enum_member(OutOfRange, out_of_range, "out_of_range", do="Choose one of these.")
        checked = bags.validate_against(self.tables.values(), out_of_range=policy)
        if self._card is None or self._master is None:
            pooled = self._lookup_backend(checked, out, deadline)
        else:
            pooled = self._lookup_card(self._card, self._master, checked, out)
        self._counts["bags"] += checked.bags_total
        return pooled

    def _check_lookup_deadline(self, deadline: float | None) -> None:
        _check_deadline(deadline)
        if self._select is None and deadline is not None:
            raise ConfigError(
                f"lookup(deadline={deadline:g}) on the target {self._backend.name!r}.",
                allowed="deadlines of a lookup on the target 'select'.",
                do="Open target='select', or give open() the deadline of a card.",
            )

    def _lookup_backend(
        self, bags: Bags, out: Mapping[str, NDArray[Any]] | None, deadline: float | None
    ) -> dict[str, NDArray[Any]]:
        select = self._select
        if select is None:
            pooled = self._backend.lookup(bags, out)
            self._counts["bags_by_cpu"] += bags.bags_total
            return pooled
        before = select.bags_by_card
        pooled = select.lookup(bags, out, deadline=deadline)
        by_card = select.bags_by_card - before
        self._counts["bags_by_card"] += by_card
        self._counts["bags_by_cpu"] += bags.bags_total - by_card
        return pooled

    def _lookup_card(
        self,
        card: CardBackend,
        master: CpuBackend,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None,
    ) -> dict[str, NDArray[Any]]:
        for name in bags:
            if name not in self._loaded:
                master.rows(name)  # says that the table was never loaded
        arrays = output_arrays(self.tables, bags, out)
        answered = 0
        if self._card_serves("lookup"):
            answered = self._answer(card, master, bags, arrays)
        else:
            master.lookup(bags, arrays)
        self._counts["bags_by_card"] += answered
        self._counts["bags_by_cpu"] += bags.bags_total - answered
        return arrays

    def _answer(
        self, card: CardBackend, master: CpuBackend, bags: Bags, arrays: dict[str, NDArray[Any]]
    ) -> int:
        """Answer on the card, the rest on the CPU; return how many bags the card answered."""
        result = card.prepare(bags)
        try:
            card.answer(result)
        except LOST as error:
            self._lose(error)
        if result.too_long:
            self._count_too_long(result.too_long)
        answered = 0
        for name in bags:
            values, done = card.vectors(result, name), result.done(name)
            if values is not None:
                arrays[name][...] = values
            if not done.all():
                rest = select(result.bags[name], ~done)
                missing = master.lookup(Bags({name: rest}))[name]
                if self.tables[name].pooling is Pooling.NONE:  # a bag without an id was a null key
                    keys = np.flatnonzero(~done)
                    arrays[name][keys] = 0
                    arrays[name][keys[rest.lengths > 0]] = missing
                else:
                    arrays[name][~done] = missing
            answered += _whole_bags(self.tables[name], bags[name], done)
        return answered

    def _count_too_long(self, bags: int) -> None:
        text = f"{bags} bags are too long to be continued over the card's frames at this MTU"
        if not self._fallback:
            raise ConfigError(
                f"{text}.",
                allowed="bags that fit one frame.",
                do="Raise mtu, or allow the fallback to the CPU.",
            )
        self._fallbacks["bag_too_long"] += bags
        if "bag_too_long" not in self._logged:
            self._logged.add("bag_too_long")
            _log.warning("%s; the CPU answers them (logged once)", text)

    # -- the card's life ----------------------------------------------------------------------------------------------

    def reattach(self) -> None:
        """Move the traffic back to the card: check its identity, reload every table from the master copy.

        Raises what is wrong when the card still does not serve; the CPU then goes on serving.
        """
        self._check_open("reattach")
        if self._select is not None:
            self._select.reattach()
            self._counts["reattached"] += 1
            return
        card = self._card
        if card is None:
            raise ConfigError(
                f"reattach() on the target {self._backend.name!r}.",
                allowed="targets with a card, and 'select'.",
                do="Open target='rtl'.",
            )
        try:
            card.reattach()
            for name in self.tables:
                if name in self._loaded:
                    card.load(name, self._rows(name))
        except BaseException as error:
            self._lost = error  # also when it was serving until now
            raise
        self._lost = None
        self._counts["reattached"] += 1
        _log.info("the card serves again as target %s", card.name)

    def _on_card(self, action: Any) -> None:
        try:
            action(self._card)
        except LOST as error:
            self._lose(error)
        except ConfigError:
            raise  # refused before anything was sent
        except BaseException as error:
            # Interrupted: the card may hold some of the new rows only. The master has all, so it serves from here on.
            self._lost = error
            raise

    def _lose(self, error: Exception) -> None:
        """Note that the card is lost: count, log once, and raise when there is no fallback."""
        self._lost = error
        self._fallbacks[type(error).__name__] += 1
        if not self._fallback:
            raise error
        _log.warning(
            "the card (target %s) is lost, the cpu serves from here on: %s: %s",
            self._backend.name,
            type(error).__name__,
            error,
        )

    def _card_serves(self, call: str) -> bool:
        if self._lost is None:
            return True
        if self._fallback:
            return False
        raise LinkError(
            f"{call}: the card was lost before ({type(self._lost).__name__}: {self._lost}) and fallback=False. "
            "Do: call reattach()."
        )

    # -- counters -----------------------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """Return a snapshot of the counters of the card, the link and the engine.

        The card's counters are those of its last snapshot that could be read; a lost card is not asked.
        """
        self._check_open("stats")
        card: Mapping[str, int] = {}
        link: Mapping[str, int] = {}
        latency: Mapping[str, Histogram] = {}
        if self._card is None:
            card = self._backend.stats()
        else:
            if self._lost is None:
                self._on_card(lambda found: found.refresh_counters())
            card, link = self._card.card_counters, self._card.link_counters.as_dict()
            latency = self._card.card_latency
        counts = self._counts
        return Stats(
            target=self.target,
            bags=counts["bags"],
            bags_by_card=counts["bags_by_card"],
            bags_by_cpu=counts["bags_by_cpu"],
            updates=counts["updates"],
            reattached=counts["reattached"],
            fallback_total=dict(self._fallbacks),
            card=card,
            link=link,
            latency=latency,
        )

    def check_conservation(self) -> None:
        """Wait until the card is idle and check that its counters add up; nothing to check on other targets.

        Raises DeviceFault when they do not, LinkError when the card is lost.
        """
        self._check_open("check_conservation")
        if self._card is None:
            return
        if self._lost is not None:
            raise LinkError(
                f"check_conservation: the card was lost before ({type(self._lost).__name__}: {self._lost}). "
                "Do: call reattach()."
            )
        self._card.driver.check_conservation()

    def errors(self) -> list[ErrorRecord]:
        """Return the last errors that the card kept, the oldest first; none on other targets or a lost card."""
        self._check_open("errors")
        if self._card is None or self._lost is not None:
            return []
        return self._card.driver.errors()

    def generate(self, name: str, *, frames: int = 64) -> Generated | None:
        """Let the card ask itself for bags of a loaded table, without a link; None where it cannot.

        It cannot on a target that is not a card, on a card without a generator, or when the card is lost.
        """
        self._check_open("generate")
        self._table(name)
        card = self._card
        if card is None or self._lost is not None or not card.driver.capabilities.generator:
            return None
        self._rows(name)  # says that the table was never loaded
        return card.driver.generate(name, frames=frames)

    # -- checks -------------------------------------------------------------------------------------------------------

    def _check_open(self, call: str) -> None:
        if self._state == "closed":
            raise ClosedError(f"Engine.{call}")

    def _table(self, name: str) -> Table:
        if name not in self.tables:
            raise ConfigError(
                f"The table {name!r} does not exist.",
                allowed=", ".join(repr(known) for known in self.tables) + ".",
                do="Name a table that was given to open().",
            )
        return self.tables[name]

    def _rows(self, name: str) -> NDArray[Any]:
        """Return the master rows of a table."""
        assert self._master is not None
        return self._master.rows(name)


def _whole_bags(table: Table, bags: TableBags, done: NDArray[np.bool_]) -> int:
    """Return how many bags are answered; `done` is by bag, or by id of a table without pooling."""
    if table.pooling is not Pooling.NONE:
        return int(done.sum())
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(done, dtype=np.int64)])
    return int((before[bags.offsets[1:]] - before[bags.offsets[:-1]] == bags.lengths).sum())
