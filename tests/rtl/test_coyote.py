# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_coyote: the host's driver through a vFPGA's streams, registers and queues of card memory."""

from collections import deque
from typing import Any

import cocotb
import pytest
from shell_bench import PARAMETERS, ShellBench, on_host

from embnic_sim.bench import Bench
from embnic_sim.cocotb_card import CardPins
from embnic_sim.runner import build_and_test
from embnic_sim.streams import Sink, Source

PINS = CardPins(rx="axis_host_recv", tx="axis_host_send", axil="axi_ctrl", register_step=8)
MEMORY = 1 << 17


class CardMemory:
    """Coyote's card memory: requests answered in their order, data in streams, a completion a write."""

    def __init__(self, bench: Bench) -> None:
        pin = bench.pin
        self.data = bytearray(MEMORY)
        self.requests = self.bursts = 0
        self._writes: deque[tuple[int, int]] = deque()
        self._beats: deque[bytes] = deque()

        def sink(prefix: str, call: Any, *names: str) -> Sink:
            pins = [pin(f"{prefix}_{name}") for name in names]
            return bench.add(Sink(pin(f"{prefix}_{'t' if 'axis' in prefix else ''}valid"),
                                  pin(f"{prefix}_{'t' if 'axis' in prefix else ''}ready"), pins, call))  # fmt: skip

        self.reads = sink("sq_rd", self._read, "vaddr", "len")
        self.writes = sink("sq_wr", self._write, "vaddr", "len")
        self.send = sink("axis_card_send", self._take, "tdata", "tkeep", "tlast")
        self.recv = bench.stream_source("axis_card_recv", fields=["tdata"])
        self.done = bench.add(Source(pin("cq_wr_valid"), pin("cq_wr_ready"), []))
        bench.add(self)

    def reset(self) -> None:
        """Forget what is under way."""
        self._writes.clear()
        self._beats.clear()

    def _read(self, request: tuple[int, int]) -> None:
        addr, size = request
        assert size % 64 == 0 and 0 < size <= 4096 and addr + size <= MEMORY
        self.requests += 1
        for at in range(addr, addr + size, 64):
            self.recv.send(int.from_bytes(self.data[at : at + 64], "little"))

    def _write(self, request: tuple[int, int]) -> None:
        assert request[1] % 64 == 0 and request[0] + request[1] <= MEMORY
        self._writes.append(request)

    def _take(self, beat: tuple[int, int, int]) -> None:
        data, keep, last = beat
        assert keep == (1 << 64) - 1
        self._beats.append(data.to_bytes(64, "little"))
        if last:
            self.bursts += 1

    def tick(self) -> None:
        """Complete a write whose data are there."""
        if self._writes and len(self._beats) * 64 >= self._writes[0][1]:
            addr, size = self._writes.popleft()
            for at in range(addr, addr + size, 64):
                self.data[at : at + 64] = self._beats.popleft()
            self.done.send(())


class CoyoteBench(ShellBench):
    """aresetn is low in reset."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut, PINS, memory=CardMemory, reset=None, clock="aclk")

    async def reset(self, cycles: int = 8) -> None:
        """Hold aresetn low."""
        self._in_reset = True
        self.pin("aresetn").write(0)
        for agent in self._agents:
            agent.reset()
        await self.cycles(cycles)
        self.pin("aresetn").write(1)
        await self.cycles(1)
        self._in_reset = False


@cocotb.test()
async def lookups_and_updates(dut: Any) -> None:
    """Bags bit for bit through the vFPGA's ports, under stalls of memory and streams; a reset; again."""
    bench = CoyoteBench(dut)
    memory: CardMemory = bench.card.memory

    def host() -> None:
        with bench.open() as engine:
            for pattern in ("never", "half", "bursty"):
                for agent in (memory.reads, memory.writes, memory.send, memory.recv, bench.card.rx):
                    agent.stall = bench.stall(pattern)
                bench.exchange(engine, 2)

    for _ in range(2):
        await bench.reset()
        await on_host(host)
    assert bench.compared > 250
    assert memory.requests > 100
    assert memory.bursts >= 12


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_coyote() -> None:
    """All coroutines."""
    build_and_test("embnic_coyote", "test_coyote", params=PARAMETERS)
