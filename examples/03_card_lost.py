# SPDX-License-Identifier: Apache-2.0
"""The card stops in the middle of a lookup; the CPU answers the rest, once and right."""

import numpy as np

import embnic
from embnic.backends.rtl import attach_rtl
from embnic.engine import Engine
from embnic_sim.card import SimCard

item = embnic.Table("item", rows=500, dim=16, pooling="sum")
weights = np.random.default_rng(1).standard_normal((500, 16), dtype=np.float32)
lists = np.random.default_rng(2).integers(0, 500, (400, 6)).tolist()
bags = embnic.Bags.from_lists({"item": lists})

card = SimCard("tiny")
with Engine([item], attach_rtl([item], card, config="tiny")) as engine:
    engine.load("item", weights)
    card.stop_on("miss", 100)  # dead from the hundredth read burst on
    pooled = engine.lookup(bags)["item"]
    stats = engine.stats()

with embnic.open([item], target="reference") as reference:
    reference.load("item", weights)
    expected = reference.lookup(bags)["item"]
assert np.array_equal(pooled.view(np.uint32), expected.view(np.uint32))
assert stats.bags_by_card + stats.bags_by_cpu == 400 and stats.bags_by_cpu > 0
print(f"{stats.bags_by_card} bags by the card, {stats.bags_by_cpu} by the CPU: all right")
