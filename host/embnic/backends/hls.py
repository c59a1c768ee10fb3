# SPDX-License-Identifier: Apache-2.0
"""Serve lookups on the HLS cores, compiled by g++: the card's C++ twin, without cycles.

The package that compiles them is imported when a card is opened, never before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..config import Table
from ..driver import Driver
from ..errors import BackendUnavailable, ConfigError
from ..gen.configs import CONFIGS
from .card import CardBackend
from .rtl import rtl_timing

__all__ = ["HlsBackend", "attach_hls", "open_hls", "open_hls_card"]


class HlsBackend(CardBackend):
    """A card of HLS cores; `kernels` are those beyond pooling."""

    def __init__(
        self,
        tables: Iterable[Table],
        driver: Driver,
        *,
        name: str = "hls",
        release: Callable[[], None] | None = None,
    ) -> None:
        """Attach to the card and define the tables; their rows are undefined until `load`."""
        from embnic_sim.hls_kernels import HlsKernels

        super().__init__(tables, driver, name=name, release=release)
        self.kernels = HlsKernels()


def open_hls_card(config: str) -> Any:
    """Compile (or find in the cache) the HLS cores and return a card of them."""
    if config not in CONFIGS:
        raise ConfigError(
            f"The configuration is {config!r}.",
            allowed=f"{', '.join(CONFIGS)}.",
            do="Choose one of these.",
        )
    try:
        from embnic_sim.hls_card import HlsCard
    except ImportError as error:
        raise BackendUnavailable(
            "hls",
            reason=f"the simulation package does not import ({error}).",
            remedy="install embnic with its package embnic_sim.",
        ) from error
    return HlsCard(config)


def open_hls(
    tables: Iterable[Table], config: str, *, deadline: float | None = None, mtu: int = 1500
) -> CardBackend:
    """Start a card of HLS cores and attach to it."""
    return attach_hls(tables, open_hls_card(config), config=config, deadline=deadline, mtu=mtu)


def attach_hls(
    tables: Iterable[Table],
    card: Any,
    *,
    config: str,
    deadline: float | None = None,
    mtu: int = 1500,
) -> CardBackend:
    """Attach to a card of HLS cores that the caller made and now gives away."""
    try:
        timing = rtl_timing(config, deadline)
        driver = Driver(card, card, card, timing=timing, mtu=mtu, config=config)
        return HlsBackend(tables, driver, release=card.close)
    except BaseException:
        card.close()
        raise
