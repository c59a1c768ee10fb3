# SPDX-License-Identifier: Apache-2.0
"""Tell the row cache of a card what to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .backends.base import RowHolder
from .config import enum_member
from .engine_core import EngineCore
from .errors import ConfigError
from .gen.wire import Hold
from .rows import check_ids

if TYPE_CHECKING:
    from .residency import Prefetched

__all__ = ["CacheEngine"]


class CacheEngine(EngineCore):
    """Add to an engine what its card's row cache can be asked for."""

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
        served = self._on_card
        with self._change("fill"):
            table = self._table(name)
            with self._alone():
                if served is None:
                    holder = self._backend
                    if isinstance(holder, RowHolder):
                        holder.fill(name, ids, rows, checked)
                    else:
                        self._server.update(name, ids, rows)
                elif served.serves("fill"):
                    served.master.update(name, ids, rows)
                    served.on_card(lambda card: card.fill(name, ids, rows, checked))
                else:
                    served.master.update(name, ids, rows)
                    served.card.driver.remember(name, check_ids(table, ids), checked)
            self._counts.event("updates")

    def configure_cache(self, *, cached_ways: int = 1, admission: bool = False) -> None:
        """Set how many ways of every set of the card's cache pinned and locked rows leave to others, and its filter.

        With `admission` a miss replaces a line only if its row was looked up more often lately. The cache is emptied,
        what is pinned is fetched again. Nothing happens on a target without such a cache.
        """
        self._check_open("configure_cache")
        holder, served = self._backend, self._on_card
        if not isinstance(holder, RowHolder):
            return
        with self._asking("configure_cache"):
            if served is None:
                holder.configure_cache(cached_ways=cached_ways, admission=admission)
            elif served.serves("configure_cache"):
                served.on_card(
                    lambda card: card.configure_cache(cached_ways=cached_ways, admission=admission)
                )

    def _hold(self, call: str, name: str, ids: Any, hold: Hold) -> Prefetched:
        from .residency import Prefetched, distinct

        self._check_open(call)
        wanted = distinct(check_ids(self._table(name), ids))
        found = [Prefetched(len(wanted))]
        holder, served = self._backend, self._on_card
        if not isinstance(holder, RowHolder):
            return found[-1]
        with self._asking(call):
            self._table(name)  # it may have been dropped meanwhile
            if served is None:
                return holder.hold_rows(name, wanted, hold)
            if served.serves(call) and served.holds(name):
                served.on_card(lambda card: found.append(card.hold_rows(name, wanted, hold)))
            else:
                served.card.driver.remember(name, wanted, hold)
            return found[-1]
