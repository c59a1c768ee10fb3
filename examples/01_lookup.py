# SPDX-License-Identifier: Apache-2.0
"""Pool bags on two targets and compare them bit for bit."""

import sys

import numpy as np

import embnic

target = sys.argv[1] if len(sys.argv) > 1 else "rtl"
item = embnic.Table("item", rows=1_000, dim=64, pooling="mean", padding_idx=0)
weights = np.random.default_rng(0).standard_normal((1_000, 64), dtype=np.float32)
bags = embnic.Bags.from_lists({"item": [[3, 8, 8], [], [5, 0, 0]]})

results = []
for name in (target, "reference"):
    with embnic.open([item], target=name) as engine:
        engine.load("item", weights)
        results.append(engine.lookup(bags)["item"])
        print(engine.target, results[-1].shape)

assert np.array_equal(results[0].view(np.uint32), results[1].view(np.uint32))
print("equal, bit for bit")
