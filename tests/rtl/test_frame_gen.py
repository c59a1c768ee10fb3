# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_frame_gen: its frames byte by byte, its checker, and the changes between MAC and generator.

The bench plays MAC and core: it answers what was generated with frames of its own making.
"""

import struct
from collections import deque
from typing import Any

import cocotb
import pytest
from net_frames import ERROR, FINAL, LOOKUP, REPLY, Frame

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS

PORT = 0x454E
MASK32 = 0xFFFFFFFF


def lfsr(state: int) -> int:
    """One step, from the polynomial in the header."""
    return state >> 1 ^ (0x80200003 if state & 1 else 0)


class Core:
    """Takes frames, answers them after a while; what the answer is is drawn."""

    def __init__(self, bench: "GenBench") -> None:
        self.bench = bench
        self.answers: deque[tuple[int, bytes]] = deque()
        self.reset()

    def reset(self) -> None:
        """Nothing is under way."""
        self.parts: list[bytes] = []
        self.frames: list[bytes] = []
        self.answers.clear()
        self.sending: list[tuple[int, int]] = []
        self.quiet = 0
        self.seen = {"reply": 0, "error": 0, "bad": 0}
        self.faulty = False
        self.bench.drive(s_axis_tx_tvalid=0, s_axis_tx_tlast=0, core_idle=1)

    def tick(self) -> None:
        """One clock edge."""
        bench = self.bench
        if bench.read("m_axis_rx_tvalid"):
            keep = bench.read("m_axis_rx_tkeep").bit_length()
            self.parts.append(bench.read("m_axis_rx_tdata").to_bytes(bench.bytes, "little")[:keep])
            if bench.read("m_axis_rx_tlast"):
                frame = b"".join(self.parts)
                self.parts.clear()
                self.frames.append(frame)
                if bench.read("sts_generating"):
                    self.answer(frame)
        if not self.sending and self.answers and self.answers[0][0] <= bench.cycle:
            frame = self.answers.popleft()[1]
            step = bench.bytes
            self.sending = [
                (int.from_bytes(frame[at : at + step], "little"), int(at + step >= len(frame)))
                for at in range(0, len(frame), step)
            ]
        pins = {"s_axis_tx_tvalid": 0, "s_axis_tx_tlast": 0}
        if self.sending and bench.tx_stall():
            data, last = self.sending.pop(0)
            pins = {"s_axis_tx_tvalid": 1, "s_axis_tx_tdata": data, "s_axis_tx_tlast": last}
        busy = self.parts or self.answers or self.sending or pins["s_axis_tx_tvalid"]
        bench.drive(**pins, core_idle=int(not busy))

    def answer(self, request: bytes) -> None:
        """Queue the answer to a generated frame, of one to three frames."""
        rng = self.bench.random
        ident, bags, dim = struct.unpack_from("<I", request, 50)[0], 1, 16
        kind = rng.choice(("reply", "reply", "error", "bad")) if self.faulty else "reply"
        count = 1 if kind != "reply" else rng.randrange(1, 4)
        due = self.bench.cycle + rng.randrange(10, 60)
        for at in range(count):
            frame = Frame(
                opcode=ERROR if kind == "error" else REPLY,
                payload=b"" if kind == "error" else rng.randbytes(64 * bags),
                flags=FINAL if at == count - 1 else 0,
                status=1 if kind == "error" else 0,
                request_id=ident,
                bags=bags,
                dim=dim,
                crc_error=1 if kind == "bad" else 0,
            ).build()
            self.answers.append((due, frame))
        self.seen[kind] += 1


class GenBench(Bench):
    """The DUT between a MAC and a core."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.bytes = int(self.params["DATA_W"]) // 8
        self.words = self.bytes // 8
        self.tx_stall = self.stall("never")
        self.want = 0  # frames
        self.board = self.scoreboard("frames")
        self.mac = self.stream_source("s_axis_mac")
        self.core = self.add(Core(self))
        self.counts = {
            name: self.count(f"evt_{name}") for name in ("sent", "reply", "error", "bad")
        }
        self.drive(cfg_on=0, cfg_udp_port=PORT)
        self.shape()

    def shape(
        self, *, beats: int = 4, length_log2: int = 1, window: int = 4, frames: int = 10
    ) -> None:
        """Set what is generated; the dim and the table are fixed."""
        self.config = {
            "beats": beats,
            "length_log2": length_log2,
            "window": window,
            "frames": frames,
        }
        self.drive(**{f"cfg_{name}": value for name, value in self.config.items()})
        self.drive(cfg_table=0x1234, cfg_row_mask=0x3FF, cfg_dim=48)

    def expected(self, count: int) -> list[bytes]:
        """Return the first frames, from the header's words."""
        state, frames = 1, []
        keys = self.config["beats"] * self.words
        length = 1 << self.config["length_log2"]
        for number in range(count):
            payload = b""
            for beat in range(self.config["beats"]):
                for lane in range(self.words):
                    row = (state ^ (0x9E3779B9 * lane & MASK32)) & 0x3FF
                    last = (beat * self.words + lane + 1) % length == 0
                    payload += struct.pack("<Q", row | 0x1234 << 48 | last << 63)
                state = lfsr(state)
            frame = Frame(
                opcode=LOOKUP, payload=payload, tenant=0, request_id=number, bags=keys // length, keys=keys,
                dim=48, mac_dst=0x02454E000002, mac_src=0x02454E000001, ip_src=0x0AFF0001, ip_dst=0x0AFF0002,
                port_src=0x4547, port_dst=PORT,
            )  # fmt: skip
            frames.append(frame.build())
        return frames

    def idle(self) -> bool:
        """Nothing is under way."""
        return not (self.core.parts or self.core.answers or self.core.sending)

    async def generate(self) -> None:
        """Generate the frames of the configuration, compare each, and give the core back."""
        count = self.config["frames"]
        self.core.frames.clear()
        seen = dict(self.core.seen)
        before = {name: counter.total for name, counter in self.counts.items()}
        self.drive(cfg_on=1)
        await self.until(lambda: bool(self.read("sts_generating")), what="the generator")
        assert not self.core.frames
        await self.until(lambda: len(self.core.frames) == count, timeout=20_000, what="frames")
        await self.until(self.idle, timeout=5000, what="answers")
        await self.cycles(40)
        self.drive(cfg_on=0)
        await self.until(lambda: not self.read("sts_generating"), what="the MAC")
        self.board.expect(*self.expected(count))
        for frame in self.core.frames:
            self.board.check(frame)
        grown = {name: counter.total - before[name] for name, counter in self.counts.items()}
        made = {name: self.core.seen[name] - seen[name] for name in seen}
        assert grown == {"sent": count, **made}, (grown, made)

    def mac_frames(self, number: int) -> list[bytes]:
        """Queue frames of the MAC; return their bytes."""
        frames = [
            Frame(payload=self.random.randbytes(8 * n + 8), request_id=n).build()
            for n in range(number)
        ]
        for frame in frames:
            for at in range(0, len(frame), self.bytes):
                part = frame[at : at + self.bytes]
                last = int(at + self.bytes >= len(frame))
                self.mac.send((int.from_bytes(part, "little"), (1 << len(part)) - 1, last, 0))
        return frames


@cocotb.test()
async def directed(dut: Any) -> None:
    """Ten frames as the header says, answered; one key a bag and one bag a frame."""
    bench = GenBench(dut)
    await bench.reset()
    await bench.generate()
    bench.shape(beats=8, length_log2=0, window=1, frames=5)
    await bench.generate()
    log2 = (8 * bench.words).bit_length() - 1
    bench.shape(beats=8, length_log2=log2, window=15, frames=20)
    await bench.generate()
    await bench.drain()


@cocotb.test()
async def answers(dut: Any) -> None:
    """The checker tells answers, ERRORs and broken frames apart, at every rate."""
    bench = GenBench(dut)
    for pattern in STALLS:
        await bench.reset()
        bench.core.faulty = True
        bench.tx_stall = bench.stall(pattern)
        bench.shape(beats=2, length_log2=0, window=6, frames=30)
        await bench.generate()
        assert all(bench.core.seen.values())
    await bench.drain()


@cocotb.test()
async def changes_under_mac_traffic(dut: Any) -> None:
    """No frame of the MAC is cut: it is passed whole or ignored whole."""
    bench = GenBench(dut)
    for pattern in STALLS:
        await bench.reset()
        bench.mac.stall = bench.stall(pattern)
        bench.shape(beats=2, length_log2=1, window=2, frames=3)
        for _ in range(4):
            sent = bench.mac_frames(12)
            bench.core.frames.clear()
            await bench.cycles(bench.random.randrange(2, 60))
            passed = list(bench.core.frames)
            bench.drive(cfg_on=1)
            await bench.until(lambda: bool(bench.read("sts_generating")), timeout=5000, what="on")
            passed = list(bench.core.frames)
            assert passed == sent[: len(passed)]
            bench.want = len(passed) + 3
            await bench.until(lambda: len(bench.core.frames) == bench.want, timeout=5000, what="3")
            await bench.until(bench.idle, timeout=5000, what="answers")
            bench.core.frames.clear()
            bench.drive(cfg_on=0)
            await bench.until(lambda: not bench.read("sts_generating"), timeout=5000, what="off")
            await bench.until(lambda: bench.mac.empty, timeout=5000, what="the line")
            await bench.cycles(8)
            late = list(bench.core.frames)
            assert all(frame in sent for frame in late)
            await bench.cycles(5)
            sent = bench.mac_frames(3)
            bench.core.frames.clear()
            await bench.until(lambda: bench.mac.empty, timeout=5000, what="the line")
            await bench.cycles(3)
            bench.board.expect(*sent)
            for frame in bench.core.frames:
                bench.board.check(frame)
    await bench.drain()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """After a reset the MAC has the core again."""
    bench = GenBench(dut)
    for _ in range(12):
        await bench.reset()
        bench.drive(cfg_on=1)
        await bench.cycles(bench.random.randrange(1, 120))
        bench.drive(cfg_on=0)
        await bench.reset(bench.random.randrange(1, 4))
        assert not bench.read("sts_generating")
        await bench.generate()
    await bench.drain()


@pytest.mark.parametrize("width", [128, 512])
def test_frame_gen(width: int) -> None:
    """Both widths there are."""
    build_and_test("embnic_frame_gen", "test_frame_gen", params={"DATA_W": width})


def test_illegal_width_does_not_build() -> None:
    """DATA_W is 128 or 512."""
    expect_build_failure("embnic_frame_gen", {"DATA_W": 256}, "DATA_W must be 128 or 512")
