# SPDX-License-Identifier: Apache-2.0
"""Give every request to the path that answers it soonest: the card, the GPU or the CPU, each holding all rows.

What a path takes is predicted by a line through a few timed calls, made once every table is loaded:

    seconds = (fixed + per_key * keys + per_byte * bytes) * load + queued

`bytes` are those of the rows gathered and of the vectors returned. `load` follows how long the path really took,
compared with the prediction, and goes back to 1 while the path is not used, so that a path that was busy once is tried
again. `queued` is what the path itself says it still has to do. A path whose rows moved to another tier (a GPU that now
caches them) is timed again.

With a deadline, a path must meet it even when it errs as much as it did in its timed calls. When none does, the soonest
is taken, and counted.

No choice changes a result: all paths give the same bits, and an update returns when all of them have it. The CPU is
always one of the paths and updated first. A path that fails is left out from then on, and the request goes to another;
`reattach` reloads it from the CPU's rows.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arithmetic import OUTPUT
from .backends.base import Backend, Capabilities
from .backends.card import CardBackend
from .backends.cpu import CpuBackend
from .bags import Bags
from .config import Table, tables_by_name
from .errors import LOST, ClosedError, ConfigError, DeviceTimeout
from .gen.wire import Pooling
from .products import ProductBags

__all__ = ["Cost", "Path", "SelectBackend", "Work", "fit", "work_of"]

_log = logging.getLogger("embnic.select")

SEED = 1  # of the ids in timed calls
SHAPES = (
    (1, 1),
    (1, 64),
    (64, 1),
    (64, 32),
    (512, 20),
)  # bags of a table and ids of a bag in timed calls
REPEATS = 3
PATIENCE = 0.5  # seconds of timed calls after which a slow path is not asked for larger ones
HALF_LIFE = 1.0  # seconds in which a load that is not seen any more goes half the way back to 1
CALLS = 5  # of which the load is the median: one call that was held up says nothing


class Work(NamedTuple):
    """What a request asks of a path."""

    keys: int
    bytes: int  # of rows gathered and vectors returned


class Cost(NamedTuple):
    """What a path takes: seconds for a request, a key, a byte; `error` is the largest relative error of the fit."""

    fixed: float
    per_key: float
    per_byte: float
    error: float

    def seconds(self, work: Work) -> float:
        """Return the predicted seconds."""
        return self.fixed + self.per_key * work.keys + self.per_byte * work.bytes

    def __str__(self) -> str:
        """Show the line."""
        return (
            f"{self.fixed * 1e6:,.1f} us + {self.per_key * 1e9:,.2f} ns a key + {self.per_byte * 1e9:,.4f} ns a byte "
            f"(within {self.error:.0%})"
        )


def work_of(tables: Mapping[str, Table], bags: Bags) -> Work:
    """Return what a request asks of a path.

    >>> item = Table("item", rows=9, dim=4, pooling="sum")
    >>> work_of({"item": item}, Bags.from_lists({"item": [[3, 8, 8], [5]]}))
    Work(keys=4, bytes=96)
    """
    keys = moved = 0
    for name, part in bags.items():
        table = tables[name]
        vectors = len(part.values) if table.pooling is Pooling.NONE else len(part)
        keys += len(part.values)
        moved += len(part.values) * table.row_bytes
        moved += vectors * table.dim * OUTPUT[table.dtype].itemsize
    return Work(keys, moved)


def fit(samples: Sequence[tuple[Work, float]]) -> Cost:
    """Return the line through measured seconds with the least squared relative error and no negative part.

    With three parts, the best of all choices of parts that may be positive is the non-negative solution.
    """
    parts = np.array([[1.0, work.keys, work.bytes] for work, _ in samples])
    seconds = np.array([max(took, 1e-9) for _, took in samples])
    scaled = parts / seconds[:, np.newaxis]
    best: tuple[float, NDArray[Any]] = (np.inf, np.array([float(seconds.mean()), 0.0, 0.0]))
    for count in (1, 2, 3):
        for chosen in itertools.combinations(range(3), count):
            columns = scaled[:, chosen]
            size = np.linalg.norm(columns, axis=0)
            solved = np.linalg.lstsq(columns / size, np.ones(len(seconds)), rcond=None)[0] / size
            if (solved < 0).any():
                continue
            line = np.zeros(3)
            line[list(chosen)] = solved
            miss = float(((scaled @ line - 1) ** 2).sum())
            if miss < best[0] - 1e-12:
                best = (miss, line)
    line = best[1]
    error = float(np.abs(scaled @ line - 1).max())
    return Cost(float(line[0]), float(line[1]), float(line[2]), error)


@dataclass
class Path:
    """One way to answer, and what is known of it. `queued` returns the seconds of work that it still has to do."""

    name: str
    backend: Backend
    queued: Callable[[], float] = lambda: 0.0
    cost: Cost | None = None
    tier: str = ""
    ratios: list[float] = field(
        default_factory=lambda: [1.0] * CALLS
    )  # seconds taken by those predicted
    seen: float = 0.0  # when the last was measured
    lost: str = ""  # why it is left out
    answered: Counter[str] = field(default_factory=Counter)

    def expect(self, work: Work, now: float) -> float:
        """Return the predicted seconds, from what is known `now`."""
        assert self.cost is not None
        return self.cost.seconds(work) * self.load_at(now) + self.queued()

    def load_at(self, now: float) -> float:
        """Return the load: the median of the last ratios, which goes back to 1 by half every HALF_LIFE seconds."""
        return float(sorted(self.ratios)[CALLS // 2] ** self._fading(now))

    def _fading(self, now: float) -> float:
        return float(0.5 ** (max(now - self.seen, 0.0) / HALF_LIFE))

    def learn(self, predicted: float, took: float, now: float) -> None:
        """Take in how long a call took that was predicted without load."""
        fading = self._fading(now)
        self.ratios = [
            *(ratio**fading for ratio in self.ratios[1:]),
            max(took, 1e-9) / max(predicted, 1e-9),
        ]
        self.seen = now


class SelectBackend:
    """Answer every request on the path that is soonest.

    `clock` returns seconds; a test gives its own.
    """

    name = "select"

    def __init__(
        self,
        tables: Iterable[Table],
        paths: Iterable[Path],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Take paths whose backends hold `tables`; one of them must be the CPU."""
        self.tables = tables_by_name(tables)
        listed = {path.name: path for path in paths}
        if not isinstance(getattr(listed.get("cpu"), "backend", None), CpuBackend):
            raise ConfigError(
                f"The paths are {list(listed)}.",
                allowed="paths with 'cpu' among them.",
                do="Add the CPU: it holds the rows.",
            )
        self.paths = {"cpu": listed.pop("cpu"), **listed}
        taken = [path.backend.capabilities for path in self.paths.values()]
        self.capabilities = Capabilities(
            dtypes=frozenset.intersection(*(each.dtypes for each in taken)),
            poolings=frozenset.intersection(*(each.poolings for each in taken)),
            orders=frozenset.intersection(*(each.orders for each in taken)),
            weighted=all(each.weighted for each in taken),
            max_dim=min(each.max_dim for each in taken),
        )
        self._clock = clock
        self._loaded: set[str] = set()
        self._sizes = {
            name: (
                table.row_bytes,
                table.dim * OUTPUT[table.dtype].itemsize,
                table.pooling is Pooling.NONE,
            )
            for name, table in self.tables.items()
        }
        self._counts: Counter[str] = Counter()
        self._closed = False

    # -- rows ---------------------------------------------------------------------------------------------------------

    def load(self, table: str, weights: Any) -> None:
        """Set all rows of a table on every path; the last table to be loaded starts the timed calls."""
        self._check_open("load")
        self._everywhere(
            lambda path: path.backend.load(
                table, weights if path.name == "cpu" else self._rows(table)
            )
        )
        self._loaded.add(table)
        if self._loaded == set(self.tables):
            self.measure()

    def update(self, table: str, ids: Any, rows: Any) -> None:
        """Overwrite rows on every path; returns when all have them."""
        self._check_open("update")
        self._everywhere(lambda path: path.backend.update(table, ids, rows))

    def _everywhere(self, change: Callable[[Path], None]) -> None:
        """Change the rows of all paths, the CPU's first; who does not take the change is left out."""
        waiting = [path for path in self.paths.values() if not path.lost]
        change(waiting[0])  # what is refused is refused here, before anything changed
        try:
            while waiting := waiting[1:]:
                try:
                    change(waiting[0])
                except LOST as error:
                    self._lose(waiting[0], error)
        except BaseException as error:
            for path in waiting:
                self._lose(path, error)
            raise

    def _rows(self, table: str) -> NDArray[Any]:
        backend = self.paths["cpu"].backend
        assert isinstance(backend, CpuBackend)
        return backend.rows(table)

    # -- lookups ------------------------------------------------------------------------------------------------------

    def lookup(
        self,
        bags: Bags,
        out: Mapping[str, NDArray[Any]] | None = None,
        *,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag on the path that is soonest, within `deadline` seconds if one can."""
        self._check_open("lookup")
        if not set(bags) <= self._loaded:
            return self.paths["cpu"].backend.lookup(bags, out)  # says which table has no rows
        if any(path.cost is None and not path.lost for path in self.paths.values()):
            self.measure()
        work = self._work(bags)
        for path in self.order(work, deadline=deadline):
            self._follow_tier(path)
            start = self._clock()
            try:
                pooled = path.backend.lookup(bags, out)
            except LOST as error:
                self._lose(path, error)
            except ConfigError:
                if path.name == "cpu":
                    raise
                self._counts["refused"] += (
                    1  # such as bags too long for the card; the CPU says if anything is wrong
                )
            else:
                self._learn(path, work, self._clock() - start)
                path.answered["requests"] += 1
                path.answered["bags"] += bags.bags_total
                return pooled
        return self.paths["cpu"].backend.lookup(bags, out)

    def product(self, pairs: ProductBags) -> NDArray[np.float32]:
        """Return the sums float32 [B, dim] of bags of pairs, from the CPU: these calls are not timed."""
        self._check_open("product")
        backend = self.paths["cpu"].backend
        assert isinstance(backend, CpuBackend)
        return backend.product(pairs)

    def _work(self, bags: Bags) -> Work:
        """Return `work_of` the bags, from bytes that were computed once: this runs before every request."""
        keys = moved = 0
        for name, part in bags.items():
            ids = len(part.values)
            row, vector, unpooled = self._sizes[name]
            keys += ids
            moved += ids * row + (ids if unpooled else len(part.offsets) - 1) * vector
        return Work(keys, moved)

    def order(self, work: Work, *, deadline: float | None = None) -> list[Path]:
        """Return the paths in the order in which they are tried: the soonest first, the CPU last if need be."""
        now = self._clock()
        expected = {
            name: path.expect(work, now)
            for name, path in self.paths.items()
            if not path.lost and path.cost
        }
        order = sorted(expected, key=lambda name: (expected[name], name))
        if deadline is not None and order:
            sure = [name for name in order if expected[name] * (1 + self._error(name)) <= deadline]
            self._counts["deadline_unsure"] += not sure
            order = [*sure, *(name for name in order if name not in sure)]
        return [self.paths[name] for name in order]

    def _error(self, name: str) -> float:
        cost = self.paths[name].cost
        return 0.0 if cost is None else cost.error

    def _learn(self, path: Path, work: Work, took: float) -> None:
        if path.cost is not None:
            path.learn(path.cost.seconds(work), took, self._clock())

    # -- the model ----------------------------------------------------------------------------------------------------

    def measure(self, *, again: bool = False) -> None:
        """Time a few calls on every path that serves and was not timed yet, or `again` on all of them."""
        for path in self.paths.values():
            if not path.lost and (again or path.cost is None):
                self._measure(path)

    def _measure(self, path: Path) -> None:
        rng = np.random.default_rng(SEED)
        samples: list[tuple[Work, float]] = []
        begun = self._clock()
        for bags, length in SHAPES:
            if samples and self._clock() - begun > PATIENCE:
                break
            request = self._request(rng, bags, length)
            try:
                took = min(self._timed(path, request) for _ in range(REPEATS))
            except DeviceTimeout as error:
                if not samples:
                    self._lose(path, error)
                    return
                break  # so large a request does not fit the card's deadline, which says nothing about smaller ones
            except LOST as error:
                self._lose(path, error)
                return
            except ConfigError:  # more than this path takes at a time
                break
            samples.append((work_of(self.tables, request), took))
        if not samples:
            self._lose(
                path,
                ConfigError("No timed call was answered.", allowed="one.", do="Use another path."),
            )
            return
        path.cost, path.tier = fit(samples), _tier(path.backend)
        path.ratios, path.seen = [1.0] * CALLS, self._clock()
        _log.info("path %s: %s", path.name, path.cost)

    def _timed(self, path: Path, request: Bags) -> float:
        start = self._clock()
        path.backend.lookup(request)
        return self._clock() - start

    def _request(self, rng: np.random.Generator, bags: int, length: int) -> Bags:
        """Return `bags` bags of `length` random ids for every table that is loaded."""
        offsets = np.arange(bags + 1, dtype=np.int64) * length
        return Bags.from_torch(
            {
                name: (rng.integers(0, self.tables[name].rows, bags * length), offsets)
                for name in self.tables
                if name in self._loaded
            },
            include_last_offset=True,
        )

    def _follow_tier(self, path: Path) -> None:
        """Time a path again whose rows are in another memory than when it was timed."""
        if _tier(path.backend) != path.tier:
            self._measure(path)

    # -- the paths' lives ---------------------------------------------------------------------------------------------

    def _lose(self, path: Path, error: BaseException) -> None:
        if path.name == "cpu":
            raise error
        path.lost = f"{type(error).__name__}: {error}"
        self._counts["lost"] += 1
        _log.warning("path %s is left out: %s", path.name, path.lost)

    def reattach(self) -> None:
        """Reload the paths that were left out from the CPU's rows and use them again; raises what is still wrong."""
        self._check_open("reattach")
        for path in self.paths.values():
            if not path.lost:
                continue
            again = getattr(path.backend, "reattach", None)
            if again is not None:
                again()
            for name in self.tables:
                if name in self._loaded:
                    path.backend.load(name, self._rows(name))
            path.lost = ""
            self._measure(path)

    @property
    def bags_by_card(self) -> int:
        """Return how many bags were answered by cards."""
        return sum(
            path.answered["bags"]
            for path in self.paths.values()
            if isinstance(path.backend, CardBackend)
        )

    def stats(self) -> dict[str, int]:
        """Return by path the requests and bags answered, and how often a path was left out or refused."""
        found = {
            f"select_{name}_{what}": path.answered[what]
            for name, path in self.paths.items()
            for what in ("requests", "bags")
        }
        return {
            **found,
            **{
                f"select_{what}": self._counts[what]
                for what in ("lost", "refused", "deadline_unsure")
            },
        }

    def describe(self) -> list[str]:
        """Return a line a path: what it costs, or why it is left out."""
        return [
            f"{path.name}: {path.lost or path.cost or 'not timed yet'}"
            + (f", rows {path.tier}" if path.tier else "")
            for path in self.paths.values()
        ]

    def close(self) -> None:
        """Close every path; may be called twice."""
        if self._closed:
            return
        self._closed = True
        for path in self.paths.values():
            try:
                path.backend.close()
            except LOST as error:
                _log.info("closing %s: %s", path.name, error)

    def _check_open(self, call: str) -> None:
        if self._closed:
            raise ClosedError(f"SelectBackend.{call}")


def _tier(backend: Backend) -> str:
    """Return where a backend's rows are, if it says so."""
    return str(getattr(backend, "tier", ""))
