# SPDX-License-Identifier: Apache-2.0
"""Bags: the layouts they are built from, and every way they can be wrong."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embnic.bags as bags_module
from embnic.bags import Bags, TableBags
from embnic.config import OutOfRange, Table
from embnic.errors import ConfigError
from embnic.gen.wire import NULL_ROW

LISTS = [[3, 8, 8], [], [5]]


def ids(*values: int) -> np.ndarray:
    """Return int64 values."""
    return np.array(values, np.int64)


def check(bags: Bags, name: str, lists: list[list[int]]) -> None:
    """Compare the bags of a table with lists."""
    assert [bags[name].bag(index)[0].tolist() for index in range(len(bags[name]))] == lists


class FakeTensor:
    """Behave as much like a torch tensor as Bags needs, so that torch is not needed."""

    def __init__(self, array: np.ndarray, dtype: str = "torch.int64") -> None:
        self.array, self.dtype = array, dtype

    def detach(self) -> FakeTensor:
        return self

    def cpu(self) -> FakeTensor:
        return self

    def float(self) -> FakeTensor:
        return FakeTensor(self.array.astype(np.float32), "torch.float32")

    def numpy(self) -> np.ndarray:
        assert self.dtype != "torch.bfloat16", "numpy has no such type"
        return self.array


class FakeKjt:
    """A KeyedJaggedTensor's four methods."""

    def keys(self) -> list[str]:
        return ["user", "item"]

    def values(self) -> np.ndarray:
        return ids(7, 3, 8, 8)

    def offsets(self) -> np.ndarray:
        return ids(0, 1, 1, 3, 4)

    def weights_or_none(self) -> np.ndarray:
        return np.array([1, 2, 3, 4], np.float32)


def test_from_lists() -> None:
    """Values, offsets, lengths, counts, one bag, the print."""
    bags = Bags.from_lists({"item": LISTS, "user": [[1]]})
    item = bags["item"]
    assert (item.values.tolist(), item.offsets.tolist()) == ([3, 8, 8, 5], [0, 3, 3, 4])
    assert item.values.dtype == item.offsets.dtype == np.int64
    assert (len(item), item.lengths.tolist(), item.weights) == (3, [3, 0, 1], None)
    assert (bags.bags_total, bags.keys_total, list(bags), len(bags)) == (4, 5, ["item", "user"], 2)
    assert "TableBags(3 bags, 4 ids)" in repr(bags)
    check(bags, "item", LISTS)


def test_from_lists_with_weights() -> None:
    """Weights have the ids' nesting and become float32."""
    item = Bags.from_lists({"item": LISTS}, {"item": [[1, 2, 0.5], [], [4]]})["item"]
    assert item.weights is not None
    assert item.weights.dtype == np.float32
    assert item.weights.tolist() == [1, 2, 0.5, 4]
    assert item.bag(0)[1].tolist() == [1, 2, 0.5]  # type: ignore[union-attr]
    assert "weighted" in repr(item)
    assert Bags.from_lists({"t": []}, {"t": []})["t"].weights.shape == (0,)  # type: ignore[union-attr]


def test_arrays_are_read_only_and_not_copied() -> None:
    """A lookup of millions of ids costs no copy; nobody writes through the bags."""
    values, offsets = ids(3, 8), ids(0, 1)
    item = Bags.from_torch({"item": (values, offsets)})["item"]
    assert np.shares_memory(item.values, values)
    for array in (item.values, item.offsets):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    values[0] = 4  # the caller's array is still the caller's


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_from_torch_one_dimension(last: bool, dtype: type) -> None:
    """Offsets with and without the end of the last bag."""
    offsets = np.array([0, 3, 3, 4][: 4 if last else 3], dtype)
    bags = Bags.from_torch(
        {"item": (np.array([3, 8, 8, 5], dtype), offsets)}, include_last_offset=last
    )
    check(bags, "item", LISTS)


def test_from_torch_two_dimensions() -> None:
    """One bag a row, weights of the same shape."""
    made = Bags.from_torch(
        {"t": (ids(1, 2, 3, 4, 5, 6).reshape(2, 3), None, np.ones((2, 3), np.float16))}
    )
    check(made, "t", [[1, 2, 3], [4, 5, 6]])
    assert made["t"].weights is not None
    assert made["t"].weights.dtype == np.float32
    check(Bags.from_torch({"t": np.zeros((2, 0), np.int64)}), "t", [[], []])


def test_tensors_are_read_without_torch() -> None:
    """Anything with detach, cpu and numpy; bfloat16 weights widen."""
    given_ = (
        FakeTensor(ids(1, 2)),
        FakeTensor(ids(0, 1)),
        FakeTensor(np.array([1, 2]), "torch.bfloat16"),
    )
    made = Bags.from_torch({"t": given_})
    check(made, "t", [[1], [2]])
    assert made["t"].weights is not None
    assert made["t"].weights.tolist() == [1, 2]


@pytest.mark.torch
def test_real_tensors() -> None:
    """The same with torch itself."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    weight = torch.tensor([1.5, 2.5, 3.5], dtype=torch.bfloat16, requires_grad=True)
    made = Bags.from_torch(
        {"t": (torch.tensor([1, 2, 0]), torch.tensor([0, 2], dtype=torch.int32), weight)}
    )
    check(made, "t", [[1, 2], [0]])
    assert made["t"].weights is not None
    assert made["t"].weights.tolist() == [1.5, 2.5, 3.5]


def test_from_kjt() -> None:
    """Key-major layout, by lengths, by offsets, and from the object itself."""
    values, lengths, offsets = ids(7, 3, 8, 8), ids(1, 0, 2, 1), ids(0, 1, 1, 3, 4)
    weights = np.array([1, 2, 3, 4], np.float32)
    for made in (
        Bags.from_kjt(["user", "item"], values, lengths=lengths, weights=weights),
        Bags.from_kjt(["user", "item"], values, offsets=offsets, weights=weights),
        Bags.from_kjt(["user", "item"], values, lengths=lengths, offsets=offsets, weights=weights),
        Bags.from_kjt_shape(FakeKjt()),
    ):
        check(made, "user", [[7], []])
        check(made, "item", [[3, 8], [8]])
        assert made["item"].weights.tolist() == [2, 3, 4]  # type: ignore[union-attr]
        assert made["item"].offsets.tolist() == [0, 2, 3]


@given(st.lists(st.lists(st.integers(0, 1 << 40), max_size=5), max_size=8))
def test_every_layout_gives_the_same_bags(lists: list[list[int]]) -> None:
    """from_lists, from_torch and from_kjt agree."""
    values = np.array([i for bag in lists for i in bag], np.int64)
    lengths = np.array([len(bag) for bag in lists], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    one = Bags.from_lists({"t": lists})
    check(one, "t", lists)
    for other in (
        Bags.from_torch({"t": (values, starts)}, include_last_offset=True),
        Bags.from_torch({"t": (values, starts[:-1])}) if lists else one,
        Bags.from_kjt(["t"], values, lengths=lengths),
    ):
        assert np.array_equal(other["t"].values, one["t"].values)
        assert np.array_equal(other["t"].offsets, one["t"].offsets)


def refused(said: str, call: Any, *args: Any, **kwargs: Any) -> None:
    """Expect a ConfigError that says what was given, what is allowed and what to do."""
    with pytest.raises(ConfigError, match=said) as caught:
        call(*args, **kwargs)
    assert caught.value.allowed
    assert caught.value.do


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ([[1, -2]], "bag 0 holds -2 at position 1"),
        ([[1], [1.0]], "bag 1 has dtype float64.*int32 or int64"),
        ([[True]], "bag 0 has dtype bool"),
        ([[1], 2], r"bag 1 is 2.*Write \[2\]"),
        ([["a"]], "bag 0 has dtype <U1"),
        (["12"], "bag 0 is '12'"),
        ([[[1]]], r"bag 0 has shape \[1, 1\]"),
        ([[[1], [1, 2]]], "bag 0 is not an array"),
        ("abc", "the bags are a str"),
        (7, "the bags are a int"),
        ([[1 << 70]], "bag 0 has dtype object"),
    ],
)
def test_from_lists_refuses(lists: Any, said: str) -> None:
    """Wrong ids and wrong nesting."""
    refused(said, Bags.from_lists, {"t": lists})


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"u": [[1.0]]}, "Weights are given for 'u'.*'t'"),
        ({"t": [[1.0]]}, "weights are given for 1 bags.*Allowed: 2"),
        ({"t": [[1.0], [1.0, 2.0]]}, r"weights of bag 1 has shape \[2\].*\[1\]"),
        ({"t": [np.ones(1), np.ones(1)]}, "weights of bag 0 has dtype float64"),
    ],
)
def test_from_lists_refuses_weights(weights: Any, said: str) -> None:
    """Weights that do not fit the ids."""
    refused(said, Bags.from_lists, {"t": [[1], [2]]}, weights)


@pytest.mark.parametrize(
    ("given_", "last", "said"),
    [
        ((ids(1, 2), None), False, "1-D input comes without offsets"),
        ((ids(1, 2).reshape(1, 2), ids(0)), False, "2-D input comes with offsets"),
        (
            (ids(1, 2).reshape(1, 1, 2), None),
            False,
            r"input has shape \[1, 1, 2\].*1 or 2 dimension",
        ),
        ((np.array(3), None), False, r"input has shape \[\]"),
        ((np.array([1.0]), ids(0)), False, "input has dtype float64"),
        ((np.array([1], np.uint8), ids(0)), False, "input has dtype uint8"),
        ((ids(1, -5), ids(0)), False, "input holds -5 at position 1"),
        ((ids(1, 2), np.array([0.0])), False, "offsets has dtype float64"),
        ((ids(1, 2), ids(0).reshape(1, 1)), False, r"offsets has shape \[1, 1\]"),
        ((ids(1, 2), ids(1)), False, "offsets start with 1.*Allowed: 0"),
        ((ids(1, 2), ids(0, 2, 1)), False, "offsets decrease from 2 to 1 at position 2"),
        (
            (ids(1, 2), ids(0, 3)),
            False,
            r"offsets decrease from 3 to 2 at position 2 \(the input has 2 ids\)",
        ),
        ((ids(1, 2), ids(0, -1)), False, "offsets holds -1 at position 1"),
        ((ids(1, 2), ids()), False, "offsets are empty, but there are 2 ids"),
        ((ids(1, 2), ids()), True, "offsets start with nothing"),
        ((ids(*range(8)), ids(0, 4, 6)), True, "offsets end at 6.*8, the length of the input"),
        ((ids(1, 2), ids(0, 3)), True, "offsets end at 3.*Allowed: 2"),
        (
            (ids(1, 2), ids(0), np.ones(3, np.float32)),
            False,
            r"per_sample_weights has shape \[3\].*\[2\]",
        ),
        ((ids(1, 2), ids(0), np.ones(2)), False, "per_sample_weights has dtype float64"),
        ((ids(1, 2), ids(0), np.ones(2, np.int32)), False, "per_sample_weights has dtype int32"),
        ((ids(1), ids(0), None, 4), False, "4 values are given"),
        ((), False, "0 values are given"),
    ],
)
def test_from_torch_refuses(given_: Any, last: bool, said: str) -> None:
    """Shapes, types and offsets that cannot be right, with the figures."""
    refused(said, Bags.from_torch, {"t": given_}, include_last_offset=last)


def test_no_bags_of_no_ids() -> None:
    """Zero bags of a table are allowed where nothing is lost."""
    assert len(Bags.from_torch({"t": (ids(), ids())})["t"]) == 0


@pytest.mark.parametrize(
    ("keys", "parts", "said"),
    [
        ([], {"lengths": ids(2)}, r"keys are \[\]"),
        (["a", "a"], {"lengths": ids(1, 1)}, "keys are .*all different"),
        (["a"], {}, "neither lengths nor offsets"),
        (["a"], {"lengths": ids(3)}, "lengths add up to 3.*Allowed: 2"),
        (["a"], {"lengths": ids(3, -1)}, "lengths holds -1"),
        (["a"], {"lengths": ids(2), "offsets": ids(0, 1, 2)}, "do not agree"),
        (["a", "b"], {"lengths": ids(1, 0, 1)}, "3 bags for 2 keys"),
        (["a"], {"offsets": ids(0, 1)}, "offsets end at 1"),
        (["a"], {"offsets": ids(1, 2)}, "offsets start with 1"),
        (["a"], {"offsets": ids(0, 2, 1, 2)}, "offsets decrease from 2 to 1"),
        (["a"], {"lengths": ids(2), "weights": np.ones(1, np.float32)}, r"weights has shape \[1\]"),
        (["a"], {"lengths": ids((1 << 63) - 1, (1 << 63) - 1, 4)}, "offsets decrease"),
    ],
)
def test_from_kjt_refuses(keys: list[str], parts: dict[str, Any], said: str) -> None:
    """Key-major parts that do not fit each other."""
    refused(said, Bags.from_kjt, keys, ids(1, 2), **parts)


def test_from_kjt_shape_refuses_other_objects() -> None:
    """What is missing is named."""
    refused(
        r"A int is given, which has no keys, values, offsets, weights_or_none\(\)",
        Bags.from_kjt_shape,
        3,
    )


def test_empty_bags_object_and_unknown_bag() -> None:
    """No table, and a bag number that does not exist."""
    refused("No bags are given", Bags.from_lists, {})
    refused("Bag 3 is asked for.*0 to 2", Bags.from_lists({"t": LISTS})["t"].bag, 3)
    refused("Bag -1", Bags.from_lists({"t": LISTS})["t"].bag, -1)


def table(**changes: Any) -> Table:
    """Return the table of these tests."""
    return Table(**{"name": "t", "rows": 6, "dim": 1, "pooling": "sum", **changes})


def test_validate_against_returns_good_bags_as_they_are() -> None:
    """No copy when nothing changes; tables without bags are fine."""
    bags = Bags.from_lists({"t": [[5], []]})
    assert bags.validate_against([table(), table(name="other")]) is bags


def test_out_of_range_policies() -> None:
    """RAISE says which; ZERO takes the id out of its bag; CLAMP uses the last row."""
    bags = Bags.from_lists({"t": [[1, 6], [], [9], [2]]}, {"t": [[1, 2], [], [3], [4]]})
    refused(
        r"id 6 at position 1 is out of range \(2 such ids\).*0 to 5",
        bags.validate_against,
        [table()],
    )
    zero = bags.validate_against([table()], out_of_range=OutOfRange.ZERO)
    check(zero, "t", [[1], [], [], [2]])
    assert zero["t"].weights.tolist() == [1, 4]  # type: ignore[union-attr]
    clamp = bags.validate_against([table()], out_of_range=OutOfRange.CLAMP)
    check(clamp, "t", [[1, 5], [], [5], [2]])
    check(bags, "t", [[1, 6], [], [9], [2]])


def test_out_of_range_without_pooling_keeps_every_id_in_its_place() -> None:
    """ZERO makes it a null key, whose row is zeros; a null key that was given passes every policy."""
    rows = Table("t", rows=6, dim=2, pooling="none")
    bags = Bags.from_lists({"t": [[1, 6], [NULL_ROW], [2]]})
    refused(r"id 6 at position 1 is out of range \(1 such", bags.validate_against, [rows])
    zero = bags.validate_against([rows], out_of_range=OutOfRange.ZERO)
    check(zero, "t", [[1, NULL_ROW], [NULL_ROW], [2]])
    assert zero.validate_against([rows]) is zero
    clamp = bags.validate_against([rows], out_of_range=OutOfRange.CLAMP)
    check(clamp, "t", [[1, 5], [NULL_ROW], [2]])
    refused("is out of range", bags.validate_against, [table()])


def test_weights_are_refused_for_fixed_tables() -> None:
    """A product would have to be rounded."""
    fixed = Table("t", rows=6, dim=2, pooling="sum", dtype="fixed", fixed_scale_exp=0)
    weighted = Bags.from_lists({"t": [[1]]}, {"t": [[1.0]]})
    refused("weights are given with dtype 'fixed'", weighted.validate_against, [fixed])
    Bags.from_lists({"t": [[1]]}).validate_against([fixed])


def test_validate_against_refuses() -> None:
    """Unknown tables, and weights where torch has none."""
    unknown = Bags.from_lists({"x": [[1]]})
    said = "the table 'x', which does not exist.*'t', 'u'"
    refused(said, unknown.validate_against, [table(), table(name="u")])
    weighted = Bags.from_lists({"t": [[1]]}, {"t": [[1.0]]})
    for pooling in ("mean", "max"):
        refused(
            f"weights are given with pooling '{pooling}'",
            weighted.validate_against,
            [table(pooling=pooling)],
        )
    refused("Two tables are named 't'", weighted.validate_against, [table(), table()])


def test_table_bags_by_hand() -> None:
    """TableBags takes arrays and makes them read-only."""
    made = TableBags(ids(1), ids(0, 1))
    assert not made.values.flags.writeable


def test_the_documentation_runs() -> None:
    """The examples in the module."""
    failed, tried = doctest.testmod(bags_module)
    assert tried > 0
    assert failed == 0
