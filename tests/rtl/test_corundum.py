# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_corundum: requests answered, everything else between NIC and MAC unchanged, completions sorted."""

from typing import Any

import cocotb
import pytest
from shell_bench import PARAMETERS, ShellBench, on_host, send

from embnic_sim.cocotb_card import CardPins
from embnic_sim.runner import build_and_test
from embnic_sim.streams import Sink, Source

TAG = 0xFFFF
STREAM = ("tdata", "tkeep", "tlast", "tuser")


class CorundumBench(ShellBench):
    """MAC and NIC at the two sides of the application block.

    The card's ends of the frame streams are the MAC's, shared with the frames of others: those of the core carry TAG.
    """

    def __init__(self, dut: Any) -> None:
        super().__init__(
            dut, CardPins(rx="s_axis_sync_rx", tx="m_axis_sync_tx", axil="s_axil_app_ctrl")
        )
        # The card's own sink takes every frame to the MAC: sort them here first.
        self.to_mac = self.scoreboard("frames of the NIC to the MAC")
        take = self.card.tx._callback
        self.card.tx._fields = [self.pin(f"m_axis_sync_tx_{name}") for name in STREAM]

        def sort(beat: tuple[int, int, int, int]) -> None:
            if beat[3] == TAG << 1:
                take(beat[:3])
            else:
                self.to_mac.check(beat)

        self.card.tx._callback = sort
        self.nic_tx = self.stream_source("s_axis_sync_tx", fields=STREAM)
        self.to_nic = self.scoreboard("frames of others to the NIC")
        self.nic_rx = self.stream_sink("m_axis_sync_rx", self.to_nic.check, fields=STREAM)
        pin = self.pin
        self.completed = self.scoreboard("completions to the NIC")
        self.cpl = self.add(
            Source(
                pin("s_axis_sync_tx_cpl_valid"),
                pin("s_axis_sync_tx_cpl_ready"),
                [pin("s_axis_sync_tx_cpl_ts"), pin("s_axis_sync_tx_cpl_tag")],
            )
        )
        self.cpl_nic = self.add(
            Sink(
                pin("m_axis_sync_tx_cpl_valid"),
                pin("m_axis_sync_tx_cpl_ready"),
                [pin("m_axis_sync_tx_cpl_ts"), pin("m_axis_sync_tx_cpl_tag")],
                self.completed.check,
            )
        )

    def others(self, number: int) -> None:
        """Traffic of the NIC in both directions, and completions of its frames and the core's."""
        rng = self.random
        for _ in range(number):
            tag, stamp = rng.randrange(1 << 12), rng.getrandbits(96) << 1
            send(self.nic_tx, self.to_mac, self.frame(), (tag << 1,), (tag << 1,))
            send(self.card.rx, self.to_nic, self.frame(), (stamp,), (stamp,))
            for word in ((rng.getrandbits(96), tag), (rng.getrandbits(96), TAG)):
                self.cpl.send(word)
                if word[1] != TAG:
                    self.completed.expect(word)


@cocotb.test()
async def beside_a_nic(dut: Any) -> None:
    """Bags bit for bit while a NIC's frames pass both ways; none is lost, changed or sent to the wrong side."""
    bench = CorundumBench(dut)
    await bench.reset()

    def host() -> None:
        with bench.open() as engine:
            for pattern in ("never", "half", "bursty"):
                for agent in (bench.nic_tx, bench.nic_rx, bench.cpl, bench.cpl_nic, bench.card.rx):
                    agent.stall = bench.stall(pattern)
                bench.others(12)
                bench.exchange(engine, 2)

    await on_host(host)
    boards = (bench.to_mac, bench.to_nic, bench.completed)
    await bench.until(lambda: not any(board.expected for board in boards), timeout=50_000)
    assert bench.compared > 120
    assert all(board.compared >= 36 for board in boards)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_corundum() -> None:
    """All coroutines."""
    build_and_test("embnic_corundum", "test_corundum", params=PARAMETERS)
