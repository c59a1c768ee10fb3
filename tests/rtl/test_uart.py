# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_uart: bytes both ways, clocks that differ, glitches, lost stop bits, reset in a byte."""

from typing import Any

import cocotb
import pytest
from serial_line import SerialBench

from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS


class UartBench(SerialBench):
    """Bytes in at the pin and out at the port, and the other way."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut, 25)
        self.divisor = int(self.params["DIVISOR"])
        self.line.divisor = self.listener._divisor = self.divisor
        self.got: list[int] = []
        self.monitor("byte_valid", ["byte_data"], self.got.append)
        self.errors = self.count("evt_framing_error")
        self.source = self.stream_source("s_axis_tx")

    def random_bytes(self, number: int) -> bytes:
        """Return random bytes, the corners among them."""
        return bytes([0x00, 0xFF, 0x55, 0xAA, *self.random.randbytes(number)])


@cocotb.test()
async def both_ways(dut: Any) -> None:
    """300 bytes each way at once, with pauses and stalls; none is lost, changed or made up."""
    bench = UartBench(dut)
    for stall in STALLS:
        await bench.reset()
        bench.got.clear()
        bench.received.clear()
        bench.source.stall = bench.stall(stall)
        bench.line.pause = 0.3
        inward, outward = bench.random_bytes(60), bench.random_bytes(60)
        bench.line.send(inward)
        bench.source.send(*outward)
        await bench.until(lambda: bench.source.empty, timeout=100_000)
        await bench.settle()
        assert bytes(bench.got) == inward
        assert bytes(bench.received) == outward
    assert bench.errors.total == 0


@cocotb.test()
async def another_oscillator(dut: Any) -> None:
    """Bits that are up to 3 % longer or shorter are read right where a bit has cycles enough to tell."""
    bench = UartBench(dut)
    skews = (-0.03, 0.03) if bench.divisor >= 16 else (0.0,)
    for skew in skews:
        await bench.reset()
        bench.got.clear()
        bench.line.skew = skew
        sent = bench.random_bytes(50)
        bench.line.send(sent)
        await bench.settle()
        assert bytes(bench.got) == sent, f"skew {skew}"


@cocotb.test()
async def a_lost_stop_bit_is_an_error(dut: Any) -> None:
    """The byte does not come, the next one does."""
    bench = UartBench(dut)
    await bench.reset()
    bench.line.send(b"abc", broken=1)
    await bench.settle()
    assert bytes(bench.got) == b"ac"
    assert bench.errors.total == 1


@cocotb.test()
async def a_glitch_is_no_byte(dut: Any) -> None:
    """A line that is 0 for less than half a bit."""
    bench = UartBench(dut)
    await bench.reset()
    bench.line._pin.write(0)
    await bench.cycles(max(bench.divisor // 2 - 2, 1))
    bench.line._pin.write(1)
    await bench.cycles(30 * bench.divisor)
    assert not bench.got
    assert bench.errors.total == 0
    bench.line.send(b"x")
    await bench.settle()
    assert bytes(bench.got) == b"x"


@cocotb.test()
async def reset_in_a_byte(dut: Any) -> None:
    """What was half there is forgotten, both ways; the line is idle at once."""
    bench = UartBench(dut)
    for _ in range(12):
        await bench.reset()
        bench.got.clear()
        bench.line.send(b"\x00\x81")
        bench.source.send(0x00, 0x81)
        await bench.cycles(bench.random.randrange(1, 20 * bench.divisor))
        await bench.reset()
        bench.got.clear()
        bench.received.clear()
        assert bench.read("uart_tx") == 1
        bench.line.send(b"ok")
        bench.source.send(*b"ok")
        await bench.until(lambda: bench.source.empty, timeout=10_000)
        await bench.settle()
        assert bytes(bench.got) == b"ok"
        assert bytes(bench.received) == b"ok"


@pytest.mark.parametrize("divisor", [4, 25, 434])
def test_uart(divisor: int) -> None:
    """All coroutines at the smallest divisor, the board's, and 115,200 baud of 50 MHz."""
    build_and_test(
        "embnic_uart",
        "test_uart",
        params={"DIVISOR": divisor},
        testcase=None if divisor < 100 else "a_lost_stop_bit_is_an_error",
    )


def test_illegal_divisor_does_not_build() -> None:
    """A bit of three cycles has no middle."""
    expect_build_failure("embnic_uart", {"DIVISOR": 3}, "DIVISOR must be 4 to 65,535")
