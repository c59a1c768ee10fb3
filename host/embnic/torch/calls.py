# SPDX-License-Identifier: Apache-2.0
"""Read what torch's embedding operators are asked for: one `Call` for each of them.

| operator | when torch dispatches it |
|---|---|
| `aten::_embedding_bag` | training, and `no_grad` |
| `aten::_embedding_bag_forward_only` | weights without a gradient |
| `aten::embedding_bag.padding_idx`, `aten::embedding_bag` | `inference_mode` |
| `aten::embedding` | `nn.Embedding`: every id is a bag of its own |
| `quantized::embedding_bag_byte_rowwise_offsets`, `..._4bit_rowwise_offsets` | quantised DLRM |
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..gen.wire import DType
from .mirror import MODES

__all__ = ["PARSERS", "Call", "Listener", "is_other_lookup", "is_plain", "op_name"]


@dataclass(frozen=True, eq=False)
class Call:
    """One lookup as torch asks for it.

    `weight` [N, D] (quantised: bytes of rows [N, row bytes]), `indices` [L], or of any shape for `rows`, `offsets` [B]
    or [B + 1], `mode` by torch's number, `padding_idx` a row or -1. `kind` is `bag` (answered by four tensors), `rows`
    (a vector for each id) or `quantised`; `obstacle` names what no engine does, if anything.
    """

    kind: str
    weight: torch.Tensor
    indices: torch.Tensor
    offsets: torch.Tensor | None = None
    mode: int = 0
    per_sample_weights: torch.Tensor | None = None
    include_last_offset: bool = False
    padding_idx: int = -1
    dtype: DType | None = None
    obstacle: str = ""

    @property
    def pooling(self) -> str:
        """Return the pooling by embnic's name."""
        return "none" if self.kind == "rows" else MODES[self.mode]


class Listener(TorchDispatchMode):
    """See every operator that a thread dispatches; derive `see`.

    torch would wrap `__torch_dispatch__` in `torch._dynamo.disable`, whose import takes seconds. Here that waits until
    something else has imported it: before that, nothing is compiled.
    """

    def __init__(self) -> None:
        super().__init__()
        self._disabled: Callable[..., Any] | None = None
        dynamo = sys.modules.get("torch._dynamo.eval_frame")
        if dynamo is not None:
            dynamo.skip_code(Listener.__torch_dispatch__.__code__)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer an operator, never compiled."""
        if "torch._dynamo" not in sys.modules:
            return self.see(func, args, kwargs or {})
        if self._disabled is None:
            self._disabled = torch.compiler.disable(self.see)
        return self._disabled(func, args, kwargs or {})

    def see(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the answer of an operator."""
        return func(*args, **kwargs)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


def _bag(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: torch.Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = -1,
) -> Call:
    """Read `aten::_embedding_bag`; the two flags of backward do not change the answer."""
    del scale_grad_by_freq, sparse
    padding = -1 if padding_idx is None else int(padding_idx)
    return Call(
        "bag", weight, indices, offsets, mode, per_sample_weights, include_last_offset, padding
    )


def _composite_bag(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    scale_grad_by_freq: bool,
    mode: int,
    sparse: bool,
    per_sample_weights: torch.Tensor | None,
    include_last_offset: bool,
    padding_idx: int | None,
) -> Call:
    """Read `aten::embedding_bag.padding_idx`, whose negative padding counts from the end."""
    rows = int(weight.shape[0])
    padding = padding_idx
    if padding is not None and -rows <= padding < 0:
        padding += rows
    return _bag(
        weight, indices, offsets, scale_grad_by_freq, mode, sparse,
        per_sample_weights, include_last_offset, padding,
    )  # fmt: skip


def _rows(
    weight: torch.Tensor,
    indices: torch.Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Call:
    """Read `aten::embedding`; the padding row changes its gradient only."""
    del padding_idx, scale_grad_by_freq, sparse
    return Call("rows", weight, indices)


def _quantised(dtype: DType) -> Callable[..., Call]:
    def read(
        weight: torch.Tensor,
        indices: torch.Tensor,
        offsets: torch.Tensor | None = None,
        scale_grad_by_freq: bool = False,
        mode: int = 0,
        pruned_weights: bool = False,
        per_sample_weights: torch.Tensor | None = None,
        compressed_indices_mapping: torch.Tensor | None = None,
        include_last_offset: bool = False,
    ) -> Call:
        """Read `quantized::embedding_bag_*_rowwise_offsets`, which sums whatever its `mode` says."""
        del scale_grad_by_freq, mode
        mapped = compressed_indices_mapping is not None and compressed_indices_mapping.numel() > 1
        obstacle = "pruned" if pruned_weights and mapped else ""
        return Call(
            "quantised", weight, indices, offsets, 0, per_sample_weights, include_last_offset,
            dtype=dtype, obstacle=obstacle,
        )  # fmt: skip

    return read


def _parsers() -> dict[Any, Callable[..., Call]]:
    """Return the parsers by operator; what this build of torch lacks is left out."""
    aten, quantized = torch.ops.aten, torch.ops.quantized
    found: dict[Any, Callable[..., Call]] = {}
    for space, name, overload, parser in (
        (aten, "_embedding_bag", "default", _bag),
        (aten, "_embedding_bag_forward_only", "default", _bag),
        (aten, "embedding_bag", "default", _bag),
        (aten, "embedding_bag", "padding_idx", _composite_bag),
        (aten, "embedding", "default", _rows),
        (quantized, "embedding_bag_byte_rowwise_offsets", "default", _quantised(DType.INT8)),
        (quantized, "embedding_bag_4bit_rowwise_offsets", "default", _quantised(DType.INT4_END)),
    ):
        packet = getattr(space, name, None)
        if packet is not None and overload in packet.overloads():
            found[getattr(packet, overload)] = parser
    return found


PARSERS: Mapping[Any, Callable[..., Call]] = _parsers()
# torch.nn.Buffer came with torch 2.5.
_PLAIN = (torch.Tensor, torch.nn.Parameter, getattr(torch.nn, "Buffer", torch.Tensor))
_NO_LOOKUP = (
    "backward",
    "pack",
    "renorm",
    "grad",
    "bounds_check",
    "prefetch",
    "cache",
    "optimizer",
)


def is_other_lookup(func: Any) -> bool:
    """Tell whether an operator without a parser looks rows up: those of `quantized` and `fbgemm`, by their names."""
    name = func._schema.name
    return (
        func.namespace in ("quantized", "fbgemm")
        and "embedding" in name
        and not any(word in name for word in _NO_LOOKUP)
    )


def is_plain(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor has values of its own here: no fake, wrapped, sparse or meta one."""
    return (
        type(tensor) in _PLAIN and tensor.layout is torch.strided and tensor.device.type != "meta"
    )


def op_name(func: Any) -> str:
    """Return `namespace::name` of an operator."""
    return str(func._schema.name)
