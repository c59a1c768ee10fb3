# SPDX-License-Identifier: Apache-2.0
"""The ecpix5 board, simulated to the pins of its serial line, behind a pseudo-terminal.

    with SerialBoard() as board:
        embnic.open(tables, f"serial:{board.path}")

    python -m embnic_sim.serial_board           # prints the target to open; ends with Ctrl-C

The whole top is Verilated with the ECP5's PLL as a wire; a process of its own turns the terminal's bytes into bits on
uart_rx and bits on uart_tx into bytes. A bit takes DIVISOR cycles of the card's clock, fewer than on the board, so that
less has to be simulated. Simulated time is no time: speeds of this line mean nothing.
"""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import sys
import tty
from pathlib import Path
from types import TracebackType

from embnic_sim.boards import board_sources
from embnic_sim.card_build import BUILDS, find_waivers, run_build
from embnic_sim.paths import build_root, harness_root
from embnic_sim.toolchain import (
    VERILATOR_FIXES,
    build_lock,
    digest,
    include_folders,
    verilator_version,
)

__all__ = ["DIVISOR", "SIMULATED_BAUD", "SerialBoard"]

DIVISOR = 4  # cycles a bit
SIMULATED_BAUD = 2400  # carried at least, in time, on a busy machine: the host waits accordingly
_TOP = "embnic_ecpix5"


def _commands(folder: Path, build: str) -> list[list[str]]:
    kind = BUILDS[build]
    verilate = ["verilator", "--cc", "--exe", "--top-module", _TOP, "--Mdir", str(folder), "-O3"]
    verilate += [
        *kind.verilator,
        "--timescale",
        "1ns/1ps",
        "--output-split",
        "0",
        f"-GDIVISOR={DIVISOR}",
    ]
    verilate += ["-CFLAGS", f"-std=c++17 -DEMBNIC_DIVISOR={DIVISOR}"]
    verilate += [f"-I{include}" for include in include_folders()]
    verilate += [str(file) for file in (*find_waivers(), harness_root() / "board" / "models.vlt")]
    verilate += [
        str(harness_root() / "board" / "EHXPLLL.sv"),
        *(str(file) for file in board_sources("ecpix5")),
    ]
    verilate.append(str(harness_root() / "board" / "serial.cpp"))
    make = [
        "make",
        "-C",
        str(folder),
        "-f",
        f"V{_TOP}.mk",
        f"-j{os.cpu_count() or 1}",
        VERILATOR_FIXES,
    ]
    make += [f"OPT_FAST={kind.optimise}", "OPT_SLOW=-O0", "OPT_GLOBAL=-O2"]
    return [verilate, make]


def _built(build: str) -> Path:
    """Return the program of the simulated board; a second use builds nothing."""
    headers = [header for folder in include_folders() for header in sorted(folder.glob("*.svh"))]
    models = [
        harness_root() / "board" / name for name in ("serial.cpp", "EHXPLLL.sv", "models.vlt")
    ]
    key = digest(
        [verilator_version(), build, str(DIVISOR), *BUILDS[build].verilator],
        [*board_sources("ecpix5"), *headers, *models, *find_waivers()],
    )
    folder = build_root() / "sim" / f"ecpix5-{build}-{key}"
    program = folder / "board"
    with build_lock(folder):
        if not program.is_file():
            run_build(
                _commands(folder, build), folder, f"building the simulated ecpix5 ({build}), once"
            )
            shutil.copy(folder / f"V{_TOP}", program)
    return program


class SerialBoard:
    """A simulated board; `path` is the terminal that leads to it.

    build   "fast" (assertions off) or "checked" (assertions on, random initial state)
    """

    def __init__(self, build: str = "fast") -> None:
        program = _built(build)
        master, self._slave = (
            pty.openpty()
        )  # held open: a terminal without a user reads as an error
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self.process = subprocess.Popen(
            [str(program), str(master)], stdin=subprocess.PIPE, pass_fds=(master,)
        )
        os.close(master)

    def __enter__(self) -> SerialBoard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the simulation; safe to call twice."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        slave, self._slave = self._slave, -1
        if slave >= 0:
            os.close(slave)


def main() -> int:
    """Simulate a board until Ctrl-C."""
    with SerialBoard() as board:
        print(
            f"EMBNIC_BAUD={SIMULATED_BAUD} embnic selftest --target serial:{board.path}", flush=True
        )
        with contextlib.suppress(KeyboardInterrupt):
            board.process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
