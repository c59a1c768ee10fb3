# SPDX-License-Identifier: Apache-2.0
"""Read recorded embedding traffic: a Parquet file, one row a bag, with a JSON header.

`docs/capture.md` has the schema. `embnic.capture` (it needs torch) records a model into such a file; what is here
needs `pyarrow` only, which is imported when a file is opened (`pip install 'embnic[capture]'`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from .bags import Bags, TableBags
from .errors import BackendUnavailable, ConfigError
from .gen.wire import NULL_ROW

__all__ = [
    "FORMAT_VERSION",
    "METADATA_KEY",
    "Capture",
    "CapturedTable",
    "Header",
    "is_capture",
    "load_pyarrow",
    "read_capture",
]

FORMAT_VERSION = 1
MAGIC = b"PAR1"
METADATA_KEY = b"embnic.capture"


@dataclass(frozen=True)
class CapturedTable:
    """What the header says of a table; `pooling` is `unknown` where the tap does not tell."""

    name: str
    rows: int
    dim: int
    dtype: str = "fp32"
    pooling: str = "sum"
    padding_idx: int | None = None


@dataclass(frozen=True)
class Header:
    """What was recorded and what was left out; JSON in the file's metadata under the key `embnic.capture`."""

    version: int
    tables: Mapping[str, CapturedTable]
    salted: bool
    sample: float
    seed: int
    weights: bool
    max_bytes: int | None
    batches_seen: int
    batches_kept: int
    bags: int
    ids: int
    ended: str  # closed | max_bytes | error

    def to_json(self) -> str:
        """Return the header as one JSON object."""
        return json.dumps(
            {**vars(self), "tables": [asdict(table) for table in self.tables.values()]}
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Header:
        """Read what `to_json` wrote; raises ConfigError for anything else."""
        try:
            values = json.loads(text)
            tables = [CapturedTable(**table) for table in values.pop("tables")]
            header = cls(tables={table.name: table for table in tables}, **values)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"The header of the recording does not read ({error}).",
                allowed=f"the fields of docs/capture.md, version {FORMAT_VERSION}.",
                do="Record again with this version of embnic.",
            ) from None
        if header.version != FORMAT_VERSION:
            raise ConfigError(
                f"The recording has version {header.version}.",
                allowed=f"{FORMAT_VERSION}.",
                do="Read it with the version of embnic that wrote it.",
            )
        return header


class Capture:
    """Read a recording.

    `header` says what it holds; `table` collects all bags of one table, `batches` goes through the lookups in order.
    """

    def __init__(self, path: Path, header: Header, file: Any) -> None:
        self.path = path
        self.header = header
        self._file = file

    @property
    def tables(self) -> Mapping[str, CapturedTable]:
        """Return the recorded tables by name."""
        return MappingProxyType(dict(self.header.tables))

    def busiest(self) -> str:
        """Return the name of the table with the most ids."""
        totals = dict.fromkeys(self.tables, 0)
        for group in self._groups(["table", "ids"]):
            for name, part in self._by_table(group):
                totals[name] += len(_column(part, "ids").flatten())
        if not totals:
            raise _bad(self.path, "it holds no bags")
        return max(totals, key=lambda name: totals[name])

    def table(self, name: str) -> TableBags:
        """Return every bag of one table, in order; weights only if all its bags have them."""
        if name not in self.tables:
            raise ConfigError(
                f"{self.path} has no table {name!r}.",
                allowed=f"{', '.join(map(repr, self.tables))}.",
                do="Name one of these.",
            )
        parts = [
            _bags(self.path, part)
            for group in self._groups(["table", "ids", "weights"])
            for found, part in self._by_table(group)
            if found == name
        ]
        return _concatenate(parts)

    def batches(self) -> Iterator[tuple[int, Bags]]:
        """Go through the batches: their number and the bags of the tables that they looked up.

        The lookups of a table that is asked more than once in a batch are joined.
        """
        last: int | None = None
        found: dict[str, list[TableBags]] = {}
        for group in self._groups(["batch", "table", "ids", "weights"]):
            numbers = np.asarray(_column(group, "batch"))
            cuts = np.flatnonzero(np.diff(numbers)) + 1
            for start, stop in zip([0, *cuts], [*cuts, len(numbers)], strict=True):
                if last is not None and int(numbers[start]) != last:
                    yield last, Bags({name: _concatenate(parts) for name, parts in found.items()})
                    found = {}
                last = int(numbers[start])
                for name, part in self._by_table(group.slice(int(start), int(stop - start))):
                    found.setdefault(name, []).append(_bags(self.path, part))
        if last is not None:
            yield last, Bags({name: _concatenate(parts) for name, parts in found.items()})

    def _groups(self, columns: list[str]) -> Iterator[Any]:
        for number in range(self._file.num_row_groups):
            group = self._file.read_row_group(number, columns=columns)
            if group.num_rows:
                yield group

    def _by_table(self, group: Any) -> Iterator[tuple[str, Any]]:
        """Cut a group by table, each part in the order of the file."""
        column = _column(group, "table")
        if column.null_count:
            raise _bad(self.path, "a bag has no table")
        names, indices = column.dictionary.to_pylist(), np.asarray(column.indices)
        for index in np.unique(indices):
            if names[index] not in self.tables:
                raise _bad(self.path, f"bags of the table {names[index]!r}, which the header lacks")
            yield names[index], group.take(np.flatnonzero(indices == index))


def is_capture(path: str | Path) -> bool:
    """Tell whether a file begins as a Parquet file does."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_capture(path: str | Path) -> Capture:
    """Open a recording; raises ConfigError when it is not one, BackendUnavailable without pyarrow."""
    path = Path(path)
    arrow, parquet = load_pyarrow()
    try:
        file = parquet.ParquetFile(path)
    except OSError as error:
        raise _bad(path, error.strerror or str(error)) from None
    except arrow.ArrowInvalid as error:
        raise _bad(path, str(error)) from None
    metadata = file.schema_arrow.metadata or {}
    metadata = {**metadata, **(file.metadata.metadata or {})}
    if METADATA_KEY not in metadata:
        raise _bad(path, "it has no header of embnic")
    types = {name: str(file.schema_arrow.field(name).type) for name in file.schema_arrow.names}
    wanted = {"batch": "int64", "table": "dictionary<", "ids": "list<", "weights": "list<"}
    for name, begins in wanted.items():
        if not types.get(name, "").startswith(begins):
            raise _bad(path, f"its column {name!r} is {types.get(name, 'missing')}")
    return Capture(path, Header.from_json(metadata[METADATA_KEY]), file)


def load_pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and pyarrow.parquet; raises BackendUnavailable without them."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise BackendUnavailable(
            "capture",
            reason=f"pyarrow does not import ({error}).",
            remedy="pip install 'embnic[capture]'.",
        ) from error
    return pyarrow, pyarrow.parquet


def _bad(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} does not read as a recording: {why}.",
        allowed="a file that embnic.capture wrote (docs/capture.md).",
        do="Correct the path, or record again.",
    )


def _column(table: Any, name: str) -> Any:
    """Return a column as one array."""
    column = table.column(name).combine_chunks()
    return column.chunk(0) if hasattr(column, "num_chunks") else column


def _bags(path: Path, table: Any) -> TableBags:
    lists, weights = _column(table, "ids"), _column(table, "weights")
    values = np.asarray(lists.flatten())
    if lists.null_count or lists.flatten().null_count:
        raise _bad(path, "a bag has no ids")
    if len(values) and not 0 <= int(values.min()) <= int(values.max()) < NULL_ROW:
        raise _bad(path, f"an id is not a row: {int(values.min())} to {int(values.max())}")
    offsets = np.concatenate([[0], np.cumsum(np.asarray(lists.value_lengths()))]).astype(np.int64)
    given = None
    if not weights.null_count and len(weights):
        given = np.asarray(weights.flatten())
        if len(given) != len(values):
            raise _bad(path, f"{len(given)} weights for {len(values)} ids")
    return TableBags(values, offsets, given)


def _concatenate(parts: list[TableBags]) -> TableBags:
    if not parts:
        return TableBags(np.zeros(0, np.int64), np.zeros(1, np.int64))
    lengths = np.concatenate([bags.lengths for bags in parts])
    weights = [bags.weights for bags in parts]
    return TableBags(
        np.concatenate([bags.values for bags in parts]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        None if any(w is None for w in weights) else np.concatenate([w for w in weights if w is not None]),
    )  # fmt: skip
