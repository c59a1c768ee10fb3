# SPDX-License-Identifier: Apache-2.0
"""Turn what users have into the bags of a table: lists, the arguments of torch's EmbeddingBag, KeyedJaggedTensors.

Letters in shapes: `B` bags, `L` ids over all bags of a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .bag_arrays import (
    check_offsets,
    check_start,
    ids_of,
    offsets_of,
    right_offsets,
    weights_of,
)
from .errors import ConfigError

__all__ = ["TableBags", "bags_from_kjt", "bags_from_lists", "bags_from_torch"]

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, eq=False, init=False)
class TableBags:
    """Hold the bags of one table; bag `b` is `values[offsets[b]:offsets[b + 1]]`.

    The arrays are read-only views. What was given as int64 or float32 is not copied: do not change
    it while the bags are in use.
    """

    values: NDArray[np.int64]  # [L]
    offsets: NDArray[np.int64]  # [B + 1], from 0 to L
    weights: NDArray[np.float32] | None = None  # [L]

    def __init__(
        self,
        values: NDArray[np.int64],
        offsets: NDArray[np.int64],
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        """Keep read-only views of the arrays."""
        held = self.__dict__  # a frozen dataclass refuses plain assignment; this is its constructor
        held["values"] = _read_only(values)
        held["offsets"] = _read_only(offsets)
        held["weights"] = None if weights is None else _read_only(weights)

    def __len__(self) -> int:
        """Return the number of bags."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Ids per bag: int64 [B]."""
        return np.diff(self.offsets)

    def bag(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
        """Return the ids and weights of one bag."""
        if not 0 <= index < len(self):
            raise ConfigError(
                f"Bag {index} is asked for.",
                allowed=f"0 to {len(self) - 1}.",
                do="Count bags from 0.",
            )
        cut = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return self.values[cut], None if self.weights is None else self.weights[cut]

    def __repr__(self) -> str:
        """Show the counts."""
        weighted = ", weighted" if self.weights is not None else ""
        return f"TableBags({len(self)} bags, {len(self.values)} ids{weighted})"


def _read_only(array: NDArray[_T]) -> NDArray[_T]:
    view: NDArray[_T] = array.view()
    view.setflags(write=False)
    return view


def bags_from_lists(name: str, lists: Any, weights: Any) -> TableBags:
    if isinstance(lists, (str, bytes)) or not isinstance(lists, (Sequence, np.ndarray)):
        raise ConfigError(
            f"Table {name!r}: the bags are a {type(lists).__name__}.",
            allowed="a list of lists of ids.",
            do="Write [[3, 8, 8], [], [5]].",
        )
    bags = [
        ids_of(_listed(bag, name, at), f"Table {name!r}: bag {at}") for at, bag in enumerate(lists)
    ]
    values = np.concatenate(bags) if bags else np.zeros(0, np.int64)
    offsets = offsets_of(np.array([len(bag) for bag in bags], np.int64))
    if weights is None:
        return TableBags(values, offsets)
    if len(weights) != len(bags):
        raise ConfigError(
            f"Table {name!r}: weights are given for {len(weights)} bags.",
            allowed=f"{len(bags)}, one list for every bag.",
            do="Nest the weights as the ids.",
        )
    parts = []
    for at, (bag, given) in enumerate(zip(bags, weights, strict=True)):
        array = given if hasattr(given, "dtype") else np.asarray(given, np.float32)
        part = weights_of(array, f"Table {name!r}: the weights of bag {at}", bag.shape)
        if part is not None:
            parts.append(part)
    return TableBags(values, offsets, np.concatenate(parts) if parts else np.zeros(0, np.float32))


def _listed(bag: Any, name: str, at: int) -> Any:
    if isinstance(bag, (str, bytes)) or not hasattr(bag, "__len__"):
        raise ConfigError(
            f"Table {name!r}: bag {at} is {bag!r}.",
            allowed="a list of ids, possibly empty.",
            do=f"Write [{bag!r}] for a bag of one id.",
        )
    return bag


def bags_from_torch(name: str, given: Any, include_last_offset: bool) -> TableBags:
    if type(given) is tuple and len(given) == 2:
        offsets = right_offsets(*given, last=include_last_offset)
        if offsets is not None:
            return TableBags(given[0], offsets)
    parts = given if isinstance(given, (tuple, list)) else (given,)
    if not 1 <= len(parts) <= 3:
        raise ConfigError(
            f"Table {name!r}: {len(parts)} values are given.",
            allowed="(input, offsets, per_sample_weights).",
            do="Leave out or set to None what does not apply.",
        )
    values_in, offsets_in, weights_in = (*parts, None, None)[:3]
    values = ids_of(values_in, f"Table {name!r}: input", ndim=(1, 2))
    weights = weights_of(weights_in, f"Table {name!r}: per_sample_weights", values.shape)
    if values.ndim == 2:
        if offsets_in is not None:
            raise ConfigError(
                f"Table {name!r}: a 2-D input comes with offsets.",
                allowed="offsets=None: every row is one bag.",
                do="Drop the offsets, or flatten the input.",
            )
        rows, width = values.shape
        return TableBags(values.reshape(-1), np.arange(rows + 1, dtype=np.int64) * width, weights)
    if offsets_in is None:
        raise ConfigError(
            f"Table {name!r}: a 1-D input comes without offsets.",
            allowed="offsets: where each bag starts.",
            do="Give offsets, or a 2-D input with one bag a row.",
        )
    starts = ids_of(offsets_in, f"Table {name!r}: offsets")
    if not include_last_offset:
        check_start(name, starts, len(values))
        starts = np.concatenate([starts, np.array([len(values)], np.int64)])
    return TableBags(values, check_offsets(name, starts, len(values)), weights)


def bags_from_kjt(
    keys: list[str], values_in: Any, lengths_in: Any, offsets_in: Any, weights_in: Any
) -> dict[str, TableBags]:
    what = "KeyedJaggedTensor"
    duplicates = sorted({key for key in keys if keys.count(key) > 1})
    if not keys or duplicates:
        raise ConfigError(
            f"{what}: keys are {keys}.",
            allowed="at least one key, all different.",
            do="Name each feature once.",
        )
    values = ids_of(values_in, f"{what}: values")
    weights = weights_of(weights_in, f"{what}: weights", values.shape)
    if lengths_in is None and offsets_in is None:
        raise ConfigError(
            f"{what}: neither lengths nor offsets are given.",
            allowed="one of them.",
            do="Give lengths=... .",
        )
    offsets = None if offsets_in is None else ids_of(offsets_in, f"{what}: offsets")
    if lengths_in is not None:
        from_lengths = offsets_of(ids_of(lengths_in, f"{what}: lengths"))
        if offsets is not None and not np.array_equal(from_lengths, offsets):
            raise ConfigError(
                f"{what}: lengths and offsets do not agree.",
                allowed="offsets that are the running sum of lengths.",
                do="Give only one of them.",
            )
        if int(from_lengths[-1]) != len(values):
            raise ConfigError(
                f"{what}: lengths add up to {int(from_lengths[-1])}.",
                allowed=f"{len(values)}, the number of values.",
                do="Give the lengths of exactly these values.",
            )
        offsets = from_lengths
    assert offsets is not None
    check_offsets(what, offsets, len(values))
    if (len(offsets) - 1) % len(keys):
        raise ConfigError(
            f"{what}: {len(offsets) - 1} bags for {len(keys)} keys.",
            allowed="the same number of bags for every key.",
            do="Give lengths [keys * batch], key-major.",
        )
    batch = (len(offsets) - 1) // len(keys)
    return {
        key: _kjt_part(values, offsets, weights, f * batch, batch) for f, key in enumerate(keys)
    }


def _kjt_part(
    values: NDArray[np.int64],
    offsets: NDArray[np.int64],
    weights: NDArray[np.float32] | None,
    first: int,
    batch: int,
) -> TableBags:
    cut = offsets[first : first + batch + 1]
    ids = slice(int(cut[0]), int(cut[-1]))
    return TableBags(values[ids], cut - cut[0], None if weights is None else weights[ids])
