# SPDX-License-Identifier: Apache-2.0
"""The window of requests in flight is what the card's key store holds."""

from __future__ import annotations

import numpy as np
import pytest

from embnic.errors import DeviceTimeout
from embnic.exchange import Exchange, Pending, Timing, Window
from embnic.stats import LinkCounters
from embnic.wire import FrameBatch


class SilentLink:
    """A link on which nothing comes back; keeps how many frames each send had."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self._now = 0.0

    def send(self, frames: FrameBatch) -> None:
        self.sent.append(len(frames))

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        del max_frames
        self._now += timeout
        return FrameBatch(np.empty(0, np.uint8), np.zeros(1, np.int64))

    def clock(self) -> float:
        return self._now


@pytest.mark.parametrize(
    ("window", "size", "together"),
    [
        (Window(frames=8, bytes=640, beat=16), 104, 5),  # 104 bytes are 7 beats of 16: 112
        (Window(frames=8, bytes=640, beat=64), 104, 5),  # 128 each: exactly five
        (Window(frames=8, bytes=639, beat=64), 104, 4),
        (Window(frames=8, bytes=640), 104, 6),
        (Window(frames=3, bytes=640, beat=64), 104, 3),
        (Window(frames=8, bytes=64, beat=64), 104, 1),  # one may always go
    ],
)
def test_payloads_take_whole_beats_of_the_key_store(
    window: Window, size: int, together: int
) -> None:
    link = SilentLink()
    frame = FrameBatch(np.zeros(64, np.uint8), np.array([0, 64], np.int64))
    exchange = Exchange(link, Timing(retry=1.0, patience=0.5), window, LinkCounters())
    requests = [Pending(frame, ident, size) for ident in range(20)]
    with pytest.raises(DeviceTimeout):
        exchange.run(requests, doing="waiting")
    assert link.sent == [together]
