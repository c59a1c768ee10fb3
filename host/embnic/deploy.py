# SPDX-License-Identifier: Apache-2.0
"""Bring a card up: verify its bitstream, load it, check what the card says it is, run the self-test.

Each step refuses what is not right before the next one begins, and says what was found, what was expected and what to
do. The simulated card goes the same way: through PYNQ where it is installed, else straight to the Verilated core.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from .backends.card import CardBackend
from .backends.pynq import open_pynq
from .backends.rtl import open_rtl
from .backends.xrt import open_xrt
from .bitstreams import (
    SIMULATED,
    Bitstream,
    build_simulated,
    find_bitstream,
    read_index,
    verify,
)
from .board import check_board
from .config import Table
from .engine import Engine
from .errors import ConfigError
from .gen.wire import CONTRACT_HASH
from .pynq_probe import board_name
from .selftest import run_selftest, selftest_tables

__all__ = ["SIMULATED_FOLDER", "deploy", "load_card", "simulated_bitstream"]

SIMULATED_FOLDER = Path("build/bitstreams")  # where the simulated ones are made
SIMULATED_DEVICE = "embnic_sim.pynq_device"


def deploy(
    board: str,
    index: Path,
    *,
    configuration: str | None = None,
    seed: int = 1,
    say: Callable[[str], None] = print,
) -> str:
    """Deploy what the registry `index` has for a board; return the self-test's outcome.

    Raises ConfigError for a missing, altered or unfitting file, ContractMismatch when bitstream, card and package are
    not of one contract, SelfTestFailure when the card's answers are not the reference's.
    """
    bitstream = find_bitstream(index, board=board, configuration=configuration)
    say(f"{bitstream.name}: configuration {bitstream.configuration}, status: {bitstream.status}")
    verify(bitstream)
    say(
        f"  files {', '.join(bitstream.files)}: as the registry says; contract {bitstream.contract:#010x}"
    )
    if bitstream.board != SIMULATED:
        check_board(bitstream, board_name())
    tables = selftest_tables()
    backend = load_card(bitstream, tables)
    with Engine(tables, backend, fallback=False) as engine:
        say(f"  loaded through {backend.name}")
        for name, value in backend.driver.identity().items():
            say(f"  {name:14} {value}")
        return run_selftest(engine, seed=seed)


def load_card(bitstream: Bitstream, tables: Iterable[Table]) -> CardBackend:
    """Load a verified bitstream and attach to the card."""
    if bitstream.bitfile.suffix == ".xclbin":
        return open_xrt(tables, bitstream.bitfile, config=bitstream.configuration)
    if len(bitstream.needed) == 1:  # an FPGA without a processing system: nothing here loads it
        raise ConfigError(
            f"{bitstream.name} is loaded over the board's JTAG, not from here.",
            do=f"openFPGALoader -b {bitstream.board} {bitstream.bitfile}, then "
            "embnic selftest --target serial:/dev/ttyUSB1.",
        )
    if bitstream.board != SIMULATED:
        return open_pynq(tables, bitstream.bitfile, config=bitstream.configuration)
    if importlib.util.find_spec("pynq") is None:
        return open_rtl(tables, bitstream.configuration)
    before = os.environ.get("EMBNIC_PYNQ_DEVICE")
    os.environ["EMBNIC_PYNQ_DEVICE"] = SIMULATED_DEVICE
    try:
        return open_pynq(tables, bitstream.bitfile, config=bitstream.configuration)
    finally:
        if before is None:
            del os.environ["EMBNIC_PYNQ_DEVICE"]
        else:
            os.environ["EMBNIC_PYNQ_DEVICE"] = before


def simulated_bitstream(configuration: str, folder: Path = SIMULATED_FOLDER) -> Path:
    """Make a simulated bitstream where there is none of this contract yet; return the registry that names it.

    One of this contract is left alone, so that a file that was altered is found out and not replaced.
    """
    index = folder / "index.toml"
    there = read_index(index) if index.is_file() else ()
    if not any(
        entry.configuration == configuration and entry.contract == CONTRACT_HASH for entry in there
    ):
        build_simulated(configuration, folder)
    return index
