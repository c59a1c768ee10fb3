# SPDX-License-Identifier: Apache-2.0
"""The row cache of the GPU path: bits, counters, and the hazards of prefetching (FBGEMM issue 1893) by name.

The interpreter does everything at once. `LateMain` puts the caller's lane behind: what it is asked for happens only
when somebody waits for it, as late as the events allow. So a missing wait or lock shows as other bits, and the tests
prove that by taking the waits and locks away.
"""

from __future__ import annotations

import contextlib
import os

import numpy as np
import pytest
from cases import difficult_rows, random_bags, same_bits, seeded

from embnic.backends.reference import ReferenceBackend
from embnic.bags import Bags
from embnic.config import Table
from embnic.errors import ConfigError
from embnic.gen.wire import Pooling

if os.environ.get("REQUIRE_TORCH") != "1":
    pytest.importorskip(
        "torch", reason="the GPU path needs torch; REQUIRE_TORCH=1 makes this a failure"
    )
    pytest.importorskip(
        "triton", reason="the GPU path needs triton; REQUIRE_TORCH=1 makes this a failure"
    )

import torch

from embnic.backends import gpu_cache
from embnic.backends.gpu_tables import GpuTables
from embnic.backends.gpu_train import RowwiseAdagrad, Sgd

ITEM = [Table("item", rows=300, dim=4, pooling="sum")]
SMALL = 2 * 32 * 16  # device_bytes for 64 rows of 16 bytes


class LateMain:
    """The caller's lane, doing nothing before it must; stands for both lanes' events."""

    def __init__(self, held):
        self.todo = []
        self.done = 0
        self.deaf = False  # the side lane does not wait
        self.held = held
        launch = held.launch
        held.launch = lambda *given: self.todo.append(lambda: launch(*given))
        step = held.trainer.step

        def later(*given, **named):
            self.todo.append(lambda: step(*given, **named))
            return torch.zeros(2, dtype=torch.int64)

        held.trainer.step = later
        held.device.main = held.device.side = self
        held.device.synchronize = lambda: self.catch_up(len(self.todo))

    def run(self):
        return contextlib.nullcontext()

    def mark(self):
        return len(self.todo)

    def wait(self, point):
        if point is not None and not self.deaf:
            self.catch_up(point)

    def keep(self, tensor):
        pass

    def catch_up(self, point):
        with np.errstate(all="ignore"):
            while self.done < point:
                self.todo[self.done]()
                self.done += 1


def open_late(rng, tables=ITEM, size=SMALL):
    """Return cached tables behind a late lane, the reference, and the lane."""
    held, reference = GpuTables(tables, device_bytes=size), ReferenceBackend(tables)
    for table in tables:
        rows = difficult_rows(rng, table, "normal")
        held.load(table.name, rows)
        reference.load(table.name, rows)
    if held.device.on_gpu:
        pytest.skip(
            "the interpreter's lanes are replaced here; test_gpu_device.py runs real streams"
        )
    return held, reference, LateMain(held)


def bags_of(ids):
    """Return one bag for every two ids."""
    return Bags.from_lists({"item": [ids[at : at + 2] for at in range(0, len(ids), 2)]})


def bits_of(tensor):
    return tensor.cpu().numpy()


# -- bits and counters -------------------------------------------------------------------------------------------------


def test_mixed_tables_behind_a_cache_have_the_bits_of_the_reference():
    rng = seeded()
    tables = [
        Table("a", rows=300, dim=4, pooling="sum"), Table("b", rows=200, dim=6, pooling="mean", padding_idx=3),
        Table("c", rows=150, dim=20, pooling="max", dtype="fp16"),
        Table("d", rows=90, dim=40, pooling="sum", dtype="int8"),
        Table("n", rows=80, dim=5, pooling="none", padding_idx=0),
    ]  # fmt: skip
    held, reference = GpuTables(tables, device_bytes=24_000), ReferenceBackend(tables)
    for table in tables:
        rows = difficult_rows(rng, table, "normal")
        held.load(table.name, rows)
        reference.load(table.name, rows)
    for at in range(3):
        parts = [random_bags(rng, t, 5, longest=9) for t in tables[at % 2 :]]
        bags = Bags({name: part[name] for part in parts for name in part})
        got, want = held.lookup(bags), reference.lookup(bags)
        for name in want:
            assert same_bits(got[name], want[name]), name
    stats = held.stats()
    assert stats["cached"] == 1
    assert stats["cache_calls"] == 3
    assert stats["cache_keys"] == stats["keys"]


def test_the_counters_add_up():
    held, reference = GpuTables(ITEM, device_bytes=SMALL), ReferenceBackend(ITEM)
    rows = difficult_rows(seeded(), ITEM[0], "normal")
    held.load("item", rows)
    reference.load("item", rows)
    first = bags_of([1, 1, 2, 3])
    for bags, misses, unique in ((first, 4, 3), (first, 4, 3), (bags_of([3, 4]), 5, 4)):
        assert same_bits(held.lookup(bags)["item"], reference.lookup(bags)["item"])
        stats = held.stats()
        assert (stats["cache_misses"], stats["cache_unique_misses"]) == (misses, unique)
    assert (stats["cache_evictions"], stats["cache_conflicts"]) == (0, 0)
    many = bags_of(list(range(300)))  # more different rows than lines
    assert same_bits(held.lookup(many)["item"], reference.lookup(many)["item"])
    assert held.stats()["cache_conflicts"] > 200


def test_a_row_that_comes_often_stays_while_others_come_once(monkeypatch):
    monkeypatch.setattr(gpu_cache, "_FILLED", 0)  # as a cache that was filled before
    rng = seeded()
    held = GpuTables(ITEM, device_bytes=SMALL)
    held.load("item", difficult_rows(rng, ITEM[0], "normal"))
    once = iter(rng.permutation(np.arange(10, 300)).tolist())
    misses = []
    for _ in range(8):
        before = held.stats()["cache_misses"]
        held.lookup(bags_of([0, 1, 2, 3] + [next(once) for _ in range(20)]))
        misses.append(held.stats()["cache_misses"] - before)
    assert misses[0] == 24
    assert misses[-4:] == [20] * 4


def test_batches_are_numbered_again_after_the_last_number(monkeypatch):
    monkeypatch.setattr(gpu_cache, "_LAST_BATCH", 3)
    rng = seeded()
    held, reference = GpuTables(ITEM, device_bytes=SMALL), ReferenceBackend(ITEM)
    rows = difficult_rows(rng, ITEM[0], "normal")
    held.load("item", rows)
    reference.load("item", rows)
    for _ in range(6):
        bags = bags_of(rng.integers(0, 300, 16).tolist())
        batch = held.prefetch(bags)
        assert batch.batch.number <= 4
        assert same_bits(bits_of(held.lookup_flat(batch)["item"]), reference.lookup(bags)["item"])


def test_a_batch_is_used_once():
    held = GpuTables(ITEM, device_bytes=SMALL)
    held.load("item", np.zeros((300, 4), np.float32))
    batch = held.prefetch(bags_of([1, 2]))
    held.lookup_flat(batch)
    with pytest.raises(ConfigError, match="was released"):
        held.lookup_flat(batch)


# -- the hazards -------------------------------------------------------------------------------------------------------


def pipeline(rng, *, deaf=False):
    """Look six batches up, each prefetched one ahead, with the caller's lane late; return how many have other bits."""
    held, reference, late = open_late(rng)
    late.deaf = deaf
    batches = [bags_of(rng.integers(0, 300, 40).tolist()) for _ in range(6)]
    wrong, vectors = 0, []
    ahead = held.prefetch(batches[0])
    for at in range(len(batches)):
        now, ahead = ahead, held.prefetch(batches[at + 1]) if at + 1 < len(batches) else None
        vectors.append(held.lookup_flat(now, check=False)["item"])
    late.catch_up(len(late.todo))
    for bags, found in zip(batches, vectors, strict=True):
        wrong += not same_bits(bits_of(found), reference.lookup(bags)["item"])
    assert held.stats()["cache_evictions"] > 50
    return wrong


def test_hazard_a_prefetched_line_is_not_evicted_before_it_was_used():
    rng = seeded()
    held, reference, late = open_late(rng)
    first = bags_of(rng.permutation(300)[:60].tolist())
    held_batch = held.prefetch(first)
    for _ in range(3):  # more rows than the cache has lines, while the first batch waits
        held.lookup_flat(held.prefetch(bags_of(rng.permutation(300)[:80].tolist())), check=False)
    found = held.lookup_flat(held_batch, check=False)["item"]
    late.catch_up(len(late.todo))
    assert same_bits(bits_of(found), reference.lookup(first)["item"])
    assert held.stats()["cache_conflicts"] > 0


def test_without_the_lock_that_line_is_evicted():
    """The test before can fail."""
    rng = seeded()
    held, reference, late = open_late(rng)
    first = bags_of(rng.permutation(300)[:60].tolist())
    held_batch = held.prefetch(first)
    held.memory._open.clear()
    for _ in range(3):
        held.lookup_flat(held.prefetch(bags_of(rng.permutation(300)[:80].tolist())), check=False)
    held.memory._open[held_batch.batch.number] = held_batch.batch
    found = held.lookup_flat(held_batch, check=False)["item"]
    late.catch_up(len(late.todo))
    assert not same_bits(bits_of(found), reference.lookup(first)["item"])


def test_hazard_the_lanes_do_not_race():
    """The caller's lane is as late as the events allow: lines are given away only when it is done with them."""
    assert pipeline(seeded()) == 0


def test_without_the_waits_the_lanes_race():
    """The test before can fail."""
    assert pipeline(seeded(), deaf=True) > 0


def trained(rng, size, optimizer, *, ahead, late=False):
    """Train five batches; return the vectors of every batch, the rows after, and the counters."""
    held = GpuTables(ITEM, device_bytes=size)
    held.load("item", difficult_rows(rng, ITEM[0], "normal"))
    lane = LateMain(held) if late else None
    batches = [bags_of([*rng.integers(0, 300, 46).tolist(), 5, 6]) for _ in range(5)]
    grads = [torch.from_numpy(rng.standard_normal((24, 4), dtype=np.float32)) for _ in batches]
    grads = [grad.to(held.device.torch_device) for grad in grads]
    vectors = []
    following = held.prefetch(batches[0], change=True) if ahead else None
    for at, bags in enumerate(batches):
        if ahead:
            now = following
            following = (
                held.prefetch(batches[at + 1], change=True) if at + 1 < len(batches) else None
            )
        else:
            now = held.prefetch(bags, change=True)
        vectors.append(held.lookup_flat(now, keep=True, check=False)["item"])
        held.backward(now, {"item": grads[at]}, optimizer=optimizer)
    if lane is not None:
        lane.catch_up(len(lane.todo))
    return [bits_of(v) for v in vectors], bits_of(held.rows("item")).copy(), held.stats()


@pytest.mark.parametrize("optimizer", [Sgd(0.1), RowwiseAdagrad(0.1)], ids=["sgd", "adagrad"])
def test_hazard_a_dirty_line_is_not_written_back_late(optimizer):
    """Rows change in lines that are evicted and read again, and in host memory when they found no line, one batch ahead
    of a lane that is late: every vector and every row has the bits of training without a cache.
    """
    seed = int(seeded().integers(1 << 30))
    vectors, rows, stats = trained(
        np.random.default_rng(seed), SMALL, optimizer, ahead=True, late=True
    )
    plain, want, _ = trained(np.random.default_rng(seed), None, optimizer, ahead=False)
    assert all(same_bits(a, b) for a, b in zip(vectors, plain, strict=True))
    assert same_bits(rows, want)
    assert stats["cache_write_backs"] > 20
    assert stats["cache_conflicts"] > 0
    assert stats["backwards"] == 5


def test_hazard_a_row_changed_in_host_memory_is_not_cached_meanwhile():
    """A batch leaves rows without a line and changes them; the next, prefetched before that, must see the change."""
    rng = seeded()
    held, reference, late = open_late(rng)
    everything = bags_of(list(range(300)))
    ones = torch.ones(150, 4)
    first = held.prefetch(everything, change=True)
    second = held.prefetch(bags_of(list(range(150, 300))))
    held.lookup_flat(first, keep=True, check=False)
    held.backward(first, {"item": ones}, optimizer=Sgd(1.0))
    found = held.lookup_flat(second, check=False)["item"]
    late.catch_up(len(late.todo))
    rows = reference._host.rows("item") - np.float32(1)
    want = rows[150:300:2] + rows[151:300:2]
    assert same_bits(bits_of(found), want)
    assert held.stats()["cache_conflicts"] > 150


def test_an_update_reaches_rows_that_are_prefetched_already():
    rng = seeded()
    held, reference, late = open_late(rng)
    bags = bags_of(list(range(0, 300, 2)))
    batch = held.prefetch(bags)  # some in lines, some in host memory
    ids = rng.integers(0, 300, 150)
    fresh = rng.standard_normal((150, 4), dtype=np.float32)
    for backend in (held, reference):
        backend.update("item", ids, fresh)
    found = held.lookup_flat(batch, check=False)["item"]
    late.catch_up(len(late.todo))
    assert same_bits(bits_of(found), reference.lookup(bags)["item"])
    again = held.prefetch(bags)
    rows = difficult_rows(rng, ITEM[0], "normal")
    for backend in (held, reference):
        backend.load("item", rows)
    found = held.lookup_flat(again, check=False)["item"]
    late.catch_up(len(late.todo))
    assert same_bits(bits_of(found), reference.lookup(bags)["item"])


def test_pooling_none_is_cached_too():
    table = Table("item", rows=200, dim=4, pooling=Pooling.NONE, padding_idx=0)
    held, reference = GpuTables([table], device_bytes=SMALL), ReferenceBackend([table])
    rows = difficult_rows(seeded(), table, "special")
    held.load("item", rows)
    reference.load("item", rows)
    bags = Bags.from_lists({"item": [[3, 0], [], [199, 3, 3]]})
    assert same_bits(held.lookup(bags)["item"], reference.lookup(bags)["item"])
