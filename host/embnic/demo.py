# SPDX-License-Identifier: Apache-2.0
"""Send a trace through the simulated card, check every answer, and write the report."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .backends.reference import ReferenceBackend
from .backends.rtl import attach_rtl, open_card
from .bags import Bags
from .config import Table
from .engine import Engine
from .errors import ConfigError
from .framing import check_mtu
from .gen.configs import CONFIGS
from .report import Check, RunRecord, render_page, render_trace
from .traffic import Trace

__all__ = ["DemoOptions", "DemoResult", "run_demo"]

BATCH_BAGS = 128
PROBE_CYCLES = 1000
MOST_BYTES = (
    4 << 30
)  # of the demo's table: it lies in host memory twice and in the simulated card's once
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class DemoOptions:
    """How to run the trace: the card's configuration, the table, the seed of the weights, where to write."""

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
    card = open_card(options.config)
    with Engine(
        [table], attach_rtl([table], card, config=options.config, mtu=options.mtu), fallback=False
    ) as engine:
        progress(0, len(trace), "loading the table")
        engine.load("demo", weights)
        before = dict(engine.stats().card)
        card.record_probe(PROBE_CYCLES)
        card.record_frames(True)
        pooled, batches = _send(engine, trace, before, progress)
        counters = _difference(dict(engine.stats().card), before)
        probe_start, probe = card.probe()
        latency = request_latency(*card.frame_stamps())
        seconds_model = float(card.model_seconds)
        build = str(card.build_name)
    checks = check(table, weights, trace, pooled, progress)
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
        probe=probe,
        probe_start=probe_start,
        seconds_total=time.perf_counter() - started,
        seconds_model=seconds_model,
        command=options.command,
        versions=_versions(),
    )
    report, perfetto = options.out / "report.html", options.out / "trace.json"
    report.write_text(render_page(run), encoding="utf-8")
    perfetto.write_text(render_trace(run), encoding="utf-8")
    return DemoResult(run, report, perfetto)


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


def _unequal(one: NDArray[np.float32], other: NDArray[np.float32]) -> int:
    return int(np.any(one.view(np.uint32) != other.view(np.uint32), axis=1).sum())


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
