# SPDX-License-Identifier: Apache-2.0
"""The report: every registered scene draws, the page stands alone, a browser shows its pictures."""

from __future__ import annotations

import dataclasses
import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from embnic.config import Table
from embnic.demo import burst_beats
from embnic.gen.configs import CONFIGS
from embnic.report import (
    SCENES,
    Check,
    FormatRun,
    Loss,
    Overlap,
    RunRecord,
    render_page,
    render_trace,
)

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)


def make_run() -> RunRecord:
    rng = np.random.default_rng(11)
    counters = {
        "cycles": 90_000, "rx_bytes": 50_000, "tx_bytes": 140_000, "rx_frames": 60, "tx_frames": 120, "row_hits": 5_000,
        "row_misses": 3_000, "evictions": 100, "exec_beats": 32_000, "exec_fetch": 8_000, "exec_hazard": 1_000,
        "exec_empty": 49_000,
    }  # fmt: skip
    batches = tuple(
        {"row_hits": int(rng.integers(100)), "row_misses": int(rng.integers(100))}
        for _ in range(20)
    )
    return RunRecord(
        title="embnic demo", trace="a <trace> & more", config={"WAYS": 4, "SETS": 1024, "LINE_BYTES": 256},
        config_name="line100", build="fast build (-O3)", clock_mhz=250.0, dim=64, pooling="sum", mtu=1500, bags=1_000,
        keys=8_000, rows=40_000, counters=counters, batches=batches,
        checks=(Check("reference", 1_000, 0), Check("torch 2.13", 1_000, 0, "EmbeddingBag")),
        latency=rng.integers(200, 2_000, 500), probe=rng.integers(0, 1 << 20, 400).astype(np.uint32), probe_start=7_000,
        seconds_total=3.0, seconds_model=2.5, command="embnic demo", versions={"embnic": "0.1.0"},
        formats=(
            FormatRun("fp32", 256, 200, 3_000, 700_000, 26_000, 55_000, 0),
            FormatRun("int8", 128, 200, 3_000, 350_000, 26_000, 55_000, 0),
        ),
        overlap=Overlap.of(
            rng.integers(0, 1 << 20, 400).astype(np.uint32), start=7_000, burst_beats=1, window=200
        ),
    )  # fmt: skip


def test_the_loss_of_the_card_is_marked_and_counted() -> None:
    loss = Loss(
        card=(20, 20, 0, 0, 20),
        cpu=(0, 0, 20, 19, 0),
        asked=100,
        wrong=2,
        lost_at=2,
        back_at=4,
        through="PYNQ",
    )
    assert loss.lost == 1
    page = render_page(dataclasses.replace(make_run(), loss=loss))
    assert (
        "reached through PYNQ, is taken away before batch 3 and comes back before batch 5" in page
    )
    assert "2 are wrong and 1 lost" in page.replace("\n", " ")
    assert page.count('stroke-dasharray="4 3"') == 2
    assert page.count(">card gone<") == 1 and page.count(">back, reattached<") == 1


class Outside(html.parser.HTMLParser):
    """Collects every reference to something outside the page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "srcset") and value and not value.startswith(("data:", "#")):
                self.found.append(f"{tag} {name}={value}")


def test_page_has_every_scene_and_nothing_from_outside() -> None:
    page = render_page(make_run())
    outside = Outside()
    outside.feed(page)
    assert outside.found == []
    assert page.count("<section") == len(SCENES) >= 7
    for name, scene in SCENES.items():
        assert f'<section id="{name}">' in page and scene.title.replace("&", "&amp;") in page
    assert "a &lt;trace&gt; &amp; more" in page


def test_numbers_follow_from_the_counters() -> None:
    run = make_run()
    assert run.beats_per_cycle == pytest.approx(32_000 / 41_000)
    per_frame = (1500 - 28 - 22 - 4) // 256
    frames = -(-8_000 // per_frame)
    assert run.reply_bytes_without == 8_000 * 256 + frames * 68
    assert f"{run.reply_bytes_without / 140_000:.2f}x" in render_page(run)


def test_a_mismatch_is_shouted() -> None:
    run = dataclasses.replace(make_run(), checks=(Check("reference", 1_000, 3),))
    assert not run.equal
    assert "NOT ALL" in render_page(run) and "<b>997</b>of 1,000 bags" in render_page(run)
    assert not dataclasses.replace(make_run(), checks=()).equal


def test_a_format_that_differs_is_shouted() -> None:
    run = make_run()
    assert run.equal and "all are equal, bit for bit" in render_page(run)
    wrong = dataclasses.replace(run.formats[1], mismatches=7)
    run = dataclasses.replace(run, formats=(run.formats[0], wrong))
    assert not run.equal
    page = render_page(run)
    assert "7 are NOT" in page and "193 of 200" in page and "NOT ALL" in page


def test_overlap_counts_what_is_outstanding_by_hand() -> None:
    """Two reads of two beats: asked in cycles 1 and 2, beats in 4, 5 and 7, 8; rows pooled in 0, 3, 8, 9."""
    words = np.zeros(10, np.uint32)
    for bit, cycles in ((6, (1, 2)), (7, (4, 5, 7, 8)), (8, (0, 3, 8, 9))):
        words[list(cycles)] |= np.uint32(1 << bit)
    overlap = Overlap.of(words, start=100, burst_beats=2, window=10)
    assert overlap.outstanding.tolist() == [0, 1, 2, 2, 2, 1, 1, 1, 0, 0]
    assert (overlap.cycles, overlap.waiting, overlap.pooling, overlap.both) == (10, 7, 4, 1)
    assert (overlap.start, overlap.pooled.tolist()[:4]) == (100, [True, False, False, True])
    part = Overlap.of(words, start=100, burst_beats=2, window=4)
    assert len(part.outstanding) == 4 and part.waiting == 7
    assert part.outstanding.tolist() == overlap.outstanding.tolist()[part.start - 100 :][:4]


def test_overlap_of_a_run_without_reads_is_drawn() -> None:
    overlap = Overlap.of(np.full(50, 1 << 8, np.uint32), start=0, burst_beats=4, window=20)
    assert (overlap.waiting, overlap.both, overlap.pooling) == (0, 0, 50)
    page = render_page(dataclasses.replace(make_run(), overlap=overlap))
    assert "0.0%</b> of the 0 cycles" in page
    assert "Not shown" in render_page(dataclasses.replace(make_run(), overlap=None))


@pytest.mark.parametrize(
    ("config", "dim", "beats"),
    [
        ("line100", 64, 4),
        ("line100", 16, 1),
        ("line100", 80, None),
        ("tiny", 16, 2),
        ("edge", 64, 16),
    ],
)
def test_burst_beats_are_those_of_every_read_of_a_row(
    config: str, dim: int, beats: int | None
) -> None:
    table = Table("item", rows=1, dim=dim, pooling="sum")
    assert burst_beats(table, CONFIGS[config]) == beats


def test_trace_is_chrome_trace_json() -> None:
    run = make_run()
    events = json.loads(render_trace(run))["traceEvents"]
    slices = [e for e in events if e["ph"] == "X"]
    assert slices and all(
        e["dur"] > 0 and e["ts"] >= run.probe_start / run.clock_mhz for e in slices
    )
    beats = sum(e["args"]["cycles"] for e in slices if e["name"] == "pool")
    assert beats == int(((run.probe >> 8) & 1).sum())


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install -y chromium")
def test_chromium_shows_the_pictures_without_a_console_error(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_page(make_run()), encoding="utf-8")
    check_in_chromium(page, tmp_path)


def check_in_chromium(page: Path, scratch: Path) -> None:
    """Open `page` in headless Chromium; fail on a console message or on a scene without a picture on the screen."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-sync",
            "--disable-background-networking", "--disable-component-update", f"--user-data-dir={scratch / 'profile'}",
            "--enable-logging=stderr", "--window-size=1000,1400", "--virtual-time-budget=2000", "--dump-dom",
            page.resolve().as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert console == []
    body = re.search(r"<body[^>]*>", done.stdout)
    assert body, done.stderr[-2000:]
    found = {name: int(value) for name, value in re.findall(r'data-(\w+)="(\d+)"', body.group())}
    assert found["scenes"] == len(SCENES)
    pictures = page.read_text(encoding="utf-8").count("<svg")
    assert found["pictures"] == pictures >= 5
