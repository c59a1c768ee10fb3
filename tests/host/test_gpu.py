# SPDX-License-Identifier: Apache-2.0
"""The GPU path, with its kernels in Triton's interpreter (or on a GPU where there is one): requests, bits, errors.

What all backends do is tested in `test_backends.py`, which runs the GPU path too.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import FORMATS, difficult_rows, random_bags, same_bits, seeded, table_of

import embnic
from embnic import gpu_probe
from embnic.backends.base import EVERYTHING, Capabilities
from embnic.backends.reference import ReferenceBackend
from embnic.bags import Bags
from embnic.config import Table
from embnic.errors import BackendUnavailable, ClosedError, ConfigError, DeviceError
from embnic.gen.wire import DType, Pooling

if os.environ.get("REQUIRE_TORCH") != "1":
    pytest.importorskip(
        "torch", reason="the GPU path needs torch; REQUIRE_TORCH=1 makes this a failure"
    )
    pytest.importorskip(
        "triton", reason="the GPU path needs triton; REQUIRE_TORCH=1 makes this a failure"
    )

import torch

from embnic.backends.gpu import GpuBackend, stage
from embnic.backends.gpu_device import open_device
from embnic.backends.gpu_layout import Tuning
from embnic.backends.gpu_tables import GpuTables

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def device():
    return open_device()


def named(table, name):
    """Return the same table with another name."""
    same = {
        field: getattr(table, field)
        for field in (
            "rows",
            "dim",
            "dtype",
            "pooling",
            "padding_idx",
            "order",
            "tree_k",
            "fixed_scale_exp",
        )
    }
    return Table(name, **same)


def everything(dtype, rng):
    """Return tables of one type: every pooling, with and without padding, and a tree."""
    shapes = [
        {"pooling": "sum"}, {"pooling": "sum", "padding_idx": 3}, {"pooling": "mean", "padding_idx": 0},
        {"pooling": "max"}, {"pooling": "none", "padding_idx": 2},
        {"pooling": "mean", "order": "tree", "tree_k": 4, "padding_idx": 1},
        {"pooling": "max", "order": "tree", "tree_k": 2},
    ]  # fmt: skip
    dims = rng.choice([1, 3, 8, 17, 40, 64, 100], len(shapes))
    return [
        named(table_of(dtype, rows=20, dim=int(dim), **shape), f"t{at}")
        for at, (shape, dim) in enumerate(zip(shapes, dims, strict=True))
    ]


def bags_for(tables, rng, bags, *, longest=9, weighted=None):
    parts = [
        random_bags(
            rng, t, bags, longest=longest,
            weighted=weighted if t.pooling is Pooling.SUM and t.dtype is not DType.FIXED else None,
        )
        for t in tables
    ]  # fmt: skip
    return Bags({name: part[name] for part in parts for name in part})


@pytest.mark.parametrize("kind", ["wide", "special"])
@pytest.mark.parametrize("dtype", FORMATS, ids=lambda dtype: dtype.name.lower())
def test_every_format_pooling_and_order_has_the_bits_of_the_reference(dtype, kind):
    rng = seeded()
    tables = everything(dtype, rng)
    backend, reference = GpuBackend(tables), ReferenceBackend(tables)
    for table in tables:
        rows = difficult_rows(rng, table, kind)
        backend.load(table.name, rows)
        reference.load(table.name, rows)
    bags = bags_for(tables, rng, 5, longest=12, weighted=kind)
    got, want = backend.lookup(bags), reference.lookup(bags)
    assert set(got) == set(want)
    for table in tables:
        assert same_bits(got[table.name], want[table.name]), table
    assert backend.stats()["saturations"] == reference.stats()["saturations"]
    assert backend.stats()["launches"] == 1


def test_a_request_of_mixed_tables_is_one_launch():
    rng = seeded()
    tables = [
        named(table_of(dtype, rows=20, dim=dim, pooling=pooling), f"{dtype.name}{dim}{pooling}")
        for dtype, dim, pooling in [
            (DType.FP32, 4, "sum"), (DType.FP32, 300, "mean"), (DType.FP16, 32, "max"), (DType.BF16, 9, "sum"),
            (DType.INT8, 64, "sum"), (DType.INT4, 33, "mean"), (DType.FIXED, 5, "max"),
        ]
    ]  # fmt: skip
    backend, reference = GpuBackend(tables), ReferenceBackend(tables)
    for table in tables:
        rows = difficult_rows(rng, table, "normal")
        backend.load(table.name, rows)
        reference.load(table.name, rows)
    for part in (tables, tables[2:5], tables[::-1]):
        bags = bags_for(part, rng, int(rng.integers(1, 6)), weighted="normal")
        before = backend.stats()["launches"]
        got, want = backend.lookup(bags), reference.lookup(bags)
        assert all(same_bits(got[name], want[name]) for name in want)
        assert backend.stats()["launches"] == before + 1


@pytest.mark.parametrize(
    "tuning", [Tuning(256, 1, 1), Tuning(512, 3, 1), Tuning(4096, 4, 4)], ids=str
)
def test_how_the_launch_is_cut_changes_no_bit(tuning):
    rng = seeded()
    tables = [
        Table("a", rows=30, dim=70, pooling="sum"),
        Table("b", rows=30, dim=6, pooling="mean", padding_idx=1),
    ]
    held, reference = GpuTables(tables, tuning=tuning), ReferenceBackend(tables)
    for table in tables:
        rows = difficult_rows(rng, table, "wide")
        held.load(table.name, rows)
        reference.load(table.name, rows)
    bags = bags_for(tables, rng, 7, weighted="wide")
    got, want = held.lookup(bags), reference.lookup(bags)
    assert all(same_bits(got[name], want[name]) for name in want)


def test_the_interpreter_rounds_a_fused_product_once(device):
    """What the comparison of weighted sums rests on, with operands whose two roundings differ from one."""
    table = Table("t", rows=2, dim=1, pooling="sum")
    held = GpuTables([table])
    held.load("t", np.array([[1 + 2**-23], [-(1 + 2**-22)]], np.float32))
    weights = {"t": [[1.0, 1 + 2**-23]]}
    got = held.lookup(Bags.from_lists({"t": [[1, 0]]}, weights))["t"]
    assert got[0, 0] == np.float32(2.0**-46)


# -- requests that are on the device already ---------------------------------------------------------------------------


@pytest.fixture
def item():
    """A filled table with its reference."""
    rng = seeded()
    table = Table("item", rows=50, dim=12, pooling="sum")
    held, reference = GpuTables([table]), ReferenceBackend([table])
    rows = difficult_rows(rng, table, "normal")
    held.load("item", rows)
    reference.load("item", rows)
    return held, reference


@pytest.mark.parametrize("kind", [torch.int32, torch.int64], ids=str)
def test_tensors_go_in_and_out_without_a_copy(item, kind):
    held, reference = item
    place = held.device.torch_device
    ids = torch.tensor([3, 8, 8, 5], dtype=kind, device=place)
    starts = torch.tensor([0, 3, 3], dtype=kind, device=place)
    want = reference.lookup(Bags.from_lists({"item": [[3, 8, 8], [], [5]]}))["item"]
    vectors = held.lookup_dlpack({"item": (ids, starts)})["item"]
    assert vectors.device == place
    assert same_bits(torch.from_dlpack(vectors).cpu().numpy(), want)
    flat = held.flat(["item"], ids, torch.tensor([0, 3, 3, 4], dtype=kind, device=place))
    assert flat.ids is ids
    assert same_bits(held.lookup_flat(flat)["item"].cpu().numpy(), want)


def test_anything_with_dlpack_is_taken(item):
    held, reference = item
    ids, starts = np.array([3, 8, 8, 5]), np.array([0, 3])
    if held.device.on_gpu:
        pytest.skip("numpy arrays are not on the GPU")
    want = reference.lookup(Bags.from_lists({"item": [[3, 8, 8], [5]]}))["item"]
    assert same_bits(held.lookup_dlpack({"item": (ids, starts)})["item"].numpy(), want)


def test_weights_of_some_tables_leave_the_others_as_they_are():
    rng = seeded()
    tables = [
        Table("w", rows=20, dim=8, pooling="sum"), Table("plain", rows=20, dim=8, pooling="sum", padding_idx=0),
        Table("max", rows=20, dim=8, pooling="max"),
    ]  # fmt: skip
    held, reference = GpuTables(tables), ReferenceBackend(tables)
    for table in tables:
        rows = difficult_rows(rng, table, "special")
        held.load(table.name, rows)
        reference.load(table.name, rows)
    parts = [
        random_bags(rng, t, 4, longest=6, weighted="special" if t.name == "w" else None)
        for t in tables
    ]
    bags = Bags({name: part[name] for part in parts for name in part})
    want = reference.lookup(bags)
    got = held.lookup(bags)
    place = held.device.torch_device
    given = {
        name: tuple(
            None if part is None else torch.from_numpy(part.copy()).to(place)
            for part in (bag.values, bag.offsets[:-1], bag.weights)
        )
        for name, bag in bags.items()
    }
    tensors = held.lookup_dlpack(given)
    for name in want:
        assert same_bits(got[name], want[name]), name
        assert same_bits(tensors[name].cpu().numpy(), want[name]), name


def test_a_wrong_id_on_the_device_is_named_and_never_read(item):
    held, reference = item
    place = held.device.torch_device
    starts = torch.tensor([0, 2], device=place)
    for wrong in (50, -1, 1 << 40):
        ids = torch.tensor([3, 8, wrong, 5], device=place)
        with pytest.raises(ConfigError, match=rf"id {wrong} at position 2 is out of range"):
            held.lookup_dlpack({"item": (ids, starts)})
    flat = held.from_dlpack(
        {"item": (torch.tensor([3, 50], device=place), torch.tensor([0], device=place))}
    )
    vectors = held.lookup_flat(flat, check=False)["item"]  # the wrong id contributes nothing
    assert same_bits(
        vectors.cpu().numpy(), reference.lookup(Bags.from_lists({"item": [[3]]}))["item"]
    )
    with pytest.raises(ConfigError, match="ids outside their table"):
        held.check_errors()
    held.check_errors()  # said once


@pytest.mark.parametrize("offsets", [[0, 3, 2, 4], [0, 2, 9, 9], [-1, 2, 3, 4]])
def test_wrong_offsets_on_the_device_are_named_and_nothing_outside_is_read(item, offsets):
    held, _ = item
    place = held.device.torch_device
    flat = held.flat(
        ["item"], torch.tensor([3, 8, 8, 5], device=place), torch.tensor(offsets, device=place)
    )
    with pytest.raises(ConfigError, match=r"offset -?\d+ of bag \d+ is wrong"):
        held.lookup_flat(flat)


def test_wrong_tensors_are_refused_in_our_words(item):
    held, _ = item
    place = held.device.torch_device
    ids, offsets = torch.tensor([3, 8], device=place), torch.tensor([0, 2], device=place)
    w = torch.ones(2, device=place)
    calls = {
        "float32": lambda: held.flat(["item"], ids.float(), offsets),
        "not contiguous": lambda: held.flat(["item"], torch.stack([ids, ids], 1)[:, 0], offsets),
        "one weight for every id": lambda: held.flat(["item"], ids, offsets, weights=w[:1]),
        "float64": lambda: held.flat(["item"], ids, offsets, weights=w.double()),
        "1 bags are given for 2 tables": lambda: held.flat(["item", "other"], ids, offsets),
        "different ones": lambda: held.flat(
            ["item", "item"], ids, torch.tensor([0, 1, 2], device=place)
        ),
        "'other' does not exist": lambda: held.flat(["other"], ids, offsets),
        "__dlpack__": lambda: held.lookup_dlpack({"item": ([3, 8], offsets)}),
        "the start of each bag": lambda: held.lookup_dlpack({"item": (ids,)}),
        "at least one table": lambda: held.lookup_dlpack({}),
        "rows have shape": lambda: held.load("item", torch.zeros(50, 11, device=place)),
    }
    for says, call in calls.items():
        with pytest.raises(ConfigError, match=says):
            call()
    mean = GpuTables([Table("m", rows=4, dim=4, pooling="mean")])
    with pytest.raises(ConfigError, match="weights are given with pooling"):
        mean.flat(["m"], ids, offsets, weights=w)


def test_offsets_that_do_not_start_with_the_tables_ids_are_refused():
    tables = [Table("a", rows=20, dim=4, pooling="sum"), Table("b", rows=20, dim=4, pooling="sum")]
    held = GpuTables(tables)
    for table in tables:
        held.load(table.name, np.ones((20, 4), np.float32))
    place = held.device.torch_device

    def tensor(*numbers):
        return torch.tensor(numbers, device=place)

    good = held.lookup_dlpack(
        {"a": (tensor(5, 6), tensor(0)), "b": (tensor(1, 2, 3), tensor(0, 2))}
    )
    assert (good["a"][:, 0].tolist(), good["b"][:, 0].tolist()) == ([2], [2, 1])
    for wrong in (tensor(2), tensor(1, 2)):
        with pytest.raises(
            ConfigError, match=r"Table 'b': offset \d of bag 0 is wrong.*start at 0"
        ):
            held.lookup_dlpack({"a": (tensor(5, 6), tensor(0)), "b": (tensor(1, 2, 3), wrong)})
    for offsets in (tensor(1, 2, 3), tensor(0, 2, 2)):  # begins late, ends early
        with pytest.raises(ConfigError, match="is wrong"):
            held.lookup_flat(held.flat(["a", "b"], tensor(1, 2, 3), offsets))
    held.lookup_flat(held.flat(["a", "b"], tensor(1, 2, 3), tensor(0, 2, 3)))


def test_weights_for_tables_that_take_none_are_refused():
    tables = [
        Table("sum", rows=4, dim=4, pooling="sum"), Table("max", rows=4, dim=4, pooling="max"),
        Table("fixed", rows=4, dim=4, pooling="sum", dtype="fixed", fixed_scale_exp=0),
    ]  # fmt: skip
    held = GpuTables(tables)
    place = held.device.torch_device
    ids, starts, w = (torch.tensor(x, device=place) for x in ([1], [0], [1.0]))
    for name in ("max", "fixed"):
        with pytest.raises(ConfigError, match=f"Table '{name}': weights are given"):
            held.from_dlpack({"sum": (ids, starts, w), name: (ids, starts, w)})
        with pytest.raises(ConfigError, match=f"Table '{name}': weights are given"):
            held.flat([name], ids, torch.tensor([0, 1], device=place), weights=w)
    held.from_dlpack({"sum": (ids, starts, w), "max": (ids, starts)})


def test_a_null_key_is_not_what_is_wrong():
    table = Table("t", rows=4, dim=4, pooling="none")
    held = GpuTables([table])
    held.load("t", np.ones((4, 4), np.float32))
    place = held.device.torch_device
    ids = torch.tensor([(1 << 48) - 1, 9], device=place)
    with pytest.raises(ConfigError, match="id 9 at position 1"):
        held.lookup_dlpack({"t": (ids, torch.tensor([0], device=place))})
    fine = held.lookup_dlpack({"t": (ids[:1], torch.tensor([0], device=place))})["t"]
    assert fine.tolist() == [[0.0] * 4]


def test_a_failing_gpu_is_a_device_error_and_the_other_paths_serve(monkeypatch):
    from embnic.backends.cpu import CpuBackend
    from embnic.selector import Cost, SelectBackend
    from embnic.selector import Path as Way

    table = Table("t", rows=4, dim=4, pooling="sum")
    gpu = GpuBackend([table])
    chosen = SelectBackend([table], [Way("cpu", CpuBackend([table])), Way("gpu", gpu)])
    chosen.load("t", np.ones((4, 4), np.float32))
    chosen.paths["gpu"].cost = Cost(1e-9, 0, 0, 0)

    def broken(*given, **named):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(gpu.tables, "lookup", broken)
    bags = Bags.from_lists({"t": [[1, 2]]})
    with pytest.raises(DeviceError, match="The GPU failed while looking up: CUDA error"):
        gpu.lookup(bags)
    assert chosen.lookup(bags)["t"].tolist() == [[2.0] * 4]
    assert chosen.paths["gpu"].lost
    monkeypatch.setattr(gpu.tables, "update", broken)
    with pytest.raises(DeviceError, match="while updating"):
        gpu.update("t", [1], np.ones((1, 4), np.float32))


def test_mixed_devices_are_named(item):
    held, _ = item
    meta = torch.zeros(2, dtype=torch.int64, device="meta")
    with pytest.raises(
        ConfigError, match=f"on meta is given, the tables are on {held.device.torch_device}"
    ):
        held.flat(
            ["item"], meta, torch.zeros(2, dtype=torch.int64, device=held.device.torch_device)
        )


def test_tables_without_rows_and_closed_ones_say_so(item):
    held, _ = item
    empty = GpuTables([Table("t", rows=4, dim=4, pooling="sum")])
    with pytest.raises(ConfigError, match="has no rows yet"):
        empty.lookup(Bags.from_lists({"t": [[1]]}))
    held.close()
    held.close()
    for call in (lambda: held.rows("item"), lambda: held.lookup(Bags.from_lists({"item": [[1]]}))):
        with pytest.raises(ClosedError):
            call()


def test_rows_are_a_view_of_the_memory(item):
    held, reference = item
    held.rows("item")[7] = 3.5
    got = held.lookup(Bags.from_lists({"item": [[7, 7]]}))["item"]
    assert got.tolist() == [[7.0] * 12]
    assert tuple(held.rows("item").shape) == (50, 12)
    del reference


# -- memory ------------------------------------------------------------------------------------------------------------


def test_tables_that_do_not_fit_are_cached_and_one_line_says_so(caplog, device, monkeypatch):
    from embnic.backends import gpu_memory

    def full(self, *args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(gpu_memory.DeviceMemory, "__init__", full)
    monkeypatch.setattr(type(device), "free_bytes", lambda self: 20_000)
    rng = seeded()
    table = Table("t", rows=500, dim=16, pooling="sum")
    held, reference = GpuTables([table]), ReferenceBackend([table])
    rows = difficult_rows(rng, table, "normal")
    with caplog.at_level(logging.WARNING, logger="embnic.gpu"):
        held.load("t", rows)
    reference.load("t", rows)
    assert [r.message for r in caplog.records] == [
        "32000 bytes of rows are cached: the GPU's memory is used up; the cache has 16000 bytes"
    ]
    assert held.stats()["cached"] == 1
    bags = bags_for([table], rng, 20)
    assert same_bits(held.lookup(bags)["t"], reference.lookup(bags)["t"])


def test_memory_for_the_vectors_may_be_missing_too(item, monkeypatch):
    held, _ = item

    def full(size, dtype):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(held.device, "empty", full)
    with pytest.raises(DeviceError, match=r"no memory for 48 bytes of vectors.*Do: "):
        held.lookup(Bags.from_lists({"item": [[1]]}))


def test_neither_device_nor_host_memory(monkeypatch, device):
    from embnic.backends import gpu_memory

    def full(self, *args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(gpu_memory.DeviceMemory, "__init__", full)
    monkeypatch.setattr(type(device), "host_bytes", full)
    with pytest.raises(BackendUnavailable, match="nor pinned host memory") as caught:
        GpuTables([Table("t", rows=500, dim=16, pooling="sum")]).load(
            "t", np.zeros((500, 16), np.float32)
        )
    assert "target='cpu'" in caught.value.remedy


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "1"])
def test_device_bytes_is_checked(size):
    with pytest.raises(ConfigError, match="device_bytes is"):
        GpuTables([Table("t", rows=4, dim=4, pooling="sum")], device_bytes=size)


def test_a_cache_smaller_than_two_windows_is_refused():
    held = GpuTables([Table("t", rows=4000, dim=4, pooling="sum")], device_bytes=1023)
    with pytest.raises(ConfigError, match="at least 1024"):
        held.load("t", np.zeros((4000, 4), np.float32))


# -- whether there is a GPU --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capability", "enough"), [((6, 1), False), ((7, 5), False), ((8, 0), True), ((9, 0), True)]
)
def test_the_compute_capability_is_checked(capability, enough):
    reason = gpu_probe.check_capability(capability)
    assert (reason == "") == enough
    assert enough or "8.0 or newer" in reason


def test_the_probe_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(
        gpu_probe.importlib.util, "find_spec", lambda name: None if name == "triton" else object()
    )
    assert gpu_probe.gpu_missing() == "triton is not installed"


class Driver:
    """A CUDA driver with one GPU; a test changes what it answers."""

    def __init__(self, devices=1, capability=(9, 0), broken=0):
        self.devices, self.capability, self.broken = devices, capability, broken

    def cuInit(self, flags):
        return self.broken

    def cuDeviceGetCount(self, count):
        count._obj.value = self.devices
        return 0

    def cuDeviceGetAttribute(self, value, attribute, index):
        value._obj.value = self.capability[{75: 0, 76: 1}[attribute]]
        return 0


@pytest.mark.parametrize(
    ("driver", "says"),
    [
        (Driver(), ""), (Driver(devices=0), "no CUDA device"), (Driver(broken=100), "no CUDA device"),
        (Driver(capability=(7, 0)), "its compute capability is 7.0, 8.0 or newer is needed"),
    ],
)  # fmt: skip
def test_the_probe_asks_the_driver(driver, says, monkeypatch):
    monkeypatch.setattr(gpu_probe.ctypes, "CDLL", lambda name: driver)
    assert gpu_probe.gpu_missing() == says


def test_a_named_gpu_that_is_not_there_never_falls_back(monkeypatch):
    from embnic.backends import gpu_device

    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(gpu_device, "gpu_missing", lambda: "no CUDA driver")
    with pytest.raises(BackendUnavailable, match="no CUDA driver") as caught:
        embnic.open([Table("t", rows=4, dim=4, pooling="sum")], target="gpu")
    assert "embnic[gpu]" in caught.value.remedy


def test_the_interpreter_has_no_cuda_device(device):
    if device.on_gpu:
        pytest.skip("this is a GPU")
    with pytest.raises(ConfigError, match=r"'cuda:0'.*TRITON_INTERPRET=1"):
        GpuTables([Table("t", rows=4, dim=4, pooling="sum")], device="cuda:0")


# -- with the card, in the engine --------------------------------------------------------------------------------------


def test_a_cards_replies_become_gpu_tensors_through_pinned_memory(device):
    rng = seeded()
    pooled = {
        "a": rng.standard_normal((3, 5), dtype=np.float32), "h": rng.standard_normal((2, 4)).astype(np.float16),
        "b": rng.integers(0, 1 << 15, (2, 3), dtype=np.uint16), "empty": np.zeros((0, 4), np.float32),
    }  # fmt: skip
    staged = stage(pooled)
    for name, array in pooled.items():
        tensor = torch.from_dlpack(staged[name])
        assert tensor.device == device.torch_device
        assert tuple(tensor.shape) == array.shape
        bits = tensor.cpu().view(torch.int16) if name == "b" else tensor.cpu()
        assert same_bits(bits.numpy().view(array.dtype), array)


def test_nobody_claims_peer_to_peer():
    assert not any(
        capabilities.peer_to_peer
        for capabilities in (EVERYTHING, Capabilities(), GpuBackend.capabilities)
    )


def test_the_engine_serves_the_gpu():
    rng = seeded()
    table = Table("item", rows=40, dim=8, pooling="mean")
    rows = difficult_rows(rng, table, "normal")
    reference = ReferenceBackend([table])
    reference.load("item", rows)
    bags = bags_for([table], rng, 6)
    with embnic.open([table], target="gpu") as engine:
        engine.load("item", rows)
        assert engine.target == "gpu"
        assert same_bits(engine.lookup(bags)["item"], reference.lookup(bags)["item"])
        assert engine.stats().card["launches"] == 1


# -- the compiled kernels, without a GPU -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Compile every kernel for compute capability 9.0 in a process without interpreter."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    done = subprocess.run(
        [sys.executable, str(HERE / "gpu_compile.py"), "90"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {line["kernel"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.slow
def test_every_kernel_compiles_without_spills_flushes_or_rough_divisions(compiled):
    assert len(compiled) == 39
    for name, line in compiled.items():
        assert (line["spills"], line["flushes"], line["other_divisions"]) == (0, 0, 0), name


@pytest.mark.slow
def test_only_weighted_and_quantised_sums_are_fused_and_rows_are_loaded_16_bytes_at_a_time(
    compiled,
):
    pools = {
        name: line
        for name, line in compiled.items()
        if name.split("-")[0] in ("fp32", "fp16", "bf16", "fixed")
    }
    assert len(pools) == 19
    for name, line in pools.items():
        assert (line["fused"] > 0) == name.endswith("weighted"), name
        # A tree keeps its sums in registers: tiles of 64 elements, 8 bytes or less a thread.
        least = {"none": 1, "tree": 0}.get(name.split("-")[1], 8)
        assert line["wide_loads"] >= least, name
