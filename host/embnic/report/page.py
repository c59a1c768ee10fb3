# SPDX-License-Identifier: Apache-2.0
"""The page around the scenes."""

from __future__ import annotations

from html import escape

from .run import RunRecord
from .scenes import SCENES, TIMED

__all__ = ["render_page"]

STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --soft: #5c6670; --line: #d9dee3; --card: #f5f7f9;
  --page: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaee; --soft: #9aa5b0; --line: #39424b;
  --card: #20262c; --page: #14181c; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 900px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
p { margin: .5rem 0; } .soft, .legend { color: var(--soft); }
.verdict { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .8rem;
  margin: 1.2rem 0; }
.verdict div { background: var(--card); border-radius: 8px; padding: .7rem .9rem; }
.verdict b { display: block; font-size: 1.35rem; }
svg { width: 100%; height: auto; display: block; } svg text { font-size: 13px; fill: var(--ink); }
.num { font-variant-numeric: tabular-nums; text-align: right; } svg text.num { fill: var(--soft);
  font-size: 12px; }
.axis, .mark { stroke: var(--soft); fill: none; } .lane { fill: var(--card); }
.legend { font-size: .9rem; } .legend span { margin-right: 1.2rem; } .legend i { display: inline-block;
  width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem;
  border-bottom: 1px solid var(--line); }
code { background: var(--card); padding: .1em .3em; border-radius: 4px; }
"""

# Tells a test (and a curious reader) that every picture really has a size on the screen.
SCRIPT = """
const shown = [...document.querySelectorAll("section svg")].filter(s => s.getBoundingClientRect().height > 10);
document.body.dataset.scenes = document.querySelectorAll("section").length;
document.body.dataset.pictures = shown.length;
"""


def render_page(run: RunRecord) -> str:
    """Return the whole page as one HTML text without outside references."""
    sections = "".join(
        f'<section id="{name}"><h2>{escape(scene.title)}</h2>{scene.draw(run)}</section>'
        for name, scene in SCENES.items()
        if run.cycles or name not in TIMED  # the HLS cores have no cycles
    )
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1"><link rel=icon href="data:,">'
        f"<title>{escape(run.title)}</title><style>{STYLE}</style><body><h1>{escape(run.title)}</h1>"
        f"<p class=soft>{escape(run.trace)}. One table of {run.rows:,} rows, dim {run.dim}, fp32, "
        f"{escape(run.pooling)} pooling; simulated card {escape(run.build)}. "
        "All cycles are simulated; nothing here was measured on a board.</p>"
        f"{_verdict(run)}{sections}"
        f"<h2>How this was made</h2><p><code>{escape(run.command)}</code></p>"
        f"<p class=soft>{run.seconds_total:.1f} s in all, {run.seconds_model:.1f} s of it inside the "
        f"simulated card. {escape(versions)}</p>"
        f"<script>{SCRIPT}</script></body></html>"
    )


def _verdict(run: RunRecord) -> str:
    compared = max((c.compared for c in run.checks), default=0)
    wrong = sum(c.mismatches for c in run.checks)
    hits, misses = run.counters["row_hits"], run.counters["row_misses"]
    ratio = run.reply_bytes_without / max(run.counters["tx_bytes"], 1)
    tiles: tuple[tuple[str, str], ...] = (
        (
            f"{compared - wrong:,}",
            f"of {compared:,} bags bit-equal" + ("" if run.equal else ": NOT ALL"),
        ),
        (f"{ratio:.2f}x", "fewer reply bytes"),
        (f"{hits / max(hits + misses, 1):.1%}", f"of {hits + misses:,} rows hit the cache"),
    )
    if run.cycles:
        tiles += (
            (f"{run.cycles / max(run.bags, 1):,.0f}", "simulated cycles per bag"),
            (f"{run.beats_per_cycle:.2f}", "row beats per busy cycle"),
        )
    return (
        '<div class="verdict">'
        + "".join(f"<div><b>{v}</b>{escape(n)}</div>" for v, n in tiles)
        + "</div>"
    )
