# SPDX-License-Identifier: Apache-2.0
"""The three Protocols, and the fake card as an implementation of them."""

import inspect

import numpy as np
import pytest
from fakes import FakeCard, ListedBus

from embnic import ports
from embnic.ports import Bus, Link, Memory


def test_the_fakes_implement_the_ports():
    card = FakeCard()
    assert isinstance(card, Bus) and isinstance(card, Memory) and isinstance(card, Link)
    assert isinstance(ListedBus(), Bus) and not isinstance(ListedBus(), Link)


@pytest.mark.parametrize("protocol", [Bus, Memory, Link])
def test_the_fake_card_has_the_signatures_of_the_ports(protocol):
    for name, method in inspect.getmembers(protocol, inspect.isfunction):
        if not name.startswith("_"):
            ours = inspect.signature(getattr(FakeCard, name)).parameters
            assert list(ours) == list(inspect.signature(method).parameters), name


def test_the_module_names_exactly_the_three():
    assert set(ports.__all__) == {"Bus", "Link", "Memory"}


def test_memory_is_aligned_and_holds_what_was_written():
    card = FakeCard()
    first, second = card.alloc(100), card.alloc(100, align=65536)
    assert first % 4096 == 0 and second % 65536 == 0 and second >= first + 100
    card.write(first, np.arange(100, dtype=np.uint8))
    card.sync()
    assert card.read(first, 100).tolist() == list(range(100))


def test_waiting_for_nothing_takes_the_device_time_and_no_longer():
    card = FakeCard()
    start = card.clock()
    assert len(card.recv(8, 2e-3)) == 0
    assert card.clock() - start == pytest.approx(2e-3)
