# SPDX-License-Identifier: Apache-2.0
"""Each board's Vivado script, run in tclsh on a stand-in for Vivado; its top, linted against what the script makes.

The stand-in (tests/board/stubs/vivado.tcl) knows the commands, and those pins, interfaces and properties of the
vendor's IP that the scripts use. The module of the block design is written here from the ports that the script
created, so a port that the top connects and the script does not make, or the other way round, fails the lint.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from embnic.backends.xrt import DMA_OFFSET, KERNEL
from embnic.bitstreams import STATUSES, read_index
from embnic.gen.configs import CONFIGS
from embnic.gen.wire import CONTRACT_HASH
from embnic.hwh import CORE_ADDRESS, DMA_ADDRESS
from embnic_sim.boards import BOARDS, OPEN_BOARDS, board_folder, lint_board

ROOT = Path(__file__).resolve().parents[2]
STUBS = ROOT / "tests" / "board" / "stubs"
VENDOR = [board for board in BOARDS if board not in OPEN_BOARDS]

AXI4 = (
    "awid:id awaddr:addr awlen:8 awsize:3 awburst:2 awvalid:1 -awready:1 "
    "wdata:data wstrb:strb wlast:1 wvalid:1 -wready:1 "
    "-bid:id -bresp:2 -bvalid:1 bready:1 arid:id araddr:addr arlen:8 arsize:3 arburst:2 arvalid:1 -arready:1 "
    "-rid:id -rdata:data -rresp:2 -rlast:1 -rvalid:1 rready:1"
)
LITE = (
    "awaddr:addr awprot:prot awvalid:1 -awready:1 wdata:data wstrb:strb wvalid:1 -wready:1 -bresp:2 -bvalid:1 bready:1 "
    "araddr:addr arprot:prot arvalid:1 -arready:1 -rdata:data -rresp:2 -rvalid:1 rready:1"
)
STREAM = "tdata:data tkeep:strb tvalid:1 -tready:1 tlast:1 tuser:user"


@pytest.fixture(scope="module", autouse=True)
def needs_tcl() -> None:
    if shutil.which("tclsh") is None:
        pytest.skip("tclsh is not installed: apt-get install -y tcl")


def run_script(board: str, record: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [
        "tclsh",
        str(STUBS / "vivado.tcl"),
        str(record),
        str(board_folder(board) / "build.tcl"),
    ]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=record.parent,
        env={**os.environ, **environ},
    )


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[str]]]:
    made = {}
    for board in VENDOR:
        record = tmp_path_factory.mktemp(board) / "calls"
        done = run_script(board, record)
        assert done.returncode == 0, f"{board}: {done.stderr}"
        made[board] = [line.split("\t") for line in record.read_text().splitlines()]
    return made


def bd_module(board: str, calls: list[list[str]]) -> str:
    """Return the module of a board's block design from the ports that its script created."""
    properties: dict[str, dict[str, int | str]] = {}
    for call in calls:
        if call[0] == "set_property" and call[1].startswith("port:"):
            value = call[3]
            properties.setdefault(call[1][5:], {})[call[2][7:]] = (
                int(value) if value.isdigit() else value
            )
    bits = 8 * int(properties["host_tx"]["TDATA_NUM_BYTES"])
    ports = []

    def add(name: str, width: int, out: bool) -> None:
        if width:
            ports.append(f"    {'output' if out else 'input  wire'} logic [{width - 1}:0] {name}")

    for call in calls:
        if call[0] == "create_bd_port":
            add(call[1], 1, call[2] == "O")
        if call[0] != "create_bd_intf_port":
            continue
        _, name, mode, kind = call
        found, master = properties.get(name, {}), mode == "Master"
        if kind == "diff_clock_rtl":
            add(f"{name}_clk_p", 1, False)
            add(f"{name}_clk_n", 1, False)
        elif kind == "gt_rtl":
            lanes = 4 if any(c[:2] == ["create_bd_cell", "cmac_usplus"] for c in calls) else 1
            for suffix, out in (
                ("grx_p", False),
                ("grx_n", False),
                ("gtx_p", True),
                ("gtx_n", True),
            ):
                add(f"{name}_{suffix}", lanes, out)
        else:
            data = bits if kind == "axis_rtl" else int(found["DATA_WIDTH"])
            lite = found.get("PROTOCOL") == "AXI4LITE"
            widths = {
                "data": data,
                "strb": data // 8,
                "addr": int(found.get("ADDR_WIDTH", 0)),
                "id": int(found.get("ID_WIDTH", 0)),
                "prot": 3 * int(found.get("HAS_PROT", 1)),
                # The MAC's own stream says in tuser that a frame is bad; only that of a MAC has one.
                "user": 1 if name == "mac_rx" else 0,
            }
            for item in (STREAM if kind == "axis_rtl" else LITE if lite else AXI4).split():
                field, width = item.lstrip("-").split(":")
                add(
                    f"{name}_{field}",
                    int(width) if width.isdigit() else widths[width],
                    master != item.startswith("-"),
                )
    body = ",\n".join(ports)
    return f"`default_nettype none\nmodule embnic_{board}_bd (\n{body}\n);\nendmodule\n`default_nettype wire\n"


@pytest.mark.parametrize("board", BOARDS)
def test_the_top_lints_against_what_its_script_makes(board, calls, tmp_path) -> None:
    shutil.copy(STUBS / "stubs.vlt", tmp_path / "stubs.vlt")
    text = (tmp_path / "stubs.vlt").read_text().replace("*/tests/board/stubs/*", f"{tmp_path}/*")
    (tmp_path / "stubs.vlt").write_text(text)
    if board in VENDOR:
        (tmp_path / f"embnic_{board}_bd.sv").write_text(bd_module(board, calls[board]))
    status, said = lint_board(board, tmp_path)
    assert status == 0, said


@pytest.mark.parametrize("board", VENDOR)
def test_the_scripts_name_the_core_s_files_and_nothing_twice(board, calls) -> None:
    named = [Path(call[1]).resolve() for call in calls[board] if call[0] == "add_files"]
    assert len(named) == len(set(named))
    listed = (ROOT / "rtl" / "embnic.f").read_text().split()
    for file in listed:
        assert (ROOT / "rtl" / file) in named
    # What the top needs beside the core is there, too; Vivado orders them itself.
    from embnic_sim.boards import board_sources

    needed = board_sources(board)
    assert set(needed) <= set(named), sorted(set(needed) - set(named))


@pytest.mark.parametrize("board", VENDOR)
def test_addresses_are_those_of_the_driver(board, calls) -> None:
    found = {call[1]: int(call[2], 0) for call in calls[board] if call[0] == "address"}
    if board == "u55c":
        assert (found["segment:core_axil/Reg"], found["segment:dma/S_AXI_LITE/Reg"]) == (
            0,
            DMA_OFFSET,
        )
    else:
        assert found["segment:core_axil/Reg"] == CORE_ADDRESS
        assert found["segment:dma/S_AXI_LITE/Reg"] == DMA_ADDRESS


@pytest.mark.parametrize("board", VENDOR)
def test_widths_are_those_of_the_configuration(board, calls) -> None:
    config = CONFIGS[BOARDS[board]]
    found = {tuple(call[1:3]): call[3] for call in calls[board] if call[0] == "set_property"}
    assert int(found["port:core_axi", "CONFIG.DATA_WIDTH"]) == config.data_w
    assert int(found["port:core_axi", "CONFIG.ID_WIDTH"]) == (config.fetches - 1).bit_length() + 1
    assert int(found["cell:dma", "CONFIG.c_m_axis_mm2s_tdata_width"]) == config.data_w
    top = (board_folder(board) / f"embnic_{board}.sv").read_text()
    assert f"embnic_configs_pkg::{config.name.upper()};" in top
    if board == "u55c":
        assert config.max_burst <= 16, "AXI3 ports of the HBM take 16 beats"


def top_ports(board: str) -> dict[str, int]:
    """Return the ports of a board's top and their bits."""
    text = (board_folder(board) / f"embnic_{board}.sv").read_text()
    header = text[: text.index(");")]
    found = re.findall(
        r"^\s+(?:input  wire|output     ) logic\s+(?:\[(\d+):0\]\s+)?(\w+)", header, re.M
    )
    return {name: int(high or 0) + 1 for high, name in found}


@pytest.mark.parametrize("board", BOARDS)
def test_constraints_name_ports_of_the_top_and_no_pin_twice(board) -> None:
    ports, folder = top_ports(board), board_folder(board)
    assert ports or board == "kv260"
    file = folder / f"embnic_{board}.{'lpf' if board in OPEN_BOARDS else 'xdc'}"
    text = "\n".join(line for line in file.read_text().splitlines() if not line.startswith("#"))
    if file.suffix == ".lpf":
        named = set(re.findall(r'(?:COMP|PORT) "(\w+)"', text))
        pins = re.findall(r'SITE "(\w+)"', text)
        placed = set(re.findall(r'LOCATE COMP "(\w+)"', text))
        assert placed == named == set(ports)
    else:
        lists = re.findall(r"get_ports (?:\{([^}]*)\}|(\w+))", text)
        named = {name for many, one in lists for name in (many or one).split()}
        pins = re.findall(r"PACKAGE_PIN (\w+)", text)
        assert named <= set(ports), sorted(named - set(ports))
        # Every pin is placed, but the lanes of a CMAC, which its transceivers place, and those of a kernel.
        lanes = {name for name in ports if re.fullmatch(r"qsfp_(rx|tx)_[pn]", name)}
        if board != "u55c":
            placed = set(re.findall(r"PACKAGE_PIN \w+ \[get_ports (\w+)\]", text))
            assert placed == set(ports) - lanes
    assert len(pins) == len(set(pins))


def test_the_kernel_is_linked_by_its_own_ports(calls) -> None:
    ports = top_ports("u55c")
    text = (board_folder("u55c") / "embnic_u55c.cfg").read_text()
    assert f"nk={KERNEL}:1:{KERNEL}_0" in text
    named = re.findall(rf"{KERNEL}_0[./](\w+)", text)
    assert len(named) == 4
    for name in named:
        assert any(port == name or port.startswith(f"{name}_") for port in ports), name
    packaged = [call for call in calls["u55c"] if call[0] == "package_xo"]
    assert packaged == [["package_xo", KERNEL, "user_managed"]]
    for call in calls["u55c"]:
        if call[0] == "ipx::ports":
            assert set(call[1:]) <= set(ports)
        if call[0] == "ipx::bus":
            assert any(port.startswith(f"{call[1]}_") for port in ports)


def test_a_build_that_misses_its_timing_is_refused(tmp_path) -> None:
    done = run_script("kv260", tmp_path / "calls", EMBNIC_STUB_WNS="-0.25")
    assert done.returncode != 0 and "kv260 misses its timing by 0.25 ns" in done.stderr


@pytest.mark.parametrize(
    ("find", "replace", "says"),
    [
        ("mac/rx_core_clk_0", "mac/rx_core_clock_0", "xxv_ethernet has no rx_core_clock_0"),
        ("CONFIG.LINE_RATE", "CONFIG.LINE_SPEED", "no property CONFIG.LINE_SPEED"),
        ("link/embnic_link_switch.sv", "link/embnic_switch.sv", "does not exist"),
        ("embnic::join_buses rx_width/M_AXIS rx_fifo/S_AXIS\n", "", "is not connected"),
        (
            "embnic::wire mac/user_tx_reset_0 tx_up/Op1",
            "embnic::wire ps/pl_clk0 tx_up/Op1 mac/dclk",
            "driven twice",
        ),
        ("create_bd_design", "create_design", "invalid command name"),
    ],
)
def test_the_stand_in_notices_what_is_wrong(find, replace, says, tmp_path) -> None:
    """Each of these would fail in Vivado, hours later."""
    text = (board_folder("kr260") / "build.tcl").read_text()
    assert text.count(find) >= 1
    text = text.replace(find, replace).replace(
        "[file join [file dirname [info script]] .. common.tcl]",
        f"{board_folder('kr260').parent}/common.tcl",
    )
    (tmp_path / "build.tcl").write_text(text)
    command = [
        "tclsh",
        str(STUBS / "vivado.tcl"),
        str(tmp_path / "calls"),
        str(tmp_path / "build.tcl"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode != 0 and says in done.stderr, done.stderr


def test_every_board_has_its_place_in_the_registry() -> None:
    entries = read_index(ROOT / "bitstreams" / "index.toml")
    assert sorted(entry.board for entry in entries) == sorted(BOARDS)
    for entry in entries:
        assert entry.configuration == BOARDS[entry.board]
        assert entry.status in STATUSES
        assert (board_folder(entry.board) / "README.md").is_file()
        assert entry.status in (board_folder(entry.board) / "README.md").read_text()
        if entry.status == "calls checked, never built":
            assert entry.contract == CONTRACT_HASH, "what a build would be of: spec/ changed"
            assert not entry.files
            assert entry.worst_slack_ns is None
