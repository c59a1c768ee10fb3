# SPDX-License-Identifier: Apache-2.0
"""What the benches of the shells' wrappers share: a small core of 512 bits, the host's driver, and a NIC's traffic."""

from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from cocotb.task import bridge

import embnic
from embnic.backends.reference import ReferenceBackend
from embnic.backends.rtl import attach_rtl
from embnic.exchange import Timing
from embnic.gen.configs import CONFIGS
from embnic_sim.bench import Bench
from embnic_sim.cocotb_card import CardPins, CocotbCard
from embnic_sim.scoreboard import Scoreboard
from embnic_sim.streams import STALLS, Source

LANES = 64
# Wide, and small otherwise: the wrappers are what is tested.
SMALL = replace(
    CONFIGS["mini"],
    data_w=512,
    sets=8,
    max_burst=2,
    ks_beats=128,
    rsp_beats=64,
    tables=4,
    cache_style=0,
    buf_style=0,
)
PARAMETERS = {
    "CFG": f"{32 * len(SMALL.parameters())}'h"
    + "".join(f"{v:08x}" for v in SMALL.parameters().values())
}
TABLES = (
    embnic.Table("sum", rows=50, dim=40, pooling="sum"),
    embnic.Table("mean", rows=30, dim=16, pooling="mean", padding_idx=3),
)


class ShellBench(Bench):
    """A wrapper, the host's engine beside the reference, and frames of others."""

    def __init__(self, dut: Any, pins: CardPins, *, memory: Any = None, **further: Any) -> None:
        super().__init__(dut, **further)
        if memory is not None:
            memory = memory(self)
        self.card = CocotbCard(self, pins=replace(pins, data_w=512), memory=memory)
        self.numbers = np.random.default_rng(self.seed)
        self.reference = ReferenceBackend(TABLES)
        self.compared = 0

    def open(self) -> embnic.Engine:
        """Attach and load (host)."""
        cycle = self.clock_ns * 1e-9
        timing = Timing(retry=50_000 * cycle, patience=200_000 * cycle)
        engine = embnic.Engine(
            TABLES, attach_rtl(TABLES, self.card, config="mini", timing=timing), fallback=False
        )
        for table in TABLES:
            rows = self.numbers.standard_normal((table.rows, table.dim), dtype=np.float32)
            engine.load(table.name, rows)
            self.reference.load(table.name, rows)
        return engine

    def exchange(self, engine: embnic.Engine, rounds: int) -> None:
        """Lookups and updates, compared bit for bit (host)."""
        rng = self.numbers
        for _ in range(rounds):
            self.card.tx.stall = self.stall(self.random.choice(list(STALLS)))
            bags = embnic.Bags.from_lists(
                {
                    t.name: [rng.integers(0, t.rows, n).tolist() for n in rng.integers(0, 6, 12)]
                    for t in TABLES
                }
            )
            found, expected = engine.lookup(bags), self.reference.lookup(bags)
            for name in found:
                assert np.array_equal(
                    found[name].view(np.uint32), expected[name].view(np.uint32)
                ), name
                self.compared += len(found[name])
            ids, rows = (
                rng.choice(50, 3, replace=False),
                rng.standard_normal((3, 40), dtype=np.float32),
            )
            engine.update("sum", ids, rows)
            self.reference.update("sum", ids, rows)

    def frame(self, *, to_core: bool = False) -> bytes:
        """Return a frame of somebody else: not IPv4, another protocol or port, or shorter than its headers."""
        rng = self.random
        frame = bytearray(rng.randbytes(rng.choice((60, 64, 65, 128, rng.randrange(60, 400)))))
        frame[12:15] = b"\x08\x00\x45"
        frame[23], frame[36:38] = 17, b"\x45\x4e"
        if not to_core:
            kind = rng.randrange(4)
            if kind == 0:
                frame[12:14] = b"\x08\x06"
            elif kind == 1:
                frame[14] = 0x46
            elif kind == 2:
                frame[23] = 6
            else:
                frame[36] ^= 1 << rng.randrange(8)
        return bytes(frame)


def beats(frame: bytes, *user: int) -> list[tuple[int, ...]]:
    """Return a frame's beats: data, keep, last, and what else each carries."""
    parts = [frame[at : at + LANES] for at in range(0, len(frame), LANES)]
    return [
        (int.from_bytes(part, "little"), (1 << len(part)) - 1, int(number == len(parts) - 1), *user)
        for number, part in enumerate(parts)
    ]


def send(
    source: Source, board: Scoreboard, frame: bytes, user: tuple[int, ...], seen: tuple[int, ...]
) -> None:
    """Send a frame with `user` and expect it with `seen`."""
    source.send(*beats(frame, *user))
    board.expect(*beats(frame, *seen))


async def on_host(function: Any) -> None:
    """Run blocking code of the host beside the simulation."""
    await bridge(function)()


__all__ = ["PARAMETERS", "SMALL", "TABLES", "ShellBench", "beats", "cocotb", "on_host", "send"]
