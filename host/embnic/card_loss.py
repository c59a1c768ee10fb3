# SPDX-License-Identifier: Apache-2.0
"""Lose a card in the middle of a run, and get it back: what the demo's scene of it shows.

Through PYNQ where it is installed, on its simulated device, which is unplugged and plugged in again; else on the
simulated card itself, whose cable is cut and joined. The engine serves on either way: every bag is asked once, answered
once, and compared with the reference bit for bit.
"""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .backends.card import CardBackend
from .backends.reference import ReferenceBackend
from .backends.rtl import attach_rtl, open_card
from .bags import Bags
from .bitstreams import build_simulated
from .config import Table
from .deploy import load_card
from .engine import Engine
from .errors import LinkError
from .report import Loss

__all__ = ["lose_card"]

ROWS, DIM, BATCHES, BAGS = 200, 24, 24, 20
LOST_AT, BACK_AT = 8, 16  # batches


class _Cable:
    """The ports of a simulated card, behind a cable that can be cut."""

    def __init__(self, card: Any) -> None:
        self._card = card
        self._whole = True

    def cut(self) -> None:
        """Let every access fail."""
        self._whole = False

    def join(self) -> None:
        """Let accesses through again, to a card that was reset meanwhile."""
        self._card.reset()
        self._whole = True

    def __getattr__(self, name: str) -> Any:
        if not self._whole and name not in ("clock", "close"):
            raise LinkError("The card is gone. Do: reattach when it is back.")
        return getattr(self._card, name)


def lose_card(config: str, *, seed: int = 1) -> Loss:
    """Serve batches of bags, without the card in the middle third; return who answered them."""
    rng = np.random.default_rng(seed)
    table = Table("item", rows=ROWS, dim=DIM, pooling="sum")
    rows = rng.standard_normal((ROWS, DIM), dtype=np.float32)
    reference = ReferenceBackend([table])
    reference.load("item", rows)
    through, backend, unplug, plug = _card(config, [table])
    card: list[int] = []
    cpu: list[int] = []
    wrong = 0
    quiet = logging.getLogger("embnic")
    level = quiet.level
    quiet.setLevel(logging.ERROR)  # the loss is meant
    try:
        with Engine([table], backend) as engine:
            engine.load("item", rows)
            before = (0, 0)
            for batch in range(BATCHES):
                if batch == LOST_AT:
                    unplug()
                if batch == BACK_AT:
                    plug()
                    engine.reattach()
                lists = [rng.integers(0, ROWS, n).tolist() for n in rng.integers(0, 9, BAGS)]
                bags = Bags.from_lists({"item": lists})
                found, expected = engine.lookup(bags)["item"], reference.lookup(bags)["item"]
                wrong += int((found.view(np.uint32) != expected.view(np.uint32)).any(axis=1).sum())
                stats = engine.stats()
                now = (stats.bags_by_card, stats.bags_by_cpu)
                card.append(now[0] - before[0])
                cpu.append(now[1] - before[1])
                before = now
    finally:
        quiet.setLevel(level)
    return Loss(
        card=tuple(card),
        cpu=tuple(cpu),
        asked=BATCHES * BAGS,
        wrong=wrong,
        lost_at=LOST_AT,
        back_at=BACK_AT,
        through=through,
    )


def _card(
    config: str, tables: list[Table]
) -> tuple[str, CardBackend, Callable[[], Any], Callable[[], Any]]:
    """Return how the card is reached, its backend, and what takes it away and brings it back."""
    if importlib.util.find_spec("pynq") is None:
        cable = _Cable(open_card(config))
        backend = attach_rtl(tables, cable, config=config)
        return "its simulator (PYNQ is not installed here)", backend, cable.cut, cable.join
    with tempfile.TemporaryDirectory() as folder:
        backend = load_card(build_simulated(config, Path(folder)), tables)
    from embnic_sim.pynq_device import active

    device = active()
    return "PYNQ", backend, device.unplug, device.plug
