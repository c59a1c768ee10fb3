# SPDX-License-Identifier: Apache-2.0
"""Say which torch weights an engine can hold, as which table, and see them as its rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import Table
from ..errors import ConfigError
from ..gen.wire import DType, Pooling

__all__ = [
    "DTYPES",
    "MODES",
    "STALE",
    "Use",
    "array_of",
    "changed_rows",
    "check_weight",
    "holdable",
    "stored_rows",
    "table_for",
    "version_of",
]

MODES = ("sum", "mean", "max")  # by torch's numbers of the modes
DTYPES = {torch.float32: DType.FP32, torch.float16: DType.FP16, torch.bfloat16: DType.BF16}
CHUNK_BYTES = 1 << 20  # of rows that are compared at a time: both copies stay in the cache
STALE = -1  # no tensor has this version


class Use(NamedTuple):
    """Say how a weight is pooled; each use of a weight is a table of its own.

    `mode` is torch's number: 0 sum, 1 mean, 2 max. `padding_idx` is a row, or -1 for none. `apart` asks for the
    arithmetic of torch's kernels for strided operands without padding: products rounded before they are added, bf16
    to nearest even.
    """

    mode: int
    padding_idx: int = -1
    apart: bool = False


def check_weight(weight: torch.Tensor) -> None:
    """Refuse a weight that no engine can hold, in words."""
    if weight.dtype not in DTYPES:
        quantised = weight.dtype in (torch.int8, torch.uint8)
        raise ConfigError(
            f"The weight has dtype {weight.dtype}.",
            allowed="torch.float32, torch.float16, torch.bfloat16.",
            do="Serve quantised rows with embnic.Table(dtype='int8') and embnic.open."
            if quantised
            else "Convert the weight before, knowing that it rounds.",
        )
    if weight.device.type != "cpu":
        raise ConfigError(
            f"The weight is on {weight.device}.",
            allowed="weights in host memory: the engine keeps its own copy where it computes.",
            do="Call .cpu() on the module; target='gpu' puts the tables on the GPU.",
        )
    if weight.layout is not torch.strided or weight.dim() != 2 or weight.numel() == 0:
        raise ConfigError(
            f"The weight is {weight.layout} with shape {list(weight.shape)}.",
            allowed="a dense matrix [num_embeddings, embedding_dim] with elements.",
            do="Give the weight of an EmbeddingBag.",
        )


def holdable(weight: torch.Tensor) -> bool:
    """Tell whether an engine can hold the weight."""
    try:
        check_weight(weight)
    except ConfigError:
        return False
    return True


def changed_rows(held: NDArray[Any], rows: NDArray[Any]) -> NDArray[np.int64]:
    """Return the numbers of the rows whose bits differ: int64 [n], rising. Both are [rows, columns] of one type."""
    row_bytes = rows.shape[1] * rows.itemsize
    word = np.dtype(f"u{min(8, row_bytes & -row_bytes)}")
    contiguous = np.ascontiguousarray(rows) if rows.strides[1] != rows.itemsize else rows
    step = max(1, CHUNK_BYTES // row_bytes)
    found = []
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        differ = held[part].view(word) != contiguous[part].view(word)
        if differ.any():
            found.append(first + np.flatnonzero(differ.any(axis=1)))
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def table_for(name: str, weight: torch.Tensor, use: Use) -> Table:
    """Describe the table of a weight."""
    check_weight(weight)
    rows, dim = weight.shape
    padding = (
        rows if use.apart else use.padding_idx
    )  # a row beyond the weight, which no bag contains
    return Table(
        name,
        rows=rows + use.apart,
        dim=dim,
        dtype=DTYPES[weight.dtype],
        pooling=Pooling[MODES[use.mode].upper()],
        padding_idx=None if padding < 0 else padding,
    )


def version_of(weight: torch.Tensor) -> int:
    """Return the version of a tensor; STALE for inference tensors, which have none and are compared every time."""
    return STALE if weight.is_inference() else weight._version


def stored_rows(weight: torch.Tensor, *, apart: bool) -> NDArray[Any]:
    """Return the weight as an array of the table's storage type, without a copy where that is possible."""
    plain = weight.detach()
    array: NDArray[Any] = (
        plain.view(torch.int16).numpy().view(np.uint16)
        if weight.dtype is torch.bfloat16
        else plain.numpy()
    )
    return np.concatenate([array, np.zeros_like(array[:1])]) if apart else array


def array_of(output: torch.Tensor) -> NDArray[Any]:
    """Return a tensor as the array that an engine fills."""
    if output.dtype is torch.bfloat16:
        return output.view(torch.int16).numpy().view(np.uint16)
    return output.numpy()
