# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_core: quiesce, soft reset and live reload under the traffic of another client.

The bench is that of test_core; so is the build.
"""

from collections import Counter as Tally
from typing import Any

import cocotb
import numpy as np
import pytest
from net_frames import ERROR
from test_core import OPCODE_AT, PARAMETERS, RESETS, TABLES, CoreBench, on_host

import embnic
from embnic.gen.wire import Status
from embnic_sim.runner import build_and_test


@cocotb.test()
async def quiesce_and_soft_reset(dut: Any) -> None:
    """Drained means drained; a soft reset at any moment keeps tables, counters and clients."""
    bench = CoreBench(dut)
    await bench.reset()
    engine = await on_host(bench.open)
    driver = engine._card.driver
    number = 0
    for _ in range(RESETS):
        bench.shake()
        bench.card.came = []

        def quiesce() -> None:
            nonlocal number
            for _ in range(6):
                number += 1
                bench.ask(number)
            driver.quiesce()
            reads, beats = len(bench.card.memory.reads), bench.card.received
            number += 1
            bench.ask(number)
            bench.settle()
            # Nothing touched memory after drained, and what came since were BUSY answers.
            assert len(bench.card.memory.reads) == reads
            answers = [frame for frame in bench.card.came if len(frame) > 64]
            late = answers[-(bench.card.received - beats) :]
            assert late and all(frame[OPCODE_AT] == ERROR for frame in late)
            assert late[-1][OPCODE_AT + 2] >> 4 == Status.BUSY
            driver.resume()
            bench.lookup(engine)

        await on_host(quiesce)
        before = await on_host(bench.counters)
        assert before["errors_busy"] == before["errors"] > 0

        def traffic() -> None:
            nonlocal number
            for _ in range(12):
                number += 1
                bench.ask(number)

        await on_host(traffic)
        await bench.cycles(bench.random.randrange(1, 600))

        def reset() -> Tally[str]:
            driver.soft_reset()
            bench.settle()
            counts = bench.counters()
            bench.lookup(engine)
            bench.update(engine)
            bench.lookup(engine)
            bench.settle()
            bench.counters()
            return counts

        counts = await on_host(reset)
        assert counts["soft_resets"] == before["soft_resets"] + 1
        assert counts["reset_timeouts"] == 0
        assert counts["updates"] == before["updates"]
    stats = await on_host(engine.stats)
    assert stats.card["abandoned"] > 0
    assert engine.state == "open" and stats.latency["memory_read"].total > 0
    await on_host(engine.close)


@cocotb.test()
async def silent_memory(dut: Any) -> None:
    """A soft reset waits in vain for memory that is silent, and keeps its late answers away."""
    bench = CoreBench(dut)
    await bench.reset()

    def start() -> embnic.Engine:
        engine = bench.open(patience=400_000)
        bench.registers.MEMORY_TIMEOUT.write(0)
        bench.card.memory.latency = (90_000, 90_000)
        for number in range(3):
            bench.ask(number)
        return engine

    engine = await on_host(start)
    await bench.cycles(300)
    assert not bench.card.memory.idle
    driver = engine._card.driver

    def reset() -> None:
        driver.soft_reset()
        assert bench.registers.STATUS.field("memory_stuck") == 1
        driver._ping()  # what needs no memory is served
        bench.card.memory.latency = (4, 20)
        bench.lookup(engine)  # waits for the gate
        assert bench.registers.STATUS.field("memory_stuck") == 0
        bench.settle()
        counts = bench.counters()
        assert counts["reset_timeouts"] == 1 and counts["abandoned"] == 3
        engine.close()

    await on_host(reset)


@cocotb.test()
async def reload_in_traffic(dut: Any) -> None:
    """Tables are replaced while another client asks: each answer is from the old rows or the new."""
    bench = CoreBench(dut)
    await bench.reset()

    def host() -> None:
        engine = bench.open()
        number = 1 << 20
        old = new = 0
        bench.settle()
        bench.card.came = []
        for _ in range(6):
            bench.shake()
            before = bench.rows["sum"]
            asked = {}
            for _ in range(8):
                number += 1
                asked[number] = bench.ask(number)
            bench.load(engine, "sum")
            number += 1
            asked[number] = bench.ask(number)
            bench.settle()
            for ident, keys in asked.items():
                vectors = bench.answer(ident)
                if vectors is None:
                    continue  # no room when it came: dropped and counted
                choices = [bench.sums(rows, keys) for rows in (before, bench.rows["sum"])]
                assert any(np.array_equal(vectors, choice) for choice in choices), ident
                old += np.array_equal(vectors, choices[0])
                new += np.array_equal(vectors, choices[1])
            bench.lookup(engine)
        assert old > 5 and new >= 6, (old, new)
        bench.settle()
        counts = bench.counters()
        assert counts["table_commits"] == len(TABLES) + 6
        engine.close()

    await on_host(host)


@pytest.mark.parametrize("compute", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_core_operate(compute: int) -> None:
    """Without the kernels and with them."""
    params = PARAMETERS | {"COMPUTE": compute}
    build_and_test("embnic_core", "test_core_operate", params=params)
