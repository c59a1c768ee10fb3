# SPDX-License-Identifier: Apache-2.0
"""The benches of the core: what they compute from a probe, by hand, and one part on a small card."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench" / "rtl"))
import bench_datapath  # noqa: E402
import rig  # noqa: E402


def run_of(bits: dict[int, list[int]], *, length: int, sent: list[int], start: int = 0) -> rig.Run:
    """Return a run whose probe has these bits set in these cycles."""
    probe = np.zeros(length, np.uint32)
    for bit, cycles in bits.items():
        probe[cycles] |= np.uint32(1 << bit)
    none = np.empty(0, np.int64)
    counters = {
        "exec_beats": 30, "exec_fetch": 6, "exec_hazard": 4, "row_hits": 3, "row_misses": 1
    }  # fmt: skip
    return rig.Run(counters, probe, start, none, np.array(sent, np.int64), 1, 27)


def test_a_rate_is_of_the_cycles_between_its_beats() -> None:
    every_second = run_of({rig.BEAT: list(range(0, 400, 2))}, length=1_000, sent=[])
    assert every_second.rate(rig.BEAT) == pytest.approx(0.5)
    assert every_second.pool_rate == pytest.approx(0.45)  # 27 of 30 beats are of vectors
    assert every_second.busy_rate == 0.75 and every_second.hit_share == 0.75


def test_the_reply_rate_leaves_headers_and_checksums_out() -> None:
    """100 frames of 10 beats, back to back: 8 of 10 beats are vectors."""
    beats = list(range(50, 1_050))
    sent = [1_000 + cycle - 1 for cycle in beats[::10]]  # the probe is a cycle behind
    run = run_of({rig.TX: beats}, length=1_100, sent=sent, start=1_000)
    assert run.rate(rig.TX) == 1.0
    assert run.reply_rate(2) == pytest.approx(0.8, abs=0.003)


def test_outstanding_reads_are_those_not_wholly_there() -> None:
    run = run_of({rig.AR: [0, 1], rig.R: [3, 4, 6, 7]}, length=9, sent=[])
    assert bench_datapath.outstanding(run, 2).tolist() == [1, 2, 2, 2, 1, 1, 1, 0, 0]


def test_few_are_spread_among_many() -> None:
    mixed = bench_datapath.interleaved(np.zeros(6, np.int64), np.ones(2, np.int64))
    assert mixed.tolist() == [1, 0, 0, 0, 1, 0, 0, 0]


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++: the core cannot be built")
def test_latencies_of_the_small_card_are_measured_and_written(tmp_path: Path) -> None:
    out = tmp_path / "datapath.json"
    script = ROOT / "bench" / "rtl" / "bench_datapath.py"
    command = [sys.executable, str(script), "tiny", "--only", "latency", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 16 and all(row["figure"] > 0 and row["compared"] == 8 for row in rows)
    for row in rows:
        if row["name"].startswith("last beat"):  # the stages are the whole way
            stages = [
                int(part.rsplit(" ", 1)[1])
                for part in row["note"].split(", ")
                if part[-1].isdigit()
            ]
            assert sum(stages) == row["figure"], row
