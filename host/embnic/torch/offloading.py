# SPDX-License-Identifier: Apache-2.0
"""Swap the embedding bags of a model for ones that embnic serves, and back."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from torch import Tensor, nn

from ..errors import ConfigError
from .mirror import Mirror, check_weight
from .modules import EmbeddingBag, lookup_together
from .ops import refuse_max_norm

__all__ = ["Offload", "offload"]

APPLY_EMB = (
    "lS_o",
    "lS_i",
    "emb_l",
    "v_W_l",
)  # the arguments of `apply_emb` in facebookresearch's DLRM


def offload(
    model: nn.Module,
    target: str = "auto",
    *,
    mirror: Mirror | None = None,
    unsupported: str = "raise",
) -> Offload:
    """Serve the embedding bags of `model` on `target` from now on; return a handle that takes it back.

    Every `nn.EmbeddingBag` is swapped for an `embnic.torch.EmbeddingBag` with the same parameter, all on one engine.
    torchrec's EmbeddingBagCollection answers all its tables with one fused lookup, and so does a DLRM in the style of
    facebookresearch/dlrm (`emb_l`, `apply_emb`). Optimizers, state dicts, hooks and results stay what they were.

    `mirror` is used in place of a new engine (it knows deadline, mtu and fallback). A bag that cannot be served
    (`max_norm`, a dtype or device that no engine holds) raises ConfigError by its name and leaves the model as it
    was; with `unsupported="leave"` it stays torch's, see `Offload.left`.

    >>> model = nn.Sequential(nn.EmbeddingBag(10, 4, mode="sum"), nn.Linear(4, 1))
    >>> with offload(model, target="cpu") as handle:
    ...     handle.served, type(model[0]).__module__
    (['0'], 'embnic.torch.modules')
    >>> type(model[0]).__module__
    'torch.nn.modules.sparse'
    """
    if unsupported not in ("raise", "leave"):
        raise ConfigError(
            f"unsupported is {unsupported!r}.",
            allowed="'raise', 'leave'.",
            do="Choose one of these.",
        )
    found = {name: module for name, module in model.named_modules() if _is_bag(module)}
    left = {name: reason for name, module in found.items() if (reason := _refusal(module))}
    if left and unsupported == "raise":
        name, reason = next(iter(left.items()))
        raise ConfigError(
            f"{name or 'The model'}: {reason}",
            do="Change the module, or leave it to torch with unsupported='leave'.",
        )
    served = {name: module for name, module in found.items() if name not in left}
    if not served:
        raise ConfigError(
            f"{type(model).__name__} has no embedding bag that can be served.",
            allowed="models with nn.EmbeddingBag modules.",
            do="Look at the names in model.named_modules()" + (f": {left}." if left else "."),
        )
    return Offload(model, served, left, mirror, target)


class Offload:
    """Hold what `offload` swapped; a context manager that restores the model on exit.

    `model` is the model to call: the given one, or the new module where the given one is a bag itself. `served` and
    `left` name the modules. The model keeps working without this handle.
    """

    def __init__(
        self,
        model: nn.Module,
        served: dict[str, nn.EmbeddingBag],
        left: dict[str, str],
        mirror: Mirror | None,
        target: str,
    ) -> None:
        self.mirror = Mirror(target) if mirror is None else mirror
        self.served = list(served)
        self.left = left
        self._owns = mirror is None
        self._given = model
        self._swapped: dict[int, tuple[nn.EmbeddingBag, EmbeddingBag]] = {}
        self._places: list[tuple[nn.Module, str, nn.EmbeddingBag]] = []
        self._fused: list[nn.Module] = []
        for name, module in served.items():
            ours = EmbeddingBag.from_torch(module, self.mirror, name=name)
            self._swapped[id(module)] = module, ours
        self._swap()
        self._fuse()
        top = self._swapped.get(id(model))
        self.model: nn.Module = model if top is None else top[1]

    def _swap(self) -> None:
        for parent in self._given.modules():
            for name, child in list(parent._modules.items()):
                if id(child) in self._swapped:
                    module, ours = self._swapped[id(child)]
                    parent._modules[name] = ours
                    self._places.append((parent, name, module))

    def _fuse(self) -> None:
        for module in self._given.modules():
            if _is_collection(module):
                from .collection import EmbeddingBagCollection

                module.__class__ = EmbeddingBagCollection
            elif _is_dlrm(module):
                module.__dict__["apply_emb"] = functools.partial(_apply_emb, module)
            else:
                continue
            self._fused.append(module)

    def __enter__(self) -> Offload:
        """Return the handle."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Restore the model."""
        self.restore()

    def __repr__(self) -> str:
        """Show what is served."""
        return f"Offload({self.mirror!r}, served={self.served}, left={list(self.left)})"

    def refresh(self) -> None:
        """Let the next lookups compare all rows: after writes through `.data` or numpy, which torch does not count."""
        self.mirror.refresh()

    def restore(self) -> None:
        """Put torch's modules back, with what was trained, and close the engine; may be called twice."""
        for module in self._fused:
            if "apply_emb" in module.__dict__:
                del module.__dict__["apply_emb"]
            else:
                module.__class__ = _collection_type()
        for parent, name, module in self._places:
            if parent._modules.get(name) is self._swapped[id(module)][1]:
                parent._modules[name] = module
        for module, ours in self._swapped.values():
            ours.give_back(module)
        self._fused, self._places, self._swapped = [], [], {}
        self.model = self._given
        if self._owns:
            self.mirror.close()


def _is_bag(module: nn.Module) -> bool:
    """Tell whether a module is torch's own bag; one of a subclass may do anything in its forward."""
    return type(module) is nn.EmbeddingBag


def _refusal(module: nn.EmbeddingBag) -> str:
    try:
        refuse_max_norm(module.max_norm)
        check_weight(module.weight)
    except ConfigError as error:
        return str(error)
    return ""


# -- torchrec ---------------------------------------------------------------------------------------------------------


def _collection_type() -> Any:
    """Return torchrec's class, or None while nobody has imported it."""
    loaded = sys.modules.get("torchrec.modules.embedding_modules")
    return None if loaded is None else loaded.EmbeddingBagCollection


def _is_collection(module: nn.Module) -> bool:
    bags: Any = getattr(module, "embedding_bags", None)
    return type(module) is _collection_type() and all(
        isinstance(bag, EmbeddingBag) for bag in bags.values()
    )


# -- facebookresearch/dlrm --------------------------------------------------------------------------------------------


def _is_dlrm(module: nn.Module) -> bool:
    apply_emb = getattr(type(module), "apply_emb", None)
    bags: Any = getattr(module, "emb_l", None)
    return (
        inspect.isfunction(apply_emb)
        and tuple(inspect.signature(apply_emb).parameters)[1:] == APPLY_EMB
        and isinstance(bags, nn.ModuleList)
        and all(isinstance(bag, EmbeddingBag) for bag in bags)
    )


def _apply_emb(
    model: Any,
    lS_o: Sequence[Tensor],
    lS_i: Sequence[Tensor],
    emb_l: nn.ModuleList,
    v_W_l: Sequence[Tensor | None],
) -> list[Tensor]:
    """Answer DLRM's `apply_emb` with one fused lookup; what it does beyond plain bags is left to the model's own."""
    if getattr(model, "quantize_emb", False) or not all(type(b) is EmbeddingBag for b in emb_l):
        own: list[Tensor] = type(model).apply_emb(model, lS_o, lS_i, emb_l, v_W_l)
        return own
    inputs: list[Any] = []
    for bag, ids, offsets, table in zip(emb_l, lS_i, lS_o, v_W_l, strict=False):
        weights = None if table is None else table.gather(0, ids)
        inputs.append((bag, ids, offsets, weights))
    return lookup_together(inputs)
