# SPDX-License-Identifier: Apache-2.0
"""Builds an RTL module with Verilator and runs a cocotb bench on it.

A bench file is a plain pytest file; the cocotb coroutines in it are not named `test_*`, so that
pytest collects the entry functions only:

    def test_skid() -> None:
        build_and_test("embnic_skid", "test_skid", params={"WIDTH": 32})

    def test_illegal_width_does_not_build() -> None:
        expect_build_failure("embnic_skid", {"WIDTH": 0}, "WIDTH must be at least 1")

Environment: EMBNIC_SEED (random when unset, always printed), WAVES=1 (VCD), EMBNIC_VERBOSE=1 (show
the simulator's log also when it passes), EMBNIC_TESTCASE (run only coroutines whose name contains
this).
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

from embnic_sim.paths import build_root, checkout_root, rtl_root
from embnic_sim.toolchain import (
    VERILATOR_FIXES,
    build_lock,
    digest,
    find_sources,
    include_folders,
    tool_environment,
)

__all__ = ["BuildError", "build_and_test", "expect_build_failure", "lint"]

# One output file: a quarter less processor time than many that read the same headers. cocotb makes every signal public,
# which keeps Verilator from optimising any; benches use the ports of their top alone.
_BUILD_ARGS = (
    *("--assert", "-Wno-TIMESCALEMOD", "--output-split", "0"),
    *("--no-public-flat-rw", "--public-depth", "1"),
)
# Compiles large benches in about four fifths of the time of Verilator's -Os, and they run no slower. -O0 takes half of
# it, but then a bench of some seconds runs longer by as much.
_MAKE_FLAGS = f"{VERILATOR_FIXES} OPT_FAST=-O1"
_LOG_LINES_SHOWN = 120


class BuildError(AssertionError):
    """Verilator or the C++ compiler refused the module."""


def _waivers() -> list[Path]:
    file = rtl_root() / "lint.vlt"
    return [file] if file.is_file() else []


def _tail(log: Path, lines: int = _LOG_LINES_SHOWN) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return "\n".join(text[-lines:])


def _python_path() -> list[str]:
    """Return where the bench's process imports from: the checkout first, the benches' folder last."""
    root = checkout_root()
    if root is None:
        return list(sys.path)
    return [str(root / "host"), str(root / "sim"), *sys.path, str(root / "tests" / "rtl")]


def _build(
    toplevel: str, params: Mapping[str, object], sources: Sequence[Path], waves: bool
) -> Path:
    """Build when a source, parameter or flag changed; return the build folder."""
    from cocotb_tools.runner import get_runner

    wave_args = ["--trace-structs", "--trace-max-array", "64"] if waves else []
    flags = [*_BUILD_ARGS, *wave_args]
    key = digest(
        [
            toplevel,
            str(rtl_root()),
            str(sorted(params.items())),
            *flags,
            _MAKE_FLAGS,
            *(file.name for file in sources),
        ]
    )
    folder = build_root() / "rtl" / f"{toplevel}-{key}"
    includes = include_folders()
    headers = sorted(header for include in includes for header in include.glob("*.svh"))
    contents = digest([sys.version], [*sources, *headers, *_waivers()])
    with build_lock(folder):
        stamp = folder / ".built"
        if stamp.is_file() and stamp.read_text() == contents and (folder / toplevel).is_file():
            return folder
        stamp.unlink(missing_ok=True)
        log = folder / "build.log"
        started = time.monotonic()
        with tool_environment():
            os.environ["MAKEFLAGS"] = _MAKE_FLAGS
            try:
                get_runner("verilator").build(
                    sources=[*_waivers(), *sources],
                    includes=includes,
                    hdl_toplevel=toplevel,
                    parameters=dict(params),
                    build_args=flags,
                    build_dir=folder,
                    timescale=("1ns", "1ps"),
                    waves=waves,
                    log_file=log,
                )
            except (RuntimeError, SystemExit, subprocess.CalledProcessError) as error:
                raise BuildError(
                    f"{toplevel} {dict(params)} did not build ({error}):\n{_tail(log, 60)}"
                ) from error
        print(f"built {toplevel} {dict(params)} in {time.monotonic() - started:.1f} s")
        stamp.write_text(contents)
    return folder


def _replay(
    toplevel: str, test_module: str, config: str, seed: int, params: Mapping[str, object]
) -> str:
    """Return the commands that run the same thing again, with waves."""
    lines = []
    if test_module == f"test_{toplevel.removeprefix('embnic_')}":
        given = " ".join(f"{name}={value}" for name, value in params.items())
        extra = f' PARAMS="{given}"' if given else ""
        lines.append(f"replay: make sim M={toplevel} CFG={config} SEED={seed} WAVES=1{extra}")
    current = os.environ.get("PYTEST_CURRENT_TEST", "").rsplit(" ", 1)[0]
    if current:
        lines.append(f"replay: EMBNIC_SEED={seed} WAVES=1 python -m pytest '{current}'")
    return "\n".join(lines)


def _failures(results: Path) -> tuple[int, list[str]]:
    """Return the number of coroutines run and the names of those that failed."""
    if not results.is_file():
        return 0, []
    count, failed = 0, []
    for case in ElementTree.parse(results).iter("testcase"):
        count += 1
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(case.get("name", "?"))
    return count, failed


def build_and_test(
    toplevel: str,
    test_module: str,
    *,
    params: Mapping[str, object] | None = None,
    sources: Sequence[Path | str] | None = None,
    seed: int | None = None,
    waves: bool | None = None,
    extra_env: Mapping[str, str] | None = None,
    config: str = "tiny",
    testcase: str | None = None,
) -> None:
    """Build `toplevel` with `params` and run every cocotb test of `test_module` on it.

    sources    files besides the RTL's own (a wrapper that holds `toplevel`); the RTL files needed
               are found by name.
    seed       of everything random in the bench; default EMBNIC_SEED, else drawn. Printed.
    extra_env  variables for the bench's process.
    config     what the replay line names as CFG; parameters that the bench fixed itself are set by
               the bench again.
    testcase   run only the coroutines whose name contains this (default EMBNIC_TESTCASE).

    Raises AssertionError with the failing coroutines, the end of the log and one replay line.
    """
    from cocotb_tools.runner import get_runner

    params = dict(params or {})
    files = find_sources(toplevel, [Path(source).resolve() for source in sources or ()])
    waves = os.environ.get("WAVES", "0") == "1" if waves is None else waves
    if seed is None:
        seed = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 31))
    testcase = testcase or os.environ.get("EMBNIC_TESTCASE") or None
    folder = _build(toplevel, params, files, waves)

    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    run_folder = folder / f"run-{test_module}-{seed}{worker}"
    run_folder.mkdir(exist_ok=True)
    log, results = run_folder / "sim.log", run_folder / "results.xml"
    results.unlink(missing_ok=True)
    env = {
        "EMBNIC_SEED": str(seed),
        "EMBNIC_PARAMS": repr(params),
        "COCOTB_LOG_LEVEL": os.environ.get("COCOTB_LOG_LEVEL", "INFO"),
        "PYTHONWARNINGS": "default",
        **(extra_env or {}),
    }
    print(
        f"{toplevel} {params} seed {seed}" + (f", waves in {run_folder}/dump.vcd" if waves else "")
    )
    saved_path = list(sys.path)
    sys.path[:] = _python_path()  # the runner hands sys.path to the bench's process
    died = None
    try:
        with tool_environment():
            get_runner("verilator").test(
                test_module=test_module,
                hdl_toplevel=toplevel,
                hdl_toplevel_lang="verilog",
                seed=seed,
                test_filter=testcase,
                build_dir=folder,
                test_dir=run_folder,
                results_xml=str(results),
                extra_env=env,
                waves=waves,
                timescale=("1ns", "1ps"),
                log_file=log,
            )
    except (RuntimeError, SystemExit) as error:
        died = error
    finally:
        sys.path[:] = saved_path
    count, failed = _failures(results)
    if died is None and count and not failed:
        verbose = os.environ.get("EMBNIC_VERBOSE")
        print(_tail(log) if verbose else f"{toplevel}: {count} tests passed")
        if not waves:
            shutil.rmtree(run_folder, ignore_errors=True)
        return
    if not count:
        reason = "the simulation ended before a result was written (an assertion of the RTL?)"
    elif failed:
        reason = f"{len(failed)} of {count} failed: {', '.join(failed)}"
    else:
        reason = f"the simulator ended with {died}"
    text = _tail(log)
    errors = "\n".join(line for line in text.splitlines() if "%Error" in line)
    replay = _replay(toplevel, test_module, config, seed, params)
    raise AssertionError(f"{text}\n{errors}\n{toplevel} {params}: {reason}\n{replay}")


def lint(
    toplevel: str, params: Mapping[str, object] | None = None, sources: Sequence[Path] = ()
) -> tuple[int, str]:
    """Run `verilator --lint-only -Wall` on a module; return the exit status and what it printed."""
    files = find_sources(toplevel, sources)
    command = [
        "verilator",
        "--lint-only",
        "-Wall",
        "--assert",
        "--timescale",
        "1ns/1ps",
        "--top-module",
        toplevel,
    ]
    command += [f"-I{folder}" for folder in include_folders()]
    command += [f"-G{name}={value}" for name, value in (params or {}).items()]
    command += [str(file) for file in [*_waivers(), *files]]
    with tool_environment() as env:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, check=False, timeout=300
        )
    return done.returncode, done.stdout + done.stderr


def expect_build_failure(
    toplevel: str, params: Mapping[str, object], message: str, *, sources: Sequence[Path] = ()
) -> None:
    """Check that `toplevel` does not build with `params`, and that it is our `$fatal` that says so.

    `message` is (a part of) the sentence of the `$fatal` in a `gen_bad_*` block.
    """
    status, text = lint(toplevel, params, sources)
    refused = [line for line in text.splitlines() if re.search(r"%(Warning|Error)-USERFATAL", line)]
    if status == 0:
        raise AssertionError(
            f"{toplevel} {dict(params)} builds, but it must be refused with {message!r}"
        )
    if not any(message in line for line in refused):
        raise AssertionError(
            f"{toplevel} {dict(params)} was refused, but not with {message!r}:\n{text[:3000]}"
        )
