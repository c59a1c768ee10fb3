# SPDX-License-Identifier: Apache-2.0
"""Measures what the AXI DMA moves through PYNQ on its simulated device, in the environment of `make test-pynq`:

    PYTHONPATH=host:sim .venv-pynq/bin/python bench/bench_pynq.py [CONFIG]

Frames are those of lookups, both ways, a transfer each. Two figures: beats of the core's streams a cycle of its clock,
in which the model of the DMA takes no time of its own and the host looks at the receive channel every 256 cycles; and
bytes a second of processor time of the whole path, the simulated core included. Neither says anything about a board.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import embnic
from embnic.backends.pynq import open_pynq
from embnic.bitstreams import build_simulated
from embnic.engine import Engine

ROWS, DIM, BAGS, ROUNDS = 2000, 32, 256, 16


def main() -> int:
    """Print bytes, beats a cycle, and bytes a second."""
    parser = argparse.ArgumentParser(description="DMA throughput of the simulated PYNQ path.")
    parser.add_argument("config", nargs="?", default="tiny")
    given = parser.parse_args()
    os.environ["EMBNIC_PYNQ_DEVICE"] = "embnic_sim.pynq_device"
    rng = np.random.default_rng(1)
    table = embnic.Table("item", rows=ROWS, dim=DIM, pooling="sum")
    with tempfile.TemporaryDirectory() as folder:
        backend = open_pynq([table], build_simulated(given.config, Path(folder)).bitfile)
    with Engine([table], backend, fallback=False) as engine:
        engine.load("item", rng.standard_normal((ROWS, DIM), dtype=np.float32))
        requests = [
            embnic.Bags.from_lists(
                {"item": [rng.integers(0, ROWS, n).tolist() for n in rng.integers(1, 12, BAGS)]}
            )
            for _ in range(ROUNDS)
        ]
        engine.lookup(requests[0])
        from embnic_sim.pynq_device import active

        card = active().card
        assert card is not None
        before, cycles = backend.ports.moved_bytes, card.cycle
        used, wall = time.process_time(), time.perf_counter()
        for bags in requests:
            engine.lookup(bags)
        used, wall = time.process_time() - used, time.perf_counter() - wall
        moved, cycles = backend.ports.moved_bytes - before, card.cycle - cycles
        assert engine.stats().bags_by_cpu == 0
    lanes = card.config.data_w // 8
    print(
        f"{given.config}: {ROUNDS * BAGS:,} bags, {moved:,} bytes by the DMA, both ways\n"
        f"  {cycles:,} cycles: {moved / lanes / cycles:.3f} beats of {lanes} bytes a cycle, "
        f"{moved / cycles * card.clock_hz / 1e6:.0f} MB/s if it were clocked at {card.clock_hz / 1e6:g} MHz\n"
        f"  {used:.2f} s of processor time: {moved / used / 1e6:.2f} MB/s; {wall:.2f} s in all"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
