# SPDX-License-Identifier: Apache-2.0
"""Listen in every thread: torch's functional lookups are exchanged, for the time of a block, for ones that listen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import update_wrapper
from typing import Any, Protocol

import torch

__all__ = ["Patches"]


class Blocks(Protocol):
    """What listens in the thread that enters it."""

    @property
    def listens(self) -> bool:
        """Tell whether this thread is inside a block."""

    def begin(self) -> None:
        """Listen in this thread."""

    def end(self) -> None:
        """Undo the last `begin` of this thread."""


class Patches:
    """Exchange torch's functional lookups for ones that listen in whichever thread calls them."""

    NAMES = ("embedding_bag", "embedding")
    _lock = threading.RLock()

    def __init__(self, owner: Blocks) -> None:
        self._owner = owner
        self._depth = 0

    @property
    def active(self) -> bool:
        """Tell whether a block with these is entered."""
        return self._depth > 0

    def add(self) -> None:
        """Exchange them; a second call counts."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                for name in self.NAMES:
                    before = getattr(torch.nn.functional, name)
                    setattr(torch.nn.functional, name, self._listening(before))

    def remove(self) -> None:
        """Put back what was there, also when others were put over it since."""
        with self._lock:
            self._depth -= 1
            if self._depth:
                return
            for name in self.NAMES:
                now = getattr(torch.nn.functional, name)
                while isinstance(now, _Listening) and not now.patches.active:
                    now = now.before
                setattr(torch.nn.functional, name, now)

    def _listening(self, before: Callable[..., Any]) -> Callable[..., Any]:
        return _Listening(self._owner, self, before)


class _Listening:
    """Stand for one of torch's functions: call what was there `before`, listening."""

    def __init__(self, owner: Blocks, patches: Patches, before: Callable[..., Any]) -> None:
        update_wrapper(self, before)  # first: it copies the attributes of another one of these
        self.owner = owner
        self.patches = patches
        self.before = before

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, listening to the blocks that are entered; the last that began is asked first.

        A thread that is inside such a block listens already, to its own blocks only.
        """
        owners: list[Blocks] = []
        function: Callable[..., Any] = self
        while isinstance(function, _Listening):
            if function.patches.active:
                owners.append(function.owner)
            function = function.before
        if any(owner.listens for owner in owners):
            owners.clear()
        with ExitStack() as stack:
            for owner in reversed(owners):
                owner.begin()
                stack.callback(owner.end)
            return function(*args, **kwargs)
