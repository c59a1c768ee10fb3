# SPDX-License-Identifier: Apache-2.0
"""Compare `embnic.torch.functional.serve` with torch's op: outputs and auxiliary outputs, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import seeded
from torch_cases import random_bags, random_samples, random_weight, same, torch

import embnic
from embnic.torch.functional import serve, unsupported
from embnic.torch.mirror import Mirror, Use, changed_rows

pytestmark = pytest.mark.torch

CASES = 6_000


def random_operands(rng: np.random.Generator, weight: torch.Tensor) -> dict[str, Any]:
    """Return the other arguments of the op."""
    ids, ends = random_bags(rng, len(weight))
    last, mode = bool(rng.integers(2)), int(rng.integers(3))
    weighted = mode == 0 and rng.integers(2)
    return {
        "indices": ids,
        "offsets": ends if last else ends[:-1],
        "mode": mode,
        "per_sample_weights": random_samples(rng, ids, weight.dtype) if weighted else None,
        "include_last_offset": last,
        "padding_idx": int(rng.integers(-1, len(weight))),
    }


def by_torch(weight: torch.Tensor, given: dict[str, Any]) -> tuple[torch.Tensor, ...]:
    """Return the four results of the op."""
    return torch.ops.aten._embedding_bag(
        weight,
        given["indices"],
        given["offsets"],
        False,
        given["mode"],
        False,
        given["per_sample_weights"],
        given["include_last_offset"],
        given["padding_idx"],
    )


def test_serve_equals_the_op_in_all_four_results() -> None:
    """Types, modes, padding, weights, strides, empty bags, no bags: 0 mismatches."""
    rng = seeded()
    seen = {"empty": 0, "apart": 0, "no bags": 0}
    for case in range(CASES):
        if case % 3 == 0:
            weight = random_weight(rng)
            mirror = Mirror("cpu")
        given = random_operands(rng, weight)
        expected = by_torch(weight, given)
        with torch.no_grad():
            got = serve(mirror, weight, **given)
        for name, ours, theirs in zip(
            ("output", "offset2bag", "bag_size", "max_indices"), got, expected, strict=True
        ):
            assert same(ours, theirs), (case, name, weight.dtype, weight.stride(), given)
        seen["empty"] += int((expected[0] == 0).all(dim=1).any())
        seen["apart"] += weight.stride(1) != 1
        seen["no bags"] += len(expected[0]) == 0
    print(f"{CASES} calls compared with torch, {seen}: 0 mismatches")
    assert min(seen.values()) > 20


def test_other_targets_serve_the_same_bits() -> None:
    rng = seeded()
    for target in ("reference", "model:tiny"):
        weight = torch.from_numpy(rng.standard_normal((20, 8)).astype(np.float32))
        for _ in range(20):
            given = random_operands(rng, weight)
            with Mirror(target) as mirror:
                got = serve(mirror, weight, **given)
                assert mirror.engines[0].target.split(":")[0] == target.split(":")[0]
            for ours, theirs in zip(got, by_torch(weight, given), strict=True):
                assert same(ours, theirs), (target, given)


# --- the mirror ---


def ask(mirror: Mirror, weight: torch.Tensor, ids: list[int]) -> torch.Tensor:
    """Return the rows of these ids."""
    return serve(mirror, weight, torch.tensor(ids), torch.arange(len(ids)), 0)[0]


def test_an_in_place_change_is_seen_by_the_next_lookup() -> None:
    rng = seeded()
    for target in ("cpu", "reference", "model:tiny"):
        weight = torch.from_numpy(rng.standard_normal((50, 8)).astype(np.float32))
        with Mirror(target) as mirror:
            for _ in range(30):
                ids = torch.from_numpy(rng.integers(0, 50, int(rng.integers(1, 60))))
                weight[ids] += 1
                assert torch.equal(ask(mirror, weight, list(range(50))), weight)
            counted = mirror.counters()
            assert len(mirror.engines) == 1 and counted["loads"] >= 1
            assert (counted["updates"] > 0) == (target == "cpu")


def test_only_changed_rows_are_pushed() -> None:
    weight = torch.zeros(10_000, 16)
    with Mirror("cpu") as mirror:
        ask(mirror, weight, [0])
        weight[[3, 9_999]] = 1.0
        ask(mirror, weight, [0])
        assert mirror.counters() == {"loads": 1, "updates": 1, "rows": 10_002, "compared": 1}
        weight.mul_(1.0)  # a new version of the same values
        ask(mirror, weight, [0])
        assert mirror.counters() == {"loads": 1, "updates": 1, "rows": 10_002, "compared": 2}
        ask(mirror, weight, [0])
        assert mirror.counters()["compared"] == 2  # nothing happened since


def test_hidden_writes_are_seen_after_refresh() -> None:
    weight = torch.zeros(4, 2)
    with Mirror("cpu") as mirror:
        assert ask(mirror, weight, [1]).tolist() == [[0.0, 0.0]]
        weight.numpy()[1] = 5
        weight.data[2] = 6
        assert ask(mirror, weight, [1, 2]).tolist() == [[0.0, 0.0], [0.0, 0.0]]
        mirror.refresh(weight)
        assert ask(mirror, weight, [1, 2]).tolist() == [[5.0, 5.0], [6.0, 6.0]]


def test_memory_that_was_exchanged_is_seen() -> None:
    weight = torch.nn.Parameter(torch.zeros(4, 2))
    with Mirror("cpu") as mirror, torch.no_grad():
        ask(mirror, weight, [0])
        weight.data = torch.ones(4, 2)
        assert ask(mirror, weight, [0]).tolist() == [[1.0, 1.0]]
        weight.data = torch.full((7, 3), 2.0)
        assert ask(mirror, weight, [6]).tolist() == [[2.0, 2.0, 2.0]]


def test_a_weight_that_is_gone_leaves_its_table_to_the_next() -> None:
    with Mirror("cpu") as mirror:
        for value in range(5):
            weight = torch.full((4, 2), float(value))
            assert ask(mirror, weight, [3]).tolist() == [[value, value]]
            del weight
        whole = torch.zeros(4, 2)
        for value in range(5):
            whole += 1
            assert ask(mirror, whole.detach(), [3]).tolist() == [[value + 1, value + 1]]
        assert len(mirror.engines) == 1


def test_inference_tensors_are_compared_every_time() -> None:
    with torch.inference_mode():
        weight = torch.zeros(4, 2)
        with Mirror("cpu") as mirror:
            for value in range(3):
                weight.fill_(value)
                assert ask(mirror, weight, [3]).tolist() == [[value, value]]


def test_changed_rows_finds_every_bit() -> None:
    rng = seeded()
    for dtype in (np.float32, np.float16, np.uint16, np.uint8):
        for columns in (1, 3, 8, 64):
            rows = rng.integers(0, 255, (3_000, columns)).astype(dtype)
            held = rows.copy()
            ids = np.unique(rng.integers(0, 3_000, 40))
            held.view(np.uint8).reshape(3_000, -1)[ids, 0] ^= 1
            assert changed_rows(held, rows).tolist() == ids.tolist()
    zero = np.zeros((2, 4), np.float32)
    assert changed_rows(zero, -zero).tolist() == [0, 1]  # +0 and -0 differ


def test_weights_that_are_added_together_share_an_engine() -> None:
    first, second = torch.ones(4, 2), torch.ones(5, 3)
    with Mirror("cpu") as mirror:
        slots = mirror.add({"a": (first, Use(0)), "b": (second, Use(1, 2))})
        one = embnic.TableBags(np.array([0, 1]), np.array([0, 2]))
        results = mirror.lookup_all(
            [(slots[0], first, one), (slots[1], second, one), (slots[0], first, one)]
        )
        assert [r.tolist() for r in results] == [[[2.0, 2.0]], [[1.0, 1.0, 1.0]], [[2.0, 2.0]]]
        assert len(mirror.engines) == 1 and list(mirror.engines[0].tables) == ["a", "b"]
        assert mirror.engines[0].stats().bags == 3


def test_weights_that_come_later_join_the_engine() -> None:
    for target in ("cpu", "reference", "model:tiny"):
        weights = [torch.full((4, 2), float(value)) for value in range(3)]
        with Mirror(target) as mirror:
            for _ in range(2):
                for value, weight in enumerate(weights):
                    assert ask(mirror, weight, [3]).tolist() == [[value, value]]
            assert len(mirror.engines) == 1 and len(mirror.engines[0].tables) == 3
            weights[0] = weights[1] = torch.full(
                (5, 2), 7.0
            )  # two are gone; the new one does not fit their tables
            assert ask(mirror, weights[0], [4]).tolist() == [[7.0, 7.0]]
            assert len(mirror.engines[0].tables) == 2
            assert ask(mirror, weights[2], [3]).tolist() == [[2.0, 2.0]]


def test_a_target_whose_tables_are_fixed_gets_another_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: embnic.Engine, table: embnic.Table, weights: Any) -> None:
        raise embnic.ConfigError("The tables are those it was opened with.")

    monkeypatch.setattr(embnic.Engine, "add_table", refuse)
    first, second = torch.ones(4, 2), torch.zeros(4, 2)
    with Mirror("cpu") as mirror:
        assert ask(mirror, first, [3]).tolist() == [[1.0, 1.0]]
        assert ask(mirror, second, [3]).tolist() == [[0.0, 0.0]]
        assert len(mirror.engines) == 2
        del first
        third = torch.full((9, 2), 3.0)
        assert ask(mirror, third, [8]).tolist() == [[3.0, 3.0]]
        assert len(mirror.engines) == 2  # that of the first was closed


# --- refusals ---


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"offsets": torch.tensor([0, 2]), "include_last_offset": True}, "offsets end at 2"),
        ({"offsets": torch.tensor([1, 2])}, "offsets start with 1"),
        ({"offsets": torch.tensor([0, 2, 1])}, "offsets decrease from 2 to 1"),
        ({"offsets": torch.tensor([0, 9])}, "offsets decrease from 9 to 3"),
        ({"offsets": torch.tensor([0.0])}, "offsets has dtype torch.float32"),
        ({"offsets": torch.tensor([[0]])}, r"offsets has shape \[1, 1\]"),
        ({"indices": torch.tensor([0, 1, 4])}, "id 4 at position 2 is out of range"),
        ({"indices": torch.tensor([0, -1, 1])}, "holds -1 at position 1"),
        ({"indices": torch.tensor([0.0, 1.0, 1.0])}, "input has dtype torch.float32"),
        ({"indices": torch.zeros(3, dtype=torch.int64, device="meta")}, "input is on meta"),
        ({"weight": torch.zeros(4, 2, dtype=torch.int8)}, "dtype torch.int8"),
        ({"weight": torch.zeros(4, 2, dtype=torch.float64)}, "dtype torch.float64"),
        ({"weight": torch.zeros(4, 2, device="meta")}, "The weight is on meta"),
        ({"weight": torch.zeros(4)}, r"shape \[4\]"),
        ({"per_sample_weights": torch.ones(3, dtype=torch.float64)}, "have dtype torch.float64"),
        ({"per_sample_weights": torch.ones(2)}, r"have shape \[2\]"),
        ({"per_sample_weights": torch.ones(3), "mode": 1}, "weights are given with pooling 'mean'"),
    ],
)
def test_what_cannot_be_right_is_refused(change: dict[str, Any], said: str) -> None:
    given = {
        "weight": torch.zeros(4, 2),
        "indices": torch.tensor([0, 1, 1]),
        "offsets": torch.tensor([0]),
        "mode": 0,
    }
    with Mirror("cpu") as mirror, pytest.raises(embnic.ConfigError, match=said):
        serve(mirror, **{**given, **change})


def test_unsupported_says_why_or_nothing() -> None:
    weight, ids, starts = torch.zeros(4, 2), torch.tensor([0]), torch.tensor([0])
    assert unsupported(weight, ids, starts) is None
    assert "float64" in str(unsupported(weight.double(), ids, starts))
    assert "one dimension" in str(unsupported(weight, ids[None], starts))


def test_a_closed_mirror_refuses() -> None:
    mirror = Mirror("cpu")
    mirror.close()
    mirror.close()
    with pytest.raises(embnic.ClosedError):
        ask(mirror, torch.zeros(4, 2), [0])
