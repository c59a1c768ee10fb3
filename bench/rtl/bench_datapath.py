#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure the datapath: beats per cycle, lookups, latencies, misses, formats, traces.

    python bench/rtl/bench_datapath.py                       every row, line100; writes build/bench/datapath.json
    python bench/rtl/bench_datapath.py --only formats misses some of the parts
    python bench/rtl/bench_datapath.py edge --seed 7

Every figure is of the whole core, Ethernet frames in to Ethernet frames out, and every pooled vector
is compared with the cpu backend bit for bit; one that differs ends the program. Rates are of the
steady part of a run: without the first and last 5 % of its beats. A stall is the share of cycles,
chosen at random, in which no reply beat is taken. All of it is simulated cycles; nothing is time.

A row is marked `ok`, `SHORT` (of its target) or `--` (no target). The status is 0 when the program
could measure, short or not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rig import (
    ACCEPT,
    ADMIT,
    AR,
    BAG,
    BEAT,
    DONE,
    OP,
    REMOTE_ASK,
    REMOTE_DONE,
    REPLY,
    ROOT,
    RX,
    TX,
    R,
    Rig,
    Run,
    bags_of,
    rng_of,
)

from embnic.config import Table
from embnic.gen.configs import CONFIGS, CoreConfig
from embnic.traffic import BagLengths, Trace, read_bags, read_rows
from embnic_sim.card_models import DramModel, PeerModel

TRACES = ROOT.parent / "shared" / "traces"
BEATS = (1, 2, 4, 8, 16)  # 64-byte units of a row: its bus beats in line100
LENGTHS: tuple[int | str, ...] = (2, 20, 80, "mixed")
MIXED = (1, 2, 20, 80)  # bag lengths of "mixed", drawn with the same chance
STEADY_BEATS = 30_000  # of a run, at least
STEADY_BAGS = 128  # four times the open bags of line100
STALL = 0.25  # of reply cycles, where the reply is not the limit
FORMATS = ("fp32", "fp16", "bf16", "int8", "int4", "fixed")
LINE_GBPS = 100.0
WIRE_OVERHEAD = 24  # bytes of preamble, frame check sequence and gap, as the harness counts them
EXEC_TO_BEAT = 3  # cycles from evt_exec_beat to beat_valid in embnic_cache_exec


@dataclass(frozen=True)
class Row:
    """One line of the table: `at_least` says in which direction the target is met."""

    part: str
    name: str
    figure: float
    unit: str
    target: float | None = None
    at_least: bool = True
    note: str = ""
    compared: int = 0  # bags

    @property
    def mark(self) -> str:
        """Return whether the target is met."""
        if self.target is None:
            return "--"
        met = self.figure >= self.target if self.at_least else self.figure <= self.target
        return "ok" if met else "SHORT"

    def __str__(self) -> str:
        """Return the line as it is printed."""
        target = ""
        if self.target is not None:
            target = f"{'>=' if self.at_least else '<='} {self.target:.4g}"
        figure = f"{self.figure:,.3f}" if self.figure < 100 else f"{self.figure:,.1f}"
        return f"{self.mark:5} {self.name:<58} {figure:>9} {self.unit:<16} {target:<9} {self.note}"


@dataclass(frozen=True)
class Bench:
    """What every part needs."""

    config: CoreConfig
    seed: int

    def rig(self, tables: list[Table], **options: object) -> Rig:
        """Return a rig of this configuration."""
        return Rig(tables, config=self.config.name, seed=self.seed, **options)  # type: ignore[arg-type]

    @property
    def beats(self) -> list[int]:
        """Return the row sizes of which a quarter of the cache holds four tables."""
        return [
            beats
            for beats in BEATS
            if beats <= self.config.max_vec64
            and -(-beats * 64 // self.config.line_bytes) <= self.lines // 16
        ]

    @property
    def unit_beats(self) -> int:
        """Return the bus beats of 64 bytes."""
        return 512 // self.config.data_w

    @property
    def lines(self) -> int:
        """Return how many lines the cache has."""
        return self.config.ways * self.config.sets

    def hot_tables(self, shapes: list[dict[str, object]], *, share: int = 4) -> list[Table]:
        """Return a table for each shape, all together 1 / `share` of the cache: every row hits."""
        tables = []
        for at, shape in enumerate(shapes):
            one = Table(f"t{at}", rows=1, **shape)  # type: ignore[arg-type]
            lines = -(-one.stride_bytes // self.config.line_bytes)
            rows = max(self.lines // share // len(shapes) // lines, 1)
            tables.append(Table(f"t{at}", rows=rows, **shape))  # type: ignore[arg-type]
        return tables


def lengths_of(rng: np.random.Generator, length: int | str, bags: int) -> NDArray[np.int64]:
    """Return the lengths of `bags` bags."""
    if isinstance(length, str):
        return rng.choice(np.array(MIXED), bags)
    return np.full(bags, length)


def hits(
    rig: Rig,
    rng: np.random.Generator,
    length: int | str,
    *,
    beats: int,
    stall: float,
    least: int = STEADY_BEATS,
) -> Run:
    """Run bags over all tables of a rig whose rows are in the cache: `least` beats or more, with
    `beats` of a row on average.
    """
    mean = float(np.mean(MIXED)) if isinstance(length, str) else float(length)
    bags = max(int(least / (mean * beats)), STEADY_BAGS) // len(rig.tables) + 1
    parts = {}
    for name, table in rig.tables.items():
        lengths = lengths_of(rng, length, bags)
        parts[name] = bags_of(rng.integers(0, table.rows, int(lengths.sum())), lengths)
    run = rig.run(parts, stall=stall)
    if run.counters["row_misses"]:
        raise RuntimeError(f"{run.counters['row_misses']} rows missed in a stream of hits")
    return run


def part_hits(bench: Bench) -> Iterator[Row]:
    """Rows of 1 to 16 beats, bags of two keys and more, random back-pressure on replies."""
    for beats in bench.beats:
        tables = bench.hot_tables([{"dim": beats * 16, "pooling": "sum"}] * 4)
        for length in LENGTHS:
            rng = rng_of(bench.seed, "hits", beats, length)
            with bench.rig(tables) as rig:
                rig.load(rng)
                rig.warm()
                run = hits(rig, rng, length, beats=beats, stall=STALL)
            name = f"hits, rows of {beats * 64} bytes, bags of {length}"
            yield rate_row("hits", name, run)
            if beats == 1 and length != "mixed":
                yield lookups_row(bench, f"bags of {length}, MTU 1,500", run.pool_rate, run)
    shapes = [
        {"dim": beats * 16, "pooling": pooling}
        for beats in bench.beats
        for pooling in ("sum", "mean", "max")
    ]
    rng = rng_of(bench.seed, "hits", "mixed")
    # Many small tables share sets (the index is a plain xor fold): few rows, so that all of them fit.
    with bench.rig(bench.hot_tables(shapes, share=32)) as rig:
        rig.load(rng)
        rig.warm()
        run = hits(rig, rng, "mixed", beats=4, stall=STALL)
    yield rate_row("hits", "hits, rows of all sizes, sum, mean, max, bags mixed", run)


def rate_row(part: str, name: str, run: Run, target: float | None = 0.98) -> Row:
    """Return vector beats per cycle at the pool."""
    return Row(
        part, name, run.pool_rate, "beats/cycle", target, note=run.waits(), compared=run.compared
    )


def lookups_row(bench: Bench, what: str, rate: float, run: Run, target: float = 240.0) -> Row:
    """Return lookups per second of 64-byte rows, if the core were clocked as its configuration says."""
    clock = bench.config.clock_mhz
    return Row(
        "hits",
        f"lookups of 64 bytes at {clock:g} MHz, if clocked so: {what}",
        rate * clock / bench.unit_beats,
        "M/s",
        target if bench.config.name == "line100" else None,
        note="simulated cycles x clock",
        compared=run.compared,
    )


def part_single(bench: Bench) -> Iterator[Row]:
    """Bags of one key: as many reply beats as row beats, so the reply is the limit.

    Measured at the reply, as the pool runs ahead of it until the reply buffer is full. Requests ask
    for whole reply frames, and for at most an eighth of the reply buffer: two whole replies fit it.
    """
    unit_beats = bench.unit_beats
    for mtu, gbps in ((1500, 0.0), (9000, 0.0), (1500, LINE_GBPS)):
        for beats in bench.beats if not gbps else (1,):
            tables = bench.hot_tables([{"dim": beats * 16, "pooling": "sum"}] * 4)
            rng = rng_of(bench.seed, "single", beats, mtu)
            payload = max((mtu - 54) // 64 // beats, 1) * beats  # whole vectors, of 64 bytes
            small = min(bench.config.rsp_beats // unit_beats // 8, (mtu - 60) // 8 * beats)
            small = max(small // payload, 1) * payload
            with bench.rig(tables, mtu=mtu, frame_vec64=small) as rig:
                rig.load(rng)
                rig.warm()
                rig.card.set_line_rate(gbps)
                run = hits(rig, rng, 1, beats=beats, stall=0.0, least=2 * STEADY_BEATS)
            rate, clock = run.reply_rate(unit_beats + 1), bench.config.clock_mhz
            if gbps:
                line = (payload + 1) * 64 + 4 + WIRE_OVERHEAD
                most = payload / beats * gbps * 1e3 / 8 / line  # millions a second
                yield Row(
                    "single",
                    f"lookups at {gbps:g} Gb/s, bags of 1, MTU {mtu:,}, {clock:g} MHz",
                    rate * clock / unit_beats,
                    "M/s",
                    0.98 * most,
                    note=f"limit of the line {most:.1f}; bus taken {run.rate(TX):.3f}",
                    compared=run.compared,
                )
                continue
            wire = payload / (payload + 1 + 1 / unit_beats)
            yield Row(
                "single",
                f"hits, rows of {beats * 64} bytes, bags of 1, MTU {mtu:,}",
                rate,
                "beats/cycle",
                0.98 * payload / (payload + 1),
                note=f"limit {wire:.3f} with the beat of the CRC; bus taken {run.rate(TX):.3f}",
                compared=run.compared,
            )
            if beats == 1:
                yield lookups_row(
                    bench, f"bags of 1, MTU {mtu:,}", rate, run, 234.0 if mtu == 1500 else 240.0
                )


def part_latency(bench: Bench) -> Iterator[Row]:
    """One request of one bag of one key, hit, on a card at rest."""
    cache = {"none": 10.0, "sum": 24.0, "max": 24.0, "mean": 52.0}
    frame = {"sum": 48.0, "mean": 76.0}
    for dim in (16, 64):
        for pooling in cache:
            table = Table("t0", rows=64, dim=dim, pooling=pooling)
            rng = rng_of(bench.seed, "latency", dim, pooling)
            with bench.rig([table]) as rig:
                rig.load(rng)
                rig.warm()
                runs = [rig.run({"t0": bags_of(np.array([row]), [1])}) for row in range(8)]
            beats = table.vec64 * bench.unit_beats
            key = [key_latency(run, rows=pooling == "none", beats=beats) for run in runs]
            yield Row(
                "latency",
                f"key into the cache to first beat, dim {dim}, {pooling}",
                max(key),
                "cycles",
                cache[pooling],
                at_least=False,
                note="to the cache's output" if pooling == "none" else "to the reply buffer",
                compared=len(runs),
            )
            worst = max(runs, key=frame_latency)
            yield Row(
                "latency",
                f"last beat of a frame in to first reply beat, dim {dim}, {pooling}",
                frame_latency(worst),
                "cycles",
                frame.get(pooling),
                at_least=False,
                note=stages(worst),
                compared=len(runs),
            )


def key_latency(run: Run, *, rows: bool, beats: int) -> int:
    """Return cycles from the operation to its first of `beats` out of the cache (rows) or the pool."""
    begin = int(run.at(OP)[0])
    if rows:
        return int(run.at(BEAT)[0]) + EXEC_TO_BEAT - begin
    return int(run.at(DONE)[0]) - (beats - 1) - begin  # the bag's last beat says done


def frame_latency(run: Run) -> int:
    """Return cycles from the last beat in to the first beat out."""
    return int(run.at(TX)[0]) - int(run.at(RX)[-1])


def stages(run: Run) -> str:
    """Return the cycles of each stage on the way."""
    marks = [
        ("rx", int(run.at(ACCEPT)[0])),
        ("admit", int(run.at(ADMIT)[0])),
        ("bag", int(run.at(BAG)[0])),
        ("issue", int(run.at(OP)[0])),
        ("cache", int(run.at(BEAT)[0]) + EXEC_TO_BEAT),
        ("unpack, pool", int(run.at(DONE)[0])),
        ("reply", int(run.at(REPLY)[0])),
        ("tx", int(run.at(TX)[0])),
    ]
    at = int(run.at(RX)[-1])
    parts = []
    for name, cycle in marks:
        parts.append(f"{name} {cycle - at}")
        at = cycle
    return ", ".join(parts)


def part_misses(bench: Bench) -> Iterator[Row]:
    """Rows that are read once, against what the same DRAM model gives the same addresses."""
    dram = DramModel(bytes_per_cycle=bench.config.data_w // 8)
    for dim, count, target in ((64, 16_000, 0.9), (16, 48_000, 0.85)):
        table = Table("t0", rows=count, dim=dim, pooling="sum")
        rng = rng_of(bench.seed, "misses", dim)
        rows = rng.permutation(count)
        with bench.rig([table], dram=dram) as rig:
            rig.load(rng)
            run = rig.run({"t0": bags_of(rows, [20] * (count // 20))}, stall=STALL)
            most = rig.card.stats().most_outstanding
            addresses = rig.address("t0", rows)
        if run.counters["row_hits"]:
            raise RuntimeError(f"{run.counters['row_hits']} rows hit in a stream of misses")
        limit = dram_limit(bench, dram, addresses, table.stride_bytes)
        yield Row(
            "misses",
            f"random misses of {table.stride_bytes}-byte rows: share of the model's limit",
            run.rate(R) / limit,
            "",
            target,
            note=f"{run.rate(R):.3f} of {limit:.3f} beats/cycle, at most {most} outstanding; "
            f"{run.waits()}",
            compared=run.compared,
        )


def dram_limit(bench: Bench, dram: DramModel, addresses: NDArray[np.uint64], nbytes: int) -> float:
    """Return the beats per cycle that the model delivers with all fetches outstanding, all the time."""
    out = ROOT / "build" / "bench" / "dram_limit"
    source = Path(__file__).with_name("dram_limit.cpp")
    harness = ROOT / "sim" / "embnic_sim" / "harness"
    out.parent.mkdir(parents=True, exist_ok=True)
    compiler = ["g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{harness}"]
    subprocess.run([*compiler, str(source), "-o", str(out)], check=True)
    beat = bench.config.data_w // 8
    numbers = [nbytes // beat, bench.config.fetches, beat]
    numbers += [getattr(dram, field.name) for field in fields(dram)]
    done = subprocess.run(
        [str(out), *map(str, numbers)],
        input=addresses.astype("<u8").tobytes(),
        capture_output=True,
        check=True,
    )
    beats, cycles = (int(word) for word in done.stdout.split())
    return beats / cycles


def part_overlap(bench: Bench) -> Iterator[Row]:
    """Hits while misses wait: memory takes 8,000 cycles, and as many misses come as it can hold.

    A bag of misses takes all places of its slot; in the time of memory they come once round. The
    latency is long so that the beats of the misses themselves take a small part of the pool, and
    shorter than what a window of requests keeps the pool busy with, so that replies, which leave in
    the order of requests, are not the limit.
    """
    latency, dim, length, offered = 8_000, 64, 20, 0.97
    hot = bench.lines // 16
    misses = bench.config.fetches  # in `latency` cycles
    places = bench.config.opq_depth // bench.config.slots
    row_beats = dim * 32 // bench.config.data_w
    hit_bags = round((latency / offered / row_beats - misses) / length)
    period = interleaved(np.full(hit_bags, 0), np.full(misses // places, 1))
    kinds = np.tile(period, 12)
    lengths = np.where(kinds == 1, places, length)
    cold = int(lengths[kinds == 1].sum())
    table = Table("t0", rows=hot + cold, dim=dim, pooling="sum")
    rng = rng_of(bench.seed, "overlap")
    dram = DramModel(
        base_latency=latency, hit_latency=0, miss_latency=0, bank_busy=0, refresh_period=0,
        reorder_window=256, jitter=0,
    )  # fmt: skip
    owner = np.repeat(kinds, lengths)
    values = np.where(owner == 1, 0, rng.integers(0, hot, len(owner)))
    values[owner == 1] = hot + rng.permutation(cold)
    with bench.rig([table], dram=dram) as rig:
        rig.load(rng)
        every = bags_of(np.arange(hot), [1] * hot)
        rig.run({"t0": every})
        alone = rig.run({"t0": bags_of(values[owner == 0], lengths[kinds == 0])}, stall=STALL)
        both = rig.run({"t0": bags_of(values, lengths)}, stall=STALL)
    times = both.at(BEAT)
    edge = len(times) // 6
    first, last = int(times[edge]), int(times[-edge])
    pooled = (len(times) - 2 * edge) / (last - first)
    hit = pooled * both.counters["row_hits"] / (cold + both.counters["row_hits"])
    flying = outstanding(both, row_beats)[first:last]
    yield Row(
        "overlap",
        "hits while misses are outstanding, share of the hit-only rate",
        hit / alone.pool_rate,
        "",
        0.9,
        note=f"hits {hit:.3f} and misses {pooled - hit:.3f} of {pooled:.3f} beats/cycle, hit-only "
        f"{alone.pool_rate:.3f}; {flying.mean():.0f} of {misses} fetches outstanding on average; "
        f"{both.counters['row_misses'] - cold} hot rows missed; {both.waits()}",
        compared=alone.compared + both.compared,
    )


def part_remote(bench: Bench) -> Iterator[Row]:
    """Rows of other cards, read once, beside hits and beside misses of card memory.

    As many remote rows are offered as the places of their slots hold in the owners' latency; the rest of the pool's
    cycles are for local rows of another table. Replies leave in the order of requests, so both together must fit what
    a window of requests holds.
    """
    if not bench.config.remote_fetches:
        return
    places = bench.config.remote_fetches
    for kind, latency, dim in (("hits", (8000, 8000), 64), ("misses", (8000, 8000), 64)):
        periods, row_beats = 8, dim * 32 // bench.config.data_w
        local = round((latency[1] - places) / row_beats) * periods // 20
        hot = bench.lines // 16 if kind == "hits" else 20 * local
        tables = [
            Table("local", rows=hot, dim=dim, pooling="sum"),
            Table("remote", rows=places * periods, dim=16, pooling="sum", owner=1),
        ]
        rng = rng_of(bench.seed, "remote", kind)
        rows = rng.integers(0, hot, 20 * local) if kind == "hits" else rng.permutation(hot)
        locals_ = bags_of(rows, [20] * local)
        remotes = bags_of(rng.permutation(places * periods), [20] * (places * periods // 20))
        with bench.rig(tables, peer=PeerModel(*latency)) as rig:
            rig.load(rng)
            if kind == "hits":
                rig.run({"local": bags_of(np.arange(hot), [1] * hot)})
            alone = rig.run({"local": locals_}, stall=STALL)
            rig.empty()
            if kind == "hits":
                rig.run({"local": bags_of(np.arange(hot), [1] * hot)})
            both = rig.run({"local": locals_, "remote": remotes}, stall=STALL)
        flying = remote_outstanding(both)
        busy = flying >= 1024
        beats = (both.probe >> np.uint32(BEAT) & np.uint32(1)).astype(bool)
        pooled = float(beats[busy].mean()) if busy.any() else 0.0
        remote_rate = float(
            (both.probe >> np.uint32(REMOTE_DONE) & np.uint32(1))[busy].mean() if busy.any() else 0
        )
        yield Row(
            "remote",
            f"local {kind} while >= 1,024 remote lines are outstanding",
            (pooled - remote_rate) / (alone.pool_rate - remote_rate),
            "",
            0.9,
            note=f"share of what the remote rows leave of {alone.pool_rate:.3f} beats/cycle; remote {remote_rate:.3f}; "
            f"in {busy.mean():.0%} of the cycles, at most {flying.max()}; {both.waits()}",
            compared=alone.compared + both.compared,
        )
    for name, latency in (("2,000 cycles", (2000, 2000)), ("500 to 2,000 cycles", (500, 2000))):
        count = 16 * places
        rng = rng_of(bench.seed, "remote", name)
        with bench.rig(
            [Table("remote", rows=count, dim=16, pooling="sum", owner=1)], peer=PeerModel(*latency)
        ) as rig:
            rig.load(rng)
            run = rig.run({"remote": bags_of(rng.permutation(count), [20] * (count // 20))})
        flying = remote_outstanding(run)
        asked = np.flatnonzero(run.probe >> np.uint32(REMOTE_ASK) & np.uint32(1))
        steady = flying[asked[len(asked) // 8] : asked[-1]]
        yield Row(
            "remote",
            f"remote lines outstanding, owners at {name}",
            float(steady.mean()),
            "lines",
            1024.0 if latency[0] == latency[1] else None,
            note=f"at most {flying.max()}; {run.rate(REMOTE_DONE):.3f} lines/cycle; {run.waits()}",
            compared=run.compared,
        )


def remote_outstanding(run: Run) -> NDArray[np.int64]:
    """Return how many lines were asked of other cards and not here, by cycle."""
    asked = np.cumsum(run.probe >> np.uint32(REMOTE_ASK) & np.uint32(1), dtype=np.int64)
    return asked - np.cumsum(run.probe >> np.uint32(REMOTE_DONE) & np.uint32(1), dtype=np.int64)


def interleaved(many: NDArray[np.int64], few: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `many` with `few` spread evenly among them."""
    at = (np.arange(len(few)) * len(many)) // max(len(few), 1)
    return np.insert(many, at, few)


def outstanding(run: Run, beats: int) -> NDArray[np.int64]:
    """Return how many lines of `beats` beats were asked of memory and not here, by cycle."""
    asked = np.cumsum(run.probe >> np.uint32(AR) & np.uint32(1), dtype=np.int64)
    came = np.cumsum(run.probe >> np.uint32(R) & np.uint32(1), dtype=np.int64)
    return asked - came // beats


def shape_of(dtype: str, dim: int) -> dict[str, object]:
    """Return a table's shape; `fixed` has a scale."""
    shape: dict[str, object] = {"dim": dim, "dtype": dtype, "pooling": "sum"}
    return shape | ({"fixed_scale_exp": -16} if dtype == "fixed" else {})


def part_formats(bench: Bench) -> Iterator[Row]:
    """Every stored format at 16 elements a cycle, and all of them together."""
    for dim in (64, 128):
        for dtype in FORMATS:
            rng = rng_of(bench.seed, "formats", dim, dtype)
            with bench.rig(bench.hot_tables([shape_of(dtype, dim)] * 2)) as rig:
                rig.load(rng)
                rig.warm()
                run = hits(rig, rng, 20, beats=dim // 16, stall=STALL)
            yield rate_row("formats", f"hits, {dtype}, dim {dim}, bags of 20", run)
    for dim in (64, 128):
        rng = rng_of(bench.seed, "formats", dim, "mixed")
        with bench.rig(
            bench.hot_tables([shape_of(dtype, dim) for dtype in FORMATS], share=8)
        ) as rig:
            rig.load(rng)
            rig.warm()
            run = hits(rig, rng, 20, beats=dim // 16, stall=STALL)
        yield rate_row(
            "formats", f"hits, all formats by turns, dim {dim}, bags of 20", run, target=None
        )


def part_traces(bench: Bench) -> Iterator[Row]:
    """Public traces, from an empty cache."""
    found = (
        ("gowalla_bags.txt", lambda path: read_bags(path).head(5000), None),
        (
            "meta_t500k_reuse_medium.txt",
            lambda path: read_rows(path, BagLengths("poisson", 15.8), seed=1),
            0.662,
        ),
    )
    for name, read, target in found:
        path = TRACES / name
        if not path.is_file():
            print(f"      {name} is left out: it is not in {TRACES.parent.name}/{TRACES.name}")
            continue
        yield from trace_rows(bench, name, read(path), target)


def trace_rows(bench: Bench, name: str, trace: Trace, target: float | None) -> Iterator[Row]:
    """Return the hit rate and the beats per busy cycle of a trace, dim 64 fp32."""
    with bench.rig([Table("t0", rows=trace.rows, dim=64, pooling="sum")]) as rig:
        rig.load(rng_of(bench.seed, "trace", name))
        run = rig.run({"t0": (trace.values, trace.offsets)}, stall=STALL)
    full = bench.lines == 4096 and bench.config.line_bytes == 256
    yield Row(
        "traces",
        f"{name}: rows hit, {bench.lines:,} lines of {bench.config.line_bytes} B",
        run.hit_share,
        "",
        target if full else None,
        note=f"{len(trace.values):,} lookups in {len(trace):,} bags, {bench.config.ways} ways",
        compared=run.compared,
    )
    yield Row(
        "traces",
        f"{name}: row beats per busy cycle",
        run.busy_rate,
        "beats/cycle",
        note=run.waits(),
        compared=run.compared,
    )


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "hits": part_hits,
    "single": part_single,
    "latency": part_latency,
    "misses": part_misses,
    "overlap": part_overlap,
    "remote": part_remote,
    "formats": part_formats,
    "traces": part_traces,
}


def main() -> int:
    """Measure, print a line a figure, write them as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config", nargs="?", default="line100", choices=list(CONFIGS))
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench" / "datapath.json")
    given = parser.parse_args()
    bench = Bench(CONFIGS[given.config], given.seed)
    print(f"{given.config}, seed {given.seed}; simulated cycles, Ethernet frames in to frames out")
    rows = []
    for part in given.only:
        for row in PARTS[part](bench):
            rows.append(row)
            print(row, flush=True)
    short = [row for row in rows if row.mark == "SHORT"]
    compared = sum(row.compared for row in rows)
    print(f"{len(rows)} figures, {len(short)} short of their target; {compared:,} bags bit-equal")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    found = {
        "config": given.config,
        "seed": given.seed,
        "rows": [asdict(row) | {"mark": row.mark} for row in rows],
    }
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
