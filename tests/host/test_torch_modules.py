# SPDX-License-Identifier: Apache-2.0
"""`embnic.torch.EmbeddingBag` beside `torch.nn.EmbeddingBag`: results, gradients, training, state, refusals."""

from __future__ import annotations

import copy
import gc
import inspect
import io
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from cases import seeded
from torch import nn
from torch_cases import random_bags, random_samples, random_weight, same, torch

import embnic
from embnic.torch import EmbeddingBag, Mirror

pytestmark = pytest.mark.torch

CASES = 4_500
IDS = torch.tensor([1, 2, 4, 5, 4, 3])
STARTS = torch.tensor([0, 2, 2, 4])


def pair(
    weight: torch.Tensor, mirror: Mirror | None = None, **settings: Any
) -> tuple[EmbeddingBag, nn.EmbeddingBag]:
    """Return our module and torch's, each with its own copy of the weight."""
    rows, dim = weight.shape
    ours = EmbeddingBag(
        rows, dim, _weight=copied(weight), mirror=mirror or Mirror("cpu"), **settings
    )
    return ours, nn.EmbeddingBag(rows, dim, _weight=copied(weight), **settings)


def copied(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy with the same strides."""
    made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
    return made.copy_(tensor)


def random_settings(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    """Return arguments of the module that torch accepts together."""
    mode = str(rng.choice(["sum", "mean", "max"]))
    return {
        "mode": mode,
        "sparse": mode != "max" and bool(rng.integers(2)),
        "scale_grad_by_freq": mode != "max" and bool(rng.integers(2)),
        "include_last_offset": bool(rng.integers(2)),
        "padding_idx": None if rng.integers(2) else int(rng.integers(-rows, rows)),
    }


def random_inputs(
    rng: np.random.Generator, weight: torch.Tensor, settings: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Return input, offsets and per_sample_weights, 1-D or 2-D."""
    weighted = settings["mode"] == "sum" and bool(rng.integers(2))
    if rng.integers(4) == 0:
        shape = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        ids = torch.from_numpy(rng.integers(0, len(weight), shape))
        flat = random_samples(rng, ids.reshape(-1), weight.dtype) if weighted else None
        return ids, None, None if flat is None else flat.reshape(shape)
    ids, ends = random_bags(rng, len(weight))
    offsets = ends if settings["include_last_offset"] else ends[:-1]
    return ids, offsets, random_samples(rng, ids, weight.dtype) if weighted else None


def backward(
    module: nn.Module, given: tuple[Any, Any, Any], grad: torch.Tensor, *, samples: bool
) -> tuple[torch.Tensor | None, ...]:
    """Return output, gradient of the weight and of per_sample_weights."""
    ids, offsets, weights = given
    if weights is not None and samples:
        weights = weights.detach().requires_grad_()
    module.zero_grad()
    output = module(ids, offsets, weights)
    if output.requires_grad:
        output.backward(grad)
    return output, module.weight.grad, None if weights is None else weights.grad


def random_case(rng: np.random.Generator) -> tuple[Any, ...]:
    """Return modules, inputs and a gradient."""
    weight = random_weight(rng, kinds=("normal", "wide", "ties"))
    settings = random_settings(rng, len(weight))
    ours, theirs = pair(weight, **settings)
    given = random_inputs(rng, weight, settings)
    last = given[1] is not None and settings["include_last_offset"]
    bags = len(given[0]) if given[1] is None else len(given[1]) - last
    grad = torch.from_numpy(rng.standard_normal((bags, weight.shape[1])).astype(np.float32))
    return ours, theirs, given, grad.to(weight.dtype)


def test_results_and_gradients_equal_torch() -> None:
    """Types, strides, modes, padding, weights, sparse and scaled gradients, 1-D and 2-D: 0 mismatches."""
    rng = seeded()
    seen = {"weighted": 0, "sparse": 0, "refused": 0, "empty": 0}
    for case in range(CASES):
        ours, theirs, given, grad = random_case(rng)
        samples = bool(rng.integers(2))
        try:
            expected = backward(theirs, given, grad, samples=samples)
        except RuntimeError:  # a gradient that torch has not for this type
            seen["refused"] += 1
            with pytest.raises(RuntimeError):
                backward(ours, given, grad, samples=samples)
            continue
        got = backward(ours, given, grad, samples=samples)
        for name, a, b in zip(("output", "weight", "samples"), got, expected, strict=True):
            assert same(a, b), (case, name, theirs, given, theirs.weight.stride())
        seen["weighted"] += given[2] is not None and samples
        seen["sparse"] += theirs.sparse
        seen["empty"] += len(given[0]) == 0
    print(f"{CASES} forwards and backwards compared with torch, {seen}: 0 mismatches")
    assert seen["refused"] < CASES // 4 and min(seen["weighted"], seen["sparse"]) > 100


def test_the_signature_is_torchs() -> None:
    for ours, theirs in (
        (EmbeddingBag.__init__, nn.EmbeddingBag.__init__),
        (EmbeddingBag.from_pretrained, nn.EmbeddingBag.from_pretrained),
        (EmbeddingBag.forward, nn.EmbeddingBag.forward),
    ):
        given = inspect.signature(ours).parameters
        known = inspect.signature(theirs).parameters
        assert list(given)[: len(known)] == list(known)
        assert all(given[name].default == known[name].default for name in known)
        assert {name for name in given if name not in known} <= {"target", "mirror"}


def test_construction_is_torchs() -> None:
    torch.manual_seed(3)
    ours = EmbeddingBag(20, 5, padding_idx=-3, target="cpu")
    torch.manual_seed(3)
    theirs = nn.EmbeddingBag(20, 5, padding_idx=-3)
    assert torch.equal(ours.weight, theirs.weight) and ours.padding_idx == 17
    assert repr(ours) == repr(theirs) and isinstance(ours, nn.EmbeddingBag)


def test_from_pretrained() -> None:
    weight = torch.randn(7, 3)
    frozen = EmbeddingBag.from_pretrained(weight, mode="sum", target="cpu")
    assert not frozen.weight.requires_grad
    assert EmbeddingBag.from_pretrained(weight, freeze=False, target="cpu").weight.requires_grad
    assert torch.equal(
        frozen(IDS, STARTS), nn.EmbeddingBag.from_pretrained(weight, mode="sum")(IDS, STARTS)
    )


def test_a_nested_input_is_taken() -> None:
    ours, theirs = pair(torch.randn(7, 3), mode="sum")
    nested = torch.nested.nested_tensor(
        [torch.tensor([1, 2]), torch.tensor([3])], layout=torch.jagged
    )
    assert torch.equal(ours(nested), theirs(nested))


# --- training ---

OPTIMIZERS = {
    "sgd": lambda p, sparse: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p, sparse: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adagrad": lambda p, sparse: torch.optim.Adagrad(p, lr=0.1),
    "adam": lambda p, sparse: (torch.optim.SparseAdam if sparse else torch.optim.Adam)(p, lr=0.1),
}


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_training_equals_torch_bit_for_bit(name: str, sparse: bool) -> None:
    rng = seeded()
    ours, theirs = pair(
        torch.from_numpy(rng.standard_normal((300, 8)).astype(np.float32)),
        mode="sum",
        sparse=sparse,
    )
    optimizers = [OPTIMIZERS[name](list(m.parameters()), sparse) for m in (ours, theirs)]
    for step in range(25):
        ids = torch.from_numpy(rng.integers(0, 300, 30))
        offsets = torch.arange(0, 30, 3)
        losses = []
        for module, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            loss = (module(ids, offsets) - 1).square().sum()
            loss.backward()
            optimizer.step()
            losses.append(loss)
        assert torch.equal(*losses), step
        assert torch.equal(ours.weight, theirs.weight), step
    counted = ours.mirror.counters()
    only_rows = sparse and name != "momentum"  # momentum moves rows of earlier steps, too
    assert counted["compared"] == (0 if only_rows else 24)
    assert counted["rows"] < 300 + 24 * (31 if only_rows else 301)


def test_a_change_beside_the_optimizer_is_not_missed() -> None:
    """A sparse step and an in-place change between two lookups: the step's rows are not all of it."""
    ours, theirs = pair(torch.zeros(50, 4), mode="sum", sparse=True)
    whole = torch.arange(50), torch.arange(50)
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.5) for module in (ours, theirs)]
    for change_first in (True, False, True):
        for module, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            module(IDS, STARTS).sum().backward()
            with torch.no_grad():
                if change_first:
                    module.weight[40] += 1
                optimizer.step()
                if not change_first:
                    module.weight[41] -= 1
        assert torch.equal(ours(*whole), theirs(*whole))


def test_many_steps_without_a_lookup_are_seen() -> None:
    ours, theirs = pair(torch.zeros(50, 4), mode="sum", sparse=True)
    for module in (ours, theirs):
        module(IDS, STARTS).sum().backward()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
        for _ in range(130):
            optimizer.step()
    assert torch.equal(ours(IDS, STARTS), theirs(IDS, STARTS))


def test_a_mirror_that_is_gone_leaves_no_hook() -> None:
    from torch.optim import optimizer

    gc.collect()  # mirrors of other tests
    before = len(optimizer._global_optimizer_post_hooks)
    module = EmbeddingBag(10, 2, target="cpu")
    module(IDS, STARTS)
    assert len(optimizer._global_optimizer_post_hooks) == before + 1
    del module
    gc.collect()
    assert len(optimizer._global_optimizer_post_hooks) == before


# --- state ---


def test_state_dicts_go_both_ways() -> None:
    ours, theirs = pair(torch.randn(7, 3), mode="sum")
    for assign in (False, True):
        theirs = nn.EmbeddingBag(7, 3, mode="sum")
        ours.load_state_dict(theirs.state_dict(), assign=assign)
        assert torch.equal(ours(IDS, STARTS), theirs(IDS, STARTS))
        back = nn.EmbeddingBag(7, 3, mode="sum")
        back.load_state_dict(ours.state_dict(), assign=assign)
        assert torch.equal(back(IDS, STARTS), theirs(IDS, STARTS))
    assert list(ours.state_dict()) == ["weight"]


def test_copies_and_pickles_serve_their_own_weights() -> None:
    ours, theirs = pair(torch.randn(7, 3), mode="mean")
    expected = theirs(IDS, STARTS)
    file = io.BytesIO()
    torch.save(ours, file)
    file.seek(0)
    made = [
        copy.deepcopy(ours),
        pickle.loads(pickle.dumps(ours)),
        torch.load(file, weights_only=False),
    ]
    for other in made:
        assert other.mirror is not ours.mirror and other.mirror.options == ours.mirror.options
        assert torch.equal(other(IDS, STARTS), expected)
        with torch.no_grad():
            other.weight.add_(1)
        assert torch.equal(ours(IDS, STARTS), expected)
        assert not torch.equal(other(IDS, STARTS), expected)


def test_modules_that_share_a_mirror_share_an_engine_and_so_do_their_copies() -> None:
    mirror = Mirror("cpu")
    model = nn.ModuleList(EmbeddingBag(10 + n, 4, mode="sum", mirror=mirror) for n in range(3))
    twin = copy.deepcopy(model)
    for modules in (model, twin):
        for module in modules:
            module(IDS, STARTS)
        assert len(modules[0].mirror.engines) == 1
        assert len(modules[0].mirror.engines[0].tables) == 3
    assert twin[0].mirror is twin[1].mirror is not mirror


def test_other_settings_of_the_same_module_are_followed() -> None:
    """torch reads its attributes in every forward, and so do we: mode, padding, type, shape, parameter."""
    ours, theirs = pair(torch.randn(9, 4), mode="sum")
    changes = (
        lambda m: setattr(m, "mode", "mean"),
        lambda m: setattr(m, "padding_idx", 4),
        lambda m: setattr(m, "include_last_offset", True),
        lambda m: m.half(),
        lambda m: m.bfloat16(),
        lambda m: m.float(),
        lambda m: setattr(m, "weight", nn.Parameter(torch.full((12, 2), 3.0))),
    )
    for change in changes:
        for module in (ours, theirs):
            change(module)
        offsets = torch.cat([STARTS, torch.tensor([6])]) if theirs.include_last_offset else STARTS
        for _ in range(2):
            assert same(ours(IDS, offsets), theirs(IDS, offsets))


def test_a_parametrized_weight_is_served() -> None:
    class Double(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight * 2

    ours, theirs = pair(torch.randn(9, 4), mode="sum")
    for module in (ours, theirs):
        nn.utils.parametrize.register_parametrization(module, "weight", Double())
        module(IDS, STARTS).square().sum().backward()
    assert torch.equal(ours(IDS, STARTS), theirs(IDS, STARTS))
    assert torch.equal(
        ours.parametrizations.weight.original.grad, theirs.parametrizations.weight.original.grad
    )


def test_tied_weights_share_a_table_and_parted_ones_do_not() -> None:
    mirror = Mirror("cpu")
    first, second = (EmbeddingBag(9, 4, mode="sum", mirror=mirror) for _ in range(2))
    second.weight = first.weight
    first(IDS, STARTS), second(IDS, STARTS)
    assert len(mirror.engines[0].tables) == 1
    second.weight = nn.Parameter(torch.zeros(9, 4))
    for _ in range(2):
        assert not torch.equal(first(IDS, STARTS), second(IDS, STARTS))
        assert second(IDS, STARTS).abs().sum() == 0


def test_threads_may_share_a_module() -> None:
    ours, theirs = pair(torch.randn(500, 8), mode="sum")
    inputs = [(torch.randint(0, 500, (40,)), torch.arange(0, 40, 4)) for _ in range(8)]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(25):
            if not torch.equal(ours(*inputs[number]), theirs(*inputs[number])):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(ours.mirror.engines) == 1


# --- compile ---


class Net(nn.Module):
    """Hold a bag and a layer behind it."""

    def __init__(self, bag: nn.EmbeddingBag) -> None:
        super().__init__()
        self.bag = bag
        self.top = nn.Linear(bag.embedding_dim, 2)

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        """Pool and map."""
        return self.top(self.bag(*given))


def nets(mode: str, **settings: Any) -> tuple[Net, Net]:
    """Return two models with the same numbers, the first with our bag."""
    ours, theirs = pair(torch.randn(50, 8), mode=mode, **settings)
    first, second = Net(ours), Net(theirs)
    second.top.load_state_dict(first.top.state_dict())
    return first, second


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 4])
def test_compiled_models_equal_torch(mode: str, padding_idx: int | None) -> None:
    torch._dynamo.reset()
    ours, theirs = nets(mode, padding_idx=padding_idx)
    compiled = torch.compile(ours, backend="aot_eager", fullgraph=True)
    for length in (6, 9, 12):
        ids = torch.randint(0, 50, (length,))
        given = (ids, torch.tensor([0, 2, 2, 5]))
        if mode == "sum":
            given = (*given, torch.randn(length))
        for model, call in ((ours, compiled), (theirs, theirs)):
            model.zero_grad()
            call(*given).square().sum().backward()
        assert torch.equal(compiled(*given), theirs(*given))
        assert torch.equal(ours.bag.weight.grad, theirs.bag.weight.grad)
        with torch.no_grad():
            for model in (ours, theirs):
                model.bag.weight -= 0.1 * model.bag.weight.grad
    with torch.no_grad():
        assert torch.equal(compiled(*given), theirs(*given))


def test_the_operator_keeps_torchs_rules() -> None:
    """Schema, fake implementation and autograd registration agree (`torch.library.opcheck`)."""
    bag = EmbeddingBag(10, 3, mode="sum", target="cpu")
    weights = torch.rand(6, requires_grad=True)
    for mode, samples, padding in ((0, weights, -1), (0, None, 4), (1, None, -1), (2, None, 2)):
        torch.library.opcheck(
            torch.ops.embnic.embedding_bag.default,
            (bag.weight, IDS, STARTS, samples, bag.mirror.handle, mode, padding, *[False] * 3),
        )


def test_gradients_are_those_of_finite_differences() -> None:
    """The output is linear in weight and samples: a difference quotient over a power of two is exact enough."""
    torch.manual_seed(0)
    for mode, weighted in (("sum", True), ("sum", False), ("mean", False), ("max", False)):
        bag = EmbeddingBag(10, 3, mode=mode, target="cpu")
        samples = torch.rand(6, requires_grad=True) if weighted else None
        direction = torch.randn(4, 3)
        bag(IDS, STARTS, samples).mul(direction).sum().backward()
        for tensor in [bag.weight] + ([samples] if weighted else []):
            grad = tensor.grad.reshape(-1)
            for at in range(tensor.numel()):
                values = []
                for step in (2.0**-7, -(2.0**-7)):
                    with torch.no_grad():
                        tensor.view(-1)[at] += step
                        values.append(float(bag(IDS, STARTS, samples).mul(direction).sum()))
                        tensor.view(-1)[at] -= step
                assert abs((values[0] - values[1]) * 64 - float(grad[at])) < 2e-3, (mode, at)


def test_export_and_trace_keep_the_operator() -> None:
    ours, theirs = nets("sum")
    given = (IDS, STARTS)
    program = torch.export.export(ours, given)
    assert any("embnic" in str(node.target) for node in program.graph.nodes)
    assert torch.equal(program.module()(*given), theirs(*given))


def test_torch_func_is_refused_by_name() -> None:
    bag = EmbeddingBag(10, 3, mode="sum", target="cpu")

    def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.func.functional_call(bag, weights, (IDS, STARTS)).sum()

    with pytest.raises(embnic.ConfigError, match=r"torch\.func"):
        torch.func.grad(loss)({"weight": bag.weight.detach()})


# --- refusals ---


@pytest.mark.parametrize(
    ("settings", "given", "said"),
    [
        ({"max_norm": 1.0}, None, "max_norm is 1.0"),
        ({"mode": "median"}, None, "mode is 'median'"),
        ({"mode": "max", "sparse": True}, (IDS, STARTS), "mode is 'max' with sparse=True"),
        ({"mode": "mean"}, (IDS, STARTS, torch.ones(6)), "per_sample_weights are given with mode"),
        ({}, (IDS,), "comes without offsets"),
        ({}, (IDS.reshape(2, 3), STARTS), "comes with offsets"),
        ({}, (IDS.reshape(2, 3)[:, :0],), "rows of at least one id"),
        ({"mode": "sum"}, (IDS.reshape(2, 3), None, torch.ones(3, 2)), "have shape"),
        ({"include_last_offset": True}, (IDS, STARTS), "offsets end at 4"),
        ({}, (torch.tensor([10]), torch.tensor([0])), "id 10 at position 0 is out of range"),
        ({}, (torch.tensor([3, -1]), torch.tensor([0])), "holds -1 at position 1"),
        ({}, (IDS.float(), STARTS), "dtype torch.float32"),
        ({"dtype": torch.float64}, (IDS, STARTS), "dtype torch.float64"),
        ({"device": "meta"}, (IDS, STARTS), "The weight is on meta"),
        ({}, (IDS.to("meta"), STARTS), "input is on meta"),
    ],
)
def test_what_cannot_be_right_is_refused(
    settings: dict[str, Any], given: tuple[Any, ...] | None, said: str
) -> None:
    def use() -> None:
        bag = EmbeddingBag(10, 3, target="cpu", **settings)
        bag(*(given or ()))

    with pytest.raises(embnic.ConfigError, match=said):
        use()


def test_integer_weights_are_refused() -> None:
    with pytest.raises(embnic.ConfigError, match=r"torch\.int8.*embnic\.Table"):
        EmbeddingBag.from_pretrained(torch.ones(3, 2, dtype=torch.int8), target="cpu")(
            torch.tensor([0]), torch.tensor([0])
        )


def test_a_missing_target_says_so_at_the_first_lookup() -> None:
    bag = EmbeddingBag(10, 3, target="abacus")
    with pytest.raises(embnic.ConfigError, match="abacus"):
        bag(IDS, STARTS)
