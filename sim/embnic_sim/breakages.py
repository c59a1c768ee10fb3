# SPDX-License-Identifier: Apache-2.0
"""Breaks the RTL in listed ways and checks that a test fails each time.

    python -m embnic_sim.breakages                 all of docs/testplan/breakages.toml
    python -m embnic_sim.breakages --only NAME ..  some of them
    python -m embnic_sim.breakages --file PART ..  those of files with such a part in their name
    python -m embnic_sim.breakages --changed-only  where the tests were seen to pass on the RTL as it is

Each entry names a file below rtl/, the text to replace (it must stand there exactly once), what to put instead, and the
test that must then fail. The change is made in a copy of rtl/ that the benches read through EMBNIC_RTL; the checkout
is never touched. The same test must pass on the unchanged copy first.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embnic_sim.paths import build_root, checkout_root, rtl_root

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Breakage", "load_breakages", "run_breakage", "passes_unchanged"]


@dataclass(frozen=True)
class Breakage:
    """One way to break the RTL. `test` is a pytest node below tests/."""

    name: str
    why: str
    file: str
    find: str
    replace: str
    test: str


def load_breakages() -> list[Breakage]:
    """Read the list."""
    root = checkout_root()
    assert root is not None, "breakages need a checkout"
    text = (root / "docs" / "testplan" / "breakages.toml").read_text(encoding="utf-8")
    return [Breakage(**entry) for entry in tomllib.loads(text)["breakage"]]


def run_breakage(breakage: Breakage) -> str:
    """Break a copy, run the test, return its last lines; raise AssertionError when the test still passes."""
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        copy = Path(folder) / "rtl"
        shutil.copytree(rtl_root(), copy)
        target = copy / breakage.file
        text = target.read_text(encoding="utf-8")
        count = text.count(breakage.find)
        assert count == 1, (
            f"{breakage.name}: the text to replace stands {count} times in rtl/{breakage.file}"
        )
        target.write_text(text.replace(breakage.find, breakage.replace), encoding="utf-8")
        done = _pytest([breakage.test], copy)
    assert done.returncode == 1, (
        f"{breakage.name}: {breakage.test} does not notice it "
        f"(pytest exit status {done.returncode}):\n{done.stdout[-2000:]}"
    )
    # A broken copy must be caught by a comparison or an assertion, not by not compiling.
    assert "BuildError" not in done.stdout, (
        f"{breakage.name}: the changed RTL does not build:\n{done.stdout[-3000:]}"
    )
    return done.stdout[-300:]


def passes_unchanged(tests: Sequence[str]) -> None:
    """Check that the tests pass on the unchanged RTL; else a failure would say nothing."""
    done = _pytest(list(tests), rtl_root())
    assert done.returncode == 0, f"these tests fail without any breakage:\n{done.stdout[-3000:]}"


def _scratch() -> Path:
    folder = build_root() / "breakages"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _pytest(tests: list[str], rtl: Path) -> subprocess.CompletedProcess[str]:
    root = checkout_root()
    environment = os.environ | {"EMBNIC_RTL": str(rtl), "EMBNIC_SEED": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        *(f"tests/{test}" for test in tests),
    ]
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=1200
    )


def main() -> int:
    """Run the list and print one line each."""
    parser = argparse.ArgumentParser(
        description="Break the RTL in listed ways; a test must fail each time."
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of breakages")
    parser.add_argument("--file", nargs="+", metavar="PART", help="parts of names of files")
    parser.add_argument(
        "--changed-only",
        action="store_true",
        help="do not run the tests on the unchanged RTL first",
    )
    given = parser.parse_args()
    chosen = [
        b
        for b in load_breakages()
        if (given.only is None or b.name in given.only)
        and (given.file is None or any(part in b.file for part in given.file))
    ]
    if not chosen:
        print("no breakage is so named", file=sys.stderr)
        return 2
    if not given.changed_only:
        for test in sorted({b.test for b in chosen}):
            passes_unchanged([test])
    survivors = 0
    for breakage in chosen:
        try:
            run_breakage(breakage)
            print(f"caught    {breakage.name}: {breakage.test}", flush=True)
        except AssertionError as error:
            survivors += 1
            print(f"SURVIVED  {error}", flush=True)
    print(f"{len(chosen) - survivors} passed, {survivors} failed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
