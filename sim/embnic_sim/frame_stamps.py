# SPDX-License-Identifier: Apache-2.0
"""When the frames of a simulated card came and went, and which request each of those sent answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FrameStamps"]

_REQUEST_ID_OFFSET = 50  # of a whole frame: 42 bytes of headers, then ours


class FrameStamps:
    """The recording of a card's frames; `call` calls a function of its library."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._on = False
        self._requests: dict[int, int] = {}
        self._pushed = 0
        self._received: list[NDArray[np.int64]] = []
        self._sent: list[NDArray[np.int64]] = []
        self._answers: list[NDArray[np.int64]] = []

    def begin(self, waiting: int) -> None:
        """Record from now on, and forget the past; `waiting` frames are still on their way into the card."""
        self._call("keep_rx_stamps", 1)
        self._on = True
        self._take_rx_stamps()
        self._requests, self._received, self._sent, self._answers = {}, [], [], []
        self._pushed = waiting

    def end(self) -> None:
        """Record no more."""
        self._call("keep_rx_stamps", 0)
        self._on = False

    def note_requests(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        """Take in frames that go to the card: bytes and offsets as in a FrameBatch."""
        if not self._on:
            return
        for number, ident in enumerate(_request_ids(data, offsets).tolist(), start=self._pushed):
            self._requests[ident] = number
        self._pushed += len(offsets) - 1

    def note_replies(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64], stamps: NDArray[np.int64]
    ) -> None:
        """Take in frames that came from the card, with the cycles of their first and last beats [n, 2]."""
        if not self._on:
            return
        self._sent.append(stamps[:, 0].copy())
        idents = _request_ids(data, offsets).tolist()
        self._answers.append(
            np.array([self._requests.get(ident, -1) for ident in idents], dtype=np.int64)
        )

    def read(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return (received, sent, answers) as `SimCard.frame_stamps` does."""
        self._received.append(self._take_rx_stamps()[:, 1])
        received = np.concatenate(self._received)
        self._received = [received]
        empty = np.empty(0, dtype=np.int64)
        answers = np.concatenate([empty, *self._answers])
        return (
            received,
            np.concatenate([empty, *self._sent]),
            np.where(answers < len(received), answers, -1),
        )

    def _take_rx_stamps(self) -> NDArray[np.int64]:
        count = int(self._call("rx_stamps", None, 0))
        out = np.empty((count, 2), dtype=np.int64)
        self._call("rx_stamps", out.ctypes.data, count)
        return out


def _request_ids(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the request_id of each frame, -1 for one that is too short to have one."""
    starts = offsets[:-1] + _REQUEST_ID_OFFSET
    fits = starts + 4 <= offsets[1:]
    columns = np.where(fits, starts, 0)[:, None] + np.arange(4)
    words = data[np.minimum(columns, data.size - 1)].astype(np.int64) @ (
        1 << (8 * np.arange(4, dtype=np.int64))
    )
    return np.where(fits, words, -1)
