# SPDX-License-Identifier: Apache-2.0
"""Serve lookups on a card, whatever its ports are: a board, the simulated core, a fake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arithmetic import narrow
from ..bags import Bags
from ..compute import Kernels, ReferenceKernels
from ..config import Table, tables_by_name
from ..driver import Driver, PartialResult
from ..errors import ClosedError, ConfigError, DeviceError, LinkError
from ..gen.wire import DType, Hold, Pooling
from ..health import Histogram
from ..jobs import CardKernels
from ..lookup import Partials
from ..products import ProductBags
from ..residency import Prefetched
from ..rows import check_ids, to_storage
from ..stats import LinkCounters
from .base import Capabilities, output_arrays
from .cpu import counted_keys, finish_bags

__all__ = ["CardBackend"]


class CardBackend:
    """Hold tables in card memory and let the card pool.

    Errors pass through: the engine decides what becomes of a call that the card did not finish, with the help of
    `prepare` and `answer`. `release` is called last in `close`, to free what is behind the ports.
    """

    def __init__(
        self,
        tables: Iterable[Table],
        driver: Driver,
        *,
        name: str = "card",
        release: Callable[[], None] | None = None,
    ) -> None:
        """Attach to the card and define the tables; their rows are undefined until `load`."""
        self.name = name
        self.tables = tables_by_name(tables)
        self.driver = driver
        self.card_counters: dict[str, int] = {}
        self.card_latency: dict[str, Histogram] = {}
        self._release = release
        self._closed = False
        driver.attach()
        self.capabilities = Capabilities(
            dtypes=driver.dtypes,
            poolings=frozenset(Pooling),
            orders=driver.orders,
            max_dim=driver.capabilities.max_vec64 * 16,
            max_tree_k=driver.capabilities.tree_k,
            remote=driver.takes_remote,
            tree_vec64=driver.capabilities.max_vec64,
        )
        self.kernels: Kernels = (
            CardKernels(driver) if driver.capabilities.compute else ReferenceKernels()
        )
        for table in self.tables.values():
            self.capabilities.check(table, name)
        driver.define(list(self.tables.values()))

    @property
    def link_counters(self) -> LinkCounters:
        """Return the link's counters."""
        return self.driver.link_counters

    def load(self, table: str, weights: Any) -> None:
        """Set all rows of a table: [rows, D], float32 or the table's storage type; a loaded table is replaced
        between two requests.
        """
        self._check_open("load")
        described = self._table(table)
        self.driver.load(table, to_storage(described, weights, rows=described.rows))

    def check_new(self, table: Table) -> None:
        """Raise ConfigError when the card cannot hold or pool one more table, whether or not it answers now."""
        self.capabilities.check(table, self.name)
        self.driver.check_tables([*self.tables.values(), table])

    def add(self, table: Table, stored: NDArray[Any]) -> None:
        """Add a table with its stored rows [rows, columns] while the card serves the others."""
        self._check_open("add")
        self.driver.add(table, stored)

    def grow(self, table: Table, stored: NDArray[Any]) -> None:
        """Let a loaded table have more rows, all of them stored rows [rows, columns]."""
        self._check_open("grow")
        self.driver.grow(table, stored)

    def drop(self, name: str) -> None:
        """Forget a table."""
        self._check_open("drop")
        self.driver.drop(self._table(name).name)

    def note(self, tables: Mapping[str, Table]) -> None:
        """Take in what the tables are now; what a lost card does not know yet, `reattach` defines."""
        self.tables = dict(tables)

    def update(self, table: str, ids: Any, rows: Any) -> None:
        """Overwrite rows; returns when the card acknowledged all of them."""
        self._check_open("update")
        described = self._table(table)
        checked = check_ids(described, ids)
        self.driver.update(table, checked, to_storage(described, rows, rows=len(checked)))

    def fill(self, table: str, ids: Any, rows: Any, hold: Hold) -> None:
        """Overwrite rows, which are in the card's cache afterwards, held so where there is room."""
        self._check_open("fill")
        described = self._table(table)
        checked = check_ids(described, ids)
        stored = to_storage(described, rows, rows=len(checked))
        self.driver.update(table, checked, stored, hold=hold)

    def hold_rows(self, table: str, ids: Any, hold: Hold) -> Prefetched:
        """Fetch rows into the card's cache, hold or release them."""
        self._check_open("hold_rows")
        return self.driver.prefetch(table, check_ids(self._table(table), ids), hold)

    def configure_cache(self, *, cached_ways: int = 1, admission: bool = False) -> None:
        """Set up the card's cache; it is emptied, what is pinned is fetched again."""
        self._check_open("configure_cache")
        self.driver.configure_cache(cached_ways=cached_ways, admission=admission)

    def prepare(self, bags: Bags) -> PartialResult:
        """Return an empty result for bags that fit the tables."""
        self._check_open("prepare")
        return self.driver.prepare(bags)

    def answer(self, result: PartialResult) -> None:
        """Fill a prepared result; after an error it holds what was answered until then."""
        self._check_open("answer")
        self.driver.lookup(result)

    def lookup(
        self, bags: Bags, out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag on the card, or raise."""
        self._check_open("lookup")
        checked = bags.validate_against(self.tables)
        arrays = output_arrays(self.tables, checked, out)
        result = self.prepare(checked)
        self.answer(result)
        self._check_length(result)
        for name, array in arrays.items():
            array[...] = self.vectors(result, name)
        return arrays

    def check_product(self, pairs: ProductBags) -> None:
        """Raise ConfigError when the pairs do not fit the tables, or the card does not multiply rows like theirs."""
        first, _ = pairs.check(self.tables)
        if not self.driver.multiplies(first):
            raise ConfigError(
                f"Products of rows of dim {first.dim} on the target {self.name!r}.",
                allowed="cards with bit 2 of CAP_FEATURES, and vectors of at most a quarter of their longest.",
                do="Use target='cpu', or allow the fallback to it.",
            )

    def prepare_product(self, pairs: ProductBags) -> PartialResult:
        """Return an empty result for bags of pairs that `check_product` took; `answer` fills it."""
        self._check_open("product")
        return self.driver.prepare_product(pairs)

    def product(self, pairs: ProductBags) -> NDArray[np.float32]:
        """Return the sums float32 [B, dim] of bags of pairs, or raise."""
        self.check_product(pairs)
        result = self.prepare_product(pairs)
        self.answer(result)
        self._check_length(result)
        values: NDArray[np.float32] = self._raw(result, pairs.quotient)
        return values

    def partials(self, bags: Bags) -> dict[str, Partials]:
        """Return what the card holds of every bag, for somebody else to merge."""
        self._check_open("partials")
        result = self.prepare(bags.validate_against(self.tables.values()))
        self.driver.partials(result)
        self._check_length(result)
        return {
            name: Partials(self._raw(result, name), result.counts(name)) for name in result.bags
        }

    def merge(
        self, bags: Bags, owners: Mapping[str, Sequence[Partials]]
    ) -> dict[str, NDArray[Any]]:
        """Pool every bag [B, dim] with the partials that other owners hold of it, by ascending owner.

        The card merges; the tables' order is `split`.
        """
        self._check_open("merge")
        result = self.prepare(bags.validate_against(self.tables.values()))
        self.driver.merge(result, owners)
        self._check_length(result)
        merged = {}
        for name, part in result.bags.items():
            table = self._table(name)
            others = sum(
                (each.counts for each in owners.get(name, ())), np.zeros(len(part), np.int64)
            )
            counts = counted_keys(table, part) + others
            merged[name] = self._finished(table, self._raw(result, name), counts)
        return merged

    def _raw(self, result: PartialResult, name: str) -> NDArray[Any]:
        """Return the vectors of a table as the card sent them [B, dim], of no bags none."""
        raw, table = result.values(name), self._table(name)
        if raw is None:
            return np.zeros((0, table.dim), np.int32 if table.dtype is DType.FIXED else np.float32)
        return raw

    @staticmethod
    def _check_length(result: PartialResult) -> None:
        if result.too_long:
            raise ConfigError(
                f"{result.too_long} bags are too long to be continued over the card's frames at this MTU.",
                allowed="bags that fit one frame.",
                do="Raise mtu.",
            )

    def vectors(self, result: PartialResult, name: str) -> NDArray[Any] | None:
        """Return the vectors of a table in the type of its results [B, D]; None: no bags. Those not done mean nothing.

        The card sums in fp32 and divides; sums and means of fp16 and bf16 rows are rounded here. It answers `fixed`
        tables with the integers, which are scaled and divided here.
        """
        raw, table = result.values(name), self._table(name)
        if raw is None:
            return None
        counts = None
        if table.dtype is DType.FIXED:
            counts = counted_keys(table, result.bags[name])
        return self._finished(table, raw, counts)

    @staticmethod
    def _finished(
        table: Table, raw: NDArray[Any], counts: NDArray[np.int64] | None
    ) -> NDArray[Any]:
        """Return vectors as the card sent them in the type of the table's results; `fixed` needs the counts [B]."""
        if table.dtype is DType.FIXED and counts is not None:
            return finish_bags(table, raw, counts)
        if table.pooling is Pooling.NONE:
            return _stored_bits(raw, table.dtype)
        half_up = (
            table.dtype is DType.BF16 and table.pooling is Pooling.SUM and not table.mul_then_add
        )
        return narrow(raw, table.dtype, half_up=half_up)

    def refresh_counters(self) -> None:
        """Read the card's counters into `card_counters`, its histograms into `card_latency`."""
        self._check_open("stats")
        self.card_counters = self.driver.counters()
        self.card_latency = self.driver.latency()

    def stats(self) -> dict[str, int]:
        """Return the card's counters, and the link's with the prefix `link_`."""
        self.refresh_counters()
        link = {f"link_{name}": value for name, value in self.link_counters.as_dict().items()}
        return {**self.card_counters, **link}

    def reattach(self) -> None:
        """Check the card's identity again and define the tables; every table has to be loaded after."""
        self._check_open("reattach")
        self.driver.attach()
        self.driver.define(list(self.tables.values()))

    def close(self) -> None:
        """Disable the card and give it back; may be called twice; a dead card does not keep it open."""
        if self._closed:
            return
        self._closed = True
        try:
            self.driver.detach()
        except (DeviceError, LinkError):
            pass  # it is disabled as far as it can be
        finally:
            if self._release is not None:
                self._release()

    def _check_open(self, call: str) -> None:
        if self._closed:
            raise ClosedError(f"{self.name}.{call}")

    def _table(self, name: str) -> Table:
        if name not in self.tables:
            raise ConfigError(
                f"The table {name!r} does not exist.",
                allowed=", ".join(repr(known) for known in self.tables) + ".",
                do="Name a table that was given at the start.",
            )
        return self.tables[name]


def _stored_bits(wide: NDArray[Any], dtype: DType) -> NDArray[Any]:
    """Return rows that the card widened as they are stored, NaNs with their payload."""
    if dtype is DType.BF16:
        high: NDArray[np.uint16] = (wide.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
        return high
    narrowed = narrow(wide, dtype)
    if dtype is DType.FP16:
        bits, nan = wide.view(np.uint32), np.isnan(wide)
        halves = (bits >> np.uint32(16) & np.uint32(0x8000)) | np.uint32(0x7C00)
        halves |= bits >> np.uint32(13) & np.uint32(0x3FF)
        narrowed.view(np.uint16)[nan] = halves[nan].astype(np.uint16)
    return narrowed
