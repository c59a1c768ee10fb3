# SPDX-License-Identifier: Apache-2.0
"""Ask for bags and put the replies together: vectors of a group, bags continued over several frames, partials.

A `Sink` holds the pooled vectors of one group and which of them have arrived; it stays valid when the card fails in the
middle of a call, so that the rest can be answered by somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bags import Bags
from .errors import ConfigError, DeviceFault
from .exchange import Exchange, Pending, Reply
from .framing import FrameLimits, Group, Span, cut, spans
from .gen.wire import (
    FRAME_OVERHEAD,
    KEY_LAST_SHIFT,
    KEY_TABLE_BITS,
    KEY_TABLE_SHIFT,
    NULL_ROW,
    UNIT_BYTES,
    DType,
    Flag,
    Opcode,
    Order,
    Status,
)
from .wire import Entries, FrameBatch, Route, encode_lookup, encode_merge, new_headers

__all__ = ["LookupPlanner", "PartialResult", "Partials", "Sink", "beats_of"]

FLOATS = UNIT_BYTES // 4  # fp32 or int32 elements of a wire beat


class Piece(NamedTuple):
    """A piece of a bag: entries `start` to `stop` of a group, behind an accumulator and before partials, if any.

    The accumulator is uint8 [(1 + vec64) * 64], the partials uint8 [n, (1 + vec64) * 64]. Without entries it gives
    the bag's table by a null key.
    """

    group: Group
    bag: int
    start: int
    stop: int
    flags: int
    accumulator: NDArray[np.uint8] | None
    partials: NDArray[np.uint8] | None


class Partials(NamedTuple):
    """What an owner holds of some bags: unrounded, undivided `values` float32 (`fixed`: int32) [B, D], and how many
    keys each holds, `counts` int64 [B].
    """

    values: NDArray[Any]
    counts: NDArray[np.int64]


class Rest(NamedTuple):
    """What is still to be asked for a bag: entries from `start` on, then partials uint8 [n, (1 + vec64) * 64]; and
    whether its last answer is a partial.
    """

    start: int
    partials: NDArray[np.uint8] | None = None
    wanted: bool = False


MakeFrame = Callable[[Piece], tuple[FrameBatch, int, int]]  # frame, request id, payload bytes


class Sink:
    """Collect the vectors of a group as the card sends them: `values` float32 (`fixed`: int32) [B, D],
    `done` bool [B]; of partials also `counts` int64 [B].
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        kind = np.int32 if group.dtype is DType.FIXED else np.float32
        self.values: NDArray[Any] = np.zeros((group.bags, group.dim), kind)
        self.counts = np.zeros(group.bags, np.int64)
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
            vectors = payload.view(self.values.dtype).reshape(count, vec64 * FLOATS)
            self.values[at : at + count] = vectors[:, : self.group.dim]
            self.done[at : at + count] = True
            return True
        return self._take_piece(at, reply) if count == 1 else None

    def take_partial(self, bag: int, block: NDArray[np.uint8]) -> None:
        """Take a whole partial: count block and accumulator."""
        self.counts[bag] = int(block[:4].view("<u4")[0])
        self.values[bag] = block[UNIT_BYTES:].view(self.values.dtype)[: self.group.dim]
        self.done[bag] = True

    def _take_piece(self, bag: int, reply: Reply) -> bool | None:
        """Take a piece of a vector that was cut over frames."""
        beats = beats_of(reply.keys, len(reply.payload), self.group.vec64)
        if beats is None:
            return None
        have = self._cut.get(bag, 0)
        if self.done[bag] or beats & ~have == 0:
            return False
        start = reply.keys * FLOATS
        piece = reply.payload.view(self.values.dtype)[: max(self.group.dim - start, 0)]
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
    """Ask for one piece of a bag; the next piece follows when this one's accumulator is back.

    First come the bag's keys, then the partials of other owners, as many in a frame as fit. The pieces of a bag depend
    on each other, so that at most one of them is in flight; different bags overlap. With `wanted` the last piece, too,
    is answered by a partial.
    """

    def __init__(
        self,
        make: MakeFrame,
        *,
        sink: Sink,
        bag: int,
        limits: FrameLimits,
        rest: Rest,
        accumulator: NDArray[np.uint8] | None = None,
    ) -> None:
        group = sink.group
        self._make, self._sink, self._bag, self._limits = make, sink, bag, limits
        end = int(group.offsets[bag + 1])
        weighted, held = group.weights is not None, accumulator is not None
        room = limits.keys(
            weighted=weighted,
            accumulator_vec64=group.vec64 if held else 0,
            product=group.product,
        )
        stop = min(rest.start + room, end)
        entries = max(stop - rest.start, 1)
        partials, left = None, rest.partials
        if left is not None and stop == end:
            fit = limits.partials(group.vec64, entries=entries, weighted=weighted, accumulator=held)
            partials, left = (left[:fit] if fit else None), left[fit:]
            left = left if len(left) else None
        if stop == rest.start and partials is None:
            raise ConfigError(
                f"A bag of {end - int(group.offsets[bag])} keys of dim {group.dim} does not fit a frame.",
                allowed=f"an accumulator of {group.vec64 * UNIT_BYTES} bytes and more in {limits.payload} bytes.",
                do="Raise the MTU, or make the bag shorter.",
            )
        self._rest = Rest(stop, left, rest.wanted)
        self._last = stop == end and left is None
        flags = Flag.CONTINUES if not self._last else Flag.PARTIAL_WANTED if rest.wanted else 0
        self._partial = bool(flags)
        piece = Piece(group, bag, rest.start, stop, int(flags), accumulator, partials)
        frame, request_id, size = make(piece)
        super().__init__(frame, request_id, size)
        self._block = np.zeros((group.vec64 + 1) * UNIT_BYTES, np.uint8)
        self._beats = 0

    def accept(self, reply: Reply) -> bool | None:
        """Take the vector from a REPLY, the accumulator from a PARTIAL."""
        if not self._partial:
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
        if self.complete and self._last:
            self._sink.take_partial(self._bag, self._block)
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
            rest=self._rest,
            accumulator=self._block,
        )
        return (following,)

    def describe(self) -> str:
        """Name the bag."""
        return f"lookup of bag {self._bag} of {', '.join(map(repr, self._sink.group.parts))}"


class PartialResult:
    """Hold what the card has answered of a lookup; stays valid when the card fails in the middle.

    `bags` are those given, except that a table without pooling has a bag for every id. `too_long` counts the bags that
    cannot be cut over the card's frames at this MTU and are left undone.
    """

    def __init__(self, bags: Bags, found: list[Group]) -> None:
        self.bags = bags
        self.sinks = [Sink(group) for group in found]
        self.too_long = 0
        self._where = {name: sink for sink in self.sinks for name in sink.group.parts}

    def values(self, name: str) -> NDArray[Any] | None:
        """Return the vectors of a table as the card sent them [B, D]; those not done are zeros. None: no bags."""
        sink = self._where.get(name)
        return None if sink is None else sink.values[sink.group.parts[name]]

    @property
    def names(self) -> list[str]:
        """Return the tables that have bags."""
        return list(self._where)

    def counts(self, name: str) -> NDArray[np.int64]:
        """Return how many keys the partials of a table hold: int64 [B]."""
        sink = self._where.get(name)
        return np.zeros(0, np.int64) if sink is None else sink.counts[sink.group.parts[name]]

    def done(self, name: str) -> NDArray[np.bool_]:
        """Return which bags of a table are answered: bool [B]."""
        sink = self._where.get(name)
        return np.zeros(0, np.bool_) if sink is None else sink.done[sink.group.parts[name]]

    @property
    def answered(self) -> int:
        """Return how many bags are answered."""
        return sum(int(sink.done.sum()) for sink in self.sinks)


class LookupPlanner:
    """Turn the bags of a group into requests: whole bags share frames, long ones are continued."""

    def __init__(self, route: Route, limits: FrameLimits, exchange: Exchange) -> None:
        self._route, self._limits, self._exchange = route, limits, exchange

    def requests(self, sink: Sink, result: PartialResult) -> Iterator[Pending]:
        """Return the requests of a group; bags that cannot be continued are left out and counted."""
        group, limits = sink.group, self._limits
        weighted = group.weights is not None
        bounds, long_bags = cut(
            group.offsets,
            max_keys=limits.keys(weighted=weighted),
            max_bags=limits.bags(group.vec64),
        )
        fits = (
            group.order is not Order.TREE
            and limits.keys(weighted=weighted, accumulator_vec64=group.vec64, product=group.product)
            > 0
        )
        keep = set(long_bags)
        self._exchange.counters.continued_bags += len(keep) if fits else 0
        result.too_long += 0 if fits else len(keep)
        short = [span for span in spans(bounds) if span.first not in keep]
        yield from self._short_requests(sink, short)
        if fits:
            for bag in long_bags:
                yield self._bag(sink, bag)

    def partials(self, sink: Sink, result: PartialResult) -> Iterator[Pending]:
        """Return requests for the partials of a group's bags, a frame or more for each bag."""
        for bag in self._cuttable(sink, result):
            yield self._bag(sink, bag, wanted=True)

    def merges(
        self, sink: Sink, result: PartialResult, owners: Mapping[str, Sequence[Partials]]
    ) -> Iterator[Pending]:
        """Return requests for a group's bags, each merged with those of its partials that hold a key."""
        group = sink.group
        held = {
            name: (part, [_blocks(group, each) for each in owners.get(name, ())])
            for name, part in group.parts.items()
        }
        chosen = set(self._cuttable(sink, result))
        for part, blocks in held.values():
            for bag in range(part.start, part.stop):
                if bag not in chosen:
                    continue
                own = [block[bag - part.start] for block in blocks]
                own = [block for block in own if block[:4].any()]
                yield self._bag(sink, bag, partials=np.stack(own) if own else None)

    def _cuttable(self, sink: Sink, result: PartialResult) -> list[int]:
        """Return the bags of a group that fit the card's frames, be it in pieces; count the others."""
        group, limits = sink.group, self._limits
        most = limits.keys(weighted=group.weights is not None)
        fits = (
            group.order is not Order.TREE
            and limits.keys(weighted=group.weights is not None, accumulator_vec64=group.vec64) > 0
        )
        chosen = [bag for bag, keys in enumerate(group.lengths.tolist()) if keys <= most or fits]
        result.too_long += group.bags - len(chosen)
        return chosen

    def _bag(
        self,
        sink: Sink,
        bag: int,
        *,
        partials: NDArray[np.uint8] | None = None,
        wanted: bool = False,
    ) -> Pending:
        rest = Rest(int(sink.group.offsets[bag]), partials, wanted)
        return ContinuedRequest(self._piece, sink=sink, bag=bag, limits=self._limits, rest=rest)

    def _short_requests(self, sink: Sink, short: list[Span]) -> list[Pending]:
        """Return a request for each span of bags that fit a frame; all frames are encoded at once."""
        group = sink.group
        if not short:
            return []
        edges = group.offsets[
            np.array(short, np.int64)
        ]  # [n, 2]: first entry and the one behind the last
        sizes = edges[:, 1] - edges[:, 0]
        splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        keys, weights = group.keys, group.weights
        if splits[-1] != len(keys):  # leave out the long bags between
            chosen = np.arange(splits[-1]) + np.repeat(edges[:, 0] - splits[:-1], sizes)
            keys, weights = keys[chosen], None if weights is None else weights[chosen]
        ids = self._exchange.next_ids(len(short))
        headers = self._lookup_headers(group, ids)
        frames = encode_lookup(self._route, headers, Entries(keys, splits, weights))
        payloads = (np.diff(frames.offsets) - FRAME_OVERHEAD).tolist()
        return [
            LookupRequest(frames[at : at + 1], request_id, size, sink=sink, bags=span)
            for at, (request_id, size, span) in enumerate(
                zip(ids.tolist(), payloads, short, strict=True)
            )
        ]

    def _lookup_headers(self, group: Group, ids: NDArray[np.uint32]) -> NDArray[np.void]:
        headers = new_headers(len(ids), Opcode.LOOKUP)
        headers["request_id"] = ids
        headers["dtype"] = group.dtype
        headers["dim"] = group.dim
        headers["flags"] = Flag.PRODUCT if group.product else 0
        return headers

    def _piece(self, piece: Piece) -> tuple[FrameBatch, int, int]:
        """Return the frame for a piece of a bag, its request id and the bytes of its payload."""
        group, chosen = piece.group, slice(piece.start, piece.stop)
        keys = group.keys[chosen].copy()
        weights = None if group.weights is None else group.weights[chosen]
        if not len(keys):
            table = group.keys[group.offsets[piece.bag]] & np.uint64(
                ((1 << KEY_TABLE_BITS) - 1) << KEY_TABLE_SHIFT
            )
            keys = np.array([table | np.uint64(NULL_ROW)])
            weights = None if weights is None else np.ones(1, np.float32)
        keys[-1] |= np.uint64(1 << KEY_LAST_SHIFT)
        ids = self._exchange.next_ids(1)
        headers = self._lookup_headers(group, ids)
        headers["flags"] |= np.uint8(piece.flags)
        entries = Entries(keys, np.array([0, len(keys)], np.int64), weights)
        held = None if piece.accumulator is None else piece.accumulator.reshape(1, -1)
        if piece.partials is None:
            frame = encode_lookup(self._route, headers, entries, accumulators=held)
        else:
            splits = np.array([0, len(piece.partials)], np.int64)
            frame = encode_merge(
                self._route,
                headers,
                entries,
                partials=piece.partials,
                splits=splits,
                accumulators=held,
            )
        return frame, int(ids[0]), frame.nbytes - FRAME_OVERHEAD


def _blocks(group: Group, partials: Partials) -> NDArray[np.uint8]:
    """Return an owner's partials as on the wire: uint8 [B, (1 + vec64) * 64]."""
    bags = len(partials.counts)
    words = np.zeros((bags, (group.vec64 + 1) * FLOATS), "<u4")
    words[:, 0] = partials.counts
    words[:, FLOATS : FLOATS + group.dim] = np.ascontiguousarray(partials.values).view(np.uint32)
    return words.view(np.uint8)
