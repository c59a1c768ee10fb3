# SPDX-License-Identifier: Apache-2.0
"""Hold what a mirror knows about the tables of its engines, and put a lookup together."""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from numpy.typing import NDArray

from ..bags import TableBags
from ..config import Table
from ..engine import Engine
from ..errors import CapacityError, ConfigError
from .hints import Step
from .weights import DTYPES, STALE, Use

__all__ = ["FusedCall", "Owner", "PlainBags", "Slot", "fused_call", "give_up", "take_table"]

_log = logging.getLogger("embnic.torch")


class Slot:
    """Hold what is known about one table of an engine: its weight, and the state that was pushed."""

    __slots__ = (
        "engine",
        "loaded",
        "name",
        "pointer",
        "shape",
        "steps",
        "table",
        "use",
        "version",
        "weight",
    )

    def __init__(self, table: Table, use: Use, engine: Engine, weight: torch.Tensor) -> None:
        self.name = table.name
        self.table = table
        self.use = use
        self.engine = engine
        self.shape = tuple(weight.shape)
        self.loaded = False
        self.bind(weight)

    def bind(self, weight: torch.Tensor) -> None:
        """Follow this tensor from now on; its rows count as unknown."""
        self.weight = weakref.ref(weight)
        self.pointer = weight.data_ptr()
        self.version = STALE
        self.steps: list[Step] = []

    def serves(self, weight: torch.Tensor) -> bool:
        """Tell whether this is the table of the weight as it is now."""
        return self.weight() is weight and self.fits(weight, self.use)

    def in_use(self) -> bool:
        """Tell whether the weight lives and still fits."""
        weight = self.weight()
        return weight is not None and self.fits(weight, self.use)

    def fits(self, weight: torch.Tensor, use: Use) -> bool:
        """Tell whether the table can hold this weight."""
        return (
            self.use == use
            and self.shape == tuple(weight.shape)
            and self.table.dtype is DTYPES.get(weight.dtype)
        )


class PlainBags(NamedTuple):
    """Hold operands that can be read where they lie: contiguous, in host memory, int64, samples float32."""

    slot: Slot
    weight: torch.Tensor
    indices: torch.Tensor
    offsets: torch.Tensor
    per_sample_weights: torch.Tensor | None
    closed: bool  # the last offset ends the last bag


class Owner(Protocol):
    """Say which weight a module has and how it pools it; known to a mirror by `register`."""

    def mirrored(self) -> tuple[torch.Tensor, Use]:
        """Return the weight and its use."""
        ...


def take_table(engine: Engine, table: Table, rows: NDArray[Any]) -> bool:
    """Add a table to an engine; False where its target takes no more tables, or not this one."""
    try:
        engine.add_table(table, rows)
    except (ConfigError, CapacityError) as error:
        _log.debug("the engine on %s does not take another table: %s", engine.target, error)
        return False
    return True


def give_up(slot: Slot) -> None:
    """Drop a table where the target can; else it stays until its engine closes."""
    try:
        slot.engine.drop_table(slot.name)
    except ConfigError as error:
        _log.debug("the table %s stays: %s", slot.name, error)


@dataclass
class FusedCall:
    """Gather the tables of one fused lookup."""

    engine: Engine
    bags: dict[str, TableBags] = field(default_factory=dict)
    outputs: dict[str, NDArray[Any]] = field(default_factory=dict)


def fused_call(slot: Slot, calls: list[FusedCall]) -> FusedCall:
    """Return the call that takes one more table of the slot's engine, a new one where it has to."""
    for call in calls:
        if call.engine is slot.engine and slot.name not in call.bags:
            return call
    calls.append(FusedCall(slot.engine))
    return calls[-1]
