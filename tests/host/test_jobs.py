# SPDX-License-Identifier: Apache-2.0
"""Jobs of the kernels beyond pooling: how they are cut, what answers are taken, who is not asked."""

from __future__ import annotations

import numpy as np
import pytest
from cases import seeded
from fakes import FakeCard, fake_engine

import embnic
from embnic.compute import ReferenceKernels
from embnic.driver import DEFAULT_ROUTE
from embnic.errors import DeviceFault, DeviceTimeout
from embnic.exchange import Reply, Timing
from embnic.gen.wire import COMPUTE_KEYS, FRAME_OVERHEAD, Opcode, Status
from embnic.jobs import (
    ATTEMPTS,
    CardKernels,
    Job,
    JobGone,
    JobSession,
    Piece,
    _gradients,
)
from embnic.wire import FrameBatch, decode

TWIN = ReferenceKernels()
TIMING = Timing(retry=1e-3, patience=1e-1, deadline=1.0)


class Line:
    """Stands for an exchange: keeps the pieces, and answers or refuses them."""

    def __init__(self, answers=None, gone=0) -> None:
        self.answers, self.gone, self.runs, self.time = answers, gone, [], 0.0

    def clock(self) -> float:
        self.time += 0.125
        return self.time

    def next_ids(self, count):
        return np.arange(7, 7 + count, dtype=np.uint32)

    def run(self, pieces, *, doing, timing) -> None:
        self.runs.append((pieces, timing))
        if len(self.runs) <= self.gone:
            raise JobGone
        for piece in pieces:
            for reply in self.answers(piece):
                piece.accept(reply)
            assert piece.complete, doing


def reply(opcode=Opcode.REPLY, *, first=0, bags=0, unit=0, units=0, fill=1) -> Reply:
    payload = np.full(64 * units, fill, np.uint8)
    return Reply((int(opcode), 0, first, bags, unit, 16), payload)


def frames_of(pieces) -> list:
    batch = FrameBatch.from_list([piece.frame.to_list()[0] for piece in pieces])
    found = decode(batch, opcodes=list(Opcode))
    assert found.valid.all()
    return list(zip(found.headers, (found.payload(at) for at in range(len(pieces))), strict=True))


def two_pieces(**more) -> Job:
    pieces = [Piece(4, np.zeros(16, np.uint8)), Piece(3, np.ones(16, np.uint8))]
    return Job(Opcode.TOPK, pieces, dim=4, bags=1, units=1, **more)


def test_pieces_are_numbered_and_all_but_the_last_say_that_more_comes():
    line = Line(lambda piece: [reply(bags=0)] if piece._out is None else [reply(bags=1, units=1)])
    session = JobSession(DEFAULT_ROUTE)
    for number in (1, 2):
        ((answer),) = session.run(line, [two_pieces()], TIMING)
        assert (answer == 1).all()
        (first, head), (last, tail) = frames_of(line.runs[-1][0])
        assert [h["bags"].item() for h in (first, last)] == [0, 1]
        assert [h["flags"].item() for h in (first, last)] == [8, 0]
        assert [h["keys"].item() for h in (first, last)] == [4, 3]
        blocks = [payload[:24].view("<u8") for payload in (head, tail)]
        assert blocks[0][0] == blocks[1][0] == session._client
        assert [block[1] for block in blocks] == [number, number]
        assert [block[2] for block in blocks] == [0, 1]


def test_a_job_that_is_gone_is_begun_again_under_a_new_number_within_the_deadline():
    line = Line(lambda piece: [reply()] if piece._out is None else [reply(bags=1, units=1)], gone=3)
    JobSession(DEFAULT_ROUTE).run(line, [two_pieces()], TIMING)
    numbers = [int(frames_of(pieces)[0][1][8:16].view("<u8")[0]) for pieces, _ in line.runs]
    assert numbers == [1, 2, 3, 4]
    left = [timing.deadline for _, timing in line.runs]
    assert left[0] == 1.0 and left == sorted(left, reverse=True) and left[-1] < 1.0


def test_a_job_that_is_always_gone_is_given_up():
    line = Line(gone=ATTEMPTS + 1)
    with pytest.raises(DeviceTimeout, match="lost 16 times"):
        JobSession(DEFAULT_ROUTE).run(line, [two_pieces()], TIMING)
    assert len(line.runs) == ATTEMPTS


def last_piece(job: Job):
    line = Line(lambda piece: [])
    out = np.zeros((job.bags * job.units, 64), np.uint8)
    return list(JobSession(DEFAULT_ROUTE)._pieces(line, job, out))[-1], out


def test_vectors_go_where_their_header_says_in_any_order_and_once():
    job = Job(
        Opcode.INTERACT, [Piece(6, np.zeros(64, np.uint8))], dim=16, bags=3, units=2, first_bag=9
    )
    piece, out = last_piece(job)
    assert piece.accept(reply(first=11, bags=1, units=2, fill=3)) is True
    assert piece.accept(reply(first=9, bags=1, unit=1, units=1, fill=2)) is True
    assert piece.accept(reply(first=9, bags=1, unit=1, units=1, fill=2)) is False
    assert not piece.complete
    assert piece.accept(reply(first=9, bags=1, unit=0, units=1, fill=1)) is True
    assert piece.accept(reply(first=10, bags=1, units=2, fill=5)) is True
    assert piece.complete and out[:, 0].tolist() == [1, 2, 5, 5, 3, 3]


def test_the_answer_to_the_last_piece_stands_for_those_to_all():
    line = Line(lambda piece: [])
    pieces = list(
        JobSession(DEFAULT_ROUTE)._pieces(line, two_pieces(), np.zeros((1, 64), np.uint8))
    )
    assert [list(piece.settles()) for piece in pieces] == [[], [pieces[0].request_id]]


def test_answers_that_make_no_sense_are_not_taken():
    job = Job(
        Opcode.INTERACT, [Piece(6, np.zeros(64, np.uint8))], dim=16, bags=2, units=1, first_bag=9
    )
    piece, out = last_piece(job)
    for wrong in (
        reply(Opcode.ACK, first=9, units=1),
        reply(first=8, bags=1, units=1),
        reply(first=11, bags=1, units=1),
        reply(first=10, bags=2, units=2),
        reply(first=9, bags=0),
        Reply((int(Opcode.REPLY), 0, 9, 1, 0, 16), np.ones(72, np.uint8)),
    ):
        assert piece.accept(wrong) is None
    assert not out.any() and not piece.complete


def test_a_piece_that_came_early_waits_and_other_errors_are_the_cards():
    piece, _ = last_piece(two_pieces())
    piece.refuse(Status.SEQUENCE_WINDOW)
    with pytest.raises(JobGone):
        piece.refuse(Status.JOB_GONE)
    with pytest.raises(DeviceFault, match="TOPK"):
        piece.refuse(Status.MEMORY_ERROR)


def test_as_many_gradients_as_fit_are_in_a_frame():
    for vec64 in range(1, 9):
        for payload in range(64, 9000, 56):
            keys = _gradients(payload, vec64)
            size = [64 + -(-n // 8) * 64 + n * vec64 * 64 for n in (keys, keys + 1)]
            assert (size[0] <= payload or not keys) and size[1] > payload


class Card:
    """A driver whose card computes by the twin from the frames of its jobs."""

    class capabilities:
        max_vec64, reply_vec64 = 8, 64

    class limits:
        payload = 1440

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def run_jobs(self, jobs):
        assert len(jobs) == 1 or all(len(job.pieces) == 1 for job in jobs)
        self.jobs += jobs
        return [self.answer(job) for job in jobs]

    def answer(self, job: Job) -> np.ndarray:
        for piece in job.pieces:
            assert len(piece.body) + 64 <= self.limits.payload
            assert len(piece.body) + FRAME_OVERHEAD < 1 << 14
        out = np.zeros((job.bags * job.units, 64), np.uint8)
        words = out.view("<u4").reshape(job.bags, -1)
        bodies = [piece.body for piece in job.pieces]
        keys = [piece.keys for piece in job.pieces]
        if job.opcode is Opcode.TOPK:
            assert all(count % 2 == 0 for count in keys[:-1])
            scores = np.concatenate([b.view("<f4")[:n] for b, n in zip(bodies, keys, strict=True)])
            best = TWIN.topk(scores, job.dim // 2)
            words[0, : job.dim : 2], words[0, 1 : job.dim : 2] = (
                best.ids.astype(np.uint64).astype(np.uint32),
                best.scores.view(np.uint32),
            )
            return out
        vec64 = -(-job.dim // 16)
        if job.opcode is Opcode.INTERACT:
            rows = np.concatenate(bodies).view("<f4").reshape(job.bags, job.first_bag, -1)
            dots = TWIN.interact(rows)
            words[:, : dots.shape[1]] = dots.view(np.uint32)
            return out
        names, rows = [], []
        for body, count in zip(bodies, keys, strict=True):
            assert count <= COMPUTE_KEYS
            head = -(-count // 8) * 64
            names.append(body[:head].view("<u8")[:count])
            rows.append(body[head:].view("<f4").reshape(count, vec64 * 16))
        found = TWIN.accumulate(np.concatenate(names).astype(np.int64), np.concatenate(rows))
        assert found.rows.tolist() == list(range(job.bags)) and job.bags * vec64 <= 64
        words[:] = found.sums.view(np.uint32)
        return out


def bits(array):
    return np.ascontiguousarray(array).view(np.uint32)


def test_what_is_cut_into_jobs_comes_together_again():
    rng = seeded()
    card = Card()
    kernels = CardKernels(card)
    for _ in range(40):
        dim, count = int(rng.integers(1, 129)), int(rng.integers(1, 200))
        ids = rng.integers(0, int(rng.integers(1, 400)), count)
        grads = rng.standard_normal((count, dim)).astype(np.float32)
        found, want = kernels.accumulate(ids, grads), TWIN.accumulate(ids, grads)
        assert (found.rows == want.rows).all() and (bits(found.sums) == bits(want.sums)).all()
        scores = np.round(rng.standard_normal(int(rng.integers(1, 2000))), 1).astype(np.float32)
        k = int(rng.integers(1, 17))
        best, right = kernels.topk(scores, k), TWIN.topk(scores, k)
        assert (best.ids == right.ids).all() and (bits(best.scores) == bits(right.scores)).all()
        shape = (int(rng.integers(1, 6)), int(rng.integers(2, 33)), int(rng.integers(1, 129)))
        vectors = rng.standard_normal(shape).astype(np.float32)
        dots = kernels.interact(vectors)
        assert (bits(dots) == bits(TWIN.interact(vectors))).all()
    assert max(len(job.pieces) for job in card.jobs) > 3


def test_what_does_not_fit_is_left_to_others():
    card = Card()
    kernels = CardKernels(card)
    assert kernels.accumulate(np.zeros(1, np.int64), np.ones((1, 129), np.float32)) is None
    assert kernels.topk(np.ones(3, np.float32), 17) is None
    assert kernels.interact(np.ones((1, 33, 2), np.float32)) is None
    assert kernels.interact(np.ones((1, 3, 129), np.float32)) is None
    assert not card.jobs


def test_a_card_without_the_kernels_is_not_asked():
    table = embnic.Table("item", rows=50, dim=4, pooling="sum")
    card = FakeCard()
    with fake_engine([table], card) as engine:
        engine.load("item", np.zeros((50, 4), np.float32))
        before = engine.stats().link["frames_sent"]
        assert engine.topk(np.float32([1, 3]), 1).ids.tolist() == [1]
        assert engine.interact(np.ones((1, 2, 4), np.float32)).tolist() == [[4.0]]
        found = engine.accumulate("item", np.array([1, 1]), np.ones((2, 4), np.float32))
        assert found.sums.tolist() == [[2.0] * 4]
        assert engine.stats().link["frames_sent"] == before and not engine.stats().fallback_total
