# SPDX-License-Identifier: Apache-2.0
"""The line between the host and the twin's card: when requests arrive, when replies have left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .model_state import NEVER, Request

__all__ = ["Link"]


class Link:
    """Send the requests of a run within the host's window, and the replies in their order.

    `sent` and `replied` count the requests of the run; `accepted_at` and `replied_at` say when each was, in cycles.
    """

    def __init__(self, parameters: Mapping[str, Any], counts: dict[str, int]) -> None:
        self._p, self._counts = parameters, counts
        self._rx_next = self._tx_next = 0.0
        self._arrived, self._tx_free, self.last_reply = -1, 0, 0
        self.begin([], [0], 0)

    def begin(self, requests: list[Request], splits: list[int], now: int) -> None:
        """Take the requests of a run; request `i` has the keys from `splits[i]` to `splits[i + 1]`."""
        self._requests, self._splits = requests, splits
        self._rx_next = max(self._rx_next, float(now))
        self.sent = self.replied = 0
        self._bytes_from = self._bytes_flying = 0
        self.replied_at = [NEVER] * len(requests)
        self.accepted_at = [0] * len(requests)

    def send(self) -> None:
        """Send every request that the window has room for."""
        while self.sent < len(self._requests) and self._may_send(self.sent):
            self._send(self.sent)

    def _may_send(self, number: int) -> bool:
        p = self._p
        if number >= p["window"] and number - p["window"] >= self.replied:
            return False
        if self._requests[number].after and number > 0 and number - 1 >= self.replied:
            return False
        while (
            self._bytes_flying > 0
            and self._bytes_flying + self._payload(number) > p["window_bytes"]
        ):
            if self._bytes_from >= self.replied:
                return False
            self._bytes_flying -= self._payload(self._bytes_from)
            self._bytes_from += 1
        return True

    def _payload(self, number: int) -> int:
        request = self._requests[number]
        entries: int = self._splits[number + 1] - self._splits[number]
        held = (request.vec64 + 1) * 64 * (request.init + request.merges)
        return entries * (16 if request.weighted else 8) + held

    def _send(self, number: int) -> None:
        p = self._p
        nbytes = self._payload(number) + p["frame_overhead"]
        start = max(self._rx_next, float(self._arrived + 1))
        answered = []
        if number >= p["window"]:
            answered.append(number - p["window"])
        if self._requests[number].after and number > 0:
            answered.append(number - 1)
        if self._bytes_from > 0:
            answered.append(self._bytes_from - 1)
        for before in answered:
            start = max(start, float(self.replied_at[before] + p["host"]))
        bus = p["bus_bytes"]
        self._arrived = int(start) + (nbytes + bus - 1) // bus - 1
        self._rx_next = start + float(nbytes + p["wire_overhead"]) / p["line_bytes_per_cycle"]
        self.accepted_at[number] = self._arrived
        self._bytes_flying += self._payload(number)
        self.sent += 1

    def bag_done(self, number: int, done: int) -> None:
        """Take a bag of a request that is done at cycle `done`; answer what is complete."""
        request = self._requests[number]
        request.done = max(request.done, done)
        request.bags_left -= 1
        while self.replied < len(self._requests) and not self._requests[self.replied].bags_left:
            self._reply(self.replied)
            self.replied += 1

    def _reply(self, number: int) -> None:
        p, request = self._p, self._requests[number]
        begin = max(request.done + p["reply"], self._tx_free)
        for units in _frames(request, p["reply_units"]):
            nbytes = p["frame_overhead"] + units * 64
            start = max(self._tx_next, float(begin))
            begin = int(start) + (nbytes + p["bus_bytes"] - 1) // p["bus_bytes"] + p["frame_gap"]
            self._tx_next = start + float(nbytes + p["wire_overhead"]) / p["line_bytes_per_cycle"]
            self._counts["tx_frames"] += 1
            self._counts["tx_bytes"] += nbytes
        self._counts["partials" if request.partial else "replies"] += 1
        self._tx_free = begin
        self.replied_at[number] = self.last_reply = begin - p["frame_gap"]


def _frames(request: Request, most: int) -> Iterator[int]:
    """Yield the 64-byte units of each frame of a reply."""
    each = most // request.vec64
    if request.partial or each == 0:
        total = (request.bags * request.vec64 + request.partial) // request.bags
        for _ in range(request.bags):
            yield from (min(left, most) for left in range(total, 0, -most))
    else:
        yield from (min(left, each) * request.vec64 for left in range(request.bags, 0, -each))
