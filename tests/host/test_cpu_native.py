# SPDX-License-Identifier: Apache-2.0
"""The native half of the CPU backend: mixed requests, wrong input, memory, threads, sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import FORMATS, difficult_rows, random_bags, same_bits, seeded, table_of

from embnic.backends.cpu import CpuBackend, native_module
from embnic.backends.cpu_native import default_threads
from embnic.backends.reference import ReferenceBackend
from embnic.bags import Bags, TableBags
from embnic.config import Table
from embnic.errors import ConfigError
from embnic.gen.wire import NULL_ROW, DType, Pooling

NATIVE = native_module()
pytestmark = pytest.mark.skipif(NATIVE is None, reason="embnic._native is not built")
ISAS = [] if NATIVE is None else NATIVE.isas()
ROOT = Path(__file__).resolve().parents[2]
ORDERS: tuple[dict[str, Any], ...] = ({}, {"order": "split"}, {"order": "tree", "tree_k": 4})


def tables_of_every_kind(rng: np.random.Generator) -> list[Table]:
    """Return a table of every format, pooling and order, with dims and padding drawn."""
    made = []
    for dtype in FORMATS:
        for pooling in Pooling:
            order = ORDERS[0 if pooling is Pooling.NONE else int(rng.integers(0, 3))]
            padding = int(rng.integers(0, 30)) if rng.random() < 0.5 else None
            described = table_of(
                dtype,
                rows=30,
                dim=int(rng.integers(1, 140)),
                pooling=pooling,
                padding_idx=padding,
                **order,
            )
            changes = {field: getattr(described, field) for field in described.__dataclass_fields__}
            made.append(Table(**{**changes, "name": f"{dtype.name}-{pooling.name}"}))
    return made


def parts_of(rng: np.random.Generator, tables: list[Table], bags: int) -> dict[str, TableBags]:
    """Return bags for every table; null keys where rows are not pooled."""
    parts = {}
    for table in tables:
        weighted = (
            table.pooling is Pooling.SUM and table.dtype is not DType.FIXED and rng.random() < 0.5
        )
        one = random_bags(rng, table, bags, longest=9, weighted="special" if weighted else None)[
            table.name
        ]
        if table.pooling is Pooling.NONE:
            values = np.where(rng.random(len(one.values)) < 0.2, NULL_ROW, one.values)
            one = TableBags(values, one.offsets)
        parts[table.name] = one
    return parts


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("isa", ISAS)
def test_a_request_of_all_kinds_at_once(isa: str, threads: int) -> None:
    """Every format, pooling and order in one call: bits and counters of the reference, into given and own arrays."""
    rng = seeded()
    for _ in range(4):
        tables = tables_of_every_kind(rng)
        slow = ReferenceBackend(tables)
        fast = CpuBackend(tables, engine="native", isa=isa, threads=threads)
        for table in tables:
            rows = difficult_rows(rng, table, "special")
            slow.load(table.name, rows)
            fast.load(table.name, rows)
        for bags in (1, 7, 60):
            drawn = Bags(parts_of(rng, tables, bags))
            right = slow.lookup(drawn)
            for out in (None, {name: np.full_like(array, 7) for name, array in right.items()}):
                got = fast.lookup(drawn, out)
                assert list(got) == list(right)
                for name, array in right.items():
                    assert same_bits(got[name], array), (name, bags)
                    assert out is None or got[name] is out[name]
            slow.lookup(drawn)
        assert fast.stats() == slow.stats()
        fast.close()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_large_requests_are_cut_over_threads(threads: int) -> None:
    """Requests far above what wakes the helpers, long and empty bags among them."""
    rng = seeded()
    tables = [Table(f"t{dim}", rows=3000, dim=dim, pooling="mean") for dim in (16, 50, 128, 300)]
    fast = CpuBackend(tables, engine="native", threads=threads)
    for table in tables:
        fast.load(table.name, difficult_rows(rng, table, "normal"))
    bags = {}
    for table in tables:
        lengths = rng.integers(0, 60, 500)
        lengths[rng.integers(0, 500, 3)] = 3000
        bags[table.name] = TableBags(
            rng.integers(0, table.rows, int(lengths.sum())),
            np.concatenate([[0], np.cumsum(lengths)]),
        )
    got = fast.lookup(Bags(bags))
    alone = CpuBackend(tables, engine="numpy")
    for table in tables:
        alone.load(table.name, fast.rows(table.name))
    right = alone.lookup(Bags(bags))
    assert all(same_bits(got[name], right[name]) for name in right)


def good_bags() -> dict[str, TableBags]:
    """Return bags of two tables of ten rows."""
    offsets = np.array([0, 2, 3, 3])
    return {
        "a": TableBags(np.array([1, 2, 3]), offsets),
        "b": TableBags(np.array([4, 5, 6]), offsets),
    }


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("many", [1, 4000])
def test_wrong_bags_are_refused_with_what_is_wrong(many: int, threads: int) -> None:
    """Ids, offsets and weights that cannot be right, in the second table, in small and large requests."""
    tables = [Table(name, rows=10, dim=64, pooling="sum") for name in "ab"]
    backend = CpuBackend(tables, engine="native", threads=threads)
    for table in tables:
        backend.load(table.name, np.ones((10, 64), np.float32))

    def repeated(part: TableBags) -> TableBags:
        ids = np.tile(part.values, many)
        inner = (np.arange(many)[:, np.newaxis] * 3 + part.offsets[:-1]).reshape(-1)
        return TableBags(ids, np.append(inner, len(ids)))

    right = {name: repeated(part) for name, part in good_bags().items()}
    assert (backend.lookup(Bags(right))["b"].sum(axis=1) == np.tile([128, 64, 0], many)).all()
    values, offsets = right["b"].values, right["b"].offsets

    def changed(array: np.ndarray, at: int, value: int) -> np.ndarray:
        copy = array.copy()
        copy[at] = value
        return copy

    wrong = [
        (
            TableBags(changed(values, -1, 10), offsets),
            r"'b': id 10 at position \d+ is out of range",
        ),
        (TableBags(changed(values, 0, 1 << 50), offsets), "out of range"),
        (TableBags(changed(values, 1, -1), offsets), "an id is -1"),
        (TableBags(changed(values, -1, NULL_ROW), offsets), "out of range"),
        (TableBags(values, changed(offsets, 0, 1)), "'b': offsets start with 1"),
        (TableBags(values, changed(offsets, 1, 1 << 40)), "offsets decrease"),
        (TableBags(values, changed(offsets, -2, -5)), "offsets holds -5"),
        (TableBags(values, changed(offsets, -1, len(values) + 9)), "offsets end at"),
        (
            TableBags(values, offsets, np.ones(len(values) + 1, np.float32)),
            "per_sample_weights has shape",
        ),
        (TableBags(values, offsets, np.ones(len(values))), "per_sample_weights has dtype float64"),
        (TableBags(values.astype(np.float64), offsets), "input has dtype float64"),
    ]
    for bags, said in wrong:
        with pytest.raises(ConfigError, match=said):
            backend.lookup(Bags({"a": right["a"], "b": bags}))
    before = backend.stats()
    assert before["lookups"] == 1
    with pytest.raises(ConfigError, match="'c', which does not exist"):
        backend.lookup(Bags({"c": right["a"]}))


def test_wrong_results_are_refused() -> None:
    """Arrays to fill of another shape, type or layout, or for a table without bags."""
    backend = CpuBackend([Table("a", rows=10, dim=4, pooling="sum")], engine="native")
    backend.load("a", np.ones((10, 4), np.float32))
    bags = Bags.from_lists({"a": [[1], [2, 3]]})
    frozen = np.empty((2, 4), np.float32)
    frozen.flags.writeable = False
    for out in (
        {"a": np.empty((3, 4), np.float32)},
        {"a": np.empty((2, 4), np.float64)},
        {"a": np.empty((4, 2), np.float32).T},
        {"a": frozen},
        {"a": [[0.0] * 4] * 2},
        {"b": np.empty((2, 4), np.float32)},
    ):
        with pytest.raises(ConfigError, match="out"):
            backend.lookup(bags, out)


def test_unusual_arrays_are_taken_as_they_are_meant() -> None:
    """Results at odd addresses; ids, offsets and weights that are strided, at odd addresses, or int32."""
    rng = seeded()
    table = Table("t", rows=20, dim=33, pooling="sum")
    backend = CpuBackend([table], engine="native")
    rows = difficult_rows(rng, table, "normal")
    backend.load("t", rows)
    bags = random_bags(rng, table, 9, longest=6, weighted="normal")
    right = backend.lookup(bags)["t"]
    room = np.full(right.nbytes + 16, 7, np.uint8)
    for shift in range(1, 8):
        room[:] = 7
        out = room[shift : shift + right.nbytes].view(np.float32).reshape(right.shape)
        assert same_bits(backend.lookup(bags, {"t": out})["t"].copy(), right)
        assert (room[:shift] == 7).all()
        assert (room[shift + right.nbytes :] == 7).all()
    part = bags["t"]

    def strided(array: np.ndarray) -> np.ndarray:
        return np.repeat(array, 2)[::2]

    def shifted(array: np.ndarray) -> np.ndarray:
        raw = np.zeros(array.nbytes + 1, np.uint8)
        raw[1:] = array.view(np.uint8)
        return raw[1:].view(array.dtype)

    for change in (strided, shifted, lambda array: array):
        for kind in (np.int64, np.int32):
            other = TableBags(
                change(part.values.astype(kind)),
                change(part.offsets.astype(kind)),
                change(part.weights),
            )
            assert same_bits(backend.lookup(Bags({"t": other}))["t"], right)


def test_results_go_back_to_the_arena() -> None:
    """Large results are blocks that are used again once nobody holds them, and never before."""
    table = Table("t", rows=10, dim=64, pooling="sum")
    backend = CpuBackend([table], engine="native")
    rows = np.arange(640, dtype=np.float32).reshape(10, 64)
    backend.load("t", rows)
    ids = np.tile(np.arange(10), 500)
    bags = Bags.from_torch({"t": (ids, np.arange(5000))})
    first = backend.lookup(bags)["t"]
    view = first[10:20, 3]
    address, expected = first.ctypes.data, view.copy()
    del first
    second = backend.lookup(bags)["t"]
    assert second.ctypes.data != address  # the view still holds the block
    assert (view == expected).all()
    del view
    third = backend.lookup(bags)["t"]
    assert third.ctypes.data == address
    backend.close()
    assert (third == rows[ids]).all()  # results outlive the backend
    assert (second == rows[ids]).all()


def test_rows_are_replaced_and_updated_under_lookups() -> None:
    """While other threads look up, loads replace rows: every result is of one generation, memory stays valid."""
    table = Table("t", rows=2000, dim=32, pooling="sum")
    backend = CpuBackend([table], engine="native", threads=2)
    backend.load("t", np.zeros((2000, 32), np.float32))
    bags = Bags.from_torch({"t": (np.arange(2000).repeat(4), np.arange(0, 8000, 4))})
    wrong: list[Any] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            found = backend.lookup(bags)["t"]
            if (found != found[0, 0]).any() or found[0, 0] % 4 != 0:
                wrong.append(found)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for generation in range(60):
        backend.load("t", np.full((2000, 32), generation, np.float32))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_subnormals_are_kept_whatever_the_thread_has_set() -> None:
    """A caller that flushes subnormals, as torch can be told to, does not change results."""
    torch = pytest.importorskip("torch")
    rng = seeded()
    table = Table("t", rows=40, dim=48, pooling="sum")
    rows = difficult_rows(rng, table, "subnormal")
    bags = random_bags(rng, table, 200, longest=9)
    slow, fast = ReferenceBackend([table]), CpuBackend([table], engine="native", threads=1)
    slow.load("t", rows)
    fast.load("t", rows)
    right = slow.lookup(bags)["t"]
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush subnormals")
    try:
        got = fast.lookup(bags)["t"]
    finally:
        torch.set_flush_denormal(False)
    assert same_bits(got, right)


def test_small_and_large_tables_find_memory() -> None:
    """Rows of many sizes lie apart, start aligned, and are zero bytes beyond what was given."""
    arena = NATIVE.RowArena()
    pieces = [arena.take(size) for size in (0, 1, 63, 64, 4096, 5 << 20, 17 << 20, 31 << 20, 1)]
    for number, piece in enumerate(pieces):
        assert len(piece) == 0 or piece.ctypes.data % 64 == 0
        assert not piece.any()
        piece[:] = number
    assert all((piece == number).all() for number, piece in enumerate(pieces))


def test_a_large_table_tries_distances() -> None:
    """A table far beyond the caches gets one of the tried distances; a small one the rule's 12 KB."""
    small = Table("small", rows=100, dim=64, pooling="sum")
    large = Table("large", rows=300_000, dim=64, pooling="sum")
    backend = CpuBackend([small, large], engine="native")
    for table in (small, large):
        backend.load(table.name, np.zeros((table.rows, table.dim), np.float32))
    assert backend.native is not None
    assert backend.native.distance("small") == 48
    assert backend.native.distance("large") in (16, 24, 48, 96)


def test_threads_and_instructions_must_be_possible() -> None:
    """What cannot be is refused; the default is what this process may use."""
    table = Table("t", rows=4, dim=2, pooling="sum")
    for threads in (0, -1, 1.5, True, 4096):
        with pytest.raises(ConfigError, match="threads is"):
            CpuBackend([table], engine="native", threads=threads)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="isa is 'sse9'"):
        CpuBackend([table], engine="native", isa="sse9")
    backend = CpuBackend([table], engine="native")
    assert backend.native is not None
    assert backend.native.threads == default_threads()
    assert backend.native.isa == ISAS[0]


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_under_sanitizers(sanitizer: str) -> None:
    """The C++ below the bindings, over arrays of exactly their size, with right and wrong requests and helpers."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++: apt install g++")
    seed = int(os.environ.get("EMBNIC_SEED") or np.random.SeedSequence().entropy % (1 << 31))
    print(f"replay with EMBNIC_SEED={seed}")
    native = ROOT / "host" / "native"
    build = ROOT / "build" / "tests" / "sanitize"
    build.mkdir(parents=True, exist_ok=True)
    program = build / f"cpu-{sanitizer.replace(',', '-')}"
    parts = ("form", "isa", "memory", "pool", "request", "avx512", "avx2", "portable", "scalar")
    command = [
        *(compiler, "-std=c++17", "-O0", "-g1", "-ffp-contract=off", f"-fsanitize={sanitizer}"),
        *("-fno-sanitize-recover=all", "-fno-sanitize=shift-base", f"-I{native}", "-pthread", "-w"),
        str(ROOT / "tests" / "host" / "cpu_sanitize.cpp"),
        *(str(native / f"cpu_{part}.cpp") for part in parts),
        *("-o", str(program)),
    ]
    built = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert built.returncode == 0, built.stderr
    ran = subprocess.run(
        [program, str(seed)], capture_output=True, text=True, timeout=900, check=False
    )
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
