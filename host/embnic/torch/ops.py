# SPDX-License-Identifier: Apache-2.0
"""Register `embnic::embedding_bag` with torch, and give eager calls their gradients.

The operator is what `torch.compile`, `torch.export` and tensor subclasses see: it has a fake implementation (shapes
only) and a backward. Eager calls on plain tensors take a shorter way to the same functions. Both backwards call torch's
own `aten::_embedding_bag_backward`, so gradients are torch's, bit for bit, dense and sparse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from ..errors import ConfigError
from .functional import Auxiliary, auxiliary, bags_of, explain, fused, serve
from .mirror import Mirror, PlainBags, Slot, Use, find_mirror

__all__ = [
    "Call",
    "embedding_bag",
    "readable",
    "refuse_max_norm",
    "serve_call",
    "serve_calls",
    "use_of",
]

NAME = "embnic::embedding_bag"
SCHEMA = (
    "(Tensor weight, Tensor indices, Tensor offsets, Tensor? per_sample_weights, int mirror, int mode, "
    "int padding_idx, bool include_last_offset, bool scale_grad_by_freq, bool sparse) "
    "-> (Tensor, Tensor, Tensor, Tensor)"
)


class Call(NamedTuple):
    """Hold the operands of one `aten::_embedding_bag`; `padding_idx` is a row, or -1 for none."""

    weight: torch.Tensor
    indices: torch.Tensor
    offsets: torch.Tensor
    per_sample_weights: torch.Tensor | None
    mode: int
    padding_idx: int
    include_last_offset: bool
    scale_grad_by_freq: bool
    sparse: bool


def use_of(call: Call) -> Use:
    """Return how the weight of a call is pooled."""
    apart = call.padding_idx < 0 and not fused(call.weight, call.per_sample_weights)
    return Use(call.mode, call.padding_idx, apart)


# -- the operator -----------------------------------------------------------------------------------------------------


@torch.library.custom_op(NAME, mutates_args=(), schema=SCHEMA)
def _embedding_bag(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    per_sample_weights: torch.Tensor | None,
    mirror: int,
    mode: int,
    padding_idx: int,
    include_last_offset: bool,
    scale_grad_by_freq: bool,
    sparse: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    return serve(
        find_mirror(mirror),
        weight,
        indices,
        offsets,
        mode,
        per_sample_weights,
        include_last_offset,
        padding_idx,
    )


@_embedding_bag.register_fake
def _fake(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    per_sample_weights: torch.Tensor | None,
    mirror: int,
    mode: int,
    padding_idx: int,
    include_last_offset: bool,
    scale_grad_by_freq: bool,
    sparse: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    dtype = torch.promote_types(indices.dtype, offsets.dtype)
    count, dim = offsets.size(0) - include_last_offset, weight.size(1)
    ids = offsets.new_empty(indices.size(0), dtype=dtype)
    if mode == 0 and padding_idx < 0 and fused(weight, per_sample_weights):
        ids = offsets.new_empty(0, dtype=dtype)
    largest = (count, dim) if mode == 2 else (count,)
    return (
        weight.new_empty((count, dim)),
        ids,
        offsets.new_empty(count, dtype=dtype),
        offsets.new_empty(largest, dtype=dtype),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    weight, indices, offsets, per_sample_weights, _, mode, padding, last, scale, sparse = inputs
    call = Call(weight, indices, offsets, per_sample_weights, mode, padding, last, scale, sparse)
    _save(ctx, call, (output[1], output[2], output[3]))


def _operator_backward(ctx: Any, grad: torch.Tensor, *_: Any) -> tuple[Any, ...]:
    for_weight, for_samples = _gradients(
        ctx, grad, needs_weight=ctx.needs_input_grad[0], needs_samples=ctx.needs_input_grad[3]
    )
    return (for_weight, None, None, for_samples, *(None,) * 6)


_embedding_bag.register_autograd(_operator_backward, setup_context=_setup)


def embedding_bag(mirror: Mirror, call: Call) -> torch.Tensor:
    """Call the operator: what is traced, compiled or exported."""
    operator = torch.ops.embnic.embedding_bag
    output: torch.Tensor = operator(*call[:4], mirror.handle, *call[4:])[0]
    return output


# -- backward ---------------------------------------------------------------------------------------------------------


def _save(ctx: Any, call: Call, kept: Auxiliary | None) -> None:
    """Keep what backward needs; `kept` may be left out for a plain sum, whose backward reads none of it."""
    weighted = call.per_sample_weights
    weight = call.weight if weighted is not None and weighted.requires_grad else None
    ctx.save_for_backward(call.indices, call.offsets, weighted, weight, *(kept or ()))
    ctx.rows = call.weight.size(0)
    ctx.settings = call.mode, call.padding_idx, call.scale_grad_by_freq, call.sparse


def _gradients(
    ctx: Any, grad: torch.Tensor, *, needs_weight: bool, needs_samples: bool
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return the gradients of the weight and of per_sample_weights, as torch's op has them."""
    indices, offsets, weighted, weight, *kept = ctx.saved_tensors
    mode, padding, scale, sparse = ctx.settings
    if not kept:
        none = torch.zeros(len(grad), dtype=torch.promote_types(indices.dtype, offsets.dtype))
        kept = [none[:0], none, none]
    bag_of_id, bag_size, largest = kept
    if indices.dtype != offsets.dtype:  # the op promoted them too
        indices, offsets = indices.to(torch.int64), offsets.to(torch.int64)
    aten = torch.ops.aten
    for_weight = for_samples = None
    if needs_weight:
        for_weight = aten._embedding_bag_backward(
            grad,
            indices,
            offsets,
            bag_of_id,
            bag_size,
            largest,
            ctx.rows,
            scale,
            mode,
            sparse,
            weighted,
            padding,
        )
    if needs_samples:
        for_samples = aten._embedding_bag_per_sample_weights_backward(
            grad, weight, indices, offsets, bag_of_id, mode, padding
        )
    return for_weight, for_samples


class _Attach(torch.autograd.Function):
    """Give an output that was served already its place in the graph."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: torch.Tensor,
        per_sample_weights: torch.Tensor | None,
        call: Call,
        served: list[torch.Tensor],
        kept: Auxiliary | None,
    ) -> torch.Tensor:
        _save(ctx, call, kept)
        return served[0]

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        for_weight, for_samples = _gradients(
            ctx, grad, needs_weight=ctx.needs_input_grad[0], needs_samples=ctx.needs_input_grad[1]
        )
        return for_weight, for_samples, None, None, None


# -- eager calls ------------------------------------------------------------------------------------------------------


def serve_call(mirror: Mirror, call: Call, slot: Slot) -> torch.Tensor:
    """Answer one call from its table."""
    if _plain(call):
        part = PlainBags(slot, *call[:4], call.include_last_offset)
        plain = mirror.lookup_plain(part)
        if plain is not None:
            return _result(call, plain)
    bags = bags_of(*call[:4], call.include_last_offset)
    try:
        output = mirror.lookup(slot, call.weight, bags)
    except ConfigError as error:
        raise explain(error, call.indices) from None
    return _result(call, output)


def serve_calls(mirror: Mirror, calls: Sequence[Call], slots: Sequence[Slot]) -> list[torch.Tensor]:
    """Answer several calls from their tables at once, with one fused lookup for each engine.

    Each output is a result of its own call: backward works as if they had been made one by one.
    """
    pairs = list(zip(calls, slots, strict=True))
    outputs = None
    if all(_plain(call) for call in calls):
        plain = [PlainBags(slot, *call[:4], call.include_last_offset) for call, slot in pairs]
        outputs = mirror.lookup_at(plain)
    if outputs is None:
        bags = [bags_of(*call[:4], call.include_last_offset) for call in calls]
        try:
            outputs = mirror.lookup_all(
                [(slot, call.weight, bag) for (call, slot), bag in zip(pairs, bags, strict=True)]
            )
        except ConfigError as error:
            wrong = next((call for call in calls if (call.indices < 0).any()), calls[0])
            raise explain(error, wrong.indices) from None
    return [_result(call, output) for call, output in zip(calls, outputs, strict=True)]


def _plain(call: Call) -> bool:
    """Tell whether all operands can be read where they lie."""
    weighted = call.per_sample_weights
    return (
        readable(call.indices)
        and readable(call.offsets)
        and (
            weighted is None
            or (
                call.weight.dtype is torch.float32
                and weighted.shape == call.indices.shape
                and readable(weighted, torch.float32)
            )
        )
    )


def readable(operand: torch.Tensor, dtype: torch.dtype = torch.int64) -> bool:
    """Tell whether an operand with one dimension can be read where it lies."""
    return (
        operand.dtype is dtype and operand.dim() == 1 and operand.is_cpu and operand.is_contiguous()
    )


def _result(call: Call, output: torch.Tensor) -> torch.Tensor:
    """Return the output, in the graph where backward may come."""
    weighted = call.per_sample_weights
    if not torch.is_grad_enabled() or not (
        call.weight.requires_grad or (weighted is not None and weighted.requires_grad)
    ):
        return output
    use = use_of(call)
    kept = None
    if use != (0, -1, False):
        kept = auxiliary(*call[:3], output, use, call.include_last_offset)
    apply: Callable[..., torch.Tensor] = _Attach.apply
    return apply(call.weight, weighted, call, [output], kept)


def refuse_max_norm(max_norm: object) -> None:
    """Refuse `max_norm`, which changes the weight in forward."""
    if max_norm is not None:
        raise ConfigError(
            f"max_norm is {max_norm!r}.",
            allowed="None: max_norm changes the weight in every forward, so that no copy of it stays equal.",
            do="Renormalise after the optimizer step, or keep torch's EmbeddingBag for this table.",
        )
