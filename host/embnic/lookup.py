# SPDX-License-Identifier: Apache-2.0
"""Put the card's replies together: vectors of a group, and bags continued over several frames.

A `Sink` holds the pooled vectors of one group and which of them have arrived; it stays valid when the card fails in the
middle of a call, so that the rest can be answered by somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError, DeviceFault
from .exchange import Pending, Reply
from .framing import FrameLimits, Group
from .gen.wire import UNIT_BYTES, Opcode, Status
from .wire import FrameBatch

__all__ = ["ContinuedRequest", "LookupRequest", "MakeFrame", "Piece", "Sink", "beats_of"]

FLOATS = UNIT_BYTES // 4  # fp32 elements of a wire beat


class Piece(NamedTuple):
    """A piece of a long bag: entries `start` to `stop` of a group, behind an accumulator if there is one."""

    group: Group
    start: int
    stop: int
    continues: bool
    accumulator: NDArray[np.uint8] | None


MakeFrame = Callable[[Piece], tuple[FrameBatch, int, int]]  # frame, request id, payload bytes


class Sink:
    """Collect the vectors of a group: `values` float32 [B, D], `done` bool [B]."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.values = np.zeros((group.bags, group.dim), np.float32)
        self.done = np.zeros(group.bags, np.bool_)
        self._cut: dict[int, int] = {}  # bag -> bits of the wire beats that arrived

    def take(self, first: int, bags: int, reply: Reply) -> bool | None:
        """Take the vectors of a REPLY frame whose request is for `bags` bags from `first`; see `Pending.accept`."""
        vec64, payload = self.group.vec64, reply.payload
        at, count = reply.first_bag, reply.bags
        if reply.dim != self.group.dim or count < 1 or at + count > bags:
            return None
        at += first
        if reply.keys == 0 and len(payload) == count * vec64 * UNIT_BYTES:
            if self.done[at : at + count].all():
                return False
            vectors = payload.view(np.float32).reshape(count, vec64 * FLOATS)
            self.values[at : at + count] = vectors[:, : self.group.dim]
            self.done[at : at + count] = True
            return True
        return self._take_piece(at, reply) if count == 1 else None

    def _take_piece(self, bag: int, reply: Reply) -> bool | None:
        """Take a piece of a vector that was cut over frames."""
        beats = beats_of(reply.keys, len(reply.payload), self.group.vec64)
        if beats is None:
            return None
        have = self._cut.get(bag, 0)
        if self.done[bag] or beats & ~have == 0:
            return False
        start = reply.keys * FLOATS
        piece = reply.payload.view(np.float32)[: max(self.group.dim - start, 0)]
        self.values[bag, start : start + len(piece)] = piece
        self._cut[bag] = have | beats
        self.done[bag] = self._cut[bag] == (1 << self.group.vec64) - 1
        return True


def beats_of(first: int, nbytes: int, vec64: int) -> int | None:
    """Return the wire beats of a piece of a vector as bits; None when it cannot be one."""
    count, rest = divmod(nbytes, UNIT_BYTES)
    if rest or not count or first + count > vec64:
        return None
    return ((1 << count) - 1) << first


class LookupRequest(Pending):
    """Ask for the bags `first` to `stop` of a group in one frame."""

    def __init__(
        self, frame: FrameBatch, request_id: int, size: int, *, sink: Sink, bags: tuple[int, int]
    ) -> None:
        super().__init__(frame, request_id, size)
        self._sink = sink
        self._first, self._stop = bags

    def accept(self, reply: Reply) -> bool | None:
        """Take vectors; complete when the last bag arrived."""
        if reply.opcode != Opcode.REPLY:
            return None
        new = self._sink.take(self._first, self._stop - self._first, reply)
        self.complete = bool(self._sink.done[self._first : self._stop].all())
        return new

    def refuse(self, status: Status) -> None:
        """Blame the card: what it was asked fits the tables it was given."""
        raise DeviceFault(self.describe(), code=status, do="reattach() reloads the tables.")

    def describe(self) -> str:
        """Name the tables and bags asked for."""
        names = [
            name
            for name, part in self._sink.group.parts.items()
            if part.start < self._stop and part.stop > self._first
        ]
        return f"lookup of {self._stop - self._first} bags of {', '.join(map(repr, names))}"


class ContinuedRequest(Pending):
    """Ask for one piece of a long bag; the next piece follows when this one's accumulator is back.

    The pieces of a bag depend on each other, so that at most one of them is in flight; different bags overlap.
    """

    def __init__(
        self,
        make: MakeFrame,
        *,
        sink: Sink,
        bag: int,
        limits: FrameLimits,
        start: int = 0,
        accumulator: NDArray[np.uint8] | None = None,
    ) -> None:
        group = sink.group
        self._make, self._sink, self._bag, self._limits = make, sink, bag, limits
        end = int(group.offsets[bag + 1])
        start = start or int(group.offsets[bag])
        room = limits.keys(
            weighted=group.weights is not None,
            accumulator_vec64=0 if accumulator is None else group.vec64,
        )
        if room < 1:
            raise ConfigError(
                f"A bag of {end - int(group.offsets[bag])} keys of dim {group.dim} must be continued over several frames.",
                allowed=f"an accumulator of {group.vec64 * UNIT_BYTES} bytes and a key in {limits.payload} bytes.",
                do="Raise the MTU, or make the bag shorter.",
            )
        self._stop = min(start + room, end)
        self._last = self._stop == end
        piece = Piece(group, start, self._stop, not self._last, accumulator)
        frame, request_id, size = make(piece)
        super().__init__(frame, request_id, size)
        self._block = np.zeros((group.vec64 + 1) * UNIT_BYTES, np.uint8)
        self._beats = 0

    def accept(self, reply: Reply) -> bool | None:
        """Take vectors from the last piece's REPLY, the accumulator from the others' PARTIAL."""
        if self._last:
            if reply.opcode != Opcode.REPLY:
                return None
            new = self._sink.take(self._bag, 1, reply)
            self.complete = bool(self._sink.done[self._bag])
            return new
        if reply.opcode != Opcode.PARTIAL or len(reply.payload) < UNIT_BYTES:
            return None
        beats = beats_of(reply.keys, len(reply.payload) - UNIT_BYTES, self._sink.group.vec64)
        if beats is None or reply.dim != self._sink.group.dim:
            return None
        if beats & ~self._beats == 0:
            return False
        at = (reply.keys + 1) * UNIT_BYTES
        self._block[:UNIT_BYTES] = reply.payload[:UNIT_BYTES]
        self._block[at : at + len(reply.payload) - UNIT_BYTES] = reply.payload[UNIT_BYTES:]
        self._beats |= beats
        self.complete = self._beats == (1 << self._sink.group.vec64) - 1
        return True

    def follow(self) -> Iterable[Pending]:
        """Return the request for the bag's next piece."""
        if self._last:
            return ()
        following = ContinuedRequest(
            self._make,
            sink=self._sink,
            bag=self._bag,
            limits=self._limits,
            start=self._stop,
            accumulator=self._block,
        )
        return (following,)

    def describe(self) -> str:
        """Name the bag."""
        return (
            f"lookup of the long bag {self._bag} of {', '.join(map(repr, self._sink.group.parts))}"
        )
