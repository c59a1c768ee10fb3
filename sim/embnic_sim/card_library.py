# SPDX-License-Identifier: Apache-2.0
"""The C interface of a simulated card's library, harness/card.cpp: its codes, structures and functions."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from embnic_sim.card_models import DramModel

__all__ = [
    "DECISION",
    "STOPPED_BY_MODEL",
    "CardStats",
    "CardStruct",
    "DramStruct",
    "PeerStruct",
    "Phase",
    "StatsStruct",
    "load_library",
]

STOPPED_BY_MODEL = 2  # of `stopped`: an assertion of the RTL, a broken AXI rule

# A lookup of the tag stage: its key {table 15, row 48, seg 8} in two parts, and what was decided.
DECISION = np.dtype(
    [
        ("cycle", np.uint64),
        ("key_low", np.uint64),
        ("key_high", np.uint32),
        ("line", np.uint16),
        ("flags", np.uint8),  # as of embnic.model.CacheModel.decide
        ("command", np.uint8),  # tag_cmd_e: 0 drop, 1 look up, 2 release, 3 fetch, 4 lock, 5 pin
    ]
)


class Phase(IntEnum):
    """Where in a request's life `stop_on` stops the card."""

    REQUEST = 1  # in the middle of a received frame
    MISS = 2  # a read burst was asked of memory, nothing of it has come
    FILL = 3  # a beat of a read burst has come
    REPLY = 4  # in the middle of a sent frame
    UPDATE = 5  # a write burst was asked of memory, the update is not acknowledged


class PeerStruct(ctypes.Structure):
    """Knobs of the other cards: their memory's size, then PeerModel."""

    _fields_ = [
        ("size", ctypes.c_uint64),
        ("latency_min", ctypes.c_uint64),
        ("latency_max", ctypes.c_uint64),
        ("loss", ctypes.c_double),
        ("twice", ctypes.c_double),
        ("stall", ctypes.c_double),
        ("broken", ctypes.c_double),
        ("mixed", ctypes.c_double),
        ("seed", ctypes.c_uint64),
    ]


class CardStruct(ctypes.Structure):
    """Knobs of the line and of stalls: probabilities, idle cycles between received frames, the seed."""

    _fields_ = [
        ("rx_bytes_per_cycle", ctypes.c_double),
        ("tx_bytes_per_cycle", ctypes.c_double),
        ("tx_stall", ctypes.c_double),
        ("memory_stall", ctypes.c_double),
        ("rx_gap", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
    ]


class DramStruct(ctypes.Structure):
    """DramModel as the harness takes it."""

    _fields_ = [(field.name, ctypes.c_uint64) for field in fields(DramModel)]


@dataclass(frozen=True)
class CardStats:
    """What the harness counted; cycles of the card's clock. Mirrors HarnessStats of card.cpp."""

    cycle: int  # time
    evaluated: int  # cycles that were simulated
    skipped: int  # cycles in which the core was at rest and was not simulated
    rx_frames: int
    rx_bytes: int
    tx_frames: int
    tx_bytes: int
    rx_waiting: int
    tx_waiting: int
    memory_reads: int
    memory_writes: int
    row_hits: int  # of DRAM rows, not of the cache
    row_misses: int
    refreshes: int
    memory_bytes: int
    most_outstanding: int
    memory_faults: int
    stopped: int
    remote_requests: int  # lines asked of other cards
    remote_answers: int
    remote_lost: int
    remote_most: int  # answers to come, at most
    remote_sum: int  # the same, summed over the cycles simulated


class StatsStruct(ctypes.Structure):
    """CardStats as the harness gives it."""

    _fields_ = [(field.name, ctypes.c_uint64) for field in fields(CardStats)]


_POINTER = ctypes.c_void_p
_U64 = ctypes.c_uint64
_U32 = ctypes.c_uint32
_I32 = ctypes.c_int32
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "abi": (_U32, ()),
    "create": (_POINTER, (_POINTER, _POINTER)),
    "destroy": (None, (_POINTER,)),
    "configure": (None, (_POINTER, _POINTER)),
    "mutant": (_I32, (_POINTER, _U32)),
    "reset": (None, (_POINTER, _U64)),
    "step": (None, (_POINTER, _U64)),
    "run_until": (None, (_POINTER, _U64, _U64, _U64, _I32)),
    "register": (_I32, (_POINTER, _I32, _U32, _POINTER, _U64)),
    "push": (None, (_POINTER, _POINTER, _POINTER, _U64, _POINTER)),
    "waiting": (_U64, (_POINTER, _U64, _POINTER)),
    "pull": (None, (_POINTER, _U64, _POINTER, _POINTER, _POINTER)),
    "keep_rx_stamps": (None, (_POINTER, _I32)),
    "rx_stamps": (_U64, (_POINTER, _POINTER, _U64)),
    "memory_read": (_I32, (_POINTER, _U64, _POINTER, _U64)),
    "memory_write": (_I32, (_POINTER, _U64, _POINTER, _U64)),
    "memory_fault": (None, (_POINTER, _U64, _U64)),
    "remote_configure": (None, (_POINTER, _POINTER)),
    "remote_read": (_I32, (_POINTER, _U64, _POINTER, _U64)),
    "remote_write": (_I32, (_POINTER, _U64, _POINTER, _U64)),
    "remote_fault": (None, (_POINTER, _I32, _U64, _U64)),
    "channel_stats": (None, (_POINTER, _U32, _POINTER)),
    "memory_mute": (None, (_POINTER, _U64, _U64)),
    "memory_deaf": (None, (_POINTER, _I32)),
    "stop_after": (None, (_POINTER, _U64)),
    "stop_on": (None, (_POINTER, _U32, _U64, _U64)),
    "stopped": (_U32, (_POINTER,)),
    "message": (ctypes.c_char_p, (_POINTER,)),
    "stats": (None, (_POINTER, _POINTER)),
    "cycle": (_U64, (_POINTER,)),
    "keep_digest": (None, (_POINTER, _I32)),
    "digest": (_U64, (_POINTER,)),
    "probe_counts": (None, (_POINTER, _POINTER)),
    "probe_record": (None, (_POINTER, _U64, _U64)),
    "probe_window": (_U64, (_POINTER, _POINTER, _POINTER)),
    "decisions_record": (None, (_POINTER, _U64)),
    "decisions": (_U64, (_POINTER, _POINTER)),
    "trace": (_I32, (_POINTER, ctypes.c_char_p)),
}
_ABI = 5


def load_library(library: Path) -> dict[str, Callable[..., Any]]:
    """Return the functions of a built card by their names without `embnic_card_`.

    Raises RuntimeError when the library is of another version of the harness.
    """
    handle = ctypes.CDLL(str(library))
    functions: dict[str, Callable[..., Any]] = {}
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(handle, f"embnic_card_{name}")
        function.restype, function.argtypes = result, arguments
        functions[name] = function
    if functions["abi"]() != _ABI:
        raise RuntimeError(f"{library} has another interface than card_library.py")
    return functions
