# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_opennic: the 250-MHz box's streams, its two clocks and its reset, with a NIC's traffic beside."""

from typing import Any

import cocotb
import pytest
from cocotb.clock import Clock
from shell_bench import PARAMETERS, ShellBench, on_host, send

from embnic_sim.bench import Bench
from embnic_sim.cocotb_card import CardPins
from embnic_sim.runner import build_and_test

STREAM = ("tdata", "tkeep", "tlast", "tuser_size")
FUNCTION, PORT = 0x0001, 0x0040


class AxilSide(Bench):
    """The domain of axil_aclk: 125 MHz, and mod_rstn."""

    clock_ns = 8

    def __init__(self, dut: Any) -> None:
        super().__init__(dut, reset=None, clock="axil_aclk")

    def start_clock(self) -> None:
        """Start beside the other clock, not in step with it."""
        Clock(self._clock, 8.2, unit="ns", period_high=4.1).start(start_high=False)


class Registers:
    """Hands the card's agents of the register bus to the domain of axil_aclk."""

    def __init__(self, bench: ShellBench, side: AxilSide) -> None:
        card = bench.card
        for agent in (*card._sources.values(), *card._sinks.values()):
            bench._agents.remove(agent)
            side.add(agent)


class OpenNicBench(ShellBench):
    """CMAC adapter and queues at the two sides of the box.

    The card's ends of the frame streams are the adapter's, shared with the frames of others; the core's are told by
    their UDP source port, which the host's frames do not have here.
    """

    def __init__(self, dut: Any) -> None:
        self.axil = AxilSide(dut)
        super().__init__(
            dut,
            CardPins(rx="s_axis_adap_rx_250mhz", tx="m_axis_adap_tx_250mhz"),
            reset=None,
            clock="axis_aclk",
        )
        Registers(self, self.axil)
        self.to_wire = self.scoreboard("frames of the host to the wire")
        take, first = self.card.tx._callback, [True, False]
        self.card.tx._fields = [
            self.pin(f"m_axis_adap_tx_250mhz_{name}")
            for name in (*STREAM, "tuser_src", "tuser_dst")
        ]
        self.sizes = 0

        def sort(beat: tuple[int, ...]) -> None:
            data, keep, last, size, src, dst = beat
            assert (src, dst) == (FUNCTION, PORT)
            if first[0]:
                first[1] = (data >> 8 * 34 & 0xFFFF) == 0x4E45  # source port 0x454E, of the core
                self.sizes = 0
            first[0] = bool(last)
            self.sizes += keep.bit_count()
            assert not last or size == self.sizes, f"tuser_size {size} of a frame of {self.sizes}"
            if first[1]:
                take(beat[:3])
            else:
                self.to_wire.check(beat[:4])

        self.card.tx._callback = sort
        self.card.rx._fields.append(self.pin("s_axis_adap_rx_250mhz_tuser_size"))
        self.card._rx_fields = 4
        self.h2c = self.stream_source("s_axis_qdma_h2c", fields=STREAM)
        self.to_host = self.scoreboard("frames of others to the host")
        self.c2h = self.stream_sink("m_axis_qdma_c2h", self.to_host.check, fields=STREAM)

    async def reset(self, cycles: int = 8) -> None:
        """mod_rstn low, until mod_rst_done."""
        self._in_reset = True
        for agent in (*self._agents, *self.axil._agents):
            agent.reset()
        self.pin("mod_rstn").write(0)
        await self.cycles(cycles)
        self.pin("mod_rstn").write(1)
        started = self.cycle
        await self.until(lambda: self.read("mod_rst_done") == 1, timeout=2000)
        assert self.cycle - started > 200, "a reset is as long as 128 cycles of axil_aclk"
        self._in_reset = False

    def others(self, number: int) -> None:
        """Traffic of the host's queues in both directions."""
        for _ in range(number):
            frame = bytearray(self.frame())
            frame[34:36] = b"\x01\x02"
            send(self.h2c, self.to_wire, bytes(frame), (len(frame),), (len(frame),))
            frame = self.frame()
            send(self.card.rx, self.to_host, frame, (len(frame),), (len(frame),))


@cocotb.test()
async def beside_the_queues(dut: Any) -> None:
    """Bags bit for bit while the host's queues use the port, too; sizes and destinations are OpenNIC's."""
    bench = OpenNicBench(dut)
    await bench.reset()

    def host() -> None:
        with bench.open() as engine:
            for pattern in ("never", "half", "bursty"):
                for agent in (bench.h2c, bench.c2h, bench.card.rx):
                    agent.stall = bench.stall(pattern)
                bench.others(12)
                bench.exchange(engine, 2)

    await on_host(host)
    boards = (bench.to_wire, bench.to_host)
    await bench.until(lambda: not any(board.expected for board in boards), timeout=50_000)
    assert bench.compared > 120
    assert all(board.compared >= 36 for board in boards)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_opennic() -> None:
    """All coroutines."""
    build_and_test("embnic_opennic", "test_opennic", params=PARAMETERS)
