# SPDX-License-Identifier: Apache-2.0
"""Serve lookups on the core itself, simulated cycle by cycle.

The simulator is imported when a card is opened, never before: `embnic` runs without it. Time is the simulated card's:
a timeout of one microsecond is 250 cycles of a 250 MHz configuration, however long they take to simulate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..config import Table
from ..driver import Driver
from ..errors import BackendUnavailable, ConfigError
from ..exchange import Timing
from ..gen.configs import CONFIGS
from .card import CardBackend

__all__ = ["attach_rtl", "open_card", "open_rtl", "rtl_timing"]

RETRY_CYCLES = 200_000  # without a useful reply for so long, a frame counts as lost
PATIENCE_CYCLES = 2_000_000  # without a useful reply for so long, the card counts as dead


def rtl_timing(config: str, deadline: float | None = None) -> Timing:
    """Return how long to wait for the simulated card; a `deadline` in simulated seconds shortens every wait."""
    cycle = 1e-6 / CONFIGS[config].clock_mhz
    retry, patience = RETRY_CYCLES * cycle, PATIENCE_CYCLES * cycle
    if deadline is None:
        return Timing(retry=retry, patience=patience)
    return Timing(
        retry=min(retry, deadline / 4), patience=min(patience, deadline), deadline=float(deadline)
    )


def open_card(config: str) -> Any:
    """Build (or find in the cache) and start the simulated card `config`; `embnic_sim` is imported here only."""
    _check_known(config)
    try:
        from embnic_sim.card import SimCard
    except ImportError as error:
        raise BackendUnavailable(
            "rtl",
            reason=f"the simulation package does not import ({error}).",
            remedy="pip install 'embnic[rtl]', and g++, make and perl from the system.",
        ) from error
    return SimCard(config)


def open_rtl(
    tables: Iterable[Table], config: str, *, deadline: float | None = None, mtu: int = 1500
) -> CardBackend:
    """Start the simulated card `config` and attach to it."""
    _check_known(config)
    timing = rtl_timing(config, deadline)
    return attach_rtl(tables, open_card(config), config=config, timing=timing, mtu=mtu)


def _check_known(config: str) -> None:
    if config not in CONFIGS:
        raise ConfigError(
            f"The configuration is {config!r}.",
            allowed=f"{', '.join(CONFIGS)}.",
            do="Choose one of these.",
        )


def attach_rtl(
    tables: Iterable[Table],
    card: Any,
    *,
    config: str,
    timing: Timing | None = None,
    mtu: int = 1500,
) -> CardBackend:
    """Attach to a simulated card that the caller made (its memory model, tracing, seed) and now gives away."""
    try:
        driver = Driver(
            card,
            card,
            card,
            owners=getattr(card, "owners", None),
            timing=timing or rtl_timing(config),
            mtu=mtu,
            config=config,
        )
        return CardBackend(tables, driver, name="rtl", release=card.close)
    except BaseException:
        card.close()
        raise
