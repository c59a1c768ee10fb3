# SPDX-License-Identifier: Apache-2.0
"""Overwrite rows while serving: a lookup after `update` returns sees them."""

import sys

import numpy as np

import embnic

target = sys.argv[1] if len(sys.argv) > 1 else "rtl"
item = embnic.Table("item", rows=100, dim=4, pooling="sum")
bags = embnic.Bags.from_lists({"item": [[1, 2], [2, 2]]})

with embnic.open([item], target=target) as engine:
    engine.load("item", np.ones((100, 4), np.float32))
    print("before", engine.lookup(bags)["item"][:, 0].tolist())  # [2.0, 2.0]
    engine.update("item", [2], np.full((1, 4), 10, np.float32))
    print("after", engine.lookup(bags)["item"][:, 0].tolist())  # [11.0, 20.0]
