# SPDX-License-Identifier: Apache-2.0
"""Exchange requests for replies over a link that loses, repeats and reorders frames.

A `Pending` is one request frame and what to do with its reply frames. `Exchange.run` keeps a window of them in flight,
matches replies by request id, sends a frame again when nothing came back for it, and ends when every request is
answered or the time is up. Requests are idempotent (lookups by nature, updates by their sequence), so sending one twice
is always safe.

The window keeps the card's key store and contexts from overflowing: frames in flight never exceed `Window.frames` nor
their payloads `Window.bytes`. A frame that the card drops all the same (overload, checksum) is sent again.

A request counts as lost when no useful reply at all arrived for `Timing.retry` seconds, doubled with every attempt, or
when more than a window of younger requests were answered before it: the card answers in order.
"""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError, DeviceFault, DeviceTimeout, LinkError
from .gen.wire import SEQUENCE_WINDOW, Opcode, Status
from .stats import LinkCounters
from .wire import FrameBatch, concat, decode

if TYPE_CHECKING:
    from .ports import Link

__all__ = ["Exchange", "Pending", "Reply", "Timing", "Window"]

RECEIVE_FRAMES = 256  # at most so many frames are taken from the link at once
SHORTEST_WAIT = (
    1e-3  # of the retry time: a wait shorter than a tick of the device's clock would never end
)
MAX_BACKOFF = 8  # the retry time grows up to this factor
TRY_LATER = frozenset((int(Status.BUSY),))  # statuses that are answered by trying again


@dataclass(frozen=True)
class Timing:
    """How long to wait, in seconds of the device's clock.

    `retry`: without a useful reply for so long, what is in flight is sent again. `patience`: without a useful reply for
    so long, the call is given up. `deadline`: one call takes no longer than this; None: only `patience` ends it.
    """

    retry: float
    patience: float
    deadline: float | None = None

    def __post_init__(self) -> None:
        """Refuse times that cannot be waited for."""
        given = (self.retry, self.patience, *(() if self.deadline is None else (self.deadline,)))
        if not all(np.isfinite(value) and value > 0 for value in given):
            raise ConfigError(
                f"{self}.",
                allowed="finite times above 0 seconds.",
                do="Leave deadline=None out, or raise it.",
            )


@dataclass(frozen=True)
class Window:
    """How much may be in flight: frames, and bytes of their payloads, each rounded up to `beat` bytes as
    the card stores them.
    """

    frames: int
    bytes: int
    beat: int = 1

    def taken(self, size: int) -> int:
        """Return the bytes that a payload of `size` bytes takes.

        >>> Window(frames=8, bytes=4096, beat=64).taken(1400)
        1408
        """
        return -(-size // self.beat) * self.beat


class Reply:
    """One reply frame, decoded; `payload` is a uint8 view of the received bytes."""

    __slots__ = ("bags", "dim", "first_bag", "keys", "opcode", "payload", "status")

    def __init__(self, header: tuple[int, ...], payload: NDArray[np.uint8]) -> None:
        self.opcode, self.status, self.first_bag, self.bags, self.keys, self.dim = header
        self.payload = payload


class Pending:
    """A request in flight; subclasses say what a reply means.

    `size` is the payload's bytes, `sequence` the update sequence (0: none).
    """

    sequence = 0

    def __init__(self, frame: FrameBatch, request_id: int, size: int) -> None:
        self.frame = frame
        self.request_id = request_id
        self.size = size
        self.sent_at = 0.0
        self.serial = 0
        self.attempts = 0
        self.complete = False

    def accept(self, reply: Reply) -> bool | None:
        """Take a reply frame in; set `complete`. Return True: new, False: seen before, None: makes no sense."""
        raise NotImplementedError

    def refuse(self, status: Status) -> None:
        """Take an ERROR in: raise the error that the caller shall see, or return to keep trying."""
        raise DeviceFault(self.describe(), code=status)

    def follow(self) -> Iterable[Pending]:
        """Return the requests that had to wait for this one's answer."""
        return ()

    def settles(self) -> Iterable[int]:
        """Return the ids of other requests that need no answer any more when this one has its own."""
        return ()

    def describe(self) -> str:
        """Return what this request asks for, for messages."""
        return "a request"


class Exchange:
    """Keep a window of requests in flight over one link."""

    def __init__(self, link: Link, timing: Timing, window: Window, counters: LinkCounters) -> None:
        self._link = link
        self._timing = timing
        self._window = window
        self.counters = counters
        self._ids = itertools.count(secrets.randbits(31))
        self._serials = itertools.count(1)
        self._flying: dict[int, Pending] = {}
        self._flying_bytes = 0
        self._answered_serial = 0

    def clock(self) -> float:
        """Return the device's time, in seconds."""
        return self._link.clock()

    def next_ids(self, count: int) -> NDArray[np.uint32]:
        """Return `count` request ids that are not in use."""
        first = next(self._ids)
        self._ids = itertools.count(first + count)
        return (np.arange(first, first + count, dtype=np.uint64) & 0xFFFFFFFF).astype(np.uint32)

    def run(self, requests: Iterable[Pending], *, doing: str, timing: Timing | None = None) -> None:
        """Send all `requests` and return when each is answered.

        Raises DeviceTimeout when the time is up, DeviceFault for an ERROR reply, LinkError when the link itself fails.
        After an error nothing is in flight any more: replies that still come are counted as late.
        """
        queue = deque(requests)
        try:
            self._run(queue, doing, timing or self._timing)
        except OSError as error:
            if isinstance(error, DeviceTimeout):
                raise
            raise LinkError(
                f"The link failed while {doing}: {error}. Do: check the device, then reattach()."
            ) from error
        finally:
            self._flying.clear()
            self._flying_bytes = 0

    def _run(self, queue: deque[Pending], doing: str, timing: Timing) -> None:
        now = start = progress = self._link.clock()
        while queue or self._flying:
            self._send_new(queue, now)
            frames = self._link.recv(RECEIVE_FRAMES, self._wait(now, start, progress, timing))
            now = self._link.clock()
            if len(frames) and self._dispatch(frames, queue):
                progress = now
            if self._flying:
                self._send_again(now, progress, timing)
            if queue or self._flying:
                self._check_time(now, start, progress, timing, doing)

    def _send_new(self, queue: deque[Pending], now: float) -> None:
        chosen: list[Pending] = []
        lowest = min((item.sequence for item in self._flying.values() if item.sequence), default=0)
        while queue and len(self._flying) < self._window.frames:
            item = queue[0]
            taken = self._window.taken(item.size)
            if self._flying and self._flying_bytes + taken > self._window.bytes:
                break
            if lowest and item.sequence >= lowest + SEQUENCE_WINDOW:
                break
            lowest = lowest or item.sequence
            queue.popleft()
            self._flying[item.request_id] = item
            self._flying_bytes += taken
            chosen.append(item)
        if chosen:
            self.counters.requests += len(chosen)
            self._transmit(chosen, now)

    def _transmit(self, items: list[Pending], now: float) -> None:
        for item in items:
            item.sent_at = now
            item.serial = next(self._serials)
        frames = items[0].frame if len(items) == 1 else concat([item.frame for item in items])
        self.counters.frames_sent += len(items)
        self.counters.bytes_sent += frames.nbytes
        self._link.send(frames)

    def _wait(self, now: float, start: float, progress: float, timing: Timing) -> float:
        """Return how long to wait for the next frame: until the first retry or the end of the time."""
        ends = [progress + timing.patience]
        if timing.deadline is not None:
            ends.append(start + timing.deadline)
        ends += [self._retry_at(item, progress, timing) for item in self._flying.values()]
        return max(min(ends) - now, timing.retry * SHORTEST_WAIT)

    @staticmethod
    def _retry_at(item: Pending, progress: float, timing: Timing) -> float:
        return max(item.sent_at, progress) + timing.retry * min(1 << item.attempts, MAX_BACKOFF)

    def _send_again(self, now: float, progress: float, timing: Timing) -> None:
        overtaken = self._answered_serial - 2 * self._window.frames
        lost = [
            item
            for item in self._flying.values()
            if item.serial < overtaken or now >= self._retry_at(item, progress, timing)
        ]
        if lost:
            for item in lost:
                item.attempts += 1
            self.counters.retries += len(lost)
            self._transmit(lost, now)

    def _check_time(
        self, now: float, start: float, progress: float, timing: Timing, doing: str
    ) -> None:
        over = timing.deadline is not None and now - start >= timing.deadline
        if over or now - progress >= timing.patience:
            self.counters.timeouts += len(self._flying)
            raise DeviceTimeout(
                f"{doing} ({len(self._flying)} requests unanswered)",
                waited=now - start if over else now - progress,
                do="check the device and the deadline, then reattach().",
            )

    def _dispatch(self, frames: FrameBatch, queue: deque[Pending]) -> bool:
        """Give every received frame to its request; return whether any brought something new."""
        self.counters.frames_received += len(frames)
        self.counters.bytes_received += frames.nbytes
        batch = decode(frames)
        self.counters.bad_frames += batch.bad
        useful = False
        for request_id, header, payload in batch:
            item = self._flying.get(request_id)
            if item is None:
                self.counters.late += 1
                continue
            useful |= self._deliver(item, Reply(header, payload), queue)
        return useful

    def _deliver(self, item: Pending, reply: Reply, queue: deque[Pending]) -> bool:
        if reply.opcode == Opcode.ERROR:
            if reply.status not in TRY_LATER:
                if reply.status not in set(Status):
                    raise DeviceFault(
                        item.describe(),
                        code=reply.status,
                        do="check the card: no version answers so.",
                    )
                item.refuse(Status(reply.status))
            return False
        new = item.accept(reply)
        if new is None:
            self.counters.bad_frames += 1
        elif not new:
            self.counters.duplicates += 1
        if item.complete:
            self._answered_serial = max(self._answered_serial, item.serial)
            self._land(item.request_id)
            for other in item.settles():
                self._land(other)
            queue.extendleft(item.follow())
        return bool(new)

    def _land(self, request_id: int) -> None:
        """Take a request as answered, if it is still in flight."""
        item = self._flying.pop(request_id, None)
        if item is not None:
            self._flying_bytes -= self._window.taken(item.size)
            self.counters.answered += 1
