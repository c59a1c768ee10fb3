# SPDX-License-Identifier: Apache-2.0
"""torchrec's EmbeddingBagCollection and DLRM, offloaded and as a drop-in: the same results, gradients and state."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
from cases import seeded
from torch_cases import torch, torchrec

import embnic.torch
from embnic.torch import offload

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

rec = torchrec()
CONFIGS = (("t1", 8, 40, ["f1", "f3"]), ("t2", 4, 7, ["f2", "f1"]), ("t3", 8, 300, ["f4"]))


def tables(pooling: str = "SUM", *, dim: int | None = None) -> list[Any]:
    """Return configurations; the feature f1 is in two tables."""
    return [
        rec.EmbeddingBagConfig(
            name=name,
            embedding_dim=dim or width,
            num_embeddings=rows,
            feature_names=list(features),
            pooling=rec.PoolingType[pooling],
        )
        for name, width, rows, features in CONFIGS
    ]


def features(rng: np.random.Generator, bags: int, *, weighted: bool = False) -> Any:
    """Return a KeyedJaggedTensor with many empty bags; the ids fit every table of their feature."""
    keys, least = ("f1", "f2", "f3", "f4"), (7, 7, 40, 300)
    lengths = rng.integers(0, 4, (4, bags)) * rng.integers(0, 2, (4, bags))
    values = np.concatenate(
        [rng.integers(0, rows, int(n.sum())) for rows, n in zip(least, lengths, strict=True)]
    )
    return rec.KeyedJaggedTensor(
        keys=list(keys),
        values=torch.from_numpy(values),
        lengths=torch.from_numpy(lengths.reshape(-1)),
        weights=torch.from_numpy(rng.standard_normal(len(values)).astype(np.float32))
        if weighted
        else None,
    )


def assert_same(got: Any, expected: Any) -> None:
    """Compare two KeyedTensors."""
    assert got.keys() == expected.keys() and got.length_per_key() == expected.length_per_key()
    assert torch.equal(got.values(), expected.values())


@pytest.mark.parametrize(("pooling", "weighted"), [("SUM", False), ("SUM", True), ("MEAN", False)])
def test_an_offloaded_collection_is_bit_equal(pooling: str, weighted: bool) -> None:
    rng = seeded()
    plain = rec.EmbeddingBagCollection(tables(pooling), is_weighted=weighted)
    model = copy.deepcopy(plain)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.5) for m in (model, plain)]
    with offload(model, "cpu") as handle:
        assert isinstance(model, rec.EmbeddingBagCollection)
        for _ in range(10):
            given = features(rng, 12, weighted=weighted)
            outputs = [module(given) for module in (model, plain)]
            assert_same(*outputs)
            for optimizer, output in zip(optimizers, outputs, strict=True):
                optimizer.zero_grad()
                output.values().square().sum().backward()
                optimizer.step()
        (engine,) = handle.mirror.engines
        assert list(engine.tables) == [f"embedding_bags.{name}" for name, *_ in CONFIGS]
        assert engine.stats().bags == 10 * 5 * 12
    assert type(model) is rec.EmbeddingBagCollection
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_drop_in_takes_torchrecs_arguments_and_state() -> None:
    rng = seeded()
    plain = rec.EmbeddingBagCollection(tables())
    drop_in = embnic.torch.EmbeddingBagCollection(tables(), target="cpu")
    assert list(drop_in.state_dict()) == list(plain.state_dict())
    drop_in.load_state_dict(plain.state_dict())
    given = features(rng, 9)
    assert_same(drop_in(given), plain(given))
    assert [c.name for c in drop_in.embedding_bag_configs()] == ["t1", "t2", "t3"]
    assert not drop_in.is_weighted() and drop_in.device == torch.device("cpu")
    plain.load_state_dict(drop_in.state_dict())
    twin = copy.deepcopy(drop_in)
    assert_same(twin(given), plain(given))
    with pytest.raises(ValueError, match="Duplicate table name t1"):
        embnic.torch.EmbeddingBagCollection(tables()[:1] * 2)


def test_an_unchanged_torchrec_dlrm_is_bit_equal() -> None:
    rng = seeded()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchrec.models.dlrm import DLRM
    plain = DLRM(
        embedding_bag_collection=rec.EmbeddingBagCollection(
            [
                rec.EmbeddingBagConfig(
                    name=f"t{k}", embedding_dim=8, num_embeddings=300, feature_names=[f"f{k}"]
                )
                for k in range(1, 5)
            ]
        ),
        dense_in_features=5,
        dense_arch_layer_sizes=[16, 8],
        over_arch_layer_sizes=[16, 1],
    )
    model = copy.deepcopy(plain)
    with offload(model, "cpu") as handle:
        for _ in range(5):
            dense = torch.from_numpy(rng.standard_normal((12, 5)).astype(np.float32))
            given = features(rng, 12)
            outputs = [module(dense, given) for module in (model, plain)]
            assert torch.equal(*outputs)
            for module, output in zip((model, plain), outputs, strict=True):
                module.zero_grad()
                output.sum().backward()
            for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
                assert torch.equal(ours.grad, theirs.grad)
        assert len(handle.mirror.engines) == 1
