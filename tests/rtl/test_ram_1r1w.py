# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_ram_1r1w: contents, latency, the old word on a collision, rd_data held without
rd_en.
"""

from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure


class Model:
    """The RAM in Python: samples the ports, predicts rd_data."""

    def __init__(self, bench: Bench, out_reg: bool) -> None:
        self.bench, self.out_reg = bench, out_reg
        self.store: dict[int, int] = {}
        self.read_q: int | None = None
        self.out_q: int | None = None
        self.collisions = 0
        self.board = bench.scoreboard("rd_data")

    def reset(self) -> None:
        """Contents stay."""

    def tick(self) -> None:
        """One clock edge: compare what is visible, then advance."""
        pin = self.bench.pin
        visible = self.out_q if self.out_reg else self.read_q
        if visible is not None:
            self.board.expect(visible)
            self.board.check(pin("rd_data").read())
        self.out_q = self.read_q
        if pin("rd_en").read():
            self.read_q = self.store.get(pin("rd_addr").read())
            self.collisions += (
                pin("wr_en").read() and pin("rd_addr").read() == pin("wr_addr").read()
            )
        if pin("wr_en").read():
            self.store[pin("wr_addr").read()] = pin("wr_data").read()


def setup(dut: Any) -> tuple[Bench, Model]:
    """Return a bench for a module without reset, and its model."""
    bench = Bench(dut, reset=None)
    model = Model(bench, bool(bench.params.get("OUT_REG", 0)))
    bench.add(model)
    bench.drive(wr_en=0, rd_en=0, wr_addr=0, rd_addr=0, wr_data=0)
    return bench, model


@cocotb.test()
async def every_address(dut: Any) -> None:
    """Write all, read all."""
    bench, model = setup(dut)
    depth, width = int(bench.params["DEPTH"]), int(bench.params["WIDTH"])
    for addr in range(depth):
        bench.drive(wr_en=1, wr_addr=addr, wr_data=bench.random.getrandbits(width))
        await bench.cycles()
    bench.drive(wr_en=0, rd_en=1)
    for addr in range(depth):
        bench.drive(rd_addr=addr)
        await bench.cycles()
    bench.drive(rd_en=0)
    await bench.drain()
    assert model.board.compared >= depth


@cocotb.test()
async def random_traffic(dut: Any) -> None:
    """Random enables on few addresses, so that reads meet writes."""
    bench, model = setup(dut)
    depth, width = int(bench.params["DEPTH"]), int(bench.params["WIDTH"])
    few = [bench.random.randrange(depth) for _ in range(4)]
    for _ in range(3000):
        bench.drive(
            wr_en=bench.random.getrandbits(1),
            rd_en=bench.random.getrandbits(1),
            wr_addr=bench.random.choice(few),
            rd_addr=bench.random.choice(few),
            wr_data=bench.random.getrandbits(width),
        )
        await bench.cycles()
    bench.drive(wr_en=0, rd_en=0)
    await bench.drain()
    assert model.collisions > 100, "reads must meet writes"
    assert model.board.compared > 1000


@pytest.mark.parametrize(
    ("width", "depth", "style", "out_reg"),
    [(1, 2, 0, 0), (33, 100, 1, 1), (512, 512, 3, 1), (64, 64, 2, 0)],
)
def test_ram_1r1w(width: int, depth: int, style: int, out_reg: int) -> None:
    """Each style, with and without output register; also a depth that is no power of two."""
    params = {"WIDTH": width, "DEPTH": depth, "STYLE": style, "OUT_REG": out_reg}
    build_and_test("embnic_ram_1r1w", "test_ram_1r1w", params=params)


def test_illegal_depth_does_not_build() -> None:
    """A RAM of one word is a register."""
    expect_build_failure("embnic_ram_1r1w", {"DEPTH": 1}, "DEPTH must be at least 2")


def test_illegal_style_does_not_build() -> None:
    """There are four styles."""
    expect_build_failure(
        "embnic_ram_1r1w",
        {"STYLE": 4},
        "STYLE must be 0 (auto), 1 (distributed), 2 (block) or 3 (ultra)",
    )
