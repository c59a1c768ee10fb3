# SPDX-License-Identifier: Apache-2.0
"""embnic_fp32_fma, _add, _mul and _div_uint, bit for bit, by a C++ harness on the Verilated modules.

Operands are stratified (exponent gaps, cancellation, sub-ulp terms, subnormals, ties, both edges of
the range). Every result is compared with the processor's arithmetic and with exact integers.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from embnic_sim import xls_gen
from embnic_sim.paths import build_root
from embnic_sim.runner import expect_build_failure
from embnic_sim.toolchain import (
    VERILATOR_FIXES,
    build_lock,
    digest,
    find_sources,
    include_folders,
    tool_environment,
)

HARNESS = Path(__file__).resolve().with_name("fp32_harness.cpp")
LINT = Path(__file__).resolve().parents[2] / "rtl" / "lint.vlt"


@dataclass(frozen=True)
class Unit:
    """A module, how it is built, and what one run of its harness must contain."""

    module: str
    define: str
    parameters: tuple[str, ...]
    combinations: int  # of special values
    strata: int
    generated: bool = False  # XLS made the module of hls/dslx


FMA = Unit("embnic_fp32_fma", "-DHARNESS_FMA", (), 2 * 48**3, 19)
ADD = Unit("embnic_fp32_add", "-DHARNESS_ADD", (), 48**2, 19)
MUL = Unit("embnic_fp32_mul", "-DHARNESS_MUL", (), 48**2, 19)
DIV = Unit("embnic_fp32_div_uint", "-DHARNESS_DIV", ("-GLANES=2",), 78 * 142 * 4, 19)
UNITS = pytest.mark.parametrize("unit", [FMA, ADD, MUL, DIV], ids=["fma", "add", "mul", "div"])


def build(unit: Unit) -> Path:
    """Build the harness around a unit when something changed; return the program."""
    folder = build_root() / "rtl" / f"fp32-{unit.module}{'-xls' if unit.generated else ''}"
    sources = find_sources(unit.module)
    if unit.generated:
        sources = xls_gen.write_module(folder.with_name(f"{folder.name}-sources"))
    waivers = [LINT] if LINT.is_file() else []
    # -ffp-contract=off: the reference's product and sum must stay two operations.
    command = ["verilator", "--cc", "--exe", "--build", "-j", "2", "-O3", "-Wall", "--assert"]
    command += ["--top-module", unit.module, "--Mdir", str(folder), *unit.parameters]
    command += [f"-I{include}" for include in include_folders()]
    command += ["-CFLAGS", f"-std=c++17 -O2 -ffp-contract=off -Wall -Wextra {unit.define}"]
    command += ["-MAKEFLAGS", VERILATOR_FIXES, "-o", "fp32_harness"]
    command += [str(file) for file in [*waivers, *sources, HARNESS]]
    program, stamp = folder / "fp32_harness", folder / ".built"
    headers = [header for include in include_folders() for header in sorted(include.glob("*.svh"))]
    contents = digest(command, [*waivers, *sources, *headers, HARNESS])
    with build_lock(folder), tool_environment() as env:
        if not (program.is_file() and stamp.is_file() and stamp.read_text() == contents):
            stamp.unlink(missing_ok=True)
            done = subprocess.run(
                command, env=env, capture_output=True, text=True, check=False, timeout=600
            )
            assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
            stamp.write_text(contents)
    return program


def run(unit: Unit, count: int, options: Sequence[str] = ()) -> tuple[int, str]:
    """Run the harness with a random (or EMBNIC_SEED) seed; return its exit status and output."""
    seed = os.environ.get("EMBNIC_SEED") or str(random.SystemRandom().randrange(1 << 31))
    command = [str(build(unit)), "--count", str(count), "--seed", seed, *options]
    print(" ".join(command))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=550)
    print(done.stdout, done.stderr)
    return done.returncode, done.stdout


def check(unit: Unit, count: int) -> None:
    """Run and check that everything was drawn and compared."""
    status, text = run(unit, count)
    assert status == 0, text[-3000:]
    numbers = [(int(n), name) for n, name in re.findall(r"^ *(\d+) (.+)$", text, re.MULTILINE)]
    assert numbers[0] == (unit.combinations, "special values, all combinations")
    strata = numbers[1:-1]
    assert len(strata) == unit.strata
    assert min(n for n, _ in strata) >= count // unit.strata
    assert sum(n for n, _ in strata) == count
    assert numbers[-1] == (unit.combinations + count, "compared: all equal")


@UNITS
def test_equal_to_ieee(unit: Unit) -> None:
    """All special values, and 1.5 million operations over the strata."""
    check(unit, 1_500_000)


def test_the_product_that_xls_made_is_equal_to_ieee() -> None:
    """The same harness, operands and latency on the SystemVerilog that XLS makes of hls/dslx/fp32_mul.x."""
    pytest.importorskip("xls", reason="the wheel xls-python is not installed")
    assert xls_gen.interpret(0x3F800001, 0x3F800001) == 0x3F800002
    check(replace(MUL, generated=True), 1_500_000)


@pytest.mark.slow
@UNITS
def test_equal_to_ieee_long(unit: Unit) -> None:
    """The same with 20 million operations."""
    check(unit, 20_000_000)


@UNITS
def test_the_harness_can_fail(unit: Unit) -> None:
    """One falsified expectation, among the special values or after them, fails the run."""
    for broken in (1, unit.combinations + 50):
        status, text = run(unit, 100, ["--break", str(broken)])
        assert status == 1
        assert "FAILED" in text
        assert "lane 0: result" in text


def test_illegal_parameters_do_not_build() -> None:
    """A divider without lanes is refused by name."""
    expect_build_failure("embnic_fp32_div_uint", {"LANES": 0}, "LANES must be at least 1")
