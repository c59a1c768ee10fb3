# SPDX-License-Identifier: Apache-2.0
"""Interception: every operator, torch's bits forward and backward, reasons, threads, nesting; nothing left behind."""

from __future__ import annotations

import copy
import importlib.util
import itertools
import os
import platform
import subprocess
import sys
import threading
from contextlib import nullcontext
from typing import Any

import pytest
from cases import seeded

import embnic
from embnic import ConfigError

pytestmark = pytest.mark.torch

REQUIRED = os.environ.get("REQUIRE_TORCH") == "1"
if not REQUIRED and importlib.util.find_spec("torch") is None:
    pytest.skip(
        "torch is not installed; REQUIRE_TORCH=1 makes this a failure", allow_module_level=True
    )
if not REQUIRED and platform.machine() != "x86_64":
    pytest.skip("equality with torch is claimed on x86-64 only", allow_module_level=True)

import torch  # noqa: E402
import torch.nn.functional as functional  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils._python_dispatch import _get_current_dispatch_mode  # noqa: E402

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
BAG, FORWARD_ONLY, COMPOSITE, ROWS = (
    "aten::_embedding_bag",
    "aten::_embedding_bag_forward_only",
    "aten::embedding_bag",
    "aten::embedding",
)


class Model(nn.Module):
    """Two pooled tables, one of rows, and a layer on top, as a user writes them."""

    def __init__(self) -> None:
        super().__init__()
        self.items = nn.EmbeddingBag(50, 8, mode="sum", padding_idx=3)
        self.users = nn.EmbeddingBag(20, 8)
        self.hours = nn.Embedding(24, 8)
        self.top = nn.Linear(24, 1)

    def forward(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        parts = [
            self.items(ids, offsets),
            self.users(ids % 20, offsets),
            self.hours(ids[: len(offsets)] % 24),
        ]
        return torch.sigmoid(self.top(torch.cat(parts, dim=1)))


def seeded_torch() -> torch.Generator:
    """Return a generator with the printed seed."""
    generator = torch.Generator()
    generator.manual_seed(int(seeded().integers(1 << 31)))
    return generator


def batch(generator: torch.Generator, rows: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 40 ids in 12 bags, some of them empty."""
    ids = torch.randint(0, rows, (40,), generator=generator)
    cuts = torch.randint(0, 41, (11,), generator=generator)
    return ids, torch.cat([torch.zeros(1, dtype=torch.int64), cuts.sort().values])


def same(got: torch.Tensor, expected: torch.Tensor) -> bool:
    """Compare bits, NaNs by position."""
    if got.dtype != expected.dtype or got.shape != expected.shape:
        return False
    whole = {2: torch.int16, 4: torch.int32}[expected.element_size()]
    differ = got.contiguous().view(whole) != expected.contiguous().view(whole)
    return not bool((differ & ~(got.isnan() & expected.isnan())).any())


def assert_untouched() -> None:
    """Nothing listens any more."""
    assert _get_current_dispatch_mode() is None
    assert functional.embedding_bag.__module__ == "torch.nn.functional"
    assert type(functional.embedding_bag) is type(functional.embedding) is type(assert_untouched)


# --- answers ---


def test_every_way_to_pool_has_torchs_bits_and_gradients():
    """Modes, types, padding, weights, both offset forms, sparse and scaled gradients: 0 differences."""
    generator = seeded_torch()
    compared = 0
    flags = itertools.product(
        ("sum", "mean", "max"), DTYPES, (None, 4, -1), (False, True), (False, True)
    )
    for (mode, dtype, padding, weighted, last), _ in itertools.product(flags, range(2)):
        if weighted and mode != "sum":
            continue
        kept = torch.randn(50, 12, generator=generator).to(dtype)
        ids, offsets = batch(generator)
        given = torch.cat([offsets, torch.tensor([40])]) if last else offsets
        scales = torch.randn(40, generator=generator).to(dtype) if weighted else None
        options = {
            "mode": mode, "padding_idx": padding, "include_last_offset": last,
            "sparse": mode != "max" and padding is None and not last,
            "scale_grad_by_freq": mode != "max" and padding is not None,
        }  # fmt: skip
        results = []
        for serve in (False, True):
            weight = kept.clone().requires_grad_()
            psw = None if scales is None else scales.clone().requires_grad_()

            with embnic.intercept(target="cpu", strict=True) if serve else nullcontext() as found:
                out = functional.embedding_bag(
                    ids, weight, given, per_sample_weights=psw, **options
                )
                (out.float() * torch.arange(out.numel()).reshape(out.shape)).sum().backward()
            assert not serve or dict(found.served) == {BAG: 1}
            grads = [weight.grad.to_dense(), *([] if psw is None else [psw.grad])]
            results.append([out.detach(), *grads])
        for expected, got in zip(*results, strict=True):
            assert same(got, expected), (mode, dtype, options, weighted)
            compared += 1
    print(f"{compared} tensors compared")
    assert compared > 200


@pytest.mark.parametrize("kind", ["train", "no_grad", "frozen", "inference"])
@pytest.mark.parametrize("index", [torch.int32, torch.int64])
def test_the_operator_of_every_mode_is_served(kind, index):
    generator = seeded_torch()
    bag = nn.EmbeddingBag(50, 8, padding_idx=2, mode="mean").requires_grad_(kind != "frozen")
    ids, offsets = (t.to(index) for t in batch(generator))
    context = {"no_grad": torch.no_grad, "inference": torch.inference_mode}.get(
        kind, torch.enable_grad
    )
    with context():
        expected = bag(ids, offsets)
        with embnic.intercept(target="cpu", strict=True) as interception:
            got = bag(ids, offsets)
            matrix = bag(ids.reshape(8, 5))
        assert torch.equal(matrix, bag(ids.reshape(8, 5)))
    op = {"frozen": FORWARD_ONLY, "inference": COMPOSITE}.get(kind, BAG)
    assert dict(interception.served) == {op: 2}
    assert torch.equal(got, expected)
    assert got.requires_grad == expected.requires_grad
    assert got.is_inference() == expected.is_inference()


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_keep_every_bit(dtype):
    """`nn.Embedding`: negative zeros and NaNs too, any shape of ids, and the gradient of the padding row is none."""
    weight = torch.randn(30, 6, generator=seeded_torch()).to(dtype)
    weight[3], weight[4, 0] = -0.0, float("nan")
    table = nn.Embedding.from_pretrained(weight.clone(), freeze=False, padding_idx=5)
    ids = torch.tensor([[[3, 4, 5], [29, 0, 3]]])
    expected = table(ids)
    expected.nan_to_num().sum().backward()
    gradient, table.weight.grad = table.weight.grad, None
    with embnic.intercept(target="cpu", strict=True) as interception:
        got = table(ids)
        empty = table(torch.zeros(0, 3, dtype=torch.int64))
    got.nan_to_num().sum().backward()
    assert dict(interception.served) == {ROWS: 2}
    assert same(got.detach(), expected.detach())
    assert empty.shape == (0, 3, 6)
    assert same(table.weight.grad, gradient)


@pytest.mark.parametrize("op", ["byte", "4bit"])
def test_quantised_rows_have_torchs_bits(op):
    generator = seeded_torch()
    pack = getattr(torch.ops.quantized, f"embedding_bag_{op}_prepack")
    look = getattr(torch.ops.quantized, f"embedding_bag_{op}_rowwise_offsets")
    rows = pack(torch.randn(50, 16, generator=generator))
    ids, offsets = batch(generator)
    scales = torch.randn(40, generator=generator)

    def calls() -> list[torch.Tensor]:
        return [
            look(rows, ids, offsets),
            look(rows, ids.int(), offsets.int(), per_sample_weights=scales),
            look(rows, ids, torch.cat([offsets, torch.tensor([40])]), include_last_offset=True),
            look(rows, ids.reshape(5, 8)),
            look(rows, ids, offsets, False, 1),  # torch ignores this mode
        ]

    expected = calls()
    with embnic.intercept(target="cpu", strict=True) as interception:
        got = calls()
        rows.copy_(pack(torch.randn(50, 16, generator=generator)))
        changed = calls()
    assert dict(interception.served) == {f"quantized::embedding_bag_{op}_rowwise_offsets": 10}
    for one, other in ((got, expected), (changed, calls())):
        for a, b in zip(one, other, strict=True):
            assert same(a, b)


def test_a_model_trains_to_the_same_weights():
    """An unchanged model and optimizer: after ten steps every weight has the same bits, seen by every next lookup."""
    generator = seeded_torch()
    one = Model()
    other = copy.deepcopy(one)
    batches = [(batch(generator), torch.rand(12, 1, generator=generator)) for _ in range(10)]
    losses: list[list[float]] = []
    for model in (one, other):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        losses.append([])

        def step(inputs: Any, labels: Any, model: Any = model, optimizer: Any = optimizer) -> float:
            optimizer.zero_grad()
            loss = functional.binary_cross_entropy(model(*inputs), labels)
            loss.backward()
            optimizer.step()
            return float(loss.detach())

        if model is other:
            with embnic.intercept(target="cpu", strict=True) as interception:
                losses[-1] = [step(*given) for given in batches]
        else:
            losses[-1] = [step(*given) for given in batches]
    assert losses[0] == losses[1]
    assert losses[0][-1] != losses[0][0]
    for name, weight in one.state_dict().items():
        assert same(other.state_dict()[name], weight), name
    assert dict(interception.served) == {BAG: 20, ROWS: 10}


@pytest.mark.parametrize("target", ["reference", "model:tiny", "rtl:tiny"])
def test_the_tables_of_a_model_share_a_card(target):
    generator = seeded_torch()
    model = Model()
    ids, offsets = batch(generator)
    expected = model(ids, offsets)
    with embnic.intercept(model, target=target, strict=True) as interception:
        got = model(ids, offsets)
        both = interception.stats()
    assert torch.equal(got, expected)
    assert [stats.bags for stats in both] == [36], "the table of rows joins those of the bags"
    assert [stats.bags for stats in interception.stats()] == [36], "kept after the block"


# --- what is not served ---


@pytest.mark.filterwarnings("ignore:torch.quantize_per")
def test_what_cannot_be_served_goes_through_with_its_reason(caplog):
    generator = seeded_torch()
    ids, offsets = batch(generator)
    doubles = nn.EmbeddingBag(50, 4, dtype=torch.float64)
    renormed = nn.EmbeddingBag(50, 4, max_norm=0.5)
    plain = nn.EmbeddingBag(50, 4)
    plain.weight = renormed.weight
    packed = torch.ops.quantized.embedding_bag_prepack(
        torch.quantize_per_channel(
            torch.randn(50, 4), torch.ones(50), torch.zeros(50), 0, torch.quint8
        )
    )

    def meta() -> torch.Tensor:
        table = nn.EmbeddingBag(50, 4, device="meta")
        return table(ids.to("meta"), offsets.to("meta"))

    calls = {
        "dtype": lambda: doubles(ids, offsets),
        "max_norm": lambda: renormed(ids, offsets),
        "operator": lambda: torch.ops.quantized.embedding_bag_byte(packed, ids, offsets),
        "layout": meta,
    }

    for reason, call in calls.items():
        expected = call()
        with embnic.intercept(target="cpu") as interception:
            got = call()
            call()
        assert dict(interception.passed) == {reason: 2}, reason
        assert not interception.served
        assert got.shape == expected.shape
        assert reason == "layout" or torch.equal(got, expected)
        assert caplog.text.count("logged once") == 1
        assert f"{reason}: " in str(interception)
        caplog.clear()
        with (
            embnic.intercept(target="cpu", strict=True),
            pytest.raises(ConfigError, match="strict"),
        ):
            call()
        assert_untouched()
    with embnic.intercept(
        target="cpu"
    ) as interception:  # the same weight without max_norm is served
        renormed(ids, offsets)
        plain(ids, offsets)
    assert (dict(interception.passed), dict(interception.served)) == ({"max_norm": 1}, {BAG: 1})


def test_a_table_that_the_target_cannot_hold_goes_through():
    bag = nn.EmbeddingBag(5, 4000, mode="sum")  # `tiny` takes vectors of 512 bytes
    ids = torch.tensor([[1, 2]])
    with embnic.intercept(target="rtl:tiny") as interception:
        got = bag(ids)
        bag(ids)
    assert dict(interception.passed) == {"target": 2}
    assert torch.equal(got, bag(ids))
    with pytest.raises(ConfigError, match="dim 4000"), embnic.intercept(bag, target="rtl:tiny"):
        pass
    assert_untouched()


def test_compiled_code_is_told_to_use_offload(caplog):
    model = nn.EmbeddingBag(50, 4)
    compiled = torch.compile(model, backend="eager")
    ids, offsets = batch(seeded_torch())
    for _ in range(2):  # never compiled, and compiled before
        with embnic.intercept(target="cpu") as interception:
            got = compiled(ids, offsets)
        assert dict(interception.passed) == {"compile": 1}
        assert "use offload() with compile" in caplog.text
        assert torch.equal(got, model(ids, offsets))
        with (
            embnic.intercept(target="cpu", strict=True),
            pytest.raises(ConfigError, match=r"offload\(\) with compile"),
        ):
            compiled(ids, offsets)
        compiled(ids, offsets)

    with embnic.intercept(target="cpu") as interception:
        got = torch.compile(model, backend="eager")(ids, offsets)
        model(ids, offsets)
    assert (dict(interception.passed), dict(interception.served)) == ({"compile": 1}, {BAG: 1})
    assert torch.equal(got, model(ids, offsets))

    def inside(ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        with embnic.intercept(target="cpu"):
            return model(ids, offsets)

    with pytest.raises(ConfigError, match=r"offload\(\) with compile"):
        torch.compile(inside, backend="eager")(ids, offsets)
    assert_untouched()


def test_wrong_ids_and_targets_are_refused():
    bag = nn.EmbeddingBag(5, 4)
    with embnic.intercept(target="cpu"):
        with pytest.raises(ConfigError, match="out of range"):
            bag(torch.tensor([[5]]))
        with pytest.raises(ConfigError, match="silently drop"):
            functional.embedding_bag(
                torch.tensor([1, 2, 3]), bag.weight, torch.tensor([0, 2]), include_last_offset=True
            )
        assert torch.equal(bag(torch.tensor([[4]])), bag.weight[4:])
    with pytest.raises(ConfigError, match="target is 'fpga'"), embnic.intercept(target="fpga"):
        pass
    assert_untouched()


# --- blocks and threads ---


def test_an_exception_leaves_nothing_behind():
    for all_threads in (False, True):
        interception = embnic.intercept(target="cpu", all_threads=all_threads)

        def fail(interception: Any = interception) -> None:
            with interception, interception:
                raise KeyError("of the user")

        with pytest.raises(KeyError, match="of the user"):
            fail()
        assert_untouched()
        with interception:  # and it can be entered again
            nn.EmbeddingBag(5, 4)(torch.tensor([[1]]))
        assert dict(interception.served) == {BAG: 1}
    assert_untouched()


def test_the_inner_block_serves_and_passes_to_the_outer():
    bag, doubles = nn.EmbeddingBag(50, 4), nn.EmbeddingBag(50, 4, dtype=torch.float64)
    renormed = nn.EmbeddingBag(50, 4, max_norm=0.5)
    ids = torch.tensor([[1, 2]])
    with embnic.intercept(target="cpu") as outer:
        with embnic.intercept(target="reference") as inner:
            bag(ids)
            doubles(ids)
            renormed(ids)
        bag(ids)
    assert (dict(inner.served), dict(outer.served)) == ({BAG: 1}, {BAG: 1})
    assert dict(inner.passed) == {"dtype": 1, "max_norm": 1}
    assert dict(outer.passed) == {"dtype": 1, "max_norm": 1}
    assert [stats.target for stats in inner.stats()] == ["reference"]


def in_threads(count: int, work: Any) -> None:
    """Run `work(number)` in threads that begin together; raise what one of them raised."""
    errors: list[BaseException] = []
    begin = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            begin.wait(30)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]


def test_other_threads_are_served_only_when_asked():
    bag, ids = nn.EmbeddingBag(50, 4), torch.tensor([[1, 2]])
    expected = bag(ids)
    for all_threads in (False, True):
        with embnic.intercept(target="cpu", all_threads=all_threads, strict=True) as interception:
            in_threads(4, lambda _: [bag(ids) for _ in range(5)])
            assert torch.equal(bag(ids), expected)
        assert dict(interception.served) == {BAG: 21 if all_threads else 1}
        assert_untouched()


def test_threads_that_enter_by_themselves_share_the_engine():
    generator = seeded_torch()
    model = Model()
    batches = [batch(generator) for _ in range(4)]
    expected = [model(*given) for given in batches]
    interception = embnic.intercept(model, target="cpu", strict=True)

    def work(number: int) -> None:
        for _ in range(20):
            with interception:
                assert torch.equal(model(*batches[number]), expected[number])

    in_threads(4, work)
    assert dict(interception.served) == {BAG: 160, ROWS: 80}
    assert_untouched()


def test_blocks_for_all_threads_may_end_in_any_order():
    bag, ids = nn.EmbeddingBag(50, 4), torch.tensor([[1, 2]])
    one = embnic.intercept(target="cpu", all_threads=True)
    other = embnic.intercept(target="reference", all_threads=True)
    ready, leave = threading.Event(), threading.Event()

    def first() -> None:
        with one:
            ready.set()
            assert leave.wait(60)

    thread = threading.Thread(target=first)
    thread.start()
    assert ready.wait(60)
    with other:
        in_threads(1, lambda _: bag(ids))  # the last that began is asked first
        bag(ids)
        leave.set()
        thread.join(60)
        in_threads(1, lambda _: bag(ids))
    assert dict(other.served) == {BAG: 3}
    assert not one.served
    assert_untouched()


def test_listening_does_not_import_the_compiler():
    """torch._dynamo takes seconds to import, which the first lookup would wait for."""
    code = """
import sys, torch, embnic
bag = torch.nn.EmbeddingBag(5, 4)
with embnic.intercept(target="cpu") as interception:
    bag(torch.tensor([[1]])) + 1
assert interception.served
assert "torch._dynamo" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = embnic.nothing
