# SPDX-License-Identifier: Apache-2.0
"""The scenes of the report, in page order. A new part of embnic adds its scene to :data:`SCENES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from . import svg
from .run import PROBE_STAGES, RunRecord

__all__ = ["SCENES", "TIMED", "Scene", "runs_of"]

LINE_RATE = 100e9  # bits per second
FRAME_OVERHEAD = (
    24  # bytes of preamble, frame check sequence and gap that a frame adds on the fibre
)


@dataclass(frozen=True)
class Scene:
    """A titled part of the page; ``draw`` returns HTML."""

    title: str
    draw: Callable[[RunRecord], str]


def _equality(run: RunRecord) -> str:
    rows = "".join(
        f"<tr><td>{escape(c.name)}</td><td class=num>{c.compared:,}</td><td class=num>{c.mismatches:,}</td>"
        f"<td>{escape(c.note)}</td></tr>"
        for c in run.checks
    )
    return (
        "<p>Every pooled vector that came back from the card, compared as 32-bit patterns, not within a "
        "tolerance.</p><table><tr><th>compared with<th>bags<th>not equal<th>note</tr>"
        + rows
        + "</table>"
    )


def _wire(run: RunRecord) -> str:
    requests = float(run.counters["rx_bytes"])
    chart = svg.bar_chart(
        [
            (
                "every row crosses",
                [("requests", requests), ("replies", float(run.reply_bytes_without))],
            ),
            (
                "pooled on the card",
                [("requests", requests), ("replies", float(run.counters["tx_bytes"]))],
            ),
        ],
        unit="bytes",
        label="bytes on the wire with and without pooling on the card",
    )
    ratio = run.reply_bytes_without / max(run.counters["tx_bytes"], 1)
    return chart + (
        f"<p>The same requests in both cases. Pooling on the card sends one vector a bag instead of one a row: "
        f"<b>{ratio:.2f}x fewer</b> reply bytes. The upper bar is computed (rows packed whole into frames of the "
        "same MTU), the lower one is what the card's byte counters say.</p>"
    )


def _cache(run: RunRecord) -> str:
    c = run.counters
    chart = svg.area_chart(
        [
            ("rows hit", [float(b["row_hits"]) for b in run.batches]),
            ("rows missed", [float(b["row_misses"]) for b in run.batches]),
        ],
        x_label="batches of the run, in order",
        y_label="rows",
        label="row hits and misses over the run",
    )
    lines = run.config["WAYS"] * run.config["SETS"]
    return chart + (
        f"<p>{c['row_hits']:,} rows hit, {c['row_misses']:,} missed, {c['evictions']:,} lines evicted. "
        f"The cache starts "
        f"empty and holds {lines:,} lines of {run.config['LINE_BYTES']} bytes ({run.config['WAYS']} ways); "
        f"the table has {run.rows:,} rows.</p>"
    )


def _cycles(run: RunRecord) -> str:
    c = run.counters
    chart = svg.share_bar(
        [
            ("row beat pooled", float(c["exec_beats"])),
            ("waiting for memory", float(c["exec_fetch"])),
            ("waiting for the accumulator", float(c["exec_hazard"])),
            ("nothing to do", float(c["exec_empty"])),
        ],
        label="what the pooling stage did in every cycle",
    )
    return chart + (
        f"<p>What the stage that feeds the pool did in each of {c['cycles']:,} simulated cycles. "
        f"“Nothing to do” includes the time between batches, when the host had not sent the next one.</p>"
        f"<p><b>{c['cycles'] / max(run.bags, 1):,.1f} simulated cycles per bag</b> "
        f"({run.keys / max(run.bags, 1):.1f} rows each); {run.beats_per_cycle:.3f} row beats per busy cycle.</p>"
    )


def _latency(run: RunRecord) -> str:
    chart = svg.histogram(
        [int(v) for v in run.latency],
        bins=60,
        x_label="simulated cycles from a request frame's last beat to its reply's first beat",
        label="request latency in simulated cycles",
    )
    return (
        chart
        + "<p>Requests are sent in windows, so queueing behind earlier requests is part of it.</p>"
    )


def runs_of(active: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the ``(begin, end)`` runs of consecutive true values.

    >>> runs_of(np.array([False, True, True, False, True]))
    [(1, 3), (4, 5)]
    """
    padded = np.concatenate(([False], active, [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(b), int(e)) for b, e in zip(edges[::2], edges[1::2], strict=True)]


def _timeline(run: RunRecord) -> str:
    if not len(run.probe):
        return "<p>No window was recorded.</p>"
    rows = [
        (name, runs_of((run.probe >> np.uint32(bit)) & np.uint32(1) == 1), meaning)
        for name, bit, meaning in PROBE_STAGES
    ]
    chart = svg.lanes(
        rows, length=len(run.probe), start=run.probe_start, label="pipeline activity by cycle"
    )
    return chart + (
        "<p>One row a stage, one column a simulated cycle. The same window is in <code>trace.json</code> beside this "
        "page: open it in Perfetto (ui.perfetto.dev).</p>"
    )


def _formats(run: RunRecord) -> str:
    if not run.formats:
        return "<p>No run of the formats was made.</p>"
    chart = svg.bar_chart(
        [
            (
                f.dtype,
                [
                    ("read from card memory", float(f.fetched_bytes)),
                    ("requests", float(f.request_bytes)),
                    ("replies", float(f.reply_bytes)),
                ],
            )
            for f in run.formats
        ],
        unit="bytes",
        label="bytes from card memory and on the wire by stored format",
    )
    rows = "".join(
        f"<tr><td>{escape(f.dtype)}</td><td class=num>{f.stride_bytes:,}</td>"
        f"<td class=num>{f.fetched_bytes:,}</td><td class=num>{f.request_bytes + f.reply_bytes:,}</td>"
        f"<td class=num>{f.bags - f.mismatches:,} of {f.bags:,}</td></tr>"
        for f in run.formats
    )
    one = run.formats[0]
    wrong = sum(f.mismatches for f in run.formats)
    verdict = "all are" if not wrong else f"<b>{wrong:,} are NOT</b>"
    return chart + (
        "<table><tr><th>stored as<th>bytes a row<th>bytes from card memory<th>bytes on the wire"
        f"<th>bags bit-equal</tr>{rows}</table>"
        f"<p>The same {one.bags:,} bags of {one.keys:,} rows, pooled from a table of each format, the cache "
        "empty at first. The requests and the vectors that are sent back are the same size whatever "
        f"the rows are stored as. Every vector is compared with the reference of its format: {verdict} "
        "equal, bit for bit.</p>"
    )


def _overlap(run: RunRecord) -> str:
    o = run.overlap
    if o is None:
        return (
            "<p>Not shown: rows of this shape are read in bursts of different lengths, which the "
            "recorded cycles do not tell apart.</p>"
        )
    waiting = o.outstanding > 0
    lanes = (
        ("misses out", runs_of(waiting), "a read is at card memory"),
        ("row beats", runs_of(o.pooled), "a row beat is pooled"),
        ("both", runs_of(waiting & o.pooled), "a beat is pooled while a miss is outstanding"),
    )
    length = len(o.outstanding)
    label = "misses outstanding and row beats by cycle"
    chart = svg.area_chart(
        [("reads outstanding", o.outstanding.astype(float).tolist())],
        x_label=f"cycles {o.start:,} to {o.start + length:,}",
        y_label="reads",
        label="reads outstanding at card memory by cycle",
    ) + svg.lanes(lanes, length=length, start=o.start, label=label)
    share = svg.share_bar(
        [
            ("misses outstanding, a beat pooled", float(o.both)),
            ("misses outstanding, no beat", float(o.waiting - o.both)),
            ("a beat pooled, no miss outstanding", float(o.pooling - o.both)),
            ("neither", float(o.cycles - o.waiting - o.pooling + o.both)),
        ],
        label="cycles of the run by what memory and pool did",
    )
    return chart + (
        f"{share}<p>A bag that waits for memory holds up no other bag. In <b>{o.both / max(o.waiting, 1):.1%}"
        f"</b> of the {o.waiting:,} cycles in which a miss was outstanding a row beat was pooled, of a hit or of "
        "a miss that had come. The lanes "
        f"show {length:,} cycles in the middle of the run's reads, the bar all {o.cycles:,} recorded "
        "cycles, the time between batches included.</p>"
    )


def _line_rate(run: RunRecord) -> str:
    c = run.counters
    bags = max(run.bags, 1)
    hertz = run.clock_mhz * 1e6
    busy = c["cycles"] - c["exec_empty"]
    rows_bits = 8 * run.reply_bytes_without / bags
    out_bits = 8 * (c["tx_bytes"] + FRAME_OVERHEAD * c["tx_frames"]) / bags
    in_bits = 8 * (c["rx_bytes"] + FRAME_OVERHEAD * c["rx_frames"]) / bags
    wire_bags = LINE_RATE / max(out_bits, in_bits)
    core_bags = hertz * bags / max(busy, 1)
    beats_bags = hertz * bags / max(c["exec_beats"], 1)
    rows = (
        ("100 Gb/s if every row crossed the network", LINE_RATE / rows_bits),
        ("100 Gb/s of requests in, pooled replies out (the fuller direction)", wire_bags),
        (
            f"this run's busy cycles at {run.clock_mhz:g} MHz (misses and waits as simulated)",
            core_bags,
        ),
        (f"one row beat every cycle at {run.clock_mhz:g} MHz (the pool's limit)", beats_bags),
    )
    table = "".join(
        f"<tr><td>{escape(n)}</td><td class=num>{v / 1e6:,.2f} M bags/s</td></tr>" for n, v in rows
    )
    per_bag = c["exec_beats"] / bags
    replace, fill = (rate * per_bag / 1e6 for rate in (LINE_RATE / rows_bits, wire_bags))
    return (
        f"<table><tr><th>limit<th>bags per second</tr>{table}</table><p>At {per_bag:.1f} row beats a bag and one beat "
        f"a cycle, pooling what 100 Gb/s of rows could have fed takes a clock of <b>{replace:,.0f} MHz</b>; filling "
        f"100 Gb/s with pooled replies would take {fill:,.0f} MHz, or several cores. Arithmetic on simulated "
        "cycles and an assumed clock; no board was involved.</p>"
    )


def _loss(run: RunRecord) -> str:
    loss = run.loss
    if loss is None:
        return "<p>Not part of this run.</p>"
    chart = svg.area_chart(
        [
            ("by the card", [*map(float, loss.card)]),
            ("by the CPU in its place", [*map(float, loss.cpu)]),
        ],
        x_label="batches of a small run of its own, in order",
        y_label="bags answered",
        label="who answered the bags while the card was away",
        marks=[(loss.lost_at, "card gone"), (loss.back_at, "back, reattached")],
    )
    return chart + (
        f"<p>The card, reached through {escape(loss.through)}, is taken away before batch {loss.lost_at + 1} and comes "
        f"back before batch {loss.back_at + 1}. Of {loss.asked:,} bags <b>{loss.wrong:,} are wrong and {loss.lost:,} "
        f"lost</b>: {sum(loss.card):,} by the card, {sum(loss.cpu):,} by the CPU.</p>"
    )


SCENES: dict[str, Scene] = {
    "equality": Scene("Is it right?", _equality),
    "wire": Scene("Bytes on the wire", _wire),
    "cache": Scene("Hits and misses", _cache),
    "cycles": Scene("Where the cycles go", _cycles),
    "latency": Scene("Request latency", _latency),
    "overlap": Scene("Hits and misses overlap", _overlap),
    "formats": Scene("Stored formats", _formats),
    "loss": Scene("Losing the card", _loss),
    "timeline": Scene("Inside the pipeline", _timeline),
    "line-rate": Scene("What 100 Gb/s would need", _line_rate),
}
# What needs a simulated clock.
TIMED = frozenset({"cycles", "latency", "overlap", "timeline", "line-rate"})
