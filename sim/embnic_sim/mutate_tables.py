# SPDX-License-Identifier: Apache-2.0
"""The tables of embnic_sim.mutate_workload: in sets, one of which the card holds at a time."""

from __future__ import annotations

import embnic
from embnic.gen.configs import CONFIGS
from embnic_sim.channels import LINEAR_BITS

__all__ = [
    "CONFIG",
    "MEMORY",
    "MULTIPLIED",
    "ORDERS",
    "PAIRS",
    "REMOTES",
    "SETS",
    "SPREAD",
    "TABLES",
]

CONFIG = CONFIGS["tiny"]
# The card holds eight descriptors, one of which stays invalid in the first set.
TABLES = (
    embnic.Table("sum", rows=60, dim=16, pooling="sum"),
    embnic.Table("mean", rows=40, dim=20, pooling="mean", padding_idx=3),
    embnic.Table("max", rows=12, dim=16 * CONFIG.max_vec64, pooling="max", padding_idx=0),
    embnic.Table("odd", rows=20, dim=33, dtype="int8", pooling="sum", padding_idx=1),
    embnic.Table("one", rows=5, dim=1, dtype="fixed", fixed_scale_exp=-8, pooling="max"),
    embnic.Table("wide", rows=30, dim=64, dtype="fp16", pooling="sum"),
    embnic.Table("many", rows=500, dim=16, dtype="int4", pooling="mean"),
)
ORDERS = (
    embnic.Table("tree4", rows=30, dim=16, pooling="sum", order="tree", tree_k=4),
    embnic.Table("tree2", rows=20, dim=49, pooling="mean", padding_idx=3, order="tree", tree_k=2),
    embnic.Table("tree8", rows=25, dim=13, dtype="int8", pooling="sum", order="tree", tree_k=8),
    embnic.Table(
        "counts",
        rows=20,
        dim=10,
        dtype="fixed",
        fixed_scale_exp=-4,
        pooling="sum",
        order="tree",
        tree_k=4,
    ),
    embnic.Table("parts", rows=30, dim=20, pooling="mean", padding_idx=2, order="split"),
    embnic.Table("halves", rows=20, dim=33, dtype="bf16", pooling="sum", order="split"),
    embnic.Table("greatest", rows=20, dim=16, dtype="int8", pooling="max", order="split"),
    embnic.Table("rows", rows=20, dim=40, dtype="int4", pooling="none"),
)
# Tables whose rows are multiplied; and one whose are not.
PAIRS = (
    embnic.Table("q", rows=30, dim=16, pooling="sum"),
    embnic.Table("r", rows=20, dim=16, pooling="sum", padding_idx=2),
    embnic.Table("q8", rows=30, dim=29, dtype="int8", pooling="sum", padding_idx=1),
    embnic.Table("r8", rows=20, dim=29, dtype="int8", pooling="sum"),
    embnic.Table("half", rows=30, dim=20, dtype="fp16", pooling="sum"),
    embnic.Table("brain", rows=30, dim=32, dtype="bf16", pooling="sum", padding_idx=0),
    embnic.Table("nibble", rows=30, dim=7, dtype="int4", pooling="sum"),
    embnic.Table("beside", rows=30, dim=100, pooling="mean"),
)
# Which are multiplied, by their numbers.
MULTIPLIED = ((0, 1), (1, 0), (2, 3), (3, 2), (4, 4), (5, 5), (6, 6), (0, 0))
# Tables of other cards; and one of this card, whose rows are long.
REMOTES = (
    embnic.Table("there", rows=60, dim=16, pooling="sum", owner=1),
    embnic.Table("means", rows=30, dim=40, dtype="fp16", pooling="mean", padding_idx=2, owner=254),
    embnic.Table("most", rows=20, dim=100, pooling="max", padding_idx=3, owner=0),
    embnic.Table("bytes", rows=40, dim=64, dtype="int8", pooling="sum", owner=255),
    embnic.Table("boughs", rows=30, dim=20, pooling="mean", order="tree", tree_k=4, owner=90),
    embnic.Table("alone", rows=20, dim=40, dtype="int4", pooling="none", owner=165),
    embnic.Table("shards", rows=30, dim=20, pooling="sum", order="split", owner=2),
    embnic.Table("here", rows=60, dim=128, pooling="sum"),
)
SETS = (TABLES, ORDERS, PAIRS, REMOTES)
MEMORY = 1 << 36  # bytes of card memory: so many that rows far beyond a table can be written, too
SPREAD = (CONFIG.channels.bit_length() - 1) << LINEAR_BITS | MEMORY // 2
