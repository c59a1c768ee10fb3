# SPDX-License-Identifier: Apache-2.0
"""Builds the simulated card: Verilated core and C++ harness in one shared library, kept in a cache.

A build is named by a hash over everything it is made from: RTL, harness, configuration, flags,
Verilator, compiler and processor. A second use builds nothing and needs no tools.
"""

from __future__ import annotations

import functools
import logging
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from embnic.errors import BackendUnavailable
from embnic.gen.configs import CONFIGS
from embnic_sim.paths import cache_root, harness_root
from embnic_sim.toolchain import (
    VERILATOR_FIXES,
    MissingTool,
    build_lock,
    digest,
    find_sources,
    include_folders,
    tool_environment,
    verilator_version,
)

__all__ = ["BUILDS", "BuiltCard", "build_card", "card_commands", "run_build"]

_LOG = logging.getLogger("embnic.sim")
_LIBRARY = "libembnic_card.so"
_KEPT_BUILDS = 3  # of one configuration and kind


@dataclass(frozen=True)
class _Kind:
    verilator: tuple[str, ...]
    optimise: str
    text: str


BUILDS: dict[str, _Kind] = {
    "fast": _Kind(
        ("--no-assert", "--x-assign", "fast", "--x-initial", "fast"),
        "-O3 -march=native",
        "-O3, assertions off",
    ),
    "checked": _Kind(
        ("--assert", "--x-assign", "unique", "--x-initial", "unique"),
        "-O1",
        "assertions on, random initial state",
    ),
}


@dataclass(frozen=True)
class BuiltCard:
    """A shared library of one configuration and kind of build."""

    library: Path
    name: str  # for people: configuration, kind of build, tool
    traced: bool
    built_seconds: float  # 0 when it came from the cache


@functools.lru_cache(maxsize=1)
def _machine() -> str:
    """Return what makes this processor's code special, because of -march=native."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    lines = {
        line for line in text.splitlines() if line.startswith(("flags", "Features", "model name"))
    }
    return platform.machine() + digest(sorted(lines))


def _trace_flags() -> tuple[str, str]:
    """Return Verilator's flag and the harness's macro: FST where lz4.h is, VCD otherwise."""
    for folder in ("/usr/include", "/usr/local/include"):
        if (Path(folder) / "lz4.h").is_file():
            return "--trace-fst", "EMBNIC_TRACE_FST"
    return "--trace-vcd", "EMBNIC_TRACE_VCD"


def card_commands(
    folder: Path,
    config: str,
    kind: _Kind,
    trace: bool,
    *,
    changed: Mapping[str, int] | None = None,
    mutants: Path | None = None,
) -> list[list[str]]:
    """Return the commands that build the library in `folder`.

    `changed` are parameters that differ from those of `config`. `mutants` is a netlist of the whole core, with
    mutants in it, that takes the place of the RTL.
    """
    parameters = CONFIGS[config].parameters() | dict(changed or {})
    defines = [
        f"-DEMBNIC_DATA_W={parameters['DATA_W']}",
        f"-DEMBNIC_MAX_BURST={parameters['MAX_BURST']}",
        f"-DEMBNIC_CHANNELS={parameters['CHANNELS']}",
        f"-DEMBNIC_ID_W={(parameters['FETCHES'] - 1).bit_length() + 1}",
        "-DVL_USER_STOP",
        "-DVL_USER_FATAL",
        "-DVL_USER_FINISH",
    ]
    verilate = [
        "verilator",
        "--cc",
        "--exe",
        "--top-module",
        "embnic_core",
        "--Mdir",
        str(folder),
        "-O3",
    ]
    verilate += [*kind.verilator, "--timescale", "1ns/1ps", "-o", _LIBRARY]
    verilate += [
        "--output-split",
        "0",
    ]  # one file: half the processor time of many with their headers
    if mutants is not None:
        defines.append("-DEMBNIC_MUTANTS")
    libraries = []
    if trace:
        flag, macro = _trace_flags()
        verilate += [flag, "--trace-structs"]
        defines.append(f"-D{macro}")
        libraries = ["-LDFLAGS", "-llz4 -lz"] if "fst" in flag else []
    verilate += ["-CFLAGS", " ".join(["-fPIC", "-std=c++17", f"-I{harness_root()}", *defines])]
    verilate += ["-LDFLAGS", "-shared", *libraries]
    if mutants is None:
        verilate += [f"-I{include}" for include in include_folders()]
        verilate += [f"-G{name}={value}" for name, value in parameters.items()]
        controls = [*find_waivers(), harness_root() / "record.vlt"]
        verilate += [str(file) for file in [*controls, *find_sources("embnic_core")]]
    else:
        # What yosys writes has no style, and vectors of which one bit depends on another.
        verilate += ["-Wno-lint", "-Wno-style", "-Wno-UNOPTFLAT", str(mutants)]
    verilate.append(str(harness_root() / "card.cpp"))
    make = [
        "make",
        "-C",
        str(folder),
        "-f",
        "Vembnic_core.mk",
        f"-j{os.cpu_count() or 1}",
        VERILATOR_FIXES,
    ]
    make += [
        f"OPT_FAST={'-O1' if trace else kind.optimise}",
        "OPT_SLOW=-O0",
        "OPT_GLOBAL=-O2",
        _LIBRARY,
    ]
    return [verilate, make]


def find_waivers() -> list[Path]:
    """Return the lint waivers: what they allow must also build."""
    from embnic_sim.paths import rtl_root

    file = rtl_root() / "lint.vlt"
    return [file] if file.is_file() else []


class _Progress:
    """One line on standard error: rewritten every second on a terminal, written twice elsewhere."""

    def __init__(self, text: str) -> None:
        self.text, self.started = text, time.monotonic()
        self.terminal = sys.stderr.isatty()
        print(f"{text} ...", end="\r" if self.terminal else "\n", file=sys.stderr, flush=True)

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        """Return the exit status of `process`."""
        while True:
            try:
                return process.wait(timeout=1.0)
            except subprocess.TimeoutExpired:
                if self.terminal:
                    elapsed = time.monotonic() - self.started
                    print(f"{self.text} ... {elapsed:.0f} s", end="\r", file=sys.stderr, flush=True)

    def done(self) -> float:
        """Close the line and return the seconds since the beginning."""
        elapsed = time.monotonic() - self.started
        print(f"{self.text}: {elapsed:.0f} s          ", file=sys.stderr, flush=True)
        return elapsed


def run_build(commands: Sequence[list[str]], folder: Path, text: str) -> float:
    """Run the commands of a build, with one line of progress; return the seconds it took."""
    progress = _Progress(text)
    log = folder / "build.log"
    with tool_environment() as env, log.open("wb") as out:
        for command in commands:
            out.write((" ".join(command) + "\n").encode())
            out.flush()
            process = subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT)
            try:
                status = progress.wait(process)
            except BaseException:
                process.kill()
                process.wait()
                raise
            if status != 0:
                tail = "\n".join(
                    log.read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
                )
                raise BackendUnavailable(
                    "rtl",
                    reason=f"the simulated card did not build (status {status}):\n{tail}\n",
                    remedy=f"read {log}; `make lint` says whether the RTL is at fault.",
                )
    return progress.done()


def _prune(parent: Path, prefix: str, keep: Path) -> None:
    """Remove the oldest builds of this configuration and kind."""
    builds = [
        path for path in parent.glob(f"{prefix}-*") if path != keep and (path / _LIBRARY).is_file()
    ]
    builds.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in builds[_KEPT_BUILDS - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


def build_card(
    config: str = "tiny",
    *,
    build: str = "fast",
    trace: bool = False,
    changed: Mapping[str, int] | None = None,
) -> BuiltCard:
    """Return the library of a configuration, building it when the cache does not have it.

    `build` is "fast" (-O3, assertions off) or "checked" (assertions on, random initial state);
    `trace` adds waveforms; `changed` are parameters of the core that differ from the configuration's.
    Raises BackendUnavailable with the install command when a tool is missing.
    """
    if config not in CONFIGS:
        raise ValueError(f"no configuration {config!r}; allowed: {', '.join(CONFIGS)}")
    if build not in BUILDS:
        raise ValueError(f"no build {build!r}; allowed: {', '.join(BUILDS)}")
    kind = BUILDS[build]
    try:
        version = verilator_version()
        parent = cache_root() / "sim"
        commands = card_commands(Path("."), config, kind, trace, changed=changed)
        headers = sorted(header for folder in include_folders() for header in folder.glob("*.svh"))
        harness = sorted(
            file for suffix in ("*.cpp", "*.hpp", "*.vlt") for file in harness_root().glob(suffix)
        )
        files = [*find_waivers(), *find_sources("embnic_core"), *headers, *harness]
        flags = [
            word.replace(str(harness_root()), "")
            for command in commands
            for word in command
            if not word.startswith(("/", "-I"))
        ]
        key = digest([version, _machine(), *flags], files)
        prefix = f"{config}-{build}{'-trace' if trace else ''}"
        folder = parent / f"{prefix}-{key}"
        name = f"{config} {build} ({kind.text}{', waveforms' if trace else ''}; {version})"
        if (folder / _LIBRARY).is_file() and (folder / ".done").is_file():
            return BuiltCard(folder / _LIBRARY, name, trace, 0.0)
        with build_lock(parent / f"{prefix}.lock"):
            if (folder / ".done").is_file():
                return BuiltCard(folder / _LIBRARY, name, trace, 0.0)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            text = f"building the simulated card: {name}, once"
            try:
                commands = card_commands(folder, config, kind, trace, changed=changed)
                seconds = run_build(commands, folder, text)
                (folder / ".done").touch()
            finally:
                for path in folder.iterdir():
                    if path.name not in (_LIBRARY, "build.log", ".done"):
                        path.unlink()
            _prune(parent, prefix, folder)
        _LOG.info("built %s in %.0f s", name, seconds)
        return BuiltCard(folder / _LIBRARY, name, trace, seconds)
    except MissingTool as error:
        raise BackendUnavailable(
            "rtl", reason=f"{error.tool} was not found.", remedy=error.remedy
        ) from error
