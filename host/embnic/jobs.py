# SPDX-License-Identifier: Apache-2.0
"""Ask a card for the kernels beyond pooling: gradients summed by row, the best of scores, dot products.

What is asked is a job of one frame or several, its pieces. The card keeps what the pieces before gave, takes them in
order, and answers the last one with vectors; so a job lives on one card and ends with it. Frames that are lost are sent
again: a piece that comes twice is taken once, one that comes too early is refused and sent again; the answer to the
last piece stands for those to all. A card that does not have the job any more (its answer was lost, another client's
job took its place, it was reset) gets all of it again as a new job.

A row of gradients is named by its place among the rows of its job, not by its id: so the card's sets, which are chosen
by the low bits of the name, fill evenly, and a job of as many rows as the card holds finds a place for each.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .compute import BestRows, Floats, Optimizer, ReferenceKernels, RowGradients
from .errors import DeviceTimeout
from .exchange import Exchange, Pending, Reply, Timing
from .gen.wire import (
    COMPUTE_K,
    COMPUTE_KEYS,
    COMPUTE_VEC64,
    COMPUTE_VECTORS,
    FRAME_OVERHEAD,
    UNIT_BYTES,
    Flag,
    Opcode,
    Status,
)
from .wire import Route, encode, new_headers

if TYPE_CHECKING:
    from .driver import Driver

__all__ = ["CardKernels", "Job", "JobPiece", "JobSession", "Piece"]

ATTEMPTS = 16  # so often a job is begun before the card is given up
FLOATS = UNIT_BYTES // 4
MOST_KEYS = 0xFFFF  # of a frame


class JobGone(Exception):
    """The card does not have the job any more: it has to be begun again."""


@dataclass(frozen=True)
class Piece:
    """The body of a frame of a job: what stands in its header, and the payload behind the block."""

    keys: int
    body: NDArray[np.uint8]  # a multiple of 8 bytes


@dataclass(frozen=True)
class Job:
    """All frames of a job, and how much it is answered with: `bags` vectors of `units` 64-byte units."""

    opcode: Opcode
    pieces: list[Piece]
    dim: int
    bags: int
    units: int
    first_bag: int = 0


class JobPiece(Pending):
    """A piece of a job: the last one is answered by vectors, the others by a REPLY without."""

    def __init__(
        self,
        frame: Any,
        request_id: int,
        size: int,
        *,
        job: Job,
        out: NDArray[np.uint8] | None,
        before: Iterable[int] = (),
    ) -> None:
        """Take the frame; `out` uint8 [bags * units, 64] is filled by the answers of a last piece.

        `before` are the request ids of the pieces before a last one: the card took them, or it could not answer this.
        """
        super().__init__(frame, request_id, size)
        self._job, self._out, self._before = job, out, before
        self._seen = np.zeros(0 if out is None else len(out), np.bool_)

    def accept(self, reply: Reply) -> bool | None:
        """Take an answer: its vectors, or a part of one, go where they belong."""
        if reply.opcode != Opcode.REPLY:
            return None
        if self._out is None:
            self.complete = reply.bags == 0 and not len(reply.payload)
            return True if self.complete else None
        first = (reply.first_bag - self._job.first_bag) * self._job.units + reply.keys
        units, rest = divmod(len(reply.payload), UNIT_BYTES)
        if first < 0 or rest or not units or first + units > len(self._out):
            return None
        chosen = slice(first, first + units)
        if self._seen[chosen].all():
            return False
        self._out[chosen] = reply.payload.reshape(units, UNIT_BYTES)
        self._seen[chosen] = True
        self.complete = bool(self._seen.all())
        return True

    def refuse(self, status: Status) -> None:
        """Wait when a piece before is still to come; begin again when the card does not have the job."""
        if status == Status.SEQUENCE_WINDOW:
            return
        if status == Status.JOB_GONE:
            raise JobGone
        super().refuse(status)

    def settles(self) -> Iterable[int]:
        """Return the pieces before: their answers may be lost."""
        return self._before

    def describe(self) -> str:
        """Name the job."""
        return f"a piece of {self._job.opcode.name}"


class JobSession:
    """Name this host's jobs, and send them."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._client = secrets.randbits(64)
        self._numbers = itertools.count(1)

    def run(self, exchange: Exchange, jobs: list[Job], timing: Timing) -> list[NDArray[np.uint8]]:
        """Return the units uint8 [bags * units, 64] that each job is answered with; all are of one frame, or it is one.

        Begins again when the card has lost a job, within the deadline.
        """
        start = exchange.clock()
        for _ in range(ATTEMPTS):
            answers = [np.zeros((job.bags * job.units, UNIT_BYTES), np.uint8) for job in jobs]
            pieces = [
                piece
                for job, out in zip(jobs, answers, strict=True)
                for piece in self._pieces(exchange, job, out)
            ]
            try:
                exchange.run(pieces, doing="waiting for a kernel", timing=timing)
                return answers
            except JobGone:
                timing = _rest(timing, exchange.clock() - start)
        raise DeviceTimeout(
            f"a kernel, whose job was lost {ATTEMPTS} times",
            waited=exchange.clock() - start,
            do="check who else uses the card's kernels, then reattach().",
        )

    def _pieces(self, exchange: Exchange, job: Job, out: NDArray[np.uint8]) -> Iterator[JobPiece]:
        """Return a request for each piece of a job that has a number of its own."""
        number, last = next(self._numbers), len(job.pieces) - 1
        ids = exchange.next_ids(len(job.pieces)).tolist()
        for at, (request_id, piece) in enumerate(zip(ids, job.pieces, strict=True)):
            headers = new_headers(1, job.opcode)
            headers["request_id"] = request_id
            headers["flags"] = 0 if at == last else Flag.CONTINUES
            headers["first_bag"] = job.first_bag
            headers["bags"] = job.bags if at == last else 0
            headers["keys"] = piece.keys
            headers["dim"] = job.dim
            block = np.array([self._client, number, at, 0, 0, 0, 0, 0], "<u8").view(np.uint8)
            payload = np.concatenate([block, piece.body])
            frame = encode(self._route, headers, payload, np.array([0, len(payload)], np.int64))
            yield JobPiece(
                frame,
                request_id,
                frame.nbytes - FRAME_OVERHEAD,
                job=job,
                out=out if at == last else None,
                before=ids[:-1] if at == last else (),
            )


class CardKernels:
    """Compute on a card with CAP_FEATURES bit 3; see `compute.Kernels`.

    Optimizers change rows on the host: `apply` is the twin's, the engine sends the rows in an UPDATE.
    """

    name = "card"

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def accumulate(self, ids: NDArray[np.int64], grads: Floats) -> RowGradients | None:
        """Return the sum of the gradients [n, D] of every different id [n]."""
        vec64, dim = self._vec64(grads.shape[1]), grads.shape[1]
        per_frame = min(_gradients(self._payload, vec64), COMPUTE_KEYS)
        most = self._driver.capabilities.reply_vec64 // vec64 if vec64 else 0
        if not vec64 or per_frame < 1 or most < 1:
            return None
        unique, first, places = np.unique(ids, return_index=True, return_inverse=True)
        order, rank = np.argsort(first), np.empty(len(unique), np.int64)
        rank[order] = np.arange(len(unique))
        rows, row_of = unique[order], rank[places]
        padded = _padded(grads, vec64)
        sums = np.empty((len(rows), dim), np.float32)
        for start in range(0, len(rows), most):
            stop = min(start + most, len(rows))
            chosen = np.flatnonzero((row_of >= start) & (row_of < stop))
            names = (row_of[chosen] - start).astype("<u8")
            pieces = [
                _gradient_piece(names[at : at + per_frame], padded[chosen[at : at + per_frame]])
                for at in range(0, len(chosen), per_frame)
            ]
            job = Job(Opcode.ACCUMULATE, pieces, dim=dim, bags=stop - start, units=vec64)
            sums[start:stop] = _floats(self._driver.run_jobs([job])[0], stop - start)[:, :dim]
        return RowGradients(rows, sums)

    def apply(
        self, found: RowGradients, rows: Floats, state: Floats, optimizer: Optimizer
    ) -> tuple[Floats, Floats]:
        """Return rows [U, D] changed by their gradients, and the new state [U]; the host's numpy does it."""
        return ReferenceKernels().apply(found, rows, state, optimizer)

    def topk(self, scores: Floats, k: int) -> BestRows | None:
        """Return the best k of the scores [n]; the ids are their places."""
        per_frame = min((self._payload - UNIT_BYTES) // 8 * 2, MOST_KEYS - 1)
        if k > COMPUTE_K or per_frame < 2:
            return None
        pieces = []
        for at in range(0, len(scores), per_frame):
            body = np.zeros(-(-len(scores[at : at + per_frame]) // 2) * 2, "<f4")
            body[: len(scores[at : at + per_frame])] = scores[at : at + per_frame]
            pieces.append(Piece(len(scores[at : at + per_frame]), body.view(np.uint8)))
        job = Job(Opcode.TOPK, pieces, dim=2 * k, bags=1, units=-(-2 * k // FLOATS))
        words = self._driver.run_jobs([job])[0].reshape(-1).view("<u4")[: 2 * k].reshape(k, 2)
        ids = words[:, 0].astype(np.int64)
        ids[ids == 0xFFFFFFFF] = -1
        return BestRows(ids, np.ascontiguousarray(words[:, 1]).view(np.float32))

    def interact(self, vectors: Floats) -> Floats | None:
        """Return the dot products [B, V * (V - 1) / 2] of each sample's vectors [B, V, D]."""
        samples, count, dim = vectors.shape
        vec64, pairs = self._vec64(dim), count * (count - 1) // 2
        units = -(-pairs // FLOATS)
        per_frame = (self._payload - UNIT_BYTES) // (max(vec64, 1) * UNIT_BYTES)
        most = self._driver.capabilities.reply_vec64 // units
        if not vec64 or count > COMPUTE_VECTORS or per_frame < 1 or most < 1:
            return None
        padded = _padded(vectors.reshape(-1, dim), vec64)
        out = np.empty((samples, pairs), np.float32)

        def job(first: int, bags: int, step: int) -> Job:
            ends = range(first * count, (first + bags) * count, step)
            pieces = [
                Piece(min(step, ends.stop - at), padded[at : min(at + step, ends.stop)].reshape(-1))
                for at in ends
            ]
            return Job(Opcode.INTERACT, pieces, dim=dim, bags=bags, units=units, first_bag=count)

        whole = min(per_frame // count, most)  # samples that fit a frame, and their dots a reply
        step = max(whole, 1)
        jobs = [
            job(first, min(step, samples - first), step * count if whole else per_frame)
            for first in range(0, samples, step)
        ]
        groups = [jobs] if whole else [[one] for one in jobs]
        done = [answer for group in groups if group for answer in self._driver.run_jobs(group)]
        for first, answer in zip(range(0, samples, step), done, strict=True):
            bags = min(step, samples - first)
            out[first : first + bags] = _floats(answer, bags)[:, :pairs]
        return out

    @property
    def _payload(self) -> int:
        return self._driver.limits.payload

    def _vec64(self, dim: int) -> int:
        """Return the 64-byte units of a vector, 0 when it is longer than the card's kernels take."""
        vec64 = -(-dim // FLOATS)
        return vec64 if vec64 <= min(COMPUTE_VEC64, self._driver.capabilities.max_vec64) else 0


def _rest(timing: Timing, spent: float) -> Timing:
    """Return the times that are left after so many seconds."""
    if timing.deadline is None:
        return timing
    return replace(timing, deadline=max(timing.deadline - spent, timing.retry / 1e3))


def _gradients(payload: int, vec64: int) -> int:
    """Return how many gradients fit a frame: with their names, which fill whole units."""
    whole = (payload - UNIT_BYTES) // UNIT_BYTES
    keys = max(whole * 8 // (8 * vec64 + 1), 0) if vec64 else 0
    while keys and -(-keys // 8) + keys * vec64 > whole:
        keys -= 1
    return keys


def _gradient_piece(names: NDArray[Any], rows: NDArray[np.uint8]) -> Piece:
    filled = np.zeros(-(-len(names) // 8) * 8, "<u8")
    filled[: len(names)] = names
    return Piece(len(names), np.concatenate([filled.view(np.uint8), rows.reshape(-1)]))


def _padded(values: Floats, vec64: int) -> NDArray[np.uint8]:
    """Return vectors [n, D] as on the wire: uint8 [n, vec64 * 64]."""
    whole = np.zeros((len(values), vec64 * FLOATS), "<f4")
    whole[:, : values.shape[1]] = values
    return whole.view(np.uint8)


def _floats(units: NDArray[np.uint8], bags: int) -> Floats:
    """Return what a job was answered with as float32 [bags, units * 16]."""
    floats: Floats = units.reshape(bags, -1).view("<f4")
    return floats
