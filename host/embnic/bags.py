# SPDX-License-Identifier: Apache-2.0
"""Hold bags of ids: the input of every lookup.

Letters in shapes: `B` bags, `L` ids over all bags of a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import as_numpy
from .config import OutOfRange, Table, tables_by_name
from .errors import ConfigError
from .gen.wire import NULL_ROW, DType, Pooling

__all__ = ["Bags", "TableBags"]


@dataclass(frozen=True, eq=False)
class TableBags:
    """Hold the bags of one table; bag `b` is `values[offsets[b]:offsets[b + 1]]`.

    The arrays are read-only views. What was given as int64 or float32 is not copied: do not change
    it while the bags are in use.
    """

    values: NDArray[np.int64]  # [L]
    offsets: NDArray[np.int64]  # [B + 1], from 0 to L
    weights: NDArray[np.float32] | None = None  # [L]

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for name in ("values", "offsets", "weights"):
            array = getattr(self, name)
            if array is not None:
                view = array.view()
                view.flags.writeable = False
                object.__setattr__(self, name, view)

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


class Bags(Mapping[str, TableBags]):
    """Hold bags for one or more tables; immutable.

    >>> bags = Bags.from_lists({"item": [[3, 8, 8], [], [5]]})     # three bags
    >>> bags
    Bags({'item': TableBags(3 bags, 4 ids)})
    >>> bags["item"].values.tolist(), bags["item"].offsets.tolist()
    ([3, 8, 8, 5], [0, 3, 3, 4])
    """

    __slots__ = ("_tables",)

    def __init__(self, tables: Mapping[str, TableBags]) -> None:
        """Take checked bags by table name; users call one of the `from_` constructors."""
        if not tables:
            raise ConfigError(
                "No bags are given.",
                allowed="bags for at least one table.",
                do='Give {"table": [[id, ...], ...]}.',
            )
        self._tables = dict(tables)

    def __getitem__(self, name: str) -> TableBags:
        """Return the bags of one table."""
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the table names."""
        return iter(self._tables)

    def __len__(self) -> int:
        """Return the number of tables."""
        return len(self._tables)

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
        return sum(len(t.values) for t in self._tables.values())

    @property
    def bags_total(self) -> int:
        """Bags over all tables."""
        return sum(len(t) for t in self._tables.values())

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
            {name: _from_lists(name, lists, weights.get(name)) for name, lists in bags.items()}
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
            {name: _from_torch(name, given, include_last_offset) for name, given in inputs.items()}
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
        return cls(_from_kjt(list(keys), values, lengths, offsets, weights))

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
        self, tables: Iterable[Table], *, out_of_range: OutOfRange = OutOfRange.RAISE
    ) -> Bags:
        """Return bags that fit the tables: `self`, or a copy in which `out_of_range` was applied.

        Every name must be one of the tables; a table without bags is simply not looked up. Weights
        are refused where the pooling is not a sum, as in torch, and for `fixed` tables. In bags of a
        table without pooling an id may be the null key's row, 2**48 - 1: its row is zeros.
        """
        known = tables_by_name(tables)
        checked: dict[str, TableBags] = {}
        for name, bags in self._tables.items():
            if name not in known:
                raise ConfigError(
                    f"Bags are given for the table {name!r}, which does not exist.",
                    allowed=f"{_names(known)}.",
                    do="Name the bags as the tables are named.",
                )
            table = known[name]
            if bags.weights is not None and table.pooling is not Pooling.SUM:
                raise ConfigError(
                    f"Table {name!r}: weights are given with pooling "
                    f"{table.pooling.name.lower()!r}.",
                    allowed="weights with pooling='sum' only, as in torch.",
                    do="Leave the weights out, or declare the table with pooling='sum'.",
                )
            if bags.weights is not None and table.dtype is DType.FIXED:
                raise ConfigError(
                    f"Table {name!r}: weights are given with dtype 'fixed'.",
                    allowed="weights with the other dtypes: a product would have to be rounded.",
                    do="Leave the weights out, or store the table in another dtype.",
                )
            checked[name] = _in_range(table, bags, out_of_range)
        if all(checked[name] is self._tables[name] for name in checked):
            return self
        return Bags(checked)


def _in_range(table: Table, bags: TableBags, policy: OutOfRange) -> TableBags:
    if len(bags.values) == 0:
        return bags
    if int(bags.values.min()) < 0:
        raise ConfigError(
            f"Table {table.name!r}: an id is {int(bags.values.min())}.",
            allowed=f"0 to {table.rows - 1}.",
            do="Do not change the arrays after the bags were built.",
        )
    if int(bags.values.max()) < table.rows:
        return bags
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


# --- conversion of one array ---


def _array(value: Any, what: str) -> NDArray[Any]:
    """Return a torch tensor or an array-like as a numpy array."""
    try:
        return as_numpy(value)
    except ValueError as error:
        raise ConfigError(
            f"{what} is not an array: {error}.",
            allowed="equally long rows of numbers.",
            do="Check the nesting.",
        ) from None


def _ids(value: Any, what: str, *, ndim: tuple[int, ...] = (1,)) -> NDArray[np.int64]:
    """Return ids, offsets or lengths as contiguous int64; refuse other types, shapes and negative
    values.
    """
    array = _array(value, what)
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


def _weights(value: Any, what: str, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Return weights as contiguous float32 [L]; fp16 and bf16 widen exactly, float64 is refused."""
    if value is None:
        return None
    array = _array(value, what)
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


# --- the layouts ---


def _from_lists(name: str, lists: Any, weights: Any) -> TableBags:
    if isinstance(lists, (str, bytes)) or not isinstance(lists, (Sequence, np.ndarray)):
        raise ConfigError(
            f"Table {name!r}: the bags are a {type(lists).__name__}.",
            allowed="a list of lists of ids.",
            do="Write [[3, 8, 8], [], [5]].",
        )
    bags = [
        _ids(_listed(bag, name, at), f"Table {name!r}: bag {at}") for at, bag in enumerate(lists)
    ]
    values = np.concatenate(bags) if bags else np.zeros(0, np.int64)
    offsets = _offsets_of(np.array([len(bag) for bag in bags], np.int64))
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
        part = _weights(array, f"Table {name!r}: the weights of bag {at}", bag.shape)
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


def _from_torch(name: str, given: Any, include_last_offset: bool) -> TableBags:
    parts = given if isinstance(given, (tuple, list)) else (given,)
    if not 1 <= len(parts) <= 3:
        raise ConfigError(
            f"Table {name!r}: {len(parts)} values are given.",
            allowed="(input, offsets, per_sample_weights).",
            do="Leave out or set to None what does not apply.",
        )
    values_in, offsets_in, weights_in = (*parts, None, None)[:3]
    values = _ids(values_in, f"Table {name!r}: input", ndim=(1, 2))
    weights = _weights(weights_in, f"Table {name!r}: per_sample_weights", values.shape)
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
    starts = _ids(offsets_in, f"Table {name!r}: offsets")
    if not include_last_offset:
        _check_start(name, starts, len(values))
        starts = np.concatenate([starts, np.array([len(values)], np.int64)])
    return TableBags(values, _check_offsets(name, starts, len(values)), weights)


def _from_kjt(
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
    values = _ids(values_in, f"{what}: values")
    weights = _weights(weights_in, f"{what}: weights", values.shape)
    if lengths_in is None and offsets_in is None:
        raise ConfigError(
            f"{what}: neither lengths nor offsets are given.",
            allowed="one of them.",
            do="Give lengths=... .",
        )
    offsets = None if offsets_in is None else _ids(offsets_in, f"{what}: offsets")
    if lengths_in is not None:
        from_lengths = _offsets_of(_ids(lengths_in, f"{what}: lengths"))
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
    _check_offsets(what, offsets, len(values))
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


def _offsets_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _check_start(name: str, offsets: NDArray[np.int64], ids: int) -> None:
    if len(offsets) == 0 and ids:
        raise ConfigError(
            f"Table {name!r}: offsets are empty, but there are {ids} ids.",
            allowed="offsets that start at 0.",
            do="Give the start of each bag.",
        )


def _check_offsets(name: str, offsets: NDArray[np.int64], ids: int) -> NDArray[np.int64]:
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


def _names(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
