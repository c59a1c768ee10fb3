# SPDX-License-Identifier: Apache-2.0
"""Mutation testing of the core: `python -m embnic_sim.mutate [--count 100 --seed 1]`.

yosys reads the whole core (`tiny`, flattened), puts MUTANTS small changes into it (`mutate -ctrl`: a bit inverted,
stuck, or mixed with its neighbour), each at a cell that comes from rtl/lookup or rtl/net, and writes one netlist with
an input that chooses the mutant. Verilator builds it once with the harness of the simulated card. Every mutant runs
the traffic of embnic_sim.mutate_workload until it differs from the unmutated card:

    content   a frame, a counter of work, the tables in memory, or an error of the model or of its AXI
    timing    the same work in other cycles

The unmutated card is first compared with the reference, and its netlist with the card that is built from the RTL. What
survives must stand in docs/testplan/survivors.toml with the reason why no traffic can show it; the score is
killed / (all - equivalent).
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embnic_sim.card import DramModel, SimCard
from embnic_sim.card_build import BUILDS, BuiltCard, card_commands, run_build
from embnic_sim.mutate_workload import MEMORY, Phase, Seen, Workload, check, play, prepare
from embnic_sim.paths import build_root, checkout_root, harness_root
from embnic_sim.synth import core_parameters, read_sources, yosys
from embnic_sim.toolchain import (
    build_lock,
    digest,
    find_sources,
    include_folders,
    verilator_version,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "LIST_SEED",
    "MUTANTS",
    "WORKLOAD_SEED",
    "Library",
    "Mutant",
    "Outcome",
    "Survivor",
    "build_mutants",
    "changes_something",
    "explained",
    "judge",
    "learn",
    "load_survivors",
    "parse_mutants",
    "score",
]

MUTANTS = 1200
LIST_SEED = 1  # of the list itself, so that survivors keep their meaning; the sample has its own
WORKLOAD_SEED = 7
_FOLDERS = ("lookup", "net")
_SELECT_W = 12  # bits of the input that chooses; yosys' counting begins at 1
_OPTION = re.compile(r"-(mode|cell|port|portbit|ctrlbit|wire|wirebit|src) (\S+)")
_PLACE = re.compile(r"rtl/(\w+/\w+\.sv):(\d+)\.")
# A mutated clock is no design error that a test can be blamed for.
_CLOCK_PORTS = frozenset(("CLK", "RD_CLK", "WR_CLK"))


@dataclass(frozen=True)
class Mutant:
    """One change. `file` below rtl/ and `text`, a line of it, say where it comes from."""

    number: int
    mode: str
    port: str
    file: str
    line: int
    text: str
    what: str  # the whole of it, for people


@dataclass(frozen=True)
class Library:
    """The built card with its mutants."""

    built: BuiltCard
    mutants: tuple[Mutant, ...]


@dataclass(frozen=True)
class Survivor:
    """Why mutants of a line cannot be seen. Empty `mode` or `port` mean any."""

    file: str
    text: str
    why: str
    mode: str = ""
    port: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a mutant ended: `killed_by` is "content", "timing" or "" for a survivor; `phase` is where."""

    mutant: Mutant
    killed_by: str
    phase: str


class MutantCard(SimCard):
    """The simulated card with one of its mutants chosen."""

    def __init__(self, library: Library | None, number: int = 0) -> None:
        self._library = library
        self._number = number
        super().__init__("tiny", build="checked", dram=DramModel(size=MEMORY), seed=3)

    def _built(self, build: str, traced: bool) -> BuiltCard:
        return super()._built(build, traced) if self._library is None else self._library.built

    def reset(self) -> None:
        """Reset with the mutant chosen."""
        self._call("mutant", self._number)
        super().reset()


# ---- making mutants -----------------------------------------------------------------------------


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
            f"script {here}/mutations.ys",
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
        file, line = next((p for p in places if p[0].split("/")[0] in _FOLDERS), places[0])
        if file not in sources:
            sources[file] = (root / "rtl" / file).read_text(encoding="utf-8").splitlines()
        what = " ".join(
            options[name] if name != "portbit" else f"[{options[name]}]"
            for name in ("mode", "cell", "port", "portbit", "wire")
            if name in options
        )
        mutants.append(
            Mutant(
                number,
                options["mode"],
                options["port"],
                file,
                int(line),
                sources[file][int(line) - 1].strip(),
                what,
            )
        )
    return tuple(mutants)


# ---- judging them -------------------------------------------------------------------------------


def learn(library: Library | None, workload: Workload) -> list[Seen]:
    """Run the unmutated card and compare it with the reference; return what every phase showed."""
    with MutantCard(library) as card:  # how many replies there are, by waiting until nothing moves
        prepare(card, workload)
        for phase in workload.phases:
            if phase.replies is None:
                phase.replies = list(play(card, workload, phase).counts)
    seen = _run(library, 0, workload)
    compared = sum(check(phase, one) for phase, one in zip(workload.phases, seen, strict=True))
    assert compared > 100, f"only {compared} requests were compared with the reference"
    return seen


def _run(library: Library | None, number: int, workload: Workload) -> list[Seen]:
    with MutantCard(library, number) as card:
        prepare(card, workload)
        return [play(card, workload, phase) for phase in workload.phases]


def judge(
    library: Library, mutants: Iterable[Mutant], workload: Workload, right: Sequence[Seen]
) -> list[Outcome]:
    """Run every mutant until its content differs from `right`; a difference in time alone is kept as such."""
    return [_judge(library, mutant, workload.phases, right, workload) for mutant in mutants]


def _judge(
    library: Library,
    mutant: Mutant,
    phases: Sequence[Phase],
    right: Sequence[Seen],
    workload: Workload,
) -> Outcome:
    late = ""
    try:
        with MutantCard(library, mutant.number) as card:
            prepare(card, workload)
            for phase, wanted in zip(phases, right, strict=True):
                seen = play(card, workload, phase)
                if seen.content != wanted.content:
                    return Outcome(mutant, "content", phase.name)
                if not late and seen.timing != wanted.timing:
                    late = phase.name
    except (
        Exception
    ) as error:  # a mutant may break the set-up in any way; the unmutated card did not
        return Outcome(mutant, "content", f"set-up: {type(error).__name__}")
    return Outcome(mutant, "timing" if late else "", late)


# ---- the score ----------------------------------------------------------------------------------


def load_survivors() -> list[Survivor]:
    """Read docs/testplan/survivors.toml."""
    root = checkout_root()
    assert root is not None, "survivors need a checkout"
    text = (root / "docs" / "testplan" / "survivors.toml").read_text(encoding="utf-8")
    return [Survivor(**entry) for entry in tomllib.loads(text).get("survivor", [])]


def explained(mutant: Mutant, survivors: Iterable[Survivor]) -> Survivor | None:
    """Return the entry that says why a mutant cannot be seen."""
    for entry in survivors:
        here = (entry.file, entry.text) == (mutant.file, mutant.text)
        if here and entry.mode in ("", mutant.mode) and entry.port in ("", mutant.port):
            return entry
    return None


def score(
    outcomes: Sequence[Outcome], survivors: Sequence[Survivor]
) -> tuple[float, list[Outcome]]:
    """Return killed / (all - equivalent) and the survivors nobody explained."""
    left = [one for one in outcomes if not one.killed_by]
    open_ones = [one for one in left if explained(one.mutant, survivors) is None]
    killed = len(outcomes) - len(left)
    return killed / max(killed + len(open_ones), 1), open_ones


def main() -> int:
    """Judge a sample or all mutants and print the score and the survivors."""
    parser = argparse.ArgumentParser(description="Mutation testing of rtl/lookup and rtl/net.")
    parser.add_argument("--count", type=int, default=0, help="how many, drawn by --seed; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="number of one mutant")
    given = parser.parse_args()
    library = build_mutants()
    workload = Workload(WORKLOAD_SEED)
    right = learn(library, workload)
    chosen = list(library.mutants)
    if given.only is not None:
        chosen = [mutant for mutant in chosen if mutant.number == given.only]
    elif given.count:
        chosen = random.Random(given.seed).sample(chosen, min(given.count, len(chosen)))
        print(f"{len(chosen)} of {len(library.mutants):,} mutants, seed {given.seed}")
    started = time.monotonic()
    outcomes = judge(library, chosen, workload, right)
    seconds = time.monotonic() - started
    survivors = load_survivors()
    reached, open_ones = score(outcomes, survivors)
    by = Counter(one.killed_by or "nothing" for one in outcomes)
    print(
        f"{len(outcomes):,} mutants in {seconds:.0f} s: killed {by['content']:,} by content and "
        f"{by['timing']:,} by timing alone; {by['nothing']:,} survive, "
        f"{by['nothing'] - len(open_ones):,} of them equivalent; score {100 * reached:.1f} %"
    )
    for file, count in sorted(Counter(one.mutant.file for one in open_ones).items()):
        print(f"  {count:>4} unexplained in {file}")
    for one in sorted(open_ones, key=lambda one: (one.mutant.file, one.mutant.line)):
        m = one.mutant
        print(f"SURVIVED {m.number:>5} {m.file}:{m.line}: {m.text}\n         {m.what}")
    return 1 if open_ones else 0


if __name__ == "__main__":
    sys.exit(main())
