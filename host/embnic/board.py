# SPDX-License-Identifier: Apache-2.0
"""Open the card of this machine's board: find its bitstream in the registry, verify it, load it, attach.

The registry is `index.toml` in the folder that `EMBNIC_BITSTREAMS` names, by default `bitstreams`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .backends.pynq import PynqBackend, open_pynq
from .bitstreams import Bitstream, find_bitstream, plain_board, verify
from .config import Table
from .errors import BackendUnavailable, ConfigError
from .pynq_probe import board_name

__all__ = ["check_board", "index_path", "open_board"]


def index_path() -> Path:
    """Return where the registry of bitstreams lies."""
    return Path(os.environ.get("EMBNIC_BITSTREAMS", "") or "bitstreams") / "index.toml"


def open_board(
    tables: Iterable[Table], configuration: str, *, deadline: float | None = None, mtu: int = 1500
) -> PynqBackend:
    """Open the card of this board; `configuration` may be empty where the registry has one for the board."""
    here = board_name()
    if not here:
        raise BackendUnavailable(
            "pynq",
            reason="BOARD is not set, so this is no board with a PYNQ image.",
            remedy="run on one, or set BOARD to the name of yours in the registry.",
        )
    bitstream = find_bitstream(index_path(), board=here, configuration=configuration or None)
    verify(bitstream)
    return open_pynq(
        tables, bitstream.bitfile, config=bitstream.configuration, deadline=deadline, mtu=mtu
    )


def check_board(bitstream: Bitstream, here: str) -> None:
    """Refuse a bitstream of another board; `here` is where this runs, empty when it does not say."""
    if here and plain_board(here) != plain_board(bitstream.board):
        raise ConfigError(
            f"{bitstream.name} is for the board {bitstream.board!r}, this is {here!r}.",
            allowed="a bitstream of this board.",
            do="embnic bitstreams list shows what there is.",
        )
