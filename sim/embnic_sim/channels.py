# SPDX-License-Identifier: Apache-2.0
"""Where an address of card memory lies: the bank map of embnic_axi_channels, and its inverse.

Bits 36:0 of an address name a byte of all memory, bits 39:37 the log2 of the channels that its region is spread over,
page by page.
"""

from __future__ import annotations

__all__ = ["LINEAR_BITS", "PAGE", "address", "place"]

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
