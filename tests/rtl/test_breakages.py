# SPDX-License-Identifier: Apache-2.0
"""Every listed way of breaking the RTL makes a test fail (docs/testplan/breakages.toml)."""

from __future__ import annotations

import pytest

from embnic_sim.breakages import Breakage, load_breakages, run_breakage
from embnic_sim.paths import rtl_root

BREAKAGES = load_breakages()


def test_the_list_is_long_enough_and_its_names_differ() -> None:
    assert len(BREAKAGES) >= 30
    assert len({b.name for b in BREAKAGES}) == len(BREAKAGES)


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda b: b.name)
def test_the_text_to_replace_stands_exactly_once(breakage: Breakage) -> None:
    assert (rtl_root() / breakage.file).read_text(encoding="utf-8").count(breakage.find) == 1


@pytest.mark.slow
@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda b: b.name)
def test_breaking_the_rtl_makes_a_test_fail(breakage: Breakage) -> None:
    run_breakage(breakage)
