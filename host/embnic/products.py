# SPDX-License-Identifier: Apache-2.0
"""Hold bags of pairs: rows of two tables that are multiplied element by element before they are summed.

Quotient-remainder embeddings need it: the row of id `i` is `quotient[i // m] * remainder[i % m]`, so that two small
tables stand for a large one.

Letters in shapes: `B` bags, `L` pairs over all bags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bag_arrays import ids_of
from .bags import Bags, TableBags
from .config import Table
from .errors import ConfigError
from .gen.wire import NULL_ROW, DType, Order, Pooling

__all__ = ["ProductBags"]


@dataclass(frozen=True, eq=False, init=False)
class ProductBags:
    """Hold bags of pairs of one row of the table `quotient` and one of the table `remainder`; immutable.

    The sum of a bag is that of the pairs' products, each rounded to float32, in key order; with weights each product
    is weighted. A pair of which one row is its table's padding row, or an id the null key's row, 2**48 - 1, contributes
    nothing.

    >>> bags = Bags.from_lists({"item": [[7, 2], [], [9]]})["item"]
    >>> pairs = ProductBags.split("item_q", "item_r", bags, divisor=4)
    >>> pairs.quotients.values.tolist(), pairs.remainders.tolist()
    ([1, 0, 2], [3, 2, 1])
    """

    quotient: str
    remainder: str
    quotients: TableBags  # ids of the first rows, with the pairs' weights if there are any
    remainders: NDArray[np.int64]  # [L]: ids of the second rows

    def __init__(
        self, quotient: str, remainder: str, quotients: TableBags, remainders: Any
    ) -> None:
        """Take the names of two tables, bags of ids of the first, and as many ids of the second."""
        ids = ids_of(remainders, "remainders")
        if ids.shape != quotients.values.shape:
            raise ConfigError(
                f"{len(ids)} ids of {remainder!r} are given for {len(quotients.values)} of {quotient!r}.",
                allowed="one of each in every pair.",
                do="Give both in the same order.",
            )
        held = self.__dict__  # a frozen dataclass refuses plain assignment; this is its constructor
        held["quotient"], held["remainder"] = quotient, remainder
        held["quotients"], held["remainders"] = quotients, ids

    @classmethod
    def split(cls, quotient: str, remainder: str, bags: TableBags, *, divisor: int) -> ProductBags:
        """Return the pairs `(id // divisor, id % divisor)` of bags of ids."""
        if isinstance(divisor, bool) or not isinstance(divisor, int) or divisor < 1:
            raise ConfigError(
                f"divisor is {divisor!r}.",
                allowed="a whole number from 1 on.",
                do="Give the rows of the remainder table.",
            )
        first, second = np.divmod(bags.values, divisor)
        return cls(quotient, remainder, TableBags(first, bags.offsets, bags.weights), second)

    def __len__(self) -> int:
        """Return B."""
        return len(self.quotients)

    def __repr__(self) -> str:
        """Show the tables and the counts."""
        return f"ProductBags({self.quotient!r}, {self.remainder!r}, {self.quotients!r})"

    def check(self, tables: Mapping[str, Table]) -> tuple[Table, Table]:
        """Return the two tables; refuse what cannot be multiplied, and ids out of range."""
        pair = []
        for name, ids in (
            (self.quotient, self.quotients.values),
            (self.remainder, self.remainders),
        ):
            known = ids[ids != NULL_ROW]
            Bags({name: TableBags(known, np.array([0, len(known)]))}).validate_against(tables)
            pair.append(tables[name])
        first, second = pair
        if (first.dim, first.dtype) != (second.dim, second.dtype):
            raise ConfigError(
                f"Tables {first.name!r} and {second.name!r}: dim {first.dim}, dtype {first.dtype.name.lower()!r} and "
                f"dim {second.dim}, dtype {second.dtype.name.lower()!r}.",
                allowed="rows of one dim and dtype.",
                do="Store both tables alike.",
            )
        for table in pair:
            if (
                table.pooling is not Pooling.SUM
                or table.order is not Order.SEQUENTIAL
                or table.dtype is DType.FIXED
            ):
                raise ConfigError(
                    f"{table!r} takes part in a product.",
                    allowed="pooling 'sum', order 'sequential', and any dtype but 'fixed'.",
                    do="Declare it so: the products are summed in key order, as float32.",
                )
        return first, second

    def select(self, chosen: NDArray[np.bool_]) -> ProductBags:
        """Return the chosen bags, in order; `chosen` is bool [B]."""
        bags = self.quotients
        taken = np.repeat(chosen, bags.lengths)
        offsets = np.concatenate(
            [np.zeros(1, np.int64), np.cumsum(bags.lengths[chosen], dtype=np.int64)]
        )
        weights = None if bags.weights is None else bags.weights[taken]
        kept = TableBags(bags.values[taken], offsets, weights)
        return ProductBags(self.quotient, self.remainder, kept, self.remainders[taken])
