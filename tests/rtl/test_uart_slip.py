# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_uart_slip: packets on the pins, made and read by the host's own code, against what they must do."""

import struct
from collections import deque
from typing import Any

import cocotb
import pytest
from serial_line import SerialBench

from embnic.backends.serial import (
    FRAME,
    INFO,
    MEMORY_READ,
    MEMORY_WRITE,
    REFUSED,
    REGISTER_READ,
    REGISTER_WRITE,
    TO_HOST,
    decode_slip,
    encode_packet,
)
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS, Sink, Source

MEM_BYTES = 4096
BAD_REGISTER = 0x800  # and above: answered with an error


class Card:
    """Registers and memory behind the module's ports."""

    def __init__(self, bench: SerialBench) -> None:
        pin = bench.pin
        self.lanes = int(bench.params["DATA_W"]) // 8
        self.registers: dict[int, int] = {}
        self.memory = bytearray(MEM_BYTES)
        self._aw: deque[int] = deque()
        self._w: deque[int] = deque()

        def source(channel: str, *names: str) -> Source:
            pins = [pin(channel + name) for name in names]
            return bench.add(Source(pin(f"{channel}valid"), pin(f"{channel}ready"), pins))

        def sink(channel: str, call: Any, *names: str) -> Sink:
            pins = [pin(channel + name) for name in names]
            return bench.add(Sink(pin(f"{channel}valid"), pin(f"{channel}ready"), pins, call))

        self.b = source("m_axil_b", "resp")
        self.r = source("m_axil_r", "resp", "data")
        self.sinks = [
            sink("m_axil_aw", self._aw.append, "addr"),
            sink("m_axil_w", self._w.append, "data"),
            sink("m_axil_ar", self._read_register, "addr"),
            sink("mem_wr_", self._write_beat, "addr", "data"),
            sink("mem_rd_", self._read_beat, "addr"),
        ]
        self.data = bench.pulse_source("mem_data", ["mem_data"])
        bench.add(self)

    def reset(self) -> None:
        """Forget what is under way."""
        self._aw.clear()
        self._w.clear()

    def tick(self) -> None:
        """Answer register writes whose address and value are there."""
        while self._aw and self._w:
            addr, value = self._aw.popleft(), self._w.popleft()
            if addr < BAD_REGISTER:
                self.registers[addr] = value
            self.b.send(0 if addr < BAD_REGISTER else 2)

    def _read_register(self, addr: int) -> None:
        self.r.send((0 if addr < BAD_REGISTER else 2, self.registers.get(addr, 0)))

    def _write_beat(self, beat: tuple[int, int]) -> None:
        addr, data = beat
        self.memory[addr : addr + self.lanes] = data.to_bytes(self.lanes, "little")

    def _read_beat(self, addr: int) -> None:
        self.data.send(int.from_bytes(self.memory[addr : addr + self.lanes], "little"))


class SlipBench(SerialBench):
    """The host's end of the line, and a card behind the ports."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut, 4)
        self.card = Card(self)
        self.lanes = self.card.lanes
        names = ("tdata", "tkeep", "tlast")
        self._parts: list[bytes] = []
        self.frames: list[bytes] = []  # that reached the core
        self.rx = self.stream_sink("m_axis_rx", self._take, fields=names)
        self.tx = self.stream_source("s_axis_tx", fields=names)

    async def start(self) -> None:
        """Reset everything."""
        await self.reset()
        self._parts.clear()
        self.frames.clear()
        self.received.clear()

    def _take(self, beat: tuple[int, int, int]) -> None:
        data, keep, last = beat
        self._parts.append(data.to_bytes(self.lanes, "little")[: keep.bit_count()])
        assert keep & (keep + 1) == 0 and (last or keep == (1 << self.lanes) - 1)
        if last:
            self.frames.append(b"".join(self._parts))
            self._parts.clear()

    def frame_of_core(self, data: bytes) -> None:
        """Let the core send a frame."""
        for at in range(0, len(data), self.lanes):
            part = data[at : at + self.lanes]
            word = int.from_bytes(part, "little")
            self.tx.send((word, (1 << len(part)) - 1, int(at + self.lanes >= len(data))))

    def packets(self) -> list[tuple[int, int, int, int, bytes]]:
        """Return what came over the line: kind, tag, length, address, payload."""
        *bodies, rest = bytes(self.received).split(b"\xc0")
        assert not rest, "an unfinished packet"
        self.received.clear()
        found = []
        for body in filter(None, bodies):
            packet = decode_slip(body)
            assert packet is not None, f"a broken packet: {body.hex()}"
            found.append((*struct.unpack_from("<BBHI", packet), packet[8:]))
        return found

    async def ask(self, kind: int, length: int, address: int, payload: bytes = b"") -> Any:
        """Send a request; return length, address and payload of its answer, which must not be a refusal."""
        tag = self.random.randrange(256)
        self.line.send(encode_packet(kind, tag, length, address, payload))
        await self.settle()
        ((found, came, size, where, data),) = self.packets()
        assert (found, came) == (kind | TO_HOST, tag)
        return size, where, data

    def bytes_to_escape(self, number: int) -> bytes:
        """Return random bytes, half of them such that SLIP changes."""
        special = b"\xc0\xdb\xdc\xdd"
        return bytes(
            self.random.choice(special)
            if self.random.random() < 0.5
            else self.random.randrange(256)
            for _ in range(number)
        )


@cocotb.test()
async def registers_and_memory(dut: Any) -> None:
    """Every request and its answer, under every stall of the ports."""
    bench = SlipBench(dut)
    await bench.start()
    for stall in STALLS:
        for sink in (*bench.card.sinks, bench.card.b, bench.card.r):
            sink.stall = bench.stall(stall)
        addr, value = bench.random.randrange(0x200) * 4, bench.random.getrandbits(32)
        await bench.ask(REGISTER_WRITE, 4, addr, value.to_bytes(4, "little"))
        assert bench.card.registers[addr] == value
        _, _, data = await bench.ask(REGISTER_READ, 0, addr)
        assert int.from_bytes(data, "little") == value
        size = bench.random.randrange(1, 9) * bench.lanes
        base = bench.random.randrange(MEM_BYTES // bench.lanes - 8) * bench.lanes
        written = bench.bytes_to_escape(size)
        await bench.ask(MEMORY_WRITE, size, base, written)
        assert bench.card.memory[base : base + size] == written
        _, _, data = await bench.ask(MEMORY_READ, size, base)
        assert data == written
    size, where, data = await bench.ask(INFO, 0, 0)
    assert (size, where, data) == (0, MEM_BYTES, b"")


@cocotb.test()
async def a_refused_register_says_so(dut: Any) -> None:
    """Where the core answers an error, the answer's kind has bit 6."""
    bench = SlipBench(dut)
    await bench.start()
    bench.line.send(encode_packet(REGISTER_READ, 1, 0, BAD_REGISTER))
    await bench.settle()
    bench.line.send(encode_packet(REGISTER_WRITE, 2, 4, BAD_REGISTER, bytes(4)))
    await bench.settle()
    kinds = [(kind, tag) for kind, tag, *_ in bench.packets()]
    assert kinds == [
        (REGISTER_READ | TO_HOST | REFUSED, 1),
        (REGISTER_WRITE | TO_HOST | REFUSED, 2),
    ]


@cocotb.test()
async def frames_both_ways(dut: Any) -> None:
    """Frames of all lengths around a beat, back to back, both ways at once; answers go between frames of the core."""
    bench = SlipBench(dut)
    for stall in ("never", "bursty"):
        await bench.start()
        bench.rx.stall, bench.tx.stall = bench.stall(stall), bench.stall(stall)
        lengths = [1, bench.lanes - 1, bench.lanes, bench.lanes + 1, 3 * bench.lanes, 61, 90]
        inward = [bench.bytes_to_escape(n) for n in lengths]
        outward = [bench.bytes_to_escape(n) for n in lengths]
        for frame in outward:
            bench.frame_of_core(frame)
        for tag, frame in enumerate(inward):
            bench.line.send(encode_packet(FRAME, tag, len(frame), 0, frame))
        await bench.until(lambda b=bench: b.line.empty and b.tx.empty, timeout=200_000)
        bench.line.send(encode_packet(INFO, 9, 0, 0))
        await bench.settle()
        assert bench.frames == inward
        came = bench.packets()
        assert [data for kind, *_, data in came if kind == FRAME | TO_HOST] == outward
        assert [tag for kind, tag, *_ in came if kind == INFO | TO_HOST] == [9]


@cocotb.test()
async def broken_packets_are_dropped_whole(dut: Any) -> None:
    """Each way to break a packet: nothing takes effect, it is counted, and the next packet is served."""
    bench = SlipBench(dut)
    await bench.start()
    good = encode_packet(REGISTER_WRITE, 7, 4, 0x10, b"\x01\x02\x03\x04")
    lanes = bench.lanes
    broken = [
        good[:5] + bytes([good[5] ^ 0x10]) + good[6:],  # a bit
        good[:-3] + good[-1:],  # a byte lost
        good[:-1] + b"\x00" + good[-1:],  # a byte too many
        good[:9] + b"\xdb\x01" + good[9:],  # an escape of nothing
        good[:-1] + b"\xdb\xc0",  # an escape of the end
        b"\xc0\x01\xc0",
        encode_packet(0, 1, 0, 0),  # no such kind
        encode_packet(7, 1, 0, 0),
        encode_packet(REGISTER_WRITE, 1, 5, 0x10, bytes(5)),
        encode_packet(REGISTER_READ, 1, 4, 0x10, bytes(4)),
        encode_packet(MEMORY_READ, 1, lanes - 1, 0),
        encode_packet(MEMORY_READ, 1, lanes, 4),
        encode_packet(MEMORY_READ, 1, 0, 0),
        encode_packet(MEMORY_WRITE, 1, lanes, 8, bytes(lanes)),
        encode_packet(FRAME, 1, 0, 0),
        encode_packet(FRAME, 1, 20, 0, bytes(19)),  # shorter than its header says
        encode_packet(FRAME, 1, 19, 0, bytes(20)),
    ]
    before = bytes(bench.card.memory)
    for number, packet in enumerate(broken, 1):
        bench.line.send(packet)
        await bench.settle()
        assert bench.packets() == []
        assert bench.read("sts_dropped") == number, packet.hex()
    bench.line.send(good, broken=6)  # a stop bit
    await bench.settle()
    assert bench.read("sts_dropped") == len(broken) + 1
    assert not bench.card.registers
    assert not bench.frames
    assert bench.card.memory == before
    await bench.ask(REGISTER_WRITE, 4, 0x10, b"\x01\x02\x03\x04")
    assert bench.card.registers == {0x10: 0x04030201}
    size, _, _ = await bench.ask(INFO, 0, 0)
    assert size == len(broken) + 1


@cocotb.test()
async def longest_and_too_long(dut: Any) -> None:
    """2,048 bytes go through; a byte more is dropped, and it does not touch the buffers."""
    bench = SlipBench(dut)
    await bench.start()
    longest = bench.random.randbytes(2048)
    bench.line.send(encode_packet(FRAME, 0, 2048, 0, longest))
    bench.line.send(encode_packet(FRAME, 0, 2049, 0, bytes(2049)))
    await bench.settle(timeout=2_000_000)
    assert bench.frames == [longest]
    assert bench.read("sts_dropped") == 1


@cocotb.test()
async def two_buffers_and_no_third(dut: Any) -> None:
    """While the core takes nothing, one packet is executed, one more arrives and is dropped at its end."""
    bench = SlipBench(dut)
    await bench.start()
    bench.rx.stall = lambda: False
    for byte in range(3):
        bench.line.send(encode_packet(FRAME, 0, 20, 0, bytes([byte]) * 20))
    await bench.settle()
    assert bench.read("sts_dropped") == 2
    bench.rx.stall = lambda: True
    await bench.cycles(50)
    assert bench.frames == [bytes(20)]
    bench.line.send(encode_packet(FRAME, 0, 3, 0, b"abc"))
    await bench.settle()
    assert bench.frames == [bytes(20), b"abc"]


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset at any moment: nothing of before comes after, and the next request is served."""
    bench = SlipBench(dut)
    for _ in range(12):
        await bench.start()
        bench.line.send(encode_packet(MEMORY_READ, 1, 2 * bench.lanes, 0))
        bench.frame_of_core(bench.random.randbytes(30))
        await bench.cycles(bench.random.randrange(1, 3000))
        await bench.start()
        await bench.cycles(bench.divisor * 12)
        bench.received.clear()
        value = bench.random.getrandbits(32)
        await bench.ask(REGISTER_WRITE, 4, 0x40, value.to_bytes(4, "little"))
        assert bench.card.registers[0x40] == value


@pytest.mark.parametrize("width", [128, 512])
def test_uart_slip(width: int) -> None:
    """All coroutines, at both widths of the core's bus."""
    params = {"DATA_W": width, "DIVISOR": 4, "MEM_BYTES": MEM_BYTES}
    build_and_test("embnic_uart_slip", "test_uart_slip", params=params)


def test_illegal_width_does_not_build() -> None:
    """A header is eight bytes, so a beat must hold it."""
    expect_build_failure("embnic_uart_slip", {"DATA_W": 32}, "DATA_W must be 64 and more")
