# SPDX-License-Identifier: Apache-2.0
"""Measure the core from Ethernet frames in to Ethernet frames out.

A `Rig` is a simulated card with tables, the same tables on the cpu backend, and a client that keeps
a window of requests in flight as the host's driver does. `Rig.run` sends bags, compares every pooled
vector bit for bit with the cpu backend and returns what the card's counters and its per-cycle probe
say. Requests of different shapes (dim, format, pooling) are interleaved at random.

Cycles are simulated cycles; the bus moves a beat in every cycle unless a stall is asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embnic.backends.cpu import CpuBackend
from embnic.backends.rtl import attach_rtl, rtl_timing
from embnic.bags import Bags
from embnic.config import Table
from embnic.driver import DEFAULT_ROUTE
from embnic.exchange import Exchange, Pending, Window
from embnic.framing import FrameLimits
from embnic.lookup import LookupPlanner
from embnic.stats import LinkCounters
from embnic_sim.card import SimCard
from embnic_sim.card_models import DramModel, PeerModel

__all__ = ["RX", "Rig", "Run", "bags_of", "rng_of"]

ROOT = Path(__file__).resolve().parents[2]

# Bits of sts_probe (rtl/embnic_core.sv).
RX, ACCEPT, ADMIT, BAG, OP, MISS, AR, R, BEAT, EMPTY, FETCH, HAZARD, DONE, REPLY, TX = range(15)
REMOTE_ASK, REMOTE_DONE = 21, 22
MOST_PROBED = 4_000_000  # cycles; a longer run is probed in its beginning only
EDGE = 0.05  # of the beats at each end of a run that its steady part leaves out


@dataclass(frozen=True)
class Run:
    """What one run left: differences of the card's counters, the probe word of every cycle, comparisons.

    `received` and `sent` are cycles of request frames (last beat) and reply frames (first beat);
    `start` is the cycle of the first word of `probe`; `vector_beats` are those of all rows looked up,
    as they are accumulated.
    """

    counters: dict[str, int]
    probe: NDArray[np.uint32]
    start: int
    received: NDArray[np.int64]
    sent: NDArray[np.int64]
    compared: int
    vector_beats: int

    def at(self, bit: int) -> NDArray[np.int64]:
        """Return in which cycles of the probe a bit was set."""
        return np.flatnonzero(self.probe >> np.uint32(bit) & np.uint32(1))

    def rate(self, bit: int) -> float:
        """Return how often a bit was set per cycle of the steady part of the run."""
        times = self.at(bit)
        cut = int(len(times) * EDGE)
        part = times[cut : len(times) - cut]
        return (len(part) - 1) / float(part[-1] - part[0])

    @property
    def pool_rate(self) -> float:
        """Return vector beats per cycle at the pool; what is issued beside them (headers of quantised
        rows on a narrow bus, empty bags) does not count.
        """
        return self.rate(BEAT) * self.vector_beats / self.counters["exec_beats"]

    def reply_rate(self, frame_beats: int) -> float:
        """Return beats of pooled vectors sent per cycle of the steady part; a frame has `frame_beats`
        beats beside them.
        """
        times = self.at(TX)
        cut = int(len(times) * EDGE)
        first, last = times[cut], times[len(times) - 1 - cut]
        # The probe shows what happened the cycle before.
        begun = self.sent + 1 - self.start
        frames = int(((begun > first) & (begun <= last)).sum())
        return (len(times) - 2 * cut - 1 - frames * frame_beats) / float(last - first)

    @property
    def busy_rate(self) -> float:
        """Return row beats per cycle in which the cache had something to issue, waits included."""
        c = self.counters
        return c["exec_beats"] / (c["exec_beats"] + c["exec_fetch"] + c["exec_hazard"])

    @property
    def hit_share(self) -> float:
        """Return the share of rows that hit."""
        return self.counters["row_hits"] / (self.counters["row_hits"] + self.counters["row_misses"])

    def waits(self) -> str:
        """Return what the cache did in the cycles of the steady part without a beat, in shares."""
        beats = self.at(BEAT)
        edge = int(len(beats) * EDGE)
        part = self.probe[beats[edge] : beats[len(beats) - 1 - edge]]
        shares = {
            name: float((part >> np.uint32(bit) & np.uint32(1)).mean())
            for name, bit in (("memory", FETCH), ("accumulator", HAZARD), ("empty", EMPTY))
        }
        return ", ".join(f"{name} {share:.1%}" for name, share in shares.items())


def rng_of(seed: int, *names: object) -> np.random.Generator:
    """Return a generator of its own for a named measurement."""
    return np.random.default_rng([seed, *map(ord, "/".join(map(str, names)))])


def bags_of(values: NDArray[np.int64], lengths: Sequence[int] | NDArray[np.int64]) -> Any:
    """Return (values, offsets) for `Bags.from_torch` of bags of these lengths."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return values[: offsets[-1]], offsets


class Rig:
    """A simulated card, its tables, and the same tables on the cpu; a context manager.

    `frame_bags` limits how many bags a request frame asks for; None: as many as fit.
    """

    def __init__(
        self,
        tables: Iterable[Table],
        *,
        config: str,
        seed: int,
        mtu: int = 1500,
        dram: DramModel | None = None,
        peer: PeerModel | None = None,
        frame_vec64: int | None = None,
    ) -> None:
        named = list(tables)
        self.tables = {table.name: table for table in named}
        self.card = SimCard(config, seed=seed, dram=dram, peer=peer, line_gbps=0)
        self._backend = attach_rtl(
            named, self.card, config=config, timing=rtl_timing(config), mtu=mtu
        )
        self._cpu = CpuBackend(named)
        self._frame_vec64 = frame_vec64
        self._order = random.Random(seed)
        capabilities = self._backend.driver.capabilities
        self._exchange = Exchange(
            self.card,
            rtl_timing(config),
            Window(capabilities.ctxs, capabilities.ks_bytes, capabilities.data_w // 8),
            LinkCounters(),
        )

    def __enter__(self) -> Rig:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cpu.close()
        self._backend.close()

    def load(self, rng: np.random.Generator) -> None:
        """Load normally distributed weights into every table."""
        for table in self.tables.values():
            weights = rng.standard_normal((table.rows, table.dim), dtype=np.float32)
            self._backend.load(table.name, weights)
            self._cpu.load(table.name, weights)

    def warm(self) -> None:
        """Look every row up, twice: what fits the cache is in it afterwards."""
        every = {name: bags_of(np.arange(t.rows), [1] * t.rows) for name, t in self.tables.items()}
        bags = Bags.from_torch(every, include_last_offset=True)
        for _ in range(2):
            self._backend.lookup(bags)

    def empty(self) -> None:
        """Empty the cache."""
        self._backend.configure_cache()

    def address(self, name: str, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return where rows lie within their table's memory."""
        return (rows * self.tables[name].stride_bytes).astype(np.uint64)

    def run(self, parts: dict[str, Any], *, stall: float = 0.0) -> Run:
        """Look `parts` up: table to (values, offsets). `stall`: share of cycles without a reply beat."""
        bags = Bags.from_torch(parts, include_last_offset=True)
        driver, link = self._backend.driver, self._exchange.counters
        result = driver.prepare(bags)
        limits = driver.limits
        if self._frame_vec64 is not None:
            limits = FrameLimits(limits.payload, self._frame_vec64, limits.reply_units)
        planner = LookupPlanner(DEFAULT_ROUTE, limits, self._exchange)
        requests = self._interleave([list(planner.requests(s, result)) for s in result.sinks])
        before = driver.counters()
        self.card.configure(tx_stall=stall)
        self.card.record_probe(MOST_PROBED)
        self.card.record_frames(True)
        self._exchange.run(requests, doing="waiting for lookups")
        start, probe = self.card.probe()
        received, sent, _ = self.card.frame_stamps()
        self.card.record_frames(False)
        self.card.configure(tx_stall=0.0)
        after = driver.counters()
        counters = {name: value - before[name] for name, value in after.items()}
        if link.retries or result.too_long:
            drops = {name: n for name, n in counters.items() if name.startswith("drop_") and n}
            raise RuntimeError(
                f"{link.retries} frames were sent again ({drops}), {result.too_long} bags left out"
            )
        wanted = self._cpu.lookup(bags)
        for name, expected in wanted.items():
            got = self._backend.vectors(result, name)
            if got is None or not np.array_equal(_bits(got), _bits(expected)):
                raise RuntimeError(f"table {name}: the card's vectors differ from the cpu's")
        return Run(
            counters=counters,
            probe=probe,
            start=start,
            received=received,
            sent=sent,
            compared=sum(len(expected) for expected in wanted.values()),
            vector_beats=sum(
                len(part.values) * self.tables[name].vec64 for name, part in bags.items()
            )
            * (512 // self.card.config.data_w),
        )

    def _interleave(self, queues: list[list[Pending]]) -> list[Pending]:
        """Return the requests of all queues in random order, each queue's in its own."""
        turns = [at for at, queue in enumerate(queues) for _ in queue]
        self._order.shuffle(turns)
        streams = [iter(queue) for queue in queues]
        return [next(streams[at]) for at in turns]


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
