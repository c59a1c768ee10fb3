# SPDX-License-Identifier: Apache-2.0
"""Stand in for `torch.nn.EmbeddingBag`: the same arguments, results, gradients and state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from .functional import MAX, MEAN, SUM, mode_number
from .mirror import Mirror, PlainBags, Slot, Use, check_weight
from .ops import Call, embedding_bag, readable, refuse_max_norm, serve_call, serve_calls, use_of

__all__ = ["EmbeddingBag", "lookup_together", "traced"]

RUNTIME = ("_slot",)  # what a copy of a module finds anew


class EmbeddingBag(nn.EmbeddingBag):
    """Pool bags of ids as `torch.nn.EmbeddingBag` does, on a target of embnic; the same bits.

    All arguments are torch's; `max_norm` is refused. The last two, by keyword only, say who serves: `target` opens an
    engine for this module, `mirror` shares one with other modules. The parameter `weight` stays in host memory and is
    the master: what an optimizer, `load_state_dict` or an in-place operation writes there is served from the next call
    on. State dicts and pickles are those of torch's module.

    >>> bag = EmbeddingBag(10, 3, mode="sum", target="cpu")
    >>> ids, offsets = torch.tensor([1, 2, 4, 5]), torch.tensor([0, 2])
    >>> torch.equal(bag(ids, offsets), nn.EmbeddingBag(10, 3, mode="sum", _weight=bag.weight)(ids, offsets))
    True
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
        *,
        target: str = "auto",
        mirror: Mirror | None = None,
    ) -> None:
        refuse_max_norm(max_norm)
        mode_number(mode)
        if _weight is not None and not _weight.is_floating_point():
            check_weight(_weight)  # torch's own error does not say what to do
        super().__init__(
            num_embeddings,
            embedding_dim,
            None,
            norm_type,
            scale_grad_by_freq,
            mode,
            sparse,
            _weight,
            include_last_offset,
            padding_idx,
            device,
            dtype,
        )
        self._serve_from(Mirror(target) if mirror is None else mirror)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        *,
        target: str = "auto",
        mirror: Mirror | None = None,
    ) -> EmbeddingBag:
        """Make a module that holds `embeddings` [N, D], frozen unless `freeze=False`."""
        if embeddings.dim() != 2:
            raise ConfigError(
                f"embeddings have shape {list(embeddings.shape)}.",
                allowed="two dimensions: [num_embeddings, embedding_dim].",
                do="Give the matrix.",
            )
        rows, dim = embeddings.shape
        bag = cls(
            rows,
            dim,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            mode,
            sparse,
            embeddings,
            include_last_offset,
            padding_idx,
            target=target,
            mirror=mirror,
        )
        bag.weight.requires_grad = not freeze
        return bag

    @classmethod
    def from_torch(cls, bag: nn.EmbeddingBag, mirror: Mirror, *, name: str = "") -> EmbeddingBag:
        """Make a module that shares parameters, settings and hooks with torch's module; `name` is its table's."""
        refuse_max_norm(bag.max_norm)
        made = cls.__new__(cls)
        made.__dict__.update(bag.__dict__)
        made._serve_from(mirror, name)
        return made

    def give_back(self, bag: nn.EmbeddingBag) -> None:
        """Hand parameters, settings and hooks to torch's module `bag`: the way back from `from_torch`."""
        own = ("mirror", *RUNTIME)
        bag.__dict__.update({key: held for key, held in self.__dict__.items() if key not in own})

    def _serve_from(self, mirror: Mirror, name: str = "") -> None:
        self.mirror = mirror
        self._slot: Slot | None = None
        mirror.register(self, name)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the table: a copy finds its own."""
        return {name: value for name, value in self.__dict__.items() if name not in RUNTIME}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state; a copy shares the engines of no other module but those copied with it."""
        super().__setstate__(state)  # type: ignore[no-untyped-call,unused-ignore]
        self._serve_from(self.mirror)

    def mirrored(self) -> tuple[Tensor, Use]:
        """Return the weight and how this module pools it."""
        padding = -1 if self.padding_idx is None else self.padding_idx
        apart = padding < 0 and self.weight.stride(-1) != 1
        return self.weight, Use(mode_number(self.mode), padding, apart)

    def forward(
        self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None
    ) -> Tensor:
        """Pool bags: `input` [L] with `offsets` [B] ([B + 1] with `include_last_offset`), or [B, N]; return [B, D]."""
        if not torch.compiler.is_compiling():
            part = self.plain_part(input, offsets, per_sample_weights)
            if part is not None:
                output = self.mirror.lookup_plain(part)
                if output is not None:
                    return output
        call = self.call_of(input, offsets, per_sample_weights)
        if traced(call):
            return embedding_bag(self.mirror, call)
        return serve_call(self.mirror, call, self.table_of(call))

    def plain_part(
        self, ids: Tensor, offsets: Tensor | None, per_sample_weights: Tensor | None
    ) -> PlainBags | None:
        """Check in few steps the call that inference makes most; None for every other one, right or wrong."""
        slot, weight = self._slot, self._parameters.get("weight")
        if (
            slot is None
            or weight is None
            or offsets is None
            or per_sample_weights is not None
            or (weight.requires_grad and torch.is_grad_enabled())
            or self.mode == "max"
            or self.max_norm is not None
            or type(ids) is not Tensor
            or torch._C._get_tracing_state() is not None
            or torch._C._are_functorch_transforms_active()
        ):
            return None
        padding = -1 if self.padding_idx is None else self.padding_idx
        apart = padding < 0 and weight.stride(-1) != 1
        if slot.use != (SUM if self.mode == "sum" else MEAN, padding, apart):
            return None
        if not (readable(ids) and readable(offsets)):
            return None
        return PlainBags(slot, weight, ids, offsets, None, self.include_last_offset)

    def call_of(
        self, input: Tensor, offsets: Tensor | None, per_sample_weights: Tensor | None
    ) -> Call:
        """Return the operands of one forward as torch's operator takes them."""
        mode = mode_number(self.mode)
        if self.max_norm is not None or mode != SUM:
            self._check_settings(mode, weighted=per_sample_weights is not None)
        last = self.include_last_offset
        if input.dim() == 2 or input.is_nested:
            last = input.is_nested
            input, offsets, per_sample_weights = _flat(input, offsets, per_sample_weights)
        if offsets is None:
            raise ConfigError(
                f"input has shape {list(input.shape)} and comes without offsets.",
                allowed="a 1-D input with offsets, or a 2-D input.",
                do="Give offsets: where each bag starts.",
            )
        weight = self._parameters.get("weight")  # not there where a parametrization makes it
        return Call(
            self.weight if weight is None else weight,
            input,
            offsets,
            per_sample_weights,
            mode,
            -1 if self.padding_idx is None else self.padding_idx,
            last,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def table_of(self, call: Call) -> Slot:
        """Return the table that answers a call."""
        use = use_of(call)
        slot = self._slot
        if slot is None or slot.use != use:
            slot = self._slot = self.mirror.slot(call.weight, use)
        return slot

    def _check_settings(self, mode: int, *, weighted: bool) -> None:
        refuse_max_norm(self.max_norm)
        if mode == MAX and (self.sparse or self.scale_grad_by_freq):
            raise ConfigError(
                f"mode is 'max' with sparse={self.sparse}, scale_grad_by_freq={self.scale_grad_by_freq}.",
                allowed="False for both: torch has no such gradients of a maximum.",
                do="Leave them out, or choose mode='sum' or 'mean'.",
            )
        if weighted and mode != SUM:
            raise ConfigError(
                f"per_sample_weights are given with mode {self.mode!r}.",
                allowed="mode='sum' only, as in torch.",
                do="Leave the weights out, or make the module with mode='sum'.",
            )


def lookup_together(
    inputs: Sequence[tuple[EmbeddingBag, Tensor, Tensor | None, Tensor | None]],
) -> list[Tensor]:
    """Call several modules as `bag(input, offsets, per_sample_weights)`, with one fused lookup for each engine.

    Modules that cannot be joined are called one by one: while torch traces, with hooks, or with different mirrors.
    """
    mirror = inputs[0][0].mirror
    if all(_plain(bag, mirror) for bag, *_ in inputs):
        if not torch.compiler.is_compiling():
            parts = [bag.plain_part(ids, ends, weights) for bag, ids, ends, weights in inputs]
            outputs = mirror.lookup_at(parts)
            if outputs is not None:
                return outputs
        calls = [bag.call_of(ids, ends, weights) for bag, ids, ends, weights in inputs]
        if not any(traced(call) for call in calls):
            slots = [bag.table_of(call) for (bag, *_), call in zip(inputs, calls, strict=True)]
            return serve_calls(mirror, calls, slots)
    return [bag(ids, ends, weights) for bag, ids, ends, weights in inputs]


def traced(call: Call) -> bool:
    """Tell whether the operator has to be called: torch compiles or traces, or a tensor is not plain."""
    if torch._C._are_functorch_transforms_active():
        raise ConfigError(
            "An embedding bag of embnic is called inside a torch.func transform.",
            allowed="autograd: loss.backward(), torch.autograd.grad.",
            do="Transform the model without offload, or leave this module out of it.",
        )
    return (
        torch.compiler.is_compiling()
        or type(call.indices) is not Tensor
        or torch._C._get_tracing_state() is not None
    )


def _plain(bag: EmbeddingBag, mirror: Mirror) -> bool:
    hooks = (
        bag._forward_hooks,
        bag._forward_pre_hooks,
        bag._backward_hooks,
        bag._backward_pre_hooks,
    )
    return bag.mirror is mirror and not any(hooks)


def _flat(
    input: Tensor, offsets: Tensor | None, per_sample_weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return a nested or a 2-D input as ids and offsets: the bags of a nested one end where the last offset says."""
    if input.is_nested:
        nested: Any = input
        weights = None if per_sample_weights is None else per_sample_weights.values().reshape(-1)
        return nested.values().reshape(-1), nested.offsets(), weights
    if offsets is not None:
        raise ConfigError(
            f"input has shape {list(input.shape)} and comes with offsets.",
            allowed="offsets=None with a 2-D input: every row is one bag.",
            do="Drop the offsets, or flatten the input.",
        )
    if per_sample_weights is not None and per_sample_weights.shape != input.shape:
        raise ConfigError(
            f"per_sample_weights have shape {list(per_sample_weights.shape)}.",
            allowed=f"{list(input.shape)}, that of the input.",
            do="Give one weight for every id.",
        )
    bags, width = input.shape
    if width == 0:
        raise ConfigError(
            f"input has shape {list(input.shape)}.",
            allowed="rows of at least one id.",
            do="Give a 1-D input with offsets: there a bag may be empty.",
        )
    starts = torch.arange(0, bags * width, width, dtype=input.dtype, device=input.device)
    weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
    return input.reshape(-1), starts, weights
