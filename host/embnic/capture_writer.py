# SPDX-License-Identifier: Apache-2.0
"""Write recorded embedding traffic; `capture_file.py` reads it and `docs/capture.md` has the schema."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bags import TableBags
from .capture_file import FORMAT_VERSION, METADATA_KEY, CapturedTable, Header, load_pyarrow
from .errors import ConfigError
from .salt import KEY_BYTES, RowPermutation

__all__ = ["CaptureOptions", "CaptureWriter"]

GROUP_BYTES = 16 << 20  # of ids and weights that are held before they become a row group
DEFAULT_MAX_BYTES = 1 << 30

_log = logging.getLogger("embnic.capture")


@dataclass(frozen=True)
class CaptureOptions:
    """How to record.

    `salt` replaces ids by a secret permutation of each table's rows: True takes a new secret and forgets it, 16 bytes
    are a secret of your own (the same rows in all recordings made with it), False keeps the ids as they are.
    `sample` is the share of batches kept, chosen by `seed`. `max_bytes` is the size that the file never exceeds by
    more than its footer, None for no cap. `weights=False` leaves per-sample weights out.
    """

    salt: bool | bytes = True
    sample: float = 1.0
    seed: int = 0
    max_bytes: int | None = DEFAULT_MAX_BYTES
    weights: bool = True

    def __post_init__(self) -> None:
        if not 0.0 < self.sample <= 1.0:
            raise ConfigError(
                f"sample is {self.sample!r}.",
                allowed="a share of batches above 0, at most 1.",
                do="Write sample=0.01 for one batch in a hundred.",
            )
        if isinstance(self.salt, bytes) and len(self.salt) != KEY_BYTES:
            raise ConfigError(
                f"The salt has {len(self.salt)} bytes.",
                allowed=f"{KEY_BYTES} bytes, True or False.",
                do=f"Use os.urandom({KEY_BYTES}), and keep it as secret as the traffic.",
            )
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ConfigError(
                f"max_bytes is {self.max_bytes!r}.",
                allowed="a number of bytes, or None.",
                do="Leave it out for 1 GiB.",
            )


@dataclass
class _Batch:
    """The bags of a batch that is not complete yet."""

    parts: list[tuple[str, TableBags]] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        return sum(
            bags.values.nbytes
            + bags.offsets.nbytes
            + (0 if bags.weights is None else bags.weights.nbytes)
            for _, bags in self.parts
        )


class CaptureWriter:
    """Write bags into a new file that only its owner may read; a context manager.

    Batches are kept or dropped whole. The file appears under `path` when the writer is closed; until then it is
    `<path>.partial`. Any thread may add; batches are told apart by the number that `begin_batch` returns.
    """

    def __init__(self, path: str | Path, options: CaptureOptions | None = None) -> None:
        self.path = Path(path)
        self.options = options or CaptureOptions()
        self._arrow, self._parquet = load_pyarrow()
        if self.path.exists():
            raise ConfigError(
                f"{self.path} exists.",
                allowed="a file that does not exist yet.",
                do="Give another path, or remove it.",
            )
        given = self.options.salt
        self._secret = (
            given if isinstance(given, bytes) else os.urandom(KEY_BYTES) if given else None
        )
        self._permutations: dict[str, RowPermutation] = {}
        self._tables: dict[str, CapturedTable] = {}
        self._open: dict[int, _Batch | None] = {}  # None: left out by the sample
        self._pending: list[tuple[int, _Batch]] = []
        self._draw = np.random.default_rng(self.options.seed)
        self._counts = {"batches_seen": 0, "batches_kept": 0, "bags": 0, "ids": 0}
        self._lock = threading.RLock()
        self._ended = ""
        self._partial = self.path.with_name(self.path.name + ".partial")
        self._file = _create(self._partial)
        self._writer = self._parquet.ParquetWriter(
            self._arrow.PythonFile(self._file, mode="w"), self._schema(), compression="zstd"
        )

    def __enter__(self) -> CaptureWriter:
        """Return the writer."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Close the file; what was recorded before an error is kept, and the header says so."""
        self.close("closed" if kind is None else "error")

    @property
    def recording(self) -> bool:
        """Tell whether batches are still taken: not after `close` or once `max_bytes` is reached."""
        return not self._ended

    def begin_batch(self) -> int:
        """Begin a batch and return its number, counted from 0."""
        with self._lock:
            number = self._counts["batches_seen"]
            self._counts["batches_seen"] += 1
            kept = self.recording and (
                self.options.sample >= 1.0 or self._draw.random() < self.options.sample
            )
            self._open[number] = _Batch() if kept else None
            return number

    def wants(self, batch: int) -> bool:
        """Tell whether bags of this batch are kept."""
        return self._open.get(batch) is not None

    def add(self, batch: int, table: CapturedTable, bags: TableBags) -> None:
        """Add one lookup's bags to a batch that is open; one that is left out takes nothing. Arrays are copied."""
        with self._lock:
            into = self._open.get(batch)
            if into is None:
                return
            table = self._known(table)
            permute = self._permutations.get(table.name)
            values = bags.values.copy() if permute is None else permute(bags.values)
            weights = None
            if bags.weights is not None and self.options.weights:
                weights = bags.weights.copy()
            into.parts.append((table.name, TableBags(values, bags.offsets.copy(), weights)))

    def end_batch(self, batch: int) -> None:
        """Take the batch into the file, whole, or end the recording when it does not fit any more."""
        with self._lock:
            ended = self._open.pop(batch, None)
            if ended is None or not ended.parts or not self.recording:
                return
            if not self._fits(ended.nbytes):
                self._end("max_bytes")
                _log.warning(
                    "%s reached max_bytes=%s after %s batches; the rest is not recorded",
                    self.path,
                    self.options.max_bytes,
                    self._counts["batches_kept"],
                )
                return
            self._pending.append((batch, ended))
            self._counts["batches_kept"] += 1
            self._counts["bags"] += sum(len(bags) for _, bags in ended.parts)
            self._counts["ids"] += sum(len(bags.values) for _, bags in ended.parts)
            if sum(kept.nbytes for _, kept in self._pending) >= GROUP_BYTES:
                self._flush()

    def stop(self) -> None:
        """Take nothing more, because of an error; what was complete stays."""
        with self._lock:
            self._end("error")

    def close(self, why: str = "closed") -> None:
        """Write what is pending and the header, and give the file its name; may be called twice."""
        with self._lock:
            if self._file.closed:
                return
            for batch in sorted(self._open):
                self.end_batch(batch)
            self._end(why)
            self._flush()
            self._writer.add_key_value_metadata({METADATA_KEY: self.header().to_json().encode()})
            self._writer.close()
            self._file.close()
            self._partial.replace(self.path)

    def header(self) -> Header:
        """Return what the header says at this moment."""
        options = self.options
        return Header(
            version=FORMAT_VERSION,
            tables=dict(self._tables),
            salted=self._secret is not None,
            sample=options.sample,
            seed=options.seed,
            weights=options.weights,
            max_bytes=options.max_bytes,
            ended=self._ended or "closed",
            **self._counts,
        )

    # -- inside -------------------------------------------------------------------------------------------------------

    def _end(self, why: str) -> None:
        self._ended = self._ended or why

    def _known(self, table: CapturedTable) -> CapturedTable:
        """Return the table as the header has it, with its padding row replaced as the ids are."""
        if table.name not in self._tables:
            if self._secret is not None:
                permute = RowPermutation(self._secret, table.name, rows=table.rows)
                self._permutations[table.name] = permute
                if table.padding_idx is not None:
                    padding = int(permute(np.array([table.padding_idx], np.int64))[0])
                    table = replace(table, padding_idx=padding)
            self._tables[table.name] = table
        known = self._tables[table.name]
        if (known.rows, known.dim) != (table.rows, table.dim):
            raise ConfigError(
                f"Table {table.name!r} has {table.rows} rows of {table.dim}, before {known.rows} of {known.dim}.",
                allowed="one size for each name.",
                do="Give different tables different names.",
            )
        return known

    def _fits(self, nbytes: int) -> bool:
        """Tell whether raw `nbytes` more stay under the cap, after compressing what is pending if needed."""
        cap = self.options.max_bytes
        if cap is None:
            return True
        pending = sum(kept.nbytes for _, kept in self._pending)
        if self._file.tell() + pending + nbytes > cap:
            self._flush()
            pending = 0
        return bool(self._file.tell() + pending + nbytes <= cap)

    def _schema(self) -> Any:
        arrow = self._arrow
        return arrow.schema(
            [
                arrow.field("batch", arrow.int64(), nullable=False),
                arrow.field("table", arrow.dictionary(arrow.int32(), arrow.string())),
                arrow.field("ids", arrow.list_(arrow.int64())),
                arrow.field("weights", arrow.list_(arrow.float32())),
            ]
        )

    def _flush(self) -> None:
        """Write the pending batches as one row group."""
        if not self._pending:
            return
        parts = [(batch, name, bags) for batch, kept in self._pending for name, bags in kept.parts]
        lengths = [len(bags) for _, _, bags in parts]
        names = list(self._tables)
        arrow = self._arrow
        numbers = np.repeat(np.array([batch for batch, _, _ in parts], np.int64), lengths)
        indices = np.repeat(np.array([names.index(n) for _, n, _ in parts], np.int32), lengths)
        table = arrow.table(
            [
                arrow.array(numbers),
                arrow.DictionaryArray.from_arrays(indices, arrow.array(names, arrow.string())),
                self._lists([bags for _, _, bags in parts]),
                self._weight_lists([bags for _, _, bags in parts]),
            ],
            schema=self._schema(),
        )
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._pending.clear()

    def _lists(self, parts: list[TableBags]) -> Any:
        offsets = _joined_offsets([bags.offsets for bags in parts])
        return self._arrow.ListArray.from_arrays(
            offsets, np.concatenate([bags.values for bags in parts])
        )

    def _weight_lists(self, parts: list[TableBags]) -> Any:
        """Return the weights of every bag, null where the lookup had none."""
        arrow = self._arrow
        none = np.concatenate([np.full(len(bags), bags.weights is None) for bags in parts])
        given = [np.zeros(0, np.float32) if b.weights is None else b.weights for b in parts]
        offsets = _joined_offsets(
            [np.zeros_like(b.offsets) if b.weights is None else b.offsets for b in parts]
        )
        return arrow.ListArray.from_arrays(offsets, np.concatenate(given), mask=arrow.array(none))


def _create(path: Path) -> Any:
    """Create a file that only its owner may read."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}).",
            allowed="a path in a folder that exists.",
            do="Make the folder, or give another path.",
        ) from None


def _joined_offsets(parts: list[NDArray[np.int64]]) -> NDArray[np.int32]:
    lengths = np.concatenate([np.diff(offsets) for offsets in parts])
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
