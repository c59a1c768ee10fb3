# SPDX-License-Identifier: Apache-2.0
"""Serve one call of torch's `embedding_bag` through an engine, with everything that torch's own backward needs.

Letters in shapes: `B` bags, `L` ids, `D` dim.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..bags import Bags, TableBags
from ..errors import ConfigError
from .mirror import MODES, Mirror, Use, check_weight

__all__ = [
    "Auxiliary",
    "auxiliary",
    "bags_of",
    "explain",
    "fused",
    "mode_number",
    "serve",
    "unsupported",
]

# offset2bag, bag_size, max_indices
Auxiliary = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

SUM, MEAN, MAX = range(3)
FEW = 8  # bags
CHUNK_ELEMENTS = 1 << 22  # of [L, columns] that the search for the largest works on at a time


def serve(
    mirror: Mirror,
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    mode: int,
    per_sample_weights: torch.Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Answer `aten::_embedding_bag`: (output, offset2bag, bag_size, max_indices), each as torch's CPU op makes it.

    `weight` [N, D] is mirrored into an engine of `mirror`; `indices` [L] and `offsets` [B], or [B + 1] with
    `include_last_offset`, are int32 or int64; `mode` is 0 sum, 1 mean, 2 max. As in the op, a negative `padding_idx`
    means none. Raises ConfigError for what torch refuses, and where torch would silently drop ids: an
    `include_last_offset` that does not end at L, offsets that decrease.
    """
    padding = -1 if padding_idx is None or padding_idx < 0 else padding_idx
    apart = padding < 0 and not fused(weight, per_sample_weights)
    slot = mirror.slot(weight, Use(mode, padding, apart))
    bags = bags_of(weight, indices, offsets, per_sample_weights, include_last_offset)
    try:
        output = mirror.lookup(slot, weight, bags)
    except ConfigError as error:
        raise explain(error, indices) from None
    kept = auxiliary(
        weight, indices, offsets, output, Use(mode, padding, apart), include_last_offset
    )
    return (output, *kept)


def unsupported(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    per_sample_weights: torch.Tensor | None = None,
) -> str | None:
    """Say why no engine serves such operands; None where one does. Values are not looked at."""
    try:
        check_weight(weight)
        _check_operands(weight, indices, offsets, per_sample_weights)
    except ConfigError as error:
        return str(error)
    return None


def fused(weight: torch.Tensor, per_sample_weights: torch.Tensor | None) -> bool:
    """Tell whether torch's fast kernels take these operands; the others round a product before they add it."""
    return weight.stride(-1) == 1 and (
        per_sample_weights is None or per_sample_weights.stride(0) == 1
    )


def bags_of(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    per_sample_weights: torch.Tensor | None,
    include_last_offset: bool,
) -> TableBags:
    """Return the bags of one call; refuse what torch refuses and what it silently gets wrong."""
    _check_operands(weight, indices, offsets, per_sample_weights)
    ids = indices.numpy()
    values = ids if ids.dtype == np.int64 else ids.astype(np.int64)
    ends = _ends(offsets.numpy(), len(values), include_last_offset)
    if ends is None:
        given = (ids, offsets, None)
        return Bags.from_torch({"weight": given}, include_last_offset=include_last_offset)["weight"]
    if per_sample_weights is None:
        return TableBags(np.ascontiguousarray(values), ends)
    wide = per_sample_weights.detach().to(torch.float32).numpy()
    return TableBags(np.ascontiguousarray(values), ends, np.ascontiguousarray(wide))


def explain(error: ConfigError, indices: torch.Tensor) -> ConfigError:
    """Return the error of a lookup; where a negative id is the cause, one that says so in torch's terms."""
    if len(indices) == 0 or int(indices.min()) >= 0:
        return error
    at = int((indices < 0).nonzero()[0, 0])
    return ConfigError(
        f"input holds {int(indices[at])} at position {at}.",
        allowed="0 or larger.",
        do="Correct it; a negative id never counts from the end.",
    )


def _ends(starts: NDArray[Any], ids: int, include_last_offset: bool) -> NDArray[np.int64] | None:
    """Return [B + 1] offsets from 0 to `ids`; None where they are not so."""
    count = len(starts)
    if count <= FEW:  # numpy's calls cost more than the numbers
        few = starts.tolist() if include_last_offset else [*starts.tolist(), ids]
        good = bool(few) and few[0] == 0 and few[-1] == ids and few == sorted(few)
        return np.array(few, np.int64) if good else None
    if include_last_offset:
        ends = np.ascontiguousarray(starts, np.int64)
    else:
        ends = np.empty(count + 1, np.int64)
        ends[:-1] = starts
        ends[-1] = ids
    if ends[0] != 0 or ends[-1] != ids or (ends[1:] < ends[:-1]).any():
        return None
    return ends


def _check_operands(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    per_sample_weights: torch.Tensor | None,
) -> None:
    if (  # the usual case, in one look
        per_sample_weights is None
        and indices.dtype is offsets.dtype is torch.int64
        and indices.dim() == offsets.dim() == 1
        and indices.is_cpu
        and offsets.is_cpu
    ):
        return
    for name, operand in (("input", indices), ("offsets", offsets)):
        if operand.dtype not in (torch.int64, torch.int32):
            raise ConfigError(
                f"{name} has dtype {operand.dtype}.",
                allowed="torch.int32 or torch.int64.",
                do="Convert it before, knowingly.",
            )
        if operand.dim() != 1:
            raise ConfigError(
                f"{name} has shape {list(operand.shape)}.",
                allowed="one dimension.",
                do="Flatten it.",
            )
    for name, other in (
        ("input", indices),
        ("offsets", offsets),
        ("per_sample_weights", per_sample_weights),
    ):
        if other is not None and other.device != weight.device:
            raise ConfigError(
                f"{name} is on {other.device}, the weight on {weight.device}.",
                allowed="one device for all of them.",
                do=f"Call {name}.to({str(weight.device)!r}).",
            )
    if per_sample_weights is None:
        return
    if per_sample_weights.dtype != weight.dtype:
        raise ConfigError(
            f"per_sample_weights have dtype {per_sample_weights.dtype}, the weight {weight.dtype}.",
            allowed="one dtype for both, as in torch.",
            do=f"Call per_sample_weights.to({weight.dtype}).",
        )
    if per_sample_weights.shape != indices.shape:
        raise ConfigError(
            f"per_sample_weights have shape {list(per_sample_weights.shape)}.",
            allowed=f"{list(indices.shape)}, that of the input.",
            do="Give one weight for every id.",
        )


# -- what backward needs ----------------------------------------------------------------------------------------------


def auxiliary(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    output: torch.Tensor,
    use: Use,
    include_last_offset: bool,
) -> Auxiliary:
    """Return (offset2bag, bag_size, max_indices) as `aten::_embedding_bag` does on the CPU, in the type of the ids.

    A sum without padding and strided operands leaves offset2bag empty, and backward makes it. A sum has zeros for the
    sizes, a mean its sizes twice. `max_indices` [B, D] holds the row that each element was taken from.
    """
    dtype = torch.promote_types(indices.dtype, offsets.dtype)
    count, mode = len(output), use.mode
    if mode == SUM and use.padding_idx < 0 and not use.apart:
        bag_of_id = torch.empty(0, dtype=dtype)
    else:
        numbers = np.arange(count, dtype=np.int32 if dtype is torch.int32 else np.int64)
        ends = offsets.numpy() if include_last_offset else np.append(offsets.numpy(), len(indices))
        # torch.repeat_interleave does the same, and waits for all threads
        bag_of_id = torch.from_numpy(np.repeat(numbers, np.diff(ends)))
    if mode == SUM:
        return bag_of_id, torch.zeros(count, dtype=dtype), torch.zeros(count, dtype=dtype)
    ids = indices.detach().to(torch.int64)
    counted = ids != use.padding_idx
    bag_size = torch.zeros(count, dtype=dtype)
    bag_size.index_add_(0, bag_of_id, counted.to(dtype))
    if mode == MEAN:
        return bag_of_id, bag_size, bag_size.clone()
    rows = _largest(weight.detach(), ids, bag_of_id.to(torch.int64), counted, output)
    return bag_of_id, bag_size, rows.to(dtype)


def _largest(
    weight: torch.Tensor,
    ids: torch.Tensor,
    bag_of_id: torch.Tensor,
    counted: torch.Tensor,
    output: torch.Tensor,
) -> torch.Tensor:
    """Return int64 [B, D]: the row of the first id of each bag that holds the element of the output; 0 without ids.

    The largest is the first of its equals, so the first equal one is it. A NaN in the output is that of the first id.
    """
    total = len(ids)
    place = torch.arange(total)
    none = torch.full_like(place, total)
    initial = torch.full((len(output),), total)
    first = initial.scatter_reduce(0, bag_of_id, torch.where(counted, place, none), "amin")
    padded = torch.cat([ids, torch.zeros(1, dtype=torch.int64)])  # [total] stands for no id
    found = torch.empty(output.shape, dtype=torch.int64)
    step = max(1, CHUNK_ELEMENTS // max(1, total))
    for start in range(0, output.shape[1], step):
        columns = slice(start, start + step)
        pooled = output[:, columns]
        equal = (weight[:, columns][ids] == pooled[bag_of_id]) & counted[:, None]
        places = torch.where(equal, place[:, None], total)
        at = torch.full(pooled.shape, total).scatter_reduce(
            0, bag_of_id[:, None].expand_as(places), places, "amin"
        )
        found[:, columns] = padded[torch.where(at < total, at, first[:, None])]
    return found


def mode_number(mode: str) -> int:
    """Return torch's number of a mode."""
    if mode not in MODES:
        raise ConfigError(
            f"mode is {mode!r}.", allowed="'sum', 'mean', 'max'.", do="Choose one of these."
        )
    return MODES.index(mode)
