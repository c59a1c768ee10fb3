# SPDX-License-Identifier: Apache-2.0
"""The kernels beyond pooling, in plain numpy: what each of their results means, bit for bit.

| kernel | rule |
|---|---|
| gradients | the order `tree` with 4 running sums: the j-th gradient of a row goes to sum `j mod 4` |
| `Sgd` | `w = fma(-rate, g, w)` |
| `RowwiseAdagrad` | `h = h + m / dim`; `w = fma(-(rate / (sqrt(h) + epsilon)), g, w)`; `m` is the sum of squares |
| interaction | the dot product of vectors i and j for every j < i |
| best k | by greater score as an ordered compare, the first of equal ones; a NaN is never among them |

Dot products and sums of squares are made of blocks of 16 elements, filled with zeros: the products of a block are
rounded and added pairwise (l and l + 8 first, then 4, 2, 1), the blocks in order from +0. Every operation is rounded to
float32; a NaN that arithmetic makes is 0x7FC00000. A core of other widths has other `lanes` and `banks`.

torch and FBGEMM define no order for these sums, so equality with them is within `interact_bound` and `gradient_bound`.

Letters in shapes: `n` gradients or scores, `U` different rows, `D` dim, `B` samples, `V` vectors of a sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .arithmetic import as_numpy, canonical, fma
from .errors import ConfigError

__all__ = [
    "BANKS",
    "Floats",
    "LANES",
    "NO_ROW",
    "BestRows",
    "Kernels",
    "Optimizer",
    "ReferenceKernels",
    "RowGradients",
    "RowwiseAdagrad",
    "Sgd",
    "check_gradients",
    "check_scores",
    "check_vectors",
    "gradient_bound",
    "interact_bound",
    "sum_of_products",
]

BANKS = 4  # running sums of a row's gradient
LANES = 16  # elements of a block
NO_ROW = -1  # in the place of an id where there were fewer scores than k
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sgd:
    """Subtract `rate` times the gradient."""

    rate: float


@dataclass(frozen=True)
class RowwiseAdagrad:
    """Subtract the gradient times `rate / (sqrt(h) + epsilon)`; `h` is a number for each row, 0 at first."""

    rate: float
    epsilon: float = 1e-8


Optimizer = Sgd | RowwiseAdagrad


class RowGradients(NamedTuple):
    """Name the rows of a batch in the order of their first gradients, and the sum of each one's gradients."""

    rows: NDArray[np.int64]  # [U]
    sums: Floats  # [U, D]


class BestRows(NamedTuple):
    """Name the best rows, the best first; NO_ROW and minus infinity where there were fewer."""

    ids: NDArray[np.int64]  # [k]
    scores: Floats  # [k]


class Kernels(Protocol):
    """Compute on the host's arrays; `name` says who does. Arguments have been checked; None: they do not fit a core."""

    name: str

    def accumulate(self, ids: NDArray[np.int64], grads: Floats) -> RowGradients | None:
        """Return the sum of the gradients [n, D] of every different id [n]."""
        ...

    def apply(
        self, found: RowGradients, rows: Floats, state: Floats, optimizer: Optimizer
    ) -> tuple[Floats, Floats] | None:
        """Return rows [U, D] changed by their gradients, and the new state [U]."""
        ...

    def topk(self, scores: Floats, k: int) -> BestRows | None:
        """Return the best k of the scores [n]; the ids are their places."""
        ...

    def interact(self, vectors: Floats) -> Floats | None:
        """Return the dot products [B, V * (V - 1) / 2] of each sample's vectors [B, V, D]."""
        ...


class ReferenceKernels:
    """The meaning: loops over gradients, pairs and blocks; the elements of a vector are done at once."""

    name = "reference"

    def __init__(self, *, lanes: int = LANES, banks: int = BANKS) -> None:
        """Take the widths of the core that is imitated."""
        self.lanes, self.banks = lanes, banks

    def accumulate(self, ids: NDArray[np.int64], grads: Floats) -> RowGradients:
        """Return the sum of the gradients [n, D] of every different id [n].

        >>> found = ReferenceKernels().accumulate(np.array([5, 2, 5]), np.float32([[1], [2], [3]]))
        >>> found.rows.tolist(), found.sums.tolist()
        ([5, 2], [[4.0], [2.0]])
        """
        places: dict[int, int] = {}
        row_of = np.array([places.setdefault(key, len(places)) for key in ids.tolist()], np.int64)
        sums = np.zeros((self.banks, len(places), grads.shape[1]), np.float32)
        held = np.zeros(len(places), np.int64)
        with np.errstate(all="ignore"):
            for row, grad in zip(row_of.tolist(), grads, strict=True):
                bank = held[row] % self.banks
                sums[bank, row] = sums[bank, row] + grad
                held[row] += 1
            apart = self.banks // 2
            while apart:
                for bank in range(apart):
                    both = held > bank + apart
                    sums[bank, both] = sums[bank, both] + sums[bank + apart, both]
                apart //= 2
        return RowGradients(np.array(list(places), np.int64), canonical(sums[0].copy()))

    def apply(
        self, found: RowGradients, rows: Floats, state: Floats, optimizer: Optimizer
    ) -> tuple[Floats, Floats]:
        """Return rows [U, D] changed by their gradients, and the new state [U]."""
        rate = np.float32(optimizer.rate)
        with np.errstate(all="ignore"):
            if isinstance(optimizer, Sgd):
                return canonical(fma(-rate, found.sums, rows)), state
            squares = sum_of_products(found.sums, found.sums, self.lanes)
            state = canonical(state + squares / np.float32(rows.shape[1]))
            step = canonical(rate / canonical(np.sqrt(state) + np.float32(optimizer.epsilon)))
            return canonical(fma(-step[:, np.newaxis], found.sums, rows)), state

    def topk(self, scores: Floats, k: int) -> BestRows:
        """Return the best k of the scores [n]; the ids are their places.

        >>> ReferenceKernels().topk(np.float32([1, 3, np.nan, 3, 2]), 3).ids.tolist()
        [1, 3, 4]
        """
        known = np.flatnonzero(~np.isnan(scores))
        best = known[np.argsort(-scores[known], kind="stable")][:k]
        ids = np.full(k, NO_ROW, np.int64)
        values = np.full(k, -np.inf, np.float32)
        ids[: len(best)], values[: len(best)] = best, scores[best]
        return BestRows(ids, values)

    def interact(self, vectors: Floats) -> Floats:
        """Return the dot products [B, V * (V - 1) / 2] of each sample's vectors [B, V, D].

        >>> ReferenceKernels().interact(np.float32([[[1, 2], [3, 4], [5, 6]]])).tolist()
        [[11.0, 17.0, 39.0]]
        """
        high, low = np.tril_indices(vectors.shape[1], -1)
        return sum_of_products(vectors[:, high], vectors[:, low], self.lanes)


def sum_of_products(a: Floats, b: Floats, lanes: int = LANES) -> Floats:
    """Return the sum over the last axis of `a * b`, in the order that this module defines."""
    dim = a.shape[-1]
    blocks = -(-dim // lanes)
    with np.errstate(all="ignore"):
        products = np.zeros((*a.shape[:-1], blocks * lanes), np.float32)
        products[..., :dim] = a * b
        products = products.reshape(*a.shape[:-1], blocks, lanes)
        while products.shape[-1] > 1:
            half = products.shape[-1] // 2
            products = products[..., :half] + products[..., half:]
        total = np.zeros(a.shape[:-1], np.float32)
        for block in range(blocks):
            total = total + products[..., block, 0]
    return canonical(np.ascontiguousarray(total))


def interact_bound(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Return how far a dot product of `interact` may be from the exact one, [B, V * (V - 1) / 2]: its named bound.

    Each product errs by half a unit of 2**-23, and so does every addition that it passes: fewer than D of them in any
    order. So twice this is a bound between two implementations.
    """
    high, low = np.tril_indices(vectors.shape[1], -1)
    wide = np.abs(vectors.astype(np.float64))
    dim = vectors.shape[2]
    magnitude = np.einsum("bpd,bpd->bp", wide[:, high], wide[:, low])
    tiny = dim * 2.0**-150  # half of the smallest number for each product
    bound: NDArray[np.float64] = (dim + 1) * 2.0**-24 * magnitude + tiny
    return bound


def gradient_bound(
    keys: int, magnitude: NDArray[np.float64], row: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how far a row changed by `Sgd` may be from the exact one: the named bound of gradients.

    `magnitude` is the sum of `rate * |gradient|` over the row's `keys` keys, `row` the row. Each product, division and
    addition errs by half a unit of 2**-23 relative to the magnitudes.
    """
    unit = 2.0**-24
    return (keys + 4) * unit * magnitude + 2 * unit * np.abs(row)


def check_gradients(
    ids: Any, grads: Any, *, rows: int, dim: int
) -> tuple[NDArray[np.int64], Floats]:
    """Return ids [n] as int64 and gradients as float32 [n, D]; refuse what does not fit a table."""
    numbers, values = as_numpy(ids), as_numpy(grads)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype not in (np.int32, np.int64)):
        raise ConfigError(
            f"The ids of the gradients are {numbers.dtype} {list(numbers.shape)}.",
            allowed="int32 or int64 with one dimension.",
            do="Convert them before.",
        )
    if values.dtype != np.float32 or values.shape != (len(numbers), dim):
        raise ConfigError(
            f"The gradients are {values.dtype} {list(values.shape)}.",
            allowed=f"float32 [{len(numbers)}, {dim}].",
            do="Give one gradient for every id.",
        )
    bad = (numbers < 0) | (numbers >= rows)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise ConfigError(
            f"Gradient {at} is of row {int(numbers[at])}.",
            allowed=f"0 to {rows - 1}.",
            do="Correct the ids.",
        )
    return numbers.astype(np.int64), np.ascontiguousarray(values)


def check_scores(scores: Any, k: int) -> Floats:
    """Return scores as float32 [n]; refuse other shapes and types, and a k that is not positive."""
    values = as_numpy(scores)
    if values.ndim != 1 or values.dtype != np.float32:
        raise ConfigError(
            f"The scores are {values.dtype} {list(values.shape)}.",
            allowed="float32 with one dimension.",
            do="Convert them before.",
        )
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ConfigError(f"k is {k!r}.", allowed="1 or more.", do="Say how many rows to keep.")
    return np.ascontiguousarray(values)


def check_vectors(vectors: Any) -> Floats:
    """Return vectors as float32 [B, V, D]; refuse other shapes and types, and fewer than two vectors."""
    values = as_numpy(vectors)
    if values.ndim != 3 or values.dtype != np.float32 or values.shape[1] < 2 or not values.shape[2]:
        raise ConfigError(
            f"The vectors are {values.dtype} {list(values.shape)}.",
            allowed="float32 [samples, vectors, dim], two vectors or more.",
            do="Stack the pooled vectors of a sample along axis 1.",
        )
    return np.ascontiguousarray(values)
