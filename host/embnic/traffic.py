# SPDX-License-Identifier: Apache-2.0
"""Embedding traffic: readers for trace files and a seeded generator.

A :class:`Trace` is a list of bags of row ids of one table. Three file formats are read here:

``bags``
    one bag per line: a label (a user, a sample), then the row ids of its bag. A label alone is an empty
    bag. This is the layout of the NGCF / LightGCN data sets.
``rows``
    one row id per line in arrival order, no bag boundaries. The bags are cut by a length distribution
    that the caller names; the cut is seeded and stated in :attr:`Trace.description`.
``capture``
    a recording of a model (``embnic.capture``, ``docs/capture.md``): the bags of one of its tables. Known by its
    first bytes. Per-sample weights are not part of a trace.

The generator draws ids from heavy hitters plus a Zipf–Mandelbrot tail ``(rank + q) ** -s`` (the description
FBGEMM's embedding estimator uses) and adds temporal reuse: a draw repeats an id seen a short while ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .bags import Bags
from .capture_file import is_capture, read_capture
from .errors import ConfigError

__all__ = [
    "BagLengths",
    "Trace",
    "TrafficSpec",
    "generate",
    "read_bags",
    "read_recording",
    "read_rows",
    "read_trace",
]

FORMATS = ("bags", "rows", "capture")
MAX_ROW = (1 << 48) - 2  # the all-ones row is the null key


@dataclass(frozen=True)
class BagLengths:
    """A distribution of bag lengths.

    ``kind`` is ``fixed`` (always ``mean``), ``uniform`` (1 to ``2 * mean - 1``), ``poisson`` or ``geometric``
    (long-tailed, at least 1); ``empty`` is the share of bags that hold nothing.

    >>> BagLengths.parse("poisson:15.8")
    BagLengths(kind='poisson', mean=15.8, empty=0.0)
    """

    kind: str = "poisson"
    mean: float = 16.0
    empty: float = 0.0

    KINDS = ("fixed", "uniform", "poisson", "geometric")

    def __post_init__(self) -> None:
        if self.kind not in self.KINDS:
            raise ConfigError(
                f"The bag length distribution is {self.kind!r}.",
                allowed=f"{', '.join(self.KINDS)}.",
                do="Write kind:mean, for example poisson:15.8.",
            )
        if not 1.0 <= self.mean <= 65535.0:
            raise ConfigError(
                f"The mean bag length is {self.mean}.",
                allowed="1 to 65,535.",
                do="Choose a mean in that range.",
            )
        if not 0.0 <= self.empty < 1.0:
            raise ConfigError(
                f"The share of empty bags is {self.empty}.",
                allowed="0 to below 1.",
                do="Give a share, such as 0.05.",
            )

    @classmethod
    def parse(cls, text: str) -> BagLengths:
        """Read ``kind:mean``, for example ``geometric:16``."""
        kind, _, mean = text.partition(":")
        try:
            return cls(kind, float(mean) if mean else 16.0)
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(
                f"The bag lengths are {text!r}.",
                allowed="kind:mean with a number as mean.",
                do="Write, for example, poisson:15.8.",
            ) from None

    def draw(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw ``count`` lengths."""
        if self.kind == "fixed":
            lengths = np.full(count, round(self.mean), dtype=np.int64)
        elif self.kind == "uniform":
            lengths = rng.integers(1, max(2, int(2 * self.mean)), count, dtype=np.int64)
        elif self.kind == "poisson":
            lengths = np.maximum(1, rng.poisson(self.mean, count)).astype(np.int64)
        else:
            lengths = rng.geometric(1.0 / self.mean, count).astype(np.int64)
        if self.empty:
            lengths[rng.random(count) < self.empty] = 0
        return lengths


@dataclass(frozen=True)
class Trace:
    """Bags of row ids of one table, in arrival order.

    ``values`` are int64 ``[L]``, ``offsets`` int64 ``[B + 1]``; ``rows`` is the number of rows the table needs.
    """

    name: str
    values: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    rows: int
    description: str

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def bags(self, table: str, start: int = 0, stop: int | None = None) -> Bags:
        """Return bags ``start`` to ``stop`` as a lookup of ``table``."""
        stop = len(self) if stop is None else min(stop, len(self))
        offsets = self.offsets[start : stop + 1]
        values = self.values[offsets[0] : offsets[-1]]
        return Bags.from_torch(
            {table: (values, offsets - offsets[0], None)}, include_last_offset=True
        )

    def head(self, bags: int) -> Trace:
        """Return the first ``bags`` bags; the description says so."""
        if bags < 1:
            raise ConfigError(
                f"{bags} bags are asked for.", allowed="at least one.", do="Give a positive number."
            )
        if bags >= len(self):
            return self
        offsets = self.offsets[: bags + 1]
        description = f"{self.description}; the first {bags:,} bags"
        return Trace(self.name, self.values[: offsets[-1]], offsets, self.rows, description)


@dataclass(frozen=True)
class TrafficSpec:
    """What :func:`generate` draws: see the module text for the meaning of each field."""

    bags: int = 8192
    rows: int = 100_000
    lengths: BagLengths = BagLengths()
    hitters: tuple[float, ...] = (0.02, 0.01, 0.01, 0.005, 0.005)
    zipf_q: float = 10.0
    zipf_s: float = 1.05
    reuse: float = 0.3
    reuse_window: int = 2048

    def __post_init__(self) -> None:
        if self.bags < 1 or self.rows < 1:
            raise ConfigError(
                f"The trace has {self.bags} bags over {self.rows} rows.",
                allowed="at least one of each.",
                do="Give both as positive numbers.",
            )
        if self.rows > MAX_ROW:
            raise ConfigError(
                f"The table has {self.rows} rows.",
                allowed=f"up to {MAX_ROW}.",
                do="Use fewer rows.",
            )
        if sum(self.hitters) > 1.0 or any(p < 0 for p in self.hitters):
            raise ConfigError(
                f"The heavy hitters' shares are {self.hitters}.",
                allowed="shares of at least 0 that sum to at most 1.",
                do="Correct the shares.",
            )
        if len(self.hitters) > self.rows:
            raise ConfigError(
                f"There are {len(self.hitters)} heavy hitters and {self.rows} rows.",
                allowed="at least as many rows as heavy hitters.",
                do="Give hitters=() or more rows.",
            )
        if not 0.0 <= self.reuse < 1.0:
            raise ConfigError(
                f"The share of reuse is {self.reuse}.", allowed="0 to below 1.", do="Give a share."
            )
        if self.reuse_window < 1:
            raise ConfigError(
                f"The reuse window is {self.reuse_window}.",
                allowed="at least 1 lookup.",
                do="Give a larger window.",
            )


def generate(spec: TrafficSpec | None = None, *, seed: int = 1) -> Trace:
    """Generate a seeded trace: the same ``spec`` and ``seed`` give the same ids on every machine.

    >>> trace = generate(TrafficSpec(bags=3, rows=10, lengths=BagLengths("fixed", 2)), seed=7)
    >>> len(trace), trace.offsets.tolist()
    (3, [0, 2, 4, 6])
    """
    spec = spec or TrafficSpec()
    rng = np.random.default_rng(seed)
    lengths = spec.lengths.draw(spec.bags, rng)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    total = int(offsets[-1])

    ranks = _draw_ranks(spec, total, rng)
    # Popular rows are scattered over the table, as hashed ids are.
    values = rng.permutation(spec.rows)[ranks].astype(np.int64)
    values = _repeat_recent(values, spec, rng)
    description = (
        f"generated, seed {seed}: {spec.bags:,} bags, lengths {spec.lengths.kind} with mean "
        f"{spec.lengths.mean:g}, {spec.rows:,} rows, {len(spec.hitters)} heavy hitters, "
        f"Zipf (rank + {spec.zipf_q:g})^-{spec.zipf_s:g}, {spec.reuse:.0%} of draws repeat one of the last "
        f"{spec.reuse_window:,}"
    )
    return Trace("generated", values, offsets, spec.rows, description)


def _draw_ranks(spec: TrafficSpec, total: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    hitters = np.asarray(spec.hitters, dtype=np.float64)
    tail = np.arange(spec.rows - len(hitters), dtype=np.float64)
    weights = (tail + 1.0 + spec.zipf_q) ** -spec.zipf_s
    if len(weights):
        weights *= (1.0 - hitters.sum()) / weights.sum()
    cumulative = np.cumsum(np.concatenate((hitters, weights)))
    ranks = np.searchsorted(cumulative, rng.random(total) * cumulative[-1], side="right")
    capped: npt.NDArray[np.int64] = np.minimum(ranks, spec.rows - 1).astype(np.int64)
    return capped


def _repeat_recent(
    values: npt.NDArray[np.int64], spec: TrafficSpec, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Let a share of the draws copy the value of a recent position (log-uniform distance)."""
    position = np.arange(len(values), dtype=np.int64)
    distance = np.exp(rng.random(len(values)) * np.log(spec.reuse_window)).astype(np.int64)
    copies = (rng.random(len(values)) < spec.reuse) & (distance <= position)
    source = np.where(copies, position - np.maximum(distance, 1), position)
    source = np.maximum(source, 0)
    while True:  # a copy of a copy: follow the chain to the draw it came from
        further = source[source]
        if np.array_equal(further, source):
            break
        source = further
    repeated: npt.NDArray[np.int64] = values[source]
    return repeated


def read_trace(
    path: str | Path,
    *,
    format: str | None = None,
    lengths: BagLengths | None = None,
    seed: int = 1,
    table: str | None = None,
) -> Trace:
    """Read a trace file of one of the formats of the module text; without `format` a recording or `bags`.

    `table` chooses a table of a recording; without it, the one with the most lookups.
    """
    if format is None:
        format = "capture" if is_capture(path) else "bags"
    if format not in FORMATS:
        raise ConfigError(
            f"The trace format is {format!r}.",
            allowed=f"{', '.join(FORMATS)}.",
            do="Give --format bags for a bag per line, rows for a row id per line, capture for a recording.",
        )
    if format == "capture":
        return read_recording(path, table)
    if table is not None:
        raise ConfigError(
            f"A table, {table!r}, is named for a trace of the format {format!r}.",
            allowed="a table of a recording.",
            do="Leave the table out.",
        )
    if format == "bags":
        return read_bags(path)
    return read_rows(path, lengths or BagLengths("poisson", 15.8), seed=seed)


def read_recording(path: str | Path, table: str | None = None) -> Trace:
    """Read the bags of one table of a recording; without `table`, of the one with the most lookups."""
    path = Path(path)
    capture = read_capture(path)
    name = capture.busiest() if table is None else table
    bags = capture.table(name)
    if not len(bags):
        raise ConfigError(
            f"Trace {path} has no bags of the table {name!r}.",
            allowed="a table that was looked up.",
            do="Name another table.",
        )
    header = capture.header
    how = f"{path.name}: table {name!r} of {len(capture.tables)} recorded"
    if header.salted:
        how += ", ids salted"
    if header.sample < 1:
        how += f", {header.sample:.3g} of its batches"
    return _trace(path, bags.values, bags.lengths, how)


def read_bags(path: str | Path) -> Trace:
    """Read a file with one bag per line: a label, then row ids."""
    path = Path(path)
    lengths: list[int] = []
    ids: list[int] = []
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split()
        if not fields:
            raise _malformed(
                path, number, line, "a label, then row ids (an empty bag is a label alone)"
            )
        ids += [_row_id(path, number, field) for field in fields[1:]]
        lengths.append(len(fields) - 1)
    if not lengths:
        raise ConfigError(
            f"Trace {path} is empty.",
            allowed="one bag per line: a label, then row ids.",
            do="Give a file with at least one line.",
        )
    return _trace(path, ids, lengths, f"{path.name}: a bag per line")


def read_rows(path: str | Path, lengths: BagLengths, *, seed: int = 1) -> Trace:
    """Read a file with one row id per line and cut it into bags drawn from ``lengths``."""
    path = Path(path)
    ids: list[int] = []
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split()
        if len(fields) != 1:
            raise _malformed(path, number, line, "exactly one row id on each line")
        ids.append(_row_id(path, number, fields[0]))
    if not ids:
        raise ConfigError(
            f"Trace {path} is empty.",
            allowed="one row id per line.",
            do="Give a file with at least one line.",
        )
    rng = np.random.default_rng(seed)
    cuts: list[int] = []
    left = len(ids)
    while left > 0:
        for length in lengths.draw(4096, rng).tolist():
            cuts.append(min(length, left))
            left -= cuts[-1]
            if left == 0:
                break
    cut = f"cut into bags of {lengths.kind} length with mean {lengths.mean:g} (seed {seed})"
    return _trace(path, ids, cuts, f"{path.name}: a row id per line, {cut}")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise ConfigError(
            f"Trace {path} cannot be read ({error.strerror}).",
            allowed="a text file.",
            do="Correct the path.",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"Trace {path} is not text: byte {error.start} is {error.object[error.start]:#04x}.",
            allowed="decimal row ids in ASCII.",
            do="Unpack or convert the file first.",
        ) from None


def _row_id(path: Path, number: int, field: str) -> int:
    if not (field.isascii() and field.isdigit()):
        raise _malformed(path, number, field, "row ids that are decimal numbers, zero or more")
    value = int(field) if len(field) <= 20 else MAX_ROW + 1
    if value > MAX_ROW:
        raise _malformed(path, number, field, f"row ids up to {MAX_ROW}")
    return value


def _malformed(path: Path, number: int, text: str, allowed: str) -> ConfigError:
    shown = text if len(text) <= 40 else text[:37] + "..."
    return ConfigError(
        f"Trace {path}, line {number}: {shown!r}.",
        allowed=f"{allowed}.",
        do="Correct the line, or choose the other format (--format bags or rows).",
    )


def _trace(path: Path, ids: npt.ArrayLike, lengths: npt.ArrayLike, how: str) -> Trace:
    values = np.asarray(ids, dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    rows = int(values.max()) + 1 if len(values) else 1
    distinct = len(np.unique(values))
    bags = len(offsets) - 1
    mean = len(values) / bags
    description = (
        f"{how}; {bags:,} bags, {len(values):,} lookups, {distinct:,} rows, mean bag {mean:.1f}"
    )
    return Trace(path.stem, values, offsets, rows, description)
