# SPDX-License-Identifier: Apache-2.0
"""Let calls of several threads run side by side where they may, and one at a time where they must."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ReadWriteLock"]


class ReadWriteLock:
    """Let in any number of readers, or one writer. A waiting writer keeps new readers out, so that it gets its turn.

    Neither side may be entered twice by one thread.
    """

    __slots__ = ("_mutex", "_readers", "_turn", "_waiting", "_writing")

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._turn = threading.Condition(self._mutex)
        self._readers = 0
        self._writing = False
        self._waiting = 0  # writers

    def acquire_read(self) -> None:
        """Enter as a reader; `release_read` leaves. Not a context manager: this runs before every lookup."""
        with self._mutex:
            while self._writing or self._waiting:
                self._turn.wait()
            self._readers += 1

    def release_read(self) -> None:
        """Leave as a reader."""
        with self._mutex:
            self._readers -= 1
            if self._waiting and not self._readers:
                self._turn.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Enter as the only one."""
        with self._mutex:
            self._waiting += 1
            try:
                while self._writing or self._readers:
                    self._turn.wait()
                self._writing = True
            finally:
                self._waiting -= 1
                if not self._writing:  # interrupted while it waited: readers need not wait any more
                    self._turn.notify_all()
        try:
            yield
        finally:
            with self._mutex:
                self._writing = False
                self._turn.notify_all()
