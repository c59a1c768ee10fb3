# SPDX-License-Identifier: Apache-2.0
"""The GPU path on a GPU: over 100,000 bags with the bits of the CPU, and what only a real device can get wrong.

pytest -m gpu tests/host/test_gpu_device.py -s
"""

from __future__ import annotations

import numpy as np
import pytest
from cases import FORMATS, difficult_rows, random_bags, same_bits, seeded

from embnic.backends.cpu import CpuBackend
from embnic.backends.reference import pool_bag
from embnic.bags import Bags
from embnic.config import Table
from embnic.errors import ConfigError
from embnic.gen.wire import DType, Pooling
from embnic.gpu_probe import gpu_missing

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(gpu_missing()), reason=f"not run on a GPU: {gpu_missing()}"),
]

BAGS = 2000
DIMS = (4, 8, 17, 48, 64, 100, 128, 256, 300)


def tables_of(dtype: DType, rng: np.random.Generator) -> list[Table]:
    """Every pooling, with and without padding, and a tree; dims at random."""
    more = {"fixed_scale_exp": -8} if dtype is DType.FIXED else {}
    shapes = [
        ("sum", {}), ("padded", {"padding_idx": 3}), ("mean", {"pooling": "mean", "padding_idx": 0}),
        ("max", {"pooling": "max", "padding_idx": 5}), ("none", {"pooling": "none", "padding_idx": 1}),
        ("tree", {"pooling": "mean", "order": "tree", "tree_k": 4, "padding_idx": 2}),
    ]  # fmt: skip
    return [
        Table(
            name,
            rows=400,
            dim=int(rng.choice(DIMS)),
            dtype=dtype,
            **{"pooling": "sum", **more, **given},
        )
        for name, given in shapes
    ]


def requests(tables, rng, bags, *, weighted):
    """Bags for every table; weights for the sums that take them, but the table `sum`."""
    parts = [
        random_bags(
            rng, t, bags, longest=24,
            weighted="normal"
            if weighted and t.pooling is Pooling.SUM and t.dtype is not DType.FIXED and t.name != "sum"
            else None,
        )
        for t in tables
    ]  # fmt: skip
    return Bags({name: part[name] for part in parts for name in part})


@pytest.mark.parametrize("dtype", FORMATS, ids=lambda dtype: dtype.name.lower())
def test_bits_are_those_of_the_cpu_and_the_reference(dtype):
    from embnic.backends.gpu import GpuBackend

    rng = seeded()
    tables = tables_of(dtype, rng)
    backend, cpu = GpuBackend(tables), CpuBackend(tables, engine="numpy")
    bags = compared = 0
    for kind in ("normal", "wide", "special"):
        rows = {table.name: difficult_rows(rng, table, kind) for table in tables}
        for name, stored in rows.items():
            backend.load(name, stored)
            cpu.load(name, stored)
        # Another launch is compiled without weights: in some formats only, to save the time.
        for weighted in (False, True) if dtype in (DType.FP32, DType.BF16) else (True,):
            given = requests(tables, rng, BAGS, weighted=weighted)
            got, want = backend.lookup(given), cpu.lookup(given)
            for table in tables:
                assert same_bits(got[table.name], want[table.name]), (table, kind, weighted)
                bags += len(given[table.name])
                if table.pooling is Pooling.NONE:
                    continue
                for at in rng.integers(0, BAGS, 5).tolist():
                    one = pool_bag(table, rows[table.name], *given[table.name].bag(at))
                    assert same_bits(got[table.name][at], one), (table, kind, weighted, at)
                    compared += 1
    assert backend.stats()["saturations"] == cpu.stats()["saturations"]
    assert backend.stats()["launches"] == (6 if dtype in (DType.FP32, DType.BF16) else 3)
    print(f"{dtype.name}: {bags} bags equal to the CPU, {compared} of them to the reference")
    assert bags > 35_000
    assert compared > 70


TRAINED = [
    Table("a", rows=4000, dim=64, pooling="sum"),
    Table("b", rows=3000, dim=30, pooling="mean", padding_idx=3),
    Table("c", rows=2000, dim=128, pooling="sum", dtype="fp16"),
]


def filled(rng, **options):
    from embnic.backends.gpu_tables import GpuTables

    tables = GpuTables(TRAINED, **options)
    for table in TRAINED:
        tables.load(table.name, difficult_rows(rng, table, "normal"))
    return tables


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_training_behind_a_cache_gives_the_bits_of_training_on_the_device(optimizer):
    """Prefetched one batch ahead on another stream, with a cache far too small: lines are evicted dirty, rows stay in
    host memory, and a race would show as other bits.
    """
    import torch

    from embnic.backends.gpu_train import RowwiseAdagrad, Sgd

    step = Sgd(0.05) if optimizer == "sgd" else RowwiseAdagrad(0.05)
    seed = int(seeded().integers(1 << 30))
    device = filled(np.random.default_rng(seed))
    cached = filled(np.random.default_rng(seed), device_bytes=300_000)
    rng = np.random.default_rng(seed + 1)
    batches = [requests(TRAINED, rng, 256, weighted=True) for _ in range(25)]
    grads = [{t.name: torch.randn(256, t.dim, device="cuda") for t in TRAINED} for _ in batches]
    ahead = cached.prefetch(batches[0], change=True)
    for at, batch in enumerate(batches):
        want = device.lookup_flat(flat := device.put(batch))
        device.backward(flat, grads[at], optimizer=step)
        now, ahead = (
            ahead,
            cached.prefetch(batches[at + 1], change=True) if at + 1 < len(batches) else None,
        )
        got = cached.lookup_flat(now, keep=True)
        cached.backward(now, grads[at], optimizer=step)
        for name, vectors in got.items():
            assert torch.equal(vectors.view(torch.int16), want[name].view(torch.int16)), (at, name)
    for table in TRAINED:
        assert torch.equal(cached.rows(table.name).cpu(), device.rows(table.name).cpu()), table
    stats = cached.stats()
    assert stats["cached"] == 1
    assert stats["cache_evictions"] > 100
    assert stats["cache_write_backs"] > 100
    assert stats["cache_conflicts"] > 100
    print({name: value for name, value in stats.items() if name.startswith("cache")})


def test_rows_behind_a_cache_have_the_bits_of_the_cpu():
    from embnic.backends.gpu_tables import GpuTables

    rng = seeded()
    tables = [
        Table("a", rows=20_000, dim=64, pooling="sum"), Table("b", rows=9000, dim=8, pooling="mean", padding_idx=3),
        Table("c", rows=9000, dim=48, pooling="max", dtype="bf16"),
        Table("d", rows=5000, dim=40, pooling="none", dtype="int8"),
    ]  # fmt: skip
    held, cpu = GpuTables(tables, device_bytes=700_000), CpuBackend(tables, engine="numpy")
    for table in tables:
        stored = difficult_rows(rng, table, "normal")
        held.load(table.name, stored)
        cpu.load(table.name, stored)
    batches = [requests(tables, rng, 300, weighted=False) for _ in range(30)]
    ahead = held.prefetch(batches[0])
    for at, batch in enumerate(batches):
        now, ahead = ahead, held.prefetch(batches[at + 1]) if at + 1 < len(batches) else None
        if at % 7 == 3:  # a row that is prefetched already changes
            for table in tables:
                ids = rng.integers(0, table.rows, 500)
                fresh = difficult_rows(rng, table, "normal")[:500]
                held.update(table.name, ids, fresh)
                cpu.update(table.name, ids, fresh)
        got, want = held.lookup_flat(now), cpu.lookup(batch)
        for table in tables:
            found = got[table.name].cpu()
            array = found.view(__import__("torch").int16) if table.dtype is DType.BF16 else found
            assert same_bits(array.numpy().view(want[table.name].dtype), want[table.name]), (
                at,
                table,
            )
    assert held.stats()["cache_evictions"] > 0


def test_a_step_twice_gives_the_same_bits():
    import torch

    from embnic.backends.gpu_train import Sgd

    seed = int(seeded().integers(1 << 30))
    batch = requests(TRAINED, np.random.default_rng(seed), 2000, weighted=True)
    grads = {t.name: torch.randn(2000, t.dim, device="cuda") for t in TRAINED}
    rows = []
    for _ in range(2):
        tables = filled(np.random.default_rng(seed))
        tables.backward(tables.put(batch), grads, optimizer=Sgd(0.1))
        rows.append([tables.rows(t.name).clone() for t in TRAINED])
    assert all(torch.equal(a, b) for a, b in zip(*rows, strict=True))


def test_dlpack_streams_and_wrong_ids_on_the_device():
    import torch

    from embnic.backends.gpu import stage
    from embnic.backends.gpu_tables import GpuTables

    rng = seeded()
    table = Table("a", rows=1000, dim=64, pooling="sum")
    held, cpu = GpuTables([table]), CpuBackend([table], engine="numpy")
    stored = difficult_rows(rng, table, "normal")
    held.load("a", stored)
    cpu.load("a", stored)
    ids = torch.randint(0, 1000, (5000,), device="cuda", dtype=torch.int32)
    starts = torch.arange(0, 5000, 10, device="cuda", dtype=torch.int32)
    want = cpu.lookup(Bags.from_torch({"a": (ids, starts)}))["a"]
    assert same_bits(held.lookup_dlpack({"a": (ids, starts)})["a"].cpu().numpy(), want)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        vectors = held.lookup_dlpack({"a": (ids, starts)})["a"]
        assert same_bits(torch.from_dlpack(vectors).cpu().numpy(), want)
    for wrong in (1000, -1):
        bad = ids.clone()
        bad[77] = wrong
        with pytest.raises(ConfigError, match=f"id {wrong} at position 77"):
            held.lookup_dlpack({"a": (bad, starts)})
    with pytest.raises(ConfigError, match="the tables are on cuda:0"):
        held.lookup_dlpack({"a": (ids.cpu(), starts)})
    assert same_bits(held.lookup_dlpack({"a": (ids, starts)})["a"].cpu().numpy(), want)
    staged = stage({"a": want})["a"]
    assert staged.is_cuda
    assert same_bits(staged.cpu().numpy(), want)


def test_tables_that_do_not_fit_are_cached_and_say_so(caplog):
    import torch

    from embnic.backends.gpu_tables import GpuTables

    free, _ = torch.cuda.mem_get_info()
    hog = torch.empty(free - (3 << 30), dtype=torch.uint8, device="cuda")
    free, _ = torch.cuda.mem_get_info()
    table = Table("a", rows=(free + (64 << 20)) // 512, dim=128, pooling="sum")
    held = GpuTables([table])
    assert held.memory.mode == "cached"
    assert sum("the GPU's memory is used up" in record.message for record in caplog.records) == 1
    assert held.stats()["cached"] == 1
    held.close()
    del hog
    torch.cuda.empty_cache()
