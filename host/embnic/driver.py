# SPDX-License-Identifier: Apache-2.0
"""Drive a card: identity, tables, lookups, updates, counters.

The driver sees a `Bus`, a `Memory` and a `Link`, nothing else: a board, the Verilated core and a fake are driven by the
same lines. It is synchronous: between calls nothing of its own is in flight. Time is the device's.

An update travels as UPDATE frames that name this driver's client id and a sequence; the card applies each
sequence once, however often its frame arrives. Where that cannot be (a row longer than a frame, a client table that is
full), the rows are written through the memory port while the card answers BUSY, and its row cache is emptied. So are
the rows of a remote table, through their owners' memory port.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .bags import Bags
from .card_tables import CardTables
from .config import Table
from .errors import (
    ConfigError,
    ContractMismatch,
    DeviceFault,
    DeviceTimeout,
    LinkError,
)
from .exchange import Exchange, Pending, Timing, Window
from .framing import (
    ETHERNET_BYTES,
    PAIR_BANKS,
    FrameLimits,
    check_mtu,
    groups,
    one_key_bags,
    payload_limit,
    product_group,
)
from .gen.configs import CONFIGS
from .gen.wire import (
    CONTRACT_HASH,
    FRAME_OVERHEAD,
    KEY_TABLE_SHIFT,
    UNIT_BYTES,
    WIRE_VERSION,
    DType,
    Hold,
    Order,
    Pooling,
    Status,
)
from .jobs import Job, JobSession
from .lookup import LookupPlanner, PartialResult, Partials, Sink
from .operate import Capabilities
from .ports import Bus, Link, Memory
from .products import ProductBags
from .registers import CARD_MAGIC
from .residency import Prefetched, PrefetchFrame, distinct, prefetch_requests
from .rows import pack
from .updates import ClientsFull, PingRequest, UpdateSession
from .wire import (
    Endpoint,
    Route,
    encode_ping,
)

__all__ = ["DEFAULT_ROUTE", "Capabilities", "Driver", "PartialResult"]

_log = logging.getLogger("embnic.driver")

_T = TypeVar("_T")
Plan = Callable[[LookupPlanner, Sink, PartialResult], Iterable[Pending]]

DEFAULT_ROUTE = Route(
    Endpoint("02:00:00:00:00:01", "10.0.0.1"), Endpoint("02:00:00:00:00:02", "10.0.0.2")
)


class Driver(CardTables):
    """Drive one card over its three ports.

    `owners` reaches the memory of the cards that hold remote rows; None: there are no remote tables.
    `config` is the configuration the card must have been built as; None accepts any that this package knows. `dtypes`
    and `orders` are what the card may be asked to pool; None: the orders that it says it has.
    """

    def __init__(
        self,
        bus: Bus,
        memory: Memory,
        link: Link,
        *,
        timing: Timing,
        owners: Memory | None = None,
        mtu: int = 1500,
        config: str | None = None,
        route: Route = DEFAULT_ROUTE,
        dtypes: frozenset[DType] = frozenset(DType),
        orders: frozenset[Order] | None = None,
    ) -> None:
        check_mtu(mtu)
        if config is not None and config not in CONFIGS:
            raise ConfigError(
                f"config is {config!r}.", allowed=", ".join(CONFIGS) + ".", do="Give one of these."
            )
        super().__init__(bus, memory, link, timing, owners)
        self._mtu = mtu
        self._route = route
        self._config = config
        self.dtypes, self._orders = dtypes, orders
        self._updates = UpdateSession(route)
        self._jobs = JobSession(route)
        self._cache_setting = (
            1,
            False,
        )  # ways left to rows that are not held, and the admission filter
        self._session = 0
        self._limits: FrameLimits | None = None
        self._exchange: Exchange | None = None
        self._clients_full = False

    @property
    def orders(self) -> frozenset[Order]:
        """Return the orders that the card pools in: with all rows on one card, split adds in key order."""
        if self._orders is not None:
            return self._orders
        trees = {Order.TREE} if self.capabilities.tree_k else set()
        return frozenset({Order.SEQUENTIAL, Order.SPLIT} | trees)

    # -- identity -----------------------------------------------------------------------------------------------------

    @property
    def limits(self) -> FrameLimits:
        """Return what one frame may hold."""
        return _attached(self._limits)

    def attach(self) -> None:
        """Check the card's identity, set it up, and enable it; also after it was lost.

        Raises ContractMismatch when it was built from another contract or configuration. A card that was reset in
        between is noticed by its scratch register, and gets a new client id for updates.
        """
        with self._errors("attaching to the card"):
            self._check_identity()
            regs = self._registers
            regs.CONTROL.write(0)
            self._wait_status("waiting for idle (busy)", "flush_busy", "reset_busy", "generating")
            self._poll(lambda: bool(regs.STATUS.field("drained")), "waiting for idle (drained)")
            self._read_capabilities()
            regs.REPLY_BEATS64.write(self.limits.reply_units)
            self._write_cache_setting()
            known = self._session and regs.SCRATCH.read() == self._session
            if not known:
                self._new_session()
            regs.CONTROL.write_fields(enable=1)
            self._ping()
            self._settle_updates()

    def _check_identity(self) -> None:
        regs = self._registers
        _same("magic number", regs.MAGIC.read(), CARD_MAGIC)
        _same("contract hash", regs.CONTRACT_HASH.read(), CONTRACT_HASH)
        device = regs.CONFIG_ID.read()
        by_id = {config.config_id: name for name, config in CONFIGS.items()}
        if self._config is not None:
            _same("configuration id", device, CONFIGS[self._config].config_id)
        if device not in by_id:
            raise ContractMismatch(
                "configuration id", device=device, package=f"one of {sorted(by_id)}"
            )

    def identity(self) -> dict[str, str]:
        """Return what the card says it is: its identity registers, in words."""
        with self._errors("reading the identity"):
            regs = self._registers
            version = regs.VERSION.fields()
            git = regs.GIT_HASH.read()
            number = regs.CONFIG_ID.read()
            names = [name for name, config in CONFIGS.items() if config.config_id == number]
            return {
                "magic": f"0x{regs.MAGIC.read():08x}",
                "contract hash": f"0x{regs.CONTRACT_HASH.read():08x}",
                "configuration": f"{names[0] if names else 'unknown'} ({number})",
                "version": "{major}.{minor}.{patch}".format(**version),
                "git hash": f"{git:08x}" if git else "unknown",
            }

    def _read_capabilities(self) -> None:
        found = Capabilities(
            **{
                item.name: self._registers[f"CAP_{item.name.upper()}"].read()
                for item in fields(Capabilities)
            }
        )
        self._capabilities = found
        payload = payload_limit(self._mtu, found.ks_bytes)
        units = min((self._mtu - FRAME_OVERHEAD + ETHERNET_BYTES) // UNIT_BYTES, 255)
        self._limits = FrameLimits(
            payload=payload,
            reply_vec64=found.reply_vec64,
            reply_units=units,
            merge_units=found.merge_units,
        )
        window = Window(
            frames=max(found.ctxs, 1), bytes=found.ks_bytes, beat=max(found.data_w // 8, 1)
        )
        self._exchange = Exchange(self._link, self._timing, window, self.link_counters)

    def _new_session(self) -> None:
        self._session = secrets.randbits(32) | 1
        self._registers.SCRATCH.write(self._session)
        _same("scratch register", self._registers.SCRATCH.read(), self._session)
        self._updates.renew()
        self._clients_full = False

    def _ping(self) -> None:
        """Prove the link and the wire version: a card of another version drops the frame."""
        exchange = _attached(self._exchange)
        ids = exchange.next_ids(1)
        ping = PingRequest(encode_ping(self._route, ids), int(ids[0]), 0)
        try:
            exchange.run([ping], doing="waiting for the answer to PING")
        except DeviceTimeout:
            dropped = self.counters()["drop_version"]
            if dropped:
                raise ContractMismatch(
                    "wire version", device="another one (it drops our frames)", package=WIRE_VERSION
                ) from None
            raise

    # -- lookups ------------------------------------------------------------------------------------------------------

    def prepare(self, bags: Bags) -> PartialResult:
        """Return an empty result for `bags`, which fit the tables (see `Bags.validate_against`)."""
        cut = {
            name: one_key_bags(part) if self._tables[name].pooling is Pooling.NONE else part
            for name, part in bags.items()
        }
        return PartialResult(Bags(cut), groups(Bags(cut), self._tables, self._numbers))

    def multiplies(self, table: Table) -> bool:
        """Return whether the card multiplies rows of the table's shape by others."""
        caps = self.capabilities
        return caps.products and PAIR_BANKS * table.vec64 <= caps.max_vec64

    def prepare_product(self, pairs: ProductBags) -> PartialResult:
        """Return an empty result for bags of pairs, which fit the tables, under the name of the first keys' table."""
        group = product_group(pairs, self._tables, self._numbers)
        found = [group] if group.bags else []
        return PartialResult(Bags({pairs.quotient: pairs.quotients}), found)

    def lookup(self, result: PartialResult) -> None:
        """Answer the bags of a prepared result on the card.

        When this raises, `result` still holds what was answered before. Bags that do not fit the card's frames are not
        done afterwards and counted in `result.too_long`.
        """
        self._answer(result, LookupPlanner.requests)

    def partials(self, result: PartialResult) -> None:
        """Fill a prepared result with the partials of its bags: accumulators, and in `counts` the keys that they hold.

        Errors and long bags as in `lookup`.
        """
        self._answer(result, LookupPlanner.partials)

    def merge(self, result: PartialResult, owners: Mapping[str, Sequence[Partials]]) -> None:
        """Answer the bags of a prepared result, each merged with its partials of other owners.

        `owners` gives for each table the partials of all its bags, by ascending owner. The tables' order is `split`.
        Errors and long bags as in `lookup`.
        """
        held = {name: [*parts] for name, parts in owners.items()}
        for name in result.names:
            if self._tables[name].order is not Order.SPLIT:
                raise ConfigError(
                    f"Table {name!r}: partials are merged in order {self._tables[name].order.name.lower()!r}.",
                    allowed="tables of order 'split'.",
                    do="Give the table order='split'.",
                )
        self._answer(result, lambda planner, sink, out: planner.merges(sink, out, held))

    def _answer(self, result: PartialResult, plan: Plan) -> None:
        """Send the requests that `plan` makes for each group of a result."""
        with self._errors("a lookup"):
            exchange = _attached(self._exchange)
            planner = LookupPlanner(self._route, self.limits, exchange)
            requests = [request for sink in result.sinks for request in plan(planner, sink, result)]
            try:
                exchange.run(requests, doing="waiting for lookups")
            except DeviceFault as fault:
                if fault.code == Status.OUT_OF_RANGE:  # the caller's fault, if an id really is
                    result.bags.validate_against(self._tables.values())
                raise

    # -- the cache ----------------------------------------------------------------------------------------------------

    def configure_cache(self, *, cached_ways: int = 1, admission: bool = False) -> None:
        """Set how many ways of every set pinned and locked rows leave to others, and the admission filter.

        The card answers BUSY meanwhile, its row cache is emptied, and what is pinned is fetched again.
        """
        ways = self.capabilities.ways
        if isinstance(cached_ways, bool) or not 0 <= cached_ways <= ways:
            raise ConfigError(
                f"cached_ways is {cached_ways!r}.",
                allowed=f"0 to {ways} on this card.",
                do="Give the ways of a set that pinned rows may not take.",
            )
        with self._errors("setting up the row cache"):
            with self._quiet():
                self._cache_setting = (cached_ways, admission)
                self._write_cache_setting()
            self._restore_pins()

    def _write_cache_setting(self) -> None:
        ways, admission = self._cache_setting
        self._registers.CACHE.write_fields(cached_ways=ways, admission=int(admission))

    def prefetch(self, name: str, ids: NDArray[np.int64], hold: Hold = Hold.NONE) -> Prefetched:
        """Fetch the rows `ids` [n] into the card's cache, hold or release them; return when they have come.

        A pin lasts until its release, also over loads and updates; the rows must have been loaded to be pinned.
        """
        wanted = distinct(ids)
        with self._errors(f"prefetching rows of table {name!r}"):
            found = self._prefetch(name, wanted, hold)
        self.remember(name, wanted, hold)
        return found

    def _prefetch(self, name: str, ids: NDArray[np.int64], hold: Hold) -> Prefetched:
        exchange, per_frame = _attached(self._exchange), self.limits.keys(weighted=False)
        frame = PrefetchFrame(self._tables[name], self._numbers[name], per_frame)
        requests = prefetch_requests(self._route, exchange, ids, hold=hold, frame=frame)
        exchange.run(requests, doing="waiting for prefetches")
        return sum((request.result for request in requests), Prefetched(0))

    def pinned(self, name: str) -> NDArray[np.int64]:
        """Return the rows of a table that were pinned, in that order; the card holds those for which it had room."""
        return self._residency[name]

    def remember(self, name: str, ids: NDArray[np.int64], hold: Hold) -> None:
        """Note pins and releases for when the card serves again."""
        if hold is Hold.PIN:
            self._residency.pin(name, ids)
        elif hold is Hold.RELEASE:
            self._residency.unpin(name, ids)

    def _restore_pins(self) -> None:
        """Pin again what was pinned, after the cache was emptied."""
        for name in self._residency:
            if self._generations.get(name):
                self._prefetch(name, self._residency[name], Hold.PIN)

    # -- updates ------------------------------------------------------------------------------------------------------

    def update(
        self, name: str, ids: NDArray[np.int64], rows: NDArray[Any], *, hold: Hold | None = None
    ) -> None:
        """Overwrite the rows `ids` [n] with stored rows [n, columns]; a repeated id keeps its last.

        Pinned rows stay pinned. With `hold` the rows are in the card's cache afterwards (FILL), held so where there is
        room; not so when the card takes updates through its memory port only. Returns when the card acknowledged all
        of it. When this raises, some rows may have been written: write them again, or reload the table.
        """
        table = self._tables[name]
        last = len(ids) - 1 - np.unique(ids[::-1], return_index=True)[1]
        ids, packed = ids[last], pack(table, rows[last])
        if not len(ids):
            return
        per_frame = self.limits.rows(table.stored_vec64)
        with self._errors(f"updating table {name!r}"):
            if per_frame and not self._clients_full and not table.remote:
                keys = ids.view(np.uint64) | np.uint64(self._numbers[name] << KEY_TABLE_SHIFT)
                exchange = _attached(self._exchange)
                try:
                    self._updates.write(
                        exchange, keys, packed, table=table, per_frame=per_frame, hold=hold
                    )
                    self.remember(name, ids, Hold.NONE if hold is None else hold)
                    return
                except ClientsFull:
                    self._clients_full = True
                    _log.warning(
                        "the card remembers no further client: updates go through its memory port"
                    )
            self._update_directly(name, ids, packed)
            self._restore_pins()

    def _update_directly(
        self, name: str, ids: NDArray[np.int64], packed: NDArray[np.uint8]
    ) -> None:
        """Write rows through the memory port, runs of neighbours at once, and empty the row cache."""
        memory = self._memory_of(self._tables[name])
        stride = self._tables[name].stride_bytes
        with self._quiet():
            for run in np.split(np.arange(len(ids)), np.flatnonzero(np.diff(ids) != 1) + 1):
                memory.write(
                    self._addresses[name] + int(ids[run[0]]) * stride, packed[run].reshape(-1)
                )
            memory.sync()
        self.link_counters.direct_rows += len(ids)

    def _settle_updates(self) -> None:
        """Make sure that no update from before can still take effect."""
        if self._tables and not self._clients_full:
            try:
                name, first = next(iter(self._tables.items()))
                self._updates.settle(
                    _attached(self._exchange), table=first, number=self._numbers[name]
                )
            except ClientsFull:
                self._clients_full = True

    # -- the kernels beyond pooling -----------------------------------------------------------------------------------

    def run_jobs(self, jobs: list[Job]) -> list[NDArray[np.uint8]]:
        """Return what jobs of one frame each, or one of any number, are answered with; see `JobSession.run`."""
        with self._errors("a kernel beyond pooling"):
            return self._jobs.run(_attached(self._exchange), jobs, self._timing)

    # -- the end ------------------------------------------------------------------------------------------------------

    def detach(self) -> None:
        """Let the card accept no more frames."""
        with self._errors("detaching from the card"):
            self._registers.CONTROL.write(0)


def _attached(value: _T | None) -> _T:
    if value is None:
        raise LinkError("The card is not attached. Do: call attach() first.")
    return value


def _same(what: str, device: int, package: int) -> None:
    if device != package:
        raise ContractMismatch(what, device=device, package=package)
