# SPDX-License-Identifier: Apache-2.0
"""Interception of FBGEMM's table-batched operators: the bits of FBGEMM, training seen, what is not served named."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from cases import seeded
from torch_cases import torch, torchrec

import embnic
from embnic import ConfigError

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

from torch.utils._python_dispatch import _disable_current_modes  # noqa: E402

torchrec()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # FBGEMM names what this build of it lacks
    from fbgemm_gpu.split_embedding_configs import EmbOptimType, SparseType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation, PoolingMode
    from fbgemm_gpu.split_table_batched_embeddings_ops_inference import (
        IntNBitTableBatchedEmbeddingBagsCodegen,
    )
    from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
        ComputeDevice,
        SplitTableBatchedEmbeddingBagsCodegen,
    )

BAGS = 30
TRAINING = "fbgemm::split_embedding_codegen_forward_{}_pt2_wrapper"
INFERENCE = "fbgemm::int_nbit_split_embedding_codegen_lookup_function"


def training(dims: list[int], features: list[int], **options: Any) -> Any:
    """Return training tables of 200 random rows each."""
    made = SplitTableBatchedEmbeddingBagsCodegen(
        [(200, dim, EmbeddingLocation.HOST, ComputeDevice.CPU) for dim in dims],
        feature_table_map=features,
        **{"optimizer": EmbOptimType.EXACT_SGD, "learning_rate": 0.5, **options},
    )
    made.init_embedding_weights_uniform(-1.0, 1.0)
    return made


def inference(dims: list[int], kinds: list[Any], **options: Any) -> Any:
    """Return inference tables of 200 random rows each."""
    made = IntNBitTableBatchedEmbeddingBagsCodegen(
        [(f"t{n}", 200, dims[n], kind, EmbeddingLocation.HOST) for n, kind in enumerate(kinds)],
        device="cpu",
        indices_dtype=torch.int64,
        **{"output_dtype": SparseType.FP32, **options},
    )
    made.fill_random_weights()
    return made


def batch(features: int, *, weighted: bool) -> tuple[Any, ...]:
    """Return random ids, offsets and weights of `BAGS` bags a feature; some bags are empty."""
    rng = seeded()
    lengths = rng.integers(0, 6, features * BAGS)
    offsets = torch.from_numpy(lengths.cumsum()).to(torch.int64)
    ids = torch.from_numpy(rng.integers(0, 200, lengths.sum()))
    scales = torch.from_numpy(rng.standard_normal(len(ids))).float() if weighted else None
    return ids, torch.cat([torch.zeros(1, dtype=torch.int64), offsets]), scales


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", ["cpu", "reference"])
def test_training_tables_have_fbgemms_bits_while_they_learn(weighted, target):
    """Rows that FBGEMM's optimizer changed are seen by the next lookup, though no version says so."""
    tables, twin = (training([8, 20], [0, 1, 0]) for _ in range(2))
    for mine, theirs in zip(
        tables.split_embedding_weights(), twin.split_embedding_weights(), strict=True
    ):
        theirs.data.copy_(mine.data)
    given = batch(3, weighted=weighted)
    name = TRAINING.format("weighted" if weighted else "unweighted")
    before = torch.zeros(BAGS, 36)
    with embnic.intercept(target=target, strict=True) as interception:
        for _ in range(4):
            got = tables(*given)
            got.square().sum().backward()
            assert not torch.equal(got, before), "the step changed nothing"
            before = got.detach()
            with _disable_current_modes():
                expected = twin(*given)
                expected.square().sum().backward()
            assert torch.equal(got, expected)
    assert interception.served == {name: 4}


@pytest.mark.parametrize("alignment", [1, 16])
@pytest.mark.parametrize("weighted", [False, True])
def test_inference_tables_have_fbgemms_bits(alignment, weighted):
    """All served types in one module, rows with and without a filled end; 0 differences."""
    kinds = [SparseType.INT8, SparseType.INT4, SparseType.FP32, SparseType.INT4, SparseType.INT8]
    compared = 0
    for dims in ([8, 8, 8, 8, 8], [64, 128, 16, 24, 100], [4, 12, 36, 256, 20]):
        tables = inference(dims, kinds, row_alignment=alignment)
        given = batch(5, weighted=weighted)
        expected = tables(*given)
        with embnic.intercept(target="cpu", strict=True) as interception:
            got = tables(*given)
        assert interception.served == {INFERENCE: 1}
        assert torch.equal(got.nan_to_num(7.0), expected.nan_to_num(7.0))
        compared += 5 * BAGS
    assert compared == 450


def test_half_precision_tables_answer_in_their_type():
    tables = inference([8, 40], [SparseType.FP16] * 2, output_dtype=SparseType.FP16)
    for table, _ in tables.split_embedding_weights():
        table.view(torch.float16).normal_()
    given = batch(2, weighted=False)
    expected = tables(*given)
    with embnic.intercept(target="cpu", strict=True):
        got = tables(*given)
    assert got.dtype is torch.float16
    assert torch.equal(got, expected)


def test_what_is_not_served_goes_through_by_name():
    """A mean, rows without pooling, and a type that is converted on the way out."""
    mean = training([8], [0], pooling_mode=PoolingMode.MEAN)
    rows = training([8], [0], pooling_mode=PoolingMode.NONE)
    half = inference([8], [SparseType.FP16])
    given = batch(1, weighted=False)
    for tables, reason in ((mean, "mean"), (rows, "operator"), (half, "dtype")):
        expected = tables(*given)
        with embnic.intercept(target="cpu") as interception:
            got = tables(*given)
        assert interception.passed == {reason: 1}
        assert not interception.served
        assert torch.equal(got.nan_to_num(7.0), expected.nan_to_num(7.0))
        with (
            embnic.intercept(target="cpu", strict=True),
            pytest.raises(ConfigError, match="is not served"),
        ):
            tables(*given)


def test_a_shadow_compares_whole_outputs():
    tables = inference([8, 16], [SparseType.INT8, SparseType.INT4])
    report = embnic.testing.assert_matches_torch(
        tables, batch(2, weighted=False), target="reference"
    )
    assert report.bags == BAGS
    assert report.mismatches == 0


def test_views_are_the_same_objects_while_their_tensor_lives():
    """The engine holds one table for each of FBGEMM's, however often it is looked up."""
    tables = training([8, 20], [0, 1, 0])
    with embnic.intercept(target="cpu", strict=True) as interception:
        for _ in range(3):
            tables(*batch(3, weighted=False))
        held = [stats for stats in interception.stats() if stats.bags]
    assert sum(stats.bags for stats in held) == 3 * 3 * BAGS
