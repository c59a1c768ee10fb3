#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the generated copies of the contract, or check them.

    python spec/generate.py            write every generated file
    python spec/generate.py --check    compare only; exit status 1 and a summary when one differs

Inputs are `wire.toml`, `registers.rdl` and `configs.toml` beside this file; text comes from
`templates/`. What belongs to the contract between card and host (`registers.rdl` and `wire.toml`)
is hashed into CONTRACT_HASH.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import itertools
import re
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SPEC = Path(__file__).resolve().parent
ROOT = SPEC.parent

# Generated file -> template. The two files of the register block are written by PeakRDL-regblock.
TEMPLATES = {
    "rtl/gen/embnic_wire_pkg.sv": "embnic_wire_pkg.sv.j2",
    "rtl/gen/embnic_csr_map.sv": "embnic_csr_map.sv.j2",
    "rtl/gen/embnic_configs_pkg.sv": "embnic_configs_pkg.sv.j2",
    "rtl/gen/embnic_configs.svh": "embnic_configs.svh.j2",
    "host/embnic/gen/__init__.py": "init.py.j2",
    "host/embnic/gen/wire.py": "wire.py.j2",
    "host/embnic/gen/registers.py": "registers.py.j2",
    "host/embnic/gen/configs.py": "configs.py.j2",
    "host/native/gen/embnic_wire.hpp": "embnic_wire.hpp.j2",
    "hls/gen/embnic_wire.hpp": "embnic_wire.hpp.j2",
    "hls/gen/embnic_configs.hpp": "embnic_configs.hpp.j2",
    "docs/gen/wire.md": "wire.md.j2",
    "docs/gen/registers.md": "registers.md.j2",
    "docs/gen/configs.md": "configs.md.j2",
}
LOOP = re.compile(r"for\(genvar [^)]*\) begin(?= *$)", re.MULTILINE)  # unnamed generate block
CSR_FILES = ("rtl/gen/embnic_csr.sv", "rtl/gen/embnic_csr_pkg.sv")


class SpecError(Exception):
    """The contract contradicts itself."""


@dataclass
class Field:
    """One field of a register: bits [high:low]."""

    name: str
    low: int
    high: int
    access: str
    reset: int | None
    pulse: bool
    doc: str


@dataclass
class Register:
    """One 32-bit register, or an array of `count` of them four bytes apart."""

    name: str
    offset: int
    count: int
    doc: str
    fields: list[Field] = field(default_factory=list)

    @property
    def access(self) -> str:
        return "rw" if any(f.access == "rw" for f in self.fields) else "ro"


@dataclass
class Counter:
    """A 64-bit counter: LO at `offset`, HI four bytes above."""

    name: str
    offset: int
    doc: str


def load_toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def contract_hash() -> int:
    """Return the first 32 bits of the SHA-256 over registers.rdl, then wire.toml."""
    digest = hashlib.sha256()
    for name in ("registers.rdl", "wire.toml"):
        digest.update((SPEC / name).read_bytes())
    return int.from_bytes(digest.digest()[:4], "big")


# --- checks of the inputs ------------------------------------------------------------------------
def check_bits(what: str, fields: list[dict[str, Any]], total: int) -> None:
    """Refuse overlapping fields, fields beyond `total` bits and repeated names."""
    used: dict[int, str] = {}
    names: set[str] = set()
    for item in fields:
        if item["name"] in names:
            raise SpecError(
                f"{what}: field {item['name']} appears twice; give every field its own name"
            )
        names.add(item["name"])
        for bit in range(item["lsb"], item["lsb"] + item["width"]):
            if bit >= total:
                raise SpecError(
                    f"{what}.{item['name']}: bit {bit} lies beyond the {total} bits there are"
                )
            if bit in used:
                raise SpecError(f"{what}.{item['name']}: bit {bit} belongs to {used[bit]} already")
            used[bit] = item["name"]


def check_wire(wire: dict[str, Any]) -> None:
    """Refuse a wire.toml that contradicts itself."""
    for item in wire["header"]["fields"]:
        item["lsb"] = item["byte"] * 8 + item.get("bit", 0)
    check_bits("header", wire["header"]["fields"], wire["header"]["bytes"] * 8)
    check_bits("key", wire["key"]["fields"], wire["key"]["bytes"] * 8)
    check_bits("descriptor", wire["descriptor"]["fields"], wire["descriptor"]["bits"])
    enums = {item["name"]: item for item in wire["enum"]}
    for enum in wire["enum"]:
        values = [v["value"] for v in enum["values"]]
        if len(set(values)) != len(values):
            raise SpecError(f"enum {enum['name']}: a value appears twice")
        if max(values) >= 1 << enum["width"]:
            raise SpecError(f"enum {enum['name']}: {max(values)} does not fit {enum['width']} bits")
    for group in ("header", "descriptor"):
        for item in wire[group]["fields"]:
            if "enum" in item and enums[item["enum"]]["width"] != item["width"]:
                raise SpecError(f"{group}.{item['name']}: width differs from enum {item['enum']}")
    drop = enums["DropReason"]
    if sorted(drop["priority"]) != sorted(v["name"] for v in drop["values"]):
        raise SpecError("DropReason.priority must name every reason once")
    if [p["opcode"] for p in wire["payload"]] != [v["name"] for v in enums["Opcode"]["values"]]:
        raise SpecError("every opcode needs one [[payload]], in the order of the opcodes")


def check_configs(configs: dict[str, Any]) -> None:
    """Refuse configurations with different keys, repeated ids or impossible sizes."""
    first = next(iter(configs.values()))
    ids = [c["id"] for c in configs.values()]
    if len(set(ids)) != len(ids):
        raise SpecError(f"configs.toml: ids must differ, given {ids}")
    for name, config in configs.items():
        if list(config) != list(first):
            raise SpecError(f"configs.toml: [{name}] must have the keys of the first one, in order")
        if config["GENERATOR"] not in (0, 1):
            raise SpecError(f"configs.toml: [{name}] GENERATOR must be 0 or 1")
        for key in ("DATA_W", "LINE_BYTES", "WAYS", "SETS", "KS_BEATS", "RSP_BEATS", "TABLES"):
            if config[key] & (config[key] - 1):
                raise SpecError(
                    f"configs.toml: [{name}] {key} = {config[key]} must be a power of two"
                )


# --- registers -----------------------------------------------------------------------------------
def load_registers() -> tuple[Any, list[Register], list[Counter]]:
    """Compile registers.rdl; return its root node, the registers and the counters."""
    from peakrdl_regblock.udps import ALL_UDPS
    from systemrdl import RDLCompiler
    from systemrdl.node import RegfileNode, RegNode

    compiler = RDLCompiler()
    for extension in ALL_UDPS:
        compiler.register_udp(extension)
    compiler.compile_file(str(SPEC / "registers.rdl"))
    root = compiler.elaborate()
    registers: list[Register] = []
    counters: list[Counter] = []
    for node in root.top.children(unroll=False):
        if isinstance(node, RegfileNode):
            counters.append(
                Counter(node.inst_name, node.absolute_address, node.get_property("desc"))
            )
            continue
        if not isinstance(node, RegNode):
            raise SpecError(f"registers.rdl: {node.inst_name} is neither a register nor a counter")
        count = node.array_dimensions[0] if node.is_array else 1
        registers.append(
            Register(
                node.inst_name,
                node.raw_absolute_address,
                count,
                node.get_property("desc"),
                [register_field(f) for f in node.fields()],
            )
        )
    return root, registers, counters


def register_field(node: Any) -> Field:
    access = "rw" if node.is_sw_writable else "ro"
    reset = node.get_property("reset")
    return Field(
        node.inst_name,
        node.low,
        node.high,
        access,
        reset,
        bool(node.get_property("singlepulse")),
        node.get_property("desc", default="value"),
    )


def export_csr(root: Any) -> dict[str, str]:
    """Return the text of the register block that PeakRDL-regblock writes."""
    from peakrdl_regblock import RegblockExporter
    from peakrdl_regblock.cpuif.axi4lite import AXI4Lite_Cpuif_flattened

    banner = (
        "// SPDX-License-Identifier: Apache-2.0\n"
        "// Generated from spec/registers.rdl by spec/generate.py, PeakRDL-regblock. Do not edit\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        RegblockExporter().export(
            root,
            folder,
            cpuif_cls=AXI4Lite_Cpuif_flattened,
            module_name="embnic_csr",
            package_name="embnic_csr_pkg",
            address_width=12,
            default_reset_activelow=False,
            default_reset_async=False,
            retime_read_fanin=True,
            err_if_bad_addr=True,
        )
        return {
            name: banner + strip_banner((Path(folder) / Path(name).name).read_text())
            for name in CSR_FILES
        }


def strip_banner(text: str) -> str:
    """Drop the exporter's leading comment lines, which repeat its version; name its loops."""
    lines = text.splitlines()
    while lines and lines[0].startswith("//"):
        lines.pop(0)
    loops = itertools.count()
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    return LOOP.sub(lambda match: f"{match[0]} : gen_array_{next(loops)}", text)


# --- generation ----------------------------------------------------------------------------------
def model() -> tuple[Any, dict[str, Any]]:
    """Return the compiled registers and the dictionary that all templates see."""
    wire = load_toml(SPEC / "wire.toml")
    check_wire(wire)
    configs = load_toml(SPEC / "configs.toml")
    check_configs(configs)
    root, registers, counters = load_registers()
    for enum in wire["enum"]:
        enum["prefix"] = enum.get("prefix", enum["sv"].upper())
    return root, {
        "wire": wire,
        "enums": {e["name"]: e for e in wire["enum"]},
        "configs": configs,
        "registers": registers,
        "counters": counters,
        "contract_hash": contract_hash(),
        "wire_header": byte_fields(wire["header"]["fields"]),
        "key_names": [
            f"KEY_{f['name'].upper()}_{what}"
            for f in wire["key"]["fields"]
            for what in ("BITS", "SHIFT")
        ],
        "reserved_words": reserved_bits(wire["descriptor"]),
        "parameters": [key for key in next(iter(configs.values())) if key.isupper()],
        "pad": lambda name, values: name.ljust(max(len(v["name"]) for v in values)),
    }


def byte_fields(fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the header as whole bytes: neighbours that share a byte become one field."""
    whole: list[dict[str, Any]] = []
    for item in fields:
        if item["lsb"] % 8:
            first = whole[-1]
            name, width = f"{first['name']}_{item['name']}", first["width"] + item["width"]
            whole[-1] = first | {"name": name, "width": width}
        else:
            whole.append(item)
    return whole


def reserved_bits(descriptor: dict[str, Any]) -> str:
    """Return the descriptor bits that no field has, as an SV list of slices of `words`."""
    used = {bit for f in descriptor["fields"] for bit in range(f["lsb"], f["lsb"] + f["width"])}
    free = [bit for bit in range(descriptor["bits"]) if bit not in used]
    runs: list[list[int]] = []
    for bit in free:
        if runs and runs[-1][1] == bit - 1:
            runs[-1][1] = bit
        else:
            runs.append([bit, bit])
    return ", ".join(f"words[{high}:{low}]" for low, high in reversed(runs))


def generate() -> dict[str, str]:
    """Return every generated file as path below the project -> text."""
    root, names = model()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SPEC / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["bitmask"] = lambda bit: 1 << bit
    outputs = {
        path: environment.get_template(name).render(names) for path, name in TEMPLATES.items()
    }
    outputs.update(export_csr(root))
    return outputs


def difference(path: str, expected: str) -> list[str]:
    """Return the first lines in which the file at `path` differs from `expected`, if it does."""
    target = ROOT / path
    if not target.is_file():
        return [f"{path}: missing"]
    found = target.read_text(encoding="utf-8")
    if found == expected:
        return []
    lines = list(
        difflib.unified_diff(
            found.splitlines(), expected.splitlines(), path, "as generated", lineterm="", n=0
        )
    )
    changed = sum(line[0] in "+-" for line in lines[2:])
    return [f"{path}: {changed} lines differ", *(f"    {line}" for line in lines[2:12])]


def stale_files(outputs: dict[str, str]) -> list[str]:
    """Return files in generated folders that the generator does not write."""
    folders = sorted({(ROOT / path).parent for path in outputs})
    found = [p for folder in folders if folder.is_dir() for p in folder.iterdir() if p.is_file()]
    return [str(p.relative_to(ROOT)) for p in found if str(p.relative_to(ROOT)) not in outputs]


def check(outputs: dict[str, str]) -> int:
    """Print what differs from `outputs`; return the exit status."""
    summary = [line for path, text in sorted(outputs.items()) for line in difference(path, text)]
    summary += [f"{path}: not written by the generator; delete it" for path in stale_files(outputs)]
    if summary:
        print("Generated files are out of date. Do: python spec/generate.py", *summary, sep="\n")
        return 1
    print(f"{len(outputs)} generated files are up to date (contract {contract_hash():08x})")
    return 0


def write(outputs: dict[str, str]) -> int:
    """Write what changed; return the exit status."""
    changed = [path for path, text in outputs.items() if difference(path, text)]
    for path in changed:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(outputs[path], encoding="utf-8", newline="\n")
    print(
        f"{len(changed)} of {len(outputs)} files written (contract {contract_hash():08x})",
        *changed,
        sep="\n  ",
    )
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare only")
    arguments = parser.parse_args(argv)
    try:
        outputs = generate()
    except SpecError as error:
        print(f"spec: {error}", file=sys.stderr)
        return 2
    return check(outputs) if arguments.check else write(outputs)


if __name__ == "__main__":
    sys.exit(main())
