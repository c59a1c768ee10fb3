# SPDX-License-Identifier: Apache-2.0
"""The list of mutants, docs/testplan/mutants.txt: the same ones in every netlist, whatever yosys numbers its cells.

A list drawn anew from every netlist would be another one after every change of the RTL, and its survivors would be
strangers each time. So a mutant is known by what does not move: the file and the text of the lines it comes from, the
names in it that the RTL gave, the port and the bit. A line of the list:

    lookup/embnic_update.sv 5d1c0a9be3f2 0 A 1 cnot0 8

file below rtl/, digest of texts and names, which one of the places that are alike in all this, port, bit, mode, bit
that decides (-1: none). A mutant whose lines changed is not found any more; `python -m embnic_sim.mutate --fill` puts
others, drawn by yosys, in the place of those.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from embnic_sim.paths import checkout_root
from embnic_sim.toolchain import digest

__all__ = [
    "FOLDERS",
    "LIST_SEED",
    "MUTANTS",
    "Entry",
    "Places",
    "entry_of",
    "list_file",
    "options_of",
    "read_list",
    "texts_of",
    "write_list",
]

MUTANTS = 1200
LIST_SEED = 1  # of what fills the list up
FOLDERS = ("lookup", "net")
_OPTION = re.compile(r"-(mode|cell|port|portbit|ctrlbit|wire|wirebit|src) (\S+)")
_PLACE = re.compile(r"rtl/(\w+/\w+\.sv):(\d+)\.")
_NUMBER = re.compile(r"\$(\d+)")


@dataclass(frozen=True)
class Entry:
    """A mutant of the list."""

    file: str
    origin: str
    place: int
    port: str
    bit: int
    mode: str
    control: int


def options_of(command: str) -> dict[str, str]:
    """Return the options of a `mutate` command; the first -src counts."""
    return dict(reversed(_OPTION.findall(command)))


def texts_of(
    command: str, sources: dict[str, list[str]]
) -> tuple[str, tuple[int, ...], tuple[str, ...]]:
    """Return the file of a `mutate` command, the lines it comes from, and their texts.

    The first file of rtl/lookup or rtl/net counts. `sources` keeps the lines of the files that were read.
    """
    places = _PLACE.findall(command)
    ours = [place for place in places if place[0].split("/")[0] in FOLDERS] or places
    file = ours[0][0]
    if file not in sources:
        root = checkout_root()
        assert root is not None
        sources[file] = (root / "rtl" / file).read_text(encoding="utf-8").splitlines()
    lines = tuple(sorted({int(line) for name, line in ours if name == file}))
    return file, lines, tuple(sources[file][line - 1].strip() for line in lines)


class Places:
    """Every bit of every port that can be mutated in a netlist, from yosys' list of all inversions."""

    def __init__(self, commands: Iterable[str]) -> None:
        """Take `mutate -mode inv` commands, one a bit."""
        sources: dict[str, list[str]] = {}
        alike: dict[tuple[str, str, str, int], list[tuple[int, str]]] = defaultdict(list)
        for command in commands:
            options = options_of(command)
            cell = options["cell"]
            file, _, texts = texts_of(command, sources)
            names = (_NUMBER.sub("$", cell), options.get("wire", ""))
            number = _NUMBER.search(cell)
            place = (file, digest([*texts, *names]), options["port"], int(options["portbit"]))
            alike[place].append((int(number[1]) if number else 0, command))
        # Numbers of cells grow with the text: the order is that of the RTL.
        self._commands: dict[tuple[str, str, int, str, int], str] = {}
        self._where: dict[tuple[str, str, int], tuple[str, str, int, str, int]] = {}
        for (file, origin, port, bit), found in alike.items():
            for place, (_, command) in enumerate(sorted(found)):
                key = (file, origin, place, port, bit)
                self._commands[key] = command
                self._where[(options_of(command)["cell"], port, bit)] = key

    def __len__(self) -> int:
        """Return how many bits there are."""
        return len(self._commands)

    def command(self, entry: Entry) -> str | None:
        """Return the `mutate` command of an entry, None where the netlist has no such place."""
        inversion = self._commands.get(
            (entry.file, entry.origin, entry.place, entry.port, entry.bit)
        )
        if inversion is None:
            return None
        command = inversion.replace("-mode inv", f"-mode {entry.mode}", 1)
        if entry.control < 0:
            return command
        bit = f"-portbit {entry.bit} "
        return command.replace(bit, f"{bit}-ctrlbit {entry.control} ", 1)

    def entry(self, command: str) -> Entry:
        """Return the entry of a `mutate` command of this netlist."""
        options = options_of(command)
        key = self._where[(options["cell"], options["port"], int(options["portbit"]))]
        return Entry(*key, options["mode"], int(options.get("ctrlbit", -1)))


def entry_of(line: str) -> Entry:
    """Return the entry that a line of the list says."""
    file, origin, place, port, bit, mode, control = line.split()
    return Entry(file, origin, int(place), port, int(bit), mode, int(control))


def list_file() -> Path:
    """Return where the list is."""
    root = checkout_root()
    assert root is not None, "mutation testing needs a checkout"
    return root / "docs" / "testplan" / "mutants.txt"


def read_list() -> list[Entry]:
    """Return the entries of the list."""
    return [entry_of(line) for line in list_file().read_text(encoding="utf-8").splitlines()]


def write_list(entries: Sequence[Entry]) -> None:
    """Write the list, in the order of the files."""
    lines = (" ".join(map(str, astuple(entry))) for entry in sorted(entries, key=astuple))
    list_file().write_text("\n".join(lines) + "\n", encoding="utf-8")
