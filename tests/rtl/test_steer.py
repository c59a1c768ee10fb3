# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_steer: which frames are the core's, and both sides' frames whole on one wire."""

from collections import Counter
from typing import Any

import cocotb

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS, Sink

LANES = 64
FIELDS = ("tdata", "tkeep", "tlast")
PORT = b"\x45\x4e"


class SteerBench(Bench):
    """A network, a core and a NIC."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.rx = self.stream_source("s_axis_rx", fields=(*FIELDS, "tuser"))
        self.boards = {name: self.scoreboard(f"to the {name}") for name in ("core", "nic")}
        self.sinks = {
            name: self.stream_sink(f"m_axis_{name}", board.check, fields=(*FIELDS, "tuser"))
            for name, board in self.boards.items()
        }
        self.sources = {
            name: self.stream_source(f"s_axis_{name}", fields=FIELDS) for name in ("core", "nic")
        }
        self.sent: dict[str, list[bytes]] = {"core": [], "nic": []}
        self.came: dict[str, list[bytes]] = {"core": [], "nic": []}
        self.order: list[str] = []
        self._parts: list[bytes] = []
        pin = self.pin
        pins = [*(pin(f"m_axis_tx_{name}") for name in FIELDS), pin("sts_tx_core")]
        self.tx = self.add(Sink(pin("m_axis_tx_tvalid"), pin("m_axis_tx_tready"), pins, self._take))

    def _take(self, beat: tuple[int, int, int, int]) -> None:
        data, keep, last, core = beat
        self._parts.append(data.to_bytes(LANES, "little")[: keep.bit_count()])
        if last:
            name = "core" if core else "nic"
            self.came[name].append(b"".join(self._parts))
            self.order.append(name)
            self._parts.clear()

    def beats(self, frame: bytes) -> list[tuple[int, int, int]]:
        """Cut a frame."""
        parts = [frame[at : at + LANES] for at in range(0, len(frame), LANES)]
        return [
            (int.from_bytes(part, "little"), (1 << len(part)) - 1, int(at == len(parts) - 1))
            for at, part in enumerate(parts)
        ]

    def frame(self, ours: bool) -> bytes:
        """Return random bytes behind headers of a request, or with one of the marks of a request missing."""
        rng = self.random
        frame = bytearray(rng.randbytes(rng.choice((42, 60, 64, 65, 128, rng.randrange(42, 300)))))
        frame[12:15], frame[23], frame[36:38] = b"\x08\x00\x45", 17, PORT
        if not ours:
            at = rng.choice((12, 13, 14, 23, 36, 37))
            frame[at] ^= 1 << rng.randrange(8)
            if rng.random() < 0.1:
                frame = frame[:41]  # ends within its headers
                frame[12:15], frame[23], frame[36:38] = b"\x08\x00\x45", 17, PORT
        return bytes(frame)


@cocotb.test()
async def every_frame_to_its_side(dut: Any) -> None:
    """Frames with and without each mark of a request, under every stall, with tuser."""
    bench = SteerBench(dut)
    for stall in STALLS:
        await bench.reset()
        for agent in (bench.rx, *bench.sinks.values()):
            agent.stall = bench.stall(stall)
        for _ in range(40):
            ours = bench.random.random() < 0.5
            user = bench.random.getrandbits(5)
            words = [(*beat, user) for beat in bench.beats(bench.frame(ours))]
            bench.rx.send(*words)
            bench.boards["core" if ours else "nic"].expect(*words)
        await bench.drain()
    assert all(board.compared > 150 for board in bench.boards.values())


@cocotb.test()
async def one_wire_for_both(dut: Any) -> None:
    """Frames of core and NIC leave whole, in each one's order; with both waiting, each gets every second turn."""
    bench = SteerBench(dut)
    for stall in STALLS:
        await bench.reset()
        for agent in (bench.tx, *bench.sources.values()):
            agent.stall = bench.stall(stall)
        for name, source in bench.sources.items():
            bench.sent[name] = [bench.frame(True) for _ in range(25)]
            bench.came[name] = []
            for frame in bench.sent[name]:
                source.send(*bench.beats(frame))
        bench.order.clear()
        await bench.until(lambda b=bench: len(b.order) == 50, timeout=20_000)
        assert bench.came == bench.sent
        if stall == "never":
            assert Counter(bench.order[:20]) == {"core": 10, "nic": 10}


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset within frames of all streams: the next ones are whole."""
    bench = SteerBench(dut)
    for _ in range(15):
        await bench.reset()
        for board in bench.boards.values():
            board.enabled = False
        bench.rx.send(*((*beat, 0) for beat in bench.beats(bench.frame(True) + bytes(200))))
        for source in bench.sources.values():
            source.send(*bench.beats(bytes(300)))
        await bench.cycles(bench.random.randrange(1, 8))
        await bench.reset()
        for board in bench.boards.values():
            board.enabled = True
        bench._parts.clear()
        bench.order.clear()
        for name, ours in (("nic", False), ("core", True)):
            frame = bench.frame(ours)
            words = [(*beat, 3) for beat in bench.beats(frame)]
            bench.rx.send(*words)
            bench.boards[name].expect(*words)
            bench.sources[name].send(*bench.beats(frame))
            bench.sent[name] = [frame]
            bench.came[name].clear()
        await bench.drain()
        assert bench.came == bench.sent


def test_steer() -> None:
    """All coroutines."""
    build_and_test("embnic_steer", "test_steer", params={"DATA_W": 512, "USER_W": 5})


def test_illegal_width_does_not_build() -> None:
    """The headers must lie in one beat."""
    expect_build_failure("embnic_steer", {"DATA_W": 128}, "DATA_W must be 512 and more")
