# SPDX-License-Identifier: Apache-2.0
"""Ask the card for everything but lookups: is it there, write these rows, drop these rows."""

from __future__ import annotations

import secrets

import numpy as np
from numpy.typing import NDArray

from .config import Table
from .exchange import Exchange, Pending, Reply
from .gen.wire import FRAME_OVERHEAD, KEY_TABLE_SHIFT, Opcode, Status
from .wire import Entries, FrameBatch, Route, encode_invalidate, encode_update, new_headers

__all__ = ["ClientsFull", "PingRequest", "UpdateRequest", "UpdateSession"]


class PingRequest(Pending):
    """Ask whether a card of our wire version listens on the link."""

    def accept(self, reply: Reply) -> bool | None:
        """Take the answer: a REPLY without vectors."""
        self.complete = reply.opcode == Opcode.REPLY and reply.bags == 0
        return True if self.complete else None

    def describe(self) -> str:
        """Name the request."""
        return "PING"


class ClientsFull(Exception):
    """The card's client table is full: updates go through the memory port."""


class UpdateRequest(Pending):
    """Ask for rows to be written (UPDATE) or dropped from the cache (INVALIDATE), once."""

    def __init__(
        self,
        frame: FrameBatch,
        request_id: int,
        size: int,
        *,
        client: int,
        sequence: int,
        rows: int,
    ) -> None:
        super().__init__(frame, request_id, size)
        self._client = client
        self.sequence = sequence
        self._rows = rows

    def accept(self, reply: Reply) -> bool | None:
        """Take the ACK of exactly this client and sequence."""
        if reply.opcode != Opcode.ACK or len(reply.payload) < 16:
            return None
        client, sequence = reply.payload[:16].view("<u8").tolist()
        if (client, sequence) != (self._client, self.sequence):
            return None
        self.complete = True
        return True

    def refuse(self, status: Status) -> None:
        """Turn to the memory port when the client table is full; else blame the card."""
        if status == Status.CLIENTS_FULL:
            raise ClientsFull
        super().refuse(status)

    def describe(self) -> str:
        """Name the update."""
        return f"update {self.sequence} of {self._rows} rows"


class UpdateSession:
    """Keep this host's client id and sequences, as one card knows them.

    A session lasts as long as the card keeps its state: after a reset of the card a new one begins.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self._unanswered: set[int] = (
            set()
        )  # sequences whose fate is unknown: sent, never acknowledged
        self.renew()

    def renew(self) -> None:
        """Begin again as a client that the card has never seen."""
        self._client = secrets.randbits(64)
        self._sequence = 0
        self._unanswered.clear()

    def write(
        self,
        exchange: Exchange,
        keys: NDArray[np.uint64],
        rows: NDArray[np.uint8],
        *,
        table: Table,
        per_frame: int,
    ) -> None:
        """Write `rows` uint8 [n, stride] to `keys` [n] of `table`; all differ, so the order of the frames is free."""
        starts = range(0, len(keys), per_frame)
        requests = []
        for request_id, start in zip(exchange.next_ids(len(starts)).tolist(), starts, strict=True):
            chosen = slice(start, start + per_frame)
            self._sequence += 1
            self._unanswered.add(self._sequence)
            requests.append(
                self._request(
                    request_id, self._sequence, table=table, keys=keys[chosen], rows=rows[chosen]
                )
            )
        exchange.run(requests, doing="waiting for updates")
        self._unanswered.difference_update(request.sequence for request in requests)
        exchange.counters.updates += len(requests)

    def settle(self, exchange: Exchange, *, table: Table, number: int) -> None:
        """Use up the sequences whose fate is unknown, so that a late copy of such a frame is never applied.

        Each is sent as an INVALIDATE of row 0 of `table`, which has that `number`: any row will do, and the card
        acknowledges it whether or not the update was applied before.
        """
        sequences = sorted(self._unanswered)
        ids = exchange.next_ids(len(sequences)).tolist()
        key = np.array([number << KEY_TABLE_SHIFT], np.uint64)
        exchange.run(
            [
                self._request(at, sequence, table=table, keys=key)
                for at, sequence in zip(ids, sequences, strict=True)
            ],
            doing="settling updates",
        )
        self._unanswered.clear()

    def _request(
        self,
        request_id: int,
        sequence: int,
        *,
        table: Table,
        keys: NDArray[np.uint64],
        rows: NDArray[np.uint8] | None = None,
    ) -> UpdateRequest:
        """Return the request that writes `rows`, or drops the keys from the cache."""
        entries = Entries(keys, np.array([0, len(keys)], np.int64))
        stamps = np.array([[self._client, sequence]], np.uint64)
        headers = new_headers(1, Opcode.UPDATE)
        headers["request_id"] = request_id
        headers["dtype"] = table.dtype
        headers["dim"] = table.dim
        if rows is None:
            frame = encode_invalidate(self._route, headers, entries, stamps=stamps)
        else:
            frame = encode_update(self._route, headers, entries, stamps=stamps, rows=rows)
        size = frame.nbytes - FRAME_OVERHEAD
        return UpdateRequest(
            frame, request_id, size, client=self._client, sequence=sequence, rows=len(keys)
        )
