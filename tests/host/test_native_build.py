# SPDX-License-Identifier: Apache-2.0
"""The native extension: compiles without a warning, and the package installs and answers without a
compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest

from embnic.backends.cpu import native_module

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "tests" / "native"
SOURCES = sorted((ROOT / "host" / "native").glob("*.cpp"))
COMPILER = shutil.which("g++") or shutil.which("c++")

LOOKUP_WITHOUT_EXTENSION = """
import sys
sys.path[:0] = {paths!r}
import numpy as np
from embnic.backends.cpu import CpuBackend
from embnic.bags import Bags
from embnic.config import Table
backend = CpuBackend([Table("item", rows=3, dim=2, pooling="mean")])
backend.load("item", np.array([[1, 2], [3, 4], [5, 6]], np.float32))
print(backend.engine, backend.lookup(Bags.from_lists({{"item": [[0, 2], []]}}))["item"].tolist())
"""


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler; apt install g++")
@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.name)
def test_sources_compile_without_a_warning(source: Path) -> None:
    """The flags of CMakeLists.txt, warnings as errors."""
    nanobind = pytest.importorskip(
        "nanobind", reason="nanobind is not installed; pip install nanobind"
    )
    headers = [nanobind.include_dir(), sysconfig.get_paths()["include"]]
    if not (Path(headers[1]) / "Python.h").is_file():
        pytest.skip("Python.h is missing; apt install python3-dev")
    flags = [
        "-std=c++17",
        "-O1",
        "-ffp-contract=off",
        "-fvisibility=hidden",  # as nanobind builds
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-maybe-uninitialized",
    ]
    command = [
        str(COMPILER),
        *flags,
        "-fsyntax-only",
        *(f"-isystem{h}" for h in headers),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"


def test_flags_keep_the_arithmetic() -> None:
    """No option that lets the compiler contract, reorder or flush."""
    text = (ROOT / "CMakeLists.txt").read_text()
    assert "-ffp-contract=off" in text
    assert "-fno-fast-math" in text
    for forbidden in ("-Ofast", " -ffast-math", "-march", "-funsafe"):
        assert forbidden not in text.replace("by -march", "").replace(
            "no -ffast-math, no -Ofast", ""
        )


def test_the_build_here_matches_its_sources() -> None:
    """Where the extension is built it offers both halves, and the portable instructions."""
    native = native_module()
    if native is None:
        pytest.skip("embnic._native is not built here; numpy answers (pip install -e . builds it)")
    assert native.isas()[-1] == "portable"
    assert callable(native.Tables)
    assert callable(native.encode_frames)
    assert callable(native.decode_frames)


def test_install_without_a_compiler_succeeds_and_numpy_answers() -> None:
    """The wheel then holds no native code, but all of Python, the RTL and the harness, and it
    works.
    """
    for package in ("scikit_build_core", "nanobind"):
        pytest.importorskip(package, reason=f"{package} is not installed; pip install -e '.[dev]'")
    shutil.rmtree(BUILD, ignore_errors=True)
    environment = {**os.environ, "CC": "/nonexistent/cc", "CXX": "/nonexistent/c++"}
    command = [
        *(sys.executable, "-m", "pip", "wheel", "--quiet"),
        *("--no-build-isolation", "--no-deps", "--no-index"),
        *("--wheel-dir", str(BUILD / "wheel")),
        f"--config-settings=build-dir={BUILD / 'cmake'}",
        str(ROOT),
    ]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (BUILD / "wheel").glob("*.whl")
    installed = BUILD / "installed"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(installed)
    assert not [name for name in names if name.endswith(".so")]
    for needed in (
        "embnic/backends/cpu.py",
        "embnic/gen/wire.py",
        "embnic_sim/_data/rtl/embnic_pkg.sv",
        "embnic_sim/_data/rtl/embnic_core.sv",
        "embnic_sim/harness/card.cpp",
    ):
        assert needed in names
    assert not [name for name in names if "__pycache__" in name]
    # -S: without site-packages' path files, so that an editable install of this checkout is not
    # found instead.
    paths = [str(installed), str(Path(np.__file__).resolve().parents[1])]
    script = LOOKUP_WITHOUT_EXTENSION.format(paths=paths)
    ran = subprocess.run(
        [sys.executable, "-S", "-c", script],
        cwd=BUILD,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "numpy [[3.0, 4.0], [0.0, 0.0]]"
