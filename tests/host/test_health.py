# SPDX-License-Identifier: Apache-2.0
"""Histograms, error records and conservation, from plain numbers; the driver's operations on a fake card."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FakeCard, ListedBus, fake_driver

from embnic.config import Table
from embnic.errors import ConfigError, DeviceFault
from embnic.gen.registers import COUNTERS
from embnic.gen.wire import DropReason, Status
from embnic.health import ErrorRecord, Histogram, broken_identities
from embnic.registers import Registers
from embnic.stats import Stats

TABLES = [Table("one", rows=5, dim=1, pooling="sum")]


@pytest.mark.parametrize(
    ("counts", "share", "bounds"),
    [
        ((), 0.5, None),
        ((0, 0, 0), 0.5, None),
        ((4, 0, 0), 0.5, (0, 0)),
        ((0, 1, 0), 0.99, (1, 1)),
        ((0, 0, 3, 0, 1), 0.5, (2, 3)),
        ((0, 0, 3, 0, 1), 0.99, (8, 15)),
        ((1, 0, 0, 99), 0.01, (0, 0)),
    ],
)
def test_a_quantile_lies_within_its_bucket(counts, share, bounds):
    assert Histogram(counts).bounds(share) == bounds


def test_quantiles_bound_the_samples_they_come_from():
    rng = np.random.default_rng(3)
    for _ in range(50):
        samples = rng.integers(0, 1 << int(rng.integers(1, 20)), int(rng.integers(1, 200)))
        counts = np.bincount([int(value).bit_length() for value in samples], minlength=32)
        histogram = Histogram(tuple(counts.tolist()))
        assert histogram.total == len(samples)
        for share in (0.5, 0.99):
            low, high = histogram.bounds(share)
            exact = np.sort(samples)[max(int(np.ceil(share * len(samples))) - 1, 0)]
            assert low <= exact <= high


def test_a_histogram_prints_its_bounds():
    assert str(Histogram((0, 0, 3, 0, 1))) == "4 samples, p50 2 to 3, p99 8 to 15"
    stats = Stats("rtl", latency={"memory_read": Histogram((0, 1)), "none": Histogram((0,))})
    assert "memory_read: 1 samples, p50 1 to 1, p99 1 to 1 simulated cycles" in str(stats)
    assert "none" not in str(stats)
    assert "1 cycles" in str(Stats("pynq", latency={"memory_read": Histogram((0, 1))}))


def test_an_error_record_is_decoded():
    words = (0x89ABCDEF, 0x02 << 24 | 6 << 16 | 0x1234, 7, 0x0A02 << 16 | 40000, 24 << 16 | 9)
    dropped = ErrorRecord.decode(words)
    assert dropped.cycle == 0x123489ABCDEF
    assert (dropped.drop, dropped.status) == (DropReason.CRC, None)
    assert (dropped.request_id, dropped.ip_low, dropped.port) == (7, 0x0A02, 40000)
    assert (dropped.tenant, dropped.payload_bytes) == (9, 24)
    assert "dropped CRC: LOOKUP request 0x00000007" in str(dropped) and "*.*.10.2" in str(dropped)
    refused = ErrorRecord.decode((0, 0xEE << 24 | (16 + 4) << 16, 0, 0, 0))
    assert (refused.drop, refused.status) == (None, Status.OUT_OF_RANGE)
    assert "ERROR OUT_OF_RANGE: opcode 0xee" in str(refused)


def good() -> dict[str, int]:
    counts = dict.fromkeys((counter.name for counter in COUNTERS), 0)
    return counts | {
        "rx_frames": 12,
        "drop_crc": 2,
        "rx_accepted": 10,
        "replies": 6,
        "acks": 1,
        "errors": 2,
        "abandoned": 1,
        "keys": 9,
        "keys_null": 1,
        "keys_refused": 2,
        "row_hits": 3,
        "row_misses": 2,
        "keys_abandoned": 1,
    }


def test_counters_that_add_up_break_nothing():
    assert broken_identities(good()) == []


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        *(
            ("rx_frames", "rx_frames 13 is not"),
            ("drop_tag", "+ drops 3"),
            ("acks", "rx_accepted 10"),
        ),
        *(
            ("abandoned", "rx_accepted 10"),
            ("keys_padding", "keys 9 is not"),
            ("row_hits", "keys 9"),
            ("remote_answers", "remote_fetches 0 is not"),
            ("remote_fetches", "remote_fetches 1 is not"),
        ),
    ],
)
def test_a_counter_too_many_is_noticed(name, broken):
    counts = good()
    counts[name] += 1
    (found,) = broken_identities(counts)
    assert broken in found


def test_the_log_leaves_out_what_was_overwritten_meanwhile():
    accesses = [("read", "ERROR_TOTAL", 5)]
    for number in range(1, 5):
        accesses.append(("write", "ERROR_SEL", number % 4))
        accesses += [("read", f"ERROR_WORD[{at}]", 10 * number + at) for at in range(5)]
    with ListedBus(*accesses, ("read", "ERROR_TOTAL", 7)) as bus:
        found = Registers(bus).errors(4)
    assert [words[0] for words in found] == [30, 40]


def test_histograms_are_read_bucket_by_bucket():
    accesses = []
    for bucket in range(3):
        accesses.append(("write", "LATENCY_BUCKET", bucket))
        accesses += [("read", f"LATENCY_COUNT[{at}]", 10 * at + bucket) for at in range(4)]
    with ListedBus(*accesses) as bus:
        assert Registers(bus).latency(3) == [(0, 1, 2), (10, 11, 12), (20, 21, 22), (30, 31, 32)]


def attached() -> tuple[FakeCard, object]:
    card = FakeCard()
    driver = fake_driver(card)
    driver.attach()
    driver.define(TABLES)
    return card, driver


def test_a_table_moves_to_and_fro_with_every_load():
    card, driver = attached()
    seen = []
    for turn in range(4):
        driver.load("one", np.full((5, 1), turn, np.float32))
        descriptor = card.descriptors[0]
        seen.append((descriptor["base"], descriptor["generation"]))
        base = descriptor["base"]
        assert card.memory[base : base + 4].view("<f4")[0] == turn
    bases = [base for base, _ in seen]
    assert bases[0] == bases[2] != bases[1] == bases[3]
    assert [generation for _, generation in seen] == [0, 2, 3, 4]


def test_conservation_is_checked_by_the_driver():
    card, driver = attached()
    driver.check_conservation()
    card.counters["rx_frames"] += 1
    with pytest.raises(DeviceFault, match=r"its counters .*rx_frames"):
        driver.check_conservation()


def test_a_card_without_a_generator_is_refused():
    _, driver = attached()
    with pytest.raises(ConfigError, match="generator"):
        driver.generate("one")
