# SPDX-License-Identifier: Apache-2.0
"""Read the hand-written vectors, and judge their bytes without any codec.

A vector is a pair of files in `spec/vectors`: NAME.hex holds the bytes of a whole Ethernet frame
with comments, NAME.toml what they mean: `[header]` (fields left out are zero) and `[payload]`, or
`drop`, the reason for which the frame is refused. `reply = true`: it goes from the card to the
requester. `rebuild = false`: it has bytes that no codec writes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).resolve().parents[2] / "spec" / "vectors"
REQUESTER = ("02:00:00:00:00:01", "10.0.0.1", 40000)
CARD = ("02:00:00:00:00:02", "10.0.0.2", 17742)
NUMBERS = ("tenant", "request_id", "first_bag", "bags", "keys", "dim", "snapshot")


@dataclass(frozen=True)
class Vector:
    name: str
    frame: bytes
    header: dict[str, Any]
    payload: dict[str, Any]
    drop: str | None
    reply: bool
    rebuild: bool


def load() -> list[Vector]:
    """Return every vector, by name."""
    return [_vector(path) for path in sorted(FOLDER.glob("*.hex"))]


def _vector(path: Path) -> Vector:
    lines = path.read_text(encoding="utf-8").splitlines()
    meaning = tomllib.loads(path.with_suffix(".toml").read_text(encoding="utf-8"))
    return Vector(
        name=path.stem,
        frame=bytes.fromhex("".join(line.partition("#")[0] for line in lines)),
        header={"opcode": None, "flags": [], "dtype": "FP32", "status": "OK"}
        | dict.fromkeys(NUMBERS, 0)
        | meaning.get("header", {}),
        payload=meaning.get("payload", {}),
        drop=meaning.get("drop"),
        reply=meaning.get("reply", False),
        rebuild=meaning.get("rebuild", True),
    )


def crc32c(data: bytes) -> int:
    """Return the CRC32C by dividing polynomials: no tables, no feedback register."""
    bits = [byte >> position & 1 for byte in data for position in range(8)]
    for position in range(32):  # the first 32 bits are inverted: the initial value
        bits[position] ^= 1
    bits += [0] * 32
    polynomial = [1, *(0x82F63B78 >> position & 1 for position in range(32))]
    for start in range(len(bits) - 32):
        if bits[start]:
            for offset, bit in enumerate(polynomial):
                bits[start + offset] ^= bit
    return sum((bit ^ 1) << position for position, bit in enumerate(bits[-32:]))


def ip_checksum_is_right(frame: bytes) -> bool:
    """Return whether the IPv4 header's words add up to all ones."""
    total = sum(int.from_bytes(frame[at : at + 2], "big") for at in range(14, 34, 2))
    return total % 0xFFFF == 0 and total > 0
