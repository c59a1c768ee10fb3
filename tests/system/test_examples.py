# SPDX-License-Identifier: Apache-2.0
"""Every example runs, and prints what its comments promise."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDS = {"05_on_a_board.py": "pynq"}  # run by tests/board, in an environment with it
REQUIRED = os.environ.get("REQUIRE_TORCH") == "1"
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
    text = example.read_text(encoding="utf-8")
    needs_torch = re.search(r"^import torch$", text, re.MULTILINE)
    if needs_torch and not REQUIRED and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed; REQUIRE_TORCH=1 makes this a failure")
    done = subprocess.run(
        [sys.executable, example], capture_output=True, text=True, timeout=900, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    promised = re.findall(r"^    print\(.*# (\[.*\])$", text, re.MULTILINE)
    for line in promised:
        assert line in done.stdout
    assert done.stdout.strip()
