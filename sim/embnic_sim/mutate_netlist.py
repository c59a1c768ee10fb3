# SPDX-License-Identifier: Apache-2.0
"""Makes the netlist of the core with mutants in it, and the simulated card of it, for embnic_sim.mutate.

yosys reads the whole core (`tiny` without the kernels of rtl/compute, flattened), optimises it and puts small changes
into it (`mutate -ctrl`: a bit inverted, stuck, or mixed with its neighbour), those of embnic_sim.mutate_list. An input
of the netlist chooses one. Verilator builds it with the harness of the simulated card.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embnic_sim.card_build import BUILDS, BuiltCard, card_commands, run_build
from embnic_sim.mutate_list import (
    FOLDERS,
    LIST_SEED,
    MUTANTS,
    Entry,
    Places,
    list_file,
    options_of,
    read_list,
    texts_of,
    write_list,
)
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
    "CHANGED",
    "Library",
    "Mutant",
    "build_mutants",
    "changes_something",
    "fill_list",
    "parse_mutants",
    "seen_bits",
]

# The kernels would be 2 fifths of the netlist, and nothing of rtl/compute is mutated.
CHANGED = {"COMPUTE": 0}
_SELECT_W = 12  # bits of the input that chooses; yosys' counting begins at 1
# Logic twice, registers that keep a constant and bits that nothing looks at are of no chip: mutants of them would be
# equivalent. opt_reduce also gives a word of a memory one write enable again, not one a bit.
_OPTIMISE = (
    "opt_expr -fine",
    "opt_merge",
    "opt_muxtree",
    "opt_reduce",
    "opt_dff",
    "opt_expr -fine",
    "wreduce",
    "opt_clean",
)
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


def build_mutants() -> Library:
    """Return the card with the mutants of the list, building it when RTL, list, harness or tools changed.

    Those that change nothing, as a constant set to its own value, are left out.
    """
    harness = sorted([*harness_root().glob("*.cpp"), *harness_root().glob("*.hpp")])
    headers = sorted(header for folder in include_folders() for header in folder.glob("*.svh"))
    own = [Path(code.co_filename) for code in (card_commands.__code__, texts_of.__code__)]
    key = digest(
        [verilator_version(), str(core_parameters("tiny") | CHANGED)],
        [*find_sources("embnic_core"), *headers, *harness, *own, Path(__file__), list_file()],
    )
    folder = build_root() / "mutate" / key
    with build_lock(folder):
        if not (folder / ".done").is_file():
            for old in folder.parent.glob("*"):
                if old != folder:
                    shutil.rmtree(old, ignore_errors=True)
            _make_netlist(folder)
            netlist = folder / "core.v"
            commands = card_commands(
                folder / "so", "tiny", BUILDS["checked"], False, changed=CHANGED, mutants=netlist
            )
            seconds = run_build(commands, folder, "building the core with its mutants, once")
            print(f"built in {seconds:.0f} s")
            (folder / ".done").touch()
        text = (folder / "mutations.ys").read_text(encoding="utf-8")
    mutants = parse_mutants(text)
    library = folder / "so" / "libembnic_card.so"
    built = BuiltCard(library, f"tiny with {len(mutants):,} mutants", False, 0.0)
    return Library(built, mutants)


@dataclass(frozen=True)
class _Survey:
    """The netlist before it is mutated: its places, its cells in yosys' JSON and what its ports can depend on."""

    places: Places
    cells: Mapping[str, Mapping[str, Any]]
    seen: Set[int]

    def command(self, entry: Entry) -> str | None:
        """Return the `mutate` command of an entry, None when there is no such place or it changes nothing."""
        command = self.places.command(entry)
        if command is None:
            return None
        options = options_of(command)
        if options["port"] in _CLOCK_PORTS:
            return None
        width = len(self.cells[options["cell"].removeprefix("\\")]["connections"][entry.port])
        if entry.control >= width or not changes_something(options, self.cells, self.seen):
            return None
        return command


def _survey(folder: Path, drawn: int = 0) -> _Survey:
    """Read the core; leave core.il in `folder` and, when asked for, as many mutants as yosys draws in drawn.ys."""
    root = checkout_root()
    assert root is not None
    here = folder.relative_to(root)
    chosen = " ".join(f"a:src=*rtl/{name}/*" for name in FOLDERS)
    yosys(
        [
            read_sources("embnic_core", core_parameters("tiny") | CHANGED),
            "proc",
            "bwmuxmap",
            *_OPTIMISE,
            f"write_rtlil {here}/core.il",
            f"write_json {here}/core.json",
            f"select -set ours t:* {chosen} %u %i",
            # All there are.
            f"mutate -list {1 << 30} -mode inv -o {here}/inverted.ys @ours",
            *([f"mutate -list {drawn} -seed {LIST_SEED} -o {here}/drawn.ys @ours"] * (drawn > 0)),
        ],
        folder / "survey.ys",
    )
    places = Places((folder / "inverted.ys").read_text(encoding="utf-8").splitlines())
    module = json.loads((folder / "core.json").read_text(encoding="utf-8"))["modules"][
        "embnic_core"
    ]
    (folder / "inverted.ys").unlink()
    (folder / "core.json").unlink()
    return _Survey(places, module["cells"], seen_bits(module))


def fill_list() -> tuple[int, int]:
    """Replace entries that the netlist has no place for by others; return how many are kept and how many new."""
    folder = build_root() / "mutate" / "fill"
    with build_lock(folder):
        survey = _survey(folder, 2 * MUTANTS)
        kept = [entry for entry in read_list() if survey.command(entry) is not None]
        entries = dict.fromkeys(kept)
        for line in (folder / "drawn.ys").read_text(encoding="utf-8").splitlines():
            entry = survey.places.entry(line)
            if len(entries) < MUTANTS and survey.command(entry) is not None:
                entries[entry] = None
        shutil.rmtree(folder)
    write_list(list(entries))
    return len(kept), len(entries) - len(kept)


def _make_netlist(folder: Path) -> None:
    root = checkout_root()
    assert root is not None
    here = folder.relative_to(root)
    (folder / "so").mkdir(parents=True, exist_ok=True)
    survey = _survey(folder)
    commands = [command for entry in read_list() if (command := survey.command(entry)) is not None]
    numbered = [
        command.replace("mutate ", f"mutate -ctrl mutant {_SELECT_W} {number} ", 1)
        for number, command in enumerate(commands, start=1)
    ]
    (folder / "mutations.ys").write_text("\n".join(numbered) + "\n", encoding="utf-8")
    yosys(
        [
            f"read_rtlil {here}/core.il",
            # Many in a line: behind every line of a script yosys checks the whole design.
            *("; ".join(numbered[at : at + 100]) for at in range(0, len(numbered), 100)),
            "opt_clean",
            # One net a driver: a vector of which one mutated bit depends on another would look like a loop.
            "splitnets -driver",
            f"write_verilog -noattr {here}/core.v",
        ],
        folder / "make-mutants.ys",
    )
    (folder / "core.il").unlink()


# Of these, bit n of the output depends on bit n of a port that is as wide, or on that bit of each of its words; and on
# all of any other port.
_BITWISE = frozenset(
    f"${name}"
    for name in [
        "and",
        "or",
        "xor",
        "not",
        "mux",
        "pmux",
        "bwmux",
        "dff",
        "dffe",
        "sdff",
        "sdffe",
        "sdffce",
    ]
)
# And of these on bits 0 to n.
_CARRIED = frozenset(("$add", "$sub", "$mul", "$neg"))
_WHOLE = frozenset(("S", "EN", "CLK", "SRST"))


def _output(cell: Mapping[str, Any]) -> list[Any]:
    """Return what a cell drives; of the write port of a memory, nothing."""
    ports = cell["port_directions"].items()
    return [bit for name, way in ports if way == "output" for bit in cell["connections"][name]]


def _words(cell: Mapping[str, Any], port: str, out: Sequence[Any]) -> bool:
    """Return whether a port of a bitwise cell holds words as wide as the output."""
    return port not in _WHOLE and len(cell["connections"][port]) % len(out) == 0


def _behind(cell: Mapping[str, Any], port: str, bit: int) -> list[Any]:
    """Return the bits of the output that bit `bit` of an input may change."""
    out = _output(cell)
    if cell["type"] in _CARRIED:
        return out[bit:]
    if cell["type"] in _BITWISE and _words(cell, port, out):
        return [out[bit % len(out)]]
    return out


def seen_bits(module: Mapping[str, Any]) -> set[int]:
    """Return the nets of a module, from yosys' JSON, that something at its ports can depend on."""
    cells = module["cells"]
    drivers: dict[int, tuple[str, int]] = {}
    writers: dict[str, list[Any]] = {}  # what goes into a memory
    for name, cell in cells.items():
        drivers |= {net: (name, at) for at, net in enumerate(_output(cell))}
        if cell["type"].startswith("$memwr"):
            inputs = [bit for bits in cell["connections"].values() for bit in bits]
            writers.setdefault(cell["parameters"]["MEMID"], []).extend(inputs)
    ports = [port["bits"] for port in module["ports"].values() if port["direction"] != "input"]
    todo = [net for bits in ports for net in bits]
    seen: set[int] = set()
    whole: set[str] = set()  # cells whose inputs were all looked at
    while todo:
        net = todo.pop()
        if net in seen or net not in drivers:
            continue
        seen.add(net)
        name, at = drivers[net]
        cell = cells[name]
        if name in whole:
            continue
        if cell["type"] not in _BITWISE | _CARRIED:
            whole.add(name)
            todo += writers.get(cell["parameters"].get("MEMID", ""), [])
        out = _output(cell)
        for port, bits in cell["connections"].items():
            if cell["type"] in _CARRIED:
                todo += bits[: at + 1]
            elif cell["type"] in _BITWISE and _words(cell, port, out):
                todo += bits[at :: len(out)]
            else:
                todo += bits
    return seen


def _decided(cell: Mapping[str, Any], port: str, control: int, value: str) -> bool:
    """Return whether a bit of an input that is `value` says what comes out, whatever the others are."""
    kind, connections = cell["type"], cell["connections"]
    if kind in ("$reduce_or", "$reduce_bool", "$logic_not", "$logic_and", "$logic_or"):
        return value == "1"
    if kind == "$reduce_and":
        return value == "0"
    if kind in ("$eq", "$ne"):  # they differ in this bit
        other = connections["B" if port == "A" else "A"]
        return control < len(other) and other[control] in ("0", "1") and other[control] != value
    return False


def changes_something(
    options: Mapping[str, str], cells: Mapping[str, Mapping[str, Any]], seen: Set[int]
) -> bool:
    """Return whether a mutant changes anything: a constant into another value, or what something else than itself sees.

    `cells` and `seen` are the cells of yosys' JSON and the nets that an output depends on.
    """
    cell, port = cells[options["cell"].removeprefix("\\")], options["port"]
    bits, bit, mode = cell["connections"][port], int(options["portbit"]), options["mode"]
    driven = cell["port_directions"][port] == "output"
    stored = cell["type"].startswith("$memwr")
    if bits[bit] == "x":
        return False
    if not stored and seen.isdisjoint([bits[bit]] if driven else _behind(cell, port, bit)):
        return False
    if mode not in ("cnot0", "cnot1"):  # inverts where the control bit is 0, or 1
        return f"const{bits[bit]}" != mode
    control, value = int(options["ctrlbit"]), mode[-1]
    if bits[control] == "x" or (bits[control] in ("0", "1") and bits[control] != value):
        return False
    return driven or not _decided(cell, port, control, value)


def parse_mutants(text: str) -> tuple[Mutant, ...]:
    """Return what yosys' `mutate` commands do, a line each, and where in the RTL."""
    sources: dict[str, list[str]] = {}
    mutants = []
    for number, command in enumerate(text.splitlines(), start=1):
        options = options_of(command)
        # A register's declaration says more than the statement of all registers; of others the statement does.
        file, lines, texts = texts_of(command, sources)
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
                texts,
                what,
            )
        )
    return tuple(mutants)
