# SPDX-License-Identifier: Apache-2.0
"""The walk over the requests of the twin's card: it finds their bags, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .model_link import Link
from .model_state import NEVER, Request, Table

__all__ = ["Walk"]


class Walk:
    """Find the bags of requests that have arrived, where there is a context and room for their replies.

    The bag found is `keys[key:stop]` of request `number`, of a table of another card if `remote`; it is ready at cycle
    `ready`, which is NEVER while none is found.
    """

    def __init__(self, parameters: Mapping[str, Any], tables: dict[int, Table], link: Link) -> None:
        self._p, self._tables, self._link = parameters, tables, link
        self._at = self._end = self._accept_before = 0
        self.remote = False
        self.begin([], [], [0])

    def begin(self, requests: list[Request], keys: list[int], splits: list[int]) -> None:
        """Take the requests of a run, and their keys."""
        self._requests, self._keys, self._splits = requests, keys, splits
        self.number = self._freed = 0
        self._space_used = self._start_floor = 0
        self.key = self.stop = 0
        self.ready, self._last = NEVER, False

    def step(self) -> None:
        """Find the next bag, unless there is one already or none has come."""
        p = self._p
        if self.ready != NEVER or self.number >= self._link.sent:
            return
        request = self._requests[self.number]
        first = self._splits[self.number]
        if self.key == first and not request.walked and not self._begin(request):
            return
        stop = self.key
        while not self._keys[stop] >> 63:
            stop += 1
        stop += 1
        width, words = 1 + request.weighted, p["bus_bytes"] // 8
        begin, end = (self.key - first) * width, (stop - first) * width
        touched = (end - 1) // words - begin // words + 1
        self._at = max(self._at + touched, self._accept_before)
        self.ready, self.stop = self._at, stop
        self.remote = self._tables[self._keys[stop - 1] >> 48 & 0x7FFF].remote
        self._last = stop == self._splits[self.number + 1]

    def _begin(self, request: Request) -> bool:
        """Begin the walk over a request if it finds a context and room for its reply."""
        p, number = self._p, self.number
        start = max(self._link.accepted_at[number] + p["decode"], self._end + p["request_gap"])
        space = request.bags * request.vec64
        while self._space_used + space > p["reply_units_space"]:
            if self._freed >= self._link.replied:
                return False
            done = self._requests[self._freed]
            self._space_used -= done.bags * done.vec64
            self._start_floor = max(self._start_floor, self._link.replied_at[self._freed])
            self._freed += 1
        if number >= p["contexts"]:
            if number - p["contexts"] >= self._link.replied:
                return False
            start = max(start, self._link.replied_at[number - p["contexts"]])
        self._space_used += space
        self._at = max(start, self._start_floor) - 1
        request.walked = True
        units = request.vec64 * (request.init + request.merges)
        vectors = request.init + request.merges
        self._at += units * 64 // p["bus_bytes"] + vectors + (p["copy"] if vectors else 0)
        return True

    def accept(self, now: int) -> None:
        """Leave the bag that was found to a slot, and go on behind it."""
        self._accept_before = now + 1
        self.ready = NEVER
        self.key = self.stop
        if self._last:
            self.number += 1
            self._end = now
