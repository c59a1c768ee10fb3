# SPDX-License-Identifier: Apache-2.0
"""`offload`: models that need no change, with the results, gradients and state that they had."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from cases import seeded
from dlrm_model import DLRM, random_batch  # after torch_cases, which skips without torch
from torch import nn
from torch_cases import torch

import embnic
from embnic.torch import EmbeddingBag, Mirror, offload

pytestmark = pytest.mark.torch

ROWS = (40, 7, 300, 12)


def generator(rng: np.random.Generator) -> torch.Generator:
    """Return torch's generator, seeded by ours."""
    made = torch.Generator()
    made.manual_seed(int(rng.integers(1 << 31)))
    return made


def twins(**settings: Any) -> tuple[DLRM, DLRM]:
    """Return two equal models."""
    model = DLRM(ROWS, 8, 5, **settings)
    return model, copy.deepcopy(model)


@pytest.mark.parametrize("target", ["cpu", "reference", "model:tiny"])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_unchanged_dlrm_gives_the_same_bits(target: str, weighted: bool) -> None:
    numbers = generator(seeded())
    model, plain = twins(weighted=weighted)
    with offload(model, target) as handle, torch.no_grad():
        assert handle.model is model and handle.served == [f"emb_l.{k}" for k in range(4)]
        for bags in (1, 6, 32):
            batch = random_batch(plain, bags, generator=numbers)
            assert torch.equal(model(*batch), plain(*batch))
        (engine,) = handle.mirror.engines
        assert engine.target.split(":")[0] == target.split(":")[0]
        assert engine.stats().bags == 4 * (1 + 6 + 32)
        if target == "cpu":
            assert engine.stats().card["lookups"] == 3  # one fused lookup a forward


@pytest.mark.parametrize("sparse", [False, True])
def test_training_of_a_dlrm_is_bit_equal(sparse: bool) -> None:
    numbers = generator(seeded())
    model, plain = twins(sparse=sparse)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.2) for m in (model, plain)]  # made before
    with offload(model, "cpu"):
        for _ in range(15):
            batch = random_batch(plain, 16, generator=numbers)
            clicks = torch.randint(0, 2, (16, 1), generator=numbers).float()
            losses = []
            for module, optimizer in zip((model, plain), optimizers, strict=True):
                optimizer.zero_grad()
                loss = nn.functional.binary_cross_entropy(module(*batch), clicks)
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            assert torch.equal(*losses)
    trained, expected = model.state_dict(), plain.state_dict()
    assert list(trained) == list(expected)
    assert all(torch.equal(trained[name], expected[name]) for name in expected)


def test_restore_gives_back_the_same_modules_and_parameters() -> None:
    model, _ = twins()
    modules, parameters = list(model.emb_l), list(model.parameters())
    keys = set(model.__dict__)
    handle = offload(model, "cpu")
    assert all(type(bag) is EmbeddingBag for bag in model.emb_l)
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    model.eval()
    model.emb_l[1].weight = nn.Parameter(torch.zeros(7, 8))
    handle.restore()
    handle.restore()
    assert all(a is b for a, b in zip(model.emb_l, modules, strict=True))
    assert set(model.__dict__) == keys and not model.emb_l[0].training
    assert model.emb_l[1].weight.sum() == 0
    assert type(model.emb_l[0]) is nn.EmbeddingBag
    assert set(model.emb_l[0].__dict__) == set(nn.EmbeddingBag(1, 1).__dict__)


def test_state_dicts_of_offloaded_models_are_torchs() -> None:
    numbers = generator(seeded())
    for assign in (False, True):
        model, plain = twins()
        offload(model, "cpu")
        batch = random_batch(plain, 8, generator=numbers)
        other = DLRM(ROWS, 8, 5)
        model(*batch)
        model.load_state_dict(other.state_dict(), assign=assign)
        assert torch.equal(model(*batch), other(*batch))
        plain.load_state_dict(model.state_dict(), assign=assign)
        assert torch.equal(plain(*batch), other(*batch))


def test_copies_and_pickles_of_offloaded_models_stand_alone() -> None:
    numbers = generator(seeded())
    model, plain = twins()
    handle = offload(model, "cpu")
    batch = random_batch(plain, 8, generator=numbers)
    model(*batch)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(*batch), plain(*batch))
        mirror = other.emb_l[0].mirror
        assert mirror is other.emb_l[3].mirror is not handle.mirror
        assert len(mirror.engines) == 1
        with torch.no_grad():
            other.emb_l[0].weight.zero_()
    handle.restore()
    assert torch.equal(model(*batch), plain(*batch))


def test_a_module_in_two_places_stays_one() -> None:
    bag = nn.EmbeddingBag(10, 4, mode="sum")
    model = nn.ModuleDict({"a": bag, "b": nn.ModuleList([bag])})
    with offload(model, "cpu"):
        assert model["a"] is model["b"][0] and type(model["a"]) is EmbeddingBag
    assert model["a"] is model["b"][0] is bag


def test_a_bag_itself_is_offloaded_through_the_handle() -> None:
    bag = nn.EmbeddingBag(10, 4, mode="sum")
    given = torch.tensor([1, 2]), torch.tensor([0])
    with offload(bag, "cpu") as handle:
        assert type(handle.model) is EmbeddingBag
        assert torch.equal(handle.model(*given), bag(*given))
    assert handle.model is bag


def test_hooks_are_kept_and_called() -> None:
    numbers = generator(seeded())
    model, plain = twins()
    seen: list[int] = []
    model.emb_l[2].register_forward_hook(lambda module, given, output: seen.append(len(output)))
    batch = random_batch(plain, 6, generator=numbers)
    with offload(model, "cpu"):
        assert torch.equal(model(*batch), plain(*batch))
    model(*batch)
    assert seen == [6, 6]


def test_what_cannot_be_served_is_named_and_the_model_left_alone() -> None:
    model = nn.ModuleDict(
        {
            "good": nn.EmbeddingBag(10, 4),
            "bad": nn.EmbeddingBag(10, 4, max_norm=1.0),
            "wide": nn.EmbeddingBag(10, 4, dtype=torch.float64),
        }
    )
    before = list(model.values())
    with pytest.raises(embnic.ConfigError, match=r"bad: max_norm is 1\.0"):
        offload(model, "cpu")
    assert list(model.values()) == before
    with offload(model, "cpu", unsupported="leave") as handle:
        assert handle.served == ["good"] and list(handle.left) == ["bad", "wide"]
        assert "float64" in handle.left["wide"]
        given = torch.tensor([1, 2]), torch.tensor([0])
        for module in model.values():
            module(*given)
    with pytest.raises(embnic.ConfigError, match="unsupported is 'ignore'"):
        offload(model, "cpu", unsupported="ignore")
    with pytest.raises(embnic.ConfigError, match="Linear has no embedding bag"):
        offload(nn.Linear(1, 1), "cpu")


def test_subclasses_with_a_forward_of_their_own_stay() -> None:
    class Scaled(nn.EmbeddingBag):
        def forward(self, *given: Any) -> torch.Tensor:
            return super().forward(*given) * 2

    model = nn.ModuleList([Scaled(10, 4), nn.EmbeddingBag(10, 4)])
    with offload(model, "cpu") as handle:
        assert handle.served == ["1"] and type(model[0]) is Scaled


def test_models_may_share_a_mirror_which_stays_open() -> None:
    first, second = nn.ModuleList([nn.EmbeddingBag(5, 2)]), nn.ModuleList([nn.EmbeddingBag(6, 2)])
    given = torch.tensor([1, 2]), torch.tensor([0])
    with Mirror("cpu", fallback=False) as mirror:
        with offload(first, mirror=mirror), offload(second, mirror=mirror):
            first[0](*given), second[0](*given)
            assert len(mirror.engines) == 1 and list(mirror.engines[0].tables) == ["0", "0_1"]
        first[0](*given)
        assert mirror.engines[0].state == "open"


def test_hidden_writes_are_seen_after_refresh() -> None:
    model, plain = twins()
    numbers = generator(seeded())
    batch = random_batch(plain, 6, generator=numbers)
    with offload(model, "cpu") as handle, torch.no_grad():
        model(*batch)
        for module in (model, plain):
            module.emb_l[0].weight.numpy()[:] += 1
        handle.refresh()
        assert torch.equal(model(*batch), plain(*batch))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")  # inductor's own imports
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_compiled_dlrm_is_bit_equal(backend) -> None:
    """With torch's default compiler, too: it needs g++, as `make test` does."""
    torch._dynamo.reset()
    numbers = generator(seeded())
    model, plain = twins()
    with offload(model, "cpu"):
        compiled = torch.compile(model, backend=backend, fullgraph=True)
        expected = torch.compile(plain, backend=backend, fullgraph=True)
        for _ in range(2):
            batch = random_batch(plain, 6, generator=numbers)
            with torch.no_grad():
                assert torch.equal(compiled(*batch), expected(*batch))
