# SPDX-License-Identifier: Apache-2.0
"""Await lookups: an asyncio front of an engine, with a bounded queue.

The engine's calls run in a few threads, so the event loop goes on meanwhile. A cancelled call that has not begun never
begins; one that has begun ends by itself and its answer is dropped. `out` is filled by the event loop when the answer
is there, so a cancelled call never touches it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from .backends.base import output_arrays
from .bags import Bags
from .batching import SHORTEST, filled
from .config import OutOfRange, Table
from .errors import ClosedError, ConfigError, Overloaded

__all__ = ["AsyncEngine", "Synchronous"]

_T = TypeVar("_T")


class Synchronous(Protocol):
    """What is awaited here: an engine."""

    @property
    def tables(self) -> Mapping[str, Table]:
        """Return the tables by name."""
        ...

    def lookup(
        self,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None = None,
        *,
        out_of_range: OutOfRange | str = OutOfRange.RAISE,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag."""
        ...

    def update(self, name: str, ids: Any, rows: Any) -> None:
        """Overwrite rows."""
        ...

    def load(self, name: str, weights: Any) -> None:
        """Set all rows of a table."""
        ...


class AsyncEngine:
    """Await the calls of an engine; an async context manager that leaves the engine open.

    At most `limit` calls wait or run at a time; one more raises Overloaded, so that a caller that is faster than the
    engine notices it. `threads` calls run at a time: on a card more than one help only with `Batching`, which merges
    them.

    >>> import embnic, numpy as np
    >>> async def main(engine):
    ...     async with AsyncEngine(engine, limit=64) as front:
    ...         return (await front.lookup(Bags.from_lists({"item": [[0, 0]]})))["item"].tolist()
    >>> with embnic.open([Table("item", rows=1, dim=2, pooling="sum")], "cpu") as engine:
    ...     engine.load("item", np.ones((1, 2), np.float32))
    ...     asyncio.run(main(engine))
    [[2.0, 2.0]]
    """

    def __init__(self, engine: Synchronous, *, limit: int = 1024, threads: int = 4) -> None:
        for what, value in (("limit", limit), ("threads", threads)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(
                    f"{what} is {value!r}.",
                    allowed="a whole number from 1.",
                    do="Leave it out, or give how many calls may wait or run.",
                )
        self._engine = engine
        self._limit = limit
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="embnic")
        self._mutex = threading.Lock()
        self._inside = 0
        self._closed = False
        self._counts: Counter[str] = Counter()

    async def lookup(
        self,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None = None,
        *,
        out_of_range: OutOfRange | str = OutOfRange.RAISE,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Await `Engine.lookup`; a deadline counts from here, the wait in the queue included."""
        if out is not None:
            output_arrays(self._engine.tables, bags, out)
        due = None if deadline is None else time.monotonic() + deadline

        def call() -> dict[str, NDArray[Any]]:
            left = deadline
            if due is not None:
                left = max(due - time.monotonic(), SHORTEST)
            return self._engine.lookup(bags, out_of_range=out_of_range, deadline=left)

        pooled = await self._run("alookup", call)
        return pooled if out is None else filled(out, pooled)

    async def update(self, name: str, ids: Any, rows: Any) -> None:
        """Await `Engine.update`; do not change the arrays before it returns, also when it was cancelled."""
        await self._run("update", lambda: self._engine.update(name, ids, rows))

    async def load(self, name: str, weights: Any) -> None:
        """Await `Engine.load`, as `update`."""
        await self._run("load", lambda: self._engine.load(name, weights))

    async def _run(self, what: str, call: Callable[[], _T]) -> _T:
        with self._mutex:
            if self._closed:
                raise ClosedError(f"Engine.{what}")
            if self._inside >= self._limit:
                self._counts["overloaded"] += 1
                raise Overloaded(what, limit=self._limit)
            self._inside += 1
            self._counts["calls"] += 1
            self._counts["most"] = max(self._counts["most"], self._inside)
            future = self._pool.submit(call)
        future.add_done_callback(self._left)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            with self._mutex:
                self._counts["cancelled"] += 1
            raise

    def _left(self, future: Future[Any]) -> None:
        """Give the place of a call back: it was answered, or cancelled before it began."""
        with self._mutex:
            self._inside -= 1

    def counters(self) -> dict[str, int]:
        """Return: calls taken in, the most at a time, those cancelled, and those refused as too many."""
        with self._mutex:
            names = ("calls", "most", "cancelled", "overloaded")
            return {name: self._counts[name] for name in names}

    def shut_down(self) -> None:
        """Take no more calls and wait for those inside; of a closed engine each ends with ClosedError."""
        with self._mutex:
            self._closed = True
        self._pool.shutdown(wait=True)

    async def close(self) -> None:
        """Do `shut_down` without holding up the event loop."""
        await asyncio.get_running_loop().run_in_executor(None, self.shut_down)

    async def __aenter__(self) -> AsyncEngine:
        """Return the front."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the front, not the engine."""
        await self.close()
