# SPDX-License-Identifier: Apache-2.0
"""The update protocol keeps its promises, and each of its guards is needed.

The searches visit every state within their bounds, so there is nothing random and no seed. A search prints how many
states it visited, a missing guard the shortest way to the broken promise. docs/decisions/ordering.md explains both.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from embnic_sim.protocol import GUARDS, ONE_CARD, TWO_CARDS, follow, scenario, scenarios, search

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "decisions" / "ordering.md"
BARRIER = replace(ONE_CARD, barrier=True)


def holds(bounds, *, without=(), states):
    """Search within `bounds`; every promise must hold, in more than `states` states."""
    found = search(bounds, without)
    print(
        f"{bounds} without {list(without)}: {found.states} states, {found.transitions} transitions"
    )
    trace = "\n".join(map(str, found.trace))
    assert found.broken == "", f"promise {found.broken} is broken:\n{trace}"
    assert found.states > states


def test_every_run_of_four_operations_on_one_card_keeps_every_promise():
    holds(ONE_CARD, states=110_000)


def test_every_run_of_four_operations_on_two_cards_keeps_every_promise():
    holds(TWO_CARDS, states=500_000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_run_of_five_operations_on_one_card_keeps_every_promise():
    holds(replace(ONE_CARD, operations=5), states=120_000)


@pytest.mark.slow
def test_copies_without_end_on_two_cards_keep_every_promise():
    holds(replace(TWO_CARDS, operations=2, bags=2, fine=True), states=130_000)


@pytest.mark.parametrize("guard", GUARDS)
def test_without_this_guard_a_promise_breaks(guard):
    found = scenario(guard)
    print(found)
    assert found.promise == GUARDS[guard].breaks


@pytest.mark.parametrize("guard", GUARDS)
def test_the_guard_is_what_stops_its_counter_example(guard):
    found = scenario(guard)
    assert follow(found.steps, found.bounds, (guard,)) == len(found.steps)
    assert 0 < follow(found.steps, found.bounds) < len(found.steps)


def test_scenarios_are_the_counter_examples_of_all_guards_in_order():
    found = scenarios()
    assert [item.guard for item in found] == list(GUARDS)
    assert all((item.bounds.cards == 1) == GUARDS[item.guard].local for item in found)


def test_a_barrier_does_what_poison_joins_by_version_and_the_second_drop_do():
    holds(BARRIER, states=30_000)
    holds(BARRIER, without=("poison", "join_version", "drop_again"), states=25_000)


def test_the_drop_at_acceptance_is_redundant_while_there_is_one_after_the_write():
    holds(replace(ONE_CARD, drop_first=False), states=90_000)


def test_an_unknown_guard_is_refused():
    with pytest.raises(KeyError, match="poisson"):
        search(ONE_CARD, ("poisson",))


def test_the_document_names_every_guard_and_every_action_of_the_scenarios():
    named = set(re.findall(r"`([a-z_]+)`", DOCUMENT.read_text(encoding="utf-8")))
    assert set(GUARDS) <= named
    assert {step.action for item in scenarios() for step in item.steps} <= named
