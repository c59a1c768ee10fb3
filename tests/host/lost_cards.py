# SPDX-License-Identifier: Apache-2.0
"""Counts what trials with a card that is lost in mid-run come to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

import embnic
from embnic.backends.reference import ReferenceBackend

__all__ = ["Tally"]


@dataclass
class Tally:
    """What happened over all trials."""

    trials: int = 0
    bags: int = 0
    wrong: int = 0
    lost: int = 0
    by_card: int = 0
    by_cpu: int = 0
    died: Counter[str] = field(default_factory=Counter)  # by what the card was lost
    reasons: Counter[str] = field(default_factory=Counter)  # of the engine's fallbacks

    def compare(
        self, engine: embnic.Engine, reference: ReferenceBackend, bags: embnic.Bags
    ) -> None:
        """Look bags up and compare them, bit for bit."""
        pooled, expected = engine.lookup(bags), reference.lookup(bags)
        self.bags += bags.bags_total
        for name in bags:
            if name not in pooled or pooled[name].shape != expected[name].shape:
                self.lost += len(bags[name])
            else:
                differ = pooled[name].view(np.uint32) != expected[name].view(np.uint32)
                self.wrong += int(differ.any(axis=1).sum())

    def end(self, engine: embnic.Engine, died: str, bags_before: int) -> None:
        """Count a trial that is over; every bag since `bags_before` must be in the engine's own count."""
        stats = engine.stats()
        assert stats.bags == stats.bags_by_card + stats.bags_by_cpu
        self.trials += 1
        self.died[died] += 1
        self.by_card += stats.bags_by_card
        self.by_cpu += stats.bags_by_cpu
        self.reasons.update(stats.fallback_total)
        self.lost += abs(self.bags - bags_before - stats.bags)
