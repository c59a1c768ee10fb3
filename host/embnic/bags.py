# SPDX-License-Identifier: Apache-2.0
"""Hold bags of ids: the input of every lookup.

Letters in shapes: `B` bags, `L` ids over all bags of a table.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from dataclasses import replace
from typing import Any

import numpy as np

from .bag_arrays import largest
from .bag_layouts import TableBags, bags_from_kjt, bags_from_lists, bags_from_torch
from .config import OutOfRange, Table, tables_by_name
from .errors import ConfigError
from .gen.wire import NULL_ROW, DType, Pooling

__all__ = ["Bags", "TableBags"]


class Bags(Mapping[str, TableBags]):
    """Hold bags for one or more tables; immutable.

    >>> bags = Bags.from_lists({"item": [[3, 8, 8], [], [5]]})     # three bags
    >>> bags
    Bags({'item': TableBags(3 bags, 4 ids)})
    >>> bags["item"].values.tolist(), bags["item"].offsets.tolist()
    ([3, 8, 8, 5], [0, 3, 3, 4])
    """

    __slots__ = ("_bags_total", "_keys_total", "_tables")

    def __init__(self, tables: Mapping[str, TableBags]) -> None:
        """Take checked bags by table name; users call one of the `from_` constructors."""
        if not tables:
            raise ConfigError(
                "No bags are given.",
                allowed="bags for at least one table.",
                do='Give {"table": [[id, ...], ...]}.',
            )
        self._tables = dict(tables)
        bags = keys = 0
        for part in self._tables.values():
            bags += len(part.offsets) - 1
            keys += len(part.values)
        self._bags_total, self._keys_total = bags, keys

    def __getitem__(self, name: str) -> TableBags:
        """Return the bags of one table."""
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the table names."""
        return iter(self._tables)

    def __len__(self) -> int:
        """Return the number of tables."""
        return len(self._tables)

    def keys(self) -> KeysView[str]:
        """Return the table names."""
        return self._tables.keys()

    def values(self) -> ValuesView[TableBags]:
        """Return the bags of each table."""
        return self._tables.values()

    def items(self) -> ItemsView[str, TableBags]:
        """Return the table names with their bags."""
        return self._tables.items()

    def __repr__(self) -> str:
        """Show the counts by table."""
        return f"Bags({self._tables!r})"

    @property
    def by_name(self) -> Mapping[str, TableBags]:
        """The bags as the dictionary that they are kept in; do not change it."""
        return self._tables

    @property
    def keys_total(self) -> int:
        """Ids over all tables."""
        return self._keys_total

    @property
    def bags_total(self) -> int:
        """Bags over all tables."""
        return self._bags_total

    @classmethod
    def from_lists(
        cls,
        bags: Mapping[str, Sequence[Sequence[int]]],
        weights: Mapping[str, Sequence[Sequence[float]]] | None = None,
    ) -> Bags:
        """Build from lists of ids, one list a bag; `weights` has the same nesting for the tables it
        names.
        """
        weights = {} if weights is None else weights
        for name in weights:
            if name not in bags:
                raise ConfigError(
                    f"Weights are given for {name!r}, which has no bags.",
                    allowed=f"{_names(bags)}.",
                    do="Name the table as in the bags.",
                )
        return cls(
            {name: bags_from_lists(name, lists, weights.get(name)) for name, lists in bags.items()}
        )

    @classmethod
    def from_torch(
        cls,
        inputs: Mapping[str, Any],
        *,
        include_last_offset: bool = False,
    ) -> Bags:
        """Build from what `torch.nn.EmbeddingBag` is called with, as torch tensors or numpy arrays.

        `inputs` gives each table `(input, offsets, per_sample_weights)`; the last, or the last two,
        may be left out or None. A 1-D input needs offsets: the start of each bag, and with
        `include_last_offset` also the end of the last. A 2-D input is one bag a row and has no
        offsets.

        >>> import numpy as np
        >>> bags = Bags.from_torch({"item": (np.array([3, 8, 8, 5]), np.array([0, 3, 3]))})
        >>> bags["item"].lengths.tolist()
        [3, 0, 1]
        """
        return cls(
            {
                name: bags_from_torch(name, given, include_last_offset)
                for name, given in inputs.items()
            }
        )

    @classmethod
    def from_kjt(
        cls,
        keys: Sequence[str],
        values: Any,
        *,
        lengths: Any = None,
        offsets: Any = None,
        weights: Any = None,
    ) -> Bags:
        """Build from the parts of a torchrec KeyedJaggedTensor.

        The layout is key-major: `lengths[f * B + b]` ids belong to bag `b` of the table `keys[f]`,
        and `values` holds them in that order. Give `lengths` [F * B] or `offsets` [F * B + 1];
        given both, they must agree.

        >>> import numpy as np
        >>> values, lengths = np.array([7, 3, 8, 8]), np.array([1, 0, 2, 1])
        >>> kjt = Bags.from_kjt(["user", "item"], values, lengths=lengths)
        >>> kjt["user"].lengths.tolist(), kjt["item"].values.tolist()
        ([1, 0], [3, 8, 8])
        """
        return cls(bags_from_kjt(list(keys), values, lengths, offsets, weights))

    @classmethod
    def from_kjt_shape(cls, kjt: Any) -> Bags:
        """Build from a KeyedJaggedTensor, or anything with its `keys()`, `values()`, `offsets()`,
        `weights_or_none()`.
        """
        missing = [
            n
            for n in ("keys", "values", "offsets", "weights_or_none")
            if not callable(getattr(kjt, n, None))
        ]
        if missing:
            raise ConfigError(
                f"A {type(kjt).__name__} is given, which has no {', '.join(missing)}().",
                allowed="a torchrec KeyedJaggedTensor or an object with the same four methods.",
                do="Use Bags.from_kjt(keys, values, lengths=...) for separate arrays.",
            )
        return cls.from_kjt(
            kjt.keys(), kjt.values(), offsets=kjt.offsets(), weights=kjt.weights_or_none()
        )

    def validate_against(
        self,
        tables: Iterable[Table] | Mapping[str, Table],
        *,
        out_of_range: OutOfRange = OutOfRange.RAISE,
    ) -> Bags:
        """Return bags that fit the tables: `self`, or a copy in which `out_of_range` was applied.

        Every name must be one of the tables; a table without bags is simply not looked up. Weights
        are refused where the pooling is not a sum, as in torch, and for `fixed` tables. In bags of a
        table without pooling an id may be the null key's row, 2**48 - 1: its row is zeros.
        """
        known = _by_name(tables)
        changed: dict[str, TableBags] = {}
        for name, bags in self._tables.items():
            if name not in known:
                raise ConfigError(
                    f"Bags are given for the table {name!r}, which does not exist.",
                    allowed=f"{_names(known)}.",
                    do="Name the bags as the tables are named.",
                )
            table = known[name]
            if bags.weights is not None:
                _check_weighted(table)
            if largest(bags.values) >= table.rows:
                fits = _in_range(table, bags, out_of_range)
                if fits is not bags:
                    changed[name] = fits
        return Bags({**self._tables, **changed}) if changed else self


def _by_name(tables: Iterable[Table] | Mapping[str, Table]) -> Mapping[str, Table]:
    if type(tables) is dict or isinstance(tables, Mapping):
        return tables
    return tables_by_name(tables)


def _check_weighted(table: Table) -> None:
    if table.pooling is not Pooling.SUM:
        raise ConfigError(
            f"Table {table.name!r}: weights are given with pooling {table.pooling.name.lower()!r}.",
            allowed="weights with pooling='sum' only, as in torch.",
            do="Leave the weights out, or declare the table with pooling='sum'.",
        )
    if table.dtype is DType.FIXED:
        raise ConfigError(
            f"Table {table.name!r}: weights are given with dtype 'fixed'.",
            allowed="weights with the other dtypes: a product would have to be rounded.",
            do="Leave the weights out, or store the table in another dtype.",
        )


def _in_range(table: Table, bags: TableBags, policy: OutOfRange) -> TableBags:
    """Return bags of which an id may be out of range with the policy applied."""
    if int(bags.values.min()) < 0:
        raise ConfigError(
            f"Table {table.name!r}: an id is {int(bags.values.min())}.",
            allowed=f"0 to {table.rows - 1}.",
            do="Do not change the arrays after the bags were built.",
        )
    bad = bags.values >= table.rows
    unpooled = table.pooling is Pooling.NONE
    if unpooled:
        bad &= bags.values != NULL_ROW
        if not bad.any():
            return bags
    if policy is OutOfRange.CLAMP:
        return replace(bags, values=np.where(bad, table.rows - 1, bags.values))
    if policy is OutOfRange.ZERO and unpooled:  # every id keeps its row
        return replace(bags, values=np.where(bad, NULL_ROW, bags.values))
    if policy is OutOfRange.ZERO:
        kept = ~bad
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])
        weights = None if bags.weights is None else bags.weights[kept]
        return TableBags(bags.values[kept], before[bags.offsets], weights)
    first = int(np.flatnonzero(bad)[0])
    raise ConfigError(
        f"Table {table.name!r}: id {int(bags.values[first])} at position {first} is out of range "
        f"({int(bad.sum())} such ids).",
        allowed=f"0 to {table.rows - 1}.",
        do="Correct the ids, or say out_of_range=OutOfRange.ZERO or OutOfRange.CLAMP.",
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
