# SPDX-License-Identifier: Apache-2.0
"""Find out whether a target gives a model torch's bits, before it is trusted with answers.

`assert_matches_torch` is for tests: one batch, any difference raises. `shadow` is for running systems: torch answers,
the target is asked the same and compared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..errors import ConfigError, EmbnicError
from .batched import BatchedCall
from .calls import Call
from .intercept import Interception
from .modules import EmbeddingBag

__all__ = ["Mismatch", "Shadow", "ShadowReport", "TableReport", "assert_matches_torch", "shadow"]

PARTS = ("output", "offset2bag", "bag_size", "max_indices")
EXAMPLES = 10  # mismatches that a report shows
LATENCIES = 100_000  # lookups whose times are kept
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Mismatch:
    """The first element in which two answers differ; `index` [bag, column] of `part`."""

    table: str
    part: str
    index: tuple[int, ...]
    torch: float
    target: float

    def __str__(self) -> str:
        """Print it as a sentence."""
        where = ", ".join(map(str, self.index))
        return f"{self.table}: {self.part}[{where}] is {self.target!r}, torch has {self.torch!r}"


@dataclass
class TableReport:
    """What was compared of one table; `bags` counts vectors of unpooled rows as bags."""

    lookups: int = 0
    bags: int = 0
    mismatched_bags: int = 0
    mismatched_lookups: int = 0


@dataclass(frozen=True)
class ShadowReport:
    """A snapshot of a shadow: what was compared, what differed, and how long either took.

    `torch_seconds` and `target_seconds` [lookups] are measured one after the other in the caller's thread. Those of a
    simulated target are the time to simulate it. `errors` counts lookups that the target did not answer, by error.
    """

    target: str
    tables: Mapping[str, TableReport]
    examples: tuple[Mismatch, ...]
    errors: Mapping[str, int]
    passed: Mapping[str, int]
    torch_seconds: np.ndarray[Any, np.dtype[np.float64]]
    target_seconds: np.ndarray[Any, np.dtype[np.float64]]

    @property
    def lookups(self) -> int:
        """Return how many lookups were compared."""
        return sum(table.lookups for table in self.tables.values())

    @property
    def bags(self) -> int:
        """Return how many bags were compared."""
        return sum(table.bags for table in self.tables.values())

    @property
    def mismatches(self) -> int:
        """Return how many bags differ in a bit, a NaN's payload apart, or in what backward needs."""
        return sum(table.mismatched_bags for table in self.tables.values())

    @property
    def equal(self) -> bool:
        """Tell whether something was compared, nothing differed and the target answered everything."""
        wrong = sum(table.mismatched_lookups for table in self.tables.values())
        return self.lookups > 0 and wrong == 0 and not self.errors

    def __str__(self) -> str:
        """Print the verdict, the tables that differ and the latencies."""
        head = (
            f"shadow of {self.target}: {self.bags:,} bags of {self.lookups:,} lookups compared, "
            f"{self.mismatches:,} differ"
        )
        lines = [head]
        lines += [
            f"  {name}: {table.mismatched_bags:,} of {table.bags:,} bags differ"
            for name, table in self.tables.items()
            if table.mismatched_lookups
        ]
        lines += [f"  {example}" for example in self.examples]
        lines += [
            f"  not answered: {count:,} lookups ({name})" for name, count in self.errors.items()
        ]
        lines += [
            f"  not compared: {count:,} lookups ({name})" for name, count in self.passed.items()
        ]
        for name, seconds in (("torch", self.torch_seconds), (self.target, self.target_seconds)):
            if len(seconds):
                p50, p95, p99 = np.percentile(seconds, (50, 95, 99)) * 1e6
                lines.append(f"  {name}: {p50:,.0f} us a lookup, p95 {p95:,.0f}, p99 {p99:,.0f}")
        return "\n".join(lines)


def shadow(
    model: torch.nn.Module | None = None,
    *,
    target: str = "auto",
    all_threads: bool = False,
    deadline: float | None = None,
) -> Shadow:
    """Let torch answer the lookups inside the `with` block, and ask `target` the same.

    The model's outputs are torch's, whatever the target does: a target that fails is counted, not raised. Every
    lookup waits for both. The arguments are those of `embnic.intercept`.

    >>> bag = torch.nn.EmbeddingBag(10, 4)
    >>> with shadow(target="cpu") as watched:
    ...     pooled = bag(torch.tensor([[3, 8], [8, 1]]))
    >>> watched.report().bags, watched.report().mismatches
    (2, 0)
    """
    return Shadow(model, target=target, all_threads=all_threads, deadline=deadline)


class Shadow(Interception):
    """Listen as an interception does, but let torch answer; `report` says what was found."""

    def __init__(self, model: torch.nn.Module | None = None, **options: Any) -> None:
        super().__init__(model, **options)
        self._found = _Found()

    def report(self) -> ShadowReport:
        """Return a snapshot of what was found until now."""
        return self._found.report(self._target, self.passed)

    def _serve(self, call: Call | BatchedCall, original: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        expected = original()
        torch_done = time.perf_counter()
        name = self.name_of(call)
        try:
            got = self._ask_engine(call)
        except EmbnicError as error:
            self._found.add_error(type(error).__name__)
            return expected
        ended = time.perf_counter()
        self._found.add_times(torch_done - started, ended - torch_done)
        self._found.compare(name, got, expected)
        return expected


@dataclass
class _Found:
    """Collect what a shadow finds; safe for threads."""

    tables: dict[str, TableReport] = field(default_factory=dict)
    examples: list[Mismatch] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    times: list[tuple[float, float]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add_error(self, name: str) -> None:
        """Count a lookup without an answer."""
        with self.lock:
            self.errors[name] = self.errors.get(name, 0) + 1

    def add_times(self, torch_seconds: float, target_seconds: float) -> None:
        """Keep the times of a lookup, the last `LATENCIES` of them."""
        with self.lock:
            self.times.append((torch_seconds, target_seconds))
            if len(self.times) >= 2 * LATENCIES:
                del self.times[:LATENCIES]

    def compare(self, table: str, got: Any, expected: Any) -> None:
        """Compare what two answers hold and count the bags that differ."""
        parts = list(zip(PARTS, _parts(got), _parts(expected), strict=False))
        wrong = [_different(mine, theirs) for _, mine, theirs in parts]
        output = parts[0][2]
        bags = output.numel() // max(1, output.shape[-1])
        rows = torch.zeros(bags, dtype=torch.bool)
        for found, (part, _, theirs) in zip(wrong, parts, strict=True):
            if found is None or (part != "output" and theirs.shape[:1] != (bags,)):
                continue  # of another shape, or by id and not by bag
            rows |= found.reshape(bags, -1).any(dim=1)
        example = _example(table, parts, wrong)
        with self.lock:
            counted = self.tables.setdefault(table, TableReport())
            counted.lookups += 1
            counted.bags += bags
            counted.mismatched_bags += int(rows.sum())
            if example is not None:
                counted.mismatched_lookups += 1
                self.examples += [example][: EXAMPLES - len(self.examples)]

    def report(self, target: str, passed: Mapping[str, int]) -> ShadowReport:
        """Return a snapshot."""
        with self.lock:
            times = np.array(self.times[-LATENCIES:], np.float64).reshape(-1, 2)
            return ShadowReport(
                target=target,
                tables={name: TableReport(**vars(table)) for name, table in self.tables.items()},
                examples=tuple(self.examples),
                errors=dict(self.errors),
                passed=dict(passed),
                torch_seconds=times[:, 0],
                target_seconds=times[:, 1],
            )


def _parts(answer: Any) -> tuple[torch.Tensor, ...]:
    return answer if isinstance(answer, tuple) else (answer,)


def _different(got: torch.Tensor, expected: torch.Tensor) -> torch.Tensor | None:
    """Return where the bits differ, NaNs compared by position; None when the tensors are of another form."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return None
    bits = BITS[expected.element_size()]
    differ = got.contiguous().view(bits) != expected.contiguous().view(bits)
    if expected.is_floating_point():
        differ &= ~(got.isnan() & expected.isnan())
    return differ


def _example(
    table: str,
    parts: list[tuple[str, torch.Tensor, torch.Tensor]],
    wrong: list[torch.Tensor | None],
) -> Mismatch | None:
    """Return the first difference of an answer."""
    for found, (part, got, expected) in zip(wrong, parts, strict=True):
        if found is None:
            return Mismatch(table, f"shape of {part}", (), len(expected), len(got))
        if found.any():
            index = tuple(int(i) for i in found.nonzero()[0])
            return Mismatch(table, part, index, expected[index].item(), got[index].item())
    return None


def assert_matches_torch(
    model: torch.nn.Module,
    batch: Any,
    *,
    target: str = "auto",
    allow_passed: bool = False,
) -> ShadowReport:
    """Call `model` with `batch` once and raise AssertionError unless every lookup has torch's bits on `target`.

    A tuple or list `batch` is the positional arguments, a dict the named ones, anything else the only one. Compared
    are the pooled vectors and what backward needs of them (offset2bag, bag_size, max_indices), so gradients are
    equal too. Lookups that go through to torch, or a model without a lookup, are failures unless `allow_passed`.

    >>> assert_matches_torch(torch.nn.EmbeddingBag(10, 4), torch.tensor([[3, 8]]), target="cpu").bags
    1
    """
    if any(isinstance(part, EmbeddingBag) for part in model.modules()):
        raise ConfigError(
            "The model is offloaded: its lookups do not reach torch.",
            allowed="a model before it is offloaded.",
            do="Give the model before offload(), or after Offload.restore().",
        )
    with shadow(model, target=target) as watched:
        if isinstance(batch, (tuple, list)):
            model(*batch)
        elif isinstance(batch, dict):
            model(**batch)
        else:
            model(batch)
    report = watched.report()
    if report.passed and not allow_passed:
        raise AssertionError(f"lookups went through to torch: {dict(report.passed)}\n{watched}")
    if report.lookups == 0 and not allow_passed:
        raise AssertionError("the model looked nothing up: nothing was compared")
    if report.lookups and not report.equal:
        raise AssertionError(f"{report}")
    return report
