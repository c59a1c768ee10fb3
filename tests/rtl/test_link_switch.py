# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_link_switch: frames of two links merged whole, answers to the link that their destination names."""

from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS

HOST = bytes.fromhex("020000000001")
FIELDS = ("tdata", "tkeep", "tlast")


class SwitchBench(Bench):
    """Two links, a core, and what must arrive where."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.lanes = int(self.params["DATA_W"]) // 8
        self.host = self.stream_source("s_axis_host", fields=FIELDS)
        self.mac = self.stream_source("s_axis_mac", fields=(*FIELDS, "tuser"))
        self.tx = self.stream_source("s_axis_tx", fields=FIELDS)
        self.to_host = self.scoreboard("to the host")
        self.to_mac = self.scoreboard("to the network")
        self.frames: list[tuple[bytes, int]] = []
        self._parts: list[bytes] = []
        self.rx = self.stream_sink("m_axis_rx", self._take, fields=(*FIELDS, "tuser"))
        self.out = (
            self.stream_sink("m_axis_host", self.to_host.check, fields=FIELDS),
            self.stream_sink("m_axis_mac", self.to_mac.check, fields=FIELDS),
        )

    def _take(self, beat: tuple[int, int, int, int]) -> None:
        data, keep, last, bad = beat
        self._parts.append(data.to_bytes(self.lanes, "little")[: keep.bit_count()])
        if last:
            self.frames.append((b"".join(self._parts), bad))
            self._parts.clear()

    def beats(self, frame: bytes) -> list[tuple[int, int, int]]:
        """Cut a frame."""
        parts = [frame[at : at + self.lanes] for at in range(0, len(frame), self.lanes)]
        return [
            (int.from_bytes(part, "little"), (1 << len(part)) - 1, int(part is parts[-1]))
            for part in parts
        ]

    def frame(self, head: bytes = b"") -> bytes:
        """Return random bytes, some beats and a part of one."""
        return head + self.random.randbytes(self.random.randrange(8, 5 * self.lanes))


@cocotb.test()
async def both_directions(dut: Any) -> None:
    """Every stall: frames in are whole and in their link's order, frames out reach one link only."""
    bench = SwitchBench(dut)
    for stall in STALLS:
        await bench.reset()
        bench.frames.clear()
        for agent in (bench.host, bench.mac, bench.tx, bench.rx, *bench.out):
            agent.stall = bench.stall(stall)
        sent: dict[str, list[tuple[bytes, int]]] = {"host": [], "mac": []}
        for _ in range(20):
            frame = bench.frame(b"H")
            sent["host"].append((frame, 0))
            bench.host.send(*bench.beats(frame))
            frame, bad = bench.frame(b"M"), bench.random.randrange(2)
            sent["mac"].append((frame, bad))
            bench.mac.send(*((*beat, bad & beat[2]) for beat in bench.beats(frame)))
            for head, board in (
                (HOST, bench.to_host),
                (b"\x01" + HOST[1:], bench.to_mac),
                (HOST[::-1], bench.to_mac),
            ):
                beats = bench.beats(bench.frame(head))
                bench.tx.send(*beats)
                board.expect(*beats)
        await bench.drain()
        await bench.until(lambda b=bench: len(b.frames) == 40, timeout=50_000)
        for name, mark in (("host", b"H"), ("mac", b"M")):
            assert [frame for frame in bench.frames if frame[0][:1] == mark] == sent[name]
    assert bench.to_host.compared > 100
    assert bench.to_mac.compared > 200


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset in the middle of frames: the next ones are whole and go where they should."""
    bench = SwitchBench(dut)
    for _ in range(20):
        await bench.reset()
        bench.host.send(*bench.beats(bench.random.randbytes(4 * bench.lanes)))
        bench.to_host.enabled = bench.to_mac.enabled = False
        bench.tx.send(*bench.beats(HOST + bytes(4 * bench.lanes)))
        await bench.cycles(bench.random.randrange(1, 8))
        await bench.reset()
        bench.frames.clear()
        bench._parts.clear()
        bench.to_host.enabled = bench.to_mac.enabled = True
        frame = bench.frame(b"M")
        bench.mac.send(*((*beat, 0) for beat in bench.beats(frame)))
        for head, board in ((b"\x02\x00\x00\x00\x00\x02", bench.to_mac), (HOST, bench.to_host)):
            beats = bench.beats(bench.frame(head))
            bench.tx.send(*beats)
            board.expect(*beats)
        await bench.drain()
        assert bench.frames == [(frame, 0)]


@pytest.mark.parametrize("width", [64, 512])
def test_link_switch(width: int) -> None:
    """All coroutines, at the narrowest width and the widest."""
    build_and_test("embnic_link_switch", "test_link_switch", params={"DATA_W": width})


def test_illegal_width_does_not_build() -> None:
    """An address must lie in one beat."""
    expect_build_failure("embnic_link_switch", {"DATA_W": 32}, "DATA_W must be 64 and more")
