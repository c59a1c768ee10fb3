# SPDX-License-Identifier: Apache-2.0
"""Write a trace in the text formats that other tools read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from .errors import ConfigError
from .traffic import Trace

__all__ = ["WRITERS", "write_trace"]


def write_trace(trace: Trace, path: str | Path, format: str) -> None:
    """Write `trace` into a new text file: `bags` or `rows` (`traffic.py`), or `dlrm`.

    `rows` and `dlrm` (the `trace.log` of facebookresearch/dlrm: ids separated by commas, on one line) hold no bag
    boundaries: they are lost.
    """
    if format not in WRITERS:
        raise ConfigError(
            f"The format to write is {format!r}.",
            allowed=f"{', '.join(WRITERS)}.",
            do="Choose one of these.",
        )
    try:
        with Path(path).open("x", encoding="ascii") as file:
            file.writelines(WRITERS[format](trace))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}).",
            allowed="a file that does not exist yet, in a folder that does.",
            do="Give another path.",
        ) from None


def _bags(trace: Trace) -> Iterator[str]:
    values, offsets = trace.values.tolist(), trace.offsets.tolist()
    for number, (start, stop) in enumerate(pairwise(offsets)):
        yield " ".join(map(str, [number, *values[start:stop]])) + "\n"


def _rows(trace: Trace) -> Iterator[str]:
    return (f"{row}\n" for row in trace.values.tolist())


def _dlrm(trace: Trace) -> Iterator[str]:
    yield ", ".join(map(str, trace.values.tolist())) + "\n"


WRITERS: Mapping[str, Callable[[Trace], Iterator[str]]] = {
    "bags": _bags,
    "rows": _rows,
    "dlrm": _dlrm,
}
