# SPDX-License-Identifier: Apache-2.0
"""The walk over mapped netlists, on netlists small enough to count by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from embnic_sim.levels import LevelsError, longest_paths

Cell = dict[str, Any]
Bits = int | str | Sequence[int | str]

_OUTPUTS = {
    *("O", "Q", "Q31", "CO", "SPO", "DPO", "DOA", "DOB", "DOADO", "P"),
}


def cell(kind: str, **pins: Bits) -> Cell:
    """A cell of the netlist; a pin is a bit, or a list of bits, the lowest first."""
    return {
        "type": kind,
        "port_directions": {pin: "output" if pin in _OUTPUTS else "input" for pin in pins},
        "connections": {
            pin: [bits] if isinstance(bits, (int, str)) else list(bits)
            for pin, bits in pins.items()
        },
    }


def register(q: Bits, d: Bits, **pins: Bits) -> Cell:
    return cell("FDRE", **{"C": 1, "D": d, "Q": q, "CE": "1", "R": "0"} | pins)


def netlist(cells: Mapping[str, Cell], **names: Bits) -> dict[str, Any]:
    nets = {
        name.replace("__", "."): {
            "hide_name": 0,
            "bits": [bits] if isinstance(bits, (int, str)) else list(bits),
        }
        for name, bits in names.items()
    }
    return {"modules": {"top": {"cells": dict(cells), "netnames": nets}}}


def test_luts_count_one_and_wide_muxes_none() -> None:
    cells = {
        "a": register(10, "0"),
        "b": register(20, 14),
        "l1": cell("LUT6", I0=10, O=11),
        "l2": cell("LUT2", I0=11, I1=10, O=12),
        "m7": cell("MUXF7", I0=12, I1=11, S=10, O=13),
        "m8": cell("MUXF8", I0=13, I1=13, S=10, O=14),
    }
    (path,) = longest_paths(netlist(cells, u__a_q=10, u__b_q=20, u__sum=12), "top")
    assert (path.levels, path.source, path.end) == (2, "u.a_q", "u.b_q")
    assert path.nets == ("u.sum",)


def test_eight_carry_bits_are_one_level() -> None:
    # A 10-bit adder: LUT, then a carry through ten bits in three CARRY4, then nothing: 1 + 10/8.
    cells: dict[str, Cell] = {
        "a": register(10, "0"),
        "l": cell("LUT2", I0=10, O=11),
        "c0": cell(
            "CARRY4", CI="0", CYINIT="0", DI=["0"] * 4, S=[11, "0", "0", "0"], O=[30, 31, 32, 33],
            CO=[40, 41, 42, 43],
        ),
        "c1": cell(
            "CARRY4", CI=43, DI=["0"] * 4, S=["0"] * 4, O=[50, 51, 52, 53], CO=[60, 61, 62, 63]
        ),
        "c2": cell("CARRY4", CI=63, DI=["0"] * 4, S=["0"] * 4, O=[70, 71, 72, 73]),
        "first": register(80, 30),
        "eighth": register(81, 53),
        "tenth": register(82, 71),
    }  # fmt: skip
    paths = longest_paths(
        netlist(cells, a_q=10, first_q=80, eighth_q=81, tenth_q=82), "top", count=3
    )
    # Within a level the order is by depth: 1 + 10/8 and 1 + 8/8 and 1 + 1/8, each rounded up.
    assert [(path.end, path.levels) for path in paths] == [
        ("tenth_q", 3),
        ("eighth_q", 2),
        ("first_q", 2),
    ]


def test_an_operand_that_enters_higher_passes_fewer_carry_bits() -> None:
    cells = {
        "a": register(10, "0"),
        "c": cell(
            "CARRY8", CI="0", DI=["0"] * 7 + [10], S=["0"] * 8, O=[20, 21, 22, 23, 24, 25, 26, 27]
        ),
        "low": register(30, 26),
        "high": register(31, 27),
    }
    paths = longest_paths(netlist(cells, a_q=10, low_q=30, high_q=31), "top")
    assert [(path.end, path.levels) for path in paths] == [("high_q", 1)]


def test_clocks_are_no_ends_and_enables_are() -> None:
    cells = {
        "a": register(10, "0"),
        "l": cell("LUT1", I0=10, O=11),
        "clocked": cell("FDRE", C=11, D="0", Q=20, CE="1", R="0"),
        "enabled": cell("FDRE", C=1, D="0", Q=21, CE=11, R="0"),
    }
    (path,) = longest_paths(netlist(cells, a_q=10, c_q=20, e_q=21), "top")
    assert (path.end, path.levels) == ("e_q pin CE", 1)


def test_block_ram_and_dsp_are_both_end_and_source() -> None:
    cells = {
        "ram": cell("RAMB36E2", ADDRARDADDR=12, CLKARDCLK=1, DOADO=10),
        "l1": cell("LUT1", I0=10, O=11),
        "dsp": cell("DSP48E2", A=11, CLK=1, P=13),
        "l2": cell("LUT1", I0=13, O=14),
        "l3": cell("LUT1", I0=14, O=12),
    }
    paths = longest_paths(netlist(cells, ram_data=10, product=13), "top")
    assert [(path.levels, path.source, path.end) for path in paths] == [
        (2, "product", "ram_data (RAMB36E2) pin ADDRARDADDR"),
        (1, "ram_data", "product (DSP48E2) pin A"),
    ]


def test_a_read_of_a_lut_ram_is_a_level_and_its_write_side_an_end() -> None:
    cells = {
        "a": register(10, "0"),
        "wr": cell("LUT1", I0=10, O=11),
        "ram": cell(
            "RAM64M", ADDRA=10, ADDRB=12, ADDRD=11, DIA="0", WE="1", WCLK=1, DOA=20, DOB=21
        ),
        "qa": register(30, 20),
        "qb": register(31, 21),
        "la": cell("LUT1", I0=11, O=12),
    }
    ends = {
        path.end: path.levels
        for path in longest_paths(netlist(cells, a_q=10, data=[20, 21], qa_q=30, qb_q=31), "top")
    }
    # qb: LUT, LUT, read. ADDRB only reads: it ends no path; ADDRD writes.
    assert ends == {"qb_q": 3, "qa_q": 1, "data[0] (RAM64M) pin ADDRD": 1}


def test_the_content_of_a_lut_ram_and_of_a_shift_register_are_sources() -> None:
    cells = {
        "ram": cell("RAM32X1D", A0="0", DPRA0="0", D="0", WE="1", WCLK=1, DPO=10),
        "srl": cell("SRL16E", A0="1", CE="1", CLK=1, D=10, Q=11),
        "q": register(30, 11),
    }
    paths = longest_paths(netlist(cells, held=10, shifted=11, q_q=30), "top")
    assert [(path.levels, path.source, path.end) for path in paths] == [
        (1, "shifted", "q_q"),
        (1, "held", "shifted (SRL16E)"),
    ]


def test_paths_of_ports_are_left_out() -> None:
    cells = {"l": cell("LUT1", I0=5, O=6), "q": register(30, 6)}
    assert longest_paths(netlist(cells, port=5, q_q=30), "top") == ()


def test_one_path_for_each_register_word_and_no_more_than_asked() -> None:
    cells = {
        "a": register(10, "0"),
        "l1": cell("LUT1", I0=10, O=11),
        "l2": cell("LUT1", I0=11, O=12),
        "w0": register(20, 11),
        "w1": register(21, 12),
        "v": register(22, 10),
    }
    made = netlist(cells, a_q=10, w_q=[20, 21], v_q=22)
    assert [(path.end, path.levels) for path in longest_paths(made, "top")] == [
        ("w_q[1]", 2),
        ("v_q", 0),
    ]
    assert len(longest_paths(made, "top", count=1)) == 1


def test_a_combinational_loop_is_an_error_that_names_its_nets() -> None:
    cells = {
        "a": register(10, "0"),
        "l1": cell("LUT2", I0=10, I1=12, O=11),
        "l2": cell("LUT1", I0=11, O=12),
        "after": cell("LUT1", I0=12, O=13),
        "q": register(20, 13),
    }
    with pytest.raises(LevelsError, match="loop") as raised:
        longest_paths(netlist(cells, a_q=10, forth=11, back=12, beyond=13, q_q=20), "top")
    assert "forth" in str(raised.value) and "back" in str(raised.value)
    assert "beyond" not in str(raised.value)


def test_a_cell_without_a_rule_is_an_error() -> None:
    with pytest.raises(LevelsError, match="TRELLIS_FF"):
        longest_paths(netlist({"x": cell("TRELLIS_FF", D=1, Q=2)}), "top")


def test_names_that_mapping_invented_are_not_shown() -> None:
    cells = {
        "a": register(10, "0"),
        "l1": cell("LUT1", I0=10, O=11),
        "l2": cell("LUT1", I0=11, O=12),
        "q": register(20, 12),
    }
    made = netlist(cells, u__a_q=10, u__q_q_FDRE_Q_D_LUT1_O_I0=11, u__sum=12, u__q_q=20)
    (path,) = longest_paths(made, "top")
    assert (path.source, path.end, path.nets) == ("u.a_q", "u.q_q", ("u.sum",))
