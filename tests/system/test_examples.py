# SPDX-License-Identifier: Apache-2.0
"""Every example runs, and prints what its comments promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDS = {"05_on_a_board.py": "pynq"}  # run by tests/board, in an environment with it
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))


def test_every_example_is_listed() -> None:
    listed = re.findall(
        r"`(\d\d_\w+\.py)`", (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    )
    assert listed == [file.name for file in EXAMPLES]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)
def test_example_runs(example: Path) -> None:
    if example.name in NEEDS:
        pytest.skip(f"{example.name} needs {NEEDS[example.name]}: make test-pynq runs it")
    done = subprocess.run(
        [sys.executable, example], capture_output=True, text=True, timeout=900, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    promised = re.findall(
        r"^    print\(.*# (\[.*\])$", example.read_text(encoding="utf-8"), re.MULTILINE
    )
    for line in promised:
        assert line in done.stdout
    assert done.stdout.strip()
