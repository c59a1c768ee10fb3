# SPDX-License-Identifier: Apache-2.0
"""Learn from optimizers which rows a step changed.

A step on a sparse gradient changes the gradient's rows and no others, if the optimizer keeps no history of other rows.
Hooks that torch calls around every `step` note the version of a weight before and after, and the rows; only a chain of
such steps that explains the weight's version exactly is used. Everything else is found by comparison.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

__all__ = ["Step", "explained_rows", "watch_steps"]

MOST_STEPS = 64  # between two lookups; beyond it a comparison is cheaper


class Step(NamedTuple):
    """Say that a weight went from one version to another by a change of these rows: int64 [n], rising."""

    before: int
    after: int
    rows: NDArray[np.int64]


def explained_rows(steps: list[Step], version: int, now: int) -> NDArray[np.int64] | None:
    """Return the rows that changed between two versions; None where the steps do not explain all of it."""
    found: list[NDArray[np.int64]] = []
    for step in steps:
        if step.before != version:
            return None
        version = step.after
        found.append(step.rows)
    if version != now or not found:
        return None
    return found[0] if len(found) == 1 else np.unique(np.concatenate(found))


def watch_steps(steps_of: Callable[[torch.Tensor], Iterable[list[Step]]]) -> Callable[[], None]:
    """Note the steps of every optimizer from now on; return what ends it.

    `steps_of` is a method of an object that is not kept alive: it gives the lists to which the steps of a weight are
    appended, none for weights that are not of interest. Lists that grow too long are emptied.
    """
    method = weakref.WeakMethod(steps_of)
    before: dict[int, int] = {}

    def note_versions(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        wanted = method()
        if wanted is None:
            return
        before.clear()
        for group in optimizer.param_groups:
            for weight in group["params"]:
                if any(True for _ in wanted(weight)):
                    before[id(weight)] = weight._version

    def note_rows(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        wanted = method()
        if wanted is None:
            return
        for group in optimizer.param_groups:
            for weight in group["params"]:
                if id(weight) in before and _only_its_rows(optimizer, group, weight):
                    rows = np.unique(weight.grad._indices()[0].numpy())
                    step = Step(before[id(weight)], weight._version, rows)
                    for steps in wanted(weight):
                        if len(steps) >= MOST_STEPS:
                            steps.clear()
                        steps.append(step)
        before.clear()

    handles = (
        register_optimizer_step_pre_hook(note_versions),
        register_optimizer_step_post_hook(note_rows),
    )

    def end() -> None:
        for handle in handles:
            handle.remove()

    return end


def _only_its_rows(optimizer: Optimizer, group: dict[str, Any], weight: torch.Tensor) -> bool:
    """Tell whether a step changed the rows of the gradient and no others."""
    grad = weight.grad
    if grad is None or not grad.is_sparse or grad.sparse_dim() != 1:
        return False
    if type(optimizer) is torch.optim.SGD:
        return group["momentum"] == 0 and group["weight_decay"] == 0
    return type(optimizer) in (torch.optim.SparseAdam, torch.optim.Adagrad)
