# SPDX-License-Identifier: Apache-2.0
"""The memories of the twin's card: its own, by channels, banks and open rows, and what owners of remote rows answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from .model_state import Table

__all__ = ["Memory"]

LINEAR = (1 << 37) - 1  # of an address: the byte of card memory
PAGE = 4096  # a page has one channel


class Memory:
    """Say when what is fetched arrives: in the order in which it was asked for."""

    def __init__(self, parameters: Mapping[str, Any], counts: dict[str, int]) -> None:
        p = parameters
        self._p, self._counts = p, counts
        self._fetched = deque([-1] * p["fetches"])
        self._remote_fetched = deque([-1] * p["remote_fetches"])
        self._remote_asked = self._remote_delivered = -1
        self._bank_ready = [0] * p["banks"] * p["channels"]
        self._open_row = [-1] * p["banks"] * p["channels"]
        self._asked, self._bus_free = -1, [0] * p["channels"]
        self._delivered = -1

    def fetch(self, table: Table, out: int, addr: int, beats: int) -> int:
        """Ask at cycle `out` for `beats` from `addr` on; return when the pool can take the last."""
        p = self._p
        self._counts["fetches"] += 1
        if table.remote:
            return self._fetch_remote(out, beats)
        self._counts["fetch_beats"] += beats
        asked = max(out + p["fetch"], self._asked + 1, self._fetched.popleft() + 1)
        last = 0
        arrival: int = p["arrival"]
        while beats > 0:
            page = (4096 - addr % 4096) // p["bus_bytes"]
            part = min(beats, p["max_burst"], page)
            last = self._deliver(asked, addr, part)
            self._asked = asked
            asked += 1
            addr += part * p["bus_bytes"]
            beats -= part
        self._fetched.append(last)
        return last + arrival

    def _fetch_remote(self, out: int, beats: int) -> int:
        p, arrival = self._p, int(self._p["arrival"])
        self._counts["remote_fetches"] += 1
        self._counts["remote_beats"] += beats
        room = self._remote_fetched.popleft() + 1
        self._remote_asked = max(out + p["fetch"], self._remote_asked + 1, room)
        begin = max(self._remote_asked + p["remote"], self._remote_delivered + 1)
        self._remote_delivered = begin + beats - 1
        self._remote_fetched.append(self._remote_delivered)
        return self._remote_delivered + arrival

    def _deliver(self, asked: int, addr: int, beats: int) -> int:
        p = self._p
        page = (addr & LINEAR) // PAGE
        channel = page % p["channels"]
        stripe = (page // p["channels"] * PAGE + addr % PAGE) // p["row_bytes"]
        row, bank = divmod(stripe, p["banks"])
        bank += channel * p["banks"]
        issue = max(asked, self._bank_ready[bank])
        if p["refresh_period"] > 0 and (phase := issue % p["refresh_period"]) < p["refresh_cycles"]:
            issue += p["refresh_cycles"] - phase
        hit = self._open_row[bank] == row
        self._open_row[bank] = row
        self._bank_ready[bank] = issue + (1 if hit else p["bank_busy"])
        found = issue + (p["hit_latency"] if hit else p["miss_latency"])
        width = p["bytes_per_cycle"]
        self._bus_free[channel] = (
            max(found, self._bus_free[channel]) + (beats * p["bus_bytes"] + width - 1) // width
        )
        first: int = max(
            self._bus_free[channel] + p["jitter_mean"] + p["base_latency"], self._delivered + 1
        )
        last = first + beats - 1
        self._delivered = last
        return last
