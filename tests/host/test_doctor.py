# SPDX-License-Identifier: Apache-2.0
"""What `embnic doctor` says of machines that are made of files here."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from embnic.doctor import Finding, examine


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="ascii")
    return root


def finding(root: Path, what: str) -> Finding:
    found = [item for item in examine(root) if item.what == what]
    assert len(found) == 1, (what, found)
    return found[0]


CLOCK = "sys/devices/system/clocksource/clocksource0"
GOVERNOR = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
PAGES = "sys/kernel/mm/transparent_hugepage/enabled"
CARD = "sys/bus/pci/devices/0000:3b:00.1"
VERSION = "opt/xilinx/xrt/version.json"
CASES = [
    # what, files, state, found, what to do
    ("XRT", {}, "missing", "no XRT", "source its setup.sh"),
    ("XRT", {VERSION: '{"VERSION": "2.16.204"}'}, "missing", "XRT 2.16.204, but pyxrt", "setup.sh"),
    ("XRT", {VERSION: "no JSON"}, "missing", "no XRT", "Alveo cards only"),
    ("FPGA of this board", {}, "missing", "no FPGA manager", "PYNQ boards only"),
    ("FPGA of this board", {"sys/class/fpga_manager/fpga0": "", "dev/mem": ""}, "ok", "fpga0", ""),
    ("FPGA of this board", {"sys/class/fpga_manager/fpga0": ""}, "wrong", "cannot be opened", "run as root"),
    ("Alveo card", {"sys/bus/pci/devices/0000:00:01.0/vendor": "0x8086\n"}, "missing", "no PCI device", ""),
    ("Alveo card", {f"{CARD}/vendor": "0x10ee\n"}, "wrong", "0000:3b:00.1 without driver", "xocl"),
    (
        "Alveo card",
        {f"{CARD}/vendor": "0x10ee\n", f"{CARD}/driver": ""},
        "ok", "0000:3b:00.1", "",
    ),
    ("serial port", {}, "missing", "no ttyUSB", "connect its debug port"),
    ("serial port", {"dev/ttyUSB1": "", "dev/ttyACM0": ""}, "ok", "ttyUSB1", ""),
    ("huge pages", {PAGES: "always madvise [never]\n"}, "missing", "never", "madvise"),
    ("huge pages", {PAGES: "always [madvise] never\n"}, "ok", "madvise", ""),
    ("huge pages", {}, "ok", "unknown", ""),
    (
        "clock source",
        {f"{CLOCK}/current_clocksource": "hpet\n", f"{CLOCK}/available_clocksource": "hpet tsc acpi_pm\n"},
        "missing", "hpet", "echo tsc",
    ),
    ("clock source", {f"{CLOCK}/current_clocksource": "tsc\n"}, "ok", "tsc", ""),
    ("processor clock", {GOVERNOR: "powersave\n"}, "missing", "powersave", "performance"),
    ("processor clock", {GOVERNOR: "schedutil\n"}, "ok", "schedutil", ""),
    ("fabric clock", {"sys/kernel/debug/clk/pl0_ref/clk_rate": "78947368\n"}, "ok", "78.947 MHz", ""),
]  # fmt: skip


@pytest.mark.parametrize(("what", "files", "state", "found", "do"), CASES)
def test_what_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    files: dict[str, str],
    state: str,
    found: str,
    do: str,
) -> None:
    monkeypatch.delenv("XILINX_XRT", raising=False)
    if importlib.util.find_spec("pyxrt") is not None and what == "XRT":
        pytest.skip("pyxrt is installed here")
    said = finding(machine(tmp_path, files), what)
    assert (said.state, found in said.found, do in said.do) == (state, True, True), said
    assert said.state != "wrong" or said.do


def test_xrt_is_looked_for_where_its_setup_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(tmp_path, {"elsewhere/version.json": '{"VERSION": "2.18.0"}'})
    monkeypatch.setenv("XILINX_XRT", str(tmp_path / "elsewhere"))
    assert "XRT 2.18.0" in finding(tmp_path, "XRT").found
    machine(tmp_path, {"modules/pyxrt.py": ""})
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    said = finding(tmp_path, "XRT")
    assert (said.state, said.found) == ("ok", "pyxrt, XRT 2.18.0")


def test_a_serial_port_of_another_group_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(tmp_path, {"dev/ttyUSB0": ""})
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    said = finding(tmp_path, "serial port")
    assert said.state == "missing" and "may not be opened" in said.found and "dialout" in said.do
