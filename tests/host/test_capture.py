# SPDX-License-Identifier: Apache-2.0
"""`embnic.capture`: what a model looked up is in the file, the model is not disturbed, FBGEMM's tap is read."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from typing import Any

import pytest

import embnic
from embnic import BackendUnavailable, ConfigError
from embnic.capture_file import CapturedTable, read_capture

pytestmark = pytest.mark.torch

REQUIRED = os.environ.get("REQUIRE_TORCH") == "1"
if not REQUIRED and importlib.util.find_spec("torch") is None:
    pytest.skip(
        "torch is not installed; REQUIRE_TORCH=1 makes this a failure", allow_module_level=True
    )
pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra capture)")

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils._python_dispatch import _get_current_dispatch_mode  # noqa: E402


class Model(nn.Module):
    """Tables of every kind, one of them asked twice."""

    def __init__(self) -> None:
        super().__init__()
        self.emb_l = nn.ModuleList(
            [
                nn.EmbeddingBag(50, 4, mode="sum", padding_idx=3),
                nn.EmbeddingBag(20, 8, include_last_offset=True, dtype=torch.bfloat16, mode="sum"),
            ]
        )
        self.hours = nn.Embedding(24, 4)

    def forward(
        self, ids: torch.Tensor, offsets: torch.Tensor, scales: torch.Tensor
    ) -> torch.Tensor:
        first = self.emb_l[0](ids, offsets)
        again = self.emb_l[0](ids[:4].reshape(2, 2))
        ends = torch.cat([offsets, torch.tensor([len(ids)])])
        other = self.emb_l[1](ids % 20, ends, per_sample_weights=scales)
        hours = self.hours(ids.reshape(1, 2, -1) % 24)
        return first.sum() + again.sum() + other.float().sum() + hours.sum()


IDS, OFFSETS = torch.tensor([5, 3, 9, 9, 21, 49]), torch.tensor([0, 2, 2])
SCALES = torch.tensor([0.5, 1, 2, 4, 8, 16], dtype=torch.bfloat16)


@pytest.mark.parametrize("kind", ["train", "no_grad", "inference"])
def test_every_lookup_of_a_batch_is_in_the_file(tmp_path, kind):
    model = Model()
    context = {"no_grad": torch.no_grad, "inference": torch.inference_mode}.get(
        kind, torch.enable_grad
    )
    with context(), embnic.capture(model, tmp_path / "t", salt=False) as recording:
        expected = model(IDS, OFFSETS, SCALES)
        model.emb_l[0](IDS, OFFSETS)  # not a call of the model
        assert torch.equal(model(IDS, OFFSETS, SCALES), expected)
        if kind == "train":
            expected.backward()
    capture = read_capture(tmp_path / "t")
    assert capture.header == recording.header
    assert dict(capture.tables) == {
        "emb_l.0": CapturedTable("emb_l.0", 50, 4, "fp32", "sum", 3),
        "emb_l.1": CapturedTable("emb_l.1", 20, 8, "bf16", "sum"),
        "hours": CapturedTable("hours", 24, 4, "fp32", "none"),
    }
    batches = dict(capture.batches())
    assert sorted(batches) == [0, 1]
    for bags in batches.values():
        items = bags["emb_l.0"]
        assert items.values.tolist() == [5, 3, 9, 9, 21, 49, 5, 3, 9, 9]
        assert items.offsets.tolist() == [0, 2, 2, 6, 8, 10]
        assert items.weights is None
        others = bags["emb_l.1"]
        assert others.values.tolist() == [5, 3, 9, 9, 1, 9]
        assert others.offsets.tolist() == [0, 2, 2, 6]
        assert others.weights is not None
        assert others.weights.tolist() == [0.5, 1, 2, 4, 8, 16]
        assert bags["hours"].offsets.tolist() == [0, 3, 6], "the last dimension is the bag"


def test_a_recording_replays_through_an_engine(tmp_path):
    model = nn.EmbeddingBag(50, 4, mode="sum")
    with embnic.capture(model, tmp_path / "t", salt=False):
        expected = model(IDS, OFFSETS)
    capture = read_capture(tmp_path / "t")
    table = capture.tables["weight"]
    with embnic.open([embnic.Table("weight", rows=50, dim=4, pooling=table.pooling)], "cpu") as e:
        e.load("weight", model.weight.detach().numpy())
        (_, bags) = next(capture.batches())
        assert (e.lookup(bags)["weight"] == expected.detach().numpy()).all()


def test_by_default_the_rows_are_hidden(tmp_path):
    model = nn.EmbeddingBag(10_000, 4)
    ids = torch.arange(0, 3000).reshape(100, 30)
    with embnic.capture(model, tmp_path / "t"):
        model(ids)
        model(ids)
    capture = read_capture(tmp_path / "t")
    assert capture.header.salted
    found = capture.table("weight").values
    assert (found[:3000] == found[3000:]).all(), "reuse stays"
    assert (found[:3000] == ids.reshape(-1).numpy()).sum() < 10
    assert len(set(found.tolist())) == 3000


def test_quantised_rows_are_recorded(tmp_path):
    class Quantised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            rows = torch.randn(50, 16)
            self.register_buffer("q8", torch.ops.quantized.embedding_bag_byte_prepack(rows))
            self.q4 = [
                torch.ops.quantized.embedding_bag_4bit_prepack(rows)
            ]  # as DLRM: a plain list

        def forward(self, ids: torch.Tensor, offsets: torch.Tensor) -> None:
            torch.ops.quantized.embedding_bag_byte_rowwise_offsets(self.q8, ids, offsets)
            torch.ops.quantized.embedding_bag_4bit_rowwise_offsets(self.q4[0], ids, offsets)

    with embnic.capture(Quantised(), tmp_path / "t", salt=False) as recording:
        recording._model(IDS, OFFSETS)
    tables = read_capture(tmp_path / "t").tables
    assert tables["q8"] == CapturedTable("q8", 50, 16, "int8", "sum")
    assert tables["weight1"] == CapturedTable("weight1", 50, 16, "int4_end", "sum")


def test_an_exception_of_the_model_ends_its_batch_and_leaves_nothing(tmp_path):
    model = Model()
    hooks = len(model._forward_hooks), len(model._forward_pre_hooks)
    with embnic.capture(model, tmp_path / "t", salt=False) as recording:
        with pytest.raises(RuntimeError, match="per_sample_weights"):
            model(IDS, OFFSETS, SCALES.double())
        assert _get_current_dispatch_mode() is None
        model(IDS, OFFSETS, SCALES)
    assert (len(model._forward_hooks), len(model._forward_pre_hooks)) == hooks
    assert (recording.header.batches_seen, recording.header.ended) == (2, "closed")
    with pytest.raises(ConfigError, match="entered again"), recording:
        pass


def test_threads_record_their_own_batches(tmp_path):
    model = nn.EmbeddingBag(50, 4, mode="sum")
    begin = threading.Barrier(4)

    def work(number: int) -> None:
        begin.wait(30)
        for _ in range(25):
            model(torch.full((1, number + 1), number))

    with embnic.capture(model, tmp_path / "t", salt=False):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    capture = read_capture(tmp_path / "t")
    assert capture.header.batches_kept == 100
    lengths = [0] * 4
    for _, bags in capture.batches():
        values = bags["weight"].values.tolist()
        assert values == [values[0]] * (values[0] + 1), "no batch holds bags of another thread"
        lengths[values[0]] += 1
    assert lengths == [25] * 4


def test_a_disk_that_fails_ends_the_recording_not_the_model(tmp_path, monkeypatch, caplog):
    model = nn.EmbeddingBag(50, 4)

    def full(self: Any) -> None:
        raise OSError(28, "No space left on device")

    with embnic.capture(model, tmp_path / "t") as recording:
        model(IDS, OFFSETS)
        with monkeypatch.context() as patch:
            patch.setattr("embnic.capture_writer.GROUP_BYTES", 1)
            patch.setattr("embnic.capture_writer.CaptureWriter._flush", full)
            for _ in range(3):
                assert model(IDS, OFFSETS).shape == (3, 4)
    assert caplog.text.count("ends here") == 1
    assert recording.header.ended == "error"
    assert read_capture(tmp_path / "t").header.batches_kept >= 1


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="Module"):
        embnic.capture(lambda ids: ids, tmp_path / "t")
    with pytest.raises(ConfigError, match="has not begun"):
        _ = embnic.capture(None, tmp_path / "t").header
    bag = nn.EmbeddingBag(5, 4)
    with (
        embnic.torch.offload(bag, target="cpu") as handle,
        pytest.raises(ConfigError, match="before it is offloaded"),
    ):
        embnic.capture(handle.model, tmp_path / "t")


# --- FBGEMM ---


def test_the_tap_of_fbgemm_is_read(tmp_path):
    tbe = pytest.importorskip(
        "fbgemm_gpu.split_table_batched_embeddings_ops_training",
        reason="fbgemm_gpu is not installed",
        exc_type=ImportError,
    )
    host, cpu = tbe.EmbeddingLocation.HOST, tbe.ComputeDevice.CPU
    recording = embnic.capture(None, tmp_path / "t", salt=False)
    modules = [
        tbe.SplitTableBatchedEmbeddingBagsCodegen(
            [(100, 8, host, cpu), (50, 4, host, cpu)],
            feature_table_map=[0, 0, 1],
            tbe_input_multiplexer_config=recording.tbe_config(),
        )
        for _ in range(2)
    ]
    ids, offsets = torch.arange(1, 8), torch.tensor([0, 1, 2, 4, 4, 5, 7])
    modules[0](ids, offsets)  # before it began
    with recording:
        modules[0](ids, offsets)
        modules[1](ids, offsets)
    capture = read_capture(tmp_path / "t")
    names = ["table-0", "table-1", "table-0@1", "table-1@1"]
    assert list(capture.tables) == names
    assert capture.tables["table-1"] == CapturedTable("table-1", 50, 4, "unknown", "unknown")
    for (_, bags), name in zip(capture.batches(), (names[:2], names[2:]), strict=True):
        assert bags[name[0]].values.tolist() == [1, 2, 3, 4]
        assert bags[name[0]].offsets.tolist() == [0, 1, 2, 4, 4], "both features of the table"
        assert bags[name[1]].values.tolist() == [5, 6, 7]


def test_fbgemms_tables_are_recorded_without_a_tap(tmp_path):
    """Training and inference tables, sums and means, a table that two features share, weights."""
    ops = "fbgemm_gpu.split_table_batched_embeddings_ops_"
    missing = {"reason": "fbgemm_gpu is not installed", "exc_type": ImportError}
    tbe = pytest.importorskip(f"{ops}training", **missing)
    nbit = pytest.importorskip(f"{ops}inference", **missing)
    from fbgemm_gpu.split_embedding_configs import SparseType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import PoolingMode

    host, cpu = tbe.EmbeddingLocation.HOST, tbe.ComputeDevice.CPU

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.train_tables = tbe.SplitTableBatchedEmbeddingBagsCodegen(
                [(100, 8, host, cpu), (50, 4, host, cpu)],
                feature_table_map=[0, 1, 0],
                pooling_mode=PoolingMode.MEAN,
            )
            self.serve_tables = nbit.IntNBitTableBatchedEmbeddingBagsCodegen(
                [("a", 70, 16, SparseType.INT8, host), ("b", 64, 12, SparseType.FP16, host)],
                device="cpu",
                indices_dtype=torch.int64,
                output_dtype=SparseType.FP32,
            )
            self.serve_tables.fill_random_weights()

        def forward(self, ids: torch.Tensor, offsets: torch.Tensor, scales: torch.Tensor) -> None:
            self.train_tables(ids, offsets)
            self.serve_tables(ids[:4], offsets[:5], scales[:4])

    model = Model()
    ids, offsets = torch.arange(1, 8), torch.tensor([0, 1, 2, 4, 4, 5, 7])
    scales = torch.linspace(0.5, 2.0, 7)
    with embnic.capture(model, tmp_path / "t", salt=False):
        model(ids, offsets, scales)
    capture = read_capture(tmp_path / "t")
    shapes = {(t.rows, t.dim, t.dtype, t.pooling) for t in capture.tables.values()}
    assert shapes == {
        (100, 8, "fp32", "mean"), (50, 4, "fp32", "mean"),
        (70, 16, "int8_front", "sum"), (64, 12, "fp16", "sum"),
    }  # fmt: skip
    first, second, served, last = (capture.table(name) for name in capture.tables)
    assert first.values.tolist() == [1, 2, 5, 6, 7], "the first feature and the third"
    assert first.offsets.tolist() == [0, 1, 2, 3, 5]
    assert second.values.tolist() == [3, 4]
    assert second.weights is None
    assert served.values.tolist() == [1, 2]
    assert last.values.tolist() == [3, 4]
    assert last.weights is not None
    assert last.weights.tolist() == scales[2:4].tolist()


class _Info:
    """What FBGEMM tells of a row-wise shard."""

    table_names = ("t",)
    full_table_heights = (1000,)
    table_dims = (8,)
    feature_table_map = (0, 0)
    row_offset = (500,)


class _Input:
    indices = torch.tensor([1, 2, 3])
    offsets = torch.tensor([0, 1, 2, 3])
    batch_size_per_feature_per_rank = ((1, 1), (1, 0))


def test_a_tap_knows_shards_and_batches_of_several_sizes(tmp_path):
    from embnic.torch.capture import _Tap

    recording = embnic.capture(None, tmp_path / "t", salt=False)
    tap = _Tap(recording, _Info)
    with recording:
        assert tap.should_run(1)
        tap.run(tbe_input_info=_Input)
    bags = read_capture(tmp_path / "t").table("t")
    assert bags.values.tolist() == [501, 502, 503], "rows of the whole table"
    assert bags.offsets.tolist() == [0, 1, 2, 3]


def test_without_fbgemm_the_remedy_is_named(tmp_path, monkeypatch):
    module = "fbgemm_gpu.tbe.monitoring.tbe_input_multiplexer"
    for name in ("fbgemm_gpu", module):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendUnavailable, match="fbgemm-gpu"):
        embnic.capture(None, tmp_path / "t").tbe_config()
