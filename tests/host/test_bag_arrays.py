# SPDX-License-Identifier: Apache-2.0
"""The native checks of bags say the same as those of numpy, for arrays that are right and for those that are not."""

from __future__ import annotations

import numpy as np
import pytest
from cases import seeded

import embnic
import embnic.bag_arrays as bag_arrays
import embnic.bag_layouts as bag_layouts

CASES = 3000
TABLE = embnic.Table("t", rows=9, dim=1, pooling="sum")


def outcome(values, offsets, *, last: bool) -> object:
    """Return what becomes of arrays: the bags, or the error."""
    try:
        made = embnic.Bags.from_torch({"t": (values, offsets)}, include_last_offset=last)
        made.validate_against([TABLE])
    except embnic.ConfigError as error:
        return str(error)
    part = made["t"]
    return part.values.tolist(), part.offsets.tolist(), made.bags_total, made.keys_total


def arrays(rng):
    """Return values and offsets, of which about half are right."""
    count = int(rng.integers(0, 6))
    values = rng.integers(0, 9, count)
    offsets = np.sort(rng.integers(0, count + 1, int(rng.integers(0, 5))))
    if len(offsets) and rng.random() < 0.9:
        offsets[0] = 0
    if len(offsets) and rng.random() < 0.4:
        offsets[-1] = count
    if rng.random() < 0.2 and count:
        values[rng.integers(count)] = rng.choice([-1, 9, 1 << 50, np.iinfo(np.int64).min])
    if rng.random() < 0.15 and len(offsets):
        offsets[rng.integers(len(offsets))] = rng.integers(-2, 9)
    kind = rng.choice([np.int64, np.int32, np.float64], p=[0.8, 0.15, 0.05])
    with np.errstate(all="ignore"):
        values = values.astype(kind)
    if rng.random() < 0.1:
        values = np.repeat(values, 2)[::2]  # strided
    return values, offsets


def test_native_and_numpy_checks_agree(monkeypatch):
    if bag_arrays.NATIVE is None:
        pytest.skip("the native extension is not built")
    rng = seeded()
    given = [(*arrays(rng), bool(rng.integers(2))) for _ in range(CASES)]
    native = [outcome(values, offsets, last=last) for values, offsets, last in given]
    assert bag_layouts.right_offsets is bag_arrays.right_offsets
    monkeypatch.setattr(bag_arrays, "NATIVE", None)
    numpy = [outcome(values, offsets, last=last) for values, offsets, last in given]
    assert native == numpy
    right = sum(isinstance(found, tuple) for found in native)
    assert CASES / 10 < right < CASES * 0.9


def test_arrays_that_are_right_are_not_copied_and_the_callers_stay_writable():
    values, offsets = np.array([3, 8], np.int64), np.array([0, 1, 2], np.int64)
    part = embnic.Bags.from_torch({"t": (values, offsets)}, include_last_offset=True)["t"]
    assert np.shares_memory(part.values, values)
    assert np.shares_memory(part.offsets, offsets)
    assert values.flags.writeable
    assert not part.values.flags.writeable


def test_what_was_changed_after_it_was_checked_is_noticed():
    """The arrays are the caller's: a lookup reads what they hold then, and checks it."""
    values, starts = np.array([3, 8], np.int64), np.array([0, 1], np.int64)
    bags = embnic.Bags.from_torch({"t": (values, starts)})
    with embnic.open([TABLE], "cpu") as engine:
        engine.load("t", np.ones((9, 1), np.float32))
        assert engine.lookup(bags)["t"].tolist() == [[1.0], [1.0]]
        for wrong in (9, -1, 1 << 60):
            values[1] = wrong
            with pytest.raises(embnic.ConfigError, match=f"{wrong}"):
                engine.lookup(bags)


@pytest.mark.parametrize("native", [True, False])
def test_the_largest_of_none_is_zero(native, monkeypatch):
    if not native:
        monkeypatch.setattr(bag_arrays, "NATIVE", None)
    for kind in (np.int64, np.int32):
        assert bag_arrays.largest(np.zeros(0, kind)) == 0
        assert bag_arrays.largest(np.array([3, 7, 1], kind)) == 7
        assert bag_arrays.largest(np.array([3, -1], kind)) == (1 << 64) - 1
