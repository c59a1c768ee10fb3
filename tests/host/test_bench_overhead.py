# SPDX-License-Identifier: Apache-2.0
"""The bench of the host's overhead runs, compares what it measures and prints every line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench" / "host" / "bench_overhead.py"


def test_the_bench_prints_every_line():
    options = ["--blocks", "2", "--imports", "1", "--seconds", "0.05"]
    done = subprocess.run(
        [sys.executable, str(BENCH), *options],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"Engine\.lookup +median +[\d.]+ us", done.stdout)
    assert len(re.findall(r"import (?:numpy|embnic) +median", done.stdout)) == 2
    assert len(re.findall(r"lookups/s with 1 / 2 / 8 threads", done.stdout)) == 4
    assert "awaited, 64 at a time" in done.stdout
