# SPDX-License-Identifier: Apache-2.0
"""Say what the card would do with traffic, and how many cycles it would take, without simulating it cycle by cycle.

Decisions are exact: for the same order of operations the sets, ways, victims and hits are the RTL's, because
`embnic_cache_tags` decides in that order whatever memory does. The order itself (open bags take turns key by key) and
the cycles are those of the core where its queues behave as described here; docs/architecture.md says how far.

`CacheModel` is the cache alone, with the geometries of others to compare with; `CardModel` is the card. Both run in
the native extension; `model_caches` and `model_card` take the same steps where it was not built.

Letters in shapes: `K` keys, `n` requests, `m` lookups of lines.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .backends.cpu import native_module
from .config import Table
from .errors import ConfigError
from .framing import FrameLimits, Group, cut, payload_limit
from .gen.configs import CONFIGS, CoreConfig
from .gen.wire import FRAME_OVERHEAD, UNIT_BYTES, DType, Hold, Order, Pooling

__all__ = [
    "FBGEMM_COUNTERS",
    "CacheModel",
    "CardModel",
    "Decisions",
    "Dram",
    "Geometry",
    "Latencies",
    "Line",
    "Requests",
    "lines_of",
    "requests_of",
]

FBGEMM_COUNTERS = (  # in the order of its uvm_cache_stats
    "num_calls",
    "num_requested_indices",
    "num_unique_indices",
    "num_unique_misses",
    "num_conflict_unique_misses",
    "num_conflict_misses",
)
LINE_GBPS = {"tiny": 25.0, "edge": 10.0, "line100": 100.0, "mini": 1.0}
WIRE_OVERHEAD = 24  # preamble, frame check sequence and gap of Ethernet, bytes
WEIGHTED, ACCUMULATOR, PARTIAL, AFTER, PRODUCT = 1, 2, 4, 8, 16  # flags of a request
HIT, EVICT = 2, 4  # flags of a decision; 1: allocates when absent


@dataclass(frozen=True)
class Latencies:
    """The cycles that the RTL takes from one point to the next: all that the model knows of its pipelines."""

    decode: int = 12  # last beat of a frame in, to its first bag at embnic_bag_issue, less the walk
    request_gap: int = 3  # last bag of a request, to the walk over the next one
    copy: int = 8  # of a request with an accumulator or partials, beside the beats of these
    known: int = 8  # choice of a bag's first key, to that of its last
    issue: int = 12  # choice of a slot, to its first operation at the cache
    key_queue: int = 32  # keys between that choice and the cut into lines
    tag: int = 10  # operation at the cache, to its first beat in the pool, when it hits and nothing is before it
    fetch: int = 6  # operation at the cache, to its read burst at the memory
    arrival: int = 8  # last beat from memory, to the first beat in the pool
    alone: int = 3  # between two operations of one slot
    loop: int = 12  # ACC_LOOP_CYCLES
    loop_long: int = 19  # ACC_LOOP_LONG_CYCLES
    remote: int = 500  # request for a line of another card, to the first beat of the answer
    remote_queue: int = 3  # a bag of a remote table, through its queue
    remote_quiet: int = (
        5  # last beat of such a bag in the pool, to the cycle in which its slot is anybody's
    )
    filled: int = 5  # last beat of a fill in the pool, to the first beat of a hit on its line
    credit: int = 4  # an operation's last beat, to the choice of a key that takes its place
    pool: int = 24  # last beat of a bag in the pool, to its result
    pool_long: int = 7  # INT_EXTRA_CYCLES
    divide: int = 18  # more for a mean
    reply: int = 10  # result of the last bag of a request, to the first beat of its reply
    frame_gap: int = 1  # between two frames out
    host: int = 1  # last beat of a reply, to the next request's first
    update: int = 200  # of an UPDATE frame, a row
    prefetch: int = 36  # of a PREFETCH frame, a row


@dataclass(frozen=True)
class Dram:
    """Timing of card memory in cycles: what DramModel of `embnic_sim.card_models` simulates, with its mean jitter."""

    base_latency: int = 70
    hit_latency: int = 30
    miss_latency: int = 60
    banks: int = 16
    row_bytes: int = 2048
    bank_busy: int = 12
    bytes_per_cycle: int = 0  # 0: a bus beat
    refresh_period: int = 1950
    refresh_cycles: int = 88
    jitter_mean: int = 2


class Line(NamedTuple):
    """A line of a row: bus beats to fetch, vector beats it gives, the first of them, and its byte in the row."""

    fetch_beats: int
    beats: int
    beat_base: int
    offset: int


def lines_of(table: Table, *, line_bytes: int, bus_bytes: int) -> list[Line]:
    """Return the lines that `embnic_bag_issue` cuts a row into.

    >>> item = Table("item", rows=8, dim=100, pooling="sum", dtype="int8")
    >>> lines_of(item, line_bytes=64, bus_bytes=64)
    [Line(fetch_beats=1, beats=3, beat_base=0, offset=0), Line(fetch_beats=1, beats=4, beat_base=3, offset=64)]
    """
    expand = _expand(table.dtype)
    header = 16 // (bus_bytes >> expand) if table.quantised else 0
    vector = table.vec64 * UNIT_BYTES // bus_bytes
    stored = table.stride_bytes // bus_bytes
    most = line_bytes // bus_bytes
    lines, base = [], 0
    for start in range(0, stored, most):
        chunk = header if start == 0 else 0
        whole = (most << expand) - chunk
        beats = vector - base if stored - start <= most else whole
        lines.append(Line((chunk + beats - 1 >> expand) + 1, beats, base, start * bus_bytes))
        base += beats
    return lines


def _expand(dtype: DType) -> int:
    if dtype in (DType.FP16, DType.BF16):
        return 1
    if dtype in (DType.INT8, DType.INT8_FRONT):
        return 2
    return 3 if dtype in (DType.INT4, DType.INT4_END) else 0


@dataclass(frozen=True)
class Geometry:
    """What kind of cache: `card` (XOR-fold, tree PLRU), `lru` (fully associative; `ways` lines, one set) or `fbgemm`
    (MurmurHash3's finaliser modulo `sets`, LRU by call).
    """

    ways: int = 4
    sets: int = 1024
    kind: str = "card"

    KINDS = ("card", "lru", "fbgemm")

    def __post_init__(self) -> None:
        power = self.sets >= 2 and self.sets & (self.sets - 1) == 0
        right = {
            "card": self.ways in (1, 2, 4, 8) and power,
            "lru": self.ways >= 1 and self.sets == 1,
            "fbgemm": 1 <= self.ways <= 64 and self.sets >= 1,
        }
        if not right.get(self.kind, False):
            raise ConfigError(
                f"The geometry is {self.kind!r}, {self.ways} ways, {self.sets} sets.",
                allowed="card: 1, 2, 4 or 8 ways, a power of two sets; lru: 1 set; fbgemm: 1 to 64 ways.",
                do="Correct it.",
            )


class CacheModel:
    """A cache alone: feed it keys, read its counters.

    >>> import numpy as np
    >>> CacheModel(Geometry(ways=1, sets=2)).feed(np.array([0, 1, 0, 2, 0], np.uint64))
    {'lookups': 5, 'hits': 2, 'misses': 3, 'evictions': 1}
    """

    def __init__(self, geometry: Geometry = Geometry(), *, engine: str = "auto") -> None:
        """Make it empty. `engine` is "native", "python", or "auto" for the first of them that is there."""
        self.geometry = geometry
        made = _engine(engine, "model_caches")
        if geometry.kind == "card":
            self._cache = made.TagCache(geometry.ways, geometry.sets)
        elif geometry.kind == "lru":
            self._cache = made.LruCache(geometry.ways)
        else:
            self._cache = made.FbgemmCache(geometry.ways, geometry.sets)
        self._lookups = self._hits = self._evictions = 0

    def feed(self, keys: NDArray[np.uint64]) -> dict[str, int]:
        """Look `keys` (uint64 [K]) up in order and return the counters since the start.

        For `fbgemm` one feed is one call, and the counters are FBGEMM's six, in its order.
        """
        checked = _keys(keys)
        if self.geometry.kind == "fbgemm":
            return dict(zip(FBGEMM_COUNTERS, self._cache.call(checked), strict=True))
        hits, evictions = self._cache.feed(checked)
        self._lookups += len(checked)
        self._hits += hits
        self._evictions += evictions
        misses = self._lookups - self._hits
        return {
            "lookups": self._lookups,
            "hits": self._hits,
            "misses": misses,
            "evictions": self._evictions,
        }

    def configure(self, *, cached_ways: int = 1, admission: bool = False) -> None:
        """Say how many ways of each set pins and locks must leave, and whether the filter is asked; `card` only."""
        self._card_only("configure")
        self._cache.configure(cached_ways, admission)

    def decide(
        self, keys: NDArray[np.uint64], commands: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Execute a command for each key, in order; without `commands` look all up; `card` geometry only.

        A command is 0 drop, 1 look up, 2 release, 3 fetch, 4 lock, 5 pin. Returns lines (set * ways + way; -1: none)
        and flags (1 may allocate, 2 hit, 4 evicted, 8 kept, 16 no way free, 32 refused by the filter, 64 hit on a
        pinned line, 128 held as asked), each int64 [K]. These are not counted.
        """
        self._card_only("decide")
        checked = _keys(keys)
        chosen = np.ones(len(checked), np.int64) if commands is None else commands.astype(np.int64)
        lines, flags = np.empty(len(checked), np.int64), np.empty(len(checked), np.int64)
        self._cache.decide(checked, chosen, lines, flags)
        return lines, flags

    def _card_only(self, call: str) -> None:
        if self.geometry.kind != "card":
            raise ConfigError(
                f"{call}() with the geometry {self.geometry.kind!r}.",
                allowed="card.",
                do="Use feed().",
            )


class Decisions(NamedTuple):
    """What the tag stage decided, in order: keys uint64, lines and flags int64 (as `CacheModel.decide`), each [m]."""

    keys: NDArray[np.uint64]
    lines: NDArray[np.int64]
    flags: NDArray[np.int64]


class Requests(NamedTuple):
    """Request frames: frame `i` has `keys[splits[i]:splits[i + 1]]`, with last bits.

    keys uint64 [K], splits int64 [n + 1], vec64 (units of a result) int64 [n], flags int64 [n]: WEIGHTED, ACCUMULATOR
    (begins with one), PARTIAL (answers with one), AFTER (sent when the request before it was answered), PRODUCT (its
    keys are pairs); from bit 8 on how many partials of other owners are merged with its bag, which is one then.
    """

    keys: NDArray[np.uint64]
    splits: NDArray[np.int64]
    vec64: NDArray[np.int64]
    flags: NDArray[np.int64]


class CardModel:
    """A card of one configuration, driven by a host that keeps a window of requests in flight, as `Exchange` does.

    Frames arrive and leave at the line rate; the host answers a reply with the next request at once. Not modelled: lost
    frames, errors, an update beside lookups (it takes its time, then the lookups go on).
    """

    def __init__(
        self,
        config: str = "line100",
        *,
        dram: Dram = Dram(),
        latencies: Latencies = Latencies(),
        line_gbps: float | None = None,
        mtu: int = 1500,
        engine: str = "auto",
    ) -> None:
        """Make an idle card with an empty cache; see `CacheModel` for `engine`."""
        if config not in CONFIGS:
            raise ConfigError(
                f"The configuration is {config!r}.",
                allowed=f"{', '.join(CONFIGS)}.",
                do="Choose one of these.",
            )
        self.config: CoreConfig = CONFIGS[config]
        self.limits = _limits(self.config, mtu)
        gbps = LINE_GBPS[config] if line_gbps is None else line_gbps
        self._card = _engine(engine, "model_card").CardModel(
            _parameters(self.config, self.limits, dram, latencies, gbps)
        )

    def define(self, number: int, table: Table, base: int) -> None:
        """Give the card a table whose rows lie from the byte address `base` on."""
        cfg = self.config
        lines = lines_of(table, line_bytes=cfg.line_bytes, bus_bytes=cfg.data_w // 8)
        padding = -1 if table.padding_idx is None else table.padding_idx
        tree = table.tree_k or 0
        adds = table.pooling in (Pooling.SUM, Pooling.MEAN) and table.dtype is not DType.FIXED
        where = [base, table.stride_bytes, table.rows, padding, tree, adds, table.remote]
        mean = table.pooling is Pooling.MEAN
        self._card.define(
            number, np.array(lines, np.int64), np.array(where, np.int64), table.quantised, mean
        )

    def run(self, requests: Requests) -> None:
        """Serve requests until the last one is answered."""
        self._card.run(*requests)

    def invalidate(self, number: int, rows: NDArray[np.int64]) -> None:
        """Drop the lines of updated rows."""
        self._card.invalidate(number, np.ascontiguousarray(rows, np.int64))

    def configure(self, *, cached_ways: int = 1, admission: bool = False) -> None:
        """Say how many ways of each set pins and locks must leave, and whether the filter is asked."""
        self._card.configure(cached_ways, admission)

    def prefetch(
        self, number: int, rows: NDArray[np.int64], hold: Hold, *, fill: bool = False
    ) -> tuple[int, int]:
        """Execute a PREFETCH frame, or a FILL of rows that differ.

        Returns the rows that are as asked for, and those that were in the cache before.
        """
        command = {Hold.NONE: 3, Hold.LOCK: 4, Hold.PIN: 5, Hold.RELEASE: 2}[hold]
        granted, there = self._card.prefetch(
            number, np.ascontiguousarray(rows, np.int64), command, fill
        )
        return int(granted), int(there)

    def flush(self) -> None:
        """Drop all lines."""
        self._card.flush()

    def record(self, lookups: int) -> None:
        """Keep what is decided of the next `lookups` lookups of lines."""
        self._card.record(lookups)

    def decisions(self) -> Decisions:
        """Return what was kept."""
        count = self._card.recorded()
        out = Decisions(
            np.empty(count, np.uint64), np.empty(count, np.int64), np.empty(count, np.int64)
        )
        self._card.decisions(*out)
        return out

    def counters(self) -> dict[str, int]:
        """Return the counters by the names that the card's have."""
        return {name: int(value) for name, value in self._card.counters().items()}


def _limits(config: CoreConfig, mtu: int) -> FrameLimits:
    payload = payload_limit(mtu, config.ks_beats * config.data_w // 8)
    units = min((mtu - FRAME_OVERHEAD + 14) // UNIT_BYTES, 255)
    return FrameLimits(
        payload=payload,
        reply_vec64=config.reply_vec64,
        reply_units=units,
        merge_units=2 * config.max_vec64,
    )


def _parameters(
    config: CoreConfig, limits: FrameLimits, dram: Dram, latencies: Latencies, gbps: float
) -> Mapping[str, Any]:
    """Return all parameters of the loop by name."""
    bus = config.data_w // 8
    memory = asdict(dram)
    memory["bytes_per_cycle"] = memory["bytes_per_cycle"] or bus
    return {
        **asdict(latencies),
        **memory,
        "slots": config.slots,
        "places": config.opq_depth // config.slots,
        "ways": config.ways,
        "sets": config.sets,
        "bus_bytes": bus,
        "fetches": config.fetches,
        "remote_fetches": config.remote_fetches,
        "remote_slots": config.remote_slots,
        "max_burst": config.max_burst,
        "channels": config.channels,
        "contexts": config.ctxs,
        "reply_units_space": config.rsp_beats * bus // UNIT_BYTES,
        "window": config.ctxs,
        "window_bytes": config.ks_beats * bus,
        "reply_units": limits.reply_units,
        "frame_overhead": FRAME_OVERHEAD,
        "wire_overhead": WIRE_OVERHEAD,
        "line_bytes_per_cycle": gbps * 1e9 / 8 / (config.clock_mhz * 1e6),
    }


def requests_of(groups: list[Group], limits: FrameLimits) -> Requests:
    """Return the requests for bags: whole bags share frames, long ones are continued, one after the other.

    Long bags of the order `tree` cannot be continued and are left out.
    """
    found = [piece for group in groups for piece in _pieces(group, limits)]
    keys = [np.zeros(0, np.uint64), *(piece.keys for piece in found)]
    splits = np.cumsum([len(part) for part in keys], dtype=np.int64)
    vec64 = np.array([piece.vec64 for piece in found], np.int64)
    return Requests(
        np.concatenate(keys), splits, vec64, np.array([piece.flags for piece in found], np.int64)
    )


class _Piece(NamedTuple):
    keys: NDArray[np.uint64]
    vec64: int
    flags: int


def _pieces(group: Group, limits: FrameLimits) -> Iterator[_Piece]:
    weighted = group.weights is not None
    most = limits.keys(weighted=weighted, product=group.product)
    bounds, long_bags = cut(group.offsets, max_keys=most, max_bags=limits.bags(group.vec64))
    kind = (WEIGHTED if weighted else 0) | (PRODUCT if group.product else 0)
    continued = set(long_bags)
    edges = group.offsets[bounds]
    for first, begin, end in zip(bounds[:-1].tolist(), edges[:-1], edges[1:], strict=True):
        if first not in continued:
            yield _Piece(group.keys[begin:end], group.vec64, kind)
    room = limits.keys(weighted=weighted, accumulator_vec64=group.vec64, product=group.product)
    if group.order is Order.TREE or room < 1:
        return
    for bag in long_bags:
        at, end = int(group.offsets[bag]), int(group.offsets[bag + 1])
        flags = kind
        while at < end:
            stop = min(at + (room if flags & ACCUMULATOR else most), end)
            keys = group.keys[at:stop].copy()
            keys[-1] |= np.uint64(1 << 63)
            yield _Piece(keys, group.vec64, flags | (PARTIAL if stop < end else 0))
            at, flags = stop, kind | ACCUMULATOR | AFTER


def _keys(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    if not isinstance(keys, np.ndarray) or keys.dtype != np.uint64 or keys.ndim != 1:
        got = (
            f"{keys.dtype} {list(keys.shape)}"
            if isinstance(keys, np.ndarray)
            else type(keys).__name__
        )
        raise ConfigError(f"keys are {got}.", allowed="uint64 [K].", do="Use astype(numpy.uint64).")
    return np.ascontiguousarray(keys)


def _engine(engine: str, twin: str) -> Any:
    """Return the extension, or the module `twin` of this package, which has the same classes of the same names."""
    if engine not in ("auto", "native", "python"):
        raise ConfigError(
            f"engine is {engine!r}.",
            allowed="'auto', 'native', 'python'.",
            do="Leave it out for the best one.",
        )
    native = native_module() if engine != "python" else None
    if native is not None:
        return native
    if engine == "native":
        raise ConfigError(
            "engine is 'native', but the extension embnic._native was not built.",
            allowed="'python' here.",
            do="Install a C++ compiler (apt install g++) and run `pip install .` again.",
        )
    return importlib.import_module(f"embnic.{twin}")
