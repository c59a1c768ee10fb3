# SPDX-License-Identifier: Apache-2.0
"""The traffic that mutants of the core are judged by: frames of every kind, faults, stalls, resets, in phases.

`Workload` draws the phases once from a seed; embnic_sim.mutate_play runs them on a card and compares the replies of the
unmutated card with the reference, so that what mutants are compared with is itself right.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from embnic.gen.wire import Hold
from embnic_sim.mutate_edges import Edges
from embnic_sim.mutate_frames import Phase
from embnic_sim.mutate_tables import CONFIG, ORDERS, PAIRS, TABLES

__all__ = ["Workload"]


class Workload(Edges):
    """The phases, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.phases = list(self._phases())

    def _phases(self) -> Iterator[Phase]:
        """Yield the phases: what many mutants show first, then what few do and what takes long."""
        everything = range(7)
        yield self._phase("pings and short lookups", lookups=6, pings=2, tables=(0, 4))
        yield self._phase("every table", lookups=20, tables=everything, line_gbps=0.0)
        yield self.bad_frames("frames to drop")
        yield self._phase(
            "updates", lookups=12, updates=12, tables=everything, memory_stall=0.2, count=True
        )
        yield self.bad_requests("requests to refuse")
        yield self.header_bits("every bit of the headers")
        yield self._phase(
            "stalled replies, cut vectors",
            lookups=14,
            tables=(2, 3, 5, 1),
            tx_stall=0.6,
            reply_units=3,
        )
        yield self.sequences("sequences and clients")
        yield self._phase(
            "stalled memory", lookups=16, updates=6, tables=everything, memory_stall=0.7, rx_gap=3
        )
        yield self._phase("smallest replies", lookups=8, tables=(2, 5, 6), reply_units=0, rx_gap=40)
        yield self._phase(
            "many rows", lookups=20, tables=(6, 0, 5), line_gbps=0.0, longest=16, memory_stall=0.1
        )
        yield self._phase(
            "rows held",
            lookups=12,
            holds=(*Hold, Hold.PIN),
            updates=12,
            tables=(0, 1, 5),
            count=True,
        )
        yield self._phase(
            "whole sets held",
            lookups=12,
            holds=(Hold.PIN, Hold.LOCK),
            updates=16,
            tables=(0, 5, 6),
            cached_ways=0,
            memory_stall=0.3,
        )
        yield self._phase(
            "filtered", lookups=20, tables=(0, 5), admission=1, flush=True, count=True
        )
        yield self.long_frames("long frames")
        yield self.hot_lines("lines read often")
        yield from self._multiplied()
        yield from self.remote_phases()
        yield from self._wrong()
        yield from self._ordered()
        yield from self._late()
        yield from self.edge_phases()
        yield from self.corner_phases()  # behind which not every row is known

    def _multiplied(self) -> Iterator[Phase]:
        """Yield phases of pairs of rows."""
        yield self._phase("pairs", lookups=4, products=20, tables=range(8), of=PAIRS)
        yield self.bad_pairs("pairs to refuse")
        yield self._phase(
            "pairs beside rows",
            lookups=12,
            products=16,
            updates=4,
            tables=(7, 0, 2, 7),
            of=PAIRS,
            longest=8,
            tx_stall=0.3,
            memory_stall=0.4,
            line_gbps=0.0,
            count=True,
        )
        yield self.long_pairs("long bags of pairs")
        yield self.failing_pairs("pairs in error")
        wrong = self._phase(
            "wrong bits of pairs",
            lookups=2,
            products=16,
            tables=(0,),
            of=PAIRS,
            inject=(2, 1, 6, 3, 2, 5),
            window=3,
        )
        wrong.expected.clear()
        yield wrong
        yield self.odd_pairs("tables that are not multiplied")

    def _wrong(self) -> Iterator[Phase]:
        """Yield phases of memory errors, wrong bits, resets, a card that is not to answer, and floods."""
        everything = range(7)
        yield self._failing("memory in error", lookups=8, updates=4)
        yield self._phase("after the errors", lookups=8, tables=everything, flush=True)
        wrong = self._phase(
            "wrong bits",
            lookups=26,
            updates=6,
            tables=(0, 1, 5),
            inject=(1, 2, 3, 4, 5, 6, 7, 3, 5, 1, 6),
            window=3,
            count=True,
        )
        wrong.expected.clear()  # which rows were wrong, or not written, is compared between runs only
        yield wrong
        busy = self._phase(
            "quiesced", lookups=3, updates=2, pings=1, tables=(0,), quiesce=1, count=True
        )
        busy.expected.clear()
        yield busy
        yield self._phase(
            "reset in traffic",
            lookups=20,
            updates=3,
            tables=everything,
            reset_after=400,
            window=100,
            window_bytes=1 << 20,
            line_gbps=0.0,
        )
        yield self._phase("after the reset", lookups=12, updates=4, tables=everything, tx_stall=0.3)
        off = self._phase("disabled", lookups=3, pings=1, tables=(0,), enable=0)
        off.expected.clear()
        yield off
        other = self._phase("another port", lookups=2, pings=1, tables=(0,), udp_port=17_743)
        other.expected.clear()
        yield other
        flood = self._phase(
            "more than there is room for",
            lookups=40,
            tables=(2, 5),
            tx_stall=0.6,
            line_gbps=0.0,
            window=100,
            window_bytes=1 << 20,
        )
        flood.expected.clear()  # which are dropped is a matter of time
        yield flood

    def _ordered(self) -> Iterator[Phase]:
        """Yield phases of tables with other orders, and of partials."""
        yield self._phase("trees", lookups=14, tables=range(4), of=ORDERS, longest=20)
        yield self._phase(
            "partials", lookups=6, merges=14, tables=(4, 5, 6), of=ORDERS, memory_stall=0.2
        )
        yield self.saturated("single elements out of range")
        yield self.bad_orders("orders to refuse")
        yield self._phase(
            "rows and stalled trees",
            lookups=12,
            updates=3,
            tables=(7, 2, 1, 3),
            of=ORDERS,
            tx_stall=0.4,
            line_gbps=0.0,
            count=True,
        )

    def _late(self) -> Iterator[Phase]:
        """Yield phases of memory that is silent."""
        table = ORDERS[0]
        first = self.base[table.name] + 4 * table.stride_bytes
        silent = self._phase(
            "silent rows",
            lookups=7,
            updates=1,
            tables=(0,),
            of=ORDERS,
            mutes=(first, first + 6 * table.stride_bytes),
            timeout=1,
            count=True,
        )
        silent.expected.clear()
        yield silent
        deaf = self._phase(
            "deaf memory", lookups=8, updates=2, tables=(0, 4), of=ORDERS, timeout=1, deaf=4_000
        )
        deaf.expected.clear()
        yield deaf
        yield self.silent_writes("silent writes")
        yield self.interrupted_writes("interrupted writes")
        yield self.far_rows("far rows")
        yield self.odd_descriptors("descriptors to refuse")
        last = self._phase(
            "at the end", lookups=10, pings=1, tables=(1, 2, 7), of=ORDERS, count=True
        )
        yield last
        yield self.filtered("filtered for long")
        waiting = self._phase(
            "deaf to many reads",
            lookups=8,
            tables=(1, 5),
            of=ORDERS,
            timeout=1,
            deaf=5_000,
            longest=12,
            flush=True,
            line_gbps=0.0,
            count=True,
        )
        waiting.expected.clear()
        yield waiting
        for units in (12, 233):
            name = f"replies of {units} units"
            yield self._phase(name, lookups=9, tables=(2, 5, 1), reply_units=units)
        yield self.near_rows("near rows")
        yield self.near_lines("near lines")
        full = self.full_key_store("a full key store")
        full.expected.clear()
        yield full
        yield self.full_reply_buffer("a full reply buffer")
        yield self.long_ends("long ends")
        near = self.near_tables("near tables")
        near.histograms = True
        yield near
        yield self.many_vectors("replies of many vectors", 60)
        yield self.filtered_near("filtered near rows")
        yield self.carried_sums("sums that carry")
        partials = Phase("many partials", tables=ORDERS)
        for owners, number in ((15, 6), (7, 4), (10, 6), (5, 5), (15, 6), (3, 4)):
            self.merged(partials, ORDERS[number], 4, owners)
        yield partials
        yield self.rounded_means("rounded means")
        yield self.updates_of_nothing("updates of nothing")
        yield self.many_vectors("many vectors in a frame", CONFIG.reply_vec64)

    def _failing(self, name: str, *, lookups: int, updates: int) -> Phase:
        table = TABLES[5]
        first = self.base[table.name] + 4 * table.stride_bytes
        phase = self._phase(
            name, lookups=0, tables=(5,), faults=(first, first + 8 * table.stride_bytes)
        )
        before = {key: rows.copy() for key, rows in self.rows.items()}
        for _ in range(lookups):
            self.lookup(phase, table, 5)
        for _ in range(updates):  # none of these rows is written
            self.update_rows(phase, table, 4 + self.rng.integers(0, 8, 2))
        phase.expected.clear()
        self.rows = before  # rows that could not be written are compared between runs only
        self.update_rows(phase, table, np.arange(table.rows // 2, table.rows))
        return phase
