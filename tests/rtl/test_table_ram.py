# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_table_ram: reads against a model of the commits; nothing is valid after a reset.

There are no streams to stall; every mix of commit and read rates takes their place.
"""

from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS
from embnic_sim.structs import load_structs

# Position of each descriptor field in the register words: (lowest bit, width).
FIELDS = {
    "valid": (0, 1),
    "dtype": (1, 4),
    "pooling": (5, 2),
    "has_padding": (7, 1),
    "mul_then_add": (8, 1),
    "dim": (16, 16),
    "order": (32, 2),
    "tree_k_log2": (34, 4),
    "fixed_scale_exp": (38, 8),
    "remote": (46, 1),
    "memo": (47, 1),
    "owner": (48, 8),
    "generation": (56, 8),
    "base": (64, 64),
    "rows": (128, 64),
    "padding_row": (192, 64),
}


class Traffic:
    """Commits and reads, from a script or at given rates; each read is compared two cycles later."""

    def __init__(self, bench: "TableRamBench") -> None:
        self.bench = bench
        self.commits = self.reads = bench.stall("half")
        self.model: dict[int, int] = {}
        self.script: list[tuple[str, int, int]] = []
        self.running = False
        self.reset()

    def reset(self) -> None:
        """No table is valid, no read is pending."""
        self.running = False
        self.model.clear()
        self.script.clear()
        self.pending: list[int | None] = [None] * 3
        self.bench.drive(cfg_commit=0, rd_en=0)

    def tick(self) -> None:
        """Compare what was read three edges ago, then drive the next cycle."""
        bench = self.bench
        due = self.pending.pop(0)
        if due is not None:
            seen = bench.read("rd_data")
            if due == 0:  # not valid: nothing else of the word means anything
                seen = bench.descriptor_t.unpack(seen)["valid"]
            bench.board.expect(due)
            bench.board.check(seen)
        step = self.script.pop(0) if self.script else None
        commit = step[0] == "commit" if step else self.running and self.commits()
        read = step[0] == "read" if step else self.running and self.reads()
        sel = step[1] if step else bench.random.randrange(bench.tables + 2)
        words = step[2] if step else bench.random.getrandbits(256)
        addr = step[1] % bench.tables if step else bench.random.randrange(bench.tables)
        if not step and bench.random.random() < 0.3:
            sel = addr  # a collision: the read sees the old word
        bench.drive(
            cfg_commit=int(commit), cfg_sel=sel, cfg_words=words, rd_en=int(read), rd_addr=addr
        )
        self.pending.append(self.model.get(addr, 0) if read else None)
        if commit and sel < bench.tables:
            self.model[sel] = bench.expected(words) if words & 1 else 0


class TableRamBench(Bench):
    """The table RAM, its traffic and the descriptors read."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.tables = int(self.params["TABLES"])
        self.descriptor_t = load_structs()["descriptor_t"]
        self.board = self.scoreboard("descriptors", struct=self.descriptor_t)
        self.traffic = self.add(Traffic(self))

    def expected(self, words: int) -> int:
        """Return descriptor_t of register words."""
        return self.descriptor_t.pack(
            {name: words >> lsb & (1 << width) - 1 for name, (lsb, width) in FIELDS.items()}
        )

    async def play(self, script: list[tuple[str, int, int]]) -> None:
        """Play a script to its end."""
        self.traffic.script = list(script)
        await self.until(lambda: not self.traffic.script, what="script")
        await self.cycles(4)
        await self.drain()

    async def run(self, cycles: int) -> None:
        """Random traffic for some cycles."""
        self.traffic.running = True
        await self.cycles(cycles)
        self.traffic.running = False
        await self.cycles(4)
        await self.drain()


@cocotb.test()
async def directed(dut: Any) -> None:
    """Invalid after reset, valid after its commit; an unknown number changes nothing."""
    bench = TableRamBench(dut)
    await bench.reset()
    words = bench.random.getrandbits(256) | 1
    last = bench.tables - 1
    script = [
        ("read", last, 0),
        ("commit", last, words),
        ("read", last, 0),
        ("read", 0, 0),
        ("commit", bench.tables + last, words),  # aliases table `last` if the number were cut
        ("commit", 1 << 31 | last, words ^ 1),
        ("read", last, 0),
        ("commit", last, words ^ 1),  # withdrawn
        ("read", last, 0),
    ]
    await bench.play(script)


@cocotb.test()
async def rates(dut: Any) -> None:
    """Every rate of commits with every rate of reads."""
    bench = TableRamBench(dut)
    for commits in STALLS:
        for reads in STALLS:
            await bench.reset()
            bench.traffic.commits, bench.traffic.reads = bench.stall(commits), bench.stall(reads)
            await bench.run(150)


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """After a reset at any moment every table is invalid."""
    bench = TableRamBench(dut)
    for _ in range(20):
        await bench.reset()
        bench.traffic.running = True
        await bench.cycles(bench.random.randrange(1, 4 * bench.tables))
        await bench.reset(bench.random.randrange(1, 4))
        await bench.play([("read", table, 0) for table in range(bench.tables)])
        await bench.run(50)


@pytest.mark.parametrize("tables", [2, 64])
def test_table_ram(tables: int) -> None:
    """All coroutines at the smallest number of tables and an ordinary one."""
    build_and_test("embnic_table_ram", "test_table_ram", params={"TABLES": tables})


@pytest.mark.parametrize("tables", [1, 12, 2048])
def test_illegal_tables_does_not_build(tables: int) -> None:
    """TABLES must be a power of two in its range."""
    message = "TABLES must be a power of two from 2 to 1024"
    expect_build_failure("embnic_table_ram", {"TABLES": tables}, message)
