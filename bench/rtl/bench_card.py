# SPDX-License-Identifier: Apache-2.0
"""Print how fast the simulated card runs with all lanes busy, and how much of the time is the host's.

python bench/rtl/bench_card.py [config]

Bags of 20 rows of 64 fp32 elements are read from a table that fits the cache: after a warm-up every lookup hits. The
keys are sent at the full rate of the card's port as long as its reply keeps up (a window of outstanding requests).
Cycles per second are of this machine and this build; they say nothing about hardware.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import embnic
from embnic.backends.reference import ReferenceBackend
from embnic.backends.rtl import attach_rtl
from embnic.engine import Engine
from embnic_sim.card import SimCard

DIM, LENGTH, BAGS, ROUNDS = 64, 20, 2048, 5
PROBE_BEAT = 8  # bit of sts_probe: a row beat went into the pool


def main() -> int:
    """Run the benchmark; return 0 when every compared bag is right."""
    config = sys.argv[1] if len(sys.argv) > 1 else "line100"
    card = SimCard(config)
    lines = card.config.ways * card.config.sets * card.config.line_bytes
    rows = max(lines // (DIM * 4) // 4, 1)
    table = embnic.Table("item", rows=rows, dim=DIM, dtype="fp32", pooling="sum")
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((rows, DIM), dtype=np.float32)
    with Engine([table], attach_rtl([table], card, config=config), fallback=False) as engine:
        engine.load("item", weights)
        values = rng.integers(0, rows, BAGS * LENGTH)
        offsets = np.arange(0, len(values) + 1, LENGTH)
        bags = embnic.Bags.from_torch({"item": (values, offsets)}, include_last_offset=True)
        engine.lookup(bags)  # every row is in the cache now
        print(f"simulated card: {card.build_name}")
        print(f"{ROUNDS} x {BAGS} bags of {LENGTH} of {rows} rows, dim {DIM} fp32; all hits")
        first, beats, model = card.cycle, card.probe_counts()[PROBE_BEAT], card.model_seconds
        started, processor = time.perf_counter(), time.process_time()
        for _ in range(ROUNDS):
            pooled = engine.lookup(bags)["item"]
        wall = time.perf_counter() - started
        processor = time.process_time() - processor
        cycles = card.cycle - first
        busy = float(card.probe_counts()[PROBE_BEAT] - beats) / cycles
        inside = card.model_seconds - model
    reference = ReferenceBackend([table])
    reference.load("item", weights)
    expected = reference.lookup(bags)["item"]
    wrong = int((pooled.view(np.uint32) != expected.view(np.uint32)).any(axis=1).sum())
    print(f"{BAGS - wrong:12,} of {BAGS:,} bags of the last round bit-equal to the reference")
    print(f"{cycles / inside:12,.0f} cycles/s in the model ({inside:.2f} s for {cycles:,} cycles)")
    print(
        f"{cycles / processor:12,.0f} cycles per second of processor time, the host's part included"
    )
    print(f"{busy:12.3f} row beats per cycle")
    print(f"{ROUNDS * BAGS * LENGTH / wall:12,.0f} keys/s of wall time")
    print(f"{(wall - inside) / wall:12.1%} of wall time outside the model")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
