# SPDX-License-Identifier: Apache-2.0
"""embnic.core: up to date, every file of rtl/embnic.f in its order, and read by FuseSoC where that is installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from embnic.gen.configs import CONFIGS
from embnic_sim.fusesoc import core_description

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "embnic.core").read_text(encoding="utf-8")


def test_it_is_what_the_file_list_makes() -> None:
    assert core_description(ROOT) == TEXT, "python -m embnic_sim.fusesoc"


def test_every_file_is_named_once_in_order_and_exists() -> None:
    assert TEXT.startswith("CAPI=2:\n")
    named = re.findall(r"^      - (\S+?):? ?(?:\{is_include_file: true\})?$", TEXT, re.M)
    assert len(named) == len(set(named)) > 40
    for name in named:
        assert (ROOT / name).is_file(), name
    listed = [f"rtl/{line}" for line in (ROOT / "rtl" / "embnic.f").read_text().split()]
    assert [name for name in named if name in listed] == listed


def test_every_configuration_has_a_target_with_its_parameters() -> None:
    for config in CONFIGS.values():
        found = re.search(
            rf"^  lint_{config.name}:\n(?:    .*\n)*?    parameters: \[(.*)\]$", TEXT, re.M
        )
        assert found, config.name
        given = dict(item.split("=") for item in found.group(1).split(", "))
        assert given == {name: str(value) for name, value in config.parameters().items()}


def test_fusesoc_reads_it(tmp_path: Path) -> None:
    pytest.importorskip("fusesoc", reason="FuseSoC is not installed")
    library = tmp_path / "library"
    library.mkdir()
    (library / "embnic.core").write_text(TEXT)
    (library / "rtl").symlink_to(ROOT / "rtl")
    (tmp_path / "fusesoc.conf").write_text(f"[library.embnic]\nlocation = {library}\n")
    command = [sys.executable, "-m", "fusesoc.main", "core", "show", "embnic:smartnic:embnic_core"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for config in CONFIGS:
        assert f"lint_{config}" in done.stdout
