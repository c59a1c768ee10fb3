# SPDX-License-Identifier: Apache-2.0
"""Hold batches of Ethernet frames, and the ends they travel between.

Frames lie one after the other in one uint8 array, so that a batch crosses to C++, to a socket or to
the simulated card without being copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import AddressValueError, IPv4Address
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError
from .gen.wire import DEFAULT_UDP_PORT

__all__ = ["Endpoint", "FrameBatch", "Route", "concat"]

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]
HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


@dataclass(frozen=True)
class Endpoint:
    """One end of a link.

    >>> Endpoint("02:00:00:00:00:01", "10.0.0.1").port
    17742
    """

    mac: str
    ip: str
    port: int = DEFAULT_UDP_PORT

    def __post_init__(self) -> None:
        """Refuse addresses that are none."""
        parts = self.mac.split(":")
        if len(parts) != 6 or not all(len(p) == 2 and set(p) <= HEX_DIGITS for p in parts):
            raise ConfigError(
                f"mac is {self.mac!r}.", allowed='six bytes like "02:00:00:00:00:01".'
            )
        try:
            IPv4Address(self.ip)
        except AddressValueError as error:
            raise ConfigError(
                f"ip is {self.ip!r}.", allowed='an IPv4 address like "10.0.0.1".'
            ) from error
        if not 0 < self.port < 1 << 16:
            raise ConfigError(f"port is {self.port}.", allowed="1 to 65,535.")

    @property
    def mac_bytes(self) -> bytes:
        """Return the MAC address as on the wire."""
        return bytes.fromhex(self.mac.replace(":", ""))

    @property
    def ip_bytes(self) -> bytes:
        """Return the IP address as on the wire."""
        return IPv4Address(self.ip).packed


@dataclass(frozen=True)
class Route:
    """Where frames come from and go to."""

    source: Endpoint
    destination: Endpoint

    @cached_property
    def prefix(self) -> Bytes:
        """Return Ethernet, IPv4 and UDP headers with lengths and checksums zero: uint8 [42]."""
        here, there = self.source, self.destination
        ethernet = there.mac_bytes + here.mac_bytes + b"\x08\x00"
        ip = bytes((0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0)) + here.ip_bytes + there.ip_bytes
        udp = here.port.to_bytes(2, "big") + there.port.to_bytes(2, "big") + bytes(4)
        return np.frombuffer(ethernet + ip + udp, np.uint8)


class FrameBatch:
    """Frames one after the other in `data`: frame `i` is `data[offsets[i]:offsets[i + 1]]`.

    >>> batch = FrameBatch.from_list([b"ab", b"cde"])
    >>> len(batch), batch.nbytes, batch[1:].to_list()
    (2, 5, [b'cde'])
    """

    __slots__ = ("data", "offsets")

    def __init__(self, data: Bytes, offsets: Offsets) -> None:
        """Take `data` uint8 and `offsets` int64 [n + 1] as they are.

        Both are C-contiguous; offsets never decrease and stay within the data.
        """
        self.data = data
        self.offsets = offsets

    @classmethod
    def from_list(cls, frames: Sequence[bytes | bytearray | memoryview | Bytes]) -> FrameBatch:
        """Return a batch with a copy of `frames`."""
        sizes = np.fromiter((len(frame) for frame in frames), np.int64, len(frames))
        data = np.frombuffer(b"".join(bytes(frame) for frame in frames), np.uint8)
        return cls(data, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]))

    @classmethod
    def empty(cls) -> FrameBatch:
        """Return a batch without frames."""
        return cls(np.empty(0, np.uint8), np.zeros(1, np.int64))

    def to_list(self) -> list[bytes]:
        """Return every frame as bytes."""
        whole, at = self.data.tobytes(), self.offsets.tolist()
        return [whole[first:stop] for first, stop in pairwise(at)]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.offsets) - 1

    @property
    def nbytes(self) -> int:
        """Return the bytes of all frames."""
        return int(self.offsets[-1] - self.offsets[0])

    def frame(self, index: int) -> Bytes:
        """Return a view of one frame."""
        return self.data[self.offsets[index] : self.offsets[index + 1]]

    def __getitem__(self, chosen: slice) -> FrameBatch:
        """Return neighbouring frames as a batch on the same bytes."""
        first, stop, step = chosen.indices(len(self))
        if step != 1:
            raise ConfigError(f"step is {step}.", allowed="1: frames that lie side by side.")
        offsets = self.offsets[first : max(stop, first) + 1]
        return FrameBatch(self.data[offsets[0] : offsets[-1]], offsets - offsets[0])

    def __repr__(self) -> str:
        """Return the numbers of frames and bytes."""
        return f"FrameBatch({len(self)} frames, {self.nbytes} bytes)"


def concat(batches: Sequence[FrameBatch]) -> FrameBatch:
    """Return the frames of all `batches` in order, copied."""
    if not batches:
        return FrameBatch.empty()
    sizes = np.concatenate([np.diff(batch.offsets) for batch in batches])
    data = np.concatenate([batch.data[batch.offsets[0] : batch.offsets[-1]] for batch in batches])
    return FrameBatch(data, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]))
