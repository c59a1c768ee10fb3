# SPDX-License-Identifier: Apache-2.0
"""`embnic.testing`: the comparison finds a wrong bit anywhere, and a shadow never changes what a model answers."""

from __future__ import annotations

import importlib.util
import os
import platform
from typing import Any

import pytest

import embnic
from embnic import ConfigError, DeviceTimeout

pytestmark = pytest.mark.torch

REQUIRED = os.environ.get("REQUIRE_TORCH") == "1"
if not REQUIRED and importlib.util.find_spec("torch") is None:
    pytest.skip(
        "torch is not installed; REQUIRE_TORCH=1 makes this a failure", allow_module_level=True
    )
if not REQUIRED and platform.machine() != "x86_64":
    pytest.skip("equality with torch is claimed on x86-64 only", allow_module_level=True)

import torch  # noqa: E402
from torch import nn  # noqa: E402

IDS, OFFSETS = torch.tensor([5, 3, 9, 9, 21, 49]), torch.tensor([0, 2, 2])


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.items = nn.EmbeddingBag(50, 4, mode="max")
        self.users = nn.EmbeddingBag(50, 4, padding_idx=9)
        self.hours = nn.Embedding(50, 4)

    def forward(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.items(ids, offsets), self.users(ids, offsets), self.hours(ids[:3])])


class Changed:
    """Stand for `Interception._ask_engine`: change one element of one part of the answers of one kind."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, part: int, *, mode: int = 1) -> None:
        from embnic.torch.intercept import Interception

        right = Interception._ask_engine

        def wrong(interception: Any, call: Any) -> Any:
            answer = right(interception, call)
            if call.kind == "bag" and call.mode == mode and part >= 0:
                answer[part].view(-1)[-1] += 1
            if call.kind == "rows" and part < 0:
                answer.view(-1)[0] += 1
            return answer

        monkeypatch.setattr(Interception, "_ask_engine", wrong)


@pytest.mark.parametrize("batch", [(IDS, OFFSETS), {"ids": IDS, "offsets": OFFSETS}])
@pytest.mark.parametrize("target", ["cpu", "reference", "rtl:tiny"])
def test_a_right_target_matches(batch, target):
    model = Model()
    report = embnic.testing.assert_matches_torch(model, batch, target=target)
    assert (report.lookups, report.bags, report.mismatches, report.equal) == (3, 9, 0, True)
    assert set(report.tables) == {"items", "users", "hours"}
    assert "9 bags of 3 lookups compared, 0 differ" in str(report)
    assert model.items.weight.grad is None


@pytest.mark.parametrize(
    ("part", "mode", "message"),
    [
        (0, 1, r"users: output\[2, 3\]"),
        (1, 1, r"users: offset2bag\[5\] is 3, torch has 2"),
        (2, 1, r"users: bag_size\[2\]"),
        (3, 2, r"items: max_indices\[2, 3\]"),
        (-1, 1, r"hours: output\[0, 0\]"),
    ],
)
def test_one_wrong_element_is_found_and_named(monkeypatch, part, mode, message):
    Changed(monkeypatch, part, mode=mode)
    with pytest.raises(AssertionError, match=message):
        embnic.testing.assert_matches_torch(Model(), (IDS, OFFSETS), target="cpu")


def test_a_comparison_of_nothing_is_no_success():
    with pytest.raises(AssertionError, match="nothing was compared"):
        embnic.testing.assert_matches_torch(nn.Linear(2, 2), torch.ones(1, 2), target="cpu")
    doubles = nn.EmbeddingBag(50, 4, dtype=torch.float64)
    with pytest.raises(AssertionError, match="dtype"):
        embnic.testing.assert_matches_torch(doubles, (IDS, OFFSETS), target="cpu")
    report = embnic.testing.assert_matches_torch(
        doubles, (IDS, OFFSETS), target="cpu", allow_passed=True
    )
    assert dict(report.passed) == {"dtype": 1}
    assert not report.equal
    from embnic.torch import offload

    with offload(Model(), target="cpu") as handle, pytest.raises(ConfigError, match="offloaded"):
        embnic.testing.assert_matches_torch(handle.model, (IDS, OFFSETS), target="cpu")


def test_a_shadow_counts_what_differs_and_answers_with_torch(monkeypatch):
    Changed(monkeypatch, 0)
    model = Model()
    expected = model(IDS, OFFSETS)
    expected.sum().backward()
    gradient, model.users.weight.grad = model.users.weight.grad, None
    with embnic.testing.shadow(model, target="cpu") as shadow:
        for _ in range(30):
            got = model(IDS, OFFSETS)
    got.sum().backward()
    assert torch.equal(got, expected)
    assert torch.equal(model.users.weight.grad, gradient)
    report = shadow.report()
    assert (report.lookups, report.bags, report.mismatches, report.equal) == (90, 270, 30, False)
    assert report.tables["users"].mismatched_bags == report.tables["users"].mismatched_lookups == 30
    assert report.tables["items"].mismatched_bags == 0
    assert len(report.examples) == 10
    assert (report.examples[0].table, report.examples[0].index) == ("users", (2, 3))
    assert len(report.torch_seconds) == len(report.target_seconds) == 90
    assert (report.torch_seconds > 0).all()
    text = str(report)
    assert "30 differ" in text
    assert "users: 30 of 90 bags differ" in text
    assert "us a lookup, p95" in text


def test_a_target_that_fails_does_not_disturb_the_model(monkeypatch):
    from embnic.torch.intercept import Interception

    def dead(self: Any, call: Any) -> Any:
        raise DeviceTimeout("waiting for a reply", waited=1.0)

    monkeypatch.setattr(Interception, "_ask_engine", dead)
    model = Model()
    with embnic.testing.shadow(model, target="cpu") as shadow:
        got = model(IDS, OFFSETS)
    assert torch.equal(got, model(IDS, OFFSETS))
    report = shadow.report()
    assert (dict(report.errors), report.lookups, report.equal) == ({"DeviceTimeout": 3}, 0, False)
    assert "not answered: 3 lookups (DeviceTimeout)" in str(report)


def test_a_shadow_follows_training():
    """Rows that the optimizer changed are compared as changed: the mirror is not a snapshot."""
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with embnic.testing.shadow(model, target="cpu") as shadow:
        for _ in range(5):
            optimizer.zero_grad()
            model(IDS, OFFSETS).square().sum().backward()
            optimizer.step()
    assert shadow.report().equal
    assert shadow.report().lookups == 15
