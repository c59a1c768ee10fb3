# SPDX-License-Identifier: Apache-2.0
"""Send a trace through the simulated card, check every answer, and write the report.

Beside the trace a few of its bags are pooled from a table of each stored format.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends.card import CardBackend
from .backends.hls import attach_hls, open_hls_card
from .backends.reference import ReferenceBackend
from .backends.rtl import attach_rtl, open_card
from .bags import Bags
from .card_loss import lose_card
from .config import Table
from .engine import Engine
from .errors import ConfigError
from .framing import check_mtu
from .gen.configs import CONFIGS, CoreConfig
from .gen.wire import DType
from .report import Check, FormatRun, Overlap, RunRecord, render_page, render_trace
from .traffic import Trace

__all__ = ["DemoOptions", "DemoResult", "run_demo"]

BATCH_BAGS = 128
PROBE_CYCLES = 1000  # shown
OVERLAP_CYCLES = 4_000_000  # recorded at most, to see memory and pool overlap: 16 MB
FORMAT_BAGS = 200
FORMATS = (DType.FP32, DType.FP16, DType.BF16, DType.INT8, DType.INT4, DType.FIXED)
FIXED_SCALE_EXP = -16  # a step of 2**-16
MOST_BYTES = (
    4 << 30
)  # of the demo's table: it lies in host memory twice and in the simulated card's once
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class DemoOptions:
    """How to run the trace: target (rtl or hls) and configuration, the table, the seed, where to write."""

    target: str = "rtl"
    config: str = "line100"
    dim: int = 64
    pooling: str = "sum"
    mtu: int = 1500
    seed: int = 1
    out: Path = Path("build/demo")
    command: str = "embnic demo"


@dataclass(frozen=True)
class DemoResult:
    """The record of the run and the files that were written."""

    run: RunRecord
    report: Path
    trace: Path


def run_demo(trace: Trace, options: DemoOptions, progress: Progress) -> DemoResult:
    """Run `trace` on the simulated card; compare every bag with the reference (and torch, when installed)."""
    started = time.perf_counter()
    table = Table("demo", rows=trace.rows, dim=options.dim, pooling=options.pooling)
    check_mtu(options.mtu)
    if table.nbytes > MOST_BYTES:
        raise ConfigError(
            f"The trace needs a table of {trace.rows:,} rows, {table.nbytes:,} bytes.",
            allowed=f"{MOST_BYTES:,} bytes: {table.nbytes - MOST_BYTES:,} fewer.",
            do="Number the rows densely, or give a smaller --dim.",
        )
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The folder {options.out} cannot be made ({error.strerror}).",
            allowed="a folder.",
            do="Give another --out.",
        ) from None
    weights = np.random.default_rng(options.seed).standard_normal(
        (trace.rows, options.dim), dtype=np.float32
    )
    progress(0, len(trace), "building the card")
    card = _open(options)
    timed = options.target == "rtl"
    with Engine([table], _attach([table], card, options), fallback=False) as engine:
        progress(0, len(trace), "loading the table")
        engine.load("demo", weights)
        before = dict(engine.stats().card)
        if timed:
            card.record_probe(OVERLAP_CYCLES)
            card.record_frames(True)
        pooled, batches = _send(engine, trace, before, progress)
        counters = _difference(dict(engine.stats().card), before)
        probe_start, probe, latency = 0, np.zeros(0, np.uint32), np.zeros(0, np.int64)
        if timed:
            probe_start, probe = card.probe()  # begins at rest: nothing is read yet
            latency = request_latency(*card.frame_stamps())
        seconds_model = float(card.model_seconds)
        build = str(card.build_name)
    checks = check(table, weights, trace, pooled, progress)
    formats = run_formats(trace.head(FORMAT_BAGS), weights, options, progress)
    loss = lose_card(options.config, seed=options.seed)
    config = CONFIGS[options.config]
    run = RunRecord(
        title="embnic: embedding traffic through the card",
        trace=trace.description,
        config={
            name.upper(): value for name, value in vars(config).items() if isinstance(value, int)
        },
        config_name=options.config,
        build=build,
        clock_mhz=config.clock_mhz,
        dim=options.dim,
        pooling=options.pooling,
        mtu=options.mtu,
        bags=len(trace),
        keys=len(trace.values),
        rows=trace.rows,
        counters=counters,
        batches=tuple(batches),
        checks=tuple(checks),
        latency=latency,
        probe=probe[:PROBE_CYCLES],
        probe_start=probe_start,
        overlap=overlap(table, config, probe, probe_start) if timed else None,
        formats=tuple(formats),
        loss=loss,
        seconds_total=time.perf_counter() - started,
        seconds_model=seconds_model,
        command=options.command,
        versions=_versions(),
    )
    report, perfetto = options.out / "report.html", options.out / "trace.json"
    report.write_text(render_page(run), encoding="utf-8")
    perfetto.write_text(render_trace(run), encoding="utf-8")
    return DemoResult(run, report, perfetto)


def _open(options: DemoOptions) -> Any:
    """Return the card that the demo runs on."""
    cards = {"rtl": open_card, "hls": open_hls_card}
    if options.target not in cards:
        raise ConfigError(
            f"The demo's target is {options.target!r}.",
            allowed=f"{', '.join(cards)}.",
            do="Choose one of these; embnic selftest checks the others.",
        )
    return cards[options.target](options.config)


def _attach(tables: list[Table], card: Any, options: DemoOptions) -> CardBackend:
    attach = attach_hls if options.target == "hls" else attach_rtl
    return attach(tables, card, config=options.config, mtu=options.mtu)


def _send(
    engine: Engine, trace: Trace, before: Mapping[str, int], progress: Progress
) -> tuple[NDArray[np.float32], list[dict[str, int]]]:
    pooled = np.empty((len(trace), engine.tables["demo"].dim), dtype=np.float32)
    batches: list[dict[str, int]] = []
    last = before
    for start in range(0, len(trace), BATCH_BAGS):
        stop = min(start + BATCH_BAGS, len(trace))
        engine.lookup(trace.bags("demo", start, stop), {"demo": pooled[start:stop]})
        now = dict(engine.stats().card)
        batches.append(_difference(now, last))
        last = now
        progress(stop, len(trace), "bags through the card")
    return pooled, batches


def _difference(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: value - before.get(name, 0) for name, value in after.items()}


def overlap(
    table: Table, config: CoreConfig, probe: NDArray[np.uint32], start: int
) -> Overlap | None:
    """Return what memory and pool did at the same time; None when not all bursts of the table's rows
    are equally long.
    """
    beats = burst_beats(table, config)
    if beats is None:
        return None
    return Overlap.of(probe, start=start, burst_beats=beats, window=PROBE_CYCLES)


def burst_beats(table: Table, config: CoreConfig) -> int | None:
    """Return the beats of each read burst for rows of `table`; None when they differ.

    >>> item = Table("item", rows=1, dim=64, pooling="sum")
    >>> burst_beats(item, CONFIGS["line100"]), burst_beats(item, CONFIGS["tiny"])
    (4, 2)
    """
    most = config.max_burst * config.data_w // 8
    found = {
        min(most, line - at)
        for line in _cut(table.stride_bytes, config.line_bytes)
        for at in range(0, line, most)
    }
    return found.pop() * 8 // config.data_w if len(found) == 1 else None


def _cut(nbytes: int, part: int) -> list[int]:
    return [min(part, nbytes - at) for at in range(0, nbytes, part)]


def run_formats(
    trace: Trace, weights: NDArray[np.float32], options: DemoOptions, progress: Progress
) -> list[FormatRun]:
    """Pool the bags of `trace` from a table of each stored format on one card, from an empty cache,
    and compare them with the reference.
    """
    used, values = np.unique(trace.values, return_inverse=True)
    tables = [
        Table(
            dtype.name.lower(),
            rows=max(len(used), 1),
            dim=options.dim,
            dtype=dtype,
            pooling=options.pooling,
            fixed_scale_exp=FIXED_SCALE_EXP if dtype is DType.FIXED else None,
        )
        for dtype in FORMATS
    ]
    rows = weights[used] if len(used) else weights[:1]
    card = _open(options)
    backend = _attach(tables, card, options)
    found = []
    with Engine(tables, backend, fallback=False) as engine:
        for table in tables:
            reference = ReferenceBackend([table])
            reference.load(table.name, rows)
            engine.load(table.name, rows)
            bags = Bags.from_torch({table.name: (values, trace.offsets)}, include_last_offset=True)
            before = dict(engine.stats().card)
            pooled = engine.lookup(bags)[table.name]
            counted = _difference(dict(engine.stats().card), before)
            expected = reference.lookup(bags)[table.name]
            found.append(
                FormatRun(
                    dtype=table.name,
                    stride_bytes=table.stride_bytes,
                    bags=len(trace),
                    keys=len(values),
                    fetched_bytes=counted["fetch_beats"] * card.config.data_w // 8,
                    request_bytes=counted["rx_bytes"],
                    reply_bytes=counted["tx_bytes"],
                    mismatches=_unequal(pooled, expected),
                )
            )
            progress(len(found), len(tables), "formats")
    return found


def request_latency(
    received: NDArray[np.int64], sent: NDArray[np.int64], answers: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return cycles from each request frame's last beat to its reply's first.

    `received` and `sent` are cycles by frame, `answers[j]` the request frame that reply frame `j` belongs to, or -1.
    """
    known = answers >= 0
    first = np.full(len(received), np.iinfo(np.int64).max)
    np.minimum.at(first, answers[known], sent[known])
    answered = first < np.iinfo(np.int64).max
    found: NDArray[np.int64] = (first - received)[answered]
    return found


def check(
    table: Table,
    weights: NDArray[np.float32],
    trace: Trace,
    pooled: NDArray[np.float32],
    progress: Progress,
) -> list[Check]:
    """Compare `pooled` with the reference, and with torch when it is installed, as 32-bit patterns."""
    reference = ReferenceBackend([table])
    reference.load(table.name, weights)
    expected = np.empty_like(pooled)
    for start in range(0, len(trace), BATCH_BAGS):
        stop = min(start + BATCH_BAGS, len(trace))
        expected[start:stop] = reference.lookup(trace.bags(table.name, start, stop))[table.name]
        progress(stop, len(trace), "bags through the reference")
    checks = [
        Check(
            "embnic reference",
            len(trace),
            _unequal(pooled, expected),
            "plain loops, host/embnic/backends/reference.py",
        )
    ]
    torch_result = _torch(table, weights, trace.bags(table.name))
    if torch_result is not None:
        version, values = torch_result
        checks.append(
            Check(
                f"torch {version} EmbeddingBag", len(trace), _unequal(pooled, values), "on this CPU"
            )
        )
    else:
        checks.append(
            Check(
                "torch EmbeddingBag",
                0,
                0,
                "not run: torch is not installed (the demo never installs it)",
            )
        )
    return checks


def _unequal(one: NDArray[Any], other: NDArray[Any]) -> int:
    bits = f"u{one.dtype.itemsize}"
    return int(np.any(one.view(bits) != other.view(bits), axis=1).sum())


def _torch(
    table: Table, weights: NDArray[np.float32], bags: Bags
) -> tuple[str, NDArray[np.float32]] | None:
    try:
        import torch
    except ImportError:
        return None
    item = bags[table.name]
    with torch.no_grad():
        result = torch.nn.functional.embedding_bag(
            torch.from_numpy(item.values.copy()),
            torch.from_numpy(weights),
            torch.from_numpy(item.offsets.copy()),
            mode=table.pooling.name.lower(),
            include_last_offset=True,
        )
    return str(torch.__version__), result.numpy()


def _versions() -> dict[str, str]:
    from . import __version__

    return {"embnic": __version__, "Python": platform.python_version(), "numpy": np.__version__}
