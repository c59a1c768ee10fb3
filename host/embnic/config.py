# SPDX-License-Identifier: Apache-2.0
"""Describe embedding tables: what the user states once and everything else reads."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from .errors import ConfigError
from .gen.wire import DType, Order, Pooling

__all__ = [
    "HEADER_BYTES",
    "MAX_DIM",
    "MAX_OWNER",
    "MAX_ROWS",
    "MAX_TABLES",
    "QUANTISED",
    "OutOfRange",
    "Table",
    "enum_member",
    "tables_by_name",
]

MAX_ROWS = (1 << 48) - 1  # row numbers are 48 bits and the all-ones row is the null key
MAX_DIM = (1 << 16) - 1  # the wire's `dim` field
MAX_TABLES = 1 << 15  # table numbers are 15 bits
MAX_OWNER = (1 << 8) - 1  # the descriptor's `owner` field


QUANTISED = frozenset({DType.INT8, DType.INT8_FRONT, DType.INT4, DType.INT4_END})
HEADER_BYTES = 16  # of a quantised row on the card: fp32 scale, fp32 bias, 8 zero bytes
RESULT_BYTES = 4  # of an element of a pooled vector on the card: fp32, or int32 for `fixed`

_ELEMENT_BITS = {
    DType.FP32: 32,
    DType.FP16: 16,
    DType.BF16: 16,
    DType.INT8: 8,
    DType.INT8_FRONT: 8,
    DType.INT4: 4,
    DType.INT4_END: 4,
    DType.FIXED: 32,
}
_TREE_LEAVES = (2, 4, 8, 16)

_E = TypeVar("_E", bound=enum.IntEnum)


class OutOfRange(enum.IntEnum):
    """Say what happens to an id that is `rows` or larger.

    RAISE refuses the whole lookup. ZERO lets the id contribute nothing: it leaves its bag and is
    not counted by a mean; a table without pooling answers it with a row of zeros. CLAMP uses the
    last row. A negative id is always refused.
    """

    RAISE = 0
    ZERO = 1
    CLAMP = 2


@dataclass(frozen=True, init=False, repr=False)
class Table:
    """Describe one embedding table and how its bags are pooled.

    `pooling` has no default, because the conventions differ: torch's EmbeddingBag says mean,
    torchrec says sum. A negative `padding_idx` counts from the end, as in torch; the stored value
    is the row. `order` is the order of the additions; `tree_k` the leaves of `order="tree"`.
    `fixed_scale_exp` is the scale of a `fixed` table: a row element `i` means `i * 2**exp`.
    `owner` is the number of the card that holds the rows, when that is not the card that pools them: a remote table.

    >>> item = Table("item", rows=1_000_000, dim=24, pooling="sum", padding_idx=-1)
    >>> item
    Table('item', rows=1000000, dim=24, dtype='fp32', pooling='sum', padding_idx=999999)
    >>> item.row_bytes, item.vec64, item.stored_vec64, item.stride_bytes, item.nbytes
    (96, 2, 2, 128, 128000000)
    >>> small = Table("small", rows=1_000_000, dim=24, pooling="sum", dtype="int4")
    >>> small.row_bytes, small.vec64, small.stored_vec64, small.nbytes
    (28, 2, 1, 64000000)
    """

    name: str
    rows: int
    dim: int
    dtype: DType
    pooling: Pooling
    padding_idx: int | None
    order: Order
    tree_k: int | None
    fixed_scale_exp: int | None
    owner: int | None

    def __init__(
        self,
        name: str,
        *,
        rows: int,
        dim: int,
        dtype: DType | str = DType.FP32,
        pooling: Pooling | str | None = None,
        padding_idx: int | None = None,
        order: Order | str = Order.SEQUENTIAL,
        tree_k: int | None = None,
        fixed_scale_exp: int | None = None,
        owner: int | None = None,
    ) -> None:
        """Check every value and keep it in its final type."""
        if not isinstance(name, str) or not name:
            raise ConfigError(
                f"A table's name is {name!r}.",
                allowed="a string that is not empty.",
                do="Name the table; bags and results are found by that name.",
            )
        stored, pooled = _dtype(name, dtype), _pooling(name, pooling)
        added = _order(name, order, pooled)
        values = {
            "name": name,
            "rows": _whole(name, "rows", rows, MAX_ROWS),
            "dim": _whole(name, "dim", dim, MAX_DIM),
            "dtype": stored,
            "pooling": pooled,
            "order": added,
            "tree_k": _tree_k(name, tree_k, added),
            "fixed_scale_exp": _fixed_scale_exp(name, fixed_scale_exp, stored),
            "owner": _owner(name, owner),
        }
        values["padding_idx"] = _padding(name, padding_idx, rows)
        for field, value in values.items():
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        """Show the call that makes this table; what has its default is left out."""
        optional = {
            "padding_idx": self.padding_idx,
            "order": None if self.order is Order.SEQUENTIAL else self.order.name.lower(),
            "tree_k": self.tree_k,
            "fixed_scale_exp": self.fixed_scale_exp,
            "owner": self.owner,
        }
        rest = "".join(f", {key}={value!r}" for key, value in optional.items() if value is not None)
        return (
            f"Table({self.name!r}, rows={self.rows}, dim={self.dim}, "
            f"dtype={self.dtype.name.lower()!r}, "
            f"pooling={self.pooling.name.lower()!r}{rest})"
        )

    @property
    def remote(self) -> bool:
        """Tell whether the rows are held by another card than the one that pools them."""
        return self.owner is not None

    @property
    def quantised(self) -> bool:
        """Tell whether rows are integers with a scale and a bias of their own."""
        return self.dtype in QUANTISED

    @property
    def mul_then_add(self) -> bool:
        """Tell whether a weighted product is rounded before it is added.

        torch fuses the two, except when the table has a `padding_idx` (even one that no bag
        contains): then another of its kernels runs, which rounds the product and rounds bf16
        results to nearest even. Quantised tables have one rule, with and without padding; `fixed`
        ones take no weights.
        """
        return self.padding_idx is not None and self.dtype in (DType.FP32, DType.FP16, DType.BF16)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row in card memory without padding: header, if it has one, and elements."""
        header = HEADER_BYTES if self.quantised else 0
        return header + -(-self.dim * _ELEMENT_BITS[self.dtype] // 8)

    @property
    def vec64(self) -> int:
        """Units of 64 bytes that a result takes on the wire: fp32 (int32 for `fixed`) elements."""
        return -(-self.dim * RESULT_BYTES // 64)

    @property
    def stored_vec64(self) -> int:
        """Units of 64 bytes that a stored row takes in card memory."""
        return -(-self.row_bytes // 64)

    @property
    def stride_bytes(self) -> int:
        """Bytes from one row to the next in card memory."""
        return self.stored_vec64 * 64

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
    return enum_member(DType, dtype, f"Table {table!r}: dtype", do="Use dtype='fp32'.")


def _pooling(table: str, pooling: Pooling | str | None) -> Pooling:
    if pooling is None:
        works = ", ".join(repr(p.name.lower()) for p in Pooling)
        raise ConfigError(
            f"Table {table!r}: no pooling is given, and there is no default: "
            "torch's EmbeddingBag means 'mean', "
            "torchrec's EmbeddingBagConfig means 'sum'.",
            allowed=f"{works}.",
            do="Say which one the model was trained with.",
        )
    return enum_member(Pooling, pooling, f"Table {table!r}: pooling", do="Choose one of these.")


def _order(table: str, order: Order | str, pooling: Pooling) -> Order:
    found = enum_member(Order, order, f"Table {table!r}: order", do="Choose one of these.")
    if found is Order.MEMO:
        raise ConfigError(
            f"Table {table!r}: order 'memo' is not built yet.",
            allowed="'sequential', 'tree', 'split'.",
            do="Choose one of these.",
        )
    if pooling is Pooling.NONE and found is not Order.SEQUENTIAL:
        raise ConfigError(
            f"Table {table!r}: order {found.name.lower()!r} with pooling 'none'.",
            allowed="'sequential': nothing is added.",
            do="Leave the order out.",
        )
    return found


def _tree_k(table: str, tree_k: int | None, order: Order) -> int | None:
    if tree_k is None and order is not Order.TREE:
        return None
    if order is not Order.TREE or _index(tree_k) not in _TREE_LEAVES:
        leaves = ", ".join(str(k) for k in _TREE_LEAVES)
        raise ConfigError(
            f"Table {table!r}: tree_k is {tree_k!r} with order {order.name.lower()!r}.",
            allowed=f"{leaves} with order='tree', None with the others.",
            do="Say how many running sums the tree has.",
        )
    return _index(tree_k)


def _fixed_scale_exp(table: str, exponent: int | None, dtype: DType) -> int | None:
    if exponent is None and dtype is not DType.FIXED:
        return None
    whole = _index(exponent)
    if dtype is not DType.FIXED or whole is None or not -128 <= whole <= 127:
        raise ConfigError(
            f"Table {table!r}: fixed_scale_exp is {exponent!r} with dtype {dtype.name.lower()!r}.",
            allowed="-128 to 127 with dtype='fixed', None with the others.",
            do="Give the power of two that one unit of a row stands for.",
        )
    return whole


def _owner(table: str, owner: int | None) -> int | None:
    whole = _index(owner)
    if owner is not None and (whole is None or not 0 <= whole <= MAX_OWNER):
        raise ConfigError(
            f"Table {table!r}: owner is {owner!r}.",
            allowed=f"None, or the number of a card, 0 to {MAX_OWNER}.",
            do="Leave it out for rows that the card itself holds.",
        )
    return whole


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
