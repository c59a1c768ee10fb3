# SPDX-License-Identifier: Apache-2.0
"""The preflight names everything that is missing in one apt line, and never calls sudo."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRESENT = ("sh", "id", "make", "rm", "cat")


def preflight(
    tmp_path: Path, *tools: str, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Run it with nothing on PATH but `tools`: no apt-get, so that it cannot install even as root."""
    for tool in tools:
        found = shutil.which(tool)
        assert found, f"{tool} is not on this machine"
        (tmp_path / tool).symlink_to(found)
    command = [shutil.which("sh") or "sh", str(ROOT / ".ci" / "preflight"), "test", python]
    return subprocess.run(
        command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60
    )


def test_nothing_is_said_when_nothing_is_missing(tmp_path: Path) -> None:
    done = preflight(tmp_path, *PRESENT, "g++", "perl", "tclsh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_missing_is_one_apt_line(tmp_path: Path) -> None:
    done = preflight(tmp_path, *PRESENT)
    assert done.returncode == 1
    assert [line.strip() for line in done.stderr.splitlines() if "apt-get" in line] == [
        "apt-get install -y g++ perl tcl"
    ]


def test_no_python_at_all_is_named_too(tmp_path: Path) -> None:
    done = preflight(tmp_path, *PRESENT, "g++", "perl", "tclsh", python="no-such-python")
    assert done.returncode == 1
    assert "apt-get install -y python3 python3-venv python3-dev\n" in done.stderr


def test_sudo_is_never_called() -> None:
    text = (ROOT / ".ci" / "preflight").read_text(encoding="utf-8")
    assert not [line for line in text.splitlines() if "sudo" in line and not line.startswith("#")]
