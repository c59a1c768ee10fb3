# SPDX-License-Identifier: Apache-2.0
"""Read FBGEMM's table-batched operators: one call looks several tables up in one block of memory.

* `fbgemm::split_embedding_codegen_forward_{unweighted,weighted}_pt2_wrapper`: training tables on the CPU
  (`SplitTableBatchedEmbeddingBagsCodegen`)
* `fbgemm::int_nbit_split_embedding_codegen_lookup_function`: inference tables on the CPU
  (`IntNBitTableBatchedEmbeddingBagsCodegen`)

A table is a part of a flat tensor. Here it becomes a view, kept as long as the tensor lives, so that a mirror knows it
again. FBGEMM's optimizers change rows without counting it in `_version`: training tables are compared with what the
engine holds before every lookup. Where the last table of a tensor ends is not in the call; rows that only fill it up
are held, too, and no id reaches them, since FBGEMM checks its ids first.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from ..gen.wire import DType
from .calls import Call, is_plain, op_name
from .mirror import MODES
from .quantised import row_bytes

__all__ = ["BatchedCall", "Views", "batched_reader"]

_TRAINING = "fbgemm::split_embedding_codegen_forward_{}_pt2_wrapper"
_INFERENCE = "fbgemm::int_nbit_split_embedding_codegen_lookup_function"
_POOLINGS = {0: "sum", 1: "mean"}  # FBGEMM's numbers of its poolings
_OUTPUTS = {0: torch.float32, 1: torch.float16}  # FBGEMM's numbers of types (SparseType.as_int)
_QUANTISED = {2: DType.INT8_FRONT, 3: DType.INT4}
_BATCH_SIZES = ("B_offsets", "vbe_output_offsets_feature_rank", "vbe_B_offsets_rank_per_feature")


@dataclass(frozen=True, eq=False)
class BatchedCall:
    """A lookup of several tables: a `Call` each, whose answers [B, D] lie beside each other in the output.

    `changes` says that rows may change without notice; `obstacle` names what no engine does, if anything. `parts` is
    empty when the call cannot even be read.
    """

    weight: torch.Tensor
    parts: tuple[Call, ...]
    changes: bool = False
    obstacle: str = ""


class _Part(NamedTuple):
    """Say where a table lies in a flat tensor, in its elements, and what its elements are taken for."""

    first: int
    rows: int
    stride: int
    used: int
    dtype: torch.dtype


class Views:
    """Keep the tables of flat tensors as views: the same object for the same part while the tensor lives."""

    def __init__(self) -> None:
        self._held: dict[tuple[Any, ...], tuple[weakref.ref[torch.Tensor], torch.Tensor]] = {}
        self._lock = threading.Lock()

    def table(self, flat: torch.Tensor, part: _Part) -> torch.Tensor:
        """Return the elements [rows, D] of a table, for quantised rows their bytes [rows, row bytes]."""
        key = (id(flat), flat.data_ptr(), part)
        with self._lock:
            known = self._held.get(key)
            if known is not None and known[0]() is flat:
                return known[1]
            self._held = {kept: held for kept, held in self._held.items() if held[0]() is not None}
            cells = flat.detach()[part.first : part.first + part.rows * part.stride]
            view = cells.view(part.rows, part.stride)[:, : part.used].view(part.dtype)
            self._held[key] = weakref.ref(flat), view
            return view


def batched_reader(func: Any) -> Callable[..., BatchedCall] | None:
    """Return what reads an operator's operands: `reader(views, *args, **kwargs)`; None for other operators."""
    name = op_name(func)
    if name == _INFERENCE:
        read = _inference
    elif name in (_TRAINING.format("unweighted"), _TRAINING.format("weighted")):
        read = _training
    else:
        return None
    arguments = func._schema.arguments
    defaults = {wanted.name: wanted.default_value for wanted in arguments}

    def reader(views: Views, *args: Any, **kwargs: Any) -> BatchedCall:
        """Name the operands as the operator's schema does."""
        named = {wanted.name: value for wanted, value in zip(arguments, args, strict=False)}
        return read(views, defaults | named | kwargs)

    return reader


def _training(views: Views, given: Mapping[str, Any]) -> BatchedCall:
    flat = given["host_weights"]
    if obstacle := _unreadable(given, flat):
        return BatchedCall(flat, (), obstacle=obstacle)
    tables = [
        views.table(flat, _Part(first, (end - first) // dim, dim, dim, flat.dtype))
        for first, end, dim in _places(given, flat)
    ]
    obstacle = _refused(given)
    if not obstacle and _OUTPUTS.get(given["output_dtype"]) is not flat.dtype:
        obstacle = "dtype"
    return BatchedCall(flat, _split(given, tables, [None] * len(tables)), True, obstacle)


def _inference(views: Views, given: Mapping[str, Any]) -> BatchedCall:
    flat = given["dev_weights"]
    kinds = given["weights_tys"].tolist()
    obstacle = _unreadable(given, flat) or ("layout" if given["uvm_weights"].numel() else "")
    if not obstacle and any(kind not in _QUANTISED and kind not in _OUTPUTS for kind in kinds):
        obstacle = "dtype"
    if obstacle:
        return BatchedCall(flat, (), obstacle=obstacle)
    step = given["row_alignment"] or 1
    tables, types = [], []
    for (first, end, dim), kind in zip(_places(given, flat), kinds, strict=True):
        dtype = _QUANTISED.get(kind)
        stored = torch.uint8 if dtype is not None else _OUTPUTS[kind]
        used = row_bytes(dim, dtype) if dtype is not None else dim * stored.itemsize
        stride = -(-used // step) * step
        tables.append(
            views.table(flat, _Part(first, (end - first) // stride, stride, used, stored))
        )
        types.append(dtype)
    obstacle = _refused(given)
    output = _OUTPUTS.get(given["output_dtype"])
    for kind in kinds:
        fits = output is (torch.float32 if kind in _QUANTISED else _OUTPUTS[kind])
        obstacle = obstacle or ("" if fits else "dtype")
    return BatchedCall(flat, _split(given, tables, types), obstacle=obstacle)


def _unreadable(given: Mapping[str, Any], flat: torch.Tensor) -> str:
    """Return why the tables and bags of such a call are not in its operands, or an empty string."""
    tensors = [flat, given["indices"], given["offsets"], given["indice_weights"]]
    if not all(is_plain(tensor) for tensor in tensors if tensor is not None):
        return "layout"
    if any(tensor.device.type != "cpu" for tensor in tensors if tensor is not None):
        return "device"
    if given["pooling_mode"] not in _POOLINGS or any(
        given.get(name) is not None for name in _BATCH_SIZES
    ):
        return "operator"
    return ""


def _refused(given: Mapping[str, Any]) -> str:
    """Return why no engine answers such a call, or an empty string."""
    return "" if _POOLINGS[given["pooling_mode"]] == "sum" else _POOLINGS[given["pooling_mode"]]


def _places(given: Mapping[str, Any], flat: torch.Tensor) -> list[tuple[int, int, int]]:
    """Return for each feature where its table begins and where the next one does, in elements, and its dim."""
    firsts = given["weights_offsets"].tolist()
    borders = [*sorted(set(firsts)), flat.numel()]
    ends = dict(itertools.pairwise(borders))
    columns = given["D_offsets"].tolist()
    dims = [after - before for before, after in itertools.pairwise(columns)]
    return [(first, ends[first], dim) for first, dim in zip(firsts, dims, strict=True)]


def _split(
    given: Mapping[str, Any], tables: list[torch.Tensor], types: list[DType | None]
) -> tuple[Call, ...]:
    """Return the call of each feature; `offsets` [T * B + 1] hold the bags of feature after feature."""
    indices, offsets, scales = given["indices"], given["offsets"], given["indice_weights"]
    count = (len(offsets) - 1) // len(tables)
    calls = []
    for number, (table, dtype) in enumerate(zip(tables, types, strict=True)):
        ends = offsets[number * count : (number + 1) * count + 1]
        first, last = int(ends[0]), int(ends[-1])
        calls.append(
            Call(
                "bag" if dtype is None else "quantised",
                table,
                indices[first:last],
                ends - first,
                mode=MODES.index(_POOLINGS[given["pooling_mode"]]),
                per_sample_weights=None if scales is None else scales[first:last],
                include_last_offset=True,
                dtype=dtype,
            )
        )
    return tuple(calls)
