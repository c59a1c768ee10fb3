# SPDX-License-Identifier: Apache-2.0
"""The Vitis script against stubs of Vitis' commands: it is Tcl, and this is what it asks for; Vitis has not seen it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from embnic_sim.hls_build import GOLDEN_CORES
from embnic_sim.paths import hls_root
from embnic_sim.runner import lint
from embnic_sim.vitis import missing_vitis, vitis_sources

VITIS = hls_root() / "vitis"
COMMANDS = (
    "open_project set_top add_files open_solution set_part create_clock config_interface config_compile csynth_design "
    "export_design close_project"
)
STUBS = f'foreach name {{{COMMANDS}}} {{ proc $name args "puts \\"$name \\$args\\"" }}\n'
CORES = ("pool", "dequant", "row_cache", "grad_accumulate", "topk", "interact")


def tcl(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script in tclsh on a copy of hls/, every command of Vitis a stub that prints itself."""
    if shutil.which("tclsh") is None:
        pytest.skip("no tclsh")
    root = tmp_path / "hls"
    shutil.copytree(hls_root(), root)
    script = tmp_path / "stubbed.tcl"
    script.write_text(f"{STUBS}source {root}/vitis/run_hls.tcl\n", encoding="utf-8")
    return subprocess.run(
        ["tclsh", str(script), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("board", ["u55c", "kv260"])
def test_the_script_synthesises_every_core(board: str, tmp_path: Path) -> None:
    """Its sources exist, its tops are defined in them, each is exported."""
    done = tcl(tmp_path, board)
    assert done.returncode == 0, done.stderr
    tops = re.findall(r"^set_top embnic_(\w+)_top$", done.stdout, re.MULTILINE)
    assert tuple(tops) == CORES
    files = re.findall(r"^add_files (\S+) ", done.stdout, re.MULTILINE)
    for core, file in zip(tops, files, strict=True):
        text = Path(file).read_text(encoding="utf-8")
        assert f"embnic_{core}_top(" in text
        for port in re.findall(r"#pragma HLS INTERFACE mode = \w+ port = (\w+)", text):
            assert port == "return" or re.search(rf"\b{port}[,)]", text), (core, port)
    assert done.stdout.count("csynth_design") == done.stdout.count("export_design") == len(CORES)
    config = (VITIS / f"{board}.cfg").read_text(encoding="utf-8")
    for kernel in re.findall(r"^nk=(\w+):", config, re.MULTILINE):
        assert kernel.removeprefix("embnic_").removesuffix("_top") in CORES


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    """A board or core that is not there is named."""
    for arguments, message in ((["zcu"], "board is zcu"), (["u55c", "poll"], "core is poll")):
        done = tcl(tmp_path / arguments[-1], *arguments)
        assert done.returncode != 0
        assert message in done.stderr


def test_a_bench_without_emitted_rtl_says_why() -> None:
    """IMPL=vitis skips with a reason where Vitis has not run."""
    assert "Vitis HLS has not run here" in missing_vitis("embnic_topk")
    assert "has no wrapper" in missing_vitis("embnic_pool")


def test_the_wrapper_has_the_ports_of_the_module(tmp_path: Path) -> None:
    """Around a stub of what Vitis would emit."""
    stub = tmp_path / "embnic_topk_top.sv"
    stub.write_text(
        """`default_nettype none
module embnic_topk_top (
    input  wire logic         ap_clk, input wire logic ap_rst_n,
    input  wire logic [191:0] s_axis_score_TDATA, input wire logic s_axis_score_TVALID,
    output      logic         s_axis_score_TREADY,
    output      logic [191:0] m_axis_best_TDATA, output logic m_axis_best_TVALID, input wire logic m_axis_best_TREADY,
    input  wire logic [31:0]  cfg_k
);
    assign s_axis_score_TREADY = m_axis_best_TREADY && ap_clk && ap_rst_n && cfg_k != '0;
    assign m_axis_best_TDATA   = s_axis_score_TDATA;
    assign m_axis_best_TVALID  = s_axis_score_TVALID;
endmodule
`default_nettype wire
""",
        encoding="utf-8",
    )
    wrapper = vitis_sources("embnic_topk")[-1]
    status, text = lint("embnic_topk", {}, [stub, wrapper])
    found = [
        line for line in text.splitlines() if line.startswith("%") and "UNUSEDSIGNAL" not in line
    ]
    assert found in ([], [found[-1]] if found else []), (status, text)
    header = re.compile(r"^    (?:input|output) .*?(\w+),? *(?://.*)?$", re.MULTILINE)
    module = (hls_root().parent / "rtl" / "compute" / "embnic_topk.sv").read_text(encoding="utf-8")
    ports = set(header.findall(module.partition(");")[0]))
    assert ports == set(header.findall(wrapper.read_text(encoding="utf-8").partition(");")[0]))
    assert "embnic_topk" in GOLDEN_CORES
