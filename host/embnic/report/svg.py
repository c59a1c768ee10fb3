# SPDX-License-Identifier: Apache-2.0
"""Small SVG pieces: bars, areas, histograms, a lane chart. Text in, text out; no dependency."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["area_chart", "bar_chart", "histogram", "lanes", "share_bar"]

COLOURS = ("#2a78b8", "#e0803c", "#5aa469", "#b8519b", "#8a8f98", "#c9a227")
WIDTH = 860


def _open(height: int, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label, quote=True)}" '
        'xmlns="http://www.w3.org/2000/svg">'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    cls = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{cls}>{escape(text)}</text>'


def _rect(x: float, y: float, w: float, h: float, colour: str, tip: str) -> str:
    return (
        f'<rect x="{x:.2f}" y="{y:.2f}" width="{max(w, 0.3):.2f}" height="{h:.2f}" fill="{colour}">'
        f"<title>{escape(tip)}</title></rect>"
    )


def bar_chart(
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]], *, unit: str, label: str
) -> str:
    """Draw horizontal stacked bars: ``(name, [(part, value), ...])`` each."""
    left, bar, gap = 190, 30, 22
    height = 20 + len(rows) * (bar + gap)
    top = max((sum(v for _, v in parts) for _, parts in rows), default=1.0) or 1.0
    out = [_open(height, label)]
    colours: dict[str, str] = {}
    for index, (name, parts) in enumerate(rows):
        y = 10 + index * (bar + gap)
        out.append(_text(left - 10, y + bar / 2 + 5, name, "end"))
        x = float(left)
        for part, value in parts:
            colour = colours.setdefault(part, COLOURS[len(colours) % len(COLOURS)])
            width = value / top * (WIDTH - left - 130)
            out.append(_rect(x, y, width, bar, colour, f"{part}: {value:,.0f} {unit}"))
            x += width
        out.append(
            _text(x + 8, y + bar / 2 + 5, f"{sum(v for _, v in parts):,.0f} {unit}", "start", "num")
        )
    out.append("</svg>")
    return "".join(out) + _legend(colours)


def share_bar(parts: Sequence[tuple[str, float]], *, label: str) -> str:
    """Draw one bar of 100 % with a legend that states each share."""
    total = sum(v for _, v in parts) or 1.0
    out = [_open(56, label)]
    colours: dict[str, str] = {}
    x = 10.0
    for name, value in parts:
        share = value / total
        colour = COLOURS[len(colours) % len(COLOURS)]
        colours[f"{name} {share:.1%}"] = colour
        out.append(
            _rect(x, 10, share * (WIDTH - 20), 36, colour, f"{name}: {value:,.0f} ({share:.1%})")
        )
        x += share * (WIDTH - 20)
    out.append("</svg>")
    return "".join(out) + _legend(colours)


def area_chart(
    series: Sequence[tuple[str, Sequence[float]]],
    *,
    x_label: str,
    y_label: str,
    label: str,
    marks: Sequence[tuple[int, str]] = (),
) -> str:
    """Draw stacked areas over equally spaced points, and a line with a word at each marked point."""
    left, top, plot_w, plot_h = 60, 12, WIDTH - 80, 200
    points = len(series[0][1]) if series else 0
    totals = [sum(values[i] for _, values in series) for i in range(points)]
    highest = max(totals, default=1.0) or 1.0
    step = plot_w / max(points - 1, 1)
    out = [_open(top + plot_h + 44, label)]
    base = [0.0] * points
    colours: dict[str, str] = {}
    for name, values in series:
        colour = colours.setdefault(name, COLOURS[len(colours) % len(COLOURS)])
        upper = [b + v for b, v in zip(base, values, strict=True)]
        path = [
            f"{left + i * step:.1f},{top + plot_h * (1 - u / highest):.1f}"
            for i, u in enumerate(upper)
        ]
        back = [
            f"{left + i * step:.1f},{top + plot_h * (1 - b / highest):.1f}"
            for i, b in enumerate(base)
        ]
        tip = escape(f"{name}: {sum(values):,.0f} in total")
        polygon = " ".join(path + back[::-1])
        out.append(f'<polygon points="{polygon}" fill="{colour}"><title>{tip}</title></polygon>')
        base = upper
    for at, word in marks:
        x = left + at * step
        out.append(f'<path class="axis" stroke-dasharray="4 3" d="M{x:.1f} {top}V{top + plot_h}"/>')
        out.append(_text(x + 4, top + plot_h - 6, word, "start"))
    out.append(f'<path class="axis" d="M{left} {top}V{top + plot_h}H{left + plot_w}"/>')
    out.append(_text(left - 8, top + 10, f"{highest:,.0f}", "end", "num"))
    out.append(_text(left - 8, top + plot_h, "0", "end", "num"))
    out.append(_text(left + plot_w / 2, top + plot_h + 30, x_label, "middle"))
    out.append(_text(left + 4, top + 10, y_label, "start"))
    out.append("</svg>")
    return "".join(out) + _legend(colours)


def histogram(values: Sequence[int], *, bins: int, x_label: str, label: str) -> str:
    """Draw a histogram with its median and 99th percentile."""
    if not values:
        return "<p>Nothing to show: no value was recorded.</p>"
    ordered = sorted(values)
    low, median = ordered[0], ordered[len(ordered) // 2]
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    high = max(p99 + max(1, (p99 - low) // 20), low + 1)
    width = (high - low) / bins
    counts = [0] * bins
    beyond = 0
    for value in ordered:
        if value >= high:
            beyond += 1
        else:
            counts[min(bins - 1, int((value - low) / width))] += 1
    left, top, plot_w, plot_h = 60, 12, WIDTH - 80, 180
    highest = max(counts) or 1
    step = plot_w / bins
    out = [_open(top + plot_h + 44, label)]
    for i, count in enumerate(counts):
        tall = plot_h * count / highest
        tip = f"{low + i * width:,.0f} to {low + (i + 1) * width:,.0f}: {count:,}"
        if count:
            out.append(
                _rect(left + i * step, top + plot_h - tall, step * 0.9, tall, COLOURS[0], tip)
            )
    out.append(f'<path class="axis" d="M{left} {top}V{top + plot_h}H{left + plot_w}"/>')
    for value in (low, median, p99):
        x = left + plot_w * (value - low) / (high - low)
        out.append(f'<path class="mark" d="M{x:.1f} {top + plot_h}v6"/>')
    out.append(_text(left, top + plot_h + 20, f"{low:,}", "middle", "num"))
    out.append(_text(left + plot_w, top + plot_h + 20, f"{high:,}", "middle", "num"))
    out.append(_text(left + plot_w / 2, top + plot_h + 38, x_label, "middle"))
    out.append("</svg>")
    tail = f", {beyond:,} beyond the axis" if beyond else ""
    return (
        "".join(out)
        + f"<p>Median {median:,}, 99th percentile {p99:,}, longest {ordered[-1]:,}{tail}.</p>"
    )


def lanes(
    rows: Sequence[tuple[str, Sequence[tuple[int, int]], str]],
    *,
    length: int,
    start: int,
    label: str,
) -> str:
    """Draw one lane per name with the ``(begin, end)`` runs in which it is active."""
    left, lane, gap = 110, 18, 6
    height = 34 + len(rows) * (lane + gap)
    scale = (WIDTH - left - 20) / max(length, 1)
    out = [_open(height, label)]
    for index, (name, runs, meaning) in enumerate(rows):
        y = 8 + index * (lane + gap)
        colour = COLOURS[1] if name.startswith("wait") or name == "miss" else COLOURS[0]
        out.append(_text(left - 8, y + 13, name, "end"))
        out.append(
            f'<rect class="lane" x="{left}" y="{y}" width="{length * scale:.1f}" height="{lane}"/>'
        )
        for begin, end in runs:
            tip = f"{name}: {meaning}; cycles {start + begin:,} to {start + end - 1:,}"
            out.append(_rect(left + begin * scale, y, (end - begin) * scale, lane, colour, tip))
    out.append(_text(left, height - 6, f"cycle {start:,}", "start", "num"))
    out.append(_text(WIDTH - 20, height - 6, f"cycle {start + length:,}", "end", "num"))
    out.append("</svg>")
    return "".join(out)


def _legend(colours: dict[str, str]) -> str:
    items = "".join(
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in colours.items()
    )
    return f'<p class="legend">{items}</p>'
