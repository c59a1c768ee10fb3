# SPDX-License-Identifier: Apache-2.0
"""Builds the HLS cores with g++: the simulated HLS card, and a core as a second scoreboard of an RTL bench.

A build is named by a hash over the sources, the compiler and the flags. A second use builds nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from embnic.errors import BackendUnavailable
from embnic_sim.paths import cache_root, hls_root
from embnic_sim.toolchain import build_lock, digest

__all__ = ["FLAGS", "GOLDEN_CORES", "build_bridge", "build_golden", "compile_hls"]

# The contract of the cores: standard C++17, no warning, no fused multiply-add that the source does not name.
FLAGS = ("-std=c++17", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")

# RTL module -> class in bridge/golden.hpp.
GOLDEN_CORES: Mapping[str, str] = {
    "embnic_pool": "GoldenPool",
    "embnic_unpack": "GoldenDequant",
    "embnic_row_cache": "GoldenRowCache",
    "embnic_grad_accumulate": "GoldenGradAccumulate",
    "embnic_topk": "GoldenTopK",
    "embnic_interact": "GoldenInteract",
}

_GOLDEN = """// SPDX-License-Identifier: Apache-2.0
// Written by embnic_sim.hls_build for one bench.
#include "bridge/golden.hpp"

namespace {{
struct Config {{
{constants}
}};
using Core = embnic::bridge::{core}<Config>;
}}  // namespace

extern "C" {{
Core* golden_create() {{ return new Core; }}
void golden_destroy(Core* core) {{ delete core; }}
const char* golden_fields() {{ return Core::kFields; }}
void golden_command(Core* core, std::uint32_t what, const std::uint64_t* words) {{
    core->command(static_cast<embnic::bridge::Command>(what), words);
}}
std::uint64_t golden_event(Core* core, std::uint32_t number) {{ return core->event(number); }}
std::uint64_t golden_pull(Core* core, std::uint64_t* words, std::uint64_t room) {{
    std::uint64_t at = 0;
    for (; at < room && !core->out.empty(); at++) {{
        words[at] = core->out.front();
        core->out.pop_front();
    }}
    return at;
}}
std::uint64_t golden_waiting(Core* core) {{ return core->out.size(); }}
}}
"""


def sources() -> list[Path]:
    """Return every source and header of the HLS cores."""
    root = hls_root()
    return sorted(path for suffix in ("*.hpp", "*.cpp") for path in root.rglob(suffix))


def compile_hls(
    source: Path, output: Path, *, flags: Sequence[str] = ("-O2",), shared: bool = True
) -> None:
    """Compile one translation unit of the HLS cores to a shared library or a program.

    Raises BackendUnavailable without a compiler, and with its messages when it refuses.
    """
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise BackendUnavailable(
            "hls",
            reason="there is no C++ compiler.",
            remedy="install one (apt install g++), or set CXX.",
        )
    root = hls_root()
    includes = [f"-I{root}", f"-I{root / 'include'}", f"-I{root / 'gen'}"]
    kind = ["-fPIC", "-shared"] if shared else []
    command = [compiler, *FLAGS, *flags, *kind, *includes, str(source), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise BackendUnavailable(
            "hls",
            reason=f"the HLS cores did not compile:\n{done.stderr[-3000:]}\n",
            remedy=f"run it alone: {' '.join(command)}",
        )


def _build(name: str, text: str | None, source: Path | None, flags: Sequence[str]) -> Path:
    """Compile to the cache, unless it is there; return the library."""
    key = digest([text or "", *FLAGS, *flags, os.environ.get("CXX", "")], sources())
    folder = cache_root() / "hls" / f"{name}-{key}"
    library = folder / f"lib{name}.so"
    if library.is_file():
        return library
    with build_lock(folder):
        if library.is_file():
            return library
        if text is not None:
            source = folder / f"{name}.cpp"
            source.write_text(text, encoding="utf-8")
        assert source is not None
        part = folder / "part.so"
        compile_hls(source, part, flags=flags)
        part.replace(library)
    return library


def build_bridge() -> Path:
    """Return the library of the simulated HLS card and of the kernels."""
    return _build("embnic_hls", None, hls_root() / "bridge" / "bridge.cpp", ("-O2",))


def build_golden(module: str, constants: Mapping[str, int]) -> Path:
    """Return the library of an RTL module's twin, built with these constants (`kLanes`, ...)."""
    lines = "\n".join(
        f"    static constexpr unsigned {name} = {value};" for name, value in constants.items()
    )
    text = _GOLDEN.format(constants=lines, core=GOLDEN_CORES[module])
    return _build(f"golden_{module}", text, None, ("-O2",))
