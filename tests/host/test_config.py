# SPDX-License-Identifier: Apache-2.0
"""Tables: what is kept, derived and refused."""

from __future__ import annotations

import dataclasses
import doctest
import pickle
from typing import Any

import numpy as np
import pytest

import embnic.config as config
from embnic.config import OutOfRange, Table, enum_member, tables_by_name
from embnic.errors import ConfigError
from embnic.gen.wire import DType, Pooling


def table(**changes: Any) -> Table:
    """Return a good table with changes."""
    return Table(**{"name": "t", "rows": 10, "dim": 4, "pooling": "sum", **changes})


def test_strings_become_codes() -> None:
    """Names in any case, members, and the codes themselves."""
    for dtype in ("bf16", "BF16", DType.BF16, 2):
        assert table(dtype=dtype).dtype is DType.BF16
    assert table(pooling="Max").pooling is Pooling.MAX
    assert table().dtype is DType.FP32


def test_only_the_name_is_positional() -> None:
    """Two numbers in a row would be mixed up."""
    assert Table("item", rows=1, dim=1, pooling="sum").name == "item"
    with pytest.raises(TypeError):
        Table("item", 1, 1, pooling="sum")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("dtype", "dim", "row_bytes", "stored", "vec64"),
    [
        ("fp32", 1, 4, 1, 1),
        ("fp32", 16, 64, 1, 1),
        ("fp32", 17, 68, 2, 2),
        ("fp16", 32, 64, 1, 2),
        ("bf16", 33, 66, 2, 3),
        ("int8", 48, 64, 1, 3),
        ("int8_front", 49, 65, 2, 4),
        ("int4", 95, 64, 1, 6),
        ("int4", 96, 64, 1, 6),
        ("int4_end", 97, 65, 2, 7),
        ("fixed", 17, 68, 2, 2),
    ],
)
def test_sizes(dtype: str, dim: int, row_bytes: int, stored: int, vec64: int) -> None:
    """A stored row takes whole units of 64 bytes, and a result those of 4-byte elements."""
    made = table(dtype=dtype, dim=dim, fixed_scale_exp=0 if dtype == "fixed" else None)
    assert (made.row_bytes, made.stored_vec64, made.stride_bytes) == (
        row_bytes,
        stored,
        64 * stored,
    )
    assert made.vec64 == vec64
    assert made.nbytes == 10 * 64 * stored


def test_padding_wraps_as_in_torch_and_selects_the_rounding() -> None:
    """-1 is the last row; any padding row makes weighted products round first."""
    assert table(padding_idx=-1).padding_idx == 9
    assert table(padding_idx=-10).padding_idx == 0
    assert table(padding_idx=np.int64(3)).padding_idx == 3
    assert table(padding_idx=0).mul_then_add
    assert not table().mul_then_add
    for dtype in ("int8", "int8_front", "int4", "int4_end"):  # one rule, with and without padding
        assert not table(padding_idx=0, dtype=dtype).mul_then_add


def test_a_table_is_a_value() -> None:
    """Frozen, hashable, comparable, replaceable, picklable, and printed as its call."""
    made = table(padding_idx=-1, dtype="fp16")
    assert made == table(padding_idx=9, dtype="fp16")
    assert len({made, table(padding_idx=9, dtype="fp16")}) == 1
    assert pickle.loads(pickle.dumps(made)) == made
    assert dataclasses.replace(made, dim=8).dim == 8
    for other in (
        made,
        table(order="tree", tree_k=8, padding_idx=0),
        table(order="split", dtype="int4"),
        table(dtype="fixed", fixed_scale_exp=-20),
    ):
        assert eval(repr(other)) == other
        assert dataclasses.replace(other) == other
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.rows = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "name is ''"),
        ({"name": 3}, "name is 3"),
        ({"rows": 0}, "rows is 0.*1 to 281474976710655"),
        ({"rows": 1 << 48}, "rows is 281474976710656"),
        ({"rows": 2.0}, "rows is 2.0"),
        ({"rows": True}, "rows is True"),
        ({"rows": "9"}, "rows is '9'"),
        ({"rows": np.zeros(3)}, "rows is array"),
        ({"dim": 0}, "Table 't': dim is 0.*Allowed: a whole number, 1 to 65535.*Do: "),
        ({"dim": 65536}, "dim is 65536"),
        ({"dim": -4}, "dim is -4"),
        ({"dtype": "fp64"}, "dtype is 'fp64'.*'fp32'"),
        ({"dtype": None}, "dtype is None"),
        ({"dtype": 99}, "dtype is 99"),
        ({"dtype": "fixed"}, "fixed_scale_exp is None with dtype 'fixed'.*-128 to 127"),
        ({"dtype": "fixed", "fixed_scale_exp": 128}, "fixed_scale_exp is 128"),
        ({"dtype": "fixed", "fixed_scale_exp": -129}, "fixed_scale_exp is -129"),
        ({"dtype": "fixed", "fixed_scale_exp": 0.5}, "fixed_scale_exp is 0.5"),
        ({"fixed_scale_exp": 0}, "fixed_scale_exp is 0 with dtype 'fp32'"),
        ({"order": "memo"}, "order 'memo' is not built yet.*'sequential', 'tree', 'split'"),
        ({"order": "random"}, "order is 'random'"),
        ({"order": "tree"}, "tree_k is None with order 'tree'.*2, 4, 8, 16"),
        ({"order": "tree", "tree_k": 3}, "tree_k is 3"),
        ({"order": "tree", "tree_k": 32}, "tree_k is 32"),
        ({"order": "tree", "tree_k": True}, "tree_k is True"),
        ({"tree_k": 4}, "tree_k is 4 with order 'sequential'"),
        ({"pooling": "none", "order": "split"}, "order 'split' with pooling 'none'"),
        (
            {"pooling": None},
            "torch's EmbeddingBag means 'mean', torchrec's EmbeddingBagConfig means 'sum'",
        ),
        ({"pooling": "average"}, "pooling is 'average'.*'sum', 'mean', 'max', 'none'"),
        ({"pooling": DType.FP32}, "pooling is <DType.FP32"),
        ({"padding_idx": 10}, "padding_idx is 10.*from -10 to 9"),
        ({"padding_idx": -11}, "padding_idx is -11"),
        ({"padding_idx": 1.5}, "padding_idx is 1.5"),
        ({"padding_idx": False}, "padding_idx is False"),
    ],
)
def test_what_cannot_be_right_is_refused(changes: dict[str, Any], said: str) -> None:
    """The value, what is allowed, what to do."""
    with pytest.raises(ConfigError, match=said) as caught:
        table(**changes)
    assert caught.value.allowed
    assert caught.value.do


def test_pooling_has_no_default() -> None:
    """Leaving it out is a typed error that explains."""
    with pytest.raises(ConfigError, match="no pooling is given, and there is no default"):
        Table("t", rows=1, dim=1)


def test_tables_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Order is kept; duplicates, other things and nothing are refused."""
    a, b = table(name="a"), table(name="b")
    assert list(tables_by_name([b, a])) == ["b", "a"]
    with pytest.raises(ConfigError, match="Two tables are named 'a'"):
        tables_by_name([a, b, table(name="a", dim=8)])
    with pytest.raises(ConfigError, match="No table is given"):
        tables_by_name([])
    with pytest.raises(ConfigError, match="given as str"):
        tables_by_name("ab")  # type: ignore[arg-type]
    monkeypatch.setattr(config, "MAX_TABLES", 1)
    with pytest.raises(ConfigError, match=r"2 tables are given.*at most 1"):
        tables_by_name([a, b])


def test_enum_member_for_other_enums() -> None:
    """The policy for ids out of range reads the same way."""
    assert enum_member(OutOfRange, "clamp", "out_of_range", do="Choose.") is OutOfRange.CLAMP
    with pytest.raises(ConfigError, match=r"out_of_range is 'drop'.*'raise', 'zero', 'clamp'"):
        enum_member(OutOfRange, "drop", "out_of_range", do="Choose.")
    with pytest.raises(ConfigError, match="out_of_range is True"):
        enum_member(OutOfRange, True, "out_of_range", do="Choose.")


def test_the_documentation_runs() -> None:
    """The example in the module."""
    failed, tried = doctest.testmod(config)
    assert tried > 0
    assert failed == 0
