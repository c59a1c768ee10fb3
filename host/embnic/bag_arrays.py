# SPDX-License-Identifier: Apache-2.0
"""Check the arrays that bags are made of, and say what is wrong with them.

Letters in shapes: `B` bags, `L` ids over all bags of a table. What is right already (int64, float32, contiguous) is
never copied. The native extension checks such arrays in one pass; without it, or where something is wrong, numpy does.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import as_numpy
from .errors import ConfigError

__all__ = [
    "NATIVE",
    "any_array",
    "check_offsets",
    "check_start",
    "ids_of",
    "largest",
    "offsets_of",
    "right_offsets",
    "weights_of",
]


def _load_native() -> ModuleType | None:
    try:
        module = importlib.import_module("embnic._native")
    except ImportError:
        return None
    return module if hasattr(module, "close_bags") else None


NATIVE = _load_native()


def right_offsets(values: Any, offsets: Any, *, last: bool) -> NDArray[np.int64] | None:
    """Return the offsets int64 [B + 1] of bags whose arrays need no conversion and are right; else None.

    `values` [L]; `offsets` are the starts [B], or with `last` also the end of the last bag.
    """
    if NATIVE is None or type(values) is not np.ndarray or type(offsets) is not np.ndarray:
        return None
    try:
        if last:
            return offsets if NATIVE.bags_fit(values, offsets) else None
        closed = np.empty(len(offsets) + 1, np.int64)
        return closed if NATIVE.close_bags(values, offsets, closed) else None
    except TypeError:  # another type, shape or layout
        return None


def largest(values: NDArray[np.int64]) -> int:
    """Return the largest of `values` [L] read as unsigned: a negative one is beyond every row. 0 without any."""
    if NATIVE is not None:
        try:
            return int(NATIVE.largest(values))
        except TypeError:  # another type or layout
            pass
    unsigned = np.ascontiguousarray(values, np.int64).view(np.uint64)
    return int(unsigned.max()) if len(unsigned) else 0


def any_array(value: Any, what: str) -> NDArray[Any]:
    """Return a torch tensor or an array-like as a numpy array."""
    try:
        return as_numpy(value)
    except ValueError as error:
        raise ConfigError(
            f"{what} is not an array: {error}.",
            allowed="equally long rows of numbers.",
            do="Check the nesting.",
        ) from None


def ids_of(value: Any, what: str, *, ndim: tuple[int, ...] = (1,)) -> NDArray[np.int64]:
    """Return ids, offsets or lengths as contiguous int64; refuse other types, shapes and negative
    values.
    """
    array = any_array(value, what)
    if array.ndim not in ndim:
        dims = " or ".join(str(n) for n in ndim)
        raise ConfigError(
            f"{what} has shape {list(array.shape)}.",
            allowed=f"{dims} dimension(s).",
            do="Reshape it.",
        )
    if array.size == 0 and not hasattr(value, "dtype"):
        array = array.astype(np.int64)  # an empty list has no type of its own
    if array.dtype not in (np.int32, np.int64):
        raise ConfigError(
            f"{what} has dtype {array.dtype}.",
            allowed="int32 or int64.",
            do="Convert it before, knowingly.",
        )
    if array.size and int(array.min()) < 0:
        at = int(np.flatnonzero(array.reshape(-1) < 0)[0])
        raise ConfigError(
            f"{what} holds {int(array.reshape(-1)[at])} at position {at}.",
            allowed="0 or larger.",
            do="Correct it; a negative number never counts from the end here.",
        )
    return np.ascontiguousarray(array, dtype=np.int64)


def weights_of(value: Any, what: str, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Return weights as contiguous float32 [L]; fp16 and bf16 widen exactly, float64 is refused."""
    if value is None:
        return None
    array = any_array(value, what)
    if array.size == 0 and not hasattr(value, "dtype"):
        array = array.astype(np.float32)
    if array.dtype not in (np.float16, np.float32):
        raise ConfigError(
            f"{what} has dtype {array.dtype}.",
            allowed="float32 (or float16, bfloat16, which widen exactly).",
            do="Convert with .astype(numpy.float32), knowing that it rounds.",
        )
    if array.shape != shape:
        raise ConfigError(
            f"{what} has shape {list(array.shape)}.",
            allowed=f"{list(shape)}, one weight for every id.",
            do="Give a weight for every id, in the same order.",
        )
    return np.ascontiguousarray(array.reshape(-1), dtype=np.float32)


def offsets_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def check_start(name: str, offsets: NDArray[np.int64], ids: int) -> None:
    if len(offsets) == 0 and ids:
        raise ConfigError(
            f"Table {name!r}: offsets are empty, but there are {ids} ids.",
            allowed="offsets that start at 0.",
            do="Give the start of each bag.",
        )


def check_offsets(name: str, offsets: NDArray[np.int64], ids: int) -> NDArray[np.int64]:
    """Check [B + 1] offsets: from 0, never down, to the number of ids."""
    if len(offsets) == 0 or int(offsets[0]) != 0:
        start = "nothing" if len(offsets) == 0 else str(int(offsets[0]))
        raise ConfigError(
            f"Table {name!r}: offsets start with {start}.",
            allowed="0.",
            do="Let the first bag start at 0.",
        )
    down = np.flatnonzero(offsets[1:] < offsets[:-1])
    if len(down):
        at = int(down[0])
        raise ConfigError(
            f"Table {name!r}: offsets decrease from {int(offsets[at])} to {int(offsets[at + 1])} "
            f"at position {at + 1}"
            + (f" (the input has {ids} ids)." if at + 2 == len(offsets) else "."),
            allowed="offsets that never decrease and stay within the input.",
            do="Give the start of each bag in order.",
        )
    if int(offsets[-1]) != ids:
        raise ConfigError(
            f"Table {name!r}: offsets end at {int(offsets[-1])}.",
            allowed=f"{ids}, the length of the input (torch would silently drop the rest).",
            do="Let the last offset be len(input), or leave it out with include_last_offset=False.",
        )
    return offsets
