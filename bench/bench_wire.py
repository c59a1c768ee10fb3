#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure the wire codec: keys per second into request frames, bytes per second of replies.

    python bench/bench_wire.py                 batches of 512 frames of 180 keys (MTU 1,500)
    python bench/bench_wire.py --frames 1      frame by frame

Both codecs run in one process on the same batches, alternating, and the best of the rounds counts.
`encode` begins with keys and ends with whole frames: headers, checksums, CRC32C. `keys + encode`
begins with row numbers and offsets. `decode` checks frames of two dim-64 fp32 vectors and finds
their payloads.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "host"))

from embnic import wire, wire_numpy
from embnic.gen.wire import FRAME_OVERHEAD, Flag, Opcode

SEED = 1
BAG = 20  # keys of a bag
ROUTE = wire.Route(
    wire.Endpoint("02:00:00:00:00:01", "10.0.0.1", 40000),
    wire.Endpoint("02:00:00:00:00:02", "10.0.0.2"),
)


def codecs() -> dict[str, wire.Codec]:
    """Return the codecs that are there, by name."""
    found: dict[str, wire.Codec] = {"numpy": wire_numpy}
    try:
        found["native"] = importlib.import_module("embnic._native")
    except ImportError:
        print("the native extension is not built: pip install . builds it", file=sys.stderr)
    return found


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the seconds of one call, over `repeats` calls."""
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


class Workload:
    """One batch of `frames` LOOKUP frames of `keys` keys, one of as many REPLY frames."""

    def __init__(self, frames: int, keys: int) -> None:
        rng = np.random.default_rng(SEED)
        self.total = frames * keys
        self.rows = rng.integers(0, 1 << 40, self.total)
        ends = np.unique(
            np.append(np.arange(BAG, self.total, BAG), np.arange(keys, self.total + 1, keys))
        )
        self.offsets = np.concatenate([np.zeros(1, np.int64), ends])
        self.headers = wire.new_headers(frames, Opcode.LOOKUP)
        self.headers["request_id"] = np.arange(frames)
        self.headers["dim"] = 64
        self.splits = np.arange(frames + 1, dtype=np.int64) * keys
        made = wire.make_keys(3, self.rows, self.offsets)
        self.plain = wire.Entries(made.keys, self.splits)
        self.weighted = wire.Entries(made.keys, self.splits, rng.random(self.total, np.float32))
        replies = wire.new_headers(frames, Opcode.REPLY)
        replies["flags"], replies["bags"], replies["dim"] = Flag.FINAL, 2, 64
        vectors = rng.integers(0, 256, frames * 512, np.uint8)
        self.replies = wire.encode(
            ROUTE, replies, vectors, np.arange(frames + 1, dtype=np.int64) * 512
        )

    def encode(self) -> wire.FrameBatch:
        return wire.encode_lookup(ROUTE, self.headers, self.plain)

    def encode_weighted(self) -> wire.FrameBatch:
        return wire.encode_lookup(ROUTE, self.headers, self.weighted)

    def keys_and_encode(self) -> wire.FrameBatch:
        made = wire.make_keys(3, self.rows, self.offsets)
        return wire.encode_lookup(ROUTE, self.headers, wire.Entries(made.keys, self.splits))

    def decode(self) -> wire.Decoded:
        return wire.decode(self.replies)


def measure(load: Workload, rounds: int, seconds: float) -> dict[tuple[str, str], float]:
    """Return (what, codec) -> best seconds of a batch; the codecs alternate."""
    works = {
        "encode": load.encode,
        "encode weighted": load.encode_weighted,
        "keys + encode": load.keys_and_encode,
        "decode": load.decode,
    }
    best: dict[tuple[str, str], float] = {}
    for _ in range(rounds):
        for name, codec in codecs().items():
            wire._codec = codec
            for what, work in works.items():
                once = best_seconds(work, 1)
                taken = best_seconds(work, max(int(seconds / once), 1))
                best[what, name] = min(taken, best.get((what, name), taken))
    return best


def main() -> int:
    """Print the figures; return 1 when the native codec encodes slower than asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=512, help="frames of a batch")
    parser.add_argument("--keys", type=int, default=180, help="keys of a frame")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="of one measurement")
    parser.add_argument(
        "--at-least", type=float, default=0.0, metavar="M", help="million keys/s asked of encode"
    )
    arguments = parser.parse_args()
    load = Workload(arguments.frames, arguments.keys)
    print(f"python {' '.join([sys.argv[0], *sys.argv[1:]])}")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"numpy {np.__version__}, seed {SEED}"
    )
    print(
        f"{arguments.frames} frames of {arguments.keys} keys, "
        f"{FRAME_OVERHEAD + 8 * arguments.keys} bytes each"
    )
    best = measure(load, arguments.rounds, arguments.seconds)
    for what in ("encode", "encode weighted", "keys + encode", "decode"):
        amount, unit = (
            (load.replies.nbytes / 1e6, "MB/s")
            if what == "decode"
            else (load.total / 1e6, "M keys/s")
        )
        rates = {name: amount / best[what, name] for name in codecs()}
        shown = ", ".join(f"{name} {rate:8.1f} {unit}" for name, rate in rates.items())
        ratio = (
            f"  native / numpy {rates['native'] / rates['numpy']:5.1f}" if "native" in rates else ""
        )
        print(f"{what:16} {shown}{ratio}")
    rate = load.total / 1e6 / best.get(("encode", "native"), float("inf"))
    return int(rate < arguments.at_least)


if __name__ == "__main__":
    sys.exit(main())
