# SPDX-License-Identifier: Apache-2.0
"""Look bags up on an FPGA board, and go on when it is lost.

On a board with a PYNQ image, as root: `python examples/05_on_a_board.py`. The registry of bitstreams is in the folder
`bitstreams`, or in the one that EMBNIC_BITSTREAMS names.
"""

import numpy as np

import embnic

ROWS, DIM, BAGS, BATCH = 5000, 32, 10_240, 256


def main() -> None:
    """Compare the board's answers with the CPU's, bit for bit."""
    rng = np.random.default_rng(5)
    table = embnic.Table("item", rows=ROWS, dim=DIM, pooling="sum")
    rows = rng.standard_normal((ROWS, DIM), dtype=np.float32)
    with embnic.open([table], "pynq") as board, embnic.open([table], "cpu") as cpu:
        board.load("item", rows)
        cpu.load("item", rows)
        equal = 0
        for _ in range(BAGS // BATCH):
            lists = [rng.integers(0, ROWS, n).tolist() for n in rng.integers(1, 12, BATCH)]
            bags = embnic.Bags.from_lists({"item": lists})
            found, expected = board.lookup(bags)["item"], cpu.lookup(bags)["item"]
            equal += int((found.view(np.uint32) == expected.view(np.uint32)).all(axis=1).sum())
        stats = board.stats()
    print(f"{equal:,} of {BAGS:,} bags bit-equal to the CPU's")
    print(f"{stats.bags_by_card:,} bags by the card, {stats.bags_by_cpu:,} by the CPU in its place")


if __name__ == "__main__":
    main()
