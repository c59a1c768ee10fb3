# SPDX-License-Identifier: Apache-2.0
"""Where an address of card memory lies: the bank map of embnic_axi_channels, and its inverse.

Bits 36:0 of an address name a byte of all memory, bits 39:37 the log2 of the channels that its region is spread over,
page by page. `Regions` gives them out.
"""

from __future__ import annotations

from embnic.errors import CapacityError, ConfigError

__all__ = ["LINEAR_BITS", "PAGE", "Regions", "address", "place"]

LINEAR_BITS = 37
PAGE = 4096
_PAGE_BITS = 12


def place(addr: int, channels: int) -> tuple[int, int]:
    """Return the channel of an address, and the byte within it.

    >>> place(0x1234, 1)
    (0, 4660)
    >>> place(1 << 37 | 0x3010, 4)          # spread over channels 0 and 1: the second page of channel 1
    (1, 4112)
    """
    total = channels.bit_length() - 1
    spread = min(addr >> LINEAR_BITS, total)
    linear = addr & (1 << LINEAR_BITS) - 1
    fixed = LINEAR_BITS - total + spread
    channel = (linear >> fixed) << spread | linear >> _PAGE_BITS & (1 << spread) - 1
    page = (linear & (1 << fixed) - 1) >> _PAGE_BITS + spread
    return channel, page << _PAGE_BITS | addr % PAGE


def address(channel: int, local: int, spread: int, channels: int) -> int:
    """Return the address of a byte of a channel in a region spread over 2**spread channels.

    >>> hex(address(1, 4112, 1, 4))
    '0x2000003010'
    """
    total = channels.bit_length() - 1
    page = local >> _PAGE_BITS << spread | channel & (1 << spread) - 1
    high = (channel >> spread) << LINEAR_BITS - total + spread
    return spread << LINEAR_BITS | high | page << _PAGE_BITS | local % PAGE


class Regions:
    """The memory of a simulated card as it is given out, for good.

    Spread regions grow from the bottom of all channels, those of one channel down from its top.
    """

    def __init__(
        self,
        size: int,
        channels: int = 1,
        *,
        memory: str = "card memory",
        larger: str = "DramModel(size=...)",
    ) -> None:
        """Give out `size` bytes of all channels; errors call them `memory` and offer `larger` for more."""
        self._channels, self._memory, self._larger = channels, memory, larger
        # Address 0 is left unused, so that a forgotten base shows.
        self._next_free = 4096 * channels
        self._tops = [size // channels] * channels

    def spread(self, nbytes: int, align: int) -> int:
        """Return the address of a region over all channels, or raise CapacityError."""
        self._check(nbytes, align)
        addr = -(-self._next_free // align) * align
        end = min(self._tops) * self._channels
        if addr + nbytes > end:
            raise CapacityError(
                f"A table in {self._memory}",
                needed=nbytes,
                available=max(end - addr, 0),
                do=f"Use fewer rows, or {self._larger}.",
            )
        self._next_free = addr + nbytes
        return (self._channels.bit_length() - 1) << LINEAR_BITS | addr

    def in_channel(self, channel: int, nbytes: int, align: int) -> int:
        """Return the address of a region of one channel, or raise ConfigError."""
        self._check(nbytes, align)
        bottom = -(-self._next_free // (PAGE * self._channels)) * PAGE
        if not 0 <= channel < self._channels or self._tops[channel] - nbytes < bottom:
            raise ConfigError(
                f"{nbytes:,} bytes in channel {channel}.",
                allowed=f"channels 0 .. {self._channels - 1}, what is free there.",
                do=f"Use fewer rows, another channel, or {self._larger}.",
            )
        self._tops[channel] = (self._tops[channel] - nbytes) // align * align
        return address(channel, self._tops[channel], 0, self._channels)

    @staticmethod
    def _check(nbytes: int, align: int) -> None:
        if nbytes < 0 or align < 1 or align & (align - 1):
            raise ConfigError(
                f"alloc({nbytes}, align={align}).",
                allowed="a size from 0 and a power of two.",
                do="Correct it.",
            )
