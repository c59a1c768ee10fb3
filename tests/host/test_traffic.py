# SPDX-License-Identifier: Apache-2.0
"""Trace readers and the traffic generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embnic.errors import ConfigError
from embnic.traffic import BagLengths, TrafficSpec, generate, read_bags, read_rows, read_trace

TRACES = Path(__file__).resolve().parents[3] / "shared" / "traces"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_bag_per_line_drops_the_label(tmp_path: Path) -> None:
    trace = read_bags(write(tmp_path, "0 5 3 3\n1\n2 9\n"))
    assert trace.values.tolist() == [5, 3, 3, 9]
    assert trace.offsets.tolist() == [0, 3, 3, 4]
    assert trace.rows == 10


def test_bags_slice_is_a_lookup(tmp_path: Path) -> None:
    trace = read_bags(write(tmp_path, "0 5 3 3\n1\n2 9\n"))
    for stop in (3, 99):
        item = trace.bags("item", 1, stop)["item"]
        assert item.values.tolist() == [9]
        assert item.offsets.tolist() == [0, 0, 1]
    assert trace.head(2).offsets.tolist() == [0, 3, 3]


def test_row_per_line_is_cut_by_the_named_distribution(tmp_path: Path) -> None:
    trace = read_rows(write(tmp_path, "".join(f"{i}\n" for i in range(10))), BagLengths("fixed", 4))
    assert trace.values.tolist() == list(range(10))
    assert trace.offsets.tolist() == [0, 4, 8, 10]
    assert "fixed length with mean 4" in trace.description


@pytest.mark.parametrize(
    ("text", "format", "line"),
    [
        ("0 1\n1 x\n", "bags", "line 2"),
        ("0 1\n\n2 3\n", "bags", "line 2"),
        ("0 1\n1 -4\n", "bags", "line 2"),
        ("0 1\n1 2.5\n", "bags", "line 2"),
        (f"0 {1 << 48}\n", "bags", "line 1"),
        ("1\n2\n3 4\n", "rows", "line 3"),
        ("1\n\n3\n", "rows", "line 2"),
    ],
)
def test_malformed_line_is_named(tmp_path: Path, text: str, format: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        read_trace(write(tmp_path, text), format=format)


@pytest.mark.parametrize("format", ["bags", "rows"])
def test_empty_missing_and_binary_traces_are_refused(tmp_path: Path, format: str) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        read_trace(write(tmp_path, ""), format=format)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_trace(tmp_path / "absent.txt", format=format)
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\x1f\x8b\xff\x00")
    with pytest.raises(ConfigError, match="is not text"):
        read_trace(binary, format=format)


def test_unknown_format_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bags, rows"):
        read_trace(write(tmp_path, "0 1\n"), format="parquet")


def test_generator_repeats_with_its_seed_and_differs_with_another() -> None:
    spec = TrafficSpec(bags=200, rows=1000)
    one, same, other = generate(spec, seed=3), generate(spec, seed=3), generate(spec, seed=4)
    assert np.array_equal(one.values, same.values) and np.array_equal(one.offsets, same.offsets)
    assert not np.array_equal(one.values, other.values)


def test_heavy_hitters_take_their_share() -> None:
    spec = TrafficSpec(bags=4000, rows=50_000, hitters=(0.3, 0.1), reuse=0.0)
    trace = generate(spec, seed=5)
    counts = np.sort(np.bincount(trace.values))[::-1] / len(trace.values)
    assert counts[0] == pytest.approx(0.3, abs=0.01)
    assert counts[1] == pytest.approx(0.1, abs=0.01)
    assert counts[2] < 0.05


def test_reuse_shortens_the_distance_between_repeats() -> None:
    def repeats_soon(reuse: float) -> float:
        trace = generate(
            TrafficSpec(bags=2000, rows=1_000_000, hitters=(), reuse=reuse, reuse_window=64), seed=6
        )
        last: dict[int, int] = {}
        soon = 0
        for position, value in enumerate(trace.values.tolist()):
            soon += position - last.get(value, -(10**9)) <= 64
            last[value] = position
        return soon / len(trace.values)

    assert repeats_soon(0.5) > repeats_soon(0.0) + 0.3


@pytest.mark.parametrize("kind", BagLengths.KINDS)
def test_bag_lengths_have_their_mean(kind: str) -> None:
    lengths = BagLengths(kind, 15.8).draw(50_000, np.random.default_rng(7))
    assert lengths.min() >= 1
    assert lengths.mean() == pytest.approx(15.8, rel=0.04)


def test_empty_bags_are_drawn() -> None:
    lengths = BagLengths("fixed", 3, empty=0.25).draw(10_000, np.random.default_rng(8))
    assert (lengths == 0).mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    "make",
    [
        lambda: BagLengths("zipf", 3),
        lambda: BagLengths("fixed", 0),
        lambda: BagLengths("fixed", 3, empty=1.0),
        lambda: BagLengths.parse("poisson:many"),
        lambda: TrafficSpec(bags=0),
        lambda: TrafficSpec(rows=1 << 48),
        lambda: TrafficSpec(hitters=(0.9, 0.2)),
        lambda: TrafficSpec(rows=2, hitters=(0.1, 0.1, 0.1)),
        lambda: TrafficSpec(reuse=1.0),
        lambda: TrafficSpec(reuse_window=0),
    ],
)
def test_impossible_specifications_are_refused(make: object) -> None:
    with pytest.raises(ConfigError, match="Allowed"):
        make()  # type: ignore[operator]


@pytest.mark.skipif(
    not TRACES.is_dir(), reason="the public traces are not beside the checkout (shared/traces)"
)
def test_public_traces_have_their_published_shape() -> None:
    gowalla = read_bags(TRACES / "gowalla_bags.txt")
    assert (len(gowalla), len(gowalla.values), len(np.unique(gowalla.values))) == (
        29_858,
        217_242,
        38_546,
    )
    meta = read_rows(TRACES / "meta_t500k_reuse_medium.txt", BagLengths("poisson", 15.8))
    assert (len(meta.values), len(np.unique(meta.values))) == (429_951, 102_524)
