# SPDX-License-Identifier: Apache-2.0
"""Describe embedding tables: what the user states once and everything else reads."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from .errors import ConfigError
from .gen.wire import DType, Pooling

__all__ = [
    "MAX_DIM",
    "MAX_ROWS",
    "MAX_TABLES",
    "OutOfRange",
    "Table",
    "enum_member",
    "tables_by_name",
]

MAX_ROWS = (1 << 48) - 1  # row numbers are 48 bits and the all-ones row is the null key
MAX_DIM = (1 << 16) - 1  # the wire's `dim` field
MAX_TABLES = 1 << 15  # table numbers are 15 bits

_ELEMENT_BYTES = {DType.FP32: 4, DType.FP16: 2, DType.BF16: 2}
_POOLINGS = (Pooling.SUM, Pooling.MEAN, Pooling.MAX)

_E = TypeVar("_E", bound=enum.IntEnum)


class OutOfRange(enum.IntEnum):
    """Say what happens to an id that is `rows` or larger.

    RAISE refuses the whole lookup. ZERO lets the id contribute nothing: it leaves its bag and is
    not counted by a mean. CLAMP uses the last row. A negative id is always refused.
    """

    RAISE = 0
    ZERO = 1
    CLAMP = 2


@dataclass(frozen=True, init=False, repr=False)
class Table:
    """Describe one embedding table and how its bags are pooled.

    `pooling` has no default, because the conventions differ: torch's EmbeddingBag says mean,
    torchrec says sum. A negative `padding_idx` counts from the end, as in torch; the stored value
    is the row.

    >>> item = Table("item", rows=1_000_000, dim=24, pooling="sum", padding_idx=-1)
    >>> item
    Table('item', rows=1000000, dim=24, dtype='fp32', pooling='sum', padding_idx=999999)
    >>> item.row_bytes, item.vec64, item.stride_bytes, item.nbytes
    (96, 2, 128, 128000000)
    """

    name: str
    rows: int
    dim: int
    dtype: DType
    pooling: Pooling
    padding_idx: int | None

    def __init__(
        self,
        name: str,
        *,
        rows: int,
        dim: int,
        dtype: DType | str = DType.FP32,
        pooling: Pooling | str | None = None,
        padding_idx: int | None = None,
    ) -> None:
        """Check every value and keep it in its final type."""
        if not isinstance(name, str) or not name:
            raise ConfigError(
                f"A table's name is {name!r}.",
                allowed="a string that is not empty.",
                do="Name the table; bags and results are found by that name.",
            )
        values = {
            "name": name,
            "rows": _whole(name, "rows", rows, MAX_ROWS),
            "dim": _whole(name, "dim", dim, MAX_DIM),
            "dtype": _dtype(name, dtype),
            "pooling": _pooling(name, pooling),
        }
        values["padding_idx"] = _padding(name, padding_idx, rows)
        for field, value in values.items():
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        """Show the call that makes this table."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return (
            f"Table({self.name!r}, rows={self.rows}, dim={self.dim}, "
            f"dtype={self.dtype.name.lower()!r}, "
            f"pooling={self.pooling.name.lower()!r}{padding})"
        )

    @property
    def mul_then_add(self) -> bool:
        """Tell whether a weighted product is rounded before it is added.

        torch fuses the two, except when the table has a `padding_idx` (even one that no bag
        contains): then another of its kernels runs, which rounds the product and rounds bf16
        results to nearest even.
        """
        return self.padding_idx is not None

    @property
    def element_bytes(self) -> int:
        """Bytes of one element as stored."""
        return _ELEMENT_BYTES[self.dtype]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row without padding."""
        return self.dim * self.element_bytes

    @property
    def vec64(self) -> int:
        """Units of 64 bytes that a stored row takes."""
        return -(-self.row_bytes // 64)

    @property
    def stride_bytes(self) -> int:
        """Bytes from one row to the next in card memory."""
        return self.vec64 * 64

    @property
    def nbytes(self) -> int:
        """Bytes of the whole table in card memory."""
        return self.rows * self.stride_bytes


def tables_by_name(tables: Iterable[Table]) -> dict[str, Table]:
    """Return the tables by name, in the given order; refuse duplicates and an empty list."""
    found: dict[str, Table] = {}
    for table in tables:
        if not isinstance(table, Table):
            raise ConfigError(
                f"A table is given as {type(table).__name__}.",
                allowed="embnic.Table.",
                do='Write embnic.Table("name", rows=..., dim=..., pooling=...).',
            )
        if table.name in found:
            raise ConfigError(
                f"Two tables are named {table.name!r}.",
                allowed="names that are all different.",
                do="Rename one of them.",
            )
        found[table.name] = table
    if not found:
        raise ConfigError(
            "No table is given.", allowed="at least one.", do="Give a list of embnic.Table."
        )
    if len(found) > MAX_TABLES:
        raise ConfigError(
            f"{len(found)} tables are given.",
            allowed=f"at most {MAX_TABLES}.",
            do="Use several engines.",
        )
    return found


def enum_member(kind: type[_E], value: _E | str | int, what: str, *, do: str) -> _E:
    """Return the member of `kind` that `value` is or names (in any case), or refuse it."""
    if isinstance(value, kind):
        return value
    if isinstance(value, str) and value.upper() in kind.__members__:
        return kind[value.upper()]
    if isinstance(value, int) and not isinstance(value, (bool, enum.Enum)) and value in set(kind):
        return kind(value)
    names = ", ".join(repr(name.lower()) for name in kind.__members__)
    raise ConfigError(f"{what} is {value!r}.", allowed=f"{names}.", do=do)


def _whole(table: str, what: str, value: object, largest: int) -> int:
    whole = _index(value)
    if whole is None or not 1 <= whole <= largest:
        raise ConfigError(
            f"Table {table!r}: {what} is {value!r}.",
            allowed=f"a whole number, 1 to {largest}.",
            do=f"Give the table's {what}.",
        )
    return whole


def _index(value: object) -> int | None:
    """Return `value` as int when it is one (numpy integers too, bools not), else None."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return None
    try:
        return int(value.__index__())
    except TypeError:
        return None


def _dtype(table: str, dtype: DType | str) -> DType:
    found = enum_member(DType, dtype, f"Table {table!r}: dtype", do="Use dtype='fp32'.")
    if found not in _ELEMENT_BYTES:
        works = ", ".join(repr(d.name.lower()) for d in _ELEMENT_BYTES)
        raise ConfigError(
            f"Table {table!r}: dtype {found.name.lower()!r} is not built yet.",
            allowed=f"{works}.",
            do="Store the table in one of these.",
        )
    return found


def _pooling(table: str, pooling: Pooling | str | None) -> Pooling:
    works = ", ".join(repr(p.name.lower()) for p in _POOLINGS)
    if pooling is None:
        raise ConfigError(
            f"Table {table!r}: no pooling is given, and there is no default: "
            "torch's EmbeddingBag means 'mean', "
            "torchrec's EmbeddingBagConfig means 'sum'.",
            allowed=f"{works}.",
            do="Say which one the model was trained with.",
        )
    found = enum_member(Pooling, pooling, f"Table {table!r}: pooling", do="Choose one of these.")
    if found not in _POOLINGS:
        raise ConfigError(
            f"Table {table!r}: pooling {found.name.lower()!r} (rows unpooled) is not built yet.",
            allowed=f"{works}.",
            do="Look rows up as bags of one id, with pooling='sum'.",
        )
    return found


def _padding(table: str, padding_idx: int | None, rows: int) -> int | None:
    if padding_idx is None:
        return None
    idx = _index(padding_idx)
    if idx is None or not -rows <= idx < rows:
        raise ConfigError(
            f"Table {table!r}: padding_idx is {padding_idx!r}.",
            allowed=f"None, or a whole number from {-rows} to {rows - 1}.",
            do="Give the row that bags are filled up with; a negative one counts from the end.",
        )
    return idx + rows if idx < 0 else idx
