# SPDX-License-Identifier: Apache-2.0
"""Makes the netlist of the core with mutants in it, and the simulated card of it, for embnic_sim.mutate.

yosys reads the whole core (`tiny`, flattened) and puts small changes into it (`mutate -ctrl`: a bit inverted, stuck, or
mixed with its neighbour), each at a cell that comes from rtl/lookup or rtl/net. An input of the netlist chooses one.
Verilator builds it with the harness of the simulated card.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embnic_sim.card_build import BUILDS, BuiltCard, card_commands, run_build
from embnic_sim.paths import build_root, checkout_root, harness_root
from embnic_sim.synth import core_parameters, read_sources, yosys
from embnic_sim.toolchain import (
    build_lock,
    digest,
    find_sources,
    include_folders,
    verilator_version,
)

__all__ = [
    "LIST_SEED",
    "MUTANTS",
    "Library",
    "Mutant",
    "build_mutants",
    "changes_something",
    "parse_mutants",
]

MUTANTS = 1200
LIST_SEED = 1  # of the list itself, so that survivors keep their meaning; the sample has its own
_FOLDERS = ("lookup", "net")
_SELECT_W = 12  # bits of the input that chooses; yosys' counting begins at 1
_OPTION = re.compile(r"-(mode|cell|port|portbit|ctrlbit|wire|wirebit|src) (\S+)")
_PLACE = re.compile(r"rtl/(\w+/\w+\.sv):(\d+)\.")
# A mutated clock is no design error that a test can be blamed for.
_CLOCK_PORTS = frozenset(("CLK", "RD_CLK", "WR_CLK"))


@dataclass(frozen=True)
class Mutant:
    """One change. `file` below rtl/ and `texts`, lines of it, say where it comes from, the statement last.

    `signal` is the name of what is changed where it has one, `bit` the bit of the cell's port, `control` that of the
    same port which decides (modes cnot0 and cnot1), else -1.
    """

    number: int
    mode: str
    port: str
    bit: int
    control: int
    signal: str
    file: str
    line: int
    texts: tuple[str, ...]
    what: str  # the whole of it, for people


@dataclass(frozen=True)
class Library:
    """The built card with its mutants."""

    built: BuiltCard
    mutants: tuple[Mutant, ...]


def build_mutants(count: int = MUTANTS, seed: int = LIST_SEED) -> Library:
    """Return the card with `count` mutants, building it when the RTL, the harness or the tools changed.

    Those that change nothing, as a constant set to its own value, are left out.
    """
    assert 0 < count < 1 << _SELECT_W
    root = checkout_root()
    assert root is not None, "mutation testing needs a checkout"
    harness = sorted([*harness_root().glob("*.cpp"), *harness_root().glob("*.hpp")])
    headers = sorted(header for folder in include_folders() for header in folder.glob("*.svh"))
    own = [Path(__file__), Path(card_commands.__code__.co_filename)]
    key = digest(
        [verilator_version(), str(count), str(seed), str(core_parameters("tiny"))],
        [*find_sources("embnic_core"), *headers, *harness, *own],
    )
    folder = build_root() / "mutate" / key
    with build_lock(folder):
        if not (folder / ".done").is_file():
            for old in folder.parent.glob("*"):
                if old != folder:
                    shutil.rmtree(old, ignore_errors=True)
            _make_netlist(folder, count, seed)
            commands = card_commands(
                folder / "so", "tiny", BUILDS["checked"], False, mutants=folder / "core.v"
            )
            seconds = run_build(commands, folder, f"building the core with {count:,} mutants, once")
            print(f"built in {seconds:.0f} s")
            (folder / ".done").touch()
        text = (folder / "mutations.ys").read_text(encoding="utf-8")
    library = folder / "so" / "libembnic_card.so"
    built = BuiltCard(library, f"tiny with {count:,} mutants", False, 0.0)
    idle = set(json.loads((folder / "idle.json").read_text(encoding="utf-8")))
    return Library(built, tuple(one for one in parse_mutants(text) if one.number not in idle))


def _make_netlist(folder: Path, count: int, seed: int) -> None:
    root = checkout_root()
    assert root is not None
    here = folder.relative_to(root)
    (folder / "so").mkdir(parents=True, exist_ok=True)
    chosen = " ".join(f"a:src=*rtl/{name}/*" for name in _FOLDERS)
    yosys(
        [
            read_sources("embnic_core", core_parameters("tiny")),
            "proc",
            "bwmuxmap",
            # A word of a memory has one write enable again, not one a bit.
            "opt_reduce",
            "opt_clean",
            f"write_rtlil {here}/core.il",
            f"write_json {here}/core.json",
            f"select -set ours t:* {chosen} %u %i",
            # More than needed: some are left out below.
            f"mutate -list {count + count // 4} -seed {seed} -o {here}/list.ys @ours",
        ],
        folder / "list-mutants.ys",
    )
    lines = (folder / "list.ys").read_text(encoding="utf-8").splitlines()
    taken = [line for line in lines if _options(line)["port"] not in _CLOCK_PORTS][:count]
    numbered = [
        line.replace("mutate ", f"mutate -ctrl mutant {_SELECT_W} {number} ", 1)
        for number, line in enumerate(taken, start=1)
    ]
    (folder / "mutations.ys").write_text("\n".join(numbered) + "\n", encoding="utf-8")
    yosys(
        [
            f"read_rtlil {here}/core.il",
            # Many in a line: behind every line of a script yosys checks the whole design.
            *("; ".join(numbered[at : at + 100]) for at in range(0, count, 100)),
            "opt_clean",
            # One net a driver: a vector of which one mutated bit depends on another would look like a loop.
            "splitnets -driver",
            f"write_verilog -noattr {here}/core.v",
        ],
        folder / "make-mutants.ys",
    )
    (folder / "core.il").unlink()
    ports = _ports(folder / "core.json")
    idle = [
        number
        for number, line in enumerate(taken, 1)
        if not changes_something(_options(line), ports)
    ]
    (folder / "idle.json").write_text(json.dumps(idle), encoding="utf-8")
    (folder / "core.json").unlink()


def _options(command: str) -> dict[str, str]:
    """Return the options of a `mutate` command; the first -src counts."""
    return dict(reversed(_OPTION.findall(command)))


def _ports(netlist: Path) -> dict[str, dict[str, list[Any]]]:
    """Return what is connected to every port of every cell, from yosys' JSON: net numbers, "0", "1" or "x"."""
    cells = json.loads(netlist.read_text(encoding="utf-8"))["modules"]["embnic_core"]["cells"]
    return {name: cell["connections"] for name, cell in cells.items()}


def changes_something(
    options: Mapping[str, str], ports: Mapping[str, Mapping[str, list[Any]]]
) -> bool:
    """Return whether a mutant changes anything: not a constant into the value that it has, nor what is undefined."""
    bits = ports[options["cell"].removeprefix("\\")][options["port"]]
    bit = bits[int(options["portbit"])]
    mode = options["mode"]
    if mode in ("cnot0", "cnot1"):  # inverts where the control bit is 0, or 1
        return bit != "x" and bits[int(options["ctrlbit"])] not in (
            "x",
            "0" if mode == "cnot1" else "1",
        )
    return bit != "x" and f"const{bit}" != mode


def parse_mutants(text: str) -> tuple[Mutant, ...]:
    """Return what yosys' `mutate` commands do, a line each, and where in the RTL."""
    root = checkout_root()
    assert root is not None
    sources: dict[str, list[str]] = {}
    mutants = []
    for number, command in enumerate(text.splitlines(), start=1):
        options = _options(command)
        places = _PLACE.findall(command)
        ours = [place for place in places if place[0].split("/")[0] in _FOLDERS] or places
        file = ours[0][0]
        if file not in sources:
            sources[file] = (root / "rtl" / file).read_text(encoding="utf-8").splitlines()
        # A register's declaration says more than the statement of all registers; of others the statement does.
        lines = sorted({int(line) for name, line in ours if name == file})
        cell, wire = options["cell"], options.get("wire", "")
        stored = cell.startswith("$driver$")
        what = " ".join(
            options[name] if name != "portbit" else f"[{options[name]}]"
            for name in ("mode", "cell", "port", "portbit", "ctrlbit", "wire")
            if name in options
        )
        mutants.append(
            Mutant(
                number,
                options["mode"],
                options["port"],
                int(options["portbit"]),
                int(options.get("ctrlbit", -1)),
                cell.removeprefix("$driver$") if stored else wire,
                file,
                lines[0] if stored else lines[-1],
                tuple(sources[file][line - 1].strip() for line in lines),
                what,
            )
        )
    return tuple(mutants)
