# SPDX-License-Identifier: Apache-2.0
"""Beats a second of the HLS cores in C simulation, by processor time: `python bench/hls/bench_cores.py [--seconds 1]`.

A beat is what the core takes in: 16 lanes of 32 bits, or a score. `interact` is also given in the pair steps that it
does for them.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from embnic_sim.hls_build import compile_hls

LEAST = 300_000  # beats a second


def main() -> int:
    """Print a line a core; the exit status says whether each reaches LEAST."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of processor time a core")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "beats"
        compile_hls(
            Path(__file__).with_name("beats.cpp"),
            program,
            flags=("-O3", "-march=native"),
            shared=False,
        )
        done = subprocess.run(
            [program, str(given.seconds)], capture_output=True, text=True, check=True
        )
    slow = 0
    for line in done.stdout.splitlines():
        name, beats = line.split()
        slow += float(beats) < LEAST
        print(f"{name:16} {float(beats):12,.0f} beats/s")
    print(f"{slow} below {LEAST:,}")
    return int(slow > 0)


if __name__ == "__main__":
    raise SystemExit(main())
