# SPDX-License-Identifier: Apache-2.0
"""Rows of other cards, for embnic_sim.mutate_workload: owners that are slow, repeat, lose, break and refuse answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from embnic.gen.wire import Hold
from embnic_sim.card_models import PeerModel
from embnic_sim.mutate_frames import Phase
from embnic_sim.mutate_pairs import Pairs
from embnic_sim.mutate_tables import REMOTES

__all__ = ["Remotes"]

NEAR = PeerModel(20, 90, twice=0.1, stall=0.2, mixed=0.3)


class Remotes(Pairs):
    """Phases of remote tables."""

    def remote_phases(self) -> Iterator[Phase]:
        """Yield them: first those that the reference answers, then those of what goes wrong."""
        yield self._remote("rows of other cards", 20, range(8), peer=NEAR, memory_stall=0.2)
        yield self._remote(
            "theirs beside ours",
            20,
            (0, 7, 3, 7),
            peer=PeerModel(60, 60),
            line_gbps=0.0,
            longest=9,
            count=True,
        )
        yield self._remote(
            "their rows held", 8, (0, 3, 7), holds=(*Hold, Hold.PIN), updates=16, peer=NEAR
        )
        yield self._remote(
            "their partials", 4, (6,), merges=8, updates=3, peer=PeerModel(30, 200, twice=0.3)
        )
        yield self._remote(
            "owners far away",
            9,
            (0, 1, 3, 7),
            peer=PeerModel(200, 500, mixed=0.5, stall=0.3),
            line_gbps=0.0,
            longest=12,
        )
        yield from self._unanswered()

    def _unanswered(self) -> Iterator[Phase]:
        """Yield phases in which which bags are answered is compared between runs only."""
        peer = PeerModel(20, 90, broken=0.3, mixed=0.3, twice=0.1)
        yield self._unsure("answers of another length", 10, (0, 3, 7), peer=peer, count=True)
        table = REMOTES[0]
        first = self.base[table.name] + 4 * table.stride_bytes
        some = (first, first + 9 * table.stride_bytes)
        yield self._unsure("owners in error", 10, (0, 7), remote_faults=some, count=True)
        yield self._unsure("answers lost", 10, (0, 3, 7), remote_lost=some, remote_timeout=1)
        peer = PeerModel(20, 60, loss=0.15, twice=0.2, stall=0.2)
        yield self._unsure(
            "many answers lost", 5, (0, 3, 7), peer=peer, remote_timeout=1, count=True
        )
        yield self._unsure(
            "owners that take nothing",
            8,
            (0, 2, 7),
            peer=PeerModel(20, 60, stall=1.0),
            remote_timeout=1,
            window=8,
        )
        late = PeerModel(1_500, 3_200, twice=0.3)
        yield self._unsure("answers too late", 5, (0, 1, 7), peer=late, remote_timeout=1)
        yield self._unsure("wrong bits of theirs", 12, (0, 1, 7), inject=(3, 2, 5, 3), window=3)
        yield self._remote(
            "reset with answers to come",
            14,
            range(8),
            peer=PeerModel(100, 1_500),
            reset_after=500,
            line_gbps=0.0,
            window=100,
            window_bytes=1 << 20,
        )
        yield self._remote("theirs after the reset", 10, range(8), peer=NEAR, count=True)
        yield self.far_rows("their far rows", remote=True)

    def _remote(self, name: str, lookups: int, tables: Any, **settings: Any) -> Phase:
        return self._phase(name, lookups=lookups, tables=tables, of=REMOTES, **settings)

    def _unsure(self, name: str, lookups: int, tables: Any, **settings: Any) -> Phase:
        phase = self._remote(name, lookups, tables, **settings)
        phase.expected.clear()
        return phase
