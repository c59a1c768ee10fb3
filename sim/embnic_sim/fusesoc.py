# SPDX-License-Identifier: Apache-2.0
"""Writes embnic.core, the description of the core for FuseSoC, from rtl/embnic.f and spec/configs.toml.

python -m embnic_sim.fusesoc            write it
python -m embnic_sim.fusesoc --check    compare only; exit status 1 when it differs
"""

from __future__ import annotations

import sys
from pathlib import Path

from embnic import __version__
from embnic.gen.configs import CONFIGS
from embnic_sim.paths import checkout_root

__all__ = ["core_description", "main"]

_INCLUDES = ("rtl/common/embnic_assert.svh", "rtl/gen/embnic_configs.svh")
_SHELLS = ("rtl/gen/embnic_configs_pkg.sv",)


def core_description(root: Path) -> str:
    """Return the text of embnic.core for the checkout at `root`."""
    listed = [line for line in (root / "rtl" / "embnic.f").read_text().split() if line]
    links = sorted(path.relative_to(root) for path in (root / "rtl" / "link").glob("*.sv"))
    lines = [
        "CAPI=2:",
        "# SPDX-License-Identifier: Apache-2.0",
        "# Written from rtl/embnic.f by python -m embnic_sim.fusesoc; do not edit.",
        f"name: embnic:smartnic:embnic_core:{__version__}",
        "description: Embedding lookups pooled on the network card",
        "",
        "filesets:",
        "  rtl:",
        "    files:",
        *(f"      - {name}: {{is_include_file: true}}" for name in _INCLUDES),
        *(f"      - rtl/{name}" for name in listed),
        "    file_type: systemVerilogSource",
        "  links:",
        "    files:",
        *(f"      - {name}" for name in (*_SHELLS, *links)),
        "    file_type: systemVerilogSource",
        "  waivers:",
        "    files:",
        "      - rtl/lint.vlt",
        "    file_type: vlt",
        "",
        "parameters:",
    ]
    names = list(CONFIGS["edge"].parameters())
    for name in names:
        lines += [f"  {name}:", "    datatype: int", "    paramtype: vlogparam"]
    lines += [
        "",
        "targets:",
        "  default: &default",
        "    filesets: [rtl]",
        "    toplevel: embnic_core",
        "    parameters: [" + ", ".join(names) + "]",
    ]
    for config in CONFIGS.values():
        values = ", ".join(f"{name}={value}" for name, value in config.parameters().items())
        lines += [
            f"  lint_{config.name}:",
            "    default_tool: verilator",
            "    filesets: [waivers, rtl]",
            "    toplevel: embnic_core",
            "    tools:",
            "      verilator:",
            "        mode: lint-only",
            "        verilator_options: [-Wall, --timescale, 1ns/1ps]",
            f"    parameters: [{values}]",
        ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or check embnic.core at the root of the checkout."""
    root = checkout_root()
    assert root is not None, "a wheel has no rtl/embnic.f"
    file, text = root / "embnic.core", core_description(root)
    if "--check" in sys.argv[1:]:
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            print(
                "embnic.core is not what rtl/embnic.f makes: python -m embnic_sim.fusesoc",
                file=sys.stderr,
            )
            return 1
        return 0
    file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
