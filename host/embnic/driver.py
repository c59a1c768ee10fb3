# SPDX-License-Identifier: Apache-2.0
"""Drive a card: identity, tables, lookups, updates, counters.

The driver sees a `Bus`, a `Memory` and a `Link`, nothing else: a board, the Verilated core and a fake are driven by the
same lines. It is synchronous: between calls nothing of its own is in flight. Time is the device's.

An update travels as UPDATE frames that name this driver's client id and a sequence; the card applies each
sequence once, however often its frame arrives. Where that cannot be (a row longer than a frame, a client table that is
full), the rows are written through the memory port while the card answers BUSY, and its row cache is emptied.
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
from .config import Table, tables_by_name
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
    FrameLimits,
    check_mtu,
    groups,
    one_key_bags,
    payload_limit,
)
from .gen.configs import CONFIGS
from .gen.wire import (
    CONTRACT_HASH,
    DESCRIPTOR_FIELDS,
    DESCRIPTOR_WORDS,
    FRAME_OVERHEAD,
    KEY_TABLE_SHIFT,
    UNIT_BYTES,
    WIRE_VERSION,
    DType,
    Order,
    Pooling,
    Status,
)
from .lookup import LookupPlanner, PartialResult, Partials, Sink
from .operate import Capabilities, Generated, Operations
from .ports import Bus, Link, Memory
from .registers import CARD_MAGIC
from .rows import pack, pack_chunks
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


class Driver(Operations):
    """Drive one card over its three ports.

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
        super().__init__(bus, link, timing)
        self._memory = memory
        self._mtu = mtu
        self._route = route
        self._config = config
        self.dtypes, self._orders = dtypes, orders
        self._tables: dict[str, Table] = {}
        self._numbers: dict[str, int] = {}
        self._addresses: dict[str, int] = {}
        self._spares: dict[str, int | None] = {}  # where the next generation of a table goes
        self._generations: dict[str, int] = {}  # of a table: 0 until it was loaded
        self._updates = UpdateSession(route)
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

    # -- tables -------------------------------------------------------------------------------------------------------

    def define(self, tables: Sequence[Table]) -> None:
        """Give the tables card memory and descriptors; their rows are undefined until `load`."""
        named = tables_by_name(tables)
        self.check_tables(list(named.values()))
        with self._errors("defining tables"):
            for name, table in named.items():
                if self._tables.get(name) != table:
                    self._addresses[name] = self._memory.alloc(table.nbytes)
                    self._spares.pop(name, None)
                    self._generations.pop(name, None)
            self._tables = named
            self._numbers = {name: number for number, name in enumerate(named)}
            self._generations = {name: self._generations.get(name, 0) for name in named}
            with self._quiet():
                for name in named:
                    self._write_descriptor(name)

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
                self._write_rows(name, spare, weights)
                self._spares[name], self._addresses[name] = self._addresses[name], spare
                self._generations[name] += 1
                self._write_descriptor(name)
                return
            if self._generations[name]:
                with self._quiet():
                    self._write_rows(name, self._addresses[name], weights)
            else:  # nobody may ask for it yet
                self._write_rows(name, self._addresses[name], weights)
                self._flush()
            self._generations[name] += 1

    def _spare(self, name: str) -> int | None:
        """Return where a table fits beside itself, or None."""
        if name not in self._spares:
            try:
                self._spares[name] = self._memory.alloc(self._tables[name].nbytes)
            except ConfigError as error:
                self._spares[name] = None
                _log.info("table %r is replaced in place: %s", name, error)
        return self._spares[name]

    def _write_rows(self, name: str, base: int, weights: NDArray[Any]) -> None:
        for offset, packed in pack_chunks(self._tables[name], weights):
            self._memory.write(base + offset, packed)
        self._memory.sync()

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

    # -- lookups ------------------------------------------------------------------------------------------------------

    def prepare(self, bags: Bags) -> PartialResult:
        """Return an empty result for `bags`, which fit the tables (see `Bags.validate_against`)."""
        cut = {
            name: one_key_bags(part) if self._tables[name].pooling is Pooling.NONE else part
            for name, part in bags.items()
        }
        return PartialResult(Bags(cut), groups(Bags(cut), self._tables, self._numbers))

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

    # -- updates ------------------------------------------------------------------------------------------------------

    def update(self, name: str, ids: NDArray[np.int64], rows: NDArray[Any]) -> None:
        """Overwrite the rows `ids` [n] with stored rows [n, columns]; a repeated id keeps its last.

        Returns when the card acknowledged all of it. When this raises, some rows may have been written: write them
        again, or reload the table.
        """
        table = self._tables[name]
        last = len(ids) - 1 - np.unique(ids[::-1], return_index=True)[1]
        ids, packed = ids[last], pack(table, rows[last])
        if not len(ids):
            return
        per_frame = self.limits.rows(table.stored_vec64)
        with self._errors(f"updating table {name!r}"):
            if per_frame and not self._clients_full:
                keys = ids.view(np.uint64) | np.uint64(self._numbers[name] << KEY_TABLE_SHIFT)
                exchange = _attached(self._exchange)
                try:
                    self._updates.write(exchange, keys, packed, table=table, per_frame=per_frame)
                    return
                except ClientsFull:
                    self._clients_full = True
                    _log.warning(
                        "the card remembers no further client: updates go through its memory port"
                    )
            self._update_directly(name, ids, packed)

    def _update_directly(
        self, name: str, ids: NDArray[np.int64], packed: NDArray[np.uint8]
    ) -> None:
        """Write rows through the memory port, runs of neighbours at once, and empty the row cache."""
        stride = self._tables[name].stride_bytes
        with self._quiet():
            for run in np.split(np.arange(len(ids)), np.flatnonzero(np.diff(ids) != 1) + 1):
                self._memory.write(
                    self._addresses[name] + int(ids[run[0]]) * stride, packed[run].reshape(-1)
                )
            self._memory.sync()
        self.link_counters.direct_rows += len(ids)

    def _settle_updates(self) -> None:
        """Make sure that no update from before can still take effect."""
        if self._tables and not self._clients_full:
            try:
                first = next(iter(self._tables.values()))
                self._updates.settle(_attached(self._exchange), table=first)
            except ClientsFull:
                self._clients_full = True

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


def _descriptor(**values: int) -> list[int]:
    """Return the words of a table descriptor; fields not named are 0."""
    bits = 0
    for name, value in values.items():
        field = DESCRIPTOR_FIELDS[name]
        bits |= (value & ((1 << field.width) - 1)) << field.low
    return [bits >> 32 * at & 0xFFFFFFFF for at in range(DESCRIPTOR_WORDS)]
