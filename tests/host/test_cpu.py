# SPDX-License-Identifier: Apache-2.0
"""The CPU backend, native and numpy, equals the reference bit for bit."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from cases import (
    DTYPES,
    FORMATS,
    bits,
    difficult_fp32,
    difficult_rows,
    random_bags,
    same_bits,
    seeded,
    table_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import embnic.backends.cpu as cpu_module
from embnic.arithmetic import STORAGE
from embnic.backends.base import Backend
from embnic.backends.cpu import CpuBackend, native_module, pool_numpy
from embnic.backends.reference import ReferenceBackend
from embnic.bags import Bags
from embnic.config import Table
from embnic.errors import ClosedError, ConfigError
from embnic.gen.wire import DType

NATIVE = native_module()
needs_native = pytest.mark.skipif(
    NATIVE is None, reason="embnic._native is not built; numpy answers"
)
ENGINES = ["numpy", pytest.param("native", marks=needs_native)]
ISAS = [] if NATIVE is None else NATIVE.isas()
MODES = (("sum", False), ("sum", True), ("mean", False), ("max", False))
KINDS = ("normal", "wide", "ties", "subnormal", "special")


def pooled_by(
    isa: str, table: Table, rows: np.ndarray, bags: Bags, out: np.ndarray | None = None
) -> np.ndarray:
    """Return what the extension says with these instructions, in `out` where given."""
    backend = CpuBackend([table], engine="native", isa=isa, threads=1)
    backend.load(table.name, rows)
    return backend.lookup(bags, None if out is None else {table.name: out})[table.name]


def expected(table: Table, rows: np.ndarray, bags: Bags) -> np.ndarray:
    """Return what the reference says."""
    backend = ReferenceBackend([table])
    backend.load(table.name, rows)
    return backend.lookup(bags)[table.name]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_path_equals_the_reference(dtype: DType) -> None:
    """Modes, kinds of values, padding and dims around every vector length, on numpy and every
    instruction set.
    """
    rng = seeded()
    compared = 0
    for (mode, weighted), padding, kind in itertools.product(MODES, (None, 1), KINDS):
        dim = int(
            rng.choice([1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 128, 129, 300])
        )
        table = Table("t", rows=40, dim=dim, dtype=dtype, pooling=mode, padding_idx=padding)
        rows = difficult_rows(rng, table, kind)
        bags = random_bags(rng, table, 12, longest=10, weighted=kind if weighted else None)
        right = expected(table, rows, bags)
        out = np.full_like(right, 7)
        pool_numpy(table, rows, bags["t"], out)
        assert same_bits(out, right), (table, kind, "numpy")
        for isa in ISAS:
            assert same_bits(pooled_by(isa, table, rows, bags), right), (table, kind, isa)
        compared += len(right) * (1 + len(ISAS))
    print(f"{compared} bags compared: numpy {ISAS}")
    assert compared >= 480


@needs_native
def test_every_dim_up_to_300_on_every_instruction_set() -> None:
    """Each split of a row into blocks and a rest, with guard bytes behind the output."""
    rng = seeded()
    for dim in range(1, 301):
        table = Table("t", rows=9, dim=dim, pooling="sum")
        rows = difficult_rows(rng, table, "ties")
        bags = random_bags(rng, table, 3, longest=4, weighted="ties")
        right = expected(table, rows, bags)
        for isa in ISAS:
            guarded = np.full(right.size + 64, 7, np.float32)
            pooled_by(isa, table, rows, bags, guarded[: right.size].reshape(right.shape))
            assert same_bits(guarded[: right.size].reshape(right.shape), right), (dim, isa)
            assert (guarded[right.size :] == 7).all()


@needs_native
def test_every_half_precision_pattern_widens_alike() -> None:
    """All 65,536 patterns of fp16 and bf16 through a bag of one."""
    patterns = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    for dtype in (DType.FP16, DType.BF16):
        for mode in ("sum", "max"):
            table = Table("t", rows=64, dim=1024, dtype=dtype, pooling=mode)
            rows = patterns.view(STORAGE[dtype]).reshape(64, 1024)
            bags = Bags.from_torch({"t": np.arange(64).reshape(64, 1)})
            right = expected(table, rows, bags)
            for isa in ISAS:
                assert same_bits(pooled_by(isa, table, rows, bags), right), (dtype, mode, isa)


WAYS = (
    ("sum", False, {}),
    ("sum", True, {}),
    ("sum", True, {"order": "split"}),
    ("sum", False, {"order": "tree", "tree_k": 4}),
    ("sum", True, {"order": "tree", "tree_k": 2}),
    ("mean", False, {}),
    ("mean", False, {"order": "tree", "tree_k": 16}),
    ("max", False, {}),
    ("max", False, {"order": "tree", "tree_k": 8}),
    ("none", False, {}),
)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", FORMATS)
def test_every_format_pooling_and_order_equals_the_reference(
    engine: str, dtype: DType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All formats, poolings and orders, with and without padding, in chunks of a few bags; the
    saturations are counted alike.
    """
    rng = seeded()
    monkeypatch.setattr(cpu_module, "CHUNK_BYTES", 5000)
    compared = saturations = 0
    for (mode, weighted, order), padding, kind in itertools.product(WAYS, (None, 1), KINDS):
        weighted = weighted and dtype is not DType.FIXED
        dim = int(rng.choice([1, 2, 7, 16, 33, 64]))
        table = table_of(dtype, rows=40, dim=dim, pooling=mode, padding_idx=padding, **order)
        rows = difficult_rows(rng, table, kind)
        bags = random_bags(rng, table, 12, longest=20, weighted=kind if weighted else None)
        slow, fast = ReferenceBackend([table]), CpuBackend([table], engine=engine)
        slow.load("t", rows)
        fast.load("t", rows)
        right = slow.lookup(bags)["t"]
        assert same_bits(fast.lookup(bags)["t"], right), (table, kind)
        assert fast.stats() == slow.stats()
        saturations += slow.stats()["saturations"]
        compared += len(right)
    assert compared >= 1000
    assert (saturations > 0) == (dtype is DType.FIXED)


bag_lists = st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=8)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=60, deadline=None)
@given(
    lists=bag_lists,
    words=st.lists(st.integers(0, (1 << 32) - 1), min_size=18, max_size=18),
    mode=st.sampled_from(["sum", "mean", "max"]),
    padding=st.sampled_from([None, 0, 5]),
)
def test_any_bits_any_bags(
    engine: str, lists: list[list[int]], words: list[int], mode: str, padding: int | None
) -> None:
    """Whatever the rows' bits and the bags' shape: the reference's bits."""
    table = Table("t", rows=6, dim=3, pooling=mode, padding_idx=padding)
    rows = np.array(words, np.uint32).view(np.float32).reshape(6, 3)
    bags = Bags.from_lists({"t": lists})
    backend = CpuBackend([table], engine=engine)
    backend.load("t", rows)
    assert same_bits(backend.lookup(bags)["t"], expected(table, rows, bags))


@pytest.mark.parametrize("engine", ENGINES)
def test_small_chunks_and_long_bags(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk of one bag, a bag of thousands of keys among empty ones."""
    rng = seeded()
    monkeypatch.setattr(cpu_module, "CHUNK_BYTES", 1)
    table = Table("t", rows=50, dim=6, pooling="mean", padding_idx=4)
    rows = difficult_rows(rng, table, "normal")
    ids = rng.integers(0, 50, 3000)
    bags = Bags.from_torch({"t": (ids, np.array([0, 0, 2990, 2990, 2999]))})
    backend = CpuBackend([table], engine=engine)
    backend.load("t", rows)
    assert same_bits(backend.lookup(bags)["t"], expected(table, rows, bags))


@pytest.mark.parametrize("engine", ENGINES)
def test_life_of_the_backend(engine: str) -> None:
    """Load, look up into `out`, update, count, close."""
    table = Table("t", rows=4, dim=2, pooling="sum")
    backend = CpuBackend([table], engine=engine)
    assert isinstance(backend, Backend)
    assert backend.engine == engine
    bags = Bags.from_lists({"t": [[0, 3], []]}, {"t": [[2.0, 0.5], []]})
    with pytest.raises(ConfigError, match="has no rows yet"):
        backend.lookup(bags)
    backend.load("t", np.arange(8, dtype=np.float32).reshape(4, 2))
    out = {"t": np.full((2, 2), 9, np.float32)}
    assert backend.lookup(bags, out)["t"] is out["t"]
    assert out["t"].tolist() == [[3.0, 5.5], [0.0, 0.0]]
    backend.update("t", np.array([3, 3], np.int32), np.array([[9, 9], [2, 2]], np.float32))
    assert backend.lookup(bags)["t"].tolist() == [[1.0, 3.0], [0.0, 0.0]]
    assert backend.stats() == {
        "lookups": 2,
        "bags": 4,
        "keys": 4,
        "updates": 1,
        "update_rows": 2,
        "saturations": 0,
    }
    backend.close()
    backend.close()
    with pytest.raises(ClosedError, match=r"CpuBackend\.update"):
        backend.update("t", np.array([0]), np.zeros((1, 2), np.float32))


@pytest.mark.parametrize("engine", ENGINES)
def test_no_bags_at_all(engine: str) -> None:
    """A batch of zero bags has a shape and nothing else."""
    table = Table("t", rows=4, dim=2, pooling="max")
    backend = CpuBackend([table], engine=engine)
    backend.load("t", np.zeros((4, 2), np.float32))
    assert backend.lookup(Bags.from_lists({"t": []}))["t"].shape == (0, 2)


def test_update_refuses_what_cannot_be_right() -> None:
    """Ids outside, of a wrong type, rows of a wrong shape."""
    backend = CpuBackend([Table("t", rows=4, dim=2, pooling="sum")])
    backend.load("t", np.zeros((4, 2), np.float32))
    row = np.zeros((1, 2), np.float32)
    for ids, rows, said in (
        ([4], row, "id 4 at position 0 is out of range"),
        ([-1], row, "id -1"),
        ([0.5], row, "ids are float64"),
        ([[0]], row, r"\[1, 1\]"),
        ([0, 1], row, r"shape \[1, 2\].*Allowed: \[2, 2\]"),
    ):
        with pytest.raises(ConfigError, match=said):
            backend.update("t", np.array(ids), rows)
    backend.update("t", [], np.zeros((0, 2), np.float32))


def test_engine_must_be_known() -> None:
    """A misspelt engine is named."""
    with pytest.raises(ConfigError, match=r"engine is 'gnu'.*'auto', 'native', 'numpy'"):
        CpuBackend([Table("t", rows=4, dim=2, pooling="sum")], engine="gnu")


def test_without_the_extension_numpy_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` falls back to numpy; `native` says how to get it."""
    monkeypatch.setattr(cpu_module, "native_module", lambda: None)
    table = Table("t", rows=4, dim=2, pooling="sum")
    assert CpuBackend([table]).engine == "numpy"
    with pytest.raises(ConfigError, match=r"was not built.*apt install g"):
        CpuBackend([table], engine="native")


@needs_native
def test_auto_takes_the_extension() -> None:
    """`auto` prefers native code."""
    assert CpuBackend([Table("t", rows=4, dim=2, pooling="sum")]).engine == "native"


@needs_native
def test_lookups_in_several_threads() -> None:
    """The extension lets other threads run, and they do not disturb each other."""
    rng = seeded()
    table = Table("t", rows=200, dim=64, pooling="sum")
    rows = difficult_rows(rng, table, "normal")
    bags = random_bags(rng, table, 300, longest=20)
    right = expected(table, rows, bags)
    backend = CpuBackend([table], engine="native")
    backend.load("t", rows)
    got: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: got.append(backend.lookup(bags)["t"])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 4
    assert all(same_bits(one, right) for one in got)


def test_the_comparison_can_fail() -> None:
    """One flipped bit in one row shows in the result."""
    rng = seeded()
    table = Table("t", rows=10, dim=8, pooling="sum")
    rows = difficult_fp32(rng, (10, 8), "normal")
    bags = Bags.from_lists({"t": [[3], [4]]})
    right = expected(table, rows, bags)
    bits(rows)[4, 2] ^= 1
    assert not same_bits(expected(table, rows, bags), right)
