# SPDX-License-Identifier: Apache-2.0
"""Tables whose rows are held by other cards: who takes them, what the card is told, where rows and updates go."""

import numpy as np
import pytest
from cases import same_bits, seeded
from fakes import FakeCard, fake_driver

from embnic.backends.cpu import CpuBackend
from embnic.backends.model import ModelBackend
from embnic.backends.reference import ReferenceBackend
from embnic.bags import Bags
from embnic.config import Table
from embnic.errors import ConfigError
from embnic.gen.configs import CONFIGS
from embnic.model import CardModel, Latencies, Requests
from embnic.rows import pack

NEAR = Table("near", rows=20, dim=24, pooling="sum")
FAR = Table("far", rows=30, dim=24, pooling="sum", owner=7)


class Owners:
    """The memory of other cards: every write is kept."""

    def __init__(self) -> None:
        self.memory = np.zeros(1 << 16, np.uint8)
        self.next_free = 4096

    def alloc(self, nbytes: int, align: int = 4096) -> int:
        at = -(-self.next_free // align) * align
        self.next_free = at + nbytes
        return at

    def read(self, addr: int, nbytes: int) -> np.ndarray:
        return self.memory[addr : addr + nbytes].copy()

    def write(self, addr: int, data: np.ndarray) -> None:
        self.memory[addr : addr + len(data)] = data

    def sync(self) -> None:
        pass


def test_an_owner_makes_a_table_remote():
    assert FAR.remote and not NEAR.remote
    assert repr(FAR) == "Table('far', rows=30, dim=24, dtype='fp32', pooling='sum', owner=7)"
    for owner in (-1, 256, True, "7", 1.0):
        with pytest.raises(ConfigError, match=r"owner is .*0 to 255"):
            Table("t", rows=1, dim=1, pooling="sum", owner=owner)


def test_a_card_without_remote_fetches_refuses_it():
    driver = fake_driver(FakeCard(), owners=Owners())
    driver.attach()
    assert not driver.takes_remote
    with pytest.raises(ConfigError, match=r"'far'.*held by card 7.*CAP_REMOTE_FETCHES is 0"):
        driver.define([NEAR, FAR])
    driver.define([NEAR])


def test_a_driver_without_the_owners_memory_refuses_it():
    driver = fake_driver(FakeCard(CAP_REMOTE_FETCHES=16))
    driver.attach()
    assert not driver.takes_remote
    with pytest.raises(ConfigError, match="no other card's memory was given"):
        driver.define([FAR])


def test_the_descriptor_and_the_rows_go_where_they_belong():
    rng = seeded()
    card, owners = FakeCard(CAP_REMOTE_FETCHES=16), Owners()
    driver = fake_driver(card, owners=owners)
    driver.attach()
    assert driver.takes_remote
    driver.define([NEAR, FAR])
    rows = {t.name: rng.standard_normal((t.rows, t.dim), dtype=np.float32) for t in (NEAR, FAR)}
    for name, values in rows.items():
        driver.load(name, values)
    near, far = card.descriptors[0], card.descriptors[1]
    assert (near["remote"], near["owner"]) == (0, 0)
    assert (far["remote"], far["owner"]) == (1, 7)

    def held(memory, table, base):
        return memory[base : base + table.nbytes]

    assert np.array_equal(
        held(card.memory, NEAR, near["base"]), pack(NEAR, rows["near"]).reshape(-1)
    )
    assert np.array_equal(held(owners.memory, FAR, far["base"]), pack(FAR, rows["far"]).reshape(-1))
    # An update goes to the owner, beside the card, which forgets what it kept.
    updates = card.counters["updates"]
    new = rng.standard_normal((2, 24), dtype=np.float32)
    driver.update("far", np.array([3, 29]), new)
    rows["far"][[3, 29]] = new
    assert np.array_equal(held(owners.memory, FAR, far["base"]), pack(FAR, rows["far"]).reshape(-1))
    assert card.counters["updates"] == updates and driver.link_counters.direct_rows == 2
    # A load of new rows takes other memory of the owner, and another generation.
    driver.load("far", new.repeat(15, axis=0))
    again = card.descriptors[1]
    assert again["base"] != far["base"] and again["generation"] != far["generation"]
    assert np.array_equal(
        held(owners.memory, FAR, again["base"]), pack(FAR, new.repeat(15, axis=0)).reshape(-1)
    )


def test_on_a_host_an_owner_makes_no_difference():
    rng = seeded()
    rows = rng.standard_normal((30, 24), dtype=np.float32)
    bags = Bags.from_lists({"far": [rng.integers(0, 30, 5).tolist() for _ in range(20)]})
    pooled = []
    for backend in (ReferenceBackend([FAR]), CpuBackend([FAR]), ModelBackend([FAR], "tiny")):
        backend.load("far", rows)
        pooled.append(backend.lookup(bags)["far"])
    assert all(same_bits(pooled[0], other) for other in pooled[1:])


def test_the_model_of_a_card_without_remote_fetches_refuses_it():
    assert CONFIGS["edge"].remote_fetches == 0
    with pytest.raises(ConfigError, match="'model' fetches no rows of others"):
        ModelBackend([FAR], "edge")


@pytest.mark.parametrize("engine", ["native", "python"])
def test_the_model_fetches_remote_rows_beside_its_memory(engine):
    rng = seeded()
    card = CardModel("tiny", latencies=Latencies(remote=700), engine=engine)
    card.define(0, NEAR, 4096)
    card.define(1, FAR, 8192)
    last = np.uint64(1 << 63)

    def run(table: int, rows: list[int]) -> int:
        keys = np.array(rows, np.uint64) | np.uint64(table << 48)
        keys[-1] |= last
        before = card.counters()["cycles"]
        card.run(Requests(keys, np.array([0, len(rows)]), np.array([2]), np.array([0])))
        return card.counters()["cycles"] - before

    near, far = run(0, [1]), run(1, [1])
    assert far - near > 400, "another card is farther away"
    counts = card.counters()
    assert (counts["fetches"], counts["remote_fetches"]) == (4, 2)
    assert counts["remote_beats"] == counts["fetch_beats"] == 8
    assert run(1, [1]) <= near, "it is kept like any other"
    # Many bags at once: as many lines as their slots have places are asked for together.
    rows = rng.permutation(30).tolist()
    keys = (np.array(rows, np.uint64) | np.uint64(1 << 48)) | last
    before = card.counters()["cycles"]
    card.run(Requests(keys, np.array([0, 30]), np.array([2]), np.array([0])))
    cycles = card.counters()["cycles"] - before
    # Two lines a row, eight places a slot; one of the two slots may wait for the next local bag.
    assert 700 * 3 < cycles < 700 * 10


def test_both_engines_of_the_model_agree_on_mixed_bags():
    rng = seeded()
    parts = []
    cards = [
        CardModel("tiny", latencies=Latencies(remote=333), engine=e) for e in ("native", "python")
    ]
    keys, splits = [], [0]
    for _ in range(40):
        for _ in range(int(rng.integers(1, 5))):
            table, count = int(rng.integers(2)), int(rng.integers(1, 7))
            bag = rng.integers(0, 20, count).astype(np.uint64) | np.uint64(table << 48)
            bag[-1] |= np.uint64(1 << 63)
            keys.append(bag)
        splits.append(sum(map(len, keys)))
    shape = np.full(40, 2), np.zeros(40, np.int64)
    requests = Requests(np.concatenate(keys), np.array(splits), *shape)
    for card in cards:
        card.define(0, NEAR, 4096)
        card.define(1, FAR, 8192)
        card.record(10_000)
        card.run(requests)
        parts.append((card.counters(), card.decisions()))
    assert parts[0][0] == parts[1][0]
    for mine, its in zip(parts[0][1], parts[1][1], strict=True):
        assert np.array_equal(mine, its)
    assert parts[0][0]["remote_fetches"] > 20
