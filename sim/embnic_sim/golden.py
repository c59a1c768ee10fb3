# SPDX-License-Identifier: Apache-2.0
"""An HLS core as the second scoreboard of its RTL twin's bench: `make sim M=embnic_pool GOLDEN=hls`.

    golden = golden_for("embnic_topk", {"kMaxK": 4})    # None without GOLDEN=hls
    golden.command(Command.TAKE, [score, id, last])
    for word in golden.words(): ...

What the words of each core are, hls/bridge/golden.hpp says.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping
from enum import IntEnum

import numpy as np

from embnic_sim.hls_build import build_golden

__all__ = ["Command", "Golden", "golden_for", "lanes_of", "pack_lanes"]


class Command(IntEnum):
    """As `Command` of hls/bridge/golden.hpp."""

    RESET = 0
    SETTING = 1
    TAKE = 2
    MEMORY = 3
    FLUSH = 4
    DROP = 5


def pack_lanes(data: int, lanes: int) -> list[int]:
    """Return a beat of 32-bit lanes as 64-bit words."""
    return [data >> 64 * word & (1 << 64) - 1 for word in range((lanes + 1) // 2)]


def lanes_of(words: Iterable[int]) -> int:
    """Return a beat from its 64-bit words."""
    return sum(word << 64 * at for at, word in enumerate(words))


class Golden:
    """One core, built with constants."""

    def __init__(self, module: str, constants: Mapping[str, int]) -> None:
        library = ctypes.CDLL(str(build_golden(module, constants)))
        signatures = {
            "create": (ctypes.c_void_p, []),
            "destroy": (None, [ctypes.c_void_p]),
            "fields": (ctypes.c_char_p, []),
            "command": (None, [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p]),
            "event": (ctypes.c_uint64, [ctypes.c_void_p, ctypes.c_uint32]),
            "waiting": (ctypes.c_uint64, [ctypes.c_void_p]),
            "pull": (ctypes.c_uint64, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64]),
        }
        self._calls = {}
        for name, (result, arguments) in signatures.items():
            function = getattr(library, f"golden_{name}")
            function.restype, function.argtypes = result, arguments
            self._calls[name] = function
        self._core = self._calls["create"]()
        self.fields: list[str] = self._calls["fields"]().decode().split()
        self.compared = 0  # by the bench

    def command(self, what: Command, words: Iterable[int] = ()) -> None:
        """Give the core something to do."""
        array = np.array([*words, 0], np.uint64)
        self._calls["command"](self._core, what, array.ctypes.data)

    def words(self) -> list[int]:
        """Return what the core gave since the last call."""
        array = np.zeros(int(self._calls["waiting"](self._core)), np.uint64)
        self._calls["pull"](self._core, array.ctypes.data, len(array))
        return [int(word) for word in array]

    def beats(self, length: int) -> list[list[int]]:
        """Return what the core gave since the last call, in beats of `length` words."""
        words = self.words()
        assert len(words) % length == 0, f"{len(words)} words are not beats of {length}"
        return [words[at : at + length] for at in range(0, len(words), length)]

    def event(self, number: int = 0) -> int:
        """Return one of the core's counters."""
        return int(self._calls["event"](self._core, number))

    def close(self) -> None:
        """Free the core."""
        self._calls["destroy"](self._core)


def golden_for(module: str, constants: Mapping[str, int]) -> Golden | None:
    """Return the twin of an RTL module when the environment says GOLDEN=hls."""
    wanted = os.environ.get("EMBNIC_GOLDEN", "")
    if wanted == "":
        return None
    if wanted != "hls":
        raise ValueError(f"GOLDEN is {wanted!r}; allowed: hls")
    return Golden(module, constants)
