# SPDX-License-Identifier: Apache-2.0
"""Look up recommendation-model embeddings on a SmartNIC, on its simulated core, or on the CPU, with the same bits.

>>> import numpy as np
>>> item = Table("item", rows=10, dim=2, pooling="sum")
>>> bags = Bags.from_lists({"item": [[3, 8, 8], [], [5]]})
>>> with open([item], target="cpu") as engine:
...     engine.load("item", np.ones((10, 2), np.float32))
...     engine.lookup(bags)["item"].tolist()
[[3.0, 3.0], [0.0, 0.0], [1.0, 1.0]]

Importing this package opens nothing, prints nothing and reads no environment; it needs numpy only. What drives a card,
chooses paths or awaits is imported when it is first used, and so are `capture`, `intercept` and `testing` of
`embnic.torch`, which need torch.
"""

from __future__ import annotations

import importlib
import typing

from .bags import Bags, TableBags
from .batching import Batching
from .compute import RowwiseAdagrad, Sgd
from .config import OutOfRange, Table
from .engine import Engine, open
from .errors import (
    BackendUnavailable,
    CapacityError,
    ClosedError,
    ConfigError,
    ContractMismatch,
    DeviceError,
    DeviceFault,
    DeviceTimeout,
    EmbnicError,
    LinkError,
    Overloaded,
)
from .gen.wire import DType, Order, Pooling
from .products import ProductBags
from .stats import Stats

if typing.TYPE_CHECKING:
    from .aio import AsyncEngine
    from .capacity import Estimate, estimate
    from .torch import testing as testing
    from .torch.capture import capture as capture
    from .torch.intercept import intercept as intercept

__all__ = [
    "AsyncEngine",
    "BackendUnavailable",
    "Bags",
    "Batching",
    "CapacityError",
    "ClosedError",
    "ConfigError",
    "ContractMismatch",
    "DType",
    "DeviceError",
    "DeviceFault",
    "DeviceTimeout",
    "EmbnicError",
    "Engine",
    "Estimate",
    "LinkError",
    "Order",
    "OutOfRange",
    "Overloaded",
    "Pooling",
    "ProductBags",
    "RowwiseAdagrad",
    "Sgd",
    "Stats",
    "Table",
    "TableBags",
    "__version__",
    "estimate",
    "open",
]

__version__ = "0.1.0"

_LATER = {
    "AsyncEngine": "aio",
    "Estimate": "capacity",
    "capture": "torch.capture",
    "estimate": "capacity",
    "intercept": "torch.intercept",
    "testing": "torch.testing",
}


def __getattr__(name: str) -> typing.Any:
    """Import when they are asked for what few programs need: asyncio alone costs more than the rest of the package."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f".{_LATER[name]}", __name__)
    except ImportError as error:
        if error.name != "torch":
            raise
        raise BackendUnavailable(
            f"embnic.{name}",
            reason="torch is not installed.",
            remedy="pip install 'embnic[torch]'.",
        ) from error
    return getattr(module, name, module)
